"""What pandits earn, and how it is paid to them.

A sum is reserved in the ledger when it is asked for; nobody can ask for it twice. What is asked for
is written down before: a sum that is reserved always has its payout, and a payout of which the sum
is not reserved, because the server ended in between, gets it reserved by whoever comes next. A
payout for which there is no money is given up under the same cause in the ledger, so it is either
reserved or given up, whoever races. Of cash that he has taken himself a pandit owes our commission:
that is settled with his next payout.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Final

from server.domain import ledger
from server.domain.account import Actor, Role
from server.domain.audit import Act
from server.domain.errors import (
    Conflict,
    FieldFault,
    Forbidden,
    InsufficientBalance,
    Invalid,
    NotFound,
)
from server.domain.ledger import Chain, EntryKind, LedgerEntry, Posting
from server.domain.money import NPR, in_rupees
from server.domain.payout import Payout, PayoutStatus
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.payments import PayoutRepository
from server.domain.ports.world import Clock, IdSource
from server.services.audit import AuditService
from server.services.ledger import Earnings, LedgerService, earnings_of

_MAX_ASKED: Final = 20


class PayoutService:
    """Earnings and payouts, for pandits and staff."""

    def __init__(
        self,
        payouts: PayoutRepository,
        book: LedgerService,
        audit: AuditService,
        clock: Clock,
        ids: IdSource,
        least: int,
    ) -> None:
        self._payouts = payouts
        self._book = book
        self._audit = audit
        self._clock = clock
        self._ids = ids
        self._least = least

    async def earnings(self, actor: Actor) -> Earnings:
        """What the actor, a pandit, has earned and may withdraw."""
        return await self._book.earnings(actor.user_id)

    async def ask(self, actor: Actor, amount: int, destination: str) -> Payout:
        """Ask to be paid a part of what one has earned.

        Raises ``Invalid`` below the least sum, ``InsufficientBalance`` for more than there is.
        """
        if actor.role is not Role.PANDIT:
            raise Forbidden
        if amount < self._least:
            least = in_rupees(self._least)
            raise Invalid(FieldFault("amount", "least-amount", {"least": least}))
        await self._finish_asked(actor.user_id)
        if amount > (await self._book.earnings(actor.user_id)).available:
            raise InsufficientBalance
        payout = Payout(
            id=self._ids.new(),
            pandit_user_id=actor.user_id,
            pandit_name=actor.full_name,
            amount=amount,
            currency=NPR,
            destination=destination,
            asked_at=self._clock.now(),
        )
        await self._payouts.add(payout)
        if not await self._reserve_or_give_up(payout):
            # Another one of his was faster.
            await self._refuse(payout)
            raise InsufficientBalance
        return payout

    async def _finish_asked(self, pandit_user_id: str) -> None:
        """Reserve what he asked for before and what was not reserved then, if he still has it."""
        page = await self._payouts.list_page(
            pandit_user_id=pandit_user_id, status=PayoutStatus.ASKED, limit=_MAX_ASKED, after=None
        )
        for payout in page.rows:
            # One that is being asked for in this moment is reserved once, by him or here.
            with suppress(InsufficientBalance):
                if not await self._reserve(payout):
                    await self._refuse(payout)

    async def _reserve_or_give_up(self, payout: Payout) -> bool:
        """Reserve the sum, or write down for good that it never will be; whether it is reserved."""
        try:
            return await self._reserve(payout)
        except InsufficientBalance:
            # Money may have come since, and another call have reserved it: the first one decides.
            given_up = self._entry(payout, _cause(payout), EntryKind.PAYOUT_REFUSED, [])
            return (await self._book.record(given_up)).kind is EntryKind.PAYOUT_ASKED

    async def _refuse(self, payout: Payout) -> None:
        """Write on the payout that it was given up, unless it says how it ended already."""
        await self._payouts.settle_if_asked(
            replace(payout, status=PayoutStatus.REFUSED, settled_at=self._clock.now())
        )

    async def _reserve(self, payout: Payout) -> bool:
        """Take the sum out of his balance, and what he owes of cash with it. Once.

        Returns False when it was given up before. Raises ``InsufficientBalance``.
        """
        owner, cause = payout.pandit_user_id, _cause(payout)

        def build(head: Chain | None) -> LedgerEntry:
            earnings = earnings_of(owner, head)
            if payout.amount > earnings.available:
                raise InsufficientBalance
            postings = [
                Posting(ledger.pandit(owner), payout.amount + earnings.owed),
                Posting(ledger.payouts(owner), -payout.amount),
            ]
            if earnings.owed:
                postings.append(Posting(ledger.cash(owner), -earnings.owed))
            return self._entry(payout, cause, EntryKind.PAYOUT_ASKED, postings)

        entry = await self._book.record_next(ledger.pandit(owner), cause, build)
        return entry.kind is EntryKind.PAYOUT_ASKED

    async def settle(self, actor: Actor, payout_id: str, *, is_paid: bool, note: str) -> Payout:
        """Staff have paid it, or refuse it and give the sum back to his balance. Once.

        Raises ``NotFound``, ``Conflict`` when it has ended the other way, ``InsufficientBalance``
        for one to be paid that was never reserved and that he does not have any more.
        """
        if not actor.is_admin:
            raise Forbidden
        payout = await self._payouts.find(payout_id)
        if payout is None:
            raise NotFound
        if is_paid and payout.status is PayoutStatus.REFUSED:
            raise Conflict
        settled = replace(
            payout,
            status=PayoutStatus.PAID if is_paid else PayoutStatus.REFUSED,
            settled_at=self._clock.now(),
            settled_by=actor.user_id,
            note=note,
        )
        async with self._audit.recording(
            actor, Act.PAYOUT_PAID, "payout", payout_id, status=settled.status, note=note
        ) as more:
            decide = self._reserve if is_paid else self._reserve_or_give_up
            is_reserved = await decide(payout)
            if is_reserved:
                await self._record_end(payout, is_paid=is_paid)
            if is_reserved or not is_paid:
                await self._payouts.settle_if_asked(settled)
            else:
                # Given up before, and only now is that written on it: an act, though not his.
                await self._refuse(payout)
                more["status"] = PayoutStatus.REFUSED
        if is_paid and not is_reserved:
            raise Conflict
        return await self._payouts.find(payout_id) or settled

    async def _record_end(self, payout: Payout, *, is_paid: bool) -> None:
        owner = payout.pandit_user_id
        kind = EntryKind.PAYOUT_PAID if is_paid else EntryKind.PAYOUT_REFUSED
        to = ledger.BANK if is_paid else ledger.pandit(owner)
        postings = [Posting(ledger.payouts(owner), payout.amount), Posting(to, -payout.amount)]
        # One cause for both ends: of two members of staff who disagree the first decides.
        entry = await self._book.record(
            self._entry(payout, f"payout-settled:{payout.id}", kind, postings)
        )
        if entry.kind is not kind:
            raise Conflict

    def _entry(
        self, payout: Payout, cause: str, kind: EntryKind, postings: list[Posting]
    ) -> LedgerEntry:
        return LedgerEntry(
            cause=cause,
            kind=kind,
            at=self._clock.now(),
            currency=payout.currency,
            postings=tuple(postings),
            refs={"payout_id": payout.id, "user_id": payout.pandit_user_id},
        )

    async def list_own(self, actor: Actor, *, limit: int, after: SortKey | None) -> Page[Payout]:
        """The actor's own payouts, newest first."""
        return await self._payouts.list_page(
            pandit_user_id=actor.user_id, status=None, limit=limit, after=after
        )

    async def list_all(
        self, *, status: PayoutStatus | None, limit: int, after: SortKey | None
    ) -> Page[Payout]:
        """Everybody's payouts, newest first; for staff."""
        return await self._payouts.list_page(
            pandit_user_id=None, status=status, limit=limit, after=after
        )


def _cause(payout: Payout) -> str:
    """Under which the ledger says that a payout is reserved, or that it never will be."""
    return f"payout-asked:{payout.id}"
