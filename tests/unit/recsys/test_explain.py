"""Why a version lists what it lists: the same answer as the blend, taken apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys import explain as command
from recsys import synth
from recsys.blend_fit import count_tables
from recsys.bundle import BLEND, Bundle
from recsys.config import BadConfig
from recsys.data import Dataset, Kind, Status, Tier
from recsys.engine import AlsParams
from recsys.explain import Explanation, explain
from recsys.lists import Lists, bought, dismissed, regretted
from recsys.matrix import baskets, users_by
from recsys.models.als import Als
from recsys.models.base import Model
from recsys.models.puja_popularity import PujaPopularity
from recsys.reasons import Code
from recsys.signals import STAGES, BlendWeights, Knowledge
from recsys.town import TownConfig, simulate

TOWN = "synth:users=120,items=80,pandits=12,months=12,seed=3"


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synth.dataset(simulate(TownConfig(users=120, items=80, pandits=12, months=12, seed=3)))


@pytest.fixture(scope="module")
def bundle(data: Dataset) -> Bundle:
    now = data.newest_ms()
    usual = PujaPopularity().fit(baskets(data, now_ms=now).data)
    params = AlsParams(factors=4, iterations=3, engine="numpy")
    als = Als(params).fit(users_by(data, "item", now_ms=now))
    ids = {
        kind: getattr(data, kind) for kind in ("items", "pujas", "pandits", "regions", "categories")
    }
    knowledge = Knowledge(
        ids=ids,
        usual=usual,
        tables=count_tables(data, np.arange(len(data.bookings)), usual),
        weights={stage: BlendWeights(bias=-1.0) for stage in STAGES},
        user_item=als,
    )
    models: dict[str, Model[Any]] = {"usual": usual, "user_item": als}
    return Bundle("20260401T000000Z-00000000", ids, models, {BLEND: knowledge.saved()})


@pytest.fixture(scope="module")
def lists(data: Dataset) -> Lists:
    return Lists.of(data)


def busiest(data: Dataset) -> int:
    return int(np.argmax(np.bincount(data.bookings.user, minlength=len(data.users))))


def of_busiest(data: Dataset, lists: Lists, bundle: Bundle, **more: object) -> Explanation:
    user = busiest(data)
    puja = int(data.bookings.puja[data.bookings.user == user][0])
    return explain(
        lists,
        bundle,
        puja=data.pujas.ids[puja],
        user=data.users.ids[user],
        at_ms=data.newest_ms(),
        **more,  # type: ignore[arg-type]
    )


def test_the_answer_is_whole_and_names_its_version(
    data: Dataset, lists: Lists, bundle: Bundle
) -> None:
    found = of_busiest(data, lists, bundle)
    assert found.answer.model_version == bundle.version
    demanded = {each.item_id for each in found.request.demands if each.tier == Tier.REQUIRED}
    assert demanded <= {row.item_id for row in found.answer.rows}
    assert found.history > 0
    assert set(found.signals) >= {row.item_id for row in found.answer.rows}


def test_the_signals_add_up_to_the_confidence(data: Dataset, lists: Lists, bundle: Bundle) -> None:
    """Of items that no rule names, up to what is the same for all of them."""
    found = of_busiest(data, lists, bundle, items=data.items.ids)
    ruled = {each.item_id for each in found.request.demands} | set(found.request.regretted)
    rest = []
    for name, parts in found.signals.items():
        confidence = found.confidences[name]
        if name not in ruled and 0.02 < confidence < 0.98:
            rest.append(np.log(confidence / (1 - confidence)) - sum(parts.values()))
    assert len(rest) > 5
    assert max(rest) - min(rest) < 0.02


def test_who_is_not_known_is_asked_about_without_a_history(
    data: Dataset, lists: Lists, bundle: Bundle
) -> None:
    found = explain(lists, bundle, puja=data.pujas.ids[0], at_ms=data.newest_ms())
    assert found.history == 0
    assert found.request.bought == {}
    assert found.request.region == ""
    assert all("user" not in parts for parts in found.signals.values())


def test_what_he_took_is_said_and_what_he_dismissed_is_not_offered(
    data: Dataset, lists: Lists, bundle: Bundle
) -> None:
    user = busiest(data)
    before = of_busiest(data, lists, bundle)
    optional = [row.item_id for row in before.answer.rows if row.tier == Tier.OPTIONAL]
    events = data.events
    row = int(np.flatnonzero(events.kind == Kind.PANDIT_BOOKED)[0])
    kind, who, item = events.kind.copy(), events.user.copy(), events.item.copy()
    kind[row], who[row], item[row] = Kind.ITEM_DISMISSED, user, data.items.index(optional[0])
    changed = replace(data, events=replace(events, kind=kind, user=who, item=item))
    assert optional[0] in dismissed(changed, data.newest_ms() + 1)[user]
    after = of_busiest(changed, Lists.of(changed), bundle)
    assert optional[0] not in {row.item_id for row in after.answer.rows}


def test_history_is_counted_from_completed_bookings(data: Dataset) -> None:
    user = busiest(data)
    bookings, lines = data.bookings, data.lines
    found = bought(data, user)
    his = (bookings.user == user) & (bookings.status == Status.COMPLETED)
    kept = lines.item[lines.kept & his[lines.booking]]
    assert {name: each.times for name, each in found.items()} == {
        data.items.ids[item]: int(times)
        for item, times in zip(*np.unique(kept, return_counts=True), strict=True)
    }
    assert max(each.last_ts for each in found.values()) == bookings.held_ts[his].max()


def test_what_was_taken_off_twice_of_three_times_is_regretted(data: Dataset) -> None:
    bookings, lines = data.bookings, data.lines
    user = busiest(data)
    puja = int(np.bincount(bookings.puja[bookings.user == user]).argmax())
    rows = np.flatnonzero((bookings.user == user) & (bookings.puja == puja))
    rows = rows[np.argsort(bookings.ts[rows])][-2:]
    assert len(rows) == 2
    shared = set(lines.item[lines.booking == rows[0]]) & set(lines.item[lines.booking == rows[1]])
    item = min(shared)
    off = np.isin(lines.booking, rows) & (lines.item == item)
    changed = replace(data, lines=replace(lines, kept=lines.kept & ~off))
    assert data.items.ids[item] in regretted(changed, user, puja)
    assert data.items.ids[item] not in regretted(changed, user, puja + 1)


def test_a_budget_is_kept_and_reasons_have_their_sentences(
    data: Dataset, lists: Lists, bundle: Bundle
) -> None:
    whole = of_busiest(data, lists, bundle)
    needed = sum(row.price for row in whole.answer.rows if row.tier != Tier.OPTIONAL)
    found = of_busiest(data, lists, bundle, budget=needed)
    assert found.answer.total == needed
    told = found.as_dict("ne")
    assert told["left_out"]
    assert all(len(row["texts"]) == len(row["reasons"]) for row in told["rows"])
    codes = {each.code for row in whole.answer.rows for each in row.reasons}
    assert Code.REQUIRED_BY_PUJA in codes


def test_what_the_source_does_not_know_is_named(
    data: Dataset, lists: Lists, bundle: Bundle
) -> None:
    with pytest.raises(BadConfig) as caught:
        explain(lists, bundle, puja="nobody", items=("nothing",), at_ms=data.newest_ms())
    assert "puja 'nobody'" in str(caught.value)
    assert "item 'nothing'" in str(caught.value)


def test_the_command_answers_by_the_rules_where_nothing_is_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--store", str(tmp_path), "--source", TOWN]
    assert command.main([*where, "--puja", "puja-00"]) == 0
    out = capsys.readouterr().out
    assert "version rules" in out
    assert "the rules alone have answered" in out
    assert command.main([*where, "--puja", "puja-99", "--json"]) == 2
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert not told["ok"]
    assert "puja-99" in told["reason"]
    nowhere = ["--store", str(tmp_path), "--source", str(tmp_path / "none"), "--puja", "x"]
    assert command.main(nowhere) == 3
