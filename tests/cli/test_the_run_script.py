"""./run from a folder of its own: it makes the environment, repairs it, and says in one sentence what it cannot do."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app import db
from tests.cli import wheels
from tests.cli.command import ROOT, said, sentence

pytestmark = pytest.mark.terminal

STAND_IN = """import importlib, sys
names = [name for name in ("tiny", "torch") if importlib.util.find_spec(name)]
print(*sys.argv[1:], *(f"{name} {importlib.import_module(name).VERSION}" for name in names))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for a fresh clone, with locks of one tiny package each."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "app").mkdir()
    (folder / "app/cli.py").write_text(STAND_IN)
    (folder / "locks").mkdir()
    shutil.copy(ROOT / "run", folder / "run")
    shutil.copy(ROOT / "locks/install.py", folder / "locks/install.py")
    (folder / "locks/web.txt").write_text("# Downloads 3 MB, takes 5 MB.\ntiny==1.0\n")
    (folder / "locks/lab.txt").write_text("# Downloads 7 MB, takes 9 MB.\nhelp==2.0\ntorch==9.9\n")
    wheels.make(folder / "links", "tiny", "1.0")
    wheels.make(folder / "links", "tiny", "1.1")
    wheels.make(folder / "links", "help", "2.0")
    return folder


def run(clone: Path, *words: str, at: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """From another folder, with the tiny wheels as the only source of packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PYTHON"))}
    sources = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(clone / "links"), "PYTHON": sys.executable}
    command = [str(clone / "run"), *words]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=at or clone.parent, env=kept | sources | more, check=False
    )


def package(clone: Path, name: str) -> Path:
    (found,) = (clone / ".venv/lib").glob(f"python*/site-packages/{name}")
    return found


def test_the_first_run_says_what_it_fetches_and_the_second_says_nothing(clone: Path) -> None:
    first = run(clone, "doctor", "--rebuild")
    assert first.stdout == "doctor --rebuild tiny 1.0\n", first.stderr
    assert "For the site ./run fetches up to 3 MB, which take 5 MB in " in first.stderr
    second = run(clone, "doctor")
    assert (second.stdout, second.stderr) == ("doctor tiny 1.0\n", "")


def test_a_folder_called_app_elsewhere_is_not_run(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/cli.py").write_text("raise SystemExit('another app')")
    assert run(clone, "doctor", at=tmp_path).stdout == "doctor tiny 1.0\n"


@pytest.mark.parametrize("harm", ["a file is gone", "a file is cut short", "the record is gone", "all is gone"])
def test_a_half_made_environment_repairs_itself(clone: Path, harm: str) -> None:
    run(clone, "doctor")
    match harm:
        case "a file is gone":
            (package(clone, "tiny") / "__init__.py").unlink()
        case "a file is cut short":
            (package(clone, "tiny") / "__init__.py").write_text("")
        case "the record is gone":
            (package(clone, "tiny-1.0.dist-info") / "RECORD").unlink()
        case _:
            shutil.rmtree(clone / ".venv/bin")
    assert run(clone, "doctor").stdout == "doctor tiny 1.0\n"


def test_a_changed_lock_is_followed(clone: Path) -> None:
    lock = clone / "locks/web.txt"
    before = lock.read_text()
    lock.write_text(before.replace("1.0", "1.1"))
    assert run(clone, "doctor").stdout == "doctor tiny 1.1\n"
    lock.write_text(before)
    assert run(clone, "doctor").stdout == "doctor tiny 1.0\n"


def test_the_lab_takes_the_cpu_wheel_and_never_the_cuda_one(clone: Path) -> None:
    wheels.make(clone / "links", "torch", "9.9", needs="nvidia-cublas==1.0")
    wheels.make(clone / "links", "nvidia_cublas", "1.0")
    refused = run(clone, "demo", "x")
    assert refused.returncode == 1
    assert "A package could not be installed" in refused.stderr
    assert not list((clone / ".venv/lib").glob("python*/site-packages/torch"))
    wheels.make(clone / "links", "torch", "9.9+cpu")
    assert run(clone, "demo", "x").stdout == "demo x tiny 1.0 torch 9.9+cpu\n"


def test_a_source_without_the_package_is_one_sentence(clone: Path) -> None:
    (package(clone, "tiny") / "__init__.py").unlink()
    found = run(clone, "doctor", PIP_FIND_LINKS=str(clone / "locks"))
    assert found.returncode == 1
    assert "Set pip's index to one that has it, then run ./run again." in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
    run(clone, "doctor")


def test_without_a_network_it_is_one_sentence(clone: Path) -> None:
    (package(clone, "tiny") / "__init__.py").unlink()
    nowhere: dict[str, Any] = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "0",
        "PIP_FIND_LINKS": "",
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_RETRIES": "1",
    }
    found = run(clone, "doctor", **nowhere)
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1].startswith("The package sources cannot be reached. Check the network")
    run(clone, "doctor")


def test_a_python_that_is_too_old_is_one_sentence(clone: Path, tmp_path: Path) -> None:
    shutil.copytree(clone / "locks", tmp_path / "locks")
    shutil.copy(clone / "run", tmp_path / "run")
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\ntest "$1" = --version && echo Python 3.9.2 || exit 1\n')
    old.chmod(0o755)
    found = run(tmp_path, "doctor", PYTHON=str(old))
    assert found.returncode == 1
    assert "needs Python 3.11 or newer" in sentence(found)
    assert "is Python 3.9.2. Install one, or name it: PYTHON=" in sentence(found)
    assert not (tmp_path / ".venv").exists()


def test_help_needs_no_environment(tmp_path: Path) -> None:
    shutil.copy(ROOT / "run", tmp_path / "run")
    assert "./run check-cards" in run(tmp_path, "--help").stdout
    assert not (tmp_path / ".venv").exists()


def test_a_taken_port_names_another(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = said("serve", "--port", str(port), folder=tmp_path)
    assert found.returncode == 1
    assert sentence(found).endswith(f"Stop it, or take another port: ./run --port {port + 1}")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0"], "There are no accounts yet, so 0.0.0.0 is refused"),
        (["--host", "example.org"], "There are no accounts yet, so example.org is refused"),
        (["--port", "99999"], "--port: Input should be less than or equal to 65535."),
    ],
)
def test_an_address_that_is_not_for_one_learner_is_refused(options: list[str], says: str, tmp_path: Path) -> None:
    found = said("serve", *options, folder=tmp_path)
    assert found.returncode == 1
    assert says in sentence(found)


def test_a_setting_that_cannot_be_read_names_its_variable(tmp_path: Path) -> None:
    found = said("doctor", folder=tmp_path, FORWARD_PASS_WORKERS="many")
    assert sentence(found).startswith("FORWARD_PASS_WORKERS: ")


def test_a_second_server_of_one_database_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    lock = db.LockFile(tmp_path / "data/forward-pass.sqlite")
    assert lock.take()
    found = said("serve", "--port", "0", "--no-pool", folder=tmp_path)
    lock.close()
    assert found.returncode == 1
    assert "Another server is using" in sentence(found)
