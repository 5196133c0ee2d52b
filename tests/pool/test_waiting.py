"""Before torch is installed: refusals with a reason, then the real engine without a restart."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from app.errors import Unavailable
from app.pool import choosing, waiting
from app.pool.job import JobSpec
from app.pool.off import OffEngine
from app.pool.waiting import WaitingEngine
from app.settings import Settings
from tests.fakes import FakeEngine


async def test_it_refuses_until_the_lab_is_there_and_then_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PAUSE_SECONDS", 0.001)
    there = asyncio.Event()

    async def is_there() -> bool:
        return there.is_set()

    engine = WaitingEngine(FakeEngine, is_there, "The lab is being set up.")
    await engine.start()
    with pytest.raises(Unavailable, match="being set up"):
        engine.submit(JobSpec("dropout-lab", {}))
    assert engine.status().state == "off"
    there.set()
    while engine.status().state != "ready":
        await asyncio.sleep(0.001)
    assert engine.submit(JobSpec("dropout-lab", {})).id
    await engine.stop()


async def test_stopping_while_waiting_leaves_nothing_behind() -> None:
    async def never() -> bool:
        return False

    engine = WaitingEngine(FakeEngine, never, "Later.")
    await engine.start()
    await engine.stop()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_half_installed_package_is_not_taken_for_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_installed.py").write_text("raise ImportError('no')", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert not await waiting.can_import("half_installed")
    assert not await waiting.can_import("nowhere_at_all")
    assert await waiting.can_import("json")


def test_a_pool_that_is_switched_off_says_so(tmp_path: Path) -> None:
    engine = choosing.engine(Settings(data=tmp_path, pool=False))
    assert isinstance(engine, OffEngine)
    with pytest.raises(Unavailable, match="switched off"):
        engine.submit(JobSpec("dropout-lab", {}))


def test_where_nothing_can_be_confined_the_reason_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    engine = choosing.engine(Settings(data=tmp_path))
    assert isinstance(engine, OffEngine)
    assert "--unconfined" in engine.status().says
