"""The one place where the web process is put together. Nothing reachable from here imports torch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app import db, migrating, operator
from app.cards import loading as card_loading
from app.cards import pages as card_pages
from app.cards import render as card_render
from app.cards.model import Severity
from app.clock import Clock, SystemClock, local_zone_name
from app.demos import actions as demo_actions
from app.demos import api as demo_api
from app.demos import pages as demo_pages
from app.demos import queries as demo_queries
from app.demos.runs import Runs
from app.errors import NotFound, SetupError
from app.pool import choosing
from app.pool.engine import Engine
from app.settings import ROOT, Settings
from app.study import deck, today, tokens
from app.study import pages as study_pages
from app.study.showing import Frontiers
from app.study.writer import Writer
from app.web import problems
from app.web.security import Guard

log = logging.getLogger(__name__)
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg"})


class KeptFiles(StaticFiles):
    """Static files whose address carries a hash of their content: kept for a year."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        scope: Scope = args[2] if len(args) > 2 else kwargs["scope"]
        if b"v=" in scope.get("query_string", b""):
            response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response


class Images(StaticFiles):
    """The pictures beside card files, and nothing else of that folder."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if Path(path).suffix.lower() not in IMAGE_SUFFIXES:
            raise NotFound("Only the pictures of cards are served from here.")
        return await super().get_response(path, scope)


def create_app(settings: Settings, *, engine: Engine | None = None, clock: Clock | None = None) -> FastAPI:
    """``engine`` and ``clock`` are given by tests; otherwise the settings choose."""
    app = FastAPI(
        title="Forward Pass",
        description="Run the demos of the deck. Non-finite numbers travel as the strings NaN, Infinity and -Infinity.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.clock = clock or SystemClock()
    app.state.engine = engine or choosing.engine(settings)
    app.state.time_zone = settings.time_zone or local_zone_name()
    for router in (
        today.router,
        deck.router,
        study_pages.router,
        card_pages.router,
        demo_pages.router,
        demo_api.router,
        operator.router,
    ):
        app.include_router(router)
    app.mount("/static", KeptFiles(directory=ROOT / "static"), name="static")
    app.mount("/content", Images(directory=settings.content, check_dir=False), name="content")
    problems.install(app)
    app.add_middleware(Guard, allowed_hosts=settings.allowed_hosts, body_limit_bytes=settings.body_limit_bytes)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens what the settings name, starts the writer and the pool, and closes both in order."""
    state, settings = app.state, app.state.settings
    path = settings.database_path
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = db.LockFile(path)
    if not lock.take():
        raise SetupError(f"Another server is using {path}. Stop it, or give this one --database.")
    migrating.migrate(path, state.clock.now())
    state.database = db.open_engine(path)
    load_deck(state.database, settings.content, state.clock.now())
    state.secret = tokens.load_secret(path.parent)
    state.writer = Writer(state.database, lock=lock)
    state.writer.start()
    state.frontiers = Frontiers()
    state.runs = Runs(state.engine)
    state.lab = demo_actions.Lab(state.runs, state.writer, settings.run_limit_seconds, settings.worker_memory_mb)
    await state.engine.start()
    try:
        yield
    finally:
        await state.runs.close()
        await state.engine.stop()
        await state.writer.stop()
        await asyncio.to_thread(state.database.dispose)
        lock.close()


def load_deck(engine: Any, content: Path, now: datetime) -> card_loading.LoadReport:
    """The catalogue first, since cards name its presets; then the cards. Logs each problem."""
    with db.writing(engine) as session:
        demo_actions.load_catalogue(session, lambda text: card_render.render(text).html, now)
    with db.reading(engine) as session:
        known = demo_queries.presets_known(session)
        plan = card_loading.prepare(session, content, known, "/content/")
    with db.writing(engine) as session:
        report = card_loading.apply(session, plan, now)
    for problem in report.problems:
        if problem.severity == Severity.PROBLEM:
            log.warning("%s", problem)
    return report
