"""The models by name, as configurations and artifacts call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from recsys.models.als import Als
from recsys.models.association import Association
from recsys.models.base import Arrays, BadModelData, Json, Model
from recsys.models.ease import Ease
from recsys.models.item_knn import ItemKnn
from recsys.models.popularity import Popularity
from recsys.models.puja_popularity import PujaPopularity
from recsys.models.rp3beta import Rp3Beta

MODELS: Final[Mapping[str, type[Model[Any]]]] = {
    each.name: each
    for each in (Popularity, PujaPopularity, ItemKnn, Rp3Beta, Association, Als, Ease)
}


def create(name: str, params: Mapping[str, Any] | None = None) -> Model[Any]:
    """A model that is not fitted yet, with these parameters over its defaults.

    Raises
    ------
    ValueError
        If there is no such model, or it has no such parameter.
    """
    if name not in MODELS:
        raise ValueError(f"there is no model {name}; there are {', '.join(MODELS)}")
    kind = MODELS[name]
    try:
        return kind(kind.params_type(**(params or {})))
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


def load(arrays: Arrays, params: Json) -> Model[Any]:
    """The model that ``save`` gave these arrays and parameters of.

    Raises
    ------
    BadModelData
        If they do not belong to one of the models.
    """
    name = params.get("model")
    if not isinstance(name, str) or name not in MODELS:
        raise BadModelData(f"there is no model {name!r}")
    return MODELS[name].load(arrays, params)
