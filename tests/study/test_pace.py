"""How much fits into a day's minutes, by a learner whose answers take unlike times."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.study import memory, pace, queue, schedule
from app.study.memory import Rating
from app.study.pace import Learner, Pace
from app.study.queue import QueueCard, Today
from app.study.schedule import MemoryState, SchedulerParameters

DAY = 20_000
MINUTES, DAYS = 25, 12
PLAIN = SchedulerParameters()


@dataclass
class Person:
    """Studies with the real queue, schedule and plan; the time of an answer is drawn, and some walk away."""

    seed: int
    typical_seconds: float
    states: list[MemoryState] = field(default_factory=list)
    durations_ms: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def study(self, day: int) -> list[float]:
        """The seconds of each answer of one session, which ends when the minutes are filled."""
        spent: list[float] = []
        while not pace.is_filled(MINUTES, sum(spent)):
            now_ms = day * 86_400_000 + round(1000 * sum(spent))
            choice = self._next(day, now_ms, sum(spent))
            if choice is None:
                break
            spent.append(self._seconds())
            self.durations_ms.append(round(1000 * spent[-1]))
            self._answer(choice, now_ms, day)
        return spent

    def cards(self, day: int) -> list[QueueCard]:
        """Those that were begun and one new one; there is always another."""
        return [_card(number, state, day) for number, state in enumerate([*self.states, schedule.NEW])]

    def _next(self, day: int, now_ms: int, spent: float) -> int | None:
        cards = self.cards(day)
        today = Today(day, now_ms, 0, not_after_day=DAY + DAYS - 1)
        left = queue.build(cards, today).left
        plan = pace.plan(pace.measured(self.durations_ms), PLAIN, MINUTES, spent, left.learning, left.review, 600)
        order = queue.build(cards, replace(today, new_left=plan.new_cards)).order
        return order[0].card.card_id if order else None

    def _seconds(self) -> float:
        seconds = self.typical_seconds * self.random.lognormvariate(0, 0.6)
        return seconds + (200 if self.random.random() < 0.005 else 0)

    def _answer(self, card: int, now_ms: int, day: int) -> None:
        self.states += [schedule.NEW] * (card == len(self.states))
        strength = _card(card, self.states[card], day).retrievability or 0.85
        rating = Rating.GOOD if self.random.random() < strength else Rating.AGAIN
        seed = self.random.getrandbits(63)
        self.states[card] = schedule.answer(self.states[card], rating, now_ms, day, PLAIN, seed, DAY + DAYS - 1)


def _card(number: int, state: MemoryState, day: int) -> QueueCard:
    strength = None
    if state.stability is not None and state.last_day is not None:
        strength = memory.retrievability(state.stability, day - state.last_day)
    return QueueCard(
        *(number, number, "losses", number, state.phase),
        due_day=state.due_day,
        due_at_ms=state.due_at_ms,
        last_day=state.last_day,
        retrievability=strength,
    )


@pytest.mark.parametrize(("seed", "typical_seconds"), [(1, 9.0), (2, 20.0), (3, 45.0)])
def test_twelve_days_of_twenty_five_minutes_overrun_by_one_card_at_most(seed: int, typical_seconds: float) -> None:
    person = Person(seed, typical_seconds)
    sessions = [person.study(DAY + number) for number in range(DAYS)]
    for spent in sessions:
        assert sum(spent) - MINUTES * 60 <= spent[-1]
    assert all(sum(spent) > 0.9 * MINUTES * 60 for spent in sessions)


def test_what_is_due_is_done_before_the_last_day_because_new_cards_stop() -> None:
    """A few steps may be left: how often a new card is forgotten is not known beforehand."""
    person = Person(4, 15.0)
    for day in range(DAY, DAY + DAYS - 1):
        person.study(day)
        today = Today(day, (day + 1) * 86_400_000, 0, not_after_day=DAY + DAYS - 1)
        left = queue.build(person.cards(day), today).left
        assert left.review == 0
        assert left.learning <= 3


def test_the_pace_is_shown_after_ten_answers() -> None:
    assert not pace.measured([12_000] * 9 + [0]).is_shown
    assert pace.measured([12_000] * 9) == Pace(pace.ASSUMED_SECONDS_PER_ANSWER, 9)
    assert pace.measured([12_000] * 10) == Pace(12.0, 10)
    assert pace.measured([12_000] * 10).is_shown


def test_an_hour_away_from_the_desk_counts_as_five_answers() -> None:
    assert pace.measured([10_000] * 19 + [3_600_000]).seconds_per_answer == pytest.approx((190 + 50) / 20)


@given(st.lists(st.integers(1, 10_000_000), min_size=10, max_size=60))
def test_the_pace_lies_between_the_quickest_answer_and_five_medians(durations_ms: list[int]) -> None:
    seconds = pace.measured(durations_ms).seconds_per_answer
    middle = sorted(durations_ms)[len(durations_ms) // 2] / 1000
    assert min(durations_ms) / 1000 - 1e-9 <= seconds <= 5 * middle + 1e-9


def test_reviews_come_before_new_cards_and_new_cards_fill_the_rest() -> None:
    ten_seconds = Pace(10.0, 50)
    assert pace.seconds_per_review(ten_seconds, PLAIN) == pytest.approx(11.0)
    assert pace.seconds_per_new_card(ten_seconds, PLAIN) == pytest.approx(24.0)
    planned = pace.plan(ten_seconds, PLAIN, 10, seconds_spent=60, steps=2, reviews=20, new_cards=600)
    assert (planned.reviews, planned.reviews_left_over, planned.new_cards) == (20, 0, 12)
    assert planned.seconds == pytest.approx(20 + 20 * 11 + 12 * 24)


def test_reviews_that_do_not_fit_are_named_and_leave_no_room_for_new_cards() -> None:
    planned = pace.plan(Pace(10.0, 50), PLAIN, 1, seconds_spent=0, steps=0, reviews=8, new_cards=5)
    assert (planned.reviews, planned.reviews_left_over, planned.new_cards) == (5, 3, 0)


def test_without_minutes_everything_fits() -> None:
    planned = pace.plan(Pace(10.0, 50), PLAIN, None, seconds_spent=9999, steps=0, reviews=300, new_cards=5)
    assert (planned.reviews, planned.reviews_left_over, planned.new_cards) == (300, 0, 5)
    assert not pace.is_filled(None, 1e9)


@given(st.floats(0, 90), st.floats(0, 3600), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_what_fits_never_takes_longer_than_what_is_left(
    minutes: float, spent: float, steps: int, reviews: int, new_cards: int
) -> None:
    planned = pace.plan(Pace(13.0, 50), PLAIN, minutes, spent, steps, reviews, new_cards)
    assert planned.reviews + planned.reviews_left_over == reviews
    assert 0 <= planned.new_cards <= new_cards
    assert planned.seconds <= max(minutes * 60 - spent, steps * 13.0) + 1e-6


def learner(**options: object) -> Learner:
    plain = Learner(DAY, new_cards=400, minutes=MINUTES, not_after_day=DAY + DAYS - 1, pace=Pace(12.0, 50), seed=1)
    return replace(plain, **options)  # type: ignore[arg-type]


def test_a_simulation_keeps_to_the_minutes_and_sees_most_cards_twice() -> None:
    simulation = pace.simulate(learner(), DAYS)
    assert [day.study_day for day in simulation.days] == list(range(DAY, DAY + DAYS))
    assert all(day.overrun_seconds <= 12.0 for day in simulation.days)
    assert all(day.seconds == 12.0 * day.answers for day in simulation.days)
    assert simulation.introduced == sum(day.new_cards for day in simulation.days)
    assert 0.9 * simulation.introduced <= simulation.seen_twice <= simulation.introduced


def test_the_same_seed_simulates_the_same_days_and_another_other_ones() -> None:
    assert pace.simulate(learner(), DAYS) == pace.simulate(learner(), DAYS)
    assert pace.simulate(learner(), DAYS) != pace.simulate(learner(seed=2), DAYS)


def test_more_minutes_never_introduce_fewer_cards() -> None:
    introduced = [pace.simulate(learner(minutes=minutes), DAYS).introduced for minutes in (5, 15, 25, 60)]
    assert introduced == sorted(introduced)


def test_without_minutes_the_limit_of_new_cards_holds_and_no_day_overruns() -> None:
    simulation = pace.simulate(learner(minutes=None, new_cards=45, new_cards_a_day=10), DAYS)
    assert [day.new_cards for day in simulation.days] == [10, 10, 10, 10, 5] + [0] * 7
    assert all(day.overrun_seconds == day.left_over == 0 for day in simulation.days)


def test_every_card_is_seen_on_the_last_day_when_the_minutes_reach() -> None:
    simulation = pace.simulate(learner(new_cards=26), DAYS)
    assert simulation.seen_twice == 26
    assert simulation.days[-1].answers >= 26


def test_cards_that_were_begun_before_count_the_days_on_which_they_were_seen() -> None:
    begun = schedule.answer(schedule.NEW, Rating.EASY, 0, DAY - 2, PLAIN, 0)
    untouched = pace.simulate(learner(cards=((begun, 1), (begun, 2)), new_cards=0), 1)
    assert (untouched.days[0].answers, untouched.seen_twice, untouched.introduced) == (0, 1, 0)
    by_the_date = pace.simulate(learner(cards=((begun, 1), (begun, 2)), new_cards=0), DAYS)
    assert by_the_date.seen_twice == 2


def test_steps_left_from_yesterday_and_forgotten_reviews_are_worked_through() -> None:
    in_steps = schedule.answer(schedule.NEW, Rating.AGAIN, 0, DAY - 1, PLAIN, 0)
    weak = MemoryState("review", 0, 0.5, 9.0, DAY - 300, None, DAY - 301, 0, 3)
    simulation = pace.simulate(learner(cards=((in_steps, 1), *((weak, 5),) * 30), new_cards=0), 1)
    assert simulation.days[0].answers > 31
    assert simulation.days[0].left_over == 0


def test_a_step_that_is_far_away_is_left_over() -> None:
    far = SchedulerParameters(learning_steps_seconds=(60, 7200))
    simulation = pace.simulate(learner(new_cards=3, parameters=far), 1)
    assert simulation.days[0].left_over == 3


def test_a_card_whose_only_answer_was_undone_is_not_simulated_as_begun() -> None:
    simulation = pace.simulate(learner(cards=((schedule.NEW, 0),), new_cards=0), DAYS)
    assert sum(day.answers for day in simulation.days) == simulation.seen_twice == 0


def test_no_new_card_slips_in_before_a_longer_review_that_does_not_fit() -> None:
    forgetful = SchedulerParameters(
        desired_retention=0.7, learning_steps_seconds=(60,), relearning_steps_seconds=(60,) * 5
    )
    planned = pace.plan(Pace(10.0, 50), forgetful, 40 / 60, seconds_spent=0, steps=0, reviews=2, new_cards=5)
    assert (planned.reviews, planned.reviews_left_over, planned.new_cards) == (1, 1, 0)
