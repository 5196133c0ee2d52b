"""What changes when somebody studies. Nothing here commits: the writer does, once for each piece of work.

Grades are not here but in `grading`, which answers many in one transaction; `read_grade` makes one from a request.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from app import clock, db
from app.errors import BadInput, BadToken, Conflict, NotFound
from app.study import grading, queries, schedule, study_day, terms, tokens
from app.study.grading import Grade
from app.study.memory import Rating
from app.study.schedule import SchedulerParameters
from app.study.tables import CardMark, DeckStamp, Erasure, Parameters, Review, StudySetting
from app.study.tokens import Shown
from app.viewer import Viewer

LONGEST_DURATION_MS = 10 * 60 * 1000
MOST_TICKS = 64


@dataclass(frozen=True, slots=True)
class Choices:
    """What the settings page sends, whole. ``steps`` are seconds; ``minutes_a_day`` needs an ``interview``."""

    time_zone: str | None = None
    rollover_hour: int = study_day.ROLLOVER_HOUR
    new_cards_per_day: int = 10
    interview: date | None = None
    minutes_a_day: int | None = None
    keys_on: bool = True
    desired_retention: float = 0.9
    learning_steps_seconds: tuple[int, ...] = (60, 600)
    relearning_steps_seconds: tuple[int, ...] = (600,)
    maximum_interval_days: int = 36_500
    fuzz: bool = True


@dataclass(frozen=True, slots=True)
class Undone:
    """The undo ``event_id`` took back ``undid`` of ``card_id``, which may be shown again."""

    event_id: int
    undid: int
    card_id: int


def read_grade(
    secret: bytes,
    viewer: Viewer,
    token: str,
    rating: int | None,
    at: datetime,
    *,
    duration_ms: int = 0,
    ticks: Sequence[int] | None = None,
    note_version_id: int | None = None,
) -> Grade:
    """A checked grade for `Writer.grade`; ``rating`` None means "I know this". Raises BadToken and BadInput."""
    shown = read_token(secret, viewer, token)
    if rating is not None and rating not in set(Rating):
        raise BadInput("A grade is 1 (again), 2 (hard), 3 (good) or 4 (easy).", where="rating")
    if ticks is not None and (len(ticks) > MOST_TICKS or not all(1 <= tick <= MOST_TICKS for tick in ticks)):
        raise BadInput(f"Ticks are numbers of key points, from 1 to {MOST_TICKS}.", where="ticks")
    return Grade(
        viewer=viewer,
        shown=shown,
        rating=None if rating is None else Rating(rating),
        at_ms=clock.milliseconds(at),
        duration_ms=min(max(duration_ms, 0), LONGEST_DURATION_MS),
        ticks=None if ticks is None else tuple(sorted(set(ticks))),
        note_version_id=note_version_id,
    )


def read_token(secret: bytes, viewer: Viewer, token: str) -> Shown:
    """Raises BadToken when it was not minted here for this viewer."""
    shown = tokens.read(secret, token)
    if shown.user_id != viewer.id:
        raise BadToken("That card was shown to somebody else. Open Study again.", where="token")
    return shown


def undo(session: Session, viewer: Viewer, at: datetime, event_id: int | None = None) -> Undone:
    """Takes back the viewer's last standing answer, as an event; without end, one after the other.

    ``event_id`` is the answer that the page offered to undo: repeating the request gives the same reply, and another
    answer in between is a Conflict. Raises NotFound when nothing stands.
    """
    if event_id is not None and (done := _undone(session, viewer, event_id)):
        return done
    last = queries.last_standing_event(session, viewer)
    if last is None:
        raise NotFound("There is nothing to undo.")
    if event_id not in (None, last.id):
        raise Conflict("Another answer was given since this page was opened. Open Study again to undo that one.")
    event = _append_undo(session, viewer, last, at)
    before = queries.card_events(session, viewer, last.card_id)
    state = schedule.fold(before)
    cursor = db.cursor(session)
    grading.remember(cursor, [(viewer.id, last.card_id, event.id, state)])
    if last.kind == "grade":
        taken = (-1, -int(last.rating == Rating.AGAIN), -int(state.phase == "new"), -last.duration_ms)
        grading.count(cursor, {(viewer.id, last.study_day): taken})
    return Undone(event.id, last.id, last.card_id)


def suspend(session: Session, viewer: Viewer, card_id: int, *, suspended: bool = True) -> None:
    """A suspended card is never due; its memory stays."""
    _mark(session, viewer, card_id, {"suspended": suspended})


def bury(session: Session, viewer: Viewer, card_id: int, day: int | None) -> None:
    """Hides the card for the study day; None shows it again."""
    _mark(session, viewer, card_id, {"buried_day": day})


def ensure_setting(session: Session, viewer: Viewer) -> StudySetting:
    """The viewer's settings, made with the defaults when there are none."""
    setting = session.get(StudySetting, viewer.id)
    if setting is None:
        setting = StudySetting(user_id=viewer.id, parameters_id=parameters_id(session, SchedulerParameters()))
        session.add(setting)
        session.flush()
    return setting


def save_settings(session: Session, viewer: Viewer, choices: Choices, today: int) -> StudySetting:
    """Holds for answers given from now on; what is stored keeps the parameters it was answered under."""
    parameters = _checked(choices, today)
    setting = ensure_setting(session, viewer)
    setting.parameters_id = parameters_id(session, parameters)
    setting.time_zone = choices.time_zone
    setting.rollover_hour = choices.rollover_hour
    setting.new_cards_per_day = choices.new_cards_per_day
    setting.interview_day = None if choices.interview is None else study_day.day_of(choices.interview)
    setting.minutes_a_day = choices.minutes_a_day
    setting.keys_on = choices.keys_on
    session.flush()
    return setting


def parameters_id(session: Session, parameters: SchedulerParameters) -> int:
    """The row with these contents, made when there is none."""
    values = {
        "version": parameters.version,
        "weights": list(parameters.weights),
        "desired_retention": parameters.desired_retention,
        "learning_steps_seconds": list(parameters.learning_steps_seconds),
        "relearning_steps_seconds": list(parameters.relearning_steps_seconds),
        "maximum_interval_days": parameters.maximum_interval_days,
        "fuzz": parameters.fuzz,
    }
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    stored = session.scalar(select(Parameters.id).where(Parameters.digest == digest))
    if stored is not None:
        return stored
    row = Parameters(digest=digest, **values)
    session.add(row)
    session.flush()
    return row.id


def erase(session: Session, viewer: Viewer, at: datetime) -> int:
    """Removes all that is kept of the viewer's studying but the record that it was; how many reviews went."""
    record = Erasure(user_id=viewer.id, at=at, reviews=0, open=1)
    session.add(record)
    session.flush()
    cursor = db.cursor(session)
    cursor.execute("DELETE FROM review WHERE user_id = ? AND undoes IS NOT NULL", (viewer.id,))
    undos = cursor.rowcount
    cursor.execute("DELETE FROM review WHERE user_id = ?", (viewer.id,))
    record.reviews = undos + cursor.rowcount
    for table in ("memory", "daily", "card_mark", "prediction", "study_setting"):
        cursor.execute(f"DELETE FROM {table} WHERE user_id = ?", (viewer.id,))
    record.open = None
    session.flush()
    return record.reviews


def _undone(session: Session, viewer: Viewer, event_id: int) -> Undone | None:
    found = session.execute(
        select(Review.id, Review.card_id).where(Review.undoes == event_id, Review.user_id == viewer.id)
    ).one_or_none()
    return None if found is None else Undone(found.id, event_id, found.card_id)


def _append_undo(session: Session, viewer: Viewer, last: Review, at: datetime) -> Review:
    mine = terms.terms_of(session, viewer)
    event = Review(
        kind="undo",
        user_id=viewer.id,
        card_id=last.card_id,
        at_ms=clock.milliseconds(at),
        duration_ms=0,
        study_day=mine.day(at),
        utc_offset_seconds=study_day.utc_offset_seconds(at, mine.zone),
        parameters_id=last.parameters_id,
        fuzz_seed=0,
        undoes=last.id,
    )
    session.add(event)
    session.flush()
    return event


def _mark(session: Session, viewer: Viewer, card_id: int, values: dict[str, Any]) -> None:
    queries.require_card(session, viewer, card_id)
    row = {"user_id": viewer.id, "card_id": card_id, "suspended": False} | values
    session.execute(insert(CardMark).values(row).on_conflict_do_update(set_=values))
    stamp = insert(DeckStamp).values(id=1, version=1)  # the day's lists are found anew
    session.execute(stamp.on_conflict_do_update(set_={"version": DeckStamp.version + 1}))


def _checked(choices: Choices, today: int) -> SchedulerParameters:
    """Raises BadInput that names the field."""
    _within("rollover_hour", choices.rollover_hour, 0, 23, "The day begins at an hour from 0 to 23.")
    _within("new_cards_per_day", choices.new_cards_per_day, 0, 1000, "New cards a day: from 0 to 1000.")
    if choices.minutes_a_day is not None:
        _within("minutes_a_day", choices.minutes_a_day, 1, 1440, "Minutes a day: from 1 to 1440.")
    if choices.interview is not None and study_day.day_of(choices.interview) <= today:
        raise BadInput("The interview lies in the future: choose tomorrow or later, or no date.", where="interview")
    try:
        if choices.time_zone is not None:
            ZoneInfo(choices.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInput("The time zone is a name such as Europe/Rome.", where="time_zone") from error
    try:
        return SchedulerParameters(
            desired_retention=choices.desired_retention,
            learning_steps_seconds=choices.learning_steps_seconds,
            relearning_steps_seconds=choices.relearning_steps_seconds,
            maximum_interval_days=choices.maximum_interval_days,
            fuzz=choices.fuzz,
        )
    except ValueError as error:
        raise BadInput(str(error), where="scheduler") from error


def _within(where: str, value: int, low: int, high: int, says: str) -> None:
    if not low <= value <= high:
        raise BadInput(says, where=where)
