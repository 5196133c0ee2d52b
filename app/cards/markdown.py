"""A card file: Markdown to values with every problem named, and back (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.cards import front as front_matter
from app.cards import outline
from app.cards.model import (
    CardFile,
    Claim,
    DemoClaim,
    FollowUp,
    Front,
    KeyPoint,
    Lines,
    Problem,
    Severity,
    Verdict,
)
from app.cards.outline import Item

MAX_FILE_BYTES = 200_000
SECTIONS = ("answer", "key points", "follow-ups", "misconceptions", "claims")
_TIED = re.compile(r"^\((\d{1,2})\)\s+(.*)$", re.S)


@dataclass(frozen=True, slots=True)
class Parsed:
    """``file`` is None when nothing can be shown: no question, no answer, or unreadable front matter."""

    file: CardFile | None
    problems: tuple[Problem, ...]
    lines: Lines


@dataclass(frozen=True, slots=True)
class _Section:
    """``first`` is the line number of ``lines[0]``; ``line`` is the heading's."""

    line: int
    first: int
    lines: Sequence[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).strip("\n").rstrip()

    @property
    def text_line(self) -> int:
        """The line of the first text."""
        blank = next((n for n, line in enumerate(self.lines) if line.strip()), 0)
        return self.first + blank


def decode(name: str, raw: bytes) -> str | Problem:
    """The file's text with plain line ends, or why it cannot be read."""
    if len(raw) > MAX_FILE_BYTES:
        says = f"The file holds {len(raw):,} bytes; a card may hold {MAX_FILE_BYTES:,}."
        return Problem(name, 1, says, "Split it into several cards.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        says = f"Byte {error.start + 1:,} of the file is not UTF-8."
        return Problem(name, line, says, "Save the file in the encoding UTF-8.")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        return Problem(name, line, "The file holds a NUL character.", "Delete it; it is invisible in most editors.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse(name: str, text: str) -> Parsed:
    """Reads one card file; ``name`` only labels the problems."""
    return _Parser(name, text).parse()


class _Parser:
    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._all = text.split("\n")
        self._problems: list[Problem] = []
        self._lines = Lines()

    def _report(self, line: int, says: str, remedy: str, severity: Severity = Severity.PROBLEM) -> None:
        self._problems.append(Problem(self._name, min(line, len(self._all)), says, remedy, severity))

    def parse(self) -> Parsed:
        front, body_starts = self._front()
        file = self._body(front, body_starts) if front else None
        return Parsed(file, tuple(self._problems), self._lines)

    def _front(self) -> tuple[Front | None, int]:
        """The front matter and the index of the first line after it."""
        if self._all[0].rstrip() != "---":
            self._report(
                1, "The file has no front matter.", "Begin it with a line `---`, `key: value` lines, and `---`."
            )
            return None, 0
        ends = next((n for n, line in enumerate(self._all[1:], 1) if line.rstrip() == "---"), None)
        if ends is None:
            self._report(1, "The front matter is never closed.", "Put a line `---` after its last key.")
            return None, 0
        try:
            values, lines = front_matter.read_yaml("\n".join(self._all[1:ends]))
        except front_matter.UnreadableError as error:
            self._report(error.line + 1, error.says, "Compare it with docs/writing-a-card.md.")
            return None, 0
        self._lines.of.update({key: line + 1 for key, line in lines.items()})
        return front_matter.front_of(values, self._report_key), ends + 1

    def _report_key(self, place: str, says: str, remedy: str) -> None:
        self._report(self._lines.get(place, place.split("/")[0]), says, remedy)

    def _body(self, front: Front, starts: int) -> CardFile | None:
        body = self._all[starts:]
        found, open_fence = outline.headings(body, starts + 1)
        if open_fence:
            self._report(open_fence, "This code fence is never closed.", "Add a closing line of the same marks.")
        title = next((heading for heading in found if heading.level == 1), None)
        sections = self._sections(found)
        if title is None or not title.text:
            self._report(
                title.line if title else starts + 1, "The card has no question.", "Write it as a heading: `# Why …?`"
            )
        answer = sections.get("answer")
        if answer is None or not answer.text.strip():
            line = answer.line if answer else title.line if title else starts + 1
            self._report(line, "The card has no answer.", "Write it under `## Answer`.")
        if title is None or not title.text or answer is None or not answer.text.strip():
            return None
        self._lines.of["question"] = title.line
        return self._filled(CardFile(front, title.text, answer.text, self._setting(title, found)), sections)

    def _setting(self, title: outline.Heading, found: list[outline.Heading]) -> str:
        ends = next((heading.line for heading in found if heading.line > title.line), len(self._all) + 1)
        section = _Section(title.line, title.line + 1, self._all[title.line : ends - 1])
        self._lines.of["setting:text"] = section.text_line
        return section.text

    def _sections(self, found: list[outline.Heading]) -> dict[str, _Section]:
        """Level-2 sections by lower-case name; unknown, repeated and misplaced headings are reported."""
        sections: dict[str, _Section] = {}
        tops = [heading for heading in found if heading.level <= 2]
        ends = [heading.line for heading in tops[1:]] + [len(self._all) + 1] * bool(tops)
        titles = [heading.line for heading in tops if heading.level == 1]
        for heading, end in zip(tops, ends, strict=True):
            name = heading.text.lower().rstrip(":")
            if heading.level == 1 and heading.line == titles[0]:
                continue
            if heading.level == 1 or name not in SECTIONS:
                remedy = "Inside a section use `###`. The sections are: " + ", ".join(SECTIONS) + "."
                self._report(heading.line, f"The heading `{heading.text}` begins no section of a card.", remedy)
            elif name in sections:
                self._report(heading.line, f"The section `{heading.text}` stands twice.", "Join the two.")
            else:
                sections[name] = _Section(heading.line, heading.line + 1, self._all[heading.line : end - 1])
                self._lines.of[name] = heading.line
                self._lines.of[f"{name}:text"] = sections[name].text_line
        return sections

    def _filled(self, file: CardFile, sections: dict[str, _Section]) -> CardFile:
        points = [self._key_point(item) for item in self._items("key points", sections, ("not", "say"))]
        follow_ups = [self._follow_up(item, len(points)) for item in self._items("follow-ups", sections)]
        misconceptions = tuple(item.text for item in self._items("misconceptions", sections))
        names = ("verdict", "expected", "tolerance", "shown by", "refuted by")
        claims = [self._claim(item) for item in self._items("claims", sections, names, takes_code=True)]
        return replace(
            file,
            key_points=tuple(points),
            follow_ups=tuple(follow_ups),
            misconceptions=misconceptions,
            claims=tuple(claim for claim in claims if claim),
        )

    def _items(
        self, name: str, sections: dict[str, _Section], entries: tuple[str, ...] = (), *, takes_code: bool = False
    ) -> list[Item]:
        section = sections.get(name)
        if section is None:
            return []
        items, stray = outline.items(section.lines, section.first, entries, takes_code=takes_code)
        if stray:
            self._report(stray, f"The section `{name}` is a list, and this line is not in it.", "Begin it with `- `.")
        kept = [item for item in items if item.text]
        self._lines.of.update({f"{name}/{number}": item.line for number, item in enumerate(kept, 1)})
        return kept

    def _key_point(self, item: Item) -> KeyPoint:
        twins = item.values("not")
        if len(twins) > 1:
            self._report(item.line, "This key point has two false twins.", "Keep one line `- not:`.")
        groups = tuple(
            tuple(wording.strip() for wording in value.split("|") if wording.strip()) for value in item.values("say")
        )
        return KeyPoint(item.text, twins[0] if twins and twins[0] else None, tuple(group for group in groups if group))

    def _follow_up(self, item: Item, points: int) -> FollowUp:
        tied = _TIED.match(item.text)
        if tied is None:
            return FollowUp(item.text)
        if not 1 <= int(tied[1]) <= points:
            self._report(item.line, f"There is no key point {tied[1]}.", f"The card has {points} of them.")
            return FollowUp(tied[2].strip())
        return FollowUp(tied[2].strip(), int(tied[1]))

    def _claim(self, item: Item) -> Claim | None:
        verdict = (item.values("verdict") or ("",))[0].lower()
        if verdict not in set(Verdict):
            self._report(item.line, "This claim has no verdict.", "Add `- verdict: true`, `false` or `depends`.")
            return None
        if item.code is not None and item.language.split(" ")[0] not in {"python", "py", ""}:
            self._report(item.line, f"A claim runs Python, not {item.language}.", "Begin its block with ```python.")
            return None
        demo_claims = [
            claim
            for entry in item.entries
            if entry.name in {"shown by", "refuted by"} and (claim := self._demo_claim(entry)) is not None
        ]
        if item.code is None and not demo_claims:
            remedy = "Add a ```python block or a line `- shown by: slug#preset claim-id`."
            self._report(item.line, "Nothing settles this claim.", remedy)
            return None
        return Claim(
            item.text,
            Verdict(verdict),
            tuple(demo_claims),
            item.code,
            self._number("expected", item),
            self._number("tolerance", item),
        )

    def _demo_claim(self, entry: outline.Entry) -> DemoClaim | None:
        name, _, claim = entry.value.partition(" ")
        preset = front_matter.preset_ref(name)
        if preset is None or not claim.strip():
            self._report(
                entry.line, f"`{entry.value}` names no claim.", f"Write `- {entry.name}: slug#preset claim-id`."
            )
            return None
        return DemoClaim(preset, claim.strip(), entry.name == "shown by")

    def _number(self, name: str, item: Item) -> float | None:
        values = item.values(name)
        if not values:
            return None
        try:
            return float(values[0])
        except ValueError:
            self._report(item.line, f"`{name}` of this claim is not a number.", "Write digits, such as 1e-6.")
            return None


def print_file(file: CardFile) -> str:
    """The file as an author would write it; parsing it gives the same values."""
    parts = [f"---\n{front_matter.print_front(file.front)}---\n\n# {file.question}\n"]
    if file.setting:
        parts.append(file.setting + "\n")
    parts.append(f"## Answer\n\n{file.answer}\n")
    if file.key_points:
        parts.append("## Key points\n\n" + "".join(_print_point(n, p) for n, p in enumerate(file.key_points, 1)))
    if file.follow_ups:
        parts.append("## Follow-ups\n\n" + "".join(_print_follow_up(follow_up) for follow_up in file.follow_ups))
    if file.misconceptions:
        parts.append("## Misconceptions\n\n" + "".join(_print_item("- ", text) for text in file.misconceptions))
    if file.claims:
        parts.append("## Claims\n\n" + "".join(_print_claim(n, claim) for n, claim in enumerate(file.claims, 1)))
    return "\n".join(parts)


def _print_item(marker: str, text: str) -> str:
    first, *rest = text.split("\n")
    indent = " " * len(marker)
    return "\n".join([marker + first, *(indent + line if line else "" for line in rest)]) + "\n"


def _print_point(number: int, point: KeyPoint) -> str:
    marker = f"{number}. "
    indent = " " * len(marker)
    entries = [f"{indent}- not: {point.false_twin}\n"] if point.false_twin else []
    entries += [f"{indent}- say: {' | '.join(group)}\n" for group in point.wordings]
    return _print_item(marker, point.text) + "".join(entries)


def _print_follow_up(follow_up: FollowUp) -> str:
    tie = f"({follow_up.key_point}) " if follow_up.key_point else ""
    return _print_item("- ", tie + follow_up.text)


def _print_claim(number: int, claim: Claim) -> str:
    marker = f"{number}. "
    indent = " " * len(marker)
    entries = [f"verdict: {claim.verdict}"]
    entries += [f"expected: {claim.expected!r}"] if claim.expected is not None else []
    entries += [f"tolerance: {claim.tolerance!r}"] if claim.tolerance is not None else []
    entries += [f"{'shown' if run.supports else 'refuted'} by: {run.preset} {run.claim}" for run in claim.demo_claims]
    printed = _print_item(marker, claim.sentence) + "".join(f"{indent}- {entry}\n" for entry in entries)
    return printed + (_print_code(indent, claim.python) if claim.python is not None else "")


def _print_code(indent: str, code: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    lines = [f"{fence}python", *code.split("\n"), fence]
    return "\n" + "".join(f"{indent}{line}\n" if line else "\n" for line in lines)


def stamp(text: str, note_id: str) -> str:
    """The text with ``id`` as the first key of its front matter."""
    first, rest = text.split("\n", 1)
    kept = rest if "\nid:" not in f"\n{rest}".split("\n---", 1)[0] else re.sub(r"(?m)^id:.*\n", "", rest, count=1)
    return f"{first}\nid: {note_id}\n{kept}"
