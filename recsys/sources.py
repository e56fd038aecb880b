"""Where data comes from: a running database, exported files, and public data sets on a disk.

``read`` takes one text and gives a ``Dataset``: ``mongodb://…`` reads the collections that the
server writes, anything else is a folder with a file a table (``bookings.jsonl``, ``.csv`` or
``.parquet``, the first two also with ``.gz``), in the columns of ``recsys.data``. The public data
sets have loaders of their own that take the path where somebody put them; none is shipped.
"""

from __future__ import annotations

import csv
import gzip
import io
import time
import zlib
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys import synth
from recsys.config import BadConfig
from recsys.data import REQUIRED_COLUMNS, BadData, Dataset, IdMap, IntArray, build, to_ms
from recsys.models.base import Interactions
from recsys.town import TownConfig, simulate

if TYPE_CHECKING:
    from pymongo import MongoClient

DATABASE: Final = "pandityatra"
_SELECT_MS: Final = 10_000
_SOCKET_MS: Final = 120_000
_BATCH: Final = 500
_NAMES_A_PART: Final = 200
_FIRST_MONTH: Final = datetime(2020, 1, 1, tzinfo=UTC)
_MONTHS_AHEAD: Final = 13
_LONGEST_REST: Final = 5.0
_SYNTH: Final = "synth:"
# As the server writes why a booking was passed on: by the customer's choice, or by an admin's.
_NOT_HIS_DOING: Final = frozenset({"other-chosen", "not-available"})
_SUFFIXES: Final = (".parquet", ".jsonl", ".jsonl.gz", ".csv", ".csv.gz")
# A packed file that is cut off ends too early, or in the middle of what zlib reads.
_UNREADABLE: Final = (
    OSError,
    EOFError,
    zlib.error,
    UnicodeDecodeError,
    csv.Error,
    msgspec.DecodeError,
)


def now_ms() -> int:
    """The present in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def read(source: str, *, at_ms: int | None = None) -> Dataset:
    """The data set of a source.

    Parameters
    ----------
    source
        An address that begins with ``mongodb`` or a folder.
    at_ms
        What counts as the present; rows from later than it are refused. By default it is now.

    Raises
    ------
    BadData
        If the folder has no bookings, a file cannot be read, or the database does not answer.
    """
    present = now_ms() if at_ms is None else at_ms
    if source.startswith("mongodb"):
        return build(mongo_tables(source), now_ms=present)
    return build(folder_tables(Path(source)), now_ms=present)


def read_source(source: str, at_ms: int | None = None) -> tuple[Dataset, int]:
    """The data of a source, and the instant that counts as the present.

    Beside what `read` takes, ``synth:users=1500,items=160,seed=7`` makes a town;
    its present is its newest event.

    Raises
    ------
    BadConfig
        If there can be no such town.
    BadData
        As `read`.
    """
    if source.startswith(_SYNTH):
        fields = {field: type(value) for field, value in _town_defaults().items()}
        values: dict[str, Any] = {}
        for part in filter(None, source.removeprefix(_SYNTH).split(",")):
            name, _, value = part.partition("=")
            if name not in fields:
                raise BadConfig([f"{source}: a town has {', '.join(fields)}"])
            try:
                values[name] = msgspec.convert(value, fields[name], strict=False)
            except msgspec.ValidationError as error:
                raise BadConfig([f"{source}: {name}: {error}"]) from error
        try:
            data = synth.dataset(simulate(TownConfig(**values)))
        except BadData:
            raise
        except ValueError as error:
            raise BadConfig([f"{source}: {error}"]) from error
        return data, data.newest_ms()
    present = now_ms() if at_ms is None else at_ms
    return read(source, at_ms=present), present


def _town_defaults() -> dict[str, Any]:
    town = TownConfig()
    return {name: getattr(town, name) for name in town.__dataclass_fields__}


def folder_tables(folder: Path) -> dict[str, dict[str, list[Any]]]:
    """The tables of a folder, by the names of its files."""
    tables = {}
    for name in REQUIRED_COLUMNS:
        found = [path for end in _SUFFIXES if (path := folder / f"{name}{end}").is_file()]
        if len(found) > 1:
            raise BadData(f"{folder} has {name} more than once: {', '.join(p.name for p in found)}")
        if found:
            tables[name] = table_of(found[0])
    if "bookings" not in tables:
        raise BadData(f"{folder} has no bookings.jsonl, .csv or .parquet")
    return tables


def table_of(path: Path) -> dict[str, list[Any]]:
    """One file as columns; an empty field of a CSV file is None.

    Raises
    ------
    BadData
        If it is not what its name says.
    """
    try:
        if path.suffix == ".parquet":
            return _parquet(path)
        with _opened(path) as stream:
            if ".csv" in path.suffixes:
                with io.TextIOWrapper(stream, "utf-8", newline="") as text:
                    return _columns_of(
                        {key: value or None for key, value in row.items()}
                        for row in csv.DictReader(text)
                    )
            decode = msgspec.json.Decoder(dict[str, Any]).decode
            return _columns_of(decode(line) for line in stream if line.strip())
    except _UNREADABLE as error:
        raise BadData(f"{path.name} cannot be read: {error}") from error


def _opened(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _parquet(path: Path) -> dict[str, list[Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError as error:
        raise BadData(f"{path.name} cannot be read: {error}") from error
    try:
        columns: dict[str, list[Any]] = parquet.read_table(path).to_pydict()
    except ArrowException as error:
        raise BadData(f"{path.name} cannot be read: {error}") from error
    return columns


def _columns_of(rows: Iterator[dict[str, Any]]) -> dict[str, list[Any]]:
    """Rows to columns; a row that lacks a key has None there."""
    columns: dict[str, list[Any]] = {}
    for count, row in enumerate(rows):
        for key, value in row.items():
            if key not in columns:
                columns[key] = [None] * count
            columns[key].append(value)
        if len(row) < len(columns):
            for column in columns.values():
                if len(column) <= count:
                    column.append(None)
    return columns


_STATUS: Final = {"COMPLETED": "completed", "CANCELLED": "cancelled", "FAILED": "cancelled"}
_SOURCE: Final = {
    "requirement": "rule",
    "rule": "rule",
    "template": "rule",
    "model": "rec",
    "customer": "manual",
}


def mongo_tables(uri: str) -> dict[str, dict[str, list[Any]]]:
    """The tables of a running server's database.

    Bookings, their samagri, reviews, the catalogue, and the events of the collection
    ``interactions``, which has the columns of the event table. What a booking tells of itself
    (made, held, called off, its items bought) is told once, from the booking.

    Raises
    ------
    BadData
        If the database does not answer in time.
    """
    from pymongo.errors import PyMongoError

    try:
        with closing(_client(uri)) as client:
            database = client.get_default_database(default=DATABASE)

            def rows(
                name: str, *fields: str, parts: Iterable[dict[str, Any]] = ({},)
            ) -> Iterator[dict[str, Any]]:
                wanted = dict.fromkeys(fields, 1) if fields else None
                collection = database.get_collection(name)
                for window in parts:
                    began = time.monotonic()
                    yield from collection.find(window, projection=wanted, batch_size=_BATCH)
                    # Whoever is served by this database meanwhile has his turn.
                    time.sleep(min(time.monotonic() - began, _LONGEST_REST))

            return _tables_of(rows)
    except PyMongoError as error:
        raise BadData(f"the database cannot be read: {error}") from error


def _client(uri: str) -> MongoClient[dict[str, Any]]:
    from pymongo import MongoClient

    try:
        return MongoClient(
            uri, serverSelectionTimeoutMS=_SELECT_MS, socketTimeoutMS=_SOCKET_MS, tz_aware=True
        )
    except ValueError as error:  # of a port that is none: not an error of the driver's own
        raise BadData(f"the address of the database cannot be read: {error}") from error


def _months(field: str) -> Iterator[dict[str, Any]]:
    """Conditions that together hold for every date, a month at a time.

    An embedded server answers one command at a time, and one that asks for everything keeps all
    others waiting; a part between two bounds of an index is found at once.
    """
    first, last = _FIRST_MONTH, datetime.now(UTC) + timedelta(days=_MONTHS_AHEAD * 31)
    yield {field: {"$lt": first}}
    while first < last:
        after = (first + timedelta(days=31)).replace(day=1)
        yield {field: {"$gte": first, "$lt": after}}
        first = after
    yield {field: {"$gte": first}}


def _ranges(field: str, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Conditions that together hold for every name, with some of these names in each."""
    bounds = sorted({*names})[_NAMES_A_PART::_NAMES_A_PART]
    if not bounds:
        yield {}
        return
    yield {field: {"$lt": bounds[0]}}
    for low, high in pairwise(bounds):
        yield {field: {"$gte": low, "$lt": high}}
    yield {field: {"$gte": bounds[-1]}}


def _tables_of(rows: Any) -> dict[str, dict[str, list[Any]]]:
    bookings: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    pujas = list(rows("pujas", "category_id", "requirements", "is_repeatable"))
    ruled = {
        (puja["_id"], each.get("item_id"))
        for puja in pujas
        for each in puja.get("requirements") or ()
    }
    for document in rows(
        "bookings", "user_id", "pandit_id", "puja_id", "status", "created_at", "updated_at",
        "starts_at", "completed_at", "location", "samagri", "samagri_declined",
        "samagri_own_declined", "rejected_by", "history", parts=_months("starts_at"),
    ):  # fmt: skip
        bookings.append(_booking_row(document))
        lines.extend(_line_rows(document, ruled))
        events.extend(_booking_events(document))
    reviews = rows(
        "reviews", "user_id", "pandit_id", "booking_id", "rating", "created_at",
        parts=_ranges("booking_id", (each["booking_id"] for each in bookings)),
    )  # fmt: skip
    events.extend(
        {
            "event_id": f"review:{review['_id']}",
            "ts": to_ms(review["created_at"]),
            "kind": "rating",
            "user_id": review["user_id"],
            "pandit_id": review["pandit_id"],
            "booking_id": review["booking_id"],
            "rating": review["rating"],
        }
        for review in reviews
    )
    of_users = _ranges("user_id", (str(each["user_id"]) for each in bookings))
    events.extend(
        {**each, "event_id": str(each["_id"])} for each in rows("interactions", parts=of_users)
    )
    return {
        "bookings": _columns_of(iter(bookings)),
        "lines": _columns_of(iter(lines)),
        "events": _columns_of(iter(events)),
        "rules": _columns_of(_rule_rows(pujas)),
        "items": _columns_of(
            {"item_id": each["_id"], "category": each.get("category_id")}
            for each in rows("samagri_items", "category_id")
        ),
        "pujas": _columns_of(
            {
                "puja_id": each["_id"],
                "category": each.get("category_id"),
                "repeatable": each.get("is_repeatable"),
            }
            for each in pujas
        ),
        "pandits": _columns_of({"pandit_id": each["_id"]} for each in rows("pandits", "_id")),
    }


def _booking_row(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "booking_id": document["_id"],
        "user_id": document.get("user_id"),
        "puja_id": document.get("puja_id"),
        "pandit_id": document.get("pandit_id"),
        "ts": to_ms(document.get("created_at")),
        "held_ts": to_ms(document.get("starts_at")),
        "region": _city(document),
        "status": _STATUS.get(document.get("status", ""), "created"),
    }


def _city(document: Mapping[str, Any]) -> str | None:
    return (document.get("location") or {}).get("city") or None


def _line_rows(
    document: Mapping[str, Any], ruled: Container[tuple[Any, Any]]
) -> Iterator[dict[str, Any]]:
    """What was on the list at the end, and what had been put there and was taken off.

    ``ruled``: the pairs of puja and item that the rules of the catalogue name. Where a rule names
    an item, the rule has put it there, as its source would say had it been kept. What the customer
    had put there himself and took off again was never there.
    """
    for line in document.get("samagri") or ():
        yield {
            "booking_id": document["_id"],
            "item_id": line.get("item_id"),
            "quantity": _number(line.get("quantity")),
            "unit": line.get("unit"),
            "price": line.get("price_at_booking"),
            "source": _SOURCE.get(line.get("source", ""), "manual"),
            "tier": line.get("type"),
            "kept": True,
        }
    own = document.get("samagri_own_declined") or ()
    for item_id in document.get("samagri_declined") or ():
        if item_id in own:
            continue
        yield {
            "booking_id": document["_id"],
            "item_id": item_id,
            "source": "rule" if (document.get("puja_id"), item_id) in ruled else "rec",
            "tier": "OPTIONAL",
            "kept": False,
        }


def _let_down_by(document: Mapping[str, Any]) -> list[str]:
    """The pandits who refused, did not answer, or called it off after they had accepted it.

    Whom the customer passed over, or who could not be asked any more, let nobody down.
    """
    # Who gives up an offer gets a row that stays PENDING: the k-th is of the k-th in the list.
    moves = [
        row
        for row in document.get("history") or ()
        if row.get("from_status") == row.get("to_status") == "PENDING"
    ]
    found = [
        str(pandit_id)
        for pandit_id, row in zip_longest(document.get("rejected_by") or (), moves)
        if pandit_id is not None and (row or {}).get("reason") not in _NOT_HIS_DOING
    ]
    last = (document.get("history") or [{}])[-1]
    if last.get("to_status") == "CANCELLED" and last.get("role") == "pandit":
        found.append(str(document.get("pandit_id")))
    return list(dict.fromkeys(found))


def _booking_events(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    common = {
        "booking_id": document["_id"],
        "user_id": document.get("user_id"),
        "puja_id": document.get("puja_id"),
        "pandit_id": document.get("pandit_id"),
        "region": _city(document),
    }

    def event(kind: str, ts: Any, **more: Any) -> dict[str, Any]:
        name = f"{kind}:{document['_id']}:{more.get('item_id', more.get('pandit_id', ''))}"
        return {**common, "event_id": name, "kind": kind, "ts": to_ms(ts), **more}

    yield event("booking_created", document.get("created_at"))
    for pandit_id in _let_down_by(document):
        yield event("pandit_declined", document.get("updated_at"), pandit_id=pandit_id)
    status = _STATUS.get(document.get("status", ""))
    if status == "cancelled":
        # What is settled of it later (money) changes it again, but not when it was called off.
        last = (document.get("history") or [{}])[-1]
        yield event("booking_cancelled", last.get("at") or document.get("updated_at"))
    if status == "completed":
        done = document.get("completed_at") or document.get("updated_at")
        yield event("booking_completed", done)
        for line in document.get("samagri") or ():
            yield event(
                "samagri_purchased",
                done,
                item_id=line.get("item_id"),
                quantity=_number(line.get("quantity")),
                unit=line.get("unit"),
                price=line.get("price_at_booking"),
                source=_SOURCE.get(line.get("source", ""), "manual"),
            )


def _rule_rows(pujas: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for puja in pujas:
        for each in puja.get("requirements") or ():
            yield {
                "puja_id": puja["_id"],
                "item_id": each.get("item_id"),
                "tier": each.get("type"),
                "quantity": _number(each.get("quantity")),
                "unit": each.get("unit"),
            }


def _number(value: Any) -> float | None:
    """A number that may be a decimal of the database or a text."""
    return None if value is None else float(str(value))


class Ratings(NamedTuple):
    """Ratings of a public data set, a row each; ``ts`` in milliseconds."""

    users: IdMap
    items: IdMap
    user: IntArray
    item: IntArray
    rating: NDArray[np.float32]
    ts: NDArray[np.int64]


def groceries(folder: Path) -> Interactions:
    """The market baskets of ``baskets.txt``: a line a basket, item numbers parted by spaces."""
    lines = (folder / "baskets.txt").read_text(encoding="ascii").splitlines()
    rows = [np.array(line.split(), np.int32) for line in lines]
    with (folder / "items.csv").open(encoding="utf-8", newline="") as stream:
        n_items = sum(1 for _ in csv.DictReader(stream))
    indices = np.concatenate(rows)
    if indices.min() < 0 or indices.max() >= n_items:
        raise BadData("baskets.txt has items that items.csv does not know")
    pointers = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int32)
    ones = np.ones(len(indices), np.float32)
    return Interactions(csr_array((ones, indices, pointers), shape=(len(rows), n_items)))


def movielens(path: Path) -> Ratings:
    """The ratings of a MovieLens file, whichever of its forms it has.

    ``ratings.csv(.gz)`` of the newer sets, ``u.data`` of the 100K set, or an ``.inter`` file of it;
    a folder means the first of these that is in it.
    """
    if path.is_dir():
        names = ("ratings.csv", "ratings.csv.gz", "u.data", "ml-100k.inter")
        found = [path / name for name in names if (path / name).is_file()]
        if not found:
            raise BadData(f"{path} has none of {', '.join(names)}")
        path = found[0]
    with _opened(path) as stream, io.TextIOWrapper(stream, "utf-8", newline="") as text:
        rows = list(csv.reader(text, delimiter="," if ".csv" in path.suffixes else "\t"))
    if rows and not rows[0][0].isdigit():
        rows = rows[1:]
    # Ids are numbers and are put in the order of numbers, as every published split does.
    width = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
    users = [row[0].zfill(width[0]) for row in rows]
    items = [row[1].zfill(width[1]) for row in rows]
    maps = IdMap(users), IdMap(items)
    return Ratings(
        users=maps[0],
        items=maps[1],
        user=maps[0].encode(users),
        item=maps[1].encode(items),
        rating=np.array([row[2] for row in rows], np.float32),
        ts=(np.array([row[3] for row in rows], np.float64) * 1000).astype(np.int64),
    )
