"""The data set: typed columns, sorted id maps, and the checks that let rows in.

A ``Dataset`` holds what section by section the models need: bookings with their lines (the
baskets), the event log, the catalogue's rules, and categories. All columns are numpy arrays of
equal length per table; an id is stored as its index in the sorted id map of its kind, -1 where
the row has none. Instants are milliseconds since 1970 in UTC.

Rows come in as plain tables (``Mapping`` of column name to values; a pandas frame is one). A row
that cannot be right is left out and counted by reason; a table that cannot be right is refused.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

IntArray: TypeAlias = NDArray[np.int32]
LongArray: TypeAlias = NDArray[np.int64]
Column: TypeAlias = Sequence[Any] | NDArray[Any]

DAY_MS: Final = 86_400_000
NONE: Final = -1


class Table(Protocol):
    """Columns by name: a mapping, or a frame of pandas."""

    def __iter__(self) -> Iterator[Any]:
        """The names of the columns."""
        ...

    def __getitem__(self, key: str, /) -> Any:
        """The values of a column."""
        ...


class BadData(ValueError):
    """A table that cannot be used: no rows, a column missing, lengths that differ."""


class Kind(IntEnum):
    """What an event tells."""

    BOOKING_CREATED = 0
    BOOKING_COMPLETED = 1
    BOOKING_CANCELLED = 2
    SAMAGRI_ADDED = 3
    SAMAGRI_REMOVED = 4
    SAMAGRI_PURCHASED = 5
    SAMAGRI_RETURNED = 6
    ITEM_VIEWED = 7
    ITEM_DISMISSED = 8
    PANDIT_VIEWED = 9
    PANDIT_BOOKED = 10
    PANDIT_DECLINED = 11
    RATING = 12


class Source(IntEnum):
    """Where a line or an event came from."""

    SEARCH = 0
    RULE = 1
    REC = 2
    MANUAL = 3


class Tier(IntEnum):
    """How strongly a puja asks for an item; a smaller number comes first."""

    REQUIRED = 0
    ESSENTIAL = 1
    OPTIONAL = 2


class Status(IntEnum):
    """What became of a booking."""

    CREATED = 0
    COMPLETED = 1
    CANCELLED = 2


class IdMap:
    """Sorted ids, and their indexes.

    Parameters
    ----------
    ids
        In any order, repeats allowed.
    """

    __slots__ = ("_indexes", "ids")

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self.ids: tuple[str, ...] = tuple(sorted(set(ids)))
        self._indexes: dict[str, int] = {name: index for index, name in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, name: object) -> bool:
        return name in self._indexes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdMap) and self.ids == other.ids

    def __hash__(self) -> int:
        return hash(self.ids)

    def index(self, name: str | None) -> int:
        """The index of an id, -1 if it is not there."""
        return self._indexes.get(name, NONE) if name is not None else NONE

    def encode(self, names: Iterable[str | None]) -> IntArray:
        """The indexes of many ids, -1 for those that are not there."""
        get = self._indexes.get
        return np.fromiter((get(name, NONE) for name in names), np.int32)  # type: ignore[arg-type]

    def decode(self, indexes: Iterable[int]) -> list[str]:
        """The ids at these indexes."""
        return [self.ids[index] for index in indexes]

    def sha256(self) -> str:
        """A fingerprint of the ids in their order."""
        return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Bookings:
    """One row a booking; the row number is the index of its id in ``Dataset.booking_ids``.

    ``ts`` is when it was made, ``held_ts`` when the puja is held.
    """

    ts: LongArray
    held_ts: LongArray
    user: IntArray
    puja: IntArray
    pandit: IntArray
    region: IntArray
    status: NDArray[np.int8]
    attendees: IntArray
    days: IntArray

    def __len__(self) -> int:
        return len(self.ts)

    def months(self) -> IntArray:
        """The Gregorian month in which each puja is held, 0 to 11."""
        dates = self.held_ts.astype("datetime64[ms]").astype("datetime64[M]")
        return (dates.astype(np.int64) % 12).astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """One row an item of a booking. ``kept``: it was still there at the end."""

    booking: IntArray
    item: IntArray
    quantity: NDArray[np.float64]
    unit: IntArray
    price: LongArray
    source: NDArray[np.int8]
    tier: NDArray[np.int8]
    kept: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.booking)


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """One row an event. ``rating`` is 0 where there is none, ``price`` in paisa or -1."""

    ts: LongArray
    kind: NDArray[np.int8]
    user: IntArray
    puja: IntArray
    booking: IntArray
    item: IntArray
    pandit: IntArray
    quantity: NDArray[np.float64]
    unit: IntArray
    price: LongArray
    rating: NDArray[np.int8]
    source: NDArray[np.int8]
    region: IntArray
    language: IntArray

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """One row an item that the catalogue asks for: how strongly, and how much of it."""

    puja: IntArray
    item: IntArray
    tier: NDArray[np.int8]
    quantity: NDArray[np.float64]
    per_person: NDArray[np.float64]
    per_day: NDArray[np.float64]
    unit: IntArray
    region: IntArray

    def __len__(self) -> int:
        return len(self.puja)


T = TypeVar("T", Bookings, Lines, Events, Rules)


@dataclass(frozen=True, slots=True)
class Rejects:
    """How many rows each table had, and how many were left out for which reason."""

    rows: Mapping[str, int]
    reasons: Mapping[tuple[str, str], int]

    @property
    def share(self) -> float:
        """The share of all rows that was left out, 0 to 1."""
        rows = sum(self.rows.values())
        return sum(self.reasons.values()) / rows if rows else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Everything that training reads. ``item_category`` and ``puja_category`` may hold -1.

    ``puja_repeats`` is False of what is held once in a life.
    """

    users: IdMap
    items: IdMap
    pujas: IdMap
    pandits: IdMap
    regions: IdMap
    languages: IdMap
    units: IdMap
    categories: IdMap
    booking_ids: IdMap
    bookings: Bookings
    lines: Lines
    events: Events
    rules: Rules
    item_category: IntArray
    puja_category: IntArray
    puja_repeats: NDArray[np.bool_]
    rejects: Rejects = field(default_factory=lambda: Rejects({}, {}))

    def once(self) -> frozenset[str]:
        """The ids of pujas that are held once in a life."""
        return frozenset(self.pujas.ids[puja] for puja in np.flatnonzero(~self.puja_repeats))

    def newest_ms(self) -> int:
        """The instant of the newest booking or event; 0 in an empty data set."""
        return max(
            int(self.bookings.ts.max(initial=0)),
            int(self.events.ts.max(initial=0)),
        )

    def fingerprint(self) -> str:
        """The sha256 over the sorted rows of all tables, the id maps, and what is known of ids.

        The order in which rows were read does not change it.
        """
        digest = hashlib.sha256()
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, IdMap):
                digest.update(value.sha256().encode())
            elif isinstance(value, np.ndarray):
                digest.update(np.ascontiguousarray(value).tobytes())
        for table in (self.bookings, self.lines, self.events, self.rules):
            columns = [np.asarray(getattr(table, each.name)) for each in fields(table)]
            order = np.lexsort(columns[::-1]) if len(columns[0]) else np.empty(0, np.int64)
            for column in columns:
                digest.update(np.ascontiguousarray(column[order]).tobytes())
        return digest.hexdigest()

    def settled_ms(self) -> LongArray:
        """When each booking came to the status that it has, as far as anything tells.

        By the event of it. Without one: not before the puja was held, so that nothing is known too
        early; a booking that was only made came to that when it was made.
        """
        bookings, events = self.bookings, self.events
        settled = np.maximum(bookings.ts, bookings.held_ts)
        told = np.full(len(bookings), np.iinfo(np.int64).max)
        for status, kind in _ENDS.items():
            rows = np.flatnonzero((events.kind == kind) & (events.booking >= 0))
            rows = rows[bookings.status[events.booking[rows]] == status]
            np.minimum.at(told, events.booking[rows], events.ts[rows])
        settled = np.where(told < np.iinfo(np.int64).max, told, settled)
        return np.where(bookings.status == Status.CREATED, bookings.ts, settled)

    def before(self, end_ms: int) -> Dataset:
        """What was known at ``end_ms``: bookings and events made before it, same id maps.

        The rows of bookings made later stay, so that row numbers hold, but none of their lines.
        What was held or called off only later was a booking like any other (`settled_ms` says
        when), and what was taken off a list later was still on it: an event tells of that. A line
        without such an event counts as the list has it: nothing else is known of it, and most
        lists are made with their booking. Quantities and prices are those of the end.
        """
        if end_ms > self.newest_ms():
            return self
        bookings = self.bookings
        known = bookings.ts < end_ms
        is_open = self.settled_ms() >= end_ms
        status = np.where(is_open, np.int8(Status.CREATED), bookings.status)
        lines = replace(self.lines, kept=_kept_at(self, end_ms))
        return replace(
            self,
            bookings=replace(bookings, status=status),
            lines=_take(lines, known[lines.booking]),
            events=_take(self.events, self.events.ts < end_ms),
        )


_ENDS: Final = {
    Status.COMPLETED: Kind.BOOKING_COMPLETED,
    Status.CANCELLED: Kind.BOOKING_CANCELLED,
}
_OF_LISTS: Final = (Kind.SAMAGRI_ADDED, Kind.SAMAGRI_REMOVED, Kind.SAMAGRI_RETURNED)


def _kept_at(data: Dataset, end_ms: int) -> NDArray[np.bool_]:
    """Which lines were on their lists at an instant.

    Of a line that events tell of later, the last event before decides; without one the first after
    it: what was added then was not there yet, what was taken off then was.
    """
    lines, events = data.lines, data.events
    rows = np.flatnonzero(
        np.isin(events.kind, _OF_LISTS) & (events.booking >= 0) & (events.item >= 0)
    )
    if not len(rows):
        return lines.kept
    key = events.booking[rows].astype(np.int64) * len(data.items) + events.item[rows]
    order = np.lexsort((events.ts[rows], key))
    key, rows = key[order], rows[order]
    is_earlier = events.ts[rows] < end_ms
    adds = events.kind[rows] == Kind.SAMAGRI_ADDED
    begins = np.flatnonzero(np.diff(key, prepend=-1))
    lengths = np.diff(begins, append=len(key))
    earlier = np.add.reduceat(is_earlier.astype(np.int64), begins)
    there = np.where(earlier > 0, adds[begins + earlier - 1], ~adds[begins])
    is_changed = earlier < lengths
    changed, there = key[begins][is_changed], there[is_changed]
    if not len(changed):
        return lines.kept
    mine = lines.booking.astype(np.int64) * len(data.items) + lines.item
    place = np.minimum(np.searchsorted(changed, mine), len(changed) - 1)
    return np.where(changed[place] == mine, there[place], lines.kept)


def _take(table: T, mask: NDArray[Any]) -> T:
    return type(table)(**{each.name: getattr(table, each.name)[mask] for each in fields(table)})


REQUIRED_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "bookings": ("booking_id", "user_id", "puja_id", "ts"),
    "lines": ("booking_id", "item_id"),
    "events": ("user_id", "ts", "kind"),
    "rules": ("puja_id", "item_id", "tier"),
    "items": ("item_id",),
    "pujas": ("puja_id",),
    "pandits": ("pandit_id",),
}
# The newest instant that a row may carry beyond ``now``: clocks of several machines differ.
CLOCK_SLACK_MS: Final = 5 * 60_000
EARLIEST_MS: Final = 946_684_800_000  # 2000-01-01: nothing of ours is older
FARTHEST_MS: Final = 3660 * DAY_MS  # nobody books a puja further ahead


def build(tables: Mapping[str, Table], *, now_ms: int) -> Dataset:
    """Make a data set of plain tables; rows that cannot be right are left out and counted.

    Parameters
    ----------
    tables
        By name: ``bookings`` (must be there), and optionally ``lines``, ``events``, ``rules``,
        ``items``, ``pujas``, ``pandits``; ``REQUIRED_COLUMNS`` says what each must have. Ids are
        strings; instants are integers (milliseconds), aware ``datetime`` or ISO 8601 strings;
        kinds, sources, tiers and states are names of the enumerations here, in any case.
    now_ms
        Rows from later than this are refused.

    Raises
    ------
    BadData
        If a table has no such columns or columns of different lengths, or no booking can be used.
    """
    rows = {name: _Rows(name, tables.get(name, {})) for name in REQUIRED_COLUMNS}
    if not len(rows["bookings"]):
        raise BadData("there are no bookings")
    _reject_bad_rows(rows, now_ms)
    counted = Counter[tuple[str, str]]()
    for each in rows.values():
        counted.update({(each.name, reason): count for reason, count in each.reasons.items()})
    if not len(rows["bookings"]):
        reasons = rows["bookings"].reasons.most_common()
        told = ", ".join(f"{reason} ({count})" for reason, count in reasons)
        raise BadData(f"no booking can be used: {told}")
    maps = _id_maps(rows)
    return Dataset(
        **maps,
        bookings=_bookings(rows["bookings"], maps),
        lines=_lines(rows["lines"], maps),
        events=_events(rows["events"], maps),
        rules=_rules(rows["rules"], maps),
        item_category=_category(rows["items"], "item_id", maps["items"], maps["categories"]),
        puja_category=_category(rows["pujas"], "puja_id", maps["pujas"], maps["categories"]),
        puja_repeats=_repeats(rows["pujas"], maps["pujas"]),
        rejects=Rejects({name: each.total for name, each in rows.items()}, dict(counted)),
    )


class _Rows:
    """One table while it is read: its columns, and which rows are still good."""

    def __init__(self, name: str, table: Table) -> None:
        self.name = name
        columns = {key: _values(table[key]) for key in table}
        self.total = len(next(iter(columns.values()))) if columns else 0
        self.reasons = Counter[str]()
        missing = [key for key in REQUIRED_COLUMNS[name] if key not in columns]
        if missing and self.total:
            raise BadData(f"{name}: the columns {', '.join(missing)} are missing")
        for key, column in columns.items():
            if len(column) != self.total:
                raise BadData(f"{name}.{key} has {len(column)} rows, not {self.total}")
        self._columns = columns

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()))) if self._columns else 0

    def keep(self, good: Sequence[bool] | NDArray[np.bool_], reason: str) -> None:
        """Leave out the rows that are not good, for this reason."""
        mask = np.asarray(good, dtype=bool)
        bad = int(len(mask) - mask.sum())
        if bad:
            self.reasons[reason] += bad
            kept = np.flatnonzero(mask).tolist()
            self._columns = {
                key: [column[index] for index in kept] for key, column in self._columns.items()
            }

    def has(self, key: str) -> bool:
        """Whether there is such a column."""
        return key in self._columns

    def column(self, key: str) -> list[Any]:
        """The values of a column, None in every row if there is no such column."""
        return self._columns.get(key) or [None] * len(self)

    def set(self, key: str, values: list[Any]) -> None:
        self._columns[key] = values

    def encoded(self, key: str, ids: IdMap) -> IntArray:
        """The indexes of a column of ids, -1 everywhere if there is no such column."""
        if not self.has(key):
            return np.full(len(self), NONE, np.int32)
        return ids.encode(self.ids(key))

    def ids(self, key: str) -> list[str | None]:
        return [
            value if type(value) is str and value else None if value in (None, "") else str(value)
            for value in self.column(key)
        ]

    def numbers(self, key: str, default: float) -> NDArray[np.float64]:
        if not self.has(key):
            return np.full(len(self), default, np.float64)
        values = self.column(key)
        return np.array([default if v is None else float(v) for v in values], np.float64)

    def names(self, key: str, kinds: type[IntEnum], default: IntEnum) -> NDArray[np.int8]:
        if not self.has(key):
            return np.full(len(self), int(default), np.int8)
        # As texts, so that what cannot be a name (a list) is unknown like any other.
        values = [v if v is None or type(v) is str else str(v) for v in self.column(key)]
        known = {kind.name: int(kind) for kind in kinds}
        meaning = {
            value: int(default) if value is None else known.get(value.upper(), NONE)
            for value in set(values)
        }
        return np.array([meaning[value] for value in values], np.int8)


def _values(column: Any) -> list[Any]:
    """A column as a list of plain values; what pandas calls missing becomes None."""
    values = column.tolist() if hasattr(column, "tolist") else list(column)
    # What is missing (NaN, NaT) is the only thing that is not equal to itself.
    return [None if value != value else value for value in values]


def to_ms(value: Any) -> int | None:
    """Milliseconds since 1970 in UTC of an instant in any form that ``build`` takes, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else None
    if isinstance(value, str):
        if value.isdecimal():
            return int(value)
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return round(aware.timestamp() * 1000)
    return None


def _reject_bad_rows(rows: Mapping[str, _Rows], now_ms: int) -> None:
    for table in rows.values():
        for key in REQUIRED_COLUMNS[table.name]:
            if not table.has(key):
                continue
            table.keep([value not in (None, "") for value in table.column(key)], f"no {key}")
        _read_instants(table, "ts", now_ms + CLOCK_SLACK_MS, "is in the future")
        _read_instants(table, "held_ts", now_ms + FARTHEST_MS, "is too far ahead")
        _check_names(table)
        _check_ranges(table)
    _keep_first(rows["bookings"], ("booking_id",))
    _keep_first(rows["lines"], ("booking_id", "item_id"))
    _keep_first(rows["rules"], ("puja_id", "item_id", "region"))
    for name, key in (("items", "item_id"), ("pujas", "puja_id"), ("pandits", "pandit_id")):
        _keep_first(rows[name], (key,))
    _keep_first(rows["events"], ("event_id",))
    known = set(rows["bookings"].ids("booking_id"))
    lines = rows["lines"]
    lines.keep([each in known for each in lines.ids("booking_id")], "unknown booking")


def _read_instants(table: _Rows, key: str, latest: int, when_later: str) -> None:
    if not table.has(key):
        return
    needed = key in REQUIRED_COLUMNS[table.name]
    values = table.column(key)
    table.set(key, [value if type(value) is int else to_ms(value) for value in values])
    if needed:
        table.keep([value is not None for value in table.column(key)], f"{key} is no instant")
    values = table.column(key)
    table.keep([v is None or v >= EARLIEST_MS for v in values], f"{key} is too old")
    values = table.column(key)
    table.keep([v is None or v <= latest for v in values], f"{key} {when_later}")


_NAMED: Final[Mapping[str, tuple[tuple[str, type[IntEnum], IntEnum], ...]]] = {
    "bookings": (("status", Status, Status.COMPLETED),),
    "lines": (("source", Source, Source.MANUAL), ("tier", Tier, Tier.OPTIONAL)),
    "events": (("kind", Kind, Kind.RATING), ("source", Source, Source.MANUAL)),
    "rules": (("tier", Tier, Tier.OPTIONAL),),
}


def _check_names(table: _Rows) -> None:
    for key, kinds, default in _NAMED.get(table.name, ()):
        table.keep(table.names(key, kinds, default) != NONE, f"unknown {key}")


_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "quantity": (0.0, 1e9),
    "per_person": (0.0, 1e6),
    "per_day": (0.0, 1e6),
    "price": (0.0, 1e12),
    "rating": (0.0, 5.0),
    "attendees": (0.0, 1e6),
    "days": (0.0, 3660.0),
}


def _check_ranges(table: _Rows) -> None:
    for key, (low, high) in _RANGES.items():
        if not table.has(key):
            continue
        good = [value is None or _within(value, low, high) for value in table.column(key)]
        table.keep(good, f"{key} out of range")


def _within(value: Any, low: float, high: float) -> bool:
    try:
        return low <= float(value) <= high
    except (TypeError, ValueError):
        return False


def _keep_first(table: _Rows, keys: tuple[str, ...]) -> None:
    """Leave out rows with the ids of an earlier one; a row without any is like no other."""
    if not len(table):
        return
    nothing = (None,) * len(keys)
    seen: set[tuple[str | None, ...]] = set()
    good = []
    for row in zip(*(table.ids(key) for key in keys), strict=True):
        good.append(row == nothing or row not in seen)
        seen.add(row)
    table.keep(good, f"duplicate {'+'.join(keys)}")


def _id_maps(rows: Mapping[str, _Rows]) -> dict[str, IdMap]:
    def gather(key: str, *tables: str) -> IdMap:
        found = {name for table in tables if rows[table].has(key) for name in rows[table].ids(key)}
        return IdMap(name for name in found if name is not None)

    return {
        "users": gather("user_id", "bookings", "events"),
        "items": gather("item_id", "items", "lines", "events", "rules"),
        "pujas": gather("puja_id", "pujas", "bookings", "events", "rules"),
        # Where all pandits are listed, an event makes nobody one of them.
        "pandits": gather(
            "pandit_id", "pandits", "bookings", *(() if len(rows["pandits"]) else ("events",))
        ),
        "regions": gather("region", "bookings", "events", "rules"),
        "languages": gather("language", "events"),
        "units": gather("unit", "lines", "events", "rules"),
        "categories": gather("category", "items", "pujas"),
        "booking_ids": gather("booking_id", "bookings"),
    }


def _bookings(rows: _Rows, maps: Mapping[str, IdMap]) -> Bookings:
    order = np.argsort(rows.encoded("booking_id", maps["booking_ids"]), kind="stable")
    made = np.array(rows.column("ts"), np.int64)
    held = [a if b is None else b for a, b in zip(made, rows.column("held_ts"), strict=True)]
    return Bookings(
        ts=made[order],
        held_ts=np.array(held, np.int64)[order],
        user=rows.encoded("user_id", maps["users"])[order],
        puja=rows.encoded("puja_id", maps["pujas"])[order],
        pandit=rows.encoded("pandit_id", maps["pandits"])[order],
        region=rows.encoded("region", maps["regions"])[order],
        status=rows.names("status", Status, Status.COMPLETED)[order],
        attendees=rows.numbers("attendees", 0).astype(np.int32)[order],
        days=rows.numbers("days", 1).astype(np.int32)[order],
    )


def _lines(rows: _Rows, maps: Mapping[str, IdMap]) -> Lines:
    booking = rows.encoded("booking_id", maps["booking_ids"])
    item = rows.encoded("item_id", maps["items"])
    kept = [value is None or _truth(value) for value in rows.column("kept")]
    lines = Lines(
        booking=booking,
        item=item,
        quantity=rows.numbers("quantity", math.nan),
        unit=rows.encoded("unit", maps["units"]),
        price=rows.numbers("price", NONE).astype(np.int64),
        source=rows.names("source", Source, Source.MANUAL),
        tier=rows.names("tier", Tier, Tier.OPTIONAL),
        kept=np.array(kept, np.bool_),
    )
    return _sorted(lines, item, booking)


def _truth(value: Any) -> bool:
    return value.lower() not in ("", "0", "false", "no") if isinstance(value, str) else bool(value)


def _events(rows: _Rows, maps: Mapping[str, IdMap]) -> Events:
    user = rows.encoded("user_id", maps["users"])
    made = np.array(rows.column("ts"), np.int64)
    events = Events(
        ts=made,
        kind=rows.names("kind", Kind, Kind.RATING),
        user=user,
        puja=rows.encoded("puja_id", maps["pujas"]),
        booking=rows.encoded("booking_id", maps["booking_ids"]),
        item=rows.encoded("item_id", maps["items"]),
        pandit=rows.encoded("pandit_id", maps["pandits"]),
        quantity=rows.numbers("quantity", math.nan),
        unit=rows.encoded("unit", maps["units"]),
        price=rows.numbers("price", NONE).astype(np.int64),
        rating=rows.numbers("rating", 0).astype(np.int8),
        source=rows.names("source", Source, Source.MANUAL),
        region=rows.encoded("region", maps["regions"]),
        language=rows.encoded("language", maps["languages"]),
    )
    return _sorted(events, events.item, events.kind, user, made)


def _rules(rows: _Rows, maps: Mapping[str, IdMap]) -> Rules:
    rules = Rules(
        puja=rows.encoded("puja_id", maps["pujas"]),
        item=rows.encoded("item_id", maps["items"]),
        tier=rows.names("tier", Tier, Tier.OPTIONAL),
        quantity=rows.numbers("quantity", math.nan),
        per_person=rows.numbers("per_person", 0.0),
        per_day=rows.numbers("per_day", 0.0),
        unit=rows.encoded("unit", maps["units"]),
        region=rows.encoded("region", maps["regions"]),
    )
    return _sorted(rules, rules.item, rules.tier, rules.puja)


def _sorted(table: T, *keys: NDArray[Any]) -> T:
    """Order the rows by the last key first, as ``numpy.lexsort`` counts."""
    return _take(table, np.lexsort(keys))


def _category(rows: _Rows, key: str, ids: IdMap, categories: IdMap) -> IntArray:
    found = np.full(len(ids), NONE, np.int32)
    found[ids.encode(rows.ids(key))] = categories.encode(rows.ids("category"))
    return found


def _repeats(rows: _Rows, pujas: IdMap) -> NDArray[np.bool_]:
    found = np.ones(len(pujas), np.bool_)
    said = [value is None or _truth(value) for value in rows.column("repeatable")]
    found[pujas.encode(rows.ids("puja_id"))] = said
    return found
