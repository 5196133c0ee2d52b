"""How fast answers are stored, side by side with simpler ways: ``python -m bench.review [--seconds N] [--cards N]``.

1. Grades a second at 64 clients, each durable before its reply: this product's route, the same route as ``def`` with
   ORM objects, and the same route answering a constant.
2. At 100,000 cards with ten reviews each, fifty learners mean to send 100 grades a second in all; each is timed from
   the moment it was meant to be sent, and its reply brings the next card.
3. Anki's own package getting and answering cards in a collection of that size.

The servers, the load and Anki each run in a process of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app import db
from app.study import doctor, study_day, tokens
from bench.reviewing import data, load
from bench.reviewing.load import Load
from bench.reviewing.server import SECRET

CLIENTS = 64
OFFERED = 100.0
WARM_SECONDS = 3.0
COMMIT_BYTES = 40_000
"""About what the log takes for one grade: its row, three indexes, the memory and the day."""
TIMES_ORM, SHARE_OF_CONSTANT = 5.0, 0.3
P95_MS, P99_MS = 5.0, 15.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How fast answers are stored.")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement (default 10)")
    parser.add_argument("--cards", type=int, default=100_000, help="cards with ten reviews each (default 100000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of both; the median counts (default 3)")
    parser.add_argument("--without-anki", action="store_true", help="leave out Anki's package")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        collection = Path(folder) / "collection.sqlite"
        data.build(collection, asked.cards, datetime.now(UTC))
        size = collection.stat().st_size / 1e6
        print(f"collection           {asked.cards:,} cards, {asked.cards * 10:,} reviews, {size:.0f} MB")
        held = compare_routes(collection, asked.seconds, asked.rounds)
        held &= offer(collection, asked.seconds * 2, asked.rounds)
        if not asked.without_anki:
            compare_anki(Path(folder), asked.cards)
    return 0 if held else 1


def compare_routes(collection: Path, seconds: float, rounds: int) -> bool:
    """Rounds alternate, so that a busy machine is busy for all three."""
    pile = grades(collection)
    rates: dict[str, list[float]] = {"durable": [], "orm": [], "constant": []}
    for _ in range(rounds):
        for kind, measured in rates.items():
            with serving(kind, collection) as port:
                done = load.measure(load.closed(port, CLIENTS, seconds / rounds, pile))
            measured.append(done.rate if not done.failures else 0.0)
            print(f"  {kind:<19}{done.rate:7.0f} grades/s at {CLIENTS} clients, {latencies(done)}")
    durable, orm, constant = (sorted(rates[kind])[len(rates[kind]) // 2] for kind in ("durable", "orm", "constant"))
    print(
        f"durable / def + ORM  {durable / orm:.1f} (bar {TIMES_ORM:.0f}), medians {durable:.0f} and {orm:.0f} grades/s"
    )
    print(f"durable / constant   {durable / constant:.2f} (bar {SHARE_OF_CONSTANT}), constant {constant:.0f} replies/s")
    return durable >= TIMES_ORM * orm and durable >= SHARE_OF_CONSTANT * constant


def offer(collection: Path, seconds: float, rounds: int) -> bool:
    """The median of the rounds counts for each percentile: one slow moment of the machine is not the program's."""
    first = {body["user"]: body for body in grades(collection)}
    compare_machine(collection, list(first.values()), seconds / rounds)
    seen: list[Load] = []
    for turn in range(rounds):
        with serving("next", collection, verify=turn == 0) as port:
            seen.append(load.measure(load.opened(port, list(first.values()), OFFERED, seconds / rounds, WARM_SECONDS)))
        print(f"  next               {len(seen[-1].latencies):7d} grades, {latencies(seen[-1])}")
    p95, p99 = (sorted(done.percentile(share) for done in seen)[rounds // 2] * 1000 for share in (0.95, 0.99))
    failures = sum(done.failures for done in seen)
    print(
        f"grade + next card    {len(first)} learners offering {OFFERED:.0f}/s, from the intended send:"
        f" medians p95 {p95:.1f} ms (bar {P95_MS:.0f}), p99 {p99:.1f} ms (bar {P99_MS:.0f}), {failures} failed"
    )
    return p95 <= P95_MS and p99 <= P99_MS and not failures


def compare_machine(collection: Path, first: list[dict[str, Any]], seconds: float) -> None:
    """What any answer and any durable write cost here and now, at the same pace."""
    with serving("constant", collection) as port:
        done = load.measure(load.opened(port, first, OFFERED, seconds, WARM_SECONDS))
    print(f"  constant           {len(done.latencies):7d} replies, {latencies(done)}")
    flushes = []
    with collection.with_name("flushed").open("wb", buffering=0) as file:
        for _ in range(int(OFFERED * seconds)):
            began = time.perf_counter()
            file.write(b"x" * COMMIT_BYTES)
            os.fdatasync(file.fileno())
            flushes.append(time.perf_counter() - began)
            time.sleep(1 / OFFERED)
    print(f"  flush              {len(flushes):7d} of 40 kB, {latencies(Load(seconds, flushes, 0))}")


def compare_anki(folder: Path, cards: int) -> None:
    command = [sys.executable, "-m", "bench.reviewing.anki_package", str(folder / "anki.anki2"), str(cards)]
    taken = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    first, rest = taken[0] * 1000, Load(sum(taken), taken[1:], 0)
    print(f"Anki get + answer    in its own process: first {first:.0f} ms, then {latencies(rest)}")


def latencies(done: Load) -> str:
    p50, p95, p99 = (done.percentile(share) * 1000 for share in (0.5, 0.95, 0.99))
    return f"p50 {p50:.1f} p95 {p95:.1f} p99 {p99:.1f} max {max(done.latencies) * 1000:.0f} ms"


def grades(collection: Path) -> list[dict[str, Any]]:
    """One first grade for each card of the collection, shuffled."""
    today = study_day.date_of(study_day.study_day(datetime.now(UTC), UTC))
    engine, chance = db.open_engine(collection), random.Random(2)
    with db.reading(engine) as session:
        rows = db.cursor(session).execute("SELECT user_id, card_id, basis_event_id FROM memory").fetchall()
    engine.dispose()
    chance.shuffle(rows)
    return [
        {
            "user": user,
            "token": tokens.mint(SECRET, user, card, basis, today),
            "rating": chance.choices((1, 2, 3, 4), (8, 10, 72, 10))[0],
            "duration_ms": 6_000,
        }
        for user, card, basis in rows
    ]


@contextmanager
def serving(kind: str, collection: Path, *, verify: bool = False) -> Iterator[int]:
    """A server of its own process on a copy of the collection; yields its port."""
    database, port = collection.with_name(f"{kind}.sqlite"), free_port()
    shutil.copyfile(collection, database)
    os.sync()  # or the disk writes the copy while grades wait for theirs
    command = [sys.executable, "-m", "bench.reviewing.server", "--kind", kind, "--database", str(database)]
    server = subprocess.Popen([*command, "--port", str(port)])
    try:
        wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=30)
    if verify:
        report(database)
    for file in database.parent.glob(f"{kind}.sqlite*"):
        file.unlink()


def report(database: Path) -> None:
    engine = db.open_engine(database)
    with db.reading(engine) as session:
        checkup = doctor.examine(session)
    engine.dispose()
    print(f"doctor               {checkup.reviews:,} reviews folded, {len(checkup.problems)} problems")
    if checkup.problems:
        raise SystemExit(checkup.problems[0])


def wait_for(port: int, limit_seconds: float = 30.0) -> None:
    began = time.monotonic()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() - began > limit_seconds:
                raise
            time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
