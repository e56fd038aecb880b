from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.domain.chat import Attachment, ChatRoom, Message, MessageType, ReadMark, head_of
from server.domain.errors import NotFound
from server.domain.ports.chats import MAX_STARTS, MessageRepository, ReadSpan, RoomChange
from server.services.message_writer import key_of
from server.store import messages as message_documents
from server.store import rooms as room_documents
from server.store.attachments import DiskFileStore, MongoAttachmentRepository
from server.store.client import Collection, ObjectIds, Store
from server.store.codec import to_document
from server.store.messages import MongoMessageRepository
from server.store.migrations import m0005_message_places
from server.store.rooms import MongoRoomRepository
from tests.factories import make_message
from tests.fakes.chat import MemoryMessageRepository

NOW = datetime(2026, 11, 22, 4, 15, tzinfo=UTC)


@pytest.fixture(params=["mongo", "fake"])
def messages(request: pytest.FixtureRequest) -> MessageRepository:
    if request.param == "fake":
        return MemoryMessageRepository()
    return MongoMessageRepository(request.getfixturevalue("store"))


def room(**overrides: Any) -> ChatRoom:
    made = ChatRoom(
        id=ObjectIds().new(),
        booking_id=ObjectIds().new(),
        customer_id="sita",
        customer_name="Sita",
        pandit_id="p1",
        pandit_user_id="ram",
        pandit_name="Ram",
        created_at=NOW,
    )
    return replace(made, **overrides)


async def test_a_batch_is_stored_as_it_was_given(messages: MessageRepository) -> None:
    attachment = Attachment(
        id="f" * 32,
        room_id="room",
        owner_id="sita",
        name="a.png",
        mime="image/png",
        size=9,
        created_at=NOW,
    )
    batch = [
        make_message(1),
        make_message(2, attachment=attachment, message_type=MessageType.IMAGE),
    ]
    assert await messages.insert(batch) == {}
    assert await messages.list_after("room", 0, 10) == batch
    assert await messages.head("room") == 2
    assert await messages.head("elsewhere") == 0


async def test_each_refusal_is_told_apart_and_spoils_no_other_room(
    messages: MessageRepository,
) -> None:
    first, other = make_message(1), make_message(1, room_id="other")
    await messages.insert([first, other])
    resent, clashing = make_message(2, cid=first.cid), make_message(1, room_id="other")
    good = make_message(1, room_id="third")
    assert await messages.insert([resent, clashing, good]) == {0: first, 1: None}
    assert [row.sequence for row in await messages.list_after("room", 0, 10)] == [1]
    assert await messages.list_after("third", 0, 10) == [good]


async def test_nothing_of_a_room_is_stored_behind_a_refusal(messages: MessageRepository) -> None:
    """Or the number that a resend did not use would stay free for ever."""
    sent = [make_message(1), make_message(2)]
    await messages.insert(sent)
    batch = [
        make_message(1, room_id="alone"),
        *(make_message(number, room_id="before") for number in (1, 2)),
        make_message(3),
        make_message(4, cid=sent[0].cid),
        make_message(5),
        make_message(6, cid=sent[1].cid),
        *(make_message(number, room_id="after") for number in (1, 2)),
        make_message(3, room_id="before"),
        *(make_message(1, room_id="clash", cid=cid) for cid in ("a", "b")),
        make_message(2, room_id="clash"),
        make_message(1, room_id="last"),
        make_message(2, room_id="last", cid="c"),
        make_message(3, room_id="last", cid="c"),
    ]
    refused = await messages.insert(batch)
    assert refused.keys() == {4, 5, 6, 11, 12, 15}
    assert (refused[4], refused[5], refused[6]) == (sent[0], None, sent[1])
    assert (refused[11], refused[12]) == (None, None)
    assert refused[15] is not None
    assert refused[15].sequence == 2
    for name, numbers in (
        ("room", [1, 2, 3]), ("alone", [1]), ("before", [1, 2, 3]), ("after", [1, 2]),
        ("clash", [1]), ("last", [1, 2]),
    ):  # fmt: skip
        assert [row.sequence for row in await messages.list_after(name, 0, 10)] == numbers


async def test_a_resend_under_its_own_number_is_a_duplicate(messages: MessageRepository) -> None:
    first = make_message(1)
    await messages.insert([first])
    assert await messages.insert([replace(first, id=ObjectIds().new())]) == {0: first}


async def test_a_batch_that_is_written_again_counts_as_stored(store: Store) -> None:
    """As after an answer that was lost with its connection."""
    messages = MongoMessageRepository(store)
    batch = [make_message(1), make_message(2), make_message(1, room_id="other")]
    await messages.insert(batch[:1])
    assert await messages.insert(batch) == {}
    assert await messages.insert(batch) == {}
    assert await messages.list_after("room", 0, 10) == batch[:2]


async def test_a_claim_whose_message_was_never_stored_is_taken_over(store: Store) -> None:
    """Its writer died between the two."""
    messages = MongoMessageRepository(store)
    first, lost = make_message(1), make_message(2)
    await messages.insert([first])
    claim, _ = message_documents.documents_of(lost)
    await store.collection(message_documents.COLLECTION).insert_one(claim)
    resent = replace(lost, id=ObjectIds().new())
    assert await messages.find_sent([key_of(lost)]) == []
    assert await messages.insert([resent, make_message(3, room_id="other")]) == {}
    assert await messages.list_after("room", 0, 10) == [first, resent]
    assert await messages.insert([replace(lost, sequence=3)]) == {0: resent}


async def test_a_claim_whose_number_another_message_has_taken_moves(store: Store) -> None:
    """As between processes: what was refused is sent again under a new number."""
    messages = MongoMessageRepository(store)
    lost = make_message(1)
    await messages.insert([make_message(1, sender_id="ram")])
    assert await messages.insert([lost, make_message(2)]) == {0: None, 1: None}
    again = replace(lost, sequence=2)
    assert await messages.insert([again, make_message(3)]) == {}
    assert await messages.find_sent([key_of(lost)]) == [again]
    assert [row.sequence for row in await messages.list_after("room", 0, 10)] == [1, 2, 3]


async def test_a_claim_at_a_free_number_binds_its_message_to_it(store: Store) -> None:
    """Whoever wrote it may be about to store it there: elsewhere it would be there twice."""
    messages = MongoMessageRepository(store)
    late = make_message(2)
    await messages.insert([make_message(1)])
    claim, document = message_documents.documents_of(late)
    documents = store.collection(message_documents.COLLECTION)
    await documents.insert_one(claim)
    resent = replace(late, id=ObjectIds().new(), sequence=3)
    assert await messages.insert([resent]) == {0: None}
    await documents.insert_one(document)
    assert await messages.insert([resent]) == {0: late}


async def test_a_claim_that_another_moves_first_is_not_moved(store: Store) -> None:
    """Of two who take it over at once, one stores the message."""
    messages = MongoMessageRepository(store)
    lost = make_message(1)
    await messages.insert([make_message(1, sender_id="ram")])
    await messages.insert([lost])
    tries = [replace(lost, id=ObjectIds().new(), sequence=2) for _ in range(5)]
    outcomes = await asyncio.gather(*(messages.insert([each]) for each in tries))
    stored = await messages.list_after("room", 1, 10)
    assert len(stored) == 1
    assert sum(not outcome for outcome in outcomes) == 1


def counted(method: Callable[..., Any], commands: list[str]) -> Callable[..., Any]:
    """The method, which adds its name to the commands whenever it is called."""

    def call(*args: Any, **kwargs: Any) -> Any:
        commands.append(method.__name__)
        return method(*args, **kwargs)

    return call


async def test_a_batch_whose_heads_are_all_stale_costs_few_commands(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while the bus is away and two processes serve the members of the same rooms."""
    messages = MongoMessageRepository(store)
    rooms = [f"room-{number}" for number in range(100)]
    await messages.insert([make_message(1, room_id=each, sender_id="ram") for each in rooms])
    stale = [make_message(1, room_id=each) for each in rooms]
    commands: list[str] = []
    for name in ("insert_batch", "update_one", "find"):
        monkeypatch.setattr(Collection, name, counted(getattr(Collection, name), commands))
    assert await messages.insert(stale) == dict.fromkeys(range(100))
    again = [replace(each, sequence=2) for each in stale]
    assert await messages.insert(again) == {}
    assert commands.count("insert_batch") == 4
    assert len(commands) < 15


class MessagesArrive(MongoMessageRepository):
    """Between the two queries of a long page more messages are stored."""

    def __init__(self, store: Store, arriving: list[Message]) -> None:
        super().__init__(store)
        self.plain = MongoMessageRepository(store)
        self.arriving = arriving

    async def _find(self, ids: Sequence[str], fields: Sequence[str] | None = None) -> list[Any]:
        found = []
        for start in range(0, len(ids), message_documents._MANY):
            found += await super()._find(ids[start : start + message_documents._MANY], fields)
            arriving, self.arriving = self.arriving, []
            await self.plain.insert(arriving)
        return found


async def test_a_page_has_no_hole_whatever_is_stored_meanwhile(store: Store) -> None:
    arriving = [make_message(number) for number in range(151, 158)]
    messages = MessagesArrive(store, arriving)
    await messages.plain.insert([make_message(number) for number in range(1, 151)])
    page = await messages.list_before("room", 159, 130)
    assert [row.sequence for row in page] == list(range(29, 158))


async def test_messages_of_before_are_found_after_the_migration(store: Store) -> None:
    """With their ids, and a resend of theirs is still a duplicate; run again, nothing changes."""
    documents = store.collection(message_documents.COLLECTION)
    await documents.create_indexes(m0005_message_places.OLD_INDEXES)
    old = [make_message(number) for number in range(1, 451)]
    await documents.insert_many([to_document(each) for each in old])
    # What a crash had moved already, and not yet deleted.
    await documents.drop_indexes(m0005_message_places.OLD_INDEXES)
    await documents.insert_many(list(message_documents.documents_of(old[0])))
    for _ in range(2):
        await m0005_message_places.run(store)
    messages = MongoMessageRepository(store)
    assert await messages.list_after("room", 0, 500) == old
    assert await messages.head("room") == 450
    assert await messages.insert([replace(old[7], id="new", sequence=451)]) == {0: old[7]}
    assert await documents.count({}, limit=2000) == 900


@pytest.mark.parametrize("in_the_way", [make_message(1, cid="new"), make_message(2, cid="old")])
async def test_the_migration_deletes_nothing_that_it_could_not_move(
    store: Store, in_the_way: Message
) -> None:
    """An older process wrote on while another message had been stored by this version."""
    documents = store.collection(message_documents.COLLECTION)
    old = make_message(1, cid="old")
    await documents.insert_many(list(message_documents.documents_of(in_the_way)))
    await documents.insert_one(to_document(old))
    with pytest.raises(RuntimeError, match="older version"):
        await m0005_message_places.run(store)
    assert await documents.find_one({"_id": old.id}) == to_document(old)


async def test_the_same_cid_in_another_room_or_by_another_is_another_message(
    messages: MessageRepository,
) -> None:
    first = make_message(1, cid="same")
    others = [
        make_message(2, cid="same", sender_id="ram"),
        make_message(1, cid="same", room_id="other"),
    ]
    assert await messages.insert([first, *others]) == {}
    found = await messages.find_sent([key_of(first), key_of(others[0]), ("room", "ram", "no")])
    assert sorted(row.sequence for row in found) == [1, 2]


async def test_history_goes_both_ways(messages: MessageRepository) -> None:
    await messages.insert([make_message(number) for number in range(1, 11)])

    def numbers(rows: list[Message]) -> list[int]:
        return [row.sequence for row in rows]

    assert numbers(await messages.list_after("room", 7, 2)) == [8, 9]
    assert numbers(await messages.list_before("room", None, 3)) == [8, 9, 10]
    assert numbers(await messages.list_before("room", 4, 10)) == [1, 2, 3]


async def test_what_follows_in_many_rooms_is_read_by_one_query(
    messages: MessageRepository,
) -> None:
    heads = {"empty": 0, "short": 3, "long": 30}
    await messages.insert(
        [make_message(n, room_id=room) for room, head in heads.items() for n in range(1, head + 1)]
    )
    starts = [("long", 25), ("empty", 0), ("short", 1), ("long", 2), ("short", 3), ("long", 0)]
    assert len(starts) <= MAX_STARTS
    pages = await messages.list_after_each(starts, 8)
    assert pages == [await messages.list_after(*start, 8) for start in starts]
    assert [len(page) for page in pages] == [5, 0, 2, 8, 0, 8]


async def test_pages_of_many_rooms_have_no_hole_either(store: Store) -> None:
    rooms = [f"room-{place}" for place in range(6)]
    arriving = [make_message(number, room_id=room) for room in rooms for number in (3, 4)]
    messages = MessagesArrive(store, arriving)
    await messages.plain.insert([make_message(n, room_id=room) for room in rooms for n in (1, 2)])
    # Two queries, the second begins with number 4 of the last room.
    assert message_documents._MANY == 5 * 25 + 3
    pages = await messages.list_after_each([(room, 0) for room in rooms], 25)
    assert [[row.sequence for row in page] for page in pages] == [[1, 2]] * 5 + [[1, 2, 3, 4]]


async def test_marking_touches_only_others_messages_in_the_span(
    messages: MessageRepository,
) -> None:
    await messages.insert([make_message(number) for number in (1, 2, 4)])
    await messages.insert([make_message(3, sender_id="ram")])
    await messages.mark_read([ReadSpan("room", "ram", 1, 3, NOW)])
    later = NOW + timedelta(minutes=1)
    await messages.mark_read(
        [ReadSpan("room", "ram", 0, 3, later), ReadSpan("elsewhere", "ram", 0, 3, later)]
    )
    await messages.mark_read([])
    rows = await messages.list_after("room", 0, 10)
    assert [row.read_at for row in rows] == [later, NOW, None, None]


@pytest.mark.parametrize("at_least", [0, 1, 60, 119, 120, 500])
async def test_the_head_is_found_from_any_number_that_is_known(
    messages: MessageRepository, at_least: int
) -> None:
    await messages.insert([make_message(number) for number in range(1, 121)])
    assert await messages.head("room", at_least=at_least) == 120
    assert await messages.head("elsewhere", at_least=at_least) == 0


async def test_rooms_are_read_by_an_index(store: Store) -> None:
    rooms = store.collection(room_documents.COLLECTION)
    assert "IXSCAN" in str(
        await rooms.explain({"members": "sita"}, sort=(("active_at", -1), ("_id", -1)), limit=5)
    )


async def test_a_booking_has_one_room_whoever_races(store: Store) -> None:
    rooms = MongoRoomRepository(store)
    booking_id = "booking"
    made = await asyncio.gather(*(rooms.add(room(booking_id=booking_id)) for _ in range(10)))
    assert len({each.id for each in made}) == 1
    assert await rooms.find_by_booking(booking_id) == made[0]
    assert await rooms.find(made[0].id) == made[0]
    assert await rooms.find("no such room") is None


async def test_heads_and_marks_never_go_back(store: Store) -> None:
    rooms = MongoRoomRepository(store)
    kept = await rooms.add(room())
    newer, older = head_of(make_message(5)), head_of(make_message(3, content="older"))
    mark = ReadMark(sequence=5, read_at=NOW)
    long_after = NOW + timedelta(days=1)
    await rooms.advance([RoomChange(kept.id, newer, {"sita": mark})])
    await rooms.advance(
        [
            RoomChange(kept.id, older, {"sita": ReadMark(sequence=3, read_at=long_after)}),
            RoomChange("no such room", older, {}),
        ]
    )
    await rooms.advance([])
    found = await rooms.find(kept.id)
    assert found is not None
    assert found.head == newer
    assert found.reads == {"sita": mark}
    await rooms.advance([RoomChange(kept.id, None, {"ram": ReadMark(sequence=2, read_at=NOW)})])
    assert await rooms.heads_and_marks("ram", 10) == {kept.id: (5, 2)}
    assert await rooms.heads_and_marks("sita", 10) == {kept.id: (5, 5)}
    assert await rooms.heads_and_marks("nobody", 10) == {}
    ten, nine = head_of(make_message(10)), head_of(make_message(9))
    await rooms.advance([RoomChange(kept.id, nine, {}), RoomChange(kept.id, ten, {})])
    assert (await rooms.heads_and_marks("ram", 10))[kept.id] == (10, 2), "compared as numbers"


async def test_rooms_are_listed_by_activity_and_paged_without_loss(store: Store) -> None:
    rooms = MongoRoomRepository(store)
    made = [
        await rooms.add(room(created_at=NOW + timedelta(minutes=number))) for number in range(5)
    ]
    await rooms.add(room(customer_id="somebody", pandit_user_id="else"))
    busy = head_of(make_message(1, timestamp=NOW + timedelta(hours=1)))
    await rooms.advance([RoomChange(made[1].id, busy, {})])
    first = await rooms.list_for("ram", limit=3, after=None)
    second = await rooms.list_for("ram", limit=3, after=first.next_key)
    listed = [each.id for each in (*first.rows, *second.rows)]
    assert listed == [made[place].id for place in (1, 4, 3, 2, 0)]
    assert second.next_key is None


async def test_closing_keeps_the_room(store: Store) -> None:
    rooms = MongoRoomRepository(store)
    kept = await rooms.add(room())
    assert await rooms.close(kept.booking_id) == kept.id
    found = await rooms.find(kept.id)
    assert found is not None
    assert not found.is_active
    assert await rooms.close("no such booking") is None


async def test_attachments_are_found_by_id(store: Store) -> None:
    attachments = MongoAttachmentRepository(store)
    attachment = Attachment(
        id="a" * 32,
        room_id="room",
        owner_id="sita",
        name="पूजा.pdf",
        mime="application/pdf",
        size=5,
        created_at=NOW,
    )
    await attachments.add(attachment, NOW + timedelta(hours=1))
    assert await attachments.find(attachment.id) == attachment
    assert await attachments.find("b" * 32) is None


async def test_attachments_that_are_not_kept_are_abandoned(store: Store) -> None:
    attachments = MongoAttachmentRepository(store)
    for name in ("kept", "left", "young"):
        attachment = Attachment(
            id=name,
            room_id="room",
            owner_id="sita",
            name="a.pdf",
            mime="application/pdf",
            size=5,
            created_at=NOW,
        )
        await attachments.add(attachment, NOW + timedelta(hours=2 if name == "young" else 1))
    assert await attachments.keep("kept")
    assert not await attachments.keep("no such thing")
    assert await attachments.count_unsent("sita", 10) == 2
    assert await attachments.count_unsent("ram", 10) == 0
    late = NOW + timedelta(hours=1)
    assert await attachments.list_abandoned(NOW, 10) == ()
    assert await attachments.list_abandoned(late, 10) == ("left",)
    assert not await attachments.remove_abandoned("kept", late)
    assert not await attachments.remove_abandoned("young", late)
    assert await attachments.remove_abandoned("left", late)
    assert not await attachments.keep("left")


async def test_files_are_whole_or_absent_and_stay_in_their_folder(tmp_path: Path) -> None:
    files = DiskFileStore(tmp_path / "files")
    await files.write("a1" * 16, b"content")
    assert await files.read("a1" * 16) == b"content"
    assert [path.name for path in (tmp_path / "files").rglob("*") if path.is_file()] == ["a1" * 16]
    (tmp_path / "secret12").write_bytes(b"secret")
    for name in ("b2" * 16, "../secret12", "/etc/passwd", "..", ""):
        with pytest.raises(NotFound):
            await files.read(name)
    with pytest.raises(NotFound):
        await files.write("../outside1", b"x")
