"""The models of one artifact, ready to be asked: what a server holds, and swaps as one.

A bundle has *slots*. A slot is one model for one question, over the ids of one kind:

========== ================= ==========================================================
slot       ids               question
========== ================= ==========================================================
samagri    items             what else goes with this basket, in this context
usual      items             what is usual for this puja
popular    items             what is usual at all
user_item  items             what does this customer like
pandit     pandits           which pandit suits this customer
puja       pujas             which puja comes next for this customer
========== ================= ==========================================================

Beside the models an artifact may hold *parts* (calibrations, weights of the blend, tables), which
are named arrays and parameters too, and are read by whoever wrote them.

Reading is pure: no clock, no loop, no global state. It may run in any thread.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import scipy

from recsys import registry
from recsys.artifact import Artifact, ArtifactError, ArtifactWriter, Ids, SmokeCase, check_smoke
from recsys.calibration import Calibration
from recsys.models.base import BadModelData, Model, Saved
from recsys.next_puja import Habits
from recsys.pandits import Records
from recsys.signals import Knowledge

SLOTS: Final[Mapping[str, str]] = {
    "samagri": "items",
    "usual": "items",
    "popular": "items",
    "user_item": "items",
    "pandit": "pandits",
    "puja": "pujas",
}
FIELDS: Final[Mapping[str, str]] = {
    "puja": "pujas",
    "puja_category": "categories",
    "region": "regions",
    "pandit": "pandits",
}
"""The id map that each field of a context is numbered by; others are numbers as they are."""
SMOKE_K: Final = 5
_OF_CUSTOMERS: Final = frozenset({"user_item", "pandit", "puja"})
UNSERVED_IDS: Final = frozenset({"users"})
"""Id maps that no answer needs: a customer is known by what he has."""
BLEND: Final = "blend"
"""The part that holds what the blend was taught."""
HABITS: Final = "habits"
"""The part that holds the habits of families, for the next puja."""
PANDITS: Final = "pandits"
"""The part that holds the records of pandits."""
CALIBRATIONS: Final = "calibrations"
"""The part that holds the calibrations of single slots."""
_PART: Final = "part"
# What the axes and the integers of a model's arrays belong to; "=" stands for the slot's own ids.
_AXES: Final[Mapping[tuple[str, str], Mapping[str, str]]] = {
    ("als", "user"): {"rows": "users"},
    ("als", "item"): {"rows": "="},
    ("ease", "weights"): {"columns": "="},
    ("item_knn", "indices"): {"about": "="},
    ("rp3beta", "indices"): {"about": "="},
    ("association", "indices"): {"about": "="},
}


def build_name() -> str:
    """What has to be equal for answers to be equal to the last digit."""
    version = importlib.metadata.version("pandityatra")
    return f"{version} numpy {np.__version__} scipy {scipy.__version__} {platform.machine()}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Models and parts of one version. Immutable; requests may share it between threads.

    Attributes
    ----------
    version
        The version's identifier; empty while it is being trained.
    ids
        The id maps, by kind.
    models
        By slot; a slot that was not trained is missing.
    parts
        Arrays and parameters by name.
    documents
        JSON files by name.
    """

    version: str
    ids: Mapping[str, Ids]
    models: Mapping[str, Model[Any]]
    parts: Mapping[str, Saved] = field(default_factory=dict)
    documents: Mapping[str, Any] = field(default_factory=dict)

    def ids_of(self, slot: str) -> Ids:
        """The ids that a slot's indexes stand for."""
        return self.ids[SLOTS[slot]]

    def context(self, values: Mapping[str, Any]) -> dict[str, int]:
        """A context with indexes, as the models want it, of one with ids.

        What the models have never seen is left out: they take it for unknown.

        Parameters
        ----------
        values
            By field: ``puja``, ``puja_category``, ``region``, ``pandit`` are ids, ``month`` is 0
            to 11.
        """
        found: dict[str, int] = {}
        for name, value in values.items():
            kind = FIELDS.get(name)
            if kind is None:
                found[name] = int(value)
            elif kind in self.ids and value in self.ids[kind]:
                found[name] = self.ids[kind].index(value)
        return found

    def answer(self, case: SmokeCase) -> list[str]:
        """Answer a stored question: ids, best first.

        Its query has ``given`` (ids of the slot) and ``context``: customers too are asked about by
        what they have, as serving does it, so the names of those of the training are not needed.

        Raises
        ------
        ArtifactError
            When the question is none that these models can be asked.
        """
        slot, query = case.kind, case.query
        if slot not in self.models:
            raise ArtifactError("smoke", f"there is no model for {slot}")
        ids, names = self.ids_of(slot), query.get("given", ())
        given = ids.encode(names)
        if len(given) < len(names):
            raise ArtifactError("smoke", f"{slot} is asked about what it does not know")
        context = self.context(query.get("context", {}))
        ranking = self.models[slot].recommend(given, SMOKE_K, context=context)
        return ids.decode(ranking.items.tolist())


def open_bundle(artifact: Artifact) -> Bundle:
    """Make the models of a checked artifact; arrays stay mapped.

    Raises
    ------
    ArtifactError
        When the arrays of a model do not belong together.
    """
    models: dict[str, Model[Any]] = {}
    parts: dict[str, Saved] = {}
    for name, params in artifact.manifest.models.items():
        if name in SLOTS:
            models[name] = _model(artifact, name, params)
        else:
            parts[name] = Saved(artifact.part(f"{_PART}.{name}"), dict(params))
    return Bundle(artifact.version, artifact.ids, models, parts, artifact.documents)


def _model(artifact: Artifact, slot: str, params: Mapping[str, Any]) -> Model[Any]:
    try:
        model = registry.load(artifact.part(f"{slot}.{params.get('model')}"), params)
    except (BadModelData, ValueError) as error:
        raise ArtifactError("shape", f"{slot}: {error}") from error
    ids = artifact.ids.get(SLOTS[slot])
    if ids is None or len(ids) != model.n_items:
        known = 0 if ids is None else len(ids)
        raise ArtifactError("ids", f"{slot}: {model.n_items} items, but {known} {SLOTS[slot]}")
    for each in model.fields:
        kind = FIELDS.get(each.name)
        if kind is not None and len(artifact.ids.get(kind, ())) != each.size:
            raise ArtifactError(
                "ids", f"{slot}: {each.size} values of {each.name}, not as many ids"
            )
    return model


def check_answers(artifact: Artifact) -> None:
    """Open the models and ask the stored questions.

    Raises
    ------
    ArtifactError
        When the models do not open or answer otherwise than they did; see `check_smoke`.
    """
    bundle = open_bundle(artifact)
    knowledge_of(bundle)
    habits_of(bundle)
    records_of(bundle)
    for slot in bundle.models:
        calibration_of(bundle, slot)
    check_smoke(artifact.manifest, bundle.answer, build=build_name())


def knowledge_of(bundle: Bundle) -> Knowledge | None:
    """What the blend of samagri was taught; None in a bundle without it.

    Raises
    ------
    ArtifactError
        When it does not fit the models that it lies beside.
    """
    saved = bundle.parts.get(BLEND)
    if saved is None:
        return None
    try:
        return Knowledge.restored(saved, bundle.models, bundle.ids)
    except ValueError as error:
        raise ArtifactError("shape", f"{BLEND}: {error}") from error


def habits_of(bundle: Bundle) -> Habits | None:
    """The habits of families; None in a bundle without them.

    Raises
    ------
    ArtifactError
        When they are of other pujas or regions.
    """
    saved = bundle.parts.get(HABITS)
    if saved is None:
        return None
    try:
        return Habits.restored(saved, len(bundle.ids["pujas"]), len(bundle.ids["regions"]))
    except KeyError as error:
        raise ArtifactError("ids", f"{HABITS}: there is no id map of {error}") from error
    except ValueError as error:
        raise ArtifactError("shape", f"{HABITS}: {error}") from error


def records_of(bundle: Bundle) -> Records | None:
    """The records of pandits; None in a bundle without them.

    Raises
    ------
    ArtifactError
        When they are of other pandits or pujas.
    """
    saved = bundle.parts.get(PANDITS)
    if saved is None:
        return None
    try:
        return Records.restored(saved, len(bundle.ids["pandits"]), len(bundle.ids["pujas"]))
    except KeyError as error:
        raise ArtifactError("ids", f"{PANDITS}: there is no id map of {error}") from error
    except ValueError as error:
        raise ArtifactError("shape", f"{PANDITS}: {error}") from error


def calibration_of(bundle: Bundle, slot: str) -> Calibration | None:
    """From raw score to probability, for the slots of customers; None where there is none.

    Raises
    ------
    ArtifactError
        When it is no monotone map into 0..1.
    """
    saved = bundle.parts.get(CALIBRATIONS)
    if saved is None or slot not in saved.params.get("slots", ()):
        return None
    try:
        return Calibration.restored(saved.arrays, slot)
    except (KeyError, ValueError) as error:
        raise ArtifactError("shape", f"the calibration of {slot}: {error}") from error


# --- writing --------------------------------------------------------------------------------------


def write_bundle(writer: ArtifactWriter, bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Write ids, models, parts and documents; returns what the manifest says of the models."""
    described: dict[str, dict[str, Any]] = {}
    for kind in sorted(bundle.ids):
        writer.ids(kind, bundle.ids[kind].ids)
    for slot in sorted(bundle.models):
        model = bundle.models[slot]
        saved = model.save()
        for name in sorted(saved.arrays):
            axes = {
                axis: SLOTS[slot] if kind == "=" else kind
                for axis, kind in _AXES.get((model.name, name), {}).items()
            }
            writer.array(f"{slot}.{model.name}.{name}", saved.arrays[name], **axes)
        described[slot] = saved.params
    for name in sorted(bundle.parts):
        if name in SLOTS:
            raise ValueError(f"{name} is the slot of a model")
        writer.arrays(f"{_PART}.{name}", bundle.parts[name].arrays)
        described[name] = dict(bundle.parts[name].params)
    for name in sorted(bundle.documents):
        writer.document(name, bundle.documents[name])
    return described


def questions(bundle: Bundle, *, customers: int = 20, pujas: int = 5) -> tuple[SmokeCase, ...]:
    """Questions spread over items and pujas, with the answers that these models give now."""
    asked: list[SmokeCase] = []
    for slot in sorted(bundle.models):
        names = bundle.ids_of(slot).ids
        queries: list[dict[str, Any]]
        if slot in _OF_CUSTOMERS:
            queries = [{"given": [name]} for name in _spread(names, customers)]
        else:
            queries = [
                {"given": list(_spread(names, number + 1)), "context": {"puja": puja}}
                for number, puja in enumerate(_spread(bundle.ids["pujas"].ids, pujas))
            ]
        for query in queries:
            case = SmokeCase(kind=slot, query=query, expected=())
            asked.append(SmokeCase(kind=slot, query=query, expected=tuple(bundle.answer(case))))
    return tuple(asked)


def _spread(names: Sequence[str], count: int) -> Sequence[str]:
    """Up to ``count`` names at equal distances."""
    step = max(len(names) // max(count, 1), 1)
    return names[::step][:count]
