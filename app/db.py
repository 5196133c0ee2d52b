"""The database: tables' base class, connections with the pragmas that keep promises, and the lock file.

SQLite runs in WAL with ``synchronous=FULL``; no connection checkpoints by itself (``wal_autocheckpoint=0``),
only the holder of the lock file does (`checkpoint`). SQLite before 3.51.3 is refused: its WAL-reset bug can
lose data when two connections checkpoint.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pysqlite3
from sqlalchemy import Dialect, Engine, Integer, MetaData, TypeDecorator, create_engine, event, text
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import QueuePool

from app.clock import from_milliseconds, milliseconds
from app.errors import SetupError

LEAST_SQLITE = (3, 51, 3)

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
        raise SetupError(f"SQLite {have} can lose reviews when its log is reset; {need} or newer is needed. Run ./run again.")


def open_engine(path: Path) -> Engine:
    """An engine on the SQLite file at ``path``; the folder is made when missing."""
    refuse_old_sqlite()
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        f"sqlite:///{path}",
        module=pysqlite3,
        poolclass=QueuePool,
        pool_size=4,
        connect_args={"check_same_thread": False, "timeout": 10.0},
    )
    event.listen(engine, "connect", _set_pragmas)
    return engine


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "wal_autocheckpoint=0",
        "foreign_keys=ON",
        "trusted_schema=OFF",
        "cache_size=-32000",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session for queries; nothing it changes is kept."""
    with Session(engine, expire_on_commit=False, autoflush=False) as session:
        yield session
        session.rollback()


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """One short transaction, committed at the end or rolled back whole.

    Takes SQLite's write lock at once, so that a read inside it is never stale.
    """
    with Session(engine, expire_on_commit=False) as session:
        session.execute(text("BEGIN IMMEDIATE"))
        yield session
        session.commit()


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


def checkpoint(engine: Engine) -> None:
    """Moves the log into the database file. Only for the holder of the lock file."""
    with engine.connect() as connection:
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
