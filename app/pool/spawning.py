"""Workers that are started one by one: for a GPU, and for systems where a confined fork is not possible."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess

from app.pool import frames
from app.pool.fleet import DEATHS_BEFORE_FAILED, Fleet, Listener, Recipe, Worker, back_off_seconds


class SpawnFleet(Fleet):
    """``devices`` is what CUDA_VISIBLE_DEVICES will say: one number, or nothing at all."""

    def __init__(self, recipe: Recipe, listener: Listener, devices: str) -> None:
        super().__init__(recipe, listener)
        self._devices = devices
        self._processes: dict[Worker, subprocess.Popen[bytes]] = {}
        self._told: dict[Worker, str] = {}
        self._failures = 0
        self._may_start = False

    def start(self) -> None:
        self._may_start = True
        self._refill()

    def is_current(self, worker: Worker) -> bool:
        return True

    def _can_start(self) -> bool:
        return self._may_start

    def _start_worker(self) -> None:
        ours, theirs = socket.socketpair()
        worker = self._new_worker(ours)
        argument = json.dumps(
            {
                "descriptor": theirs.fileno(),
                "parent": os.getpid(),
                "runner": self.recipe.runner,
                "warmup": self.recipe.warmup,
            }
        )
        with theirs:
            process = self._launch("app.pool.spawned", argument, theirs, self._devices)
        self._processes[worker] = process
        worker.pid = process.pid
        worker.kill = process.kill

    def _before_ready(self, worker: Worker, message: frames.Message) -> None:
        if message["kind"] == "warm":
            self.versions = {str(key): str(value) for key, value in message["versions"].items()}
        elif message["kind"] == "broken":
            self._told[worker] = str(message["says"])

    def _became_ready(self, worker: Worker) -> None:
        self._failures = 0
        self.state, self.says = "ready", "Ready, without confinement."
        self.confinement = {"confined": False}
        super()._became_ready(worker)

    def _stream_ended(self, worker: Worker) -> None:
        worker.stream_ended = True
        process = self._processes[worker]
        try:
            worker.status = process.wait(timeout=0.05)  # it closed the stream because it ended: almost at once
        except subprocess.TimeoutExpired:
            process.kill()
        self._settle(worker)

    def _forget(self, worker: Worker) -> None:
        self._bury(self._processes.pop(worker))
        says = self._told.pop(worker, None)
        if worker.is_ready or worker.is_retired or self._stopping:
            return
        self._failures += 1
        if says or self._failures >= DEATHS_BEFORE_FAILED:
            self.state = "failed"
            self.says = f"The workers cannot start: {says or 'they end while warming up.'}"
        self._may_start = False
        asyncio.get_running_loop().call_later(back_off_seconds(self._failures), self.start)
        self._listener.changed()

    def _release(self) -> None:
        for process in self._processes.values():
            self._bury(process)
