from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from app.cards import actions, queries
from app.errors import NotFound
from tests.cards.texts import DEMOS, card, write


@pytest.fixture
def deck(session: Session, tmp_path: Path, now: datetime) -> Session:
    for number in range(7):
        text = card(
            f"card-{number}", f"What is Adam number {number}?", "An optimiser, naïve or not.", topic="optimisation"
        )
        write(tmp_path, f"optimisation/card-{number}.md", text)
    write(tmp_path, "applied/x.md", card("x", "Why a <b>bold</b> claim?", "Of cross_entropy & Adam.", topic="applied"))
    write(tmp_path, "applied/y.md", card("y", "Predict?", topic="applied", front="demo: grad-clip#two-axes\n"))
    actions.load(session, tmp_path, DEMOS, now)
    return session


def test_pages_follow_the_cursor_without_gap_or_repeat(deck: Session) -> None:
    seen: list[str] = []
    after: int | None = None
    for _ in range(5):
        page = queries.deck(deck, after=after, limit=4)
        seen += [line.slug for line in page.lines]
        after = page.next_after
        if after is None:
            break
    assert seen == [*(f"card-{number}" for number in range(7)), "x", "y"]


def test_a_full_last_page_has_no_next_one(deck: Session) -> None:
    assert queries.deck(deck, limit=9).next_after is None
    assert queries.deck(deck, limit=8).next_after == 7


def test_the_deck_is_filtered(deck: Session) -> None:
    assert [line.slug for line in queries.deck(deck, topic="applied").lines] == ["x", "y"]
    assert [line.slug for line in queries.deck(deck, demo="grad-clip").lines] == ["y"]
    assert queries.deck(deck, difficulty=3).lines == ()
    assert queries.deck(deck, origin="import").lines == ()


def test_search_finds_as_one_types_and_marks_what_it_found(deck: Session) -> None:
    found = queries.search(deck, "ada num")
    assert len(found) == 7
    assert found[0].question == (("What is ", False), ("Adam", True), (" ", False), ("number", True), (" 0?", False))


def test_a_word_in_the_question_counts_more_than_in_the_answer(deck: Session) -> None:
    assert [one.line.slug for one in queries.search(deck, "adam")][-1] == "x"


def test_accents_do_not_matter(deck: Session) -> None:
    assert len(queries.search(deck, "naive")) == 7


TYPED = [
    '"',
    "adam OR",
    "NEAR(",
    "question:adam",
    "a* b*",
    "-adam",
    "'; DROP TABLE note; --",
    "(",
    "\0",
    "^adam",
    'ad am""',
    "{",
    "+",
]


@pytest.mark.parametrize("typed", TYPED)
def test_no_typed_text_breaks_the_search(deck: Session, typed: str) -> None:
    queries.search(deck, typed)
    assert len(queries.deck(deck).lines) == 9


def test_nothing_typed_finds_nothing(deck: Session) -> None:
    assert queries.search(deck, "  ?! ") == ()


def test_a_marked_piece_is_text_and_not_html(deck: Session) -> None:
    found = queries.search(deck, "bold")[0]
    assert "".join(piece for piece, _ in found.question) == "Why a bold claim?"


def test_an_unknown_card_is_not_found(deck: Session) -> None:
    with pytest.raises(NotFound, match="nosuch"):
        queries.note(deck, "nosuch")
