"""The samagri of a booking: what is added by itself, and what the customer changes.

Recommenders say what a puja may need; the adder merges their answers into one line for each item,
in a fixed order of strength: explicit requirement, then rule, then model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Protocol

from server.domain.booking import Booking, SamagriLine
from server.domain.catalogue import (
    Puja,
    PujaTemplate,
    SamagriItem,
    SamagriType,
    TemplateLine,
    check_quantity,
)
from server.domain.errors import FieldFault, Invalid
from server.domain.money import Unit, convert_quantity
from server.domain.ports.catalogue import CatalogueRepository
from server.domain.ports.world import Translator
from server.domain.recommendation import Occasion
from server.domain.samagri import TEMPLATE, ordered
from server.domain.texts import N_

REQUIREMENT: Final = "requirement"
RULE: Final = "rule"
CUSTOMER: Final = "customer"
_REASONS: Final = {
    SamagriType.REQUIRED: N_("Required for {puja}: {use}."),
    SamagriType.ESSENTIAL: N_("Essential for {puja}: {use}."),
    SamagriType.OPTIONAL: N_("Often used for {puja}: {use}."),
}
_PLAIN_REASONS: Final = {
    SamagriType.REQUIRED: N_("Required for {puja}."),
    SamagriType.ESSENTIAL: N_("Essential for {puja}."),
    SamagriType.OPTIONAL: N_("Often used for {puja}."),
}
_OWN_REASON: Final = N_("Added by you.")
_TEMPLATE_REASON: Final = N_("In the list “{template}”.")
_ANY_OCCASION: Final = Occasion()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """That a puja may need so much of an item. ``confidence`` is 0 to 1.

    ``reason`` and ``reason_ne`` are empty where the plain reason of the type fits. ``advised_by``
    is the version of the model that chose what the puja gets, empty where nobody chose.
    """

    item_id: str
    quantity: Decimal
    unit: Unit
    type: SamagriType
    confidence: float
    source: str
    reason: str = ""
    reason_ne: str = ""
    advised_by: str = ""


class SamagriRecommender(Protocol):
    """Suggests items for a puja: the rules, and beside them a trained model."""

    async def suggest(self, puja: Puja, occasion: Occasion) -> Sequence[Suggestion]:
        """Return suggestions for this puja on this occasion, in any order."""
        ...


class RuleRecommender:
    """The catalogue's own word: explicit requirements and rules."""

    _CONFIDENCE: Final = {
        SamagriType.REQUIRED: 1.0,
        SamagriType.ESSENTIAL: 1.0,
        SamagriType.OPTIONAL: 0.8,
    }

    async def suggest(self, puja: Puja, occasion: Occasion) -> Sequence[Suggestion]:
        """Return one suggestion for each requirement of the puja."""
        return [
            Suggestion(
                item_id=requirement.item_id,
                quantity=requirement.quantity,
                unit=requirement.unit,
                type=requirement.type,
                confidence=self._CONFIDENCE[requirement.type],
                source=REQUIREMENT if requirement.type is SamagriType.REQUIRED else RULE,
            )
            for requirement in puja.requirements
        ]


def merge(suggestions: Iterable[Suggestion], threshold: float) -> list[Suggestion]:
    """One suggestion for each item: the strongest type wins, then the higher confidence.

    Optional ones below ``threshold`` fall away. Ordered by type, then confidence, then item id.
    """
    best: dict[str, Suggestion] = {}
    for each in suggestions:
        if each.type.can_remove and each.confidence < threshold:
            continue
        known = best.get(each.item_id)
        if known is None or _rank(each) < _rank(known):
            best[each.item_id] = each
    return sorted(best.values(), key=lambda each: (*_rank(each), each.item_id))


def _rank(suggestion: Suggestion) -> tuple[int, float]:
    return suggestion.type.rank, -suggestion.confidence


class SamagriAdder:
    """Adds what the recommenders suggest, at today's prices.

    And applies the customer's own changes.
    """

    def __init__(
        self,
        recommenders: Sequence[SamagriRecommender],
        catalogue: CatalogueRepository,
        translator: Translator,
        *,
        threshold: float,
        add_optional: bool,
    ) -> None:
        self._recommenders = recommenders
        self._catalogue = catalogue
        self._translator = translator
        self._threshold = threshold
        self._add_optional = add_optional
        self._rules = RuleRecommender()

    async def lines_for(
        self, puja: Puja, occasion: Occasion = _ANY_OCCASION
    ) -> tuple[SamagriLine, ...]:
        """The lines that a booking of this puja begins with."""
        suggestions = [
            suggestion
            for recommender in self._recommenders
            for suggestion in await recommender.suggest(puja, occasion)
        ]
        wanted = [
            each
            for each in merge(suggestions, self._threshold)
            if self._add_optional or not each.type.can_remove
        ]
        items = await self._catalogue.find_items([each.item_id for each in wanted])
        return tuple(
            self._line(puja, each, items[each.item_id]) for each in wanted if each.item_id in items
        )

    async def others_for(
        self, puja: Puja, present: Collection[str], month_bs: int
    ) -> tuple[SamagriLine, ...]:
        """Lines of the optional items that the puja names and that are not ``present`` (item ids).

        Nobody adds them by himself; they are shown with their price. What cannot be had in that
        month is left out.
        """
        named = [
            each
            for each in await self._rules.suggest(puja, _ANY_OCCASION)
            if each.type.can_remove and each.item_id not in present
        ]
        items = await self._catalogue.find_items([each.item_id for each in named])
        lines = (
            self._line(puja, each, item)
            for each in named
            if (item := items.get(each.item_id)) and item.is_active and item.is_in_season(month_bs)
        )
        return tuple(replace(line, auto_added=False) for line in lines)

    def with_suggested(
        self, booking: Booking, suggested: Sequence[SamagriLine]
    ) -> tuple[SamagriLine, ...]:
        """The booking's lines and those suggested that are missing and were not declined.

        Lines that are there stay as the customer left them.
        """
        present = {line.item_id for line in booking.samagri}
        missing = [
            line
            for line in suggested
            if line.item_id not in present
            and not (line.can_remove and line.item_id in booking.samagri_declined)
        ]
        return ordered((*booking.samagri, *missing))

    async def item(self, item_id: str) -> SamagriItem:
        """The catalogue's item. Raises ``Invalid`` when there is none that can be bought."""
        items = await self._catalogue.find_items([item_id])
        item = items.get(item_id)
        if item is None or not item.is_active:
            raise Invalid(FieldFault("item_id", "unknown-item"))
        return item

    def own_line(self, item: SamagriItem, quantity: Decimal, unit: Unit) -> SamagriLine:
        """A line that the customer adds himself."""
        check_quantity(quantity, unit, item.base_unit)
        return SamagriLine(
            item_id=item.id,
            name=item.name,
            name_ne=item.name_ne,
            category_id=item.category_id,
            quantity=quantity,
            unit=unit,
            base_price=item.price,
            base_quantity=item.base_quantity,
            base_unit=item.base_unit,
            type=SamagriType.OPTIONAL,
            confidence=1.0,
            source=CUSTOMER,
            reason=self._translator.text("en", _OWN_REASON),
            reason_ne=self._translator.text("ne", _OWN_REASON),
            price_at_booking=item.price_of(quantity, unit),
            auto_added=False,
            user_added=True,
        )

    def template_line(
        self, puja: Puja, template: PujaTemplate, line: TemplateLine, item: SamagriItem
    ) -> SamagriLine:
        """A line of a template at the price of today, as firm as the puja has it."""
        firm = next((need.type for need in puja.requirements if need.item_id == item.id), None)
        text = self._translator.text
        return SamagriLine(
            item_id=item.id,
            name=item.name,
            name_ne=item.name_ne,
            category_id=item.category_id,
            quantity=line.quantity,
            unit=line.unit,
            base_price=item.price,
            base_quantity=item.base_quantity,
            base_unit=item.base_unit,
            type=firm or SamagriType.OPTIONAL,
            confidence=1.0,
            source=TEMPLATE,
            reason=text("en", _TEMPLATE_REASON, template=template.name),
            reason_ne=text("ne", _TEMPLATE_REASON, template=template.name_ne),
            price_at_booking=item.price_of(line.quantity, line.unit),
            auto_added=False,
            user_added=False,
        )

    def _line(self, puja: Puja, suggestion: Suggestion, item: SamagriItem) -> SamagriLine:
        return SamagriLine(
            item_id=item.id,
            name=item.name,
            name_ne=item.name_ne,
            category_id=item.category_id,
            quantity=suggestion.quantity,
            unit=suggestion.unit,
            base_price=item.price,
            base_quantity=item.base_quantity,
            base_unit=item.base_unit,
            type=suggestion.type,
            confidence=suggestion.confidence,
            source=suggestion.source,
            reason=suggestion.reason or self._reason("en", suggestion.type, puja.name, item.use),
            reason_ne=suggestion.reason_ne
            or self._reason("ne", suggestion.type, puja.name_ne, item.use_ne),
            price_at_booking=item.price_of(suggestion.quantity, suggestion.unit),
            auto_added=True,
            user_added=False,
            suggested_quantity=convert_quantity(
                suggestion.quantity, suggestion.unit, item.base_unit
            ),
            advised_by=suggestion.advised_by,
        )

    def _reason(self, language: str, kind: SamagriType, puja: str, use: str) -> str:
        if not use:
            return self._translator.text(language, _PLAIN_REASONS[kind], puja=puja)
        return self._translator.text(language, _REASONS[kind], puja=puja, use=use)


def with_own_line(booking: Booking, line: SamagriLine) -> tuple[SamagriLine, ...]:
    """The booking's lines and one more that the customer wants."""
    return ordered((*booking.samagri, line))
