"""Bookings that come again: planning their days, and booking each once its time has come."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Final

from kundali.panchang import panchangs
from server.domain import recurrence as rules
from server.domain.account import NEPAL, Actor, Role
from server.domain.booking import Booking, BookingStatus, BookingWish, PaymentMethod
from server.domain.calendar import Refusal, local_today
from server.domain.errors import (
    AlreadyExists,
    ConcurrentChange,
    Conflict,
    DomainError,
    FieldFault,
    Forbidden,
    IllegalTransition,
    Invalid,
    NotBookable,
    NotFound,
    SlotTaken,
    TooManyOpen,
    Unavailable,
)
from server.domain.events import Event, EventKind
from server.domain.ports.accounts import UserRepository
from server.domain.ports.bookings import SeriesRepository
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.world import Clock, IdSource, Workers
from server.domain.recurrence import OccurrenceState, RecurrenceRule, Series
from server.services.batches import each_of
from server.services.bookings import BookingService
from server.services.optimistic import change
from server.services.relay import EventRelay

_DUE_ROWS: Final = 20
_DUE_ROUNDS: Final = 10
_AT_ONCE: Final = 8
"""Days of a series that one request, or one turn of the clock, books."""
_TITHI_WINDOW: Final = timedelta(days=25)
_LUNAR_LEAD: Final = timedelta(days=354)
_DAY: Final = timedelta(days=1)


class RecurrenceService:
    """What customers and the clock do with series of bookings."""

    def __init__(
        self,
        *,
        series: SeriesRepository,
        bookings: BookingService,
        users: UserRepository,
        relay: EventRelay,
        workers: Workers,
        clock: Clock,
        ids: IdSource,
        horizon_days: int,
        is_enabled: bool = True,
    ) -> None:
        self._series = series
        self._bookings = bookings
        self._users = users
        self._relay = relay
        self._workers = workers
        self._clock = clock
        self._ids = ids
        self._horizon_days = horizon_days
        self._is_enabled = is_enabled

    @property
    def is_enabled(self) -> bool:
        """Whether a puja may be booked again and again."""
        return self._is_enabled

    # -- placing ---------------------------------------------------------------------------------

    async def book(self, actor: Actor, wish: BookingWish, rule: RecurrenceRule | None) -> Booking:
        """Book once, or with a rule again and again; returns the first booking."""
        if rule is None:
            return await self._bookings.book(actor, wish)
        return (await self.book_series(actor, wish, rule))[0]

    async def book_series(
        self, actor: Actor, wish: BookingWish, rule: RecurrenceRule
    ) -> tuple[Booking, Series]:
        """Book the first day, and plan the others; the next of them are booked at once.

        Raises
        ------
        Invalid, NotFound, NotBookable, SlotTaken, TooManyOpen
            As ``BookingService.book`` of the first day, or for a rule that makes no series; then
            nothing is planned.
        """
        if actor.role is not Role.USER:
            raise Forbidden
        days = await self.check(rule, wish.booking_date)
        series_id = self._id_of(actor, wish)
        first = await self._bookings.book(actor, _wish_of(wish, series_id, 0, wish.booking_date))
        return first, await self._begin(series_id, first, wish, rule, days)

    async def check(self, rule: RecurrenceRule, first: date) -> Sequence[date]:
        """The days that a series would have.

        Raises ``Invalid`` for a rule that makes none, ``NotBookable`` if no pandit can be booked on
        the first day: no calendar is unfolded for a day without one.
        """
        if not self._is_enabled:
            raise Invalid(FieldFault("recurrence", "not-repeated"))
        ahead = (first - self._today()).days
        if ahead < 0:
            raise NotBookable(Refusal.IN_THE_PAST)
        if ahead > self._horizon_days:
            raise NotBookable(Refusal.TOO_FAR)
        return await self._days(rule, first)

    async def on_event(self, event: Event) -> None:
        """Hear of bookings that begin a series, and of those of one that were moved.

        Each does its work once, however often it is told.
        """
        if event.booking_id is None:
            return
        if event.kind is EventKind.SERIES_WANTED:
            await self._make(event, event.booking_id)
        elif event.kind is EventKind.BOOKING_RESCHEDULED:
            await self._follow(event.booking_id)

    async def _make(self, event: Event, booking_id: str) -> None:
        first = await self._bookings.find(booking_id)
        if first is None:
            return
        wish = BookingWish(
            service_id=first.service_id,
            booking_date=first.booking_date,
            booking_time=first.booking_time,
            service_location=first.service_location,
            location=first.location,
            notes=first.notes,
            samagri_required=first.samagri_required,
        )
        rule = rules.rule_of(event)
        days = await self._days(rule, first.booking_date)
        await self._begin(_hashed(f"{first.user_id}|{first.id}"), first, wish, rule, days)

    async def _follow(self, booking_id: str) -> None:
        """Let the series say the day and time that its booking has now."""
        series = await self._series.find_by_booking(booking_id)
        booking = await self._bookings.find(booking_id)
        if series is None or booking is None:
            return
        now = self._clock.now()
        if rules.following(series, booking, now) is not series:
            await self._change(series.id, lambda found: rules.following(found, booking, now))

    async def _begin(
        self,
        series_id: str,
        first: Booking,
        wish: BookingWish,
        rule: RecurrenceRule,
        days: Sequence[date],
    ) -> Series:
        """Plan the days of a series whose first is booked, and book the next of them."""
        if await self._series.find(series_id) is None:
            now = self._clock.now()
            fresh = Series(
                id=series_id,
                user_id=first.user_id,
                # Later days are booked while nobody is there to pay in advance.
                wish=replace(wish, request_key=None, payment_method=PaymentMethod.CASH),
                frequency=rule.frequency,
                occurrences=tuple(
                    rules.Occurrence(
                        number=number,
                        on=day,
                        at=wish.booking_time,
                        state=OccurrenceState.PLANNED if number else OccurrenceState.BOOKED,
                        booking_id=None if number else first.id,
                    )
                    for number, day in enumerate(days)
                ),
                created_at=now,
                updated_at=now,
            )
            with suppress(AlreadyExists):
                await self._series.add(rules.planned(fresh, self._horizon_days))
        return await self._advance(series_id)

    # -- reading ---------------------------------------------------------------------------------

    async def get(self, actor: Actor, series_id: str) -> Series:
        """One series of the actor's own. Raises ``NotFound``."""
        found = await self._series.find(series_id)
        if found is None:
            raise NotFound
        return rules.require_owner(found, actor)

    async def find_by_booking(self, actor: Actor, booking_id: str) -> Series | None:
        """The actor's series that a booking belongs to, None when it stands alone."""
        found = await self._series.find_by_booking(booking_id)
        return found if found is not None and found.user_id == actor.user_id else None

    async def list_own(self, actor: Actor, *, limit: int, after: SortKey | None) -> Page[Series]:
        """The actor's series, the latest first."""
        return await self._series.list_page(actor.user_id, limit=limit, after=after)

    # -- changing --------------------------------------------------------------------------------

    async def move(self, actor: Actor, series_id: str, number: int, day: date, at: time) -> Series:
        """Plan one day for another time; a booked one is moved by the rules of its booking.

        Raises
        ------
        NotBookable, SlotTaken, TooManyOpen
            If it cannot be booked then; it stays as it was.
        IllegalTransition
            If it was skipped, or the series has ended.
        """
        found = await self.get(actor, series_id)
        each = rules.occurrence_of(found, number)
        if each.state is OccurrenceState.BOOKED and each.booking_id is not None:
            await self._bookings.reschedule(actor, each.booking_id, day, at)
            return await self.get(actor, series_id)
        today = self._today()
        if day <= today:
            raise Invalid(FieldFault("booking_date", "in-the-past"))
        try:
            # Written before it is booked: what a crash leaves is a planned day, which the clock
            # books by the same key, and no booking that the series knows nothing of.
            planned = await self._change(
                series_id,
                lambda now_found: rules.moved(now_found, number, day, at, self._clock.now()),
            )
        except IllegalTransition:
            # The same request, sent twice, was faster the first time.
            planned = await self.get(actor, series_id)
            if not rules.is_booked_at(planned, number, day, at):
                raise
            return planned
        if day > today + timedelta(days=self._horizon_days):
            return planned
        return await self._book_moved(actor, planned, each)

    async def _book_moved(self, actor: Actor, series: Series, before: rules.Occurrence) -> Series:
        """Book the day that was just moved; where it cannot be, it stays as it was ``before``."""
        each = rules.occurrence_of(series, before.number)
        try:
            settled, booking = await self._book_and_settle(actor, series, each)
        except (Unavailable, ConcurrentChange):
            # Perhaps it was booked, and only that was not noted: the clock goes on from here.
            raise
        except DomainError:
            await self._change(
                series.id,
                lambda found: rules.moved_back(found, each, before, self._clock.now()),
            )
            raise
        after = rules.occurrence_of(settled, each.number)
        if (after.state, after.booking_id) != (OccurrenceState.BOOKED, booking.id):
            # Meanwhile it was skipped, ended, or moved to yet another time.
            raise IllegalTransition("ENDED" if settled.is_ended else after.state)
        return settled

    async def skip(
        self, actor: Actor, series_id: str, number: int, *, refund_to_wallet: bool = False
    ) -> Series:
        """Leave one day out; if it is booked, its booking is called off by its own rules."""
        found = await self.get(actor, series_id)
        each = rules.occurrence_of(found, number)
        rules.skipped(found, number, self._clock.now())
        if each.state is OccurrenceState.BOOKED and each.booking_id is not None:
            await self._skip_booked(actor, each.booking_id, refund_to_wallet)
        skipped = await self._change(
            series_id, lambda now_found: rules.skipped(now_found, number, self._clock.now())
        )
        after = rules.occurrence_of(skipped, number)
        if after.booking_id is not None and after.booking_id != each.booking_id:
            # It was booked at the very moment.
            await self._call_off(actor, after.booking_id, "skipped")
        return skipped

    async def end(self, actor: Actor, series_id: str, *, with_booked: bool) -> Series:
        """Plan no more days; ``with_booked`` also calls off those that are still ahead."""
        await self.get(actor, series_id)
        ended = await self._change(
            series_id, lambda now_found: rules.ended(now_found, self._clock.now())
        )
        if with_booked:
            today = self._today()
            for each in ended.occurrences:
                if each.booking_id is not None and each.on >= today:
                    await self._call_off(actor, each.booking_id, "series-ended")
        return ended

    async def _skip_booked(self, actor: Actor, booking_id: str, refund_to_wallet: bool) -> None:
        """Call its booking off; one that has come to nothing already needs no calling off."""
        try:
            await self._bookings.cancel(
                actor, booking_id, "skipped", refund_to_wallet=refund_to_wallet
            )
        except IllegalTransition as error:
            if error.state == BookingStatus.COMPLETED:
                raise

    async def _call_off(self, actor: Actor, booking_id: str, reason: str) -> None:
        """Cancel a booking, unless it has ended or is being held at this moment."""
        with suppress(IllegalTransition, NotFound, Forbidden):
            await self._bookings.cancel(actor, booking_id, reason)

    async def book_due(self) -> int:
        """Book the planned days that have come within reach; for the clock.

        What waits for the payment of its first booking stays due, and keeps nobody behind it from
        his turn.
        """
        seen: list[str] = []
        for _ in range(_DUE_ROUNDS):
            due = await self._series.list_due(self._today(), _DUE_ROWS, but=seen)
            ids = [each.id for each in due]
            await each_of(ids, self._advance, expected=(ConcurrentChange,), what="series")
            seen += ids
            if len(ids) < _DUE_ROWS:
                break
        return len(seen)

    async def _advance(self, series_id: str) -> Series:
        found = await self._series.find(series_id)
        if found is None:
            raise NotFound
        customer = await self._users.find(found.user_id)
        beginning = await self._bookings.find(found.occurrences[0].booking_id or "")
        if customer is None or not customer.is_active or rules.is_abandoned(beginning):
            return await self._change(
                series_id, lambda series: rules.ended(series, self._clock.now())
            )
        if beginning is not None and beginning.pay_by is not None:
            # Nobody is asked for the other days before the first is paid.
            return found
        actor = Actor(
            user_id=customer.id,
            role=Role.USER,
            session_id="",
            full_name=customer.full_name,
            language=customer.language,
            timezone=customer.timezone,
        )
        reach = self._today() + timedelta(days=self._horizon_days)
        due = [
            each
            for each in found.occurrences
            if each.state is OccurrenceState.PLANNED and each.on <= reach
        ]
        for each in due[:_AT_ONCE]:
            # The customer may skip, move or end while day after day is booked.
            if rules.occurrence_of(found, each.number) != each:
                continue
            try:
                found = await self._book_one(actor, found, each)
            except TooManyOpen:
                # Not the day's fault: it is booked once the customer's others are answered.
                return await self._put_off(series_id)
            except ConcurrentChange:
                # Others are at it too: the clock goes on from here.
                break
        return found

    async def _put_off(self, series_id: str) -> Series:
        now, tomorrow = self._clock.now(), self._today() + _DAY
        return await self._change(series_id, lambda found: rules.put_off(found, tomorrow, now))

    async def _book_one(self, actor: Actor, series: Series, each: rules.Occurrence) -> Series:
        """Book a planned day, or tell why not.

        Raises ``TooManyOpen`` if it has to wait, ``ConcurrentChange`` if the series could not note
        its booking: then it is planned still, and the same booking is found again.
        """
        try:
            settled, _ = await self._book_and_settle(actor, series, each)
        except (TooManyOpen, ConcurrentChange):
            raise
        except NotBookable as error:
            reason = error.reason
        except (SlotTaken, NotFound, Conflict) as error:
            reason = error.code
        else:
            return settled
        return await self._settle(
            series.id, each, lambda found, now: rules.conflicting(found, each.number, reason, now)
        )

    async def _book_and_settle(
        self, actor: Actor, series: Series, each: rules.Occurrence
    ) -> tuple[Series, Booking]:
        """Book a planned day, and let the series say so.

        Where the series has gone another way meanwhile it stays as it is, and the booking, which
        then belongs to nothing, is called off.
        """
        wish = replace(series.wish, booking_time=each.at)
        booking = await self._bookings.book(actor, _wish_of(wish, series.id, each.number, each.on))
        settled = await self._settle(
            series.id, each, lambda found, now: rules.booked(found, each.number, booking.id, now)
        )
        if rules.occurrence_of(settled, each.number).booking_id != booking.id:
            await self._call_off(actor, booking.id, "series-changed")
        return settled, booking

    async def _settle(
        self,
        series_id: str,
        each: rules.Occurrence,
        apply: Callable[[Series, datetime], Series],
    ) -> Series:
        def settle(found: Series) -> Series:
            if rules.occurrence_of(found, each.number) != each:
                # Another process was faster, or the customer has skipped or moved it meanwhile.
                return found
            return apply(found, self._clock.now())

        return await self._change(series_id, settle)

    async def _change(self, series_id: str, apply: Callable[[Series], Series]) -> Series:
        async def load() -> Series:
            found = await self._series.find(series_id)
            if found is None:
                raise NotFound
            return found

        def planned(found: Series) -> Series:
            return rules.planned(apply(found), self._horizon_days)

        changed = await change(load, planned, self._series.replace)
        if changed.outbox:
            await self._relay.deliver("series", series_id, changed.outbox)
        return replace(changed, version=changed.version + 1)

    def _today(self) -> date:
        return local_today(self._clock.now(), NEPAL)

    def _id_of(self, actor: Actor, wish: BookingWish) -> str:
        if wish.request_key is None:
            return self._ids.new()
        # The same request again means the same series.
        return _hashed(f"{actor.user_id}|{wish.request_key}")

    async def _days(self, rule: RecurrenceRule, first: date) -> Sequence[date]:
        return await self._workers.run(lambda: rules.days_of(rule, first, yearly_tithi_days))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def yearly_tithi_days(first: date, count: int) -> list[date]:
    """The days of ``count`` years on the tithi and in the lunar month of the first day's sunrise.

    Months that are put in (adhika) have no vows of their own: the true month counts. A tithi that
    holds no sunrise is kept on the day in which it begins.
    """
    (start,) = panchangs(first, first)
    tithi, month = start.tithis[0].number, start.masa.amanta
    found, day = [first], first
    while len(found) < count:
        middle = day + _LUNAR_LEAD
        # Twelve lunar months, or thirteen where one is put in.
        later = [
            each
            for offset in (timedelta(), timedelta(days=30))
            for each in panchangs(middle + offset - _TITHI_WINDOW, middle + offset + _TITHI_WINDOW)
            if not each.masa.is_adhika and each.masa.amanta == month and each.day > day + 300 * _DAY
        ]
        exact = [each.day for each in later if each.tithis[0].number == tithi]
        lost = [each.day for each in later if tithi in each.lost_tithis]
        if not exact and not lost:
            break
        day = min(exact or lost)
        found.append(day)
    return found


def _wish_of(wish: BookingWish, series_id: str, number: int, day: date) -> BookingWish:
    # The same day again is the same booking; moved to another time it is another one.
    key = f"{number}.{day.isoformat()}.{wish.booking_time:%H%M}"
    return replace(
        wish, booking_date=day, request_key=f"series:{series_id}:{key}", is_repeated=bool(number)
    )
