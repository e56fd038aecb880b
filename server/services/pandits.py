"""Finding pandits, and what a pandit keeps about himself: profile, services, hours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from server.domain.account import NEPAL, Actor, GeoPoint
from server.domain.analytics import Step
from server.domain.audit import Act
from server.domain.availability import availability_faults
from server.domain.booking import Booking, BookingStatus
from server.domain.calendar import (
    CLAIM_MINUTES,
    MAX_DURATION_MINUTES,
    Availability,
    DayClaim,
    Refusal,
    Slot,
    Span,
    check_bookable,
    claim_range,
    local_instant,
    local_today,
    slots_on,
)
from server.domain.draft import Draft
from server.domain.errors import FieldFault, Invalid, NotFound
from server.domain.events import Event, EventKind
from server.domain.pandit import Pandit, Service, ServiceOffer, VerificationStatus
from server.domain.papers import Papers
from server.domain.payment import unlock_payment_id
from server.domain.ports.accounts import UserRepository
from server.domain.ports.bookings import BookingRepository, DraftRepository
from server.domain.ports.catalogue import CatalogueRepository
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.pandits import PanditHit, PanditRepository, PanditSearch, PapersRepository
from server.domain.ports.payments import PaymentRepository
from server.domain.ports.world import Clock, IdSource
from server.domain.search import PanditCard, PanditProfile, coarse_point, fitting_offers
from server.domain.travel import visited_point
from server.services.audit import AuditService
from server.services.bookings import BookingPolicy
from server.services.optimistic import change
from server.services.places import PlaceService
from server.services.relay import EventRelay
from server.services.search_words import SearchWords
from server.services.slot_news import SlotNews
from server.services.timetable import Timetable, is_full_day
from server.services.visits import VisitMeter

FindPandits = Callable[[Actor | None, PanditSearch], Awaitable[Page[PanditHit]]]
"""Finds a page of pandits in the order that suits the actor."""

MAX_SERVICES: Final = 60
_SOON_DAYS: Final = 14
_SEARCH_ROUNDS: Final = 5
_MOVABLE: Final = frozenset({BookingStatus.PENDING, BookingStatus.ACCEPTED})
_PROFILE_FIELDS: Final = frozenset(
    {
        "bio",
        "bio_ne",
        "languages",
        "expertise",
        "experience_years",
        "is_available",
        "location",
        "full_name_ne",
    }
)
_SERVICE_FIELDS: Final = frozenset(
    {
        "name",
        "name_ne",
        "description",
        "description_ne",
        "duration_minutes",
        "price",
        "is_available",
    }
)


@dataclass(frozen=True, slots=True)
class SlotDay:
    """The times of one local day at which a service of a pandit can be booked."""

    pandit_id: str
    day: date
    timezone: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Sought:
    """Whose free times are looked for, and how long they have to be.

    ``holder`` is the booking or unfinished booking that is to be moved to one of them.
    """

    pandit: Pandit
    minutes: int
    holder: Booking | Draft | None = None


class PanditService:
    """The use cases around pandits, for customers, pandits and admins."""

    def __init__(
        self,
        *,
        pandits: PanditRepository,
        papers: PapersRepository,
        bookings: BookingRepository,
        catalogue: CatalogueRepository,
        payments: PaymentRepository,
        users: UserRepository,
        drafts: DraftRepository,
        timetable: Timetable,
        relay: EventRelay,
        slots: SlotNews,
        audit: AuditService,
        clock: Clock,
        ids: IdSource,
        policy: BookingPolicy,
        words: SearchWords,
        places: PlaceService,
        visits: VisitMeter,
        find: FindPandits | None = None,
    ) -> None:
        self._pandits = pandits
        self._papers = papers
        self._find = find
        self._words = words
        self._places = places
        self._bookings = bookings
        self._catalogue = catalogue
        self._payments = payments
        self._users = users
        self._drafts = drafts
        self._timetable = timetable
        self._relay = relay
        self._slots = slots
        self._audit = audit
        self._clock = clock
        self._ids = ids
        self._policy = policy
        self._visits = visits

    # -- searching --------------------------------------------------------------------------------

    async def warm_up(self) -> None:
        """Have whatever searches need ready; called once, before anybody searches."""
        await self._pandits.search(PanditSearch(limit=1))

    async def refresh(self) -> int:
        """Have whatever searches keep in memory looked at again, a part at a time."""
        return await self._pandits.refresh()

    async def search(
        self,
        actor: Actor | None,
        wanted: PanditSearch,
        *,
        category_id: str | None = None,
        day: date | None = None,
        at: time | None = None,
    ) -> Page[PanditCard]:
        """Return bookable pandits, each with the next time at which he is free.

        With ``day`` (and ``at``, local times of the pandit) only those who are free then remain.
        They are sifted page by page, a bounded number of times; such a page may hold fewer rows
        than asked for and still have a next one. Each is shown with the cheapest fitting service
        that he has time for. In the order by price, pages follow what he asks at least, the rows of
        a page what is shown.

        Raises
        ------
        Invalid
            For a time without a day, or an order by distance from nowhere.
        """
        if at is not None and day is None:
            raise Invalid(FieldFault("date", "required"))
        if wanted.after is None:
            self._visits.count(Step.SEARCHED)
        if day is not None and not self._may_be_booked(day):
            return Page(())
        wanted = replace(wanted, words=await self._words.read(wanted.text), day=day, at=at)
        search = await self._localised(actor, await self._of_category(wanted, category_id))
        if search.sort == "distance" and search.near is None:
            raise Invalid(FieldFault("lat", "required"))
        cards: list[PanditCard] = []
        for _ in range(_SEARCH_ROUNDS):
            page = await self._page(actor, search)
            found = await self._cards(page.rows, search, day, at, needs_time=day is not None)
            if day is None:
                return Page(found, page.next_key)
            cards += [card for card in found if card.next_free_slot is not None]
            search = replace(search, after=page.next_key, limit=wanted.limit - len(cards))
            if page.next_key is None or search.limit == 0:
                break
        if search.sort == "price":
            cards.sort(key=lambda card: card.price or 0)
        return Page(tuple(cards), search.after)

    async def cards(
        self, hits: tuple[PanditHit, ...], puja_id: str, day: date | None
    ) -> tuple[PanditCard, ...]:
        """Add the next free time, on that day or within two weeks, and what the puja costs then."""
        if day is not None and not self._may_be_booked(day):
            return ()
        search = PanditSearch(puja_ids=(puja_id,))
        return await self._cards(hits, search, day, None, needs_time=True)

    async def _page(self, actor: Actor | None, search: PanditSearch) -> Page[PanditHit]:
        if self._find is None:
            return await self._pandits.search(search)
        return await self._find(actor, search)

    async def _of_category(self, wanted: PanditSearch, category_id: str | None) -> PanditSearch:
        if category_id is None:
            return wanted
        pujas = await self._words.pujas_of(category_id)
        if wanted.puja_ids is not None:
            pujas &= frozenset(wanted.puja_ids)
        return replace(wanted, puja_ids=tuple(sorted(pujas)))

    async def _localised(self, actor: Actor | None, wanted: PanditSearch) -> PanditSearch:
        """Measure from where the asker lives when he names no other place."""
        if wanted.near is not None or actor is None:
            return wanted
        user = await self._users.find(actor.user_id)
        home = user.location.point if user and user.location else None
        return replace(wanted, near=home)

    async def _cards(
        self,
        hits: tuple[PanditHit, ...],
        search: PanditSearch,
        day: date | None,
        at: time | None,
        *,
        needs_time: bool,
    ) -> tuple[PanditCard, ...]:
        """Add prices and free times to a page of hits, by one query of claims for all of them.

        Shown is the cheapest fitting service of each; with ``needs_time`` the cheapest that he has
        time for, if there is one.
        """
        now = self._clock.now()
        offers = {
            hit.pandit.id: fitting_offers(hit.pandit, search.puja_ids, search.max_price)
            for hit in hits
        }
        taken = await self._taken(
            tuple(pandit_id for pandit_id, fitting in offers.items() if fitting),
            now if day is None else _noon(day),
            _SOON_DAYS if day is None else 1,
        )
        cards = []
        for hit in hits:
            fitting = offers[hit.pandit.id]
            offer, slot = fitting[0] if fitting else None, None
            if offer is not None:
                some = fitting if needs_time else fitting[:1]
                claims = taken[hit.pandit.id]
                offer, slot = self._first_with_time(hit.pandit, some, claims, now, day, at)
            price = None if offer is None else offer.price
            cards.append(PanditCard(hit.pandit, hit.distance_km, price, offer, slot, hit.factors))
        return tuple(cards)

    def _first_with_time(
        self,
        pandit: Pandit,
        services: tuple[Service, ...],
        taken: frozenset[int],
        now: datetime,
        day: date | None,
        at: time | None,
    ) -> tuple[Service, Slot | None]:
        """The first of the services that he has time for, and when; the first of all if none."""
        too_long = MAX_DURATION_MINUTES + 1
        for service in services:
            minutes = service.duration_minutes
            # Whoever has no time for one has none for another that lasts as long.
            if minutes < too_long:
                slot = self._first_free(pandit.availability, minutes, taken, now, day, at)
                if slot is not None:
                    return service, slot
                too_long = minutes
        return services[0], None

    async def _taken(
        self, pandit_ids: tuple[str, ...], start: datetime, days: int
    ) -> dict[str, frozenset[int]]:
        """The claims of those pandits from a day before ``start`` to two days after the last day.

        Wide enough for every time zone and for a booking of a day with its buffer.
        """
        if not pandit_ids:
            return {}
        first, last = claim_range(start - timedelta(days=1), start + timedelta(days=days + 3))
        return await self._bookings.claims(pandit_ids, first, last)

    def _first_free(
        self,
        availability: Availability,
        minutes: int,
        taken: frozenset[int],
        now: datetime,
        day: date | None,
        at: time | None,
    ) -> Slot | None:
        if day is not None and at is not None:
            return self._slot_at(availability, minutes, taken, now, day, at)
        today = local_today(now, availability.timezone)
        days = [day] if day else [today + timedelta(days=ahead) for ahead in range(_SOON_DAYS)]
        return next(
            (
                slot
                for each in days
                for slot in self._slots_on(availability, each, minutes, taken, now)
                if slot.is_available
            ),
            None,
        )

    def _slot_at(
        self,
        availability: Availability,
        minutes: int,
        taken: frozenset[int],
        now: datetime,
        day: date,
        at: time,
    ) -> Slot | None:
        span = check_bookable(
            availability,
            day=day,
            at=at,
            duration_minutes=minutes,
            now=now,
            horizon_days=self._policy.horizon_days,
        )
        if isinstance(span, Refusal) or not taken.isdisjoint(span.claims):
            return None
        most = availability.max_per_day
        if most is not None and DayClaim.SEAT.count(day, taken) >= most:
            return None
        return Slot(span.starts_at, span.ends_at, is_available=True)

    def _slots_on(
        self,
        availability: Availability,
        day: date,
        minutes: int,
        taken: frozenset[int],
        now: datetime,
        is_reachable: Callable[[Span], bool] = lambda _: True,
    ) -> tuple[Slot, ...]:
        """All times of a local day; none in the past or further ahead than bookings are taken."""
        ahead = (day - local_today(now, availability.timezone)).days
        if not 0 <= ahead <= self._policy.horizon_days:
            return ()
        return tuple(
            slots_on(
                availability,
                day=day,
                duration_minutes=minutes,
                step_minutes=self._policy.slot_step_minutes,
                taken=taken,
                now=now,
                is_reachable=is_reachable,
            )
        )

    async def offer(self, service_id: str) -> tuple[Pandit, Service]:
        """Return a service that can be booked now, with the pandit who offers it.

        Raises ``NotFound`` if no bookable pandit offers it at present.
        """
        pandit = await self._pandits.find_by_service(service_id)
        service = pandit.service(service_id) if pandit else None
        if pandit is None or service is None or not (pandit.is_bookable and service.is_available):
            raise NotFound
        return pandit, service

    async def sought(
        self, service_id: str, *, actor: Actor | None = None, exclude_id: str | None = None
    ) -> Sought:
        """Return whose times are meant by a service, and how long they have to be.

        A booking that can be moved is moved as it was made: with its pandit, and as long as it was
        booked for. What he offers today says nothing of it.

        Raises
        ------
        NotFound
            If no bookable pandit offers that service at present, and it is not that of the actor's
            own booking ``exclude_id``.
        """
        holder = await self._own_holder(actor, exclude_id) if actor and exclude_id else None
        if (
            isinstance(holder, Booking)
            and holder.service_id == service_id
            and holder.status in _MOVABLE
        ):
            pandit = await self._load(holder.pandit_id)
            minutes = (holder.ends_at - holder.starts_at) // timedelta(minutes=1)
            return Sought(pandit, minutes, holder)
        pandit, service = await self.offer(service_id)
        return Sought(pandit, service.duration_minutes, holder)

    async def slots(
        self,
        service_id: str,
        day: date,
        *,
        actor: Actor | None = None,
        exclude_id: str | None = None,
        where: GeoPoint | None = None,
    ) -> SlotDay:
        """Return the times of a local day at which a service can be booked, the taken ones marked.

        What the actor's own booking or unfinished booking ``exclude_id`` holds counts as free: it
        is to be moved. ``where`` is the place of the puja, that booking's where none is given, and
        the actor's home as long as he has not said where: times are marked too to which the pandit
        would not get in time from another family, or from which not to the next.

        Raises ``NotFound`` as :meth:`sought` does.
        """
        sought = await self.sought(service_id, actor=actor, exclude_id=exclude_id)
        pandit, holder = sought.pandit, sought.holder
        hours = pandit.availability
        if not self._may_be_booked(day):
            return SlotDay(pandit.id, day, hours.timezone, ())
        around = await self._timetable.engagements(pandit.id, _noon(day), _noon(day))
        point = None if where is None else coarse_point(where)
        if actor is not None and holder is not None:
            if point is None:
                point = await self._place_of(holder, actor)
            around = tuple(each for each in around if each.booking_id != exclude_id)
        is_full = is_full_day(hours, day, around)
        slots = self._slots_on(
            hours,
            day,
            sought.minutes,
            frozenset(claim for each in around for claim in each.claims),
            self._clock.now(),
            lambda span: not is_full and self._timetable.is_reachable(span, point, around),
        )
        return SlotDay(pandit.id, day, hours.timezone, slots)

    async def _own_holder(self, actor: Actor, holder_id: str) -> Booking | Draft | None:
        """A booking to which the actor is a party, or his unfinished one, of that id."""
        booking = await self._bookings.find(holder_id)
        if booking is not None:
            is_party = actor.user_id in (booking.user_id, booking.pandit_user_id)
            return booking if is_party else None
        draft = await self._drafts.find(holder_id)
        return draft if draft is not None and draft.user_id == actor.user_id else None

    async def _place_of(self, holder: Booking | Draft, actor: Actor) -> GeoPoint | None:
        """Where the pandit has to go for it: the actor's home until he says where."""
        if isinstance(holder, Draft) and not holder.has_details:
            return await self._home(actor)
        booking = holder.booking if isinstance(holder, Draft) else holder
        if booking is None:
            return None
        return visited_point(booking.service_location, booking.location)

    async def _home(self, actor: Actor) -> GeoPoint | None:
        """Where the actor lives, as strangers may know it."""
        user = await self._users.find(actor.user_id)
        place = user.location if user is not None else None
        return None if place is None or place.point is None else coarse_point(place.point)

    def _may_be_booked(self, day: date) -> bool:
        """Whether that day can be near enough in any zone; what lies outside needs no query."""
        today = local_today(self._clock.now(), NEPAL)
        return -1 <= (day - today).days <= self._policy.horizon_days + 1

    # -- looking at one pandit --------------------------------------------------------------------

    async def profile(self, actor: Actor | None, pandit_id: str) -> PanditProfile:
        """Return a pandit as the actor may see him.

        Contact details are for himself, admins, and customers with whom he has accepted a booking
        or who have unlocked him; to others a pandit who is not approved does not exist.
        """
        pandit = await self._pandits.find(pandit_id)
        if pandit is None:
            raise NotFound
        is_insider = actor is not None and (actor.is_admin or actor.user_id == pandit.user_id)
        shows_contact = is_insider or (
            actor is not None and await self._may_contact(actor.user_id, pandit.id)
        )
        if not pandit.is_verified and not shows_contact:
            raise NotFound
        if not is_insider:
            self._visits.count(Step.VIEWED)
        return await self._profile(pandit, shows_contact=shows_contact, shows_papers=is_insider)

    async def _may_contact(self, user_id: str, pandit_id: str) -> bool:
        if await self._bookings.has_accepted(user_id, pandit_id):
            return True
        unlock = await self._payments.find(unlock_payment_id(user_id, pandit_id))
        return unlock is not None and unlock.is_confirmed

    # -- his own profile --------------------------------------------------------------------------

    async def own_profile(self, actor: Actor) -> PanditProfile:
        """Return the actor's own profile. Raises ``NotFound`` when he has none."""
        return await self._profile(await self._own(actor))

    async def update_profile(self, actor: Actor, changes: Mapping[str, Any]) -> PanditProfile:
        """Change what a pandit says of himself.

        ``changes`` may hold bio, bio_ne, languages, expertise (puja ids), experience_years,
        is_available, location (a ``Place``) and full_name_ne; anything else is a fault. A location
        without a position is given that of the place it names.
        """
        unknown = [FieldFault(name, "unknown") for name in changes if name not in _PROFILE_FIELDS]
        if unknown:
            raise Invalid(*unknown)
        if "expertise" in changes:
            await self._require_pujas("expertise", changes["expertise"])
        if "location" in changes:
            changes = {**changes, "location": self._places.located(changes["location"])}
        return await self._profile(await self._change(actor, lambda old: replace(old, **changes)))

    async def availability(self, actor: Actor) -> Availability:
        """Return the actor's hours, without exceptions that are over."""
        return self._current((await self._own(actor)).availability)

    async def set_availability(self, actor: Actor, availability: Availability) -> Availability:
        """Replace the actor's hours; bookings that exist stay as they are.

        Raises
        ------
        Invalid
            For hours that overlap, do not lie on quarter hours, or exceptions that are over.
        """
        today = local_today(self._clock.now(), availability.timezone)
        if faults := availability_faults(availability, today):
            raise Invalid(*faults)
        ordered = replace(
            availability,
            weekly=tuple(sorted(availability.weekly, key=lambda hours: hours.weekday)),
            exceptions=tuple(sorted(availability.exceptions, key=lambda each: each.on)),
        )
        pandit = await self._change(actor, lambda old: replace(old, availability=ordered))
        return pandit.availability

    # -- his services -----------------------------------------------------------------------------

    async def list_services(
        self, actor: Actor, *, limit: int = MAX_SERVICES, after: SortKey | None = None
    ) -> Page[Service]:
        """Return the actor's own services, in the order in which they were added."""
        services = (await self._own(actor)).services
        found = [service for service in services if after is None or (service.id,) > after]
        rows = tuple(found[:limit])
        return Page(rows, (rows[-1].id,) if len(found) > limit else None)

    async def add_service(self, actor: Actor, offer: ServiceOffer) -> Service:
        """Offer a puja. Raises ``Invalid`` for an unknown puja, odd durations and free services."""
        _check_offer(offer.duration_minutes, offer.price)
        puja = await self._catalogue.find_puja(offer.puja_id)
        if puja is None:
            raise Invalid(FieldFault("puja_id", "unknown-puja"))
        service_id = self._ids.new()

        def with_service(pandit: Pandit) -> Pandit:
            if len(pandit.services) >= MAX_SERVICES:
                raise Invalid(FieldFault("", "too-long"))
            service = Service(
                id=service_id,
                pandit_id=pandit.id,
                puja_id=puja.id,
                name=offer.name or puja.name,
                name_ne=offer.name_ne or puja.name_ne,
                description=offer.description,
                description_ne=offer.description_ne,
                duration_minutes=offer.duration_minutes,
                price=offer.price,
                is_available=offer.is_available,
            )
            return replace(pandit, services=(*pandit.services, service))

        pandit = await self._change(actor, with_service)
        return _service_of(pandit, service_id)

    async def update_service(
        self, actor: Actor, service_id: str, changes: Mapping[str, Any]
    ) -> Service:
        """Change an own service; bookings keep what they were made with."""
        unknown = [FieldFault(name, "unknown") for name in changes if name not in _SERVICE_FIELDS]
        if unknown:
            raise Invalid(*unknown)

        def with_changes(pandit: Pandit) -> Pandit:
            changed = replace(_service_of(pandit, service_id), **changes)
            _check_offer(changed.duration_minutes, changed.price)
            return replace(
                pandit,
                services=tuple(
                    changed if service.id == service_id else service for service in pandit.services
                ),
            )

        return _service_of(await self._change(actor, with_changes), service_id)

    async def remove_service(self, actor: Actor, service_id: str) -> None:
        """Take an own service off; it can no longer be booked, what is booked stays."""

        def without_service(pandit: Pandit) -> Pandit:
            gone = _service_of(pandit, service_id)
            return replace(pandit, services=tuple(each for each in pandit.services if each != gone))

        await self._change(actor, without_service)

    # -- verification -----------------------------------------------------------------------------

    async def list_for_verification(
        self, status: VerificationStatus, *, limit: int, after: SortKey | None
    ) -> Page[PanditProfile]:
        """Return pandits of that status with their papers, ordered as the repository says."""
        page = await self._pandits.list_by_status(status, limit=limit, after=after)
        papers = await self._papers.find_each([pandit.id for pandit in page.rows])
        rows = (
            PanditProfile(
                pandit,
                papers.get(pandit.id, Papers(id=pandit.id)),
                shows_contact=True,
                shows_papers=True,
            )
            for pandit in page.rows
        )
        return Page(tuple(rows), page.next_key)

    async def verify(
        self, actor: Actor, pandit_id: str, *, is_approved: bool, notes: str
    ) -> PanditProfile:
        """Approve or reject a pandit's papers and tell him; for admins.

        Repeating a decision changes its notes and tells him nothing new. A rejection takes him out
        of the search and leaves accepted bookings alone.
        """
        now = self._clock.now()
        act = Act.PANDIT_APPROVED if is_approved else Act.PANDIT_REJECTED
        async with self._audit.recording(actor, act, "pandit", pandit_id, notes=notes) as more:
            pandit = await self._change_as(
                lambda: self._load(pandit_id),
                lambda old: _verified(old, is_approved=is_approved, notes=notes, now=now),
            )
            more["name"] = pandit.full_name
        if pandit.outbox:
            await self._relay.deliver("pandits", pandit.id, pandit.outbox)
        return await self._profile(pandit, shows_papers=actor.is_admin)

    # -- shared -----------------------------------------------------------------------------------

    async def _profile(
        self, pandit: Pandit, *, shows_contact: bool = True, shows_papers: bool = True
    ) -> PanditProfile:
        papers = await self._papers.find(pandit.id)
        return PanditProfile(pandit, papers, shows_contact=shows_contact, shows_papers=shows_papers)

    async def _own(self, actor: Actor) -> Pandit:
        pandit = await self._pandits.find_by_user(actor.user_id)
        if pandit is None:
            raise NotFound
        return pandit

    async def _load(self, pandit_id: str) -> Pandit:
        pandit = await self._pandits.find(pandit_id)
        if pandit is None:
            raise NotFound
        return pandit

    async def _change(self, actor: Actor, apply: Callable[[Pandit], Pandit]) -> Pandit:
        return await self._change_as(lambda: self._own(actor), apply)

    async def _change_as(
        self, load: Callable[[], Awaitable[Pandit]], apply: Callable[[Pandit], Pandit]
    ) -> Pandit:
        now = self._clock.now()
        changed = await change(
            load, lambda old: replace(apply(old), updated_at=now), self._pandits.replace
        )
        self._slots.changed(changed.id)
        return changed

    async def _require_pujas(self, field: str, puja_ids: tuple[str, ...]) -> None:
        known = await self._catalogue.known_pujas(puja_ids)
        faults = [
            FieldFault(f"{field}[{place}]", "unknown-puja")
            for place, puja_id in enumerate(puja_ids)
            if puja_id not in known
        ]
        if faults:
            raise Invalid(*faults)

    def _current(self, availability: Availability) -> Availability:
        today = local_today(self._clock.now(), availability.timezone)
        return replace(
            availability,
            exceptions=tuple(each for each in availability.exceptions if each.on >= today),
        )


def _verified(old: Pandit, *, is_approved: bool, notes: str, now: datetime) -> Pandit:
    status = VerificationStatus.APPROVED if is_approved else VerificationStatus.REJECTED
    if status is old.verification_status:
        return replace(old, verification_notes=notes)
    event = Event(
        id=f"{old.id}.{old.version + 1}.{len(old.outbox)}",
        kind=EventKind.PANDIT_VERIFIED if is_approved else EventKind.PANDIT_REJECTED,
        at=now,
        recipients=(old.user_id,),
        params={"pandit": old.full_name, "pandit_id": old.id, "notes": notes, "status": status},
    )
    return replace(
        old,
        verification_status=status,
        verification_notes=notes,
        verified_date=local_today(now, old.availability.timezone) if is_approved else None,
        outbox=(*old.outbox, event),
    )


def _service_of(pandit: Pandit, service_id: str) -> Service:
    service = pandit.service(service_id)
    if service is None:
        raise NotFound
    return service


def _check_offer(duration_minutes: int, price: int) -> None:
    faults = []
    if (
        duration_minutes % CLAIM_MINUTES
        or not CLAIM_MINUTES <= duration_minutes <= MAX_DURATION_MINUTES
    ):
        faults.append(FieldFault("duration_minutes", "not-quarter-hour"))
    if price <= 0:
        faults.append(FieldFault("price", "range"))
    if faults:
        raise Invalid(*faults)


def _noon(day: date) -> datetime:
    return local_instant(day, time(12), "UTC")
