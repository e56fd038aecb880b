"""Records of training runs: MLflow's local store where it is wanted, plain JSON otherwise.

The two hold the same: parameters, metrics by step, files, and how the run ended. A recorder never
stops a training: what cannot be recorded is said once, on the error output. No model is ever
logged as a pickle; an artifact's own files are what is kept of it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import math
import shutil
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from recsys.commands import tell
from recsys.config import Tracking

# Loaded only when asked for: MLflow takes seconds to import.
_MODULES: Final = {"mlflow": "recsys.tracking_mlflow"}


class Recorder(Protocol):
    """Where one run is written to."""

    def params(self, values: Mapping[str, Any]) -> None:
        """The parameters of the run, once."""

    def metric(self, name: str, value: float, step: int = 0) -> None:
        """One figure. Steps are trials, iterations or epochs."""

    def file(self, path: Path) -> None:
        """Keep a copy of a file: a plot, a report, the manifest."""

    def end(self, status: str) -> None:
        """``finished``, ``rejected`` or ``failed``; nothing comes after it."""


class NoRecorder:
    """Keeps nothing."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Forget it."""

    def metric(self, name: str, value: float, step: int = 0) -> None:
        """Forget it."""

    def file(self, path: Path) -> None:
        """Forget it."""

    def end(self, status: str) -> None:
        """Forget it."""


class JsonRecorder:
    """``<path>/<id>/``: ``params.json``, ``metrics.json``, ``history.jsonl``, ``files/``.

    Parameters
    ----------
    path : Path
        The folder of all runs.
    name : str
        What the run is called.
    """

    def __init__(self, path: Path, name: str) -> None:
        moment = datetime.now(UTC)
        self.folder = path / f"{moment:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        self.folder.mkdir(parents=True)
        self._about = {"name": name, "started_at": moment.isoformat(timespec="seconds")}
        self._params: dict[str, Any] = {}
        self._metrics: dict[str, float] = {}
        self._history = (self.folder / "history.jsonl").open("ab")
        self._write("running")

    def params(self, values: Mapping[str, Any]) -> None:
        """Write them at once."""
        self._params |= values
        self._write("running")

    def metric(self, name: str, value: float, step: int = 0) -> None:
        """Add a line to the history; the last value is the run's."""
        number = value if math.isfinite(value) else None
        line = {"at": _now(), "name": name, "value": number, "step": step}
        self._history.write(msgspec.json.encode(line) + b"\n")
        self._history.flush()
        self._metrics[name] = value

    def file(self, path: Path) -> None:
        """Copy it into ``files/``."""
        target = self.folder / "files"
        target.mkdir(exist_ok=True)
        shutil.copyfile(path, target / path.name)

    def end(self, status: str) -> None:
        """Write the last values and close the history."""
        self._history.close()
        self._write(status)

    def _write(self, status: str) -> None:
        about = self._about | {"status": status}
        if status != "running":
            about["ended_at"] = _now()
        for name, content in (
            ("params", about | {"params": self._params}),
            ("metrics", self._metrics),
        ):
            text = msgspec.json.format(msgspec.json.encode(content, enc_hook=str), indent=1)
            (self.folder / f"{name}.json").write_bytes(text)


class _Forgiving:
    """Passes everything on; the first failure is told, the rest is left unrecorded."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder: Recorder = recorder

    def params(self, values: Mapping[str, Any]) -> None:
        self._try("params", values)

    def metric(self, name: str, value: float, step: int = 0) -> None:
        self._try("metric", name, value, step)

    def file(self, path: Path) -> None:
        self._try("file", path)

    def end(self, status: str) -> None:
        self._try("end", status)

    def _try(self, method: str, *given: Any) -> None:
        try:
            getattr(self._recorder, method)(*given)
        except Exception as error:  # whatever a tracking library throws, the training goes on
            tell(f"the run is not recorded any further: {error}")
            broken, self._recorder = self._recorder, NoRecorder()
            with contextlib.suppress(Exception):
                broken.end("failed")


def begin(settings: Tracking, name: str) -> Recorder:
    """Open the record of a run.

    ``auto`` takes MLflow where it is installed, JSON elsewhere.

    Raises
    ------
    ModuleNotFoundError
        When MLflow is asked for by name and not installed.
    """
    backend = settings.backend
    if backend == "auto":
        backend = "mlflow" if importlib.util.find_spec("mlflow") else "json"
    if backend == "none":
        return NoRecorder()
    opened: Callable[[Path, str], Recorder] = JsonRecorder
    if backend == "mlflow":
        opened = importlib.import_module(_MODULES[backend]).open_run
    try:
        return _Forgiving(opened(Path(settings.path), name))
    except Exception as error:  # a folder that cannot be written, whatever a library throws
        tell(f"the run is not recorded: {error}")
        return NoRecorder()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
