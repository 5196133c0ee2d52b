"""What the house tests look at: the repository's own files, read once."""

from __future__ import annotations

import ast
import shutil
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON_FOLDERS = ("app", "bench", "tests", "locks", "migrations")


@cache
def files() -> tuple[str, ...]:
    """Every file that belongs to the repository, committed or about to be."""
    git = shutil.which("git")
    assert git, "git is needed to list the repository's files"
    command = [git, "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return tuple(sorted(name for name in set(listed) if (ROOT / name).is_file()))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def python_files(*folders: str) -> list[str]:
    starts = tuple(f"{folder}/" for folder in folders or PYTHON_FOLDERS)
    return [name for name in files() if name.endswith(".py") and name.startswith(starts)]


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(text(name))
