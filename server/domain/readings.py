"""What is read from birth charts and from the calendar, as the use cases give it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, NamedTuple

from kundali.bikram_sambat import BSDate
from kundali.chart import Almanac, Chart
from kundali.dasha import Dasha
from kundali.dosha import Doshas
from kundali.ephemeris import Place
from kundali.festivals import Festival
from kundali.matching import CoupleMatch
from kundali.muhurta import Judgement, Muhurta, Rite
from kundali.phrases import Phrase
from kundali.reading import Prediction
from kundali.transits import SaturnStay
from kundali.yogas import Yoga
from server.domain.catalogue import Puja
from server.domain.chart import BirthDetails, SavedChart

_TELL_OF_BIRTH: Final = frozenset({"notice.two_readings", "notice.no_sunrise"})
"""Notices that name the clock of a birth, or say where on Earth it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartReading:
    """A chart with all that is read from it on one day.

    ``saturn`` are the stays of Saturn that count from the birth Moon, ten years back and thirty
    ahead; none where the Moon's sign is not certain.
    """

    details: BirthDetails
    chart: Chart
    almanac: Almanac
    dasha: Dasha | None
    yogas: tuple[Yoga, ...]
    doshas: Doshas
    predictions: tuple[Prediction, ...]
    notices: tuple[Phrase, ...]
    saturn: tuple[SaturnStay, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownChart:
    """A kept chart and its reading.

    Unless ``tells_birth``, whoever shows it leaves out when on its day and where the birth was,
    and what says as much: the zone, the sunrise, the midheaven.
    """

    saved: SavedChart
    reading: ChartReading
    tells_birth: bool = True

    def without_birth(self) -> ShownChart:
        """The same for others, who need not know time and place."""
        given = self.saved.birth
        birth = BirthDetails(
            date_of_birth=given.date_of_birth,
            is_time_known=given.is_time_known,
            about_minutes=given.about_minutes,
        )
        notices = tuple(each for each in self.reading.notices if each.code not in _TELL_OF_BIRTH)
        return ShownChart(
            saved=replace(self.saved, birth=birth),
            reading=replace(self.reading, details=birth, notices=notices),
            tells_birth=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLink:
    """A link that was just made; the token is told once."""

    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchSide:
    """One of the two who are matched: a chart of one's own, or a birth."""

    chart_id: str | None = None
    name: str = ""
    birth: BirthDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchReading:
    """What matching two charts found; both are cast by the same choices."""

    groom: Chart
    bride: Chart
    groom_name: str
    bride_name: str
    couple: CoupleMatch
    directed: bool


class Where(NamedTuple):
    """A place as almanacs are computed for it: rounded, with its zone."""

    latitude: float
    longitude: float
    zone: str

    @property
    def place(self) -> Place:
        """The place, without an altitude, as printed almanacs take it."""
        return Place(self.latitude, self.longitude)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The days that suit a puja, the best first."""

    puja: Puja
    rite: Rite
    first: date
    last: date
    muhurtas: tuple[Muhurta, ...]
    best_barred: tuple[Judgement, ...]
    """When no day suits: the first days with what bars them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarDay:
    """A day as a calendar shows it.

    ``judgement`` is there if a puja was asked for that has rules; it may find the day barred.
    """

    day: date
    bs: BSDate | None
    festivals: tuple[Festival, ...]
    judgement: Judgement | None
