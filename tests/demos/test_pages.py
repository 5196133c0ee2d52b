"""Demo pages: locked until predicted, free in play, honest when the pool is away."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from app import db
from app.demos import catalogue, queries, thumbs
from app.demos.result import parse
from app.demos.teaching import Teaching
from app.errors import Unavailable
from tests.fakes import FakeEngine, running, stored

DEMO = "/demos/dropout-lab"
HTMX = {"hx-request": "true"}


async def test_before_a_prediction_nothing_of_the_result_is_in_the_page(tmp_path: Path) -> None:
    engine = FakeEngine()
    async with running(tmp_path, engine) as (client, _):
        text = (await client.get(DEMO)).text
    assert engine.submitted == []
    assert html.escape(stored("dropout-lab")["summary"]) not in text
    assert 'class="claims"' not in text
    assert 'class="code-line"' not in text


async def test_a_prediction_is_stored_before_its_run_and_both_are_shown(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        answer = await client.post(f"{DEMO}/predict", data={"preset": "train-and-eval", "turn": "0", "value": "1,4"})
    assert answer.status_code == 200
    assert "you 1.4" in answer.text
    assert 'class="claims"' in answer.text


async def test_the_numbers_asked_are_never_the_presets_own_and_change_with_the_turn(tmp_path: Path) -> None:
    engine = FakeEngine()
    async with running(tmp_path, engine) as (client, _):
        for turn in range(4):
            await client.post(f"{DEMO}/predict", data={"preset": "train-and-eval", "turn": str(turn), "value": "1"})
    asked = [spec.params["p"] for spec in engine.submitted]
    assert 0.3 not in asked
    assert len(set(asked)) > 1


async def test_another_prediction_for_the_same_question_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        first = {"preset": "train-and-eval", "turn": "0", "value": "1"}
        assert (await client.post(f"{DEMO}/predict", data=first)).status_code == 200
        assert (await client.post(f"{DEMO}/predict", data=first)).status_code == 200
        assert (await client.post(f"{DEMO}/predict", data=first | {"value": "2"})).status_code == 409


async def test_a_prediction_is_kept_when_its_run_fails_and_the_run_can_be_repeated(tmp_path: Path) -> None:
    engine = FakeEngine()
    form = {"preset": "train-and-eval", "turn": "0", "value": "1"}
    async with running(tmp_path, engine) as (client, _):
        engine.refusal = Unavailable("Full.", retry_after=1)
        assert (await client.post(f"{DEMO}/predict", data=form)).status_code == 503
        engine.refusal = None
        assert (await client.post(f"{DEMO}/predict", data=form | {"value": "2"})).status_code == 409
        assert (await client.post(f"{DEMO}/predict", data=form)).status_code == 200


@pytest.mark.parametrize("value", ["", "two", "1e", "0x10"])
async def test_what_is_no_number_gets_a_sentence(tmp_path: Path, value: str) -> None:
    async with running(tmp_path) as (client, _):
        answer = await client.post(f"{DEMO}/predict", data={"preset": "train-and-eval", "turn": "0", "value": value})
    assert answer.status_code == 422
    assert "is no number" in answer.text


async def test_a_show_me_is_recorded_as_none_and_not_judged(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        answer = await client.post(f"{DEMO}/predict", data={"preset": "train-and-eval", "turn": "0", "skip": "1"})
    assert "you asked to be shown" in answer.text


async def test_the_fragment_is_the_same_html_as_in_the_page(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        page = (await client.get(f"{DEMO}?play=1&p=0.5")).text
        answer = await client.post(f"{DEMO}/run?preset=train-and-eval", data={"p": "0.5"}, headers=HTMX)
    assert _squeezed(answer.text) in _squeezed(page)
    assert "p=0.5" in answer.headers["hx-replace-url"]


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


async def test_a_plain_form_is_redirected_to_the_address_of_its_picture(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        answer = await client.post(f"{DEMO}/run", data={"p": "0.5"})
    assert (answer.status_code, "p=0.5" in answer.headers["location"]) == (303, True)


async def test_when_the_pool_is_away_the_stored_picture_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(state="warming")) as (client, _):
        text = (await client.get(f"{DEMO}?play=1")).text
    assert "Stored picture of an earlier run" in text
    assert "stored picture of" in text


@pytest.mark.parametrize("query", ["p=7", "p=nan", "p=1e400", "mode=sideways", "seed=1.5", "preset=nope"])
async def test_knobs_in_an_address_are_validated(tmp_path: Path, query: str) -> None:
    async with running(tmp_path) as (client, _):
        answer = await client.get(f"{DEMO}?{query}&play=1")
    assert answer.status_code in (404, 422)
    assert "500" not in answer.text[:200]


async def test_the_gallery_shows_every_demo(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        listed = (await client.get("/api/demos")).json()
        text = (await client.get("/demos")).text
    assert listed
    assert all(f'href="/demos/{one["slug"]}"' in text for one in listed)


async def test_a_card_can_be_made_of_what_a_demo_shows(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        page = (await client.get(f"{DEMO}?play=1&p=0.5")).text
        made = re.search(r'href="(/drafts/new\?[^"]+)"', page)
        assert made
        form = (await client.get(html.unescape(made[1]))).text
        assert "Run it again" in form
        kept = await client.post("/drafts/new", data={"question": "What does p = 0.5 do?", "answer": "It doubles."})
        assert kept.status_code == 303
        assert "What does p = 0.5 do?" in (await client.get(kept.headers["location"])).text


async def test_the_strip_has_a_small_picture_for_every_preset_and_none_tells_the_answer(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, app):
        text = (await client.get(f"{DEMO}?play=1")).text
        with db.reading(app.state.database) as session:
            demo = queries.demo(session, "dropout-lab")
            strip = thumbs.strip(session, demo)
            told = [
                thumb.preset.slug
                for thumb in strip
                if (found := queries.stored_result(session, demo.slug, thumb.preset.slug))
                and (view := thumbs.open_picture(session, demo, thumb.preset))
                and view.figure.id in thumbs.hidden(thumb.preset, found)
            ]
    assert text.count('class="thumb"') == len(demo.teaching.presets) == len(strip)
    assert sum(thumb.picture is not None for thumb in strip) > len(strip) / 2
    assert told == []
    assert all("<text" not in str(thumb.picture) for thumb in strip)


def test_a_preset_that_asks_and_names_no_figure_hides_them_all() -> None:
    result = parse(stored("dropout-lab"))
    asking = Teaching.model_validate(catalogue.one("dropout-lab").teaching).presets[0].model_copy(update={"hides": ()})
    assert thumbs.hidden(asking, result) == tuple(figure.id for figure in result.figures)
    assert thumbs.hidden(asking.model_copy(update={"prediction": None}), result) == ()


async def test_on_the_wall_your_last_prediction_is_a_hollow_circle(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        assert 'class="figure marks"' not in (await client.get("/demos")).text
        await client.post(f"{DEMO}/predict", data={"preset": "survivor", "turn": "0", "value": "1.4"})
        text = (await client.get("/demos")).text
    assert 'class="figure marks"' in text
    assert "you 1.4" in text


async def test_a_formula_stands_once_inside_the_line_that_computes_it(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, app):
        text = (await client.get(f"{DEMO}?play=1")).text
        with db.reading(app.state.database) as session:
            formulas = queries.demo(session, "dropout-lab").teaching.formulas
    lines = re.findall(r'<div class="code-line" data-quantity="([^"]+)" tabindex="0"><span class="tex"><math', text)
    assert sorted(lines) == sorted(formulas)
