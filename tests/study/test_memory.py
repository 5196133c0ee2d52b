"""What must hold of memory whatever was answered."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.study import memory
from app.study.memory import DEFAULT_WEIGHTS, Rating

STABILITIES = st.floats(memory.STABILITY_LOWEST, memory.STABILITY_HIGHEST)
DIFFICULTIES = st.floats(1.0, 10.0)
ELAPSED = st.integers(0, 40_000)
RATINGS = st.sampled_from(Rating)


@given(STABILITIES, st.floats(0.1, 0.8))
def test_after_as_many_days_as_the_stability_nine_of_ten_are_recalled(stability: float, decay: float) -> None:
    weights = (*DEFAULT_WEIGHTS[:20], decay)
    assert memory.retrievability(stability, stability, weights) == pytest.approx(0.9, rel=1e-12)
    assert memory.retrievability(stability, 0, weights) == 1.0


@given(STABILITIES, ELAPSED, ELAPSED)
def test_retrievability_never_rises_with_time(stability: float, one: int, other: int) -> None:
    sooner, later = sorted((one, other))
    assert 0 < memory.retrievability(stability, later) <= memory.retrievability(stability, sooner) <= 1


def test_a_clock_that_went_back_leaves_memory_whole() -> None:
    assert memory.retrievability(5.0, -3) == 1.0


@given(st.lists(st.tuples(RATINGS, ELAPSED), min_size=1, max_size=40))
def test_stability_and_difficulty_stay_finite_and_in_range(history: list[tuple[Rating, int]]) -> None:
    stability = memory.initial_stability(history[0][0])
    difficulty = memory.initial_difficulty(history[0][0])
    for rating, elapsed_days in history[1:]:
        stability, difficulty = (
            memory.next_stability(difficulty, stability, elapsed_days, rating),
            memory.next_difficulty(difficulty, rating),
        )
        assert math.isfinite(stability) and memory.STABILITY_LOWEST <= stability <= memory.STABILITY_HIGHEST
        assert 1.0 <= difficulty <= 10.0


@given(STABILITIES, DIFFICULTIES, ELAPSED)
def test_a_harder_rating_never_leaves_more_stability(stability: float, difficulty: float, elapsed: int) -> None:
    after = [memory.next_stability(difficulty, stability, elapsed, rating) for rating in Rating]
    assert after == sorted(after)


@given(STABILITIES, DIFFICULTIES, ELAPSED)
def test_recall_never_weakens_and_forgetting_never_strengthens(s: float, difficulty: float, elapsed: int) -> None:
    assert memory.next_stability(difficulty, s, elapsed, Rating.GOOD) >= s
    assert memory.next_stability(difficulty, s, max(elapsed, 1), Rating.AGAIN) <= max(s, memory.STABILITY_LOWEST)


@given(DIFFICULTIES)
def test_a_harder_rating_never_leaves_a_card_easier(difficulty: float) -> None:
    after = [memory.next_difficulty(difficulty, rating) for rating in Rating]
    assert after == sorted(after, reverse=True)


@given(STABILITIES, st.floats(0.7, 0.99))
def test_the_interval_ends_where_the_desired_retention_is_reached(stability: float, desired: float) -> None:
    days = memory.interval_days(stability, desired, DEFAULT_WEIGHTS, 36_500)
    assert 1 <= days <= 36_500
    if 1 < days < 36_500:
        assert memory.retrievability(stability, days) == pytest.approx(desired, rel=1e-9)


def test_at_nine_tenths_the_interval_is_the_stability() -> None:
    assert memory.interval_days(12.5, 0.9, DEFAULT_WEIGHTS, 36_500) == pytest.approx(12.5)


def test_the_first_rating_sets_the_published_values() -> None:
    assert [memory.initial_stability(rating) for rating in Rating] == [0.212, 1.2931, 2.3065, 8.2956]
    assert memory.initial_difficulty(Rating.AGAIN) == 6.4133
    assert memory.initial_difficulty(Rating.EASY) == 1.0
