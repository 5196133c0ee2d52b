"""Which card is shown next and what is left, found through indexes and chosen by the rule of `queue.pick`.

Nothing of a day's queue is kept: each request looks its lists up, in one statement, so a restart, a second tab, an
undo, a change of settings and a load of cards need no care. Two bounds keep it quick: of more than `BACKLOG` due
reviews the weakest of those that were due first are shown, and new cards are searched from a `Frontiers` place.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app import clock, db
from app.study import grading, memory, pace, queue, schedule, terms
from app.study.queue import Choice, Left, QueueCard, Today
from app.study.schedule import MemoryState, Outcome
from app.study.tables import STEPS
from app.study.terms import Terms
from app.study.tokens import Shown
from app.viewer import Viewer

BACKLOG = 1000
SPARE_NEW = 20
CARDS_A_NOTE = 8
COUNT_LIMIT = 1000
"""New cards of a topic are counted up to here."""
FRONTIERS_KEPT = 10_000
PACE_ANSWERS = 100
FAR_FUTURE_DAY = 1_000_000
PLACES_A_NOTE = 1000

# CROSS JOIN: the order of the tables is ours, because the planner cannot know that a learner's lists are short.
_MARKED = "LEFT JOIN card_mark AS mark ON mark.user_id = :user AND mark.card_id = card.id"
_MAY_BE_SHOWN = """card.archived_at IS NULL AND NOT coalesce(mark.suspended, FALSE) AND mark.buried_day IS NOT :today
AND (:topic IS NULL OR card.note_id IN (SELECT id FROM note WHERE topic = :topic))
AND NOT EXISTS (SELECT 1 FROM card AS sibling
    CROSS JOIN memory AS seen ON seen.user_id = :user AND seen.card_id = sibling.id
    WHERE sibling.note_id = card.note_id AND sibling.id <> card.id AND seen.last_day = :today)"""
_CARDS = f"CROSS JOIN card ON card.id = some.card_id {_MARKED} WHERE {_MAY_BE_SHOWN}"
_STEPS = f"SELECT card_id, due_day, due_at_ms FROM memory WHERE user_id = :user AND {STEPS} AND due_day <= :today"
_DUE = """SELECT card_id, last_day, stability FROM memory INDEXED BY ix_memory_reviews
WHERE user_id = :user AND phase = 'review' AND due_day <= :due_until AND last_day IS NOT :today
ORDER BY due_day LIMIT :backlog"""
_UNDONE = "SELECT card_id FROM memory WHERE user_id = :user AND phase = 'new'"
_PLACE = f"note.position * {PLACES_A_NOTE} + card.position"
_LISTS = f"""
SELECT json_array(
  (SELECT json_group_array(json_array(card.id, card.note_id, due_day, due_at_ms)) FROM ({_STEPS}) AS some {_CARDS}),
  (SELECT json_group_array(json_array(card.id, card.note_id, last_day, stability)) FROM ({_DUE}) AS some {_CARDS}),
  (SELECT json_group_array(json_array(card.id, note.id, {_PLACE}))
   FROM ({_UNDONE}) AS some CROSS JOIN card ON card.id = some.card_id
   CROSS JOIN note ON note.id = card.note_id {_MARKED} WHERE {_MAY_BE_SHOWN}),
  (SELECT json_group_array(json_array(card_id, note_id, place)) FROM (
   SELECT card.id AS card_id, card.note_id, {_PLACE} AS place
   FROM note INDEXED BY ix_note_position CROSS JOIN card ON card.note_id = note.id
   LEFT JOIN memory ON memory.user_id = :user AND memory.card_id = card.id {_MARKED}
   WHERE note.position >= :frontier AND memory.card_id IS NULL AND {_MAY_BE_SHOWN}
   ORDER BY note.position, card.position LIMIT :fresh)))
"""
_EARLY = f"""
SELECT card.id, card.note_id, memory.last_day, memory.stability FROM note CROSS JOIN card ON card.note_id = note.id
CROSS JOIN memory ON memory.user_id = :user AND memory.card_id = card.id {_MARKED}
WHERE note.topic = :topic AND memory.phase = 'review' AND memory.last_day IS NOT :today AND {_MAY_BE_SHOWN}
"""
_NAMED = f"""
SELECT card.id, card.note_id, 0 FROM json_each(:keys) AS named CROSS JOIN card ON card.key = named.value
LEFT JOIN memory ON memory.user_id = :user AND memory.card_id = card.id {_MARKED}
WHERE coalesce(memory.phase, 'new') = 'new' AND {_MAY_BE_SHOWN} ORDER BY named.key LIMIT 1
"""
_CARD = f"""
SELECT card.id, note.id, note.topic, {_PLACE}, note.version_id, card.kind, coalesce(memory.basis_event_id, 0),
       coalesce(memory.phase, 'new'), {", ".join(f"memory.{column}" for column in grading.STATE_COLUMNS[1:])}
FROM card CROSS JOIN note ON note.id = card.note_id
LEFT JOIN memory ON memory.user_id = :user AND memory.card_id = card.id {_MARKED}
WHERE card.id = :card AND card.archived_at IS NULL
"""
_FRONTIER = """
SELECT note.position FROM note INDEXED BY ix_note_position CROSS JOIN card ON card.note_id = note.id
LEFT JOIN memory ON memory.user_id = :user AND memory.card_id = card.id
WHERE note.position >= :frontier AND card.archived_at IS NULL AND memory.card_id IS NULL
ORDER BY note.position LIMIT 1
"""


@dataclass(slots=True)
class Frontiers:
    """For each viewer, the place before which every card of the deck, as stamped, has been introduced.

    Kept by the web process for speed alone: without it the search for a new card begins at the first note.
    """

    _places: OrderedDict[int, tuple[int, int]] = field(default_factory=OrderedDict)

    def place(self, cursor: Any, viewer: Viewer) -> int:
        row = cursor.execute("SELECT version FROM deck_stamp WHERE id = 1").fetchone()
        stamp = row[0] if row else 0
        known_stamp, place = self._places.get(viewer.id, (stamp, 0))
        start = place if known_stamp == stamp else 0
        found = cursor.execute(_FRONTIER, {"user": viewer.id, "frontier": start}).fetchone()
        self._places[viewer.id] = (stamp, found[0] if found else FAR_FUTURE_DAY * PLACES_A_NOTE)
        self._places.move_to_end(viewer.id)
        if len(self._places) > FRONTIERS_KEPT:
            self._places.popitem(last=False)
        return self._places[viewer.id][1]


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

    ``is_going_on``: the learner wants more although the minutes of the day are used. Seven small queries, or nine.
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


@dataclass(frozen=True, slots=True)
class _Lists:
    """The first card of each list in the order of `queue.build`, how many notes each has, and what waits."""

    step: QueueCard | None
    review: QueueCard | None
    fresh: QueueCard | None
    left: Left
    next_at_ms: int | None


@dataclass(slots=True)
class _Search:
    cursor: Any
    mine: Terms
    today: Today
    values: dict[str, Any]
    spent: Spent
    lists: _Lists

    @classmethod
    def of(
        cls, session: Session, viewer: Viewer, at: datetime, topic: str | None, frontiers: Frontiers | None
    ) -> _Search:
        cursor, mine = db.cursor(session), terms.terms_of(session, viewer)
        day = mine.day(at)
        spent = _spent(cursor, viewer, day)
        new_left = max(mine.new_cards_per_day - spent.new_cards, 0) if topic is None else COUNT_LIMIT
        values = {
            "user": viewer.id,
            "today": day,
            "topic": topic,
            "due_until": FAR_FUTURE_DAY if mine.not_after_day == day else day,
            "frontier": frontiers.place(cursor, viewer) if frontiers else 0,
            "backlog": BACKLOG,
        }
        today = Today(day, clock.milliseconds(at), new_left, topic=topic, not_after_day=mine.not_after_day)
        search = cls(cursor, mine, today, values, spent, _lists(cursor, values, today))
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
        lists = self.lists
        is_empty = lists.step is lists.review is lists.fresh is None
        early = self.early() if self.today.topic is not None and is_empty else None
        chosen = queue.pick(lists.step, lists.review, self.newcomers(first) or lists.fresh, self.today, early)
        return None if chosen is None else self.showing(int(chosen.card.card_id), chosen)

    def newcomers(self, first: Sequence[str]) -> QueueCard | None:
        """The first of these cards that is new and may be shown."""
        values = self.values | {"keys": json.dumps(first)}
        row = self.cursor.execute(_NAMED, values).fetchone() if first else None
        return None if row is None else _new(row)

    def early(self) -> QueueCard | None:
        """The weakest card of the topic that is not due yet."""
        return _weakest(self.cursor.execute(_EARLY, self.values).fetchall(), self.today)

    def undone(self) -> Showing | None:
        """The card whose answer was just taken back comes first, as long as that was today."""
        last = self.cursor.execute(
            "SELECT kind, card_id, study_day FROM review WHERE user_id = ? ORDER BY id DESC LIMIT 1",
            (self.values["user"],),
        ).fetchone()
        if last is None or last[0] != "undo" or last[2] != self.today.study_day:
            return None
        may_be_shown = f"SELECT 1 FROM (SELECT :card AS card_id) AS some {_CARDS}"
        if self.cursor.execute(may_be_shown, self.values | {"card": last[1]}).fetchone() is None:
            return None
        return self.showing(last[1], None)

    def showing(self, card_id: int, chosen: Choice | None) -> Showing | None:
        row = self.cursor.execute(_CARD, {"user": self.values["user"], "card": card_id}).fetchone()
        return None if row is None else _showing(row, self.today, self.mine, chosen)


def _lists(cursor: Any, values: dict[str, Any], today: Today) -> _Lists:
    """Asks for more new cards than are allowed, since siblings of due ones drop out; again when that was too few."""
    steps, reviews, fresh, notes = [], [], [], set[int]()
    limit = 2 * today.new_left + SPARE_NEW
    for _ in range(2):
        found = json.loads(cursor.execute(_LISTS, values | {"fresh": limit}).fetchone()[0])
        steps = sorted(found[0], key=lambda row: (row[2], row[3] or 0, row[0]))
        taken = {row[1] for row in steps}
        reviews = [row for row in found[1] if row[1] not in taken]
        taken.update(row[1] for row in reviews)
        fresh = sorted((row for row in found[2] + found[3] if row[1] not in taken), key=lambda row: (row[2], row[0]))
        notes = {row[1] for row in fresh}
        if len(notes) >= today.new_left or len(found[3]) < limit:
            break
        limit = CARDS_A_NOTE * (today.new_left + len(taken))
    cards = [QueueCard(row[0], row[1], "", 0, "learning", due_day=row[2], due_at_ms=row[3]) for row in steps]
    waiting = [card.due_at_ms for card in cards if card.due_at_ms is not None and not queue.is_step_due(card, today)]
    return _Lists(
        step=cards[0] if cards else None,
        review=_weakest(reviews, today),
        fresh=_new(fresh[0]) if fresh else None,
        left=Left(
            len({row[1] for row in steps}), len({row[1] for row in reviews}), min(len(notes), max(today.new_left, 0))
        ),
        next_at_ms=min(waiting, default=None),
    )


def _weakest(rows: Sequence[Sequence[Any]], today: Today) -> QueueCard | None:
    """Retrievability falls with elapsed days over stability, so the quotient alone gives the order."""
    day = today.study_day
    row = min(rows, key=lambda row: (-max(day - row[2], 0) / row[3], row[0]), default=None)
    return None if row is None else QueueCard(row[0], row[1], "", 0, "review", last_day=row[2])


def _new(row: Sequence[Any]) -> QueueCard:
    return QueueCard(row[0], row[1], "", row[2])


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
