r"""How signal and gradient change with depth

Inputs pass through a stack of random layers $h_l = \phi(W_l h_{l-1})$; nothing is trained. Weights of variance $v/n$,
with $n$ the fan-in, multiply the mean square of the signal by $v$; ReLU keeps half of it. So $v = 2$ (He) holds the
scale, while `nn.Linear` draws from $U(\pm 1/\sqrt n)$, which is $v = 1/3$: a bare ReLU stack loses a factor of six per
layer. Going back, the gradient is multiplied by $\phi'$ and $W^\top$ in every layer: slopes and weights decide.
Source: He et al. 2015, section 2.2; Glorot and Bengio 2010, section 4.2; Yang et al. 2019 (batch norm); torch: nn.init
"""

from math import log, log10, sqrt
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, gelu

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed, switch
from app.demos.result import Axis, BarGroup, Bars, Claim, CodeLine, Lines, Mark, Result, Scalar, Series, outcome

TINY = 1e-300  # keeps a quotient or a logarithm finite
PHI = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "gelu": gelu}
V = {"pytorch default": 1 / 3, "xavier": 1, "he": 2, "orthogonal": 1, "nilpotent": 4, "too large": 8, "too small": 0.02}

Init = Literal["pytorch default", "xavier", "he", "orthogonal", "too large", "too small", "nilpotent"]


class Knobs(Parameters):
    depth: int = integer(30, 1, 60, help="Number of layers.")
    activation: Literal["relu", "tanh", "sigmoid", "gelu"] = choice("relu", help="Applied after every layer.")
    init: Init = choice("pytorch default", help="Too large: variance 8/n, small: 0.02/n. Nilpotent: 2 on one diagonal.")
    gain: float = number(1, 0.25, 4, step=0.05, help="Multiplies every weight.")
    width: int = integer(128, 16, 256, step=16, help="Units per layer: the fan-in and the fan-out.", more=True)
    residual: bool = switch(False, help="Add each layer's input to its output.", more=True)
    normalise: bool = switch(False, help="Batch normalisation before the activation.", more=True)
    biases: bool = switch(False, help="nn.Linear's default biases, U(±1/√n), instead of none.", more=True)
    seed: int = seed()


class Flow(NamedTuple):
    """L layers of n units, 64 inputs; gradients are autograd's."""

    v: float  # fan-in times the variance of the weights
    W: Tensor  # (L, n, n)
    chain: float  # largest relative difference between one step back by hand and autograd
    pairing: float  # by how much ⟨h, dL/dh⟩ differs between depths, over the product of the top's norms
    sizes: dict[str, Tensor]  # layer by layer, (L + 1,), the first of the input; those of the weights are (L,)
    steps: dict[str, float]  # what each line that runs multiplies by, the geometric mean over the layers
    factor: float  # on the mean square, per layer upwards
    back: float  # on the gradient's norm, per layer downwards


def draw_weights(knobs: Knobs, v: float, generator: torch.Generator) -> Tensor:
    n, W = knobs.width, torch.empty(knobs.depth, knobs.width, knobs.width)
    uniform = knobs.init in ("pytorch default", "xavier")
    W = W.uniform_(-sqrt(3), sqrt(3), generator=generator) if uniform else W.normal_(generator=generator)  # variance 1
    if knobs.init == "nilpotent":
        return torch.ones(n - 1).double().diag(1).expand_as(W) * sqrt(v)
    if knobs.init == "orthogonal":
        W = sqrt(n) * torch.linalg.qr(W)[0]
    return W.double() * sqrt(v / n)


def activate(z: Tensor, knobs: Knobs) -> Tensor:
    activated: Tensor = PHI[knobs.activation](batch_norm(z, None, None, training=True) if knobs.normalise else z)
    return activated


def flow(knobs: Knobs, generator: torch.Generator) -> Flow:
    n, depth, v = knobs.width, knobs.depth, knobs.gain**2 * V[knobs.init]
    W = draw_weights(knobs, v, generator)
    b = knobs.biases / sqrt(n) * (2 * torch.rand(depth, n, generator=generator).double() - 1)  # (L, n)
    h, z = [torch.randn(64, n, generator=generator).double().requires_grad_()], list[Tensor]()
    weights = [layer.requires_grad_() for layer in W]
    for weight, bias in zip(weights, b, strict=True):
        z.append(h[-1] @ weight.T + bias)  # (64, n)
        h.append(activate(z[-1], knobs) + knobs.residual * h[-1])
    top = torch.randn(64, n, generator=generator).double()  # dL/dh of a random loss at the top
    pulled = torch.autograd.grad(h[-1], [*weights, *h], top)
    dW, dh = torch.stack(pulled[:depth]), torch.stack(pulled[depth:])
    layers_abreast = torch.cat(z, 1).detach()  # (64, L · n): one product with the slope serves every layer
    times_slope = torch.func.vjp(lambda given: activate(given, knobs), layers_abreast)[1]
    (dz,) = times_slope(torch.cat(list(dh[1:]), 1))  # dL/dz = dL/dh times φ'(z)
    by_hand = dz.reshape(64, depth, n).transpose(0, 1) @ W.detach() + knobs.residual * dh[1:]  # (L, 64, n)
    miss, below = (by_hand - dh[:-1]).flatten(1).norm(dim=1), dh[:-1].flatten(1).norm(dim=1)
    states, norms, pull = torch.stack(h).detach(), dW.flatten(1).norm(dim=1), dh.square().mean((1, 2))
    sizes = {"signal": states.square().mean((1, 2)), "told": states.var(1, correction=0).mean(1)}  # input's part
    sizes |= {"gradient": (pull / pull[-1]).sqrt(), "weights": norms / norms[-1]}  # over the topmost
    factor = float(sizes["signal"][-1] / sizes["signal"][0]) ** (1 / depth)
    back, chain = float(sizes["gradient"][0]) ** (1 / depth), float((miss / (below + TINY)).max())
    mixed, sloped = (one.square().reshape(64, depth, n).mean((0, 2)) for one in (layers_abreast, dz))  # (L,) each
    ratios = {"z": mixed / (sizes["signal"][:-1] + TINY), "slope": (sloped / (pull[1:] + TINY)).sqrt()}
    steps = {name: float((ratio + TINY).log().mean().exp()) for name, ratio in ratios.items()}
    pairs = (states * dh).sum((1, 2))
    pairing = float((pairs.max() - pairs.min()) / (states[-1].norm() * dh[-1].norm() + TINY))
    return Flow(v, W.detach(), chain, pairing, sizes, steps, factor, back)


def is_bare(knobs: Knobs) -> bool:
    return knobs.activation == "relu" and not (knobs.biases or knobs.normalise)  # so that f(2h) = 2 f(h)


def is_plain(knobs: Knobs) -> bool:
    return is_bare(knobs) and not knobs.residual and knobs.init != "nilpotent"


def settle(knobs: Knobs, made: Flow) -> list[Claim]:
    n, depth, v, nilpotent = knobs.width, knobs.depth, made.v, knobs.init == "nilpotent"
    found, linear = (float(W.square().mean()) * n for W in (made.W, torch.nn.Linear(n, n).weight.detach()))
    radius = float(torch.linalg.eigvals(made.W[0]).abs().max()) if nilpotent else 0
    stretch = float((made.W[0] / sqrt(v)).matrix_power(min(depth, n - 1)).max()) if nilpotent else 1
    up, down = log(max(made.factor, TINY)), 2 * log(max(made.back, TINY))
    spread, band = 5 * v * sqrt(2 / depth) / n, 5 * sqrt(5 / depth / n) + 2.5 / n  # five standard errors, and a bias
    grows = knobs.activation == "relu" and knobs.normalise and not (nilpotent or knobs.residual) and depth > 9
    bare = "" if is_bare(knobs) else "Only ReLU without biases or normalisation scales its output with its input."
    plain = "" if is_plain(knobs) else "v/2 is for ReLU on drawn weights, with nothing added or normalised."
    drawn = "These weights are set, not drawn: all sit on one diagonal." if nilpotent else ""
    shift = "" if nilpotent else "These weights are drawn; the claim is about the nilpotent matrix."
    normed = "" if grows else "It is about ten or more normalised ReLU layers with drawn weights and no skips."
    rows = (
        ("chain", "One step back is the activation's slope, then W transposed.", made.chain, 0, 1e-12, ""),
        ("euler", "Bare ReLU layers: ⟨h, dL/dh⟩ is the same at every depth.", made.pairing, 0, 1e-12, bare),
        ("variance", "Fan-in times the weights' variance is v.", found, v, spread, drawn),
        ("linear", "nn.Linear's own weights have v = 1/3.", linear, 1 / 3, 1.5 / n, ""),
        ("forward", "ReLU multiplies the mean square by v/2 (as logs).", up, log(v / 2), band, plain),
        ("backward", "It multiplies the squared gradient by v/2 as well.", down, log(v / 2), band, plain),
        ("radius", "Every eigenvalue of the nilpotent matrix is 0.", radius, 0, 1e-12, shift),
        ("stretch", "Its k-th power still stretches one direction by (2 gain)^k.", stretch, 1, 1e-12, shift),
        ("norm-grows", "Normalised ReLU layers: the gradient grows by about 1.2.", made.back, 1.21, 0.15, normed),
    )
    about = {
        "variance": "v",
        "forward": "signal",
        "chain": "gradient" + "-skip" * knobs.residual,
        "backward": "gradient",
    }
    return [
        outcome(id, says, x, aim, abs(x - aim) <= within, within, why, within <= 1e-12, quantity=about.get(id))
        for id, says, x, aim, within, why in rows
    ]


def line(name: str, values: Tensor, meaning: Any, quantity: str | None = None, first: int = 0) -> Series:
    layers, shown = tuple(range(first, first + len(values))), tuple(max(value, 1e-99) for value in values.tolist())
    return Series(name=name, x=layers, y=shown, meaning=meaning, quantity=quantity)


def draw(knobs: Knobs, made: Flow, up: str, down: str) -> tuple[Lines, Lines, Bars]:
    sizes, x, y = made.sizes, Axis(name="layer"), Axis(name="mean square", scale="log")
    skip = "-skip" * knobs.residual  # a layer with a skip is another formula
    told = f"{up} At the top {float(sizes['told'][-1] / sizes['signal'][-1]):.3g} of it depends on the input."
    rising = [line("signal", sizes["signal"], "measured", "signal" + skip)]
    rising.append(line("input's part", sizes["told"], "second"))
    if is_plain(knobs):
        rising.append(line("(v/2)^layer", (made.v / 2) ** torch.arange(knobs.depth + 1).double(), "neutral", "v"))
    signal = Lines(id="signal", title="The signal on its way up", alt=told, caption=told, x=x, y=y, series=rising)
    felt = f"{down} The first layer's weights get {float(sizes['weights'][0]):.3g} times the gradient of the last's."
    back = [line("of the signal", sizes["gradient"], "measured", "gradient" + skip)]
    back.append(line("of the weights", sizes["weights"], "second", first=1))  # there is no layer 0
    y = Axis(name="norm over the top's", scale="log")
    fall = Lines(id="gradient", title="The gradient on its way down", alt=felt, caption=felt, x=x, y=y, series=back)

    halves = {name: knobs.gain**2 * v / 2 for name, v in V.items() if name not in ("orthogonal", "nilpotent")}
    rates = f"v/2 at gain {knobs.gain:.3g}: " + ", ".join(f"{name} {half:.3g}" for name, half in halves.items()) + "."
    bars = BarGroup(name="one ReLU layer", values=tuple(halves.values()), quantity="v")
    more: dict[str, Any] = {"categories": tuple(halves), "groups": (bars,), "marks": (Mark(label="kept", y=1),)}
    title, y = "One ReLU layer, by scheme", Axis(name="factor on the mean square", scale="log")
    return signal, fall, Bars(id="schemes", title=title, alt=rates, caption=rates, y=y, **more)


def answer(knobs: Knobs, made: Flow) -> dict[str, Scalar]:
    sizes, v, gain = made.sizes, made.v, knobs.gain
    ends = {"signal": sizes["signal"][-1] / sizes["signal"][0], "told": sizes["told"][-1] / sizes["signal"][-1]}
    ends |= {"gradient": sizes["gradient"][0], "weights": sizes["weights"][0]}
    powers = {name: log10(max(float(ratio), TINY)) for name, ratio in ends.items()}
    rescuing = is_plain(knobs) and knobs.init == "pytorch default" and knobs.depth > 29
    a: dict[str, Scalar] = {f"{name}_powers": power for name, power in powers.items()}
    a |= {f"{name}_trend": "grows" if p > 1 else "shrinks" if p < -1 else "stays" for name, p in powers.items()}
    a |= {"factor": made.factor, "norm_factor": sqrt(made.factor), "back": made.back, "back_squared": made.back**2}
    a |= {"as_he": gain**2, "whole": v, "norm_gain": sqrt(v), "plain_powers": knobs.depth * log10(v / 2) / 2}
    a |= {"twice": 2 * powers["gradient"], "drift": abs(powers["gradient"]) if rescuing else 99.0}
    a |= {"saturating": powers["gradient"] * (knobs.activation == "tanh"), "euler": made.pairing * is_bare(knobs)}
    return a | {"blind": powers["told"] * bool(sizes["signal"][-1] > 1e-3), "told_root": powers["told"] / 2}


def run(knobs: Knobs, lab: Lab) -> Result:
    made = flow(knobs, lab.generator())
    ends = [f"{float(size):.3g}" for size in made.sizes["signal"][[0, -1]]]
    up = f"The mean square goes from {ends[0]} at the input to {ends[1]} at layer {knobs.depth}."
    down = f"The gradient's norm at the input is {made.sizes['gradient'][0]:.3g} times that at layer {knobs.depth}."
    skip, dz = "-skip" * knobs.residual, ("dz = norm_vjp(slope(z) * dh)" if knobs.normalise else "dz = slope(z) * dh")
    rows = [("v = n * W.square().mean()", f"{float(made.W.square().mean()) * knobs.width:.4g}", "v")]
    rows += [("z = W @ h + b", f"mean square × {made.steps['z']:.3g}", "z")]
    rows += [("z = batch_norm(z)", "", "normed")] * knobs.normalise
    rows += [(f"h = {'h + ' * knobs.residual}phi(z)", f"per layer × {made.factor:.3g}", "signal" + skip)]
    rows += [(dz, f"norm × {made.steps['slope']:.3g}", "slope" + "-normed" * knobs.normalise)]
    rows += [(f"dh = {'dh + ' * knobs.residual}W.T @ dz", f"per layer × {made.back:.3g}", "gradient" + skip)]
    code = [CodeLine(code=says, value=value, quantity=quantity) for says, value, quantity in rows]
    figures, claims, answers = draw(knobs, made, up, down), settle(knobs, made), answer(knobs, made)
    return Result(summary=f"{up} {down}", figures=figures, claims=claims, answers=answers, code=code)
