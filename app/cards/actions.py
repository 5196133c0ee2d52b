"""What changes cards; each function belongs to one transaction and never commits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.cards import drafts, loading, markdown
from app.cards.check import KnownDemos
from app.cards.claims import Settled
from app.cards.drafts import ImportReport
from app.cards.importers import headings
from app.cards.importers.headings import Imported
from app.cards.loading import LoadReport
from app.cards.model import Claim, topic_slug
from app.cards.queries import ClaimNote
from app.cards.tables import ClaimOutcome, Note
from app.errors import BadInput

accept = drafts.accept
accept_all = drafts.accept_all
discard = drafts.discard
undo_import = drafts.undo_import
prepare_load = loading.prepare
apply_load = loading.apply


def load(session: Session, folder: Path, known_demos: KnownDemos, now: datetime, images: str = "") -> LoadReport:
    """Reads the folder and writes what changed.

    Beside a running server call `prepare_load` in a reading session and `apply_load` in a writing one, so that the
    write lock is not held while cards are rendered.
    """
    return loading.apply(session, loading.prepare(session, folder, known_demos, images), now)


def import_file(session: Session, name: str, raw: bytes, now: datetime) -> tuple[Imported, ImportReport]:
    """Reads a file of questions and drafts what is new. Raises BadInput when it cannot be read at all."""
    imported = headings.read(raw)
    if not imported.cards and imported.problems:
        problem = imported.problems[0]
        raise BadInput(f"{name}, line {problem.line}: {problem.says}", where=name)
    return imported, drafts.import_drafts(session, name, raw, imported, now)


def export(session: Session, folder: Path) -> list[str]:
    """Writes each note that is not archived as a card file with its id, and returns the paths, sorted.

    The folder may be the content folder: a file that already says the same is left as it is.
    """
    written = []
    rows = session.execute(select(Note.slug, Note.topic, Note.path, Note.source).where(Note.archived_at.is_(None)))
    for slug, topic, path, source in rows:
        name = path or f"{topic_slug(topic)}/{slug}.md"
        parsed = markdown.parse(name, source).file
        text = source if parsed and parsed.front.id == slug else markdown.stamp(source, slug)
        target = folder / name
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        written.append(name)
    return sorted(written)


def stamp_files(folder: Path, report: LoadReport) -> list[str]:
    """Writes the ids into files that have none, so that they may be edited at will. The paths written."""
    for path, slug in report.unstamped:
        target = folder / path
        target.write_text(markdown.stamp(target.read_text(encoding="utf-8-sig"), slug), encoding="utf-8")
    return [path for path, _ in report.unstamped]


def record_claim(
    session: Session,
    note: ClaimNote,
    number: int,
    claim: Claim,
    settled: Settled,
    now: datetime,
    *,
    version: str = "",
    device: str = "",
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Keeps the last outcome of a claim; ``number`` counts from 1."""
    session.execute(delete(ClaimOutcome).where(ClaimOutcome.note_id == note.id, ClaimOutcome.number == number))
    session.add(
        ClaimOutcome(
            note_id=note.id,
            number=number,
            content_hash=note.content_hash,
            verdict=str(claim.verdict),
            outcome=str(settled.outcome),
            came_out=str(settled.came_out) if settled.came_out else None,
            says=settled.says,
            measured=settled.measured,
            version=version,
            device=device,
            settings=dict(settings or {}),
            ran_at=now,
        )
    )
