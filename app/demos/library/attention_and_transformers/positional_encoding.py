r"""Positions in a transformer

Attention compares contents: shuffle the tokens and the outputs are shuffled alike, so nothing tells "a before b" from
"b before a". A vector per position breaks that. Sinusoids give position $p$ the pairs $\sin(p\omega), \cos(p\omega)$: a
step of $k$ turns each pair by $k\omega$ wherever it starts, and dot products depend on the distance alone. A causal
mask breaks the symmetry too. One attention layer learns a task of order while you watch its map.

Source: Vaswani et al. 2017, section 3.5; Haviv et al. 2022 (order from a causal mask); torch: nn.functional.softmax
"""

import math
from typing import Literal

import torch
from torch import Tensor

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, seed, switch
from app.demos.result import Axis, CodeLine, Heatmap, Lines, Mark, Result, Series, outcome

T, WORDS, NAMES, OTHER = 8, 10, list("12345678"), "It speaks of another encoding, mask or task, or of a trained model."
STEP, SHARE = Axis(name="step"), Axis(name="share of right answers", low=0, high=1)
APART, DOT, ROWS = Axis(name="distance"), Axis(name="dot product, 1 at 0"), [f"{place}" for place in range(20)]


class Knobs(Parameters):
    encoding: Literal["none", "sinusoid", "learned"] = choice("sinusoid", help="What is added to the tokens.")
    task: Literal["which came first", "reverse", "previous token", "copy"] = choice("which came first", help="Task.")
    offset: int = integer(5, 0, 20, help="Distance between two positions that are compared.")
    train: bool = switch(True, help="Train the layer, or look at it as it was drawn.")
    d: Literal["16", "32", "64"] = choice("32", help="Width of a token.", more=True)
    mask: Literal["none", "causal"] = choice("none", help="Whether a token may look ahead.", more=True)
    scale: bool = switch(True, help="Divide the scores by the root of d.", more=True)
    seed: int = seed(1)


def waves(positions: int, d: int) -> Tensor:
    return torch.exp(1j * torch.arange(positions)[:, None] * 10000.0 ** (-torch.arange(0, d, 2).double() / d))


def draw(task: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    tokens = torch.randint(2 * (task == "which came first"), WORDS, (count, T), generator=generator)
    if task == "which came first":
        places = torch.rand(count, T, generator=generator).argsort(1)[:, :2]  # (count, 2), of tokens 0 and 1
        return tokens.scatter(1, places, torch.tensor([[0, 1]]).expand(count, 2)), places.diff().lt(0).long()
    return tokens, {"reverse": tokens.flip(1), "previous token": tokens.roll(1, 1), "copy": tokens}[task]


def forward(knobs: Knobs, p: dict[str, Tensor], tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x = p["token"][tokens] + p["place"]  # (count, T, d)
    Q, K, V = x @ p["query"], x @ p["key"], x @ p["value"]  # (count, T, d)
    scores = Q @ K.mT / (math.sqrt(Q.shape[-1]) if knobs.scale else 1)  # (count, T, T)
    ahead = torch.ones(T, T).triu(1) * (knobs.mask == "causal")
    weights = torch.softmax(scores.masked_fill(ahead.bool(), -math.inf), -1)
    mixed = weights @ V  # (count, T, d)
    return (mixed.mean(1, keepdim=True) if knobs.task == "which came first" else mixed) @ p["out"], weights, mixed


def learn(knobs: Knobs, lab: Lab) -> tuple[dict[str, Tensor], list[float], tuple[Lines, Heatmap]]:
    d, total, history = int(knobs.d), (150 if knobs.task == "which came first" else 75) * knobs.train, list[float]()
    p = {name: (torch.rand(d, d) * 2 - 1) / math.sqrt(d) for name in ("query", "key", "value")}
    p |= {"token": torch.randn(WORDS, d), "out": (torch.rand(d, WORDS) * 2 - 1) / math.sqrt(d)}
    table = torch.view_as_real(waves(T, d)).flatten(1).float()  # (T, d)
    p["place"] = {"none": torch.zeros(T, d), "sinusoid": table, "learned": torch.randn(T, d)}[knobs.encoding]
    trained = [tensor.requires_grad_() for name, tensor in p.items() if name != "place" or knobs.encoding == "learned"]
    optimiser, source = torch.optim.Adam(trained, lr=0.01), lab.generator()
    tokens, labels = draw(knobs.task, 500, lab.generator(1))  # (500, T), (500, T or 1)
    for step in range(total + 1):
        if step > 0:
            some, right = draw(knobs.task, 64, source)
            loss = torch.nn.functional.cross_entropy(forward(knobs, p, some)[0].flatten(0, 1), right.flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if step % 5 == 0:
            logits, weights, _ = forward(knobs, p, tokens)
            history.append((logits.argmax(-1) == labels).double().mean().item())
            line = Series(name="accuracy", x=range(0, step + 1, 5), y=history, meaning="train", style="line+points")
            says, seen = f"Step {step}: {history[-1]:.0%} right.", weights.mean(0).tolist()
            curve = Lines(id="accuracy", title="While training", alt=says, x=STEP, y=SHARE, series=(line,))
            grid = Heatmap(id="map", title="Who looks where", alt=says, rows=NAMES, columns=NAMES, values=seen, high=1)
            lab.frame((curve, grid), step, total)
    return {name: tensor.detach().double() for name, tensor in p.items()}, history, (curve, grid)


def run(knobs: Knobs, lab: Lab) -> Result:
    p, history, figures = learn(knobs, lab)
    d, k, some, order = int(knobs.d), knobs.offset, torch.randperm(WORDS)[None, :T], torch.randperm(T)
    mixed, shuffled = forward(knobs, p, some)[2], forward(knobs, p, some[:, order])[2]  # (1, T, d)
    moved, right, wave = (shuffled - mixed[:, order]).abs().max().item(), history[-1], waves(42, d)  # (42, d / 2)
    near = (wave[: 42 - k] * wave[k:].conj()).real.sum(1) * 2 / d  # (42 - k,): PE(p)·PE(p + k), 1 at k = 0
    spread, turned = (near - near[0]).abs().max().item(), (wave[:21] * wave[k] - wave[k : k + 21]).abs().max().item()
    placed, free, back = knobs.encoding != "none", knobs.mask == "none", knobs.train and knobs.task == "reverse"
    first, reach = knobs.train and knobs.task == "which came first", (0.85, 1) if d < 64 else (0, 0.5)
    bare = back and knobs.encoding == "sinusoid" and free and not knobs.scale
    good, still, wide = knobs.train and placed and free and knobs.scale, free and not placed, knobs.scale and d > 16
    settled = (
        ("rotation", "Sinusoids: a step turns every pair alike.", turned, 0, 1e-12, True),
        ("distance", "Sinusoids: dot products depend on the distance.", spread, 0, 1e-12, True),
        ("equivariant", "No position, no mask: outputs follow a shuffle.", moved, 0, 1e-12, still),
        ("breaks", "Untrained: position or mask breaks it.", moved, 1e-3, 1e3, not (knobs.train or still)),
        ("chance", "Without either, order is a coin flip.", right, 0.38, 0.62, first and still),
        ("solved", "With positions it is learned.", right, 0.65 if first else 0.8, 1, good),
        ("ordered", "A causal mask alone gives the order away.", right, 0.9, 1, first and not free),
        ("stuck", "Without positions reversing is guesswork.", right, 0, 0.45, back and not placed),
        ("half", "A causal mask lets half be reversed.", right, 0.4, 0.65, back and placed and not free and wide),
        ("unscaled", "Unscaled it learns up to d = 32, not at 64.", right, *reach, bare),
    )
    claims = [
        outcome(i, says, x, f"{low} to {high}", low <= x <= high, 0, "" if ok else OTHER, high == 1e-12)
        for i, says, x, low, high, ok in settled
    ]
    says = f"{right:.0%} right; a shuffle changes the outputs by {moved:.1g}; likeness {near[0]:.2f} at distance {k}."
    lines = (Series(name="sinusoids", x=range(42), y=(wave.real.sum(1) * 2 / d).tolist(), quantity="similarity"),)
    marks = (Mark(label=f"{k} apart", x=k, y=near[0].item()),)
    fall = Lines(id="likeness", title="Likeness", alt=says, x=APART, y=DOT, series=lines, marks=marks)
    sheet = Heatmap(id="table", title="Sines", alt=says, rows=ROWS, columns=NAMES, values=wave[:20, :8].imag.tolist())
    answers = {"accuracy": right, "moved": moved, "similarity": near[0].item(), "ratio": (near[-1] / near[0]).item()}
    code = CodeLine(code="x = token[ids] + place", value=f"{knobs.encoding}: {right:.0%} right", quantity="accuracy")
    return Result(summary=says, figures=(*figures, fall, sheet), claims=claims, answers=answers, code=(code,))
