"""Small artifacts for the tests, and ways to spoil them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys.artifact import SCHEMA_VERSION, ArtifactWriter, Manifest, SmokeCase, checksum_of
from recsys.store import ModelStore

MOMENT = "20260401T031500Z"
ITEMS = ("kalash", "dhoop", "flowers", "ghee")
USERS = tuple(f"user-{number:03d}" for number in range(10))


def a_manifest(moment: str = MOMENT, **overrides: Any) -> Manifest:
    """The parts of a manifest that a trainer decides."""
    values: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "version": moment,
        "created_at": "2026-04-01T03:15:00+00:00",
        "code_version": "0.1.0",
        "build": "test",
        "models": {"samagri": {"model": "ease"}},
        "metrics": {"ndcg@10": 0.25},
        "smoke": (SmokeCase(kind="samagri", query={"given": [0]}, expected=("ghee", "dhoop")),),
    }
    return Manifest(**(values | overrides))


def weights(scale: float = 1.0) -> NDArray[np.float32]:
    """Items by items, no two numbers alike."""
    return (np.arange(16, dtype=np.float32).reshape(4, 4) * scale).astype(np.float32)


def fill(writer: ArtifactWriter, *, scale: float = 1.0, **manifest: Any) -> Manifest:
    """Write a whole small artifact."""
    writer.ids("items", ITEMS)
    writer.ids("users", USERS)
    writer.array("samagri.ease.weights", weights(scale), rows="items", columns="items")
    writer.array("als.user", np.ones((10, 3), np.float32), rows="users")
    writer.array("popular", np.array([2, 0, 1], np.int32), about="items")
    writer.document("rules", {"griha-pravesh": ["kalash"]})
    writer.text("card.md", "# A small model\n")
    return writer.finish(a_manifest(**manifest))


def add(store: ModelStore, *, moment: str = MOMENT, scale: float = 1.0, **manifest: Any) -> str:
    """Put a small artifact into a store; returns its version."""
    with store.staging() as writer:
        fill(writer, scale=scale, moment=moment, **manifest)
        return store.add(writer.folder)


def forge(folder: Path, **changes: Any) -> None:
    """Change the manifest as one would who knows how its checksum is made."""
    path = folder / "manifest.json"
    content = json.loads(path.read_bytes()) | changes | {"checksum": ""}
    honest = msgspec.json.decode(msgspec.json.encode(content), type=Manifest)
    content["checksum"] = checksum_of(honest)
    path.write_bytes(msgspec.json.encode(content))


def forge_file(folder: Path, name: str, data: bytes, **changes: Any) -> None:
    """Put other bytes into a file, and have the manifest agree with them."""
    (folder / name).write_bytes(data)
    files = json.loads((folder / "manifest.json").read_bytes())["files"]
    for entry in files:
        if entry["path"] == name:
            entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} | changes
    forge(folder, files=files)
