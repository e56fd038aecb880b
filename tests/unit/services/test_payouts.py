"""Payouts that race with one another and with earnings: what is reserved is always on record.

The services are the real ones, the two stores are models of theirs. Before each step in a store a
call stands still until the test lets it go on, so an order is chosen; to close it there is a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from itertools import count
from types import coroutine
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import ledger
from server.domain.account import Actor, Role
from server.domain.audit import Act, AuditEntry
from server.domain.errors import ConcurrentChange, Conflict, DomainError, InsufficientBalance
from server.domain.ledger import Chain, EntryKind, LedgerEntry
from server.domain.payout import Payout, PayoutStatus
from server.domain.ports.paging import Page, SortKey
from server.services.audit import AuditService
from server.services.ledger import LedgerService
from server.services.payouts import PayoutService
from tests.support import FakeClock

PANDIT = Actor(user_id="u", role=Role.PANDIT, session_id="s", full_name="Hari")
ADMIN = Actor(user_id="a", role=Role.ADMIN, session_id="t", full_name="Maya")


@coroutine
def turn() -> Generator[None]:
    """Stand still until the test goes on."""
    yield


class Entries:
    """The ledger's store: a cause once, and each place in a chain once."""

    def __init__(self) -> None:
        self.by_cause: dict[str, LedgerEntry] = {}

    async def add(self, entry: LedgerEntry) -> bool:
        await turn()
        if entry.cause in self.by_cause:
            return False
        if entry.chain and any(_place(each) == _place(entry) for each in self.by_cause.values()):
            raise ConcurrentChange
        self.by_cause[entry.cause] = entry
        return True

    async def find(self, cause: str) -> LedgerEntry | None:
        await turn()
        return self.by_cause.get(cause)

    async def head(self, owner: str) -> Chain | None:
        await turn()
        return self.newest(owner)

    def newest(self, owner: str) -> Chain | None:
        links = [each.chain for each in self.by_cause.values() if each.chain]
        own = [link for link in links if link.owner == owner]
        return max(own, key=lambda link: link.number, default=None)

    list_chain = list_page = totals = None


def _place(entry: LedgerEntry) -> tuple[str, int] | None:
    return (entry.chain.owner, entry.chain.number) if entry.chain else None


class Payouts:
    """The payouts' store."""

    def __init__(self) -> None:
        self.by_id: dict[str, Payout] = {}

    async def add(self, payout: Payout) -> None:
        await turn()
        self.by_id[payout.id] = payout

    async def find(self, payout_id: str) -> Payout | None:
        await turn()
        return self.by_id.get(payout_id)

    async def settle_if_asked(self, payout: Payout) -> bool:
        await turn()
        if self.by_id[payout.id].status is not PayoutStatus.ASKED:
            return False
        self.by_id[payout.id] = payout
        return True

    async def list_page(
        self,
        *,
        pandit_user_id: str | None,
        status: PayoutStatus | None,
        limit: int,
        after: SortKey | None,
    ) -> Page[Payout]:
        await turn()
        return Page(tuple(each for each in self.by_id.values() if status in (None, each.status)))


class Record:
    """Where acts of staff go."""

    def __init__(self) -> None:
        self.by_id: dict[str, AuditEntry] = {}

    async def add(self, entry: AuditEntry) -> None:
        await turn()
        self.by_id[entry.id] = entry

    async def finish(self, entry: AuditEntry) -> None:
        await turn()
        self.by_id[entry.id] = entry

    async def remove(self, entry_id: str) -> None:
        await turn()
        del self.by_id[entry_id]

    async def list_page(
        self, *, act: Act | None, target_id: str | None, limit: int, after: SortKey | None
    ) -> Page[AuditEntry]:
        return Page(())


class Ids:
    """The ids "1", "2", and so on."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def new(self) -> str:
        return str(next(self._numbers))


class Call:
    """A call of a service, which goes as far as it is let."""

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._work = work
        self.result: Any = None
        self.error: DomainError | None = None
        self.is_over = False
        # As far as to its first call of a store; there it may be left without a warning.
        self.step()

    def step(self) -> None:
        """Let it make its next call of a store, and go on to the one after it."""
        try:
            self._work.send(None)
        except StopIteration as end:
            self.result, self.is_over = end.value, True
        except DomainError as error:
            self.error, self.is_over = error, True

    def step_if_it_can(self) -> None:
        if not self.is_over:
            self.step()

    def run(self) -> Call:
        while not self.is_over:
            self.step()
        return self

    def run_until(self, is_there: Callable[[], bool]) -> None:
        while not is_there():
            assert not self.is_over
            self.step()

    def crash(self) -> None:
        self._work.close()
        self.is_over = True


class House:
    """The services above the two stores, with one pandit."""

    def __init__(self) -> None:
        self.entries, self.payouts = Entries(), Payouts()
        clock, ids = FakeClock(), Ids()
        self.book = LedgerService(self.entries)  # type: ignore[arg-type]
        self.record = Record()
        audit = AuditService(self.record, clock, ids)
        self.service = PayoutService(self.payouts, self.book, audit, clock, ids, 100)
        self._clock = clock
        self._earned = count(1)

    def earn(self, amount: int) -> Call:
        return Call(
            self.book.record(
                LedgerEntry(
                    cause=f"earning:{next(self._earned)}",
                    kind=EntryKind.EARNING,
                    at=self._clock.now(),
                    currency="NPR",
                    postings=ledger.two(ledger.customer("c"), ledger.pandit("u"), amount),
                )
            )
        )

    def ask(self, amount: int) -> Call:
        return Call(self.service.ask(PANDIT, amount, "bank"))

    def settle(self, payout_id: str, *, is_paid: bool) -> Call:
        return Call(self.service.settle(ADMIN, payout_id, is_paid=is_paid, note=""))

    def begin(self, wish: str, number: int) -> Call:
        """A call of that kind: of an amount, or about one of the payouts on record by then."""
        if wish == "earn":
            return self.earn(number)
        if wish == "ask":
            return self.ask(number)
        return Call(self._settle_one(number, is_paid=wish == "pay"))

    async def _settle_one(self, number: int, *, is_paid: bool) -> None:
        await turn()
        ids = sorted(self.payouts.by_id)
        await self.service.settle(ADMIN, ids[number % len(ids)], is_paid=is_paid, note="")

    def settle_all(self) -> None:
        """Staff end what is asked for, each as it was begun."""
        for payout in list(self.payouts.by_id.values()):
            if payout.status is PayoutStatus.ASKED:
                call = self.settle(payout.id, is_paid=True).run()
                if isinstance(call.error, Conflict):
                    self.settle(payout.id, is_paid=False).run()

    def balance(self, account: str) -> int:
        """What all entries together leave in an account; debits are above zero."""
        return sum(
            posting.amount
            for entry in self.entries.by_cause.values()
            for posting in entry.postings
            if posting.account == account
        )

    @property
    def reserved(self) -> int:
        """What the ledger says to be on its way to him."""
        head = self.entries.newest(ledger.pandit("u"))
        return head.balance(ledger.payouts("u")) if head else 0

    def statuses(self) -> list[tuple[int, str]]:
        return [(each.amount, each.status.value) for each in self.payouts.by_id.values()]

    def open_reservations(self) -> list[Payout]:
        """The payouts that are reserved and not settled as the ledger has it; all are on record."""
        return [
            self.payouts.by_id[entry.refs["payout_id"]]
            for entry in self.entries.by_cause.values()
            if entry.kind is EntryKind.PAYOUT_ASKED
            and f"payout-settled:{entry.refs['payout_id']}" not in self.entries.by_cause
        ]

    def check(self) -> None:
        """What holds at every moment."""
        reserved = self.open_reservations()
        assert sum(payout.amount for payout in reserved) == self.reserved
        assert {payout.status for payout in reserved} <= {PayoutStatus.ASKED}


def outbid(house: House) -> Call:
    """Of two calls that want 8,000 of 10,000 the one that was slower: it has nothing to take."""
    house.earn(10_000).run()
    slow = house.ask(8_000)
    for _ in range(2):
        slow.step()
    # It has seen that there is enough, and has not written down yet what it wants.
    assert house.payouts.by_id == {}
    assert house.ask(8_000).run().error is None
    return slow


@pytest.mark.parametrize("steps", range(10))
def test_an_earning_that_comes_while_a_payout_is_given_up_does_not_vanish(steps: int) -> None:
    house = House()
    slow = outbid(house)
    for _ in range(steps):
        slow.step_if_it_can()
    house.earn(9_000).run()
    # Whoever comes next reserves what was asked for before, unless it is given up.
    house.ask(500).run()
    house.check()
    slow.run()
    house.check()
    if slow.error is None:
        assert slow.result.id in {payout.id for payout in house.open_reservations()}
        assert house.reserved == 16_500
    else:
        assert isinstance(slow.error, InsufficientBalance)
        assert house.reserved == 8_500
    assert sum(amount for amount, status in house.statuses() if status == "ASKED") == house.reserved


@pytest.mark.parametrize("steps", range(10))
def test_an_earning_that_comes_while_staff_refuse_a_payout_does_not_vanish(steps: int) -> None:
    house = House()
    slow = outbid(house)
    slow.run_until(lambda: len(house.payouts.by_id) == 2)
    slow.crash()
    (asked,) = {"1", "2"} - {payout.id for payout in house.open_reservations()}
    refusing = house.settle(asked, is_paid=False)
    for _ in range(steps):
        refusing.step_if_it_can()
    house.earn(9_000).run()
    house.ask(500).run()
    house.check()
    assert refusing.run().error is None
    house.check()
    assert house.reserved == 8_500
    assert house.statuses().count((8_000, "REFUSED")) == 1


def test_a_payout_that_was_given_up_is_never_paid() -> None:
    house = House()
    slow = outbid(house)
    given_up = slow.run()
    assert isinstance(given_up.error, InsufficientBalance)
    (refused,) = (each.id for each in house.payouts.by_id.values() if each.settled_at is not None)
    house.earn(9_000).run()
    assert isinstance(house.settle(refused, is_paid=True).run().error, Conflict)
    assert house.settle(refused, is_paid=False).run().error is None
    house.check()
    assert (house.reserved, house.statuses()) == (8_000, [(8_000, "ASKED"), (8_000, "REFUSED")])


def test_a_payout_of_which_only_the_ledger_knows_that_it_was_given_up_is_refused_by_the_next() -> (
    None
):
    for settles in (False, True):
        house = House()
        slow = outbid(house)
        slow.run_until(
            lambda house=house: any(  # type: ignore[misc]
                entry.kind is EntryKind.PAYOUT_REFUSED for entry in house.entries.by_cause.values()
            )
        )
        slow.crash()
        assert [status for _, status in house.statuses()] == ["ASKED", "ASKED"]
        house.earn(9_000).run()
        (asked,) = {"1", "2"} - {payout.id for payout in house.open_reservations()}
        if settles:
            assert isinstance(house.settle(asked, is_paid=True).run().error, Conflict)
            (entry,) = house.record.by_id.values()
            assert (entry.is_done, entry.details["status"]) == (True, "REFUSED")
        else:
            house.ask(500).run()
        assert house.payouts.by_id[asked].status is PayoutStatus.REFUSED
        house.check()


_WISHES: Final = st.one_of(
    st.tuples(st.just("earn"), st.sampled_from([500, 1_000, 4_000])),
    st.tuples(st.just("ask"), st.sampled_from([500, 1_000, 3_000])),
    st.tuples(st.sampled_from(["pay", "refuse"]), st.integers(0, 3)),
)


@given(st.lists(_WISHES, min_size=2, max_size=7), st.data())
def test_ledger_and_payouts_agree_whatever_the_order_and_wherever_one_ends(
    wishes: list[tuple[str, int]], data: st.DataObject
) -> None:
    house = House()
    house.earn(3_000).run()
    house.ask(500).run()
    calls = [house.begin(wish, number) for wish, number in wishes]
    while calls:
        call = data.draw(st.sampled_from(calls))
        if data.draw(st.integers(0, 30)) == 30:
            call.crash()
        else:
            call.step()
        house.check()
        if call.is_over:
            calls.remove(call)
    # Whoever comes after a crash leaves nothing open: first his next wish, then staff.
    house.earn(100_000).run()
    house.ask(100).run()
    house.check()
    house.settle_all()
    assert house.reserved == 0
    assert {status for _, status in house.statuses()} <= {"PAID", "REFUSED"}
    assert -house.balance(ledger.BANK) == sum(
        amount for amount, status in house.statuses() if status == "PAID"
    )
