"""The front page, the search, and a pandit's page."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor, GeoPoint, Role
from server.domain.booking import Booking, BookingStatus
from server.domain.calendar import local_today
from server.domain.errors import Invalid, NotFound
from server.domain.learning import Surface
from server.domain.pandit import Pandit
from server.domain.places import NamedPlace
from server.domain.ports.paging import Page as Slice
from server.domain.ports.paging import SortKey
from server.domain.recommendation import FACTORS, PujaAdvice
from server.domain.review import Review
from server.handlers.page_base import Form, decode_known, whole_number
from server.handlers.pages.base import Page
from server.handlers.pages.labels import SORTS, SPOKEN
from server.handlers.pages.search_map import SearchMap, box_of, draw
from server.handlers.routing import Route
from server.schemas.bookings import present_booking
from server.schemas.pandits import (
    PanditCardResponse,
    PanditSort,
    PanditsQuery,
    present_card,
    present_profile,
)
from server.schemas.reviews import present_review
from server.services.catalogue import PujaSheet

_AHEAD: Final = (BookingStatus.PENDING, BookingStatus.ACCEPTED, BookingStatus.IN_PROGRESS)
_POPULAR: Final = (
    "griha-pravesh",
    "satyanarayan-puja",
    "wedding-ceremony",
    "rudri-puja",
    "bratabandha",
    "pasni",
    "nwaran",
    "bhagwat-saptaha",
)
"""Shown first on the front page; what the catalogue lacks is left out."""
_POPULAR_COUNT: Final = 8
_PROPOSALS: Final = 3
_PER_PAGE: Final = 12
_REVIEWS: Final = 10
_RUPEE: Final = 100
_RADIUS_KM: Final = 10
_RADII_KM: Final = (3, 5, 10, 25, 50, 100)
_ANY_RADIUS: Final = "any"


class HomePage(Page):
    """The front page: where a search begins, and what comes next for whoever is signed in."""

    section = "home"

    async def get(self) -> None:
        """Show it."""
        sheets = (await self.services.catalogue.list_pujas()).rows
        booking = await self._next_booking(self.actor) if self.actor else None
        await self.show(
            "home.html",
            title=self.translate("Book a pandit for your puja"),
            pujas=[sheet.puja for sheet in sheets],
            popular=_popular(sheets),
            proposals=await self._proposals(),
            booking=booking and self.actor and present_booking(booking, self.actor, self.reader),
            today=local_today(self.services.clock.now(), self.nepal.timezone),
        )

    async def _proposals(self) -> tuple[PujaAdvice, ...]:
        """Pujas that the customer's family may want next, counted as shown."""
        if self.actor is None or self.actor.role is not Role.USER:
            return ()
        found = await self.services.recommendations.next_pujas(self.actor, limit=_PROPOSALS)
        shown = [each.puja.id for each in found.proposals]
        await self.note_shown(Surface.BOOKINGS, found.model_version, shown)
        return found.proposals

    async def _next_booking(self, actor: Actor) -> Booking | None:
        if actor.role is Role.ADMIN:
            return None
        today = local_today(self.services.clock.now(), self.nepal.timezone)
        page = await self.services.bookings.list_own(
            actor, statuses=_AHEAD, first=today, limit=1, soonest_first=True
        )
        return next(iter(page.rows), None)


class PanditsPage(Page):
    """The search; its filters stand in the address."""

    section = "pandits"

    async def get(self) -> None:
        """Show what was found, or what is wrong with a filter."""
        form, cards, following = Form(values=self._filters()), [], None
        near: GeoPoint | None = None
        try:
            query = self._search()
            near = query.near()
            page = await self.services.pandits.search(
                self.actor,
                query.search(self.after(query.cursor)),
                category_id=query.category,
                day=query.date,
                at=query.at(),
            )
            cards = [present_card(card, self.reader) for card in page.rows]
            await self._note_ranked(query.puja_id, cards)
            following = self.cursor(page.next_key)
        except Invalid as error:
            problem = self.describe_error(422, error)
            self.set_status(problem.status)
            form = Form(self._filters(), problem)
        sheets = (await self.services.catalogue.list_pujas()).rows
        pujas = {sheet.puja.id: sheet.puja for sheet in sheets}
        await self.show(
            "customer/pandits.html",
            title=self.translate("Find a pandit"),
            form=form,
            cards=cards,
            following=following and self.here(cursor=following),
            is_first="cursor" not in self.request.query_arguments,
            map=self._map(cards, near),
            factors=_factors,
            radii=_RADII_KM,
            widest=_RADII_KM[-1],
            wider=self._wider(near),
            advice=self._advice(),
            has_filters=any(self._query().values()),
            pujas=pujas,
            families={sheet.category.id: sheet.category for sheet in sheets},
            sorts=[order for order in SORTS if order is not PanditSort.DISTANCE or near],
            spoken=SPOKEN,
            today=local_today(self.services.clock.now(), self.nepal.timezone),
        )

    async def _note_ranked(self, puja_id: str | None, cards: list[PanditCardResponse]) -> None:
        """Count the pandits who were recommended as shown."""
        ranked = [card.id for card in cards if card.factors is not None]
        if self.actor is not None and ranked:
            version = self.services.recommendations.version_for(self.actor)
            await self.note_shown(Surface.PANDITS, version, ranked, puja_id)

    def _search(self) -> PanditsQuery:
        """The query: a place becomes its position, or a word where nobody knows it.

        A price is told in rupees. Without a place there is no radius, and no order by distance.
        """
        given = {name: value for name, value in self._filters().items() if value}
        place = given.pop("place", "")
        named = self._named_place()
        if named is not None:
            given["lat"], given["lng"] = str(named.point.latitude), str(named.point.longitude)
        elif place:
            given["q"] = f"{given.get('q', '')} {place}".strip()
        if "lat" not in given or given.get("radius_km") == _ANY_RADIUS:
            given.pop("radius_km", None)
        is_nowhere = "lat" not in given and self.actor is None
        if is_nowhere and given.get("sort") == PanditSort.DISTANCE:
            del given["sort"]
        if given.get("max_price", "").isdecimal():
            given["max_price"] = str(whole_number(given["max_price"]) * _RUPEE)
        return decode_known({**given, "limit": str(_PER_PAGE)}, PanditsQuery)

    def _named_place(self) -> NamedPlace | None:
        place = self._query().get("place", "")
        return self.services.places.named(place) if place else None

    def _filters(self) -> dict[str, str]:
        """What was asked for; a place without a word about the distance means its surroundings."""
        query = self._query()
        query["radius_km"] = query.get("radius_km") or str(_RADIUS_KM)
        return query

    @property
    def _is_past(self) -> bool:
        """Whether a day is asked for on which nobody can be booked any more, however far away."""
        today = local_today(self.services.clock.now(), self.nepal.timezone).isoformat()
        return "" < self._query().get("date", "") < today

    def _wider(self, near: GeoPoint | None) -> str | None:
        """The same search in the largest area, unless it is that already."""
        is_widest = self._filters()["radius_km"] in (_ANY_RADIUS, str(_RADII_KM[-1]))
        if near is None or is_widest or self._is_past:
            return None
        return self.here(radius_km=str(_RADII_KM[-1]), cursor=None)

    def _advice(self) -> str:
        """What could be changed where nothing was found: first what cannot be found at all."""
        query = self._query()
        if self._is_past:
            return self.translate("That day has passed. Please choose another one.")
        if query.get("place") and self._named_place() is None:
            return self.translate(
                "We do not know the place {place}, so it was looked for as a word. "
                "The name of a town nearby finds more.",
                place=query["place"],
            )
        return self.translate(
            "Try another date, a higher price or a larger area. Fewer filters find more."
        )

    def _map(self, cards: list[PanditCardResponse], near: GeoPoint | None) -> SearchMap | None:
        points = [
            GeoPoint(point.latitude, point.longitude) if (point := card.location.point) else None
            for card in cards
        ]
        box = box_of(points, near)
        return draw(points, near, self.services.places.within(*box)) if box else None


class PanditPages(Page):
    """A pandit: who he is, what he offers, what others say of him."""

    section = "pandits"

    async def _show(
        self,
        pandit_id: str,
        *,
        review_form: Form | None = None,
        said: str = "",
        said_about: Review | None = None,
        back: str | None = None,
    ) -> None:
        """Show him; ``review_form`` is what was refused, a reply to a review or a report of it."""
        cursor = self.get_query_argument("cursor", "") or None
        profile = await self.services.pandits.profile(self.actor, pandit_id)
        await self.note_opened(Surface.PANDITS, pandit_id)
        page = await self._reviews(pandit_id, self.after(cursor))
        reviews = list(page.rows)
        if said_about is not None and said_about.id not in {review.id for review in reviews}:
            # It stood on a later page.
            reviews.insert(0, said_about)
        following = self.cursor(page.next_key) if said_about is None else None
        pandit = present_profile(profile, self.reader)
        names = {
            sheet.puja.id: sheet.puja for sheet in (await self.services.catalogue.list_pujas()).rows
        }
        await self.show(
            "customer/pandit.html",
            title=self.local_name(pandit.user, "full_name"),
            pandit=pandit,
            pujas=names,
            reviews=[present_review(review, self.reader) for review in reviews],
            review_form=review_form or Form(),
            said_about=f"{said}-{said_about.id}" if said_about else "",
            back=self.here() if back is None else back,
            following=following and f"{self.here(cursor=following)}#reviews",
            is_first=cursor is None,
            viewer=self._viewer(profile.pandit),
            can_book=profile.pandit.is_bookable and self._may_book,
            can_unlock=self._may_book and await self.services.bookings.may_answer(profile.pandit),
            unlock_fee=self.services.payments.unlock_fee,
            wanted=self.get_query_argument("service", ""),
            day=self.get_query_argument("date", ""),
            clock=self.get_query_argument("time", ""),
            today=local_today(self.services.clock.now(), self.nepal.timezone),
        )

    @property
    def _may_book(self) -> bool:
        return self.actor is None or self.actor.role is Role.USER

    def _viewer(self, pandit: Pandit) -> str:
        """What the reader may do with a review: answer it, report it, or neither."""
        if self.actor is None:
            return ""
        return "pandit" if self.actor.user_id == pandit.user_id else "other"

    async def _reviews(self, pandit_id: str, after: SortKey | None) -> Slice[Review]:
        try:
            return await self.services.reviews.list_for_pandit(
                pandit_id, limit=_REVIEWS, after=after
            )
        except NotFound:
            # Whoever is not approved is shown to himself and has no reviews to show.
            return Slice(())


class PanditPage(PanditPages):
    """A pandit's page, with a page of his reviews."""

    async def get(self, pandit_id: str) -> None:
        """Show him."""
        await self._show(pandit_id)


def _factors(card: PanditCardResponse) -> list[tuple[str, float]]:
    """What speaks for a pandit, the strongest first, as shares of the strongest that may be."""
    if card.factors is None:
        return []
    added = {name: max(0.0, getattr(card.factors, name)) for name in FACTORS}
    most = max(added.values(), default=0.0)
    if not most:
        return []
    shares = ((name, round(value / most, 2)) for name, value in added.items() if value > 0)
    return sorted(shares, key=lambda each: -each[1])


def _popular(sheets: tuple[PujaSheet, ...]) -> list[PujaSheet]:
    by_id = {sheet.puja.id: sheet for sheet in sheets}
    first = [by_id[puja_id] for puja_id in _POPULAR if puja_id in by_id]
    rest = [sheet for sheet in sheets if sheet not in first]
    return [*first, *rest][:_POPULAR_COUNT]


ROUTES: Final = (
    Route("/", HomePage, "page-home"),
    Route("/pandits/", PanditsPage, "page-pandits"),
    Route("/pandits/{id}/", PanditPage, "page-pandit"),
)
