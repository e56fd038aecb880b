"""What the samagri of a puja costs, before anybody has booked."""

from __future__ import annotations

from dataclasses import dataclass

from server.domain.booking import SamagriLine
from server.domain.catalogue import Puja


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the samagri of a puja costs today; sums in paisa.

    ``lines`` are those that a booking would begin with, at the prices that it would freeze;
    ``others`` are optional items that the puja names and that nobody adds by himself.
    """

    puja: Puja
    lines: tuple[SamagriLine, ...]
    others: tuple[SamagriLine, ...]

    @property
    def low(self) -> int:
        """What cannot be left out."""
        return sum(line.price_at_booking for line in self.lines if not line.can_remove)

    @property
    def usual(self) -> int:
        """What a booking begins with: the sum of ``lines``."""
        return sum(line.price_at_booking for line in self.lines)

    @property
    def full(self) -> int:
        """With all optional items."""
        return self.usual + sum(line.price_at_booking for line in self.others)
