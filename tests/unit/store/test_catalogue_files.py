"""The shipped catalogue is whole and holds the three rule sets; a broken one names every fault."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from server.domain.catalogue import Catalogue, CatalogueFault, ItemNames, SamagriType
from server.domain.money import Unit
from server.paths import data_path
from server.store.catalogue_files import load_catalogue

RULES = {
    "Griha Pravesh": (
        """Kumkum 1 packet, Haldi (Turmeric) 100 g, Rice (Akshat) 500 g, Coconut 2 piece,
        Mango Leaves 1 bunch, Incense Sticks (Agarbatti) 2 packet, Camphor 1 packet, Ghee 100 ml,
        Cotton Wicks 1 packet, Flowers (Marigold) 1 garland, Kalash (pot) 1 piece""",
        """Supari (Betel Nut) 50 g, Pan Leaves 12 piece, Sugar 250 g, Dry Fruits 100 g""",
    ),
    "Satyanarayan Puja": (
        """Kumkum 1 packet, Haldi 100 g, Rice 500 g, Coconut 1 piece, Banana 12 piece,
        Incense Sticks 2 packet, Ghee 200 ml, Sugar 500 g, Panchamrit ingredients 1 set""",
        """Flowers 1 garland, Dry Fruits 200 g""",
    ),
    "Wedding Ceremony": (
        """Kumkum 2 packet, Haldi 250 g, Rice 1 kg, Coconut 5 piece, Mango Leaves 2 bunch,
        Incense Sticks 5 packet, Ghee 500 ml, Red Thread (Mauli) 1 roll,
        Flowers (Rose & Marigold) 5 garland, Sacred Fire Wood 1 bundle""",
        """Sandalwood Paste 1 packet, Rose Water 1 bottle""",
    ),
}

CATEGORIES = '[[category]]\ncode = "tika"\nname = "Tika"\nname_ne = "टीका"\nposition = 1\n'
HALDI = """
[[item]]
code = "haldi"
name = "Haldi (Turmeric)"
name_ne = "बेसार"
aliases = ["Haldi"]
category = "tika"
base_unit = "kg"
base_quantity = 1
price_paisa = 50000
use = "for purity"
use_ne = "शुद्धिका लागि"
"""
PUJA = """
[[puja_category]]
code = "home"
name = "Home"
name_ne = "घर"

[[puja]]
code = "griha-pravesh"
name = "Griha Pravesh"
name_ne = "गृह प्रवेश"
category = "home"
description = "First entry."
description_ne = "पहिलो प्रवेश।"
duration_minutes = 180
base_price_paisa = 510000
"""


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    return load_catalogue(data_path("config") / "catalogue")


def write(path: Path, *, items: str = HALDI, pujas: str = PUJA, categories: str = CATEGORIES):
    (path / "categories.toml").write_text(categories, encoding="utf-8")
    (path / "items.toml").write_text(items, encoding="utf-8")
    (path / "pujas.toml").write_text(pujas, encoding="utf-8")
    return path


def faults_of(path: Path) -> list[str]:
    with pytest.raises(CatalogueFault) as caught:
        load_catalogue(path)
    return caught.value.faults


def lines_of(text: str, names: ItemNames) -> set[tuple[str, Decimal, Unit]]:
    lines = set()
    for part in text.split(","):
        name, quantity, unit = " ".join(part.split()).rsplit(" ", 2)
        item = names.find(name)
        assert item is not None, name
        lines.add((item.id, Decimal(quantity), Unit(unit)))
    return lines


def test_the_shipped_catalogue_is_large_enough(shipped):
    assert len(shipped.pujas) >= 20
    assert len(shipped.items) >= 90
    assert all(puja.name_ne and puja.description_ne for puja in shipped.pujas)
    assert all(item.name_ne and item.use_ne for item in shipped.items)


def test_rites_of_passage_come_once_in_a_life(shipped, tmp_path):
    of_life = {puja.id: puja for puja in shipped.pujas if puja.category_id == "life-cycle"}
    assert {name for name, puja in of_life.items() if puja.is_repeatable} == {"birthday-puja"}
    yearly = ("satyanarayan-puja", "shraddha", "business-opening", "kul-puja", "durga-puja")
    assert all(puja.is_repeatable for puja in shipped.pujas if puja.id in yearly)
    (puja,) = load_catalogue(write(tmp_path, pujas=PUJA + "is_repeatable = false\n")).pujas
    assert not puja.is_repeatable


def test_every_shipped_puja_needs_something_it_cannot_do_without(shipped):
    for puja in shipped.pujas:
        assert any(not need.type.can_remove for need in puja.requirements), puja.id


@pytest.mark.parametrize("name", RULES)
def test_the_rule_sets_are_in_the_catalogue_exactly(shipped, name):
    names = ItemNames(shipped.items)
    puja = next(puja for puja in shipped.pujas if puja.name == name)
    for kind, text in zip((SamagriType.ESSENTIAL, SamagriType.OPTIONAL), RULES[name], strict=True):
        stored = {
            (need.item_id, need.quantity, need.unit)
            for need in puja.requirements
            if need.type is kind
        }
        assert stored == lines_of(text, names)


def test_haldi_and_haldi_turmeric_are_one_item(shipped):
    names = ItemNames(shipped.items)
    assert names.find("Haldi") is names.find("Haldi (Turmeric)") is not None


def test_an_unknown_item_stops_the_load_with_its_name_and_puja(tmp_path):
    need = 'essential = [{ item = "Haldii", quantity = 100, unit = "g" }]\n'
    assert faults_of(write(tmp_path, pujas=PUJA + need)) == [
        "puja 'griha-pravesh', essential item 'Haldii': is not in the catalogue"
    ]
    good = 'essential = [{ item = "haldi", quantity = 0.5, unit = "kg" }]\n'
    catalogue = load_catalogue(write(tmp_path, pujas=PUJA + good))
    need_ = catalogue.pujas[0].requirements[0]
    assert (need_.item_id, need_.quantity) == ("haldi", Decimal("0.5"))


def test_all_faults_are_told_at_once(tmp_path):
    pujas = PUJA.replace('category = "home"', 'category = "house"').replace("= 180", "= 100") + (
        "required = [\n"
        '  { item = "Haldi", quantity = 1, unit = "packet" },\n'
        '  { item = "Nothing", quantity = 1, unit = "g" },\n'
        "]\n"
        'optional = [{ item = "Haldi (Turmeric)", quantity = 1, unit = "g" }]\n'
    )
    items = HALDI.replace("50000", "0").replace('"tika"', '"tikka"')
    told = "\n".join(faults_of(write(tmp_path, items=items, pujas=pujas)))
    for fault in (
        "item 'haldi': there is no category 'tikka'",
        "item 'haldi': base_quantity and price_paisa must be above zero",
        "puja 'griha-pravesh': there is no puja category 'house'",
        "puja 'griha-pravesh': duration_minutes must be whole quarter hours",
        "required item 'Haldi': 1 packet is no good quantity",
        "required item 'Nothing': is not in the catalogue",
        "optional item 'Haldi (Turmeric)': is the same as 'Haldi', named before",
    ):
        assert fault in told


def test_two_items_with_one_name_stop_the_load(tmp_path):
    other = HALDI.replace('code = "haldi"', 'code = "besar"').replace("बेसार", "हलेदो")
    faults = faults_of(write(tmp_path, items=HALDI + other))
    assert any("'haldi' and 'besar' share the name 'haldi'" in fault for fault in faults)


def test_misspelt_keys_and_missing_files_stop_the_load(tmp_path):
    path = write(tmp_path, items=HALDI.replace("price_paisa", "price"))
    assert any("haldi" in fault and "price" in fault for fault in faults_of(path))
    (path / "categories.toml").unlink()
    assert any(fault.startswith("categories.toml: cannot be read") for fault in faults_of(path))
