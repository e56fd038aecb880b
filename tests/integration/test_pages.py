"""Pages without script: forms, refusals, sessions, languages, static files."""

from __future__ import annotations

import gzip
import html
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.app import RunningServer
from server.handlers.page_base import PageHandler
from server.routes import ROUTES
from tests.support import PASSWORD, CapturingCodeSender, FakeClock, People, Person

TEMPLATES = Path(__file__).resolve().parents[2] / "server" / "web" / "templates"
BOOKING = {
    "booking_date": "2026-11-25",
    "booking_time": "10:00",
    "service_location": "HOME",
    "address": "House 7",
    "area": "Baneshwor",
    "city": "Kathmandu",
    "samagri_required": "true",
    "payment_method": "CASH",
}


class Browser:
    """A browser without script: cookies, pages, forms with their hidden fields."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)

    async def post(self, path: str, **fields: Any) -> httpx.Response:
        """Send a form with the token of a page."""
        page = await self.client.get("/sign-in/code/")
        token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
        assert token is not None
        return await self.client.post(path, data={"_xsrf": token[1], **fields})

    async def sign_in(self, person: Person) -> Browser:
        answer = await self.post("/sign-in/", identifier=person.phone, password=PASSWORD)
        assert answer.status_code == 303, answer.text
        return self


async def begin_booking(browser: Browser, service_id: str) -> str:
    """Choose the service; returns the address of the booking's pages."""
    begun = await browser.post(f"/book/{service_id}/", service_id=service_id)
    assert begun.status_code == 303, text_of(begun)
    return begun.headers["Location"].removesuffix("date/")


async def book(browser: Browser, service_id: str, **fields: str) -> httpx.Response:
    """Take every step of a booking; returns the answer to the last one, or the first refusal."""
    wizard = await begin_booking(browser, service_id)
    typed = {**BOOKING, **fields}
    for step in ("date", "details", "samagri", "payment"):
        answer = await browser.post(f"{wizard}{step}/", **typed)
        if answer.status_code != 303:
            return answer
    return await browser.post(f"{wizard}confirm/")


@pytest.fixture
async def guest(people: People) -> Browser:
    return Browser(await people.nobody())


async def signed_in(people: People, person: Person) -> Browser:
    return await Browser(await people.nobody()).sign_in(person)


def text_of(answer: httpx.Response) -> str:
    return html.unescape(answer.text)


def dead_ends(answer: httpx.Response) -> set[str]:
    """Links of a page within itself that lead nowhere, as from a fault to its field."""
    assert answer.status_code == 422
    links = set(re.findall(r'href="#([^"]+)"', answer.text))
    assert len(links) > 1, "one leads to the content, the others to faults"
    return links - set(re.findall(r' id="([^"]+)"', answer.text))


def pages() -> list[str]:
    found = [
        route.path
        for route in ROUTES
        if issubclass(route.handler, PageHandler) and "get" in vars(route.handler)
    ]
    assert len(found) > 15
    return found


@pytest.mark.parametrize("path", pages())
async def test_every_page_answers_a_guest_with_a_page_or_the_way_in(
    guest: Browser, path: str
) -> None:
    answer = await guest.get(path.replace("{id}", "nobody").replace("{service_id}", "nothing"))
    assert answer.status_code in (200, 303, 404), answer.text
    if answer.status_code == 303:
        assert answer.headers["Location"].startswith("/sign-in/?next=%2F")
    else:
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.text.count("<h1") == 1
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/requests/", "/pandit/profile/", "/admin/pandits/"])
async def test_a_customer_may_not_see_the_pages_of_others(people: People, path: str) -> None:
    browser = await signed_in(people, await people.customer())
    answer = await browser.get(path)
    assert answer.status_code == 403
    assert "Not allowed" in answer.text


async def test_a_form_without_its_token_changes_nothing(people: People) -> None:
    client = await people.nobody()
    answer = await client.post("/sign-in/", data={"identifier": "x", "password": "y"})
    assert answer.status_code == 403
    assert answer.headers["Content-Type"].startswith("text/html")


async def test_a_wrong_password_is_told_and_the_name_is_kept(
    guest: Browser, people: People
) -> None:
    person = await people.customer()
    answer = await guest.post("/sign-in/", identifier=person.phone, password="not that one")
    assert answer.status_code == 422
    assert "The details do not match." in answer.text
    assert f'value="{person.phone}"' in answer.text
    assert "not that one" not in answer.text
    assert "access" not in guest.client.cookies


async def test_registration_names_each_fault_beside_its_field(guest: Browser) -> None:
    answer = await guest.post(
        "/register/", role="user", full_name="Sita", phone_number="123", password="short"
    )
    assert answer.status_code == 422
    assert 'id="phone_number-fault"' in answer.text
    assert 'id="password-fault"' in answer.text
    assert 'value="Sita"' in answer.text
    assert 'role="alert" tabindex="-1" data-focus' in answer.text


async def test_a_pandit_registers_and_lands_on_his_profile(guest: Browser) -> None:
    answer = await guest.post(
        "/register/",
        role="pandit",
        full_name="Hari Upadhyaya",
        phone_number="9841777777",
        password=PASSWORD,
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/pandit/profile/")
    page = await guest.get("/pandit/profile/")
    assert "Waiting for verification" in page.text


async def test_a_code_signs_in(
    guest: Browser, people: People, server: RunningServer, code_sender: CapturingCodeSender
) -> None:
    person = await people.customer()
    sent = await guest.post("/sign-in/code/", phone_number=person.phone)
    assert sent.headers["Location"] == "/sign-in/code/?sent=yes"
    assert f'value="{person.phone}"' in (await guest.get("/sign-in/code/?sent=yes")).text
    await server.services.accounts.close()
    code = code_sender.sent[f"+977{person.phone}"]
    answer = await guest.post("/sign-in/code/", phone_number=person.phone, code=code)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "Password, e-mail and user name that were set" in (await guest.get("/")).text


async def test_a_confirmed_number_is_told_of_in_the_language_of_the_account(
    guest: Browser, people: People, server: RunningServer, code_sender: CapturingCodeSender
) -> None:
    person = await people.customer()
    (await person.api.patch("/api/auth/me/", json={"language": "ne"})).raise_for_status()
    await guest.post("/sign-in/code/", phone_number=person.phone)
    await server.services.accounts.close()
    code = code_sender.sent[f"+977{person.phone}"]
    await guest.post("/sign-in/code/", phone_number=person.phone, code=code)
    page = await guest.get("/")
    assert page.headers["Content-Language"] == "ne"
    assert "तपाईंको नम्बर पक्का भयो" in page.text


async def test_a_forgotten_password_is_replaced_by_way_of_a_code(
    guest: Browser, people: People, server: RunningServer, code_sender: CapturingCodeSender
) -> None:
    person = await people.customer()
    page = await guest.get("/sign-in/")
    assert 'href="/sign-in/code/?next=/account/password/"' in page.text
    wanted = "/sign-in/code/?next=/account/password/"
    sent = await guest.post(wanted, phone_number=person.phone, next="/account/password/")
    await server.services.accounts.close()
    back = sent.headers["Location"]
    asked = await guest.get(back)
    for path in ("/sign-in/code/", "/sign-in/"):
        assert f'href="{path}?next=%2Faccount%2Fpassword%2F"' in asked.text
    code = code_sender.sent[f"+977{person.phone}"]
    answer = await guest.post(back, phone_number=person.phone, code=code, next="/account/password/")
    assert answer.headers["Location"] == "/account/password/"
    page = await guest.get("/account/password/")
    assert 'name="old_password"' not in page.text
    weak = await guest.post("/account/password/", new_password="1")
    assert (weak.status_code, 'href="#new_password"' in weak.text) == (422, True)
    saved = await guest.post("/account/password/", new_password=" a newer passphrase ")
    assert (saved.status_code, saved.headers["Location"]) == (303, "/account/")
    assert "Your password is set." in (await guest.get("/account/")).text
    other = Browser(await people.nobody())
    entered = await other.post(
        "/sign-in/", identifier=person.phone, password=" a newer passphrase "
    )
    assert entered.status_code == 303


async def test_a_password_is_changed_by_whoever_knows_it(people: People) -> None:
    person = await people.customer()
    browser, other = await signed_in(people, person), await signed_in(people, person)
    assert 'href="/account/password/"' in (await browser.get("/account/")).text
    assert 'name="old_password"' in (await browser.get("/account/password/")).text
    typed = {"new_password": "a newer passphrase"}
    for old in ({}, {"old_password": "a wrong passphrase"}):
        refused = await browser.post("/account/password/", **typed, **old)
        assert (refused.status_code, 'href="#old_password"' in refused.text) == (422, True)
    saved = await browser.post("/account/password/", **typed, old_password=PASSWORD)
    assert saved.headers["Location"] == "/account/"
    assert (await browser.get("/account/")).status_code == 200
    assert (await other.get("/account/")).headers["Location"].startswith("/sign-in/")


@pytest.mark.parametrize(
    "wanted", ["//evil.example/", "https://evil.example/", "/\\evil.example", "\\\\evil", "/a\nb"]
)
async def test_signing_in_never_leads_to_another_site(
    guest: Browser, people: People, wanted: str
) -> None:
    person = await people.customer()
    answer = await guest.post("/sign-in/", identifier=person.phone, password=PASSWORD, next=wanted)
    assert answer.headers["Location"] == "/"


async def test_a_session_outlives_its_access_token_and_ends_with_sign_out(
    people: People, clock: FakeClock
) -> None:
    person = await people.customer()
    browser = await signed_in(people, person)
    refresh = browser.client.cookies["refresh"]
    clock.advance(minutes=11)
    # The browser drops what has expired; the client here does not know the test's clock.
    browser.client.cookies.delete("access")
    assert (await browser.get("/account/")).status_code == 200
    assert browser.client.cookies["refresh"] == refresh
    assert browser.client.cookies["access"]
    await browser.post("/sign-out/")
    assert (await browser.get("/account/")).status_code == 303
    browser.client.cookies.set("refresh", refresh)
    assert (await browser.get("/account/")).status_code == 303


async def test_a_family_books_and_edits_its_samagri_without_script(people: People) -> None:
    pandit, family = await people.pandit(), await people.customer()
    browser = await signed_in(people, family)
    found = await browser.get("/pandits/?puja_id=satyanarayan-puja&place=lazimpat")
    assert f"/pandits/{pandit.pandit_id}/" in found.text
    profile = await browser.get(f"/pandits/{pandit.pandit_id}/")
    assert pandit.phone not in profile.text
    assert f"/book/{pandit.service_id}/" in profile.text
    booked = await book(browser, pandit.service_id)
    assert booked.status_code == 303
    address = booked.headers["Location"]
    page = await browser.get(address)
    assert "Your booking has been sent to Ram Prasad Acharya." in text_of(page)
    assert "25 November 2026, Wednesday · 9 Mangsir 2083" in text_of(page)
    assert pandit.phone not in page.text
    before = (await family.api.get(f"/api{address}samagri/")).json()
    await browser.post(f"{address}samagri/rice/", quantity="1000")
    await browser.post(f"{address}samagri/dry-fruits/", do="remove")
    refused = await browser.post(f"{address}samagri/ghee/", do="remove")
    assert refused.status_code == 303
    assert "so it stays on the list" in (await browser.get(address)).text
    after = (await family.api.get(f"/api{address}samagri/")).json()
    names = {line["item"]["id"] for line in after["results"]}
    assert "dry-fruits" not in names
    assert "ghee" in names
    (rice,) = [line for line in after["results"] if line["item"]["id"] == "rice"]
    assert rice["quantity"] == 1000
    assert after["total_fee"] != before["total_fee"]


async def test_a_form_that_is_sent_twice_books_once(people: People) -> None:
    pandit, family = await people.pandit(), await people.customer()
    browser = await signed_in(people, family)
    first = await book(browser, pandit.service_id)
    booking_id = first.headers["Location"].strip("/").rpartition("/")[2]
    wizard = f"/book/{pandit.service_id}/{booking_id}/"
    for page in ("confirm", "payment"):
        again = await browser.post(f"{wizard}{page}/")
        assert again.headers["Location"] == first.headers["Location"]
    assert (await browser.get(f"{wizard}date/")).headers["Location"] == first.headers["Location"]
    assert len((await family.api.get("/api/bookings/")).json()["results"]) == 1


async def test_an_unfinished_booking_says_what_it_is_of(people: People) -> None:
    pandit, family = await people.pandit(), await people.customer()
    await pandit.api.patch("/api/pandits/me/", json={"full_name_ne": "राम प्रसाद आचार्य"})
    browser = await signed_in(people, family)
    await begin_booking(browser, pandit.service_id)
    other = await people.pandit("Hari Sharma")
    for address in ("/bookings/", f"/book/{other.service_id}/"):
        shown = text_of(await browser.get(address))
        assert "Ram Prasad Acharya, no time chosen yet" in shown
    await browser.post("/language/", language="ne", next="/")
    assert "राम प्रसाद आचार्य, समय छान्न बाँकी" in text_of(await browser.get("/bookings/"))


async def test_a_chat_calls_the_pandit_by_his_name_in_the_readers_language(
    people: People,
) -> None:
    pandit, family = await people.pandit(), await people.customer()
    await pandit.api.patch("/api/pandits/me/", json={"full_name_ne": "राम प्रसाद आचार्य"})
    browser = await signed_in(people, family)
    booking = (await book(browser, pandit.service_id)).headers["Location"]
    await (await signed_in(people, pandit)).post(f"{booking}accept/")
    room = re.search(r"/chats/\w+/", (await browser.get("/chats/")).text)
    assert room is not None
    assert "Chat with Ram Prasad Acharya" in text_of(await browser.get(room[0]))
    await browser.post("/language/", language="ne", next="/")
    assert "राम प्रसाद आचार्य" in text_of(await browser.get("/chats/"))
    shown = text_of(await browser.get(room[0]))
    assert "राम प्रसाद आचार्यसँग कुराकानी" in shown
    assert "Ram Prasad" not in shown


async def test_places_are_written_in_the_readers_language(people: People) -> None:
    pandit, family = await people.pandit(), await people.customer()
    browser = await signed_in(people, family)
    booking = (await book(browser, pandit.service_id)).headers["Location"]
    profile, desk = f"/pandits/{pandit.pandit_id}/", await signed_in(people, pandit)
    assert "Lazimpat, Kathmandu" in text_of(await browser.get(profile))
    for reader in (browser, desk):
        await reader.post("/language/", language="ne", next="/")
    for address in ("/pandits/", profile):
        assert "लाजिम्पाट, काठमाडौँ" in text_of(await browser.get(address))
    for reader, address in ((browser, booking), (desk, booking), (desk, "/requests/")):
        assert "बानेश्वर, काठमाडौँ" in text_of(await reader.get(address))


async def test_a_taken_time_is_named_and_others_are_offered(people: People) -> None:
    pandit, family, rival = (
        await people.pandit(),
        await people.customer(),
        await people.customer("Gita Rai"),
    )
    await book(await signed_in(people, rival), pandit.service_id)
    browser = await signed_in(people, family)
    answer = await book(browser, pandit.service_id)
    assert answer.status_code == 409
    assert "This time has just been taken" in answer.text
    assert "booking_date=2026-11-25&amp;booking_time=06:00" in answer.text.replace("%3A", ":")
    assert 'value="10:00"' in answer.text


async def test_another_day_or_time_is_repeated_as_was_said(people: People) -> None:
    pandit, family, rival = (
        await people.pandit(),
        await people.customer(),
        await people.customer("Gita Rai"),
    )
    await book(await signed_in(people, rival), pandit.service_id)
    browser = await signed_in(people, family)
    repeated = {"repeat": "weekly", "repeat_count": "8"}
    taken = text_of(await book(browser, pandit.service_id, **repeated))
    free = re.search(r'class="time-link" role="button" href="([^"]+)"', taken)
    day = re.search(r'<ol class="days__list"[^>]*><li><a href="([^"]+)"', taken)
    assert free is not None
    assert day is not None
    wizard = free[1].partition("?")[0]
    for address in (free[1], day[1]):
        shown = (await browser.get(address)).text
        assert '<option value="weekly" selected>' in shown
        assert 'name="repeat_count" value="8"' in shown
        assert "repeat=weekly&amp;repeat_count=8" in shown
    kept = await browser.post(
        wizard, booking_date="2026-11-25", booking_time="14:00", repeat="weekly", repeat_count="8"
    )
    assert kept.status_code == 303
    # What the way here says counts more than what is held; without a word that stays.
    assert '<option value="weekly" selected>' in (await browser.get(wizard)).text
    once = (await browser.get(f"{wizard}?booking_date=2026-11-26&repeat=&repeat_count=8")).text
    assert '<option value="weekly" selected>' not in once


async def test_a_pandit_answers_begins_and_completes_by_buttons(
    people: People, clock: FakeClock
) -> None:
    pandit, family = await people.pandit(), await people.customer()
    booked = await book(await signed_in(people, family), pandit.service_id)
    address = booked.headers["Location"]
    desk = await signed_in(people, pandit)
    waiting = text_of(await desk.get("/requests/"))
    assert "Baneshwor" in waiting
    assert "House 7" not in waiting
    assert family.phone not in waiting
    accepted = await desk.post(f"{address}accept/", next="/requests/")
    assert accepted.headers["Location"] == "/requests/"
    page = text_of(await desk.get(address))
    assert "House 7" in page
    assert family.phone in page
    early = await desk.post(f"{address}start/")
    assert early.status_code == 303
    assert "only be started shortly before" in text_of(await desk.get(address))
    for path in (address, "/requests/"):
        assert f"{address}start/" not in (await desk.get(path)).text
    clock.advance(days=3)
    await desk.sign_in(pandit)
    for path in (address, "/requests/"):
        assert f"{address}start/" in (await desk.get(path)).text
    await desk.post(f"{address}start/")
    await desk.post(f"{address}complete/")
    assert 'data-status="COMPLETED"' in (await desk.get(address)).text


async def test_a_booking_in_cash_promises_no_money_back(people: People) -> None:
    pandit = await people.pandit()
    browser = await signed_in(people, await people.customer())
    days = (("CASH", "2026-11-25", False), ("WALLET", "2026-11-24", True))
    for method, day, is_promised in days:
        wizard = await begin_booking(browser, pandit.service_id)
        typed = {**BOOKING, "booking_date": day, "payment_method": method}
        for step in ("date", "details", "samagri", "payment"):
            await browser.post(f"{wizard}{step}/", **typed)
        page = text_of(await browser.get(f"{wizard}confirm/"))
        assert ("nothing back" in page) is is_promised
        assert ("nothing is lost by cancelling" in page) is not is_promised


async def test_a_pandit_accepts_by_button_only_the_time_that_he_has_seen(people: People) -> None:
    pandit, family = await people.pandit(), await people.customer()
    booked = await book(await signed_in(people, family), pandit.service_id)
    address = booked.headers["Location"]
    desk = await signed_in(people, pandit)

    def seen_on(page: str) -> str:
        return page.partition('name="starts_at" value="')[2].partition('"')[0]

    seen = seen_on((await desk.get("/requests/")).text)
    later = {"booking_date": "2026-11-26", "booking_time": "14:00"}
    (await family.api.post(f"/api{address}reschedule/", json=later)).raise_for_status()
    refused = await desk.post(f"{address}accept/", starts_at=seen, next="/requests/")
    assert refused.headers["Location"] == "/requests/"
    again = await desk.get("/requests/")
    assert "has been changed or ended meanwhile" in text_of(again)
    assert "26 Nov" in text_of(again)
    await desk.post(f"{address}accept/", starts_at=seen_on(again.text))
    assert 'data-status="ACCEPTED"' in (await desk.get(address)).text


async def test_what_is_not_paid_yet_is_no_request_to_answer(people: People) -> None:
    pandit, family = await people.pandit(), await people.customer()
    browser, desk = await signed_in(people, family), await signed_in(people, pandit)
    paid = await book(browser, pandit.service_id)
    held = await book(
        browser, pandit.service_id, booking_date="2026-11-24", payment_method="WALLET"
    )
    ids = [each.headers["Location"].split("/")[2] for each in (paid, held)]
    asked, unpaid = (f"/bookings/{booking_id}/" for booking_id in ids)
    page = (await desk.get("/requests/")).text
    waiting, _, apart = page.partition('id="held-title"')
    assert f"{asked}accept/" in waiting
    assert unpaid not in waiting
    assert unpaid in apart
    assert "Only our team sees it." in waiting
    own = (await desk.get(unpaid)).text
    for move in ("accept", "reject"):
        assert f"{unpaid}{move}/" not in page
        assert f"{unpaid}{move}/" not in own
    (await family.api.post(f"/api{unpaid}cancel/", json={"reason": "no"})).raise_for_status()
    assert 'id="held-title"' not in (await desk.get("/requests/")).text


async def test_what_lies_ahead_is_told_soonest_first(people: People) -> None:
    pandit, family = await people.pandit(), await people.customer()
    browser = await signed_in(people, family)
    days = ("2026-11-26", "2026-11-24", "2026-11-25")
    made = {day: await book(browser, pandit.service_id, booking_date=day) for day in days}
    soonest = [made[day].headers["Location"] for day in sorted(days)]
    desk = await signed_in(people, pandit)
    listed = [(await browser.get("/bookings/")).text, (await desk.get("/requests/")).text]
    for page in listed:
        assert [page.index(f'href="{address}"') for address in soonest] == sorted(
            page.index(f'href="{address}"') for address in soonest
        )
    home = (await browser.get("/")).text
    assert soonest[0] in home
    assert soonest[2] not in home


async def test_another_family_cannot_see_or_move_a_booking(people: People) -> None:
    pandit, family, other = (
        await people.pandit(),
        await people.customer(),
        await people.customer("Gita Rai"),
    )
    booked = await book(await signed_in(people, family), pandit.service_id)
    address = booked.headers["Location"]
    stranger = await signed_in(people, other)
    assert (await stranger.get(address)).status_code == 404
    assert (await stranger.post(f"{address}cancel/")).status_code == 404
    status = (await family.api.get(f"/api{address}")).json()["status"]
    assert status == "PENDING"


async def test_an_administrator_sees_whose_bookings_they_are_and_sifts_them(people: People) -> None:
    pandit, family = await people.pandit(), await people.customer("Gita Rai")
    browser = await signed_in(people, family)
    first = await book(browser, pandit.service_id)
    await book(browser, pandit.service_id, booking_date="2026-11-26")
    await browser.post(f"{first.headers['Location']}cancel/", reason="")
    office = await signed_in(people, await people.admin())
    page = (await office.get("/bookings/")).text
    assert "<h1>Bookings</h1>" in page
    assert f"Gita Rai · {pandit.full_name} · At the customer&#x27;s home" in " ".join(page.split())

    async def listed(**query: str) -> list[str]:
        answer = await office.client.get("/bookings/", params=query)
        return re.findall(r'href="(/bookings/[^"?]+/)"', answer.text)

    (ahead,) = await listed()
    assert await listed(status="PENDING", tab="past") == [ahead]
    assert await listed(status="CANCELLED") == [first.headers["Location"]]
    over = (await office.get("/bookings/?status=CANCELLED")).text
    assert 'href="/bookings/?tab=past" aria-current="page"' in over
    assert '<li><a href="/bookings/"><svg' in over
    assert await listed(**{"from": "2026-11-26", "to": "2026-11-26"}) == [ahead]
    assert await listed(to="2026-11-25") == []
    assert await listed(tab="past", to="2026-11-25") == [first.headers["Location"]]
    assert "No booking is like that." in (await office.get("/bookings/?to=2026-11-01")).text
    own = (await browser.get("/bookings/")).text
    assert "Your bookings" in own
    assert 'name="status"' not in own


async def test_what_an_admin_calls_off_is_on_record_through_either_door(people: People) -> None:
    pandit, family, admin = (
        await people.pandit(),
        await people.customer(),
        await people.admin(),
    )
    browser = await signed_in(people, family)
    desk = await signed_in(people, admin)
    addresses = [
        (await book(browser, pandit.service_id, booking_time=at)).headers["Location"]
        for at in ("06:00", "10:00", "14:00")
    ]
    called_off = await desk.post(f"{addresses[0]}cancel/", reason="The temple is closed")
    assert called_off.status_code == 303
    answer = await admin.api.post(f"/api{addresses[1]}cancel/", json={"reason": "A strike"})
    assert answer.raise_for_status().json()["status"] == "CANCELLED"
    own = await family.api.post(f"/api{addresses[2]}cancel/", json={"reason": "We are ill"})
    assert own.raise_for_status().json()["status"] == "CANCELLED"
    asked = {"act": "booking-cancelled"}
    entries = (await admin.api.get("/api/admin/audit/", params=asked)).json()["results"]
    assert [
        (each["admin_id"], each["target_kind"], each["target_id"], each["details"])
        for each in entries
    ] == [
        (admin.user_id, "booking", address.strip("/").rpartition("/")[2], {"reason": reason})
        for address, reason in ((addresses[1], "A strike"), (addresses[0], "The temple is closed"))
    ]
    again = await admin.api.post(f"/api{addresses[1]}cancel/", json={"reason": "A strike"})
    assert again.status_code == 409
    assert len((await admin.api.get("/api/admin/audit/", params=asked)).json()["results"]) == 2


async def test_a_conversation_works_by_plain_forms(people: People) -> None:
    pandit, family = await people.pandit(), await people.customer()
    browser = await signed_in(people, family)
    booked = await book(browser, pandit.service_id)
    desk = await signed_in(people, pandit)
    await desk.post(f"{booked.headers['Location']}accept/")
    room = re.search(r"/chats/\w+/", (await browser.get("/chats/")).text)
    assert room is not None
    sent = await browser.post(room[0], content="<b>Namaste</b>")
    assert sent.status_code == 303
    assert "&lt;b&gt;Namaste&lt;/b&gt;" in (await desk.get(room[0])).text
    assert (await browser.post(room[0], content=" ")).status_code == 422
    page = text_of(await browser.get(room[0]))
    assert f'href="{booked.headers["Location"]}"' in page
    assert "chat__composer" in page
    # An administrator reads along, and has nothing to write with.
    office = await signed_in(people, await people.admin())
    seen = text_of(await office.get(room[0]))
    assert "<b>Namaste</b>" in seen
    assert "You read along as an administrator." in seen
    assert "Chat of Sita Sharma and Ram Prasad Acharya" in seen
    assert "chat__composer" not in seen
    assert "<py-chat" not in seen
    assert (await office.post(room[0], content="Namaste")).status_code == 403


async def test_hours_services_and_profile_are_kept_by_forms(people: People) -> None:
    pandit = await people.pandit()
    desk = await signed_in(people, pandit)
    week = {f"day{day}-start0": "07:00" for day in range(1, 8)}
    week |= {f"day{day}-end0": "15:00" for day in range(1, 8)}
    saved = await desk.post(
        "/pandit/hours/",
        **week,
        buffer_minutes="45",
        lead_hours="3",
        **{"new-date": "2026-12-01", "new-note": "Family"},
    )
    assert saved.status_code == 303, text_of(saved)
    hours = (await pandit.api.get("/api/pandits/me/availability/")).json()
    assert (hours["buffer_minutes"], hours["lead_minutes"]) == (45, 180)
    assert hours["exceptions"][0]["date"] == "2026-12-01"
    other = {"new-date": "2026-12-02", "keep": "2026-12-01"}
    other |= {"new-start0": "09:00", "new-end0": "00:00"}
    assert (await desk.post("/pandit/hours/", **week, **other)).status_code == 303
    both = (await desk.get("/pandit/profile/")).text
    assert 'value="2026-12-01" checked' in both
    assert 'value="2026-12-02" checked' in both
    assert "9:00 am – 12:00 am" in both
    mistaken = {**week, "day3-end0": "06:00", "keep": "2026-12-02"}
    wrong = await desk.post("/pandit/hours/", **mistaken)
    assert wrong.status_code == 422
    assert "Wednesday: The end must come after the beginning." in text_of(wrong)
    assert not dead_ends(wrong)
    new = {"new-date": "2026-12-05", "new-start0": "17:00", "new-end0": "09:00"}
    wrong_day = await desk.post("/pandit/hours/", **week, **new)
    assert "Until: The end must come after the beginning." in text_of(wrong_day)
    assert not dead_ends(wrong_day)
    # What was taken off stays so while the mistake is put right.
    assert 'value="2026-12-01">' in wrong.text
    assert 'value="2026-12-02" checked' in wrong.text
    added = await desk.post(
        "/pandit/services/",
        puja_id="griha-pravesh",
        price="5,100",
        duration_minutes="180",
        description="With a helper.",
        description_ne="सहयोगीसहित।",
    )
    assert added.status_code == 303
    odd = await desk.post("/pandit/services/", puja_id="pasni", price="1000", duration_minutes="50")
    assert odd.status_code == 422
    assert not dead_ends(odd)
    offers = (await pandit.api.get("/api/services/")).json()["results"]
    assert [(each["puja_id"], each["price"]) for each in offers][1:] == [("griha-pravesh", 510_000)]
    address = f"/pandit/services/{offers[1]['id']}/"
    shown = f"/pandits/{offers[1]['pandit_id']}/"
    assert "With a helper." in text_of(await desk.get(shown))
    await desk.get(f"{shown}?lang=ne")
    assert "सहयोगीसहित।" in text_of(await desk.get(shown))
    await desk.get(f"{shown}?lang=en")
    changed = {"name": offers[1]["name"], "price": "5100", "duration_minutes": "180"}
    assert not dead_ends(
        await desk.post(address, **changed | {"price": "cheap", "name": "x" * 200})
    )
    await desk.post(address, **changed, description="", description_ne="दुई जना।")
    assert "दुई जना।" in text_of(await desk.get(shown)), (
        "one language serves where there is no other"
    )
    asked = text_of(await desk.post(address, do="remove"))
    assert f"Take off {offers[1]['name']}?" in asked
    assert len((await pandit.api.get("/api/services/")).json()["results"]) == 2
    await desk.post(address, do="remove", confirmed="true")
    assert len((await pandit.api.get("/api/services/")).json()["results"]) == 1
    assert (await desk.post(address, do="remove")).status_code == 404
    profile = await desk.post(
        "/pandit/profile/",
        bio="I come early.",
        experience_years="13",
        languages=["ne", "sa"],
        city="Lalitpur",
        area="Patan",
    )
    assert profile.status_code == 303
    own = (await pandit.api.get("/api/pandits/me/")).json()
    assert (own["is_available"], own["experience_years"]) == (False, 13)
    assert own["languages"] == ["ne", "sa"]
    # What the form does not show, the place on the map, goes with the town.
    assert round(own["contact"]["point"]["latitude"], 2) == 27.68
    exact = {"latitude": 27.6712, "longitude": 85.3244}
    location = {"area": "Patan", "city": "Lalitpur", "address": "", "point": exact}
    await pandit.api.patch("/api/pandits/me/", json={"location": location})
    again = {"experience_years": "14", "languages": ["ne"], "city": "Lalitpur", "area": "Patan"}
    await desk.post("/pandit/profile/", **again)
    assert (await pandit.api.get("/api/pandits/me/")).json()["contact"]["point"] == exact


async def test_a_search_that_finds_nobody_says_what_to_change(people: People) -> None:
    guest = Browser(await people.nobody())
    found = await guest.get("/pandits/?place=gorkha&q=nobody-of-this-name&sort=price")
    assert "/pandits/?place=gorkha&amp;q=nobody-of-this-name&amp;sort=price&amp;radius_km=100" in (
        found.text
    )
    assert "Look within 100 km" in found.text
    widest = await guest.get("/pandits/?place=gorkha&q=nobody-of-this-name&radius_km=100")
    assert "Look within" not in widest.text
    unknown = await guest.get("/pandits/?place=xyzzyville")
    assert "We do not know the place xyzzyville" in unknown.text
    past = await guest.get("/pandits/?q=nobody-of-this-name&date=2020-01-01")
    assert "That day has passed" in past.text
    past_there = await guest.get("/pandits/?place=gorkha&date=2020-01-01")
    assert "That day has passed" in past_there.text
    assert "Look within" not in past_there.text


async def test_a_pandit_is_found_where_he_says_that_he_lives(people: People) -> None:
    pandit, admin, family = (
        await people.unverified_pandit(),
        await people.admin(),
        await people.customer(),
    )
    desk = await signed_in(people, pandit)
    profile = {"bio": "I come early.", "experience_years": "13", "languages": ["ne"]}
    profile |= {"is_available": "true"}
    for city in ("Lalitpur", "Pokhara"):
        saved = await desk.post("/pandit/profile/", **profile, city=city)
        assert saved.status_code == 303, text_of(saved)
    added = await desk.post(
        "/pandit/services/", puja_id="griha-pravesh", price="5,100", duration_minutes="180"
    )
    assert added.status_code == 303, text_of(added)
    office, guest = await signed_in(people, admin), Browser(await people.nobody())
    await office.post(f"/admin/pandits/{pandit.pandit_id}/", decision="approve")
    link = f"/pandits/{pandit.pandit_id}/"
    assert link in (await guest.get("/pandits/?place=pokhara")).text
    near_kathmandu = await guest.get("/pandits/?place=kathmandu&q=griha")
    assert link not in near_kathmandu.text
    assert '<option value="10" selected>' in near_kathmandu.text
    assert link in (await guest.get("/pandits/?place=kathmandu&radius_km=any")).text
    # A booking that is made by forms alone has a place, too.
    (offer,) = (await pandit.api.get("/api/services/")).json()["results"]
    booked = await book(
        await signed_in(people, family), offer["id"], city="Pokhara-6", area="Lakeside"
    )
    assert booked.status_code == 303, text_of(booked)
    booking = (await family.api.get(f"/api{booked.headers['Location']}")).json()
    assert booking["distance_km"] < 10
    assert booking["location"]["lat"] is not None


async def test_a_family_is_known_to_live_where_it_says_over_either_door(people: People) -> None:
    pandit, family = await people.pandit(), await people.customer()
    browser = await signed_in(people, family)
    for city in ("Bhaktapur", "Lalitpur"):
        saved = await browser.post("/account/", full_name="Sita Sharma", city=city)
        assert saved.status_code == 303, text_of(saved)
    home = (await family.api.get("/api/auth/me/")).json()["location"]["point"]
    assert (round(home["latitude"], 2), round(home["longitude"], 2)) == (27.68, 85.31)
    wish = {
        "service_id": pandit.service_id,
        "booking_date": BOOKING["booking_date"],
        "booking_time": BOOKING["booking_time"],
        "service_location": "HOME",
        "address": "House 7",
        "city": "Lalitpur",
    }
    booked = (await family.api.post("/api/bookings/", json=wish)).raise_for_status().json()
    assert 3 < booked["distance_km"] < 8


async def test_numbers_of_thousands_of_digits_are_faults_of_the_form(
    people: People, guest: Browser
) -> None:
    many = "9" * 5000
    assert (await guest.get(f"/pandits/?max_price={many}")).status_code == 422
    pandit = await people.pandit()
    desk = await signed_in(people, pandit)
    for path, fields in (
        ("/pandit/services/", {"puja_id": "pasni", "price": many, "duration_minutes": "60"}),
        ("/pandit/profile/", {"experience_years": many, "languages": ["ne"]}),
        ("/pandit/hours/", {"buffer_minutes": many}),
        ("/pandit/hours/", {"lead_hours": many}),
    ):
        assert (await desk.post(path, **fields)).status_code == 422, path


@pytest.mark.parametrize("day", ["9999-12-30", "9999-12-31"])
async def test_the_last_days_of_the_calendar_cannot_be_booked(people: People, day: str) -> None:
    pandit, family = await people.pandit(), await people.customer()
    browser = await signed_in(people, family)
    answer = await book(browser, pandit.service_id, booking_date=day)
    assert answer.status_code in (409, 422)


async def test_an_administrator_approves_by_a_button(people: People) -> None:
    pandit, admin = await people.unverified_pandit(), await people.admin()
    desk = await signed_in(people, admin)
    assert "Hari Upadhyaya" in (await desk.get("/admin/pandits/")).text
    await desk.post(f"/admin/pandits/{pandit.pandit_id}/", decision="approve", notes="Welcome")
    assert (await (await people.nobody()).get(f"/pandits/{pandit.pandit_id}/")).status_code == 200


@pytest.mark.parametrize(
    ("language", "said"), [("en", "say what he has to mend"), ("ne", "के सुधार्नुपर्छ")]
)
async def test_a_pandit_is_rejected_by_a_button_with_what_he_has_to_mend(
    people: People, language: str, said: str
) -> None:
    pandit, admin = await people.unverified_pandit(), await people.admin()
    (await admin.api.patch("/api/auth/me/", json={"language": language})).raise_for_status()
    office = await signed_in(people, admin)
    path, back = (
        f"/admin/pandits/{pandit.pandit_id}/",
        "/admin/pandits/?verification_status=PENDING",
    )
    for notes in ("", "   "):
        refused = await office.post(path, decision="reject", notes=notes, next=back)
        assert refused.status_code == 422
        assert 'id="notes" name="notes"' in refused.text
        assert 'aria-invalid="true"' in refused.text
        assert f'name="next" value="{back}"' in text_of(refused)
        assert said in refused.text
    own = (await pandit.api.get("/api/pandits/me/")).json()
    assert own["verification_status"] == "PENDING"
    opened = await office.get(path)
    assert opened.headers["Location"] == back
    rejected = await office.post(path, decision="reject", notes="The scan is blurred", next=back)
    assert (rejected.status_code, rejected.headers["Location"]) == (303, back)
    own = (await pandit.api.get("/api/pandits/me/")).json()
    assert own["verification_status"] == "REJECTED"
    assert own["verification_notes"] == "The scan is blurred"


async def test_the_language_of_a_person_goes_with_him(people: People) -> None:
    family = await people.customer()
    browser = await signed_in(people, family)
    assert '<html lang="en"' in (await browser.get("/")).text
    switched = await browser.post("/language/", language="ne", next="/bookings/")
    assert switched.headers["Location"] == "/bookings/"
    assert '<html lang="ne"' in (await browser.get("/bookings/")).text
    assert (await family.api.get("/api/auth/me/")).json()["language"] == "ne"


async def test_a_link_switches_the_language_of_this_browser_alone(people: People) -> None:
    family = await people.customer()
    browser = await signed_in(people, family)
    by_address = await browser.get("/pandits/?lang=ne&q=ram")
    assert (by_address.status_code, by_address.headers["Location"]) == (303, "/pandits/?q=ram")
    assert '<html lang="ne"' in (await browser.get("/pandits/")).text
    # A link can come from anywhere, so it changes nothing that is stored.
    assert (await family.api.get("/api/auth/me/")).json()["language"] == "en"
    assert '<html lang="en"' in (await (await signed_in(people, family)).get("/")).text


async def test_the_theme_is_in_the_page_before_it_is_painted(guest: Browser) -> None:
    assert "data-theme" not in (await guest.get("/")).text
    await guest.post("/theme/", theme="dark")
    assert 'data-theme="dark"' in (await guest.get("/")).text
    await guest.post("/theme/", theme="system")
    assert "data-theme" not in (await guest.get("/")).text


async def test_a_name_cannot_end_the_boot_data(people: People) -> None:
    person = await people.customer("Sita </script><b>")
    page = await (await signed_in(people, person)).get("/")
    assert page.text.count("</script>") == 2
    assert "\\u003c/script>" in page.text


async def test_an_unknown_path_is_a_page_or_a_problem(guest: Browser) -> None:
    page = await guest.get("/nowhere/")
    assert (page.status_code, page.text.count("<h1")) == (404, 1)
    assert page.headers["X-Request-ID"] in page.text
    problem = await guest.get("/api/nowhere/")
    assert problem.headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/?x=%FF", 200),
        ("/pandits/?q=%FF", 200),
        ("/pandits/%FF/", 404),
        ("/nowhere/?x=%FF", 404),
        ("/panchang/?date=%FF", 422),
    ],
)
async def test_an_address_of_garbage_is_answered_with_a_page(
    guest: Browser, path: str, status: int
) -> None:
    answer = await guest.get(path)
    assert (answer.status_code, answer.text.count("<h1")) == (status, 1)


@pytest.mark.parametrize(
    ("language", "ways"),
    [
        ("en", "You pay in advance, or in cash after the puja."),
        ("ne", "अग्रिम तिर्नुहोस्, वा पूजापछि नगद।"),
    ],
)
async def test_the_front_page_and_a_pandits_tell_the_same_ways_to_pay(
    guest: Browser, people: People, language: str, ways: str
) -> None:
    pandit = await people.pandit()
    for path in ("/", f"/pandits/{pandit.pandit_id}/"):
        page = text_of(await guest.get(path, **{"Accept-Language": language}))
        assert ways in page


async def test_static_files_are_kept_for_a_year_and_packed(guest: Browser) -> None:
    page = await guest.get("/")
    style = re.search(r"/static/([0-9a-f]{12})/site\.css", page.text)
    assert style is not None
    packed = await guest.get(style[0])
    assert packed.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert packed.headers["Content-Encoding"] == "gzip"
    plain = await guest.get(style[0], **{"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.text == packed.text
    assert (
        await guest.get(style[0], **{"If-None-Match": plain.headers["ETag"]})
    ).status_code == 304
    old = await guest.get("/static/000000000000/site.css")
    assert (old.status_code, old.headers["Cache-Control"]) == (200, "no-cache")


async def test_a_file_that_is_stored_packed_is_unpacked_for_who_cannot(guest: Browser) -> None:
    path = "/static/000000000000/vendor/swagger/swagger-ui-bundle.js"
    async with guest.client.stream("GET", path) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    plain = await guest.get(path, **{"Accept-Encoding": "identity"})
    assert gzip.decompress(raw) == plain.content
    assert plain.headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path",
    [
        "/static/000000000000/../server/app.py",
        "/static/000000000000/%2e%2e/sw.js",
        "/static/000000000000/nothing.js",
        "/static/site.css",
        "/i18n/xx.json",
    ],
)
async def test_nothing_else_is_served(guest: Browser, path: str) -> None:
    assert (await guest.get(path)).status_code == 404


async def test_scripts_get_their_own_texts_alone(guest: Browser) -> None:
    guest.client.cookies.set("lang", "ne")
    page = await guest.get("/")
    url = re.search(r'"catalogue_url": "([^"]+)"', page.text)
    assert url is not None
    answer = await guest.get(url[1])
    assert "immutable" in answer.headers["Cache-Control"]
    texts = answer.json()
    assert texts["Send"]
    assert isinstance(texts["{n} new message"], list)
    assert "How it works" not in texts


def test_templates_hold_neither_scripts_nor_styles_nor_raw_text() -> None:
    raws = []
    for path in sorted(TEMPLATES.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\son\w+=|\sstyle=|<style", text), path.name
        for script in re.findall(r"<script[^>]*>", text):
            assert "src=" in script or 'type="application/json"' in script, path.name
        raws += [path.name for _ in re.findall(r"{%\s*raw\b|autoescape", text)]
    assert raws == ["base.html"]
