"""Tables of items and rules: read whole, every fault named, nothing guessed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.catalogue import (
    ItemNames,
    Puja,
    PujaTemplate,
    Requirement,
    SamagriItem,
    SamagriType,
    TemplateSize,
)
from server.domain.catalogue_import import (
    ITEM_COLUMNS,
    MAX_FAULTS,
    TEMPLATE_COLUMNS,
    Checked,
    check_items,
    check_rules,
    check_templates,
    items_table,
    read_season,
    rules_table,
    season_text,
    templates_table,
)
from server.domain.money import Unit

SHELVES = ("tika", "grains")
HEAD = ",".join(ITEM_COLUMNS)


def item(item_id: str = "kumkum", **changes: object) -> SamagriItem:
    fields: dict[str, object] = {
        "id": item_id,
        "name": item_id.title(),
        "name_ne": f"ने {item_id}",
        "category_id": "tika",
        "base_unit": Unit.PACKET,
        "base_quantity": 1,
        "price": 4000,
        **changes,
    }
    return SamagriItem(**fields)  # type: ignore[arg-type]  # what a test says


def puja(*requirements: Requirement) -> Puja:
    return Puja(
        id="satyanarayan-puja",
        name="Satyanarayan Puja",
        name_ne="सत्यनारायण पूजा",
        category_id="deity",
        description="",
        description_ne="",
        duration_minutes=120,
        base_price=250_000,
        requirements=requirements,
    )


def known(*items: SamagriItem) -> dict[str, SamagriItem]:
    return {each.id: each for each in items}


def test_the_catalogues_own_table_changes_nothing():
    there = known(item(), item("rice", base_unit=Unit.KG, price=12_050, aliases=("Chamal", "चामल")))
    checked = check_items(items_table(there.values()), there, SHELVES)
    assert (checked.items, checked.fault_count, checked.unchanged) == ([], 0, 2)


def test_a_new_item_and_a_new_price_are_told_apart():
    there = known(item())
    text = items_table([item(price=4550), item("haldi")])
    checked = check_items(text, there, SHELVES)
    assert [(change.id, change.is_new) for change in checked.changes] == [
        ("kumkum", False),
        ("haldi", True),
    ]
    assert checked.changes[0].fields == {"price": ("40", "45.50")}
    assert checked.items[0].price == 4550


@pytest.mark.parametrize(
    ("changed", "column", "code"),
    [
        ({"code": "Kum Kum"}, "code", "pattern"),
        ({"name": ""}, "name", "required"),
        ({"name_ne": "x" * 121}, "name_ne", "too-long"),
        ({"category": "nowhere"}, "category", "choice"),
        ({"base_unit": "pound"}, "base_unit", "choice"),
        ({"base_quantity": "0"}, "base_quantity", "range"),
        ({"base_quantity": "1.5"}, "base_quantity", "range"),
        ({"price": "0"}, "price", "amount"),
        ({"price": "-5"}, "price", "amount"),
        ({"price": "10.005"}, "price", "amount"),
        ({"price": "NaN"}, "price", "amount"),
        ({"price": "1e400"}, "price", "amount"),
        ({"price": "forty"}, "price", "amount"),
        ({"active": "perhaps"}, "active", "choice"),
    ],
)
def test_a_faulty_cell_is_named_with_its_row(changed: dict[str, str], column: str, code: str):
    row = {
        "code": "abir",
        "name": "Abir",
        "name_ne": "अबिर",
        "aliases": "",
        "category": "tika",
        "base_unit": "packet",
        "base_quantity": "1",
        "price": "40",
        "use": "",
        "use_ne": "",
        "active": "yes",
    } | changed
    text = f"{HEAD}\r\n" + ",".join(row[name] for name in ITEM_COLUMNS) + "\r\n"
    checked = check_items(text, known(item()), SHELVES)
    assert [(fault.row, fault.column, fault.code) for fault in checked.faults] == [
        (2, column, code)
    ]
    assert checked.items == []


def test_nepali_digits_are_numbers():
    row = "abir,Abir,अबिर,,tika,packet,१,४५.५०,,,yes"
    (found,) = check_items(f"{HEAD}\n{row}\n", {}, SHELVES).items
    assert (found.base_quantity, found.price) == (1, 4550)


def test_no_name_may_mean_two_items():
    there = known(item(), item("abir"))
    checked = check_items(items_table([item("roli", aliases=("KUMKUM",))]), there, SHELVES)
    assert [(fault.row, fault.code, fault.value) for fault in checked.faults] == [
        (2, "name-taken", "KUMKUM")
    ]


def test_a_unit_that_measures_something_else_is_refused_for_a_known_item():
    checked = check_items(items_table([item(base_unit=Unit.KG)]), known(item()), SHELVES)
    assert [fault.code for fault in checked.faults] == ["unit"]


def test_a_code_that_stands_twice_is_refused():
    checked = check_items(items_table([item("abir"), item("abir")]), {}, SHELVES)
    assert [(fault.row, fault.code) for fault in checked.faults] == [(3, "stands-twice")]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "column-missing"),
        ("code,name\nx,y\n", "column-missing"),
        (f"{HEAD},price\n", "column-twice"),
        (f"{HEAD},colour\n", "column-unknown"),
        (f"{HEAD}\n", "empty"),
        (f"{HEAD}\na,b\n", "cells"),
        (f'{HEAD}\n"abir,Abir\n', "not-csv"),
    ],
)
def test_what_is_no_table_is_said_to_be_none(text: str, code: str):
    checked = check_items(text, {}, SHELVES)
    assert code in {fault.code for fault in checked.faults}
    assert checked.items == []


def test_all_faults_are_counted_and_the_first_are_named():
    rows = "\n".join(f"abir-{n},Abir {n},अबिर {n},,tika,packet,1,-1,,,yes" for n in range(500))
    checked = check_items(f"{HEAD}\n{rows}\n", {}, SHELVES)
    assert (checked.fault_count, len(checked.faults)) == (500, MAX_FAULTS)


def test_rules_of_a_puja_are_replaced_as_a_whole():
    rice, kumkum = item("rice", base_unit=Unit.KG, aliases=("Akshata",)), item()
    names = ItemNames([rice, kumkum])
    old = Requirement(
        item_id="kumkum", quantity=Decimal(1), unit=Unit.PACKET, type=SamagriType.OPTIONAL
    )
    text = "puja,item,type,quantity,unit\nsatyanarayan-puja,akshata,required,500,g\n"
    there = {"satyanarayan-puja": puja(old)}
    checked = check_rules(text, there, names.find)
    (after,) = checked.pujas
    assert after.requirements == (
        Requirement(item_id="rice", quantity=Decimal(500), unit=Unit.G, type=SamagriType.REQUIRED),
    )
    assert check_rules(rules_table([after]), {after.id: after}, names.find).unchanged == 1


@pytest.mark.parametrize(
    ("row", "column", "code"),
    [
        ("nothing,kumkum,REQUIRED,1,packet", "puja", "unknown-puja"),
        ("satyanarayan-puja,kum,REQUIRED,1,packet", "item", "unknown-item"),
        ("satyanarayan-puja,kumkum,WANTED,1,packet", "type", "choice"),
        ("satyanarayan-puja,kumkum,REQUIRED,one,packet", "quantity", "type"),
        ("satyanarayan-puja,kumkum,REQUIRED,0,packet", "quantity", "range"),
        ("satyanarayan-puja,kumkum,REQUIRED,1.5,packet", "quantity", "whole-number"),
        ("satyanarayan-puja,kumkum,REQUIRED,1,kg", "unit", "unit"),
        ("satyanarayan-puja,off,REQUIRED,1,packet", "item", "not-active"),
    ],
)
def test_a_faulty_rule_is_named(row: str, column: str, code: str):
    names = ItemNames([item(), item("off", is_active=False)])
    text = f"puja,item,type,quantity,unit\n{row}\n"
    checked = check_rules(text, {"satyanarayan-puja": puja()}, names.find)
    assert [(fault.row, fault.column, fault.code) for fault in checked.faults] == [
        (2, column, code)
    ]
    assert checked.pujas == []


@given(st.text(max_size=400))
def test_no_text_at_all_makes_it_fail(text: str):
    for checked in (
        check_items(text, known(item()), SHELVES),
        check_rules(text, {}, ItemNames([item()]).find),
        check_items(f"{HEAD}\n{text}", known(item()), SHELVES),
    ):
        assert checked.fault_count or checked.items or checked.pujas or checked.unchanged


BREAKS = ("\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")


@pytest.mark.parametrize("mark", BREAKS)
def test_a_line_break_in_a_cell_is_named_and_counts_as_one_row(mark: str):
    broken, good = item("abir", use=f"For the{mark}forehead"), item("haldi", price=0)
    checked = check_items(items_table([broken, good]), known(item()), SHELVES)
    assert [(fault.row, fault.column, fault.code) for fault in checked.faults] == [
        (2, "use", "line-break"),
        (3, "price", "amount"),
    ]
    rule = f'satyanarayan-puja,"kum{mark}kum",REQUIRED,1,packet'
    checked = check_rules(f"puja,item,type,quantity,unit\n{rule}\n", {}, ItemNames([item()]).find)
    assert [(fault.row, fault.column, fault.code) for fault in checked.faults] == [
        (2, "item", "line-break")
    ]


def test_where_reading_stops_is_told_by_its_row():
    text = items_table([item("abir", use="For\nthe\nforehead")]) + '"open'
    checked = check_items(text, {}, SHELVES)
    assert [(fault.row, fault.code) for fault in checked.faults] == [
        (2, "line-break"),
        (3, "not-csv"),
    ]


@given(st.text(max_size=300), st.text(max_size=300))
def test_no_text_of_an_item_makes_it_fail(before: str, after: str):
    """Whatever is stored already and whatever is sent: it is a change, the same, or a fault."""
    there = known(item(use=before))
    checked = check_items(items_table([item(use=after)]), there, SHELVES)
    assert checked.fault_count + checked.unchanged + len(checked.changes) == 1
    for change in checked.changes:
        assert change.fields["use"] == (before, after.strip())


@pytest.mark.parametrize("number", ["1e9999999999", "-1e9999999999", "1e-9999999999"])
def test_a_number_of_a_billion_digits_is_out_of_range(number: str):
    for column in ("base_quantity", "price"):
        cells = {"base_quantity": "1", "price": "40", column: number}
        row = f"abir,Abir,अबिर,,tika,packet,{cells['base_quantity']},{cells['price']},,,yes"
        checked = check_items(f"{HEAD}\n{row}\n", {}, SHELVES)
        assert [fault.column for fault in checked.faults] == [column]


@given(
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")),
        min_size=1,
        max_size=60,
    ).filter(lambda text: text == text.strip()),
    st.integers(1, 10_000_000_00),
)
def test_an_item_survives_being_written_and_read(name: str, price: int):
    written = item("abir", name=name, price=price)
    checked = check_items(items_table([written]), {}, SHELVES)
    assert checked.items == [written] or checked.faults[0].code == "name-taken"


@pytest.mark.parametrize(
    ("text", "season"),
    [("7 to 11", (7, 11)), ("11-2", (11, 2)), ("११ – २", (11, 2)), ("3 to 3", (3, 3)), ("", None)],
)
def test_a_season_is_two_months(text: str, season: tuple[int, int] | None) -> None:
    assert read_season(text) == season
    assert read_season(season_text(season)) == season


@pytest.mark.parametrize("text", ["7", "0 to 3", "7 to 13", "Asar", "11-Jul", "7 to 8 to 9"])
def test_what_is_no_season_is_named(text: str) -> None:
    there = known(item())
    table = f"{HEAD},season\nkumkum,Kumkum,ने,,tika,packet,1,40,,,yes,{text}\n"
    checked = check_items(table, there, SHELVES)
    assert [(each.row, each.column, each.code) for each in checked.faults] == [
        (2, "season", "months")
    ]


def test_older_tables_leave_seasons_and_substitutes_as_they_are() -> None:
    there = known(item(season=(7, 11), substitutes=("rice",)), item("rice"))
    checked = check_items(f"{HEAD}\nkumkum,New Name,ने,,tika,packet,1,40,,,yes\n", there, SHELVES)
    assert not checked.fault_count
    (changed,) = checked.items
    assert (changed.season, changed.substitutes) == ((7, 11), ("rice",))
    assert changed.name == "New Name"


@pytest.mark.parametrize("code", ["kumkum", "nothing"])
def test_a_substitute_is_another_item_that_there_is(code: str) -> None:
    table = f"{HEAD},substitutes\nkumkum,Kumkum,ने,,tika,packet,1,40,,,yes,{code}\n"
    checked = check_items(table, known(item()), SHELVES)
    assert [(each.column, each.code) for each in checked.faults] == [
        ("substitutes", "unknown-item")
    ]


TEMPLATE_HEAD = ",".join(TEMPLATE_COLUMNS)
RITES = {
    "satyanarayan-puja": puja(
        Requirement(item_id="rice", quantity=Decimal(500), unit=Unit.G, type=SamagriType.ESSENTIAL),
        Requirement(
            item_id="kumkum", quantity=Decimal(1), unit=Unit.PACKET, type=SamagriType.OPTIONAL
        ),
    )
}
GOODS = known(item(), item("rice", base_unit=Unit.KG))


def template_row(**changes: str) -> str:
    cells = {
        "template": "simple",
        "puja": "satyanarayan-puja",
        "size": "SIMPLE",
        "name": "Simple",
        "name_ne": "सरल",
        "description": "",
        "description_ne": "",
        "active": "yes",
        "item": "rice",
        "quantity": "1",
        "unit": "kg",
    }
    return ",".join((cells | changes).values())


def checked_templates(*rows: str, there: dict[str, PujaTemplate] | None = None) -> Checked:
    text = "\n".join([TEMPLATE_HEAD, *rows])
    return check_templates(text, there or {}, RITES, ItemNames(GOODS.values()).find)


def test_a_template_is_its_rows_together() -> None:
    checked = checked_templates(template_row(), template_row(item="Kumkum", unit="packet"))
    assert not checked.faults
    (made,) = checked.templates
    assert [line.item_id for line in made.lines] == ["rice", "kumkum"]
    assert made.size is TemplateSize.SIMPLE
    again = check_templates(
        templates_table([made]), {made.id: made}, RITES, ItemNames(GOODS.values()).find
    )
    assert (again.fault_count, again.unchanged, again.templates) == (0, 1, [])


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"template": "NO CODE"}, ("template", "pattern")),
        ({"puja": "nothing"}, ("puja", "unknown-puja")),
        ({"size": "HUGE"}, ("size", "choice")),
        ({"name": ""}, ("name", "required")),
        ({"active": "perhaps"}, ("active", "choice")),
        ({"item": "nothing"}, ("item", "unknown-item")),
        ({"quantity": "0"}, ("quantity", "range")),
        ({"quantity": "many"}, ("quantity", "type")),
        ({"quantity": "0.4"}, ("quantity", "less-than-needed")),
        ({"unit": "l"}, ("unit", "unit")),
        ({"item": "kumkum", "unit": "packet", "quantity": "1.5"}, ("quantity", "whole-number")),
    ],
)
def test_each_fault_of_a_template_is_named(changes: dict[str, str], fault: tuple[str, str]) -> None:
    checked = checked_templates(template_row(**changes))
    assert [(each.column, each.code) for each in checked.faults] == [fault]
    assert all(each.row == 2 for each in checked.faults)


def test_rows_of_one_template_agree_about_it() -> None:
    checked = checked_templates(
        template_row(), template_row(item="kumkum", unit="packet", size="FULL")
    )
    assert [(each.row, each.column, each.code) for each in checked.faults] == [
        (3, "size", "differs")
    ]


def test_an_item_stands_once_in_a_template() -> None:
    checked = checked_templates(template_row(), template_row())
    assert [(each.column, each.code) for each in checked.faults] == [("item", "stands-twice")]


def test_a_template_stays_with_its_puja() -> None:
    there = PujaTemplate(
        id="simple", puja_id="other", size=TemplateSize.SIMPLE, name="Simple", name_ne="सरल"
    )
    checked = checked_templates(template_row(), there={"simple": there})
    assert [(each.column, each.code) for each in checked.faults] == [("puja", "other-puja")]


@pytest.mark.parametrize("code", ["budget", "template"])
def test_words_of_addresses_are_no_codes_of_items(code: str) -> None:
    checked = check_items(items_table([item(code)]), {}, SHELVES)
    assert [(each.column, each.code) for each in checked.faults] == [("code", "pattern")]
