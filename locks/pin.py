"""Writes the locks anew from what `.venv` has: each set of pyproject.toml with all that it needs, one pin a line.

    .venv/bin/python locks/pin.py

The line that begins with "# Downloads" is kept: what a set costs is measured by hand.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = Path(__file__).resolve().parent
PROJECT = LOCKS.parent / "pyproject.toml"


def closure(asked: Iterable[str]) -> dict[str, str]:
    """Name to installed version of everything that the requirements need on this machine."""
    found: dict[str, str] = {}
    waiting = [(Requirement(text), "") for text in asked]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        found[name] = distribution(name).version.partition("+")[0]
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [(Requirement(text), wanted) for text in distribution(name).requires or ()]
    return found


def write(name: str, pins: dict[str, str]) -> None:
    path = LOCKS / f"{name}.txt"
    old = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    costs = next((line for line in old if line.startswith("# Downloads")), "# Downloads 0 MB, takes 0 MB.")
    lines = [costs, *(f"{package}=={version}" for package, version in sorted(pins.items()))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    web = closure(project["dependencies"])
    optional = project["optional-dependencies"]
    lab = {name: pin for name, pin in closure(optional["lab"]).items() if name not in web}
    test = {name: pin for name, pin in closure(optional["test"]).items() if name not in web | lab}
    for name, pins in (("web", web), ("lab", lab), ("test", test)):
        write(name, pins)


if __name__ == "__main__":
    main()
