"""What every engine must keep. A suite for one engine inherits this class and gives it a ``build`` fixture.

``build(**options)`` returns a started engine that runs ``tests.pool.runners:run_job`` and is stopped after the
test; the options are workers, queue_limit, owner_limit, runs_per_worker and memory_mb.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.errors import Busy, Unavailable
from app.pool.engine import Engine
from app.pool.job import Done, Event, Failed, Isolation, JobSpec, Limits, Progress, Queued, Started

Build = Callable[..., Awaitable[Engine]]


def job(name: str, isolation: Isolation = Isolation.REUSED, **params: Any) -> JobSpec:
    return JobSpec(name, params, isolation=isolation)


async def outcome(engine: Engine, spec: JobSpec) -> Event:
    return await asyncio.wait_for(engine.submit(spec).result(), 20)


async def result(engine: Engine, spec: JobSpec) -> dict[str, Any]:
    event = await outcome(engine, spec)
    assert isinstance(event, Done), event
    return dict(event.result)


async def failure(engine: Engine, spec: JobSpec) -> Failed:
    event = await outcome(engine, spec)
    assert isinstance(event, Failed), event
    return event


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0.005)


async def until_ready(engine: Engine) -> None:
    await until(lambda: engine.status().state == "ready")
    await outcome(engine, job("echo"))


def busy_pids(engine: Engine) -> list[int]:
    return [slot.pid for slot in engine.status().slots if slot.state == "busy" and slot.pid is not None]


async def until_busy(engine: Engine, count: int = 1) -> list[int]:
    await until(lambda: len(busy_pids(engine)) >= count)
    return busy_pids(engine)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class EngineConformance:
    async def test_a_job_gives_its_result(self, build: Build) -> None:
        engine = await build()
        found = await result(engine, JobSpec("echo", {"p": 0.5, "name": "ß"}, seed=7))
        assert found["value"] == {"p": 0.5, "name": "ß"}
        assert found["seed"] == 7
        assert found["pid"] != os.getpid()

    async def test_events_come_in_order_and_end_with_one_terminal_event(self, build: Build) -> None:
        engine = await build()
        events = [event async for event in engine.submit(job("count", steps=5, pause=0.005)).events()]
        kinds = [type(event) for event in events]
        assert kinds[:2] == [Queued, Started]
        assert kinds[-1] is Done
        assert set(kinds[2:-1]) == {Progress}

    async def test_a_slow_reader_gets_the_latest_progress_and_seq_never_goes_back(self, build: Build) -> None:
        engine = await build()
        seen = []
        async for event in engine.submit(job("count", steps=3000)).events():
            if isinstance(event, Progress):
                seen.append(event)
                await asyncio.sleep(0.02)
        sequence = [event.seq for event in seen]
        assert sequence == sorted(set(sequence))
        assert seen[-1].data == {"step": 2999}
        assert len(seen) < 1000

    async def test_events_can_be_read_only_once(self, build: Build) -> None:
        engine = await build()
        ticket = engine.submit(job("echo"))
        assert [event async for event in ticket.events()]
        with pytest.raises(RuntimeError):
            await anext(ticket.events())

    async def test_bytes_in_a_result_arrive_as_bytes(self, build: Build) -> None:
        engine = await build()
        assert await result(engine, job("bytes")) == {"picture": bytes(range(256)), "other": b"", "name": "all bytes"}

    async def test_numbers_that_are_not_finite_survive(self, build: Build) -> None:
        engine = await build()
        values = (await result(engine, job("special numbers")))["values"]
        assert math.isnan(values[0])
        assert values[1:] == [math.inf, -math.inf]

    async def test_an_error_says_what_its_author_wrote_for_the_reader(self, build: Build) -> None:
        engine = await build()
        assert await failure(engine, job("readable error")) == Failed(
            "error", "p is 1.5; a probability lies between 0 and 1."
        )
        assert await failure(engine, job("plain error")) == Failed("error", "ValueError: p must lie below 1")

    @pytest.mark.parametrize("name", ["unknown", "list", "not json", "leave"])
    async def test_a_run_that_gives_no_result_is_an_error_and_the_worker_goes_on(self, build: Build, name: str) -> None:
        engine = await build(workers=1)
        before = (await result(engine, job("echo")))["pid"]
        assert (await failure(engine, job(name))).reason == "error"
        assert (await result(engine, job("echo")))["pid"] == before

    @pytest.mark.parametrize("name", ["large", "large progress"])
    async def test_a_result_or_progress_above_the_limit_is_refused_with_the_limit(
        self, build: Build, name: str
    ) -> None:
        engine = await build()
        spec = JobSpec(name, {"bytes": 20_000}, limits=Limits(result_bytes=10_000))
        failed = await failure(engine, spec)
        assert failed.reason == "error"
        assert "10000" in failed.says

    @pytest.mark.parametrize("name", ["one C call", "loop", "sleep"])
    @pytest.mark.parametrize("isolation", Isolation)
    async def test_a_deadline_ends_anything_and_the_slot_is_free(
        self, build: Build, name: str, isolation: Isolation
    ) -> None:
        engine = await build(workers=1)
        params = {"seconds": 60} if name == "sleep" else {}
        failed = await failure(engine, JobSpec(name, params, limits=Limits(seconds=0.1), isolation=isolation))
        assert failed.reason == "timeout"
        assert "0.1 s" in failed.says
        assert await result(engine, job("echo"))

    @pytest.mark.parametrize("name", ["eat memory", "eat shared memory"])
    @pytest.mark.parametrize("isolation", Isolation)
    async def test_a_run_that_eats_memory_fails_with_a_sentence_and_its_neighbour_finishes(
        self, build: Build, name: str, isolation: Isolation
    ) -> None:
        engine = await build(workers=2)
        neighbour = engine.submit(job("sleep", seconds=0.3))
        failed = await failure(engine, JobSpec(name, {}, limits=Limits(memory_mb=100), isolation=isolation))
        assert (failed.reason, "100 MiB" in failed.says) == ("memory", True)
        assert isinstance(await neighbour.result(), Done)
        assert await result(engine, job("echo"))

    @pytest.mark.parametrize(("name", "signal_name"), [("segfault", "SIGSEGV"), ("abort", "SIGABRT")])
    async def test_a_crash_names_the_signal_and_leaves_the_neighbour_unharmed(
        self, build: Build, name: str, signal_name: str
    ) -> None:
        engine = await build(workers=2)
        neighbour = engine.submit(job("sleep", seconds=0.3))
        failed = await failure(engine, job(name))
        assert failed.reason == "crash"
        assert signal_name in failed.says
        assert isinstance(await neighbour.result(), Done)

    async def test_a_crash_is_tried_again_as_often_as_asked_and_seq_goes_on_rising(self, build: Build) -> None:
        engine = await build()
        events = [event async for event in engine.submit(JobSpec("crash once", {"pause": 0.05}, retries=2)).events()]
        progress = [event for event in events if isinstance(event, Progress)]
        assert len({event.data["pid"] for event in progress}) == 3
        assert [event.seq for event in progress] == sorted({event.seq for event in progress})
        assert isinstance(events[-1], Failed)
        assert events[-1].reason == "crash"

    async def test_an_error_is_not_tried_again(self, build: Build) -> None:
        engine = await build()
        events = [event async for event in engine.submit(JobSpec("plain error", {}, retries=3)).events()]
        assert [type(event) for event in events] == [Queued, Started, Failed]

    async def test_a_worker_killed_from_outside_is_a_crash_and_is_replaced(self, build: Build) -> None:
        engine = await build(workers=1)
        ticket = engine.submit(job("sleep", seconds=30))
        async for event in ticket.events():
            if isinstance(event, Started):
                os.kill((await until_busy(engine))[0], signal.SIGKILL)
        terminal = await ticket.result()
        assert isinstance(terminal, Failed)
        assert (terminal.reason, "SIGKILL" in terminal.says) == ("crash", True)
        assert await result(engine, job("echo"))

    async def test_killing_idle_workers_loses_no_job(self, build: Build) -> None:
        engine = await build(workers=2)
        await until_ready(engine)
        for _ in range(10):
            for slot in engine.status().slots:
                if slot.pid is not None:
                    os.kill(slot.pid, signal.SIGKILL)
            assert await result(engine, job("echo"))

    async def test_a_queued_job_can_be_cancelled(self, build: Build) -> None:
        engine = await build(workers=1)
        first = engine.submit(job("sleep", seconds=0.2))
        second = engine.submit(job("echo"))
        second.cancel()
        assert await second.result() == Failed("cancelled", "The run was cancelled.")
        assert isinstance(await first.result(), Done)

    async def test_a_running_job_that_looks_stops_itself_and_keeps_its_worker(self, build: Build) -> None:
        engine = await build(workers=1)
        before = (await result(engine, job("echo")))["pid"]
        ticket = engine.submit(job("wait for cancel"))
        async for event in ticket.events():
            if isinstance(event, Progress):
                ticket.cancel()
        assert await ticket.result() == Failed("cancelled", "The run was cancelled.")
        assert (await result(engine, job("echo")))["pid"] == before

    async def test_a_running_job_that_does_not_look_is_killed(self, build: Build) -> None:
        engine = await build(workers=1)
        ticket = engine.submit(job("one C call"))
        await until_busy(engine)
        ticket.cancel()
        assert (await asyncio.wait_for(ticket.result(), 5)) == Failed("cancelled", "The run was cancelled.")
        assert await result(engine, job("echo"))

    async def test_leaving_the_events_cancels_the_job(self, build: Build) -> None:
        engine = await build(workers=1)
        ticket = engine.submit(job("loop"))
        events = ticket.events()
        while not isinstance(await anext(events), Started):
            pass
        await events.aclose()  # type: ignore[attr-defined]
        assert (await asyncio.wait_for(ticket.result(), 5)) == Failed("cancelled", "The run was cancelled.")

    async def test_a_cancelled_reader_cancels_the_job(self, build: Build) -> None:
        engine = await build(workers=1)
        ticket = engine.submit(job("loop"))

        async def read() -> None:
            async for _ in ticket.events():
                pass

        reader = asyncio.create_task(read())
        await until_busy(engine)
        reader.cancel()
        assert (await asyncio.wait_for(ticket.result(), 5)) == Failed("cancelled", "The run was cancelled.")

    async def test_giving_up_on_the_result_leaves_the_job_running(self, build: Build) -> None:
        engine = await build(workers=1)
        ticket = engine.submit(job("sleep", seconds=0.2))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ticket.result(), 0.01)
        assert isinstance(await ticket.result(), Done)

    async def test_owners_take_turns(self, build: Build) -> None:
        engine = await build(workers=1, owner_limit=20)
        order: list[str] = []
        blocker = engine.submit(job("sleep", seconds=0.1))

        async def follow(owner: str) -> None:
            ticket = engine.submit(JobSpec("echo", {}, owner=owner))
            await ticket.result()
            order.append(owner)

        tasks = [asyncio.create_task(follow(owner)) for owner in ["ada"] * 6 + ["ben"] * 2 + ["cem"]]
        await asyncio.gather(blocker.result(), *tasks)
        assert order == ["ada", "ben", "cem", "ada", "ben", "ada", "ada", "ada", "ada"]

    async def test_a_result_as_large_as_the_limit_allows_arrives(self, build: Build) -> None:
        engine = await build()
        assert len((await result(engine, job("large", bytes=7_900_000)))["text"]) == 7_900_000

    async def test_large_parameters_arrive_whole(self, build: Build) -> None:
        engine = await build()
        assert (await result(engine, job("echo", text="x" * 3_000_000)))["value"] == {"text": "x" * 3_000_000}

    async def test_a_full_queue_refuses_with_a_time_to_come_back(self, build: Build) -> None:
        engine = await build(workers=1, queue_limit=2, owner_limit=99)
        await until_ready(engine)
        tickets = [engine.submit(JobSpec("sleep", {"seconds": 30}, owner=str(number))) for number in range(3)]
        with pytest.raises(Unavailable) as refused:
            engine.submit(job("echo"))
        assert refused.value.retry_after is not None
        assert refused.value.retry_after > 0
        for ticket in tickets:
            ticket.cancel()

    async def test_an_owner_with_too_much_in_flight_is_refused_and_another_is_not(self, build: Build) -> None:
        engine = await build(workers=1, owner_limit=2)
        tickets = [engine.submit(JobSpec("sleep", {"seconds": 0.2}, owner="ada")) for _ in range(2)]
        with pytest.raises(Busy) as refused:
            engine.submit(JobSpec("echo", {}, owner="ada"))
        assert refused.value.retry_after is not None
        assert await result(engine, JobSpec("echo", {}, owner="ben"))
        await asyncio.gather(*(ticket.result() for ticket in tickets))
        assert await result(engine, JobSpec("echo", {}, owner="ada"))

    async def test_a_reused_worker_is_replaced_after_its_runs(self, build: Build) -> None:
        engine = await build(workers=1, runs_per_worker=3)
        pids = [(await result(engine, job("echo")))["pid"] for _ in range(7)]
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]

    async def test_fresh_runs_see_nothing_of_each_other(self, build: Build) -> None:
        engine = await build(workers=1)
        await result(engine, job("remember", word="from a reused run"))
        first = await result(engine, job("remember", Isolation.FRESH, word="a"))
        second = await result(engine, job("remember", Isolation.FRESH, word="b"))
        assert (first["value"], second["value"]) == (["a"], ["b"])
        assert first["pid"] != second["pid"]

    async def test_workers_run_side_by_side(self, build: Build) -> None:
        engine = await build(workers=2)
        await until_ready(engine)
        tickets = [engine.submit(job("sleep", seconds=0.3)) for _ in range(2)]
        await until_busy(engine, 2)
        outcomes = await asyncio.gather(*(ticket.result() for ticket in tickets))
        assert [type(event) for event in outcomes] == [Done, Done]

    async def test_status_counts_what_happened(self, build: Build) -> None:
        engine = await build(workers=2)
        await result(engine, job("echo"))
        await failure(engine, job("plain error"))
        await failure(engine, job("segfault"))
        status = engine.status()
        assert (status.state, status.done, status.queued) == ("ready", 1, 0)
        assert status.failed == {"error": 1, "crash": 1}
        assert status.latency_p50_ms is not None
        assert len(status.slots) == 2

    async def test_after_stop_nothing_runs_waits_or_is_accepted(self, build: Build) -> None:
        engine = await build(workers=1)
        running, queued = engine.submit(job("loop")), engine.submit(job("echo"))
        pids = await until_busy(engine)
        await engine.stop()
        assert [(await each.result()).reason for each in (running, queued)] == ["lost", "lost"]  # type: ignore[union-attr]
        assert not [pid for pid in pids if is_alive(pid)]
        with pytest.raises(Unavailable):
            engine.submit(job("echo"))

    async def test_many_kills_lose_no_more_jobs_than_kills_and_none_hangs(self, build: Build) -> None:
        engine = await build(workers=2, owner_limit=99)
        await until_ready(engine)
        kills, outcomes = 0, []
        end = time.monotonic() + 1.0

        async def work() -> None:
            while time.monotonic() < end:
                outcomes.append(await outcome(engine, job("spin", seconds=0.003)))

        workers = [asyncio.create_task(work()) for _ in range(4)]
        while time.monotonic() < end:
            await asyncio.sleep(0.05)
            for pid in busy_pids(engine)[:1]:
                os.kill(pid, signal.SIGKILL)
                kills += 1
        await asyncio.gather(*workers)
        failed = [event for event in outcomes if isinstance(event, Failed)]
        assert kills > 5
        assert len(failed) <= kills
        assert {event.reason for event in failed} <= {"crash"}
