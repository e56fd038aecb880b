"""What customers are advised: samagri for a puja, pandits who suit, the puja to hold next.

The service gathers what is known of the customer and asks the model that serves at that moment;
without one the rules answer in the same form. A list of samagri or pandits that could not be
advised for any other reason is made by the rules too: nobody's booking fails for a model.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

from server.domain.account import NEPAL, Actor, GeoPoint
from server.domain.audit import Act
from server.domain.calendar import local_today
from server.domain.catalogue import Puja, SamagriType
from server.domain.errors import NotFound
from server.domain.experiment import RULES_ARM
from server.domain.learning import Surface, Trial
from server.domain.notification import NotificationPreferences
from server.domain.ports.accounts import UserRepository
from server.domain.ports.bookings import BookingRepository
from server.domain.ports.catalogue import CatalogueRepository
from server.domain.ports.kundali import FestivalCalendar
from server.domain.ports.learning import Models
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.pandits import PanditHit, PanditRepository, PanditSearch
from server.domain.ports.reviews import ReviewRepository
from server.domain.ports.world import Clock
from server.domain.recommendation import (
    NOBODY,
    RULE_CODE,
    RULES_VERSION,
    AdvisedItem,
    Adviser,
    Customer,
    ModelListing,
    ModelState,
    Occasion,
    PanditCandidate,
    PanditQuestion,
    Preferences,
    PujaAdvice,
    PujaQuestion,
    RankedPandit,
    SamagriAdvice,
    SamagriQuestion,
)
from server.domain.search import PanditCard, coarse_point
from server.services.audit import AuditService
from server.services.pandits import PanditService
from server.services.samagri import RuleRecommender, Suggestion
from server.services.seasons import month_bs

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)
_HISTORY_ROWS: Final = 30
_RECENT_SECONDS: Final = 1.0
_STARS_ROWS: Final = 100
_FESTIVAL_DAYS: Final = 60
_FEWEST_CARDS: Final = 8
_BEFORE_NEW: Final = 5
"""So many places by merit decide whether a list tries somebody new."""
_WINDOW_ROWS: Final = 20
_WINDOW: Final = "window"
"""Marks a cursor of the ranked search; what follows: offset, size, and where the window begins."""


class PreferenceSource(Protocol):
    """Knows what customers want, and never want to see."""

    async def find(self, user_id: str) -> Preferences:
        """Return what a customer has said; nothing of one who has said nothing."""
        ...


class Wishes(Protocol):
    """Knows what people do not want to hear of."""

    async def wishes_of(self, user_id: str) -> NotificationPreferences:
        """Return what the person has said, else the defaults."""
        ...


class Tallies(Protocol):
    """Knows what became of what was recommended."""

    async def of_targets(
        self, surface: str, targets: Collection[str]
    ) -> Mapping[str, tuple[int, int]]:
        """Return how often each was recommended on a surface, and bought of it, by target.

        Over all models and arms, in one query; one that was never recommended is missing.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendationPolicy:
    """The settings of recommendations; see ``settings.RecommenderSettings``."""

    max_candidates: int


class CustomerReader:
    """Reads what recommendations know of a customer, from his bookings and what he has said."""

    def __init__(
        self,
        users: UserRepository,
        bookings: BookingRepository,
        reviews: ReviewRepository,
        preferences: PreferenceSource,
    ) -> None:
        self._users = users
        self._bookings = bookings
        self._reviews = reviews
        self._preferences = preferences

    async def read(self, user_id: str | None) -> Customer:
        """Return the customer; three queries at once, each by an index."""
        if not user_id:
            return NOBODY
        user, history, preferences = await asyncio.gather(
            self._users.find(user_id),
            self._bookings.past_of(user_id, _HISTORY_ROWS),
            self._preferences.find(user_id),
        )
        place = user.location if user else None
        return Customer(
            user_id=user_id,
            city=place.city if place else "",
            language=user.language if user else "",
            home=place.point if place else None,
            preferences=preferences,
            history=history,
        )

    async def read_with_stars(self, user_id: str | None) -> Customer:
        """Return the customer, and what he thought of the pandits he had."""
        if not user_id:
            return NOBODY
        customer, stars = await asyncio.gather(
            self.read(user_id), self._reviews.stars_given(user_id, _STARS_ROWS)
        )
        return replace(customer, stars=stars)

    async def read_with_pujas(self, user_id: str) -> Customer:
        """Return the customer, and when he held each puja last."""
        customer, last_held = await asyncio.gather(
            self.read(user_id), self._bookings.last_held(user_id)
        )
        return replace(customer, last_held=last_held)


class Advisers:
    """Chooses who answers a customer: the model that serves, or the rules of an experiment's arm.

    ``arm_of`` tells a customer's arm.
    """

    def __init__(self, models: Models, arm_of: Callable[[str], str]) -> None:
        self._models = models
        self._arm_of = arm_of

    def of(self, user_id: str | None) -> Adviser:
        """Return the customer's adviser; take it once for an answer and keep it to its end."""
        current = self._models.current
        return current.rules if user_id and self._arm_of(user_id) == RULES_ARM else current


def _answered(
    adviser: Adviser, task: str, observe: Callable[[str, str], None], ask: Callable[[Adviser], T]
) -> tuple[T, str]:
    """Ask the adviser, and where he fails the rules; the answer, and whose version it is."""
    if adviser.has_model:
        try:
            found = ask(adviser), adviser.version
        except Exception:
            # Whatever the model stumbles over, the rules know what the puja needs.
            _log.exception("not_advised", extra={"task": task, "version": adviser.version})
            observe(task, "failed")
            adviser = adviser.rules
        else:
            observe(task, "model")
            return found
    else:
        observe(task, "rules")
    return ask(adviser), adviser.version


class Issuer(Protocol):
    """Makes the ids by which feedback names recommendations."""

    def issue(
        self,
        actor: Actor,
        surface: Surface,
        *,
        version: str,
        targets: Sequence[str],
        puja_id: str | None = None,
        tried: tuple[str, Trial] | None = None,
    ) -> str:
        """Return the id of a recommendation of these things; never waits.

        ``tried`` is the one of them that is there to be tried, and not by merit.
        """
        ...


class AdvisedSamagri:
    """The samagri that is added to bookings (a ``samagri.SamagriRecommender``).

    What is required or essential comes from the rules as it is. What is optional, whether a rule
    names it or the model has found it, is judged by the model.
    """

    def __init__(
        self,
        advisers: Advisers,
        customers: CustomerReader,
        clock: Clock,
        observe: Callable[[str, str], None],
    ) -> None:
        self._advisers = advisers
        self._customers = customers
        self._clock = clock
        self._observe = observe
        self._rules = RuleRecommender()

    async def suggest(self, puja: Puja, occasion: Occasion) -> Sequence[Suggestion]:
        """Return suggestions for this puja on this occasion, in any order."""
        ruled = await self._rules.suggest(puja, occasion)
        customer = await self._customers.read(occasion.user_id)
        adviser = self._advisers.of(occasion.user_id)
        today = local_today(self._clock.now(), NEPAL)
        question = SamagriQuestion(
            puja=puja,
            customer=customer,
            occasion=occasion,
            today=today,
            month_bs=month_bs(occasion.held_on or today),
        )
        try:
            advice = adviser.samagri(question)
        except Exception:
            # A booking is worth more than a good list: what the rules say is always right.
            _log.exception("samagri_not_advised", extra={"version": adviser.version})
            self._observe("auto_add", "failed")
            hidden = customer.preferences.never_show
            return [
                each for each in ruled if not each.type.can_remove or each.item_id not in hidden
            ]
        self._observe("auto_add", "model" if adviser.has_model else "rules")
        noted = {
            each.substitute_of or each.item.id: each
            for each in advice.items
            if each.is_hidden or each.substitute_of or not each.is_in_season
        }
        needed = [
            _noted(each, noted[each.item_id]) if each.item_id in noted else each
            for each in ruled
            if not each.type.can_remove
        ]
        version = advice.model_version
        return [replace(each, advised_by=version) for each in (*needed, *_optional(advice))]


def _noted(suggestion: Suggestion, item: AdvisedItem) -> Suggestion:
    """The same with what is to be said of it, or what stands for it while it cannot be had.

    It may be there although the customer did not want to see it, or although it is out of season.
    """
    return replace(
        suggestion,
        item_id=item.item.id,
        quantity=item.quantity,
        unit=item.unit,
        reason=" ".join(each.text for each in item.because),
        reason_ne=" ".join(each.text_ne for each in item.because),
    )


def _optional(advice: SamagriAdvice) -> list[Suggestion]:
    found = []
    for each in advice.items:
        if each.type is not SamagriType.OPTIONAL or each.is_explored:
            continue
        # A rule without a stronger reason has its own words, which say what the item is for.
        because = each.because[0] if each.because else None
        is_plain = because is None or because.code == RULE_CODE
        found.append(
            Suggestion(
                item_id=each.item.id,
                quantity=each.quantity,
                unit=each.unit,
                type=each.type,
                confidence=each.confidence,
                source=each.source,
                reason="" if because is None or is_plain else because.text,
                reason_ne="" if because is None or is_plain else because.text_ne,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class AdvisedPandit:
    """A place of the ranking with the card that goes with it."""

    place: RankedPandit
    card: PanditCard


@dataclass(frozen=True, slots=True)
class PanditAdvice:
    """Pandits who suit, best first."""

    places: tuple[AdvisedPandit, ...]
    model_version: str
    rec_id: str | None = None


@dataclass(frozen=True, slots=True)
class TogetherAdvice:
    """What goes with an item, the most telling first."""

    items: tuple[AdvisedItem, ...]
    model_version: str
    rec_id: str | None = None


@dataclass(frozen=True, slots=True)
class NextPujas:
    """Pujas worth proposing, the likeliest first."""

    proposals: tuple[PujaAdvice, ...]
    model_version: str
    rec_id: str | None = None


class RankedSearch:
    """The order "recommended" of the search, as the model sees it for this customer.

    The database finds candidates by an index, in its own order; windows of them are put in the
    model's order and handed out page by page. A cursor names its window and the place in it, so
    while one model serves no pandit comes twice or is left out.
    """

    def __init__(
        self,
        pandits: PanditRepository,
        advisers: Advisers,
        customers: CustomerReader,
        clock: Clock,
        observe: Callable[[str, str], None],
    ) -> None:
        self._pandits = pandits
        self._advisers = advisers
        self._customers = customers
        self._clock = clock
        self._observe = observe

    async def page(self, actor: Actor | None, search: PanditSearch) -> Page[PanditHit]:
        """Return a page, in the model's order where a model serves and that order is asked for."""
        if search.sort != "recommended":
            return await self._pandits.search(search)
        start, offset, size = _window_of(search.after)
        user_id = actor.user_id if actor else None
        if size == 0 and not self._advisers.of(user_id).has_model:
            page, customer = await asyncio.gather(
                self._pandits.search(search), self._customers.read_with_stars(user_id)
            )
            rows, _ = self._explained(customer, search, page.rows)
            return Page(rows, page.next_key)
        size = size or -(-_WINDOW_ROWS // search.limit) * search.limit
        window, customer = await asyncio.gather(
            self._pandits.search(replace(search, limit=size, after=start)),
            self._customers.read_with_stars(user_id),
        )
        explained, places = self._explained(customer, search, window.rows)
        # Whom he was badly served by comes last: a search hides nobody.
        ordered = sorted(explained, key=lambda hit: places.get(hit.pandit.id, len(places)))
        end = offset + search.limit
        next_key = window.next_key
        if end < len(ordered):
            next_key = (_WINDOW, end, size, *(start or ()))
        return Page(tuple(ordered[offset:end]), next_key)

    def _explained(
        self, customer: Customer, search: PanditSearch, hits: tuple[PanditHit, ...]
    ) -> tuple[tuple[PanditHit, ...], dict[str, int]]:
        """The same with the factors that speak for each, and the place that they give him."""
        question = PanditQuestion(
            puja_id=search.puja_ids[0] if search.puja_ids and len(search.puja_ids) == 1 else None,
            customer=customer,
            near=search.near,
            candidates=[_candidate_of(hit) for hit in hits],
            today=local_today(self._clock.now(), NEPAL),
        )
        adviser = self._advisers.of(customer.user_id)
        found, _ = _answered(adviser, "search", self._observe, lambda each: each.pandits(question))
        ranked = {placed.pandit_id: (place, placed.factors) for place, placed in enumerate(found)}
        explained = tuple(
            replace(hit, factors=ranked[hit.pandit.id][1]) if hit.pandit.id in ranked else hit
            for hit in hits
        )
        return explained, {pandit_id: place for pandit_id, (place, _) in ranked.items()}


def _candidate_of(hit: PanditHit) -> PanditCandidate:
    pandit = hit.pandit
    point = pandit.location.point
    return PanditCandidate(
        pandit_id=pandit.id,
        languages=pandit.languages,
        experience_years=pandit.experience_years,
        rating=pandit.rating,
        review_count=pandit.review_count,
        point=coarse_point(point) if point else None,
        price=hit.price,
    )


def _window_of(after: SortKey | None) -> tuple[SortKey | None, int, int]:
    """Where the window begins, the place in it, and its size; 0: none was begun."""
    if after is None or after[0] != _WINDOW:
        return after, 0, 0
    _, offset, size, *start = after
    return tuple(start) or None, offset, size


class RecentPujas:
    """Pujas as they were a moment ago: many ask for the same few at once.

    What is booked is read when it is booked; here a rule that was edited may be told a second late.
    """

    def __init__(
        self, catalogue: CatalogueRepository, *, recent_seconds: float = _RECENT_SECONDS
    ) -> None:
        self._catalogue = catalogue
        self._recent_seconds = recent_seconds
        self._known: dict[str, tuple[float, Puja]] = {}

    async def find(self, puja_id: str) -> Puja | None:
        """Return the puja, or None."""
        now = asyncio.get_running_loop().time()
        read_at, puja = self._known.get(puja_id, (-math.inf, None))
        if puja is None or now - read_at >= self._recent_seconds:
            puja = await self._catalogue.find_puja(puja_id)
            # Only what exists is kept, so there are never more than pujas.
            if puja is not None:
                self._known[puja_id] = now, puja
        return puja


class RecommendationService:
    """The use cases of recommendations, and of the models behind them."""

    def __init__(
        self,
        *,
        audit: AuditService,
        models: Models,
        advisers: Advisers,
        issuer: Issuer,
        customers: CustomerReader,
        wishes: Wishes,
        catalogue: CatalogueRepository,
        tallies: Tallies,
        pandits: PanditRepository,
        profiles: PanditService,
        festivals: FestivalCalendar,
        clock: Clock,
        policy: RecommendationPolicy,
        observe: Callable[[str, str], None],
    ) -> None:
        self._audit = audit
        self.models = models
        self._advisers = advisers
        self._issuer = issuer
        self._customers = customers
        self._wishes = wishes
        self._catalogue = catalogue
        self._pujas = RecentPujas(catalogue)
        self._tallies = tallies
        self._pandits = pandits
        self._profiles = profiles
        self._festivals = festivals
        self._clock = clock
        self._policy = policy
        self._observe = observe

    # -- customers --------------------------------------------------------------------------------

    async def samagri(
        self, actor: Actor | None, puja_id: str, *, occasion: Occasion, budget: int | None
    ) -> SamagriAdvice:
        """Say what a puja needs, and what this customer is likely to want beside it.

        Raises ``NotFound`` if there is no such puja.
        """
        puja, customer = await asyncio.gather(self._pujas.find(puja_id), self._customer(actor))
        if puja is None:
            raise NotFound
        today = self._today()
        question = SamagriQuestion(
            puja=puja,
            customer=customer,
            occasion=replace(occasion, user_id=customer.user_id),
            today=today,
            month_bs=month_bs(occasion.held_on or today),
            budget=budget,
            explores=bool(customer.user_id),
        )
        advice, _ = self._ask("samagri", customer, lambda adviser: adviser.samagri(question))
        if actor is None:
            return advice
        rec_id = self._issuer.issue(
            actor,
            Surface.SAMAGRI,
            version=advice.model_version,
            targets=[each.item.id for each in advice.items],
            puja_id=puja_id,
            tried=next(
                (
                    (each.item.id, Trial(place, each.propensity))
                    for place, each in enumerate(advice.items, 1)
                    if each.is_explored
                ),
                None,
            ),
        )
        return replace(advice, rec_id=rec_id)

    async def together(self, actor: Actor | None, item_id: str, *, limit: int) -> TogetherAdvice:
        """Say what goes with an item. Raises ``NotFound`` if it cannot be had."""
        items, customer = await asyncio.gather(
            self._catalogue.find_items([item_id]), self._customer(actor)
        )
        item = items.get(item_id)
        if item is None or not item.is_active:
            raise NotFound
        month = month_bs(self._today())
        found, version = self._ask(
            "together",
            customer,
            lambda adviser: adviser.together(item, customer, month_bs=month, limit=limit),
        )
        if actor is None:
            return TogetherAdvice(found, version)
        rec_id = self._issuer.issue(
            actor,
            Surface.SAMAGRI,
            version=version,
            targets=[each.item.id for each in found],
        )
        return TogetherAdvice(found, version, rec_id)

    def version_for(self, actor: Actor) -> str:
        """Return the version of the model that answers the actor at this moment."""
        return self._advisers.of(actor.user_id).version

    async def pandits(
        self,
        actor: Actor | None,
        puja_id: str,
        *,
        near: GeoPoint | None,
        day: date | None,
        limit: int,
    ) -> PanditAdvice:
        """Rank the pandits who offer a puja and have time: on that day, or within two weeks.

        Candidates are the best by the search's own order, and with a place half of them are those
        who live nearest to it. Raises ``NotFound`` if there is no such puja.
        """
        puja, customer = await asyncio.gather(
            self._pujas.find(puja_id), self._customer(actor, with_stars=True)
        )
        if puja is None:
            raise NotFound
        near = near or customer.home
        candidates = await self._candidates(puja_id, near)
        today = self._today()
        question = PanditQuestion(
            puja_id=puja_id, customer=customer, near=near, candidates=candidates, today=today
        )
        ranked, version = self._ask("pandits", customer, lambda adviser: adviser.pandits(question))
        cards = partial(self._free, PanditSearch(puja_ids=(puja_id,), near=near), puja_id, day)
        seed = f"{customer.user_id}:{puja_id}:{day or today}" if customer.user_id else ""
        places = await self._with_time(ranked, cards, seed, customer, limit)
        if actor is None:
            return PanditAdvice(places, version)
        rec_id = self._issuer.issue(
            actor,
            Surface.PANDITS,
            version=version,
            targets=[each.place.pandit_id for each in places],
            puja_id=puja_id,
            tried=next(
                (
                    (each.place.pandit_id, Trial(place, each.place.propensity))
                    for place, each in enumerate(places, 1)
                    if each.place.is_explored
                ),
                None,
            ),
        )
        return PanditAdvice(places, version, rec_id)

    async def _with_time(
        self,
        ranked: tuple[RankedPandit, ...],
        cards: Callable[[Sequence[RankedPandit]], Awaitable[dict[str, PanditCard]]],
        seed: str,
        customer: Customer,
        limit: int,
    ) -> tuple[AdvisedPandit, ...]:
        """The first of the ranking who have time, each with his card, and at times one new pandit.

        Whoever has time has it in the same measure, so the order is the same as if it had been
        known before; profiles and hours are read a few pandits at a time, which is most of the
        work. Who is tried comes in among those who have time: places are counted as they are shown,
        and he is one of a few who are looked at beside them.
        """
        free: dict[str, PanditCard] = {}
        enough = max(limit, _BEFORE_NEW) if seed else limit
        step, start = max(limit, _FEWEST_CARDS), 0
        while start < len(ranked) and len(free) < enough:
            free |= await cards(ranked[start : start + step])
            start += step
        shown = tuple(place for place in ranked[:start] if place.pandit_id in free)
        # Taken anew: it may be another model by now, but who is new is known of each already.
        adviser = self._advisers.of(customer.user_id)
        newcomers = adviser.newcomers((*shown, *ranked[start:]), seed)[:_FEWEST_CARDS]
        if newcomers:
            free |= await cards([each for each in newcomers if each.pandit_id not in free])
            newcomers = tuple(each for each in newcomers if each.pandit_id in free)
            counted = await self._tallies.of_targets(
                Surface.PANDITS, [each.pandit_id for each in newcomers]
            )
            shown = adviser.with_new(shown, newcomers, seed, counted)
        return tuple(AdvisedPandit(place, free[place.pandit_id]) for place in shown[:limit])

    async def _free(
        self, found_by: PanditSearch, puja_id: str, day: date | None, some: Sequence[RankedPandit]
    ) -> dict[str, PanditCard]:
        """The cards of those of them who have time, by pandit."""
        if not some:
            return {}
        hits = await self._pandits.hits([place.pandit_id for place in some], found_by)
        cards = await self._profiles.cards(hits, puja_id, day)
        return {card.pandit.id: card for card in cards if card.next_free_slot is not None}

    async def _candidates(self, puja_id: str, near: GeoPoint | None) -> tuple[PanditCandidate, ...]:
        most = self._policy.max_candidates
        search = PanditSearch(puja_ids=(puja_id,), near=near, limit=most)
        if near is None:
            return await self._pandits.candidates(search)
        best, nearest = await asyncio.gather(
            self._pandits.candidates(replace(search, limit=most // 2)),
            self._pandits.candidates(replace(search, limit=most - most // 2, sort="distance")),
        )
        return tuple({each.pandit_id: each for each in (*best, *nearest)}.values())

    async def next_pujas(self, actor: Actor, *, limit: int) -> NextPujas:
        """Propose pujas that the actor's family may want to hold next; none if he wants none."""
        today = self._today()
        customer, wishes, festivals = await asyncio.gather(
            self._customers.read_with_pujas(actor.user_id),
            self._wishes.wishes_of(actor.user_id),
            self._festivals.between(today, today + timedelta(days=_FESTIVAL_DAYS)),
        )
        if not wishes.wants_proposals:
            return NextPujas((), RULES_VERSION)
        question = PujaQuestion(customer=customer, today=today, festivals=festivals, limit=limit)
        try:
            proposed, version = self._ask(
                "bookings", customer, lambda adviser: adviser.pujas(question)
            )
        except Exception:
            # The front page shows them, and is worth more than they are.
            _log.exception("pujas_not_advised")
            self._observe("bookings", "failed")
            proposed, version = (), RULES_VERSION
        rec_id = self._issuer.issue(
            actor,
            Surface.BOOKINGS,
            version=version,
            targets=[each.puja.id for each in proposed],
        )
        return NextPujas(proposed, version, rec_id)

    async def _customer(self, actor: Actor | None, *, with_stars: bool = False) -> Customer:
        user_id = actor.user_id if actor else None
        if with_stars:
            return await self._customers.read_with_stars(user_id)
        return await self._customers.read(user_id)

    def _ask(self, task: str, customer: Customer, ask: Callable[[Adviser], T]) -> tuple[T, str]:
        """Ask the customer's adviser, taken now that all that the answer needs is there.

        What follows an answer may take a while: a model that is swapped meanwhile is not held.
        """
        return _answered(self._advisers.of(customer.user_id), task, self._observe, ask)

    def _today(self) -> date:
        return local_today(self._clock.now(), NEPAL)

    # -- models -----------------------------------------------------------------------------------

    @property
    def model_state(self) -> ModelState:
        """What serves in this process."""
        return self.models.state

    async def take_up_model(self) -> None:
        """Look at once whether another model is to serve, and take it up if it is sound."""
        await self.models.look(is_asked=True)

    async def model_versions(self, limit: int = 20) -> ModelListing:
        """Return the versions in the store, newest first; the store itself keeps few."""
        return await self.models.versions(limit)

    async def activate_model(
        self, actor: Actor, version: str, *, reason: str, force: bool
    ) -> ModelState:
        """Let a version serve in all processes; see ``ports.Models.activate``."""
        async with self._audit.recording(
            actor,
            Act.MODEL_ACTIVATED,
            "model",
            version,
            reason=reason,
            force="true" if force else "",
        ):
            await self.models.activate(
                version, by=actor.user_id, reason=reason or "activated by an admin", force=force
            )
        return self.models.state

    async def model_report(self, version: str) -> str:
        """Return the comparison that training wrote; see ``ports.Models.report``."""
        return await self.models.report(version)
