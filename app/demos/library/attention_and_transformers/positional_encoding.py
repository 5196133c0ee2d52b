r"""Positions in a transformer

Attention compares contents: shuffle the tokens and the outputs are shuffled alike, so nothing tells "a before b" from
"b before a". A vector per position breaks that. Sinusoids give position $p$ the pairs $\sin(p\omega), \cos(p\omega)$: a
step of $k$ turns each pair by $k\omega$ wherever it starts, and dot products depend on the distance alone. A causal
mask breaks the symmetry too. One attention layer learns a task of order while you watch its map.
Source: Vaswani et al. 2017, section 3.5; Haviv et al. 2022 (order from a causal mask); torch: nn.functional.softmax
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, seed, switch
from app.demos.result import Arrow, Axis, Claim, CodeLine, Field2d, Heatmap, Lines, Mark, Result, Series, outcome

T, WORDS, LATE = 8, 10, 30  # tokens of a sequence, words of the vocabulary, a late position


class Knobs(Parameters):
    encoding: Literal["none", "sinusoid", "learned"] = choice("sinusoid", help="What is added to the tokens.")
    task: Literal["which came first", "reverse", "previous token", "copy"] = choice("which came first", help="Task.")
    offset: int = integer(5, 0, 20, help="Distance of two positions that are compared, or of two tokens that swap.")
    train: bool = switch(True, help="Train the layer, or look at it as it was drawn.")
    d: Literal["16", "32", "64"] = choice("32", help="Width of a token.", more=True)
    mask: Literal["none", "causal"] = choice("none", help="Whether a token may look ahead.", more=True)
    scale: bool = switch(True, help="Divide the scores by the root of d.", more=True)
    seed: int = seed(1)


def sinusoids(positions: int, d: int) -> Tensor:
    """Each pair as one complex number, cos(pω) + i sin(pω)."""
    omega = 10000.0 ** (-torch.arange(0, d, 2).double() / d)  # (d / 2,)
    return torch.exp(1j * torch.arange(positions)[:, None] * omega)  # (positions, d / 2)


def draw_task(task: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Tokens (count, T) and labels: one per place or, for which came first, one per sequence, (count, 1)."""
    if task == "which came first":
        tokens = torch.randint(2, WORDS, (count, T), generator=generator)
        places = torch.rand(count, T, generator=generator).argsort(1)[:, :2]  # (count, 2), of tokens 0 and 1
        return tokens.scatter(1, places, torch.tensor([[0, 1]]).expand(count, 2)), places.diff().lt(0).long()
    tokens = torch.randint(0, WORDS, (count, T), generator=generator)
    return tokens, {"reverse": tokens.flip(1), "previous token": tokens.roll(1, 1), "copy": tokens}[task]


class Layer(nn.Module):
    def __init__(self, knobs: Knobs) -> None:
        super().__init__()
        d, self.knobs = int(knobs.d), knobs
        query, key, value = ((torch.rand(d, d) * 2 - 1) / math.sqrt(d) for _ in range(3))
        self.query, self.key, self.value = nn.Parameter(query), nn.Parameter(key), nn.Parameter(value)
        self.token = nn.Parameter(torch.randn(WORDS, d))
        self.out = nn.Parameter((torch.rand(d, WORDS) * 2 - 1) / math.sqrt(d))
        pairs = torch.view_as_real(sinusoids(T, d)).flatten(1).float()  # (T, d / 2) -> (T, d / 2, 2) -> (T, d)
        place = {"none": torch.zeros(T, d), "sinusoid": pairs, "learned": torch.randn(T, d)}[knobs.encoding]
        self.place = nn.Parameter(place, requires_grad=knobs.encoding == "learned")

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.token[tokens] + self.place  # (count, T) -> (count, T, d)
        Q, K, V = x @ self.query, x @ self.key, x @ self.value  # (count, T, d)
        scores = Q @ K.mT / (math.sqrt(x.shape[-1]) if self.knobs.scale else 1)  # (count, T, T)
        if self.knobs.mask == "causal":
            ahead = torch.ones(T, T).triu(1).bool()
            scores = scores.masked_fill(ahead, -math.inf)
        weights = torch.softmax(scores, -1)
        mixed = weights @ V  # (count, T, d)
        read = mixed.mean(1, keepdim=True) if self.knobs.task == "which came first" else mixed  # (count, 1 or T, d)
        return read @ self.out, weights, mixed


def learn(layer: Layer, lab: Lab) -> tuple[float, tuple[Lines, Heatmap]]:
    task, history = layer.knobs.task, dict[int, float]()  # by step
    total, guess = (150, 1 / 2) if task == "which came first" else (75, 1 / WORDS)
    optimiser, source = torch.optim.Adam(layer.parameters(), lr=0.01), lab.generator()
    new, answers = draw_task(task, 500, lab.generator(1))  # (500, T), (500, 1 or T), never trained on
    for step in range(total * layer.knobs.train + 1):
        if step > 0:
            tokens, labels = draw_task(task, 64, source)
            loss = nn.functional.cross_entropy(layer(tokens)[0].flatten(0, 1), labels.flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if step % (total // 15) == 0:
            with torch.no_grad():
                logits, weights, _ = layer(new)
            history[step] = (logits.argmax(-1) == answers).double().mean().item()
            lab.frame(pictures := draw_training(history, guess, weights.mean(0)), step, total)
    return history[step], pictures


def compare(layer: Layer, tokens: Tensor, order: Tensor) -> Tensor:
    """Largest difference of each output after a move (rows) from each one before it (columns), in float64."""
    before, after = layer.double()(torch.stack([tokens, tokens[order]]))[2].detach()  # (2, T) -> (T, d) each
    layer.float()
    return torch.cdist(after, before, p=math.inf)  # (T, T)


def settle(knobs: Knobs, a: dict[str, Any]) -> list[Claim]:
    placed, masked, learnt, scaled = knobs.encoding != "none", knobs.mask == "causal", knobs.train, knobs.scale
    order, back = learnt and knobs.task == "which came first", learnt and knobs.task == "reverse"
    blind, told = not (placed or masked), (placed or masked) and not learnt
    coin, late, bag = order and blind, order and masked, back and not placed
    good, half = learnt and placed and scaled and not masked, back and placed and scaled and masked and knobs.d != "16"
    bare = back and knobs.encoding == "sinusoid" and not (masked or scaled)
    least, reach = 0.65 if order else 0.8, (0.0, 0.5) if knobs.d == "64" else (0.85, 1.0)
    swap = 0 if knobs.offset == 0 else a["partner"] if masked else 2  # outputs that change without positions
    rows: tuple[tuple[str, str, str, float, float, bool, str], ...] = (
        ("rotation", "Sinusoids: a step turns every pair alike.", "turned", 0, 1e-12, True, ""),
        ("distance", "Sinusoids: dot products depend on the distance.", "spread", 0, 1e-12, True, ""),
        ("equivariant", "No position or mask: outputs follow a shuffle.", "moved", 0, 1e-12, blind, "lacking both"),
        ("breaks", "Untrained, positions or mask break it.", "moved", 1e-3, 1e3, told, "untrained layers with one"),
        ("between", "A swap changes two, masked also those between.", "changed", swap, swap, not placed, "bare tokens"),
        ("chance", "Without either, order is a coin flip.", "accuracy", 0.38, 0.62, coin, "order without either"),
        ("solved", "Positions beat guesses by far.", "accuracy", least, 1, good, "training: positions, scale, no mask"),
        ("ordered", "A causal mask alone gives the order away.", "accuracy", 0.9, 1, late, "order behind a mask"),
        ("stuck", "Without positions reversing is guesswork.", "accuracy", 0, 0.45, bag, "reversing without positions"),
        ("half", "A causal mask lets half be reversed.", "accuracy", 0.4, 0.65, half, "reversing, masked, d above 16"),
        ("unscaled", "Unscaled it learns up to d = 32, not at 64.", "accuracy", *reach, bare, "unscaled reversing"),
    )
    claims = []
    for id, says, name, low, high, speaks, subject in rows:
        exact, why = high - low <= 1e-12, "" if speaks else f"It speaks of {subject}."
        holds, aim = low <= a[name] <= high, low if exact else f"{low} to {high}"
        claims.append(outcome(id, says, a[name], aim, holds, exact * (high - low), why, exact, quantity=name))
    return claims


def words(id: str, title: str, says: str) -> dict[str, Any]:
    return {"id": id, "title": title, "alt": says, "caption": says}


def grid(about: dict[str, Any], sides: str, first: int, values: Tensor, **more: Any) -> Heatmap:
    (row, column), names = sides.split(), [str(first + place) for place in range(len(values))]
    about |= {"rows": names, "columns": names[: values.shape[1]], "row_name": row, "column_name": column}
    return Heatmap(values=values.tolist(), **about, **more)


def draw_training(history: dict[int, float], guess: float, weights: Tensor) -> tuple[Lines, Heatmap]:
    steps, shares = tuple(history), tuple(history.values())
    says = f"After {steps[-1]} steps {shares[-1]:.0%} of new answers are right; guessing gives {guess:.0%}."
    line = Series(name="right", x=steps, y=shares, meaning="eval", style="line+points", quantity="accuracy")
    about = words("accuracy", "Right on new sequences", says) | {"marks": (Mark(label="guessing", y=guess),)}
    curve = Lines(x=Axis(name="step"), y=Axis(name="share right", low=0, high=1), series=(line,), **about)
    query, key = divmod(int(weights.argmax()), T)
    says = f"Mean weights: place {query + 1} gives the largest, {weights.max():.2f}, to place {key + 1}."
    about = words("map", "Who looks where", says) | {"low": 0, "high": 1, "quantity": "weights"}
    return curve, grid(about, "query key", 1, weights)


def draw_waves(k: int, wave: Tensor, a: dict[str, Any]) -> tuple[Field2d, Heatmap, Heatmap]:
    hands: dict[int, Any] = {LATE: "second", LATE + k: "second", 0: "measured", k: "measured"}  # ω = 0.1
    pairs = [(p if k > 2 or p % LATE == k else "", wave[p, wave.shape[1] // 4].item(), m) for p, m in hands.items()]
    arrows = [Arrow(x=0, y=0, dx=z.real, dy=z.imag, label=f"{p}", meaning=m, quantity="turn") for p, z, m in pairs]
    says = f"The pair with ω = 0.1 turns by {a['turn']:.1f}° from 0 to {k}, and from {LATE} to {LATE + k}."
    about = words("turn", f"A step of {k}, early and late", says) | {"arrows": arrows}
    turn = Field2d(x=Axis(name="cos", low=-1, high=1), y=Axis(name="sin", low=-1, high=1), **about)
    gram = (wave[:20] @ wave[:20].mH).real / wave.shape[1]  # (20, 20): PE(p)·PE(q), 1 at p = q
    says = f"One value per diagonal: 1 on the main one, {a['similarity']:.3f} where positions are {k} apart."
    ends: dict[str, Any] = {"palette": "diverging", "low": -1, "high": 1}
    likeness = grid(words("likeness", "Likeness of any two positions", says), "position position", 0, gram, **ends)
    says = f"Pair 0 turns once in 6.3 positions, pair 7 once in {math.tau / wave[1, 7].angle():.0f}."
    table = grid(words("table", "Sines of pairs 0 to 7", says), "position pair", 0, wave[:20, :8].imag, **ends)
    return turn, likeness, table


def run(knobs: Knobs, lab: Lab) -> Result:
    layer, d, k, place = Layer(knobs), int(knobs.d), knobs.offset, min(knobs.offset, T - 1)
    tokens, order, exchange = torch.randperm(WORDS)[:T], torch.randperm(T), torch.arange(T)
    exchange[[0, place]] = exchange[[place, 0]]
    swap = compare(layer, tokens, exchange)  # (T, T), before training
    right, pictures = learn(layer, lab)
    moved = compare(layer, tokens, order)[range(T), order].max().item()  # each token with itself
    equal = swap < 1e-9  # (T, T)
    found = next((1 + row for row in range(T) if equal[row, 0]), 0)  # where output 1 stands after the swap
    a: dict[str, Any] = {"accuracy": right, "moved": moved, "changed": T - int(equal.diag().sum()), "found": found}
    wave = sinusoids(LATE + 21, d)  # (51, d / 2)
    near = (wave[: 42 - k] * wave[k:42].conj()).real.sum(1) * 2 / d  # (42 - k,): PE(p)·PE(p + k), 1 at k = 0
    a |= {"similarity": near[0].item(), "ratio": (near[-1] / near[0]).item(), "steps": place, "radians": k / 10}
    a |= {"spread": (near - near[0]).abs().max().item(), "fastest": math.degrees(k), "stands": math.degrees(3 + k / 10)}
    a |= {"turned": (wave[:21] * wave[k] - wave[k : k + 21]).abs().max().item(), "partner": place + 1}
    a |= {"turn": math.degrees((wave[LATE + k, d // 8] / wave[LATE, d // 8]).angle())}  # where ω = 0.1
    says = f"Tokens 1 and {place + 1} swapped, untrained: {a['changed']} of {T} places change; hatched is equal."
    about = words("swap", "Outputs after a swap", says) | {"hatched": equal.tolist(), "low": 0, "quantity": "changed"}
    moves = grid(about, "after before", 1, swap)
    lines = (
        ("x = self.token[tokens] + self.place", f"place: {knobs.encoding}", "moved"),
        ("scores.masked_fill(ahead, -math.inf)", f"{28 * (knobs.mask == 'causal')} of 64 masked", "changed"),
        ("weights = torch.softmax(scores, -1)", f"means up to {max(map(max, pictures[1].values)):.2f}", "weights"),
        ("read @ self.out", f"{right:.0%} right", "accuracy"),
        ("torch.exp(1j * position * omega)", f"turns {a['turn']:.1f}° in {k}", "turn"),
        ("(wave @ wave.mH).real * 2 / d", f"{a['similarity']:.3f} at {k}", "similarity"),
    )
    code = [CodeLine(code=code, value=value, quantity=name) for code, value, name in lines]
    says = f"{right:.0%} right; a shuffle moves outputs by {moved:.1g}; likeness {a['similarity']:.2f} at distance {k}."
    figures = (*pictures, moves, *draw_waves(k, wave, a))
    return Result(summary=says, figures=figures, claims=settle(knobs, a), answers=a, code=code)
