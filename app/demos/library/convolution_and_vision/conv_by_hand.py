r"""Convolution four ways

A layer slides a kernel over the image and takes the dot product of kernel and patch, summed over the channels:
$y_{f,r,c} = \sum_{k,i,j} K_{fkij}\, x_{k,r+i,c+j}$. That is cross-correlation; mathematical convolution turns the
kernel by 180° first. Loops, `F.unfold` with one matrix product, and one sparse matrix with tied entries all give what
`F.conv2d` gives. A shifted image gives the shifted output: exactly with circular padding and stride 1, away from the
border with zeros, and nowhere when the stride does not divide the shift.
Source: Goodfellow, Bengio and Courville 2016, sections 9.1–9.3; Dumoulin and Visin 2016, section 2; torch: nn.Conv2d
"""

from itertools import product
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from app.demos.lab import Lab
from app.demos.parameters import Parameters, choice, integer, number, numbers, seed, switch
from app.demos.result import CodeLine, Heatmap, ImageGrid, Picture, Result, identity, outcome


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


def loops(x: Tensor, K: Tensor, knobs: Knobs) -> tuple[Tensor, Tensor]:
    """x is (C, n, n), K is (filters, C, 3, 3). All outputs in a row; the layer as a matrix, (outputs, C · n · n)."""
    n, start, weights, pixels = knobs.size, -(knobs.padding != "none"), K.tolist(), x.tolist()
    places, outputs, edge = range(start, n - 2 - start, knobs.stride), [], n if knobs.padding == "circular" else 2 * n
    matrix = torch.zeros(len(K) * len(places) ** 2, x.numel(), dtype=x.dtype)
    for row, (f, top, left) in enumerate(product(range(len(K)), places, places)):
        outputs.append(0.0)
        for k, i, j in product(range(len(x)), range(3), range(3)):
            r, c = (top + i) % edge, (left + j) % edge
            if r < n and c < n:  # outside there are zeros
                outputs[-1] += weights[f][k][i][j] * pixels[k][r][c]
                matrix[row, (k * n + r) * n + c] = weights[f][k][i][j]
    return torch.tensor(outputs, dtype=x.dtype), matrix


def measure(knobs: Knobs, lab: Lab) -> SimpleNamespace:
    n, s, mode = knobs.size, knobs.stride, "circular" if knobs.padding == "circular" else "constant"
    turned = [torch.tensor(knobs.kernel).double().reshape(3, 3).rot90(turn) for turn in range(knobs.filters)]
    given = torch.stack([torch.stack(turned) / (k + 1) for k in range(knobs.channels)], 1)  # (filters, C, 3, 3)
    K, ring = given.flip(-1, -2) if knobs.flip_kernel else given, [int(knobs.padding != "none")] * 4
    x = 0.1 * torch.rand(knobs.channels, n, n, generator=lab.generator(), dtype=torch.float64)
    x[:, 2 : n // 2, 3 : n - 4] += 0.8  # a bright block

    def layer(image: Tensor) -> Tensor:
        return F.conv2d(F.pad(image[None], ring, mode=mode), K, stride=s)[0]  # (filters, W, W)

    out, moved, k = layer(x), layer(x.roll(knobs.shift, -1)), knobs.shift // s
    tries = [k] if knobs.shift % s == 0 else [k, k + 1]  # a shift of the output that could match
    maps = [(moved - out.roll(k, -1)).abs().amax(0)[:, 0 if mode == "circular" else k :] for k in tries]
    gap = min(maps, key=lambda error: float(error.max()))  # (W, W), less the columns that came in from the left
    looped, matrix = loops(x, K, knobs)
    columns = F.unfold(F.pad(x[None], ring, mode=mode), 3, stride=s)[0]  # (9 C, W · W)
    wide = F.pad(given, [0, n - 3, 0, n - 3]).roll((-1, -1), (-2, -1))  # (filters, C, n, n)
    spectra = torch.fft.ifft2((torch.fft.fft2(x) * torch.fft.fft2(wide)).sum(1)).real  # (filters, n, n)
    change, added = layer(x + knobs.brightness) - out, knobs.brightness * K.sum((1, 2, 3))[:, None, None]
    line, ones = torch.eye(31)[:, None], torch.ones(1, 1, 3)  # (31, 1, 31), one lit pixel each
    field = int(F.conv1d(F.conv1d(line, ones, stride=s), ones, stride=s)[:, 0, 0].count_nonzero())  # of two layers
    count = sum(weight.numel() for weight in torch.nn.Conv2d(knobs.channels, knobs.filters, 3).parameters())
    fair = spectra if spectra.shape == out.shape else out
    errors = {"loops": looped - out.flatten(), "matrix": matrix @ x.flatten() - out.flatten(), "spectra": fair - out}
    errors |= {"unfold": K.flatten(1) @ columns - out.flatten(1), "constant": (change - added)[:, 1:-1, 1:-1]}
    errors |= {"shifts": gap, "border": gap[:, 1:-1], "turn": K - K.flip(-1, -2)}
    off = {name: float(error.abs().max()) if error.numel() else 0.0 for name, error in errors.items()}
    return SimpleNamespace(**locals())


def run(knobs: Knobs, lab: Lab) -> Result:
    m, s, n, padding = measure(knobs, lab), knobs.stride, knobs.size, knobs.padding
    whole, W = knobs.shift % s == 0, len(m.out[0])
    inside = "away from the border" if whole and m.off["border"] < 1e-9 else "nowhere"
    where = "everywhere" if m.off["shifts"] < 1e-9 else inside
    wraps = whole and padding == "circular" and n % s == 0
    facts = {
        "loops": ("The loops give what F.conv2d gives.", True),
        "matrix": ("So does one matrix that repeats the kernel's weights.", True),
        "unfold": ("So does F.unfold with one matrix product.", True),
        "constant": ("Inside, brightness b adds b times the sum of the weights.", True),
        "shifts": ("A shifted image gives the shifted output.", wraps or (whole and padding == "none")),
        "border": ("With zeros it does so away from the border.", whole and padding == "zero"),
        "spectra": ("Flipped, it is a product of spectra.", wraps and s == 1 and knobs.flip_kernel),
    }
    gap, why = m.off["shifts"], "It does not speak of this padding, stride or kernel."
    claims = [identity(k, says, m.off[k], 1e-12, domain="" if ok else why) for k, (says, ok) in facts.items()]
    odd = "" if not whole and any(knobs.kernel) else why
    claims += [outcome("stride", "Between two strides no shift of the output fits.", gap, 0, gap > 1e-6, domain=odd)]
    a: dict[str, Any] = {"where": where, "side": W, "divided": n // s, "field": m.field, "forgot_one": W - 1}
    a |= {"parameters": m.count, "without_bias": m.count - knobs.filters, "one_channel": knobs.filters * 10}
    a |= {"pixels": n * n, "twice_border": 8 * knobs.brightness, "copies": m.columns.numel() / m.x.numel()}
    a |= {"entries": m.matrix.numel(), "used": int(m.matrix.count_nonzero()), "wrapped": m.off["shifts"] * wraps}
    a |= {"border_change": float(m.change.abs().max()), "agreeing": any(knobs.kernel) and m.off["turn"] == 0}
    said = f"A shift of {knobs.shift} with stride {s} and padding {padding}: the output just shifts {where}."
    seen = {"image": m.x, "output": m.out, "output of the shifted image": m.moved}
    images = [Picture(label=label, pixels=tensor[0].tolist()) for label, tensor in seen.items()]
    names, corner, used = [str(i) for i in range(24)], m.matrix[:24, :24], f"{a['used']} of {a['entries']} are not 0."
    missed = {"rows": names[:W], "columns": names[W - len(m.gap[0]) : W], "values": m.gap.tolist(), "alt": said}
    dense = {"rows": names[: len(corner)], "columns": names, "values": corner.tolist(), "alt": used}
    figures = (
        ImageGrid(id="images", title="What the layer sees and returns", alt=said, images=images),
        Heatmap(id="gap", title="Where the output did more than shift", **missed),
        Heatmap(id="matrix", title="A corner of the layer as one matrix", palette="diverging", **dense),
    )
    code = {"y[f, r, c] += K[f, k, i, j] * x[k, r + i, c + j]": "loops", "K.flatten(1) @ F.unfold(x, 3)": "unfold"}
    ran = [CodeLine(code=line, value=f"differs from F.conv2d by {m.off[name]:.1e}") for line, name in code.items()]
    return Result(summary=said, figures=figures, claims=claims, answers=a, code=ran)
