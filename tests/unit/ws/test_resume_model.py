"""Whatever comes in whichever order: the rules of numbers, against a simple model.

The model is a list: the room's messages in the order of their numbers. Hypothesis lets people talk,
drop, resume and read on two processes, lets the broker lose, delay, double and shuffle what is
published, and the database be slow, be away, or store and not answer. At any time no connection may
have seen a gap, a repeat or a disorder; in the end everybody shows the list.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from tests.chaos.checker import Page, check_room
from tests.fakes.processes import RAM, ROOM, SITA, Device, World

MAX_REPLAY = 500
FIRST_PAGE = 50
SETTLE_SECONDS = 4.0
DEVICES = st.integers(0, 3)
PROCESSES = st.integers(0, 1)
PAUSES = st.sampled_from((0.0, 0.0, 0.05, 0.5))


class Conversation(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.acked: dict[tuple[str, str], tuple[int, str]] = {}
        self.count = 0
        self.marks = {SITA: 0, RAM: 0}
        for place, device in enumerate(self.world.devices):
            self.world.call(device.come, self.world.processes[place % 2])
        self.world.pass_time(0.05)

    def teardown(self) -> None:
        try:
            self._settle_everything()
            self._check_in_the_end()
        finally:
            self.world.close()

    # -- people -----------------------------------------------------------------------------------

    @rule(place=DEVICES, process=PROCESSES, pause=PAUSES)
    def come_back(self, place: int, process: int, pause: float) -> None:
        device = self._away(place)
        if device is None:
            return
        before = len(self.world.stored())
        self.world.call(device.come, self.world.processes[process])
        self.world.pass_time(pause)
        self._check_first_page(device, before)

    @rule(place=DEVICES, process=PROCESSES)
    def come_anew(self, place: int, process: int) -> None:
        device = self._away(place)
        if device is not None:
            device.forget(None)
            self.world.call(device.come, self.world.processes[process])
            self.world.pass_time(0.05)

    @rule(place=DEVICES, process=PROCESSES, back=st.integers(1, 600))
    def come_from_long_ago(self, place: int, process: int, back: int) -> None:
        device = self._away(place)
        if device is not None and device.cursor is not None and device.floor == 1:
            before = len(self.world.stored())
            device.forget(max(0, device.cursor - back))
            self.world.call(device.come, self.world.processes[process])
            self.world.pass_time(0.05)
            self._check_first_page(device, before)

    @rule(place=DEVICES, process=PROCESSES, ahead=st.integers(1, 2000))
    def come_from_another_world(self, place: int, process: int, ahead: int) -> None:
        device = self._away(place)
        if device is not None:
            before = len(self.world.stored())
            device.forget(None)
            device.cursor = before + ahead
            self.world.call(device.come, self.world.processes[process])
            self.world.pass_time(0.05)
            self._check_gap(device, before)

    @rule(place=DEVICES, process=PROCESSES)
    def come_with_another_epoch(self, place: int, process: int) -> None:
        device = self._away(place)
        if device is not None and device.cursor is not None:
            before = len(self.world.stored())
            self.world.call(device.come, self.world.processes[process], "1")
            self.world.pass_time(0.05)
            self._check_gap(device, before)

    @rule(place=DEVICES, other=DEVICES, process=PROCESSES)
    def come_while_others_talk(self, place: int, other: int, process: int) -> None:
        """What is said while the first page is being read is in no page, and not live yet."""
        self.drop(place)
        self.world.messages.read_seconds = 0.1
        self.world.call(self.world.devices[place].come, self.world.processes[process])
        self.world.pass_time(0.05)
        self.say(other, 2, 0.5)
        self.world.messages.read_seconds = 0.0

    @rule(place=DEVICES)
    def drop(self, place: int) -> None:
        self.world.call(self.world.devices[place].leave)

    @rule(place=DEVICES, count=st.integers(1, 4), pause=PAUSES)
    def say(self, place: int, count: int, pause: float) -> None:
        device = self._here(place)
        if device is None:
            return
        for _ in range(count):
            self.count += 1
            cid = f"cid-{self.count}"
            device.record.said[cid] = f"text {self.count}"
            self.world.call(device.say, cid, device.record.said[cid])
        self.world.pass_time(pause)

    @rule(place=DEVICES, data=st.data(), pause=PAUSES)
    def say_again(self, place: int, data: st.DataObject, pause: float) -> None:
        """The same message, from this device or the other one of the same person."""
        device = self._here(place)
        if device is None:
            return
        said = self._said_by(device)
        if said:
            cid = data.draw(st.sampled_from(sorted(said)), "cid")
            device.record.said[cid] = said[cid]
            self.world.call(device.say, cid, said[cid])
            self.world.pass_time(pause)

    @rule(place=DEVICES)
    def say_something_else_under_the_same_cid(self, place: int) -> None:
        messages = self.world.messages
        is_sound = messages.gate.is_set() and not self.world.is_away and not messages.loses_answers
        if not is_sound or self._here(place) is None:
            return
        self.say(place, 1, SETTLE_SECONDS)
        device, cid = self._here(place), f"cid-{self.count}"
        if device is None:
            return
        before = len(self.world.stored())
        self.world.call(device.say, cid, "something else")
        self.world.pass_time(0.5)
        assert device.errors["cid_conflict", cid] == 1, device.errors
        assert len(self.world.stored()) == before

    @rule(place=DEVICES, back=st.integers(0, 5))
    def read(self, place: int, back: int) -> None:
        device = self._here(place)
        if device is None or not device.cursor or self.world.is_away:
            return
        seq = max(0, device.cursor - back)
        self.world.call(lambda: device.send(type="read", seq=seq))
        self.world.pass_time(SETTLE_SECONDS)
        if device.is_connected:
            self._mark(device, seq)

    # -- what breaks ------------------------------------------------------------------------------

    @rule(process=PROCESSES, count=st.integers(1, 10))
    def hear(self, process: int, count: int) -> None:
        self.world.call(self.world.processes[process].bus.hear, count)

    @rule(process=PROCESSES, count=st.integers(1, 10))
    def lose(self, process: int, count: int) -> None:
        inbox = self.world.processes[process].bus.inbox
        for _ in range(min(count, len(inbox))):
            inbox.popleft()

    @rule(process=PROCESSES, draw=st.randoms(use_true_random=False))
    def shuffle(self, process: int, draw: object) -> None:
        inbox = self.world.processes[process].bus.inbox
        mixed = list(inbox)
        draw.shuffle(mixed)  # type: ignore[attr-defined]  # a Random of hypothesis
        inbox.clear()
        inbox.extend(mixed)

    @rule(process=PROCESSES)
    def double(self, process: int) -> None:
        inbox = self.world.processes[process].bus.inbox
        inbox.extend(tuple(inbox)[:10])

    @rule()
    def restore(self) -> None:
        for process in self.world.processes:
            self.world.call(process.bus.restore)

    @rule(seconds=st.sampled_from((0.0, 0.02, 0.1)))
    def read_slowly(self, seconds: float) -> None:
        self.world.messages.read_seconds = seconds

    @rule()
    def write_slowly(self) -> None:
        self.world.messages.gate.clear()

    @rule()
    def write_again(self) -> None:
        self.world.messages.gate.set()

    @rule(is_away=st.booleans())
    def lose_the_database(self, is_away: bool) -> None:
        self.world.set_away(is_away=is_away)

    @rule(does=st.booleans())
    def lose_its_answers(self, does: bool) -> None:
        self.world.messages.loses_answers = does

    @precondition(lambda self: len(self.world.messages.rows) < 1200)
    @rule(count=st.sampled_from((1, 60, 501)))
    def die_before_telling(self, count: int) -> None:
        """A third process stores messages and is killed before anybody hears of them."""
        self.world.store_untold(count)

    @rule(seconds=st.sampled_from((0.1, 1.0, 10.0)))
    def wait(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    # -- what must hold ---------------------------------------------------------------------------

    @invariant()
    def nobody_saw_a_gap_a_repeat_or_a_disorder(self) -> None:
        stored = self.world.stored()
        assert [entry.seq for entry in stored] == list(range(1, len(stored) + 1))
        for device in self.world.devices:
            assert not device.faults, device.faults
            for entry in device.have.values():
                assert stored[entry.seq - 1] == entry, (device.record.name, entry)
        # What is shown and what is not answered yet is judged in the end.
        found = check_room(stored, self.world.records())
        early = [each for each in found if "connection" in each or "acknowledged" in each]
        assert not early, early

    def _check_first_page(self, device: Device, before: int) -> None:
        if before != len(self.world.stored()) or not device.is_ready or not device.record.visits:
            return
        after = device.visit.after
        first = next(each for each in device.visit.seen if isinstance(each, Page))
        if after is None:
            assert not first.gap
        elif after <= before <= after + MAX_REPLAY:
            assert not first.gap, (after, before, first)
        elif after > before:
            self._check_gap(device, before)

    def _check_gap(self, device: Device, before: int) -> None:
        if before != len(self.world.stored()) or not device.is_ready:
            return
        first = next(each for each in device.visit.seen if isinstance(each, Page))
        assert first.gap, first
        assert len(first.seqs) <= FIRST_PAGE

    # -- the end ----------------------------------------------------------------------------------

    def _settle_everything(self) -> None:
        world = self.world
        world.set_away(is_away=False)
        world.messages.loses_answers = False
        world.messages.read_seconds = 0.0
        world.messages.gate.set()
        world.pass_time(SETTLE_SECONDS)
        # What was not answered is said again; nobody else can know whether it is stored.
        for device in world.devices:
            if device.is_ready:
                for cid in device.unanswered():
                    world.call(device.say, cid, device.record.said[cid])
        world.pass_time(SETTLE_SECONDS)
        for process in world.processes:
            process.bus.inbox.clear()
            world.call(process.bus.restore)
        world.pass_time(2 * SETTLE_SECONDS)
        # Those who stayed have been served what the broker lost, without coming back.
        head = len(world.stored())
        for device in world.devices:
            if device.is_ready:
                self._ask_for_all(device)
                assert device.cursor == head, (device.record.name, device.cursor, head)

    def _check_in_the_end(self) -> None:
        world = self.world
        for place, device in enumerate(world.devices):
            world.call(device.leave)
            world.call(device.come, world.processes[place % 2])
            world.pass_time(1.0)
            for cid in device.record.said:
                world.call(device.say, cid, device.record.said[cid])
        world.pass_time(SETTLE_SECONDS)
        for process in world.processes:
            world.call(process.bus.hear, len(process.bus.inbox))
        world.pass_time(SETTLE_SECONDS)
        for device in world.devices:
            self._ask_for_all(device)
        stored = world.stored()
        faults = check_room(stored, world.records())
        assert not faults, faults
        self.nobody_saw_a_gap_a_repeat_or_a_disorder()
        self._check_unread()

    def _check_unread(self) -> None:
        """Unread is what others have said above one's own mark, whichever process is asked."""
        stored = self.world.stored()
        for process in self.world.processes:
            for user_id, actor in self.world.actors.items():
                own = [entry.seq for entry in stored if entry.sender_id == user_id]
                mark = max([self.marks[user_id], *own])
                wanted = sum(entry.seq > mark and entry.sender_id != user_id for entry in stored)
                found = self.world.run(process.chats.unread(actor)).get(ROOM, 0)
                told = (user_id, mark, found, wanted)
                assert found == wanted, told

    # -- small things -----------------------------------------------------------------------------

    def _away(self, place: int) -> Device | None:
        device = self.world.devices[place]
        return None if device.is_connected else device

    def _here(self, place: int) -> Device | None:
        device = self.world.devices[place]
        return device if device.is_ready else None

    @staticmethod
    def _user(device: Device) -> str:
        return device.actor.user_id

    def _said_by(self, device: Device) -> dict[str, str]:
        return {
            cid: content
            for other in self.world.devices
            if other.actor is device.actor
            for cid, content in other.record.said.items()
            if cid.startswith("cid")
        }

    def _mark(self, device: Device, seq: int) -> None:
        self.marks[self._user(device)] = max(seq, self.marks[self._user(device)])

    def _ask_for_all(self, device: Device) -> None:
        async def ask() -> bool:
            return device.ask()

        for _ in range(40):
            if not self.world.run(ask()):
                return
            self.world.pass_time(0.2)


TestConversation = Conversation.TestCase
TestConversation.settings = settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "40")),
    stateful_step_count=40,
    deadline=None,
    # Asked for a number of examples, it tries new ones.
    derandomize="MODEL_EXAMPLES" not in os.environ,
    database=None,
    # Without explanations: they trace every line, and a failure takes minutes to be told.
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
