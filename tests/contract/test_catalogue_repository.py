"""The contract of ``ports.CatalogueRepository``, against a real database."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from server.domain.catalogue import Catalogue
from server.paths import data_path
from server.store.catalogue import MongoCatalogueRepository
from server.store.catalogue_files import load_catalogue


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(data_path("config") / "catalogue")


@pytest.fixture
async def repository(store, catalogue):
    repository = MongoCatalogueRepository(store)
    await repository.sync(catalogue)
    return repository


async def names(repository, query="", category_id=None):
    page = await repository.list_items(query=query, category_id=category_id, limit=100, after=None)
    return [item.name for item in page.rows]


async def test_what_was_synced_is_read_back_whole(repository, catalogue):
    assert set(await repository.list_pujas()) == set(catalogue.pujas)
    assert await repository.list_categories() == catalogue.categories
    assert set(await repository.list_puja_categories()) == set(catalogue.puja_categories)
    found = await repository.find_items([item.id for item in catalogue.items])
    assert set(found.values()) == set(catalogue.items)
    assert await repository.find_puja("griha-pravesh") in catalogue.pujas


async def test_what_does_not_exist_is_not_found(repository):
    assert await repository.find_puja("no-such-puja") is None
    named = ("griha-pravesh", "no-such-puja", "griha-pravesh")
    assert await repository.known_pujas(named) == {"griha-pravesh"}
    assert await repository.known_pujas([]) == frozenset()
    assert await repository.find_items(["haldi", "no-such-item"]) == await repository.find_items(
        ["haldi"]
    )
    assert await repository.find_items([]) == {}


async def test_a_second_sync_of_the_same_writes_nothing(repository, store, catalogue):
    items = store.collection("samagri_items")
    await items.update_one({"_id": "haldi"}, {"$set": {"price": 1}})
    await repository.sync(catalogue)
    assert (await repository.find_items(["haldi"]))["haldi"].price == 1


async def test_a_changed_catalogue_is_written_and_what_it_lacks_stays(repository, catalogue):
    changed = replace(
        catalogue,
        items=tuple(replace(item, price=77_700) for item in catalogue.items if item.id == "haldi"),
    )
    await repository.sync(changed)
    found = await repository.find_items(["haldi", "kumkum"])
    assert found["haldi"].price == 77_700
    assert "kumkum" in found


async def test_what_was_edited_stays_and_gets_what_it_has_not_had_yet(repository, store, catalogue):
    puja = await repository.find_puja("pasni")
    edited = replace(puja, requirements=puja.requirements[:1])
    await repository.put_pujas([edited])
    # As a server wrote it that did not know this field.
    await store.collection("pujas").update_one({"_id": "pasni"}, {"$unset": {"is_repeatable": ""}})
    changed = replace(
        catalogue, pujas=tuple(replace(each, description="New.") for each in catalogue.pujas)
    )
    await repository.sync(changed)
    assert await repository.find_puja("pasni") == edited
    assert not edited.is_repeatable
    assert (await repository.find_puja("nwaran")).description == "New."


async def test_several_processes_may_sync_at_once(store, catalogue):
    await asyncio.gather(*(MongoCatalogueRepository(store).sync(catalogue) for _ in range(4)))
    assert len(await MongoCatalogueRepository(store).list_pujas()) == len(catalogue.pujas)


@pytest.mark.parametrize("query", ["haldi", "HAL", "turm", "बेसार", "hald turmeric"])
async def test_items_are_found_by_beginnings_of_any_spelling(repository, query):
    assert "Haldi (Turmeric)" in await names(repository, query)


@pytest.mark.parametrize("query", ["aldi", "haldi coconut", "haldix"])
async def test_items_are_not_found_by_other_text(repository, query):
    assert await names(repository, query) == []


async def test_items_are_listed_by_category(repository, catalogue):
    expected = {item.name for item in catalogue.items if item.category_id == "tika"}
    assert set(await names(repository, category_id="tika")) == expected


async def test_items_that_are_switched_off_are_listed_apart(repository, catalogue):
    (kumkum,) = [item for item in catalogue.items if item.id == "kumkum"]
    await repository.put_items([replace(kumkum, is_active=False)])
    for query, category_id in (("", None), ("kumkum", "tika")):
        page = await repository.list_items(
            query=query, category_id=category_id, limit=10, after=None, is_active=False
        )
        assert [item.id for item in page.rows] == ["kumkum"]
    assert kumkum.name not in await names(repository, "kumkum")


async def test_many_items_are_written_without_holding_up_the_loop(repository, catalogue):
    kumkum = catalogue.items[0]
    many = [
        replace(kumkum, id=f"new-{n}", name=f"New Item {n}", name_ne=f"नयाँ सामग्री {n}", aliases=())
        for n in range(1_500)
    ]
    longest, is_done = 0.0, False

    async def probe() -> None:
        nonlocal longest
        while not is_done:
            # Work of this thread alone: whatever else the machine does meanwhile does not count.
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    async with asyncio.TaskGroup() as group:
        group.create_task(probe())
        await repository.put_items(many)
        is_done = True
    assert len(await repository.all_items()) == len(catalogue.items) + len(many)
    assert longest < 0.06


async def test_pages_of_items_hold_each_item_once(repository, catalogue):
    seen, after = [], None
    while True:
        page = await repository.list_items(query="", category_id=None, limit=7, after=after)
        assert len(page.rows) <= 7
        seen += [item.id for item in page.rows]
        after = page.next_key
        if after is None:
            break
    assert len(seen) == len(set(seen)) == len(catalogue.items)
    first = await repository.list_items(query="", category_id=None, limit=100, after=None)
    assert [item.name for item in first.rows] == sorted(item.name for item in first.rows)
