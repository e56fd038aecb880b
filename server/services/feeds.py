"""Bookings for people's own calendars: one at a time, or all of them under a private address.

The address holds a token that stands for reading these and nothing else; ADR 19 says why. Whoever
asks by it is given what its owner may see now, not what he could see when it was made.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass

from server.domain.account import Actor, Role, User
from server.domain.booking import Booking
from server.domain.errors import Forbidden, NotFound
from server.domain.feed import AHEAD, BEHIND, MOST, TOKEN_BYTES, CalendarFeed, feed_hash
from server.domain.ports.accounts import UserRepository
from server.domain.ports.bookings import BookingRepository, FeedRepository
from server.domain.ports.world import Clock


@dataclass(frozen=True, slots=True)
class Agenda:
    """Bookings, and as whom they are read."""

    reader: Actor
    bookings: tuple[Booking, ...]


class FeedService:
    """The use cases of calendar feeds, for customers and pandits."""

    def __init__(
        self,
        feeds: FeedRepository,
        users: UserRepository,
        bookings: BookingRepository,
        clock: Clock,
    ) -> None:
        self._feeds = feeds
        self._users = users
        self._bookings = bookings
        self._clock = clock

    async def find(self, actor: Actor) -> CalendarFeed | None:
        """Return the actor's feed, None when it is switched off."""
        feed, user = await asyncio.gather(
            self._feeds.find(actor.user_id), self._users.find(actor.user_id)
        )
        return feed if feed and user and _holds(feed, user) else None

    async def renew(self, actor: Actor, token: str = "") -> tuple[CalendarFeed, str]:
        """Switch the feed on under a new token; the one before it holds no more.

        It is ``token``, else one that is drawn here; it is returned this once and not kept. Raises
        ``Forbidden`` for admins, who have no bookings of their own.
        """
        if actor.is_admin:
            raise Forbidden
        token = token or secrets.token_urlsafe(TOKEN_BYTES)
        feed = CalendarFeed(
            id=actor.user_id, token_hash=feed_hash(token), created_at=self._clock.now()
        )
        await self._feeds.put(feed)
        return feed, token

    async def switch_off(self, actor: Actor) -> None:
        """Let the address hold no more; without one nothing happens."""
        await self._feeds.remove(actor.user_id)

    async def read(self, token: str) -> Agenda:
        """Return the bookings of the token's owner, the next one first, ``MOST`` at most.

        Raises ``NotFound`` for a token that holds no more or never did, and for a closed account.
        """
        feed = await self._feeds.find_by_hash(feed_hash(token))
        user = await self._users.find(feed.id) if feed else None
        if feed is None or user is None or not _holds(feed, user) or user.role is Role.ADMIN:
            raise NotFound
        now = self._clock.now()
        bookings = await self._bookings.list_between(
            user.id,
            as_pandit=user.role is Role.PANDIT,
            first=now - BEHIND,
            last=now + AHEAD,
            limit=MOST,
        )
        reader = Actor(
            user_id=user.id,
            role=user.role,
            session_id="",
            full_name=user.full_name,
            language=user.language,
            timezone=user.timezone,
        )
        return Agenda(reader, bookings)


def _holds(feed: CalendarFeed, user: User) -> bool:
    """Whether the account lets the address hold.

    One that was made before the phone was verified may be in the hands of somebody else.
    """
    verified_at = user.phone_verified_at
    return user.is_active and (verified_at is None or feed.created_at >= verified_at)
