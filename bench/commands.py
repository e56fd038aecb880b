"""Watches what is asked of the database, and asks the database how it would answer that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import structlog
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

READS: Final = frozenset({"find", "aggregate", "count", "distinct"})
_INDEXED: Final = frozenset(
    {"IXSCAN", "IDHACK", "COUNT_SCAN", "DISTINCT_SCAN", "EXPRESS_IXSCAN", "GEO_NEAR_2DSPHERE"}
)
_OF_THE_SESSION: Final = frozenset(
    {"$db", "$clusterTime", "$readPreference", "lsid", "maxTimeMS", "txnNumber", "readConcern"}
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the database answers one command.

    ``examined`` counts documents that were looked at. The embedded server counts all that match,
    whatever the limit.
    """

    collection: str
    stages: frozenset[str]
    indexes: tuple[str, ...]
    examined: int
    returned: int

    @property
    def uses_index(self) -> bool:
        """Whether an index found the documents, and no whole collection was read."""
        return bool(self.stages & _INDEXED) and "COLLSCAN" not in self.stages


class Recorder(CommandListener):
    """A command listener that keeps every command since the last :meth:`take`.

    Each has its ``name``, the ``command``, and the ``request_id`` of the HTTP request in whose
    course it was sent; the server's periodic duties have none.
    """

    def __init__(self) -> None:
        self._commands: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        """Keep a command."""
        # The driver calls from the task that asks, so what is bound to that task's logs is here.
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        self._commands.append(
            {
                "name": event.command_name,
                "command": dict(event.command),
                "request_id": request_id,
            }
        )

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Know it already."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Know it already."""

    def take(self) -> list[dict[str, Any]]:
        """Return the commands and forget them."""
        taken, self._commands = self._commands, []
        return taken

    def take_of(self, answer: httpx.Response) -> list[dict[str, Any]]:
        """Forget all commands and return those of the request that has this answer."""
        return self.take_bound(answer.headers["X-Request-ID"])

    def take_bound(self, request_id: str) -> list[dict[str, Any]]:
        """Forget all commands and return those sent while that id was bound to the logs."""
        return [each for each in self.take() if each["request_id"] == request_id]


async def plans_of(
    database: AsyncDatabase[dict[str, Any]], recorded: list[dict[str, Any]]
) -> list[Plan]:
    """Explain the recorded reads of documents, in their order."""
    plans = []
    for each in recorded:
        if each["name"] not in READS:
            continue
        command = {
            key: value for key, value in each["command"].items() if key not in _OF_THE_SESSION
        }
        answer = await database.command({"explain": command, "verbosity": "executionStats"})
        plans.append(_plan(str(command[each["name"]]), answer))
    return plans


def _plan(collection: str, answer: Mapping[str, Any]) -> Plan:
    found = list(_nodes(answer))
    winning = [node for plan in found if "winningPlan" in plan for node in _nodes(plan)]
    stats = next((node for node in found if "totalDocsExamined" in node), {})
    return Plan(
        collection=collection,
        stages=frozenset(str(node["stage"]) for node in winning if "stage" in node),
        indexes=tuple(
            dict.fromkeys(str(node["indexName"]) for node in winning if "indexName" in node)
        ),
        examined=int(stats.get("totalDocsExamined", 0)),
        returned=int(stats.get("nReturned", 0)),
    )


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    """All mappings inside a value, but for plans that were rejected."""
    if isinstance(value, Mapping):
        yield value
        for key, inner in value.items():
            if key != "rejectedPlans":
                yield from _nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _nodes(inner)
