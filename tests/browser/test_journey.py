"""The whole way through a card, as a person goes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Server, Window

pytestmark = pytest.mark.browser


def _first_number(page: Page) -> None:
    """Answers whatever kind of prediction stands on the page."""
    number = page.locator("#prediction")
    if number.count():
        number.fill("1.4")
    elif page.locator("input[type=radio]").count():
        page.locator("input[type=radio]").first.check()


def test_first_measured_result_within_five_keys(server: Server, window: Window) -> None:
    page = window.page
    page.goto(server.address)
    page.keyboard.press("Enter")
    expect(page.locator(".prompt")).to_be_visible()
    page.keyboard.type("1.4")
    page.keyboard.press("Enter")
    expect(page.locator(".settled")).to_contain_text("measured")


def test_a_card_by_keyboard_alone(server: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{server.address}/study")
    first = page.locator(".question").inner_text()
    page.keyboard.press("Space")
    expect(page.locator(".grades")).to_be_visible()
    page.keyboard.press("3")
    expect(page.locator(".grades")).to_have_count(0)
    expect(page.locator(".question")).not_to_have_text(first)
    page.keyboard.press("u")
    expect(page.locator(".question")).to_have_text(first)
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_be_hidden()


def test_a_card_by_mouse_with_prediction_ticks_and_grade(server: Server, window: Window) -> None:
    page = window.page
    page.goto(server.address)
    page.get_by_role("link", name="Start").click()
    _first_number(page)
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".settled")).to_be_visible()
    ticks = page.locator("input[name=tick]")
    if ticks.count():
        ticks.first.check()
    page.locator("button.grade-3").click()
    expect(page.locator(".grades")).to_have_count(0)
    page.get_by_role("button", name=re.compile("Undo")).click()
    expect(page.get_by_role("status")).to_contain_text(["Taken back"])


def test_undo_survives_a_kill_and_a_restart(server: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{server.address}/study")
    first = page.locator(".question").inner_text()
    page.keyboard.press("Space")
    page.keyboard.press("4")
    expect(page.locator(".question")).not_to_have_text(first)
    server.kill()
    server.start(pool=None)
    page.goto(f"{server.address}/study")
    page.keyboard.press("u")
    expect(page.locator(".question")).to_have_text(first)


def test_a_session_goes_on_after_the_server_was_killed(server: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{server.address}/study")
    page.keyboard.press("Space")
    expect(page.locator(".grades")).to_be_visible()
    server.kill()
    server.start(pool=None)
    before = page.locator(".question").inner_text()
    page.keyboard.press("3")
    expect(page.locator(".question")).not_to_have_text(before)


def test_two_tabs_grade_one_card_once(server: Server, window: Window) -> None:
    one, two = window.page, window.context.new_page()
    for tab in (one, two):
        tab.goto(f"{server.address}/study")
        tab.keyboard.press("Space")
        expect(tab.locator(".grades")).to_be_visible()
    one.keyboard.press("3")
    expect(one.locator(".grades")).to_have_count(0)
    two.keyboard.press("3")
    expect(two.locator(".grades")).to_have_count(0)
    one.goto(server.address)
    expect(one.locator(".year output")).to_contain_text("1 answer in")


def test_another_rating_in_the_second_tab_is_refused_with_the_stored_one(server: Server, window: Window) -> None:
    one, two = window.page, window.context.new_page()
    for tab in (one, two):
        tab.goto(f"{server.address}/study")
        tab.keyboard.press("Space")
        expect(tab.locator(".grades")).to_be_visible()
    one.keyboard.press("3")
    expect(one.locator(".grades")).to_have_count(0)
    two.keyboard.press("1")
    expect(two.get_by_role("alert")).to_contain_text("good")


def test_the_back_button_does_not_grade_twice(server: Server, window: Window) -> None:
    page = window.page
    page.goto(server.address)
    page.goto(f"{server.address}/study")
    page.keyboard.press("Space")
    page.keyboard.press("3")
    expect(page.locator(".grades")).to_have_count(0)
    page.go_back()
    page.go_forward()
    page.goto(server.address)
    expect(page.locator(".year output")).to_contain_text("1 answer in")


def test_without_javascript_a_card_is_predicted_and_graded(server: Server, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{server.address}/study")
    first = page.locator(".question").inner_text()
    _first_number(page)
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".settled")).to_contain_text("measured")
    page.locator("button.grade-3").click()
    expect(page.locator(".question")).not_to_have_text(first)
    page.get_by_role("button", name=re.compile("Undo")).click()
    expect(page.locator(".question")).to_have_text(first)
    page.goto(f"{server.address}/demos/dropout-lab?play=1")
    page.locator("#knob-p").fill("0.5")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".summary")).to_contain_text("0.5")
    context.close()


def test_with_the_pool_off_cards_are_studied_and_pictures_stored(tmp_path: Path, window: Window) -> None:
    server = Server(tmp_path, "--no-pool").start(pool="off")
    try:
        page = window.page
        page.goto(f"{server.address}/study")
        page.keyboard.press("Space")
        expect(page.locator(".grades")).to_be_visible()
        page.goto(f"{server.address}/demos/dropout-lab?play=1")
        expect(page.locator("#result .notice")).to_contain_text("stored picture")
        expect(page.locator("#result svg").first).to_be_visible()
    finally:
        server.stop()
