"""What is read of cards. Nothing here knows a learner: schedules are joined on `card.id` elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.orm import Session

from app.cards import markdown
from app.cards.front import preset_ref
from app.cards.model import TOPICS, CardFile
from app.cards.tables import Card, ClaimOutcome, Draft, ImportBatch, Note, Rendering
from app.errors import NotFound

PAGE = 50
_WORD = re.compile(r"\w+")
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"

Highlighted = tuple[tuple[str, bool], ...]
"""Plain text in pieces; True marks a piece that was searched for. Escape each piece when it is printed."""


@dataclass(frozen=True, slots=True)
class NoteLine:
    """A note in a list."""

    id: int
    slug: str
    title: str
    question_html: str
    topic: str
    difficulty: int
    demo: str | None
    preset: str | None
    origin: str
    position: int


@dataclass(frozen=True, slots=True)
class NotePage:
    """``next_after`` is the cursor of the following page; None at the end."""

    lines: tuple[NoteLine, ...]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class CardLine:
    id: int
    key: str
    kind: str
    position: int


@dataclass(frozen=True, slots=True)
class WholeNote:
    """``rendering`` holds the columns of `app.cards.tables.Rendering`; ``file`` is the parsed source."""

    line: NoteLine
    note: Note
    rendering: Rendering
    cards: tuple[CardLine, ...]

    @property
    def file(self) -> CardFile:
        found = markdown.parse(self.note.slug, self.note.source).file
        assert found is not None, "only texts that parse are stored"
        return found


@dataclass(frozen=True, slots=True)
class Found:
    line: NoteLine
    question: Highlighted
    excerpt: Highlighted


@dataclass(frozen=True, slots=True)
class TopicCount:
    topic: str
    notes: int


_LINE = (
    Note.id,
    Note.slug,
    Note.title,
    Rendering.question_html,
    Note.topic,
    Note.difficulty,
    Note.demo,
    Note.preset,
    Note.origin,
    Note.position,
)


def _line(row: Any) -> NoteLine:
    return NoteLine(*row)


def deck(
    session: Session,
    *,
    topic: str | None = None,
    difficulty: int | None = None,
    demo: str | None = None,
    origin: str | None = None,
    after: int | None = None,
    limit: int = PAGE,
) -> NotePage:
    """Notes in the order of learning, those beyond position ``after``. One query."""
    wanted: list[ColumnElement[bool]] = [Note.archived_at.is_(None)]
    wanted += [Note.topic == topic] if topic else []
    wanted += [Note.difficulty == difficulty] if difficulty else []
    wanted += [Note.demo == demo] if demo else []
    wanted += [Note.origin == origin] if origin else []
    wanted += [Note.position > after] if after is not None else []
    statement = select(*_LINE).join(Rendering, Rendering.note_id == Note.id).where(*wanted).order_by(Note.position)
    lines = tuple(_line(row) for row in session.execute(statement.limit(limit + 1)))
    return NotePage(lines[:limit], lines[limit - 1].position if len(lines) > limit else None)


def note(session: Session, slug: str) -> WholeNote:
    """Three queries. Raises NotFound for a slug that no note has; archived notes are found."""
    found = session.execute(
        select(Note, Rendering).join(Rendering, Rendering.note_id == Note.id).where(Note.slug == slug)
    ).one_or_none()
    if found is None:
        raise NotFound(f"There is no card `{slug}`. The deck lists all of them.", where=slug)
    row, rendering = found
    line = NoteLine(
        row.id,
        row.slug,
        row.title,
        rendering.question_html,
        row.topic,
        row.difficulty,
        row.demo,
        row.preset,
        row.origin,
        row.position,
    )
    return WholeNote(line, row, rendering, cards(session, row.id))


def cards(session: Session, note_id: int) -> tuple[CardLine, ...]:
    """The cards of a note that are not archived, the recall card first."""
    rows = session.execute(
        select(Card.id, Card.key, Card.kind, Card.position)
        .where(Card.note_id == note_id, Card.archived_at.is_(None))
        .order_by(Card.position)
    )
    return tuple(CardLine(*row) for row in rows)


def topics(session: Session) -> tuple[TopicCount, ...]:
    """Topics that have notes, in the order of learning; others last, by name."""
    rows = session.execute(
        select(Note.topic, func.count()).where(Note.archived_at.is_(None)).group_by(Note.topic)
    ).all()
    rank = {topic: place for place, topic in enumerate(TOPICS)}
    counts = [TopicCount(row[0], row[1]) for row in rows]
    return tuple(sorted(counts, key=lambda count: (rank.get(count.topic, len(rank)), count.topic)))


def search(session: Session, typed: str, limit: int = 20) -> tuple[Found, ...]:
    """Notes whose question or answer holds words that begin as typed, best first. Marks of the query language are
    read as spaces; at most twelve words count."""
    words = _WORD.findall(typed[:400])[:12]
    if not words:
        return ()
    rows = session.execute(
        text(
            "SELECT rowid, highlight(note_search, 0, :open, :close), snippet(note_search, 1, :open, :close, '…', 18)"
            " FROM note_search WHERE note_search MATCH :query ORDER BY bm25(note_search, 4.0, 1.0), rowid LIMIT :limit"
        ),
        {"query": " ".join(f'"{word}"*' for word in words), "open": _OPEN, "close": _CLOSE, "limit": limit},
    ).all()
    ids = [row[0] for row in rows]
    statement = select(*_LINE).join(Rendering, Rendering.note_id == Note.id).where(Note.id.in_(ids))
    lines = {row[0]: _line(row) for row in session.execute(statement)}
    return tuple(Found(lines[row[0]], _pieces(row[1]), _pieces(row[2])) for row in rows if row[0] in lines)


def _pieces(marked: str) -> Highlighted:
    pieces: list[tuple[str, bool]] = []
    for number, part in enumerate(marked.split(_OPEN)):
        inside, closes, rest = part.partition(_CLOSE)
        pieces += [(inside, number > 0), (rest, False)] if closes else [(part, False)]
    return tuple((piece, is_match) for piece, is_match in pieces if piece)


@dataclass(frozen=True, slots=True)
class DrawnPrediction:
    """What a predict card asks: its preset and, per knob, a list of values or ``{"from", "to", "step"}``."""

    demo: str
    preset: str
    draw: dict[str, Any]


def prediction_of(front: dict[str, Any], number: int) -> DrawnPrediction | None:
    """The ``number``-th predict entry (from 1) of a stored front matter; None when it has fewer."""
    entries = front.get("predict", [])
    if not 1 <= number <= len(entries):
        return None
    entry = entries[number - 1]
    preset = preset_ref(entry["preset"])
    return DrawnPrediction(preset.demo, preset.preset, dict(entry["draw"])) if preset else None


def batches(session: Session) -> Sequence[ImportBatch]:
    """Imports that were not undone, the newest first."""
    return session.scalars(
        select(ImportBatch).where(ImportBatch.undone_at.is_(None)).order_by(ImportBatch.id.desc())
    ).all()


def drafts(session: Session, batch_id: int | None = None, *, after: int = 0, limit: int = PAGE) -> Sequence[Draft]:
    """Open drafts in the order of their files, those with an id beyond ``after``."""
    wanted = [Draft.state == "open", Draft.id > after]
    wanted += [Draft.batch_id == batch_id] if batch_id is not None else []
    return session.scalars(select(Draft).where(*wanted).order_by(Draft.id).limit(limit)).all()


def draft(session: Session, draft_id: int) -> Draft:
    found = session.get(Draft, draft_id)
    if found is None:
        raise NotFound("That draft is not here. /drafts lists those that wait.", where=str(draft_id))
    return found


def open_drafts(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Draft).where(Draft.state == "open")) or 0


def claim_outcomes(session: Session, note: Note) -> dict[int, ClaimOutcome]:
    """The last outcome per claim number, of the note's present text only."""
    rows = session.scalars(
        select(ClaimOutcome).where(ClaimOutcome.note_id == note.id, ClaimOutcome.content_hash == note.content_hash)
    )
    return {row.number: row for row in rows}


@dataclass(frozen=True, slots=True)
class ClaimNote:
    """A note whose claims can be run."""

    id: int
    slug: str
    content_hash: str
    file: CardFile


def notes_with_claims(session: Session) -> list[ClaimNote]:
    """In the order of learning."""
    rows = session.execute(
        select(Note.id, Note.slug, Note.content_hash, Note.source)
        .where(Note.archived_at.is_(None), Note.source.contains("\n## Claims"))
        .order_by(Note.position)
    )
    found = ((row, markdown.parse(row.slug, row.source).file) for row in rows)
    return [ClaimNote(row.id, row.slug, row.content_hash, file) for row, file in found if file and file.claims]


def note_of_card(session: Session, card_id: int) -> WholeNote:
    """The note behind a card, archived or not. Raises NotFound."""
    slug = session.scalar(select(Note.slug).join(Card, Card.note_id == Note.id).where(Card.id == card_id))
    return note(session, slug or str(card_id))


def planned(session: Session, ids: Sequence[str]) -> list[str]:
    """Those ids that no card has yet."""
    known = set(session.scalars(select(Note.slug).where(Note.slug.in_(ids), Note.archived_at.is_(None))))
    return [one for one in ids if one not in known]
