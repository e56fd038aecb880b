"""Double entry: every movement of money is one entry whose postings sum to zero.

Amounts are minor units; a debit is positive, a credit negative. An entry is written once, under its
cause, and never changed. Accounts are named ``kind:owner``:

=====================  ============================================================
``gateway:KHALTI``     money that lies with a provider for us (one for each method)
``cash:PANDIT``        cash in a pandit's hands that is ours: he owes it
``customer:USER``      what a customer has paid for a puja that is not held yet
``wallet:USER``        a customer's wallet
``pandit:PANDIT``      what a pandit has earned and may withdraw
``payouts:PANDIT``     withdrawals that he has asked for and that are not paid yet
``refunds``            refunds that are decided and not given back yet
``commission``         our share of the pandits' fees
``income:unlocks``     fees for contact details and chat
``income:kept``        what a late cancellation leaves with us
``adjustments``        refunds that we bear ourselves
``bank``               what has left for pandits' bank accounts
=====================  ============================================================

The accounts of one wallet, and those of one pandit, form a *chain*: its entries are numbered
without gaps and carry the balances after them. The store refuses a number twice, so of two that
race the loser reads the new balance and is checked against it: no balance goes below zero.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from server.domain.errors import InsufficientBalance
from server.domain.events import Event, EventKind

REFUNDS: Final = "refunds"
COMMISSION: Final = "commission"
UNLOCK_INCOME: Final = "income:unlocks"
KEPT_INCOME: Final = "income:kept"
ADJUSTMENTS: Final = "adjustments"
BANK: Final = "bank"
_CHAINED: Final = {
    "wallet": "wallet",
    "pandit": "pandit",
    "cash": "pandit",
    "payouts": "pandit",
}
_FLOORED: Final = frozenset({"wallet", "pandit", "payouts"})


class EntryKind(enum.StrEnum):
    """Why money moved."""

    CAPTURE = "capture"
    TOP_UP = "top-up"
    WALLET_PAYMENT = "wallet-payment"
    WALLET_REFUND = "wallet-refund"
    UNLOCK = "unlock"
    EARNING = "earning"
    KEPT = "kept"
    REFUND_DUE = "refund-due"
    REFUND_PAID = "refund-paid"
    REFUND_VOID = "refund-void"
    REFUND_UNDONE = "refund-undone"
    PAYOUT_ASKED = "payout-asked"
    PAYOUT_PAID = "payout-paid"
    PAYOUT_REFUSED = "payout-refused"


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of an entry: a debit above zero, a credit below."""

    account: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The accounts of one wallet or pandit after the entry that carries it.

    ``balances`` has what the owner has in each account: what we owe him is above zero.
    """

    owner: str
    number: int
    balances: Mapping[str, int] = field(default_factory=dict)

    def balance(self, account: str) -> int:
        """What the owner has in that account."""
        return self.balances.get(account, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One movement of money. ``cause`` is its id: the same cause is written once.

    ``refs`` name what it belongs to: payment, booking, user, payout.
    """

    cause: str
    kind: EntryKind
    at: datetime
    currency: str
    postings: tuple[Posting, ...]
    refs: Mapping[str, str] = field(default_factory=dict)
    chain: Chain | None = None

    def __post_init__(self) -> None:
        if sum(posting.amount for posting in self.postings) != 0:
            raise ValueError(f"{self.cause}: does not sum to zero")
        if len({owner_of(posting.account) for posting in self.postings} - {None}) > 1:
            raise ValueError(f"{self.cause}: touches two chains")

    @property
    def owner(self) -> str | None:
        """Whose chain it belongs to, None for an entry among the house's own accounts."""
        return next(filter(None, (owner_of(posting.account) for posting in self.postings)), None)


def gateway(method: str) -> str:
    """The account of what lies with a provider."""
    return f"gateway:{method}"


def customer(user_id: str) -> str:
    """The account of what a customer has paid ahead."""
    return f"customer:{user_id}"


def wallet(user_id: str) -> str:
    """The account of a customer's wallet, and the name of its chain."""
    return f"wallet:{user_id}"


def pandit(user_id: str) -> str:
    """The account of what a pandit may withdraw, and the name of his chain."""
    return f"pandit:{user_id}"


def cash(user_id: str) -> str:
    """The account of our cash in a pandit's hands."""
    return f"cash:{user_id}"


def payouts(user_id: str) -> str:
    """The account of a pandit's withdrawals under way."""
    return f"payouts:{user_id}"


def owner_of(account: str) -> str | None:
    """The chain that an account belongs to, None for those that have none."""
    kind, _, owner = account.partition(":")
    chain = _CHAINED.get(kind)
    return f"{chain}:{owner}" if chain and owner else None


def two(debit: str, credit: str, amount: int) -> tuple[Posting, ...]:
    """The postings that move an amount from one account to another."""
    return Posting(debit, amount), Posting(credit, -amount)


def chained(entry: LedgerEntry, head: Chain | None) -> LedgerEntry:
    """The entry with its place in its owner's chain, behind ``head``.

    Raises
    ------
    InsufficientBalance
        If a balance that may not go below zero would.
    """
    owner = entry.owner
    if owner is None:
        return entry
    balances = dict(head.balances) if head else {}
    for posting in entry.postings:
        if owner_of(posting.account) == owner:
            balances[posting.account] = balances.get(posting.account, 0) - posting.amount
    for account, balance in balances.items():
        if balance < 0 and account.partition(":")[0] in _FLOORED:
            raise InsufficientBalance
    number = (head.number if head else 0) + 1
    return LedgerEntry(
        cause=entry.cause,
        kind=entry.kind,
        at=entry.at,
        currency=entry.currency,
        postings=entry.postings,
        refs=entry.refs,
        chain=Chain(owner=owner, number=number, balances=balances),
    )


_REF: Final = "ref."


def event_of(entry: LedgerEntry, event_id: str, booking_id: str | None) -> Event:
    """The event by which a document tells the ledger of an entry."""
    params = {
        "cause": entry.cause,
        "kind": entry.kind.value,
        "currency": entry.currency,
        "postings": " ".join(f"{posting.account}={posting.amount}" for posting in entry.postings),
        **{f"{_REF}{name}": value for name, value in entry.refs.items()},
    }
    return Event(
        id=event_id,
        kind=EventKind.MONEY_MOVED,
        at=entry.at,
        recipients=(),
        booking_id=booking_id,
        params=params,
    )


def entry_of(event: Event) -> LedgerEntry:
    """The entry that an event of kind MONEY_MOVED tells of."""
    params = event.params
    pairs = (pair.rpartition("=") for pair in params["postings"].split(" "))
    return LedgerEntry(
        cause=params["cause"],
        kind=EntryKind(params["kind"]),
        at=event.at,
        currency=params["currency"],
        postings=tuple(Posting(account, int(amount)) for account, _, amount in pairs),
        refs={
            name.removeprefix(_REF): value
            for name, value in params.items()
            if name.startswith(_REF)
        },
    )
