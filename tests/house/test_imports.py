"""Pure files stay pure, and imports stand where one looks for them. The layers are import-linter's (pyproject.toml)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house import repository

APP = repository.python_files("app")
PURE_ENOUGH = {"app.errors", "app.viewer"}  # classes without behaviour
IMPURE = {"asyncio", "os", "pathlib", "random", "secrets", "socket", "subprocess", "time"}
IMPURE |= {"sqlalchemy", "fastapi", "starlette", "jinja2", "torch", "pysqlite3"}


def module(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def is_pure(name: str) -> bool:
    return bool(re.search(r"\(pure\b", (ast.get_docstring(repository.tree(name)) or "").partition("\n\n")[0]))


def imported(name: str, known: set[str]) -> Iterator[str]:
    for node in ast.walk(repository.tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (one if one in known else node.module for one in whole)


def test_pure_files_import_only_pure_files() -> None:
    known = {module(name) for name in APP}
    pure = {module(name): name for name in APP if is_pure(name)}
    allowed = pure.keys() | PURE_ENOUGH
    wrong = [
        f"{name} imports {found}"
        for name in pure.values()
        for found in imported(name, known)
        if (found in known and found not in allowed) or found.partition(".")[0] in IMPURE
    ]
    assert len(pure) > 20
    assert not sorted(set(wrong))


def test_a_subject_names_its_pure_core() -> None:
    pure = {module(name) for name in APP if is_pure(name)}
    assert {"app.study.schedule", "app.study.queue", "app.cards.markdown", "app.demos.result", "app.pool.job"} <= pure
