"""The catalogue as the web process knows it, pictures of true runs kept for when the pool is away, and predictions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, Moment


class Demo(Base):
    """``schema`` is the knobs' JSON Schema, ``teaching`` the yaml as JSON, ``version`` a hash of both files."""

    __tablename__ = "demo"

    slug: Mapped[str] = mapped_column(String(80), primary_key=True)
    topic: Mapped[str] = mapped_column(String(80))
    title: Mapped[str]
    explanation_html: Mapped[str]
    source_note: Mapped[str]
    source_html: Mapped[str]
    schema: Mapped[dict[str, Any]] = mapped_column(JSON)
    teaching: Mapped[dict[str, Any]] = mapped_column(JSON)
    version: Mapped[str] = mapped_column(String(12))
    position: Mapped[int]


class StoredRun(Base):
    """The result of a preset's own knobs, computed once for each version of the demo."""

    __tablename__ = "stored_run"

    demo_slug: Mapped[str] = mapped_column(ForeignKey("demo.slug"), primary_key=True)
    preset: Mapped[str] = mapped_column(String(120), primary_key=True)
    version: Mapped[str] = mapped_column(String(12))
    result: Mapped[dict[str, Any]] = mapped_column(JSON)
    ran_at: Mapped[datetime] = mapped_column(Moment)


class Prediction(Base):
    """What somebody said before they saw, stored once for a token before any result may be shown.

    ``token`` is sixteen bytes minted with the question. ``value`` is None when it was skipped ("show me").
    ``result`` arrives once, after the run; ``measured`` is its answer, ``error`` the distance from it, ``band``
    half the width of what counts as right. ``card_id`` is None on a demo's own page.
    """

    __tablename__ = "prediction"
    __table_args__ = (Index("ix_prediction_user_id", "user_id", "demo", "preset"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    card_id: Mapped[int | None] = mapped_column(ForeignKey("card.id"))
    demo: Mapped[str]
    preset: Mapped[str]
    knobs: Mapped[dict[str, Any]] = mapped_column(JSON)
    answer: Mapped[str]
    value: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    skipped: Mapped[bool]
    measured: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    correct: Mapped[bool | None]
    error: Mapped[float | None]
    band: Mapped[float | None]
    misconception: Mapped[str | None]
    suggested_rating: Mapped[int | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(Moment)
