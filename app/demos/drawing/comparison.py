"""Prediction and measurement on one line (pure): a hollow circle for you, a filled square for what ran."""

from __future__ import annotations

import math

from app.demos.drawing.scene import WIDTH, Canvas, Ruler, Scene, ticks
from app.web.numbers import number

HEIGHT = 74.0
LEFT, RIGHT, LINE = 22.0, WIDTH - 22.0, 46.0


def comparison(you: float | None, measured: float, unit: str, band: float) -> Scene | None:
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
    _labels(canvas, truth, guess, f"measured {number(measured)} {unit}".strip(), f"you {number(you)} {unit}".strip())
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
    canvas.add("text", f"direct t-measured{_side(truth)}", x=truth, y=LINE - 12, text=measured)
    if guess is not None:
        level = LINE - 28 if abs(guess - truth) < 130 else LINE - 12
        canvas.add("text", f"direct t-you{_side(guess)}", x=guess, y=level, text=you)


def _side(x: float) -> str:
    return "" if x < 90 else " end" if x > WIDTH - 90 else " middle"
