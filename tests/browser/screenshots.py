"""Takes the pictures of the README: docs/screenshots/{study,demo,today}.png, 1280 px wide, light.

Run by hand from the repository, with torch installed: `.venv/bin/python -m tests.browser.screenshots`. It studies six
weeks on a database of its own through the actions that the pages use, starts the server on it, predicts once and
looks. Nothing of yours is touched.
"""

from __future__ import annotations

import asyncio
import random
import re
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from sqlalchemy import Engine

from app import db, migrating
from app.main import load_deck
from app.settings import ROOT, Settings
from app.study import actions, sitting, tokens
from app.study.showing import Frontiers
from app.study.writer import Writer
from app.viewer import solo
from tests.browser.conftest import CHROMIUM, FLAGS, Server

SHOTS = ROOT / "docs" / "screenshots"
ZONE = "Europe/Rome"
DAYS, SECONDS_A_CARD = 46, 40


def main() -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        take("study", Server(folder / "new"), predict)
        study_weeks(folder / "old")
        take("today", Server(folder / "old"), surprise)
        take("demo", Server(folder / "old"), open_demo)


def study_weeks(folder: Path) -> None:
    folder.mkdir()
    settings = Settings(data=folder)
    now = datetime.now(UTC)
    migrating.migrate(settings.database_path, now)
    engine = db.open_engine(settings.database_path)
    load_deck(engine, settings.content, now)
    asyncio.run(answer_all(engine, tokens.load_secret(folder), now))
    engine.dispose()


async def answer_all(engine: Engine, secret: bytes, now: datetime) -> None:
    """Most days some cards, mostly known; nothing yesterday, so that something is due."""
    drawn = random.Random(5)
    writer = Writer(engine)
    writer.start()
    for ago in range(DAYS, 1, -1):
        at = (now - timedelta(days=ago)).replace(hour=17)
        for _ in range(drawn.choice((0, 6, 10, 16, 22))):
            at += timedelta(seconds=SECONDS_A_CARD)
            await answer_one(engine, writer, secret, at, drawn)
    await writer.stop()


async def answer_one(engine: Engine, writer: Writer, secret: bytes, at: datetime, drawn: random.Random) -> None:
    desk = sitting.Desk(secret, at, False, Frontiers())
    with db.reading(engine) as session:
        _, token = sitting.next_token(session, solo(ZONE), desk, None, False)
    if token is not None:
        rating = drawn.choices((1, 2, 3, 4), (2, 2, 8, 1))[0]
        grade = actions.read_grade(secret, solo(ZONE), token, rating, at, duration_ms=drawn.randint(9_000, 50_000))
        await writer.grade(grade)


def take(name: str, server: Server, look: Callable[[Page, str], None]) -> None:
    server.folder.mkdir(exist_ok=True)
    server.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
            look(page, server.address)
            page.mouse.move(0, 0)
            page.screenshot(path=SHOTS / f"{name}.png")
            browser.close()
    finally:
        server.stop()


def multiply(page: Page) -> None:
    """Predicts as many do at first: times 1 - p."""
    asked = re.search(r"p=([\d.]+)", page.locator(".prompt").inner_text())
    assert asked is not None
    page.locator("#prediction").fill(f"{2 * (1 - float(asked[1])):g}")
    page.keyboard.press("Enter")
    page.locator(".settled").wait_for()


def predict(page: Page, address: str) -> None:
    page.goto(f"{address}/study")
    multiply(page)


def surprise(page: Page, address: str) -> None:
    page.goto(f"{address}/demos/dropout-lab?preset=survivor")
    multiply(page)
    page.goto(address)


def open_demo(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 1060})
    page.goto(f"{address}/demos/softmax-lab?preset=temperature&temperature=0.5&play=1")
    page.locator(".claims").wait_for()


if __name__ == "__main__":
    main()
