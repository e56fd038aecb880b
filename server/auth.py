"""Password hashes and access tokens.

Argon2id after OWASP's minimum (t=2, 19 MiB, p=1): a hash takes tens of milliseconds of a core, so
it runs in a few threads with a bounded queue, never on the event loop. Access tokens are JSON web
tokens (RFC 7519) under HMAC-SHA-256 with a key derived from the server's secret.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from server.domain.errors import NotSignedIn, SessionOver
from server.domain.ports.accounts import Claims
from server.workers import Threads

_ALGORITHM: Final = "HS256"
_ISSUER: Final = "pandityatra"
_AUDIENCE: Final = "pandityatra"
_ACCESS: Final = "access"
_REQUIRED: Final = ["exp", "iat", "sub", "jti", "typ", "sid", "iss", "aud"]
_MAX_CHECKED: Final = 20_000
"""Tokens that are remembered."""
_SKEW_SECONDS: Final = 30
"""How far the clocks of two of our processes may differ."""
_TIME_COST: Final = 2
_MEMORY_KIB: Final = 19_456
_PARALLELISM: Final = 1


class Argon2Hasher:
    """Implements ``ports.Hasher``.

    Parameters
    ----------
    threads
        How many passwords are hashed at once.
    queue
        How many more may wait; beyond that callers get ``Overloaded``.
    memory_kib
        What a hash takes; less than OWASP's minimum only where nobody's password is kept.
    """

    def __init__(self, threads: int, queue: int, *, memory_kib: int = _MEMORY_KIB) -> None:
        self._hasher = PasswordHasher(
            time_cost=_TIME_COST, memory_cost=memory_kib, parallelism=_PARALLELISM
        )
        # Sixteen bytes of salt and a tag of thirty-two, all zero: no password that anybody knows
        # gives it, and to find that out takes as long as for any other.
        self._nobodys = (
            f"$argon2id$v=19$m={memory_kib},t={_TIME_COST},p={_PARALLELISM}${'A' * 22}${'A' * 43}"
        )
        self._threads = Threads("argon2", threads, queue)

    async def hash(self, password: str) -> str:
        """Return the argon2id text. Raises ``Overloaded`` when too many wait."""
        return await self._threads.run(lambda: self._hasher.hash(password))

    async def verify(self, password_hash: str, password: str) -> bool:
        """Whether the password is that one.

        An empty hash costs the same time and is never right.
        """
        matches = await self._threads.run(
            lambda: self._matches(password_hash or self._nobodys, password)
        )
        return matches and bool(password_hash)

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        """Let the threads end; what still waits is dropped."""
        self._threads.close()

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


class JwtSigner:
    """Implements ``ports.TokenSigner``. Tokens of the previous secret hold until they expire.

    What a good token says is remembered, for it is shown again with every request and by each
    socket that comes back. Whether it holds at that time is asked each time.
    """

    def __init__(self, secret: str, previous_secret: str = "") -> None:
        self._key_id, self._key = _derive(secret)
        self._keys = [(self._key_id, self._key)]
        if previous_secret:
            self._keys.append(_derive(previous_secret))
        self._checked = lru_cache(_MAX_CHECKED)(self._check)

    def sign(self, claims: Claims, now: datetime) -> str:
        """Return the token."""
        return jwt.encode(
            {
                "iss": _ISSUER,
                "aud": _AUDIENCE,
                "typ": _ACCESS,
                "sub": claims.user_id,
                "sid": claims.session_id,
                "jti": secrets.token_urlsafe(12),
                "iat": int(now.timestamp()),
                "exp": int(claims.expires_at.timestamp()),
            },
            self._key,
            algorithm=_ALGORITHM,
            headers={"kid": self._key_id},
        )

    def read(self, token: str, now: datetime) -> Claims:
        """Return what a valid token says.

        Raises ``NotSignedIn`` for any other, ``SessionOver`` for one that was valid.
        """
        claims, issued_seconds = self._checked(token)
        if issued_seconds > now.timestamp() + _SKEW_SECONDS:
            raise NotSignedIn
        if now >= claims.expires_at:
            raise SessionOver
        return claims

    def _check(self, token: str) -> tuple[Claims, int]:
        """What a token of ours says whenever it is read, and the second of its making."""
        try:
            payload = self._payload(token)
            expires_at = datetime.fromtimestamp(int(payload["exp"]), UTC)
            issued_seconds = int(payload["iat"])
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError):
            raise NotSignedIn from None
        if payload["typ"] != _ACCESS:
            raise NotSignedIn
        return Claims(str(payload["sub"]), str(payload["sid"]), expires_at), issued_seconds

    def _payload(self, token: str) -> dict[str, Any]:
        # One key after the other: nearly every token is of the current one, and asking a token for
        # its key takes a third as long as checking it.
        for key_id, key in self._keys:
            try:
                token_parts: dict[str, Any] = jwt.decode_complete(
                    token,
                    key,
                    algorithms=[_ALGORITHM],
                    issuer=_ISSUER,
                    audience=_AUDIENCE,
                    # The instants are compared elsewhere, with the clock that we are given.
                    options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
                )
            except jwt.InvalidSignatureError:
                continue
            if token_parts["header"].get("kid") != key_id:
                raise jwt.InvalidKeyError
            payload: dict[str, Any] = token_parts["payload"]
            return payload
        raise jwt.InvalidSignatureError


def _derive(secret: str) -> tuple[str, bytes]:
    """A key for this purpose alone, and the id by which tokens name it."""
    key = hmac.digest(secret.encode(), b"pandityatra access tokens", "sha256")
    return hashlib.sha256(b"key id" + key).hexdigest()[:8], key
