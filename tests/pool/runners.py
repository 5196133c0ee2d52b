"""What the pool runs in its tests: each name is a small deed, most of them bad."""

from __future__ import annotations

import ctypes
import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Emit = Callable[[dict[str, Any]], None]
Cancelled = Callable[[], bool]


class ReadableError(Exception):
    """An error with a sentence for the reader."""

    says = "p is 1.5; a probability lies between 0 and 1."


memory_of_the_process: list[str] = []


def echo(params: dict[str, Any], seed: int, emit: Emit, cancelled: Cancelled) -> dict[str, Any]:
    return {"params": params, "seed": seed, "pid": os.getpid()}


def run_job(name: str, params: dict[str, Any], seed: int, emit: Emit, cancelled: Cancelled) -> dict[str, Any]:
    if name == "echo":
        return echo(params, seed, emit, cancelled)
    raise KeyError(name)
