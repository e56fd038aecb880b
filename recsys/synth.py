"""The made-up town as data: ``python -m recsys.synth --out DIR --seed 7 --users 5000``.

Writes what training reads as JSON lines, a table a file, and beside it ``truth.npz``: what training
must never read. ``dataset`` gives the same without a detour over files.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys.data import (
    NONE,
    Bookings,
    Dataset,
    Events,
    IdMap,
    IntArray,
    Kind,
    Lines,
    LongArray,
    Rejects,
    Rules,
    Source,
    Status,
    Tier,
)
from recsys.town import (
    CATEGORIES,
    CENTRES,
    KINDS,
    LANGUAGES,
    RULE_KEPT,
    UNITS,
    Town,
    TownConfig,
    World,
    simulate,
)

_REMOVED_AFTER_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_ROWS_A_PIECE: Final = 50_000
_PUJA_CATEGORIES: Final = 4


def names(kind: str, count: int) -> tuple[str, ...]:
    """Ids of equal length, so that they sort as they count."""
    return tuple(f"{kind}-{number:0{len(str(max(count - 1, 0)))}}" for number in range(count))


def dataset(town: Town) -> Dataset:
    """What training would read of this town."""
    world, config = town.world, town.config
    bookings = town.bookings
    units = IdMap(UNITS)
    unit_of = units.encode(UNITS)[world.item_unit]
    categories = IdMap((*names("kind", CATEGORIES), *names("rite", _PUJA_CATEGORIES)))
    languages = IdMap(LANGUAGES)
    return Dataset(
        users=IdMap(names("user", config.users)),
        items=IdMap(names("item", config.items)),
        pujas=IdMap(names("puja", config.pujas)),
        pandits=IdMap(names("pandit", config.pandits)),
        regions=IdMap(names("region", len(CENTRES))),
        languages=languages,
        units=units,
        categories=categories,
        booking_ids=IdMap(names("booking", len(bookings["user"]))),
        bookings=Bookings(
            ts=bookings["ts"],
            held_ts=bookings["held_ts"],
            user=_ints(bookings["user"]),
            puja=_ints(bookings["puja"]),
            pandit=_ints(bookings["pandit"]),
            region=_ints(world.region[bookings["user"]]),
            status=bookings["status"].astype(np.int8),
            attendees=_ints(bookings["attendees"]),
            days=_ints(bookings["days"]),
        ),
        lines=_lines(town, unit_of),
        events=_events(town, unit_of, languages),
        rules=_rules(world, unit_of),
        item_category=categories.encode(names("kind", CATEGORIES))[world.item_category],
        puja_category=categories.encode(names("rite", _PUJA_CATEGORIES))[
            np.arange(config.pujas) % _PUJA_CATEGORIES
        ],
        puja_repeats=world.puja_kind != KINDS.index("once"),
        rejects=Rejects({}, {}),
    )


def _ints(column: NDArray[Any]) -> IntArray:
    return column.astype(np.int32)


def _lines(town: Town, unit_of: IntArray) -> Lines:
    lines = town.lines
    return Lines(
        booking=_ints(lines["booking"]),
        item=_ints(lines["item"]),
        quantity=lines["quantity"],
        unit=unit_of[lines["item"]],
        price=lines["price"],
        source=lines["source"],
        tier=lines["tier"],
        kept=lines["kept"] & ~lines["returned"],
    )


def _rules(world: World, unit_of: IntArray) -> Rules:
    puja, item = np.nonzero(world.rules >= 0)
    return Rules(
        puja=_ints(puja),
        item=_ints(item),
        tier=world.rules[puja, item],
        quantity=2 * world.item_pack[item],
        per_person=world.item_per_person[item],
        per_day=np.zeros(len(item)),
        unit=unit_of[item],
        region=np.full(len(puja), NONE, np.int32),
    )


def _events(town: Town, unit_of: IntArray, languages: IdMap) -> Events:
    """The log, in order of time."""
    log = _Log(town, unit_of)
    bookings, lines = town.bookings, town.lines
    every = np.arange(len(bookings["user"]))
    done = bookings["status"] == Status.COMPLETED
    ts, held = bookings["ts"], bookings["held_ts"]
    log.of_bookings(Kind.BOOKING_CREATED, every, ts)
    log.of_bookings(Kind.PANDIT_BOOKED, every, ts)
    log.of_bookings(Kind.BOOKING_COMPLETED, every[done], held[done])
    cancelled = every[bookings["status"] == Status.CANCELLED]
    log.of_bookings(Kind.BOOKING_CANCELLED, cancelled, ts[cancelled] + _REMOVED_AFTER_MS)
    rated = every[bookings["stars"] > 0]
    log.of_bookings(Kind.RATING, rated, held[rated] + _DAY_MS // 2, bookings["stars"][rated])
    row = np.arange(len(lines["item"]))
    made = ts[lines["booking"]]
    log.of_lines(Kind.SAMAGRI_ADDED, row, made)
    log.of_lines(
        Kind.SAMAGRI_REMOVED, row[~lines["kept"]], made[~lines["kept"]] + _REMOVED_AFTER_MS
    )
    bought = row[lines["kept"] & done[lines["booking"]]]
    log.of_lines(Kind.SAMAGRI_PURCHASED, bought, held[lines["booking"][bought]])
    returned = row[lines["returned"] & done[lines["booking"]]]
    log.of_lines(Kind.SAMAGRI_RETURNED, returned, held[lines["booking"][returned]] + _DAY_MS)
    log.dismissals()
    return log.events(languages)


class _Log:
    """Collects events, a kind at a time."""

    def __init__(self, town: Town, unit_of: IntArray) -> None:
        self._town = town
        self._unit_of = unit_of
        self._parts: list[dict[str, NDArray[Any]]] = []

    def of_bookings(
        self, kind: Kind, rows: NDArray[Any], ts: LongArray, rating: NDArray[Any] | int = 0
    ) -> None:
        """One event for each of these bookings."""
        self._add(kind, ts, self._town.bookings["user"][rows], booking=rows, rating=rating)

    def of_lines(self, kind: Kind, rows: NDArray[Any], ts: LongArray) -> None:
        """One event for each of these lines."""
        lines = self._town.lines
        booking, item = lines["booking"][rows], lines["item"][rows]
        self._add(
            kind,
            ts,
            self._town.bookings["user"][booking],
            booking=booking,
            item=item,
            quantity=lines["quantity"][rows],
            price=lines["price"][rows],
            source=lines["source"][rows],
            unit=self._unit_of[item],
        )

    def dismissals(self) -> None:
        """Each family says once what it never wants to see, when it books for the first time."""
        bookings, world = self._town.bookings, self._town.world
        user, first = np.unique(bookings["user"], return_index=True)
        which, item = np.nonzero(world.dismissed[user])
        self._add(Kind.ITEM_DISMISSED, bookings["ts"][first[which]], user[which], item=item)

    def _add(self, kind: Kind, ts: LongArray, user: NDArray[Any], **columns: Any) -> None:
        blank: dict[str, Any] = {
            "booking": NONE,
            "item": NONE,
            "quantity": np.nan,
            "unit": NONE,
            "price": NONE,
            "rating": 0,
            "source": int(Source.MANUAL),
        }
        columns = {"ts": ts, "user": user, "kind": int(kind), **blank, **columns}
        self._parts.append(
            {name: np.broadcast_to(column, len(ts)) for name, column in columns.items()}
        )

    def events(self, languages: IdMap) -> Events:
        """All of them, sorted by time, user, kind and item."""
        all_of = {
            name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]
        }
        order = np.lexsort((all_of["item"], all_of["kind"], all_of["user"], all_of["ts"]))
        all_of = {name: column[order] for name, column in all_of.items()}
        bookings, world = self._town.bookings, self._town.world
        has_booking = all_of["booking"] >= 0
        return Events(
            ts=all_of["ts"],
            kind=all_of["kind"].astype(np.int8),
            user=_ints(all_of["user"]),
            puja=_ints(np.where(has_booking, bookings["puja"][all_of["booking"]], NONE)),
            booking=_ints(all_of["booking"]),
            item=_ints(all_of["item"]),
            pandit=_ints(np.where(has_booking, bookings["pandit"][all_of["booking"]], NONE)),
            quantity=all_of["quantity"].astype(np.float64),
            unit=_ints(all_of["unit"]),
            price=all_of["price"].astype(np.int64),
            rating=all_of["rating"].astype(np.int8),
            source=all_of["source"].astype(np.int8),
            region=_ints(world.region[all_of["user"]]),
            language=languages.encode(LANGUAGES)[world.language[all_of["user"]]],
        )


def truth(world: World) -> dict[str, NDArray[Any]]:
    """The world as numeric arrays; ragged sets are padded with -1."""
    arrays = {
        field.name: np.asarray(value)
        for field in dataclasses.fields(world)
        if isinstance(value := getattr(world, field.name), np.ndarray)
    }
    cliques = np.full((len(world.cliques), 5), NONE)
    for row, members in enumerate(world.cliques):
        cliques[row, : len(members)] = members
    return {
        **arrays,
        "cliques": cliques,
        "substitutions": np.array(world.substitutions).reshape(-1, 3),
        "festivals": np.array([(puja, day.toordinal()) for puja, day in world.festivals]),
        "kept_by_rule": np.array(list(RULE_KEPT.values())),
    }


def tables(town: Town) -> dict[str, dict[str, Any]]:
    """What ``recsys.data.build`` takes, and for people: ``users`` and ``calendar``."""
    data = dataset(town)
    world = town.world
    return {
        "users": {
            "user_id": data.users.ids,
            "region": _named(data.regions, world.region),
            "language": [LANGUAGES[each] for each in world.language],
            "lat": world.place[:, 0].round(5),
            "lng": world.place[:, 1].round(5),
        },
        "pandits": {
            "pandit_id": data.pandits.ids,
            "region": _named(data.regions, world.pandit_region),
            "lat": world.pandit_place[:, 0].round(5),
            "lng": world.pandit_place[:, 1].round(5),
            "price": world.pandit_price,
            "joined_month": world.pandit_joined,
            "languages": [
                [LANGUAGES[each] for each in np.flatnonzero(row)] for row in world.pandit_language
            ],
            "pujas": [_named(data.pujas, np.flatnonzero(row)) for row in world.pandit_offers],
        },
        "items": {
            "item_id": data.items.ids,
            "category": _named(data.categories, data.item_category),
            "price": world.item_price,
            "pack": world.item_pack,
            "unit": [UNITS[each] for each in world.item_unit],
            "season_from": world.item_season[:, 0] + 1,
            "season_to": world.item_season[:, 1] + 1,
        },
        "pujas": {
            "puja_id": data.pujas.ids,
            "category": _named(data.categories, data.puja_category),
            "repeatable": data.puja_repeats.tolist(),
        },
        "calendar": {
            "puja_id": _named(data.pujas, np.array([puja for puja, _ in world.festivals])),
            "date": [day.isoformat() for _, day in world.festivals],
        },
        "bookings": {"booking_id": data.booking_ids.ids, **_columns(data, data.bookings)},
        "lines": {**_columns(data, data.lines), "propensity": town.lines["propensity"].round(4)},
        "events": _columns(data, data.events),
        "rules": _columns(data, data.rules),
    }


_ID_COLUMNS: Final[Mapping[str, tuple[str, str]]] = {
    "user": ("user_id", "users"),
    "puja": ("puja_id", "pujas"),
    "pandit": ("pandit_id", "pandits"),
    "item": ("item_id", "items"),
    "booking": ("booking_id", "booking_ids"),
    "region": ("region", "regions"),
    "unit": ("unit", "units"),
    "language": ("language", "languages"),
}
_ENUMS: Final = {"kind": Kind, "source": Source, "tier": Tier, "status": Status}


def _columns(data: Dataset, table: Bookings | Lines | Events | Rules) -> dict[str, Any]:
    """A table with ids and names in place of numbers; None where there is nothing."""
    columns: dict[str, Any] = {}
    for field in dataclasses.fields(table):
        values = getattr(table, field.name)
        if field.name in _ID_COLUMNS:
            name, ids = _ID_COLUMNS[field.name]
            columns[name] = _named(getattr(data, ids), values)
        elif field.name in _ENUMS:
            spelled = [member.name.lower() for member in _ENUMS[field.name]]
            columns[field.name] = [spelled[each] for each in values.tolist()]
        elif values.dtype == np.float64:
            columns[field.name] = [None if each != each else each for each in values.tolist()]
        elif field.name == "price":
            columns[field.name] = [None if each < 0 else each for each in values.tolist()]
        else:
            columns[field.name] = values
    return columns


def _named(ids: IdMap, indexes: NDArray[Any]) -> list[str | None]:
    return [ids.ids[each] if each >= 0 else None for each in indexes.tolist()]


def write(town: Town, out: Path) -> None:
    """Put the town into a folder: a file of JSON lines for each table, and the truth."""
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables(town).items():
        with (out / f"{name}.jsonl").open("wb") as file:
            for piece in _encoded(table):
                file.write(piece)
    np.savez_compressed(out / "truth.npz", **truth(town.world))  # type: ignore[arg-type]


def _encoded(table: Mapping[str, Any]) -> Iterator[bytes]:
    encoder = msgspec.json.Encoder()
    columns = {
        key: values.tolist() if isinstance(values, np.ndarray) else values
        for key, values in table.items()
    }
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for start in range(0, len(rows), _ROWS_A_PIECE):
        yield encoder.encode_lines(rows[start : start + _ROWS_A_PIECE])


def main(arguments: list[str] | None = None) -> int:
    """Make a town and write it."""
    config, out = _parsed(arguments)
    town = simulate(config)
    write(town, out)
    print(  # noqa: T201 - the command line speaks to a terminal
        f"{len(town.bookings['user'])} bookings, {len(town.lines['item'])} lines in {out}"
    )
    return 0


def _parsed(arguments: list[str] | None) -> tuple[TownConfig, Path]:
    default = TownConfig()
    parser = argparse.ArgumentParser(prog="python -m recsys.synth", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    for name in ("seed", "users", "pandits", "items", "pujas", "months"):
        parser.add_argument(f"--{name}", type=int, default=getattr(default, name))
    parser.add_argument("--bookings-per-user", type=float, default=default.bookings_per_user)
    parser.add_argument("--scale", type=float, default=1.0, help="of users and pandits")
    parser.add_argument("--no-cliques", action="store_true", help="plant no hidden bundles")
    given = parser.parse_args(arguments)
    config = TownConfig(
        seed=given.seed,
        users=round(given.users * given.scale),
        pandits=round(given.pandits * given.scale),
        items=given.items,
        pujas=given.pujas,
        months=given.months,
        bookings_per_user=given.bookings_per_user,
        cliques=not given.no_cliques,
    )
    return config, given.out


if __name__ == "__main__":
    raise SystemExit(main())
