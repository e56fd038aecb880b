"""Ringing people up: what they want to hear of, and messages to browsers of those who are away.

A message is an extra: the notification itself is stored before, and read again when its owner comes
back. So a message is tried a few times and then let go, the queue is bounded, and one that finds it
full is dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from server.domain.account import Actor, Role, User
from server.domain.errors import NotFound, Unavailable
from server.domain.events import SERVICES_ONLY, EventKind
from server.domain.notification import (
    Channel,
    Notification,
    NotificationPreferences,
    PushMessage,
    PushOutcome,
    PushSubscription,
    check_subscription,
    is_urgent,
    life_of,
    subscription_id,
)
from server.domain.ports.accounts import SessionRepository, UserRepository
from server.domain.ports.notifications import (
    NotificationPreferenceRepository,
    NotificationRepository,
    PushSender,
    PushSubscriptionRepository,
)
from server.domain.ports.processes import Bus, PresenceBoard
from server.domain.ports.world import Clock, Translator
from server.domain.texts import N_
from server.services.accounts import CONTROL_TOPIC
from server.tasks import end_all

_log: Final = logging.getLogger(__name__)
_MAX_WAITING: Final = 2000
_SENDERS: Final = 4
_FINISH_SECONDS: Final = 3.0
_DIGEST_ROWS: Final = 100
_DIGEST_LIFE: Final = 12 * 3600
_DIGEST_TITLE: Final = N_("Unread notifications")
_CUSTOMER: Final = frozenset(
    {
        EventKind.BOOKING_ACCEPTED,
        EventKind.BOOKING_REJECTED,
        EventKind.BOOKING_REOFFERED,
        EventKind.BOOKING_ARRIVED,
        EventKind.BOOKING_STARTED,
        EventKind.BOOKING_COMPLETED,
        EventKind.BOOKING_SAMAGRI_AGREED,
        EventKind.PAYMENT_SUCCESS,
        EventKind.PAYMENT_FAILED,
        EventKind.PAYMENT_REFUNDED,
        EventKind.REVIEW_PUBLISHED,
        EventKind.REVIEW_WITHDRAWN,
        EventKind.REVIEW_REPLIED,
    }
)
_PANDIT: Final = frozenset(
    {
        EventKind.BOOKING_CREATED,
        EventKind.BOOKING_PASSED_ON,
        EventKind.BOOKING_SAMAGRI_PROPOSED,
        EventKind.PANDIT_VERIFIED,
        EventKind.PANDIT_REJECTED,
        EventKind.REVIEW_RECEIVED,
    }
)
_ADMIN: Final = frozenset(
    {
        EventKind.PANDIT_REGISTERED,
        EventKind.PANDIT_RESUBMITTED,
        EventKind.PAYMENT_REVIEW_WANTED,
        EventKind.REVIEW_SUBMITTED,
        EventKind.REVIEW_REPORTED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPolicy:
    """``hosts`` are the push services that may be called; see ``check_subscription``.

    ``digest_hour`` is the hour of the day, in each person's own zone, of the digest.
    """

    hosts: tuple[str, ...]
    digest_hour: int


def kinds_for(role: Role) -> tuple[EventKind, ...]:
    """What people of that role are told of, in the order of the list of kinds."""
    others = {
        Role.USER: _PANDIT | _ADMIN,
        Role.PANDIT: _CUSTOMER | _ADMIN,
        Role.ADMIN: _PANDIT | _CUSTOMER,
    }[role]
    return tuple(kind for kind in EventKind if kind not in others | SERVICES_ONLY)


class PushService:
    """Preferences of channels, subscriptions of browsers, and the messages to them.

    ``sender`` is None where messages are switched off; then browsers cannot subscribe.
    """

    def __init__(
        self,
        *,
        subscriptions: PushSubscriptionRepository,
        preferences: NotificationPreferenceRepository,
        notifications: NotificationRepository,
        users: UserRepository,
        sessions: SessionRepository,
        board: PresenceBoard,
        sender: PushSender | None,
        bus: Bus,
        translator: Translator,
        clock: Clock,
        policy: PushPolicy,
    ) -> None:
        self._subscriptions = subscriptions
        self._preferences = preferences
        self._notifications = notifications
        self._users = users
        self._sessions = sessions
        self._board = board
        self._sender = sender
        self._bus = bus
        self._translator = translator
        self._clock = clock
        self._policy = policy
        self._waiting: asyncio.Queue[tuple[User, PushMessage]] = asyncio.Queue(_MAX_WAITING)
        self._ended: asyncio.Queue[str] = asyncio.Queue(_MAX_WAITING)
        self.dropped = 0

    # -- what people want -----------------------------------------------------------------------

    async def preferences(self, actor: Actor) -> NotificationPreferences:
        """What the actor does not want to hear of."""
        return await self._preferences.find(actor.user_id)

    async def set_preferences(
        self,
        actor: Actor,
        muted: Collection[tuple[EventKind, Channel]],
        *,
        wants_digest: bool,
        wants_proposals: bool,
    ) -> NotificationPreferences:
        """Say what one does not want to hear of."""
        before = await self._preferences.find(actor.user_id)
        after = replace(
            before,
            muted=frozenset(muted),
            wants_digest=wants_digest,
            wants_proposals=wants_proposals,
        )
        await self._preferences.put(after)
        return after

    async def wishes_of(self, user_id: str) -> NotificationPreferences:
        """What that person does not want to hear of."""
        return await self._preferences.find(user_id)

    # -- browsers -------------------------------------------------------------------------------

    @property
    def public_key(self) -> str:
        """What browsers subscribe with. Raises ``NotFound`` where messages are switched off."""
        if self._sender is None:
            raise NotFound
        return self._sender.public_key

    @property
    def is_enabled(self) -> bool:
        """Whether this server sends messages to browsers."""
        return self._sender is not None

    async def subscribe(
        self, actor: Actor, endpoint: str, p256dh: str, auth: str
    ) -> PushSubscription:
        """Have messages sent to a browser until it signs out; saying it again changes nothing.

        A browser belongs to who is signed in there: it is taken from whoever was before.

        Raises
        ------
        Invalid
            If the address belongs to no known push service, or the keys are none.
        NotFound
            Where messages are switched off.
        """
        if self._sender is None:
            raise NotFound
        check_subscription(endpoint, p256dh, auth, self._policy.hosts)
        subscription = PushSubscription(
            id=subscription_id(endpoint),
            user_id=actor.user_id,
            session_id=actor.session_id,
            endpoint=endpoint,
            p256dh=p256dh,
            auth=auth,
            created_at=self._clock.now(),
        )
        await self._subscriptions.put(subscription)
        return subscription

    async def unsubscribe(self, actor: Actor, endpoint: str) -> None:
        """Send no more messages to that browser; one that is not the actor's stays."""
        await self._subscriptions.remove(subscription_id(endpoint), actor.user_id)

    # -- ringing --------------------------------------------------------------------------------

    def ring(self, notification: Notification, user: User) -> None:
        """Have a message sent to the user's browsers if he is away; never waits."""
        if self._sender is None:
            return
        is_nepali = user.language == "ne"
        message = PushMessage(
            title=notification.title_ne if is_nepali else notification.title,
            body=notification.message_ne if is_nepali else notification.message,
            url=notification.url,
            # A later word about the same thing takes the place of the earlier.
            tag=notification.data.get("room_id") or notification.booking_id or notification.id,
            language=user.language,
            ttl_seconds=life_of(notification.notification_type),
            is_urgent=is_urgent(notification.notification_type),
        )
        self._queue(user, message)

    def _queue(self, user: User, message: PushMessage) -> None:
        try:
            self._waiting.put_nowait((user, message))
        except asyncio.QueueFull:
            self.dropped += 1
            if self.dropped % 100 == 1:
                _log.warning("push_queue_full", extra={"dropped": self.dropped})

    async def send_digests(self) -> int:
        """Remind people once a day of what they have not read; for the clock.

        Returns how many were reminded.
        """
        if self._sender is None:
            return 0
        told, after = 0, ""
        while user_ids := await self._subscriptions.list_users(after, _DIGEST_ROWS):
            after = user_ids[-1]
            users = await self._users.find_many(user_ids)
            local = {user.id: self._local_time(user) for user in users.values() if user.is_active}
            due = [each for each, now in local.items() if now.hour == self._policy.digest_hour]
            wishes = await self._preferences.find_many(due) if due else {}
            for user_id, wish in wishes.items():
                today = local[user_id].date()
                if wish.wants_digest and wish.digest_on != today:
                    told += await self._digest(users[user_id], today)
        return told

    def _local_time(self, user: User) -> datetime:
        return self._clock.now().astimezone(ZoneInfo(user.timezone))

    async def _digest(self, user: User, today: date) -> bool:
        unread = await self._notifications.unread_count(user.id)
        if not unread or not await self._preferences.take_digest(user.id, today):
            return False
        text = self._translator.plural(
            user.language,
            "There is {n} notification that you have not read.",
            "There are {n} notifications that you have not read.",
            unread,
        )
        message = PushMessage(
            title=self._translator.text(user.language, _DIGEST_TITLE),
            body=text,
            url="/notifications/",
            tag="digest",
            language=user.language,
            ttl_seconds=_DIGEST_LIFE,
        )
        self._queue(user, message)
        return True

    # -- sending --------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send while the context lasts; in the end what waits gets a moment more."""
        tasks = [
            *(asyncio.create_task(self._send_all(), name="push") for _ in range(_SENDERS)),
            asyncio.create_task(self._forget_ended(), name="push-ended"),
        ]
        await self._bus.subscribe(CONTROL_TOPIC, self._on_control)
        try:
            yield
        finally:
            self._bus.unsubscribe(CONTROL_TOPIC, self._on_control)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._waiting.join(), _FINISH_SECONDS)
            await end_all(tasks)

    async def _send_all(self) -> None:
        while True:
            user, message = await self._waiting.get()
            try:
                await self._send(user, message)
            except Unavailable:
                _log.warning("push_without_database")
            except Exception:
                _log.exception("push_failed")
            finally:
                self._waiting.task_done()

    async def _send(self, user: User, message: PushMessage) -> None:
        subscriptions = await self._subscriptions.list_of(user.id)
        if not subscriptions or self._sender is None:
            return
        if (await self._board.whereabouts([user.id])).get(user.id):
            # He has a page open, and sees it there.
            return
        for subscription in subscriptions:
            session = await self._sessions.find(subscription.session_id)
            if session is None or session.user_id != user.id:
                outcome = PushOutcome.GONE
            elif session.generation < user.generation:
                # It holds no more, though a crash has left it there; or it is just carried over.
                continue
            else:
                outcome = await self._sender.send(subscription, message)
            if outcome is PushOutcome.GONE:
                await self._subscriptions.remove(subscription.id)

    def _on_control(self, payload: bytes) -> None:
        """Hear that a session has ended; what is lost here is found out at the next message."""
        control = json.loads(payload)
        if control.get("type") == "session_ended":
            with contextlib.suppress(asyncio.QueueFull):
                self._ended.put_nowait(control["session_id"])

    async def _forget_ended(self) -> None:
        while True:
            session_id = await self._ended.get()
            with contextlib.suppress(Unavailable):
                await self._subscriptions.remove_session(session_id)
