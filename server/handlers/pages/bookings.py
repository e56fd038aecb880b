"""Booking a puja, one's bookings, and one booking with its samagri."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import urlencode

from server.domain.account import Actor, Role
from server.domain.booking import (
    CANCELLABLE_BY,
    Booking,
    BookingStatus,
    asked_at,
    require_samagri_editable,
)
from server.domain.calendar import local_today
from server.domain.errors import (
    DomainError,
    FieldFault,
    Forbidden,
    Invalid,
    NotFound,
)
from server.domain.payment import RefundTo, attempt_id
from server.domain.samagri import LeftOut, Omission
from server.domain.samagri_consent import as_proposed
from server.handlers.base import ANYONE, CUSTOMER
from server.handlers.page_base import Form
from server.handlers.pages.base import Page
from server.handlers.pages.budget import BudgetPage, paisa_of
from server.handlers.pages.payments import may_pay
from server.handlers.pages.wizard import OpenDrafts
from server.handlers.routing import Route
from server.i18n import N_
from server.schemas.bookings import (
    AcceptRequest,
    BookingsQuery,
    CancelRequest,
    ChoiceRequest,
    ChoiceResponse,
    QuantityRequest,
    ReasonRequest,
    RescheduleRequest,
    SamagriAnswerRequest,
    SamagriProposalResponse,
    SamagriResponse,
    TemplateChoiceRequest,
    present_booking,
    present_choice,
    present_samagri,
    present_samagri_proposal,
)
from server.schemas.reviews import present_feedback

_OMITTED: Final = {
    Omission.HIDDEN: N_("{name} is left out: you never want to see it."),
    Omission.SEASON: N_("{name} is left out: it is out of season."),
    Omission.GONE: N_("{name} is left out: it cannot be had any more."),
}
_AHEAD: Final = (BookingStatus.PENDING, BookingStatus.ACCEPTED, BookingStatus.IN_PROGRESS)
_PAST: Final = (BookingStatus.COMPLETED, BookingStatus.CANCELLED, BookingStatus.FAILED)
_PER_PAGE: Final = 20


class BookingsPage(OpenDrafts):
    """One's own bookings: what lies ahead, and what is over. An administrator sees everybody's."""

    roles = ANYONE
    section = "bookings"

    async def get(self) -> None:
        """Show one of the two lists: the next puja first, or the last one."""
        query = self.filters(BookingsQuery)
        is_past = self.get_query_argument("tab", "") == "past"
        if query.status:
            is_past = query.status in _PAST
        is_staff = self.person.role is Role.ADMIN
        statuses = (query.status,) if query.status else _PAST if is_past else _AHEAD
        page = await self.services.bookings.list_own(
            self.person,
            statuses=statuses,
            first=query.from_,
            last=query.to,
            limit=_PER_PAGE,
            after=self.after(query.cursor),
            soonest_first=statuses[0] in _AHEAD,
        )
        following = self.cursor(page.next_key)
        await self.show(
            "customer/bookings.html",
            title=self.translate("Bookings") if is_staff else self.translate("Your bookings"),
            query=query,
            statuses=tuple(BookingStatus) if is_staff else (),
            bookings=[present_booking(row, self.person, self.reader) for row in page.rows],
            is_past=is_past,
            following=following and self.here(cursor=following),
            drafts=await self._drafts() if not is_past else [],
        )

    async def _drafts(self) -> list[dict[str, Any]]:
        """What the person has begun to book, here or on another device."""
        if self.person.role is not Role.USER:
            return []
        return await self.open_drafts()


class BookingPage(Page):
    """One booking, as far as its reader may see it."""

    roles = ANYONE
    section = "bookings"

    async def get(self, booking_id: str) -> None:
        """Show it."""
        await self._show(booking_id, Form())

    async def _show(self, booking_id: str, form: Form, feedback_form: Form | None = None) -> None:
        booking = await self.services.bookings.get(self.person, booking_id)
        room_id = await self._room_of(booking)
        payment = await self.services.payments.of_booking(self.person, booking_id)
        main = payment.main if payment else None
        today = local_today(self.services.clock.now(), booking.timezone)
        await self.show(
            "customer/booking.html",
            title=self.local_name(booking, "service_name"),
            form=form,
            booking=present_booking(booking, self.person, self.reader),
            samagri=listed(self, booking),
            proposal=proposed(self, booking),
            pandit_id=booking.pandit_id,
            may=self._moves(booking),
            choices=await self._choices(booking),
            series=await self.services.recurrences.find_by_booking(self.person, booking.id),
            is_customer=self.person.user_id == booking.user_id,
            is_pandit=self.person.user_id == booking.pandit_user_id,
            feedback=present_feedback(
                await self.services.reviews.around(self.person, booking), self.reader
            ),
            feedback_form=feedback_form or Form(),
            room_id=room_id,
            may_pay=may_pay(booking),
            payment_id=attempt_id(payment, main) if payment and main else "",
            today=today,
            last=today + timedelta(days=365),
        )

    def _moves(self, booking: Booking) -> frozenset[str]:
        is_travelling = self.services.bookings.is_on_the_way(self.person, booking)
        return moves_of(self, booking) | ({"travel"} if is_travelling else set())

    async def _choices(self, booking: Booking) -> list[ChoiceResponse]:
        if self.person.user_id != booking.user_id:
            return []
        found = await self.services.bookings.choices(self.person, booking.id)
        return [present_choice(*each) for each in found]

    async def _room_of(self, booking: Booking) -> str | None:
        room = await self.services.chats.find_room_of(self.person, booking.id)
        return room.id if room else None


class MovePage(Page):
    """A button of a booking: each move by its name in the address."""

    roles = ANYONE

    async def post(self, booking_id: str, move: str) -> None:
        """Make the move and go back to the page that asked for it."""
        moves: dict[str, Callable[[str], Awaitable[str]]] = {
            "accept": self._accept,
            "reject": self._reject,
            "choose": self._choose,
            "arrive": self._arrive,
            "start": self._start,
            "complete": self._complete,
            "cancel": self._cancel,
            "reschedule": self._reschedule,
            "keep-time": self._keep_time,
            "suggest": self._suggest,
            "answer-samagri": self._answer_samagri,
            "withdraw-samagri": self._withdraw_samagri,
        }
        if move not in moves:
            raise NotFound
        back = self.next_path(f"/bookings/{booking_id}/")

        async def made() -> str:
            self.flash("good", await moves[move](booking_id))
            return back

        await self.do(made, back)

    async def _accept(self, booking_id: str) -> str:
        seen = self.read(AcceptRequest).starts_at
        booking = await self.services.bookings.accept(self._pandit, booking_id, seen)
        return self.translate(
            "You have accepted. {name} has been told, and you can write to each other.",
            name=booking.customer_name,
        )

    async def _reject(self, booking_id: str) -> str:
        reason = self.read(ReasonRequest).reason
        await self.services.bookings.reject(self._pandit, booking_id, reason)
        return self.translate("You have declined. We ask another pandit.")

    async def _choose(self, booking_id: str) -> str:
        chosen = self.read(ChoiceRequest).pandit_id
        booking = await self.services.bookings.choose(self.person, booking_id, chosen)
        name = self.local_name(booking, "pandit_name")
        return self.translate("We have asked {name}.", name=name)

    async def _arrive(self, booking_id: str) -> str:
        await self.services.bookings.arrive(self._pandit, booking_id)
        return self.translate("The family has been told that you are there.")

    async def _start(self, booking_id: str) -> str:
        await self.services.bookings.start(self._pandit, booking_id)
        return self.translate("The puja has begun.")

    async def _complete(self, booking_id: str) -> str:
        await self.services.bookings.complete(self._pandit, booking_id)
        return self.translate("The puja is completed. Thank you!")

    async def _cancel(self, booking_id: str) -> str:
        body = self.read(CancelRequest)
        await self.services.bookings.cancel(
            self.person,
            booking_id,
            body.reason,
            refund_to_wallet=body.refund_to is RefundTo.WALLET,
        )
        return self.translate("The booking is cancelled. The other side has been told.")

    async def _reschedule(self, booking_id: str) -> str:
        body = self.read(RescheduleRequest)
        if body.booking_date is None or body.booking_time is None:
            raise Invalid(FieldFault("booking_time", "required"))
        at = time.fromisoformat(body.booking_time)
        booking = await self.services.bookings.reschedule(
            self.person, booking_id, body.booking_date, at
        )
        if booking.proposal is not None:
            return self.translate(
                "Your proposal has been sent. The time changes once it is agreed."
            )
        return self.translate("The booking has a new time.")

    async def _keep_time(self, booking_id: str) -> str:
        await self.services.bookings.decline_proposal(self.person, booking_id)
        return self.translate("The booking keeps its time.")

    async def _suggest(self, booking_id: str) -> str:
        booking = await self.services.bookings.add_suggested(self.person, booking_id)
        return said(self, booking, self.translate("The samagri for this puja has been added."))

    async def _answer_samagri(self, booking_id: str) -> str:
        body = self.read(SamagriAnswerRequest)
        booking = await self.services.bookings.answer_samagri(
            self._pandit, booking_id, body.revision, is_agreed=body.agree
        )
        if body.agree:
            return self.translate(
                "You have agreed. The total is now {price}.",
                price=self.formatter.price(booking.total_fee),
            )
        return self.translate("You have declined. The samagri stays as it is.")

    async def _withdraw_samagri(self, booking_id: str) -> str:
        await self.services.bookings.withdraw_samagri(self.person, booking_id)
        return self.translate("Your proposal is withdrawn. The samagri stays as it is.")

    @property
    def _pandit(self) -> Actor:
        if self.person.role is not Role.PANDIT:
            raise Forbidden
        return self.person


class SamagriPage(BudgetPage):
    """The samagri of a booking: ready lists, a budget, and the items one by one."""

    roles = CUSTOMER
    section = "bookings"

    async def get(self, booking_id: str) -> None:
        """Show it, with what a budget in the address would buy."""
        await self._show(booking_id, Form(self._query()))

    async def post(self, booking_id: str) -> None:
        """Take a ready list, or the list that a budget allows."""
        action = self._fit if self.typed.get("do") == "budget" else self._use

        async def change() -> str:
            return await action(booking_id)

        if back := self.next_path(""):
            # From the review of a booking that is still being put together.
            await self.do(change, back)
        else:
            await self.submit(change, lambda form: self._show(booking_id, form))

    async def _use(self, booking_id: str) -> str:
        body = self.read(TemplateChoiceRequest)
        booking, left_out = await self.services.bookings.use_template(
            self.person, booking_id, body.template_id
        )
        done = self.translate("The list is yours now. You can still change it.")
        told = [said(self, booking, done), *(self._told(each) for each in left_out)]
        self.flash("good", " ".join(told))
        return self.next_path(f"/bookings/{booking_id}/samagri/")

    def _told(self, left: LeftOut) -> str:
        return self.translate(_OMITTED[left.why], name=self.local_name(left.item))

    async def _fit(self, booking_id: str) -> str:
        rupees = self.typed.get("budget", "")
        booking, plan = await self.services.bookings.fit_budget(
            self.person, booking_id, paisa_of(rupees)
        )
        if plan.shortfall:
            self.flash(
                "warn",
                self.translate(
                    "What stays on the list costs {price} more than your budget.",
                    price=self.formatter.price(plan.shortfall),
                ),
            )
        else:
            done = self.translate("The list fits your budget now.")
            self.flash("good", said(self, booking, done))
        back = self.next_path(f"/bookings/{booking_id}/samagri/").partition("?")[0]
        return f"{back}?{urlencode({'budget': rupees})}"

    async def _show(self, booking_id: str, form: Form) -> None:
        booking = await self.services.bookings.get(self.person, booking_id)
        if "samagri" not in moves_of(self, booking):
            self.go(f"/bookings/{booking_id}/#samagri")
            return
        plan, form = await self.plan(booking_id, form)
        offers = await self.services.templates.list_page(self.person, booking.puja_id)
        await self.show(
            "customer/samagri.html",
            title=self.translate("Samagri of your booking"),
            form=form,
            booking=present_booking(booking, self.person, self.reader),
            samagri=listed(self, booking),
            proposal=proposed(self, booking),
            may=frozenset({"samagri"}),
            pandit_id=booking.pandit_id,
            offers=offers.rows,
            plan=plan,
        )


class SamagriItemPage(Page):
    """A line of the samagri, changed without script."""

    roles = CUSTOMER

    async def post(self, booking_id: str, item_id: str) -> None:
        """Set the quantity, or take the item off."""
        back = self.next_path(f"/bookings/{booking_id}/#samagri")

        async def change() -> str:
            if self.typed.get("do") == "remove":
                booking = await self.services.bookings.remove_item(self.person, booking_id, item_id)
                self.flash("good", said(self, booking, self.translate("The item was removed.")))
                return back
            body = QuantityRequest(quantity=self._quantity())
            booking = await self.services.bookings.set_quantity(
                self.person, booking_id, item_id, body.quantity, body.unit
            )
            self.flash("good", said(self, booking, self.translate("The quantity was changed.")))
            return back

        await self.do(change, back)

    def _quantity(self) -> Decimal:
        try:
            return Decimal(self.typed.get("quantity", "").replace(",", ""))
        except InvalidOperation:
            raise Invalid(FieldFault("quantity", "type")) from None


def listed(page: Page, booking: Booking) -> SamagriResponse:
    """The samagri that a page shows: whoever may change it sees it as he proposes it."""
    now = page.services.clock.now()
    shown = present_samagri(booking, page.person, page.reader, now)
    if not shown.can_edit:
        return shown
    return present_samagri(as_proposed(booking, now), page.person, page.reader, now)


def proposed(page: Page, booking: Booking) -> SamagriProposalResponse | None:
    """The list that waits for the pandit's consent."""
    return present_samagri_proposal(booking, page.reader, page.services.clock.now())


def said(page: Page, booking: Booking, done: str) -> str:
    """What an edit of the samagri is answered with: ``done``, or that it is proposed only."""
    if booking.status is BookingStatus.PENDING:
        return done
    if booking.samagri_proposal is None:
        return page.translate("The samagri is as it was booked.")
    return page.translate("Your wish has been noted. The list changes once the pandit agrees.")


def moves_of(page: Page, booking: Booking) -> frozenset[str]:
    """The moves that a page offers; the rules themselves decide when one is made."""
    actor = page.person
    is_pandit = actor.user_id == booking.pandit_user_id
    is_customer = actor.user_id == booking.user_id
    found = set()
    if actor.role in CANCELLABLE_BY.get(booking.status, frozenset()):
        found.add("cancel")
    is_awaited = booking.pay_by is None and asked_at(booking) is not None
    if is_pandit and booking.status is BookingStatus.PENDING and is_awaited:
        found |= {"accept", "reject"}
    if page.services.bookings.is_startable(actor, booking):
        found.add("start")
    if is_pandit and booking.status is BookingStatus.IN_PROGRESS:
        found.add("complete")
    if (is_customer and booking.status is BookingStatus.PENDING) or (
        (is_customer or is_pandit) and booking.status is BookingStatus.ACCEPTED
    ):
        found.add("reschedule")
    if booking.proposal is not None and (is_customer or is_pandit):
        found.add("keep-time")
        if booking.proposal.by != actor.user_id:
            found.add("agree")
    with suppress(DomainError):
        require_samagri_editable(booking, actor, page.services.clock.now())
        found.add("samagri")
    return frozenset(found)


ROUTES: Final = (
    Route("/bookings/", BookingsPage, "page-bookings"),
    Route("/bookings/{id}/", BookingPage, "page-booking"),
    Route("/bookings/{id}/samagri/", SamagriPage, "page-booking-list"),
    Route("/bookings/{id}/samagri/{item_id}/", SamagriItemPage, "page-booking-samagri"),
    Route("/bookings/{id}/{move}/", MovePage, "page-booking-move"),
)
