"""The pictures that a fresh clone shows are true runs of the demonstrations as they stand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from app.demos import catalogue
from app.web import formulas
from tests.house.repository import ROOT

LIBRARY = ROOT / "app/demos/library"
STORED = ROOT / "app/demos/stored"
FILES = {path.stem.replace("_", "-"): path for path in LIBRARY.glob("*/*.py") if path.stem != "__init__"}


def test_every_demonstration_has_its_teaching_file() -> None:
    assert not [str(path) for path in FILES.values() if not path.with_suffix(".yaml").exists()]


def test_exactly_the_demonstrations_are_stored() -> None:
    assert {path.stem for path in STORED.glob("*.json")} == FILES.keys()


@pytest.mark.parametrize("slug", sorted(FILES))
def test_stored_runs_are_of_the_present_files(slug: str) -> None:
    stored = json.loads((STORED / f"{slug}.json").read_text(encoding="utf-8"))
    assert stored["version"] == version(FILES[slug]), "run ./run describe"
    presets = {preset.slug for preset in catalogue.one(slug).teaching.presets}
    assert stored["results"].keys() == presets


@pytest.mark.parametrize("slug", sorted(FILES))
def test_every_formula_stands_over_a_line_that_runs_and_can_be_set(slug: str) -> None:
    stored = json.loads((STORED / f"{slug}.json").read_text(encoding="utf-8"))
    lines = {line["quantity"] for result in stored["results"].values() for line in result["code"]}
    written = catalogue.one(slug).teaching.formulas
    assert written, "a demonstration says its idea as a formula too"
    assert set(written) <= lines
    assert [
        found.trouble for latex in written.values() if (found := formulas.mathml(latex, is_display=False)).trouble
    ] == []


def version(path: Path) -> str:
    return hashlib.sha256(path.read_bytes() + path.with_suffix(".yaml").read_bytes()).hexdigest()[:12]
