"""Measures the embedded pool beside its bars: ``python -m bench.pool [--seconds N] [--without-torch]``.

What needs the whole server and a browser (first page, slider to picture) is measured by ``python -m bench.pages``.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import random
import signal
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import uvloop

from app.pool import frames
from app.pool.embedded import EmbeddedEngine
from app.pool.fleet import Recipe, Worker
from app.pool.forking import ForkFleet
from app.pool.job import Done, Failed, JobSpec, Limits, Started

RUNNER = "bench.pool:run_job"
JOB_SECONDS = 0.020


@dataclass(frozen=True, slots=True)
class Row:
    """``holds`` is None for what was not measured."""

    what: str
    measured: str
    bar: str
    holds: bool | None


# What the workers run.


def run_job(name: str, params: dict[str, Any], seed: int, emit: Any, cancelled: Any) -> dict[str, Any]:
    if name == "work":
        return {"value": work(params["rounds"])}
    if name == "one C call":
        return {"value": pow(3, 10**9).bit_length()}
    return {"values": [index * 0.37 for index in range(200)], "seed": seed, "params": params}


def work(rounds: int) -> int:
    total = 0
    for number in range(rounds):
        total += number * number % 7
    return total


def warm() -> dict[str, str]:
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    layer = torch.nn.Linear(64, 64)
    layer(torch.randn(8, 64)).square().mean().backward()
    return {"torch": str(torch.__version__)}


# What is measured.


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def socket_floor() -> list[Row]:
    """What this machine adds now to any answer from another process: one byte there and back, a plain blocking pair."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        while theirs.recv(1):
            theirs.send(b"x")
        os._exit(0)
    theirs.close()
    spans = []
    for _ in range(3000):
        began = time.perf_counter()
        ours.send(b"x")
        ours.recv(1)
        spans.append(1000 * (time.perf_counter() - began))
    ours.close()
    os.waitpid(child, 0)
    shown = f"{quantile(spans, 0.50):.2f} ms p50, {quantile(spans, 0.99):.2f} ms p99"
    return [Row("for comparison: one byte to a process and back", shown, "-", None)]


async def overhead(engine: EmbeddedEngine) -> list[Row]:
    direct, pooled = [], []
    for index in range(3000):
        began = time.perf_counter()
        run_job("small", {"p": 0.5}, index, None, None)
        middle = time.perf_counter()
        await engine.submit(JobSpec("small", {"p": 0.5}, seed=index)).result()
        pooled.append(time.perf_counter() - middle)
        direct.append(middle - began)
    base = statistics.median(direct)
    half, most = (1000 * (quantile(pooled, share) - base) for share in (0.50, 0.99))
    return [
        Row("overhead of a reused worker, p50 of 3000", f"{half:.2f} ms", "<= 0.3 ms", half <= 0.3),
        Row("overhead of a reused worker, p99 of 3000", f"{most:.2f} ms", "<= 1 ms", most <= 1.0),
    ]


def calibrated_rounds() -> int:
    """How many rounds of ``work`` take 20 ms here."""
    timings = []
    for _ in range(15):
        began = time.perf_counter()
        work(100_000)
        timings.append(time.perf_counter() - began)
    return int(100_000 * JOB_SECONDS / min(timings))


def two_ideal_workers(jobs: int, rounds: int) -> float:
    """Seconds that two plain processes need for the same work, with nothing between the jobs."""
    began = time.perf_counter()
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            for _ in range(jobs // 2):
                work(rounds)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return time.perf_counter() - began


async def throughput(engine: EmbeddedEngine, rounds: int) -> list[Row]:
    jobs, ratios = 40, []
    for _ in range(15):
        ideal = two_ideal_workers(jobs, rounds)
        began = time.perf_counter()
        tickets = [engine.submit(JobSpec("work", {"rounds": rounds}, owner=str(index))) for index in range(jobs)]
        await asyncio.gather(*(ticket.result() for ticket in tickets))
        ratios.append(ideal / (time.perf_counter() - began))
    ratio = statistics.median(ratios)
    shown = f"{ratio:.3f} (from {min(ratios):.3f} to {max(ratios):.3f})"
    return [Row("20 ms jobs against two ideal workers, median of 15 × 40", shown, ">= 0.95", ratio >= 0.95)]


async def deadlines(engine: EmbeddedEngine) -> list[Row]:
    limit, overshoots = 0.2, []
    for _ in range(20):
        ticket = engine.submit(JobSpec("one C call", {}, limits=Limits(seconds=limit)))
        began = time.perf_counter()
        async for event in ticket.events():
            if isinstance(event, Started):
                began = time.perf_counter()
        event = await ticket.result()
        assert isinstance(event, Failed), event
        assert event.reason == "timeout", event
        overshoots.append(1000 * (time.perf_counter() - began - limit))
    most = max(overshoots)
    return [Row("deadline overshoot inside one C call, worst of 20", f"{most:.1f} ms", "<= 100 ms", most <= 100)]


async def departures(engine: EmbeddedEngine) -> list[Row]:
    """From leaving the events until a job that waited has started on the only slot."""
    waits = []
    for _ in range(20):
        events = engine.submit(JobSpec("one C call", {}, limits=Limits(seconds=30))).events()
        while not isinstance(await anext(events), Started):
            pass
        next_events = engine.submit(JobSpec("small", {})).events()
        await anext(next_events)
        began = time.perf_counter()
        await events.aclose()
        while not isinstance(await anext(next_events), Started):
            pass
        waits.append(1000 * (time.perf_counter() - began))
        async for _ in next_events:
            pass
    most = max(waits)
    return [Row("browser leaves, slot free, worst of 20", f"{most:.1f} ms", "<= 150 ms", most <= 150)]


async def kills(engine: EmbeddedEngine, seconds: float, rounds: int) -> list[Row]:
    """Ten SIGKILL a second to workers, busy or idle, while four clients keep both busy."""
    outcomes: list[object] = []
    end = time.monotonic() + seconds

    async def client(owner: int) -> None:
        while time.monotonic() < end:
            spec = JobSpec("work", {"rounds": rounds // 5}, owner=str(owner))
            try:
                outcomes.append(await asyncio.wait_for(engine.submit(spec).result(), 15))
            except TimeoutError:
                outcomes.append("hung")

    clients = [asyncio.create_task(client(owner)) for owner in range(4)]
    chooser, killed = random.Random(0), 0
    while time.monotonic() < end:
        await asyncio.sleep(0.1)
        pids = [slot.pid for slot in engine.status().slots if slot.pid is not None]
        if pids and kill(chooser.choice(pids)):
            killed += 1
    await asyncio.gather(*clients)
    done = sum(isinstance(outcome, Done) for outcome in outcomes)
    failed = sum(isinstance(outcome, Failed) for outcome in outcomes)
    hung = outcomes.count("hung")
    shown = f"{killed} kills, {done} jobs done, {failed} failed, {hung} hung"
    what = f"10 SIGKILL a second for {seconds:g} s"
    return [Row(what, shown, "failed <= kills, 0 hung", failed <= killed and hung == 0 and killed > 0)]


def kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


class ForkWatcher:
    """Listens to a fleet and notes when a worker became ready."""

    def __init__(self) -> None:
        self.is_ready = asyncio.Event()

    def changed(self) -> None:
        self.is_ready.set()

    def message(self, worker: Worker, message: frames.Message) -> None:
        return

    def ended(self, worker: Worker) -> None:
        return


async def forks(warmup: tuple[str, ...]) -> list[Row]:
    """From asking for a fork until the confined worker says that it is ready."""
    watcher, spans = ForkWatcher(), []
    fleet = ForkFleet(Recipe(RUNNER, warmup, memory_mb=1024, unconfined=False), watcher)
    fleet.start()
    fleet.want(1)
    while (worker := fleet.take()) is None:
        watcher.is_ready.clear()
        await watcher.is_ready.wait()
    for _ in range(100):
        watcher.is_ready.clear()
        fleet.retire(worker)
        await asyncio.sleep(0.02)
        spare = fleet.take()
        assert spare is not None
        watcher.is_ready.clear()
        began = time.perf_counter()
        await watcher.is_ready.wait()
        spans.append(1000 * (time.perf_counter() - began))
        worker = spare
    await fleet.stop()
    half, most = quantile(spans, 0.50), quantile(spans, 0.99)
    shown = f"{half:.1f} ms p50, {most:.1f} ms p99"
    return [Row("fresh confined fork ready, 100 forks", shown, "<= 10 ms", half <= 10)]


async def with_engine(
    warmup: tuple[str, ...], workers: int, measure: Callable[[EmbeddedEngine], Awaitable[list[Row]]]
) -> list[Row]:
    engine = EmbeddedEngine(RUNNER, warmup=warmup, workers=workers, queue_limit=1000, owner_limit=1000)
    await engine.start()
    await engine.submit(JobSpec("small", {})).result()
    try:
        return await measure(engine)
    finally:
        await engine.stop()


async def measure_all(seconds: float, warmup: tuple[str, ...]) -> list[Row]:
    rounds = calibrated_rounds()
    rows = socket_floor()
    rows += await with_engine(warmup, 2, overhead)
    rows += await with_engine(warmup, 2, lambda engine: throughput(engine, rounds))
    rows += await with_engine(warmup, 2, deadlines)
    rows += await with_engine(warmup, 1, departures)
    rows += await with_engine(warmup, 2, lambda engine: kills(engine, seconds, rounds))
    return rows + await forks(warmup)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long workers are killed")
    parser.add_argument("--without-torch", action="store_true", help="measure the pool alone")
    arguments = parser.parse_args()
    warmup = () if arguments.without_torch else ("bench.pool:warm",)
    rows = uvloop.run(measure_all(arguments.seconds, warmup))  # the loop that the server runs on
    for row in rows:
        verdict = {True: "holds", False: "MISSED", None: "-"}[row.holds]
        print(f"{row.what:58} {row.measured:52} {row.bar:24} {verdict}")
    return int(any(row.holds is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
