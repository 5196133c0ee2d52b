"""When a card comes back, and that the log alone decides it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.study import schedule
from app.study.memory import Rating
from app.study.schedule import NEW, LogEvent, MemoryState, SchedulerParameters

DAY = 20_000
NOON_MS = DAY * 86_400_000 + 43_200_000
PLAIN = SchedulerParameters(fuzz=False)
AGAIN, HARD, GOOD, EASY = Rating
SEEDS = st.integers(0, 2**63 - 1)


def grade(state: MemoryState, *ratings: Rating, on: int = DAY, **options: Any) -> MemoryState:
    parameters = options.pop("parameters", PLAIN)
    for rating in ratings:
        state = schedule.answer(state, rating, NOON_MS, on, parameters, 7, **options)
    return state


@st.composite
def event_logs(draw: st.DrawFn) -> list[LogEvent]:
    """Grades over growing days under changing parameters, first perhaps "I know this"; no undo."""
    parameters = st.sampled_from([PLAIN, SchedulerParameters(), SchedulerParameters(desired_retention=0.8)])
    day, events = DAY, []
    for event_id in range(1, draw(st.integers(1, 12)) + 1):
        day += draw(st.sampled_from([0, 0, 1, 3, 30]))
        known = event_id == 1 and draw(st.booleans())
        events.append(
            LogEvent(
                kind="known" if known else "grade",
                event_id=event_id,
                card_id=1,
                rating=None if known else draw(st.sampled_from(Rating)),
                at_ms=day * 86_400_000 + event_id,
                study_day=day,
                parameters=draw(parameters),
                fuzz_seed=draw(SEEDS),
                not_after_day=draw(st.sampled_from([None, DAY + 40])),
            )
        )
    return events


def undo(event_id: int, undoes: int) -> LogEvent:
    return LogEvent("undo", event_id, 1, None, NOON_MS, DAY, undoes=undoes)


def states() -> st.SearchStrategy[MemoryState]:
    return event_logs().map(schedule.fold)


def test_a_new_card_passes_one_minute_and_ten_minutes_before_days() -> None:
    first = grade(NEW, GOOD)
    assert (first.phase, first.step, first.due_day) == ("learning", 1, DAY)
    assert first.due_at_ms == NOON_MS + 600_000
    second = grade(first, GOOD)
    assert (second.phase, second.due_at_ms, second.due_day) == ("review", None, DAY + 2)
    assert second.repetitions == 2


@pytest.mark.parametrize(
    ("rating", "step", "seconds"), [(AGAIN, 0, 60), (HARD, 0, 330), (GOOD, 1, 600)], ids=["again", "hard", "good"]
)
def test_the_first_answer_of_a_new_card_waits_a_step(rating: Rating, step: int, seconds: int) -> None:
    state = grade(NEW, rating)
    assert (state.phase, state.step, state.due_at_ms) == ("learning", step, NOON_MS + 1000 * seconds)


def test_hard_repeats_a_later_step_and_again_goes_back_to_the_first() -> None:
    assert grade(NEW, GOOD, HARD).due_at_ms == NOON_MS + 600_000
    assert grade(NEW, GOOD, AGAIN).due_at_ms == NOON_MS + 60_000


def test_hard_on_an_only_step_waits_half_as_long_again() -> None:
    assert grade(NEW, HARD, parameters=replace(PLAIN, learning_steps_seconds=(600,))).due_at_ms == NOON_MS + 900_000


def test_easy_skips_the_steps() -> None:
    assert grade(NEW, EASY).due_day == DAY + 8


def test_without_steps_every_answer_counts_in_days() -> None:
    stepless = replace(PLAIN, learning_steps_seconds=(), relearning_steps_seconds=())
    assert grade(NEW, AGAIN, parameters=stepless).phase == "review"
    lapsed = grade(grade(NEW, EASY), AGAIN, on=DAY + 8, parameters=stepless)
    assert (lapsed.phase, lapsed.lapses, lapsed.due_day) == ("review", 1, DAY + 9)


def test_a_card_with_more_steps_behind_it_than_there_are_goes_on_to_days() -> None:
    many = replace(PLAIN, learning_steps_seconds=(60, 120, 180, 240))
    state = grade(NEW, GOOD, GOOD, GOOD, parameters=many)
    assert state.step == 3
    assert grade(state, HARD).phase == "review"


def test_a_forgotten_card_is_relearned_and_counts_a_lapse() -> None:
    known = grade(NEW, EASY)
    lapsed = grade(known, AGAIN, on=DAY + 8)
    assert (lapsed.phase, lapsed.lapses, lapsed.due_at_ms) == ("relearning", 1, NOON_MS + 600_000)
    assert grade(lapsed, AGAIN, on=DAY + 8).lapses == 1
    assert grade(lapsed, GOOD, on=DAY + 8).phase == "review"


def test_a_step_of_a_day_or_more_is_due_on_a_day() -> None:
    state = grade(NEW, AGAIN, parameters=replace(PLAIN, learning_steps_seconds=(2 * 86_400,)))
    assert (state.phase, state.due_day, state.due_at_ms) == ("learning", DAY + 2, None)


def test_an_answer_dated_before_the_last_counts_as_the_same_day() -> None:
    state = grade(grade(NEW, EASY), GOOD, on=DAY - 5)
    assert state == replace(grade(grade(NEW, EASY), GOOD), due_day=state.due_day)


@given(states(), SEEDS, st.integers(0, 400), st.booleans())
def test_a_harder_rating_never_waits_longer(state: MemoryState, seed: int, later: int, fuzz: bool) -> None:
    day = (state.last_day or DAY) + later
    parameters = SchedulerParameters(fuzz=fuzz)
    outcomes = schedule.preview(state, day * 86_400_000, day, parameters, seed)
    waits = [86_400 * (outcome.days or 0) + (outcome.seconds or 0) for outcome in outcomes]
    assert waits == sorted(waits)


@given(states(), SEEDS)
def test_the_preview_is_what_the_answer_gives(state: MemoryState, seed: int) -> None:
    day = (state.last_day or DAY) + 3
    for outcome in schedule.preview(state, NOON_MS, day, SchedulerParameters(), seed):
        assert outcome.state == schedule.answer(state, outcome.rating, NOON_MS, day, SchedulerParameters(), seed)


@given(states(), st.sampled_from(Rating), SEEDS, st.integers(0, 30), st.integers(0, 30))
def test_with_a_date_nothing_is_due_after_the_day_before_it(
    state: MemoryState, rating: Rating, seed: int, later: int, left: int
) -> None:
    day = (state.last_day or DAY) + later
    long_steps = SchedulerParameters(learning_steps_seconds=(60, 5 * 86_400))
    after = schedule.answer(state, rating, day * 86_400_000, day, long_steps, seed, day + left)
    assert after.due_day is not None and day <= after.due_day <= day + left


def test_a_date_that_has_passed_caps_nothing() -> None:
    assert grade(NEW, EASY, not_after_day=DAY - 1) == grade(NEW, EASY)


def test_on_the_last_day_the_preview_says_that_a_card_is_done() -> None:
    texts = [outcome.text for outcome in schedule.preview(NEW, NOON_MS, DAY, PLAIN, 0, DAY)]
    assert texts == ["<1m", "<6m", "<10m", "done"]


@pytest.mark.parametrize(
    ("seconds", "days", "text"),
    [
        *((60, None, "<1m"), (5399, None, "<90m"), (14_400, None, "4h"), (None, 0, "done"), (None, 4, "4d")),
        *((None, 30, "30d"), (None, 64, "2.1mo"), (None, 475, "1.3y")),
    ],
)
def test_an_interval_reads_as_a_short_text(seconds: int | None, days: int | None, text: str) -> None:
    assert schedule.interval_text(seconds, days) == text


@given(st.floats(1, 36_500), st.integers(1, 36_500), SEEDS)
def test_fuzz_stays_within_its_range(days: float, maximum: int, seed: int) -> None:
    lowest, highest = schedule.fuzz_range(days, maximum)
    assert 1 <= lowest <= schedule.fuzzed_days(days, maximum, seed) <= highest <= maximum
    if days <= maximum:
        assert lowest <= schedule._rounded(days) <= highest


@pytest.mark.parametrize(
    ("days", "lowest", "highest"), [(1, 1, 1), (2.4, 2, 2), (2.5, 2, 4), (7, 5, 9), (20, 17, 23), (100, 93, 107)]
)
def test_fuzz_widens_with_the_interval(days: float, lowest: int, highest: int) -> None:
    assert schedule.fuzz_range(days, 36_500) == (lowest, highest)


def test_fuzz_reaches_both_ends_of_its_range() -> None:
    assert {schedule.fuzzed_days(7, 36_500, seed) for seed in range(200)} == {5, 6, 7, 8, 9}


def test_splitmix_gives_its_published_first_number() -> None:
    assert schedule.unit_interval(0) == (0xE220A8397B1DCDAF >> 11) / 2**53


@given(event_logs())
def test_folding_twice_gives_the_same_memory(events: list[LogEvent]) -> None:
    assert schedule.fold(events) == schedule.fold(iter(events))


@given(event_logs(), st.data())
def test_an_undone_event_never_happened(events: list[LogEvent], data: st.DataObject) -> None:
    victim = data.draw(st.sampled_from(events))
    undone = [*events, undo(100, victim.event_id)]
    assert schedule.fold(undone) == schedule.fold(event for event in events if event != victim)
    assert schedule.fold([*undone, undo(101, 100)]) == schedule.fold(events)


@given(event_logs())
def test_undo_goes_back_to_the_new_card_without_limit(events: list[LogEvent]) -> None:
    log = list(events)
    while (last := schedule.last_undoable(log)) is not None:
        before = schedule.fold(event for event in events if event.event_id < last.event_id)
        log.append(undo(100 + len(log), last.event_id))
        assert schedule.fold(log) == before
    assert schedule.fold(log) == NEW


def test_i_know_this_skips_the_introduction_and_counts_no_repetition() -> None:
    known = LogEvent("known", 5, 1, None, NOON_MS, DAY, parameters=PLAIN)
    state = schedule.fold([known])
    assert (state.phase, state.due_day, state.repetitions, state.last_event_id) == ("review", DAY + 8, 0, 5)


def test_todays_settings_do_not_change_a_fold() -> None:
    strict = replace(PLAIN, desired_retention=0.95)
    events = [LogEvent("grade", n, 1, EASY, NOON_MS, DAY, parameters=p) for n, p in enumerate((PLAIN, strict))]
    assert schedule.fold(events[:1]).due_day == DAY + 8
    assert schedule.fold([events[1]]).due_day == DAY + 3


def test_an_undo_is_no_grade_to_apply() -> None:
    with pytest.raises(ValueError, match="no grade"):
        schedule.apply(NEW, undo(2, 1))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"version": "fsrs-7"}, {"weights": (1.0,) * 20}, {"weights": (float("nan"),) * 21}),
        *({"desired_retention": 1.0}, {"maximum_interval_days": 0}),
        *({"learning_steps_seconds": (600, 60)}, {"relearning_steps_seconds": (0,)}),
    ],
)
def test_parameters_that_give_no_schedule_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        SchedulerParameters(**wrong)


def test_equal_parameters_are_held_once() -> None:
    assert schedule.shared(SchedulerParameters()) is schedule.shared(SchedulerParameters())
