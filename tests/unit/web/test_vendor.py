"""The vendored browser files are the recorded ones, licensed, and complete in themselves."""

from __future__ import annotations

import gzip
import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

STATIC = Path(__file__).resolve().parents[3] / "server" / "web" / "static"
VENDOR = STATIC / "vendor"
ROWS: list[dict[str, Any]] = tomllib.loads((VENDOR / "VENDOR.toml").read_text("utf-8"))["file"]
IMPORT = re.compile(r"""(?:\bfrom\s*|\bimport\s*\(?\s*)(["'])([^"']+)\1""")


def scripts() -> list[Path]:
    """Every module of the site, vendored and own."""
    return sorted([*VENDOR.glob("lit/**/*.js"), *(STATIC / "app").glob("*.js")])


def readable(row: dict[str, Any]) -> str:
    """The text of a vendored text file, also of one that is stored compressed."""
    data = (VENDOR / row["target"]).read_bytes()
    return (gzip.decompress(data) if row["target"].endswith(".gz") else data).decode("utf-8")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["target"])
def test_file_is_the_recorded_one(row: dict[str, Any]) -> None:
    """A file that somebody edited by hand no longer has its recorded sum."""
    data = (VENDOR / row["target"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == row["sha256"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["target"])
def test_licence_text_travels_with_the_file(row: dict[str, Any]) -> None:
    """Each package names a licence and its text is shipped."""
    text = (VENDOR / row["licence_file"]).read_text("utf-8")
    word = {
        "BSD-3-Clause": "Redistribution and use",
        "MIT": "Permission is hereby granted",
        "ISC": "Permission to use, copy, modify",
        "OFL-1.1": "SIL OPEN FONT LICENSE",
        "Apache-2.0": "Apache License",
    }[row["licence"]]
    assert word in text


def test_nothing_is_there_that_the_record_does_not_name() -> None:
    """Files and record agree in both directions."""
    named = {row["target"] for row in ROWS} | {row["licence_file"] for row in ROWS}
    present = {p.relative_to(VENDOR).as_posix() for p in VENDOR.rglob("*") if p.is_file()}
    assert present - {"VENDOR.toml"} == named


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row["target"].endswith((".js", ".css", ".js.gz"))],
    ids=lambda row: row["target"],
)
def test_no_source_map_is_referred_to(row: dict[str, Any]) -> None:
    """A reference would make developer tools ask for files that are not shipped."""
    assert not re.search(r"[#@]\s*sourceMappingURL=", readable(row))


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.relative_to(STATIC).as_posix())
def test_every_import_is_a_relative_path_to_a_file(path: Path) -> None:
    """Browsers resolve no bare names without an import map, which the content policy forbids."""
    for _quote, name in IMPORT.findall(path.read_text("utf-8")):
        assert name.startswith(("./", "../")), name
        assert (path.parent / name).resolve().is_file(), name


def test_sprite_has_every_icon_the_site_uses() -> None:
    """An icon named in a script or template that the sprite lacks would be an empty box."""
    symbols = set(
        re.findall(r'<symbol id="([a-z0-9-]+)"', (VENDOR / "icons.svg").read_text("utf-8"))
    )
    used = set()
    for path in (STATIC / "app").glob("*.js"):
        used |= set(re.findall(r"""\bicon\(["']([a-z0-9-]+)["']""", path.read_text("utf-8")))
    for path in (STATIC.parent / "templates").rglob("*.html"):
        used |= set(re.findall(r"icons\.svg[^#\"']*#([a-z0-9-]+)", path.read_text("utf-8")))
    assert used <= symbols, sorted(used - symbols)
    assert len(symbols) >= 50
