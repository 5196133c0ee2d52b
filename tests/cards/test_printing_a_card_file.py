"""Printing and reading are inverse, for whatever an author may write."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from app.cards import front as front_matter
from app.cards import markdown
from app.cards.model import (
    TOPICS,
    CardFile,
    Claim,
    DemoClaim,
    Draw,
    FollowUp,
    Front,
    KeyPoint,
    Prediction,
    PresetRef,
    Span,
    Values,
    Verdict,
)

_LIST_LIKE = re.compile(r"^([-*+]|\d{1,3}[.)]|\(\d{1,2}\))(\s|$)|^#|^```|^~~~")
_CHARACTERS = "abcXYZ 0123 .,:;$_*()'\"\\<>&=+-/!?[]{}éß∑→´%@"
words = st.text(_CHARACTERS, min_size=1, max_size=40).map(lambda text: " ".join(text.split()))
lines = words.filter(lambda text: text and not _LIST_LIKE.match(text))
yaml_traps = st.sampled_from(
    ["yes", "null", "~", "1e-3", "2020-01-01", "a: b", "a #b", "- a", "*x", "&y", "@z", "1:30", "[", "{a"]
)
slugs = st.from_regex(r"[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,4}){0,2}", fullmatch=True)
presets = st.builds(PresetRef, slugs, slugs)
finite = st.floats(-1e6, 1e6, allow_nan=False) | st.integers(-1000, 1000)
spans = st.tuples(finite, finite, st.floats(0.001, 5)).map(lambda three: Span(min(three[:2]), max(three[:2]), three[2]))
choices = st.lists(finite | st.booleans() | slugs | yaml_traps, min_size=1, max_size=4).map(
    lambda some: Values(tuple(some))
)
draws: st.SearchStrategy[Draw] = choices | spans
blocks = st.one_of(
    lines,
    st.lists(lines, min_size=1, max_size=3).map("\n".join),
    lines.map(lambda text: f"### {text.strip('#')}x"),
    lines.map(lambda text: f"```python\n# {text}\n## Claims\n\nx = 1\n```"),
    lines.map(lambda text: f"- {text}\n- other"),
    st.just("| a | b |\n|---|---|\n| $|x|$ | 2 |"),
    st.just("$$\n\\frac{1}{2}\n$$"),
)
markdown_texts = st.lists(blocks, min_size=1, max_size=4).map("\n\n".join)
code = st.sampled_from(["measured = 1\nholds = True", "# a\n\nif True:\n    holds = '```'\nmeasured = 2"])
fronts = st.builds(
    Front,
    id=st.none() | slugs,
    topic=st.sampled_from(TOPICS),
    difficulty=st.integers(1, 3),
    demo=st.none() | presets,
    also=st.lists(presets, max_size=2).map(tuple),
    prerequisites=st.lists(slugs | st.just("1e-3"), max_size=3).map(tuple),
    sources=st.lists(words.filter(bool) | yaml_traps, max_size=3).map(tuple),
    predict=st.lists(
        st.builds(
            Prediction, presets, st.lists(st.tuples(slugs, draws), max_size=2, unique_by=lambda p: p[0]).map(tuple)
        ),
        max_size=2,
    ).map(tuple),
)
wordings = st.lists(st.lists(lines.filter(lambda t: "|" not in t), min_size=1, max_size=3).map(tuple), max_size=2).map(
    tuple
)
points = st.builds(KeyPoint, text=lines, false_twin=st.none() | lines, wordings=wordings)
demo_claims = st.lists(st.builds(DemoClaim, presets, slugs, st.booleans()), max_size=2).map(tuple)
claims = st.builds(
    Claim,
    sentence=lines,
    verdict=st.sampled_from(Verdict),
    demo_claims=demo_claims,
    python=code,
    expected=st.none() | st.floats(-10, 10),
    tolerance=st.none() | st.floats(0, 1),
)


@st.composite
def card_files(draw: st.DrawFn) -> CardFile:
    key_points = tuple(draw(st.lists(points, max_size=3)))
    tie = st.none() | st.integers(1, len(key_points)) if key_points else st.none()
    return CardFile(
        front=draw(fronts),
        question=draw(lines),
        answer=draw(markdown_texts),
        setting=draw(st.just("") | markdown_texts.filter(lambda text: "#" not in text)),
        key_points=key_points,
        follow_ups=tuple(draw(st.lists(st.builds(FollowUp, lines, tie), max_size=2))),
        misconceptions=tuple(draw(st.lists(lines, max_size=2))),
        claims=tuple(draw(st.lists(claims, max_size=2))),
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(card_files())
def test_a_printed_card_reads_as_the_same_card(file: CardFile) -> None:
    printed = markdown.print_file(file)
    parsed = markdown.parse("printed.md", printed)
    assert parsed.file == file, printed
    assert parsed.problems == ()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(card_files())
def test_printing_what_was_read_changes_nothing_more(file: CardFile) -> None:
    printed = markdown.print_file(file)
    again = markdown.parse("printed.md", printed).file
    assert again is not None and markdown.print_file(again) == printed


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=300) | st.text("-#:`\n idtopc[]{}&*!|>$", max_size=200).map(lambda text: f"---\n{text}"))
def test_no_text_stops_the_reader(text: str) -> None:
    parsed = markdown.parse("any.md", text)
    count = len(text.split("\n"))
    assert parsed.file is not None or parsed.problems
    assert all(1 <= problem.line <= count for problem in parsed.problems)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(fronts)
def test_stored_front_matter_says_what_the_file_says(front: Front) -> None:
    stored = front_matter.front_json(front)
    values, _ = front_matter.read_yaml(front_matter.print_front(front))
    assert {key: stored[key] for key in values if key != "predict"} == {
        k: v for k, v in values.items() if k != "predict"
    }
