"""Is this text a card that is already known? (pure)

The stamped id decides. A text without one goes down a ladder, each step looking only at what the steps before left
over: the same body, the same heading, at least half of the words in common. A step answers only when exactly one
known text and one new text fit each other; otherwise the author is asked.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

ENOUGH_IN_COMMON = 0.5
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Text:
    """``key`` names it in the answer: the known card's id, or the new file's path."""

    key: str
    heading: str
    body: str
    stamp: str | None = None


@dataclass(frozen=True, slots=True)
class Same:
    incoming: str
    known: str
    how: Literal["stamp", "body", "heading", "similarity"]


@dataclass(frozen=True, slots=True)
class New:
    incoming: str


@dataclass(frozen=True, slots=True)
class Ask:
    """More than one reading is possible; ``candidates`` are keys of known texts, sorted."""

    incoming: str
    candidates: tuple[str, ...]


Decision = Same | New | Ask


@dataclass(slots=True)
class _Ladder:
    known: dict[str, Text]
    incoming: dict[str, Text]
    decisions: dict[str, Decision] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    def same(self, incoming: str, known: str, how: Literal["stamp", "body", "heading", "similarity"]) -> None:
        if known in self.asked:
            self.ask([incoming], [known])
            return
        self.decisions[incoming] = Same(incoming, known, how)
        del self.incoming[incoming], self.known[known]

    def ask(self, incoming: Iterable[str], candidates: Collection[str]) -> None:
        self.asked.update(candidates)
        for key in incoming:
            self.decisions[key] = Ask(key, tuple(sorted(candidates)))
            del self.incoming[key]


def match(known: Sequence[Text], incoming: Sequence[Text]) -> list[Decision]:
    """One decision for each incoming text, in its order. Keys must be unique within each side.

    A stamp that no known card carries makes a new card. A known card that somebody is asked about is given to nobody.
    """
    ladder = _Ladder({text.key: text for text in known}, {text.key: text for text in incoming})
    for text in incoming:
        if text.stamp is None:
            continue
        if text.stamp in ladder.known:
            ladder.same(text.key, text.stamp, "stamp")
        else:
            ladder.decisions[text.key] = New(text.key)
            del ladder.incoming[text.key]
    _by_equal(ladder, lambda text: normal(text.body), "body")
    _by_equal(ladder, lambda text: normal(text.heading), "heading")
    _by_similarity(ladder)
    for key in ladder.incoming:
        ladder.decisions[key] = New(key)
    return [ladder.decisions[text.key] for text in incoming]


def normal(text: str) -> str:
    """What two texts must share to count as equal: the words and marks, not case and white space."""
    return " ".join(text.lower().split())


def similarity(one: str, other: str) -> float:
    """Dice's coefficient over words with their counts: 2·|A∩B| / (|A|+|B|), from 0 to 1."""
    return _dice(_words(one), _words(other))


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.lower()))


def _dice(one: Counter[str], other: Counter[str]) -> float:
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 0.0


def _by_equal(ladder: _Ladder, value: Callable[[Text], str], how: Literal["body", "heading"]) -> None:
    known: dict[str, list[str]] = defaultdict(list)
    incoming: dict[str, list[str]] = defaultdict(list)
    for text in ladder.known.values():
        known[value(text)].append(text.key)
    for text in ladder.incoming.values():
        incoming[value(text)].append(text.key)
    for shared in incoming.keys() & known.keys() - {""}:
        _settle_group(ladder, incoming[shared], known[shared], how)


def _settle_group(ladder: _Ladder, incoming: list[str], known: list[str], how: Literal["body", "heading"]) -> None:
    """One and one are the same. Several with the same body may still differ by heading."""
    if len(incoming) == len(known) == 1:
        ladder.same(incoming[0], known[0], how)
        return
    if how == "heading":
        ladder.ask(incoming, known)
        return
    by_heading: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for key in incoming:
        by_heading[normal(ladder.incoming[key].heading)][0].append(key)
    for key in known:
        by_heading[normal(ladder.known[key].heading)][1].append(key)
    for new, old in by_heading.values():
        if len(new) == len(old):  # wholly equal texts cannot be told apart: any pairing is right
            for one, other in zip(new, old, strict=True):
                ladder.same(one, other, how)
    left_known = [key for key in known if key in ladder.known]
    left_incoming = [key for key in incoming if key in ladder.incoming]
    if left_known and left_incoming:
        ladder.ask(left_incoming, left_known)


def _by_similarity(ladder: _Ladder) -> None:
    if not ladder.known or not ladder.incoming:
        return
    known = {key: _words(f"{text.heading} {text.body}") for key, text in ladder.known.items()}
    fits: dict[str, list[str]] = {}
    fitted: Counter[str] = Counter()
    for key, text in ladder.incoming.items():
        words = _words(f"{text.heading} {text.body}")
        fits[key] = [other for other, theirs in known.items() if _is_alike(words, theirs)]
        fitted.update(fits[key])
    for key, candidates in fits.items():
        if len(candidates) == 1 and fitted[candidates[0]] == 1:
            ladder.same(key, candidates[0], "similarity")
        elif candidates:
            ladder.ask([key], candidates)


def _is_alike(one: Counter[str], other: Counter[str]) -> bool:
    less, more = sorted((one.total(), other.total()))
    return less * 3 >= more and _dice(one, other) >= ENOUGH_IN_COMMON
