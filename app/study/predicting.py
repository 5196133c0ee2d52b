"""The grade that a measured prediction speaks for (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from app.demos.judging import Judgement
from app.study.memory import Rating

CLOSE_IN_BANDS = 2.0
SURE_IN_BANDS = 0.25
QUICK, SLOW = 0.5, 3.0
"""Shares of the learner's usual time."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    rating: Rating
    reason: str


def suggest(judgement: Judgement | None, seconds: float, usual_seconds: float | None = None) -> Suggestion | None:
    """The grade that a measured prediction speaks for; the learner may choose another. None without a prediction."""
    if judgement is None:
        return None
    if judgement.misconception is not None:
        return Suggestion(Rating.AGAIN, f"Again: {judgement.misconception.rstrip('.')}.")
    if not judgement.is_right:
        return _suggest_wrong(judgement)
    if usual_seconds is not None and seconds > SLOW * usual_seconds:
        return Suggestion(
            Rating.HARD, f"Hard: right, but it took {seconds:.0f} s; usually you take {usual_seconds:.0f} s."
        )
    if usual_seconds is not None and seconds < QUICK * usual_seconds and _is_sure(judgement):
        return Suggestion(Rating.EASY, f"Easy: right on the value, in {seconds:.0f} s.")
    return Suggestion(Rating.GOOD, "Good: your prediction held.")


def _suggest_wrong(judgement: Judgement) -> Suggestion:
    if judgement.error is not None and 0 < judgement.error <= CLOSE_IN_BANDS * judgement.band:
        return Suggestion(Rating.HARD, "Hard: close, but outside what counts as right.")
    return Suggestion(Rating.AGAIN, "Again: the run gave something else.")


def _is_sure(judgement: Judgement) -> bool:
    return judgement.error is None or judgement.error <= SURE_IN_BANDS * judgement.band
