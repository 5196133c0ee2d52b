"""Which engine this installation runs, from its settings."""

from __future__ import annotations

import importlib.util

from app.errors import SetupError
from app.pool.embedded import EmbeddedEngine
from app.pool.engine import Engine
from app.pool.off import OffEngine
from app.settings import Settings

RUNNER = "app.demos.run:run_job"
WARM_UP = ("app.demos.run:warm_first", "app.demos.run:warm_rest")
SETTING_UP = "The lab is being set up: cards can be studied, demos show stored pictures until the workers are ready."


def engine(settings: Settings) -> Engine:
    """The embedded pool, or one that refuses with the reason."""
    if not settings.pool:
        return OffEngine("The pool is switched off here; pictures are stored ones.")
    try:
        return EmbeddedEngine(
            RUNNER,
            warmup=WARM_UP,
            workers=settings.workers,
            memory_mb=settings.worker_memory_mb,
            queue_limit=settings.queue_limit,
            runs_per_worker=settings.runs_per_worker,
            unconfined=settings.unconfined,
            gpus=settings.gpus,
        )
    except SetupError as error:
        return OffEngine(error.says)


def has_torch() -> bool:
    """Without importing it."""
    return importlib.util.find_spec("torch") is not None
