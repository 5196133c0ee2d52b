"""Writes ``app/demos/stored/<slug>.json``: the catalogue row and a true run of every preset. Needs torch.

    python -m app.demos.describe [slug …]

Only demos whose files changed are run again. The web process reads these files and never imports a demonstration.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from app.demos import registry, run
from app.demos.parameters import schema_of
from app.demos.result import dump, finite

STORED = Path(__file__).parent / "stored"


def describe(slug: str) -> dict[str, Any]:
    """The row and, for each preset's slug, its result."""
    demo = registry.demo(slug)
    results = {preset.slug: dump(run.run_demo(slug, preset.knobs)) for preset in demo.teaching.presets}
    return {
        "slug": slug,
        "topic": demo.topic,
        "title": demo.title,
        "explanation": demo.explanation,
        "source_note": demo.source_note,
        "source": demo.source,
        "schema": schema_of(demo.knobs),
        "teaching": finite(demo.teaching.model_dump(mode="json")),
        "version": demo.version,
        "results": results,
    }


def is_stale(slug: str) -> bool:
    path = STORED / f"{slug}.json"
    if not path.exists():
        return True
    return bool(json.loads(path.read_text(encoding="utf-8"))["version"] != registry.demo(slug).version)


def main(slugs: list[str]) -> None:
    STORED.mkdir(exist_ok=True)
    run.warm_first()
    for slug in slugs or [name for name in registry.slugs() if is_stale(name)]:
        text = json.dumps(describe(slug), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        (STORED / f"{slug}.json").write_text(text + "\n", encoding="utf-8")
    for path in STORED.glob("*.json"):
        if path.stem not in registry.slugs():
            path.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
