"""The database that ``bench/rest.py`` measures on: the demo town, copied until it is a crowd."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from random import Random
from typing import Final

from tqdm import tqdm

from server import demo
from server.app import prepare_database
from server.demo.town import Town
from server.store import bookings, messages, notifications, pandits, rooms, users
from server.store.client import Document, Store
from server.store.codec import to_document

CUSTOMERS: Final = 10_000
PANDITS: Final = 1_000
OWN_ROWS: Final = 150
"""So many of the copies belong to the demo's own accounts, so that their lists are long."""
_BATCH: Final = 1_000
_STATE: Final = "bench_state"
_SEED: Final = 100
_BUILT: Final = "built with claims"
"""Another word whenever documents take another form: one that was built before is built anew."""


async def build_if_needed(store: Store, *, booking_count: int, message_count: int) -> None:
    """Make the database, unless one of that size is there already."""
    wanted = {"_id": _BUILT, "bookings": booking_count, "messages": message_count}
    if await store.collection(_STATE).find_one({"_id": _BUILT}) == wanted:
        return
    await store.drop()
    await prepare_database(store)
    town = await demo.seed(store, seed=demo.DEFAULT_SEED, show_progress=True)
    crowd = Crowd(town)
    parts: tuple[tuple[str, Iterator[Document], int], ...] = (
        (users.USERS, crowd.customers(), CUSTOMERS),
        (pandits.COLLECTION, crowd.pandits(), PANDITS),
        (notifications.COLLECTION, crowd.notifications(), OWN_ROWS),
        (bookings.COLLECTION, crowd.bookings(), booking_count - len(town.bookings)),
        (rooms.COLLECTION, crowd.rooms(booking_count), booking_count - len(town.bookings)),
        (
            messages.COLLECTION,
            crowd.messages(booking_count, message_count),
            # Beside each message stands the claim to its cid.
            2 * (message_count - len(town.messages)),
        ),
    )
    for name, documents, count in parts:
        with tqdm(total=count, desc=f"{name:14}", unit="doc", disable=None) as bar:
            wanted_rows = islice(documents, count)
            while batch := list(islice(wanted_rows, _BATCH)):
                refused = await store.collection(name).insert_many(batch)
                assert not refused, (name, refused)
                bar.update(len(batch))
    await store.collection(_STATE).insert_one(wanted)


class Crowd:
    """Copies of a town's documents, under ids that follow from a number."""

    def __init__(self, town: Town) -> None:
        self._town = town
        customers = [user for user in town.users if user.role == "user"]
        self._customer = to_document(customers[0])
        self._pandit = pandits.pandit_document(town.pandits[0])
        self._past = [
            bookings.booking_document(booking)
            for booking in town.bookings
            if booking.completed_at is not None
        ]

    def customers(self) -> Iterator[Document]:
        """Accounts of families."""
        for number in range(CUSTOMERS):
            yield {
                **self._customer,
                "_id": _id("c", number),
                "phone_number": f"+97797{number:08}",
                "email": None,
                "username": None,
            }

    def pandits(self) -> Iterator[Document]:
        """Profiles of pandits; they have no accounts, for nobody signs in as one of them."""
        templates = [pandits.pandit_document(each) for each in self._town.pandits]
        bookable = [each for each in templates if each["verification_status"] == "APPROVED"]
        for number in range(PANDITS):
            template = bookable[number % len(bookable)]
            pandit_id = _id("a", number)
            yield {
                **template,
                "_id": pandit_id,
                "user_id": _id("b", number),
                "services": [
                    {**service, "id": _id(f"5{place}", number), "pandit_id": pandit_id}
                    for place, service in enumerate(template["services"])
                ],
            }

    def notifications(self) -> Iterator[Document]:
        """More for the demo's customer."""
        own = [each for each in self._town.notifications if each.user_id == self._customer["_id"]]
        template, last = to_document(own[-1]), own[-1].sequence
        for number in range(OWN_ROWS):
            yield {
                **template,
                "_id": _id("f", number),
                "sequence": last + number + 1,
                "event_id": f"bench-{number}",
            }

    def bookings(self) -> Iterator[Document]:
        """Bookings of the past, dealt out to everybody by chance."""
        random = Random(_SEED)
        for number, (customer_id, pandit_id, pandit_user_id) in enumerate(self._parties()):
            template = self._past[number % len(self._past)]
            shift = timedelta(minutes=15 * random.randrange(4 * 24 * 40))
            yield {
                **template,
                "_id": _id("d", number),
                "user_id": customer_id,
                "pandit_id": pandit_id,
                "pandit_user_id": pandit_user_id,
                "starts_at": template["starts_at"] - shift,
                "ends_at": template["ends_at"] - shift,
            }

    def rooms(self, booking_count: int) -> Iterator[Document]:
        """A room for each of those bookings."""
        head = to_document(self._town.rooms[0])["head"]
        for number, (customer_id, pandit_id, pandit_user_id) in enumerate(self._parties()):
            if number >= booking_count:
                return
            template = self._past[number % len(self._past)]
            at = template["accepted_at"]
            yield {
                "_id": _id("e", number),
                "booking_id": _id("d", number),
                "customer_id": customer_id,
                "customer_name": template["customer_name"],
                "pandit_id": pandit_id,
                "pandit_user_id": pandit_user_id,
                "pandit_name": template["pandit_name"],
                "created_at": at,
                "is_active": True,
                "head": {**head, "sequence": 9, "timestamp": at + timedelta(hours=1)},
                "reads": {customer_id: {"sequence": 9 - number % 3, "read_at": at}},
                "members": [customer_id, pandit_user_id],
                "active_at": at + timedelta(hours=1),
            }

    def messages(self, booking_count: int, message_count: int) -> Iterator[Document]:
        """Messages for all rooms alike, the first room having many more."""
        template = self._town.messages[-1]
        copies = booking_count - len(self._town.bookings)
        each = -(-message_count // max(1, copies))
        serial = 0
        for number in range(copies):
            for sequence in range(1, (10 * OWN_ROWS if number == 0 else each) + 1):
                serial += 1
                yield from messages.documents_of(
                    replace(
                        template,
                        id=_id("9", serial),
                        room_id=_id("e", number),
                        sequence=sequence,
                        cid=f"{serial:x}",
                    )
                )

    def _parties(self) -> Iterator[tuple[str, str, str]]:
        """Customer, pandit and pandit's account of one booking after the other, for ever."""
        random = Random(_SEED)
        own = (self._customer["_id"], self._pandit["_id"], self._pandit["user_id"])
        for _ in range(OWN_ROWS):
            yield own
        while True:
            pandit = random.randrange(PANDITS)
            yield _id("c", random.randrange(CUSTOMERS)), _id("a", pandit), _id("b", pandit)


def _id(kind: str, number: int) -> str:
    return f"{kind}{number:0{24 - len(kind)}x}"
