r"""Softmax, temperature and argmax

Softmax turns scores into probabilities, $p_i = e^{z_i/T} / \sum_j e^{z_j/T}$. Only differences count: a shift common to
all scores cancels, so the largest is subtracted first and nothing overflows. The temperature $T$ raises every ratio of
probabilities to the power $1/T$ and never changes the winner. The Jacobian $(\mathrm{diag}(p) - pp^\top)/T$ says that
classes compete: right when exactly one is true; where several may be true, each score gets a sigmoid of its own.
`argmax` says where the largest score stands and has no gradient; cross-entropy on the scores has one, $p - y$.
Source: Goodfellow, Bengio and Courville 2016, sections 4.1 and 6.2.2; Guo et al. 2017, section 4.2; torch: F.softmax
"""

import math
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch.nn import functional as F

from app.demos import result
from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, numbers, seed
from app.demos.result import Axis, BarGroup, CodeLine, Heatmap, Mark, Series, identity

NAMES, FIRST, SHARE = ("A", "B", "C", "D"), torch.tensor([0]), Axis(name="probability", low=0, high=1)
GRID, COLOURS = torch.logspace(-1.31, 1.31, 41, dtype=torch.float64), ("measured", "second", "third", "fourth")
LINKS = {"hand-equals-torch": "softmax", "jacobian": "J", "pull": "pull", "argmax-shape": "picks"}


class Knobs(Parameters):
    logits: tuple[float, ...] = numbers((2, 1, 0.1, -1), -10, 10, step=0.1, labels=NAMES, help="The four scores.")
    temperature: float = number(1, 0.05, 20, step=0.01, log=True, help="Divides every score before the exponential.")
    shift: float = number(0, -1000, 1000, step=1, help="Added to all four scores after the division.")
    head: Literal["softmax", "sigmoids"] = choice("softmax", help="One softmax, or a sigmoid for each class.")
    dim: Literal["none", "0", "1"] = choice("none", more=True, help="Axis along which argmax works in the table.")
    classes: int = integer(4, 2, 20, more=True, help="Columns of the table of scores, and classes of the loss floor.")
    seed: int = seed()


def measure(knobs: Knobs, lab: Lab) -> SimpleNamespace:
    z, T, C, eye = torch.tensor(knobs.logits, dtype=torch.float64), knobs.temperature, knobs.classes, torch.eye(4)
    scores = z / T + knobs.shift  # (4,)
    exponentials = (scores - scores.max()).exp()
    soft, sigmoids = exponentials / exponentials.sum(), 1 / (1 + (-scores).exp())
    head, p = (F.softmax, soft) if knobs.head == "softmax" else (lambda s, dim: s.sigmoid(), sigmoids)
    start, closed = z.clone().requires_grad_(), (eye * p - (torch.outer(p, p) if p is soft else eye * p * p)) / T
    leaf = start / T + knobs.shift
    J = torch.stack([torch.autograd.grad(out, start, retain_graph=True)[0] for out in head(leaf, dim=-1)])  # (4, 4)
    (pull,) = torch.autograd.grad(F.cross_entropy(leaf[None], FIRST), leaf)
    exp32, soft32, log_p = scores.float().exp(), scores.float().softmax(0), scores.log_softmax(0)
    literal, twice = exp32 / exp32.sum(), -soft.log_softmax(0)  # twice: cross-entropy of what is a softmax already
    dim, table = None if knobs.dim == "none" else int(knobs.dim), torch.randn(3, C, generator=lab.generator())
    picks, top = table.argmax(dim), table.amax(() if dim is None else dim, keepdim=True)  # picks: (), (C,) or (3,)
    floor, bound = F.cross_entropy(F.one_hot(FIRST, C).double(), FIRST), math.log(1 + (C - 1) / math.e)
    return SimpleNamespace(**locals())


def pictures(knobs: Knobs, m: SimpleNamespace) -> tuple[Any, ...]:
    both, seen = {"softmax": m.soft, "sigmoids": m.sigmoids}, ("neutral", "measured")
    bars = [BarGroup(name=k, values=v.tolist(), meaning=seen[v is m.p], quantity=k) for k, v in both.items()]
    said = "; ".join(f"{k} {[round(v, 3) for v in p.tolist()]}" for k, p in both.items()) + f" at T = {m.T:g}."
    over = m.head(m.z / GRID[:, None] + knobs.shift, dim=-1).T.tolist()  # (4, 41)
    lines = [Series(name=n, x=GRID.tolist(), y=y, meaning=c) for n, y, c in zip(NAMES, over, COLOURS, strict=True)]
    x, marks = Axis(name="temperature T", scale="log"), (Mark(label=f"T = {m.T:g}", x=m.T),)
    J: dict[str, Any] = {"rows": NAMES, "columns": NAMES, "values": m.J.tolist(), "palette": "diverging"}
    J |= {"quantity": "J", "alt": f"The diagonal is {[round(v, 3) for v in m.J.diag().tolist()]}.", "show_values": True}
    table = {"rows": [*"012"], "columns": [*map(str, range(m.C))], "values": m.table.tolist(), "palette": "diverging"}
    table |= {"hatched": (m.table != m.top).tolist(), "alt": f"argmax(dim={m.dim}) returns {m.picks.tolist()}."}
    cells = torch.stack([m.scores, m.exp32, m.literal, m.soft32, -m.log_p, m.twice], 1).tolist()  # (4, 6)
    rows = [(name, *map("{:.4g}".format, row)) for name, row in zip(NAMES, cells, strict=True)]
    told = "; ".join(f"{row[0]}: exp / sum {row[3]}, F.softmax {row[4]}" for row in rows)
    names = "class", "score", "exp(score)", "exp / sum", "F.softmax", "loss if true", "loss if true, softmax twice"
    return (
        result.Bars(id="heads", title="Softmax and sigmoids", alt=said, categories=NAMES, y=SHARE, groups=bars),
        result.Lines(id="temperatures", title="Outputs over T", alt=said, x=x, y=SHARE, series=lines, marks=marks),
        Heatmap(id="jacobian", title=f"d {knobs.head} (row) / d score (column)", **J),
        Heatmap(id="table", title="Scores; argmax picks clear cells", show_values=m.C < 9, quantity="picks", **table),
        result.TableFigure(id="numbers", title="In float32", alt=told, columns=names, rows=rows),
    )


def check(knobs: Knobs, m: SimpleNamespace) -> list[result.Claim]:
    z, C, high, margin = m.z / m.T, m.C, float(m.scores.max()), (m.z[0] - m.z[1]) / m.T
    behind, wanted = z.max() - z, torch.tensor({"none": 1, "0": C, "1": 3}[knobs.dim])
    flushed = ((m.soft32 == 0) ^ (behind > 104)) & ((behind < 102) | (behind > 106))
    failed = (m.literal.isnan().any() ^ (not -104 < high < 89)) & (min(abs(high + 104), abs(high - 89)) > 2)
    zero = {
        "hand-equals-torch": ("exp(s − max s) divided by its sum is F.softmax(s).", m.soft - m.scores.softmax(0)),
        "shift-cancels": ("A shift of all scores changes no probability.", m.soft - z.softmax(0)),
        "odds": ("log(p_A / p_B) is (z_A − z_B)/T.", m.log_p[0] - m.log_p[1] - margin),
        "winner-stays": ("Temperature and shift never change the winner.", m.z.max() - m.z[m.scores.argmax()]),
        "jacobian": ("The head's Jacobian by autograd is its closed form.", m.J - m.closed),
        "two-classes": ("softmax([a, b]) gives a sigmoid(a − b).", z[:2].softmax(0)[0] - margin.sigmoid()),
        "above-half": ("Softmax leaves no two classes above 1/2.", (m.soft.sort().values[-2] - 0.5).clamp(min=0)),
        "pull": ("Cross-entropy's gradient in the scores is p minus the one-hot label.", m.pull - m.soft + m.eye[0]),
        "floor": ("A perfect softmax fed to cross-entropy costs log(1 + (C − 1)/e).", m.floor - m.bound),
        "argmax-shape": ("argmax returns one position per slice; its axis disappears.", m.picks.numel() - wanted),
        "argmax-no-gradient": ("argmax has no gradient.", torch.tensor(m.leaf.argmax().requires_grad)),
        "underflow": ("In float32 scores 106 behind get exactly 0, scores 102 behind do not.", flushed),
        "literal-fails": ("exp / sum in float32: NaN above 91 or below −106, a number from −102 to 87.", failed),
    }
    sizes = {id: float(off.double().abs().max()) for id, (_, off) in zero.items()}
    return [identity(id, says, sizes[id], 1e-12, quantity=LINKS.get(id)) for id, (says, _) in zero.items()]


def run(knobs: Knobs, lab: Lab) -> result.Result:
    m = measure(knobs, lab)
    d, T, size = m.z[0] - m.z[1], m.T, {"none": 3 * m.C, "0": 3, "1": m.C}[knobs.dim]
    numbers = {"odds": (d / T).exp(), "odds_times": (d * T).exp(), "odds_divided": d.exp() / T, "first": m.p[0]}
    numbers |= {"score_ratio": (m.z[0] / m.z[1]).nan_to_num(), "first_softmax": m.soft[0], "pull": m.pull[0]}
    numbers |= {"floor": m.floor, "uniform": math.log(m.C), "second": m.p.sort().values[-2], "cells": 3 * m.C}
    numbers |= {"entries": m.picks.numel(), "named_axis": size, "zeros": (m.soft32 == 0).sum()}
    answers: dict[str, Any] = {name: float(value) for name, value in numbers.items()}
    nan, winner = bool(m.literal.isnan().any()), NAMES[int(m.scores.argmax())]
    answers |= {"literal": "not a number" if nan else "a number", "winner": winner}
    code = {"softmax": ("exponentials / exponentials.sum()", m.soft), "J": ("grad(output, z) for each output", m.J)}
    code |= {"picks": (f"table.argmax(dim={m.dim})", m.picks), "pull": ("grad(cross_entropy(scores, A))", m.pull)}
    tidy = {name: v.round(decimals=4) if v.is_floating_point() else v for name, (_, v) in code.items()}
    lines = [CodeLine(code=line, value=str(tidy[k].tolist()), quantity=k) for k, (line, _) in code.items()]
    says = f"{winner} leads with p = {m.soft.max():.3f}; A is {answers['odds']:.3g} times as likely as B."
    figures, claims = pictures(knobs, m), check(knobs, m)
    return result.Result(summary=says, figures=figures, claims=claims, answers=answers, code=lines)
