"""Measures pages in a real browser beside their bars: ``python -m bench.pages [--times N]``.

First page against a server without torch, slider to picture, key to the next question, and how soon a worker is free
after its page was left. Starts servers and Chromium of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from bench.pool import Row

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
LIMIT_SECONDS = 60.0

# Moves the knob and waits for the frame in which the renewed picture is painted.
SLIDE = """value => new Promise(done => {
  const number = document.querySelector('#knob-p');
  const began = performance.now();
  const seen = new MutationObserver(() => {
    if (!document.querySelector('#result .summary')?.textContent.includes(String(value))) return;
    seen.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
  });
  seen.observe(document.body, { childList: true, subtree: true });
  number.value = value;
  number.dispatchEvent(new Event('input', { bubbles: true }));
})"""

# Presses a key and waits for the frame in which another question stands there.
PRESS = """name => new Promise(done => {
  const before = document.querySelector('.grades');
  const began = performance.now();
  const seen = new MutationObserver(() => {
    if (!document.querySelector('#desk') || before?.isConnected) return;
    seen.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
  });
  seen.observe(document.body, { childList: true, subtree: true });
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key: name, bubbles: true, cancelable: true }));
})"""


@dataclass(frozen=True, slots=True)
class Started:
    address: str
    first_page_seconds: float


@contextmanager
def server(*options: str, ready: str | None = None) -> Iterator[Started]:
    """A server on data of its own; the time runs from the start of the process to the first page's last byte."""
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        environment = {**os.environ, "FORWARD_PASS_DATA": folder}
        command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), *options]
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _until(lambda: _get(f"{address}/") is not None)
            first = time.perf_counter() - began
            if ready:
                _until(lambda: json.loads(_get(f"{address}/readyz") or "{}").get("pool") == ready)
            yield Started(address, first)
        finally:
            process.terminate()
            process.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _get(address: str) -> str | None:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return None


def _until(is_there: Any) -> None:
    until = time.monotonic() + LIMIT_SECONDS
    while not is_there():
        if time.monotonic() > until:
            raise TimeoutError("the server did not come up")
        time.sleep(0.005)


def first_page(times: int) -> Row:
    """With workers warming and without, in turn; the medians' ratio."""
    with_pool, without = [], []
    for _ in range(times):
        with server() as started:
            with_pool.append(started.first_page_seconds)
        with server("--no-pool") as started:
            without.append(started.first_page_seconds)
    ratio = statistics.median(with_pool) / statistics.median(without)
    shown = f"{ratio:.2f} × ({statistics.median(with_pool):.2f} s, {statistics.median(without):.2f} s)"
    return Row(f"first page against a torchless server, {times} starts each", shown, "<= 1.1 ×", ratio <= 1.1)


def in_browser(times: int) -> list[Row]:
    with server(ready="ready") as started, sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = launched.new_page(viewport={"width": 1280, "height": 900})
        rows = [slider(page, started.address, times), next_question(page, started.address, min(times, 30))]
        launched.close()
        return rows


def slider(page: Page, address: str, times: int) -> Row:
    page.goto(f"{address}/demos/dropout-lab?play=1")
    taken = [page.evaluate(SLIDE, round(0.02 + 0.9 * ((index * 37) % 90) / 90, 2)) for index in range(times)]
    half, most = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
    return Row(
        f"slider to picture, {times} moves", f"p50 {half:.0f} ms, p95 {most:.0f} ms", "p95 <= 100 ms", most <= 100
    )


def next_question(page: Page, address: str, times: int) -> Row:
    page.request.post(f"{address}/settings", form={"new_cards": "1000", "retention": "0.9", "keys_on": "on"})
    taken: list[float] = []
    for _ in range(times):
        page.goto(f"{address}/study?more=1")
        if not page.locator(".card").count():
            break
        page.keyboard.press("Space")
        page.locator(".grades").wait_for()
        taken.append(page.evaluate(PRESS, "4"))
    if len(taken) < 2:
        return Row("key to next question", "too few cards", "p95 <= 100 ms", None)
    half, most = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
    return Row(
        f"key to next question, {len(taken)} cards",
        f"p50 {half:.0f} ms, p95 {most:.0f} ms",
        "p95 <= 100 ms",
        most <= 100,
    )


def rows(times: int = 100, starts: int = 5) -> list[Row]:
    return [first_page(starts), *in_browser(times)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100, help="moves of the slider")
    measured = rows(parser.parse_args().times)
    for row in measured:
        verdict = {True: "holds", False: "MISSED", None: "-"}[row.holds]
        print(f"{row.what:58} {row.measured:52} {row.bar:24} {verdict}")
    return int(any(row.holds is False for row in measured))


if __name__ == "__main__":
    sys.exit(main())
