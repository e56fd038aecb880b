"""The OpenAPI 3.1 document, made from what each handler method declares about itself."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from server import __version__
from server.domain import errors
from server.handlers.base import Operation
from server.handlers.routing import Route
from server.problems import TABLE, Problem

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_REFERENCE: Final = "#/components/schemas/{name}"
_PROBLEM: Final = {
    "content": {"application/problem+json": {"schema": {"$ref": _REFERENCE.format(name="Problem")}}}
}
_COMMON: Final = (errors.RateLimited, errors.StoreUnavailable)


def operations(routes: tuple[Route, ...]) -> Iterator[tuple[str, str, Operation]]:
    """Every declared (path, method, operation) of the API."""
    for route in routes:
        for method in _METHODS:
            declared = getattr(getattr(route.handler, method, None), "__operation__", None)
            if declared is not None:
                yield route.path, method, declared


@functools.lru_cache(maxsize=1)
def document(routes: tuple[Route, ...]) -> bytes:
    """The whole document as JSON."""
    found = list(operations(routes))
    types: list[Any] = [Problem]
    for _, _, declared in found:
        types.extend(
            each
            for each in (declared.body, declared.query, declared.returns)
            if each not in (None, type(None))
        )
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    by_type = dict(zip(map(repr, types), schemas, strict=True))
    _number_decimals(components)
    paths: dict[str, dict[str, Any]] = {}
    for path, method, declared in found:
        paths.setdefault(path, {})[method] = _describe(path, method, declared, by_type, components)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "PanditYatra",
                "version": __version__,
                "description": "Book pandits for pujas in Nepal.",
                "license": {"name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later"},
            },
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _describe(
    path: str,
    method: str,
    declared: Operation,
    by_type: dict[str, Any],
    components: dict[str, Any],
) -> dict[str, Any]:
    success: dict[str, Any] = {"description": declared.summary}
    if declared.returns not in (None, type(None)):
        schema = by_type[repr(declared.returns)]
        success["content"] = {"application/json": {"schema": schema}}
    described: dict[str, Any] = {
        "operationId": f"{method}-{path.strip('/').replace('/', '-')}",
        "summary": declared.summary,
        "tags": [declared.tag],
        "parameters": _parameters(path, declared, by_type, components),
        "responses": {str(declared.status): success, **_refusals(declared)},
    }
    if declared.sign_in != "none":
        needed: list[dict[str, list[str]]] = [{"bearer": []}]
        described["security"] = needed if declared.sign_in == "required" else [*needed, {}]
        described["x-roles"] = sorted(declared.roles)
    if declared.body is not None:
        described["requestBody"] = {
            "required": bool(_resolved(by_type[repr(declared.body)], components).get("required")),
            "content": {"application/json": {"schema": by_type[repr(declared.body)]}},
        }
    return described


def _parameters(
    path: str, declared: Operation, by_type: dict[str, Any], components: dict[str, Any]
) -> list[dict[str, Any]]:
    text = {"type": "string", "minLength": 1, "maxLength": 128}
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in _PARAMETER.findall(path)
    ]
    if declared.query is not None:
        schema = _resolved(by_type[repr(declared.query)], components)
        required = schema.get("required", [])
        found.extend(
            {"name": name, "in": "query", "required": name in required, "schema": each}
            for name, each in schema["properties"].items()
        )
    if declared.is_idempotent:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{8,80}$"},
            }
        )
    return found


def _refusals(declared: Operation) -> dict[str, Any]:
    refusals: list[type[errors.DomainError]] = [*_COMMON, *declared.errors]
    if declared.body is not None:
        refusals += [errors.Malformed, errors.Invalid, errors.UnsupportedMedia, errors.TooLarge]
    elif declared.query is not None:
        refusals.append(errors.Invalid)
    if declared.sign_in != "none":
        refusals += [errors.NotSignedIn, errors.Forbidden]
    if declared.is_idempotent:
        refusals += [errors.RequestInProgress, errors.KeyReused]
    by_status: dict[str, list[str]] = {}
    for refusal in refusals:
        kind = next(TABLE[cls] for cls in refusal.__mro__ if cls in TABLE)
        by_status.setdefault(str(kind.status), []).append(refusal.code)
    return {
        status: {"description": ", ".join(sorted(set(codes))), **_PROBLEM}
        for status, codes in sorted(by_status.items())
    }


def _number_decimals(node: Any) -> None:
    """Say that quantities are numbers, which is how they are written here."""
    if isinstance(node, dict):
        if node.get("format") == "decimal":
            node.update({"type": "number"})
            del node["format"]
        for value in node.values():
            _number_decimals(value)
    elif isinstance(node, list):
        for value in node:
            _number_decimals(value)


def _resolved(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return components[reference.rpartition("/")[2]] if reference else schema
