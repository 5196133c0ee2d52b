"""The described demos as the repository keeps them: knobs, presets and true runs, readable without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.demos.parameters import Parameters, rebuild
from app.demos.teaching import Preset, Teaching
from app.errors import NotFound

STORED = Path(__file__).parent / "stored"


@dataclass(frozen=True)
class StoredDemo:
    slug: str
    topic: str
    title: str
    schema: dict[str, Any]
    teaching: Teaching
    version: str

    @property
    def knobs(self) -> type[Parameters]:
        return rebuild(self.schema)

    def preset(self, slug: str) -> Preset:
        """Raises NotFound."""
        found = self.teaching.preset(slug)
        if found is None:
            names = ", ".join(preset.slug for preset in self.teaching.presets)
            raise NotFound(f"“{self.slug}” has no preset “{slug[:80]}”. It has: {names}.")
        return found


def stored(folder: Path = STORED) -> list[StoredDemo]:
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def one(slug: str, folder: Path = STORED) -> StoredDemo:
    """Raises NotFound."""
    names = [path.stem for path in sorted(folder.glob("*.json"))]
    if slug not in names:
        raise NotFound(f"There is no demo “{slug[:80]}”. There are: {', '.join(names)}.")
    return _read(folder / f"{slug}.json")


def _read(path: Path) -> StoredDemo:
    data = json.loads(path.read_text(encoding="utf-8"))
    teaching = Teaching.model_validate(data["teaching"])
    return StoredDemo(data["slug"], data["topic"], data["title"], data["schema"], teaching, data["version"])
