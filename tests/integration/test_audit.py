"""The record of what administrators did: no change without an entry, whatever breaks."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from server.app import RunningServer
from server.domain.account import Role
from server.domain.audit import Act, AuditEntry
from server.domain.errors import StoreUnavailable
from server.handlers.openapi import operations
from server.routes import ROUTES
from server.store.audit import MongoAuditRepository
from server.store.bookings import MongoBookingRepository
from server.store.client import Store
from server.store.pandits import MongoPanditRepository
from server.store.payments import MongoPaymentRepository
from server.store.users import MongoUserRepository
from tests.integration.test_bookings import book
from tests.payments import Bookings
from tests.support import FakeClock, People, Person

FEE = 250_000


def lose_the_answer(monkeypatch: pytest.MonkeyPatch, repository: type, name: str) -> None:
    """The next write is made, and its answer is lost."""
    write = getattr(repository, name)

    async def lost(self: Any, *args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(repository, name, write)
        await write(self, *args, **kwargs)
        raise StoreUnavailable

    monkeypatch.setattr(repository, name, lost)


async def acts(admin: Person, act: str, target: str) -> list[dict[str, Any]]:
    asked = {"act": act, "target": target}
    answer = await admin.api.get("/api/admin/audit/", params=asked)
    entries: list[dict[str, Any]] = answer.raise_for_status().json()["results"]
    return entries


@pytest.mark.logs_errors("request")
async def test_a_cancellation_whose_answer_was_lost_is_on_record(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    sita, pandit, admin = await people.customer(), await people.pandit(), await people.admin("A B")
    booking = await book(sita, pandit.service_id)
    path = f"/api/bookings/{booking['id']}/cancel/"
    lose_the_answer(monkeypatch, MongoBookingRepository, "replace")
    assert (await admin.api.post(path, json={"reason": "asked to"})).status_code == 503
    again = await admin.api.post(path, json={"reason": "asked to"})
    assert (again.status_code, again.json()["type"]) == (409, "illegal-transition")
    (entry,) = await acts(admin, "booking-cancelled", booking["id"])
    assert (entry["is_done"], entry["details"]) == (False, {"reason": "asked to"})
    assert entry["admin_id"] == admin.user_id


async def test_what_is_done_is_done_on_record_and_what_is_refused_is_none(
    people: People,
) -> None:
    sita, pandit, admin = await people.customer(), await people.pandit(), await people.admin("A B")
    booking = await book(sita, pandit.service_id)
    path = f"/api/bookings/{booking['id']}/cancel/"
    (await admin.api.post(path, json={"reason": "asked to"})).raise_for_status()
    assert (await admin.api.post(path, json={"reason": "again"})).status_code == 409
    (entry,) = await acts(admin, "booking-cancelled", booking["id"])
    assert (entry["is_done"], entry["details"]) == (True, {"reason": "asked to"})
    other = await book(sita, pandit.service_id)
    own = await sita.api.post(f"/api/bookings/{other['id']}/cancel/", json={"reason": "my own"})
    own.raise_for_status()
    assert await acts(admin, "booking-cancelled", other["id"]) == []


@pytest.mark.logs_errors("request")
async def test_decisions_about_people_whose_answers_were_lost_are_on_record(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    sita, pandit, admin = await people.customer(), await people.pandit(), await people.admin("A B")
    lose_the_answer(monkeypatch, MongoPanditRepository, "replace")
    verify = f"/api/admin/pandits/{pandit.pandit_id}/verify/"
    body = {"decision": "reject", "notes": "The scan is unreadable"}
    assert (await admin.api.post(verify, json=body)).status_code == 503
    (entry,) = await acts(admin, "pandit-rejected", pandit.pandit_id)
    assert (entry["is_done"], entry["details"]) == (False, {"notes": "The scan is unreadable"})
    (await admin.api.post(verify, json=body)).raise_for_status()
    done, _ = await acts(admin, "pandit-rejected", pandit.pandit_id)
    assert (done["is_done"], done["details"]["name"]) == (True, pandit.full_name)

    lose_the_answer(monkeypatch, MongoUserRepository, "update")
    close = f"/api/admin/users/{sita.user_id}/deactivate/"
    assert (await admin.api.post(close, json={"reason": "spam"})).status_code == 503
    (entry,) = await acts(admin, "user-deactivated", sita.user_id)
    assert (entry["is_done"], entry["details"]["reason"]) == (False, "spam")


async def test_an_act_that_is_done_does_not_fail_for_its_entry(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    sita, pandit, admin = await people.customer(), await people.pandit(), await people.admin("A B")
    booking = await book(sita, pandit.service_id)
    lose_the_answer(monkeypatch, MongoAuditRepository, "finish")
    path = f"/api/bookings/{booking['id']}/cancel/"
    (await admin.api.post(path, json={"reason": "asked to"})).raise_for_status()
    assert len(await acts(admin, "booking-cancelled", booking["id"])) == 1


@pytest.mark.parametrize("paid", [FEE - 1, FEE])
async def test_cash_that_staff_record_is_on_record_and_a_pandits_own_is_not(
    server: RunningServer, people: People, clock: FakeClock, paid: int
) -> None:
    bookings = await Bookings.make(server, people, clock)
    booking = await bookings.book()
    await bookings.hold_puja(booking["id"], cash_amount=FEE - 1)
    (payment,) = (await bookings.customer.api.get("/api/payments/")).json()["results"]
    path = f"/api/payments/{payment['id']}/cash/"
    admin = await people.admin("A B")
    own = await bookings.pandit.api.post(path, json={"amount": FEE - 1})
    own.raise_for_status()
    assert await acts(admin, "cash-recorded", payment["id"]) == []
    assert (await admin.api.post(path, json={"amount": FEE + 1})).status_code == 422
    assert await acts(admin, "cash-recorded", payment["id"]) == []
    (await admin.api.post(path, json={"amount": paid})).raise_for_status()
    (entry,) = await acts(admin, "cash-recorded", payment["id"])
    status = "COMPLETED" if paid == FEE else "PENDING"
    assert entry["details"] == {"amount": str(paid), "status": status}
    assert (entry["admin_id"], entry["is_done"]) == (admin.user_id, True)


async def test_an_admin_who_drops_a_proposed_time_is_on_record(people: People) -> None:
    sita, pandit, admin = await people.customer(), await people.pandit(), await people.admin("A B")
    booking = await book(sita, pandit.service_id)
    (await pandit.api.post(f"/api/bookings/{booking['id']}/accept/", json={})).raise_for_status()
    path = f"/api/bookings/{booking['id']}/reschedule/"
    wish = {"booking_date": "2026-11-27", "booking_time": "09:00"}
    for who, found in ((pandit, 0), (admin, 1)):
        (await sita.api.post(path, json=wish)).raise_for_status()
        (await who.api.post(path, json={"decline": True})).raise_for_status()
        assert len(await acts(admin, "proposal-declined", booking["id"])) == found


@pytest.mark.logs_errors("closed_pandit_still_offered")
async def test_an_account_whose_pandit_cannot_be_withdrawn_is_closed_and_on_record(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandit, admin, nobody = await people.pandit(), await people.admin("A B"), await people.nobody()

    async def lose(*_: Any) -> bool:
        return False

    path = f"/api/admin/users/{pandit.user_id}/deactivate/"
    with monkeypatch.context() as racing:
        racing.setattr(MongoPanditRepository, "replace", lose)
        (await admin.api.post(path, json={"reason": "spam"})).raise_for_status()
    (entry,) = await acts(admin, "user-deactivated", pandit.user_id)
    assert entry["is_done"]
    assert (await pandit.api.get("/api/auth/me/")).status_code == 401
    assert (await nobody.get("/api/pandits/")).json()["results"]
    (await admin.api.post(path, json={"reason": "spam"})).raise_for_status()
    assert (await nobody.get("/api/pandits/")).json()["results"] == []


async def test_an_act_that_lost_its_races_stays_as_not_done(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandit, admin = await people.pandit(), await people.admin("A B")

    async def lose(*_: Any) -> bool:
        return False

    monkeypatch.setattr(MongoPanditRepository, "replace", lose)
    path = f"/api/admin/pandits/{pandit.pandit_id}/verify/"
    answer = await admin.api.post(path, json={"decision": "reject", "notes": "Old papers"})
    assert (answer.status_code, answer.json()["type"]) == (409, "concurrent-change")
    (entry,) = await acts(admin, "pandit-rejected", pandit.pandit_id)
    assert not entry["is_done"]


@pytest.mark.logs_errors("request")
@pytest.mark.parametrize(("asked", "noted"), [(50_000, "50000"), (None, str(FEE))])
async def test_a_refund_is_on_record_with_its_amount_before_it_is_made(
    server: RunningServer,
    people: People,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    asked: int | None,
    noted: str,
) -> None:
    bookings = await Bookings.make(server, people, clock)
    booking = await bookings.book()
    await bookings.hold_puja(booking["id"])
    (payment,) = (await bookings.customer.api.get("/api/payments/")).json()["results"]
    admin = await people.admin("A B")
    lose_the_answer(monkeypatch, MongoPaymentRepository, "replace")
    wanted = {"amount": asked, "note": "kind", "to": "WALLET"}
    answer = await admin.api.post(f"/api/payments/{payment['id']}/refund/", json=wanted)
    assert answer.status_code == 503
    (entry,) = await acts(admin, "refund-made", payment["id"])
    assert (entry["is_done"], entry["details"]) == (False, {"amount": noted, "note": "kind"})


async def test_an_entry_of_what_is_done_is_neither_changed_nor_taken_out(store: Store) -> None:
    entries = MongoAuditRepository(store)
    begun = AuditEntry(
        id="e1",
        at=datetime(2026, 11, 22, tzinfo=UTC),
        admin_id="a",
        admin_name="A B",
        act=Act.PAYOUT_PAID,
        target_kind="payout",
        target_id="p",
        is_done=False,
    )
    done = replace(begun, is_done=True, details={"note": "by bank"})
    await entries.add(begun)
    await entries.finish(done)
    await entries.finish(replace(done, details={}))
    await entries.remove(done.id)
    page = await entries.list_page(act=None, target_id=None, limit=5, after=None)
    assert page.rows == (done,)


OWN = frozenset[Act]()
"""What somebody does to his own things, or is refused to administrators by the service itself."""
RECORDED: dict[tuple[str, str], frozenset[Act]] = {
    ("post", "/api/auth/logout/"): OWN,
    ("post", "/api/auth/password/"): OWN,
    ("patch", "/api/auth/me/"): OWN,
    ("post", "/api/bookings/{booking_id}/cancel/"): frozenset({Act.BOOKING_CANCELLED}),
    ("post", "/api/bookings/{booking_id}/reschedule/"): frozenset({Act.PROPOSAL_DECLINED}),
    ("post", "/api/payments/{payment_id}/refund/"): frozenset({Act.REFUND_MADE}),
    ("post", "/api/payments/{payment_id}/cash/"): frozenset({Act.CASH_RECORDED}),
    ("post", "/api/kundali/"): OWN,
    ("post", "/api/kundali/match/"): OWN,
    ("delete", "/api/kundali/{id}/"): OWN,
    ("post", "/api/kundali/{id}/share/"): OWN,
    ("delete", "/api/kundali/{id}/share/"): OWN,
    ("post", "/api/messages/send/"): OWN,
    ("post", "/api/messages/read/"): OWN,
    ("post", "/api/notifications/read/"): OWN,
    ("put", "/api/notifications/preferences/"): OWN,
    ("post", "/api/push-subscriptions/"): OWN,
    ("delete", "/api/push-subscriptions/"): OWN,
    ("post", "/api/recommendations/feedback/"): OWN,
    ("put", "/api/users/me/samagri-preferences/{item_id}/"): OWN,
    ("delete", "/api/users/me/samagri-preferences/{item_id}/"): OWN,
    ("post", "/api/admin/models/{version}/activate/"): frozenset({Act.MODEL_ACTIVATED}),
    # Anybody may; the report itself says who.
    ("post", "/api/reviews/{id}/report/"): OWN,
    ("post", "/api/admin/reviews/{id}/moderate/"): frozenset({Act.REVIEW_MODERATED}),
    ("post", "/api/admin/pandits/{id}/verify/"): frozenset(
        {Act.PANDIT_APPROVED, Act.PANDIT_REJECTED}
    ),
    ("post", "/api/admin/users/{id}/deactivate/"): frozenset({Act.USER_DEACTIVATED}),
    ("post", "/api/admin/users/{id}/reactivate/"): frozenset({Act.USER_REACTIVATED}),
    ("post", "/api/admin/users/{id}/sign-out/"): frozenset({Act.USER_SIGNED_OUT}),
    ("put", "/api/admin/catalogue/items/{id}/"): frozenset({Act.ITEM_CHANGED}),
    ("put", "/api/admin/catalogue/pujas/{id}/requirements/"): frozenset({Act.PUJA_CHANGED}),
    ("put", "/api/admin/catalogue/templates/{id}/"): frozenset({Act.TEMPLATE_CHANGED}),
    ("post", "/api/admin/catalogue/imports/"): frozenset({Act.CATALOGUE_CHECKED}),
    ("delete", "/api/admin/catalogue/imports/{id}/"): frozenset({Act.CATALOGUE_DROPPED}),
    ("post", "/api/admin/catalogue/imports/{id}/apply/"): frozenset({Act.CATALOGUE_IMPORTED}),
    ("post", "/api/admin/payments/{payment_id}/resolve/"): frozenset({Act.PAYMENT_REVIEWED}),
    ("post", "/api/admin/payments/{payment_id}/check/"): frozenset({Act.PAYMENT_REVIEWED}),
    ("post", "/api/admin/payments/{payment_id}/refunds/{refund_id}/"): frozenset({Act.REFUND_MADE}),
    ("post", "/api/admin/callbacks/{callback_id}/replay/"): frozenset({Act.WEBHOOK_REPLAYED}),
    ("post", "/api/admin/payouts/{payout_id}/settle/"): frozenset({Act.PAYOUT_PAID}),
}
LOOKS = frozenset({Act.DOCUMENT_VIEWED, Act.CHAT_READ, Act.USER_VIEWED, Act.DATA_EXPORTED})


def test_every_change_that_is_an_administrators_says_what_it_records() -> None:
    open_to_staff = {
        (method, path)
        for path, method, found in operations(ROUTES)
        if method != "get" and found.sign_in != "none" and Role.ADMIN in found.roles
    }
    assert open_to_staff == set(RECORDED)
    assert frozenset().union(*RECORDED.values()) == set(Act) - LOOKS


async def test_changes_of_an_administrator_record_what_the_table_says(people: People) -> None:
    sita, pandit, admin = await people.customer(), await people.pandit(), await people.admin("A B")
    booking = await book(sita, pandit.service_id)
    why = {"reason": "Asked for by phone"}
    verify = "/api/admin/pandits/{id}/verify/"
    for path, target, body in (
        ("/api/bookings/{booking_id}/cancel/", booking["id"], why),
        (verify, pandit.pandit_id, {"decision": "reject", "notes": "Old papers"}),
        (verify, pandit.pandit_id, {"decision": "approve", "notes": ""}),
        ("/api/admin/users/{id}/sign-out/", sita.user_id, why),
        ("/api/admin/users/{id}/deactivate/", sita.user_id, why),
        ("/api/admin/users/{id}/reactivate/", sita.user_id, why),
    ):
        url = re.sub(r"\{\w+\}", target, path)
        (await admin.api.post(url, json=body)).raise_for_status()
        shown = await admin.api.get("/api/admin/audit/", params={"target": target})
        latest = shown.json()["results"][0]
        assert latest["act"] in RECORDED["post", path]
        assert latest["is_done"]
    # One's own things leave nothing, an administrator's neither.
    before = (await admin.api.get("/api/admin/audit/")).json()["results"]
    (await admin.api.patch("/api/auth/me/", json={"language": "en"})).raise_for_status()
    assert (await admin.api.get("/api/admin/audit/")).json()["results"] == before
