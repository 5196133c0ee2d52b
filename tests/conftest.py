"""The order of the whole suite."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright keeps an event loop running on the main thread until the session ends, and
    an asynchronous test could not start its own beside it."""
    items.sort(key=lambda item: "tests/browser/" in item.path.as_posix())
