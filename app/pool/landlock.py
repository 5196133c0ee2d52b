"""Landlock through ctypes: a worker reads only what it is given and writes nothing (``linux/landlock.h``)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every machine
VERSION_FLAG, RULE_PATH_BENEATH = 1, 1

READ_FILE, READ_DIRECTORY = 1 << 2, 1 << 3
EXECUTE = 1 << 0
FILE_RIGHTS_ABI_1 = (1 << 13) - 1
REFER_ABI_2, TRUNCATE_ABI_3, DEVICE_IOCTL_ABI_5 = 1 << 13, 1 << 14, 1 << 15
TCP_BIND_AND_CONNECT_ABI_4 = 0b11
SCOPE_SOCKETS_AND_SIGNALS_ABI_6 = 0b11


class RulesetAttributes(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class PathAttributes(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("directory", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock ABI, 0 where there is none."""
    found = _libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION_FLAG)
    return max(0, int(found))


def restrict(readable: Iterable[str]) -> None:
    """Leaves the process reading below ``readable`` and nothing else, for ever. Raises OSError.

    Needs no_new_privs. TCP is refused from ABI 4 on; signals to processes outside from ABI 6 on.
    """
    abi = version()
    if abi == 0:
        raise OSError("this kernel has no Landlock")
    attributes = RulesetAttributes(_file_rights(abi), 0, 0)
    size = 8
    if abi >= 4:
        attributes.network, size = TCP_BIND_AND_CONNECT_ABI_4, 16
    if abi >= 6:
        attributes.scoped, size = SCOPE_SOCKETS_AND_SIGNALS_ABI_6, 24
    ruleset = _call(CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0)
    try:
        for path in readable:
            _allow_reading(ruleset, path)
        _call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _file_rights(abi: int) -> int:
    rights = FILE_RIGHTS_ABI_1
    for since, right in ((2, REFER_ABI_2), (3, TRUNCATE_ABI_3), (5, DEVICE_IOCTL_ABI_5)):
        if abi >= since:
            rights |= right
    return rights


def _allow_reading(ruleset: int, path: str) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = READ_FILE | READ_DIRECTORY if os.path.isdir(path) else READ_FILE  # noqa: PTH112 - after a fork, cheap
        rule = PathAttributes(rights, place)
        _call(ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    found = int(_libc().syscall(number, *arguments))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock call {number}: {os.strerror(code)}")
    return found


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
