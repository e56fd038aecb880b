"""A place that was typed gets the position of what it names."""

from __future__ import annotations

import pytest

from server.domain.account import GeoPoint, Place
from server.paths import data_path
from server.places.directory import load_places
from server.services.places import PlaceService

DOOR = GeoPoint(27.7001, 85.3001)


@pytest.fixture(scope="module")
def places() -> PlaceService:
    return PlaceService(load_places(data_path("config") / "places.csv"))


def point_of(places: PlaceService, name: str) -> GeoPoint:
    found = places.named(name)
    assert found is not None
    return found.point


def test_a_position_that_was_given_stays(places: PlaceService):
    place = Place(city="Pokhara", point=DOOR)
    assert places.located(place) is place


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("Lazimpat", "लाजिम्पाट"),
        ("kathmandu ", "काठमाडौँ"),
        ("Patan", "Patan"),
        ("पाटन", "पाटन"),
        ("Berlin", "Berlin"),
        ("Nowhere tole", "Nowhere tole"),
        ("", ""),
    ],
)
def test_a_place_of_nepal_is_written_in_nepali(places: PlaceService, typed: str, written: str):
    assert places.nepali_name(typed) == written


@pytest.mark.parametrize(
    ("area", "city", "named"),
    [
        ("", "Lalitpur", "Lalitpur"),
        ("", "पाटन", "Lalitpur"),
        ("", "Pokhara-6", "Pokhara"),
        ("", "Kathmandu, Nepal", "Kathmandu"),
        ("", "ललितपुर १०", "Lalitpur"),
        ("Lazimpat", "Kathmandu", "Lazimpat"),
        ("Lazimpat", "", "Lazimpat"),
        ("Lazimpat", "Pokhara", "Pokhara"),
        ("Nobody Knows Tole", "Bhaktapur", "Bhaktapur"),
    ],
)
def test_an_area_counts_near_its_city_and_else_the_city(
    places: PlaceService, area: str, city: str, named: str
):
    found = places.located(Place(area=area, city=city, address="House 7"))
    assert found == Place(area=area, city=city, address="House 7", point=point_of(places, named))


@pytest.mark.parametrize(
    ("area", "city"), [("", ""), ("Lazimpat", "Nobody Knows"), ("Nobody Knows", ""), ("-", "6")]
)
def test_what_no_table_knows_stays_without_a_position(places: PlaceService, area: str, city: str):
    assert places.located(Place(area=area, city=city)).point is None
