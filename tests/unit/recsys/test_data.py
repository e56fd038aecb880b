from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys import sources
from recsys.data import REQUIRED_COLUMNS, BadData, IdMap, Status, build, to_ms

NOW = 1_800_000_000_000
BOOKINGS: dict[str, list[Any]] = {
    "booking_id": ["b2", "b1"],
    "user_id": ["u2", "u1"],
    "puja_id": ["p", "p"],
    "ts": [NOW - 2000, NOW - 1000],
    "held_ts": ["2026-03-14T05:00:00+00:00", None],
}


def test_ids_are_sorted_and_unknown_ones_are_minus_one() -> None:
    found = IdMap(["c", "a", "c", "b"])
    assert found.ids == ("a", "b", "c")
    assert found.encode(["b", None, "z"]).tolist() == [1, -1, -1]
    assert found.decode([2, 0]) == ["c", "a"]


def test_rows_stand_at_the_index_of_their_booking() -> None:
    data = build({"bookings": BOOKINGS}, now_ms=NOW)
    assert data.booking_ids.ids == ("b1", "b2")
    assert data.bookings.ts.tolist() == [NOW - 1000, NOW - 2000]
    assert data.bookings.months()[1] == 2
    assert data.bookings.held_ts[0] == NOW - 1000


def test_an_event_makes_nobody_a_pandit_where_pandits_are_listed() -> None:
    events = {
        "user_id": ["u1", "u1"],
        "ts": [NOW - 500, NOW - 400],
        "kind": ["pandit_viewed", "pandit_viewed"],
        "pandit_id": ["ram", "x7800000"],
    }
    bookings = {**BOOKINGS, "pandit_id": ["hari", "ram"]}
    tables: dict[str, Any] = {"bookings": bookings, "events": events}
    listed = build({**tables, "pandits": {"pandit_id": ["ram", "gopal"]}}, now_ms=NOW)
    assert listed.pandits.ids == ("gopal", "hari", "ram")
    assert listed.events.pandit.tolist() == [2, -1]
    assert listed.rejects.share == 0
    assert build(tables, now_ms=NOW).pandits.ids == ("hari", "ram", "x7800000")


def test_the_order_of_rows_does_not_change_the_fingerprint() -> None:
    turned = {name: values[::-1] for name, values in BOOKINGS.items()}
    lines = {"booking_id": ["b1", "b1"], "item_id": ["x", "y"]}
    back = {name: values[::-1] for name, values in lines.items()}
    first = build({"bookings": BOOKINGS, "lines": lines}, now_ms=NOW)
    second = build({"bookings": turned, "lines": back}, now_ms=NOW)
    other = build({"bookings": BOOKINGS, "lines": {**lines, "kept": [True, False]}}, now_ms=NOW)
    assert first.fingerprint() == second.fingerprint()
    assert first.fingerprint() != other.fingerprint()


EVERYTHING: dict[str, dict[str, list[Any]]] = {
    "bookings": BOOKINGS,
    "lines": {"booking_id": ["b1"], "item_id": ["x"], "unit": ["g"]},
    "events": {"user_id": ["u1"], "ts": [NOW - 500], "kind": ["rating"], "language": ["ne"]},
    "items": {"item_id": ["x", "y"], "category": ["flowers", "lamps"]},
    "pujas": {"puja_id": ["p", "q"], "category": ["lamps", "flowers"]},
}


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("items", "category", ["flowers", "flowers"]),
        ("items", "category", ["lamps", "flowers"]),
        ("pujas", "category", ["flowers", "lamps"]),
        ("items", "category", ["flowers", "oils"]),
        ("pujas", "repeatable", [True, False]),
        ("lines", "unit", ["ml"]),
        ("events", "language", ["en"]),
    ],
    ids=["item_moves", "items_swap", "pujas_swap", "category", "repeats", "unit", "language"],
)
def test_what_is_known_of_ids_and_units_and_languages_are_in_the_fingerprint(
    table: str, column: str, values: list[str]
) -> None:
    changed = {**EVERYTHING, table: {**EVERYTHING[table], column: values}}
    first, second = (build(tables, now_ms=NOW) for tables in (EVERYTHING, changed))
    assert first.fingerprint() != second.fingerprint()
    assert first.fingerprint() == build(EVERYTHING, now_ms=NOW).fingerprint()


def test_a_table_of_bad_bookings_alone_is_refused_and_says_why() -> None:
    with pytest.raises(BadData, match=r"no booking can be used: ts is in the future \(2\)"):
        build({"bookings": BOOKINGS}, now_ms=NOW - 10**9)


@pytest.mark.parametrize("table", ["lines", "events", "rules", "items", "pujas", "pandits"])
def test_another_table_of_bad_rows_alone_is_as_good_as_none(table: str) -> None:
    bad: list[Any] = [None, None]
    tables = {"bookings": BOOKINGS, table: dict.fromkeys(REQUIRED_COLUMNS[table], bad)}
    data = build(tables, now_ms=NOW)
    assert data.rejects.rows[table] == sum(data.rejects.reasons.values()) == 2
    assert data.before(NOW - 1500).fingerprint()


def test_rows_that_cannot_be_right_are_counted_by_reason() -> None:
    bookings = {
        "booking_id": ["a", "a", "b", "c", None, "d"],
        "user_id": ["u"] * 6,
        "puja_id": ["p"] * 6,
        "ts": [NOW, NOW, NOW + 10**9, "soon", NOW, 5],
    }
    events = {
        "user_id": ["u"] * 4,
        "ts": [NOW] * 4,
        "kind": ["rating", "guess", "rating", "rating"],
        "rating": [5, 5, 6, "x"],
    }
    lines = {"booking_id": ["a", "z"], "item_id": ["i", "i"]}
    data = build({"bookings": bookings, "events": events, "lines": lines}, now_ms=NOW)
    assert dict(data.rejects.reasons) == {
        ("bookings", "no booking_id"): 1,
        ("bookings", "ts is no instant"): 1,
        ("bookings", "ts is too old"): 1,
        ("bookings", "ts is in the future"): 1,
        ("bookings", "duplicate booking_id"): 1,
        ("events", "unknown kind"): 1,
        ("events", "rating out of range"): 2,
        ("lines", "unknown booking"): 1,
    }
    assert data.rejects.share == pytest.approx(9 / 12)
    assert len(data.bookings) == len(data.events) == len(data.lines) == 1


@pytest.mark.parametrize("held", [NOW + 11 * 366 * 86_400_000, 10**30, 1e30, "9999-12-31"])
def test_a_puja_that_is_held_when_nobody_lives_is_no_booking(held: object) -> None:
    bookings = {**BOOKINGS, "held_ts": [held, NOW + 366 * 86_400_000]}
    data = build({"bookings": bookings}, now_ms=NOW)
    assert dict(data.rejects.reasons) == {("bookings", "held_ts is too far ahead"): 1}
    assert data.booking_ids.ids == ("b1",)


def test_ids_are_compared_as_they_are_read() -> None:
    bookings = {
        "booking_id": [7, "7", ["b"], ["b"], "8"],
        "user_id": ["u"] * 5,
        "puja_id": ["p"] * 5,
        "ts": [NOW] * 5,
    }
    data = build({"bookings": bookings}, now_ms=NOW)
    assert data.rejects.reasons == {("bookings", "duplicate booking_id"): 2}
    assert len(data.bookings) == len(data.booking_ids) == 3


def test_events_without_an_id_are_not_the_same_event() -> None:
    events = {
        "event_id": ["a", None, None, "", "", "a"],
        "user_id": ["u1"] * 6,
        "ts": [NOW - 6, NOW - 5, NOW - 4, NOW - 3, NOW - 2, NOW - 1],
        "kind": ["item_viewed"] * 6,
        "item_id": ["x"] * 6,
    }
    data = build({"bookings": BOOKINGS, "events": events}, now_ms=NOW)
    assert data.rejects.reasons == {("events", "duplicate event_id"): 1}
    assert len(data.events) == 5


def test_tables_that_cannot_be_right_are_refused() -> None:
    with pytest.raises(BadData, match="no bookings"):
        build({}, now_ms=NOW)
    with pytest.raises(BadData, match="puja_id"):
        build({"bookings": {"booking_id": ["a"], "user_id": ["u"], "ts": [1]}}, now_ms=NOW)
    with pytest.raises(BadData, match="2 rows, not 1"):
        build({"bookings": {**BOOKINGS, "booking_id": ["a"]}}, now_ms=NOW)


@pytest.mark.parametrize(
    "value",
    [
        1_800_000_000_000,
        "1800000000000",
        "2027-01-15T08:00:00Z",
        "2027-01-15T13:45:00+05:45",
        datetime(2027, 1, 15, 8, tzinfo=UTC),
        np.int64(1_800_000_000_000),
    ],
)
def test_an_instant_has_many_forms(value: object) -> None:
    assert to_ms(value) == NOW


@pytest.mark.parametrize("value", [None, "soon", True, float("nan"), [1]])
def test_other_things_are_no_instant(value: object) -> None:
    assert to_ms(value) is None


def write_folder(folder: Path, suffix: str) -> Path:
    import gzip

    import pandas as pd

    frames = {
        "bookings": pd.DataFrame(BOOKINGS),
        "lines": pd.DataFrame({"booking_id": ["b1", "b2"], "item_id": ["x", "y"], "price": [5, 7]}),
        "items": pd.DataFrame({"item_id": ["x", "y"], "category": ["flowers", None]}),
    }
    for name, frame in frames.items():
        path = folder / f"{name}{suffix}"
        if suffix == ".parquet":
            frame.to_parquet(path)
        elif suffix == ".csv":
            frame.to_csv(path, index=False)
        else:
            text = frame.to_json(orient="records", lines=True)
            path.write_bytes(gzip.compress(text.encode()) if ".gz" in suffix else text.encode())
    return folder


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".jsonl.gz", ".parquet"])
def test_a_folder_means_the_same_in_every_format(tmp_path: Path, suffix: str) -> None:
    data = sources.read(str(write_folder(tmp_path, suffix)), at_ms=NOW)
    assert data.users.ids == ("u1", "u2")
    assert data.lines.price.tolist() == [5, 7]
    assert data.item_category.tolist() == [0, -1]
    assert data.bookings.months()[1] == 2
    assert data.rejects.share == 0


def test_a_folder_without_bookings_or_with_two_of_them_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no bookings"):
        sources.read(str(tmp_path), at_ms=NOW)
    write_folder(tmp_path, ".csv")
    write_folder(tmp_path, ".jsonl")
    with pytest.raises(BadData, match="more than once"):
        sources.read(str(tmp_path), at_ms=NOW)


@pytest.mark.parametrize("name", ["bookings.jsonl", "bookings.parquet", "bookings.csv.gz"])
def test_a_file_that_is_not_what_it_says_is_bad_data(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00\xff nothing of the kind")
    with pytest.raises(BadData, match="cannot be read"):
        sources.read(str(tmp_path), at_ms=NOW)


@pytest.mark.parametrize("end", [-12, -3, 40])
def test_a_packed_file_that_is_cut_off_is_bad_data(tmp_path: Path, end: int) -> None:
    write_folder(tmp_path, ".jsonl.gz")
    path = tmp_path / "bookings.jsonl.gz"
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(BadData, match=r"bookings.jsonl.gz cannot be read"):
        sources.read(str(tmp_path), at_ms=NOW)


def test_a_packed_file_that_is_spoilt_inside_is_bad_data(tmp_path: Path) -> None:
    write_folder(tmp_path, ".jsonl.gz")
    path = tmp_path / "bookings.jsonl.gz"
    path.write_bytes(path.read_bytes()[:10] + b"\xff" * 50)
    with pytest.raises(BadData, match=r"bookings.jsonl.gz cannot be read"):
        sources.read(str(tmp_path), at_ms=NOW)


def test_without_the_library_of_a_format_its_files_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, ".parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BadData, match=r"bookings.parquet cannot be read: .*pyarrow"):
        sources.read(str(tmp_path), at_ms=NOW)


def test_a_frame_of_pandas_is_a_table() -> None:
    import pandas as pd

    frame = pd.DataFrame({**BOOKINGS, "region": [None, "east"]})
    data = build({"bookings": frame}, now_ms=NOW)
    assert data.bookings.region.tolist() == [0, -1]


def test_market_baskets_are_read(tmp_path: Path) -> None:
    (tmp_path / "baskets.txt").write_text("0 2\n1\n0 1 2\n")
    (tmp_path / "items.csv").write_text("item_id,label\n0,a\n1,b\n2,c\n")
    data = sources.groceries(tmp_path)
    assert data.matrix.toarray().tolist() == [[1, 0, 1], [0, 1, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ratings.csv", "userId,movieId,rating,timestamp\n10,9,3.5,100\n9,10,4,200\n"),
        ("u.data", "10\t9\t3.5\t100\n9\t10\t4\t200\n"),
        (
            "ml-100k.inter",
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
            "10\t9\t3.5\t100\n9\t10\t4\t200\n",
        ),
    ],
)
def test_ratings_are_read_in_each_form(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found = sources.movielens(tmp_path)
    assert found.users.ids == ("09", "10")
    assert found.user.tolist() == [1, 0]
    assert found.item.tolist() == [0, 1]
    assert found.rating.tolist() == [3.5, 4.0]
    assert found.ts.tolist() == [100_000, 200_000]


CUT = NOW - 5_000
DAY = 86_400_000


def at_the_cut(
    *,
    status: str,
    held: int = CUT - 1,
    kept: bool = True,
    events: tuple[tuple[str, int], ...] = (),
) -> tuple[Status, bool]:
    """What a booking made a day before the cut is at the cut, and its only line."""
    tables: dict[str, dict[str, list[Any]]] = {
        "bookings": {
            "booking_id": ["b", "later"],
            "user_id": ["u", "u"],
            "puja_id": ["p", "p"],
            "ts": [CUT - DAY, NOW],
            "held_ts": [held, NOW],
            "status": [status, "completed"],
        },
        "lines": {"booking_id": ["b", "later"], "item_id": ["i", "i"], "kept": [kept, True]},
        "events": {
            "user_id": ["u"] * len(events),
            "booking_id": ["b"] * len(events),
            "item_id": ["i" if kind.startswith("samagri") else None for kind, _ in events],
            "kind": [kind for kind, _ in events],
            "ts": [ts for _, ts in events],
        },
    }
    found = build(tables, now_ms=NOW)
    known = found.before(CUT)
    assert known.bookings.status[1] == Status.CREATED
    assert found.before(NOW + 1).bookings.status.tolist() == found.bookings.status.tolist()
    (row,) = range(len(known.lines))
    return Status(int(known.bookings.status[0])), bool(known.lines.kept[row])


@pytest.mark.parametrize(
    ("status", "events", "known"),
    [
        ("cancelled", (("booking_cancelled", CUT + 1),), Status.CREATED),
        ("cancelled", (("booking_cancelled", CUT - 1),), Status.CANCELLED),
        ("completed", (("booking_completed", CUT),), Status.CREATED),
        ("completed", (("booking_completed", CUT - 1),), Status.COMPLETED),
        ("created", (), Status.CREATED),
    ],
)
def test_a_booking_is_at_a_cut_what_it_was_then(
    status: str, events: tuple[tuple[str, int], ...], known: Status
) -> None:
    assert at_the_cut(status=status, events=events)[0] == known


@pytest.mark.parametrize("status", ["cancelled", "completed"])
def test_without_an_event_a_booking_is_open_until_its_puja(status: str) -> None:
    assert at_the_cut(status=status, held=CUT + 1)[0] == Status.CREATED
    assert at_the_cut(status=status, held=CUT - 1)[0] == Status[status.upper()]


@pytest.mark.parametrize(
    ("kept", "events", "known"),
    [
        (False, (("samagri_removed", CUT + 1),), True),
        (False, (("samagri_removed", CUT - 1),), False),
        (False, (("samagri_added", CUT - 9), ("samagri_removed", CUT + 1)), True),
        (True, (("samagri_added", CUT + 1),), False),
        (True, (("samagri_removed", CUT - 1), ("samagri_added", CUT + 1)), False),
        (False, (("samagri_returned", CUT + 1),), True),
        (False, (), False),
        (True, (), True),
    ],
)
def test_a_list_is_at_a_cut_what_it_was_then(
    kept: bool, events: tuple[tuple[str, int], ...], known: bool
) -> None:
    assert at_the_cut(status="created", kept=kept, events=events)[1] == known
