"""The judge of the chaos test sees what is wrong: records that are right but for one thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from tests.chaos.checker import Ack, Entry, Live, Page, Record, Visit, check_room

SITA, RAM = "sita", "ram"


@dataclasses.dataclass
class Case:
    stored: list[Entry]
    sita: Record
    ram: Record

    def faults(self) -> list[str]:
        return check_room(self.stored, [self.sita, self.ram])


def _case() -> Case:
    """Six messages by turns; Sita stayed, Ram lost his connection after the third."""
    stored = [
        Entry(seq, f"id{seq}", SITA if seq % 2 else RAM, f"cid{seq}", f"text {seq}")
        for seq in range(1, 7)
    ]
    sita = Record("S", SITA, {f"cid{seq}": f"text {seq}" for seq in (1, 3, 5)}, list(stored))
    ram = Record("R", RAM, {f"cid{seq}": f"text {seq}" for seq in (2, 4, 6)}, list(stored))
    sita.visits = [Visit(None, sent={"cid1", "cid3", "cid5"})]
    sita.visits[0].seen = [
        Page((), 0, False, False),
        _ack(1), Live(2), _ack(3), Live(4), _ack(5), Live(6),
    ]  # fmt: skip
    ram.visits = [Visit(None, sent={"cid2", "cid4"}), Visit(3, sent={"cid4", "cid6"})]
    ram.visits[0].seen = [Page((), 0, False, False), Live(1), _ack(2), Live(3)]
    ram.visits[1].seen = [Page((4,), 4, False, False), _ack(4, dup=True), Live(5), _ack(6)]
    return Case(stored, sita, ram)


def _ack(seq: int, *, dup: bool = False) -> Ack:
    return Ack(f"cid{seq}", seq, f"id{seq}", dup)


def test_nothing_is_said_of_what_is_right() -> None:
    assert _case().faults() == []


def _lose_stored(case: Case) -> None:
    del case.stored[3]


def _renumber_stored(case: Case) -> None:
    case.stored[5] = dataclasses.replace(case.stored[5], seq=7)


def _store_twice(case: Case) -> None:
    case.stored.append(dataclasses.replace(case.stored[2], seq=7, id="id7"))


def _store_number_twice(case: Case) -> None:
    case.stored[4] = dataclasses.replace(case.stored[4], seq=4)


def _store_other_text(case: Case) -> None:
    case.stored[1] = dataclasses.replace(case.stored[1], content="text of another")


def _store_what_nobody_said(case: Case) -> None:
    case.stored.append(Entry(7, "id7", SITA, "cid7", "text 7"))


def _say_what_is_not_stored(case: Case) -> None:
    case.sita.said["cid9"] = "text 9"


def _leave_unanswered(case: Case) -> None:
    case.ram.pending.append("cid6")


def _ack_other_number(case: Case) -> None:
    case.sita.visits[0].seen[5] = Ack("cid5", 6, "id5", False)


def _ack_other_id(case: Case) -> None:
    case.sita.visits[0].seen[5] = Ack("cid5", 5, "id6", False)


def _ack_as_new_twice(case: Case) -> None:
    case.ram.visits[1].seen[1] = _ack(4)
    case.ram.visits[0].seen.append(_ack(4))


def _ack_unsent(case: Case) -> None:
    case.ram.visits[1].sent.discard("cid6")


def _show_with_gap(case: Case) -> None:
    del case.ram.shown[2]


def _show_twice(case: Case) -> None:
    case.ram.shown.insert(3, case.ram.shown[2])


def _show_out_of_order(case: Case) -> None:
    case.ram.shown[2:4] = case.ram.shown[3], case.ram.shown[2]


def _show_too_little(case: Case) -> None:
    case.ram.shown.pop()


def _show_other_text(case: Case) -> None:
    case.sita.shown[0] = dataclasses.replace(case.sita.shown[0], content="text of another")


def _hear_with_gap(case: Case) -> None:
    case.sita.visits[0].seen.remove(Live(4))


def _hear_twice(case: Case) -> None:
    case.sita.visits[0].seen.append(Live(6))


def _hear_out_of_order(case: Case) -> None:
    case.ram.visits[0].seen[1], case.ram.visits[0].seen[3] = Live(3), Live(1)


def _hear_before_history(case: Case) -> None:
    del case.ram.visits[0].seen[0]


def _resume_with_gap(case: Case) -> None:
    case.ram.visits[1].after = 2


def _resume_with_repeat(case: Case) -> None:
    case.ram.visits[1].seen[0] = Page((3, 4), 4, False, False)


def _page_with_gap(case: Case) -> None:
    case.ram.visits[1] = Visit(1, seen=[Page((2, 4), 4, False, False), Live(5)], sent={"cid6"})


def _page_out_of_order(case: Case) -> None:
    case.ram.visits[1] = Visit(1, seen=[Page((2, 4, 3), 3, False, False)], sent={"cid6"})


def _page_with_another_end(case: Case) -> None:
    case.ram.visits[1].seen[0] = Page((4,), 5, False, False)


def _live_repeats_page(case: Case) -> None:
    case.ram.visits[1].seen.insert(1, Live(4))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_lose_stored, "numbers that nobody has"),
        (_lose_stored, "acknowledged and lost"),
        (_renumber_stored, "numbers that nobody has"),
        (_store_twice, "is there 2 times"),
        (_store_number_twice, "number 4 is there 2 times"),
        (_store_other_text, "another text"),
        (_store_what_nobody_said, "nobody has said"),
        (_say_what_is_not_stored, "said and not in the database"),
        (_leave_unanswered, "never acknowledged"),
        (_ack_other_number, "but the database has"),
        (_ack_other_id, "but the database has"),
        (_ack_as_new_twice, "acknowledged as new 2 times"),
        (_ack_unsent, "not sent here"),
        (_show_with_gap, "lacks 1 of 6"),
        (_show_twice, "shows twice: [3]"),
        (_show_out_of_order, "out of order"),
        (_show_too_little, "lacks 1 of 6"),
        (_show_other_text, "but the database has"),
        (_hear_with_gap, "message 6 after 2: [4] left out"),
        (_hear_twice, "message 6 after 6"),
        (_hear_out_of_order, "message 1 after 3"),
        (_hear_before_history, "before any history"),
        (_resume_with_gap, "a page of 4 to 4 after 2"),
        (_resume_with_repeat, "a page of 3 to 4 after 3"),
        (_page_with_gap, "a page with gaps"),
        (_page_out_of_order, "a page with gaps or out of order"),
        (_page_with_another_end, "and says 5"),
        (_live_repeats_page, "message 4 after 4"),
    ],
)
def test_each_thing_that_is_wrong_is_said(spoil: Callable[[Case], None], said: str) -> None:
    case = _case()
    spoil(case)
    assert any(said in fault for fault in case.faults()), case.faults()
