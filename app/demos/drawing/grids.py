"""Heat maps, images and graphs (pure). Colour is a class of eleven steps, so that dark mode can redefine it."""

from __future__ import annotations

import math

from app.demos.drawing.scene import LINE_HEIGHT, WIDTH, Canvas, Frame, Scene, text_width, wrapped
from app.demos.result import Edge, Graph, Heatmap, ImageGrid, Node, Picture
from app.web.numbers import number

STEPS = 10
RADIUS, TALL = 18.0, 84.0
# Shares of an edge at which its label may stand, from the middle outwards.
SPOTS = (0.5, *(0.5 + side * step / 20 for step in range(1, 5) for side in (-1, 1)))

Place = tuple[float, float]
Places = dict[str, Place]
Ends = tuple[Place, Place]
Box = tuple[float, float, float, float]  # left, top, right, bottom


def heatmap(figure: Heatmap, width: float = WIDTH) -> Scene:
    canvas = Canvas()
    low, high = _range(figure)
    names = [*figure.rows, number(low, 3)]
    left = 8 + max(map(text_width, names))
    columns, rows = max(1, len(figure.columns)), max(1, len(figure.rows))
    cell = min((width - left - 8) / columns, 40.0, max(10.0, 290.0 / rows))
    frame = Frame(left, 30, left + cell * columns, 30 + cell * rows)
    for i, row in enumerate(figure.values):
        for j, value in enumerate(row):
            _cell(canvas, figure, frame, cell, i, j, value, _step(value, low, high, figure))
    _names(canvas, figure, frame, cell)
    ramp_end = _ramp(canvas, figure, frame, low, high)
    reach = max(frame.right + 4, ramp_end, text_width(_axes_name(figure)) + 4)
    return Scene(min(reach, width), frame.bottom + 24, tuple(canvas.shapes))


def _range(figure: Heatmap) -> tuple[float, float]:
    finite = [value for row in figure.values for value in row if math.isfinite(value)] or [0.0]
    low = figure.low if figure.low is not None else min(finite)
    high = figure.high if figure.high is not None else max(finite)
    if figure.palette == "diverging":
        reach = max(abs(low - figure.centre), abs(high - figure.centre)) or 1.0
        return figure.centre - reach, figure.centre + reach
    return (low, high) if high > low else (low, low + 1.0)


def _step(value: float, low: float, high: float, figure: Heatmap) -> str:
    if not math.isfinite(value):
        return "q-none"
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    return f"{'d' if figure.palette == 'diverging' else 'q'}-{round(share * STEPS)}"


def ground(step: str) -> str:
    """Which of three text colours is legible on a cell of this step, in both schemes."""
    family, _, place = step.partition("-")
    if not place.isdigit():
        return ""
    depth = 2 * abs(int(place) - STEPS // 2) if family == "d" else int(place)
    return "on-low" if depth <= 4 else "on-middle" if depth <= (8 if family == "d" else 6) else "on-high"


def _cell(canvas: Canvas, figure: Heatmap, frame: Frame, cell: float, i: int, j: int, value: float, step: str) -> None:
    x, y = frame.left + j * cell, frame.top + i * cell
    row, column = figure.rows[i], figure.columns[j]
    hatched = figure.hatched is not None and figure.hatched[i][j]
    title = f"{figure.row_name} {row}, {figure.column_name} {column}: {number(value)} {figure.unit}".strip()
    canvas.add(
        "rect",
        f"cell {step}{' masked' if hatched else ''}",
        x=x,
        y=y,
        width=cell - 0.6,
        height=cell - 0.6,
        title=title,
        quantity=figure.quantity,
    )
    if hatched:
        canvas.add("path", "hatch", d=f"M{x:.1f} {y + cell - 0.6:.1f}L{x + cell - 0.6:.1f} {y:.1f}")
    if figure.show_values and cell >= 26:
        text = number(value, 2)
        canvas.add(
            "text",
            f"value middle {'on-low' if hatched else ground(step)}",
            x=x + cell / 2,
            y=y + cell / 2 + 3,
            text=text if len(text) <= 5 else number(value, 1),
        )


def _names(canvas: Canvas, figure: Heatmap, frame: Frame, cell: float) -> None:
    every_row = max(1, math.ceil(12 / cell))
    for i, name in enumerate(figure.rows):
        if i % every_row == 0:
            canvas.add("text", "tick end", x=frame.left - 5, y=frame.top + (i + 0.5) * cell + 3.5, text=name)
    widest = max(map(text_width, figure.columns), default=8.0)
    every_column = max(1, math.ceil((widest + 3) / cell))
    for j, name in enumerate(figure.columns):
        if j % every_column == 0:
            canvas.add("text", "tick middle", x=frame.left + (j + 0.5) * cell, y=frame.top - 5, text=name)
    canvas.add(
        "text",
        "name",
        x=2.0,
        y=11.0,
        text=_axes_name(figure),
    )


def _axes_name(figure: Heatmap) -> str:
    return f"{figure.row_name} ↓  {figure.column_name} →" if figure.column_name else figure.row_name


def _ramp(canvas: Canvas, figure: Heatmap, frame: Frame, low: float, high: float) -> float:
    """The scale itself, as eleven little squares with the values at its ends; returns where it ends."""
    family = "d" if figure.palette == "diverging" else "q"
    top, start = frame.bottom + 12, frame.left
    for step in range(STEPS + 1):
        canvas.add("rect", f"cell {family}-{step}", x=start + step * 9.0, y=top, width=9.0, height=8.0)
    canvas.add("text", "tick end", x=start - 4, y=top + 8, text=number(low, 3))
    upper = f"{number(high, 3)} {figure.unit}".strip()
    canvas.add("text", "tick", x=start + 103.0, y=top + 8, text=upper)
    return start + 105.0 + text_width(upper)


def images(figure: ImageGrid, width: float = WIDTH) -> Scene:
    canvas = Canvas()
    across = min(4, max(1, len(figure.images)))
    size = (width - 8 * (across - 1)) / across
    low = figure.low if figure.low is not None else min((_least(one) for one in figure.images), default=0.0)
    high = figure.high if figure.high is not None else max((_most(one) for one in figure.images), default=1.0)
    tallest = 0.0
    for index, one in enumerate(figure.images):
        x, y = (index % across) * (size + 8), (index // across) * (size + 24)
        tallest = max(tallest, y + size + 20)
        _image(canvas, one, x, y, size, low, high if high > low else low + 1)
    return Scene(width, tallest, tuple(canvas.shapes))


def _least(one: Picture) -> float:
    return min((value for row in one.pixels for value in row if math.isfinite(value)), default=0.0)


def _most(one: Picture) -> float:
    return max((value for row in one.pixels for value in row if math.isfinite(value)), default=1.0)


def _image(canvas: Canvas, one: Picture, x: float, y: float, size: float, low: float, high: float) -> None:
    dot = size / max(1, len(one.pixels), *(len(row) for row in one.pixels))
    for i, row in enumerate(one.pixels):
        for j, value in enumerate(row):
            share = min(1.0, max(0.0, (value - low) / (high - low))) if math.isfinite(value) else 0.0
            title = f"row {i}, column {j}: {number(value)}"
            canvas.add(
                "rect",
                f"cell q-{round(share * STEPS)}",
                x=x + j * dot,
                y=y + i * dot,
                width=dot + 0.05,
                height=dot + 0.05,
                title=title,
            )
    canvas.add("text", "tick", x=x, y=y + size + 14, text=one.label)


def graph(figure: Graph) -> Scene:
    """Columns wide enough for what stands under the nodes and on the edges."""
    canvas = Canvas()
    columns = [node.column for node in figure.nodes] or [0.0]
    rows = [node.row for node in figure.nodes] or [0.0]
    under = max((text_width(line) for node in figure.nodes for line in wrapped(node.value, 8)), default=0.0)
    between = max((text_width(edge.label) for edge in figure.edges), default=0.0) + 2 * RADIUS
    wide = max(under, between, 60.0) + 10
    margin = max(under / 2, RADIUS) + 6
    places = {n.id: (margin + (n.column - min(columns)) * wide, 28 + (n.row - min(rows)) * TALL) for n in figure.nodes}
    for edge in figure.edges:
        _edge(canvas, edge, places)
    _edge_labels(canvas, figure, places)
    for node in figure.nodes:
        _node(canvas, node, *places[node.id])
    width = 2 * margin + (max(columns) - min(columns)) * wide
    return Scene(width, 82 + (max(rows) - min(rows)) * TALL, tuple(canvas.shapes))


def _edge(canvas: Canvas, edge: Edge, places: Places) -> None:
    (a, b), (c, d) = places[edge.source], places[edge.target]
    canvas.add(
        "path",
        f"edge m-{edge.meaning}",
        d=f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}",
        title=f"{edge.source} → {edge.target} {edge.label}".strip(),
    )


def _edge_labels(canvas: Canvas, figure: Graph, places: Places) -> None:
    """Each label stands on its own edge, at the spot where it covers the fewest other texts and edges."""
    fixed = [box for node in figure.nodes for box in _node_boxes(node, *places[node.id])]
    ends = [(places[edge.source], places[edge.target]) for edge in figure.edges]
    chosen: dict[int, Box] = {}
    for index in [*range(len(ends))] * 2:  # the second time round a label sees those that came after it
        label = figure.edges[index].label
        if label:
            taken = [*fixed, *(box for other, box in chosen.items() if other != index)]
            if index in chosen and not any(_meet(chosen[index], one) for one in taken):
                continue
            chosen[index] = _best_spot(label, ends[index], taken, ends[:index] + ends[index + 1 :])
    for index, (left, top, right, bottom) in chosen.items():
        x, y = (left + right) / 2, (top + bottom) / 2 + 4
        canvas.add("text", "tick middle halo", x=x, y=y, text=figure.edges[index].label)


def _best_spot(label: str, ends: Ends, taken: list[Box], edges: list[Ends]) -> Box:
    (a, b), (c, d) = ends
    half = text_width(label) / 2
    found, least = (0.0, 0.0, 0.0, 0.0), math.inf
    for share in SPOTS:
        box = _box(a + (c - a) * share, b + (d - b) * share, half)
        covered = 20 * sum(_meet(box, one) for one in taken)
        if covered < least:
            covered += _crossed(box, edges)
        if covered < least:
            found, least = box, covered
        if not covered:
            break
    return found


def _box(x: float, y: float, half: float) -> Box:
    return x - half, y - LINE_HEIGHT / 2, x + half, y + LINE_HEIGHT / 2


def _node_boxes(node: Node, x: float, y: float) -> list[Box]:
    """The circle, and the lines of text under it."""
    lines = wrapped(node.value, 8) if node.value else ()
    under = [_box(x, y + RADIUS + 10 + LINE_HEIGHT * i, text_width(line) / 2) for i, line in enumerate(lines)]
    return [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS), *under]


def _meet(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def _crossed(box: Box, edges: list[Ends]) -> int:
    """How many edges pass through a box."""
    left, top, right, bottom = box
    crossed = 0
    for (a, b), (c, d) in edges:
        near, far = max(left, min(a, c)), min(right, max(a, c))
        if near <= far:
            ends = (b, d) if a == c else tuple(b + (d - b) * (x - a) / (c - a) for x in (near, far))
            crossed += min(ends) < bottom and top < max(ends)
    return crossed


def _node(canvas: Canvas, node: Node, x: float, y: float) -> None:
    title = f"{node.label}: {node.value}" if node.value else node.label
    canvas.add("circle", f"node m-{node.meaning}", cx=x, cy=y, r=RADIUS, title=title, quantity=node.quantity)
    canvas.add("text", "value middle", x=x, y=y + 4, text=node.label)
    for index, line in enumerate(wrapped(node.value, 8) if node.value else ()):
        canvas.add("text", "tick middle halo", x=x, y=y + RADIUS + 14 + LINE_HEIGHT * index, text=line)
