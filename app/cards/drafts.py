"""Imported questions wait here until somebody accepts them. Nothing here commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.cards import identity, markdown, notes, render
from app.cards.importers.headings import Found, Imported
from app.cards.loading import content_hash, free_slug
from app.cards.model import CardFile, Front
from app.cards.notes import NoteText
from app.cards.rendering import render_file
from app.cards.tables import Draft, ImportBatch, Note
from app.errors import BadInput, Conflict, NotFound

IMPORTED_TOPIC = "imported"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that could be more than one card that is known; nothing was made of it."""

    line: int
    question: str
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """``batch_id`` is None when the file changed nothing."""

    batch_id: int | None
    drafted: int
    changed: int
    unchanged: int
    asked: tuple[Asked, ...]


@dataclass(slots=True)
class _Known:
    """Drafts and imported notes that a new question may be. The note stands for its accepted draft."""

    texts: list[identity.Text]
    drafts: dict[str, Draft]
    notes: dict[str, Note]
    hashes: dict[str, str]


def import_drafts(session: Session, name: str, raw: bytes, imported: Imported, now: datetime) -> ImportReport:
    """Makes a draft of each question that is not known yet.

    A question whose text changed changes its open draft, or makes a draft that would change the accepted card.
    Importing the same file again changes nothing, not even what was discarded.
    """
    known = _known(session)
    incoming = [identity.Text(str(n), card.question, card.answer) for n, card in enumerate(imported.cards)]
    decisions = identity.match(known.texts, incoming)
    batch = ImportBatch(
        name=name, content_hash=content_hash(raw), report=imported.json(), created_at=now, undone_at=None
    )
    asked, counts = [], {"drafted": 0, "changed": 0, "unchanged": 0}
    for position, (card, decision) in enumerate(zip(imported.cards, decisions, strict=True)):
        if isinstance(decision, identity.Ask):
            asked.append(Asked(card.line, card.question, _titles(known, decision.candidates)))
        else:
            same = decision.known if isinstance(decision, identity.Same) else None
            counts[_take(session, batch, position, card, known, same)] += 1
    return ImportReport(batch.id, counts["drafted"], counts["changed"], counts["unchanged"], tuple(asked))


def _take(session: Session, batch: ImportBatch, position: int, card: Found, known: _Known, same: str | None) -> str:
    """Writes what one question asks for; returns which count it belongs to."""
    digest = draft_hash(card.question, card.answer)
    if same is not None and known.hashes[same] == digest:
        return "unchanged"
    draft = known.drafts.get(same or "")
    if draft is not None and draft.state in {"open", "discarded"}:
        draft.state = "open"
        _fill(draft, card, digest)
        return "changed"
    if batch.id is None:
        session.add(batch)
        session.flush()
    note = known.notes.get(same or "")
    new = Draft(batch_id=batch.id, note_id=note.id if note else None, state="open", position=position)
    _fill(new, card, digest)
    session.add(new)
    return "changed" if note else "drafted"


def _fill(draft: Draft, card: Found, digest: str) -> None:
    draft.question, draft.answer, draft.content_hash = card.question, card.answer, digest
    draft.line, draft.end_line = card.line, card.end_line
    draft.question_html = render.render_inline(card.question).html
    draft.answer_html = render.render(card.answer, render.Place(ids=f"draft-{digest[:8]}")).html


def draft_hash(question: str, answer: str) -> str:
    return content_hash(f"{question}\n\n{answer}".encode())


def _known(session: Session) -> _Known:
    """Open and discarded drafts, and notes that were accepted, each once. Drafts of undone imports are forgotten."""
    known = _Known([], {}, {}, {})
    accepted = session.scalars(select(Note).where(Note.origin == "import", Note.archived_at.is_(None)))
    for note in accepted:
        file = markdown.parse(note.slug, note.source).file
        if file:
            _add(known, f"note {note.id}", file.question, file.answer)
            known.notes[f"note {note.id}"] = note
    pending = session.scalars(select(Draft).where(Draft.state.in_(("open", "discarded"))).order_by(Draft.id))
    for draft in pending:
        key = f"note {draft.note_id}" if f"note {draft.note_id}" in known.notes else f"draft {draft.id}"
        known.texts = [text for text in known.texts if text.key != key]
        _add(known, key, draft.question, draft.answer)
        known.drafts[key] = draft
    return known


def _add(known: _Known, key: str, question: str, answer: str) -> None:
    known.texts.append(identity.Text(key, question, answer))
    known.hashes[key] = draft_hash(question, answer)


def _titles(known: _Known, candidates: Sequence[str]) -> tuple[str, ...]:
    headings = {text.key: text.heading for text in known.texts}
    return tuple(headings[key] for key in candidates)


def accept(session: Session, draft_id: int, now: datetime, *, topic: str = IMPORTED_TOPIC, difficulty: int = 1) -> str:
    """Makes the draft a card to be studied, and returns its slug. Accepting twice gives the same card.

    Raises NotFound, Conflict when it was discarded or undone, BadInput when it has no answer.
    """
    draft = session.get(Draft, draft_id)
    if draft is None:
        raise NotFound("That draft is not here. /drafts lists those that wait.", where=str(draft_id))
    if draft.state == "accepted" and draft.note_id is not None:
        return session.scalars(select(Note.slug).where(Note.id == draft.note_id)).one()
    if draft.state != "open":
        raise Conflict(f"This draft was {draft.state} before. Import its file again to bring it back.")
    if not draft.answer.strip():
        raise BadInput("This draft has no answer yet. Add one to the file and import it again.", where=draft.question)
    known = _note_of(session, draft)
    slug = known.slug if known else free_slug(draft.question, set(session.scalars(select(Note.slug))))
    text = _note_text(slug, draft, known.topic if known else topic, known.difficulty if known else difficulty)
    if known:
        notes.change(session, [(known.id, text)], now)
        draft.note_id = known.id
    else:
        draft.note_id = notes.add(session, [text], now)[0]
    draft.state = "accepted"
    session.flush()
    session.expire_all()
    notes.place(session)
    return slug


def _note_of(session: Session, draft: Draft) -> Note | None:
    """The note that the draft changes, or the one that an undone import left archived with the same question."""
    if draft.note_id is not None:
        return session.get(Note, draft.note_id)
    return session.scalars(
        select(Note)
        .where(Note.origin == "import", Note.archived_at.is_not(None), Note.title == draft.question)
        .order_by(Note.id)
        .limit(1)
    ).one_or_none()


def _note_text(slug: str, draft: Draft, topic: str, difficulty: int) -> NoteText:
    file = CardFile(Front(slug, topic, difficulty), draft.question, draft.answer)
    source = markdown.print_file(file)
    stored = markdown.parse(slug, source).file
    if stored is None or stored.answer != draft.answer:
        says = (
            "The answer has a heading or code fence that a card file cannot hold. Correct it and import the file again."
        )
        raise BadInput(says, where=draft.question)
    rendered = render_file(file, slug)
    return NoteText(slug, None, "import", source, content_hash(source.encode()), file, rendered)


def accept_all(session: Session, batch_id: int, now: datetime, **more: Any) -> tuple[list[str], list[BadInput]]:
    """Accepts every open draft of a batch: the slugs, and why others were left open."""
    slugs, refused = [], []
    ids = session.scalars(select(Draft.id).where(Draft.batch_id == batch_id, Draft.state == "open").order_by(Draft.id))
    for draft_id in list(ids):
        try:
            slugs.append(accept(session, draft_id, now, **more))
        except BadInput as error:
            refused.append(error)
    return slugs, refused


def discard(session: Session, draft_id: int) -> bool:
    """False when the draft was not open any more."""
    changed = session.execute(
        update(Draft).where(Draft.id == draft_id, Draft.state == "open").values(state="discarded").returning(Draft.id)
    )
    return changed.first() is not None


def undo_import(session: Session, batch_id: int, now: datetime) -> int:
    """Takes an import back: open drafts go, accepted cards are archived with their reviews kept. How many notes were
    archived. Importing the file again drafts it anew. Raises NotFound."""
    batch = session.get(ImportBatch, batch_id)
    if batch is None:
        raise NotFound("That import is not here. /drafts lists them.", where=str(batch_id))
    if batch.undone_at is not None:
        return 0
    batch.undone_at = now
    accepted = select(Draft.note_id).where(Draft.batch_id == batch_id, Draft.state == "accepted")
    active = select(Note.id).where(Note.id.in_(accepted), Note.archived_at.is_(None), Note.path.is_(None))
    ids = list(session.scalars(active))
    session.execute(update(Draft).where(Draft.batch_id == batch_id).values(state="undone"))
    notes.archive(session, ids, now)
    notes.place(session)
    return len(ids)
