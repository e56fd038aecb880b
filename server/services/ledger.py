"""The ledger: records each movement of money once, knows balances, and lists for staff."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from server.domain import ledger
from server.domain.errors import ConcurrentChange
from server.domain.events import Event, EventKind
from server.domain.ledger import Chain, LedgerEntry
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.payments import LedgerRepository

_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True)
class Earnings:
    """What a pandit has: to withdraw, asked for and not paid yet, and owed to us of cash."""

    balance: int
    under_way: int
    owed: int

    @property
    def available(self) -> int:
        """What he may ask for now."""
        return max(0, self.balance - self.owed)


def earnings_of(pandit_user_id: str, head: Chain | None) -> Earnings:
    """What a pandit has after the newest link of his chain, in paisa."""
    if head is None:
        return Earnings(0, 0, 0)
    return Earnings(
        balance=head.balance(ledger.pandit(pandit_user_id)),
        under_way=head.balance(ledger.payouts(pandit_user_id)),
        owed=max(0, -head.balance(ledger.cash(pandit_user_id))),
    )


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """The sums of all accounts over a time, by currency; each currency's sum is zero."""

    totals: Mapping[tuple[str, str], int]

    def difference(self) -> dict[str, int]:
        """What is left of each currency when everything is added up."""
        left: dict[str, int] = {}
        for (_, currency), amount in self.totals.items():
            left[currency] = left.get(currency, 0) + amount
        return left


class LedgerService:
    """A ``ports.Receiver`` of all events, and a ``ports.LedgerBook``."""

    def __init__(self, entries: LedgerRepository) -> None:
        self._entries = entries

    async def on_event(self, event: Event) -> None:
        """Write down the entry that an event carries; what is written already stays."""
        if event.kind is EventKind.MONEY_MOVED:
            await self.record(ledger.entry_of(event))

    async def record(self, entry: LedgerEntry) -> LedgerEntry:
        """Record an entry once and return what is stored under its cause.

        Raises
        ------
        InsufficientBalance
            If a wallet or a pandit's earnings would go below zero.
        ConcurrentChange
            If its owner's other entries were faster again and again.
        """
        return await self.record_next(entry.owner, entry.cause, lambda _: entry)

    async def record_next(
        self, owner: str | None, cause: str, build: Callable[[Chain | None], LedgerEntry]
    ) -> LedgerEntry:
        """The same for an entry that depends on its owner's balances, made by ``build``.

        ``build`` gets the link behind which the entry comes to stand, anew whenever another entry
        was faster, so that nothing is counted in two of them. Raises as :meth:`record` does, and
        what ``build`` raises.
        """
        for _ in range(_ATTEMPTS):
            head = await self._entries.head(owner) if owner else None
            if owner and (earlier := await self._entries.find(cause)):
                # Before the balance is looked at: it may have been spent since.
                return earlier
            numbered = ledger.chained(build(head), head)
            try:
                if await self._entries.add(numbered):
                    return numbered
            except ConcurrentChange:
                continue
            return await self._entries.find(cause) or numbered
        raise ConcurrentChange

    async def find(self, cause: str) -> LedgerEntry | None:
        """Return the entry of that cause, or None."""
        return await self._entries.find(cause)

    async def wallet_balance(self, user_id: str) -> int:
        """What is in a customer's wallet, in paisa."""
        head = await self._entries.head(ledger.wallet(user_id))
        return head.balance(ledger.wallet(user_id)) if head else 0

    async def earnings(self, pandit_user_id: str) -> Earnings:
        """What a pandit has, in paisa."""
        head = await self._entries.head(ledger.pandit(pandit_user_id))
        return earnings_of(pandit_user_id, head)

    async def wallet_entries(
        self, user_id: str, *, limit: int, after: SortKey | None
    ) -> Page[LedgerEntry]:
        """A wallet's entries, newest first, each with the balance after it."""
        return await self._entries.list_chain(ledger.wallet(user_id), limit=limit, after=after)

    async def pandit_entries(
        self, pandit_user_id: str, *, limit: int, after: SortKey | None
    ) -> Page[LedgerEntry]:
        """A pandit's entries, newest first, each with the balances after it."""
        return await self._entries.list_chain(
            ledger.pandit(pandit_user_id), limit=limit, after=after
        )

    async def list_entries(
        self,
        *,
        account: str | None,
        first: datetime,
        last: datetime,
        limit: int,
        after: SortKey | None,
    ) -> Page[LedgerEntry]:
        """Entries of that time, newest first, all of them or one account's; for staff."""
        return await self._entries.list_page(
            account=account, first=first, last=last, limit=limit, after=after
        )

    async def trial_balance(self, first: datetime, last: datetime) -> TrialBalance:
        """The sums of all accounts over that time; for staff."""
        return TrialBalance(await self._entries.totals(first, last))
