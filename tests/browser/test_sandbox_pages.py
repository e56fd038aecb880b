"""The sandbox's own pages: read and pressed by a person, light and dark, phone and desk."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from server.sandbox import keys
from tests.browser.conftest import DESK, PHONE, ROOT


@pytest.fixture(scope="module")
def sandbox(browser_type_launch_args: dict[str, Any]) -> Iterator[httpx.Client]:
    # It asks for the browser's arguments so that without a browser no process is started.
    process = subprocess.Popen(
        [sys.executable, "-m", "server.sandbox", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    url = process.stdout.readline().split()[-1]
    with httpx.Client(base_url=url, timeout=30.0) as client:
        yield client
    process.terminate()
    process.wait(30)
    process.stdout.close()


def started(sandbox: httpx.Client, reference: str) -> str:
    """A payment at Khalti that comes back to the sandbox's home; its page."""
    fields = {
        "return_url": str(sandbox.base_url),
        "website_url": str(sandbox.base_url),
        "amount": 150050,
        "purchase_order_id": reference,
        "purchase_order_name": "Griha Pravesh",
    }
    headers = {"Authorization": f"Key {keys.KHALTI_SECRET_KEY}"}
    answer = sandbox.post("/khalti/api/v2/epayment/initiate/", headers=headers, json=fields)
    return str(answer.raise_for_status().json()["payment_url"])


def opened(browser: Browser, size: tuple[int, int], scheme: Any) -> Page:
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    return context.new_page()


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(browser, sandbox, size, scheme):
    page = opened(browser, size, scheme)
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    url = started(sandbox, f"PY-{scheme}-{size[0]}")
    paid = started(sandbox, f"PY-{scheme}-{size[0]}-paid")
    sandbox.post(paid, data={"action": "pay-and-close"}).raise_for_status()
    for address in (url, paid, str(sandbox.base_url), f"{url}x"):
        page.goto(address)
        found = Axe().run(page).response["violations"]
        assert [(each["id"], address) for each in found] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert [fault for fault in faults if "404" not in fault] == []
    page.context.close()


def test_a_person_pays_comes_back_and_gives_a_part_back(browser, sandbox):
    page = opened(browser, DESK, "light")
    page.goto(started(sandbox, "PY-button"))
    expect(page.locator("main")).to_contain_text("NPR 1,500.50")
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    page.locator("button[value=pay]").press("Enter")
    page.wait_for_url(lambda url: "status=Completed" in url)
    page.get_by_role("link", name="PY-button", exact=True).click()
    expect(page.locator("#state")).to_have_text("paid")
    page.get_by_label("Amount of a partial refund").fill("500.50")
    page.locator("button[value=partial-refund]").click()
    expect(page.locator("#refunded")).to_have_text("NPR 500.50")
    page.locator("button[value=refund]").click()
    expect(page.locator("#refunded")).to_have_text("NPR 1,500.50")
    page.context.close()


def test_a_person_orders_trouble_for_the_next_payment(browser, sandbox):
    page = opened(browser, DESK, "light")
    page.goto(str(sandbox.base_url))
    page.get_by_label("Khalti").select_option("late-success")
    page.locator("form", has=page.get_by_label("Khalti")).get_by_role("button").click()
    expect(page.locator("main")).to_contain_text("Waiting: late-success")
    page.goto(started(sandbox, "PY-trouble"))
    page.locator("button[value=pay]").click()
    page.wait_for_url(lambda url: "status=Failed" in url)
    page.get_by_role("button", name="Forget everything").click()
    expect(page.locator("main")).to_contain_text("None yet")
    page.context.close()
