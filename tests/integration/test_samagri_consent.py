"""The samagri of an accepted booking: the family asks, the pandit agrees, whoever races."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from server.app import RunningServer
from server.domain.booking import PaymentMethod
from server.domain.gateway import Outcome
from tests.integration.test_bookings import kinds
from tests.integration.test_pages import signed_in, text_of
from tests.payments import Bookings, ToldProvider, ledger_sums, ledger_totals, pay
from tests.support import FakeClock, People, Person


@pytest.fixture
def khalti() -> ToldProvider:
    return ToldProvider()


@pytest.fixture
def providers(khalti: ToldProvider) -> dict[PaymentMethod, Any]:
    return {PaymentMethod.KHALTI: khalti}


@pytest.fixture
async def bookings(server: RunningServer, people: People, clock: FakeClock) -> Bookings:
    return await Bookings.make(server, people, clock)


class Listed:
    """The samagri of one accepted booking, as its two parties speak of it."""

    def __init__(self, bookings: Bookings, booking: dict[str, Any]) -> None:
        self.bookings = bookings
        self.booking = booking
        self.path = f"/api/bookings/{booking['id']}/samagri/"
        self.family = bookings.customer
        self.pandit = bookings.pandit

    @classmethod
    async def make(cls, bookings: Bookings, **overrides: Any) -> Listed:
        booking = await bookings.book(samagri_required=True, **overrides)
        if "payment_method" not in overrides:
            await bookings.accept(booking["id"])
        return cls(bookings, booking)

    async def show(self, person: Person | None = None) -> dict[str, Any]:
        answer = await (person or self.family).api.get(self.path)
        return dict(answer.raise_for_status().json())

    async def resize(self, item: str, quantity: float) -> httpx.Response:
        return await self.family.api.patch(f"{self.path}{item}/", json={"quantity": quantity})

    async def add(self, item: str, quantity: float = 1, **unit: str) -> httpx.Response:
        return await self.family.api.put(f"{self.path}{item}/", json={"quantity": quantity, **unit})

    async def drop(self, item: str) -> httpx.Response:
        return await self.family.api.delete(f"{self.path}{item}/")

    async def answer(self, revision: int, agree: bool = True) -> httpx.Response:
        return await self.pandit.api.post(
            f"{self.path}proposal/", json={"revision": revision, "agree": agree}
        )

    async def withdraw(self) -> httpx.Response:
        return await self.family.api.delete(f"{self.path}proposal/")

    async def revision(self) -> int:
        return int((await self.show())["proposal"]["revision"])


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"]


def ids(listed: dict[str, Any]) -> list[str]:
    return [line["item"]["id"] for line in listed["results"]]


def own(listed: dict[str, Any]) -> tuple[Any, ...]:
    return (listed["results"], listed["samagri_fee"], listed["total_fee"])


def optional(listed: dict[str, Any]) -> str:
    return str(next(line["item"]["id"] for line in listed["results"] if line["can_remove"]))


async def test_a_list_is_proposed_seen_by_both_and_agreed_to(bookings: Bookings):
    listed = await Listed.make(bookings)
    before = await listed.show()
    assert (before["can_edit"], before["needs_consent"], before["proposal"]) == (True, True, None)
    gone = optional(before)
    (await listed.drop(gone)).raise_for_status()
    (await listed.resize("haldi", 200)).raise_for_status()
    answered = (await listed.add("lotus", 5)).raise_for_status().json()
    assert own(answered) == own(before), "nothing changes before the pandit agrees"
    proposal = (await listed.show())["proposal"]
    for person in (listed.family, listed.pandit, await bookings.people.admin()):
        shown = await listed.show(person)
        assert own(shown) == own(before)
        assert shown["proposal"] == proposal
        assert {"haldi", "lotus"} <= set(ids(proposal))
        assert gone not in ids(proposal)
        assert proposal["samagri_fee"] == sum(
            line["price_at_booking"] for line in proposal["results"]
        )
        assert proposal["total_fee"] == before["service_fee"] + proposal["samagri_fee"]
        assert proposal["difference"] == sum(
            each["price_difference"] for each in proposal["changes"]
        )
        assert {
            each["item"]["id"]: (each["before"] is None, each["after"] is None)
            for each in proposal["changes"]
        } == {"haldi": (False, False), "lotus": (True, False), gone: (False, True)}
        assert proposal["answer_by"] == "2026-11-23T10:00:00+05:45"
    assert not (await listed.show(listed.pandit))["can_edit"]
    asked = (await bookings.show(listed.booking["id"]))["samagri_proposal"]
    assert asked == {name: proposal[name] for name in asked}

    agreed = (await listed.answer(proposal["revision"])).raise_for_status().json()
    assert agreed["proposal"] is None
    assert agreed["results"] == proposal["results"]
    assert agreed["total_fee"] == proposal["total_fee"]
    booking = await bookings.show(listed.booking["id"])
    assert (booking["total_fee"], booking["samagri_fee"]) == (
        proposal["total_fee"],
        proposal["samagri_fee"],
    )
    assert booking["samagri_proposal"] is None
    assert booking["commission_amount"] is None
    assert refused(await listed.answer(proposal["revision"])) == (409, "proposal-changed")


async def test_ten_edits_ring_once_and_each_answer_rings_the_other_side(
    bookings: Bookings, people: People
):
    listed = await Listed.make(bookings)
    for grams in range(200, 1200, 100):
        (await listed.resize("haldi", grams)).raise_for_status()
    assert (await kinds(listed.pandit)).count("BOOKING_SAMAGRI_PROPOSED") == 1
    (await listed.answer(await listed.revision(), agree=False)).raise_for_status()
    assert (await kinds(listed.family))[0] == "BOOKING_SAMAGRI_DECLINED"
    (await listed.resize("haldi", 200)).raise_for_status()
    (await listed.withdraw()).raise_for_status()
    assert refused(await listed.withdraw()) == (409, "proposal-changed")
    assert (await kinds(listed.pandit))[:3] == [
        "BOOKING_SAMAGRI_DECLINED",
        "BOOKING_SAMAGRI_PROPOSED",
        "BOOKING_SAMAGRI_PROPOSED",
    ]
    (await listed.resize("haldi", 200)).raise_for_status()
    (await listed.answer(await listed.revision())).raise_for_status()
    listing = (await listed.family.api.get("/api/notifications/")).json()["results"]
    assert listing[0]["notification_type"] == "BOOKING_SAMAGRI_AGREED"
    assert listing[0]["booking"] == listed.booking["id"]
    total = (await bookings.show(listed.booking["id"]))["total_fee"] / 100
    assert f"Rs. {total:,.0f}" in listing[0]["message"]
    assert listing[0]["message_ne"] != listing[0]["message"]


async def test_an_edit_that_leads_back_leaves_nothing_to_answer(bookings: Bookings):
    listed = await Listed.make(bookings)
    before = await listed.show()
    gone = optional(before)
    (await listed.resize("haldi", 200)).raise_for_status()
    (await listed.resize("haldi", 100)).raise_for_status()
    assert (await listed.show())["proposal"] is None
    line = next(each for each in before["results"] if each["item"]["id"] == gone)
    (await listed.drop(gone)).raise_for_status()
    admin = await bookings.people.admin()
    at = f"/api/admin/catalogue/items/{gone}/"
    item = (await admin.api.get(at)).raise_for_status().json()
    dearer = {name: item[name] for name in item if name not in ("id", "currency")}
    (await admin.api.put(at, json={**dearer, "price": 999_900})).raise_for_status()
    back = (await listed.add(gone, line["quantity"], unit=line["unit"])).raise_for_status().json()
    assert back["proposal"] is None, "what is on the booking keeps its frozen price"
    assert own(await listed.show()) == own(before)


async def test_lists_budgets_and_needed_items_keep_their_rules_after_acceptance(
    bookings: Bookings,
):
    listed = await Listed.make(bookings)
    before = await listed.show()
    assert refused(await listed.drop("haldi")) == (409, "item-required")
    assert (await listed.resize("haldi", 99)).status_code == 422
    tight = await listed.family.api.get(f"{listed.path}budget/", params={"budget": 0})
    plan = tight.raise_for_status().json()
    assert plan["left_out"]
    fitted = await listed.family.api.post(f"{listed.path}budget/", json={"budget": 0})
    assert fitted.raise_for_status().json() == plan
    shown = await listed.show()
    assert own(shown) == own(before)
    assert set(ids(shown["proposal"])) == {each["item"]["id"] for each in plan["results"]}
    assert shown["proposal"]["difference"] < 0
    full = await listed.family.api.post(
        f"{listed.path}template/", json={"template_id": "satyanarayan-guests"}
    )
    chosen = full.raise_for_status().json()
    assert own(chosen) == own(before)
    assert len(chosen["proposal"]["results"]) > len(plan["results"])
    whole = (await listed.family.api.post(listed.path, json={})).raise_for_status().json()
    assert own(whole) == own(before)


async def test_of_an_agreement_and_an_edit_that_race_one_is_told_so(bookings: Bookings):
    for _ in range(4):
        listed = await Listed.make(bookings)
        (await listed.resize("haldi", 200)).raise_for_status()
        seen = (await listed.show())["proposal"]
        agreed, edited = await asyncio.gather(
            listed.answer(seen["revision"]), listed.resize("haldi", 300)
        )
        assert edited.status_code == 200
        after = await listed.show()
        proposed = after["proposal"]["changes"]
        assert [each["after"]["quantity"] for each in proposed] == [300]
        if agreed.status_code == 200:
            assert agreed.json()["results"] == seen["results"]
            assert proposed[0]["before"]["quantity"] == 200
        else:
            assert refused(agreed) == (409, "proposal-changed")
            assert proposed[0]["before"]["quantity"] == 100


async def test_of_two_agreements_and_a_refusal_one_counts(bookings: Bookings):
    listed = await Listed.make(bookings)
    (await listed.resize("haldi", 200)).raise_for_status()
    revision = await listed.revision()
    answers = await asyncio.gather(
        listed.answer(revision), listed.answer(revision), listed.answer(revision, agree=False)
    )
    assert sorted(each.status_code for each in answers) == [200, 409, 409]
    told = await kinds(listed.family)
    ends = [kind for kind in told if kind.startswith("BOOKING_SAMAGRI_")]
    assert len(ends) == 1


async def test_a_price_that_is_being_paid_is_never_changed_by_an_agreement(
    bookings: Bookings, khalti: ToldProvider, server: RunningServer
):
    for _ in range(4):
        listed = await Listed.make(bookings)
        before = await listed.show()
        (await listed.resize("haldi", 900)).raise_for_status()
        seen = (await listed.show())["proposal"]
        agreed, payment = await asyncio.gather(
            listed.answer(seen["revision"]), pay(listed.family, listed.booking["id"])
        )
        after = await listed.show()
        assert after["proposal"] is None
        assert payment["amount"] == after["total_fee"]
        if agreed.status_code == 200:
            assert after["total_fee"] == seen["total_fee"]
        else:
            assert refused(agreed) == (409, "payment-open")
            assert own(after) == own(before)
        assert refused(await listed.resize("haldi", 400)) == (409, "payment-open")
        assert not after["can_edit"]
        khalti.pays(payment["reference"])
        await server.services.payments.check(await actor_of(server, listed.family), payment["id"])
        paid = await bookings.show(listed.booking["id"])
        assert paid["payment_status"] == "COMPLETED"
        assert refused(await listed.resize("haldi", 400)) == (409, "payment-open")
    assert set((await ledger_sums(server)).values()) == {0}


async def test_nobody_pays_another_price_than_he_was_shown(
    bookings: Bookings, people: People, khalti: ToldProvider
):
    listed = await Listed.make(bookings)
    family = await signed_in(people, listed.family)
    page = f"/bookings/{listed.booking['id']}/pay/"
    shown = hidden_amount(text_of(await family.get(page)))
    assert shown == listed.booking["total_fee"]
    (await listed.resize("haldi", 900)).raise_for_status()
    agreed = (await listed.answer(await listed.revision())).raise_for_status().json()
    assert agreed["total_fee"] > shown

    asked_again = await family.post(page, payment_method="KHALTI", amount=str(shown))
    assert asked_again.status_code == 422
    assert "The price has changed since you saw it." in text_of(asked_again)
    assert hidden_amount(text_of(asked_again)) == agreed["total_fee"]
    body = {"booking_id": listed.booking["id"], "payment_method": "KHALTI", "amount": shown}
    refusal = await listed.family.api.post("/api/payments/", json=body)
    assert [(each["field"], each["code"]) for each in refusal.json()["errors"]] == [
        ("amount", "price-changed")
    ]
    assert not (await listed.family.api.get("/api/payments/")).json()["results"]
    assert (await listed.show())["can_edit"], "a payment that never began closes no list"

    await family.post(page, payment_method="KHALTI", amount=str(agreed["total_fee"]))
    begun = (await listed.family.api.get("/api/payments/")).json()["results"]
    assert [each["amount"] for each in begun] == [agreed["total_fee"]]


def hidden_amount(page: str) -> int:
    found = re.search(r'name="amount" value="(\d+)"', page)
    assert found is not None
    return int(found[1])


async def test_who_sits_down_to_pay_lets_go_of_his_proposal_and_may_ask_again_if_it_fails(
    bookings: Bookings, khalti: ToldProvider, server: RunningServer
):
    listed = await Listed.make(bookings)
    (await listed.resize("haldi", 900)).raise_for_status()
    revision = await listed.revision()
    payment = await pay(listed.family, listed.booking["id"])
    assert (await listed.show())["proposal"] is None
    assert (await kinds(listed.pandit))[0] == "BOOKING_SAMAGRI_DECLINED"
    assert refused(await listed.answer(revision)) == (409, "payment-open")
    khalti.says(payment["reference"], Outcome.FAILED)
    actor = await actor_of(server, listed.family)
    await server.services.payments.check(actor, payment["id"])
    assert refused(await listed.answer(revision)) == (409, "proposal-changed")
    (await listed.resize("haldi", 900)).raise_for_status()
    agreed = (await listed.answer(await listed.revision())).raise_for_status().json()

    # The form of the first try was kept, and is paid now: at a price that is no longer due.
    khalti.pays(payment["reference"])
    browser = await bookings.people.nobody()
    await browser.post(
        "/api/payments/webhooks/khalti/",
        content=payment["reference"],
        headers={"Content-Type": "application/json"},
    )
    shown = await bookings.show(listed.booking["id"])
    assert shown["total_fee"] == agreed["total_fee"]
    assert shown["payment_status"] != "COMPLETED", "another sum does not pay for it"


async def test_an_agreed_price_is_what_is_due_in_cash_on_paper_and_in_the_ledger(
    bookings: Bookings, server: RunningServer, people: People
):
    listed = await Listed.make(bookings)
    await pay(listed.family, listed.booking["id"], "CASH")
    (await listed.drop(optional(await listed.show()))).raise_for_status()
    (await listed.resize("haldi", 333)).raise_for_status()
    (await listed.add("lotus", 7)).raise_for_status()
    agreed = (await listed.answer(await listed.revision())).raise_for_status().json()
    total = agreed["total_fee"]
    assert total == agreed["service_fee"] + sum(
        line["price_at_booking"] for line in agreed["results"]
    )
    assert total != listed.booking["total_fee"]
    policy = (await bookings.show(listed.booking["id"]))["refund_policy"]
    assert policy[0]["amount"] == total, "called off in time, all of it would come back"
    await bookings.hold_puja(listed.booking["id"])
    rows = (await listed.family.api.get("/api/payments/")).json()["results"]
    paid = [row for row in rows if row["status"] == "COMPLETED"]
    assert [(row["payment_method"], row["amount"]) for row in paid] == [("CASH", total)]
    family = await signed_in(people, listed.family)
    page = text_of(await family.get(f"/bookings/{listed.booking['id']}/invoice/"))
    prices = re.findall(r"Rs ([\d,.]+)</td>", page[: page.index("<tfoot>")])
    assert sum(round(float(each.replace(",", "")) * 100) for each in prices) == total
    assert len(prices) == len(agreed["results"]) + 1
    totals = await ledger_totals(server)
    commission = round(agreed["service_fee"] * 0.1)
    assert totals["commission"] == -commission
    assert set((await ledger_sums(server)).values()) == {0}


async def test_a_prepaid_list_at_an_agreed_price_flows_to_the_pandit_to_the_paisa(
    bookings: Bookings, khalti: ToldProvider, server: RunningServer
):
    listed = await Listed.make(bookings)
    (await listed.resize("haldi", 777)).raise_for_status()
    agreed = (await listed.answer(await listed.revision())).raise_for_status().json()
    payment = await pay(listed.family, listed.booking["id"])
    assert payment["amount"] == agreed["total_fee"]
    khalti.pays(payment["reference"])
    actor = await actor_of(server, listed.family)
    await server.services.payments.check(actor, payment["id"])
    await bookings.hold_puja(listed.booking["id"])
    commission = round(agreed["service_fee"] * 0.1)
    assert await ledger_totals(server) == {
        "gateway:KHALTI": agreed["total_fee"],
        "commission": -commission,
        "pandit": commission - agreed["total_fee"],
    }


async def test_a_proposal_that_nobody_answers_lapses_once_whoever_sweeps(
    bookings: Bookings, server: RunningServer
):
    listed = await Listed.make(bookings)
    before = await listed.show()
    (await listed.resize("haldi", 200)).raise_for_status()
    revision = await listed.revision()
    await bookings.pass_time(hours=24)
    shown = await listed.show()
    assert shown["proposal"] is None, "nobody can agree to it any more"
    assert refused(await listed.answer(revision)) == (409, "proposal-changed")
    await asyncio.gather(*(server.services.bookings.end_unanswered_proposals() for _ in range(3)))
    assert await server.services.bookings.end_unanswered_proposals() == 0
    assert own(await listed.show()) == own(before)
    for person in (listed.family, listed.pandit):
        assert (await kinds(person)).count("BOOKING_SAMAGRI_LAPSED") == 1


async def test_another_time_and_other_samagri_are_agreed_to_one_by_one(bookings: Bookings):
    listed = await Listed.make(bookings)
    (await listed.resize("haldi", 200)).raise_for_status()
    later = {"booking_date": "2026-11-27", "booking_time": "09:00"}
    path = f"/api/bookings/{listed.booking['id']}/reschedule/"
    (await listed.family.api.post(path, json=later)).raise_for_status()
    moved = (await listed.pandit.api.post(path, json=later)).raise_for_status().json()
    assert moved["booking_date"] == "2026-11-27"
    assert moved["total_fee"] == listed.booking["total_fee"]
    agreed = (await listed.answer(moved["samagri_proposal"]["revision"])).raise_for_status()
    assert agreed.json()["total_fee"] > moved["total_fee"]


async def test_outsiders_see_no_proposal_and_a_puja_that_has_begun_has_none(bookings: Bookings):
    listed = await Listed.make(bookings)
    (await listed.resize("haldi", 200)).raise_for_status()
    revision = await listed.revision()
    stranger, rival = await bookings.people.customer("Gita Rai"), await bookings.people.pandit()
    for outsider in (stranger, rival):
        assert (await outsider.api.get(listed.path)).status_code == 404
    answer = {"revision": revision, "agree": True}
    assert (await rival.api.post(f"{listed.path}proposal/", json=answer)).status_code == 404
    assert (await stranger.api.delete(f"{listed.path}proposal/")).status_code == 404
    await bookings.hold_puja(listed.booking["id"])
    assert refused(await listed.answer(revision)) == (409, "illegal-transition")
    assert refused(await listed.resize("haldi", 300)) == (409, "illegal-transition")
    done = await bookings.show(listed.booking["id"])
    assert (done["samagri_proposal"], done["total_fee"]) == (None, listed.booking["total_fee"])


async def actor_of(server: RunningServer, person: Person) -> Any:
    """Who the server takes the person for."""
    return await server.services.accounts.actor_of(person.access)


# -- pages -----------------------------------------------------------------------------------------


async def test_a_family_asks_and_its_pandit_agrees_without_script(
    bookings: Bookings, people: People
):
    listed = await Listed.make(bookings)
    family = await signed_in(people, listed.family)
    pandit = await signed_in(people, listed.pandit)
    page = f"/bookings/{listed.booking['id']}/"
    assert 'id="samagri-proposal"' not in text_of(await family.get(page))
    done = await family.post(f"{page}samagri/haldi/", quantity="250")
    assert done.headers["Location"] == f"{page}#samagri"
    shown = text_of(await family.get(page))
    assert "Your wish has been noted." in shown
    assert "You ask for other samagri" in shown
    assert "250 g instead of 100 g" in shown
    assert 'name="quantity" value="250"' in shown, "he goes on with what he proposes"
    assert "withdraw-samagri" in shown
    assert "answer-samagri" not in shown
    before = listed.booking["total_fee"]

    assert "Paying in advance withdraws that" in text_of(await family.get(f"{page}pay/"))
    desk = text_of(await pandit.get("/requests/"))
    assert "Proposals to answer" in desk
    assert f"{page}#samagri" in desk
    seen = text_of(await pandit.get(page))
    assert "250 g instead of 100 g" in seen
    assert "withdraw-samagri" not in seen
    revision = re.search(r'name="revision" value="(\d+)"', seen)
    assert revision is not None
    (await listed.resize("haldi", 300)).raise_for_status()
    (await pandit.post(f"{page}answer-samagri/", revision=revision[1], agree="true"))
    late = text_of(await pandit.get(page))
    assert "Please look at it again." in late
    assert "300 g instead of 100 g" in late
    assert (await bookings.show(listed.booking["id"]))["total_fee"] == before
    revision = re.search(r'name="revision" value="(\d+)"', late)
    assert revision is not None
    (await pandit.post(f"{page}answer-samagri/", revision=revision[1], agree="true"))
    assert "You have agreed." in text_of(await pandit.get(page))
    assert (await bookings.show(listed.booking["id"]))["total_fee"] > before
    assert "Proposals to answer" not in text_of(await pandit.get("/requests/"))
    assert 'id="samagri-proposal"' not in text_of(await family.get(page))


async def test_a_page_of_lists_proposes_and_withdraws_in_nepali(bookings: Bookings, people: People):
    listed = await Listed.make(bookings)
    family = await signed_in(people, listed.family)
    await family.get("/bookings/?lang=ne")
    page = f"/bookings/{listed.booking['id']}/samagri/"
    assert "हरेक फेरबदल पण्डितले मान्नुपर्छ" in text_of(await family.get(page))
    await family.post(page, do="template", template_id="satyanarayan-guests")
    shown = text_of(await family.get(page))
    assert "तपाईंले सामग्री फेर्ने प्रस्ताव राख्नुभएको छ" in shown
    proposal = (await listed.show())["proposal"]
    assert "+रु " in shown
    assert shown.count("थपिएको") + shown.count("हटाइएको") + shown.count("को सट्टा") == len(
        proposal["changes"]
    )
    gone = await family.post(f"/bookings/{listed.booking['id']}/withdraw-samagri/", next=page)
    assert (gone.status_code, gone.headers["Location"]) == (303, page)
    assert "प्रस्ताव फिर्ता लिइयो" in text_of(await family.get(page))
    assert (await listed.show())["proposal"] is None


async def test_nobody_answers_on_a_page_who_may_not(bookings: Bookings, people: People):
    listed = await Listed.make(bookings)
    (await listed.resize("haldi", 250)).raise_for_status()
    revision = str(await listed.revision())
    family = await signed_in(people, listed.family)
    page = f"/bookings/{listed.booking['id']}/"
    own_answer = await family.post(f"{page}answer-samagri/", revision=revision, agree="true")
    assert own_answer.status_code == 403
    stranger = await signed_in(people, await people.customer("Gita Rai"))
    assert (await stranger.post(f"{page}withdraw-samagri/")).status_code == 404
    assert (await listed.show())["proposal"] is not None
