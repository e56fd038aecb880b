"""``python -m recsys.doctor``: what this machine gives to training and serving, and what is amiss.

Tells the numeric libraries and their threads, memory, which optional engines are installed, and the
state of the store. Each finding is ``ok``, ``note`` (it works, but slower or with less) or
``fault`` (it will not work); a fault gives the exit code 5.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from recsys import threads
from recsys.artifact import ArtifactError
from recsys.bundle import check_answers
from recsys.commands import Exit, guarded, say, store_parser
from recsys.store import ModelStore

Verdict: TypeAlias = Literal["ok", "note", "fault"]
_SERVING: Final = ("numpy", "scipy", "msgspec")
_TRAINING: Final = ("pandas", "implicit", "scikit-learn", "pyarrow", "matplotlib", "threadpoolctl")
_NEEDED_MEMORY: Final = 2 << 30
_NEEDED_DISK: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``advice`` says what to do about a note or a fault."""

    verdict: Verdict
    about: str
    what: str
    advice: str = ""


def findings(store: ModelStore) -> Iterator[Finding]:
    """Look at everything, in the order in which it is told."""
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.machine()}")
    yield from _libraries()
    yield from _threads()
    yield from _machine(store.root)
    yield from _engines()
    yield from _store(store)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _libraries() -> Iterator[Finding]:
    found = {name: _version(name) for name in (*_SERVING, *_TRAINING)}
    there = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    yield Finding("ok", "libraries", there)
    missing = [name for name in _TRAINING if not found[name]]
    if missing:
        yield Finding(
            "note",
            "libraries",
            f"not installed: {', '.join(missing)}",
            "pip install 'pandityatra[train]' for the faster ALS, Parquet and reports",
        )


def _threads() -> Iterator[Finding]:
    asked = threads.settings()
    set_to = ", ".join(f"{name}={value}" for name, value in asked.items() if value)
    many = sorted(name for name, value in asked.items() if value not in ("", "1"))
    if many:
        yield Finding(
            "note",
            "threads",
            set_to,
            f"unset {', '.join(many)}: with more than one thread results differ in the last digits",
        )
    else:
        yield Finding("ok", "threads", set_to)
    if importlib.util.find_spec("threadpoolctl") is None:
        return
    import threadpoolctl  # of the training extra

    # What is loaded may disagree with what was asked for: then numpy was imported too early.
    _ = np.ones((2, 2)) @ np.ones((2, 2))
    for pool in threadpoolctl.threadpool_info():
        name = f"{pool.get('internal_api')} {pool.get('version') or ''}".strip()
        count = int(pool["num_threads"])
        advice = "import recsys before numpy, or set OPENBLAS_NUM_THREADS=1"
        yield _noted(bool(many) or count == 1, "threads", f"{name}: {count}", advice)


def _machine(root: Path) -> Iterator[Finding]:
    free = _free_memory()
    if free is not None:
        what = f"{free / 2**30:.1f} GiB free, {os.cpu_count()} processors"
        advice = "python -m bench.recsys_scale prints what a training needs by its size"
        yield _noted(free >= _NEEDED_MEMORY, "memory", what, advice)
    place = next(each for each in (root, *root.absolute().parents) if each.exists())
    disk = shutil.disk_usage(place).free
    what = f"{disk / 2**30:.1f} GiB free at {place}"
    advice = "a version of 1 GiB would not fit: delete old ones, or use another --store"
    yield _noted(disk >= _NEEDED_DISK, "disk", what, advice)


def _noted(is_well: bool, about: str, what: str, advice: str) -> Finding:
    """A finding that is a note with its advice unless all is well."""
    return Finding("ok", about, what) if is_well else Finding("note", about, what, advice)


def _free_memory() -> int | None:
    """What can be had without swapping, in bytes; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _engines() -> Iterator[Finding]:
    extras = {
        "implicit": ("implicit", "engine = implicit", "train"),
        "pyspark": ("pyspark", "--engine spark", "spark"),
        "mlflow": ("mlflow", "runs in MLflow", "mlflow"),
    }
    for name, (module, use, extra) in extras.items():
        version = _version(name)
        if version is None or importlib.util.find_spec(module) is None:
            how = f"pip install 'pandityatra[{extra}]' if it is wanted"
            yield Finding("note", "engines", f"no {name}: no {use}", how)
        elif name == "pyspark" and shutil.which("java") is None:
            yield Finding("note", "engines", "pyspark without java", "install a Java 17")
        else:
            yield Finding("ok", "engines", f"{name} {version}: {use}")


def _store(store: ModelStore) -> Iterator[Finding]:
    if not store.root.exists():
        what = f"{store.root} does not exist: the rules alone serve"
        yield Finding("note", "store", what, "python -m recsys.train --publish")
        return
    current = store.current()
    listed = store.versions()
    yield Finding("ok", "store", f"{store.root}: {len(listed)} versions")
    for each in listed:
        if each.problem and each.version != current:
            yield Finding(
                "note",
                "store",
                f"{each.version} is unsound: {each.problem}",
                "it cannot be gone back to; delete its folder",
            )
    if current is None:
        yield Finding("note", "store", "nothing is published", "python -m recsys.train --publish")
        return
    try:
        check_answers(store.load(current))
    except ArtifactError as error:
        yield Finding(
            "fault",
            "store",
            f"{current} is current and unsound ({error.code}): {error}",
            "python -m recsys.rollback; servers keep what they hold, new ones begin with the rules",
        )
    else:
        yield Finding("ok", "store", f"{current} is current and sound")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = store_parser("doctor", "What this machine gives, and what is amiss.").parse_args(
        arguments
    )
    faults: list[Finding] = []

    def command(store: ModelStore) -> dict[str, Any]:
        found = []
        for each in findings(store):
            found.append(each)
            if not options.json:
                advice = f"  -> {each.advice}" if each.advice else ""
                say(f"{each.verdict:5} {each.about:9} {each.what}{advice}")
        faults.extend(each for each in found if each.verdict == "fault")
        return {
            "ok": not faults,
            "findings": [asdict(each) for each in found],
            "faults": len(faults),
        }

    status = guarded(command, options)
    return status or (Exit.PUBLISH_FAILED if faults else Exit.OK)


if __name__ == "__main__":
    sys.exit(main())
