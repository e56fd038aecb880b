"""The samagri of an accepted booking: the customer asks for another list, the pandit agrees.

Until the pandit has accepted, an edit changes the booking at once. Afterwards the edits together
make one proposal; the booking's own list and its fees stay until he agrees, and then all of it
takes their place at once. A price that is being paid, or was paid, stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from server.domain import booking as rules
from server.domain.account import Actor
from server.domain.booking import Booking, BookingStatus, SamagriLine, SamagriProposal
from server.domain.errors import (
    Forbidden,
    IllegalTransition,
    ItemRequired,
    PaymentOpen,
    ProposalChanged,
)
from server.domain.events import EventKind
from server.domain.money import convert_quantity
from server.domain.samagri import at_frozen_price

QUIET: Final = timedelta(minutes=15)
"""Who takes his proposal back by editing, or makes one again, within this time makes no noise."""


@dataclass(frozen=True, slots=True)
class LineChange:
    """What becomes of one item: ``before`` is None where it is added, ``after`` where it goes.

    ``line`` is one of them and tells which item it is.
    """

    line: SamagriLine
    before: SamagriLine | None
    after: SamagriLine | None

    @property
    def price_difference(self) -> int:
        """By how much the list gets dearer, in paisa; below zero where it gets cheaper."""
        return _price(self.after) - _price(self.before)


def open_proposal(booking: Booking, now: datetime) -> SamagriProposal | None:
    """The list that waits for the pandit's consent and has not lapsed."""
    proposal = booking.samagri_proposal
    return proposal if proposal is not None and now < proposal.answer_by else None


def as_proposed(booking: Booking, now: datetime) -> Booking:
    """The booking as it would be with the open proposal agreed to; itself where there is none."""
    proposal = open_proposal(booking, now)
    if proposal is None:
        return booking
    return _with_list(booking, proposal, booking.updated_at)


def line_changes(booking: Booking, proposal: SamagriProposal) -> tuple[LineChange, ...]:
    """What the proposal would change: added and changed lines in its order, then removed ones."""
    before = {line.item_id: line for line in booking.samagri}
    kept = {line.item_id for line in proposal.lines}
    found = [LineChange(line, before.get(line.item_id), line) for line in proposal.lines]
    found += [LineChange(line, line, None) for line in booking.samagri if line.item_id not in kept]
    return tuple(
        each
        for each in found
        if each.before is None or each.after is None or _amount(each.before) != _amount(each.after)
    )


def edited(
    booking: Booking,
    actor: Actor,
    edit: Callable[[Booking], Booking],
    now: datetime,
    answer_within: timedelta,
) -> Booking:
    """Apply a customer's edit: to the booking itself while nobody has accepted, else to a proposal.

    ``edit`` changes the samagri of the booking that it gets. The pandit has ``answer_within`` from
    the last edit on to answer, but not beyond the beginning of the puja. He is told when a proposal
    begins, and not of each edit.

    Raises what ``require_samagri_editable`` and ``edit`` raise, and ``ItemRequired`` if something
    that the puja needs would go.
    """
    rules.require_samagri_editable(booking, actor, now)
    if booking.status is BookingStatus.PENDING:
        return edit(booking)
    wanted = edit(as_proposed(booking, now))
    lines = _at_frozen_prices(booking.samagri, wanted.samagri)
    _require_needed(booking.samagri, lines)
    known = open_proposal(booking, now)
    if _is_same(booking.samagri, lines):
        return booking if known is None else _taken_back(booking, now)
    if known is not None and (known.lines, known.declined) == (lines, wanted.samagri_declined):
        return booking
    proposal = SamagriProposal(
        revision=booking.version + 1,
        lines=lines,
        declined=wanted.samagri_declined,
        own_declined=wanted.samagri_own_declined,
        proposed_at=now if known is None else known.proposed_at,
        answer_by=min(now + answer_within, booking.starts_at),
    )
    changed = replace(booking, samagri_proposal=proposal, updated_at=now)
    is_asked = booking.samagri_proposal is None and _is_just_asked(booking, now)
    if known is not None or is_asked:
        return changed
    return rules.told(
        replace(changed, samagri_asked_at=now),
        EventKind.BOOKING_SAMAGRI_PROPOSED,
        now,
        (booking.pandit_user_id,),
    )


def agree(booking: Booking, actor: Actor, revision: int, now: datetime) -> Booking:
    """The pandit agrees: the proposed list and its price are the booking's own from now on.

    Raises
    ------
    Forbidden, IllegalTransition
        For anybody else; for a booking that is not accepted, or not any more.
    PaymentOpen
        If the price is being paid, or was.
    ProposalChanged
        If ``revision`` is not what is proposed now: he has looked at another list.
    """
    _require_answerer(booking, actor)
    if rules.price_stands(booking):
        raise PaymentOpen
    proposal = _looked_at(booking, revision, now)
    agreed = _with_list(rules.without_samagri_proposal(booking), proposal, now)
    total = {"amount": str(agreed.total_fee), "currency": agreed.currency}
    return rules.told(agreed, EventKind.BOOKING_SAMAGRI_AGREED, now, (booking.user_id,), total)


def decline(booking: Booking, actor: Actor, revision: int, now: datetime) -> Booking:
    """The pandit does not agree: the list stays as it is. Raises as :func:`agree` does."""
    _require_answerer(booking, actor)
    _looked_at(booking, revision, now)
    return _ended(booking, EventKind.BOOKING_SAMAGRI_DECLINED, now, (booking.user_id,))


def withdraw(booking: Booking, actor: Actor, now: datetime) -> Booking:
    """The customer takes his proposal back. Raises ``ProposalChanged`` when none is open."""
    if actor.user_id != booking.user_id:
        raise Forbidden
    if open_proposal(booking, now) is None:
        raise ProposalChanged
    return _ended(booking, EventKind.BOOKING_SAMAGRI_DECLINED, now, (booking.pandit_user_id,))


def end_unanswered(booking: Booking, now: datetime) -> Booking:
    """Let go of all that nobody has answered in time, another time and another list alike.

    Both parties are told. Raises ``IllegalTransition`` while there is still time, or when all has
    been answered.
    """
    found = booking
    if booking.proposal is not None and rules.is_lapsed(booking.proposal, now):
        found = rules.lapse_proposal(found, now)
    if booking.samagri_proposal is not None and open_proposal(booking, now) is None:
        parties = (booking.user_id, booking.pandit_user_id)
        found = _ended(found, EventKind.BOOKING_SAMAGRI_LAPSED, now, parties)
    if found is booking:
        raise IllegalTransition(booking.status)
    return found


def _with_list(booking: Booking, proposal: SamagriProposal, now: datetime) -> Booking:
    listed = rules.with_samagri(booking, proposal.lines, proposal.declined, now)
    return replace(listed, samagri_own_declined=proposal.own_declined)


def _require_answerer(booking: Booking, actor: Actor) -> None:
    if actor.user_id != booking.pandit_user_id:
        raise Forbidden
    if booking.status is not BookingStatus.ACCEPTED:
        raise IllegalTransition(booking.status)


def _looked_at(booking: Booking, revision: int, now: datetime) -> SamagriProposal:
    """The open proposal, if it still is what somebody has looked at."""
    proposal = open_proposal(booking, now)
    if proposal is None or proposal.revision != revision:
        raise ProposalChanged
    return proposal


def _ended(
    booking: Booking, kind: EventKind, now: datetime, recipients: tuple[str, ...]
) -> Booking:
    ended = replace(rules.without_samagri_proposal(booking), updated_at=now)
    return rules.told(ended, kind, now, recipients)


def _taken_back(booking: Booking, now: datetime) -> Booking:
    """He has edited his way back to the list that is booked."""
    if _is_just_asked(booking, now):
        return replace(booking, samagri_proposal=None, updated_at=now)
    return _ended(booking, EventKind.BOOKING_SAMAGRI_DECLINED, now, (booking.pandit_user_id,))


def _is_just_asked(booking: Booking, now: datetime) -> bool:
    """Whether the pandit has been told of a proposal only now, and of nothing since."""
    asked_at = booking.samagri_asked_at
    return asked_at is not None and now < asked_at + QUIET


def _at_frozen_prices(
    present: Sequence[SamagriLine], wanted: Sequence[SamagriLine]
) -> tuple[SamagriLine, ...]:
    """The wanted lines; what is on the booking's list costs what was frozen there.

    Somebody may take an item out of his proposal and put it in again.
    """
    there = {line.item_id: line for line in present}
    return tuple(
        at_frozen_price(line, known)
        if (known := there.get(line.item_id)) and _rate(known) != _rate(line)
        else line
        for line in wanted
    )


def _require_needed(present: Sequence[SamagriLine], wanted: Sequence[SamagriLine]) -> None:
    kept = {line.item_id for line in wanted}
    if any(line.is_required and line.item_id not in kept for line in present):
        raise ItemRequired


def _is_same(present: Sequence[SamagriLine], wanted: Sequence[SamagriLine]) -> bool:
    """Whether both lists bring the same, for the same price, in whatever order."""
    return {_amount(line) for line in present} == {_amount(line) for line in wanted}


def _rate(line: SamagriLine) -> tuple[object, ...]:
    return (line.base_price, line.base_quantity, line.base_unit)


def _amount(line: SamagriLine) -> tuple[str, Decimal, int]:
    quantity = convert_quantity(line.quantity, line.unit, line.base_unit)
    return (line.item_id, quantity, line.price_at_booking)


def _price(line: SamagriLine | None) -> int:
    return 0 if line is None else line.price_at_booking
