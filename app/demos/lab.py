"""What a demonstration is handed: the device, a seeded generator, and a way to report while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from app.demos.result import Drawn, dump, finite


class Cancelled(Exception):
    """The learner left or moved on; the worker reports nothing more."""

    says = "The run was cancelled."


class Lab:
    """``frame`` draws a stream's pictures, ``progress`` says how far a run is; both end a cancelled run."""

    def __init__(
        self,
        seed: int,
        device: str = "cpu",
        emit: Callable[[dict[str, Any]], None] = lambda _: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.seed = seed
        self.device = torch.device(device)
        self._emit = emit
        self._cancelled = cancelled
        torch.default_generator.manual_seed(seed)

    def generator(self, offset: int = 0) -> torch.Generator:
        """A CPU generator of its own: draws from it do not disturb the default one."""
        made = torch.Generator()
        made.manual_seed(self.seed * 1000 + offset)
        return made

    def progress(self, done: int, total: int, **values: float) -> None:
        self._stop_if_cancelled()
        self._emit({"done": done, "total": total, "values": finite(values)})

    def frame(self, figures: Sequence[Drawn], done: int = 0, total: int = 0) -> None:
        self._stop_if_cancelled()
        self._emit({"done": done, "total": total, "figures": [dump(figure) for figure in figures]})

    def _stop_if_cancelled(self) -> None:
        if self._cancelled():
            raise Cancelled
