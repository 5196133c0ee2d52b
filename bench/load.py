"""How long loading takes, cold on one core and with nothing changed: ``python -m bench.load [--cards N]``."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, text

from app import db
from app.cards import actions, tables
from app.cards.loading import LoadReport
from app.cards.model import TOPICS, topic_slug

COLD_BAR_MS = 2.0
UNCHANGED_BAR_SECONDS = 1.0
CARD_BYTES = 2_000
WORDS = (
    *("gradient", "loss", "layer", "weight", "batch", "norm", "scale", "variance", "mean", "softmax", "attention"),
    *("query", "key", "value", "residual", "kernel", "stride", "dropout", "momentum", "schedule", "warmup", "logits"),
    *("entropy", "target", "epoch", "sample", "token", "embedding", "hidden", "state", "gate", "signal", "bias"),
)


def card_text(number: int) -> str:
    """A card of about two kilobytes with what cards have: formulas, a table, code, points, follow-ups."""
    draw = random.Random(number)
    words = " ".join(draw.choices(WORDS, k=8))
    topic = TOPICS[number % len(TOPICS)]
    head = (
        f"---\nid: card-{number}\ntopic: {topic}\ndifficulty: {number % 3 + 1}\ndemo: softmax-lab#temperature\n"
        f"prerequisites: [card-{number // 2}]\nsources:\n  - A paper of {words}, section {number % 9}\n---\n\n"
    )
    body = (
        f"# Why does {words} number {number} matter?\n\n## Answer\n\n"
        f"It is {' '.join(draw.choices(WORDS, k=20))}, and **not** {' '.join(draw.choices(WORDS, k=6))}.\n\n"
        f"$$z_{{{number}}} = \\frac{{1}}{{\\sqrt{{d_{{{number}}}}}}} \\sum_i w_i x_i + b$$\n\n"
        f"With $\\alpha = {number}$ and $p_i > 0$ the `{draw.choice(WORDS)}` holds.\n\n"
        f"```python\nimport torch\n\nx = torch.randn({number + 1}, 4)\nprint(x.softmax(-1).sum(-1))\n```\n\n"
        "| layer | cost |\n|---|---|\n"
        f"| {draw.choice(WORDS)} | $|w_{{{number}}}|$ |\n| {draw.choice(WORDS)} | {number} |\n\n"
        "- " + "\n- ".join(" ".join(draw.choices(WORDS, k=5)) for _ in range(3)) + "\n\n"
        "## Key points\n\n"
        + "".join(
            f"{n}. {' '.join(draw.choices(WORDS, k=8))}.\n   - not: {' '.join(draw.choices(WORDS, k=6))}.\n"
            f"   - say: {draw.choice(WORDS)} | {draw.choice(WORDS)}\n"
            for n in (1, 2, 3)
        )
        + f"\n## Follow-ups\n\n- (1) What of {' '.join(draw.choices(WORDS, k=6))}?\n\n## Misconceptions\n\n"
    )
    missing = CARD_BYTES - len(head) - len(body) - 4
    filler = " ".join(draw.choices(WORDS, k=200))[: max(10, missing)].strip()
    return f"{head}{body}- {filler}.\n"


def write_cards(folder: Path, count: int) -> float:
    """Writes the files; returns their mean size in bytes."""
    for topic in TOPICS:
        (folder / topic_slug(topic)).mkdir(parents=True)
    total = 0
    for number in range(count):
        written = card_text(number).encode()
        total += len(written)
        (folder / topic_slug(TOPICS[number % len(TOPICS)]) / f"card-{number}.md").write_bytes(written)
    return total / count


def open_database(path: Path) -> Engine:
    """A database with the tables of cards alone."""
    engine = db.open_engine(path)
    mine = [mapper.local_table for mapper in db.Base.registry.mappers if mapper.class_.__module__ == tables.__name__]
    db.Base.metadata.create_all(engine, tables=mine)  # type: ignore[arg-type]
    with engine.begin() as connection:
        for statement in tables.SEARCH_DDL:
            connection.execute(text(statement))
    return engine


def timed_load(engine: Engine, folder: Path) -> tuple[float, LoadReport]:
    began = time.perf_counter()
    with db.reading(engine) as session:
        plan = actions.prepare_load(session, folder, {"softmax-lab": {"temperature"}})
    with db.writing(engine) as session:
        report = actions.apply_load(session, plan, datetime.now(UTC))
    return time.perf_counter() - began, report


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How long loading cards takes.")
    parser.add_argument("--cards", type=int, default=10_000, help="cards to generate (default 10000)")
    count = parser.parse_args(arguments).cards
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "content"
        size = write_cards(folder, count)
        engine = open_database(Path(place) / "bench.sqlite")
        busy = time.process_time()
        cold, first = timed_load(engine, folder)
        busy = time.process_time() - busy
        again, second = timed_load(engine, folder)
        engine.dispose()
    cold_ms = cold * 1000 / count
    is_complete = len(first.added) == count and not first.problems and second.unchanged == count
    outcome = "all loaded" if is_complete else "INCOMPLETE"
    print(f"cards                {count:,} of {size:,.0f} bytes; one core; {outcome}")
    print(f"cold                 {cold:.2f} s, {cold_ms:.3f} ms a card (bar {COLD_BAR_MS} ms)")
    print(f"                     of it {busy * 1000 / count:.3f} ms of processor time; the rest is waiting")
    print(f"unchanged            {again:.3f} s in all (bar {UNCHANGED_BAR_SECONDS} s)")
    return 0 if is_complete and cold_ms <= COLD_BAR_MS and again <= UNCHANGED_BAR_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
