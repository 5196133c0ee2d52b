"""What ships may be used: each dependency's licence is on the list, each vendored file brings its own."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest

from tests.house import repository
from tests.house.repository import ROOT

ALLOWED = (
    "MIT",
    "BSD",
    "Apache",
    "PSF",
    "Python Software Foundation",
    "ISC",
    "MPL",
    "Mozilla",
    "Unlicense",
    "Zlib",
    "0BSD",
)
SHIPPED = ("web", "lab")
# Packages whose metadata names no licence, read by hand in the files they bring.
READ_BY_HAND = {"pysqlite3": "Zlib", "axe-playwright-python": "MIT"}
# Only used to test; nothing of theirs is shipped or imported by what is.
ONLY_TESTED = {
    "anki": "AGPL-3.0, an oracle in tests",
    "fsrs-rs-python": "publishes none, an oracle in tests",
    "djlint": "GPL-3.0, a program that checks templates",
}


def pins(lock: str) -> list[str]:
    lines = repository.text(f"locks/{lock}.txt").splitlines()
    return [line.partition("==")[0] for line in lines if line and not line.startswith("#")]


def licence(package: str) -> str:
    found: Distribution = distribution(package)
    metadata = found.metadata
    classified = [value for value in metadata.get_all("Classifier") or [] if value.startswith("License ::")]
    stated = [*metadata.get_all("License-Expression", []), *classified, *(metadata.get_all("License") or [])]
    return " ".join(part[:80] for part in stated if part) or READ_BY_HAND.get(package, "")


def is_allowed(text: str) -> bool:
    return bool(re.search("|".join(map(re.escape, ALLOWED)), text)) and not re.search(r"\bA?GPL", text)


@pytest.mark.parametrize("lock", SHIPPED)
def test_every_package_that_the_product_installs_has_an_allowed_licence(lock: str) -> None:
    assert not [
        f"{package}: {licence(package) or 'none'}" for package in pins(lock) if not is_allowed(licence(package))
    ]


def test_every_package_that_only_tests_use_is_allowed_or_named_as_an_oracle() -> None:
    others = [package for package in pins("test") if package not in ONLY_TESTED]
    assert not [f"{package}: {licence(package) or 'none'}" for package in others if not is_allowed(licence(package))]


def test_no_code_of_the_product_imports_an_oracle() -> None:
    shipped = repository.python_files("app", "migrations", "locks")
    oracle = re.compile(r"^\s*(?:from|import) (?:anki|fsrs|fsrs_rs_python)\b", re.M)
    assert not [name for name in shipped if oracle.search(repository.text(name))]


def test_every_vendored_font_and_script_brings_its_licence() -> None:
    vendored = [ROOT / name for name in repository.files() if name.startswith("static/vendor/")]
    licences = {path for path in vendored if path.name.endswith(".LICENSE")}
    assert licences
    without = [path for path in vendored if path not in licences and not any(covers(one, path) for one in licences)]
    assert not without


def covers(licence_file: Path, path: Path) -> bool:
    return path.parent == licence_file.parent and path.name.startswith(licence_file.name.removesuffix(".LICENSE"))


def test_the_third_party_notices_name_what_is_vendored_and_installed() -> None:
    notices = repository.text("docs/third-party.md").lower()
    vendored = {Path(name).name.removesuffix(".LICENSE") for name in repository.files() if name.endswith(".LICENSE")}
    wanted = vendored | {package for lock in SHIPPED for package in pins(lock)}
    assert not sorted(name for name in wanted if name.replace("-", " ") not in notices.replace("-", " "))


def test_the_licence_is_apache_2() -> None:
    text = repository.text("LICENSE")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
