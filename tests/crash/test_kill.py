"""Larger: ``python -m tests.crash.campaign --kills 60``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import campaign

pytestmark = pytest.mark.crash


def test_killing_the_server_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    outcome = campaign.run(tmp_path, kills=4, learners=12)
    assert outcome.answers > 4 * 12
    assert (outcome.lost, outcome.doubled, outcome.problems) == (0, 0, ())


def test_without_the_token_check_the_same_campaign_doubles_answers(tmp_path: Path) -> None:
    outcome = campaign.run(tmp_path, kills=2, learners=12, forgetful=True)
    assert outcome.doubled > 0
    assert outcome.lost == 0
