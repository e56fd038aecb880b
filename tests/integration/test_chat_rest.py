"""Chat over REST: the same rules as the socket, and the files."""

from __future__ import annotations

import asyncio
import dataclasses
import struct
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.app import RunningServer, open_server
from server.domain.account import Actor, Role
from server.domain.chat import Message
from server.domain.errors import StoreUnavailable
from server.domain.events import Event, EventKind
from server.settings import Settings
from server.store.messages import MongoMessageRepository
from tests.support import FakeClock, People, Person
from tests.talk import Talk, accept, book, chat_socket, make_talk, notification_socket

MAX_UPLOAD = 64 * 1024


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 2, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00" * 20))
    + _chunk(b"IEND", b"")
)
PDF = b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(
        settings,
        http=dataclasses.replace(settings.http, max_upload_bytes=MAX_UPLOAD),
    )


@pytest.fixture
async def talk(server: RunningServer, people: People) -> Talk:
    return await make_talk(people, server.port)


async def send(person: Person, talk: Talk, content: str = "Namaste", **more: Any) -> httpx.Response:
    body = {"room_id": talk.room_id, "content": content, **more}
    return await person.api.post("/api/messages/send/", json=body)


async def messages(person: Person, talk: Talk, **query: Any) -> list[dict[str, Any]]:
    answer = await person.api.get("/api/messages/", params={"room_id": talk.room_id, **query})
    rows: list[dict[str, Any]] = answer.raise_for_status().json()["results"]
    return rows


async def unread(person: Person) -> dict[str, Any]:
    counts: dict[str, Any] = (await person.api.get("/api/unread-count/")).raise_for_status().json()
    return counts


async def upload(
    person: Person, room_id: str, content: bytes = PNG, name: str = "puja.png"
) -> httpx.Response:
    return await person.api.post(
        "/api/chat/attachments/", data={"room_id": room_id}, files={"file": (name, content)}
    )


def actor_of(person: Person) -> Actor:
    return Actor(user_id=person.user_id, role=Role.PANDIT, session_id="s", full_name="Ram")


def kept_files(settings: Settings) -> list[Path]:
    return [path for path in Path(settings.files.path).rglob("*") if path.is_file()]


async def test_a_room_appears_with_the_acceptance_and_not_before(
    server: RunningServer, people: People
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    booking_id = await book(customer, pandit)
    assert (await customer.api.get("/api/chat/rooms/")).json() == {"results": [], "next": None}
    await accept(pandit, booking_id)
    (room,) = (await customer.api.get("/api/chat/rooms/")).json()["results"]
    assert room["booking_id"] == booking_id
    assert room["other"] == {
        "user_id": pandit.user_id,
        "role": "pandit",
        "name": "Ram Prasad Acharya",
        "name_ne": "",
    }
    assert room["is_active"]
    assert room["unread_count"] == 1
    assert room["last_message"]["message_type"] == "SYSTEM"
    assert room["last_message"]["preview_ne"]
    (seen_by_pandit,) = (await pandit.api.get("/api/chat/rooms/")).json()["results"]
    assert seen_by_pandit["other"]["name"] == "Sita Sharma"


async def test_an_event_that_comes_again_changes_nothing(
    server: RunningServer, talk: Talk, clock: FakeClock
) -> None:
    before = await messages(talk.customer, talk)
    event = Event(
        id=before[0]["cid"],
        kind=EventKind.BOOKING_ACCEPTED,
        at=clock.now(),
        recipients=(),
        booking_id=talk.booking_id,
    )
    await asyncio.gather(*(server.services.chats.on_event(event) for _ in range(5)))
    assert await messages(talk.customer, talk) == before
    assert len((await talk.customer.api.get("/api/chat/rooms/")).json()["results"]) == 1


async def test_a_message_has_every_field_of_the_document(talk: Talk) -> None:
    answer = await send(talk.customer, talk, content_ne="नमस्ते", cid="c-1")
    assert answer.status_code == 201
    message = answer.json()
    assert message == {
        "id": message["id"],
        "room_id": talk.room_id,
        "sequence": 2,
        "sender_id": talk.customer.user_id,
        "sender_role": "user",
        "sender_name": "Sita Sharma",
        "cid": "c-1",
        "message_type": "TEXT",
        "content": "Namaste",
        "content_ne": "नमस्ते",
        "file_url": None,
        "attachment": None,
        "reply_to": None,
        "timestamp": "2026-11-22T10:00:00+05:45",
        "is_read": False,
        "read_at": None,
    }
    assert (await messages(talk.pandit, talk, after=1)) == [message]


async def test_sending_again_is_harmless_and_another_body_is_refused(talk: Talk) -> None:
    answers = await asyncio.gather(*(send(talk.customer, talk, cid="same") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    other = await send(talk.customer, talk, "something else", cid="same")
    assert (other.status_code, other.json()["type"]) == (409, "cid-conflict")
    assert len(await messages(talk.customer, talk)) == 2


REFUSED: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"content": ""}, "content", "empty"),
    ({"content": "x" * 4001}, "content", "too-long"),
    ({"message_type": "SYSTEM"}, "message_type", "choice"),
    ({"cid": "x" * 37}, "cid", "too-long"),
    ({"cid": "new\nline"}, "cid", "pattern"),
    ({"message_type": "IMAGE"}, "attachment_id", "attachment"),
    ({"message_type": "IMAGE", "attachment_id": "https://evil.example/x.png"},
     "attachment_id", "attachment"),
    ({"file_url": "https://evil.example/x.png"}, "file_url", "unknown"),
    ({"sender_id": "somebody"}, "sender_id", "unknown"),
    ({"sequence": 1}, "sequence", "unknown"),
)  # fmt: skip


async def test_bad_messages_are_refused_by_field(talk: Talk) -> None:
    for body, field, code in REFUSED:
        answer = await send(talk.customer, talk, **{"content": "x", **body})
        assert answer.status_code == 422, answer.text
        faults = {(each["field"], each["code"]) for each in answer.json()["errors"]}
        assert (field, code) in faults
    assert len(await messages(talk.customer, talk)) == 1


async def test_history_pages_both_ways_without_loss(talk: Talk) -> None:
    for number in range(9):
        await send(talk.customer, talk, f"m{number}")
    assert [m["sequence"] for m in await messages(talk.pandit, talk, limit=3)] == [8, 9, 10]
    assert [m["sequence"] for m in await messages(talk.pandit, talk, before=4)] == [1, 2, 3]
    for first in ({"after": 0}, {}):
        query: dict[str, Any] = {"room_id": talk.room_id, "limit": 4, **first}
        seen: list[int] = []
        while True:
            page = (await talk.pandit.api.get("/api/messages/", params=query)).json()
            seen += [m["sequence"] for m in page["results"]]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert sorted(seen) == list(range(1, 11))
        assert len(seen) == 10
    both: dict[str, Any] = {"room_id": talk.room_id, "after": 1, "before": 3}
    assert (await talk.pandit.api.get("/api/messages/", params=both)).status_code == 422


async def test_unread_counts_are_of_the_others_messages_above_ones_mark(talk: Talk) -> None:
    for number in range(3):
        await send(talk.customer, talk, f"m{number}")
    counts = await unread(talk.pandit)
    assert (counts["total"], counts["rooms"]) == (4, {talk.room_id: 4})
    assert (await unread(talk.customer))["total"] == 0, "sending reads what stood before"
    body = {"room_id": talk.room_id, "sequence": 3}
    answer = await talk.pandit.api.post("/api/messages/read/", json=body)
    assert answer.json() == {
        "room_id": talk.room_id,
        "sequence": 3,
        "read_at": "2026-11-22T10:00:00+05:45",
    }
    assert (await unread(talk.pandit))["rooms"] == {talk.room_id: 1}
    assert [m["is_read"] for m in await messages(talk.customer, talk)] == [True, True, True, False]
    back = await talk.pandit.api.post("/api/messages/read/", json={**body, "sequence": 1})
    assert back.json()["sequence"] == 3, "a mark never goes back"
    beyond = await talk.pandit.api.post("/api/messages/read/", json={**body, "sequence": 10**9})
    assert beyond.json()["sequence"] == 4
    assert (await unread(talk.pandit))["rooms"] == {}


async def test_answering_reads_what_stood_before_and_gives_it_its_tick(talk: Talk) -> None:
    await send(talk.customer, talk, "one")
    await send(talk.customer, talk, "two")
    async with talk.socket(talk.customer) as client:
        await send(talk.pandit, talk, "answer")
        mark = await client.next("read")
        assert (mark["user"], mark["seq"]) == (talk.pandit.user_id, 4)
    rows = await messages(talk.customer, talk)
    assert [m["is_read"] for m in rows] == [True, True, True, False]
    assert (await unread(talk.customer))["rooms"] == {talk.room_id: 1}


async def test_what_was_flushed_is_what_the_documents_say(
    server: RunningServer, talk: Talk
) -> None:
    await send(talk.customer, talk, "one")
    await send(talk.pandit, talk, "two")
    await server.services.chats.flush()
    room = await server.store.collection("chat_rooms").find_one({"_id": talk.room_id})
    assert room is not None
    assert room["head"]["sequence"] == 3
    assert room["active_at"] == room["head"]["timestamp"]
    marks = {user_id: mark["sequence"] for user_id, mark in room["reads"].items()}
    assert marks == {talk.customer.user_id: 2, talk.pandit.user_id: 3}
    rows = await server.store.collection("messages").find(
        {"room_id": talk.room_id}, sort=(("sequence", 1),), limit=10
    )
    assert [row["read_at"] is not None for row in rows] == [True, True, False]


async def test_a_head_that_was_not_written_is_found_by_whoever_opens_the_room(
    settings: Settings, clock: FakeClock, server: RunningServer, talk: Talk
) -> None:
    """As after a kill: the messages are there and the room's document does not know of them."""
    await send(talk.customer, talk, "one")
    await server.services.chats.flush()
    rooms = server.store.collection("chat_rooms")
    before = await rooms.find_one({"_id": talk.room_id})
    assert before is not None
    await send(talk.customer, talk, "two")
    await send(talk.customer, talk, "three")
    await server.services.chats.flush()
    assert await rooms.replace_one({"_id": talk.room_id}, before)
    http = dataclasses.replace(settings.http, port=0)
    async with open_server(dataclasses.replace(settings, http=http), clock=clock) as fresh:
        query = f"?after=4&epoch={int(before['created_at'].timestamp() * 1000):x}"
        async with chat_socket(
            fresh.port, talk.customer.access, talk.room_id, query=query
        ) as client:
            await client.next("history")
            (seen,) = (
                await fresh.services.chats.list_rooms(actor_of(talk.pandit), limit=5, after=None)
            ).rows
            assert seen.unread_by(talk.pandit.user_id) == 4
        await fresh.services.chats.flush()
    found = await rooms.find_one({"_id": talk.room_id})
    assert found is not None
    assert found["head"]["sequence"] == 4
    assert found["head"]["preview"] == "three"


async def test_to_all_others_nothing_of_a_room_exists_and_they_change_nothing(
    talk: Talk, people: People
) -> None:
    uploaded = (await upload(talk.customer, talk.room_id)).json()
    before = await messages(talk.customer, talk)
    stranger, other_pandit = await people.customer("Gita"), await people.pandit("Hari")
    read = {"room_id": talk.room_id, "sequence": 1}
    for person in (stranger, other_pandit):
        for room_id in (talk.room_id, "no-such-room"):
            answers = [
                await person.api.get("/api/messages/", params={"room_id": room_id}),
                await person.api.post(
                    "/api/messages/send/", json={"room_id": room_id, "content": "x"}
                ),
                await person.api.post("/api/messages/read/", json={**read, "room_id": room_id}),
                await upload(person, room_id),
            ]
            assert [answer.status_code for answer in answers] == [404] * 4
            bodies = [
                {k: v for k, v in answer.json().items() if k != "request_id"} for answer in answers
            ]
            assert all(body == bodies[0] for body in bodies)
        assert (await person.api.get(uploaded["file_url"])).status_code == 404
        assert (await person.api.get("/api/chat/rooms/")).json()["results"] == []
        assert (await unread(person))["rooms"] == {}
    assert await messages(talk.customer, talk) == before
    nobody = await people.nobody()
    for path in ("/api/messages/?room_id=x", "/api/chat/rooms/", "/api/unread-count/",
                 uploaded["file_url"]):  # fmt: skip
        assert (await nobody.get(path)).status_code == 401


async def test_an_admin_reads_and_changes_nothing(talk: Talk, people: People) -> None:
    admin = await people.admin("Another Admin")
    assert len(await messages(admin, talk)) == 1
    assert (await send(admin, talk)).status_code == 403
    read = {"room_id": talk.room_id, "sequence": 1}
    assert (await admin.api.post("/api/messages/read/", json=read)).status_code == 403
    assert (await upload(admin, talk.room_id)).status_code == 403
    assert not (await messages(talk.customer, talk))[0]["is_read"]


async def test_a_closed_room_stays_readable(talk: Talk) -> None:
    await send(talk.customer, talk)
    cancel = {"reason": "Family plans changed"}
    await talk.customer.api.post(f"/api/bookings/{talk.booking_id}/cancel/", json=cancel)
    answer = await send(talk.customer, talk)
    assert (answer.status_code, answer.json()["type"]) == (409, "room-closed")
    assert (await upload(talk.customer, talk.room_id)).status_code == 409
    rows = await messages(talk.pandit, talk)
    assert [m["message_type"] for m in rows] == ["SYSTEM", "TEXT", "SYSTEM"]
    read = {"room_id": talk.room_id, "sequence": 3}
    assert (await talk.pandit.api.post("/api/messages/read/", json=read)).status_code == 200
    (room,) = (await talk.pandit.api.get("/api/chat/rooms/")).json()["results"]
    assert room["is_active"] is False


async def test_rest_and_socket_are_one_room(talk: Talk) -> None:
    async with talk.socket(talk.pandit) as client:
        await client.quiet()
        sent = (await send(talk.customer, talk, "by REST", cid="c-1")).json()
        heard = await client.next("message")
        assert (heard["id"], heard["seq"], heard["cid"]) == (sent["id"], 2, "c-1")
        ack = await client.said("by socket")
        assert (await messages(talk.customer, talk, after=2))[0]["id"] == ack["id"]


# -- attachments ----------------------------------------------------------------------------------


async def test_a_picture_is_uploaded_sent_and_fetched_by_members_alone(talk: Talk) -> None:
    answer = await upload(talk.customer, talk.room_id, name="../../घर पूजा.png")
    assert answer.status_code == 201, answer.text
    uploaded = answer.json()
    assert uploaded == {
        "id": uploaded["id"],
        "file_url": f"/files/chat/{uploaded['id']}",
        "name": "घर पूजा.png",
        "mime": "image/png",
        "size": len(PNG),
        "width": 3,
        "height": 2,
    }
    sent = await send(talk.customer, talk, "", message_type="IMAGE", attachment_id=uploaded["id"])
    assert sent.status_code == 201, sent.text
    assert sent.json()["file_url"] == uploaded["file_url"]
    fetched = await talk.pandit.api.get(uploaded["file_url"])
    assert fetched.content == PNG
    assert fetched.headers["Content-Type"] == "image/png"
    assert fetched.headers["X-Content-Type-Options"] == "nosniff"
    assert fetched.headers["Content-Disposition"].startswith("inline; filename*=UTF-8''")
    assert "sandbox" in fetched.headers["Content-Security-Policy"]
    assert fetched.headers["Cache-Control"].startswith("private")


async def test_a_socket_sends_and_tells_files(talk: Talk) -> None:
    pdf = (await upload(talk.pandit, talk.room_id, PDF, "samagri.pdf")).json()
    assert pdf["mime"] == "application/pdf"
    async with talk.socket(talk.customer) as customer, talk.socket(talk.pandit) as pandit:
        await customer.quiet()
        await pandit.send(type="FILE", content="The list", attachment={"id": pdf["id"]})
        heard = await customer.next("message")
        assert heard["kind"] == "FILE"
        assert heard["attachment"] == {
            "id": pdf["id"],
            "name": "samagri.pdf",
            "mime": "application/pdf",
            "size": len(PDF),
            "url": pdf["file_url"],
        }
    fetched = await talk.customer.api.get(pdf["file_url"])
    assert fetched.headers["Content-Disposition"].startswith("attachment;")


async def test_only_ones_own_upload_to_that_room_can_be_sent(talk: Talk, people: People) -> None:
    theirs = (await upload(talk.pandit, talk.room_id)).json()
    pdf = (await upload(talk.customer, talk.room_id, PDF)).json()
    for kind, attachment_id in (("IMAGE", theirs["id"]), ("IMAGE", pdf["id"])):
        answer = await send(talk.customer, talk, "", message_type=kind, attachment_id=attachment_id)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["code"] == "attachment"


async def test_what_is_no_picture_and_no_pdf_is_refused_whatever_its_name(
    talk: Talk, settings: Settings
) -> None:
    for content in (
        b"hello", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<!doctype html><script>alert(1)</script>", b"GIF89a" + bytes(20), b"PK\x03\x04",
        b"\x7fELF", b"RIFF\x00\x00\x00\x00WAVE", b"",
    ):  # fmt: skip
        answer = await upload(talk.customer, talk.room_id, content, "nice.png")
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["code"] == "file-type"
    assert not kept_files(settings)


async def test_a_picture_of_too_many_pixels_is_refused_and_not_kept(
    talk: Talk, settings: Settings
) -> None:
    """Few bytes that would fill the reader's memory."""
    for width, height, code in ((100_000, 100_000, "picture-size"), (0, 2, "picture-damaged")):
        head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        picture = PNG[:8] + head + PNG[8 + len(head) :]
        answer = await upload(talk.customer, talk.room_id, picture)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["code"] == code
    assert not kept_files(settings)


@pytest.mark.parametrize("size", [MAX_UPLOAD + 1, MAX_UPLOAD * 8])
async def test_a_file_that_is_too_large_answers_413(talk: Talk, size: int) -> None:
    answer = await upload(talk.customer, talk.room_id, PNG + bytes(size))
    assert (answer.status_code, answer.json()["type"]) == (413, "too-large")
    exactly = await upload(talk.customer, talk.room_id, PNG + bytes(MAX_UPLOAD - len(PNG)))
    assert exactly.status_code == 201


async def test_who_uploads_is_asked_before_the_body_is_read(
    server: RunningServer, talk: Talk, people: People
) -> None:
    """The answer comes although not one byte of the body was sent."""
    admin = await people.admin()
    for bearer, expected in (("", b"401"), (f"Authorization: Bearer {admin.access}\r\n", b"403")):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST /api/chat/attachments/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: 5000000\r\n" + bearer.encode() + b"\r\n"
        )
        async with asyncio.timeout(10):
            answer = await reader.read()  # to the end: the connection is closed, too
        assert answer.split()[1] == expected
        assert b"application/problem+json" in answer
        writer.close()


async def test_a_small_upload_of_somebody_unknown_is_answered_401(
    talk: Talk, people: People
) -> None:
    nobody = await people.nobody()
    answer = await nobody.post(
        "/api/chat/attachments/",
        data={"room_id": talk.room_id},
        files={"file": ("puja.png", PNG + bytes(MAX_UPLOAD))},
    )
    assert (answer.status_code, answer.json()["type"]) == (401, "not-signed-in")


@pytest.mark.parametrize("path", ["/api/auth/token/", "/sign-in/"])
async def test_elsewhere_no_large_body_is_read(server: RunningServer, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2000000\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert answer.split()[1] == b"400"
    writer.close()


async def test_an_attachment_that_is_sent_twice_is_kept_once(talk: Talk) -> None:
    async def sent() -> httpx.Response:
        return await talk.customer.api.post(
            "/api/chat/attachments/",
            data={"room_id": talk.room_id},
            files={"file": ("puja.png", PNG)},
            headers={"Idempotency-Key": "one-attachment"},
        )

    first, again = await sent(), await sent()
    assert first.status_code == 201
    assert first.json() == again.json()


async def test_an_upload_that_is_no_form_is_refused(talk: Talk) -> None:
    post = talk.customer.api.post
    path = "/api/chat/attachments/"
    assert (await post(path, json={"room_id": talk.room_id})).status_code == 415
    broken = await post(
        path, content=b"nonsense", headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert broken.status_code in (400, 422)
    missing = await post(path, files={"file": ("a.png", PNG)})
    assert missing.status_code == 422
    assert [each["field"] for each in missing.json()["errors"]] == ["room_id"]


# -- telling those who are not there ------------------------------------------------------------


async def told(person: Person) -> list[dict[str, Any]]:
    rows = (await person.api.get("/api/notifications/")).raise_for_status().json()["results"]
    return [row for row in rows if row["notification_type"] == "NEW_MESSAGE"]


async def test_a_run_of_unread_messages_makes_one_notification(talk: Talk) -> None:
    async with notification_socket(talk.port, talk.pandit.access) as client:
        for number in range(5):
            await send(talk.customer, talk, f"m{number}")
        pushed = await client.where(lambda f: f.get("kind") == "NEW_MESSAGE")
        assert pushed["data"]["room_id"] == talk.room_id
        read = {"room_id": talk.room_id, "sequence": 6}
        await talk.pandit.api.post("/api/messages/read/", json=read)
        await send(talk.customer, talk, "a new run")
        await client.where(lambda f: f.get("kind") == "NEW_MESSAGE")
    rows = await told(talk.pandit)
    assert len(rows) == 2
    assert all("m0" not in row["message"] for row in rows), "the content stays in the room"
    assert await told(talk.customer) == []


async def test_a_message_is_told_of_when_the_answer_of_the_database_was_lost(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = MongoMessageRepository.insert

    async def and_lose_the_answer(
        self: MongoMessageRepository, messages: Sequence[Message]
    ) -> dict[int, Message | None]:
        monkeypatch.setattr(MongoMessageRepository, "insert", insert)
        await insert(self, messages)
        raise StoreUnavailable

    async with (
        chat_socket(talk.port, talk.customer.access, talk.room_id) as customer,
        notification_socket(talk.port, talk.pandit.access) as pandit,
    ):
        monkeypatch.setattr(MongoMessageRepository, "insert", and_lose_the_answer)
        cid = str(uuid.uuid4())
        await customer.say("Namaste", cid)
        assert (await customer.next("error"))["code"] == "storage_unavailable"
        await customer.say("Namaste", cid)
        assert (await customer.next("ack"))["dup"]
        await pandit.where(lambda f: f.get("type") == "room_head")
        await pandit.where(lambda f: f.get("kind") == "NEW_MESSAGE")


async def test_what_the_room_was_told_once_stands_when_a_release_words_it_otherwise(
    server: RunningServer, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, pandit = await people.customer(), await people.pandit()
    chats = server.services.chats
    names = {"customer_name": "Sita", "pandit_name": "Ram"}
    ids = {
        "customer_id": customer.user_id,
        "pandit_id": pandit.pandit_id,
        "pandit_user_id": pandit.user_id,
    }
    room = await chats.open_unlocked("unlock-1", **ids, **names)
    monkeypatch.setattr("server.services.chats.UNLOCKED_TEXT", "Talk with {pandit} here.")
    again = await chats.open_unlocked("unlock-1", **ids, **names)
    assert again.id == room.id
    answer = await customer.api.get("/api/messages/", params={"room_id": room.id})
    (said,) = answer.raise_for_status().json()["results"]
    assert said["content"].startswith("The contact is unlocked.")


async def test_who_has_the_room_open_is_not_told(talk: Talk) -> None:
    async with (
        chat_socket(talk.port, talk.pandit.access, talk.room_id) as open_room,
        notification_socket(talk.port, talk.customer.access) as customer,
    ):
        await send(talk.customer, talk, "you are here")
        await open_room.next("message")
        await send(talk.pandit, talk, "and you are not")
        await customer.where(lambda f: f.get("kind") == "NEW_MESSAGE")
    assert await told(talk.pandit) == []
    assert len(await told(talk.customer)) == 1
