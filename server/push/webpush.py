"""Web Push: encrypted messages (RFC 8291) to push services (RFC 8030), signed by VAPID (RFC 8292).

pywebpush encrypts and py_vapid signs, which takes about 10 ms of a core and is done in a thread;
httpx sends. Redirects are not followed: the address was checked when the browser gave it.
"""

from __future__ import annotations

import asyncio
import base64
import email.utils
import json
import logging
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from py_vapid import Vapid02
from pywebpush import WebPusher

from server.domain.notification import PushMessage, PushOutcome, PushSubscription
from server.domain.ports.world import Workers

_log: Final = logging.getLogger(__name__)
_TRIES: Final = 3
_PAUSES: Final = (1.0, 4.0)
_MAX_PAUSE: Final = 30.0
_TOKEN_LIFE: Final = 12 * 3600
_TOKEN_FRESH: Final = 6 * 3600
_MAX_PAYLOAD: Final = 3000
_MAX_ORIGINS: Final = 32
_GONE: Final = frozenset({404, 410})
_BUSY: Final = frozenset({408, 425, 429})
_SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class _Token:
    headers: Mapping[str, str]
    fresh_until: float


class WebPushSender:
    """Sends messages for one application server; keep it open with :meth:`open`.

    Parameters
    ----------
    key
        The private key of this application server.
    contact
        ``mailto:`` or ``https:`` address under which a push service can reach us.
    workers
        Threads for encryption.
    client
        The HTTP client; it must not follow redirects.
    """

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        contact: str,
        workers: Workers,
        client: httpx.AsyncClient,
    ) -> None:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._vapid = Vapid02.from_pem(pem)
        self._contact = contact
        self._workers = workers
        self._client = client
        self._tokens: dict[str, _Token] = {}
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self._public_key = base64.urlsafe_b64encode(point).rstrip(b"=").decode()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, key_path: Path, contact: str, workers: Workers
    ) -> AsyncIterator[WebPushSender]:
        """Read the key, or make it at the first start, and keep connections while in use."""
        key = load_key(key_path)
        timeout = httpx.Timeout(10.0, connect=5.0)
        limits = httpx.Limits(max_connections=20, max_keepalive_connections=10)
        async with httpx.AsyncClient(
            timeout=timeout, limits=limits, follow_redirects=False, trust_env=False
        ) as client:
            yield cls(key, contact, workers, client)

    @property
    def public_key(self) -> str:
        """See ``ports.PushSender``."""
        return self._public_key

    async def send(self, subscription: PushSubscription, message: PushMessage) -> PushOutcome:
        """See ``ports.PushSender``. What is busy or silent is tried three times."""
        try:
            body, headers = await self._workers.run(lambda: self._sealed(subscription, message))
        except Exception:
            # Keys that no browser made; said once, without them.
            _log.warning("push_not_encrypted", extra={"subscription_id": subscription.id})
            return PushOutcome.REFUSED
        deadline = time.monotonic() + message.ttl_seconds
        for attempt in range(_TRIES):
            outcome, wait = await self._try(subscription, headers, body)
            if outcome is not PushOutcome.FAILED or attempt == _TRIES - 1:
                return outcome
            pause = min(wait if wait is not None else _PAUSES[attempt], _MAX_PAUSE)
            if time.monotonic() + pause > deadline:
                return outcome
            await asyncio.sleep(pause * random.uniform(1.0, 1.25))  # noqa: S311  # no secret
        return PushOutcome.FAILED

    async def _try(
        self, subscription: PushSubscription, headers: Mapping[str, str], body: bytes
    ) -> tuple[PushOutcome, float | None]:
        try:
            answer = await self._client.post(
                subscription.endpoint, content=body, headers=dict(headers)
            )
        except (httpx.HTTPError, OSError):
            return PushOutcome.FAILED, None
        if answer.is_success:
            return PushOutcome.SENT, None
        if answer.status_code in _GONE:
            return PushOutcome.GONE, None
        if answer.status_code in _BUSY or answer.status_code >= _SERVER_ERROR:
            return PushOutcome.FAILED, _retry_after(answer.headers.get("retry-after", ""))
        _log.warning("push_refused", extra={"status": answer.status_code})
        return PushOutcome.REFUSED, None

    def _sealed(
        self, subscription: PushSubscription, message: PushMessage
    ) -> tuple[bytes, dict[str, str]]:
        """Encrypt for that browser; runs in a thread."""
        keys = {"p256dh": subscription.p256dh, "auth": subscription.auth}
        pusher = WebPusher({"endpoint": subscription.endpoint, "keys": keys})
        sealed = pusher.encode(payload_of(message), content_encoding="aes128gcm")
        headers = {
            **self._authorization(subscription.endpoint),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(message.ttl_seconds),
            "Urgency": "high" if message.is_urgent else "normal",
            "Topic": message.topic,
        }
        return bytes(sealed["body"]), headers

    def _authorization(self, endpoint: str) -> Mapping[str, str]:
        parts = urlsplit(endpoint)
        origin = f"{parts.scheme}://{parts.netloc}"
        now = time.time()
        token = self._tokens.get(origin)
        if token is None or now > token.fresh_until:
            claims = {"aud": origin, "sub": self._contact, "exp": int(now + _TOKEN_LIFE)}
            token = _Token(dict(self._vapid.sign(claims)), now + _TOKEN_FRESH)
            if len(self._tokens) >= _MAX_ORIGINS:
                self._tokens.clear()
            self._tokens[origin] = token
        return token.headers


def payload_of(message: PushMessage) -> bytes:
    """What the browser's worker is given: JSON below 3 kB, the text cut where it is longer."""
    fields = {
        "title": message.title,
        "body": message.body,
        "url": message.url,
        "tag": message.tag,
        "lang": message.language,
    }
    while len(data := json.dumps(fields, ensure_ascii=False).encode()) > _MAX_PAYLOAD:
        longest = max(("title", "body"), key=lambda name: len(fields[name]))
        fields[longest] = fields[longest][: len(fields[longest]) * 3 // 4] + "…"
    return data


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read the private key, or make one; of several processes that start together one makes it.

    Raises
    ------
    ValueError
        If the file holds no key of the curve P-256.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = ec.generate_private_key(ec.SECP256R1())
        pem = fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        # mkstemp's files are the owner's alone.
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
        with suppress(FileExistsError):
            os.link(temporary, path)
        os.unlink(temporary)
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError(f"{path}: not a private key of the curve P-256")
    return key


def _retry_after(text: str) -> float | None:
    """Seconds that a push service asks us to wait: a number or a date (RFC 9110)."""
    if text.isdigit():
        return float(text)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
