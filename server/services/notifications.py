"""Tells people what happened: stored first, then pushed.

A notification is numbered and stored, and only who stored it pushes it. A push that is lost on the
way is repaired by the client, which asks for what follows its last sequence number.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

import msgspec

from server.domain.account import Actor, User
from server.domain.events import Event
from server.domain.notification import Channel, Notification, NotificationPreferences
from server.domain.ports.accounts import UserRepository
from server.domain.ports.notifications import NotificationRepository
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.processes import Bus
from server.domain.ports.world import Clock, IdSource, Translator
from server.services.notification_texts import Text, compose, job_event

_OF_PAYMENTS: Final = ("payment_id", "amount", "currency", "purpose")
_encoder: Final = msgspec.json.Encoder()


def user_topic(user_id: str) -> str:
    """Return the bus topic of everything that is pushed to one person."""
    return f"user.{user_id}"


def notification_fields(notification: Notification) -> dict[str, Any]:
    """Return the ``notification`` frame of realtime clients, as plain data."""
    return {
        "type": "notification",
        "seq": notification.sequence,
        "id": notification.id,
        "kind": notification.notification_type,
        "title": notification.title,
        "title_ne": notification.title_ne,
        "body": notification.message,
        "body_ne": notification.message_ne,
        "data": notification.data,
        "url": notification.url,
        "ts": _stamp(notification.created_at),
        "read": notification.is_read,
    }


def notification_of(
    event: Event, user: User, texts: dict[str, Text], notification_id: str
) -> Notification:
    """Return what that user is told of an event, not numbered yet; ``texts`` are by language."""
    return Notification(
        id=notification_id,
        user_id=user.id,
        sequence=0,
        event_id=event.id,
        notification_type=event.kind,
        title=texts["en"].title,
        title_ne=texts["ne"].title,
        message=texts["en"].message,
        message_ne=texts["ne"].message,
        booking_id=event.booking_id,
        data=_data(event),
        created_at=event.at,
        user_timezone=user.timezone,
    )


class Ringer(Protocol):
    """Knows what people want to hear of, and rings those up who have no page open."""

    async def wishes_of(self, user_id: str) -> NotificationPreferences:
        """What that person does not want to hear of."""
        ...

    def ring(self, notification: Notification, user: User) -> None:
        """Ring the user up; never waits."""
        ...


class NotificationService:
    """Makes, lists and marks notifications. A ``ports.Receiver`` of all events."""

    def __init__(
        self,
        notifications: NotificationRepository,
        users: UserRepository,
        translator: Translator,
        bus: Bus,
        clock: Clock,
        ids: IdSource,
        ringer: Ringer,
    ) -> None:
        self._notifications = notifications
        self._users = users
        self._translator = translator
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._ringer = ringer
        self._badges: dict[str, object] = {}

    # -- events ---------------------------------------------------------------------------------

    async def on_event(self, event: Event) -> None:
        """Tell the recipients, each of them once however often the event comes."""
        for user_id in event.recipients:
            await self._notify(event, user_id)

    async def _notify(self, event: Event, user_id: str) -> None:
        user = await self._users.find(user_id)
        if user is None:
            return
        texts = compose(event, self._translator, ZoneInfo(user.timezone))
        wishes = await self._ringer.wishes_of(user_id)
        told = notification_of(event, user, texts, self._ids.new())
        if not wishes.wants(event.kind, Channel.LIVE):
            # It stands in the list and counts nowhere.
            told = replace(told, is_read=True, read_at=event.at)
        stored = await self._notifications.add(told)
        if stored is None:
            return
        if wishes.wants(event.kind, Channel.PUSH):
            self._ringer.ring(stored, user)
        self._bus.publish(user_topic(user_id), self.frame(stored))
        if name := job_event(event.kind):
            text = texts.get(user.language, texts["en"])
            await self._push(user_id, _job_frame(event, name, text, user.timezone))
        await self._push_badge(user_id)

    # -- reading --------------------------------------------------------------------------------

    async def list_page(
        self, actor: Actor, *, unread_only: bool, limit: int, after: SortKey | None
    ) -> Page[Notification]:
        """Return the actor's notifications, newest first."""
        return await self._notifications.list_page(
            actor.user_id, unread_only=unread_only, limit=limit, after=after
        )

    async def list_after(self, user_id: str, sequence: int, limit: int) -> list[Notification]:
        """Return what a client lacks that has seen all up to ``sequence``, ascending."""
        return await self._notifications.list_after(user_id, sequence, limit)

    async def list_before(
        self, user_id: str, sequence: int | None, limit: int
    ) -> list[Notification]:
        """Return the newest below a number (or of all), ascending."""
        page = await self._notifications.list_page(
            user_id,
            unread_only=False,
            limit=limit,
            after=None if sequence is None else (sequence,),
        )
        return list(reversed(page.rows))

    async def head(self, user_id: str) -> int:
        """Return the newest sequence number of the user's stream, 0 when it is empty."""
        return await self._notifications.head(user_id)

    async def unread_count(self, user_id: str) -> int:
        """Return how many the user has not read."""
        return await self._notifications.unread_count(user_id)

    async def mark_read(
        self,
        actor: Actor,
        *,
        ids: Collection[str] | None = None,
        up_to: int | None = None,
    ) -> int:
        """Mark the actor's own as read and return how many are left unread.

        Those of ``ids``, or all up to the sequence number ``up_to``, or with neither all there are.
        Ids of others' notifications change nothing. All devices of the actor are told.
        """
        if ids is None and up_to is None:
            up_to = await self.head(actor.user_id)
        changed = await self._notifications.mark_read(
            actor.user_id, self._clock.now(), ids=ids, up_to=up_to
        )
        if changed:
            frame: dict[str, Any] = {"type": "read"}
            if up_to is not None:
                frame["seq"] = up_to
            if ids is not None:
                frame["ids"] = list(ids)
            await self._push(actor.user_id, frame)
            await self._push_badge(actor.user_id)
        return await self.unread_count(actor.user_id)

    def frame(self, notification: Notification) -> bytes:
        """Return the finished ``notification`` frame for realtime clients."""
        return _encoder.encode(notification_fields(notification))

    @staticmethod
    def badge_frame(unread: int) -> bytes:
        """Return the finished ``badge`` frame: how many are unread."""
        return _encoder.encode({"type": "badge", "unread": unread})

    # -- pushing --------------------------------------------------------------------------------

    async def _push(self, user_id: str, frame: dict[str, Any]) -> None:
        self._bus.publish(user_topic(user_id), _encoder.encode(frame))

    async def _push_badge(self, user_id: str) -> None:
        # Counts that run at the same time may end in any order; only the last begun is told.
        turn = self._badges[user_id] = object()
        try:
            unread = await self.unread_count(user_id)
            if self._badges.get(user_id) is turn:
                self._bus.publish(user_topic(user_id), self.badge_frame(unread))
        finally:
            if self._badges.get(user_id) is turn:
                del self._badges[user_id]


def _data(event: Event) -> dict[str, str]:
    # What a page needs to open or refresh the thing concerned.
    names = ("status", "room_id") if event.booking_id else ("status", "pandit_id", "series_id")
    data = {
        str(name): event.params[name] for name in (*names, *_OF_PAYMENTS) if name in event.params
    }
    if event.booking_id is not None:
        data["booking_id"] = event.booking_id
    return data


def _job_frame(event: Event, name: str, text: Text, timezone: str) -> dict[str, Any]:
    return {
        "type": "job_update",
        "event": name,
        "job_id": event.booking_id,
        "provider_id": event.params.get("pandit_id", ""),
        "provider_name": event.params.get("pandit", ""),
        "message": text.message,
        "timestamp": _local(event.at, timezone),
    }


def _local(at: datetime, timezone: str) -> datetime:
    return at.astimezone(ZoneInfo(timezone))


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
