"""Uploaded files: their descriptions in MongoDB, their bytes in a folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Final

from server.domain.chat import Attachment
from server.domain.errors import NotFound, StoreUnavailable
from server.store.client import ASCENDING, Index, Store
from server.store.codec import from_document, to_document
from server.store.outbox import ANY_TIME

COLLECTION: Final = "attachments"
INDEXES: Final = (
    Index((("expires_at", ASCENDING),), partial={"expires_at": ANY_TIME}),
    Index((("owner_id", ASCENDING), ("expires_at", ASCENDING))),
)
_NAME: Final = re.compile(r"[A-Za-z0-9]{8,64}")


class MongoAttachmentRepository:
    """See ``ports.AttachmentRepository``."""

    def __init__(self, store: Store) -> None:
        self._attachments = store.collection(COLLECTION)

    async def add(self, attachment: Attachment, expires_at: datetime) -> None:
        """Store a new description, with the time at which it is abandoned."""
        await self._attachments.insert_one({**to_document(attachment), "expires_at": expires_at})

    async def find(self, attachment_id: str) -> Attachment | None:
        """Return the description, or None."""
        document = await self._attachments.find_one({"_id": attachment_id})
        return from_document(Attachment, document) if document else None

    async def keep(self, attachment_id: str) -> bool:
        """Take the time of its end away; False when it is gone."""
        kept = await self._attachments.update_one(
            {"_id": attachment_id}, {"$unset": {"expires_at": ""}}
        )
        return kept.matched > 0

    async def count_unsent(self, owner_id: str, limit: int) -> int:
        """Count what has a time of its end, up to ``limit``."""
        return await self._attachments.count(
            {"owner_id": owner_id, "expires_at": ANY_TIME}, limit=limit
        )

    async def list_abandoned(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Return the ids of some whose time is over."""
        documents = await self._attachments.find(
            {"expires_at": {**ANY_TIME, "$lte": now}}, fields=("_id",), limit=limit
        )
        return tuple(document["_id"] for document in documents)

    async def remove_abandoned(self, attachment_id: str, now: datetime) -> bool:
        """Delete it if it is still abandoned."""
        return await self._attachments.delete_one(
            {"_id": attachment_id, "expires_at": {**ANY_TIME, "$lte": now}}
        )


class DiskFileStore:
    """See ``ports.FileStore``. One file each in a folder of this server's own.

    A file appears under its name only when all of it is on the disk. Names are letters and digits
    that we made; anything else is not found, so no name can lead out of the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def write(self, name: str, content: bytes) -> None:
        """Write a whole file durably, in a thread. Raises ``StoreUnavailable``."""
        try:
            await asyncio.to_thread(self._write, self._place(name), content)
        except OSError as error:
            raise StoreUnavailable from error

    async def read(self, name: str) -> bytes:
        """Return a whole file, read in a thread. Raises ``NotFound``."""
        try:
            return await asyncio.to_thread(self._place(name).read_bytes)
        except FileNotFoundError:
            raise NotFound from None
        except OSError as error:
            raise StoreUnavailable from error

    async def remove(self, name: str) -> None:
        """Delete a file, in a thread. Raises ``StoreUnavailable``."""
        try:
            await asyncio.to_thread(self._place(name).unlink, missing_ok=True)
        except OSError as error:
            raise StoreUnavailable from error

    def _place(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise NotFound
        # Folders by the first two characters keep each of them small.
        return self._path / name[:2] / name

    @staticmethod
    def _write(place: Path, content: bytes) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=".part-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(place)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        folder = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
