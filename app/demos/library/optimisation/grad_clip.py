r"""Gradient clipping

By norm one factor shrinks the whole gradient, $g \leftarrow g\,\min(1, c/(\lVert g\rVert + 10^{-6}))$, with a single
norm over all parameters: the direction stays. By value each component is clamped to $\pm c$: the vector turns. Clipping
belongs between `backward()` and `step()`, after unscaling and accumulating. It bounds a step; it repairs no inf, does
little to Adam, biases a skewed gradient, and leaves the cause of an explosion where it was.

Source: Pascanu, Mikolov and Bengio (2013), section 3.2 and algorithm 1; torch.nn.utils.clip_grad_norm_
"""

from cmath import phase
from math import degrees, dist, hypot, inf, isfinite, isnan
from typing import Any, Literal, get_args

import torch
from torch import nn

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed, switch
from app.demos.result import Arrow, Axis, CodeLine, Field2d, Lines, Result, Series, TableFigure, outcome

Mode = Literal["none", "norm", "value", "per tensor", "sign", "before backward", "after step"]
DRAWN: dict[str, Any] = {"none": "neutral", "norm": "measured", "value": "second"}
LOOP = {"loss.backward()": "norm", "clip_grad_norm_(parameters, max_norm)": "returned", "optimizer.step()": "step"}


class Knobs(Parameters):
    gx: float = number(10, -100, 100, step=0.1, help="First component of the gradient, a tensor of its own.")
    gy: float = number(1, -100, 100, step=0.1, help="Second component, another tensor.")
    max_norm: float = number(1, 1e-5, 100, log=True, help="The limit c.")
    mode: Mode = choice("norm", help="How, or where in the loop, the gradient is clipped.")
    optimizer: Literal["SGD", "Adam"] = choice("SGD", help="Optimiser of the recurrent weight.", more=True)
    loss_scale: float = number(1, 1, 65536, log=True, help="Scale of the loss, removed after clipping.", more=True)
    add_inf: bool = switch(False, help="Makes the third number of [1, 2, 3] an inf.", more=True)
    recurrent_gain: float = number(1.4, 0.8, 1.6, step=0.05, help="Start of the recurrent weight.", more=True)
    steps: int = integer(80, 20, 150, help="Training steps of the recurrent weight.", more=True)
    seed: int = seed()


def clip(weights: list[Any], mode: str, c: float) -> Any:
    for weight in weights if mode in ("per tensor", "sign") else ():
        weight.grad *= (
            min(1, c / weight.grad.norm()) if mode == "per tensor" else c / weight.grad.abs().clamp_min(1e-99)
        )
    in_torch: dict[str, Any] = {"norm": nn.utils.clip_grad_norm_, "value": nn.utils.clip_grad_value_}
    return in_torch[mode](weights, c) if mode in in_torch else None  # by norm: the norm before


def one_step(g: list[float], mode: str, c: float, scale: float = 1, name: str = "SGD") -> tuple[Any, float, Any]:
    """The gradient that the optimiser sees, the length of its step, what the clip returned. A tensor a component."""
    weights: list[Any] = [nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in g]
    optimizer = getattr(torch.optim, name)(weights, lr=0.1)
    clip(weights, "norm" if mode == "before backward" else "none", c)
    torch.autograd.backward([scale * value * weight for value, weight in zip(g, weights, strict=True)])
    returned = clip(weights, mode, c)
    seen = [weight.grad.div_(scale).item() for weight in weights]
    optimizer.step()
    clip(weights, "norm" if mode == "after step" else "none", c)
    return seen, hypot(*(weight.item() for weight in weights)), returned


def descend(knobs: Knobs, mode: str) -> list[float]:
    """Gradient norms before clipping while w learns that thirty steps of h = w h should keep h."""
    w, draws = nn.Parameter(torch.full((1,), knobs.recurrent_gain).double()), torch.Generator().manual_seed(knobs.seed)
    optimizer, norms = getattr(torch.optim, knobs.optimizer)([w], lr=0.01), list[float]()
    for _ in range(knobs.steps):
        h, w.grad = 0.5 + torch.rand(1, generator=draws), None
        torch.autograd.backward((w**30 * h - h).square())
        norms.append(abs(torch.as_tensor(w.grad).item()))
        clip([w], mode, knobs.max_norm)
        optimizer.step()
    return norms


def angle(one: list[float], two: list[float]) -> float:
    return abs(degrees(phase(complex(*one) * complex(*two).conjugate())))


def run(knobs: Knobs, lab: Lab) -> Result:
    c, scale, g, mode = knobs.max_norm, knobs.loss_scale, [knobs.gx, knobs.gy], knobs.mode
    sgd, adam = ({rule: one_step(g, rule, c, scale, name) for rule in get_args(Mode)} for name in ("SGD", "Adam"))
    skewed = 0.2 * one_step([10], "norm", c)[0][0] + 0.8 * one_step([-1], "norm", c)[0][0]
    parts = [one + two for one, two in zip(one_step(g, "norm", c)[0], one_step([0, 1], "norm", c)[0], strict=True)]
    bare, norms, turns = descend(knobs, "none"), descend(knobs, mode), {rule: angle(sgd[rule][0], g) for rule in sgd}
    expected, returned = [min(1, c / (scale * hypot(*g) + 1e-6)) * value for value in g], float(sgd["norm"][2])
    a = {"norm": hypot(*g), "after": hypot(*sgd[mode][0]), "turned": turns[mode], "by_norm": turns["norm"]}
    a |= {"returned": returned, "by_value": turns["value"], "skewed": skewed, "corner": hypot(*sgd["value"][0])}
    a |= {"step": sgd[mode][1], "bare_step": sgd["none"][1], "clipped_step": sgd["norm"][1], "unscaled": c / scale}
    a |= {"apart": angle(parts, [g[0], g[1] + 1]), "adam": adam["norm"][1] / (adam["none"][1] or 1)}
    a |= {"nans": sum(map(isnan, one_step([1, 2, inf if knobs.add_inf else 3], "norm", c)[0]))}
    a |= {"clipped": sum(n > c for n in norms), "finite": sum(map(isfinite, norms)), "bare": sum(map(isfinite, bare))}
    astray = max(abs(sgd[rule][1] - a["bare_step"]) for rule in ("before backward", "after step"))
    same, least = "" if a["by_value"] > 1e-6 else "All is cut alike, or nothing is.", min(map(abs, sgd["norm"][0]))
    calm = "" if knobs.recurrent_gain > 1.05 and knobs.optimizer == "SGD" else "This start does not explode."
    facts = (
        ("coefficient", "By norm: g · min(1, c / (norm + 1e-6)).", dist(sgd["norm"][0], expected), 0, 1e-9, ""),
        ("direction", "By norm the direction stays.", a["by_norm"], 0, 1e-6, ""),
        ("angle-changes", "By value the direction changes.", a["by_value"] > 1e-6, True, 0, same),
        ("returned", "It returns the norm before clipping.", returned / scale - a["norm"], 0, 1e-9, ""),
        ("infinite", "By norm one inf becomes nan.", a["nans"], 1, 0, "" if knobs.add_inf else "No inf here."),
        ("misplaced", "Before backward() or after step() it changes no step.", astray, 0, 1e-12, ""),
        ("adam", "Adam's first step does not shrink.", a["adam"], 1, 0.01, "" if least > 1e-5 else "Too near eps."),
        ("skewed", "The mean is min(2, c/5) - 0.8 min(1, c).", skewed, min(2, c / 5) - 0.8 * min(1, c), 1e-5, ""),
        ("explodes", "Unclipped, w leaves the floats within three steps.", a["bare"] <= 3, True, 0, calm),
    )
    claims = tuple(outcome(id, says, m, e, abs(m - e) <= t, t, why, t <= 1e-9) for id, says, m, e, t, why in facts)
    rows = tuple((rule, hypot(*sgd[rule][0]), turns[rule], sgd[rule][1], adam[rule][1]) for rule in sgd)
    arrows = tuple(Arrow(x=0, y=0, dx=sgd[m][0][0], dy=sgd[m][0][1], label=m, meaning=DRAWN[m]) for m in DRAWN)
    columns, at = ("rule or place", "norm", "degrees", "SGD step", "Adam step"), (list(sgd).index(mode),)
    first = Series(name="none", x=tuple(range(len(bare))), y=tuple(bare), meaning="refuted")
    second = Series(name=f"mode {mode}", x=first.x, y=tuple(norms), meaning="measured")
    told = f"{mode}: norm {a['norm']:.4g} becomes {a['after']:.4g}, {a['turned']:.1f}° off; {a['clipped']} clipped."
    x, y, log = Axis(name="first component"), Axis(name="second component"), Axis(name="gradient norm", scale="log")
    figures = (
        Field2d(id="plane", title="Raw and clipped", alt=told, x=x, y=y, arrows=arrows),
        TableFigure(id="rules", title="Rules and places", alt=told, columns=columns, rows=rows, highlight=at),
        Lines(id="norms", title="A recurrent weight", alt=told, x=Axis(name="step"), y=log, series=(first, second)),
    )
    code = tuple(CodeLine(code=line, value=f"{a[key]:.4g}") for line, key in LOOP.items())
    return Result(summary=told, figures=figures, claims=claims, answers=a, code=code)
