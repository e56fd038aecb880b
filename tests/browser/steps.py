"""What people do on pages, one function a step, in either language.

Texts are those of the catalogues, so a step reads what the page says in the reader's language.
"""

from __future__ import annotations

import re
from typing import Final

from playwright.sync_api import Locator, Page, expect

from server.i18n import Formatter, Translations
from server.paths import data_path
from tests.browser.conftest import Somebody, Town, ready

DEVANAGARI: Final = re.compile("[\u0900-\u097f]")
_TEXTS: Final = Translations(data_path("locale"))
# What the pandits of the town offer (``Town.pandit``).
SERVICE: Final = {"en": "Satyanarayan Puja", "ne": "सत्यनारायण पूजा"}
Size = tuple[int, int]


class Reader:
    """A page in somebody's hands, and the language in which he reads it."""

    def __init__(self, page: Page, language: str) -> None:
        self.page = page
        self.language = language

    def say(self, text: str, **params: str | int) -> str:
        """The text as it stands on his pages."""
        return _TEXTS.text(self.language, text, **params)

    def price(self, paisa: int) -> str:
        return Formatter(self.language, "Asia/Kathmandu").price(paisa)

    def begins(self, text: str) -> re.Pattern[str]:
        """Whatever begins as the text does, anything in the place of its ``{placeholders}``."""
        parts = re.split(r"\{\w+\}", self.say(text))
        return re.compile(r"^\s*" + ".*".join(map(re.escape, parts)))

    def exactly(self, text: str) -> re.Pattern[str]:
        return re.compile(rf"^\s*{re.escape(self.say(text))}\s*$")

    def go(self, path: str) -> Page:
        """Open a page that speaks his language."""
        self.page.goto(path)
        ready(self.page)
        expect(self.page.locator("html")).to_have_attribute("lang", self.language)
        if self.language == "ne":
            expect(self.page.locator("h1")).to_contain_text(DEVANAGARI)
        return self.page

    def press(self, text: str, within: Locator | None = None) -> None:
        self.button(text, within).click()

    def button(self, text: str, within: Locator | None = None) -> Locator:
        return (within or self.page).get_by_role("button", name=self.begins(text))

    def sees(self, text: str, within: Locator | None = None, **params: str | int) -> None:
        said = self.say(text, **params)
        expect((within or self.page).get_by_text(said).first).to_be_visible()

    def status(self, text: str) -> None:
        """The badge of a booking changes without anybody loading the page again."""
        expect(self.page.locator("py-booking-status .badge").first).to_have_text(self.say(text))


# -- a customer ------------------------------------------------------------------------------------


def find_pandit(reader: Reader, pandit: Somebody) -> None:
    """From the front page to the pandit's own page, by a puja and a name."""
    page = reader.go("/")
    page.get_by_label(reader.say("Puja"), exact=True).select_option("satyanarayan-puja")
    reader.press("Find a pandit")
    ready(page)
    fold = page.locator(".filters-fold")
    field = page.get_by_label(reader.say("Name or word"))
    if not field.is_visible():
        fold.locator("summary").click()
    field.fill(pandit.name)
    reader.press("Search", page.locator(".filters"))
    page.wait_for_url(re.compile("q="))
    card = ready(page).locator(".cards .card", has_text=pandit.name)
    expect(card).to_contain_text(reader.price(250_000))
    card.get_by_role("link", name=pandit.name).click()
    expect(ready(page).get_by_role("heading", name=pandit.name)).to_be_visible()


def book_pandit(reader: Reader, method: str) -> None:
    """Through the steps of the wizard with the first free time, to be paid that way."""
    page = reader.page
    book = reader.say("Book {service}", service=SERVICE[reader.language])
    page.get_by_role("button", name=book, exact=True).click()
    next_step(reader)
    free = page.locator("py-slots label.slot:has(input:enabled)")
    free.first.click()
    next_step(reader)
    page.get_by_label(reader.begins("City")).fill("Kathmandu")
    page.get_by_label(reader.begins("Area or tole")).fill("Baneshwor")
    page.get_by_label(reader.begins("Address")).fill("House 7")
    next_step(reader)
    change_samagri(reader)
    next_step(reader)
    ready(page).locator(f'[name="payment_method"][value="{method}"]').check()
    next_step(reader)
    expect(page.locator("[data-review]")).to_contain_text("House 7")
    reader.press("Book for {price}")
    page.wait_for_url(re.compile(r"/bookings/\w+/"))


def next_step(reader: Reader) -> None:
    """Go on in the wizard, once the page is alive."""
    page = ready(reader.page)
    page.get_by_role("button", name=reader.say("Next"), exact=True).click()


def change_samagri(reader: Reader) -> None:
    """More of what is needed, nothing of what is not; the total follows both."""
    page = ready(reader.page)
    rice = page.locator('.samagri__row[data-item="rice"]')
    total = page.locator('[data-fee="total_fee"]').first
    expect(rice).to_contain_text(reader.say("Needed"))
    before = total.inner_text()
    quantity = rice.get_by_role("textbox")
    enough = quantity.input_value()
    quantity.fill("99999")
    # Whatever is drawn anew meanwhile leaves alone what is being typed.
    page.evaluate("() => document.querySelector('py-samagri').requestUpdate()")
    quantity.press("Enter")
    expect(rice.get_by_role("alert")).to_have_text(
        reader.begins("At most {quantity} {unit} of it can be ordered.")
    )
    expect(rice.get_by_role("alert")).to_be_in_viewport()
    # What was there already is in order.
    quantity.fill(f"{enough}.0")
    quantity.press("Enter")
    expect(rice.get_by_role("alert")).to_have_count(0)
    reader.press("More {name}", rice)
    expect(total).not_to_have_text(before)
    dry_fruits = page.locator('.samagri__row[data-item="dry-fruits"]')
    dearer = total.inner_text()
    reader.press("Remove {name}", dry_fruits)
    expect(dry_fruits).to_have_count(0)
    expect(total).not_to_have_text(dearer)


def pay_at_the_service(reader: Reader, town: Town) -> None:
    """Pay for the booking, over there, and come back."""
    page = ready(reader.page)
    reader.press("Pay {price}")
    page.wait_for_url(lambda url: not url.startswith(town.base))
    page.locator("button[value=pay]").click()
    page.wait_for_url(re.compile(r"/payments/b-"))
    reader.sees("Paid. Thank you!")


def write(reader: Reader, text: str) -> None:
    """Say something in the conversation that is open."""
    page = reader.page
    page.get_by_role("textbox", name=reader.say("Message"), exact=True).fill(text)
    page.get_by_role("button", name=reader.say("Send"), exact=True).click()


def hears(reader: Reader, text: str) -> None:
    expect(reader.page.get_by_role("log").get_by_text(text)).to_be_visible()


def review(reader: Reader, words: str) -> None:
    """Rate the puja that is over."""
    form = reader.page.locator("#review form")
    for name, stars in (
        ("rating", 5), ("professionalism", 4), ("knowledge", 5), ("punctuality", 3),
    ):  # fmt: skip
        form.locator(f'[name="{name}"][value="{stars}"]').check()
    label = "Your words, in Nepali" if reader.language == "ne" else "Your words, in English"
    form.get_by_label(reader.say(label)).fill(words)
    reader.press("Send the review", form)
    reader.sees("Thank you! Your review is published once it is checked.")


# -- a pandit --------------------------------------------------------------------------------------


def keep_hours(reader: Reader, weekday: int) -> None:
    """Be at work until eleven only on that day of the week (1 is Monday)."""
    page = reader.go("/pandit/profile/")
    hours = page.locator("#hours")
    hours.locator(f'[name="day{weekday}-start0"]').fill("06:00")
    hours.locator(f'[name="day{weekday}-end0"]').fill("11:00")
    reader.press("Save the hours", hours)
    reader.sees("Your hours are saved.")
    expect(ready(page).locator(f'#hours [name="day{weekday}-end0"]')).to_have_value("11:00")


def answer_request(reader: Reader, family: Somebody) -> None:
    """Accept what a family asks for; only then is the address told."""
    page = reader.go("/requests/")
    card = page.locator(".card", has_text=family.name)
    expect(card).to_contain_text("बानेश्वर" if reader.language == "ne" else "Baneshwor")
    expect(card).not_to_contain_text("House 7")
    card.locator("button", has_text=reader.exactly("Accept")).click()
    told = "You have accepted. {name} has been told, and you can write to each other."
    reader.sees(told, name=family.name)
    expect(page.locator(".card", has_text=family.name)).to_contain_text("House 7")


def hold_puja(reader: Reader, family: Somebody, *, is_begun: bool = False) -> None:
    """Start the puja, unless it is begun, and complete it, the cash in hand."""
    page = reader.go("/requests/")
    card = page.locator(".card", has_text=family.name)
    if not is_begun:
        reader.press("Start the puja", card)
    done = reader.begins("Completed, {price} received in cash")
    expect(ready(page).locator(".card", has_text=family.name).get_by_role("button")).to_have_text(
        done
    )
    page.locator(".card", has_text=family.name).get_by_role("button").click()
    expect(ready(page).locator(".card", has_text=family.name)).to_have_count(0)


# -- an administrator ------------------------------------------------------------------------------


def approve_pandit(reader: Reader, pandit: Somebody) -> None:
    """Let a new pandit be found."""
    page = reader.go("/admin/pandits/")
    card = page.locator(".card", has_text=pandit.name)
    card.locator("button", has_text=reader.exactly("Approve")).click()
    expect(ready(page).locator(".card", has_text=pandit.name)).to_have_count(0)
    page.get_by_role("link", name=reader.say("Verified"), exact=True).click()
    expect(ready(page).locator(".card", has_text=pandit.name)).to_be_visible()


def publish_review(reader: Reader, words: str) -> None:
    page = reader.go("/admin/reviews/")
    card = page.locator(".card", has_text=words)
    card.locator("button", has_text=reader.exactly("Publish")).click()
    reader.sees("The review is published and counted.")
    expect(page.locator(".card", has_text=words)).to_have_count(0)


def change_price(reader: Reader, item_id: str, rupees: str) -> None:
    page = reader.go(f"/admin/catalogue/items/{item_id}/")
    page.get_by_label(reader.say("Price in rupees")).fill(rupees)
    page.get_by_role("button", name=reader.say("Save"), exact=True).click()
    reader.sees("Saved.")
    reader.go(f"/admin/catalogue/items/{item_id}/")
    expect(page.get_by_label(reader.say("Price in rupees"))).to_have_value(rupees)
