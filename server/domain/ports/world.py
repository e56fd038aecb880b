"""What every use case may need: time, ids, texts, threads, files and pictures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time
from typing import Protocol

from server.domain.ports.paging import T


class Clock(Protocol):
    """The present instant, in UTC."""

    def now(self) -> datetime:
        """Return an aware datetime in UTC."""
        ...


class IdSource(Protocol):
    """New opaque ids, unique for ever."""

    def new(self) -> str:
        """Return an id that nobody had before."""
        ...


class Translator(Protocol):
    """Texts in the languages of the product."""

    def text(self, language: str, message: str, **params: str | int | time) -> str:
        """Return the message in that language, its ``{placeholders}`` filled as it writes them."""
        ...

    def plural(self, language: str, one: str, many: str, count: int, **params: str | int) -> str:
        """Return the singular or plural form for ``count``, which also fills ``{n}``."""
        ...


class Workers(Protocol):
    """Does work off the event loop, a bounded amount of it."""

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work elsewhere and return what it returns. Raises ``Overloaded`` when full."""
        ...


class FileStore(Protocol):
    """The bytes of uploaded files, under names that we make."""

    async def write(self, name: str, content: bytes) -> None:
        """Write a whole file durably."""
        ...

    async def read(self, name: str) -> bytes:
        """Return a whole file. Raises ``NotFound``."""
        ...

    async def remove(self, name: str) -> None:
        """Delete a file; one that is gone already is no error."""
        ...


class PictureEditor(Protocol):
    """Makes small copies of pictures, upright and without what they tell about their maker.

    Unpacks whole pictures, which takes time and four bytes a pixel: for a worker, one at a time.
    Both raise ``Invalid`` for what is no whole picture.
    """

    mime: str
    """The media type of what is made."""

    def smaller(self, content: bytes, side: int) -> bytes:
        """The whole picture, its longer side at most ``side`` pixels."""
        ...

    def portrait(self, content: bytes, side: int) -> bytes:
        """A square of ``side`` pixels from where a face stands."""
        ...
