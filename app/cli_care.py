"""./run migrate, doctor and backup; and the database as the other commands open it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from app import db, main, migrating
from app.clock import SystemClock
from app.errors import SetupError
from app.settings import Settings
from app.study import doctor as examination


@contextmanager
def opened(settings: Settings) -> Iterator[Engine]:
    """The database at this version, beside a running server or alone; the log is folded in when alone."""
    path = settings.database_path
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = db.LockFile(path)
    is_alone = lock.take()
    engine = None
    try:
        _bring_up(path, is_alone=is_alone)
        engine = db.open_engine(path)
        yield engine
        if is_alone:
            db.checkpoint(engine)
    finally:
        if engine is not None:
            engine.dispose()
        lock.close()


def _bring_up(path: Path, *, is_alone: bool) -> str | None:
    """Migrates when needed; the backup's path. Raises SetupError while a server of another version runs."""
    if is_alone:
        return migrating.migrate(path, SystemClock().now())
    engine = db.open_engine(path)
    try:
        if migrating.version(engine) == migrating.newest():
            return None
    finally:
        engine.dispose()
    raise SetupError(f"A server of another version is using {path}. Stop it, then say this again.")


@contextmanager
def filled(settings: Settings) -> Iterator[Engine]:
    """As `opened`, with the demos' catalogue and the card files read in."""
    with opened(settings) as engine:
        main.load_deck(engine, settings.content, SystemClock().now())
        yield engine


def migrate(_: argparse.Namespace, settings: Settings) -> int:
    path = settings.database_path
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = db.LockFile(path)
    try:
        kept = _bring_up(path, is_alone=lock.take())
    finally:
        lock.close()
    if kept:
        print(f"A backup was kept first: {kept}")
    print(f"{path} is at version {migrating.newest()}.")
    return 0


def doctor(asked: argparse.Namespace, settings: Settings) -> int:
    with opened(settings) as engine:
        if asked.rebuild:
            with db.writing(engine) as session:
                checkup = examination.rebuild(session)
        else:
            with db.reading(engine) as session:
                checkup = examination.examine(session)
    for problem in checkup.problems:
        print(problem)
    found = f"{len(checkup.problems)} problems" if checkup.problems else "all of it is sound"
    print(f"{checkup.reviews} log entries, {checkup.memories} cards in memory: {found}.")
    return 1 if checkup.problems else 0


def backup(asked: argparse.Namespace, settings: Settings) -> int:
    if not settings.database_path.exists():
        raise SetupError(f"There is no database at {settings.database_path} yet. ./run makes it.")
    target: Path | None = asked.target
    if target and target.exists():
        raise SetupError(f"{target} is there already. Name a file that is not.")
    with opened(settings) as engine:
        if target is None:
            target = migrating.backup(engine, settings.database_path.parent / "backups", SystemClock().now())
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            with engine.connect() as connection:
                connection.execute(text("VACUUM INTO :target"), {"target": str(target)})
    print(target)
    return 0
