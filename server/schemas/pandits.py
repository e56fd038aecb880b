"""Pandits, their services and their hours on the wire.

Phone, e-mail, address and exact place stand in one part, ``contact``, which is null unless the
reader is entitled to it; results of a search never carry it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from msgspec import UNSET, Meta, Struct, UnsetType

from server.domain.account import GeoPoint, Place
from server.domain.calendar import Availability, DayException, DayHours, Interval, Slot
from server.domain.errors import FieldFault, Invalid
from server.domain.pandit import Pandit, Service, ServiceOffer, VerificationStatus
from server.domain.ports.paging import SortKey
from server.domain.ports.pandits import PanditSearch
from server.domain.recommendation import FACTORS, Factor
from server.domain.search import PanditCard, PanditProfile, coarse_point
from server.schemas.accounts import PlaceBody
from server.schemas.base import (
    ClockTime,
    Id,
    LongText,
    PageQuery,
    Reader,
    Request,
    ShortText,
    bs_text,
    changes_of,
)
from server.schemas.papers import (
    CertificateResponse,
    PictureResponse,
    present_certificate,
    present_picture,
)

# Other names for the types: fields that are called date and time would hide them.
Day: TypeAlias = date
TimeOfDay: TypeAlias = time
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}$")]
Word = Annotated[str, Meta(max_length=120)]
Price = Annotated[int, Meta(ge=1, le=100_000_000_00)]
Minutes = Annotated[int, Meta(ge=15, le=1440)]

_SHOWN_AS: Final = {"past": "affinity", "language": "affinity", "reliability": "experience"}
"""What ties pandit and family together is one factor, and what he has done another."""
_DIGITS: Final = 6


class PanditSort(StrEnum):
    """Orders of the search."""

    RECOMMENDED = "recommended"
    DISTANCE = "distance"
    RATING = "rating"
    PRICE = "price"
    EXPERIENCE = "experience"


# -- requests ------------------------------------------------------------------------------------


class PanditsQuery(PageQuery, frozen=True, kw_only=True):
    """What is looked for. Prices are paisa; ``date`` and ``time`` are the pandit's local ones."""

    puja_id: Id | None = None
    category: Id | None = None
    q: Annotated[str, Meta(max_length=100)] = ""
    lat: Latitude | None = None
    lng: Longitude | None = None
    radius_km: Annotated[float, Meta(gt=0, le=2000)] | None = None
    date: Day | None = None
    time: ClockTime | None = None
    min_rating: Annotated[float, Meta(ge=0, le=5)] | None = None
    max_price: Annotated[int, Meta(ge=0, le=100_000_000_00)] | None = None
    language: Language | None = None
    sort: PanditSort = PanditSort.RECOMMENDED

    def search(self, after: SortKey | None) -> PanditSearch:
        """Return the domain's form. Raises ``Invalid`` for half a position."""
        return PanditSearch(
            puja_ids=None if self.puja_id is None else (self.puja_id,),
            text=self.q,
            near=self.near(),
            radius_km=self.radius_km,
            min_rating=self.min_rating,
            max_price=self.max_price,
            language=self.language,
            sort=self.sort.value,
            limit=self.limit,
            after=after,
        )

    def at(self) -> TimeOfDay | None:
        """Return the time of day that is asked for."""
        return None if self.time is None else _time(self.time)

    def near(self) -> GeoPoint | None:
        """Return the position that is asked for. Raises ``Invalid`` for half of one."""
        if self.lat is not None and self.lng is not None:
            return GeoPoint(self.lat, self.lng)
        if self.lat is not None or self.lng is not None or self.radius_km is not None:
            raise Invalid(FieldFault("lng" if self.lat is not None else "lat", "required"))
        return None


class UpdatePanditRequest(Request, frozen=True, kw_only=True):
    """What a pandit may change of his profile; absent fields stay. ``expertise`` holds puja ids."""

    bio: LongText | UnsetType = UNSET
    bio_ne: LongText | UnsetType = UNSET
    full_name_ne: Word | UnsetType = UNSET
    languages: Annotated[tuple[Language, ...], Meta(min_length=1, max_length=10)] | UnsetType = (
        UNSET
    )
    expertise: Annotated[tuple[Id, ...], Meta(max_length=100)] | UnsetType = UNSET
    experience_years: Annotated[int, Meta(ge=0, le=80)] | UnsetType = UNSET
    is_available: bool | UnsetType = UNSET
    location: PlaceBody | UnsetType = UNSET

    def changes(self) -> dict[str, Any]:
        """Return the domain's values of the fields that were sent."""
        changed = changes_of(self)
        if not isinstance(self.location, UnsetType):
            changed["location"] = self.location.place()
        for name in ("languages", "expertise"):
            if name in changed:
                changed[name] = tuple(dict.fromkeys(changed[name]))
        return changed


class IntervalBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Local times of a day; an ``end`` of 00:00 is midnight at its end."""

    start: ClockTime
    end: ClockTime

    def interval(self) -> Interval:
        """Return the domain's form."""
        return Interval(_time(self.start), _time(self.end))


class DayHoursBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The hours of a weekday (1 is Monday, 7 is Sunday); none: a day off."""

    weekday: Annotated[int, Meta(ge=1, le=7)]
    intervals: Annotated[tuple[IntervalBody, ...], Meta(max_length=12)] = ()


class DayExceptionBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other hours on one date; none: a day off."""

    date: Day
    intervals: Annotated[tuple[IntervalBody, ...], Meta(max_length=12)] = ()
    note: ShortText = ""


class AvailabilityRequest(Request, frozen=True, kw_only=True):
    """The whole of a pandit's hours; a weekday that is missing is a day off.

    ``buffer_minutes`` lie between two bookings at least, ``lead_minutes`` before the next one;
    ``max_per_day`` bookings he takes for one day at most.
    """

    weekly: Annotated[tuple[DayHoursBody, ...], Meta(max_length=7)]
    exceptions: Annotated[tuple[DayExceptionBody, ...], Meta(max_length=366)] = ()
    buffer_minutes: Annotated[int, Meta(ge=0, le=240)] = 30
    lead_minutes: Annotated[int, Meta(ge=0, le=20160)] = 120
    max_per_day: Annotated[int, Meta(ge=1, le=20)] | None = None

    def availability(self) -> Availability:
        """Return the domain's form, every weekday filled in."""
        given = tuple(
            DayHours(weekday=day.weekday, intervals=_intervals(day.intervals))
            for day in self.weekly
        )
        named = {hours.weekday for hours in given}
        off = (DayHours(weekday=day, intervals=()) for day in range(1, 8) if day not in named)
        return Availability(
            weekly=(*given, *off),
            exceptions=tuple(
                DayException(on=each.date, intervals=_intervals(each.intervals), note=each.note)
                for each in self.exceptions
            ),
            buffer_minutes=self.buffer_minutes,
            lead_minutes=self.lead_minutes,
            max_per_day=self.max_per_day,
        )


class CreateServiceRequest(Request, frozen=True, kw_only=True):
    """An offer of a puja. ``price`` in paisa; without names it is called like the puja."""

    puja_id: Id
    name: Word = ""
    name_ne: Word = ""
    description: LongText = ""
    description_ne: LongText = ""
    duration_minutes: Minutes
    price: Price
    is_available: bool = True

    def offer(self) -> ServiceOffer:
        """Return the domain's form."""
        return ServiceOffer(**{name: getattr(self, name) for name in self.__struct_fields__})


class UpdateServiceRequest(Request, frozen=True, kw_only=True):
    """What may change of a service; absent fields stay."""

    name: Annotated[str, Meta(min_length=1, max_length=120)] | UnsetType = UNSET
    name_ne: Word | UnsetType = UNSET
    description: LongText | UnsetType = UNSET
    description_ne: LongText | UnsetType = UNSET
    duration_minutes: Minutes | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    is_available: bool | UnsetType = UNSET


class SlotsQuery(Request, frozen=True, kw_only=True):
    """Of which service and which local day; ``lat`` and ``lng`` say where the puja would be held.

    With a place, times to which the pandit would not get in time are not available.
    ``exclude_booking``: what that booking of one's own holds, finished or not, counts as free, and
    its place is the place where no other one is said. One that stands keeps its pandit and its
    length, whatever he offers today.
    """

    service_id: Id
    date: Day
    exclude_booking: Id | None = None
    lat: Latitude | None = None
    lng: Longitude | None = None

    def where(self) -> GeoPoint | None:
        """Return the place of the puja. Raises ``Invalid`` for half of one."""
        if (self.lat is None) != (self.lng is None):
            raise Invalid(FieldFault("lat" if self.lat is None else "lng", "required"))
        return None if self.lat is None or self.lng is None else GeoPoint(self.lat, self.lng)


# -- answers -------------------------------------------------------------------------------------


class PanditUserResponse(Struct, frozen=True, kw_only=True):
    """The person behind the profile."""

    id: str
    full_name: str
    full_name_ne: str
    profile_pic_url: str


class PointResponse(Struct, frozen=True, kw_only=True):
    """A position in degrees."""

    latitude: float
    longitude: float


class AreaResponse(Struct, frozen=True, kw_only=True):
    """Where a pandit works, as everybody may know: ``point`` is rounded to about 1 km."""

    area: str
    city: str
    point: PointResponse | None


class ContactResponse(Struct, frozen=True, kw_only=True):
    """How to reach a pandit; for his customers, himself and admins."""

    phone_number: str
    email: str | None
    address: str
    point: PointResponse | None


class SlotResponse(Struct, frozen=True, kw_only=True):
    """A time that can be booked: instants in the reader's zone, ``time`` is the pandit's clock."""

    start: datetime
    end: datetime
    date: Day
    time: str
    available: bool


class ServiceResponse(Struct, frozen=True, kw_only=True):
    """A pandit's own offer; ``price`` in paisa."""

    id: str
    pandit_id: str
    puja_id: str
    name: str
    name_ne: str
    description: str
    description_ne: str
    duration_minutes: int
    price: int
    currency: str
    is_available: bool


class PanditFields(Struct, frozen=True, kw_only=True):
    """What every view of a pandit shows. ``expertise`` holds puja ids, ``rating`` is 0 to 5."""

    id: str
    user: PanditUserResponse
    expertise: list[str]
    languages: list[str]
    experience_years: int
    rating: float
    review_count: int
    bio: str
    bio_ne: str
    is_available: bool
    verification_status: VerificationStatus
    is_verified: bool
    verified_date: Day | None
    verified_date_bs: str | None
    location: AreaResponse
    date_joined: datetime
    updated_at: datetime


class FactorsResponse(Struct, frozen=True, kw_only=True):
    """What each factor adds to the score; they sum to it.

    ``affinity`` holds what ties the pandit to this family: liking, the pujas that he held, the
    language. ``experience`` holds what he has done, and how often he kept his word.
    """

    location: float
    rating: float
    experience: float
    availability: float
    affinity: float


class PanditCardResponse(PanditFields, frozen=True, kw_only=True):
    """One result of a search. ``price`` is that of ``service_id``, the cheapest that fits.

    ``factors`` say what speaks for him, where the order is the recommended one.
    """

    distance_km: float | None
    price: int | None
    currency: str
    service_id: str | None
    next_free_slot: SlotResponse | None
    factors: FactorsResponse | None


class PanditResponse(PanditFields, frozen=True, kw_only=True):
    """A profile. ``contact`` is null unless the reader is entitled to it."""

    services: list[ServiceResponse]
    portfolio: list[PictureResponse]
    timezone: str
    contact: ContactResponse | None


class OwnPanditResponse(PanditResponse, frozen=True, kw_only=True):
    """A profile as its owner and admins see it."""

    certification_file: str
    """The address of the latest certificate, empty where there is none."""
    certificates: list[CertificateResponse]
    verification_notes: str


class IntervalResponse(Struct, frozen=True, kw_only=True):
    """Local times of a day."""

    start: str
    end: str


class DayHoursResponse(Struct, frozen=True, kw_only=True):
    """The hours of a weekday, 1 is Monday."""

    weekday: int
    intervals: list[IntervalResponse]


class DayExceptionResponse(Struct, frozen=True, kw_only=True):
    """Other hours on one date."""

    date: Day
    date_bs: str | None
    intervals: list[IntervalResponse]
    note: str


class AvailabilityResponse(Struct, frozen=True, kw_only=True):
    """A pandit's hours, in his own zone. ``max_per_day`` null: any number of bookings."""

    timezone: str
    buffer_minutes: int
    lead_minutes: int
    max_per_day: int | None
    weekly: list[DayHoursResponse]
    exceptions: list[DayExceptionResponse]


class SlotsResponse(Struct, frozen=True, kw_only=True):
    """The times of one local day of the pandit."""

    slots: list[SlotResponse]
    date: Day
    date_bs: str | None
    timezone: str


def present_card(card: PanditCard, reader: Reader) -> PanditCardResponse:
    """Show a result of a search; never with contact details."""
    fields = _public_fields(card.pandit, reader)
    slot, service = card.next_free_slot, card.service
    return PanditCardResponse(
        **fields,
        distance_km=None if card.distance_km is None else round(card.distance_km, 1),
        price=card.price,
        currency=service.currency if service else "NPR",
        service_id=service.id if service else None,
        next_free_slot=(
            present_slot(slot, card.pandit.availability.timezone, reader) if slot else None
        ),
        factors=present_factors(card.factors) if card.factors else None,
    )


def present_factors(factors: Mapping[str, Factor]) -> FactorsResponse:
    """Show what each factor adds, those that tie pandit and family as one."""
    added = dict.fromkeys(FACTORS, 0.0)
    for name, factor in factors.items():
        added[_SHOWN_AS.get(name, name)] += factor.contribution
    return FactorsResponse(**{name: round(value, _DIGITS) for name, value in added.items()})


def present_profile(profile: PanditProfile, reader: Reader) -> PanditResponse:
    """Show a profile, with no more than its reader may see."""
    pandit = profile.pandit
    services = [
        present_service(service)
        for service in pandit.services
        if service.is_available or profile.shows_papers
    ]
    contact = present_contact(pandit) if profile.shows_contact else None
    zone = pandit.availability.timezone
    fields = _public_fields(pandit, reader)
    # Shown to the public once he is approved, and to himself and admins before.
    is_shown = pandit.is_verified or profile.shows_papers
    pictures = profile.papers.portfolio if is_shown else ()
    portfolio = [present_picture(pandit.id, each) for each in pictures]
    if not profile.shows_papers:
        return PanditResponse(
            **fields, services=services, portfolio=portfolio, timezone=zone, contact=contact
        )
    certificates = [
        present_certificate(pandit.id, each, reader) for each in profile.papers.certificates
    ]
    return OwnPanditResponse(
        **fields,
        services=services,
        portfolio=portfolio,
        timezone=zone,
        contact=contact,
        certification_file=certificates[-1].url if certificates else "",
        certificates=certificates,
        verification_notes=pandit.verification_notes,
    )


def present_own(profile: PanditProfile, reader: Reader) -> OwnPanditResponse:
    """Show a profile to its owner or an admin."""
    shown = present_profile(profile, reader)
    if not isinstance(shown, OwnPanditResponse):
        raise TypeError("only a profile with papers is shown to its owner")
    return shown


def present_contact(pandit: Pandit) -> ContactResponse:
    """Show how to reach a pandit; ask first whether the reader may know."""
    point = pandit.location.point
    return ContactResponse(
        phone_number=pandit.phone_number,
        email=pandit.email,
        address=pandit.location.address,
        point=_present_point(point) if point else None,
    )


def present_service(service: Service) -> ServiceResponse:
    """Show a service."""
    return ServiceResponse(
        id=service.id,
        pandit_id=service.pandit_id,
        puja_id=service.puja_id,
        name=service.name,
        name_ne=service.name_ne,
        description=service.description,
        description_ne=service.description_ne,
        duration_minutes=service.duration_minutes,
        price=service.price,
        currency=service.currency,
        is_available=service.is_available,
    )


def present_slot(slot: Slot, timezone: str, reader: Reader) -> SlotResponse:
    """Show a slot of a pandit who works in ``timezone``."""
    there = slot.starts_at.astimezone(ZoneInfo(timezone))
    return SlotResponse(
        start=reader.local(slot.starts_at),
        end=reader.local(slot.ends_at),
        date=there.date(),
        time=f"{there:%H:%M}",
        available=slot.is_available,
    )


def present_slots(
    day: date, timezone: str, slots: tuple[Slot, ...], reader: Reader
) -> SlotsResponse:
    """Show the times of one local day."""
    return SlotsResponse(
        slots=[present_slot(slot, timezone, reader) for slot in slots],
        date=day,
        date_bs=bs_text(day),
        timezone=timezone,
    )


def present_availability(availability: Availability) -> AvailabilityResponse:
    """Show a pandit's hours to himself."""
    return AvailabilityResponse(
        timezone=availability.timezone,
        buffer_minutes=availability.buffer_minutes,
        lead_minutes=availability.lead_minutes,
        max_per_day=availability.max_per_day,
        weekly=[
            DayHoursResponse(weekday=day.weekday, intervals=_present_intervals(day.intervals))
            for day in availability.weekly
        ],
        exceptions=[
            DayExceptionResponse(
                date=each.on,
                date_bs=bs_text(each.on),
                intervals=_present_intervals(each.intervals),
                note=each.note,
            )
            for each in availability.exceptions
        ],
    )


def _public_fields(pandit: Pandit, reader: Reader) -> dict[str, Any]:
    verified = pandit.verified_date
    return {
        "id": pandit.id,
        "user": PanditUserResponse(
            id=pandit.user_id,
            full_name=pandit.full_name,
            full_name_ne=pandit.full_name_ne,
            profile_pic_url=pandit.profile_pic_url,
        ),
        "expertise": list(pandit.expertise),
        "languages": list(pandit.languages),
        "experience_years": pandit.experience_years,
        "rating": round(pandit.rating, 2),
        "review_count": pandit.review_count,
        "bio": pandit.bio,
        "bio_ne": pandit.bio_ne,
        "is_available": pandit.is_available,
        "verification_status": pandit.verification_status,
        "is_verified": pandit.is_verified,
        "verified_date": verified,
        "verified_date_bs": bs_text(verified) if verified else None,
        "location": _present_area(pandit.location),
        "date_joined": reader.local(pandit.date_joined),
        "updated_at": reader.local(pandit.updated_at),
    }


def _present_area(place: Place) -> AreaResponse:
    point = _present_point(coarse_point(place.point)) if place.point else None
    return AreaResponse(area=place.area, city=place.city, point=point)


def _present_point(point: GeoPoint) -> PointResponse:
    return PointResponse(latitude=point.latitude, longitude=point.longitude)


def _present_intervals(intervals: tuple[Interval, ...]) -> list[IntervalResponse]:
    return [
        IntervalResponse(start=f"{each.start:%H:%M}", end=f"{each.end:%H:%M}") for each in intervals
    ]


def _intervals(bodies: tuple[IntervalBody, ...]) -> tuple[Interval, ...]:
    return tuple(body.interval() for body in bodies)


def _time(text: str) -> time:
    return time.fromisoformat(text)
