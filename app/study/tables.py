"""What is kept of studying. `Review` is the truth, only ever appended to; `Memory` and `Daily` can be made from it.

    scheduler_parameters ◄── review ──► user, card, note_version, prediction
                               │ fold
                               ▼
                     memory · daily          card_mark · study_setting

No foreign key that cascades reaches a review. The triggers in `TRIGGERS` refuse to change one, and to delete one
unless an erasure of its learner is open; an erasure that is still open cannot be committed.
Days are whole study days counted from 1970-01-01; moments are milliseconds since then.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from app.accounts.tables import User
from app.cards.tables import Card, NoteVersion
from app.db import Base, Moment
from app.demos.tables import Prediction

STEPS = "phase IN ('learning', 'relearning')"
REVIEWS = "phase = 'review'"
"""A query must spell them like this to use the index."""


class Parameters(Base):
    """What answers were scheduled under; never changed. ``digest`` is the SHA-256 of the other columns."""

    __tablename__ = "scheduler_parameters"

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    version: Mapped[str]
    weights: Mapped[list[float]] = mapped_column(JSON)
    desired_retention: Mapped[float]
    learning_steps_seconds: Mapped[list[int]] = mapped_column(JSON)
    relearning_steps_seconds: Mapped[list[int]] = mapped_column(JSON)
    maximum_interval_days: Mapped[int]
    fuzz: Mapped[bool]


class Review(Base):
    """One event. ``token`` is the signature of the study token that it spent; None for an undo.

    ``not_after_day`` is the last day before an interview; ``suggested_rating`` what a measured prediction suggested;
    ``ticks`` the numbers of the key points that the learner ticked; ``undoes`` the event that an undo takes back.
    """

    __tablename__ = "review"
    __table_args__ = (
        CheckConstraint(
            "CASE kind WHEN 'grade' THEN rating BETWEEN 1 AND 4 AND token IS NOT NULL AND undoes IS NULL"
            " WHEN 'known' THEN rating IS NULL AND token IS NOT NULL AND undoes IS NULL"
            " WHEN 'undo' THEN rating IS NULL AND token IS NULL AND undoes IS NOT NULL ELSE FALSE END",
            name="kind",
        ),
        Index("uq_review_token", "token", unique=True, sqlite_where=text("token IS NOT NULL")),
        Index("uq_review_undoes", "undoes", unique=True, sqlite_where=text("undoes IS NOT NULL")),
        Index("ix_review_user_id_card_id", "user_id", "card_id"),
        Index("ix_review_user_id", "user_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id))
    card_id: Mapped[int] = mapped_column(ForeignKey(Card.id))
    token: Mapped[bytes | None] = mapped_column(LargeBinary)
    rating: Mapped[int | None]
    at_ms: Mapped[int]
    duration_ms: Mapped[int]
    study_day: Mapped[int]
    utc_offset_seconds: Mapped[int]
    parameters_id: Mapped[int] = mapped_column(ForeignKey("scheduler_parameters.id"))
    fuzz_seed: Mapped[int]
    not_after_day: Mapped[int | None]
    note_version_id: Mapped[int | None] = mapped_column(ForeignKey(NoteVersion.id))
    suggested_rating: Mapped[int | None]
    prediction_id: Mapped[int | None] = mapped_column(ForeignKey(Prediction.id))
    ticks: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    undoes: Mapped[int | None] = mapped_column(ForeignKey("review.id"))


class Memory(Base):
    """What `schedule.fold` makes of a learner's events of a card; a row exists once there is an event.

    ``basis_event_id`` is the card's last event, an undo too: what a study token is minted on.
    """

    __tablename__ = "memory"
    __table_args__ = (
        Index("ix_memory_steps", "user_id", "due_day", "due_at_ms", sqlite_where=text(STEPS)),
        Index("ix_memory_reviews", "user_id", "due_day", "last_day", "stability", sqlite_where=text(REVIEWS)),
        Index("ix_memory_undone", "user_id", sqlite_where=text("phase = 'new'")),
        {"sqlite_with_rowid": False},
    )

    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), primary_key=True)
    card_id: Mapped[int] = mapped_column(ForeignKey(Card.id), primary_key=True)
    phase: Mapped[str]
    step: Mapped[int]
    stability: Mapped[float | None]
    difficulty: Mapped[float | None]
    due_day: Mapped[int | None]
    due_at_ms: Mapped[int | None]
    last_day: Mapped[int | None]
    last_at_ms: Mapped[int | None]
    repetitions: Mapped[int]
    lapses: Mapped[int]
    basis_event_id: Mapped[int]


class CardMark(Base):
    """What a learner decided about a card, apart from remembering it."""

    __tablename__ = "card_mark"
    __table_args__ = ({"sqlite_with_rowid": False},)

    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), primary_key=True)
    card_id: Mapped[int] = mapped_column(ForeignKey(Card.id), primary_key=True)
    suspended: Mapped[bool] = mapped_column(default=False)
    buried_day: Mapped[int | None]


class Daily(Base):
    """The standing grades of one learner on one study day, so that a year is 366 rows and not a million."""

    __tablename__ = "daily"
    __table_args__ = ({"sqlite_with_rowid": False},)

    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), primary_key=True)
    study_day: Mapped[int] = mapped_column(primary_key=True)
    reviews: Mapped[int]
    again: Mapped[int]
    new_cards: Mapped[int]
    duration_ms: Mapped[int]


class StudySetting(Base):
    """``time_zone`` None means the viewer's own. ``minutes_a_day`` counts only together with ``interview_day``."""

    __tablename__ = "study_setting"

    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), primary_key=True, autoincrement=False)
    parameters_id: Mapped[int] = mapped_column(ForeignKey("scheduler_parameters.id"))
    time_zone: Mapped[str | None]
    rollover_hour: Mapped[int] = mapped_column(default=4)
    new_cards_per_day: Mapped[int] = mapped_column(default=10)
    interview_day: Mapped[int | None]
    minutes_a_day: Mapped[int | None]
    keys_on: Mapped[bool] = mapped_column(default=True)


class DeckStamp(Base):
    """One row, whose ``version`` a trigger raises when cards come, go or change places: what a frontier holds for."""

    __tablename__ = "deck_stamp"

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]


class ErasureSeal(Base):
    """Always empty: what an open erasure points to, so that it cannot be committed."""

    __tablename__ = "erasure_seal"

    id: Mapped[int] = mapped_column(primary_key=True)


class Erasure(Base):
    """A learner's reviews were erased. While ``open`` is 1 they may be deleted.

    ``open`` is a deferred foreign key to a table without rows: the transaction that opens an erasure must close it
    (None) or it fails at its commit. So no other transaction ever sees an open one.
    """

    __tablename__ = "erasure"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    at: Mapped[datetime] = mapped_column(Moment)
    reviews: Mapped[int]
    open: Mapped[int | None] = mapped_column(ForeignKey("erasure_seal.id", deferrable=True, initially="DEFERRED"))


def _refuse(name: str, event: str, says: str, when: str = "") -> str:
    condition = f" WHEN {when}" if when else ""
    return f"CREATE TRIGGER {name} BEFORE {event}{condition} BEGIN SELECT RAISE(ABORT, '{says}'); END"


def _stamp(name: str, event: str) -> str:
    return (
        f"CREATE TRIGGER {name} AFTER {event} BEGIN INSERT INTO deck_stamp (id, version) VALUES (1, 1)"
        " ON CONFLICT (id) DO UPDATE SET version = version + 1; END"
    )


TRIGGERS: tuple[str, ...] = (
    _refuse("review_is_not_changed", "UPDATE ON review", "a review is never changed"),
    _refuse(
        "review_is_not_deleted",
        "DELETE ON review",
        "a review is deleted only with an erasure of its learner",
        "NOT EXISTS (SELECT 1 FROM erasure WHERE user_id = OLD.user_id AND open IS NOT NULL)",
    ),
    _refuse(
        "review_is_not_replaced",
        "INSERT ON review",
        "a review is never replaced",
        "EXISTS (SELECT 1 FROM review WHERE id = NEW.id OR token = NEW.token OR undoes = NEW.undoes)",
    ),
    _refuse(
        "scheduler_parameters_are_not_changed",
        "UPDATE ON scheduler_parameters",
        "scheduler parameters are never changed",
    ),
    _refuse(
        "scheduler_parameters_are_not_deleted",
        "DELETE ON scheduler_parameters",
        "scheduler parameters are never deleted",
    ),
    _refuse(
        "scheduler_parameters_are_not_replaced",
        "INSERT ON scheduler_parameters",
        "scheduler parameters are never replaced",
        "EXISTS (SELECT 1 FROM scheduler_parameters WHERE id = NEW.id OR digest = NEW.digest)",
    ),
    _refuse("erasure_seal_stays_empty", "INSERT ON erasure_seal", "the seal of erasures stays empty"),
    _refuse("erasure_is_not_deleted", "DELETE ON erasure", "a record of an erasure is never deleted"),
    _refuse(
        "erasure_is_only_closed",
        "UPDATE ON erasure",
        "an erasure is only closed",
        "OLD.open IS NULL OR NEW.open NOT NULL",
    ),
    _stamp("note_is_placed", "INSERT ON note"),
    _stamp("note_moves", "UPDATE OF position, archived_at ON note"),
    _stamp("card_comes", "INSERT ON card"),
    _stamp("card_moves", "UPDATE OF position, archived_at, note_id ON card"),
    _stamp("memory_goes", "DELETE ON memory"),
)
"""Run by the migration after the tables are made; `doctor` checks that each is in place, word for word."""
