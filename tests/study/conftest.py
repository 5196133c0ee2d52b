from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.study.writer import Writer
from tests.study import deck
from tests.study.desk import Desk


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = deck.make(tmp_path / "study.sqlite")
    yield engine
    engine.dispose()


@pytest.fixture
async def writer(engine: Engine) -> AsyncIterator[Writer]:
    writer = Writer(engine)
    writer.start()
    yield writer
    await writer.stop()


@pytest.fixture
async def desk(engine: Engine, writer: Writer) -> Desk:
    return Desk(engine, writer)
