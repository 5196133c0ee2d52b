"""Two tabs, the back button, a server that dies, a lab that is not there: nothing is lost and the page says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, Server, Window
from tests.browser.test_journey import say_something

pytestmark = pytest.mark.browser

HIDING = """
import pathlib, sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        is_hidden = fullname == "torch" and not pathlib.Path(__file__).with_name("torch-is-here").exists()
        return None if is_hidden else super().find_spec(fullname, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
"""
"""What a fresh clone's Python does before torch is installed, and after."""


def show_answer(page: Page, server: Server) -> str:
    page.goto(f"{server.address}/study")
    asked = page.locator(".question").inner_text()
    page.keyboard.press("Space")
    expect(page.locator(".grades")).to_be_visible()
    return asked


def test_undo_survives_a_kill_and_a_restart(calm: Server, window: Window) -> None:
    page = window.page
    first = show_answer(page, calm)
    page.keyboard.press("4")
    expect(page.locator(".question")).not_to_have_text(first)
    calm.kill()
    calm.start(pool=None)
    page.goto(f"{calm.address}/study")
    page.keyboard.press("u")
    expect(page.locator(".question")).to_have_text(first)


def test_while_the_server_is_down_the_page_says_so_and_the_same_key_works_afterwards(
    calm: Server, window: Window
) -> None:
    page = window.page
    before = show_answer(page, calm)
    calm.kill()
    page.keyboard.press("3")
    expect(page.get_by_role("alert")).to_contain_text("did not answer")
    expect(page.locator(".grades")).to_be_visible()
    calm.start(pool=None)
    page.keyboard.press("3")
    expect(page.locator(".question")).not_to_have_text(before)
    expect(page.get_by_role("alert")).to_have_count(0)
    page.goto(calm.address)
    expect(page.locator(".year output")).to_contain_text("1 answer in")


def test_a_key_pressed_twice_grades_once(calm: Server, window: Window) -> None:
    page = window.page
    show_answer(page, calm)
    page.locator("button.grade-3").dblclick()
    expect(page.locator(".grades")).to_have_count(0)
    page.goto(calm.address)
    expect(page.locator(".year output")).to_contain_text("1 answer in")


def test_two_tabs_grade_one_card_once(calm: Server, window: Window) -> None:
    one, two = window.page, window.context.new_page()
    for tab in (one, two):
        show_answer(tab, calm)
    for tab in (one, two):
        tab.keyboard.press("3")
        expect(tab.locator(".grades")).to_have_count(0)
    one.goto(calm.address)
    expect(one.locator(".year output")).to_contain_text("1 answer in")


def test_another_rating_in_the_second_tab_is_refused_with_the_stored_one(calm: Server, window: Window) -> None:
    one, two = window.page, window.context.new_page()
    for tab in (one, two):
        show_answer(tab, calm)
    one.keyboard.press("3")
    expect(one.locator(".grades")).to_have_count(0)
    two.keyboard.press("1")
    expect(two.get_by_role("alert")).to_contain_text("good")
    two.get_by_role("link", name="Go on with the next card").click()
    expect(two.locator(".question")).to_be_visible()


def test_the_back_button_does_not_grade_twice(calm: Server, window: Window) -> None:
    page = window.page
    page.goto(calm.address)
    show_answer(page, calm)
    page.keyboard.press("3")
    expect(page.locator(".grades")).to_have_count(0)
    page.go_back()
    expect(page.locator(".hero")).to_be_visible()
    page.go_forward()
    expect(page.locator(".question")).to_be_visible()
    page.goto(calm.address)
    expect(page.locator(".year output")).to_contain_text("1 answer in")


def test_the_answer_page_after_the_back_button_repeats_the_stored_grade(calm: Server, window: Window) -> None:
    """The address of an answer can be opened again; its token is spent, so the same key changes nothing."""
    page = window.page
    page.goto(f"{calm.address}/study")
    address = page.locator("[data-key=Space]").get_attribute("href")
    for _ in range(2):
        page.goto(f"{calm.address}{address}")
        page.keyboard.press("3")
        expect(page.locator(".grades")).to_have_count(0)
    page.goto(calm.address)
    expect(page.locator(".year output")).to_contain_text("1 answer in")


def test_with_the_pool_off_cards_are_studied_and_pictures_stored(calm: Server, window: Window) -> None:
    page = window.page
    show_answer(page, calm)
    page.goto(f"{calm.address}/demos/dropout-lab?play=1")
    expect(page.locator("#result .notice")).to_contain_text("stored picture")
    expect(page.locator("#result svg").first).to_be_visible()
    page.locator("#knob-p").fill("0.6")
    expect(page.locator("#result .notice")).to_contain_text("stored picture")


def test_a_prediction_without_workers_is_kept_and_the_page_stays_usable(calm: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{calm.address}/demos/dropout-lab?preset=survivor")
    page.locator("#prediction").fill("1.4")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("switched off")
    expect(page.get_by_role("link", name="Today").first).to_be_visible()


def test_a_fresh_clone_is_studied_before_torch_is_there_and_predicts_afterwards(
    folder: Path, tmp_path: Path, window: Window
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    server = Server(folder, PYTHONPATH=f"{tmp_path}:{ROOT}").start(pool=None)
    try:
        page = window.page
        page.goto(server.address)
        expect(page.locator(".hero [role=status]")).to_contain_text("The lab is being set up")
        show_answer(page, server)
        page.keyboard.press("3")
        expect(page.locator(".grades")).to_have_count(0)
        page.goto(f"{server.address}/demos/dropout-lab?play=1")
        expect(page.locator("#result .notice")).to_contain_text("being set up")
        expect(page.locator("#result svg").first).to_be_visible()
        (tmp_path / "torch-is-here").touch()
        server.wait(lambda state: state["pool"] == "ready")
        page.goto(f"{server.address}/study")
        say_something(page)
        page.get_by_role("button", name="Predict").click()
        expect(page.locator(".settled")).to_contain_text("measured")
    finally:
        server.stop()
