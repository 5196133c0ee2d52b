"""The zygote: a warm, single-threaded process that forks workers when asked.

Started as ``python -m app.pool.zygote CONFIG`` with one end of a SEQPACKET socket pair. It imports what a
run needs, once; each fork then shares those pages and is ready in milliseconds.

To the zygote:   {"kind": "fork", "worker": n} with the worker's end of a socket pair as a descriptor.
From the zygote: ready(confinement, versions) · broken(says) · forked(worker, pid) with a pidfd ·
                 exited(worker, status).
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import SetupError
from app.pool import confine, selftest, worker

MESSAGE_BYTES = 65536


@dataclass(frozen=True)
class Config:
    descriptor: int
    parent: int
    runner: str
    warmup: tuple[str, ...]
    memory_mb: int
    unconfined: bool


class Zygote:
    def __init__(self, control: socket.socket, runner: worker.Runner, confinement: confine.Confinement) -> None:
        self._control = control
        self._runner = runner
        self._confinement = confinement
        self._children: dict[int, tuple[int, int]] = {}  # pidfd: (worker, pid)
        self._poller = select.poll()
        self._poller.register(control, select.POLLIN)

    def serve(self) -> None:
        """Forks and reaps until the other end has gone; the children then die with this process."""
        while True:
            for descriptor, _ in self._poller.poll():
                if not self._attend(descriptor):
                    return

    def _attend(self, descriptor: int) -> bool:
        """A request or the end of a child; False when the other end has gone."""
        if descriptor == self._control.fileno():
            return self._answer()
        self._reap(descriptor)
        return True

    def _answer(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, 4)
        if not data:
            return False
        message = json.loads(data)
        assert_single_threaded()
        here = os.getpid()
        process = os.fork()
        if process == 0:
            self._become_worker(descriptors[0], here)
        pidfd = os.pidfd_open(process)
        os.close(descriptors[0])
        self._children[pidfd] = (message["worker"], process)
        self._poller.register(pidfd, select.POLLIN)
        send(self._control, {"kind": "forked", "worker": message["worker"], "pid": process}, pidfd)
        return True

    def _become_worker(self, descriptor: int, parent: int) -> None:
        code = 1
        try:
            worker.serve_confined(socket.socket(fileno=descriptor), self._runner, self._confinement, parent)
            code = 0
        except (BrokenPipeError, ConnectionResetError):
            code = 0
        except BaseException:  # noqa: BLE001 - the border of the process: a child must never return into the loop
            traceback.print_exc()
        finally:
            worker.end(code)

    def _reap(self, pidfd: int) -> None:
        number, process = self._children.pop(pidfd)
        self._poller.unregister(pidfd)
        _, status = os.waitpid(process, 0)
        os.close(pidfd)
        send(self._control, {"kind": "exited", "worker": number, "status": os.waitstatus_to_exitcode(status)})


def send(control: socket.socket, message: Mapping[str, Any], *descriptors: int) -> None:
    socket.send_fds(control, [json.dumps(message).encode()], list(descriptors))


def thread_count() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - before every fork, four times faster than Path


def assert_single_threaded() -> None:
    """A child of a multi-threaded process may inherit a lock that nobody will release. Raises SetupError."""
    count = thread_count()
    if count != 1:
        raise SetupError(f"The warm process has {count} threads; workers can be forked only from one.")


def assert_confined(holds: Mapping[str, bool]) -> None:
    """One of the two layers that keep a run from the files and the network must hold. Raises SetupError."""
    if not (holds["landlock"] or holds["seccomp"]):
        raise SetupError(
            "This kernel offers neither Landlock nor seccomp, so a run could not be confined. "
            "Start with --unconfined to accept that."
        )


def warm(runner: str, warmup: tuple[str, ...]) -> tuple[worker.Runner, dict[str, str]]:
    """Loads the runner and calls each warm-up; one that returns a mapping adds to the versions."""
    found: worker.Runner = worker.load(runner)
    versions: dict[str, str] = {}
    for name in warmup:
        told = worker.load(name)()
        if isinstance(told, Mapping):
            versions |= {str(key): str(value) for key, value in told.items()}
    return found, versions


def run(config: Config, control: socket.socket) -> None:
    holds = selftest.layers_that_hold()
    if not config.unconfined:
        assert_confined(holds)
    runner, versions = warm(config.runner, config.warmup)
    assert_single_threaded()
    confinement = confine.Confinement(
        layers=tuple(name for name, held in holds.items() if held),
        readable=confine.readable_paths((config.runner, *config.warmup, "app")),
        memory_mb=config.memory_mb,
    )
    tempfile.gettempdir()  # found by writing a file, once: a worker that imports more may ask for it but not write
    gc.collect()
    gc.freeze()
    send(control, {"kind": "ready", "confinement": holds, "versions": versions})
    Zygote(control, runner, confinement).serve()


def main(argument: str) -> int:
    given = json.loads(argument)
    config = Config(**{**given, "warmup": tuple(given["warmup"])})
    confine.die_with_parent(config.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=config.descriptor)
    try:
        run(config, control)
    except (BrokenPipeError, ConnectionResetError):
        return 0
    except Exception as error:  # noqa: BLE001 - the border of the process: the server must learn why
        traceback.print_exc()
        _, says = worker.describe(error)
        send(control, {"kind": "broken", "says": says or "Memory ran out while warming up."})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
