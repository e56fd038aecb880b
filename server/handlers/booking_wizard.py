"""A booking in five steps: each is one call, and the slot is held while they last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from server.container import Services
from server.domain.account import Actor
from server.domain.draft import Draft, WizardStep
from server.domain.errors import (
    IllegalTransition,
    NotBookable,
    NotFound,
    SlotTaken,
    TooManyDrafts,
    TooManyOpen,
)
from server.handlers.base import CUSTOMER, ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.bookings import EmptyRequest
from server.schemas.drafts import (
    DraftResponse,
    DraftsResponse,
    StepRequest,
    present_confirmed,
    present_draft,
)

Take = Callable[[Services, Actor, StepRequest], Awaitable[Draft]]


def _service(services: Services, actor: Actor, body: StepRequest) -> Awaitable[Draft]:
    return services.drafts.choose_service(actor, body.service, body.booking_id)


def _time(services: Services, actor: Actor, body: StepRequest) -> Awaitable[Draft]:
    return services.drafts.choose_time(actor, body.draft, body.day, body.at, body.rule)


def _details(services: Services, actor: Actor, body: StepRequest) -> Awaitable[Draft]:
    return services.drafts.give_details(
        actor,
        body.draft,
        service_location=body.where,
        location=body.place,
        notes=body.notes,
        samagri_required=body.samagri_required,
    )


def _payment(services: Services, actor: Actor, body: StepRequest) -> Awaitable[Draft]:
    return services.drafts.choose_payment(actor, body.draft, body.method)


_STEPS: Final[Mapping[WizardStep, Take]] = {
    WizardStep.SERVICE: _service,
    WizardStep.DATETIME: _time,
    WizardStep.DETAILS: _details,
    WizardStep.PAYMENT: _payment,
}


class StepHandler(ApiHandler):
    """The next step, or one taken again."""

    @operation(
        "Take one step of a booking; its slot is held from the second on",
        roles=CUSTOMER,
        idempotent=True,
        errors=(NotFound, NotBookable, SlotTaken, IllegalTransition, TooManyDrafts, TooManyOpen),
    )
    async def post(self, actor: Actor, body: StepRequest) -> DraftResponse:
        if body.booking_step is WizardStep.CONFIRMATION:
            booking = await self.services.drafts.confirm(actor, body.draft)
            return present_confirmed(booking, actor, self.reader)
        draft = await _STEPS[body.booking_step](self.services, actor, body)
        return present_draft(draft, self.reader)


class DraftsHandler(ApiHandler):
    """One's own unfinished bookings."""

    @operation("List one's unfinished bookings, to go on with on any device", roles=CUSTOMER)
    async def get(self, actor: Actor) -> DraftsResponse:
        drafts = await self.services.drafts.list_own(actor)
        return DraftsResponse(results=[present_draft(draft, self.reader) for draft in drafts])


class DraftHandler(ApiHandler):
    """One unfinished booking."""

    @operation("Show an unfinished booking", roles=CUSTOMER, errors=(NotFound,))
    async def get(self, draft_id: str, actor: Actor) -> DraftResponse:
        return present_draft(await self.services.drafts.get(actor, draft_id), self.reader)

    @operation(
        "Drop an unfinished booking; its slot is free at once",
        status=204,
        roles=CUSTOMER,
        errors=(NotFound, IllegalTransition),
    )
    async def delete(self, draft_id: str, actor: Actor) -> None:
        await self.services.drafts.discard(actor, draft_id)


class RenewHandler(ApiHandler):
    """Somebody is at work."""

    @operation(
        "Hold the slot of an unfinished booking a while longer, up to the bound",
        roles=CUSTOMER,
        errors=(NotFound, IllegalTransition),
    )
    async def post(self, draft_id: str, actor: Actor, body: EmptyRequest) -> DraftResponse:
        return present_draft(await self.services.drafts.renew(actor, draft_id), self.reader)


ROUTES: Final = (
    Route("/api/booking-wizard/create-step/", StepHandler, "booking-step"),
    Route("/api/booking-wizard/", DraftsHandler, "booking-drafts"),
    Route("/api/booking-wizard/{draft_id}/", DraftHandler, "booking-draft"),
    Route("/api/booking-wizard/{draft_id}/renew/", RenewHandler, "booking-draft-renew"),
)
