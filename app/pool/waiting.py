"""The engine of the first minutes: refuses with a reason until the lab is installed, then is the real one."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

from app.errors import Unavailable
from app.pool.engine import Engine, EngineStatus, Job
from app.pool.job import JobSpec
from app.pool.off import OffEngine

PAUSE_SECONDS = 1.0


class WaitingEngine:
    """``make`` builds the real engine once ``is_there`` says so; both are asked in the event loop."""

    def __init__(self, make: Callable[[], Engine], is_there: Callable[[], Awaitable[bool]], says: str) -> None:
        self._make = make
        self._is_there = is_there
        self._says = says
        self._stand_in = OffEngine(says)
        self._real: Engine | None = None
        self._waiting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._waiting = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while not await self._is_there():
            await asyncio.sleep(PAUSE_SECONDS)
        real = self._make()
        await real.start()
        self._real = real

    async def stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            with suppress(asyncio.CancelledError):
                await self._waiting
        if self._real is not None:
            await self._real.stop()

    def submit(self, spec: JobSpec) -> Job:
        if self._real is None:
            raise Unavailable(self._says, where=spec.demo, retry_after=10)
        return self._real.submit(spec)

    def status(self) -> EngineStatus:
        return (self._real or self._stand_in).status()


async def can_import(module: str) -> bool:
    """Tried in another process, so that a half-installed package is not taken for a whole one."""
    importlib.invalidate_caches()
    if importlib.util.find_spec(module) is None:
        return False
    quiet = asyncio.subprocess.DEVNULL
    tried = await asyncio.create_subprocess_exec(sys.executable, "-c", f"import {module}", stdout=quiet, stderr=quiet)
    return await tried.wait() == 0
