"""The doctor, the backup and the migration, alone and beside a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from app import db, migrating
from app.study.tables import TRIGGERS
from tests.cli.command import said, sentence

pytestmark = pytest.mark.terminal

NOW = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "forward-pass.sqlite"
    migrating.migrate(path, NOW)
    return path


def opened(path: Path) -> Engine:
    return db.open_engine(path)


def test_a_fresh_database_is_sound(tmp_path: Path, path: Path) -> None:
    found = said("doctor", folder=tmp_path)
    assert (found.returncode, found.stdout) == (0, "0 log entries, 0 cards in memory: all of it is sound.\n")


def test_the_doctor_misses_a_guard_that_is_gone(tmp_path: Path, path: Path) -> None:
    engine = opened(path)
    with engine.begin() as connection:
        connection.execute(text(f"DROP TRIGGER {TRIGGERS[0].split()[2]}"))
    engine.dispose()
    found = said("doctor", folder=tmp_path)
    assert found.returncode == 1
    assert "is missing or was changed" in found.stdout


def test_a_backup_is_a_whole_database_and_never_overwrites(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "copy.sqlite"
    assert said("backup", target, folder=tmp_path).returncode == 0
    engine = opened(target)
    assert migrating.version(engine) == migrating.newest()
    engine.dispose()
    again = said("backup", target, folder=tmp_path)
    assert again.returncode == 1
    assert "is there already" in sentence(again)


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/forward-pass.sqlite").write_text("these are not the pages of a database, " * 400)
    found = said("doctor", folder=tmp_path)
    assert found.returncode == 1
    assert "is damaged or no database. Put a copy from" in sentence(found)


def test_commands_work_beside_a_server(tmp_path: Path, path: Path) -> None:
    lock = db.LockFile(path)
    assert lock.take()
    assert said("doctor", folder=tmp_path).returncode == 0
    lock.close()


def test_a_database_of_another_version_waits_for_its_server(tmp_path: Path) -> None:
    path = tmp_path / "data" / "forward-pass.sqlite"
    path.parent.mkdir()
    lock = db.LockFile(path)
    assert lock.take()
    found = said("doctor", folder=tmp_path)
    lock.close()
    assert found.returncode == 1
    assert "A server of another version is using" in sentence(found)


def test_migrating_a_database_that_has_something_keeps_a_backup_first(tmp_path: Path) -> None:
    engine = opened(tmp_path / "data" / "forward-pass.sqlite")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (word TEXT)"))
        connection.execute(text("INSERT INTO kept VALUES ('mine')"))
    engine.dispose()
    found = said("migrate", folder=tmp_path)
    assert found.returncode == 0, found.stderr
    (backup,) = (tmp_path / "data/backups").glob("*.sqlite")
    copy = opened(backup)
    with copy.connect() as connection:
        assert connection.execute(text("SELECT word FROM kept")).scalar_one() == "mine"
    copy.dispose()
