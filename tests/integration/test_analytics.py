"""Figures for each role over the running server: the answers, the tables, the pages."""

from __future__ import annotations

import csv
import io
from datetime import date
from typing import Any

import pytest

from server.app import RunningServer
from server.domain.booking import PaymentMethod
from server.domain.gateway import PaymentGateway
from server.handlers.openapi import document
from server.routes import ROUTES
from server.schemas.tables import BOM, csv_text, rupees, shown
from tests.integration.test_pages import signed_in, text_of
from tests.payments import Bookings, ToldProvider, pay
from tests.support import FakeClock, People, Person

FIGURES = "/api/bookings/booking-analytics/"
NOVEMBER = {"month": "2026-11"}


@pytest.fixture
def provider() -> ToldProvider:
    return ToldProvider()


@pytest.fixture
def providers(provider: ToldProvider) -> dict[PaymentMethod, PaymentGateway]:
    return {PaymentMethod.KHALTI: provider}


async def figures(person: Person, **query: str) -> dict[str, Any]:
    answer = await person.api.get(FIGURES, params=query)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def table(person: Person, name: str, **query: str) -> list[list[str]]:
    answer = (await person.api.get(f"{FIGURES}{name}.csv", params=query)).raise_for_status()
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith(f'attachment; filename="{name}-')
    assert answer.text.startswith(BOM)
    return list(csv.reader(io.StringIO(answer.text.removeprefix(BOM))))


@pytest.fixture
async def held(
    server: RunningServer, people: People, clock: FakeClock, provider: ToldProvider
) -> Bookings:
    """One puja held and paid in cash, one paid online and waiting, one declined."""
    bookings = await Bookings.make(server, people, clock)
    online = await bookings.book(payment_method="KHALTI")
    begun = await pay(bookings.customer, online["id"])
    (reference,) = provider.orders
    provider.pays(reference)
    (await bookings.customer.api.get(f"/api/payments/{begun['id']}/")).raise_for_status()
    await server.services.payments.check(await actor(server, bookings.customer), begun["id"])
    cash = await bookings.book()
    declined = await bookings.book()
    clock.advance(minutes=7)
    (
        await bookings.pandit.api.post(
            f"/api/bookings/{declined['id']}/reject/", json={"reason": "away"}
        )
    ).raise_for_status()
    clock.advance(minutes=2)
    await bookings.hold_puja(cash["id"])
    return bookings


async def actor(server: RunningServer, person: Person) -> Any:
    return await server.services.accounts.actor_of(person.access)


async def test_a_customer_sees_what_is_ahead_and_what_he_spent(held: Bookings) -> None:
    found = await figures(held.customer)
    assert found["role"] == "user"
    assert (found["period"]["from"], found["period"]["to"]) == ("2025-12-01", "2026-11-25")
    assert found["upcoming"] == 1
    assert found["history"] == {"COMPLETED": 1, "PENDING": 1, "FAILED": 1}
    assert found["spent"] == 500_000
    assert [each["spent"] for each in found["by_month"]] == [0] * 11 + [500_000]
    assert found["by_month"][-1]["month"] == {
        "calendar": "ad",
        "code": "2026-11",
        "from": "2026-11-01",
        "to": "2026-11-25",
    }
    (puja,) = found["by_puja"]
    assert (puja["puja_id"], puja["payments"], puja["spent"]) == ("satyanarayan-puja", 2, 500_000)
    assert puja["name_ne"]


async def test_a_pandit_sees_his_answers_and_what_he_earned(held: Bookings) -> None:
    found = await figures(held.pandit)
    assert found["role"] == "pandit"
    assert found["waiting"] == 1
    answers = found["answers"]
    assert (answers["accepted"], answers["declined"], answers["open"]) == (1, 1, 1)
    assert answers["acceptance"] == {"count": 1, "of": 2, "rate": 0.5}
    assert answers["response_seconds"] == (7 + 9) * 60 / 2
    assert found["held"]["completion"] == {"count": 1, "of": 1, "rate": 1.0}
    commission = 25_000
    assert (found["earned"], found["paid_out"]) == (250_000 - commission, 0)
    assert found["owed"] == commission
    assert found["by_month"][-1]["in_cash"] == 250_000 - commission
    assert {each["count"] for each in found["ratings"]} == {0}
    stranger = await figures(await held.people.pandit("Other Pandit"))
    assert (stranger["earned"], stranger["answers"]["accepted"], stranger["waiting"]) == (0, 0, 0)


async def test_an_administrator_sees_the_platform(held: Bookings) -> None:
    admin = await held.people.admin()
    found = await figures(admin, **NOVEMBER)
    assert found["role"] == "admin"
    assert (found["placed"], found["value"]) == (3, 750_000)
    assert found["statuses"] == {"COMPLETED": 1, "PENDING": 1, "FAILED": 1}
    assert found["completion"] == {"count": 1, "of": 2, "rate": 0.5}
    assert len(found["by_day"]) == 30
    (day,) = [each for each in found["by_day"] if each["placed"]]
    assert (day["day"], day["date_bs"], day["placed"]) == ("2026-11-22", "2083-08-06", 3)
    income = found["income"]
    assert (income["turnover"], income["commission"], income["revenue"]) == (
        250_000,
        25_000,
        25_000,
    )
    assert [each["income"]["revenue"] for each in found["income_by_month"]] == [25_000]
    methods = {each["payment_method"]: each for each in found["methods"]}
    assert methods["KHALTI"]["success"] == {"count": 1, "of": 1, "rate": 1.0}
    assert methods["CASH"]["amount"] == 250_000
    funnel = found["funnel"]
    assert (funnel["placed"], funnel["offered"], funnel["accepted"]) == (3, 3, 1)
    assert (funnel["completed"], funnel["paid"]) == (1, 1)
    assert [each["key"] for each in found["pujas"]] == ["satyanarayan-puja"]
    assert [(each["key"], each["bookings"]) for each in found["regions"]] == [("", 3)]
    assert found["recommendations"]["results"] == []


async def test_revenue_is_that_of_the_ledger(server: RunningServer, held: Bookings) -> None:
    admin = await held.people.admin()
    found = await figures(admin, **{"from": "2026-11-22", "to": "2026-11-25"})
    query = {"from": "2026-11-22", "to": "2026-11-25"}
    answer = await admin.api.get("/api/admin/ledger/totals/", params=query)
    totals = {each["account"]: each["amount"] for each in answer.json()["totals"]}
    assert found["income"]["commission"] == -totals["commission"]
    assert found["income"]["revenue"] == -sum(
        totals.get(name, 0) for name in ("commission", "income:unlocks", "income:kept")
    ) - totals.get("adjustments", 0)


async def test_what_people_look_at_is_counted(
    server: RunningServer, people: People, held: Bookings
) -> None:
    nobody = await people.nobody()
    for _ in range(3):
        (await nobody.get("/api/pandits/")).raise_for_status()
    (await nobody.get(f"/api/pandits/{held.pandit.pandit_id}/")).raise_for_status()
    begun = {"booking_step": "service_selection", "service_id": held.pandit.service_id}
    draft = await held.customer.api.post("/api/booking-wizard/create-step/", json=begun)
    draft.raise_for_status()
    await server.services.visits.flush()
    funnel = (await figures(await people.admin(), **NOVEMBER))["funnel"]
    assert (funnel["searched"], funnel["viewed"], funnel["drafted"]) == (3, 1, 1)
    assert funnel["placed"] == 3, "a draft is no booking yet"
    earlier = (await figures(await people.admin(), month="2026-01"))["funnel"]
    assert (earlier["searched"], earlier["placed"]) == (None, 0)


async def test_months_are_those_of_either_calendar(held: Bookings) -> None:
    by_bs = await figures(held.customer, calendar="bs")
    assert by_bs["period"]["from_bs"] == "2082-09-01"
    assert by_bs["by_month"][-1]["month"]["code"] == "2083-08"
    assert sum(each["spent"] for each in by_bs["by_month"]) == by_bs["spent"] == 500_000
    mangsir = await figures(held.customer, month_bs="2083-08")
    assert mangsir["period"] == {
        "from": "2026-11-17",
        "to": "2026-12-15",
        "from_bs": "2083-08-01",
        "to_bs": "2083-08-29",
    }
    (month,) = mangsir["by_month"]
    assert (month["month"]["calendar"], month["spent"]) == ("bs", 500_000)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2026-11-02", "to": "2026-11-01"}, "to"),
        ({"from": "2020-01-01", "to": "2026-11-01"}, "to"),
        ({"from": "0001-01-01"}, "from"),
        ({"month": "2026-13"}, "month"),
        ({"month": "0000-01"}, "month"),
        ({"month": "9999-12"}, "month"),
        ({"month": "November"}, "month"),
        ({"month_bs": "2083-13"}, "month_bs"),
        ({"month_bs": "9999-01"}, "month_bs"),
        ({"month": "2026-11", "month_bs": "2083-08"}, "month_bs"),
        ({"month": "2026-11", "from": "2026-11-01"}, "from"),
        ({"to": "0001-01-05", "calendar": "bs"}, "to"),
        ({"to": "0001-01-05"}, "to"),
        ({"calendar": "julian"}, "calendar"),
        ({"whose": "everybody"}, "whose"),
    ],
)
async def test_days_that_make_no_sense_are_refused_by_name(
    people: People, query: dict[str, str], field: str
) -> None:
    for person in (await people.customer(), await people.admin()):
        answer = await person.api.get(FIGURES, params=query)
        assert answer.status_code == 422, answer.text
        assert [each["field"] for each in answer.json()["errors"]] == [field]


async def test_tables_go_to_spreadsheets_and_that_is_on_record(held: Bookings) -> None:
    admin = await held.people.admin()
    rows = await table(admin, "bookings", **NOVEMBER)
    assert rows[0][:4] == ["day", "day_bs", "placed", "PENDING"]
    assert len(rows) == 31
    assert [row[2] for row in rows if row[0] == "2026-11-22"] == ["3"]
    assert (await table(admin, "revenue", **NOVEMBER))[25][-1] == "250.00"
    methods = await table(admin, "methods", **NOVEMBER)
    assert [row[0] for row in methods[1:]] == ["CASH", "KHALTI"]
    for name in (
        "bookings-by-month",
        "revenue-by-month",
        "funnel",
        "pujas",
        "regions",
        "recommendations",
    ):
        assert len(await table(admin, name)) >= 1
    spent = await table(held.customer, "spending")
    assert spent[-1][-1] == "5000.00"
    assert (await table(held.customer, "pujas"))[1][0] == "satyanarayan-puja"
    assert len(await table(held.pandit, "earnings")) == 13
    audit = (await admin.api.get("/api/admin/audit/", params={"act": "data-exported"})).json()
    tables = [row["target_id"] for row in audit["results"] if row["target_kind"] == "analytics"]
    assert sorted(tables) == sorted(
        [
            "bookings",
            "bookings-by-month",
            "revenue",
            "methods",
            "revenue-by-month",
            "funnel",
            "pujas",
            "regions",
            "recommendations",
        ]
    )
    assert audit["results"][-1]["details"] == {"first": "2026-11-01", "last": "2026-11-30"}
    for person, name in ((held.customer, "revenue"), (held.pandit, "pujas"), (admin, "earnings")):
        assert (await person.api.get(f"{FIGURES}{name}.csv")).status_code == 404


async def test_a_towns_name_that_is_a_formula_stays_a_text(held: Bookings) -> None:
    evil = '=HYPERLINK("http://evil.example","Click")'
    wish = held.wish(
        service_location="HOME", address="House 1", city=evil, booking_date="2026-11-30"
    )
    (await held.customer.api.post("/api/bookings/", json=wish)).raise_for_status()
    rows = await table(await held.people.admin(), "regions", **NOVEMBER)
    assert rows[-1][1] == f"'{evil}"
    assert rows[-1][0] == f"'{evil.lower()}"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\u00a0+", "＝"])
def test_no_text_begins_a_formula(start: str) -> None:
    assert shown(f"{start}1+1") == f"'{start}1+1"
    (cell,) = next(csv.reader(io.StringIO(csv_text([[f"{start}1+1"]]))))
    assert cell.startswith("'")


def test_numbers_days_and_plain_texts_stay_as_they_are() -> None:
    cells = (-5, 2.5, rupees(-12_345), date(2026, 11, 22), None, "Kathmandu", "सीता", "a=b")
    assert [shown(cell) for cell in cells] == [
        "-5",
        "2.5",
        "-123.45",
        "2026-11-22",
        "",
        "Kathmandu",
        "सीता",
        "a=b",
    ]


async def test_the_pages_tell_the_figures_in_both_languages(held: Bookings) -> None:
    admin = await held.people.admin()
    family, pandit, desk = [
        await signed_in(held.people, person) for person in (held.customer, held.pandit, admin)
    ]
    text = text_of(await family.get("/dashboard/"))
    for part in ("Your dashboard", "What is ahead", "Rs 5,000", "<py-chart", 'data-n="500000"'):
        assert part in text
    text = text_of(await pandit.get("/dashboard/"))
    for part in ("1 request waits for your answer", "Your week", "8 minutes", "50 %", "Rs 2,250"):
        assert part in text
    assert text.count('class="week__day"') == 7
    assert "22 November 2026" in text
    assert "6 Mangsir 2083" in text
    text = text_of(await desk.get("/admin/analytics/?m=ad:2026-11"))
    for part in ("Bookings placed", "Our revenue", "Rs 250", "Most booked pujas", "33.3 %"):
        assert part in text
    assert (await desk.get("/dashboard/")).headers["Location"] == "/admin/analytics/"
    assert "style=" not in text
    assert text.count("data-x=") == 30 + 1
    year = text_of(await desk.get("/admin/analytics/?from=2025-12-01&to=2026-11-30"))
    assert year.count("data-x=") == 12 + 12
    for browser, path, parts in (
        (family, "/dashboard/", ("तपाईंको ड्यासबोर्ड", "रु ५,०००", "मङ्सिर २०८३")),
        (pandit, "/dashboard/", ("१ अनुरोध", "तपाईंको हप्ता", "५० %")),
        (desk, "/admin/analytics/", ("आम्दानी", "रु २५०", "सत्यनारायण")),
    ):
        await browser.get(f"{path}?lang=ne")
        nepali = text_of(await browser.get(path))
        for part in parts:
            assert part in nepali, (path, part)


async def test_a_page_tells_days_that_make_no_sense_and_shows_the_usual_ones(
    people: People,
) -> None:
    for person, path in (
        (await people.customer(), "/dashboard/"),
        (await people.pandit(), "/dashboard/"),
        (await people.admin(), "/admin/analytics/"),
    ):
        browser = await signed_in(people, person)
        answer = await browser.get(f"{path}?from=2026-11-02&to=2026-11-01")
        assert answer.status_code == 422
        assert "The end must come after the beginning." in text_of(answer)
        assert (await browser.get(f"{path}?m=bs:2083-08")).status_code == 200
        assert (await browser.get(f"{path}?m=bs:2083-99")).status_code == 422
        assert (await browser.get(f"{path}?m=")).status_code == 200
        assert (await browser.get(f"{path}?week=nonsense")).status_code == 200
        assert (await browser.get(f"{path}?week=9999-12-31")).status_code == 200


def test_the_document_knows_the_three_shapes() -> None:
    text = document(ROUTES).decode()
    for name in ("Customer", "Pandit", "Platform"):
        assert f"{name}AnalyticsResponse" in text
