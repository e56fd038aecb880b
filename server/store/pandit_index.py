"""All pandits in columns in memory: which of them a search means, and in which order.

Twenty thousand are sifted in about a millisecond. Nothing here is the truth: the index proposes
ids, and whoever asks reads the documents (see ``store.pandit_directory``). Only what a search
filters or sorts by is kept.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.domain.account import GeoPoint
from server.domain.calendar import CLAIM_MINUTES
from server.domain.pandit import VerificationStatus
from server.domain.ports.paging import SortKey
from server.domain.ports.pandits import PanditSearch
from server.domain.recommendation import PanditCandidate
from server.domain.search import Word
from server.store.client import Document

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.intp]

NO_PRICE: Final = 1 << 53
"""Sorts those who offer nothing behind all others; no price is that high."""
_FIRST_ROWS: Final = 256
_EARTH_KM: Final = 6371.0
_QUARTERS: Final = 24 * 60 // CLAIM_MINUTES
_DAY_BYTES: Final = _QUARTERS // 8
_END: Final = "\U0010ffff"
_DESCENDING: Final = {"recommended": "ranking", "rating": "rating", "experience": "experience"}

FIELDS: Final = (
    "verification_status",
    "is_available",
    "ranking",
    "rating",
    "review_count",
    "experience_years",
    "languages",
    "geo",
    "services.puja_id",
    "services.price",
    "services.is_available",
    "availability.weekly",
    "availability.exceptions",
    "search_keys",
    "updated_at",
    "version",
)
"""What of a pandit's document the index reads."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of ids, best first, and the key to go on after."""

    ids: tuple[str, ...]
    next_key: SortKey | None


class _Postings:
    """Which rows have a thing (a key of a word, a puja), with a number for each."""

    def __init__(self) -> None:
        self._rows: dict[int, float] = {}
        self._arrays: tuple[Rows, Floats] | None = None

    def put(self, row: int, number: float) -> None:
        self._rows[row] = number
        self._arrays = None

    def remove(self, row: int) -> None:
        self._rows.pop(row, None)
        self._arrays = None

    def arrays(self) -> tuple[Rows, Floats]:
        """The rows and their numbers, in one order."""
        if self._arrays is None:
            count = len(self._rows)
            self._arrays = (
                np.fromiter(self._rows.keys(), np.intp, count),
                np.fromiter(self._rows.values(), np.float64, count),
            )
        return self._arrays


class PanditIndex:
    """The columns. Not for several threads: the loop alone changes and asks it."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._row_of: dict[str, int] = {}
        self._columns = _columns(_FIRST_ROWS)
        self._open = np.zeros((_FIRST_ROWS, 7, _DAY_BYTES), np.uint8)
        self._exceptions: dict[date, dict[int, NDArray[np.uint8]]] = {}
        self._days_of: dict[int, tuple[date, ...]] = {}
        self._languages: dict[str, int] = {}
        self._spoken: list[tuple[str, ...]] = []
        self._same: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._keys_of: dict[int, tuple[str, ...]] = {}
        self._pujas_of: dict[int, tuple[str, ...]] = {}
        self._words: dict[str, _Postings] = {}
        self._sorted_words: list[str] = []
        self._offers: dict[str, _Postings] = {}
        self._sorted_ids: list[str] = []
        self._id_ranks: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """How many pandits it knows, those who cannot be booked included."""
        return len(self._ids)

    def put(self, document: Mapping[str, Any]) -> None:
        """Take in a pandit's document (``FIELDS`` of it) in the place of what was known of him.

        One that was read before a newer one, and came later, changes nothing.
        """
        row = self._row(document["_id"])
        columns = self._columns
        if document["version"] < columns["version"][row]:
            return
        columns["version"][row] = document["version"]
        columns["live"][row] = (
            document["verification_status"] == VerificationStatus.APPROVED.value
            and document["is_available"]
        )
        columns["ranking"][row] = document["ranking"]
        columns["rating"][row] = document["rating"]
        columns["experience"][row] = document["experience_years"]
        columns["reviews"][row] = document["review_count"]
        spoken = tuple(document["languages"])
        # One tuple for all who speak the same.
        self._spoken[row] = self._same.setdefault(spoken, spoken)
        columns["languages"][row] = _bits({self._language(each) for each in spoken})
        self._put_place(row, document.get("geo"))
        # One string for a key, however many have it.
        self._put_words(row, tuple(map(sys.intern, document.get("search_keys") or ())))
        self._put_offers(row, document.get("services") or ())
        self._put_hours(row, document["availability"])

    def ids_after(self, pandit_id: str, count: int) -> list[str]:
        """So many ids at most, in their order, that come behind this one."""
        first = bisect_right(self._sorted_ids, pandit_id)
        return self._sorted_ids[first : first + count]

    def forget(self, pandit_id: str) -> None:
        """Find him no longer: his document is gone."""
        self._columns["live"][self._row_of[pandit_id]] = False

    def find(self, search: PanditSearch) -> Found:
        """Return the page that a search means, in its order; see ``ports.PanditRepository.search``.

        Of whoever is asked for on a day, those remain whose hours do not rule it out: their
        bookings, notice and zone are for the asker to look at.
        """
        count = len(self._ids)
        mask = self._columns["live"][:count].copy()
        prices: Floats | None = None
        if search.puja_ids is not None or search.max_price is not None or search.sort == "price":
            prices = self._prices(search.puja_ids)
            if search.puja_ids is not None:
                mask &= np.isfinite(prices)
            if search.max_price is not None:
                mask &= prices <= search.max_price
        if search.min_rating is not None:
            mask &= self._columns["rating"][:count] >= search.min_rating
        if search.language is not None:
            bit = self._languages.get(search.language)
            if bit is None:
                return Found((), None)
            mask &= (self._columns["languages"][:count] >> np.uint64(bit)) & np.uint64(1) == 1
        for word in search.wanted_words:
            mask &= self._having(word)
        if search.day is not None:
            mask &= self._open_on(search.day, search.at)
        distances: Floats | None = None
        if search.near is not None and (search.radius_km is not None or search.sort == "distance"):
            distances = self._distances(search.near)
            mask &= distances <= (math.inf if search.radius_km is None else search.radius_km)
            mask &= np.isfinite(distances)
        return self._page(search, mask, prices, distances)

    def candidates(self, search: PanditSearch) -> tuple[PanditCandidate, ...]:
        """Return the page that a search means as what a ranking reads, from memory alone."""
        columns, prices = self._columns, self._prices(search.puja_ids)
        found = []
        for pandit_id in self.find(search).ids:
            row = self._row_of[pandit_id]
            latitude, longitude = float(columns["latitude"][row]), float(columns["longitude"][row])
            price = float(prices[row])
            found.append(
                PanditCandidate(
                    pandit_id=pandit_id,
                    languages=self._spoken[row],
                    experience_years=int(columns["experience"][row]),
                    rating=float(columns["rating"][row]),
                    review_count=int(columns["reviews"][row]),
                    point=None if math.isnan(latitude) else GeoPoint(latitude, longitude),
                    price=None if math.isinf(price) else int(price),
                )
            )
        return tuple(found)

    # -- filters ----------------------------------------------------------------------------------

    def _prices(self, puja_ids: Sequence[str] | None) -> Floats:
        """What the cheapest available offer (of those pujas) costs, infinite without one."""
        count = len(self._ids)
        if puja_ids is None:
            return self._columns["price"][:count]
        prices = np.full(count, np.inf)
        for puja_id in puja_ids:
            if puja_id in self._offers:
                rows, cheapest = self._offers[puja_id].arrays()
                prices[rows] = np.minimum(prices[rows], cheapest)
        return prices

    def _having(self, word: Word) -> Bools:
        """Who has a key that begins like one of the word's, or offers one of its pujas."""
        mask = np.zeros(len(self._ids), np.bool_)
        for key in word.keys:
            first = bisect_left(self._sorted_words, key)
            last = bisect_right(self._sorted_words, key + _END, lo=first)
            for known in self._sorted_words[first:last]:
                mask[self._words[known].arrays()[0]] = True
        for puja_id in word.puja_ids:
            if puja_id in self._offers:
                mask[self._offers[puja_id].arrays()[0]] = True
        return mask

    def _open_on(self, day: date, at: time | None) -> Bools:
        count = len(self._ids)
        hours = self._open[:count, day.weekday()]
        if others := self._exceptions.get(day):
            hours = hours.copy()
            for row, its_hours in others.items():
                hours[row] = its_hours
        if at is None:
            return np.asarray(hours.any(axis=1), np.bool_)
        quarter = (at.hour * 60 + at.minute) // CLAIM_MINUTES
        bits = hours[:, quarter // 8] >> np.uint8(quarter % 8)
        return (bits & np.uint8(1)).astype(np.bool_)

    def _distances(self, near: GeoPoint) -> Floats:
        """Kilometres to each, by the chord between unit vectors; NaN without a place."""
        count, columns = len(self._ids), self._columns
        x, y, z = _vector(near.latitude, near.longitude)
        squared = (
            (columns["x"][:count] - x) ** 2
            + (columns["y"][:count] - y) ** 2
            + (columns["z"][:count] - z) ** 2
        )
        half = np.sqrt(np.minimum(squared, 4.0)) / 2
        distances: Floats = 2 * _EARTH_KM * np.arcsin(half)
        return distances

    # -- order ------------------------------------------------------------------------------------

    def _page(
        self, search: PanditSearch, mask: Bools, prices: Floats | None, distances: Floats | None
    ) -> Found:
        rows = np.flatnonzero(mask)
        descending = search.sort in _DESCENDING
        if descending:
            values = self._columns[_DESCENDING[search.sort]][rows]
        elif search.sort == "price":
            assert prices is not None  # noqa: S101  # computed for this order
            values = np.where(np.isfinite(prices[rows]), prices[rows], float(NO_PRICE))
        else:
            assert distances is not None  # noqa: S101  # computed for this order
            values = distances[rows]
        ranks = self._ranks()[rows].astype(np.float64)
        if descending:
            values, ranks = -values, -ranks
        if search.after is not None:
            value, row_id = search.after
            sign = -1 if descending else 1
            place = self._rank_of(str(row_id)) * sign
            value = value * sign
            beyond = (values > value) | ((values == value) & (ranks > place))
            rows, values, ranks = rows[beyond], values[beyond], ranks[beyond]
        if len(rows) > search.limit:
            # Only the best are put in order; those who tie with the last of them take part.
            worst = np.partition(values, search.limit)[search.limit]
            best = values <= worst
            rows, values, ranks = rows[best], values[best], ranks[best]
        order = np.lexsort((ranks, values))[: search.limit + 1]
        page = order[: search.limit]
        ids = tuple(self._ids[row] for row in rows[page])
        if len(order) <= search.limit:
            return Found(ids, None)
        last = float(values[page[-1]])
        return Found(ids, (abs(last) if descending else last, ids[-1]))

    def _ranks(self) -> NDArray[np.int64]:
        """The place of each row among all ids in their order."""
        if self._id_ranks is None:
            ranks = np.empty(len(self._ids), np.int64)
            for rank, pandit_id in enumerate(self._sorted_ids):
                ranks[self._row_of[pandit_id]] = rank
            self._id_ranks = ranks
        return self._id_ranks

    def _rank_of(self, pandit_id: str) -> float:
        """The place of an id; of one that is gone, between those it lay between."""
        place = bisect_left(self._sorted_ids, pandit_id)
        is_here = place < len(self._sorted_ids) and self._sorted_ids[place] == pandit_id
        return float(place) if is_here else place - 0.5

    # -- writing ----------------------------------------------------------------------------------

    def _row(self, pandit_id: str) -> int:
        row = self._row_of.get(pandit_id)
        if row is not None:
            return row
        row = len(self._ids)
        if row == len(self._open):
            self._columns = {
                name: np.concatenate([column, np.zeros_like(column)])
                for name, column in self._columns.items()
            }
            self._open = np.concatenate([self._open, np.zeros_like(self._open)])
        self._ids.append(pandit_id)
        self._spoken.append(())
        self._row_of[pandit_id] = row
        insort(self._sorted_ids, pandit_id)
        self._id_ranks = None
        return row

    def _language(self, code: str) -> int:
        # A language beyond the 64th shares the last bit; more are spoken by no town's pandits.
        return self._languages.setdefault(code, min(len(self._languages), 63))

    def _put_place(self, row: int, geo: Mapping[str, Any] | None) -> None:
        x = y = z = latitude = longitude = math.nan
        if geo is not None:
            longitude, latitude = geo["coordinates"]
            x, y, z = _vector(latitude, longitude)
        columns = self._columns
        columns["latitude"][row], columns["longitude"][row] = latitude, longitude
        columns["x"][row], columns["y"][row], columns["z"][row] = x, y, z

    def _put_words(self, row: int, keys: tuple[str, ...]) -> None:
        before = self._keys_of.get(row, ())
        if keys == before:
            return
        for key in set(before) - set(keys):
            self._words[key].remove(row)
        for key in set(keys) - set(before):
            if key not in self._words:
                self._words[key] = _Postings()
                insort(self._sorted_words, key)
            self._words[key].put(row, 0.0)
        self._keys_of[row] = keys

    def _put_offers(self, row: int, services: Iterable[Mapping[str, Any]]) -> None:
        cheapest: dict[str, float] = {}
        for service in services:
            if service["is_available"]:
                puja_id, price = service["puja_id"], float(service["price"])
                cheapest[puja_id] = min(price, cheapest.get(puja_id, math.inf))
        for puja_id in self._pujas_of.get(row, ()):
            if puja_id not in cheapest:
                self._offers[puja_id].remove(row)
        for puja_id, price in cheapest.items():
            self._offers.setdefault(puja_id, _Postings()).put(row, price)
        self._pujas_of[row] = tuple(cheapest)
        self._columns["price"][row] = min(cheapest.values(), default=math.inf)

    def _put_hours(self, row: int, availability: Mapping[str, Any]) -> None:
        self._open[row] = 0
        for hours in availability["weekly"]:
            self._open[row, hours["weekday"] - 1] = _hours(hours["intervals"])
        for day in self._days_of.pop(row, ()):
            self._exceptions[day].pop(row, None)
        exceptions = {
            date.fromisoformat(each["on"]): _hours(each["intervals"])
            for each in availability["exceptions"]
        }
        for day, quarters in exceptions.items():
            self._exceptions.setdefault(day, {})[row] = quarters
        if exceptions:
            self._days_of[row] = tuple(exceptions)


def _columns(rows: int) -> dict[str, NDArray[Any]]:
    kinds: dict[str, type] = {"live": np.bool_, "languages": np.uint64}
    names = (
        *("live", "version", "languages", "ranking", "rating", "reviews", "experience"),
        *("price", "latitude", "longitude", "x", "y", "z"),
    )
    return {name: np.zeros(rows, kinds.get(name, np.float64)) for name in names}


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in numbers)


def _vector(latitude: float, longitude: float) -> tuple[float, float, float]:
    phi, lam = math.radians(latitude), math.radians(longitude)
    return math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)


def _hours(intervals: Iterable[Document]) -> NDArray[np.uint8]:
    """The quarter hours of a day that lie in the intervals, a bit each."""
    return _quarters(tuple((each["start"], each["end"]) for each in intervals))


@lru_cache(maxsize=1024)
def _quarters(intervals: tuple[tuple[str, str], ...]) -> NDArray[np.uint8]:
    # Most pandits keep one of a few hours, so their array is shared, and nobody may change it.
    bits = np.zeros(_QUARTERS, np.uint8)
    for start, end in intervals:
        first, last = _quarter(start), _quarter(end)
        bits[first : last if last > first else _QUARTERS] = 1
    packed = np.packbits(bits, bitorder="little")
    packed.flags.writeable = False
    return packed


def _quarter(text: str) -> int:
    at = time.fromisoformat(text)
    return (at.hour * 60 + at.minute) // CLAIM_MINUTES
