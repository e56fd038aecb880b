"""Ledger, event log, preferences, counters and exposures, on the real database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from server.domain.experiment import ArmCount, Exposure
from server.domain.learning import (
    CounterKey,
    Feedback,
    FeedbackKind,
    Interaction,
    PreferenceKind,
    SamagriPreference,
    Surface,
    Trial,
)
from server.domain.recommendation import Preferences
from server.store.client import Store
from server.store.counters import MongoCounterRepository
from server.store.exposures import MongoExposureRepository
from server.store.feedback import MongoFeedbackRepository
from server.store.interactions import MongoInteractionRepository
from server.store.preferences import MongoPreferenceRepository

NOW = datetime(2026, 11, 22, 4, 15, tzinfo=UTC)


def row(target: str, at: datetime = NOW, user_id: str = "sita") -> Feedback:
    return Feedback(
        rec_id="r1",
        target=target,
        kind=FeedbackKind.SHOWN,
        user_id=user_id,
        surface=Surface.SAMAGRI,
        version="v1",
        arm="model",
        at=at,
    )


async def test_a_row_of_the_ledger_is_stored_once_whoever_races(store: Store) -> None:
    feedback = MongoFeedbackRepository(store)
    rows = [row(f"item-{number}") for number in range(20)]
    stored = await asyncio.gather(*(feedback.record(rows) for _ in range(5)))
    new = [each.target for part in stored for each in part]
    assert sorted(new) == sorted(each.target for each in rows)
    assert await feedback.record([]) == []


async def test_the_ledger_is_read_by_user_and_time_newest_first(store: Store) -> None:
    feedback = MongoFeedbackRepository(store)
    rows = [row(f"item-{days}", NOW - timedelta(days=days)) for days in range(10)]
    rows[2] = replace(rows[2], trial=Trial(place=4, propensity=0.25))
    await feedback.record([*rows, row("other", user_id="gita")])
    found = await feedback.list_of_user("sita", NOW - timedelta(days=7), NOW, 100)
    assert found == rows[:8]
    assert await feedback.list_of_user("sita", NOW - timedelta(days=7), NOW, 3) == rows[:3]


async def test_the_event_log_takes_each_row_once_and_only_what_has_a_value(store: Store) -> None:
    interactions = MongoInteractionRepository(store)
    first = Interaction(id="e1", user_id="sita", ts=NOW, kind="item_dismissed", item_id="haldi")
    second = Interaction(
        id="e2", user_id="sita", ts=NOW, kind="samagri_added", item_id="ghee", quantity=0.5
    )
    await interactions.add([first])
    await interactions.add([first, second])
    await interactions.add([])
    found = await store.collection("interactions").find({}, sort=(("_id", 1),), limit=10)
    assert found[0] == {
        "_id": "e1",
        "user_id": "sita",
        "ts": NOW,
        "kind": "item_dismissed",
        "source": "manual",
        "item_id": "haldi",
    }
    assert (len(found), found[1]["quantity"]) == (2, 0.5)


def preference(item_id: str, kind: PreferenceKind) -> SamagriPreference:
    return SamagriPreference(
        id=f"sita:{item_id}", user_id="sita", item_id=item_id, preference=kind, updated_at=NOW
    )


async def test_a_customer_has_one_opinion_of_an_item(store: Store) -> None:
    preferences = MongoPreferenceRepository(store)
    for kind in (PreferenceKind.NEVER_SHOW, PreferenceKind.FAVOURITE):
        await asyncio.gather(*(preferences.put(preference("haldi", kind)) for _ in range(5)))
    await preferences.put(preference("ghee", PreferenceKind.NEVER_SHOW))
    assert await preferences.find("sita") == Preferences(
        favourites=frozenset({"haldi"}), never_show=frozenset({"ghee"})
    )
    assert (await preferences.find("sita")).since == {"haldi": NOW, "ghee": NOW}
    assert await preferences.find("gita") == Preferences()
    assert await preferences.remove("sita", "ghee")
    assert not await preferences.remove("sita", "ghee")


async def test_preferences_are_listed_by_item(store: Store) -> None:
    preferences = MongoPreferenceRepository(store)
    rows = [preference(f"item-{number}", PreferenceKind.FAVOURITE) for number in range(5)]
    for each in reversed(rows):
        await preferences.put(each)
    first = await preferences.list_page("sita", limit=3, after=None)
    rest = await preferences.list_page("sita", limit=3, after=first.next_key)
    assert (list(first.rows + rest.rows), rest.next_key) == (rows, None)


async def test_counters_add_up_whoever_counts(store: Store) -> None:
    counters = MongoCounterRepository(store)
    haldi = CounterKey("v1", "model", "samagri", "haldi")
    for _ in range(4):
        await counters.add(
            {
                haldi: {"times_recommended": 2, "times_purchased": 1},
                haldi.total: {"times_clicked": 1},
            }
        )
    await counters.add({CounterKey("v2", "model", "samagri"): {"times_recommended": 3}})
    totals = await counters.list_totals(10)
    assert [(each.version, each.times_clicked, each.times_recommended) for each in totals] == [
        ("v2", 0, 3),
        ("v1", 4, 0),
    ]
    (only,) = [each for each in await counters.list_targets("v1", "samagri", 10) if each.target]
    assert (only.target, only.times_recommended, only.times_purchased) == ("haldi", 8, 4)
    assert only.purchase_rate == (4 + 1) / (8 + 20)


async def test_what_became_of_a_target_is_summed_over_models_and_arms(store: Store) -> None:
    counters = MongoCounterRepository(store)
    for version, arm, surface, target, shown in (
        ("v1", "model", "pandits", "ram", 3),
        ("v1", "rules", "pandits", "ram", 4),
        ("v2", "model", "pandits", "ram", 5),
        ("v2", "model", "samagri", "ram", 90),
        ("v2", "model", "pandits", "hari", 1),
        ("v2", "model", "pandits", "shyam", 80),
    ):
        key = CounterKey(version, arm, surface, target)
        await counters.add({key: {"times_recommended": shown, "times_purchased": 1}})
    found = await counters.of_targets("pandits", ["ram", "hari", "nobody"])
    assert found == {"ram": (12, 3), "hari": (1, 1)}
    assert await counters.of_targets("pandits", []) == {}


async def test_counters_that_several_processes_begin_at_once_lose_nothing(store: Store) -> None:
    counters = MongoCounterRepository(store)
    keys = [CounterKey("v3", "", "samagri", f"item-{number}") for number in range(20)]
    await asyncio.gather(
        *(counters.add({key: {"times_recommended": 1} for key in keys}) for _ in range(8))
    )
    found = await counters.list_targets("v3", "samagri", 100)
    assert [each.times_recommended for each in found] == [8] * 20


def exposure(user_id: str, arm: str = "model", at: datetime = NOW) -> Exposure:
    return Exposure(id=f"trial:{user_id}", experiment="trial", user_id=user_id, arm=arm, at=at)


async def test_a_person_is_exposed_once_and_keeps_his_first_time(store: Store) -> None:
    exposures = MongoExposureRepository(store)
    await asyncio.gather(*(exposures.add(exposure("sita")) for _ in range(5)))
    await exposures.add(exposure("sita", at=NOW + timedelta(days=30)))
    await exposures.add(exposure("ram", arm="rules"))
    assert await exposures.count("trial", "model") == ArmCount(1, 0, 0)
    assert await exposures.count("trial", "rules") == ArmCount(1, 0, 0)
    assert await exposures.count("other", "model") == ArmCount(0, 0, 0)


async def test_what_comes_too_late_or_from_somebody_not_exposed_does_not_count(
    store: Store,
) -> None:
    exposures = MongoExposureRepository(store)
    await exposures.add(exposure("sita"))
    for user_id, since in (("sita", NOW + timedelta(seconds=1)), ("ram", NOW)):
        await exposures.mark(f"trial:{user_id}", since, has_added=True, has_bought=True)
    assert await exposures.count("trial", "model") == ArmCount(1, 0, 0)
    for _ in range(2):
        await exposures.mark("trial:sita", NOW, has_added=True, has_bought=False)
    assert await exposures.count("trial", "model") == ArmCount(1, 1, 0)
    await exposures.mark("trial:sita", NOW, has_added=False, has_bought=True)
    assert await exposures.count("trial", "model") == ArmCount(1, 1, 1)


async def test_arms_are_counted_by_an_index(store: Store) -> None:
    exposures = store.collection("experiment_exposures")
    await MongoExposureRepository(store).add(exposure("sita"))
    for more in ({}, {"has_added": True}, {"has_bought": True}):
        plan = str(await exposures.explain({"experiment": "trial", "arm": "model", **more}))
        assert "IXSCAN" in plan, more
        assert "COLLSCAN" not in plan, more
