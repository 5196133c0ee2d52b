"""The embedded engine: what every engine keeps, and what only this one promises."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.pool.embedded import EmbeddedEngine
from app.pool.forking import ForkFleet
from app.pool.job import Done, Failed, Isolation, JobSpec, Limits, Place
from tests.pool import runners
from tests.pool.conformance import (
    Build,
    EngineConformance,
    failure,
    is_alive,
    job,
    outcome,
    result,
    until,
    until_busy,
    until_ready,
)

RUNNER = "tests.pool.runners:run_job"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def build() -> AsyncIterator[Build]:
    built: list[EmbeddedEngine] = []

    async def start(runner: str = RUNNER, **options: Any) -> EmbeddedEngine:
        engine = EmbeddedEngine(runner, **options)
        built.append(engine)
        await engine.start()
        return engine

    yield start
    for engine in built:
        await engine.stop()


def zygote_pids(engine: Any) -> tuple[int, ...]:
    fleet = engine._lanes[Place.CPU].fleets[0]
    assert isinstance(fleet, ForkFleet)
    return fleet.zygote_pids


class TestEmbedded(EngineConformance):
    pass


class TestWarmingUp:
    async def test_jobs_wait_while_the_workers_warm_up(self, build: Build) -> None:
        engine = await build()
        assert engine.status().state == "warming"
        events = [event async for event in engine.submit(job("echo")).events()]
        assert events[0].eta_seconds is not None  # type: ignore[union-attr]
        assert isinstance(events[-1], Done)

    async def test_a_second_zygote_with_the_last_stage_takes_over(self, build: Build) -> None:
        stages = ("tests.pool.runners:warm_quickly", "tests.pool.runners:warm_fully")
        engine = await build(warmup=stages, workers=1)
        ticket = engine.submit(job("sleep", seconds=0.3))
        await until(lambda: engine.status().versions == {"stage": "second"})
        assert isinstance(await ticket.result(), Done)
        assert (await result(engine, job("remember", word="x")))["value"] == ["first stage", "second stage", "x"]
        await until(lambda: len(zygote_pids(engine)) == 1)

    async def test_a_warm_up_that_fails_says_why_and_is_tried_again(self, build: Build) -> None:
        engine = await build(warmup=("tests.pool.runners:warm_badly",))
        failed = await failure(engine, job("echo"))
        assert (failed.reason, "No module named 'torch'" in failed.says) == ("lost", True)
        assert engine.status().state == "failed"
        first = zygote_pids(engine)
        await until(lambda: zygote_pids(engine) not in ((), first))

    async def test_a_zygote_with_a_second_thread_refuses_to_fork(self, build: Build) -> None:
        engine = await build(warmup=("tests.pool.runners:warm_with_a_thread",))
        await until(lambda: engine.status().state == "failed")
        assert "2 threads" in engine.status().says


class TestLosingProcesses:
    async def test_a_killed_zygote_is_replaced_and_its_running_job_is_lost(self, build: Build) -> None:
        engine = await build(workers=1)
        running, queued = engine.submit(job("loop")), engine.submit(job("echo"))
        workers = await until_busy(engine)
        await until(lambda: len([1 for each in engine._running.values() if each.is_read]) == 1)  # type: ignore[attr-defined]
        os.kill(zygote_pids(engine)[0], signal.SIGKILL)
        lost = await asyncio.wait_for(running.result(), 5)
        assert isinstance(lost, Failed)
        assert lost.reason == "lost"
        assert isinstance(await asyncio.wait_for(queued.result(), 5), Done)
        await until(lambda: not is_running(workers[0]))

    async def test_a_stopped_worker_does_not_hold_its_job(self, build: Build) -> None:
        engine = await build(workers=1)
        pid = (await result(engine, job("echo")))["pid"]
        os.kill(pid, signal.SIGSTOP)
        found = await result(engine, JobSpec("echo", {}, limits=Limits(seconds=0.2)))
        assert found["pid"] != pid

    async def test_no_process_outlives_a_stop(self, build: Build) -> None:
        engine = await build(workers=2)
        await until_ready(engine)
        children = descendants(os.getpid())
        assert len(children) >= 4
        await engine.stop()
        assert not [pid for pid in children if is_alive(pid)]

    async def test_no_process_outlives_a_killed_server(self) -> None:
        program = (
            "import asyncio\n"
            "from app.pool.embedded import EmbeddedEngine\n"
            "from app.pool.job import JobSpec\n"
            "async def main():\n"
            f"    engine = EmbeddedEngine({RUNNER!r})\n"
            "    await engine.start()\n"
            "    async for event in engine.submit(JobSpec('loop', {})).events():\n"
            "        print(type(event).__name__, flush=True)\n"
            "asyncio.run(main())\n"
        )
        with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert [server.stdout.readline().strip() for _ in range(2)] == ["Queued", "Started"]
            children = descendants(server.pid)
            assert len(children) >= 2
            server.kill()
        await until(lambda: not [pid for pid in children if is_running(pid)])


class TestConfinement:
    async def test_the_status_names_each_layer(self, build: Build) -> None:
        engine = await build()
        await until_ready(engine)
        assert engine.status().confinement == {
            "limits": True,
            "no_new_privileges": True,
            "landlock": True,
            "seccomp": True,
        }

    @pytest.mark.parametrize("isolation", Isolation)
    async def test_hostile_runs_get_nowhere_and_harm_nobody(
        self, build: Build, isolation: Isolation, tmp_path: Path
    ) -> None:
        target = tmp_path / "kept"
        target.write_text("kept")
        target.chmod(0o600)
        engine = await build(workers=1, memory_mb=200)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            params = {"path": str(target), "port": listener.getsockname()[1]}
            spec_limits = Limits(seconds=5, memory_mb=200)
            outcomes = {
                name: await outcome(engine, JobSpec(name, params, limits=spec_limits, isolation=isolation))
                for name in runners.HOSTILE
            }
        assert not [name for name, event in outcomes.items() if not isinstance(event, Failed)]
        assert {event.reason for event in outcomes.values()} <= {"error", "memory"}  # type: ignore[union-attr]
        assert (target.read_text(), target.stat().st_mode & 0o777) == ("kept", 0o600)
        assert len(zygote_pids(engine)) == 1

    @pytest.mark.parametrize("isolation", Isolation)
    async def test_a_worker_that_writes_nonsense_loses_only_its_own_job(
        self, build: Build, isolation: Isolation
    ) -> None:
        engine = await build(workers=2)
        neighbour = engine.submit(job("sleep", seconds=0.2))
        assert (await failure(engine, job("write nonsense", isolation))).reason == "crash"
        forged = await result(engine, job("forge an answer", isolation))
        assert forged["value"] == "written"
        assert isinstance(await neighbour.result(), Done)

    async def test_the_sentence_about_memory_names_the_limit_that_was_in_force(self, build: Build) -> None:
        engine = await build(memory_mb=80)
        assert "80 MiB" in (await failure(engine, job("eat memory"))).says

    @pytest.mark.parametrize(
        "path", ["/etc/passwd", "/proc/self/environ", "/proc/1/cmdline", str(ROOT / "pyproject.toml")]
    )
    async def test_files_outside_the_program_cannot_be_read(self, build: Build, path: str) -> None:
        engine = await build()
        assert "PermissionError" in (await failure(engine, job("read file", path=path))).says

    async def test_the_program_itself_can_be_read(self, build: Build) -> None:
        engine = await build()
        assert (await result(engine, job("read file", path=str(ROOT / "app" / "errors.py"))))["value"] > 0

    async def test_a_library_may_ask_for_the_temporary_folder_though_nothing_can_be_written(self, build: Build) -> None:
        engine = await build()
        assert (await result(engine, job("temporary folder")))["value"] == tempfile.gettempdir()

    async def test_nothing_of_the_servers_environment_reaches_a_worker(
        self, build: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FORWARD_PASS_SECRET", "swordfish")
        engine = await build()
        assert (await result(engine, job("environment")))["value"] == []


class TestStartedWorkers:
    """The workers that are started one by one, as for a GPU; the runner here needs none."""

    async def test_a_gpu_slot_runs_jobs_and_sees_only_its_device(self, build: Build) -> None:
        engine = await build(workers=1, gpus=2)
        specs = [JobSpec("devices", {}, place=Place.GPU) for _ in range(2)]
        tickets = [engine.submit(JobSpec("sleep", {"seconds": 0.2}, place=Place.GPU)) for _ in range(2)]
        await asyncio.gather(*(ticket.result() for ticket in tickets))
        found = await asyncio.gather(*(result(engine, spec) for spec in specs))
        assert sorted(each["value"] for each in found) == ["0", "1"]
        assert (await result(engine, job("devices")))["value"] == ""
        assert engine.status().confinement["gpu"] is False

    async def test_a_crash_a_deadline_and_a_memory_hog_on_a_gpu_slot_replace_its_worker(self, build: Build) -> None:
        engine = await build(workers=1, gpus=1)
        crashed = await failure(engine, JobSpec("segfault", {}, place=Place.GPU))
        assert (crashed.reason, "SIGSEGV" in crashed.says) == ("crash", True)
        timed_out = await failure(engine, JobSpec("loop", {}, place=Place.GPU, limits=Limits(seconds=0.1)))
        assert timed_out.reason == "timeout"
        assert await result(engine, JobSpec("echo", {}, place=Place.GPU))

    async def test_a_job_for_a_gpu_that_is_not_there_is_refused(self, build: Build) -> None:
        engine = await build()
        with pytest.raises(Exception, match="no GPU"):
            engine.submit(JobSpec("echo", {}, place=Place.GPU))


@pytest.mark.demos
class TestWithTorch:
    async def test_reused_workers_train_without_hanging_and_memory_errors_of_torch_are_named(
        self, build: Build
    ) -> None:
        engine = await build(
            runner="tests.pool.runners:run_with_torch", warmup=("tests.pool.runners:warm_torch",), workers=2
        )
        tickets = [engine.submit(JobSpec("train", {"steps": 5}, seed=3)) for _ in range(6)]
        outcomes = [await asyncio.wait_for(ticket.result(), 60) for ticket in tickets]
        assert all(isinstance(event, Done) for event in outcomes), outcomes
        assert len({event.result["loss"] for event in outcomes}) == 1  # type: ignore[union-attr]
        assert {event.result["threads"] for event in outcomes} == {1}  # type: ignore[union-attr]
        failed = await failure(engine, JobSpec("oversized", {"elements": 100_000_000}, limits=Limits(memory_mb=200)))
        assert failed.reason == "memory"
        assert "torch" in engine.status().versions


def descendants(pid: int) -> list[int]:
    """Every process below this one, from /proc."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (parent := parent_of(int(folder.name))) is not None:
            parents.setdefault(parent, []).append(int(folder.name))
    found, waiting = [], [pid]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def is_running(pid: int) -> bool:
    """False for a zombie too: its new parent may take its time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
