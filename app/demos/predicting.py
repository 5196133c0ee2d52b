"""A prediction's numbers and its grade: drawn anew from a seed, judged against what ran (pure)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.demos import judging
from app.demos.judging import Judgement, WrongAnswer
from app.demos.teaching import Prediction, Preset, Span, Wrong
from app.errors import BadInput

Answers = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Graded:
    """What ran beside what was said. The judgement's error and band are distances in the answer's own unit."""

    measured: Any
    judgement: Judgement


def draw_knobs(
    preset: Preset, defaults: Mapping[str, Any], seed: int, previous: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The preset's knobs with the prediction's own drawn anew: never the preset's value, not twice the same."""
    own = {**defaults, **preset.knobs}
    if preset.prediction is None:
        return own
    choices = {knob: preset.prediction.choices(knob) for knob in preset.prediction.draw}
    drawn = judging.draw_knobs(own, choices, seed, previous)
    return {knob: int(value) if _is_whole(own[knob], value) else value for knob, value in drawn.items()}


def with_draw(preset: Preset, draw: Mapping[str, Any]) -> Preset:
    """The preset with a card's own way of drawing: lists of values, or {"from", "to", "step"}."""
    if not draw or preset.prediction is None:
        return preset
    spans = {knob: _span(listed) if isinstance(listed, Mapping) else tuple(listed) for knob, listed in draw.items()}
    return preset.model_copy(update={"prediction": preset.prediction.model_copy(update={"draw": spans})})


def _span(listed: Mapping[str, Any]) -> Span:
    return Span(start=listed["from"], to=listed["to"], step=listed["step"])


def _is_whole(own: Any, value: Any) -> bool:
    return isinstance(own, int) and isinstance(value, float) and value.is_integer()


def prompt(prediction: Prediction, knobs: Mapping[str, Any]) -> str:
    return prediction.prompt.format(**knobs)


def read_value(prediction: Prediction, text: str | Sequence[str]) -> Any:
    """What was typed or chosen, as the prediction's kind of value. Raises BadInput with a remedy."""
    if prediction.input == "order":
        return _read_order(prediction, text)
    single = text if isinstance(text, str) else " ".join(text)
    if prediction.input == "choice":
        if single not in prediction.options:
            raise BadInput("Choose one of the answers offered.", where="prediction")
        return single
    return _read_number(single)


def _read_order(prediction: Prediction, text: str | Sequence[str]) -> list[str]:
    listed = [part.strip() for part in text.split("|")] if isinstance(text, str) else list(text)
    if sorted(listed) != sorted(prediction.options):
        raise BadInput("Put every entry in the order once.", where="prediction")
    return listed


def _read_number(text: str) -> float:
    """Accepts a decimal comma and a true minus sign, and NaN and infinity by name."""
    tidy = text.strip().replace("−", "-").replace(",", ".").replace("∞", "inf")
    try:
        return float(tidy)
    except ValueError:
        raise BadInput(
            f"“{text[:40]}” is no number. Type digits such as 2.5, or “show me”.", where="prediction"
        ) from None


def grade(prediction: Prediction, answers: Answers, value: Any) -> Graded:
    """Judges by the prediction's rule and, when wrong, names the misconception whose answer was given."""
    measured = answers[prediction.answer]
    wrong = [WrongAnswer(_plain(_candidate(one, answers)), one.says) for one in prediction.wrong]
    width = band(prediction, measured) if _is_number(measured) else 0.0
    return Graded(measured, judging.judge(_plain(value), _plain(measured), "absolute", width, wrong))


def _candidate(wrong: Wrong, answers: Answers) -> Any:
    return wrong.value if wrong.answer is None else answers[wrong.answer]


def band(prediction: Prediction, truth: float) -> float:
    """Half the width of what counts as right; an exact number still forgives rounding to three digits."""
    match prediction.grade.rule:
        case "absolute":
            return prediction.grade.band
        case "relative":
            return prediction.grade.band * abs(truth) if math.isfinite(truth) else 0.0
    return 0.0 if not math.isfinite(truth) or float(truth).is_integer() else 5e-3 * abs(truth)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else str(value).lower() if isinstance(value, bool) else value
