"""What the study page prints: one card at one stage, or the end of the session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app import clock
from app.cards import queries as card_queries
from app.cards.queries import WholeNote
from app.demos import predicting as demo_predicting
from app.demos import queries as demo_queries
from app.demos import views
from app.demos.actions import Question
from app.demos.pages import Asked
from app.demos.result import parse
from app.demos.tables import Prediction
from app.demos.views import ResultView, Settled
from app.errors import NotFound
from app.study import predicting, queries, showing, terms, tokens
from app.study.memory import Rating
from app.study.predicting import Suggestion
from app.study.queue import Left
from app.study.schedule import Outcome
from app.study.showing import Frontiers, Showing
from app.study.tokens import Shown
from app.viewer import Viewer

FIRST_CARDS = ("dropout/predict", "gradient-clipping/predict", "scaled-dot-product/predict")
"""What a newcomer meets before all others, once workers are ready."""
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class CardView:
    """``stage`` is question or answer. ``asked`` None: nothing to predict, or it was predicted already."""

    token: str
    card_id: int
    stage: str
    kind: str
    note: WholeNote
    left: Left
    topic: str
    asked: Asked | None
    settled: Settled | None
    result: ResultView | None
    outcomes: tuple[Outcome, ...]
    suggestion: Suggestion | None
    is_new: bool
    can_undo: bool
    keys_on: bool
    shown_at_ms: int
    demo_link: str
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Desk:
    """What showing a card needs beside the session and the viewer."""

    secret: bytes
    at: datetime
    is_lab_ready: bool
    frontiers: Frontiers | None = None


def next_token(
    session: Session, viewer: Viewer, desk: Desk, topic: str | None, going_on: bool
) -> tuple[showing.Next, str | None]:
    """What comes next and the token that it is shown under."""
    first = FIRST_CARDS if desk.is_lab_ready else ()
    found = showing.next_card(
        session, viewer, desk.at, topic=topic, frontiers=desk.frontiers, first=first, is_going_on=going_on
    )
    return found, None if found.showing is None else mint(viewer, desk, found.showing)


def mint(viewer: Viewer, desk: Desk, one: Showing) -> str:
    day = EPOCH + timedelta(days=one.study_day)
    return tokens.mint(desk.secret, viewer.id, one.card.card_id, one.basis_event_id, day)


def card_view(
    session: Session,
    viewer: Viewer,
    desk: Desk,
    token: str,
    *,
    stage: str,
    left: Left | None = None,
    topic: str = "",
    shown_at_ms: int | None = None,
    notice: str = "",
) -> CardView:
    """The card of a token. Raises NotFound for a card that is gone."""
    shown = tokens.read(desk.secret, token)
    one = showing.show(session, viewer, shown.card_id, desk.at)
    if one is None:
        raise NotFound("This card is not in the deck any more. Open Study for the next one.")
    note = card_queries.note_of_card(session, shown.card_id)
    question = question_of(session, viewer, shown, note, one.card_kind)
    stored = demo_queries.prediction_by_token(session, viewer, shown.signature)
    mine = terms.terms_of(session, viewer)
    began = shown_at_ms or clock.milliseconds(desk.at)
    done = stored if stored is not None and stored.result is not None else None
    return CardView(
        token=token,
        card_id=shown.card_id,
        stage=stage,
        kind=one.card_kind,
        note=note,
        left=left or showing.left(session, viewer, desk.at, frontiers=desk.frontiers),
        topic=topic,
        asked=_asked(question) if question and done is None and desk.is_lab_ready else None,
        settled=views.settled(question.demo, done) if question and done else None,
        result=views.result_view(question.demo, parse(done.result)) if question and done and done.result else None,
        outcomes=showing.outcomes(one, shown, mine, desk.at),
        suggestion=_suggestion(done, (clock.milliseconds(desk.at) - began) / 1000),
        is_new=one.state.phase == "new",
        can_undo=queries.last_standing_event(session, viewer) is not None,
        keys_on=mine.keys_on,
        shown_at_ms=began,
        demo_link=_link(note, question),
        notice=notice,
    )


def question_of(session: Session, viewer: Viewer, shown: Shown, note: WholeNote, kind: str) -> Question | None:
    """The prediction that belongs to a card, with numbers drawn for this showing; both of two tabs draw the same."""
    key = next((card.key for card in note.cards if card.id == shown.card_id), note.line.slug)
    wanted = _wanted(note, key, kind)
    if wanted is None:
        return None
    slug, preset_slug, draw = wanted
    try:
        demo = demo_queries.demo(session, slug)
        preset = demo_predicting.with_draw(demo.preset(preset_slug), draw)
    except NotFound:
        return None
    if preset.prediction is None:
        return None
    stored = demo_queries.prediction_by_token(session, viewer, shown.signature)
    previous = queries.last_knobs(session, viewer, shown.card_id)
    drawn = stored.knobs if stored else demo_predicting.draw_knobs(preset, demo.defaults(), shown.seed, previous)
    return Question(shown.signature, shown.card_id, demo, preset_slug, drawn)


def _wanted(note: WholeNote, key: str, kind: str) -> tuple[str, str, dict[str, Any]] | None:
    if kind == "predict":
        entry = card_queries.prediction_of(note.note.front, _number(key))
        return (entry.demo, entry.preset, entry.draw) if entry else None
    if note.line.demo and note.line.preset:
        return note.line.demo, note.line.preset, {}
    return None


def _number(key: str) -> int:
    """1 for "dropout/predict", 2 for "dropout/predict-2"."""
    _, _, digits = key.rpartition("/predict-")
    return int(digits) if digits.isdigit() else 1


def _asked(question: Question) -> Asked:
    prediction = question.asked
    return Asked(demo_predicting.prompt(prediction, question.knobs), prediction, 0, question.knobs, None)


def _link(note: WholeNote, question: Question | None) -> str:
    if question is not None:
        return views.demo_link(question.demo.slug, question.preset_slug, question.knobs, question.demo)
    return f"/demos/{note.line.demo}?preset={note.line.preset}" if note.line.demo else ""


def _suggestion(stored: Prediction | None, seconds: float) -> Suggestion | None:
    """The stored grade with its reason made again, so that a reload says the same."""
    if stored is None or stored.suggested_rating is None:
        return None
    reasons = {
        Rating.AGAIN: "the run gave something else",
        Rating.HARD: "close, or slow",
        Rating.GOOD: "your prediction held",
        Rating.EASY: "right on the value, and quick",
    }
    rating = Rating(stored.suggested_rating)
    return predicting.Suggestion(rating, f"{rating.name.capitalize()}: {stored.misconception or reasons[rating]}")


def suggest(graded: demo_predicting.Graded, seconds: float, usual_seconds: float | None) -> int | None:
    found = predicting.suggest(graded.judgement, seconds, usual_seconds)
    return None if found is None else int(found.rating)


def ticked(values: Sequence[str]) -> list[int]:
    return sorted({int(value) for value in values if value.isdigit()})
