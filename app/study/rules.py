"""The terms that answers are scheduled under, read once for a whole batch of grades."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Engine

from app import db
from app.study import actions, grading, terms
from app.study.grading import Rules
from app.study.schedule import SchedulerParameters
from app.viewer import Viewer

_SETTINGS = """
SELECT json_group_array(json_array(user_id, parameters_id, time_zone, rollover_hour, interview_day - 1))
FROM study_setting WHERE user_id IN (SELECT value FROM json_each(?))
"""
_PARAMETERS = """
SELECT version, weights, desired_retention, learning_steps_seconds, relearning_steps_seconds,
       maximum_interval_days, fuzz
FROM scheduler_parameters WHERE id = ?
"""


class RulesBook:
    """Only the parameters are kept between batches, because their rows never change; settings are read each time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._parameters: dict[int, SchedulerParameters] = {}

    def of(self, cursor: Any, viewers: Collection[Viewer]) -> dict[int, Rules]:
        """By user id. Call it outside a transaction: a learner without settings gets the defaults stored first."""
        stored = self._stored(cursor, viewers)
        missing = [viewer for viewer in viewers if viewer.id not in stored]
        if missing:
            with db.writing(self._engine) as session:
                for viewer in missing:
                    actions.ensure_setting(session, viewer)
            stored = self._stored(cursor, viewers)
        return {viewer.id: self._rules(cursor, viewer, stored[viewer.id]) for viewer in viewers}

    def _stored(self, cursor: Any, viewers: Collection[Viewer]) -> dict[int, list[Any]]:
        ids = json.dumps(sorted({viewer.id for viewer in viewers}))
        return {row[0]: row[1:] for row in json.loads(cursor.execute(_SETTINGS, (ids,)).fetchone()[0])}

    def _rules(self, cursor: Any, viewer: Viewer, row: list[Any]) -> Rules:
        parameters_id, time_zone, rollover_hour, not_after_day = row
        if parameters_id not in self._parameters:
            stored = cursor.execute(_PARAMETERS, (parameters_id,)).fetchone()
            self._parameters[parameters_id] = grading.parameters_from(*stored)
        parameters = self._parameters[parameters_id]
        return Rules(parameters_id, parameters, terms.zone(time_zone or viewer.time_zone), rollover_hour, not_after_day)
