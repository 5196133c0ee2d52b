"""What a learner chose, as values: read on every request, so two tabs and a restart see the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from app import db
from app.study import grading, study_day
from app.study.schedule import SchedulerParameters
from app.viewer import Viewer

NEW_CARDS_PER_DAY = 10
_READ = """
SELECT setting.time_zone, setting.rollover_hour, setting.new_cards_per_day, setting.interview_day,
       setting.minutes_a_day, setting.keys_on, parameters.version, parameters.weights, parameters.desired_retention,
       parameters.learning_steps_seconds, parameters.relearning_steps_seconds, parameters.maximum_interval_days,
       parameters.fuzz
FROM study_setting AS setting JOIN scheduler_parameters AS parameters ON parameters.id = setting.parameters_id
WHERE setting.user_id = ?
"""


@dataclass(frozen=True, slots=True)
class Terms:
    """``interview_day`` and `not_after_day` are study days; ``minutes_a_day`` None: the day is not limited."""

    zone: tzinfo
    rollover_hour: int = study_day.ROLLOVER_HOUR
    new_cards_per_day: int = NEW_CARDS_PER_DAY
    interview_day: int | None = None
    minutes_a_day: int | None = None
    keys_on: bool = True
    parameters: SchedulerParameters = field(default_factory=SchedulerParameters)

    @property
    def not_after_day(self) -> int | None:
        return None if self.interview_day is None else self.interview_day - 1

    def is_limited(self, day: int) -> bool:
        """Whether the minutes hold on that study day: only on the way to an interview."""
        return self.minutes_a_day is not None and self.interview_day is not None and day < self.interview_day

    def day(self, at: datetime) -> int:
        return study_day.study_day(at, self.zone, self.rollover_hour)


def terms_of(session: Session, viewer: Viewer) -> Terms:
    """The defaults for a viewer who never chose. One query."""
    row = db.cursor(session).execute(_READ, (viewer.id,)).fetchone()
    if row is None:
        return Terms(zone(viewer.time_zone))
    time_zone, rollover_hour, new_cards, interview_day, minutes, keys_on, *parameters = row
    return Terms(
        zone=zone(time_zone or viewer.time_zone),
        rollover_hour=rollover_hour,
        new_cards_per_day=new_cards,
        interview_day=interview_day,
        minutes_a_day=minutes,
        keys_on=bool(keys_on),
        parameters=grading.parameters_from(*parameters),
    )


@lru_cache(maxsize=512)
def zone(name: str) -> tzinfo:
    return ZoneInfo(name)
