"""From a card's claims to jobs for the pool, and from their results to outcomes (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.cards.model import Claim, DemoClaim, PresetRef, Verdict
from app.pool.job import Isolation, JobSpec, Limits

PYTHON_JOB = "claim"
"""The registered name that runs a block: params ``{"code"}``, result ``{"measured", "holds"}``."""


class Outcome(StrEnum):
    STATED = "stated"
    REFUTED = "refuted"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class PythonRun:
    code: str


@dataclass(frozen=True, slots=True)
class PresetRun:
    """One run of a demo's preset settles all the card's references to its claims."""

    preset: PresetRef
    claims: tuple[DemoClaim, ...]


Run = PythonRun | PresetRun


@dataclass(frozen=True, slots=True)
class Settled:
    """``came_out`` is what the runs say of the sentence; None after an error, which ``says`` explains."""

    outcome: Outcome
    came_out: Verdict | None
    measured: Any
    says: str


def runs(claim: Claim) -> tuple[Run, ...]:
    """What must run to settle a claim, the block of Python first."""
    found: list[Run] = [PythonRun(_whole_code(claim))] if claim.python is not None else []
    presets = dict.fromkeys(demo_claim.preset for demo_claim in claim.demo_claims)
    found += [PresetRun(preset, tuple(c for c in claim.demo_claims if c.preset == preset)) for preset in presets]
    return tuple(found)


def _whole_code(claim: Claim) -> str:
    """The block with its names set, and ``holds`` worked out where the block leaves it out."""
    before = f"expected, tolerance = {claim.expected!r}, {claim.tolerance or 0.0!r}"
    if claim.expected is None:
        return f"{before}\n{claim.python}\n"
    after = "if 'holds' not in globals():\n    holds = bool(abs(measured - expected) <= tolerance)"
    return f"{before}\n{claim.python}\n{after}\n"


def job_spec(run: Run, knobs: Mapping[PresetRef, Mapping[str, Any]], owner: str = "claims") -> JobSpec | None:
    """What to submit; None when ``knobs`` does not know the run's preset. Blocks run in a fresh process."""
    if isinstance(run, PythonRun):
        return JobSpec(PYTHON_JOB, {"code": run.code}, owner=owner, isolation=Isolation.FRESH, limits=Limits(20.0))
    values = knobs.get(run.preset)
    return None if values is None else JobSpec(run.preset.demo, values, owner=owner)


def settle(claim: Claim, results: Sequence[Mapping[str, Any] | str]) -> Settled:
    """Compares with the authored verdict.

    Each result answers the run at the same place in `runs`; a string says why that run failed.
    """
    held: list[bool] = []
    measured: list[Any] = []
    for run, result in zip(runs(claim), results, strict=True):
        if isinstance(result, str):
            return Settled(Outcome.ERROR, None, None, result)
        found = _python_outcomes(result) if isinstance(run, PythonRun) else _preset_outcomes(run, result)
        if isinstance(found, str):
            return Settled(Outcome.ERROR, None, None, found)
        held += found[0]
        measured.append(found[1])
    came_out = _verdict(held)
    outcome = Outcome.STATED if came_out is claim.verdict else Outcome.REFUTED
    says = f"The authored verdict is {claim.verdict}, the run says {came_out}."
    return Settled(outcome, came_out, measured[0] if len(measured) == 1 else measured, says)


def _verdict(held: Sequence[bool]) -> Verdict:
    if all(held):
        return Verdict.TRUE
    return Verdict.DEPENDS if any(held) else Verdict.FALSE


def _python_outcomes(result: Mapping[str, Any]) -> tuple[list[bool], Any] | str:
    holds = result.get("holds")
    values = list(holds.values()) if isinstance(holds, Mapping) else [holds]
    held = [value for value in values if isinstance(value, bool)]
    if not held or len(held) < len(values):
        return "The block did not set `holds` to true or false, or to a dictionary of them."
    return held, result.get("measured")


def _preset_outcomes(run: PresetRun, result: Mapping[str, Any]) -> tuple[list[bool], Any] | str:
    claims = {claim["id"]: claim for claim in result.get("claims", ())}
    held: list[bool] = []
    measured = {}
    for wanted in run.claims:
        found = claims.get(wanted.claim)
        if found is None:
            return f"The demo's result has no claim `{wanted.claim}`; it has: {', '.join(sorted(claims)) or 'none'}."
        if found["holds"] is None:
            return f"`{wanted.claim}` does not speak of the preset {run.preset}: {found.get('domain', '')}"
        held.append(found["holds"] is wanted.supports)
        measured[wanted.claim] = found["measured"]
    return held, measured
