"""What the keeper does in the event loop, and what beside it."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.bus.memory import MemoryBus
from server.domain.catalogue import Puja, SamagriItem
from server.domain.ports import Page, SortKey
from server.recommender.adviser import AdviceParams
from server.recommender.keeper import KeeperParams, ModelKeeper
from tests.serving_models import the_catalogue

COMPARED_IN: set[tuple[str, bool]] = set()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watched(SamagriItem):
    """An item that tells where it was compared, and whether the loop was given way there."""

    def __eq__(self, other: object) -> bool:
        COMPARED_IN.add((threading.current_thread().name, sys.getswitchinterval() < 0.001))
        return self is other


@dataclass
class Catalogue:
    """Has the project's items; keeps how many were asked for at a time."""

    asked: list[int] = field(default_factory=list)
    items: list[SamagriItem] = field(
        default_factory=lambda: [
            Watched(**{name: getattr(item, name) for name in SamagriItem.__dataclass_fields__})
            for item in the_catalogue().items
        ]
    )

    async def list_items(
        self, *, query: str, category_id: str | None, limit: int, after: SortKey | None
    ) -> Page[SamagriItem]:
        self.asked.append(limit)
        start = int(after[0]) if after else 0
        rows, end = self.items[start : start + limit], start + limit
        return Page(tuple(rows), (end,) if end < len(self.items) else None)

    async def list_pujas(self) -> tuple[Puja, ...]:
        return tuple(the_catalogue().pujas)


class Nobody:
    """Looks at no model."""

    def model_serves(self, version: str, seconds: float) -> None:
        raise AssertionError

    def model_refused(self, code: str) -> None:
        raise AssertionError


async def test_a_catalogue_is_read_by_little_pieces_and_compared_beside_the_loop(
    tmp_path: Path,
) -> None:
    catalogue: Any = Catalogue()
    params = KeeperParams(
        path=tmp_path,
        poll_seconds=60,
        retry_seconds=60,
        is_enabled=True,
        advice=AdviceParams(),
    )
    keeper = ModelKeeper(params, catalogue, MemoryBus(), Nobody())
    usual = sys.getswitchinterval()
    async with keeper.running():
        first = keeper.current
        assert len(first.catalogue.items) == len(catalogue.items)
        assert max(catalogue.asked) <= 200
        COMPARED_IN.clear()
        catalogue.items = [*catalogue.items[:-1], Catalogue().items[-1]]
        keeper._read_at = float("-inf")
        await keeper._read_catalogue()
        assert keeper.current is not first
        assert {("models_0", True)} == COMPARED_IN
        assert keeper.current.catalogue.items[catalogue.items[-1].id] is catalogue.items[-1]
    assert sys.getswitchinterval() == usual
