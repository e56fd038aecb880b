from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsys.data import DAY_MS, Dataset, build
from recsys.matrix import baskets, decay, implicit_values, sum_cells, users_by
from tests.unit.recsys.rows import matrix_of

NOW = 1_800_000_000_000


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: [row.get(key) for row in rows] for key in keys}


def data_of(
    events: list[dict[str, Any]] | None = None,
    lines: list[dict[str, Any]] | None = None,
    bookings: list[dict[str, Any]] | None = None,
) -> Dataset:
    common = {"booking_id": "b", "user_id": "u", "puja_id": "p", "ts": NOW - DAY_MS}
    return build(
        {
            "bookings": columns(bookings or [common]),
            "lines": columns(lines or []),
            "events": columns([{"user_id": "u", "ts": NOW - 1, **each} for each in events or []]),
        },
        now_ms=NOW,
    )


def strength(*events: dict[str, Any], target: Any = "item") -> float:
    found = users_by(data_of(list(events)), target, now_ms=NOW).matrix.toarray()
    return float(found.sum())


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("samagri_purchased", 4.0),
        ("samagri_added", 2.0),
        ("item_viewed", 0.3),
        ("samagri_removed", -1.0),
        ("item_dismissed", 0.0),
    ],
)
def test_what_each_kind_adds_for_an_item(kind: str, expected: float) -> None:
    assert strength({"kind": kind, "item_id": "i"}) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("stars", "expected"), [(5, 3.0), (4, 1.5), (3, 0.0), (2, -1.0), (1, -1.0)]
)
def test_ratings_of_a_pandit_are_bounded_below(stars: int, expected: float) -> None:
    event = {"kind": "rating", "pandit_id": "x", "rating": stars}
    assert strength(event, target="pandit") == pytest.approx(expected, abs=1e-5)


def test_a_rating_takes_from_what_there_was() -> None:
    booked = {"kind": "booking_completed", "pandit_id": "x", "puja_id": "p"}
    rated = {"kind": "rating", "pandit_id": "x", "rating": 2}
    assert strength(booked, rated, target="pandit") == pytest.approx(2.0, abs=1e-5)
    assert strength(booked, rated, target="puja") == pytest.approx(4.0, abs=1e-5)


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ({"kind": "rating", "rating": 3}, 4.0),
        ({"kind": "item_dismissed"}, 4.0),
        ({"kind": "rating", "rating": 1}, 0.0),
        ({"kind": "rating", "rating": 1, "item_id": "other"}, 4.0 + 3.0 - 1.0),
        ({"kind": "rating", "rating": 1, "ts": NOW}, 4.0 + 3.0),
    ],
)
def test_the_newest_opinion_of_an_item_holds(later: dict[str, Any], expected: float) -> None:
    bought = {"kind": "samagri_purchased", "item_id": "i", "ts": NOW - 900}
    liked = {"kind": "rating", "rating": 5, "item_id": "i", "ts": NOW - 1000}
    found = strength(bought, liked, {"item_id": "i", "ts": NOW - 500, **later})
    assert found == pytest.approx(expected, abs=1e-4)


def test_what_was_recommended_proves_less_and_what_a_rule_added_nothing() -> None:
    bought = {"kind": "samagri_purchased", "item_id": "i"}
    assert strength({**bought, "source": "rec"}) == pytest.approx(2.8, abs=1e-5)
    assert strength({**bought, "source": "rule"}) == 0


def test_three_views_a_day_count() -> None:
    views = [{"kind": "item_viewed", "item_id": "i", "ts": NOW - 1 - step} for step in range(5)]
    yesterday = {"kind": "item_viewed", "item_id": "i", "ts": NOW - DAY_MS}
    assert strength(*views) == pytest.approx(0.9, abs=1e-3)
    assert strength(*views, yesterday) == pytest.approx(0.9 + 0.3 * 0.5 ** (1 / 120), abs=1e-3)


def test_an_addition_that_was_taken_back_leaves_the_removal_alone() -> None:
    added = {"kind": "samagri_added", "item_id": "i", "booking_id": "b", "ts": NOW - 1000}
    removed = {"kind": "samagri_removed", "item_id": "i", "booking_id": "b", "ts": NOW - 500}
    assert strength(added, removed) == pytest.approx(-1.0, abs=1e-5)
    back_again = {**added, "ts": NOW - 100}
    assert strength(added, removed, back_again) == pytest.approx(1.0, abs=1e-5)


def test_after_the_half_life_half_is_left() -> None:
    event = {"kind": "samagri_purchased", "item_id": "i", "ts": NOW - 180 * DAY_MS}
    assert strength(event) == pytest.approx(2.0)
    booked = {"kind": "booking_completed", "puja_id": "p", "ts": NOW - 365 * DAY_MS}
    assert strength(booked, target="puja") == pytest.approx(2.0)
    assert decay(np.array([0.0, 10.0, 20.0]), 10.0).tolist() == [1.0, 0.5, 0.25]


def test_a_strength_is_at_most_twenty_and_quantity_does_not_enter() -> None:
    bought = {"kind": "samagri_purchased", "item_id": "i", "quantity": 500}
    assert strength(bought) == pytest.approx(4.0)
    assert strength(*[bought] * 9) == 20.0


def test_events_from_after_the_window_are_not_seen() -> None:
    data = data_of([{"kind": "samagri_purchased", "item_id": "i", "ts": NOW - 5}])
    assert users_by(data, "item", now_ms=NOW - 5).matrix.nnz == 0
    assert users_by(data, "item", now_ms=NOW - 4).matrix.nnz == 1


def test_a_basket_holds_what_was_chosen_and_kept() -> None:
    lines: list[dict[str, Any]] = [
        {"booking_id": "b", "item_id": "chosen"},
        {"booking_id": "b", "item_id": "dropped", "kept": False},
        {"booking_id": "b", "item_id": "shown", "source": "rec"},
        {"booking_id": "b", "item_id": "ruled", "source": "rule", "tier": "required"},
        {"booking_id": "b", "item_id": "usual", "source": "rule", "tier": "optional"},
    ]
    data = data_of(lines=lines)
    found = baskets(data, now_ms=NOW).data
    cells = dict(zip(data.items.ids, found.matrix.toarray()[0].tolist(), strict=True))
    shown = pytest.approx(0.7)
    assert cells == {"chosen": 1, "dropped": 0, "shown": shown, "ruled": 0, "usual": shown}
    assert found.given is not None
    given = dict(zip(data.items.ids, found.given.toarray()[0].tolist(), strict=True))
    assert given == {"chosen": 0, "dropped": 0, "shown": 0, "ruled": 1, "usual": 0}
    assert set(found.row(0).given[found.row(0).weights == 0]) == {data.items.index("ruled")}


def test_rows_of_baskets_are_weighted_by_age_and_state() -> None:
    ages = {"a": 0, "b": 365, "c": 0, "d": 0}
    state = {"a": "completed", "b": "completed", "c": "created", "d": "cancelled"}
    data = data_of(
        bookings=[
            {
                "booking_id": name,
                "user_id": "u",
                "puja_id": "p",
                "region": "east" if name == "a" else None,
                "ts": NOW - days * DAY_MS,
                "status": state[name],
            }
            for name, days in ages.items()
        ],
        lines=[{"booking_id": name, "item_id": "i"} for name in ages],
    )
    found = baskets(data, now_ms=NOW)
    assert data.booking_ids.decode(found.booking) == ["b", "a", "c"]
    assert found.data.row_weights is not None
    assert found.data.row_weights.tolist() == pytest.approx([0.5, 1.0, 0.5])
    assert found.data.fields[0].name == "puja"
    assert found.data.context_of(1)["region"] == 0
    assert "region" not in found.data.context_of(0)


def test_sums_do_not_depend_on_the_order_of_rows() -> None:
    random = np.random.default_rng(4)
    rows, columns_ = random.integers(0, 5, 300), random.integers(0, 4, 300)
    values = random.random(300)
    first = sum_cells(rows, columns_, values, (5, 4))
    shuffle = random.permutation(300)
    second = sum_cells(rows[shuffle], columns_[shuffle], values[shuffle], (5, 4))
    assert first.data.tobytes() == second.data.tobytes()
    assert first.indices.tobytes() == second.indices.tobytes()


def test_strengths_become_the_confidence_that_implicit_wants() -> None:
    found = implicit_values(matrix_of([[0.3, 0, 4], [-2, 0, 0]]), 2.0)
    expected = np.array([[1.6, 0, 9], [-5, 0, 0]], np.float32)
    np.testing.assert_array_equal(found.toarray(), expected)
