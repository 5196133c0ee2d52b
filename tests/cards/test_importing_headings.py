from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.cards import render
from app.cards.importers import headings
from app.cards.importers.headings import Blocks

PIECES: dict[str, tuple[str, dict[str, int]]] = {
    "python": ("```python\n# Setup\n## Not a question\nx = 1  # costs $5\n```", {"code": 1}),
    "drawing": ("```\nInput → Hidden\n# $$no$$\n| no | table |\n```", {"drawings": 1}),
    "tilde": ("~~~text\n```\n# inside\n~~~", {"code": 1}),
    "table": ("| a | b |\n|---|---|\n| 1 | 2 |", {"tables": 1}),
    "barred table": ("| a | b |\n|---|---|\n| adds $\\sum|w|$ here | kept |", {"tables": 1, "inline_math": 1}),
    "display": ("$$z = \\frac{1}{2}$$", {"display_math": 1}),
    "display lines": ("$$m = \\beta m$$ (momentum)\n$$v = \\beta v$$ (scale)", {"display_math": 2}),
    "tall display": ("$$\na\n- b\n$$", {"display_math": 1}),
    "inside a line": ("Where $$a$$ and $b$ stand.", {"display_math": 1, "inline_math": 1}),
    "inline": ("1. Update: $w = w - \\eta g$\n2. Repeat for $p$", {"inline_math": 2}),
    "prices": ("It costs $5 or \\$6.", {}),
    "section": ("### Why it works\n\nBecause.", {}),
    "deeper": ("#### What of it?\n\nMore.", {}),
    "image": ("![a picture](a.png) and [a link](https://example.org)", {"images": 1, "links": 1}),
    "rule": ("before\n\n---\n\nafter", {}),
    "words": ("Plain words, **bold**.", {}),
}


def document(seed: int) -> tuple[str, list[tuple[str, int, int, Blocks]]]:
    """A file of questions and, for each: question, first line, last line, blocks."""
    draw = random.Random(seed)
    lines = ["# Interview notes", "", "An introduction.", ""]
    truth = []
    for number in range(1, draw.randint(2, 6)):
        question = f"What is part {number}?"
        first = len(lines) + 1
        lines += [f"## Question {number}: {question}", ""]
        names = draw.choices(list(PIECES), k=draw.randint(1, 6))
        counted: Counter[str] = Counter()
        for name in names:
            text, blocks = PIECES[name]
            lines += [*text.split("\n"), ""]
            counted.update(blocks)
        truth.append((question, first, len(lines) - 1, Blocks(**counted)))
        lines += ["---", ""]
    return "\n".join(lines), truth


@pytest.mark.parametrize("seed", range(60))
def test_a_generated_file_gives_what_was_put_in(seed: int) -> None:
    text, truth = document(seed)
    found = headings.read(text.encode())
    assert [(card.question, card.line, card.end_line, card.blocks) for card in found.cards] == truth
    assert found.problems == ()
    lines = text.split("\n")
    for card in found.cards:
        assert card.answer == "\n".join(lines[card.line : card.end_line]).strip("\n")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from(
            ["# A", "## Why?", "### b", "---", "text", "", "```", "~~~", "Head\n===", "- x\n  # y", "$$", "| a |"]
        )
    )
)
def test_every_line_with_text_is_in_a_card_or_skipped_with_a_reason(pieces: list[str]) -> None:
    text = "\n".join(pieces)
    found = headings.read(text.encode())
    within = [n for card in found.cards for n in range(card.line, card.end_line + 1)]
    skipped = [one.line for one in found.skipped]
    assert len(within) == len(set(within)) and not set(within) & set(skipped)
    assert all(one.why for one in found.skipped)
    for number, line in enumerate(text.split("\n"), 1):
        assert not line.strip() or number in within or number in skipped


def test_the_report_has_the_shape_that_is_promised() -> None:
    report = headings.read(b"# Notes\n\n## Q1. Why?\n\nBecause $x$.\n\n## How?\n").json()
    blocks = dict.fromkeys(asdict(Blocks()), 0)
    assert report == {
        "cards": [
            {"question": "Why?", "line": 3, "end_line": 5, "answered": True, "blocks": blocks | {"inline_math": 1}},
            {"question": "How?", "line": 7, "end_line": 7, "answered": False, "blocks": blocks},
        ],
        "skipped": [{"line": 1, "why": "a heading above the questions"}],
        "problems": [],
    }


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([(1, "Notes"), (2, "Why?"), (3, "Definition"), (2, "How?")], 2),
        ([(1, "Why?"), (2, "Definition"), (1, "How?")], 1),
        ([(1, "Notes"), (2, "Optimisers"), (3, "What is Adam?"), (3, "Explain momentum"), (2, "Losses")], 3),
        ([(1, "Notes"), (2, "Adam"), (2, "Momentum"), (3, "More")], 2),
        ([(1, "Adam")], 1),
        ([], None),
    ],
)
def test_the_level_of_the_questions_is_found(levels: list[tuple[int, str]], expected: int | None) -> None:
    assert headings.question_level(levels) == expected


def test_headings_within_an_answer_stay_below_those_of_a_card_file() -> None:
    found = headings.read(b"# Why?\n\n## First\n\nx\n\nUnder\n-----\n\n```\n## code\n```\n\n# How?\n\ny\n")
    assert found.cards[0].answer == "### First\n\nx\n\n### Under\n\n```\n## code\n```"


def test_a_fence_that_never_closes_is_reported() -> None:
    found = headings.read(b"## Why?\n\n```python\nx = 1\n\n## How?\n")
    assert len(found.cards) == 1 and [problem.line for problem in found.problems] == [3]


@pytest.mark.parametrize(
    ("raw", "line", "says"),
    [
        (b"## Why?\n\xff\n", 2, "not UTF-8"),
        (b"just text\n", 1, "no headings"),
        (b"x" * (headings.MAX_FILE_BYTES + 1), 1, "at once"),
        (b"## \n\ntext\n\n## Why?\n", 1, "empty"),
    ],
)
def test_what_cannot_be_imported_is_a_problem_with_its_line(raw: bytes, line: int, says: str) -> None:
    assert [(problem.line, says in problem.says) for problem in headings.read(raw).problems] == [(line, True)]


def test_an_empty_file_has_nothing_to_say() -> None:
    assert headings.read(b"").json() == {"cards": [], "skipped": [], "problems": []}


if "NOTES_DIR" in os.environ:

    def test_the_notes_on_neural_networks_come_in_whole() -> None:
        raw = (Path(os.environ["NOTES_DIR"]) / "004_642b06a0f1dd39d9.txt").read_bytes()
        found = headings.read(raw)
        total = Counter[str]()
        for card in found.cards:
            total.update(asdict(card.blocks))
        assert len(found.cards) == 46 and all(card.answered for card in found.cards) and found.problems == ()
        assert total == {
            "code": 35,
            "drawings": 12,
            "tables": 75,
            "display_math": 29,
            "inline_math": 39,
            "images": 0,
            "links": 0,
        }
        shown = [render.render(card.answer) for card in found.cards]
        assert [trouble for one in shown for trouble in one.troubles] == []
        assert sum(one.html.count("<table>") for one in shown) == 75
        assert sum(one.html.count("<math") for one in shown) == 68
        row = next(one.html for one in shown if "Sparse weights" in one.html).split("Sparse weights")[0]
        assert row.rpartition("<tr>")[2].count("<td>") == 3
