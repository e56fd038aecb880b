"""How fast things may come: token buckets, by socket and by address."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

_MAX_ADDRESSES: Final = 50_000
_MAX_LEFT: Final = 50_000


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


class UserPace:
    """How fast the frames of one user may come, over all his connections together.

    What he has used up outlives his connections, so that coming back refills nothing. Who is silent
    costs nothing: his number is forgotten when it lies in the past (:meth:`forget`).
    """

    __slots__ = ("_left", "_pace", "_paid_until")

    def __init__(self, rate: float, burst: int) -> None:
        self._pace = Pace(rate, burst)
        self._paid_until: dict[str, float] = {}
        # Whose last connection has ended, and until when he is remembered.
        self._left: deque[tuple[float, str]] = deque()

    def __len__(self) -> int:
        """How many users are remembered."""
        return len(self._paid_until)

    def take(self, user_id: str, now: float) -> float:
        """Use up one; returns 0.0, or the seconds to wait."""
        paid_until, wait = self._pace.take(self._paid_until.get(user_id, 0.0), now)
        if not wait:
            self._paid_until[user_id] = paid_until
        return wait

    def forget(self, user_id: str, now: float) -> None:
        """Forget the user if all that he has used up has come back."""
        if self._paid_until and self._paid_until.get(user_id, now + 1.0) <= now:
            del self._paid_until[user_id]

    def left(self, user_id: str, now: float) -> None:
        """The user's last connection has ended."""
        paid_until = self._paid_until.get(user_id, now)
        if paid_until <= now:
            self.forget(user_id, now)
            return
        self._left.append((paid_until, user_id))
        if len(self._left) > _MAX_LEFT:
            self._paid_until.pop(self._left.popleft()[1], None)

    def forget_left(self, now: float) -> None:
        """Forget those who have left and owe nothing any more."""
        # None owes longer than a burst takes to come back, so who stands behind waits no longer.
        while self._left and self._left[0][0] <= now:
            self.forget(self._left.popleft()[1], now)


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
