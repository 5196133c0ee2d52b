"""Runs in memory: owned, watched, cancelled when the last watcher leaves."""

from __future__ import annotations

import asyncio

import pytest

from app.demos.runs import Runs
from app.errors import BadInput, NotFound, Unavailable
from app.pool.job import Done, Failed, JobSpec, Progress
from tests.fakes import FakeEngine

ADA, CEM = "user-1", "user-3"
SPEC = JobSpec("dropout-lab", {"p": 0.5}, owner=ADA)


async def test_a_strangers_run_does_not_exist_for_him() -> None:
    runs = Runs(FakeEngine())
    run = runs.start(SPEC)
    assert runs.get(ADA, run.id) is run
    with pytest.raises(NotFound):
        runs.get(CEM, run.id)
    await runs.close()


async def test_watching_ends_with_the_terminal_event_however_late_it_begins() -> None:
    runs = Runs(FakeEngine())
    run = runs.start(SPEC)
    await runs.finish(run, 5)
    assert [type(event) for event in [event async for event in runs.watch(run)]] == [Done]


async def test_the_last_watcher_who_leaves_cancels_the_run() -> None:
    engine = FakeEngine(hangs=True)
    runs = Runs(engine)
    run = runs.start(SPEC)
    one, two = runs.watch(run), runs.watch(run)
    await anext(one)
    await anext(two)
    await one.aclose()
    assert not engine.jobs[0].cancelled.is_set()
    await two.aclose()
    assert engine.jobs[0].cancelled.is_set()
    await runs.close()


async def test_a_caller_who_is_cancelled_cancels_the_run() -> None:
    engine = FakeEngine(hangs=True)
    runs = Runs(engine)
    run = runs.start(SPEC)
    waiting = asyncio.create_task(runs.finish(run, 60))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert engine.jobs[0].cancelled.is_set()
    await runs.close()


async def test_a_slow_watcher_skips_progress_and_misses_no_end() -> None:
    runs = Runs(FakeEngine(hangs=True))
    run = runs.start(SPEC)
    watcher = runs.watch(run)
    await anext(watcher)
    for number in range(50):
        run.take(Progress(number, {}))
    run.take(Done({}, 0.1))
    assert [type(event) async for event in watcher] == [Done]
    await runs.close()


@pytest.mark.parametrize(("reason", "error"), [("error", BadInput), ("timeout", Unavailable), ("crash", Unavailable)])
async def test_only_a_fault_of_the_setting_is_the_askers(reason: str, error: type[Exception]) -> None:
    runs = Runs(FakeEngine(Failed(reason, "It failed.")))  # type: ignore[arg-type]
    with pytest.raises(error, match="It failed"):
        await runs.finish(runs.start(SPEC), 5)
