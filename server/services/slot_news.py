"""Tells whoever looks at a pandit's days that time of his was taken, or is free again.

A hint and no more: it says which quarter hours have changed, not whose they are, and whoever hears
it reads the free times again. What is lost with a process is made up for by looking again.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from server.domain.ports.processes import Bus


class SlotsChanged(msgspec.Struct, frozen=True):
    """Quarter hours in [first, last) have changed; both 0: anything may have."""

    first: int = 0
    last: int = 0

    def touches(self, first: int, last: int) -> bool:
        """Whether any of them lies in [first, last)."""
        return not self.last or (self.first < last and first < self.last)


def slots_topic(pandit_id: str) -> str:
    """The topic on which changes of a pandit's time are published."""
    return f"slots:{pandit_id}"


class SlotNews:
    """Publishes what has changed; called after the write that changed it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def moved(
        self,
        old_pandit_id: str,
        old_claims: Iterable[int],
        new_pandit_id: str,
        new_claims: Iterable[int],
    ) -> None:
        """Some time may have been given back, and some taken."""
        old, new = frozenset(old_claims), frozenset(new_claims)
        if old_pandit_id == new_pandit_id:
            self.touched(new_pandit_id, old ^ new)
        else:
            self.touched(old_pandit_id, old)
            self.touched(new_pandit_id, new)

    def touched(self, pandit_id: str, claims: Iterable[int]) -> None:
        """These quarter hours have been taken or are free again."""
        # Numbers below nought stand for other things than time.
        touched = [claim for claim in claims if claim >= 0]
        if touched:
            self._publish(pandit_id, SlotsChanged(min(touched), max(touched) + 1))

    def changed(self, pandit_id: str) -> None:
        """The pandit's hours, services or profile have changed: any of his days may have."""
        self._publish(pandit_id, SlotsChanged())

    def _publish(self, pandit_id: str, news: SlotsChanged) -> None:
        self._bus.publish(slots_topic(pandit_id), msgspec.json.encode(news))
