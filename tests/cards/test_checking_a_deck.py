from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.cards import check, order
from app.cards.check import SourceFile
from app.cards.model import TOPICS, Severity
from app.cards.order import Concept
from tests.cards.texts import DEMOS, card


def found(*texts: tuple[str, str], planned: tuple[str, ...] = ()) -> list[tuple[str, int, str, Severity]]:
    files = [SourceFile(name, text.encode()) for name, text in texts]
    problems = check.check(files, DEMOS, planned)
    assert all(problem.remedy for problem in problems)
    return [(problem.file, problem.line, problem.says, problem.severity) for problem in problems]


def test_a_tidy_card_has_no_problems() -> None:
    assert found(("losses-and-outputs/softmax.md", card(front="demo: softmax-lab#temperature\n"))) == []


def test_unknown_demos_and_presets_are_problems_at_their_line() -> None:
    front = "demo: nosuch#x\nalso: [softmax-lab#nosuch]\npredict:\n  - preset: grad-clip#nosuch\n"
    said = found(("a.md", card(front=front)))
    assert [(line, says.split("`")[1]) for _, line, says, _ in said] == [
        (6, "nosuch"),
        (7, "softmax-lab"),
        (9, "grad-clip"),
    ]


def test_a_claim_of_an_unknown_demo_is_found() -> None:
    more = "\n## Key points\n\n1. a\n\n## Claims\n\n1. a\n   - verdict: true\n   - shown by: nosuch#x y\n"
    assert [line for _, line, _, _ in found(("a.md", card(more=more)))] == [20]


def test_a_planned_prerequisite_is_a_note_and_so_is_an_unknown_one() -> None:
    said = found(("a.md", card(front="prerequisites:\n  - relu\n  - nosuch\n")), planned=("relu",))
    assert [(line, severity) for _, line, _, severity in said] == [(7, Severity.NOTE), (8, Severity.NOTE)]
    assert "planned" in said[0][2] and "no planned concept" in said[1][2]


def test_an_id_in_two_files_is_a_problem_of_the_second() -> None:
    said = found(("b.md", card("a")), ("a.md", card("a")))
    assert [(name, line) for name, line, _, _ in said] == [("b.md", 2)] and "a.md" in said[0][2]


def test_a_circle_of_prerequisites_is_told_once() -> None:
    files = [(f"{n}.md", card(n, front=f"prerequisites: [{m}]\n")) for n, m in ("ab", "bc", "ca", "dd")]
    said = found(*files)
    assert [says.split(": ")[1] for _, _, says, _ in said] == ["a → b → c → a.", "d → d."]


def test_missing_sources_and_key_points_are_problems() -> None:
    said = found(("a.md", card(more="").replace("sources: [A paper]\n", "")))
    assert ["source" in says or "key points" in says for _, _, says, _ in said] == [True, True]


def test_a_broken_formula_and_a_remote_image_are_told_at_their_line() -> None:
    answer = "one\n\n$\\frac{1$\n\n![x](https://example.org/a.png)"
    assert [line for _, line, _, _ in found(("a.md", card(answer=answer)))] == [14, 16]


def test_the_wrong_folder_is_a_note() -> None:
    assert [severity for *_, severity in found(("applied/a.md", card()))] == [Severity.NOTE]


def test_unreadable_files_are_told_and_the_others_are_checked() -> None:
    said = check.check(
        [SourceFile("a.md", b"\xff"), SourceFile("b.md", b"none"), SourceFile("c.md", card().encode())], DEMOS
    )
    assert [problem.file for problem in said] == ["a.md", "b.md"]


slugs = st.sampled_from("abcdefg")
concepts = st.lists(
    st.builds(Concept, slugs, st.sampled_from(TOPICS), st.integers(1, 3), st.lists(slugs, max_size=3).map(tuple)),
    unique_by=lambda concept: concept.slug,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(concepts)
def test_every_card_has_one_place_and_prerequisites_come_first(all_: list[Concept]) -> None:
    places = order.positions(all_)
    assert sorted(places.values()) == list(range(len(all_))) and set(places) == {concept.slug for concept in all_}
    circles = check.cycles({concept.slug: concept.prerequisites for concept in all_})
    if not circles:
        for concept in all_:
            assert all(places[needed] < places[concept.slug] for needed in concept.prerequisites if needed in places)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(concepts)
def test_a_circle_is_reported_exactly_when_there_is_one(all_: list[Concept]) -> None:
    needs = {concept.slug: concept.prerequisites for concept in all_}
    reached = {slug: {needed for needed in wanted if needed in needs} for slug, wanted in needs.items()}
    for _ in needs:
        reached = {slug: near.union(*(reached[one] for one in near)) for slug, near in reached.items()}
    circles = check.cycles(needs)
    assert bool(circles) == any(slug in far for slug, far in reached.items())
    for circle in circles:
        assert all(after in needs[before] for before, after in zip(circle, (*circle[1:], circle[0]), strict=True))


def test_topics_order_what_prerequisites_leave_open() -> None:
    listed = [Concept("z", "foundations", 2, ()), Concept("y", "foundations", 1, ()), Concept("x", "applied", 1, ())]
    assert order.positions(reversed(listed)) == {"y": 0, "z": 1, "x": 2}
