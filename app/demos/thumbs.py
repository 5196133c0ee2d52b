"""Small true pictures: one for each preset in the strip of a demo, one for each demo on the wall.

Neither gives away what a preset asks for; a preset whose pictures all would has none.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup
from sqlalchemy.orm import Session

from app.demos import queries, views
from app.demos.queries import Described
from app.demos.result import Result
from app.demos.teaching import Preset
from app.demos.views import FigureView
from app.web import render

MOST_SHAPES = 220


@dataclass(frozen=True, slots=True)
class Thumb:
    preset: Preset
    picture: Markup | None


def strip(session: Session, demo: Described) -> tuple[Thumb, ...]:
    """In the order of the presets. Drawn once for each set of stored runs."""
    key = (demo.slug, *queries.stored_versions(session, demo.slug))
    if key not in _strips:
        _strips[key] = tuple(Thumb(preset, _drawn(session, demo, preset)) for preset in demo.teaching.presets)
    return _strips[key]


_strips: dict[tuple[str, ...], tuple[Thumb, ...]] = {}


def hidden(preset: Preset, result: Result) -> tuple[str, ...]:
    """Ids of the figures that wait for a prediction; all of them when the preset asks for one and names none."""
    return preset.hides or (tuple(figure.id for figure in result.figures) if preset.prediction else ())


def open_picture(session: Session, demo: Described, preset: Preset, most_shapes: int = 10_000) -> FigureView | None:
    """The first stored picture that gives nothing away and has at most so many shapes."""
    result = queries.stored_result(session, demo.slug, preset.slug)
    if result is None:
        return None
    closed = hidden(preset, result)
    figures = (one for one in result.figures if one.id not in closed and one.kind not in ("table", "multiples"))
    drawn = (views.figure_view(figure) for figure in figures)
    return next((view for view in drawn if view.scene and len(view.scene.shapes) <= most_shapes), None)


def _drawn(session: Session, demo: Described, preset: Preset) -> Markup | None:
    view = open_picture(session, demo, preset, MOST_SHAPES)
    return None if view is None else Markup(render.text("demos/_thumb.html", {"scene": view.scene}))
