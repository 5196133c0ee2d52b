"""Brings a database to this version: a backup first, foreign keys off while tables change, a check after.

A batch migration copies a table and drops the old one; with foreign keys on, SQLite would delete what refers to it.
"""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from app import db
from app.errors import SetupError
from app.settings import ROOT

log = logging.getLogger(__name__)
BACKUPS_KEPT = 10


def migrate(path: Path, now: datetime) -> str | None:
    """Returns the backup's path when there was something to keep. Raises SetupError with the remedy."""
    existed = path.exists() and path.stat().st_size > 0
    engine = db.open_engine(path)
    try:
        if version(engine) == newest():
            return None
        kept = backup(engine, path.parent / "backups", now) if existed else None
        _upgrade(engine)
        return str(kept) if kept else None
    finally:
        engine.dispose()


def configuration() -> Config:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    return config


def newest() -> str | None:
    return ScriptDirectory.from_config(configuration()).get_current_head()


def version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _upgrade(engine: Engine) -> None:
    config = configuration()
    with engine.connect() as connection:
        connection.execute(text("PRAGMA foreign_keys=OFF"))
        connection.commit()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        broken = connection.execute(text("PRAGMA foreign_key_check")).fetchall()
        if broken:
            raise SetupError(f"{len(broken)} rows lost what they refer to. The backup beside the database is whole.")
        connection.commit()
        connection.execute(text("PRAGMA foreign_keys=ON"))


def backup(engine: Engine, folder: Path, now: datetime) -> Path:
    """A consistent copy while others read and write (VACUUM INTO); the oldest of more than ten leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{now:%Y-%m-%d-%H%M%S-%f}.sqlite"
    with engine.connect() as connection:
        connection.execute(text("VACUUM INTO :target"), {"target": str(target)})
    for old in sorted(folder.glob("*.sqlite"))[:-BACKUPS_KEPT]:
        old.unlink()
    return target
