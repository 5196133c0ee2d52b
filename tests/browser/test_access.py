"""Every page in both schemes and two widths: no axe finding, no sideways scroll, no complaint of the policy."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Server, Window

pytestmark = pytest.mark.browser

PAGES = (
    "/",
    "/study",
    "/deck",
    "/deck/dropout",
    "/deck?q=soft",
    "/demos",
    "/demos/dropout-lab",
    "/demos/dropout-lab?play=1",
    "/demos/grad-clip?play=1",
    "/demos/attention-by-hand?play=1",
    "/demos/softmax-lab?play=1",
    "/drafts",
    "/operator",
    "/nowhere",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_and_fits(shared: Server, browser: Browser, path: str, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, reduced_motion="reduce", viewport={"width": 1280, "height": 900})
    window = Window(context)
    window.page.goto(f"{shared.address}{path}")
    assert _findings(window.page) == []
    for width in (1280, 390, 320):
        window.page.set_viewport_size({"width": width, "height": 844})
        assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} at {width}"
    assert window.complaints == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_answer_and_the_comparison_are_accessible(shared: Server, browser: Browser, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, reduced_motion="reduce")
    window = Window(context)
    page = window.page
    page.goto(f"{shared.address}/study")
    page.keyboard.press("Space")
    page.locator(".grades").wait_for()
    assert _findings(page) == []
    assert window.complaints == []
    context.close()


def _findings(page: Page) -> list[str]:
    found = Axe().run(
        page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    )
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:160]}" for one in found.response["violations"]]
