"""Numbers drawn anew, predictions judged."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.demos import judging
from app.demos.judging import Answer, KnobValue, Rule, WrongAnswer

PRESET: dict[str, KnobValue] = {"p": 0.3, "mode": "train", "units": 8, "inverted": True}
SEEDS = st.integers(0, 2**63 - 1)
VALUES = st.one_of(st.booleans(), st.integers(-5, 5), st.floats(-2, 2), st.sampled_from(["a", "b", "c"]))


@given(VALUES, st.lists(VALUES, min_size=1, max_size=8), SEEDS)
def test_the_presets_own_value_is_never_drawn(own: KnobValue, values: list[KnobValue], seed: int) -> None:
    try:
        drawn = judging.draw_knobs({"knob": own}, {"knob": values}, seed)["knob"]
    except ValueError:
        assert all(isinstance(value, bool) == isinstance(own, bool) and value == own for value in values)
    else:
        assert drawn in values
        assert isinstance(drawn, bool) != isinstance(own, bool) or drawn != own


def test_every_other_value_is_drawn_about_as_often() -> None:
    drawn = [judging.draw_knobs(PRESET, {"p": [0.1, 0.2, 0.3, 0.5]}, seed)["p"] for seed in range(3000)]
    assert {value: round(drawn.count(value) / 1000, 1) for value in set(drawn)} == {0.1: 1.0, 0.2: 1.0, 0.5: 1.0}


def test_knobs_that_are_not_drawn_stay_and_two_knobs_are_drawn_independently() -> None:
    choices: dict[str, list[KnobValue]] = {"units": [4, 8, 16, 32], "p": [0.1, 0.5]}
    drawn = [judging.draw_knobs(PRESET, choices, seed) for seed in range(200)]
    assert {(knobs["units"], knobs["p"]) for knobs in drawn} == {(u, p) for u in (4, 16, 32) for p in (0.1, 0.5)}
    assert all(knobs["mode"] == "train" and knobs["inverted"] is True for knobs in drawn)


def test_the_same_seed_draws_the_same_whatever_the_order_in_the_file() -> None:
    one = judging.draw_knobs(PRESET, {"p": [0.1, 0.5], "units": [4, 16]}, 7)
    assert one == judging.draw_knobs(PRESET, {"units": [4, 16], "p": [0.1, 0.5]}, 7)


@given(SEEDS)
def test_the_numbers_of_the_last_showing_do_not_come_again_at_once(seed: int) -> None:
    choices: dict[str, list[KnobValue]] = {"p": [0.1, 0.2, 0.5, 0.7], "units": [4, 16, 32]}
    first = judging.draw_knobs(PRESET, choices, seed)
    assert judging.draw_knobs(PRESET, choices, seed, previous=first) != first


def test_an_only_other_value_comes_again() -> None:
    only = judging.draw_knobs(PRESET, {"p": [0.3, 0.5]}, 1)
    assert judging.draw_knobs(PRESET, {"p": [0.3, 0.5]}, 2, previous=only) == only


def test_a_knob_without_another_value_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="“p”"):
        judging.draw_knobs(PRESET, {"p": [0.3, 0.1 + 0.2]}, 1)


def test_a_span_includes_both_ends() -> None:
    assert judging.span_values(0.1, 0.9, 0.2) == (0.1, 0.3, 0.5, 0.7, 0.9)
    assert judging.span_values(2, 8, 3) == (2, 5, 8)
    assert all(isinstance(value, int) for value in judging.span_values(2, 8, 3))
    assert judging.span_values(1, 0, 1) == ()
    with pytest.raises(ValueError, match="above zero"):
        judging.span_values(0, 1, 0)


@pytest.mark.parametrize(
    ("predicted", "measured", "rule", "band", "is_right", "error"),
    [
        (2.86, 2.857, "absolute", 0.01, True, 0.003),
        (2.9, 2.857, "absolute", 0.01, False, 0.043),
        (0.1 + 0.2, 0.3, "exact", 0.0, True, 0.0),
        (1e-12, 2e-12, "exact", 0.0, False, 1e-12),
        (105, 100.0, "relative", 0.05, True, 0.05),
        (106, 100.0, "relative", 0.05, False, 0.06),
        (0.1, 0.0, "relative", 0.5, False, None),
        (0, 0.0, "relative", 0.5, True, 0.0),
        (math.nan, math.nan, "absolute", 0.1, True, 0.0),
        (1.0, math.nan, "absolute", 0.1, False, None),
        (math.inf, math.inf, "absolute", 0.1, True, 0.0),
        (1.0, math.inf, "relative", 0.1, False, None),
        ("norm", "norm", "exact", 0.0, True, 0.0),
        ("norm", "value", "absolute", 9.0, False, None),
        (True, True, "exact", 0.0, True, 0.0),
        (True, 1.0, "exact", 0.0, False, None),
        (1.0, True, "exact", 0.0, False, None),
        (["a", "b"], ("a", "b"), "exact", 0.0, True, 0.0),
        (["b", "a"], ("a", "b"), "exact", 0.0, False, None),
    ],
)
def test_a_prediction_is_judged_by_its_rule(
    predicted: Answer, measured: Answer, rule: Rule, band: float, is_right: bool, error: float | None
) -> None:
    judged = judging.judge(predicted, measured, rule, band)
    assert judged.is_right is is_right
    assert judged.error == (None if error is None else pytest.approx(error, abs=1e-15))


WRONG = (WrongAnswer(1.4, "you multiplied by 1 - p."), WrongAnswer(2.0, "you left the survivors alone"))


@pytest.mark.parametrize(("predicted", "says"), [(1.41, WRONG[0].says), (2.0, WRONG[1].says), (9.0, None)])
def test_a_likely_wrong_answer_reveals_its_misconception(predicted: float, says: str | None) -> None:
    assert judging.judge(predicted, 2.857, "absolute", 0.05, WRONG).misconception == says


def test_between_two_misconceptions_the_nearer_one_is_named() -> None:
    assert judging.judge(1.8, 9.0, "absolute", 0.5, WRONG).misconception == WRONG[1].says


def test_a_right_answer_reveals_no_misconception_even_where_a_wrong_one_meets_it() -> None:
    judged = judging.judge(2.0, 2.0, "absolute", 0.05, WRONG)
    assert (judged.is_right, judged.misconception) == (True, None)
