"""Who is asking: the one value that every query takes second."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    LEARNER = "learner"
    EDITOR = "editor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Viewer:
    """``time_zone`` is an IANA name such as ``Europe/Rome``."""

    id: int
    role: Role
    time_zone: str


SOLO_USER_ID = 1


def solo(time_zone: str = "UTC") -> Viewer:
    """The one learner of an installation without accounts; also its editor and admin."""
    return Viewer(id=SOLO_USER_ID, role=Role.ADMIN, time_zone=time_zone)
