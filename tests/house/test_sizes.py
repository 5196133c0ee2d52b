"""Files, functions, templates and assets stay within what one can take in, and one page can carry."""

from __future__ import annotations

import ast
import gzip
from collections.abc import Iterator

import pytest

from tests.house import repository
from tests.house.repository import ROOT

Function = ast.FunctionDef | ast.AsyncFunctionDef
DEEPENS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)
CODE = repository.python_files("app", "bench", "tests", "locks")


def lines(name: str) -> int:
    return len(repository.text(name).splitlines())


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def depth(node: ast.AST, is_else_if: bool = False) -> int:
    """How many compound statements stand in each other below a node; ``elif`` is no deeper than its ``if``."""
    own = isinstance(node, DEEPENS) and not is_else_if
    below = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef | ast.Lambda):
            continue
        chained = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        below = max(below, depth(child, chained))
    return below + own


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1", 0),
        ("if a:\n  pass\nelif b:\n  pass\nelse:\n  pass", 1),
        ("for a in b:\n  if a:\n    with c:\n      while d:\n        pass", 4),
        ("if a:\n  pass\nelif b:\n  for c in d:\n    pass", 2),
    ],
)
def test_nesting_is_counted_by_statements(source: str, expected: int) -> None:
    assert max(depth(node) for node in ast.parse(source).body) == expected


def test_no_function_is_longer_than_fifty_lines() -> None:
    long = [
        f"{name}:{node.lineno} {node.name} has {length} lines"
        for name in CODE
        for node in functions(repository.tree(name))
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > 50
    ]
    assert not long


def test_no_function_nests_deeper_than_three() -> None:
    deep = [
        f"{name}:{node.lineno} {node.name} nests {found} deep"
        for name in CODE
        for node in functions(repository.tree(name))
        if (found := max(depth(statement) for statement in node.body)) > 3
    ]
    assert not deep


@pytest.mark.parametrize(
    ("start", "end", "limit"),
    [("app/", ".py", 400), ("bench/", ".py", 400), ("tests/", ".py", 400), ("static/css/", ".css", 400)],
)
def test_no_file_is_longer_than_four_hundred_lines(start: str, end: str, limit: int) -> None:
    chosen = [name for name in repository.files() if name.startswith(start) and name.endswith(end)]
    assert chosen
    assert not [f"{name} has {lines(name)} lines" for name in chosen if lines(name) > limit]


def test_a_demonstration_is_at_most_200_lines() -> None:
    demos = [name for name in repository.python_files("app/demos/library") if not name.endswith("__init__.py")]
    assert demos
    assert not [f"{name} has {lines(name)} lines" for name in demos if lines(name) > 200]


def test_templates_and_fragments_stay_short() -> None:
    templates = [name for name in repository.files() if name.startswith("templates/") and name.endswith(".html")]
    limits = {name: 60 if name.rpartition("/")[2].startswith("_") else 120 for name in templates}
    assert limits
    assert not [f"{name} has {lines(name)} lines" for name, limit in limits.items() if lines(name) > limit]


def packed(*endings: str) -> int:
    chosen = [name for name in repository.files() if name.startswith("static/") and name.endswith(endings)]
    assert chosen
    return sum(len(gzip.compress((ROOT / name).read_bytes(), 9)) for name in chosen)


def test_all_scripts_of_a_page_are_at_most_25_kilobytes_packed() -> None:
    assert packed(".js") <= 25_000


def test_all_styles_of_a_page_are_at_most_12_kilobytes_packed() -> None:
    assert packed(".css") <= 12_000


def test_all_fonts_together_are_at_most_200_kilobytes() -> None:
    fonts = [name for name in repository.files() if name.endswith((".woff2", ".woff", ".ttf", ".otf"))]
    assert fonts
    assert sum((ROOT / name).stat().st_size for name in fonts) <= 200_000
