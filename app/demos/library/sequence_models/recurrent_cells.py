r"""Recurrent cells by hand

The same weights read a sequence step by step and keep a state. A plain cell is $h_t = \tanh(Wx_t + Uh_{t-1} + b)$. The
LSTM has a second state that is scaled and added to, $c_t = f_t c_{t-1} + i_t g_t$, $h_t = o_t \tanh c_t$; a GRU mixes,
$h_t = (1-z_t) n_t + z_t h_{t-1}$. What survives a step is the gate $f$ or $z$; by default both are near one half.
The loop below is compared with torch's module, and a small push on the first input is followed through time.
Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000, eqs. 1–7; Cho et al. 2014, eqs. 5–8; torch: nn.LSTM, nn.GRU
"""

from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed, switch
from app.demos.result import Axis, BarGroup, Bars, CodeLine, Heatmap, Lines, Result, Series, identity, outcome

MODULES: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


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
    """The new h, the new c, the gates: (batch, hidden) twice, (gates, batch, hidden). ``w`` is W, U, their biases."""
    left, right = x @ w[0].T + w[2], h @ w[1].T + w[3]  # (batch, gates · hidden) each
    if cell == "rnn":
        return torch.tanh(left + right), c, torch.tanh(left + right)[None]
    if cell == "lstm":
        i, f, g, o = (left + right).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c, torch.stack([i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()])
    r, z, _ = (left + right).sigmoid().chunk(3, -1)
    n = torch.tanh(left.chunk(3, -1)[2] + r * right.chunk(3, -1)[2])  # torch resets after the product with U
    return (1 - z) * n + z * h, c, torch.stack([r, z, n])


def unroll(knobs: Knobs, module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """x is (T, 2, 3). The top layer's states, and the gates of its forward cell."""
    for layer in range(knobs.layers):
        top: list[Tensor] = []
        for way in reversed(range(1 + knobs.bidirectional)):  # the way back first
            w = [weight.to(x.dtype) for weight in module.all_weights[layer * (1 + knobs.bidirectional) + way]]
            h, c, steps = x.new_zeros(2, knobs.hidden), x.new_zeros(2, knobs.hidden), []
            for x_t in x.flip(0) if way else x:
                h, c, seen = step(knobs.cell, x_t, h, c, w)
                steps.append((h, seen))
            states, gates = (torch.stack(parts) for parts in zip(*steps, strict=True))  # (T, 2, H), (T, gates, 2, H)
            top.insert(0, states.flip(0) if way else states)
        x = torch.cat(top, -1)  # (T, 2, ways · H)
    return x, gates


def measure(knobs: Knobs) -> SimpleNamespace:
    H, T, end, ways = knobs.hidden, knobs.length, knobs.length + knobs.padding, 1 + knobs.bidirectional
    module = MODULES[knobs.cell](3, H, knobs.layers, bidirectional=ways == 2).double().requires_grad_(False)
    for name, weight in module.named_parameters():
        weight *= knobs.scale if "weight_hh" in name else 1
        weight[H : 2 * H] += knobs.forget_bias * ("bias_ih" in name)  # these rows are f or z; a plain cell has none
    padded, push = torch.randn(end, 2, 3, dtype=torch.float64), torch.zeros(T, 2, 3, dtype=torch.float64)
    padded[T:, 0], push[0], x = 0, 3**-0.5, padded[:T]  # two sequences; the first one ends at T
    states, gates = unroll(knobs, module, torch.complex(x, 1e-30 * push))  # an imaginary push: exact derivatives
    hand, pushed = states.real, states.imag[:, 0, :H].norm(dim=-1) * 1e30  # (T, 2, ways · H), the push's effect (T,)
    packed = nn.utils.rnn.pack_padded_sequence(padded, torch.tensor([T, end]), enforce_sorted=False)
    ends = [module(given)[1] for given in (x, packed, padded)]  # a pair (h, c) for the LSTM
    alone, short, filled = ((h[0] if knobs.cell == "lstm" else h)[:, 0] for h in ends)  # (layers · ways, H) each
    keep = gates[:, 1, 0].real if knobs.cell != "rnn" else hand[:, 0, :H]  # f, z, or for want of a gate h: (T, H)
    inputs, out = [3, *[ways * H] * (knobs.layers - 1)], module(x)[0]  # (T, 2, ways · H)
    sizes = {name: sum(ways * g * H * (i + H + 2) for i in inputs) for name, g in (("rnn", 1), ("gru", 3), ("lstm", 4))}
    return SimpleNamespace(**locals(), count=sum(w.numel() for w in module.parameters()))


def run(knobs: Knobs, lab: Lab) -> Result:
    m, T, H, cell = measure(knobs), knobs.length, knobs.hidden, knobs.cell
    calm, two = "" if knobs.scale <= 4 else "Rounding errors grow.", "" if m.ways == 2 else "It needs two ways."
    gated = "" if cell != "rnn" and knobs.scale <= 1 else "It needs a gate and recurrent weights that are not enlarged."
    loop, packed, back = m.hand - m.out, m.short - m.alone, m.out[0, 0, -H:] - m.alone[-1]
    memory, kept, near = float((m.pushed[-1] / m.pushed[0]).log10()), float(m.keep.mean()), 0.7 * H**-0.5
    bias = float(torch.tensor(knobs.forget_bias).sigmoid())
    claims = (
        identity("parameters", "Gates · H · (inputs + H + 2) numbers a layer and way.", m.count - m.sizes[cell], 0),
        identity("by-hand", "The loop is torch's module.", float(loop.abs().max()), 1e-12, domain=calm),
        identity("packed", "A packed sequence ends as it does alone.", float(packed.abs().max()), 1e-12, domain=calm),
        identity("reverse", "The way back ends at position 0.", float(back.abs().max()), 0, domain=two),
        outcome("gate", "Its mean is near sigmoid(bias).", kept, bias, abs(kept - bias) < near, near, gated),
    )
    path = m.keep[1:].clamp(min=1e-99).prod(0).mean()  # of c along its own path, or of h through z
    a: dict[str, Any] = {"memory": memory, "kept": kept, "new": 1 - kept, "path": float(path.log10())}
    a |= {"size": m.count, "one_bias": m.count * (H + 4) // (H + 5), "finals": len(m.alone) * H, "width": m.ways * H}
    a |= {"position": T - 1, "padded": m.end - 1, "gap": float((m.filled - m.alone).abs().max()), **m.sizes}
    a |= {"trend": "more" if memory > 0 else "less", "growth": memory * (cell == "lstm"), "one_way": knobs.layers * H}
    a |= {"largest": float(m.out.abs().max()), "long_path": float(path) * (cell == "lstm" and T == 30), "steps": T}
    said = f"After {T} steps a push on the first input moves h by 10^{memory:.1f} of what it moved at the first step."
    steps, gates = tuple(map(float, range(1, T + 1))), m.keep[1:].cumprod(0).mean(-1).tolist()
    series = [Series(name="push on the first x", x=steps, y=(m.pushed / m.pushed[0]).tolist(), meaning="measured")]
    series += [Series(name="product of the gates", x=steps[1:], y=gates, meaning="second")] if cell != "rnn" else []
    grid: dict[str, Any] = {"rows": [f"{u}" for u in range(H)], "columns": [f"{t:.0f}" for t in steps[:24]]}
    grid |= {"values": m.keep[:24].T.tolist(), "row_name": "unit", "column_name": "step", "alt": f"Mean {kept:.3f}."}
    axes: dict[str, Any] = {"x": Axis(name="step"), "y": Axis(name="relative to the first step", scale="log")}
    bars: dict[str, Any] = {"categories": [*m.sizes], "y": Axis(name="parameters"), "alt": f"{m.sizes}"}
    bars |= {"groups": [BarGroup(name="parameters", values=[*m.sizes.values()])]}
    figures = (
        Heatmap(id="gates", title="What each unit keeps: f, z, or h itself", **grid),
        Lines(id="memory", title="What is left of the first step", alt=said, series=series, **axes),
        Bars(id="cells", title="The three cells at this size", **bars),
    )
    code = {"c = f*c + i*g": f"f {kept:.3f}", "h = (1-z)*n + z*h": f"z {kept:.3f}", "h = tanh(W@x + U@h + b)": said}
    lines = [CodeLine(code=line, value=value) for line, value in code.items()]
    return Result(summary=said, figures=figures, claims=claims, answers=a, code=lines)
