"""The promises of a list are counted on real lists, and a list that breaks one is found out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recsys import promises, synth
from recsys.blend import Recommendation, Request, SamagriBlend
from recsys.blend_fit import count_tables
from recsys.data import Dataset, Tier
from recsys.matrix import baskets
from recsys.models.puja_popularity import PujaPopularity
from recsys.promises import MOST_ASKED, broken_promises
from recsys.signals import STAGES, BlendWeights, Knowledge
from recsys.town import TownConfig, simulate


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synth.dataset(simulate(TownConfig(users=120, items=80, pandits=12, months=12, seed=3)))


@pytest.fixture(scope="module")
def knowledge(data: Dataset) -> Knowledge:
    usual = PujaPopularity().fit(baskets(data, now_ms=data.newest_ms()).data)
    kinds = ("items", "pujas", "pandits", "regions", "categories")
    return Knowledge(
        ids={kind: getattr(data, kind) for kind in kinds},
        usual=usual,
        tables=count_tables(data, np.arange(len(data.bookings)), usual),
        weights={stage: BlendWeights(bias=1.0) for stage in STAGES},
    )


def asked(knowledge: Knowledge, data: Dataset) -> promises.Promises:
    return broken_promises(
        knowledge, data, np.arange(len(data.bookings)), known_at=data.newest_ms()
    )


def test_the_blend_keeps_them(knowledge: Knowledge, data: Dataset) -> None:
    found = asked(knowledge, data)
    assert MOST_ASKED < found.lists <= 2 * MOST_ASKED
    assert found == promises.Promises(lists=found.lists)


def no_first(_: Request, answer: Recommendation) -> Recommendation:
    return replace(answer, rows=answer.rows[1:])


def backwards(_: Request, answer: Recommendation) -> Recommendation:
    return replace(answer, rows=answer.rows[::-1])


def pushy(request: Request, answer: Recommendation) -> Recommendation:
    again = [
        replace(answer.rows[0], item_id=name, tier=Tier.OPTIONAL)
        for name in sorted(request.never_show)
    ]
    return replace(answer, rows=(*answer.rows, *again))


def boundless(_: Request, answer: Recommendation) -> Recommendation:
    return replace(answer, rows=tuple(replace(row, confidence=np.nan) for row in answer.rows))


@pytest.mark.parametrize(
    ("spoilt", "broken"),
    [
        (no_first, "missing"),
        (backwards, "order_breaks"),
        (pushy, "unwanted"),
        (boundless, "not_finite"),
    ],
)
def test_each_broken_promise_is_counted(
    knowledge: Knowledge,
    data: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    spoilt: Any,
    broken: str,
) -> None:
    class Spoilt(SamagriBlend):
        def recommend(self, request: Request) -> Recommendation:
            return spoilt(request, super().recommend(request))

    monkeypatch.setattr(promises, "SamagriBlend", Spoilt)
    found = asked(knowledge, data).as_dict()
    assert found.pop("lists") > 0
    assert found.pop(broken) > 0
    assert not any(found.values())
