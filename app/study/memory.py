"""FSRS-6: how a memory's stability and difficulty follow from ratings on whole study days (pure).

Sources. The model of memory (difficulty, stability, retrievability) and the form of its updates: J. Ye, J. Su, Y. Cao,
"A Stochastic Shortest Path Algorithm for Optimizing Spaced Repetition Scheduling", KDD 2022, and J. Su, J. Ye, L. Nie,
Y. Cao, Y. Chen, "Optimizing Spaced Repetition Schedule by Capturing the Dynamics of Memory", IEEE TKDE 2023. The
constants and the equations named below: "The Algorithm", wiki of open-spaced-repetition, section FSRS-6.

Symbols: S stability in days, D difficulty in [1, 10], R retrievability, G rating 1..4, w weights 0..20, t elapsed days.
"""

from __future__ import annotations

import math
from enum import IntEnum

Weights = tuple[float, ...]

DEFAULT_WEIGHTS: Weights = (
    *(0.212, 1.2931, 2.3065, 8.2956),
    *(6.4133, 0.8334, 3.0194, 0.001),
    *(1.8722, 0.1666, 0.796),
    *(1.4835, 0.0614, 0.2629, 1.6483),
    *(0.6014, 1.8729),
    *(0.5425, 0.0912, 0.0658),
    0.1542,
)
"""Initial stability, difficulty, recall, forgetting, hard and easy, same day, decay: FSRS-6's published defaults."""

STABILITY_LOWEST, STABILITY_HIGHEST = 0.001, 36_500.0
DIFFICULTY_LOWEST, DIFFICULTY_HIGHEST = 1.0, 10.0
RETENTION_OF_STABILITY = 0.9
"""Stability is the number of days after which retrievability has fallen to this."""


class Rating(IntEnum):
    AGAIN = 1
    HARD = 2
    GOOD = 3
    EASY = 4


def retrievability(stability_days: float, elapsed_days: float, weights: Weights = DEFAULT_WEIGHTS) -> float:
    """Forgetting curve: R(t, S) = (1 + factor · t/S)^(−w20), with factor = 0.9^(−1/w20) − 1 so that R(S, S) = 0.9."""
    return math.pow(1 + _factor(weights) * max(elapsed_days, 0) / stability_days, -weights[20])


def interval_days(stability: float, desired_retention: float, weights: Weights, maximum: int) -> float:
    """Days until R falls to the desired retention: I(r, S) = S/factor · (r^(−1/w20) − 1), within [1, maximum].

    Not rounded: rounding is the scheduler's, after fuzz.
    """
    days = stability / _factor(weights) * (math.pow(desired_retention, -1 / weights[20]) - 1)
    return min(max(days, 1.0), float(maximum))


def initial_stability(rating: Rating, weights: Weights = DEFAULT_WEIGHTS) -> float:
    """Stability after the first rating: S0(G) = w[G−1]."""
    return _clamped_stability(weights[rating - 1])


def initial_difficulty(rating: Rating, weights: Weights = DEFAULT_WEIGHTS) -> float:
    """Difficulty after the first rating: D0(G) = w4 − e^(w5·(G−1)) + 1."""
    return _clamped_difficulty(_raw_initial_difficulty(rating, weights))


def next_difficulty(difficulty: float, rating: Rating, weights: Weights = DEFAULT_WEIGHTS) -> float:
    """Three steps: ΔD = −w6·(G−3); linear damping D' = D + ΔD·(10−D)/9; mean reversion D'' = w7·D0(4) + (1−w7)·D'.

    The D0(4) that difficulty reverts to is the unclamped value.
    """
    change = -weights[6] * (rating - 3)
    damped = difficulty + change * (DIFFICULTY_HIGHEST - difficulty) / 9
    reverted = weights[7] * _raw_initial_difficulty(Rating.EASY, weights) + (1 - weights[7]) * damped
    return _clamped_difficulty(reverted)


def stability_after_recall(
    difficulty: float, stability: float, recalled_at: float, rating: Rating, weights: Weights = DEFAULT_WEIGHTS
) -> float:
    """S'r(D, S, R, G) = S · (1 + e^w8 · (11−D) · S^(−w9) · (e^(w10·(1−R)) − 1) · w15 if hard · w16 if easy).

    ``recalled_at`` is the retrievability R at the moment of the review.
    """
    hard_penalty = weights[15] if rating == Rating.HARD else 1.0
    easy_bonus = weights[16] if rating == Rating.EASY else 1.0
    growth = (
        math.exp(weights[8])
        * (11 - difficulty)
        * math.pow(stability, -weights[9])
        * math.expm1(weights[10] * (1 - recalled_at))
        * hard_penalty
        * easy_bonus
    )
    return _clamped_stability(stability * (1 + growth))


def stability_after_forgetting(
    difficulty: float, stability: float, recalled_at: float, weights: Weights = DEFAULT_WEIGHTS
) -> float:
    """S'f(D, S, R) = w11 · D^(−w12) · ((S+1)^w13 − 1) · e^(w14·(1−R)), at most S / e^(w17·w18)."""
    forgotten = (
        weights[11]
        * math.pow(difficulty, -weights[12])
        * (math.pow(stability + 1, weights[13]) - 1)
        * math.exp(weights[14] * (1 - recalled_at))
    )
    return _clamped_stability(min(forgotten, stability / math.exp(weights[17] * weights[18])))


def stability_after_same_day(stability: float, rating: Rating, weights: Weights = DEFAULT_WEIGHTS) -> float:
    """S'(S, G) = S · e^(w17·(G−3+w18)) · S^(−w19); the factor is at least 1 unless the rating is Again."""
    factor = math.exp(weights[17] * (rating - 3 + weights[18])) * math.pow(stability, -weights[19])
    return _clamped_stability(stability * (factor if rating == Rating.AGAIN else max(factor, 1.0)))


def next_stability(
    difficulty: float, stability: float, elapsed_days: int, rating: Rating, weights: Weights = DEFAULT_WEIGHTS
) -> float:
    """Which of the three updates holds depends on whether a study day has passed and whether it was recalled."""
    if elapsed_days < 1:
        return stability_after_same_day(stability, rating, weights)
    recalled_at = retrievability(stability, elapsed_days, weights)
    if rating == Rating.AGAIN:
        return stability_after_forgetting(difficulty, stability, recalled_at, weights)
    return stability_after_recall(difficulty, stability, recalled_at, rating, weights)


def _factor(weights: Weights) -> float:
    return math.pow(RETENTION_OF_STABILITY, -1 / weights[20]) - 1


def _raw_initial_difficulty(rating: Rating, weights: Weights) -> float:
    return weights[4] - math.exp(weights[5] * (rating - 1)) + 1


def _clamped_stability(stability: float) -> float:
    return min(max(stability, STABILITY_LOWEST), STABILITY_HIGHEST)


def _clamped_difficulty(difficulty: float) -> float:
    return min(max(difficulty, DIFFICULTY_LOWEST), DIFFICULTY_HIGHEST)
