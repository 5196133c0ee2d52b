"""What pages and actions read of studying: the session first, whose data second."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from app import db
from app.cards.tables import Card
from app.demos.tables import Prediction
from app.errors import NotFound
from app.study import grading, schedule, terms
from app.study.schedule import LogEvent, MemoryState
from app.study.tables import Memory, Review
from app.viewer import Viewer

_TODAY = """
WITH mine AS (
  SELECT * FROM review WHERE user_id = :user AND id > coalesce(
    (SELECT id FROM review WHERE user_id = :user AND study_day < :day ORDER BY id DESC LIMIT 1), 0)
)
SELECT mine.card_id, note.slug, note.title, min(mine.rating), count(*), memory.due_day, memory.due_at_ms,
  memory.repetitions = count(*)
FROM mine JOIN card ON card.id = mine.card_id JOIN note ON note.id = card.note_id
JOIN memory ON memory.user_id = :user AND memory.card_id = mine.card_id
WHERE mine.kind = 'grade' AND mine.study_day = :day
AND NOT EXISTS (SELECT 1 FROM mine AS taker WHERE taker.undoes = mine.id)
GROUP BY mine.card_id ORDER BY memory.due_day, memory.due_at_ms, max(mine.id)
"""


@dataclass(frozen=True, slots=True)
class CardToday:
    """One card of a session: its worst rating, and the study day or moment on which it returns."""

    card_id: int
    slug: str
    title: str
    worst_rating: int
    answers: int
    returns_day: int
    returns_at_ms: int | None
    is_new: int


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """Cards by when they return; ``wrong`` are the predictions that the runs contradicted."""

    study_day: int
    cards: tuple[CardToday, ...]
    wrong: tuple[Prediction, ...]

    @property
    def answers(self) -> int:
        return sum(card.answers for card in self.cards)

    @property
    def learned(self) -> tuple[CardToday, ...]:
        return tuple(card for card in self.cards if card.is_new)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    event: LogEvent
    state: MemoryState


def last_standing_event(session: Session, viewer: Viewer) -> Review | None:
    """What the next undo would take back."""
    taker = aliased(Review)
    return session.scalar(
        select(Review)
        .where(Review.user_id == viewer.id, Review.kind != "undo")
        .where(~select(taker.id).where(taker.undoes == Review.id).exists())
        .order_by(Review.id.desc())
        .limit(1)
    )


def card_events(session: Session, viewer: Viewer, card_id: int) -> list[LogEvent]:
    """The whole log of one card for the viewer, in its order."""
    last = session.scalar(
        select(Review.id)
        .where(Review.user_id == viewer.id, Review.card_id == card_id)
        .order_by(Review.id.desc())
        .limit(1)
    )
    return [] if last is None else grading.events_of(db.cursor(session), review_id=last)


def last_knobs(session: Session, viewer: Viewer, card_id: int) -> dict[str, Any] | None:
    """What the card's last prediction was drawn with, so that the next showing draws something else."""
    return session.scalar(
        select(Prediction.knobs)
        .where(Prediction.user_id == viewer.id, Prediction.card_id == card_id)
        .order_by(Prediction.id.desc())
        .limit(1)
    )


def session_summary(session: Session, viewer: Viewer, at: datetime) -> SessionSummary:
    """What the viewer did this study day, from the end of the log. Two queries."""
    day = terms.terms_of(session, viewer).day(at)
    rows = db.cursor(session).execute(_TODAY, {"user": viewer.id, "day": day}).fetchall()
    cards = [CardToday(*row) for row in rows]
    taker = aliased(Review)
    wrong = session.scalars(
        select(Prediction)
        .join(Review, Review.prediction_id == Prediction.id)
        .where(Review.user_id == viewer.id, Review.card_id.in_([card.card_id for card in cards]))
        .where(Review.study_day == day, Prediction.correct.is_(False))
        .where(~select(taker.id).where(taker.undoes == Review.id).exists())
        .order_by(Prediction.id)
    )
    return SessionSummary(day, tuple(cards), tuple(wrong))


def card_history(session: Session, viewer: Viewer, card_id: int) -> list[HistoryEntry]:
    """The card's standing answers, oldest first, each with the study day on which it was due next."""
    events = schedule.kept(card_events(session, viewer, card_id))
    states = [schedule.fold(events[: count + 1]) for count in range(len(events))]
    return [HistoryEntry(event, state) for event, state in zip(events, states, strict=True)]


def basis_event_id(session: Session, viewer: Viewer, card_id: int) -> int:
    """The card's last event for the viewer, 0 for none: what a token for it is minted on."""
    found = session.scalar(select(Memory.basis_event_id).where(Memory.user_id == viewer.id, Memory.card_id == card_id))
    return found or 0


def require_card(session: Session, viewer: Viewer, card_id: int) -> None:
    """Raises NotFound when there is no such card."""
    if session.get(Card, card_id) is None:
        raise NotFound("There is no such card.")
