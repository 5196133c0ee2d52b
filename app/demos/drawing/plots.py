"""Lines, bars and planes (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain

from app.demos.drawing.scene import (
    LINE_HEIGHT,
    WIDTH,
    Canvas,
    Frame,
    Key,
    Ruler,
    Scene,
    height_of,
    room_for_ticks,
    ruler,
    text_width,
    wrapped,
)
from app.demos.result import BarGroup, Bars, Field2d, Lines, Mark, Series
from app.web.numbers import number

DIRECT_LABELS = 5
WIDEST_GROUP = 96.0
MARKED_POINTS = 24


def lines(figure: Lines, width: float = WIDTH) -> Scene:
    height = height_of(width)
    direct = _labelled_directly(figure.series)
    names = [line for one in figure.series for line in wrapped(one.name)]
    right = width - (max(map(text_width, names), default=0.0) + 8 if direct else 8)
    ys = chain(
        *(chain(one.y, one.low or (), one.high or ()) for one in figure.series),
        (m.y for m in figure.marks if m.y is not None),
    )
    y = ruler(figure.y, ys, height - 36, 24)
    frame = Frame(room_for_ticks(y), 24, right, height - 36)
    canvas = Canvas()
    x = ruler(
        figure.x,
        chain(*(one.x for one in figure.series), (m.x for m in figure.marks if m.x is not None)),
        frame.left,
        frame.right,
    )
    canvas.axes(frame, x, y, figure.x, figure.y)
    for one in figure.series:
        _series(canvas, one, x, y)
    _marks(canvas, figure.marks, frame, x, y)
    if direct:
        _end_labels(canvas, figure.series, frame, y)
    keys = (
        ()
        if direct
        else tuple(Key(one.name, one.meaning, "point" if one.style == "points" else "line") for one in figure.series)
    )
    return Scene(width, height, tuple(canvas.shapes), keys)


def _labelled_directly(series: tuple[Series, ...]) -> bool:
    return 1 < len(series) <= DIRECT_LABELS and all(len(one.name) <= 26 and one.style != "points" for one in series)


def _series(canvas: Canvas, one: Series, x: Ruler, y: Ruler) -> None:
    if one.low is not None and one.high is not None:
        canvas.add("path", f"band m-{one.meaning}", d=_band(one, x, y), title=one.band)
    if one.style != "points":
        path = _path(one, x, y, steps=one.style == "steps")
        canvas.add("path", f"line m-{one.meaning}", d=path, title=one.name, quantity=one.quantity)
    if one.style in ("points", "line+points"):
        for a, b in zip(one.x, one.y, strict=True):
            _point(
                canvas,
                f"point m-{one.meaning}",
                x.at(a),
                y.at(b),
                f"{one.name}: {number(a)}, {number(b)}",
                one.quantity,
                is_alone=one.style == "points" or len(one.x) <= MARKED_POINTS,
            )


def _point(
    canvas: Canvas,
    classes: str,
    x: float | None,
    y: float | None,
    title: str,
    quantity: str | None = None,
    is_alone: bool = True,
) -> None:
    """One of many on a line is drawn smaller than one that stands alone."""
    if x is not None and y is not None:
        canvas.add("circle", classes, cx=x, cy=y, r=3.0 if is_alone else 1.8, title=title, quantity=quantity)


def _path(one: Series, x: Ruler, y: Ruler, *, steps: bool) -> str:
    """A value that is not finite breaks the line."""
    parts: list[str] = []
    pen_down = False
    for a, b in zip(one.x, one.y, strict=True):
        across, up = x.at(a), y.at(b)
        if across is None or up is None:
            pen_down = False
            continue
        move = f"H{across:.1f}V{up:.1f}" if steps and pen_down else f"{'L' if pen_down else 'M'}{across:.1f} {up:.1f}"
        parts.append(move)
        pen_down = True
    return "".join(parts) or "M0 0"


def _band(one: Series, x: Ruler, y: Ruler) -> str:
    there = [(x.at(a), y.at(b)) for a, b in zip(one.x, one.high or (), strict=True)]
    back = [(x.at(a), y.at(b)) for a, b in zip(reversed(one.x), reversed(one.low or ()), strict=True)]
    points = [f"{a:.1f} {b:.1f}" for a, b in [*there, *back] if a is not None and b is not None]
    return f"M{'L'.join(points)}Z" if points else "M0 0"


def _marks(canvas: Canvas, marks: Iterable[Mark], frame: Frame, x: Ruler | None, y: Ruler) -> None:
    taken: list[float] = []
    for index, mark in enumerate(marks):
        across = x.at(mark.x) if x and mark.x is not None else None
        up = y.at(mark.y) if mark.y is not None else None
        if across is not None and up is not None:
            _point(canvas, f"point m-{mark.meaning}", across, up, mark.label)
            canvas.add("text", f"direct t-{mark.meaning}", x=across + 6, y=up - 5, text=mark.label)
        elif across is not None:
            canvas.add("path", f"mark m-{mark.meaning}", d=f"M{across:.1f} {frame.top:.1f}V{frame.bottom:.1f}")
            near_end = across > (frame.left + frame.right) / 2
            place = across - 4 if near_end else across + 4
            canvas.add(
                "text",
                f"direct t-{mark.meaning}{' end' if near_end else ''}",
                x=place,
                y=frame.top + 9 + 12 * (index % 3),
                text=mark.label,
            )
        elif up is not None:
            canvas.add("path", f"mark m-{mark.meaning}", d=f"M{frame.left:.1f} {up:.1f}H{frame.right:.1f}")
            is_met = any(abs(up - 4 - other) < LINE_HEIGHT for other in taken)
            taken.append(up + 12 if is_met else up - 4)
            canvas.add("text", f"direct t-{mark.meaning} end", x=frame.right - 2, y=taken[-1], text=mark.label)


def _end_labels(canvas: Canvas, series: tuple[Series, ...], frame: Frame, y: Ruler) -> None:
    """Names beside the lines' ends, in their order, none upon another and none below the axis."""
    wanted = []
    for one in series:
        last = next((place for value in reversed(one.y) if (place := y.at(value)) is not None), frame.bottom)
        wanted.append((last, wrapped(one.name), one.meaning))
    wanted.sort(key=lambda entry: entry[0])
    tops = spread(
        [(place - LINE_HEIGHT * len(names) / 2, LINE_HEIGHT * len(names)) for place, names, _ in wanted], frame
    )
    for top, (_, names, meaning) in zip(tops, wanted, strict=True):
        for index, name in enumerate(names):
            y_of_line = top + LINE_HEIGHT * (index + 0.78)
            canvas.add("text", f"direct t-{meaning}", x=frame.right + 5, y=y_of_line, text=name)


def spread(wanted: list[tuple[float, float]], frame: Frame) -> list[float]:
    """Tops for blocks (wanted top, height), sorted: pushed down until apart, then up until inside."""
    tops: list[float] = []
    free = frame.top - LINE_HEIGHT
    for top, height in wanted:
        tops.append(max(top, free))
        free = tops[-1] + height
    limit = frame.bottom + 8
    for index in reversed(range(len(tops))):
        tops[index] = min(tops[index], limit - wanted[index][1])
        limit = tops[index]
    return tops


def bars(figure: Bars, width: float = WIDTH) -> Scene:
    height = height_of(width)
    values = chain(*(group.values for group in figure.groups), (mark.y for mark in figure.marks if mark.y is not None))
    y = ruler(figure.y, values, height - 36, 24, from_zero=True)
    frame = Frame(room_for_ticks(y), 24, width - 6, height - 36)
    canvas = Canvas()
    base = frame.bottom if y.log else y.at(0.0) or frame.bottom
    slot = (frame.right - frame.left) / max(1, len(figure.categories))
    canvas.add("path", "axis", d=f"M{frame.left:.1f} {frame.top:.1f}V{frame.bottom:.1f}")
    canvas.add("path", "axis", d=f"M{frame.left:.1f} {base:.1f}H{frame.right:.1f}")
    for index, group in enumerate(figure.groups):
        _bar_group(canvas, figure, group, index, frame.left, slot, y, base)
    widest = max((text_width(line) for name in figure.categories for line in wrapped(name, 6)), default=1.0)
    every = max(1, math.ceil((widest + 4) / slot))
    middles = [(frame.left + slot * (i + 0.5), name) for i, name in enumerate(figure.categories) if i % every == 0]
    canvas.x_ticks(frame, middles, slot * every)
    canvas.y_side(frame, y, figure.y)
    _marks(canvas, figure.marks, frame, None, y)
    keys = tuple(Key(group.name, group.meaning, "bar") for group in figure.groups) if len(figure.groups) > 1 else ()
    return Scene(width, height, tuple(canvas.shapes), keys)


def _bar_group(
    canvas: Canvas, figure: Bars, group: BarGroup, index: int, left: float, slot: float, y: Ruler, base: float
) -> None:
    share = min(0.84 * slot, WIDEST_GROUP) / len(figure.groups)
    for place, value in enumerate(group.values):
        top = y.at(value)
        start = left + slot * (place + 0.5) + (index - len(figure.groups) / 2) * share
        hatched = group.hatched is not None and group.hatched[place]
        title = f"{figure.categories[place]}, {group.name}: {number(value)}"
        if top is None:
            canvas.add(
                "text", "direct middle t-refuted", x=start + share / 2, y=base - 4, text=number(value), title=title
            )
            continue
        height = max(abs(base - top), 0.75)
        classes = f"bar m-{group.meaning}{' hatched' if hatched else ''}"
        canvas.add(
            "rect",
            classes,
            x=start,
            y=min(top, base),
            width=max(share - 1, 0.6),
            height=height,
            title=title,
            quantity=group.quantity,
        )


def field(figure: Field2d, width: float = WIDTH) -> Scene:
    canvas = Canvas()
    height = width * 0.86 if figure.square else height_of(width)
    frame = Frame(46, 24, width - 8, height - 36)
    xs = list(
        chain(
            *(s.x for s in figure.series), *(r.x for r in figure.regions), *((a.x, a.x + a.dx) for a in figure.arrows)
        )
    )
    ys = list(
        chain(
            *(s.y for s in figure.series), *(r.y for r in figure.regions), *((a.y, a.y + a.dy) for a in figure.arrows)
        )
    )
    x, y = ruler(figure.x, xs, frame.left, frame.right), ruler(figure.y, ys, frame.bottom, frame.top)
    if figure.square:
        x, y = _equal_units(x, y)
    canvas.axes(frame, x, y, figure.x, figure.y)
    for region in figure.regions:
        outline = Series(name=region.label, x=(*region.x, *region.x[:1]), y=(*region.y, *region.y[:1]))
        canvas.add("path", f"region m-{region.meaning}", d=_path(outline, x, y, steps=False), title=region.label)
    for one in figure.series:
        _series(canvas, one, x, y)
    _arrows(canvas, figure, x, y)
    _marks(canvas, figure.marks, frame, x, y)
    named = [Key(r.label, r.meaning, "line") for r in figure.regions]
    named += [Key(s.name, s.meaning, "point" if s.style == "points" else "line") for s in figure.series]
    return Scene(width, height, tuple(canvas.shapes), tuple(named))


def _equal_units(x: Ruler, y: Ruler) -> tuple[Ruler, Ruler]:
    """Widens one range so that one unit is as long across as up."""
    if x.log or y.log:
        return x, y
    across = (x.high - x.low) / abs(x.end - x.start)
    upward = (y.high - y.low) / abs(y.end - y.start)
    scale = max(across, upward)
    return _widened(x, scale), _widened(y, scale)


def _widened(one: Ruler, scale: float) -> Ruler:
    middle, half = (one.low + one.high) / 2, scale * abs(one.end - one.start) / 2
    return Ruler(middle - half, middle + half, one.start, one.end)


def _arrows(canvas: Canvas, figure: Field2d, x: Ruler, y: Ruler) -> None:
    for arrow in figure.arrows:
        a, b = x.at(arrow.x), y.at(arrow.y)
        c, d = x.at(arrow.x + arrow.dx), y.at(arrow.y + arrow.dy)
        if a is None or b is None or c is None or d is None:
            continue
        length = max(((c - a) ** 2 + (d - b) ** 2) ** 0.5, 1e-6)
        u, v = (c - a) / length, (d - b) / length
        back_x, back_y = c - 7 * u, d - 7 * v
        head = f"M{back_x + 4 * v:.1f} {back_y - 4 * u:.1f}L{c:.1f} {d:.1f}L{back_x - 4 * v:.1f} {back_y + 4 * u:.1f}"
        title = f"{arrow.label}: ({number(arrow.dx)}, {number(arrow.dy)})"
        canvas.add(
            "path",
            f"arrow m-{arrow.meaning}",
            d=f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}{head}",
            title=title,
            quantity=arrow.quantity,
        )
        end = c > _middle(x)
        canvas.add(
            "text",
            f"direct t-{arrow.meaning}{' end' if end else ''}",
            x=c - 6 if end else c + 6,
            y=d - 6,
            text=arrow.label,
        )


def _middle(x: Ruler) -> float:
    return (x.start + x.end) / 2
