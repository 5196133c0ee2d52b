r"""train(), eval(), no_grad(), inference_mode()

Two independent switches are often taken for one. `train()` and `eval()` flip a flag that dropout and batch norm read:
whether masks are drawn, and whose statistics normalise. `no_grad()` and `inference_mode()` stop the recording for
`backward()` and nothing else. So an eval pass has gradients, and a `no_grad` pass in train mode is random and moves
running means. In train mode dropout before a linear model adds $\frac{p}{1-p}\sum_j w_j^2 E[x_j^2]$ to the mean loss.

Source: Srivastava et al. (2014), section 9.1; Ioffe and Szegedy (2015), section 3.1; torch.nn.Module.eval
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, number, seed, switch
from app.demos.result import Axis, BarGroup, Bars, CodeLine, Result, TableFigure, outcome

CONTEXTS = {"grad": torch.enable_grad, "no_grad": torch.no_grad, "inference_mode": torch.inference_mode}


class Knobs(Parameters):
    mode: Literal["train", "eval"] = choice("train", help="Flag of the module.")
    context: Literal["grad", "no_grad", "inference_mode"] = choice("grad", help="What records the operations.")
    batch_mates: Literal["same", "others"] = choice("same", help="Other rows of the batch in the second pass.")
    functional_dropout: bool = switch(False, help="Ends in F.dropout(x, 0.5) without training=.")
    p: float = number(0.5, 0, 0.8, step=0.05, help="Chance that nn.Dropout drops a unit.", more=True)
    momentum: float = number(0.9, 0, 0.95, step=0.05, help="Momentum of the SGD behind a dropped unit.", more=True)
    seed: int = seed()


def two_passes(knobs: Knobs, mode: str, context: str, batches: tuple[Tensor, Tensor]) -> dict[str, Any]:
    torch.default_generator.manual_seed(knobs.seed)
    model = nn.Sequential(nn.Linear(6, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(knobs.p)).double()
    weight, running_mean = model.get_parameter("0.weight"), model.get_buffer("1.running_mean")
    before, q = weight.detach().clone(), 0.5 * knobs.functional_dropout
    model.train(mode == "train")
    with CONTEXTS[context]():
        one, two = (nn.functional.dropout(model(batch), q) for batch in batches)  # (8, 6) → (8, 64)
    if one.requires_grad:
        torch.autograd.backward(one.square().sum())
    apart, gradient = two[0] - one[0], 0.0 if weight.grad is None else weight.grad.norm().item()
    found = {"difference": apart.abs().max().item(), "drift": running_mean.abs().max().item(), "gradient": gradient}
    found |= {"weights": (weight != before).sum().item(), "recorded": one.requires_grad}
    return found | {"units": {f"unit {unit + 1}": round(apart[unit].item(), 4) for unit in range(10)}}


def behind_dropout(p: float, momentum: float) -> dict[str, Any]:
    x, bn = torch.randn(4000, 1).double(), nn.BatchNorm1d(1, eps=1e-12, momentum=1.0).double()
    bn(nn.functional.dropout(x, p))
    found = {"stored": bn.get_buffer("running_var").item() / x.var().item(), "eval_variance": bn.eval()(x).var().item()}
    bn.requires_grad_(False).train()(5 + x)  # frozen, in train mode
    found |= {"frozen_mean": bn.get_buffer("running_mean").item(), "batch_mean": (5 + x).mean().item()}
    found |= {"eval_change": (bn.eval()(5 + x) - 5 - x).abs().max().item(), "scale": 1 / (1 - p), "keep": 1 - p}
    x, noise = torch.randn(2, 64, 8).double(), torch.randn(2, 64).double()  # training and validation
    w = 1 / x[0].square().mean(0).sqrt() / 8**0.5  # (8,), the sum in the penalty is 1
    y = x @ w + noise / noise[0].square().mean().sqrt() / 2  # (2, 64), the training rows' loss in eval mode is 0.25
    masks = (torch.arange(256)[:, None] >> torch.arange(8) & 1).double()  # (256, 8), all there are
    chance = ((1 - p) * masks + p * (1 - masks)).prod(-1)  # (256,)
    found["train, mean"] = float(chance @ ((x[0] * masks[:, None] / (1 - p)) @ w - y[0]).square().mean(-1))
    found["train, once"] = (nn.functional.dropout(x[0], p) @ w - y[0]).square().mean().item()
    found["eval"], found["validation"] = (x @ w - y).square().mean(-1).tolist()
    weight = nn.Parameter(torch.ones(1).double())
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=momentum)
    for unit in (2.0, 0.0):  # kept in the first step, dropped in the second
        before, weight.grad = weight.item(), None
        torch.autograd.backward((weight * unit).sum())
        optimizer.step()
    return found | {"move": before - weight.item(), "excess": found["train, mean"] - found["eval"], "share": 384 * p}


def bars(id: str, title: str, y: str, values: dict[str, float]) -> Bars:
    alt, group = f"{title}: {values}.", BarGroup(name=y, values=tuple(values.values()), meaning="measured")
    return Bars(id=id, title=title, alt=alt, categories=tuple(values), y=Axis(name=y), groups=(group,))


def run(knobs: Knobs, lab: Lab) -> Result:
    p, wild = knobs.p, "F.dropout ignores the flag." if knobs.functional_dropout else ""
    first, mates = 5 + 3 * torch.randn(2, 8, 6, generator=lab.generator(), dtype=torch.float64)  # (8, 6) each
    batches = (first, first if knobs.batch_mates == "same" else torch.cat([first[:1], mates[1:]]))
    six = {(mode, name): two_passes(knobs, mode, name, batches) for mode in ("train", "eval") for name in CONTEXTS}
    a = six[knobs.mode, knobs.context] | behind_dropout(p, knobs.momentum)
    for field in ("difference", "drift"):
        a[f"train_{field}"] = min(row[field] for (mode, _), row in six.items() if mode == "train")
        a[f"eval_{field}"] = max(row[field] for (mode, _), row in six.items() if mode == "eval")
    a |= {"weights": sum(row["weights"] for row in six.values()), "moves": "yes" if a["drift"] else "no"}
    a |= {"unrecorded": sum(not row["recorded"] for row in six.values()), "luck": a["train, once"] - a["eval"]}
    a |= {"agree": "no" if a["difference"] > 1e-12 else "yes", "reach": "yes" if a["gradient"] else "no"}
    alike = "" if p or wild or knobs.batch_mates == "others" else "With p = 0 and the same batch nothing differs."
    error = 5 * ((3 / (1 - p) - 1) / 4000) ** 0.5 / (1 - p)
    facts = (
        ("train-differs", "Two train-mode passes differ in every context.", a["train_difference"] > 0, 1, 0, alike),
        ("eval-agrees", "Two eval passes agree on a row, whatever its batch.", a["eval_difference"], 0, 1e-12, wild),
        ("eval-gradient", "In eval mode gradients reach layer 1.", six["eval", "grad"]["gradient"] > 0, 1, 0, ""),
        ("no-record", "no_grad and inference_mode record nothing.", a["unrecorded"], 4, 0, ""),
        ("drift", "Running means move in train, never in eval.", a["train_drift"] > 0 == a["eval_drift"], 1, 0, ""),
        ("frozen", "A frozen batch norm moves in train mode.", a["frozen_mean"], a["batch_mean"], 1e-12, ""),
        ("weights", "No pass changes a weight.", a["weights"], 0, 0, ""),
        ("stored", "Batch norm behind dropout stores 1/(1-p) × the variance.", a["stored"], 1 / (1 - p), error, ""),
        ("shrunk", "In eval mode it divides by what it stored.", a["eval_variance"] * a["stored"], 1, 1e-9, ""),
        ("penalty", "The mean loss in train mode is p/(1-p) higher.", a["excess"], p / (1 - p), 1e-12, ""),
        ("momentum", "A dropped unit's weight moves by momentum × 2.", a["move"], 2 * knobs.momentum, 1e-12, ""),
    )
    claims = tuple(outcome(id, says, m, e, abs(m - e) <= t, t, why, t <= 1e-9) for id, says, m, e, t, why in facts)
    says = f"{knobs.mode}, {knobs.context}: the passes differ by {a['difference']:.3g}, gradient {a['gradient']:.3g}."
    losses = {name: round(a[name], 4) for name in ("train, mean", "train, once", "eval", "validation")}
    rows = tuple((*key, row["difference"], row["drift"], row["gradient"]) for key, row in six.items())
    title, names = "Six settings, two passes each", ("mode", "context", "passes differ by", "mean moved by", "gradient")
    here = (list(six).index((knobs.mode, knobs.context)),)
    figures = (
        TableFigure(id="settings", title=title, alt=says, columns=names, rows=rows, highlight=here),
        bars("outputs", "Second pass minus first, ten units of one row", "difference", a.pop("units")),
        bars("losses", "The same weights, four losses", "mean squared error", losses),
    )
    code = (
        CodeLine(code=f"model.{knobs.mode}()", value=f"two passes differ by {a['difference']:.3g}"),
        CodeLine(code=f"with torch.{knobs.context}():", value=f"gradient of layer 1: {a['gradient']:.3g}"),
    )
    return Result(summary=says, figures=figures, claims=claims, answers=a, code=code)
