r"""Gradient clipping

By norm one factor, $\min(1, c/(\lVert g\rVert + 10^{-6}))$ with one norm over all parameters, shrinks the gradient and
keeps its direction. By value each component is clamped to $\pm c$, which turns it. Clipping belongs after `backward()`
and unscaling, before `step()`. It repairs no inf, does little to Adam, biases a skewed gradient, and cures no cause.
Source: Pascanu, Mikolov and Bengio (2013), section 3.2 and algorithm 1; torch.nn.utils.clip_grad_norm_"""

from math import atan2, cos, degrees, dist, hypot, inf, isnan, pi, sin
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import nn

from app.demos import result
from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed, switch
from app.demos.result import Axis, Claim, CodeLine, Field2d, Lines, Region, Result, Series, TableFigure, outcome

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
    add_inf: bool = switch(False, help="Spoils the third number of [1, 2, 3].", more=True)
    overflow: Literal["inf", "-inf", "nan", "1e200"] = choice("inf", help="What add_inf puts there.", more=True)
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
    place, seen, returned, trace = PLACE.get(mode, 2), list[float](), None, []
    for line in LOOP if mode == "none" else [*LOOP[:place], f"clip: {mode}", *LOOP[place:]]:
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


def gap_to_torch(w: float, h: float, gradient: float) -> float:
    unit, start = nn.RNN(1, 1, nonlinearity="relu", bias=False).double(), torch.full((1, 1), h).double()
    weight = nn.init.constant_(dict(unit.named_parameters())["weight_hh_l0"], w)
    loss = (unit(torch.zeros(30, 1).double(), start)[1] - start).square().sum()  # thirty steps without input
    return float(torch.autograd.grad(loss, weight)[0] - gradient) / max(1, abs(gradient))


def train_recurrent_weight(knobs: Knobs, mode: str) -> Any:
    """Weight, h and gradient before each step: a ReLU unit, h = relu(w h), should keep h > 0 for thirty steps."""
    w = nn.Parameter(torch.full((1,), knobs.recurrent_gain, dtype=torch.float64))
    optimizer = getattr(torch.optim, knobs.optimizer)([w], lr=0.01)
    for h in (0.5 + torch.rand(knobs.steps, generator=torch.Generator().manual_seed(knobs.seed))).tolist():
        passed = max(w.item(), 0)  # a negative w makes the unit silent
        gradient = 60 * passed**29 * (passed**30 - 1) * h**2  # of the loss (w**30 h - h)**2
        yield w.item(), h, gradient
        w.grad = torch.full_like(w, gradient)
        if mode not in ("none", *PLACE):  # misplaced, the clip is too late or thrown away
            clip([w], mode, knobs.max_norm)
        optimizer.step()


def descend_a_cliff(c: float, meaning: Any) -> Field2d:
    """A surface made for this picture: two plains, six high, and between them a ravine that falls to the right."""
    at = nn.Parameter(torch.tensor([-3.0, 2.2], dtype=torch.float64))
    optimizer, path, loss = torch.optim.SGD([at], lr=0.5), [at.tolist()], torch.zeros(())
    for _ in range(16):
        loss = 0.08 * (at[0] - 3) ** 2 + 0.1 * at[1] ** 2 + 6 * torch.sigmoid(6 * (at[1].abs() - 1))
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
    return abs(degrees(atan2(one[0] * two[1] - one[1] * two[0], one[0] * two[0] + one[1] * two[1])))


def draw_plane(c: float, g: list[float], norm: list[float], value: list[float]) -> Field2d:
    shown = min(1, 3 * c / (hypot(*g) or 1))  # a long raw arrow is cut, or the disc would be too small to see
    told = f"Raw {hypot(*g):.4g} long{'' if shown == 1 else ' (cut at 3 c)'}; by norm {hypot(*norm):.4g} and "
    told += f"{angle(norm, g):.1f}° off; by value {hypot(*value):.4g} and {angle(value, g):.1f}° off."
    ends: Any = ("raw", "neutral", [shown * part for part in g]), ("value", "second", value), ("norm", "measured", norm)
    arrows = [result.Arrow(x=0, y=0, dx=to[0], dy=to[1], label=n, meaning=m, quantity=n) for n, m, to in ends]
    xs, ys = zip(*[(c * cos(k * pi / 36), c * sin(k * pi / 36)) for k in range(72)], strict=True)
    disc = Region(label=f"norm ≤ {c:.3g}", x=xs, y=ys, meaning="measured")
    square = Region(label=f"each ≤ {c:.3g}", x=(-c, c, c, -c), y=(-c, -c, c, c), meaning="second")
    x, y, title, both = Axis(name="first component"), Axis(name="second component"), "To disc or square", (disc, square)
    return Field2d(id="plane", title=title, alt=told, caption=told, x=x, y=y, arrows=tuple(arrows), regions=both)


def draw_norms(c: float, mode: str, bare: list[float], norms: list[float]) -> Lines:
    told = f"h = relu(w h), thirty times: {sum(n > c for n in norms)} norms exceed c; unclipped {bare.count(0)} are 0."
    drawn: Any = ("no clip", "refuted", "bare", bare), (mode, "measured", "clipped", norms)
    both = [Series(name=n, x=range(len(v)), y=[max(s, 1e-6) for s in v], meaning=m, quantity=q) for n, m, q, v in drawn]
    limit, title = Series(name=f"c = {c:.3g}", x=(0, len(norms) - 1), y=(c, c)), "Gradient norms of a recurrent weight"
    x, y = Axis(name="step"), Axis(name="norm, or 1e-6 if that is more", scale="log", low=1e-6, high=1e15)
    return Lines(id="norms", title=title, alt=told, caption=told, x=x, y=y, series=(*both, limit))


def table(id: str, title: str, columns: tuple[str, ...], rows: Any, *lit: int) -> TableFigure:
    lines = "; ".join(" ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row) for row in rows)
    return TableFigure(id=id, title=title, alt=f"{title}. {lines}.", columns=columns, rows=tuple(rows), highlight=lit)


def run(knobs: Knobs, lab: Lab) -> Result:
    c, mode, g, scale = knobs.max_norm, knobs.mode, [knobs.gx, knobs.gy], knobs.loss_scale
    sgd, adam = ({rule: one_step(g, rule, c, scale, name) for rule in get_args(Mode)} for name in ("SGD", "Adam"))
    by, norm, value, last = sgd[mode], sgd["norm"], sgd["value"].seen, float(knobs.overflow) if knobs.add_inf else 3
    three: Any = [(rule, *one_step([1, 2, last], rule, c).seen) for rule in ("none", "norm", "value")]
    joint = list(map(sum, zip(one_step(g, "norm", c).seen, one_step([0, 1], "norm", c).seen, strict=True)))
    bare, clipped = list(train_recurrent_weight(knobs, "none")), list(train_recurrent_weight(knobs, mode))
    a: dict[str, Any] = {"norm": hypot(*g), "returned": float(norm.returned), "after": hypot(*by.seen), "limit": c}
    a |= {"turned": angle(by.seen, g), "by_norm": angle(norm.seen, g), "by_value": angle(value, g)}
    a |= {"ended": angle(by.seen, [1, 0]), "corner": hypot(*value), "unscaled": c / scale, "step": by.length}
    a |= {"bare_step": sgd["none"].length, "clipped_step": norm.length, "adam_step": adam["norm"].length}
    a |= {"adam": adam["norm"].length / (adam["none"].length or 1), "paces": round(100 * knobs.recurrent_gain) - 100}
    a |= {"apart": angle(joint, [g[0], g[1] + 1]), "steep": angle(joint, [1, 0]), "nans": sum(map(isnan, three[1][1:]))}
    a |= {"skewed": 0.2 * one_step([10], "norm", c).seen[0] + 0.8 * one_step([-1], "norm", c).seen[0]}
    a |= {"alive": sum(w > 0 for w, *_ in clipped), "clipped": sum(abs(slope) > c for *_, slope in clipped)}
    a |= {"arrival": [*(abs(w - 1) < 0.005 * c for w, *_ in clipped), True].index(True)}
    trace, paths = by.trace, (descend_a_cliff(inf, "refuted"), descend_a_cliff(c, "measured"))
    ends = f"A surface built to have a cliff, no network's loss. {paths[0].title}. {paths[1].title}."
    at, here = [trace.index(row) for row in trace if row[0] not in LOOP], list(sgd).index(mode)
    rows = [(rule, hypot(*s.seen), angle(s.seen, g), s.length, adam[rule].length) for rule, s in sgd.items()]
    figures = (
        draw_plane(c / scale, g, norm.seen, value),
        table("loop", "The loop, line by line", ("line", "gradient norm", "way gone"), trace, *at),
        result.SmallMultiples(id="cliff", title="At the edge of a ravine", alt=ends, caption=ends, panels=paths),
        draw_norms(c, mode, [abs(row[2]) for row in bare], [abs(row[2]) for row in clipped]),
        table("rules", "Rules and places", ("rule", "norm", "degrees", "SGD step", "Adam step"), rows, here),
        table("infinity", "Three gradients, clipped", ("rule", "first", "second", "third"), three),
    )
    lines = [(line, f"gradient {n:.4g}, moved {way:.4g}", None if line in LOOP else mode) for line, n, way in trace]
    code = tuple(CodeLine(code=line, value=value, quantity=lit) for line, value, lit in lines)
    told = f"{mode}: norm {a['norm']:.4g} becomes {a['after']:.4g} and turns by {a['turned']:.1f}°."
    return Result(summary=told, figures=figures, claims=settle(knobs, sgd, a, bare), answers=a, code=code)


def settle(knobs: Knobs, sgd: dict[str, Step], a: dict[str, Any], bare: list[Any]) -> tuple[Claim, ...]:
    c, seen, astray = knobs.max_norm, sgd["norm"].seen, max(abs(sgd[rule].length - a["bare_step"]) for rule in PLACE)
    factor, found = min(1, c / (knobs.loss_scale * a["norm"] + 1e-6)), a["returned"] / knobs.loss_scale - a["norm"]
    missed, mean = dist(seen, [factor * knobs.gx, factor * knobs.gy]), min(2, c / 5) - 0.8 * min(1, c)
    small, large = sorted((abs(knobs.gx), abs(knobs.gy)))
    alike = "" if 0.01 < small < large - 0.01 and large * knobs.loss_scale > c * 1.001 else "Cut alike, or not at all."
    tiny = "" if min(map(abs, seen)) > 1e-5 else "A component is so small that Adam's eps counts beside it."
    calm = "" if knobs.recurrent_gain > 1.05 and knobs.optimizer == "SGD" else "It is about SGD from above 1.05."
    whole = "" if knobs.add_inf and "inf" in knobs.overflow else "None of the three gradients is infinite here."
    facts = (
        ("coefficient", "By norm: g · min(1, c / (norm + 1e-6)).", missed, 0, 1e-9, "", "norm"),
        ("direction", "By norm the direction stays.", a["by_norm"], 0, 1e-6, "", "norm"),
        ("angle-changes", "By value the direction changes.", a["by_value"] > 1e-6, True, 0, alike, "value"),
        ("returned", "It returns the norm before clipping.", found, 0, 1e-9, "", "raw"),
        ("infinite", "By norm one inf becomes nan.", a["nans"], 1, 0, whole, None),
        ("misplaced", "Before backward() or after step() it changes no step.", astray, 0, 1e-12, "", None),
        ("adam", "Adam's first step does not shrink.", a["adam"], 1, 0.01, tiny, None),
        ("skewed", "The mean is min(2, c/5) - 0.8 min(1, c).", a["skewed"], mean, 1e-5, "", None),
        ("explodes", "Unclipped, one step throws w below 0.", sum(w > 0 for w, *_ in bare), 1, 0, calm, "bare"),
        ("recurrence", "This gradient is torch.nn.RNN's.", gap_to_torch(*bare[0]), 0, 1e-12, "", "bare"),
    )
    return tuple(
        outcome(id, says, m, expected, abs(m - expected) <= band, band, domain, band <= 1e-9, quantity=quantity)
        for id, says, m, expected, band, domain, quantity in facts
    )
