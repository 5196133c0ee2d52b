"""A demonstration and the claims of a card run in the pool from the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app import cli_runs
from app.demos import catalogue
from app.demos.result import parse
from app.errors import BadInput
from tests.cli.command import said, sentence
from tests.cli.texts import CARD

pytestmark = pytest.mark.terminal

DROPOUT = catalogue.one("dropout-lab")


@pytest.mark.demos
def test_a_demonstration_as_json_is_its_result_and_nothing_else(tmp_path: Path) -> None:
    found = said("demo", "dropout-lab", "p=0.5", "passes=10", "--json", folder=tmp_path)
    result = parse(json.loads(found.stdout))
    assert found.returncode == 0
    assert result.answers["survivor"] == 4.0
    assert result.versions["device"] == "cpu"
    assert not (tmp_path / "data").exists()


@pytest.mark.demos
def test_claims_print_their_outcome_and_a_refuted_one_fails(tmp_path: Path) -> None:
    cards = tmp_path / "cards" / "foundations"
    cards.mkdir(parents=True)
    (cards / "halving.md").write_text(CARD, encoding="utf-8")
    wrong = CARD.replace("id: halving", "id: wrongly").replace("verdict: true", "verdict: false")
    (cards / "wrongly.md").write_text(wrong.replace("half of one?", "half of one, wrongly?"), encoding="utf-8")
    found = said("claims", folder=tmp_path, FORWARD_PASS_CONTENT=str(tmp_path / "cards"))
    assert found.returncode == 1
    assert "stated   halving 1: Half of one is 0.5." in found.stdout
    assert "refuted  wrongly 1: Half of one is 0.5." in found.stdout
    assert "2 claims: 1 stated, 1 refuted, 0 error." in found.stdout


def test_claims_of_a_card_that_is_not_there_are_one_sentence(tmp_path: Path) -> None:
    found = said("claims", "none", folder=tmp_path, FORWARD_PASS_CONTENT=str(tmp_path))
    assert found.returncode == 2
    assert "No card with claims is called none." in sentence(found)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["no-such-demo"], "There is no demo “no-such-demo”. There are: "),
        (["dropout-lab", "q=1"], "“q” is no knob of dropout-lab. The knobs are p, "),
        (["dropout-lab", "p"], "“p” is no knob=value."),
        (["dropout-lab", "p=NaN"], "p: Input should be a finite number. It takes 0 to 0.95."),
        (["dropout-lab", "p=1e400"], "p: Input should be a finite number."),
        (["dropout-lab", "p=7"], "p: Input should be less than or equal to 0.95."),
        (["dropout-lab", "mode=sideways"], "It takes train, eval, monte carlo."),
        (["dropout-lab", "--preset", "none"], "“dropout-lab” has no preset “none”. It has: train-and-eval, "),
    ],
)
def test_what_cannot_be_run_is_one_sentence(words: list[str], says: str, tmp_path: Path) -> None:
    found = said("demo", *words, folder=tmp_path)
    assert found.returncode == 2
    assert says in sentence(found)
    assert found.stdout == ""


def test_words_become_knobs() -> None:
    knobs = cli_runs.knobs_of(DROPOUT, {"p": 0.1}, ["mode=eval", "same_mask=true", "passes=7"])
    assert (knobs["p"], knobs["mode"], knobs["same_mask"], knobs["passes"]) == (0.1, "eval", True, 7)


def test_the_last_value_of_a_knob_wins_over_the_preset() -> None:
    preset = dict(DROPOUT.teaching.presets[0].knobs)
    assert cli_runs.knobs_of(DROPOUT, preset, ["p=0.25", "p=0.75"])["p"] == 0.75


def test_a_comma_separated_value_is_a_list() -> None:
    with pytest.raises(BadInput, match=r"^p: "):
        cli_runs.knobs_of(DROPOUT, {}, ["p=1,2"])


def test_the_terminal_lists_every_demonstration(tmp_path: Path) -> None:
    listed = said("demo", folder=tmp_path).stdout
    assert all(demo.slug in listed and demo.title in listed for demo in catalogue.stored())
