"""Runs in MLflow's SQLite store, with the files beside it; see ``recsys.tracking``.

The plain file store is not used: MLflow gave it up. Look at the runs with
``mlflow ui --backend-store-uri sqlite:///var/runs/mlflow.db``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

# Before the import: the library would otherwise report its use over the network.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.tracking import MlflowClient

from recsys.tracking import Recorder

EXPERIMENT: Final = "pandityatra"
_STATUS: Final = {"finished": "FINISHED", "rejected": "FINISHED", "failed": "FAILED"}
_LONGEST: Final = 500


class MlflowRecorder:
    """One run of MLflow."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self._run_id = run_id

    def params(self, values: Mapping[str, Any]) -> None:
        """Parameters, cut to the length that the store takes."""
        for name, value in values.items():
            self._client.log_param(self._run_id, name, str(value)[:_LONGEST])

    def metric(self, name: str, value: float, step: int = 0) -> None:
        """One figure; MLflow's names have no ``@``."""
        self._client.log_metric(self._run_id, name.replace("@", "_at_"), value, step=step)

    def file(self, path: Path) -> None:
        """A copy among the run's files."""
        self._client.log_artifact(self._run_id, str(path))

    def end(self, status: str) -> None:
        """Close the run, and keep our own word for how it ended."""
        self._client.set_tag(self._run_id, "status", status)
        self._client.set_terminated(self._run_id, _STATUS.get(status, "FAILED"))


def open_run(path: Path, name: str) -> Recorder:
    """A new run in ``path/mlflow.db``."""
    folder = path.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    experiment_id = (
        experiment.experiment_id
        if experiment is not None
        else client.create_experiment(EXPERIMENT, artifact_location=(folder / "files").as_uri())
    )
    run = client.create_run(experiment_id, run_name=name)
    return MlflowRecorder(client, run.info.run_id)
