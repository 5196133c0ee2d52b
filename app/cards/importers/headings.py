"""Notes in which each heading of one level is a question: to questions with their answers whole (pure)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from markdown_it.token import Token

from app.cards import mathmarks, outline, render

MAX_FILE_BYTES = 2_000_000
_NUMBERING = re.compile(r"^(?:(?:question|q)\s*\.?\s*\d+\s*[:.)\]–-]*\s*|\d+(?:\.\d+)*\s*[.):]\s+)", re.I)
_ASKS = re.compile(
    r"^(?:what|why|how|when|where|which|who|explain|describe|define|compare|discuss|derive|implement|write|give|"
    r"list|name|is|are|does|do|can|should|would)\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Blocks:
    """``code``: fences with a language and indented code; ``drawings``: fences without one."""

    code: int = 0
    drawings: int = 0
    tables: int = 0
    display_math: int = 0
    inline_math: int = 0
    images: int = 0
    links: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A question of the file. Lines are 1-based and inclusive, the heading's included."""

    question: str
    answer: str
    line: int
    end_line: int
    blocks: Blocks

    @property
    def answered(self) -> bool:
        return bool(self.answer)


@dataclass(frozen=True, slots=True)
class Skipped:
    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Trouble:
    line: int
    says: str


@dataclass(frozen=True, slots=True)
class Imported:
    """Every line with text is within a card or skipped with its reason."""

    cards: tuple[Found, ...]
    skipped: tuple[Skipped, ...] = ()
    problems: tuple[Trouble, ...] = ()

    def json(self) -> dict[str, Any]:
        return {
            "cards": [
                {
                    "question": card.question,
                    "line": card.line,
                    "end_line": card.end_line,
                    "answered": card.answered,
                    "blocks": {each.name: getattr(card.blocks, each.name) for each in fields(Blocks)},
                }
                for card in self.cards
            ],
            "skipped": [{"line": skipped.line, "why": skipped.why} for skipped in self.skipped],
            "problems": [{"line": problem.line, "says": problem.says} for problem in self.problems],
        }


@dataclass(frozen=True, slots=True)
class _Heading:
    """``line`` to ``end_line`` is the heading itself: two lines when it is underlined."""

    line: int
    end_line: int
    level: int
    text: str


def read(raw: bytes) -> Imported:
    """Never raises: what cannot be read is a problem with its line."""
    if len(raw) > MAX_FILE_BYTES:
        says = f"The file holds {len(raw):,} bytes; {MAX_FILE_BYTES:,} can be imported at once. Split it."
        return Imported((), problems=(Trouble(1, says),))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        says = f"Byte {error.start + 1:,} of the file is not UTF-8. Save the file in the encoding UTF-8."
        return Imported((), problems=(Trouble(line, says),))
    return read_text(text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd"))


def read_text(text: str) -> Imported:
    lines = text.split("\n")
    tokens = render.new_parser().parse(mathmarks.hide_bars(text), {})
    found = list(_headings(tokens, lines))
    level = question_level([(heading.level, heading.text) for heading in found])
    starts = [heading for heading in found if level is not None and heading.level <= level]
    ends = [heading.line - 1 for heading in starts[1:]] + [len(lines)] * bool(starts)
    rules = {token.map[0] + 1 for token in tokens if token.type == "hr" and token.map}
    counts = _counts(tokens)
    cards, problems = [], list(_file_problems(lines, level))
    for heading, end in zip(starts, ends, strict=True):
        if heading.level == level and heading.text:
            cards.append(_card(heading, end, lines, found, rules, counts))
        elif heading.level == level:
            problems.append(Trouble(heading.line, "This heading is empty, so no card was made of what follows it."))
    return Imported(tuple(cards), tuple(_skipped(lines, cards, starts, rules)), tuple(problems))


def question_level(headings: Sequence[tuple[int, str]]) -> int | None:
    """The level (1 to 6) whose headings are the questions; None without headings.

    The level with the most headings that read like questions; when none does, the first level that is used twice.
    """
    if not headings:
        return None
    asking = Counter(level for level, text in headings if _reads_like_a_question(text))
    if asking:
        return min(asking, key=lambda level: (-asking[level], level))
    used = Counter(level for level, _ in headings)
    return min((level for level, count in used.items() if count > 1), default=min(used))


def _reads_like_a_question(text: str) -> bool:
    return text.rstrip(" *_").endswith("?") or bool(_NUMBERING.match(text) or _ASKS.match(text))


def _headings(tokens: Sequence[Token], lines: Sequence[str]) -> Iterator[_Heading]:
    """Top-level headings as CommonMark sees them, with their source text."""
    for token, content in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            text = mathmarks.show_bars(content.content)
            yield _Heading(token.map[0] + 1, _last_line(token.map, lines), int(token.tag[1]), " ".join(text.split()))


def _last_line(lines_of: list[int], lines: Sequence[str]) -> int:
    return max(n for n in range(lines_of[0] + 1, lines_of[1] + 1) if lines[n - 1].strip())


def _counts(tokens: Sequence[Token]) -> list[tuple[int, str]]:
    """The line and the field of `Blocks` of everything that is counted."""
    found = []
    line = 1
    for token in tokens:
        line = token.map[0] + 1 if token.map else line
        for each in (token, *(token.children or ())):
            name = _field_of(each)
            if name:
                found.append((line, name))
    return found


def _field_of(token: Token) -> str | None:
    if token.type == "fence":
        return "code" if token.info.strip() else "drawings"
    return {
        "code_block": "code",
        "table_open": "tables",
        "math_block": "display_math",
        "math_display": "display_math",
        "math_inline": "inline_math",
        "image": "images",
        "link_open": "links",
    }.get(token.type)


def _card(
    heading: _Heading,
    end: int,
    lines: Sequence[str],
    found: Sequence[_Heading],
    rules: set[int],
    counts: Sequence[tuple[int, str]],
) -> Found:
    while end > heading.end_line and (not lines[end - 1].strip() or end in rules):
        end -= 1
    inner = [one for one in found if heading.line < one.line <= end]
    counted = Counter(name for line, name in counts if heading.line <= line <= end)
    question = _NUMBERING.sub("", heading.text).strip() or heading.text
    return Found(question, _answer(heading.end_line, end, lines, inner), heading.line, end, Blocks(**counted))


def _answer(first: int, last: int, lines: Sequence[str], inner: Sequence[_Heading]) -> str:
    """The lines after ``first`` up to ``last``, headings written with ``#`` and none above the third level."""
    shift = max(0, 3 - min((heading.level for heading in inner), default=3))
    replaced = {heading.line: f"{'#' * min(6, heading.level + shift)} {heading.text}" for heading in inner}
    dropped = {heading.end_line for heading in inner if heading.end_line > heading.line}
    kept = [replaced.get(n, lines[n - 1]) for n in range(first + 1, last + 1) if n not in dropped]
    return "\n".join(kept).strip("\n").rstrip()


def _file_problems(lines: Sequence[str], level: int | None) -> Iterator[Trouble]:
    if level is None and any(line.strip() for line in lines):
        yield Trouble(1, "The file has no headings, so no question was found. Begin each question with `## `.")
    _, open_fence = outline.headings(lines)
    if open_fence:
        yield Trouble(open_fence, "This code fence is never closed: everything after it was read as code.")


def _skipped(
    lines: Sequence[str], cards: Sequence[Found], starts: Sequence[_Heading], rules: set[int]
) -> Iterator[Skipped]:
    inside = {n for card in cards for n in range(card.line, card.end_line + 1)}
    titles = {n for heading in starts for n in range(heading.line, heading.end_line + 1)}
    first = min((card.line for card in cards), default=len(lines) + 1)
    for number, line in enumerate(lines, 1):
        if number in inside or not line.strip():
            continue
        if number in rules:
            yield Skipped(number, "a rule between questions")
        elif number in titles:
            yield Skipped(number, "a heading above the questions")
        else:
            yield Skipped(number, "text before the first question" if number < first else "text under no question")
