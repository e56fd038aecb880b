"""The blend over a small town and a model fitted on it."""

import json
import random as standard_random
from dataclasses import fields, replace
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import blend_fit, synth
from recsys.blend import MODEL, BlendParams, Bought, Demand, Request, SamagriBlend
from recsys.data import Source, Tier
from recsys.engine import AlsParams
from recsys.matrix import baskets, users_by
from recsys.models.als import Als
from recsys.models.base import Model
from recsys.models.ease import Ease
from recsys.models.puja_popularity import PujaPopularity
from recsys.reasons import Code, text
from recsys.shelf import Brand, Shelf, ShelfItem
from recsys.signals import Knowledge
from recsys.town import UNITS, TownConfig, simulate

_CONFIG = TownConfig(seed=5, users=800, pandits=40, items=120, pujas=20)


@cache
def _fitted():
    town = simulate(_CONFIG)
    data = synth.dataset(town)
    order = np.argsort(data.bookings.ts, kind="stable")
    train, calibrate, label = np.split(order, [int(len(order) * 0.6), int(len(order) * 0.7)])
    now = int(data.bookings.ts[calibrate[0]])
    known = data.before(now)
    cells = baskets(known, now_ms=now).data
    models: dict[str, Model[Any]] = {
        "samagri": Ease().fit(cells),
        "usual": PujaPopularity().fit(cells),
        "user_item": Als(AlsParams(factors=8, iterations=3, engine="numpy")).fit(
            users_by(known, "item", now_ms=now)
        ),
    }
    ids = {
        name: getattr(data, name) for name in ("items", "pujas", "pandits", "regions", "categories")
    }
    knowledge = blend_fit.fit(
        data,
        known=known,
        train=train,
        calibrate=calibrate,
        label=label,
        models=models,
        ids=ids,
        now_ms=now,
    )
    return town, data, knowledge, models


def _items(town, data):
    world = town.world
    return [
        ShelfItem(
            item_id=name,
            price=int(world.item_price[index]),
            base_quantity=Decimal(int(world.item_pack[index])),
            base_unit=UNITS[world.item_unit[index]],
            pack=Decimal(int(world.item_pack[index])),
            category=str(world.item_category[index]),
            season=tuple((world.item_season[index] + 1).tolist()),
            substitutes=tuple(data.items.ids[:3]),
        )
        for index, name in enumerate(data.items.ids)
    ]


@cache
def _blend(with_model=True):
    town, data, knowledge, _ = _fitted()
    shelf = Shelf.of(_items(town, data), data.items)
    params = BlendParams(threshold=0.3)
    if not with_model:
        return SamagriBlend(shelf, params=params)
    return SamagriBlend(shelf, knowledge, version="v1", params=params)


def _demands(puja):
    town, data, _, _ = _fitted()
    world = town.world
    return tuple(
        Demand(
            item_id=data.items.ids[item],
            tier=Tier(int(world.rules[puja, item])),
            quantity=Decimal(int(2 * world.item_pack[item])),
            unit=UNITS[world.item_unit[item]],
            rule_id=f"r{puja}-{item}",
        )
        for item in np.flatnonzero(world.rules[puja] >= 0).tolist()
    )


@st.composite
def _requests(draw):
    _, data, knowledge, _ = _fitted()
    items = st.sampled_from(data.items.ids)
    puja = draw(st.integers(0, _CONFIG.pujas - 1))
    user = draw(st.one_of(st.none(), st.integers(0, _CONFIG.users - 1)))
    return Request(
        puja=data.pujas.ids[puja],
        demands=_demands(puja),
        region=draw(st.sampled_from(["", "nowhere", *data.regions.ids])),
        pandit=draw(st.sampled_from(["", "nobody", *data.pandits.ids])),
        month=draw(st.integers(0, 12)),
        context_month=draw(st.integers(-1, 11)),
        added=tuple(draw(st.lists(items, max_size=4))),
        never_show=frozenset(draw(st.lists(items, max_size=30))),
        regretted=frozenset(draw(st.lists(items, max_size=5))),
        preferred=tuple(draw(st.lists(items, max_size=3))),
        bought={name: Bought(2, 1_700_000_000_000) for name in draw(st.lists(items, max_size=3))},
        taste=None if user is None else knowledge.user_item.user_[user],
        history=0 if user is None else 7,
        budget=draw(st.one_of(st.none(), st.integers(0, 2_000_000))),
        fill=draw(st.booleans()),
    )


_EITHER = st.booleans().map(_blend)


@settings(max_examples=150, deadline=None)
@given(_EITHER, _requests())
def test_hard_constraints_hold(blend, request_):
    answer = blend.recommend(request_)
    rows = {row.item_id: row for row in answer.rows}
    stood_in = {row.substitute_of for row in answer.rows}
    assert len(rows) == len(answer.rows)
    for demand in request_.demands:
        if demand.tier == Tier.REQUIRED:
            assert rows[demand.item_id].tier == Tier.REQUIRED
            assert rows[demand.item_id].quantity == demand.quantity
        if demand.tier == Tier.ESSENTIAL:
            assert demand.item_id in rows or demand.item_id in stood_in
    for row in answer.rows:
        assert 0 <= row.confidence <= 1
        assert row.quantity > 0
        if row.tier == Tier.OPTIONAL:
            assert row.item_id not in request_.never_show
            assert row.item_id not in request_.added
            assert row.in_season
            assert row.confidence >= 0.3 or row.low_confidence
        else:
            assert row.user_hidden == (row.item_id in request_.never_show)
        assert len({reason.code for reason in row.reasons}) == len(row.reasons)
    keys = [
        (r.tier, -r.confidence, blend.shelf.unit_price[blend.shelf.index(r.item_id)], r.item_id)
        for r in answer.rows
    ]
    assert keys == sorted(keys)
    finds = [row for row in answer.rows if row.source == MODEL]
    assert len(finds) <= blend.params.finds


@settings(max_examples=100, deadline=None)
@given(_EITHER, _requests())
def test_budget_is_passed_by_demanded_items_only_and_that_is_said(blend, request_):
    answer = blend.recommend(request_)
    if request_.budget is None:
        assert answer.shortfall == 0
        return
    demanded = sum(row.price for row in answer.rows if row.tier != Tier.OPTIONAL)
    assert answer.total <= max(request_.budget, demanded)
    assert answer.shortfall == max(demanded - request_.budget, 0)
    assert any(row.over_budget for row in answer.rows) == (answer.shortfall > 0)


@settings(max_examples=50, deadline=None)
@given(_EITHER, _requests(), st.integers())
def test_equal_input_in_any_order_gives_equal_bytes(blend, request_, seed):
    def shuffled(values):
        return tuple(standard_random.Random(seed).sample(values, len(values)))

    other = replace(
        request_,
        demands=shuffled(request_.demands),
        added=shuffled(request_.added),
        preferred=shuffled(request_.preferred),
    )
    first, second = (
        json.dumps([row.as_dict() for row in blend.recommend(each).rows])
        for each in (request_, other)
    )
    assert first == second


_SIGNAL_OF = {
    Code.USUAL_FOR_PUJA: "puja",
    Code.OFTEN_TOGETHER: "assoc",
    Code.YOU_BOUGHT_BEFORE: "user",
    Code.YOUR_TASTE: "user",
    Code.REGION: "region",
    Code.PANDIT_PREFERS: "pandit",
    Code.IN_SEASON: "season",
    Code.WITHIN_BUDGET: "budget",
    Code.RULE_OPTIONAL: "rule",
}


@settings(max_examples=40, deadline=None)
@given(_requests())
def test_every_reason_is_what_its_signal_did_and_can_be_said(request_):
    blend = _blend()
    parts = blend.contributions(request_)
    for row in blend.recommend(request_).rows:
        for reason in row.reasons:
            assert text(reason, "ne", lambda *_: "नाम", puja_id=request_.puja)
            if reason.weight:
                part = parts[_SIGNAL_OF[reason.code]]
                lift = part[blend.shelf.index(row.item_id)] - part.mean()
                assert reason.weight == pytest.approx(lift, abs=1e-3)
                assert lift > 0.1


@settings(max_examples=40, deadline=None)
@given(_requests())
def test_signals_make_the_confidence(request_):
    request_ = replace(request_, regretted=frozenset())
    confidence = _blend().confidences(request_).astype(float)
    z = np.sum(list(_blend().contributions(request_).values()), axis=0)
    sure = (confidence > 0.02) & (confidence < 0.98)
    ruled = _blend().contributions(request_)["rule"] > 0
    for group in (sure & ruled, sure & ~ruled):
        if group.any():
            rest = np.log(confidence[group] / (1 - confidence[group])) - z[group]
            assert np.ptp(rest) < 0.02


@settings(max_examples=40, deadline=None)
@given(_EITHER, _requests(), st.data())
def test_a_favourite_rises_and_says_so(blend, request_, draw):
    plain = replace(request_, favourites=frozenset(), never_show=frozenset(), fill=False)
    name = draw.draw(st.sampled_from(_fitted()[1].items.ids))
    liked = replace(plain, favourites=frozenset({name}))
    place = blend.shelf.index(name)
    before, after = blend.confidences(plain), blend.confidences(liked)
    assert after[place] == pytest.approx(min(1.0, before[place] + 0.2), abs=1e-3)
    others = np.arange(len(before)) != place
    assert np.array_equal(before[others], after[others])
    rows = {row.item_id: row for row in blend.recommend(liked).rows}
    for row in rows.values():
        said = any(reason.code == Code.FAVOURITE for reason in row.reasons)
        assert said == (row.item_id == name and row.tier == Tier.OPTIONAL)
    hidden = replace(liked, never_show=frozenset({name}))
    optional = [row for row in blend.recommend(hidden).rows if row.tier == Tier.OPTIONAL]
    assert all(row.item_id != name for row in optional)


def _all_rows(**request):
    """Every row of every puja in every region, with what the answer left out."""
    _, data, knowledge, _ = _fitted()
    params = BlendParams(threshold=0.0, finds=200, per_category=200)
    blend = SamagriBlend(_blend().shelf, knowledge, params=params)
    for puja in range(_CONFIG.pujas):
        for region in data.regions.ids:
            asked = Request(
                puja=data.pujas.ids[puja], demands=_demands(puja), region=region, **request
            )
            answer = blend.recommend(asked)
            yield asked, answer, blend.contributions(asked)


@pytest.mark.parametrize(("signal", "is_said"), [(0.45, False), (0.5, False), (0.9, True)])
def test_what_is_said_of_a_region_is_so_there(signal, is_said):
    _, data, knowledge, _ = _fitted()
    # The average item is taken much less here than elsewhere: this one stands out of them.
    signals = np.full_like(knowledge.tables.region_signal, 0.02)
    signals[:, :, 7] = signal
    tables = replace(
        knowledge.tables,
        region_signal=signals,
        region_totals=np.full_like(knowledge.tables.region_totals, 50),
    )
    params = BlendParams(threshold=0.0, finds=200, per_category=200)
    blend = SamagriBlend(_blend().shelf, replace(knowledge, tables=tables), params=params)
    found = blend.recommend(Request(puja=data.pujas.ids[0], region=data.regions.ids[0]))
    row = next(row for row in found.rows if row.item_id == data.items.ids[7])
    assert (Code.REGION in [reason.code for reason in row.reasons]) == is_said


def test_only_what_its_planned_share_pays_for_is_said_to_fit_the_budget():
    _, _, knowledge, _ = _fitted()
    blend, said, left = _blend(), 0, 0
    shares = blend.shelf.gathered(knowledge.tables.planned_share, 0.05)
    for budget in (20_000, 200_000):
        for _, answer, _ in _all_rows(budget=budget):
            for row in answer.rows:
                if any(reason.code == Code.WITHIN_BUDGET for reason in row.reasons):
                    item = blend.shelf.index(row.item_id)
                    assert blend.usual_price[item] <= budget * shares[item] * 1.0001
                    assert not row.over_budget
                    said += 1
            for row in answer.left_out:
                assert all(reason.code != Code.WITHIN_BUDGET for reason in row.reasons)
                left += 1
    assert said > 20
    assert left > 20


def test_every_find_has_a_reason():
    _, data, knowledge, _ = _fitted()
    blend = SamagriBlend(_blend().shelf, knowledge, params=BlendParams(threshold=0.12))
    finds = [
        row
        for puja in range(_CONFIG.pujas)
        for row in blend.recommend(
            Request(puja=data.pujas.ids[puja], demands=_demands(puja), region=data.regions.ids[0])
        ).rows
        if row.source == MODEL
    ]
    assert len(finds) > 20
    assert all(row.reasons for row in finds)


def test_rates_in_reasons_are_those_of_the_bookings():
    _, data, knowledge, _ = _fitted()
    seen = 0
    for puja in range(_CONFIG.pujas):
        request_ = Request(puja=data.pujas.ids[puja], demands=_demands(puja))
        for row in _blend().recommend(request_).rows:
            for reason in row.reasons:
                if reason.code == Code.USUAL_FOR_PUJA and "rate" in reason.data:
                    item = data.items.index(row.item_id)
                    n = knowledge.tables.puja_totals[puja]
                    share = knowledge.tables.puja_counts[puja, item] / n
                    assert reason.data["n"] == n >= 10
                    assert reason.data["rate"] == pytest.approx(share, abs=6e-4)
                    seen += 1
    assert seen >= 3


def test_only_what_bookings_kept_together_is_said_to_be_taken_together():
    _, data, knowledge, _ = _fitted()
    said = 0
    for _, answer, _ in _all_rows():
        for row in answer.rows:
            item = data.items.index(row.item_id)
            for reason in row.reasons:
                if reason.code != Code.OFTEN_TOGETHER:
                    continue
                beside = [data.items.index(name) for name in reason.data["with"]]
                both = [knowledge.tables.together(each, item) for each in beside]
                assert 1 <= len(both) <= 3
                assert min(both) >= 10
                assert reason.data["n"] == knowledge.tables.item_totals[beside[0]]
                assert reason.data["rate"] == pytest.approx(both[0] / reason.data["n"], abs=6e-4)
                said += 1
    assert said > 20


def test_knowledge_survives_being_saved():
    _, data, knowledge, models = _fitted()
    restored = Knowledge.restored(knowledge.saved(), models, knowledge.ids)
    request_ = Request(puja=data.pujas.ids[2], demands=_demands(2), region=data.regions.ids[0])
    again = SamagriBlend(_blend().shelf, restored).confidences(request_)
    assert (again == _blend().confidences(request_)).all()
    with pytest.raises(ValueError, match="lacks"):
        Knowledge.restored(knowledge.saved()._replace(arrays={}), models, knowledge.ids)


def test_item_that_the_model_has_never_seen_can_be_demanded_but_is_no_find():
    town, data, knowledge, _ = _fitted()
    fresh = ShelfItem(item_id="brand-new", price=5_000, base_unit="packet", is_new=True)
    shelf = Shelf.of([*_items(town, data)[5:], fresh], data.items)
    blend = SamagriBlend(shelf, knowledge)
    demand = Demand(
        item_id="brand-new", tier=Tier.REQUIRED, quantity=Decimal(2), unit="packet", rule_id="x"
    )
    gone = Demand(item_id="gone", tier=Tier.REQUIRED, quantity=Decimal(1), unit="packet")
    answer = blend.recommend(Request(puja=data.pujas.ids[0], demands=(demand, gone)))
    assert answer.rows[0].item_id == "brand-new"
    assert answer.rows[0].price == 10_000
    assert [reason.code for reason in answer.rows[0].reasons] == [Code.REQUIRED_BY_PUJA]
    assert answer.unknown == ("gone",)


_OF_BOOKINGS = {
    Code.USUAL_FOR_PUJA,
    Code.OFTEN_TOGETHER,
    Code.YOU_BOUGHT_BEFORE,
    Code.YOUR_TASTE,
    Code.REGION,
    Code.PANDIT_PREFERS,
}


@pytest.mark.parametrize("has_column", [False, True])
@pytest.mark.parametrize("tier", [Tier.ESSENTIAL, Tier.OPTIONAL])
def test_nothing_is_said_of_families_about_an_item_that_no_booking_has_kept(has_column, tier):
    town, data, knowledge, _ = _fitted()
    name, tables = "zz-brand-new", knowledge.tables
    items = [replace(each, season=None) for each in _items(town, data)]
    if has_column:
        # As a training leaves one that it knows from the catalogue alone, but for the model's
        # opinion of it: whatever lifts it, no family has taken it.
        name, place = data.items.ids[7], 7
        counts, totals = tables.puja_counts.copy(), tables.item_totals.copy()
        counts[:, place], totals[place] = 0, 0
        of_item = tables.pandit_items == place
        first = np.repeat(np.arange(len(totals)), np.diff(tables.together_pointers))
        beside_it = (first == place) | (tables.together_items == place)
        tables = replace(
            tables,
            puja_counts=counts,
            item_totals=totals,
            pandit_counts=np.where(of_item, 0, tables.pandit_counts),
            together_counts=np.where(beside_it, 0, tables.together_counts),
        )
    else:
        items.append(ShelfItem(item_id=name, price=1_000))
    blend = SamagriBlend(
        Shelf.of(items, data.items),
        replace(knowledge, tables=tables),
        params=BlendParams(threshold=0.0, optional_floor=0.8),
    )
    demand = Demand(item_id=name, tier=tier, quantity=Decimal(1), unit=_unit_of(items, name))
    said, others = set(), set()
    for puja in range(_CONFIG.pujas):
        demands = (*(each for each in _demands(puja) if each.item_id != name), demand)
        for region, pandit in zip(data.regions.ids, data.pandits.ids, strict=False):
            asked = Request(
                puja=data.pujas.ids[puja],
                demands=demands,
                region=region,
                pandit=pandit,
                taste=knowledge.user_item.user_[3],
                history=7,
                bought={name: Bought(1, 1_700_000_000_000)},
            )
            for row in blend.recommend(asked).rows:
                found = {reason.code for reason in row.reasons}
                if row.item_id == name:
                    said |= found
                else:
                    others |= found
    assert not said & _OF_BOOKINGS
    assert said
    assert {Code.USUAL_FOR_PUJA, Code.OFTEN_TOGETHER} <= others


def _unit_of(items, name):
    return next(each.base_unit for each in items if each.item_id == name)


def test_what_the_pandit_asks_for_by_name_is_said_though_no_booking_has_kept_it():
    town, data, knowledge, _ = _fitted()
    items = [*_items(town, data), ShelfItem(item_id="zz-brand-new", price=1_000)]
    blend = SamagriBlend(Shelf.of(items, data.items), knowledge, params=BlendParams(threshold=0.0))
    demand = Demand(item_id="zz-brand-new", tier=Tier.OPTIONAL, quantity=Decimal(1), unit="piece")
    row_of_puja = knowledge.tables.pandit_pairs[0]
    pandit, puja = divmod(int(row_of_puja), len(data.pujas))
    plain = Request(puja=data.pujas.ids[puja], pandit=data.pandits.ids[pandit], demands=(demand,))
    wished = replace(plain, preferred=("zz-brand-new",))
    codes = [
        {
            reason.code
            for row in blend.recommend(each).rows
            if row.item_id == "zz-brand-new"
            for reason in row.reasons
        }
        for each in (plain, wished)
    ]
    assert Code.PANDIT_PREFERS not in codes[0]
    assert Code.PANDIT_PREFERS in codes[1]
    # The wish is for that item, not for the last one of the model.
    assert np.array_equal(blend.confidences(plain), blend.confidences(wished))


def test_usual_for_a_puja_is_what_its_own_bookings_kept():
    _, data, knowledge, _ = _fitted()
    said = 0
    for asked, answer, _ in _all_rows():
        puja = data.pujas.index(asked.puja)
        for row in answer.rows:
            if any(reason.code == Code.USUAL_FOR_PUJA for reason in row.reasons):
                said += 1
                assert knowledge.tables.puja_counts[puja, data.items.index(row.item_id)] > 0
    assert said > 20
    stranger = Request(puja="never-heard-of", demands=_demands(0))
    for row in _blend().recommend(stranger).rows:
        assert all(reason.code != Code.USUAL_FOR_PUJA for reason in row.reasons)


def test_some_requests_give_a_new_item_its_chance_and_a_reload_shows_the_same():
    town, data, knowledge, _ = _fitted()
    fresh = ShelfItem(item_id="brand-new", price=5_000, base_unit="packet", is_new=True)
    blend = SamagriBlend(Shelf.of([*_items(town, data), fresh], data.items), knowledge)
    explored = 0
    for day in range(200):
        request_ = Request(puja=data.pujas.ids[0], demands=_demands(0), seed=f"u1:{day}")
        answer = blend.recommend(request_)
        assert answer == blend.recommend(request_)
        for row in answer.rows:
            assert row.propensity == (blend.params.new_share if row.explored else 1)
            if row.explored:
                explored += 1
                assert [reason.code for reason in row.reasons] == [Code.NEW_ITEM]
    assert 8 <= explored <= 35


def test_what_few_have_taken_is_tried_too_but_not_called_new():
    town, data, knowledge, _ = _fitted()
    name = data.items.ids[9]
    items = [replace(each, is_new=each.item_id == name) for each in _items(town, data)]
    params = BlendParams(threshold=0.99, new_share=1.0)
    blend = SamagriBlend(Shelf.of(items, data.items), knowledge, params=params)
    asked = Request(puja=data.pujas.ids[0], seed="u1:1")
    row = next(row for row in blend.recommend(asked).rows if row.explored)
    assert row.item_id == name
    assert row.propensity == 1
    assert row.reasons[0].code == Code.SELDOM_TAKEN


def test_what_only_other_pujas_ask_for_is_not_tried_in_this_one():
    town, data, knowledge, _ = _fitted()
    params = BlendParams(threshold=0.99, new_share=1.0)

    def tried(*asked_in: str) -> set[str]:
        fresh = ShelfItem(
            item_id="brand-new", price=5_000, is_new=True, puja_categories=frozenset(asked_in)
        )
        blend = SamagriBlend(
            Shelf.of([*_items(town, data), fresh], data.items), knowledge, params=params
        )
        wedding = Request(puja=data.pujas.ids[0], puja_category="life-cycle", seed="u1:1")
        return {row.item_id for row in blend.recommend(wedding).rows if row.explored}

    assert tried("ancestral") == set()
    assert tried("ancestral", "life-cycle") == tried() == {"brand-new"}


def test_out_of_season_essential_gives_way_to_its_substitute():
    rose = ShelfItem(item_id="rose", price=100, season=(1, 3), substitutes=("marigold",))
    marigold = ShelfItem(item_id="marigold", price=80)
    blend = SamagriBlend(Shelf.of([rose, marigold]))
    essential = Demand(item_id="rose", tier=Tier.ESSENTIAL, quantity=Decimal(4), unit="piece")
    row = blend.recommend(Request(puja="p", demands=(essential,), month=8)).rows[0]
    assert (row.item_id, row.substitute_of, row.price) == ("marigold", "rose", 320)
    assert row.reasons[0].code == Code.SUBSTITUTE_FOR
    required = replace(essential, tier=Tier.REQUIRED)
    row = blend.recommend(Request(puja="p", demands=(required,), month=8)).rows[0]
    assert (row.item_id, row.in_season) == ("rose", False)


def test_rules_alone_serve_without_a_model():
    items = [ShelfItem(item_id=name, price=100) for name in "abc"]
    demands = tuple(
        Demand(item_id=name, tier=tier, quantity=Decimal(1), unit="piece")
        for name, tier in zip("abc", Tier, strict=True)
    )
    answer = SamagriBlend(Shelf.of(items)).recommend(Request(puja="p", demands=demands))
    assert [(row.item_id, row.confidence) for row in answer.rows] == [
        ("a", 1.0),
        ("b", 0.9),
        ("c", 0.8),
    ]
    assert answer.model_version == "rules"


def test_cheapest_brand_of_what_is_demanded_and_best_worth_of_the_rest():
    brands = (Brand("plain", 100), Brand("fine", 300, worth=1.2))
    items = [ShelfItem(item_id=name, price=200, brands=brands) for name in ("ghee", "honey")]
    demands = (
        Demand(item_id="ghee", tier=Tier.REQUIRED, quantity=Decimal(1), unit="piece"),
        Demand(item_id="honey", tier=Tier.OPTIONAL, quantity=Decimal(1), unit="piece"),
    )
    blend = SamagriBlend(Shelf.of(items))
    chosen = {
        budget: [
            r.brand_id
            for r in blend.recommend(Request(puja="p", demands=demands, budget=budget)).rows
        ]
        for budget in (150, 250, 400)
    }
    assert chosen == {150: ["plain"], 250: ["plain", "plain"], 400: ["plain", "fine"]}


def test_no_more_finds_of_one_category_than_variety_allows():
    _, data, knowledge, _ = _fitted()
    blend = SamagriBlend(
        _blend().shelf, knowledge, params=BlendParams(threshold=0.05, per_category=1)
    )
    rows = blend.recommend(Request(puja=data.pujas.ids[0], demands=_demands(0))).rows
    finds = [blend.shelf.category[blend.shelf.index(r.item_id)] for r in rows if r.source == MODEL]
    assert len(finds) == len(set(finds)) >= 3


def test_a_family_that_wanted_no_samagri_says_nothing_of_what_families_take():
    _, data, _, models = _fitted()
    rows = np.arange(len(data.bookings))
    of_puja = np.flatnonzero(data.bookings.puja == data.bookings.puja[0])
    without = of_puja[: len(of_puja) // 2]
    lines = data.lines
    left = ~np.isin(lines.booking, without)
    emptied = replace(
        data,
        lines=replace(
            lines, **{each.name: getattr(lines, each.name)[left] for each in fields(lines)}
        ),
    )
    usual = models["usual"]
    assert isinstance(usual, PujaPopularity)
    among_all = blend_fit.count_tables(emptied, rows, usual)
    among_those = blend_fit.count_tables(data, np.setdiff1d(rows, without), usual)
    assert np.array_equal(among_all.puja_totals, among_those.puja_totals)
    assert np.array_equal(among_all.puja_counts, among_those.puja_counts)
    assert np.array_equal(among_all.region_totals, among_those.region_totals)


@pytest.mark.parametrize("kept", [True, False])
def test_what_a_rule_put_on_a_list_is_not_asked_about_however_it_ended(kept):
    _, data, _, _ = _fitted()
    tiers = blend_fit._rule_tiers(data.rules, len(data.pujas), len(data.items))
    lines = data.lines
    free = tiers[data.bookings.puja[lines.booking], lines.item] == Tier.OPTIONAL
    line = int(np.flatnonzero(free & lines.kept & (lines.source != Source.RULE))[0])
    booking, item = int(lines.booking[line]), int(lines.item[line])
    by_rule, fate = lines.source.copy(), lines.kept.copy()
    fate[line] = kept

    def is_asked(source):
        by_rule[line] = source
        changed = replace(data, lines=replace(lines, source=by_rule, kept=fate))
        asked = blend_fit.Questions(changed, changed, None, 0).ask(booking, 0.0)
        assert asked.kept[item] == kept
        return bool(asked.asked[item])

    assert is_asked(Source.REC)
    assert not is_asked(Source.RULE)
