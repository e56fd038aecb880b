"""Messages to browsers, against a push service on loopback that decrypts what it gets."""

from __future__ import annotations

import asyncio
import base64
import stat
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from server.domain.notification import PushMessage, PushOutcome, PushSubscription
from server.push.webpush import WebPushSender, load_key, payload_of
from server.workers import Threads
from tests.push_service import PushService, running_push_service

MESSAGE = PushMessage(
    title="बुकिङ स्वीकार भयो",
    body="पं. रामले सत्यनारायण पूजा स्वीकार गर्नुभयो।",
    url="/bookings/b1/",
    tag="b1",
    language="ne",
    ttl_seconds=3600,
    is_urgent=True,
)


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with running_push_service() as service:
        yield service


@pytest.fixture
async def sender(tmp_path: Path) -> AsyncIterator[WebPushSender]:
    threads = Threads("push", 1, 10)
    async with WebPushSender.open(tmp_path / "key.pem", "mailto:a@example.com", threads) as sender:
        yield sender
    threads.close()


def subscription(service: PushService) -> PushSubscription:
    browser = service.browser()
    return PushSubscription(
        id="s1",
        user_id="u1",
        session_id="x1",
        endpoint=browser["endpoint"],
        p256dh=browser["keys"]["p256dh"],
        auth=browser["keys"]["auth"],
        created_at=datetime(2026, 11, 22, tzinfo=UTC),
    )


async def test_the_browser_reads_what_was_sent(service: PushService, sender: WebPushSender):
    assert await sender.send(subscription(service), MESSAGE) is PushOutcome.SENT
    delivery = await service.next()
    assert delivery.message == {
        "title": MESSAGE.title,
        "body": MESSAGE.body,
        "url": "/bookings/b1/",
        "tag": "b1",
        "lang": "ne",
    }
    assert delivery.headers["ttl"] == "3600"
    assert delivery.headers["urgency"] == "high"
    assert 0 < len(delivery.headers["topic"]) <= 32


async def test_the_push_service_can_check_who_sends(service: PushService, sender: WebPushSender):
    await sender.send(subscription(service), MESSAGE)
    delivery = await service.next()
    scheme, _, rest = delivery.headers["authorization"].partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    key = jwt.PyJWK(
        {
            "kty": "EC",
            "crv": "P-256",
            "x": _coordinate(sender.public_key, 0),
            "y": _coordinate(sender.public_key, 1),
        }
    )
    claims = jwt.decode(
        parts["t"], key.key, algorithms=["ES256"], audience=f"http://{service.host}"
    )
    assert (scheme, claims["sub"], parts["k"]) == (
        "vapid",
        "mailto:a@example.com",
        sender.public_key,
    )


def _coordinate(public_key: str, which: int) -> str:
    point = base64.urlsafe_b64decode(public_key + "=")[1:]
    return base64.urlsafe_b64encode(point[which * 32 :][:32]).rstrip(b"=").decode()


@pytest.mark.parametrize("status", [404, 410])
async def test_a_browser_that_has_gone_is_said_to_be_gone(
    service: PushService, sender: WebPushSender, status: int
):
    service.answers = [(status, {})]
    assert await sender.send(subscription(service), MESSAGE) is PushOutcome.GONE
    assert service.tries == 1


async def test_a_busy_push_service_is_asked_again(service: PushService, sender: WebPushSender):
    service.answers = [(429, {"Retry-After": "0"}), (503, {"Retry-After": "0"})]
    assert await sender.send(subscription(service), MESSAGE) is PushOutcome.SENT
    assert service.tries == 3


async def test_tries_are_bounded(service: PushService, sender: WebPushSender):
    service.answers = [(500, {"Retry-After": "0"})] * 5
    assert await sender.send(subscription(service), MESSAGE) is PushOutcome.FAILED
    assert service.tries == 3


async def test_nothing_is_tried_again_after_the_message_has_lost_its_worth(
    service: PushService, sender: WebPushSender
):
    service.answers = [(503, {"Retry-After": "5"})]
    brief = replace(MESSAGE, ttl_seconds=1)
    assert await sender.send(subscription(service), brief) is PushOutcome.FAILED
    assert service.tries == 1


async def test_a_redirect_is_not_followed(service: PushService, sender: WebPushSender):
    service.answers = [(307, {"Location": f"http://{service.host}/push/elsewhere"})]
    assert await sender.send(subscription(service), MESSAGE) is PushOutcome.REFUSED
    assert service.tries == 1


async def test_keys_that_are_no_keys_are_refused(service: PushService, sender: WebPushSender):
    broken = replace(subscription(service), p256dh="A" * 87)
    assert await sender.send(broken, MESSAGE) is PushOutcome.REFUSED
    assert service.tries == 0


async def test_a_service_that_is_away_is_no_error(service: PushService, sender: WebPushSender):
    away = replace(subscription(service), endpoint="http://127.0.0.1:9/push/x")
    brief = replace(MESSAGE, ttl_seconds=0)
    assert await sender.send(away, brief) is PushOutcome.FAILED


def test_a_long_text_is_cut_to_what_push_services_take():
    assert len(payload_of(replace(MESSAGE, body="नमस्ते " * 1000))) <= 3000


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path):
    path = tmp_path / "deep" / "key.pem"
    numbers = set()
    threads = [
        threading.Thread(target=lambda: numbers.add(load_key(path).private_numbers()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_key_of_another_kind_stops_the_start(tmp_path: Path):
    path = tmp_path / "key.pem"
    other = rsa.generate_private_key(65537, 2048)
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match="P-256"):
        load_key(path)


async def test_tokens_are_signed_once_for_each_push_service(
    service: PushService, sender: WebPushSender
):
    one = subscription(service)
    await asyncio.gather(*(sender.send(one, MESSAGE) for _ in range(3)))
    tokens = {(await service.next()).headers["authorization"] for _ in range(3)}
    assert len(tokens) == 1
