from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app import clock, db
from app.study import actions, memory, queue, showing, terms, tokens
from app.study.queue import Queue, QueueCard, Today
from app.viewer import Viewer
from tests.study import deck
from tests.study.deck import ADA, BEN
from tests.study.desk import Desk

CARDS = """
SELECT card.id, note.id, note.topic, note.position * 1000 + card.position, coalesce(memory.phase, 'new'),
       memory.due_day, memory.due_at_ms, memory.last_day, memory.stability, coalesce(suspended, 0), buried_day
FROM card JOIN note ON note.id = note_id LEFT JOIN memory ON memory.card_id = card.id AND memory.user_id = :user
LEFT JOIN card_mark ON card_mark.card_id = card.id AND card_mark.user_id = :user WHERE card.archived_at IS NULL
"""


def whole_queue(desk: Desk, viewer: Viewer, topic: str | None = None) -> Queue:
    """The pure rule over every card of the deck: what the indexes must find."""
    with db.reading(desk.engine) as session:
        mine = terms.terms_of(session, viewer)
    day = mine.day(desk.at)
    cards = [_card(row, day) for row in desk.rows(CARDS, user=viewer.id)]
    counted = "SELECT new_cards FROM daily WHERE user_id = :user AND study_day = :day"
    introduced = desk.rows(counted, user=viewer.id, day=day)
    today = Today(
        study_day=day,
        now_ms=clock.milliseconds(desk.at),
        new_left=mine.new_cards_per_day - (introduced[0][0] if introduced else 0),
        seen={card.note_id: card.card_id for card in cards if card.last_day == day},
        topic=topic,
        not_after_day=mine.not_after_day,
    )
    return queue.build(cards, today)


def _card(row: tuple[Any, ...], day: int) -> QueueCard:
    *front, stability, suspended, buried = row
    recalled = None if stability is None else memory.retrievability(stability, day - front[7])
    return QueueCard(*front, recalled, bool(suspended), buried)


@pytest.mark.parametrize("seed", range(4))
async def test_what_the_indexes_find_is_what_the_rule_orders(desk: Desk, seed: int) -> None:
    chance = random.Random(seed)
    with db.writing(desk.engine) as session:
        session.add_all(deck.note(number) for number in range(5, 25))
        session.flush()
        for number in range(5, 25):
            session.add_all(deck.cards(number))
    await desk.choose(new_cards_per_day=chance.randrange(1, 9))
    if seed % 2:
        await desk.choose(new_cards_per_day=5, interview=desk.at.date() + timedelta(days=6))
    for _ in range(80):
        topic = chance.choice((None, None, None, "optimisation"))
        expected, found = whole_queue(desk, ADA, topic), desk.next(topic=topic)
        assert found.left == expected.left
        first = expected.order[0] if expected.order else None
        shown = found.showing
        is_after_undo = desk.rows("SELECT kind FROM review ORDER BY id DESC LIMIT 1") == [("undo",)]
        if not is_after_undo:
            assert (shown and (shown.card.card_id, shown.is_early)) == (first and (first.card.card_id, first.is_early))
        await _something_happens(desk, chance, None if shown is None else int(shown.card.card_id))
    assert desk.problems() == ()


async def _something_happens(desk: Desk, chance: random.Random, shown: int | None) -> None:
    what = chance.random()
    day = terms.Terms(terms.zone(ADA.time_zone)).day(desk.at)
    card = chance.randrange(1, 49)
    if shown is None or what < 0.15:
        desk.wait(hours=chance.choice((1, 9, 24, 72)))
    elif what < 0.80:
        await desk.answer(shown, chance.choice((1, 2, 3, 3, 3, 4)))
        desk.wait(minutes=chance.choice((0, 1, 5)))
    elif what < 0.85:
        await desk.answer(shown, chance.choice((3, 4)))
        await desk.undo()
    elif what < 0.92:
        await desk.writer.run(lambda session: actions.suspend(session, ADA, card, suspended=chance.random() < 0.6))
    else:
        await desk.writer.run(lambda session: actions.bury(session, ADA, card, day))


async def test_ben_is_not_shown_what_ada_did(desk: Desk) -> None:
    before = desk.next(BEN)
    await desk.answer(1, 3, ADA)
    assert desk.next(BEN) == before


async def test_siblings_never_share_a_study_day(desk: Desk) -> None:
    seen = []
    while (shown := desk.next().showing) is not None:
        seen.append(shown.card.note_id)
        await desk.answer(int(shown.card.card_id), 4)
    assert sorted(seen) == [1, 2, 3, 4]


async def test_a_card_that_is_loaded_before_the_frontier_is_found(desk: Desk) -> None:
    for card in (1, 3, 5, 7):
        await desk.answer(card, 4)
    desk.wait(days=1)
    assert desk.next().showing is not None
    with db.writing(desk.engine) as session:
        session.add(deck.note(30))
        session.flush()
        session.add(deck.cards(30)[0])
        session.execute(text("UPDATE note SET position = 0 WHERE id = 30"))
    shown = desk.next().showing
    assert shown is not None and shown.card.note_id == 30


async def test_a_card_that_was_archived_is_not_shown_and_comes_back_where_it_was(desk: Desk) -> None:
    desk.next()
    for archived, expected in (("1", 3), ("NULL", 1)):
        with db.writing(desk.engine) as session:
            session.execute(text(f"UPDATE card SET archived_at = {archived} WHERE note_id = 1"))
        shown = desk.next().showing
        assert shown is not None and shown.card.card_id == expected


async def test_a_newcomer_meets_the_named_cards_first(desk: Desk) -> None:
    first = ("note-3/predict", "nowhere", "note-2")
    seen = []
    for _ in range(3):
        shown = desk.next(first=first).showing
        assert shown is not None
        seen.append(shown.card.card_id)
        await desk.answer(int(shown.card.card_id), 4)
    assert seen == [6, 3, 1]


async def test_new_cards_stop_when_the_pace_fills_the_minutes(desk: Desk) -> None:
    await desk.choose(interview=desk.at.date() + timedelta(days=10), minutes_a_day=2, new_cards_per_day=100)
    spent, answers = 0, 0
    while (shown := desk.next().showing) is not None:
        await desk.answer(int(shown.card.card_id), 3, duration_ms=30_000)
        desk.wait(seconds=30)
        spent, answers = spent + 30, answers + 1
    assert answers > 0
    assert spent <= 2 * 60 + 30
    full = desk.next(is_going_on=True)
    assert desk.next().is_full or full.showing is None


async def test_the_buttons_promise_what_the_grade_does(desk: Desk) -> None:
    for rating in (1, 2, 3, 4):
        card = 2 * rating - 1
        with db.reading(desk.engine) as session:
            shown = showing.show(session, ADA, card, desk.at)
            mine = terms.terms_of(session, ADA)
        assert shown is not None
        token = desk.token(card)
        promised = showing.outcomes(shown, tokens.read(deck.SECRET, token), mine, desk.at)[rating - 1]
        given = await desk.spend(token, rating)
        assert (promised.state.due_day, promised.state.due_at_ms) == (given.due_day, given.due_at_ms)


async def test_studying_a_topic_lifts_the_limit_and_shows_early_what_is_not_due(desk: Desk) -> None:
    await desk.choose(new_cards_per_day=0)
    assert desk.next().showing is None
    shown = desk.next(topic="optimisation").showing
    assert shown is not None and shown.card.topic == "optimisation"
    await desk.answer(1, 4)
    await desk.answer(5, 4)
    desk.wait(days=1)
    for card in (2, 6):
        await desk.writer.run(lambda session, card=card: actions.suspend(session, ADA, card))
    early = desk.next(topic="optimisation").showing
    assert early is not None and early.is_early and early.kind == "review"


async def test_settings_that_make_no_sense_name_their_field(desk: Desk) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("rollover_hour", {"rollover_hour": 24}),
        ("new_cards_per_day", {"new_cards_per_day": -1}),
        ("minutes_a_day", {"minutes_a_day": 0}),
        ("interview", {"interview": date(2026, 3, 2)}),
        ("time_zone", {"time_zone": "Mars/Olympus"}),
        ("time_zone", {"time_zone": "../etc/passwd"}),
        ("scheduler", {"desired_retention": 1.0}),
    ]
    for field, choices in wrong:
        with pytest.raises(actions.BadInput) as refused:
            await desk.choose(**choices)
        assert refused.value.where == field
    assert desk.rows("SELECT count(*) FROM study_setting") == [(0,)]
