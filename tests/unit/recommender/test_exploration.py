"""A new pandit is tried among those who have time, where the list says that he stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from server.domain.account import Actor, Role
from server.domain.catalogue import SamagriType
from server.domain.learning import Trial
from server.domain.recommendation import (
    AdvisedItem,
    Customer,
    Occasion,
    PanditCandidate,
    SamagriAdvice,
)
from server.recommender.adviser import Advice, AdviceParams
from server.services.recommendations import (
    PanditAdvice,
    RecommendationPolicy,
    RecommendationService,
)
from tests.serving_models import PUJA
from tests.unit.recommender.test_adviser import CATALOGUE

TOLD = [f"told-{number:02d}" for number in range(12)]
NEW = [f"new-{number:02d}" for number in range(6)]


@dataclass
class Town:
    """Twelve pandits of repute and six new ones, some of whom have no time."""

    busy: frozenset[str]
    counted: dict[str, tuple[int, int]] = field(default_factory=dict)
    looked_up: Counter[str] = field(default_factory=Counter)
    tried: tuple[str, Trial] | None = None

    async def find_puja(self, puja_id: str) -> Any:
        return CATALOGUE.pujas[puja_id]

    async def read(self, user_id: str | None) -> Customer:
        return Customer(user_id=user_id or "")

    async def read_with_stars(self, user_id: str | None) -> Customer:
        return Customer(user_id=user_id or "")

    async def candidates(self, search: Any) -> tuple[PanditCandidate, ...]:
        return tuple(
            PanditCandidate(
                pandit_id=pandit_id,
                languages=("ne",),
                experience_years=20 if pandit_id in TOLD else 1,
                rating=4.9 if pandit_id in TOLD else 0.0,
                review_count=(60 - number) if pandit_id in TOLD else 0,
                point=None,
                price=200_000,
            )
            for number, pandit_id in enumerate((*TOLD, *NEW))
        )

    async def hits(self, pandit_ids: Sequence[str], found_by: Any) -> list[str]:
        return list(pandit_ids)

    async def cards(self, hits: list[str], puja_id: str, day: date | None) -> list[Any]:
        self.looked_up.update(hits)
        return [
            SimpleNamespace(
                pandit=SimpleNamespace(id=each), next_free_slot=None if each in self.busy else "10"
            )
            for each in hits
        ]

    async def of_targets(
        self, surface: str, targets: Collection[str]
    ) -> Mapping[str, tuple[int, int]]:
        assert surface == "pandits"
        return {each: self.counted[each] for each in targets if each in self.counted}

    def issue(self, *_: Any, **given: Any) -> str:
        self.tried = given.get("tried")
        return "rec"

    def now(self) -> datetime:
        return datetime(2026, 11, 22, 6, tzinfo=UTC)


def service(town: Town, share: float = 0.2, adviser: Any = None) -> RecommendationService:
    """The service over that town; a share of 0.2 tries somebody in every list."""
    advice = adviser or Advice(CATALOGUE, AdviceParams(new_pandits_share=share))
    parts: Any = town
    return RecommendationService(
        audit=parts,
        models=parts,
        advisers=SimpleNamespace(of=lambda _: advice),  # type: ignore[arg-type]
        issuer=parts,
        customers=parts,
        wishes=parts,
        catalogue=parts,
        tallies=parts,
        pandits=parts,
        profiles=parts,
        festivals=parts,
        clock=parts,
        policy=RecommendationPolicy(max_candidates=50),
        observe=lambda *_: None,
    )


async def shown(town: Town, user: int, *, limit: int = 5, share: float = 0.2) -> PanditAdvice:
    actor = Actor(user_id=f"user-{user}", role=Role.USER, session_id="s", full_name="Sita")
    return await service(town, share).pandits(actor, PUJA, near=None, day=None, limit=limit)


BUSY = frozenset([*TOLD[:4], *NEW[:4]])


@pytest.mark.parametrize("limit", [5, 10])
async def test_who_is_tried_has_time_and_stands_fourth_or_fifth_of_what_is_shown(
    limit: int,
) -> None:
    places: Counter[int] = Counter()
    for user in range(60):
        town = Town(BUSY)
        found = (await shown(town, user, limit=limit)).places
        ids = [each.place.pandit_id for each in found]
        assert not BUSY & {*ids}
        assert len(ids) == len({*ids}) == limit
        (explored,) = [at for at, each in enumerate(found) if each.place.is_explored]
        places[explored] += 1
        assert ids[explored] in NEW
        assert town.tried == (ids[explored], Trial(explored + 1, found[explored].place.propensity))
        # Two new ones have time: whether they are read is not left to chance.
        assert found[explored].place.propensity == pytest.approx(0.25, rel=0.2)
        by_merit = [each for at, each in enumerate(ids) if at != explored]
        assert by_merit[:4] == TOLD[4:8]
        assert max(town.looked_up.values()) == 1, "nobody is read twice"
    assert places.keys() == {3, 4}


async def test_nobody_is_tried_where_no_new_one_has_time_or_one_stands_there_by_merit() -> None:
    for busy in (frozenset(NEW), frozenset(TOLD[3:])):
        for user in range(10):
            found = (await shown(Town(busy), user)).places
            assert not any(each.place.is_explored for each in found)
            assert all(each.place.propensity == 1 for each in found)


async def test_the_same_list_comes_again_and_nobody_is_tried_for_a_stranger() -> None:
    first, again = [await shown(Town(BUSY), 7) for _ in range(2)]
    assert [each.place for each in first.places] == [each.place for each in again.places]
    found = await service(Town(BUSY)).pandits(None, PUJA, near=None, day=None, limit=5)
    assert not any(each.place.is_explored for each in found.places)
    off = await shown(Town(BUSY), 7, share=0.0)
    assert not any(each.place.is_explored for each in off.places)


async def test_the_id_of_a_list_of_samagri_says_which_item_was_tried() -> None:
    first, second = (
        AdvisedItem(
            item=item,
            quantity=Decimal(1),
            unit=item.base_unit,
            type=SamagriType.OPTIONAL,
            source="model",
            confidence=0.7,
            price=item.price,
            because=(),
        )
        for item in [*CATALOGUE.items.values()][:2]
    )
    tried = replace(second, is_explored=True, propensity=0.05)
    for items, said in (
        ((first, tried), (tried.item.id, Trial(2, 0.05))),
        ((first, second), None),
    ):
        town = Town(frozenset())
        advice = SamagriAdvice(items=items, total=0, shortfall=0, model_version="v")
        adviser = SimpleNamespace(
            has_model=True, version="v", samagri=lambda _, advice=advice: advice
        )
        actor = Actor(user_id="user", role=Role.USER, session_id="s", full_name="Sita")
        found = await service(town, adviser=adviser).samagri(
            actor, PUJA, occasion=Occasion(), budget=None
        )
        assert (found.rec_id, town.tried) == ("rec", said)


async def test_who_was_booked_when_he_was_shown_is_tried_oftener() -> None:
    counted = {NEW[4]: (200, 0), NEW[5]: (20, 12)}
    tried: Counter[str] = Counter()
    for user in range(60):
        found = await shown(Town(BUSY, counted), user)
        tried.update(each.place.pandit_id for each in found.places if each.place.is_explored)
    assert tried[NEW[5]] > 50
