"""Calendar feeds on the wire."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from server.domain.feed import CalendarFeed
from server.schemas.base import Reader


class FeedResponse(Struct, frozen=True, kw_only=True):
    """Whether one's bookings can be read under a private address, and since when."""

    is_on: bool
    created_at: datetime | None


class NewFeedResponse(Struct, frozen=True, kw_only=True):
    """A new address; it is told this once. ``webcal_url`` opens calendar programs."""

    url: str
    webcal_url: str
    created_at: datetime


def present_feed(feed: CalendarFeed | None, reader: Reader) -> FeedResponse:
    """Show whether there is a feed."""
    return FeedResponse(
        is_on=feed is not None, created_at=reader.local(feed.created_at) if feed else None
    )


def present_new_feed(
    feed: CalendarFeed, token: str, site_url: str, reader: Reader
) -> NewFeedResponse:
    """Show the address of a feed, once."""
    url = f"{site_url}/calendar/feeds/{token}.ics"
    return NewFeedResponse(
        url=url,
        webcal_url=f"webcal://{url.partition('://')[2]}",
        created_at=reader.local(feed.created_at),
    )
