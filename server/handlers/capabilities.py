"""Answers that hold an address which is a secret, told once and stored nowhere."""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import Final

from server.handlers.base import ApiHandler

_NONCE_BYTES: Final = 16
_PLACE: Final = b"{token}"


class CapabilityHandler(ApiHandler):
    """Base of handlers whose POST makes such an address, once for an ``Idempotency-Key``.

    A repeat has to tell the same address. Its token is therefore reckoned anew, from our secret,
    the request and a number that was drawn for its first answer; that number alone is stored, and
    without our secret it is of no use.
    """

    _nonce = b""
    _token = ""

    def new_token(self) -> str:
        """A token that nobody can guess; call it once, for the address of the answer."""
        self._nonce = secrets.token_bytes(_NONCE_BYTES)
        self._token = self._token_of(self._nonce)
        return self._token

    def kept_answer(self, body: bytes) -> bytes:
        """The answer without its token, and what the token is reckoned from."""
        return self._nonce + body.replace(self._token.encode(), _PLACE)

    async def repeated_answer(self, kept: bytes) -> bytes:
        """The answer with its token."""
        token = self._token_of(kept[:_NONCE_BYTES])
        return kept[_NONCE_BYTES:].replace(_PLACE, token.encode())

    def _token_of(self, nonce: bytes) -> str:
        secret: bytes = self.application.settings["cursor_secret"]
        scope = self.request_scope(self.idempotency_key or "").encode()
        digest = hmac.digest(secret, b"capability|" + nonce + scope, "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
