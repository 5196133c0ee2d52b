"""The one writer: a thread that commits all waiting grades together, then answers them.

Async routes hand it a `Grade` or a short piece of work and await the reply; nothing is acknowledged before its
transaction is on disk. While one commit waits for the disk the next batch gathers, so the cost of a durable commit
is shared by everybody who waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import pysqlite3
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app import db
from app.errors import AppError, Busy, Unavailable
from app.study import grading
from app.study.grading import Answered, Grade
from app.study.rules import RulesBook

Answer = TypeVar("Answer")
Reply = tuple[asyncio.Future[Any], Any]

log = logging.getLogger(__name__)

BATCH_LIMIT = 256
WAITING_LIMIT = 4096
SWITCH_INTERVAL_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class _Job:
    """``work`` is None for the order to stop."""

    work: Grade | Callable[[Session], Any] | None
    reply: asyncio.Future[Any] | None = None


_STOP = _Job(None)


class Writer:
    """``lock`` is given by the server that holds it: only then are checkpoints made."""

    def __init__(self, engine: Engine, *, lock: db.LockFile | None = None) -> None:
        self._engine = engine
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="writer", daemon=True)
        self._checkpointer = None if lock is None else db.Checkpointer(engine)
        self._rules = RulesBook(engine)
        self._running = False

    def start(self) -> None:
        """Also shortens the interpreter's switch interval: at its default each statement may wait 5 ms for its turn."""
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_SECONDS))
        self._running = True
        if self._checkpointer:
            self._checkpointer.start()
        self._thread.start()

    async def stop(self) -> None:
        """Finishes what waits, refuses what comes, and leaves the log short."""
        if not self._running:
            return
        self._running = False
        self._jobs.put(_STOP)
        await asyncio.to_thread(self._thread.join)
        if self._checkpointer:
            await asyncio.to_thread(self._checkpointer.stop)

    async def grade(self, grade: Grade) -> Answered:
        """Raises AlreadyAnswered, MovedOn, or Unavailable when it could not be stored; a repeat is then safe."""
        answered: Answered = await self._wait(grade)
        return answered

    async def run(self, work: Callable[[Session], Answer]) -> Answer:
        """Runs ``work`` in a transaction of its own, committed before this returns; keep it short."""
        answer: Answer = await self._wait(work)
        return answer

    async def _wait(self, work: Grade | Callable[[Session], Any]) -> Any:
        if not self._running:
            raise Unavailable("The server is stopping. Press the key again in a moment.", retry_after=2)
        if self._jobs.qsize() >= WAITING_LIMIT:
            raise Busy("Too many answers are waiting to be stored. Press the key again in a moment.", retry_after=1)
        reply = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(work, reply))
        return await reply

    def _serve(self) -> None:
        connection = self._engine.raw_connection()
        try:
            while self._turn(connection):
                pass
        finally:
            connection.close()

    def _turn(self, connection: Any) -> bool:
        """One batch. False once the order to stop was met, after all that came before it."""
        jobs = self._waiting()
        ends = _STOP in jobs
        work = [job for job in jobs if job.work is not None]
        replies: list[Reply] = []
        for group in _groups(work):
            replies += self._grades(connection, group) if isinstance(group[0].work, Grade) else self._other(group[0])
        _deliver(replies)
        if replies and self._checkpointer:
            self._checkpointer.wrote()
        return not ends

    def _waiting(self) -> list[_Job]:
        jobs = [self._jobs.get()]
        while len(jobs) < BATCH_LIMIT:
            try:
                jobs.append(self._jobs.get_nowait())
            except Empty:
                break
        return jobs

    def _grades(self, connection: Any, jobs: Sequence[_Job]) -> list[Reply]:
        """Together, and when that fails for any reason, each alone: one bad grade must not fail its neighbours."""
        try:
            answers: Sequence[Answered | Exception] = self._transaction(connection, jobs)
        except Exception as error:  # noqa: BLE001  the border of the job
            if len(jobs) > 1 and not isinstance(translated(error), Unavailable):
                return [reply for job in jobs for reply in self._grades(connection, [job])]
            answers = [translated(error)] * len(jobs)
        return [(job.reply, answer) for job, answer in zip(jobs, answers, strict=True) if job.reply]

    def _transaction(self, connection: Any, jobs: Sequence[_Job]) -> list[Answered | AppError]:
        grades = [job.work for job in jobs if isinstance(job.work, Grade)]
        cursor = connection.cursor()
        try:
            rules = self._rules.of(cursor, {grade.viewer for grade in grades})
            cursor.execute("BEGIN IMMEDIATE")
            answers = grading.answer_all(cursor, grades, rules)
            cursor.execute("COMMIT")
        finally:
            if connection.driver_connection.in_transaction:
                connection.rollback()
            cursor.close()
        return answers

    def _other(self, job: _Job) -> list[Reply]:
        assert job.reply is not None and callable(job.work)
        try:
            with db.writing(self._engine) as session:
                answer = job.work(session)
        except Exception as error:  # noqa: BLE001  the border of the job
            return [(job.reply, translated(error))]
        return [(job.reply, answer)]


def translated(error: Exception) -> Exception:
    """What the learner is told: a full or locked disk is Unavailable with its remedy; a bug stays what it is."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, AppError) or not isinstance(cause, pysqlite3.OperationalError):
        if not isinstance(error, AppError):
            log.error("A write failed", exc_info=error)
        return error
    log.warning("The database refused a write: %s", cause)
    for sign, says in _REFUSALS.items():
        if sign in str(cause):
            return Unavailable(f"{says}, then press the key again. What was stored before is safe.", retry_after=5)
    return error


_REFUSALS = {
    "full": "The disk is full, so the answer was not stored. Free some space",
    "readonly": "The database may only be read, so the answer was not stored. Make its folder and file writable",
    "disk I/O": "The disk refused a write, so the answer was not stored. Check the disk",
    "unable to open": "The database cannot be opened, so the answer was not stored. Check its folder",
    "locked": "Another program holds the database, so the answer was not stored. Wait until it has finished",
}


def _groups(jobs: Sequence[_Job]) -> list[list[_Job]]:
    """Neighbouring grades together, other work alone; the order stays."""
    groups: list[list[_Job]] = []
    for job in jobs:
        if groups and isinstance(job.work, Grade) and isinstance(groups[-1][0].work, Grade):
            groups[-1].append(job)
        else:
            groups.append([job])
    return groups


def _deliver(replies: Sequence[Reply]) -> None:
    """One wake-up of each event loop for all its replies; a loop that was closed meanwhile is passed over."""
    loops: dict[asyncio.AbstractEventLoop, list[Reply]] = {}
    for reply in replies:
        loops.setdefault(reply[0].get_loop(), []).append(reply)
    for loop, mine in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, mine)
        except RuntimeError:
            log.info("%d answers were stored after their readers had gone", len(mine))


def _settle(replies: Sequence[Reply]) -> None:
    for future, answer in replies:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
