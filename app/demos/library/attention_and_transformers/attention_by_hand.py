r"""Attention with every intermediate

A query is compared with every key; softmax makes each row of scores sum to 1, and the output is that mixture of the
values: $\operatorname{softmax}(QK^\top/\sqrt d)\,V$. Another score or mask changes what enters softmax, nothing else.
A forbidden pair needs the score $-\infty$ *before* softmax: written as a zero, or applied later, it leaks or leaves
rows short of 1. A weight is a share of a value vector, not an importance.

Source: Vaswani et al. 2017, section 3.2.1, equation 1; Bahdanau et al. 2015, appendix A.1.2 (additive); Luong et al.
2015, section 3.1 (location); torch documentation: nn.functional.scaled_dot_product_attention
"""

import math
from types import SimpleNamespace
from typing import Any, Literal

import torch

from app.demos import result
from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, numbers, seed
from app.demos.result import Axis, BarGroup, Bars, Claim, CodeLine, Field2d, Heatmap, Result, Series, SmallMultiples

FORBIDDEN = {"-inf": -math.inf, "-1e9": -1e9, "zero score": 0.0}
X, Y = Axis(name="first entry"), Axis(name="second entry")
OTHER = "The sentence speaks of another mask, masking or score than these knobs name."


class Knobs(Parameters):
    score: Literal["dot", "scaled dot", "additive", "location"] = choice("scaled dot", help="How a query meets a key.")
    mask: Literal["none", "causal", "local window", "padding", "entity bias"] = choice("none", help="Forbidden pairs.")
    sharpness: float = number(1, 0.1, 100, log=True, help="Factor on every score before softmax.")
    query: tuple[float, ...] = numbers((1, 0.5), -3, 3, step=0.1, help="First entries of the last token's query.")
    masking: Literal["-inf", "-1e9", "zero score", "after softmax"] = choice("-inf", help="How to forbid.", more=True)
    source: Literal["self", "cross"] = choice("self", help="Cross: another text asks.", more=True)
    d: int = integer(8, 2, 64, help="Entries of a query, key or value.", more=True)
    T: int = integer(6, 2, 12, help="Tokens that ask and answer.", more=True)
    padded: int = integer(2, 0, 12, help="How many last tokens the padding mask forbids.", more=True)
    top_value: float = number(1, 0, 2, step=0.01, help="Stretches the value with the largest weight.", more=True)
    seed: int = seed()


def claim(id: str, says: str, error: Any, speaks: bool) -> Claim:
    return result.identity(id, says, torch.as_tensor(error).abs().max().item(), 1e-12, domain="" if speaks else OTHER)


def attend(knobs: Knobs, lab: Lab) -> SimpleNamespace:
    T, d, draws = knobs.T, knobs.d, torch.randn(8, 64, 64, generator=lab.generator(), dtype=torch.float64)
    maps, v = draws[2:7, :d, :d] / math.sqrt(d), draws[7, 62, :d].sign()  # (5, d, d), (d,)
    j, every, x = torch.arange(T), torch.ones(T, T), draws[0, :T, :d].requires_grad_()  # x: (T, d)
    Q = (x if knobs.source == "self" else draws[1, :T, :d]) @ maps[0]  # (T, d)
    Q[-1, :2] = torch.tensor(knobs.query)
    K, V = draws[7, :T, :d] if knobs.score == "location" else x @ maps[1], x @ maps[2]  # (T, d)
    raw = Q @ K.T / (1 if knobs.score == "dot" else math.sqrt(d))  # (T, T)
    if knobs.score == "additive":
        raw = torch.tanh((Q @ maps[3])[:, None] + K @ maps[4]) @ v  # (T, T, d) -> (T, T)
    near = {"causal": every.tril(), "local window": every.tril(1).triu(-1), "padding": every * (j < T - knobs.padded)}
    allowed = near.get(knobs.mask, every).bool()  # (T, T)
    scores = knobs.sharpness * raw + 2.0 * (j[:, None] % 3 == j % 3) * (knobs.mask == "entity bias")  # (T, T)
    masked = scores.masked_fill(~allowed, FORBIDDEN[knobs.masking]) if knobs.masking in FORBIDDEN else scores
    soft = torch.softmax(masked, -1)  # (T, T)
    weights = soft * (allowed if knobs.masking == "after softmax" else 1)
    top, columns, pairs = int(soft[-1].argmax()), weights.sum(0), int(allowed.sum())
    V[top] *= knobs.top_value
    output = weights @ V  # (T, d)
    (pull,) = torch.autograd.grad((output * draws[7, :1, :d])[:-1].sum(), x, retain_graph=True)
    leak, w, parts = pull[-1].abs().sum().item(), weights[-1, top].item(), weights * V.norm(dim=1)  # parts: (T, T)
    rule, scale = (scores - knobs.sharpness * raw).masked_fill(~allowed, -math.inf), 1 if knobs.score == "dot" else None
    fused = torch.nn.functional.scaled_dot_product_attention(Q * knobs.sharpness, K, V, rule, scale=scale)  # (T, d)
    loop = torch.stack([v @ torch.tanh(maps[3].T @ q + maps[4].T @ k) for q in Q for k in K])  # (T * T,)
    count = {"causal": T * (T + 1) // 2, "local window": 3 * T - 2, "padding": T * max(T - knobs.padded, 0)}
    early, additive, causal = knobs.masking in ("-inf", "-1e9"), knobs.score == "additive", knobs.mask == "causal"
    usual, late = early and pairs > 0, causal and not early and knobs.score != "location"
    most, uneven = columns.max().item(), not columns.allclose(every[0].double())
    past = (output - output.clamp(V.amin(0), V.amax(0))).abs().max().item()
    moved = output[-1] - w * V[top] - (1 - w) * (torch.softmax(masked[-1].masked_fill(j == top, -math.inf), -1) @ V)
    claims = (
        claim("pairs", "Allowed pairs match their closed form.", pairs - count.get(knobs.mask, T * T), True),
        claim("rows", "Masked before softmax, each row sums to 1.", weights.sum(1) - 1, usual),
        claim("torch", "Dot products give torch's fused attention.", output - fused, usual and not additive),
        claim("loop", "Vectorised additive scores equal a double loop.", raw.flatten() - loop, additive),
        claim("hull", "Outputs stay within the range of the values.", past, usual),
        claim("removal", "Masking a key scales the rest by 1/(1 - w).", moved, usual and w < 0.99),
        claim("no-leak", "Causal before softmax, no future token is felt.", leak, causal and early),
        claim("fused-empty", "With no key allowed, fused attention returns 0.", fused, pairs == 0),
        result.outcome("leak", "A late causal mask leaks.", leak, "above 0", leak > 0, domain="" if late else OTHER),
        result.outcome("columns", "Columns need not sum to 1.", most, "not 1", uneven, domain="" if usual else OTHER),
    )
    return SimpleNamespace(**locals())


def run(knobs: Knobs, lab: Lab) -> Result:
    s = attend(knobs, lab)
    T, names, row, part = s.T, [f"{k + 1}" for k in range(s.T)], s.weights[-1], s.parts[-1, s.top].item()
    sums, leaked = s.weights.sum(1), s.weights[0][~s.allowed[0]].sum().item()
    empty = "not a number" if s.output.isnan().any() else "zeros" if sums[0] == 0 else "uniform weights"
    says = f"The last token gives token {s.top + 1} the weight {s.w:.3f}, which adds a vector of length {part:.3f}."
    mass = f"{s.pairs} of {T * T} pairs; rows sum to {sums.min():.2f} – {sums.max():.2f}; {leaked:.0%} of row 1 leaks."
    grids = {"scores": s.scores, "masked": s.masked, "weights": s.weights, "parts": s.parts}
    panels = [Heatmap(id=t, title=t, alt=mass, rows=names, columns=names, values=g.tolist()) for t, g in grids.items()]
    shown = ("weight", row, "measured"), ("its part", s.parts[-1], "second"), ("column sum", s.columns, "third")
    bars = [BarGroup(name=n, values=v.tolist(), meaning=m) for n, v, m in shown]
    clouds = ("values", s.V.T, "neutral"), ("outputs", s.output.T, "measured")
    dots = [Series(name=n, x=c[0].tolist(), y=c[1].tolist(), style="points", meaning=m) for n, c, m in clouds]
    ring = torch.view_as_real(torch.polar(torch.ones(64), torch.arange(64) * math.pi / 32)).double()  # (64, 2)
    corners = s.V[list(dict.fromkeys((ring @ s.V[:, :2].T).argmax(1).tolist()))].T.tolist()  # (d, corners)
    hull = (result.Region(label="hull of the values", x=corners[0], y=corners[1]),)
    figures = (
        SmallMultiples(id="matrices", title="Scores, mask, softmax, parts", alt=mass, panels=panels),
        Bars(id="last", title="The last token's row", alt=says, categories=names, y=Axis(name="share"), groups=bars),
        Field2d(id="plane", title="Outputs among the values", alt=mass, x=X, y=Y, series=dots, regions=hull),
    )
    answers: dict[str, result.Scalar] = {"pairs": s.pairs, "all_pairs": T * T, "total": sums.sum().item()}
    answers |= {"weight": s.w, "part": part, "leak": s.leak, "leaked": leaked, "even": 1 / T, "empty": empty}
    answers |= {"bound": s.d, "three_each": 3 * T, "below": T * (T - 1) // 2, "past": s.past, "first": sums[0].item()}
    code = (
        CodeLine(code="scores = Q @ K.T / math.sqrt(d)", value=f"to token {s.top + 1}: {s.scores[-1, s.top]:.3f}"),
        CodeLine(code="weights = torch.softmax(masked, -1)", value=f"{s.w:.3f}", quantity="weight"),
        CodeLine(code="output = weights @ V", value=f"token {s.top + 1} adds length {part:.3f}"),
    )
    return Result(summary=says, figures=figures, claims=s.claims, answers=answers, code=code)
