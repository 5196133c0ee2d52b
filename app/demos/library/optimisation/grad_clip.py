r"""Gradient clipping

By norm one factor shrinks the whole gradient, $g \leftarrow g\,\min(1, c/(\lVert g\rVert + 10^{-6}))$, with a single
norm over all parameters: the direction stays. By value each component is clamped to $\pm c$: the vector turns. Clipping
belongs between `backward()` and `step()`, after unscaling and accumulating. It bounds a step; it repairs no inf, does
little to Adam, biases a skewed gradient, and leaves the cause of an explosion where it was.

Source: Pascanu, Mikolov and Bengio (2013), section 3.2 and algorithm 1; torch.nn.utils.clip_grad_norm_
"""

from cmath import phase
from math import cos, degrees, dist, hypot, inf, isfinite, isnan, pi, sin
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import nn

from app.demos import result
from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed, switch
from app.demos.result import Axis, Claim, CodeLine, Field2d, Region, Result, Series, TableFigure, outcome

Mode = Literal["none", "norm", "value", "per tensor", "sign", "before backward", "after step"]
LOOP = ["optimizer.zero_grad()", "loss.backward()", "unscale gradients", "optimizer.step()"]
PLACE = {"before backward": 1, "after step": 4}  # of the clip line; any other rule follows backward()


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


class Step(NamedTuple):
    seen: list[float]  # the gradient that the optimiser reads
    length: float  # of the step that it takes
    returned: Any  # by the clip line
    trace: list[tuple[str, float, float]]  # each line of the loop, gradient norm and way gone after it


def clip(weights: list[Any], mode: str, c: float) -> Any:
    if mode == "value":
        return nn.utils.clip_grad_value_(weights, c)
    for weight in weights if mode in ("per tensor", "sign") else ():
        factor = c / weight.grad.norm().clamp_min(1e-99)
        weight.grad *= factor if mode == "sign" else factor.clamp_max(1)
    return None if mode in ("per tensor", "sign") else nn.utils.clip_grad_norm_(weights, c)  # the norm before


def one_step(gradient: list[float], mode: str, c: float, scale: float = 1, optimizer_name: str = "SGD") -> Step:
    """Runs the loop line by line, with the clip line where ``mode`` puts it. Every component is a tensor."""
    weights: list[Any] = [nn.Parameter(torch.zeros(1, dtype=torch.float64)) for _ in gradient]
    optimizer = getattr(torch.optim, optimizer_name)(weights, lr=0.1)
    loop, seen, returned, trace = list(LOOP), list[float](), None, []
    if mode != "none":
        loop.insert(PLACE.get(mode, 2), f"clip: {mode}")
    for line in loop:
        if line == "loss.backward()":
            torch.autograd.backward([scale * value * weight for value, weight in zip(gradient, weights, strict=True)])
        elif line == "unscale gradients":
            seen = [weight.grad.div_(scale).item() for weight in weights]
        elif line == "optimizer.step()":
            optimizer.step()
        elif line not in LOOP:
            returned = clip(weights, mode, c)
        norm = hypot(*(0.0 if weight.grad is None else weight.grad.item() for weight in weights))
        trace.append((line, norm, hypot(*(weight.item() for weight in weights))))
    return Step(seen, trace[-1][2], returned, trace)


def train_recurrent_weight(knobs: Knobs, mode: str) -> list[float]:
    """Gradient norms before clipping while w learns that thirty steps of h = w h should keep h."""
    w, draws = nn.Parameter(torch.full((1,), knobs.recurrent_gain).double()), torch.Generator().manual_seed(knobs.seed)
    optimizer, norms = getattr(torch.optim, knobs.optimizer)([w], lr=0.01), list[float]()
    for _ in range(knobs.steps):
        h = 0.5 + torch.rand(1, generator=draws)
        (w.grad,) = torch.autograd.grad((w**30 * h - h).square(), w)
        norms.append(abs(w.grad.item()))
        if mode not in ("none", *PLACE):  # misplaced, the clip is too late or thrown away
            clip([w], mode, knobs.max_norm)
        optimizer.step()
    return norms


def descend_a_cliff(c: float, meaning: Any) -> Field2d:
    """Two plains, six high, and between them a ravine that falls slowly to the right."""
    at = nn.Parameter(torch.tensor([-3.0, 2.2], dtype=torch.float64))
    optimizer, path, loss = torch.optim.SGD([at], lr=0.5), [at.tolist()], torch.zeros(())
    for _ in range(16):
        first, second = at.unbind()
        loss = 0.08 * (first - 3) ** 2 + 0.1 * second**2 + 6 * torch.sigmoid(6 * (second.abs() - 1))
        (at.grad,) = torch.autograd.grad(loss, at)
        clip([at], "norm", c)
        optimizer.step()
        path.append(at.tolist())
    told, (xs, ys) = f"c = {c:.3g}: last loss {loss.item():.3g}", zip(*path, strict=True)
    walk = (Series(name="16 steps", x=xs, y=ys, meaning=meaning, style="line+points"),)
    flat = (Region(label="ravine", x=(-4, 4, 4, -4), y=(-1, -1, 1, 1), meaning="waiting"),)
    x, y = Axis(name="first weight", low=-4, high=4), Axis(name="second weight", low=-5, high=5)
    return Field2d(id=f"path-{meaning}", title=told, alt=told, x=x, y=y, series=walk, regions=flat, square=False)


def angle(one: list[float], two: list[float]) -> float:
    return abs(degrees(phase(complex(*one) * complex(*two).conjugate())))


def draw_plane(c: float, g: list[float], norm: list[float], value: list[float]) -> Field2d:
    shown = min(1, 3 * c / (hypot(*g) or 1))  # a long raw arrow is cut, or the disc would be too small to see
    told = f"Raw {hypot(*g):.4g} long{'' if shown == 1 else ' (cut at 3 c)'}; by norm {hypot(*norm):.4g} and "
    told += f"{angle(norm, g):.1f}° off; by value {hypot(*value):.4g} and {angle(value, g):.1f}° off."
    raw, meaning = [shown * part for part in g], {"raw": "neutral", "value": "second", "norm": "measured"}
    ends: Any = zip(meaning.items(), (raw, value, norm), strict=True)
    arrows = [result.Arrow(x=0, y=0, dx=e[0], dy=e[1], label=n, meaning=m, quantity=n) for (n, m), e in ends]
    xs, ys = zip(*[(c * cos(k * pi / 36), c * sin(k * pi / 36)) for k in range(72)], strict=True)
    disc = Region(label=f"norm ≤ {c:.3g}", x=xs, y=ys, meaning="measured")
    square = Region(label=f"each ≤ {c:.3g}", x=(-c, c, c, -c), y=(-c, -c, c, c), meaning="second")
    x, y, title, both = Axis(name="first component"), Axis(name="second component"), "To disc or square", (disc, square)
    return Field2d(id="plane", title=title, alt=told, caption=told, x=x, y=y, arrows=tuple(arrows), regions=both)


def draw_norms(c: float, mode: str, bare: list[float], norms: list[float]) -> result.Lines:
    steps, title = tuple(range(len(norms))), "Gradient norms of a recurrent weight"
    without = Series(name="no clip", x=steps, y=tuple(bare), meaning="refuted", quantity="bare")
    clipped = Series(name=mode, x=steps, y=tuple(norms), meaning="measured", quantity="clipped")
    told = f"{sum(n > c for n in norms) / len(norms):.0%} are above c; unclipped {sum(map(isfinite, bare))} are finite."
    x, y = Axis(name="step"), Axis(name="gradient norm", scale="log", low=1e-6, high=1e12)
    lines, marks = (without, clipped), (result.Mark(label=f"c = {c:.3g}", y=c, meaning="second"),)
    return result.Lines(id="norms", title=title, alt=told, caption=told, x=x, y=y, series=lines, marks=marks)


def table(id: str, title: str, columns: tuple[str, ...], rows: Any, *highlight: int) -> TableFigure:
    lines = "; ".join(" ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row) for row in rows)
    told = f"{title}. {lines}."
    return TableFigure(id=id, title=title, alt=told, columns=columns, rows=tuple(rows), highlight=highlight)


def run(knobs: Knobs, lab: Lab) -> Result:
    c, scale, g, mode = knobs.max_norm, knobs.loss_scale, [knobs.gx, knobs.gy], knobs.mode
    sgd, adam = ({rule: one_step(g, rule, c, scale, name) for rule in get_args(Mode)} for name in ("SGD", "Adam"))
    turned = {rule: angle(step.seen, g) for rule, step in sgd.items()}
    skewed = 0.2 * one_step([10], "norm", c).seen[0] + 0.8 * one_step([-1], "norm", c).seen[0]
    joint = list(map(sum, zip(one_step(g, "norm", c).seen, one_step([0, 1], "norm", c).seen, strict=True)))
    three = [1, 2, inf if knobs.add_inf else 3]
    third: Any = [(rule, *one_step(three, rule, c).seen) for rule in ("none", "norm", "value")]
    bare, norms = train_recurrent_weight(knobs, "none"), train_recurrent_weight(knobs, mode)
    a: dict[str, Any] = {"norm": hypot(*g), "after": hypot(*sgd[mode].seen), "corner": hypot(*sgd["value"].seen)}
    a |= {"returned": float(sgd["norm"].returned), "turned": turned[mode], "by_norm": turned["norm"]}
    a |= {"by_value": turned["value"], "ended": angle(sgd[mode].seen, [1, 0]), "steep": angle(joint, [1, 0])}
    a |= {"step": sgd[mode].length, "bare_step": sgd["none"].length, "clipped_step": sgd["norm"].length}
    a |= {"unscaled": c / scale, "clipped_mean": min(1.2, c), "skewed": skewed, "nans": sum(map(isnan, third[1][1:]))}
    a |= {"adam": adam["norm"].length / (adam["none"].length or 1), "apart": angle(joint, [g[0], g[1] + 1])}
    a |= {"finite": sum(map(isfinite, norms)), "bare": sum(map(isfinite, bare)), "clipped": sum(n > c for n in norms)}
    told = f"{mode}: norm {a['norm']:.4g} becomes {a['after']:.4g}, {a['turned']:.1f}° off; {a['clipped']} clipped."
    trace, paths = sgd[mode].trace, (descend_a_cliff(inf, "refuted"), descend_a_cliff(c, "measured"))
    at, ends = [trace.index(row) for row in trace if row[0] not in LOOP], f"{paths[0].title}. {paths[1].title}."
    rows = [(rule, hypot(*sgd[rule].seen), turned[rule], sgd[rule].length, adam[rule].length) for rule in sgd]
    columns, here = ("rule or place", "norm", "degrees", "SGD step", "Adam step"), list(sgd).index(mode)
    figures = (
        draw_plane(c / scale, g, sgd["norm"].seen, sgd["value"].seen),
        table("loop", "The loop, line by line", ("line", "gradient norm", "way gone"), trace, *at),
        result.SmallMultiples(id="cliff", title="At the edge of a ravine", alt=ends, caption=ends, panels=paths),
        draw_norms(c, mode, bare, norms),
        table("rules", "Rules and places", columns, rows, here),
        table("infinity", "Three gradients, clipped", ("rule", "first", "second", "third"), third),
    )
    code = tuple(CodeLine(code=line, value=f"gradient {n:.4g}, moved {way:.4g}") for line, n, way in trace)
    return Result(summary=told, figures=figures, claims=settle(knobs, sgd, a), answers=a, code=code)


def settle(knobs: Knobs, sgd: dict[str, Step], a: dict[str, Any]) -> tuple[Claim, ...]:
    c, seen, astray = knobs.max_norm, sgd["norm"].seen, max(abs(sgd[rule].length - a["bare_step"]) for rule in PLACE)
    factor, found = min(1, c / (knobs.loss_scale * a["norm"] + 1e-6)), a["returned"] / knobs.loss_scale - a["norm"]
    missed, mean = dist(seen, [factor * knobs.gx, factor * knobs.gy]), min(2, c / 5) - 0.8 * min(1, c)
    alike = "" if a["by_value"] > 1e-6 else "Both components are cut alike, or none is: nothing can turn."
    tiny = "" if min(map(abs, seen)) > 1e-5 else "A component is so small that Adam's eps counts beside it."
    calm = "" if knobs.recurrent_gain > 1.05 else "From this start w to the power 30 stays small: nothing explodes."
    calm = calm if knobs.optimizer == "SGD" else "Adam divides the gradient's size out, so this claim is about SGD."
    whole = "" if knobs.add_inf else "All three gradients are finite here."
    facts = (
        ("coefficient", "By norm: g · min(1, c / (norm + 1e-6)).", missed, 0, 1e-9, "", "norm"),
        ("direction", "By norm the direction stays.", a["by_norm"], 0, 1e-6, "", "norm"),
        ("angle-changes", "By value the direction changes.", a["by_value"] > 1e-6, True, 0, alike, "value"),
        ("returned", "It returns the norm before clipping.", found, 0, 1e-9, "", "raw"),
        ("infinite", "By norm one inf becomes nan.", a["nans"], 1, 0, whole, None),
        ("misplaced", "Before backward() or after step() it changes no step.", astray, 0, 1e-12, "", None),
        ("adam", "Adam's first step does not shrink.", a["adam"], 1, 0.01, tiny, None),
        ("skewed", "The mean is min(2, c/5) - 0.8 min(1, c).", a["skewed"], mean, 1e-5, "", None),
        ("explodes", "Unclipped, w leaves the floats within three steps.", a["bare"] <= 3, True, 0, calm, "bare"),
    )
    return tuple(
        outcome(id, says, m, expected, abs(m - expected) <= band, band, domain, band <= 1e-9, quantity=quantity)
        for id, says, m, expected, band, domain, quantity in facts
    )
