"""Booking a puja in five pages; what is said is kept by the server, so any device may go on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import date, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from server.domain.booking import BookingStatus, PaymentMethod, ServiceLocation
from server.domain.calendar import local_today
from server.domain.draft import Draft, WizardStep
from server.domain.errors import Conflict, Invalid, NotFound
from server.domain.payment import Purpose
from server.domain.recurrence import RecurrenceRule
from server.handlers.base import CUSTOMER
from server.handlers.page_base import Form, decode_known
from server.handlers.pages.base import Page
from server.handlers.pages.budget import BudgetPage
from server.handlers.pages.payments import Checkout
from server.handlers.routing import Route
from server.schemas.almanac import quality_of
from server.schemas.bookings import RecurrenceRequest, present_booking, present_samagri
from server.schemas.drafts import StepRequest, present_draft
from server.schemas.pandits import present_service, present_slot
from server.services.pandits import SlotDay

_OTHER_TIMES: Final = 6
_NEXT_DAYS: Final = 7
_OTHER_DAYS: Final = 2
_DAYS_AHEAD: Final = 30
_WHEN: Final = ("booking_date", "booking_time")
_AGAIN: Final = ("repeat", "repeat_count")
PAGES: Final = {
    "service": WizardStep.SERVICE,
    "date": WizardStep.DATETIME,
    "details": WizardStep.DETAILS,
    "samagri": WizardStep.DETAILS,
    "payment": WizardStep.PAYMENT,
    "confirm": WizardStep.CONFIRMATION,
}
"""Page by its name in the address, and the step that it belongs to."""
_PAGE_OF: Final = {
    WizardStep.SERVICE: "service",
    WizardStep.DATETIME: "date",
    WizardStep.DETAILS: "details",
    WizardStep.PAYMENT: "payment",
    WizardStep.CONFIRMATION: "confirm",
}
_ORDER: Final = tuple(WizardStep)


def address_of(service_id: str, draft_id: str, page: str) -> str:
    """Where a page of a draft is."""
    return f"/book/{service_id}/{draft_id}/{page}/"


class OpenDrafts(Page):
    """Pages that tell a customer what he has begun to book."""

    async def open_drafts(self) -> list[dict[str, Any]]:
        """His unfinished bookings: of what, with whom, and where each goes on."""
        drafts = await self.services.drafts.list_own(self.person)
        return [await self._present_open(draft) for draft in drafts]

    async def _present_open(self, draft: Draft) -> dict[str, Any]:
        booking = draft.booking
        puja, pandit = "", ""
        if booking is not None:
            puja = self.local_name(booking, "service_name")
            pandit = self.local_name(booking, "pandit_name")
        else:
            # What cannot be booked any more has no name here; the customer may still drop it.
            with suppress(NotFound):
                offered_by, service = await self.services.pandits.offer(draft.service_id)
                puja = self.local_name(service)
                pandit = self.local_name(offered_by, "full_name")
        return {
            "draft": present_draft(draft, self.reader),
            "puja": puja,
            "pandit": pandit,
            "href": address_of(draft.service_id, draft.id, _PAGE_OF[draft.next_step]),
        }


class WizardPage(OpenDrafts, Checkout, BudgetPage):
    """What the pages of the wizard share."""

    roles = CUSTOMER
    section = "pandits"

    async def show_service(self, service_id: str, form: Form, draft: Draft | None) -> None:
        """The first page: which service of which pandit."""
        pandit, service = await self.services.pandits.offer(service_id)
        await self._show(
            "service",
            form,
            draft,
            service_id,
            services=[present_service(each) for each in pandit.services if each.is_available],
            chosen=form.values.get("service_id") or service.id,
            open_drafts=await self.open_drafts(),
        )

    async def free_days(
        self, service_id: str, first: date, count: int, draft_id: str
    ) -> list[SlotDay]:
        """The next days with free times, looking ahead for a week."""
        found: list[SlotDay] = []
        # What is typed may be the last day that there is.
        for ahead in range(min(_NEXT_DAYS, (date.max - first).days + 1)):
            day = await self.services.pandits.slots(
                service_id, first + timedelta(days=ahead), actor=self.person, exclude_id=draft_id
            )
            if any(slot.is_available for slot in day.slots):
                found.append(day)
            if len(found) == count:
                break
        return found

    async def _show(
        self, page: str, form: Form, draft: Draft | None, service_id: str, **values: Any
    ) -> None:
        pandit, service = await self.services.pandits.offer(service_id)
        step = PAGES[page]
        await self.show(
            f"customer/book/{page}.html",
            title=self.translate("Book {service}", service=self.local_name(service)),
            page=page,
            number=_ORDER.index(step) + 1,
            steps=self._steps(step, draft),
            form=form,
            service=present_service(service),
            pandit=pandit,
            draft=present_draft(draft, self.reader) if draft else None,
            booking=present_booking(draft.booking, self.person, self.reader)
            if draft and draft.booking
            else None,
            today=self.today,
            address=lambda name: address_of(service_id, draft.id, name) if draft else "",
            **values,
        )

    def _steps(self, present: WizardStep, draft: Draft | None) -> list[dict[str, Any]]:
        """The five steps as the progress shows them; those that were done can be gone back to."""
        reached = _ORDER.index(draft.next_step) if draft else 0
        return [
            {
                "name": self.labels.wizard_step(step),
                "is_present": step is present,
                "is_done": place < reached and step is not present,
                "href": address_of(draft.service_id, draft.id, _PAGE_OF[step])
                if draft and place <= reached and step is not present
                else "",
            }
            for place, step in enumerate(_ORDER)
        ]

    @property
    def today(self) -> date:
        """The day in Nepal."""
        return local_today(self.services.clock.now(), self.nepal.timezone)


class StartPage(WizardPage):
    """The first step, before anything is kept."""

    async def get(self, service_id: str) -> None:
        """Show it, or go on with what was begun of this service."""
        for draft in await self.services.drafts.list_own(self.person):
            if draft.service_id == service_id:
                when = self._when()
                page = "date" if when else _PAGE_OF[draft.next_step]
                self.go(address_of(service_id, draft.id, page) + when)
                return
        await self.show_service(service_id, Form(), None)

    async def post(self, service_id: str) -> None:
        """Begin a booking of the chosen service."""

        async def begin() -> str:
            chosen = self.typed.get("service_id", service_id)
            draft = await self.services.drafts.choose_service(self.person, chosen)
            return address_of(draft.service_id, draft.id, "date") + self._when()

        async def again(form: Form) -> None:
            await self.show_service(service_id, form, None)

        await self.submit(begin, again)

    def _when(self) -> str:
        """The day and time that the way here has named."""
        given = {name: value for name in _WHEN if (value := self.get_query_argument(name, ""))}
        return f"?{urlencode(given)}" if given else ""


class StepPage(WizardPage):
    """A page of a booking that was begun."""

    async def get(self, service_id: str, draft_id: str, page: str) -> None:
        """Show the page, or the one that has to come first."""
        draft = await self._find(service_id, draft_id)
        if draft is None:
            return
        step = PAGES.get(page)
        if step is None:
            raise NotFound
        is_early = _ORDER.index(step) > _ORDER.index(draft.next_step)
        is_beside = page == "samagri" and not (draft.has_details and _wants_samagri(draft))
        if service_id != draft.service_id or is_early or is_beside:
            self.go(address_of(draft.service_id, draft.id, _PAGE_OF[draft.next_step]))
            return
        await self._show_page(page, draft, None)

    async def post(self, service_id: str, draft_id: str, page: str) -> None:
        """Take the step, and go to the next page; or back to the one before."""
        draft = await self._find(service_id, draft_id)
        if draft is None:
            return
        if page == "drop":
            await self.do(lambda: self._drop(draft), "/pandits/")
            return
        if page not in PAGES:
            raise NotFound
        if self.get_body_argument("_go", "") == "back":
            await self._go_back(page, draft)
            return

        async def take() -> str:
            return await self._takes[page](draft)

        async def again(form: Form) -> None:
            present = await self._find(service_id, draft_id)
            if present is not None:
                await self._show_page(page, present, form)

        await self.submit(take, again)

    async def _find(self, service_id: str, draft_id: str) -> Draft | None:
        """The draft; None when the browser has been sent elsewhere, because there is none."""
        try:
            return await self.services.drafts.get(self.person, draft_id)
        except NotFound:
            booking = await self.services.bookings.find(draft_id)
        if booking is not None and booking.user_id == self.person.user_id:
            # Another tab, or a second click, has finished it.
            self.go(f"/bookings/{booking.id}/")
            return None
        self.flash(
            "warn",
            self.translate(
                "This booking was not finished in time, so its time is free again. "
                "Please choose a time once more."
            ),
        )
        self.go(f"/book/{service_id}/")
        return None

    # -- taking a step ---------------------------------------------------------------------------

    @property
    def _takes(self) -> dict[str, Callable[[Draft], Awaitable[str]]]:
        return {
            "service": self._take_service,
            "date": self._take_date,
            "details": self._take_details,
            "samagri": self._take_samagri,
            "payment": self._take_payment,
            "confirm": self._confirm,
        }

    async def _take_service(self, draft: Draft) -> str:
        chosen = self.typed.get("service_id", draft.service_id)
        changed = await self.services.drafts.choose_service(self.person, chosen, draft.id)
        return address_of(changed.service_id, draft.id, "date")

    async def _take_date(self, draft: Draft) -> str:
        body = self._body(WizardStep.DATETIME, draft)
        await self.services.drafts.choose_time(
            self.person, draft.id, body.day, body.at, self._rule()
        )
        return address_of(draft.service_id, draft.id, "details")

    async def _take_details(self, draft: Draft) -> str:
        body = self._body(WizardStep.DETAILS, draft)
        changed = await self.services.drafts.give_details(
            self.person,
            draft.id,
            service_location=body.where,
            location=body.place,
            notes=body.notes,
            samagri_required=body.samagri_required,
        )
        page = "samagri" if _wants_samagri(changed) else "payment"
        return address_of(draft.service_id, draft.id, page)

    async def _take_samagri(self, draft: Draft) -> str:
        await self.services.drafts.renew(self.person, draft.id)
        return address_of(draft.service_id, draft.id, "payment")

    async def _take_payment(self, draft: Draft) -> str:
        body = self._body(WizardStep.PAYMENT, draft)
        await self.services.drafts.choose_payment(self.person, draft.id, body.method)
        return address_of(draft.service_id, draft.id, "confirm")

    async def _confirm(self, draft: Draft) -> str:
        booking = await self.services.drafts.confirm(self.person, draft.id)
        if booking.pay_by is not None and booking.status is BookingStatus.PENDING:
            return f"/bookings/{booking.id}/pay/"
        self.flash(
            "good",
            self.translate(
                "Your booking has been sent to {pandit}. You hear from us when it is answered.",
                pandit=self.local_name(booking, "pandit_name"),
            ),
        )
        return f"/bookings/{booking.id}/"

    async def _drop(self, draft: Draft) -> str:
        await self.services.drafts.discard(self.person, draft.id)
        self.flash("good", self.translate("The unfinished booking was dropped."))
        return self.next_path(f"/pandits/{draft.pandit_id}/")

    async def _go_back(self, page: str, draft: Draft) -> None:
        """Keep what was typed, as far as it can be kept, and show the page before."""
        pages = [name for name in PAGES if name != "samagri" or _wants_samagri(draft)]
        target = pages[max(0, pages.index(page) - 1)]
        if page not in ("service", "confirm"):
            # What is not fit to be kept he does not want to go on with.
            with suppress(Invalid, Conflict):
                await self._takes[page](draft)
        self.go(address_of(draft.service_id, draft.id, target))

    def _body(self, step: WizardStep, draft: Draft) -> StepRequest:
        return self.read(StepRequest, booking_step=step, booking_id=draft.id)

    def _rule(self) -> RecurrenceRule | None:
        """How often the puja is repeated, as typed; None: once."""
        if not (frequency := self.typed.get("repeat")):
            return None
        count = self.typed.get("repeat_count", "")
        request = decode_known(
            {"frequency": frequency, "count": count} if count else {"frequency": frequency},
            RecurrenceRequest,
        )
        return request.rule()

    # -- showing a page --------------------------------------------------------------------------

    async def _show_page(self, page: str, draft: Draft, form: Form | None) -> None:
        shows: dict[str, Callable[[Draft, Form | None], Awaitable[None]]] = {
            "service": self._show_service,
            "date": self._show_date,
            "details": self._show_details,
            "samagri": self._show_samagri,
            "payment": self._show_payment,
            "confirm": self._show_confirm,
        }
        await shows[page](draft, form)

    async def _show_service(self, draft: Draft, form: Form | None) -> None:
        await self.show_service(draft.service_id, form or Form(), draft)

    async def _show_date(self, draft: Draft, form: Form | None) -> None:
        service_id = draft.service_id
        _, service = await self.services.pandits.offer(service_id)
        others: list[SlotDay] = []
        if form is not None:
            first = _day(form.values.get("booking_date", ""))
            if first is not None:
                others = await self.free_days(service_id, first, _OTHER_DAYS, draft.id)
        else:
            form = Form(await self._chosen_time(draft))
        almanac = self.services.almanac
        await self._show(
            "date",
            form,
            draft,
            service_id,
            last=self.today + timedelta(days=365),
            again={name: form.values.get(name) for name in _AGAIN},
            repeats=self.labels.frequencies if self.services.recurrences.is_enabled else [],
            days=await almanac.calendar(
                self.today, self.today + timedelta(days=_DAYS_AHEAD - 1), service.puja_id
            ),
            has_rules=service.puja_id in almanac.pujas_with_rules,
            puja_id=service.puja_id,
            quality_of=quality_of,
            free_times=[
                present_slot(slot, day.timezone, self.reader)
                for day in others
                for slot in day.slots
                if slot.is_available
            ][:_OTHER_TIMES],
        )

    async def _chosen_time(self, draft: Draft) -> dict[str, str]:
        """What the fields hold: what the way here names, else what is held, else a free day.

        A way here that says anything of repeating says all of it.
        """
        held: dict[str, str] = {}
        if draft.booking is not None:
            held = {
                "booking_date": draft.booking.booking_date.isoformat(),
                "booking_time": f"{draft.booking.booking_time:%H:%M}",
            }
        if draft.recurrence is not None:
            count = draft.recurrence.count
            held |= {"repeat": draft.recurrence.frequency}
            held |= {"repeat_count": str(count)} if count else {}
        named = {name: value for name in _WHEN if (value := self.get_query_argument(name, ""))}
        if named and named.get("booking_date") != held.get("booking_date"):
            held.pop("booking_time", None)
        again = {name: value for name in _AGAIN if (value := self.get_query_argument(name, ""))}
        if again:
            held = {name: value for name, value in held.items() if name not in _AGAIN}
        found = {**held, **named, **again}
        if "booking_date" not in found:
            free = await self.free_days(draft.service_id, self.today, 1, draft.id)
            found |= {"booking_date": free[0].day.isoformat()} if free else {}
        return found

    async def _show_details(self, draft: Draft, form: Form | None) -> None:
        await self._show(
            "details",
            form or Form(await self._said(draft)),
            draft,
            draft.service_id,
            kinds=tuple(ServiceLocation),
        )

    async def _said(self, draft: Draft) -> dict[str, str]:
        """The details as said before, or the person's own address."""
        if draft.booking is None or not draft.has_details:
            home = (await self.services.accounts.profile(self.person)).location
            if home is None:
                return {}
            return {"area": home.area, "city": home.city, "address": home.address}
        place = draft.booking.location
        return {
            "service_location": draft.booking.service_location,
            "area": place.area,
            "city": place.city,
            "address": place.address,
            "notes": draft.booking.notes,
            "samagri_required": "true" if draft.booking.samagri_required else "false",
        }

    async def _show_samagri(self, draft: Draft, form: Form | None) -> None:
        if draft.booking is None:
            raise NotFound
        plan, form = await self.plan(draft.id, form or Form(self._query()))
        offers = await self.services.templates.list_page(self.person, draft.booking.puja_id)
        await self._show(
            "samagri",
            form,
            draft,
            draft.service_id,
            offers=offers.rows,
            plan=plan,
            samagri=present_samagri(
                draft.booking, self.person, self.reader, self.services.clock.now()
            ),
        )

    async def _show_payment(self, draft: Draft, form: Form | None) -> None:
        if draft.booking is None:
            raise NotFound
        balance = await self.balance()
        chosen = draft.booking.payment_method if draft.has_payment else PaymentMethod.CASH
        await self._show(
            "payment",
            form or Form(),
            draft,
            draft.service_id,
            choices=await self.choices(draft.booking.total_fee, Purpose.BOOKING, balance),
            chosen=(form.values.get("payment_method") if form else None) or chosen,
            balance=balance,
        )

    async def _show_confirm(self, draft: Draft, form: Form | None) -> None:
        await self._show(
            "confirm",
            form or Form(),
            draft,
            draft.service_id,
            frequency=draft.recurrence and self.labels.frequency(draft.recurrence.frequency),
            count=draft.recurrence and draft.recurrence.count,
        )


def _wants_samagri(draft: Draft) -> bool:
    return draft.booking is not None and draft.booking.samagri_required


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


ROUTES: Final = (
    Route("/book/{service_id}/", StartPage, "page-book"),
    Route("/book/{service_id}/{booking_id}/{step}/", StepPage, "page-book-step"),
)
