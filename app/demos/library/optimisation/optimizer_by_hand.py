r"""Optimiser updates, line by line

Momentum sums gradients, $m \leftarrow \beta_1 m + g$, and steps $\eta m$: up to $\eta g/(1-\beta_1)$ on a steady slope.
Textbooks put $\eta$ inside the sum, and let Nesterov take its gradient at a look-ahead point, which PyTorch stores.
Adam divides a mean of gradients by the root of a mean of their squares, both corrected for their start at zero: its
first step is $\eta$ at any scale. L2 adds $\lambda w$ to the gradient; AdamW shrinks $w$ by $1-\eta\lambda$ instead.
Source: Sutskever et al. 2013; Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2; torch.optim
"""

from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, optim

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed
from app.demos.result import Axis, CodeLine, Field2d, Lines, Result, Series, TableFigure, identity

STEPS, EPS, VELOCITY, HELD = 40, 1e-8, ("momentum", "nesterov"), {"adam": 2, "adamw": 2, "rmsprop": 1}
START, CURVATURE, FIRST = torch.tensor([[-2.0, 2.0], [1.0, 10.0], [1.0, 0.0]], dtype=torch.float64)

CODE = "g = slope(w, t)", "m = b1 * m + (1 - b1) * g", "v = b2 * v + (1 - b2) * g * g", "step = lr * mean / root"


class Knobs(Parameters):
    optimizer: Literal["momentum", "nesterov", "adam", "adamw", "rmsprop"] = choice("adam", help="Whose update.")
    lr: float = number(0.02, 0.001, 0.1, log=True, help="Learning rate.")
    beta1: float = number(0.9, 0, 0.99, step=0.01, help="Share of the velocity or gradient mean that is kept.")
    weight_decay: float = number(0, 0, 0.5, step=0.01, help="Decay: L2 in the gradient, or apart from it (adamw).")
    beta2: float = number(0.999, 0.9, 0.9999, step=0.0001, more=True, help="Share of the mean square that is kept.")
    lr_cut_at: int = integer(0, 0, 40, more=True, help="From this step on a tenth of the rate; 0 never.")
    landscape: Literal["ravine", "constant", "plateau"] = choice("ravine", more=True, help="Where gradients come from.")
    gradient_scale: float = number(1, 1e-9, 1000, log=True, more=True, help="Gradient off the ravine.")
    seed: int = seed()


def by_hand(knobs: Knobs, slope: Any, rates: list[float], apart: bool, textbook: bool = False) -> Tensor:
    w, m, v, b1, b2, decay = START, 0 * START, 0 * START, knobs.beta1, knobs.beta2, knobs.weight_decay
    rows, ahead = [], knobs.optimizer == "nesterov"
    for t, lr in enumerate(rates, 1):
        at = w - b1 * m if ahead and textbook else w
        g = slope(at, t) + (0 if apart else decay * at)
        if knobs.optimizer in VELOCITY:
            m = b1 * m + (lr * g if textbook else g)
            step = m if textbook else lr * (g + b1 * m if ahead else m)
        else:
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
            mean, square = (g, v) if knobs.optimizer == "rmsprop" else (m / (1 - b1**t), v / (1 - b2**t))
            step = lr * mean / (square.sqrt() + EPS)
        w = w * (1 - lr * decay * apart) - step
        rows.append(torch.stack([w, g, m, v, step]))
    return torch.stack(rows)  # (40, 5, 2)


def by_torch(knobs: Knobs, slope: Any, rates: list[float]) -> tuple[Tensor, int]:
    w, name, b1, b2 = torch.nn.Parameter(START.clone()), knobs.optimizer, knobs.beta1, knobs.beta2
    more: Any = {"alpha": b2} if name == "rmsprop" else {"betas": (b1, b2)}
    more = {"momentum": b1, "nesterov": name == "nesterov" and b1 > 0} if name in VELOCITY else more
    kind = {"adam": optim.Adam, "adamw": optim.AdamW, "rmsprop": optim.RMSprop}.get(name, optim.SGD)
    optimizer, path = kind([w], lr=knobs.lr, weight_decay=knobs.weight_decay, foreach=False, **more), [START]
    for t, lr in enumerate(rates, 1):
        optimizer.param_groups[0]["lr"], w.grad = lr, slope(w.detach(), t)
        optimizer.step()
        path.append(w.detach().clone())
    return torch.stack(path), sum(v.numel() for v in optimizer.state[w].values() if v is not None and v.dim()) // 2


def pictures(said: str, drawn: list[tuple[str, Tensor, Any]]) -> tuple[Any, ...]:
    t, names = [float(t) for t in range(1, STEPS + 1)], ("step", "g", "m", "v", "step taken", "weight")
    plane = [Series(name=k, x=way[:, 0, 0].tolist(), y=way[:, 0, 1].tolist(), meaning=c) for k, way, c in drawn]
    second = [Series(name=k, x=t, y=way[:, 0, 1].tolist(), meaning=c) for k, way, c in drawn]
    sizes = [Series(name=k, x=t, y=way[:, 4, 0].abs().tolist(), meaning=c, quantity="s") for k, way, c in drawn]
    rows = [(i, *row) for i, row in enumerate(drawn[0][1][:6, [1, 2, 3, 4, 0], 0].tolist(), 1)]
    x, y, time = Axis(name="first weight"), Axis(name="second weight"), Axis(name="step")
    return (
        Field2d(id="paths", title="Both weights over forty steps", alt=said, x=x, y=y, series=plane, square=False),
        Lines(id="steps", title="First weight's step", alt=said, x=time, y=Axis(name="size", low=0), series=sizes),
        Lines(id="second", title="The second weight", alt=said, x=time, y=y, series=second),
        TableFigure(id="updates", title="First weight by step", alt=f"Step 1: {rows[0]}.", columns=names, rows=rows),
    )


def run(knobs: Knobs, lab: Lab) -> Result:
    name, lr, scale, b1, decay = knobs.optimizer, knobs.lr, knobs.gradient_scale, knobs.beta1, knobs.weight_decay
    noise, rms = torch.randn(STEPS, 2, generator=lab.generator(), dtype=torch.float64), (1 - knobs.beta2) ** 0.5
    ball, apart, flat = name == "momentum", name == "adamw", knobs.landscape == "constant"
    rates = [lr / 10 if 0 < knobs.lr_cut_at <= t else lr for t in range(1, STEPS + 1)]
    slopes = {"ravine": lambda w, t: CURVATURE * w, "constant": lambda w, t: scale * FIRST}
    slope = slopes.get(knobs.landscape, lambda w, t: scale * noise[t - 1])
    log, other, book = (by_hand(knobs, slope, rates, *how) for how in ((apart,), (not apart,), (False, True)))
    (path, copies), g = by_torch(knobs, slope, rates), log[0, 1].abs()  # path: (41, 2)
    theta, look = book[:, 0], book[:, 0] - b1 * book[:, 2]  # (40, 2) each
    left, root, c = 2 * prod(1 - x * decay for x in rates), rms if name == "rmsprop" else 1, max(knobs.lr_cut_at, 2) - 1
    moved, jump, start = path.diff(dim=0), book[c, 4] - log[c, 4] - 0.9 * b1 * log[c - 1, 4], log[0, 4, 0].abs()
    hover, steady, end = moved.abs().mean() / lr, knobs.lr_cut_at == 0, 1 - b1**STEPS
    first, last = log[0, 4].abs() - rates[0] * g / (root * g + EPS), log[-1, 4, 0] * (1 - b1) / (lr * scale) - end
    checks: dict[str, tuple[str, Any, bool]] = {
        "hand-is-torch": ("Forty steps by hand are torch.optim's.", log[:, 0] - path[1:], True),
        "copies": ("Its state holds 0, 1 or 2 copies.", torch.tensor(copies - HELD.get(name, b1 > 0)), True),
        "textbook": ("At a constant rate textbook momentum takes the same path.", theta - path[1:], ball and steady),
        "look-ahead": ("torch stores Nesterov's look-ahead points.", look - path[1:], name == "nesterov" and steady),
        "cut": ("At the cut the textbook steps 0.9·β1 of the last step further.", jump, ball and c > 1),
        "terminal": ("A steady gradient steps lr·g(1 − β1⁴⁰)/(1 − β1).", last, ball and flat and steady and not decay),
        "first-step": ("Adam starts with lr·g/(g + eps), RMSprop with 1/√(1 − β2) of it.", first, name not in VELOCITY),
        "decoupled": ("Without a gradient AdamW keeps 1 − lr·decay a step.", path[-1, 1] - left, apart and flat),
        "plain-sgd": ("Without momentum L2 is weight decay.", log[:, 0] - other[:, 0], ball and b1 == 0),
    }
    sizes = {id: (off.abs().max() / path.abs().max()).item() for id, (_, off, _) in checks.items()}
    claims = [identity(k, s, sizes[k], 1e-12, domain=("Other settings.", "")[on]) for k, (s, _, on) in checks.items()]
    numbers = {"first_step": start, "share": start / lr, "plain_step": lr * scale, "rms_step": lr / rms, "hover": hover}
    numbers |= {"copies": copies, "raw_step": lr * (1 - b1) / rms, "moved": moved[0, 1].abs(), "shrink": 2 * lr * decay}
    numbers |= {"last_step": moved[-1, 0].abs(), "book_ratio": book[c, 4, 0] / book[c - 1, 4, 0], "penalty": decay / 2}
    near = "the look-ahead point" if (look - path[1:]).norm() < (theta - path[1:]).norm() else "theta"
    answers = knobs.model_dump() | {key: float(value) for key, value in numbers.items()} | {"stored": near}
    kind, rival = ("L2" if apart else "decoupled", other) if decay or name not in VELOCITY else ("textbook", book)
    code = [CodeLine(code=k, value=f"{v:.6g}", quantity=k[0]) for k, v in zip(CODE, log[0, 1:, 0], strict=True)]
    says = f"{name}: first step {start:.4g}, {start / lr:.4g} × lr; the second weight ends at {path[-1, 1]:.4f}."
    figures = pictures(says, [(name, log, "measured"), (kind, rival, "second")])
    return Result(summary=says, figures=figures, claims=claims, answers=answers, code=code)
