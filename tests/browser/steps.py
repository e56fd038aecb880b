"""What people do on pages, one function a step, in either language.

Texts are those of the catalogues, so a step reads what the page says in the reader's language.
"""

from __future__ import annotations

import re
from typing import Final

from playwright.sync_api import Locator, Page, expect

from server.i18n import Formatter, Translations
from server.paths import data_path
from tests.browser.conftest import Somebody, ready

DEVANAGARI: Final = re.compile("[\u0900-\u097f]")
_TEXTS: Final = Translations(data_path("locale"))
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


def write(reader: Reader, text: str) -> None:
    """Say something in the conversation that is open."""
    page = reader.page
    page.get_by_role("textbox", name=reader.say("Message"), exact=True).fill(text)
    page.get_by_role("button", name=reader.say("Send"), exact=True).click()


def hears(reader: Reader, text: str) -> None:
    expect(reader.page.get_by_role("log").get_by_text(text)).to_be_visible()


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
    expect(card).to_contain_text("Baneshwor")
    expect(card).not_to_contain_text("House 7")
    card.locator("button", has_text=reader.exactly("Accept")).click()
    told = "You have accepted. {name} has been told, and you can write to each other."
    reader.sees(told, name=family.name)
    expect(page.locator(".card", has_text=family.name)).to_contain_text("House 7")


def hold_puja(reader: Reader, family: Somebody) -> None:
    """Start the puja and complete it, the cash in hand."""
    page = reader.go("/requests/")
    card = page.locator(".card", has_text=family.name)
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
