"""The worker processes behind some slots: started ahead of need, watched, killed. Two ways to start them follow."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from app.pool import frames
from app.pool.links import Link

# Before its first job a worker has little to say.
FRAME_BYTES_LIMIT = 64 * 1024
START_LIMIT_SECONDS = 20.0
WARM_LIMIT_SECONDS = 300.0
# After the stream of a worker has ended, how long its exit status may take to arrive.
STATUS_WAIT_SECONDS = 0.3
STOP_WAIT_SECONDS = 3.0
BACK_OFF_FIRST_SECONDS, BACK_OFF_MOST_SECONDS = 0.1, 30.0
HEALTHY_SECONDS = 10.0
DEATHS_BEFORE_FAILED = 3
ROOT = Path(__file__).resolve().parents[2]

FleetState = Literal["warming", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a worker is made: the runner and the warm-ups as ``package.module:function``."""

    runner: str
    warmup: tuple[str, ...]
    memory_mb: int
    unconfined: bool


class Worker:
    """One worker process as the event loop sees it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid: int | None = None
        self.runs = 0
        self.is_ready = False
        self.has_ended = False
        self.is_retired = False
        self.stream_ended = False
        self.status: int | None = None  # exit code, or minus the signal; None while unknown
        self.link: Link | None = None
        self.kill: Callable[[], None] = lambda: None

    def send(self, data: bytes) -> None:
        if self.link is not None:
            self.link.send(data)


class Listener(Protocol):
    def changed(self) -> None:
        """A worker became ready, or the state did."""
        ...

    def message(self, worker: Worker, message: frames.Message) -> None: ...

    def ended(self, worker: Worker) -> None:
        """The worker is gone and was not retired; its status is set when it is known."""
        ...


class Fleet(ABC):
    """``take`` gives a worker that has run nothing; ``want`` says how many of them should wait ready."""

    reserve: int = 0  # workers kept ready beyond one for each slot

    def __init__(self, recipe: Recipe, listener: Listener) -> None:
        self.recipe = recipe
        self.state: FleetState = "warming"
        self.says = "The workers are warming up."
        self.confinement: dict[str, bool] = {}
        self.versions: dict[str, str] = {}
        self._listener = listener
        self._spares: list[Worker] = []
        self._workers: set[Worker] = set()
        self._wanted = 0
        self._number = 0
        self._stopping = False
        self._dying: list[subprocess.Popen[bytes]] = []

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def is_current(self, worker: Worker) -> bool:
        """False for a worker from before the last change of generation: replace it when idle."""

    @abstractmethod
    def _can_start(self) -> bool: ...

    @abstractmethod
    def _start_worker(self) -> None: ...

    @abstractmethod
    def _forget(self, worker: Worker) -> None:
        """Called once a worker is gone."""

    def take(self) -> Worker | None:
        if not self._spares:
            return None
        worker = self._spares.pop(0)
        self._refill()
        return worker

    def want(self, count: int) -> None:
        self._wanted = count
        self._refill()

    def retire(self, worker: Worker) -> None:
        """Kills a worker and forgets it; the listener hears nothing more of it."""
        worker.is_retired = True
        if worker in self._spares:
            self._spares.remove(worker)
        worker.kill()
        if worker.link is not None:
            worker.link.close()
        worker.stream_ended = True
        self._settle(worker)

    def _refill(self) -> None:
        starting = sum(1 for worker in self._workers if self._is_starting(worker))
        for _ in range(self._wanted - len(self._spares) - starting):
            if self._can_start() and not self._stopping:
                self._start_worker()

    def _is_starting(self, worker: Worker) -> bool:
        return not worker.is_ready and not worker.is_retired and not worker.has_ended and self.is_current(worker)

    def _new_worker(self, connection: socket.socket) -> Worker:
        self._number += 1
        worker = Worker(self._number)
        worker.link = Link(
            connection,
            FRAME_BYTES_LIMIT,
            lambda message: self._message(worker, message),
            lambda: self._stream_ended(worker),
        )
        self._workers.add(worker)
        return worker

    def _message(self, worker: Worker, message: frames.Message) -> None:
        if worker.is_ready:
            self._listener.message(worker, message)
        elif message["kind"] == "ready":
            worker.is_ready = True
            self._became_ready(worker)
        else:
            self._before_ready(worker, message)

    def _before_ready(self, worker: Worker, message: frames.Message) -> None:
        """A message of a worker that is still starting."""
        return

    def _became_ready(self, worker: Worker) -> None:
        if not self.is_current(worker):
            self.retire(worker)
            return
        self._spares.append(worker)
        self._listener.changed()

    def _stream_ended(self, worker: Worker) -> None:
        worker.stream_ended = True
        worker.kill()  # it can no longer be reached, so it may not go on
        self._settle(worker)

    def _settle(self, worker: Worker) -> None:
        """Ends a worker once its stream has ended and its status is known, or late enough."""
        if worker.stream_ended and (worker.status is not None or self._status_is_lost(worker)):
            self._finish(worker)
        else:
            asyncio.get_running_loop().call_later(STATUS_WAIT_SECONDS, self._finish, worker)

    def _status_is_lost(self, worker: Worker) -> bool:
        return False

    def _finish(self, worker: Worker) -> None:
        if worker.has_ended:
            return
        worker.has_ended = True
        worker.kill()
        if worker.link is not None:
            worker.link.close()
        self._workers.discard(worker)
        if worker in self._spares:
            self._spares.remove(worker)
        self._forget(worker)
        if not worker.is_retired:
            self._listener.ended(worker)
        self._refill()

    def _launch(self, module: str, argument: str, theirs: socket.socket, devices: str) -> subprocess.Popen[bytes]:
        """Starts ``python -m module`` with the socket, one thread, and these CUDA devices; no other environment."""
        environment: Mapping[str, str] = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "CUDA_VISIBLE_DEVICES": devices,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        return subprocess.Popen(
            [sys.executable, "-m", module, argument],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,  # a Ctrl-C in the terminal is the server's to handle
        )

    def _bury(self, process: subprocess.Popen[bytes]) -> None:
        """Kills a process and collects it without making the event loop wait."""
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            self._dying.append(process)
            asyncio.get_running_loop().call_later(0.02, self._collect)

    def _collect(self) -> None:
        self._dying = [process for process in self._dying if process.poll() is None]
        if self._dying:
            asyncio.get_running_loop().call_later(0.02, self._collect)

    async def stop(self) -> None:
        """Kills every process of this fleet and waits until each has gone."""
        self._stopping = True
        for worker in tuple(self._workers):
            self.retire(worker)
        await self._until(lambda: not self._workers)
        self._release()
        await self._until(lambda: not [process for process in self._dying if process.poll() is None])

    @abstractmethod
    def _release(self) -> None:
        """Buries what remains once the workers are gone."""

    @staticmethod
    async def _until(is_done: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + STOP_WAIT_SECONDS
        while not is_done() and loop.time() < end:
            await asyncio.sleep(0.002)


def back_off_seconds(failures: int) -> float:
    """The wait before the next try: doubles from a tenth of a second up to half a minute."""
    return min(BACK_OFF_MOST_SECONDS, BACK_OFF_FIRST_SECONDS * 2.0 ** min(failures, 20))
