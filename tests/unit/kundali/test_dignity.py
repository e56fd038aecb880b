"""Dignity, friendship, combustion, aspects and the war of planets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundali.dignity import (
    NATURAL,
    Dignity,
    NodeDignity,
    Relation,
    aspects,
    compound_relation,
    dignity,
    dignity_by_sign,
    is_combust,
    is_deep,
    is_stationary,
    wars,
)
from kundali.ephemeris import Graha, Position

ARIES, TAURUS, GEMINI, CANCER, LEO, VIRGO, LIBRA, SCORPIO = range(8)


@pytest.mark.parametrize(
    ("graha", "sign", "degrees", "expected"),
    [
        (Graha.SUN, ARIES, 25.0, Dignity.EXALTED),
        (Graha.SUN, LIBRA, 25.0, Dignity.DEBILITATED),
        (Graha.SUN, LEO, 19.9, Dignity.MOOLATRIKONA),
        (Graha.SUN, LEO, 20.0, Dignity.OWN),
        (Graha.MOON, TAURUS, 2.9, Dignity.EXALTED),
        (Graha.MOON, TAURUS, 3.0, Dignity.MOOLATRIKONA),
        (Graha.MOON, CANCER, 1.0, Dignity.OWN),
        (Graha.MERCURY, VIRGO, 14.9, Dignity.EXALTED),
        (Graha.MERCURY, VIRGO, 15.0, Dignity.MOOLATRIKONA),
        (Graha.MERCURY, VIRGO, 25.0, Dignity.OWN),
        (Graha.MERCURY, GEMINI, 25.0, Dignity.OWN),
        (Graha.RAHU, TAURUS, 1.0, Dignity.EXALTED),
        (Graha.KETU, SCORPIO, 1.0, Dignity.EXALTED),
        (Graha.RAHU, SCORPIO, 1.0, Dignity.DEBILITATED),
        (Graha.MARS, TAURUS, 1.0, None),
    ],
)
def test_dignity_by_place(graha, sign, degrees, expected):
    assert dignity_by_sign(graha, sign, degrees) is expected


def test_the_nodes_dignity_follows_the_school():
    other = NodeDignity.GEMINI_SAGITTARIUS
    assert dignity_by_sign(Graha.RAHU, GEMINI, 1.0, other) is Dignity.EXALTED
    assert dignity_by_sign(Graha.RAHU, TAURUS, 1.0, other) is None
    assert dignity_by_sign(Graha.KETU, SCORPIO, 1.0, other) is Dignity.OWN
    assert dignity_by_sign(Graha.RAHU, TAURUS, 1.0, NodeDignity.NONE) is None


def test_natural_friendship_of_known_pairs():
    assert NATURAL[Graha.SUN][Graha.SATURN] is Relation.ENEMY
    assert NATURAL[Graha.MOON][Graha.MERCURY] is Relation.FRIEND
    assert NATURAL[Graha.MERCURY][Graha.MOON] is Relation.ENEMY
    assert NATURAL[Graha.SATURN][Graha.JUPITER] is Relation.NEUTRAL


@pytest.mark.parametrize(
    ("mars", "expected"),
    [(ARIES, Dignity.ENEMY), (GEMINI, Dignity.ENEMY), (TAURUS, Dignity.FRIEND)],
)
def test_compound_relation_adds_nearness_to_nature(mars, expected):
    # Venus regards Mars as neutral; beside it a friend for the time, with or across it an enemy.
    signs = [0] * 9
    signs[Graha.VENUS] = ARIES if expected is not Dignity.ENEMY else mars
    signs[Graha.MARS] = mars
    assert compound_relation(Graha.VENUS, Graha.MARS, signs) is expected


def test_a_graha_in_no_special_sign_stands_by_its_regard_for_the_lord():
    signs = [0] * 9
    signs[Graha.SUN], signs[Graha.MARS] = SCORPIO, CANCER + 5
    assert dignity(Graha.SUN, signs, 10.0) is Dignity.GREAT_FRIEND


@given(st.lists(st.integers(0, 11), min_size=9, max_size=9), st.sampled_from(Graha))
def test_every_graha_has_some_dignity_everywhere(signs, graha):
    assert isinstance(dignity(graha, signs, 10.0), Dignity)


def test_depth_is_within_one_degree():
    assert is_deep(Graha.SUN, 10.9)
    assert not is_deep(Graha.SUN, 11.1)
    assert not is_deep(Graha.RAHU, 10.0)


@pytest.mark.parametrize(
    ("graha", "away", "speed", "expected"),
    [
        (Graha.MERCURY, 13.9, 1.0, True),
        (Graha.MERCURY, 13.9, -1.0, False),
        (Graha.MERCURY, -11.9, -1.0, True),
        (Graha.VENUS, 9.0, 1.0, True),
        (Graha.VENUS, 9.0, -0.5, False),
        (Graha.SATURN, 15.1, 0.1, False),
        (Graha.MOON, 11.9, 13.0, True),
        (Graha.RAHU, 0.0, -0.05, False),
        (Graha.SUN, 0.0, 1.0, False),
    ],
)
def test_combustion_by_distance_and_direction(graha, away, speed, expected):
    assert is_combust(graha, Position((1.0 + away) % 360, 0.0, speed), 1.0) is expected


def test_a_stationary_graha_moves_under_a_twentieth_of_its_mean():
    assert is_stationary(Graha.SATURN, 0.0016)
    assert not is_stationary(Graha.SATURN, 0.0018)
    assert not is_stationary(Graha.MOON, 0.0)


def test_aspects_by_whole_signs():
    looks = {
        graha: [n + 1 for n in range(12) if aspects(graha, TAURUS, (TAURUS + n) % 12)]
        for graha in Graha
    }
    assert looks[Graha.MARS] == [4, 7, 8]
    assert looks[Graha.JUPITER] == [5, 7, 9]
    assert looks[Graha.SATURN] == [3, 7, 10]
    assert looks[Graha.VENUS] == [7]
    assert looks[Graha.RAHU] == []


def test_the_northern_planet_wins_a_war():
    far = [Position(40.0 * n, 0.0, 1.0) for n in range(9)]
    far[Graha.MARS] = Position(220.2, -1.0, 0.5)
    far[Graha.JUPITER] = Position(219.9, 0.8, 0.1)
    (war,) = wars(far)
    assert (war.winner, war.loser) == (Graha.JUPITER, Graha.MARS)
    assert war.degrees == pytest.approx(0.3)
