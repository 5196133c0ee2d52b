"""A large collection whose memory really is the fold of its log: a few histories, repeated over many cards."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from app import db
from app.study import actions, grading, schedule, study_day
from app.study.actions import Choices
from app.study.memory import Rating
from app.study.schedule import LogEvent, MemoryState, SchedulerParameters
from app.study.tables import TRIGGERS
from app.viewer import Role, Viewer

LEARNERS = 50
REVIEWS_A_CARD = 10
HISTORIES = 1000
ZONE = "UTC"
DAY_MS = 86_400_000
NOON_MS = DAY_MS // 2


def viewer_of(learner: int) -> Viewer:
    return Viewer(learner, Role.LEARNER, ZONE)


def build(path: Path, cards: int, now: datetime) -> None:
    """``cards`` cards (two a note, each known to one learner of fifty) with ten reviews each."""
    engine = db.open_engine(path)
    db.Base.metadata.create_all(engine)
    today = study_day.study_day(now, UTC)
    with db.writing(engine) as session:
        for learner in range(1, LEARNERS + 1):
            session.execute(text("INSERT INTO user VALUES (:id, 'Learner', 'learner', 0)"), {"id": learner})
            actions.save_settings(session, viewer_of(learner), Choices(), today)
        cursor = db.cursor(session)
        _deck(cursor, cards)
        histories = [_history(seed, today) for seed in range(min(HISTORIES, cards))]
        _append(cursor, cards, histories)
        _remember(cursor, cards, histories)
        _count(cursor)
        cursor.execute("INSERT INTO deck_stamp VALUES (1, 1)")
        for trigger in TRIGGERS:
            cursor.execute(trigger)
    db.checkpoint(engine)
    with engine.connect() as connection:
        connection.execute(text("ANALYZE"))
        connection.commit()
    db.checkpoint(engine)
    engine.dispose()


def learner_of(card: int) -> int:
    """Siblings belong to one learner: cards 2n−1 and 2n are of note n."""
    return (card + 1) // 2 % LEARNERS + 1


def _scattered(card: int) -> int:
    """So that a history is not tied to a learner."""
    return card * 2654435761 >> 7


def _deck(cursor: Any, cards: int) -> None:
    notes = (cards + 1) // 2
    cursor.executemany(
        "INSERT INTO note (id, slug, topic, title, difficulty, origin, source, front, content_hash, position)"
        " VALUES (?, ?, ?, 'A question?', 1, 'content', '', '{}', '', ?)",
        ((note, f"note-{note}", f"topic {note % 12}", note) for note in range(1, notes + 1)),
    )
    cursor.executemany(
        "INSERT INTO card (id, note_id, key, kind, position) VALUES (?, ?, ?, ?, ?)",
        (
            (card, (card + 1) // 2, f"card-{card}", ("predict", "recall")[card % 2], (card + 1) % 2)
            for card in range(1, cards + 1)
        ),
    )


def _history(seed: int, today: int) -> list[tuple[LogEvent, MemoryState]]:
    """Ten answers, each on the day the card was due or soon after, the last before today."""
    chance = random.Random(seed)
    parameters = SchedulerParameters()
    state, events, at_ms = schedule.NEW, [], 0
    for number in range(REVIEWS_A_CARD):
        rating = Rating(chance.choices((1, 2, 3, 4), (8, 10, 72, 10))[0])
        if number == REVIEWS_A_CARD - 1:
            rating = Rating.GOOD if state.phase == "review" else Rating.EASY
        event = LogEvent("grade", number, 0, rating, at_ms, at_ms // DAY_MS, 0, parameters, chance.randrange(2**48))
        state = schedule.apply(state, event)
        events.append((event, state))
        if state.due_at_ms is None:
            at_ms = ((state.due_day or 0) + chance.randrange(2)) * DAY_MS
        else:
            at_ms = state.due_at_ms + 1000
    due_day = events[-1][1].due_day or 0
    due_in = chance.randrange(-2, max(due_day - events[-1][0].study_day, 3))
    return [_shifted(event, state, today + due_in - due_day) for event, state in events]


def _shifted(event: LogEvent, state: MemoryState, days: int) -> tuple[LogEvent, MemoryState]:
    """The same history begun some days later: nothing in it depends on the date itself."""
    moved = LogEvent(
        *(event.kind, event.event_id, 0, event.rating, event.at_ms + days * DAY_MS + NOON_MS),
        *(event.study_day + days, 0, event.parameters, event.fuzz_seed),
    )
    return moved, MemoryState(
        *(state.phase, state.step, state.stability, state.difficulty, (state.due_day or 0) + days),
        None if state.due_at_ms is None else state.due_at_ms + days * DAY_MS + NOON_MS,
        *(moved.study_day, moved.at_ms, state.repetitions, state.lapses),
    )


def _append(cursor: Any, cards: int, histories: list[list[tuple[LogEvent, MemoryState]]]) -> None:
    """Review n of every card before review n + 1 of any, so a card's log is spread over the file."""
    cursor.executemany(
        "INSERT INTO review (id, kind, user_id, card_id, token, rating, at_ms, duration_ms, study_day,"
        " utc_offset_seconds, parameters_id, fuzz_seed) VALUES (?, 'grade', ?, ?, ?, ?, ?, ?, ?, 0, 1, ?)",
        _reviews(cards, histories),
    )


def _reviews(cards: int, histories: list[list[tuple[LogEvent, MemoryState]]]) -> Iterator[tuple[Any, ...]]:
    tokens = random.Random(1)
    for number in range(REVIEWS_A_CARD):
        for card in range(1, cards + 1):
            event, _ = histories[_scattered(card) % len(histories)][number]
            yield (
                *(number * cards + card, learner_of(card), card, tokens.randbytes(16), event.rating, event.at_ms),
                *(6_000, event.study_day, event.fuzz_seed),
            )


def _remember(cursor: Any, cards: int, histories: list[list[tuple[LogEvent, MemoryState]]]) -> None:
    rows = []
    for card in range(1, cards + 1):
        state = histories[_scattered(card) % len(histories)][-1][1]
        rows.append((learner_of(card), card, *grading.state_values(state), (REVIEWS_A_CARD - 1) * cards + card))
    cursor.executemany(
        f"INSERT INTO memory (user_id, card_id, {', '.join(grading.STATE_COLUMNS)}, basis_event_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        sorted(rows),
    )


def _count(cursor: Any) -> None:
    cursor.execute(
        """INSERT INTO daily (user_id, study_day, reviews, again, new_cards, duration_ms)
        SELECT user_id, study_day, count(*), sum(rating = 1),
               sum(id <= (SELECT count(*) FROM card)), sum(duration_ms) FROM review GROUP BY user_id, study_day"""
    )
