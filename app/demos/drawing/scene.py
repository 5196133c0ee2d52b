"""Shapes, scales and ticks (pure). One unit is one CSS pixel where a picture has its own size; text is 12 units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from app.demos.result import Axis
from app.web.numbers import number

WIDTH, HEIGHT = 360.0, 232.0
LINE_HEIGHT = 13.0
NARROW, WIDE = frozenset("iljtfrI.,:;'|!()[] "), frozenset("mwMW%@")


def text_width(text: str) -> float:
    """Units that ``text`` takes at 12 units in a wide sans; pictures leave this much room."""
    return sum(4.6 if letter in NARROW else 10.8 if letter in WIDE else 7.4 for letter in text)


def wrapped(text: str, longest: int = 14) -> tuple[str, ...]:
    """One line, or two that break at the space nearest to the middle."""
    spaces = [place for place, letter in enumerate(text) if letter == " "]
    if len(text) <= longest or not spaces:
        return (text,)
    middle = min(spaces, key=lambda place: abs(place - len(text) / 2))
    return text[:middle], text[middle + 1 :]


@dataclass(frozen=True, slots=True)
class Shape:
    """One SVG element. ``attributes`` are numbers or path data, never colours: these come from the class."""

    tag: str
    classes: str
    attributes: dict[str, str | float]
    text: str = ""
    title: str = ""
    quantity: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of the line of names above a plot."""

    name: str
    meaning: str
    shape: str


@dataclass(frozen=True, slots=True)
class Scene:
    width: float
    height: float
    shapes: tuple[Shape, ...]
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """Where data goes inside the drawing."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Ruler:
    """Maps data to a coordinate. On a logarithmic scale values at or below zero have no place (None)."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float | None:
        if not math.isfinite(value) or (self.log and value <= 0):
            return None
        low, high, here = (
            (math.log10(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        share = (here - low) / (high - low)
        return self.start + min(1.05, max(-0.05, share)) * (self.end - self.start)


def ruler(axis: Axis, values: Iterable[float], start: float, end: float, *, from_zero: bool = False) -> Ruler:
    """A scale over the axis's own range, else over the finite values with a little air."""
    log = axis.scale == "log"
    finite = [value for value in values if math.isfinite(value) and not (log and value <= 0)]
    low = axis.low if axis.low is not None else min(finite, default=0.1 if log else 0.0)
    high = axis.high if axis.high is not None else max(finite, default=1.0)
    if from_zero and not log:
        low, high = min(low, 0.0), max(high, 0.0)
    if log:
        low, high = max(low, 1e-300), max(high, 1e-300)
        return (
            Ruler(low / 1.3, high * 1.3, start, end, True)
            if axis.low is None or high <= low
            else Ruler(low, high, start, end, True)
        )
    if high <= low:
        low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    elif axis.high is None:
        high += 0.06 * (high - low)
    return Ruler(low, high, start, end)


def ticks(scale: Ruler, most: int = 5) -> list[float]:
    """Round values inside the scale: steps of 1, 2, 5 × 10ⁿ, or whole decades."""
    if scale.log:
        first, last = math.ceil(math.log10(scale.low) - 1e-9), math.floor(math.log10(scale.high) + 1e-9)
        stride = max(1, math.ceil((last - first + 1) / most))
        decades = [10.0**power for power in range(first, last + 1, stride)]
        return decades if len(decades) > 1 else [scale.low, scale.high]
    span = scale.high - scale.low
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(scale.low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(scale.high / step + 1e-9) + 1)]


def room_for_ticks(y: Ruler) -> float:
    """The left edge that leaves place for the numbers beside it."""
    return 12 + max((text_width(number(value, 3)) for value in ticks(y)), default=0.0)


def panel_width(count: int) -> float:
    """Two and four stand two abreast, any other number as they fit."""
    return 280.0 if count in (2, 4) else 200.0


def height_of(width: float) -> float:
    """Flat enough for a page, tall enough for a panel."""
    return HEIGHT if width >= WIDTH else 0.8 * width


def label(axis: Axis) -> str:
    return f"{axis.name} ({axis.unit})" if axis.unit else axis.name


@dataclass(slots=True)
class Canvas:
    """Collects shapes."""

    shapes: list[Shape] = field(default_factory=list)

    def add(
        self,
        tag: str,
        classes: str,
        *,
        text: str = "",
        title: str = "",
        quantity: str | None = None,
        **attributes: str | float,
    ) -> None:
        tidy = {
            name.replace("_", "-"): round(value, 2) if isinstance(value, float) else value
            for name, value in attributes.items()
        }
        self.shapes.append(Shape(tag, classes, tidy, text, title, quantity or ""))

    def axes(self, frame: Frame, x: Ruler, y: Ruler, x_axis: Axis, y_axis: Axis) -> None:
        """Hairlines that end at the data, ticks, and the two names with their units."""
        self.add("path", "axis", d=f"M{frame.left:.1f} {frame.top:.1f}V{frame.bottom:.1f}H{frame.right:.1f}")
        self.x_ticks(frame, [(x.at(value), number(value, 3)) for value in ticks(x)])
        self.y_side(frame, y, y_axis)
        self.add("text", "name end", x=frame.right, y=frame.bottom + 30, text=label(x_axis))

    def x_ticks(self, frame: Frame, places: Sequence[tuple[float | None, str]], room: float = WIDTH) -> None:
        """``room`` is the width for one name; a longer one is broken into two lines."""
        for at, text in places:
            if at is None:
                continue
            self.add("path", "axis", d=f"M{at:.1f} {frame.bottom:.1f}v4")
            lines = (text,) if text_width(text) < room - 3 else wrapped(text, 1)
            for index, line in enumerate(lines):
                self.add("text", "tick middle", x=at, y=frame.bottom + 16 + 12 * index, text=line)

    def y_side(self, frame: Frame, y: Ruler, y_axis: Axis) -> None:
        for value in ticks(y):
            at = y.at(value)
            if at is not None:
                self.add("path", "axis", d=f"M{frame.left - 4:.1f} {at:.1f}h4")
                self.add("text", "tick end", x=frame.left - 7, y=at + 3.5, text=number(value, 3))
        self.add("text", "name", x=2.0, y=frame.top - 9, text=label(y_axis))
