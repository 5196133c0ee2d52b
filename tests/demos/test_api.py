"""The JSON interface: what it gives, what it refuses, and that nothing is answered with 500."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.errors import Busy, Unavailable
from app.pool.job import Done, Failed
from tests.fakes import FakeEngine, running, stored

RUN = "/api/demos/dropout-lab/runs"
JSON = {"content-type": "application/json"}


async def test_a_short_run_comes_back_with_its_result(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        answer = await client.post(RUN, json={"knobs": {"p": 0.5}})
        body = answer.json()
        assert (answer.status_code, body["state"], body["knobs"]["p"]) == (202, "done", 0.5)
        assert (await client.get(f"/api/runs/{body['id']}")).json() == body


async def test_demos_are_listed_with_schema_and_presets(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        listed = (await client.get("/api/demos")).json()
        whole = (await client.get("/api/demos/dropout-lab")).json()
    assert "dropout-lab" in {one["slug"] for one in listed}
    assert whole["schema"]["properties"]["p"]["control"]["kind"] == "number"
    assert "train-and-eval" in {preset["slug"] for preset in whole["presets"]}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"knobs": {"p": NaN}}', 422),
        (b'{"knobs": {"p": 1e400}}', 422),
        (b'{"knobs": {"p": -1e400}}', 422),
        (b'{"knobs": {"p": 7}}', 422),
        (b'{"knobs": {"p": "0.3; import os"}}', 422),
        (b'{"knobs": {"nope": 1}}', 422),
        (b'{"knobs": []}', 422),
        (b'{"preset": "nope"}', 404),
        (b'{"surprise": 1}', 422),
        (b'{"prediction": NaN}', 202),
        (b'{"knobs": ', 422),
        (b"\xff\xfe", 422),
        (b"[" * 10_000, 400),
        (b"", 422),
    ],
)
async def test_bad_input_gets_a_sentence_and_never_a_500(tmp_path: Path, body: bytes, status: int) -> None:
    async with running(tmp_path) as (client, _):
        answer = await client.post(RUN, content=body, headers=JSON)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.json()["detail"]) > 10


async def test_an_unknown_demo_and_an_unknown_run_are_not_here(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        for path in ("/api/demos/nope", "/api/runs/nope", "/api/runs/nope/events"):
            assert (await client.get(path)).status_code == 404
        assert (await client.post("/api/demos/nope/runs", json={})).status_code == 404


@pytest.mark.parametrize(
    ("refusal", "status"), [(Busy("Too many.", retry_after=2.2), 429), (Unavailable("Full.", retry_after=3), 503)]
)
async def test_a_full_pool_says_when_to_come_back(tmp_path: Path, refusal: Exception, status: int) -> None:
    engine = FakeEngine()
    engine.refusal = refusal
    async with running(tmp_path, engine) as (client, _):
        answer = await client.post(RUN, json={})
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "3")


async def test_a_failed_run_names_its_reason(tmp_path: Path) -> None:
    async with running(tmp_path, FakeEngine(Failed("memory", "It wanted too much."))) as (client, _):
        body = (await client.post(RUN, json={})).json()
    assert (body["state"], body["failure"]) == ("failed", {"reason": "memory", "says": "It wanted too much."})


async def test_numbers_that_are_not_finite_travel_as_words(tmp_path: Path) -> None:
    result: dict[str, Any] = stored("dropout-lab") | {"answers": {"a": "NaN", "b": "-Infinity"}}
    async with running(tmp_path, FakeEngine(Done(result, 0.1))) as (client, _):
        body = (await client.post(RUN, json={})).json()
    assert body["result"]["answers"] == {"a": "NaN", "b": "-Infinity"}


async def test_events_end_with_exactly_one_terminal_event(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        run = (await client.post(RUN, json={})).json()["id"]
        text = (await client.get(f"/api/runs/{run}/events")).text
    assert text.count("event: done") == 1
    assert text.rstrip().splitlines()[-2] == "event: done"


async def test_a_cancelled_run_is_told_to_its_job(tmp_path: Path) -> None:
    engine = FakeEngine(hangs=True)
    async with running(tmp_path, engine) as (client, _):
        run = (await client.post(RUN, json={})).json()
        assert run["state"] in ("queued", "running")
        assert (await client.delete(f"/api/runs/{run['id']}")).status_code == 204
        assert engine.jobs[0].cancelled.is_set()


async def test_a_prediction_is_graded_with_the_misconception_it_reveals(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        whole = (await client.post(RUN, json={"preset": "train-and-eval", "prediction": "123456"})).json()
    assert whole["prediction"]["is_right"] is False
    assert whole["prediction"]["error"] > 0


async def test_the_description_has_examples_and_problem_answers(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        described = (await client.get("/api/openapi.json")).json()
    start = described["paths"]["/api/demos/{slug}/runs"]["post"]
    assert {"202", "404", "413", "422", "429", "503"} <= set(start["responses"])
    assert described["components"]["schemas"]["RunRequest"]["examples"]
