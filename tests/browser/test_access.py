"""Every page and state in both schemes and both widths: no axe finding, no sideways scroll, one h1, sizes to hit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Server, Window
from tests.browser.test_journey import say_something

pytestmark = pytest.mark.browser

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
ONCE = {"exclude": ["svg > *", "pre span", "figure details tr:nth-child(n + 3)"]}
"""A picture is one image with a text alternative; its colours and those of code are tested by themselves."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PAGES = (
    "/",
    "/study",
    "/deck",
    "/deck/softmax",
    "/deck?q=soft",
    "/demos",
    "/demos/dropout-lab",
    "/demos/dropout-lab?play=1",
    "/demos/attention-by-hand?play=1",
    "/demos/backprop-by-hand?play=1",
    "/demos/softmax-lab?play=1",
    "/drafts",
    "/operator",
    "/nowhere",
)
NOTES = """# What does momentum do?

It keeps a running sum of gradients.

```python
velocity = 0.9 * velocity + gradient  # a line that is much longer than any phone is wide, so that it has to scroll
```

| rule | update |
|---|---|
| momentum | $v \\leftarrow \\mu v + g$ |

# And Nesterov?

It looks ahead.
"""
SETTLED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
SMALL_TARGETS = """one => [...document.querySelectorAll(
  'button, select, summary, input:not([type=hidden]):not([type=range]), nav a, a.button')]
  .filter(each => each.offsetParent !== null && !each.closest('label') && !each.matches('.skip'))
  .filter(each => { const box = each.getBoundingClientRect(); return box.width < 24 || box.height < 24; })
  .map(each => each.outerHTML.slice(0, 120))"""


@pytest.fixture
def window(browser: Browser) -> Iterator[Window]:
    context = browser.new_context(reduced_motion="reduce", viewport={"width": 1280, "height": 900})
    made = Window(context)
    yield made
    context.close()
    assert made.complaints == []


def check(page: Page, where: str) -> None:
    """In both schemes at 1280 and 390 px axe finds nothing; down to 320 px nothing scrolls sideways."""
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.locator("html").evaluate(SETTLED)
            assert _findings(page) == [], f"{where} at {width}, {scheme}"
        assert page.locator("main").evaluate(SMALL_TARGETS) == [], f"{where} at {width}"
        assert _overhang(page) <= 0, f"{where} at {width}"
    page.set_viewport_size({"width": 320, "height": 640})
    assert _overhang(page) <= 0, f"{where} at 320"
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(page.locator("h1")).to_have_count(1)


def _overhang(page: Page) -> int:
    found: int = page.locator("html").evaluate("one => one.scrollWidth - innerWidth")
    return found


def _findings(page: Page) -> list[str]:
    found = Axe().run(page, context=ONCE, options=RULES)
    return [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:160]} {one['nodes'][0].get('failureSummary', '')[:200]}"
        for one in found.response["violations"]
    ]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_and_fits(shared: Server, window: Window, path: str) -> None:
    window.page.goto(f"{shared.address}{path}")
    check(window.page, path)


def test_the_states_of_a_session_are_accessible(server: Server, window: Window) -> None:
    """Question, dialog, prediction and measurement, answer, refusal, today with a surprise, end."""
    server.settings(new_cards="2", keys_on="on", interview="2099-01-01", minutes="30")
    page = window.page
    page.goto(f"{server.address}/study")
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    check(page, "help")
    page.keyboard.press("Escape")
    say_something(page)
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".settled")).to_be_visible()
    for summary in page.locator("main summary").all():
        summary.click()
    check(page, "settled")
    page.keyboard.press("4")
    expect(page.locator(".grades")).to_have_count(0)
    page.goto(server.address)
    check(page, "today after an answer")
    page.goto(f"{server.address}/study")
    page.keyboard.press("Space")
    expect(page.locator(".grades")).to_be_visible()
    check(page, "answer")
    page.keyboard.press("4")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Done for now")
    check(page, "end")


def test_the_states_of_a_demo_are_accessible(server: Server, window: Window) -> None:
    """Prediction and measurement, a challenge given up and tried, every disclosure open, a refused knob."""
    page = window.page
    page.goto(f"{server.address}/demos/dropout-lab?preset=survivor")
    page.locator("#prediction").fill("1.4")
    page.keyboard.press("Enter")
    expect(page.locator(".settled")).to_be_visible()
    page.get_by_role("button", name="It cannot be done").first.click()
    expect(page.locator(".challenge .notice").first).not_to_be_empty()
    page.get_by_role("button", name="Try these knobs").last.click()
    expect(page.locator(".challenge .notice").last).not_to_be_empty()
    for summary in page.locator("main summary").all():
        summary.click()
    check(page, "demo with everything open")
    page.goto(f"{server.address}/demos/dropout-lab?p=7&play=1")
    check(page, "refused knob")


def test_drafts_with_content_are_accessible(calm: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{calm.address}/drafts")
    page.locator("input[type=file]").set_input_files(
        {"name": "notes.md", "mimeType": "text/markdown", "buffer": NOTES.encode()}
    )
    page.get_by_role("button", name="Import").click()
    expect(page.locator(".draft-list a")).to_have_count(2)
    check(page, "drafts")


def test_nothing_moves_under_reduced_motion(shared: Server, window: Window) -> None:
    window.page.goto(f"{shared.address}/demos")
    durations = window.page.locator("body *").evaluate_all(
        "all => [...new Set(all.flatMap(one => getComputedStyle(one).transitionDuration.split(', ')))]"
    )
    assert durations == ["0s"]
