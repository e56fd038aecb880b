from __future__ import annotations

import hashlib

import numpy as np
import pytest

from recsys import splits
from recsys.models.base import Interactions
from tests.unit.recsys.rows import matrix_of, random_rows


def test_a_unit_is_the_first_eight_digits_of_the_sha256() -> None:
    digits = hashlib.sha256(b"recsys-v1:0").hexdigest()[:8]
    assert splits.unit("recsys-v1:0") == int(digits, 16) / 2**32
    assert 0 <= splits.unit("") < 1


def test_the_split_by_hash_is_the_same_for_ever() -> None:
    found = splits.by_hash(1000)
    assert [len(part) for part in found] == [693, 104, 203]
    text = ",".join(str(row) for row in found.test)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "99fcaf8e4be64a48"


def test_the_parts_hold_every_row_once() -> None:
    together = np.concatenate(splits.by_hash(500))
    assert sorted(together.tolist()) == list(range(500))


def test_cells_are_split_by_the_hash_of_both_ids() -> None:
    marked = splits.cells_by_hash(["1", "1", "2"], ["7", "8", "7"])
    keys = ("recsys-v1:u1:1:7", "recsys-v1:u1:1:8", "recsys-v1:u1:2:7")
    assert marked.tolist() == [splits.unit(key) < 0.8 for key in keys]


def test_the_split_by_time_never_parts_one_instant() -> None:
    ts = np.array([5, 1, 2, 3, 4, 9, 9, 9, 9, 9], np.int64)
    found = splits.by_time(ts, train_end=0.6, validation_end=0.8)
    assert found.train.tolist() == [0, 1, 2, 3, 4]
    assert found.validation.tolist() == []
    assert found.test.tolist() == [5, 6, 7, 8, 9]


def test_training_is_before_validation_and_that_before_test() -> None:
    ts = np.random.default_rng(1).integers(0, 10**6, 500)
    train, validation, test = splits.by_time(ts)
    assert ts[train].max() < ts[validation].min() <= ts[validation].max() < ts[test].min()
    assert len(train) == pytest.approx(400, abs=3)


def test_leaving_one_out_asks_for_each_item_of_rows_with_two() -> None:
    data = Interactions(matrix_of([[1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 1, 1]]))
    queries = splits.leave_one_out(data)
    given = [queries.data.row(row).given.tolist() for row in range(queries.data.n_rows)]
    assert given == [[1], [0], [2, 3], [1, 3], [1, 2]]
    assert queries.relevant.indices.tolist() == [0, 1, 1, 2, 3]
    assert queries.group.tolist() == [0, 0, 1, 1, 1]


def test_half_a_basket_is_given_by_hash_the_larger_half_of_odd_ones() -> None:
    data = Interactions(matrix_of([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0]]))
    queries = splits.half_baskets(data, ["a", "b"])
    assert queries.data.n_rows == 1
    order = sorted(range(5), key=lambda item: splits.unit(f"recsys-v1:half:b:{item}"))
    assert sorted(queries.data.row(0).given.tolist()) == sorted(order[:3])
    assert sorted(queries.relevant.indices.tolist()) == sorted(order[3:])


def test_strong_generalisation_gives_and_hides_something_of_each_row() -> None:
    data = random_rows()
    queries = splits.strong_generalisation(data, [str(row) for row in range(data.n_rows)])
    given = np.diff(queries.data.matrix.indptr)
    hidden = np.diff(queries.relevant.indptr)
    assert (given > 0).all()
    assert (hidden > 0).all()
    assert queries.data.n_rows > 20
    assert not (queries.data.matrix.multiply(queries.relevant)).nnz


def test_held_out_keeps_only_rows_with_something_to_find() -> None:
    train = Interactions(matrix_of([[1, 0], [0, 1], [1, 0]]))
    queries = splits.held_out(train, matrix_of([[0, 1], [0, 0], [0, 1]]))
    assert queries.group.tolist() == [0, 2]
    assert queries.data.row(1).given.tolist() == [0]
