r"""Several heads

Each head projects the tokens to $d/h$ numbers, attends with a map of its own, and the output projection adds up one
part per head. Parameters and multiplications are those of a single head; the number of stored maps grows. The same
lines settle what biases do, what a boolean mask means to two functions of torch, what `is_causal` does to new queries,
and what length costs (scores and mixing; milliseconds are this machine's, and no seed fixes them).
Source: Vaswani et al. 2017, section 3.2.2; Brunner et al. 2020, On Identifiability in Transformers; torch:
nn.MultiheadAttention (attn_mask), nn.functional.scaled_dot_product_attention (attn_mask, is_causal)
"""

import math
import timeit
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as function

from app.demos import result
from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed, several
from app.demos.result import Axis, BarGroup, Bars, Claim, CodeLine, Heatmap, Result, SmallMultiples, outcome

COUNTS = (1, 2, 4, 8, 16)
MEANINGS: tuple[result.Meaning, ...] = ("measured", "second", "neutral")  # of bars that stand side by side


class Knobs(Parameters):
    heads: Literal["1", "2", "4", "8", "16"] = choice("4", help="How many maps share the width d.")
    d: Literal["16", "32", "64"] = choice("32", help="Width of a token.")
    T: int = integer(10, 4, 16, help="Tokens.")
    ablate: tuple[int, ...] = several((), 0, 15, help="Heads whose part is removed, counted from 0.")
    bias: float = number(1, 0, 3, step=0.1, help="Size of a bias added to queries, keys or values.", more=True)
    biased: int = integer(16, 0, 16, help="First keys that get the bias; above T, all.", more=True)
    queries: int = integer(1, 1, 4, help="New tokens that ask, with is_causal=True and a cache of keys.", more=True)
    short: float = number(0.01, 0, 1, step=0.01, help="Length of a value with the weight 0.9.", more=True)
    longest: int = integer(0, 0, 2048, step=256, help="Time attention up to this length.", more=True)
    seed: int = seed()


class Heads:  # one layer of torch, and the same by hand
    def __init__(self, knobs: Knobs, lab: Lab) -> None:
        H, d, T = int(knobs.heads), int(knobs.d), knobs.T
        self.width = d // H
        module = torch.nn.MultiheadAttention(d, H, batch_first=True, dtype=torch.float64).requires_grad_(False)
        draws = torch.randn(1, 17, 64, generator=lab.generator(), dtype=torch.float64)
        x = draws[:, :T, :d]  # (1, T, d)
        (self.in_torch, *_), self.torch_maps = module(x, x, x, average_attn_weights=False)  # (T, d), (1, H, T, T)
        rows = (x[0] @ module.in_proj_weight.T).view(T, 3, H, self.width)  # (T, 3d) -> (T, 3, H, width)
        Q, K, V = rows.permute(1, 2, 0, 3)  # (H, T, width) each
        self.W_o = module.out_proj.weight.T.view(H, self.width, d)
        self.weights, self.V = torch.softmax(Q @ K.mT / math.sqrt(self.width), -1), V  # (H, T, T), (H, T, width)
        self.parts = self.weights @ V @ self.W_o  # (H, T, width) -> (H, T, d)
        self.output = self.parts.sum(0)  # (T, d)
        b = knobs.bias * draws[0, 16, :d].view(H, 1, self.width)
        some = b * (torch.arange(T) < knobs.biased)[:, None]  # (H, T, width): zero for the other keys
        shifted = {"query": (Q + b, K, V), "key": (Q, K + some, V), "value": (Q, K, V + b)}
        self.moved = {name: self.mix(*three) - self.in_torch for name, three in shifted.items()}  # (T, d) each
        self.shift = (b @ self.W_o).sum(0)  # (1, d): what a bias on the values should add to every output
        self.future, identity = torch.ones(T, T).triu(1).bool(), torch.eye(T).double()  # (T, T) each
        self.blocked = module(x, x, x, attn_mask=self.future)[1][0]  # (T, T): mean over heads
        self.allowed = function(Q[0], K[0], identity, self.future)  # (T, T): the identity as values shows the weights
        self.newest = function(Q[0, -knobs.queries :], K[0], identity, is_causal=True)[-1]  # (T,)
        self.row = self.weights[0, -1]  # (T,)
        self.other, self.free = other_row(self.row, V[0])

    def mix(self, Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
        return (torch.softmax(Q @ K.mT / math.sqrt(self.width), -1) @ V @ self.W_o).sum(0)  # (T, d)


def other_row(row: Tensor, values: Tensor) -> tuple[Tensor, int]:
    """Another row of weights with the same sum and mixture, and in how many directions it can move."""
    kept = torch.cat([values, torch.ones(len(row), 1)], 1).T  # (width + 1, T)
    free = len(row) - int(torch.linalg.matrix_rank(kept))
    if free == 0:
        return row, 0
    step = torch.linalg.svd(kept).Vh[-1]  # (T,), a direction that changes nothing kept
    return row + step * (row / -step)[step < 0].min(), free  # as far as no weight turns negative


def time_attention(tokens: int) -> tuple[int, int, float]:
    """Tokens, multiplications and milliseconds, the fastest of a few tries."""
    x = torch.randn(tokens, 64)
    pairs = (x @ x.T).numel()  # each scores 64 terms, then its weight mixes 64 entries
    spells = timeit.repeat(lambda: torch.softmax(x @ x.T / 8, -1) @ x, number=1, repeat=1 + 1024 // tokens)
    return tokens, 2 * 64 * pairs, round(1000 * min(spells), 2)


def claim(id: str, says: str, error: Tensor, quantity: str, domain: str = "") -> Claim:
    return result.identity(id, says, error.abs().max().item(), 1e-12, domain=domain, quantity=quantity)


def settle(knobs: Knobs, s: Heads, counted: list[int], growth: float) -> tuple[Claim, ...]:
    d, query, heavy, light = int(knobs.d), s.moved["query"].abs().max().item(), 0.9 * knobs.short, 0.1 * math.sqrt(2)
    extra, excess = torch.tensor(counted) - 4 * d**2 - 4 * d, torch.tensor(growth)
    pinned = "" if s.free else f"{s.width} outputs and the sum pin all {knobs.T} weights down: there is no second map."
    untimed = "" if knobs.longest >= 512 else "Fewer than two lengths were timed: set longest to 512 or more."
    all_keys = "" if knobs.biased >= knobs.T else "Some keys get no bias: a row of scores does not shift as one."
    still = "" if knobs.bias else "The bias is 0: nothing is added."
    long = "" if heavy < light else "This value is more than a ninth as long as the other: the weight counts."
    return (
        claim("torch-output", "The heads' parts add up to torch's output.", s.output - s.in_torch, "output"),
        claim("torch-maps", "Each head's map is torch's.", s.weights - s.torch_maps[0], "weights"),
        claim("parameters", "1 to 16 heads have 4d² + 4d parameters each.", extra, "parameters"),
        claim("key-bias", "A bias on all keys changes nothing.", s.moved["key"], "key", all_keys),
        claim("value-bias", "A value bias moves all outputs alike.", s.moved["value"] - s.shift, "value"),
        claim("blocked", "nn.MultiheadAttention blocks where the mask is True.", s.blocked[s.future], "mask"),
        claim("allowed", "The function attends only where the mask is True.", s.allowed[~s.future], "mask"),
        claim("newest", "is_causal=True counts from the oldest key.", s.newest[knobs.queries :].sum(), "newest"),
        claim("two-maps", "Two rows of head 0 give one output.", (s.other - s.row) @ s.V[0], "other", pinned),
        claim("quadratic", "Scores and mixing grow as length squared.", excess, "work", untimed),
        outcome("query-bias", "A query bias counts.", query, "above 0", query > 0, domain=still, quantity="query"),
        outcome("idle", "The weight 0.9 adds less than 0.1 does.", heavy, light, heavy < light, domain=long),
    )


def draw_maps(s: Heads) -> SmallMultiples:
    tokens, panels, high = [str(token + 1) for token in range(len(s.row))], [], s.weights.max().item()
    for head, weights in enumerate(s.weights.round(decimals=3)):
        query, key = divmod(int(weights.argmax()), len(tokens))
        says = f"Head {head}: its largest weight, {weights.max():.2f}, goes from token {query + 1} to {key + 1}."
        axes = {"rows": tokens, "columns": tokens, "row_name": "query", "column_name": "key", "low": 0, "high": high}
        words = {"id": f"head-{head}", "title": f"Head {head}", "alt": says, "quantity": "weights"}
        panels.append(Heatmap(values=weights.tolist(), **words, **axes))
    says = f"{len(panels)} maps on one scale. {' '.join(panel.alt for panel in panels[:4])}"
    return SmallMultiples(id="maps", title="One map per head", alt=says, panels=panels)


def draw_bars(id: str, title: str, says: str, y: Axis, names: list[str] | None = None, **rows: Tensor) -> Bars:
    drawn = zip(rows.items(), MEANINGS, strict=False)
    groups = [BarGroup(name=name, values=x.tolist(), meaning=meaning, quantity=name) for (name, x), meaning in drawn]
    names = names or [str(place) for place in range(len(groups[0].values))]
    return Bars(id=id, title=title, alt=says, caption=says, categories=names, y=y, groups=groups)


def draw_entropy(s: Heads) -> Bars:
    entropy, even = torch.special.entr(s.weights).sum(-1).mean(-1), math.log(len(s.row))  # (H,)
    says = f"Rows have {entropy.min():.2f} – {entropy.max():.2f} nats on average, an even one {even:.2f}."
    return draw_bars("heads", "Entropy of each head", says, Axis(name="nats", low=0), weights=entropy)


def draw_removal(s: Heads, lost: float) -> Bars:
    change = s.parts.norm(dim=(1, 2)) / s.in_torch.norm()  # (H,), of the output without this head
    says = f"Removing one changes {change.min():.0%} – {change.max():.0%}; those removed now carry {lost:.0%}."
    return draw_bars("removal", "What a removed head changes", says, Axis(name="share of output", low=0), output=change)


def draw_cost(knobs: Knobs, counted: list[int]) -> Bars:
    stored = torch.tensor(COUNTS) * knobs.T**2
    says = f"{counted[0]} parameters with any number of heads; {stored[0]} stored weights with 1, {stored[-1]} with 16."
    names, y, flat = [str(heads) for heads in COUNTS], Axis(name="numbers", scale="log"), torch.tensor(counted)
    return draw_bars("cost", "Parameters and stored weights by heads", says, y, names, parameters=flat, stored=stored)


def draw_heavy(knobs: Knobs) -> Bars:
    weight = torch.softmax(torch.tensor([math.log(9), 0.0]), 0)  # (2,): 0.9 and 0.1
    values = torch.tensor([[knobs.short, 0.0], [1.0, 1.0]])  # (2, 2)
    adds = (weight[:, None] * values).norm(dim=1)  # (2,)
    says = f"The weights {weight[0]:.1f} and {weight[1]:.1f} add vectors {adds[0]:.3f} and {adds[1]:.3f} long."
    names, y, lengths = ["heavy key", "light key"], Axis(name="size"), values.norm(dim=1)
    return draw_bars("heavy", "Weight × value length", says, y, names, weight=weight, adds=adds, value=lengths)


def draw_two_maps(s: Heads) -> Bars:
    drift, apart = ((s.other - s.row) @ s.V[0]).abs().max(), (s.other - s.row).abs().sum() / 2
    says = f"Free directions: {s.free}. Here {apart:.2f} of the weight moves elsewhere, the output by {drift:.1g}."
    y, keys = Axis(name="weight of head 0", low=0), [str(key + 1) for key in range(len(s.row))]
    return draw_bars("two-maps", "Last token's row and another, one output", says, y, keys, row=s.row, other=s.other)


def run(knobs: Knobs, lab: Lab) -> Result:
    s, H, d, T, short = Heads(knobs, lab), int(knobs.heads), int(knobs.d), knobs.T, knobs.short
    counted = [sum(w.numel() for w in torch.nn.MultiheadAttention(d, n, device="meta").parameters()) for n in COUNTS]
    times = [time_attention(256 * 2**k) for k in range(4) if 256 * 2**k <= knobs.longest]
    length, ratio = (times[-1][0], times[-1][1] / times[0][1]) if times else (256, 1.0)
    removed = [head for head in range(H) if head in knobs.ablate]
    lost = s.parts[removed].sum(0).norm().item() / s.in_torch.norm().item()
    says = f"{H} heads of width {s.width}, {counted[0]} parameters; removed heads carry {lost:.0%} of the output."
    alt = f"{len(times)} lengths: multiplications grow {ratio:.0f}-fold. Milliseconds are this machine's, in this run."
    columns, title = ("tokens", "multiplications", "ms, this machine"), "What length costs"
    table = result.TableFigure(id="length", title=title, alt=alt, caption=alt, columns=columns, rows=times)
    pictures = draw_maps(s), draw_entropy(s), draw_removal(s, lost), draw_cost(knobs, counted)
    figures = (*pictures, draw_two_maps(s), draw_heavy(knobs), table)
    answers: dict[str, result.Scalar] = {f"{name}_change": x.abs().max().item() for name, x in s.moved.items()}
    answers |= {"parameters": counted[0], "times": H * counted[0], "stored": H * T * T, "one": T * T, "lost": lost}
    answers |= {"free": s.free, "room": T - s.width, "apart": (s.other - s.row).abs().sum().item() / 2, "T": T}
    sees, felt = int((s.newest > 0).sum()), int((s.moved["key"].abs().amax(1) > 1e-9).sum())
    answers |= {"function_sees": int((s.allowed[0] > 0).sum()), "newest_sees": sees, "unseen": T - sees, "felt": felt}
    answers |= {"all_but_one": T - 1, "ratio": ratio, "linear": length / 256, "adds": 0.9 * short, "short": short}
    answers |= {"biased": min(knobs.biased, T)}
    code = (
        CodeLine(code="Q, K, V = rows.permute(1, 2, 0, 3)", value=f"{H} heads × {T} × {s.width} each"),
        CodeLine(code="weights = torch.softmax(Q @ K.mT / root, -1)", value=f"{H} maps", quantity="weights"),
        CodeLine(code="parts = weights @ V @ W_o", value=f"{H} × {T} × {d}", quantity="output"),
        CodeLine(code="output = parts.sum(0)", value=f"{T} × {d}", quantity="output"),
        CodeLine(code="sum(w.numel() for w in parameters)", value=f"{counted[0]}", quantity="parameters"),
        CodeLine(code="kept = torch.cat([V[0], ones], 1).T", value=f"free directions: {s.free}", quantity="other"),
    )
    claims = settle(knobs, s, counted, ratio - (length / 256) ** 2)
    return Result(summary=says, figures=figures, claims=claims, answers=answers, code=code)
