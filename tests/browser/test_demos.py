"""Demos in the browser: locked until predicted, live while a knob moves, streams that free their worker."""

from __future__ import annotations

import json
import re
import urllib.request

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Server, Window

pytestmark = pytest.mark.browser
STREAM = "batchnorm-lab"


def test_the_result_does_not_exist_before_a_prediction(server: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{server.address}/demos/dropout-lab?preset=survivor")
    expect(page.locator(".summary")).to_have_count(0)
    expect(page.locator(".claims")).to_have_count(0)
    page.locator("#prediction").fill("1.4")
    page.keyboard.press("Enter")
    expect(page.locator(".settled")).to_contain_text("you 1.4")
    expect(page.locator(".claims")).to_be_visible()


def test_a_moved_knob_renews_the_picture_and_the_address(shared: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{shared.address}/demos/dropout-lab?play=1")
    page.locator("#knob-p").fill("0.6")
    expect(page.locator(".summary")).to_contain_text("0.6")
    expect(page).to_have_url(re.compile(r"p=0\.6"))
    page.reload()
    expect(page.locator("#knob-p")).to_have_value("0.6")
    expect(page.locator(".summary")).to_contain_text("0.6")


def test_a_slider_moves_the_number_and_the_picture(shared: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{shared.address}/demos/dropout-lab?play=1")
    slider = page.locator("[data-slider=knob-p]")
    slider.evaluate("one => { one.value = '0.8'; one.dispatchEvent(new Event('input', { bubbles: true })); }")
    expect(page.locator("#knob-p")).to_have_value("0.8")
    expect(page.locator(".summary")).to_contain_text("0.8")


def test_a_knob_out_of_range_gets_a_sentence(shared: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{shared.address}/demos/dropout-lab?p=7&play=1")
    expect(page.locator("main")).to_contain_text("p: Input should be less than or equal to 0.95")


def test_arrow_keys_read_the_values_of_a_picture(shared: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{shared.address}/demos/dropout-lab?play=1")
    page.locator(".picture").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("figure .readout").first).not_to_be_empty()


def test_giving_up_an_impossible_challenge_says_why(shared: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{shared.address}/demos/dropout-lab?play=1")
    page.get_by_role("button", name="It cannot be done").last.click()
    expect(page.locator(".challenge .notice").last).not_to_be_empty()


def test_a_quantity_lights_in_code_and_picture(shared: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{shared.address}/demos/softmax-lab?play=1")
    page.locator(".code-line[data-quantity=softmax]").focus()
    expect(page.locator("svg .lit").first).to_be_visible()
    page.locator("svg [data-quantity=J]").first.hover()
    expect(page.locator(".code-line.lit")).to_have_attribute("data-quantity", "J")


def test_choosing_another_preset_keeps_it_in_view(shared: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{shared.address}/demos/dropout-lab?play=1")
    page.locator(".presets .chip").last.click()
    expect(page.locator(".presets [aria-current]")).to_be_in_viewport(ratio=1)


def test_a_stream_draws_while_it_runs_and_ends_with_claims(server: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{server.address}/demos/{STREAM}?play=1")
    expect(page.locator("#result .summary")).to_be_visible()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("demo-stream svg").first).to_be_visible(timeout=15_000)
    expect(page.locator("demo-stream .claims")).to_be_visible(timeout=15_000)


def test_leaving_a_stream_frees_its_worker(server: Server, window: Window) -> None:
    page = window.page
    page.goto(f"{server.address}/demos/{STREAM}?play=1")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("demo-stream")).to_be_visible()
    page.goto(f"{server.address}/operator")
    expect(page.locator("#pool tbody tr td:nth-child(3)").filter(has_text="busy")).to_have_count(0)
    with urllib.request.urlopen(f"{server.address}/readyz") as answer:
        assert json.load(answer)["pool"] == "ready"
