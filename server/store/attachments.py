"""Uploaded files: their descriptions in MongoDB, their bytes in a folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from server.domain.chat import Attachment
from server.domain.errors import NotFound, StoreUnavailable
from server.store.client import Index, Store
from server.store.codec import from_document, to_document

COLLECTION: Final = "attachments"
INDEXES: Final[tuple[Index, ...]] = ()
_NAME: Final = re.compile(r"[A-Za-z0-9]{8,64}")


class MongoAttachmentRepository:
    """See ``ports.AttachmentRepository``."""

    def __init__(self, store: Store) -> None:
        self._attachments = store.collection(COLLECTION)

    async def add(self, attachment: Attachment) -> None:
        """Store a new description."""
        await self._attachments.insert_one(to_document(attachment))

    async def find(self, attachment_id: str) -> Attachment | None:
        """Return the description, or None."""
        document = await self._attachments.find_one({"_id": attachment_id})
        return from_document(Attachment, document) if document else None


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
