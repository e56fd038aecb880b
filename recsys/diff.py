"""``python -m recsys.diff V1 [V2]``: what another version would answer otherwise, and its figures.

Both versions are asked the same questions: by slot up to two hundred, spread over what both know.
Told are how much of the top ten changed, ids that came or went, parameters, gates, and every
figure of the manifests that differs. Figures of different test windows are of different questions,
which is said. Without V2 the first is compared with the current version.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from recsys.artifact import ArtifactError, Manifest
from recsys.bundle import SLOTS, Bundle, open_bundle
from recsys.commands import guarded, say, store_parser
from recsys.store import ModelStore

TOP: Final = 10
MOST_ASKED: Final = 200
_OF_CUSTOMERS: Final = frozenset({"user_item", "pandit", "puja"})
_INTERVAL: Final = 3


def churn(first: Bundle, second: Bundle, slot: str) -> dict[str, Any] | None:
    """How much of the top ten of a slot changed; None where the two have nothing to be asked.

    Customers are asked about as serving does it, by what they have: one thing that both versions
    know. Baskets are asked about empty and with one item, in the context of a puja.

    Returns
    -------
    dict
        ``questions``; ``churn``, the mean share of the first's ten that are not among the second's;
        ``same_first``, the share of questions with the same first answer; ``most``, the question
        whose list changed most, and by how much.
    """
    if slot not in first.models or slot not in second.models:
        return None
    asked = list(_questions(first, second, slot))
    if not asked:
        return None
    lost, same_first = [], 0
    for given, puja in asked:
        before, after = (_answer(each, slot, given, puja) for each in (first, second))
        lost.append(1 - len(set(before) & set(after)) / len(before) if before else 0.0)
        same_first += before[:1] == after[:1]
    worst = int(np.argmax(lost))
    given, puja = asked[worst]
    return {
        "questions": len(asked),
        "churn": round(float(np.mean(lost)), 4),
        "same_first": round(same_first / len(asked), 4),
        "most": {"given": list(given), "puja": puja, "churn": round(lost[worst], 4)},
    }


def _questions(first: Bundle, second: Bundle, slot: str) -> Iterator[tuple[tuple[str, ...], str]]:
    theirs = second.ids_of(slot)
    shared = [name for name in first.ids_of(slot) if name in theirs]
    if slot in _OF_CUSTOMERS:
        for name in _spread(shared, MOST_ASKED):
            yield (name,), ""
        return
    pujas = [name for name in first.ids["pujas"] if name in second.ids["pujas"]]
    for number, puja in enumerate(_spread(pujas, MOST_ASKED // 2)):
        yield (), puja
        if shared:
            yield (shared[number * 7 % len(shared)],), puja


def _spread(names: Sequence[str], most: int) -> Sequence[str]:
    return names[:: -(-len(names) // most)] if names else names


def _answer(bundle: Bundle, slot: str, given: Sequence[str], puja: str) -> list[str]:
    ids = bundle.ids_of(slot)
    context = bundle.context({"puja": puja}) if puja else {}
    ranking = bundle.models[slot].recommend(ids.encode(given), TOP, context=context)
    return ids.decode(ranking.items.tolist())


def figures(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Every number of a manifest's metrics by its path; of an interval its middle."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            found |= figures(value, f"{path}.")
        elif _is_number(value):
            found[path] = float(value)
        elif _is_interval(value):
            found[path] = float(value[0])
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_interval(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == _INTERVAL
        and all(_is_number(each) for each in value)
        and value[1] <= value[0] <= value[2]
    )


def compare(first: Manifest, second: Manifest) -> dict[str, Any]:
    """What the manifests say otherwise."""
    before, after = figures(first.metrics), figures(second.metrics)
    windows = [each.training_window.get("test_from") for each in (first, second)]
    return {
        "same_data": first.data_fingerprint == second.data_fingerprint,
        "same_test_window": windows[0] == windows[1],
        "params": {
            name: [_params(first, name), _params(second, name)]
            for name in sorted({*first.models, *second.models} & set(SLOTS))
            if _params(first, name) != _params(second, name)
        },
        "gates_failed": [list(first.gates_failed), list(second.gates_failed)],
        "metrics": {
            name: [before.get(name), after.get(name)]
            for name in sorted({*before, *after})
            if before.get(name) != after.get(name)
        },
    }


def _params(manifest: Manifest, slot: str) -> dict[str, Any] | None:
    found = manifest.models.get(slot)
    return None if found is None else {"model": found.get("model"), **found.get("params", {})}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = store_parser("diff", "What another version would answer otherwise.")
    parser.add_argument("first", metavar="V1")
    parser.add_argument("second", metavar="V2", nargs="?", help="default: the current one")
    options = parser.parse_args(arguments)

    def command(store: ModelStore) -> dict[str, Any]:
        name = options.second or store.current()
        if name is None:
            raise ArtifactError("missing", f"nothing is published in {store.root}")
        artifacts = [store.load(each) for each in (options.first, name)]
        first, second = (open_bundle(each) for each in artifacts)
        result = {
            "versions": [options.first, name],
            "slots": {slot: churn(first, second, slot) for slot in SLOTS},
            "ids": {
                kind: _moved(first, second, kind) for kind in sorted({*first.ids, *second.ids})
            },
            **compare(artifacts[0].manifest, artifacts[1].manifest),
        }
        if not options.json:
            say(*_lines(result))
        return result

    return guarded(command, options)


def _moved(first: Bundle, second: Bundle, kind: str) -> dict[str, int]:
    before, after = (set(each.ids.get(kind, ())) for each in (first, second))
    return {"gone": len(before - after), "came": len(after - before), "shared": len(before & after)}


def _lines(result: Mapping[str, Any]) -> list[str]:
    first, second = result["versions"]
    lines = [f"{first} -> {second}", ""]
    for slot, found in result["slots"].items():
        if found is None:
            lines.append(f"{slot:10} not in both")
            continue
        most = found["most"]
        question = " ".join(filter(None, (most["puja"], *most["given"])))
        lines.append(
            f"{slot:10} {found['churn']:6.1%} of the top {TOP} changed, "
            f"{found['same_first']:6.1%} same first, {found['questions']} questions; "
            f"most: {most['churn']:.0%} for {question}"
        )
    for kind, moved in result["ids"].items():
        if moved["gone"] or moved["came"]:
            lines.append(f"{kind:10} {moved['gone']} gone, {moved['came']} came")
    for slot, (before, after) in result["params"].items():
        lines.append(f"{slot:10} {_written(before)} -> {_written(after)}")
    for name, failed in zip(result["versions"], result["gates_failed"], strict=True):
        if failed:
            lines.append(f"gates that {name} failed: {', '.join(failed)}")
    lines.append("")
    if not result["same_test_window"]:
        lines.append("the test windows differ: figures are of different questions")
    lines += [
        f"{name:44} {_figure(before)} -> {_figure(after)}"
        for name, (before, after) in result["metrics"].items()
    ]
    return lines


def _written(params: Mapping[str, Any] | None) -> str:
    if params is None:
        return "none"
    rest = ", ".join(f"{name}={value}" for name, value in params.items() if name != "model")
    return f"{params['model']}({rest})"


def _figure(value: float | None) -> str:
    return f"{'-':>10}" if value is None else f"{value:10.4g}"


if __name__ == "__main__":
    sys.exit(main())
