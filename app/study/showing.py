"""Which card is shown next and what is left, found through indexes and chosen by the rule of `queue.pick`.

Nothing of a day's queue is kept: each request looks up the head of each list, so a restart, a second tab, an undo, a
change of settings and a load of cards need no care. Two bounds keep it quick: of more than `BACKLOG` due reviews the
weakest of those that were due first are shown, and new cards are searched from a `Frontier`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
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

BACKLOG = 2000
NARROW = 64
COUNT_LIMIT = 1000
"""What is left is counted up to here; a page prints "1000+"."""
FRONTIERS_KEPT = 10_000
PACE_ANSWERS = 100
FAR_FUTURE_DAY = 1_000_000
PLACES_A_NOTE = 1000

# CROSS JOIN: the order of the tables is ours, because the planner cannot know that a learner's lists are short.
_COLUMNS = f"""card.id, note.id, note.topic, note.position * {PLACES_A_NOTE} + card.position,
note.version_id, card.kind,
coalesce(memory.basis_event_id, 0), coalesce(memory.phase, 'new'),
{", ".join(f"memory.{column}" for column in grading.STATE_COLUMNS[1:])}"""
_MARKED = "LEFT JOIN card_mark AS mark ON mark.user_id = :user AND mark.card_id = card.id"
_MAY_BE_SHOWN = """card.archived_at IS NULL AND note.archived_at IS NULL
AND NOT coalesce(mark.suspended, FALSE) AND mark.buried_day IS NOT :today
AND (:topic IS NULL OR note.topic = :topic)
AND NOT EXISTS (SELECT 1 FROM card AS sibling
    JOIN memory AS seen ON seen.user_id = :user AND seen.card_id = sibling.id
    WHERE sibling.note_id = card.note_id AND sibling.id <> card.id AND seen.last_day = :today)"""
_FROM_MEMORY = f"""CROSS JOIN memory ON memory.user_id = :user AND memory.card_id = some.card_id
CROSS JOIN card ON card.id = some.card_id CROSS JOIN note ON note.id = card.note_id {_MARKED} WHERE {_MAY_BE_SHOWN}"""
_STEPS = f"(SELECT card_id, due_day, due_at_ms FROM memory WHERE user_id = :user AND {STEPS} AND due_day <= :today)"
_DUE = """(SELECT card_id, last_day, stability FROM memory INDEXED BY ix_memory_reviews
WHERE user_id = :user AND phase = 'review' AND due_day <= :due_until AND last_day IS NOT :today
ORDER BY due_day LIMIT :backlog)"""
_WEAKNESS = "max(:today - some.last_day, 0) / some.stability DESC, some.card_id"
_WEAKEST = f"(SELECT * FROM {_DUE} AS some ORDER BY {_WEAKNESS} LIMIT :width)"
_EARLY = """(SELECT memory.card_id, memory.last_day, memory.stability FROM memory
JOIN card ON card.id = memory.card_id JOIN note ON note.id = card.note_id
WHERE memory.user_id = :user AND phase = 'review' AND last_day IS NOT :today AND note.topic = :topic)"""
_UNDONE = "(SELECT card_id FROM memory WHERE user_id = :user AND phase = 'new')"
_FRESH = f"""FROM note INDEXED BY ix_note_position CROSS JOIN card ON card.note_id = note.id
LEFT JOIN memory ON memory.user_id = :user AND memory.card_id = card.id {_MARKED}
WHERE note.position >= :frontier AND memory.card_id IS NULL AND {_MAY_BE_SHOWN}"""

_STEP_HEAD = f"""SELECT {_COLUMNS} FROM {_STEPS} AS some {_FROM_MEMORY}
ORDER BY some.due_day, some.due_at_ms, card.id LIMIT 1"""
_REVIEW_HEAD = f"SELECT {_COLUMNS} FROM {_WEAKEST} AS some {_FROM_MEMORY} ORDER BY {_WEAKNESS} LIMIT 1"
_EARLY_HEAD = f"SELECT {_COLUMNS} FROM {_EARLY} AS some {_FROM_MEMORY} ORDER BY {_WEAKNESS} LIMIT 1"
_UNDONE_HEAD = f"SELECT {_COLUMNS} FROM {_UNDONE} AS some {_FROM_MEMORY} ORDER BY note.position, card.position LIMIT 1"
_FRESH_HEAD = f"SELECT {_COLUMNS} {_FRESH} ORDER BY note.position, card.position LIMIT 1"
_ONE = f"SELECT {_COLUMNS} FROM (SELECT :card AS card_id) AS some {_FROM_MEMORY.replace('CROSS', 'LEFT', 1)}"
_FRONTIER = """
SELECT note.position FROM note INDEXED BY ix_note_position CROSS JOIN card ON card.note_id = note.id
LEFT JOIN memory ON memory.user_id = :user AND memory.card_id = card.id
WHERE note.position >= :frontier AND note.archived_at IS NULL AND card.archived_at IS NULL AND memory.card_id IS NULL
ORDER BY note.position LIMIT 1
"""
_LEFT = f"""
WITH steps AS MATERIALIZED (SELECT DISTINCT card.note_id FROM {_STEPS} AS some {_FROM_MEMORY}),
reviews AS MATERIALIZED (SELECT DISTINCT card.note_id FROM {_DUE} AS some {_FROM_MEMORY}
    AND card.note_id NOT IN steps LIMIT {COUNT_LIMIT}),
fresh AS MATERIALIZED (SELECT DISTINCT card.note_id FROM {_UNDONE} AS some {_FROM_MEMORY}
    AND card.note_id NOT IN steps AND card.note_id NOT IN reviews
  UNION SELECT note_id FROM (SELECT DISTINCT card.note_id {_FRESH}
    AND card.note_id NOT IN steps AND card.note_id NOT IN reviews LIMIT :new_left))
SELECT (SELECT count(*) FROM steps), (SELECT count(*) FROM reviews), min((SELECT count(*) FROM fresh), :new_left)
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


@dataclass(frozen=True, slots=True)
class _Head:
    card: QueueCard
    card_kind: str
    note_version_id: int | None
    basis_event_id: int
    state: MemoryState


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

    ``is_going_on``: the learner wants more although the minutes of the day are used. About nine small queries,
    whatever the deck's size.
    """
    search = _Search.of(session, viewer, at, topic, frontiers)
    counts = search.left()
    is_full = search.is_full() and topic is None and not is_going_on
    step = search.head(_STEP_HEAD)
    chosen = None if is_full else search.undone() or search.choice(step, first)
    waiting = step is not None and (step.card.due_at_ms or 0) > search.today.now_ms
    return Next(chosen, counts, step.card.due_at_ms if step and waiting else None, is_full)


def left(session: Session, viewer: Viewer, at: datetime, *, frontiers: Frontiers | None = None) -> Left:
    """What today still holds, each kind counted up to COUNT_LIMIT."""
    return _Search.of(session, viewer, at, None, frontiers).left()


def show(session: Session, viewer: Viewer, card_id: int, at: datetime) -> Showing | None:
    """One card as it stands, due or not; None when there is no such card or it is archived."""
    search = _Search.of(session, viewer, at, None, None)
    head = search.head(_ONE, card=card_id, today=-1)
    return None if head is None else search.showing(head, Choice(head.card, _kind(head.card)))


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
            "new_left": new_left,
            "backlog": BACKLOG if topic is None else -1,
        }
        today = Today(day, clock.milliseconds(at), new_left, topic=topic, not_after_day=mine.not_after_day)
        search = cls(cursor, mine, today, values, spent)
        if topic is None and mine.is_limited(day):
            search._fit_minutes()
        return search

    def _fit_minutes(self) -> None:
        """With an interview ahead, new cards are those that the learner's pace leaves minutes for."""
        held = self.left()
        plan = pace.plan(
            measured_pace(self.cursor, self.values["user"]),
            self.mine.parameters,
            self.mine.minutes_a_day,
            self.spent.seconds,
            held.learning,
            held.review,
            held.new,
        )
        self.values["new_left"] = plan.new_cards
        self.today = replace(self.today, new_left=plan.new_cards)

    def is_full(self) -> bool:
        return self.mine.is_limited(self.today.study_day) and pace.is_filled(
            self.mine.minutes_a_day, self.spent.seconds
        )

    def head(self, statement: str, **more: Any) -> _Head | None:
        return _head(self.cursor.execute(statement, self.values | more).fetchone(), self.today, self.mine)

    def choice(self, step: _Head | None, first: Sequence[str]) -> Showing | None:
        review, new, early = self.review(), self.new(first), None
        if self.today.topic is not None:
            early = self.head(_EARLY_HEAD)
        heads = [step, review, new, early]
        cards = [None if head is None else head.card for head in heads]
        chosen = queue.pick(cards[0], cards[1], cards[2], self.today, cards[3])
        for head in heads:
            if chosen is not None and head is not None and head.card is chosen.card:
                return self.showing(head, chosen)
        return None

    def review(self) -> _Head | None:
        """Looks wider only while the weakest few are there and none of them may be shown."""
        for width, backlog in ((NARROW, BACKLOG), (BACKLOG, BACKLOG), (-1, -1)):
            if found := self.head(_REVIEW_HEAD, width=width, backlog=backlog):
                return found
            values = self.values | {"backlog": NARROW}
            if self.cursor.execute(f"SELECT count(*) FROM {_DUE}", values).fetchone()[0] < NARROW:
                return None
        return None

    def new(self, first: Iterable[str]) -> _Head | None:
        for key in first:
            row = self.cursor.execute("SELECT id FROM card WHERE key = ?", (key,)).fetchone()
            head = self.head(_ONE, card=row[0]) if row else None
            if head is not None and head.card.phase == "new":
                return head
        heads = [head for head in (self.head(_UNDONE_HEAD), self.head(_FRESH_HEAD)) if head is not None]
        return min(heads, key=lambda head: head.card.position, default=None)

    def undone(self) -> Showing | None:
        """The card whose answer was just taken back comes first, as long as that was today."""
        last = self.cursor.execute(
            "SELECT kind, card_id, study_day FROM review WHERE user_id = ? ORDER BY id DESC LIMIT 1",
            (self.values["user"],),
        ).fetchone()
        if last is None or last[0] != "undo" or last[2] != self.today.study_day:
            return None
        head = self.head(_ONE, card=last[1])
        return None if head is None else self.showing(head, Choice(head.card, _kind(head.card)))

    def left(self) -> Left:
        return Left(*self.cursor.execute(_LEFT, self.values).fetchone())

    def showing(self, head: _Head, chosen: Choice) -> Showing:
        return Showing(
            card=head.card,
            kind=chosen.kind,
            is_early=chosen.is_early,
            card_kind=head.card_kind,
            note_version_id=head.note_version_id,
            basis_event_id=head.basis_event_id,
            state=head.state,
            study_day=self.today.study_day,
        )


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


def _kind(card: QueueCard) -> queue.Kind:
    if card.phase == "relearning":
        return "learning"
    return card.phase


def _head(row: Sequence[Any] | None, today: Today, mine: Terms) -> _Head | None:
    if row is None:
        return None
    card_id, note_id, topic, position, version_id, card_kind, basis, *values = row
    values[1:] = [default if value is None else value for value, default in zip(values[1:], _NEW[1:], strict=True)]
    state = MemoryState(*values)
    elapsed = today.study_day - (state.last_day or 0)
    weights = mine.parameters.weights
    recalled = None if state.stability is None else memory.retrievability(state.stability, elapsed, weights)
    card = QueueCard(
        card_id=card_id,
        note_id=note_id,
        topic=topic,
        position=position,
        phase=state.phase,
        due_day=state.due_day,
        due_at_ms=state.due_at_ms,
        last_day=state.last_day,
        retrievability=recalled,
    )
    return _Head(card, card_kind, version_id, basis, state)


_NEW = grading.state_values(schedule.NEW)
