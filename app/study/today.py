"""Today: one sentence and one button; below, small, the year, the next days, the topics and the settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from app import db
from app.demos import predicting, views
from app.demos import queries as demo_queries
from app.demos.drawing.comparison import comparison
from app.demos.views import Settled
from app.errors import BadInput, NotFound
from app.study import actions, queries, showing, stats, terms
from app.study.actions import Choices
from app.study.pace import Pace, Simulation
from app.study.pages import desk_of
from app.study.queue import Left
from app.study.sitting import EPOCH
from app.study.stats import TopicStrength
from app.study.tables import Daily
from app.study.terms import Terms
from app.viewer import Viewer
from app.web import render
from app.web.deps import CurrentViewer

router = APIRouter(include_in_schema=False)
WEEKS = 53
EXAMPLE = ("dropout-lab", "survivor", "survivor", "times_keep")
"""Demo, preset, what it measures, and the answer that most people give first."""


@dataclass(frozen=True, slots=True)
class DayCell:
    """One day of the year's map, ``level`` 0–4 by the answers given."""

    day: date
    answers: int
    level: int
    week: int
    weekday: int


@dataclass(frozen=True, slots=True)
class TodayPage:
    sentence: str
    left: Left
    is_newcomer: bool
    cells: list[DayCell]
    answers_this_year: int
    forecast: list[tuple[str, int]]
    topics: list[TopicStrength]
    memorable: Settled | None
    mine: Terms
    interview: date | None
    outlook: Simulation | None
    is_lab_ready: bool
    lab_says: str
    section: str = "today"


@router.get("/")
async def today(request: Request, viewer: CurrentViewer) -> Response:
    with db.reading(request.app.state.database) as session:
        return render.page("study/today.html", _page(request, session, viewer))


def _page(request: Request, session: Session, viewer: Viewer) -> TodayPage:
    desk = desk_of(request)
    mine = terms.terms_of(session, viewer)
    day = EPOCH + timedelta(days=mine.day(desk.at))
    left = showing.left(session, viewer, desk.at, frontiers=desk.frontiers)
    is_newcomer = queries.last_standing_event(session, viewer) is None
    cells = year(stats.heat_map(session, viewer, desk.at), day)
    interview = None if mine.interview_day is None else EPOCH + timedelta(days=mine.interview_day)
    status = request.app.state.engine.status()
    counts = stats.forecast(session, viewer, desk.at)
    return TodayPage(
        sentence=sentence(left, stats.measured_pace(session, viewer)),
        left=left,
        is_newcomer=is_newcomer,
        cells=cells,
        answers_this_year=sum(cell.answers for cell in cells),
        forecast=[(f"{day + timedelta(days=ahead):%-d %b}", count) for ahead, count in enumerate(counts)],
        topics=stats.topics(session, viewer, desk.at),
        memorable=_example(session) if is_newcomer else _surprise(session, viewer),
        mine=mine,
        interview=interview,
        outlook=stats.outlook(session, viewer, desk.at) if interview else None,
        is_lab_ready=desk.is_lab_ready,
        lab_says=status.says,
    )


def _surprise(session: Session, viewer: Viewer) -> Settled | None:
    """The learner's own prediction that was furthest off; None without one, or when its demo is gone."""
    found = stats.last_surprise(session, viewer)
    if found is None:
        return None
    try:
        demo = demo_queries.demo(session, found.demo)
        return views.settled(demo, demo_queries.prediction(session, viewer, found.prediction_id))
    except NotFound:
        return None


def _example(session: Session) -> Settled | None:
    """What a surprise looks like, from the kept picture of a true run."""
    slug, preset_slug, answer, first_thought = EXAMPLE
    result = demo_queries.stored_result(session, slug, preset_slug)
    if result is None:
        return None
    demo = demo_queries.demo(session, slug)
    asked = demo.preset(preset_slug).prediction
    truth, guess = result.answers.get(answer), result.answers.get(first_thought)
    if asked is None or not isinstance(truth, float) or not isinstance(guess, float):
        return None
    knobs = demo.defaults() | demo.preset(preset_slug).knobs
    return Settled(
        prompt=predicting.prompt(asked, knobs),
        you=views.words(guess),
        measured=views.words(truth),
        unit=asked.unit,
        skipped=False,
        correct=False,
        gap="",
        misconception="The first thought of many is to multiply by 1 − p. The layer divides.",
        restate="",
        scene=comparison(guess, truth, asked.unit, 0.0, "first thought"),
        link=f"/demos/{slug}?preset={preset_slug}",
    )


def sentence(left: Left, pace: Pace) -> str:
    """Minutes only once the learner's own pace is known."""
    if left.total == 0:
        return "Nothing is due. Memory works while you rest."
    reviews = left.review + left.learning
    time = (
        f", about {render.plural(max(1, round(left.total * pace.seconds_per_answer / 60)), 'minute')}"
        if pace.is_shown
        else ""
    )
    if not reviews:
        return f"{render.plural(left.new, 'new card')}{time}."
    more = f", {left.new} of them new" if left.new else ""
    return f"{render.plural(left.total, 'card')}{more}{time}."


def year(counts: dict[int, Daily], today: date) -> list[DayCell]:
    """The last 53 weeks, columns of weeks that begin on Monday."""
    first = today - timedelta(days=today.weekday(), weeks=WEEKS - 1)
    most = max((row.reviews for row in counts.values()), default=0)
    cells = []
    for offset in range((today - first).days + 1):
        day = first + timedelta(days=offset)
        row = counts.get((day - EPOCH).days)
        answers = row.reviews if row else 0
        level = 0 if answers == 0 else 1 + min(3, answers * 4 // (most + 1))
        cells.append(DayCell(day, answers, level, offset // 7, offset % 7))
    return cells


@router.post("/settings")
async def save(
    request: Request,
    viewer: CurrentViewer,
    interview: Annotated[str, Form(max_length=10)] = "",
    minutes: Annotated[str, Form(max_length=4)] = "",
    new_cards: Annotated[int, Form()] = 10,
    retention: Annotated[float, Form()] = 0.9,
    time_zone: Annotated[str, Form(max_length=60)] = "",
    keys_on: Annotated[bool, Form()] = False,
) -> Response:
    desk = desk_of(request)

    def work(session: Session) -> None:
        before = terms.terms_of(session, viewer)
        choices = Choices(
            time_zone=time_zone.strip() or None,
            rollover_hour=before.rollover_hour,
            new_cards_per_day=new_cards,
            interview=_date(interview),
            minutes_a_day=_whole(minutes) if interview else None,
            keys_on=keys_on,
            desired_retention=retention,
            learning_steps_seconds=before.parameters.learning_steps_seconds,
            relearning_steps_seconds=before.parameters.relearning_steps_seconds,
            maximum_interval_days=before.parameters.maximum_interval_days,
            fuzz=before.parameters.fuzz,
        )
        actions.save_settings(session, viewer, choices, before.day(desk.at))

    await request.app.state.writer.run(work)
    return RedirectResponse("/", status_code=303)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise BadInput("The interview's date is written like 2027-03-14.", where="interview") from None


def _whole(text: str) -> int | None:
    if not text.strip():
        return None
    if not text.strip().isdigit():
        raise BadInput("Minutes a day are a whole number, such as 25.", where="minutes")
    return int(text)
