"""Valid objects in one line each; tests override what they are about."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from server.domain.account import GeoPoint, Place
from server.domain.booking import (
    Booking,
    BookingStatus,
    PaymentMethod,
    SamagriLine,
    ServiceLocation,
)
from server.domain.calendar import span_of
from server.domain.catalogue import SamagriType
from server.domain.chat import Message, MessageType
from server.domain.money import Unit
from server.domain.payment import Attempt, Payment, Purpose

NOW = datetime(2026, 11, 22, 4, 15, tzinfo=UTC)
STARTS_AT = datetime(2026, 11, 25, 4, 15, tzinfo=UTC)
_numbers = itertools.count(1)


def make_booking(**overrides: Any) -> Booking:
    """A pending booking of two hours on Wednesday, 10:00 in Nepal.

    With a buffer of half an hour.
    """
    span = span_of(STARTS_AT, 120, 30)
    booking = Booking(
        id="booking",
        user_id="customer",
        customer_name="Sita Sharma",
        customer_phone="+9779800000001",
        pandit_id="pandit",
        pandit_user_id="pandit-user",
        pandit_name="Ram Prasad Acharya",
        pandit_phone="+9779800000002",
        service_id="service",
        puja_id="satyanarayan-puja",
        service_name="Satyanarayan Puja",
        service_name_ne="सत्यनारायण पूजा",
        service_location=ServiceLocation.HOME,
        location=Place(
            area="Baneshwor", city="Kathmandu", address="House 7", point=GeoPoint(27.69, 85.34)
        ),
        booking_date=date(2026, 11, 25),
        booking_time=time(10),
        timezone="Asia/Kathmandu",
        starts_at=span.starts_at,
        ends_at=span.ends_at,
        claims=span.claims,
        status=BookingStatus.PENDING,
        samagri_required=True,
        service_fee=250_000,
        total_fee=250_000,
        commission_basis_points=1000,
        commission_amount=25_000,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(booking, **overrides)


def make_payment(**overrides: Any) -> Payment:
    """A booking of Rs. 2,500 with one attempt at Khalti, to which the customer was sent."""
    attempt = Attempt(
        number=1,
        reference="REFERENCE",
        method=PaymentMethod.KHALTI,
        amount=250_000,
        currency="NPR",
        created_at=NOW,
        updated_at=NOW,
        started_at=NOW,
        gateway_id="pidx",
    )
    payment = Payment(
        id="b-booking",
        purpose=Purpose.BOOKING,
        user_id="customer",
        title="Satyanarayan Puja",
        title_ne="सत्यनारायण पूजा",
        booking_id="booking",
        pandit_id="pandit",
        pandit_user_id="pandit-user",
        pandit_name="Ram Prasad Acharya",
        amount=250_000,
        currency="NPR",
        attempts=(attempt,),
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(payment, **overrides)


def make_line(item_id: str, **overrides: Any) -> SamagriLine:
    """100 g of something at Rs. 500 a kilogram."""
    line = SamagriLine(
        item_id=item_id,
        name=item_id.title(),
        name_ne="बेसार",
        category_id="powders",
        quantity=Decimal(100),
        unit=Unit.G,
        base_price=50_000,
        base_quantity=1,
        base_unit=Unit.KG,
        type=SamagriType.OPTIONAL,
        confidence=0.8,
        source="rule",
        reason="Often used.",
        reason_ne="प्रायः प्रयोग हुन्छ।",
        price_at_booking=5_000,
        auto_added=True,
        user_added=False,
    )
    return replace(line, **overrides)


def make_message(sequence: int, **overrides: Any) -> Message:
    """Sita's message in the room, another one each time."""
    number = next(_numbers)
    made = Message(
        id=f"{number:024x}",
        room_id="room",
        sequence=sequence,
        sender_id="sita",
        sender_role="user",
        sender_name="Sita",
        cid=f"made-{number}",
        message_type=MessageType.TEXT,
        content="Namaste",
        content_ne="नमस्ते",
        timestamp=NOW,
    )
    return replace(made, **overrides)
