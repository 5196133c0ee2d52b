"""A prediction's numbers and its grade: drawn anew from a seed, judged against what ran (pure)."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.demos.teaching import Prediction, Preset, Wrong
from app.errors import BadInput

Answers = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Graded:
    """``error`` is the distance to the true number, None for what has no distance."""

    measured: Any
    correct: bool
    error: float | None
    misconception: str | None


def draw_knobs(preset: Preset, defaults: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The preset's knobs with the prediction's own drawn anew; a drawn knob never has the preset's value.

    The same seed draws the same numbers. ``defaults`` are the demo's.
    """
    own = {**defaults, **preset.knobs}
    if preset.prediction is None:
        return own
    generator = random.Random(seed)
    drawn = {
        knob: generator.choice([value for value in preset.prediction.choices(knob) if value != own[knob]])
        for knob in sorted(preset.prediction.draw)
    }
    return own | {
        knob: int(value) if isinstance(own[knob], int) and isinstance(value, float) else value
        for knob, value in drawn.items()
    }


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
    correct = matches(prediction, measured, value)
    error = abs(float(value) - float(measured)) if _is_number(value) and _is_number(measured) else None
    wrong = (
        None if correct else next((one for one in prediction.wrong if _reveals(prediction, one, answers, value)), None)
    )
    return Graded(
        measured, correct, error if error is None or math.isfinite(error) else None, wrong.says if wrong else None
    )


def matches(prediction: Prediction, truth: Any, value: Any) -> bool:
    if not (_is_number(truth) and _is_number(value)):
        return bool(_plain(truth) == _plain(value))
    if math.isnan(truth) or math.isinf(truth):
        return str(float(value)) == str(float(truth))
    return abs(float(value) - float(truth)) <= band(prediction, truth)


def band(prediction: Prediction, truth: float) -> float:
    """Half the width of what counts as right; an exact number still forgives rounding to three digits."""
    match prediction.grade.rule:
        case "absolute":
            return prediction.grade.band
        case "relative":
            return prediction.grade.band * abs(truth)
    return 1e-9 if float(truth).is_integer() else 5e-3 * abs(truth)


def _reveals(prediction: Prediction, wrong: Wrong, answers: Answers, value: Any) -> bool:
    candidate = wrong.value if wrong.answer is None else answers[wrong.answer]
    return matches(prediction, candidate, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else str(value).lower() if isinstance(value, bool) else value
