r"""Recurrent cells by hand

The same weights read a sequence step by step and keep a state. A plain cell is $h_t = \tanh(Wx_t + Uh_{t-1} + b)$. The
LSTM has a second state that is scaled and added to, $c_t = f_t c_{t-1} + i_t g_t$, $h_t = o_t \tanh c_t$; a GRU mixes,
$h_t = (1-z_t) n_t + z_t h_{t-1}$. What survives a step is the gate $f$ or $z$; by default both are near one half.
The loop below is compared with torch's module, and a small push on the first input is followed through time.
Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000, section 3; Cho et al. 2014, eqs. 5–8; torch: nn.LSTM, nn.GRU
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed, switch
from app.demos.result import Axis, BarGroup, Bars, Claim, CodeLine, Heatmap, Lines, Result, Series, identity, outcome

MODULES: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
GATE = "{0} = sigmoid(W_{0} @ x + U_{0} @ h + b_{0})"
PLAIN, N = "h = tanh(W @ x + U @ h + b)", "n = tanh(W_n @ x + b_n + r * (U_n @ h + d_n))"
LSTM = [GATE.format("i"), GATE.format("f"), "g = tanh(W_g @ x + U_g @ h + b_g)", GATE.format("o"), "c = f * c + i * g"]
GRU = [GATE.format("r"), GATE.format("z"), N, "h = (1 - z) * n + z * h"]
LOOP = {"rnn": [PLAIN], "lstm": [*LSTM, "h = o * tanh(c)"], "gru": GRU}  # in the order of what ``step`` returns
KEPT = {"rnn": "rnn", "lstm": "f", "gru": "z"}  # the quantity of what survives a step


class Knobs(Parameters):
    cell: Literal["rnn", "lstm", "gru"] = choice("lstm", help="Which cell is run.")
    hidden: int = integer(5, 2, 16, help="Size of the state.")
    length: int = integer(7, 2, 30, help="Steps of the sequence.")
    forget_bias: float = number(0, -5, 5, step=0.25, help="Added to the bias of the LSTM's f or of the GRU's z.")
    scale: float = number(1, 0.25, 16, step=0.25, help="Multiplies the recurrent weights U.", log=True, more=True)
    padding: int = integer(0, 0, 10, help="Zero steps appended to the sequence, as in a padded batch.", more=True)
    bidirectional: bool = switch(False, help="A second cell reads from the end.", more=True)
    layers: int = integer(1, 1, 3, help="Cells stacked on each other.", more=True)
    seed: int = seed()


def step(cell: str, x: Tensor, h: Tensor, c: Tensor, w: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The new h, the new c, what each line made: (batch, hidden) twice, (lines, batch, hidden). ``w``: W, U, biases."""
    left, right = x @ w[0].T + w[2], h @ w[1].T + w[3]  # (batch, gates · hidden) each
    if cell == "rnn":
        h = torch.tanh(left + right)  # (batch, hidden)
        return h, c, h[None]
    if cell == "lstm":
        into, forget, candidate, out = (left + right).chunk(4, -1)  # (batch, hidden) each
        i, f, g, o = into.sigmoid(), forget.sigmoid(), candidate.tanh(), out.sigmoid()
        c = f * c + i * g
        h = o * c.tanh()
        return h, c, torch.stack([i, f, g, o, c, h])
    r, z, _ = (left + right).sigmoid().chunk(3, -1)
    left_n, right_n = left.chunk(3, -1)[2], right.chunk(3, -1)[2]
    n = torch.tanh(left_n + r * right_n)  # torch resets after the product with U
    h = (1 - z) * n + z * h
    return h, c, torch.stack([r, z, n, h])


def unroll(knobs: Knobs, module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """x is (T, 2, 3). The top layer's states, and what each line of its forward cell made."""
    ways = 1 + knobs.bidirectional
    for layer in range(knobs.layers):
        top: list[Tensor] = []
        for way in reversed(range(ways)):  # the way back first, so that what is left over is the forward cell's
            weights = [weight.to(x.dtype) for weight in module.all_weights[layer * ways + way]]
            h, c = x.new_zeros(2, knobs.hidden), x.new_zeros(2, knobs.hidden)
            states, made = list[Tensor](), list[Tensor]()
            for x_t in x.flip(0) if way else x:
                h, c, seen = step(knobs.cell, x_t, h, c, weights)
                states.append(h)
                made.append(seen)
            read = torch.stack(states)  # (T, 2, H), in the order of reading
            top.insert(0, read.flip(0) if way else read)
        x = torch.cat(top, -1)  # (T, 2, ways · H)
    return x, torch.stack(made)  # (T, lines, 2, H)


class Measured(NamedTuple):
    """T steps, H units, two sequences; index 0 of the pair is the one that is padded."""

    by_hand: Tensor  # (T, 2, ways · H)
    by_torch: Tensor  # (T, 2, ways · H)
    pushed: Tensor  # (T,) how far a push of length 1 on the first input moves the state
    seen: Tensor  # (T, lines, H) what each line made, of the first sequence
    keep: Tensor  # (T, H) what survives a step: f, z, or for want of a gate h itself
    alone: Tensor  # (layers · ways, H) final states of the first sequence, run without padding
    packed: Tensor  # the same, from a packed batch
    padded: Tensor  # the same, from a padded batch that is not packed
    parameters: int


def build(knobs: Knobs) -> Any:
    H = knobs.hidden
    module = MODULES[knobs.cell](3, H, knobs.layers, bidirectional=knobs.bidirectional)
    module = module.double().requires_grad_(False)
    for name, weight in module.named_parameters():
        if "weight_hh" in name:
            weight *= knobs.scale
        if "bias_ih" in name:
            weight[H : 2 * H] += knobs.forget_bias  # these rows are f or z; a plain cell has none
    return module


def final(knobs: Knobs, module: Any, x: Any) -> Tensor:
    """Of the first sequence, (layers · ways, H)."""
    h: Tensor = module(x)[1][0] if knobs.cell == "lstm" else module(x)[1]  # the LSTM returns the pair (h, c)
    return h[:, 0]


def measure(knobs: Knobs) -> Measured:
    H, T, whole = knobs.hidden, knobs.length, knobs.length + knobs.padding
    module = build(knobs)
    batch = torch.randn(whole, 2, 3, dtype=torch.float64)
    batch[T:, 0] = 0  # the first sequence ends at T
    x = batch[:T]  # (T, 2, 3)
    push = torch.zeros(T, 2, 3, dtype=torch.float64)
    push[0] = 3**-0.5  # length 1, on the first step
    tiny = 1e-30  # an imaginary push leaves the real part alone: its effect is the exact derivative
    states, made = unroll(knobs, module, torch.complex(x, tiny * push))
    by_hand, pushed = states.real, states.imag[:, 0, :H].norm(dim=-1) / tiny
    seen = made[:, :, 0].real  # (T, lines, H)
    keep = seen[:, 0 if knobs.cell == "rnn" else 1]  # f and z are both line 1
    packed = nn.utils.rnn.pack_padded_sequence(batch, torch.tensor([T, whole]), enforce_sorted=False)
    alone, unpadded, padded = (final(knobs, module, given) for given in (x, packed, batch))
    parameters = sum(weight.numel() for weight in module.parameters())
    return Measured(by_hand, module(x)[0], pushed, seen, keep, alone, unpadded, padded, parameters)


def counted(knobs: Knobs) -> dict[str, int]:
    """Parameters by formula: blocks · H rows a layer and way, each with inputs, H recurrent weights, two biases."""
    ways, H = 1 + knobs.bidirectional, knobs.hidden
    inputs = [3, *[ways * H] * (knobs.layers - 1)]
    row_lengths = sum(size + H + 2 for size in inputs)
    return {name: ways * blocks * H * row_lengths for name, blocks in (("rnn", 1), ("gru", 3), ("lstm", 4))}


def settle(knobs: Knobs, m: Measured) -> list[Claim]:
    calm = "" if knobs.scale <= 4 else "Recurrent weights this large make rounding errors grow from step to step."
    two = "" if knobs.bidirectional else "There is no way back: the cell reads in one direction."
    gated = "" if knobs.scale <= 1 else "Enlarged recurrent weights move the gates away from their bias."
    gated = gated if knobs.cell != "rnn" else "A plain cell has no gate."
    loop, packed = (m.by_hand - m.by_torch).abs().max(), (m.packed - m.alone).abs().max()
    back = (m.by_torch[0, 0, -knobs.hidden :] - m.alone[-1]).abs().max()
    kept, bias, near = float(m.keep.mean()), float(torch.tensor(knobs.forget_bias).sigmoid()), 0.7 * knobs.hidden**-0.5
    count, close = m.parameters - counted(knobs)[knobs.cell], abs(kept - bias) < near
    gate, says = KEPT[knobs.cell], "Each layer and direction has 1 (RNN), 3 (GRU), 4 (LSTM) × H · (inputs + H + 2)."
    return [
        identity("parameters", says, count, 0, quantity="parameters"),
        identity("by-hand", "The loop is torch's module.", float(loop), 1e-12, domain=calm, quantity=knobs.cell),
        identity("packed", "A packed sequence ends as it does alone.", float(packed), 1e-12, domain=calm),
        identity("reverse", "The backward direction ends at position 0.", float(back), 0, domain=two),
        outcome("gate", "The gate's mean is near sigmoid(bias).", kept, bias, close, near, gated, quantity=gate),
    ]


def answer(knobs: Knobs, m: Measured) -> dict[str, Any]:
    H, ways, kept = knobs.hidden, 1 + knobs.bidirectional, float(m.keep.mean())
    memory, lstm = float((m.pushed[-1] / m.pushed[0]).log10()), knobs.cell == "lstm"
    path = m.keep[1:].clamp(min=1e-99).prod(0).mean()  # what is left of c on its own path, or of h through z
    a: dict[str, Any] = {"memory": memory, "trend": "more" if memory > 0 else "less", "growth": memory * lstm}
    a |= {"kept": kept, "new": 1 - kept, "largest": float(m.by_torch.abs().max())}
    a |= {"path": float(path.log10()), "long_path": float(path) * (lstm and knobs.length == 30)}
    a |= {"size": m.parameters, "one_bias": m.parameters * (H + 4) // (H + 5), **counted(knobs)}
    a |= {"finals": len(m.alone) * H, "width": ways * H, "one_way": knobs.layers * H}
    a |= {"position": knobs.length - 1, "padded": knobs.length + knobs.padding - 1, "steps": knobs.length}
    return a | {"gap": float((m.padded - m.alone).abs().max())}


def draw(knobs: Knobs, m: Measured, said: str) -> tuple[Heatmap, Lines, Bars]:
    T, kind = knobs.length, KEPT[knobs.cell]
    what = {"rnn": "h", "f": "the forget gate f", "z": "the update gate z"}[kind]
    mean, low, high = float(m.keep.mean()), float(m.keep.min()), float(m.keep.max())
    kept = f"{what.replace('the', 'The')} is {mean:.3f} on average over {T} steps, from {low:.3f} to {high:.3f}."
    units, columns = [f"{unit}" for unit in range(knobs.hidden)], [f"{step}" for step in range(1, min(T, 24) + 1)]
    grid: dict[str, Any] = {"rows": units, "columns": columns, "row_name": "unit", "column_name": "step"}
    grid |= {"values": m.keep[:24].T.tolist(), "alt": kept, "caption": kept, "quantity": kind}
    plain = {"title": "A plain cell has no gate: its state h", "palette": "diverging"}  # h has both signs
    grid |= plain if knobs.cell == "rnn" else {"title": f"What each unit keeps: {what}"}
    steps, left = tuple(range(1, T + 1)), tuple((m.pushed / m.pushed[0]).tolist())
    lines = [Series(name="push on first", x=steps, y=left, meaning="measured", quantity=knobs.cell)]
    if knobs.cell != "rnn":
        product = tuple(m.keep[1:].cumprod(0).mean(-1).tolist())
        lines.append(Series(name="gates' product", x=steps[1:], y=product, meaning="second", quantity=kind))
    axes: dict[str, Any] = {"x": Axis(name="step"), "y": Axis(name="relative to the first step", scale="log")}
    sizes = counted(knobs)
    count = "Parameters: " + ", ".join(f"{name} {size}" for name, size in sizes.items()) + "."
    group = BarGroup(name="parameters", values=tuple(sizes.values()), quantity="parameters")
    bars: dict[str, Any] = {"categories": tuple(sizes), "y": Axis(name="parameters"), "alt": count, "groups": (group,)}
    left_over = Lines(id="memory", title="What is left of the first step", alt=said, caption=said, series=lines, **axes)
    return Heatmap(id="gates", **grid), left_over, Bars(id="cells", title="The three cells at this size", **bars)


def run(knobs: Knobs, lab: Lab) -> Result:
    m = measure(knobs)
    a = answer(knobs, m)
    said = f"After {knobs.length} steps a push on input 1 moves h {10 ** a['memory']:.2g} times as much as at first."
    names = [line[0].replace("h", knobs.cell) for line in LOOP[knobs.cell]]  # each cell has its own formula of h
    rows = zip(LOOP[knobs.cell], m.seen.mean((0, 2)).tolist(), names, strict=True)
    code = [CodeLine(code=line, value=f"{mean:.3f} on average", quantity=name) for line, mean, name in rows]
    return Result(summary=said, figures=draw(knobs, m, said), claims=settle(knobs, m), answers=a, code=code)
