"""Recommendations and the models behind them on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta, Struct
from msgspec.structs import astuple

from server.domain.account import GeoPoint
from server.domain.catalogue import SamagriType
from server.domain.errors import FieldFault, Invalid
from server.domain.money import Unit
from server.domain.recommendation import (
    AdvisedItem,
    Because,
    ModelListing,
    ModelState,
    ModelVersion,
    Occasion,
    PujaAdvice,
    PujaReason,
    RankedPandit,
    SamagriAdvice,
)
from server.domain.search import PanditCard
from server.schemas.base import Id, Reader, Request, Rupees, ShortText, bs_text
from server.schemas.bookings import ItemResponse
from server.schemas.pandits import (
    FactorsResponse,
    Latitude,
    Longitude,
    PanditCardResponse,
    present_card,
    present_factors,
)

Day: TypeAlias = date
_DIGITS: Final = 6


# -- requests ------------------------------------------------------------------------------------


class SamagriQuery(Request, frozen=True, kw_only=True):
    """For which puja; ``budget`` in paisa, for all samagri. The rest makes the answer better."""

    puja_id: Id
    budget: Rupees | None = None
    date: Day | None = None
    city: Annotated[str, Meta(max_length=120)] = ""
    pandit_id: Id | None = None

    def occasion(self) -> Occasion:
        """Return the domain's form."""
        return Occasion(city=self.city, pandit_id=self.pandit_id or "", held_on=self.date)


class RankingQuery(Request, frozen=True, kw_only=True):
    """For which puja, where and when; without a place the asker's home."""

    puja_id: Id
    lat: Latitude | None = None
    lng: Longitude | None = None
    date: Day | None = None
    limit: Annotated[int, Meta(ge=1, le=50)] = 10

    def near(self) -> GeoPoint | None:
        """Return the place. Raises ``Invalid`` for half a position."""
        if self.lat is not None and self.lng is not None:
            return GeoPoint(self.lat, self.lng)
        if self.lat is not None or self.lng is not None:
            raise Invalid(FieldFault("lng" if self.lat is not None else "lat", "required"))
        return None


class NextPujaQuery(Request, frozen=True, kw_only=True):
    """How many proposals at most."""

    limit: Annotated[int, Meta(ge=1, le=20)] = 5


class ModelsQuery(Request, frozen=True, kw_only=True):
    """How many versions at most, the newest first; a store keeps few."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class ActivateRequest(Request, frozen=True, kw_only=True):
    """Why a model is to serve; ``force``: although its training found it too weak."""

    reason: ShortText = ""
    force: bool = False


# -- answers -------------------------------------------------------------------------------------


class BecauseResponse(Struct, frozen=True, kw_only=True):
    """One reason: a stable code with its data, and the sentence in both languages."""

    code: str
    weight: float
    data: dict[str, Any]
    text: str
    text_ne: str


class AdvisedItemResponse(Struct, frozen=True, kw_only=True):
    """A recommended item, in the form of a booking's samagri; prices are today's, in paisa.

    ``over_budget``: needed although the budget is used up. ``user_hidden``: the customer asked not
    to see it, but the puja needs it. ``explored``: new, shown to find out whether it is wanted.
    ``in_season`` is false of what the puja needs although it is hard to find then;
    ``substitute_of`` is the item in whose place it stands.
    """

    item: ItemResponse
    quantity: Decimal
    unit: Unit
    type: SamagriType
    confidence: float
    source: str
    reason: str
    reason_ne: str
    reasons: list[BecauseResponse]
    can_remove: bool
    is_required: bool
    price_at_booking: int
    auto_added: bool
    user_added: bool
    over_budget: bool
    user_hidden: bool
    explored: bool
    in_season: bool
    substitute_of: str | None


class SamagriAdviceResponse(Struct, frozen=True, kw_only=True):
    """Samagri for a puja. ``shortfall``: what the budget lacks for what the puja needs.

    ``left_out`` would be there too if the budget were larger.
    """

    results: list[AdvisedItemResponse]
    next: None = None
    left_out: list[AdvisedItemResponse]
    total: int
    shortfall: int
    currency: str
    model_version: str
    rec_id: str | None


class TogetherQuery(Request, frozen=True, kw_only=True):
    """With which item, and how many at most."""

    item_id: Id
    limit: Annotated[int, Meta(ge=1, le=20)] = 6


class TogetherResponse(Struct, frozen=True, kw_only=True):
    """What goes with an item, one base quantity of each, the most telling first."""

    results: list[AdvisedItemResponse]
    next: None = None
    model_version: str
    rec_id: str | None


class FactorDetailResponse(Struct, frozen=True, kw_only=True):
    """One factor: its value 0 to 1, its weight, what it adds, and the measure behind it."""

    value: float
    weight: float
    contribution: float
    raw: float | None


class RankedPanditResponse(Struct, frozen=True, kw_only=True):
    """A place of the ranking. ``explored``: shown so that a new pandit gets his chance.

    ``propensity`` is the chance with which he came to stand there.
    """

    pandit: PanditCardResponse
    score: float
    factors: FactorsResponse
    details: dict[str, FactorDetailResponse]
    explored: bool
    propensity: float


class RankingResponse(Struct, frozen=True, kw_only=True):
    """Pandits who suit, best first."""

    results: list[RankedPanditResponse]
    next: None = None
    model_version: str
    rec_id: str | None


class PujaBriefResponse(Struct, frozen=True, kw_only=True):
    """The puja of a proposal."""

    id: str
    name: str
    name_ne: str
    category: str
    base_price: int
    currency: str


class NextPujaResponse(Struct, frozen=True, kw_only=True):
    """A puja worth proposing, when to hold it, and why."""

    puja: PujaBriefResponse
    score: float
    reason: PujaReason
    detail: str
    detail_ne: str
    reasons: list[BecauseResponse]
    first_day: date
    first_day_bs: str | None
    last_day: date
    last_day_bs: str | None


class NextPujasResponse(Struct, frozen=True, kw_only=True):
    """Pujas worth proposing, the likeliest first."""

    results: list[NextPujaResponse]
    next: None = None
    model_version: str
    rec_id: str | None


class ModelFaultResponse(Struct, frozen=True, kw_only=True):
    """Why a model was refused, in the words of the check that refused it."""

    version: str | None
    code: str
    reason: str
    at: datetime


class ModelResponse(Struct, frozen=True, kw_only=True):
    """One version of the trained models.

    ``is_live``: it serves in the process that answers. ``has_report``: its comparison can be seen
    under ``/admin/models/{version}/report/``.
    """

    version: str
    is_current: bool
    is_live: bool
    created_at: str
    code_version: str
    engine: str
    models: dict[str, str]
    metrics: dict[str, Any]
    baselines: dict[str, Any]
    gates: list[dict[str, Any]]
    gates_failed: list[str]
    training_window: dict[str, Any]
    has_report: bool
    problem: str


class LiveModelResponse(Struct, frozen=True, kw_only=True):
    """What serves in the process that answers; ``rules`` without a model."""

    version: str
    loaded_at: datetime | None
    last_error: ModelFaultResponse | None


class ModelsResponse(Struct, frozen=True, kw_only=True):
    """The versions in the store, newest first, and which of them serves."""

    results: list[ModelResponse]
    next: None = None
    current: str | None
    live: LiveModelResponse


def present_samagri_advice(advice: SamagriAdvice) -> SamagriAdviceResponse:
    """Show recommended samagri."""
    return SamagriAdviceResponse(
        results=[_present_item(each) for each in advice.items],
        left_out=[_present_item(each) for each in advice.left_out],
        total=advice.total,
        shortfall=advice.shortfall,
        currency=advice.currency,
        model_version=advice.model_version,
        rec_id=advice.rec_id,
    )


def present_together(
    items: Sequence[AdvisedItem], model_version: str, rec_id: str | None
) -> TogetherResponse:
    """Show what goes with an item."""
    return TogetherResponse(
        results=[_present_item(each) for each in items],
        model_version=model_version,
        rec_id=rec_id,
    )


def _present_item(advised: AdvisedItem) -> AdvisedItemResponse:
    item, first = advised.item, advised.because[0] if advised.because else None
    return AdvisedItemResponse(
        item=ItemResponse(
            id=item.id, name=item.name, name_ne=item.name_ne, category=item.category_id
        ),
        quantity=advised.quantity,
        unit=advised.unit,
        type=advised.type,
        confidence=advised.confidence,
        source=advised.source,
        reason=first.text if first else "",
        reason_ne=first.text_ne if first else "",
        reasons=[_present_because(each) for each in advised.because],
        can_remove=advised.type.can_remove,
        is_required=not advised.type.can_remove,
        price_at_booking=advised.price,
        auto_added=False,
        user_added=False,
        over_budget=advised.over_budget,
        user_hidden=advised.is_hidden,
        explored=advised.is_explored,
        in_season=advised.is_in_season,
        substitute_of=advised.substitute_of or None,
    )


def _present_because(because: Because) -> BecauseResponse:
    return BecauseResponse(
        code=because.code,
        weight=because.weight,
        data=dict(because.data),
        text=because.text,
        text_ne=because.text_ne,
    )


def present_place(place: RankedPandit, card: PanditCard, reader: Reader) -> RankedPanditResponse:
    """Show a place of the ranking."""
    factors = present_factors(place.factors)
    return RankedPanditResponse(
        pandit=present_card(card, reader),
        # Of the rounded parts, so that what is shown sums to what is shown.
        score=round(sum(astuple(factors)), _DIGITS),
        factors=factors,
        details={
            name: FactorDetailResponse(
                value=round(each.value, _DIGITS),
                weight=round(each.weight, _DIGITS),
                contribution=round(each.contribution, _DIGITS),
                raw=None if each.raw is None else round(each.raw, _DIGITS),
            )
            for name, each in place.factors.items()
        },
        explored=place.is_explored,
        propensity=place.propensity,
    )


def present_next_puja(advice: PujaAdvice) -> NextPujaResponse:
    """Show a proposal."""
    puja = advice.puja
    return NextPujaResponse(
        puja=PujaBriefResponse(
            id=puja.id,
            name=puja.name,
            name_ne=puja.name_ne,
            category=puja.category_id,
            base_price=puja.base_price,
            currency=puja.currency,
        ),
        score=advice.score,
        reason=advice.reason,
        detail=advice.detail,
        detail_ne=advice.detail_ne,
        reasons=[_present_because(each) for each in advice.because],
        first_day=advice.first_day,
        first_day_bs=bs_text(advice.first_day),
        last_day=advice.last_day,
        last_day_bs=bs_text(advice.last_day),
    )


def present_models(listing: ModelListing, state: ModelState, reader: Reader) -> ModelsResponse:
    """Show the store."""
    return ModelsResponse(
        results=[_present_version(each, state) for each in listing.versions],
        current=listing.current,
        live=present_state(state, reader),
    )


def _present_version(model: ModelVersion, state: ModelState) -> ModelResponse:
    return ModelResponse(
        version=model.version,
        is_current=model.is_current,
        is_live=model.version == state.version,
        created_at=model.created_at,
        code_version=model.code_version,
        engine=model.engine,
        models=dict(model.models),
        metrics=dict(model.metrics),
        baselines=dict(model.baselines),
        gates=[dict(gate) for gate in model.gates],
        gates_failed=list(model.gates_failed),
        training_window=dict(model.training_window),
        has_report=model.has_report,
        problem=model.problem,
    )


def present_state(state: ModelState, reader: Reader) -> LiveModelResponse:
    """Show what serves."""
    fault = state.last_error
    return LiveModelResponse(
        version=state.version,
        loaded_at=reader.maybe_local(state.loaded_at),
        last_error=None
        if fault is None
        else ModelFaultResponse(
            version=fault.version or None,
            code=fault.code,
            reason=fault.reason,
            at=reader.local(fault.at),
        ),
    )
