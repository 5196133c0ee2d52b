"""Says a word to ./run or to the command line, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1", **more}


def said(*words: str | Path, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """The command line with a data folder of its own."""
    command = [sys.executable, "-m", "app.cli", *map(str, words)]
    variables = environment(FORWARD_PASS_DATA=str(folder / "data"), **more)
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=variables, check=False)


def sentence(found: subprocess.CompletedProcess[str]) -> str:
    """What it told about trouble: one sentence or two on one line, no traceback."""
    assert "Traceback" not in found.stderr, found.stderr
    lines = found.stderr.strip().splitlines()
    assert len(lines) == 1, found.stderr
    return lines[0]
