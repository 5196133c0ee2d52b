"""The seccomp program, run by a small interpreter for both machines; the kernel judges it in the engine's tests."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from app.pool import seccomp, system_calls

PROCESS = 4321
MACHINES = tuple(system_calls.MACHINES)


def verdict(machine: str, name: str, *arguments: int, audit: int | None = None) -> int:
    """What the filter answers to a system call: ALLOW, KILL_PROCESS, or minus the error number."""
    number = OTHERS[name][system_calls.MACHINES[machine]] if name in OTHERS else known(machine)[name]
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("<iIQ6Q", number, audit or seccomp.AUDIT_MACHINE[machine], 0, *padded)
    program = seccomp.filter_program(machine, PROCESS)
    accumulator, line = 0, 0
    while True:
        code, if_true, if_false, constant = program[line]
        line += 1
        if code == seccomp.LOAD:
            (accumulator,) = struct.unpack_from("<I", data, constant)
        elif code == seccomp.RETURN:
            return -(constant & 0xFFFF) if constant & 0xFFFF0000 == seccomp.REFUSE else constant
        else:
            line += if_true if holds(code, accumulator, constant) else if_false


def holds(code: int, accumulator: int, constant: int) -> bool:
    if code == seccomp.JUMP_EQUAL:
        return accumulator == constant
    if code == seccomp.JUMP_AT_LEAST:
        return accumulator >= constant
    assert code == seccomp.JUMP_ANY_BIT
    return bool(accumulator & constant)


def known(machine: str) -> dict[str, int]:
    return system_calls.numbers(system_calls.ALLOWED | system_calls.CHECKED, machine)


# Calls that are in no table: (x86-64, aarch64).
OTHERS = {
    "socket": (41, 198),
    "connect": (42, 203),
    "clone": (56, 220),
    "execve": (59, 221),
    "ptrace": (101, 117),
    "mount": (165, 40),
    "unlinkat": (263, 35),
    "fchmodat": (268, 53),
    "memfd_create": (319, 279),
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "pidfd_send_signal": (424, 424),
    "process_vm_writev": (311, 271),
    "shmget": (29, 194),
    "not yet invented": (900, 900),
}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ["read", "mmap", "futex", "exit_group", "clock_gettime", "recvfrom"])
def test_computing_is_allowed(machine: str, name: str) -> None:
    assert verdict(machine, name) == seccomp.ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_is_refused(machine: str, name: str) -> None:
    assert verdict(machine, name) == -errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_files_open_for_reading_only(machine: str) -> None:
    assert verdict(machine, "openat", 0, 0, os.O_RDONLY | os.O_CLOEXEC) == seccomp.ALLOW
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC):
        assert verdict(machine, "openat", 0, 0, flags) == -errno.EACCES
    assert verdict(machine, "openat2") == -errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ["kill", "tkill", "tgkill"])
def test_signals_go_to_the_process_itself_only(machine: str, name: str) -> None:
    assert verdict(machine, name, PROCESS) == seccomp.ALLOW
    for target in (1, 0, 2**64 - 1, PROCESS + 1):
        assert verdict(machine, name, target) == -errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_a_worker_may_name_itself_but_not_outlive_its_parent(machine: str) -> None:
    assert verdict(machine, "prctl", 15) == seccomp.ALLOW
    assert verdict(machine, "prctl", 1) == -errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_descriptors_cannot_be_made_to_send_signals(machine: str) -> None:
    assert verdict(machine, "fcntl", 3, 3) == seccomp.ALLOW
    for command in (8, 10, 15):  # F_SETOWN, F_SETSIG, F_SETOWN_EX
        assert verdict(machine, "fcntl", 3, command) == -errno.EPERM
    assert verdict(machine, "ioctl", 0, 0x5412) == -errno.EPERM  # TIOCSTI types into a terminal


@pytest.mark.parametrize("machine", MACHINES)
def test_a_call_of_another_machine_ends_the_process(machine: str) -> None:
    assert verdict(machine, "read", audit=0x40000003) == seccomp.KILL_PROCESS


def test_the_second_numbering_of_x86_is_refused() -> None:
    OTHERS["x32 read"] = (seccomp.X32_BIT, 0)
    try:
        assert verdict("x86_64", "x32 read") == -errno.ENOSYS
    finally:
        del OTHERS["x32 read"]


def test_no_number_is_listed_twice() -> None:
    for machine in MACHINES:
        listed = list(known(machine).values())
        assert len(listed) == len(set(listed))


def test_a_machine_without_numbers_is_an_error() -> None:
    with pytest.raises(KeyError):
        seccomp.filter_program("pdp11", PROCESS)
