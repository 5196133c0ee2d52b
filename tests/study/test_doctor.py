from __future__ import annotations

import random

import pytest
from sqlalchemy import text

from app import db
from app.study import doctor
from app.study.tables import TRIGGERS
from tests.study.deck import ADA, BEN
from tests.study.desk import Desk


@pytest.fixture
async def desk(desk: Desk) -> Desk:
    """Two learners' weeks with undos, a card that was known, and changes of settings."""
    chance = random.Random(5)
    for step in range(60):
        viewer = chance.choice((ADA, BEN))
        await desk.answer(chance.randrange(1, 9), chance.choice((1, 2, 3, 3, 4)), viewer, duration_ms=1000 * step)
        if chance.random() < 0.2:
            await desk.undo(viewer)
        if chance.random() < 0.1:
            await desk.choose(viewer, desired_retention=chance.choice((0.8, 0.9, 0.95)), fuzz=chance.random() < 0.5)
        desk.wait(hours=chance.choice((0, 1, 20, 100)))
    return desk


async def test_memory_is_the_fold_of_the_log_whatever_todays_settings_are(desk: Desk) -> None:
    assert desk.problems() == ()
    await desk.choose(ADA, desired_retention=0.7, maximum_interval_days=3, rollover_hour=0, time_zone="Asia/Tokyo")
    assert desk.problems() == ()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE memory SET stability = stability * 1.0000001 WHERE phase <> 'new'", "memory of"),
        ("UPDATE memory SET due_day = due_day + 1 WHERE phase = 'review'", "memory of"),
        ("UPDATE memory SET basis_event_id = 0", "memory of"),
        ("DELETE FROM memory WHERE user_id = 1", "memory of"),
        ("UPDATE daily SET reviews = reviews + 1", "daily count of"),
        ("DELETE FROM daily", "daily count of"),
        ("DROP TRIGGER review_is_not_changed", "review_is_not_changed"),
    ],
)
async def test_damage_is_found_and_named(desk: Desk, damage: str, says: str) -> None:
    with db.writing(desk.engine) as session:
        session.execute(text(damage))
    assert any(says in problem for problem in desk.problems())


async def test_a_rewritten_log_is_found(desk: Desk) -> None:
    with db.writing(desk.engine) as session:
        session.execute(text("DROP TRIGGER review_is_not_changed"))
        session.execute(
            text("UPDATE review SET rating = 5 - rating WHERE id = (SELECT max(id) FROM review WHERE rating = 1)")
        )
        session.execute(text(TRIGGERS[0]))
    assert any("the log says" in problem for problem in desk.problems())


async def test_memory_and_counts_are_made_anew_from_the_log(desk: Desk) -> None:
    tables = ("memory", "daily")
    before = [
        desk.rows(f"SELECT * FROM {table} WHERE {kept}")
        for table, kept in zip(tables, ("1", "reviews > 0"), strict=True)
    ]
    with db.writing(desk.engine) as session:
        session.execute(text("DELETE FROM memory"))
        session.execute(text("UPDATE daily SET again = 7"))
        assert doctor.rebuild(session).problems == ()
    assert [desk.rows(f"SELECT * FROM {table}") for table in tables] == before
