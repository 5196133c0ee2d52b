"""The teaching beside a demonstration: presets, predictions, misconceptions, challenges (pure).

Read from ``<slug>.yaml``. A wrong answer may be a fixed ``value`` or the name of an ``answer`` of the run, so that it
stays right when the numbers are drawn anew.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.demos.result import Scalar


class Authored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Wrong(Authored):
    """A likely wrong answer and what it reveals. Exactly one of ``value`` and ``answer``."""

    says: str
    value: Scalar | None = None
    answer: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Wrong:
        if (self.value is None) == (self.answer is None):
            raise ValueError("a wrong answer names either a value or an answer of the run")
        return self


class Grade(Authored):
    """``exact``: equal; ``absolute``: within band; ``relative``: within band times the true value's size."""

    rule: Literal["exact", "absolute", "relative"] = "exact"
    band: float = Field(0.0, ge=0)


class Span(Authored):
    """Values ``start``, ``start + step`` … up to ``to``."""

    start: float
    to: float
    step: float = Field(gt=0)

    def values(self) -> list[float]:
        count = math.floor((self.to - self.start) / self.step + 1e-9) + 1
        return [round(self.start + index * self.step, 10) for index in range(count)]


class Prediction(Authored):
    """``prompt`` may name knobs in braces: "what does 2.0 become at p = {p}?".

    ``answer`` names the exact value in the run's answers. ``order`` is predicted as a list of the options.
    ``draw`` lists for each knob the values to draw anew for every review; the preset's own is never drawn.
    """

    prompt: str
    input: Literal["number", "slider", "choice", "order", "point"] = "number"
    answer: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    step: float | None = None
    options: tuple[str, ...] = ()
    grade: Grade = Grade()
    wrong: tuple[Wrong, ...] = ()
    draw: dict[str, tuple[bool | int | float | str, ...] | Span] = {}
    restate: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Prediction:
        if self.input in ("choice", "order") and len(self.options) < 2:
            raise ValueError("a choice or an order needs at least two options")
        if self.input in ("slider", "point") and (self.low is None or self.high is None):
            raise ValueError("a slider or a point needs low and high")
        return self

    def choices(self, knob: str) -> list[Any]:
        listed = self.draw[knob]
        return listed.values() if isinstance(listed, Span) else list(listed)


class Preset(Authored):
    """A named setting with a question. ``rows`` are the codes of the misconceptions it settles (D1 … A12)."""

    name: str
    question: str
    knobs: dict[str, Any] = {}
    hides: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    prediction: Prediction | None = None

    @property
    def slug(self) -> str:
        return slug_of(self.name)


class Goal(Authored):
    """Reached when the run's ``answer`` is above, below or equal to a bound; NaN reaches only ``is_nan``."""

    answer: str
    above: float | None = None
    below: float | None = None
    equals: Scalar | None = None
    is_nan: bool = False

    def reached(self, answers: dict[str, Any]) -> bool:
        value = answers[self.answer]
        if isinstance(value, float) and math.isnan(value):
            return self.is_nan
        if self.is_nan:
            return False
        return (
            (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and (self.equals is None or value == self.equals)
        )


class Challenge(Authored):
    """ "Find a setting that …, or show that none exists".

    ``possible`` true needs ``witness`` (knobs that reach the goal, checked by a test); false needs ``why``, and a test
    searches for a counterexample. ``rows`` as in a preset.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    asks: str
    goal: Goal
    possible: bool
    why: str
    witness: dict[str, Any] | None = None
    within: dict[str, tuple[Any, ...]] = {}
    rows: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _witnessed(self) -> Challenge:
        if self.possible != (self.witness is not None):
            raise ValueError("a possible challenge needs a witness, an impossible one has none")
        return self


class Misconception(Authored):
    """``code`` such as D1; ``says`` as people say it, ``settles`` what the run shows."""

    code: str = ""
    says: str
    settles: str
    preset: str | None = None
    challenge: str | None = None


class Teaching(Authored):
    """The whole ``<slug>.yaml``. The first preset is the default: it has no knobs of its own or few.

    ``formulas`` maps the quantity of a line that runs to the LaTeX that it computes.
    """

    kind: Literal["instant", "stream"]
    presets: tuple[Preset, ...] = Field(min_length=1)
    misconceptions: tuple[Misconception, ...] = ()
    challenges: tuple[Challenge, ...] = ()
    formulas: dict[str, str] = {}

    def preset(self, slug: str) -> Preset | None:
        return next((preset for preset in self.presets if preset.slug == slug), None)


def slug_of(name: str) -> str:
    """ "Train and eval" becomes "train-and-eval"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
