"""A small database for tests: learners, notes with cards, and the triggers that the migration makes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, text

from app import db
from app.accounts import tables as accounts  # noqa: F401
from app.study import tables
from app.viewer import Role, Viewer

try:
    from app.cards import tables as cards  # noqa: F401
except ImportError:
    from sqlalchemy import Column, ForeignKey, Integer, Table, Text

    Table("note", db.Base.metadata, Column("id", Integer, primary_key=True), Column("slug", Text), Column("topic", Text), Column("title", Text))
    Table("card", db.Base.metadata, Column("id", Integer, primary_key=True), Column("note_id", ForeignKey("note.id")), Column("key", Text), Column("kind", Text), Column("position", Integer), Column("archived_at", Integer))
    Table("note_version", db.Base.metadata, Column("id", Integer, primary_key=True), Column("note_id", ForeignKey("note.id")))

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ADA = Viewer(1, Role.LEARNER, "Europe/Rome")
BEN = Viewer(2, Role.LEARNER, "America/New_York")
CEM = Viewer(3, Role.LEARNER, "Asia/Tokyo")
SECRET = b"a secret that only tests know!!!"


def make(path: Path, *, notes: int = 4) -> Engine:
    """Learners 1 to 3 and ``notes`` notes; note n has the recall card 2n-1 and the predict card 2n."""
    engine = db.open_engine(path)
    db.Base.metadata.create_all(engine)
    with db.writing(engine) as session:
        for trigger in tables.TRIGGERS:
            session.execute(text(trigger))
        for number, name in enumerate(("Ada", "Ben", "Cem"), start=1):
            session.execute(text("INSERT INTO user (id, name, role, created_at) VALUES (:id, :name, 'learner', 0)"), {"id": number, "name": name})
        for note in range(1, notes + 1):
            session.execute(text("INSERT INTO note (id, slug, topic, title) VALUES (:id, :slug, 'x', 'x')"), {"id": note, "slug": f"n{note}"})
            for card, kind in ((2 * note - 1, "recall"), (2 * note, "predict")):
                session.execute(text("INSERT INTO card (id, note_id, key, kind, position) VALUES (:id, :note, :key, :kind, :id)"), {"id": card, "note": note, "key": f"n{note}/{kind}", "kind": kind})
    return engine
