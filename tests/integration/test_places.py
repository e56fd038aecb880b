"""Places by name over REST."""

from __future__ import annotations

import pytest


async def test_anybody_finds_a_place_in_either_script(people):
    api = await people.nobody()
    for typed in ("Patan", "ललित"):
        answer = await api.get("/api/places/", params={"q": typed})
        place = answer.raise_for_status().json()["results"][0]
        assert (place["name"], place["name_ne"]) == ("Lalitpur", "ललितपुर")
        assert place["latitude"] == pytest.approx(27.68, abs=0.01)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "q"),
        ({"q": ""}, "q"),
        ({"q": "a", "limit": 100}, "limit"),
        ({"q": "a", "country": "Nepal"}, "country"),
    ],
)
async def test_bad_questions_are_refused(people, params, field):
    answer = await (await people.nobody()).get("/api/places/", params=params)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
