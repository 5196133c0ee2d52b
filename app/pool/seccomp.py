"""The seccomp filter of a confined worker: an allow-list of system calls, refused with EPERM otherwise.

A classic BPF program (seccomp(2), ``linux/filter.h``), assembled here and installed with ``prctl``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable

from app.pool import system_calls

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, REFUSE, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000

NUMBER_OFFSET, MACHINE_OFFSET, ARGUMENTS_OFFSET = 0, 4, 16  # struct seccomp_data
AUDIT_MACHINE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32_BIT = 0x40000000  # x86-64 answers a second set of numbers above this bit

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Name and read the process, name memory areas (glibc does). Not PDEATHSIG: a worker must die with its parent.
PRCTL_ALLOWED = (3, 15, 16, 23, 0x53564D41)
# FIONREAD, TCGETS, FIONBIO, FIOCLEX, TIOCGWINSZ.
IOCTL_ALLOWED = (0x541B, 0x5401, 0x5421, 0x5451, 0x5413)
# Duplicate, flags, status flags, close-on-exec duplicate. Not F_SETOWN and F_SETSIG: they send signals.
FCNTL_ALLOWED = (0, 1, 2, 3, 4, 1030)

Instruction = tuple[int, int, int, int]


def install(process: int) -> None:
    """Confines the calling process, whose id is ``process``, for ever. Raises OSError or KeyError (no table)."""
    program = b"".join(struct.pack("HBBI", *line) for line in filter_program(platform.machine(), process))
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    argument = Program(len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(argument), 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")


def filter_program(machine: str, process: int) -> list[Instruction]:
    """Each instruction is (code, jump if true, jump if false, constant)."""
    checked = system_calls.numbers(system_calls.CHECKED, machine)
    program: list[Instruction] = [
        (LOAD, 0, 0, MACHINE_OFFSET),
        (JUMP_EQUAL, 1, 0, AUDIT_MACHINE[machine]),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER_OFFSET),
    ]
    if machine == "x86_64":
        program += [(JUMP_AT_LEAST, 0, 1, X32_BIT), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]
    program += _checks(checked, process)
    for number in sorted(system_calls.numbers(system_calls.ALLOWED, machine).values()):
        program += [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    program.append((RETURN, 0, 0, REFUSE | errno.EPERM))
    return program


def _checks(checked: dict[str, int], process: int) -> list[Instruction]:
    rules = {
        "openat": _refuse_bits(2, WRITING),
        "open": _refuse_bits(1, WRITING),
        "kill": _allow_values(0, (process,)),
        "tkill": _allow_values(0, (process,)),
        "tgkill": _allow_values(0, (process,)),
        "prctl": _allow_values(0, PRCTL_ALLOWED),
        "ioctl": _allow_values(1, IOCTL_ALLOWED),
        "fcntl": _allow_values(1, FCNTL_ALLOWED),
        "prlimit64": _allow_values(0, (0, process)),
        # Their arguments lie behind a pointer that a filter cannot follow; libc falls back to the older calls.
        "openat2": [(RETURN, 0, 0, REFUSE | errno.ENOSYS)],
        "clone3": [(RETURN, 0, 0, REFUSE | errno.ENOSYS)],
    }
    program: list[Instruction] = []
    for name, number in checked.items():
        program += [(JUMP_EQUAL, 0, len(rules[name]), number), *rules[name]]
    return program


def _argument(index: int) -> Instruction:
    """Loads the low half of an argument (little-endian machines)."""
    return (LOAD, 0, 0, ARGUMENTS_OFFSET + 8 * index)


def _refuse_bits(index: int, bits: int) -> list[Instruction]:
    return [
        _argument(index),
        (JUMP_ANY_BIT, 0, 1, bits),
        (RETURN, 0, 0, REFUSE | errno.EACCES),
        (RETURN, 0, 0, ALLOW),
    ]


def _allow_values(index: int, values: Iterable[int]) -> list[Instruction]:
    program = [_argument(index)]
    for value in values:
        program += [(JUMP_EQUAL, 0, 1, value), (RETURN, 0, 0, ALLOW)]
    return [*program, (RETURN, 0, 0, REFUSE | errno.EPERM)]
