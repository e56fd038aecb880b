"""The index in memory stays right: of two processes, under races, and behind a clock's back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from server.domain.ports.pandits import PanditSearch
from server.store.client import Store
from server.store.pandit_directory import IndexedPanditRepository
from server.store.pandits import COLLECTION, pandit_document
from tests.pandit_factory import JOINED, make_pandit


async def ids(repository: IndexedPanditRepository, **wanted) -> list[str]:
    page = await repository.search(PanditSearch(limit=100, **wanted))
    return [hit.pandit.id for hit in page.rows]


async def test_what_one_process_has_written_the_next_search_of_another_finds(store: Store) -> None:
    """Writers race for the same pandits; whoever has written is found by both at once."""
    one, two = IndexedPanditRepository(store), IndexedPanditRepository(store)
    for number in range(3):
        await one.add(make_pandit(f"p{number}", languages=("ne",)))
    seen = 0

    async def speak(writer: IndexedPanditRepository, number: int, turn: int) -> None:
        nonlocal seen
        language = f"{number}-{turn}-{'one' if writer is one else 'two'}"
        pandit = await writer.find(f"p{number}")
        assert pandit is not None
        at = pandit.updated_at + timedelta(milliseconds=turn)
        if await writer.replace(replace(pandit, languages=(language,), updated_at=at)):
            first, second = ids(one, language=language), ids(two, language=language)
            found = await asyncio.gather(first, second)
            later = await writer.find(f"p{number}")
            assert later is not None
            if later.languages == (language,):
                assert [*found] == [[f"p{number}"], [f"p{number}"]]
                seen += 1

    for turn in range(1, 4):
        await asyncio.gather(
            *(speak(writer, number, turn) for number in range(3) for writer in (one, two))
        )
    assert seen >= 9


async def test_what_no_look_can_see_is_found_by_and_by(store: Store) -> None:
    repository = IndexedPanditRepository(store)
    pandits = store.collection(COLLECTION)
    await repository.add(make_pandit("kept", updated_at=JOINED + timedelta(hours=2)))
    for name in ("changed", "deleted"):
        await repository.add(make_pandit(name))
    assert len(await ids(repository)) == 3
    # A host whose clock is slow, a change past the program, and a document that is gone.
    late = make_pandit("late", updated_at=JOINED + timedelta(hours=1, minutes=30))
    await pandits.insert_one(pandit_document(late))
    await pandits.update_one({"_id": "changed"}, {"$set": {"languages": ["mai"]}})
    await pandits.delete_one({"_id": "deleted"})
    assert await ids(repository, language="mai") == []
    assert "late" not in await ids(repository)
    assert await repository.refresh() == 1
    assert await ids(repository, language="mai") == ["changed"]
    assert set(await ids(repository)) == {"kept", "changed", "late"}
    candidates = await repository.candidates(PanditSearch(limit=100))
    assert {each.pandit_id for each in candidates} == {"kept", "changed", "late"}


async def test_refreshing_goes_through_all_and_begins_anew(store: Store) -> None:
    repository = IndexedPanditRepository(store, part_rows=4)
    pandits = store.collection(COLLECTION)
    await pandits.insert_many([pandit_document(make_pandit(f"p{number}")) for number in range(9)])
    await repository.look()
    await repository.add(make_pandit("the-newest", updated_at=JOINED + timedelta(days=1)))
    await repository.look()
    for number in (1, 5, 8):
        await pandits.update_one(
            {"_id": f"p{number}"},
            {"$set": {"languages": ["mai"], "updated_at": JOINED - timedelta(days=1)}},
        )
    found = [len(await ids(repository, language="mai"))]
    for _ in range(3):
        await repository.refresh()
        found.append(len(await ids(repository, language="mai")))
    assert found == [0, 1, 2, 3]
