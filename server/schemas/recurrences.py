"""Bookings that come again, on the wire."""

from __future__ import annotations

from datetime import date, datetime, time

from msgspec import Struct

from server.domain.recurrence import Frequency, Occurrence, OccurrenceState, Series
from server.schemas.base import ClockTime, Reader, Request, bs_text


class MoveRequest(Request, frozen=True, kw_only=True):
    """Another time for one day."""

    booking_date: date
    booking_time: ClockTime

    @property
    def at(self) -> time:
        """The time of day."""
        return time.fromisoformat(self.booking_time)


class EndRequest(Request, frozen=True, kw_only=True):
    """``with_booked``: also call off the bookings that are still ahead."""

    with_booked: bool = False


class OccurrenceResponse(Struct, frozen=True, kw_only=True):
    """One day of a series. ``reason`` is the code of why it could not be booked."""

    number: int
    date: date
    date_bs: str | None
    time: str
    state: OccurrenceState
    booking_id: str | None
    reason: str


class SeriesResponse(Struct, frozen=True, kw_only=True):
    """A booking that comes again."""

    id: str
    service_id: str
    frequency: Frequency
    is_ended: bool
    occurrences: list[OccurrenceResponse]
    created_at: datetime


def present_series(series: Series, reader: Reader) -> SeriesResponse:
    """Show a series to its customer."""
    return SeriesResponse(
        id=series.id,
        service_id=series.wish.service_id,
        frequency=series.frequency,
        is_ended=series.is_ended,
        occurrences=[_present(each) for each in series.occurrences],
        created_at=reader.local(series.created_at),
    )


def _present(each: Occurrence) -> OccurrenceResponse:
    return OccurrenceResponse(
        number=each.number,
        date=each.on,
        date_bs=bs_text(each.on),
        time=f"{each.at:%H:%M}",
        state=each.state,
        booking_id=each.booking_id,
        reason=each.reason,
    )
