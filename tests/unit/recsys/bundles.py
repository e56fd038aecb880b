"""Small bundles of fitted models, and how they come into a store."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from recsys.artifact import Ids
from recsys.bundle import Bundle, build_name, questions, write_bundle
from recsys.engine import AlsParams
from recsys.models.als import Als
from recsys.models.base import Field, Interactions, Saved
from recsys.models.ease import Ease, EaseParams
from recsys.store import ModelStore
from tests.model_artifacts import a_manifest

N_ITEMS, N_USERS, N_PUJAS = 12, 9, 3


def names(kind: str, count: int) -> Ids:
    return Ids([f"{kind}-{number:02d}" for number in range(count)])


def a_bundle(seed: int = 0) -> Bundle:
    random = np.random.default_rng(seed)
    cells = (random.random((40, N_ITEMS)) < 0.4).astype(np.float32)
    context = random.integers(0, N_PUJAS, (40, 1)).astype(np.int32)
    baskets = Interactions(csr_array(cells), (Field("puja", N_PUJAS),), context)
    users = Interactions(csr_array((random.random((N_USERS, 5)) < 0.5).astype(np.float32)))
    als = Als(AlsParams(factors=3, iterations=3, engine="numpy"))
    return Bundle(
        version="",
        ids={
            "items": names("item", N_ITEMS),
            "users": names("user", N_USERS),
            "pujas": names("puja", N_PUJAS),
            "pandits": names("pandit", 5),
        },
        models={"samagri": Ease(EaseParams(lam=2.0)).fit(baskets), "pandit": als.fit(users)},
        parts={"extra": Saved({"weights": np.array([1.0, 2.0])}, {"threshold": 0.6})},
        documents={"names": {"item-00": ["Kalash", "कलश"]}},
    )


def put(store: ModelStore, bundle: Bundle, moment: str, **manifest: Any) -> str:
    asked = questions(bundle)
    with store.staging() as writer:
        described = write_bundle(writer, bundle)
        values = {"smoke": asked, "models": described, "build": build_name()} | manifest
        writer.finish(a_manifest(moment, **values))
        return store.add(writer.folder)
