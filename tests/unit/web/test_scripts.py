"""The browser's modules: their syntax, and the tests of those that need no page."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from babel.messages.extract import extract

HERE = Path(__file__).resolve().parent
APP = HERE.parents[2] / "server" / "web" / "static" / "app"
SOURCES = sorted([*APP.glob("*.js"), *HERE.parents[2].glob("server/web/sw.js")])
STRING = r'"((?:[^"\\]|\\.)*)"'
FORBIDDEN = ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "new Function", "unsafeHTML")


@pytest.fixture(scope="module")
def node() -> str:
    """Path of node, or a skip that names it."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed: the tests of the browser's modules need it")
    return found


def run(node: str, option: str, path: Path) -> None:
    """Run node over one of our files and fail with what it says."""
    done = subprocess.run(  # noqa: S603  # a fixed program over files of this repository
        [node, option, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_script_parses(node: str, path: Path) -> None:
    run(node, "--check", path)


@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_modules(node: str, path: Path) -> None:
    run(node, "--test", path)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_turns_text_into_markup_or_code(path: Path) -> None:
    text = path.read_text("utf-8")
    assert [word for word in FORBIDDEN if word in text] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_text_is_found_by_the_extractor(path: Path) -> None:
    """Babel loses texts in templates whose calls carry braces; none may be lost unseen."""
    source = path.read_bytes()
    options = {"parse_template_string": True, "encoding": "utf-8"}
    keywords = {"t": None, "tn": (1, 2)}
    found: set[str] = set()
    for row in extract("javascript", io.BytesIO(source), keywords, [], options):
        message = row[1]
        found |= {message} if isinstance(message, str) else set(message)
    text = source.decode("utf-8")
    written = set(re.findall(rf"(?<![\w.])t\(\s*{STRING}", text))
    for pair in re.findall(rf"(?<![\w.])tn\(\s*{STRING},\s*{STRING}", text):
        written |= set(pair)
    assert written == found
