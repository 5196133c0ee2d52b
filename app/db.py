"""The database: tables' base class, connections with the pragmas that keep promises, and the lock file.

SQLite runs in WAL with ``synchronous=FULL``; no connection checkpoints by itself (``wal_autocheckpoint=0``),
only the holder of the lock file does (`checkpoint`). SQLite before 3.51.3 is refused: its WAL-reset bug can
lose data when two connections checkpoint.
"""

from __future__ import annotations

import fcntl
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pysqlite3
from sqlalchemy import Dialect, Engine, Integer, MetaData, TypeDecorator, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import QueuePool

from app.clock import from_milliseconds, milliseconds
from app.errors import SetupError

LEAST_SQLITE = (3, 51, 3)
BUSY_SECONDS = 10
READERS_KEPT = 2

log = logging.getLogger(__name__)

NAMES = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMES)


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as whole milliseconds since 1970."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else milliseconds(value.astimezone(UTC))

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else from_milliseconds(int(value))


def refuse_old_sqlite(found: tuple[int, ...] = pysqlite3.sqlite_version_info) -> None:
    if found < LEAST_SQLITE:
        have, need = (".".join(map(str, version)) for version in (found, LEAST_SQLITE))
        raise SetupError(
            f"SQLite {have} can lose reviews when its log is reset; {need} or newer is needed. Run ./run again."
        )


def open_engine(path: Path) -> Engine:
    """An engine on the SQLite file at ``path``; the folder is made when missing."""
    refuse_old_sqlite()
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        f"sqlite:///{path}",
        module=pysqlite3,
        poolclass=QueuePool,
        pool_size=4,
        pool_use_lifo=True,
        connect_args={"check_same_thread": False, "timeout": float(BUSY_SECONDS)},
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "engine_disposed", _close_readers)
    _readers[engine] = []
    return engine


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "wal_autocheckpoint=0",
        "foreign_keys=ON",
        "recursive_triggers=ON",
        "trusted_schema=OFF",
        "cache_size=-32000",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


_readers: dict[Engine, list[Session]] = {}
"""Sessions that wait for the next reader with their connection in hand: making one costs a tenth of a grade."""


def _close_readers(engine: Engine) -> None:
    for session in _readers.pop(engine, []):
        session.invalidate()  # the pool is gone already: the connection has nowhere to go back to


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session for queries; nothing it changes is kept."""
    try:
        session = _readers[engine].pop()
    except LookupError:
        session = Session(engine, expire_on_commit=False, autoflush=False)
    try:
        yield session
        session.expunge_all()
        driver: Any = session.connection().connection.driver_connection
        if driver.in_transaction:
            session.rollback()
    except BaseException:
        session.close()
        raise
    idle = _readers.get(engine)
    if idle is None or len(idle) >= READERS_KEPT:
        session.close()
    else:
        idle.append(session)


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """One short transaction, committed at the end or rolled back whole.

    Takes SQLite's write lock at once, so that a read inside it is never stale.
    """
    with Session(engine, expire_on_commit=False) as session:
        session.execute(text("BEGIN IMMEDIATE"))
        driver = session.connection().connection.driver_connection
        try:
            yield session
            session.commit()
        finally:
            _end(driver)


def _end(driver: Any) -> None:
    """A commit that SQLite refuses leaves the transaction open, which the pool would hand on with its lock."""
    if driver.in_transaction:
        driver.rollback()


def cursor(session: Session) -> Any:
    """The driver's cursor inside the session's transaction, for statements that carry a whole batch as JSON."""
    session.flush()
    return session.connection().connection.cursor()


class LockFile:
    """The right to checkpoint and to be the one server of a database; freed by the kernel when the process ends."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._file = self._path.open("a+")

    def take(self) -> bool:
        """False when another process holds it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._file.close()


def checkpoint(engine: Engine, mode: Literal["PASSIVE", "TRUNCATE"] = "TRUNCATE") -> bool:
    """Moves the log into the database file; True when all of it was. Only for the holder of the lock file.

    It never waits for a reader or a writer, so that neither waits for it.
    """
    with engine.connect() as connection:
        connection.execute(text("PRAGMA busy_timeout=0"))
        try:
            busy, log_pages, moved_pages = connection.execute(text(f"PRAGMA wal_checkpoint({mode})")).one()
        finally:
            connection.execute(text(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}"))
    return not busy and log_pages == moved_pages


class Checkpointer:
    """A thread of the lock file's holder: truncates the log when writing pauses, shortens it when it grows long."""

    def __init__(self, engine: Engine, *, pause_seconds: float = 0.5, long_bytes: int = 32_000_000) -> None:
        self._engine = engine
        self._pause_seconds = pause_seconds
        self._long_bytes = long_bytes
        self._log = Path(f"{engine.url.database}-wal")
        self._written = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="checkpointer", daemon=True)

    def start(self) -> None:
        self._written.set()
        self._thread.start()

    def wrote(self) -> None:
        self._written.set()

    def stop(self) -> None:
        self._stopped.set()
        self._written.set()
        self._thread.join()
        self._checkpoint("TRUNCATE")

    def _serve(self) -> None:
        while self._written.wait() and not self._stopped.is_set():
            self._written.clear()
            self._stopped.wait(self._pause_seconds)
            if not self._written.is_set():
                self._checkpoint("TRUNCATE")
            elif not self._stopped.is_set() and self._log_bytes() > self._long_bytes:
                self._catch_up()

    def _catch_up(self) -> None:
        """SQLite starts the log anew only when nothing was added meanwhile, so the rest is tried again at once."""
        for _ in range(5):
            if self._checkpoint("PASSIVE"):
                return

    def _checkpoint(self, mode: Literal["PASSIVE", "TRUNCATE"]) -> bool:
        try:
            return checkpoint(self._engine, mode)
        except DBAPIError as error:
            log.warning("The database's log was not shortened: %s", error.orig)
            return False

    def _log_bytes(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0
