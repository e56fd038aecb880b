"""What the keeper does in the event loop, and what beside it."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from recsys.store import ModelStore
from server.bus.memory import MemoryBus
from server.domain.catalogue import Puja, SamagriItem
from server.domain.ports.paging import Page, SortKey
from server.domain.recommendation import NOBODY, Occasion, SamagriQuestion
from server.recommender.adviser import AdviceParams
from server.recommender.keeper import KeeperParams, ModelKeeper
from tests.serving_models import FIND, PUJA, Recipe, a_bundle, publish, the_catalogue

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
        self,
        *,
        query: str,
        category_id: str | None,
        limit: int,
        after: SortKey | None,
        is_active: bool = True,
    ) -> Page[SamagriItem]:
        self.asked.append(limit)
        items = [item for item in self.items if item.is_active == is_active]
        start = int(after[0]) if after else 0
        rows, end = items[start : start + limit], start + limit
        return Page(tuple(rows), (end,) if end < len(items) else None)

    async def list_pujas(self) -> tuple[Puja, ...]:
        return tuple(the_catalogue().pujas)


def params(path: Path) -> KeeperParams:
    return KeeperParams(
        path=path, poll_seconds=60, retry_seconds=60, is_enabled=True, advice=AdviceParams()
    )


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
    keeper = ModelKeeper(params(tmp_path), catalogue, MemoryBus(), Nobody())
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


class Met(Nobody):
    """Lets a model serve, and none be refused."""

    def model_serves(self, version: str, seconds: float) -> None:
        return None


async def test_a_model_serves_on_though_many_items_it_knows_are_sold_no_more(
    tmp_path: Path,
) -> None:
    version = publish(ModelStore(tmp_path))
    needed = {need.item_id for puja in the_catalogue().pujas for need in puja.requirements}
    retired = {item.id for item in the_catalogue().items if item.id not in needed} | {FIND}
    assert len(retired) > 0.05 * len(a_bundle(Recipe()).ids["items"])
    items = [replace(item, is_active=item.id not in retired) for item in the_catalogue().items]
    keeper = ModelKeeper(params(tmp_path), Catalogue(items=items), MemoryBus(), Met())  # type: ignore[arg-type]
    async with keeper.running():
        assert keeper.current.version == version
        question = SamagriQuestion(
            puja=keeper.current.catalogue.pujas[PUJA],
            customer=NOBODY,
            occasion=Occasion(),
            today=date(2026, 11, 22),
        )
        found = {each.item.id for each in keeper.current.samagri(question).items}
        assert found
        assert not found & retired
