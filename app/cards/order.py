"""In which order cards are learned: topic by topic, prerequisites first (pure)."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.cards.model import TOPICS

_TOPIC_RANK = {topic: rank for rank, topic in enumerate(TOPICS)}


@dataclass(frozen=True, slots=True)
class Concept:
    slug: str
    topic: str
    difficulty: int
    prerequisites: tuple[str, ...]


def positions(concepts: Iterable[Concept]) -> dict[str, int]:
    """A place from 0 for each slug: every prerequisite before what needs it, else by topic, difficulty and slug.

    Prerequisites that are not among the concepts order nothing; those on a circle are taken as they come.
    """
    listed = list(concepts)
    rank = {
        concept.slug: (_TOPIC_RANK.get(concept.topic, len(TOPICS)), concept.difficulty, concept.slug)
        for concept in listed
    }
    needs = {concept.slug: {p for p in concept.prerequisites if p in rank and p != concept.slug} for concept in listed}
    order = _sorted(rank, needs)
    return {slug: place for place, slug in enumerate(order)}


def _sorted(rank: Mapping[str, tuple[int, int, str]], needs: dict[str, set[str]]) -> list[str]:
    allows: dict[str, list[str]] = defaultdict(list)
    for slug, wanted in needs.items():
        for needed in wanted:
            allows[needed].append(slug)
    waiting = {slug: len(wanted) for slug, wanted in needs.items()}
    ready = [rank[slug] for slug, count in waiting.items() if not count]
    heapq.heapify(ready)
    blocked = sorted((rank[slug] for slug, count in waiting.items() if count), reverse=True)
    order: list[str] = []
    placed: set[str] = set()
    while len(order) < len(rank):
        while not ready:
            candidate = blocked.pop()
            if candidate[2] not in placed:
                ready.append(candidate)
        slug = heapq.heappop(ready)[2]
        if slug in placed:
            continue
        order.append(slug)
        placed.add(slug)
        for following in allows[slug]:
            waiting[following] -= 1
            if not waiting[following] and following not in placed:
                heapq.heappush(ready, rank[following])
    return order
