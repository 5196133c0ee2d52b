"""From a folder of card files to the database: what changed is worked out first, then written in one short step.

`prepare` reads, parses and renders and writes nothing; `apply` only writes. A file that did not change costs its hash.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import ChainMap
from collections.abc import Collection, Container, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.cards import check, identity, markdown, notes
from app.cards.check import KnownDemos
from app.cards.model import CardFile, Problem
from app.cards.notes import NoteText
from app.cards.render import RENDERER_VERSION
from app.cards.rendering import render_file
from app.cards.tables import Note, NoteVersion, Rendering
from app.errors import Conflict, SetupError

log = logging.getLogger(__name__)
_STAMP = re.compile(r"^id:[ \t]*([a-z0-9-]+)[ \t]*$", re.M)
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Slugs of notes, sorted. ``unstamped`` pairs the paths of files without an id with the slugs they stand for."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    archived: tuple[str, ...] = ()
    revived: tuple[str, ...] = ()
    unchanged: int = 0
    unstamped: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """A note that the database has."""

    id: int
    slug: str
    path: str | None
    content_hash: str
    is_archived: bool
    is_content: bool
    is_rendered: bool


@dataclass(frozen=True, slots=True)
class _Parsed:
    path: str
    text: str
    content_hash: str
    file: CardFile
    parsed: markdown.Parsed


@dataclass(slots=True)
class LoadPlan:
    """What `apply` will write. ``seen_version`` is the newest note version there was."""

    seen_version: int
    new: list[NoteText] = field(default_factory=list)
    updates: list[tuple[int, NoteText]] = field(default_factory=list)
    archive: list[int] = field(default_factory=list)
    report: LoadReport = field(default_factory=LoadReport)


def content_hash(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def prepare(session: Session, folder: Path, known_demos: KnownDemos, images: str = "") -> LoadPlan:
    """Reads the folder against the database. ``images`` is put before ``<topic>/<image>`` in the HTML.

    Raises SetupError when the folder is not there.
    """
    if not folder.is_dir():
        raise SetupError(f"The folder of cards {folder} is not there. Set FORWARD_PASS_CONTENT to the right one.")
    seen = session.scalar(select(func.max(NoteVersion.id))) or 0
    return _Planner(session, known_demos, images, _known_notes(session), seen).plan(folder)


def apply(session: Session, plan: LoadPlan, now: datetime) -> LoadReport:
    """Writes the plan. Raises Conflict when the cards were changed since it was made."""
    if (session.scalar(select(func.max(NoteVersion.id))) or 0) != plan.seen_version:
        raise Conflict("The cards changed while the files were read. Load them again.")
    notes.add(session, plan.new, now)
    notes.change(session, plan.updates, now)
    notes.archive(session, plan.archive, now)
    if plan.new or plan.updates or plan.archive:
        notes.place(session)
    return plan.report


def _known_notes(session: Session) -> list[_Known]:
    rows = session.execute(
        select(
            Note.id,
            Note.slug,
            Note.path,
            Note.content_hash,
            Note.archived_at.is_not(None),
            Note.origin == "content",
            Rendering.renderer_version,
            Rendering.content_hash,
        ).outerjoin(Rendering, Rendering.note_id == Note.id)
    )
    return [_known(row) for row in rows]


def _known(row: Any) -> _Known:
    note_id, slug, path, digest, is_archived, is_content, renderer, rendered = row
    is_rendered = renderer == RENDERER_VERSION and rendered == digest
    return _Known(note_id, slug, path, digest, bool(is_archived), bool(is_content), is_rendered)


def read_folder(folder: Path) -> Iterator[tuple[str, bytes | Problem]]:
    """Each ``.md`` file under the folder, by path; hidden ones, links and READMEs are no cards."""
    for name in sorted(_file_names(folder, "")):
        try:
            yield name, (folder / name).read_bytes()
        except OSError as error:
            says = f"The file cannot be read: {error.strerror}."
            yield name, Problem(name, 1, says, "Check its permissions.")


def planned_concepts(folder: Path) -> frozenset[str]:
    """The ids in ``planned.txt``, one a line; none when the folder has no such file."""
    path = folder / "planned.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def _file_names(folder: Path, prefix: str) -> Iterator[str]:
    with os.scandir(folder / prefix) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _file_names(folder, f"{prefix}{entry.name}/")
            elif entry.name.endswith(".md") and entry.name != "README.md" and entry.is_file(follow_symlinks=False):
                yield prefix + entry.name


class _Planner:
    def __init__(
        self, session: Session, known_demos: KnownDemos, images: str, known: Collection[_Known], seen: int
    ) -> None:
        self._session = session
        self._known_demos = known_demos
        self._images = images
        self._by_slug = {note.slug: note for note in known}
        self._by_path = {note.path: note for note in known if note.path and not note.is_archived}
        self._taken: dict[str, str] = {}  # slug → path of the file that stands for it
        self._protected: set[str] = set()  # slugs whose file is there but cannot be read
        self._problems: list[Problem] = []
        self._moved: list[str] = []
        self._changed: list[str] = []
        self._revived: list[str] = []
        self._added: list[str] = []
        self._unstamped: list[tuple[str, str]] = []
        self._plan = LoadPlan(seen)

    def plan(self, folder: Path) -> LoadPlan:
        pending, unchanged = self._sorted_out(folder)
        found = self._without_duplicates([parsed for name, raw in pending if (parsed := self._parsed(name, raw))])
        for decision, incoming in zip(self._decisions(found), found, strict=True):
            try:
                self._decide(decision, incoming)
            except Exception as error:  # noqa: BLE001 - the border of one file in a load
                self._fail(incoming.path, incoming.text, error)
        kept = self._taken.keys() | self._protected
        active = [note for note in self._by_slug.values() if note.is_content and not note.is_archived]
        gone = [note for note in active if note.slug not in kept]
        self._plan.archive = [note.id for note in gone]
        self._plan.report = LoadReport(
            added=tuple(sorted(self._added)),
            changed=tuple(sorted(self._changed)),
            moved=tuple(sorted(self._moved)),
            archived=tuple(sorted(note.slug for note in gone)),
            revived=tuple(sorted(self._revived)),
            unchanged=unchanged,
            unstamped=tuple(sorted(self._unstamped)),
            problems=tuple(sorted(self._problems, key=lambda problem: (problem.file, problem.line, problem.says))),
        )
        return self._plan

    def _sorted_out(self, folder: Path) -> tuple[list[tuple[str, bytes]], int]:
        """The files that must be parsed, and how many need not be."""
        pending = []
        unchanged = 0
        for name, raw in read_folder(folder):
            known = self._by_path.get(name)
            if isinstance(raw, Problem):
                self._refuse(raw, "")
            elif known and known.is_rendered and known.content_hash == content_hash(raw):
                self._taken[known.slug] = name
                unchanged += 1
            else:
                pending.append((name, raw))
        return pending, unchanged

    def _refuse(self, problem: Problem, text: str) -> None:
        """Keeps what the database has of a file that cannot be used now."""
        self._problems.append(problem)
        if known := self._by_path.get(problem.file):
            self._protected.add(known.slug)
        if stamp := _STAMP.search(text[:16_000]):
            self._protected.add(stamp[1])

    def _fail(self, name: str, text: str, error: Exception) -> None:
        log.error("%s could not be loaded", name, exc_info=error)
        says = f"The file could not be loaded: {type(error).__name__}."
        self._refuse(Problem(name, 1, says, "The log has the details; this is a mistake in the program."), text)

    def _parsed(self, name: str, raw: bytes) -> _Parsed | None:
        text = markdown.decode(name, raw)
        if isinstance(text, Problem):
            self._refuse(text, raw[:16_000].decode("utf-8", "replace"))
            return None
        try:
            parsed = markdown.parse(name, text)
        except Exception as error:  # noqa: BLE001 - the border of one file in a load
            self._fail(name, text, error)
            return None
        if parsed.file is None:
            for problem in parsed.problems:
                self._refuse(problem, text)
            return None
        return _Parsed(name, text, content_hash(raw), parsed.file, parsed)

    def _without_duplicates(self, found: list[_Parsed]) -> list[_Parsed]:
        """Of files with one id, the one that had it before is kept, else the first by path."""
        kept = []
        for incoming in sorted(found, key=lambda one: (not self._had_its_id(one), one.path)):
            stamp = incoming.file.front.id
            if stamp is not None and stamp in self._taken:
                says = f"The id `{stamp}` also stands in {self._taken[stamp]}, so this file is not loaded."
                line = incoming.parsed.lines.get("id")
                self._problems.append(Problem(incoming.path, line, says, "Give this card another id, or leave it out."))
                continue
            if stamp is not None:
                self._taken[stamp] = incoming.path
            kept.append(incoming)
        return sorted(kept, key=lambda one: one.path)

    def _had_its_id(self, incoming: _Parsed) -> bool:
        known = self._by_path.get(incoming.path)
        return known is not None and known.slug == incoming.file.front.id

    def _decisions(self, found: list[_Parsed]) -> list[identity.Decision]:
        stamped = {incoming.file.front.id for incoming in found}
        free = [note for note in self._by_slug.values() if note.slug not in self._taken or note.slug in stamped]
        known = self._known_texts(free) if any(not one.file.front.id for one in found) else []
        if not known:
            known = [identity.Text(note.slug, "", "") for note in free]
        return identity.match(known, [identity_text(one.path, one.file, one.file.front.id) for one in found])

    def _known_texts(self, free: list[_Known]) -> list[identity.Text]:
        sources = notes.sources(self._session, [note.id for note in free])
        texts = []
        for note in free:
            file = markdown.parse(note.slug, sources[note.id]).file
            texts.append(identity_text(note.slug, file) if file else identity.Text(note.slug, "", ""))
        return texts

    def _decide(self, decision: identity.Decision, incoming: _Parsed) -> None:
        if isinstance(decision, identity.Ask):
            self._ask(decision, incoming)
            return
        known = self._by_slug[decision.known] if isinstance(decision, identity.Same) else None
        slug = known.slug if known else incoming.file.front.id or self._free_slug(incoming.path)
        text = self._note_text(slug, incoming)
        self._taken[slug] = incoming.path
        if incoming.file.front.id is None:
            self._unstamped.append((incoming.path, slug))
        if known is None:
            self._added.append(slug)
            self._plan.new.append(text)
            return
        self._plan.updates.append((known.id, text))
        if known.is_archived:
            self._revived.append(slug)
        if known.path != incoming.path and not known.is_archived:
            self._moved.append(slug)
        if known.content_hash != incoming.content_hash:
            self._changed.append(slug)

    def _ask(self, decision: identity.Ask, incoming: _Parsed) -> None:
        self._protected.update(decision.candidates)
        choices = " or ".join(f"`id: {slug}`" for slug in decision.candidates)
        says = "This card has no id, and it could be more than one known card or they could be it; it is not loaded."
        self._problems.append(Problem(incoming.path, 1, says, f"Write {choices} in its front matter, or a new id."))

    def _note_text(self, slug: str, incoming: _Parsed) -> NoteText:
        folder = incoming.path.rpartition("/")[0]
        rendered = render_file(incoming.file, slug, f"{self._images}{folder}/" if folder else self._images)
        self._problems += incoming.parsed.problems
        self._problems += check.file_problems(incoming.path, incoming.parsed, rendered, self._known_demos)
        return NoteText(slug, incoming.path, "content", incoming.text, incoming.content_hash, incoming.file, rendered)

    def _free_slug(self, path: str) -> str:
        stem = path.rpartition("/")[2].removesuffix(".md")
        return free_slug(stem, ChainMap[str, object](self._by_slug, self._taken))  # type: ignore[arg-type]


def identity_text(key: str, file: CardFile, stamp: str | None = None) -> identity.Text:
    body = "\n".join([file.setting, file.answer, *(point.text for point in file.key_points)])
    return identity.Text(key, file.question, body, stamp)


def free_slug(wish: str, taken: Container[str]) -> str:
    """The wish as a slug of at most 60 characters, numbered when it is taken."""
    base = _NOT_SLUG.sub("-", wish.lower()).strip("-")[:60].strip("-") or "card"
    number = 1
    slug = base
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    return slug
