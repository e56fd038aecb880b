"""Who is asked for a booking and who no longer: pandits who leave, are silent, or hear the end."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from server.app import RunningServer
from server.domain.booking import Booking, BookingStatus, PaymentMethod, PaymentState, PaymentStatus
from server.domain.errors import ConcurrentChange, StoreUnavailable
from server.domain.events import Event, EventKind
from server.services.accounts import AccountService
from server.services.bookings import BookingService
from tests.integration.test_bookings import act, book, kinds
from tests.integration.test_notifications import listed
from tests.integration.test_pages import signed_in, text_of
from tests.integration.test_recurrences import actor_of
from tests.support import FakeClock, People, Person

LEAVING = ["switched off", "approval lost", "account closed"]


async def leave(server: RunningServer, people: People, pandit: Person, how: str) -> None:
    if how == "switched off":
        answer = await pandit.api.patch("/api/pandits/me/", json={"is_available": False})
        answer.raise_for_status()
    elif how == "approval lost":
        await decide(await people.admin(), pandit, "reject")
    else:
        await server.services.accounts.deactivate(pandit.user_id)


async def decide(admin: Person, pandit: Person, decision: str) -> None:
    path = f"/api/admin/pandits/{pandit.pandit_id}/verify/"
    answer = await admin.api.post(path, json={"decision": decision, "notes": "Old papers"})
    answer.raise_for_status()


async def told(server: RunningServer, person: Person) -> list[str]:
    rows = await server.services.notifications.list_after(person.user_id, 0, 100)
    return [str(row.notification_type) for row in rows]


async def stored(server: RunningServer, booking: dict[str, Any]) -> Booking:
    found = await server.services.bookings.find(booking["id"])
    assert found is not None
    return found


def paid(booking: dict[str, Any]) -> PaymentState:
    return PaymentState(
        version=5,
        status=PaymentStatus.COMPLETED,
        method=PaymentMethod.WALLET,
        refunded=0,
        is_open=False,
        is_captured=True,
        amount=booking["total_fee"],
    )


@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize("is_paid", [True, False], ids=["paid", "in cash after all"])
async def test_what_was_held_goes_to_another_pandit_when_its_own_has_left(
    server: RunningServer, people: People, how: str, is_paid: bool
) -> None:
    sita, pandit = await people.customer(), await people.pandit()
    other = await people.pandit("Ram Prasad Aryal")
    booking = await book(sita, pandit.service_id, payment_method="WALLET")
    await leave(server, people, pandit, how)
    if is_paid:
        follow = server.services.bookings.follow_payment
        await asyncio.gather(*(follow(booking["id"], paid(booking)) for _ in range(2)))
        await follow(booking["id"], paid(booking))
    else:
        body = {"booking_id": booking["id"], "payment_method": "CASH"}
        (await sita.api.post("/api/payments/", json=body)).raise_for_status()
    found = await stored(server, booking)
    assert (found.status, found.pandit_id) == (BookingStatus.PENDING, other.pandit_id)
    assert found.rejected_by == (pandit.pandit_id,)
    assert [offer.pandit_user_id for offer in found.offers] == [other.user_id]
    assert found.history[-1].reason == "not-available"
    assert set(await told(server, pandit)) <= {"PANDIT_VERIFIED", "PANDIT_REJECTED"}
    assert (await told(server, other)).count("BOOKING_CREATED") == 1
    assert (await kinds(sita)).count("BOOKING_REOFFERED") == 1
    assert (await act(other, booking, "accept")).json()["status"] == "ACCEPTED"


async def test_without_another_pandit_what_was_paid_ends_and_its_own_is_not_asked(
    server: RunningServer, people: People
) -> None:
    sita, pandit = await people.customer(), await people.pandit()
    booking = await book(sita, pandit.service_id, payment_method="WALLET")
    await leave(server, people, pandit, "switched off")
    for _ in range(2):
        await server.services.bookings.follow_payment(booking["id"], paid(booking))
    found = await stored(server, booking)
    assert (found.status, found.claims, found.offers) == (BookingStatus.FAILED, (), ())
    assert await kinds(pandit) == ["PANDIT_VERIFIED"]


async def test_what_a_crash_leaves_after_the_payment_the_clock_passes_on(
    server: RunningServer, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    sita, pandit = await people.customer(), await people.pandit()
    other = await people.pandit("Ram Prasad Aryal")
    booking = await book(sita, pandit.service_id, payment_method="WALLET")
    await leave(server, people, pandit, "switched off")

    async def died(*_: object) -> Booking:
        raise ConcurrentChange

    with monkeypatch.context() as patch:
        patch.setattr(BookingService, "_pass_on", died)
        await server.services.bookings.follow_payment(booking["id"], paid(booking))
    assert (await stored(server, booking)).pandit_id == pandit.pandit_id
    assert await server.services.bookings.pass_on_unanswered() == 1
    assert (await stored(server, booking)).pandit_id == other.pandit_id
    assert await kinds(pandit) == ["PANDIT_VERIFIED"]


@pytest.mark.parametrize("how", LEAVING)
async def test_what_he_was_asked_before_is_taken_from_one_who_cannot_answer_and_from_no_other(
    server: RunningServer, people: People, how: str
) -> None:
    sita, pandit = await people.customer(), await people.pandit()
    other = await people.pandit("Ram Prasad Aryal")
    asked = [await book(sita, pandit.service_id, booking_time=at) for at in ("08:00", "12:00")]
    accepted = await book(sita, pandit.service_id, booking_date="2026-11-26")
    (await act(pandit, accepted, "accept")).raise_for_status()
    await leave(server, people, pandit, how)
    may_answer = how == "switched off"
    for booking in asked:
        found = await stored(server, booking)
        assert found.status is BookingStatus.PENDING
        assert found.pandit_id == (pandit.pandit_id if may_answer else other.pandit_id)
    assert (await stored(server, accepted)).status is BookingStatus.ACCEPTED
    count = 0 if may_answer else 2
    assert (await told(server, pandit)).count("BOOKING_PASSED_ON") == count
    assert (await told(server, other)).count("BOOKING_CREATED") == count
    if may_answer:
        (await act(pandit, asked[0], "accept")).raise_for_status()
    elif how == "approval lost":
        assert (await act(pandit, asked[0], "accept")).status_code == 404
        (latest, *_) = await listed(pandit, limit=1)
        assert latest["notification_type"] == "BOOKING_PASSED_ON"
        assert latest["url"] == "/requests/"
        assert latest["message"].startswith("You take no bookings at present")


@pytest.mark.parametrize("how", LEAVING)
@pytest.mark.parametrize("then", ["paid", "in cash after all", "not begun"])
async def test_one_who_was_asked_before_it_was_being_paid_goes_on_being_asked_while_he_may_answer(
    server: RunningServer, people: People, how: str, then: str
) -> None:
    sita, pandit = await people.customer(), await people.pandit()
    other = await people.pandit("Ram Prasad Aryal")
    booking = await book(sita, pandit.service_id)
    service = server.services.bookings
    before, _ = await service.begin_payment(actor_of(sita), booking["id"], PaymentMethod.KHALTI)
    await leave(server, people, pandit, how)
    if then == "paid":
        await service.follow_payment(booking["id"], paid(booking))
    elif then == "in cash after all":
        body = {"booking_id": booking["id"], "payment_method": "CASH"}
        (await sita.api.post("/api/payments/", json=body)).raise_for_status()
    else:
        await service.take_payment_back(before, PaymentMethod.KHALTI, is_open=False)
    found = await stored(server, booking)
    may_answer = how == "switched off"
    asked = pandit if may_answer else other
    assert (found.status, found.pandit_id) == (BookingStatus.PENDING, asked.pandit_id)
    assert found.pay_by is None
    assert found.rejected_by == (() if may_answer else (pandit.pandit_id,))
    assert (await told(server, pandit)).count("BOOKING_PASSED_ON") == (0 if may_answer else 1)
    assert (await act(asked, booking, "accept")).json()["status"] == "ACCEPTED"


async def test_nobody_pays_for_the_contact_of_one_whose_account_is_closed(
    server: RunningServer, people: People
) -> None:
    sita, pandit = await people.customer(), await people.pandit()
    browser, path = await signed_in(people, sita), f"/pandits/{pandit.pandit_id}/"
    unlock = f'href="{path}unlock/"'
    assert unlock in (await browser.get(path)).text
    await leave(server, people, pandit, "account closed")
    assert unlock not in (await browser.get(path)).text
    wanted = {"pandit_id": pandit.pandit_id, "payment_method": "WALLET"}
    answer = await sita.api.post("/api/payments/create-payment-intent/", json=wanted)
    assert answer.status_code == 404


@pytest.mark.parametrize("name", ["_leave", "_publish"])
async def test_what_a_crash_leaves_of_a_closing_the_clock_does(
    server: RunningServer, people: People, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    accounts = server.services.accounts
    sita, pandit = await people.customer(), await people.pandit()
    other = await people.pandit("Ram Prasad Aryal")
    booking = await book(sita, pandit.service_id)

    async def died(*_: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(AccountService, name, died)
        with pytest.raises(StoreUnavailable):
            await accounts.deactivate(pandit.user_id)
    assert await accounts.finish_closing() == 1
    assert await accounts.finish_closing() == 0
    assert (await stored(server, booking)).pandit_id == other.pandit_id
    assert (await sita.api.get(f"/api/pandits/{pandit.pandit_id}/")).json()["is_available"] is False
    assert (await pandit.api.get("/api/pandits/me/")).status_code == 401
    again = await accounts.reactivate(pandit.user_id)
    assert (again.is_active, again.closing_since) == (True, None)


async def test_an_account_that_was_opened_again_is_not_closed_by_the_clock(
    server: RunningServer, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts, pandit = server.services.accounts, await people.pandit()

    async def died(*_: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(AccountService, "_leave", died)
        with pytest.raises(StoreUnavailable):
            await accounts.deactivate(pandit.user_id)
    await accounts.reactivate(pandit.user_id)
    assert await accounts.finish_closing() == 0
    await people.sign_in_again(pandit)
    assert (await pandit.api.get("/api/pandits/me/")).status_code == 200


async def test_old_news_of_a_lost_approval_take_nothing_from_one_who_has_it_again(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    sita, pandit, admin = await people.customer(), await people.pandit(), await people.admin()
    for decision in ("reject", "approve"):
        await decide(admin, pandit, decision)
    booking = await book(sita, pandit.service_id)
    params = {"pandit_id": pandit.pandit_id, "pandit": "Ram", "notes": ""}
    for kind in (EventKind.PANDIT_REJECTED, EventKind.PANDIT_LEFT):
        late = Event(id=f"late.{kind}", kind=kind, at=clock.now(), recipients=(), params=params)
        await server.services.relay.deliver("pandits", pandit.pandit_id, [late])
    found = await stored(server, booking)
    assert (found.pandit_id, found.rejected_by) == (pandit.pandit_id, ())
    (await act(pandit, booking, "accept")).raise_for_status()


async def test_a_pandit_who_was_asked_hears_that_it_was_not_paid_and_one_who_was_not_hears_nothing(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    sita, asked, unasked = (
        await people.customer(),
        await people.pandit(),
        await people.pandit("Ram Prasad Aryal"),
    )
    in_cash = await book(sita, asked.service_id)
    await server.services.bookings.begin_payment(
        actor_of(sita), in_cash["id"], PaymentMethod.KHALTI
    )
    held = await book(sita, unasked.service_id, payment_method="WALLET")
    clock.advance(minutes=16)
    await server.services.booking_payments.fail_unpaid()
    for booking in (in_cash, held):
        assert (await stored(server, booking)).status is BookingStatus.FAILED
    assert (await told(server, asked))[-2:] == ["BOOKING_CREATED", "BOOKING_FAILED"]
    assert await told(server, unasked) == ["PANDIT_VERIFIED"]
    await people.sign_in_again(asked)
    (latest, *_) = await listed(asked, limit=1)
    assert "was not paid in time" in latest["message"]


async def test_a_pandit_who_is_silent_hears_that_another_is_asked(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    sita, pandit = await people.customer(), await people.pandit()
    booking = await book(sita, pandit.service_id)
    clock.advance(hours=12)
    for _ in range(2):
        await server.services.bookings.pass_on_unanswered()
    assert (await stored(server, booking)).status is BookingStatus.FAILED
    await people.sign_in_again(pandit)
    latest, before, *_ = await listed(pandit, limit=2)
    assert before["notification_type"] == "BOOKING_CREATED"
    assert (latest["notification_type"], latest["url"]) == ("BOOKING_PASSED_ON", "/requests/")
    assert latest["message"].startswith("You did not answer in time")
    assert "समयमा" in latest["message_ne"]


async def choices(person: Person, booking: dict[str, Any]) -> list[str]:
    answer = await person.api.get(f"/api/bookings/{booking['id']}/choose/")
    return [each["id"] for each in answer.raise_for_status().json()["results"]]


async def test_a_customer_whose_pandit_has_said_no_chooses_whom_to_ask(
    server: RunningServer, people: People
) -> None:
    sita, first = await people.customer(), await people.pandit("First Acharya")
    others = [await people.pandit(f"Pandit {number}") for number in range(5)]
    dear = await people.pandit("Dear Joshi", price=900_000)
    by_id = {each.pandit_id: each for each in others}
    booking = await book(sita, first.service_id)
    assert await choices(sita, booking) == [], "the first one he has chosen himself"
    too_early = await act(sita, booking, "choose", pandit_id=others[0].pandit_id)
    assert too_early.json()["type"] == "illegal-transition"

    (await act(first, booking, "reject")).raise_for_status()
    asked = (await stored(server, booking)).pandit_id
    offered = await choices(sita, booking)
    assert len(offered) == 3
    assert {asked, first.pandit_id, dear.pandit_id}.isdisjoint(offered)
    for refused in (first, dear):
        answer = await act(sita, booking, "choose", pandit_id=refused.pandit_id)
        assert (answer.status_code, answer.json()["type"]) == (422, "not-bookable")
    chosen = by_id[offered[-1]]
    answers = await asyncio.gather(
        *(act(sita, booking, "choose", pandit_id=chosen.pandit_id) for _ in range(3))
    )
    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.json()["pandit"]["id"] for answer in answers} == {chosen.pandit_id}
    assert answers[0].json()["total_fee"] == booking["total_fee"]
    found = await stored(server, booking)
    assert found.rejected_by == (first.pandit_id, asked)
    latest, before, *_ = await listed(by_id[asked], limit=2)
    assert latest["notification_type"] == "BOOKING_PASSED_ON"
    assert latest["message"].startswith("Sita Sharma has chosen another pandit")
    assert before["notification_type"] == "BOOKING_CREATED"
    assert (await act(by_id[asked], booking, "accept")).status_code == 404
    assert await kinds(chosen) == ["BOOKING_CREATED", "PANDIT_VERIFIED"]
    assert asked not in await choices(sita, booking)
    (await act(chosen, booking, "accept")).raise_for_status()
    assert await choices(sita, booking) == []


async def test_one_who_has_no_time_is_not_chosen_and_the_request_stays_where_it_is(
    server: RunningServer, people: People
) -> None:
    sita, first = await people.customer(), await people.pandit("First Acharya")
    others = [await people.pandit(f"Pandit {number}") for number in range(3)]
    booking = await book(sita, first.service_id)
    (await act(first, booking, "reject")).raise_for_status()
    before = await stored(server, booking)
    busy, away = (each for each in others if each.pandit_id != before.pandit_id)
    await book(await people.customer("Gita Rai"), busy.service_id)
    await leave(server, people, away, "switched off")
    assert await choices(sita, booking) == []
    for pandit, kind in ((busy, "slot-taken"), (away, "not-bookable")):
        answer = await act(sita, booking, "choose", pandit_id=pandit.pandit_id)
        assert answer.json()["type"] == kind
    after = await stored(server, booking)
    assert (after.pandit_id, after.offers, after.version) == (
        before.pandit_id,
        before.offers,
        before.version,
    )


async def test_the_page_of_a_booking_offers_the_choice_with_buttons(
    server: RunningServer, people: People
) -> None:
    sita, first = await people.customer(), await people.pandit("First Acharya")
    for number in range(2):
        await people.pandit(f"Pandit {number}")
    booking = await book(sita, first.service_id)
    browser, path = await signed_in(people, sita), f"/bookings/{booking['id']}/"
    assert "Ask another pandit" not in (await browser.get(path)).text
    (await act(first, booking, "reject")).raise_for_status()
    page = text_of(await browser.get(path))
    (chosen,) = re.findall(r'name="pandit_id" value="([^"]+)"', page)
    done = await browser.post(f"{path}choose/", pandit_id=chosen)
    assert (done.status_code, done.headers["Location"]) == (303, path)
    assert (await stored(server, booking)).pandit_id == chosen
    page = text_of(await browser.get(path))
    assert "We have asked Pandit" in page
    assert "Ask another pandit" not in page, "nobody else is left"
    desk = await signed_in(people, first)
    refused = await desk.post(f"{path}choose/", pandit_id=chosen)
    assert refused.status_code == 404
