"""Readers wait with their connection in hand; nothing may show that they do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from app import db

COUNT = text("SELECT count(*) FROM words")
READ = text("SELECT word FROM words ORDER BY word")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = db.open_engine(tmp_path / "words.sqlite")
    with db.writing(made) as session:
        session.execute(text("CREATE TABLE words (word TEXT)"))
    yield made
    made.dispose()


def add(engine: Engine, *words: str) -> None:
    with db.writing(engine) as session:
        for word in words:
            session.execute(text("INSERT INTO words VALUES (:word)"), {"word": word})


def test_the_next_reader_sees_what_was_written_since(engine: Engine) -> None:
    for count in range(3):
        with db.reading(engine) as session:
            assert session.scalar(COUNT) == count
        add(engine, "one more")


def test_a_reader_inside_a_reader_has_a_connection_of_its_own(engine: Engine) -> None:
    add(engine, "a", "b")
    with db.reading(engine) as outer, db.reading(engine) as inner:
        rows = outer.execute(READ)
        assert (rows.fetchone(), inner.scalar(COUNT)) == (("a",), 2)
        rows.close()


def test_nothing_that_a_reader_changes_is_kept(engine: Engine) -> None:
    with db.reading(engine) as session:
        session.execute(text("INSERT INTO words VALUES ('kept')"))
    with db.reading(engine) as session:
        assert session.scalar(COUNT) == 0
    add(engine, "the write lock is free")


def test_a_reader_that_fails_is_followed_by_a_sound_one(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), db.reading(engine) as session:
        session.execute(text("INSERT INTO words VALUES ('kept')"))
        raise ZeroDivisionError
    with db.reading(engine) as session:
        assert session.scalar(COUNT) == 0


def test_readers_that_wait_do_not_keep_the_log_from_being_emptied(engine: Engine) -> None:
    add(engine, "a", "b", "c")
    with db.reading(engine) as session:
        assert session.execute(READ).fetchone() == ("a",)
    add(engine, "d")
    assert db.checkpoint(engine)
    assert Path(f"{engine.url.database}-wal").stat().st_size == 0


def test_an_engine_that_is_closed_leaves_no_open_file(engine: Engine) -> None:
    with db.reading(engine) as session:
        session.scalar(COUNT)
    engine.dispose()
    assert not Path(f"{engine.url.database}-wal").exists()
