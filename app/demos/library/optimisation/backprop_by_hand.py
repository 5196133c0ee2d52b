r"""Backpropagation line by line

Backpropagation is the chain rule from the loss backwards. For $a = W_1 x + b_1$, $h = \phi(a)$, $z = W_2 h + b_2$ it
starts with $\partial L/\partial z = (p - y)/N$, goes through $W_2^\top$ and $\phi'(a)$, and meets $h$ and $x$ on the
way for the gradients of $W_2$ and $W_1$. One pass back reuses what one pass forward stored and yields all gradients.
It adds them to `.grad`, twice if it is called twice, and moves no weight; `optimizer.step()` does.
Source: Rumelhart, Hinton and Williams 1986; Goodfellow et al. 2016, section 6.5; torch: Autograd mechanics, torch.optim
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector as flat

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, seed, switch
from app.demos.result import Axis, BarGroup, Bars, Claim, CodeLine, Edge, Graph, Node, Result, TableFigure, identity

F, RATE, NAMES = nn.functional, 0.5, ("W1", "b1", "W2", "b2")
MEANING: Any = ("waiting", "measured")  # no gradient, a gradient; not chosen, chosen
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


class Pass(NamedTuple):
    x: Tensor  # (N, 2)
    y: Tensor  # (N,) class 0, 1 or 2
    begin: list[Tensor]  # W1 (hidden, 2), b1 (hidden,), W2 (3, hidden), b2 (3,)
    h: Tensor  # (N, hidden)
    z: Tensor  # (N, 3)
    dz: Tensor  # (N, 3)
    dh: Tensor  # (N, hidden)
    da: Tensor  # (N, hidden)
    grads: list[Tensor]  # dW1, db1, dW2, db2


def draw_data(knobs: Knobs, lab: Lab) -> tuple[Tensor, Tensor, list[Tensor]]:
    source, hidden, N = lab.generator(), knobs.hidden, 4 * knobs.micro_batches
    x, W1, W2 = (torch.randn(n, k, generator=source, dtype=torch.float64) for n, k in ((32, 2), (8, 2), (3, 8)))
    y = torch.randint(3, (32,), generator=source)
    W1, W2 = W1[:hidden], W2[:, :hidden] / hidden**0.5
    if knobs.start == "equal":
        W1, W2 = W1[:1].repeat(hidden, 1), W2[:, :1].repeat(1, hidden)
    W2 = W2 * (knobs.start != "zero output")
    return x[:N], y[:N], [W1, torch.full((hidden,), 0.1).double(), W2, torch.zeros(3).double()]


def forward(weights: Any, x: Tensor, knobs: Knobs, cut: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    W1, b1, W2, b2 = weights
    a = x @ W1.T + b1  # (N, hidden)
    h = getattr(torch, knobs.activation)(a)
    return a, h, (h.detach() if cut else h) @ W2.T + b2  # the last: (N, 3)


def backward_by_hand(knobs: Knobs, x: Tensor, y: Tensor, begin: list[Tensor]) -> Pass:
    a, h, z = forward(begin, x, knobs)
    dz = (z.softmax(1) - F.one_hot(y, 3)) / len(x)
    dh = dz @ begin[2]
    da = dh * SLOPE[knobs.activation](a, h)
    return Pass(x, y, begin, h, z, dz, dh, da, [da.T @ x, da.sum(0), dz.T @ h, dz.sum(0)])


def train(knobs: Knobs, hand: Pass, zero_grad: bool, calls: int) -> dict[str, Any]:
    weights, pieces, seen = [nn.Parameter(w.clone()) for w in hand.begin], knobs.micro_batches, []
    optimizer = torch.optim.SGD(weights, lr=RATE, foreach=False)
    for _ in range(calls):
        if zero_grad:
            optimizer.zero_grad()
        for x, y in zip(hand.x.chunk(pieces), hand.y.chunk(pieces), strict=True):
            loss = F.cross_entropy(forward(weights, x, knobs, knobs.start == "detached")[2], y)
            (loss / pieces if knobs.divide else loss).backward()
        seen.append(flat([torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in weights]))
    backward, filled = flat(weights).detach().clone(), sum(w.numel() for w in weights if w.grad is not None)
    optimizer.step()
    # .grad after each call, and all weights after the last call and after the step, are one vector each
    return {"calls": seen, "filled": filled, "backward": backward, "stepped": flat(weights).detach()}


def draw_network(knobs: Knobs, hand: Pass) -> Graph:
    x, h, z, dz = hand.x[0], hand.h[0], hand.z[0], hand.dz[0]  # all of the first example
    da = hand.da[0] * (knobs.start != "detached")
    up = max(0, knobs.hidden // 2 - 2)  # rows are such that no two labels of a layer meet
    nodes = [Node(id=f"x{i}", label=f"x{i}", column=0, row=0.75 + 1.5 * i + up, value=f"{x[i]:.2f}") for i in (0, 1)]
    for j, v in enumerate(h):
        nodes.append(Node(id=f"h{j}", label=f"h{j}", column=1.6, row=j, value=f"{v:.2f} / {da[j]:.3f}", quantity="a"))
    for k, v in enumerate(z):
        value, row = f"{v:.2f} / {dz[k]:.3f}", 4 / 3 * k + up
        nodes.append(Node(id=f"z{k}", label=f"z{k}", column=3.2, row=row, value=value, quantity="z"))
    edges = []
    for ends, dW in (("xh", torch.outer(da, x)), ("hz", torch.outer(dz, h))):
        for j, i in torch.ones_like(dW).nonzero().tolist():
            label, meaning = f"{round(dW[j, i].item(), 3) + 0.0:.3f}", MEANING[bool(dW[j, i])]
            edges.append(Edge(source=f"{ends[0]}{i}", target=f"{ends[1]}{j}", label=label, meaning=meaning))
    says = "Nodes: value / gradient. Edges: a weight's gradient, the value at its start times the gradient at its end."
    alt = f"{says} The gradient at z is {dz.numpy().round(3)}, at the hidden sums {da.numpy().round(3)}."
    return Graph(id="network", title="Example 1 forwards and back", alt=alt, caption=says, nodes=nodes, edges=edges)


def draw_differences(hand: Pass, autograd: list[Tensor]) -> TableFigure:
    rows = []
    for name, grad, theirs in zip(NAMES, hand.grads, autograd, strict=True):
        rows.append((name, str(tuple(grad.shape)), f"{grad.norm():.4f}", f"{(grad - theirs).abs().max():.1e}"))
    says = f"Largest differences from autograd: {', '.join(f'{row[0]} {row[-1]}' for row in rows)}."
    heads = ("gradient of", "shape", "norm", "difference")
    return TableFigure(id="differences", title="By hand against autograd", alt=says, columns=heads, rows=rows)


def draw_calls(knobs: Knobs, hand: Pass) -> Bars:
    calls, groups = max(2, knobs.backward_calls), []
    for zero_grad, name in ((True, "zero_grad()"), (False, "kept")):
        norms = [grad.norm().item() for grad in train(knobs, hand, zero_grad, calls)["calls"]]
        groups.append(BarGroup(name=name, values=norms, meaning=MEANING[zero_grad == knobs.zero_grad], quantity="grad"))
    says = f"After two calls {groups[0].values[1]:.4f} with zero_grad() between, {groups[1].values[1]:.4f} without."
    names, y = [f"call {i + 1}" for i in range(calls)], Axis(name="norm of .grad", low=0)
    return Bars(id="calls", title=".grad after each call", alt=says, caption=says, categories=names, y=y, groups=groups)


def draw_weights(hand: Pass, trained: dict[str, Any]) -> TableFigure:
    vectors = (flat(hand.begin), trained["calls"][-1], trained["backward"], trained["stepped"])
    firsts = [[part[0] for part in vector.split([w.numel() for w in hand.begin])] for vector in vectors]  # 4 × 4
    rows = [(f"{name}[0]", *map("{:.4f}".format, row)) for name, *row in zip(NAMES, *firsts, strict=True)]
    moves = [(after - vectors[0]).norm() for after in (trained["backward"], trained["stepped"])]
    says = f"All weights together moved by {moves[0]:.4f} in backward() and by {moves[1]:.4f} in step()."
    heads = ("", "start", ".grad", "backward()", "step()")
    return TableFigure(id="weights", title="Before and after", alt=says, caption=says, columns=heads, rows=rows)


def draw_pulls(hand: Pass) -> Bars:
    pulls, right = hand.dz.abs().amax(1) * len(hand.x), hand.z.argmax(1) == hand.y  # (N,) each
    group = BarGroup(name="|p − y|", values=pulls.tolist(), meaning="measured", hatched=right.tolist(), quantity="z")
    says = f"{int(right.sum())} of {len(right)} are right (hatched); all pull, by {pulls.min():.3f} or more."
    names, y = [str(i + 1) for i in range(len(right))], Axis(name="largest |p − y|", low=0, high=1)
    return Bars(id="pulls", title="Pull of each example", alt=says, caption=says, categories=names, y=y, groups=[group])


def check(knobs: Knobs, hand: Pass, trained: dict[str, Any], autograd: Tensor, agrees: bool) -> list[Claim]:
    ours, kept, begin = flat(hand.grads), trained["calls"][-1], flat(hand.begin)
    first, rows = 3 * knobs.hidden, kept[: 2 * knobs.hidden].view(-1, 2)  # numbers of W1 and b1; rows of W1
    times = (1 if knobs.zero_grad else knobs.backward_calls) * (1 if knobs.divide else knobs.micro_batches)
    reached = torch.cat([ours[:first] * (knobs.start != "detached"), ours[first:]])
    open_path = "Here W2 is not zero, so the gradient passes through it." * (knobs.start != "zero output")
    unlike = "Here the hidden units start different, so their gradients differ." * (knobs.start != "equal")
    whole = "Nothing is detached here; the graph reaches back to W1 and b1." * (knobs.start != "detached")
    gaps: dict[str, tuple[str, Any, str | None, str]] = {
        "hand-is-autograd": ("By hand the gradients of the uncut net are autograd's.", ours - autograd, "W2", ""),
        "gradcheck": ("Central differences agree with autograd.", not agrees, None, ""),
        "accumulates": ("Every backward call adds its gradient to .grad.", kept - times * reached, "grad", ""),
        "weights-stay": ("backward() moves no weight.", trained["backward"] - begin, None, ""),
        "step": ("step() subtracts the rate times .grad.", trained["stepped"] - begin + RATE * kept, "grad", ""),
        "balance": ("An example's score gradients sum to 0.", hand.dz.sum(1), "z", ""),
        "all-pull": ("Every example pulls on its scores, right or wrong.", hand.dz.abs().amax(1) == 0, "z", ""),
        "blocked": ("Zero output weights let no gradient through to W1 and b1.", kept[:first], None, open_path),
        "alike": ("Equal hidden units get equal gradients.", rows - rows[:1], "a", unlike),
        "silent": ("Behind detach, .grad of W1 and b1 stays None.", len(ours) - trained["filled"] - first, None, whole),
    }
    sizes = {id: float(torch.as_tensor(gap).double().abs().max()) for id, (_, gap, _, _) in gaps.items()}
    return [identity(k, says, sizes[k], 1e-12, domain=why, quantity=link) for k, (says, _, link, why) in gaps.items()]


def run(knobs: Knobs, lab: Lab) -> Result:
    hand = backward_by_hand(knobs, *draw_data(knobs, lab))
    trained = train(knobs, hand, knobs.zero_grad, knobs.backward_calls)
    loss = lambda *weights: F.cross_entropy(forward(weights, hand.x, knobs)[2], hand.y)  # noqa: E731
    leaves = [w.clone().requires_grad_() for w in hand.begin]
    autograd, agrees = list(torch.autograd.grad(loss(*leaves), leaves)), torch.autograd.gradcheck(loss, leaves)
    tables = (draw_differences(hand, autograd), draw_weights(hand, trained))
    figures = (draw_network(knobs, hand), draw_calls(knobs, hand), draw_pulls(hand), *tables)
    live = {"dz = (p − y) / N": ("z", hand.dz), "dW2 = dz.T @ h": ("W2", hand.grads[2]), "dh = dz @ W2": ("h", hand.dh)}
    n, kept, count = knobs.hidden, trained["calls"][-1], 6 * knobs.hidden + 3
    live |= {"da = dh * slope(a)": ("a", hand.da), ".grad[0] after backward()": ("grad", kept)}
    code = [CodeLine(code=k, value=str(v[0].numpy().round(4)), quantity=link) for k, (link, v) in live.items()]
    parts, right = kept.split([w.numel() for w in hand.begin]), hand.z.argmax(1) == hand.y
    units = torch.cat([parts[0].view(-1, 2), parts[1][:, None], parts[2].view(3, -1).T], dim=1).mul(1e9).round()
    distinct, repeats = len(units[:, :2].unique(dim=0)), 6 * (n - len(units.unique(dim=0)))  # units: (hidden, 6)
    factor = float((parts[2] * flat(hand.grads[2])).sum() / hand.grads[2].square().sum())
    still, sure = hand.dz.abs().amax(1) == 0, hand.z.softmax(1).amax(1) > 0.5  # (N,) each
    filled, drift = trained["filled"], (trained["backward"] - flat(hand.begin)).norm().item()
    a: dict[str, Any] = {"factor": factor, "parameters": count, "passes": 2 * count, "received": filled, "drift": drift}
    a |= {"right": int(right.sum()), "still": int((right & still).sum()), "sure": int((right & sure).sum())}
    a |= {"units": n, "twins": n - 1, "first_weights": 2 * n, "output_numbers": 3 * n + 3, "without_biases": 5 * n}
    a |= {"distinct": distinct, "repeats": repeats, "unit_numbers": 6 * n, "zero_numbers": int((kept == 0).sum())}
    a |= {"averaged": 1 / knobs.micro_batches, "changed": "the weights" if drift > 0 else "only .grad"}
    a["written"] = "every .grad" if filled == count else "W2.grad and b2.grad"
    a["zeros"] = " and ".join(name for name, part in zip(NAMES, parts, strict=True) if not part.any()) or "none"
    passes_w2 = knobs.start != "detached" and bool(hand.da[right].any())
    a["pulled"] = "all weights" if passes_w2 else "only W2 and b2" if right.any() else "none"
    says = f"backward() filled {filled} numbers, {factor:.3g} × the gradient, and moved no weight."
    claims = check(knobs, hand, trained, flat(autograd), agrees)
    return Result(summary=says, figures=figures, claims=claims, answers=a, code=code)
