"""What is kept of cards. A note is one concept (one file); a card is what a learner reviews, and its id never changes.

    import_batch ◄── draft ──► note ◄── card ◄─ (reviews, elsewhere)
                               ▲ ▲ ▲
                  note_version ┘ │ └ claim_outcome
                             rendering        note_search (full text, rowid = note.id)

No foreign key here cascades: notes and cards are archived, never deleted.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, Moment


class Note(Base):
    """``title`` is the question. ``path`` is within the content folder; None for a note that has no file.

    ``source`` is the file's text, ``front`` its front matter as JSON (see `app.cards.front.front_json`).
    ``version_id`` names the current `NoteVersion` (no foreign key: the two tables would need each other first).
    """

    __tablename__ = "note"
    __table_args__ = (
        Index("ix_note_position", "position"),
        Index("ix_note_topic_position", "topic", "position"),
        Index("ix_note_path", "path"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    topic: Mapped[str]
    title: Mapped[str]
    difficulty: Mapped[int]
    demo: Mapped[str | None]
    preset: Mapped[str | None]
    path: Mapped[str | None]
    origin: Mapped[str]
    source: Mapped[str]
    front: Mapped[dict[str, Any]] = mapped_column(JSON)
    content_hash: Mapped[str]
    position: Mapped[int]
    version_id: Mapped[int | None]
    archived_at: Mapped[datetime | None] = mapped_column(Moment)


class NoteVersion(Base):
    """A text that a note once had: what a review saw, and the base of a later merge."""

    __tablename__ = "note_version"
    __table_args__ = (Index("ix_note_version_note_id", "note_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    note_id: Mapped[int] = mapped_column(ForeignKey("note.id"))
    text: Mapped[str]
    content_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(Moment)


class Card(Base):
    """``key`` is ``slug``, ``slug/predict``, ``slug/predict-2``…; ``kind`` recall, predict or verdict.

    ``position`` counts the siblings of one note from 0, the recall card first.
    """

    __tablename__ = "card"
    __table_args__ = (Index("ix_card_note_id", "note_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    note_id: Mapped[int] = mapped_column(ForeignKey("note.id"))
    key: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    position: Mapped[int]
    archived_at: Mapped[datetime | None] = mapped_column(Moment)


class Rendering(Base):
    """A note's HTML, made once for its content and the renderer's version. All HTML is safe to print as it is.

    ``key_points``: ``[{"html", "twin_html", "wordings"}]``; ``follow_ups``: ``[{"html", "key_point"}]``;
    ``misconceptions`` and ``sources``: ``[html]``; ``claims``: ``[{"html", "verdict", "code_html", "expected",
    "tolerance", "demo_claims": [{"preset", "claim", "supports"}]}]``. Lists keep the file's order; key points are
    numbered from 1.
    """

    __tablename__ = "rendering"

    note_id: Mapped[int] = mapped_column(ForeignKey("note.id"), primary_key=True, autoincrement=False)
    content_hash: Mapped[str]
    renderer_version: Mapped[str]
    question_html: Mapped[str]
    setting_html: Mapped[str]
    answer_html: Mapped[str]
    key_points: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    follow_ups: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    misconceptions: Mapped[list[str]] = mapped_column(JSON)
    claims: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    sources: Mapped[list[str]] = mapped_column(JSON)


class ImportBatch(Base):
    """One file that was imported. ``report`` is what `./run import --json` prints."""

    __tablename__ = "import_batch"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    content_hash: Mapped[str]
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(Moment)
    undone_at: Mapped[datetime | None] = mapped_column(Moment)


class Draft(Base):
    """A question and answer that somebody must accept before it is studied.

    ``state`` is open, accepted, discarded or undone. ``note_id`` is the note that it became, or, while open, the one
    whose text it would change. ``line`` and ``end_line`` are in the imported file, 1-based and inclusive.
    """

    __tablename__ = "draft"
    __table_args__ = (Index("ix_draft_batch_id", "batch_id"), Index("ix_draft_state", "state"))

    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("import_batch.id"))
    note_id: Mapped[int | None] = mapped_column(ForeignKey("note.id"))
    state: Mapped[str]
    position: Mapped[int]
    question: Mapped[str]
    answer: Mapped[str]
    content_hash: Mapped[str]
    line: Mapped[int]
    end_line: Mapped[int]
    question_html: Mapped[str]
    answer_html: Mapped[str]


class ClaimOutcome(Base):
    """The last run of a note's claim, by its number from 1. ``content_hash`` is the note's text that was run."""

    __tablename__ = "claim_outcome"
    __table_args__ = (UniqueConstraint("note_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    note_id: Mapped[int] = mapped_column(ForeignKey("note.id"))
    number: Mapped[int]
    content_hash: Mapped[str]
    verdict: Mapped[str]
    outcome: Mapped[str]
    came_out: Mapped[str | None]
    says: Mapped[str]
    measured: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    version: Mapped[str]
    device: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    ran_at: Mapped[datetime] = mapped_column(Moment)


SEARCH_DDL: tuple[str, ...] = (
    "CREATE VIRTUAL TABLE note_search USING fts5(question, answer, prefix='2 3',"
    ' tokenize="unicode61 remove_diacritics 2")',
)
"""Run by the migration after the tables are made."""
