from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.cards import actions, claims, queries
from app.cards.claims import Outcome, PresetRun, PythonRun
from app.cards.model import Claim, DemoClaim, PresetRef, Verdict
from app.pool.job import Isolation
from tests.cards.texts import card, write

PRESET = PresetRef("grad-clip", "two-axes")


def python(verdict: Verdict, code: str = "measured = 1.0\nholds = True", **more: Any) -> Claim:
    return Claim("A sentence.", verdict, python=code, **more)


def outcome_of(code: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(code, scope)
    return {"holds": scope["holds"], "measured": scope["measured"]}


@pytest.mark.parametrize(
    ("holds", "verdict", "outcome"),
    [
        (True, Verdict.TRUE, Outcome.STATED),
        (False, Verdict.TRUE, Outcome.REFUTED),
        (False, Verdict.FALSE, Outcome.STATED),
        (True, Verdict.FALSE, Outcome.REFUTED),
        ({"a": True, "b": False}, Verdict.DEPENDS, Outcome.STATED),
        ({"a": True, "b": True}, Verdict.DEPENDS, Outcome.REFUTED),
        ({"a": True, "b": False}, Verdict.TRUE, Outcome.REFUTED),
        ("yes", Verdict.TRUE, Outcome.ERROR),
        ({}, Verdict.TRUE, Outcome.ERROR),
        (None, Verdict.TRUE, Outcome.ERROR),
    ],
)
def test_an_outcome_is_compared_with_the_authored_verdict(holds: object, verdict: Verdict, outcome: Outcome) -> None:
    settled = claims.settle(python(verdict), [{"holds": holds, "measured": 2}])
    assert settled.outcome is outcome


@pytest.mark.parametrize(("tolerance", "holds"), [(0.2, True), (0.05, False), (None, False)])
def test_expected_and_tolerance_settle_a_block_that_only_measures(tolerance: float | None, holds: bool) -> None:
    (run,) = claims.runs(python(Verdict.TRUE, "measured = 1.1", expected=1.0, tolerance=tolerance))
    assert isinstance(run, PythonRun)
    assert outcome_of(run.code) == {"holds": holds, "measured": 1.1}


def test_a_block_that_sets_holds_is_believed_and_may_use_the_tolerance() -> None:
    (run,) = claims.runs(python(Verdict.TRUE, "measured = 5\nholds = tolerance == 0.5", expected=1.0, tolerance=0.5))
    assert isinstance(run, PythonRun) and outcome_of(run.code)["holds"] is True


def test_blocks_run_in_a_fresh_process_and_presets_with_their_knobs() -> None:
    claim = Claim(
        "s", Verdict.DEPENDS, (DemoClaim(PRESET, "a"), DemoClaim(PRESET, "b", False)), "measured = holds = True"
    )
    block, preset = claims.runs(claim)
    spec = claims.job_spec(block, {})
    assert spec is not None and spec.demo == "claim" and spec.isolation is Isolation.FRESH
    assert claims.job_spec(preset, {}) is None
    known = claims.job_spec(preset, {PRESET: {"c": 1.0}})
    assert known is not None and (known.demo, known.params) == ("grad-clip", {"c": 1.0})
    assert isinstance(preset, PresetRun) and len(preset.claims) == 2


@pytest.mark.parametrize(
    ("holds", "supports", "came_out"),
    [
        (True, True, Verdict.TRUE),
        (False, True, Verdict.FALSE),
        (True, False, Verdict.FALSE),
        (False, False, Verdict.TRUE),
    ],
)
def test_a_demos_claim_shows_or_refutes(holds: bool, supports: bool, came_out: Verdict) -> None:
    claim = Claim("s", came_out, (DemoClaim(PRESET, "angle", supports),))
    settled = claims.settle(claim, [{"claims": [{"id": "angle", "holds": holds, "measured": 39.3}]}])
    assert (settled.outcome, settled.came_out, settled.measured) == (Outcome.STATED, came_out, {"angle": 39.3})


def test_what_cannot_be_settled_is_an_error_with_its_reason() -> None:
    claim = Claim("s", Verdict.TRUE, (DemoClaim(PRESET, "angle"),))
    absent = claims.settle(claim, [{"claims": [{"id": "norm", "holds": True, "measured": 1}]}])
    outside = claims.settle(
        claim, [{"claims": [{"id": "angle", "holds": None, "domain": "needs c > 0", "measured": 1}]}]
    )
    failed = claims.settle(claim, ["It ran past its limit."])
    assert [one.outcome for one in (absent, outside, failed)] == [Outcome.ERROR] * 3
    assert "it has: norm" in absent.says and "needs c > 0" in outside.says and failed.says == "It ran past its limit."


def test_the_last_outcome_of_the_present_text_is_kept(session: Session, tmp_path: Path, now: datetime) -> None:
    more = "\n## Claims\n\n1. One is one.\n   - verdict: true\n\n   ```python\n   measured = holds = True\n   ```\n"
    write(tmp_path, "applied/a.md", card("a", topic="applied", more=more))
    actions.load(session, tmp_path, {}, now)
    (note,) = queries.notes_with_claims(session)
    claim = note.file.claims[0]
    for holds in (False, True):
        settled = claims.settle(claim, [{"holds": holds, "measured": holds}])
        actions.record_claim(session, note, 1, claim, settled, now, version="torch 2.13", device="cpu")
        session.flush()
    kept = queries.claim_outcomes(session, queries.note(session, "a").note)
    assert (kept[1].outcome, kept[1].device, kept[1].ran_at) == ("stated", "cpu", now)
    write(tmp_path, "applied/a.md", card("a", "Other?", topic="applied", more=more))
    actions.load(session, tmp_path, {}, now)
    session.expire_all()
    assert queries.claim_outcomes(session, queries.note(session, "a").note) == {}
