"""The wall of demos, one demo with its prediction and its knobs, and the streams of its runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from app import db
from app.demos import actions, predicting, queries, thumbs, views
from app.demos.actions import Lab
from app.demos.drawing.scene import Scene
from app.demos.queries import Described
from app.demos.result import parse
from app.demos.runs import Run, failure_error
from app.demos.tables import Prediction
from app.demos.teaching import Challenge, Preset
from app.demos.thumbs import Thumb
from app.demos.views import Control, FigureView, ResultView, Settled
from app.errors import NotFound, Unavailable
from app.pool.job import Done, Failed, Progress, Queued
from app.viewer import Viewer
from app.web import render
from app.web.deps import CurrentViewer, Fragment

router = APIRouter(include_in_schema=False)
RESERVED = frozenset({"preset", "play", "turn", "challenge"})
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of the wall. ``you`` is the viewer's last prediction there, if any; ``marks`` its picture."""

    demo: Described
    view: FigureView | None
    you: str
    measured: str
    marks: Scene | None


@dataclass(frozen=True, slots=True)
class GalleryPage:
    tiles: list[Tile]
    section: str = "demos"


@dataclass(frozen=True, slots=True)
class Asked:
    """The prediction that unlocks a preset. ``picture`` shows what may be seen before."""

    prompt: str
    prediction: Any
    turn: int
    knobs: Mapping[str, Any]
    before: ResultView | None


@dataclass(frozen=True, slots=True)
class DemoPage:
    demo: Described
    preset: Preset
    controls: list[Control]
    asked: Asked | None
    settled: Settled | None
    result: ResultView | None
    stream: str
    notice: str
    link: str
    strip: tuple[Thumb, ...]
    section: str = "demos"


@dataclass(frozen=True, slots=True)
class ResultFragment:
    demo: Described
    preset: Preset
    result: ResultView | None
    stream: str
    notice: str
    link: str
    settled: Settled | None = None


@dataclass(frozen=True, slots=True)
class ChallengeFragment:
    demo: Described
    challenge: Challenge
    reached: bool
    gave_up: bool
    value: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """A result, a stream to follow, or a stored picture with the reason why it stands in."""

    result: ResultView | None = None
    stream: str = ""
    notice: str = ""
    answers: Mapping[str, Any] = field(default_factory=dict)


@router.get("/demos")
async def gallery(request: Request, viewer: CurrentViewer) -> HTMLResponse:
    with db.reading(request.app.state.database) as session:
        said = {one.demo: one for one in queries.latest_predictions(session, viewer)}
        tiles = [_tile(session, demo, said.get(demo.slug)) for demo in queries.demos(session)]
    return render.page("demos/gallery.html", GalleryPage(tiles))


def _tile(session: Session, demo: Described, said: Prediction | None) -> Tile:
    """Shows the first picture that gives no prediction away."""
    drawn = next(
        (view for preset in demo.teaching.presets if (view := thumbs.open_picture(session, demo, preset))), None
    )
    if said is None or said.skipped:
        return Tile(demo, drawn, "", "", None)
    return Tile(demo, drawn, views.words(said.value), views.words(said.measured), views.marks(demo, said))


@router.get("/demos/{slug}")
async def demo_page(request: Request, slug: str, viewer: CurrentViewer, preset: str | None = None) -> HTMLResponse:
    with db.reading(request.app.state.database) as session:
        demo = queries.demo(session, slug)
        chosen = demo.preset(preset)
        made = queries.predictions_made(session, viewer, slug, chosen.slug)
        strip = thumbs.strip(session, demo)
    given = views.knobs_from(request.query_params.multi_items(), demo)
    knobs = actions.checked_knobs(demo, {**chosen.knobs, **given})
    again = request.query_params.get("again") == "1"
    if chosen.prediction and not given and "play" not in request.query_params and (made == 0 or again):
        return _asking(request, demo, chosen, viewer, made, strip)
    shown = await _show(request, demo, chosen, knobs, viewer, wait=True)
    link = views.demo_link(slug, chosen.slug, knobs, demo)
    return render.page(
        "demos/demo.html",
        DemoPage(
            demo,
            chosen,
            views.controls(demo, knobs),
            None,
            None,
            shown.result,
            shown.stream,
            shown.notice,
            link,
            strip,
        ),
    )


def _asking(
    request: Request, demo: Described, chosen: Preset, viewer: Viewer, turn: int, strip: tuple[Thumb, ...]
) -> HTMLResponse:
    """The locked page: nothing of the result exists in it, and the stored picture omits what would tell."""
    question = actions.question_of_page(demo, chosen.slug, viewer, turn)
    with db.reading(request.app.state.database) as session:
        stored = queries.stored_result(session, demo.slug, chosen.slug)
    before = views.result_view(demo, stored, stored=True, hides=thumbs.hidden(chosen, stored)) if stored else None
    asked = Asked(predicting.prompt(question.asked, question.knobs), question.asked, turn, question.knobs, before)
    status = request.app.state.engine.status()
    notice = "" if status.state == "ready" else status.says
    controls = views.controls(demo, question.knobs)
    return render.page("demos/demo.html", DemoPage(demo, chosen, controls, asked, None, None, "", notice, "", strip))


@router.post("/demos/{slug}/predict")
async def predict(
    request: Request,
    slug: str,
    viewer: CurrentViewer,
    preset: Annotated[str, Form()],
    turn: Annotated[int, Form(ge=0, le=100_000)],
) -> Response:
    form = await request.form()
    with db.reading(request.app.state.database) as session:
        demo = queries.demo(session, slug)
        strip = thumbs.strip(session, demo)
    question = actions.question_of_page(demo, preset, viewer, turn)
    texts = [str(text) for text in form.getlist("value")]
    value = (
        None if "skip" in form else predicting.read_value(question.asked, texts if len(texts) > 1 else "".join(texts))
    )
    lab: Lab = request.app.state.lab
    stored = await until_gone(request, lab.settle(viewer, question, value, request.app.state.clock.now()))
    assert stored.result is not None
    view = views.result_view(demo, parse(stored.result))
    chosen = demo.preset(preset)
    knobs = dict(stored.knobs)
    page = DemoPage(
        demo,
        chosen,
        views.controls(demo, knobs),
        None,
        views.settled(demo, stored),
        view,
        "",
        "",
        views.demo_link(slug, preset, knobs, demo),
        strip,
    )
    return render.page("demos/demo.html", page)


@router.post("/demos/{slug}/run")
async def run(
    request: Request, slug: str, viewer: CurrentViewer, fragment: Fragment, preset: str | None = None
) -> Response:
    with db.reading(request.app.state.database) as session:
        demo = queries.demo(session, slug)
    chosen = demo.preset(preset)
    form = [(name, str(value)) for name, value in (await request.form()).multi_items() if name not in RESERVED]
    knobs = actions.checked_knobs(demo, {**chosen.knobs, **views.knobs_from(form, demo)})
    link = views.demo_link(slug, chosen.slug, knobs, demo)
    if not fragment:
        return RedirectResponse(link, status_code=303)
    shown = await _show(request, demo, chosen, knobs, viewer, wait=demo.teaching.kind == "instant")
    context = ResultFragment(demo, chosen, shown.result, shown.stream, shown.notice, link)
    answer = render.fragment("demos/_result.html", context)
    answer.headers["HX-Replace-Url"] = link
    return answer


async def _show(
    request: Request, demo: Described, chosen: Preset, knobs: Mapping[str, Any], viewer: Viewer, *, wait: bool
) -> Shown:
    """A fresh result; a stream's address unless ``wait``; the stored picture when the pool cannot serve."""
    lab: Lab = request.app.state.lab
    try:
        if wait:
            status = lab.runs.engine.status()
            if status.state != "ready":
                raise Unavailable(status.says or "The lab is still being set up.")
            result = await until_gone(request, lab.measure(demo, knobs, actions.owner_of(viewer)))
            return Shown(views.result_view(demo, parse(dict(result))), answers=actions.numbers(result["answers"]))
        job = actions.job_for(demo, knobs, actions.owner_of(viewer), lab.limit_seconds, lab.memory_mb)
        started = lab.runs.start(job)
        return Shown(stream=f"/demos/{demo.slug}/stream/{started.id}")
    except Unavailable as error:
        with db.reading(request.app.state.database) as session:
            stored = queries.stored_result(session, demo.slug, chosen.slug)
        view = views.result_view(demo, stored, stored=True) if stored else None
        return Shown(view, notice=f"{error.says} This is the stored picture of “{chosen.name}”.")


@router.post("/demos/{slug}/challenge/{challenge_id}")
async def challenge(request: Request, slug: str, challenge_id: str, viewer: CurrentViewer) -> Response:
    with db.reading(request.app.state.database) as session:
        demo = queries.demo(session, slug)
    found = next((one for one in demo.teaching.challenges if one.id == challenge_id), None)
    if found is None:
        raise NotFound(f"“{demo.title}” has no challenge “{challenge_id[:80]}”.")
    form = await request.form()
    if "give_up" in form:
        return render.fragment(
            "demos/_challenge.html", ChallengeFragment(demo, found, False, True, link=_witness(demo, found))
        )
    items = [(name, str(value)) for name, value in form.multi_items() if name not in RESERVED]
    knobs = actions.checked_knobs(demo, views.knobs_from(items, demo))
    lab: Lab = request.app.state.lab
    result = await until_gone(request, lab.measure(demo, knobs, actions.owner_of(viewer)))
    answers = actions.numbers(result["answers"])
    value = views.words(answers[found.goal.answer])
    reached = found.goal.reached(answers)
    return render.fragment("demos/_challenge.html", ChallengeFragment(demo, found, reached, False, value))


def _witness(demo: Described, found: Challenge) -> str:
    return views.demo_link(demo.slug, demo.preset(None).slug, found.witness, demo) if found.witness else ""


@router.get("/demos/{slug}/stream/{run_id}")
async def stream(request: Request, slug: str, run_id: str, viewer: CurrentViewer) -> StreamingResponse:
    """Server-sent events of HTML; the run's worker is freed when the reader leaves."""
    lab: Lab = request.app.state.lab
    found = lab.runs.get(actions.owner_of(viewer), run_id)
    with db.reading(request.app.state.database) as session:
        demo = queries.demo(session, slug)
    return StreamingResponse(
        _events(lab, demo, found), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


async def _events(lab: Lab, demo: Described, found: Run) -> AsyncIterator[str]:
    async for event in lab.runs.watch(found):
        match event:
            case Queued(position=position):
                yield sse("wait", f"In the queue, {position} before it." if position else "Starting.")
            case Progress(data=data) if data.get("figures"):
                figures = [views.figure_view(figure) for figure in parse(_as_result(data)).figures]
                yield sse(
                    "frame",
                    render.text(
                        "demos/_frame.html", {"figures": figures, "done": data["done"], "total": data["total"]}
                    ),
                )
            case Progress(data=data):
                yield sse("progress", f"{data['done']} of {data['total']}")
            case Done(result=result):
                view = views.result_view(demo, parse(dict(result)))
                yield sse("done", render.text("demos/_measured.html", {"result": view, "demo": demo}))
            case Failed():
                yield sse("failed", failure_error(event).says)


def _as_result(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"summary": "", "figures": data["figures"], "claims": [], "answers": {}, "code": []}


def sse(name: str, text: str) -> str:
    """One server-sent event; each line of ``text`` becomes a data line."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"event: {name}\n{lines}\n"


async def until_gone(request: Request, work: Awaitable[Answer]) -> Answer:
    """Awaits ``work``, but cancels it when the browser leaves, so that its worker is free at once."""
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Unavailable("The page was left before the run ended.")
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _disconnected(request: Request) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(0.05)
