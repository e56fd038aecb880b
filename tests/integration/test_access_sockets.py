"""Every socket for everybody: who is let in, who may speak there, and who is told nothing.

Beside the table of the API's routes (``test_access``). A socket without a row here fails the test.
Somebody who is let in gets an answer to his ping; all others are closed with a code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from server.app import RunningServer
from server.domain.booking import PaymentMethod
from server.routes import ROUTES
from tests.integration.test_access import EVERYBODY
from tests.payments import Bookings, ToldProvider, pay
from tests.support import FakeClock, People, Person
from tests.talk import Client, open_socket

OPEN = 0
NOT_SIGNED_IN, NOT_FOUND = 4401, 4404


@dataclass(frozen=True)
class Door:
    """A socket with what stands behind it: ``open_to`` whom, and who of those may say something.

    Others get ``others``; nobody is never let in.
    """

    path: str
    open_to: tuple[str, ...]
    may_say: tuple[str, ...] = ()
    query: str = ""
    others: int = NOT_FOUND
    said: dict[str, Any] = field(default_factory=dict)

    def code(self, who: str) -> int:
        if who == "nobody":
            return NOT_SIGNED_IN
        return OPEN if who in self.open_to else self.others


SIGNED_IN = tuple(who for who in EVERYBODY if who != "nobody")
MEMBERS = ("customer", "pandit")
WORDS = {"type": "message", "kind": "TEXT", "content": "Namaste", "cid": "one"}
DOORS = {
    "room of a booking": Door(
        "/ws/chat/{room_id}/", (*MEMBERS, "admin"), may_say=MEMBERS, said=WORDS
    ),
    # Administrators read along, on record; they never speak.
    "room of an unlock": Door(
        "/ws/chat/{room_id}/", (*MEMBERS, "admin"), may_say=MEMBERS, said=WORDS
    ),
    "no room": Door("/ws/chat/{room_id}/", ()),
    "notifications": Door("/ws/notifications/", SIGNED_IN),
    "payments": Door("/ws/payment/", SIGNED_IN),
    "payment of somebody": Door("/ws/payment/", ("customer", "admin"), query="?payment={payment}"),
}


@pytest.fixture
def khalti() -> ToldProvider:
    return ToldProvider()


@pytest.fixture
def providers(khalti: ToldProvider) -> dict[PaymentMethod, Any]:
    return {PaymentMethod.KHALTI: khalti}


def test_every_socket_has_a_row() -> None:
    declared = {route.path for route in ROUTES if route.path.startswith("/ws/")}
    assert {door.path for door in DOORS.values()} == declared


async def unlocked(customer: Person, nobody: Any, khalti: ToldProvider, pandit_id: str) -> str:
    """Pay for a conversation without a booking; the room."""
    wanted = {"pandit_id": pandit_id}
    payment = (
        await customer.api.post(
            "/api/payments/create-payment-intent/", json={**wanted, "payment_method": "KHALTI"}
        )
    ).json()
    khalti.pays(payment["reference"])
    await nobody.get(f"/api/payments/KHALTI/return/{payment['reference']}/")
    room = await customer.api.post("/api/chat/rooms/", json=wanted)
    room_id: str = room.raise_for_status().json()["id"]
    return room_id


async def met(client: Client, door: Door) -> tuple[int, str]:
    """How somebody fares behind a door: the code, and what is answered to what he says."""
    try:
        await client.quiet()
        if not door.said:
            return OPEN, ""
        await client.send(**door.said)
        frame = await client.next("ack", "error")
        return OPEN, str(frame.get("code", frame["type"]))
    except ConnectionClosed as error:
        return error.rcvd.code if error.rcvd else 1006, ""


async def test_everybody_is_let_in_where_he_belongs_and_nowhere_else(
    server: RunningServer, people: People, clock: FakeClock, khalti: ToldProvider
) -> None:
    bookings = await Bookings.make(server, people, clock)
    customer, pandit, nobody = bookings.customer, bookings.pandit, await people.nobody()
    everybody: dict[str, Person | None] = {
        "nobody": None,
        "customer": customer,
        "stranger": await people.customer("Stranger Rai"),
        "pandit": pandit,
        "rival": await people.pandit("Rival Joshi"),
        "unverified": await people.unverified_pandit(),
        "admin": await people.admin(),
    }
    assert set(everybody) == set(EVERYBODY)
    booking = await bookings.book()
    await bookings.accept(booking["id"])
    rooms = (await customer.api.get("/api/chat/rooms/")).raise_for_status().json()["results"]
    payment = await pay(customer, (await bookings.book(payment_method="KHALTI"))["id"])
    behind = {
        "room of a booking": {"room_id": rooms[0]["id"]},
        "room of an unlock": {
            "room_id": await unlocked(customer, nobody, khalti, pandit.pandit_id)
        },
        "no room": {"room_id": "no-such-thing"},
        "payment of somebody": {"payment": payment["id"]},
    }
    wrong = []
    for name, door in DOORS.items():
        address = f"ws://127.0.0.1:{server.port}{door.path}{door.query}"
        # Those who are refused come first: their attempt must have changed nothing.
        for who in sorted(EVERYBODY, key=lambda each: door.code(each) == OPEN):
            person = everybody[who]
            url = address.format(**behind.get(name, {}))
            token = person.access if person else None
            async with open_socket(url, token, greet=False) as client:
                code, answer = await met(client, door)
            expected = ("ack" if who in door.may_say else "forbidden") if door.said else ""
            if (code, answer) != (door.code(who), expected if code == OPEN else ""):
                wrong.append(f"{who}: {name}: {code} {answer}, not {door.code(who)} {expected}")
    assert not wrong, "\n".join(wrong)


async def test_a_room_that_only_a_booking_could_open_is_nobodys_before_it_is_accepted(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    bookings = await Bookings.make(server, people, clock)
    booking = await bookings.book()
    for person in (bookings.customer, bookings.pandit):
        rooms = (await person.api.get("/api/chat/rooms/")).raise_for_status().json()["results"]
        assert rooms == []
        url = f"ws://127.0.0.1:{server.port}/ws/chat/{booking['id']}/"
        async with open_socket(url, person.access, greet=False) as client:
            assert await client.closed() == NOT_FOUND
