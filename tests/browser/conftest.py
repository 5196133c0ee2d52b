"""A real server process and Debian's Chromium, both started by the tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY_SECONDS = 90.0
EXPECTED = ("Failed to load resource", "net::ERR_CONNECTION_REFUSED", "htmx:error: Failed to fetch")
"""Answers of 4xx and a server that is down are what some tests are about."""


class Server:
    """One server process on its own data folder; may be killed and started again on the same port."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.folder = folder
        self.options = options
        self.environment = environment
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, pool: str | None = "ready") -> Server:
        """Waits until pages are served and, unless None, until the pool is in that state."""
        command = [sys.executable, "-m", "app.cli", "serve", "--port", str(self.port), *self.options]
        own = {"FORWARD_PASS_DATA": str(self.folder), "FORWARD_PASS_TIME_ZONE": "Europe/Rome", **self.environment}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **own}, stdout=log, stderr=log)
        self.wait(lambda state: pool is None or state["pool"] == pool)
        return self

    def settings(self, **choices: str) -> None:
        """Saves settings as a form would."""
        asked = urllib.request.Request(f"{self.address}/settings", data=urllib.parse.urlencode(choices).encode())
        urllib.request.urlopen(asked, timeout=10).close()

    def wait(self, is_there: Callable[[dict[str, Any]], bool]) -> None:
        """Until /readyz answers and says what is wanted."""
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            assert self.process is not None and self.process.poll() is None, (self.folder / "server.log").read_text()
            found = self._readiness()
            if found is not None and is_there(found):
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "server.log").read_text())

    def _readiness(self) -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(f"{self.address}/readyz", timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError:
            return None

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the deck loaded and nothing studied; tests copy it."""
    folder = tmp_path_factory.mktemp("loaded")
    Server(folder, "--no-pool").start(pool="off").stop()
    return folder


@pytest.fixture
def folder(loaded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(loaded, tmp_path / "data"))


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """A server of this test's own, with nothing studied yet and workers."""
    made = Server(folder).start()
    yield made
    made.stop()


@pytest.fixture
def calm(folder: Path) -> Iterator[Server]:
    """The same without workers: it starts at once, and every card can be studied."""
    made = Server(folder, "--no-pool").start(pool="off")
    yield made
    made.stop()


@pytest.fixture(scope="session")
def shared(loaded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With workers, for tests that change nothing which another one reads."""
    made = Server(Path(shutil.copytree(loaded, tmp_path_factory.mktemp("shared") / "data"))).start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


class Window:
    """A page that remembers what the console complained about."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(part in text for part in EXPECTED):
            self.complaints.append(text)


@pytest.fixture
def window(browser: Browser) -> Iterator[Window]:
    """1280 px, light; fails the test on any console error, a violation of the policy included."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    made = Window(context)
    yield made
    context.close()
    assert made.complaints == []
