"""How fast things may come: token buckets, by socket and by address."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_MAX_ADDRESSES: Final = 50_000


class Pace:
    """How fast frames may come: ``rate`` a second in the long run, ``burst`` at once.

    A connection keeps a single number, the time at which all that it has used up will have come
    back (the generic cell rate algorithm, ITU-T I.371); nothing while it is silent.
    """

    __slots__ = ("_interval", "_tolerance", "burst")

    def __init__(self, rate: float, burst: int) -> None:
        self.burst = burst
        self._interval = 1.0 / rate
        self._tolerance = (burst - 1) / rate

    def take(self, paid_until: float, now: float) -> tuple[float, float]:
        """Use up one; returns the new number and 0.0, or the old one and the seconds to wait."""
        ahead = paid_until - now
        if ahead < 0.0:
            return now + self._interval, 0.0
        if ahead > self._tolerance + 1e-9:
            return paid_until, ahead - self._tolerance
        return paid_until + self._interval, 0.0


class TokenBucket:
    """Lets ``burst`` through at once and ``rate`` a second in the long run."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = float(burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Take one token, if there is one."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def seconds_to_next(self) -> float:
        """How long until there is a token again."""
        return max(0.0, (1.0 - self._left) / self._rate) if self._rate else 60.0


class AddressGate:
    """One bucket for each address; the longest unused are forgotten first."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, address: str, now: float) -> bool:
        """Whether one more connection from there is allowed now."""
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = TokenBucket(self._rate, self._burst, now)
            if len(self._buckets) > _MAX_ADDRESSES:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        return bucket.take(now)
