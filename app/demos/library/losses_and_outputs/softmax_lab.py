r"""Softmax, temperature and argmax

Softmax turns scores into probabilities, $p_i = e^{z_i/T} / \sum_j e^{z_j/T}$. Only differences count: a shift common to
all scores cancels, so the largest is subtracted first and nothing overflows. The temperature $T$ raises every ratio of
probabilities to the power $1/T$ and never changes the winner. The Jacobian $(\mathrm{diag}(p) - pp^\top)/T$ says that
classes compete: right when exactly one is true; where several may be true, each score gets a sigmoid of its own.
`argmax` says where the largest score stands and has no gradient; cross-entropy on the scores has one, $p - y$.
Source: Goodfellow, Bengio and Courville 2016, sections 4.1 and 6.2.2; Guo et al. 2017, section 4.2; torch: F.softmax
"""

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from app.demos import result
from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, numbers, seed
from app.demos.result import Axis, BarGroup, Bars, Claim, CodeLine, Heatmap, Lines, Mark, Result, Series, TableFigure

NAMES, LABEL_A, PROBABILITY = ("A", "B", "C", "D"), torch.tensor([0]), Axis(name="probability", low=0, high=1)
LINKS = {"hand-equals-torch": "softmax", "entropy": "H", "jacobian": "J", "pull": "pull", "argmax-shape": "picks"}
TEMPERATURES = torch.logspace(-1.31, 1.31, 41, dtype=torch.float64)  # 0.05 to 20


class Knobs(Parameters):
    logits: tuple[float, ...] = numbers((2, 1, 0.1, -1), -10, 10, step=0.1, labels=NAMES, help="The four scores.")
    temperature: float = number(1, 0.05, 20, step=0.01, log=True, help="Divides every score before the exponential.")
    shift: float = number(0, -1000, 1000, step=1, help="Added to all four scores after the division.")
    head: Literal["softmax", "sigmoids"] = choice("softmax", help="One softmax, or a sigmoid for each class.")
    dim: Literal["none", "0", "1"] = choice("none", more=True, help="Axis along which argmax works in the table.")
    classes: int = integer(4, 2, 20, more=True, help="Columns of the table of scores, and classes of the loss floor.")
    seed: int = seed()


class Measured(NamedTuple):
    z: Tensor  # (4,) the scores as given
    scores: Tensor  # (4,) z / T + shift
    softmax: Tensor
    sigmoids: Tensor
    jacobian: Tensor  # (4, 4) of the chosen head: d output / d z
    pull: Tensor  # (4,) gradient in the scores of cross-entropy with label A
    table: Tensor  # (3, classes)
    picks: Tensor  # () or (classes,) or (3,)


def measure(knobs: Knobs, lab: Lab) -> Measured:
    z = torch.tensor(knobs.logits, dtype=torch.float64, requires_grad=True)
    scores = z / knobs.temperature + knobs.shift
    outputs = scores.softmax(0) if knobs.head == "softmax" else scores.sigmoid()
    jacobian = torch.stack([torch.autograd.grad(output, z, retain_graph=True)[0] for output in outputs])
    (pull,) = torch.autograd.grad(F.cross_entropy(scores[None], LABEL_A), scores)
    z, scores = z.detach(), scores.detach()
    exponentials = (scores - scores.max()).exp()  # the largest becomes e^0 = 1: nothing overflows
    softmax = exponentials / exponentials.sum()
    sigmoids = 1 / (1 + (-scores).exp())
    table = torch.randn(3, knobs.classes, generator=lab.generator())
    picks = table.argmax(None if knobs.dim == "none" else int(knobs.dim))
    return Measured(z, scores, softmax, sigmoids, jacobian, pull, table, picks)


def literal_softmax(scores: Tensor) -> Tensor:
    exponentials = scores.float().exp()  # float32: infinite above 88.7, exactly 0 below -104
    return exponentials / exponentials.sum(-1, keepdim=True)


def draw_heads(knobs: Knobs, m: Measured) -> Bars:
    meaning: Any = {"softmax": "neutral", "sigmoids": "neutral"} | {knobs.head: "measured"}
    heads = {"softmax": m.softmax, "sigmoids": m.sigmoids}
    groups = [BarGroup(name=k, values=p.tolist(), meaning=meaning[k], quantity=k) for k, p in heads.items()]
    said = f"The softmax sums to {m.softmax.sum():.3f}, the four sigmoids to {m.sigmoids.sum():.3f}."
    alt = "; ".join(f"{name} of A to D: {p.numpy().round(3)}" for name, p in heads.items()) + f". {said}"
    title = "A softmax shares 1; each sigmoid stands alone"
    return Bars(id="heads", title=title, alt=alt, caption=said, categories=NAMES, y=PROBABILITY, groups=groups)


def draw_temperatures(knobs: Knobs, m: Measured) -> tuple[Lines, Lines]:
    scores = m.z / TEMPERATURES[:, None] + knobs.shift  # (41, 4)
    outputs = scores.softmax(1) if knobs.head == "softmax" else scores.sigmoid()
    entropies = torch.special.entr(scores.softmax(1)).sum(1).tolist()  # (41,), in nats
    x, now = TEMPERATURES.tolist(), Mark(label=f"T = {knobs.temperature:g}", x=knobs.temperature)
    curves: Any = zip(NAMES, outputs.T.tolist(), ("measured", "second", "third", "fourth"), strict=True)
    classes = [Series(name=name, x=x, y=curve, meaning=colour) for name, curve, colour in curves]
    entropy = [Series(name="entropy", x=x, y=entropies, meaning="measured", quantity="H")]
    alt = f"A to D at T = 0.05: {outputs[0].numpy().round(3)}; at T = 20: {outputs[-1].numpy().round(3)}."
    said = f"{torch.special.entr(m.softmax).sum():.3f} nats; {entropies[0]:.3f} at T = 0.05, {entropies[-1]:.3f} at 20."
    axis, nats = Axis(name="temperature T", scale="log"), Axis(name="entropy", unit="nats", low=0, high=1.5)
    title, marks = "Entropy of the softmax over T", [now, Mark(label="log 4: all alike", y=math.log(4))]
    return (
        Lines(id="temperatures", title="Outputs over T", alt=alt, x=axis, y=PROBABILITY, series=classes, marks=[now]),
        Lines(id="entropy", title=title, alt=said, caption=said, x=axis, y=nats, series=entropy, marks=marks),
    )


def draw_jacobian(knobs: Knobs, m: Measured) -> Heatmap:
    off = (m.jacobian - m.jacobian.diag().diag()).abs().max()
    cells: dict[str, Any] = {"rows": NAMES, "columns": NAMES, "values": (m.jacobian.round(decimals=4) + 0).tolist()}
    cells |= {"row_name": "output", "column_name": "score", "palette": "diverging", "show_values": True}
    said = f"Off the diagonal up to {off:.3g}: {'classes compete' if off else 'no class feels another score'}."
    title, alt = f"Jacobian of the {knobs.head}", f"Its diagonal is {m.jacobian.diag().numpy().round(3)}. {said}"
    return Heatmap(id="jacobian", title=title, alt=alt, caption=said, quantity="J", **cells)


def draw_overflow(knobs: Knobs, m: Measured) -> Lines:
    reach = max(150, 1.2 * abs(knobs.shift))
    shifts = torch.linspace(-reach, reach, 61, dtype=torch.float64)
    scores = m.z / knobs.temperature + shifts[:, None]  # (61, 4)
    literal, stable = literal_softmax(scores)[:, 0], scores.float().softmax(1)[:, 0]  # class A, (61,) each
    curves: Any = (("max first", stable, "measured"), ("exp / sum", literal, "refuted"))
    series = [Series(name=name, x=shifts.tolist(), y=p.tolist(), meaning=colour) for name, p, colour in curves]
    x, marks = Axis(name="shift of all scores"), [Mark(label=f"shift {knobs.shift:g}", x=knobs.shift)]
    said = f"exp / sum is NaN at {literal.isnan().sum()} of 61 shifts, max first at {stable.isnan().sum()}."
    title = "Class A in float32: exp / sum breaks off"
    return Lines(id="overflow", title=title, alt=said, caption=said, x=x, y=PROBABILITY, series=series, marks=marks)


def draw_numbers(m: Measured) -> TableFigure:
    loss = -m.scores.log_softmax(0)
    cells = torch.stack([literal_softmax(m.scores), m.scores.float().softmax(0), loss, m.pull], 1)  # (4, 4)
    rows = [(name, *map("{:.4g}".format, row)) for name, row in zip(NAMES, cells.tolist(), strict=True)]
    alt = "; ".join(f"{name}: exp / sum {literal}, F.softmax {stable}" for name, literal, stable, _, _ in rows)
    twice = -m.softmax.log_softmax(0)[0]  # the loss is handed what is a softmax already
    said = f"If A is true the loss is {loss[0]:.4f}; after a softmax too many it is {twice:.4f}."
    title, columns = "Float32, loss and gradient", ("class", "exp / sum", "F.softmax", "loss if true", "pull, A true")
    return TableFigure(id="numbers", title=title, alt=f"{alt}. {said}", caption=said, columns=columns, rows=rows)


def draw_argmax(knobs: Knobs, m: Measured) -> tuple[Heatmap, TableFigure]:
    axes: dict[str, Any] = {"none": (0, 1), "0": 0, "1": 1}
    losers = m.table != m.table.amax(axes[knobs.dim], keepdim=True)  # (3, classes)
    said = f"argmax(dim={knobs.dim.capitalize()}) of a (3, {knobs.classes}) table returns {m.picks.tolist()}."
    grid: dict[str, Any] = {"rows": [*"012"], "columns": [*map(str, range(knobs.classes))], "values": m.table.tolist()}
    grid |= {"row_name": "item", "column_name": "class", "palette": "diverging", "hatched": losers.tolist()}
    picks = {"argmax()": m.table.argmax(), "argmax(dim=0)": m.table.argmax(0), "argmax(dim=1)": m.table.argmax(1)}
    rows = [(call, str(tuple(pick.shape)), str(pick.tolist())) for call, pick in picks.items()]
    alt = "; ".join(f"{call} has shape {shape}: {found}" for call, shape, found in rows)
    heads, chosen, few = ("call", "shape", "positions"), [list(axes).index(knobs.dim)], knobs.classes < 9
    return (
        Heatmap(id="table", title="Clear cells win", alt=said, caption=said, quantity="picks", show_values=few, **grid),
        TableFigure(id="picks", title="The named axis goes", alt=alt, columns=heads, rows=rows, highlight=chosen),
    )


def check(knobs: Knobs, m: Measured) -> list[Claim]:
    z, high, C, p = m.z / knobs.temperature, float(m.scores.max()), knobs.classes, m.softmax
    margin, behind, odds = z[0] - z[1], z.max() - z, m.scores.log_softmax(0)[:2]
    closed = p.diag() - torch.outer(p, p) if knobs.head == "softmax" else (m.sigmoids * (1 - m.sigmoids)).diag()
    entropy = torch.special.entr(p).sum() - z.logsumexp(0) + (p * z).sum()
    runner_up, label, graded = p.sort().values[-2], torch.eye(4)[0], m.z.clone().requires_grad_()
    floor = F.cross_entropy(F.one_hot(LABEL_A, C).double(), LABEL_A) - math.log(1 + (C - 1) / math.e)
    surplus = m.picks.numel() - {"none": 1, "0": C, "1": 3}[knobs.dim]
    vanished = ((m.scores.float().softmax(0) == 0) ^ (behind > 104)) & ((behind < 102) | (behind > 106))
    failed = literal_softmax(m.scores).isnan().any() ^ (not -104 < high < 89)
    surprise = failed & (min(abs(high + 104), abs(high - 89)) > 2)
    gaps: dict[str, tuple[str, Any]] = {
        "hand-equals-torch": ("exp(s − max s) divided by its sum is F.softmax(s).", p - m.scores.softmax(0)),
        "shift-cancels": ("A shift of all scores changes no probability.", p - z.softmax(0)),
        "odds": ("log(p_A / p_B) is (z_A − z_B)/T.", odds[0] - odds[1] - margin),
        "entropy": ("The entropy −Σ p log p is log Σ e^(z/T) − Σ p·z/T.", entropy),
        "winner-stays": ("Temperature and shift never change the winner.", m.z.max() - m.z[m.scores.argmax()]),
        "jacobian": ("The head's Jacobian by autograd is its closed form.", m.jacobian - closed / knobs.temperature),
        "two-classes": ("softmax([a, b]) gives a sigmoid(a − b).", z[:2].softmax(0)[0] - margin.sigmoid()),
        "above-half": ("Softmax leaves no two classes above 1/2.", (runner_up - 0.5).clamp(min=0)),
        "pull": ("Cross-entropy's gradient in the scores is p minus the one-hot label.", m.pull - (p - label)),
        "floor": ("A perfect softmax fed to cross-entropy costs log(1 + (C − 1)/e).", floor),
        "argmax-shape": ("argmax returns one position per slice; its axis disappears.", surplus),
        "argmax-no-gradient": ("argmax has no gradient.", graded.argmax().requires_grad),
        "underflow": ("In float32 scores 106 behind get exactly 0, scores 102 behind do not.", vanished),
        "literal-fails": ("exp / sum in float32: NaN above 91 or below −106, a number from −102 to 87.", surprise),
    }
    sizes = {id: float(torch.as_tensor(gap).double().abs().max()) for id, (_, gap) in gaps.items()}
    return [result.identity(id, says, sizes[id], 1e-12, quantity=LINKS.get(id)) for id, (says, _) in gaps.items()]


def run(knobs: Knobs, lab: Lab) -> Result:
    m, T, C = measure(knobs, lab), knobs.temperature, knobs.classes
    p, margin = m.softmax if knobs.head == "softmax" else m.sigmoids, m.z[0] - m.z[1]
    values: dict[str, Any] = {"odds": (margin / T).exp(), "odds_times": (margin * T).exp()}
    values |= {"odds_divided": margin.exp() / T, "score_ratio": (m.z[0] / m.z[1]).nan_to_num()}
    values |= {"first": p[0], "first_softmax": m.softmax[0], "rest": 1 - m.softmax[0], "uniform": math.log(C)}
    values |= {"second": p.sort().values[-2], "pull": m.pull[0], "zeros": (m.scores.float().softmax(0) == 0).sum()}
    values |= {"floor": F.cross_entropy(F.one_hot(LABEL_A, C).double(), LABEL_A), "cells": 3 * C}
    values |= {"entries": m.picks.numel(), "named_axis": {"none": 3 * C, "0": 3, "1": C}[knobs.dim]}
    answers: dict[str, Any] = {name: float(value) for name, value in values.items()}
    is_nan, winner = bool(literal_softmax(m.scores).isnan().any()), NAMES[int(m.scores.argmax())]
    answers |= {"literal": "not a number" if is_nan else "a number", "winner": winner}
    change = float(m.softmax.max() - m.z.softmax(0).max())  # what T does to the confidence, though not to the accuracy
    answers["stated"] = "equal" if abs(change) < 1e-9 else "above" if change > 0 else "below"
    live: dict[str, Any] = {"e = (s - s.max()).exp()  # s = z / T + shift": (None, (m.scores - m.scores.max()).exp())}
    live |= {"softmax = e / e.sum()": ("softmax", m.softmax), "sigmoids = s.sigmoid()": ("sigmoids", m.sigmoids)}
    live |= {f"jacobian[A] = grad({knobs.head}[A], z)": ("J", m.jacobian[0])}
    live |= {"pull = grad(cross_entropy(s, A), s)": ("pull", m.pull)}
    live |= {f"picks = table.argmax(dim={knobs.dim.capitalize()})": ("picks", m.picks)}
    code = [CodeLine(code=k, value=str(v.numpy().round(4).tolist()), quantity=link) for k, (link, v) in live.items()]
    says = f"{winner} leads with p = {m.softmax.max():.3f}; A is {answers['odds']:.3g} times as likely as B."
    figures: list[Any] = [draw_heads(knobs, m), *draw_temperatures(knobs, m), draw_jacobian(knobs, m)]
    figures += [draw_overflow(knobs, m), *draw_argmax(knobs, m), draw_numbers(m)]
    return Result(summary=says, figures=figures, claims=check(knobs, m), answers=answers, code=code)
