"""Birth charts that people keep: what they filled in, not what follows from it.

A chart is computed from its inputs whenever it is shown, so that a better engine improves the
charts of yesterday too; ``engine`` says which one its owner saw when he saved it.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Final

MAX_CHARTS: Final = 200
"""Charts that one person may keep; a family of four generations has fewer."""
MOST_SHARE_DAYS: Final = 90
DEFAULT_SHARE_DAYS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class BirthDetails:
    """A birth as it was filled in; anything may be missing.

    ``time_of_birth`` is the clock of the place, ``second_reading`` takes the later of two instants
    where that clock was set back, and ``about_minutes`` says how far off the time may be. A place
    is given by its name, by coordinates, or by both.
    """

    date_of_birth: date | None = None
    time_of_birth: time | None = None
    is_time_known: bool = True
    about_minutes: int = 0
    second_reading: bool = False
    place_of_birth: str = ""
    latitude: float | None = None
    longitude: float | None = None
    timezone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartChoices:
    """What the reader chose, by the wire names of ``kundali.options``."""

    ayanamsa: str = "lahiri"
    node: str = "mean"
    year: str = "julian"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartSummary:
    """What a list shows of a chart; numbers count from 1, None where that is not certain."""

    lagna: int | None
    rashi: int | None
    nakshatra: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedChart:
    """A chart of somebody's family.

    ``share_hash`` is the hash of the token of the link by which others see it until
    ``share_expires_at``; there is one link at a time, and the token itself is not kept. Only
    ``share_with_birth`` lets the link also tell when on its day and where the birth was.
    """

    id: str
    user_id: str
    name: str
    birth: BirthDetails
    choices: ChartChoices = field(default_factory=ChartChoices)
    summary: ChartSummary
    engine: str
    siddhanta: str
    created_at: datetime
    share_hash: str = ""
    share_expires_at: datetime | None = None
    share_with_birth: bool = False

    def is_shared(self, now: datetime) -> bool:
        """Whether its link still works."""
        return self.share_expires_at is not None and now < self.share_expires_at

    def opens_with(self, token: str, now: datetime) -> bool:
        """Whether a link's token shows it."""
        return self.is_shared(now) and hmac.compare_digest(self.share_hash, share_hash(token))


def share_hash(token: str) -> str:
    """What is kept of a link's token."""
    return hashlib.sha256(f"pandityatra chart|{token}".encode()).hexdigest()
