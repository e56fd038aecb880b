"""Whatever people and the clock do in whatever order: what must hold of bookings holds.

The machine plays the real services on the real database: direct bookings, drafts, dispatch, moves,
proposals, repetition, payments in advance, pandits who come and go, and time. After each step every
document is read and looked at.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from server.app import RunningServer
from server.domain import booking as rules
from server.domain.account import Actor, Place, Role
from server.domain.booking import (
    LEAST_TO_ANSWER,
    OCCUPYING,
    USUAL_NOTICE,
    Booking,
    BookingStatus,
    BookingWish,
    PaymentMethod,
    PaymentState,
    PaymentStatus,
    ServiceLocation,
)
from server.domain.calendar import DayClaim, span_of
from server.domain.draft import DRAFT, Draft
from server.domain.errors import DomainError, NotBookable, NotFound, SlotTaken, TooManyOpen
from server.domain.money import Unit
from server.domain.recurrence import Frequency, OccurrenceState, RecurrenceRule
from server.store.codec import from_document, from_value
from server.store.series import COLLECTION as SERIES
from tests.support import SUNDAY_TEN, FakeClock, People, Person

pytestmark = pytest.mark.timeout(300)
FIRST_DAY = date(2026, 11, 23)
BUFFER_MINUTES = 30
PLACE = Place(area="Baneshwor", city="Kathmandu", address="House 7")
DAYS = st.integers(0, 3)
HOURS = st.sampled_from([time(8), time(9), time(9, 30), time(11)])
WHO = st.integers(0, 2)
ANY = st.integers(0, 50)
PAYING = st.sampled_from(["arrives", "arrives twice", "begin", "in cash"])
ITEMS = st.sampled_from(["haldi", "dry-fruits", "rice"])


@dataclass
class World:
    """Three families, three pandits who offer the same puja, and a server to do it with."""

    server: RunningServer
    clock: FakeClock
    customers: list[Actor]
    pandits: list[Actor]
    services: list[str]
    pandit_ids: list[str]
    admin: Actor
    loop: asyncio.AbstractEventLoop
    refused: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    away: dict[str, set[tuple[str, datetime]]] = field(default_factory=dict)
    """Pandits who cannot be booked, with what they were asked before."""

    def run(self, work: Awaitable[Any]) -> Any:
        """Do something on the server's own loop."""

        async def awaited() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(awaited(), self.loop).result(60)

    def documents(self) -> list[dict[str, Any]]:
        found = self.server.store.collection("bookings").find({}, limit=1000)
        return list(self.run(found))


def actor_of(person: Person, role: Role) -> Actor:
    return Actor(user_id=person.user_id, role=role, session_id="s", full_name=person.full_name)


def wish_of(
    service_id: str, day: int, at: time, method: PaymentMethod = PaymentMethod.CASH
) -> BookingWish:
    return BookingWish(
        service_id=service_id,
        booking_date=FIRST_DAY + timedelta(days=day),
        booking_time=at,
        service_location=ServiceLocation.HOME,
        location=PLACE,
        notes="",
        samagri_required=True,
        payment_method=method,
    )


def machine_of(world: World) -> type[RuleBasedStateMachine]:
    services = world.server.services

    class Bookings(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.swept_at = SUNDAY_TEN

        @initialize()
        def begin_anew(self) -> None:
            world.clock.set(SUNDAY_TEN)
            world.refused.clear()
            for number in range(len(world.pandits)):
                self.set_there(number, is_there=True, by_admin=True)
                self.set_there(number, is_there=True, by_admin=False)
            world.away.clear()
            for name in ("bookings", SERIES):
                world.run(world.server.store.collection(name).delete_many({}))
            # What is accepted takes many steps to come to; so much is there from the beginning.
            wish = wish_of(world.services[0], 3, time(11))
            booking = world.run(services.bookings.book(world.customers[0], wish))
            world.run(services.bookings.accept(world.pandits[0], booking.id))

        # -- what is there -----------------------------------------------------------------------

        def all(self) -> tuple[list[Booking], list[Draft]]:
            bookings, drafts = [], []
            for document in world.documents():
                if document["status"] == DRAFT:
                    fields = {**document["draft"], "version": document["version"]}
                    drafts.append(from_value(Draft, fields))
                else:
                    bookings.append(from_document(Booking, document))
            return bookings, drafts

        def some(self, place: int, *statuses: BookingStatus) -> Booking | None:
            found = sorted(
                (each for each in self.all()[0] if each.status in statuses),
                key=lambda each: each.id,
            )
            return found[place % len(found)] if found else None

        def attempt(self, *works: Awaitable[Any]) -> list[Any]:
            """Try all of it at once; what the rules refuse is refused."""

            async def tried(work: Awaitable[Any]) -> Any:
                try:
                    return await work
                except DomainError as error:
                    return error

            async def together() -> list[Any]:
                return list(await asyncio.gather(*map(tried, works)))

            found: list[Any] = world.run(together())
            return found

        # -- what people do ----------------------------------------------------------------------

        @rule(who=WHO, whom=WHO, day=DAYS, at=HOURS)
        def book(self, who: int, whom: int, day: int, at: time) -> None:
            wish = wish_of(world.services[whom], day, at)
            self.attempt(services.bookings.book(world.customers[who], wish))

        @rule(who=WHO, whom=WHO, day=DAYS, at=HOURS, is_repeated=st.booleans())
        def book_and_pay_later(
            self, who: int, whom: int, day: int, at: time, is_repeated: bool
        ) -> None:
            wish = wish_of(world.services[whom], day, at, PaymentMethod.WALLET)
            weekly = RecurrenceRule(frequency=Frequency.WEEKLY, count=2) if is_repeated else None
            self.attempt(services.recurrences.book(world.customers[who], wish, weekly))

        @rule(place=ANY, how=PAYING)
        def pay(self, place: int, how: str) -> None:
            booking = self.some(place, BookingStatus.PENDING)
            if booking is not None:
                self.pay_for(booking, how)

        @rule(who=WHO, whom=WHO, day=DAYS, at=HOURS, by_admin=st.booleans(), how=PAYING)
        def pay_when_the_pandit_is_gone(
            self, who: int, whom: int, day: int, at: time, by_admin: bool, how: str
        ) -> None:
            wish = wish_of(world.services[whom], day, at, PaymentMethod.WALLET)
            (booking,) = self.attempt(services.bookings.book(world.customers[who], wish))
            if isinstance(booking, Booking):
                self.set_there(whom, is_there=False, by_admin=by_admin)
                self.pay_for(booking, how)

        def pay_for(self, booking: Booking, how: str) -> None:
            if not how.startswith("arrives"):
                method = PaymentMethod.CASH if how == "in cash" else PaymentMethod.WALLET
                customer = self.customer_of(booking)
                begun = self.attempt(services.bookings.begin_payment(customer, booking.id, method))
                if not isinstance(begun[0], DomainError):
                    world.run(services.bookings.pass_on_if_due(begun[0][1]))
            elif booking.pay_by is not None:
                state = PaymentState(
                    version=booking.payment_version + 1,
                    status=PaymentStatus.COMPLETED,
                    method=PaymentMethod.WALLET,
                    refunded=0,
                    is_open=False,
                    is_captured=True,
                    amount=booking.total_fee,
                )
                times = 2 if how == "arrives twice" else 1
                follow = services.bookings.follow_payment
                self.attempt(*(follow(booking.id, state) for _ in range(times)))

        @rule(whom=WHO, is_there=st.booleans(), by_admin=st.booleans())
        def come_and_go(self, whom: int, is_there: bool, by_admin: bool) -> None:
            self.set_there(whom, is_there=is_there, by_admin=by_admin)

        def set_there(self, whom: int, *, is_there: bool, by_admin: bool) -> None:
            pandit, pandits = world.pandits[whom], services.pandits
            if by_admin:
                act = pandits.verify(
                    world.admin, world.pandit_ids[whom], is_approved=is_there, notes=""
                )
            else:
                act = pandits.update_profile(pandit, {"is_available": is_there})
            profile = world.run(act).pandit
            if profile.is_bookable:
                world.away.pop(pandit.user_id, None)
            else:
                world.away.setdefault(pandit.user_id, self.asked_of(pandit))
            if not profile.is_verified:
                waiting = [each for each in self.all()[0] if each.answer_by is not None]
                assert all(each.pandit_id != profile.id for each in waiting), "he cannot answer"

        def asked_of(self, pandit: Actor) -> set[tuple[str, datetime]]:
            return {
                (booking.id, offer.offered_at)
                for booking in self.all()[0]
                for offer in booking.offers
                if offer.pandit_user_id == pandit.user_id
            }

        @rule(whom=WHO, day=DAYS, at=HOURS)
        def race(self, whom: int, day: int, at: time) -> None:
            wish = wish_of(world.services[whom], day, at)
            outcomes = self.attempt(
                *(services.bookings.book(each, wish) for each in world.customers)
            )
            won = [each for each in outcomes if isinstance(each, Booking)]
            assert len(won) <= 1
            # Where the time is over or too near, or the pandit is away, nobody gets it; nor does
            # he who has too many open.
            expected = (Booking, SlotTaken, NotBookable, NotFound, TooManyOpen)
            assert all(isinstance(each, expected) for each in outcomes), outcomes

        @rule(who=WHO, whom=WHO, day=DAYS, at=HOURS, is_repeated=st.booleans())
        def hold(self, who: int, whom: int, day: int, at: time, is_repeated: bool) -> None:
            drafts, actor = services.drafts, world.customers[who]
            weekly = RecurrenceRule(frequency=Frequency.WEEKLY, count=2)
            (draft,) = self.attempt(drafts.choose_service(actor, world.services[whom]))
            if isinstance(draft, Draft):
                on = FIRST_DAY + timedelta(days=day)
                rule_wanted = weekly if is_repeated else None
                self.attempt(drafts.choose_time(actor, draft.id, on, at, rule_wanted))

        @rule(place=ANY, day=DAYS, at=HOURS)
        def hold_another_time(self, place: int, day: int, at: time) -> None:
            def move(actor: Actor, draft: Draft) -> Awaitable[Any]:
                on = FIRST_DAY + timedelta(days=day)
                return services.drafts.choose_time(actor, draft.id, on, at, None)

            self.with_draft(place, move)

        @rule(place=ANY, whom=WHO)
        def choose_another_pandit(self, place: int, whom: int) -> None:
            self.with_draft(
                place,
                lambda actor, draft: services.drafts.choose_service(
                    actor, world.services[whom], draft.id
                ),
            )

        @rule(place=ANY)
        def go_on_to_the_end(self, place: int) -> None:
            async def finish(actor: Actor, draft: Draft) -> Any:
                await services.drafts.give_details(
                    actor,
                    draft.id,
                    service_location=ServiceLocation.HOME,
                    location=PLACE,
                    notes="",
                    samagri_required=False,
                )
                await services.drafts.choose_payment(actor, draft.id, PaymentMethod.CASH)
                first, second = await asyncio.gather(
                    services.drafts.confirm(actor, draft.id),
                    services.drafts.confirm(actor, draft.id),
                )
                assert first.id == second.id == draft.id
                return first

            self.with_draft(place, finish)

        @rule(place=ANY)
        def drop(self, place: int) -> None:
            self.with_draft(place, lambda actor, draft: services.drafts.discard(actor, draft.id))

        def with_draft(self, place: int, act: Callable[[Actor, Draft], Awaitable[Any]]) -> None:
            drafts = sorted(self.all()[1], key=lambda each: each.id)
            if drafts:
                draft = drafts[place % len(drafts)]
                (actor,) = [each for each in world.customers if each.user_id == draft.user_id]
                self.attempt(act(actor, draft))

        @rule(place=ANY)
        def accept(self, place: int) -> None:
            booking = self.some(place, BookingStatus.PENDING)
            if booking is not None:
                self.attempt(services.bookings.accept(self.pandit_of(booking), booking.id))

        @rule(place=ANY, is_hasty=st.booleans())
        def reject(self, place: int, is_hasty: bool) -> None:
            booking = self.some(place, BookingStatus.PENDING)
            if booking is None:
                return
            pandit = self.pandit_of(booking)
            clicks = [services.bookings.reject(pandit, booking.id, "") for _ in range(1 + is_hasty)]
            if any(isinstance(each, Booking) for each in self.attempt(*clicks)):
                world.refused[booking.id].add(booking.pandit_id)

        @rule(place=ANY, whom=WHO, is_hasty=st.booleans())
        def choose_whom_to_ask(self, place: int, whom: int, is_hasty: bool) -> None:
            booking = self.some(place, BookingStatus.PENDING)
            if booking is None:
                return
            choose, customer = services.bookings.choose, self.customer_of(booking)
            works = [choose(customer, booking.id, world.pandit_ids[whom])]
            if is_hasty:
                works.append(services.bookings.reject(self.pandit_of(booking), booking.id, ""))
            chosen, *_ = self.attempt(*works)
            if isinstance(chosen, Booking):
                assert booking.rejected_by or is_hasty, "the first one he has chosen himself"

        @rule(place=ANY, by_pandit=st.booleans())
        def cancel(self, place: int, by_pandit: bool) -> None:
            booking = self.some(place, BookingStatus.PENDING, BookingStatus.ACCEPTED)
            if booking is not None:
                actor = self.pandit_of(booking) if by_pandit else self.customer_of(booking)
                self.attempt(services.bookings.cancel(actor, booking.id, ""))

        @rule(place=ANY, by_pandit=st.booleans(), day=DAYS, at=HOURS)
        def reschedule(self, place: int, by_pandit: bool, day: int, at: time) -> None:
            booking = self.some(place, BookingStatus.PENDING, BookingStatus.ACCEPTED)
            if booking is not None:
                actor = self.pandit_of(booking) if by_pandit else self.customer_of(booking)
                on = FIRST_DAY + timedelta(days=day)
                self.attempt(services.bookings.reschedule(actor, booking.id, on, at))

        @rule(place=ANY, agrees=st.booleans())
        def answer_proposal(self, place: int, agrees: bool) -> None:
            open_ones = [each for each in self.all()[0] if each.proposal is not None]
            if not open_ones:
                return
            booking = open_ones[place % len(open_ones)]
            proposal = booking.proposal
            assert proposal is not None
            is_customers = proposal.by == booking.user_id
            other = self.pandit_of(booking) if is_customers else self.customer_of(booking)
            if agrees:
                day, at = proposal.booking_date, proposal.booking_time
                self.attempt(services.bookings.reschedule(other, booking.id, day, at))
            else:
                self.attempt(services.bookings.decline_proposal(other, booking.id))

        @rule(place=ANY, item=ITEMS, quantity=st.integers(0, 3))
        def edit_the_samagri(self, place: int, item: str, quantity: int) -> None:
            accepted = self.some(place, BookingStatus.ACCEPTED)
            booking = accepted or self.some(place, BookingStatus.PENDING)
            if booking is None:
                return
            customer, wanted = self.customer_of(booking), Decimal(100 * quantity)
            if quantity:
                edit = services.bookings.add_item(customer, booking.id, item, wanted, Unit.G)
            else:
                edit = services.bookings.remove_item(customer, booking.id, item)
            self.attempt(edit)
            (after,) = (each for each in self.all()[0] if each.id == booking.id)
            if booking.status is BookingStatus.ACCEPTED:
                assert price_of(after) == price_of(booking), "the pandit has not agreed"

        @rule(place=ANY, answer=st.sampled_from(["agree", "decline", "withdraw"]), more=WHO)
        def answer_samagri(self, place: int, answer: str, more: int) -> None:
            accepted = self.some(place, BookingStatus.ACCEPTED)
            if accepted is None:
                return
            bookings, customer = services.bookings, self.customer_of(accepted)

            def with_haldi(grams: int) -> Awaitable[Any]:
                return bookings.add_item(customer, accepted.id, "haldi", Decimal(grams), Unit.G)

            (booking,) = self.attempt(with_haldi(200 + 100 * more))
            proposal = booking.samagri_proposal if isinstance(booking, Booking) else None
            if proposal is None:
                return
            if answer == "withdraw":
                self.attempt(bookings.withdraw_samagri(customer, booking.id))
                return
            # Beside an edit of the very list that is looked at: it may be another one by then.
            answered, _ = self.attempt(
                bookings.answer_samagri(
                    self.pandit_of(booking),
                    booking.id,
                    proposal.revision,
                    is_agreed=answer == "agree",
                ),
                with_haldi(600),
            )
            if answer == "agree" and isinstance(answered, Booking):
                assert price_of(answered) == (proposal.lines, proposal.samagri_fee)

        @rule(who=WHO, whom=WHO, day=DAYS, at=HOURS)
        def repeat(self, who: int, whom: int, day: int, at: time) -> None:
            weekly = RecurrenceRule(frequency=Frequency.WEEKLY, count=3)
            wish = wish_of(world.services[whom], day, at)
            self.attempt(services.recurrences.book(world.customers[who], wish, weekly))

        @rule(
            place=ANY,
            number=st.integers(0, 2),
            what=st.sampled_from(["skip", "move", "move twice", "end", "end all"]),
            day=DAYS,
            at=HOURS,
        )
        def change_a_series(self, place: int, number: int, what: str, day: int, at: time) -> None:
            rows = world.run(world.server.store.collection(SERIES).find({}, limit=1000))
            if not rows:
                return
            row = sorted(rows, key=lambda each: str(each["_id"]))[place % len(rows)]
            (actor,) = [each for each in world.customers if each.user_id == row["user_id"]]
            series, on = services.recurrences, FIRST_DAY + timedelta(days=7 * number + day)
            move = partial(series.move, actor, row["_id"], number, on, at)
            acts: dict[str, Callable[[], Awaitable[Any]]] = {
                "skip": lambda: series.skip(actor, row["_id"], number),
                "move": move,
                "move twice": move,
                "end": lambda: series.end(actor, row["_id"], with_booked=False),
                "end all": lambda: series.end(actor, row["_id"], with_booked=True),
            }
            # Beside the clock, which books what is due at the same moment.
            again = [move()] if what == "move twice" else []
            self.attempt(acts[what](), *again, series.book_due())

        @rule(minutes=st.sampled_from([1, 9, 12, 50, 60 * 13, 60 * 25]))
        def wait(self, minutes: int) -> None:
            world.clock.advance(minutes=minutes)
            before = {each.id: each for each in self.all()[0]}
            now = world.clock.now()
            self.attempt(
                # Twice at once, as two processes would that cannot hear of each other.
                services.drafts.end_lapsed(),
                services.drafts.end_lapsed(),
                services.bookings.pass_on_unanswered(),
                services.bookings.pass_on_unanswered(),
                services.bookings.end_unanswered_proposals(),
                services.booking_payments.fail_unpaid(),
                services.booking_payments.fail_unpaid(),
                services.recurrences.book_due(),
            )
            self.swept_at = now
            for booking in before.values():
                is_late = booking.answer_by is not None and booking.answer_by <= now
                if booking.status is BookingStatus.PENDING and is_late:
                    world.refused[booking.id].add(booking.pandit_id)

        def pandit_of(self, booking: Booking) -> Actor:
            return next(each for each in world.pandits if each.user_id == booking.pandit_user_id)

        def customer_of(self, booking: Booking) -> Actor:
            return next(each for each in world.customers if each.user_id == booking.user_id)

        # -- what must hold ----------------------------------------------------------------------

        @invariant()
        def no_time_is_booked_twice(self) -> None:
            held = Counter(
                (document["pandit_id"], claim)
                for document in world.documents()
                for claim in document.get("claims", ())
            )
            assert all(count == 1 for count in held.values())

        @invariant()
        def whoever_lives_holds_his_time_and_nobody_else_holds_any(self) -> None:
            bookings, drafts = self.all()
            for booking in bookings:
                proposed = booking.proposal.held if booking.proposal else ()
                expected = {*_span(booking), *proposed} if booking.status in OCCUPYING else set()
                assert time_of(booking.claims) == time_of(expected), booking.status
                assert is_seated(booking) is bool(expected), booking.status
            for draft in drafts:
                assert draft.lapses_at > self.swept_at, "an orphan"
                expected = set(_span(draft.booking)) if draft.booking else set()
                assert time_of(draft.claims) == expected
                assert draft.booking is None or is_seated(draft.booking)

        @invariant()
        def every_price_is_the_sum_of_its_parts_and_only_accepted_bookings_propose(self) -> None:
            for booking in self.all()[0]:
                fee = sum(line.price_at_booking for line in booking.samagri)
                assert (booking.samagri_fee, booking.total_fee) == (fee, booking.service_fee + fee)
                proposal = booking.samagri_proposal
                if proposal is not None:
                    assert booking.status is BookingStatus.ACCEPTED
                    assert proposal.answer_by > self.swept_at
                    needed = {line.item_id for line in booking.samagri if line.is_required}
                    assert needed <= {line.item_id for line in proposal.lines}

        @invariant()
        def nobody_has_more_drafts_than_he_may(self) -> None:
            _, drafts = self.all()
            places = Counter((draft.user_id, draft.place) for draft in drafts)
            assert all(count == 1 for count in places.values())
            assert all(0 <= draft.place < 3 for draft in drafts)

        @invariant()
        def nobody_is_asked_again_who_said_no(self) -> None:
            for booking in self.all()[0]:
                if booking.status is BookingStatus.PENDING:
                    assert booking.pandit_id not in booking.rejected_by
                    assert booking.pandit_id not in world.refused[booking.id]
                    self.leaves_time_for_others(booking)
                assert len(set(booking.rejected_by)) == len(booking.rejected_by)
                for offer in booking.offers:
                    before = world.away.get(offer.pandit_user_id)
                    assert before is None or (booking.id, offer.offered_at) in before, "he is away"

        def leaves_time_for_others(self, booking: Booking) -> None:
            if booking.answer_by is None:
                return
            asked_at = rules.asked_at(booking)
            assert asked_at is not None, "he was told nothing"
            assert booking.answer_by < booking.starts_at
            looked_at = max(asked_at, booking.updated_at)
            noticed_at = booking.starts_at - USUAL_NOTICE
            assert booking.answer_by <= max(noticed_at, looked_at + LEAST_TO_ANSWER)

        @invariant()
        def each_day_of_a_series_has_a_booking_of_its_own(self) -> None:
            rows = world.run(world.server.store.collection(SERIES).find({}, limit=1000))
            documents = world.documents()
            known = {document["_id"] for document in documents}
            booked = [
                each["booking_id"]
                for row in rows
                for each in row["occurrences"]
                if each["state"] == OccurrenceState.BOOKED
            ]
            assert len(set(booked)) == len(booked)
            assert set(booked) <= known
            alive = {
                document["_id"]
                for document in documents
                if document.get("request_key", "").startswith("series:")
                and document["status"] in OCCUPYING
            }
            assert alive <= set(booked), "a booking that no series knows of"
            unpaid = {
                document["_id"]
                for document in documents
                if document["status"] != DRAFT
                and document["payment_method"] != PaymentMethod.CASH
                and document["payment_status"] == PaymentStatus.PENDING
                and not document.get("offers")
            }
            for row in rows:
                first, *others = row["occurrences"]
                if first["booking_id"] in unpaid:
                    assert not any(each["booking_id"] for each in others), "not before it is paid"

    return Bookings


def price_of(booking: Booking) -> tuple[object, int]:
    """What changes by consent only once the booking is accepted."""
    return (booking.samagri, booking.samagri_fee)


def time_of(claims: Iterable[int]) -> set[int]:
    """The quarter hours among the claims; the others are numbers of a day."""
    return {claim for claim in claims if claim >= 0}


def is_seated(booking: Booking) -> bool:
    """Whether it has a seat and a turn of its day."""
    day = booking.booking_date
    return all(kind.count(day, booking.claims) for kind in (DayClaim.SEAT, DayClaim.TURN))


def _span(booking: Booking) -> tuple[int, ...]:
    minutes = int((booking.ends_at - booking.starts_at).total_seconds()) // 60
    return span_of(booking.starts_at, minutes, BUFFER_MINUTES).claims


async def test_no_double_booking_no_orphan_hold_no_offer_to_one_who_said_no(
    server: RunningServer, people: People, clock: FakeClock
) -> None:
    customers = [await people.customer(f"Customer {number}") for number in range(3)]
    pandits = [
        await people.pandit(f"Pandit {number}", duration_minutes=60 + 30 * number)
        for number in range(3)
    ]
    world = World(
        server=server,
        clock=clock,
        customers=[actor_of(each, Role.USER) for each in customers],
        pandits=[actor_of(each, Role.PANDIT) for each in pandits],
        services=[each.service_id for each in pandits],
        pandit_ids=[each.pandit_id for each in pandits],
        admin=actor_of(await people.admin(), Role.ADMIN),
        loop=asyncio.get_running_loop(),
    )
    await asyncio.to_thread(
        run_state_machine_as_test,
        machine_of(world),
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
