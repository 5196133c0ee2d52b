"""An engine that answers at once with stored true results, and an application on it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from app import db, migrating
from app.clock import StoppedClock
from app.demos.actions import STORED
from app.main import create_app, load_deck
from app.pool.engine import EngineStatus
from app.pool.job import Done, Event, Failed, JobSpec, Queued, Started
from app.settings import ROOT, Settings

NOW = datetime(2027, 3, 10, 9, 0, tzinfo=UTC)


class FakeJob:
    def __init__(self, number: int, ending: Event | None) -> None:
        self.id = f"job-{number}"
        self._ending = ending
        self.cancelled = asyncio.Event()

    async def events(self) -> AsyncIterator[Event]:
        yield Queued(0, None)
        yield Started(0)
        if self._ending is None:
            await self.cancelled.wait()
            yield Failed("cancelled", "The run was cancelled.")
        else:
            yield self._ending

    async def result(self) -> Event:
        return self._ending or Failed("cancelled", "The run was cancelled.")

    def cancel(self) -> None:
        self.cancelled.set()


class FakeEngine:
    """``ending`` overrides what every job ends with; ``hangs`` leaves jobs running until they are cancelled."""

    def __init__(self, ending: Event | None = None, *, hangs: bool = False, state: str = "ready") -> None:
        self.ending, self.hangs, self.state = ending, hangs, state
        self.submitted: list[JobSpec] = []
        self.jobs: list[FakeJob] = []
        self.refusal: Exception | None = None

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def submit(self, spec: JobSpec) -> FakeJob:
        if self.refusal is not None:
            raise self.refusal
        self.submitted.append(spec)
        ending = None if self.hangs else self.ending or Done(stored(spec.demo), 0.01)
        self.jobs.append(FakeJob(len(self.jobs), ending))
        return self.jobs[-1]

    def status(self) -> EngineStatus:
        return EngineStatus(self.state, "A stand-in.", (), 0, 0, {}, None, None, {}, {})  # type: ignore[arg-type]


def stored(slug: str) -> dict[str, Any]:
    """The default preset's true result, as it ships."""
    data = json.loads((STORED / f"{slug}.json").read_text(encoding="utf-8"))
    first: dict[str, Any] = next(iter(data["results"].values()))
    return first


def loaded(path: Path) -> None:
    """A database at ``path`` with the shipped deck, as a first start leaves it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_first_start())


@cache
def _first_start() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(data=Path(name))
        migrating.migrate(settings.database_path, NOW)
        engine = db.open_engine(settings.database_path)
        load_deck(engine, settings.content, NOW)
        db.checkpoint(engine)
        engine.dispose()
        return settings.database_path.read_bytes()


@asynccontextmanager
async def running(
    folder: Path, engine: FakeEngine | None = None, content: Path = ROOT / "content"
) -> AsyncIterator[tuple[httpx.AsyncClient, FastAPI]]:
    """The whole application on the shipped deck, a stopped clock and the fake engine."""
    settings = Settings(data=folder, content=content, time_zone="Europe/Rome", allowed_hosts=("testserver",))
    if content == ROOT / "content" and not settings.database_path.exists():
        loaded(settings.database_path)
    app = create_app(settings, engine=engine or FakeEngine(), clock=StoppedClock(NOW))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        yield client, app
