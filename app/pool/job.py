"""What goes into the pool and what comes out of it (pure values)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal


class Isolation(StrEnum):
    REUSED = "reused"  # a long-lived confined worker, replaced after N runs
    FRESH = "fresh"  # a fork for this job alone


class Place(StrEnum):
    CPU = "cpu"
    GPU = "gpu"


@dataclass(frozen=True, slots=True)
class Limits:
    """``seconds`` is wall time from start to the kill; ``memory_mb`` is what the run may add, in MiB."""

    seconds: float = 10.0
    memory_mb: int = 1024
    result_bytes: int = 8_000_000


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One run of a registered name with JSON parameters; never a callable.

    ``owner`` is the key of the fair queue. ``retries`` counts further tries after a crash of the worker
    (never after an error, a time-out or a cancel).
    """

    demo: str
    params: Mapping[str, Any]
    seed: int = 0
    owner: str = "anonymous"
    limits: Limits = field(default_factory=Limits)
    place: Place = Place.CPU
    isolation: Isolation = Isolation.REUSED
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Queued:
    position: int
    eta_seconds: float | None


@dataclass(frozen=True, slots=True)
class Started:
    worker: int


@dataclass(frozen=True, slots=True)
class Progress:
    """``seq`` rises by at least one; frames may be dropped when the reader is slow (the latest is kept)."""

    seq: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    result: Mapping[str, Any]
    seconds: float


FailureReason = Literal["error", "timeout", "memory", "crash", "cancelled", "lost"]


@dataclass(frozen=True, slots=True)
class Failed:
    """``says`` is a sentence for the reader."""

    reason: FailureReason
    says: str


Event = Queued | Started | Progress | Done | Failed
