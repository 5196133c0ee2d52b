"""The study page: reveal, predict, grade once, take back; today and the deck."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from sqlalchemy import event

from app.errors import Unavailable
from app.pool.job import Failed
from tests.fakes import FakeEngine, running

HTMX = {"hx-request": "true"}


def _token(text: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', text)
    assert found, text[:2000]
    return found[1]


async def test_space_then_three_grades_a_card(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        token = _token((await client.get("/study")).text)
        answer = await client.get("/study/answer", params={"token": token}, headers=HTMX)
        assert 'class="grades"' in answer.text
        onward = await client.post("/study/grade", data={"token": token, "rating": "3"}, headers=HTMX)
        assert onward.status_code == 200
        assert _token(onward.text) != token


async def test_a_double_click_counts_once_and_another_rating_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        form = {"token": _token((await client.get("/study")).text), "rating": "3"}
        first = await client.post("/study/grade", data=form, headers=HTMX)
        again = await client.post("/study/grade", data=form, headers=HTMX)
        other = await client.post("/study/grade", data=form | {"rating": "1"}, headers=HTMX)
        home = (await client.get("/")).text
    assert (first.status_code, again.status_code, other.status_code) == (200, 200, 409)
    assert "good" in other.text
    assert other.headers["hx-retarget"] == "#problems"
    assert "1 answer in 53 weeks" in home


async def test_a_forged_token_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        token = _token((await client.get("/study")).text)
        forged = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
        answer = await client.post("/study/grade", data={"token": forged, "rating": "3"})
    assert answer.status_code == 422


@pytest.mark.parametrize("rating", ["0", "5", "NaN", "1e400", "", "three"])
async def test_a_grade_out_of_range_is_refused(tmp_path: Path, rating: str) -> None:
    async with running(tmp_path) as (client, _):
        token = _token((await client.get("/study")).text)
        answer = await client.post("/study/grade", data={"token": token, "rating": rating})
    assert answer.status_code == 422


async def test_an_undo_shows_the_card_again_under_another_token(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        token = _token((await client.get("/study")).text)
        await client.post("/study/grade", data={"token": token, "rating": "3"})
        back = await client.post("/study/undo", headers=HTMX)
        assert "Taken back" in back.text
        assert _token(back.text) != token
        spent = await client.post("/study/grade", data={"token": token, "rating": "4"})
        assert spent.status_code == 409


async def test_a_newcomer_first_predicts_dropout_once_workers_are_ready(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        text = (await client.get("/study")).text
    assert 'aria-label="predict card"' in text
    assert "ropout" in text


async def test_a_prediction_shows_both_marks_and_suggests_a_grade(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        token = _token((await client.get("/study")).text)
        answer = await client.post("/study/predict", data={"token": token, "value": "123456"}, headers=HTMX)
        again = await client.get("/study/answer", params={"token": token}, headers=HTMX)
    assert "you 123456" in answer.text.replace(",", "")
    assert "The run suggests" in answer.text
    assert "The run suggests" in again.text


async def test_the_end_page_shows_each_question_whose_prediction_the_run_contradicted(tmp_path: Path) -> None:
    asked = "will never be"
    async with running(tmp_path) as (client, _):
        page = (await client.get("/study")).text
        for _ in range(200):
            if 'class="end"' in page:
                break
            token = _token(page)
            if 'name="value"' in page and asked == "will never be":
                asked = html.unescape(re.search(r'<p class="prompt"[^>]*>([^<]+)<', page)[1])  # type: ignore[index]
                await client.post("/study/predict", data={"token": token, "value": "123456"}, headers=HTMX)
            await client.post("/study/grade", data={"token": token, "rating": "4"})
            page = (await client.get("/study")).text
    assert 'class="end"' in page
    missed = html.unescape(page.split('class="missed')[1])
    assert asked in missed
    assert "you 123456" in missed.replace(",", "")


async def test_the_answer_of_a_prediction_is_withheld_until_it_is_stored(tmp_path: Path) -> None:
    engine = FakeEngine()
    async with running(tmp_path, engine) as (client, _):
        text = (await client.get("/study")).text
    assert "measured" not in text.split('<article class="card"')[1]
    assert engine.submitted == []


async def test_without_a_pool_the_prediction_is_kept_and_the_answer_shown(tmp_path: Path) -> None:
    engine = FakeEngine()
    async with running(tmp_path, engine) as (client, _):
        token = _token((await client.get("/study")).text)
        engine.refusal = Unavailable("The pool is full.", retry_after=1)
        answer = await client.post("/study/predict", data={"token": token, "value": "1"}, headers=HTMX)
    assert answer.status_code == 200
    assert "Your prediction is kept" in answer.text
    assert 'class="grades"' in answer.text


async def test_i_know_this_skips_the_introduction(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        token = _token((await client.get("/study")).text)
        onward = await client.post("/study/know", data={"token": token}, headers=HTMX)
    assert _token(onward.text) != token


async def test_a_topic_can_be_studied_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        text = (await client.get("/study", params={"topic": "losses and outputs"})).text
    assert "losses and outputs only" in text


async def test_settings_are_kept_and_a_past_interview_is_refused(tmp_path: Path) -> None:
    form = {"interview": "2027-04-01", "minutes": "25", "new_cards": "8", "retention": "0.9", "keys_on": "on"}
    async with running(tmp_path) as (client, _):
        assert (await client.post("/settings", data=form)).status_code == 303
        home = (await client.get("/")).text
        past = await client.post("/settings", data=form | {"interview": "2020-01-01"})
        wrong = await client.post("/settings", data=form | {"interview": "soon"})
    assert 'value="2027-04-01"' in home
    assert "1 April" in home
    assert (past.status_code, wrong.status_code) == (422, 422)


async def test_the_study_page_asks_few_queries(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, app):
        await client.get("/study")
        statements: list[str] = []
        event.listen(app.state.database, "before_cursor_execute", lambda *args: statements.append(args[2]))
        await client.get("/study")
    assert len(statements) <= 16, "\n".join(statements)


async def test_search_finds_the_beginning_of_a_word_and_survives_syntax(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        found = (await client.get("/deck", params={"q": "softm"}, headers=HTMX)).text
        for typed in ('"', "AND", "NEAR(", "a*b", "':", "()", "-", "\x00"):
            assert (await client.get("/deck", params={"q": typed})).status_code == 200, typed
    assert "<mark>" in found


async def test_a_suspended_card_is_not_shown(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        page = (await client.get("/deck/softmax")).text
        card = re.search(r"/study/cards/(\d+)/suspend", page)
        assert card
        await client.post(f"/study/cards/{card[1]}/suspend", data={"back": "/deck/softmax"})
        assert "suspended" in (await client.get("/deck/softmax")).text


async def test_a_demo_that_fails_does_not_hold_its_card_back(tmp_path: Path) -> None:
    engine = FakeEngine(ending=Failed("error", "The layer has no weights."))
    async with running(tmp_path, engine) as (client, _):
        token = _token((await client.get("/study")).text)
        answer = await client.post("/study/predict", data={"token": token, "value": "1"}, headers=HTMX)
    assert answer.status_code == 200
    assert "The layer has no weights. Your prediction is kept" in answer.text
    assert 'name="rating"' in answer.text
