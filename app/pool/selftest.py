"""Tries each layer of the confinement in a throw-away child and says which hold here."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from app.pool import confine, landlock, seccomp

HOLDS, LACKS = 0, 1


def layers_that_hold() -> dict[str, bool]:
    """One short-lived fork per layer: what is applied cannot be taken back. Call it while single-threaded."""
    trials: dict[str, Callable[[], bool]] = {
        "limits": _limits_hold,
        "no_new_privileges": _privileges_hold,
        "landlock": _landlock_holds,
        "seccomp": _seccomp_holds,
    }
    return {name: _in_child(trials[name]) for name in confine.LAYERS}


def _in_child(trial: Callable[[], bool]) -> bool:
    process = os.fork()
    if process == 0:
        code = LACKS
        try:
            code = HOLDS if trial() else LACKS
        finally:
            os._exit(code)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status) == HOLDS


def _limits_hold() -> bool:
    memory = confine.MemoryLimit()
    confine.limit_resources()
    memory.cap(64)
    memory.begin(64, for_ever=False)
    try:
        bytearray(512 * confine.MIB)
    except MemoryError:
        return True
    return False


def _privileges_hold() -> bool:
    confine.forbid_new_privileges()
    return confine.has_no_new_privileges()


def _landlock_holds() -> bool:
    confine.forbid_new_privileges()
    os.close(os.open("/proc/self/status", os.O_RDONLY))
    landlock.restrict(("/usr/lib",))
    return _is_refused(lambda: os.open("/proc/self/status", os.O_RDONLY)) and _is_refused(_open_for_writing)


def _seccomp_holds() -> bool:
    confine.forbid_new_privileges()
    seccomp.install(os.getpid())
    return (
        _is_refused(socket.socket)
        and _is_refused(_fork_and_end)
        and _is_refused(lambda: os.kill(os.getppid(), 0))
        and _is_refused(_open_for_writing)
    )


def _open_for_writing() -> None:
    os.close(os.open("/dev/null", os.O_WRONLY))


def _fork_and_end() -> None:
    if os.fork() == 0:
        os._exit(0)


def _is_refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except PermissionError:
        return True
    return False
