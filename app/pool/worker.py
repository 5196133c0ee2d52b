"""A worker process: reads one job, runs it, answers, and waits for the next."""

from __future__ import annotations

import errno
import importlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.pool import confine, frames

Runner = Callable[[str, dict[str, Any], int, Callable[[dict[str, Any]], None], Callable[[], bool]], Mapping[str, Any]]

CHUNK_BYTES = 64 * 1024
JOB_BYTES_LIMIT = 64 * confine.MIB
SAYS_LIMIT = 2000
# Progress leaves at once until the burst is spent, then at this pace; the latest always leaves before the result.
PROGRESS_BURST = 32
PROGRESS_PER_SECOND = 60.0
# How torch's CPU allocator reports that malloc failed (a RuntimeError, not a MemoryError).
ALLOCATION_FAILED = ("can't allocate memory", "not enough memory", "std::bad_alloc")


def load(dotted: str) -> Callable[..., Any]:
    """The function behind ``package.module:function``."""
    module, _, name = dotted.partition(":")
    found = getattr(importlib.import_module(module), name)
    if not callable(found):
        raise TypeError(f"{dotted} is not a function")
    return found  # type: ignore[no-any-return]


class Channel:
    """The worker's end of the socket pair."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._decoder = frames.Decoder(JOB_BYTES_LIMIT)
        self._inbox: list[frames.Message] = []
        self._poller = select.poll()
        self._poller.register(connection, select.POLLIN)

    @property
    def descriptor(self) -> int:
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> frames.Message | None:
        """The next message; waits for it. None when the other end has gone."""
        while not self._inbox:
            chunk = self._socket.recv(CHUNK_BYTES)
            if not chunk:
                return None
            self._inbox += self._decoder.feed(chunk)
        return self._inbox.pop(0)

    def has_cancel(self, job: str) -> bool:
        """Looks, without waiting, whether this job was asked to end."""
        if self._poller.poll(0):
            chunk = self._socket.recv(CHUNK_BYTES)
            if not chunk:
                os._exit(0)
            self._inbox += self._decoder.feed(chunk)
        return any(message["kind"] == "cancel" and message["job"] == job for message in self._inbox)


@dataclass
class Reporter:
    """Sends progress no faster than a reader can follow."""

    channel: Channel
    job: str
    limit: int
    sequence: int = 0
    credit: float = PROGRESS_BURST
    last: float = field(default_factory=time.monotonic)
    waiting: bytes | None = None

    def emit(self, data: dict[str, Any]) -> None:
        self.sequence += 1
        frame = frames.encode({"kind": "progress", "job": self.job, "seq": self.sequence, "data": data})
        check_size("progress", frame, self.limit)
        now = time.monotonic()
        self.credit = min(PROGRESS_BURST, self.credit + (now - self.last) * PROGRESS_PER_SECOND)
        self.last = now
        if self.credit < 1:
            self.waiting = frame
            return
        self.credit -= 1
        self.waiting = None
        self.channel.send(frame)

    def flush(self) -> None:
        if self.waiting is not None:
            self.channel.send(self.waiting)
            self.waiting = None


@dataclass
class Worker:
    channel: Channel
    runner: Runner
    memory: confine.MemoryLimit | None

    def serve(self) -> None:
        """Runs jobs until the other end has gone."""
        self.channel.send(frames.encode({"kind": "ready"}))
        while (message := self.channel.receive()) is not None:
            if message["kind"] == "run":
                self.channel.send(frames.encode({"kind": "started", "job": message["job"]}))
                self.channel.send(self._run(message))

    def _run(self, message: frames.Message) -> bytes:
        """The frames that end the job: done or failed."""
        try:
            return self._attempt(message)
        except BaseException as error:  # noqa: BLE001 - the border of a job: whatever it raises is its answer
            reason, says = describe(error)
        if self.memory is not None:
            self.memory.lift()
        return frames.encode({"kind": "failed", "job": message["job"], "reason": reason, "says": says})

    def _attempt(self, message: frames.Message) -> bytes:
        job = message["job"]
        if self.memory is not None:
            self.memory.begin(message["memory_mb"], for_ever=message["fresh"])
        reporter = Reporter(self.channel, job, message["result_bytes"])
        began = time.perf_counter()
        result = self.runner(
            message["name"],
            message["params"],
            message["seed"],
            reporter.emit,
            lambda: self.channel.has_cancel(job),
        )
        seconds = time.perf_counter() - began
        if not isinstance(result, Mapping):
            raise TypeError(f"The run returned {type(result).__name__}, not a mapping.")
        answer = frames.encode_result({"kind": "done", "job": job, "seconds": seconds}, result)
        check_size("result", answer, message["result_bytes"])
        reporter.flush()
        return answer


def check_size(what: str, data: bytes, limit: int) -> None:
    if len(data) > limit:
        raise ValueError(f"The {what} has {len(data)} bytes; at most {limit} are accepted.")


def is_out_of_memory(error: BaseException) -> bool:
    """An allocation failed: in Python, in a system call, or in torch."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    words = str(error) if isinstance(error, RuntimeError) else ""
    return isinstance(error, MemoryError) or any(phrase in words for phrase in ALLOCATION_FAILED)


def describe(error: BaseException) -> tuple[str, str]:
    """The reason and the sentence for the reader."""
    message = str(error)
    if is_out_of_memory(error):
        return "memory", ""
    says = getattr(error, "says", None)
    if not isinstance(says, str):
        says = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return "error", says[:SAYS_LIMIT]


def serve_confined(connection: socket.socket, runner: Runner, confinement: confine.Confinement, parent: int) -> None:
    """The life of a forked worker, from the fork to its last job."""
    confine.die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory = confine.MemoryLimit() if "limits" in confinement.layers else None
    kept = {0, 1, 2, connection.fileno()}
    if memory is not None:
        kept.add(memory.descriptor)
    _close_all_but(kept)
    sink = os.open(os.devnull, os.O_RDWR)
    confine.apply(confinement, memory)
    silence_output(sink)
    Worker(Channel(connection), runner, memory).serve()


def silence_output(sink: int) -> None:
    """What a run prints goes nowhere: neither into the server's log nor into a command's answer."""
    for descriptor in (0, 1, 2):
        os.dup2(sink, descriptor)
    os.close(sink)


def _close_all_but(kept: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - only names are needed
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                continue  # the descriptor that listed the folder


def end(code: int) -> None:
    """Leaves without the parent's exit handlers."""
    sys.stderr.flush()
    os._exit(code)
