"""What is shown next and what is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.study import queue
from app.study.queue import Left, NewNote, QueueCard, Today

DAY = 20_000
NOW_MS = DAY * 86_400_000 + 43_200_000
MINUTE_MS = 60_000
TODAY = Today(DAY, NOW_MS, new_left=10)


def new(number: int, **options: Any) -> QueueCard:
    return QueueCard(number, options.pop("note_id", number), options.pop("topic", "losses"), number, **options)


def review(number: int, retrievability: float, due_day: int = DAY, **options: Any) -> QueueCard:
    options = {"last_day": DAY - 5, **options}
    return new(number, phase="review", due_day=due_day, retrievability=retrievability, **options)


def step(number: int, minutes: int, due_day: int = DAY, **options: Any) -> QueueCard:
    """A learning card whose step comes due in some minutes."""
    due_at_ms = NOW_MS + minutes * MINUTE_MS
    return new(number, phase="learning", due_day=due_day, due_at_ms=due_at_ms, last_day=due_day, **options)


def shown(cards: list[QueueCard], today: Today = TODAY) -> list[int]:
    return [choice.card.card_id for choice in queue.build(cards, today).order]


def test_due_steps_come_before_reviews_before_new_cards_before_early_steps() -> None:
    cards = [new(1), step(2, 5), review(3, 0.9), step(4, -1)]
    choices = queue.build(cards, TODAY).order
    assert [(choice.card.card_id, choice.kind, choice.is_early) for choice in choices] == [
        *((4, "learning", False), (3, "review", False), (1, "new", False), (2, "learning", True)),
    ]


def test_the_weakest_review_comes_first() -> None:
    assert shown([review(1, 0.95), review(2, 0.4), review(3, 0.8)]) == [2, 3, 1]


def test_steps_come_in_the_order_of_their_moments() -> None:
    assert shown([step(1, -1), step(2, -9), step(3, -4)]) == [2, 3, 1]


def test_a_step_that_waits_longer_than_twenty_minutes_is_not_shown_but_counted() -> None:
    built = queue.build([step(1, 21), step(2, 30)], TODAY)
    assert (built.order, built.left, built.next_at_ms) == ((), Left(2, 0, 0), NOW_MS + 21 * MINUTE_MS)


def test_a_step_of_a_day_that_is_over_is_due_at_once() -> None:
    built = queue.build([step(1, 300, due_day=DAY - 1)], TODAY)
    assert [choice.is_early for choice in built.order] == [False]
    assert built.next_at_ms is None


def test_a_step_of_several_days_waits_for_its_day() -> None:
    waiting = replace(step(1, 0, due_day=DAY + 1), due_at_ms=None)
    assert shown([waiting]) == []
    assert shown([replace(waiting, due_day=DAY)]) == [1]


def test_a_review_is_not_due_before_its_day() -> None:
    assert shown([review(1, 0.9, due_day=DAY + 1), review(2, 0.9, due_day=DAY - 9)]) == [2]


def test_a_review_is_never_shown_twice_on_a_study_day() -> None:
    assert shown([review(1, 1.0, last_day=DAY)]) == []


def test_on_the_last_day_before_the_interview_everything_not_seen_that_day_is_due() -> None:
    cards = [review(1, 0.9, due_day=DAY + 50), review(2, 1.0, due_day=DAY + 50, last_day=DAY)]
    assert shown(cards, replace(TODAY, not_after_day=DAY)) == [1]
    assert shown(cards, replace(TODAY, not_after_day=DAY + 1)) == []


@pytest.mark.parametrize(("new_left", "expected"), [(2, [1, 2]), (0, []), (-1, [])])
def test_the_limit_of_new_cards_holds(new_left: int, expected: list[int]) -> None:
    built = queue.build([new(3), new(1), new(2)], replace(TODAY, new_left=new_left))
    assert [choice.card.card_id for choice in built.order] == expected
    assert built.left.new == len(expected)


def test_siblings_never_share_a_study_day() -> None:
    siblings = [review(1, 0.5, note_id=7), review(2, 0.4, note_id=7), new(3, note_id=7)]
    assert shown(siblings) == [2]
    assert shown(siblings, replace(TODAY, seen={7: 2})) == [2]
    assert shown([card for card in siblings if card.card_id != 2], replace(TODAY, seen={7: 2})) == []


def test_a_card_in_its_steps_goes_on_although_its_note_was_seen() -> None:
    assert shown([step(1, -1, note_id=7), new(2, note_id=7)], replace(TODAY, seen={7: 1})) == [1]


def test_a_sibling_that_takes_no_place_does_not_use_up_the_limit() -> None:
    assert shown([new(1, note_id=7), new(2, note_id=7), new(3)], replace(TODAY, new_left=2)) == [1, 3]


def test_suspended_and_buried_cards_are_left_out() -> None:
    cards = [new(1, is_suspended=True), new(2, buried_day=DAY), new(3, buried_day=DAY - 1)]
    assert shown(cards) == [3]


def test_a_topic_shows_its_own_cards_then_new_ones_beyond_the_limit_then_early_ones() -> None:
    cards = [
        *(review(1, 0.9, due_day=DAY + 9), review(2, 0.7, due_day=DAY + 9), review(3, 0.5), new(4), new(5)),
        *(new(6, topic="vision"), review(7, 0.1, topic="vision"), review(8, 0.99, DAY + 9, last_day=DAY)),
    ]
    built = queue.build(cards, replace(TODAY, new_left=0, topic="losses"))
    assert [choice.card.card_id for choice in built.order] == [3, 4, 5, 2, 1]
    assert [choice.is_early for choice in built.order] == [False, False, False, True, True]
    assert built.left == Left(0, 1, 2)
    assert built.left.total == 3


QUEUE_CARDS = st.lists(
    st.builds(
        QueueCard,
        card_id=st.integers(1, 500),
        note_id=st.integers(1, 12),
        topic=st.sampled_from(["losses", "vision"]),
        position=st.integers(0, 50),
        phase=st.sampled_from(["new", "learning", "review", "relearning"]),
        due_day=st.integers(DAY - 2, DAY + 2),
        due_at_ms=st.none() | st.integers(NOW_MS - 40 * MINUTE_MS, NOW_MS + 40 * MINUTE_MS),
        last_day=st.integers(DAY - 3, DAY),
        retrievability=st.floats(0, 1),
        is_suspended=st.booleans(),
        buried_day=st.none() | st.just(DAY),
    ),
    max_size=12,
    unique_by=lambda card: card.card_id,
)
TODAYS = st.builds(
    Today,
    study_day=st.just(DAY),
    now_ms=st.just(NOW_MS),
    new_left=st.integers(0, 2),
    seen=st.dictionaries(st.integers(1, 12), st.integers(1, 500), max_size=3),
    topic=st.sampled_from([None, "losses"]),
    not_after_day=st.sampled_from([None, DAY, DAY + 3]),
)


@given(QUEUE_CARDS, TODAYS)
def test_picking_between_heads_chooses_what_the_whole_queue_begins_with(cards: list[QueueCard], today: Today) -> None:
    built = queue.build(cards, today)
    allowed = [card for card in cards if queue.may_be_shown(card, today)]
    steps = [c for c in allowed if c.phase in ("learning", "relearning") and (c.due_day or 0) <= DAY]
    steps.sort(key=lambda c: (not queue.is_step_due(c, today), c.due_day, c.due_at_ms or 0, c.card_id))
    reviews = [card for card in allowed if card.phase == "review"]
    reviews.sort(key=lambda card: (card.retrievability, card.card_id))
    due = [card for card in reviews if queue.is_review_due(card, today)]
    begun = {card.note_id for card in (*steps, *due)}
    fresh = [card for card in allowed if card.phase == "new" and card.note_id not in begun]
    fresh.sort(key=lambda card: (card.position, card.card_id))
    taken = begun | {card.note_id for card in fresh}
    early = [c for c in reviews if c not in due and c.last_day != DAY and c.note_id not in taken]
    free = [card for card in due if card.note_id not in {other.note_id for other in steps}]
    step_head, review_head, new_head, early_head = (next(iter(head), None) for head in (steps, free, fresh, early))
    picked = queue.pick(step_head, review_head, new_head, today, early_head)
    assert picked == (built.order[0] if built.order else None)


@given(QUEUE_CARDS, TODAYS)
def test_no_note_is_in_the_queue_twice(cards: list[QueueCard], today: Today) -> None:
    notes = [choice.card.note_id for choice in queue.build(cards, today).order]
    assert len(notes) == len(set(notes))


def test_nothing_is_picked_from_nothing() -> None:
    assert queue.pick(None, None, None, TODAY) is None
    assert queue.pick(None, None, None, TODAY, review(1, 0.9)) is None


def test_a_step_that_comes_due_soon_is_picked_when_nothing_else_is_there() -> None:
    picked = queue.pick(step(1, 5), None, new(2), replace(TODAY, new_left=0))
    assert picked is not None and (picked.card.card_id, picked.is_early) == (1, True)


def test_a_new_card_is_no_step_and_no_review() -> None:
    assert not queue.is_step_due(new(1), TODAY)
    assert not queue.is_review_due(new(1), TODAY)


def order(*notes: tuple[str, tuple[int, ...], tuple[str, ...]]) -> list[object]:
    return list(queue.new_order(NewNote(*note) for note in notes))


def test_a_note_follows_its_prerequisites_and_otherwise_its_place() -> None:
    notes = (("dropout", (1, 0), ("softmax",)), ("softmax", (2, 0), ()), ("adam", (1, 1), ()))
    assert order(*notes) == ["adam", "softmax", "dropout"]


def test_a_prerequisite_that_is_not_there_orders_nothing() -> None:
    assert order(("b", (1,), ("not yet authored",)), ("a", (2,), ())) == ["b", "a"]


def test_notes_that_require_one_another_are_still_all_placed() -> None:
    assert order(("b", (2,), ("a",)), ("a", (1,), ("b",)), ("c", (3,), ("b",)), ("d", (0,), ("d",))) == [
        "d",
        "a",
        "b",
        "c",
    ]


@given(st.lists(st.lists(st.integers(0, 14), max_size=4), max_size=15))
def test_every_note_is_placed_once_and_after_what_it_requires(requires: list[list[int]]) -> None:
    """Requirements point to smaller numbers, so there is no circle; places go the other way."""
    notes = [NewNote(n, (-n,), [key for key in required if key < n]) for n, required in enumerate(requires)]
    placed = queue.new_order(notes)
    assert sorted(map(str, placed)) == sorted(str(note.key) for note in notes)
    assert all(placed.index(key) < placed.index(note.key) for note in notes for key in note.prerequisites)
