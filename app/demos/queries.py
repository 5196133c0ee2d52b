"""Reads: the catalogue, stored pictures, and the viewer's own predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.demos import tables
from app.demos.parameters import Parameters, rebuild
from app.demos.result import Result, parse
from app.demos.teaching import Preset, Teaching
from app.errors import NotFound
from app.viewer import Viewer


@dataclass(frozen=True)
class Described:
    """A demo as the web process knows it; ``knobs`` is rebuilt from the schema."""

    slug: str
    topic: str
    title: str
    explanation_html: str
    source_note: str
    source_html: str
    schema: dict[str, Any]
    teaching: Teaching
    version: str
    knobs: type[Parameters]

    def preset(self, slug: str | None) -> Preset:
        """The default preset for None. Raises NotFound."""
        if slug is None:
            return self.teaching.presets[0]
        found = self.teaching.preset(slug)
        if found is None:
            names = ", ".join(preset.slug for preset in self.teaching.presets)
            raise NotFound(f"“{self.title}” has no preset “{slug[:80]}”. It has: {names}.")
        return found

    def defaults(self) -> dict[str, Any]:
        return self.knobs().model_dump()


def demo(session: Session, slug: str) -> Described:
    """One query. Raises NotFound."""
    row = session.get(tables.Demo, slug)
    if row is None:
        raise NotFound(f"There is no demo called “{slug[:80]}”. The list is at /demos.")
    return _described(row)


def demos(session: Session) -> list[Described]:
    rows = session.scalars(select(tables.Demo).order_by(tables.Demo.position, tables.Demo.slug))
    return [_described(row) for row in rows]


def _described(row: tables.Demo) -> Described:
    known = _cache.get((row.slug, row.version))
    if known is None:
        known = _cache[(row.slug, row.version)] = Described(
            row.slug,
            row.topic,
            row.title,
            row.explanation_html,
            row.source_note,
            row.source_html,
            row.schema,
            Teaching.model_validate(row.teaching),
            row.version,
            rebuild(row.schema),
        )
    return known


_cache: dict[tuple[str, str], Described] = {}


def stored_result(session: Session, slug: str, preset: str) -> Result | None:
    row = session.get(tables.StoredRun, (slug, preset))
    if row is None:
        return None
    key = (slug, preset, row.version)
    if key not in _results:
        _results[key] = parse(row.result)
    return _results[key]


_results: dict[tuple[str, str, str], Result] = {}


def stored_versions(session: Session, slug: str) -> Sequence[str]:
    """What tells one set of stored runs of a demo from the next."""
    mine = select(tables.StoredRun.version).where(tables.StoredRun.demo_slug == slug)
    return session.scalars(mine.order_by(tables.StoredRun.preset)).all()


def presets_known(session: Session) -> dict[str, frozenset[str]]:
    """Slug to its presets' slugs, for checking what cards name."""
    return {one.slug: frozenset(preset.slug for preset in one.teaching.presets) for one in demos(session)}


def prediction_by_token(session: Session, viewer: Viewer, token: bytes) -> tables.Prediction | None:
    return session.scalar(
        select(tables.Prediction)
        .where(tables.Prediction.token == token, tables.Prediction.user_id == viewer.id)
        .execution_options(populate_existing=True)
    )


def prediction(session: Session, viewer: Viewer, prediction_id: int) -> tables.Prediction:
    """Raises NotFound for somebody else's."""
    found = session.scalar(
        select(tables.Prediction)
        .where(tables.Prediction.id == prediction_id, tables.Prediction.user_id == viewer.id)
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound("There is no such prediction of yours.")
    return found


def predictions_made(session: Session, viewer: Viewer, slug: str, preset: str) -> int:
    """How often the viewer predicted this preset on the demo's own page."""
    count = select(func.count()).where(
        tables.Prediction.user_id == viewer.id,
        tables.Prediction.demo == slug,
        tables.Prediction.preset == preset,
        tables.Prediction.card_id.is_(None),
        tables.Prediction.result.is_not(None),
    )
    return session.scalar(count) or 0


def latest_predictions(session: Session, viewer: Viewer) -> Sequence[tables.Prediction]:
    """The last one of each demo, for the gallery's hollow circles."""
    newest = (
        select(func.max(tables.Prediction.id))
        .where(tables.Prediction.user_id == viewer.id, tables.Prediction.result.is_not(None))
        .group_by(tables.Prediction.demo)
    )
    return session.scalars(select(tables.Prediction).where(tables.Prediction.id.in_(newest))).all()
