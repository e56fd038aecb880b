"""Payments, the ledger, what providers send, and payouts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from server.domain.booking import PaymentMethod, PaymentStatus
from server.domain.callback import Callback
from server.domain.ledger import Chain, LedgerEntry
from server.domain.payment import Payment
from server.domain.payout import Payout, PayoutStatus
from server.domain.ports.paging import Page, SortKey


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFilter:
    """Whose payments, and which; newest first. Of the flags at most one is set.

    ``needs_review``: a person has to look. ``refunds``: with a refund that is not settled.
    """

    user_id: str | None = None
    status: PaymentStatus | None = None
    needs_review: bool = False
    refunds: bool = False
    limit: int = 20
    after: SortKey | None = None


class PaymentRepository(Protocol):
    """Payments with their attempts, one document for each thing that is owed.

    A unique index over all references, gateway ids and transaction ids refuses a proof that belongs
    to another payment.
    """

    async def add(self, payment: Payment) -> bool:
        """Store a new payment; False when that subject has one already. Raises ``ProofReused``."""
        ...

    async def find(self, payment_id: str) -> Payment | None:
        """Return the payment, or None."""
        ...

    async def find_many(self, payment_ids: Collection[str]) -> dict[str, Payment]:
        """Return those of the payments that exist, by id, in one query."""
        ...

    async def find_by_reference(self, reference: str) -> Payment | None:
        """Return the payment that has an attempt of that reference, or None."""
        ...

    async def find_by_gateway_id(self, method: PaymentMethod, gateway_id: str) -> Payment | None:
        """Return the payment that has an attempt which the provider calls so, or None."""
        ...

    async def find_by_transaction(
        self, method: PaymentMethod, transaction_id: str
    ) -> Payment | None:
        """Return the payment that the provider's movement of money belongs to, or None."""
        ...

    async def replace(self, payment: Payment) -> bool:
        """Write the payment back if ``version`` is still the stored one, and raise it by one.

        Returns False when somebody else was faster; raises ``ProofReused`` when a proof of it
        belongs to another payment.
        """
        ...

    async def list_due(
        self, now: datetime, limit: int, after: datetime | None = None
    ) -> tuple[Payment, ...]:
        """Return payments of which something is to be done by itself, the longest waiting first.

        ``after``: only what has been due since later than that.
        """
        ...

    async def list_coming_top_ups(
        self, user_id: str, since: datetime, limit: int
    ) -> tuple[Payment, ...]:
        """Return a customer's top-ups that may still come into his wallet, newest first.

        Those begun later than ``since`` whose outcome is open, and those of any age of which the
        ledger has not been told yet.
        """
        ...

    async def list_page(self, wanted: PaymentFilter) -> Page[Payment]:
        """Return payments, newest first, by one indexed query."""
        ...


class LedgerRepository(Protocol):
    """The ledger: entries are added and never changed."""

    async def add(self, entry: LedgerEntry) -> bool:
        """Store an entry; False when its cause is there already.

        Raises ``ConcurrentChange`` when the next place in its owner's chain is taken.
        """
        ...

    async def find(self, cause: str) -> LedgerEntry | None:
        """Return the entry of that cause, or None."""
        ...

    async def head(self, owner: str) -> Chain | None:
        """Return the newest link of the owner's chain, None when there is none."""
        ...

    async def list_chain(
        self, owner: str, *, limit: int, after: SortKey | None
    ) -> Page[LedgerEntry]:
        """Return the entries of an owner, newest first; the key is (number,)."""
        ...

    async def list_page(
        self,
        *,
        account: str | None,
        first: datetime,
        last: datetime,
        limit: int,
        after: SortKey | None,
    ) -> Page[LedgerEntry]:
        """Return the entries of that time, newest first, all of them or one account's."""
        ...

    async def totals(self, first: datetime, last: datetime) -> dict[tuple[str, str], int]:
        """Sum the postings of that time by (kind of account, currency)."""
        ...


class LedgerBook(Protocol):
    """Records entries and looks them up; what the wallet stands on."""

    async def record(self, entry: LedgerEntry) -> LedgerEntry:
        """Record an entry once and return what is stored under its cause.

        Raises ``InsufficientBalance``.
        """
        ...

    async def find(self, cause: str) -> LedgerEntry | None:
        """Return the entry of that cause, or None."""
        ...


class CallbackRepository(Protocol):
    """The inbox of what providers and browsers bring; the old disappears by itself."""

    async def add(self, callback: Callback) -> None:
        """Store what has just come in."""
        ...

    async def find(self, callback_id: str) -> Callback | None:
        """Return the callback, or None."""
        ...

    async def finish(self, callback: Callback) -> None:
        """Write what became of it."""
        ...

    async def is_first(self, event_key: str, at: datetime) -> bool:
        """Remember that an event was handled; False when it had been before."""
        ...

    async def was_handled(self, event_key: str) -> bool:
        """Whether an event was handled before."""
        ...

    async def list_page(
        self, *, outcome: str | None, limit: int, after: SortKey | None
    ) -> Page[Callback]:
        """Return what came in, newest first."""
        ...


class PayoutRepository(Protocol):
    """What pandits have asked to be paid."""

    async def add(self, payout: Payout) -> None:
        """Store a new one."""
        ...

    async def find(self, payout_id: str) -> Payout | None:
        """Return it, or None."""
        ...

    async def settle_if_asked(self, payout: Payout) -> bool:
        """Write how it ended, if it has not ended before."""
        ...

    async def list_page(
        self,
        *,
        pandit_user_id: str | None,
        status: PayoutStatus | None,
        limit: int,
        after: SortKey | None,
    ) -> Page[Payout]:
        """Return payouts, newest first: a pandit's, or all of a status."""
        ...
