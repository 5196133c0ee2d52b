"""Learners at their keyboards, in a process of their own: closed loop for throughput, open loop for latency."""

from __future__ import annotations

import asyncio
import json
import random
import selectors
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Load:
    """``seconds`` from the first send to the last reply; latencies in the order of the sends."""

    seconds: float
    latencies: list[float]
    failures: int

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        return sorted(self.latencies)[min(int(share * len(self.latencies)), len(self.latencies) - 1)]


def measure(load: Coroutine[Any, Any, Load]) -> Load:
    """Runs a load. ``select`` sleeps to the microsecond; ``epoll`` sends up to 2 ms late, which counts as latency."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(load)


class Line:
    """One kept-alive HTTP/1.1 connection that sends JSON and awaits JSON: a client that costs little itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Line:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        text = json.dumps(body).encode()
        head = f"POST /grade HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(text)}"
        self._writer.write(head.encode() + b"\r\n\r\n" + text)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return int(answer[9:12]), json.loads(await self._reader.readexactly(length))

    def close(self) -> None:
        self._writer.close()


async def closed(port: int, clients: int, seconds: float, pile: Sequence[dict[str, Any]]) -> Load:
    """``clients`` each send one grade after the other from a shared pile, as fast as replies come."""
    left = iter(pile)
    latencies: list[float] = []
    failures = 0
    began = time.perf_counter()

    async def study(line: Line) -> None:
        nonlocal failures
        while time.perf_counter() - began < seconds and (body := next(left, None)) is not None:
            sent = time.perf_counter()
            status, _ = await line.ask(body)
            latencies.append(time.perf_counter() - sent)
            failures += status != 200

    lines = [await Line.open(port) for _ in range(clients)]
    began = time.perf_counter()
    await asyncio.gather(*(study(line) for line in lines))
    taken = time.perf_counter() - began
    for line in lines:
        line.close()
    return Load(taken, latencies, failures)


async def opened(port: int, first: Sequence[dict[str, Any]], rate: float, seconds: float, warm: float) -> Load:
    """One learner a body of ``first``; together they mean to send ``rate`` grades a second, at random moments.

    A grade is timed from the moment it was meant to be sent: a late reply makes the next one late, and that counts.
    The first ``warm`` seconds are not counted.
    """
    chance = random.Random(3)
    lines = [await Line.open(port) for _ in first]
    began = time.perf_counter() + 0.1
    counted: list[tuple[float, float]] = []
    failures = 0

    async def study(line: Line, body: dict[str, Any]) -> None:
        nonlocal failures
        intended = began + chance.uniform(0, len(first) / rate)
        while intended < began + warm + seconds:
            await asyncio.sleep(max(intended - time.perf_counter(), 0))
            status, reply = await line.ask(body)
            counted.append((intended - began, time.perf_counter() - intended))
            failures += status != 200
            token = reply.get("token", body["token"])  # the constant route has none
            if status != 200 or token is None:
                return
            body = body | {"token": token, "rating": chance.choices((1, 2, 3, 4), (8, 10, 72, 10))[0]}
            intended += chance.expovariate(rate / len(first))

    await asyncio.gather(*(study(line, body) for line, body in zip(lines, first, strict=True)))
    for line in lines:
        line.close()
    return Load(seconds, [latency for at, latency in sorted(counted) if at >= warm], failures)
