r"""Dropout in train and eval mode

In train mode `nn.Dropout(p)` zeroes each number with probability $p$ and divides the survivors by $1-p$. The division
keeps the mean, $E[y] = x$, so eval mode has nothing to correct and returns its input bit for bit. The price is a
variance of $x^2 p/(1-p)$ a pass, which falls like $1/T$ when $T$ passes are averaged. The backward pass multiplies by
the same mask. Activations are dropped, never weights, and the mean is exact only while all that follows is linear.
The classic rule keeps survivors as they are and multiplies by $1-p$ at test time; doing both, or neither, is a bug.

Source: Srivastava et al. (2014), sections 4 and 10; Gal and Ghahramani (2016), section 4; torch.nn.Dropout
"""

from math import inf, sqrt
from typing import Literal

import torch
from torch import Tensor, nn

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed, switch
from app.demos.result import Axis, Claim, CodeLine, Heatmap, Lines, Mark, Result, Series, outcome


class Knobs(Parameters):
    p: float = number(0.3, 0, 0.95, step=0.05, help="Chance that a unit is dropped.")
    mode: Literal["train", "eval", "monte carlo"] = choice("train", help="Which output of the layer is drawn.")
    rule: Literal["inverted", "classic", "none", "both"] = choice("inverted", help="When outputs are rescaled.")
    passes: int = integer(100, 1, 2000, log=True, help="Train-mode passes T that are averaged.")
    kind: Literal["Dropout", "Dropout2d", "F.dropout", "attention"] = choice("Dropout", help="Whose masks.", more=True)
    same_mask: bool = switch(False, help="Reuse one mask for every pass.", more=True)
    samples: int = integer(20000, 100, 20000, log=True, help="Draws behind the share of survivors.", more=True)
    seed: int = seed()


def torch_dropout(knobs: Knobs, x: Tensor, training: bool) -> Tensor:
    torch.default_generator.manual_seed(knobs.seed)  # the same draws each time: masks are nested in p
    y: Tensor  # (N, 8, 8), as x
    if knobs.kind == "F.dropout":
        y = nn.functional.dropout(x, knobs.p)
    elif knobs.kind == "attention":  # softmax(log x) = x / row sum, applied to one-hot values
        zero, one_hot, attend = torch.zeros_like(x), torch.eye(8).to(x), nn.functional.scaled_dot_product_attention
        y = attend(zero, zero, one_hot.expand_as(x), x.log(), knobs.p) * x.sum(-1, keepdim=True)
    else:
        layer = nn.Dropout2d(knobs.p) if knobs.kind == "Dropout2d" else nn.Dropout(knobs.p)
        y = layer.train(training)(x[..., None])[..., 0]  # Dropout2d drops channels: whole rows of eight
    return y


def grid(id: str, title: str, values: Tensor, dropped: Tensor) -> Heatmap:
    alt = f"{title}: {int(dropped.sum())} of 64 cells are zero, the largest value is {values.max():.3f}."
    cells, hatched, names = tuple(map(tuple, values.tolist())), tuple(map(tuple, dropped.tolist())), tuple("12345678")
    return Heatmap(id=id, title=title, alt=alt, rows=names, columns=names, values=cells, hatched=hatched, low=0)


def averages(unit: Tensor, relu: Tensor, eval_output: float, keep: float) -> Lines:
    at = torch.arange(1, len(unit) + 1)[:: 1 + len(unit) // 100]  # unit and relu: (T,)
    means = [(values.cumsum(0)[at - 1] / at).tolist() for values in (unit, relu)]
    first = Series(name="unit with input 2", x=at.tolist(), y=means[0], meaning="measured", quantity="mean")
    second = Series(name="ReLU behind the layer", x=at.tolist(), y=means[1], meaning="second", quantity="relu")
    marks = tuple(Mark(label=f"eval × {factor:.3g}", y=eval_output * factor, meaning="eval") for factor in (1, keep))
    alt = f"After {len(unit)} passes the unit's mean is {means[0][-1]:.3f}, the ReLU's {means[1][-1]:.3f}."
    x, y = Axis(name="passes averaged"), Axis(name="running mean")
    return Lines(id="averages", title="Averages over passes", alt=alt, x=x, y=y, series=(first, second), marks=marks)


def settle(knobs: Knobs, a: dict[str, float]) -> tuple[Claim, ...]:
    p, keep, flag = knobs.p, 1 - knobs.p, knobs.kind in ("Dropout", "Dropout2d")
    kurtosis = 3 + ((1 - 3 * p * keep) / max(p * keep, 1e-9) - 3) / knobs.passes  # of a mean of T
    band = 5 * a["noise"] * sqrt((kurtosis - 1) / (8 if knobs.kind == "Dropout2d" else 64)) + 1e-12
    fresh = "This mean does not approach eval." if knobs.same_mask or knobs.rule in ("none", "both") else ""
    sharp = fresh or ("" if 5 * sqrt(a["noise"]) < p else "T is too small to tell the two apart.")
    obeys, ignores = ("", "This layer obeys eval().") if flag else ("No flag reaches this dropout.", "")
    facts = (
        ("forward", "In train mode torch returns x · mask / (1-p).", a["forward"], 0.0, 1e-12, ""),
        ("backward", "The gradient is the same mask / (1-p).", a["backward"], 0.0, 1e-12, ""),
        ("eval-identity", "After eval() the output is the input, bit for bit.", a["change"], 0.0, 0.0, obeys),
        ("eval-drops", "After eval() a share p is still zero.", a["still"], p, 5 * sqrt(p * keep / 128), ignores),
        ("linear-mean", "A linear neuron keeps the mean over masks.", a["linear"], a["mean"] / 2, 1e-12, ""),
        ("relu-mean", "A ReLU's mean is not below the ReLU of the mean.", min(a["gap"], 0), 0.0, 1e-12, ""),
        ("share", "A share 1-p survives.", a["survived"], keep, 5 * sqrt(p * keep / knobs.samples), ""),
        ("spread", "The mean of T passes has relative variance p/(1-p)/T.", a["error"] ** 2, a["noise"], band, fresh),
        ("no-rescaling", "The mean is nearer to eval than to (1-p) eval.", a["error"] < a["rescaled"], 1, 0, sharp),
    )
    return tuple(outcome(id, says, m, e, abs(m - e) <= t, t, why, t <= 1e-9) for id, says, m, e, t, why in facts)


def run(knobs: Knobs, lab: Lab) -> Result:
    p, keep, T, rule = knobs.p, 1 - knobs.p, knobs.passes, knobs.rule
    s, at_eval = (1 / keep if rule in ("inverted", "both") else 1.0), (keep if rule in ("classic", "both") else 1.0)
    x = 2 + torch.arange(64, dtype=torch.float64).reshape(8, 8) / 32  # (8, 8), the first unit is 2
    mask = torch_dropout(knobs, torch.ones(max(T, 2), 8, 8).double(), True).ne(0).double()[:T]  # (T, 8, 8)
    y = x * (mask[:1].expand_as(mask) if knobs.same_mask else mask) * s  # (T, 8, 8)
    inputs = x.expand(2, 8, 8).clone().requires_grad_()
    trained, evaluated = torch_dropout(knobs, inputs, True), torch_dropout(knobs, inputs, False).detach()
    gradient = torch.autograd.grad(trained.sum(), inputs)[0][0]  # (8, 8)
    bits = (torch.arange(256)[:, None] >> torch.arange(8) & 1).double()  # (256, 8), every mask of eight units
    w = torch.tensor([1, -1, 1, -1, 1, -1, 0.5, 0.5]).double() / x[0]  # (8,), without dropout w · x = 1
    chance, behind = (keep * bits + p * (1 - bits)).prod(-1), (x[0] * bits * s) @ w  # (256,) each
    linear, relu, dead = float(chance @ behind), float(chance @ behind.relu()), mask[0] == 0
    error, rescaled = ((y.mean(0) / x / at_eval - aim).square().mean().sqrt().item() for aim in (1.0, keep))
    a = {"forward": float(torch.dist(trained[0].detach(), x * mask[0] / keep, inf)), "times_p": 2 * p, "relu": relu}
    a |= {"backward": float(torch.dist(gradient, mask[0] / keep, inf)), "change": float((evaluated - x).abs().max())}
    a |= {"survivor": 2 * s, "mean": 2 * keep * s, "eval": float(evaluated[0, 0, 0]) * at_eval, "scale": 1 / keep}
    a |= {"times_keep": 2 * keep, "variance": 4 * s * s * p * keep, "unscaled": 4 * p * keep, "noise": p / keep / T}
    a |= {"deviation": 2 * s * sqrt(p * keep), "spread": 2 * s * sqrt(p * keep / T), "linear": linear, "error": error}
    a |= {"over_T": 2 * s * sqrt(p * keep) / T, "rescaled": rescaled, "still": float(evaluated.eq(0).double().mean())}
    a |= {"survived": float(nn.functional.dropout(torch.ones(knobs.samples), p).mean()) * keep, "gap": relu - linear}
    a |= {"leaks": float(gradient[dead].abs().sum()), "dropped": float(dead.sum())}
    shown = {"train": y[0], "monte carlo": y.mean(0), "eval": evaluated[0] * at_eval}[knobs.mode]
    summary = f"{a['dropped']:.0f} of 64 units were dropped at p = {p:g}; a surviving 2 became {2 * s:.4g}."
    figures = (
        grid("layer", f"The layer's output, {knobs.mode}", shown, shown == 0),
        grid("gradient", "The gradient of the layer's sum", gradient, dead),
        averages(y[:, 0, 0], (y[:, 0] @ w).relu(), 2 * at_eval, keep),
    )
    code = (
        CodeLine(code="mask = torch.rand_like(x) >= p", value=f"{int(mask[0].sum())} of 64 survive"),
        CodeLine(code="y = x * mask / (1 - p) if training else x", value=f"2 becomes {2 / keep:.4g} or 0; eval: 2"),
        CodeLine(code="dx = dy * mask / (1 - p)", value=f"1 becomes {1 / keep:.4g} or 0", quantity="gradient"),
    )
    return Result(summary=summary, figures=figures, claims=settle(knobs, a), answers=a, code=code)
