"""For whoever runs the server: is it alive, is it ready, and what does the pool do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import text
from starlette.responses import HTMLResponse, JSONResponse

from app import db
from app.pool.engine import EngineStatus
from app.web import render
from app.web.deps import wants_fragment

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class OperatorPage:
    status: EngineStatus
    section: str = "operator"


@router.get("/operator")
async def operator(request: Request) -> HTMLResponse:
    template = "web/_pool.html" if wants_fragment(request) else "web/operator.html"
    return render.page(template, OperatorPage(request.app.state.engine.status()))


@router.get("/healthz")
async def healthz() -> JSONResponse:
    """The process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> JSONResponse:
    """200 when cards can be studied; says beside it what the pool can do and which layer of confinement lacks."""
    with db.reading(request.app.state.database) as session:
        session.execute(text("SELECT 1 FROM note LIMIT 1"))
    status: EngineStatus = request.app.state.engine.status()
    body: dict[str, Any] = {
        "status": "ok",
        "pool": status.state,
        "says": status.says,
        "confinement": status.confinement,
        "versions": status.versions,
    }
    return JSONResponse(body)
