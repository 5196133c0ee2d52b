"""The smallest server around the real writer, for tests that kill it: shows a card, stores a grade, answers late.

    python -m tests.crash.server --database PATH --port PORT [--forgetful]

``--forgetful`` is the control: tokens are signed, but nobody remembers which were spent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn

from app import db
from app.clock import SystemClock
from app.errors import AppError
from app.study import actions, queries, showing, study_day, tokens
from app.study.grading import Answered, Grade
from app.study.writer import Writer
from app.viewer import Role, Viewer

SECRET = b"a secret that only tests know!!!"
LONGEST_DELAY_SECONDS = 0.02


class ForgetfulWriter(Writer):
    """The token check switched off: every request is taken for a new answer to the card as it stands."""

    async def grade(self, grade: Grade) -> Answered:
        with db.reading(self._engine) as session:
            basis = queries.basis_event_id(session, grade.viewer, grade.shown.card_id)
        return await super().grade(
            replace(grade, shown=replace(grade.shown, signature=os.urandom(16), basis_event_id=basis))
        )


class Server:
    def __init__(self, database: Path, *, forgetful: bool) -> None:
        self.engine = db.open_engine(database)
        self.lock = db.LockFile(database)
        if not self.lock.take():
            raise SystemExit("Another server holds the database.")
        self.writer = (ForgetfulWriter if forgetful else Writer)(self.engine, lock=self.lock)
        self.clock = SystemClock()
        self.frontiers = showing.Frontiers()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        asked = json.loads(body or b"{}")
        viewer = Viewer(asked["user"], Role.LEARNER, "Europe/Rome")
        try:
            status, reply = 200, await (self.show(viewer) if scope["path"] == "/show" else self.grade(viewer, asked))
        except AppError as error:
            status, reply = error.status, {"says": error.says}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(reply).encode()})

    async def live(self, receive: Any, send: Any) -> None:
        await receive()
        self.writer.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.writer.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def show(self, viewer: Viewer) -> dict[str, Any]:
        with db.reading(self.engine) as session:
            shown = showing.next_card(session, viewer, self.clock.now(), frontiers=self.frontiers).showing
        if shown is None:
            return {}
        card_id, day = int(shown.card.card_id), study_day.date_of(shown.study_day)
        return {"token": tokens.mint(SECRET, viewer.id, card_id, shown.basis_event_id, day)}

    async def grade(self, viewer: Viewer, asked: dict[str, Any]) -> dict[str, Any]:
        """Answers after a random while, as a slow network would: a kill then falls between storing and answering."""
        grade = actions.read_grade(SECRET, viewer, asked["token"], asked["rating"], self.clock.now())
        answered = await self.writer.grade(grade)
        await asyncio.sleep(random.random() * LONGEST_DELAY_SECONDS)
        return answered.as_json()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--forgetful", action="store_true")
    asked = parser.parse_args()
    server = Server(asked.database, forgetful=asked.forgetful)
    uvicorn.run(server, port=asked.port, log_level="warning")  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
