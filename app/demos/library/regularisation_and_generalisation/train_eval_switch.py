r"""train(), eval(), no_grad(), inference_mode()

Two independent switches are often taken for one. `train()` and `eval()` flip a flag that dropout and batch norm read:
whether masks are drawn, and whose statistics normalise. `no_grad()` and `inference_mode()` stop the recording for
`backward()` and nothing else. So an eval pass has gradients, and a `no_grad` pass in train mode is random and moves
running means. In train mode dropout before a linear model adds $\frac{p}{1-p}\sum_j w_j^2 E[x_j^2]$ to the mean loss.
Source: Srivastava et al. (2014), section 9.1; Ioffe and Szegedy (2015), section 3.1; torch.nn.Module.eval
"""

from math import sqrt
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, number, seed, switch
from app.demos.result import Axis, BarGroup, Bars, Claim, CodeLine, Heatmap, Meaning, Result, TableFigure, outcome

CONTEXTS = {"grad": torch.enable_grad, "no_grad": torch.no_grad, "inference_mode": torch.inference_mode}
MATES = {"same": range(1, 8), "shuffled": range(7, 0, -1), "one new": range(2, 9), "others": range(9, 16)}
FIELDS = ("difference", "drift", "gradient")
COLOURS: dict[str, Meaning] = {"train mode": "train", "eval mode": "eval", "gradient": "neutral", "move": "measured"}


class Knobs(Parameters):
    mode: Literal["train", "eval"] = choice("train", help="Flag of the module.")
    context: Literal["grad", "no_grad", "inference_mode"] = choice("grad", help="What records the operations.")
    batch_mates: Literal["same", "shuffled", "one new", "others"] = choice("same", help="Other rows in pass 2.")
    functional_dropout: bool = switch(False, help="Ends in F.dropout(x, 0.5) without training=.")
    p: float = number(0.5, 0, 0.8, step=0.05, help="Chance that nn.Dropout drops a unit.", more=True)
    momentum: float = number(0.9, 0, 0.95, step=0.05, help="Momentum of the SGD behind a dropped unit.", more=True)
    seed: int = seed()


def two_passes(knobs: Knobs, mode: str, context: str, batches: tuple[Tensor, Tensor]) -> dict[str, Any]:
    torch.default_generator.manual_seed(knobs.seed)
    layers = nn.Sequential(nn.Linear(6, 64), nn.BatchNorm1d(64), nn.ReLU()).double()
    model = nn.Sequential(layers, nn.Dropout(knobs.p)).train(mode == "train")
    weight, running_mean = model.get_parameter("0.0.weight"), model.get_buffer("0.1.running_mean")
    before, half = weight.detach().clone(), 0.5 * knobs.functional_dropout
    with CONTEXTS[context]():
        units = [layers(batch) for batch in batches]  # (8, 64) each
        one, two = (dropout(model[1](active), half) for active in units)  # the function sees no flag
    if one.requires_grad:
        torch.autograd.backward(one.square().sum())
    outputs, active = torch.stack([one, two]).detach(), torch.stack(units) > 0  # (2, 8, 64)
    is_dropped = active & (outputs == 0)
    found: dict[str, Any] = {"row": outputs[:, 0, :16], "dropped row": is_dropped[:, 0, :16]}  # the first, twice
    found |= {"active": float(active.sum()), "dropped": float(is_dropped.sum() / active.sum())}
    found |= {"difference": float((outputs[1, 0] - outputs[0, 0]).abs().max()), "recorded": one.requires_grad}
    found |= {"drift": float(running_mean.abs().max()), "weights": int((weight != before).sum())}
    return found | {"gradient": 0.0 if weight.grad is None else float(weight.grad.norm())}


def normalise_behind(p: float) -> dict[str, float]:
    """Running statistics behind dropout, and those of a batch norm whose parameters are frozen."""
    x = torch.randn(4000, 1).double()
    y = dropout(x, p)
    norm = nn.BatchNorm1d(1, eps=1e-12, momentum=1.0).double()  # it keeps the last batch only
    slow = nn.BatchNorm1d(1, momentum=0.1).double().requires_grad_(False)  # frozen, with torch's own momentum
    norm(y), slow(y)
    stored = norm.get_buffer("running_var").item()
    found = {"slow_variance": slow.get_buffer("running_var").item(), "slow_expected": 0.9 + 0.1 * stored}
    found |= {"stored": stored / x.var().item(), "eval_variance": norm.eval()(x).var().item()}
    norm.requires_grad_(False).train()(5 + x)
    found |= {"frozen_mean": norm.get_buffer("running_mean").item(), "batch_mean": (5 + x).mean().item()}
    return found | {"eval_change": (norm.eval()(5 + x) - 5 - x).abs().max().item()}


def losses(p: float) -> dict[str, float]:
    """A linear model whose inputs are dropped: exact means over all masks, one mask, and none."""
    x, noise = torch.randn(2, 64, 8).double(), torch.randn(2, 64).double()  # training and validation rows
    w = 1 / x[0].square().mean(0).sqrt() / sqrt(8)  # (8,), so that the sum of w² E[x²] is 1
    y = x @ w + noise / noise[0].square().mean().sqrt() / 2  # (2, 64), the training rows' loss in eval mode is 0.25
    masks = (torch.arange(256)[:, None] >> torch.arange(8) & 1).double()  # (256, 8), all there are
    chance = ((1 - p) * masks + p * (1 - masks)).prod(-1)  # (256,)
    outputs = (x * masks[:, None, None] / (1 - p)) @ w  # (256, 2, 64)
    mean, validation_mean = (chance @ (outputs - y).square().mean(-1)).tolist()
    once = (dropout(x[0], p) @ w - y[0]).square().mean().item()
    in_eval, validation = (x @ w - y).square().mean(-1).tolist()
    found = {"train, mean": mean, "train, once": once, "eval": in_eval, "validation": validation}
    return found | {"validation, dropped": validation_mean, "excess": mean - in_eval, "luck": once - in_eval}


def two_steps(momentum: float) -> list[float]:
    """How far SGD moves the weight behind a unit that is 2 in the first step and dropped in the second."""
    weight, moves = nn.Parameter(torch.ones(1).double()), []
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=momentum)
    for unit in (2.0, 0.0):
        before, weight.grad = weight.item(), None
        torch.autograd.backward((weight * unit).sum())  # the gradient is the unit
        optimizer.step()
        moves.append(before - weight.item())
    return moves


def on_paper(p: float, function: float) -> dict[str, float]:
    """Closed forms, right and wrong, for 384 weights and 64 units; ``function`` is the share that F.dropout drops."""
    keep, zeros = 1 - p, 1 - (1 - p) * (1 - function)
    layer = {"scale": 1 / keep, "keep": keep, "share": 384 * p, "masked": 64 * p, "unmasked": 64 * keep}
    layer |= {"both": 448 * p, "slow": 0.9 + 0.1 / keep, "shrinking": 0.9 + 0.1 * keep}
    return layer | {"p": p, "fall": zeros - function, "zeros": zeros}


def settle(knobs: Knobs, a: dict[str, Any]) -> tuple[Claim, ...]:
    p, function = knobs.p, 0.5 * knobs.functional_dropout
    wild = "The model calls F.dropout, which no flag reaches." if function else ""
    alike = "" if a["zeros"] > 0.19 or max(MATES[knobs.batch_mates]) > 7 else "A small p can drop the same units twice."
    share, moved, slow = a["zeros"] if knobs.mode == "train" else function, 2 * knobs.momentum, a["slow_expected"]
    drift, product = a["train_drift"] * (a["eval_drift"] == 0), a["eval_variance"] * a["stored"]
    band = 5 * sqrt(share * (1 - share) / a["active"])  # five standard errors, here and in the next line
    wide = 5 * sqrt((3 / (1 - p) - 1) / 4000) / (1 - p)
    facts = (
        ("train-differs", "Two train-mode passes differ.", a["train_difference"], "above 0", 0, alike, "difference"),
        ("eval-agrees", "Two eval passes agree on a row.", a["eval_difference"], 0, 1e-12, wild, "difference"),
        ("eval-gradient", "In eval mode gradients reach layer 1.", a["eval_gradient"], "above 0", 0, "", "gradient"),
        ("no-record", "no_grad and inference_mode record nothing.", a["unrecorded"], 4, 0, "", "gradient"),
        ("drift", "Running means move in train, never in eval.", drift, "above 0", 0, "", "drift"),
        ("frozen", "A frozen batch norm moves in train mode.", a["frozen_mean"], a["batch_mean"], 1e-12, "", "drift"),
        ("weights", "No pass changes a weight.", a["weights"], 0, 0, "", "dropped"),
        ("dropped", "nn.Dropout drops in train only, F.dropout always.", a["dropped"], share, band, "", "dropped"),
        ("stored", "Batch norm stores 1/(1-p) × the variance.", a["stored"], a["scale"], wide, "", "variance"),
        ("shrunk", "In eval mode it divides by what it stored.", product, 1, 1e-9, "", "variance"),
        ("slow", "Frozen, it still moves a tenth of the way.", a["slow_variance"], slow, 1e-12, "", "variance"),
        ("penalty", "Here dropout adds p/(1-p) to the mean loss.", a["excess"], p / (1 - p), 1e-12, "", "losses"),
        ("momentum", "A dropped unit's weight moves by momentum × 2.", a["move"], moved, 1e-12, "", "move"),
    )
    return tuple(
        outcome(id, says, m, e, m > 0 if e == "above 0" else abs(m - e) <= t, t, why, t <= 1e-9, quantity=quantity)
        for id, says, m, e, t, why, quantity in facts
    )


def bars(id: str, title: str, axis: str, says: str, groups: dict[str, list[float]], *names: str) -> Bars:
    drawn = tuple(BarGroup(name=name, values=y, meaning=COLOURS[name], quantity=id) for name, y in groups.items())
    return Bars(id=id, title=title, alt=says, caption=says, categories=names, y=Axis(name=axis, low=0), groups=drawn)


def draw_settings(knobs: Knobs, six: dict[tuple[str, str], dict[str, Any]], a: dict[str, Any]) -> TableFigure:
    names, title = ("mode", "context", "differ by", "drift", "gradient"), "Six settings, two passes each"
    rows = tuple((m, c.removesuffix("_mode"), *(f"{r[x]:.4g}" for x in FIELDS)) for (m, c), r in six.items())
    here = (list(six).index((knobs.mode, knobs.context)),)
    says = f"The running mean drifts by {a['train_drift']:.3g} in train mode, by {a['eval_drift']:.3g} in eval mode."
    return TableFigure(id="settings", title=title, alt=says, caption=says, columns=names, rows=rows, highlight=here)


def draw_row(mode: str, chosen: dict[str, Any]) -> Heatmap:
    hatched = chosen["dropped row"]  # (2, 16)
    one, two = hatched.sum(-1).tolist()
    says = f"Of 16 units {one} are dropped in pass 1 and {two} in pass 2 (hatched); other empty ones are zeros of ReLU."
    words = {"title": f"One row, twice in {mode} mode", "alt": says, "caption": says, "quantity": "dropped"}
    axes = {"rows": ("1", "2"), "columns": tuple(map(str, range(1, 17))), "row_name": "pass", "column_name": "unit"}
    return Heatmap(id="outputs", values=chosen["row"].tolist(), hatched=hatched.tolist(), low=0, **words, **axes)


def draw_bars(a: dict[str, Any], steps: list[float]) -> tuple[Bars, ...]:
    mean, once, none, stored, output = (a[x] for x in ("train, mean", "train, once", "eval", "stored", "eval_variance"))
    losses = {"train mode": [mean, a["validation, dropped"]], "eval mode": [none, a["validation"]]}
    variances, path = {"train mode": [stored, stored, 1], "eval mode": [1, stored, output]}, {"gradient": [2.0, 0.0]}
    loss = f"Training rows: {mean:.3g} over all masks, {once:.3g} with one mask a row, {none:.3g} with none."
    variance = f"Train mode meets and stores {stored:.3g}; eval mode meets 1 and divides by it: {output:.3g}."
    move = f"In step 2 the gradient is 0; momentum moves the weight by {steps[1]:.3g}."
    return (
        bars("losses", "One linear model in both modes", "mean loss", loss, losses, "training rows", "validation rows"),
        bars("variance", "Batch norm behind dropout", "variance", variance, variances, "input", "stored", "output"),
        bars("move", "The weight behind a unit", "size", move, path | {"move": steps}, "1: kept", "2: dropped"),
    )


def lines_that_ran(knobs: Knobs, a: dict[str, Any]) -> tuple[CodeLine, ...]:
    context = "enable_grad" if knobs.context == "grad" else knobs.context
    drops = "F.dropout(dropout(units), 0.5)" if knobs.functional_dropout else "dropout(units)"
    return (
        CodeLine(code=f"model.{knobs.mode}()", value=f"passes differ by {a['difference']:.3g}", quantity="difference"),
        CodeLine(code=f"with torch.{context}():", value=f"gradient {a['gradient']:.0f}", quantity="gradient"),
        CodeLine(code="units = relu(batch_norm(x @ W))", value=f"mean moves by {a['drift']:.3g}", quantity="drift"),
        CodeLine(code=drops, value=f"{a['dropped']:.1%} of the units dropped", quantity="dropped"),
        CodeLine(code="mse(dropout(x) @ w, y)", value=f"{a['excess']:.4g} above eval mode", quantity="losses"),
        CodeLine(code="optimizer.step()  # unit dropped", value=f"weight moves by {a['move']:.3g}", quantity="move"),
    )


def run(knobs: Knobs, lab: Lab) -> Result:
    rows = 5 + 3 * torch.randn(16, 6, generator=lab.generator(), dtype=torch.float64)
    batches = (rows[:8], rows[[0, *MATES[knobs.batch_mates]]])  # (8, 6) each
    six = {(mode, name): two_passes(knobs, mode, name, batches) for mode in ("train", "eval") for name in CONTEXTS}
    chosen = six[knobs.mode, knobs.context]
    steps, a = two_steps(knobs.momentum), {name: value for name, value in chosen.items() if "row" not in name}
    for field in FIELDS:
        a[f"train_{field}"] = min(six["train", context][field] for context in CONTEXTS)
        a[f"eval_{field}"] = max(six["eval", context][field] for context in CONTEXTS)
    a |= {"weights": sum(row["weights"] for row in six.values()), "move": steps[1]}
    a |= {"unrecorded": sum(not row["recorded"] for row in six.values()), "moves": "yes" if a["drift"] else "no"}
    a |= normalise_behind(knobs.p) | losses(knobs.p) | on_paper(knobs.p, 0.5 * knobs.functional_dropout)
    a |= {"agree": "no" if a["difference"] > 1e-12 else "yes", "reach": "yes" if a["gradient"] else "no"}
    figures = (draw_settings(knobs, six, a), draw_row(knobs.mode, chosen), *draw_bars(a, steps))
    says = f"{knobs.mode}, {knobs.context}: the passes differ by {a['difference']:.3g}, gradient {a['gradient']:.0f}."
    return Result(summary=says, figures=figures, claims=settle(knobs, a), answers=a, code=lines_that_ran(knobs, a))
