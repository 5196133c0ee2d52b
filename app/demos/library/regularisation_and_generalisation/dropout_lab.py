r"""Dropout in train and eval mode

In train mode `nn.Dropout(p)` zeroes each number with probability $p$ and divides the survivors by $1-p$. The division
keeps the mean, $E[y] = x$, so eval mode has nothing to correct and returns its input bit for bit. The price is a
variance of $x^2 p/(1-p)$ a pass, which falls like $1/T$ when $T$ passes are averaged. The backward pass multiplies by
the same mask. Activations are dropped, never weights, and the mean is exact only while all that follows is linear.
The classic rule keeps survivors as they are and multiplies by $1-p$ at test time; doing both, or neither, is a bug.
Source: Srivastava et al. (2014), sections 4 and 10; Gal and Ghahramani (2016), section 4; torch.nn.Dropout
"""

from itertools import pairwise
from math import inf, sqrt
from typing import Any, Literal

import torch
from torch import Tensor, nn

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed, switch
from app.demos.result import Axis, BarGroup, Bars, Claim, CodeLine, Heatmap, Lines, Mark, Result, Series, outcome

QUANTITY = {"forward": "layer", "backward": "gradient", "linear-mean": "mean", "relu-mean": "relu", "spread": "mean"}


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
    says = f"{int(dropped.sum())} of 64 cells are zero, the largest value is {values.max():.4g}."
    words = {"id": id, "title": title, "alt": says, "caption": says, "quantity": id, "row_name": "row"}
    cells, hatched, names = tuple(map(tuple, values.tolist())), tuple(map(tuple, dropped.tolist())), tuple("12345678")
    return Heatmap(rows=names, columns=names, values=cells, hatched=hatched, low=0, column_name="unit", **words)


def averages(unit: Tensor, relu: Tensor, eval_output: float, keep: float, deviation: float) -> Lines:
    """Running means over the passes; the band is where two of three means of T passes lie."""
    at = torch.arange(1, len(unit) + 1)[:: 1 + len(unit) // 100]  # unit and relu: (T,)
    means, behind = ((values.cumsum(0)[at - 1] / at).tolist() for values in (unit, relu))
    width = deviation / at.sqrt()
    band: dict[str, Any] = {"low": (eval_output - width).tolist(), "high": (eval_output + width).tolist()}
    band |= {"band": "one standard error around the eval output"}
    series = (
        Series(name="unit with input 2", x=at.tolist(), y=means, meaning="measured", quantity="mean", **band),
        Series(name="ReLU behind the layer", x=at.tolist(), y=behind, meaning="second", quantity="relu"),
    )
    marks = tuple(Mark(label=f"eval × {factor:.3g}", y=eval_output * factor, meaning="eval") for factor in (1, keep))
    says = f"After {len(unit)} passes the unit's mean is {means[-1]:.3f}, the ReLU's {behind[-1]:.3f}."
    words = {"title": "Averages over passes", "alt": says, "caption": f"{says} Band: one standard error around eval."}
    x, y = Axis(name="passes averaged"), Axis(name="running mean")
    return Lines(id="averages", x=x, y=y, series=series, marks=marks, **words)


def histogram(behind: Tensor, chance: Tensor, eval_output: float) -> Bars:
    """How often a linear neuron behind eight units gives which output: exact, over all 256 masks."""
    low, high = float(behind.min()), float(behind.max())
    edges = torch.linspace(low, high + 1e-9, 13, dtype=torch.float64)  # twelve bins
    shares = [float(chance[(behind >= left) & (behind < right)].sum()) for left, right in pairwise(edges.tolist())]
    centres = tuple(f"{(left + right) / 2:.1f}" for left, right in pairwise(edges.tolist()))
    says = f"Outputs from {low:.3g} to {high:.3g}; their mean is {chance @ behind:.3g}, in eval mode {eval_output:.3g}."
    bars = BarGroup(name="share of masks", values=tuple(shares), meaning="train", quantity="mean")
    words = {"title": "Output of one neuron behind the layer, over all masks", "alt": says, "caption": says}
    return Bars(id="outputs", categories=centres, y=Axis(name="probability", low=0.0), groups=(bars,), **words)


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
    )
    claims = (
        outcome(id, says, m, e, abs(m - e) <= t, t, why, t <= 1e-9, quantity=QUANTITY.get(id))
        for id, says, m, e, t, why in facts
    )
    says, near, far = "The mean is nearer to eval than to (1-p) eval.", a["error"], a["rescaled"]
    return (*claims, outcome("no-rescaling", says, near, f"below {far:.3g}", near < far, 0, sharp, quantity="mean"))


def over_every_mask(x: Tensor, p: float, train_scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Eight units under all 256 masks: each mask's probability, and the output of a neuron w behind them."""
    bits = (torch.arange(256)[:, None] >> torch.arange(8) & 1).double()  # (256, 8)
    probability = ((1 - p) * bits + p * (1 - bits)).prod(-1)  # (256,)
    w = torch.tensor([1, -1, 1, -1, 1, -1, 0.5, 0.5]).double() / x  # (8,), without dropout w · x = 1
    return probability, (x * bits * train_scale) @ w, w  # (256,), (256,), (8,)


def closed_forms(p: float, passes: int, train_scale: float) -> dict[str, float]:
    """What a unit that holds 2 becomes, its mean, variance and spread; and the numbers of the usual mistakes."""
    keep = 1 - p
    deviation, mean = 2 * train_scale * sqrt(p * keep), 2 * keep * train_scale
    mistakes = {"keep": keep, "times_p": 2 * p, "times_keep": 2 * keep, "unscaled": 4 * p * keep}
    mistakes |= {"scale_and_one": 1 / keep + 1, "to_recipe": 2 / keep - 2 * keep, "over_T": deviation / passes}
    mistakes |= {"channel": 8 + 56 * p, "element": 1 + 63 * p, "all": 64 * p}  # zeros, where one is known to be zero
    return mistakes | {
        "survivor": 2 * train_scale,
        "mean": mean,
        "scale": 1 / keep,
        "fall": 2 / keep - 2,  # from a survivor in train mode to eval mode
        "missing": mean - 2 * keep,  # where eval is multiplied by 1-p
        "variance": 4 * train_scale * train_scale * p * keep,
        "noise": p / keep / passes,
        "deviation": deviation,
        "spread": deviation / sqrt(passes),
    }


def lines_that_ran(mask: Tensor, a: dict[str, float], keep: float) -> tuple[CodeLine, ...]:
    return (
        CodeLine(code="mask = torch.rand_like(x) >= p", value=f"{int(mask.sum())} of 64 survive"),
        CodeLine(
            code="y = x * mask / (1 - p) if training else x",
            value=f"2 becomes {2 / keep:.4g} or 0; eval: 2",
            quantity="layer",
        ),
        CodeLine(code="dx = dy * mask / (1 - p)", value=f"1 becomes {1 / keep:.4g} or 0", quantity="gradient"),
        CodeLine(code="y.mean()  # over all masks", value=f"{a['mean']:.4g} for an input of 2", quantity="mean"),
        CodeLine(
            code="relu(w @ y).mean()  # over all masks", value=f"{a['relu']:.4g}, without dropout 1", quantity="relu"
        ),
    )


def run(knobs: Knobs, lab: Lab) -> Result:
    p, keep, passes = knobs.p, 1 - knobs.p, knobs.passes
    train_scale = 1 / keep if knobs.rule in ("inverted", "both") else 1.0
    eval_scale = keep if knobs.rule in ("classic", "both") else 1.0
    x = 2 + torch.arange(64, dtype=torch.float64).reshape(8, 8) / 32  # (8, 8), the first unit is 2
    ones = torch.ones(max(passes, 2), 8, 8).double()
    mask = torch_dropout(knobs, ones, True).ne(0).double()[:passes]  # (T, 8, 8)
    y = x * (mask[:1].expand_as(mask) if knobs.same_mask else mask) * train_scale  # (T, 8, 8)
    dead = mask[0] == 0  # (8, 8)
    inputs = x.expand(2, 8, 8).clone().requires_grad_()
    trained = torch_dropout(knobs, inputs, True)
    evaluated = torch_dropout(knobs, inputs, False).detach()  # (2, 8, 8)
    gradient = torch.autograd.grad(trained.sum(), inputs)[0][0]  # (8, 8)
    probability, behind, w = over_every_mask(x[0], p, train_scale)
    linear, relu = float(probability @ behind), float(probability @ behind.relu())
    error, rescaled = ((y.mean(0) / x / eval_scale - aim).square().mean().sqrt().item() for aim in (1.0, keep))
    survivors = nn.functional.dropout(torch.ones(knobs.samples), p)
    a = closed_forms(p, passes, train_scale) | {
        "forward": float(torch.dist(trained[0].detach(), x * mask[0] / keep, inf)),
        "backward": float(torch.dist(gradient, mask[0] / keep, inf)),
        "change": float((evaluated - x).abs().max()),
        "eval": float(evaluated[0, 0, 0]) * eval_scale,
        "still": float(evaluated.eq(0).double().mean()),
        "linear": linear,
        "relu": relu,
        "gap": relu - linear,
        "error": error,
        "rescaled": rescaled,
        "survived": float(survivors.mean()) * keep,
        "leaks": float(gradient[dead].abs().sum()),
        "dropped": float(dead.sum()),
    }
    shown = {"train": y[0], "monte carlo": y.mean(0), "eval": evaluated[0] * eval_scale}[knobs.mode]
    figures = (
        grid("layer", f"The layer's output in {knobs.mode} mode", shown, shown == 0),
        grid("gradient", "The gradient of the layer's sum", gradient, dead),
        averages(y[:, 0, 0], (y[:, 0] @ w).relu(), 2 * eval_scale, keep, a["deviation"]),
        histogram(behind, probability, eval_scale),
    )
    summary = (
        f"Train mode dropped {a['dropped']:.0f} of 64 units at p = {p:g}; a surviving 2 became {a['survivor']:.4g}."
    )
    return Result(
        summary=summary, figures=figures, claims=settle(knobs, a), answers=a, code=lines_that_ran(mask[0], a, keep)
    )
