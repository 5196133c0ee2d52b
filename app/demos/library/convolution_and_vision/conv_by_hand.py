r"""Convolution four ways

A layer slides a kernel over the image and takes the dot product of kernel and patch, summed over the channels: with
stride 1, $y_{f,r,c} = \sum_{k,i,j} K_{fkij}\, x_{k,r+i,c+j}$. That is cross-correlation; mathematical convolution turns
the kernel by 180° first. Loops, `F.unfold` with one matrix product, and one sparse matrix with tied entries all give
what `F.conv2d` gives. A shifted image gives the shifted output: exactly with circular padding and stride 1, away from
the border with zeros, and in general nowhere when the stride does not divide the shift.
Source: Goodfellow et al. 2016, sections 9.1 and 9.2; Dumoulin and Visin 2016, section 2; torch: nn.Conv2d
"""

from itertools import product
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, numbers, seed, switch
from app.demos.result import Claim, CodeLine, Heatmap, ImageGrid, Picture, Result, identity, outcome

ABOUT = {"shifts": "gap", "border": "gap", "constant": "added"}  # a claim's quantity, else its own name


class Knobs(Parameters):
    kernel: tuple[float, ...] = numbers((-1, 0, 1, -2, 0, 2, -1, 0, 1), -2, 2, step=0.25, columns=3, help="The filter.")
    padding: Literal["none", "zero", "circular"] = choice("zero", help="One ring around the image, or none.")
    stride: int = integer(1, 1, 3, help="Step of the kernel.", unit="pixels")
    shift: int = integer(2, 0, 4, help="The image is rolled to the right by this.", unit="pixels")
    flip_kernel: bool = switch(False, help="Turn the kernel by 180°: mathematical convolution.", more=True)
    size: int = integer(12, 10, 16, help="Height and width of the image.", unit="pixels", more=True)
    channels: int = integer(1, 1, 3, help="Channels of the image.", more=True)
    filters: int = integer(1, 1, 4, help="Filters; each is the one before turned by 90°.", more=True)
    brightness: float = number(0.5, 0, 2, step=0.25, help="Added to every pixel, to see what changes.", more=True)
    seed: int = seed()


def inputs(knobs: Knobs, lab: Lab) -> tuple[Tensor, Tensor]:
    """The image, (C, n, n), and the kernels before any flip, (filters, C, 3, 3)."""
    n, first = knobs.size, torch.tensor(knobs.kernel).double().reshape(3, 3)
    filters = torch.stack([first.rot90(turn) for turn in range(knobs.filters)])  # (filters, 3, 3)
    x = 0.1 * torch.rand(knobs.channels, n, n, generator=lab.generator(), dtype=torch.float64)
    x[:, 2 : n // 2, 3 : n - 4] += 0.8  # a bright block
    return x, torch.stack([filters / (channel + 1) for channel in range(knobs.channels)], 1)


def pad(x: Tensor, knobs: Knobs) -> Tensor:
    """(C, n, n) becomes (1, C, n + 2, n + 2), or (1, C, n, n) without padding."""
    ring = [int(knobs.padding != "none")] * 4
    return F.pad(x[None], ring, mode="circular" if knobs.padding == "circular" else "constant")


def layer(x: Tensor, K: Tensor, knobs: Knobs) -> Tensor:
    """What torch returns, (filters, W, W)."""
    return F.conv2d(pad(x, knobs), K, stride=knobs.stride)[0]


def loops(x: Tensor, K: Tensor, knobs: Knobs) -> tuple[Tensor, Tensor]:
    """All outputs in a row, (filters · W · W,), and the layer as a matrix, (filters · W · W, C · n · n)."""
    n, weights, pixels = knobs.size, K.tolist(), x.tolist()
    start = 0 if knobs.padding == "none" else -1  # the first corner lies on the ring
    places = range(start, n - 2 - start, knobs.stride)
    wrap = n if knobs.padding == "circular" else 2 * n  # 2 n leaves indices outside the image outside
    outputs = [0.0] * (len(K) * len(places) ** 2)
    matrix = torch.zeros(len(outputs), x.numel(), dtype=x.dtype)
    for row, (f, top, left) in enumerate(product(range(len(K)), places, places)):
        for k, i, j in product(range(len(x)), range(3), range(3)):
            r, c = (top + i) % wrap, (left + j) % wrap
            if r < n and c < n:  # outside there are zeros
                outputs[row] += weights[f][k][i][j] * pixels[k][r][c]
                matrix[row, (k * n + r) * n + c] = weights[f][k][i][j]
    return torch.tensor(outputs, dtype=x.dtype), matrix


def product_of_spectra(x: Tensor, given: Tensor) -> Tensor:
    """The mathematical convolution on a ring, (filters, n, n)."""
    n = x.shape[-1]
    wide = F.pad(given, [0, n - 3, 0, n - 3]).roll((-1, -1), (-2, -1))  # (filters, C, n, n), its middle at (0, 0)
    convolved: Tensor = torch.fft.ifft2((torch.fft.fft2(x) * torch.fft.fft2(wide)).sum(1)).real
    return convolved


def shift_gap(out: Tensor, moved: Tensor, knobs: Knobs) -> Tensor:
    """Where ``moved``, of the shifted image, is not ``out`` shifted: (W, W), less columns that came in at the left."""
    whole_steps = knobs.shift // knobs.stride
    tries = [whole_steps] if knobs.shift % knobs.stride == 0 else [whole_steps, whole_steps + 1]
    misses = [(step, (moved - out.roll(step, -1)).abs().amax(0)) for step in tries]  # (W, W) each
    gaps = [miss if knobs.padding == "circular" else miss[:, step:] for step, miss in misses]
    return min(gaps, key=lambda gap: float(gap.max()))  # the shift of the output that fits best


def field_of_two(stride: int) -> int:
    """Pixels of a line that reach the first output of the second layer."""
    pixels, ones = torch.eye(31)[:, None], torch.ones(1, 1, 3)  # (31, 1, 31): one lit pixel each
    once = F.conv1d(pixels, ones, stride=stride)
    return int(F.conv1d(once, ones, stride=stride)[:, 0, 0].count_nonzero())


def largest(error: Tensor) -> float:
    return float(error.abs().max()) if error.numel() else 0.0


class Measured(NamedTuple):
    x: Tensor  # (C, n, n)
    out: Tensor  # (filters, W, W)
    moved: Tensor  # (filters, W, W), of the shifted image
    gap: Tensor  # (W, at most W)
    matrix: Tensor  # (filters · W · W, C · n · n)
    off: dict[str, float]  # largest error of each way
    change: Tensor  # (filters, W, W), of the brighter image less ``out``
    copies: float  # numbers in the columns of F.unfold over numbers in the image
    where: str  # the output just shifts


def measure(knobs: Knobs, lab: Lab) -> Measured:
    x, given = inputs(knobs, lab)
    K = given.flip(-1, -2) if knobs.flip_kernel else given
    out, moved = layer(x, K, knobs), layer(x.roll(knobs.shift, -1), K, knobs)
    looped, matrix = loops(x, K, knobs)
    columns = F.unfold(pad(x, knobs), 3, stride=knobs.stride)[0]  # (9 C, W · W)
    spectra, gap = product_of_spectra(x, given), shift_gap(out, moved, knobs)
    change = layer(x + knobs.brightness, K, knobs) - out
    added = knobs.brightness * K.sum((1, 2, 3))[:, None, None]  # (filters, 1, 1)
    errors = {"loops": looped - out.flatten(), "matrix": matrix @ x.flatten() - out.flatten()}
    errors |= {"unfold": K.flatten(1) @ columns - out.flatten(1), "constant": (change - added)[:, 1:-1, 1:-1]}
    errors |= {"shifts": gap, "border": gap[:, 1:-1], "turn": K - K.flip(-1, -2)}
    errors |= {"spectra": spectra - out if spectra.shape == out.shape else torch.zeros(1)}  # else out of its domain
    off = {name: largest(error) for name, error in errors.items()}
    where = "away from the border" if knobs.shift % knobs.stride == 0 and off["border"] < 1e-9 else "nowhere"
    where = "everywhere" if off["shifts"] < 1e-9 else where
    return Measured(x, out, moved, gap, matrix, off, change, columns.numel() / x.numel(), where)


def wraps(knobs: Knobs) -> bool:
    """The image is a ring, and the stride goes round it in whole steps, as the shift does."""
    return knobs.padding == "circular" and knobs.shift % knobs.stride == 0 and knobs.size % knobs.stride == 0


def settle(knobs: Knobs, off: dict[str, float]) -> list[Claim]:
    whole, ring, gap = knobs.shift % knobs.stride == 0, wraps(knobs), off["shifts"]
    exact = "" if ring or (whole and knobs.padding == "none") else "A border of zeros or the stride is in the way."
    zero = "" if whole and knobs.padding == "zero" else "It is about zero padding and a shift of whole strides."
    fourier = "" if ring and knobs.stride == 1 and knobs.flip_kernel else "Spectra need a ring, stride 1 and the flip."
    odd = "" if not whole and any(knobs.kernel) else "The shift is a whole number of strides, or the kernel is 0."
    facts = {
        "loops": ("The loops give what F.conv2d gives.", ""),
        "matrix": ("One matrix that repeats the kernel's weights gives it too.", ""),
        "unfold": ("So does F.unfold with one matrix product.", ""),
        "constant": ("Inside, brightness b adds b times the sum of the weights.", ""),
        "shifts": ("A shifted image gives the shifted output.", exact),
        "border": ("With zero padding it does so away from the border.", zero),
        "spectra": ("With the flipped kernel it is a product of spectra.", fourier),
    }
    claims = [identity(k, says, off[k], 1e-12, domain=d, quantity=ABOUT.get(k, k)) for k, (says, d) in facts.items()]
    never = "Between two strides no shift of the output fits."
    return [*claims, outcome("stride", never, gap, 0, gap > 1e-6, domain=odd, quantity="gap")]


def draw(knobs: Knobs, m: Measured) -> tuple[ImageGrid, Heatmap, Heatmap]:
    W, n, gap = len(m.out[0]), knobs.size, m.off["shifts"]
    seen = {"image": m.x, "output": m.out, "of the shifted": m.moved, "brightness": m.change}
    images = [Picture(label=label, pixels=tensor[0].tolist()) for label, tensor in seen.items()]
    views = f"A bright block on {n} × {n} pixels, its {W} × {W} output, that after a shift by {knobs.shift},"
    views += f" and what {knobs.brightness:g} more brightness adds to the output: at most {largest(m.change):.3g}."
    missed = f"The output of the shifted image is off the shifted output by up to {gap:.3g}; it follows {m.where}."
    used = f"{int(m.matrix.count_nonzero())} of {m.matrix.numel()} entries are not 0; shown are the first 24 × 24."
    names, corner = [str(i) for i in range(24)], m.matrix[:24, :24]
    cells: dict[str, Any] = {"rows": names[:W], "columns": names[W - len(m.gap[0]) : W], "values": m.gap.tolist()}
    dense: dict[str, Any] = {"rows": names[: len(corner)], "columns": names, "values": corner.tolist()}
    cells |= {"row_name": "row", "column_name": "column", "quantity": "gap"}
    dense |= {"row_name": "output", "column_name": "pixel", "quantity": "matrix", "palette": "diverging"}
    pictures = ImageGrid(id="images", title="What the layer sees and returns", alt=views, caption=views, images=images)
    more = Heatmap(id="gap", title="Where the output did more than shift", alt=missed, caption=missed, **cells)
    title = "A corner of the layer as one matrix"
    return pictures, more, Heatmap(id="matrix", title=title, alt=used, caption=used, **dense)


def answer(knobs: Knobs, m: Measured) -> dict[str, Any]:
    W, n = len(m.out[0]), knobs.size
    count = sum(weight.numel() for weight in torch.nn.Conv2d(knobs.channels, knobs.filters, 3).parameters())
    a: dict[str, Any] = {"where": m.where, "side": W, "divided": n // knobs.stride, "forgot_one": W - 1}
    a |= {"parameters": count, "without_bias": count - knobs.filters, "one_channel": knobs.filters * 10}
    a |= {"entries": m.matrix.numel(), "used": int(m.matrix.count_nonzero()), "pixels": n * n, "copies": m.copies}
    a |= {"border_change": largest(m.change), "twice_border": 8 * knobs.brightness, "field": field_of_two(knobs.stride)}
    return a | {"wrapped": m.off["shifts"] * wraps(knobs), "agreeing": any(knobs.kernel) and m.off["turn"] == 0}


def run(knobs: Knobs, lab: Lab) -> Result:
    m = measure(knobs, lab)
    by = {name: f"differs from F.conv2d by {error:.2g}" for name, error in m.off.items()}
    rows = [("p = pad(x)", knobs.padding, "pad")] + [("K = K.flip(-1, -2)", "180°", "turn")] * knobs.flip_kernel
    rows += [("y[f, r, c] += K[f, k, i, j] * p[k, s * r + i, s * c + j]", by["loops"], "loops")]
    rows += [("columns = F.unfold(p, 3, stride=s)", f"{m.copies:.4g} times the image's numbers", "columns")]
    rows += [("y = K.flatten(1) @ columns", by["unfold"], "unfold"), ("y = M @ x.flatten()", by["matrix"], "matrix")]
    rows += [("gap = (layer(x.roll(d)) - y.roll(t)).abs()", f"up to {m.off['shifts']:.3g}", "gap")]
    rows += [("added = layer(x + b) - y", f"up to {largest(m.change):.3g}", "added")]
    code = [CodeLine(code=line, value=value, quantity=quantity) for line, value, quantity in rows]
    said = f"Shift {knobs.shift}, stride {knobs.stride}, padding {knobs.padding}: the output follows {m.where}."
    a, claims = answer(knobs, m), settle(knobs, m.off)
    return Result(summary=said, figures=draw(knobs, m), claims=claims, answers=a, code=code)
