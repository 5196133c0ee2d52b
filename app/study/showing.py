"""Which card is shown next and what is left, found through indexes and chosen by the rule of `queue.pick`.

A restart, a second tab, an undo, a change of settings and a load of cards need no care: see `lists` for what is kept
between requests. Two bounds keep it quick: of more than `lists.BACKLOG` due reviews the weakest of those that were due
first are shown, and new cards are searched from where the last one was found.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app import clock, db
from app.study import grading, lists, memory, pace, queue, schedule, terms
from app.study.lists import DayLists
from app.study.lists import Frontiers as Frontiers
from app.study.queue import Choice, Left, QueueCard, Today
from app.study.schedule import MemoryState, Outcome
from app.study.terms import Terms
from app.study.tokens import Shown
from app.viewer import Viewer

PACE_ANSWERS = 100

_EARLY = f"""
SELECT card.id, card.note_id, memory.last_day, memory.stability FROM note CROSS JOIN card ON card.note_id = note.id
CROSS JOIN memory ON memory.user_id = :user AND memory.card_id = card.id {lists.MARKED}
WHERE note.topic = :topic AND memory.phase = 'review' AND memory.last_day IS NOT :today AND {lists.MAY_BE_SHOWN}
"""
_NAMED = f"""
SELECT card.id, card.note_id, 0 FROM json_each(:keys) AS named CROSS JOIN card ON card.key = named.value
LEFT JOIN memory ON memory.user_id = :user AND memory.card_id = card.id {lists.MARKED}
WHERE coalesce(memory.phase, 'new') = 'new' AND {lists.MAY_BE_SHOWN} ORDER BY named.key LIMIT 1
"""
_CARD = f"""
SELECT card.id, note.id, note.topic, {lists.PLACE}, note.version_id, card.kind, coalesce(memory.basis_event_id, 0),
       coalesce(memory.phase, 'new'), {", ".join(f"memory.{column}" for column in grading.STATE_COLUMNS[1:])}
FROM card CROSS JOIN note ON note.id = card.note_id
LEFT JOIN memory ON memory.user_id = :user AND memory.card_id = card.id {lists.MARKED}
WHERE card.id = :card AND card.archived_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Showing:
    """A card to be shown, with all that its token, its buttons and its grade need."""

    card: QueueCard
    kind: queue.Kind
    is_early: bool
    card_kind: str
    note_version_id: int | None
    basis_event_id: int
    state: MemoryState
    study_day: int


@dataclass(frozen=True, slots=True)
class Next:
    """``showing`` None: nothing now; ``next_at_ms`` is then when the first waiting step comes due.

    ``is_full``: the minutes of the day are used, so nothing is shown although something may be left.
    """

    showing: Showing | None
    left: Left
    next_at_ms: int | None
    is_full: bool = False


@dataclass(frozen=True, slots=True)
class Spent:
    """What the study day has taken so far."""

    new_cards: int
    seconds: float


def next_card(
    session: Session,
    viewer: Viewer,
    at: datetime,
    *,
    topic: str | None = None,
    frontiers: Frontiers | None = None,
    first: Sequence[str] = (),
    is_going_on: bool = False,
) -> Next:
    """What the viewer is shown now. ``first``: keys of cards that a newcomer meets before all others.

    ``is_going_on``: the learner wants more although the minutes of the day are used. Five small queries, or eight.
    """
    search = _Search.of(session, viewer, at, topic, frontiers)
    is_full = search.is_full() and topic is None and not is_going_on
    showing = None if is_full else search.undone() or search.choice(first)
    return Next(showing, search.lists.left, search.lists.next_at_ms, is_full)


def left(session: Session, viewer: Viewer, at: datetime, *, frontiers: Frontiers | None = None) -> Left:
    """What today still holds; of due reviews at most `BACKLOG` are counted."""
    return _Search.of(session, viewer, at, None, frontiers).lists.left


def show(session: Session, viewer: Viewer, card_id: int, at: datetime) -> Showing | None:
    """One card as it stands, due or not; None when there is no such card or it is archived."""
    mine = terms.terms_of(session, viewer)
    today = Today(mine.day(at), clock.milliseconds(at), 0, not_after_day=mine.not_after_day)
    row = db.cursor(session).execute(_CARD, {"user": viewer.id, "card": card_id}).fetchone()
    return None if row is None else _showing(row, today, mine)


def outcomes(showing: Showing, shown: Shown, mine: Terms, at: datetime) -> tuple[Outcome, Outcome, Outcome, Outcome]:
    """What each of the four buttons leads to, with the fuzz that the grade will get."""
    return schedule.preview(
        showing.state,
        clock.milliseconds(at),
        mine.day(at),
        mine.parameters,
        shown.fuzz_seed,
        mine.not_after_day,
    )


@dataclass(slots=True)
class _Search:
    cursor: Any
    mine: Terms
    today: Today
    values: dict[str, Any]
    spent: Spent
    lists: DayLists

    @classmethod
    def of(
        cls, session: Session, viewer: Viewer, at: datetime, topic: str | None, frontiers: Frontiers | None
    ) -> _Search:
        cursor, mine = db.cursor(session), terms.terms_of(session, viewer)
        day = mine.day(at)
        spent = _spent(cursor, viewer, day)
        new_left = max(mine.new_cards_per_day - spent.new_cards, 0) if topic is None else lists.COUNT_LIMIT
        values = {
            "user": viewer.id,
            "today": day,
            "topic": topic,
            "due_until": lists.FAR_FUTURE_DAY if mine.not_after_day == day else day,
            "backlog": lists.BACKLOG,
        }
        today = Today(day, clock.milliseconds(at), new_left, topic=topic, not_after_day=mine.not_after_day)
        search = cls(cursor, mine, today, values, spent, lists.find(cursor, values, today, frontiers))
        if topic is None and mine.is_limited(day):
            search._fit_minutes()
        return search

    def _fit_minutes(self) -> None:
        """With an interview ahead, new cards are those that the learner's pace leaves minutes for."""
        held = self.lists.left
        plan = pace.plan(
            measured_pace(self.cursor, self.values["user"]),
            self.mine.parameters,
            self.mine.minutes_a_day,
            self.spent.seconds,
            held.learning,
            held.review,
            held.new,
        )
        self.lists = replace(self.lists, left=replace(held, new=plan.new_cards))
        self.today = replace(self.today, new_left=plan.new_cards)

    def is_full(self) -> bool:
        is_limited = self.mine.is_limited(self.today.study_day)
        return is_limited and pace.is_filled(self.mine.minutes_a_day, self.spent.seconds)

    def choice(self, first: Sequence[str]) -> Showing | None:
        found = self.lists
        is_empty = found.step is found.review is found.fresh is None
        early = self.early() if self.today.topic is not None and is_empty else None
        chosen = queue.pick(found.step, found.review, self.newcomers(first) or found.fresh, self.today, early)
        return None if chosen is None else self.showing(int(chosen.card.card_id), chosen)

    def newcomers(self, first: Sequence[str]) -> QueueCard | None:
        """The first of these cards that is new and may be shown."""
        values = self.values | {"keys": json.dumps(first)}
        row = self.cursor.execute(_NAMED, values).fetchone() if first else None
        return None if row is None else lists.new_card(row)

    def early(self) -> QueueCard | None:
        """The weakest card of the topic that is not due yet."""
        rows = self.cursor.execute(_EARLY, self.values).fetchall()
        return next(iter(lists.weakest_first(rows, self.today.study_day)), None)

    def undone(self) -> Showing | None:
        """The card whose answer was just taken back comes first, as long as that was today."""
        card_id = self.lists.undone
        if card_id is None:
            return None
        may_be_shown = f"SELECT 1 FROM (SELECT :card AS card_id) AS some {lists.CARDS}"
        if self.cursor.execute(may_be_shown, self.values | {"card": card_id}).fetchone() is None:
            return None
        return self.showing(card_id, None)

    def showing(self, card_id: int, chosen: Choice | None) -> Showing | None:
        row = self.cursor.execute(_CARD, {"user": self.values["user"], "card": card_id}).fetchone()
        return None if row is None else _showing(row, self.today, self.mine, chosen)


def measured_pace(cursor: Any, user_id: int) -> pace.Pace:
    """From the learner's last grades."""
    rows = cursor.execute(
        "SELECT duration_ms FROM review WHERE user_id = ? AND kind = 'grade' ORDER BY id DESC LIMIT ?",
        (user_id, PACE_ANSWERS),
    ).fetchall()
    return pace.measured([duration for (duration,) in rows])


def studied_states(cursor: Any, viewer: Viewer) -> list[tuple[MemoryState, int]]:
    """Each memory with the number of study days on which its card was answered, counted up to two."""
    columns = ", ".join(f"memory.{column}" for column in grading.STATE_COLUMNS)
    rows = cursor.execute(
        f"""SELECT {columns}, 1 + EXISTS (SELECT 1 FROM review AS r WHERE r.user_id = memory.user_id
            AND r.card_id = memory.card_id AND r.kind = 'grade' AND r.study_day < memory.last_day)
        FROM memory JOIN card ON card.id = memory.card_id AND card.archived_at IS NULL
        LEFT JOIN card_mark AS mark ON mark.user_id = memory.user_id AND mark.card_id = memory.card_id
        WHERE memory.user_id = ? AND memory.phase <> 'new' AND NOT coalesce(mark.suspended, FALSE)""",
        (viewer.id,),
    ).fetchall()
    return [(MemoryState(*row[:-1]), row[-1]) for row in rows]


def cards_never_seen(cursor: Any, viewer: Viewer) -> int:
    """Cards of the deck that the viewer has not met and did not suspend."""
    found: int = cursor.execute(
        """SELECT count(*) FROM card JOIN note ON note.id = card.note_id AND note.archived_at IS NULL
        LEFT JOIN memory ON memory.user_id = :user AND memory.card_id = card.id
        LEFT JOIN card_mark AS mark ON mark.user_id = :user AND mark.card_id = card.id
        WHERE card.archived_at IS NULL AND coalesce(memory.phase, 'new') = 'new' AND NOT coalesce(mark.suspended, FALSE)
        """,
        {"user": viewer.id},
    ).fetchone()[0]
    return found


def _spent(cursor: Any, viewer: Viewer, day: int) -> Spent:
    row = cursor.execute(
        "SELECT new_cards, duration_ms / 1000.0 FROM daily WHERE user_id = ? AND study_day = ?", (viewer.id, day)
    ).fetchone()
    return Spent(*row) if row else Spent(0, 0.0)


def _showing(row: Sequence[Any], today: Today, mine: Terms, chosen: Choice | None = None) -> Showing:
    card_id, note_id, topic, position, version_id, card_kind, basis, *values = row
    values[1:] = [default if value is None else value for value, default in zip(values[1:], _NEW[1:], strict=True)]
    state = MemoryState(*values)
    elapsed = today.study_day - (state.last_day or 0)
    weights = mine.parameters.weights
    card = QueueCard(
        card_id=card_id,
        note_id=note_id,
        topic=topic,
        position=position,
        phase=state.phase,
        due_day=state.due_day,
        due_at_ms=state.due_at_ms,
        last_day=state.last_day,
        retrievability=None if state.stability is None else memory.retrievability(state.stability, elapsed, weights),
    )
    kind: queue.Kind = "learning" if state.phase == "relearning" else state.phase
    is_early = chosen is not None and chosen.is_early
    return Showing(card, kind, is_early, card_kind, version_id, basis, state, today.study_day)


_NEW = grading.state_values(schedule.NEW)
