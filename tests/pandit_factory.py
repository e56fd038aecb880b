"""Valid pandits in one line each; tests override what they are about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from server.domain.account import GeoPoint, Place
from server.domain.calendar import default_availability
from server.domain.pandit import Pandit, Service, VerificationStatus

JOINED = datetime(2026, 1, 10, 5, 0, tzinfo=UTC)


def make_service(service_id: str = "service", **overrides: Any) -> Service:
    """Two hours of Satyanarayan Puja at Rs. 2,500."""
    service = Service(
        id=service_id,
        pandit_id="pandit",
        puja_id="satyanarayan-puja",
        name="Satyanarayan Puja",
        name_ne="सत्यनारायण पूजा",
        duration_minutes=120,
        price=250_000,
    )
    return replace(service, **overrides)


def make_pandit(pandit_id: str = "pandit", **overrides: Any) -> Pandit:
    """An approved pandit of Lazimpat who can be booked, with one service."""
    pandit = Pandit(
        id=pandit_id,
        user_id=f"user-of-{pandit_id}",
        full_name="Ram Prasad Acharya",
        full_name_ne="राम प्रसाद आचार्य",
        phone_number="+9779800000002",
        email="ram@example.com",
        expertise=("satyanarayan-puja",),
        languages=("ne", "sa"),
        experience_years=12,
        verification_status=VerificationStatus.APPROVED,
        verified_date=date(2026, 1, 12),
        location=Place(
            area="Lazimpat",
            city="Kathmandu",
            address="House 12, Lazimpat",
            point=GeoPoint(27.7215, 85.3206),
        ),
        services=(make_service(f"service-of-{pandit_id}", pandit_id=pandit_id),),
        availability=default_availability(),
        date_joined=JOINED,
        updated_at=JOINED,
    )
    return replace(pandit, **overrides)
