"""Almanac, festivals, muhurtas and calendar days on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from kundali.bikram_sambat import MONTHS, BSDate
from kundali.festivals import Festival
from kundali.muhurta import Judgement, Muhurta, Note, Reason
from kundali.panchang import Choghadiya, Limb, Panchang, Period
from kundali.sky import Siddhanta
from server.domain.readings import CalendarDay, Ranking
from server.schemas.base import Id, Request

Day: TypeAlias = date
"""Some fields are named ``date``."""
Zone = Annotated[str, Meta(min_length=1, max_length=64)]


class WhereQuery(Request, frozen=True, kw_only=True):
    """Where; Kathmandu without coordinates. The zone follows from them if it is not given."""

    lat: float | None = None
    lng: float | None = None
    timezone: Zone | None = None


class PanchangQuery(WhereQuery, frozen=True, kw_only=True):
    """Which day (today in Nepal), where, and by which sky: Nepal's printed one, or the modern."""

    date: Day | None = None
    siddhanta: Literal["surya", "drik"] = "surya"

    def sky(self) -> Siddhanta:
        """The domain's form."""
        return Siddhanta(self.siddhanta)


class FestivalsQuery(Request, frozen=True, kw_only=True):
    """A year of one calendar; this one of the AD calendar without."""

    year: int | None = None
    bs_year: int | None = None


class MuhurtaQuery(WhereQuery, frozen=True, kw_only=True, rename={"from_": "from"}):
    """For which puja, when, where, and for whom: one's own charts whose Moons are to suit."""

    puja_id: Id
    from_: Day | None = None
    to: Day | None = None
    kundali_id: Id | None = None
    second_kundali_id: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 10

    def charts(self) -> tuple[str, ...]:
        """The charts that were named."""
        return tuple(each for each in (self.kundali_id, self.second_kundali_id) if each)


class CalendarQuery(WhereQuery, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which days, and for which puja they are judged."""

    from_: Day
    to: Day
    puja_id: Id | None = None


class LimbResponse(Struct, frozen=True, kw_only=True):
    """An anga that runs on the day, with the whole time that it lasts."""

    number: int
    name: str
    name_ne: str
    start: datetime
    end: datetime


class PeriodResponse(Struct, frozen=True, kw_only=True):
    """A time of the day."""

    start: datetime
    end: datetime


class ChoghadiyaResponse(Struct, frozen=True, kw_only=True):
    """An eighth of the daylight or of the night."""

    name: str
    name_ne: str
    is_good: bool
    is_night: bool
    start: datetime
    end: datetime


class MasaResponse(Struct, frozen=True, kw_only=True):
    """The lunar month by both ways of counting; Nepal writes purnimanta."""

    amanta: int
    amanta_name: str
    amanta_name_ne: str
    purnimanta: int
    purnimanta_name: str
    purnimanta_name_ne: str
    is_adhika: bool
    is_kshaya: bool


class FestivalResponse(Struct, frozen=True, kw_only=True):
    """A festival on its day, by rule or as it was printed."""

    key: str
    name: str
    name_ne: str
    date: Day
    date_bs: str
    is_provisional: bool
    basis: str
    computed_date: Day
    vaishnava_date: Day | None
    rule: str
    disputes: list[str]
    disputes_ne: list[str]
    sources: list[str]
    siddhanta: str | None


class PanchangResponse(Struct, frozen=True, kw_only=True):
    """The almanac of a day, from its sunrise to the next; times are on the clock of the place."""

    date: Day
    date_bs: str | None
    is_provisional: bool
    latitude: float
    longitude: float
    timezone: str
    siddhanta: str
    risings: str
    vara: int
    vara_name: str
    vara_name_ne: str
    sunrise: datetime
    sunset: datetime
    next_sunrise: datetime
    moonrise: datetime | None
    moonset: datetime | None
    tithis: list[LimbResponse]
    nakshatras: list[LimbResponse]
    yogas: list[LimbResponse]
    karanas: list[LimbResponse]
    moon_signs: list[LimbResponse]
    sun_sign: int
    sun_sign_name: str
    sun_sign_name_ne: str
    sankranti: LimbResponse | None
    paksha_name: str
    paksha_name_ne: str
    lost_tithis: list[int]
    is_tithi_repeated: bool
    masa: MasaResponse
    ritu_name: str | None
    ritu_name_ne: str | None
    ayana_name: str
    ayana_name_ne: str
    shaka_year: int
    nepal_sambat: int
    rahu_kaal: PeriodResponse
    yamaganda: PeriodResponse
    gulika: PeriodResponse
    abhijit: PeriodResponse
    brahma_muhurta: PeriodResponse
    pradosh: PeriodResponse
    nishita: PeriodResponse
    choghadiyas: list[ChoghadiyaResponse]
    festivals: list[FestivalResponse]


class FestivalsResponse(Struct, frozen=True, kw_only=True):
    """The festivals of a year in order."""

    results: list[FestivalResponse]


class ReasonResponse(Struct, frozen=True, kw_only=True):
    """Why a time is good or bad, with what it counted."""

    code: str
    text: str
    text_ne: str
    points: int
    most: int


class NoteResponse(Struct, frozen=True, kw_only=True):
    """Something to know beside the score, or what bars a day."""

    code: str
    text: str
    text_ne: str


class MuhurtaResponse(Struct, frozen=True, kw_only=True):
    """The best unbroken time of a day, out of 100."""

    date: Day
    date_bs: str
    start: datetime
    end: datetime
    score: int
    is_printed: bool
    reasons_for: list[ReasonResponse]
    reasons_against: list[ReasonResponse]
    warnings: list[NoteResponse]


class BarredDayResponse(Struct, frozen=True, kw_only=True):
    """A day without a time, and why."""

    date: Day
    barred_by: list[NoteResponse]


class MuhurtasResponse(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The days that suit, printed ones first, then by score; ``barred`` says why if there is none.

    A suggestion: for weddings and the sacred thread families follow the printed calendar.
    """

    puja_id: str
    rite: str
    rite_name: str
    rite_name_ne: str
    from_: Day
    to: Day
    siddhanta: str
    results: list[MuhurtaResponse]
    barred: list[BarredDayResponse]


class CalendarDayResponse(Struct, frozen=True, kw_only=True):
    """A day as a calendar shows it.

    ``quality`` is good, fair or poor by the score; barred on a day without a time; null where no
    rules apply.
    """

    date: Day
    date_bs: str | None
    bs_month: str | None
    bs_month_ne: str | None
    festivals: list[FestivalResponse]
    quality: str | None
    score: int | None
    start: datetime | None
    end: datetime | None
    barred_by: list[NoteResponse]


class CalendarResponse(Struct, frozen=True, kw_only=True):
    """Days in order."""

    results: list[CalendarDayResponse]


def present_panchang(day: Panchang, zone: str, festivals: Iterable[Festival]) -> PanchangResponse:
    """Show the almanac of a day."""
    masa = day.masa
    return PanchangResponse(
        date=day.day,
        date_bs=None if day.bs is None else day.bs.isoformat(),
        is_provisional=day.is_provisional,
        latitude=day.place.latitude_degrees,
        longitude=day.place.longitude_degrees,
        timezone=zone,
        siddhanta=day.siddhanta.value,
        risings=day.risings.value,
        vara=day.vara + 1,
        vara_name=day.vara_name.en,
        vara_name_ne=day.vara_name.ne,
        sunrise=day.sunrise,
        sunset=day.sunset,
        next_sunrise=day.next_sunrise,
        moonrise=day.moonrise,
        moonset=day.moonset,
        tithis=_limbs(day.tithis),
        nakshatras=_limbs(day.nakshatras),
        yogas=_limbs(day.yogas),
        karanas=_limbs(day.karanas),
        moon_signs=_limbs(day.moon_signs),
        sun_sign=day.sun_sign,
        sun_sign_name=day.sun_sign_name.en,
        sun_sign_name_ne=day.sun_sign_name.ne,
        sankranti=None if day.sankranti is None else _limb(day.sankranti),
        paksha_name=day.paksha_name.en,
        paksha_name_ne=day.paksha_name.ne,
        lost_tithis=list(day.lost_tithis),
        is_tithi_repeated=day.is_tithi_repeated,
        masa=MasaResponse(
            amanta=masa.amanta,
            amanta_name=masa.amanta_name.en,
            amanta_name_ne=masa.amanta_name.ne,
            purnimanta=masa.purnimanta,
            purnimanta_name=masa.purnimanta_name.en,
            purnimanta_name_ne=masa.purnimanta_name.ne,
            is_adhika=masa.is_adhika,
            is_kshaya=masa.lost is not None,
        ),
        ritu_name=day.ritu.en if day.ritu else None,
        ritu_name_ne=day.ritu.ne if day.ritu else None,
        ayana_name=day.ayana.en,
        ayana_name_ne=day.ayana.ne,
        shaka_year=day.shaka_year,
        nepal_sambat=day.nepal_sambat,
        rahu_kaal=_period(day.rahu_kaal),
        yamaganda=_period(day.yamaganda),
        gulika=_period(day.gulika),
        abhijit=_period(day.abhijit),
        brahma_muhurta=_period(day.brahma_muhurta),
        pradosh=_period(day.pradosh),
        nishita=_period(day.nishita),
        choghadiyas=[_choghadiya(each) for each in day.choghadiyas],
        festivals=[present_festival(each) for each in festivals],
    )


def present_festival(festival: Festival) -> FestivalResponse:
    """Show a festival."""
    return FestivalResponse(
        key=festival.key,
        name=festival.name.en,
        name_ne=festival.name.ne,
        date=festival.day,
        date_bs=festival.bs.isoformat(),
        is_provisional=festival.is_provisional,
        basis=festival.basis.value,
        computed_date=festival.computed,
        vaishnava_date=festival.vaishnava,
        rule=festival.rule,
        disputes=[each.en for each in festival.disputes],
        disputes_ne=[each.ne for each in festival.disputes],
        sources=list(festival.sources),
        siddhanta=None if festival.siddhanta is None else festival.siddhanta.value,
    )


def present_muhurtas(ranking: Ranking) -> MuhurtasResponse:
    """Show the days that suit a puja."""
    return MuhurtasResponse(
        puja_id=ranking.puja.id,
        rite=ranking.rite.key,
        rite_name=ranking.rite.name.en,
        rite_name_ne=ranking.rite.name.ne,
        from_=ranking.first,
        to=ranking.last,
        siddhanta=Siddhanta.SURYA.value,
        results=[_muhurta(each) for each in ranking.muhurtas],
        barred=[
            BarredDayResponse(date=each.day, barred_by=_notes(each.barred))
            for each in ranking.best_barred
        ],
    )


def present_calendar_day(day: CalendarDay) -> CalendarDayResponse:
    """Show a day of a calendar."""
    judgement = day.judgement
    found = judgement.muhurta if judgement else None
    month = _month(day.bs)
    return CalendarDayResponse(
        date=day.day,
        date_bs=None if day.bs is None else day.bs.isoformat(),
        bs_month=month and month[0],
        bs_month_ne=month and month[1],
        festivals=[present_festival(each) for each in day.festivals],
        quality=quality_of(judgement),
        score=found.score if found else None,
        start=found.start if found else None,
        end=found.end if found else None,
        barred_by=_notes(judgement.barred) if judgement else [],
    )


_GOOD, _FAIR = 70, 50


def quality_of(judgement: Judgement | None) -> str | None:
    """What a day is for a puja in one word; None where no rules apply."""
    if judgement is None:
        return None
    if judgement.muhurta is None:
        return "barred"
    if judgement.muhurta.is_printed or judgement.muhurta.score >= _GOOD:
        return "good"
    return "fair" if judgement.muhurta.score >= _FAIR else "poor"


def _month(bs: BSDate | None) -> tuple[str, str] | None:
    return None if bs is None else (MONTHS[bs.month - 1].en, MONTHS[bs.month - 1].ne)


def _limb(limb: Limb) -> LimbResponse:
    return LimbResponse(
        number=limb.number,
        name=limb.name.en,
        name_ne=limb.name.ne,
        start=limb.start,
        end=limb.end,
    )


def _limbs(limbs: Iterable[Limb]) -> list[LimbResponse]:
    return [_limb(each) for each in limbs]


def _period(period: Period) -> PeriodResponse:
    return PeriodResponse(start=period.start, end=period.end)


def _choghadiya(each: Choghadiya) -> ChoghadiyaResponse:
    return ChoghadiyaResponse(
        name=each.name.en,
        name_ne=each.name.ne,
        is_good=each.is_good,
        is_night=each.is_night,
        start=each.start,
        end=each.end,
    )


def _muhurta(found: Muhurta) -> MuhurtaResponse:
    return MuhurtaResponse(
        date=found.day,
        date_bs=found.bs.isoformat(),
        start=found.start,
        end=found.end,
        score=found.score,
        is_printed=found.is_printed,
        reasons_for=[_reason(each) for each in found.reasons_for],
        reasons_against=[_reason(each) for each in found.reasons_against],
        warnings=_notes(found.warnings),
    )


def _reason(reason: Reason) -> ReasonResponse:
    return ReasonResponse(
        code=reason.code,
        text=reason.text.en,
        text_ne=reason.text.ne,
        points=reason.points,
        most=reason.most,
    )


def _notes(notes: Iterable[Note]) -> list[NoteResponse]:
    return [NoteResponse(code=each.code, text=each.text.en, text_ne=each.text.ne) for each in notes]
