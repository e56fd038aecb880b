from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest

from server.domain.events import EventKind
from server.domain.notification import Notification
from server.domain.ports.notifications import NotificationRepository
from server.store.client import DESCENDING, ObjectIds, Store
from server.store.notifications import COLLECTION, MongoNotificationRepository
from tests.fakes.notifications import MemoryNotificationRepository

NOW = datetime(2026, 11, 22, 4, 15, tzinfo=UTC)
_events = itertools.count(1)


@pytest.fixture(params=["mongo", "fake"])
def notifications(request: pytest.FixtureRequest) -> NotificationRepository:
    if request.param == "fake":
        return MemoryNotificationRepository()
    return MongoNotificationRepository(request.getfixturevalue("store"))


def notification(user_id: str = "sita", event_id: str | None = None) -> Notification:
    return Notification(
        id=ObjectIds().new(),
        user_id=user_id,
        sequence=0,
        event_id=event_id or f"event-{next(_events)}",
        notification_type=EventKind.BOOKING_ACCEPTED,
        title="Booking accepted",
        title_ne="बुकिङ स्वीकृत भयो",
        message="Ram has accepted Satyanarayan Puja.",
        message_ne="रामले सत्यनारायण पूजा स्वीकार गर्नुभयो।",
        booking_id="b1",
        data={"booking_id": "b1", "status": "ACCEPTED"},
        created_at=NOW,
    )


async def fill(notifications: NotificationRepository, count: int) -> list[Notification]:
    added = [await notifications.add(notification()) for _ in range(count)]
    return [row for row in added if row is not None]


async def test_what_is_stored_comes_back_whole(notifications: NotificationRepository) -> None:
    added = await notifications.add(notification())
    assert added is not None
    assert added.sequence == 1
    page = await notifications.list_page("sita", unread_only=False, limit=20, after=None)
    assert page.rows == (added,)
    assert page.next_key is None


async def test_each_user_has_a_sequence_of_his_own(notifications: NotificationRepository) -> None:
    for user_id in ("sita", "ram", "sita"):
        await notifications.add(notification(user_id))
    assert await notifications.head("sita") == 2
    assert await notifications.head("ram") == 1
    assert await notifications.head("nobody") == 0


async def test_an_event_that_comes_again_is_not_stored_again(
    notifications: NotificationRepository,
) -> None:
    assert await notifications.add(notification(event_id="e1"))
    assert await notifications.add(notification(event_id="e1")) is None
    assert await notifications.add(notification("ram", event_id="e1"))
    assert await notifications.head("sita") == 1


async def test_one_event_ten_times_at_once_is_stored_once(
    notifications: NotificationRepository,
) -> None:
    added = await asyncio.gather(
        *(notifications.add(notification(event_id="e1")) for _ in range(10))
    )
    assert sum(row is not None for row in added) == 1
    assert await notifications.head("sita") == 1


async def test_numbers_have_no_gap_and_no_repeat_whoever_races(
    notifications: NotificationRepository,
) -> None:
    twice = [notification(event_id=f"e{number}") for number in range(20)] * 2
    await asyncio.gather(*(notifications.add(row) for row in (*twice, *twice)))
    rows = await notifications.list_after("sita", 0, 100)
    assert [row.sequence for row in rows] == list(range(1, 21))
    assert {row.event_id for row in rows} == {row.event_id for row in twice}


async def test_pages_run_from_the_newest_to_the_end(notifications: NotificationRepository) -> None:
    await fill(notifications, 7)
    seen, after = [], None
    while True:
        page = await notifications.list_page("sita", unread_only=False, limit=3, after=after)
        seen.append([row.sequence for row in page.rows])
        if (after := page.next_key) is None:
            break
    assert seen == [[7, 6, 5], [4, 3, 2], [1]]


async def test_a_client_gets_what_it_lacks_in_order(notifications: NotificationRepository) -> None:
    await fill(notifications, 6)
    assert [row.sequence for row in await notifications.list_after("sita", 2, 3)] == [3, 4, 5]
    assert await notifications.list_after("sita", 6, 3) == []


async def test_marking_by_id_and_up_to_a_number(notifications: NotificationRepository) -> None:
    rows = await fill(notifications, 6)
    assert await notifications.mark_read("sita", NOW, ids=[rows[4].id, "unknown"]) == 1
    assert await notifications.mark_read("sita", NOW, up_to=2) == 2
    later = NOW + timedelta(hours=1)
    assert await notifications.mark_read("sita", later, up_to=2) == 0
    assert await notifications.mark_read("sita", later, ids=[]) == 0
    assert await notifications.unread_count("sita") == 3
    page = await notifications.list_page("sita", unread_only=True, limit=20, after=None)
    assert [row.sequence for row in page.rows] == [6, 4, 3]
    page = await notifications.list_page("sita", unread_only=False, limit=20, after=None)
    assert {row.sequence: row.read_at for row in page.rows if row.is_read} == {
        5: NOW, 2: NOW, 1: NOW,
    }  # fmt: skip
    assert await notifications.mark_read("sita", later) == 3
    assert await notifications.unread_count("sita") == 0


async def test_nobody_can_mark_or_see_anothers(notifications: NotificationRepository) -> None:
    rows = await fill(notifications, 2)
    assert await notifications.mark_read("ram", NOW, ids=[row.id for row in rows]) == 0
    assert await notifications.mark_read("ram", NOW, up_to=10) == 0
    assert await notifications.mark_read("ram", NOW) == 0
    assert await notifications.unread_count("sita") == 2
    assert await notifications.list_after("ram", 0, 10) == []
    page = await notifications.list_page("ram", unread_only=False, limit=20, after=None)
    assert page.rows == ()


@pytest.mark.parametrize(
    "query",
    [
        {"user_id": "sita"},
        {"user_id": "sita", "is_read": False},
        {"user_id": "sita", "sequence": {"$lt": 5}},
        {"user_id": "sita", "is_read": False, "sequence": {"$lte": 5}},
    ],
    ids=["all", "unread", "older", "unread-up-to"],
)
async def test_every_query_uses_an_index(store: Store, query: dict[str, object]) -> None:
    await fill(MongoNotificationRepository(store), 10)
    plan = await store.collection(COLLECTION).explain(
        query, sort=(("sequence", DESCENDING),), limit=21
    )
    winning = str(plan["queryPlanner"]["winningPlan"])
    assert "IXSCAN" in winning
    assert "COLLSCAN" not in winning
