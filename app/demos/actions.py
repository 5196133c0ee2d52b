"""Changes: load the catalogue, start runs, store a prediction before its run and its result after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from sqlalchemy import case, delete, update
from sqlalchemy.orm import Session

from app.demos import predicting, queries, tables
from app.demos.queries import Described
from app.demos.runs import Runs
from app.demos.teaching import Prediction
from app.errors import BadInput, Conflict
from app.pool.job import JobSpec, Limits
from app.viewer import Viewer

STORED = Path(__file__).parent / "stored"
Answer = TypeVar("Answer")


class Writes(Protocol):
    async def run(self, work: Callable[[Session], Answer]) -> Answer:
        """One short transaction on the writer's thread."""
        ...


def load_catalogue(session: Session, render: Callable[[str], str], now: datetime, folder: Path = STORED) -> list[str]:
    """Rows of every described demo whose version changed; demos that are gone leave. Returns the changed slugs."""
    changed = []
    found = []
    for position, path in enumerate(sorted(folder.glob("*.json"))):
        found.append(path.stem)
        row = session.get(tables.Demo, path.stem)
        data = json.loads(path.read_text(encoding="utf-8"))
        if row is None or row.version != data["version"]:
            _replace(session, data, render, position, now)
            changed.append(path.stem)
    session.execute(delete(tables.StoredRun).where(tables.StoredRun.demo_slug.not_in(found)))
    session.execute(delete(tables.Demo).where(tables.Demo.slug.not_in(found)))
    return changed


def _replace(
    session: Session, data: dict[str, Any], render: Callable[[str], str], position: int, now: datetime
) -> None:
    session.merge(
        tables.Demo(
            slug=data["slug"],
            topic=data["topic"],
            title=data["title"],
            explanation_html=render(data["explanation"]),
            source_note=data["source_note"],
            source_html=highlight(data["source"], PythonLexer(), HtmlFormatter(cssclass="highlight", wrapcode=True)),
            schema=data["schema"],
            teaching=data["teaching"],
            version=data["version"],
            position=position,
        )
    )
    session.flush()
    session.execute(delete(tables.StoredRun).where(tables.StoredRun.demo_slug == data["slug"]))
    session.add_all(
        tables.StoredRun(demo_slug=data["slug"], preset=preset, version=data["version"], result=result, ran_at=now)
        for preset, result in data["results"].items()
    )
    session.flush()


def checked_knobs(demo: Described, given: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs with defaults filled in. Raises BadInput naming the knob and what it accepts."""
    try:
        return demo.knobs.model_validate(dict(given)).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "knobs"
        raise BadInput(f"{name}: {first['msg']}. {_accepts(demo, name)}", where=name) from None


def _accepts(demo: Described, name: str) -> str:
    prop = demo.schema["properties"].get(name)
    if prop is None:
        return f"The knobs are {', '.join(demo.schema['properties'])}."
    control = prop["control"]
    if "low" in control:
        return f"It takes {control['low']} to {control['high']}."
    return f"It takes {', '.join(prop['enum'])}." if "enum" in prop else "It is on or off."


def job_for(demo: Described, knobs: Mapping[str, Any], owner: str, limit_seconds: float, memory_mb: int) -> JobSpec:
    limits = Limits(seconds=limit_seconds, memory_mb=memory_mb)
    return JobSpec(demo.slug, dict(knobs), seed=int(knobs.get("seed", 0)), owner=owner, limits=limits, retries=1)


@dataclass(frozen=True, slots=True)
class Question:
    """A prediction as asked: the token it is stored under and the knobs drawn for it."""

    token: bytes
    card_id: int | None
    demo: Described
    preset_slug: str
    knobs: Mapping[str, Any]

    @property
    def asked(self) -> Prediction:
        """Raises BadInput when the preset asks for none."""
        prediction = self.demo.preset(self.preset_slug).prediction
        if prediction is None:
            raise BadInput(f"“{self.preset_slug}” asks for no prediction.")
        return prediction


def question_of_page(demo: Described, preset_slug: str, viewer: Viewer, turn: int) -> Question:
    """The demo page's own question; each turn draws other numbers, both of two tabs draw the same."""
    digest = hashlib.sha256(f"{viewer.id} {demo.slug} {preset_slug} {turn}".encode()).digest()
    knobs = predicting.draw_knobs(demo.preset(preset_slug), demo.defaults(), int.from_bytes(digest[16:22], "big"))
    return Question(digest[:16], None, demo, preset_slug, knobs)


def store_prediction(
    session: Session, viewer: Viewer, question: Question, value: Any | None, at: datetime
) -> tables.Prediction:
    """Once for a token: the same prediction again is the stored one, another one a Conflict."""
    stored = queries.prediction_by_token(session, viewer, question.token)
    if stored is None:
        stored = tables.Prediction(
            token=question.token,
            user_id=viewer.id,
            card_id=question.card_id,
            demo=question.demo.slug,
            preset=question.preset_slug,
            knobs=dict(question.knobs),
            answer=question.asked.answer,
            value=value,
            skipped=value is None,
            created_at=at,
        )
        session.add(stored)
        session.flush()
    if stored.value != value:
        raise Conflict("A prediction was stored for this question already. Grade it, or undo to be asked again.")
    return stored


def store_result(
    session: Session,
    viewer: Viewer,
    prediction_id: int,
    result: Mapping[str, Any],
    graded: predicting.Graded,
    suggested_rating: int | None = None,
) -> tables.Prediction:
    """Once: a run that was repeated changes nothing; one that was skipped is not judged. Raises NotFound."""
    judgement = graded.judgement
    session.execute(
        update(tables.Prediction)
        .where(
            tables.Prediction.id == prediction_id,
            tables.Prediction.user_id == viewer.id,
            tables.Prediction.result.is_(None),
        )
        .values(
            result=dict(result),
            measured=graded.measured,
            correct=case((tables.Prediction.skipped, None), else_=judgement.is_right),
            error=case((tables.Prediction.skipped, None), else_=judgement.error),
            band=judgement.band,
            misconception=case((tables.Prediction.skipped, None), else_=judgement.misconception),
            suggested_rating=suggested_rating,
        )
    )
    return queries.prediction(session, viewer, prediction_id)


@dataclass(frozen=True, slots=True)
class Lab:
    """What it takes to settle a prediction: the pool's runs, the writer, and the limits of a run."""

    runs: Runs
    writes: Writes
    limit_seconds: float
    memory_mb: int

    async def measure(self, demo: Described, knobs: Mapping[str, Any], owner: str) -> Mapping[str, Any]:
        """Runs and waits; leaves the pool at once when the caller is cancelled."""
        run = self.runs.start(job_for(demo, knobs, owner, self.limit_seconds, self.memory_mb))
        return await self.runs.finish(run, self.limit_seconds + 5)

    async def settle(
        self,
        viewer: Viewer,
        question: Question,
        value: Any | None,
        at: datetime,
        suggest: Callable[[predicting.Graded], int | None] = lambda _: None,
    ) -> tables.Prediction:
        """Stores the prediction, then runs, then stores what was measured. A failed run may be repeated."""
        stored = await self.writes.run(lambda session: store_prediction(session, viewer, question, value, at))
        if stored.result is not None:
            return stored
        result = await self.measure(question.demo, question.knobs, owner_of(viewer))
        graded = predicting.grade(question.asked, numbers(result["answers"]), value)
        rating = suggest(graded) if value is not None else None
        return await self.writes.run(lambda session: store_result(session, viewer, stored.id, result, graded, rating))


def numbers(answers: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's words for what is not finite, as floats again."""
    words = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
    return {name: words.get(value, value) if isinstance(value, str) else value for name, value in answers.items()}


def owner_of(viewer: Viewer) -> str:
    return f"user-{viewer.id}"
