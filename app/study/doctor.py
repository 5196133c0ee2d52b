"""Whether what is kept of studying is sound: memory and daily counts are compared with the log that made them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy.orm import Session

from app import db
from app.study import grading, schedule
from app.study.memory import Rating
from app.study.schedule import LogEvent, MemoryState
from app.study.tables import TRIGGERS

SHOWN_OF_A_KIND = 5
_LOG = """
SELECT r.user_id, r.duration_ms, r.kind, r.id, r.card_id, r.rating, r.at_ms, r.study_day, r.utc_offset_seconds,
       r.fuzz_seed, r.not_after_day, r.undoes, p.version, p.weights, p.desired_retention, p.learning_steps_seconds,
       p.relearning_steps_seconds, p.maximum_interval_days, p.fuzz
FROM review AS r JOIN scheduler_parameters AS p ON p.id = r.parameters_id ORDER BY r.user_id, r.card_id, r.id
"""
_UNSOUND = {
    "an answer spent a token twice": "SELECT hex(token) FROM review WHERE token IS NOT NULL"
    " GROUP BY token HAVING count(*) > 1",
    "an answer was undone twice": "SELECT undoes FROM review WHERE undoes IS NOT NULL"
    " GROUP BY undoes HAVING count(*) > 1",
    "an undo takes back another card's answer": "SELECT u.id FROM review AS u JOIN review AS r ON r.id = u.undoes"
    " WHERE (u.user_id, u.card_id) <> (r.user_id, r.card_id) OR r.id >= u.id",
    "an erasure was left open": "SELECT id FROM erasure WHERE open IS NOT NULL",
    "a prediction was graded as another card's": "SELECT r.id FROM review AS r JOIN prediction AS p"
    " ON p.id = r.prediction_id WHERE (r.user_id, r.card_id) <> (p.user_id, p.card_id)",
}


@dataclass(frozen=True, slots=True)
class Checkup:
    """``problems`` are sentences; empty when all is sound. ``reviews`` and ``memories`` say what was compared."""

    reviews: int
    memories: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Folded:
    """What the log makes of everything: memory by (user, card), counts by (user, study day)."""

    reviews: int
    memories: dict[tuple[int, int], tuple[int, MemoryState]]
    daily: dict[tuple[int, int], list[int]]


def examine(session: Session) -> Checkup:
    """Reads everything and changes nothing."""
    cursor = db.cursor(session)
    folded = _fold(cursor)
    problems = [
        *_file_problems(cursor),
        *_trigger_problems(cursor),
        *_unsound(cursor),
        *_differing("memory", _stored_memories(cursor), folded.memories),
        *_differing("daily count", _stored_daily(cursor), folded.daily),
    ]
    return Checkup(folded.reviews, len(folded.memories), tuple(problems))


def rebuild(session: Session) -> Checkup:
    """Makes memory and daily counts anew from the log."""
    cursor = db.cursor(session)
    folded = _fold(cursor)
    cursor.execute("DELETE FROM memory")
    cursor.execute("DELETE FROM daily")
    grading.remember(cursor, ((*key, basis, state) for key, (basis, state) in folded.memories.items()))
    grading.count(cursor, folded.daily)
    return examine(session)


def _fold(cursor: Any) -> _Folded:
    folded = _Folded(0, {}, {})
    reviews = 0
    for (user_id, card_id), lines in groupby(_log(cursor), key=lambda line: (line[0], line[2].card_id)):
        card = list(lines)
        reviews += len(card)
        events = [event for _, _, event in card]
        folded.memories[user_id, int(card_id)] = (events[-1].event_id, schedule.fold(events))
        _count(folded.daily, user_id, events, {event.event_id: duration for _, duration, event in card})
    return _Folded(reviews, folded.memories, folded.daily)


def _log(cursor: Any) -> Iterator[tuple[int, int, LogEvent]]:
    for user_id, duration_ms, *event in cursor.execute(_LOG):
        yield user_id, duration_ms, grading.log_event(event)


def _count(
    daily: dict[tuple[int, int], list[int]], user_id: int, events: list[LogEvent], durations: dict[int, int]
) -> None:
    for place, event in enumerate(schedule.kept(events)):
        if event.kind == "grade":
            counted = daily.setdefault((user_id, event.study_day), [0, 0, 0, 0])
            added = (1, event.rating == Rating.AGAIN, place == 0, durations[event.event_id])
            counted[:] = [old + int(new) for old, new in zip(counted, added, strict=True)]


def _stored_memories(cursor: Any) -> dict[tuple[int, int], tuple[int, MemoryState]]:
    columns = ", ".join(grading.STATE_COLUMNS)
    rows = cursor.execute(f"SELECT user_id, card_id, basis_event_id, {columns} FROM memory")
    return {(row[0], row[1]): (row[2], MemoryState(*row[3:])) for row in rows}


def _stored_daily(cursor: Any) -> dict[tuple[int, int], list[int]]:
    rows = cursor.execute("SELECT user_id, study_day, reviews, again, new_cards, duration_ms FROM daily")
    return {(row[0], row[1]): list(row[2:]) for row in rows if any(row[2:])}


def _differing(name: str, stored: dict[tuple[int, int], Any], made: dict[tuple[int, int], Any]) -> Iterator[str]:
    """``last_event_id`` of a state is the log's own and is not stored: the basis, an undo too, stands for it."""
    found = {key: _comparable(value) for key, value in stored.items()}
    wanted = {key: _comparable(value) for key, value in made.items()}
    wrong = [key for key in sorted(found.keys() | wanted.keys()) if found.get(key) != wanted.get(key)]
    for key in wrong[:SHOWN_OF_A_KIND]:
        yield f"The {name} of {key} is {found.get(key)}; the log says {wanted.get(key)}."
    if len(wrong) > SHOWN_OF_A_KIND:
        yield f"So it is for {len(wrong)} rows of {name} in all. ./run doctor --rebuild makes them anew from the log."


def _comparable(value: Any) -> Any:
    if isinstance(value, tuple):
        basis, state = value
        return [basis, *grading.state_values(state)]
    return value


def _file_problems(cursor: Any) -> Iterator[str]:
    for (says,) in cursor.execute("PRAGMA integrity_check").fetchall():
        if says != "ok":
            yield f"The database file is damaged: {says}. Restore a backup."
    for table, row, parent, _ in cursor.execute("PRAGMA foreign_key_check").fetchall():
        yield f"Row {row} of {table} names a row of {parent} that is not there."


def _trigger_problems(cursor: Any) -> Iterator[str]:
    stored = {sql for (sql,) in cursor.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'")}
    for trigger in TRIGGERS:
        if trigger not in stored:
            yield f"The guard “{trigger.split()[2]}” is missing or was changed. ./run migrate puts it back."


def _unsound(cursor: Any) -> Iterator[str]:
    for says, statement in _UNSOUND.items():
        rows = cursor.execute(statement).fetchall()
        if rows:
            yield f"{says[0].upper()}{says[1:]}: {len(rows)} times, first {rows[0][0]!r}."
