"""Study days over every zone that the tz database knows."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.study import study_day as days

ZONES = sorted(zoneinfo.available_timezones() - {"localtime"})
FIRST, LAST = datetime(1850, 1, 1), datetime(2099, 12, 31)


def transitions(zone: tzinfo, first: datetime, last: datetime) -> list[datetime]:
    """Moments, to the second, around which the offset of a zone changes; looked for in steps of four days."""
    found = []
    at = first
    while at < last:
        later = at + timedelta(days=4)
        if at.astimezone(zone).utcoffset() != later.astimezone(zone).utcoffset():
            low, high = at, later
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low).total_seconds() // 2)
                same = middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high)
        at = later
    return found


def assert_day_holds(at: datetime, zone: tzinfo, rollover_hour: int) -> None:
    day = days.study_day(at, zone, rollover_hour)
    start, end = (edge(day, zone, rollover_hour) for edge in (days.start_of_study_day, days.end_of_study_day))
    assert start <= at < end
    assert days.study_day(start, zone, rollover_hour) == day
    assert days.study_day(start - timedelta(microseconds=1), zone, rollover_hour) < day
    clock = start.astimezone(zone).replace(tzinfo=None)
    assert clock >= datetime.combine(days.date_of(day), datetime.min.time()) + timedelta(hours=rollover_hour)


@settings(max_examples=600, deadline=None)
@given(
    at=st.datetimes(FIRST, LAST, timezones=st.just(UTC)),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    rollover_hour=st.integers(0, 23),
)
@example(at=datetime(1867, 10, 19, 2, 0, tzinfo=UTC), zone=ZoneInfo("America/Juneau"), rollover_hour=4)
def test_every_moment_lies_within_the_study_day_it_is_given(at: datetime, zone: ZoneInfo, rollover_hour: int) -> None:
    assert_day_holds(at, zone, rollover_hour)


@settings(max_examples=600, deadline=None)
@given(
    at=st.datetimes(FIRST, LAST, timezones=st.just(UTC)),
    later=st.integers(0, 3 * 86_400),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
)
def test_study_days_never_go_back(at: datetime, later: int, zone: ZoneInfo) -> None:
    assert days.study_day(at, zone) <= days.study_day(at + timedelta(seconds=later), zone)


@pytest.mark.parametrize("region", sorted({name.split("/")[0] for name in ZONES}))
def test_around_each_clock_change_of_a_zone_the_days_follow_one_another(region: str) -> None:
    for name in (name for name in ZONES if name.split("/")[0] == region):
        assert_days_follow_at_clock_changes(ZoneInfo(name))


def assert_days_follow_at_clock_changes(zone: ZoneInfo) -> None:
    for change in transitions(zone, datetime(2006, 1, 1, tzinfo=UTC), datetime(2012, 6, 1, tzinfo=UTC)):
        hours = [change + timedelta(hours=hour) for hour in (-30, -5, -2, -1, 0, 1, 2, 5, 30)]
        for rollover_hour in (0, 4):
            numbers = [days.study_day(at, zone, rollover_hour) for at in hours]
            assert numbers == sorted(numbers)
            assert_day_holds(change, zone, rollover_hour)
            assert_day_holds(change - timedelta(seconds=1), zone, rollover_hour)


@pytest.mark.parametrize("name", ["America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham"])
def test_a_year_of_starts_is_strictly_growing_and_covers_every_date(name: str) -> None:
    zone = ZoneInfo(name)
    first = days.day_of(date(2024, 1, 1))
    starts = [days.start_of_study_day(first + number, zone) for number in range(366)]
    lengths = {later - earlier for earlier, later in pairwise(starts)}
    assert all(timedelta(hours=23) <= length <= timedelta(hours=25) for length in lengths)
    assert [days.study_day(start, zone) for start in starts] == list(range(first, first + 366))


def test_one_minute_to_four_still_belongs_to_the_day_before() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    late = datetime(2026, 7, 2, 3, 59, tzinfo=berlin)
    assert days.date_of(days.study_day(late, berlin)) == date(2026, 7, 1)
    assert days.date_of(days.study_day(late + timedelta(minutes=1), berlin)) == date(2026, 7, 2)


def test_a_skipped_rollover_begins_the_day_at_the_jump() -> None:
    """Troll station went from 01:00 to 03:00; with the rollover at two the clock never read it."""
    zone = ZoneInfo("Antarctica/Troll")
    day = days.day_of(date(2026, 3, 29))
    assert days.start_of_study_day(day, zone, 2) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert days.end_of_study_day(day - 1, zone, 2) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


def test_a_repeated_rollover_begins_the_day_once() -> None:
    zone = ZoneInfo("Europe/Berlin")
    day = days.day_of(date(2026, 10, 25))
    first_half_past_two = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert days.start_of_study_day(day, zone, 2) == datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    clock_went_back = first_half_past_two + timedelta(minutes=45)
    assert clock_went_back.astimezone(zone).strftime("%H:%M") == "02:15"
    assert days.study_day(clock_went_back, zone, 2) == day


def test_a_day_that_began_does_not_end_when_the_clock_falls_back_before_the_rollover() -> None:
    """Troll station falls back from 03:00 to 01:00: an hour after the day began the clock reads the day before's."""
    zone = ZoneInfo("Antarctica/Troll")
    day = days.day_of(date(2026, 10, 25))
    fallen_back = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert fallen_back.astimezone(zone).strftime("%d %H:%M") == "25 01:30"
    assert days.start_of_study_day(day, zone, 2) == datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    assert days.study_day(fallen_back, zone, 2) == day


def test_the_date_that_samoa_left_out_is_a_short_study_day() -> None:
    zone = ZoneInfo("Pacific/Apia")
    left_out = days.day_of(date(2011, 12, 30))
    assert days.start_of_study_day(left_out, zone) == datetime(2011, 12, 30, 10, 0, tzinfo=UTC)
    assert days.end_of_study_day(left_out, zone) - days.start_of_study_day(left_out, zone) == timedelta(hours=4)


def test_the_date_that_alaska_lived_twice_is_one_long_study_day() -> None:
    zone = ZoneInfo("America/Juneau")
    around = datetime(1867, 10, 18, tzinfo=UTC)
    longest = max(
        days.end_of_study_day(day, zone) - days.start_of_study_day(day, zone)
        for day in range(days.study_day(around, zone) - 3, days.study_day(around, zone) + 4)
    )
    assert longest > timedelta(hours=40)


def test_a_fixed_offset_is_a_zone_too() -> None:
    offset = timezone(timedelta(hours=5, minutes=45))
    assert days.study_day(datetime(2026, 1, 1, 22, 14, tzinfo=UTC), offset) == days.day_of(date(2026, 1, 1))
    assert days.study_day(datetime(2026, 1, 1, 22, 15, tzinfo=UTC), offset) == days.day_of(date(2026, 1, 2))
    assert days.utc_offset_seconds(datetime(2026, 1, 1, tzinfo=UTC), offset) == 20_700


def test_nothing_is_due_on_the_day_of_the_interview() -> None:
    assert days.date_of(days.last_day_before(date(2026, 3, 1))) == date(2026, 2, 28)


@given(st.integers(-50_000, 50_000))
def test_a_day_and_its_date_are_one_to_one(day: int) -> None:
    assert days.day_of(days.date_of(day)) == day
