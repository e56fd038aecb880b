"""What several processes share: messages, presence, leases, limits, stored answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

Deliver = Callable[[bytes], None]
"""Takes the bytes of one publication; must not block and must not raise."""


class Bus(Protocol):
    """Carries publications to every process that has subscribed to their topic.

    Delivery is at most once and in order per publisher; the database stays the truth and receivers
    catch up by sequence number.
    """

    def publish(self, topic: str, payload: bytes) -> None:
        """Send to all subscribers of the topic, in this process at once; never waits."""
        ...

    async def subscribe(self, topic: str, deliver: Deliver) -> None:
        """Begin to receive a topic; the same callback counts once."""
        ...

    def unsubscribe(self, topic: str, deliver: Deliver) -> None:
        """Stop receiving a topic; harmless when it has been stopped before."""
        ...

    @property
    def is_online(self) -> bool:
        """Whether publications reach the other processes, and theirs this one, as far as known."""
        ...

    def on_restored(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever publications may have been missed and no longer are.

        That is after the broker was away, once every subscription is confirmed again, and after
        another process has lost what it had to publish. The callback must not block; it has what
        was missed read from the database.
        """
        ...


class PresenceBoard(Protocol):
    """Who is connected, in which process: the union over all processes.

    A process that ends without a word fades from it within a minute.
    """

    @property
    def delay_seconds(self) -> float:
        """How long it may take until other processes see what has changed in this one."""
        ...

    def arrive(self, user_id: str) -> None:
        """The user has a connection in this process now; harmless when he had one; never waits."""
        ...

    def depart(self, user_id: str) -> None:
        """The user has no connection in this process any more; harmless when he had none."""
        ...

    async def whereabouts(self, user_ids: Iterable[str]) -> dict[str, bool | None]:
        """For each user whether he is connected anywhere; None where nobody can say now."""
        ...

    async def is_elsewhere(self, user_id: str) -> bool | None:
        """Whether the user is connected in another process; None when nobody can say now."""
        ...


class Leases(Protocol):
    """Who does what only one process needs to do.

    A lease saves work and guards nothing: while the processes cannot hear of each other each holds
    every lease, so what is done under one must be safe to do twice.
    """

    async def hold(self, name: str, seconds: float) -> bool:
        """Take the lease for so long, or prolong it; False while another process holds it."""
        ...


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer that was given to the first request with an idempotency key."""

    status: int
    body: bytes


class IdempotencyStore(Protocol):
    """Remembers answers by (user, route, key) for 24 hours."""

    async def begin(self, scope: str, body_hash: str) -> StoredAnswer | None:
        """Claim the key, or return the stored answer.

        Raises ``KeyReused`` for another body and ``RequestInProgress`` while the first still runs.
        """
        ...

    async def finish(self, scope: str, answer: StoredAnswer) -> None:
        """Store the answer for later repeats."""
        ...

    async def abandon(self, scope: str) -> None:
        """Give the key free again, after a failure that may be retried."""
        ...


class RateLimiter(Protocol):
    """Counts uses of doors."""

    async def hit(self, door: str, who: str) -> None:
        """Count one use. Raises ``RateLimited`` when ``who`` has used the door too often."""
        ...

    async def check(self, door: str, who: str) -> None:
        """Raise ``RateLimited`` if one use more would be too many, and count nothing."""
        ...

    async def close(self) -> None:
        """Release what it holds; called once, at the end."""
        ...
