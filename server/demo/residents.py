"""Who lives in the demo town: customers, pandits with their services and hours, an admin."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import count
from random import Random
from typing import Final

from server.demo import names, phrases
from server.demo.places import CITIES, City
from server.demo.seasons import popularity_of
from server.domain.account import GeoPoint, Place, Role, User
from server.domain.calendar import (
    CLAIM_MINUTES,
    Availability,
    DayException,
    DayHours,
    Interval,
    default_availability,
    local_today,
)
from server.domain.catalogue import Puja
from server.domain.pandit import Pandit, Service, VerificationStatus

CUSTOMERS: Final = 300
DEMO_CUSTOMER_PHONE: Final = "+9779800000001"
DEMO_PANDIT_PHONE: Final = "+9779800000002"
DEMO_ADMIN_PHONE: Final = "+9779800000003"
_UNVERIFIED: Final = (
    VerificationStatus.PENDING, VerificationStatus.PENDING, VerificationStatus.REJECTED,
)  # fmt: skip
_SATURDAY: Final = 6
_PAUSED: Final = 0.05
"""The share of services that their pandit does not offer at present."""
_DIGITS: Final = str.maketrans("0123456789", "०१२३४५६७८९")
_PRICE_STEP: Final = 50_00
_OFFERED_BY_DEMO_PANDIT: Final = (
    "satyanarayan-puja", "griha-pravesh", "rudri-puja", "nwaran", "pasni", "lakshmi-puja",
    "wedding-ceremony", "shraddha",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer's account, and what the demo knows of his ways.

    ``eagerness`` is how often he books compared with others; ``faithfulness`` how likely he stays
    with a pandit whom he knows.
    """

    user: User
    city: City
    place: Place
    eagerness: float
    faithfulness: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Priest:
    """A pandit's account and profile, and what the demo knows of him.

    ``skill`` is the middle of the ratings that he earns.
    """

    user: User
    pandit: Pandit
    city: City
    skill: float


class Ids:
    """Ids that follow from the seed: the second of creation, then random digits."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def at(self, moment: datetime) -> str:
        """Return 24 hexadecimal digits that rise with time."""
        return f"{int(moment.timestamp()):08x}{self._random.getrandbits(64):016x}"


def make_admin(ids: Ids, password_hash: str, now: datetime) -> User:
    """The demo's administrator."""
    joined = now - timedelta(days=900)
    return User(
        id=ids.at(joined),
        username="admin",
        email="admin@example.com",
        phone_number=DEMO_ADMIN_PHONE,
        phone_verified_at=joined,
        full_name="Anju Tuladhar",
        role=Role.ADMIN,
        password_hash=password_hash,
        created_at=joined,
        updated_at=joined,
    )


def make_customers(
    random: Random, ids: Ids, password_hash: str, now: datetime
) -> tuple[Customer, ...]:
    """The families, the demo's own customer first."""
    phones = _phones(random, "984")
    cities = random.choices(CITIES, [city.customers for city in CITIES], k=CUSTOMERS)
    cities[0] = CITIES[0]
    return tuple(
        _customer(random, ids, password_hash, now, number, cities[number], next(phones))
        for number in range(CUSTOMERS)
    )


def _customer(
    random: Random,
    ids: Ids,
    password_hash: str,
    now: datetime,
    number: int,
    city: City,
    phone: str,
) -> Customer:
    is_demo = number == 0
    families = names.MAITHIL_FAMILY if city.culture == "maithil" else names.FAMILY
    given, family = random.choice(names.GIVEN)[0], random.choice(families)[0]
    if is_demo:
        given, family = names.GIVEN[0][0], names.FAMILY[0][0]
    joined = now - timedelta(days=random.uniform(3, 760), hours=random.uniform(0, 12))
    joined = (now - timedelta(days=760) if is_demo else joined).replace(microsecond=0)
    place = _place(random, city)
    has_email = is_demo or random.random() < 0.7
    user = User(
        id=ids.at(joined),
        username="sita" if is_demo else None,
        email=f"{given}.{family}{number}@example.com".lower() if has_email else None,
        phone_number=DEMO_CUSTOMER_PHONE if is_demo else phone,
        phone_verified_at=joined,
        full_name=f"{given} {family}",
        role=Role.USER,
        password_hash=password_hash,
        language="en" if is_demo or random.random() < 0.4 else "ne",
        location=place,
        created_at=joined,
        updated_at=joined,
    )
    return Customer(
        user=user,
        city=city,
        place=place,
        # A few families book often, most once or twice.
        eagerness=6.0 if is_demo else random.paretovariate(1.3),
        faithfulness=random.uniform(0.35, 0.9),
    )


def make_priests(
    random: Random, ids: Ids, password_hash: str, now: datetime, pujas: Sequence[Puja]
) -> tuple[Priest, ...]:
    """The pandits, the demo's own first; the last three are not approved."""
    phones, numbers = _phones(random, "986"), count()
    given, family = list(names.PANDIT_GIVEN), list(names.PANDIT_FAMILY)
    random.shuffle(given)
    random.shuffle(family)
    homes = [city for city in CITIES for _ in range(city.pandits)]
    approved = len(homes) - len(_UNVERIFIED)
    # Those who are not approved live where many are left.
    order = [*homes[len(_UNVERIFIED) :], *homes[: len(_UNVERIFIED)]]
    # Every kind of puja is offered by somebody of the valley; dealt out like cards.
    valley = [place for place, city in enumerate(order[:approved]) if city.region == "valley"]
    dealt: dict[int, list[Puja]] = {place: [] for place in range(len(order))}
    for turn, puja in enumerate(random.sample(list(pujas), len(pujas))):
        dealt[valley[turn % len(valley)]].append(puja)
    priests = []
    for city in order:
        number = next(numbers)
        name = _pandit_name(random, number, city, given, family)
        status = VerificationStatus.APPROVED
        if number >= approved:
            status = _UNVERIFIED[number - approved]
        offered = _offered(random, dealt[number], pujas, is_demo=number == 0)
        priests.append(
            _priest(
                random, ids, password_hash, now, number, city, name, next(phones), status, offered
            )
        )
    return tuple(priests)


def _priest(
    random: Random,
    ids: Ids,
    password_hash: str,
    now: datetime,
    number: int,
    city: City,
    name: names.Name,
    phone: str,
    status: VerificationStatus,
    offered: Sequence[Puja],
) -> Priest:
    is_demo, is_approved = number == 0, status is VerificationStatus.APPROVED
    days = random.uniform(740, 1100) if is_approved else random.uniform(1, 9)
    joined = (now - timedelta(days=days)).replace(microsecond=0)
    years = 18 if is_demo else min(42, 2 + int(random.gammavariate(2.2, 6)))
    user = User(
        id=ids.at(joined),
        username="pandit" if is_demo else None,
        email=f"{name[0].replace(' ', '').lower()}{number}@example.com",
        phone_number=DEMO_PANDIT_PHONE if is_demo else phone,
        phone_verified_at=joined,
        full_name=name[0],
        role=Role.PANDIT,
        password_hash=password_hash,
        language="en" if is_demo else "ne",
        location=None,
        created_at=joined,
        updated_at=joined,
    )
    pandit_id = ids.at(joined)
    hours = _everyday() if is_demo else _hours(random, local_today(now, user.timezone))
    best = offered[0]
    bio, bio_ne = _bio(random, city, years, best)
    pandit = Pandit(
        id=pandit_id,
        user_id=user.id,
        full_name=user.full_name,
        full_name_ne=name[1],
        phone_number=user.phone_number,
        email=user.email,
        expertise=tuple(puja.id for puja in offered),
        languages=_languages(random, name, city),
        experience_years=years,
        bio=bio,
        bio_ne=bio_ne,
        verification_status=status,
        verified_date=local_today(joined + timedelta(days=4), user.timezone)
        if is_approved
        else None,
        verification_notes=phrases.REJECTION_NOTES if status is VerificationStatus.REJECTED else "",
        location=_place(random, city),
        services=tuple(
            _service(random, ids, pandit_id, puja, years, joined, city, hours, is_demo=is_demo)
            for puja in offered
        ),
        availability=hours,
        date_joined=joined,
        updated_at=joined,
    )
    return Priest(
        user=user, pandit=pandit, city=city, skill=4.8 if is_demo else random.uniform(3.7, 4.9)
    )


def _pandit_name(
    random: Random,
    number: int,
    city: City,
    given: Sequence[names.Name],
    family: Sequence[names.Name],
) -> names.Name:
    if number == 0:
        first, last = names.PANDIT_GIVEN[0], names.PANDIT_FAMILY[0]
    else:
        first = given[number % len(given)]
        last = family[number % len(family)]
        if city.culture == "maithil":
            last = random.choice(names.MAITHIL_PANDIT_FAMILY)
        elif city.name in ("Bhaktapur", "Lalitpur") and random.random() < 0.4:
            last = names.NEWAR_PANDIT_FAMILY[0]
    return f"{first[0]} {last[0]}", f"{first[1]} {last[1]}"


def _languages(random: Random, name: names.Name, city: City) -> tuple[str, ...]:
    spoken = ["ne"]
    if city.culture == "maithil":
        spoken.append("mai")
    if "Rajopadhyaya" in name[0] or (city.region == "valley" and random.random() < 0.15):
        spoken.append("new")
    for language, chance in (("hi", 0.6), ("sa", 0.45), ("en", 0.4)):
        if random.random() < chance:
            spoken.append(language)
    return tuple(spoken)


def _bio(random: Random, city: City, years: int, puja: Puja) -> phrases.Pair:
    english, nepali = random.choice(phrases.BIOS)
    return (
        english.format(city=city.name, years=years, puja=puja.name),
        nepali.format(
            city_ne=city.name_ne, years_ne=str(years).translate(_DIGITS), puja_ne=puja.name_ne
        ),
    )


def _offered(
    random: Random, dealt: Sequence[Puja], pujas: Sequence[Puja], *, is_demo: bool
) -> list[Puja]:
    """Three to eight pujas: those dealt to him, and some by chance."""
    by_id = {puja.id: puja for puja in pujas}
    if is_demo:
        wanted = [by_id[each] for each in _OFFERED_BY_DEMO_PANDIT if each in by_id]
        return list(dict.fromkeys([*wanted, *dealt]))[:8]
    chosen = dict.fromkeys(dealt)
    wanted_number = max(len(chosen), random.randint(3, 8))

    def draw(puja: Puja) -> float:
        weight: float = 1 / popularity_of(puja)
        return math.pow(random.random(), weight)

    # A weighted draw without repeats: what is often asked for is often offered.
    for puja in sorted(pujas, key=draw, reverse=True):
        if len(chosen) >= wanted_number:
            break
        chosen[puja] = None
    return list(chosen)[:8]


def _service(
    random: Random,
    ids: Ids,
    pandit_id: str,
    puja: Puja,
    years: int,
    joined: datetime,
    city: City,
    hours: Availability,
    *,
    is_demo: bool,
) -> Service:
    factor = random.uniform(0.85, 1.15) * (0.9 + min(years, 30) / 100)
    if city.region == "valley":
        factor *= 1.08
    minutes = puja.duration_minutes + random.choice((-CLAIM_MINUTES, 0, 0, 0, CLAIM_MINUTES))
    longest = max(_length(each) for day in hours.weekly for each in day.intervals)
    service_id = ids.at(joined)
    description, description_ne = random.choice(phrases.OFFERS)
    return Service(
        id=service_id,
        pandit_id=pandit_id,
        puja_id=puja.id,
        name=puja.name,
        name_ne=puja.name_ne,
        description=description,
        description_ne=description_ne,
        duration_minutes=min(minutes, longest),
        price=max(1, round(puja.base_price * factor / _PRICE_STEP)) * _PRICE_STEP,
        is_available=is_demo or random.random() > _PAUSED,
    )


def _length(interval: Interval) -> int:
    start, end = interval.start, interval.end
    return (end.hour - start.hour) * 60 + end.minute - start.minute


def _everyday() -> Availability:
    open_hours = (Interval(time(6), time(20)),)
    return Availability(
        weekly=tuple(DayHours(weekday=day, intervals=open_hours) for day in range(1, 8)),
        lead_minutes=60,
    )


def _hours(random: Random, today: date) -> Availability:
    """Nepal's usual week, or that of one who works when families are at home."""
    kind = random.random()
    if kind < 0.4:
        usual = default_availability()
    else:
        split = (Interval(time(5, 30), time(11)), Interval(time(14), time(19)))
        whole = (Interval(time(random.choice((5, 6, 7))), time(random.choice((17, 18, 19)))),)
        open_hours = split if kind < 0.55 else whole
        day_off = _SATURDAY if kind < 0.6 else random.randint(1, 5)
        usual = Availability(
            weekly=tuple(
                DayHours(weekday=day, intervals=() if day == day_off else open_hours)
                for day in range(1, 8)
            ),
            buffer_minutes=random.choice((15, 30, 30, 45)),
            lead_minutes=random.choice((60, 120, 240)),
        )
    return replace(usual, exceptions=tuple(_days_off(random, today)))


def _days_off(random: Random, today: date) -> Iterator[DayException]:
    for ahead in sorted(random.sample(range(3, 60), random.choice((0, 0, 1, 2)))):
        yield DayException(on=today + timedelta(days=ahead), note="Away")


def _place(random: Random, city: City) -> Place:
    quarter = random.choice(city.quarters)
    return Place(
        area=quarter.name,
        city=city.name,
        address=f"House {random.randint(1, 480)}, {quarter.name}",
        point=GeoPoint(
            round(quarter.latitude + random.gauss(0, 0.002), 6),
            round(quarter.longitude + random.gauss(0, 0.002), 6),
        ),
    )


def _phones(random: Random, prefix: str) -> Iterator[str]:
    for number in random.sample(range(10_000_000), CUSTOMERS):
        yield f"+977{prefix}{number:07}"
