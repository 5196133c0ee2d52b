r"""Several heads

Each head projects the tokens to $d/h$ numbers, attends with a map of its own, and the output projection adds up one
part per head. Parameters and multiplications are those of a single head; the number of stored maps grows. The same
lines settle what a bias does, what a boolean mask means to two functions of torch, what `is_causal` does to one new
query, and what length costs (its milliseconds are the one number that no seed fixes).

Source: Vaswani et al. 2017, section 3.2.2; Brunner et al. 2020, section 3 (two maps, one output); torch documentation:
nn.MultiheadAttention (attn_mask), nn.functional.scaled_dot_product_attention (attn_mask, is_causal)
"""

import math
import time
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch.nn.functional import scaled_dot_product_attention as function

from app.demos import result
from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed, several
from app.demos.result import Axis, BarGroup, Bars, CodeLine, Heatmap, Result, SmallMultiples, TableFigure

HEADS, LENGTHS = ("heads", "parameters", "stored weights"), ("tokens", "multiplications", "milliseconds")


class Knobs(Parameters):
    heads: Literal["1", "2", "4", "8", "16"] = choice("4", help="How many maps share the width d.")
    d: Literal["16", "32", "64"] = choice("32", help="Width of a token.")
    T: int = integer(10, 4, 16, help="Tokens.")
    ablate: tuple[int, ...] = several((), 0, 15, help="Heads whose part is removed, counted from 0.")
    bias: float = number(1, 0, 3, step=0.1, help="Size of a bias added to queries, keys or values.", more=True)
    longest: int = integer(0, 0, 2048, step=256, help="Time attention up to this length.", more=True)
    seed: int = seed()


def claim(id: str, says: str, error: Any, speaks: bool = True) -> result.Claim:
    domain = "" if speaks else "It needs narrow heads, a bias or a timing that these knobs do not have."
    return result.identity(id, says, torch.as_tensor(error).abs().max().item(), 1e-12, domain=domain)


def clock(length: int) -> tuple[int, int, float]:
    x, spells = torch.randn(length, 64), []
    for _ in range(1 + 1024 // length):
        start = time.perf_counter()
        mixed = torch.softmax(x @ x.T / 8, -1) @ x  # (length, length) -> (length, 64)
        spells.append(1000 * (time.perf_counter() - start))
    return length, 2 * length * mixed.numel(), round(min(spells), 2)


def attend(knobs: Knobs, lab: Lab) -> SimpleNamespace:
    H, d, T, eye = int(knobs.heads), int(knobs.d), knobs.T, torch.eye(knobs.T).double()
    module = torch.nn.MultiheadAttention(d, H, batch_first=True, dtype=torch.float64).requires_grad_(False)
    draws, width = torch.randn(1, 17, 64, generator=lab.generator(), dtype=torch.float64), d // H
    x, b = draws[:, :T, :d], knobs.bias * draws[0, 16, :d].view(H, 1, width)  # (1, T, d), (H, 1, width)
    theirs, maps = module(x, x, x, average_attn_weights=False)  # (1, T, d), (1, H, T, T)
    rows = (x[0] @ module.in_proj_weight.T).view(T, 3, H, width)  # (T, 3d) -> (T, 3, H, width)
    Q, K, V = rows.permute(1, 2, 0, 3)  # (H, T, width) each
    weights, W_o = torch.softmax(Q @ K.mT / math.sqrt(width), -1), module.out_proj.weight.T.view(H, width, d)
    parts = weights @ V @ W_o  # (H, T, width) -> (H, T, d)
    lost = parts[[head for head in range(H) if head in knobs.ablate]].sum(0).norm().item() / theirs.norm().item()
    shifted = (Q + b, K, V), (Q, K + b, V), (Q, K, V + b)
    moved = [(torch.softmax(q @ k.mT / math.sqrt(width), -1) @ v @ W_o).sum(0) - theirs[0] for q, k, v in shifted]
    future = torch.ones(T, T).triu(1).bool()  # (T, T)
    blocked = module(x, x, x, attn_mask=future)[1][0]  # (T, T): mean over heads
    allowed, newest = (
        function(Q[0], K[0], eye, future),
        function(Q[0, -1:], K[0], eye, is_causal=True),
    )  # (T, T), (1, T)
    fixed, row = torch.cat([V[0], torch.ones(T, 1)], 1).T, weights[0, -1]  # (width + 1, T): what another map must keep
    step = torch.linalg.svd(fixed).Vh[-1]  # (T,), then as far as no weight turns negative
    step = step * (row / -step)[step < 0].min()
    free = T - int(torch.linalg.matrix_rank(fixed))
    made = [torch.nn.MultiheadAttention(d, heads, device="meta") for heads in (1, 4, 16)]
    counted = torch.tensor([sum(weight.numel() for weight in one.parameters()) for one in made])
    times = [clock(256 * 2**k) for k in range(4) if 256 * 2**k <= knobs.longest]
    length, ratio = (times[-1][0], times[-1][1] / times[0][1]) if times else (256, 1.0)
    return SimpleNamespace(**locals())


def settle(knobs: Knobs, s: SimpleNamespace) -> tuple[result.Claim, ...]:
    query, none = s.moved[0].abs().max().item(), "" if knobs.bias else "There is no bias."
    return (
        claim("torch-output", "The heads' parts add up to torch's output.", s.parts.sum(0) - s.theirs[0]),
        claim("torch-maps", "Each head's map is torch's.", s.weights - s.maps[0]),
        claim("parameters", "1, 4 and 16 heads have 4d² + 4d parameters each.", s.counted - 4 * s.d**2 - 4 * s.d),
        claim("key-bias", "A key bias changes nothing.", s.moved[1]),
        claim("value-bias", "A value bias moves all outputs alike.", s.moved[2] - (s.b @ s.W_o).sum(0)),
        claim("blocked", "nn.MultiheadAttention blocks where the mask is True.", s.blocked[s.future]),
        claim("allowed", "The function attends only where the mask is True.", s.allowed[~s.future]),
        claim("newest", "is_causal=True shows one new query the oldest key only.", s.newest[0, 1:]),
        claim("two-maps", "Two maps of head 1 give one output.", s.step @ s.V[0], s.free > 0),
        claim("quadratic", "Multiplications grow as length squared.", s.ratio - (s.length / 256) ** 2, s.length > 256),
        result.outcome("query-bias", "A query bias counts.", query, "above 0", query > 0, domain=none),
    )


def run(knobs: Knobs, lab: Lab) -> Result:
    s = attend(knobs, lab)
    T, tokens, heads = s.T, [f"{k + 1}" for k in range(s.T)], [f"head-{h + 1}" for h in range(s.H)]
    entropy, share = torch.special.entr(s.weights).sum(-1).mean(-1), s.parts.norm(dim=(1, 2)) / s.theirs.norm()
    says = f"{s.H} heads of width {s.width}, {s.counted[1]} parameters; removed heads carry {s.lost:.0%} of the output."
    grids = zip(heads, s.weights.round(decimals=3).tolist(), strict=True)
    panels = [Heatmap(id=n, title=n, alt=n, rows=tokens, columns=tokens, values=g, high=1) for n, g in grids]
    bars = [BarGroup(name="entropy", values=entropy.tolist()), BarGroup(name="part", values=share.tolist())]
    costs = [(h, count, h * T * T) for h, count in zip((1, 4, 16), s.counted.tolist(), strict=True)]
    figures = (
        SmallMultiples(id="maps", title="One map per head", alt=says, panels=panels),
        Bars(id="heads", title="Each head", alt=says, categories=heads, y=Axis(name="nats or share"), groups=bars),
        TableFigure(id="cost", title="What heads cost", alt=says, columns=HEADS, rows=costs),
        TableFigure(id="length", title="What length costs", alt=says, columns=LENGTHS, rows=s.times),
    )
    change = {f"{n}_change": m.abs().max().item() for n, m in zip(("query", "key", "value"), s.moved, strict=True)}
    answers: dict[str, result.Scalar] = {"parameters": int(s.counted[0]), "stored": s.H * T * T, "one": T * T, **change}
    answers |= {"times": s.H * int(s.counted[0]), "free": s.free, "lost": s.lost, "T": T, "all_but_one": T - 1}
    answers |= {"function_sees": int((s.allowed[0] > 0).sum()), "newest_sees": int((s.newest > 0).sum())}
    answers |= {"ratio": s.ratio, "linear": s.length / 256, "apart": s.step.abs().sum().item() / 2, "room": T - s.width}
    code = CodeLine(code="output = (weights @ V @ W_o).sum(0)", value=f"{s.H} parts of {T} × {s.d}")
    return Result(summary=says, figures=figures, claims=settle(knobs, s), answers=answers, code=(code,))
