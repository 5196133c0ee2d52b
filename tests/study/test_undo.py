from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app import db
from app.errors import Conflict, NotFound
from app.study import queries
from app.study.writer import Writer
from tests.study.deck import ADA, BEN
from tests.study.desk import Desk


async def test_undo_goes_back_one_answer_at_a_time_to_the_very_first(desk: Desk) -> None:
    before = []
    for card, rating in ((1, 3), (3, 1), (1, 3), (5, None), (3, 2)):
        before.append(desk.rows("SELECT * FROM daily"))
        await desk.answer(card, rating, duration_ms=1000)
        desk.wait(minutes=11)
    for expected in reversed(before):
        await desk.undo()
        assert [row for row in desk.rows("SELECT * FROM daily") if any(row[2:])] == [row for row in expected if row[2]]
        assert desk.problems() == ()
    assert set(desk.rows("SELECT phase FROM memory")) == {("new",)}
    with pytest.raises(NotFound, match="nothing to undo"):
        await desk.undo()


async def test_undo_survives_a_restart(desk: Desk, engine: Engine) -> None:
    answered = await desk.answer(1, 3)
    await desk.writer.stop()
    restarted = Desk(engine, Writer(engine))
    restarted.writer.start()
    assert (await restarted.undo()).undid == answered.review_id
    await restarted.writer.stop()


async def test_a_double_click_on_undo_takes_back_one_answer(desk: Desk) -> None:
    await desk.answer(1, 3)
    last = await desk.answer(3, 3)
    first, second = await asyncio.gather(*(desk.undo(event_id=last.review_id) for _ in range(2)))
    assert first == second
    assert desk.rows("SELECT count(*) FROM review WHERE kind = 'undo'") == [(1,)]


async def test_undoing_an_answer_that_is_no_longer_the_last_is_refused(desk: Desk) -> None:
    first = await desk.answer(1, 3)
    await desk.answer(3, 3)
    with pytest.raises(Conflict, match="Another answer was given"):
        await desk.undo(event_id=first.review_id)


async def test_ben_cannot_undo_adas_answer(desk: Desk) -> None:
    hers = await desk.answer(1, 3, ADA)
    for event_id in (None, hers.review_id):
        with pytest.raises(NotFound):
            await desk.undo(BEN, event_id)
    await desk.undo(ADA, hers.review_id)
    with pytest.raises(NotFound):
        await desk.undo(BEN, hers.review_id)


async def test_what_was_undone_is_shown_first_again(desk: Desk) -> None:
    await desk.answer(1, 3)
    await desk.answer(3, 3)
    await desk.undo()
    shown = desk.next().showing
    assert shown is not None and shown.card.card_id == 3
    desk.wait(days=1)
    tomorrow = desk.next().showing
    assert tomorrow is not None and tomorrow.card.card_id == 1


async def test_the_history_of_a_card_is_its_standing_answers(desk: Desk, tmp_path: Path) -> None:
    for rating in (3, 1, 3):
        await desk.answer(1, rating)
        desk.wait(minutes=11)
    await desk.undo()
    with db.reading(desk.engine) as session:
        history = queries.card_history(session, ADA, 1)
    assert [entry.event.rating for entry in history] == [3, 1]
    assert [entry.state.phase for entry in history] == ["learning", "learning"]
