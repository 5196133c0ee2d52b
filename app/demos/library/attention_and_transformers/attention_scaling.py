r"""Why divide by the root of d

For independent entries of unit variance, $q\cdot k$ is a sum of $d$ terms of variance 1: its variance is $d$. Softmax
of such scores saturates as $d$ grows: one key takes all, and the Jacobian $\operatorname{diag}(p)-pp^\top$, through
which gradients reach queries and keys, shrinks. Dividing by $\sqrt d$ keeps the variance at 1; by $d$ flattens the map.
That speaks of initialisation: once a key aligns with its query, $q\cdot k$ has a *mean* that grows like $d$, and $1/d$
is the scale that keeps it fixed. Overflow plays no part: softmax subtracts the largest score.

Source: Vaswani et al. 2017, section 3.2.1; Yang et al. 2022 (Tensor Programs V); torch: scaled_dot_product_attention
"""

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from app.demos import result
from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed
from app.demos.result import Axis, BarGroup, Bars, Claim, CodeLine, Heatmap, Lines, Result, Series, identity, outcome

DIMENSIONS, QUERIES, KEYS = (4, 16, 64, 256, 1024), 128, 256
POWERS = {"none": 0.0, "1/sqrt(d)": -0.5, "1/d": -1.0}  # of d, the factor on the scores
QUANTITY = {"variance": "scores", "width": "scaled", "flat": "entropy", "aligned": "scaled"}
MEANINGS: dict[str, result.Meaning] = {"none": "refuted", "1/sqrt(d)": "measured", "1/d": "second"}


class Knobs(Parameters):
    d: int = integer(64, 4, 1024, log=True, help="Entries of a query and of a key.")
    scale: Literal["none", "1/sqrt(d)", "1/d"] = choice("none", help="Factor on the scores before softmax.")
    keys: int = integer(16, 4, 64, help="Keys that one query is compared with.")
    alignment: float = number(0, 0, 1, step=0.05, help="How far one key of each row points along its query.")
    spread: float = number(1, 0.25, 2, step=0.05, help="Standard deviation of the entries.", more=True)
    seed: int = seed()


class Sharpness(NamedTuple):
    """Means over many rows of weights p."""

    largest: float
    entropy: float  # in nats
    jacobian: float  # Frobenius norm of diag(p) - p p'


def score(knobs: Knobs, Q: Tensor, K: Tensor, d: int) -> Tensor:
    """Every query meets the keys in groups; the first key of each group is turned towards the query."""
    scores = (Q[:, :d] @ K[:, :d].T).unfold(1, knobs.keys, knobs.keys).clone()  # (128, 256) -> (128, groups, keys)
    scores[..., 0] *= math.sqrt(1 - knobs.alignment**2)
    scores[..., 0] += knobs.alignment * Q[:, :d].square().sum(1, keepdim=True)
    return scores


def measure(scores: Tensor) -> Sharpness:
    p = torch.softmax(scores, -1)  # (128, groups, keys)
    squares = p.square().sum(-1, keepdim=True)  # (128, groups, 1)
    norm = (p.square() * (1 - 2 * p + squares)).sum(-1).clamp(min=0).sqrt()  # without building the matrix
    return Sharpness(p.amax(-1).mean().item(), torch.special.entr(p).sum(-1).mean().item(), norm.mean().item())


class Attention:  # random queries and keys, their scores, and one row of them
    def __init__(self, knobs: Knobs, lab: Lab) -> None:
        d = knobs.d
        drawn = knobs.spread * torch.randn(QUERIES + KEYS, 1024, generator=lab.generator()).double()
        Q, K = drawn.split([QUERIES, KEYS])  # (128, 1024), (256, 1024)
        self.per_d = {size: score(knobs, Q, K, size) for size in DIMENSIONS}
        self.raw = Q[:, :d] @ K[:, :d].T  # (128, 256)
        self.scores = score(knobs, Q, K, d)  # (128, groups, keys)
        self.factor = d ** POWERS[knobs.scale]
        self.scaled = self.scores * self.factor
        self.row = self.scores[0, 0]  # (keys,)
        self.p = torch.softmax(self.row * self.factor, -1)  # (keys,)
        self.jacobian = self.p.diag() - self.p.outer(self.p)  # (keys, keys)
        few = K[: knobs.keys, :d]
        by_hand = torch.softmax(Q[:, :d] @ few.T / math.sqrt(d), -1) @ few  # (128, d)
        in_torch = functional.scaled_dot_product_attention(Q[:, :d], few, few)
        self.gap = (in_torch - by_hand).abs().max().item()
        self.curves = {  # by scale, then by d
            n: [measure(self.per_d[size] * size**power) for size in DIMENSIONS] for n, power in POWERS.items()
        }


def near(id: str, says: str, measured: float, expected: float, band: float, domain: str) -> Claim:
    return outcome(id, says, measured, expected, abs(measured - expected) <= band, band, domain, quantity=QUANTITY[id])


def settle(knobs: Knobs, s: Attention) -> tuple[Claim, ...]:
    d, spread2 = knobs.d, knobs.spread**2
    in_autograd: Any = torch.autograd.functional.jacobian(lambda z: torch.softmax(z, -1), s.row * s.factor)
    variance, ideal = s.raw.square().mean().item(), d * spread2**2
    five_errors = 5 * math.sqrt(2 / d * (1 / QUERIES + 1 / KEYS) + 8 / (QUERIES * KEYS))  # relative standard errors
    width, wide = s.scaled.std().item(), math.sqrt(ideal) * s.factor
    rooted, norms = [row.entropy for row in s.curves["1/sqrt(d)"][1:]], [row.jacobian for row in s.curves["none"]]
    fall = norms[-1] / norms[0]
    own, mean = s.scaled[..., 0].mean().item(), knobs.alignment * d * s.factor * spread2
    slack = 5 * s.factor * spread2 * math.sqrt(d / QUERIES) * (math.sqrt(2) * knobs.alignment + 0.5)
    turned = "One key of each row points along its query; the sentence is about independent vectors."
    free = turned if knobs.alignment else ""
    straight = "" if knobs.alignment else "No key is aligned: set alignment above 0."
    unit = free or "Entries spread by another size than 1, which alone sharpens or flattens softmax." * (spread2 != 1)
    wrong = (in_autograd - s.jacobian).abs().max().item()
    return (
        identity("jacobian", "Softmax's Jacobian is diag(p) - p p'.", wrong, 1e-12, quantity="jacobian"),
        identity("default", "Torch's attention divides by the root of d by default.", s.gap, 1e-12, quantity="torch"),
        near("variance", "q·k has variance d times spread⁴.", variance, ideal, five_errors * ideal, free),
        near("width", "Scaled scores spread by √d · spread² · scale.", width, wide, five_errors * wide, free),
        near("flat", "With the root, d = 16 and 1024 have one entropy.", max(rooted) - min(rooted), 0, 0.2, free),
        outcome("saturates", "Unscaled, the Jacobian shrinks with d.", fall, "under 0.5", fall < 0.5, 0, unit),
        near("aligned", "The aligned key scores alignment · d · spread² · scale.", own, mean, slack, straight),
    )


def draw_scores(knobs: Knobs, s: Attention) -> Bars:
    width = s.scaled.std().item()
    share = torch.histc(s.scaled, 21, -3 * width, 3 * width) / s.scaled.numel()  # (21,)
    bins = [f"{(bin - 10) * 6 / 21 * width:.2g}" for bin in range(21)]
    groups = (BarGroup(name="scores", values=share.tolist(), meaning=MEANINGS[knobs.scale], quantity="scaled"),)
    made = "unscaled scores" if knobs.scale == "none" else f"scores times {knobs.scale}"
    says = f"{s.scaled.numel():,} {made}: mean {s.scaled.mean():.2g}, standard deviation {width:.3g}."
    title, y = "Histogram of the scores that enter softmax", Axis(name="share of scores", low=0)
    return Bars(id="scores", title=title, alt=says, caption=says, categories=bins, y=y, groups=groups)


def draw_row(knobs: Knobs, s: Attention) -> Lines:
    series, says = [], []
    for name, power in POWERS.items():
        weights = torch.softmax(s.row * knobs.d**power, -1).sort(descending=True).values  # (keys,)
        series.append(Series(name=name, x=range(1, knobs.keys + 1), y=weights.tolist(), meaning=MEANINGS[name]))
        says.append(f"{name}: {weights[0]:.3f}")
    told = f"Largest of {knobs.keys} weights at d = {knobs.d} by scale: {', '.join(says)}."
    x, y = Axis(name="key, heaviest first"), Axis(name="weight", low=0, high=1)
    return Lines(id="row", title="One row under the three scales", alt=told, caption=told, x=x, y=y, series=series)


def draw_jacobian(s: Attention) -> Heatmap:
    heaviest = s.p.argsort(descending=True)[:12]
    keys, norm = [str(key + 1) for key in heaviest.tolist()], s.jacobian.norm().item()
    says = f"Norm {norm:.3g}; an entry is 0.25 at most. Keys of the row in the order of their weights."
    words = {"title": "How a score moves each weight", "alt": says, "caption": says, "quantity": "jacobian"}
    axes = {"rows": keys, "columns": keys, "row_name": "weight of key", "column_name": "score of key"}
    colours = {"palette": "diverging", "low": -0.25, "high": 0.25}
    return Heatmap(id="jacobian", values=s.jacobian[heaviest][:, heaviest].tolist(), **words, **axes, **colours)


def draw_by_d(s: Attention, field: str, title: str) -> Lines:
    series, ends = [], []
    for name, row in s.curves.items():
        y = [getattr(sharpness, field) for sharpness in row]
        series.append(Series(name=name, x=DIMENSIONS, y=y, meaning=MEANINGS[name], style="line+points", quantity=field))
        ends.append(f"{name} from {y[0]:.2f} to {y[-1]:.2f}")
    says, width, size = f"{'; '.join(ends)}.", Axis(name="d", scale="log"), Axis(name=title, low=0)
    return Lines(id=field, title=title, alt=says, caption=says, x=width, y=size, series=series)


def draw_curves(s: Attention) -> result.SmallMultiples:
    titles = {"largest": "Largest weight", "entropy": "Entropy in nats", "jacobian": "Jacobian norm"}
    panels = [draw_by_d(s, field, title) for field, title in titles.items()]
    says = f"From d = 4 to 1024. {' '.join(f'{panel.title}: {panel.alt}' for panel in panels)}"
    return result.SmallMultiples(id="by-d", title="Sharpness over the width, by scale", alt=says, panels=panels)


def run(knobs: Knobs, lab: Lab) -> Result:
    s, d = Attention(knobs, lab), knobs.d
    sharp, rooted = measure(s.scaled), measure(s.scores / math.sqrt(d))
    variance, width = s.raw.square().mean().item(), s.scaled.std().item()
    says = f"Variance of q·k {variance:.3g}; scale {knobs.scale}: the largest weight averages {sharp.largest:.2f}."
    figures = (draw_scores(knobs, s), draw_row(knobs, s), draw_curves(s), draw_jacobian(s))
    answers: dict[str, result.Scalar] = {"variance": variance, "largest": sharp.largest, "width": width}
    answers |= {"own": s.scaled[..., 0].mean().item(), "largest_score": s.per_d[1024].abs().max().item()}
    answers |= {"spread": knobs.spread, "unscaled": math.sqrt(d) * knobs.spread**2}
    answers |= {"root": d**0.5, "inverse": 1 / d, "d": d, "keys": knobs.keys, "even": 1 / knobs.keys}
    answers |= {"effective": math.exp(sharp.entropy), "rooted": rooted.largest, "rooted_keys": math.exp(rooted.entropy)}
    code = (
        CodeLine(code="scores = Q @ K.T", value=f"variance {variance:.4g}", quantity="scores"),
        CodeLine(code=f"scaled = scores * {s.factor:.4g}", value=f"spread {width:.3g}", quantity="scaled"),
        CodeLine(code="p = torch.softmax(scaled, -1)", value=f"largest {sharp.largest:.3f}", quantity="largest"),
        CodeLine(code="torch.special.entr(p).sum(-1)", value=f"{sharp.entropy:.3f} nats", quantity="entropy"),
        CodeLine(code="p.diag() - p.outer(p)", value=f"norm {sharp.jacobian:.3f}", quantity="jacobian"),
        CodeLine(code="scaled_dot_product_attention(Q, K, V)", value=f"{s.gap:.1g} from 1/sqrt(d)", quantity="torch"),
    )
    return Result(summary=says, figures=figures, claims=settle(knobs, s), answers=answers, code=code)
