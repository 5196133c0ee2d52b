"""What a worker may do: nothing beyond computing. Applied in the fork, with ctypes alone and without root.

Four layers: limits (rlimits), no new privileges, Landlock (files, TCP), seccomp (system calls). Each stands
alone; where a kernel lacks one the others still hold, and ``selftest`` says which.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.pool import landlock, seccomp

LAYERS = ("limits", "no_new_privileges", "landlock", "seccomp")

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS = 1, 38, 39
MIB = 1024 * 1024
# Kept above a run's limit so that the worker can still say that memory ran out.
RESERVE_BYTES = 16 * MIB
# Address space is looser than data: libraries map files and the allocator rounds up.
ADDRESS_SLACK_BYTES = 256 * MIB
OPEN_FILES = 64
SYSTEM_READABLE = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom")


@dataclass(frozen=True, slots=True)
class Confinement:
    """``layers`` to apply, files that stay readable, and the most memory that a worker may ever add, in MiB."""

    layers: tuple[str, ...]
    readable: tuple[str, ...]
    memory_mb: int


def die_with_parent(parent: int) -> None:
    """The kernel kills this process when ``parent`` ends. Exits at once when it already has."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def apply(confinement: Confinement, memory: MemoryLimit | None) -> None:
    """Applies the layers in the order that lets each be installed. Raises OSError."""
    if "limits" in confinement.layers:
        limit_resources()
    if memory is not None:
        memory.cap(confinement.memory_mb)
    if "no_new_privileges" in confinement.layers:
        forbid_new_privileges()
    if "landlock" in confinement.layers:
        landlock.restrict(confinement.readable)
    if "seccomp" in confinement.layers:
        seccomp.install(os.getpid())


def limit_resources() -> None:
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        resource.setrlimit(kind, (value, value))


def forbid_new_privileges() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs was refused")


def has_no_new_privileges() -> bool:
    return bool(ctypes.CDLL(None).prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)


class MemoryLimit:
    """How much a run may add to what the process uses already.

    RLIMIT_DATA makes an allocation fail cleanly; RLIMIT_AS catches shared mappings, which data does not count.
    """

    def __init__(self) -> None:
        """Opens ``/proc/self/statm`` now: a confined worker cannot."""
        self._usage = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._hard = resource.RLIM_INFINITY, resource.RLIM_INFINITY

    @property
    def descriptor(self) -> int:
        return self._usage

    def cap(self, memory_mb: int) -> None:
        """Sets the bounds that no later call can raise."""
        data, address = self._in_use()
        added = memory_mb * MIB + RESERVE_BYTES
        self._hard = (
            _lower(self._hard[0], data + added),
            _lower(self._hard[1], address + added + ADDRESS_SLACK_BYTES),
        )
        self.lift()

    def begin(self, memory_mb: int, *, for_ever: bool) -> None:
        """Limits one run; ``for_ever`` lowers the hard bounds as well, so that the run cannot raise its own."""
        if for_ever:
            self.cap(memory_mb)
        data, address = self._in_use()
        added = memory_mb * MIB
        self._set(data + added, address + added + ADDRESS_SLACK_BYTES)

    def lift(self) -> None:
        """Gives the reserve back, to report a failure."""
        self._set(*self._hard)

    def _set(self, data: int, address: int) -> None:
        for kind, soft, hard in (
            (resource.RLIMIT_DATA, data, self._hard[0]),
            (resource.RLIMIT_AS, address, self._hard[1]),
        ):
            resource.setrlimit(kind, (_lower(hard, soft), hard))

    def _in_use(self) -> tuple[int, int]:
        """Bytes of data and of address space."""
        fields = os.pread(self._usage, 256, 0).split()
        page = resource.getpagesize()
        return int(fields[5]) * page, int(fields[0]) * page


def _lower(bound: int, value: int) -> int:
    return value if bound == resource.RLIM_INFINITY else min(bound, value)


def readable_paths(packages: Iterable[str]) -> tuple[str, ...]:
    """The interpreter, the installed packages and the folders of these packages; no data, no home."""
    paths = sysconfig.get_paths()
    own = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    own.append(str(Path(sys.base_prefix) / "lib"))
    for package in sorted({name.partition(".")[0] for name in packages}):
        own += _folders(package)
    return tuple(dict.fromkeys([*own, *SYSTEM_READABLE]))


def _folders(package: str) -> Sequence[str]:
    module = importlib.import_module(package)
    if hasattr(module, "__path__"):
        return [str(path) for path in module.__path__]
    return [str(module.__file__)] if module.__file__ else []
