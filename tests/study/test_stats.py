from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from app import db
from app.demos.tables import Prediction
from app.study import actions, queries, stats, tokens
from tests.study import deck
from tests.study.deck import ADA, BEN, NOON
from tests.study.desk import Desk


async def test_the_forecast_counts_each_card_on_the_day_it_is_due(desk: Desk) -> None:
    due = [await desk.answer(card, 4) for card in (1, 3, 5)]
    await desk.answer(7, 3)
    await desk.answer(1, 4, BEN)
    with db.reading(desk.engine) as session:
        forecast = stats.forecast(session, ADA, desk.at)
    assert len(forecast) == 30
    assert forecast[0] == 1
    for answered in due:
        assert forecast[answered.due_day - answered.study_day] >= 1
    assert sum(forecast) == 4


async def test_what_is_overdue_is_forecast_for_today_and_what_is_suspended_is_not(desk: Desk) -> None:
    for card in (1, 3):
        await desk.answer(card, 4)
    desk.wait(days=200)
    await desk.writer.run(lambda session: actions.suspend(session, ADA, 3))
    with db.reading(desk.engine) as session:
        assert stats.forecast(session, ADA, desk.at) == [1] + [0] * 29


async def test_with_an_interview_everything_is_forecast_before_it(desk: Desk) -> None:
    for card in (1, 3, 5, 7):
        await desk.answer(card, 4)
    await desk.choose(interview=desk.at.date() + timedelta(days=3))
    with db.reading(desk.engine) as session:
        assert stats.forecast(session, ADA, desk.at)[:4] == [0, 0, 4, 0]


async def test_the_heat_map_holds_the_days_of_a_year_that_were_studied(desk: Desk) -> None:
    first = await desk.answer(1, 3, duration_ms=4000)
    desk.wait(days=365)
    last = await desk.answer(1, 1)
    desk.wait(days=1)
    with db.reading(desk.engine) as session:
        days = stats.heat_map(session, ADA, desk.at)
    assert first.study_day not in days
    assert (days[last.study_day].reviews, days[last.study_day].again) == (1, 1)


async def test_topics_go_from_shaky_to_solid_and_those_not_begun_come_last(desk: Desk) -> None:
    await desk.answer(3, 1)
    desk.wait(days=20)
    with db.reading(desk.engine) as session:
        begun, not_begun = stats.topics(session, ADA, desk.at)
    assert (begun.topic, begun.cards, begun.introduced, not_begun.retrievability) == ("regularisation", 4, 1, None)
    await desk.answer(1, 4)
    with db.reading(desk.engine) as session:
        shaky, solid = stats.topics(session, ADA, desk.at)
    assert (shaky.topic, solid.topic) == ("regularisation", "optimisation")
    assert shaky.retrievability is not None and solid.retrievability is not None
    assert shaky.retrievability < 0.9 < solid.retrievability <= 1


async def test_the_state_of_the_cards_of_a_page(desk: Desk) -> None:
    await desk.answer(1, 4)
    await desk.writer.run(lambda session: actions.suspend(session, ADA, 3))
    await desk.writer.run(lambda session: actions.bury(session, ADA, 5, desk.next().left.total and 20_514))
    with db.reading(desk.engine) as session:
        states = stats.card_states(session, ADA, desk.at, [1, 3, 5, 999])
    assert [(state.phase, state.is_suspended, state.is_buried) for state in states.values()] == [
        ("review", False, False),
        ("new", True, False),
        ("new", False, True),
    ]
    assert states[1].retrievability == 1.0


async def test_the_end_page_says_what_was_learned_and_where_predictions_went_wrong(desk: Desk) -> None:
    await desk.answer(3, 4)
    desk.wait(days=1)
    token = desk.token(2)
    signature = tokens.read(deck.SECRET, token).signature
    with db.writing(desk.engine) as session:
        session.add(_prediction(signature, error=3.0))
    await desk.spend(token, 1)
    await desk.answer(5, 3)
    await desk.answer(3, 3)
    await desk.answer(7, 3)
    await desk.undo()
    with db.reading(desk.engine) as session:
        summary = queries.session_summary(session, ADA, desk.at)
        (wrong,) = summary.wrong
    assert {card.slug for card in summary.cards} == {"note-1", "note-2", "note-3"}
    assert {card.slug for card in summary.learned} == {"note-1", "note-3"}
    assert summary.answers == 3
    assert wrong.token == signature


async def test_the_surprise_is_the_prediction_that_was_furthest_off_in_its_own_bands(desk: Desk) -> None:
    with db.writing(desk.engine) as session:
        session.add_all(
            [
                _prediction(b"a" * 16, error=30.0, band=100.0),
                _prediction(b"b" * 16, error=3.0, band=0.1),
                _prediction(b"c" * 16, error=0.0, correct=True),
            ]
        )
    with db.reading(desk.engine) as session:
        surprise = stats.last_surprise(session, ADA)
        nobody = stats.last_surprise(session, BEN)
    assert surprise is not None and nobody is None
    assert (surprise.predicted, surprise.measured) == (1.4, 4.4)


def _prediction(token: bytes, error: float, band: float = 1.0, correct: bool = False) -> Prediction:
    return Prediction(
        token=token,
        user_id=ADA.id,
        card_id=2,
        demo="dropout-lab",
        preset="scaling",
        knobs={"p": 0.3},
        answer="survivor",
        value=1.4,
        skipped=False,
        measured=1.4 + error,
        correct=correct,
        error=error,
        band=band,
        result={},
        created_at=NOON,
    )


async def test_a_review_keeps_the_prediction_that_was_made_for_its_token(desk: Desk) -> None:
    token = desk.token(2)
    prediction = _prediction(tokens.read(deck.SECRET, token).signature, error=0.5)
    prediction.suggested_rating = 2
    with db.writing(desk.engine) as session:
        session.add(prediction)
    await desk.spend(token, 3)
    assert desk.rows("SELECT prediction_id, suggested_rating, rating FROM review") == [(1, 2, 3)]


async def test_the_outlook_says_how_many_cards_will_have_been_seen_twice(desk: Desk) -> None:
    with db.reading(desk.engine) as session:
        assert stats.outlook(session, ADA, desk.at) is None
    await desk.choose(interview=desk.at.date() + timedelta(days=12), minutes_a_day=25)
    await desk.answer(1, 3)
    with db.reading(desk.engine) as session:
        outlook = stats.outlook(session, ADA, desk.at)
        cards = session.execute(text("SELECT count(*) FROM card")).scalar_one()
    assert outlook is not None and len(outlook.days) == 12
    assert 0 < outlook.seen_twice <= cards
