"""What is shown next and what is left: ordering, the limit of new cards, siblings, topics (pure).

    steps that are due → reviews, weakest first → new cards, in the order of topics and prerequisites
                       → steps that come due within the next minutes

`build` orders a whole list; `pick` decides between the first of each list, for callers that look up only those. Both
follow the same rule.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from app.study import schedule
from app.study.schedule import CardId, Phase

Kind = Literal["learning", "review", "new"]
NoteKey = Hashable

LEARN_AHEAD_MS = 20 * 60 * 1000
"""A step due within this time is shown early when nothing else is left."""


@dataclass(frozen=True, slots=True)
class NewNote:
    """A note to be placed. ``place`` sorts notes that no prerequisite orders: (topic, difficulty, position)."""

    key: NoteKey
    place: tuple[int, ...]
    prerequisites: Collection[NoteKey] = ()


@dataclass(frozen=True, slots=True)
class QueueCard:
    """``position`` orders new cards; ``retrievability`` is today's, None while new; cards of a note are siblings."""

    card_id: CardId
    note_id: int
    topic: str
    position: int
    phase: Phase = "new"
    due_day: int | None = None
    due_at_ms: int | None = None
    last_day: int | None = None
    retrievability: float | None = None
    is_suspended: bool = False
    buried_day: int | None = None


@dataclass(frozen=True, slots=True)
class Today:
    """``new_left``: new cards still allowed. ``seen``: note → the card of it that was answered this study day.

    ``not_after_day``: the last day before an interview; on it every card that was not seen that day is due, also one
    that was put later before the date was known.
    With a ``topic`` only its cards are shown, the limit of new cards is lifted, and cards that are not due yet follow
    last. Days that really passed are what counts, so a card recalled early never comes back sooner for it.
    """

    study_day: int
    now_ms: int
    new_left: int
    seen: Mapping[int, CardId] = field(default_factory=dict)
    topic: str | None = None
    not_after_day: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """``is_early``: a step before its moment, or a review before its day."""

    card: QueueCard
    kind: Kind
    is_early: bool = False


@dataclass(frozen=True, slots=True)
class Left:
    """What today still holds; cards that are shown early do not count, steps that wait do."""

    learning: int
    review: int
    new: int

    @property
    def total(self) -> int:
        return self.learning + self.review + self.new


@dataclass(frozen=True, slots=True)
class Queue:
    """``next_at_ms``: when the first waiting step comes due; None when none waits."""

    order: tuple[Choice, ...]
    left: Left
    next_at_ms: int | None


def new_order(notes: Iterable[NewNote]) -> tuple[NoteKey, ...]:
    """Each note after its prerequisites, otherwise by place. A prerequisite that is not among them orders nothing.

    Notes that require one another in a circle are taken by place where nothing else can be.
    """
    by_key = {note.key: note for note in notes}
    waits_for = {
        note.key: {key for key in note.prerequisites if key in by_key} - {note.key} for note in by_key.values()
    }
    followers: dict[NoteKey, list[NoteKey]] = {key: [] for key in by_key}
    for key, required in waits_for.items():
        for prerequisite in required:
            followers[prerequisite].append(key)
    # (place, tie, key): the tie keeps keys, which may not be comparable, out of comparisons
    places = {key: (note.place, tie, key) for tie, (key, note) in enumerate(by_key.items())}
    ready = [places[key] for key, required in waits_for.items() if not required]
    heapq.heapify(ready)
    waiting = sorted((entry for key, entry in places.items() if waits_for[key]), reverse=True)
    return _drain(ready, waiting, waits_for, followers, places)


def may_be_shown(card: QueueCard, today: Today) -> bool:
    """Not suspended, not buried today, of the topic, and no sibling was answered this study day."""
    return (
        not card.is_suspended
        and card.buried_day != today.study_day
        and today.topic in (None, card.topic)
        and today.seen.get(card.note_id, card.card_id) == card.card_id
    )


def is_step_due(card: QueueCard, today: Today) -> bool:
    """A step is due at its moment, and at once when the study day it belongs to is over."""
    if card.due_day is None or card.due_day > today.study_day:
        return False
    return card.due_at_ms is None or card.due_day < today.study_day or card.due_at_ms <= today.now_ms


def is_review_due(card: QueueCard, today: Today) -> bool:
    """A review is never shown twice on a study day, even where an interview date keeps it due on that day."""
    if card.due_day is None or card.last_day == today.study_day:
        return False
    return schedule.capped_due_day(card.due_day, today.study_day, today.not_after_day) <= today.study_day


def build(cards: Iterable[QueueCard], today: Today) -> Queue:
    """Everything that can be shown now, in order. Of siblings only the one that comes first."""
    shown = [card for card in cards if may_be_shown(card, today)]
    taken: set[int] = set()
    steps = _one_a_note(sorted((card for card in shown if _is_step(card, today)), key=_step_key), taken)
    reviews = _one_a_note(sorted((card for card in shown if _is_due_review(card, today)), key=_review_key), taken)
    fresh = _one_a_note(sorted((card for card in shown if card.phase == "new"), key=_new_key), taken)
    allowed = fresh if today.topic is not None else fresh[: max(today.new_left, 0)]
    waiting = [card for card in steps if not is_step_due(card, today)]
    order = [Choice(card, "learning") for card in steps if is_step_due(card, today)]
    order += [Choice(card, "review") for card in reviews] + [Choice(card, "new") for card in allowed]
    order += [Choice(card, "learning", True) for card in waiting if _is_soon(card, today)]
    if today.topic is not None:
        early = sorted((card for card in shown if _is_early_review(card, today)), key=_review_key)
        order += [Choice(card, "review", True) for card in _one_a_note(early, taken)]
    next_at_ms = min((card.due_at_ms for card in waiting if card.due_at_ms is not None), default=None)
    return Queue(tuple(order), Left(len(steps), len(reviews), len(allowed)), next_at_ms)


def pick(
    learning: QueueCard | None,
    review: QueueCard | None,
    new: QueueCard | None,
    today: Today,
    early: QueueCard | None = None,
) -> Choice | None:
    """The choice between the heads of the lists; each may be shown today.

    ``learning`` is the step that comes due first, ``review`` the weakest that is due, ``new`` the first new card,
    ``early`` the weakest of a topic that is not due. The limit of new cards is applied here.
    """
    if learning is not None and is_step_due(learning, today):
        return Choice(learning, "learning")
    if review is not None:
        return Choice(review, "review")
    if new is not None and (today.new_left > 0 or today.topic is not None):
        return Choice(new, "new")
    if learning is not None and _is_soon(learning, today):
        return Choice(learning, "learning", True)
    return Choice(early, "review", True) if early is not None and today.topic is not None else None


def _drain(
    ready: list[tuple[tuple[int, ...], int, NoteKey]],
    waiting: list[tuple[tuple[int, ...], int, NoteKey]],
    waits_for: dict[NoteKey, set[NoteKey]],
    followers: dict[NoteKey, list[NoteKey]],
    places: dict[NoteKey, tuple[tuple[int, ...], int, NoteKey]],
) -> tuple[NoteKey, ...]:
    """``waiting`` is sorted backwards: its last is broken out of a circle when nothing is ready."""
    placed: dict[NoteKey, None] = {}
    while ready or waiting:
        key = heapq.heappop(ready)[2] if ready else waiting.pop()[2]
        if key in placed:
            continue
        placed[key] = None
        for follower in followers[key]:
            waits_for[follower].discard(key)
            if not waits_for[follower] and follower not in placed:
                heapq.heappush(ready, places[follower])
    return tuple(placed)


def _one_a_note(cards: Sequence[QueueCard], taken: set[int]) -> list[QueueCard]:
    """The first card of each note that is not in ``taken``, which grows by them."""
    first = []
    for card in cards:
        if card.note_id not in taken:
            taken.add(card.note_id)
            first.append(card)
    return first


def _is_step(card: QueueCard, today: Today) -> bool:
    return card.phase in ("learning", "relearning") and card.due_day is not None and card.due_day <= today.study_day


def _is_due_review(card: QueueCard, today: Today) -> bool:
    return card.phase == "review" and is_review_due(card, today)


def _is_early_review(card: QueueCard, today: Today) -> bool:
    return card.phase == "review" and card.last_day != today.study_day and not is_review_due(card, today)


def _is_soon(card: QueueCard, today: Today) -> bool:
    return card.due_at_ms is not None and card.due_at_ms <= today.now_ms + LEARN_AHEAD_MS


def _step_key(card: QueueCard) -> tuple[int, int, CardId]:
    return card.due_day or 0, card.due_at_ms or 0, card.card_id


def _review_key(card: QueueCard) -> tuple[float, CardId]:
    return (1.0 if card.retrievability is None else card.retrievability), card.card_id


def _new_key(card: QueueCard) -> tuple[int, CardId]:
    return card.position, card.card_id
