"""What the templates print: controls, the result with its drawings, the comparison with a prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from app.demos import predicting
from app.demos.drawing import draw
from app.demos.drawing.comparison import comparison
from app.demos.drawing.scene import WIDTH, Scene, panel_width
from app.demos.queries import Described
from app.demos.result import Claim, CodeLine, Drawn, Result, SmallMultiples, TableFigure
from app.demos.tables import Prediction as StoredPrediction
from app.errors import NotFound
from app.web.numbers import number


@dataclass(frozen=True, slots=True)
class Control:
    """One knob as a form field. ``slider`` holds the range's ends, as powers of ten when ``log``."""

    name: str
    label: str
    kind: str
    value: Any
    help: str
    more: bool
    unit: str = ""
    low: float = 0
    high: float = 0
    step: float | str = "any"
    log: bool = False
    options: tuple[str, ...] = ()
    columns: int = 1
    labels: tuple[str, ...] = ()


def controls(demo: Described, knobs: Mapping[str, Any]) -> list[Control]:
    return [_control(name, prop, knobs[name]) for name, prop in demo.schema["properties"].items()]


def _control(name: str, prop: Mapping[str, Any], value: Any) -> Control:
    spec = prop["control"]
    return Control(
        name=name,
        label=name.replace("_", " "),
        kind=spec["kind"],
        value=value,
        help=prop.get("description", ""),
        more=bool(spec.get("more")),
        unit=spec.get("unit", ""),
        low=spec.get("low", 0),
        high=spec.get("high", 0),
        step=spec.get("step") or "any",
        log=bool(spec.get("log")),
        options=tuple(prop.get("enum", ())),
        columns=spec.get("columns", 1),
        labels=tuple(spec.get("labels", ())),
    )


@dataclass(frozen=True, slots=True)
class FigureView:
    """A figure with its scene (None for tables and multiples) and the panels of small multiples."""

    figure: Drawn
    scene: Scene | None
    panels: tuple[FigureView, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def figure_view(figure: Drawn, width: float = WIDTH) -> FigureView:
    """``width`` in units; the panels of small multiples are drawn smaller, so that their text is not."""
    drawn_smaller = figure.panels if isinstance(figure, SmallMultiples) else ()
    panels = tuple(figure_view(panel, panel_width(len(drawn_smaller))) for panel in drawn_smaller)
    scene = None if isinstance(figure, SmallMultiples | TableFigure) else draw(figure, width)
    columns, rows = table_of(figure)
    return FigureView(figure, scene, panels, columns, rows)


def table_of(figure: Any) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The numbers behind a picture, as text that can be copied."""
    match figure.__class__.__name__:
        case "TableFigure":
            return figure.columns, tuple(tuple(number(cell) for cell in row) for row in figure.rows)
        case "Lines" | "Field2d":
            rows = [
                (one.name, number(x), number(y)) for one in figure.series for x, y in zip(one.x, one.y, strict=True)
            ]
            rows += [(a.label, number(a.dx), number(a.dy)) for a in getattr(figure, "arrows", ())]
            return ("", figure.x.name, figure.y.name), tuple(rows)
        case "Bars":
            names = ("", *(group.name for group in figure.groups))
            cells = [(name, *(number(g.values[i]) for g in figure.groups)) for i, name in enumerate(figure.categories)]
            return names, tuple(cells)
        case "Heatmap":
            grid = [(name, *map(number, row)) for name, row in zip(figure.rows, figure.values, strict=True)]
            return (figure.row_name, *figure.columns), tuple(grid)
        case "Graph":
            return ("node", "value"), tuple((node.label, node.value) for node in figure.nodes)
    return (), ()


@dataclass(frozen=True, slots=True)
class ResultView:
    """A result ready to print. ``stored`` says that it was computed earlier; ``formulas`` maps quantity → LaTeX."""

    summary: str
    figures: tuple[FigureView, ...]
    claims: tuple[Claim, ...]
    code: tuple[CodeLine, ...]
    versions: Mapping[str, str]
    stored: bool
    formulas: Mapping[str, str]


def result_view(demo: Described, result: Result, *, stored: bool = False, hides: Sequence[str] = ()) -> ResultView:
    """``hides`` names figures to leave out; with any, the sentences and numbers are left out as well."""
    shown = (figure for figure in result.figures if figure.id not in hides)
    figures = tuple(figure_view(figure) for figure in shown if not isinstance(figure, TableFigure) or figure.rows)
    if hides:
        return ResultView("", figures, (), (), result.versions, stored, {})
    formulas = demo.teaching.formulas
    return ResultView(result.summary, figures, result.claims, result.code, result.versions, stored, formulas)


@dataclass(frozen=True, slots=True)
class Settled:
    """A prediction beside what ran. ``scene`` is None for what is no number."""

    prompt: str
    you: str
    measured: str
    unit: str
    skipped: bool
    correct: bool
    gap: str
    misconception: str
    restate: str
    scene: Scene | None
    link: str


def settled(demo: Described, stored: StoredPrediction) -> Settled:
    """Works only on a prediction whose run is done. Raises NotFound when the demo does not ask this any more."""
    asked = demo.preset(stored.preset).prediction
    if asked is None:
        raise NotFound(f"“{demo.title}” does not ask for {stored.preset} any more.")
    return Settled(
        prompt=predicting.prompt(asked, stored.knobs),
        you=words(stored.value),
        measured=words(stored.measured),
        unit=asked.unit,
        skipped=stored.skipped,
        correct=bool(stored.correct),
        gap=number(stored.error) if stored.error is not None else "",
        misconception=stored.misconception or "",
        restate=asked.restate.format(**stored.knobs) if asked.restate else "",
        scene=marks(demo, stored),
        link=demo_link(demo.slug, stored.preset, stored.knobs, demo),
    )


def marks(demo: Described, stored: StoredPrediction) -> Scene | None:
    """Prediction and measurement on one line; None for what is no number, or is not asked any more."""
    preset = demo.teaching.preset(stored.preset)
    truth: Any = stored.measured
    if preset is None or preset.prediction is None or isinstance(truth, bool) or not isinstance(truth, int | float):
        return None
    guess = float(stored.value) if isinstance(stored.value, int | float) else None
    return comparison(guess, float(truth), preset.prediction.unit, predicting.band(preset.prediction, truth))


def words(value: Any) -> str:
    """A prediction or an answer as a person reads it."""
    if isinstance(value, list | tuple):
        return " → ".join(map(words, value))
    return number(value) if value is not None else "no prediction"


def demo_link(slug: str, preset: str, knobs: Mapping[str, Any], demo: Described) -> str:
    """The address of exactly this picture: only what differs from the preset travels."""
    own = demo.defaults() | demo.preset(preset).knobs
    changed = [(name, _text(value)) for name, value in knobs.items() if _text(value) != _text(own.get(name))]
    return f"/demos/{slug}?{urlencode([('preset', preset), *changed, ('play', '1')])}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return (
        " ".join(map(_text, value))
        if isinstance(value, list | tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def knobs_from(items: Sequence[tuple[str, str]], demo: Described) -> dict[str, Any]:
    """Knobs out of a query or a form: lists as repeated names or one text with spaces; unknown names are left."""
    given: dict[str, list[str]] = {}
    for name, text in items:
        given.setdefault(name, []).append(text)
    known = demo.schema["properties"]
    return {name: _read(known[name]["control"]["kind"], texts) for name, texts in given.items() if name in known}


def _read(kind: str, texts: list[str]) -> Any:
    if kind in ("numbers", "several"):
        return [part for text in texts for part in text.replace(",", " ").split()]
    return texts[-1]
