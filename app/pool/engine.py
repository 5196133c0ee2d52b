"""The interface that every pool keeps, whatever carries the work (pure)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from app.pool.job import Event, JobSpec

EngineState = Literal["off", "warming", "ready", "stopping", "failed"]


@dataclass(frozen=True, slots=True)
class SlotStatus:
    worker: int
    pid: int | None
    state: Literal["starting", "idle", "busy", "dead"]
    demo: str | None
    runs: int


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """Counters since the start; latencies in milliseconds over the last thousand finished jobs."""

    state: EngineState
    says: str
    slots: tuple[SlotStatus, ...]
    queued: int
    done: int
    failed: dict[str, int]
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    confinement: dict[str, bool]
    versions: dict[str, str]


class Job(Protocol):
    id: str

    def events(self) -> AsyncIterator[Event]:
        """Queued, Started, Progress*, then exactly one of Done or Failed. May be read once."""
        ...

    async def result(self) -> Event:
        """Waits for the terminal event."""
        ...

    def cancel(self) -> None:
        """Asks for an end; the job finishes as ``Failed("cancelled")``."""
        ...


class Engine(Protocol):
    async def start(self) -> None:
        """Begins warming and returns at once."""
        ...

    async def stop(self) -> None: ...

    def submit(self, spec: JobSpec) -> Job:
        """Queues a job. Raises ``Busy`` (429, per owner) or ``Unavailable`` (503, queue full or pool off)."""
        ...

    def status(self) -> EngineStatus: ...
