"""The days of festivals on which families hold pujas, from the computed calendar."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import date

from kundali.festivals import FIRST_YEAR, LAST_YEAR, Festival, festival_names, festivals_of_year
from server.domain.ports.world import Workers
from server.domain.recommendation import FestivalDay, FestivalPuja


class FestivalDays:
    """See ``ports.FestivalCalendar``.

    A year is computed once, by the workers, and kept; there are no more than 151 of them.

    Parameters
    ----------
    pujas
        Which puja is held on which festival; a festival may stand in several.
    workers
        Compute a year: some tens of milliseconds.

    Raises
    ------
    ValueError
        If the calendar knows no festival of that key.
    """

    def __init__(self, pujas: Collection[FestivalPuja], workers: Workers) -> None:
        if unknown := {each.festival for each in pujas} - festival_names().keys():
            raise ValueError(f"no such festivals: {', '.join(sorted(unknown))}")
        self._workers = workers
        self._pujas: dict[str, list[str]] = {}
        for each in pujas:
            self._pujas.setdefault(each.festival, []).append(each.puja_id)
        self._years: dict[int, Sequence[FestivalDay]] = {}
        self._computing = asyncio.Lock()

    @property
    def pujas(self) -> frozenset[str]:
        """The pujas that follow a festival: their rhythm is that of its day."""
        return frozenset(puja for held in self._pujas.values() for puja in held)

    async def between(self, first: date, last: date) -> Sequence[FestivalDay]:
        """Return those from the one day to the other, both included, in order.

        Years that the calendar does not reach, before 1950 and after 2100, have none.
        """
        years = range(max(first.year, FIRST_YEAR), min(last.year, LAST_YEAR) + 1)
        found = [each for year in years for each in await self._year(year)]
        return [each for each in found if first <= each.day <= last]

    async def _year(self, year: int) -> Sequence[FestivalDay]:
        if year not in self._years:
            # Those who ask for the same year wait for one computation.
            async with self._computing:
                if year not in self._years:
                    festivals = await self._workers.run(lambda: festivals_of_year(year))
                    self._years[year] = self._held(festivals)
        return self._years[year]

    def _held(self, festivals: Sequence[Festival]) -> Sequence[FestivalDay]:
        days = [
            FestivalDay(
                puja_id=puja_id,
                day=festival.day,
                name=festival.name.en,
                name_ne=festival.name.ne,
            )
            for festival in festivals
            for puja_id in self._pujas.get(festival.key, ())
        ]
        return sorted(days, key=lambda each: (each.day, each.puja_id, each.name))
