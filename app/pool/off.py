"""The engine that runs nothing: the pool is switched off, or cannot run here."""

from __future__ import annotations

from app.errors import Unavailable
from app.pool.engine import EngineStatus, Job
from app.pool.job import JobSpec


class OffEngine:
    def __init__(self, reason: str) -> None:
        """``reason`` is the sentence that the reader gets."""
        self._reason = reason

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    def submit(self, spec: JobSpec) -> Job:
        raise Unavailable(self._reason, where=spec.demo)

    def status(self) -> EngineStatus:
        return EngineStatus(
            state="off",
            says=self._reason,
            slots=(),
            queued=0,
            done=0,
            failed={},
            latency_p50_ms=None,
            latency_p99_ms=None,
            confinement={},
            versions={},
        )
