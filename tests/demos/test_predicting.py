"""Numbers drawn, text read, predictions graded."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.demos import predicting
from app.demos.teaching import Goal, Grade, Prediction, Preset, Span, Wrong, slug_of
from app.errors import BadInput

ASKED = Prediction(
    prompt="What becomes of 2.0 at p = {p}?",
    answer="survivor",
    grade=Grade(rule="relative", band=0.02),
    wrong=(Wrong(says="you multiplied", answer="multiplied"), Wrong(says="you left it alone", value=2.0)),
    draw={"p": Span(start=0.1, to=0.9, step=0.1)},
)
PRESET = Preset(name="Survivor of p", question="?", knobs={"p": 0.3}, prediction=ASKED)
ANSWERS = {"survivor": 2 / 0.7, "multiplied": 1.4}


@given(st.integers(0, 2**40))
def test_a_drawn_knob_is_never_the_presets_own(seed: int) -> None:
    drawn = predicting.draw_knobs(PRESET, {"p": 0.5, "seed": 0}, seed)
    assert drawn["p"] != 0.3
    assert 0.1 <= drawn["p"] <= 0.9
    assert drawn == predicting.draw_knobs(PRESET, {"p": 0.5, "seed": 0}, seed)


def test_a_card_may_draw_in_its_own_way() -> None:
    narrow = predicting.with_draw(PRESET, {"p": {"from": 0.6, "to": 0.6, "step": 0.1}})
    assert predicting.draw_knobs(narrow, {"p": 0.5}, 1)["p"] == 0.6


@pytest.mark.parametrize(
    ("said", "is_right", "misconception"),
    [
        (2.857, True, None),
        (2.87, True, None),
        (1.4, False, "you multiplied"),
        (2.0, False, "you left it alone"),
        (9.0, False, None),
        (math.nan, False, None),
        (math.inf, False, None),
    ],
)
def test_a_wrong_prediction_names_the_misconception_it_gives(
    said: float, is_right: bool, misconception: str | None
) -> None:
    graded = predicting.grade(ASKED, ANSWERS, said)
    assert (graded.judgement.is_right, graded.judgement.misconception) == (is_right, misconception)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2.5", 2.5), ("2,5", 2.5), (" −3 ", -3.0), ("1e-3", 0.001), ("inf", math.inf), ("-∞", -math.inf)],
)
def test_numbers_are_read_as_people_write_them(text: str, value: float) -> None:
    assert predicting.read_value(ASKED, text) == value


@pytest.mark.parametrize("text", ["", "two", "1 2", "0x1f", "--1"])
def test_what_is_no_number_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(BadInput, match="show me"):
        predicting.read_value(ASKED, text)


def test_a_choice_and_an_order_take_only_what_was_offered() -> None:
    choice = Prediction(prompt="?", input="choice", answer="a", options=("up", "down"))
    order = Prediction(prompt="?", input="order", answer="a", options=("a", "b", "c"))
    assert predicting.read_value(choice, "up") == "up"
    assert predicting.read_value(order, ["b", "a", "c"]) == ["b", "a", "c"]
    for prediction, text in ((choice, "left"), (order, ["a", "a", "b"])):
        with pytest.raises(BadInput):
            predicting.read_value(prediction, text)


@pytest.mark.parametrize(("truth", "said"), [(math.nan, math.nan), (math.inf, math.inf), (0.0, 0.0)])
def test_what_is_not_finite_can_be_predicted(truth: float, said: float) -> None:
    asked = Prediction(prompt="?", answer="a")
    assert predicting.grade(asked, {"a": truth}, said).judgement.is_right


@pytest.mark.parametrize(
    ("goal", "value", "reached"),
    [
        (Goal(answer="a", above=1), 2.0, True),
        (Goal(answer="a", above=1), 1.0, False),
        (Goal(answer="a", below=1), math.nan, False),
        (Goal(answer="a", is_nan=True), math.nan, True),
        (Goal(answer="a", is_nan=True), 1.0, False),
        (Goal(answer="a", equals="up"), "up", True),
    ],
)
def test_a_goal_is_reached_by_the_runs_answer(goal: Goal, value: Any, reached: bool) -> None:
    assert goal.reached({"a": value}) is reached


def test_a_presets_slug_is_its_name_in_lower_case_with_hyphens() -> None:
    assert slug_of("loops, unfold, shift") == "loops-unfold-shift"
