"""Towns are found by any spelling of the beginning of their name; Nepal's come first."""

from __future__ import annotations

import functools

import pytest

from server.paths import data_path
from server.places.directory import PlaceTable, load_places


@pytest.fixture(scope="module")
def places() -> PlaceTable:
    return load_places(data_path("config") / "places.csv")


def names(found):
    return [place.name for place in found]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Lalitpur", "Lalitpur"),
        ("ललितपुर", "Lalitpur"),
        ("patan", "Lalitpur"),
        ("Kathmandau", "Kathmandu"),
        ("काठमाडौं", "Kathmandu"),
        ("काठमाडौँ", "Kathmandu"),
        ("pokh", "Pokhara"),
        ("Baneshwar", "Baneshwor"),
        ("chitwan", "Bharatpur"),
        ("Delhi", "Delhi"),
        ("doha", "Doha"),
    ],
)
def test_a_town_is_found_however_it_is_written(places, typed, name):
    assert names(places.search(typed, limit=5))[0] == name


def test_a_place_tells_where_it_is(places):
    lalitpur = places.named("पाटन")
    assert (lalitpur.name_ne, lalitpur.region, lalitpur.country) == ("ललितपुर", "Lalitpur", "NP")
    assert lalitpur.timezone == "Asia/Kathmandu"
    assert lalitpur.point.latitude == pytest.approx(27.67, abs=0.02)
    assert places.find(lalitpur.id) == lalitpur
    assert places.named("Doha").timezone == "Asia/Qatar"


def test_only_a_whole_name_names_a_place(places):
    assert places.named("lalitp") is None
    assert places.named("") is None
    assert places.named("puja") is None
    assert places.find("nowhere") is None


def test_no_place_comes_twice_and_no_more_than_asked_for(places):
    for typed in ("ka", "b", "l", "na", "क"):
        found = places.search(typed, limit=6)
        assert len(found) == len({place.id for place in found}) == 6
        assert found[0].country == "NP"


def test_a_country_may_be_asked_for(places):
    assert {place.country for place in places.search("bharatpur", limit=5, country="IN")} == {"IN"}
    assert {place.country for place in places.search("b", limit=20, country="NP")} == {"NP"}


def test_every_place_of_nepal_lies_there_and_has_a_nepali_name(places):
    homes = {each for letter in "abcdghijklmnprstu" for each in
             places.search(letter, limit=400, country="NP")}  # fmt: skip
    assert len(homes) > 130
    for place in homes:
        assert 26.3 < place.point.latitude < 30.5, place
        assert 80.0 < place.point.longitude < 88.3, place
        assert any("\u0900" <= letter <= "\u097f" for letter in place.name_ne), place
        assert place in places.search(place.name, limit=3)
        assert place in places.search(place.name_ne, limit=3)


HEADER = "name,name_ne,district,latitude,longitude,weight,aliases\n"


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ("Here,यहाँ,Here,north,85,1,\n", 2),
        ("Here,यहाँ,Here,27,85,1,\nHere,यहाँ,Here,27,85,1,\n", 3),
        ("Here,यहाँ,Here,27,85\n", 2),
    ],
)
def test_a_bad_row_is_named(tmp_path, rows, line):
    table = tmp_path / "places.csv"
    table.write_text(HEADER + rows, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"places\.csv:{line}"):
        functools.partial(load_places, table)()
