"""Our FSRS-6 beside three others on thousands of random histories of whole days: 1e-5 relative at most."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsrs
import fsrs_rs_python
import pytest
from anki.collection import Collection

from app.study import memory
from app.study.memory import DEFAULT_WEIGHTS, Rating, Weights

TOLERANCE = 1e-5
HISTORIES = 2000
History = list[tuple[Rating, int]]
"""(rating, whole days since the one before; 0 for the first)."""
Memory = tuple[float, float]

OTHER_WEIGHTS: Weights = (
    *(0.4, 0.9, 3.1, 12.5, 7.0, 0.5, 2.0, 0.02, 1.5, 0.12, 1.0),
    *(1.9, 0.11, 0.29, 2.2, 0.3, 2.6, 0.7, 0.35, 0.2, 0.35),
)
BOTH_WEIGHTS = pytest.mark.parametrize("weights", [DEFAULT_WEIGHTS, OTHER_WEIGHTS], ids=["default", "fitted"])


def random_histories(count: int, seed: int) -> list[History]:
    """Some reviews on the same day, most after a few days, some after a year."""
    draw = random.Random(seed)
    return [
        [(Rating(draw.randint(1, 4)), place and draw.choice((0, 0, 1, 2, 5, 13, 40, 365))) for place in range(length)]
        for length in (draw.randint(1, 12) for _ in range(count))
    ]


def ours(history: History, weights: Weights) -> Memory:
    first = history[0][0]
    stability, difficulty = memory.initial_stability(first, weights), memory.initial_difficulty(first, weights)
    for rating, elapsed_days in history[1:]:
        stability, difficulty = (
            memory.next_stability(difficulty, stability, elapsed_days, rating, weights),
            memory.next_difficulty(difficulty, rating, weights),
        )
    return stability, difficulty


def largest_difference(histories: list[History], theirs: Iterator[Memory] | list[Memory], weights: Weights) -> float:
    return max(
        abs(mine - other) / abs(other)
        for history, memories in zip(histories, theirs, strict=True)
        for mine, other in zip(ours(history, weights), memories, strict=True)
    )


@BOTH_WEIGHTS
def test_py_fsrs_given_whole_days_remembers_the_same(weights: Weights) -> None:
    scheduler = fsrs.Scheduler(parameters=weights, enable_fuzzing=False)

    def theirs(history: History) -> Memory:
        card, at = fsrs.Card(card_id=1), datetime(2026, 1, 1, 12, tzinfo=UTC)
        for rating, elapsed_days in history:
            at += timedelta(days=elapsed_days)
            card, _ = scheduler.review_card(card, fsrs.Rating(rating), at)
        assert card.stability is not None and card.difficulty is not None
        return min(card.stability, memory.STABILITY_HIGHEST), card.difficulty

    histories = random_histories(HISTORIES, seed=1)
    assert largest_difference(histories, [theirs(history) for history in histories], weights) <= TOLERANCE


@BOTH_WEIGHTS
def test_fsrs_rs_remembers_the_same(weights: Weights) -> None:
    model = fsrs_rs_python.FSRS(list(weights))
    histories = random_histories(HISTORIES, seed=2)
    items = [
        fsrs_rs_python.FSRSItem([fsrs_rs_python.FSRSReview(int(rating), days) for rating, days in history])
        for history in histories
    ]
    theirs = [(state.stability, state.difficulty) for state in model.memory_state_batch(items)]
    assert largest_difference(histories, theirs, weights) <= TOLERANCE


@BOTH_WEIGHTS
@pytest.mark.parametrize("desired_retention", [0.75, 0.9, 0.97])
def test_intervals_of_fsrs_rs_are_the_same(weights: Weights, desired_retention: float) -> None:
    model = fsrs_rs_python.FSRS(list(weights))
    for stability in (0.5, 3.3, 17.0, 400.0):
        theirs = model.next_interval(stability, desired_retention, 3)
        mine = memory.interval_days(stability, desired_retention, weights, 36_500)
        assert mine == pytest.approx(max(theirs, 1.0), rel=TOLERANCE)


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    opened = Collection(str(tmp_path / "oracle.anki2"))
    opened.set_config("fsrs", True)
    yield opened
    opened.close()


def add_card_with_history(collection: Collection, number: int, history: History, today_ms: int) -> None:
    basic = collection.models.by_name("Basic")
    assert basic is not None and collection.db is not None
    note = collection.new_note(basic)
    note["Front"], note["Back"] = f"question {number}", "answer"
    collection.add_note(note, collection.decks.get_current_id())
    card_id = note.card_ids()[0]
    days_ago = sum(days for _, days in history)
    for place, (rating, days) in enumerate(history):
        days_ago -= days
        at_ms = today_ms - days_ago * 86_400_000 + number * 50 + place
        kind = 0 if place == 0 else 1
        collection.db.execute(
            "insert into revlog (id, cid, usn, ease, ivl, lastIvl, factor, time, type) values (?,?,-1,?,1,1,0,1000,?)",
            *(at_ms, card_id, int(rating), kind),
        )
    collection.db.execute("update cards set type = 2, queue = 2, ivl = 1, reps = ? where id = ?", len(history), card_id)


@BOTH_WEIGHTS
def test_anki_remembers_the_same(collection: Collection, weights: Weights) -> None:
    deck_options = collection.decks.config_dict_for_deck_id(collection.decks.get_current_id())
    deck_options["fsrsParams6"] = list(weights)
    collection.decks.update_config(deck_options)
    histories = random_histories(400, seed=3)
    today_ms = (collection.sched.day_cutoff - 43_200) * 1000
    for number, history in enumerate(histories):
        add_card_with_history(collection, number, history, today_ms)
    states = [collection.compute_memory_state(card) for card in sorted(collection.find_cards(""))]
    theirs = [(state.stability or 0.0, state.difficulty or 0.0) for state in states]
    assert largest_difference(histories, theirs, weights) <= TOLERANCE
