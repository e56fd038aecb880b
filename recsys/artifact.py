"""The format of a trained model on disk: plain arrays, JSON, and a manifest that accounts for all.

An artifact is a folder. Arrays are ``.npy`` (C order, little endian, never objects), identifiers
are lines of JSON, everything else is JSON or text. ``manifest.json`` names every file with its
size and SHA-256; what it does not name is not read. Nothing is unpickled: a header that asks for
it is refused before a byte of data is touched.

`load` trusts nothing. It checks names, sizes, hashes, types, shapes, finiteness and identifiers in
one pass over each file, and gives arrays mapped into memory, so that a large model costs address
space and no more until it is used. It has no event loop and no global state. It may run in a
thread beside one: hashing and checking go in pieces that release the interpreter's lock.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import math
import os
import re
import stat
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

import msgspec
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

SCHEMA_VERSION: Final = 2
MANIFEST: Final = "manifest.json"
REPORT: Final = "report.html"
"""The comparison that training wrote, for people; ``report.json`` has its figures."""
VERSION_PATTERN: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
"""A moment in UTC and the first digits of the content's hash."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
_PIECE_BYTES: Final = 1 << 20
_HEADER_TRIES: Final = 5
_WHOLE_BYTES: Final = 64
"""A multiple of the size of any number."""
_IDS_A_LINE: Final = 4096
_LINE_BYTES: Final = 4 << 20
_BYTES_AN_ID: Final = 256
_SPARE_BYTES: Final = 1 << 20
_DTYPES: Final = frozenset({"<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "|b1"})
# Open neither a link nor, for ever, a pipe that nobody writes to.
_OPEN_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class ArtifactError(Exception):
    """An artifact is not what it has to be.

    Attributes
    ----------
    code : str
        Stable, for metrics and tests: ``missing``, ``schema``, ``manifest``, ``name``, ``size``,
        ``hash``, ``dtype``, ``shape``, ``finite``, ``ids``, ``limit``, ``smoke``, ``pointer``.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def _refuse(code: str, reason: str) -> NoReturn:
    raise ArtifactError(code, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes beyond which nothing is read."""

    manifest_bytes: int = 4 << 20
    file_bytes: int = 4 << 30
    total_bytes: int = 8 << 30
    files: int = 256
    text_bytes: int = 64 << 20
    """Of one JSON file, or of one packed map of identifiers."""
    ids_bytes: int = 1 << 30
    """Of one map of identifiers, unpacked."""
    ids: int = 5_000_000
    """Of one map: about as many as a packed map of `text_bytes` holds."""


class FileEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of an artifact.

    ``rows``, ``columns`` and ``values`` name the id map that the array's first axis, its second
    axis, or the integers in it belong to.
    """

    path: str
    bytes: int
    sha256: str
    dtype: str = ""
    shape: tuple[int, ...] = ()
    order: str = ""
    rows: str = ""
    columns: str = ""
    values: str = ""


class IdMapEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One id map: position in the map is position in the arrays."""

    path: str
    count: int


class SmokeCase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question with the answer that the model gave when it was made."""

    kind: str
    query: dict[str, Any]
    expected: tuple[str, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``manifest.json`` says. The free-form parts are for people and for training."""

    schema_version: int
    version: str
    created_at: str
    code_version: str
    build: str
    """Code and numeric libraries: the same build answers the smoke cases to the letter."""
    checksum: str = ""
    """SHA-256 of this manifest written with an empty checksum."""
    engine: str = "implicit"
    files: tuple[FileEntry, ...] = ()
    id_maps: dict[str, IdMapEntry] = {}
    models: dict[str, dict[str, Any]] = {}
    """By task: the kind of model and its parameters."""
    training_window: dict[str, Any] = {}
    data_fingerprint: str = ""
    config: dict[str, Any] = {}
    seeds: dict[str, int] = {}
    libraries: dict[str, str] = {}
    metrics: dict[str, Any] = {}
    baselines: dict[str, Any] = {}
    gates: tuple[dict[str, Any], ...] = ()
    smoke: tuple[SmokeCase, ...] = ()
    parents: tuple[str, ...] = ()
    feature_flags: dict[str, bool] = {}

    @property
    def gates_failed(self) -> tuple[str, ...]:
        """The names of the gates that this model did not pass."""
        return tuple(str(gate.get("name")) for gate in self.gates if not gate.get("passed"))


class Ids:
    """Identifiers in the order of the arrays, and their indexes.

    Parameters
    ----------
    ids : sequence of str
        No two alike.
    """

    __slots__ = ("_indexes", "ids")

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = tuple(ids)
        indexes: dict[str, int] = {}
        # In pieces: one update with a hundred thousand pairs would hold the interpreter too long.
        for start in range(0, len(self.ids), _IDS_A_LINE):
            part = self.ids[start : start + _IDS_A_LINE]
            indexes.update(zip(part, range(start, start + len(part)), strict=True))
        self._indexes = indexes
        if len(indexes) != len(self.ids):
            _refuse("ids", f"{len(self.ids) - len(indexes)} identifiers stand more than once")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, name: object) -> bool:
        return name in self._indexes

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def index(self, name: str | None) -> int:
        """The index of an id, -1 when the model has never seen it."""
        return self._indexes.get(name, -1) if name is not None else -1

    def encode(self, names: Iterable[str]) -> NDArray[np.int32]:
        """The indexes of those that the model knows, in the order given.

        The others are left out.
        """
        found = (self._indexes.get(name, -1) for name in names)
        return np.fromiter((index for index in found if index >= 0), dtype=np.int32)

    def decode(self, indexes: Iterable[int]) -> list[str]:
        """The ids at these indexes."""
        return [self.ids[index] for index in indexes]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A checked artifact: immutable, and safe to share between threads.

    The arrays are read-only maps of the files; they stay readable after the files are deleted.
    """

    manifest: Manifest
    arrays: Mapping[str, NDArray[Any]]
    """By file name without ``.npy``."""
    ids: Mapping[str, Ids]
    documents: Mapping[str, Any] = field(default_factory=dict)
    """JSON files, by file name without ``.json``."""

    @property
    def version(self) -> str:
        """The version's identifier."""
        return self.manifest.version

    def part(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The arrays of one model, by the rest of their name after ``prefix`` and a dot."""
        head = prefix + "."
        return {
            name.removeprefix(head): array
            for name, array in self.arrays.items()
            if name.startswith(head)
        }


# --- writing --------------------------------------------------------------------------------------


class ArtifactWriter:
    """Fills a new, empty folder with an artifact; every file is on the disk when a method returns.

    Parameters
    ----------
    folder : Path
        Must exist and be empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, FileEntry] = {}
        self._ids: dict[str, IdMapEntry] = {}

    def array(
        self,
        name: str,
        values: NDArray[Any],
        *,
        rows: str = "",
        columns: str = "",
        about: str = "",
    ) -> None:
        """Write ``name.npy``.

        Parameters
        ----------
        name : str
            Without the ending, lower case, such as ``samagri.ease.weights``.
        values : array
            Any order; written in C order and little endian. Floats of 64 bits stay so: convert
            what need not be exact.
        rows, columns, about : str
            The id map of the first axis, of the second, and of integers that are positions.

        Raises
        ------
        ArtifactError
            When the type is none that may be stored, or a number is not finite.
        """
        plain = np.ascontiguousarray(values).reshape(np.shape(values))
        plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
        if plain.dtype.str not in _DTYPES:
            _refuse("dtype", f"{name}: the type {plain.dtype} cannot be stored")
        if plain.dtype.kind == "f" and not np.isfinite(plain).all():
            _refuse("finite", f"{name}: holds a number that is not finite")
        head = io.BytesIO()
        npy.write_array_header_1_0(head, npy.header_data_from_array_1_0(plain))
        pieces = (plain.reshape(-1).view(np.uint8).data,) if plain.size else ()
        self._write(
            f"{name}.npy",
            (head.getvalue(), *pieces),
            dtype=plain.dtype.str,
            shape=tuple(plain.shape),
            order="C",
            rows=rows,
            columns=columns,
            values=about,
        )

    def arrays(self, prefix: str, parts: Mapping[str, NDArray[Any]]) -> None:
        """Write several arrays as ``prefix.<name>.npy``."""
        for name in sorted(parts):
            self.array(f"{prefix}.{name}", parts[name])

    def ids(self, kind: str, identifiers: Sequence[str]) -> None:
        """Write one id map, in the order of the arrays."""
        Ids(identifiers)
        packed, size, path = io.BytesIO(), 0, f"ids.{kind}.jsonl.gz"
        # No name and no time inside, so that equal maps are equal bytes.
        with gzip.GzipFile("", "wb", 6, packed, mtime=0) as stream:
            for start in range(0, len(identifiers), _IDS_A_LINE):
                line = msgspec.json.encode(identifiers[start : start + _IDS_A_LINE]) + b"\n"
                size += stream.write(line)
        if size > _most_bytes(len(identifiers)):
            _refuse("limit", f"{path}: {len(identifiers)} identifiers of {size} bytes")
        self._write(path, (packed.getvalue(),))
        self._ids[kind] = IdMapEntry(path=path, count=len(identifiers))

    def document(self, name: str, content: object) -> None:
        """Write ``name.json`` (the keys sorted)."""
        text = msgspec.json.format(msgspec.json.encode(content, order="deterministic"), indent=1)
        self._write(f"{name}.json", (text,))

    def text(self, name: str, content: str | bytes) -> None:
        """Write a page, a plot or a card under its full name."""
        data = content.encode() if isinstance(content, str) else content
        self._write(name, (data,))

    def finish(self, manifest: Manifest) -> Manifest:
        """Write the manifest last, with the version's identifier and all files in it.

        ``manifest.version`` gives the moment alone, such as ``20260401T031500Z``; the hash of the
        content is added here. Called again with another manifest, it replaces the first.
        """
        (self.folder / MANIFEST).unlink(missing_ok=True)
        files = tuple(self._files[name] for name in sorted(self._files))
        content = hashlib.sha256("".join(f"{each.path}{each.sha256}" for each in files).encode())
        full = msgspec.structs.replace(
            manifest,
            schema_version=SCHEMA_VERSION,
            version=f"{manifest.version}-{content.hexdigest()[:8]}",
            files=files,
            id_maps=dict(sorted(self._ids.items())),
            checksum="",
        )
        # What cannot be said in JSON (a number that is not finite) becomes null here, once.
        full = msgspec.json.decode(msgspec.json.encode(full), type=Manifest)
        if not VERSION_PATTERN.fullmatch(full.version):
            _refuse("manifest", f"{full.version!r} is not the name of a version")
        full = msgspec.structs.replace(full, checksum=checksum_of(full))
        encoded = msgspec.json.format(msgspec.json.encode(full, order="deterministic"), indent=1)
        _write_synced(self.folder / MANIFEST, (encoded,))
        sync_folder(self.folder)
        return full

    def _write(self, name: str, pieces: Iterable[bytes | memoryview], **entry: Any) -> None:
        if not _NAME.fullmatch(name) or name == MANIFEST:
            _refuse("name", f"{name!r} is not a plain file name")
        if name in self._files:
            _refuse("name", f"{name} is written twice")
        size, digest = _write_synced(self.folder / name, pieces)
        self._files[name] = FileEntry(path=name, bytes=size, sha256=digest, **entry)


def checksum_of(manifest: Manifest) -> str:
    """SHA-256 over a manifest whose checksum is empty."""
    bare = msgspec.structs.replace(manifest, checksum="")
    return hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()


def _write_synced(path: Path, pieces: Iterable[bytes | memoryview]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as stream:
        for piece in pieces:
            digest.update(piece)
            size += stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
    return size, digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- reading --------------------------------------------------------------------------------------


def read_manifest(folder: Path, limits: Limits | None = None) -> Manifest:
    """The manifest of an artifact, checked in itself; no other file is opened.

    Raises
    ------
    ArtifactError
        When it is missing, of a schema that this program does not know, damaged or dishonest.
    """
    bounds = limits or Limits()
    with _opened(folder, MANIFEST) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > bounds.manifest_bytes:
            _refuse("limit", f"the manifest has {size} bytes, {bounds.manifest_bytes} are allowed")
        data = stream.readall()
    try:
        schema = msgspec.json.decode(data, type=_SchemaOnly).schema_version
    except (msgspec.DecodeError, RecursionError) as error:
        _refuse("manifest", f"the manifest cannot be read: {error}")
    if schema != SCHEMA_VERSION:
        _refuse("schema", f"schema {schema}; this program reads schema {SCHEMA_VERSION}")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        _refuse("manifest", f"the manifest cannot be read: {error}")
    if checksum_of(manifest) != manifest.checksum:
        _refuse("hash", "the manifest was changed after it was written")
    _check_manifest(manifest, bounds)
    return manifest


class _SchemaOnly(msgspec.Struct):
    schema_version: int


def _check_manifest(manifest: Manifest, limits: Limits) -> None:
    if not VERSION_PATTERN.fullmatch(manifest.version):
        _refuse("name", f"{manifest.version!r} is not the name of a version")
    if len(manifest.files) > limits.files:
        _refuse("limit", f"{len(manifest.files)} files, {limits.files} are allowed")
    names = [entry.path for entry in manifest.files]
    for name in names:
        if not _NAME.fullmatch(name) or name == MANIFEST:
            _refuse("name", f"{name!r} is not a plain file name")
    if len(set(names)) != len(names):
        _refuse("manifest", "a file is named twice")
    for entry in manifest.files:
        _check_entry(entry, manifest, limits)
    total = sum(entry.bytes for entry in manifest.files)
    if total > limits.total_bytes:
        _refuse("limit", f"{total} bytes in all, {limits.total_bytes} are allowed")
    for kind, id_map in manifest.id_maps.items():
        if id_map.path not in names:
            _refuse("missing", f"the id map of {kind} is not among the files")
        if not 0 <= id_map.count <= limits.ids:
            _refuse("limit", f"{id_map.count} {kind} identifiers, {limits.ids} are allowed")


def _check_entry(entry: FileEntry, manifest: Manifest, limits: Limits) -> None:
    if not 0 <= entry.bytes <= limits.file_bytes:
        _refuse("limit", f"{entry.path}: {entry.bytes} bytes, {limits.file_bytes} are allowed")
    if not entry.path.endswith(".npy"):
        return
    if entry.dtype not in _DTYPES:
        _refuse("dtype", f"{entry.path}: the type {entry.dtype!r} is not allowed")
    if entry.order != "C" or not 0 <= len(entry.shape) <= 3 or min(entry.shape, default=0) < 0:
        _refuse("shape", f"{entry.path}: {entry.order!r} order of shape {entry.shape}")
    for axis, kind in ((0, entry.rows), (1, entry.columns), (None, entry.values)):
        if not kind:
            continue
        if kind not in manifest.id_maps:
            _refuse("ids", f"{entry.path}: there is no id map of {kind}")
        if axis is None:
            continue
        count = manifest.id_maps[kind].count
        if len(entry.shape) <= axis or entry.shape[axis] != count:
            _refuse(
                "ids", f"{entry.path}: axis {axis} of shape {entry.shape} is not {count} {kind}"
            )


def read_text(folder: Path, name: str, *, limits: Limits | None = None) -> str:
    """One text of an artifact, such as ``report.html``, as it was written.

    Raises
    ------
    ArtifactError
        When the manifest is not sound, does not name it, or the file is not what it says.
    """
    bounds = limits or Limits()
    entry = next((e for e in read_manifest(folder, bounds).files if e.path == name), None)
    if entry is None:
        _refuse("missing", f"the version has no {name}")
    with _opened(folder, name) as stream:
        return _whole(stream, entry, bounds).decode("utf-8", "replace")


def load(
    folder: Path,
    *,
    limits: Limits | None = None,
    pause_seconds: float = 0.0,
    without_ids: Collection[str] = (),
) -> Artifact:
    """Read and check the artifact in ``folder``.

    Every byte is hashed. An artifact of 100 MB takes a fraction of a second; arrays are mapped and
    take no memory until they are used.

    Parameters
    ----------
    folder : Path
        Where it lies.
    limits : Limits, optional
        What may be read at all.
    pause_seconds : float
        To rest after each MiB. Beside an event loop a millisecond keeps a loader in a thread from
        competing with it for the processor.
    without_ids : collection of str
        Kinds whose identifiers are not wanted: their files are hashed, but not unpacked and not
        kept.

    Raises
    ------
    ArtifactError
        With code and reason; nothing of a refused artifact is given out.
    """
    bounds = limits or Limits()
    manifest = read_manifest(folder, bounds)
    if folder.name != manifest.version and VERSION_PATTERN.fullmatch(folder.name):
        _refuse("name", f"the folder {folder.name} holds version {manifest.version}")
    paths_of_ids = {entry.path: kind for kind, entry in manifest.id_maps.items()}
    arrays: dict[str, NDArray[Any]] = {}
    documents: dict[str, Any] = {}
    ids: dict[str, Ids] = {}
    for entry in manifest.files:
        with _opened(folder, entry.path) as stream:
            _check_size(stream, entry)
            if entry.path.endswith(".npy"):
                top = manifest.id_maps[entry.values].count if entry.values else None
                arrays[entry.path.removesuffix(".npy")] = _array(stream, entry, top, pause_seconds)
            elif paths_of_ids.get(entry.path) in without_ids:
                _check_hash(entry, _hash(stream, pause_seconds))
            elif entry.path in paths_of_ids:
                kind = paths_of_ids[entry.path]
                ids[kind] = _ids(stream, entry, manifest.id_maps[kind].count, bounds, pause_seconds)
            elif entry.path.endswith(".json"):
                documents[entry.path.removesuffix(".json")] = _document(stream, entry, bounds)
            else:
                _check_hash(entry, _hash(stream, pause_seconds))
    return Artifact(manifest=manifest, arrays=arrays, ids=ids, documents=documents)


@contextlib.contextmanager
def _opened(folder: Path, name: str) -> Iterator[io.FileIO]:
    """A regular file that lies in the folder itself: no link, pipe or folder."""
    path = folder / name
    try:
        if path.is_symlink():
            _refuse("name", f"{name} is a link")
        handle = os.open(path, _OPEN_FLAGS)
    except FileNotFoundError:
        _refuse("missing", f"{name} is missing")
    except OSError as error:
        _refuse("missing", f"{name} cannot be opened: {error.strerror}")
    with io.FileIO(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            _refuse("name", f"{name} is not a regular file")
        yield stream


def _check_size(stream: io.FileIO, entry: FileEntry) -> None:
    size = os.fstat(stream.fileno()).st_size
    if size != entry.bytes:
        _refuse("size", f"{entry.path}: {size} bytes, the manifest says {entry.bytes}")


def _check_hash(entry: FileEntry, digest: str) -> None:
    if digest != entry.sha256:
        _refuse("hash", f"{entry.path}: the content is not what was written (SHA-256)")


def _pieces(stream: io.FileIO, pause: float) -> Iterator[memoryview]:
    """The rest of a file in pieces, each valid until the next is asked for."""
    left = os.fstat(stream.fileno()).st_size - stream.tell()
    # Most arrays are small, and to make a large buffer takes longer than to read them.
    size = min(_PIECE_BYTES, (left // _WHOLE_BYTES + 1) * _WHOLE_BYTES)
    buffer = memoryview(bytearray(size))
    while True:
        filled = 0
        # A short read would cut a number in two.
        while filled < size:
            count = stream.readinto(buffer[filled:])
            if not count:
                break
            filled += count
        if not filled:
            return
        yield buffer[:filled]
        if pause:
            time.sleep(pause)


def _hash(stream: io.FileIO, pause: float) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(stream, pause):
        digest.update(piece)
    return digest.hexdigest()


def _array(stream: io.FileIO, entry: FileEntry, top: int | None, pause: float) -> NDArray[Any]:
    """One array, mapped from the very file that was checked.

    Data are checked while they are hashed, through a small buffer: touching the map would bring
    the whole array into memory.
    """
    version: tuple[int, int] = (0, 0)
    try:
        version = npy.read_magic(stream)
        shape, fortran, dtype = _read_header(stream)
    except Exception as error:  # a hostile header can make numpy's parser fail in any way
        _refuse("dtype", f"{entry.path}: no array of .npy version 1.0 but {version}: {error}")
    if dtype.hasobject or dtype.str != entry.dtype:
        _refuse("dtype", f"{entry.path}: holds {dtype.str!r}, the manifest says {entry.dtype!r}")
    if tuple(shape) != tuple(entry.shape) or (fortran and len(shape) > 1):
        _refuse("shape", f"{entry.path}: shape {shape}, the manifest says {entry.shape}")
    offset = stream.tell()
    if offset + math.prod(shape) * dtype.itemsize != entry.bytes:
        _refuse("size", f"{entry.path}: its size does not fit shape {shape} of {dtype}")
    stream.seek(0)
    digest = hashlib.sha256(stream.read(offset))
    for piece in _pieces(stream, pause):
        digest.update(piece)
        numbers = np.frombuffer(piece, dtype)
        if dtype.kind == "f" and not np.isfinite(numbers).all():
            _refuse("finite", f"{entry.path}: holds a number that is not finite")
        if top is not None and (numbers.min() < 0 or numbers.max() >= top):
            _refuse("ids", f"{entry.path}: points outside the {top} {entry.values}")
    _check_hash(entry, digest.hexdigest())
    if not math.prod(shape):
        empty = np.zeros(shape, dtype)
        empty.flags.writeable = False
        return empty
    return np.memmap(stream, dtype, mode="r", offset=offset, shape=tuple(shape))


def _most_bytes(count: int) -> int:
    """How much so many identifiers may take, unpacked."""
    return count * _BYTES_AN_ID + _SPARE_BYTES


def _ids(stream: io.FileIO, entry: FileEntry, count: int, limits: Limits, pause: float) -> Ids:
    data = _whole(stream, entry, limits)
    _check_hash(entry, hashlib.sha256(data).hexdigest())
    found: list[str] = []
    try:
        for line in _unpacked_lines(data, min(_most_bytes(count), limits.ids_bytes)):
            found += msgspec.json.decode(line, type=list[str])
            if len(found) > count:
                _refuse("ids", f"{entry.path}: more than the {count} that the manifest says")
            if pause:
                time.sleep(pause)
    except (zlib.error, msgspec.DecodeError) as error:
        _refuse("ids", f"{entry.path}: cannot be read: {error}")
    if len(found) != count:
        _refuse("ids", f"{entry.path}: {len(found)} identifiers, the manifest says {count}")
    return Ids(found)


def _read_header(stream: io.FileIO) -> tuple[Any, ...]:
    """Shape, order and type of an array; asked again when Python failed and not the file.

    numpy reads it as a Python literal. CPython 3.11 counts the depth of a syntax tree for all
    threads together, and takes the tree that another one builds meanwhile for an error of its own.
    """
    start = stream.tell()
    for _ in range(_HEADER_TRIES - 1):
        with contextlib.suppress(SystemError):
            return npy.read_array_header_1_0(stream)
        stream.seek(start)
    return npy.read_array_header_1_0(stream)


def _unpacked_lines(data: bytes, limit: int) -> Iterator[bytes]:
    """The lines of a gzip stream; a bomb is noticed before it is unpacked."""
    unpacker, rest, total = zlib.decompressobj(wbits=31), b"", 0
    while data:
        piece = unpacker.decompress(data, _PIECE_BYTES)
        data = unpacker.unconsumed_tail
        total += len(piece)
        if total > limit:
            _refuse("limit", f"identifiers of more than {limit} bytes")
        if len(rest) > _LINE_BYTES:
            _refuse("limit", f"a line of identifiers has more than {_LINE_BYTES} bytes")
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if not unpacker.eof or rest or unpacker.unused_data:
        raise zlib.error("the stream is cut off or has a tail")


def _document(stream: io.FileIO, entry: FileEntry, limits: Limits) -> Any:
    data = _whole(stream, entry, limits)
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        _refuse("manifest", f"{entry.path}: cannot be read: {error}")


def _whole(stream: io.FileIO, entry: FileEntry, limits: Limits) -> bytes:
    """A file that is read at once, hashed."""
    if entry.bytes > limits.text_bytes:
        _refuse("limit", f"{entry.path}: {entry.bytes} bytes, {limits.text_bytes} are allowed")
    _check_size(stream, entry)
    data = stream.readall()
    _check_hash(entry, hashlib.sha256(data).hexdigest())
    return data


# --- after loading --------------------------------------------------------------------------------

Answerer: TypeAlias = Callable[[SmokeCase], Sequence[str]]
"""Answers a smoke case with the model at hand: identifiers, best first."""
_SAME_ENOUGH: Final = 0.8


def check_smoke(manifest: Manifest, answer: Answerer, *, build: str) -> None:
    """Put the stored questions to the loaded model.

    The same build has to give the same answers; another (a new numpy, another processor) may
    differ in the last digits, so that neighbours change places: there the mean overlap of the
    lists (Jaccard) has to be at least 0.8.

    Raises
    ------
    ArtifactError
        With code ``smoke`` and the first question that went wrong.
    """
    overlaps = []
    for number, case in enumerate(manifest.smoke):
        try:
            found = tuple(answer(case))[: len(case.expected)]
        except Exception as error:
            _refuse("smoke", f"question {number} ({case.kind}) failed: {error!r}")
        if build == manifest.build and found != case.expected:
            _refuse(
                "smoke",
                f"question {number} ({case.kind}): {list(found)}, expected {list(case.expected)}",
            )
        either = set(found) | set(case.expected)
        overlaps.append(len(set(found) & set(case.expected)) / len(either) if either else 1.0)
    if overlaps and sum(overlaps) / len(overlaps) < _SAME_ENOUGH:
        mean = sum(overlaps) / len(overlaps)
        _refuse("smoke", f"answers overlap by {mean:.2f} with those stored; {_SAME_ENOUGH} needed")


def check_known(
    artifact: Artifact, kind: str, known: Collection[str], *, at_most: float = 0.05
) -> int:
    """Refuse a model made for another catalogue.

    Parameters
    ----------
    kind : str
        The id map to compare.
    known : collection of str
        The identifiers that exist here.
    at_most : float
        The share of the model's identifiers that may be unknown: things get deleted.

    Returns
    -------
    int
        How many are unknown. Who serves must leave these out.
    """
    ids = artifact.ids.get(kind)
    if ids is None:
        _refuse("ids", f"there is no id map of {kind}")
    unknown = sum(1 for identifier in ids if identifier not in known)
    if unknown > at_most * max(len(ids), 1):
        _refuse("ids", f"{unknown} of {len(ids)} {kind} identifiers are unknown here")
    return unknown
