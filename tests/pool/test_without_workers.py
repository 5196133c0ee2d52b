"""What the pool says where it cannot run, and small rules that need no process."""

from __future__ import annotations

import signal
import sys

import pytest

from app.errors import SetupError, Unavailable
from app.pool import outcomes, worker, zygote
from app.pool.embedded import EmbeddedEngine
from app.pool.fleet import back_off_seconds
from app.pool.job import Done, Failed, JobSpec
from app.pool.off import OffEngine

RUNNER = "tests.pool.runners:run_job"


async def test_a_switched_off_pool_refuses_with_its_reason() -> None:
    engine = OffEngine("The pool is switched off.")
    await engine.start()
    with pytest.raises(Unavailable, match="switched off"):
        engine.submit(JobSpec("echo", {}))
    assert (engine.status().state, engine.status().says) == ("off", "The pool is switched off.")
    await engine.stop()


async def test_before_its_start_an_engine_is_off_and_refuses() -> None:
    engine = EmbeddedEngine(RUNNER)
    assert engine.status().state == "off"
    with pytest.raises(Unavailable):
        engine.submit(JobSpec("echo", {}))
    await engine.stop()


def test_elsewhere_than_on_linux_workers_run_only_when_that_was_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SetupError, match="--unconfined"):
        EmbeddedEngine(RUNNER)
    assert EmbeddedEngine(RUNNER, unconfined=True).status().state == "off"


def test_a_kernel_without_landlock_and_seccomp_is_refused_and_one_layer_suffices() -> None:
    zygote.assert_confined({"landlock": False, "seccomp": True})
    zygote.assert_confined({"landlock": True, "seccomp": False})
    with pytest.raises(SetupError, match="--unconfined"):
        zygote.assert_confined({"landlock": False, "seccomp": False})


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 800 bytes"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_every_way_to_run_out_of_memory_is_named_so(error: Exception) -> None:
    assert worker.describe(error) == ("memory", "")


def test_other_errors_keep_their_words_and_long_ones_are_cut() -> None:
    assert worker.describe(RuntimeError("shapes differ")) == ("error", "RuntimeError: shapes differ")
    assert worker.describe(KeyError()) == ("error", "KeyError")
    assert len(worker.describe(ValueError("x" * 10_000))[1]) == worker.SAYS_LIMIT


def test_a_crash_names_its_signal_and_an_exit_its_code() -> None:
    assert "SIGSEGV" in outcomes.crashed(-signal.SIGSEGV)
    assert "memory" in outcomes.crashed(-signal.SIGKILL)
    assert "exit code 3" in outcomes.crashed(3)


@pytest.mark.parametrize(
    "message",
    [
        {"kind": "done", "result": []},
        {"kind": "done", "result": {}, "seconds": "soon"},
        {"kind": "failed", "reason": "lost", "says": ""},
    ],
)
def test_an_answer_of_the_wrong_shape_is_an_error(message: dict[str, object]) -> None:
    outcome = outcomes.from_answer(dict(message), 100)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "error"


def test_a_whole_answer_is_done() -> None:
    assert outcomes.from_answer({"kind": "done", "result": {"x": 1}, "seconds": 0.5}, 100) == Done({"x": 1}, 0.5)


def test_quantiles_are_taken_from_the_sorted_values() -> None:
    values = [index / 1000 for index in range(100)]
    assert outcomes.quantile_ms(values, 0.5) == 50
    assert outcomes.quantile_ms(values, 1.0) == 99
    assert outcomes.quantile_ms([], 0.5) is None


def test_the_wait_between_tries_doubles_up_to_half_a_minute() -> None:
    assert [back_off_seconds(failures) for failures in (0, 1, 2)] == [0.1, 0.2, 0.4]
    assert back_off_seconds(500) == 30.0
