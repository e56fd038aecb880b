"""A chart put in words: predictions, each with what it was read from, and notices.

Every prediction names its causes. Nothing speaks of death, illness or sums of money, and a remedy
is offered, not pushed. What cannot be read without a birth time is said to be left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from kundali import surya
from kundali.chart import Chart, almanac, lagna_stays, point
from kundali.conditions import Conditions
from kundali.dasha import dasha
from kundali.dignity import Dignity
from kundali.dosha import doshas
from kundali.ephemeris import FIRST_DAY, LAST_DAY, Graha, position
from kundali.names import TITHIS, VARAS
from kundali.phrases import (
    Phrase,
    Value,
    in_house,
    in_sign,
    nakshatra_name,
    ordinal,
    sign_name,
    title,
)
from kundali.transits import SaturnStay, sade_sati
from kundali.yogas import Standing, yogas
from kundali.zodiac import NAKSHATRA_TABLE


class Section(Enum):
    """What a prediction is about, in the order of reading."""

    SELF = "self"
    MIND = "mind"
    STAR = "star"
    HOME = "home"
    LEARNING = "learning"
    MARRIAGE = "marriage"
    FORTUNE = "fortune"
    WORK = "work"
    GAINS = "gains"
    YOGAS = "yogas"
    DOSHAS = "doshas"
    TIME = "time"


class Prediction(NamedTuple):
    """One sentence of a reading and what it was read from."""

    section: Section
    text: Phrase
    causes: tuple[Phrase, ...]


_HOUSES: Final = {
    Section.HOME: 4,
    Section.LEARNING: 5,
    Section.MARRIAGE: 7,
    Section.FORTUNE: 9,
    Section.WORK: 10,
    Section.GAINS: 11,
}
_FIRM: Final = frozenset({Dignity.EXALTED, Dignity.MOOLATRIKONA, Dignity.OWN})
_LOOSE: Final = frozenset({Dignity.DEBILITATED, Dignity.GREAT_ENEMY, Dignity.ENEMY})


def predictions(chart: Chart, moment: float | None = None) -> tuple[Prediction, ...]:
    """Read a chart.

    Parameters
    ----------
    chart
        The chart.
    moment
        Julian day that the running dasha and Saturn's transit are read for; without it the
        section of time is left out.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover ``moment``.
    """
    sky = Conditions(chart)
    found = [*_by_moon(chart)]
    if chart.lagna is not None:
        found = [*_self(chart, sky), *found]
        for section, house in _HOUSES.items():
            found += _house(sky, section, house)
    found += _yogas_and_doshas(chart)
    if moment is not None:
        found += _time(chart, moment)
    return tuple(found)


def _phrase(code: str, **values: Value) -> Phrase:
    return Phrase(code, values)


def _self(chart: Chart, sky: Conditions) -> Iterator[Prediction]:
    sign = chart.signs[0] if sky.lagna is None else sky.lagna
    cause = _phrase("lagna_sign", sign=sign_name(sign))
    yield Prediction(Section.SELF, Phrase(f"reading.lagna.{sign}"), (cause,))
    lord = sky.lord(1)
    house = sky.house(lord)
    text = _phrase("reading.lagna_lord", graha=lord, theme=title(f"theme.{house}"))
    causes = (_phrase("lord_of", graha=lord, house=ordinal(1)), in_house(lord, house))
    yield Prediction(Section.SELF, text, causes)


def _by_moon(chart: Chart) -> Iterator[Prediction]:
    stays = chart.moon_stays
    if chart.is_rashi_certain:
        sign = stays[0].sign
        cause = _phrase("moon_sign", sign=sign_name(sign))
        yield Prediction(Section.MIND, Phrase(f"reading.moon.{sign}"), (cause,))
    if not chart.is_nakshatra_certain:
        return
    nakshatra = stays[0].nakshatra
    mansion = NAKSHATRA_TABLE[nakshatra]
    text = _phrase(
        "reading.star",
        nakshatra=mansion.name,
        trait=title(f"reading.nakshatra.{nakshatra}"),
        lord=mansion.lord,
        deity=mansion.deity,
    )
    cause = _phrase("moon_nakshatra", nakshatra=mansion.name)
    yield Prediction(Section.STAR, text, (cause,))
    if chart.is_pada_certain:
        pada = stays[0].pada
        cause = _phrase("moon_pada", nakshatra=mansion.name, pada=pada + 1)
        syllable = _phrase("reading.syllable", syllable=mansion.syllables[pada])
        yield Prediction(Section.STAR, syllable, (cause,))


def _house(sky: Conditions, section: Section, house: int) -> Iterator[Prediction]:
    lord = sky.lord(house)
    at, stands = sky.at(lord), sky.house(lord)
    theme = title(f"section.{section.value}")
    causes = [
        _phrase("lord_of", graha=lord, house=ordinal(house)),
        in_house(lord, stands),
        in_sign(lord, at.sign, at.dignity),
    ]
    if at.dignity in _FIRM:
        text = _phrase("reading.house_strong", theme=theme, graha=lord)
    else:
        code = "care" if at.dignity in _LOOSE or at.is_combust else "fair"
        through = title(f"theme.{stands}")
        text = _phrase(f"reading.house_{code}", theme=theme, graha=lord, through=through)
        if at.is_combust:
            causes.append(_phrase("combust", graha=lord, degrees=at.sun_distance))
    yield Prediction(section, text, tuple(causes))
    here = sky.in_house(house, None)
    for code, grahas in (
        ("helped", tuple(graha for graha in here if graha in sky.benefics)),
        ("tested", tuple(graha for graha in here if graha not in sky.benefics)),
    ):
        if grahas:
            text = _phrase(f"reading.house_{code}", grahas=grahas)
            yield Prediction(section, text, tuple(in_house(graha, house) for graha in grahas))


def _yogas_and_doshas(chart: Chart) -> Iterator[Prediction]:
    for yoga in yogas(chart):
        if yoga.standing is not Standing.CANCELLED:
            yield Prediction(Section.YOGAS, yoga.meaning, (*yoga.causes, *yoga.against))
    for dosha in doshas(chart).found:
        yield Prediction(Section.DOSHAS, dosha.meaning, (*dosha.causes, *dosha.softened_by))


def _time(chart: Chart, moment: float) -> Iterator[Prediction]:
    periods = dasha(chart)
    running = None if periods is None else periods.at(moment, 2)
    if periods is not None and running is not None:
        maha, antar = running.lords
        whole = periods.at(moment, 1)
        if whole is not None:
            cause = _phrase("dasha_runs", maha=maha, **_dates(chart, whole.start, whole.end))
            yield Prediction(Section.TIME, _ruled("maha", maha), (cause,))
        cause = _phrase("antar_runs", antar=antar, **_dates(chart, running.start, running.end))
        yield Prediction(Section.TIME, _ruled("antar", antar), (cause,))
    saturn = saturn_now(chart, moment)
    if saturn is not None:
        house = (saturn.sign - chart.moon_stays[0].sign) % 12 + 1
        cause = _phrase(
            "saturn_transits",
            sign=sign_name(saturn.sign),
            house=ordinal(house),
            end=chart.birth.to_local(saturn.end).date(),
        )
        text = Phrase(f"saturn.{saturn.phase.value}.meaning")
        yield Prediction(Section.TIME, text, (cause,))


def _ruled(level: str, graha: Graha) -> Phrase:
    meaning = title(f"reading.dasha.{graha.name.lower()}")
    return _phrase(f"reading.{level}", graha=graha, meaning=meaning)


def _dates(chart: Chart, start: float, end: float) -> dict[str, Value]:
    to_local = chart.birth.to_local
    return {"start": to_local(start).date(), "end": to_local(end).date()}


_LONGEST_STAY_DAYS: Final = 1200.0
"""Saturn leaves a sign within three years and a retrograde loop."""


def saturn_now(chart: Chart, moment: float) -> SaturnStay | None:
    """Return Saturn's stay around an instant, if it counts from the birth Moon.

    Raises
    ------
    OutsideEphemeris
        If the ephemeris does not cover the instant.
    """
    if not chart.is_rashi_certain:
        return None
    moon = chart.moon_stays[0].sign
    ayanamsa = chart.options.ayanamsa
    here = point(position(moment, Graha.SATURN, ayanamsa).longitude).sign
    if (here - moon) % 12 + 1 not in {12, 1, 2, 4, 8}:
        return None
    start, end = max(FIRST_DAY, moment - _LONGEST_STAY_DAYS), moment + _LONGEST_STAY_DAYS
    stays = sade_sati(moon, start, min(LAST_DAY, end), ayanamsa)
    return next((stay for stay in stays if stay.start <= moment < stay.end), None)


def notices(chart: Chart) -> tuple[Phrase, ...]:
    """Return what a reader should know about this chart before he compares it with another."""
    return tuple(_notices(chart))


def _notices(chart: Chart) -> Iterator[Phrase]:
    birth = chart.birth
    if birth.is_ambiguous:
        which = title("word.second_reading" if birth.reading else "word.first_reading")
        clock = birth.local.strftime("%H:%M")
        yield _phrase("notice.two_readings", clock=clock, which=which)
    if chart.is_time_known:
        yield from _weekday(chart)
        yield from _about(chart)
        yield from _other_sky(chart)
        yield Phrase("notice.fine_vargas")
        return
    yield Phrase("reading.unknown_time")
    if not chart.is_rashi_certain:
        signs = tuple(dict.fromkeys(sign_name(stay.sign) for stay in chart.moon_stays))
        yield _phrase("reading.unknown_moon", signs=signs)
    if not chart.is_nakshatra_certain:
        mansions = tuple(dict.fromkeys(nakshatra_name(at.nakshatra) for at in chart.moon_stays))
        yield _phrase("reading.unknown_star", nakshatras=mansions)


def _about(chart: Chart) -> Iterator[Phrase]:
    stays = lagna_stays(chart)
    if len(stays) > 1:
        navamsas = [(stay.nakshatra * 4 + stay.pada) % 12 for stay in stays]
        yield _phrase(
            "notice.about",
            minutes=chart.birth.about_minutes,
            signs=tuple(dict.fromkeys(sign_name(stay.sign) for stay in stays)),
            navamsas=tuple(dict.fromkeys(sign_name(sign) for sign in navamsas)),
        )


def _weekday(chart: Chart) -> Iterator[Phrase]:
    day = almanac(chart)
    if day.vara is None:
        yield Phrase("notice.no_sunrise")
    elif day.vara != day.civil_weekday:
        weekday = VARAS[day.civil_weekday]
        yield _phrase("notice.sunrise", vara=VARAS[day.vara], weekday=weekday)


def _other_sky(chart: Chart) -> Iterator[Phrase]:
    """Yield where a paper china, made by the Surya Siddhanta, may show something else."""
    moment = chart.birth.julian_day
    sun, moon = surya.sun_longitude(moment), surya.moon_longitude(moment)
    nakshatra = point(moon).nakshatra
    if nakshatra != chart.moon.at.nakshatra:
        yield _phrase(
            "notice.surya_nakshatra",
            surya=nakshatra_name(nakshatra),
            drik=nakshatra_name(chart.moon.at.nakshatra),
        )
    tithi, drik = int((moon - sun) % 360.0 // 12), almanac(chart).tithi
    if tithi != drik:
        yield _phrase("notice.surya_tithi", surya=TITHIS[tithi], drik=TITHIS[drik])
