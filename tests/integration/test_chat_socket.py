"""The chat socket, spoken to by a strict client."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import random
import resource
import signal
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from server.app import RunningServer, open_server
from server.bus.memory import MemoryBus
from server.services.chats import Outgoing
from server.settings import DatabaseSettings, RealtimeSettings, Settings
from server.store.embedded import EmbeddedServer
from tests.support import CapturingCodeSender, FakeClock, People
from tests.talk import Client, Talk, chat_socket, make_talk, open_socket


@pytest.fixture
def realtime() -> RealtimeSettings:
    """The limits; tests that are about one of them override it."""
    return RealtimeSettings(
        reconnect_window_seconds=0.3,
        messages_per_second=100_000.0,
        message_burst=100_000,
        presence_grace_seconds=0.2,
        merge_seconds=0.1,
        ping_seconds=2.0,
    )


@pytest.fixture
def limits() -> dict[str, Any]:
    return {}


@pytest.fixture
def settings(settings: Settings, realtime: RealtimeSettings, limits: dict[str, Any]) -> Settings:
    return dataclasses.replace(settings, realtime=dataclasses.replace(realtime, **limits))


@pytest.fixture
async def talk(server: RunningServer, people: People) -> Talk:
    return await make_talk(people, server.port)


@pytest.fixture
async def both(talk: Talk) -> AsyncIterator[tuple[Client, Client]]:
    async with talk.socket(talk.customer) as customer, talk.socket(talk.pandit) as pandit:
        await customer.quiet()
        await pandit.quiet()
        yield customer, pandit


def limited(**values: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("limits", [values], ids=["small"])


async def history(talk: Talk) -> list[dict[str, Any]]:
    answer = await talk.customer.api.get(
        "/api/messages/", params={"room_id": talk.room_id, "after": 0, "limit": 100}
    )
    rows: list[dict[str, Any]] = answer.raise_for_status().json()["results"]
    return rows


# -- opening ----------------------------------------------------------------------------------


async def test_hello_says_everything_and_comes_first(talk: Talk, clock: FakeClock) -> None:
    async with talk.socket(talk.customer) as client:
        hello = client.hello
        page = await client.next("history")
    assert hello["v"] == 1
    assert hello["user"] == {"id": talk.customer.user_id, "role": "user"}
    assert hello["server_time"] == "2026-11-22T04:15:00.000Z"
    assert hello["exp"] == "2026-11-22T04:25:00.000Z"
    assert hello["limits"]["frame"] == 16384
    assert hello["limits"]["unacked"] == 32
    room = hello["room"]
    assert room["id"] == talk.room_id
    assert room["head"] == 1
    assert room["read"] == {talk.customer.user_id: 0, talk.pandit.user_id: 0}
    assert (page["from"], page["to"], page["more"], page["gap"]) == (1, 1, False, False)
    (greeting,) = page["messages"]
    assert greeting["kind"] == "SYSTEM"
    assert greeting["content"].startswith("Ram Prasad Acharya")
    assert greeting["content_ne"]
    assert greeting["sender"]["role"] == "system"


async def test_every_credential_opens_and_only_the_protocol_is_echoed(talk: Talk) -> None:
    own = f"http://127.0.0.1:{talk.port}"
    async with talk.socket(talk.customer, subprotocol=True, origin=own) as client:
        assert client.connection.subprotocol == "pandityatra.v1"
    url = f"ws://127.0.0.1:{talk.port}/ws/chat/{talk.room_id}"
    async with open_socket(url, None, cookie=f"access={talk.pandit.access}", origin=own) as client:
        assert client.connection.subprotocol is None
        assert client.hello["user"]["id"] == talk.pandit.user_id


async def test_a_foreign_origin_is_refused_whatever_it_brings(talk: Talk) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "x"):
        for options in ({}, {"subprotocol": True}, {"cookie": f"access={talk.customer.access}"}):
            with pytest.raises(InvalidStatus) as refused:
                async with talk.socket(talk.customer, origin=origin, **options):
                    pass
            assert refused.value.response.status_code == 403


async def test_a_cookie_without_an_origin_is_refused(talk: Talk) -> None:
    url = f"ws://127.0.0.1:{talk.port}/ws/chat/{talk.room_id}/"
    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(url, None, cookie=f"access={talk.customer.access}"):
            pass
    assert refused.value.response.status_code == 403


async def test_without_a_good_token_it_closes_with_4401(talk: Talk) -> None:
    for token in (None, "", "nonsense", "a.b.c"):
        async with chat_socket(talk.port, token, talk.room_id, greet=False) as client:
            assert await client.closed() == 4401


async def test_an_expired_token_closes_with_4401(talk: Talk, clock: FakeClock) -> None:
    clock.advance(minutes=11)
    async with talk.socket(talk.customer, greet=False) as client:
        assert await client.closed() == 4401


async def test_a_token_in_the_address_is_no_token(talk: Talk) -> None:
    query = f"?token={talk.customer.access}&access_token={talk.customer.access}"
    async with chat_socket(talk.port, None, talk.room_id, query=query, greet=False) as client:
        assert await client.closed() == 4401


async def test_to_all_others_the_room_does_not_exist(talk: Talk, people: People) -> None:
    stranger, other_pandit = await people.customer("Gita"), await people.pandit("Hari")
    for person in (stranger, other_pandit):
        for room_id in (talk.room_id, "no-such-room"):
            async with chat_socket(talk.port, person.access, room_id, greet=False) as client:
                with suppress(ConnectionClosed):
                    await client.say("let me in")
                assert await client.closed() == 4404
    assert [row["message_type"] for row in await history(talk)] == ["SYSTEM"]


async def test_an_admin_reads_and_cannot_write(talk: Talk, people: People) -> None:
    admin = await people.admin("Another Admin")
    async with chat_socket(talk.port, admin.access, talk.room_id) as client:
        assert (await client.next("history"))["messages"]
        cid = await client.say("hello")
        refusal = await client.next("error")
    assert (refusal["code"], refusal["cid"]) == ("forbidden", cid)
    record = await admin.api.get("/api/admin/audit/", params={"act": "chat-read"})
    entries = record.raise_for_status().json()["results"]
    assert {(each["admin_id"], each["target_id"]) for each in entries} == {
        (admin.user_id, talk.room_id)
    }
    assert len(await history(talk)) == 1


async def test_nothing_about_a_person_but_the_name_is_told(talk: Talk) -> None:
    async with talk.socket(talk.customer) as client, talk.socket(talk.pandit) as other:
        await other.said("Namaste")
        heard = json.dumps([client.hello, *await client.quiet()])
    assert "Ram Prasad Acharya" in heard
    for secret in (talk.pandit.phone, talk.customer.phone, "Lazimpat", "Shantinagar"):
        assert secret not in heard


# -- sending ----------------------------------------------------------------------------------


async def test_a_message_is_acknowledged_and_heard_by_the_other(
    talk: Talk, both: tuple[Client, Client]
) -> None:
    customer, pandit = both
    ack = await customer.said("Namaste Pandit ji", cid="c-1")
    assert ack == {
        "type": "ack",
        "cid": "c-1",
        "id": ack["id"],
        "seq": 2,
        "ts": "2026-11-22T04:15:00.000Z",
        "dup": False,
    }
    message = await pandit.next("message")
    assert message == {
        "type": "message",
        "seq": 2,
        "id": ack["id"],
        "room": talk.room_id,
        "cid": "c-1",
        "sender": {"id": talk.customer.user_id, "role": "user", "name": "Sita Sharma"},
        "kind": "TEXT",
        "content": "Namaste Pandit ji",
        "content_ne": "",
        "attachment": None,
        "reply_to": None,
        "ts": ack["ts"],
        "read": None,
    }
    assert [f["type"] for f in await customer.quiet() if f["type"] == "message"] == []


async def test_the_senders_other_devices_hear_it_too(talk: Talk) -> None:
    async with talk.socket(talk.customer) as phone, talk.socket(talk.customer) as laptop:
        await laptop.quiet()
        ack = await phone.said("from the phone", cid="c-9")
        heard = await laptop.next("message")
        assert (heard["cid"], heard["seq"]) == ("c-9", ack["seq"])


async def test_the_short_form_needs_no_cid(both: tuple[Client, Client]) -> None:
    customer, pandit = both
    await customer.send(type="TEXT", content="Hello", content_ne="नमस्ते")
    ack = await customer.next("ack")
    heard = await pandit.next("message")
    assert (heard["content"], heard["content_ne"], heard["kind"]) == ("Hello", "नमस्ते", "TEXT")
    assert ack["cid"] == heard["cid"]


async def test_one_cid_ten_times_on_two_connections_is_one_message(talk: Talk) -> None:
    async with (
        talk.socket(talk.customer) as one,
        talk.socket(talk.customer) as two,
        talk.socket(talk.pandit) as pandit,
    ):
        await asyncio.gather(
            *(client.say("once", cid="same") for _ in range(5) for client in (one, two))
        )
        acks = [await client.next("ack") for client in (one, two) for _ in range(5)]
        await pandit.where(lambda frame: frame.get("cid") == "same")
        assert not [f for f in await pandit.quiet() if f["type"] == "message"]
    assert len({(ack["id"], ack["seq"], ack["ts"]) for ack in acks}) == 1
    assert sorted(ack["dup"] for ack in acks) == [False] + [True] * 9
    assert [row["cid"] for row in await history(talk)].count("same") == 1


async def test_the_same_cid_with_another_body_is_a_conflict(both: tuple[Client, Client]) -> None:
    customer, _ = both
    await customer.said("first", cid="same")
    await customer.say("second", cid="same")
    error = await customer.next("error")
    assert (error["code"], error["cid"]) == ("cid_conflict", "same")
    assert error["message"]
    assert error["message_ne"]


REFUSED = (
    ({"type": "message", "cid": "c", "kind": "SYSTEM", "content": "x"}, "unsupported_kind"),
    ({"type": "message", "cid": "c", "kind": "VIDEO", "content": "x"}, "unsupported_kind"),
    ({"type": "message", "cid": "c", "content": "x" * 4001}, "too_large"),
    ({"type": "message", "cid": "c", "content": " \n "}, "bad_request"),
    ({"type": "message", "cid": "c", "content": 5}, "bad_request"),
    ({"type": "message", "cid": "c c", "content": "x"}, "bad_request"),
    ({"type": "message", "cid": "c", "kind": "IMAGE", "content": "x"}, "bad_request"),
    ({"type": "message", "cid": "c", "kind": "FILE", "attachment": {"id": "0" * 32}},
     "bad_request"),
    ({"type": "dance", "cid": "c"}, "unknown_type"),
)  # fmt: skip


async def test_what_breaks_a_rule_is_answered_and_not_stored(
    talk: Talk, both: tuple[Client, Client]
) -> None:
    customer, pandit = both
    for frame, code in REFUSED:
        await customer.send(**frame)
        error = await customer.next("error")
        assert (error["code"], error["cid"]) == (code, frame["cid"]), frame
    assert not [f for f in await pandit.quiet() if f["type"] == "message"]
    assert len(await history(talk)) == 1


async def test_unknown_fields_are_passed_over(both: tuple[Client, Client]) -> None:
    customer, _ = both
    await customer.send(type="message", cid="c", content="x", colour="red", sender="somebody")
    assert (await customer.next("ack"))["cid"] == "c"


async def test_numbers_have_no_gap_when_everybody_talks_at_once(
    talk: Talk, both: tuple[Client, Client]
) -> None:
    customer, pandit = both
    for number in range(60):
        await customer.say(f"c{number}")
        await pandit.say(f"p{number}")
    seqs = []
    for client in both:
        frames = [await client.next("ack", "message") for _ in range(120)]
        seqs.append(sorted(frame["seq"] for frame in frames))
        heard = [frame["seq"] for frame in frames if frame["type"] == "message"]
        assert heard == sorted(heard)
    assert seqs == [list(range(2, 122))] * 2


# -- history and resuming -----------------------------------------------------------------------


async def test_without_a_cursor_the_newest_fifty_come(talk: Talk) -> None:
    async with talk.socket(talk.customer) as client:
        for number in range(60):
            await client.say(f"m{number}")
        for _ in range(60):
            await client.next("ack")
    async with talk.socket(talk.pandit) as client:
        page = await client.next("history")
        assert [m["seq"] for m in page["messages"]] == list(range(12, 62))
        assert not page["gap"]
        await client.send(type="history", before=12, limit=5)
        older = await client.next("history")
        assert [m["seq"] for m in older["messages"]] == list(range(7, 12))
        assert older["more"]
        await client.send(type="sync", since=58)
        newer = await client.next("history")
        assert ([m["seq"] for m in newer["messages"]], newer["to"]) == ([59, 60, 61], 61)
        assert not newer["more"]


async def test_a_cursor_brings_exactly_what_was_missed(talk: Talk) -> None:
    async with talk.socket(talk.customer) as client:
        epoch = client.hello["room"]["epoch"]
        for number in range(10):
            await client.said(f"m{number}")
    for name in ("after", "since"):
        async with talk.socket(talk.pandit, query=f"?{name}=8&epoch={epoch}") as client:
            page = await client.next("history")
            assert [m["seq"] for m in page["messages"]] == [9, 10, 11]
            assert (page["to"], page["gap"]) == (11, False)
    async with talk.socket(talk.pandit, query="?after=11") as client:
        page = await client.next("history")
        assert (page["messages"], page["from"], page["to"], page["gap"]) == ([], 11, 11, False)


async def test_a_cursor_of_another_time_starts_over(talk: Talk) -> None:
    for query in ("?after=1&epoch=another", "?after=999999"):
        async with talk.socket(talk.pandit, query=query) as client:
            page = await client.next("history")
            assert page["gap"]
            assert [m["seq"] for m in page["messages"]] == [1]


async def test_who_is_far_behind_gets_the_newest_and_is_told_of_the_gap(talk: Talk) -> None:
    async with talk.socket(talk.customer) as client:
        for number in range(520):
            await client.say(f"m{number}")
        for _ in range(520):
            await client.next("ack")
    async with talk.socket(talk.pandit, query="?after=1") as client:
        page = await client.next("history")
        assert (page["gap"], page["from"], page["to"]) == (True, 472, 521)
    async with talk.socket(talk.pandit, query="?after=100") as client:
        seqs: list[int] = []
        while not seqs or seqs[-1] < 521:
            page = await client.next("history")
            assert not page["gap"]
            seqs += [m["seq"] for m in page["messages"]]
    assert seqs == list(range(101, 522))


async def test_large_messages_are_replayed_in_frames_of_bounded_size(talk: Talk) -> None:
    text = "पूजा" * 1000
    async with talk.socket(talk.customer) as client:
        for number in range(40):
            await client.say(text, cid=f"c{number}")
        for _ in range(40):
            await client.next("ack")
    async with talk.socket(talk.pandit, query="?after=0") as client:
        seqs: list[int] = []
        while len(seqs) < 41:
            frame = await client.next("history")
            assert len(json.dumps(frame, ensure_ascii=False).encode()) < 100_000
            seqs += [m["seq"] for m in frame["messages"]]
    assert seqs == list(range(1, 42))


async def test_resuming_under_concurrent_sends_has_no_gap_and_no_double(talk: Talk) -> None:
    total, choice = 400, random.Random(3)
    done = asyncio.Event()

    async def talker() -> None:
        async with talk.socket(talk.customer) as client:
            for number in range(total):
                await client.say(f"m{number}")
                if number % 20 == 19:
                    for _ in range(20):
                        await client.next("ack")
        done.set()

    async def listener() -> list[int]:
        seen: list[int] = []
        while not seen or seen[-1] < total + 1:
            cursor = seen[-1] if seen else 0
            async with talk.socket(talk.pandit, query=f"?after={cursor}") as client:
                for _ in range(choice.randint(1, 25)):
                    frame = await client.next("history", "message")
                    rows = frame["messages"] if frame["type"] == "history" else [frame]
                    seen += [row["seq"] for row in rows]
                    if seen and seen[-1] >= total + 1:
                        break
        return seen

    _, *lists = await asyncio.gather(talker(), *(listener() for _ in range(3)))
    for seen in lists:
        assert seen == list(range(1, total + 2))


# -- typing, read, presence -----------------------------------------------------------------------


async def test_typing_is_told_to_the_other_only_and_merged(both: tuple[Client, Client]) -> None:
    customer, pandit = both
    for on in (True, False, True, True, False):
        await customer.send(type="typing", on=on)
    first = await pandit.next("typing")
    last = await pandit.next("typing")
    assert (first["on"], first["ttl"], last["on"]) == (True, 6, False)
    assert not [f for f in await pandit.quiet() if f["type"] == "typing"]
    assert not [f for f in await customer.quiet() if f["type"] == "typing"]


async def test_reading_is_told_stored_and_only_ones_own(
    talk: Talk, both: tuple[Client, Client]
) -> None:
    customer, pandit = both
    for number in range(3):
        await customer.said(f"m{number}")
    await pandit.send(type="read", seq=3)
    mark = await customer.next("read")
    assert (mark["user"], mark["seq"]) == (talk.pandit.user_id, 3)
    rows = await history(talk)
    assert [row["is_read"] for row in rows] == [True, True, True, False]
    assert rows[1]["read_at"] == "2026-11-22T10:00:00+05:45"
    await customer.send(type="read", seq=4)
    await pandit.send(type="read", seq=1)
    await customer.quiet()
    assert [row["is_read"] for row in await history(talk)][-1] is False
    async with talk.socket(talk.customer) as fresh:
        assert fresh.hello["room"]["read"][talk.pandit.user_id] == 3


async def test_many_read_frames_become_few_and_the_last_counts(
    talk: Talk, both: tuple[Client, Client]
) -> None:
    customer, pandit = both
    for number in range(30):
        await customer.say(f"m{number}")
    for _ in range(30):
        await customer.next("ack")
    for seq in range(2, 32):
        await pandit.send(type="read", seq=seq)
    marks = [await customer.next("read")]
    while marks[-1]["seq"] < 31:
        marks.append(await customer.next("read"))
    assert len(marks) <= 5


async def test_a_mark_that_was_not_written_yet_is_written_when_the_socket_ends(
    talk: Talk, both: tuple[Client, Client]
) -> None:
    customer, pandit = both
    for number in range(3):
        await customer.said(f"m{number}")
    await pandit.send(type="read", seq=2)
    await pandit.send(type="read", seq=4)
    await pandit.connection.close()
    assert (await customer.where(lambda f: f["type"] == "read" and f["seq"] == 4))["seq"] == 4


async def test_presence_comes_on_joining_and_goes_after_a_grace(talk: Talk) -> None:
    async with talk.socket(talk.customer) as customer:
        first = await customer.next("presence")
        assert (first["user"], first["state"]) == (talk.pandit.user_id, "offline")
        async with talk.socket(talk.pandit) as pandit:
            assert (await customer.next("presence"))["state"] == "online"
            assert (await pandit.next("presence"))["state"] == "online"
        # A page loaded anew within the grace is no parting.
        async with talk.socket(talk.pandit):
            assert not [f for f in await customer.quiet() if f["type"] == "presence"]
        gone = await customer.next("presence")
        assert (gone["state"], gone["user"]) == ("offline", talk.pandit.user_id)
        assert gone["last_seen"]


async def test_word_that_somebody_has_left_is_not_believed_while_he_is_here(
    server: RunningServer, talk: Talk, both: tuple[Client, Client]
) -> None:
    customer, pandit = both
    server.services.chats.tell_presence(talk.room_id, talk.pandit.user_id, "offline", None)
    await pandit.said("I am here")
    frames = await customer.quiet()
    assert "message" in [frame["type"] for frame in frames]
    assert "presence" not in [frame["type"] for frame in frames]


async def test_presence_is_the_union_of_a_users_connections(talk: Talk) -> None:
    async with talk.socket(talk.customer) as customer:
        await customer.next("presence")
        async with talk.socket(talk.pandit) as one, talk.socket(talk.pandit) as two:
            assert (await customer.next("presence"))["state"] == "online"
            await one.quiet()
            await two.connection.close()
            await asyncio.sleep(0.4)  # longer than the grace: one connection is left
            assert not [f for f in await customer.quiet() if f["type"] == "presence"]


# -- limits -----------------------------------------------------------------------------------


async def test_a_frame_that_is_too_big_closes_with_1009(both: tuple[Client, Client]) -> None:
    customer, pandit = both
    await customer.say("x" * 17_000)
    assert await customer.closed() == 1009
    assert (await pandit.said("still here"))["seq"] == 2


async def test_a_binary_frame_closes_with_1003(both: tuple[Client, Client]) -> None:
    customer, pandit = both
    await customer.connection.send(b'{"type":"ping"}')
    assert await customer.closed() == 1003
    assert (await pandit.said("still here"))["seq"] == 2


async def test_what_is_no_object_is_bad_json(both: tuple[Client, Client]) -> None:
    customer, _ = both
    for text in ("", "{", "[]", "5", "null", '"message"', "[" * 8000, "\x00"):
        await customer.connection.send(text)
        assert (await customer.next("error"))["code"] == "bad_json", text
    assert (await customer.said("goes on"))["seq"] == 2


async def test_ten_malformed_frames_close_with_4400(both: tuple[Client, Client]) -> None:
    customer, _ = both
    for _ in range(9):
        await customer.connection.send("{")
    assert len([f for f in await customer.quiet() if f["type"] == "error"]) == 9
    await customer.connection.send('{"type":"typing"}')
    assert await customer.closed() == 4400


async def test_fragments_make_one_message(both: tuple[Client, Client]) -> None:
    customer, _ = both
    await customer.connection.send(['{"type":"message",', '"cid":"f",', '"content":"x"}'])
    assert (await customer.next("ack"))["cid"] == "f"


@limited(messages_per_second=0.02, message_burst=5)
async def test_who_sends_too_fast_is_told_and_then_closed(talk: Talk) -> None:
    async with talk.socket(talk.customer) as client:
        for number in range(7):
            await client.say(f"m{number}", cid=f"c{number}")
        frames = [await client.next("ack", "error") for _ in range(7)]
        errors = {f["cid"]: f for f in frames if f["type"] == "error"}
        assert set(errors) == {"c5", "c6"}
        assert errors["c5"]["code"] == "rate_limited"
        assert errors["c5"]["retry_after"] >= 1
        for _ in range(10):
            await client.send(type="ping")
        assert await client.closed() == 4005
    assert len(await history(talk)) == 6


@limited(connections_per_user=3)
async def test_the_oldest_of_too_many_connections_goes(talk: Talk) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(talk.socket(talk.customer)) for _ in range(4)]
        assert await clients[0].closed() == 4409
        for client in clients[1:]:
            await client.quiet()


@limited(max_connections=1)
@pytest.mark.logs_errors("request")
async def test_a_full_process_answers_503(talk: Talk) -> None:
    async with talk.socket(talk.customer):
        with pytest.raises(InvalidStatus) as refused:
            async with talk.socket(talk.pandit):
                pass
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"]


@limited(connects_per_second=0.001, connect_burst=2)
async def test_too_many_connects_from_one_address_answer_429(talk: Talk) -> None:
    for _ in range(2):
        async with talk.socket(talk.customer):
            pass
    with pytest.raises(InvalidStatus) as refused:
        async with talk.socket(talk.customer):
            pass
    assert refused.value.response.status_code == 429
    assert refused.value.response.headers["Retry-After"]


@limited(max_unacked=2)
async def test_many_sends_at_once_are_all_answered(both: tuple[Client, Client]) -> None:
    customer, _ = both
    for number in range(50):
        await customer.say(f"m{number}")
    assert [(await customer.next("ack"))["seq"] for _ in range(50)] == list(range(2, 52))


@limited(ping_seconds=0.2, pong_grace_seconds=0.3)
async def test_a_silent_client_is_closed_and_a_living_one_is_not(talk: Talk) -> None:
    async with talk.socket(talk.customer) as living, talk.socket(talk.pandit) as dead:
        await living.where(lambda f: f["type"] == "presence" and f["state"] == "online")
        dead.connection.transport.pause_reading()
        gone = await living.where(lambda f: f["type"] == "presence" and f["state"] == "offline")
        assert gone["user"] == talk.pandit.user_id
        dead.connection.transport.resume_reading()
        assert await dead.closed() == 4002
        await living.quiet()


@limited(outbox_soft_bytes=16_384, outbox_hard_bytes=65_536, ping_seconds=60.0)
async def test_a_reader_that_stops_is_closed_and_costs_little(
    talk: Talk, server: RunningServer
) -> None:
    text = "x" * 4000
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", talk.port))
    async with (
        talk.socket(talk.customer) as talker,
        talk.socket(talk.pandit, sock=small) as stuck,
    ):
        await stuck.quiet()
        stuck.connection.transport.pause_reading()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sent = 0
        # Until the kernel's buffers and then the outbox are full.
        while server.services.hub.is_online(talk.pandit.user_id):
            for _ in range(32):
                await talker.say(text)
            for _ in range(32):
                await talker.next("ack")
            sent += 32
            assert sent < 6000, "nothing stops a reader that does not read"
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert grown < 50
        stuck.connection.transport.resume_reading()
        assert await stuck.closed() == 4001
        assert (await talker.said("the others go on"))["seq"] == sent + 2


# -- without the database -----------------------------------------------------------------------


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A database of this test's own, to be frozen and woken."""
    own = EmbeddedServer(DatabaseSettings(embedded_path=str(tmp_path / "mongo")))
    await own.start()
    yield own
    await own.stop()


@pytest.mark.logs_errors("request")
async def test_while_the_database_is_away_sockets_stay_and_say_so(
    database: EmbeddedServer, settings: Settings, clock: FakeClock
) -> None:
    away = dataclasses.replace(settings.database, uri=database.uri, timeout_seconds=2.0)
    settings = dataclasses.replace(settings, database=away)
    async with (
        open_server(settings, clock=clock, sender=CapturingCodeSender()) as server,
        AsyncExitStack() as clients,
    ):
        talk = await make_talk(People(server, clients), server.port)
        async with talk.socket(talk.customer) as customer, talk.socket(talk.pandit) as pandit:
            await customer.said("before")
            assert database.pid is not None
            os.kill(database.pid, signal.SIGSTOP)
            try:
                cid = await customer.say("while it is away", cid="c-1")
                error = await customer.next("error")
                assert (error["code"], error["cid"]) == ("storage_unavailable", cid)
                assert error["retry_after"] >= 1
                await customer.send(type="sync", since=0)
                assert (await customer.next("error"))["code"] == "storage_unavailable"
                # Whose sign-in is believed is let in, and told why he cannot stay.
                async with talk.socket(talk.pandit, greet=False) as believed:
                    frames, code = await believed.rest()
                assert [frame["code"] for frame in frames] == ["storage_unavailable"]
                assert code == 1013
                clock.advance(minutes=1)
                with pytest.raises(InvalidStatus) as refused:
                    async with talk.socket(talk.pandit):
                        pass
                assert refused.value.response.status_code == 503
                assert refused.value.response.headers["Retry-After"]
            finally:
                os.kill(database.pid, signal.SIGCONT)
            while True:
                # Whether the first attempt was stored is unknown: the same cid settles it.
                await customer.say("while it is away", cid="c-1")
                answer = await customer.next("ack", "error")
                if answer["type"] == "ack":
                    break
            await customer.said("after")
            contents = [
                m["content"]
                for m in (await pandit.where(lambda f: f["type"] == "history"))["messages"]
            ]
            while "after" not in contents:
                contents.append((await pandit.next("message"))["content"])
            assert contents[1:] == ["before", "while it is away", "after"]
        await server.store.drop()


# -- the end ------------------------------------------------------------------------------------


async def test_signing_out_closes_the_socket(both: tuple[Client, Client], talk: Talk) -> None:
    customer, pandit = both
    (await talk.customer.api.post("/api/auth/logout/", json={})).raise_for_status()
    assert await customer.closed() == 4401
    assert (await pandit.said("still here"))["seq"] == 2
    async with talk.socket(talk.customer, greet=False) as again:
        assert await again.closed() == 4401


async def test_deactivation_closes_every_socket_of_the_person(
    both: tuple[Client, Client], talk: Talk, server: RunningServer
) -> None:
    customer, pandit = both
    await server.services.accounts.deactivate(talk.pandit.user_id)
    assert await pandit.closed() == 4401
    await customer.quiet()


async def test_a_token_is_renewed_in_band_or_the_socket_ends(
    both: tuple[Client, Client], talk: Talk, clock: FakeClock, people: People
) -> None:
    customer, pandit = both
    clock.advance(minutes=9, seconds=30)
    expiring = await customer.next("token_expiring")
    assert expiring["in"] == 30
    await pandit.next("token_expiring")
    answer = await talk.customer.api.post(
        "/api/auth/token/refresh/", json={"refresh": talk.customer.refresh}
    )
    await customer.send(type="auth", token=answer.raise_for_status().json()["access"])
    renewed = await customer.next("auth_ok")
    assert renewed["exp"] == "2026-11-22T04:34:30.000Z"
    clock.advance(seconds=61)
    assert await pandit.closed() == 4003
    assert (await customer.said("still here"))["seq"] == 2


@pytest.mark.parametrize("whose", ["other", "nobody"])
async def test_another_persons_token_closes_the_socket(
    both: tuple[Client, Client], talk: Talk, whose: str
) -> None:
    customer, _ = both
    token = talk.pandit.access if whose == "other" else "nonsense"
    await customer.send(type="auth", token=token)
    assert await customer.closed() == 4401


async def test_a_closed_room_can_be_read_and_not_written(
    both: tuple[Client, Client], talk: Talk
) -> None:
    _, pandit = both
    cancelled = await talk.customer.api.post(
        f"/api/bookings/{talk.booking_id}/cancel/", json={"reason": "Family plans changed"}
    )
    assert cancelled.status_code == 200, cancelled.text
    goodbye = await pandit.next("message")
    assert goodbye["kind"] == "SYSTEM"
    state = await pandit.next("room")
    assert (state["is_active"], state["booking_status"]) == (False, "CANCELLED")
    cid = await pandit.say("too late")
    error = await pandit.next("error")
    assert (error["code"], error["cid"]) == ("room_closed", cid)
    async with talk.socket(talk.pandit) as again:
        assert again.hello["room"]["is_active"] is False
        assert len((await again.next("history"))["messages"]) == 2
        await again.say("too late")
        assert (await again.next("error"))["code"] == "room_closed"


@pytest.mark.logs_errors("request")
async def test_draining_tells_everybody_and_loses_nothing(
    talk: Talk, server: RunningServer
) -> None:
    async with talk.socket(talk.customer) as customer, talk.socket(talk.pandit) as pandit:
        await pandit.quiet()
        for number in range(200):
            await customer.say(f"m{number}", cid=f"c{number}")
        draining = asyncio.create_task(server.services.hub.drain())
        heard, code = await customer.rest()
        assert code == 4000
        acked = {frame["cid"] for frame in heard if frame["type"] == "ack"}
        assert len([frame for frame in heard if frame["type"] == "reconnect"]) == 1
        assert (await pandit.next("reconnect"))["after_ms"] <= 300
        assert await pandit.closed() == 4000
        await draining
        with pytest.raises(InvalidStatus) as refused:
            async with talk.socket(talk.customer):
                pass
        assert refused.value.response.status_code == 503
    stored = []
    for after in (0, 100, 200):
        answer = await talk.customer.api.get(
            "/api/messages/", params={"room_id": talk.room_id, "after": after, "limit": 100}
        )
        stored += [row["cid"] for row in answer.json()["results"]]
    assert acked <= set(stored)
    assert len(stored) == len(set(stored))


async def test_what_the_bus_lost_is_read_from_the_database(
    both: tuple[Client, Client],
    talk: Talk,
    server: RunningServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    customer, pandit = both
    services = server.services
    actor, _ = await services.accounts.actor_with_expiry(talk.customer.access)
    lost: list[bytes] = []
    publish = MemoryBus.publish
    monkeypatch.setattr(MemoryBus, "publish", _losing(lost))
    for number in range(3):
        await services.chats.send(actor, talk.room_id, Outgoing(content=f"lost {number}"))
    monkeypatch.setattr(MemoryBus, "publish", publish)
    assert lost
    await services.chats.send(actor, talk.room_id, Outgoing(content="heard"))
    heard = [await pandit.next("message") for _ in range(4)]
    assert [m["seq"] for m in heard] == [2, 3, 4, 5]
    assert (await customer.said("and on", cid=str(uuid.uuid4())))["seq"] == 6


def _losing(lost: list[bytes]) -> Any:
    def publish(bus: MemoryBus, topic: str, payload: bytes) -> None:
        lost.append(payload)

    return publish
