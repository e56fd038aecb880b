"""A chart read for conditions: who is where from whom, who rules what, who is kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kundali.chart import Chart, Placement
from kundali.dignity import STRONG, UNFRIENDLY, Dignity, aspects
from kundali.ephemeris import Graha
from kundali.zodiac import SIGN_LORDS

PLANETS: Final = (Graha.MARS, Graha.MERCURY, Graha.JUPITER, Graha.VENUS, Graha.SATURN)
"""The five that are neither luminaries nor nodes."""
MALEFICS: Final = frozenset({Graha.SUN, Graha.MARS, Graha.SATURN, Graha.RAHU, Graha.KETU})
"""Harsh by nature; the waning Moon and a Mercury among them join them."""


class Conditions:
    """Questions to a chart whose time of birth is known, by whole signs.

    Parameters
    ----------
    chart
        The chart; without a lagna only what counts from a graha may be asked.
    """

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.signs = chart.signs
        self.lagna = None if chart.lagna is None else chart.lagna.at.sign
        sun, moon = chart[Graha.SUN].at.longitude, chart[Graha.MOON].at.longitude
        self.is_moon_waxing = (moon - sun) % 360.0 < 180.0
        self.benefics = self._benefics()

    def _benefics(self) -> frozenset[Graha]:
        kind = {Graha.JUPITER, Graha.VENUS}
        harsh = set(MALEFICS)
        (kind if self.is_moon_waxing else harsh).add(Graha.MOON)
        if not any(self.signs[graha] == self.signs[Graha.MERCURY] for graha in harsh):
            kind.add(Graha.MERCURY)
        return frozenset(kind)

    def at(self, graha: Graha) -> Placement:
        """Return the placement of a graha."""
        return self.chart.placements[graha]

    def house(self, graha: Graha, origin: Graha | None = None) -> int:
        """House of a graha, 1 to 12, from the lagna or from another graha.

        Raises
        ------
        ValueError
            From the lagna of a chart that has none.
        """
        first = self.lagna if origin is None else self.signs[origin]
        if first is None:
            raise ValueError("without a birth time no house counts from the lagna")
        return (self.signs[graha] - first) % 12 + 1

    def origins(self) -> tuple[Graha | None, ...]:
        """Return what houses may be counted from: the lagna, if there is one, and the Moon."""
        return (Graha.MOON,) if self.lagna is None else (None, Graha.MOON)

    def in_house(
        self, house: int, origin: Graha | None, among: Iterable[Graha] = Graha
    ) -> tuple[Graha, ...]:
        """Return the grahas in a house, in their order."""
        return tuple(graha for graha in among if self.house(graha, origin) == house)

    def lord(self, house: int) -> Graha:
        """Return the ruler of a house from the lagna.

        Raises
        ------
        ValueError
            If the chart has no lagna.
        """
        if self.lagna is None:
            raise ValueError("without a birth time no house has a lord")
        return SIGN_LORDS[(self.lagna + house - 1) % 12]

    def is_strong(self, graha: Graha) -> bool:
        """Whether a graha is exalted, in its moolatrikona or in its own sign."""
        return self.at(graha).dignity in STRONG

    def is_unfriendly(self, graha: Graha) -> bool:
        """Whether a graha stands in an enemy's sign."""
        return self.at(graha).dignity in UNFRIENDLY

    def is_debilitated(self, graha: Graha) -> bool:
        """Whether a graha stands in the sign of its fall."""
        return self.at(graha).dignity is Dignity.DEBILITATED

    def share_sign(self, one: Graha, other: Graha) -> bool:
        """Whether two grahas stand in one sign."""
        return self.signs[one] == self.signs[other]

    def face(self, one: Graha, other: Graha) -> bool:
        """Whether two grahas stand in each other's seventh sign."""
        return (self.signs[one] - self.signs[other]) % 12 == 6

    def exchange(self, one: Graha, other: Graha) -> bool:
        """Whether two grahas stand in signs that the other rules."""
        return (
            SIGN_LORDS[self.signs[one]] is other
            and SIGN_LORDS[self.signs[other]] is one
            and one is not other
        )

    def looks_at(self, graha: Graha, other: Graha) -> bool:
        """Whether a graha looks fully at another."""
        return aspects(graha, self.signs[graha], self.signs[other])
