"""The JSON interface: list the demos, start a run, ask for it, follow it, cancel it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from app import db
from app.demos import actions, predicting, queries
from app.demos.actions import Lab
from app.demos.queries import Described
from app.demos.result import finite
from app.demos.runs import Run
from app.errors import BadInput
from app.web.deps import CurrentViewer

router = APIRouter(prefix="/api", tags=["demos"])
PROMPT_RUNS_SECONDS = 0.25
EXAMPLE: Any = {"knobs": {"p": 0.5, "seed": 3}}


class Problem(BaseModel):
    """RFC 9457: what happened and what to do next."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    where: str | None = None


class RunRequest(BaseModel):
    """``knobs`` override the preset's. A ``prediction`` is graded against the run's answer."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    knobs: dict[str, Any] = Field(default_factory=dict, description="Knob names and values; see the demo's schema.")
    preset: str | None = Field(None, max_length=120, description="A preset's slug; its knobs come first.")
    prediction: str | float | list[str] | None = Field(None, description="What you expect, in the preset's own terms.")


class RunState(BaseModel):
    """``result`` is the demo's Result once ``state`` is done; ``failure`` says why there is none."""

    id: str
    demo: str
    state: str
    knobs: dict[str, Any]
    seconds: float | None = None
    result: dict[str, Any] | None = None
    failure: dict[str, str] | None = None
    prediction: dict[str, Any] | None = None


class PresetLine(BaseModel):
    slug: str
    name: str
    question: str
    knobs: dict[str, Any]


class DemoLine(BaseModel):
    slug: str
    title: str
    topic: str
    kind: str
    version: str
    presets: list[PresetLine]


class DemoWhole(DemoLine):
    json_schema: dict[str, Any] = Field(serialization_alias="schema")
    source: str


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text, "content": {"application/problem+json": {}}}
    for status, text in (
        (400, "The request does not fit."),
        (403, "The change came from another site."),
        (404, "No such demo or run."),
        (413, "The body is too large."),
        (422, "A knob is out of range or unknown."),
        (429, "Too many runs of yours wait; see Retry-After."),
        (503, "The pool is not ready or full; see Retry-After."),
    )
}


@router.get("/demos", responses=ERRORS)
async def list_demos(request: Request) -> list[DemoLine]:
    with db.reading(request.app.state.database) as session:
        return [DemoLine(**_line(demo)) for demo in queries.demos(session)]


@router.get("/demos/{slug}", responses=ERRORS)
async def get_demo(request: Request, slug: str) -> DemoWhole:
    with db.reading(request.app.state.database) as session:
        demo = queries.demo(session, slug)
    return DemoWhole(**_line(demo), json_schema=demo.schema, source=demo.source_note)


def _line(demo: Described) -> dict[str, Any]:
    presets = [
        PresetLine(slug=preset.slug, name=preset.name, question=preset.question, knobs=preset.knobs)
        for preset in demo.teaching.presets
    ]
    return {
        "slug": demo.slug,
        "title": demo.title,
        "topic": demo.topic,
        "kind": demo.teaching.kind,
        "version": demo.version,
        "presets": presets,
    }


@router.post("/demos/{slug}/runs", status_code=202, responses=ERRORS)
async def start_run(request: Request, slug: str, wanted: RunRequest, viewer: CurrentViewer) -> RunState:
    """Starts a run. A short one comes back with its result; ask for the others by id or follow their events."""
    with db.reading(request.app.state.database) as session:
        demo = queries.demo(session, slug)
    preset = demo.preset(wanted.preset)
    knobs = actions.checked_knobs(demo, {**preset.knobs, **wanted.knobs})
    value = _value(preset.prediction, wanted.prediction)
    lab: Lab = request.app.state.lab
    job = actions.job_for(demo, knobs, actions.owner_of(viewer), lab.limit_seconds, lab.memory_mb)
    run = lab.runs.start(job)
    if value is not None:
        run.judge = lambda result: _judged(preset.prediction, value, result)
    await lab.runs.wait(run, PROMPT_RUNS_SECONDS)
    return _state(run)


def _value(prediction: Any, given: str | float | list[str] | None) -> Any:
    if given is None:
        return None
    if prediction is None:
        raise BadInput("This preset asks for no prediction. Leave it out.", where="prediction")
    return predicting.read_value(prediction, given if isinstance(given, str | list) else repr(given))


def _judged(prediction: Any, value: Any, result: Any) -> dict[str, Any]:
    graded = predicting.grade(prediction, actions.numbers(result["answers"]), value)
    return {"value": value, "measured": graded.measured, **asdict(graded.judgement)}


def _state(run: Run) -> RunState:
    failure = {"reason": run.failure.reason, "says": run.failure.says} if run.failure else None
    result = dict(run.result) if run.result is not None else None
    judged = run.judge(result) if run.judge and result is not None else None
    knobs = dict(run.knobs)
    return RunState(
        id=run.id,
        demo=run.demo,
        state=run.state,
        knobs=knobs,
        seconds=run.seconds,
        result=result,
        failure=failure,
        prediction=finite(judged),
    )


@router.get("/runs/{run_id}", responses=ERRORS)
async def get_run(request: Request, run_id: str, viewer: CurrentViewer) -> RunState:
    lab: Lab = request.app.state.lab
    return _state(lab.runs.get(actions.owner_of(viewer), run_id))


@router.get("/runs/{run_id}/events", responses={**ERRORS, 200: {"content": {"text/event-stream": {}}}})
async def follow_run(request: Request, run_id: str, viewer: CurrentViewer) -> StreamingResponse:
    """Server-sent events: queued, started, progress, then done or failed. The last reader's leaving cancels."""
    lab: Lab = request.app.state.lab
    run = lab.runs.get(actions.owner_of(viewer), run_id)
    return StreamingResponse(_events(lab, run), media_type="text/event-stream", headers={"cache-control": "no-store"})


async def _events(lab: Lab, run: Run) -> AsyncIterator[str]:
    async for event in lab.runs.watch(run):
        data = json.dumps(finite(asdict(event)), allow_nan=False)
        yield f"event: {type(event).__name__.lower()}\ndata: {data}\n\n"


@router.delete("/runs/{run_id}", status_code=204, responses=ERRORS)
async def cancel_run(request: Request, run_id: str, viewer: CurrentViewer) -> Response:
    lab: Lab = request.app.state.lab
    lab.runs.get(actions.owner_of(viewer), run_id).job.cancel()
    return Response(status_code=204)
