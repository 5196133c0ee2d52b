"""The deck as its learner sees it: topics, search, the state of each card, one card whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from app import db
from app.cards import queries as card_queries
from app.cards.queries import Found, NoteLine, WholeNote
from app.study import queries, stats, terms
from app.study.pages import desk_of
from app.study.queries import HistoryEntry
from app.study.sitting import EPOCH
from app.study.stats import CardState, TopicStrength
from app.viewer import Viewer
from app.web import render
from app.web.deps import CurrentViewer, Fragment

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class DeckLine:
    """A note with the states of its cards in words, the recall card's first."""

    line: NoteLine
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeckPage:
    topics: list[TopicStrength]
    topic: str
    typed: str
    found: tuple[Found, ...]
    lines: list[DeckLine]
    next_after: int | None
    total: int
    section: str = "deck"


@dataclass(frozen=True, slots=True)
class CardRow:
    """One card of a note: its kind, its state, and what can be changed."""

    id: int
    kind: str
    state: str
    is_suspended: bool
    is_buried: bool
    history: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class NotePage:
    note: WholeNote
    cards: list[CardRow]
    claims: Sequence[tuple[Mapping[str, Any], Any]]
    planned: list[str]
    section: str = "deck"


@router.get("/deck")
async def deck(
    request: Request, viewer: CurrentViewer, fragment: Fragment, topic: str = "", q: str = "", after: int | None = None
) -> Response:
    desk = desk_of(request)
    with db.reading(request.app.state.database) as session:
        strengths = stats.topics(session, viewer, desk.at)
        page = card_queries.deck(session, topic=topic or None, after=after)
        lines = [] if q.strip() else _lines(session, viewer, desk.at, list(page.lines))
        found = card_queries.search(session, q[:200]) if q.strip() else ()
    context = DeckPage(strengths, topic, q, found, lines, page.next_after, sum(one.cards for one in strengths))
    return render.page("cards/_found.html" if fragment else "cards/deck.html", context)


def _lines(session: Session, viewer: Viewer, at: Any, lines: list[NoteLine]) -> list[DeckLine]:
    cards = {line.id: card_queries.cards(session, line.id) for line in lines}
    ids = [card.id for group in cards.values() for card in group]
    states = stats.card_states(session, viewer, at, ids)
    today = terms.terms_of(session, viewer).day(at)
    return [
        DeckLine(line, tuple(in_words(states[card.id], today) for card in cards[line.id] if card.id in states))
        for line in lines
    ]


def in_words(state: CardState, today: int) -> str:
    if state.is_suspended:
        return "suspended"
    if state.is_buried:
        return "not today"
    if state.phase == "new" or state.due_day is None:
        return "new"
    days = state.due_day - today
    if state.phase in ("learning", "relearning"):
        return "learning"
    return "due" if days <= 0 else "due tomorrow" if days == 1 else f"due in {days} d"


@router.get("/deck/{slug}")
async def note_page(request: Request, slug: str, viewer: CurrentViewer) -> Response:
    desk = desk_of(request)
    with db.reading(request.app.state.database) as session:
        note = card_queries.note(session, slug)
        mine = terms.terms_of(session, viewer)
        states = stats.card_states(session, viewer, desk.at, [card.id for card in note.cards])
        today = mine.day(desk.at)
        rows = [
            CardRow(
                card.id,
                card.kind,
                in_words(states[card.id], today),
                states[card.id].is_suspended,
                states[card.id].is_buried,
                _history(queries.card_history(session, viewer, card.id)),
            )
            for card in note.cards
            if card.id in states
        ]
        outcomes = card_queries.claim_outcomes(session, note.note)
        claims = [(claim, outcomes.get(number)) for number, claim in enumerate(note.rendering.claims, 1)]
        planned = card_queries.planned(session, note.note.front.get("prerequisites", []))
    return render.page("cards/note.html", NotePage(note, rows, claims, planned))


def _history(entries: list[HistoryEntry]) -> list[tuple[str, str, str]]:
    """Day, rating, and when it was due after that."""
    lines = []
    for entry in entries:
        day = EPOCH + timedelta(days=entry.event.study_day)
        due = entry.state.due_day
        returns = "" if due is None else f"{EPOCH + timedelta(days=due):%-d %b %Y}"
        lines.append((f"{day:%-d %b %Y}", entry.event.rating.name.lower() if entry.event.rating else "known", returns))
    return lines
