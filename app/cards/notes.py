"""Writing notes: the rows that belong together are written together. Nothing here commits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Table, bindparam, delete, func, insert, select, text, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.cards import order
from app.cards.front import front_json
from app.cards.model import CardFile, cards_of
from app.cards.render import RENDERER_VERSION
from app.cards.rendering import RenderedFile
from app.cards.tables import Card, Note, NoteVersion, Rendering
from app.db import Base

CHUNK = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NoteText:
    """Everything that one note's rows are made of."""

    slug: str
    path: str | None
    origin: str
    source: str
    content_hash: str
    file: CardFile
    rendered: RenderedFile


def sources(session: Session, ids: Sequence[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for part in _chunks(ids):
        found.update((row[0], row[1]) for row in session.execute(select(Note.id, Note.source).where(Note.id.in_(part))))
    return found


def add(session: Session, new: Sequence[NoteText], now: datetime) -> list[int]:
    """The ids of the new notes, in order. Each gets its cards, first version, rendering and place in the search."""
    note_id, version_id = _next_id(session, Note.id), _next_id(session, NoteVersion.id)
    numbered = list(enumerate(new, note_id))
    shift = version_id - note_id
    _insert(
        session,
        Note,
        [{"id": n, "slug": one.slug, "position": 0, **_note_columns(one, n + shift)} for n, one in numbered],
    )
    _insert(session, NoteVersion, [_version_row(n + shift, n, one, now) for n, one in numbered])
    _insert(session, Card, [row for n, one in numbered for row in _card_rows(n, one)])
    _write_rendering(session, numbered)
    return [n for n, _ in numbered]


def change(session: Session, changed: Sequence[tuple[int, NoteText]], now: datetime) -> None:
    """New text for known notes, which are revived when they were archived. Ids of notes and cards stay."""
    if not changed:
        return
    old = _hashes_and_versions(session, [note_id for note_id, _ in changed])
    following = _next_id(session, NoteVersion.id)
    versions: dict[int, int] = {}
    for note_id, note in changed:
        is_same = old[note_id][0] == note.content_hash and old[note_id][1] is not None
        versions[note_id] = old[note_id][1] or following if is_same else following
        following += 0 if is_same else 1
    fresh = [(n, one) for n, one in changed if versions[n] != old[n][1]]
    _insert(session, NoteVersion, [_version_row(versions[n], n, one, now) for n, one in fresh])
    rows = [{"note": n, **_note_columns(one, versions[n])} for n, one in changed]
    session.connection().execute(update(_table(Note)).where(_table(Note).c.id == bindparam("note")), rows)
    _match_cards(session, changed, now)
    _write_rendering(session, changed)


def archive(session: Session, ids: Sequence[int], now: datetime) -> None:
    for part in _chunks(ids):
        session.execute(update(Note).where(Note.id.in_(part)).values(archived_at=now))
        session.execute(update(Card).where(Card.note_id.in_(part), Card.archived_at.is_(None)).values(archived_at=now))
        _forget_in_search(session, part)


def place(session: Session) -> None:
    """Gives every note that is not archived its place in the order of learning."""
    rows = session.execute(
        select(Note.id, Note.slug, Note.topic, Note.difficulty, Note.front, Note.position).where(
            Note.archived_at.is_(None)
        )
    ).all()
    places = order.positions(
        order.Concept(row.slug, row.topic, row.difficulty, tuple(row.front.get("prerequisites", ()))) for row in rows
    )
    moved = [{"note": row.id, "place": places[row.slug]} for row in rows if places[row.slug] != row.position]
    if moved:
        statement = (
            update(_table(Note)).where(_table(Note).c.id == bindparam("note")).values(position=bindparam("place"))
        )
        session.connection().execute(statement, moved)


def _match_cards(session: Session, changed: Sequence[tuple[int, NoteText]], now: datetime) -> None:
    """Adds, revives and archives cards until each note has those that its text yields."""
    there: dict[int, dict[str, int]] = {note_id: {} for note_id, _ in changed}
    for part in _chunks([note_id for note_id, _ in changed]):
        for card_id, note_id, key in session.execute(
            select(Card.id, Card.note_id, Card.key).where(Card.note_id.in_(part))
        ):
            there[note_id][key] = card_id
    new, kept = [], []
    gone: set[int] = set()
    for note_id, note in changed:
        wanted = {str(row["key"]): row for row in _card_rows(note_id, note)}
        new += [row for key, row in wanted.items() if key not in there[note_id]]
        kept += [
            {"card": card_id, "place": wanted[key]["position"]}
            for key, card_id in there[note_id].items()
            if key in wanted
        ]
        gone.update(card_id for key, card_id in there[note_id].items() if key not in wanted)
    _insert(session, Card, new)
    table = _table(Card)
    revive = update(table).where(table.c.id == bindparam("card")).values(position=bindparam("place"), archived_at=None)
    if kept:
        session.connection().execute(revive, kept)
    for ids in _chunks(sorted(gone)):
        session.execute(update(Card).where(Card.id.in_(ids), Card.archived_at.is_(None)).values(archived_at=now))


def _write_rendering(session: Session, numbered: Sequence[tuple[int, NoteText]]) -> None:
    ids = [note_id for note_id, _ in numbered]
    for part in _chunks(ids):
        session.execute(delete(Rendering).where(Rendering.note_id.in_(part)))
        _forget_in_search(session, part)
    _insert(
        session,
        Rendering,
        [
            {
                "note_id": note_id,
                "content_hash": note.content_hash,
                "renderer_version": RENDERER_VERSION,
                **note.rendered.columns,
            }
            for note_id, note in numbered
        ],
    )
    if numbered:
        session.connection().execute(
            text("INSERT INTO note_search (rowid, question, answer) VALUES (:id, :question, :answer)"),
            [
                {"id": note_id, "question": note.rendered.question_text, "answer": note.rendered.answer_text}
                for note_id, note in numbered
            ],
        )


def _forget_in_search(session: Session, ids: Sequence[int]) -> None:
    session.connection().execute(text("DELETE FROM note_search WHERE rowid = :id"), [{"id": n} for n in ids])


def _note_columns(note: NoteText, version_id: int) -> dict[str, Any]:
    front = note.file.front
    return {
        "topic": front.topic,
        "title": note.file.question,
        "difficulty": front.difficulty,
        "demo": front.demo.demo if front.demo else None,
        "preset": front.demo.preset if front.demo else None,
        "path": note.path,
        "origin": note.origin,
        "source": note.source,
        "front": front_json(front),
        "content_hash": note.content_hash,
        "version_id": version_id,
        "archived_at": None,
    }


def _version_row(version_id: int, note_id: int, note: NoteText, now: datetime) -> dict[str, Any]:
    return {
        "id": version_id,
        "note_id": note_id,
        "text": note.source,
        "content_hash": note.content_hash,
        "created_at": now,
    }


def _card_rows(note_id: int, note: NoteText) -> list[dict[str, Any]]:
    return [
        {"note_id": note_id, "key": card.key, "kind": str(card.kind), "position": card.position, "archived_at": None}
        for card in cards_of(note.slug, note.file)
    ]


def _hashes_and_versions(session: Session, ids: Sequence[int]) -> dict[int, tuple[str, int | None]]:
    found: dict[int, tuple[str, int | None]] = {}
    for part in _chunks(ids):
        rows = session.execute(select(Note.id, Note.content_hash, Note.version_id).where(Note.id.in_(part)))
        found.update((row[0], (row[1], row[2])) for row in rows)
    return found


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


def _next_id(session: Session, column: InstrumentedAttribute[int]) -> int:
    return (session.scalar(select(func.max(column))) or 0) + 1


def _table(of: type[Base]) -> Table:
    table = of.__table__
    assert isinstance(table, Table)
    return table


def _insert(session: Session, of: type[Base], rows: list[dict[str, Any]]) -> None:
    if rows:
        session.connection().execute(insert(_table(of)), rows)
