"""A customer's taste is served from the numbers that its calibration was fitted with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from recsys.artifact import Ids
from recsys.bundle import Bundle
from recsys.data import build, to_ms
from recsys.engine import AlsParams, Factors
from recsys.matrix import users_by
from recsys.models.als import Als
from recsys.sources import _tables_of
from server.domain.booking import Booking, BookingStatus
from server.domain.learning import Interaction, PreferenceKind, SamagriPreference
from server.domain.recommendation import Customer, Preferences
from server.recommender.adviser import Advice, AdviceParams, CatalogueOfTheDay
from server.services.learning import _list_changes
from server.services.preferences import _no_opinion, _opinion
from server.store.bookings import _past, booking_document
from server.store.codec import to_document
from tests.factories import make_booking, make_line

NOW = datetime(2026, 11, 22, 4, 15, tzinfo=UTC)


def booking(name: str, days_ago: int, status: BookingStatus, *own: str, **more: Any) -> Booking:
    """A booking with these items of the customer's own, made two days before it was held."""
    held = NOW - timedelta(days=days_ago)
    lines = [make_line(item, source="customer", user_added=True, auto_added=False) for item in own]
    lines += [make_line(item, source="model") for item in more.pop("found", ())]
    return make_booking(
        id=name,
        status=status,
        created_at=held - timedelta(days=2),
        updated_at=held,
        starts_at=held - timedelta(hours=2),
        ends_at=held,
        booking_date=held.date(),
        completed_at=held if status is BookingStatus.COMPLETED else None,
        samagri=(make_line("kalash", source="requirement"), *lines),
        **more,
    )


HISTORY = (
    booking("coming", -5, BookingStatus.PENDING, "curd", samagri_declined=("ghee",)),
    booking("off", 20, BookingStatus.CANCELLED, "milk", samagri_declined=("camphor",)),
    booking(
        "held",
        40,
        BookingStatus.COMPLETED,
        "honey",
        found=("walnut",),
        samagri_declined=("saffron",),
        samagri_own_declined=("saffron",),
    ),
    booking("older", 100, BookingStatus.COMPLETED, "honey", "ghee", samagri_declined=("camphor",)),
)


SAID: tuple[tuple[str, PreferenceKind | None, int], ...] = (
    ("honey", PreferenceKind.FAVOURITE, 60),
    ("incense", PreferenceKind.FAVOURITE, 200),
    ("haldi", PreferenceKind.FAVOURITE, 30),
    ("haldi", None, 10),
    ("curd", PreferenceKind.FAVOURITE, 30),
    ("curd", PreferenceKind.NEVER_SHOW, 8),
)
"""What the customer said of items, how many days ago; None: he thinks nothing of it any more."""


def opinions() -> tuple[list[Interaction], Preferences]:
    """The events of what he said, and what holds in the end."""
    events, last = [], dict[str, tuple[PreferenceKind | None, datetime]]()
    for item_id, preference, days_ago in SAID:
        at = NOW - timedelta(days=days_ago)
        last[item_id] = preference, at
        if preference is None:
            events.append(_no_opinion("customer", item_id, at))
            continue
        name = f"customer:{item_id}"
        kept = SamagriPreference(
            id=name, user_id="customer", item_id=item_id, preference=preference, updated_at=at
        )
        events.append(_opinion(kept))
    favourites, hidden = (
        frozenset(item_id for item_id, (kind, _) in last.items() if kind is wanted)
        for wanted in (PreferenceKind.FAVOURITE, PreferenceKind.NEVER_SHOW)
    )
    since = {item_id: at for item_id, (_, at) in last.items()}
    return events, Preferences(favourites=favourites, never_show=hidden, since=since)


def documents() -> dict[str, list[dict[str, Any]]]:
    """What the server has of the bookings, and of what it learned from those that came to it."""
    told = [
        to_document(change)
        for each in HISTORY
        if each.status is not BookingStatus.PENDING
        for change in _list_changes(each, {}, each.created_at)
    ]
    told += [to_document(each) for each in opinions()[0]]
    return {"bookings": [booking_document(each) for each in HISTORY], "interactions": told}


def at_training() -> tuple[Als, Any, Ids]:
    """The model of items, the customer's row as it is trained and calibrated with, and the ids."""
    stored = documents()

    def rows(name: str, *_: str, parts: Any = ({},)) -> Iterator[dict[str, Any]]:
        yield from stored.get(name, ())

    data = build(_tables_of(rows), now_ms=to_ms(NOW + timedelta(days=9)) or 0)
    assert data.rejects.share == 0
    random = np.random.default_rng(5)
    params = AlsParams(factors=4, iterations=1, engine="numpy", regularization=1.0)
    user, item = (random.standard_normal((n, 4), np.float32) for n in (1, len(data.items)))
    model = Als.from_factors(Factors(user, item, "numpy", "plain"), params)
    row = users_by(data, "item", now_ms=to_ms(NOW) or 0).row(data.users.index("customer"))
    return model, row, Ids(data.items.ids)


def at_serving(model: Als, ids: Ids) -> tuple[Any, int]:
    """The customer's vector and the length of his history, as the adviser makes them."""
    history = tuple(
        _past(
            {
                **document,
                "item_ids": [line["item_id"] for line in document["samagri"]],
                "sources": [line["source"] for line in document["samagri"]],
            }
        )
        for document in documents()["bookings"]
    )
    bundle = Bundle(
        "v",
        {"items": ids, "pujas": Ids(()), "pandits": Ids(()), "regions": Ids(())},
        {"user_item": model},
    )
    adviser = Advice(CatalogueOfTheDay(items={}, pujas={}), AdviceParams(), bundle)
    customer = Customer(user_id="customer", history=history, preferences=opinions()[1])
    return adviser._taste(customer, NOW.date())


def test_serving_makes_of_bookings_what_training_makes_of_their_events() -> None:
    model, row, ids = at_training()
    known = dict(zip((ids.ids[each] for each in row.given), row.weights.tolist(), strict=True))
    assert known.keys() == {"milk", "honey", "walnut", "ghee", "camphor", "incense"}
    assert known["incense"] == pytest.approx(3 * 0.5 ** (200 / 180), rel=1e-3)
    assert known["camphor"] < 0 < known["walnut"] < known["ghee"] < known["honey"]
    vector, history = at_serving(model, ids)
    assert history == len(row.given)
    # What the two differ by is that serving counts whole days.
    assert vector == pytest.approx(model.vector(row), rel=1e-3, abs=1e-4)
