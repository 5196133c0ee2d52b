r"""Backpropagation line by line

Backpropagation is the chain rule from the loss backwards. For $a = W_1 x + b_1$, $h = \phi(a)$, $z = W_2 h + b_2$ it
starts with $\partial L/\partial z = (p - y)/N$, goes through $W_2^\top$ and $\phi'(a)$, and meets $h$ and $x$ on the
way for the gradients of $W_2$ and $W_1$. One pass back reuses what one pass forward stored and yields all gradients.
It adds them to `.grad`, twice if it is called twice, and moves no weight; `optimizer.step()` does.
Source: Rumelhart, Hinton and Williams 1986; Goodfellow et al. 2016, section 6.5; torch: Autograd mechanics, torch.optim
"""

from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector as flat

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, seed, switch
from app.demos.result import Axis, BarGroup, Bars, CodeLine, Edge, Graph, Node, Result, identity

F, RATE, NAMES, CHANGED = nn.functional, 0.5, ("W1", "b1", "W2", "b2"), ("only .grad", "the weights")
SLOPE = {"tanh": lambda a, h: 1 - h * h, "relu": lambda a, h: (a > 0).double(), "sigmoid": lambda a, h: h * (1 - h)}


class Knobs(Parameters):
    hidden: int = integer(4, 2, 8, help="Hidden units.")
    activation: Literal["tanh", "relu", "sigmoid"] = choice("tanh", help="What the hidden units apply.")
    zero_grad: bool = switch(True, help="Empty .grad before each backward call.")
    micro_batches: int = integer(1, 1, 8, help="Pieces of four examples that a batch is sent through in.")
    divide: bool = switch(True, more=True, help="Divide the loss of each micro-batch by their number.")
    backward_calls: int = integer(1, 1, 5, more=True, help="Backward calls on the same batch before the step.")
    start: Literal["random", "equal", "zero output", "detached"] = choice("random", more=True, help="Start, or a cut.")
    seed: int = seed()


def forward(weights: Any, x: Tensor, knobs: Knobs, cut: bool) -> tuple[Tensor, Tensor, Tensor]:
    a = x @ weights[0].mT + weights[1]  # (..., N, hidden)
    h = getattr(torch, knobs.activation)(a)
    return a, h, (h.detach() if cut else h) @ weights[2].mT + weights[3]  # (..., N, 3)


def train(knobs: Knobs, lab: Lab) -> SimpleNamespace:
    source, H, K, cut = lab.generator(), knobs.hidden, knobs.micro_batches, knobs.start == "detached"
    x, W1, W2 = (torch.randn(n, k, generator=source, dtype=torch.float64) for n, k in ((32, 2), (8, 2), (3, 8)))
    x, y, W1, W2 = x[: 4 * K], torch.randint(3, (32,), generator=source)[: 4 * K], W1[:H], W2[:, :H] / H**0.5
    W1, W2 = (W1[:1].repeat(H, 1), W2[:, :1].repeat(1, H)) if knobs.start == "equal" else (W1, W2)
    begin = [W1, torch.full((H,), 0.1).double(), W2 * (knobs.start != "zero output"), torch.zeros(3).double()]
    a, h, z = forward(begin, x, knobs, False)
    dz = (z.softmax(-1) - F.one_hot(y, 3)) / len(x)  # (N, 3)
    dh = dz @ begin[2]  # (N, hidden)
    da = dh * SLOPE[knobs.activation](a, h)  # (N, hidden)
    hand, weights, norms = [da.T @ x, da.sum(0), dz.T @ h, dz.sum(0)], [nn.Parameter(w.clone()) for w in begin], []
    optimizer = torch.optim.SGD(weights, lr=RATE, foreach=False)
    for _ in range(knobs.backward_calls):
        if knobs.zero_grad:
            optimizer.zero_grad()
        for part, labels in zip(x.chunk(K), y.chunk(K), strict=True):
            loss = F.cross_entropy(forward(weights, part, knobs, cut)[2], labels)
            (loss / K if knobs.divide else loss).backward()
        grads = [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in weights]
        norms.append(flat(grads).norm().item())
    drift, lacking = (flat(weights) - flat(begin)).norm().item(), sum(w.numel() for w in weights if w.grad is None)
    optimizer.step()
    pulls, right, moved = dz.abs().amax(1) * len(x), z.argmax(1) == y, flat(weights).detach() - flat(begin)
    return SimpleNamespace(**locals())


def bars(id: str, title: str, values: dict[Any, float], hatched: Any = None) -> Bars:
    said, axis = ", ".join(f"{name} {value:.4f}" for name, value in values.items()), Axis(name="size")
    group = BarGroup(name=title, values=[*values.values()], meaning="measured", hatched=hatched)
    return Bars(id=id, title=title, alt=said, categories=[*map(str, values)], y=axis, groups=[group])


def pictures(m: SimpleNamespace) -> tuple[Any, ...]:
    at = {"W1": (0, 0, m.hand[0]), "a": (1, 1, m.da), "h": (2, 1, m.dh), "W2": (2, 0, m.hand[2]), "z": (3, 1, m.dz)}
    at["loss"] = (4, 1, torch.ones(()))
    nodes = [Node(id=k, label=k, column=x, row=y, value=f"{d.norm():.4}", quantity=k) for k, (x, y, d) in at.items()]
    factors = [("loss", "z", "p − y"), ("z", "W2", "h"), ("z", "h", "W2"), ("h", "a", "φ′(a)"), ("a", "W1", "x")]
    edges = [Edge(source=source, target=target, label=f"× {factor}") for source, target, factor in factors]
    path = "Norms of the gradients: " + ", ".join(f"{node.label} {node.value}" for node in nodes)
    return (
        Graph(id="network", title="Norms of the gradients from the loss back", alt=path, nodes=nodes, edges=edges),
        bars("calls", "Norm of .grad after each call", dict(enumerate(m.norms, 1))),
        bars("weights", "How far the weights moved", {"backward()": m.drift, "step()": m.moved.norm().item()}),
        bars("pulls", "Pull of each example (hatched: right)", dict(enumerate(m.pulls.tolist(), 1)), m.right.tolist()),
    )


def run(knobs: Knobs, lab: Lab) -> Result:
    m = train(knobs, lab)
    leaves, hand = [w.clone().requires_grad_() for w in m.begin], flat(m.hand)
    loss = lambda *weights: F.cross_entropy(forward(weights, m.x, knobs, False)[2], m.y)  # noqa: E731
    autograd, agrees = torch.autograd.grad(loss(*leaves), leaves), torch.autograd.gradcheck(loss, leaves)
    times = (1 if knobs.zero_grad else knobs.backward_calls) * (1 if knobs.divide else m.K)
    wanted, first = flat([g * times * (i > 1 or not m.cut) for i, g in enumerate(m.hand)]), flat(m.grads[:2])
    checks = {
        "hand-is-autograd": ("The lines by hand give autograd's gradients.", "", hand - flat(autograd)),
        "gradcheck": ("Central differences agree with autograd.", "", torch.tensor(not agrees)),
        "accumulates": ("Every backward call adds its gradient to .grad.", "", flat(m.grads) - wanted),
        "weights-stay": ("backward() moves no weight.", "", torch.tensor(m.drift)),
        "step": ("step() subtracts the rate times .grad.", "", m.moved + RATE * flat(m.grads)),
        "balance": ("An example's score gradients sum to 0.", "", m.dz.sum(1)),
        "all-pull": ("Every example pulls on its scores, right or wrong.", "", m.pulls == 0),
        "blocked": ("Zero output weights let no gradient through to W1 and b1.", "zero output", first),
        "alike": ("Equal hidden units get equal gradients.", "equal", m.grads[0] - m.grads[0][:1]),
        "silent": ("Behind detach, .grad of W1 and b1 stays None.", "detached", torch.tensor(m.lacking - 3 * m.H)),
    }
    sizes = {id: off.double().abs().max().item() for id, (_, _, off) in checks.items()}
    off_topic = {id: "Needs another start." * (only not in ("", knobs.start)) for id, (_, only, _) in checks.items()}
    claims = [identity(id, says, sizes[id], 1e-12, domain=off_topic[id]) for id, (says, _, _) in checks.items()]
    factor, count = float((m.grads[2] * m.hand[2]).sum() / m.hand[2].square().sum()), len(hand)
    zeros = " and ".join(name for name, grad in zip(NAMES, m.grads, strict=True) if not grad.any()) or "none"
    distinct, missed = len({tuple(row) for row in m.grads[0].mul(1e9).round().tolist()}), m.right & (m.pulls == 0)
    answers: dict[str, Any] = {"factor": factor, "parameters": count, "without_biases": 5 * m.H, "passes": 2 * count}
    answers |= {"received": count - m.lacking, "distinct": distinct, "units": m.H, "drift": m.drift, "zeros": zeros}
    answers |= {"still": int(missed.sum()), "right": int(m.right.sum()), "changed": CHANGED[m.drift > 0]}
    code = {"dz = (p − y) / N": m.dz, "dW2 = dz.T @ h": m.hand[2], "dh = dz @ W2": m.dh, "da = dh * slope(a)": m.da}
    lines = [CodeLine(code=k, value=str(v[0].numpy().round(4)), quantity=k.split()[0][1:]) for k, v in code.items()]
    says = f"backward() filled {count - m.lacking} numbers and moved no weight; .grad is {factor:.3g} × the gradient."
    return Result(summary=says, figures=pictures(m), claims=claims, answers=answers, code=lines)
