"""The hot path: many grades answered in one transaction, each as if it were alone.

A statement that Python runs row by row gives up and retakes the interpreter's lock for every row, which beside a
busy event loop costs up to its switch interval each. So a whole batch is read in one statement and written in
three, as JSON; SQLite reads and prints doubles exactly (a test holds it to that).

    AppError
    └── Conflict
        ├── AlreadyAnswered   the token was spent on another answer, which it carries
        └── MovedOn           the card has had an event since it was shown
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import lru_cache
from typing import Any

from app import clock
from app.errors import AppError, Conflict
from app.study import schedule, study_day
from app.study.memory import Rating
from app.study.schedule import EventKind, LogEvent, MemoryState, SchedulerParameters
from app.study.tokens import Shown
from app.viewer import Viewer

STATE_COLUMNS = (
    *("phase", "step", "stability", "difficulty", "due_day", "due_at_ms"),
    *("last_day", "last_at_ms", "repetitions", "lapses"),
)
"""Columns of ``memory`` in the order of MemoryState's fields."""

REVIEW_COLUMNS = (
    *("id", "kind", "user_id", "card_id", "token", "rating", "at_ms", "duration_ms", "study_day"),
    *("utc_offset_seconds", "parameters_id", "fuzz_seed", "not_after_day", "note_version_id"),
    *("suggested_rating", "prediction_id", "ticks"),
)

_READ = f"""
SELECT json_array(
  (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'review'),
  (SELECT json_group_array(json_array(
      wanted.key, spent.id, note_version.id, prediction.id, prediction.suggested_rating, memory.basis_event_id,
      {", ".join(f"memory.{column}" for column in STATE_COLUMNS)}))
   FROM json_each(?) AS wanted
   LEFT JOIN review AS spent ON spent.token = unhex(wanted.value ->> 0)
   LEFT JOIN memory ON memory.user_id = wanted.value ->> 1 AND memory.card_id = wanted.value ->> 2
   LEFT JOIN prediction ON prediction.token = unhex(wanted.value ->> 0)
   LEFT JOIN card ON card.id = wanted.value ->> 2
   LEFT JOIN note_version ON note_version.id = wanted.value ->> 3 AND note_version.note_id = card.note_id))
"""


def _items(count: int) -> str:
    return ", ".join(f"value ->> {place}" for place in range(count))


_APPEND = f"""
INSERT INTO review ({", ".join(REVIEW_COLUMNS)})
SELECT {_items(len(REVIEW_COLUMNS)).replace("value ->> 4,", "unhex(value ->> 4),")} FROM json_each(?)
"""
_REMEMBER = f"""
INSERT INTO memory (user_id, card_id, basis_event_id, {", ".join(STATE_COLUMNS)})
SELECT {_items(3 + len(STATE_COLUMNS))} FROM json_each(?) WHERE TRUE
ON CONFLICT (user_id, card_id) DO UPDATE SET basis_event_id = excluded.basis_event_id,
{", ".join(f"{column} = excluded.{column}" for column in STATE_COLUMNS)}
"""
_COUNT = f"""
INSERT INTO daily (user_id, study_day, reviews, again, new_cards, duration_ms)
SELECT {_items(6)} FROM json_each(?) WHERE TRUE
ON CONFLICT (user_id, study_day) DO UPDATE SET reviews = reviews + excluded.reviews, again = again + excluded.again,
new_cards = new_cards + excluded.new_cards, duration_ms = duration_ms + excluded.duration_ms
"""


@dataclass(frozen=True, slots=True)
class Grade:
    """One answer to a shown card; ``rating`` None is "I know this". The token was verified to be the viewer's.

    ``note_version_id`` is the text that was shown; one that is not the card's own is not kept.
    """

    viewer: Viewer
    shown: Shown
    rating: Rating | None
    at_ms: int
    duration_ms: int = 0
    ticks: tuple[int, ...] | None = None
    note_version_id: int | None = None

    @property
    def kind(self) -> EventKind:
        return "known" if self.rating is None else "grade"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a learner's answers are scheduled under today."""

    parameters_id: int
    parameters: SchedulerParameters
    zone: tzinfo
    rollover_hour: int
    not_after_day: int | None


@dataclass(frozen=True, slots=True)
class Answered:
    """The reply to a grade: what was stored and when the card comes back. The same token always gives the same."""

    review_id: int
    card_id: int
    kind: EventKind
    rating: Rating | None
    at_ms: int
    study_day: int
    phase: str
    due_day: int
    due_at_ms: int | None

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class AlreadyAnswered(Conflict):
    """The token was spent on another answer; ``stored`` is its reply."""

    def __init__(self, stored: Answered) -> None:
        given = "I know this" if stored.rating is None else str(stored.rating.name.lower())
        super().__init__(f"This showing of the card was already answered with “{given}”. Undo it to answer anew.")
        self.stored = stored


class MovedOn(Conflict):
    def __init__(self) -> None:
        super().__init__("The card was answered or undone elsewhere since it was shown here. Open Study again.")


def answer_all(cursor: Any, grades: Sequence[Grade], rules: Mapping[int, Rules]) -> list[Answered | AppError]:
    """Stores the grades in their order inside the transaction that is open on ``cursor``; never commits.

    A grade that is refused gets its error in its place and leaves its neighbours alone. Five statements in all,
    and two for each token that was spent in an earlier batch.
    """
    wanted = [[g.shown.signature.hex(), g.viewer.id, g.shown.card_id, g.note_version_id] for g in grades]
    last_id, rows = json.loads(cursor.execute(_READ, (json.dumps(wanted),)).fetchone()[0])
    batch = _Batch(cursor, last_id)
    found = {row[0]: _Found(_state(row[6:]), *row[1:6]) for row in rows}
    answers = [batch.answer(grade, found[place], rules[grade.viewer.id]) for place, grade in enumerate(grades)]
    batch.write()
    return answers


def stored_answer(cursor: Any, review_id: int) -> Answered:
    """The reply that was given to a stored event, from the log up to it."""
    events = events_of(cursor, review_id=review_id)
    return _answered(events[-1], schedule.fold(events))


def events_of(cursor: Any, *, review_id: int) -> list[LogEvent]:
    """The events of the card of ``review_id`` for its learner, up to and including it."""
    rows = cursor.execute(
        """
        SELECT r.kind, r.id, r.card_id, r.rating, r.at_ms, r.study_day, r.utc_offset_seconds, r.fuzz_seed,
               r.not_after_day, r.undoes, p.version, p.weights, p.desired_retention, p.learning_steps_seconds,
               p.relearning_steps_seconds, p.maximum_interval_days, p.fuzz
        FROM review AS asked
        JOIN review AS r ON r.user_id = asked.user_id AND r.card_id = asked.card_id AND r.id <= asked.id
        JOIN scheduler_parameters AS p ON p.id = r.parameters_id
        WHERE asked.id = ? ORDER BY r.id
        """,
        (review_id,),
    ).fetchall()
    return [log_event(row) for row in rows]


def log_event(row: Sequence[Any]) -> LogEvent:
    kind, event_id, card_id, rating, at_ms, day, offset, seed, cap, undoes, *parameters = row
    return LogEvent(
        kind=kind,
        event_id=event_id,
        card_id=card_id,
        rating=None if rating is None else Rating(rating),
        at_ms=at_ms,
        study_day=day,
        utc_offset_seconds=offset,
        parameters=parameters_from(*parameters),
        fuzz_seed=seed,
        not_after_day=cap,
        undoes=undoes,
    )


@lru_cache(maxsize=256)
def parameters_from(
    version: str, weights: str, retention: float, learning: str, relearning: str, maximum: int, fuzz: int
) -> SchedulerParameters:
    """From the columns of a row, lists as JSON."""
    return SchedulerParameters(
        version=version,
        weights=tuple(json.loads(weights)),
        desired_retention=retention,
        learning_steps_seconds=tuple(json.loads(learning)),
        relearning_steps_seconds=tuple(json.loads(relearning)),
        maximum_interval_days=maximum,
        fuzz=bool(fuzz),
    )


def state_values(state: MemoryState) -> list[Any]:
    """In the order of STATE_COLUMNS."""
    return [getattr(state, column) for column in STATE_COLUMNS]


def remember(cursor: Any, memories: Iterable[tuple[int, int, int, MemoryState]]) -> None:
    """Upserts (user, card, basis event, state)."""
    rows = [[user, card, basis, *state_values(state)] for user, card, basis, state in memories]
    cursor.execute(_REMEMBER, (json.dumps(rows),))


def count(cursor: Any, counts: Mapping[tuple[int, int], Sequence[int]]) -> None:
    """Adds (reviews, again, new cards, milliseconds), which may be negative, to (user, study day)."""
    cursor.execute(_COUNT, (json.dumps([[*key, *added] for key, added in counts.items()]),))


@dataclass(slots=True)
class _Found:
    """What is stored about one grade's token and card. The order after ``state`` is that of `_READ`."""

    state: MemoryState
    spent_id: int | None
    note_version_id: int | None
    prediction_id: int | None
    suggested_rating: int | None
    basis_event_id: int | None


@dataclass(slots=True)
class _Batch:
    """The grades of one transaction that were accepted so far, on top of what is stored."""

    cursor: Any
    last_id: int
    spent: dict[bytes, Answered] = field(default_factory=dict)
    memories: dict[tuple[int, int], tuple[int, MemoryState]] = field(default_factory=dict)
    counts: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    reviews: list[list[Any]] = field(default_factory=list)

    def answer(self, grade: Grade, found: _Found, rules: Rules) -> Answered | AppError:
        try:
            return self._repeated(grade, found) or self._appended(grade, found, rules)
        except AppError as error:
            return error

    def _repeated(self, grade: Grade, found: _Found) -> Answered | None:
        """The stored reply when the token was spent on the same answer. Raises AlreadyAnswered for another one."""
        stored = self.spent.get(grade.shown.signature)
        if stored is None and found.spent_id is not None:
            stored = stored_answer(self.cursor, found.spent_id)
        if stored is not None and (stored.kind, stored.rating) != (grade.kind, grade.rating):
            raise AlreadyAnswered(stored)
        return stored

    def _appended(self, grade: Grade, found: _Found, rules: Rules) -> Answered:
        key = (grade.viewer.id, grade.shown.card_id)
        basis, state = self.memories.get(key, (found.basis_event_id or 0, found.state))
        if basis != grade.shown.basis_event_id:
            raise MovedOn
        if grade.kind == "known" and state.phase != "new":
            raise Conflict("This card was introduced already; grade it with 1 to 4.")
        event = _event(self.last_id + 1, grade, rules)
        after = schedule.apply(state, event)
        self._keep(grade, event, state, after, rules, found)
        return self.spent[grade.shown.signature]

    def _keep(
        self, grade: Grade, event: LogEvent, before: MemoryState, after: MemoryState, rules: Rules, found: _Found
    ) -> None:
        user_id, card_id, day = grade.viewer.id, grade.shown.card_id, event.study_day
        self.last_id = event.event_id
        self.spent[grade.shown.signature] = _answered(event, after)
        self.memories[user_id, card_id] = (event.event_id, after)
        if event.kind == "grade":
            counted = self.counts.setdefault((user_id, day), [0, 0, 0, 0])
            added = (1, event.rating == Rating.AGAIN, before.phase == "new", grade.duration_ms)
            counted[:] = [old + int(new) for old, new in zip(counted, added, strict=True)]
        ticks = None if grade.ticks is None else list(grade.ticks)
        self.reviews.append(
            [
                *(event.event_id, event.kind, user_id, card_id, grade.shown.signature.hex(), event.rating),
                *(event.at_ms, grade.duration_ms, day, event.utc_offset_seconds, rules.parameters_id),
                *(event.fuzz_seed, event.not_after_day, found.note_version_id),
                *(found.suggested_rating, found.prediction_id, ticks),
            ]
        )

    def write(self) -> None:
        if not self.reviews:
            return
        self.cursor.execute(_APPEND, (json.dumps(self.reviews),))
        remember(self.cursor, ((*key, basis, state) for key, (basis, state) in self.memories.items()))
        if self.counts:
            count(self.cursor, self.counts)


def _state(values: Sequence[Any]) -> MemoryState:
    return schedule.NEW if values[0] is None else MemoryState(*values)


def _event(event_id: int, grade: Grade, rules: Rules) -> LogEvent:
    at = clock.from_milliseconds(grade.at_ms)
    return LogEvent(
        kind=grade.kind,
        event_id=event_id,
        card_id=grade.shown.card_id,
        rating=grade.rating,
        at_ms=grade.at_ms,
        study_day=study_day.study_day(at, rules.zone, rules.rollover_hour),
        utc_offset_seconds=study_day.utc_offset_seconds(at, rules.zone),
        parameters=rules.parameters,
        fuzz_seed=grade.shown.fuzz_seed,
        not_after_day=rules.not_after_day,
    )


def _answered(event: LogEvent, state: MemoryState) -> Answered:
    assert state.due_day is not None
    return Answered(
        review_id=event.event_id,
        card_id=int(event.card_id),
        kind=event.kind,
        rating=event.rating,
        at_ms=event.at_ms,
        study_day=event.study_day,
        phase=state.phase,
        due_day=state.due_day,
        due_at_ms=state.due_at_ms,
    )
