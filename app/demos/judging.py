"""Numbers drawn anew for a prediction, and a prediction judged against the run (pure)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

KnobValue = bool | int | float | str
Answer = bool | int | float | str | Sequence[str]
Rule = Literal["exact", "absolute", "relative"]

REDRAWS = 16


@dataclass(frozen=True, slots=True)
class WrongAnswer:
    """An answer that reveals a misconception, which ``says`` names: "you multiplied by p"."""

    value: Answer
    says: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """``error``: distance from the measured value in the rule's terms, None where distance means nothing."""

    is_right: bool
    error: float | None
    band: float
    misconception: str | None = None


def draw_knobs(
    preset: Mapping[str, KnobValue],
    choices: Mapping[str, Sequence[KnobValue]],
    seed: int,
    previous: Mapping[str, KnobValue] | None = None,
) -> dict[str, KnobValue]:
    """All knobs of ``preset``, those in ``choices`` drawn anew: never the preset's own value, each other as likely.

    ``previous`` are the knobs of the last showing; they do not come twice in a row where there are others.
    Raises ValueError when a knob has no value but the preset's own.
    """
    possible = {knob: _others(values, preset.get(knob)) for knob, values in choices.items()}
    for knob, values in possible.items():
        if not values:
            raise ValueError(f"The knob “{knob}” has no value to draw but the preset's own. List at least one other.")
    drawn = dict(preset)
    for attempt in range(REDRAWS):
        drawn = {**preset, **_one_of_each(possible, seed, attempt)}
        if previous is None or not all(_same(drawn[knob], previous.get(knob)) for knob in possible):
            break
    return drawn


def span_values(start: float, stop: float, step: float) -> tuple[float, ...]:
    """``start``, ``start + step``, … up to and including ``stop``; whole numbers stay whole."""
    if step <= 0:
        raise ValueError("The step of a span is above zero.")
    count = math.floor((stop - start) / step + 1e-9) + 1
    whole = all(isinstance(number, int) for number in (start, stop, step))
    return tuple(start + place * step if whole else round(start + place * step, 10) for place in range(count))


def judge(
    predicted: Answer, measured: Answer, rule: Rule, band: float = 0.0, wrong: Sequence[WrongAnswer] = ()
) -> Judgement:
    """``relative`` bands are shares of the measured value's size. NaN is right where NaN was measured.

    A wrong prediction reveals the misconception whose value it meets by the same rule, the nearest one first.
    """
    error = _error(predicted, measured, rule)
    band = 0.0 if rule == "exact" else band
    if _is_within(error, band):
        return Judgement(True, None if error == math.inf else error, band)
    distances = [(_error(predicted, answer.value, rule), place) for place, answer in enumerate(wrong)]
    met = min(((distance, place) for distance, place in distances if _is_within(distance, band)), default=None)
    says = None if met is None else wrong[met[1]].says
    return Judgement(False, error if math.isfinite(error) else None, band, says)


def _others(values: Sequence[KnobValue], own: KnobValue | None) -> list[KnobValue]:
    others: list[KnobValue] = []
    for value in values:
        if not _same(value, own) and not any(_same(value, other) for other in others):
            others.append(value)
    return others


def _one_of_each(possible: Mapping[str, Sequence[KnobValue]], seed: int, attempt: int) -> dict[str, KnobValue]:
    """Knobs are drawn in the order of their names, so that the order in a file changes nothing."""
    drawn = {}
    for place, knob in enumerate(sorted(possible)):
        values = possible[knob]
        drawn[knob] = values[_number(seed, attempt, place) % len(values)]
    return drawn


def _number(seed: int, attempt: int, place: int) -> int:
    """64 bits that depend on nothing else; far more than a knob has values."""
    return int.from_bytes(hashlib.sha256(f"{seed} {attempt} {place}".encode()).digest()[:8], "big")


def _same(left: KnobValue | None, right: KnobValue | None) -> bool:
    """2 and 2.0 are the same, 1 and True are not."""
    if _is_number(left) and _is_number(right):
        return math.isclose(left, right, rel_tol=1e-9)  # type: ignore[arg-type]
    return type(left) is type(right) and left == right


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _error(predicted: Answer, measured: Answer, rule: Rule) -> float:
    """0 for equal answers, infinity for different ones without a distance."""
    if isinstance(predicted, int | float) and isinstance(measured, int | float) and _is_number(predicted):
        return _distance(float(predicted), float(measured), rule) if _is_number(measured) else math.inf
    if isinstance(predicted, list | tuple) and isinstance(measured, list | tuple):
        return 0.0 if list(predicted) == list(measured) else math.inf
    return 0.0 if type(predicted) is type(measured) and predicted == measured else math.inf


def _distance(predicted: float, measured: float, rule: Rule) -> float:
    """A hair of rounding is forgiven: 0.1 + 0.2 is 0.3."""
    if math.isclose(predicted, measured, rel_tol=1e-9) or (math.isnan(predicted) and math.isnan(measured)):
        return 0.0
    distance = abs(predicted - measured)
    if not math.isfinite(distance):
        return math.inf
    if rule == "relative":
        return distance / abs(measured) if measured else math.inf
    return distance


def _is_within(error: float, band: float) -> bool:
    return error <= band * (1 + 1e-9)
