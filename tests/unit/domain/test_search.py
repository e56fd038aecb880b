"""Words are compared alike in both scripts; ranking and places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.account import GeoPoint
from server.domain.search import (
    coarse_point,
    fitting_offers,
    has_words,
    prefixes_of,
    query_words,
    ranking_of,
    words_of,
)
from tests.pandit_factory import make_pandit, make_service


def test_words_lose_case_and_latin_accents_and_keep_devanagari_whole():
    assert words_of("Satyanārāyaṇ-Pūjā, (Kathmandu)") == ("satyanarayan", "puja", "kathmandu")
    assert words_of("काठमाडौं, सत्यनारायण पूजा।") == ("काठमाडौं", "सत्यनारायण", "पूजा")


@pytest.mark.parametrize("typed", ["saty", "PUJA saty", "Pūjā", "satyanarayan"])
def test_beginnings_of_words_are_found(typed):
    assert has_words(query_words(typed), ["Satyanarayan Puja"])


@pytest.mark.parametrize("typed", ["narayan", "saty homa", "pujas"])
def test_other_words_are_not_found(typed):
    assert not has_words(query_words(typed), ["Satyanarayan Puja"])


@given(st.text(max_size=60), st.integers(1, 20))
def test_every_beginning_of_every_key_is_stored(text, length):
    stored = set(prefixes_of([text]))
    for word in words_of(text):
        assert {key[:length] for key in query_words(word)} <= stored


def test_one_perfect_review_does_not_outrank_fifty_good_ones():
    lucky = make_pandit(rating=5.0, review_count=1)
    proven = make_pandit(rating=4.8, review_count=50)
    new = make_pandit(rating=0.0, review_count=0)
    poor = make_pandit(rating=2.0, review_count=50)
    scores = [ranking_of(each) for each in (proven, lucky, new, poor)]
    assert scores == sorted(scores, reverse=True)


@given(st.integers(0, 79))
def test_experience_counts_with_equal_ratings(years):
    older = make_pandit(experience_years=years + 1)
    assert ranking_of(older) > ranking_of(make_pandit(experience_years=years))


def test_the_public_place_hides_the_house():
    home = GeoPoint(27.721534, 85.320611)
    shown = coarse_point(home)
    assert shown == GeoPoint(27.72, 85.32)
    assert home.distance_km(shown) < 0.8


def test_offers_are_the_available_ones_that_fit_the_cheapest_first():
    pandit = make_pandit(
        services=(
            make_service("dear", price=300_000),
            make_service("cheap", price=100_000),
            make_service("off", price=50_000, is_available=False),
            make_service("other", price=10_000, puja_id="griha-pravesh"),
        )
    )
    fitting = fitting_offers(pandit, {"satyanarayan-puja"}, None)
    assert [service.id for service in fitting] == ["cheap", "dear"]
    assert [each.id for each in fitting_offers(pandit, None, 100_000)] == ["other", "cheap"]
