"""What pages and actions read of studying: the session first, whose data second."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from app import db
from app.cards.tables import Card
from app.errors import NotFound
from app.study import grading
from app.study.schedule import LogEvent
from app.study.tables import Memory, Prediction, Review
from app.study.tokens import Shown
from app.viewer import Viewer


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
    if session.get(Card, card_id) is None:
        raise NotFound("There is no such card.")
