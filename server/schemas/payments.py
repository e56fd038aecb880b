"""Payments, wallet, earnings and ledger on the wire. Amounts are minor units of ``currency``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Annotated

from msgspec import Meta, Struct

from server.domain.booking import PaymentMethod, PaymentStatus
from server.domain.callback import Callback, CallbackOutcome
from server.domain.gateway import ActionKind, RefundState
from server.domain.ledger import EntryKind, LedgerEntry
from server.domain.payment import Attempt, Payment, Purpose, RefundTo, ReviewReason, attempt_id
from server.domain.payout import Payout, PayoutStatus
from server.schemas.base import Id, PageQuery, Reader, Request, bs_text

Amount = Annotated[int, Meta(ge=1, le=1_000_000_000_00)]
Token = Annotated[str, Meta(min_length=1, max_length=200)]


class PayRequest(Request, frozen=True, kw_only=True):
    """A booking to be paid, and how. How much is not the client's to say.

    ``amount`` is the price that the payer was shown; nothing is begun if it is another one by now.
    """

    booking_id: Id
    payment_method: PaymentMethod
    amount: Amount | None = None


class UnlockRequest(Request, frozen=True, kw_only=True):
    """A pandit whose chat and contact details are to be unlocked, and how it is paid."""

    pandit_id: Id
    payment_method: PaymentMethod


class TokenRequest(Request, frozen=True, kw_only=True):
    """What Khalti's older widget has given; ``amount`` must be what is due."""

    token: Token
    amount: Amount
    booking_id: Id


class TopUpRequest(Request, frozen=True, kw_only=True):
    """A sum for the wallet, and how it is paid."""

    amount: Amount
    payment_method: PaymentMethod


class RefundRequest(Request, frozen=True, kw_only=True):
    """What is to be given back, without ``amount`` all that is left; ``note`` says why."""

    amount: Amount | None = None
    to: RefundTo = RefundTo.ORIGINAL
    note: Annotated[str, Meta(max_length=300)] = ""


class SettleRefundRequest(Request, frozen=True, kw_only=True):
    """What became of a refund that staff made by hand."""

    is_done: bool
    note: Annotated[str, Meta(max_length=300)] = ""


class CashRequest(Request, frozen=True, kw_only=True):
    """How much cash was handed over."""

    amount: Amount


class NoteRequest(Request, frozen=True, kw_only=True):
    """A remark."""

    note: Annotated[str, Meta(max_length=300)] = ""


class PayoutRequest(Request, frozen=True, kw_only=True):
    """What a pandit wants to be paid, and where to."""

    amount: Amount
    destination: Annotated[str, Meta(max_length=200)] = ""


class SettlePayoutRequest(Request, frozen=True, kw_only=True):
    """Whether a payout was paid or is refused."""

    is_paid: bool
    note: Annotated[str, Meta(max_length=300)] = ""


class PaymentsQuery(PageQuery, frozen=True, kw_only=True):
    """Which payments staff look at."""

    status: PaymentStatus | None = None
    user_id: Id | None = None
    needs_review: bool = False
    refunds: bool = False


class PaymentSearchQuery(PaymentsQuery, frozen=True, kw_only=True):
    """What staff look for on their page: a payment by its name, or a customer by his."""

    q: Annotated[str, Meta(max_length=120)] = ""


class CallbacksQuery(PageQuery, frozen=True, kw_only=True):
    """Which callbacks staff look at."""

    outcome: CallbackOutcome | None = None


class PayoutsQuery(PageQuery, frozen=True, kw_only=True):
    """Which payouts staff look at."""

    status: PayoutStatus | None = None


class LedgerQuery(PageQuery, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which entries of the ledger; days in Nepal, both included. By default the last thirty."""

    from_: date | None = None
    to: date | None = None
    account: Annotated[str, Meta(max_length=80)] | None = None


class MethodResponse(Struct, frozen=True, kw_only=True):
    """A way to pay. ``is_prepaid``: before the puja; ``is_test``: no real money moves."""

    payment_method: PaymentMethod
    currencies: list[str]
    currency: str
    min_amount: int
    max_amount: int | None
    is_prepaid: bool
    can_refund: bool
    is_test: bool


class MethodsResponse(Struct, frozen=True, kw_only=True):
    """The ways to pay that are open, and what an unlock costs."""

    results: list[MethodResponse]
    next: None = None
    unlock_fee: int
    currency: str


class ActionResponse(Struct, frozen=True, kw_only=True):
    """What the browser has to do: go to ``url``, or POST ``fields`` there."""

    kind: ActionKind
    url: str
    fields: dict[str, str]


class RefundResponse(Struct, frozen=True, kw_only=True):
    """Money on its way back, or back."""

    id: str
    amount: int
    reason: str
    to: RefundTo
    state: RefundState
    asked_at: datetime
    settled_at: datetime | None


class PaymentResponse(Struct, frozen=True, kw_only=True):
    """One attempt to pay something, as its payer sees it.

    ``payment_status`` is where the payment as a whole stands: another attempt may have succeeded.
    """

    id: str
    payment_id: str
    purpose: Purpose
    booking_id: str | None
    pandit_id: str | None
    payment_method: PaymentMethod
    status: PaymentStatus
    payment_status: PaymentStatus
    amount: int
    refunded_amount: int
    currency: str
    needs_review: bool
    reason: str
    reference: str
    version: int
    pay_by: datetime | None
    expires_at: datetime | None
    created_at: datetime
    date_bs: str | None
    completed_at: datetime | None
    refunds: list[RefundResponse]
    action: ActionResponse


class ReviewResponse(Struct, frozen=True, kw_only=True):
    """Something that a person has, or had, to look at."""

    reason: ReviewReason
    detail: str
    at: datetime
    resolved_at: datetime | None
    note: str


class NoteResponse(Struct, frozen=True, kw_only=True):
    """A line of an attempt's history."""

    at: datetime
    source: str
    outcome: str
    status: PaymentStatus
    raw: dict[str, str]


class StaffAttemptResponse(Struct, frozen=True, kw_only=True):
    """An attempt as staff see it."""

    id: str
    payment_method: PaymentMethod
    status: PaymentStatus
    amount: int
    refunded_amount: int
    reference: str
    gateway_id: str | None
    transaction_id: str | None
    reason: str
    created_at: datetime
    completed_at: datetime | None
    next_check_at: datetime | None
    needs_review: bool
    reviews: list[ReviewResponse]
    refunds: list[RefundResponse]
    notes: list[NoteResponse]


class StaffPaymentResponse(Struct, frozen=True, kw_only=True):
    """A payment with all its attempts, for staff."""

    id: str
    purpose: Purpose
    user_id: str
    booking_id: str | None
    pandit_id: str | None
    title: str
    status: PaymentStatus
    amount: int
    refunded_amount: int
    currency: str
    needs_review: bool
    created_at: datetime
    attempts: list[StaffAttemptResponse]


class ReturnResponse(Struct, frozen=True, kw_only=True):
    """Where the payment stands from which a browser comes back."""

    id: str
    status: PaymentStatus
    booking_id: str | None
    needs_review: bool


class AcceptedResponse(Struct, frozen=True, kw_only=True):
    """A provider's message was stored and applied."""

    received: bool
    outcome: CallbackOutcome


class CallbackResponse(Struct, frozen=True, kw_only=True):
    """A message of a provider, or a browser's return, for staff."""

    id: str
    payment_method: PaymentMethod
    is_return: bool
    received_at: datetime
    processed_at: datetime | None
    outcome: CallbackOutcome
    detail: str
    payment_id: str | None
    tries: int


class BalanceResponse(Struct, frozen=True, kw_only=True):
    """What is in a wallet."""

    balance: int
    currency: str


class EarningsResponse(Struct, frozen=True, kw_only=True):
    """What a pandit has. ``owed`` is our commission of cash that he has taken himself."""

    balance: int
    under_way: int
    owed: int
    available: int
    currency: str


class AccountEntryResponse(Struct, frozen=True, kw_only=True):
    """One line of a wallet, or of a pandit's account: what it changed, and what was left then."""

    id: str
    kind: EntryKind
    at: datetime
    amount: int
    balance: int
    currency: str
    booking_id: str | None


class PayoutResponse(Struct, frozen=True, kw_only=True):
    """What a pandit has asked to be paid."""

    id: str
    pandit_user_id: str
    pandit_name: str
    amount: int
    currency: str
    destination: str
    status: PayoutStatus
    asked_at: datetime
    settled_at: datetime | None
    note: str


class PostingResponse(Struct, frozen=True, kw_only=True):
    """One line of an entry: a debit above zero, a credit below."""

    account: str
    amount: int


class LedgerEntryResponse(Struct, frozen=True, kw_only=True):
    """One entry of the ledger."""

    id: str
    kind: EntryKind
    at: datetime
    currency: str
    postings: list[PostingResponse]
    refs: dict[str, str]


class TotalResponse(Struct, frozen=True, kw_only=True):
    """The sum of an account, or of a kind of accounts."""

    account: str
    currency: str
    amount: int


class TrialBalanceResponse(Struct, frozen=True, kw_only=True):
    """The sums of all accounts over a time; ``difference`` is zero for each currency."""

    totals: list[TotalResponse]
    difference: dict[str, int]


_NO_ACTION = ActionResponse(kind=ActionKind.NONE, url="", fields={})


def present_payment(payment: Payment, attempt: Attempt, reader: Reader) -> PaymentResponse:
    """An attempt for its payer."""
    return PaymentResponse(
        id=attempt_id(payment, attempt),
        payment_id=payment.id,
        purpose=payment.purpose,
        booking_id=payment.booking_id,
        pandit_id=payment.pandit_id,
        payment_method=attempt.method,
        status=attempt.status,
        payment_status=payment.status,
        amount=attempt.amount,
        refunded_amount=attempt.refunded,
        currency=attempt.currency,
        needs_review=attempt.needs_review,
        reason=attempt.reason,
        reference=attempt.reference,
        version=payment.version,
        pay_by=reader.maybe_local(payment.pay_by),
        expires_at=reader.maybe_local(attempt.expires_at),
        created_at=reader.local(attempt.created_at),
        date_bs=bs_text(reader.local(attempt.created_at).date()),
        completed_at=reader.maybe_local(attempt.completed_at),
        refunds=_refunds(attempt, reader),
        action=_action(attempt),
    )


def present_for_staff(payment: Payment, reader: Reader) -> StaffPaymentResponse:
    """A payment with everything that is known of it."""
    return StaffPaymentResponse(
        id=payment.id,
        purpose=payment.purpose,
        user_id=payment.user_id,
        booking_id=payment.booking_id,
        pandit_id=payment.pandit_id,
        title=payment.title,
        status=payment.status,
        amount=payment.amount,
        refunded_amount=payment.refunded,
        currency=payment.currency,
        needs_review=payment.needs_review,
        created_at=reader.local(payment.created_at),
        attempts=[_staff_attempt(payment, attempt, reader) for attempt in payment.attempts],
    )


def _staff_attempt(payment: Payment, attempt: Attempt, reader: Reader) -> StaffAttemptResponse:
    return StaffAttemptResponse(
        id=attempt_id(payment, attempt),
        payment_method=attempt.method,
        status=attempt.status,
        amount=attempt.amount,
        refunded_amount=attempt.refunded,
        reference=attempt.reference,
        gateway_id=attempt.gateway_id,
        transaction_id=attempt.transaction_id,
        reason=attempt.reason,
        created_at=reader.local(attempt.created_at),
        completed_at=reader.maybe_local(attempt.completed_at),
        next_check_at=reader.maybe_local(attempt.next_check_at),
        needs_review=attempt.needs_review,
        reviews=[
            ReviewResponse(
                reason=review.reason,
                detail=review.detail,
                at=reader.local(review.at),
                resolved_at=reader.maybe_local(review.resolved_at),
                note=review.note,
            )
            for review in attempt.reviews
        ],
        refunds=_refunds(attempt, reader),
        notes=[
            NoteResponse(
                at=reader.local(note.at),
                source=note.source,
                outcome=note.outcome,
                status=note.status,
                raw=dict(note.raw),
            )
            for note in attempt.notes
        ],
    )


def _refunds(attempt: Attempt, reader: Reader) -> list[RefundResponse]:
    return [
        RefundResponse(
            id=refund.id,
            amount=refund.amount,
            reason=refund.reason,
            to=refund.to,
            state=refund.state,
            asked_at=reader.local(refund.asked_at),
            settled_at=reader.maybe_local(refund.settled_at),
        )
        for refund in attempt.refunds
    ]


def _action(attempt: Attempt) -> ActionResponse:
    # What is over is not to be done again.
    if attempt.action is None or not attempt.is_open:
        return _NO_ACTION
    return ActionResponse(
        kind=attempt.action.kind, url=attempt.action.url, fields=dict(attempt.action.fields)
    )


def present_callback(callback: Callback, reader: Reader) -> CallbackResponse:
    """A callback for staff: what became of it, not what it said."""
    return CallbackResponse(
        id=callback.id,
        payment_method=callback.method,
        is_return=callback.is_return,
        received_at=reader.local(callback.received_at),
        processed_at=reader.maybe_local(callback.processed_at),
        outcome=callback.outcome,
        detail=callback.detail,
        payment_id=callback.payment_id,
        tries=callback.tries,
    )


def present_account_entry(entry: LedgerEntry, account: str, reader: Reader) -> AccountEntryResponse:
    """An entry as the owner of one of its accounts sees it: what he has more or less."""
    change = -sum(posting.amount for posting in entry.postings if posting.account == account)
    return AccountEntryResponse(
        id=entry.cause,
        kind=entry.kind,
        at=reader.local(entry.at),
        amount=change,
        balance=entry.chain.balance(account) if entry.chain else 0,
        currency=entry.currency,
        booking_id=entry.refs.get("booking_id"),
    )


def present_payout(payout: Payout, reader: Reader) -> PayoutResponse:
    """A payout for its pandit, or for staff."""
    return PayoutResponse(
        id=payout.id,
        pandit_user_id=payout.pandit_user_id,
        pandit_name=payout.pandit_name,
        amount=payout.amount,
        currency=payout.currency,
        destination=payout.destination,
        status=payout.status,
        asked_at=reader.local(payout.asked_at),
        settled_at=reader.maybe_local(payout.settled_at),
        note=payout.note,
    )


def present_entry(entry: LedgerEntry, reader: Reader) -> LedgerEntryResponse:
    """An entry for staff."""
    return LedgerEntryResponse(
        id=entry.cause,
        kind=entry.kind,
        at=reader.local(entry.at),
        currency=entry.currency,
        postings=[
            PostingResponse(account=posting.account, amount=posting.amount)
            for posting in entry.postings
        ],
        refs=dict(entry.refs),
    )


def present_totals(
    totals: Mapping[tuple[str, str], int], difference: Mapping[str, int]
) -> TrialBalanceResponse:
    """The trial balance."""
    return TrialBalanceResponse(
        totals=[
            TotalResponse(account=account, currency=currency, amount=amount)
            for (account, currency), amount in sorted(totals.items())
        ],
        difference=dict(difference),
    )


CSV_HEAD = ("at", "cause", "kind", "account", "debit", "credit", "currency", "booking", "payment")


def csv_rows(entries: Iterable[LedgerEntry], reader: Reader) -> list[tuple[str, ...]]:
    """One row for each posting; amounts in rupees with two decimals, as spreadsheets want them."""
    return [
        (
            reader.local(entry.at).isoformat(timespec="seconds"),
            entry.cause,
            entry.kind.value,
            posting.account,
            _units(posting.amount) if posting.amount > 0 else "",
            _units(-posting.amount) if posting.amount < 0 else "",
            entry.currency,
            entry.refs.get("booking_id", ""),
            entry.refs.get("payment_id", ""),
        )
        for entry in entries
        for posting in entry.postings
    ]


def _units(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"
