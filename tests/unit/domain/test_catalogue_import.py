"""Tables of items and rules: read whole, every fault named, nothing guessed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.catalogue import ItemNames, Puja, Requirement, SamagriItem, SamagriType
from server.domain.catalogue_import import (
    ITEM_COLUMNS,
    MAX_FAULTS,
    check_items,
    check_rules,
    items_table,
    rules_table,
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
