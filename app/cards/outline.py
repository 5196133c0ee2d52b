"""Lines, headings, fences and list items of a Markdown text (pure). Line numbers are 1-based."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

_FENCE = re.compile(r"^\s*(`{3,}|~{3,})(.*)$")
_HEADING = re.compile(r"^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_MARKER = re.compile(r"^([-*+]|\d{1,3}[.)])([ \t]+)(.*)$")


@dataclass(frozen=True, slots=True)
class Heading:
    line: int
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A line ``- name: value`` under a list item."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Item:
    """A list item. ``code`` is its first fenced block, when the section takes one."""

    line: int
    text: str
    entries: tuple[Entry, ...] = ()
    code: str | None = None
    language: str = ""

    def values(self, name: str) -> tuple[str, ...]:
        return tuple(entry.value for entry in self.entries if entry.name == name)


class FenceTracker:
    """Fed with the lines in order, tells which of them belong to a fenced block.

    A fence counts at any indentation, since list items indent theirs.
    """

    def __init__(self) -> None:
        self._mark = ""
        self.opened_at: int | None = None

    def is_code(self, line: str, number: int) -> bool:
        """True for the opening and closing lines too."""
        if not self._mark and "`" not in line and "~" not in line:
            return False
        found = _FENCE.match(line)
        if not self._mark:
            if not found or (found[1][0] == "`" and "`" in found[2]):
                return False
            self._mark, self.opened_at = found[1], number
        elif found and found[1][0] == self._mark[0] and len(found[1]) >= len(self._mark) and not found[2].strip():
            self._mark, self.opened_at = "", None
        return True


def headings(lines: Sequence[str], first: int = 1) -> tuple[list[Heading], int | None]:
    """The headings outside fences, and the line of a fence that is never closed."""
    tracker = FenceTracker()
    found = []
    for number, line in enumerate(lines, first):
        if tracker.is_code(line, number) or "#" not in line[:4]:
            continue
        if match := _HEADING.match(line):
            found.append(Heading(number, len(match[1]), (match[2] or "").strip()))
    return found, tracker.opened_at


@dataclass(slots=True)
class _Draft:
    line: int
    offset: int
    text: list[str]
    entries: list[tuple[str, list[str], int]] = field(default_factory=list)
    code: list[str] | None = None
    language: str = ""
    is_code_open: bool = False

    def finished(self) -> Item:
        entries = tuple(Entry(name, " ".join(" ".join(parts).split()), line) for name, parts, line in self.entries)
        code = None if self.code is None else "\n".join(self.code).strip("\n")
        return Item(self.line, "\n".join(self.text).strip(), entries, code, self.language)


class _ItemReader:
    def __init__(self, names: Collection[str], takes_code: bool) -> None:
        alternatives = "|".join(re.escape(name) for name in names) or r"(?!)"
        self._entry = re.compile(rf"^\s+[-*+][ \t]+({alternatives}):[ \t]*(.*)$")
        self._takes_code = takes_code
        self._tracker = FenceTracker()
        self.drafts: list[_Draft] = []
        self.stray: int | None = None

    def read(self, line: str, number: int) -> None:
        if self._tracker.is_code(line, number):
            self._read_code(line, number)
        elif marker := _MARKER.match(line):
            offset = len(marker[1]) + len(marker[2])
            self.drafts.append(_Draft(number, offset, [marker[3]]))
        elif not self.drafts:
            self.stray = self.stray or (number if line.strip() else None)
        elif entry := self._entry.match(line):
            self.drafts[-1].entries.append((entry[1], [entry[2]], number))
        else:
            self._continue(line)

    def _continue(self, line: str) -> None:
        draft = self.drafts[-1]
        if draft.entries and line.strip() and not draft.code:
            draft.entries[-1][1].append(line.strip())
        else:
            draft.text.append(_dedented(line, draft.offset))

    def _read_code(self, line: str, number: int) -> None:
        if not self.drafts:
            self.stray = self.stray or number
            return
        draft = self.drafts[-1]
        if not self._takes_code or (draft.code is not None and not draft.is_code_open):
            draft.text.append(_dedented(line, draft.offset))
        elif draft.code is None:
            draft.code, draft.is_code_open, draft.language = [], True, line.strip().lstrip("`~").strip()
            draft.offset = len(line) - len(line.lstrip())
        elif self._tracker.opened_at is None:
            draft.is_code_open = False
        else:
            draft.code.append(_dedented(line, draft.offset))


def _dedented(line: str, offset: int) -> str:
    lead = len(line) - len(line.lstrip(" "))
    return line[min(lead, offset) :].rstrip()


def items(
    lines: Sequence[str], first: int, names: Collection[str] = (), *, takes_code: bool = False
) -> tuple[list[Item], int | None]:
    """The top-level list items of a section, and the line of text that stands before the first."""
    reader = _ItemReader(names, takes_code)
    for number, line in enumerate(lines, first):
        reader.read(line, number)
    return [draft.finished() for draft in reader.drafts], reader.stray
