"""Writes the demo town into a database, in batches, exactly as the repositories would write it.

Accounts are written last: a database without accounts counts as empty, so a seed that died half way
is begun anew by the next start.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Final, TypeVar

from argon2 import PasswordHasher
from tqdm import tqdm

from server.demo.bookings import Materials
from server.demo.residents import DEMO_ADMIN_PHONE, DEMO_CUSTOMER_PHONE, DEMO_PANDIT_PHONE
from server.demo.town import Town, make_town
from server.domain.booking import Booking
from server.domain.calendar import DayClaim
from server.domain.chat import Message
from server.domain.errors import StoreUnavailable
from server.i18n import Translations
from server.paths import data_path
from server.services.samagri import RuleRecommender, SamagriAdder
from server.settings import BookingSettings
from server.store import (
    bookings,
    ledger,
    messages,
    notifications,
    pandits,
    payments,
    payouts,
    reviews,
    rooms,
    users,
)
from server.store.catalogue import MongoCatalogueRepository
from server.store.client import Document, Store
from server.store.codec import to_document

DEFAULT_SEED: Final = 2083
DEMO_PASSWORD: Final = "namaste-nepal"  # noqa: S105  # printed at every start, for play only
TOWN_COLLECTIONS: Final = (
    pandits.COLLECTION,
    bookings.COLLECTION,
    reviews.COLLECTION,
    rooms.COLLECTION,
    messages.COLLECTION,
    notifications.COLLECTION,
    payments.COLLECTION,
    ledger.COLLECTION,
    payouts.COLLECTION,
    users.USERS,
)
T = TypeVar("T")

_BATCH: Final = 200
_ATTEMPTS: Final = 8
_REST_SECONDS: Final = 3.0
_COUNTRY_CODE: Final = "+977"


def sign_ins() -> list[str]:
    """Lines that tell how to sign in to the demo."""
    who = (
        ("customer", DEMO_CUSTOMER_PHONE),
        ("pandit", DEMO_PANDIT_PHONE),
        ("admin", DEMO_ADMIN_PHONE),
    )
    return [
        f"  {role:<9} {phone.removeprefix(_COUNTRY_CODE)}   password {DEMO_PASSWORD}"
        for role, phone in who
    ]


async def seed(
    store: Store, *, seed: int, show_progress: bool, now: datetime | None = None
) -> Town:
    """Write a town into a database that has indexes and the catalogue, and return it.

    No server may run on that database meanwhile: its duties take what they find for the whole.

    ``now`` is the moment up to which the town has lived, by default the present one. Progress is
    shown on a terminal only. What an attempt that died has left behind is removed first.

    Raises
    ------
    ValueError
        If the database has accounts.
    """
    if not await store.is_empty():
        raise ValueError("the database has accounts")
    for collection in TOWN_COLLECTIONS:
        await _patiently(partial(store.collection(collection).delete_many, {}))
    translator = Translations(data_path("locale"))
    materials = await gather_materials(store, translator)
    # Seconds of work, in which Ctrl-C and the driver go on working.
    town = await asyncio.to_thread(
        make_town,
        materials,
        translator,
        password_hash=PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash(
            DEMO_PASSWORD
        ),
        now=now or datetime.now(UTC),
        seed=seed,
    )
    await write_town(store, town, show_progress=show_progress)
    return town


async def gather_materials(store: Store, translator: Translations) -> Materials:
    """What the town's bookings are made of, with the samagri that the server itself would add."""
    catalogue = MongoCatalogueRepository(store)
    policy = BookingSettings()
    adder = SamagriAdder(
        [RuleRecommender()],
        catalogue,
        translator,
        threshold=policy.samagri_threshold,
        add_optional=policy.add_optional_samagri,
    )
    pujas = await catalogue.list_pujas()
    suggested = {puja.id: await adder.lines_for(puja) for puja in pujas}
    needed = {need.item_id for puja in pujas for need in puja.requirements}
    items = await catalogue.find_items(needed)
    return Materials(pujas=pujas, items=items, suggested=suggested, adder=adder, policy=policy)


async def _patiently(write: Callable[[], Awaitable[T]]) -> T:
    """Do a write again while the database does not answer: a town is much at once for a small one.

    Raises ``StoreUnavailable`` after the last attempt.
    """
    for left in reversed(range(_ATTEMPTS)):
        try:
            return await write()
        except StoreUnavailable:
            if not left:
                raise
            await asyncio.sleep(_REST_SECONDS)
    raise AssertionError


async def write_town(store: Store, town: Town, *, show_progress: bool) -> None:
    """Write all documents in batches, accounts last."""
    parts = _parts(town)
    total = sum(len(entities) for _, _, entities in parts)
    is_shown = show_progress and sys.stderr.isatty()
    with tqdm(total=total, desc="Demo town", unit="doc", disable=not is_shown) as bar:
        for name, document_of, entities in parts:
            for start in range(0, len(entities), _BATCH):
                batch = [document_of(entity) for entity in entities[start : start + _BATCH]]
                await write_batch(store, name, batch)
                bar.update(len(batch))


async def write_batch(store: Store, name: str, batch: list[Document]) -> None:
    """Write documents of one collection, again while the database does not answer.

    Raises
    ------
    RuntimeError
        If the database refuses one that is not there already.
    StoreUnavailable
        After the last attempt.
    """
    collection = store.collection(name)
    refused = await _patiently(partial(collection.insert_many, batch))
    if not refused:
        return
    # An attempt whose answer was lost had written them; which unique index tells of it differs.
    ids = {"_id": {"$in": [document["_id"] for document in batch]}}
    found = await _patiently(partial(collection.count, ids, limit=len(batch)))
    if found != len(batch):
        raise RuntimeError(f"{name} of the demo refused: {refused}")


_Part = tuple[str, Callable[[Any], Document], Sequence[Any]]
"""A collection, how its documents are made, and what is written to it."""


def seated(found: Iterable[Booking]) -> tuple[Booking, ...]:
    """The bookings with seats and turns of their days, where they take time."""
    numbers: Counter[tuple[str, date]] = Counter()
    return tuple(_seated(booking, numbers) if booking.claims else booking for booking in found)


def _seated(booking: Booking, numbers: Counter[tuple[str, date]]) -> Booking:
    key = (booking.pandit_id, booking.booking_date)
    day, number = booking.booking_date.toordinal(), numbers[key]
    numbers[key] += 1
    own = (kind.claim(day, number) for kind in (DayClaim.SEAT, DayClaim.TURN))
    return replace(booking, claims=(*booking.claims, *own))


def _message_documents(found: Sequence[Message]) -> tuple[Document, ...]:
    return tuple(each for message in found for each in messages.documents_of(message))


def _parts(town: Town) -> tuple[_Part, ...]:
    return (
        (pandits.COLLECTION, pandits.pandit_document, town.pandits),
        (bookings.COLLECTION, bookings.booking_document, seated(town.bookings)),
        (reviews.COLLECTION, reviews.review_document, town.reviews),
        (rooms.COLLECTION, rooms.room_document, town.rooms),
        (messages.COLLECTION, dict, _message_documents(town.messages)),
        (notifications.COLLECTION, to_document, town.notifications),
        (payments.COLLECTION, payments.payment_document, town.payments),
        (ledger.COLLECTION, ledger.entry_document, town.entries),
        (payouts.COLLECTION, to_document, town.payouts),
        (users.USERS, users.user_document, town.users),
    )
