"""Two years of bookings, each led through its life by the rules of the domain itself.

The town lives day by day. On each day families want pujas, as season and festivals have it; a
family looks for a pandit near by, rather one whom it knows, and books him some days ahead. What
becomes of it until the present moment is decided by chance and carried out by ``domain.booking``:
statuses, histories, fees, claims and events are what the running server would have made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import accumulate
from random import Random
from statistics import fmean
from typing import Final
from zoneinfo import ZoneInfo

from server.demo import phrases
from server.demo.customs import customs_of
from server.demo.residents import Customer, Ids, Priest
from server.demo.seasons import demand_on
from server.domain import booking as rules
from server.domain.account import NEPAL, Actor, Place, User
from server.domain.booking import Booking, BookingStatus, SamagriLine, ServiceLocation
from server.domain.calendar import (
    Span,
    check_bookable,
    local_instant,
    local_today,
    slots_on,
    span_of,
)
from server.domain.catalogue import Puja, SamagriItem
from server.domain.events import Event
from server.domain.pandit import Service
from server.services.samagri import SamagriAdder, with_own_line
from server.settings import BookingSettings

DAYS_BACK: Final = 730
DAYS_AHEAD: Final = 60
_A_DAY: Final = 4.9
"""Bookings a day, on average over the past."""
_FIRST_GROWTH: Final = 0.55
"""How busy the town was at the beginning, compared with its average."""
_HOURS_WEIGHT: Final = {5: 2, 6: 5, 7: 8, 8: 10, 9: 9, 10: 7, 11: 4, 12: 2, 13: 2, 14: 2, 15: 2}
_OWN_ITEMS: Final = (
    "seasonal-fruits", "laddu", "peda", "lotus", "rose-water", "tulsi-mala", "loose-flowers",
    "shankha", "dhwaja", "honey",
)  # fmt: skip
_LOCATIONS: Final = {
    ServiceLocation.HOME: 0.8,
    ServiceLocation.TEMPLE: 0.1,
    ServiceLocation.PANDIT_LOCATION: 0.06,
    ServiceLocation.ONLINE: 0.04,
}
_AT_CUSTOMERS: Final = frozenset({ServiceLocation.HOME, ServiceLocation.TEMPLE})
_ZONE: Final = ZoneInfo(NEPAL)

Offer = tuple[Priest, Service]


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """What bookings are made of: the catalogue, its samagri by puja, and the server's policy."""

    pujas: tuple[Puja, ...]
    items: Mapping[str, SamagriItem]
    suggested: Mapping[str, tuple[SamagriLine, ...]]
    adder: SamagriAdder
    policy: BookingSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A booking as it stands now, everything that was told of it, and whose it is.

    ``accepted_at`` is None when no pandit has taken it on.
    """

    booking: Booking
    events: tuple[Event, ...]
    customer: Customer
    priest: Priest
    accepted_at: datetime | None


def actor_of(user: User) -> Actor:
    """The account as the rules see it when its owner acts."""
    return Actor(user_id=user.id, role=user.role, session_id="", full_name=user.full_name)


class Historian:
    """Makes all bookings of a town; see the module's text."""

    def __init__(
        self,
        random: Random,
        ids: Ids,
        materials: Materials,
        customers: Sequence[Customer],
        priests: Sequence[Priest],
        now: datetime,
    ) -> None:
        self._random = random
        self._ids = ids
        self._materials = materials
        self._customers = customers
        self._eagerness = list(accumulate(min(each.eagerness, 12.0) for each in customers))
        self._now = now
        self._today = local_today(now, NEPAL)
        self._taken: dict[str, set[int]] = {}
        self._known: dict[str, set[str]] = {}
        self._offers: dict[str, dict[str, list[Offer]]] = {}
        for priest in priests:
            for service in priest.pandit.services:
                if priest.pandit.is_bookable and service.is_available:
                    pujas = self._offers.setdefault(priest.city.region, {})
                    pujas.setdefault(service.puja_id, []).append((priest, service))

    def stories(self) -> Iterator[Story]:
        """All bookings up to now, in the order of their starts."""
        days = range(-DAYS_BACK, DAYS_AHEAD)
        demands = [demand_on(self._day(ahead), self._materials.pujas) for ahead in days]
        usual = fmean(sum(wanted.values()) for wanted in demands[:DAYS_BACK])
        for ahead, wanted in zip(days, demands, strict=True):
            growth = _FIRST_GROWTH + 2 * (1 - _FIRST_GROWTH) * (ahead + DAYS_BACK) / DAYS_BACK
            expected = _A_DAY * growth * sum(wanted.values()) / usual
            for _ in range(int(expected + self._random.random())):
                story = self._one(self._day(ahead), wanted)
                if story is not None:
                    yield story

    def story(
        self,
        customer: Customer,
        offer: Offer,
        *,
        days_ahead: int,
        created_at: datetime,
        answered_at: datetime | None,
    ) -> Story | None:
        """One booking to order: of that family with that pandit, at his first free time that day.

        It waits for his answer when ``answered_at`` is None, else it was accepted then. Returns
        None when he has no time that day.
        """
        priest = offer[0]
        placed = self._placed(
            customer, offer, self._day(days_ahead), created_at, bookable_at=self._now
        )
        if placed is None:
            return None
        booking, events = placed
        if answered_at is not None:
            booking, events = _noted(
                rules.accept(booking, actor_of(priest.user), answered_at), events
            )
        story = Story(
            booking=booking,
            events=events,
            customer=customer,
            priest=priest,
            accepted_at=answered_at,
        )
        self._remember(story)
        return story

    # -- one booking -----------------------------------------------------------------------------

    def _one(self, day: date, wanted: Mapping[str, float]) -> Story | None:
        customer = self._customer()
        found = self._offer(customer, wanted, day)
        created_at = self._created_at(day)
        if found is None or created_at >= self._now:
            return None
        placed = self._placed(customer, found, day, created_at, bookable_at=created_at)
        if placed is None:
            return None
        story = self._lived(customer, found[0], *placed)
        self._remember(story)
        return story

    def _placed(
        self,
        customer: Customer,
        offer: Offer,
        day: date,
        created_at: datetime,
        *,
        bookable_at: datetime,
    ) -> tuple[Booking, tuple[Event, ...]] | None:
        """The booking as it was placed, at a time that was still bookable at ``bookable_at``."""
        priest, service = offer
        found = self._time(priest, service, day, bookable_at)
        if found is None:
            return None
        at, span = found
        pandit, user = priest.pandit, customer.user
        where = self._random.choices(list(_LOCATIONS), list(_LOCATIONS.values()))[0]
        location = customer.place if where in _AT_CUSTOMERS else Place(city=customer.place.city)
        needs_samagri = where is not ServiceLocation.ONLINE and self._random.random() < 0.75
        basis_points = self._materials.policy.commission_basis_points
        booking = Booking(
            id=self._ids.at(created_at),
            user_id=user.id,
            customer_name=user.full_name,
            customer_phone=user.phone_number,
            pandit_id=pandit.id,
            pandit_user_id=pandit.user_id,
            pandit_name=pandit.full_name,
            pandit_name_ne=pandit.full_name_ne,
            pandit_phone=pandit.phone_number,
            distance_km=_distance(pandit.location, location),
            service_id=service.id,
            puja_id=service.puja_id,
            service_name=service.name,
            service_name_ne=service.name_ne,
            service_location=where,
            location=location,
            booking_date=day,
            booking_time=at,
            timezone=pandit.availability.timezone,
            starts_at=span.starts_at,
            ends_at=span.ends_at,
            claims=span.claims,
            status=BookingStatus.PENDING,
            notes=self._random.choice(phrases.NOTES),
            samagri_required=needs_samagri,
            service_fee=service.price,
            total_fee=service.price,
            currency=service.currency,
            commission_basis_points=basis_points,
            commission_amount=rules.commission_of(service.price, basis_points),
            answer_by=self._answer_by(created_at, span.starts_at),
            created_at=created_at,
            updated_at=created_at,
        )
        if needs_samagri:
            lines = self._materials.suggested[service.puja_id]
            booking = self._edited(rules.with_samagri(booking, lines, (), created_at))
        return _noted(rules.placed(booking, created_at), ())

    def _edited(self, booking: Booking) -> Booking:
        """Some families leave out what they have, want more of something, or add their own."""
        at = booking.created_at
        for line in booking.samagri:
            if line.can_remove and self._random.random() < 0.25:
                booking = rules.without_line(booking, line.item_id, at)
            elif self._random.random() < 0.05:
                booking = rules.with_quantity(booking, line.item_id, line.quantity * 2, None, at)
        for own in self._own_items(booking):
            line = self._materials.adder.own_line(own, Decimal(own.base_quantity), own.base_unit)
            lines = with_own_line(booking, line)
            booking = rules.with_samagri(booking, lines, booking.samagri_declined, at)
        return booking

    def _own_items(self, booking: Booking) -> Iterator[SamagriItem]:
        """What custom asks for beside the rules, and now and then something else."""
        customs = customs_of(booking.puja_id, booking.location.city)
        wanted = [item_id for item_id, share in customs if self._random.random() < share]
        if self._random.random() < 0.2:
            wanted.append(self._random.choice(_OWN_ITEMS))
        present = {line.item_id for line in booking.samagri}
        for item_id in dict.fromkeys(wanted):
            item = self._materials.items.get(item_id)
            if item is not None and item_id not in present:
                yield item

    def _lived(
        self, customer: Customer, priest: Priest, booking: Booking, told: tuple[Event, ...]
    ) -> Story:
        """Lead the booking from PENDING to where it stands now."""
        while True:
            asked_at = booking.history[-1].at
            answer_by = booking.answer_by or booking.starts_at
            waits = self._random.expovariate(1 / 2.2)
            answered_at = _whole(asked_at + timedelta(hours=0.05 + waits))
            chance = self._random.random()
            is_late = answered_at >= answer_by
            if chance < 0.03 and not is_late and answered_at < self._now:
                # The family thinks better of it before he has answered.
                reason = self._random.choice(phrases.CANCELLED_BY_CUSTOMER)
                moved = rules.cancel(booking, actor_of(customer.user), answered_at, reason)
                return self._end(customer, priest, None, *_noted(moved, told))
            if min(answered_at, answer_by) > self._now:
                return self._end(customer, priest, None, booking, told)
            if chance >= 0.1 and not is_late:
                moved = rules.accept(booking, actor_of(priest.user), answered_at)
                return self._kept(customer, priest, *_noted(moved, told))
            if is_late:
                answered_at = answer_by
                declined = rules.lapse(booking, answered_at)
            else:
                reason = self._random.choice(phrases.DECLINED)
                declined = rules.decline(booking, actor_of(priest.user), answered_at, reason)
            found = self._following(customer, declined, answered_at)
            if found is None:
                failed = rules.fail(declined, answered_at, "no-pandit-left")
                return self._end(customer, priest, None, *_noted(failed, told))
            priest = found[0]
            booking, told = _noted(self._reoffered(declined, *found, answered_at), told)

    def _kept(
        self, customer: Customer, priest: Priest, booking: Booking, told: tuple[Event, ...]
    ) -> Story:
        """Lead an accepted booking on: called off, begun, completed, or still to come."""
        random, accepted_at = self._random, booking.history[-1].at
        called_off_at = _whole(
            accepted_at + (booking.starts_at - accepted_at) * random.uniform(0.05, 0.97)
        )
        if random.random() < 0.07:
            if called_off_at < self._now:
                is_pandit = random.random() < 0.25
                actor = actor_of(priest.user if is_pandit else customer.user)
                reasons = (
                    phrases.CANCELLED_BY_PANDIT if is_pandit else phrases.CANCELLED_BY_CUSTOMER
                )
                moved = rules.cancel(booking, actor, called_off_at, random.choice(reasons))
                booking, told = _noted(moved, told)
            return self._end(customer, priest, accepted_at, booking, told)
        early = self._materials.policy.start_early_minutes
        began_at = max(
            _whole(booking.starts_at + timedelta(minutes=random.randint(-20, 12))), accepted_at
        )
        if began_at <= self._now:
            pandit = actor_of(priest.user)
            booking, told = _noted(rules.start(booking, pandit, began_at, early), told)
            ended_at = _whole(booking.ends_at + timedelta(minutes=random.randint(-10, 14)))
            if ended_at <= self._now:
                booking, told = _noted(rules.complete(booking, pandit, ended_at), told)
        return self._end(customer, priest, accepted_at, booking, told)

    def _end(
        self,
        customer: Customer,
        priest: Priest,
        accepted_at: datetime | None,
        booking: Booking,
        told: tuple[Event, ...],
    ) -> Story:
        return Story(
            booking=booking,
            events=told,
            customer=customer,
            priest=priest,
            accepted_at=accepted_at,
        )

    # -- the next pandit -------------------------------------------------------------------------

    def _following(
        self, customer: Customer, declined: Booking, now: datetime
    ) -> tuple[Priest, Service, Span] | None:
        """Another pandit near by who is free and takes no more than the frozen price."""
        if len(declined.rejected_by) >= self._materials.policy.max_offers:
            return None
        offers = self._offers[customer.city.region][declined.puja_id]
        for priest, service in offers:
            is_new = priest.pandit.id not in declined.rejected_by
            if is_new and service.price <= declined.service_fee:
                span = self._span(
                    priest, service, declined.booking_date, declined.booking_time, now
                )
                if span is not None:
                    return priest, service, span
        return None

    def _reoffered(
        self, declined: Booking, priest: Priest, service: Service, span: Span, now: datetime
    ) -> Booking:
        pandit = priest.pandit
        return rules.reoffer(
            declined,
            pandit_id=pandit.id,
            pandit_user_id=pandit.user_id,
            pandit_name=pandit.full_name,
            pandit_name_ne=pandit.full_name_ne,
            pandit_phone=pandit.phone_number,
            distance_km=_distance(pandit.location, declined.location),
            service_id=service.id,
            span=span,
            answer_by=self._answer_by(now, span.starts_at),
            now=now,
        )

    # -- choosing --------------------------------------------------------------------------------

    def _customer(self) -> Customer:
        return self._random.choices(self._customers, cum_weights=self._eagerness)[0]

    def _offer(self, customer: Customer, wanted: Mapping[str, float], day: date) -> Offer | None:
        """A puja that the season asks for, with a pandit near by who works on that day."""
        offered = self._offers[customer.city.region]
        puja_id = self._random.choices(list(offered), [wanted[each] for each in offered])[0]
        offers = [
            offer for offer in offered[puja_id] if offer[0].pandit.availability.intervals_on(day)
        ]
        known = self._known.get(customer.user.id, set())
        familiar = [offer for offer in offers if offer[0].pandit.id in known]
        if familiar and self._random.random() < customer.faithfulness:
            return self._random.choice(familiar)
        if not offers:
            return None
        attraction = [
            priest.skill**3 * (3.0 if priest.city is customer.city else 1.0) for priest, _ in offers
        ]
        return self._random.choices(offers, attraction)[0]

    def _time(
        self, priest: Priest, service: Service, day: date, now: datetime
    ) -> tuple[time, Span] | None:
        hours = priest.pandit.availability
        free = [
            slot
            for slot in slots_on(
                hours,
                day=day,
                duration_minutes=service.duration_minutes,
                step_minutes=self._materials.policy.slot_step_minutes,
                taken=self._taken.get(priest.pandit.id, ()),
                now=now,
            )
            if slot.is_available
        ]
        if not free:
            return None
        local = [slot.starts_at.astimezone(_ZONE) for slot in free]
        weights = [_HOURS_WEIGHT.get(at.hour, 1) for at in local]
        at = self._random.choices(local, weights)[0].time()
        span = self._span(priest, service, day, at, now)
        return None if span is None else (at, span)

    def _span(
        self, priest: Priest, service: Service, day: date, at: time, now: datetime
    ) -> Span | None:
        """The span that the server would give the booking, None when it would refuse."""
        span = check_bookable(
            priest.pandit.availability,
            day=day,
            at=at,
            duration_minutes=service.duration_minutes,
            now=now,
            horizon_days=self._materials.policy.horizon_days,
        )
        if not isinstance(span, Span):
            return None
        taken = self._taken.get(priest.pandit.id, set())
        return None if taken.intersection(span.claims) else span

    # -- time ------------------------------------------------------------------------------------

    def _day(self, ahead: int) -> date:
        return self._today + timedelta(days=ahead)

    def _created_at(self, day: date) -> datetime:
        """Most book one or two weeks ahead, some on the same morning."""
        ahead = int(self._random.gammavariate(1.7, 5.0))
        hour = self._random.randint(5, 8 if ahead == 0 else 21)
        at = time(hour, self._random.randrange(60), self._random.randrange(60))
        return local_instant(day - timedelta(days=ahead), at, NEPAL)

    def _answer_by(self, asked_at: datetime, starts_at: datetime) -> datetime:
        within = timedelta(hours=self._materials.policy.answer_hours)
        return rules.answer_time(asked_at, starts_at, within)

    def _remember(self, story: Story) -> None:
        booking, pandit = story.booking, story.priest.pandit
        if story.accepted_at is not None:
            self._known.setdefault(booking.user_id, set()).add(pandit.id)
        if booking.status in (BookingStatus.CANCELLED, BookingStatus.FAILED):
            return
        # A completed booking has given its claims back, but nobody was in two places at once.
        minutes = (booking.ends_at - booking.starts_at) // timedelta(minutes=1)
        span = span_of(booking.starts_at, minutes, pandit.availability.buffer_minutes)
        self._taken.setdefault(pandit.id, set()).update(span.claims)


def _noted(booking: Booking, told: tuple[Event, ...]) -> tuple[Booking, tuple[Event, ...]]:
    """The booking as it is stored once its events are delivered, and all events so far."""
    stored = replace(booking, outbox=(), version=booking.version + 1)
    return stored, (*told, *booking.outbox)


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _distance(first: Place, second: Place) -> float | None:
    if first.point is None or second.point is None:
        return None
    return round(first.point.distance_km(second.point), 1)
