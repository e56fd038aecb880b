"""The index in memory and the database's own search find the same pandits in the same order."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from server.domain.account import GeoPoint, Place
from server.domain.pandit import VerificationStatus
from server.domain.ports.pandits import PanditSearch
from server.domain.search import Word
from server.store.pandit_directory import IndexedPanditRepository
from server.store.pandits import MongoPanditRepository
from tests.pandit_factory import JOINED, make_pandit, make_service

PUJAS = ("satyanarayan-puja", "griha-pravesh", "rudri-puja")
NAMES = ("Ram Sharma", "Shyam Joshi", "Hari Prasad Bhattarai", "Gopal Upadhyaya")
SORTS = ("recommended", "rating", "experience", "price", "distance")
THAMEL = GeoPoint(27.7154, 85.3123)


def somebody(chance: random.Random, pandit_id: str):
    point = None
    if chance.random() < 0.9:
        point = GeoPoint(27.7 + chance.uniform(-0.4, 0.4), 85.3 + chance.uniform(-0.4, 0.4))
    services = tuple(
        make_service(
            f"{pandit_id}-{puja}",
            pandit_id=pandit_id,
            puja_id=puja,
            name=puja.replace("-", " ").title(),
            price=100_000 * chance.randrange(1, 6),
            is_available=chance.random() < 0.9,
        )
        for puja in PUJAS
        if chance.random() < 0.6
    )
    return make_pandit(
        pandit_id,
        full_name=chance.choice(NAMES),
        full_name_ne="",
        rating=chance.randrange(0, 11) / 2,
        review_count=chance.randrange(0, 4),
        experience_years=chance.randrange(0, 5),
        languages=tuple(sorted(chance.sample(("ne", "new", "mai", "sa"), 2))),
        location=Place(city=chance.choice(("Kathmandu", "Lalitpur")), point=point),
        services=services,
        is_available=chance.random() < 0.9,
        verification_status=(
            VerificationStatus.APPROVED if chance.random() < 0.8 else VerificationStatus.PENDING
        ),
    )  # fmt: skip


def something(chance: random.Random) -> PanditSearch:
    sort = chance.choice(SORTS)
    near = THAMEL if sort == "distance" or chance.random() < 0.4 else None
    word = Word(("rm",), frozenset({"rudri-puja"}))
    return PanditSearch(
        puja_ids=chance.choice([None, None, (PUJAS[0],), (PUJAS[2],), PUJAS[:2], ()]),
        text=chance.choice(["", "", "", "sharma", "laxmi", "hari lalit", "श्याम", "griha pravesh"]),
        words=chance.choice([(), (), (), (word,)]),
        near=near,
        radius_km=chance.choice([None, 5.0, 20.0]) if near else None,
        min_rating=chance.choice([None, None, 2.5]),
        max_price=chance.choice([None, None, 250_000]),
        language=chance.choice([None, None, "mai"]),
        sort=sort,
        limit=chance.choice([3, 7, 50]),
    )


async def whole(repository, search):
    ids = []
    while True:
        page = await repository.search(search)
        ids += [(hit.pandit.id, hit.price) for hit in page.rows]
        if page.next_key is None:
            return ids
        assert len(page.rows) == search.limit
        search = replace(search, after=page.next_key)


@pytest.mark.timeout(120)
async def test_two_hundred_searches_while_pandits_change(store):
    chance = random.Random(20261121)
    database, index = MongoPanditRepository(store), IndexedPanditRepository(store)
    town = {f"p{number:02}": somebody(chance, f"p{number:02}") for number in range(60)}
    for pandit in town.values():
        await database.add(pandit)
    found = 0
    for round_number in range(200):
        search = something(chance)
        expected = await whole(database, search)
        assert await whole(index, search) == expected, search
        found += len(expected)
        if round_number % 5 == 0:
            # Written past the index, as another process would.
            changed = chance.choice(list(town.values()))
            new = replace(
                somebody(chance, changed.id),
                version=changed.version,
                updated_at=JOINED + timedelta(seconds=round_number),
            )
            assert await database.replace(new)
            town[changed.id] = replace(new, version=new.version + 1)
    assert found > 500
