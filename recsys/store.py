"""The folder of published models, and the one pointer that says which of them serves.

::

    STORE/
      current            a text file with one version's identifier
      history.jsonl      who pointed it where, and why
      versions/<id>/     whole artifacts that may serve
      rejected/<id>/     whole artifacts that a gate refused, with their reports
      tmp/               what is being written

A version appears by one rename and is taken up by one rename of the pointer; files and folders are
synced before and after. Whatever stops the publisher, at any step, the old pointer stands and the
old version is whole. The pointer is a file, not a link: every file system and object store has
files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from recsys.artifact import (
    VERSION_PATTERN,
    Artifact,
    ArtifactError,
    ArtifactWriter,
    Limits,
    Manifest,
    load,
    read_manifest,
    read_text,
    sync_folder,
)

if sys.platform != "win32":
    import fcntl

_POINTER_BYTES: Final = 64
KEEP_VERSIONS: Final = 5
KEEP_PUBLISHED: Final = 2
KEEP_REJECTED: Final = 5


class Pointing(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the pointer."""

    at: str
    version: str
    previous: str
    action: str
    """``publish`` or ``rollback``."""
    by: str = ""
    reason: str = ""
    forced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One version in the store, as `ModelStore.versions` shows it."""

    version: str
    is_current: bool
    manifest: Manifest | None
    problem: str = ""
    """Why the manifest cannot be read."""


class ModelStore:
    """Versions of a model below one folder.

    Parameters
    ----------
    root : Path
        Made when something is first written. Reading an absent store finds nothing.
    limits : Limits, optional
        What may be read at all.
    """

    def __init__(self, root: Path, limits: Limits | None = None) -> None:
        self.root = root
        self.limits = limits or Limits()

    # --- reading ---

    @property
    def pointer(self) -> Path:
        """The file that names the serving version; watch this."""
        return self.root / "current"

    def folder(self, version: str) -> Path:
        """Where a version lies.

        Raises
        ------
        ArtifactError
            When the name is none that a version can have; so no name leads out of the store.
        """
        if not VERSION_PATTERN.fullmatch(version):
            raise ArtifactError("name", f"{version!r} is not the name of a version")
        return self.root / "versions" / version

    def current(self) -> str | None:
        """The version that serves, or None when none was ever published.

        Raises
        ------
        ArtifactError
            With code ``pointer`` when the file holds anything but a version's name.
        """
        try:
            if self.pointer.is_symlink():
                raise ArtifactError("pointer", "the pointer is a link")
            with self.pointer.open("rb") as stream:
                text = stream.read(_POINTER_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArtifactError("pointer", f"the pointer cannot be read: {error}") from error
        version = text.decode("ascii", "replace").strip()
        if not VERSION_PATTERN.fullmatch(version):
            raise ArtifactError("pointer", f"the pointer says {version!r}")
        return version

    def load(
        self, version: str, *, pause_seconds: float = 0.0, without_ids: Collection[str] = ()
    ) -> Artifact:
        """Read and check one version; see `recsys.artifact.load`."""
        return load(
            self.folder(version),
            limits=self.limits,
            pause_seconds=pause_seconds,
            without_ids=without_ids,
        )

    def text(self, version: str, name: str) -> str:
        """One text of a version; see `recsys.artifact.read_text`."""
        return read_text(self.folder(version), name, limits=self.limits)

    def load_current(self) -> Artifact | None:
        """Read and check what the pointer names; None when nothing was published."""
        version = self.current()
        return None if version is None else self.load(version)

    def versions(self) -> list[Listed]:
        """All versions, newest first. Manifests are read, other files are not."""
        with contextlib.suppress(ArtifactError):
            current = self.current()
            return [self._listed(version, current) for version in reversed(self._names("versions"))]
        return [self._listed(version, None) for version in reversed(self._names("versions"))]

    def history(self) -> list[Pointing]:
        """All changes of the pointer, oldest first; a torn last line is left out."""
        try:
            lines = (self.root / "history.jsonl").read_bytes().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError):
                found.append(msgspec.json.decode(line, type=Pointing))
        return found

    def previous(self) -> str | None:
        """The version that a rollback goes to: what served before the current one was published.

        Rolling back twice goes back two steps. Where the history is lost, the next older version
        that still lies here.
        """
        current = self.current()
        if current is None:
            return None
        here, history = self._names("versions"), self.history()
        for entry in reversed(history):
            is_publishing = entry.version == current and entry.action == "publish"
            # Publishing what is current already, after a crash, does not say what was before.
            if is_publishing and entry.previous in here and entry.previous != current:
                return entry.previous
        served = _served(history)
        older = [
            version for version in here if version < current and (version in served or not served)
        ]
        return older[-1] if older else None

    # --- writing ---

    @contextlib.contextmanager
    def staging(self) -> Iterator[ArtifactWriter]:
        """A writer into a folder below ``tmp/``, which is gone afterwards unless it was added."""
        folder = self.root / "tmp" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            yield ArtifactWriter(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def add(self, folder: Path, *, rejected: bool = False) -> str:
        """Move a finished artifact among the versions, or among the rejected; returns its name.

        It is checked where it then lies, and taken away again when it does not pass. Adding what
        is already there, byte for byte, keeps the old one.
        """
        manifest = read_manifest(folder, self.limits)
        parent = self.root / ("rejected" if rejected else "versions")
        with self._lock():
            parent.mkdir(parents=True, exist_ok=True)
            target = parent / manifest.version
            if target.exists() and read_manifest(target, self.limits).files == manifest.files:
                return manifest.version
            os.replace(folder, target)
            sync_folder(parent)
            sync_folder(folder.parent)
        try:
            load(target, limits=self.limits)
        except ArtifactError:
            shutil.rmtree(target, ignore_errors=True)
            raise
        return manifest.version

    def publish(
        self,
        version: str,
        *,
        by: str = "",
        reason: str = "",
        forced: bool = False,
        check: Callable[[Artifact], None] | None = None,
    ) -> Pointing:
        """Check a version and point to it.

        Parameters
        ----------
        version : str
            One of `versions`.
        by, reason : str
            For the history.
        forced : bool
            Publish although gates failed.
        check : callable, optional
            What else the loaded artifact has to pass, such as its smoke cases.

        Raises
        ------
        ArtifactError
            When it is missing, damaged, or failed a gate and is not forced. With the code
            ``missing`` too when it was pruned while it was checked.
        """
        artifact = self.load(version)
        failed = artifact.manifest.gates_failed
        if failed and not forced:
            raise ArtifactError("gates", f"{version} failed its gates: {', '.join(failed)}")
        if check is not None:
            check(artifact)
        return self._point("publish", version, by, reason, forced=forced)

    def roll_back(
        self,
        to: str | None = None,
        *,
        by: str = "",
        reason: str = "",
        forced: bool = False,
        check: Callable[[Artifact], None] | None = None,
    ) -> Pointing:
        """Point to an earlier version, by default the one that served before.

        What has served may serve again; what never did has to have passed its gates, as for
        `publish`.

        Raises
        ------
        ArtifactError
            When there is none, it does not pass its checks, or it failed a gate, never served and
            is not forced.
        """
        version = to or self.previous()
        if version is None:
            raise ArtifactError("missing", "there is no earlier version to go back to")
        artifact = self.load(version)
        failed = artifact.manifest.gates_failed
        if failed and not forced and version not in _served(self.history()):
            raise ArtifactError(
                "gates", f"{version} never served and failed its gates: {', '.join(failed)}"
            )
        if check is not None:
            check(artifact)
        return self._point("rollback", version, by, reason, forced=forced)

    def prune(self, keep: int = KEEP_VERSIONS) -> list[str]:
        """Delete old versions and left-over files; returns the names of what went.

        The newest ``keep``, the last two that were published, the current one and the one before
        it stay. A process that has a deleted version mapped keeps reading it: the files live until
        they are unmapped. While the pointer is spoilt nothing goes, for any version may serve.
        """
        with self._lock():
            try:
                pointed = {self.current(), self.previous()}
            except ArtifactError:
                return []
            here = self._names("versions")
            published = list(dict.fromkeys(entry.version for entry in reversed(self.history())))
            stay = {*here[-keep:], *published[:KEEP_PUBLISHED], *pointed}
            gone = [version for version in here if version not in stay]
            for version in gone:
                shutil.rmtree(self.folder(version))
            for version in self._names("rejected")[:-KEEP_REJECTED]:
                shutil.rmtree(self.root / "rejected" / version)
                gone.append(version)
        return gone

    def sweep(self, *, older_than_seconds: float = 86_400.0) -> int:
        """Delete what crashed writers left below ``tmp/``; returns how many folders."""
        count, now = 0, datetime.now(UTC).timestamp()
        folder = self.root / "tmp"
        for path in list(folder.iterdir()) if folder.is_dir() else []:
            if now - path.stat().st_mtime > older_than_seconds:
                shutil.rmtree(path, ignore_errors=True)
                count += 1
        return count

    def _point(
        self, action: str, version: str, by: str, reason: str, *, forced: bool = False
    ) -> Pointing:
        with self._lock():
            # It was checked outside of the lock: meanwhile it may have been pruned.
            read_manifest(self.folder(version), self.limits)
            try:
                before = self.current() or ""
            except ArtifactError:
                # A spoilt pointer must not stand in the way of a sound one.
                before = ""
            entry = Pointing(
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                version=version,
                previous=before,
                action=action,
                by=by,
                reason=reason,
                forced=forced,
            )
            waiting = self.root / "current.tmp"
            _write_synced(waiting, version.encode() + b"\n", "wb")
            os.replace(waiting, self.pointer)
            sync_folder(self.root)
            # Last: a crash before this loses a line of history, never a model.
            _write_synced(self.root / "history.jsonl", msgspec.json.encode(entry) + b"\n", "ab")
        return entry

    def _listed(self, version: str, current: str | None) -> Listed:
        try:
            manifest, problem = read_manifest(self.folder(version), self.limits), ""
        except ArtifactError as error:
            manifest, problem = None, f"{error.code}: {error}"
        return Listed(
            version=version, is_current=version == current, manifest=manifest, problem=problem
        )

    def _names(self, below: str) -> list[str]:
        folder = self.root / below
        names = os.listdir(folder) if folder.is_dir() else []
        return sorted(name for name in names if VERSION_PATTERN.fullmatch(name))

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """One writer at a time; the system frees the lock of a process that dies."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("ab") as stream:
            if sys.platform != "win32":
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _served(history: Iterable[Pointing]) -> set[str]:
    """The versions that the pointer has named."""
    return {name for entry in history for name in (entry.version, entry.previous) if name}


def _write_synced(path: Path, data: bytes, mode: str) -> None:
    with path.open(mode) as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
