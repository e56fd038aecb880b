"""The API's own description: every route that exists, and what it answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from server.routes import ROUTES
from tests.support import People

METHODS = ("get", "post", "put", "patch", "delete")
UNDESCRIBED = {"/api/openapi.json", "/api/docs/"}


async def fetch(people: People) -> dict[str, Any]:
    answer = await (await people.nobody()).get("/api/openapi.json")
    return answer.raise_for_status().json()


async def test_every_route_of_the_api_is_listed_with_its_methods(people: People) -> None:
    listed = {
        (path, method) for path, item in (await fetch(people))["paths"].items() for method in item
    }
    existing = {
        (route.path, method)
        for route in ROUTES
        if route.path.startswith(("/api/", "/files/", "/calendar/"))
        and route.path not in UNDESCRIBED
        for method in METHODS
        if method in vars(route.handler)
    }
    assert listed == existing


def test_whatever_creates_something_honours_the_key_of_its_request() -> None:
    declared = {
        route.path: post.__operation__
        for route in ROUTES
        if (post := vars(route.handler).get("post")) and hasattr(post, "__operation__")
    }
    created = {path for path, each in declared.items() if each.status == HTTPStatus.CREATED}
    assert "/api/bookings/" in created
    assert {path for path in created if not declared[path].is_idempotent} == set()


async def test_every_reference_leads_somewhere(people: People) -> None:
    document = await fetch(people)
    assert document["openapi"].startswith("3.1")

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [each for value in node.values() for each in references(value)]
        if isinstance(node, list):
            return [each for value in node for each in references(value)]
        return []

    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    found = set(references(document))
    assert found
    assert found <= known
    identifiers = [
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
    ]
    assert len(identifiers) == len(set(identifiers))


async def test_a_described_route_names_its_refusals(people: People) -> None:
    booking = (await fetch(people))["paths"]["/api/bookings/"]["post"]
    assert booking["responses"]["409"]["description"].count("slot-taken") == 1
    assert {"201", "401", "403", "404", "409", "413", "415", "422", "429", "503"} <= set(
        booking["responses"]
    )
    assert booking["security"] == [{"bearer": []}]
    assert any(each["name"] == "Idempotency-Key" for each in booking["parameters"])
