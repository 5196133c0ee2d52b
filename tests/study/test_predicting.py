"""The grade that a measured prediction speaks for."""

from __future__ import annotations

import pytest

from app.demos.judging import Judgement
from app.study import predicting
from app.study.memory import Rating


@pytest.mark.parametrize(
    ("judgement", "seconds", "rating", "reason"),
    [
        (Judgement(False, 1.0, 0.1, "you multiplied by p."), 5, Rating.AGAIN, "Again: you multiplied by p."),
        (Judgement(False, 1.0, 0.1), 5, Rating.AGAIN, "Again: the run gave something else."),
        (Judgement(False, None, 0.0), 5, Rating.AGAIN, "Again: the run gave something else."),
        (Judgement(False, 0.2, 0.1), 5, Rating.HARD, "Hard: close, but outside what counts as right."),
        (Judgement(True, 0.0, 0.1), 91, Rating.HARD, "Hard: right, but it took 91 s; usually you take 30 s."),
        (Judgement(True, 0.1, 0.1), 10, Rating.GOOD, "Good: your prediction held."),
        (Judgement(True, 0.02, 0.1), 10, Rating.EASY, "Easy: right on the value, in 10 s."),
        (Judgement(True, 0.0, 0.0), 10, Rating.EASY, "Easy: right on the value, in 10 s."),
        (Judgement(True, 0.0, 0.1), 40, Rating.GOOD, "Good: your prediction held."),
    ],
)
def test_the_run_suggests_a_grade_with_its_reason(
    judgement: Judgement, seconds: float, rating: Rating, reason: str
) -> None:
    suggestion = predicting.suggest(judgement, seconds, usual_seconds=30)
    assert suggestion is not None
    assert (suggestion.rating, suggestion.reason) == (rating, reason)


def test_without_a_usual_time_a_right_prediction_is_good() -> None:
    suggestion = predicting.suggest(Judgement(True, 0.0, 0.1), 900)
    assert suggestion is not None and suggestion.rating is Rating.GOOD


def test_a_skipped_prediction_suggests_nothing() -> None:
    assert predicting.suggest(None, 5, 30) is None
