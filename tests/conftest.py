"""The order of the whole suite, and what a unit test is."""

from __future__ import annotations

import pytest

SLOW = ("browser", "crash", "demos", "terminal")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright keeps an event loop running on the main thread until the session ends, and
    an asynchronous test could not start its own beside it."""
    items.sort(key=lambda item: "tests/browser/" in item.path.as_posix())
    for item in items:
        if not any(item.get_closest_marker(name) for name in SLOW):
            item.add_marker("unit")
