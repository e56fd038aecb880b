"""ALS on Spark MLlib, for data that outgrow one machine; the same factors come out.

Wants ``pyspark`` 3.5 (the ``spark`` extra) and Java 17. A local master runs it on this machine; on
a cluster only the master's address changes, and a folder that all its machines can read.

Spark's conventions differ from those of ``implicit`` and are kept, not hidden: it takes strengths
r and makes the confidence ``1 + alpha*|r|`` itself, and multiplies the regularisation by the number
of positive cells of each row (Zhou et al. 2008, "ALS-WR"). So ``reg_mode`` is ``scaled``, and
folding in uses the same. Results depend on the partitioning: equal seeds give factors that are
alike, not equal to the bit.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession

from recsys.config import Spark
from recsys.engine import AlsParams, Factors
from recsys.models.base import Csr, FloatArray

_CHECKPOINT_EVERY: Final = 10
_ROWS_A_FILE: Final = 4_000_000


class SparkUnavailable(RuntimeError):
    """Spark cannot be started here; the text says what is missing."""


class SparkEngine:
    """One Spark session, for as many fits as wanted; a context manager.

    Parameters
    ----------
    settings : Spark
        Master, memory and exchange folder.

    Raises
    ------
    SparkUnavailable
        On entering, when there is no Java, or the master is remote and no folder is shared.
    """

    def __init__(self, settings: Spark) -> None:
        self._settings = settings
        self._session: SparkSession | None = None
        self._scratch = ""

    def __enter__(self) -> Self:
        settings = self._settings
        is_local = settings.master.startswith("local")
        if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
            raise SparkUnavailable("Spark wants Java 17: neither JAVA_HOME nor java on the path")
        if not is_local and not settings.exchange:
            raise SparkUnavailable("a remote master needs [spark] exchange: a folder all share")
        self._scratch = tempfile.mkdtemp(prefix="recsys-spark-")
        builder = SparkSession.builder.master(settings.master).appName("recsys")
        options = {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.memory": settings.memory,
            "spark.sql.shuffle.partitions": str(settings.blocks),
            "spark.sql.warehouse.dir": str(Path(self._scratch) / "warehouse"),
        }
        if is_local:
            # One machine speaks to itself: nothing listens to the outside.
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            options["spark.driver.bindAddress"] = "127.0.0.1"
            options["spark.driver.host"] = "127.0.0.1"
            options["spark.local.dir"] = str(Path(self._scratch) / "blocks")
        for name, value in options.items():
            builder = builder.config(name, value)
        self._session = builder.getOrCreate()
        self._session.sparkContext.setLogLevel("ERROR")
        if settings.checkpoint:
            self._session.sparkContext.setCheckpointDir(settings.checkpoint)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            self._session.stop()
            self._session = None
        shutil.rmtree(self._scratch, ignore_errors=True)

    def fit(self, matrix: Csr, params: AlsParams, seed: int) -> Factors:
        """Factorise a matrix of strengths; see ``recsys.engine.fit``.

        Raises
        ------
        ValueError
            When Spark gives back anything but one finite vector for each row and column that has
            a cell.
        """
        if self._session is None:
            raise SparkUnavailable("the session is not open")
        if params.engine != "spark" or params.reg_mode != "scaled":
            raise ValueError("Spark's regularisation is scaled, and its engine is called spark")
        settings = self._settings
        als = ALS(
            rank=params.factors,
            maxIter=params.iterations,
            regParam=params.regularization,
            implicitPrefs=True,
            alpha=params.alpha,
            userCol="row",
            itemCol="column",
            ratingCol="strength",
            seed=seed,
            coldStartStrategy="drop",
            nonnegative=False,
            numUserBlocks=settings.blocks,
            numItemBlocks=settings.blocks,
            checkpointInterval=_CHECKPOINT_EVERY if settings.checkpoint else -1,
        )
        with self._folder() as folder:
            _write_cells(matrix, folder / "cells")
            model = als.fit(self._session.read.parquet((folder / "cells").as_uri()))
            sides = []
            for name, frame, axis in (
                ("rows", model.userFactors, 0),
                ("columns", model.itemFactors, 1),
            ):
                frame.write.parquet((folder / name).as_uri())
                seen = np.unique(matrix.tocoo().coords[axis])
                sides.append(_read_factors(folder / name, matrix.shape[axis], params.factors, seen))
        return Factors(sides[0], sides[1], "spark", "scaled")

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        parent = Path(self._settings.exchange or self._scratch).resolve()
        folder = parent / f"als-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _write_cells(matrix: Csr, folder: Path) -> None:
    """The cells as Parquet, so that no row passes through Python."""
    folder.mkdir()
    cells = matrix.tocoo()
    rows, columns = cells.coords
    for start in range(0, max(cells.nnz, 1), _ROWS_A_FILE):
        part = slice(start, start + _ROWS_A_FILE)
        table = pa.table(
            {
                "row": pa.array(rows[part].astype(np.int32)),
                "column": pa.array(columns[part].astype(np.int32)),
                "strength": pa.array(cells.data[part].astype(np.float32)),
            }
        )
        pq.write_table(table, folder / f"part-{start:012d}.parquet")


def _read_factors(folder: Path, count: int, width: int, seen: Any) -> FloatArray:
    """Vectors by index; Spark's come in any order, and none for what it has not seen."""
    table = pq.read_table(folder)
    ids = table["id"].to_numpy()
    values = table["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    if values.shape != (len(ids) * width,) or not np.array_equal(np.sort(ids), seen):
        raise ValueError(f"Spark gave {len(ids)} vectors for {len(seen)} rows that have cells")
    vectors = values.reshape(len(ids), width).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise ValueError("Spark gave vectors that are not finite")
    found = np.zeros((count, width), np.float32)
    found[ids] = vectors
    return found
