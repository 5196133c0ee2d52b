"""The lists of a study day: open steps, due reviews from the weakest on, new cards in their order.

What is kept between requests is only for speed and holds exactly as long as it would be found again: reviews that are
due today and new cards only become fewer by answers, which are read from the log; anything else looks them up anew.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.study import queue
from app.study.queue import Left, QueueCard, Today
from app.study.tables import STEPS

BACKLOG = 1000
SPARE_NEW = 20
CARDS_A_NOTE = 8
COUNT_LIMIT = 1000
"""New cards of a topic are counted up to here."""
VIEWERS_KEPT = 1000
NEVER = 2**62
"""An event after all others."""
FAR_FUTURE_DAY = 1_000_000
PLACES_A_NOTE = 1000

# CROSS JOIN: the order of the tables is ours, because the planner cannot know that a learner's lists are short.
MARKED = "LEFT JOIN card_mark AS mark ON mark.user_id = :user AND mark.card_id = card.id"
MAY_BE_SHOWN = """card.archived_at IS NULL AND NOT coalesce(mark.suspended, FALSE) AND mark.buried_day IS NOT :today
AND (:topic IS NULL OR card.note_id IN (SELECT id FROM note WHERE topic = :topic))
AND NOT EXISTS (SELECT 1 FROM card AS sibling
    CROSS JOIN memory AS seen ON seen.user_id = :user AND seen.card_id = sibling.id
    WHERE sibling.note_id = card.note_id AND sibling.id <> card.id AND seen.last_day = :today)"""
CARDS = f"CROSS JOIN card ON card.id = some.card_id {MARKED} WHERE {MAY_BE_SHOWN}"
_STEPS = f"SELECT card_id, due_day, due_at_ms FROM memory WHERE user_id = :user AND {STEPS} AND due_day <= :today"
_DUE = """SELECT card_id, last_day, stability FROM memory INDEXED BY ix_memory_reviews
WHERE user_id = :user AND phase = 'review' AND due_day <= :due_until AND last_day IS NOT :today
ORDER BY due_day LIMIT :backlog"""
_UNDONE = "SELECT card_id FROM memory WHERE user_id = :user AND phase = 'new'"
PLACE = f"note.position * {PLACES_A_NOTE} + card.position"
_WEAK = f"SELECT json_group_array(json_array(card.id, card.note_id, last_day, stability)) FROM ({_DUE}) AS some {CARDS}"
_NOW = f"""
SELECT json_array(
  (SELECT version FROM deck_stamp WHERE id = 1),
  (SELECT json_group_array(json_array(review.id, review.kind, review.study_day, card.note_id))
   FROM review CROSS JOIN card ON card.id = review.card_id WHERE review.user_id = :user AND review.id > :last_id),
  (SELECT json_group_array(json_array(card.id, card.note_id, due_day, due_at_ms)) FROM ({_STEPS}) AS some {CARDS}))
"""
_FRESH = f"""
SELECT json_array(
  (SELECT json_group_array(json_array(card.id, note.id, {PLACE}))
   FROM ({_UNDONE}) AS some CROSS JOIN card ON card.id = some.card_id
   CROSS JOIN note ON note.id = card.note_id {MARKED} WHERE {MAY_BE_SHOWN}),
  (SELECT json_group_array(json_array(card_id, note_id, place)) FROM (
   SELECT card.id AS card_id, card.note_id, {PLACE} AS place
   FROM note INDEXED BY ix_note_position CROSS JOIN card ON card.note_id = note.id
   LEFT JOIN memory ON memory.user_id = :user AND memory.card_id = card.id {MARKED}
   WHERE note.position >= :frontier AND memory.card_id IS NULL AND {MAY_BE_SHOWN}
   ORDER BY note.position, card.position LIMIT :fresh)))
"""
_FRONTIER = """
SELECT note.position FROM note INDEXED BY ix_note_position CROSS JOIN card ON card.note_id = note.id
LEFT JOIN memory ON memory.user_id = :user AND memory.card_id = card.id
WHERE note.position >= :frontier AND card.archived_at IS NULL AND memory.card_id IS NULL
ORDER BY note.position LIMIT 1
"""
_LAST = "SELECT id, kind, card_id, study_day FROM review WHERE user_id = ? ORDER BY id DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class DayLists:
    """The first card of each list in the order of `queue.build`, how many notes each has, and what waits.

    ``undone``: the card whose answer was just taken back today.
    """

    step: QueueCard | None
    review: QueueCard | None
    fresh: QueueCard | None
    left: Left
    next_at_ms: int | None
    undone: int | None


@dataclass(slots=True)
class _Kept:
    """``stamp``: the deck's version. ``reviews``: note → its weakest due card, the weakest first.

    ``new``: (card, note, place) of new cards, ``is_all`` when there are no others. ``undone``: the card whose answer
    the last event took back today.
    """

    stamp: int | None = None
    frontier: int = 0
    day: tuple[int, int] | None = None
    last_id: int = 0
    reviews: dict[int, QueueCard] = field(default_factory=dict)
    new: list[list[int]] = field(default_factory=list)
    is_all: bool = False
    undone: int | None = None

    def take_out(self, note_id: int) -> None:
        """A note that was answered is left alone for the rest of the day."""
        self.reviews.pop(note_id, None)
        self.new = [row for row in self.new if row[1] != note_id]


@dataclass(slots=True)
class Frontiers:
    """For each viewer, the place before which every card of the deck was introduced, and the day's lists.

    Kept by the web process for speed alone; without it they are looked up from the beginning.
    """

    _kept: OrderedDict[int, _Kept] = field(default_factory=OrderedDict)

    def of(self, user_id: int) -> _Kept:
        kept = self._kept.setdefault(user_id, _Kept())
        self._kept.move_to_end(user_id)
        if len(self._kept) > VIEWERS_KEPT:
            self._kept.popitem(last=False)
        return kept


def find(cursor: Any, values: Mapping[str, Any], today: Today, frontiers: Frontiers | None) -> DayLists:
    kept = frontiers.of(values["user"]) if frontiers and today.topic is None else _Kept()
    last_id = kept.last_id if kept.day else NEVER
    stamp, news, steps = json.loads(cursor.execute(_NOW, {**values, "last_id": last_id}).fetchone()[0])
    if kept.stamp != stamp or not _follow(news, values, today, kept):
        _read_reviews(cursor, values, today, kept, stamp)
    open_notes = {row[1] for row in steps}
    new = _new_cards(cursor, values, today, kept, open_notes)
    cards = [QueueCard(row[0], row[1], "", 0, "learning", due_day=row[2], due_at_ms=row[3]) for row in steps]
    waiting = [card.due_at_ms for card in cards if card.due_at_ms is not None and not queue.is_step_due(card, today)]
    closed = len(kept.reviews) - sum(note in kept.reviews for note in open_notes)
    return DayLists(
        step=min(cards, key=lambda card: (card.due_day or 0, card.due_at_ms or 0, card.card_id), default=None),
        review=next((card for note, card in kept.reviews.items() if note not in open_notes), None),
        fresh=new_card(min(new, key=lambda row: (row[2], row[0]))) if new else None,
        left=Left(len(open_notes), closed, min(len({row[1] for row in new}), max(today.new_left, 0))),
        next_at_ms=min(waiting, default=None),
        undone=kept.undone,
    )


def _follow(news: Sequence[Sequence[Any]], values: Mapping[str, Any], today: Today, kept: _Kept) -> bool:
    """Brings what is kept up to the log. False when it must be found anew: another day, an undo, or nothing kept."""
    if kept.day != (today.study_day, values["due_until"]):
        return False
    if any(kind == "undo" or day != today.study_day for _, kind, day, _ in news):
        return False
    for event_id, _, _, note_id in news:
        kept.take_out(note_id)
        kept.last_id, kept.undone = max(kept.last_id, event_id), None
    return True


def _read_reviews(cursor: Any, values: Mapping[str, Any], today: Today, kept: _Kept, stamp: int | None) -> None:
    """The due reviews, one a note. What is due beyond `BACKLOG` would come up later, so that is not kept."""
    if kept.stamp != stamp:
        kept.stamp, kept.frontier = stamp, 0
    event_id, kind, card_id, day = cursor.execute(_LAST, (values["user"],)).fetchone() or (0, "", None, None)
    kept.last_id, kept.undone = event_id, card_id if kind == "undo" and day == today.study_day else None
    rows = json.loads(cursor.execute(_WEAK, values).fetchone()[0])
    kept.day = (today.study_day, values["due_until"]) if len(rows) < BACKLOG else None
    kept.reviews, kept.new, kept.is_all = {}, [], False
    for card in weakest_first(rows, today.study_day):
        kept.reviews.setdefault(card.note_id, card)


def _new_cards(
    cursor: Any, values: Mapping[str, Any], today: Today, kept: _Kept, open_notes: Collection[int]
) -> list[list[int]]:
    """Asks for more than are allowed, since siblings of due ones drop out; again when that was too few."""

    def closed() -> list[list[int]]:
        return [row for row in kept.new if row[1] not in open_notes and row[1] not in kept.reviews]

    new = closed()
    for limit in (
        2 * today.new_left + SPARE_NEW,
        CARDS_A_NOTE * (today.new_left + len(open_notes) + len(kept.reviews)),
    ):
        if kept.is_all or (new and len({row[1] for row in new}) >= today.new_left):
            break
        _read_new(cursor, values, kept, limit)
        new = closed()
    return new


def _read_new(cursor: Any, values: Mapping[str, Any], kept: _Kept, limit: int) -> None:
    found = cursor.execute(_FRONTIER, {"user": values["user"], "frontier": kept.frontier}).fetchone()
    kept.frontier = found[0] if found else FAR_FUTURE_DAY * PLACES_A_NOTE
    asked = {**values, "frontier": kept.frontier, "fresh": limit}
    undone, fresh = json.loads(cursor.execute(_FRESH, asked).fetchone()[0])
    kept.new, kept.is_all = undone + fresh, len(fresh) < limit


def weakest_first(rows: Sequence[Sequence[Any]], day: int) -> list[QueueCard]:
    """Retrievability falls with elapsed days over stability, so the quotient alone gives the order."""
    rows = sorted(rows, key=lambda row: (-max(day - row[2], 0) / row[3], row[0]))
    return [QueueCard(row[0], row[1], "", 0, "review", last_day=row[2]) for row in rows]


def new_card(row: Sequence[Any]) -> QueueCard:
    return QueueCard(row[0], row[1], "", row[2])
