"""What people are told of each event, and how dates stand in those sentences.

A sentence takes only names, the service and its time from an event; whatever else an event may
carry, an address or a phone number cannot get into a notification.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from server.domain.booking import NOT_AVAILABLE, NOT_PAID, OTHER_CHOSEN
from server.domain.events import Event, EventKind
from server.domain.money import NPR
from server.domain.ports.world import Translator
from server.domain.texts import N_, written_clock, written_day

_DEVANAGARI: Final = str.maketrans("0123456789", "०१२३४५६७८९")
_LANGUAGES: Final = ("en", "ne")


@dataclass(frozen=True, slots=True)
class Wording:
    """Title and sentence of one kind of event, marked for translation."""

    title: str
    message: str


WORDINGS: Final = {
    EventKind.BOOKING_CREATED: Wording(
        N_("New booking request"), N_("{customer} asks you for {service} on {when}.")
    ),
    EventKind.BOOKING_ACCEPTED: Wording(
        N_("Booking accepted"), N_("{pandit} has accepted {service} on {when}.")
    ),
    EventKind.BOOKING_REJECTED: Wording(
        N_("Booking not accepted"), N_("{pandit} could not accept {service} on {when}.")
    ),
    EventKind.BOOKING_ARRIVED: Wording(
        N_("Your pandit is there"), N_("{pandit} has arrived for {service}.")
    ),
    EventKind.BOOKING_STARTED: Wording(N_("Puja started"), N_("{pandit} has begun {service}.")),
    EventKind.BOOKING_COMPLETED: Wording(
        N_("Puja completed"), N_("{pandit} has completed {service}. Tell others how it was.")
    ),
    EventKind.BOOKING_CANCELLED: Wording(
        N_("Booking cancelled"), N_("The booking of {service} on {when} has been cancelled.")
    ),
    EventKind.BOOKING_FAILED: Wording(
        N_("The booking could not go ahead"),
        N_("No pandit could take {service} on {when}. Please choose another time."),
    ),
    EventKind.BOOKING_REOFFERED: Wording(
        N_("Another pandit asked"), N_("We have now asked {pandit} for {service} on {when}.")
    ),
    EventKind.BOOKING_PASSED_ON: Wording(
        N_("Request no longer open"),
        N_("You did not answer in time, so we ask another pandit for {service} on {when}."),
    ),
    EventKind.BOOKING_RESCHEDULED: Wording(
        N_("Booking rescheduled"), N_("{service} will now be held on {when}.")
    ),
    EventKind.BOOKING_TIME_PROPOSED: Wording(
        N_("Another time proposed"),
        N_("Could {service} be held on {proposed} instead of {when}? Please agree or decline."),
    ),
    EventKind.BOOKING_TIME_DECLINED: Wording(
        N_("The booked time stays"),
        N_("{service} will not be moved to {proposed}. It stays on {when}."),
    ),
    EventKind.BOOKING_TIME_LAPSED: Wording(
        N_("The booked time stays"),
        N_("Nobody answered the proposal of {proposed}, so {service} stays on {when}."),
    ),
    EventKind.BOOKING_SAMAGRI_PROPOSED: Wording(
        N_("Other samagri wanted"),
        N_("{customer} asks for other samagri for {service} on {when}. Please agree or decline."),
    ),
    EventKind.BOOKING_SAMAGRI_AGREED: Wording(
        N_("The samagri is agreed"),
        N_("{pandit} agrees to your samagri for {service} on {when}. The total is now {amount}."),
    ),
    EventKind.BOOKING_SAMAGRI_DECLINED: Wording(
        N_("The samagri stays as it is"),
        N_("The samagri and the price of {service} on {when} stay as they are."),
    ),
    EventKind.BOOKING_SAMAGRI_LAPSED: Wording(
        N_("The samagri stays as it is"),
        N_("Other samagri for {service} on {when} was not agreed to in time. The list stays."),
    ),
    EventKind.BOOKING_REMINDER: Wording(
        N_("Puja ahead"), N_("{service} with {pandit} begins on {when}.")
    ),
    EventKind.PAYMENT_SUCCESS: Wording(
        N_("Payment received"), N_("Your payment of {amount} for {service} has arrived.")
    ),
    EventKind.PAYMENT_FAILED: Wording(
        N_("Payment failed"),
        N_("Your payment of {amount} for {service} did not go through. Nothing was taken."),
    ),
    EventKind.PAYMENT_REFUNDED: Wording(
        N_("Money given back"), N_("{amount} for {service} has been given back to you.")
    ),
    EventKind.PAYMENT_REVIEW_WANTED: Wording(
        N_("Payment to look at"),
        N_("A payment of {amount} for {service} needs somebody to look at it."),
    ),
    EventKind.RECURRENCE_CONFLICT: Wording(
        N_("One day could not be booked"),
        N_("A repeated puja could not be booked on {when}. Please move or skip that day."),
    ),
    EventKind.NEW_MESSAGE: Wording(N_("New message"), N_("{sender} has sent you a message.")),
    EventKind.REVIEW_SUBMITTED: Wording(
        N_("New review to check"), N_("{customer} has reviewed {pandit} for {service}.")
    ),
    EventKind.REVIEW_REPORTED: Wording(
        N_("Review reported"), N_("A review of {pandit} has been reported. Please look at it.")
    ),
    EventKind.REVIEW_RECEIVED: Wording(
        N_("New review"), N_("{customer} has reviewed {service}: {stars} of 5 stars.")
    ),
    EventKind.REVIEW_PUBLISHED: Wording(
        N_("Your review is published"),
        N_("Your review of {pandit} for {service} can now be read by all. Thank you!"),
    ),
    EventKind.REVIEW_WITHDRAWN: Wording(
        N_("Your review is not shown"),
        N_("Your review of {pandit} for {service} is not shown to others."),
    ),
    EventKind.REVIEW_REPLIED: Wording(
        N_("Answer to your review"), N_("{pandit} has answered your review of {service}.")
    ),
    EventKind.PANDIT_REGISTERED: Wording(
        N_("New pandit to verify"), N_("{pandit} has registered and waits for verification.")
    ),
    EventKind.PANDIT_RESUBMITTED: Wording(
        N_("New papers to check"), N_("{pandit} has sent new papers and waits for verification.")
    ),
    EventKind.PANDIT_VERIFIED: Wording(
        N_("Profile approved"),
        N_("Your profile has been approved. Families can now find and book you."),
    ),
    EventKind.PANDIT_REJECTED: Wording(
        N_("Profile not approved"), N_("Your profile has not been approved. Reason: {notes}")
    ),
}
"""Every kind that is stored as a notification; the others are only pushed."""

_REJECTED_WITHOUT_NOTES: Final = Wording(
    N_("Profile not approved"),
    N_("Your profile has not been approved. Please check your papers and send them again."),
)
_NOT_PAID: Final = Wording(
    N_("Booking not paid"),
    N_("{service} on {when} was not paid in time, so the booking has ended. The time is free."),
)
_TAKEN_BACK: Final = Wording(
    N_("Request no longer open"),
    N_("You take no bookings at present, so we ask another pandit for {service} on {when}."),
)
_OTHER_CHOSEN: Final = Wording(
    N_("Request no longer open"),
    N_("{customer} has chosen another pandit for {service} on {when}."),
)
_BY_REASON: Final = {
    (EventKind.BOOKING_FAILED, NOT_PAID): _NOT_PAID,
    (EventKind.BOOKING_PASSED_ON, NOT_AVAILABLE): _TAKEN_BACK,
    (EventKind.BOOKING_PASSED_ON, OTHER_CHOSEN): _OTHER_CHOSEN,
}
_JOB_EVENTS: Final = {
    EventKind.BOOKING_ACCEPTED: "JOB_ACCEPTED",
    EventKind.BOOKING_REJECTED: "JOB_REJECTED",
}


@dataclass(frozen=True, slots=True)
class Text:
    """Title and sentence in one language."""

    title: str
    message: str


def compose(event: Event, translator: Translator, zone: ZoneInfo) -> dict[str, Text]:
    """Return the texts of an event by language code, its time as the recipient's clock shows it."""
    wording = WORDINGS[event.kind]
    if event.kind is EventKind.PANDIT_REJECTED and not event.params.get("notes", "").strip():
        wording = _REJECTED_WITHOUT_NOTES
    wording = _BY_REASON.get((event.kind, event.params.get("reason", "")), wording)
    return {
        language: Text(
            translator.text(language, wording.title),
            translator.text(language, wording.message, **_values(event, language, zone)),
        )
        for language in _LANGUAGES
    }


def job_event(kind: EventKind) -> str | None:
    """Return the event's name for clients of the older shape, None where they know none."""
    return _JOB_EVENTS.get(kind)


def written_instant(at: datetime, language: str) -> str:
    """Write a local instant as people do: its day as ``written_day`` has it, then the clock.

    ``at`` is in the reader's zone.
    """
    return f"{written_day(at.date(), language)}, {written_clock(at, language)}"


def written_amount(minor: int, currency: str, language: str) -> str:
    """Write a sum as people do: "Rs. 2,500" or "रु. २,५००"; of others the code stands before it."""
    whole, rest = divmod(minor, 100)
    digits = str(whole)
    head, tail = digits[:-3], digits[-3:]
    while head:
        # By thousands once, then by hundreds: 12,34,567.
        head, tail = head[:-2], f"{head[-2:]},{tail}"
    if rest:
        tail += f".{rest:02}"
    sign = currency if currency != NPR else "रु." if language == "ne" else "Rs."
    return f"{sign} {tail.translate(_DEVANAGARI) if language == 'ne' else tail}"


def _values(event: Event, language: str, zone: ZoneInfo) -> dict[str, str | int]:
    given = event.params
    values: dict[str, str | int] = {
        name: given.get(name, "") for name in ("customer", "notes", "stars")
    }
    for name in ("service", "pandit", "sender"):
        values[name] = (language == "ne" and given.get(f"{name}_ne")) or given.get(name, "")
    for name, param in (("when", "starts_at"), ("proposed", "proposed_at")):
        instant = given.get(param)
        local = datetime.fromisoformat(instant).astimezone(zone) if instant else None
        values[name] = written_instant(local, language) if local else ""
    if "amount" in given:
        values["amount"] = written_amount(int(given["amount"]), given.get("currency", ""), language)
    return values
