"""Errors become answers here and nowhere else.

One table, looked up along the class hierarchy, gives for each domain error the HTTP status, the
texts and, for sockets, whether it answers one frame or closes the connection. An error that is not
in the table is a bug: it is logged with its trace and answered 500 with nothing but the request's
id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from server.domain import errors
from server.domain.ports.world import Translator
from server.i18n import N_

CONTENT_TYPE: Final = "application/problem+json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one class of error is answered. ``close_code`` is None when a socket stays open."""

    status: int
    title: str
    detail: str
    close_code: int | None = None


TABLE: Final[dict[type[errors.DomainError], Kind]] = {
    errors.Malformed: Kind(
        400, N_("Unreadable request"), N_("The request could not be read. Check its format.")
    ),
    errors.Invalid: Kind(
        422, N_("Please check your input"), N_("Some fields need correcting; see the list.")
    ),
    errors.NotBookable: Kind(
        422,
        N_("This time cannot be booked"),
        N_("The pandit cannot be booked at that time. Choose one of the free times."),
    ),
    errors.NotSignedIn: Kind(
        401, N_("Not signed in"), N_("Sign in and try again."), close_code=4401
    ),
    errors.InvalidCredentials: Kind(
        401,
        N_("Sign-in failed"),
        N_("The details do not match. Check them and try again."),
        close_code=4401,
    ),
    errors.Forbidden: Kind(
        403, N_("Not allowed"), N_("Your account may not do this."), close_code=4403
    ),
    errors.UnlockNeeded: Kind(
        403,
        N_("Contact not unlocked"),
        N_("Book this pandit or unlock his contact first. Then you can write to him."),
        close_code=4403,
    ),
    errors.NotFound: Kind(
        404, N_("Not found"), N_("There is no such thing, or it is not yours."), close_code=4404
    ),
    errors.Conflict: Kind(
        409, N_("Not possible now"), N_("The present state does not allow this.")
    ),
    errors.SlotTaken: Kind(
        409,
        N_("This time has just been taken"),
        N_("Another booking holds that time. Choose one of the free times."),
    ),
    errors.IllegalTransition: Kind(
        409,
        N_("Not possible in this state"),
        N_("The booking has changed meanwhile, so this cannot be done."),
    ),
    errors.TooFarApart: Kind(
        409,
        N_("The way is too long"),
        N_("You would not get there in time from another booking of yours that you have accepted."),
    ),
    errors.NotOnTheWay: Kind(
        409, N_("Too early"), N_("This can be done shortly before the puja, on its day.")
    ),
    errors.TooEarly: Kind(
        409, N_("Too early"), N_("The puja can only be started shortly before its time.")
    ),
    errors.ItemRequired: Kind(
        409,
        N_("This item belongs to the puja"),
        N_("The puja cannot be held without this item, so it stays on the list."),
    ),
    errors.ProposalChanged: Kind(
        409,
        N_("This proposal is no longer open"),
        N_("What was proposed has been changed or ended meanwhile. Please look at it again."),
    ),
    errors.ConcurrentChange: Kind(
        409,
        N_("Somebody else was faster"),
        N_("This was changed at the same time. Look at it again and repeat."),
    ),
    errors.AlreadyExists: Kind(409, N_("Already in use"), N_("This is already in use.")),
    errors.RoomClosed: Kind(
        409,
        N_("This chat is closed"),
        N_("The chat of this booking can still be read, but not written."),
        close_code=4410,
    ),
    errors.PapersRelied: Kind(
        409,
        N_("This certificate stays"),
        N_("Your approval rests on this certificate, so it cannot be removed. You can add others."),
    ),
    errors.ClientIdConflict: Kind(
        409,
        N_("Message id used twice"),
        N_("Another message was already sent under this client id."),
    ),
    errors.GatesFailed: Kind(
        409,
        N_("This model did not pass its tests"),
        N_("Its training found it too weak to serve. Failed tests: {gates}."),
    ),
    errors.ModelRefused: Kind(
        422,
        N_("This model cannot serve"),
        N_("It is damaged or does not fit this server ({fault}). The present one stays."),
    ),
    errors.PaymentDue: Kind(
        409,
        N_("Not paid yet"),
        N_("This booking waits for the customer's payment. It can be answered once it is paid."),
    ),
    errors.PaymentOpen: Kind(
        409,
        N_("A payment is under way"),
        N_("The price cannot change while it is being paid. Finish or cancel the payment first."),
    ),
    errors.OwnAccount: Kind(
        409,
        N_("This is your own account"),
        N_("Another administrator has to do this, so that nobody locks himself out."),
    ),
    errors.LastAdmin: Kind(
        409,
        N_("An administrator has to be left"),
        N_("Your own account was closed at the same time. One administrator always stays."),
    ),
    errors.AlreadyPaid: Kind(
        409, N_("Already paid"), N_("This has been paid already. Nothing more is due.")
    ),
    errors.TooManyAttempts: Kind(
        409,
        N_("Too many attempts"),
        N_("There were too many attempts to pay this. Please contact us."),
    ),
    errors.TooManyDrafts: Kind(
        409,
        N_("Too many unfinished bookings"),
        N_("You have {most} unfinished bookings. Finish one of them, or drop it."),
    ),
    errors.TooManyOpen: Kind(
        409,
        N_("Too many open bookings"),
        N_(
            "{most} of your bookings are not paid or not answered yet. Pay for one, wait for an "
            "answer, or cancel one first."
        ),
    ),
    errors.RefundRefused: Kind(
        409, N_("Cannot be refunded"), N_("So much of this payment cannot be given back.")
    ),
    errors.InsufficientBalance: Kind(
        409, N_("Not enough balance"), N_("The balance does not hold so much.")
    ),
    errors.RequestInProgress: Kind(
        409,
        N_("Still working on it"),
        N_("The first request with this key is still running. Try again shortly."),
    ),
    errors.KeyReused: Kind(
        422,
        N_("Idempotency key used twice"),
        N_("This idempotency key came before with another request."),
    ),
    errors.TooLarge: Kind(413, N_("Too large"), N_("At most {limit} kB are accepted here.")),
    errors.UnsupportedMedia: Kind(
        415, N_("Unsupported format"), N_("This content type is not accepted here.")
    ),
    errors.RateLimited: Kind(
        429, N_("Too many requests"), N_("Please wait {seconds} s and try again.")
    ),
    errors.Unavailable: Kind(
        503, N_("Please try again shortly"), N_("A part of the service is away for a moment.")
    ),
    errors.StoreUnavailable: Kind(
        503,
        N_("Please try again shortly"),
        N_("The database is away for a moment. Nothing that was confirmed is lost."),
    ),
    errors.Overloaded: Kind(
        503, N_("Please try again shortly"), N_("The server is very busy at the moment.")
    ),
    errors.NoCodes: Kind(
        503,
        N_("No codes are sent"),
        N_("Signing in with a code is not set up here. Please sign in with your password."),
    ),
    errors.CatalogueMoved: Kind(
        409,
        N_("The catalogue has changed"),
        N_("Somebody has changed the catalogue since this table was checked. Send it again."),
    ),
    errors.GatewayUnavailable: Kind(
        503,
        N_("The payment service does not answer"),
        N_("Nothing was taken. Please try again shortly, or pay in another way."),
    ),
    errors.GatewayDeclined: Kind(
        409,
        N_("The payment was declined"),
        N_("The payment service refused this payment. Please pay in another way."),
    ),
    errors.ForgedCallback: Kind(
        400,
        N_("This answer was not accepted"),
        N_("It does not come from the payment service. Your payment is not changed by it."),
    ),
    errors.CallbackFailed: Kind(
        500,
        N_("Something went wrong on our side"),
        N_("The message is kept. Please send it again."),
    ),
}

# A name from the code has no form that fits into a sentence, least of all into a Nepali one; so
# each state and each field has a sentence of its own.
_STATE_DETAILS: Final[dict[str, str]] = {
    "PENDING": N_("The pandit has not accepted this booking yet, so this cannot be done."),
    "ACCEPTED": N_("The pandit has already accepted this booking, so this cannot be done."),
    "IN_PROGRESS": N_("The puja has already begun, so this can no longer be done."),
    "COMPLETED": N_("The puja is already completed, so this can no longer be done."),
    "CANCELLED": N_("The booking has been cancelled, so this can no longer be done."),
    "FAILED": N_("This booking did not come about, so this can no longer be done."),
}
_FIELD_DETAILS: Final[dict[str, str]] = {
    "phone_number": N_("This phone number already has an account."),
    "email": N_("This e-mail address already has an account."),
    "username": N_("This user name is already taken. Please choose another one."),
    "user_id": N_("You already have a pandit's profile."),
    "review": N_("You have already reviewed this booking."),
    "reply": N_("You have already answered this review."),
    "rating": N_("You have already rated this customer for this booking."),
}

FIELD_MESSAGES: Final[dict[str, str]] = {
    "required": N_("This field is needed."),
    "unknown": N_("There is no such field."),
    "type": N_("This value has the wrong form."),
    "too-short": N_("This is too short."),
    "too-long": N_("This is too long."),
    "range": N_("This is out of range."),
    "pattern": N_("This does not look right."),
    "choice": N_("This is not one of the choices."),
    "phone": N_("Enter a Nepali mobile number: 10 digits beginning with 97 or 98."),
    "email": N_("Enter a valid e-mail address."),
    "username": N_("Use 3 to 30 small letters, digits, dots, hyphens or underscores."),
    "password-weak": N_("Use at least 8 characters that are hard to guess."),
    "password-wrong": N_("This is not your present password."),
    "timezone": N_("This is not a known time zone."),
    "cursor": N_("This cursor does not belong to this list."),
    "not-quarter-hour": N_("Bookings begin on a full quarter of an hour."),
    "in-the-past": N_("That time is already over."),
    "too-soon": N_("The pandit needs more notice than that."),
    "too-far": N_("That is further ahead than bookings are taken."),
    "outside-hours": N_("The pandit does not work at that time."),
    "not-available": N_("The pandit is not available at that time."),
    "not-offered": N_("The pandit does not offer this at present."),
    "unit": N_("This item is not measured in that unit."),
    "whole-number": N_("Only whole numbers make sense here."),
    "push-service-unknown": N_("This browser's message service is not one that we know."),
    "not-repeated": N_("Pujas cannot be repeated at present."),
    "step-missing": N_("A step before this one has not been done yet."),
    "less-than-needed": N_("The puja needs more of it than that."),
    "unknown-item": N_("There is no such item in the catalogue."),
    "unknown-puja": N_("There is no such puja."),
    "months": N_("Two months of Bikram Sambat, 1 to 12, such as 7 to 11."),
    "differs": N_("Another row of the same list says something else."),
    "other-puja": N_("This list is of another puja."),
    "taken": N_("This is already taken."),
    "stands-twice": N_("This stands in the table twice."),
    "column-missing": N_("The table lacks this column."),
    "column-unknown": N_("This column is not known."),
    "column-twice": N_("A column stands in the table twice."),
    "line-break": N_("A line break does not belong into this."),
    "cells": N_("This row has too many or too few cells."),
    "not-csv": N_("From this row on it cannot be read as CSV."),
    "not-utf-8": N_("Save the table as CSV in UTF-8."),
    "too-many-rows": N_("The table has too many rows."),
    "amount": N_("Write an amount in rupees above zero, with at most two decimals."),
    "not-active": N_("This item is switched off."),
    "name-taken": N_("Another item has this name already."),
    "address-needed": N_("An address is needed for a puja at home or at a temple."),
    "overlap": N_("These hours overlap."),
    "order": N_("The end must come after the beginning."),
    "empty": N_("This must not be empty."),
    "file-type": N_("Only pictures (JPEG, PNG, WebP) and PDF files are accepted."),
    "picture-type": N_("Only pictures (JPEG, PNG, WebP) are accepted."),
    "picture-damaged": N_("This picture cannot be read. It may be damaged."),
    "picture-size": N_("This picture has too many pixels. Make it smaller first."),
    "attachment": N_("Upload the file to this chat first."),
    "unknown-recommendation": N_("This recommendation was not made for you, or long ago."),
    "not-recommended": N_("The recommendation does not name this."),
    "more-than-due": N_("That is more than is due."),
    "not-the-amount": N_("That is not the amount that is due."),
    "price-changed": N_("The price has changed since you saw it. Look at it once more."),
    "method-unavailable": N_("This way to pay is not available."),
    "below-minimum": N_("That is too little for this way to pay."),
    "above-maximum": N_("That is too much for this way to pay."),
    "least-amount": N_("Enter Rs {least} or more."),
    "most-amount": N_("Enter Rs {most} or less."),
    "wallet-full": N_("The wallet may not hold so much, with the top-ups that are under way."),
    "too-many-top-ups": N_("Too many of your top-ups are under way. Try again later."),
    "too-many": N_("There are too many of these already."),
    "between": N_("Enter a value from {low} to {high}."),
    "unknown-place": N_(
        "We do not know this place. Choose one from the list, or enter its position."
    ),
    "skipped-time": N_("The clocks there jumped from {before} to {after}: this time never was."),
    "skipped-day": N_("The calendar there left this day out: it never was."),
    "outside-ephemeris": N_("Charts can be cast for births up to the year {last_year}."),
    "future-birth": N_("This day is still to come. Enter the day of a birth."),
    "outside-almanac": N_("The almanac does not reach this day."),
    "outside-calendar": N_("The Bikram Sambat calendar does not reach this date."),
    "bs-date": N_("Write a Bikram Sambat date as 2083-08-06."),
    "one-person": N_("Choose a kept chart or enter a birth, not both."),
    "one-date": N_("Give the date in one calendar only."),
    "no-sunrise": N_("The Sun does not rise or set there on that day, so it has no almanac."),
    "no-muhurta-rules": N_("The day of this puja is not chosen by rules of muhurta."),
    "needs-birth-time": N_("This chart needs the time of birth."),
    "moon-uncertain": N_("Without the time of birth the Moon of this chart is not certain."),
    "too-many-days": N_("Choose {most} days at most."),
}


def fault_text(translator: Translator, language: str, code: str) -> str:
    """What people are told of a fault with that code."""
    return translator.text(language, FIELD_MESSAGES.get(code, FIELD_MESSAGES["type"]))


class FieldProblem(msgspec.Struct, frozen=True):
    """One faulty field of the input."""

    field: str
    code: str
    message: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem. ``type`` is a stable slug, texts are in the reader's language."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: tuple[FieldProblem, ...] = ()
    state: str | None = None
    request_id: str | None = None


def kind_of(error: errors.DomainError) -> Kind | None:
    """The row of the table for the error's class, or for the nearest class above it."""
    for cls in type(error).__mro__:
        if kind := TABLE.get(cls):
            return kind
    return None


def retry_after_seconds(error: errors.DomainError) -> int | None:
    """After how many seconds the same request may succeed, where waiting helps."""
    if isinstance(error, errors.RateLimited | errors.Unavailable):
        return error.retry_after_seconds
    return 1 if isinstance(error, errors.RequestInProgress) else None


def problem_of(
    error: errors.DomainError,
    translator: Translator,
    language: str,
    request_id: str | None = None,
) -> Problem | None:
    """The problem document of a domain error, or None when it is not in the table."""
    kind = kind_of(error)
    if kind is None:
        return None
    return Problem(
        type=error.code,
        title=translator.text(language, kind.title),
        status=kind.status,
        detail=translator.text(language, detail_of(kind, error), **error.params()),
        errors=_field_problems(error, translator, language),
        state=error.state if isinstance(error, errors.IllegalTransition) else None,
        request_id=request_id,
    )


def detail_of(kind: Kind, error: errors.DomainError) -> str:
    """The sentence that suits the error best, to be translated and filled with its values."""
    if isinstance(error, errors.IllegalTransition):
        return _STATE_DETAILS.get(error.state, kind.detail)
    if isinstance(error, errors.AlreadyExists):
        return _FIELD_DETAILS.get(error.field, kind.detail)
    return kind.detail


def plain_problem(
    status: int, translator: Translator, language: str, request_id: str | None = None
) -> Problem:
    """The problem of a fault that has no domain error: an unknown path, a bug."""
    slug, title = _PLAIN.get(status, _PLAIN[500])
    return Problem(
        type=slug, title=translator.text(language, title), status=status, request_id=request_id
    )


_PLAIN: Final[dict[int, tuple[str, str]]] = {
    400: ("malformed", N_("Unreadable request")),
    403: ("forbidden", N_("Not allowed")),
    404: ("not-found", N_("Not found")),
    405: ("method-not-allowed", N_("This cannot be done here")),
    411: ("malformed", N_("Unreadable request")),
    413: ("too-large", N_("Too large")),
    500: ("internal-error", N_("Something went wrong on our side")),
    503: ("unavailable", N_("Please try again shortly")),
}


def _field_problems(
    error: errors.DomainError, translator: Translator, language: str
) -> tuple[FieldProblem, ...]:
    faults: Any = error.faults if isinstance(error, errors.Invalid) else ()
    return tuple(
        FieldProblem(
            fault.field,
            fault.code,
            translator.text(
                language, FIELD_MESSAGES.get(fault.code, FIELD_MESSAGES["type"]), **fault.params
            ),
        )
        for fault in faults
    )
