"""Learners answer while their server is killed with SIGKILL again and again; then the log is counted.

    python -m tests.crash.campaign [--kills 60] [--learners 16] [--forgetful]

Each learner sends every answer until a reply arrives, with the same token. Lost: answers that were acknowledged and
are not in the log as they were. Doubled: reviews beyond one for each answer.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, text

from app import db
from app.study import actions, doctor
from app.study.actions import Choices
from app.viewer import Role, Viewer
from tests.study import deck

START_LIMIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    kills: int
    answers: int
    reviews: int
    lost: int
    problems: tuple[str, ...]

    @property
    def doubled(self) -> int:
        return self.reviews - self.answers + self.lost


@dataclass(slots=True)
class Campaign:
    """``acknowledged``: (review id, card, rating) of every reply."""

    folder: Path
    learners: int
    forgetful: bool
    seed: int
    acknowledged: list[tuple[int, int, int]] = field(default_factory=list)
    is_over: bool = False

    async def run(self, kills: int) -> Outcome:
        database = self.folder / "crash.sqlite"
        engine = deck.make(database, notes=1000, learners=self.learners)
        self.lift_the_limit(engine)
        port, chance = _free_port(), random.Random(self.seed)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
            studying = [asyncio.create_task(self.study(client, user)) for user in range(1, self.learners + 1)]
            for _ in range(kills):
                with _server(database, port, forgetful=self.forgetful) as server:
                    await self.until_more_is_answered(2 * self.learners, studying)
                    await asyncio.sleep(chance.uniform(0.05, 0.4))
                    server.kill()
            with _server(database, port, forgetful=self.forgetful):
                await self.until_more_is_answered(2 * self.learners, studying)
                self.is_over = True
                await asyncio.gather(*studying)
        return self.count(engine, kills)

    def lift_the_limit(self, engine: Engine) -> None:
        """Enough new cards for learners who answer without a pause."""
        with db.writing(engine) as session:
            for user in range(1, self.learners + 1):
                viewer = Viewer(user, Role.LEARNER, "Europe/Rome")
                actions.save_settings(session, viewer, Choices(new_cards_per_day=1000), today=0)

    async def until_more_is_answered(self, answers: int, studying: Sequence[asyncio.Task[None]]) -> None:
        wanted = len(self.acknowledged) + answers
        async with asyncio.timeout(START_LIMIT_SECONDS):
            while len(self.acknowledged) < wanted:
                await asyncio.sleep(0.01)
                for learner in filter(asyncio.Task.done, studying):
                    await learner

    async def study(self, client: httpx.AsyncClient, user: int) -> None:
        chance = random.Random(user * 1000 + self.seed)
        while not self.is_over:
            shown = await self.ask(client, "/show", {"user": user})
            assert shown, "the deck of this campaign is too small"
            rating = chance.choice((1, 2, 3, 3, 3, 4))
            reply = await self.ask(client, "/grade", {"user": user, "token": shown["token"], "rating": rating})
            assert reply["rating"] == rating
            self.acknowledged.append((reply["review_id"], reply["card_id"], rating))

    async def ask(self, client: httpx.AsyncClient, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Until a reply arrives, as a browser with a patient learner does."""
        while True:
            try:
                response = await client.post(path, json=asked)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            response.raise_for_status()
            reply: dict[str, Any] = response.json()
            return reply

    def count(self, engine: Engine, kills: int) -> Outcome:
        with db.reading(engine) as session:
            reviews = {tuple(row) for row in session.execute(text("SELECT id, card_id, rating FROM review"))}
            problems = doctor.examine(session).problems
        engine.dispose()
        lost = len(set(self.acknowledged) - reviews) + len(self.acknowledged) - len(set(self.acknowledged))
        return Outcome(kills, len(self.acknowledged), len(reviews), lost, problems)


def run(folder: Path, *, kills: int, learners: int, forgetful: bool = False, seed: int = 7) -> Outcome:
    return asyncio.run(Campaign(folder, learners, forgetful, seed).run(kills))


@contextmanager
def _server(database: Path, port: int, *, forgetful: bool) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.crash.server", "--database", str(database), "--port", str(port)]
    server = subprocess.Popen([*command, *(["--forgetful"] if forgetful else [])])
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--learners", type=int, default=16)
    parser.add_argument("--forgetful", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(run(Path(folder), kills=asked.kills, learners=asked.learners, forgetful=asked.forgetful))  # noqa: T201


if __name__ == "__main__":
    main()
