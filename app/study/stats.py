"""Numbers about a learner: what comes, what was done, what is shaky. Counted from roll-ups and indexes, not the log."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import db
from app.demos.tables import Prediction
from app.study import lists, memory, pace, schedule, showing, terms
from app.study.pace import Pace, Simulation
from app.study.schedule import Phase
from app.study.tables import REVIEWS, STEPS, Daily
from app.viewer import Viewer

FORECAST_DAYS = 30
YEAR_DAYS = 366
SURPRISE_AMONG = 20

_STUDIED = """JOIN card ON card.id = memory.card_id AND card.archived_at IS NULL
LEFT JOIN card_mark AS mark ON mark.user_id = memory.user_id AND mark.card_id = memory.card_id
WHERE memory.user_id = :user AND NOT coalesce(mark.suspended, FALSE)"""
_FORECAST = f"""
SELECT min(max(due_day, :today), :cap), count(*) FROM memory {_STUDIED} AND memory.{REVIEWS}
AND (due_day <= :last OR :cap <= :last) GROUP BY 1
UNION ALL SELECT max(due_day, :today), count(*) FROM memory {_STUDIED} AND memory.{STEPS} AND due_day <= :last
GROUP BY 1
"""
_TOPICS = """
SELECT note.topic, min(note.position), count(*), sum(memory.stability IS NOT NULL),
       avg(pow(1 + :factor * max(:today - memory.last_day, 0) / memory.stability, :decay))
FROM note JOIN card ON card.note_id = note.id AND card.archived_at IS NULL
LEFT JOIN memory ON memory.user_id = :user AND memory.card_id = card.id
WHERE note.archived_at IS NULL GROUP BY note.topic
"""
_STATES = """
SELECT card.id, coalesce(memory.phase, 'new'), memory.due_day, memory.stability, memory.last_day,
       coalesce(memory.repetitions, 0), coalesce(memory.lapses, 0), coalesce(mark.suspended, FALSE), mark.buried_day
FROM json_each(?) AS asked JOIN card ON card.id = asked.value
LEFT JOIN memory ON memory.user_id = ? AND memory.card_id = card.id
LEFT JOIN card_mark AS mark ON mark.user_id = ? AND mark.card_id = card.id
"""


@dataclass(frozen=True, slots=True)
class TopicStrength:
    """``retrievability``: the mean chance to recall an introduced card today; None before any was introduced."""

    topic: str
    cards: int
    introduced: int
    retrievability: float | None


@dataclass(frozen=True, slots=True)
class CardState:
    """How one card stands for one learner; ``retrievability`` is today's, None while new."""

    phase: Phase
    due_day: int | None
    stability: float | None
    retrievability: float | None
    repetitions: int
    lapses: int
    is_suspended: bool
    is_buried: bool


@dataclass(frozen=True, slots=True)
class Surprise:
    """A prediction that the run contradicted: "you predicted 39, it was 0"."""

    prediction_id: int
    card_id: int | None
    demo: str
    preset: str
    answer: str
    predicted: Any
    measured: Any
    misconception: str | None


def forecast(session: Session, viewer: Viewer, at: datetime, days: int = FORECAST_DAYS) -> list[int]:
    """Reviews due on each of the next study days; the first is today with all that is overdue."""
    mine = terms.terms_of(session, viewer)
    today = mine.day(at)
    cap = schedule.capped_due_day(lists.FAR_FUTURE_DAY, today, mine.not_after_day)
    values = {"user": viewer.id, "today": today, "last": today + days - 1, "cap": cap}
    counts = [0] * days
    for day, count in db.cursor(session).execute(_FORECAST, values):
        counts[day - today] += count
    return counts


def heat_map(session: Session, viewer: Viewer, at: datetime, days: int = YEAR_DAYS) -> dict[int, Daily]:
    """By study day; days without an answer are missing."""
    today = terms.terms_of(session, viewer).day(at)
    rows = session.scalars(
        select(Daily).where(Daily.user_id == viewer.id, Daily.study_day > today - days, Daily.study_day <= today)
    )
    return {row.study_day: row for row in rows}


def topics(session: Session, viewer: Viewer, at: datetime) -> list[TopicStrength]:
    """From the shakiest to the most solid; topics without an introduced card follow in the order of learning."""
    mine = terms.terms_of(session, viewer)
    weights = mine.parameters.weights
    values = {
        "user": viewer.id,
        "today": mine.day(at),
        "factor": memory.RETENTION_OF_STABILITY ** (-1 / weights[20]) - 1,
        "decay": -weights[20],
    }
    rows = db.cursor(session).execute(_TOPICS, values).fetchall()
    rows.sort(key=lambda row: (row[4] is None, row[4], row[1]))
    return [TopicStrength(topic, cards, introduced, mean) for topic, _, cards, introduced, mean in rows]


def card_states(session: Session, viewer: Viewer, at: datetime, card_ids: Collection[int]) -> dict[int, CardState]:
    """For the cards of one page; ids without a card are left out."""
    mine = terms.terms_of(session, viewer)
    today, asked = mine.day(at), f"[{','.join(map(str, card_ids))}]"
    rows = db.cursor(session).execute(_STATES, (asked, viewer.id, viewer.id)).fetchall()
    return {row[0]: _card_state(row[1:], today, mine.parameters.weights) for row in rows}


def last_surprise(session: Session, viewer: Viewer) -> Surprise | None:
    """Of the last twenty measured predictions the one that was furthest off, in bands; the latest when they tie."""
    recent = session.scalars(
        select(Prediction)
        .where(Prediction.user_id == viewer.id, Prediction.correct.is_not(None))
        .order_by(Prediction.id.desc())
        .limit(SURPRISE_AMONG)
    )
    wrong = [prediction for prediction in recent if prediction.correct is False]
    return _surprise(max(wrong, key=_bands_off)) if wrong else None


def measured_pace(session: Session, viewer: Viewer) -> Pace:
    """From the last hundred grades; says itself whether it may be shown."""
    return showing.measured_pace(db.cursor(session), viewer.id)


def outlook(session: Session, viewer: Viewer, at: datetime) -> Simulation | None:
    """Where the pace leads by the interview: how many cards will have been seen twice. None without a date ahead."""
    mine = terms.terms_of(session, viewer)
    today = mine.day(at)
    if mine.not_after_day is None or mine.not_after_day < today:
        return None
    cursor = db.cursor(session)
    states = showing.studied_states(cursor, viewer)
    learner = pace.Learner(
        first_day=today,
        cards=tuple(states),
        new_cards=showing.cards_never_seen(cursor, viewer),
        new_cards_a_day=mine.new_cards_per_day,
        minutes=mine.minutes_a_day,
        pace=showing.measured_pace(cursor, viewer.id),
        parameters=mine.parameters,
        not_after_day=mine.not_after_day,
        seed=viewer.id,
    )
    return pace.simulate(learner, mine.not_after_day - today + 1)


def _bands_off(prediction: Prediction) -> tuple[float, int]:
    if prediction.error is None:
        return 0.0, prediction.id
    return prediction.error / (prediction.band or 1.0), prediction.id


def _surprise(prediction: Prediction) -> Surprise:
    return Surprise(
        prediction_id=prediction.id,
        card_id=prediction.card_id,
        demo=prediction.demo,
        preset=prediction.preset,
        answer=prediction.answer,
        predicted=prediction.value,
        measured=prediction.measured,
        misconception=prediction.misconception,
    )


def _card_state(row: Sequence[Any], today: int, weights: memory.Weights) -> CardState:
    phase, due_day, stability, last_day, repetitions, lapses, suspended, buried_day = row
    recalled = None if stability is None else memory.retrievability(stability, today - last_day, weights)
    return CardState(phase, due_day, stability, recalled, repetitions, lapses, bool(suspended), buried_day == today)
