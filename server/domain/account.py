"""People, their sign-in sessions and one-time codes."""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

NEPAL: Final = "Asia/Kathmandu"
DEFAULT_LANGUAGE: Final = "en"
LANGUAGES: Final = ("en", "ne")
_EARTH_RADIUS_KM: Final = 6371.0
_PHONE: Final = re.compile(r"(?:\+977)?(9[78][0-9]{8})")
ASCII_DIGITS: Final = str.maketrans("०१२३४५६७८९", "0123456789")


class Role(enum.StrEnum):
    """What a person is on the platform."""

    USER = "user"
    PANDIT = "pandit"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class GeoPoint:
    """A position on the WGS 84 ellipsoid, in degrees."""

    latitude: float
    longitude: float

    def distance_km(self, other: GeoPoint) -> float:
        """Great-circle distance by the haversine formula, on a sphere of 6371 km."""
        first, second = math.radians(self.latitude), math.radians(other.latitude)
        half_lat = (second - first) / 2
        half_lng = math.radians(other.longitude - self.longitude) / 2
        chord = (
            math.sin(half_lat) ** 2 + math.cos(first) * math.cos(second) * math.sin(half_lng) ** 2
        )
        return 2 * _EARTH_RADIUS_KM * math.asin(math.sqrt(chord))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where somebody lives or works. ``area`` and ``city`` are public.

    ``address`` and ``point`` are not.
    """

    area: str = ""
    city: str = ""
    address: str = ""
    point: GeoPoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account. ``phone_number`` is E.164, ``password_hash`` an argon2id string or empty.

    Whoever registers only claims the number: ``phone_verified_at`` is when a code sent to it came
    back, None until then. ``generation`` counts what ends all earlier sign-ins at once.
    ``closing_since`` is when it was closed, while what follows from that is not all done.
    """

    id: str
    username: str | None
    email: str | None
    phone_number: str
    phone_verified_at: datetime | None = None
    full_name: str
    profile_pic_url: str = ""
    role: Role
    password_hash: str = ""
    language: str = DEFAULT_LANGUAGE
    timezone: str = NEPAL
    location: Place | None = None
    is_active: bool = True
    closing_since: datetime | None = None
    generation: int = 0
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in on one device: a family of rotating refresh tokens.

    ``refresh_hash`` is the SHA-256 of the only refresh token that is good now. A token of the
    family that is not the current one has been used before, and ends the family. It holds only
    while ``generation`` is that of the account. ``by_code``: opened by a code to the phone.
    """

    id: str
    user_id: str
    refresh_hash: str
    generation: int = 0
    by_code: bool = False
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimeCode:
    """A code sent to a phone. ``code_hash`` is an HMAC; ``tries_left`` counts down to zero.

    ``asker`` stands for the browser or address that asked for it.
    """

    phone_number: str
    code_hash: str
    asker: str = ""
    tries_left: int
    sent_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who is asking: the signed-in person as every rule sees him."""

    user_id: str
    role: Role
    session_id: str
    full_name: str
    language: str = DEFAULT_LANGUAGE
    timezone: str = NEPAL

    @property
    def is_admin(self) -> bool:
        """Whether the actor administers the platform."""
        return self.role is Role.ADMIN


def normalise_phone(text: str) -> str | None:
    """E.164 form of a Nepali mobile number, or None when it is not one.

    Devanagari digits, spaces and hyphens are understood.
    """
    plain = text.translate(ASCII_DIGITS).replace(" ", "").replace("-", "")
    match = _PHONE.fullmatch(plain)
    return f"+977{match[1]}" if match else None
