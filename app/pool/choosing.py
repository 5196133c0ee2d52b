"""Which engine this installation runs, from its settings."""

from __future__ import annotations

import importlib.util

from app.errors import SetupError
from app.pool import waiting
from app.pool.embedded import EmbeddedEngine
from app.pool.engine import Engine
from app.pool.off import OffEngine
from app.pool.waiting import WaitingEngine
from app.settings import Settings

RUNNER = "app.demos.run:run_job"
WARM_UP = ("app.demos.run:warm_first", "app.demos.run:warm_rest")
SETTING_UP = "The lab is being set up: cards can be studied, demos show stored pictures until the workers are ready."


def engine(settings: Settings) -> Engine:
    """The embedded pool; one that waits for torch to be installed; or one that refuses with the reason."""
    if not settings.pool:
        return OffEngine("The workers are switched off here: cards ask for no prediction, pictures show earlier runs.")
    try:
        made = embedded(settings)
    except SetupError as error:
        return OffEngine(error.says)
    if importlib.util.find_spec("torch") is not None:
        return made
    return WaitingEngine(lambda: embedded(settings), lambda: waiting.can_import("torch"), SETTING_UP)


def embedded(settings: Settings) -> Engine:
    """Raises SetupError where workers cannot be confined."""
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
