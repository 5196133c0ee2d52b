"""The migrations make exactly the tables, triggers and search that the code declares."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

from app import db, migrating
from app.accounts import tables as accounts
from app.cards import tables as cards
from app.demos import tables as demos
from app.study import tables as study

NOW = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
DECLARED = (accounts, cards, demos, study)


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[Engine]:
    migrating.migrate(tmp_path / "fresh.sqlite", NOW)
    engine = db.open_engine(tmp_path / "fresh.sqlite")
    yield engine
    engine.dispose()


def schema(engine: Engine, kind: str) -> set[str]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT sql FROM sqlite_schema WHERE type = :kind"), {"kind": kind})
        return {row[0] for row in rows if row[0]}


def test_the_migrated_tables_equal_the_declared_ones(migrated: Engine) -> None:
    with migrated.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_ours, "compare_type": True})
        assert compare_metadata(context, db.Base.metadata) == []
        assert len(db.Base.metadata.tables) > len(DECLARED)


def is_ours(_: object, name: str | None, kind: str, *__: object) -> bool:
    return not (kind == "table" and str(name).startswith(("note_search", "sqlite_")))


def test_the_migrated_triggers_are_the_declared_ones(migrated: Engine) -> None:
    assert schema(migrated, "trigger") == set(study.TRIGGERS)


def test_the_migrated_search_is_the_declared_one(migrated: Engine) -> None:
    assert set(cards.SEARCH_DDL) <= schema(migrated, "table")


def test_migrating_twice_changes_nothing_and_keeps_no_backup(tmp_path: Path) -> None:
    path = tmp_path / "twice.sqlite"
    assert migrating.migrate(path, NOW) is None
    before = path.read_bytes()
    assert migrating.migrate(path, NOW) is None
    assert path.read_bytes() == before
    assert not (tmp_path / "backups").exists()
