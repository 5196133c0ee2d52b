"""Where the time comes from: the only module that reads the machine's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import available_timezones


class Clock(Protocol):
    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class StoppedClock:
    """A clock that moves only when told, for tests and simulations."""

    def __init__(self, at: datetime) -> None:
        self._at = at.astimezone(UTC)

    def now(self) -> datetime:
        return self._at

    def advance(self, by: timedelta) -> None:
        self._at += by


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970-01-01T00:00Z."""
    return int(moment.timestamp() * 1000)


def from_milliseconds(value: int) -> datetime:
    return datetime.fromtimestamp(value / 1000, UTC)


def monotonic() -> float:
    """Seconds on a clock that never goes back; only differences mean anything."""
    return time.monotonic()


def local_zone_name(localtime: Path = Path("/etc/localtime")) -> str:
    """The machine's IANA time zone, or UTC when it does not say."""
    _, found, name = str(localtime.resolve()).partition("zoneinfo/")
    name = name.removeprefix("posix/")
    return name if found and name in available_timezones() else "UTC"
