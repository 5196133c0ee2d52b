"""Workers forked from a zygote: a warm process, replaced when it dies and by a warmer one when that is ready."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from app.pool import zygote as zygote_process
from app.pool.fleet import (
    DEATHS_BEFORE_FAILED,
    HEALTHY_SECONDS,
    START_LIMIT_SECONDS,
    WARM_LIMIT_SECONDS,
    Fleet,
    Listener,
    Recipe,
    Worker,
    back_off_seconds,
)


class Zygote:
    """One zygote as the event loop sees it."""

    def __init__(
        self, control: socket.socket, on_message: Callable[[Zygote, dict[str, Any], int | None], None], final: bool
    ) -> None:
        control.setblocking(False)
        self.control = control
        self.is_final = final  # it runs every warm-up
        self.is_ready = False
        self.is_open = True
        self.workers: dict[int, Worker] = {}
        self.says: str | None = None
        self.ready_at = 0.0
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(control.fileno(), self._read)

    def request_fork(self, worker: Worker, theirs: socket.socket) -> None:
        """Raises OSError when the zygote is gone or its socket is full."""
        message = json.dumps({"kind": "fork", "worker": worker.number}).encode()
        socket.send_fds(self.control, [message], [theirs.fileno()])

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._loop.remove_reader(self.control.fileno())
            self.control.close()

    def _read(self) -> None:
        while self.is_open:
            try:
                data, descriptors, _, _ = socket.recv_fds(self.control, zygote_process.MESSAGE_BYTES, 4)
            except BlockingIOError:
                return
            except OSError:
                data, descriptors = b"", []
            message = json.loads(data) if data else {"kind": "gone"}
            self._on_message(self, message, descriptors[0] if descriptors else None)


class ForkFleet(Fleet):
    """The first zygote serves after all warm-ups but the last; a second one, with the last, then takes over."""

    reserve = 1

    def __init__(self, recipe: Recipe, listener: Listener) -> None:
        super().__init__(recipe, listener)
        self._current: Zygote | None = None
        self._zygotes: dict[Zygote, Any] = {}
        self._home: dict[Worker, Zygote] = {}
        self._pidfds: dict[Worker, int] = {}
        self._failures = 0

    def start(self) -> None:
        self._start_zygote(final=len(self.recipe.warmup) < 2)

    def is_current(self, worker: Worker) -> bool:
        return self._home.get(worker) is self._current is not None

    @property
    def zygote_pids(self) -> tuple[int, ...]:
        return tuple(process.pid for process in self._zygotes.values())

    def _start_zygote(self, *, final: bool) -> None:
        if self._stopping:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        zygote = Zygote(ours, self._heard, final)
        argument = json.dumps(
            {
                "descriptor": theirs.fileno(),
                "parent": os.getpid(),
                "runner": self.recipe.runner,
                "warmup": self.recipe.warmup if final else self.recipe.warmup[:-1],
                "memory_mb": self.recipe.memory_mb,
                "unconfined": self.recipe.unconfined,
            }
        )
        with theirs:
            self._zygotes[zygote] = self._launch("app.pool.zygote", argument, theirs, devices="")
        asyncio.get_running_loop().call_later(WARM_LIMIT_SECONDS, self._give_up_warming, zygote)

    def _give_up_warming(self, zygote: Zygote) -> None:
        if zygote in self._zygotes and not zygote.is_ready:
            zygote.says = f"Warming up took more than {WARM_LIMIT_SECONDS:g} s."
            self._zygote_gone(zygote)

    def _heard(self, zygote: Zygote, message: dict[str, Any], descriptor: int | None) -> None:
        match message["kind"]:
            case "ready":
                self._zygote_ready(zygote, message)
            case "broken":
                zygote.says = message["says"]
            case "forked":
                self._forked(zygote, message, descriptor)
            case "exited":
                self._exited(zygote, message)
            case "gone":
                self._zygote_gone(zygote)

    def _zygote_ready(self, zygote: Zygote, message: dict[str, Any]) -> None:
        zygote.is_ready = True
        zygote.ready_at = asyncio.get_running_loop().time()
        previous, self._current = self._current, zygote
        self.confinement = dict(message["confinement"])
        self.versions = dict(message["versions"])
        self.state = "ready"
        lacking = [name for name, holds in self.confinement.items() if not holds]
        self.says = f"Ready, but this kernel lacks: {', '.join(lacking)}." if lacking else "Ready."
        for worker in tuple(self._spares):
            self.retire(worker)
        if previous is not None:
            self._close_if_empty(previous)
        self._refill()
        if not zygote.is_final:
            self._start_zygote(final=True)
        self._listener.changed()

    def _zygote_gone(self, zygote: Zygote) -> None:
        process = self._zygotes.pop(zygote, None)
        zygote.close()
        if process is None:
            return
        self._bury(process)
        for worker in tuple(zygote.workers.values()):
            worker.kill()
            self._settle(worker)
        if self._stopping:
            return
        was_current = zygote is self._current
        if was_current:
            self._current = None
            self.state, self.says = "warming", "The workers are being started again."
        if was_current or not zygote.is_ready:
            self._replace(zygote)
        self._listener.changed()

    def _replace(self, zygote: Zygote) -> None:
        """Starts another zygote after a wait, unless one that is warming will take over anyway."""
        loop = asyncio.get_running_loop()
        served = loop.time() - zygote.ready_at if zygote.is_ready else 0.0
        self._failures = 0 if served > HEALTHY_SECONDS else self._failures + 1
        if self._current is None and (zygote.says or self._failures >= DEATHS_BEFORE_FAILED) and not zygote.is_ready:
            self.state = "failed"
            self.says = f"The workers cannot start: {zygote.says or 'they end while warming up.'}"
        if self._current is not None and self._failures >= DEATHS_BEFORE_FAILED:
            return  # the earlier stage goes on serving
        if any(not other.is_ready for other in self._zygotes):
            return
        final = self._current is not None or len(self.recipe.warmup) < 2
        loop.call_later(back_off_seconds(self._failures), lambda: self._start_zygote(final=final))

    def _close_if_empty(self, zygote: Zygote) -> None:
        if zygote is not self._current and zygote.is_ready and not zygote.workers:
            process = self._zygotes.pop(zygote, None)
            zygote.close()
            if process is not None:
                self._bury(process)

    def _can_start(self) -> bool:
        return self._current is not None

    def _start_worker(self) -> None:
        zygote = self._current
        if zygote is None:
            return
        ours, theirs = socket.socketpair()
        worker = self._new_worker(ours)
        self._home[worker] = zygote
        zygote.workers[worker.number] = worker
        with theirs:
            try:
                zygote.request_fork(worker, theirs)
            except OSError:
                self._zygote_gone(zygote)
                return
        asyncio.get_running_loop().call_later(START_LIMIT_SECONDS, self._give_up_starting, worker)

    def _give_up_starting(self, worker: Worker) -> None:
        """A zygote whose fork never reports is stuck: end it."""
        zygote = self._home.get(worker)
        if zygote is not None and self._is_starting(worker):
            self._zygote_gone(zygote)

    def _forked(self, zygote: Zygote, message: dict[str, Any], pidfd: int | None) -> None:
        worker = zygote.workers.get(message["worker"])
        if worker is None or pidfd is None:
            if pidfd is not None:
                os.close(pidfd)
            return
        self._pidfds[worker] = pidfd
        worker.pid = message["pid"]
        worker.kill = lambda: self._kill(worker)
        if worker.is_retired or worker.stream_ended:
            worker.kill()
        elif worker.is_ready:
            self._became_ready(worker)

    def _became_ready(self, worker: Worker) -> None:
        if worker.pid is not None:  # else the zygote's report is still on its way
            super()._became_ready(worker)

    def _kill(self, worker: Worker) -> None:
        pidfd = self._pidfds.get(worker)
        if pidfd is not None and worker.status is None:
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            except ProcessLookupError:
                return

    def _exited(self, zygote: Zygote, message: dict[str, Any]) -> None:
        worker = zygote.workers.get(message["worker"])
        if worker is not None:
            worker.status = message["status"]
            self._settle(worker)

    def _status_is_lost(self, worker: Worker) -> bool:
        return self._home[worker] not in self._zygotes

    def _forget(self, worker: Worker) -> None:
        pidfd = self._pidfds.pop(worker, None)
        if pidfd is not None:
            os.close(pidfd)
        zygote = self._home.pop(worker)
        zygote.workers.pop(worker.number, None)
        self._close_if_empty(zygote)

    def _release(self) -> None:
        for zygote, process in tuple(self._zygotes.items()):
            zygote.close()
            self._bury(process)
        self._zygotes.clear()
