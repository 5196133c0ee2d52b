"""When a card comes back: learning steps, intervals, fuzz, undo; memory is a fold over the log (pure).

Nothing here reads a clock, a setting or global randomness: an event carries the parameters, the fuzz seed and the last
allowed day it was answered under, so the same events always give the same state.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from app.study import memory
from app.study.memory import DEFAULT_WEIGHTS, Rating, Weights

Phase = Literal["new", "learning", "review", "relearning"]
EventKind = Literal["grade", "known", "undo"]
CardId = int

VERSION = "fsrs-6"
DAY_SECONDS = 86_400
FUZZ_FROM_DAYS = 2.5
FUZZ_BANDS = ((2.5, 7.0, 0.15), (7.0, 20.0, 0.10), (20.0, math.inf, 0.05))
"""(start, end, share): the part of an interval inside [start, end) widens the fuzz by this share of itself."""


@dataclass(frozen=True, slots=True)
class SchedulerParameters:
    """What an answer is scheduled under. Raises ValueError for values that would give no sensible schedule."""

    version: str = VERSION
    weights: Weights = DEFAULT_WEIGHTS
    desired_retention: float = 0.9
    learning_steps_seconds: tuple[int, ...] = (60, 600)
    relearning_steps_seconds: tuple[int, ...] = (600,)
    maximum_interval_days: int = 36_500
    fuzz: bool = True

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise ValueError(f"The scheduler version {self.version!r} is not known here; {VERSION!r} is.")
        if len(self.weights) != 21 or not all(math.isfinite(weight) for weight in self.weights):
            raise ValueError("FSRS-6 has 21 finite weights.")
        if not 0.7 <= self.desired_retention <= 0.99:
            raise ValueError("The desired retention lies between 0.70 and 0.99.")
        if self.maximum_interval_days < 1:
            raise ValueError("The maximum interval is at least one day.")
        for steps in (self.learning_steps_seconds, self.relearning_steps_seconds):
            if any(step < 1 for step in steps) or list(steps) != sorted(steps):
                raise ValueError("Steps are positive and none is shorter than the one before it.")


@dataclass(frozen=True, slots=True)
class MemoryState:
    """What is remembered of one card for one learner.

    ``due_day`` is the first study day on which the card may be shown, None only while new. ``due_at_ms`` is the moment
    of a step within ``due_day``; once that day is over the card is due at once. ``step`` counts passed steps.
    ``repetitions`` counts grades, not "I know this".
    """

    phase: Phase = "new"
    step: int = 0
    stability: float | None = None
    difficulty: float | None = None
    due_day: int | None = None
    due_at_ms: int | None = None
    last_day: int | None = None
    last_at_ms: int | None = None
    repetitions: int = 0
    lapses: int = 0
    last_event_id: int | None = None


NEW = MemoryState()


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line of the append-only log. ``undoes`` is the event that an undo takes back; an undo can be undone."""

    kind: EventKind
    event_id: int
    card_id: CardId
    rating: Rating | None
    at_ms: int
    study_day: int
    utc_offset_seconds: int = 0
    parameters: SchedulerParameters = field(default_factory=SchedulerParameters)
    fuzz_seed: int = 0
    not_after_day: int | None = None
    undoes: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rating would lead to. Exactly one of ``seconds`` and ``days`` is set; 0 days: no more before the date."""

    rating: Rating
    state: MemoryState
    seconds: int | None
    days: int | None
    text: str


def answer(
    state: MemoryState,
    rating: Rating,
    at_ms: int,
    study_day: int,
    parameters: SchedulerParameters,
    fuzz_seed: int,
    not_after_day: int | None = None,
) -> MemoryState:
    """The state after a grade. ``not_after_day`` is the last study day on which anything may be due.

    A cap that lies before ``study_day`` has passed and is ignored. ``last_event_id`` is left as it was.
    """
    remembered = _remembered(state, rating, study_day, parameters.weights)
    lapsed = state.phase == "review" and rating == Rating.AGAIN
    seen = replace(
        remembered,
        last_day=max(study_day, state.last_day or study_day),
        last_at_ms=at_ms,
        repetitions=state.repetitions + 1,
        lapses=state.lapses + int(lapsed),
    )
    step = _next_step(state, rating, parameters)
    if step is None:
        return _graduated(seen, study_day, parameters, fuzz_seed, not_after_day)
    return _stepped(seen, *step, at_ms, study_day, not_after_day)


def preview(
    state: MemoryState,
    at_ms: int,
    study_day: int,
    parameters: SchedulerParameters,
    fuzz_seed: int,
    not_after_day: int | None = None,
) -> tuple[Outcome, Outcome, Outcome, Outcome]:
    """What Again, Hard, Good and Easy would lead to, with the same seed that the answer will be given."""
    again, hard, good, easy = (
        _outcome(rating, answer(state, rating, at_ms, study_day, parameters, fuzz_seed, not_after_day), study_day)
        for rating in Rating
    )
    return again, hard, good, easy


def fold(events: Iterable[LogEvent]) -> MemoryState:
    """The memory of one card from its events in the order of the log."""
    state = NEW
    for event in kept(events):
        state = apply(state, event)
    return state


def apply(state: MemoryState, event: LogEvent) -> MemoryState:
    """One grade or "I know this" after ``state``. Raises ValueError for an undo, which only `fold` understands."""
    inputs = (event.at_ms, event.study_day, event.parameters, event.fuzz_seed, event.not_after_day)
    if event.kind == "known":
        known = answer(state, Rating.EASY, *inputs)
        return replace(known, repetitions=state.repetitions, last_event_id=event.event_id)
    if event.kind != "grade" or event.rating is None:
        raise ValueError(f"Event {event.event_id} is no grade.")
    return replace(answer(state, event.rating, *inputs), last_event_id=event.event_id)


def kept(events: Iterable[LogEvent]) -> list[LogEvent]:
    """The grades that no standing undo names, in order. Read from the end, so an undo of an undo restores."""
    undone: set[int] = set()
    standing: list[LogEvent] = []
    for event in reversed(list(events)):
        if event.event_id in undone:
            continue
        if event.kind == "undo":
            undone.update(() if event.undoes is None else (event.undoes,))
        else:
            standing.append(event)
    return standing[::-1]


def last_undoable(events: Sequence[LogEvent]) -> LogEvent | None:
    """The event that the next undo should name; None when nothing is left to undo."""
    standing = kept(events)
    return standing[-1] if standing else None


def fuzz_range(days: float, maximum: int) -> tuple[int, int]:
    """The lowest and highest whole days that fuzz may choose for an interval; equal when there is no fuzz."""
    if days < FUZZ_FROM_DAYS:
        whole = min(max(_rounded(days), 1), maximum)
        return whole, whole
    delta = 1.0 + sum(share * max(min(days, end) - start, 0.0) for start, end, share in FUZZ_BANDS)
    highest = min(_rounded(days + delta), maximum)
    return min(max(_rounded(days - delta), 2), highest), highest


def fuzzed_days(days: float, maximum: int, seed: int) -> int:
    """One whole number of the fuzz range, each as likely over seeds; grows with ``days`` for a given seed."""
    lowest, highest = fuzz_range(days, maximum)
    return lowest + math.floor(unit_interval(seed) * (highest - lowest + 1))


def unit_interval(seed: int) -> float:
    """A number in [0, 1) from a seed: one step of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014, figure 17)."""
    mask = (1 << 64) - 1
    mixed = (seed + 0x9E3779B97F4A7C15) & mask
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
    return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)


def capped_due_day(due_day: int, study_day: int, not_after_day: int | None) -> int:
    """The day on which a card is due when nothing may be due after ``not_after_day``; a cap that has passed is none."""
    if not_after_day is None or not_after_day < study_day:
        return due_day
    return min(due_day, not_after_day)


def interval_text(seconds: int | None, days: int | None) -> str:
    """ "<10m", "4h", "4d", "2.1mo", "1.3y"; "done" for a card that does not come back before the date."""
    if seconds is not None:
        return f"<{math.ceil(seconds / 60)}m" if seconds < 5400 else f"{_rounded(seconds / 3600)}h"
    if not days:
        return "done"
    if days < 31:
        return f"{days}d"
    return f"{days / 30.4375:.1f}mo" if days < 365 else f"{days / 365.25:.1f}y"


@lru_cache(maxsize=256)
def shared(parameters: SchedulerParameters) -> SchedulerParameters:
    """One object for equal parameters, so that a long log holds them once."""
    return parameters


def _remembered(state: MemoryState, rating: Rating, study_day: int, weights: Weights) -> MemoryState:
    if state.stability is None or state.difficulty is None:
        return replace(
            state,
            stability=memory.initial_stability(rating, weights),
            difficulty=memory.initial_difficulty(rating, weights),
        )
    elapsed_days = study_day - (study_day if state.last_day is None else state.last_day)
    return replace(
        state,
        stability=memory.next_stability(state.difficulty, state.stability, elapsed_days, rating, weights),
        difficulty=memory.next_difficulty(state.difficulty, rating, weights),
    )


def _next_step(
    state: MemoryState, rating: Rating, parameters: SchedulerParameters
) -> tuple[Literal["learning", "relearning"], int, int] | None:
    """(phase, passed steps, seconds to wait), or None when the card goes on to days."""
    learns = state.phase in ("new", "learning")
    steps = parameters.learning_steps_seconds if learns else parameters.relearning_steps_seconds
    phase: Literal["learning", "relearning"] = "learning" if learns else "relearning"
    if not steps or rating == Rating.EASY or (state.phase == "review" and rating != Rating.AGAIN):
        return None
    if rating == Rating.AGAIN:
        return phase, 0, steps[0]
    step = state.step if state.phase != "new" else 0
    if step >= len(steps) or (rating == Rating.GOOD and step + 1 == len(steps)):
        return None
    if rating == Rating.GOOD:
        return phase, step + 1, steps[step + 1]
    return phase, step, _hard_seconds(step, steps)


def _hard_seconds(step: int, steps: tuple[int, ...]) -> int:
    """Hard repeats a step; on the first it waits half-way to the second, or half as long again when there is none."""
    if step > 0:
        return steps[step]
    return (steps[0] + steps[1]) // 2 if len(steps) > 1 else min(steps[0] * 3 // 2, steps[0] + DAY_SECONDS)


def _stepped(
    seen: MemoryState,
    phase: Literal["learning", "relearning"],
    step: int,
    seconds: int,
    at_ms: int,
    study_day: int,
    not_after_day: int | None,
) -> MemoryState:
    if seconds < DAY_SECONDS:
        return replace(seen, phase=phase, step=step, due_day=study_day, due_at_ms=at_ms + 1000 * seconds)
    due_day = capped_due_day(study_day + _rounded(seconds / DAY_SECONDS), study_day, not_after_day)
    return replace(seen, phase=phase, step=step, due_day=due_day, due_at_ms=None)


def _graduated(
    seen: MemoryState, study_day: int, parameters: SchedulerParameters, fuzz_seed: int, not_after_day: int | None
) -> MemoryState:
    assert seen.stability is not None
    maximum = parameters.maximum_interval_days
    days = memory.interval_days(seen.stability, parameters.desired_retention, parameters.weights, maximum)
    whole = fuzzed_days(days, maximum, fuzz_seed) if parameters.fuzz else min(_rounded(days), maximum)
    due_day = capped_due_day(study_day + whole, study_day, not_after_day)
    return replace(seen, phase="review", step=0, due_day=due_day, due_at_ms=None)


def _outcome(rating: Rating, state: MemoryState, study_day: int) -> Outcome:
    if state.due_at_ms is not None and state.last_at_ms is not None:
        seconds = (state.due_at_ms - state.last_at_ms) // 1000
        return Outcome(rating, state, seconds, None, interval_text(seconds, None))
    days = (study_day if state.due_day is None else state.due_day) - study_day
    return Outcome(rating, state, None, days, interval_text(None, days))


def _rounded(value: float) -> int:
    """Half rounds up; Python's own rounding would send 2.5 to 2."""
    return math.floor(value + 0.5)
