"""Pages of a list by sort key, as a pipeline.

The order is by one field and then by ``_id``, both in one direction, so that every row has its
place. What an index answers stands alone in the first stage and everything else in a second one:
the embedded server reads a whole collection as soon as one condition beside the indexed ones is a
list or an alternative.
"""

from __future__ import annotations

from typing import Any

from server.domain.ports.paging import SortKey
from server.store.client import DESCENDING, Document


def page_stages(
    indexed: Document,
    *,
    field: str,
    direction: int,
    limit: int,
    after: SortKey | None,
    sifting: Document | None = None,
) -> list[Document]:
    """The stages that find a page and one row more.

    ``indexed`` holds the conditions that an index ending in (field, ``_id``) answers, ``sifting``
    the others, and ``after`` the (field, id) of the row before.
    """
    start = dict(indexed)
    if after is not None and field not in start:
        start[field] = {"$lte" if direction == DESCENDING else "$gte": after[0]}
    stages: list[Document] = [{"$match": start}]
    if sifting:
        stages.append({"$match": sifting})
    return stages + ordered_stages(field=field, direction=direction, limit=limit, after=after)


def ordered_stages(
    *, field: str, direction: int, limit: int, after: SortKey | None
) -> list[Document]:
    """The stages that put rows in order and cut a page and one row more out of them."""
    stages: list[Document] = []
    if after is not None:
        value, row_id = after
        beyond = "$lt" if direction == DESCENDING else "$gt"
        rest: list[Any] = [{field: {beyond: value}}, {field: value, "_id": {beyond: row_id}}]
        stages.append({"$match": {"$or": rest}})
    return [*stages, {"$sort": {field: direction, "_id": direction}}, {"$limit": limit + 1}]


def cut(documents: list[Document], field: str, limit: int) -> tuple[list[Document], SortKey | None]:
    """The rows of the page and the key to go on after, None at the end."""
    if len(documents) <= limit:
        return documents, None
    rows = documents[:limit]
    return rows, (rows[-1][field], rows[-1]["_id"])
