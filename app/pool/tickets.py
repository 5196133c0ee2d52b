"""A job of the embedded engine, seen from the one who submitted it."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from app.pool.job import Done, Event, Failed, JobSpec, Progress


class Ticket:
    """Keeps the events until they are read; of the progress only the latest."""

    def __init__(self, spec: JobSpec, on_cancel: Callable[[Ticket], None], now: float) -> None:
        loop = asyncio.get_running_loop()
        self.id = secrets.token_urlsafe(12)
        self.spec = spec
        self.submitted_at = now
        self.tries = 0  # starts that ended in a crash
        self.false_starts = 0  # workers that died before they read the job
        self.dropped = 0  # progress frames in a row that nobody read
        self._on_cancel = on_cancel
        self._pending: deque[Event] = deque()
        self._sequence = 0
        self._sequence_base = 0
        self._waiter: asyncio.Future[None] | None = None
        self._is_read = False
        self._outcome: asyncio.Future[Done | Failed] = loop.create_future()

    @property
    def is_finished(self) -> bool:
        return self._outcome.done()

    async def events(self) -> AsyncGenerator[Event, None]:
        """Leaving the iterator before its end cancels the job. Raises RuntimeError when read a second time."""
        if self._is_read:
            raise RuntimeError("The events of a job can be read once.")
        self._is_read = True
        try:
            while True:
                while not self._pending:
                    await self._something()
                event = self._pending.popleft()
                self.dropped = 0
                yield event
                if isinstance(event, Done | Failed):
                    return
        finally:
            self.cancel()

    async def result(self) -> Event:
        return await asyncio.shield(self._outcome)

    def cancel(self) -> None:
        if not self.is_finished:
            self._on_cancel(self)

    def tell(self, event: Event) -> None:
        """Adds an event; a terminal one closes the ticket, and what follows it is ignored."""
        if self.is_finished:
            return
        self._pending.append(event)
        if isinstance(event, Done | Failed):
            self._outcome.set_result(event)
        self._wake()

    def tell_progress(self, sequence: int, data: Mapping[str, Any]) -> None:
        """``sequence`` counts within one try; what the reader sees never goes back over several."""
        if self.is_finished:
            return
        self._sequence = max(self._sequence + 1, self._sequence_base + sequence)
        event = Progress(self._sequence, data)
        if self._pending and isinstance(self._pending[-1], Progress):
            self._pending[-1] = event
            self.dropped += 1
            return
        self._pending.append(event)
        self._wake()

    def begin_again(self) -> None:
        self._sequence_base = self._sequence

    async def _something(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
