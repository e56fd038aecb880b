"""Birth charts and matching on the wire. Signs, nakshatras and padas count from 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from kundali.bikram_sambat import OutsideCalendar, parse, to_ad
from kundali.chart import Chart, Point, Stay
from kundali.dasha import DEEPEST_LEVEL, Dasha, Period, subperiods
from kundali.divisional import Varga
from kundali.dosha import Doshas, Manglik
from kundali.ephemeris import Graha
from kundali.matching import TOTAL, KootaScore
from kundali.names import GRAHAS, RASHIS, TITHIS, VARAS, YOGAS, Name
from kundali.panchang import karana_name
from kundali.phrases import Phrase, title
from kundali.zodiac import NAKSHATRA_TABLE, SIGN_LORDS
from server.domain.chart import (
    DEFAULT_SHARE_DAYS,
    MOST_SHARE_DAYS,
    BirthDetails,
    ChartChoices,
    SavedChart,
)
from server.domain.errors import FieldFault, Invalid
from server.domain.readings import (
    ChartReading,
    MatchReading,
    MatchSide,
    ShareLink,
    ShownChart,
)
from server.schemas.base import Id, Reader, Request, ShortText, bs_text
from server.schemas.base import Name as NameText

BirthClock = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?(?!\n)$")]
AyanamsaName = Literal["lahiri", "raman", "kp", "true_chitra"]
NodeName = Literal["mean", "true"]
YearName = Literal["julian", "gregorian", "sidereal", "savana"]
"""Names of `kundali.options`, which the server's own options follow."""


class BirthRequest(Request, frozen=True, kw_only=True):
    """A birth.

    The date is given in one calendar: ``date_of_birth`` (AD) or ``date_of_birth_bs`` (Bikram
    Sambat). A ``time_of_birth`` of null, or ``time_known`` false, says that nobody remembers it.
    The place is a name that the server knows, or coordinates; the zone follows from either.
    ``second_reading`` takes the later of two instants where the clocks were set back.
    """

    name: NameText = ""
    date_of_birth: date | None = None
    date_of_birth_bs: Annotated[str, Meta(max_length=20)] | None = None
    time_of_birth: BirthClock | UnsetType | None = UNSET
    time_known: bool | None = None
    about_minutes: int = 0
    second_reading: bool = False
    place_of_birth: ShortText = ""
    latitude: float | None = None
    longitude: float | None = None
    timezone: Annotated[str, Meta(max_length=64)] | None = None

    def birth(self) -> BirthDetails:
        """The domain's form. Raises ``Invalid`` for a date that no calendar has."""
        clock = self.time_of_birth
        is_known = clock is not None if self.time_known is None else self.time_known
        return BirthDetails(
            date_of_birth=self._day(),
            time_of_birth=time.fromisoformat(clock) if isinstance(clock, str) else None,
            is_time_known=is_known,
            about_minutes=self.about_minutes,
            second_reading=self.second_reading,
            place_of_birth=self.place_of_birth.strip(),
            latitude=self.latitude,
            longitude=self.longitude,
            timezone=self.timezone or "",
        )

    def _day(self) -> date | None:
        if self.date_of_birth_bs is None:
            return self.date_of_birth
        if self.date_of_birth is not None:
            raise Invalid(FieldFault("date_of_birth_bs", "one-date"))
        return read_bs_date("date_of_birth_bs", self.date_of_birth_bs)


class KundaliRequest(BirthRequest, frozen=True, kw_only=True):
    """A chart to keep, with the choices that it is cast by."""

    name: NameText
    ayanamsa: AyanamsaName = "lahiri"
    node: NodeName = "mean"
    year_length: YearName = "julian"

    def choices(self) -> ChartChoices:
        """The domain's form."""
        return ChartChoices(ayanamsa=self.ayanamsa, node=self.node, year=self.year_length)


class KundaliQuery(Request, frozen=True, kw_only=True):
    """How deep the dasha is told: 1 mahadashas, 2 with antardashas, 3 with pratyantardashas."""

    dasha_levels: Annotated[int, Meta(ge=1, le=DEEPEST_LEVEL)] = 2


class DrawingQuery(Request, frozen=True, kw_only=True):
    """How a chart is drawn."""

    style: Literal["north", "south"] = "north"
    language: Literal["en", "ne"] | None = None
    varga: Literal[
        "D1", "D2", "D3", "D4", "D7", "D9", "D10", "D12",
        "D16", "D20", "D24", "D27", "D30", "D40", "D45", "D60",
    ] = "D1"  # fmt: skip


class ShareRequest(Request, frozen=True, kw_only=True):
    """For how long a link works, and whether it also tells the time and place of the birth."""

    days: Annotated[int, Meta(ge=1, le=MOST_SHARE_DAYS)] = DEFAULT_SHARE_DAYS
    with_birth: bool = False


class ShareResponse(Struct, frozen=True, kw_only=True):
    """A link that shows the chart to whoever has it; it is told once."""

    url: str
    api_url: str
    expires_at: datetime


class MatchRequest(Request, frozen=True, kw_only=True):
    """Two people: each a chart of one's own by its id, or a birth.

    ``directed`` false takes the mean of both directions for the kootas that ask who is groom and
    who is bride.
    """

    groom_id: Id | None = None
    bride_id: Id | None = None
    groom: BirthRequest | None = None
    bride: BirthRequest | None = None
    directed: bool = True

    def sides(self) -> tuple[MatchSide, MatchSide]:
        """Both in the domain's form. Raises ``Invalid`` naming every fault of both."""
        faults: list[FieldFault] = []
        sides = []
        for name, chart_id, birth in (
            ("groom", self.groom_id, self.groom),
            ("bride", self.bride_id, self.bride),
        ):
            if (chart_id is None) == (birth is None):
                faults.append(FieldFault(name, "required" if birth is None else "one-person"))
            elif birth is None:
                sides.append(MatchSide(chart_id=chart_id))
            else:
                try:
                    sides.append(MatchSide(name=birth.name, birth=birth.birth()))
                except Invalid as refusal:
                    faults += [
                        FieldFault(f"{name}.{each.field}", each.code, each.params)
                        for each in refusal.faults
                    ]
        if faults:
            raise Invalid(*faults)
        return sides[0], sides[1]


class TextResponse(Struct, frozen=True, kw_only=True):
    """A sentence in both languages; ``code`` says which, whatever its wording."""

    code: str
    text: str
    text_ne: str


class PointResponse(Struct, frozen=True, kw_only=True):
    """Where a longitude stands; ``degrees`` are within the sign."""

    longitude: float
    sign: int
    sign_name: str
    sign_name_ne: str
    sign_lord: str
    degrees: float
    nakshatra: int
    nakshatra_name: str
    nakshatra_name_ne: str
    nakshatra_lord: str
    pada: int


class LagnaResponse(PointResponse, frozen=True, kw_only=True):
    """The rising degree; ``vargas`` give its sign in each divisional chart.

    The midheaven (null) and the Sripati houses (none) would tell the place that a link keeps back.
    """

    midheaven: float | None
    sripati_starts: list[float]
    vargas: dict[str, int]


class PlanetResponse(PointResponse, frozen=True, kw_only=True):
    """A graha. Houses, and vargas other than D1, are absent without a birth time."""

    graha: str
    name: str
    name_ne: str
    latitude: float
    speed: float
    house: int | None
    sripati_house: int | None
    dignity: str
    is_retrograde: bool
    is_stationary: bool
    is_combust: bool
    is_vargottama: bool
    vargas: dict[str, int]


class MoonStayResponse(Struct, frozen=True, kw_only=True):
    """A stretch of the day of birth and what the Moon was in; a link keeps its times back."""

    start: datetime | None
    end: datetime | None
    sign: int
    nakshatra: int
    pada: int


class BirthDayResponse(Struct, frozen=True, kw_only=True):
    """The limbs of the calendar at the birth, by the modern sky; ``vara`` began at sunrise.

    A link keeps the time of sunrise back, which tells the place.
    """

    tithi: int
    tithi_name: str
    tithi_name_ne: str
    yoga: int
    yoga_name: str
    yoga_name_ne: str
    karana_name: str
    karana_name_ne: str
    weekday_name: str
    weekday_name_ne: str
    vara_name: str | None
    vara_name_ne: str | None
    sunrise: datetime | None


class DashaPeriodResponse(Struct, frozen=True, kw_only=True):
    """A period and those within it; ``end`` is the day on which the next begins."""

    lord: str
    name: str
    name_ne: str
    start: date
    end: date
    periods: list[DashaPeriodResponse]


class DashaResponse(Struct, frozen=True, kw_only=True):
    """Vimshottari: nine mahadashas. The first began before the birth; so much of it was left."""

    year_length: str
    balance_years: float
    periods: list[DashaPeriodResponse]


class YogaResponse(Struct, frozen=True, kw_only=True):
    """A yoga that formed, the condition that held, and what weakens it."""

    code: str
    name: str
    name_ne: str
    standing: str
    meaning: TextResponse
    causes: list[TextResponse]
    against: list[TextResponse]


class DoshaResponse(Struct, frozen=True, kw_only=True):
    """A dosha that formed, the condition that held, and what cancels or softens it."""

    code: str
    name: str
    name_ne: str
    weight: str
    meaning: TextResponse
    remedy: TextResponse
    causes: list[TextResponse]
    softened_by: list[TextResponse]


class ManglikResponse(Struct, frozen=True, kw_only=True):
    """Mars counted from lagna, Moon and Venus; ``weight`` is null where the dosha does not hold."""

    weight: str | None
    from_lagna: int | None
    from_moon: int | None
    from_venus: int
    softened_by: list[TextResponse]


class SaturnStayResponse(Struct, frozen=True, kw_only=True):
    """A stay of Saturn that counts from the birth Moon: three phases of Sade Sati, two dhaiyas."""

    phase: str
    is_sade_sati: bool
    start: date
    end: date


class PredictionResponse(Struct, frozen=True, kw_only=True):
    """A sentence of the reading and what it was read from."""

    section: str
    section_name: str
    section_name_ne: str
    text: TextResponse
    causes: list[TextResponse]


class KundaliCardResponse(Struct, frozen=True, kw_only=True):
    """A kept chart in a list; null where that is not certain without a birth time."""

    id: str
    name: str
    date_of_birth: date
    date_of_birth_bs: str | None
    time_of_birth: str | None
    place_of_birth: str
    lagna: int | None
    rashi: int | None
    nakshatra: int | None
    engine: str
    siddhanta: str
    created_at: datetime
    share_expires_at: datetime | None
    share_with_birth: bool


class KundaliResponse(KundaliCardResponse, frozen=True, kw_only=True):
    """A chart with all that it was made from and all that is read from it.

    ``engine`` cast this answer, ``saved_engine`` the one that its owner saw when he kept it. What
    tells the time and place of the birth is null in the answer to a link, unless the chart's owner
    has added it.
    """

    saved_engine: str
    latitude: float | None
    longitude: float | None
    timezone: str | None
    utc_offset_seconds: int | None
    born_at: datetime | None
    time_known: bool
    about_minutes: int
    is_time_ambiguous: bool | None
    second_reading: bool | None
    ayanamsa: str
    ayanamsa_degrees: float
    node: str
    year_length: str
    sunrise_rule: str
    lagna_point: LagnaResponse | None
    planets: list[PlanetResponse]
    moon_stays: list[MoonStayResponse]
    day: BirthDayResponse
    dasha: DashaResponse | None
    yogas: list[YogaResponse]
    manglik: ManglikResponse
    doshas: list[DoshaResponse]
    undecided_doshas: list[str]
    saturn: list[SaturnStayResponse]
    predictions: list[PredictionResponse]
    notices: list[TextResponse]


class KootaResponse(Struct, frozen=True, kw_only=True):
    """One of the eight: its points and why, and what cancels its fault."""

    code: str
    name: str
    name_ne: str
    points: float
    most: int
    is_fault: bool
    reason: TextResponse
    cancelled_by: list[TextResponse]


class MatchPersonResponse(Struct, frozen=True, kw_only=True):
    """What matching took from one of the two."""

    name: str
    rashi: int
    rashi_name: str
    rashi_name_ne: str
    nakshatra: int
    nakshatra_name: str
    nakshatra_name_ne: str
    pada: int
    is_certain: bool
    manglik: ManglikResponse


class MatchResponse(Struct, frozen=True, kw_only=True):
    """Ashtakoota of 36. ``lowest`` and ``highest`` differ where a birth time is unknown."""

    total: float
    most: int
    lowest: float
    highest: float
    is_certain: bool
    directed: bool
    verdicts: list[TextResponse]
    kootas: list[KootaResponse]
    notes: list[TextResponse]
    groom: MatchPersonResponse
    bride: MatchPersonResponse
    manglik: TextResponse
    siddhanta: str
    engine: str
    ayanamsa: str


def read_bs_date(field: str, text: str) -> date:
    """The AD day of a Bikram Sambat date. Raises ``Invalid``."""
    try:
        return to_ad(parse(text.strip()))
    except OutsideCalendar:
        raise Invalid(FieldFault(field, "outside-calendar")) from None
    except ValueError:
        raise Invalid(FieldFault(field, "bs-date")) from None


def present_text(phrase: Phrase) -> TextResponse:
    """Show a sentence."""
    return TextResponse(code=phrase.code, text=phrase.text("en"), text_ne=phrase.text("ne"))


def present_texts(phrases: Iterable[Phrase]) -> list[TextResponse]:
    """Show sentences."""
    return [present_text(each) for each in phrases]


def present_card(saved: SavedChart, reader: Reader, now: datetime) -> KundaliCardResponse:
    """Show a kept chart in a list."""
    return KundaliCardResponse(**_card(saved, reader, now))


def present_kundali(
    shown: ShownChart, reader: Reader, now: datetime, *, dasha_levels: int = 2
) -> KundaliResponse:
    """Show a chart to its owner, or to whoever has a link to it."""
    return KundaliResponse(
        **{**_card(shown.saved, reader, now), "engine": shown.reading.chart.engine},
        **_born(shown),
        **_read(shown, dasha_levels),
    )


def present_share(link: ShareLink, site_url: str, reader: Reader) -> ShareResponse:
    """Show a link that was just made."""
    return ShareResponse(
        url=f"{site_url}/kundali/shared/{link.token}/",
        api_url=f"{site_url}/api/kundali/shared/{link.token}/",
        expires_at=reader.local(link.expires_at),
    )


def present_match(found: MatchReading) -> MatchResponse:
    """Show a match."""
    couple = found.couple
    return MatchResponse(
        total=couple.match.total,
        most=TOTAL,
        lowest=couple.lowest,
        highest=couple.highest,
        is_certain=couple.is_certain,
        directed=found.directed,
        verdicts=[present_text(verdict.phrase) for verdict in couple.verdicts],
        kootas=[_koota(row) for row in couple.match.kootas],
        notes=present_texts(couple.match.notes),
        groom=_person(found.groom_name, found.groom, couple.groom_manglik),
        bride=_person(found.bride_name, found.bride, couple.bride_manglik),
        manglik=present_text(couple.manglik.phrase),
        siddhanta="drik",
        engine=found.groom.engine,
        ayanamsa=found.groom.options.ayanamsa.value,
    )


def _card(saved: SavedChart, reader: Reader, now: datetime) -> dict[str, Any]:
    birth = saved.birth
    day = birth.date_of_birth or date.min
    clock = birth.time_of_birth if birth.is_time_known else None
    return {
        "id": saved.id,
        "name": saved.name,
        "date_of_birth": day,
        "date_of_birth_bs": bs_text(day),
        "time_of_birth": None if clock is None else clock.isoformat("auto"),
        "place_of_birth": birth.place_of_birth,
        "lagna": saved.summary.lagna,
        "rashi": saved.summary.rashi,
        "nakshatra": saved.summary.nakshatra,
        "engine": saved.engine,
        "siddhanta": saved.siddhanta,
        "created_at": reader.local(saved.created_at),
        "share_expires_at": reader.maybe_local(saved.share_expires_at)
        if saved.is_shared(now)
        else None,
        "share_with_birth": saved.is_shared(now) and saved.share_with_birth,
    }


def _born(shown: ShownChart) -> dict[str, Any]:
    birth = shown.reading.chart.birth
    told = {
        "latitude": birth.place.latitude_degrees,
        "longitude": birth.place.longitude_degrees,
        "timezone": birth.zone,
        "utc_offset_seconds": birth.offset_seconds,
        "born_at": birth.utc,
        "is_time_ambiguous": birth.is_ambiguous,
        "second_reading": bool(birth.reading),
    }
    return told if shown.tells_birth else dict.fromkeys(told)


def _read(shown: ShownChart, dasha_levels: int) -> dict[str, Any]:
    reading, tells_birth = shown.reading, shown.tells_birth
    chart = reading.chart
    birth, options, lagna = chart.birth, chart.options, chart.lagna
    return {
        "saved_engine": shown.saved.engine,
        "time_known": birth.is_time_known,
        "about_minutes": birth.about_minutes,
        "ayanamsa": options.ayanamsa.value,
        "ayanamsa_degrees": chart.ayanamsa_degrees,
        "node": options.node.value,
        "year_length": options.year.value,
        "sunrise_rule": options.sunrise.value,
        "lagna_point": None
        if lagna is None
        else LagnaResponse(
            **_point(lagna.at),
            midheaven=lagna.midheaven if tells_birth else None,
            sripati_starts=list(lagna.sripati.starts) if tells_birth else [],
            vargas=_vargas(lagna.vargas),
        ),
        "planets": [
            PlanetResponse(
                **_point(each.at),
                graha=each.graha.name.lower(),
                name=GRAHAS[each.graha].en,
                name_ne=GRAHAS[each.graha].ne,
                latitude=each.latitude,
                speed=each.speed,
                house=each.house,
                sripati_house=each.sripati_house,
                dignity=each.dignity.value,
                is_retrograde=each.is_retrograde,
                is_stationary=each.is_stationary,
                is_combust=each.is_combust,
                is_vargottama=each.is_vargottama,
                vargas=_vargas(each.vargas),
            )
            for each in chart.placements
        ],
        "moon_stays": [_stay(each, chart, tells_birth) for each in chart.moon_stays],
        "day": _birth_day(reading, tells_birth),
        "dasha": _dasha(reading.dasha, chart, dasha_levels),
        "yogas": [
            YogaResponse(
                code=each.code,
                name=each.name.en,
                name_ne=each.name.ne,
                standing=each.standing.value,
                meaning=present_text(each.meaning),
                causes=present_texts(each.causes),
                against=present_texts(each.against),
            )
            for each in reading.yogas
        ],
        "manglik": _manglik(reading.doshas.manglik),
        "doshas": _doshas(reading.doshas),
        "undecided_doshas": list(reading.doshas.undecided),
        "saturn": [
            SaturnStayResponse(
                phase=each.phase.value,
                is_sade_sati=each.phase.is_sade_sati,
                start=birth.to_local(each.start).date(),
                end=birth.to_local(each.end).date(),
            )
            for each in reading.saturn
        ],
        "predictions": [
            PredictionResponse(
                section=each.section.value,
                section_name=title(f"section.{each.section.value}").en,
                section_name_ne=title(f"section.{each.section.value}").ne,
                text=present_text(each.text),
                causes=present_texts(each.causes),
            )
            for each in reading.predictions
        ],
        "notices": present_texts(reading.notices),
    }


def _point(at: Point) -> dict[str, Any]:
    sign, mansion = RASHIS[at.sign], NAKSHATRA_TABLE[at.nakshatra]
    return {
        "longitude": at.longitude,
        "sign": at.sign + 1,
        "sign_name": sign.en,
        "sign_name_ne": sign.ne,
        "sign_lord": SIGN_LORDS[at.sign].name.lower(),
        "degrees": at.degrees,
        "nakshatra": at.nakshatra + 1,
        "nakshatra_name": mansion.name.en,
        "nakshatra_name_ne": mansion.name.ne,
        "nakshatra_lord": mansion.lord.name.lower(),
        "pada": at.pada + 1,
    }


def _vargas(vargas: Mapping[Varga, int]) -> dict[str, int]:
    return {varga.name: sign + 1 for varga, sign in vargas.items()}


def _stay(stay: Stay, chart: Chart, tells_birth: bool) -> MoonStayResponse:
    to_local = chart.birth.to_local
    return MoonStayResponse(
        start=to_local(stay.start) if tells_birth else None,
        end=to_local(stay.end) if tells_birth else None,
        sign=stay.sign + 1,
        nakshatra=stay.nakshatra + 1,
        pada=stay.pada + 1,
    )


def _birth_day(reading: ChartReading, tells_birth: bool) -> BirthDayResponse:
    found = reading.almanac
    sunrise = found.sunrise if tells_birth else None
    vara = Name("", "") if found.vara is None else VARAS[found.vara]
    karana = karana_name(found.half_tithi + 1)
    return BirthDayResponse(
        tithi=found.tithi + 1,
        tithi_name=TITHIS[found.tithi].en,
        tithi_name_ne=TITHIS[found.tithi].ne,
        yoga=found.yoga + 1,
        yoga_name=YOGAS[found.yoga].en,
        yoga_name_ne=YOGAS[found.yoga].ne,
        karana_name=karana.en,
        karana_name_ne=karana.ne,
        weekday_name=VARAS[found.civil_weekday].en,
        weekday_name_ne=VARAS[found.civil_weekday].ne,
        vara_name=vara.en or None,
        vara_name_ne=vara.ne or None,
        sunrise=None if sunrise is None else reading.chart.birth.to_local(sunrise),
    )


def _dasha(found: Dasha | None, chart: Chart, levels: int) -> DashaResponse | None:
    if found is None:
        return None
    return DashaResponse(
        year_length=found.year.value,
        balance_years=found.balance_years,
        periods=[_period(each, chart, levels) for each in found.mahadashas],
    )


def _period(period: Period, chart: Chart, levels: int) -> DashaPeriodResponse:
    name = GRAHAS[period.lord]
    inner = subperiods(period) if period.level < levels else ()
    return DashaPeriodResponse(
        lord=period.lord.name.lower(),
        name=name.en,
        name_ne=name.ne,
        start=chart.birth.to_local(period.start).date(),
        end=chart.birth.to_local(period.end).date(),
        periods=[_period(each, chart, levels) for each in inner],
    )


def _doshas(found: Doshas) -> list[DoshaResponse]:
    return [
        DoshaResponse(
            code=each.code,
            name=each.name.en,
            name_ne=each.name.ne,
            weight=each.weight.value,
            meaning=present_text(each.meaning),
            remedy=present_text(each.remedy),
            causes=present_texts(each.causes),
            softened_by=present_texts(each.softened_by),
        )
        for each in found.found
    ]


def _manglik(found: Manglik) -> ManglikResponse:
    return ManglikResponse(
        weight=None if found.weight is None else found.weight.value,
        from_lagna=found.from_lagna,
        from_moon=found.from_moon,
        from_venus=found.from_venus,
        softened_by=present_texts(found.softened_by),
    )


def _koota(row: KootaScore) -> KootaResponse:
    name = title(f"koota.{row.koota.value}.name")
    return KootaResponse(
        code=row.koota.value,
        name=name.en,
        name_ne=name.ne,
        points=row.points,
        most=row.most,
        is_fault=row.is_fault,
        reason=present_text(row.reason),
        cancelled_by=present_texts(row.cancelled_by),
    )


def _person(name: str, chart: Chart, found: Manglik) -> MatchPersonResponse:
    at = chart[Graha.MOON].at
    mansion = NAKSHATRA_TABLE[at.nakshatra]
    return MatchPersonResponse(
        name=name,
        rashi=at.sign + 1,
        rashi_name=RASHIS[at.sign].en,
        rashi_name_ne=RASHIS[at.sign].ne,
        nakshatra=at.nakshatra + 1,
        nakshatra_name=mansion.name.en,
        nakshatra_name_ne=mansion.name.ne,
        pada=at.pada + 1,
        is_certain=chart.is_nakshatra_certain and chart.is_rashi_certain,
        manglik=_manglik(found),
    )
