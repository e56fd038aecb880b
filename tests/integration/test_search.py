"""Searching pandits over REST: filters, orders, free times, pages, and what it costs."""

from __future__ import annotations

import pytest

from server.store.client import CommandObserver
from server.store.pandits import COLLECTION, pandit_document
from tests.pandit_factory import make_pandit, make_service


class Counter:
    """Counts the commands that a request sends."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def observe(self, command: str, *_rest: object) -> None:
        self.commands.append(command)


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def listeners(counter):
    return [CommandObserver(counter.observe)]


@pytest.fixture
async def town(server):
    """Thirty bookable pandits; the even ones also offer Griha Pravesh."""
    documents = []
    for number in range(30):
        key = f"p{number:02}"
        services = [make_service(f"{key}-a", pandit_id=key, price=100_000 + 1_000 * number)]
        if number % 2 == 0:
            services.append(
                make_service(
                    f"{key}-b",
                    pandit_id=key,
                    puja_id="griha-pravesh",
                    name="Griha Pravesh",
                    duration_minutes=180,
                    price=500_000,
                )
            )
        documents.append(
            pandit_document(
                make_pandit(
                    key,
                    full_name=f"Pandit {number:02}",
                    experience_years=number,
                    services=tuple(services),
                )
            )
        )
    await server.store.collection(COLLECTION).insert_many(documents)


async def search(api, **params):
    answer = await api.get("/api/pandits/", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(page):
    return [card["id"] for card in page["results"]]


async def test_pages_join_into_the_whole_list(people, town):
    api = await people.nobody()
    whole = ids(await search(api, limit=100, sort="experience"))
    assert whole == [f"p{number:02}" for number in range(29, -1, -1)]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await search(api, limit=7, sort="experience", **cursor)
        seen += ids(page)
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == whole


async def test_a_cursor_is_good_for_its_own_question_only(people, town):
    api = await people.nobody()
    cursor = (await search(api, limit=7, sort="experience"))["next"]
    other = await api.get("/api/pandits/", params={"limit": 7, "sort": "price", "cursor": cursor})
    assert other.status_code == 422


@pytest.mark.parametrize("extra", [{}, {"date": "2026-11-25"}])
async def test_a_hundred_rows_cost_no_more_commands_than_ten(people, town, counter, extra):
    api = await people.nobody()

    async def cost(limit):
        counter.commands.clear()
        page = await search(api, limit=limit, **extra)
        assert len(page["results"]) == min(limit, 30)
        return sorted(counter.commands)

    assert await cost(10) == await cost(100)
    assert counter.commands.count("find") <= 1
    assert counter.commands.count("aggregate") <= 2


async def test_a_card_tells_price_place_and_next_free_time(people, town):
    api = await people.nobody()
    page = await search(api, puja_id="griha-pravesh", lat=27.7154, lng=85.3123, sort="price")
    assert len(page["results"]) == 15
    card = page["results"][0]
    assert (card["price"], card["currency"]) == (500_000, "NPR")
    assert card["service_id"] == f"{card['id']}-b"
    assert card["distance_km"] == pytest.approx(0.9, abs=0.3)
    # Sunday 10:00 in Nepal, two hours of notice
    slot = card["next_free_slot"]
    assert (slot["start"], slot["time"]) == ("2026-11-22T12:00:00+05:45", "12:00")
    assert slot["end"] == "2026-11-22T15:00:00+05:45"
    assert card["is_available"] is True
    assert "contact" not in card


async def test_a_category_means_its_pujas(people, town):
    api = await people.nobody()
    assert len(ids(await search(api, category="home", limit=100))) == 15
    assert ids(await search(api, category="no-such")) == []
    assert ids(await search(api, category="home", puja_id="satyanarayan-puja")) == []
    assert len(ids(await search(api, category="deity", puja_id="satyanarayan-puja"))) == 20


async def test_prices_and_words_restrict(people, town):
    api = await people.nobody()
    cheap = await search(api, max_price=102_000, sort="price")
    assert ids(cheap) == ["p00", "p01", "p02"]
    assert ids(await search(api, q="pandit 07")) == ["p07"]
    assert ids(await search(api, min_rating=0.1)) == []
    assert ids(await search(api, language="mai")) == []


async def test_only_those_free_at_that_time_remain(people):
    free, busy = await people.pandit("Free Acharya"), await people.pandit("Busy Acharya")
    customer = await people.customer()
    booked = await customer.api.post(
        "/api/bookings/",
        json={
            "service_id": busy.service_id,
            "booking_date": "2026-11-25",
            "booking_time": "10:00",
            "service_location": "PANDIT_LOCATION",
            "samagri_required": False,
        },
    )
    assert booked.status_code == 201
    api = customer.api
    at_ten = await search(api, date="2026-11-25", time="10:00")
    assert ids(at_ten) == [free.pandit_id]
    assert at_ten["results"][0]["next_free_slot"]["time"] == "10:00"
    # Busy from 10:00 to 12:30 with the buffer; a booking of two hours needs its own buffer too.
    assert set(ids(await search(api, date="2026-11-25", time="12:30"))) == {
        free.pandit_id, busy.pandit_id,
    }  # fmt: skip
    assert ids(await search(api, date="2026-11-25", time="07:45")) == [free.pandit_id]
    assert len(ids(await search(api, date="2026-11-25"))) == 2
    cancelled = await api.post(
        f"/api/bookings/{booked.json()['id']}/cancel/", json={"reason": "Ill"}
    )
    assert cancelled.status_code == 200
    assert len(ids(await search(api, date="2026-11-25", time="10:00"))) == 2


async def offer_a_shorter_one(pandit, puja_id="satyanarayan-puja"):
    """He works until 18:00; what he had before takes three hours and costs less."""
    short = {"puja_id": puja_id, "name": "Short", "duration_minutes": 60, "price": 200_000}
    return (await pandit.api.post("/api/services/", json=short)).raise_for_status().json()["id"]


async def test_the_time_the_price_and_the_service_of_a_card_belong_together(people):
    pandit = await people.pandit(duration_minutes=180, price=100_000)
    short = await offer_a_shorter_one(pandit)
    customer = await people.customer()
    wanted = {"puja_id": "satyanarayan-puja", "date": "2026-11-25"}

    async def shown(**more):
        (card,) = (await search(customer.api, **{**wanted, **more}))["results"]
        slot = card["next_free_slot"]
        return card["service_id"], card["price"], slot["time"], slot["end"][11:16]

    assert await shown(time="15:00") == (pandit.service_id, 100_000, "15:00", "18:00")
    assert await shown(time="17:00") == (short, 200_000, "17:00", "18:00")
    assert await shown() == (pandit.service_id, 100_000, "06:00", "09:00")
    assert ids(await search(customer.api, **wanted, time="17:00", max_price=150_000)) == []
    # Without a day the cheapest is shown, with its own next time.
    (card,) = (await search(customer.api, puja_id="satyanarayan-puja"))["results"]
    assert (card["service_id"], card["price"]) == (pandit.service_id, 100_000)
    assert card["next_free_slot"]["end"] == "2026-11-22T15:00:00+05:45"
    page = await customer.api.get("/pandits/?date=2026-11-25&time=17:00")
    assert f"/pandits/{pandit.pandit_id}/?service={short}&" in page.text.replace("&amp;", "&")
    booked = await customer.api.post(
        "/api/bookings/",
        json={
            "service_id": short,
            "booking_date": "2026-11-25",
            "booking_time": "17:00",
            "service_location": "PANDIT_LOCATION",
            "samagri_required": False,
        },
    )
    assert booked.status_code == 201, booked.text


async def test_the_prices_shown_keep_their_order_where_the_cheapest_has_no_time(people):
    long, plain = (
        await people.pandit("Long Acharya", duration_minutes=180, price=100_000),
        await people.pandit("Plain Acharya", duration_minutes=60, price=150_000),
    )
    # Of another puja: a search without one looks at all of them.
    await offer_a_shorter_one(long, "griha-pravesh")
    api = await people.nobody()
    when = {"date": "2026-11-25", "sort": "price"}
    assert ids(await search(api, **when, time="10:00")) == [long.pandit_id, plain.pandit_id]
    late = await search(api, **when, time="17:00")
    assert [(card["id"], card["price"]) for card in late["results"]] == [
        (plain.pandit_id, 150_000),
        (long.pandit_id, 200_000),
    ]


@pytest.mark.parametrize(
    "day", ["2026-11-28", "2026-11-21", "2028-01-01", "0001-01-01", "9999-12-31"]
)
async def test_nobody_is_free_on_a_holiday_in_the_past_or_too_far_ahead(people, town, day):
    page = await search(await people.nobody(), date=day)
    assert (page["results"], page["next"]) == ([], None)


async def test_sifting_by_day_fills_the_page_from_later_ones(people, server, town):
    # The fifteen most experienced work on Saturdays only, which the others do not.
    pandits = server.store.collection(COLLECTION)
    saturday = [{"weekday": 6, "intervals": [{"start": "06:00:00", "end": "18:00:00"}]}]
    await pandits.update_many(
        {"experience_years": {"$gte": 15}}, {"$set": {"availability.weekly": saturday}}
    )
    api = await people.nobody()
    page = await search(api, date="2026-11-25", sort="experience", limit=6)
    assert ids(page) == ["p14", "p13", "p12", "p11", "p10", "p09"]
    seen, cursor = ids(page), page["next"]
    while cursor is not None:
        page = await search(api, date="2026-11-25", sort="experience", limit=6, cursor=cursor)
        seen += ids(page)
        cursor = page["next"]
    assert seen == [f"p{number:02}" for number in range(14, -1, -1)]


async def test_at_one_in_the_morning_in_nepal_today_is_nepals(people, town, clock):
    from_utc = "2026-11-22T19:15:00+00:00"  # Monday 01:00 in Nepal, still Sunday in UTC
    clock.set(clock.now().fromisoformat(from_utc))
    card = (await search(await people.nobody(), limit=1))["results"][0]
    assert card["next_free_slot"]["start"] == "2026-11-23T06:00:00+05:45"
    monday = await search(await people.nobody(), date="2026-11-23", limit=1)
    assert monday["results"][0]["next_free_slot"]["date"] == "2026-11-23"
    assert (await search(await people.nobody(), date="2026-11-22"))["results"] == []


async def test_distance_is_measured_from_the_customers_home_when_he_names_no_place(people, town):
    customer = await people.customer()
    assert (await search(customer.api, limit=1))["results"][0]["distance_km"] is None
    refused = await customer.api.get("/api/pandits/", params={"sort": "distance"})
    assert [fault["field"] for fault in refused.json()["errors"]] == ["lat"]
    home = {"area": "Thamel", "point": {"latitude": 27.7154, "longitude": 85.3123}}
    (await customer.api.patch("/api/auth/me/", json={"location": home})).raise_for_status()
    nearest = await search(customer.api, sort="distance", limit=1)
    assert nearest["results"][0]["distance_km"] == pytest.approx(0.9, abs=0.3)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"sort": "cheapest"}, "sort"),
        ({"lat": "27.7"}, "lng"),
        ({"radius_km": "5"}, "lat"),
        ({"lat": "91", "lng": "0"}, "lat"),
        ({"time": "10:00"}, "date"),
        ({"date": "25-11-2026"}, "date"),
        ({"date": "2026-11-25", "time": "25:00"}, "time"),
        ({"min_rating": "6"}, "min_rating"),
        ({"limit": "1000"}, "limit"),
        ({"puja": "x"}, "puja"),
    ],
)
async def test_bad_questions_are_refused_by_field(people, params, field):
    answer = await (await people.nobody()).get("/api/pandits/", params=params)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
