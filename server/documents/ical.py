"""Bookings as iCalendar (RFC 5545, RFC 7986), for people's own calendars.

All times are UTC, so no zone has to be described and none can be wrong. An event keeps its UID for
ever; its SEQUENCE is the booking's version, which only rises, and its DTSTAMP the booking's last
change, so the same bookings give the same bytes. No phone number, price or note stands in it: such
files are copied to servers of others.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Final

from icalendar import Calendar, Event

from server.domain.account import Actor
from server.domain.booking import Booking, BookingStatus, ServiceLocation, sees_address
from server.domain.ports.world import Translator
from server.domain.texts import N_

_PRODUCT: Final = "-//PanditYatra//Bookings//EN"
_REFRESH: Final = timedelta(hours=1)
_STATUSES: Final = {
    BookingStatus.PENDING: "TENTATIVE",
    BookingStatus.ACCEPTED: "CONFIRMED",
    BookingStatus.IN_PROGRESS: "CONFIRMED",
    BookingStatus.COMPLETED: "CONFIRMED",
    BookingStatus.CANCELLED: "CANCELLED",
    BookingStatus.FAILED: "CANCELLED",
}
_WHERE: Final = {
    ServiceLocation.ONLINE: N_("Online"),
    ServiceLocation.PANDIT_LOCATION: N_("At the pandit's place"),
}
_WAITING: Final = N_("Not confirmed yet")


def calendar_of(
    translator: Translator,
    bookings: Sequence[Booking],
    reader: Actor,
    language: str,
    site_url: str,
) -> bytes:
    """Write a calendar; see :meth:`server.documents.calendars.CalendarPrinter.calendar`."""
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("x-wr-calname", "PanditYatra")
    calendar.add("refresh-interval", _REFRESH, parameters={"value": "DURATION"})
    calendar.add("x-published-ttl", _REFRESH)
    for booking in bookings:
        calendar.add_component(_event(translator, booking, reader, language, site_url))
    return bytes(calendar.to_ical())


def _event(
    translator: Translator, booking: Booking, reader: Actor, language: str, site_url: str
) -> Event:
    text = functools.partial(translator.text, language)
    is_customer = reader.user_id == booking.user_id
    service = booking.service_name_ne if language == "ne" else booking.service_name
    pandit = booking.pandit_name_ne if language == "ne" else ""
    other = (pandit or booking.pandit_name) if is_customer else booking.customer_name
    summary = text(N_("{service} with {name}"), service=service, name=other)
    if booking.status is BookingStatus.PENDING:
        summary = f"{summary} ({text(_WAITING)})"
    event = Event()
    event.add("uid", f"booking-{booking.id}@pandityatra")
    event.add("dtstamp", booking.updated_at.astimezone(UTC))
    event.add("last-modified", booking.updated_at.astimezone(UTC))
    event.add("created", booking.created_at.astimezone(UTC))
    event.add("sequence", booking.version)
    event.add("status", _STATUSES[booking.status])
    event.add("dtstart", booking.starts_at.astimezone(UTC))
    event.add("dtend", booking.ends_at.astimezone(UTC))
    event.add("summary", summary)
    event.add("url", f"{site_url}/bookings/{booking.id}/")
    if where := _where(translator, booking, reader, language):
        event.add("location", where)
    return event


def _where(translator: Translator, booking: Booking, reader: Actor, language: str) -> str:
    if booking.service_location in _WHERE:
        return translator.text(language, _WHERE[booking.service_location])
    place = booking.location
    address = place.address if sees_address(booking, reader) else ""
    return ", ".join(part for part in (address, place.area, place.city) if part)
