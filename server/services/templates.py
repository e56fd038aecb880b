"""Ready lists of samagri: looking at them with what they cost, and putting one on a booking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from server.domain.account import NEPAL, Actor
from server.domain.calendar import local_today
from server.domain.catalogue import (
    Puja,
    PujaTemplate,
    Requirement,
    SamagriItem,
    TemplateLine,
    TemplateSize,
)
from server.domain.errors import NotFound
from server.domain.ports.catalogue import CatalogueRepository
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.world import Clock, Translator
from server.domain.recommendation import Occasion
from server.domain.samagri import LeftOut, Omission, TemplateOffer, by_template
from server.domain.texts import N_
from server.services.preferences import PreferenceService
from server.services.samagri import SamagriAdder
from server.services.seasons import month_bs

_OF_RULES: Final = {
    TemplateSize.SIMPLE: (N_("Only what is needed"), N_("Nothing that can be left out.")),
    TemplateSize.FULL: (N_("Everything"), N_("All that tradition names for this puja.")),
}
_SEPARATOR: Final = "."
"""Stands in the ids of templates made of the rules, and never in a code."""


class TemplateService:
    """Templates of pujas: those that administrators have put together, and of the rules.

    Of a size that nobody has put together there is one made of the puja's own rules, so every puja
    has a simple and a full one.
    """

    def __init__(
        self,
        *,
        catalogue: CatalogueRepository,
        adder: SamagriAdder,
        preferences: PreferenceService,
        translator: Translator,
        clock: Clock,
    ) -> None:
        self._catalogue = catalogue
        self._adder = adder
        self._preferences = preferences
        self._translator = translator
        self._clock = clock

    async def list_page(
        self,
        actor: Actor | None,
        puja_id: str,
        *,
        limit: int = 100,
        after: SortKey | None = None,
    ) -> Page[TemplateOffer]:
        """Return the templates of a puja, the smallest first, with what they cost this reader.

        Raises ``NotFound`` if there is no such puja.
        """
        puja = await self._puja(puja_id)
        found = [
            each
            for each in await self._all_of(puja)
            if each.is_active and (after is None or each.place > tuple(after))
        ]
        rows = found[:limit]
        offers = await self._priced(actor, puja, rows)
        return Page(offers, rows[-1].place if len(found) > limit else None)

    async def offer(
        self, puja_id: str, template_id: str, *, user_id: str, day: date
    ) -> TemplateOffer:
        """Return what an active template brings to a puja on that day, at the prices of today.

        And what it names but does not bring: what the customer never wants to see, what is out of
        season, what cannot be had any more. What the puja needs is not judged by that.

        Raises ``NotFound`` when the puja has no such template.
        """
        puja = await self._puja(puja_id)
        for template in await self._all_of(puja):
            if template.id == template_id and template.is_active:
                items = await self._catalogue.find_items({each.item_id for each in template.lines})
                hidden = await self._hidden_of(user_id)
                return self._judged(template, puja, items, hidden, month_bs(day))
        raise NotFound

    async def _hidden_of(self, user_id: str) -> frozenset[str]:
        return (await self._preferences.find(user_id)).never_show if user_id else frozenset()

    # -- inside ----------------------------------------------------------------------------------

    async def _puja(self, puja_id: str) -> Puja:
        puja = await self._catalogue.find_puja(puja_id)
        if puja is None:
            raise NotFound
        return puja

    async def _all_of(self, puja: Puja) -> list[PujaTemplate]:
        stored = await self._catalogue.list_templates(puja.id)
        sizes = {each.size for each in stored if each.is_active}
        made = [each for each in self._of_rules(puja) if each.size not in sizes]
        return sorted((*stored, *made), key=lambda each: each.place)

    def _of_rules(self, puja: Puja) -> Iterable[PujaTemplate]:
        """A simple and a full one; of a puja without optional items they are the same."""
        firm = [need for need in puja.requirements if not need.type.can_remove]
        every = list(puja.requirements)
        yield self._made(puja, TemplateSize.SIMPLE, firm)
        if len(every) > len(firm):
            yield self._made(puja, TemplateSize.FULL, every)

    def _made(self, puja: Puja, size: TemplateSize, needs: Sequence[Requirement]) -> PujaTemplate:
        name, description = _OF_RULES[size]
        text = self._translator.text
        return PujaTemplate(
            id=f"{puja.id}{_SEPARATOR}{size.lower()}",
            puja_id=puja.id,
            size=size,
            name=text("en", name),
            name_ne=text("ne", name),
            description=text("en", description),
            description_ne=text("ne", description),
            lines=tuple(
                TemplateLine(item_id=need.item_id, quantity=need.quantity, unit=need.unit)
                for need in needs
            ),
            is_stored=False,
        )

    async def _priced(
        self, actor: Actor | None, puja: Puja, templates: Sequence[PujaTemplate]
    ) -> tuple[TemplateOffer, ...]:
        if not templates:
            return ()
        user_id = actor.user_id if actor else ""
        month = month_bs(local_today(self._clock.now(), NEPAL))
        hidden = await self._hidden_of(user_id)
        began = await self._adder.lines_for(puja, Occasion(user_id=user_id))
        needed = [line for line in began if not line.can_remove]
        items = await self._catalogue.find_items(
            {line.item_id for each in templates for line in each.lines}
        )
        offers = (self._judged(each, puja, items, hidden, month) for each in templates)
        return tuple(replace(offer, lines=by_template((), needed, offer.lines)) for offer in offers)

    def _judged(
        self,
        template: PujaTemplate,
        puja: Puja,
        items: Mapping[str, SamagriItem],
        hidden: frozenset[str],
        month: int,
    ) -> TemplateOffer:
        firm = {need.item_id for need in puja.requirements if not need.type.can_remove}
        lines, left_out = [], []
        for each in template.lines:
            item = items.get(each.item_id)
            if item is None:
                continue
            why = None if item.id in firm else _omission(item, hidden, month)
            if why is not None:
                left_out.append(LeftOut(item, why))
            elif item.id not in firm or item.is_in_season(month):
                lines.append(self._adder.template_line(puja, template, each, item))
        return TemplateOffer(template=template, lines=tuple(lines), left_out=tuple(left_out))


def _omission(item: SamagriItem, hidden: frozenset[str], month: int) -> Omission | None:
    if not item.is_active:
        return Omission.GONE
    if item.id in hidden:
        return Omission.HIDDEN
    return None if item.is_in_season(month) else Omission.SEASON
