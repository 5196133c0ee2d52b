"""The engine inside the web process: queue, fairness, deadlines and kills in its event loop, work elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, deque
from dataclasses import dataclass

from app.errors import Busy, SetupError, Unavailable
from app.pool import frames, outcomes
from app.pool.engine import EngineState, EngineStatus
from app.pool.fleet import Fleet, Recipe, Worker
from app.pool.forking import ForkFleet
from app.pool.job import Done, Failed, Isolation, JobSpec, Place, Queued, Started
from app.pool.lanes import Lane, Slot
from app.pool.spawning import SpawnFleet
from app.pool.tickets import Ticket

CANCEL_GRACE_SECONDS = 0.1
FALSE_STARTS_LIMIT = 10
# What a frame may carry around a result of the largest size.
ENVELOPE_BYTES = 64 * 1024
# Before anything was measured: how long the first warm-up takes, in seconds.
WARM_UP_GUESS_SECONDS = 3.0
LATENCIES_KEPT = 1000
# Unread progress frames in a row after which the worker is made to wait, and for how long.
FLOOD_FRAMES, FLOOD_PAUSE_SECONDS = 64, 0.01


@dataclass(eq=False, slots=True)
class Running:
    """A job on a worker."""

    ticket: Ticket
    lane: Lane
    slot: Slot
    worker: Worker
    began: float
    deadline: asyncio.TimerHandle
    grace: asyncio.TimerHandle | None = None
    is_read: bool = False  # the worker has said that it holds the job


class EmbeddedEngine:
    """Keeps the ``Engine`` protocol. ``runner`` and ``warmup`` are ``package.module:function``.

    The first warm-up stages are done before the first job; the last one runs in a second process that then
    takes over, so that a slow step does not hold the first result back.
    """

    def __init__(
        self,
        runner: str,
        *,
        warmup: tuple[str, ...] = (),
        workers: int = 2,
        memory_mb: int = 1024,
        queue_limit: int = 64,
        owner_limit: int = 16,
        runs_per_worker: int = 500,
        unconfined: bool = False,
        gpus: int = 0,
    ) -> None:
        """``memory_mb`` bounds every job's own limit. Raises SetupError where workers cannot be confined."""
        self._queue_limit = queue_limit
        self._owner_limit = owner_limit
        self._runs_per_worker = runs_per_worker
        self._memory_mb = memory_mb
        self._stopping = False
        self._started_at: float | None = None
        self._owned: Counter[str] = Counter()
        self._running: dict[Worker, Running] = {}
        self._counts: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._run_seconds: deque[float] = deque(maxlen=100)
        recipe = Recipe(runner, warmup, memory_mb, unconfined)
        cpu = self._cpu_fleet(recipe, unconfined=unconfined)
        self._lanes = {Place.CPU: Lane(tuple(Slot(number, cpu) for number in range(workers)))}
        devices = [SpawnFleet(recipe, self, devices=str(device)) for device in range(gpus)]
        if devices:
            slots = (Slot(workers + number, fleet) for number, fleet in enumerate(devices))
            self._lanes[Place.GPU] = Lane(tuple(slots))

    def _cpu_fleet(self, recipe: Recipe, *, unconfined: bool) -> Fleet:
        if sys.platform == "linux":
            return ForkFleet(recipe, self)
        if unconfined:
            return SpawnFleet(recipe, self, devices="")
        raise SetupError("Demonstrations can be confined on Linux only. Start with --unconfined to run them anyway.")

    async def start(self) -> None:
        self._started_at = self._now()
        for lane in self._lanes.values():
            for fleet in lane.fleets:
                fleet.start()
            lane.order_spares()

    async def stop(self) -> None:
        self._stopping = True
        gone = Failed("lost", outcomes.STOPPING)
        for lane in self._lanes.values():
            for ticket in lane.queue.drain():
                self._conclude(ticket, gone)
        for running in tuple(self._running.values()):
            self._finish(running, gone, keep_worker=False)
        await asyncio.gather(*(fleet.stop() for lane in self._lanes.values() for fleet in lane.fleets))

    def submit(self, spec: JobSpec) -> Ticket:
        lane = self._accepting_lane(spec)
        ticket = Ticket(spec, self._cancel, self._now())
        self._owned[spec.owner] += 1
        lane.queue.append(spec.owner, ticket)
        position = lane.queue.position(spec.owner)
        ticket.tell(Queued(position, self._eta_seconds(lane, position)))
        self._dispatch(lane)
        return ticket

    def _accepting_lane(self, spec: JobSpec) -> Lane:
        lane = self._lanes.get(spec.place)
        if lane is None:
            raise Unavailable("This server has no GPU for demonstrations; run it on the CPU.", where=spec.demo)
        if self._stopping or self._started_at is None:
            raise Unavailable(outcomes.STOPPING, where=spec.demo, retry_after=5.0)
        if all(fleet.state == "failed" for fleet in lane.fleets):
            raise Unavailable(lane.fleets[0].says, where=spec.demo, retry_after=10.0)
        if self._owned[spec.owner] >= self._owner_limit:
            says = f"You have {self._owner_limit} runs waiting already; let one of them finish first."
            raise Busy(says, where=spec.demo, retry_after=self._retry_after(lane))
        if len(lane.queue) >= self._queue_limit:
            says = f"All {self._queue_limit} places in the queue are taken; try again in a moment."
            raise Unavailable(says, where=spec.demo, retry_after=self._retry_after(lane))
        return lane

    def status(self) -> EngineStatus:
        fleets = [fleet for lane in self._lanes.values() for fleet in lane.fleets]
        ordered = sorted(self._latencies)
        return EngineStatus(
            state=self._state(),
            says=outcomes.STOPPING if self._stopping else fleets[0].says,
            slots=tuple(slot for lane in self._lanes.values() for slot in lane.status()),
            queued=sum(len(lane.queue) for lane in self._lanes.values()),
            done=self._counts["done"],
            failed={reason: count for reason, count in self._counts.items() if reason != "done"},
            latency_p50_ms=outcomes.quantile_ms(ordered, 0.50),
            latency_p99_ms=outcomes.quantile_ms(ordered, 0.99),
            confinement=fleets[0].confinement | ({"gpu": False} if Place.GPU in self._lanes else {}),
            versions=dict(fleets[0].versions),
        )

    # What the fleets tell.

    def changed(self) -> None:
        for lane in self._lanes.values():
            if all(fleet.state == "failed" for fleet in lane.fleets):
                for ticket in lane.queue.drain():
                    self._conclude(ticket, Failed("lost", lane.fleets[0].says))
            lane.replace_old_residents()
            self._dispatch(lane)

    def message(self, worker: Worker, message: frames.Message) -> None:
        running = self._running.get(worker)
        if running is None or message.get("job") != running.ticket.id:
            return
        match message["kind"]:
            case "started":
                running.is_read = True
                running.ticket.tell(Started(running.slot.number))
            case "progress":
                self._progress(running, message)
            case "done" | "failed":
                self._answered(running, message)

    def ended(self, worker: Worker) -> None:
        running = self._running.get(worker)
        if running is not None:
            self._lost(running)
            return
        for lane in self._lanes.values():
            for slot in lane.slots:
                if slot.resident is worker:
                    slot.resident = None
            lane.order_spares()

    # The life of one job.

    def _dispatch(self, lane: Lane) -> None:
        while (ticket := lane.queue.peek()) is not None:
            placed = lane.place(ticket)
            if placed is None:
                return
            lane.queue.pop()
            self._begin(lane, ticket, *placed)

    def _begin(self, lane: Lane, ticket: Ticket, slot: Slot, worker: Worker) -> None:
        now = self._now()
        deadline = asyncio.get_running_loop().call_at(now + ticket.spec.limits.seconds, self._deadline, worker)
        self._running[worker] = Running(ticket, lane, slot, worker, now, deadline)
        slot.busy_with, slot.working = ticket, worker
        worker.runs += 1
        slot.runs += 1
        ticket.begin_again()
        if worker.link is not None:
            worker.link.accept(ticket.spec.limits.result_bytes + ENVELOPE_BYTES)
        worker.send(outcomes.run_frame(ticket.id, ticket.spec, self._memory_mb))

    def _progress(self, running: Running, message: frames.Message) -> None:
        sequence, data = message.get("seq"), message.get("data")
        if isinstance(sequence, int) and isinstance(data, dict):
            running.ticket.tell_progress(sequence, data)
        if running.ticket.dropped > FLOOD_FRAMES and running.worker.link is not None:
            running.worker.link.pause(FLOOD_PAUSE_SECONDS)

    def _answered(self, running: Running, message: frames.Message) -> None:
        spec = running.ticket.spec
        outcome = outcomes.from_answer(message, outcomes.allowed_memory_mb(spec, self._memory_mb))
        is_healthy = not isinstance(outcome, Failed) or outcome.reason == "error"
        if running.grace is not None:
            outcome = Failed("cancelled", outcomes.CANCELLED)
        is_worn = running.worker.runs >= self._runs_per_worker or not running.slot.fleet.is_current(running.worker)
        keep = is_healthy and not is_worn and spec.isolation is Isolation.REUSED
        self._finish(running, outcome, keep_worker=keep)

    def _deadline(self, worker: Worker) -> None:
        running = self._running.get(worker)
        if running is None:
            return
        if running.grace is not None:
            outcome = Failed("cancelled", outcomes.CANCELLED)
        elif running.is_read:
            outcome = Failed("timeout", outcomes.timed_out(running.ticket.spec.limits.seconds))
        else:
            self._requeue(running)
            return
        self._finish(running, outcome, keep_worker=False)

    def _cancel(self, ticket: Ticket) -> None:
        cancelled = Failed("cancelled", outcomes.CANCELLED)
        if self._lanes[ticket.spec.place].queue.remove(ticket.spec.owner, ticket):
            self._conclude(ticket, cancelled)
            return
        running = next((each for each in self._running.values() if each.ticket is ticket), None)
        if running is None or running.grace is not None:
            return
        running.worker.send(frames.encode({"kind": "cancel", "job": ticket.id}))
        running.grace = asyncio.get_running_loop().call_later(
            CANCEL_GRACE_SECONDS, lambda: self._finish(running, cancelled, keep_worker=False)
        )

    def _lost(self, running: Running) -> None:
        """The worker ended with the job in hand."""
        spec, status = running.ticket.spec, running.worker.status
        if not running.is_read and running.grace is None:
            self._requeue(running)
            return
        if status is not None and running.grace is None and running.ticket.tries < spec.retries:
            running.ticket.tries += 1
            self._requeue(running, says_so=True)
            return
        outcome = Failed("crash", outcomes.crashed(status)) if status is not None else Failed("lost", outcomes.LOST)
        if running.grace is not None:
            outcome = Failed("cancelled", outcomes.CANCELLED)
        self._finish(running, outcome, keep_worker=False)

    def _requeue(self, running: Running, *, says_so: bool = False) -> None:
        """Puts the job back to the front: its worker died before it read it, or a retry is left."""
        ticket = running.ticket
        if not says_so:
            ticket.false_starts += 1
        if ticket.false_starts > FALSE_STARTS_LIMIT:
            self._finish(running, Failed("lost", outcomes.LOST), keep_worker=False)
            return
        running.lane.queue.put_back(ticket.spec.owner, ticket)
        if says_so:
            ticket.tell(Queued(0, self._eta_seconds(running.lane, 0)))
        self._release(running, keep_worker=False)
        self._dispatch(running.lane)

    def _finish(self, running: Running, outcome: Done | Failed, *, keep_worker: bool) -> None:
        if self._running.get(running.worker) is not running:
            return
        self._release(running, keep_worker=keep_worker)
        if isinstance(outcome, Done):
            self._run_seconds.append(self._now() - running.began)
        self._conclude(running.ticket, outcome)
        if not self._stopping:
            self._dispatch(running.lane)

    def _release(self, running: Running, *, keep_worker: bool) -> None:
        """Frees the slot; the worker stays, or is killed and replaced."""
        del self._running[running.worker]
        running.deadline.cancel()
        if running.grace is not None:
            running.grace.cancel()
        slot = running.slot
        slot.busy_with = slot.working = None
        if keep_worker:
            return
        if slot.resident is running.worker:
            slot.resident = None
        if not running.worker.has_ended:
            slot.fleet.retire(running.worker)
        running.lane.order_spares()

    def _conclude(self, ticket: Ticket, outcome: Done | Failed) -> None:
        self._owned[ticket.spec.owner] -= 1
        if self._owned[ticket.spec.owner] <= 0:
            del self._owned[ticket.spec.owner]
        self._counts["done" if isinstance(outcome, Done) else outcome.reason] += 1
        if isinstance(outcome, Done):
            self._latencies.append(self._now() - ticket.submitted_at)
        ticket.tell(outcome)

    # Estimates.

    def _state(self) -> EngineState:
        if self._stopping:
            return "stopping"
        return "off" if self._started_at is None else self._lanes[Place.CPU].fleets[0].state

    def _eta_seconds(self, lane: Lane, position: int) -> float | None:
        """When a job at this position may start; None when nothing was measured yet and the workers are ready."""
        warming = 0.0
        if any(fleet.state == "warming" for fleet in lane.fleets):
            warming = max(0.5, WARM_UP_GUESS_SECONDS - (self._now() - (self._started_at or 0.0)))
        if not self._run_seconds:
            return warming or None
        mean = sum(self._run_seconds) / len(self._run_seconds)
        return warming + mean * (position + len(self._running)) / len(lane.slots)

    def _retry_after(self, lane: Lane) -> float:
        eta = self._eta_seconds(lane, len(lane.queue))
        return max(1.0, min(30.0, eta or 1.0))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
