"""Administration of accounts on the wire."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from msgspec import Meta, Struct

from server.domain.account import Role, Session, User
from server.domain.administration import UserSheet
from server.domain.booking import Booking, BookingStatus, PaymentStatus
from server.domain.pandit import VerificationStatus
from server.domain.payment import Payment, Purpose
from server.schemas.base import PageQuery, Reader, Request, bs_text


class UsersQuery(PageQuery, frozen=True, kw_only=True):
    """Whose phone, name, user name or email begins like ``q``; without it the newest."""

    q: Annotated[str, Meta(max_length=120)] = ""
    role: Role | None = None
    is_active: bool | None = None


class WhyRequest(Request, frozen=True, kw_only=True):
    """Why an account is dealt with; it is kept in the record."""

    reason: Annotated[str, Meta(min_length=1, max_length=300)]


class UserRowResponse(Struct, frozen=True, kw_only=True):
    """An account as administrators see it."""

    id: str
    full_name: str
    phone_number: str
    email: str | None
    username: str | None
    role: Role
    language: str
    is_active: bool
    created_at: datetime


class SessionResponse(Struct, frozen=True, kw_only=True):
    """One sign-in. Its id is no secret: without the token it opens nothing."""

    id: str
    created_at: datetime
    expires_at: datetime


class UserBookingResponse(Struct, frozen=True, kw_only=True):
    """A booking in short."""

    id: str
    service_name: str
    service_name_ne: str
    booking_date: date
    date_bs: str | None
    status: BookingStatus
    total_fee: int
    currency: str


class UserPaymentResponse(Struct, frozen=True, kw_only=True):
    """A payment in short."""

    id: str
    purpose: Purpose
    title: str
    status: PaymentStatus
    amount: int
    currency: str
    created_at: datetime


class UserSheetResponse(UserRowResponse, frozen=True, kw_only=True):
    """An account with what belongs to it: the latest of each. ``is_own``: it is the asker's."""

    timezone: str
    updated_at: datetime
    is_own: bool
    pandit_id: str | None
    verification_status: VerificationStatus | None
    sessions: list[SessionResponse]
    bookings: list[UserBookingResponse]
    payments: list[UserPaymentResponse]


def present_user_row(user: User, reader: Reader) -> UserRowResponse:
    """Show an account in a list."""
    return UserRowResponse(
        id=user.id,
        full_name=user.full_name,
        phone_number=user.phone_number,
        email=user.email,
        username=user.username,
        role=user.role,
        language=user.language,
        is_active=user.is_active,
        created_at=reader.local(user.created_at),
    )


def present_sheet(sheet: UserSheet, reader: Reader) -> UserSheetResponse:
    """Show one account."""
    user, pandit = sheet.user, sheet.pandit
    return UserSheetResponse(
        id=user.id,
        full_name=user.full_name,
        phone_number=user.phone_number,
        email=user.email,
        username=user.username,
        role=user.role,
        language=user.language,
        timezone=user.timezone,
        is_active=user.is_active,
        created_at=reader.local(user.created_at),
        updated_at=reader.local(user.updated_at),
        is_own=sheet.is_own,
        pandit_id=pandit.id if pandit else None,
        verification_status=pandit.verification_status if pandit else None,
        sessions=[_present_session(each, reader) for each in sheet.sessions],
        bookings=[_present_booking(each) for each in sheet.bookings],
        payments=[_present_payment(each, reader) for each in sheet.payments],
    )


def _present_session(session: Session, reader: Reader) -> SessionResponse:
    return SessionResponse(
        id=session.id,
        created_at=reader.local(session.created_at),
        expires_at=reader.local(session.expires_at),
    )


def _present_booking(booking: Booking) -> UserBookingResponse:
    return UserBookingResponse(
        id=booking.id,
        service_name=booking.service_name,
        service_name_ne=booking.service_name_ne,
        booking_date=booking.booking_date,
        date_bs=bs_text(booking.booking_date),
        status=booking.status,
        total_fee=booking.total_fee,
        currency=booking.currency,
    )


def _present_payment(payment: Payment, reader: Reader) -> UserPaymentResponse:
    return UserPaymentResponse(
        id=payment.id,
        purpose=payment.purpose,
        title=payment.title,
        status=payment.status,
        amount=payment.amount,
        currency=payment.currency,
        created_at=reader.local(payment.created_at),
    )
