"""Every problem of a whole deck: each file by itself, and the files together (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.cards import markdown
from app.cards.markdown import Parsed
from app.cards.model import CardFile, PresetRef, Problem, Severity, topic_slug
from app.cards.rendering import RenderedFile, render_file

KnownDemos = Mapping[str, Collection[str]]
"""A demo's slug to the slugs of its presets."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """``name`` is the path within the content folder, with forward slashes."""

    name: str
    raw: bytes


def check(files: Sequence[SourceFile], known_demos: KnownDemos, known_concepts: Collection[str] = ()) -> list[Problem]:
    """All problems, by file and line. ``known_concepts`` are ids that are planned though no file has them yet."""
    problems: list[Problem] = []
    parsed: dict[str, Parsed] = {}
    for file in files:
        text = markdown.decode(file.name, file.raw)
        if isinstance(text, Problem):
            problems.append(text)
            continue
        parsed[file.name] = found = markdown.parse(file.name, text)
        problems += found.problems
        rendered = render_file(found.file, found.file.front.id or "card") if found.file else None
        problems += file_problems(file.name, found, rendered, known_demos)
    problems += _duplicates(parsed)
    problems += _prerequisites(parsed, known_concepts)
    return sorted(problems, key=lambda problem: (problem.file, problem.line, problem.says))


def file_problems(name: str, parsed: Parsed, rendered: RenderedFile | None, known_demos: KnownDemos) -> list[Problem]:
    """What one file's values show to be wrong, beyond what parsing saw. ``rendered`` is None when there is no card."""
    if parsed.file is None or rendered is None:
        return []
    return [
        *_wrong_references(name, parsed, parsed.file, known_demos),
        *_missing_parts(name, parsed, parsed.file),
        *_render_troubles(name, parsed, rendered),
    ]


def _wrong_references(name: str, parsed: Parsed, file: CardFile, known_demos: KnownDemos) -> Iterator[Problem]:
    for place, preset in _references(file):
        line = parsed.lines.get(place, place.split("/")[0])
        if preset.demo not in known_demos:
            remedy = "`./run demo` lists the demos; a demo that is still to come can stay named here."
            yield Problem(name, line, f"There is no demo `{preset.demo}` yet.", remedy)
        elif preset.preset not in known_demos[preset.demo]:
            presets = ", ".join(sorted(known_demos[preset.demo]))
            yield Problem(
                name, line, f"The demo `{preset.demo}` has no preset `{preset.preset}`.", f"It has: {presets}."
            )


def _references(file: CardFile) -> Iterator[tuple[str, PresetRef]]:
    if file.front.demo:
        yield "demo", file.front.demo
    yield from ((f"also/{n}", preset) for n, preset in enumerate(file.front.also, 1))
    yield from ((f"predict/{n}", prediction.preset) for n, prediction in enumerate(file.front.predict, 1))
    for number, claim in enumerate(file.claims, 1):
        yield from ((f"claims/{number}", demo_claim.preset) for demo_claim in claim.demo_claims)


def _missing_parts(name: str, parsed: Parsed, file: CardFile) -> Iterator[Problem]:
    if not file.front.sources:
        yield Problem(name, parsed.lines.get("sources"), "The card names no source.", "Add `sources:` with a list.")
    if not file.key_points:
        line = parsed.lines.get("key points", "answer")
        yield Problem(name, line, "The card has no key points.", "Add `## Key points` with a numbered list.")
    folder = name.rsplit("/", 1)[0] if "/" in name else ""
    if folder and file.front.topic and folder != topic_slug(file.front.topic):
        says = f"The card is in the folder `{folder}`, its topic is `{file.front.topic}`."
        remedy = f"Move it to `{topic_slug(file.front.topic)}/`, or change the topic."
        yield Problem(name, parsed.lines.get("topic"), says, remedy, Severity.NOTE)


def _render_troubles(name: str, parsed: Parsed, rendered: RenderedFile) -> Iterator[Problem]:
    for place, trouble in rendered.troubles:
        starts = parsed.lines.get(f"{place}:text", place, place.split("/")[0])
        yield Problem(name, starts + trouble.line, trouble.says, "The text is shown as it stands until then.")


def _duplicates(parsed: Mapping[str, Parsed]) -> Iterator[Problem]:
    by_id: dict[str, list[str]] = defaultdict(list)
    for name, found in parsed.items():
        if found.file and found.file.front.id:
            by_id[found.file.front.id].append(name)
    for note_id, names in by_id.items():
        for name in sorted(names)[1:]:
            says = f"The id `{note_id}` also stands in {sorted(names)[0]}."
            remedy = "Give this card another id, or leave the id out to have one made."
            yield Problem(name, parsed[name].lines.get("id"), says, remedy)


def _prerequisites(parsed: Mapping[str, Parsed], known_concepts: Collection[str]) -> Iterator[Problem]:
    where = {found.file.front.id: name for name, found in parsed.items() if found.file and found.file.front.id}
    needs = {
        note_id: found.file.front.prerequisites
        for note_id, name in where.items()
        if note_id and (found := parsed[name]).file
    }
    for note_id, prerequisites in needs.items():
        name, lines = where[note_id], parsed[where[note_id]].lines
        for number, needed in enumerate(prerequisites, 1):
            if needed in needs:
                continue
            line = lines.get(f"prerequisites/{number}", "prerequisites")
            if needed in known_concepts:
                says = f"The prerequisite `{needed}` is planned and has no card yet."
                yield Problem(name, line, says, "It orders nothing until then.", Severity.NOTE)
            else:
                says = f"The prerequisite `{needed}` is the id of no card and of no planned concept."
                yield Problem(name, line, says, "Correct the id; it orders nothing until then.", Severity.NOTE)
    for cycle in cycles(needs):
        name = where[cycle[0]]
        says = f"These cards need each other: {' → '.join([*cycle, cycle[0]])}."
        yield Problem(name, parsed[name].lines.get("prerequisites"), says, "Take one of the prerequisites away.")


def cycles(needs: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Each group of ids on one circle of prerequisites once, beginning with its smallest id."""
    found: dict[frozenset[str], tuple[str, ...]] = {}
    done: set[str] = set()
    for start in sorted(needs):
        for circle in _circles_from(start, needs, done):
            found.setdefault(frozenset(circle), circle)
    return list(found.values())


def _circles_from(start: str, needs: Mapping[str, Sequence[str]], done: set[str]) -> Iterator[tuple[str, ...]]:
    """Depth first without recursion, since a chain may be long; adds to ``done`` what need not be walked again."""
    path: list[str] = []
    place: dict[str, int] = {}
    stack: list[Iterator[str]] = [iter((start,))]
    while stack:
        following = next(stack[-1], None)
        if following is None:
            stack.pop()
            if path:
                done.add(path[-1])
                del place[path.pop()]
        elif following in place:
            circle = path[place[following] :]
            turn = circle.index(min(circle))
            yield (*circle[turn:], *circle[:turn])
        elif following in needs and following not in done:
            place[following] = len(path)
            path.append(following)
            stack.append(iter(needs[following]))
