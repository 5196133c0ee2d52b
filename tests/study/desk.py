"""Somebody at a desk: shows cards, answers and undoes them as a page would, under a clock that moves when told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from app import db
from app.study import actions, doctor, queries, showing, study_day, tokens
from app.study.actions import Choices, Undone
from app.study.grading import Answered
from app.study.showing import Frontiers, Next
from app.study.writer import Writer
from app.viewer import Viewer
from tests.study.deck import ADA, NOON, SECRET


class Desk:
    def __init__(self, engine: Engine, writer: Writer) -> None:
        self.engine = engine
        self.writer = writer
        self.at: datetime = NOON
        self.frontiers = Frontiers()

    def wait(self, **time: float) -> None:
        self.at += timedelta(**time)

    def next(self, viewer: Viewer = ADA, **options: Any) -> Next:
        with db.reading(self.engine) as session:
            return showing.next_card(session, viewer, self.at, frontiers=self.frontiers, **options)

    def token(self, card_id: int, viewer: Viewer = ADA) -> str:
        with db.reading(self.engine) as session:
            basis = queries.basis_event_id(session, viewer, card_id)
        return tokens.mint(SECRET, viewer.id, card_id, basis, study_day.date_of(study_day.day_of(self.at.date())))

    async def spend(self, token: str, rating: int | None, viewer: Viewer = ADA, **more: Any) -> Answered:
        return await self.writer.grade(actions.read_grade(SECRET, viewer, token, rating, self.at, **more))

    async def answer(self, card_id: int, rating: int | None, viewer: Viewer = ADA, **more: Any) -> Answered:
        return await self.spend(self.token(card_id, viewer), rating, viewer, **more)

    async def undo(self, viewer: Viewer = ADA, event_id: int | None = None) -> Undone:
        return await self.writer.run(lambda session: actions.undo(session, viewer, self.at, event_id))

    async def choose(self, viewer: Viewer = ADA, **choices: Any) -> None:
        today = study_day.day_of(self.at.date())
        await self.writer.run(lambda session: actions.save_settings(session, viewer, Choices(**choices), today))

    def rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        with db.reading(self.engine) as session:
            return [tuple(row) for row in session.execute(text(statement), values)]

    def problems(self) -> tuple[str, ...]:
        with db.reading(self.engine) as session:
            return doctor.examine(session).problems
