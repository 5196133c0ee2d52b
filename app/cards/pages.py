"""Drafts: what was imported and waits for a decision. Nothing here is studied before it is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request, UploadFile
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from app import db
from app.cards import actions, queries
from app.cards.model import TOPICS
from app.cards.tables import Draft, ImportBatch
from app.errors import BadInput
from app.web import render

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class DraftsPage:
    """``shown`` is the draft that is read; None with an empty list."""

    batches: Sequence[ImportBatch]
    drafts: Sequence[Draft]
    shown: Draft | None
    batch: ImportBatch | None
    topics: tuple[str, ...]
    notice: str
    section: str = "deck"


@router.get("/drafts")
async def drafts(request: Request, batch: int | None = None, draft: int | None = None, notice: str = "") -> Response:
    with db.reading(request.app.state.database) as session:
        listed = queries.drafts(session, batch, limit=1000)
        shown = queries.draft(session, draft) if draft else (listed[0] if listed else None)
        batches = queries.batches(session)
    chosen = next((one for one in batches if one.id == (batch or (shown.batch_id if shown else 0))), None)
    return render.page("cards/drafts.html", DraftsPage(batches, listed, shown, chosen, TOPICS, notice[:300]))


@dataclass(frozen=True, slots=True)
class NewDraftPage:
    question: str
    answer: str
    section: str = "deck"


@router.get("/drafts/new")
async def new_draft(question: str = "", said: str = "", link: str = "") -> Response:
    """A question and an answer to be written; a demo's page fills them with what it shows."""
    seen = f"{said}\n\n[Run it again]({link})" if link.startswith("/demos/") else ""
    return render.page("cards/new.html", NewDraftPage(question[:300], seen[:2000]))


@router.post("/drafts/new")
async def add_draft(
    request: Request,
    question: Annotated[str, Form(min_length=3, max_length=300)],
    answer: Annotated[str, Form(max_length=20_000)] = "",
) -> Response:
    """Kept as a draft, like an imported question."""
    now = request.app.state.clock.now()
    text = f"# {' '.join(question.split())}\n\n{answer}\n"
    work = request.app.state.writer.run
    _, report = await work(lambda session: actions.import_file(session, "written here", text.encode(), now))
    return _back("Kept as a draft." if report.drafted else "That question is known already.", report.batch_id)


@router.post("/drafts/import")
async def import_file(request: Request, file: UploadFile) -> Response:
    raw = await file.read()
    if not raw:
        raise BadInput("Choose a file first: Markdown with one question a heading.", where="file")
    now, name = request.app.state.clock.now(), (file.filename or "notes.md")[:200]
    _, report = await request.app.state.writer.run(lambda session: actions.import_file(session, name, raw, now))
    says = f"{report.drafted} drafted, {report.changed} changed, {report.unchanged} known already."
    return _back(says, report.batch_id)


@router.post("/drafts/{draft_id}/{change}")
async def decide(
    request: Request,
    draft_id: int,
    change: str,
    topic: Annotated[str, Form(max_length=80)] = "",
    difficulty: Annotated[int, Form(ge=1, le=3)] = 1,
) -> Response:
    """Accept or discard one."""
    now = request.app.state.clock.now()

    def work(session: Session) -> str:
        if change == "accept":
            chosen = topic if topic in TOPICS else TOPICS[-1]
            slug = actions.accept(session, draft_id, now, topic=chosen, difficulty=difficulty)
            return f"Accepted under {chosen}: “{slug}” is studied from now on."
        if change == "discard":
            actions.discard(session, draft_id)
            return "Discarded."
        raise BadInput("A draft can be accepted or discarded.", where="change")

    return _back(await request.app.state.writer.run(work), None)


@router.post("/imports/{batch_id}/{change}")
async def decide_all(
    request: Request, batch_id: int, change: str, topic: Annotated[str, Form(max_length=80)] = ""
) -> Response:
    """Accept all of an import, or undo it."""
    now = request.app.state.clock.now()

    def work(session: Session) -> str:
        if change == "accept":
            chosen = topic if topic in TOPICS else TOPICS[-1]
            accepted, refused = actions.accept_all(session, batch_id, now, topic=chosen)
            more = f" {len(refused)} could not be accepted: {refused[0].says}" if refused else ""
            return f"{render.plural(len(accepted), 'card')} accepted.{more}"
        if change == "undo":
            withdrawn = render.plural(actions.undo_import(session, batch_id, now), "draft")
            return f"The import is undone: {withdrawn} withdrawn."
        raise BadInput("An import can be accepted whole or undone.", where="change")

    return _back(await request.app.state.writer.run(work), batch_id)


def _back(notice: str, batch_id: int | None) -> Response:
    return RedirectResponse(render.address("/drafts", notice=notice, batch=batch_id), status_code=303)
