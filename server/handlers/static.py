"""Files that never change under their address: scripts, styles, fonts, and the texts of scripts.

Every file of ``server/web/static`` is known by name from the start, so no path of a request
is ever looked up on the disk. The address carries a hash of all of them
(``/static/<hash>/site.css``): modules that import each other by relative names inherit it, and
browsers keep everything for a year.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from babel.messages.pofile import read_po
from tornado import web

from server.domain.account import DEFAULT_LANGUAGE, LANGUAGES
from server.handlers.base import BaseHandler
from server.handlers.routing import Route

_YEAR_SECONDS: Final = 365 * 24 * 3600
_PACKED: Final = ".gz"
_HASH_LENGTH: Final = 12
_SCRIPTS: Final = ("server/web/static/app/", "server/web/sw.js")
_WORKER: Final = "sw.js"
_TEXT_TYPES: Final = frozenset(
    {"text/css", "text/javascript", "image/svg+xml", "application/json", "text/markdown"}
)


@dataclass(frozen=True)
class Asset:
    """One file. ``stored`` is what lies on the disk, packed there or not."""

    content_type: str
    stored: bytes
    is_packed: bool = False

    @functools.cached_property
    def plain(self) -> bytes:
        """The bytes as they are used."""
        return gzip.decompress(self.stored) if self.is_packed else self.stored

    @functools.cached_property
    def packed(self) -> bytes | None:
        """The same in gzip, None where that gains nothing."""
        if self.is_packed:
            return self.stored
        if self.content_type.partition(";")[0] not in _TEXT_TYPES:
            return None
        return gzip.compress(self.stored, mtime=0)

    @functools.cached_property
    def etag(self) -> str:
        """What tells one version from another."""
        return f'"{hashlib.sha256(self.stored).hexdigest()[:32]}"'


class Assets:
    """All files below ``web_path / "static"``, the worker, and the texts of scripts."""

    def __init__(self, web_path: Path, locale_path: Path) -> None:
        root = web_path / "static"
        self._files = dict(_files(root))
        digest = hashlib.sha256()
        for name in sorted(self._files):
            digest.update(name.encode() + b"\0" + self._files[name].stored)
        self.version = digest.hexdigest()[:_HASH_LENGTH]
        """The hash of all files."""
        worker = web_path / _WORKER
        self.worker = (
            Asset("text/javascript; charset=utf-8", worker.read_bytes())
            if worker.is_file()
            else None
        )
        self._texts = {
            language: Asset("application/json; charset=utf-8", _script_texts(locale_path, language))
            for language in LANGUAGES
            if language != DEFAULT_LANGUAGE
        }

    def find(self, name: str) -> Asset | None:
        """Return the file of that name, or None."""
        return self._files.get(name)

    def texts(self, language: str) -> Asset | None:
        """Return the texts of scripts in that language, None where the source is the text."""
        return self._texts.get(language)

    def url(self, name: str) -> str:
        """Return the address of a file. Raises ``KeyError`` for one that does not exist."""
        if name not in self._files:
            raise KeyError(name)
        return f"/static/{self.version}/{name}"

    def texts_url(self, language: str) -> str:
        """Return the address of the texts of scripts, empty where none are needed."""
        asset = self._texts.get(language)
        return f"/i18n/{language}.json?v={asset.etag[1:13]}" if asset else ""

    @property
    def worker_url(self) -> str:
        """The address of the service worker, which is told where the files are."""
        return f"/{_WORKER}?static=/static/{self.version}/" if self.worker else ""


def _files(root: Path) -> Iterator[tuple[str, Asset]]:
    for path in sorted(root.rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(root).as_posix()
        is_packed = name.endswith(_PACKED)
        shown = name.removesuffix(_PACKED)
        yield shown, Asset(_content_type(shown), path.read_bytes(), is_packed)


def _content_type(name: str) -> str:
    if name.endswith((".js", ".mjs")):
        return "text/javascript; charset=utf-8"
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    is_text = guessed.startswith("text/") or guessed == "application/json"
    return f"{guessed}; charset=utf-8" if is_text else guessed


def _script_texts(locale_path: Path, language: str) -> bytes:
    """The translations of those texts that stand in scripts, as JSON; plurals as lists."""
    source = locale_path / language / "LC_MESSAGES" / "messages.po"
    found: dict[str, str | list[str]] = {}
    if source.is_file():
        with source.open("rb") as file:
            catalogue = read_po(file, locale=language)
        for message in catalogue:
            in_script = any(place.startswith(_SCRIPTS) for place, _ in message.locations)
            if not message.id or not in_script:
                continue
            key = message.id if isinstance(message.id, str) else message.id[0]
            text = message.string
            found[key] = text if isinstance(text, str) else list(text or ())
    return json.dumps(found, ensure_ascii=False, sort_keys=True).encode()


class AssetHandler(BaseHandler):
    """Base of what is answered from memory, packed when the client can unpack it."""

    @property
    def assets(self) -> Assets:
        """All files."""
        assets: Assets = self.application.settings["assets"]
        return assets

    def check_xsrf_cookie(self) -> None:
        """Nothing here changes anything."""

    def answer(self, asset: Asset | None, *, max_age_seconds: int) -> None:
        """Send a file, or its absence; nought seconds means: ask each time."""
        if asset is None:
            raise web.HTTPError(HTTPStatus.NOT_FOUND)
        self.set_header(
            "Cache-Control",
            f"public, max-age={max_age_seconds}, immutable" if max_age_seconds else "no-cache",
        )
        self.set_header("Content-Type", asset.content_type)
        self.set_header("Vary", "Accept-Encoding")
        self.set_header("ETag", asset.etag)
        if self.check_etag_header():
            self.set_status(int(HTTPStatus.NOT_MODIFIED))
            return
        body = asset.plain
        if asset.packed is not None and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            body = asset.packed
            self.set_header("Content-Encoding", "gzip")
        if self.request.method == "HEAD":
            self.set_header("Content-Length", len(body))
            return
        self.finish(body)

    async def head(self, *path: str) -> None:
        """Answer like GET, without the body."""
        answered = self.get(*path)
        if answered is not None:
            await answered


class StaticHandler(AssetHandler):
    """``/static/<hash>/<name>``; an old hash answers too, but is not kept."""

    async def get(self, version: str, name: str) -> None:
        """Send the file."""
        is_current = version == self.assets.version
        self.answer(self.assets.find(name), max_age_seconds=_YEAR_SECONDS if is_current else 0)


class ScriptTextsHandler(AssetHandler):
    """The texts of scripts in one language."""

    async def get(self, language: str) -> None:
        """Send the texts."""
        is_versioned = bool(self.get_query_argument("v", ""))
        asset = self.assets.texts(language)
        self.answer(asset, max_age_seconds=_YEAR_SECONDS if is_versioned else 0)


class WorkerHandler(AssetHandler):
    """The service worker, at the root so that its scope is the whole site."""

    async def get(self) -> None:
        """Send the script."""
        self.answer(self.assets.worker, max_age_seconds=0)


ROUTES: Final = (
    Route(r"/static/([0-9a-f]+)/([\w./-]+)", StaticHandler, "static"),
    Route(r"/i18n/([a-z]+)\.json", ScriptTextsHandler, "script-texts"),
    Route("/sw.js", WorkerHandler, "service-worker"),
)
