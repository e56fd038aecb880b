"""Uploads, one file and a few fields in a multipart body; and files on the way out."""

from __future__ import annotations

import asyncio
import functools
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from tornado import httputil, web

from server.domain import errors
from server.handlers.base import ApiHandler, BaseHandler, Operation

MAX_SWALLOWED_BYTES: Final = 64 * 1024 * 1024
"""Of a body that is too large so much is read and dropped, so that its sender hears the answer."""
_MULTIPART_OVERHEAD: Final = 16 * 1024
_LENGTH_DIGITS: Final = 20
_HASHED_BYTES: Final = 256 * 1024
"""So much of a file is hashed at a time: a few tenths of a millisecond."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One file, under the name that its sender gave it, and the fields beside it."""

    name: str
    content: bytes
    fields: dict[str, str]


@web.stream_request_body
class UploadBody(BaseHandler):
    """Takes in a body of ``multipart/form-data`` with one file.

    Done here and not by the framework: nothing is kept of what comes from somebody who may not
    upload, and a body that is too large is answered 413 without being held in memory.
    """

    def initialize(self, route_name: str = "unknown", **arguments: Any) -> None:
        """Begin with an empty body."""
        super().initialize(route_name, **arguments)
        self._body = bytearray()
        self._is_too_large = False
        self._refusal: errors.DomainError | None = None

    def take_large_body(self) -> None:
        """Let a large body come; for whoever may upload."""
        self.request.connection.set_max_body_size(MAX_SWALLOWED_BYTES)  # type: ignore[union-attr]  # an HTTP/1 connection, always

    @property
    def _limit(self) -> int:
        limit: int = self.application.settings["settings"].http.max_upload_bytes
        return limit

    def data_received(self, chunk: bytes) -> None:
        """Keep what arrives, up to the limit."""
        if self._refusal is not None:
            return
        if len(self._body) + len(chunk) > self._limit + _MULTIPART_OVERHEAD:
            self._is_too_large = True
            self._body.clear()
        if not self._is_too_large:
            self._body += chunk

    def take_fields(self, given: dict[str, str]) -> None:
        """Called with the text fields of a body that can be read, before the file is asked for."""

    def upload(self, *fields: str) -> Upload:
        """The file (field ``file``) and the text fields, all of which must be there.

        Raises
        ------
        TooLarge, UnsupportedMedia, Malformed, Invalid
            For a body that is too long, of another type, unreadable, or lacks a field.
        """
        given, found = self.parts
        self.take_fields(given)
        faults = [errors.FieldFault(name, "required") for name in fields if not given.get(name)]
        if found is None:
            faults.append(errors.FieldFault("file", "required"))
        if faults or found is None:
            raise errors.Invalid(*faults)
        return Upload(found.filename, found.body, given)

    @functools.cached_property
    def parts(self) -> tuple[dict[str, str], httputil.HTTPFile | None]:
        """The text fields of the body, and its file. Raises as :meth:`upload`."""
        if self._is_too_large:
            raise errors.TooLarge(self._limit)
        content_type = self.request.headers.get("Content-Type", "")
        if not content_type.lower().startswith("multipart/form-data"):
            raise errors.UnsupportedMedia
        arguments: dict[str, list[bytes]] = {}
        files: dict[str, list[httputil.HTTPFile]] = {}
        try:
            httputil.parse_body_arguments(content_type, bytes(self._body), arguments, files)
            given = {name: values[0].decode() for name, values in arguments.items() if values}
        except (httputil.HTTPInputError, UnicodeDecodeError):
            raise errors.Malformed from None
        found = files.get("file")
        return given, found[0] if found else None


class UploadHandler(UploadBody, ApiHandler):
    """Base of API handlers whose POST takes one file."""

    async def prepare(self) -> None:
        """Ask who uploads before anything is read; only then may the body be a large one.

        Whoever is refused is told after the body, if it is a small one: a client that is still
        writing when the connection closes does not hear the answer. A large one is not read.
        """
        await super().prepare()
        if self.request.method != "POST":
            return
        try:
            await self.admit(type(self).post.__operation__)  # type: ignore[attr-defined]  # set by ``operation``
        except errors.DomainError as error:
            if not self._is_small:
                raise
            self._refusal = error
        else:
            self.take_large_body()

    @property
    def _is_small(self) -> bool:
        length = self.request.headers.get("Content-Length", "")
        limit: int = self.application.settings["max_body_bytes"]
        if not length:
            return "Transfer-Encoding" not in self.request.headers
        return length.isdecimal() and len(length) < _LENGTH_DIGITS and int(length) <= limit

    async def run_operation(
        self, declared: Operation, method: Callable[..., Awaitable[Any]], path: tuple[str, ...]
    ) -> None:
        """Tell whoever was refused before the body came; serve the others."""
        if self._refusal is not None:
            raise self._refusal
        await super().run_operation(declared, method, path)

    async def body_hash(self, secret: bytes) -> str:
        """Of the fields, and the name and the bytes of the file: clients part them as they like."""
        given, found = self.parts
        digest = hmac.new(secret, digestmod="sha256")
        # As ASCII: in the charset that a client chooses, a name can be no text in UTF-8.
        digest.update(json.dumps([sorted(given.items()), found and found.filename]).encode())
        content = memoryview(found.body if found else b"")
        for first in range(0, len(content), _HASHED_BYTES):
            digest.update(content[first : first + _HASHED_BYTES])
            # Others have their turn.
            await asyncio.sleep(0)
        return digest.hexdigest()


class FileHandler(ApiHandler):
    """Base of handlers that send an uploaded file: whatever it is, it must not run."""

    def describe_file(self, name: str, mime: str, *, is_public: bool = False) -> None:
        """Say what comes, and who may keep it: anybody for an hour, or its reader not at all.

        Pictures are shown; anything else is saved under the name that its owner gave it.
        """
        shown = "inline" if mime.startswith("image/") else "attachment"
        self.set_header("Content-Type", mime)
        self.set_header("Content-Disposition", f"{shown}; filename*=UTF-8''{quote(name, safe='')}")
        self.set_header("Cache-Control", "public, max-age=3600" if is_public else "no-store")

    def _send(self, status: int, answer: Any) -> None:
        self.set_status(status)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Vary", "Authorization, Cookie")
        self.write(answer)
