from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app import db
from app.db import Base
from app.study import actions
from tests.study.deck import ADA, BEN, NOON
from tests.study.desk import Desk

OPEN = "INSERT INTO erasure (id, user_id, at, reviews, open) VALUES (1, 1, 0, 0, 1)"
CLOSE = "UPDATE erasure SET open = NULL"
COLUMNS = (
    "kind, user_id, card_id, token, rating, at_ms, duration_ms, study_day, utc_offset_seconds, parameters_id, fuzz_seed"
)


@pytest.fixture
async def desk(desk: Desk) -> Desk:
    await desk.answer(1, 3, ADA)
    await desk.answer(1, 3, BEN)
    return desk


def attempt(desk: Desk, *statements: str) -> None:
    with db.writing(desk.engine) as session:
        for statement in statements:
            session.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE review SET rating = 4", "never changed"),
        ("UPDATE review SET rating = rating", "never changed"),
        ("DELETE FROM review", "only with an erasure"),
        (f"INSERT OR REPLACE INTO review (id, {COLUMNS}) SELECT id, {COLUMNS} FROM review", "never replaced"),
        (f"REPLACE INTO review ({COLUMNS}) SELECT {COLUMNS} FROM review", "never replaced"),
        ("UPDATE scheduler_parameters SET desired_retention = 0.8", "never changed"),
        ("DELETE FROM scheduler_parameters", "never deleted"),
        ("INSERT OR REPLACE INTO scheduler_parameters SELECT * FROM scheduler_parameters", "never replaced"),
        ("INSERT INTO erasure_seal VALUES (1)", "stays empty"),
    ],
)
async def test_the_log_refuses_to_be_rewritten(desk: Desk, statement: str, says: str) -> None:
    before = desk.rows("SELECT * FROM review")
    with pytest.raises(IntegrityError, match=says):
        attempt(desk, statement)
    assert desk.rows("SELECT * FROM review") == before


async def test_an_erasure_lets_its_own_learners_reviews_go(desk: Desk) -> None:
    attempt(desk, OPEN, "DELETE FROM review WHERE user_id = 1", CLOSE)
    assert desk.rows("SELECT user_id FROM review") == [(2,)]


async def test_an_erasure_does_not_reach_another_learner(desk: Desk) -> None:
    with pytest.raises(IntegrityError, match="only with an erasure"):
        attempt(desk, OPEN, "DELETE FROM review WHERE user_id = 2", CLOSE)


async def test_an_erasure_that_is_left_open_cannot_be_committed(desk: Desk) -> None:
    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        attempt(desk, OPEN, "DELETE FROM review WHERE user_id = 1")
    assert desk.rows("SELECT count(*) FROM review") == [(2,)]


@pytest.mark.parametrize(
    "statement", ["UPDATE erasure SET open = 1", "DELETE FROM erasure", "UPDATE erasure SET user_id = 2"]
)
async def test_a_closed_erasure_stays_closed(desk: Desk, statement: str) -> None:
    attempt(desk, OPEN, CLOSE)
    with pytest.raises(IntegrityError):
        attempt(desk, statement, "DELETE FROM review WHERE user_id = 1")
    assert desk.rows("SELECT count(*) FROM review") == [(2,)]


async def test_erasing_ada_leaves_nothing_of_her_studying_and_ben_whole(desk: Desk) -> None:
    await desk.undo(ADA)
    await desk.writer.run(lambda session: actions.suspend(session, ADA, 3))
    assert await desk.writer.run(lambda session: actions.erase(session, ADA, NOON)) == 2
    for table in ("review", "memory", "daily", "card_mark", "prediction", "study_setting"):
        assert desk.rows(f"SELECT count(*) FROM {table} WHERE user_id = 1") == [(0,)]
    assert desk.rows("SELECT user_id, reviews, open FROM erasure") == [(1, 2, None)]
    assert desk.rows("SELECT count(*) FROM review WHERE user_id = 2") == [(1,)]
    assert desk.problems() == ()


def test_no_foreign_key_that_acts_by_itself_exists_at_all() -> None:
    acting = [
        key for table in Base.metadata.tables.values() for key in table.foreign_keys if key.ondelete or key.onupdate
    ]
    assert acting == []
