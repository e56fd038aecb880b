"""A model tells of a pandit what he held, whatever was taken; a new item keeps its chance."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys import blend_fit
from recsys.artifact import ArtifactError, Ids
from recsys.bundle import BLEND, PANDITS, Bundle, check_answers, knowledge_of, records_of
from recsys.data import Dataset, build
from recsys.matrix import baskets
from recsys.models.base import Saved
from recsys.models.puja_popularity import PujaPopularity
from recsys.pandit_train import records
from recsys.store import ModelStore
from server.domain.recommendation import (
    Customer,
    Occasion,
    PanditCandidate,
    PanditQuestion,
    RankedPandit,
    SamagriQuestion,
)
from server.recommender.adviser import Advice, AdviceParams, CatalogueOfTheDay
from tests.serving_models import FIND, PUJA, Recipe, a_bundle, put, the_catalogue

TODAY = date(2026, 11, 22)
BEGIN_MS, HOUR_MS, DAY_MS = 1_735_689_600_000, 3_600_000, 86_400_000
NOW_MS = BEGIN_MS + 30 * DAY_MS
PANDITS_OF = ("with-samagri", "only-ahead", "without-samagri")
CATALOGUE = CatalogueOfTheDay(
    items={item.id: item for item in the_catalogue().items},
    pujas={puja.id: puja for puja in the_catalogue().pujas},
)


def of_bookings() -> Dataset:
    """Three pandits: one held 60 bookings without samagri, one has 12 ahead, one held 8."""
    made: list[dict[str, Any]] = []
    for pandit, count, status, days in (
        ("without-samagri", 60, "completed", 1),
        ("only-ahead", 12, "created", 90),
        ("with-samagri", 8, "completed", 1),
    ):
        for _ in range(count):
            ts = BEGIN_MS + len(made) * HOUR_MS
            made.append(
                {
                    "booking_id": f"b{len(made):03}",
                    "user_id": f"u{len(made) % 50}",
                    "puja_id": PUJA,
                    "pandit_id": pandit,
                    "ts": ts,
                    "held_ts": ts + days * DAY_MS,
                    "status": status,
                }
            )
    lines = [
        {"booking_id": each["booking_id"], "item_id": FIND, "kept": True}
        for each in made
        if each["pandit_id"] != "without-samagri"
    ]
    refusals = [
        {
            "event_id": f"e{number}",
            "user_id": "u1",
            "ts": BEGIN_MS + 100 * HOUR_MS + number,
            "kind": "pandit_declined",
            "pandit_id": "without-samagri",
        }
        for number in range(6)
    ]
    tables = {"bookings": made, "lines": lines, "events": refusals}
    return build(
        {
            name: {key: [row[key] for row in rows] for key in rows[0]}
            for name, rows in tables.items()
        },
        now_ms=NOW_MS,
    )


def a_model(saved: Saved | None = None) -> Bundle:
    """A model whose tables of samagri and records of pandits are of those bookings."""
    bundle, data = a_bundle(Recipe(pandits=sorted(PANDITS_OF))), of_bookings()
    knowledge = knowledge_of(bundle)
    assert knowledge is not None
    usual = PujaPopularity().fit(baskets(data, now_ms=NOW_MS).data)
    counted = blend_fit.count_tables(data, np.arange(len(data.bookings)), usual)
    ids = bundle.ids
    tables = replace(
        knowledge.tables,
        # Of the pairs alone: the tables of items are of the whole catalogue.
        pandit_pairs=counted.pandit_pairs * len(ids["pujas"]) + ids["pujas"].index(PUJA),
        pandit_totals=counted.pandit_totals,
        pandit_pointers=np.zeros(len(counted.pandit_pairs) + 1, np.int64),
    )
    told = records(data, NOW_MS)
    pointers = np.zeros(len(ids["pujas"]) + 1, np.int64)
    pointers[ids["pujas"].index(PUJA) + 1 :] = len(told.puja_pandits)
    of_all = replace(told, puja_pointers=pointers).saved()
    parts = {
        **bundle.parts,
        BLEND: replace(knowledge, tables=tables).saved(),
        PANDITS: saved or of_all,
    }
    return replace(bundle, parts=parts)


def ranked(bundle: Bundle | None, puja_id: str = PUJA) -> dict[str, RankedPandit]:
    candidates = [
        PanditCandidate(
            pandit_id=each,
            languages=("ne",),
            experience_years=0,
            rating=0.0,
            review_count=0,
            point=None,
            price=None,
        )
        for each in (*PANDITS_OF, "stranger")
    ]
    question = PanditQuestion(
        puja_id=puja_id, customer=Customer(), near=None, candidates=candidates, today=TODAY
    )
    adviser = Advice(CATALOGUE, AdviceParams(), bundle)
    return {each.pandit_id: each for each in adviser.pandits(question)}


def test_bookings_that_were_held_are_experience_with_samagri_or_without() -> None:
    found = ranked(a_model())
    held = {name: each.factors["experience"].raw for name, each in found.items()}
    assert held == {"without-samagri": 60, "with-samagri": 8, "only-ahead": 0, "stranger": 0}
    kept = found["without-samagri"].factors["reliability"].raw
    assert kept == pytest.approx((60 + 18) / (60 + 6 + 20))
    assert [name for name in PANDITS_OF if found[name].is_new] == ["with-samagri", "only-ahead"]
    of_other = ranked(a_model(), "lakshmi-puja")["without-samagri"]
    assert of_other.factors["experience"].raw == pytest.approx(0.3 * 60)
    assert not of_other.is_new


def test_without_a_model_nobody_has_held_anything() -> None:
    assert {each.factors["experience"].raw for each in ranked(None).values()} == {0}


def test_a_version_that_did_not_count_by_puja_still_serves(tmp_path: Path) -> None:
    whole = records_of(a_model())
    assert whole is not None
    arrays = {name: whole.saved().arrays[name] for name in ("done", "let_down")}
    older = a_model(Saved(arrays, whole.saved().params))
    store = ModelStore(tmp_path / "models")
    artifact = store.load(put(store, older, 0))
    check_answers(artifact)
    found = ranked(older)
    assert found["without-samagri"].factors["experience"].raw == pytest.approx(0.3 * 60)
    assert not found["without-samagri"].is_new


def test_a_version_whose_counts_by_puja_are_not_whole_is_refused(tmp_path: Path) -> None:
    whole = records_of(a_model())
    assert whole is not None
    saved = whole.saved()
    arrays = {name: each for name, each in saved.arrays.items() if name != "puja_done"}
    store = ModelStore(tmp_path / "models")
    artifact = store.load(put(store, a_model(Saved(arrays, saved.params)), 0))
    with pytest.raises(ArtifactError, match="of each puja") as caught:
        check_answers(artifact)
    assert caught.value.code == "shape"


def test_counts_by_puja_come_back_from_the_store(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    artifact = store.load(put(store, a_model(), 0))
    check_answers(artifact)
    assert "part.pandits.puja_done" in artifact.arrays


def explored(
    bundle: Bundle, days: int = 60, catalogue: CatalogueOfTheDay = CATALOGUE
) -> dict[str, str]:
    """What is tried for one customer on so many days, and the first reason given."""
    adviser = Advice(catalogue, AdviceParams(new_items_share=1.0), bundle)
    found = {}
    for day in range(days):
        question = SamagriQuestion(
            puja=CATALOGUE.pujas[PUJA],
            customer=Customer(user_id=f"u{day}"),
            occasion=Occasion(),
            today=TODAY,
            explores=True,
        )
        for each in adviser.samagri(question).items:
            if each.is_explored:
                found[each.item.id] = each.because[0].code
    return found


def taken(bundle: Bundle, item_id: str, times: int) -> Bundle:
    """The model when so many bookings have kept that item."""
    knowledge = knowledge_of(bundle)
    assert knowledge is not None
    totals = knowledge.tables.item_totals.copy()
    totals[bundle.ids["items"].index(item_id)] = times
    tables = replace(knowledge.tables, item_totals=totals)
    return replace(bundle, parts={**bundle.parts, BLEND: replace(knowledge, tables=tables).saved()})


@pytest.mark.parametrize(("times", "is_tried"), [(0, True), (4, True), (5, False)])
def test_an_item_keeps_its_chance_after_a_training_until_some_have_taken_it(
    times: int, is_tried: bool
) -> None:
    bundle = a_bundle(Recipe())
    assert explored(bundle) == {}
    tried = explored(taken(bundle, "umbrella", times))
    assert tried == ({"umbrella": "SELDOM_TAKEN"} if is_tried else {})


def test_an_item_that_came_after_the_training_is_told_as_new() -> None:
    bundle = a_bundle(Recipe())
    ids = Ids([each if each != "umbrella" else "something-else" for each in bundle.ids["items"]])
    assert explored(replace(bundle, ids={**bundle.ids, "items": ids})) == {"umbrella": "NEW_ITEM"}


@pytest.mark.parametrize(("asked_in", "is_tried"), [("shraddha", False), ("rudri-puja", True)])
def test_what_is_only_asked_for_in_other_kinds_of_puja_is_not_tried(
    asked_in: str, is_tried: bool
) -> None:
    bundle = taken(a_bundle(Recipe()), "umbrella", 0)
    pujas = {}
    for puja in CATALOGUE.pujas.values():
        needs = tuple(each for each in puja.requirements if each.item_id != "umbrella")
        if puja.id == asked_in:
            needs = (*needs, replace(needs[0], item_id="umbrella"))
        pujas[puja.id] = replace(puja, requirements=needs)
    same = pujas[asked_in].category_id == pujas[PUJA].category_id
    assert same is is_tried
    tried = explored(bundle, catalogue=replace(CATALOGUE, pujas=pujas))
    assert ("umbrella" in tried) is is_tried
