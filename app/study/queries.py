"""What pages and actions read of studying: the session first, whose data second."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.orm import Session, aliased

from app import db
from app.errors import NotFound
from app.study import grading, study_day
from app.study.schedule import LogEvent
from app.study.tables import Memory, Prediction, Review, StudySetting
from app.study.tokens import Shown
from app.viewer import Viewer


@dataclass(frozen=True, slots=True)
class Place:
    """Where a viewer is in time: the study day and the zone that it was reckoned in."""

    day: int
    zone: tzinfo


def study_place(session: Session, viewer: Viewer, at: datetime) -> Place:
    """One query."""
    found = session.execute(
        select(StudySetting.time_zone, StudySetting.rollover_hour).where(StudySetting.user_id == viewer.id)
    ).one_or_none()
    name, rollover_hour = (None, study_day.ROLLOVER_HOUR) if found is None else found
    zone = ZoneInfo(name or viewer.time_zone)
    return Place(study_day.study_day(at, zone, rollover_hour), zone)


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


def prediction_for(session: Session, viewer: Viewer, shown: Shown) -> Prediction | None:
    return session.scalar(
        select(Prediction).where(Prediction.token == shown.signature, Prediction.user_id == viewer.id)
    )


def prediction(session: Session, viewer: Viewer, prediction_id: int) -> Prediction:
    """Raises NotFound for somebody else's."""
    found = session.scalar(
        select(Prediction)
        .where(Prediction.id == prediction_id, Prediction.user_id == viewer.id)
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound("There is no such prediction of yours.")
    return found


def basis_event_id(session: Session, viewer: Viewer, card_id: int) -> int:
    """The card's last event for the viewer, 0 for none: what a token for it is minted on."""
    found = session.scalar(select(Memory.basis_event_id).where(Memory.user_id == viewer.id, Memory.card_id == card_id))
    return found or 0


def require_card(session: Session, viewer: Viewer, card_id: int) -> None:
    """Raises NotFound when there is no such card."""
    if session.execute(text("SELECT 1 FROM card WHERE id = :id"), {"id": card_id}).one_or_none() is None:
        raise NotFound("There is no such card.")
