"""The model card: what a model is, what it was made of, how well it does, and what it does not do.

After Mitchell et al., "Model cards for model reporting", FAT* 2019. The card is part of the
artifact: ``card.json`` for programs, ``card.md`` for people, of the same content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from recsys.gates import Gate

PURPOSE: Final = (
    "Suggests samagri for a puja that is being booked, orders pandits that can be booked, and says"
    " which puja may come next. A suggestion never takes the place of what a puja requires."
)
LIMITS: Final = (
    "Learns from bookings of this platform alone: what nobody was offered, nobody chose.",
    "Knows nothing of who a person is beyond what they booked; no protected attribute is used.",
    "Scores order things; only calibrated confidences may be compared with a threshold.",
    "Figures are of the kind of model fitted before the test window; what serves was fitted again"
    " on all data with the same parameters.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The content of a card; see `markdown`."""

    version: str
    created_at: str
    trained_by: str
    code_version: str
    engine: str
    libraries: Mapping[str, str]
    seeds: Mapping[str, int]
    window: Mapping[str, Any]
    fingerprint: str
    exclusions: Mapping[str, int]
    models: Mapping[str, Mapping[str, Any]]
    """By slot: kind, parameters, how many trials."""
    metrics: Mapping[str, Mapping[str, Any]]
    baselines: Mapping[str, Mapping[str, Mapping[str, Any]]]
    slices: Mapping[str, Mapping[str, Any]]
    gates: Sequence[Gate]
    compared: Mapping[str, Any] = field(default_factory=dict)
    fairness: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """For ``card.json``."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["gates"] = [gate.as_dict() for gate in self.gates]
        return {"purpose": PURPOSE, "limits": LIMITS, **plain}


def markdown(card: Card) -> str:
    """The card for people."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Card) -> Iterator[str]:
    held = sum(gate.passed for gate in card.gates)
    verdict = "all gates held" if held == len(card.gates) else f"{held} of {len(card.gates)} held"
    yield f"# Model {card.version}"
    yield ""
    yield f"{PURPOSE}"
    yield ""
    yield f"Made {card.created_at} by {card.trained_by or 'an unknown account'}; {verdict}."
    yield ""
    yield "## Data"
    yield ""
    yield from _table(("", ""), ((name, _shown(value)) for name, value in card.window.items()))
    yield ""
    yield f"Fingerprint of the rows: `{card.fingerprint}`."
    if card.exclusions:
        yield ""
        yield "Left out, by reason:"
        yield ""
        yield from _table(("table and reason", "rows"), card.exclusions.items())
    yield ""
    yield "## Models"
    yield ""
    rows = (
        (slot, about["model"], _shown(about["params"]), about.get("trials", ""))
        for slot, about in card.models.items()
    )
    yield from _table(("slot", "kind", "parameters", "trials"), rows)
    yield ""
    yield f"Engine {card.engine}; seeds {_shown(card.seeds)}; code {card.code_version};"
    yield f"{_shown(card.libraries)}."
    yield ""
    yield "## Figures on the test window"
    yield ""
    yield "Means over bookings or users, with 95 % bootstrap intervals."
    yield ""
    yield from _table(
        ("slot", "model", "NDCG@10", "HR@10", "Recall@20", "coverage@10", "novelty"),
        _figures(card),
    )
    blend = card.metrics.get("blend")
    if blend is not None:
        yield ""
        yield "## Calibration of the blend"
        yield ""
        error = _number(blend["ece"])
        yield f"Expected calibration error {error} over {blend['bookings']} bookings;"
        yield f"of {blend['shown']} suggestions at or above the threshold the share"
        yield f"{_shown(blend['keep_rate'])} was kept."
        yield ""
        yield from _table(
            ("confidence", "kept", "items"),
            ((f"{p:.3f}", f"{o:.3f}", n) for p, o, n in zip(*blend["reliability"], strict=True)),
        )
    habits = card.metrics.get("habits")
    if habits is not None:
        yield ""
        yield "## The next puja"
        yield ""
        yield "How often one of three proposals was what the family booked that day, over"
        yield f"{habits['bookings']} bookings: {_shown(habits['hr@3'])}."
        yield ""
        yield from _table(
            ("instead", "HR@3", "the model above it by"),
            (
                (name, _shown(of), _shown(habits["above"][name]))
                for name, of in habits["others"].items()
            ),
        )
    if card.slices:
        yield ""
        yield "## Segments"
        yield ""
        yield from _table(
            ("segment", "questions", "NDCG@10", "reference"),
            (
                (name, each["rows"], f"{each['value']:.4f}", f"{each['reference']:.4f}")
                for name, each in card.slices.items()
            ),
        )
    if card.compared:
        yield ""
        yield "## Against the model that served"
        yield ""
        yield from _table(("", ""), ((key, _shown(value)) for key, value in card.compared.items()))
    if card.fairness:
        yield ""
        yield "## Exposure of pandits"
        yield ""
        yield from _table(("", ""), ((key, _shown(value)) for key, value in card.fairness.items()))
    yield ""
    yield "## Gates"
    yield ""
    yield from _table(
        ("gate", "held", "finding"),
        ((gate.name, _held(gate), gate.reason) for gate in card.gates),
    )
    yield ""
    yield "## Limits"
    yield ""
    for line in (*LIMITS, *card.notes):
        yield f"- {line}"


def _held(gate: Gate) -> str:
    if gate.left_out:
        return "left out"
    return "yes" if gate.passed else "**no**"


def _figures(card: Card) -> Iterator[tuple[str, ...]]:
    for slot, figures in card.metrics.items():
        if slot not in card.models:
            continue
        named = {str(card.models[slot]["model"]): figures, **card.baselines.get(slot, {})}
        for name, each in named.items():
            mean, low, high = (_number(bound) for bound in each["ndcg@10"])
            yield (
                slot,
                name,
                f"{mean} [{low}, {high}]",
                _number(each["hr@10"]),
                _number(each["recall@20"]),
                _number(each["coverage@10"], 2),
                _number(each["novelty@10"], 2),
            )


def _table(head: Sequence[str], rows: Any) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"


def _number(value: float | None, digits: int = 4) -> str:
    """A figure; a dash where there was nothing to measure, which a manifest has as null."""
    return "–" if value is None else f"{value:.{digits}f}"


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(each) for each in value) + "]"
    return str(value)
