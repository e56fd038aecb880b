"""Items are found by whole names only, and two items never share one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from server.domain.catalogue import (
    CatalogueFault,
    ItemNames,
    SamagriItem,
    SamagriType,
    check_quantity,
)
from server.domain.errors import Invalid
from server.domain.money import Unit


def make_item(code: str, name: str, *aliases: str, name_ne: str = "") -> SamagriItem:
    return SamagriItem(
        id=code,
        name=name,
        name_ne=name_ne or f"ne-{code}",
        aliases=aliases,
        category_id="tika",
        base_unit=Unit.KG,
        base_quantity=1,
        price=50_000,
    )


HALDI = make_item("haldi", "Haldi (Turmeric)", "Haldi", "Turmeric", name_ne="बेसार")


@pytest.mark.parametrize(
    "name", ["haldi", "Haldi", "HALDI (turmeric)", "  Haldi   (Turmeric) ", "Turmeric", "बेसार"]
)
def test_all_names_of_an_item_mean_it(name):
    assert ItemNames([HALDI]).find(name) is HALDI


@pytest.mark.parametrize("name", ["Hal", "Haldi Powder", "(Turmeric)", "", "haldi-2"])
def test_part_of_a_name_means_nothing(name):
    assert ItemNames([HALDI]).find(name) is None


def test_two_items_with_one_name_are_refused_with_the_name():
    with pytest.raises(CatalogueFault, match="'haldi' and 'besar' share the name 'turmeric'"):
        ItemNames([HALDI, make_item("besar", "Besar", "Turmeric")])


@pytest.mark.parametrize(
    ("quantity", "unit", "code"),
    [
        ("0", Unit.G, "range"),
        ("-1", Unit.KG, "range"),
        ("10001", Unit.G, "range"),
        ("1", Unit.ML, "unit"),
        ("1", Unit.PACKET, "unit"),
        ("0.0005", Unit.G, "type"),
        ("NaN", Unit.G, "range"),
        ("sNaN", Unit.G, "range"),
        ("Infinity", Unit.G, "range"),
    ],
)
def test_quantities_that_make_no_sense_are_refused(quantity, unit, code):
    with pytest.raises(Invalid) as caught:
        check_quantity(Decimal(quantity), unit, Unit.KG)
    assert [fault.code for fault in caught.value.faults] == [code]


def test_counted_things_are_whole():
    check_quantity(Decimal(2), Unit.GARLAND, Unit.GARLAND)
    with pytest.raises(Invalid) as caught:
        check_quantity(Decimal("1.5"), Unit.GARLAND, Unit.GARLAND)
    assert [fault.code for fault in caught.value.faults] == ["whole-number"]


def test_only_optional_items_can_be_removed():
    assert [kind.can_remove for kind in SamagriType] == [False, False, True]


@pytest.mark.parametrize(
    ("season", "months"),
    [(None, ()), ((7, 9), (7, 8, 9)), ((11, 2), (11, 12, 1, 2)), ((4, 4), (4,))],
)
def test_a_season_runs_from_its_first_month_to_its_last(
    season: tuple[int, int] | None, months: tuple[int, ...]
) -> None:
    item = SamagriItem(
        id="lotus",
        name="Lotus",
        name_ne="कमल",
        category_id="flowers",
        base_unit=Unit.PIECE,
        base_quantity=1,
        price=5_000,
        season=season,
    )
    assert item.season_months == months
    had = {month for month in range(1, 13) if item.is_in_season(month)}
    assert had == (set(months) or set(range(1, 13)))
    assert item.is_in_season(0), "nobody knows the month"
