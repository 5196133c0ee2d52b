r"""Optimiser updates, line by line

Momentum sums gradients, $m \leftarrow \beta_1 m + g$, and steps $\eta m$: up to $\eta g/(1-\beta_1)$ on a steady slope.
Textbooks put $\eta$ inside the sum, and let Nesterov take its gradient at a look-ahead point, which PyTorch stores.
Adam divides a mean of gradients by the root of a mean of their squares, both corrected for their start at zero: its
first step is $\eta$ if $g \gg \epsilon$. L2 adds $\lambda w$ to the gradient; AdamW shrinks $w$ by $1-\eta\lambda$.
Source: Sutskever et al. 2013; Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2; torch.optim
"""

from typing import Any, Literal

import torch
from torch import Tensor, optim

from app.demos import result
from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, seed
from app.demos.result import Axis, Claim, CodeLine, Lines, Region, Result, Series, identity

STEPS, EPS = 40, 1e-8
START, CURVATURE, FIRST = torch.tensor([[-2.0, 2.0], [1.0, 10.0], [1.0, 0.0]], dtype=torch.float64)
COLOURS: tuple[Any, ...] = ("measured", "second", "third")
KEPT = {"momentum": "m", "nesterov": "m", "adam": "mv", "adamw": "mv", "rmsprop": "v"}  # the state of each
VELOCITY = {"momentum": ("m = b1 * m + g", "step = lr * m"), "nesterov": ("m = b1 * m + g", "step = lr * (g + b1 * m)")}
MEANS = ("m = b1 * m + (1 - b1) * g", "v = b2 * v + (1 - b2) * g * g")
ADAM = (*MEANS, "mean = m / (1 - b1**t)", "root = (v / (1 - b2**t)).sqrt()", "step = lr * mean / (root + EPS)")
RMSPROP = (MEANS[1], "root = v.sqrt()", "step = lr * g / (root + EPS)")


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


def slope_of(knobs: Knobs, lab: Lab) -> Any:
    """A function of the weights (2,) and the step 1 to 40 that returns the gradient (2,)."""
    if knobs.landscape == "ravine":
        return lambda w, t: CURVATURE * w  # the loss is (w1² + 10 w2²) / 2
    noise = torch.randn(STEPS, 2, generator=lab.generator(), dtype=torch.float64)
    gradients = knobs.gradient_scale * (FIRST.expand(STEPS, 2) if knobs.landscape == "constant" else noise)
    return lambda w, t: gradients[t - 1]


def by_hand(knobs: Knobs, slope: Any, rates: list[float], decoupled: bool, corrected: bool) -> dict[str, Tensor]:
    name, b2, decay = knobs.optimizer, knobs.beta2, knobs.weight_decay
    b1 = 0 if name == "rmsprop" else knobs.beta1  # RMSprop keeps no mean of gradients
    w, m, v, mean, root, rows = START, 0 * START, 0 * START, START, START, []
    for t, lr in enumerate(rates, 1):
        g = slope(w, t) if decoupled else slope(w, t) + decay * w
        if name in VELOCITY:
            m = b1 * m + g
            step = lr * (g + b1 * m) if name == "nesterov" else lr * m
        else:
            m = b1 * m + (1 - b1) * g
            v = b2 * v + (1 - b2) * g * g
            mean = m / (1 - b1**t) if corrected else m
            root = (v / (1 - b2**t)).sqrt() if corrected else v.sqrt()
            step = lr * mean / (root + EPS)
        w = (1 - lr * decay) * w - step if decoupled else w - step
        rows.append({"w": w, "g": g, "m": m, "v": v, "mean": mean, "root": root, "step": step})
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}  # (40, 2) each


def textbook(knobs: Knobs, slope: Any, rates: list[float]) -> dict[str, Tensor]:
    """The rate stands inside the velocity, and Nesterov takes its gradient ahead of the weights."""
    theta, velocity, rows = START, 0 * START, []
    for t, lr in enumerate(rates, 1):
        at = theta - knobs.beta1 * velocity if knobs.optimizer == "nesterov" else theta
        velocity = knobs.beta1 * velocity + lr * (slope(at, t) + knobs.weight_decay * at)
        theta = theta - velocity
        rows.append(torch.stack([theta, velocity, theta - knobs.beta1 * velocity]))
    return dict(zip(("w", "step", "ahead"), torch.stack(rows, dim=1), strict=True))


def by_torch(knobs: Knobs, slope: Any, rates: list[float]) -> tuple[Tensor, int]:
    """The path (41, 2) from the start on, and how many copies of the weights the state holds."""
    name, b1, w = knobs.optimizer, knobs.beta1, torch.nn.Parameter(START.clone())
    more: dict[str, Any] = {"alpha": knobs.beta2} if name == "rmsprop" else {"betas": (b1, knobs.beta2)}
    if name in VELOCITY:
        more = {"momentum": b1, "nesterov": name == "nesterov" and b1 > 0}
    kind = {"adam": optim.Adam, "adamw": optim.AdamW, "rmsprop": optim.RMSprop}.get(name, optim.SGD)
    optimizer, path = kind([w], lr=knobs.lr, weight_decay=knobs.weight_decay, foreach=False, **more), [START]
    for t, lr in enumerate(rates, 1):
        optimizer.param_groups[0]["lr"], w.grad = lr, slope(w.detach(), t)
        optimizer.step()
        path.append(w.detach().clone())
    state = [kept.numel() for kept in optimizer.state[w].values() if kept is not None and kept.dim()]
    return torch.stack(path), sum(state) // w.numel()


def draw_plane(knobs: Knobs, drawn: dict[str, dict[str, Tensor]]) -> result.Field2d:
    series, regions, turn = [], [], torch.linspace(0, 6.2832, 49)
    for (name, way), colour in zip(drawn.items(), COLOURS, strict=False):
        x, y = torch.cat([START[None], way["w"]]).T.tolist()
        series.append(Series(name=name, x=x, y=y, meaning=colour, quantity="w", style="line+points"))
    for loss in (0.2, 1, 4) if knobs.landscape == "ravine" else ():
        x, y = (torch.stack([turn.cos(), turn.sin()]) * (2 * loss / CURVATURE).sqrt()[:, None]).tolist()
        regions.append(Region(label=f"loss {loss}", x=x, y=y))
    says = "From (−2, 2): " + "; ".join(f"{k} to ({v['w'][-1, 0]:.3f}, {v['w'][-1, 1]:.3f})" for k, v in drawn.items())
    look: Any = {"title": "Forty steps of both weights", "alt": says, "caption": says, "square": False}
    x_axis, y_axis = Axis(name="first weight"), Axis(name="second weight")
    return result.Field2d(id="paths", x=x_axis, y=y_axis, series=series, regions=regions, **look)


def draw_trace(id: str, title: str, y: str, drawn: dict[str, Tensor], *quantities: str) -> Lines:
    series, t = [], range(1, STEPS + 1)
    for (name, values), colour, link in zip(drawn.items(), COLOURS, quantities, strict=False):
        series.append(Series(name=name, x=t, y=values.tolist(), meaning=colour, quantity=link))
    says = "After steps 1 and 40: " + "; ".join(f"{k} {v[0]:.4g} and {v[-1]:.4g}" for k, v in drawn.items())
    return Lines(id=id, title=title, alt=says, caption=says, x=Axis(name="step"), y=Axis(name=y), series=series)


def draw_copies(knobs: Knobs, slope: Any) -> result.TableFigure:
    copies = {name: by_torch(knobs.model_copy(update={"optimizer": name}), slope, [knobs.lr])[1] for name in KEPT}
    rows = [(name, count, " and ".join(KEPT[name][:count])) for name, count in copies.items()]
    says = ", ".join(f"{name} keeps {count}" for name, count in copies.items())
    heads, title = ("optimizer", "copies", "which"), "What stays between two steps"
    return result.TableFigure(id="copies", title=title, alt=f"{says}.", columns=heads, rows=rows)


def check(knobs: Knobs, path: Tensor, copies: int, rates: list[float], hand: Any, other: Any, book: Any) -> list[Claim]:
    name, b1, g, cut = knobs.optimizer, knobs.beta1, hand["g"][0].abs(), max(knobs.lr_cut_at, 2) - 1
    apart, theta, look = hand["w"] - path[1:], book["w"] - path[1:], book["ahead"] - path[1:]
    jump = book["step"][cut] - hand["step"][cut] - 0.9 * b1 * hand["step"][cut - 1]
    held = len(KEPT[name]) * (name not in VELOCITY or b1 > 0)
    root = (1 - knobs.beta2) ** 0.5 if name == "rmsprop" else 1
    first = hand["step"][0].abs() - rates[0] * g / (root * g + EPS)
    last = hand["step"][-1, 0] * (1 - b1) / (knobs.lr * knobs.gradient_scale) - (1 - b1**STEPS)
    left = path[-1, 1] - START[1] * (1 - knobs.weight_decay * torch.tensor(rates, dtype=torch.float64)).prod()
    plain = "This is about momentum without look-ahead." * (name != "momentum")
    ahead, adamw = "Only Nesterov looks ahead." * (name != "nesterov"), "Only AdamW decays apart." * (name != "adamw")
    steady = "The rate is cut, which the textbook's velocity feels late." * (knobs.lr_cut_at > 0)
    flat = "Here the gradient changes along the way." * (knobs.landscape != "constant")
    pure, is_cut = "The decay is added to the gradient." * (knobs.weight_decay > 0), "No cut on the way." * (cut == 1)
    scaled, forgets = "SGD keeps the gradient's scale." * (name in VELOCITY), "Velocity keeps old L2 terms." * (b1 > 0)
    gaps: dict[str, tuple[str, Any, str, str]] = {
        "hand-is-torch": ("Forty steps by hand are torch.optim's.", apart, "w", ""),
        "copies": ("Its state holds 0, 1 or 2 copies.", copies - held, "copies", ""),
        "textbook": ("At a constant rate textbook momentum takes the same path.", theta, "w", plain or steady),
        "look-ahead": ("torch stores Nesterov's look-ahead points.", look, "w", ahead or steady),
        "cut": ("At the cut the textbook steps 0.9·β1 of the last step further.", jump, "step", plain or is_cut),
        "terminal": ("A steady gradient steps lr·g(1 − β1⁴⁰)/(1 − β1).", last, "step", plain or flat or steady or pure),
        "first-step": ("Adam starts with lr·g/(g + eps), RMSprop with 1/√(1 − β2) of it.", first, "step", scaled),
        "decoupled": ("Without a gradient AdamW keeps 1 − lr·decay a step.", left, "w", adamw or flat),
        "plain-sgd": ("Without momentum L2 is weight decay.", hand["w"] - other["w"], "w", plain or forgets),
    }
    sizes = {id: float(torch.as_tensor(gap).abs().max() / path.abs().max()) for id, (_, gap, _, _) in gaps.items()}
    return [identity(k, says, sizes[k], 1e-12, domain=why, quantity=link) for k, (says, _, link, why) in gaps.items()]


def measure(knobs: Knobs, path: Tensor, copies: int, hand: Any, book: Any) -> dict[str, Any]:
    lr, b1, g, decay, rms = knobs.lr, knobs.beta1, knobs.gradient_scale, knobs.weight_decay, (1 - knobs.beta2) ** 0.5
    moved, start, cut = path.diff(dim=0), hand["step"][0, 0].abs(), max(knobs.lr_cut_at, 2) - 1
    v, theta, uncorrected = book["step"][:, 0], book["step"][0, 0].abs(), lr * g / (rms * g + EPS)
    values = {"first_step": start, "share": start / lr, "hover": moved.abs().mean() / lr, "copies": copies}
    values |= {"moved": moved[0, 1].abs(), "last_step": moved[-1, 0].abs(), "summed": STEPS * lr * g}
    values |= {"raw_step": (1 - b1) * uncorrected, "rms_step": uncorrected, "unrooted": lr / (1 - knobs.beta2)}
    values |= {"theta_step": theta, "ahead_step": b1 * theta, "terminal_step": theta / (1 - b1), "plain_step": lr * g}
    values |= {"shrink": 2 * lr * decay, "penalty": decay / 2, "doubled": 2 * decay, "book_ratio": v[cut] / v[cut - 1]}
    near = "the look-ahead point" if (book["ahead"] - path[1:]).norm() < (book["w"] - path[1:]).norm() else "theta"
    return knobs.model_dump() | {key: float(value) for key, value in values.items()} | {"stored": near}


def run(knobs: Knobs, lab: Lab) -> Result:
    name, decoupled, corrected = knobs.optimizer, knobs.optimizer == "adamw", knobs.optimizer != "rmsprop"
    slope, cut_at = slope_of(knobs, lab), knobs.lr_cut_at or STEPS + 1
    rates = [knobs.lr if t < cut_at else knobs.lr / 10 for t in range(1, STEPS + 1)]
    hand, other = (by_hand(knobs, slope, rates, way, corrected) for way in (decoupled, not decoupled))
    book, (path, copies) = textbook(knobs, slope, rates), by_torch(knobs, slope, rates)
    label, rival = "textbook", book
    if knobs.weight_decay:
        label, rival = "L2" if decoupled else "decoupled", other
    elif name not in VELOCITY:
        label = "uncorrected" if corrected else "corrected"
        rival = by_hand(knobs, slope, rates, decoupled, not corrected)
    both, state = {name: hand, label: rival}, {"g": hand["g"], "m": hand["m"], "√v": hand["v"].sqrt()}
    kept = {key: values[:, 0] for key, values in state.items() if key[-1] in "g" + KEPT[name]}
    sizes = {key: way["step"][:, 0] for key, way in both.items()}
    seconds = {key: way["w"][:, 1] for key, way in both.items()}
    figures = (
        draw_plane(knobs, both),
        draw_trace("steps", "Steps of the first weight", "step, subtracted", sizes, "step", "step"),
        draw_trace("updates", "Gradient and state of the first weight", "value", kept, *(key[-1] for key in kept)),
        draw_trace("second", "The second weight", "second weight", seconds, "w", "w"),
        draw_copies(knobs, slope),
    )
    to_g, to_w = ("", "(1 - lr * decay) * w") if decoupled else (" + decay * w", "w")
    lines = (f"g = slope(w, t){to_g}", *VELOCITY.get(name, ADAM if corrected else RMSPROP), f"w = {to_w} - step")
    code = [CodeLine(code=k, value=f"{hand[k.split()[0]][0, 0]:.6g}", quantity=k.split()[0]) for k in lines]
    answers = measure(knobs, path, copies, hand, book)
    says = f"{name}: first step {answers['share']:.4g} × lr; the second weight ends at {path[-1, 1]:.4f}."
    claims = check(knobs, path, copies, rates, hand, other, book)
    return Result(summary=says, figures=figures, claims=claims, answers=answers, code=code)
