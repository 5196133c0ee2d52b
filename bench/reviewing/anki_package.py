"""Anki's own package on a collection of the same size: get the next card, answer it.

It runs in its own process: no server, no second learner, no reply to wait for.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import pysqlite3
from anki import collection as anki_collection  # first: its modules import one another in a circle
from anki.cards import CardId
from anki.decks import DeckId
from anki.scheduler.v3 import Scheduler

from bench.reviewing.data import REVIEWS_A_CARD

ANSWERS = 300
DUE_TODAY = 0.02
"""The share of cards that is due, as in our own collection of cards that come back when memory needs it."""


def build(path: Path, cards: int) -> None:
    """Review cards with ten log entries each, written as rows while Anki is away: through it, it takes minutes."""
    collection = anki_collection.Collection(str(path))
    notetype, deck, now = collection.models.current()["id"], 1, int(time.time())
    config = collection.decks.config_dict_for_deck_id(DeckId(deck))
    config["rev"]["perDay"] = 9999
    collection.decks.update_config(config)
    collection.close()
    database = pysqlite3.connect(str(path))
    chance = random.Random(1)
    notes = (
        (n, f"guid{n}", notetype, now, 0, "", f"question {n}\x1fanswer", f"question {n}", 0, 0, "")
        for n in range(1, cards + 1)
    )
    database.executemany("INSERT INTO notes VALUES (?,?,?,?,?,?,?,?,?,?,?)", notes)
    rows = []
    for card in range(1, cards + 1):
        due = 0 if chance.random() < DUE_TODAY else chance.randrange(1, 90)
        rows.append((card, card, deck, 0, now, 0, 2, 2, due, 30, 2500, REVIEWS_A_CARD, 0, 0, 0, 0, 0, "{}"))
    database.executemany(f"INSERT INTO cards VALUES ({','.join('?' * 18)})", rows)
    began = (now - 400 * 86_400) * 1000
    log = (
        (began + number * cards + card, card, 0, 3, 30, 15, 2500, 6000, 1)
        for number in range(REVIEWS_A_CARD)
        for card in range(1, cards + 1)
    )
    database.executemany("INSERT INTO revlog VALUES (?,?,?,?,?,?,?,?,?)", log)
    database.commit()
    database.close()


def seconds_each(path: Path, cards: int) -> list[float]:
    build(path, cards)
    collection = anki_collection.Collection(str(path))
    scheduler = collection.sched
    assert isinstance(scheduler, Scheduler)
    taken = []
    for _ in range(ANSWERS):
        began = time.perf_counter()
        waiting = scheduler.get_queued_cards().cards
        if not waiting:
            break
        queued = waiting[0]
        card = collection.get_card(CardId(queued.card.id))
        card.start_timer()
        scheduler.answer_card(scheduler.build_answer(card=card, states=queued.states, rating=2))  # type: ignore[arg-type]
        taken.append(time.perf_counter() - began)
    collection.close()
    return taken


if __name__ == "__main__":
    sys.stdout.write(json.dumps(seconds_each(Path(sys.argv[1]), int(sys.argv[2]))))
