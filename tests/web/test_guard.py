"""Who may speak to the server, from where, and how much."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import running

RUN = "/api/demos/dropout-lab/runs"


async def test_an_unknown_host_is_refused_with_the_remedy(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        answer = await client.get("/", headers={"host": "evil.example"})
    assert answer.status_code == 422
    assert "FORWARD_PASS_ALLOWED_HOSTS" in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"sec-fetch-site": "same-origin"}, 202),
        ({"sec-fetch-site": "none"}, 202),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://testserver"}, 202),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://testserver"}, 403),
    ],
)
async def test_a_change_from_another_site_is_refused(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async with running(tmp_path) as (client, _):
        answer = await client.post(RUN, json={}, headers=headers)
    assert answer.status_code == status


async def test_ten_megabytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        answer = await client.post(RUN, content=b"x" * 10_000_000)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert (await client.get("/healthz")).status_code == 200


async def test_a_long_body_without_a_length_is_refused(tmp_path: Path) -> None:
    async def chunks():  # type: ignore[no-untyped-def]
        for _ in range(40):
            yield b"x" * 100_000

    async with running(tmp_path) as (client, _):
        answer = await client.post(RUN, content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


async def test_every_page_carries_the_policy(tmp_path: Path) -> None:
    async with running(tmp_path) as (client, _):
        for path in ("/", "/study", "/deck", "/demos", "/static/js/app.js", "/nowhere", "/api/demos"):
            answer = await client.get(path)
            assert "require-trusted-types-for 'script'" in answer.headers["content-security-policy"], path
            assert "unsafe" not in answer.headers["content-security-policy"]
