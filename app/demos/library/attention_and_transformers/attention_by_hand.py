r"""Attention with every intermediate

A query is compared with every key; softmax makes each row of scores sum to 1, and the output is that mixture of the
values: $\operatorname{softmax}(QK^\top/\sqrt d)\,V$. Another score or mask changes what enters softmax, nothing else.
A forbidden pair needs the score $-\infty$ *before* softmax: written as a zero, or applied later, it leaks or leaves
rows short of 1. Attention dropout breaks the sum too. A weight is a share of a value vector, not an importance.

Source: Vaswani et al. 2017, section 3.2.1, equation 1; Bahdanau et al. 2015, appendix A.1.2 (additive); Luong et al.
2015, section 3.1 (location); torch documentation: nn.functional.scaled_dot_product_attention
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from app.demos import result
from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, numbers, seed
from app.demos.result import Axis, BarGroup, Bars, Claim, CodeLine, Field2d, Heatmap, Result, Series, outcome

EARLY = {"-inf": -math.inf, "-1e9": -1e9}  # written over forbidden scores, before softmax
FORBIDDEN = EARLY | {"zero score": 0.0}
COLOURS: tuple[result.Meaning, ...] = ("measured", "second")


class Knobs(Parameters):
    score: Literal["dot", "scaled dot", "additive", "location"] = choice("scaled dot", help="How a query meets a key.")
    mask: Literal["none", "causal", "local window", "padding", "entity bias"] = choice("none", help="Forbidden pairs.")
    sharpness: float = number(1, 0.1, 100, log=True, help="Factor on every score before softmax.")
    query: tuple[float, ...] = numbers((1, 0.5), -3, 3, step=0.1, help="First entries of the last token's query.")
    masking: Literal["-inf", "-1e9", "zero score", "after softmax"] = choice("-inf", help="How to forbid.", more=True)
    dropout: float = number(0, 0, 0.9, step=0.05, help="Attention dropout: chance to zero a weight.", more=True)
    row: int = integer(12, 1, 12, help="The token shown as bars and point; above T, the last.", more=True)
    source: Literal["self", "cross"] = choice("self", help="Cross: another text asks.", more=True)
    d: int = integer(8, 2, 64, help="Entries of a query, key or value.", more=True)
    T: int = integer(6, 2, 12, help="Tokens that ask and answer.", more=True)
    padded: int = integer(2, 0, 12, help="How many last tokens the padding mask forbids.", more=True)
    top_value: float = number(1, 0, 2, step=0.01, help="Stretches the value with the largest weight.", more=True)
    seed: int = seed()


class Attention:  # keeps every intermediate; T queries meet T keys
    def __init__(self, knobs: Knobs, lab: Lab) -> None:
        T, d, place = knobs.T, knobs.d, torch.arange(knobs.T)
        draws = torch.randn(8, 64, 64, generator=lab.generator(), dtype=torch.float64)
        W_q, W_k, W_v, W, U = draws[2:7, :d, :d] / math.sqrt(d)  # (d, d) each
        v, x = draws[7, 62, :d].sign(), draws[0, :T, :d].requires_grad_()  # (d,), (T, d)
        self.Q = (x if knobs.source == "self" else draws[1, :T, :d]) @ W_q  # (T, d)
        self.Q[-1, :2] = torch.tensor(knobs.query)
        self.K = draws[7, :T, :d] if knobs.score == "location" else x @ W_k  # (T, d)
        self.raw = self.Q @ self.K.T / (1 if knobs.score == "dot" else math.sqrt(d))  # (T, T)
        if knobs.score == "additive":
            self.raw = torch.tanh((self.Q @ W)[:, None] + self.K @ U) @ v  # (T, T, d) -> (T, T)
        self.loop = torch.stack([v @ torch.tanh(W.T @ q + U.T @ k) for q in self.Q for k in self.K]).view(T, T)
        entity_bias = 2.0 * (place[:, None] % 3 == place % 3) * (knobs.mask == "entity bias")  # (T, T)
        self.scores = knobs.sharpness * self.raw + entity_bias
        every = torch.ones(T, T).bool()
        masks = {"causal": every.tril(), "local window": every.tril(1).triu(-1), "padding": place < T - knobs.padded}
        self.allowed = every & masks.get(knobs.mask, every)  # (T, T)
        masked = self.scores.masked_fill(~self.allowed, FORBIDDEN.get(knobs.masking, 0))
        self.masked = self.scores if knobs.masking == "after softmax" else masked
        soft = torch.softmax(self.masked, -1)  # (T, T)
        self.row, last = min(knobs.row, T) - 1, self.allowed if knobs.masking == "after softmax" else 1
        self.top = int(soft[self.row].argmax())
        self.V = x @ W_v * torch.where(place == self.top, knobs.top_value, 1.0)[:, None]  # (T, d)
        spared = torch.rand(T, T, generator=lab.generator(1)) >= knobs.dropout
        self.weights = soft * last * spared / (1 - knobs.dropout)  # (T, T)
        self.output = self.weights @ self.V  # (T, d)
        self.parts = self.weights * self.V.norm(dim=1)  # (T, T): how long a vector each key adds
        mixture = soft @ self.V  # (T, d): straight from softmax
        self.outside = mixture - mixture.clamp(self.V.amin(0), self.V.amax(0))  # (T, d)
        earlier = (self.output[:-1] * draws[7, :1, :d]).sum()
        self.leak = torch.autograd.grad(earlier, x, retain_graph=True)[0][-1].abs().sum()  # the last token's pull


def why_not_usual(knobs: Knobs, s: Attention) -> str:
    if knobs.dropout:
        return "Attention dropout zeroes weights after softmax and stretches the others."
    if not s.allowed.any():
        return "No key is allowed: by hand that is 0/0, or a constant that cancels."
    return "" if knobs.masking in EARLY else "It speaks of a mask before softmax, as minus infinity or -1e9."


def claim(id: str, says: str, error: Tensor, quantity: str, domain: str = "") -> Claim:
    return result.identity(id, says, error.abs().max().item(), 1e-12, domain=domain, quantity=quantity)


def settle(knobs: Knobs, s: Attention) -> tuple[Claim, ...]:
    T, weight, sums, columns = knobs.T, s.weights[s.row, s.top], s.weights.sum(1), s.weights.sum(0)
    off, most, odd = (sums - 1).abs().max().item(), columns.max().item(), not columns.allclose(columns * 0 + 1)
    count = {"causal": T * (T + 1) // 2, "local window": 3 * T - 2, "padding": T * max(T - knobs.padded, 0)}
    bias = (s.scores - knobs.sharpness * s.raw).masked_fill(~s.allowed, -math.inf)  # (T, T)
    scale = 1 if knobs.score == "dot" else None
    fused = functional.scaled_dot_product_attention(s.Q * knobs.sharpness, s.K, s.V, bias, scale=scale)  # (T, d)
    others = torch.softmax(s.masked[s.row].masked_fill(torch.arange(T) == s.top, -math.inf), -1) @ s.V  # (d,)
    removed = s.output[s.row] - weight * s.V[s.top] - (1 - weight) * others  # (d,)
    usual, some = why_not_usual(knobs, s), "Some key is allowed." * bool(s.allowed.any())
    dots = usual if knobs.score != "additive" else "Torch's fused attention takes dot products, not additive scores."
    tanh = "" if knobs.score == "additive" else "The scores are dot products; the loop takes v·tanh(W q + U k)."
    shared = usual or "One key holds nearly all weight: 1/(1 - w) is beyond the digits." * bool(weight >= 0.99)
    causal = "" if knobs.mask == "causal" else "No causal mask: no key is forbidden for being later."
    in_time = causal if knobs.masking in EARLY else "The mask is a zero score or comes after softmax."
    hard = "Softmax is saturated: such shares are lost to rounding." * bool(s.weights.max() > 1 - 1e-6)
    blind = "Keys from a table see no token; dropout may zero it." * (knobs.score == "location" or knobs.dropout > 0)
    late = "The mask is written in time." if knobs.masking in EARLY else causal or blind or hard
    drops = "" if knobs.dropout and some else "Dropout is off, or no key is allowed."
    return (
        claim("pairs", "Allowed pairs match a closed form.", s.allowed.sum() - count.get(knobs.mask, T * T), "masked"),
        claim("rows", "Masked before softmax, each row sums to 1.", sums - 1, "row sum", usual),
        claim("torch", "Dot products give torch's fused attention.", s.output - fused, "output", dots),
        claim("loop", "Vectorised additive scores equal a double loop.", s.raw - s.loop, "scores", tanh),
        claim("hull", "Outputs stay within the range of the values.", s.outside, "output", usual),
        claim("removal", "Masking a key scales the rest by 1/(1 - w).", removed, "weights", shared),
        claim("no-leak", "Causal before softmax, no future token is felt.", s.leak, "masked", in_time),
        claim("fused-empty", "With no key allowed, fused attention returns 0.", fused, "output", some),
        outcome("leak", "A late causal mask leaks.", s.leak.item(), "above 0", s.leak.item() > 0, domain=late),
        outcome("columns", "Columns need not sum to 1.", most, "not 1", odd, 0, usual or hard, quantity="column sum"),
        outcome("dropout", "Attention dropout breaks row sums.", off, "above 0", off > 1e-9, domain=drops),
    )


def draw_map(s: Attention, id: str, title: str, grid: Tensor, says: str) -> Heatmap:
    tokens = [str(token + 1) for token in range(len(grid))]
    says = f"{says}; query {s.row + 1} to key {s.top + 1}: {grid[s.row, s.top]:.3g}."
    hatched = None if id == "scores" else (~s.allowed).tolist()
    about = {"alt": says, "caption": says, "hatched": hatched, "show_values": True, "quantity": id}
    axes = {"rows": tokens, "columns": tokens, "row_name": "query", "column_name": "key"}
    return Heatmap(id=id, title=title, values=grid.tolist(), **about, **axes)


def draw_matrices(knobs: Knobs, s: Attention) -> result.SmallMultiples:
    (least, most), pairs = s.weights.sum(1).aminmax(), f"{s.allowed.sum()} of {knobs.T**2} pairs allowed"
    panels = (
        draw_map(s, "scores", "1 Scores", s.scores, f"From {s.scores.min():.2f} to {s.scores.max():.2f}"),
        draw_map(s, "masked", "2 Masked", s.masked, f"{pairs}, others hatched"),
        draw_map(s, "weights", "3 Softmax", s.weights, f"Rows sum to {least:.3f} – {most:.3f}"),
        draw_map(s, "parts", "4 Weight × length", s.parts, f"Keys add vectors {s.parts.max():.3g} long at most"),
    )
    says = "Four maps of query by key. " + " ".join(f"{panel.title}: {panel.alt}" for panel in panels)
    return result.SmallMultiples(id="matrices", title="From scores to weighted values", alt=says, panels=panels)


def draw_plane(knobs: Knobs, s: Attention) -> Field2d:
    around = torch.view_as_real(torch.polar(torch.ones(64), torch.arange(64) * math.pi / 32)).double()  # (64, 2)
    across, up = s.V[(around @ s.V[:, :2].T).argmax(1), :2].T.tolist()  # the values furthest in 64 directions
    (x, y), whole = s.output[s.row, :2], "whole vectors" if knobs.d == 2 else f"two of {knobs.d} entries"
    says = f"Output {s.row + 1} at ({x:.2f}, {y:.2f}) is a mixture of {knobs.T} values ({whole})."
    values = Series(name="values", x=s.V[:, 0].tolist(), y=s.V[:, 1].tolist(), style="points")
    mixed = {"x": s.output[:, 0].tolist(), "y": s.output[:, 1].tolist()}
    outputs = Series(name="outputs", **mixed, style="points", meaning="second", quantity="output")
    hull = result.Region(label="hull of values", x=across, y=up)
    here = result.Mark(label=f"output {s.row + 1}", x=x.item(), y=y.item(), meaning="measured")
    about = {"id": "plane", "title": "Outputs among the values", "alt": says, "caption": says, "marks": (here,)}
    axes = {"x": Axis(name="first entry"), "y": Axis(name="second entry")}
    return Field2d(**about, **axes, series=(values, outputs), regions=(hull,))


def draw_bars(id: str, title: str, says: str, rows: dict[str, Tensor]) -> Bars:
    drawn = zip(rows.items(), COLOURS, strict=True)
    groups = [BarGroup(name=name, values=x.tolist(), meaning=meaning, quantity=name) for (name, x), meaning in drawn]
    tokens = [str(token + 1) for token in range(len(groups[0].values))]
    return Bars(id=id, title=title, alt=says, caption=says, categories=tokens, y=Axis(name="size"), groups=groups)


def run(knobs: Knobs, lab: Lab) -> Result:
    s, T, d, p = Attention(knobs, lab), knobs.T, knobs.d, knobs.dropout
    i, j, sums, columns = s.row, s.top, s.weights.sum(1), s.weights.sum(0)
    weight, part, leaked = s.weights[i, j].item(), s.parts[i, j].item(), s.weights[0][~s.allowed[0]].sum().item()
    last_key, kept = s.weights[:, -1], "ordinary weights" if s.weights.std() > 1e-9 else "uniform weights"
    empty = "not a number" if last_key.isnan().any() else kept if last_key.any() else "zeros"
    says = f"Token {i + 1} gives token {j + 1} the weight {weight:.3f}, which adds a vector of length {part:.3f}."
    total = f"Rows sum to {sums.min():.2f} – {sums.max():.2f}, columns to {columns.min():.2f} – {columns.max():.2f}."
    row, both = {"weights": s.weights[i], "parts": s.parts[i]}, {"row sum": sums, "column sum": columns}
    figures = (
        draw_matrices(knobs, s),
        draw_bars("last", f"Row {i + 1}: weights, and what they add", says, row),
        draw_bars("sums", "Sums of rows and of columns", total, both),
        draw_plane(knobs, s),
    )
    answers: dict[str, result.Scalar] = {"pairs": int(s.allowed.sum()), "all_pairs": T * T, "total": sums.sum().item()}
    answers |= {"weight": weight, "part": part, "leak": s.leak.item(), "leaked": leaked, "even": 1 / T, "empty": empty}
    answers |= {"bound": d, "root": math.sqrt(d), "three_each": 3 * T, "below": T * (T - 1) // 2}
    answers |= {"adding": int((s.parts[i] > 0).sum()), "allowed": int(s.allowed[i].sum()), "all_keys": T}
    answers |= {"past": s.outside.abs().max().item(), "first": sums[0].item(), "highest": sums.max().item()}
    answers |= {"spared": functional.dropout(torch.full((999,), 0.5), p).max().item(), "shrunk": 0.5 * (1 - p)}
    rules = {"dot": "Q @ K.T", "additive": "torch.tanh(Q @ W + K @ U) @ v", "location": "Q @ places.T / math.sqrt(d)"}
    rule = "scores = " + rules.get(knobs.score, "Q @ K.T / math.sqrt(d)")
    fill = f"scores.masked_fill(~allowed, {FORBIDDEN[knobs.masking]})" if knobs.masking in FORBIDDEN else "scores"
    code = (
        CodeLine(code=rule, value=f"{s.scores[i, j]:.3f}", quantity="scores"),
        CodeLine(code=f"masked = {fill}", value=f"{s.masked[i, j]:.3f}", quantity="masked"),
        CodeLine(code="weights = torch.softmax(masked, -1)", value=f"{weight:.3f}", quantity="weights"),
        CodeLine(code="weights.sum(-1)", value=f"{sums[i]:.3f}", quantity="row sum"),
        CodeLine(code="weights * V.norm(dim=1)", value=f"{part:.3f}", quantity="parts"),
        CodeLine(code="output = weights @ V", value=f"{s.output[i, 0]:.3f}, {s.output[i, 1]:.3f} …", quantity="output"),
    )
    return Result(summary=says, figures=figures, claims=settle(knobs, s), answers=answers, code=code)
