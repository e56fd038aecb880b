"""The model card is written whatever could be measured."""

from __future__ import annotations

from typing import Any

import msgspec

from recsys.card import Card, markdown
from recsys.gates import Gate

NOTHING = [float("nan")] * 3


def a_card(metrics: dict[str, Any]) -> Card:
    """A card of these figures, as the manifest has them."""
    plain = msgspec.json.decode(msgspec.json.encode(metrics))
    return Card(
        version="20260401T031500Z",
        created_at="2026-04-01T03:15:00+00:00",
        trained_by="tests",
        code_version="1",
        engine="numpy",
        libraries={},
        seeds={"run": 7},
        window={"bookings": 9},
        fingerprint="f",
        exclusions={},
        models={"pandit": {"model": "als", "params": {"factors": 8}}},
        metrics=plain,
        baselines={"pandit": {"popularity": plain["pandit"]}},
        slices={},
        gates=[Gate("quality.baseline.pandit", True, float("nan"), 0.0, "left out", left_out=True)],
    )


def figures(ndcg: list[float], other: float) -> dict[str, Any]:
    return {
        "ndcg@10": ndcg,
        "hr@10": other,
        "recall@20": other,
        "coverage@10": 0.25,
        "novelty@10": 3.0,
    }


def test_figures_stand_beside_those_of_the_baselines() -> None:
    text = markdown(a_card({"pandit": figures([0.5, 0.4, 0.6], 0.7)}))
    row = "| 0.5000 [0.4000, 0.6000] | 0.7000 | 0.7000 | 0.25 | 3.00 |"
    assert f"| pandit | als {row}" in text
    assert f"| pandit | popularity {row}" in text


def test_what_could_not_be_measured_is_a_dash() -> None:
    habits: dict[str, Any] = {"bookings": 0, "hr@3": NOTHING, "others": {}, "above": {}}
    blend = {
        "ece": float("nan"),
        "bookings": 0,
        "shown": 0,
        "keep_rate": NOTHING,
        "reliability": [[], [], []],
    }
    metrics = {"pandit": figures(NOTHING, float("nan")), "habits": habits, "blend": blend}
    text = markdown(a_card(metrics))
    assert "| pandit | als | – [–, –] | – | – | 0.25 | 3.00 |" in text
    assert "Expected calibration error – over 0 bookings" in text
    assert "0 bookings: [–, –, –]." in text
    assert "None" not in text
