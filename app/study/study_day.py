"""Study days: local days that begin at the rollover hour, counted from 1970-01-01, right across clock changes (pure).

A study day begins at the first moment at which the local clock reads the rollover hour of its date *or later*. So a
clock that skips 04:00 begins the day at the jump, one that reads 04:00 twice begins it once, and a date that a place
left out (Samoa, 30 December 2011) is a short study day. Every moment lies in exactly one study day, and study days
never go back. The zone is any ``tzinfo``: a ``ZoneInfo`` or a fixed offset.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo

ROLLOVER_HOUR = 4
EPOCH = date(1970, 1, 1)
SECOND = timedelta(seconds=1)


def study_day(at: datetime, zone: tzinfo, rollover_hour: int = ROLLOVER_HOUR) -> int:
    """Days since 1970-01-01 of the study day in which ``at`` (aware) lies."""
    wall = _wall(at.astimezone(UTC), zone)
    day = day_of((wall - timedelta(hours=rollover_hour)).date())
    while start_of_study_day(day + 1, zone, rollover_hour) <= at:
        day += 1
    return day


def start_of_study_day(day: int, zone: tzinfo, rollover_hour: int = ROLLOVER_HOUR) -> datetime:
    """The first moment of the study day, in UTC."""
    wall = datetime.combine(date_of(day), time(rollover_hour))
    before, after = (_moment(wall, zone, fold) for fold in (0, 1))
    if before <= after:
        return before
    return _jump_past(wall, zone, after, before)


def end_of_study_day(day: int, zone: tzinfo, rollover_hour: int = ROLLOVER_HOUR) -> datetime:
    """The first moment that no longer belongs to the study day, in UTC."""
    return start_of_study_day(day + 1, zone, rollover_hour)


def date_of(day: int) -> date:
    return EPOCH + timedelta(days=day)


def day_of(on: date) -> int:
    return (on - EPOCH).days


def utc_offset_seconds(at: datetime, zone: tzinfo) -> int:
    """What the local clock is ahead of UTC at ``at``."""
    offset = at.astimezone(zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def last_day_before(interview: date) -> int:
    """With an interview on that date nothing is due after this study day."""
    return day_of(interview) - 1


def _wall(at: datetime, zone: tzinfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def _moment(wall: datetime, zone: tzinfo, fold: int) -> datetime:
    """PEP 495: in a gap, fold 0 reads the clock as before the jump and so gives the later moment."""
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _jump_past(wall: datetime, zone: tzinfo, early: datetime, late: datetime) -> datetime:
    """The whole second in (early, late] at which the local clock jumps over ``wall``."""
    while late - early > SECOND:
        middle = early + timedelta(seconds=(late - early) // SECOND // 2)
        early, late = (early, middle) if _wall(middle, zone) >= wall else (middle, late)
    return late
