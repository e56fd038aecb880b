"""Tables of a blend are taken only if everything in them can be looked up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.artifact import ArtifactError
from recsys.bundle import BLEND, Bundle, knowledge_of
from recsys.models.base import Saved
from recsys.signals import Knowledge
from tests.serving_models import Recipe, a_bundle

BUNDLE: Bundle = a_bundle(Recipe())
N_ITEMS, N_PUJAS = len(BUNDLE.ids["items"]), len(BUNDLE.ids["pujas"])


def a_knowledge() -> Knowledge:
    """With two pandits who held two pujas, and two items that are kept together."""
    knowledge = knowledge_of(BUNDLE)
    assert knowledge is not None
    pointers = np.zeros(N_ITEMS + 1, np.int64)
    pointers[3:] = 1
    pointers[5:] = 2
    tables = replace(
        knowledge.tables,
        pandit_pairs=np.array([1, N_PUJAS + 2], np.int64),
        pandit_totals=np.array([5, 6], np.int32),
        pandit_pointers=np.array([0, 2, 3], np.int64),
        pandit_items=np.array([4, 7, 2], np.int32),
        pandit_counts=np.array([5, 1, 6], np.int32),
        together_pointers=pointers,
        together_items=np.array([4, 2], np.int32),
        together_counts=np.array([11, 11], np.int32),
    )
    return replace(knowledge, tables=tables)


def restored(changes: dict[str, NDArray[Any]], without: str = "") -> Knowledge:
    saved = a_knowledge().saved()
    changed = Saved({**saved.arrays, **changes}, saved.params)
    ids = {kind: each for kind, each in BUNDLE.ids.items() if kind != without}
    return Knowledge.restored(changed, BUNDLE.models, ids)


def test_sound_tables_come_back() -> None:
    tables = restored({}).tables
    assert tables.pandit_row(1, 2) is not None
    assert tables.together(2, 4) == 11
    assert tables.beside(2, np.array([0, 2, 4, 5], np.int32)).tolist() == [0, 0, 11, 0]
    assert tables.beside(3, np.array([2, 4], np.int32)).tolist() == [0, 0]
    assert tables.beside(2, np.zeros(0, np.int32)).tolist() == []


@pytest.mark.parametrize("name", sorted(set(a_knowledge().saved().arrays)))
def test_a_table_that_is_one_short_is_refused(name: str) -> None:
    array = a_knowledge().saved().arrays[name]
    with pytest.raises(ValueError, match=r"pandit|together|" + name):
        restored({name: array[..., :-1]})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("pandit_pointers", [1, 2, 3]),
        ("pandit_pointers", [0, 2, 2]),
        ("pandit_pointers", [0, 4, 3]),
        ("pandit_items", [4, 7, N_ITEMS]),
        ("pandit_items", [4, -1, 2]),
        ("pandit_items", [7, 4, 2]),
        ("pandit_pairs", [9, 3]),
        ("pandit_pairs", [3, 3]),
        ("pandit_pairs", [0, 2 * N_PUJAS]),
        ("pandit_counts", [6, 1, 6]),
        ("pandit_totals", [-5, 6]),
        ("together_items", [4, N_ITEMS]),
        ("together_counts", [11, 51]),
    ],
)
def test_what_points_beyond_its_table_is_refused(name: str, values: list[int]) -> None:
    of = a_knowledge().saved().arrays[name]
    with pytest.raises(ValueError, match=r"pandit_|together_|more bookings"):
        restored({name: np.array(values, of.dtype)})


def test_numbers_of_another_kind_are_refused() -> None:
    items = a_knowledge().saved().arrays["pandit_items"]
    with pytest.raises(ValueError, match="pandit_items is float32"):
        restored({"pandit_items": items.astype(np.float32)})


@pytest.mark.parametrize("kind", ["items", "pujas", "pandits", "regions", "categories"])
def test_ids_that_an_answer_needs_have_to_be_there(kind: str) -> None:
    with pytest.raises(ValueError, match=kind):
        restored({}, without=kind)


def test_a_weight_that_is_no_number_is_refused() -> None:
    saved = a_knowledge().saved()
    weights = {stage: {**each, "bias": "nan"} for stage, each in saved.params["weights"].items()}
    spoilt = Saved(saved.arrays, {**saved.params, "weights": weights})
    bundle = replace(BUNDLE, parts={**BUNDLE.parts, BLEND: spoilt})
    with pytest.raises(ArtifactError, match="not finite"):
        knowledge_of(bundle)
