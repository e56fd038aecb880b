"""A booking that is being put together in five steps: it holds its slot, and nobody is told of it.

A draft is kept beside the bookings and claims its pandit's time as they do, so the same unique
index keeps all of them apart. It is no booking: it has no history, tells of nothing and is on no
list. Confirming it makes a booking of the same id out of it by one write; otherwise it disappears,
and its slot with it, when its time has run out.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from server.domain.account import Actor
from server.domain.booking import Booking
from server.domain.errors import FieldFault, Invalid, NotFound
from server.domain.recurrence import RecurrenceRule

DRAFT: Final = "DRAFT"


class WizardStep(enum.StrEnum):
    """The steps, in their order."""

    SERVICE = "service_selection"
    DATETIME = "datetime_selection"
    DETAILS = "details"
    PAYMENT = "payment"
    CONFIRMATION = "confirmation"


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftPolicy:
    """How long drafts live, and how many of them somebody may have.

    One that holds no slot yet costs nobody anything and is kept for ``keep``. From the moment in
    which it holds one, each step gives it ``hold`` more, but never beyond ``hold_most`` in all.
    """

    hold: timedelta = timedelta(minutes=10)
    hold_most: timedelta = timedelta(minutes=45)
    keep: timedelta = timedelta(hours=24)
    most: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a customer has said so far.

    ``place`` numbers his open drafts from 0. ``booking`` is the booking as it would be made now,
    with prices that stand since the time was chosen; None until then. Its ``claims`` are held.
    ``lapses_at`` is when the draft disappears, ``held_since`` when it first held a slot.
    """

    id: str
    user_id: str
    place: int
    pandit_id: str
    service_id: str
    booking: Booking | None = None
    has_details: bool = False
    has_payment: bool = False
    recurrence: RecurrenceRule | None = None
    held_since: datetime | None = None
    lapses_at: datetime
    created_at: datetime
    updated_at: datetime
    version: int = 1

    @property
    def claims(self) -> tuple[int, ...]:
        """The quarter hours that it holds."""
        return self.booking.claims if self.booking else ()

    @property
    def next_step(self) -> WizardStep:
        """The first step that has not been done."""
        if self.booking is None:
            return WizardStep.DATETIME
        if not self.has_details:
            return WizardStep.DETAILS
        return WizardStep.CONFIRMATION if self.has_payment else WizardStep.PAYMENT


def require_open(draft: Draft | None, actor: Actor, now: datetime) -> Draft:
    """The draft, if it is the actor's and its time has not run out.

    Raises
    ------
    NotFound
        To everybody else, and afterwards, it does not exist.
    """
    if draft is None or draft.user_id != actor.user_id or now >= draft.lapses_at:
        raise NotFound
    return draft


def begun(
    draft_id: str,
    *,
    user_id: str,
    place: int,
    pandit_id: str,
    service_id: str,
    now: datetime,
    policy: DraftPolicy,
) -> Draft:
    """A new draft: the service is chosen, nothing is held yet."""
    return Draft(
        id=draft_id,
        user_id=user_id,
        place=place,
        pandit_id=pandit_id,
        service_id=service_id,
        lapses_at=now + policy.keep,
        created_at=now,
        updated_at=now,
    )


def with_service(
    draft: Draft, pandit_id: str, service_id: str, now: datetime, policy: DraftPolicy
) -> Draft:
    """Another service; the slot of the one before is free again, and its price falls away."""
    if service_id == draft.service_id:
        return renewed(draft, now, policy)
    other = replace(
        draft,
        pandit_id=pandit_id,
        service_id=service_id,
        booking=None,
        has_details=False,
        has_payment=False,
        recurrence=None,
        held_since=None,
    )
    return renewed(other, now, policy)


def with_time(
    draft: Draft,
    booking: Booking,
    recurrence: RecurrenceRule | None,
    now: datetime,
    policy: DraftPolicy,
) -> Draft:
    """Hold the slot of ``booking``; what was said of an earlier time is kept."""
    timed = replace(
        draft,
        booking=booking,
        recurrence=recurrence,
        held_since=draft.held_since or now,
    )
    return renewed(timed, now, policy)


def with_booking(draft: Draft, booking: Booking, now: datetime, policy: DraftPolicy) -> Draft:
    """The draft with other details, payment or samagri of its booking."""
    return renewed(replace(draft, booking=booking), now, policy)


def renewed(draft: Draft, now: datetime, policy: DraftPolicy) -> Draft:
    """The wizard goes on: what is held is held a while longer, up to the bound."""
    if draft.booking is None:
        return replace(draft, lapses_at=now + policy.keep, updated_at=now)
    held_since = draft.held_since or now
    lapses_at = min(now + policy.hold, held_since + policy.hold_most, draft.booking.starts_at)
    return replace(draft, lapses_at=lapses_at, updated_at=now)


def booking_before(draft: Draft, step: WizardStep) -> Booking:
    """The booking that a step builds on.

    Raises
    ------
    Invalid
        If a step before it has not been done.
    """
    order = tuple(WizardStep)
    if draft.booking is None or order.index(draft.next_step) < order.index(step):
        raise Invalid(FieldFault("booking_step", "step-missing"))
    return draft.booking
