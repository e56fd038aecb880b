"""The contract of ``ports.PanditRepository``, against a real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from server.domain.account import GeoPoint, Place
from server.domain.errors import AlreadyExists
from server.domain.events import Event, EventKind
from server.domain.pandit import VerificationStatus
from server.domain.ports.pandits import PanditSearch
from server.domain.recommendation import PanditCandidate
from server.domain.search import coarse_point
from server.store.client import DuplicateKey
from server.store.pandit_directory import IndexedPanditRepository
from server.store.pandits import COLLECTION, MongoPanditRepository, search_pipeline
from tests.pandit_factory import JOINED, make_pandit, make_service

THAMEL = GeoPoint(27.7154, 85.3123)


@pytest.fixture(params=[MongoPanditRepository, IndexedPanditRepository])
def repository(store, request):
    return request.param(store)


def at(latitude, longitude, **words):
    return Place(point=GeoPoint(latitude, longitude), **words)


@pytest.fixture
async def town(repository):
    """Five bookable pandits, and three whom nobody may find."""
    pandits = [
        make_pandit(
            "lazimpat", rating=4.5, review_count=40, experience_years=10,
            services=(make_service("s1", price=300_000),),
        ),
        make_pandit(
            "patan", full_name="Śyām Upādhyāya", full_name_ne="श्याम उपाध्याय",
            rating=4.9, review_count=60, experience_years=25,
            location=at(27.6766, 85.3247, area="Mangal Bazar", city="Lalitpur"),
            languages=("ne", "new"),
            services=(
                make_service("s2", price=200_000),
                make_service("s3", puja_id="griha-pravesh", name="Griha Pravesh", price=500_000),
            ),
        ),
        make_pandit(
            "pokhara", full_name="Hari Prasad Joshi", rating=4.0, review_count=10,
            experience_years=4,
            location=at(28.2096, 83.9856, area="Lakeside", city="Pokhara"),
            services=(make_service("s4", price=150_000),),
        ),
        make_pandit(
            "nowhere", full_name="Krishna Aryal", rating=5.0, review_count=1,
            experience_years=1, location=Place(city="Dharan"),
            services=(make_service("s5", price=100_000, is_available=False),),
        ),
        make_pandit("idle", rating=3.0, review_count=9, experience_years=0, services=()),
        make_pandit("off", is_available=False, services=()),
        make_pandit("waiting", verification_status=VerificationStatus.PENDING, services=()),
        make_pandit("refused", verification_status=VerificationStatus.REJECTED, services=()),
    ]  # fmt: skip
    for pandit in pandits:
        await repository.add(pandit)
    return {pandit.id: pandit for pandit in pandits}


async def ids(repository, **wanted):
    page = await repository.search(PanditSearch(**wanted))
    return [hit.pandit.id for hit in page.rows]


async def test_a_pandit_is_read_back_whole(repository):
    event = Event(id="p.2.0", kind=EventKind.PANDIT_REGISTERED, at=JOINED, recipients=("admin",))
    for pandit in (make_pandit("full", outbox=(event,)), make_pandit("bare", services=())):
        await repository.add(pandit)
        assert await repository.find(pandit.id) == pandit
        assert await repository.find_by_user(pandit.user_id) == pandit
    assert (await repository.find_by_service("service-of-full")).id == "full"
    assert await repository.find_by_service("nothing") is None
    assert await repository.find("nothing") is None
    assert await repository.find_by_user("nothing") is None


async def test_an_account_has_one_profile(repository):
    await repository.add(make_pandit("one"))
    with pytest.raises(AlreadyExists):
        await repository.add(make_pandit("two", user_id="user-of-one", services=()))


async def test_a_service_belongs_to_one_pandit(repository):
    await repository.add(make_pandit("one"))
    other = make_pandit("two", services=())
    await repository.add(other)
    await repository.add(make_pandit("three", services=()))
    with pytest.raises(DuplicateKey):
        await repository.replace(replace(other, services=(make_service("service-of-one"),)))


async def test_of_two_writers_of_one_version_one_wins(repository):
    await repository.add(make_pandit("one"))
    read = await repository.find("one")
    assert await repository.replace(replace(read, bio="first"))
    assert not await repository.replace(replace(read, bio="second"))
    stored = await repository.find("one")
    assert (stored.bio, stored.version) == ("first", read.version + 1)


async def test_only_approved_and_available_pandits_are_found(repository, town):
    bookable = {"lazimpat", "patan", "pokhara", "nowhere", "idle"}
    for sort in ("recommended", "rating", "price", "experience"):
        assert set(await ids(repository, sort=sort)) == bookable
    assert set(await ids(repository, sort="distance", near=THAMEL)) == bookable - {"nowhere"}


async def test_a_change_is_found_at_once(repository, town):
    await repository.replace(replace(town["off"], is_available=True, full_name="Bishnu Sharma"))
    assert await ids(repository, text="bishnu") == ["off"]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("recommended", ["patan", "lazimpat", "pokhara", "nowhere", "idle"]),
        ("rating", ["nowhere", "patan", "lazimpat", "pokhara", "idle"]),
        ("experience", ["patan", "lazimpat", "pokhara", "nowhere", "idle"]),
        ("price", ["pokhara", "patan", "lazimpat", "idle", "nowhere"]),
        ("distance", ["idle", "lazimpat", "patan", "pokhara"]),
    ],
)
async def test_every_order_holds_over_pages(repository, town, sort, expected):
    wanted = PanditSearch(sort=sort, near=THAMEL, limit=2)
    whole = await repository.search(replace(wanted, limit=100))
    assert [hit.pandit.id for hit in whole.rows] == expected
    assert whole.next_key is None
    seen, after = [], None
    for _ in range(4):
        page = await repository.search(replace(wanted, after=after))
        seen += [hit.pandit.id for hit in page.rows]
        after = page.next_key
        if after is None:
            break
    assert seen == expected


async def test_a_page_of_pandits_with_equal_values_loses_nobody(repository):
    for number in range(7):
        await repository.add(make_pandit(f"p{number}", services=()))
    for sort in ("recommended", "rating", "price", "experience", "distance"):
        seen, after = [], None
        for _ in range(4):
            page = await repository.search(
                PanditSearch(sort=sort, near=THAMEL, limit=2, after=after)
            )
            seen += [hit.pandit.id for hit in page.rows]
            after = page.next_key
        assert after is None
        assert sorted(seen) == [f"p{number}" for number in range(7)]


async def test_puja_price_and_availability_hold_for_one_and_the_same_service(repository, town):
    satyanarayan = ("satyanarayan-puja",)
    found = await ids(repository, puja_ids=satyanarayan)
    assert set(found) == {"lazimpat", "patan", "pokhara"}
    assert set(await ids(repository, puja_ids=satyanarayan, max_price=200_000)) == {
        "patan", "pokhara",
    }  # fmt: skip
    assert await ids(repository, puja_ids=("griha-pravesh",), max_price=499_999) == []
    assert await ids(repository, puja_ids=("griha-pravesh",)) == ["patan"]
    assert await ids(repository, puja_ids=()) == []


async def test_the_price_of_a_hit_is_that_of_the_puja_asked_for(repository, town):
    async def price(**wanted):
        page = await repository.search(PanditSearch(**wanted))
        return {hit.pandit.id: hit.price for hit in page.rows}

    assert (await price(puja_ids=("griha-pravesh",)))["patan"] == 500_000
    assert (await price())["patan"] == 200_000
    assert (await price())["nowhere"] is None


async def test_language_and_rating_filter(repository, town):
    assert await ids(repository, language="new") == ["patan"]
    assert set(await ids(repository, min_rating=4.5)) == {"lazimpat", "patan", "nowhere"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shyam", {"patan"}),
        ("pooja", {"lazimpat", "patan", "pokhara", "nowhere", "idle"}),
        ("syam", {"patan"}),
        ("श्याम", {"patan"}),
        ("SYAM upa", {"patan"}),
        ("lalit", {"patan"}),
        ("lakeside hari", {"pokhara"}),
        ("griha", {"patan"}),
        ("सत्यनारायण", {"lazimpat", "patan", "pokhara", "nowhere", "idle"}),
        ("lazimpat pokhara", set()),
        ("$ne .*", set()),
    ],
)
async def test_words_match_beginnings_in_names_places_and_services(
    repository, town, text, expected
):
    assert set(await ids(repository, text=text)) == expected


async def test_a_radius_restricts_and_nearness_alone_does_not(repository, town):
    assert set(await ids(repository, near=THAMEL, radius_km=3.0)) == {"lazimpat", "idle"}
    assert set(await ids(repository, near=THAMEL, radius_km=10.0)) == {"lazimpat", "idle", "patan"}
    assert "nowhere" in await ids(repository, near=THAMEL)


async def test_distances_are_measured_from_the_public_place(repository, town):
    page = await repository.search(PanditSearch(near=GeoPoint(27.72, 85.32), limit=100))
    away = {hit.pandit.id: hit.distance_km for hit in page.rows}
    assert away["lazimpat"] == 0.0
    assert away["pokhara"] == pytest.approx(142, abs=2)
    assert away["nowhere"] is None


async def test_a_search_is_one_command_with_a_bounded_answer():
    wanted = PanditSearch(near=THAMEL, radius_km=5.0, text="ram", limit=20)
    pipeline = search_pipeline(wanted)
    assert {"$limit": 21} in pipeline
    assert not any("$lookup" in stage for stage in pipeline)


async def test_searches_use_an_index(repository, town, store):
    pandits = store.collection(COLLECTION)
    bookable = {"verification_status": "APPROVED", "is_available": True}
    for query, sort in (
        (bookable, (("ranking", -1), ("_id", -1))),
        ({**bookable, "search_keys": "rm"}, None),
        ({**bookable, "services.puja_id": "griha-pravesh"}, None),
        ({"services.id": "s1"}, None),
        ({"user_id": "user-of-patan"}, None),
        ({"verification_status": "PENDING"}, (("date_joined", 1), ("_id", 1))),
    ):
        plan = str(await plan_of(pandits, query, sort))
        assert "IXSCAN" in plan
        assert "COLLSCAN" not in plan


async def plan_of(collection, query, sort):
    explained = await collection.explain(query, sort=sort, limit=20)
    return plain(explained["queryPlanner"]["winningPlan"])


def plain(value):
    if hasattr(value, "items"):
        return {name: plain(each) for name, each in value.items()}
    return value


@pytest.mark.parametrize(
    ("status", "order"),
    [
        (VerificationStatus.PENDING, ["w0", "w1", "w2"]),
        (VerificationStatus.REJECTED, ["w2", "w1", "w0"]),
    ],
)
async def test_those_who_wait_longest_are_verified_first(repository, status, order):
    for number in (2, 0, 1):
        await repository.add(
            make_pandit(
                f"w{number}",
                services=(),
                verification_status=status,
                date_joined=JOINED + timedelta(days=number),
            )
        )
    first = await repository.list_by_status(status, limit=2, after=None)
    assert [pandit.id for pandit in first.rows] == order[:2]
    second = await repository.list_by_status(status, limit=2, after=first.next_key)
    assert [pandit.id for pandit in second.rows] == order[2:]
    assert second.next_key is None


async def test_candidates_are_the_page_of_the_search_with_what_a_ranking_reads(repository, town):
    for wanted in (
        PanditSearch(limit=3),
        PanditSearch(near=THAMEL, sort="distance", limit=100),
        PanditSearch(puja_ids=("griha-pravesh",), sort="price", limit=100),
        PanditSearch(max_price=250_000, limit=100),
    ):
        page = await repository.search(wanted)
        assert page.rows
        assert await repository.candidates(wanted) == tuple(
            PanditCandidate(
                pandit_id=hit.pandit.id,
                languages=hit.pandit.languages,
                experience_years=hit.pandit.experience_years,
                rating=hit.pandit.rating,
                review_count=hit.pandit.review_count,
                point=hit.pandit.location.point and coarse_point(hit.pandit.location.point),
                price=hit.price,
            )
            for hit in page.rows
        )


async def test_hits_come_in_the_order_asked_without_those_who_cannot_be_booked(repository, town):
    wanted = PanditSearch(near=THAMEL)
    hits = await repository.hits(["patan", "no-such", "waiting", "off", "lazimpat"], wanted)
    assert [hit.pandit.id for hit in hits] == ["patan", "lazimpat"]
    page = await repository.search(replace(wanted, limit=100))
    assert set(hits) <= set(page.rows)
