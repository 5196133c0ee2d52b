"""The front matter of a card file: YAML to values with the line of each, and back (pure)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import yaml

from app.cards.model import TOPICS, Draw, Front, KnobValue, Prediction, PresetRef, Span, Values, topic_slug

MAX_FRONT_CHARACTERS = 16_000
MAX_FRONT_NESTING = 8
KEYS = ("id", "topic", "difficulty", "demo", "also", "prerequisites", "sources", "predict")
ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_PRESET = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)#([^\s#]+)")
_EXPONENT = re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+")

Report = Callable[[str, str, str], None]
"""Called with the place (a key of `Lines`), what is wrong, and the remedy."""


class UnreadableError(Exception):
    """``line`` counts from the first line of the front matter, ``says`` names what is wrong."""

    def __init__(self, line: int, says: str) -> None:
        super().__init__(says)
        self.line = line
        self.says = says


def read_yaml(text: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Values and 1-based lines per key. Raises `UnreadableError`; aliases and deep nesting are refused."""
    if len(text) > MAX_FRONT_CHARACTERS:
        raise UnreadableError(1, f"The front matter is longer than {MAX_FRONT_CHARACTERS:,} characters.")
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        says = f"The front matter is not YAML: {error.problem or error.context}."
        raise UnreadableError(mark.line + 1 if mark else 1, says) from error
    except (yaml.YAMLError, ValueError) as error:
        raise UnreadableError(1, "The front matter holds a character that YAML does not allow.") from error
    if node is None:
        return {}, {}
    if not isinstance(node, yaml.MappingNode):
        raise UnreadableError(1, "The front matter is not a list of `key: value` lines.")
    return _mapping(node, text, set())


def _mapping(node: yaml.MappingNode, text: str, seen: set[int]) -> tuple[dict[str, Any], dict[str, int]]:
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key, value in node.value:
        name = str(key.value)
        if name in values:
            raise UnreadableError(key.start_mark.line + 1, f"The key `{name}` stands twice in the front matter.")
        values[name] = _plain(value, text, seen, 1)
        lines[name] = key.start_mark.line + 1
        if isinstance(value, yaml.SequenceNode):
            lines |= {f"{name}/{n}": item.start_mark.line + 1 for n, item in enumerate(value.value, 1)}
    return values, lines


def _plain(node: yaml.Node, text: str, seen: set[int], depth: int) -> Any:
    if id(node) in seen or depth > MAX_FRONT_NESTING:
        says = (
            "The front matter uses an alias (`*name`)." if id(node) in seen else "The front matter is nested too deep."
        )
        raise UnreadableError(node.start_mark.line + 1, says)
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, text, seen, depth + 1) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value, text, seen, depth + 1) for key, value in node.value}
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    kind, value = node.tag.rsplit(":", 1)[-1], str(node.value)
    try:
        if kind == "int":
            return int(value.replace("_", ""))
        if kind == "float":
            return float(value.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return value
    if kind == "bool":
        return value.lower() in {"true", "yes", "on"}
    if kind == "null":
        return None
    is_quoted = isinstance(node, yaml.ScalarNode) and bool(node.style)
    return float(value) if not is_quoted and _EXPONENT.fullmatch(value) else value


def preset_ref(value: object) -> PresetRef | None:
    found = _PRESET.fullmatch(value) if isinstance(value, str) else None
    return PresetRef(found[1], found[2]) if found else None


def front_of(values: dict[str, Any], report: Report) -> Front:
    """Keeps what can be read and reports the rest."""
    for key in values:
        if key not in KEYS:
            report(key, f"`{key}` is not a key of the front matter.", f"Use one of: {', '.join(KEYS)}.")
    return Front(
        id=_id(values.get("id"), report),
        topic=_topic(values.get("topic"), report),
        difficulty=_difficulty(values.get("difficulty"), report),
        demo=_preset("demo", values.get("demo"), report),
        also=tuple(filter(None, (_preset("also", item, report) for item in _list("also", values, report)))),
        prerequisites=_strings("prerequisites", values, report),
        sources=_strings("sources", values, report),
        predict=_predictions(values, report),
    )


def _id(value: object, report: Report) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and len(value) <= 80 and ID.fullmatch(value):
        return value
    report("id", f"The id `{value}` cannot be used.", "Use lower-case letters, digits and single hyphens, up to 80.")
    return None


def _topic(value: object, report: Report) -> str:
    known = {topic_slug(topic): topic for topic in TOPICS}
    found = known.get(topic_slug(value)) if isinstance(value, str) else None
    if found is None:
        says = "The topic is missing." if value is None else f"There is no topic `{value}`."
        report("topic", says, f"Use one of: {'; '.join(TOPICS)}.")
    return found or ""


def _difficulty(value: object, report: Report) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 3:
        return value
    says = "The difficulty is missing." if value is None else f"The difficulty `{value}` is not 1, 2 or 3."
    report("difficulty", says, "Write 1 (first round), 2 (solid practitioner) or 3 (specialist).")
    return 2


def _preset(place: str, value: object, report: Report) -> PresetRef | None:
    found = preset_ref(value)
    if found is None and value is not None:
        report(place, f"`{value}` does not name a demo's preset.", "Write `slug#preset`, such as `grad-clip#two-axes`.")
    return found


def _list(key: str, values: dict[str, Any], report: Report) -> list[Any]:
    value = values.get(key)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    report(key, f"`{key}` is not a list.", f"Write `{key}: [one, two]` or one item a line with `- `.")
    return []


def _strings(key: str, values: dict[str, Any], report: Report) -> tuple[str, ...]:
    kept = []
    for number, item in enumerate(_list(key, values, report), 1):
        if isinstance(item, str) and item.strip():
            kept.append(" ".join(item.split()))
        else:
            report(f"{key}/{number}", f"Item {number} of `{key}` is not a line of text.", "Put it in double quotes.")
    return tuple(kept)


def _predictions(values: dict[str, Any], report: Report) -> tuple[Prediction, ...]:
    kept = []
    for number, item in enumerate(_list("predict", values, report), 1):
        place = f"predict/{number}"
        entry = item if isinstance(item, dict) else {"preset": item}
        preset = _preset(place, entry.get("preset", ""), report)
        draw = entry.get("draw") or {}
        if not isinstance(draw, dict):
            report(place, "`draw` does not name knobs.", "Write `draw:` and below it `knob: [values]`.")
            draw = {}
        if preset is not None:
            kept.append(Prediction(preset, _draws(place, draw, report)))
    return tuple(kept)


def _draws(place: str, draw: dict[str, Any], report: Report) -> tuple[tuple[str, Draw], ...]:
    pairs = ((knob, _draw(value)) for knob, value in draw.items())
    kept = []
    for knob, found in pairs:
        if found is None:
            says = f"How to draw `{knob}` cannot be read."
            report(place, says, "Write `[values]` or `{from: a, to: b, step: c}` with a step above 0.")
        else:
            kept.append((knob, found))
    return tuple(kept)


def _draw(value: object) -> Draw | None:
    if isinstance(value, list):
        fits = bool(value) and all(_is_knob_value(item) for item in value)
        return Values(tuple(value)) if fits else None
    if isinstance(value, dict) and set(value) == {"from", "to", "step"}:
        start, stop, step = value["from"], value["to"], value["step"]
        numbers = all(_is_number(item) for item in (start, stop, step))
        return Span(start, stop, step) if numbers and step > 0 and start <= stop else None
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_knob_value(value: object) -> bool:
    return isinstance(value, bool | str) or _is_number(value)


def print_front(front: Front) -> str:
    """The lines between the two ``---``, each ended by a newline."""
    lines = [f"id: {_yaml(front.id)}"] if front.id else []
    lines += [f"topic: {_yaml(front.topic)}", f"difficulty: {front.difficulty}"]
    if front.demo:
        lines.append(f"demo: {_yaml(str(front.demo))}")
    if front.also:
        lines += ["also:", *(f"  - {_yaml(str(preset))}" for preset in front.also)]
    if front.prerequisites:
        lines.append(f"prerequisites: {_yaml(list(front.prerequisites))}")
    if front.sources:
        lines += ["sources:", *(f"  - {_yaml(source)}" for source in front.sources)]
    if front.predict:
        lines.append("predict:")
    for prediction in front.predict:
        lines.append(f"  - preset: {_yaml(str(prediction.preset))}")
        lines += ["    draw:"] if prediction.draw else []
        lines += [f"      {_yaml(knob)}: {_yaml(_draw_value(draw))}" for knob, draw in prediction.draw]
    return "\n".join(lines) + "\n"


def _draw_value(draw: Draw) -> list[KnobValue] | dict[str, int | float]:
    if isinstance(draw, Values):
        return list(draw.choices)
    return {"from": draw.start, "to": draw.stop, "step": draw.step}


class _Dumper(yaml.SafeDumper):
    """Quotes texts that look like ``1e-3``: this reader takes those for numbers, PyYAML's resolver does not."""


def _text_node(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if _EXPONENT.fullmatch(value) else None)


_Dumper.add_representer(str, _text_node)


def _yaml(value: object) -> str:
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=1_000_000, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")


def front_json(front: Front) -> dict[str, Any]:
    return {
        "id": front.id,
        "topic": front.topic,
        "difficulty": front.difficulty,
        "demo": str(front.demo) if front.demo else None,
        "also": [str(preset) for preset in front.also],
        "prerequisites": list(front.prerequisites),
        "sources": list(front.sources),
        "predict": [
            {"preset": str(entry.preset), "draw": {knob: _draw_value(draw) for knob, draw in entry.draw}}
            for entry in front.predict
        ],
    }
