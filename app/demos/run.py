"""The runner that a worker imports: a registered demonstration, or a claim's few lines, with JSON in and out."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable
from typing import Any

import torch
from pydantic import ValidationError

from app.demos import registry
from app.demos.lab import Cancelled, Lab
from app.demos.parameters import Parameters
from app.demos.result import Result, dump
from app.errors import AppError, BadInput, Unavailable

Emit = Callable[[dict[str, Any]], None]


def run_job(name: str, params: dict[str, Any], seed: int, emit: Emit, cancelled: Callable[[], bool]) -> dict[str, Any]:
    """Runs one job. ``name`` is a demo's slug, or "claim" with ``{"code": ...}``."""
    if name == "claim":
        return run_claim(str(params["code"]), seed)
    return dump(run_demo(name, params, emit, cancelled))


def run_demo(
    slug: str, params: dict[str, Any], emit: Emit = lambda _: None, cancelled: Callable[[], bool] = lambda: False
) -> Result:
    """Validates the knobs with the demo's own class and runs it. Raises NotFound or BadInput."""
    demo = registry.demo(slug)
    try:
        knobs = demo.knobs.model_validate(params)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.", where=slug) from error
    lab = Lab(
        getattr(knobs, "seed", 0), device="cuda" if torch.cuda.is_available() else "cpu", emit=emit, cancelled=cancelled
    )
    result = _run(demo, knobs, lab)
    return result.model_copy(update={"versions": versions(lab) | {"demo": demo.version}})


def _run(demo: registry.Demo, knobs: Parameters, lab: Lab) -> Result:
    """The border of a demonstration: what it did not foresee is told as its fault, not as the asker's."""
    try:
        return demo.run(knobs, lab)
    except (Cancelled, MemoryError, AppError):
        raise
    except Exception as error:
        if "can't allocate memory" in str(error):
            raise
        says = f"“{demo.title}” failed with these knobs ({type(error).__name__}). Try others; nothing of yours is lost."
        raise Unavailable(says, where=demo.slug) from error


def versions(lab: Lab) -> dict[str, str]:
    return {
        "torch": torch.__version__,
        "device": lab.device.type,
        "threads": str(torch.get_num_threads()),
        "seed": str(lab.seed),
        "default dtype": str(torch.get_default_dtype()).removeprefix("torch."),
    }


def run_claim(code: str, seed: int) -> dict[str, Any]:
    """Executes an author's lines, which set ``measured`` and ``holds``; meant for a fresh confined worker only."""
    lab = Lab(seed)
    scope: dict[str, Any] = {"torch": torch, "math": math, "nn": torch.nn, "F": torch.nn.functional}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, "claim", "exec"), scope)
    if "holds" not in scope or "measured" not in scope:
        raise BadInput("A claim's code must set `measured` and `holds`.")
    holds = scope["holds"]
    held = {str(name): bool(value) for name, value in holds.items()} if isinstance(holds, dict) else bool(holds)
    return {"holds": held, "measured": _plain(scope["measured"]), "versions": versions(lab)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in list(value.items())[:100]}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value[:100]]
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool | int | float):
        return value if not isinstance(value, float) or math.isfinite(value) else str(value)
    return str(value)[:200]


def warm_first() -> dict[str, str]:
    """Loads what most demonstrations touch: one thread, autograd, attention. Returns the versions that are shown."""
    torch.set_num_threads(1)
    layer = torch.nn.Linear(4, 4)
    layer(torch.randn(2, 4)).sum().backward()
    query = torch.randn(1, 1, 4, 4)
    torch.nn.functional.scaled_dot_product_attention(query, query, query)
    return {"torch": torch.__version__}


def warm_rest() -> dict[str, str]:
    """The slow rest: the first optimiser step imports a compiler (about a second); every demo's module is imported."""
    layer = torch.nn.Linear(4, 4)
    layer(torch.randn(2, 4)).sum().backward()
    torch.optim.Adam(layer.parameters()).step()
    for slug in registry.slugs():
        registry.demo(slug)
    return {"torch": torch.__version__}
