"""Training counts as letting somebody down only what the pandit himself did or left undone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from recsys.sources import _booking_events
from server.domain import booking as rules
from server.domain.account import Actor, Role
from server.domain.booking import Booking
from server.domain.calendar import span_of
from server.store.bookings import booking_document
from tests.factories import NOW, STARTS_AT, make_booking

WITHIN = timedelta(hours=12)
# Placed, and nobody has been asked yet.
PLACED = replace(rules.placed(make_booking(pay_by=NOW + WITHIN), NOW), pay_by=None)


def actor(role: Role, user_id: str) -> Actor:
    return Actor(user_id=user_id, role=role, session_id="s", full_name="Somebody")


def asking(booking: Booking, name: str) -> Booking:
    """The booking, given up by the last one, offered to another."""
    return rules.reoffer(
        booking,
        pandit_id=name,
        pandit_user_id=f"{name}-user",
        pandit_name=name,
        pandit_name_ne=name,
        pandit_phone="",
        distance_km=None,
        service_id="service",
        span=span_of(STARTS_AT, 120, 30),
        answer_by=NOW + WITHIN,
        now=NOW,
    )


def let_down_by(booking: Booking) -> list[str]:
    return [
        event["pandit_id"]
        for event in _booking_events(booking_document(booking))
        if event["kind"] == "pandit_declined"
    ]


def test_only_who_refused_or_did_not_answer_let_the_customer_down() -> None:
    customer = actor(Role.USER, "customer")
    booking = asking(PLACED, "refused")
    booking = rules.decline(booking, actor(Role.PANDIT, "refused-user"), NOW, "ill")
    booking = rules.take_request_back(asking(booking, "passed-over"), customer, NOW)
    booking = rules.take_offer_back(asking(booking, "closed"), "closed", NOW)
    booking = rules.lapse(asking(booking, "silent"), NOW + WITHIN)
    waiting = replace(booking, pandit_id="never-asked", answer_by=NOW)
    booking = rules.lapse(waiting, NOW)
    names = ("refused", "passed-over", "closed", "silent", "never-asked")
    assert booking.rejected_by == names
    assert let_down_by(booking) == ["refused", "silent"]


def test_who_called_off_what_he_had_accepted_let_the_customer_down() -> None:
    pandit = actor(Role.PANDIT, "pandit-user")
    booking = rules.take_offer_back(asking(PLACED, "closed"), "closed", NOW)
    accepted = rules.accept(asking(booking, "pandit"), pandit, NOW)
    assert let_down_by(rules.cancel(accepted, pandit, NOW, "ill")) == ["pandit"]
    by_admin = rules.cancel(accepted, actor(Role.ADMIN, "admin"), NOW, "ill")
    assert let_down_by(by_admin) == []
