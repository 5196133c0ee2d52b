"""Study: one card after the other, its prediction, its grade, and taking it back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from app import clock, db
from app.cards import queries as card_queries
from app.demos import predicting as demo_predicting
from app.demos import queries as demo_queries
from app.demos import views
from app.demos.actions import Lab
from app.demos.pages import until_gone
from app.demos.tables import Prediction
from app.demos.views import Settled
from app.errors import BadInput, Busy, Conflict, NotFound, Unavailable
from app.study import actions, queries, showing, sitting, stats, terms
from app.study.queries import SessionSummary
from app.study.queue import Left
from app.study.sitting import CardView, Desk
from app.study.tokens import Shown
from app.viewer import Viewer
from app.web import render
from app.web.deps import CurrentViewer, Fragment

router = APIRouter(include_in_schema=False)
Token = Annotated[str, Form(max_length=200)]
Topic = Annotated[str, Form(max_length=80)]


@dataclass(frozen=True, slots=True)
class StudyPage:
    """``card`` None: the end page. ``returns`` says when each card of the session comes back.

    ``missed`` are the day's predictions that the runs contradicted.
    """

    card: CardView | None
    summary: SessionSummary | None
    returns: list[tuple[str, str, str]]
    missed: list[Settled]
    left: Left
    topic: str
    is_full: bool
    wait: str
    can_undo: bool
    keys_on: bool
    section: str = "study"


def desk_of(request: Request) -> Desk:
    state = request.app.state
    ready = state.engine.status().state == "ready"
    return Desk(state.secret, state.clock.now(), ready, state.frontiers)


def following(session: Session, viewer: Viewer, desk: Desk, topic: str, going_on: bool, notice: str = "") -> StudyPage:
    """The next card, or the end."""
    found, token = sitting.next_token(session, viewer, desk, topic or None, going_on)
    if token is not None:
        card = sitting.card_view(
            session, viewer, desk, token, stage="question", left=found.left, topic=topic, notice=notice
        )
        return StudyPage(card, None, [], [], found.left, topic, False, "", card.can_undo, card.keys_on)
    summary = queries.session_summary(session, viewer, desk.at)
    mine = terms.terms_of(session, viewer)
    can_undo = queries.last_standing_event(session, viewer) is not None
    returns = [(card.slug, card.title, _returns(card, mine.day(desk.at), desk.at)) for card in summary.cards]
    wait = "" if found.next_at_ms is None else _minutes(found.next_at_ms, desk.at)
    missed = [settled for one in summary.wrong if (settled := _settled(session, one))]
    return StudyPage(None, summary, returns, missed, found.left, topic, found.is_full, wait, can_undo, mine.keys_on)


def _settled(session: Session, stored: Prediction) -> Settled | None:
    """None when the demo does not ask this any more."""
    try:
        return views.settled(demo_queries.demo(session, stored.demo), stored)
    except NotFound:
        return None


def _returns(card: Any, today: int, at: datetime) -> str:
    if card.returns_at_ms is not None and card.returns_day <= today:
        return _minutes(card.returns_at_ms, at)
    days = card.returns_day - today
    return "today" if days <= 0 else "tomorrow" if days == 1 else f"in {days} days"


def _minutes(at_ms: int, at: datetime) -> str:
    minutes = max(1, round((at_ms - clock.milliseconds(at)) / 60_000))
    return f"in {render.plural(minutes, 'minute')}"


def answer_with(page: StudyPage, fragment: bool) -> Response:
    return render.page("study/_desk.html" if fragment else "study/study.html", page)


@router.get("/study")
async def study(
    request: Request, viewer: CurrentViewer, fragment: Fragment, topic: str = "", more: bool = False
) -> Response:
    with db.reading(request.app.state.database) as session:
        return answer_with(following(session, viewer, desk_of(request), topic, more), fragment)


@router.get("/study/answer")
async def show_answer(
    request: Request, viewer: CurrentViewer, fragment: Fragment, token: str, topic: str = "", shown_at: int = 0
) -> Response:
    with db.reading(request.app.state.database) as session:
        return answer_with(at_stage(session, viewer, desk_of(request), token, "answer", topic, shown_at), fragment)


def at_stage(
    session: Session, viewer: Viewer, desk: Desk, token: str, stage: str, topic: str, shown_at: int, notice: str = ""
) -> StudyPage:
    """One card again, further on. Raises BadToken for somebody else's token."""
    actions.read_token(desk.secret, viewer, token)
    card = sitting.card_view(
        session, viewer, desk, token, stage=stage, topic=topic, shown_at_ms=_plausible(shown_at, desk.at), notice=notice
    )
    return StudyPage(card, None, [], [], card.left, topic, False, "", card.can_undo, card.keys_on)


def _plausible(shown_at_ms: int, at: datetime) -> int:
    now = clock.milliseconds(at)
    return shown_at_ms if now - actions.LONGEST_DURATION_MS <= shown_at_ms <= now else now


@router.post("/study/predict")
async def predict(
    request: Request,
    viewer: CurrentViewer,
    fragment: Fragment,
    token: Token,
    topic: Topic = "",
    shown_at: Annotated[int, Form()] = 0,
) -> Response:
    """Stores what was said, runs the demo, and shows both in one picture above the answer."""
    desk = desk_of(request)
    shown = actions.read_token(desk.secret, viewer, token)
    form = await request.form()
    texts = [str(text) for text in form.getlist("value")]
    notice = await _settle(request, viewer, desk, shown, None if "skip" in form else texts, shown_at)
    with db.reading(request.app.state.database) as session:
        page = at_stage(session, viewer, desk, token, "answer", topic, shown_at, notice)
    if not fragment and not notice:
        return RedirectResponse(f"/study/answer?{urlencode({'token': token, 'topic': topic})}", status_code=303)
    return answer_with(page, fragment)


async def _settle(
    request: Request, viewer: Viewer, desk: Desk, shown: Shown, texts: list[str] | None, shown_at: int
) -> str:
    """Returns the sentence that stands in for a run which the pool could not do."""
    with db.reading(request.app.state.database) as session:
        one = showing.show(session, viewer, shown.card_id, desk.at)
        note = card_queries.note_of_card(session, shown.card_id)
        question = sitting.question_of(session, viewer, shown, note, one.card_kind if one else "recall")
        usual = stats.measured_pace(session, viewer)
    if question is None:
        raise BadInput("This card asks for no prediction. Press Space for the answer.")
    value = (
        None
        if texts is None
        else demo_predicting.read_value(question.asked, texts if len(texts) > 1 else "".join(texts))
    )
    seconds = (clock.milliseconds(desk.at) - _plausible(shown_at, desk.at)) / 1000
    usual_seconds = usual.seconds_per_answer if usual.is_shown else None
    lab: Lab = request.app.state.lab
    try:
        work = lab.settle(
            viewer, question, value, desk.at, lambda graded: sitting.suggest(graded, seconds, usual_seconds)
        )
        await until_gone(request, work)
    except (Unavailable, Busy, BadInput) as error:  # whatever became of the run, the card goes on
        return f"{error.says} Your prediction is kept; the answer is below."
    return ""


@router.post("/study/grade")
async def grade(
    request: Request,
    viewer: CurrentViewer,
    fragment: Fragment,
    token: Token,
    rating: Annotated[int, Form()],
    topic: Topic = "",
    shown_at: Annotated[int, Form()] = 0,
    version: Annotated[int, Form()] = 0,
) -> Response:
    """Exactly once for a token. Another rating for it is refused with the stored one."""
    desk = desk_of(request)
    form = await request.form()
    duration = clock.milliseconds(desk.at) - _plausible(shown_at, desk.at)
    command = actions.read_grade(
        desk.secret,
        viewer,
        token,
        rating,
        desk.at,
        duration_ms=duration,
        ticks=sitting.ticked([str(tick) for tick in form.getlist("tick")]),
        note_version_id=version or None,
    )
    await request.app.state.writer.grade(command)
    return _onward(request, viewer, desk, topic, fragment)


@router.post("/study/know")
async def know(
    request: Request, viewer: CurrentViewer, fragment: Fragment, token: Token, topic: Topic = ""
) -> Response:
    """ "I know this": the card skips its introduction."""
    desk = desk_of(request)
    await request.app.state.writer.grade(actions.read_grade(desk.secret, viewer, token, None, desk.at))
    return _onward(request, viewer, desk, topic, fragment)


@router.post("/study/undo")
async def undo(request: Request, viewer: CurrentViewer, fragment: Fragment, topic: Topic = "") -> Response:
    """Takes the last standing answer back and shows its card again."""
    desk = desk_of(request)
    try:
        undone = await request.app.state.writer.run(lambda session: actions.undo(session, viewer, desk.at))
    except Conflict as error:
        return _onward(request, viewer, desk, topic, fragment, error.says)
    with db.reading(request.app.state.database) as session:
        one = showing.show(session, viewer, undone.card_id, desk.at)
        if one is None or not fragment:
            return RedirectResponse("/study", status_code=303)
        token = sitting.mint(viewer, desk, one)
        return answer_with(
            at_stage(session, viewer, desk, token, "question", topic, 0, "Taken back. Here it is again."), fragment
        )


@router.post("/study/cards/{card_id}/{change}")
async def mark(
    request: Request,
    viewer: CurrentViewer,
    fragment: Fragment,
    card_id: int,
    change: str,
    topic: Topic = "",
    back: Topic = "",
) -> Response:
    """Suspend, resume, bury until tomorrow, or show again today."""
    desk = desk_of(request)

    def work(session: Session) -> None:
        today = terms.terms_of(session, viewer).day(desk.at)
        match change:
            case "suspend" | "resume":
                actions.suspend(session, viewer, card_id, suspended=change == "suspend")
            case "bury" | "unbury":
                actions.bury(session, viewer, card_id, today if change == "bury" else None)
            case _:
                raise BadInput("A card can be suspended, resumed, buried or unburied.", where="change")

    await request.app.state.writer.run(work)
    if back.startswith("/deck/"):
        return RedirectResponse(back, status_code=303)
    return _onward(request, viewer, desk, topic, fragment)


def _onward(request: Request, viewer: Viewer, desk: Desk, topic: str, fragment: bool, notice: str = "") -> Response:
    if not fragment:
        return RedirectResponse(f"/study?{urlencode({'topic': topic})}" if topic else "/study", status_code=303)
    with db.reading(request.app.state.database) as session:
        return answer_with(following(session, viewer, desk, topic, False, notice), fragment)
