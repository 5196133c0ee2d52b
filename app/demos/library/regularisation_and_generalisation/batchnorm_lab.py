r"""Batch and layer normalisation

In train mode batch norm takes each feature by itself: subtract the batch mean, divide by the biased standard deviation
of the batch (plus $\epsilon$ under the root), scale by $\gamma$, shift by $\beta$. Beside that it keeps running
statistics, $r \leftarrow (1-m)\,r + m\,s$, with the unbiased variance, and eval mode normalises with those. While
training, a row's output depends on its batch mates, with noise of order $1/\sqrt{B}$, and a single row is refused.
Layer norm works along each row: no running statistics, the same in both modes, any batch size.
Source: Ioffe and Szegedy (2015), algorithms 1 and 2; Ba, Kiros and Hinton (2016), section 3; torch.nn.BatchNorm1d"""

from contextlib import suppress
from math import inf, sqrt
from typing import Any, Literal

import torch
from torch import Tensor, dist, nn
from torch.nn import functional as F

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed
from app.demos.result import Axis, BarGroup, Bars, Claim, CodeLine, Lines, Result, Series, outcome

WIDTHS = (4, 16, 64, 256)  # batch sizes in the picture of the noise


class Knobs(Parameters):
    batch: int = integer(16, 1, 256, log=True, unit="rows", help="Rows in the batch.")
    norm: Literal["batch", "layer", "none"] = choice("batch", help="What normalises.")
    input_scale: float = number(30, 0.01, 100, log=True, help="Standard deviation of the inputs.")
    momentum: float = number(0.1, 0.01, 1, step=0.01, help="Weight of the newest batch in the running statistics.")
    gamma: float = number(1, -3, 3, step=0.25, help="Learnable scale.", more=True)
    beta: float = number(0, -3, 3, step=0.25, help="Learnable shift.", more=True)
    seed: int = seed()


def normalised(x: Tensor, dim: int) -> Tensor:
    """Batch norm goes down the columns of x (rows, features), dim 0; layer norm along its rows, dim 1."""
    mean = x.mean(dim, keepdim=True)
    variance = x.var(dim, correction=0, keepdim=True)  # biased: divided by n
    return (x - mean) / (variance + 1e-5).sqrt()  # torch's eps


def layer(kind: str, features: int, **more: float) -> Any:
    return {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "none": nn.Identity}[kind](features, **more).double()


def running_statistics(momentum: float, noise: Tensor) -> tuple[list[float], float, float]:
    """A hundred batches, the last ten with mean 10: the running means, the last variance, its gap to the formula."""
    mean, variance = torch.zeros(1).double(), torch.ones(1).double()  # torch moves them in place
    batches = noise - noise.mean(1, keepdim=True)  # (100, rows, 1), each of mean 0
    batches[90:] += 10
    means, by_hand = list[float](), 1.0
    for x in batches:
        F.batch_norm(x, mean, variance, training=True, momentum=momentum)
        means.append(mean.item())
        by_hand = (1 - momentum) * by_hand + momentum * x.var().item()  # unbiased: divided by n - 1
    return means, variance.item(), abs(variance.item() - by_hand)


def noise_from_mates(rows: int, draws: Tensor) -> float:
    """Standard deviation of what a fixed 0.5 becomes in train mode, over 1,000 draws of the other rows."""
    fixed = torch.full((1, 1000), 0.5, dtype=torch.float64)
    x = torch.cat([fixed, draws[: rows - 1]])  # (rows, 1000), each column a batch of its own
    return F.batch_norm(x, None, None, training=True)[0].std().item()


def losses(kind: str, scale: float, data: Tensor) -> list[float]:
    """Forty steps of SGD at rate 0.1 on points inside or outside a circle, the inputs multiplied by ``scale``."""
    torch.default_generator.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 16).double(), layer(kind, 16), nn.ReLU(), nn.Linear(16, 1).double())
    inside = (data.square().sum(-1, keepdim=True) < 1.4).double()  # (128, 1)
    parameters, x, found = list(net.parameters()), data * scale, list[float]()
    for _ in range(40):
        loss = F.binary_cross_entropy_with_logits(net(x), inside)
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.data.add_(gradient, alpha=-0.1)
        found.append(loss.item())
    return found


def plot(id: str, title: str, says: str, x: Axis, y: Axis, at: Any, *curves: tuple[Any, ...]) -> Lines:
    """A curve is its name, meaning, values, and perhaps the quantity that it links to and its style."""
    fields = ("name", "meaning", "y", "quantity", "style")
    series = [Series(x=at, **dict(zip(fields, given, strict=False))) for given in curves]
    return Lines(id=id, title=title, alt=says, caption=says, x=x, y=y, series=series)


def draw_modes(x: Tensor, y: Tensor, y_eval: Tensor) -> Lines:
    inputs, train, evaluated = (values[:40, 0].tolist() for values in (x, y, y_eval))  # at most forty rows are drawn
    one, two = ("train mode", "train", train, "y", "points"), ("eval mode", "eval", evaluated, "eval", "points")
    says = f"Row 1 held {inputs[0]:.3g}; it leaves as {train[0]:.3g} in train mode, {evaluated[0]:.3g} in eval mode."
    given, output = Axis(name="input"), Axis(name="output")
    return plot("feature", "Feature 1, before and after the layer", says, given, output, inputs, one, two)


def draw_means(knobs: Knobs, y: Tensor) -> Bars:
    down, along = y.mean(0).tolist(), y.mean(1)[:8].tolist()  # at most eight rows are drawn
    spans = [f"{round(min(means), 3) + 0:g} to {round(max(means), 3) + 0:g}" for means in (down, along)]
    says = f"Means down a feature {spans[0]}, along a row {spans[1]}; beta is {knobs.beta:g}."
    titles = {"batch": "Each feature's mean is beta", "layer": "Each row's mean is beta", "none": "No mean is beta"}
    one = BarGroup(name="of a feature", values=down[: len(along)], meaning="measured", quantity="centre")
    two = BarGroup(name="of a row", values=along, meaning="second")
    names, title, axis = tuple("12345678"[: len(along)]), titles[knobs.norm], Axis(name="mean")
    return Bars(id="means", title=title, alt=says, caption=says, categories=names, y=axis, groups=(one, two))


def draw_running(means: list[float]) -> Lines:
    plain = [0.0] * 10 + [10 * late / (90 + late) for late in range(1, 11)]  # the last twenty batches are drawn
    one, two = ("running mean", "measured", means[80:], "running"), ("plain average", "refuted", plain)
    says = f"After ten batches of mean 10 the running mean is {means[-1]:.3f}, the plain average 1."
    batch, mean = Axis(name="batch"), Axis(name="mean", low=0, high=10)
    return plot("running", "Ninety batches of mean 0, then ten of 10", says, batch, mean, range(81, 101), one, two)


def draw_noise(noise: dict[int, float]) -> Lines:
    measured, law = [noise[rows] for rows in WIDTHS], [noise[256] * sqrt(256 / rows) for rows in WIDTHS]
    one, two = ("measured", "measured", measured, "noise", "line+points"), ("∝ 1/√rows", "second", law)
    says = "Noise with " + ", ".join(f"{rows} rows {noise[rows]:.3f}" for rows in WIDTHS) + "."
    x, y = Axis(name="rows", scale="log"), Axis(name="standard deviation", scale="log")
    return plot("noise", "In batch norm the mates make noise", says, x, y, WIDTHS, one, two)


def draw_losses(kind: str, chosen: list[float], plain: list[float]) -> Lines:
    both = [(f"{kind} norm", "measured", chosen, "loss"), ("plain net", "second", plain)]
    curves = both[1:] if kind == "none" else both
    says = "After 40 steps: " + ", ".join(f"{name} {values[-1]:.4g}" for name, _, values, *_ in curves) + "."
    step, loss = Axis(name="step"), Axis(name="loss", scale="log" if max(plain) > 5 else "linear")
    return plot("losses", "Loss in training (a coin flip has 0.693)", says, step, loss, range(1, 41), *curves)


def settle(knobs: Knobs, a: dict[str, Any]) -> tuple[Claim, ...]:
    beta, scale, m = knobs.beta, knobs.input_scale, knobs.momentum
    expected_mean, one_batch = 10 * (1 - (1 - m) ** 10), 10 * (1 - m) / sqrt(1 + 99 * m + 1e-5)
    other = "" if knobs.norm == "batch" else "The sentence is about batch norm; something else normalises here."
    tiny = other or ("" if scale >= 1 else "Below scale 1 the eps under the root counts: the scale does not cancel.")
    small = other or ("" if scale > 90 else "Below scale 90 the plain net copes, or hardly moves.")
    facts = (
        ("by-hand", "Batch norm: (x - mean) / sqrt(biased variance + eps).", a["gap"], 0, 1e-9, "", "normalised"),
        ("affine", "Then gamma times that, plus beta.", a["affine_gap"], 0, 1e-9, "", "y"),
        ("running-mean", "Running mean: 10 (1 - (1-m)^10).", a["mean"], expected_mean, 1e-9, "", "running"),
        ("running-variance", "Running variance: averages unbiased ones.", a["variance_gap"], 0, 1e-9, "", "variance"),
        ("eval", "Eval mode normalises with the running statistics.", a["eval_gap"], 0, 1e-9, "", "eval"),
        ("one-batch", "After one batch: 10(1-m)/sqrt(1+99m+eps).", a["eval_output"], one_batch, 1e-9, "", "eval"),
        ("centre", "A feature's mean over the batch is beta.", a["centre"], beta, 1e-9, other, "centre"),
        ("noise", "64 rows make less than a third of the noise of 4.", a["quiet"], True, 0, "", "noise"),
        ("steady", "The final loss hardly knows the input scale.", a["loss"], a["steady"], 0.02, tiny, "loss"),
        ("robust", "The plain net ends higher.", a["plain_loss"] > a["loss"], True, 0, small, "loss"),
    )
    return tuple(
        outcome(id, says, value, wanted, abs(value - wanted) <= off, off, why, 0 < off <= 1e-9, quantity=link)
        for id, says, value, wanted, off, why, link in facts
    )


def lines_run(knobs: Knobs, x: Tensor, hand: Tensor, a: dict[str, Any]) -> tuple[CodeLine, ...]:
    dim, x_hat = 1 if knobs.norm == "layer" else 0, "x" if knobs.norm == "none" else "x_hat"
    mean, variance, first = x.mean(dim)[0], x.var(dim, correction=0)[0], hand[0, 0]
    lines = (
        (f"mean, variance = x.mean({dim}), x.var({dim}, correction=0)", f"{mean:.4g} and {variance:.4g}, …", None),
        ("x_hat = (x - mean) / (variance + eps).sqrt()", f"{x[0, 0]:.4g} becomes {first:.4g}", "normalised"),
        (f"y = gamma * {x_hat} + beta", f"{knobs.gamma * first + knobs.beta:.4g}, …", "y"),
        ("running_mean = (1 - m) * running_mean + m * mean", f"in the end {a['mean']:.4g}", "running"),
        ("running_var = (1 - m) * running_var + m * x.var(0)", f"in the end {a['variance']:.4g}", "variance"),
        ("(x - running_mean) / (running_var + eps).sqrt()", f"eval: 10 becomes {a['eval_output']:.4g}", "eval"),
    )
    shown = {"batch": lines, "layer": lines[:3], "none": lines[2:3]}[knobs.norm]
    return tuple(CodeLine(code=code, value=value, quantity=link) for code, value, link in shown)


def run(knobs: Knobs, lab: Lab) -> Result:
    rows, kind, m, gamma, beta = max(knobs.batch, 2), knobs.norm, knobs.momentum, knobs.gamma, knobs.beta
    draws = torch.randn(256, 1000, generator=lab.generator(), dtype=torch.float64)
    x, data = 3 + knobs.input_scale * draws[:rows, :8], draws[:128, 8:10]  # (rows, 8), (128, 2)
    bn = layer("batch", 8, momentum=m)
    trained, evaluated = bn(x).detach(), bn.eval()(x).detach()  # the first moves the running statistics
    eval_by_hand = (x - bn.running_mean) / (bn.running_var + 1e-5).sqrt()
    hand = {"batch": normalised(x, 0), "layer": normalised(x, 1), "none": x}[kind]
    y = gamma * layer(kind, 8)(x).detach() + beta
    y_eval = gamma * evaluated + beta if kind == "batch" else y  # only batch norm knows two modes
    means, stored, variance_gap = running_statistics(m, draws[:100, :rows, None])
    figures: list[Any] = [draw_modes(x, y, y_eval), draw_means(knobs, y), draw_running(means)]
    lab.frame(figures, 1, 2)
    noise = {width: noise_from_mates(width, draws) for width in {*WIDTHS, rows, min(4 * rows, 256)}}
    plain, steady = losses("none", knobs.input_scale, data), losses(kind, 1.0, data)
    normed = plain if kind == "none" else losses(kind, knobs.input_scale, data)
    a: dict[str, Any] = {"mean": means[-1], "variance": stored, "variance_gap": variance_gap, "single": "an error"}
    with suppress(ValueError):
        a["single"] = "numbers" if len(layer(kind, 8)(x[: knobs.batch])) else ""
    one = layer("batch", 1, momentum=m)
    one(torch.tensor([[10 - sqrt(50)], [10 + sqrt(50)]], dtype=torch.float64))  # mean 10, unbiased variance 100
    a |= {"eval_output": one.eval()(torch.full((1, 1), 10.0).double()).item(), "eval_batch_spread": 1 - m}
    a |= {"upper": beta + gamma, "lower": beta - gamma, "unbiased": beta + gamma / sqrt(2), "linear": 100 * m}
    a |= {"centre": y[:, 0].mean().item(), "balance": trained.mean().item(), "quiet": noise[64] < noise[4] / 3}
    a |= {"gap": dist(trained, normalised(x, 0), inf).item(), "eval_gap": dist(evaluated, eval_by_hand, inf).item()}
    a |= {"affine_gap": dist(y, gamma * hand + beta, inf).item(), "ratio": noise[rows] / noise[min(4 * rows, 256)]}
    a |= {"noise": noise[rows], "noise_inverse": noise[16] * 16 / rows, "noise_grows": noise[16] * sqrt(rows / 16)}
    a |= {"loss": normed[-1], "plain_loss": plain[-1], "steady": steady[-1], "row_means": len(x.mean(1))}
    a |= {"lower_loss": "with batch norm" if normed[-1] < plain[-1] else "without", "cells": x.numel()}
    figures += [draw_noise(noise), draw_losses(kind, normed, plain)]
    says = f"Batch norm: running mean {means[-1]:.3f}, noise at 4 rows {noise[4]:.3f}. Loss ({kind}): {normed[-1]:.3f}."
    return Result(summary=says, figures=figures, claims=settle(knobs, a), answers=a, code=lines_run(knobs, x, hand, a))
