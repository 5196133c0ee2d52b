"""What a browser has to fetch stays small."""

from __future__ import annotations

import gzip
from pathlib import Path

STATIC = Path(__file__).resolve().parents[2] / "static"


def _zipped(paths: list[Path]) -> int:
    assert paths
    return sum(len(gzip.compress(path.read_bytes(), 6)) for path in paths)


def test_scripts_are_at_most_25_kb_zipped() -> None:
    assert _zipped(sorted(STATIC.rglob("*.js"))) <= 25_000


def test_styles_are_at_most_12_kb_zipped() -> None:
    assert _zipped(sorted(STATIC.rglob("*.css"))) <= 12_000


def test_fonts_are_at_most_200_kb() -> None:
    assert sum(path.stat().st_size for path in STATIC.rglob("*.woff2")) <= 200_000
