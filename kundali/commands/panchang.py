"""``python -m kundali panchang``: the almanac of a day, or of a Bikram Sambat month."""

from __future__ import annotations

import argparse
from datetime import date, datetime
from typing import Final

from kundali import bikram_sambat
from kundali.commands.answer import Answer, Refused, a_day, add_place, place_of, zone_of
from kundali.names import Name, digits
from kundali.panchang import Limb, Panchang, Period, panchang_of_bs_month, panchangs
from kundali.plain import plain
from kundali.sky import DRIK, SURYA, Siddhanta, Sky
from kundali.solar_day import NEPAL

NAME: Final = "panchang"
HELP: Final = "the almanac of a day or month: tithi, nakshatra, yoga, karana, sunrise, good hours"

_LABELS: Final = {
    "tithi": Name("Tithi", "तिथि"),
    "nakshatra": Name("Nakshatra", "नक्षत्र"),
    "yoga": Name("Yoga", "योग"),
    "karana": Name("Karana", "करण"),
    "sunrise": Name("Sunrise", "सूर्योदय"),
    "sunset": Name("Sunset", "सूर्यास्त"),
    "moonrise": Name("Moonrise", "चन्द्रोदय"),
    "rahu_kaal": Name("Rahu Kaal", "राहुकाल"),
    "yamaganda": Name("Yamaganda", "यमगण्ड"),
    "gulika": Name("Gulika", "गुलिक"),
    "abhijit": Name("Abhijit", "अभिजित्"),
    "sankranti": Name("Sun enters", "सङ्क्रान्ति"),
    "masa": Name("Month", "मास"),
    "adhika": Name("adhika", "अधिक"),
    "kshaya": Name("lost", "क्षय"),
    "until": Name("until", "सम्म"),
    "provisional": Name("provisional", "अस्थायी"),
    "siddhanta": Name("Sky", "सिद्धान्त"),
    "risings": Name("sunrise by", "सूर्योदय"),
    "amanta": Name("amanta", "अमान्त"),
    "shaka": Name("Shaka", "शाके"),
    "nepal_sambat": Name("Nepal Sambat", "नेपाल संवत्"),
}


SKIES: Final = {
    Siddhanta.SURYA: Name("surya", "सूर्यसिद्धान्त"),
    Siddhanta.DRIK: Name("drik", "दृक्"),
}


def add_sky(parser: argparse.ArgumentParser) -> None:
    """Add ``--siddhanta``."""
    parser.add_argument(
        "--siddhanta",
        choices=[each.value for each in Siddhanta],
        default=Siddhanta.SURYA.value,
        help="the sky of Nepal's printed calendar, or the modern one (default: surya)",
    )


def sky_of(arguments: argparse.Namespace) -> Sky:
    """Return the sky of the argument that `add_sky` added."""
    return SURYA if arguments.siddhanta == SURYA.siddhanta else DRIK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a day or a month, a place and a sky."""
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--date",
        type=a_day,
        metavar="YYYY-MM-DD[BS]",
        help="Gregorian, or Bikram Sambat with BS at the end (default: today in Nepal)",
    )
    when.add_argument("--month", metavar="YYYY-MM", help="a whole Bikram Sambat month")
    add_place(parser)
    add_sky(parser)


def run(arguments: argparse.Namespace) -> Answer:
    """Compute the almanac."""
    place, zone, sky = place_of(arguments), zone_of(arguments), sky_of(arguments)
    if arguments.month is not None:
        year, month = _bs_month(arguments.month)
        days = panchang_of_bs_month(year, month, place, zone, sky)
    else:
        day = arguments.date or datetime.now(NEPAL).date()
        days = panchangs(day, day, place, zone, sky)
    return Answer("\n\n".join(_text(each, arguments.language) for each in days), plain(days))


def _bs_month(text: str) -> tuple[int, int]:
    try:
        first = bikram_sambat.parse(f"{text}-1")
    except bikram_sambat.OutsideCalendar as refusal:
        raise Refused(str(refusal)) from refusal
    except ValueError:
        raise Refused(f"no Bikram Sambat month: {text!r}; write it as 2082-06") from None
    return first.year, first.month


def both_dates(day: date, bs: bikram_sambat.BSDate | None, language: str) -> str:
    """Write a day in both calendars, the Bikram Sambat one first."""
    ad = day.isoformat()
    if bs is None:
        return digits(ad, language)
    month = Name(*bikram_sambat.MONTHS[bs.month - 1]).in_language(language)
    return digits(f"{bs.year} {month} {bs.day} ({ad})", language)


def _text(day: Panchang, language: str) -> str:
    def label(key: str) -> str:
        return _LABELS[key].in_language(language)

    masa = day.masa
    month = masa.purnimanta_name.in_language(language)
    if masa.is_adhika:
        month = f"{label('adhika')} {month}"
    if masa.lost_name:
        month += f" ({label('kshaya')}: {masa.lost_name.in_language(language)})"
    rows = [
        f"{label('masa')}: {month} {day.paksha_name.in_language(language)}"
        f" ({label('amanta')} {masa.amanta_name.in_language(language)}),"
        f" {label('shaka')} {digits(day.shaka_year, language)},"
        f" {label('nepal_sambat')} {digits(day.nepal_sambat, language)}",
        f"{label('sunrise')} {_clock(day.sunrise, day, language)}"
        f"  {label('sunset')} {_clock(day.sunset, day, language)}"
        f"  {label('moonrise')} {_clock(day.moonrise, day, language)}",
    ]
    if day.sankranti:
        entry = _clock(day.sankranti.start, day, language)
        rows.append(f"{label('sankranti')}: {day.sankranti.name.in_language(language)} {entry}")
    kinds = {
        "tithi": day.tithis,
        "nakshatra": day.nakshatras,
        "yoga": day.yogas,
        "karana": day.karanas,
    }
    rows += [f"{label(key)}: {_limbs(limbs, day, language)}" for key, limbs in kinds.items()]
    hours = ("rahu_kaal", "yamaganda", "gulika", "abhijit")
    rows.append(
        "  ".join(f"{label(key)} {_period(getattr(day, key), day, language)}" for key in hours)
    )
    rows.append(
        f"{label('siddhanta')}: {SKIES[day.siddhanta].in_language(language)},"
        f" {label('risings')}: {SKIES[day.risings].in_language(language)}"
    )
    heading = f"{both_dates(day.day, day.bs, language)}, {day.vara_name.in_language(language)}"
    if day.is_provisional:
        heading += f" [{label('provisional')}]"
    return "\n".join([heading, *(f"  {row}" for row in rows)])


def _limbs(limbs: tuple[Limb, ...], day: Panchang, language: str) -> str:
    until = _LABELS["until"].in_language(language)
    told = []
    for limb in limbs:
        name, end = limb.name.in_language(language), _clock(limb.end, day, language)
        told.append(f"{name} {end} {until}" if language == "ne" else f"{name} {until} {end}")
    return ", ".join(told)


def _period(period: Period, day: Panchang, language: str) -> str:
    return f"{_clock(period.start, day, language)}-{_clock(period.end, day, language)}"


def _clock(instant: datetime | None, day: Panchang, language: str) -> str:
    """Hours and minutes, with ``+1`` for the civil day after and ``-1`` for the one before."""
    if instant is None:
        return "-"
    away = (instant.date() - day.day).days
    return digits(f"{instant:%H:%M}" + (f"{away:+d}" if away else ""), language)
