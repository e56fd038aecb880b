"""Pandits: search, profiles, services, hours and free times."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor
from server.domain.errors import NotFound
from server.handlers.base import PANDIT, ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.base import PageQuery, PageResponse, changes_of
from server.schemas.pandits import (
    AvailabilityRequest,
    AvailabilityResponse,
    CreateServiceRequest,
    OwnPanditResponse,
    PanditCardResponse,
    PanditResponse,
    PanditsQuery,
    ServiceResponse,
    SlotsQuery,
    SlotsResponse,
    UpdatePanditRequest,
    UpdateServiceRequest,
    present_availability,
    present_card,
    present_own,
    present_profile,
    present_service,
    present_slots,
)


class PanditsHandler(ApiHandler):
    """The search."""

    @operation("Find pandits who can be booked")
    async def get(
        self, actor: Actor | None, query: PanditsQuery
    ) -> PageResponse[PanditCardResponse]:
        page = await self.services.pandits.search(
            actor,
            query.search(self.after(query.cursor)),
            category_id=query.category,
            day=query.date,
            at=query.at(),
        )
        return PageResponse(
            results=[present_card(card, self.reader) for card in page.rows],
            next=self.cursor(page.next_key),
        )


class PanditHandler(ApiHandler):
    """One pandit."""

    @operation("Show a pandit; contact details for those entitled", errors=(NotFound,))
    async def get(self, pandit_id: str, actor: Actor | None) -> PanditResponse:
        profile = await self.services.pandits.profile(actor, pandit_id)
        return present_profile(profile, self.reader)


class OwnPanditHandler(ApiHandler):
    """The signed-in pandit's own profile."""

    @operation("Show one's own profile", roles=PANDIT, errors=(NotFound,))
    async def get(self, actor: Actor) -> OwnPanditResponse:
        return present_own(await self.services.pandits.own_profile(actor), self.reader)

    @operation("Change one's own profile", roles=PANDIT, errors=(NotFound,))
    async def patch(self, actor: Actor, body: UpdatePanditRequest) -> OwnPanditResponse:
        profile = await self.services.pandits.update_profile(actor, body.changes())
        return present_own(profile, self.reader)


class AvailabilityHandler(ApiHandler):
    """The signed-in pandit's own hours."""

    @operation("Show one's own hours", roles=PANDIT, errors=(NotFound,))
    async def get(self, actor: Actor) -> AvailabilityResponse:
        return present_availability(await self.services.pandits.availability(actor))

    @operation("Replace one's own hours", roles=PANDIT, errors=(NotFound,))
    async def put(self, actor: Actor, body: AvailabilityRequest) -> AvailabilityResponse:
        hours = await self.services.pandits.set_availability(actor, body.availability())
        return present_availability(hours)


class ServicesHandler(ApiHandler):
    """The signed-in pandit's own services."""

    @operation("List one's own services", roles=PANDIT, errors=(NotFound,))
    async def get(self, actor: Actor, query: PageQuery) -> PageResponse[ServiceResponse]:
        page = await self.services.pandits.list_services(
            actor, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[present_service(service) for service in page.rows],
            next=self.cursor(page.next_key),
        )

    @operation("Offer a puja", status=201, roles=PANDIT, errors=(NotFound,), idempotent=True)
    async def post(self, actor: Actor, body: CreateServiceRequest) -> ServiceResponse:
        return present_service(await self.services.pandits.add_service(actor, body.offer()))


class ServiceHandler(ApiHandler):
    """One of the signed-in pandit's own services."""

    @operation("Change one's own service", roles=PANDIT, errors=(NotFound,))
    async def patch(
        self, service_id: str, actor: Actor, body: UpdateServiceRequest
    ) -> ServiceResponse:
        service = await self.services.pandits.update_service(actor, service_id, changes_of(body))
        return present_service(service)

    @operation(
        "Take one's own service off; its bookings stay",
        status=204,
        roles=PANDIT,
        errors=(NotFound,),
    )
    async def delete(self, service_id: str, actor: Actor) -> None:
        await self.services.pandits.remove_service(actor, service_id)


class SlotsHandler(ApiHandler):
    """The times at which a service can be booked."""

    @operation("List the times of a day at which a service can be booked", errors=(NotFound,))
    async def get(self, actor: Actor | None, query: SlotsQuery) -> SlotsResponse:
        found = await self.services.pandits.slots(
            query.service_id,
            query.date,
            actor=actor,
            exclude_id=query.exclude_booking,
            where=query.where(),
        )
        return present_slots(found.day, found.timezone, found.slots, self.reader)


# "me" stands before {id}: the first pattern that matches wins.
ROUTES: Final = (
    Route("/api/pandits/", PanditsHandler, "pandits"),
    Route("/api/pandits/me/", OwnPanditHandler, "pandit-me"),
    Route("/api/pandits/me/availability/", AvailabilityHandler, "pandit-availability"),
    Route("/api/pandits/{id}/", PanditHandler, "pandit"),
    Route("/api/services/", ServicesHandler, "services"),
    Route("/api/services/{id}/", ServiceHandler, "service"),
    Route("/api/booking-slots/available-slots/", SlotsHandler, "available-slots"),
)
