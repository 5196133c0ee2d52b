r"""How signal and gradient change with depth

Inputs pass through a stack of random layers $h_l = \phi(W_l h_{l-1})$; nothing is trained. Weights of variance $v/n$,
with $n$ the fan-in, multiply the mean square of the signal by $v$; ReLU keeps half of it. So $v = 2$ (He) holds the
scale, while `nn.Linear` draws from $U(\pm 1/\sqrt n)$, which is $v = 1/3$: a bare ReLU stack loses a factor of six per
layer. Going back, the gradient is multiplied by $\phi'$ and $W^\top$ in every layer: slopes and weights decide.
Source: He et al. 2015, section 2.2; Glorot and Bengio 2010, section 4.2; Yang et al. 2019, section 3; torch: nn.init
"""

from math import log, log10, sqrt
from types import SimpleNamespace
from typing import Any, Literal

import torch

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed, switch
from app.demos.result import Axis, BarGroup, Bars, Claim, CodeLine, Lines, Mark, Result, Series, outcome

PHI = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "gelu": torch.nn.functional.gelu}
V = {"pytorch default": 1 / 3, "xavier": 1, "he": 2, "orthogonal": 1, "too large": 8, "too small": 0.02, "nilpotent": 4}
WHY = "It does not speak of this activation, these weights or these additions."


class Knobs(Parameters):
    depth: int = integer(30, 1, 60, help="Number of layers.")
    activation: Literal["relu", "tanh", "sigmoid", "gelu"] = choice("relu", help="Applied after every layer.")
    init: Literal["pytorch default", "xavier", "he", "orthogonal", "too large", "too small", "nilpotent"] = choice(
        "pytorch default", help="Too large, too small: variance 8/n, 0.02/n. Nilpotent: 2 just above the diagonal."
    )
    gain: float = number(1, 0.25, 4, step=0.05, help="Multiplies every weight.")
    width: int = integer(128, 16, 256, step=16, help="Units per layer: the fan-in and the fan-out.", more=True)
    residual: bool = switch(False, help="Add each layer's input to its output.", more=True)
    normalise: bool = switch(False, help="Batch normalisation before the activation.", more=True)
    biases: bool = switch(False, help="nn.Linear's default biases, U(±1/√n), instead of none.", more=True)
    seed: int = seed()


def measure(knobs: Knobs, lab: Lab) -> SimpleNamespace:
    n, L, phi, g, v = knobs.width, knobs.depth, PHI[knobs.activation], lab.generator(), knobs.gain**2 * V[knobs.init]
    act = (lambda z: phi(torch.nn.functional.batch_norm(z, None, None, training=True))) if knobs.normalise else phi
    W, uniform = torch.empty(L, n, n), knobs.init in ("pytorch default", "xavier")
    W = W.uniform_(-sqrt(3), sqrt(3), generator=g) if uniform else W.normal_(generator=g)  # variance 1
    W = W.double() * sqrt(v / n) if knobs.init != "orthogonal" else knobs.gain * torch.linalg.qr(W)[0].double()
    W = torch.ones(n - 1).double().diag(1).expand(L, n, n) * sqrt(v) if knobs.init == "nilpotent" else W
    b = knobs.biases / sqrt(n) * (2 * torch.rand(L, n, generator=g).double() - 1)
    h, z, weights = [torch.randn(64, n, generator=g).double().requires_grad_()], [], [w.requires_grad_() for w in W]
    for layer in range(L):
        z.append(h[-1] @ weights[layer].T + b[layer])  # 64 inputs: (64, n)
        h.append(act(z[-1]) + knobs.residual * h[-1])
    pulled = torch.autograd.grad(h[-1], [*weights, *h], torch.randn(64, n, generator=g).double())
    dW, dh, h = pulled[:L], pulled[L:], [x.detach() for x in h]
    slope = [torch.func.vjp(act, z[i].detach())[1] for i in range(L)]  # slope[i](dh) is dh times φ'(z[i]), (64, n) each
    hand = [slope[i](dh[i + 1])[0] @ W[i] + knobs.residual * dh[i + 1] for i in range(L)]  # dL/dh one layer below
    chain = max(float((a - c).norm() / (c.norm() + 1e-300)) for a, c in zip(hand, dh, strict=False))
    signal, pull = (torch.stack([x.square().mean() for x in xs]) for xs in (h, dh))  # mean squares, (L + 1,)
    told = torch.stack([x.var(0, correction=0).mean() for x in h])  # the part that depends on the input, (L + 1,)
    pairs, heavy = [float((a * c).sum()) for a, c in zip(h, dh, strict=True)], torch.stack([x.norm() for x in dW])
    down = {"signal": (pull / pull[-1]).sqrt(), "weights": heavy / heavy[-1]}
    euler = (max(pairs) - min(pairs)) / (float(h[-1].norm() * dh[-1].norm()) + 1e-300)
    factor, back = (signal[-1] / signal[0]) ** (1 / L), (pull[0] / pull[-1]) ** (0.5 / L)  # per layer
    ends = {"signal": signal[-1] / signal[0], "gradient": down["signal"][0], "weights": down["weights"][0]}
    bare = knobs.activation == "relu" and not (knobs.biases or knobs.normalise)  # homogeneous: f(2h) = 2 f(h)
    plain = bare and not knobs.residual and knobs.init != "nilpotent"
    powers = {k: log10(max(float(r), 1e-300)) for k, r in (ends | {"told": told[-1] / signal[-1]}).items()}
    return SimpleNamespace(**locals())


def lines(id: str, title: str, alt: str, unit: str, ys: dict[str, Any]) -> Lines:
    series, last = [], len(ys["signal"])
    for (name, y), meaning in zip(ys.items(), ("measured", "second", "neutral"), strict=False):
        x, y = range(last - len(y), last), [max(float(value), 1e-99) for value in y]
        series.append(Series(name=name, x=tuple(x), y=tuple(y), meaning=meaning))
    return Lines(id=id, title=title, alt=alt, x=Axis(name="layer"), y=Axis(name=unit, scale="log"), series=series)


def settle(knobs: Knobs, m: SimpleNamespace) -> list[Claim]:
    n, L, nil, k = knobs.width, knobs.depth, knobs.init == "nilpotent", min(knobs.depth, knobs.width - 1)
    normed = knobs.activation == "relu" and knobs.normalise and not (nil or knobs.residual) and L > 9
    band = 5 * sqrt(5 / L / n) + 2.5 / n  # five standard errors of a mean of L logarithms, and their bias
    v, linear = m.W.square().mean() * n, torch.nn.Linear(n, n).weight.data.square().mean() * n
    radius, power = torch.linalg.eigvals(m.W[0]).abs().max() if nil else 0, (m.W[0] / sqrt(m.v)).matrix_power(k * nil)
    facts = (
        ("chain", "One step back is the activation's slope, then W transposed.", m.chain, 0, 1e-12, True),
        ("euler", "Bare ReLU layers: ⟨h, dL/dh⟩ is the same at every depth.", m.euler, 0, 1e-12, m.bare),
        ("variance", "Fan-in times the weights' variance is v.", v, m.v, 5 * m.v * sqrt(2 / L) / n, not nil),
        ("linear", "nn.Linear's own weights have v = 1/3.", linear, 1 / 3, 1.5 / n, True),
        ("forward", "ReLU multiplies the mean square by v/2 (as logs).", m.factor.log(), log(m.v / 2), band, m.plain),
        ("backward", "And the squared gradient by v/2.", 2 * m.back.log(), log(m.v / 2), band, m.plain),
        ("radius", "Every eigenvalue of the nilpotent matrix is 0.", radius, 0, 1e-12, nil),
        ("stretch", "Its k-th power still stretches one direction by (2 gain)^k.", power.max(), 1, 1e-12, nil),
        ("norm-grows", "Normalised ReLU layers: the gradient grows by about 1.2.", m.back, 1.21, 0.15, normed),
    )
    return [outcome(i, s, float(x), e, abs(x - e) <= t, t, WHY * (not ok), t <= 1e-12) for i, s, x, e, t, ok in facts]


def run(knobs: Knobs, lab: Lab) -> Result:
    m, gain, depth = measure(knobs, lab), knobs.gain, knobs.depth
    a: dict[str, Any] = {f"{name}_powers": power for name, power in m.powers.items()}
    a |= {f"{k}_trend": ("stays", "grows", "shrinks")[(m.powers[k] > 1) - (m.powers[k] < -1)] for k in m.ends}
    a |= {"factor": float(m.factor), "norm_factor": sqrt(m.factor), "back": float(m.back), "as_he": gain**2}
    a |= {"whole": m.v, "quarter": sqrt(m.v) / 4, "euler": float(m.euler) * m.bare}
    a |= {"plain_powers": depth * log10(m.v / 2) / 2, "blind": a["told_powers"] * bool(m.signal[-1] > 1e-3)}
    default, g = m.plain and knobs.init == "pytorch default" and depth > 29, a["gradient_powers"]
    a |= {"twice": 2 * g, "drift": abs(g) if default else 99.0, "saturating": g * (knobs.activation == "tanh")}
    up = f"The mean square goes from {m.signal[0]:.3g} at the input to {m.signal[-1]:.3g} at layer {depth}."
    down = f"The gradient's norm at the input is {m.ends['gradient']:.3g} times that at layer {depth}."
    theory = [(m.v / 2) ** layer for layer in range(depth + 1) if m.plain]
    signal = {"signal": m.signal, "depends on the input": m.told, "(v/2)^layer": theory}
    bars = BarGroup(name="one ReLU layer", values=[gain**2 * v / 2 for v in V.values()])
    rates = "v/2: " + ", ".join(f"{name} {gain**2 * v / 2:.3g}" for name, v in V.items())
    names, y, marks = list(V), Axis(name="factor on the mean square"), (Mark(label="kept", y=1),)
    code = {"h = phi(W @ h + b)": up, "dh = W.T @ (slope(z) * dh)": down, "fan_in * W.var()": f"{m.v:.4g}"}
    figures = (
        lines("signal", "The signal on its way up", up, "mean square", signal),
        lines("gradient", "The gradient on its way down", down, "norm over the top's", m.down),
        Bars(id="schemes", title="One ReLU layer", alt=rates, categories=names, y=y, groups=(bars,), marks=marks),
    )
    ran, claims = [CodeLine(code=line, value=value) for line, value in code.items()], settle(knobs, m)
    return Result(summary=f"{up} {down}", figures=figures, claims=claims, answers=a, code=ran)
