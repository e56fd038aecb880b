"""Accounts and sign-in on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from server.domain.account import GeoPoint, Place, Role, User
from server.schemas.base import Id, Reader, Request, ShortText, changes_of

Phone = Annotated[
    str, Meta(max_length=40, description="A Nepali mobile number", examples=["9841234567"])
]
Password = Annotated[str, Meta(max_length=128)]
Email = Annotated[str, Meta(max_length=254)]
FullName = Annotated[str, Meta(max_length=120)]
Language = Literal["en", "ne"]
Token = Annotated[str, Meta(max_length=400)]


class RegisterRequest(Request, frozen=True, kw_only=True):
    """A new account."""

    full_name: FullName
    phone_number: Phone
    password: Password
    role: Literal["user", "pandit"]
    email: Email | None = None
    username: Annotated[str, Meta(max_length=30)] | None = None
    language: Language | None = None


class SignInRequest(Request, frozen=True, kw_only=True):
    """Phone, email or username, and the password."""

    identifier: Annotated[str, Meta(min_length=1, max_length=254)]
    password: Password


class RefreshRequest(Request, frozen=True, kw_only=True):
    """The refresh token; left out by the site's own pages, whose cookie holds it."""

    refresh: Token | None = None


class CodeRequest(Request, frozen=True, kw_only=True):
    """A phone to which a one-time code is to be sent."""

    phone_number: Phone


class VerifyCodeRequest(Request, frozen=True, kw_only=True):
    """The code that came."""

    phone_number: Phone
    code: Annotated[str, Meta(min_length=1, max_length=12)]


class PasswordRequest(Request, frozen=True, kw_only=True):
    """A new password, and the present one.

    ``old_password`` is not asked for when there is none, and for a quarter of an hour after
    signing in by a code.
    """

    new_password: Password
    old_password: Password | None = None


class PointBody(Request, frozen=True, kw_only=True):
    """A position in degrees (WGS 84)."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]


class PlaceBody(Request, frozen=True, kw_only=True):
    """Where somebody lives or works.

    Without a ``point`` it is that of the quarter or town that is named, as far as it is known.
    """

    area: Annotated[str, Meta(max_length=120)] = ""
    city: Annotated[str, Meta(max_length=120)] = ""
    address: ShortText = ""
    point: PointBody | None = None

    def place(self) -> Place:
        """The domain's form."""
        point = self.point
        return Place(
            area=self.area,
            city=self.city,
            address=self.address,
            point=None if point is None else GeoPoint(point.latitude, point.longitude),
        )


class ProfileRequest(Request, frozen=True, kw_only=True):
    """Changes of one's own account; what is left out stays. Null clears email and location."""

    full_name: FullName | UnsetType = UNSET
    email: Email | UnsetType | None = UNSET
    language: Language | UnsetType = UNSET
    timezone: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    profile_pic_url: ShortText | UnsetType = UNSET
    location: PlaceBody | UnsetType | None = UNSET

    def changes(self) -> dict[str, Any]:
        """The domain's form: new values by field name."""
        changes = changes_of(self)
        if isinstance(self.location, PlaceBody):
            changes["location"] = self.location.place()
        return changes


class UserResponse(Struct, frozen=True, kw_only=True):
    """An account as its owner sees it."""

    id: Id
    username: str | None
    email: str | None
    phone_number: str
    full_name: str
    profile_pic_url: str
    role: Role
    language: str
    timezone: str
    location: PlaceBody | None
    created_at: datetime


class SignedInResponse(Struct, frozen=True, kw_only=True):
    """A sign-in. ``access`` and ``refresh`` are null where cookies carry them instead.

    ``is_phone_new`` is true for the first code that comes back from a phone: password, email and
    user name that were set before have been taken away.
    """

    user: UserResponse
    access: str | None
    refresh: str | None
    access_expires_at: datetime
    is_phone_new: bool = False


class CodeSentResponse(Struct, frozen=True, kw_only=True):
    """The same whether the number has an account or not."""

    detail: str


def present_place(place: Place) -> PlaceBody:
    """The wire form of a place, address and exact position included."""
    point = place.point
    return PlaceBody(
        area=place.area,
        city=place.city,
        address=place.address,
        point=None
        if point is None
        else PointBody(latitude=point.latitude, longitude=point.longitude),
    )


def present_user(user: User, reader: Reader) -> UserResponse:
    """The wire form of an account, for its owner."""
    return UserResponse(
        id=user.id,
        username=user.username,
        email=user.email,
        phone_number=user.phone_number,
        full_name=user.full_name,
        profile_pic_url=user.profile_pic_url,
        role=user.role,
        language=user.language,
        timezone=user.timezone,
        location=None if user.location is None else present_place(user.location),
        created_at=reader.local(user.created_at),
    )


def reader_of(user: User) -> Reader:
    """How answers to that person speak."""
    return Reader(user.language, user.timezone)
