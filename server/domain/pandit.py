"""Pandits and the services they offer."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime

from server.domain.account import Place
from server.domain.calendar import Availability
from server.domain.events import Event
from server.domain.money import NPR
from server.domain.review import NO_REVIEWS, RatingSums


class VerificationStatus(enum.StrEnum):
    """Where the check of a pandit's papers stands."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A pandit's own offer of a puja. ``price`` is in paisa.

    ``duration_minutes`` a multiple of 15.
    """

    id: str
    pandit_id: str
    puja_id: str
    name: str
    name_ne: str = ""
    description: str = ""
    description_ne: str = ""
    duration_minutes: int
    price: int
    currency: str = NPR
    is_available: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOffer:
    """What a pandit wants to offer. Without a name it is called like the puja."""

    puja_id: str
    name: str = ""
    name_ne: str = ""
    description: str = ""
    description_ne: str = ""
    duration_minutes: int
    price: int
    is_available: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pandit:
    """A priest's profile. ``rating`` is the mean of the approved reviews, 0 to 5, 0 without any.

    ``phone_number`` and ``email`` are the account's, kept here so that a page of pandits is one
    query; they leave the server only for those entitled to them. ``expertise`` holds puja ids.
    ``rating`` and ``review_count`` follow from ``sums``.
    """

    id: str
    user_id: str
    full_name: str
    full_name_ne: str = ""
    profile_pic_url: str = ""
    phone_number: str
    email: str | None = None
    expertise: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("ne",)
    experience_years: int = 0
    rating: float = 0.0
    review_count: int = 0
    sums: RatingSums = NO_REVIEWS
    bio: str = ""
    bio_ne: str = ""
    is_available: bool = True
    verification_status: VerificationStatus = VerificationStatus.PENDING
    verified_date: date | None = None
    verification_notes: str = ""
    location: Place = Place()
    services: tuple[Service, ...] = ()
    availability: Availability
    date_joined: datetime
    updated_at: datetime
    outbox: tuple[Event, ...] = ()
    version: int = 1

    @property
    def is_verified(self) -> bool:
        """Whether his papers were checked and found good."""
        return self.verification_status is VerificationStatus.APPROVED

    @property
    def is_bookable(self) -> bool:
        """Whether customers may find and book him now."""
        return self.is_verified and self.is_available

    def service(self, service_id: str) -> Service | None:
        """His service of that id, or None."""
        return next((service for service in self.services if service.id == service_id), None)
