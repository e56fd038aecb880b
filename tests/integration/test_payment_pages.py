"""Paying through pages, without script, against the sandbox; and what is left on paper."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from server.app import RunningServer
from server.sandbox import keys
from server.settings import EsewaSettings, KhaltiSettings, Settings
from tests.integration.test_pages import Browser, signed_in, text_of
from tests.payments import Bookings
from tests.sandbox_control import SandboxControl, running_sandbox
from tests.support import FakeClock, People


@pytest.fixture
async def sandbox() -> AsyncIterator[SandboxControl]:
    async with running_sandbox() as control:
        yield control


@pytest.fixture
def settings(settings: Settings, sandbox: SandboxControl) -> Settings:
    return dataclasses.replace(
        settings,
        khalti=KhaltiSettings(
            enabled=True,
            api_url=f"{sandbox.url}/khalti/api/v2/",
            refund_url=f"{sandbox.url}/khalti/api/",
            secret_key=min(keys.KHALTI_SECRET_KEYS),
        ),
        esewa=EsewaSettings(
            enabled=True,
            product_code=keys.ESEWA_PRODUCT_CODE,
            secret_key=keys.ESEWA_SECRET_KEY,
            form_url=f"{sandbox.url}/esewa/api/epay/main/v2/form",
            status_url=f"{sandbox.url}/esewa/api/epay/transaction/status/",
        ),
    )


@pytest.fixture
async def bookings(server: RunningServer, people: People, clock: FakeClock) -> Bookings:
    return await Bookings.make(server, people, clock)


@pytest.fixture
async def family(people: People, bookings: Bookings) -> Browser:
    return await signed_in(people, bookings.customer)


async def begin(family: Browser, booking_id: str, method: str) -> str:
    """Choose a way to pay; where the form leads."""
    answer = await family.post(f"/bookings/{booking_id}/pay/", payment_method=method)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


async def pay_at_khalti(
    family: Browser, sandbox: SandboxControl, address: str, action: str = "pay"
) -> httpx.Response:
    """Go to Khalti, press a button there, and come back to the payment's page."""
    page = text_of(await family.get(address))
    provider = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', page)
    assert provider is not None
    back = await sandbox.client.post(provider[1], data={"action": action})
    assert back.status_code == 303, back.text
    returned = httpx.URL(back.headers["Location"])
    answer = await family.get(f"{returned.path}?{returned.query.decode()}", Accept="text/html")
    assert answer.status_code == 303
    return await family.get(answer.headers["Location"])


async def test_the_step_shows_price_policy_and_ways_before_anything_is_paid(family, bookings):
    booking = await bookings.book()
    page = text_of(await family.get(f"/bookings/{booking['id']}/pay/"))
    assert "Rs 2,500" in page
    assert "Cancelled by" in page
    assert "Cancelled before a pandit accepts: everything back" in page
    assert "Cancelled later: nothing back" in page
    assert "Test, no real money" in page
    wallet = re.search(r'<input[^>]*value="WALLET"[^>]*>', page)
    assert wallet is not None
    assert "disabled" in wallet[0]
    assert "There is only Rs 0 in it." in page


async def test_a_booking_is_paid_at_khalti_through_pages(family, bookings, sandbox):
    booking = await bookings.book(payment_method="KHALTI")
    shown = text_of(await family.get(f"/bookings/{booking['id']}/"))
    assert "Your time is held until" in shown
    assert "Pay now" in shown
    address = await begin(family, booking["id"], "KHALTI")
    assert address.endswith("/go/")
    waiting = text_of(await family.get(address.removesuffix("go/")))
    assert "We wait for Khalti" in waiting
    assert "Go on paying" in waiting
    page = text_of(await pay_at_khalti(family, sandbox, address))
    assert "Paid. Thank you!" in page
    assert (await family.get(address)).headers["Location"] == address.removesuffix("go/")
    assert "Nothing more is due" in text_of(await family.get(f"/bookings/{booking['id']}/pay/"))
    listed = text_of(await family.get("/payments/"))
    assert "Khalti" in listed
    assert "Paid" in listed


@pytest.mark.parametrize("refund_to", ["ORIGINAL", "WALLET"])
async def test_a_paid_day_of_a_series_is_skipped_only_by_whoever_has_seen_what_comes_back(
    family, bookings, sandbox, clock, server, refund_to
):
    weekly = {"frequency": "weekly", "count": 2}
    booking = await bookings.book(payment_method="KHALTI", recurrence=weekly)
    await pay_at_khalti(family, sandbox, await begin(family, booking["id"], "KHALTI"))
    await bookings.accept(booking["id"])
    (series,) = (await bookings.customer.api.get("/api/recurrences/")).json()["results"]
    path = f"/series/{series['id']}/"
    # A day and a half before: three quarters come back.
    clock.set(bookings.starts_at(booking) - timedelta(hours=36))
    await bookings.pass_time(seconds=1)
    await family.sign_in(bookings.customer)
    asked = text_of(await family.post(path, do="skip", number="0"))
    assert "Cancelled now: Rs 1,875 back" in asked
    assert "Cancelled later: nothing back" in asked
    assert 'name="number" value="0"' in asked
    assert (await bookings.show(booking["id"]))["status"] == "ACCEPTED"
    said = await family.post(path, do="skip", number="0", confirmed="true", refund_to=refund_to)
    assert said.headers["Location"] == path
    assert (await bookings.show(booking["id"]))["status"] == "CANCELLED"
    kept = await server.services.bookings.find(booking["id"])
    assert kept.refund_to_wallet is (refund_to == "WALLET")


async def test_a_cancelled_payment_says_so_and_can_be_tried_again(family, bookings, sandbox):
    booking = await bookings.book(payment_method="KHALTI")
    address = await begin(family, booking["id"], "KHALTI")
    page = text_of(await pay_at_khalti(family, sandbox, address, "cancel"))
    assert "Payment failed" in page
    assert f'href="/bookings/{booking["id"]}/pay/"' in page
    again = await begin(family, booking["id"], "KHALTI")
    assert "Paid. Thank you!" in text_of(await pay_at_khalti(family, sandbox, again))


async def test_only_the_page_that_posts_to_a_service_may_post_there(family, bookings, sandbox):
    booking = await bookings.book(payment_method="ESEWA")
    answer = await family.get(await begin(family, booking["id"], "ESEWA"))
    policy = answer.headers["Content-Security-Policy"]
    assert f"form-action 'self' {sandbox.url};" in policy
    form = re.search(r'<form method="post" action="([^"]+/esewa/[^"]+)">(.*?)</form>', answer.text)
    assert form or "signature" in answer.text
    assert "_xsrf" not in answer.text.split("py-handover")[1]
    other = await family.get(f"/bookings/{booking['id']}/pay/")
    assert "form-action 'self';" in other.headers["Content-Security-Policy"]


@pytest.mark.logs_errors("request")
async def test_a_service_that_is_away_is_told_on_the_form(family, bookings, sandbox):
    booking = await bookings.book()
    await sandbox.order("khalti", "service-down")
    answer = await family.post(f"/bookings/{booking['id']}/pay/", payment_method="KHALTI")
    assert answer.status_code == 503
    assert "does not answer" in text_of(answer)
    assert "Cancelled by" in text_of(answer)


async def test_the_invoice_agrees_with_the_booking_and_is_for_its_parties(
    family, bookings, sandbox, people
):
    booking = await bookings.book(payment_method="KHALTI", samagri_required=True)
    await pay_at_khalti(family, sandbox, await begin(family, booking["id"], "KHALTI"))
    booking = await bookings.show(booking["id"])
    page = text_of(await family.get(f"/bookings/{booking['id']}/invoice/"))
    assert "Invoice · बीजक" in page
    rows = re.findall(r"Rs ([\d,.]+)</td>", page[: page.index("<tfoot>")])
    paisa = sum(round(float(each.replace(",", "")) * 100) for each in rows)
    assert paisa == booking["total_fee"]
    assert "Khalti" in page
    assert bookings.customer.phone not in page
    assert bookings.pandit.phone not in page
    file = await family.get(f"/api/bookings/{booking['id']}/invoice.pdf")
    assert file.headers["Content-Type"] == "application/pdf"
    assert file.content.startswith(b"%PDF-")
    pandit = await signed_in(people, bookings.pandit)
    assert (await pandit.get(f"/bookings/{booking['id']}/invoice/")).status_code == 200
    stranger = await signed_in(people, await people.customer())
    for path in (
        f"/bookings/{booking['id']}/invoice/",
        f"/api/bookings/{booking['id']}/invoice.pdf",
    ):
        assert (await stranger.get(path)).status_code == 404


async def test_a_paid_attempt_has_a_receipt_and_an_open_one_has_none(family, bookings, sandbox):
    booking = await bookings.book(payment_method="KHALTI")
    address = await begin(family, booking["id"], "KHALTI")
    own = address.removesuffix("go/")
    assert (await family.get(f"{own}receipt/")).status_code == 404
    await pay_at_khalti(family, sandbox, address)
    assert "Receipt · रसिद" in text_of(await family.get(f"{own}receipt/"))
    file = await family.get(f"/api{own}receipt.pdf")
    assert file.content.startswith(b"%PDF-")


async def test_a_pandit_is_unlocked_and_shown(family, bookings, sandbox):
    pandit_id = bookings.pandit.pandit_id
    before = text_of(await family.get(f"/pandits/{pandit_id}/"))
    assert "Write to him now for Rs 30" in before
    answer = await family.post(f"/pandits/{pandit_id}/unlock/", payment_method="KHALTI")
    page = text_of(await pay_at_khalti(family, sandbox, answer.headers["Location"]))
    assert "You can write to the pandit now" in page
    assert "Open the chats" in text_of(await family.get(f"/pandits/{pandit_id}/unlock/"))
    room = re.search(r'href="(/chats/\w+/)"', text_of(await family.get("/chats/")))
    assert room is not None
    chat = text_of(await family.get(room[1]))
    # It belongs to no booking.
    assert "/bookings/None/" not in chat
    assert f'href="/pandits/{pandit_id}/"' in chat
    assert "chat__composer" in chat


async def test_money_goes_into_the_wallet_and_a_booking_is_paid_from_it(family, bookings, sandbox):
    answer = await family.post("/wallet/", payment_method="KHALTI", amount="3,000.50")
    page = text_of(await pay_at_khalti(family, sandbox, answer.headers["Location"]))
    assert "The money is in your wallet" in page
    assert "Rs 3,000.50" in text_of(await family.get("/wallet/"))
    booking = await bookings.book(payment_method="WALLET")
    address = await begin(family, booking["id"], "WALLET")
    assert not address.endswith("go/")
    assert "Paid. Thank you!" in text_of(await family.get(address))
    assert "Paid from the wallet" in text_of(await family.get("/wallet/"))


@pytest.mark.parametrize("amount", ["", "0", "-5", "1e99", "nan", "12.345", "abc", "९" * 30])
async def test_an_amount_that_is_none_is_told(family, amount):
    answer = await family.post("/wallet/", payment_method="KHALTI", amount=amount)
    assert answer.status_code in (400, 422)
    assert 'role="alert"' in html.unescape(answer.text)


@pytest.mark.parametrize(
    ("language", "amount", "told"),
    [
        ("en", "5", "Enter Rs 10 or more."),
        ("en", "50,001", "Enter Rs 50000 or less."),
        ("ne", "5", "रु १० वा बढी लेख्नुहोस्।"),
    ],
)
async def test_a_sum_out_of_bounds_names_the_bound(family, language, amount, told):
    await family.post("/language/", language=language)
    answer = await family.post("/wallet/", payment_method="KHALTI", amount=amount)
    assert answer.status_code == 422
    assert told in html.unescape(answer.text)


async def test_a_pandit_sees_what_he_has_earned(people, bookings):
    pandit = await signed_in(people, bookings.pandit)
    page = text_of(await pandit.get("/pandit/earnings/"))
    assert "You can ask for" in page
    refused = await pandit.post("/pandit/earnings/", amount="500", destination="Nabil 0123")
    assert refused.status_code == 409
    assert "Not enough balance" in text_of(refused)


async def test_each_entry_says_of_which_puja_it_is_and_what_it_is_made_of(people, bookings):
    booking = await bookings.book()
    await bookings.hold_puja(booking["id"])
    pandit = await signed_in(people, bookings.pandit)
    page = text_of(await pandit.get("/pandit/earnings/"))
    entries = page[page.index("What has moved") :]
    fee, first_name = f"Rs {booking['total_fee'] // 100:,}", bookings.customer.full_name.split()[0]
    assert f"Cash taken: {booking['service_name']} for {first_name}" in entries
    assert f"Puja held: {booking['service_name']} for {first_name}" in entries
    assert bookings.customer.full_name not in entries
    assert f"{fee} in cash" in entries
    assert f"{fee}, of which Rs 250 is our commission" in entries
    assert "Rs 250 of it is due to us" in entries
    assert "Rs 0" not in entries
    assert page.index("Ask for it") < page.index("What has moved")


@pytest.fixture
async def staff(people: People) -> Browser:
    return await signed_in(people, await people.admin())


async def test_staff_give_money_back_and_it_is_on_record(family, bookings, sandbox, staff, server):
    booking = await bookings.book(payment_method="KHALTI")
    await pay_at_khalti(family, sandbox, await begin(family, booking["id"], "KHALTI"))
    assert "Khalti" in text_of(await staff.get("/admin/payments/?status=COMPLETED"))
    whole = f"/admin/payments/b-{booking['id']}"
    assert "Give money back" in text_of(await staff.get(f"{whole}/"))
    answer = await staff.post(f"{whole}.1/refund/", amount="1,000", note="The family asked.")
    assert answer.headers["Location"] == f"{whole}/"
    page = text_of(await staff.get(f"{whole}/"))
    assert "The refund is on its way." in page
    assert "Rs 1,000" in page
    await server.services.settlement.reconcile()
    assert "Given back" in text_of(await family.get(f"/payments/b-{booking['id']}.1/"))
    record = text_of(await staff.get("/admin/audit/?act=refund-made"))
    assert "The family asked." in record
    refused = await staff.post(f"{whole}.1/refund/", amount="9000", note="Too much.")
    assert refused.status_code == 303
    assert "cannot be given back" in text_of(await staff.get(f"{whole}/"))


async def test_staff_look_at_what_a_customer_disputes(family, bookings, sandbox, staff):
    booking = await bookings.book(payment_method="KHALTI")
    await pay_at_khalti(family, sandbox, await begin(family, booking["id"], "KHALTI"))
    await family.post(f"/payments/b-{booking['id']}.1/dispute/", note="I have paid twice.")
    assert "A person of our team is looking" in text_of(
        await family.get(f"/payments/b-{booking['id']}.1/")
    )
    assert "1 payment needs a person." in text_of(await staff.get("/admin/"))
    whole = f"/admin/payments/b-{booking['id']}"
    page = text_of(await staff.get(f"{whole}/"))
    assert "The customer says that something is wrong." in page
    assert "I have paid twice." in page
    await staff.post(f"{whole}.1/resolve/", note="It was paid once.")
    assert "Nothing here" in text_of(await staff.get("/admin/payments/?needs_review=true"))
    assert "It was paid once." in text_of(await staff.get("/admin/audit/?act=payment-reviewed"))


async def test_staff_see_who_pays_and_find_payments_by_reference_booking_and_customer(
    people, family, bookings, sandbox, staff
):
    booking = await bookings.book(payment_method="KHALTI")
    await pay_at_khalti(family, sandbox, await begin(family, booking["id"], "KHALTI"))
    payer, whole = bookings.customer, f"/admin/payments/b-{booking['id']}/"
    others = [await people.customer("Gita Rai"), await people.customer("Gita Karki")]
    sheet = (await staff.get(whole)).text
    assert f'href="/admin/users/{payer.user_id}/">{payer.full_name}</a>' in sheet
    reference = re.search(r'<dt>Reference</dt><dd class="break">([^<]+)<', sheet)
    assert reference is not None

    async def shown(text: str) -> str:
        return (await staff.client.get("/admin/payments/", params={"q": text})).text

    found = [reference[1], booking["id"], f"b-{booking['id']}.1", payer.phone, payer.full_name]
    for text in found:
        page = await shown(text)
        assert f'href="{whole}"' in page, text
        assert f'href="/admin/users/{payer.user_id}/">{payer.full_name}</a>' in page
    several = await shown("Gita")
    assert whole not in several
    for person in others:
        assert f'href="/admin/payments/?user_id={person.user_id}"' in several
    for text in (f"{reference[1]}0", others[0].phone, "Nobody Knows", "b-"):
        assert "No payment is like that." in await shown(text)


async def test_the_ledger_is_shown_sums_to_zero_and_leaves_as_csv(family, bookings, sandbox, staff):
    booking = await bookings.book(payment_method="KHALTI")
    await pay_at_khalti(family, sandbox, await begin(family, booking["id"], "KHALTI"))
    page = text_of(await staff.get("/admin/ledger/"))
    assert "gateway:KHALTI" in page
    assert "<strong>Rs 0</strong>" in page
    assert "Payment received" in page
    table = await staff.get("/api/admin/ledger.csv")
    assert "gateway:KHALTI,2500.00,,NPR" in table.text
    assert "ledger all" in text_of(await staff.get("/admin/audit/?act=data-exported"))
    wrong = await staff.get("/admin/ledger/?from=2026-11-22&to=2026-11-01")
    assert wrong.status_code in (400, 422)
    assert "Sums of the accounts" in text_of(wrong)


async def test_what_came_in_is_listed_and_payouts_have_their_page(family, bookings, sandbox, staff):
    booking = await bookings.book(payment_method="KHALTI")
    await pay_at_khalti(family, sandbox, await begin(family, booking["id"], "KHALTI"))
    page = text_of(await staff.get("/admin/callbacks/"))
    assert "returning browser" in page
    assert f"b-{booking['id']}.1" in page
    assert "Nothing came in" in text_of(await staff.get("/admin/callbacks/?outcome=forged"))
    assert "No payouts" in text_of(await staff.get("/admin/payouts/"))
    for path in ("/admin/payments/", "/admin/callbacks/", "/admin/payouts/", "/admin/ledger/"):
        assert (await family.get(path)).status_code == 403
