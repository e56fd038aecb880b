"""The month of a day, as seasons of samagri are told."""

from __future__ import annotations

from datetime import date

from kundali.bikram_sambat import OutsideCalendar, to_bs


def month_bs(day: date) -> int:
    """Return the month of Bikram Sambat, 1 to 12; 0 outside the calendar's table."""
    try:
        return to_bs(day).month
    except OutsideCalendar:
        return 0
