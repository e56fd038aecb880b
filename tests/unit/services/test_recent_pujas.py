"""A puja that many ask for in a second is read once, and what changed is seen the next."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pytest

from server.domain.ports.catalogue import CatalogueRepository
from server.services.recommendations import RecentPujas


class Catalogue:
    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def find_puja(self, puja_id: str) -> Any:
        self.asked[puja_id] += 1
        return None if puja_id == "none" else f"{puja_id} {self.asked[puja_id]}"


@pytest.mark.parametrize(("seconds", "answers"), [(60.0, 1), (0.0, 2)], ids=["within", "after"])
async def test_it_is_read_again_only_after_a_while(seconds: float, answers: int) -> None:
    catalogue = Catalogue()
    pujas = RecentPujas(cast(CatalogueRepository, catalogue), recent_seconds=seconds)
    found: list[Any] = [await pujas.find("homa") for _ in range(2)]
    assert found == ["homa 1", f"homa {answers}"]


async def test_what_does_not_exist_is_not_kept() -> None:
    catalogue = Catalogue()
    pujas = RecentPujas(cast(CatalogueRepository, catalogue))
    assert [await pujas.find("none") for _ in range(3)] == [None] * 3
    assert catalogue.asked["none"] == 3
