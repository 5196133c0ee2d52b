from __future__ import annotations

from pathlib import Path

import pytest

from app.cards import markdown
from app.cards.model import Claim, DemoClaim, FollowUp, KeyPoint, PresetRef, Problem, Span, Values, Verdict, cards_of
from app.settings import ROOT
from tests.cards.texts import card

EXAMPLE = ROOT / "content" / "losses-and-outputs" / "softmax.md"


def test_the_example_card_reads_without_a_problem() -> None:
    parsed = markdown.parse("softmax.md", EXAMPLE.read_text(encoding="utf-8"))
    assert parsed.problems == ()
    assert parsed.file is not None
    assert parsed.file.front.id == "softmax"
    assert all(point.false_twin and point.wordings for point in parsed.file.key_points)
    assert all(follow_up.key_point for follow_up in parsed.file.follow_ups)
    assert any(claim.python for claim in parsed.file.claims) and parsed.file.front.predict


def test_one_file_yields_a_recall_card_and_its_predict_cards() -> None:
    front = "predict:\n  - preset: grad-clip#two-axes\n    draw: {p: [1, 2.5]}\n"
    front += "  - preset: grad-clip#two-axes\n    draw: {c: {from: 0.1, to: 1, step: 0.1}}\n"
    file = markdown.parse("a.md", card(front=front)).file
    assert file is not None
    assert [one.key for one in cards_of("softmax", file)] == ["softmax", "softmax/predict", "softmax/predict-2"]
    assert file.front.predict[0].draw == (("p", Values((1, 2.5))),)
    assert file.front.predict[1].draw == (("c", Span(0.1, 1, 0.1)),)


def test_comments_in_code_are_no_headings() -> None:
    answer = "Before.\n\n```python\n# Question\n## Claims\n```\n\nAfter."
    parsed = markdown.parse("a.md", card(answer=answer))
    assert parsed.file is not None and parsed.file.answer == answer
    assert parsed.problems == ()


def test_key_points_follow_ups_and_claims_carry_their_parts() -> None:
    more = (
        "\n## Key points\n\n1. Shift first.\n   - not: Shift last.\n   - say: shift | subtract\n   - say: max\n"
        "\n## Follow-ups\n\n- (1) Why\n  so?\n- And then?\n"
        "\n## Claims\n\n1. Same.\n   - verdict: depends\n   - tolerance: 1e-12\n\n   ```python\n"
        "   if True:\n       measured = 1\n   ```\n"
    )
    file = markdown.parse("a.md", card(more=more)).file
    assert file is not None
    assert file.key_points == (KeyPoint("Shift first.", "Shift last.", (("shift", "subtract"), ("max",))),)
    assert file.follow_ups == (FollowUp("Why\nso?", 1), FollowUp("And then?"))
    assert file.claims == (Claim("Same.", Verdict.DEPENDS, (), "if True:\n    measured = 1", None, 1e-12),)


def test_a_setting_is_read_between_question_and_answer() -> None:
    text = card().replace("## Answer", "Given `x = 2`.\n\n## Answer")
    file = markdown.parse("a.md", text).file
    assert file is not None and file.setting == "Given `x = 2`."


def test_a_claim_may_name_claims_of_demos() -> None:
    more = "\n## Claims\n\n1. Same.\n   - verdict: false\n   - refuted by: grad-clip#two-axes angle-changes\n"
    file = markdown.parse("a.md", card(more=more)).file
    assert file is not None
    assert file.claims[0].demo_claims == (DemoClaim(PresetRef("grad-clip", "two-axes"), "angle-changes", False),)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    raw = b"\xef\xbb\xbf" + card().replace("\n", "\r\n").encode()
    text = markdown.decode("a.md", raw)
    assert text == card()


def test_numbers_with_an_exponent_are_numbers() -> None:
    front = "predict:\n  - preset: grad-clip#two-axes\n    draw: {c: [1e-3, 2.5e2]}\n"
    file = markdown.parse("a.md", card(front=front)).file
    assert file is not None and file.front.predict[0].draw == (("c", Values((0.001, 250.0))),)


FATAL = [
    ("no front matter at all", 1, "no front matter"),
    ("---\nid: a\ntopic: applied\n", 1, "never closed"),
    ("---\nid: [a\n---\n# Q\n", 3, "not YAML"),
    ("---\nid: &x a\ntopic: *x\n---\n# Q\n", 2, "alias"),
    ("---\nid: a\nid: b\n---\n# Q\n", 3, "twice"),
    ("---\n" + "a: " + "[" * 60 + "]" * 60 + "\n---\n# Q\n", 2, "nested"),
    ("---\n- a\n---\n# Q\n", 2, "not a list of"),
    (card().replace("# What does softmax do?", ""), 7, "no question"),
    (card(question=""), 8, "no question"),
    (card(answer=""), 10, "no answer"),
    (card().replace("## Answer", "## Answr"), 8, "no answer"),
]


@pytest.mark.parametrize(("text", "line", "says"), FATAL)
def test_what_keeps_a_card_from_being_read_is_named_with_its_line(text: str, line: int, says: str) -> None:
    parsed = markdown.parse("broken.md", text)
    assert parsed.file is None
    found = [problem for problem in parsed.problems if says in problem.says]
    assert [(problem.file, problem.line) for problem in found] == [("broken.md", line)]
    assert all(problem.remedy for problem in parsed.problems)


PARTIAL = [
    (card(front="colour: red\n"), 6, "`colour` is not a key"),
    (card(topic="cooking"), 3, "no topic `cooking`"),
    (card(note_id="Soft Max"), 2, "cannot be used"),
    (card().replace("difficulty: 1", "difficulty: 9"), 4, "not 1, 2 or 3"),
    (card(front="demo: softmax-lab\n"), 6, "does not name a demo's preset"),
    (card(front="prerequisites: relu\n"), 6, "not a list"),
    (card(front="prerequisites:\n  - relu\n  - 7\n"), 8, "not a line of text"),
    (card(front="predict:\n  - preset: a#b\n    draw: {p: {from: 2, to: 1, step: 1}}\n"), 7, "How to draw `p`"),
    (card(front="predict:\n  - preset: a#b\n    draw: {p: [.nan]}\n"), 7, "How to draw `p`"),
    (card(more="\n## Key pionts\n"), 14, "begins no section"),
    (card(more="\n# Another title\n"), 14, "begins no section"),
    (card(more="\n## Answer\n\nagain\n"), 14, "stands twice"),
    (card(more="\n## Key points\n\nnot a list\n"), 16, "not in it"),
    (card(more="\n## Key points\n\n1. a\n   - not: b\n   - not: c\n"), 16, "two false twins"),
    (card(more="\n## Key points\n\n1. a\n\n## Follow-ups\n\n- (2) Why?\n"), 20, "no key point 2"),
    (card(more="\n## Claims\n\n1. a\n"), 16, "no verdict"),
    (card(more="\n## Claims\n\n1. a\n   - verdict: true\n"), 16, "Nothing settles"),
    (card(more="\n## Claims\n\n1. a\n   - verdict: true\n   - shown by: nothing\n"), 18, "names no claim"),
    (card(more="\n## Claims\n\n1. a\n   - verdict: true\n\n   ```bash\n   ls\n   ```\n"), 16, "runs Python"),
    (card(answer="```python\nx = 1"), 12, "never closed"),
]


@pytest.mark.parametrize(("text", "line", "says"), PARTIAL)
def test_a_part_that_cannot_be_used_is_reported_and_the_card_is_kept(text: str, line: int, says: str) -> None:
    parsed = markdown.parse("part.md", text)
    assert parsed.file is not None
    assert [problem.line for problem in parsed.problems if says in problem.says] == [line]
    assert all(problem.remedy for problem in parsed.problems)


@pytest.mark.parametrize(
    ("raw", "line", "says"),
    [
        (b"one\ntwo\n\xff\xfe", 3, "not UTF-8"),
        (b"one\n\0", 2, "NUL"),
        (b"x" * (markdown.MAX_FILE_BYTES + 1), 1, "may hold"),
    ],
)
def test_bytes_that_are_no_text_are_named_with_their_line(raw: bytes, line: int, says: str) -> None:
    problem = markdown.decode("bytes.md", raw)
    assert isinstance(problem, Problem)
    assert problem.line == line and says in problem.says


def test_an_unstamped_file_can_be_stamped(tmp_path: Path) -> None:
    stamped = markdown.stamp(card(note_id=None), "fresh")
    file = markdown.parse("a.md", stamped).file
    assert file is not None and file.front.id == "fresh"
    assert markdown.parse("a.md", card(note_id=None)).file is not None
    again = markdown.parse("a.md", markdown.stamp(stamped, "other")).file
    assert again is not None and again.front.id == "other"
