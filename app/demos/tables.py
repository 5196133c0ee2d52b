"""The catalogue as the web process knows it, pictures of true runs kept for when the pool is away, and predictions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
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
    """What somebody said before they saw. ``token`` is minted with the question; one prediction for each.

    ``value`` is null and ``skipped`` true for an explicit "show me". ``result`` follows when the run is done; until
    then nothing of it can be asked for.
    """

    __tablename__ = "prediction"
    __table_args__ = (
        UniqueConstraint("user_id", "token"),
        Index("ix_prediction_user_id_predicted_at", "user_id", "predicted_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    token: Mapped[str] = mapped_column(String(200))
    card_id: Mapped[int | None]
    demo_slug: Mapped[str] = mapped_column(String(80))
    preset: Mapped[str] = mapped_column(String(120))
    knobs: Mapped[dict[str, Any]] = mapped_column(JSON)
    prompt: Mapped[str]
    unit: Mapped[str] = mapped_column(String(40))
    value: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    skipped: Mapped[bool]
    predicted_at: Mapped[datetime] = mapped_column(Moment)
    seconds: Mapped[float | None]
    answer: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    correct: Mapped[bool | None]
    error: Mapped[float | None]
    misconception: Mapped[str | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), nullable=True)
