"""Lunar months: their names, the one that is put in and the one that is lost.

A month runs from new moon to new moon (amanta) and is named after the sign that the Sun stands in
when it begins: Meena makes Chaitra, Mesha makes Vaishakha, and so on. A month in which the Sun
enters no sign is put in (adhika, in Nepal also *mala* or *purushottama*): it bears the name of the
next one and holds no festivals. A month in which he enters two is short of a name (kshaya): what
belongs to the lost month is held in it.

Nepal writes the months from full moon to full moon (purnimanta): the dark half bears the name of
the month to come. The bright half is the same in both, so no day changes, only its name.

Rule: Surya Siddhanta XIV and the common practice of the almanacs; see e.g. Sewell and Dikshit, *The
Indian Calendar* (1896), articles 41 to 51.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kundali.sky import Anga, Sky, number_at, spans

MONTHS: Final = 12
SHUKLA_TITHIS: Final = 15
"""Tithis up to this one are the bright half."""


@dataclass(frozen=True, slots=True)
class LunarMonth:
    """One lunation of a sky, ``start <= instant < end`` in Julian Days (UT).

    Parameters
    ----------
    number
        1 Chaitra to 12 Phalguna, counted from new moon to new moon.
    is_adhika
        Whether it is put in, before the month whose name it bears.
    lost
        Number of the month that is lost in this one, in a kshaya month.
    """

    number: int
    start: float
    end: float
    is_adhika: bool = False
    lost: int | None = None

    @property
    def is_kshaya(self) -> bool:
        """Whether a month is lost in this one."""
        return self.lost is not None

    def holds(self, number: int) -> bool:
        """Whether the rites of a month of this number are held in this one."""
        return not self.is_adhika and number in (self.number, self.lost)

    def purnimanta(self, tithi: int) -> int:
        """Number of the month, counted from full moon to full moon, on a tithi from 1 to 30."""
        if tithi <= SHUKLA_TITHIS or self.is_adhika:
            return self.number
        return (self.lost or self.number) % MONTHS + 1


def lunar_months(sky: Sky, start: float, end: float) -> tuple[LunarMonth, ...]:
    """Return every lunar month that has time in ``start <= instant < end``, in order.

    Raises
    ------
    OutsideEphemeris
        In the modern sky, if its ephemeris does not cover the time.
    """
    lunations = spans(sky, Anga.LUNATION, start, end)
    instants = [*(each.start for each in lunations), lunations[-1].end]
    signs = [number_at(sky, Anga.SUN_SIGN, each) for each in instants]
    return tuple(
        _month(lunation.start, lunation.end, sign, after)
        for lunation, sign, after in zip(lunations, signs, signs[1:], strict=False)
    )


def lunar_month_at(sky: Sky, julian_day_ut: float) -> LunarMonth:
    """Return the lunar month that an instant lies in.

    Raises
    ------
    OutsideEphemeris
        In the modern sky, if its ephemeris does not cover the time.
    """
    return lunar_months(sky, julian_day_ut, julian_day_ut + 1e-9)[0]


def _month(start: float, end: float, sign: int, after: int) -> LunarMonth:
    # Sign 1 is Mesha and makes Vaishakha, which is 2; sign 12, Meena, makes Chaitra.
    number = sign % MONTHS + 1
    entered = (after - sign) % MONTHS
    return LunarMonth(
        number=number,
        start=start,
        end=end,
        is_adhika=entered == 0,
        lost=number % MONTHS + 1 if entered > 1 else None,
    )
