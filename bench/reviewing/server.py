"""The servers that are compared: ``python -m bench.reviewing.server --kind KIND --database PATH --port PORT``.

durable   async route → writer → reply after the commit
next      the same, and the next card with its token and what is left: what the page does
orm       the same rules as a ``def`` route with ORM objects, one commit a grade
constant  the same route answering a constant
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import Engine, create_engine, event, select, text
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from app import clock, db
from app.clock import SystemClock
from app.study import actions, schedule, showing, study_day, terms, tokens
from app.study.grading import STATE_COLUMNS, AlreadyAnswered, Answered, Grade, MovedOn
from app.study.memory import Rating
from app.study.schedule import LogEvent, MemoryState
from app.study.tables import Daily, Memory, Review, StudySetting
from app.study.writer import Writer
from bench.reviewing.data import viewer_of

SECRET = hashlib.sha256(b"bench").digest()
Route = Callable[..., Any]


class Sent(BaseModel):
    """What the page posts; ``user`` stands for the session that names the learner."""

    user: int
    token: str
    rating: int
    duration_ms: int


def durable(writer: Writer, engine: Engine) -> Callable[[Sent], Awaitable[JSONResponse]]:
    now = SystemClock().now

    async def grade(sent: Sent) -> JSONResponse:
        viewer = viewer_of(sent.user)
        asked = actions.read_grade(SECRET, viewer, sent.token, sent.rating, now(), duration_ms=sent.duration_ms)
        return JSONResponse((await writer.grade(asked)).as_json())

    return grade


def with_next(writer: Writer, engine: Engine) -> Callable[[Sent], Awaitable[JSONResponse]]:
    now, frontiers = SystemClock().now, showing.Frontiers()

    async def grade(sent: Sent) -> JSONResponse:
        viewer = viewer_of(sent.user)
        asked = actions.read_grade(SECRET, viewer, sent.token, sent.rating, now(), duration_ms=sent.duration_ms)
        answered = await writer.grade(asked)
        with db.reading(engine) as session:
            found = showing.next_card(session, viewer, now(), frontiers=frontiers)
        shown = found.showing
        if shown is None:
            return JSONResponse(answered.as_json() | {"token": None, "left": found.left.total})
        day = study_day.date_of(shown.study_day)
        token = tokens.mint(SECRET, viewer.id, int(shown.card.card_id), shown.basis_event_id, day)
        return JSONResponse(answered.as_json() | {"token": token, "left": found.left.total})

    return grade


def by_orm(writer: Writer, engine: Engine) -> Callable[[Sent], JSONResponse]:
    """Written as one would without measuring: SQLAlchemy's default pool and SQLite's default checkpoints."""
    now, own = SystemClock().now, _usual_engine(engine)

    def grade(sent: Sent) -> JSONResponse:
        viewer = viewer_of(sent.user)
        asked = actions.read_grade(SECRET, viewer, sent.token, sent.rating, now(), duration_ms=sent.duration_ms)
        with Session(own) as session:
            session.execute(text("BEGIN IMMEDIATE"))
            answered = _answer_by_orm(session, asked)
            session.commit()
        return JSONResponse(answered.as_json())

    return grade


def constant(writer: Writer, engine: Engine) -> Callable[[Sent], Awaitable[JSONResponse]]:
    reply = Answered(1, 1, "grade", Rating.GOOD, 1, 1, "review", 1, None).as_json()

    async def grade(sent: Sent) -> JSONResponse:
        return JSONResponse(reply)

    return grade


KINDS: dict[str, Callable[[Writer, Engine], Route]] = {
    "durable": durable,
    "next": with_next,
    "orm": by_orm,
    "constant": constant,
}


def _usual_engine(engine: Engine) -> Engine:
    own = create_engine(engine.url, module=engine.dialect.dbapi, connect_args={"timeout": 30.0})

    @event.listens_for(own, "connect")
    def _durable(connection: Any, _record: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return own


def _answer_by_orm(session: Session, asked: Grade) -> Answered:
    """The rules of `grading.answer_all` for one grade, with objects."""
    assert asked.rating is not None
    user_id, card_id = asked.viewer.id, asked.shown.card_id
    spent = session.scalar(select(Review).where(Review.token == asked.shown.signature))
    memory = session.get(Memory, (user_id, card_id))
    assert memory is not None
    if spent is not None:
        stored = Answered(spent.id, card_id, "grade", Rating(spent.rating or 0), spent.at_ms, spent.study_day, "", 0, 0)
        raise AlreadyAnswered(stored)
    if memory.basis_event_id != asked.shown.basis_event_id:
        raise MovedOn
    mine, setting = terms.terms_of(session, asked.viewer), session.get_one(StudySetting, user_id)
    day = mine.day(clock.from_milliseconds(asked.at_ms))
    row = Review(
        kind="grade",
        user_id=user_id,
        card_id=card_id,
        token=asked.shown.signature,
        rating=asked.rating,
        at_ms=asked.at_ms,
        duration_ms=asked.duration_ms,
        study_day=day,
        utc_offset_seconds=0,
        parameters_id=setting.parameters_id,
        fuzz_seed=asked.shown.fuzz_seed,
    )
    session.add(row)
    session.flush()
    state = MemoryState(*(getattr(memory, column) for column in STATE_COLUMNS))
    event_ = LogEvent(
        "grade", row.id, card_id, asked.rating, row.at_ms, day, 0, mine.parameters, row.fuzz_seed, mine.not_after_day
    )
    after = schedule.apply(state, event_)
    for column in STATE_COLUMNS:
        setattr(memory, column, getattr(after, column))
    memory.basis_event_id = row.id
    _count_by_orm(session, user_id, day, asked)
    return Answered(
        row.id, card_id, "grade", asked.rating, row.at_ms, day, after.phase, after.due_day or 0, after.due_at_ms
    )


def _count_by_orm(session: Session, user_id: int, day: int, asked: Grade) -> None:
    daily = session.get(Daily, (user_id, day))
    if daily is None:
        daily = Daily(user_id=user_id, study_day=day, reviews=0, again=0, new_cards=0, duration_ms=0)
        session.add(daily)
    daily.reviews += 1
    daily.again += asked.rating == Rating.AGAIN
    daily.duration_ms += asked.duration_ms


def create(kind: str, database: Path) -> FastAPI:
    engine = db.open_engine(database)
    lock = db.LockFile(database)
    lock.take()
    writer = Writer(engine, lock=lock)

    @asynccontextmanager
    async def live(_app: FastAPI) -> AsyncIterator[None]:
        writer.start()
        yield
        await writer.stop()

    app = FastAPI(lifespan=live)
    app.post("/grade", response_model=None)(KINDS[kind](writer, engine))
    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    asked = parser.parse_args()
    uvicorn.run(
        create(asked.kind, asked.database),
        port=asked.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=600,
    )


if __name__ == "__main__":
    main()
