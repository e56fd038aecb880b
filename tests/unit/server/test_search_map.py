"""The map of a search: pins by point, rings around the middle, names where there is room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.account import GeoPoint
from server.handlers.pages.search_map import HEIGHT, WIDTH, box_of, draw
from server.paths import data_path
from server.places.directory import load_places

THAMEL = GeoPoint(27.7154, 85.3123)
POINTS = st.builds(GeoPoint, st.floats(26.3, 30.4), st.floats(80.1, 88.2))


def test_nothing_is_drawn_of_people_without_a_place():
    assert draw([None, None], THAMEL, []) is None
    assert box_of([], THAMEL) is None


def test_who_shares_a_point_shares_a_pin_that_names_all():
    here, there = GeoPoint(27.72, 85.32), GeoPoint(27.68, 85.31)
    drawn = draw([here, there, None, here], THAMEL, [])
    assert drawn is not None
    assert {pin.numbers for pin in drawn.pins} == {(1, 4), (2,)}


def test_north_is_up_and_east_is_right():
    north, east = GeoPoint(27.80, 85.3123), GeoPoint(27.7154, 85.40)
    drawn = draw([north, east], THAMEL, [])
    assert drawn is not None
    first, second = drawn.pins
    assert (drawn.x, drawn.y) == (WIDTH / 2, HEIGHT / 2)
    assert first.y < HEIGHT / 2
    assert first.x == pytest.approx(WIDTH / 2, abs=0.2)
    assert second.x > WIDTH / 2


def test_rings_tell_how_far_it_is():
    drawn = draw([GeoPoint(27.7154 + 10 / 111.2, 85.3123)], THAMEL, [])
    assert drawn is not None
    (pin,) = drawn.pins
    ten = next(ring for ring in drawn.rings if ring.km == 10)
    assert HEIGHT / 2 - pin.y == pytest.approx(ten.radius, abs=0.3)
    without_middle = draw([THAMEL], None, [])
    assert without_middle is not None
    assert without_middle.rings == ()


@given(st.lists(POINTS, min_size=1, max_size=12), st.none() | POINTS)
def test_every_pin_lies_in_the_picture(points, near):
    drawn = draw(points, near, [])
    assert drawn is not None
    assert sum(len(pin.numbers) for pin in drawn.pins) == len(points)
    for pin in drawn.pins:
        assert 0 <= pin.x <= WIDTH
        assert 0 <= pin.y <= HEIGHT


def test_places_are_named_for_orientation_without_running_into_each_other():
    places = load_places(data_path("config") / "places.csv")
    points = [GeoPoint(27.72, 85.32), GeoPoint(27.66, 85.43)]
    box = box_of(points, None)
    assert box is not None
    drawn = draw(points, None, places.within(*box))
    assert drawn is not None
    names = [name.place.name for name in drawn.names]
    assert names[0] == "Kathmandu"
    assert 3 <= len(names) <= 8
    for place, one in enumerate(drawn.names):
        for other in drawn.names[place + 1 :]:
            assert abs(one.x - other.x) > 90 or abs(one.y - other.y) > 18
