from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from app import db
from app.errors import Unavailable
from app.study.grading import Answered
from app.study.writer import Writer
from tests.study import deck
from tests.study.desk import Desk


async def test_a_clean_stop_stores_all_that_waits_and_refuses_what_comes(desk: Desk) -> None:
    waiting = [asyncio.ensure_future(desk.answer(card, 3)) for card in (1, 3, 5, 7)]
    await asyncio.sleep(0)
    await desk.writer.stop()
    assert all(isinstance(reply, Answered) for reply in await asyncio.gather(*waiting))
    assert desk.rows("SELECT count(*) FROM review") == [(4,)]
    with pytest.raises(Unavailable, match="is stopping"):
        await desk.answer(1, 3)


async def test_what_is_acknowledged_is_on_disk_for_another_connection(desk: Desk) -> None:
    answered = await desk.answer(1, 3)
    other = db.open_engine(Path(str(desk.engine.url.database)))
    with db.reading(other) as session:
        assert session.execute(text("SELECT id FROM review")).all() == [(answered.review_id,)]
    other.dispose()


async def test_a_full_disk_is_said_in_one_sentence_and_the_same_token_works_once_there_is_room(engine: Engine) -> None:
    connections: list[Any] = []
    event.listen(engine, "connect", lambda connection, _record: connections.append(connection))
    engine.dispose()
    writer = Writer(engine)
    writer.start()
    desk = Desk(engine, writer)
    kept = await desk.answer(1, 3)
    _limit_pages(connections, desk.rows("PRAGMA page_count")[0][0])
    with pytest.raises(Unavailable, match=r"disk is full.*Free some space") as refused:
        for _ in range(500):
            token = desk.token(3)
            await desk.spend(token, 3)
    assert refused.value.retry_helps
    _limit_pages(connections, 2**30)
    stored = await desk.spend(token, 3)
    assert {kept.review_id, stored.review_id} <= {row[0] for row in desk.rows("SELECT id FROM review")}
    assert desk.problems() == ()
    await writer.stop()


def _limit_pages(connections: list[Any], pages: int) -> None:
    """SQLite then answers "database or disk is full"; the limit is each connection's own."""
    for connection in connections:
        connection.execute(f"PRAGMA max_page_count={pages}")


async def test_a_database_that_may_only_be_read_is_said_in_one_sentence(desk: Desk) -> None:
    await desk.answer(1, 3)
    with pytest.raises(Unavailable, match="may only be read"):
        await desk.writer.run(lambda session: session.execute(text("PRAGMA query_only=1")) and _write(session))
    assert desk.rows("SELECT count(*) FROM review") == [(1,)]


def _write(session: Session) -> None:
    session.execute(text("UPDATE user SET name = 'x'"))


async def test_work_that_fails_leaves_no_trace_and_the_writer_goes_on(desk: Desk) -> None:
    def half(session: Session) -> None:
        _write(session)
        raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        await desk.writer.run(half)
    assert desk.rows("SELECT count(*) FROM user WHERE name = 'x'") == [(0,)]
    assert (await desk.answer(1, 3)).card_id == 1


async def test_a_reader_who_leaves_does_not_keep_the_answer_from_being_stored(desk: Desk) -> None:
    leaving = asyncio.ensure_future(desk.answer(1, 3))
    await asyncio.sleep(0)
    leaving.cancel()
    await desk.answer(3, 3)
    assert desk.rows("SELECT card_id FROM review ORDER BY id") == [(1,), (3,)]


async def test_other_work_keeps_its_place_among_grades(desk: Desk) -> None:
    def counted(session: Session) -> int:
        count: int = session.execute(text("SELECT count(*) FROM review")).scalar_one()
        return count

    replies = await asyncio.gather(
        desk.answer(1, 3), desk.writer.run(counted), desk.answer(3, 3), desk.writer.run(counted)
    )
    assert (replies[1], replies[3]) == (1, 2)


async def test_only_the_holder_of_the_lock_empties_the_log(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    engine, log = deck.make(path), Path(f"{path}-wal")
    await _answer_one(engine, None)
    assert log.stat().st_size > 0
    lock, second = db.LockFile(path), db.LockFile(path)
    assert (lock.take(), second.take()) == (True, False)
    await _answer_one(engine, lock)
    assert log.stat().st_size == 0
    lock.close()
    second.close()
    engine.dispose()


async def _answer_one(engine: Engine, lock: db.LockFile | None) -> None:
    writer = Writer(engine, lock=lock)
    writer.start()
    await Desk(engine, writer).answer(1, 3)
    await writer.stop()


def test_every_connection_keeps_the_promises_of_the_log(engine: Engine) -> None:
    promised = {
        "journal_mode": "wal",
        "synchronous": 2,
        "wal_autocheckpoint": 0,
        "foreign_keys": 1,
        "recursive_triggers": 1,
    }
    connections = [engine.connect() for _ in range(3)]
    for connection in connections:
        assert {name: connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in promised} == promised
        connection.close()
