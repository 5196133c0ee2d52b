"""The whole way through a session, as a person goes it: by keyboard alone, by mouse, and without JavaScript."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Server, Window

pytestmark = pytest.mark.browser


def say_something(page: Page) -> None:
    """Fills in whatever kind of prediction stands on the page, and leaves it to the caller to send it."""
    expect(page.locator(".ask")).to_be_visible()
    number = page.locator("#prediction")
    if number.count():
        number.fill("1.4")
    elif page.locator("input[type=radio]").count():
        page.locator("input[type=radio]").first.check()


def test_a_newcomer_sees_a_first_measured_result_within_five_keys(server: Server, window: Window) -> None:
    page = window.page
    page.goto(server.address)
    page.keyboard.press("Enter")
    expect(page.locator("#prediction")).to_be_focused()
    for key in ("1", ".", "4"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.locator(".settled")).to_contain_text("you 1.4")
    expect(page.locator(".settled")).to_contain_text("measured")
    expect(page.locator(".answer")).to_be_visible()


def test_the_whole_journey_by_keyboard_alone(server: Server, window: Window) -> None:
    """Home, a prediction, its measurement, a grade, a second card, help, undo, the end page, home again."""
    server.settings(new_cards="2", keys_on="on")
    page = window.page
    page.goto(server.address)
    page.keyboard.press("Enter")
    expect(page.locator("#prediction")).to_be_focused()
    page.keyboard.type("1.4")
    page.keyboard.press("Enter")
    expect(page.locator(".settled")).to_contain_text("measured")
    first = page.locator(".question").inner_text()
    page.keyboard.press("4")
    expect(page.locator(".question")).not_to_have_text(first)
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_be_hidden()
    page.keyboard.press("u")
    expect(page.locator(".question")).to_have_text(first)
    expect(page.locator(".card .notice, #desk .notice").first).to_contain_text("Taken back")
    for _ in range(2):
        page.keyboard.press("Space")
        expect(page.locator(".grades")).to_be_visible()
        page.keyboard.press("4")
        expect(page.locator(".grades")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Done for now: 2 answers on 2 cards")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{server.address}/")
    expect(page.locator(".year output")).to_contain_text("2 answers in")


def test_every_control_of_the_answer_is_reached_by_tab(calm: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{calm.address}/study")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    expect(page.locator(".grades")).to_be_visible()
    again = page.locator("button.grade-1")
    for _ in range(60):
        if again.evaluate("one => one === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(again).to_be_focused()
    assert again.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"


def test_the_whole_journey_by_mouse(server: Server, window: Window) -> None:
    """Prediction, tick, grade, undo, the deck's search, a card, its demo, a knob, the gallery."""
    page = window.page
    page.goto(server.address)
    page.get_by_role("link", name="Start").click()
    say_something(page)
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".settled")).to_be_visible()
    page.locator("input[name=tick]").first.check()
    page.locator("button.grade-3").click()
    expect(page.locator(".grades")).to_have_count(0)
    page.get_by_role("button", name=re.compile("Undo")).click()
    expect(page.locator("#desk")).to_contain_text("Taken back")
    page.get_by_role("link", name="Deck").click()
    page.get_by_role("searchbox").fill("softm")
    expect(page.locator("#found mark").first).to_be_visible()
    page.locator("#found a").first.click()
    page.get_by_text("Show the answer").click()
    expect(page.locator(".cover p").first).to_be_visible()
    page.get_by_role("link", name="Run the demo").click()
    page.get_by_role("button", name="Show me").click()
    expect(page.locator(".claims")).to_be_visible()
    page.get_by_role("link", name="Demos").first.click()
    expect(page.locator(".tile").first).to_be_visible()


def test_a_first_answer_needs_no_scrolling(calm: Server, shared: Server, window: Window) -> None:
    for address in (calm.address, shared.address):
        window.page.goto(f"{address}/study")
        expect(window.page.locator(".primary").first).to_be_in_viewport(ratio=1)


def test_without_javascript_a_card_is_predicted_and_graded(server: Server, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{server.address}/study")
    first = page.locator(".question").inner_text()
    say_something(page)
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".settled")).to_contain_text("measured")
    page.locator("button.grade-3").click()
    expect(page.locator(".question")).not_to_have_text(first)
    page.get_by_role("button", name=re.compile("Undo")).click()
    expect(page.locator(".question")).to_have_text(first)
    page.goto(f"{server.address}/demos/dropout-lab?play=1")
    page.locator("#knob-p").fill("0.5")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".summary")).to_contain_text("0.5")
    page.goto(f"{server.address}/deck?q=softm")
    expect(page.locator("#found mark").first).to_be_visible()
    context.close()
