"""No list makes more database commands for a hundred rows than for ten."""

from __future__ import annotations

import typing

import httpx
import pytest

from bench.commands import Recorder
from server.app import RunningServer
from server.routes import ROUTES
from server.schemas.base import PageResponse
from tests.crowd import Crowd, make_crowd
from tests.support import People, Person

pytestmark = pytest.mark.timeout(180)
FRESH_DATABASE = True
PUJA = "satyanarayan-puja"

LISTS: dict[str, list[tuple[str, dict[str, str]]]] = {
    "/api/pujas/": [("customer", {})],
    "/api/samagri/categories/": [("customer", {})],
    "/api/samagri/items/": [("customer", {})],
    "/api/samagri/templates/": [("customer", {"puja_id": PUJA})],
    "/api/admin/catalogue/templates/": [("admin", {}), ("admin", {"puja_id": PUJA})],
    "/api/pandits/": [
        ("customer", {}),
        ("customer", {"puja_id": PUJA, "sort": "price"}),
        ("customer", {"lat": "27.72", "lng": "85.32", "sort": "distance"}),
    ],
    "/api/services/": [("pandit", {})],
    "/api/reviews/": [("customer", {"pandit_id": "{pandit_id}"})],
    "/api/bookings/": [("customer", {}), ("pandit", {}), ("admin", {})],
    "/api/chat/rooms/": [("customer", {}), ("pandit", {})],
    "/api/messages/": [("customer", {"room_id": "{room_id}"})],
    "/api/notifications/": [("customer", {}), ("customer", {"unread": "true"})],
    "/api/users/me/samagri-preferences/": [("customer", {})],
    "/api/payments/": [("customer", {})],
    "/api/wallet/entries/": [("customer", {})],
    "/api/pandits/me/earnings/entries/": [("pandit", {})],
    "/api/payouts/": [("pandit", {})],
    "/api/admin/payments/": [
        ("admin", {}),
        ("admin", {"status": "PENDING"}),
        ("admin", {"needs_review": "true"}),
        ("admin", {"refunds": "true"}),
    ],
    "/api/admin/callbacks/": [("admin", {}), ("admin", {"outcome": "processed"})],
    "/api/admin/payouts/": [("admin", {}), ("admin", {"status": "ASKED"})],
    "/api/admin/ledger/": [("admin", {}), ("admin", {"account": "gateway:KHALTI"})],
    "/api/admin/reviews/": [("admin", {"state": "published"})],
    "/api/admin/pandits/": [("admin", {"verification_status": "APPROVED"})],
    "/api/admin/catalogue/imports/": [("admin", {})],
    "/api/admin/audit/": [("admin", {}), ("admin", {"act": "pandit-approved"})],
    "/api/admin/users/": [
        ("admin", {}),
        ("admin", {"q": "sita"}),
        ("admin", {"q": "98123"}),
        ("admin", {"role": "user", "is_active": "true"}),
    ],
    "/api/recurrences/": [("customer", {})],
    "/api/kundali/": [("customer", {})],
}
"""Every list that may be long, by whom it is asked and with what."""
OF_A_FEW = {"/api/bookings/{booking_id}/choose/"}


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def listeners(recorder: Recorder) -> list[Recorder]:
    return [recorder]


def list_routes() -> set[str]:
    return {
        route.path
        for route in ROUTES
        if (declared := getattr(getattr(route.handler, "get", None), "__operation__", None))
        and typing.get_origin(declared.returns) is PageResponse
    }


def test_every_list_is_measured():
    assert LISTS.keys() | OF_A_FEW == list_routes()


async def commands_for(
    api: httpx.AsyncClient, recorder: Recorder, path: str, params: dict[str, str], limit: int
) -> tuple[int, list[str]]:
    """The rows of an answer, and the names of the fewest commands that it took in three tries.

    The fewest, because the first also reads what is then believed for a few seconds; sorted,
    because what is asked at once comes in any order.
    """
    tries = []
    rows = 0
    for _ in range(3):
        answer = await api.get(path, params={**params, "limit": str(limit)})
        rows = len(answer.raise_for_status().json()["results"])
        tries.append(sorted(each["name"] for each in recorder.take_of(answer)))
    return rows, min(tries, key=len)


def filled(params: dict[str, str], crowd: Crowd) -> dict[str, str]:
    return {
        name: value.format(pandit_id=crowd.pandit.pandit_id, room_id=crowd.room_id)
        for name, value in params.items()
    }


async def test_a_hundred_rows_cost_as_many_commands_as_ten(
    server: RunningServer, people: People, recorder: Recorder
):
    crowd = await make_crowd(server, people)
    for path, askers in LISTS.items():
        for role, params in askers:
            asker: Person = getattr(crowd, role)
            given = filled(params, crowd)
            few, for_few = await commands_for(asker.api, recorder, path, given, 10)
            many, for_many = await commands_for(asker.api, recorder, path, given, 100)
            assert (few, many) == (10, 100), (path, role, params)
            assert for_few == for_many, (path, role, params)
            assert 0 < len(for_many) <= 8, (path, role, for_many)
