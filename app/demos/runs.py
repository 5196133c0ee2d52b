"""Runs in flight and just finished: who owns them, what they said last, and who is watching.

Kept in memory: a run is a computation that can be had again, a prediction's result is stored with the prediction.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from app.errors import AppError, BadInput, NotFound, Unavailable
from app.pool.engine import Engine, Job
from app.pool.job import Done, Event, Failed, JobSpec, Progress, Queued, Started

KEPT = 512
State = Literal["queued", "running", "done", "failed"]


@dataclass
class Run:
    """One run. ``result`` is the demo's JSON; ``failure`` the reason and the sentence."""

    id: str
    demo: str
    knobs: Mapping[str, Any]
    owner: str
    job: Job
    state: State = "queued"
    result: Mapping[str, Any] | None = None
    failure: Failed | None = None
    seconds: float | None = None
    latest: Event | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    watchers: int = 0
    judge: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None

    def take(self, event: Event) -> None:
        self.latest = event
        match event:
            case Queued():
                self.state = "queued"
            case Started() | Progress():
                self.state = "running"
            case Done():
                self.state, self.result, self.seconds = "done", event.result, event.seconds
            case Failed():
                self.state, self.failure = "failed", event
        woken, self.changed = self.changed, asyncio.Event()
        woken.set()
        if self.state in ("done", "failed"):
            self.finished.set()


class Runs:
    """Starts runs on the engine and keeps the last few hundred for whoever asks by id."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, spec: JobSpec) -> Run:
        """Raises Busy or Unavailable when the pool refuses."""
        job = self.engine.submit(spec)
        run = Run(secrets.token_urlsafe(12), spec.demo, spec.params, spec.owner, job)
        self._runs[run.id] = run
        while len(self._runs) > KEPT:
            self._runs.popitem(last=False)
        task = asyncio.create_task(self._follow(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def _follow(self, run: Run) -> None:
        async for event in run.job.events():
            run.take(event)
        if not run.finished.is_set():
            run.take(Failed("lost", "The pool was stopped before this run ended. Run it again."))

    def get(self, owner: str, run_id: str) -> Run:
        """Raises NotFound for another owner's run too: its existence is nobody else's business."""
        run = self._runs.get(run_id)
        if run is None or run.owner != owner:
            raise NotFound("There is no such run of yours. Finished runs are kept for a while only.")
        return run

    async def watch(self, run: Run) -> AsyncIterator[Event]:
        """The latest event, then each new one; slow readers skip progress. The last watcher's leaving cancels."""
        run.watchers += 1
        seen: Event | None = None
        try:
            while True:
                changed = run.changed
                if run.latest is not None and run.latest is not seen:
                    seen = run.latest
                    yield seen
                elif run.finished.is_set():
                    return
                else:
                    await changed.wait()
        finally:
            run.watchers -= 1
            if run.watchers == 0 and not run.finished.is_set():
                run.job.cancel()

    async def wait(self, run: Run, limit_seconds: float) -> None:
        """Until the run ends or the time is over, whichever is first."""
        with suppress(TimeoutError):
            await asyncio.wait_for(run.finished.wait(), limit_seconds)

    async def finish(self, run: Run, limit_seconds: float) -> Mapping[str, Any]:
        """The result; cancels the run when the caller is cancelled. Raises the failure as an error."""
        try:
            await asyncio.wait_for(run.finished.wait(), limit_seconds)
        except TimeoutError:
            raise Unavailable("The lab is still busy with other runs. Try again in a moment.", retry_after=2) from None
        finally:
            if not run.finished.is_set():
                run.job.cancel()
        if run.result is None:
            raise failure_error(run.failure)
        return run.result

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def failure_error(failure: Failed | None) -> AppError:
    """What a failed run says to the reader; only a fault of the setting is the asker's."""
    if failure is None:
        return Unavailable("The run was lost. Run it again.", retry_after=1)
    if failure.reason == "error":
        return BadInput(failure.says)
    return Unavailable(failure.says, retry_after=1)
