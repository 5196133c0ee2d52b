r"""Batch and layer normalisation

In train mode batch norm takes each feature by itself: subtract the batch mean, divide by the biased standard deviation
of the batch (plus $\epsilon$ under the root), scale by $\gamma$, shift by $\beta$. Beside that it keeps running
statistics, $r \leftarrow (1-m)\,r + m\,s$, with the unbiased variance, and eval mode normalises with those. While
training, a row's output depends on its batch mates, with noise of order $1/\sqrt{B}$, and a single row is refused.
Layer norm works along each row: no running statistics, the same in both modes, any batch size.

Source: Ioffe and Szegedy (2015), algorithms 1 and 2; Ba, Kiros and Hinton (2016), section 3; torch.nn.BatchNorm1d
"""

from contextlib import suppress
from typing import Any, Literal

import torch
from torch import Tensor, nn

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed
from app.demos.result import Axis, CodeLine, Lines, Result, Series, outcome


class Knobs(Parameters):
    batch: int = integer(16, 1, 256, log=True, unit="rows", help="Rows in the batch.")
    norm: Literal["batch", "layer", "none"] = choice("batch", help="What normalises.")
    input_scale: float = number(30, 0.01, 100, log=True, help="Standard deviation of the inputs.")
    momentum: float = number(0.1, 0.01, 1, step=0.01, help="Weight of the newest batch in the running statistics.")
    gamma: float = number(1, -3, 3, step=0.25, help="Learnable scale.", more=True)
    beta: float = number(0, -3, 3, step=0.25, help="Learnable shift.", more=True)
    seed: int = seed()


def normalised(x: Tensor, dim: int) -> Tensor:
    return (x - x.mean(dim, keepdim=True)) / (x.var(dim, correction=0, keepdim=True) + 1e-5).sqrt()


def layer(kind: str, features: int) -> Any:
    return {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "none": nn.Identity}[kind](features).double()


def running_mean(momentum: float, rows: int, noise: Tensor) -> tuple[list[float], float]:
    bn, means, variance = nn.BatchNorm1d(1, momentum=momentum).double(), list[float](), 1.0
    for step in range(100):
        x = noise[step, :rows] - noise[step, :rows].mean() + (10 if step >= 90 else 0)  # (rows, 1), mean 0, then 10
        bn(x)
        means.append(bn.get_buffer("running_mean").item())
        variance = (1 - momentum) * variance + momentum * x.var().item()
    return means, abs(bn.get_buffer("running_var").item() - variance)


def mates(rows: int, draws: Tensor) -> float:
    x = torch.cat([torch.full((1, 1000), 0.5, dtype=torch.float64), draws[: rows - 1]])  # (rows, 2000)
    return nn.functional.batch_norm(x, None, None, training=True)[0].std().item()


def losses(kind: str, scale: float, data: Tensor) -> list[float]:
    """Forty steps of SGD at rate 0.1 on points inside or outside a circle, the inputs multiplied by ``scale``."""
    torch.default_generator.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 16).double(), layer(kind, 16), nn.ReLU(), nn.Linear(16, 1).double())
    target, found = (data.square().sum(-1, keepdim=True) < 1.4).double(), list[float]()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(net(data * scale), target)
        torch.autograd.backward(loss)
        optimizer.step()
        found.append(loss.item())
    return found


def lines(id: str, title: str, x: str, y: str, at: list[int], **runs: list[float]) -> Lines:
    alt = f"{title}. At the end: " + ", ".join(f"{name} {values[-1]:.4g}" for name, values in runs.items()) + "."
    drawn = tuple(Series(name=name, x=at, y=values, style="line+points") for name, values in runs.items())
    return Lines(id=id, title=title, alt=alt, x=Axis(name=x), y=Axis(name=y), series=drawn)


def run(knobs: Knobs, lab: Lab) -> Result:
    rows, gamma, beta, m, kind = max(knobs.batch, 2), knobs.gamma, knobs.beta, knobs.momentum, knobs.norm
    draws, scale = torch.randn(256, 1000, generator=lab.generator(), dtype=torch.float64), knobs.input_scale
    x, widths = 3 + scale * draws[:rows, :8], [4, 16, 64, 256]  # (rows, 8)
    bn, hand = layer("batch", 8), {"batch": normalised(x, 0), "layer": normalised(x, 1), "none": x}[kind]
    y, gap = gamma * layer(kind, 8)(x).detach() + beta, (bn(x) - normalised(x, 0)).abs().max().item()
    stored, spread = bn.get_buffer("running_mean"), (bn.get_buffer("running_var") + 1e-5).sqrt()
    eval_gap = (bn.eval()(x) - (x - stored) / spread).abs().max().item()
    (means, variance_gap), noise = running_mean(m, rows, draws[:100, :rows, None]), [mates(w, draws) for w in widths]
    at, few = list(range(1, 101)), min(rows, 12)
    running = lines("running", "Batches of mean 0, then 10", "batch", "running mean", at, running=means)
    lab.frame((running,), 1, 2)
    plain, chosen, steady = (losses(*pair, draws[:128, 8:10]) for pair in (("none", scale), (kind, scale), (kind, 1.0)))
    a: dict[str, Any] = {"mean": means[-1], "upper": beta + gamma, "lower": beta - gamma, "single": "an error"}
    with suppress(ValueError):
        a["single"] = "numbers" if len(layer(kind, 8)(x[: knobs.batch])) else ""
    a |= {"ratio": mates(rows, draws) / mates(min(4 * rows, 256), draws), "loss": chosen[-1], "plain_loss": plain[-1]}
    a |= {"centre": y[:, 0].mean().item(), "balance": bn.train()(x).mean().item(), "unbiased": beta + gamma / 2**0.5}
    other, large = "" if kind == "batch" else "This is not batch norm.", "" if scale >= 1 else "Here eps matters."
    broken = other or ("" if scale > 90 else "At this scale the plain net copes, or stands still.")
    facts = (
        ("by-hand", "Batch norm: (x - mean) / sqrt(biased variance + eps).", gap, 0, 1e-9, ""),
        ("affine", "Then gamma times that, plus beta.", (y - gamma * hand - beta).abs().max().item(), 0, 1e-9, ""),
        ("running-mean", "Running mean: 10 (1 - (1-m)^10).", means[-1], 10 * (1 - (1 - m) ** 10), 1e-9, ""),
        ("running-variance", "Running variance: of the unbiased ones.", variance_gap, 0, 1e-9, ""),
        ("eval", "Eval mode normalises with the running statistics.", eval_gap, 0, 1e-9, ""),
        ("centre", "A feature's mean over the batch is beta.", a["centre"], beta, 1e-9, other),
        ("noise", "64 rows make less than a third of the noise of 4.", noise[2] < noise[0] / 3, True, 0, ""),
        ("steady", "The final loss hardly knows the input scale.", chosen[-1], steady[-1], 0.02, other or large),
        ("robust", "The plain net ends higher.", plain[-1] > chosen[-1], True, 0, broken),
    )
    claims = tuple(outcome(id, says, v, e, abs(v - e) <= t, t, why, 0 < t <= 1e-9) for id, says, v, e, t, why in facts)
    said = f"Running mean {means[-1]:.3f}, noise with 4 rows {noise[0]:.3f}, final loss {chosen[-1]:.3f}."
    figures = (
        lines("feature", "One feature of the batch", "row", "value", at[:few], output=y[:few, 0].tolist()),
        running,
        lines("noise", "Noise that batch mates make in one row", "rows", "standard deviation", widths, noise=noise),
        lines("losses", "Loss in training", "step", "loss", at[:40], chosen=chosen, plain=plain),
    )
    code = (
        CodeLine(code="y = (x - x.mean(0)) / (x.var(0, correction=0) + eps).sqrt()", value=f"{hand[0, 0]:.4g}, …"),
        CodeLine(code="running_mean = (1 - m) * running_mean + m * x.mean(0)", value=f"in the end {means[-1]:.4g}"),
    )
    return Result(summary=said, figures=figures, claims=claims, answers=a, code=code)
