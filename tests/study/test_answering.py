from __future__ import annotations

import asyncio
import json
import math
from itertools import pairwise

import pysqlite3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BadInput, Conflict
from app.study import grading
from app.study.grading import AlreadyAnswered, Answered, MovedOn
from tests.study.deck import ADA, BEN
from tests.study.desk import Desk


async def test_a_double_click_counts_once_and_gets_the_same_reply(desk: Desk) -> None:
    token = desk.token(1)
    first, second = await asyncio.gather(desk.spend(token, 3), desk.spend(token, 3))
    assert first == second
    assert desk.rows("SELECT count(*) FROM review") == [(1,)]


async def test_a_retry_after_more_answers_and_an_undo_still_gets_the_first_reply(desk: Desk) -> None:
    token = desk.token(1)
    first = await desk.spend(token, 3)
    desk.wait(minutes=10)
    await desk.answer(1, 3)
    await desk.undo()
    await desk.undo()
    assert await desk.spend(token, 3) == first
    assert desk.rows("SELECT count(*) FROM review") == [(4,)]


@pytest.mark.parametrize("other", [2, None])
async def test_another_answer_for_a_spent_token_is_refused_with_the_stored_one(desk: Desk, other: int | None) -> None:
    token = desk.token(1)
    stored = await desk.spend(token, 3)
    with pytest.raises(AlreadyAnswered, match="good") as refused:
        await desk.spend(token, other)
    assert refused.value.stored == stored
    assert refused.value.status == 409


async def test_two_answers_that_race_for_one_token_store_one(desk: Desk) -> None:
    token = desk.token(1)
    replies = await asyncio.gather(*(desk.spend(token, rating) for rating in (3, 1, 3, 4)), return_exceptions=True)
    assert [isinstance(reply, Answered) for reply in replies] == [True, False, True, False]
    assert replies[0] == replies[2]


async def test_a_tab_left_open_since_yesterday_cannot_answer_what_was_answered_today(desk: Desk) -> None:
    yesterday = desk.token(1)
    desk.wait(days=1)
    await desk.answer(1, 3)
    with pytest.raises(MovedOn):
        await desk.spend(yesterday, 3)
    assert desk.rows("SELECT count(*) FROM review") == [(1,)]


async def test_a_tab_left_open_since_yesterday_answers_what_was_not_answered_since(desk: Desk) -> None:
    yesterday = desk.token(1)
    desk.wait(days=1)
    assert (await desk.spend(yesterday, 3)).study_day == 20_515


async def test_undoing_mints_another_token(desk: Desk) -> None:
    before = desk.token(1)
    await desk.spend(before, 3)
    await desk.undo()
    after = desk.token(1)
    assert before != after
    assert (await desk.spend(after, 1)).rating == 1


async def test_i_know_this_skips_the_steps_and_only_a_new_card_has_an_introduction(desk: Desk) -> None:
    known = await desk.answer(1, None)
    assert (known.kind, known.phase) == ("known", "review")
    assert known.due_day > known.study_day
    with pytest.raises(Conflict, match="introduced already"):
        await desk.answer(1, None)
    assert desk.rows("SELECT * FROM daily") == []


async def test_a_refused_grade_leaves_its_neighbours_alone(desk: Desk) -> None:
    spent = desk.token(1)
    await desk.spend(spent, 3)
    stale = desk.token(3)
    desk.wait(days=1)
    await desk.answer(3, 3)
    good = [desk.token(card) for card in (5, 7)]
    replies = await asyncio.gather(
        desk.spend(good[0], 3),
        desk.spend(stale, 1),
        desk.spend(spent, 4),
        desk.spend(good[1], 4),
        return_exceptions=True,
    )
    assert [type(reply) for reply in replies] == [Answered, MovedOn, AlreadyAnswered, Answered]


async def test_a_grade_of_a_card_that_is_not_there_leaves_its_neighbours_alone(desk: Desk) -> None:
    replies = await asyncio.gather(desk.answer(1, 3), desk.answer(999, 3), desk.answer(3, 3), return_exceptions=True)
    assert [isinstance(reply, Answered) for reply in replies] == [True, False, True]
    assert desk.rows("SELECT card_id FROM review ORDER BY id") == [(1,), (3,)]
    assert desk.problems() == ()


async def test_a_review_keeps_what_it_was_answered_under(desk: Desk) -> None:
    await desk.choose(desired_retention=0.85, fuzz=False)
    await desk.answer(1, 4, duration_ms=7_000, ticks=[3, 1, 3])
    ((day, offset, retention, fuzz, duration, ticks),) = desk.rows(
        "SELECT study_day, utc_offset_seconds, desired_retention, fuzz, duration_ms, ticks"
        " FROM review JOIN scheduler_parameters AS p ON p.id = parameters_id"
    )
    assert (day, offset, retention, fuzz, duration, json.loads(ticks)) == (20_514, 3600, 0.85, 0, 7_000, [1, 3])


async def test_a_study_day_is_the_learners_own(desk: Desk) -> None:
    desk.wait(hours=16)  # 04:00 in London's zone: already Tuesday in Rome, still Monday evening in New York
    ada, ben = await desk.answer(1, 3, ADA), await desk.answer(1, 3, BEN)
    assert ada.study_day == ben.study_day + 1


async def test_daily_counts_follow_the_grades(desk: Desk) -> None:
    for rating in (1, 3, 3):
        await desk.answer(1, rating, duration_ms=2_000)
        desk.wait(minutes=10)
    await desk.answer(3, 3, duration_ms=1_000)
    assert desk.rows("SELECT reviews, again, new_cards, duration_ms FROM daily") == [(4, 1, 2, 7_000)]


@pytest.mark.parametrize(("rating", "ticks"), [(0, None), (5, None), (3, [0]), (3, [65]), (3, [1] * 65)])
async def test_a_grade_outside_what_is_accepted_names_the_field(
    desk: Desk, rating: int, ticks: list[int] | None
) -> None:
    with pytest.raises(BadInput) as refused:
        await desk.answer(1, rating, ticks=ticks)
    assert refused.value.where in ("rating", "ticks")


async def test_sixty_four_learners_of_one_batch_get_their_own_replies(desk: Desk) -> None:
    tokens = {(card, viewer): desk.token(card, viewer) for card in range(1, 9) for viewer in (ADA, BEN)}
    replies = await asyncio.gather(*(desk.spend(token, 3, viewer) for (_, viewer), token in tokens.items()))
    assert [reply.card_id for reply in replies] == [card for card, _ in tokens]
    assert all(first.review_id < second.review_id for first, second in pairwise(replies))
    assert desk.problems() == ()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_sqlite_reads_and_prints_doubles_exactly(numbers: list[float]) -> None:
    connection = pysqlite3.connect(":memory:")
    read = connection.execute("SELECT value FROM json_each(?)", (json.dumps(numbers),)).fetchall()
    connection.execute("CREATE TABLE kept (value REAL)")
    connection.executemany("INSERT INTO kept VALUES (?)", [(number,) for number in numbers])
    printed = json.loads(connection.execute("SELECT json_group_array(value) FROM kept").fetchone()[0])
    connection.close()
    assert [value for (value,) in read] == numbers
    assert all(math.isclose(a, b, rel_tol=0, abs_tol=0) for a, b in zip(printed, numbers, strict=True))


def test_the_columns_of_memory_are_the_fields_of_its_state() -> None:
    state = grading.MemoryState(*grading.state_values(grading.schedule.NEW))
    assert state == grading.schedule.NEW
