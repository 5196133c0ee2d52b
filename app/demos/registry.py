"""Finds the demonstrations: one pair of files each under ``library/<topic>/``; the file's name is the slug."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from app.demos.lab import Lab
from app.demos.parameters import Parameters
from app.demos.result import Result
from app.demos.teaching import Teaching
from app.errors import NotFound

LIBRARY = Path(__file__).parent / "library"


@dataclass(frozen=True)
class Demo:
    """``explanation`` is the docstring after its title, without the Source line; ``version`` hashes both files."""

    slug: str
    topic: str
    title: str
    explanation: str
    source_note: str
    source: str
    version: str
    knobs: type[Parameters]
    teaching: Teaching
    run: Callable[[Parameters, Lab], Result]


def slugs() -> list[str]:
    return sorted(path.stem.replace("_", "-") for path in _files())


@cache
def demo(slug: str) -> Demo:
    """Imports one demonstration. Raises NotFound for an unknown slug."""
    path = next((path for path in _files() if path.stem == slug.replace("-", "_")), None)
    if path is None:
        raise NotFound(f"There is no demo called “{slug}”. The list is at /demos.")
    module = importlib.import_module(f"app.demos.library.{path.parent.name}.{path.stem}")
    title, explanation, source_note = _read_docstring(inspect.getdoc(module) or "")
    teaching_file = path.with_suffix(".yaml")
    return Demo(
        slug=slug,
        topic=path.parent.name.replace("_", " "),
        title=title,
        explanation=explanation,
        source_note=source_note,
        source=path.read_text(encoding="utf-8"),
        version=version_of(path),
        knobs=module.Knobs,
        teaching=Teaching.model_validate(yaml.safe_load(teaching_file.read_text(encoding="utf-8"))),
        run=module.run,
    )


def version_of(path: Path) -> str:
    """Twelve hex digits of both files' contents."""
    digest = hashlib.sha256(path.read_bytes() + path.with_suffix(".yaml").read_bytes())
    return digest.hexdigest()[:12]


def _files() -> list[Path]:
    return [path for path in LIBRARY.glob("*/*.py") if path.with_suffix(".yaml").exists()]


def _read_docstring(text: str) -> tuple[str, str, str]:
    title, _, rest = text.partition("\n")
    explanation, _, source_note = rest.rpartition("Source:")
    return title.strip().rstrip("."), explanation.strip(), " ".join(source_note.split())
