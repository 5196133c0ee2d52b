"""What is asked of a worker, and how its answer or its end reads (pure)."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any

from app.pool import frames
from app.pool.job import Done, Failed, Isolation, JobSpec

STOPPING = "The workers are stopped; try again once the server is up."
CANCELLED = "The run was cancelled."
LOST = "The workers were restarted while this ran. Run it again."


def run_frame(job: str, spec: JobSpec, memory_mb: int) -> bytes:
    """The request for one run; its memory is bounded by ``memory_mb``."""
    return frames.encode(
        {
            "kind": "run",
            "job": job,
            "name": spec.demo,
            "params": dict(spec.params),
            "seed": spec.seed,
            "memory_mb": allowed_memory_mb(spec, memory_mb),
            "result_bytes": spec.limits.result_bytes,
            "fresh": spec.isolation is Isolation.FRESH,
        }
    )


def allowed_memory_mb(spec: JobSpec, most_mb: int) -> int:
    return min(spec.limits.memory_mb, most_mb)


def from_answer(message: frames.Message, memory_mb: int) -> Done | Failed:
    """Reads an answer without trusting its shape; ``memory_mb`` is what the run was allowed."""
    result: Any = message.get("result")
    seconds: Any = message.get("seconds")
    if message["kind"] == "done" and isinstance(result, dict) and isinstance(seconds, int | float):
        return Done(result, float(seconds))
    if message.get("reason") == "memory":
        return Failed("memory", f"The run needed more than the {memory_mb} MiB that it may use.")
    return Failed("error", str(message.get("says") or "The worker gave an answer that cannot be read."))


def timed_out(seconds: float) -> str:
    return f"The run was stopped after {seconds:g} s, its limit. Choose smaller settings and run it again."


def crashed(status: int) -> str:
    """``status`` is an exit code, or minus the signal."""
    if status >= 0:
        return f"The worker ended by itself (exit code {status}) and was replaced."
    name = signal.Signals(-status).name
    what = signal.strsignal(-status) or "a signal"
    hint = "; perhaps the machine ran out of memory" if -status == signal.SIGKILL else ""
    return f"The worker crashed ({name}, {what.lower()}{hint}) and was replaced."


def quantile_ms(ordered: Sequence[float], share: float) -> float | None:
    """The value below which this share of the sorted seconds lies, in milliseconds."""
    if not ordered:
        return None
    return 1000.0 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
