"""Every colour that carries text is legible on everything it stands on, in both schemes: WCAG's 4.5 to 1."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.demos.drawing import grids

CSS = Path(__file__).resolve().parents[2] / "static" / "css"
GROUNDS = ("paper", "sheet", "wash")
NO_TEXT = (*GROUNDS, "hair", "q-low", "q-high", "d-low", "d-high", "on-low", "on-middle", "on-high")
READABLE = 4.5
Colour = tuple[float, float, float]


def _schemes() -> dict[str, dict[str, Colour]]:
    light, dark = (CSS / "tokens.css").read_text().split("@media (prefers-color-scheme: dark)")
    return {
        name: {key: _linear(value) for key, value in re.findall(r"--raw-([a-z-]+): #([0-9a-f]{6});", text)}
        for name, text in (("light", light), ("dark", dark))
    }


def _linear(digits: str) -> Colour:
    parts = (int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return red, green, blue


def _contrast(one: Colour, other: Colour) -> float:
    light, dark = sorted((0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2] for c in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    """``share`` of the first colour, mixed in Oklab as the stylesheet does (Ottosson 2020)."""
    mixed = [share * a + (1 - share) * b for a, b in zip(_oklab(one), _oklab(other), strict=True)]
    lightness, a, b = mixed
    cone_l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    cone_m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    cone_s = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * cone_l - 3.3077115913 * cone_m + 0.2309699292 * cone_s,
        -1.2684380046 * cone_l + 2.6097574011 * cone_m - 0.3413193965 * cone_s,
        -0.0041960863 * cone_l - 0.7034186147 * cone_m + 1.7076147010 * cone_s,
    )


def _oklab(colour: Colour) -> tuple[float, float, float]:
    red, green, blue = colour
    cone_l = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    cone_m = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    cone_s = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * cone_l + 0.7936177850 * cone_m - 0.0040720468 * cone_s,
        1.9779984951 * cone_l - 2.4285922050 * cone_m + 0.4505937099 * cone_s,
        0.0259040371 * cone_l + 0.7827717662 * cone_m - 0.8086757660 * cone_s,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_on_every_ground(scheme: str) -> None:
    colours = _schemes()[scheme]
    faint = [
        (name, ground, round(_contrast(colour, colours[ground]), 2))
        for name, colour in colours.items()
        if name not in NO_TEXT
        for ground in GROUNDS
        if _contrast(colour, colours[ground]) < READABLE
    ]
    assert faint == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("family", ["q", "d"])
def test_the_value_in_a_cell_is_legible_on_every_step(scheme: str, family: str) -> None:
    colours = _schemes()["light"] | _schemes()[scheme]
    faint = [
        (step, round(contrast, 2)) for step in range(11) if (contrast := _on_step(colours, family, step)) < READABLE
    ]
    assert faint == []


def _on_step(colours: dict[str, Colour], family: str, step: int) -> float:
    if family == "q":
        cell = _mix(colours["q-high"], colours["q-low"], step / 10)
    else:
        end = colours["d-low"] if step < 5 else colours["d-high"]
        cell = _mix(end, colours["q-low"], abs(step - 5) / 5)
    return _contrast(cell, colours[grids.ground(f"{family}-{step}")])
