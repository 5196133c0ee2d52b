"""How much fits into the minutes of a day, and what will have been seen by a date (pure).

The pace is the learner's own. No optimality is claimed: due cards come first, new cards fill what is left of the
minutes, and a simulation of that rule says where it leads.
"""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.study import memory, schedule
from app.study.memory import Rating
from app.study.schedule import MemoryState, SchedulerParameters

SHOWN_AFTER_ANSWERS = 10
ASSUMED_SECONDS_PER_ANSWER = 20.0
LONGEST_IN_MEDIANS = 5
"""An answer longer than this many medians counts as that long: the learner walked away."""
AGAIN_WHEN_NEW, AGAIN_IN_STEPS = 0.2, 0.1
"""Assumed shares of Again where no memory can predict it yet."""
SESSION_BEGINS_MS = 12 * 3_600_000
LEARN_AHEAD_MS = 20 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Pace:
    """``answers`` is how many it was measured from; below ten the seconds are an assumption, not to be shown."""

    seconds_per_answer: float = ASSUMED_SECONDS_PER_ANSWER
    answers: int = 0

    @property
    def is_shown(self) -> bool:
        return self.answers >= SHOWN_AFTER_ANSWERS


@dataclass(frozen=True, slots=True)
class Plan:
    """What fits today. ``reviews_left_over`` are due but do not fit; ``seconds`` is what all that fits takes."""

    reviews: int
    reviews_left_over: int
    new_cards: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Learner:
    """Where a simulation starts. ``cards``: (memory, number of study days on which it was answered).

    ``new_cards`` wait to be introduced, at most ``new_cards_a_day`` of them (None: as many as fit). ``minutes`` None
    means that no day is ever full.
    """

    first_day: int
    cards: tuple[tuple[MemoryState, int], ...] = ()
    new_cards: int = 0
    new_cards_a_day: int | None = None
    minutes: float | None = None
    pace: Pace = Pace()
    parameters: SchedulerParameters = field(default_factory=SchedulerParameters)
    not_after_day: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SimulatedDay:
    """``left_over``: cards that were due but no longer fitted. ``overrun_seconds`` is 0 on a day that kept to it."""

    study_day: int
    answers: int
    new_cards: int
    left_over: int
    seconds: float
    overrun_seconds: float


@dataclass(frozen=True, slots=True)
class Simulation:
    """``seen_twice``: cards answered on two study days or more by the end, those from before included."""

    days: tuple[SimulatedDay, ...]
    introduced: int
    seen_twice: int


def measured(durations_ms: Sequence[int]) -> Pace:
    """The mean time of an answer, in which none counts for more than five medians."""
    durations = [duration for duration in durations_ms if duration > 0]
    if len(durations) < SHOWN_AFTER_ANSWERS:
        return Pace(answers=len(durations))
    longest = LONGEST_IN_MEDIANS * statistics.median(durations)
    return Pace(statistics.fmean(min(duration, longest) for duration in durations) / 1000, len(durations))


def seconds_per_new_card(pace: Pace, parameters: SchedulerParameters) -> float:
    """A new card is answered once for each learning step on its first day, and again after each Again."""
    steps = max(len(parameters.learning_steps_seconds), 1)
    return pace.seconds_per_answer * steps * (1 + AGAIN_WHEN_NEW)


def seconds_per_review(pace: Pace, parameters: SchedulerParameters) -> float:
    """A review is answered once, and once more for each relearning step when it was forgotten."""
    forgotten = 1 - parameters.desired_retention
    return pace.seconds_per_answer * (1 + forgotten * len(parameters.relearning_steps_seconds))


def plan(
    pace: Pace,
    parameters: SchedulerParameters,
    minutes: float | None,
    seconds_spent: float,
    steps: int,
    reviews: int,
    new_cards: int,
) -> Plan:
    """What still fits today: first the open steps, then the reviews, then new cards, ``new_cards`` at most."""
    a_review, a_new_card = seconds_per_review(pace, parameters), seconds_per_new_card(pace, parameters)
    needed = steps * pace.seconds_per_answer
    if minutes is None:
        return Plan(reviews, 0, new_cards, needed + reviews * a_review + new_cards * a_new_card)
    left = max(minutes * 60 - seconds_spent - needed, 0.0)
    fitting = min(reviews, math.floor(left / a_review + 1e-9))
    left -= fitting * a_review
    fresh = min(new_cards, math.floor(left / a_new_card + 1e-9)) if fitting == reviews else 0
    return Plan(fitting, reviews - fitting, max(fresh, 0), needed + fitting * a_review + fresh * a_new_card)


def is_filled(minutes: float | None, seconds_spent: float) -> bool:
    """Whether the day's minutes are used: the card that is open is the last one."""
    return minutes is not None and seconds_spent >= minutes * 60


def simulate(learner: Learner, days: int) -> Simulation:
    """``days`` study days from ``first_day`` on, each one session that ends when the minutes are filled."""
    run = _Run(learner, [state for state, _ in learner.cards], [seen for _, seen in learner.cards])
    simulated = tuple(run.day(learner.first_day + number) for number in range(days))
    introduced = len(run.states) - len(learner.cards)
    return Simulation(simulated, introduced, sum(seen >= 2 for seen in run.days_seen))


@dataclass(slots=True)
class _Run:
    """The cards of a simulation; a card is its place in the lists. ``draws`` numbers the random draws."""

    learner: Learner
    states: list[MemoryState]
    days_seen: list[int]
    draws: int = 0

    def day(self, study_day: int) -> SimulatedDay:
        session = _Session(self.learner, study_day, *self._due(study_day))
        unseen = self.learner.new_cards - (len(self.states) - len(self.learner.cards))
        while (card := session.next(len(self.states), unseen - session.new_cards)) is not None:
            if card == len(self.states):
                self.states.append(schedule.NEW)
                self.days_seen.append(0)
            before = self.states[card]
            self.days_seen[card] += before.last_day != study_day
            self.states[card] = self._answered(before, session.now_ms(), study_day)
            session.took(card, before, self.states[card])
        return session.result()

    def _due(self, study_day: int) -> tuple[list[tuple[int, int]], list[int]]:
        """(steps as a heap of (moment, card), reviews with the weakest last)."""
        weights, cap = self.learner.parameters.weights, self.learner.not_after_day
        steps, reviews = [], []
        for card, state in enumerate(self.states):
            if state.due_day is None or state.stability is None or state.last_day is None:
                continue
            if schedule.capped_due_day(state.due_day, study_day, cap) > study_day:
                continue
            if state.phase == "review":
                strength = memory.retrievability(state.stability, study_day - state.last_day, weights)
                reviews.append((strength, card))
            else:
                steps.append((state.due_at_ms or 0, card))
        heapq.heapify(steps)
        return steps, [card for _, card in sorted(reviews, reverse=True)]

    def _answered(self, state: MemoryState, at_ms: int, study_day: int) -> MemoryState:
        rating = self._rating(state, study_day)
        fuzz_seed = self.learner.seed * 1_000_003 + self.draws
        return schedule.answer(
            state, rating, at_ms, study_day, self.learner.parameters, fuzz_seed, self.learner.not_after_day
        )

    def _rating(self, state: MemoryState, study_day: int) -> Rating:
        """Again with the chance that memory is lost, else Good."""
        self.draws += 1
        drawn = schedule.unit_interval(-self.learner.seed * 1_000_003 - self.draws)
        if state.stability is None or state.last_day is None:
            return Rating.AGAIN if drawn < AGAIN_WHEN_NEW else Rating.GOOD
        if state.phase != "review":
            return Rating.AGAIN if drawn < AGAIN_IN_STEPS else Rating.GOOD
        elapsed_days = study_day - state.last_day
        strength = memory.retrievability(state.stability, elapsed_days, self.learner.parameters.weights)
        return Rating.GOOD if drawn < strength else Rating.AGAIN


@dataclass(slots=True)
class _Session:
    """One simulated day; ``steps`` is a heap of (moment, card), ``reviews`` has the weakest last."""

    learner: Learner
    study_day: int
    steps: list[tuple[int, int]]
    reviews: list[int]
    seconds: float = 0.0
    answers: int = 0
    new_cards: int = 0

    def now_ms(self) -> int:
        return self.study_day * 86_400_000 + SESSION_BEGINS_MS + round(self.seconds * 1000)

    def next(self, new_card: int, unseen: int) -> int | None:
        """The card to answer, ``new_card`` when it is to be a new one; None when the day is over."""
        if is_filled(self.learner.minutes, self.seconds):
            return None
        if self.steps and self.steps[0][0] <= self.now_ms():
            return heapq.heappop(self.steps)[1]
        if self.reviews:
            return self.reviews.pop()
        if self._new_card_fits(unseen):
            return new_card
        if self.steps and self.steps[0][0] <= self.now_ms() + LEARN_AHEAD_MS:
            return heapq.heappop(self.steps)[1]
        return None

    def took(self, card: int, before: MemoryState, after: MemoryState) -> None:
        self.seconds += self.learner.pace.seconds_per_answer
        self.answers += 1
        self.new_cards += before.phase == "new"
        if after.due_at_ms is not None:
            heapq.heappush(self.steps, (after.due_at_ms, card))

    def result(self) -> SimulatedDay:
        over = 0.0 if self.learner.minutes is None else max(self.seconds - self.learner.minutes * 60, 0.0)
        left_over = len(self.steps) + len(self.reviews)
        return SimulatedDay(self.study_day, self.answers, self.new_cards, left_over, self.seconds, over)

    def _new_card_fits(self, unseen: int) -> bool:
        most = unseen
        if self.learner.new_cards_a_day is not None:
            most = min(most, self.learner.new_cards_a_day - self.new_cards)
        learner = self.learner
        today = plan(learner.pace, learner.parameters, learner.minutes, self.seconds, len(self.steps), 0, most)
        return today.new_cards > 0
