"""What a provider may do to us: late, twice, at once, forged, lost. The stored truth holds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Any
from unittest.mock import ANY

import httpx
import pytest

from server.app import RunningServer
from server.domain import payment_rules
from server.domain.booking import PaymentMethod
from server.domain.errors import GatewayUnavailable, Unavailable
from server.domain.gateway import AttemptFacts, Outcome, RefundState, Verdict
from server.domain.payment import MAX_ATTEMPTS, Payment
from tests.integration.test_pages import signed_in
from tests.payments import Bookings, ToldProvider, ledger_sums, ledger_totals, pay
from tests.support import FakeClock, People, Person
from tests.talk import chat_socket, payment_socket

FEE = 250_000
FREE_UNTIL_ACCEPTED = "Cancelled before a pandit accepts: everything back"


@pytest.fixture
def khalti() -> ToldProvider:
    return ToldProvider()


@pytest.fixture
def esewa() -> ToldProvider:
    return ToldProvider(PaymentMethod.ESEWA)


@pytest.fixture
def providers(khalti: ToldProvider, esewa: ToldProvider) -> dict[PaymentMethod, Any]:
    return {PaymentMethod.KHALTI: khalti, PaymentMethod.ESEWA: esewa}


@pytest.fixture
async def bookings(server: RunningServer, people: People, clock: FakeClock) -> Bookings:
    return await Bookings.make(server, people, clock)


async def show(person: Person, payment: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = (await person.api.get(f"/api/payments/{payment['id']}/")).json()
    return shown


async def back(people: People, payment: dict[str, Any], **query: str) -> int:
    browser = await people.nobody()
    answer = await browser.get(
        f"/api/payments/{payment['payment_method']}/return/{payment['reference']}/",
        params=query,
        headers={"Accept": "application/json"},
    )
    return answer.status_code


async def send_webhook(people: People, reference: str, kind: str = "application/json") -> Any:
    sender = await people.nobody()
    return await sender.post(
        "/api/payments/webhooks/khalti/", content=reference, headers={"Content-Type": kind}
    )


async def test_fifty_identical_webhooks_at_once_make_one_ledger_entry(
    server: RunningServer, people: People, bookings: Bookings, khalti: ToldProvider
):
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    khalti.pays(payment["reference"])
    answers = await asyncio.gather(*(send_webhook(people, payment["reference"]) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    admin = await people.admin()
    entries = (await admin.api.get("/api/admin/ledger/")).json()["results"]
    assert [entry["kind"] for entry in entries] == ["capture"]
    assert (await ledger_totals(server)) == {"gateway:KHALTI": FEE, "customer": -FEE}
    rows = (await admin.api.get("/api/admin/callbacks/", params={"limit": 100})).json()["results"]
    assert len(rows) == 50
    assert {row["outcome"] for row in rows} <= {"processed", "duplicate"}
    assert (await bookings.show(booking["id"]))["payment_status"] == "COMPLETED"
    told = (await bookings.customer.api.get("/api/notifications/")).json()["results"]
    assert [row["notification_type"] for row in told] == ["PAYMENT_SUCCESS"]


async def test_a_forged_webhook_is_stored_and_refused_and_an_unknown_reference_is_no_error(
    people: People, bookings: Bookings, khalti: ToldProvider
):
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    khalti.pays(payment["reference"])
    forged = await send_webhook(people, payment["reference"], kind="text/plain")
    assert (forged.status_code, forged.json()["type"]) == (400, "callback-refused")
    assert (await show(bookings.customer, payment))["status"] == "PENDING"
    unknown = await send_webhook(people, "NOBODY")
    assert (unknown.status_code, unknown.json()["outcome"]) == (200, "unmatched")
    admin = await people.admin()
    rows = (await admin.api.get("/api/admin/callbacks/")).json()["results"]
    assert [row["outcome"] for row in rows] == ["unmatched", "forged"]
    large = await send_webhook(people, "x" * 70_000)
    assert large.status_code == 413


@pytest.mark.logs_errors("request", "callback_failed")
async def test_a_webhook_whose_handling_fails_is_answered_so_that_it_comes_again(
    server: RunningServer, people: People, bookings: Bookings, khalti: ToldProvider
):
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    khalti.pays(payment["reference"])
    callbacks = server.services.callbacks
    broken, callbacks._payments = callbacks._payments, None  # type: ignore[assignment]
    try:
        failed = await send_webhook(people, payment["reference"])
    finally:
        callbacks._payments = broken
    assert (failed.status_code, failed.json()["type"]) == (500, "callback-failed")
    admin = await people.admin()
    (row,) = (await admin.api.get("/api/admin/callbacks/")).json()["results"]
    assert (row["outcome"], row["processed_at"]) == ("failed", None)
    replayed = await admin.api.post(f"/api/admin/callbacks/{row['id']}/replay/", json={})
    assert replayed.json()["outcome"] == "processed"
    assert (await show(bookings.customer, payment))["status"] == "COMPLETED"


async def test_the_second_success_of_a_payment_is_given_back(
    server: RunningServer,
    people: People,
    bookings: Bookings,
    khalti: ToldProvider,
    esewa: ToldProvider,
):
    booking = await bookings.book(payment_method="KHALTI")
    first = await pay(bookings.customer, booking["id"], "KHALTI")
    second = await pay(bookings.customer, booking["id"], "ESEWA")
    khalti.pays(first["reference"])
    esewa.pays(second["reference"])
    answers = await asyncio.gather(back(people, first), back(people, second))
    assert list(answers) == [200, 200]
    await server.services.settlement.idle()
    shown = [await show(bookings.customer, payment) for payment in (first, second)]
    assert sorted(each["status"] for each in shown) == ["COMPLETED", "REFUNDED"]
    assert sorted(each["needs_review"] for each in shown) == [False, True]
    assert {each["payment_status"] for each in shown} == {"COMPLETED"}
    assert sum((khalti.refunds | esewa.refunds).values()) == FEE
    assert (await ledger_totals(server))["customer"] == -FEE
    third = await bookings.customer.api.post(
        "/api/payments/", json={"booking_id": booking["id"], "payment_method": "KHALTI"}
    )
    assert (third.status_code, third.json()["type"]) == (409, "already-paid")


async def test_a_failure_that_becomes_a_success_a_minute_later_is_paid(
    server: RunningServer,
    people: People,
    bookings: Bookings,
    khalti: ToldProvider,
    clock: FakeClock,
):
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    khalti.says(payment["reference"], Outcome.FAILED, reason="cancelled")
    await back(people, payment)
    assert (await show(bookings.customer, payment))["status"] == "FAILED"
    assert (await bookings.show(booking["id"]))["payment_status"] == "FAILED"
    khalti.pays(payment["reference"])
    clock.advance(seconds=61)
    await server.services.settlement.reconcile()
    assert (await show(bookings.customer, payment))["status"] == "COMPLETED"
    assert (await bookings.show(booking["id"]))["payment_status"] == "COMPLETED"


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 100},
        {"currency": "USD"},
        {"reference": "ANOTHER"},
        {"gateway_id": "gw-another"},
        {"mismatches": ("merchant",)},
    ],
)
async def test_a_success_that_contradicts_what_was_stored_moves_nothing(
    server: RunningServer,
    people: People,
    bookings: Bookings,
    khalti: ToldProvider,
    wrong: dict[str, Any],
):
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    khalti.pays(payment["reference"], **wrong)
    await back(people, payment, claim="paid")
    shown = await show(bookings.customer, payment)
    assert (shown["status"], shown["needs_review"]) == ("PROCESSING", True)
    assert await ledger_totals(server) == {}


async def test_the_transaction_of_one_payment_does_not_pay_another(
    server: RunningServer, people: People, bookings: Bookings, khalti: ToldProvider
):
    cheap, dear = [await bookings.book(payment_method="KHALTI") for _ in range(2)]
    paid = await pay(bookings.customer, cheap["id"])
    unpaid = await pay(bookings.customer, dear["id"])
    khalti.pays(paid["reference"])
    khalti.pays(unpaid["reference"], transaction_id=f"tx-{paid['reference']}")
    await back(people, paid)
    await back(people, unpaid)
    shown = await show(bookings.customer, unpaid)
    assert (shown["status"], shown["needs_review"]) == ("PROCESSING", True)
    assert (await ledger_totals(server))["gateway:KHALTI"] == FEE


async def test_while_the_provider_is_away_nothing_fails_and_the_reconciler_goes_on(
    server: RunningServer,
    people: People,
    bookings: Bookings,
    khalti: ToldProvider,
    clock: FakeClock,
):
    booking = await bookings.book()
    await bookings.accept(booking["id"])
    payment = await pay(bookings.customer, booking["id"])
    khalti.is_down = True
    assert await back(people, payment) == 200
    assert (await show(bookings.customer, payment))["status"] == "PROCESSING"
    clock.advance(hours=23)
    await server.services.settlement.reconcile()
    await bookings.pass_time(hours=1)
    await server.services.settlement.reconcile()
    shown = await show(bookings.customer, payment)
    assert (shown["status"], shown["needs_review"]) == ("PROCESSING", True)
    khalti.is_down = False
    khalti.pays(payment["reference"])
    admin = await people.admin()
    checked = await admin.api.post(f"/api/admin/payments/{payment['id']}/check/", json={})
    assert checked.json()["status"] == "COMPLETED"


async def test_a_payment_that_nobody_made_fails_after_a_day(
    server: RunningServer, bookings: Bookings, clock: FakeClock, khalti: ToldProvider
):
    booking = await bookings.book()
    await bookings.accept(booking["id"])
    payment = await pay(bookings.customer, booking["id"])
    for _ in range(60):
        clock.advance(minutes=30)
        await server.services.settlement.reconcile()
    asked = khalti.asked
    assert 20 <= asked <= 30
    await bookings.pass_time(hours=1)
    shown = await show(bookings.customer, payment)
    assert (shown["status"], shown["reason"]) == ("FAILED", "ran-out")
    assert (await bookings.show(booking["id"]))["payment_status"] == "PENDING"


async def test_a_refund_whose_answer_was_lost_is_looked_up_and_made_once(
    server: RunningServer,
    people: People,
    bookings: Bookings,
    khalti: ToldProvider,
    clock: FakeClock,
):
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    khalti.pays(payment["reference"])
    await back(people, payment)
    khalti.refund_answers = [RefundState.UNKNOWN]
    admin = await people.admin()
    asked = await admin.api.post(f"/api/payments/{payment['id']}/refund/", json={"note": "kind"})
    assert asked.status_code == 200, asked.text
    await server.services.settlement.idle()
    assert (await show(bookings.customer, payment))["refunds"][0]["state"] == "unknown"
    clock.advance(seconds=61)
    await server.services.settlement.reconcile()
    shown = await show(bookings.customer, payment)
    assert (shown["status"], shown["refunded_amount"]) == ("REFUNDED", FEE)
    assert khalti.refunds == {payment["reference"]: FEE}
    assert await ledger_totals(server) == {}
    again = await admin.api.post(f"/api/payments/{payment['id']}/refund/", json={})
    assert (again.status_code, again.json()["type"]) == (409, "refund-refused")


async def test_a_refund_that_was_surely_not_made_is_sent_again(
    server: RunningServer,
    people: People,
    bookings: Bookings,
    khalti: ToldProvider,
    clock: FakeClock,
):
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    khalti.pays(payment["reference"])
    await back(people, payment)
    khalti.refund_answers = [RefundState.REQUESTED, RefundState.DONE]
    admin = await people.admin()
    await admin.api.post(f"/api/payments/{payment['id']}/refund/", json={"amount": 100_000})
    await server.services.settlement.idle()
    assert khalti.refunds == {}
    clock.advance(minutes=4)
    await server.services.settlement.reconcile()
    shown = await show(bookings.customer, payment)
    assert (shown["status"], shown["refunded_amount"]) == ("COMPLETED", 100_000)
    assert (await bookings.show(booking["id"]))["refunded_amount"] == 100_000
    assert set((await ledger_sums(server)).values()) == {0}


@pytest.mark.parametrize(
    ("hours_before", "refunded"), [(49, FEE), (47, 187_500), (23, 125_000), (5, 0)]
)
async def test_a_customer_who_cancels_gets_back_what_the_policy_says(
    server: RunningServer,
    people: People,
    bookings: Bookings,
    khalti: ToldProvider,
    clock: FakeClock,
    hours_before: int,
    refunded: int,
):
    booking = await bookings.book(payment_method="KHALTI")
    assert [tier["amount"] for tier in booking["refund_policy"]] == [FEE, 187_500, 125_000]
    payment = await pay(bookings.customer, booking["id"])
    khalti.pays(payment["reference"])
    await back(people, payment)
    await bookings.accept(booking["id"])
    starts_at = bookings.starts_at(await bookings.show(booking["id"]))
    await bookings.pass_time(hours=(starts_at - clock.now()).total_seconds() / 3600 - hours_before)
    family = await signed_in(people, bookings.customer)
    assert FREE_UNTIL_ACCEPTED not in (await family.get(f"/bookings/{booking['id']}/")).text
    cancelled = await bookings.customer.api.post(f"/api/bookings/{booking['id']}/cancel/", json={})
    assert cancelled.status_code == 200
    await server.services.settlement.idle()
    shown = await bookings.show(booking["id"])
    assert (shown["status"], shown["refunded_amount"]) == ("CANCELLED", refunded)
    assert shown["payment_status"] == ("REFUNDED" if refunded == FEE else "COMPLETED")
    totals = await ledger_totals(server)
    assert totals.get("income:kept", 0) == refunded - FEE
    assert totals.get("customer", 0) == 0


async def test_what_no_pandit_has_accepted_goes_back_in_full_however_late(
    server: RunningServer, people: People, bookings: Bookings, khalti: ToldProvider
):
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    khalti.pays(payment["reference"])
    await back(people, payment)
    starts_at = bookings.starts_at(booking)
    await bookings.pass_time(hours=(starts_at - bookings.clock.now()).total_seconds() / 3600 - 1)
    family = await signed_in(people, bookings.customer)
    assert FREE_UNTIL_ACCEPTED in (await family.get(f"/bookings/{booking['id']}/")).text
    cancelled = await bookings.customer.api.post(f"/api/bookings/{booking['id']}/cancel/", json={})
    assert cancelled.status_code == 200
    await server.services.settlement.idle()
    shown = await bookings.show(booking["id"])
    assert (shown["status"], shown["refunded_amount"]) == ("CANCELLED", FEE)
    assert await ledger_totals(server) == {}


async def test_what_the_pandit_calls_off_goes_back_in_full_even_into_the_wallet(
    server: RunningServer,
    people: People,
    bookings: Bookings,
    khalti: ToldProvider,
    clock: FakeClock,
):
    first = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, first["id"])
    khalti.pays(payment["reference"])
    await back(people, payment)
    wallet = {"refund_to": "WALLET"}
    await bookings.customer.api.post(f"/api/bookings/{first['id']}/cancel/", json=wallet)
    await server.services.settlement.idle()
    balance = (await bookings.customer.api.get("/api/wallet/")).json()
    assert balance == {"balance": FEE, "currency": "NPR"}
    # And with it he pays the next one, at once and once.
    second = await bookings.book(payment_method="WALLET")
    paid = await pay(bookings.customer, second["id"], "WALLET")
    assert (paid["status"], paid["action"]["kind"]) == ("COMPLETED", "none")
    third = await bookings.book(payment_method="WALLET")
    refused = await bookings.customer.api.post(
        "/api/payments/", json={"booking_id": third["id"], "payment_method": "WALLET"}
    )
    assert (refused.status_code, refused.json()["type"]) == (409, "insufficient-balance")
    await bookings.accept(second["id"])
    await bookings.pass_time(hours=60)
    await bookings.pandit.api.post(f"/api/bookings/{second['id']}/cancel/", json={})
    await server.services.settlement.idle()
    assert (await bookings.customer.api.get("/api/wallet/")).json()["balance"] == FEE
    lines = (await bookings.customer.api.get("/api/wallet/entries/")).json()["results"]
    assert [(line["kind"], line["amount"], line["balance"]) for line in lines] == [
        ("wallet-refund", FEE, FEE),
        ("wallet-payment", -FEE, 0),
        ("refund-paid", FEE, FEE),
    ]
    assert set((await ledger_sums(server)).values()) == {0}


async def test_a_wallet_is_never_overdrawn_by_payments_at_once(
    server: RunningServer, people: People, bookings: Bookings, khalti: ToldProvider
):
    begun = await bookings.customer.api.post(
        "/api/wallet/top-up/", json={"amount": FEE + 1000, "payment_method": "KHALTI"}
    )
    assert begun.status_code == 201, begun.text
    khalti.pays(begun.json()["reference"])
    await back(people, begun.json())
    wanted = [await bookings.book(payment_method="WALLET") for _ in range(4)]
    answers = await asyncio.gather(
        *(
            bookings.customer.api.post(
                "/api/payments/", json={"booking_id": each["id"], "payment_method": "WALLET"}
            )
            for each in wanted
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert (await bookings.customer.api.get("/api/wallet/")).json()["balance"] == 1000


async def test_top_ups_that_are_under_way_count_towards_what_a_wallet_may_hold(
    server: RunningServer, people: People, khalti: ToldProvider, esewa: ToldProvider
):
    sita = await people.customer()

    async def begin(amount: int, method: str = "KHALTI") -> httpx.Response:
        return await sita.api.post(
            "/api/wallet/top-up/", json={"amount": amount, "payment_method": method}
        )

    # Up to 10,000,000: of those that begin at once no two pass that are too much together.
    many = await asyncio.gather(*(begin(5_000_000) for _ in range(4)))
    begun = [answer.json() for answer in many if answer.status_code == 201]
    assert len(begun) <= 2
    while len(begun) < 2:
        begun.append((await begin(5_000_000)).json())
    refused = await begin(1_000)
    assert (refused.status_code, refused.json()["errors"]) == (
        422,
        [{"field": "amount", "code": "wallet-full", "message": ANY}],
    )
    # What is paid stays counted, what has failed makes room again.
    khalti.pays(begun[0]["reference"])
    await back(people, begun[0])
    assert (await begin(1_000)).status_code == 422
    khalti.says(begun[1]["reference"], Outcome.FAILED)
    await back(people, begun[1])
    last = await begin(4_000_000, "ESEWA")
    assert last.status_code == 201
    assert (await begin(1_000_001)).status_code == 422
    esewa.pays(last.json()["reference"])
    await back(people, last.json())
    assert (await sita.api.get("/api/wallet/")).json()["balance"] == 9_000_000


async def test_no_more_than_so_many_top_ups_are_under_way_at_once(
    people: People, khalti: ToldProvider
):
    sita = await people.customer()
    wanted = {"amount": 1_000, "payment_method": "KHALTI"}
    for _ in range(20):
        assert (await sita.api.post("/api/wallet/top-up/", json=wanted)).status_code == 201
    refused = await sita.api.post("/api/wallet/top-up/", json=wanted)
    assert (refused.status_code, refused.json()["errors"]) == (
        422,
        [{"field": "amount", "code": "too-many-top-ups", "message": ANY}],
    )


async def test_a_top_up_that_nobody_can_decide_takes_room_for_a_day_only(
    server: RunningServer, people: People, khalti: ToldProvider, clock: FakeClock
):
    sita = await people.customer()
    wanted = {"amount": 5_000_000, "payment_method": "KHALTI"}
    begun = [(await sita.api.post("/api/wallet/top-up/", json=wanted)).json() for _ in range(2)]
    khalti.is_down = True

    async def another(amount: int = 5_000_000) -> int:
        other = {"amount": amount, "payment_method": "ESEWA"}
        return (await sita.api.post("/api/wallet/top-up/", json=other)).status_code

    clock.advance(hours=23, minutes=59)
    await people.sign_in_again(sita)
    assert await another(1_000) == 422
    clock.advance(minutes=1)
    while await server.services.settlement.reconcile():
        pass
    await people.sign_in_again(sita)
    assert (await show(sita, begun[0]))["needs_review"]
    assert await another() == 201
    assert await another() == 201
    assert await another(1_000) == 422
    # One that is paid all the same is taken, and counts.
    khalti.is_down = False
    khalti.pays(begun[0]["reference"])
    await back(people, begun[0])
    assert (await sita.api.get("/api/wallet/")).json()["balance"] == 5_000_000


async def test_a_pandit_withdraws_what_he_has_earned_and_no_more(
    server: RunningServer, people: People, bookings: Bookings, khalti: ToldProvider
):
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    khalti.pays(payment["reference"])
    await back(people, payment)
    await bookings.hold_puja(booking["id"])
    answers = await asyncio.gather(
        *(bookings.pandit.api.post("/api/payouts/", json={"amount": 200_000}) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    earnings = (await bookings.pandit.api.get("/api/pandits/me/earnings/")).json()
    assert (earnings["balance"], earnings["under_way"]) == (25_000, 200_000)
    admin = await people.admin()
    (asked,) = (await admin.api.get("/api/admin/payouts/", params={"status": "ASKED"})).json()[
        "results"
    ]
    paid = await admin.api.post(
        f"/api/admin/payouts/{asked['id']}/settle/", json={"is_paid": True, "note": "bank"}
    )
    assert paid.json()["status"] == "PAID"
    other = await admin.api.post(
        f"/api/admin/payouts/{asked['id']}/settle/", json={"is_paid": False}
    )
    assert other.status_code == 409
    assert await ledger_totals(server) == {
        "gateway:KHALTI": FEE,
        "commission": -25_000,
        "pandit": -25_000,
        "bank": -200_000,
    }
    export = await admin.api.get("/api/admin/ledger.csv")
    assert export.headers["content-type"].startswith("text/csv")
    assert len(export.text.splitlines()) == 1 + 2 + 3 + 2 + 2


async def earn(bookings: Bookings, people: People, khalti: ToldProvider) -> None:
    """A puja that was paid ahead, and one paid in cash: of that the commission is owed."""
    for method in ("KHALTI", "CASH"):
        booking = await bookings.book(payment_method=method)
        if method == "KHALTI":
            payment = await pay(bookings.customer, booking["id"])
            khalti.pays(payment["reference"])
            await back(people, payment)
        await bookings.hold_puja(booking["id"])


async def earnings_of(bookings: Bookings) -> tuple[int, int, int]:
    told = (await bookings.pandit.api.get("/api/pandits/me/earnings/")).json()
    return told["balance"], told["under_way"], told["owed"]


async def test_what_is_owed_of_cash_is_settled_once_by_two_payouts_at_once(
    server: RunningServer, people: People, bookings: Bookings, khalti: ToldProvider
):
    await earn(bookings, people, khalti)
    assert await earnings_of(bookings) == (225_000, 0, 25_000)
    answers = await asyncio.gather(
        *(bookings.pandit.api.post("/api/payouts/", json={"amount": 80_000}) for _ in range(2))
    )
    assert [answer.status_code for answer in answers] == [201, 201]
    assert await earnings_of(bookings) == (40_000, 160_000, 0)
    assert "cash" not in await ledger_totals(server)


@pytest.mark.logs_errors("request")
async def test_a_payout_that_is_cut_off_reserves_nothing_or_is_taken_up_again(
    server: RunningServer,
    people: People,
    bookings: Bookings,
    khalti: ToldProvider,
    monkeypatch: pytest.MonkeyPatch,
):
    await earn(bookings, people, khalti)
    payouts = server.services.payouts
    admin = await people.admin()

    async def fail(*_: object) -> None:
        raise Unavailable

    async def ask(amount: int) -> int:
        answer = await bookings.pandit.api.post("/api/payouts/", json={"amount": amount})
        return answer.status_code

    async def asked() -> list[dict[str, Any]]:
        params = {"status": "ASKED"}
        answer = await admin.api.get("/api/admin/payouts/", params=params)
        found: list[dict[str, Any]] = answer.json()["results"]
        return found

    with monkeypatch.context() as broken:
        broken.setattr(payouts._payouts, "add", fail)
        assert await ask(80_000) == 503
    assert await earnings_of(bookings) == (225_000, 0, 25_000)
    assert await asked() == []
    for amount in (60_000, 70_000):
        with monkeypatch.context() as broken:
            broken.setattr(payouts, "_reserve", fail)
            broken.setattr(payouts, "_finish_asked", _nothing)
            assert await ask(amount) == 503
    assert await earnings_of(bookings) == (225_000, 0, 25_000)
    second, first = await asked()
    # Staff who pay one of them take it out of what he has.
    url = f"/api/admin/payouts/{second['id']}/settle/"
    assert (await admin.api.post(url, json={"is_paid": True})).json()["status"] == "PAID"
    assert await earnings_of(bookings) == (130_000, 0, 0)
    # His next wish has the other one reserved first.
    assert await ask(80_000) == 409
    assert await earnings_of(bookings) == (70_000, 60_000, 0)
    assert [each["id"] for each in await asked()] == [first["id"]]
    url = f"/api/admin/payouts/{first['id']}/settle/"
    assert (await admin.api.post(url, json={"is_paid": False})).json()["status"] == "REFUSED"
    assert await earnings_of(bookings) == (130_000, 0, 0)


async def _nothing(*_: object) -> None:
    """Stands where there is nothing to finish."""


async def test_an_unlock_opens_the_chat_and_the_contact_details_on_rest_and_sockets(
    server: RunningServer, people: People, bookings: Bookings, khalti: ToldProvider
):
    customer, pandit = bookings.customer, bookings.pandit
    wanted = {"pandit_id": pandit.pandit_id}
    refused = await customer.api.post("/api/chat/rooms/", json=wanted)
    assert (refused.status_code, refused.json()["type"]) == (403, "unlock-needed")
    profile = await customer.api.get(f"/api/pandits/{pandit.pandit_id}/")
    assert profile.json()["contact"] is None
    async with payment_socket(server.port, customer.access) as socket:
        begun = await customer.api.post(
            "/api/payments/create-payment-intent/", json={**wanted, "payment_method": "KHALTI"}
        )
        assert (begun.status_code, begun.json()["amount"]) == (201, 3000)
        payment = begun.json()
        assert (await socket.next("payment"))["status"] == "PENDING"
        assert (await customer.api.post("/api/chat/rooms/", json=wanted)).status_code == 403
        khalti.pays(payment["reference"])
        await back(people, payment)
        frame = await socket.where(lambda each: each.get("status") == "COMPLETED")
        assert (frame["purpose"], frame["pandit"], frame["amount"]) == (
            "UNLOCK",
            pandit.pandit_id,
            3000,
        )
    room = (await customer.api.post("/api/chat/rooms/", json=wanted)).json()
    assert (room["booking_id"], room["is_active"]) == (None, True)
    profile = await customer.api.get(f"/api/pandits/{pandit.pandit_id}/")
    assert profile.json()["contact"]["phone_number"].endswith(pandit.phone)
    sent = await customer.api.post(
        "/api/messages/send/", json={"room_id": room["id"], "content": "Namaste"}
    )
    assert sent.status_code == 201
    stranger = await people.customer("Gita Rai")
    async with chat_socket(server.port, customer.access, room["id"]) as talk:
        assert talk.hello["room"]["id"] == room["id"]
    async with chat_socket(server.port, stranger.access, room["id"], greet=False) as talk:
        assert await talk.closed() == 4404
    assert (await stranger.api.post("/api/chat/rooms/", json=wanted)).status_code == 403
    assert await ledger_totals(server) == {"gateway:KHALTI": 3000, "income:unlocks": -3000}


async def test_the_payment_socket_tells_ones_own_alone_and_the_present_state_on_connecting(
    server: RunningServer, people: People, bookings: Bookings, khalti: ToldProvider
):
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    other = await people.customer("Gita Rai")
    query = f"?payment={payment['id']}"
    async with (
        payment_socket(server.port, bookings.customer.access, query=query) as mine,
        payment_socket(server.port, other.access) as theirs,
    ):
        first = await mine.next("payment")
        assert (first["payment"], first["status"]) == (payment["id"], "PENDING")
        await theirs.send(type="watch", payment=payment["id"])
        assert (await theirs.next("error"))["code"] == "not_found"
        khalti.pays(payment["reference"])
        await back(people, payment)
        last = await mine.where(lambda each: each.get("status") == "COMPLETED")
        assert last["version"] > first["version"]
        await theirs.send(type="ping", t=1)
        assert (await theirs.next("pong", "payment"))["type"] == "pong"
    async with payment_socket(server.port, other.access, query=query) as foreign:
        assert await foreign.closed() == 4404


async def test_less_cash_than_was_due_stays_unpaid_until_staff_have_the_rest(
    server: RunningServer, people: People, bookings: Bookings
):
    booking = await bookings.book()
    await bookings.hold_puja(booking["id"], cash_amount=FEE - 1)
    shown = await bookings.show(booking["id"])
    assert (shown["status"], shown["payment_status"]) == ("COMPLETED", "PENDING")
    (payment,) = (await bookings.customer.api.get("/api/payments/")).json()["results"]
    assert (payment["status"], payment["needs_review"]) == ("PENDING", True)
    assert await ledger_totals(server) == {}
    admin = await people.admin()
    for _ in range(2):
        recorded = await admin.api.post(
            f"/api/payments/{payment['id']}/cash/", json={"amount": FEE}
        )
        assert recorded.json()["status"] == "COMPLETED"
    assert (await bookings.show(booking["id"]))["payment_status"] == "COMPLETED"
    assert await ledger_totals(server) == {"cash": 25_000, "commission": -25_000}


async def test_cash_is_recorded_after_many_tries_to_pay_online(
    server: RunningServer, people: People, bookings: Bookings
):
    booking = await bookings.book()
    await bookings.accept(booking["id"])
    for _ in range(MAX_ATTEMPTS):
        await pay(bookings.customer, booking["id"])
    refused = await bookings.customer.api.post(
        "/api/payments/", json={"booking_id": booking["id"], "payment_method": "KHALTI"}
    )
    assert (refused.status_code, refused.json()["type"]) == (409, "too-many-attempts")
    await bookings.hold_puja(booking["id"])
    assert (await bookings.show(booking["id"]))["payment_status"] == "COMPLETED"
    assert await ledger_totals(server) == {"cash": 25_000, "commission": -25_000}
    earnings = (await bookings.pandit.api.get("/api/pandits/me/earnings/")).json()
    assert earnings["owed"] == 25_000
    await server.services.settlement.idle()
    bookings.clock.advance(minutes=5)
    await server.services.relay.sweep()
    await server.services.settlement.idle()
    for name in ("bookings", "payments"):
        waiting = {"outbox.0": {"$exists": True}}
        left = await server.store.collection(name).find_one(waiting)
        assert left is None, left["outbox"]


async def asked(server: RunningServer, booking_id: str) -> tuple[Any, ...]:
    """What a booking says of how it is paid, and until when who has to do what."""
    found = await server.services.bookings.find(booking_id)
    assert found is not None
    return (
        found.status,
        found.payment_method,
        found.payment_status,
        found.payment_open,
        found.pay_by,
        found.answer_by,
    )


@pytest.mark.parametrize(
    "method", [pytest.param("KHALTI", marks=pytest.mark.logs_errors("request")), "WALLET"]
)
async def test_a_try_that_is_not_taken_leaves_the_offer_to_the_pandit_as_it_was(
    server: RunningServer, people: People, bookings: Bookings, khalti: ToldProvider, method: str
):
    booking = await bookings.book()
    before = await asked(server, booking["id"])
    bookings.clock.advance(minutes=5)
    khalti.is_down = True
    refused = await bookings.customer.api.post(
        "/api/payments/", json={"booking_id": booking["id"], "payment_method": method}
    )
    assert refused.status_code == (503 if method == "KHALTI" else 409)
    assert await asked(server, booking["id"]) == before
    await bookings.pass_time(minutes=16)
    await server.services.booking_payments.fail_unpaid()
    await bookings.accept(booking["id"])


async def test_a_try_too_many_leaves_the_booking_as_it_was(
    server: RunningServer, people: People, bookings: Bookings, monkeypatch: pytest.MonkeyPatch
):
    booking = await bookings.book()
    for _ in range(MAX_ATTEMPTS):
        await pay(bookings.customer, booking["id"])
    await pay(bookings.customer, booking["id"], "CASH")
    (await bookings.customer.api.get("/api/payments/")).raise_for_status()
    await bookings.pass_time(hours=25)
    while await server.services.settlement.reconcile():
        await server.services.settlement.idle()
    before = await asked(server, booking["id"])
    assert before[3] is False
    wanted = {"booking_id": booking["id"], "payment_method": "KHALTI"}
    for _ in range(2):
        refused = await bookings.customer.api.post("/api/payments/", json=wanted)
        assert (refused.status_code, refused.json()["type"]) == (409, "too-many-attempts")
        assert await asked(server, booking["id"]) == before
        # And when the last one was used up by another request at the same moment.
        monkeypatch.setattr(payment_rules, "require_attempt_left", refuse_late())


def refuse_late() -> Callable[[Payment], None]:
    """Only the second look finds that there is no attempt left."""
    look, looks = payment_rules.require_attempt_left, count()

    def refuse(payment: Payment) -> None:
        if next(looks):
            look(payment)

    return refuse


async def test_choosing_cash_again_gives_the_pandit_no_other_time_and_no_second_notice(
    server: RunningServer, people: People, bookings: Bookings
):
    booking = await bookings.book()
    before = await asked(server, booking["id"])
    news = (await bookings.pandit.api.get("/api/notifications/")).json()["results"]
    for _ in range(3):
        bookings.clock.advance(minutes=2)
        await pay(bookings.customer, booking["id"])
        assert (await asked(server, booking["id"]))[5] is None
        await pay(bookings.customer, booking["id"], "CASH")
        after = await asked(server, booking["id"])
        assert (after[1], after[4], after[5]) == (PaymentMethod.CASH, None, before[5])
    assert (await bookings.pandit.api.get("/api/notifications/")).json()["results"] == news
    # Of what happens to it meanwhile he hears as before: he has been asked.
    await pay(bookings.customer, booking["id"])
    (
        await bookings.customer.api.post(f"/api/bookings/{booking['id']}/cancel/", json={})
    ).raise_for_status()
    rows = (await bookings.pandit.api.get("/api/notifications/")).json()["results"]
    assert rows[0]["notification_type"] == "BOOKING_CANCELLED"


@pytest.mark.logs_errors("row_failed")
async def test_one_unpaid_booking_that_cannot_be_ended_holds_up_no_other(
    server: RunningServer, people: People, bookings: Bookings, monkeypatch: pytest.MonkeyPatch
):
    first = await bookings.book(payment_method="KHALTI")
    second = await bookings.book(payment_method="KHALTI")
    await bookings.pass_time(minutes=16)
    fail_unpaid = server.services.bookings.fail_unpaid

    async def fail(booking_id: str) -> Any:
        if booking_id == first["id"]:
            raise KeyError(booking_id)
        return await fail_unpaid(booking_id)

    monkeypatch.setattr(server.services.bookings, "fail_unpaid", fail)
    await server.services.booking_payments.fail_unpaid()
    assert (await bookings.show(first["id"]))["status"] == "PENDING"
    assert (await bookings.show(second["id"]))["status"] == "FAILED"


async def test_samagri_cannot_change_while_it_is_being_paid(
    bookings: Bookings, khalti: ToldProvider
):
    booking = await bookings.book(payment_method="KHALTI", samagri_required=True)
    await pay(bookings.customer, booking["id"])
    refused = await bookings.customer.api.post(f"/api/bookings/{booking['id']}/samagri/", json={})
    assert (refused.status_code, refused.json()["type"]) == (409, "payment-open")


async def set_honey(person: Person, booking: dict[str, Any], grams: int) -> dict[str, Any]:
    """Make the samagri dearer or cheaper by an item of one's own."""
    path = f"/api/bookings/{booking['id']}/samagri/honey/"
    answer = await person.api.put(path, json={"quantity": grams, "unit": "g"})
    if answer.status_code == 409:
        answer = await person.api.patch(path, json={"quantity": grams, "unit": "g"})
    changed: dict[str, Any] = answer.raise_for_status().json()
    return changed


@pytest.mark.parametrize(("first", "then"), [(100, 5_000), (5_000, 100)])
async def test_a_kept_form_of_another_price_pays_for_nothing_and_comes_back(
    server: RunningServer,
    people: People,
    bookings: Bookings,
    esewa: ToldProvider,
    clock: FakeClock,
    first: int,
    then: int,
):
    booking = await bookings.book(payment_method="CASH", samagri_required=True)
    before = await set_honey(bookings.customer, booking, first)
    old = await pay(bookings.customer, booking["id"], "ESEWA")
    await pay(bookings.customer, booking["id"], "CASH")
    esewa.says(old["reference"], Outcome.FAILED, reason="not-found")
    await bookings.pass_time(minutes=16)
    await server.services.settlement.reconcile()
    assert (await show(bookings.customer, old))["status"] == "FAILED"
    after = await set_honey(bookings.customer, booking, then)
    assert after["total_fee"] != before["total_fee"]
    # The form that was kept is posted now, and paid.
    esewa.pays(old["reference"])
    assert await back(people, old) == 200
    await server.services.settlement.idle()
    shown = await show(bookings.customer, old)
    assert (shown["status"], shown["needs_review"]) == ("REFUNDED", True)
    assert shown["payment_status"] == "PENDING"
    assert esewa.refunds == {old["reference"]: before["total_fee"]}
    assert (await bookings.show(booking["id"]))["payment_status"] == "PENDING"
    told = (await bookings.customer.api.get("/api/notifications/")).json()["results"]
    assert "PAYMENT_SUCCESS" not in [row["notification_type"] for row in told]
    assert not any((await ledger_totals(server)).values())
    # What is due now can be paid, and pays.
    right = await pay(bookings.customer, booking["id"], "ESEWA")
    assert right["amount"] == after["total_fee"]
    esewa.pays(right["reference"])
    await back(people, right)
    assert (await bookings.show(booking["id"]))["payment_status"] == "COMPLETED"


async def test_a_price_that_changes_in_the_moment_of_the_success_leaves_the_booking_unpaid(
    server: RunningServer,
    people: People,
    bookings: Bookings,
    esewa: ToldProvider,
    monkeypatch: pytest.MonkeyPatch,
):
    booking = await bookings.book(payment_method="CASH", samagri_required=True)
    before = await set_honey(bookings.customer, booking, 100)
    old = await pay(bookings.customer, booking["id"], "ESEWA")
    esewa.says(old["reference"], Outcome.FAILED, reason="not-found")
    await back(people, old)
    esewa.pays(old["reference"])
    settlement = server.services.settlement
    what_is_due = settlement._due

    async def and_then_it_changes(payment_id: str) -> int | None:
        due = await what_is_due(payment_id)
        await set_honey(bookings.customer, booking, 5_000)
        return due

    monkeypatch.setattr(settlement, "_due", and_then_it_changes)
    await back(people, old)
    await settlement.idle()
    shown = await show(bookings.customer, old)
    assert (shown["status"], shown["needs_review"]) == ("REFUNDED", True)
    assert esewa.refunds == {old["reference"]: before["total_fee"]}
    assert (await bookings.show(booking["id"]))["payment_status"] == "FAILED"
    assert not any((await ledger_totals(server)).values())


@pytest.mark.logs_errors("request")
async def test_a_webhook_is_not_taken_while_the_provider_cannot_be_asked(
    people: People, bookings: Bookings, khalti: ToldProvider
):
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    khalti.is_down = True
    for _ in range(2):
        untaken = await send_webhook(people, payment["reference"])
        assert (untaken.status_code, untaken.json()["type"]) == (500, "callback-failed")
    admin = await people.admin()
    rows = (await admin.api.get("/api/admin/callbacks/")).json()["results"]
    assert [(row["outcome"], row["processed_at"]) for row in rows] == [("failed", None)] * 2
    khalti.is_down = False
    assert (await send_webhook(people, payment["reference"])).json()["outcome"] == "processed"


async def test_a_silent_provider_holds_up_no_other(
    server: RunningServer,
    people: People,
    bookings: Bookings,
    khalti: ToldProvider,
    esewa: ToldProvider,
    monkeypatch: pytest.MonkeyPatch,
):
    silent = []
    for _ in range(20):
        person = await people.customer()
        begun = await person.api.post(
            "/api/payments/create-payment-intent/",
            json={"pandit_id": bookings.pandit.pandit_id, "payment_method": "KHALTI"},
        )
        silent.append(begun.raise_for_status().json())
    booking = await bookings.book(payment_method="ESEWA")
    payment = await pay(bookings.customer, booking["id"], "ESEWA")
    esewa.pays(payment["reference"])
    await bookings.pass_time(minutes=2)
    over = asyncio.Event()
    asked: list[str] = []

    async def hang(attempt: AttemptFacts, now: datetime) -> Verdict:
        asked.append(attempt.reference)
        await over.wait()
        raise GatewayUnavailable

    monkeypatch.setattr(khalti, "verify", hang)
    async with payment_socket(server.port, bookings.customer.access) as socket:
        passing = asyncio.create_task(server.services.settlement.reconcile())
        await socket.where(lambda each: each.get("status") == "COMPLETED")
    assert not over.is_set()
    over.set()
    await passing
    # After some calls without an answer it is left alone; the rest waits as if it had not answered.
    assert 3 <= len(asked) < len(silent)
    due = await server.services.settlement.reconcile()
    assert due == 0


async def test_a_refund_is_settled_by_staff_once_and_only_when_it_waits_for_them(
    server: RunningServer, people: People, bookings: Bookings, khalti: ToldProvider
):
    booking = await bookings.book(payment_method="KHALTI")
    payment = await pay(bookings.customer, booking["id"])
    khalti.pays(payment["reference"])
    await back(people, payment)
    admin = await people.admin()
    url = f"/api/admin/payments/{payment['id']}/"
    khalti.refund_answers = [RefundState.MANUAL, RefundState.PENDING]

    async def settle(refund: dict[str, Any], is_done: bool) -> int:
        path = f"{url}refunds/{refund['id']}/"
        return (await admin.api.post(path, json={"is_done": is_done})).status_code

    async def refunds() -> list[dict[str, Any]]:
        await server.services.settlement.idle()
        found: list[dict[str, Any]] = (await admin.api.get(url)).json()["attempts"][0]["refunds"]
        return found

    browser = await signed_in(people, admin)

    async def page(language: str) -> str:
        path = f"/admin/payments/{payment['id'].partition('.')[0]}/"
        await browser.post("/language/", language=language, next=path)
        return (await browser.get(path)).text

    for to in ("ORIGINAL", "ORIGINAL", "WALLET"):
        wanted = {"amount": 50_000, "note": "asked", "to": to}
        path = f"/api/payments/{payment['id']}/refund/"
        assert (await admin.api.post(path, json=wanted)).status_code == 200
    manual, pending, wallet = await refunds()
    assert [each["state"] for each in (manual, pending, wallet)] == ["manual", "pending", "done"]
    # One waits for staff; codes are told in words.
    for language, words in (("en", "to be made by hand"), ("ne", "हातले")):
        shown = await page(language)
        assert shown.count("/settle-refund/") == 1
        assert words in shown
        assert not re.search(r"· (manual|pending|done|staff) ·|>(start|return): ", shown)
    before = await ledger_totals(server)
    for refund in (pending, wallet):
        for is_done in (True, False):
            assert await settle(refund, is_done) == 409
    assert await ledger_totals(server) == before
    assert [each["state"] for each in await refunds()] == ["manual", "pending", "done"]
    assert await settle(manual, is_done=True) == 200
    settled = await ledger_totals(server)
    # Another member of staff has the page of before.
    for is_done in (False, True):
        assert await settle(manual, is_done) == 409
    assert await ledger_totals(server) == settled
    assert [each["state"] for each in await refunds()] == ["done", "pending", "done"]


async def test_after_a_refund_the_same_pandit_can_be_unlocked_again(
    server: RunningServer, people: People, bookings: Bookings, khalti: ToldProvider
):
    customer, pandit = bookings.customer, bookings.pandit
    wanted = {"pandit_id": pandit.pandit_id}
    admin = await people.admin()

    async def unlock() -> dict[str, Any]:
        begun = await customer.api.post(
            "/api/payments/create-payment-intent/", json={**wanted, "payment_method": "KHALTI"}
        )
        assert begun.status_code == 201, begun.text
        payment: dict[str, Any] = begun.json()
        khalti.pays(payment["reference"])
        await back(people, payment)
        return payment

    async def room() -> dict[str, Any]:
        found: dict[str, Any] = (await customer.api.post("/api/chat/rooms/", json=wanted)).json()
        return found

    first = await unlock()
    opened = await room()
    answer = await admin.api.post(f"/api/payments/{first['id']}/refund/", json={"note": "wrong"})
    assert answer.status_code == 200, answer.text
    await server.services.settlement.idle()
    assert (await room())["is_active"] is False
    profile = await customer.api.get(f"/api/pandits/{pandit.pandit_id}/")
    assert profile.json()["contact"] is None
    second = await unlock()
    assert second["id"] != first["id"]
    again = await room()
    assert (again["id"], again["is_active"]) == (opened["id"], True)
    sent = await customer.api.post(
        "/api/messages/send/", json={"room_id": again["id"], "content": "Namaste"}
    )
    assert sent.status_code == 201
    profile = await customer.api.get(f"/api/pandits/{pandit.pandit_id}/")
    assert profile.json()["contact"] is not None
    assert await ledger_totals(server) == {"gateway:KHALTI": 3000, "income:unlocks": -3000}
    third = await customer.api.post(
        "/api/payments/create-payment-intent/", json={**wanted, "payment_method": "KHALTI"}
    )
    assert (third.status_code, third.json()["type"]) == (409, "already-paid")
