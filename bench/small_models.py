"""Models that a server can take up, made in milliseconds instead of trained.

They belong to the project's own catalogue and know one thing by heart: which item families take
with a puja beside what its rules name. Their size is free.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from recsys.artifact import REPORT, Ids, Manifest
from recsys.bundle import (
    BLEND,
    HABITS,
    Bundle,
    build_name,
    check_answers,
    questions,
    write_bundle,
)
from recsys.engine import AlsParams, Factors
from recsys.models.als import Als
from recsys.models.base import Model
from recsys.models.puja_popularity import PujaPopularity
from recsys.next_puja import HORIZON_DAYS, MAX_MONTHS, Habits
from recsys.signals import SIGNALS, STAGES, BlendWeights, Knowledge, Tables
from recsys.store import ModelStore
from server.domain.catalogue import Catalogue
from server.paths import data_path
from server.store.catalogue_files import load_catalogue

PUJA: Final = "satyanarayan-puja"
FIND: Final = "walnut"
"""No rule of the puja names it."""
FACTORS: Final = 4


@functools.cache
def the_catalogue() -> Catalogue:
    """The project's own catalogue."""
    return load_catalogue(data_path("config") / "catalogue")


@dataclass(frozen=True)
class Recipe:
    """What a model is to say. ``users`` and ``factors`` make it larger, not wiser."""

    find: str = FIND
    share: float = 0.97
    festival: float = 0.4
    lead_days: float = 10.0
    pandits: Sequence[str] = ("pandit-a", "pandit-b")
    users: int = 3
    factors: int = FACTORS


def a_bundle(recipe: Recipe) -> Bundle:
    """The models of a recipe."""
    catalogue = the_catalogue()
    ids = {
        "items": Ids(sorted(item.id for item in catalogue.items)),
        "pujas": Ids(sorted(puja.id for puja in catalogue.pujas)),
        "categories": Ids(sorted(category.id for category in catalogue.puja_categories)),
        "regions": Ids(["Kathmandu", "Pokhara"]),
        "pandits": Ids(list(recipe.pandits)),
        "users": Ids([f"user-{number:06d}" for number in range(recipe.users)]),
    }
    usual = _usual(ids, recipe)
    knowledge = Knowledge(
        ids=ids,
        usual=usual,
        tables=_tables(ids, usual),
        weights={
            stage: BlendWeights(bias=0.0, signal={**dict.fromkeys(SIGNALS, 0.0), "puja": 1.0})
            for stage in STAGES
        },
    )
    models: dict[str, Model[Any]] = {"usual": usual, "pandit": _als(ids, "pandits", recipe)}
    parts = {BLEND: knowledge.saved(), HABITS: _habits(ids, recipe).saved()}
    return Bundle("", ids, models, parts)


def _usual(ids: dict[str, Ids], recipe: Recipe) -> PujaPopularity:
    items, pujas = len(ids["items"]), len(ids["pujas"])
    by_puja = np.full((pujas, items), 0.01, np.float32)
    by_puja[ids["pujas"].index(PUJA), ids["items"].index(recipe.find)] = recipe.share
    return PujaPopularity.load(
        {
            "overall": by_puja.mean(axis=0),
            "by_parent": by_puja[:0],
            "by_puja": by_puja,
            "bookings": np.full(pujas, 100, np.float32),
        },
        {
            "model": "puja_popularity",
            "n_items": items,
            "params": {"m": 20.0},
            "fields": [["puja", pujas]],
        },
    )


def _tables(ids: dict[str, Ids], usual: PujaPopularity) -> Tables:
    items, pujas, regions = (len(ids[kind]) for kind in ("items", "pujas", "regions"))
    none = np.zeros(0, np.int32)
    return Tables(
        puja_counts=np.rint(usual.by_puja_ * 100).astype(np.int32),
        puja_totals=np.full(pujas, 100, np.int32),
        region_signal=np.full((regions, pujas, items), 0.5, np.float32),
        region_totals=np.zeros((regions, pujas), np.int32),
        pandit_pairs=np.zeros(0, np.int64),
        pandit_totals=none,
        pandit_pointers=np.zeros(1, np.int64),
        pandit_items=none,
        pandit_counts=none,
        together_pointers=np.zeros(items + 1, np.int64),
        together_items=none,
        together_counts=none,
        item_totals=np.full(items, 50, np.int32),
        quantity=np.zeros((pujas, items), np.float32),
        quantity_anywhere=np.zeros(items, np.float32),
        planned_share=np.full(items, 0.05, np.float32),
    )


def _als(ids: dict[str, Ids], kind: str, recipe: Recipe) -> Als:
    random = np.random.default_rng(1)
    params = AlsParams(factors=recipe.factors, iterations=1, engine="numpy")
    return Als.from_factors(
        Factors(
            user=random.standard_normal((len(ids["users"]), recipe.factors), np.float32),
            item=random.standard_normal((len(ids[kind]), recipe.factors), np.float32),
            engine="numpy",
            reg_mode=params.reg_mode,
        ),
        params,
    )


def _habits(ids: dict[str, Ids], recipe: Recipe) -> Habits:
    regions, pujas = len(ids["regions"]), len(ids["pujas"])
    return Habits(
        festival=np.full((1 + regions, pujas), recipe.festival, np.float32),
        month=np.full((1 + regions, pujas, 12), 0.02, np.float32),
        ripe=np.zeros((pujas, HORIZON_DAYS + 1), np.float32),
        lead_days=np.full(pujas, recipe.lead_days, np.float32),
        again_at_festival=np.ones((pujas, MAX_MONTHS + 1), np.float32),
        again_by_month=np.ones((pujas, MAX_MONTHS + 1), np.float32),
        usual_score=np.zeros(pujas, np.float32),
        spread=np.zeros(1, np.float32),
    )


def moment(number: int) -> str:
    """The beginning of a version's name; a larger number is a later one."""
    minutes, seconds = divmod(number, 60)
    return f"20261122T04{minutes:02d}{seconds:02d}Z"


def add(store: ModelStore, number: int = 0, recipe: Recipe | None = None, **manifest: Any) -> str:
    """Put a model among the versions of a store; returns its name."""
    return put(store, a_bundle(recipe or Recipe()), number, **manifest)


def put(
    store: ModelStore, bundle: Bundle, number: int, *, report: str = "", **manifest: Any
) -> str:
    """Write models as a version of a store, with a ``report`` if one is given; returns its name."""
    asked = questions(bundle)
    with store.staging() as writer:
        described = write_bundle(writer, bundle)
        if report:
            writer.text(REPORT, report)
        values: dict[str, Any] = {"metrics": {"ndcg@10": 0.25}, "smoke": asked} | manifest
        writer.finish(
            Manifest(
                schema_version=0,
                version=moment(number),
                created_at="2026-11-22T04:00:00+00:00",
                code_version="0.1.0",
                build=build_name(),
                models=described,
                **values,
            )
        )
        return store.add(writer.folder)


def publish(
    store: ModelStore, number: int = 0, recipe: Recipe | None = None, **manifest: Any
) -> str:
    """Put a model into a store and point to it."""
    version = add(store, number, recipe, **manifest)
    store.publish(version, check=check_answers)
    return version


def point(store: ModelStore, version: str) -> None:
    """Point to a version whatever it is, as no program of ours does."""
    waiting = store.root / "by-hand"
    waiting.write_text(version + "\n")
    waiting.replace(store.pointer)
