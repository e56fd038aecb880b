"""Answers of one trained model, or of the rules alone, in the words of the domain.

An :class:`Advice` is made once for a model and a catalogue, in a worker thread, and shared by all
requests until the next one takes its place. It holds arrays and tables only and changes nothing, so
any thread may ask it. What belongs to one customer is computed from his history at each request
(fold-in): whoever registered a minute ago is served as well as one whom the model was trained with.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from time import sleep
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys import reasons
from recsys.artifact import Ids
from recsys.blend import BlendParams, Bought, Demand, Request, Row, SamagriBlend
from recsys.bundle import Bundle, calibration_of, habits_of, knowledge_of, records_of
from recsys.data import Kind, Tier
from recsys.matrix import Strength, decay
from recsys.models.als import Als
from recsys.models.base import Query
from recsys.next_puja import (
    FESTIVAL,
    PLAIN_FESTIVAL,
    SEASON,
    Family,
    Festival,
    NextPuja,
    Past,
    Spoke,
    plain_again,
    plain_habits,
)
from recsys.pandits import Candidates, PanditParams, PanditRanker, Records, Wish
from recsys.pandits import RankedPandit as Placed
from recsys.shelf import NEW_BELOW, Shelf, ShelfItem
from recsys.signals import Knowledge
from server.domain.account import GeoPoint
from server.domain.booking import OCCUPYING, BookingStatus
from server.domain.catalogue import Puja, SamagriItem, SamagriType
from server.domain.money import Unit
from server.domain.recommendation import (
    MODEL,
    RULES_VERSION,
    AdvisedItem,
    Affordable,
    Because,
    Customer,
    Factor,
    FestivalDay,
    Occasion,
    PanditCandidate,
    PanditQuestion,
    PastBooking,
    PujaAdvice,
    PujaQuestion,
    PujaReason,
    RankedPandit,
    SamagriAdvice,
    SamagriQuestion,
)
from server.domain.texts import written_day

_TIERS: Final = {
    SamagriType.REQUIRED: Tier.REQUIRED,
    SamagriType.ESSENTIAL: Tier.ESSENTIAL,
    SamagriType.OPTIONAL: Tier.OPTIONAL,
}
_TYPES: Final = {tier: kind for kind, tier in _TIERS.items()}
_SOURCES: Final = {
    SamagriType.REQUIRED: "requirement",
    SamagriType.ESSENTIAL: "rule",
    SamagriType.OPTIONAL: "rule",
}
# What somebody else has put together says nothing of the customer.
_BY_RULE: Final = frozenset({"requirement", "rule", "template"})
_KINDS: Final = {FESTIVAL: PujaReason.FESTIVAL, SEASON: PujaReason.SEASON}
_PANDIT_WEIGHTS: Final = {
    "location": 0.20,
    "rating": 0.25,
    "experience": 0.10,
    "reliability": 0.10,
    "availability": 0.05,
    "language": 0.05,
    "past": 0.15,
    "affinity": 0.10,
}
# Nearly every family is served well enough in Nepali, whatever else is spoken at home.
_COMMON_LANGUAGE: Final = "ne"
_GETS_BY: Final = 0.5
# What the catalogue says of its own rules. What they put on a list teaches the model little: it is
# the customers' choice only where they take it off again, so the model alone would think too ill.
_RULE_FLOOR: Final = 0.8
_STRENGTH: Final = Strength()
_REHEARSED: Final = 3
_REHEARSED_DAYS: Final = 40
_REHEARSED_BUDGET: Final = 100_000
_KATHMANDU: Final = GeoPoint(latitude=27.7, longitude=85.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueOfTheDay:
    """What can be recommended: all active items, and all pujas, by id.

    ``retired`` are the ids of items that are switched off: known, and never recommended.
    """

    items: Mapping[str, SamagriItem]
    pujas: Mapping[str, Puja]
    retired: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceParams:
    """What the settings say of the answers.

    ``annual`` are the pujas that follow a lunar day, as the table of festivals has them.
    """

    threshold: float = 0.6
    new_items_share: float = 0.1
    new_pandits_share: float = 0.1
    annual: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Names:
    """Names for reasons, by kind, id and language; of a day how it is written."""

    items: Mapping[str, SamagriItem]
    pujas: Mapping[str, Puja]

    def __call__(self, kind: str, name: str, language: reasons.Language) -> str:
        if kind == "day":
            return written_day(date.fromisoformat(name), language)
        known: SamagriItem | Puja | None = None
        if kind == "item":
            known = self.items.get(name)
        elif kind == "puja":
            known = self.pujas.get(name)
        if known is None:
            return name
        return known.name_ne if language == "ne" else known.name


class Advice:
    """See ``recommendation.Adviser``.

    Parameters
    ----------
    bundle
        A checked model; None: the rules alone.

    Raises
    ------
    ArtifactError
        When the parts of the bundle do not belong together.
    """

    def __init__(
        self, catalogue: CatalogueOfTheDay, params: AdviceParams, bundle: Bundle | None = None
    ) -> None:
        self.catalogue = catalogue
        self._params = params
        self._names = _Names(catalogue.items, catalogue.pujas)
        self._bundle = bundle
        knowledge = None if bundle is None else knowledge_of(bundle)
        items = bundle.ids["items"] if bundle is not None else None
        asked_in = _puja_categories(catalogue)
        self._blend = SamagriBlend(
            Shelf.of(
                (
                    _shelf_item(
                        each, asked_in.get(each.id, frozenset()), _is_new(each.id, items, knowledge)
                    )
                    for each in catalogue.items.values()
                ),
                items,
            ),
            knowledge,
            version=bundle.version if bundle else RULES_VERSION,
            params=BlendParams(
                threshold=params.threshold,
                new_share=params.new_items_share,
                essential_floor=1.0,
                optional_floor=_RULE_FLOOR,
            ),
        )
        self._known = _Known.of(bundle)
        prior = self._known.records
        self._ranker = PanditRanker(
            PanditParams(
                weights=_PANDIT_WEIGHTS,
                rating_mean=prior.rating_mean,
                rating_weight=prior.rating_weight,
                experience_cap=prior.experience_cap(),
                new_share=params.new_pandits_share,
            )
        )
        self._affinities = None if bundle is None else calibration_of(bundle, "pandit")
        self._next = _next_puja(catalogue, params, bundle)
        # Made where the model is made, aside: when the model fails them, nobody waits for it.
        self._rules = Advice(catalogue, params) if bundle is not None else None

    @property
    def version(self) -> str:
        """The version of the model; ``RULES_VERSION`` without one."""
        return self._blend.version

    @property
    def has_model(self) -> bool:
        """Whether a trained model answers."""
        return self._bundle is not None

    @property
    def rules(self) -> Advice:
        """What answers those who are to be served without the model, and where it fails."""
        # Not kept as a reference to itself: a model that is put away is freed at once.
        return self if self._rules is None else self._rules

    def over(self, catalogue: CatalogueOfTheDay) -> Advice:
        """The same model over another catalogue."""
        return Advice(catalogue, self._params, self._bundle)

    def rehearse(self, today: date, *, pause_seconds: float = 0.0) -> None:
        """Ask everything once, as customers will; what the model cannot answer raises.

        Between two questions the thread rests so long: others are asking in earnest meanwhile.

        Asked are pujas, regions and pandits all over the model, for a customer who has a history,
        so that every table and every model is looked up. What the rules cannot answer either is
        the catalogue's fault and says nothing of the model.
        """
        for ask in self._rehearsal(today):
            try:
                ask(self)
            except Exception:
                if not _fails(ask, self.rules):
                    raise
            if pause_seconds:
                sleep(pause_seconds)

    def _rehearsal(self, today: date) -> Iterator[Callable[[Advice], object]]:
        if self._bundle is None or not self.catalogue.pujas or not self.catalogue.items:
            return
        pujas = [self.catalogue.pujas[each] for each in _some(self.catalogue.pujas)]
        items = [self.catalogue.items[each] for each in _some(self.catalogue.items)]
        pandits, regions = (
            _some(self._bundle.ids.get(kind, ())) or ["unknown"] for kind in ("pandits", "regions")
        )
        held = datetime.combine(today - timedelta(days=_REHEARSED_DAYS), time(), UTC)
        history = tuple(
            PastBooking(
                booking_id=f"rehearsed-{puja.id}",
                puja_id=puja.id,
                pandit_id=pandits[number % len(pandits)],
                status=BookingStatus.COMPLETED,
                booked_at=held,
                held_on=held.date(),
                ended_at=held,
                item_ids=tuple(each.id for each in items),
                sources=("customer",) * len(items),
            )
            for number, puja in enumerate(pujas)
        )
        for number, puja in enumerate(pujas):
            customer = Customer(
                user_id="rehearsal",
                city=regions[number % len(regions)],
                language="ne",
                history=history,
            )
            yield from _rehearsed(puja, items[number % len(items)], customer, pandits, today)

    # -- samagri ----------------------------------------------------------------------------------

    def samagri(self, question: SamagriQuestion) -> SamagriAdvice:
        """Say what the puja needs and what is likely wanted beside it."""
        puja, customer, occasion = question.puja, question.customer, question.occasion
        taste, history = self._taste(customer, question.today)
        day = occasion.held_on or question.today
        answer = self._blend.recommend(
            Request(
                puja=puja.id,
                puja_category=puja.category_id,
                demands=tuple(
                    Demand(
                        item_id=need.item_id,
                        tier=_TIERS[need.type],
                        quantity=need.quantity,
                        unit=need.unit.value,
                        source=_SOURCES[need.type],
                    )
                    for need in puja.requirements
                ),
                region=occasion.city or customer.city,
                pandit=occasion.pandit_id,
                month=question.month_bs,
                context_month=day.month - 1,
                added=occasion.added,
                never_show=customer.preferences.never_show,
                favourites=customer.preferences.favourites,
                regretted=_regretted(customer.history, puja.id),
                bought=_bought(customer.history),
                taste=taste,
                history=history,
                budget=question.budget,
                seed=f"{customer.user_id}:{question.today}" if question.explores else "",
            )
        )
        return SamagriAdvice(
            items=tuple(self._item(row, puja) for row in answer.rows),
            total=answer.total,
            shortfall=answer.shortfall,
            model_version=answer.model_version,
            left_out=tuple(self._item(row, puja) for row in answer.left_out),
        )

    def together(
        self, item: SamagriItem, customer: Customer, *, month_bs: int, limit: int
    ) -> tuple[AdvisedItem, ...]:
        """Say what goes with an item: by the model, or by the pujas that need both."""
        hidden = customer.preferences.never_show
        found = self._blend.companions(item.id, limit=limit, month=month_bs, never_show=hidden)
        source = MODEL if found else "rule"
        if not found:
            found = self._by_pujas(item, hidden, month_bs)[:limit]
        return tuple(self._companion(item_id, reason, source) for item_id, reason in found)

    def _companion(self, item_id: str, reason: reasons.Reason, source: str) -> AdvisedItem:
        item = self.catalogue.items[item_id]
        return AdvisedItem(
            item=item,
            quantity=Decimal(item.base_quantity),
            unit=item.base_unit,
            type=SamagriType.OPTIONAL,
            source=source,
            confidence=float(reason.data["rate"]),
            price=item.price,
            because=(self._because(reason, ""),),
        )

    def _by_pujas(
        self, item: SamagriItem, hidden: frozenset[str], month_bs: int
    ) -> list[tuple[str, reasons.Reason]]:
        """Items that the same pujas need, those first that few others need."""
        uses: dict[str, set[str]] = {}
        for puja in self.catalogue.pujas.values():
            for need in puja.requirements:
                uses.setdefault(need.item_id, set()).add(puja.id)
        own = uses.pop(item.id, set())
        ranked = []
        for other_id, others in uses.items():
            other, both = self.catalogue.items.get(other_id), len(own & others)
            if other is None or not both or other_id in hidden:
                continue
            if other.is_in_season(month_bs):
                ranked.append((-both / len(own | others), other_id, both))
        return [
            (
                other_id,
                reasons.Reason(
                    reasons.Code.SAME_PUJAS,
                    0.0,
                    {"item": item.id, "count": both, "rate": round(both / len(own), 3)},
                ),
            )
            for _, other_id, both in sorted(ranked)
        ]

    def affordable(self, lines: Sequence[Affordable], budget: int) -> frozenset[str]:
        """Choose among lines those of the highest worth whose prices fit a budget; ids of items."""
        return self._blend.affordable(
            [(each.item_id, each.price, each.confidence, each.source == MODEL) for each in lines],
            budget,
        )

    def _item(self, row: Row, puja: Puja) -> AdvisedItem:
        return AdvisedItem(
            item=self.catalogue.items[row.item_id],
            quantity=row.quantity,
            unit=Unit(row.unit),
            type=_TYPES[row.tier],
            source=row.source,
            confidence=row.confidence,
            price=row.price,
            because=tuple(self._because(each, puja.id) for each in row.reasons),
            over_budget=row.over_budget,
            is_hidden=row.user_hidden,
            is_explored=row.explored,
            propensity=row.propensity,
            is_in_season=row.in_season,
            substitute_of=row.substitute_of,
        )

    def _because(self, reason: reasons.Reason, puja_id: str) -> Because:
        english, nepali = (
            reasons.text(reason, language, self._names, puja_id=puja_id)
            for language in ("en", "ne")
        )
        return Because(reason.code.value, reason.weight, dict(reason.data), english, nepali)

    def _taste(self, customer: Customer, today: date) -> tuple[NDArray[np.float32] | None, int]:
        """The customer's vector among items, and of how many items he is known to like or not."""
        model = self._model("user_item")
        if model is None or self._bundle is None:
            return None, 0
        given, weights = _cells(_tasted(customer, today), self._bundle.ids["items"])
        if not (weights > 0).any():
            return None, 0
        return model.vector(Query(given, weights, {})), len(given)

    def _model(self, slot: str) -> Als | None:
        found = self._bundle.models.get(slot) if self._bundle is not None else None
        return found if isinstance(found, Als) else None

    # -- pandits ----------------------------------------------------------------------------------

    def pandits(self, question: PanditQuestion) -> tuple[RankedPandit, ...]:
        """Put the candidates in order, best first; he falls away whom the customer rated 1 or 2."""
        near = question.near
        ranked = self._ranker.rank(
            self._candidates(question),
            Wish(
                latitude=near.latitude if near else math.nan,
                longitude=near.longitude if near else math.nan,
            ),
            question.limit,
        )
        return tuple(_ranked(each) for each in ranked)

    def newcomers(self, by_merit: Sequence[RankedPandit], seed: str) -> tuple[RankedPandit, ...]:
        """Tell of whom one may be tried in this list, behind its first five."""
        is_new = np.array([each.is_new for each in by_merit], np.bool_)
        return tuple(by_merit[row] for row in self._ranker.newcomers(is_new, seed).tolist())

    def with_new(
        self,
        shown: Sequence[RankedPandit],
        newcomers: Sequence[RankedPandit],
        seed: str,
        counted: Mapping[str, tuple[int, int]],
    ) -> tuple[RankedPandit, ...]:
        """Put one of these newcomers into the fourth or fifth place."""
        if not newcomers:
            return tuple(shown)
        ids = [each.pandit_id for each in newcomers]
        counts = [counted.get(each, (0, 0)) for each in ids]
        recommended = _floats(count for count, _ in counts)
        found = self._ranker.trial(ids, recommended, _floats(count for _, count in counts), seed)
        tried = replace(newcomers[found.row], is_explored=True, propensity=found.propensity)
        others = [each for each in shown if each.pandit_id != tried.pandit_id]
        return (*others[: found.place], tried, *others[found.place :])

    def _candidates(self, question: PanditQuestion) -> Candidates:
        given = question.candidates
        ids = [each.pandit_id for each in given]
        points = [each.point for each in given]
        reviews = _floats(each.review_count for each in given)
        this, other, let_down = self._known.of_pandits(ids, question.puja_id)
        customer = question.customer
        times = Counter(
            past.pandit_id for past in customer.history if past.status is BookingStatus.COMPLETED
        )
        nothing = np.zeros(len(given))
        return Candidates(
            pandit_id=ids,
            is_eligible=np.ones(len(given), np.bool_),
            is_free=np.ones(len(given), np.bool_),
            must_move=np.zeros(len(given), np.bool_),
            latitude=_floats(point.latitude if point else math.nan for point in points),
            longitude=_floats(point.longitude if point else math.nan for point in points),
            max_km=np.full(len(given), np.inf),
            rating_sum=_floats(each.rating for each in given) * reviews,
            rating_count=reviews,
            done_this=this,
            # Each review is of a booking that was held, whatever the model has seen of it.
            done_other=np.maximum(other, reviews - this),
            years=_floats(each.experience_years for each in given),
            cancelled=let_down,
            no_show=nothing,
            language=_languages(given, customer.language),
            past_times=_floats(times.get(each, 0) or math.nan for each in ids),
            past_stars=_floats(customer.stars.get(each, math.nan) for each in ids),
            affinity=self._affinity(question, ids),
            price=_floats(math.nan if each.price is None else each.price for each in given),
            shown=nothing,
            booked=nothing,
        )

    def _affinity(self, question: PanditQuestion, ids: Sequence[str]) -> NDArray[np.float64]:
        model = self._model("pandit")
        if model is None or self._bundle is None:
            return np.full(len(ids), np.nan)
        known = self._bundle.ids["pandits"]
        given, weights = _cells(_liked(question.customer, "pandit", question.today), known)
        if not len(given):
            return np.full(len(ids), np.nan)
        indexes = np.array([known.index(each) for each in ids], np.int64)
        scores = model.item_[indexes] @ model.vector(Query(given, weights, {}))
        # ALS predicts a preference of 0 or 1: without a calibration the nearest number between.
        calibration = self._affinities
        likely = np.clip(scores, 0.0, 1.0) if calibration is None else calibration(scores)
        return np.where(indexes >= 0, likely, np.nan)

    # -- the next puja ----------------------------------------------------------------------------

    def pujas(self, question: PujaQuestion) -> tuple[PujaAdvice, ...]:
        """Propose pujas, the likeliest first."""
        customer = question.customer
        scores, spoke = self._puja_scores(question)
        proposed = self._next.suggest(
            Family(
                today=question.today,
                region=customer.city,
                past=_pasts(customer, question.today),
                booked=tuple(
                    (past.puja_id, past.held_on)
                    for past in customer.history
                    if past.status in OCCUPYING and past.held_on >= question.today
                ),
            ),
            [Festival(f.puja_id, f.day, f.name, f.name_ne) for f in question.festivals],
            scores=scores,
            spoke=spoke,
            limit=question.limit,
        )
        return tuple(
            PujaAdvice(
                puja=self.catalogue.pujas[each.puja_id],
                score=each.confidence,
                reason=_KINDS.get(each.kind, PujaReason.HISTORY),
                detail=because[0].text,
                detail_ne=because[0].text_ne,
                first_day=each.from_day,
                last_day=each.to_day,
                because=because,
            )
            for each in proposed
            if each.puja_id in self.catalogue.pujas
            for because in [tuple(self._because(one, each.puja_id) for one in each.reasons)]
            if because
        )

    def _puja_scores(
        self, question: PujaQuestion
    ) -> tuple[NDArray[np.float32] | None, Spoke | None]:
        """The scores of all pujas, and what the customer's own add to them."""
        if self._bundle is None or self._next.habits.spread[0] <= 0:
            return None, None
        model, ids = self._bundle.models.get("puja"), self._bundle.ids["pujas"]
        given, weights = _cells(_liked(question.customer, "puja", question.today), ids)
        if model is None or not len(given):
            return None, None
        scores = model.score(given, weights=weights)

        def spoke() -> dict[str, NDArray[np.float32]]:
            # By leaving each out, which every kind of model can be asked.
            left_out = (
                model.score(np.delete(given, at), weights=np.delete(weights, at))
                for at in range(len(given))
            )
            return dict(
                zip(ids.decode(given), (scores - without for without in left_out), strict=True)
            )

        return scores, spoke


# -- what is made once for a model -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What the model tells of pandits by id: what they held, and whom they let down."""

    records: Records
    pandits: Ids
    pujas: Ids

    @classmethod
    def of(cls, bundle: Bundle | None) -> _Known:
        """The records of a model; without one nobody is known."""
        records = None if bundle is None else records_of(bundle)
        if bundle is None or records is None:
            nobody = np.zeros(0, np.int32)
            return cls(Records(done=nobody, let_down=nobody), Ids(()), Ids(()))
        return cls(records, bundle.ids["pandits"], bundle.ids["pujas"])

    def of_pandits(
        self, ids: Sequence[str], puja_id: str | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """By pandit the bookings of this puja and of others that he held, and those let down.

        All are 0 for whom the model does not know.
        """
        this, other, let_down = np.zeros((3, len(ids)))
        indexes = np.array([self.pandits.index(each) for each in ids], np.int64)
        known = np.flatnonzero(indexes >= 0)
        of = indexes[known]
        this[known] = self.records.of_puja(self.pujas.index(puja_id))[of]
        other[known] = self.records.done[of] - this[known]
        let_down[known] = self.records.let_down[of]
        return this, other, let_down


def _is_new(item_id: str, model_ids: Ids | None, knowledge: Knowledge | None) -> bool:
    """Whether the model cannot know yet if anybody wants it: the ids hold the whole catalogue."""
    if model_ids is None:
        return False
    column = model_ids.index(item_id)
    if column < 0 or knowledge is None:
        return column < 0
    return bool(knowledge.tables.item_totals[column] < NEW_BELOW)


def _puja_categories(catalogue: CatalogueOfTheDay) -> Mapping[str, frozenset[str]]:
    """By item the categories of the pujas that ask for it."""
    found = defaultdict[str, frozenset[str]](frozenset)
    for puja in catalogue.pujas.values():
        for need in puja.requirements:
            found[need.item_id] |= {puja.category_id}
    return found


def _shelf_item(item: SamagriItem, puja_categories: frozenset[str], is_new: bool) -> ShelfItem:
    return ShelfItem(
        item_id=item.id,
        price=item.price,
        base_quantity=Decimal(item.base_quantity),
        base_unit=item.base_unit.value,
        category=item.category_id,
        season=item.season,
        substitutes=item.substitutes,
        is_new=is_new,
        puja_categories=puja_categories,
    )


def _next_puja(
    catalogue: CatalogueOfTheDay, params: AdviceParams, bundle: Bundle | None
) -> NextPuja:
    habits = habits_of(bundle) if bundle is not None else None
    if bundle is None or habits is None:
        return _plain_next(catalogue, params)
    pujas = bundle.ids["pujas"]
    if not habits.festival.any():
        # Trained without a table of festivals: what families do at one was not counted.
        shape = habits.festival.shape
        again = np.broadcast_to(plain_again(), habits.again_at_festival.shape)
        habits = replace(
            habits,
            festival=np.full(shape, PLAIN_FESTIVAL, np.float32),
            again_at_festival=again,
        )
    return NextPuja(pujas, pujas.ids, bundle.ids["regions"], habits, _once(catalogue))


def _plain_next(catalogue: CatalogueOfTheDay, params: AdviceParams) -> NextPuja:
    pujas = Ids(sorted(catalogue.pujas))
    habits = plain_habits(
        [catalogue.pujas[each].months_bs for each in pujas],
        [each in params.annual for each in pujas],
    )
    return NextPuja(pujas, pujas.ids, Ids(()), habits, _once(catalogue))


def _once(catalogue: CatalogueOfTheDay) -> frozenset[str]:
    return frozenset(puja.id for puja in catalogue.pujas.values() if not puja.is_repeatable)


def _rehearsed(
    puja: Puja, item: SamagriItem, customer: Customer, pandits: Sequence[str], today: date
) -> Iterator[Callable[[Advice], object]]:
    """The questions of one puja: its list, empty and begun, and the others with it in mind."""
    empty = SamagriQuestion(
        puja=puja,
        customer=customer,
        occasion=Occasion(city=customer.city, pandit_id=pandits[0]),
        today=today,
        month_bs=1,
        budget=_REHEARSED_BUDGET,
        explores=True,
    )
    begun = replace(empty, occasion=replace(empty.occasion, added=(item.id,)))
    who = PanditQuestion(
        puja_id=puja.id,
        customer=customer,
        near=_KATHMANDU,
        candidates=[
            PanditCandidate(
                pandit_id=each,
                languages=("ne",),
                experience_years=10,
                rating=4.5,
                review_count=8,
                point=_KATHMANDU,
                price=_REHEARSED_BUDGET,
            )
            for each in pandits
        ],
        today=today,
    )
    day = today + timedelta(days=7)
    feast = FestivalDay(puja_id=puja.id, day=day, name=puja.name, name_ne=puja.name_ne)
    what = PujaQuestion(customer=customer, today=today, festivals=[feast], limit=20)
    yield lambda adviser: adviser.samagri(empty)
    yield lambda adviser: adviser.samagri(begun)
    yield lambda adviser: _tried(adviser, who)
    yield lambda adviser: adviser.pujas(what)
    yield lambda adviser: adviser.together(item, customer, month_bs=1, limit=10)


def _tried(adviser: Advice, who: PanditQuestion) -> tuple[RankedPandit, ...]:
    ranked = adviser.pandits(who)
    return adviser.with_new(ranked, ranked, "rehearsal", {})


def _fails(ask: Callable[[Advice], object], adviser: Advice) -> bool:
    try:
        ask(adviser)
    except Exception:
        return True
    return False


def _some(ids: Iterable[str]) -> list[str]:
    """A few of the ids, at equal distances."""
    known = sorted(ids)
    return known[:: max(1, -(-len(known) // _REHEARSED))]


# -- what is made of a customer's history ----------------------------------------------------------


def _weighed(customer: Customer, target: str, today: date) -> Iterable[tuple[PastBooking, float]]:
    """The bookings, and how much each still counts."""
    half_life = _STRENGTH.half_life_days[target]
    ages = _floats((today - past.held_on).days for past in customer.history)
    return zip(customer.history, decay(ages, half_life).tolist(), strict=True)


def _liked(customer: Customer, target: str, today: date) -> dict[str, float]:
    """How strongly the customer is tied to pandits or pujas by his bookings."""
    made = _STRENGTH.weights.get(Kind.BOOKING_CREATED.name, 0.0)
    held = _STRENGTH.weights.get(Kind.BOOKING_COMPLETED.name, 0.0)
    strengths: dict[str, float] = {}
    for past, weight in _weighed(customer, target, today):
        if past.status in (BookingStatus.CANCELLED, BookingStatus.FAILED):
            continue
        name = past.pandit_id if target == "pandit" else past.puja_id
        worth = made + (held if past.status is BookingStatus.COMPLETED else 0.0)
        strengths[name] = strengths.get(name, 0.0) + weight * worth
    return strengths


def _tasted(customer: Customer, today: date) -> dict[str, float]:
    """How strongly the customer is tied to items, as `matrix.users_by` has it at training.

    There it comes from events, here from the bookings that these were told of: what he put on the
    list of a booking and what he took off it, told when the booking was accepted or ended, and what
    he had at the end. What a rule put there says nothing of him, what was recommended says less.
    What he has said that he likes is told as the best of ratings.
    """
    weights = _STRENGTH.weights
    strengths: dict[str, float] = {}

    def add(worth: float, item_id: str, on: date) -> None:
        age = np.array([(today - on).days], np.float64)
        worth *= decay(age, _STRENGTH.half_life_days["item"]).item()
        strengths[item_id] = strengths.get(item_id, 0.0) + worth

    def tell(kind: Kind, item_id: str, at: datetime, *, shown: bool) -> None:
        worth = weights.get(kind.name, 0.0)
        add(worth * (_STRENGTH.from_recommendation if shown else 1.0), item_id, at.date())

    said = customer.preferences
    for item_id in sorted(said.favourites):
        liked_on = said.since[item_id].date() if item_id in said.since else today
        add(_STRENGTH.ratings[-1], item_id, liked_on)
    for past in customer.history:
        if past.status is BookingStatus.PENDING:
            continue
        for item_id, source in zip(past.item_ids, past.sources, strict=False):
            if source in _BY_RULE:
                continue
            if source != MODEL:
                tell(Kind.SAMAGRI_ADDED, item_id, past.booked_at, shown=False)
            if past.status is BookingStatus.COMPLETED:
                tell(Kind.SAMAGRI_PURCHASED, item_id, past.ended_at, shown=source == MODEL)
        for item_id in past.declined:
            # What was taken off had been put there for him.
            tell(Kind.SAMAGRI_REMOVED, item_id, past.booked_at, shown=True)
    return {item_id: worth for item_id, worth in strengths.items() if worth}


def _cells(
    strengths: Mapping[str, float], ids: Ids
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """A row as the models want it: indexes and strengths, without what they do not know."""
    found = sorted((index, r) for name, r in strengths.items() if (index := ids.index(name)) >= 0)
    weights = np.array([r for _, r in found], np.float32)
    return (
        np.array([index for index, _ in found], np.int32),
        np.clip(weights, _STRENGTH.low, _STRENGTH.high),
    )


def _bought(history: Sequence[PastBooking]) -> dict[str, Bought]:
    times: Counter[str] = Counter()
    last: dict[str, int] = {}
    for past in history:
        if past.status is not BookingStatus.COMPLETED:
            continue
        at = round(past.ended_at.timestamp() * 1000)
        for item_id in past.item_ids:
            times[item_id] += 1
            last[item_id] = max(last.get(item_id, 0), at)
    return {item_id: Bought(count, last[item_id]) for item_id, count in times.items()}


def _regretted(history: Sequence[PastBooking], puja_id: str) -> frozenset[str]:
    """What he took off in two of his last three bookings of this puja."""
    latest = [past for past in history if past.puja_id == puja_id][:3]
    times = Counter(item_id for past in latest for item_id in past.declined)
    return frozenset(item_id for item_id, count in times.items() if count >= 2)


def _pasts(customer: Customer, today: date) -> tuple[Past, ...]:
    by_puja: dict[str, list[PastBooking]] = {puja_id: [] for puja_id in customer.last_held}
    for past in customer.history:
        by_puja.setdefault(past.puja_id, []).append(past)
    found = []
    for puja_id, mine in by_puja.items():
        held = [each.held_on for each in mine if _was_held(each, today)]
        if not held and puja_id in customer.last_held:
            held = [customer.last_held[puja_id]]
        running = 0
        for each in mine:  # the latest first
            if each.status is not BookingStatus.CANCELLED:
                break
            running += 1
        if held or running >= 2:
            last = max(held, default=today)
            found.append(Past(puja_id, last, times=len(held), cancelled_running=running))
    return tuple(found)


def _was_held(past: PastBooking, today: date) -> bool:
    """Whether it has been held, though perhaps nobody has said so yet."""
    agreed = (BookingStatus.ACCEPTED, BookingStatus.IN_PROGRESS)
    is_over = past.status in agreed and past.held_on < today
    return is_over or past.status is BookingStatus.COMPLETED


def _ranked(placed: Placed) -> RankedPandit:
    return RankedPandit(
        pandit_id=placed.pandit_id,
        score=placed.score,
        factors={
            name: Factor(
                each.value,
                each.weight,
                each.contribution,
                None if math.isnan(each.raw) else each.raw,
            )
            for name, each in placed.factors.items()
        },
        is_new=placed.is_new,
    )


def _languages(given: Sequence[PanditCandidate], wanted: str) -> NDArray[np.float64]:
    """How well each speaks the customer's language; null where that is not known."""
    if not wanted:
        return np.full(len(given), np.nan)
    return _floats(
        1.0 if wanted in each.languages else _GETS_BY if _COMMON_LANGUAGE in each.languages else 0.0
        for each in given
    )


def _floats(values: Iterable[float]) -> NDArray[np.float64]:
    return np.fromiter(values, np.float64)
