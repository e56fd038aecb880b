"""Small models that a test server can take up, and ways to spoil them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.small_models import (
    FIND,
    PUJA,
    Recipe,
    a_bundle,
    add,
    point,
    publish,
    put,
    the_catalogue,
)
from recsys.artifact import Ids
from recsys.bundle import Bundle
from recsys.store import ModelStore
from tests.model_artifacts import forge, forge_file

__all__ = ["FIND", "PUJA", "Recipe", "a_bundle", "add", "point", "publish", "put", "the_catalogue"]

SHARES = "usual.puja_popularity.by_puja.npy"
QUANTITIES = "part.blend.quantity.npy"
MONTHS = "part.habits.month.npy"


def _truncate(folder: Path) -> None:
    path = folder / SHARES
    path.write_bytes(path.read_bytes()[:-100])


def _flip(folder: Path) -> None:
    path = folder / SHARES
    data = bytearray(path.read_bytes())
    data[-7] ^= 0xFF
    path.write_bytes(data)


def _lose(folder: Path) -> None:
    (folder / SHARES).unlink()


def _poison(folder: Path) -> None:
    """Numbers that are none, with a manifest that agrees with them."""
    array = np.load(folder / SHARES)
    array[0, 0] = np.nan
    forge_file(folder, SHARES, _npy(array))


def _age(folder: Path) -> None:
    forge(folder, schema_version=99)


def _cut_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:200])


def _pickle(folder: Path) -> None:
    """An array of objects: to read it would be to run what it says."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([{"a": 1}], object), allow_pickle=True)
    forge_file(folder, SHARES, stream.getvalue())


def _misremember(folder: Path) -> None:
    """Answers to the stored questions that the model does not give."""
    smoke = json.loads((folder / "manifest.json").read_bytes())["smoke"]
    for case in smoke:
        case["expected"] = ["nothing-known"]
    forge(folder, smoke=smoke)


def _shrink(folder: Path) -> None:
    """A table of the blend with one item less than there are; everything else agrees."""
    array = np.ascontiguousarray(np.load(folder / QUANTITIES)[:, :-1])
    forge_file(folder, QUANTITIES, _npy(array), shape=list(array.shape))


def shorten_year(folder: Path) -> None:
    """Habits of families of a year with eleven months."""
    array = np.ascontiguousarray(np.load(folder / MONTHS)[:, :, :-1])
    forge_file(folder, MONTHS, _npy(array), shape=list(array.shape))


def tangle(folder: Path) -> None:
    """Factors of pandits from which no customer can be folded in; no stored question tells."""
    item = np.zeros_like(np.load(folder / "pandit.als.item.npy"))
    forge_file(folder, "pandit.als.item.npy", _npy(item))
    params = json.loads((folder / "manifest.json").read_bytes())["models"]["pandit"]["params"]
    gram = -params["regularization"] * np.eye(item.shape[1])
    forge_file(folder, "pandit.als.gram.npy", _npy(gram))
    forge(folder, smoke=[])


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0))
    return stream.getvalue()


SPOILS: dict[str, Callable[[Path], None]] = {
    "size": _truncate,
    "hash": _flip,
    "missing": _lose,
    "finite": _poison,
    "schema": _age,
    "manifest": _cut_manifest,
    "dtype": _pickle,
    "smoke": _misremember,
    "shape": _shrink,
}
"""Ways to spoil a version's folder, by the code with which it is refused then."""


def spoil(store: ModelStore, version: str, code: str) -> None:
    """Damage a version that lies in the store."""
    SPOILS[code](store.folder(version))


def foreign(store: ModelStore, number: int) -> str:
    """Add a sound model of another shop: a tenth of its items are unknown here."""
    bundle = a_bundle(Recipe())
    items = [
        f"foreign-{place}" if place % 10 == 0 else name
        for place, name in enumerate(bundle.ids["items"])
    ]
    strange = Bundle("", {**bundle.ids, "items": Ids(items)}, bundle.models, bundle.parts)
    return put(store, strange, number)
