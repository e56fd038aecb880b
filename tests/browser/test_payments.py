"""Paying in a browser at the sandbox: every way, one given up, one tab lost, one given back."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DESK, PHONE, Town, Visit, ready, visits

BY_THE_CLOCK_MS = 100_000
"""The reconciler asks for the first time a minute after an attempt began."""


class Household:
    """A family that books one pandit again and again."""

    def __init__(self, town: Town) -> None:
        self.family = town.person("Kamala Rai")
        self.pandit = town.pandit("Bishnu Prasad Paudel")
        self.town = town
        self._days = itertools.count(10)

    def book(self, method: str = "CASH") -> str:
        return self.town.book(self.family, self.pandit, next(self._days), payment_method=method)


@pytest.fixture(scope="module")
def household(town: Town) -> Household:
    return Household(town)


def choose(page: Page, booking_id: str, name: str) -> None:
    """Go to the payment step and choose a way to pay by its name."""
    page.goto(f"/bookings/{booking_id}/pay/")
    ready(page).get_by_label(re.compile(f"^{re.escape(name)}")).check()
    page.get_by_role("button", name=re.compile("^Pay Rs")).click()


def at_the_service(page: Page, town: Town, action: str) -> None:
    """Press a button of the pay page."""
    page.wait_for_url(lambda url: not url.startswith(town.base))
    page.locator(f"button[value={action}]").click()


@pytest.fixture(scope="module", autouse=True)
def lost_tab(browser: Browser, town: Town, household: Household) -> Iterator[Page]:
    """The page of a payment whose tab was closed once it was paid; it waits beside all tests."""
    for visit in visits(browser, town):
        page = visit(household.family, size=DESK)
        choose(page, household.book(), "Khalti")
        at_the_service(page, town, "pay-and-close")
        page.goto("/payments/")
        page.locator("main .list__link").first.click()
        expect(ready(page).get_by_text("We wait for Khalti")).to_be_visible()
        page.reload()
        yield ready(page)


@pytest.mark.parametrize("name", ["Khalti", "eSewa", "connectIPS", "IME Pay", "Card (Stripe)"])
def test_a_booking_is_paid(household: Household, visit: Visit, name: str) -> None:
    page = visit(household.family, size=PHONE)
    choose(page, household.book(), name)
    at_the_service(page, household.town, "pay")
    page.wait_for_url(re.compile(r"/payments/b-"))
    expect(page.get_by_text("Paid. Thank you!")).to_be_visible()
    expect(page.get_by_role("button", name="Receipt")).to_be_visible()


def test_the_wallet_is_filled_and_pays(household: Household, visit: Visit) -> None:
    page = visit(household.family)
    page.goto("/wallet/")
    ready(page).get_by_label("Amount in rupees").fill("3000")
    page.get_by_label(re.compile("^Khalti")).check()
    page.get_by_role("button", name="Go on to pay").click()
    at_the_service(page, household.town, "pay")
    expect(page.get_by_text("The money is in your wallet.")).to_be_visible()
    choose(page, household.book(), "Wallet")
    expect(page.get_by_text("Paid. Thank you!")).to_be_visible()


def test_cash_waits_for_the_puja(household: Household, visit: Visit) -> None:
    page = visit(household.family)
    choose(page, household.book(), "Cash")
    expect(page.get_by_text("You pay the pandit in cash")).to_be_visible()


def test_one_that_is_cancelled_can_be_tried_again(household: Household, visit: Visit) -> None:
    page = visit(household.family)
    choose(page, household.book(), "Khalti")
    at_the_service(page, household.town, "cancel")
    expect(page.locator(".badge", has_text="Payment failed")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="Pay your booking")).to_be_visible()


def test_what_is_cancelled_in_time_comes_back(household: Household, visit: Visit) -> None:
    page = visit(household.family)
    booking_id = household.book("KHALTI")
    choose(page, booking_id, "Khalti")
    at_the_service(page, household.town, "pay")
    expect(page.get_by_text("Paid. Thank you!")).to_be_visible()
    page.goto(f"/bookings/{booking_id}/")
    ready(page).get_by_text("Cancel this booking").click()
    page.get_by_role("button", name="Cancel the booking").click()
    expect(page.get_by_text("The booking is cancelled.")).to_be_visible()
    expect(page.locator("py-booking-status", has_text="Refunded")).to_be_visible()


@pytest.mark.timeout(200)
def test_a_lost_tab_is_found_and_the_waiting_page_hears_of_it(lost_tab: Page) -> None:
    expect(lost_tab.get_by_text("Paid. Thank you!")).to_be_visible(timeout=BY_THE_CLOCK_MS)
