"""What a demonstration returns: data for pictures, claims, answers and the lines that ran (pure).

A `Result` crosses the border between worker and web as JSON. Non-finite numbers travel as the strings
"NaN", "Infinity" and "-Infinity" and come back as floats.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Meaning = Literal["train", "eval", "you", "measured", "refuted", "waiting", "neutral", "second", "third", "fourth"]
Scale = Literal["linear", "log"]
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
Scalar = Annotated[
    bool | int | float | str,
    BeforeValidator(lambda given: NON_FINITE.get(given, given) if isinstance(given, str) else given),
]


class Value(BaseModel):
    """Base of everything in a result: frozen, closed, NaN and infinities as strings in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Axis(Value):
    """``low`` and ``high`` fix the range (the same in panels that are compared); None fits the data."""

    name: str
    unit: str = ""
    scale: Scale = "linear"
    low: float | None = None
    high: float | None = None


class Mark(Value):
    """A labelled reference: a vertical line (x), a horizontal line (y), or a point (both)."""

    label: str
    x: float | None = None
    y: float | None = None
    meaning: Meaning = "neutral"


class Series(Value):
    """One line or cloud. ``low``/``high`` draw a named band (``band``) of the same length as y."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    meaning: Meaning = "neutral"
    style: Literal["line", "steps", "points", "line+points"] = "line"
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    band: str = ""
    quantity: str | None = None


class Drawn(Value):
    """What every figure has. ``alt`` says in a sentence what is seen, with this run's numbers."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: str
    alt: str
    caption: str = ""


class Lines(Drawn):
    kind: Literal["lines"] = "lines"
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    marks: tuple[Mark, ...] = ()


class BarGroup(Value):
    """One value per category; ``hatched`` marks bars that are dropped, masked or stored."""

    name: str
    values: tuple[float, ...]
    meaning: Meaning = "neutral"
    hatched: tuple[bool, ...] | None = None
    quantity: str | None = None


class Bars(Drawn):
    """Bars start at zero unless the axis is logarithmic. A histogram is bars whose categories are bin centres."""

    kind: Literal["bars"] = "bars"
    categories: tuple[str, ...]
    y: Axis
    groups: tuple[BarGroup, ...]
    marks: tuple[Mark, ...] = ()


class Heatmap(Drawn):
    """``values[row][column]``. Sequential for magnitudes; diverging only around ``centre``."""

    kind: Literal["heatmap"] = "heatmap"
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    row_name: str = ""
    column_name: str = ""
    unit: str = ""
    palette: Literal["sequential", "diverging"] = "sequential"
    low: float | None = None
    high: float | None = None
    centre: float = 0.0
    hatched: tuple[tuple[bool, ...], ...] | None = None
    show_values: bool = False
    quantity: str | None = None


class Arrow(Value):
    x: float
    y: float
    dx: float
    dy: float
    label: str = ""
    meaning: Meaning = "neutral"
    quantity: str | None = None


class Region(Value):
    """A closed outline such as a disc, a square or a convex hull, as its corner points."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    meaning: Meaning = "neutral"


class Field2d(Drawn):
    """A plane: points, arrows and outlined regions. ``square`` keeps one unit equal on both axes."""

    kind: Literal["field"] = "field"
    x: Axis
    y: Axis
    series: tuple[Series, ...] = ()
    arrows: tuple[Arrow, ...] = ()
    regions: tuple[Region, ...] = ()
    marks: tuple[Mark, ...] = ()
    square: bool = True


class TableFigure(Drawn):
    kind: Literal["table"] = "table"
    columns: tuple[str, ...]
    rows: tuple[tuple[Scalar | None, ...], ...]
    highlight: tuple[int, ...] = ()


class Node(Value):
    """``column`` and ``row`` place the node on a grid; ``value`` is printed inside or below it."""

    id: str
    label: str
    column: float
    row: float
    value: str = ""
    meaning: Meaning = "neutral"
    quantity: str | None = None


class Edge(Value):
    source: str
    target: str
    label: str = ""
    meaning: Meaning = "neutral"
    weight: float = 1.0


class Graph(Drawn):
    kind: Literal["graph"] = "graph"
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


class Picture(Value):
    """Grey levels, ``pixels[row][column]``."""

    label: str
    pixels: tuple[tuple[float, ...], ...]


class ImageGrid(Drawn):
    kind: Literal["images"] = "images"
    images: tuple[Picture, ...]
    low: float | None = None
    high: float | None = None


Panel = Annotated[Lines | Bars | Heatmap | Field2d | TableFigure | Graph | ImageGrid, Field(discriminator="kind")]


class SmallMultiples(Drawn):
    """Panels that are compared: give them the same axis ranges."""

    kind: Literal["multiples"] = "multiples"
    panels: tuple[Panel, ...]


Figure = Annotated[
    Lines | Bars | Heatmap | Field2d | TableFigure | Graph | ImageGrid | SmallMultiples, Field(discriminator="kind")
]


class Claim(Value):
    """A sentence that this run settles.

    ``holds`` is None outside the claim's domain of knobs, with ``domain`` saying why. ``id`` is stable across
    runs; cards refer to it.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    says: str
    holds: bool | None
    measured: Scalar
    expected: Scalar
    tolerance: float = 0.0
    domain: str = ""
    identity: bool = False
    quantity: str | None = None


class CodeLine(Value):
    """A line that carries the idea, with the live value that it produced beside it."""

    code: str
    value: str = ""
    quantity: str | None = None


class Result(Value):
    """``answers`` maps a name to the exact value that a prediction is graded against."""

    summary: str
    figures: tuple[Figure, ...]
    claims: tuple[Claim, ...]
    answers: dict[str, Scalar | tuple[Scalar, ...]]
    code: tuple[CodeLine, ...]
    versions: dict[str, str] = {}


def identity(
    id: str, says: str, measured: float, tolerance: float, *, expected: float = 0.0, domain: str = "", **more: Any
) -> Claim:
    """A closed form or structural fact: holds when ``|measured - expected| <= tolerance``.

    A non-empty ``domain`` says why the claim does not speak of these knobs: then holds is None.
    """
    return outcome(id, says, measured, expected, abs(measured - expected) <= tolerance, tolerance, domain, True, **more)


def outcome(
    id: str,
    says: str,
    measured: Scalar,
    expected: Scalar,
    holds: bool,
    tolerance: float = 0.0,
    domain: str = "",
    identity: bool = False,
    **more: Any,
) -> Claim:
    """A statement settled by a comparison that the caller makes."""
    return Claim(
        id=id,
        says=says,
        holds=None if domain else bool(holds),
        measured=measured,
        expected=expected,
        tolerance=tolerance,
        domain=domain,
        identity=identity,
        **more,
    )


def dump(value: Value) -> dict[str, Any]:
    """JSON-ready: plain dicts and lists, non-finite numbers as strings (only pydantic's JSON text writes them so)."""
    plain: dict[str, Any] = json.loads(value.model_dump_json())
    return plain


def finite(value: Any) -> Any:
    """The same plain value with numbers that are not finite as the strings NaN, Infinity and -Infinity."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def parse(data: dict[str, Any]) -> Result:
    return Result.model_validate(data)
