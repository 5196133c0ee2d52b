"""Prediction and measurement on one line (pure): a hollow circle for you, a filled square for what ran."""

from __future__ import annotations

import math

from app.demos.drawing.scene import WIDTH, Canvas, Ruler, Scene, text_width, ticks
from app.web.numbers import number

HEIGHT = 70.0
LEFT, RIGHT, LINE = 22.0, WIDTH - 22.0, 46.0


def comparison(you: float | None, measured: float, unit: str, band: float, who: str = "you") -> Scene | None:
    """None when the measurement is no finite number. ``band`` is half the width of what counts as right."""
    if not math.isfinite(measured):
        return None
    seen = [measured - band, measured + band, 0.0] + ([you] if you is not None and math.isfinite(you) else [])
    low, high = min(seen), max(seen)
    room = 0.08 * (high - low) or 1.0
    scale = Ruler(low - (room if low < 0 else 0), high + room, LEFT, RIGHT)
    canvas = Canvas()
    canvas.add("path", "axis", d=f"M{LEFT} {LINE}H{RIGHT}")
    for value in ticks(scale, 5):
        at = scale.at(value)
        canvas.add("path", "axis", d=f"M{at:.1f} {LINE}v4")
        canvas.add("text", "tick middle", x=at or 0.0, y=LINE + 17, text=number(value, 3))
    _band(canvas, scale, measured, band)
    truth = scale.at(measured) or LEFT
    guess = scale.at(you) if you is not None else None
    _labels(canvas, truth, guess, f"measured {number(measured)} {unit}".strip(), f"{who} {number(you)} {unit}".strip())
    canvas.add(
        "rect",
        "point m-measured",
        x=truth - 5,
        y=LINE - 5,
        width=10.0,
        height=10.0,
        title=f"measured {number(measured)}",
    )
    if guess is not None:
        canvas.add("circle", "point m-you", cx=guess, cy=LINE, r=5.5, title=f"you {number(you)}")
    return Scene(WIDTH, HEIGHT, tuple(canvas.shapes))


def _band(canvas: Canvas, scale: Ruler, measured: float, band: float) -> None:
    left, right = scale.at(measured - band), scale.at(measured + band)
    if band > 0 and left is not None and right is not None and right - left > 1:
        canvas.add(
            "rect", "band m-measured", x=left, y=LINE - 8, width=right - left, height=16.0, title="counted as right"
        )


def _labels(canvas: Canvas, truth: float, guess: float | None, measured: str, you: str) -> None:
    """Above the line, on two levels when they would meet."""
    start, end = _place(canvas, "direct t-measured", truth, LINE - 13, measured)
    if guess is not None:
        left, right = _extent(guess, you)
        level = LINE - 29 if left < end + 6 and start < right + 6 else LINE - 13
        _place(canvas, "direct t-you", guess, level, you)


def _extent(x: float, text: str) -> tuple[float, float]:
    """Centred on ``x``, but inside the picture."""
    width = text_width(text)
    start = min(max(x - width / 2, 2.0), WIDTH - width - 2)
    return start, start + width


def _place(canvas: Canvas, classes: str, x: float, y: float, text: str) -> tuple[float, float]:
    start, end = _extent(x, text)
    side, at = ("", start) if start <= 2 else (" end", end) if end >= WIDTH - 2 else (" middle", x)
    canvas.add("text", f"{classes}{side}", x=at, y=y, text=text)
    return start, end
