"""The catalogue over REST, for everybody."""

from __future__ import annotations

import pytest


@pytest.fixture
async def api(people):
    return await people.nobody()


async def results(api, path, **params):
    answer = (await api.get(path, params=params)).raise_for_status()
    return answer.json()["results"]


async def test_pujas_are_listed_in_pages_by_name(api):
    seen, params = [], {"limit": 20}
    while True:
        page = (await api.get("/api/pujas/", params=params)).raise_for_status().json()
        seen += page["results"]
        if page["next"] is None:
            break
        params = {"limit": 20, "cursor": page["next"]}
    names = [puja["name"] for puja in seen]
    assert len(names) == len(set(names)) >= 20
    assert names == sorted(names)
    assert all(puja["name_ne"] and puja["category"]["name_ne"] for puja in seen)
    assert all(puja["samagri_requirements"] for puja in seen)


async def test_a_puja_tells_what_it_needs_and_what_that_costs(api):
    puja = (await api.get("/api/pujas/griha-pravesh/")).raise_for_status().json()
    needs = {need["item"]["name"]: need for need in puja["samagri_requirements"]}
    haldi = needs["Haldi (Turmeric)"]
    assert (haldi["quantity"], haldi["unit"], haldi["type"]) == (100, "g", "ESSENTIAL")
    assert haldi["can_remove"] is False
    assert haldi["item"]["name_ne"]
    # Rs. 500 a kilogram
    assert (haldi["estimated_price"], haldi["currency"]) == (5_000, "NPR")
    assert needs["Pan Leaves"]["can_remove"] is True
    assert puja["is_repeatable"] is False
    assert puja["samagri_estimate"] == sum(
        need["estimated_price"] for need in puja["samagri_requirements"]
    )


@pytest.mark.parametrize("query", ["griha", "गृह प्रवेश", "housewarm", "Grihapravesh", "new house"])
async def test_pujas_are_found_in_english_nepali_and_romanised_spelling(api, query):
    found = await results(api, "/api/pujas/", q=query)
    assert "griha-pravesh" in [puja["id"] for puja in found]


async def test_pujas_are_found_by_category(api):
    found = await results(api, "/api/pujas/", category="home", limit=100)
    assert found
    assert {puja["category"]["id"] for puja in found} == {"home"}
    assert await results(api, "/api/pujas/", category="no-such") == []


async def test_samagri_is_listed_by_shelf(api):
    shelves = await results(api, "/api/samagri/categories/", limit=100)
    assert [shelf["position"] for shelf in shelves] == sorted(
        shelf["position"] for shelf in shelves
    )
    items = await results(api, "/api/samagri/items/", category=shelves[0]["id"], limit=100)
    assert items
    assert {item["category_id"] for item in items} == {shelves[0]["id"]}


async def test_samagri_categories_come_in_pages(api):
    first = (await api.get("/api/samagri/categories/", params={"limit": 5})).json()
    rest = (
        await api.get("/api/samagri/categories/", params={"limit": 100, "cursor": first["next"]})
    ).json()
    ids = [shelf["id"] for shelf in first["results"] + rest["results"]]
    assert len(first["results"]) == 5
    assert (
        len(ids) == len(set(ids)) == len(await results(api, "/api/samagri/categories/", limit=99))
    )


@pytest.mark.parametrize("query", ["haldi", "turmeric", "बेसार"])
async def test_samagri_is_found_under_all_its_names(api, query):
    found = await results(api, "/api/samagri/items/", q=query)
    assert "haldi" in [item["id"] for item in found]


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/api/pujas/no-such-puja/", 404, "not-found"),
        ("/api/pujas/?limit=0", 422, "invalid"),
        ("/api/pujas/?limit=101", 422, "invalid"),
        ("/api/samagri/items/?cursor=AAAA", 422, "invalid"),
        ("/api/samagri/items/?shelf=tika", 422, "invalid"),
    ],
)
async def test_bad_questions_are_refused(api, path, status, kind):
    answer = await api.get(path)
    assert (answer.status_code, answer.json()["type"]) == (status, kind)
