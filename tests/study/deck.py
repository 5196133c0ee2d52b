"""A small database for tests: learners, notes with cards, and the triggers that the migration makes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, text

from app import db
from app.accounts.tables import User
from app.cards.tables import Card, Note
from app.study import tables
from app.viewer import Role, Viewer

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ADA = Viewer(1, Role.LEARNER, "Europe/Rome")
BEN = Viewer(2, Role.LEARNER, "America/New_York")
CEM = Viewer(3, Role.LEARNER, "Asia/Tokyo")
SECRET = b"a secret that only tests know!!!"


def note(number: int) -> Note:
    return Note(
        id=number,
        slug=f"note-{number}",
        topic="optimisation" if number % 2 else "regularisation",
        title=f"Question {number}?",
        difficulty=1,
        origin="content",
        source="",
        front={},
        content_hash=f"hash-{number}",
        position=number,
    )


def cards(number: int) -> list[Card]:
    return [
        Card(id=2 * number - 1, note_id=number, key=f"note-{number}", kind="recall", position=0),
        Card(id=2 * number, note_id=number, key=f"note-{number}/predict", kind="predict", position=1),
    ]


def make(path: Path, *, notes: int = 4, learners: int = 3) -> Engine:
    """Ada, Ben, Cem and more learners as asked; note n has the recall card 2n-1 and the predict card 2n."""
    engine = db.open_engine(path)
    db.Base.metadata.create_all(engine)
    with db.writing(engine) as session:
        for trigger in tables.TRIGGERS:
            session.execute(text(trigger))
        for number in range(1, learners + 1):
            name = ("Ada", "Ben", "Cem")[number - 1] if number <= 3 else f"Learner {number}"
            session.add(User(id=number, name=name, role="learner", created_at=NOON))
        session.add_all(note(number) for number in range(1, notes + 1))
        session.flush()
        for number in range(1, notes + 1):
            session.add_all(cards(number))
    return engine
