"""One's own notifications."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor
from server.domain.errors import NotFound
from server.handlers.base import ApiHandler, operation
from server.handlers.routing import Route
from server.schemas.base import PageResponse
from server.schemas.notifications import (
    NotificationPreferencesRequest,
    NotificationPreferencesResponse,
    NotificationQuery,
    NotificationReadRequest,
    NotificationResponse,
    PushEndpointRequest,
    PushKeyResponse,
    PushSubscriptionRequest,
    PushSubscriptionResponse,
    UnreadResponse,
    present_notification,
    present_preferences,
)


class NotificationsHandler(ApiHandler):
    """``/api/notifications/``."""

    @operation("List one's notifications, newest first")
    async def get(
        self, actor: Actor, query: NotificationQuery
    ) -> PageResponse[NotificationResponse]:
        page = await self.services.notifications.list_page(
            actor,
            unread_only=query.unread,
            limit=query.limit,
            after=self.after(query.cursor),
        )
        return PageResponse(
            results=[present_notification(row, self.reader) for row in page.rows],
            next=self.cursor(page.next_key),
        )


class NotificationReadHandler(ApiHandler):
    """``/api/notifications/read/``."""

    @operation("Mark one's notifications as read")
    async def post(self, actor: Actor, body: NotificationReadRequest) -> UnreadResponse:
        body.require_one()
        unread = await self.services.notifications.mark_read(actor, ids=body.ids, up_to=body.up_to)
        return UnreadResponse(unread=unread)


class NotificationPreferencesHandler(ApiHandler):
    """``/api/notifications/preferences/``."""

    @operation("What one does not want to hear of")
    async def get(self, actor: Actor) -> NotificationPreferencesResponse:
        return present_preferences(await self.services.push.preferences(actor))

    @operation("Say what one does not want to hear of")
    async def put(
        self, actor: Actor, body: NotificationPreferencesRequest
    ) -> NotificationPreferencesResponse:
        muted = {(each.kind, each.channel) for each in body.muted}
        return present_preferences(
            await self.services.push.set_preferences(
                actor,
                muted,
                wants_digest=body.wants_digest,
                wants_proposals=body.wants_proposals,
            )
        )


class PushSubscriptionsHandler(ApiHandler):
    """``/api/push-subscriptions/``."""

    @operation("The key that browsers subscribe to messages with", errors=(NotFound,))
    async def get(self, actor: Actor) -> PushKeyResponse:
        return PushKeyResponse(public_key=self.services.push.public_key)

    @operation(
        "Have messages sent to this browser until it signs out",
        status=201,
        idempotent=True,
        errors=(NotFound,),
    )
    async def post(self, actor: Actor, body: PushSubscriptionRequest) -> PushSubscriptionResponse:
        subscription = await self.services.push.subscribe(
            actor, body.endpoint, body.keys.p256dh, body.keys.auth
        )
        return PushSubscriptionResponse(id=subscription.id)

    @operation("Send no more messages to this browser", status=204)
    async def delete(self, actor: Actor, body: PushEndpointRequest) -> None:
        await self.services.push.unsubscribe(actor, body.endpoint)


ROUTES: Final = (
    Route("/api/notifications/", NotificationsHandler, "notifications"),
    Route("/api/notifications/read/", NotificationReadHandler, "notification_read"),
    Route(
        "/api/notifications/preferences/",
        NotificationPreferencesHandler,
        "notification-preferences",
    ),
    Route("/api/push-subscriptions/", PushSubscriptionsHandler, "push-subscriptions"),
)
