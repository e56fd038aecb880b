"""Tables of items and of rules as CSV: read whole, every fault named, compared with what there is.

Nothing here writes. A table that has one fault changes nothing; one that has none says what it
would change before anybody agrees.

Columns of items: ``code, name, name_ne, aliases, category, base_unit, base_quantity, price, use,
use_ne, active``; aliases are separated by ``|``, the price is rupees of ``base_quantity`` of
``base_unit``, ``active`` is ``yes`` or ``no``. Two more may be left out, and then nothing changes
in what they say: ``season`` (first and last month of Bikram Sambat, as ``7 to 11``; empty all year)
and ``substitutes`` (codes separated by ``|``). Columns of rules: ``puja, item, type, quantity,
unit``; the rows of a puja replace all rules that it had. Columns of templates: ``template, puja,
size, name, name_ne, description, description_ne, active, item, quantity, unit``, a row for each
item; what says of the template itself is the same in all its rows, which replace all that it had.
"""

from __future__ import annotations

import csv
import enum
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from server.domain.catalogue import (
    MAX_SUBSTITUTES,
    MAX_TEMPLATE_LINES,
    MONTHS,
    Puja,
    PujaTemplate,
    Requirement,
    SamagriItem,
    SamagriType,
    TemplateLine,
    TemplateSize,
    check_quantity,
    check_template_line,
)
from server.domain.errors import FieldFault, Invalid
from server.domain.money import Unit

MAX_ROWS: Final = 20_000
MAX_FAULTS: Final = 200
"""Faults that are named; the number of all is said beside them."""
MAX_CHANGES_SHOWN: Final = 200
_MAX_TEXT: Final = 120
_MAX_USE: Final = 300
_MAX_ALIASES: Final = 20
_MAX_PRICE_PAISA: Final = 10_000_000_00
_MAX_BASE_QUANTITY: Final = 10_000
_CODE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
RESERVED_CODES: Final = frozenset({"budget", "proposal", "template"})
"""Words that stand in addresses where the codes of items do."""
_DIGITS: Final = str.maketrans("०१२३४५६७८९", "0123456789")
_SEASON: Final = re.compile(r"([0-9]{1,2})\s*(?:-|–|to)\s*([0-9]{1,2})")
_BOOLEANS: Final = {"yes": True, "no": False, "": True}
ITEM_COLUMNS: Final = (
    "code",
    "name",
    "name_ne",
    "aliases",
    "category",
    "base_unit",
    "base_quantity",
    "price",
    "use",
    "use_ne",
    "active",
)
MORE_ITEM_COLUMNS: Final = ("season", "substitutes")
"""Columns that older tables lack; what they say then stays as it is."""
TEMPLATE_COLUMNS: Final = (
    "template",
    "puja",
    "size",
    "name",
    "name_ne",
    "description",
    "description_ne",
    "active",
    "item",
    "quantity",
    "unit",
)
_OF_TEMPLATE: Final = TEMPLATE_COLUMNS[1:8]
RULE_COLUMNS: Final = ("puja", "item", "type", "quantity", "unit")


class ImportKind(enum.StrEnum):
    """What a table holds."""

    ITEMS = "items"
    RULES = "rules"
    TEMPLATES = "templates"


class ImportState(enum.StrEnum):
    """How far an import has come. Once ``APPLYING`` it goes through, also after a crash."""

    READY = "READY"
    FAULTY = "FAULTY"
    APPLYING = "APPLYING"
    APPLIED = "APPLIED"
    DROPPED = "DROPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFault:
    """What is wrong in one row; ``row`` counts from 1 with the heading as row 1, as editors do."""

    row: int
    column: str
    code: str
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """What one row would do: ``fields`` are those that differ, with the old and the new text."""

    id: str
    is_new: bool
    fields: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueImport:
    """One table that somebody sent, checked. ``mark`` tells the catalogue it was checked on.

    ``by`` is the id of who sent it; ``agreed_by`` and ``agreed_name`` are the id and the name of
    who let it be written, empty before.
    """

    id: str
    kind: ImportKind
    file_name: str
    by: str
    at: datetime
    state: ImportState
    rows: int
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    faults: tuple[RowFault, ...] = ()
    fault_count: int = 0
    changes: tuple[RowChange, ...] = ()
    mark: str = ""
    agreed_by: str = ""
    agreed_name: str = ""
    version: int = 1


@dataclass(slots=True)
class Checked:
    """What a table means: what there is to write, and what is wrong or different."""

    rows: int = 0
    items: list[SamagriItem] = field(default_factory=list)
    pujas: list[Puja] = field(default_factory=list)
    templates: list[PujaTemplate] = field(default_factory=list)
    faults: list[RowFault] = field(default_factory=list)
    fault_count: int = 0
    changes: list[RowChange] = field(default_factory=list)
    unchanged: int = 0

    def fault(self, row: int, column: str, code: str, value: str = "") -> None:
        """Note a fault; the first ``MAX_FAULTS`` are kept, all are counted."""
        self.fault_count += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(RowFault(row=row, column=column, code=code, value=value[:60]))


def check_items(text: str, known: Mapping[str, SamagriItem], categories: Iterable[str]) -> Checked:
    """Read a table of items; ``known`` are all items that there are, active or not."""
    found, shelves = Checked(), frozenset(categories)
    seen: dict[str, int] = {}
    wanted = dict(known)
    places: dict[str, int] = {}
    for number, row in _rows(text, ITEM_COLUMNS, found, MORE_ITEM_COLUMNS):
        item = _item(number, row, shelves, known.get(row["code"]), found)
        if item is None:
            continue
        if (first := seen.setdefault(item.id, number)) != number:
            found.fault(number, "code", "stands-twice", f"{item.id} ({first})")
            continue
        before = known.get(item.id)
        wanted[item.id], places[item.id] = item, number
        if before == item:
            found.unchanged += 1
            continue
        if before is not None and before.base_unit.dimension != item.base_unit.dimension:
            # Rules and bookings hold quantities of it.
            found.fault(number, "base_unit", "unit", item.base_unit)
        found.items.append(item)
        found.changes.append(_item_change(before, item))
    _check_names(wanted, places, found)
    for item_id, number in places.items():
        for code in wanted[item_id].substitutes:
            if code == item_id or code not in wanted:
                found.fault(number, "substitutes", "unknown-item", code)
    return found


def check_rules(
    text: str, pujas: Mapping[str, Puja], find_item: Callable[[str], SamagriItem | None]
) -> Checked:
    """Read a table of rules; an item may be named by its code, name or any alias."""
    found = Checked()
    wanted: dict[str, list[Requirement]] = {}
    named: dict[tuple[str, str], int] = {}
    for number, row in _rows(text, RULE_COLUMNS, found):
        puja, item = pujas.get(row["puja"]), find_item(row["item"])
        if puja is None:
            found.fault(number, "puja", "unknown-puja", row["puja"])
        if item is None:
            found.fault(number, "item", "unknown-item", row["item"])
        if puja is None or item is None:
            continue
        if (first := named.setdefault((puja.id, item.id), number)) != number:
            found.fault(number, "item", "stands-twice", f"{item.id} ({first})")
            continue
        requirement = _requirement(number, row, item, found)
        if requirement is not None:
            wanted.setdefault(puja.id, []).append(requirement)
    for puja_id, requirements in wanted.items():
        before = pujas[puja_id]
        after = replace(before, requirements=tuple(requirements))
        if set(after.requirements) == set(before.requirements):
            found.unchanged += 1
            continue
        found.pujas.append(after)
        texts = (_rules_text(before.requirements), _rules_text(after.requirements))
        found.changes.append(RowChange(id=puja_id, is_new=False, fields={"rules": texts}))
    return found


def check_templates(
    text: str,
    known: Mapping[str, PujaTemplate],
    pujas: Mapping[str, Puja],
    find_item: Callable[[str], SamagriItem | None],
) -> Checked:
    """Read a table of templates; ``known`` are all that are stored, active or not."""
    found = Checked()
    heads: dict[str, tuple[int, PujaTemplate | None, dict[str, str]]] = {}
    lines: dict[str, dict[str, TemplateLine]] = {}
    for number, row in _rows(text, TEMPLATE_COLUMNS, found):
        code = row["template"]
        if code not in heads:
            said = {name: row[name] for name in _OF_TEMPLATE}
            heads[code] = number, _template(number, row, known, pujas, found), said
        first, template, said = heads[code]
        for name in (name for name in _OF_TEMPLATE if row[name] != said[name]):
            found.fault(number, name, "differs", f"{row[name]} ({first})")
        line = _template_line(
            number, row, pujas[template.puja_id] if template else None, find_item, found
        )
        if line is None:
            continue
        there = lines.setdefault(code, {})
        if line.item_id in there:
            found.fault(number, "item", "stands-twice", line.item_id)
        there[line.item_id] = line
        if len(there) == MAX_TEMPLATE_LINES + 1:
            found.fault(number, "item", "too-many", code)
    for code, (_, template, _) in heads.items():
        if template is None:
            continue
        after = replace(template, lines=tuple(lines.get(code, {}).values()))
        before = known.get(code)
        if before == after:
            found.unchanged += 1
            continue
        found.templates.append(after)
        found.changes.append(_template_change(before, after))
    return found


def items_table(items: Iterable[SamagriItem]) -> str:
    """Write items as a table that :func:`check_items` reads back."""
    return _table((*ITEM_COLUMNS, *MORE_ITEM_COLUMNS), map(_item_cells, items))


def _item_cells(item: SamagriItem) -> tuple[str, ...]:
    return (
        item.id,
        item.name,
        item.name_ne,
        "|".join(item.aliases),
        item.category_id,
        item.base_unit,
        str(item.base_quantity),
        _rupees(item.price),
        item.use,
        item.use_ne,
        "yes" if item.is_active else "no",
        season_text(item.season),
        "|".join(item.substitutes),
    )


def read_season(text: str) -> tuple[int, int] | None:
    """Read a season: ``7 to 11`` or ``7-11``; None from an empty text.

    Raises ``ValueError`` unless it is two months, 1 to 12.
    """
    if not text:
        return None
    pair = _SEASON.fullmatch(text.translate(_DIGITS))
    if pair is None or not all(1 <= int(month) <= MONTHS for month in pair.groups()):
        raise ValueError("not two months")
    return int(pair[1]), int(pair[2])


def season_text(season: tuple[int, int] | None) -> str:
    """Write a season so that :func:`read_season` reads it and no spreadsheet makes it a day."""
    return "" if season is None else "{} to {}".format(*season)


def rules_table(pujas: Iterable[Puja]) -> str:
    """Write the rules of pujas as a table that :func:`check_rules` reads back."""
    rows = (
        (puja.id, need.item_id, need.type, f"{need.quantity.normalize():f}", need.unit)
        for puja in pujas
        for need in puja.requirements
    )
    return _table(RULE_COLUMNS, rows)


def templates_table(templates: Iterable[PujaTemplate]) -> str:
    """Write templates as a table that :func:`check_templates` reads back."""
    rows = (
        (*_head_cells(template), line.item_id, f"{line.quantity.normalize():f}", line.unit)
        for template in templates
        for line in template.lines
    )
    return _table(TEMPLATE_COLUMNS, rows)


def _head_cells(template: PujaTemplate) -> tuple[str, ...]:
    return (
        template.id,
        template.puja_id,
        template.size,
        template.name,
        template.name_ne,
        template.description,
        template.description_ne,
        "yes" if template.is_active else "no",
    )


# -- reading ---------------------------------------------------------------------------------------


def _rows(
    text: str, columns: Sequence[str], found: Checked, more: Sequence[str] = ()
) -> Iterable[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    # Records, not lines: a cell may hold several of those, and an editor shows it as one row.
    number = 1
    try:
        heading = [name.strip().casefold() for name in next(reader, [])]
        missing = [name for name in columns if name not in heading]
        strange = [name for name in heading if name not in (*columns, *more)]
        for name in missing:
            found.fault(1, name, "column-missing")
        for name in strange:
            found.fault(1, name, "column-unknown", name)
        if len(set(heading)) != len(heading):
            found.fault(1, "", "column-twice")
        if missing or strange or found.fault_count:
            return
        for number, row in enumerate(reader, 2):
            if not any(cell.strip() for cell in row):
                continue
            found.rows += 1
            if found.rows > MAX_ROWS:
                found.fault(number, "", "too-many-rows", str(MAX_ROWS))
                return
            if len(row) != len(heading):
                found.fault(number, "", "cells", f"{len(row)} / {len(heading)}")
                continue
            cells = {name: cell.strip() for name, cell in zip(heading, row, strict=True)}
            broken = [name for name, cell in cells.items() if len(cell.splitlines()) > 1]
            for name in broken:
                found.fault(number, name, "line-break", " ".join(cells[name].splitlines()))
            if not broken:
                yield number, cells
    except csv.Error as error:
        found.fault(number + 1, "", "not-csv", str(error))
        return
    if not found.rows:
        found.fault(1, "", "empty")


def _item(
    number: int,
    row: Mapping[str, str],
    shelves: frozenset[str],
    known: SamagriItem | None,
    found: Checked,
) -> SamagriItem | None:
    before = found.fault_count
    if not _CODE.fullmatch(row["code"]) or row["code"] in RESERVED_CODES:
        found.fault(number, "code", "pattern", row["code"])
    for name in ("name", "name_ne"):
        if not row[name]:
            found.fault(number, name, "required")
        elif len(row[name]) > _MAX_TEXT:
            found.fault(number, name, "too-long", row[name])
    for name in ("use", "use_ne"):
        if len(row[name]) > _MAX_USE:
            found.fault(number, name, "too-long", row[name])
    aliases = tuple(
        dict.fromkeys(part.strip() for part in row["aliases"].split("|") if part.strip())
    )
    if len(aliases) > _MAX_ALIASES or any(len(alias) > _MAX_TEXT for alias in aliases):
        found.fault(number, "aliases", "too-long", row["aliases"])
    if row["category"] not in shelves:
        found.fault(number, "category", "choice", row["category"])
    unit = _unit(number, "base_unit", row["base_unit"], found)
    quantity = _whole(number, "base_quantity", row["base_quantity"], _MAX_BASE_QUANTITY, found)
    price = _paisa(number, "price", row["price"], found)
    active = _BOOLEANS.get(row["active"].casefold())
    if active is None:
        found.fault(number, "active", "choice", row["active"])
    season = known.season if known else None
    if "season" in row:
        season = _season(number, row["season"], found)
    substitutes = known.substitutes if known else ()
    if "substitutes" in row:
        codes = (part.strip() for part in row["substitutes"].split("|") if part.strip())
        substitutes = tuple(dict.fromkeys(codes))
        if len(substitutes) > MAX_SUBSTITUTES:
            found.fault(number, "substitutes", "too-long", row["substitutes"])
    if found.fault_count > before or unit is None or active is None:
        return None
    return SamagriItem(
        id=row["code"],
        name=row["name"],
        name_ne=row["name_ne"],
        aliases=aliases,
        category_id=row["category"],
        base_unit=unit,
        base_quantity=quantity,
        price=price,
        use=row["use"],
        use_ne=row["use_ne"],
        is_active=active,
        season=season,
        substitutes=substitutes,
    )


def _season(number: int, text: str, found: Checked) -> tuple[int, int] | None:
    try:
        return read_season(text)
    except ValueError:
        found.fault(number, "season", "months", text)
        return None


def _template(
    number: int,
    row: Mapping[str, str],
    known: Mapping[str, PujaTemplate],
    pujas: Mapping[str, Puja],
    found: Checked,
) -> PujaTemplate | None:
    """What a row says of the template itself, still without lines."""
    before, code = found.fault_count, row["template"]
    if not _CODE.fullmatch(code):
        found.fault(number, "template", "pattern", code)
    if row["puja"] not in pujas:
        found.fault(number, "puja", "unknown-puja", row["puja"])
    elif code in known and known[code].puja_id != row["puja"]:
        # Whoever has chosen it by its code would get another puja's list.
        found.fault(number, "puja", "other-puja", row["puja"])
    size = TemplateSize.__members__.get(row["size"].upper())
    if size is None:
        found.fault(number, "size", "choice", row["size"])
    for name in ("name", "name_ne"):
        if not row[name]:
            found.fault(number, name, "required")
    for name, most in (
        ("name", _MAX_TEXT),
        ("name_ne", _MAX_TEXT),
        ("description", _MAX_USE),
        ("description_ne", _MAX_USE),
    ):
        if len(row[name]) > most:
            found.fault(number, name, "too-long", row[name])
    active = _BOOLEANS.get(row["active"].casefold())
    if active is None:
        found.fault(number, "active", "choice", row["active"])
    if found.fault_count > before or size is None or active is None:
        return None
    return PujaTemplate(
        id=code,
        puja_id=row["puja"],
        size=size,
        name=row["name"],
        name_ne=row["name_ne"],
        description=row["description"],
        description_ne=row["description_ne"],
        is_active=active,
    )


def _template_line(
    number: int,
    row: Mapping[str, str],
    puja: Puja | None,
    find_item: Callable[[str], SamagriItem | None],
    found: Checked,
) -> TemplateLine | None:
    before = found.fault_count
    item = find_item(row["item"])
    if item is None:
        found.fault(number, "item", "unknown-item", row["item"])
    elif not item.is_active:
        found.fault(number, "item", "not-active", item.id)
    unit = _unit(number, "unit", row["unit"], found)
    quantity = _decimal(row["quantity"])
    if quantity is None:
        found.fault(number, "quantity", "type", row["quantity"])
    if item is None or unit is None or quantity is None:
        return None
    line = TemplateLine(item_id=item.id, quantity=quantity, unit=unit)
    try:
        check_template_line(line, item, puja)
    except Invalid as error:
        fault = error.faults[0]
        found.fault(number, fault.field, fault.code, f"{row['quantity']} {unit}")
    return line if found.fault_count == before else None


def _requirement(
    number: int, row: Mapping[str, str], item: SamagriItem, found: Checked
) -> Requirement | None:
    before = found.fault_count
    kind = SamagriType.__members__.get(row["type"].upper())
    if kind is None:
        found.fault(number, "type", "choice", row["type"])
    unit = _unit(number, "unit", row["unit"], found)
    quantity = _decimal(row["quantity"])
    if quantity is None:
        found.fault(number, "quantity", "type", row["quantity"])
    elif unit is not None:
        try:
            check_quantity(quantity, unit, item.base_unit)
        except Invalid as error:
            fault: FieldFault = error.faults[0]
            found.fault(number, fault.field, fault.code, f"{row['quantity']} {unit}")
    if not item.is_active:
        found.fault(number, "item", "not-active", item.id)
    if found.fault_count > before or kind is None or unit is None or quantity is None:
        return None
    return Requirement(item_id=item.id, quantity=quantity, unit=unit, type=kind)


def _unit(number: int, column: str, text: str, found: Checked) -> Unit | None:
    try:
        return Unit(text)
    except ValueError:
        found.fault(number, column, "choice", text)
        return None


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text.translate(_DIGITS))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _whole(number: int, column: str, text: str, most: int, found: Checked) -> int:
    value = _decimal(text)
    # The range first: a number of a billion digits is one of a few letters.
    if value is None or not 0 < value <= most or value != int(value):
        found.fault(number, column, "range", text)
        return 0
    return int(value)


def _paisa(number: int, column: str, text: str, found: Checked) -> int:
    value = _decimal(text)
    paisa = None if value is None or not 0 < value <= _MAX_PRICE_PAISA else value * 100
    if paisa is None or not 0 < paisa <= _MAX_PRICE_PAISA or paisa != int(paisa):
        found.fault(number, column, "amount", text)
        return 0
    return int(paisa)


def _check_names(
    wanted: Mapping[str, SamagriItem], places: Mapping[str, int], found: Checked
) -> None:
    """No name may mean two items, else a rule that names one means either."""
    owner: dict[str, str] = {}
    for item in wanted.values():
        for name in (item.id, item.name, item.name_ne, *item.aliases):
            key = " ".join(name.casefold().split())
            other = owner.setdefault(key, item.id)
            if other == item.id:
                continue
            # Named at the row that brings the second; both may stand in the table.
            number = max(places.get(item.id, 0), places.get(other, 0))
            if number:
                found.fault(number, "aliases", "name-taken", name)


# -- telling ---------------------------------------------------------------------------------------


def _item_change(before: SamagriItem | None, after: SamagriItem) -> RowChange:
    if before is None:
        return RowChange(id=after.id, is_new=True, fields={"name": ("", after.name)})
    old, new = _cells(before), _cells(after)
    fields = {name: (old[name], new[name]) for name in old if old[name] != new[name]}
    return RowChange(id=after.id, is_new=False, fields=fields)


def _cells(item: SamagriItem) -> dict[str, str]:
    return dict(zip((*ITEM_COLUMNS, *MORE_ITEM_COLUMNS), _item_cells(item), strict=True))


def _template_change(before: PujaTemplate | None, after: PujaTemplate) -> RowChange:
    if before is None:
        return RowChange(id=after.id, is_new=True, fields={"name": ("", after.name)})
    names = TEMPLATE_COLUMNS[:8]
    old, new = (dict(zip(names, _head_cells(each), strict=True)) for each in (before, after))
    fields = {name: (old[name], new[name]) for name in names if old[name] != new[name]}
    texts = (_lines_text(before.lines), _lines_text(after.lines))
    if texts[0] != texts[1]:
        fields["items"] = texts
    return RowChange(id=after.id, is_new=False, fields=fields)


def _lines_text(lines: Iterable[TemplateLine]) -> str:
    return ", ".join(f"{line.item_id} {line.quantity.normalize():f} {line.unit}" for line in lines)


def _rules_text(requirements: Iterable[Requirement]) -> str:
    return ", ".join(
        f"{need.item_id} {need.quantity.normalize():f} {need.unit}"
        for need in sorted(requirements, key=lambda need: need.item_id)
    )


def _rupees(paisa: int) -> str:
    rupees, rest = divmod(paisa, 100)
    return f"{rupees}.{rest:02d}" if rest else str(rupees)


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()
