"""Slots of one kind (CPU or GPU) with their queue: which job may start now, and on which worker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from app.pool.engine import SlotStatus
from app.pool.fleet import Fleet, FleetState, Worker
from app.pool.job import Isolation
from app.pool.scheduling import FairQueue
from app.pool.tickets import Ticket

IDLE_STATES: dict[FleetState, Literal["starting", "idle", "dead"]] = {
    "warming": "starting",
    "ready": "idle",
    "failed": "dead",
}


@dataclass(eq=False, slots=True)
class Slot:
    """Room for one running job. ``resident`` is its reused worker; a fresh job brings a worker of its own."""

    number: int
    fleet: Fleet
    resident: Worker | None = None
    busy_with: Ticket | None = None
    working: Worker | None = None
    runs: int = 0


@dataclass(eq=False, slots=True)
class Lane:
    slots: tuple[Slot, ...]
    queue: FairQueue[Ticket] = field(default_factory=FairQueue)

    @property
    def fleets(self) -> tuple[Fleet, ...]:
        return tuple(dict.fromkeys(slot.fleet for slot in self.slots))

    def place(self, ticket: Ticket) -> tuple[Slot, Worker] | None:
        """A free slot and a worker for this job, or None when it has to wait."""
        free = [slot for slot in self.slots if slot.busy_with is None]
        if ticket.spec.isolation is Isolation.FRESH:
            return self._place_fresh(free)
        for slot in free:
            if slot.resident is not None:
                return slot, slot.resident
        return self._place_on_spare(free, stays=True)

    def _place_fresh(self, free: Iterable[Slot]) -> tuple[Slot, Worker] | None:
        return self._place_on_spare(sorted(free, key=lambda slot: slot.resident is not None), stays=False)

    def _place_on_spare(self, free: Iterable[Slot], *, stays: bool) -> tuple[Slot, Worker] | None:
        for slot in free:
            worker = slot.fleet.take()
            if worker is None:
                continue
            if stays:
                slot.resident = worker
            self.order_spares()
            return slot, worker
        return None

    def order_spares(self) -> None:
        """Asks each fleet for a ready worker for every slot without one, and its reserve."""
        for fleet in self.fleets:
            missing = sum(1 for slot in self.slots if slot.fleet is fleet and slot.resident is None)
            fleet.want(missing + fleet.reserve)

    def replace_old_residents(self) -> None:
        """Lets go of idle workers of an earlier generation."""
        for slot in self.slots:
            if slot.resident is not None and slot.busy_with is None and not slot.fleet.is_current(slot.resident):
                slot.fleet.retire(slot.resident)
                slot.resident = None
        self.order_spares()

    def status(self) -> tuple[SlotStatus, ...]:
        return tuple(slot_status(slot) for slot in self.slots)


def slot_status(slot: Slot) -> SlotStatus:
    ticket, worker = slot.busy_with, slot.working or slot.resident
    return SlotStatus(
        worker=slot.number,
        pid=worker.pid if worker is not None else None,
        state="busy" if ticket is not None else IDLE_STATES[slot.fleet.state],
        demo=ticket.spec.demo if ticket is not None else None,
        runs=slot.runs,
    )
