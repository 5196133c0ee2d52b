r"""Why divide by the root of d

For independent entries of unit variance, $q\cdot k$ is a sum of $d$ terms of variance 1: its variance is $d$. Softmax
of such scores saturates as $d$ grows: one key takes all, and the Jacobian $\operatorname{diag}(p)-pp^\top$, through
which every gradient passes, shrinks. Dividing by $\sqrt d$ keeps the variance at 1; dividing by $d$ flattens the map.
That speaks of initialisation: once a key aligns with its query, $q\cdot k$ has a *mean* that grows like $d$, and $1/d$
is the scale that keeps it fixed. Overflow plays no part: softmax subtracts the largest score.

Source: Vaswani et al. 2017, section 3.2.1; Yang et al. 2022 (Tensor Programs V); torch: scaled_dot_product_attention
"""

import math
from types import SimpleNamespace
from typing import Literal

import torch

from app.demos import result
from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed
from app.demos.result import Axis, BarGroup, Bars, CodeLine, Lines, Result, Series, SmallMultiples, identity, outcome

DIMENSIONS, QUERIES, KEYS = (4, 16, 64, 256, 1024), 128, 256
POWERS, NAMES = {"none": 0.0, "1/sqrt(d)": -0.5, "1/d": -1.0}, [f"{k + 1}" for k in range(64)]
MEANINGS: dict[str, result.Meaning] = {"none": "refuted", "1/sqrt(d)": "measured", "1/d": "second"}
OTHER = "It speaks of other knobs: independent keys, unit variance, or an aligned key, as the sentence says."


class Knobs(Parameters):
    d: int = integer(64, 4, 1024, log=True, help="Entries of a query and of a key.")
    scale: Literal["none", "1/sqrt(d)", "1/d"] = choice("none", help="Factor on the scores before softmax.")
    keys: int = integer(16, 4, 64, help="Keys that one query is compared with.")
    alignment: float = number(0, 0, 1, step=0.05, help="How far one key of each row points along its query.")
    spread: float = number(1, 0.25, 2, step=0.05, help="Standard deviation of the entries.", more=True)
    seed: int = seed()


def score(knobs: Knobs, Q: torch.Tensor, K: torch.Tensor, d: int) -> torch.Tensor:
    scores = (Q[:, :d] @ K[:, :d].T).unfold(1, knobs.keys, knobs.keys).clone()  # (128, 256) -> (128, groups, keys)
    scores[..., 0] *= math.sqrt(1 - knobs.alignment**2)  # the first key of each group is turned towards the query
    scores[..., 0] += knobs.alignment * Q[:, :d].square().sum(1, keepdim=True)
    return scores


def measure(scores: torch.Tensor) -> tuple[float, float, float]:
    """Means over rows p: largest weight, entropy in nats, Frobenius norm of diag(p) - p p' without building it."""
    p = torch.softmax(scores, -1)  # (128, groups, keys)
    norm = (p.square() * (1 - 2 * p + p.square().sum(-1, keepdim=True))).sum(-1).clamp(min=0).sqrt()
    return p.amax(-1).mean().item(), torch.special.entr(p).sum(-1).mean().item(), norm.mean().item()


def compute(knobs: Knobs, lab: Lab) -> SimpleNamespace:
    Q, K = (knobs.spread * torch.randn(QUERIES + KEYS, 1024, generator=lab.generator()).double()).split([QUERIES, KEYS])
    d, factor, spread2 = knobs.d, knobs.d ** POWERS[knobs.scale], knobs.spread**2
    per_d = {size: score(knobs, Q, K, size) for size in DIMENSIONS}
    curves = {name: [measure(per_d[n] * n**power) for n in DIMENSIONS] for name, power in POWERS.items()}
    tops, entropies, norms = ({name: [row[i] for row in rows] for name, rows in curves.items()} for i in range(3))
    raw, scaled = Q[:, :d] @ K[:, :d].T, score(knobs, Q, K, d) * factor  # (128, 256), (128, groups, keys)
    largest, entropy, jacobian = measure(scaled)
    variance, width, own = raw.square().mean().item(), scaled.std().item(), scaled[..., 0].mean().item()
    row, few, most = scaled[0, 0], K[: knobs.keys, :d], per_d[1024].abs().max().item()  # (keys,), (keys, d)
    p, J = row.softmax(0), torch.autograd.functional.jacobian(lambda z: torch.softmax(z, -1), row)
    rooted = torch.softmax(Q[:, :d] @ few.T / math.sqrt(d), -1) @ few  # (128, d)
    error = 5 * math.sqrt(2 / d * (1 / QUERIES + 1 / KEYS) + 8 / (QUERIES * KEYS))  # relative, 5 standard errors
    slack = 5 * factor * spread2 * math.sqrt(d / QUERIES) * (math.sqrt(2) * knobs.alignment + 0.5)
    gap = (torch.nn.functional.scaled_dot_product_attention(Q[:, :d], few, few) - rooted).abs().max().item()
    return SimpleNamespace(**locals())


def settle(knobs: Knobs, s: SimpleNamespace) -> tuple[result.Claim, ...]:
    free, aligned = "" if knobs.alignment == 0 else OTHER, OTHER if knobs.alignment == 0 else ""
    ideal, mean, later = s.d * s.spread2**2, knobs.alignment * s.d * s.factor * s.spread2, s.entropies["1/sqrt(d)"][1:]
    wide, flat, fall = math.sqrt(ideal) * s.factor, max(later) - min(later), s.norms["none"][-1] / s.norms["none"][0]
    J, near, apart = (s.J - s.p.diag() + s.p.outer(s.p)).abs().max().item(), s.error * ideal, s.error * wide
    off, is_wide, dies = abs(s.own - mean), abs(s.width - wide) <= apart, free if knobs.spread == 1 else OTHER
    return (
        identity("jacobian", "Softmax's Jacobian is diag(p) - p p'.", J, 1e-12),
        identity("default", "Torch's attention divides by the root of d by default.", s.gap, 1e-12),
        outcome("variance", "q·k has variance d.", s.variance, ideal, abs(s.variance - ideal) <= near, near, free),
        outcome("width", "Scaled scores spread by root d times the scale.", s.width, wide, is_wide, apart, free),
        outcome("flat", "With the root, d = 16 and 1024 have one entropy.", flat, 0, flat <= 0.2, 0.2, free),
        outcome("saturates", "Unscaled, the Jacobian shrinks with d.", fall, "under 0.5", fall < 0.5, 0, dies),
        outcome("aligned", "The aligned key's mean grows like d.", s.own, mean, off <= s.slack, s.slack, aligned),
    )


def panel(title: str, table: dict[str, list[float]]) -> Lines:
    series = [Series(name=n, x=DIMENSIONS, y=table[n], meaning=m, style="line+points") for n, m in MEANINGS.items()]
    alt = "; ".join(f"{name}: {row[0]:.2f} at d = 4, {row[-1]:.2f} at d = 1024" for name, row in table.items())
    return Lines(
        id=title[:7].strip(),
        title=title,
        alt=alt,
        x=Axis(name="d", scale="log"),
        y=Axis(name=title, low=0),
        series=series,
    )


def run(knobs: Knobs, lab: Lab) -> Result:
    s = compute(knobs, lab)
    says = f"Variance of q·k {s.variance:.3g}; scaled by {knobs.scale}, the largest weight averages {s.largest:.2f}."
    share = torch.histc(s.scaled, 21, -3 * s.width, 3 * s.width) / s.scaled.numel()  # (21,)
    bins = [f"{(k - 10) * 6 / 21 * s.width:.2g}" for k in range(21)]
    lot = [BarGroup(name="scores", values=share.tolist(), meaning="measured", quantity="variance")]
    one = [BarGroup(name="weights", values=s.p.tolist(), meaning="measured", quantity="largest")]
    tables = {"largest weight": s.tops, "entropy in nats": s.entropies, "jacobian norm": s.norms}
    figures = (
        Bars(id="scores", title="Scores after scaling", alt=says, categories=bins, y=Axis(name="share"), groups=lot),
        Bars(id="row", title="A row", alt=says, categories=NAMES[: knobs.keys], y=Axis(name="weight"), groups=one),
        SmallMultiples(id="by-d", title="By d", alt=says, panels=[panel(*pair) for pair in tables.items()]),
    )
    answers: dict[str, result.Scalar] = {"variance": s.variance, "largest": s.largest, "width": s.width, "own": s.own}
    answers |= {"root": s.d**0.5, "inverse": 1 / s.d, "d": s.d, "keys": knobs.keys, "even": 1 / knobs.keys}
    answers |= {"effective": math.exp(s.entropy), "largest_score": s.most}
    code = (
        CodeLine(code="scores = Q @ K.T", value=f"variance {s.variance:.4g}", quantity="variance"),
        CodeLine(code=f"weights = torch.softmax(scores * {s.factor:.4g}, -1)", value=f"largest {s.largest:.3f}"),
    )
    return Result(summary=says, figures=figures, claims=settle(knobs, s), answers=answers, code=code)
