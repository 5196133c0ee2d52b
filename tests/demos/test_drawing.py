"""Figures become shapes: inside the picture, broken at NaN, with a table that holds the same numbers."""

from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.demos import views
from app.demos.actions import STORED
from app.demos.drawing import draw
from app.demos.drawing.comparison import comparison
from app.demos.drawing.scene import Ruler, ticks
from app.demos.result import Axis, BarGroup, Bars, Edge, Graph, Heatmap, Lines, Node, Series, parse
from app.web.numbers import number

DESCRIBED = sorted(STORED.glob("*.json"))
NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(st.lists(NUMBERS, min_size=1, max_size=20), st.sampled_from(["linear", "log"]))
def test_any_numbers_can_be_drawn(values: list[float], scale: str) -> None:
    xs = tuple(float(index) for index in range(len(values)))
    axis = Axis(name="y", scale=scale)  # type: ignore[arg-type]
    figure = Lines(
        id="a", title="t", alt="a", x=Axis(name="x"), y=axis, series=(Series(name="s", x=xs, y=tuple(values)),)
    )
    text = json.dumps([shape.attributes for shape in draw(figure).shapes])
    assert "NaN" not in text
    assert "Infinity" not in text


def test_a_line_breaks_where_a_number_is_missing() -> None:
    series = Series(name="s", x=(0, 1, 2, 3), y=(1, math.nan, 2, 3))
    figure = Lines(id="a", title="t", alt="a", x=Axis(name="x"), y=Axis(name="y"), series=(series,))
    path = next(shape for shape in draw(figure).shapes if shape.classes.startswith("line"))
    assert str(path.attributes["d"]).count("M") == 2


def test_bars_start_at_zero() -> None:
    figure = Bars(
        id="a",
        title="t",
        alt="a",
        categories=("x", "y"),
        y=Axis(name="y"),
        groups=(BarGroup(name="g", values=(5.0, 6.0)),),
    )
    heights = [float(shape.attributes["height"]) for shape in draw(figure).shapes if shape.classes.startswith("bar")]
    assert heights[0] / heights[1] == pytest.approx(5 / 6, rel=1e-3)


def test_a_bar_that_is_not_finite_says_so() -> None:
    figure = Bars(
        id="a",
        title="t",
        alt="a",
        categories=("x", "y"),
        y=Axis(name="y"),
        groups=(BarGroup(name="g", values=(math.nan, 1.0)),),
    )
    assert "NaN" in {shape.text for shape in draw(figure).shapes}


def test_a_diverging_map_is_symmetric_around_its_centre() -> None:
    figure = Heatmap(
        id="a",
        title="t",
        alt="a",
        rows=("r",),
        columns=("x", "y", "z"),
        values=((-1.0, 0.0, 4.0),),
        palette="diverging",
    )
    steps = [shape.classes for shape in draw(figure).shapes if shape.classes.startswith("cell")][:3]
    assert steps == ["cell d-4", "cell d-5", "cell d-10"]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_lie_inside_and_are_few(low: float, span: float) -> None:
    scale = Ruler(low, low + span, 0, 100)
    found = ticks(scale)
    assert len(found) <= 12
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in found)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.857142, "2.857"),
        (0, "0"),
        (-0.5, "−0.5"),
        (1e-12, "1e−12"),
        (123456.0, "123456"),
        (True, "yes"),
        (math.inf, "∞"),
    ],
)
def test_numbers_have_the_digits_that_are_meant(value: float, text: str) -> None:
    assert number(value) == text


def test_you_and_measured_stand_in_one_picture() -> None:
    scene = comparison(1.4, 2.857, "", 0.03)
    assert scene is not None
    words = {shape.text for shape in scene.shapes}
    assert {"you 1.4", "measured 2.857"} <= words
    you = next(shape for shape in scene.shapes if "m-you" in shape.classes and shape.tag == "circle")
    measured = next(shape for shape in scene.shapes if shape.classes == "point m-measured")
    assert float(you.attributes["cx"]) < float(measured.attributes["x"])


def test_a_prediction_that_is_not_finite_is_no_point() -> None:
    assert comparison(1.0, math.inf, "", 0.0) is None
    scene = comparison(math.nan, 1.0, "", 0.0)
    assert scene is not None
    assert not any(shape.tag == "circle" for shape in scene.shapes)


@pytest.mark.parametrize("path", DESCRIBED, ids=lambda path: path.stem)
def test_every_stored_figure_is_drawn_inside_its_picture_with_a_table(path) -> None:  # type: ignore[no-untyped-def]
    for preset, data in json.loads(path.read_text(encoding="utf-8"))["results"].items():
        for figure in parse(data).figures:
            _check(views.figure_view(figure), preset)


def _check(view: views.FigureView, preset: str) -> None:
    assert view.figure.alt and view.figure.title
    if view.panels:
        for panel in view.panels:
            _check(panel, preset)
        return
    may_be_empty = ("ImageGrid", "TableFigure")  # a table without rows is left out of the page
    assert view.rows or view.figure.__class__.__name__ in may_be_empty, (preset, view.figure.id)
    if view.scene is None:
        return
    for shape in view.scene.shapes:
        for name in ("x", "cx"):
            place = shape.attributes.get(name, 0.0)
            assert -20 <= float(place) <= view.scene.width + 20, (preset, view.figure.id, shape)


@pytest.mark.parametrize("units", [2, 4, 8])
def test_labels_of_crossing_edges_do_not_meet(units: int) -> None:
    nodes = [Node(id=f"{side}{i}", label="", column=1.6 * side, row=i) for side in (0, 1) for i in range(units)]
    edges = [Edge(source=f"0{i}", target=f"1{j}", label="0.000") for i in range(units) for j in range(min(3, units))]
    scene = draw(Graph(id="a", title="t", alt="a", nodes=nodes, edges=edges))
    places = [(shape.attributes["x"], shape.attributes["y"]) for shape in scene.shapes if shape.text == "0.000"]
    close = [
        (one, two)
        for one, two in itertools.combinations(places, 2)
        if abs(float(one[0]) - float(two[0])) < 30 and abs(float(one[1]) - float(two[1])) < 12
    ]
    assert len(places) == len(edges)
    assert not close
