"""Reads the catalogue from its TOML files and proves that it is whole.

``categories.toml``, ``items.toml`` and ``pujas.toml`` of one folder, and ``templates.toml`` where
there is one. Pujas name their items in
words; every name must mean exactly one item. Nothing is passed over: all faults are collected and
refused together.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from server.domain.calendar import CLAIM_MINUTES, MAX_DURATION_MINUTES
from server.domain.catalogue import (
    MONTHS,
    Catalogue,
    CatalogueFault,
    ItemNames,
    Puja,
    PujaCategory,
    PujaTemplate,
    Requirement,
    SamagriCategory,
    SamagriItem,
    SamagriType,
    TemplateLine,
    TemplateSize,
    check_quantity,
    check_template_line,
)
from server.domain.errors import Invalid
from server.domain.money import Unit

T = TypeVar("T")
_LISTS: Final = (
    ("required", SamagriType.REQUIRED),
    ("essential", SamagriType.ESSENTIAL),
    ("optional", SamagriType.OPTIONAL),
)


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    code: str
    name: str
    name_ne: str


class _CategoryEntry(_Entry, frozen=True, kw_only=True):
    position: int


class _ItemEntry(_Entry, frozen=True, kw_only=True):
    aliases: tuple[str, ...] = ()
    category: str
    base_unit: Unit
    base_quantity: int
    price_paisa: int
    use: str
    use_ne: str
    season: tuple[int, int] | None = None
    substitutes: tuple[str, ...] = ()


class _NeedEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    item: str
    quantity: int | Decimal
    unit: Unit


class _PujaEntry(_Entry, frozen=True, kw_only=True):
    aliases: tuple[str, ...] = ()
    category: str
    description: str
    description_ne: str
    duration_minutes: int
    base_price_paisa: int
    months_bs: tuple[int, ...] = ()
    is_repeatable: bool = True
    required: tuple[_NeedEntry, ...] = ()
    essential: tuple[_NeedEntry, ...] = ()
    optional: tuple[_NeedEntry, ...] = ()


class _TemplateEntry(_Entry, frozen=True, kw_only=True):
    puja: str
    size: TemplateSize
    description: str
    description_ne: str
    lines: tuple[_NeedEntry, ...]


def load_catalogue(path: Path) -> Catalogue:
    """Read the catalogue of a folder.

    Raises
    ------
    CatalogueFault
        With every fault at once; an item that a puja names and the catalogue lacks is named with
        the puja.
    """
    return _Loader(path).load()


class _Loader:
    """Collects what it reads and everything that is wrong with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._faults: list[str] = []

    def load(self) -> Catalogue:
        shelves = self._entries("categories.toml", "category", _CategoryEntry)
        goods = self._entries("items.toml", "item", _ItemEntry)
        families = self._entries("pujas.toml", "puja_category", _Entry)
        rites = self._entries("pujas.toml", "puja", _PujaEntry)
        for kind, entries in (
            ("category", shelves),
            ("item", goods),
            ("puja category", families),
            ("puja", rites),
        ):
            self._check_names(kind, entries)
        known_shelves = {entry.code for entry in shelves}
        items = tuple(self._item(entry, known_shelves) for entry in goods)
        codes = {entry.code for entry in goods}
        for entry in goods:
            for code in entry.substitutes:
                if code not in codes - {entry.code}:
                    self._fault(f"item {entry.code!r}", f"there is no substitute {code!r}")
        names = self._names(items)
        known_families = {entry.code for entry in families}
        pujas = tuple(self._puja(entry, known_families, names) for entry in rites)
        ready = (
            self._entries("templates.toml", "template", _TemplateEntry)
            if (self._path / "templates.toml").exists()
            else []
        )
        self._check_names("template", ready)
        by_id = {puja.id: puja for puja in pujas}
        templates = tuple(self._template(entry, by_id, names) for entry in ready)
        if self._faults:
            raise CatalogueFault(self._faults)
        return Catalogue(
            categories=tuple(
                SamagriCategory(
                    id=entry.code, name=entry.name, name_ne=entry.name_ne, position=entry.position
                )
                for entry in shelves
            ),
            items=items,
            puja_categories=tuple(
                PujaCategory(id=entry.code, name=entry.name, name_ne=entry.name_ne)
                for entry in families
            ),
            pujas=pujas,
            templates=templates,
        )

    def _entries(self, file: str, table: str, expected: type[T]) -> list[T]:
        try:
            text = (self._path / file).read_text(encoding="utf-8")
            plain: dict[str, Any] = tomllib.loads(text, parse_float=Decimal)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            self._fault(file, f"cannot be read: {error}")
            return []
        rows = plain.get(table, [])
        if not isinstance(rows, list) or not rows:
            self._fault(file, f"has no [[{table}]]")
            return []
        found = []
        for place, row in enumerate(rows):
            try:
                found.append(msgspec.convert(row, expected, builtin_types=(Decimal,)))
            except msgspec.ValidationError as error:
                name = row.get("code") if isinstance(row, dict) else None
                self._fault(f"{table} {name or place + 1!r}", str(error))
        return found

    def _check_names(self, kind: str, entries: Sequence[_Entry]) -> None:
        seen: set[str] = set()
        for entry in entries:
            where = f"{kind} {entry.code!r}"
            if entry.code in seen:
                self._fault(where, "stands twice")
            seen.add(entry.code)
            if not (entry.code.strip() and entry.name.strip() and entry.name_ne.strip()):
                self._fault(where, "needs a code and a name in both languages")

    def _item(self, entry: _ItemEntry, shelves: set[str]) -> SamagriItem:
        where = f"item {entry.code!r}"
        if entry.category not in shelves:
            self._fault(where, f"there is no category {entry.category!r}")
        if entry.base_quantity <= 0 or entry.price_paisa <= 0:
            self._fault(where, "base_quantity and price_paisa must be above zero")
        if entry.season is not None and not set(entry.season) <= set(range(1, MONTHS + 1)):
            self._fault(where, "season is its first and its last month, 1 to 12")
        return SamagriItem(
            id=entry.code,
            name=entry.name,
            name_ne=entry.name_ne,
            aliases=entry.aliases,
            category_id=entry.category,
            base_unit=entry.base_unit,
            base_quantity=entry.base_quantity,
            price=entry.price_paisa,
            use=entry.use,
            use_ne=entry.use_ne,
            season=entry.season,
            substitutes=entry.substitutes,
        )

    def _names(self, items: tuple[SamagriItem, ...]) -> ItemNames | None:
        try:
            return ItemNames(items)
        except CatalogueFault as fault:
            self._faults.extend(fault.faults)
            return None

    def _puja(self, entry: _PujaEntry, families: set[str], names: ItemNames | None) -> Puja:
        where = f"puja {entry.code!r}"
        if entry.category not in families:
            self._fault(where, f"there is no puja category {entry.category!r}")
        if entry.base_price_paisa <= 0:
            self._fault(where, "base_price_paisa must be above zero")
        minutes = entry.duration_minutes
        if minutes % CLAIM_MINUTES or not CLAIM_MINUTES <= minutes <= MAX_DURATION_MINUTES:
            self._fault(where, "duration_minutes must be whole quarter hours of at most a day")
        if not set(entry.months_bs) <= set(range(1, 13)):
            self._fault(where, "months_bs are 1 to 12")
        return Puja(
            id=entry.code,
            name=entry.name,
            name_ne=entry.name_ne,
            aliases=entry.aliases,
            category_id=entry.category,
            description=entry.description,
            description_ne=entry.description_ne,
            duration_minutes=minutes,
            base_price=entry.base_price_paisa,
            months_bs=entry.months_bs,
            is_repeatable=entry.is_repeatable,
            requirements=tuple(self._requirements(entry, names)) if names else (),
        )

    def _requirements(self, entry: _PujaEntry, names: ItemNames) -> Iterator[Requirement]:
        seen: dict[str, str] = {}
        for list_name, kind in _LISTS:
            for need in getattr(entry, list_name):
                where = f"puja {entry.code!r}, {list_name} item {need.item!r}"
                item = names.find(need.item)
                if item is None:
                    self._fault(where, "is not in the catalogue")
                    continue
                if item.id in seen:
                    self._fault(where, f"is the same as {seen[item.id]!r}, named before")
                seen[item.id] = need.item
                quantity = Decimal(need.quantity)
                try:
                    check_quantity(quantity, need.unit, item.base_unit)
                except Invalid as error:
                    self._fault(where, f"{quantity} {need.unit} is no good quantity ({error})")
                yield Requirement(item_id=item.id, quantity=quantity, unit=need.unit, type=kind)

    def _template(
        self, entry: _TemplateEntry, pujas: Mapping[str, Puja], names: ItemNames | None
    ) -> PujaTemplate:
        where = f"template {entry.code!r}"
        puja = pujas.get(entry.puja)
        if puja is None:
            self._fault(where, f"there is no puja {entry.puja!r}")
        lines = tuple(self._template_lines(entry, puja, names)) if names else ()
        return PujaTemplate(
            id=entry.code,
            puja_id=entry.puja,
            size=entry.size,
            name=entry.name,
            name_ne=entry.name_ne,
            description=entry.description,
            description_ne=entry.description_ne,
            lines=lines,
        )

    def _template_lines(
        self, entry: _TemplateEntry, puja: Puja | None, names: ItemNames
    ) -> Iterator[TemplateLine]:
        seen: set[str] = set()
        for each in entry.lines:
            where = f"template {entry.code!r}, item {each.item!r}"
            item = names.find(each.item)
            if item is None:
                self._fault(where, "is not in the catalogue")
                continue
            if item.id in seen:
                self._fault(where, "stands twice")
            seen.add(item.id)
            line = TemplateLine(item_id=item.id, quantity=Decimal(each.quantity), unit=each.unit)
            try:
                check_template_line(line, item, puja)
            except Invalid as error:
                self._fault(where, f"{line.quantity} {line.unit} is no good quantity ({error})")
            yield line

    def _fault(self, where: str, what: str) -> None:
        self._faults.append(f"{where}: {what}")
