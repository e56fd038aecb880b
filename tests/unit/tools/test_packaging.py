"""A wheel carries all data that the program reads, and the locks tie nobody to one machine."""

import configparser
import re
from pathlib import Path

import pytest

from tools.lock import LOCKS, UV_LOCK

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def setup_cfg() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as setuptools reads it
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def files_below(*folders: str) -> set[Path]:
    found = {path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()}
    return {path for path in found if "__pycache__" not in path.parts and path.suffix != ".mo"}


def test_every_data_file_is_carried_to_its_own_place(
    setup_cfg: configparser.RawConfigParser,
) -> None:
    carried = set()
    for target, patterns in setup_cfg["options.data_files"].items():
        for pattern in patterns.split():
            assert target == f"share/pandityatra/{Path(pattern).parent}"
            carried |= set(ROOT.glob(pattern))
    assert files_below("config", "locale") - carried == set()


@pytest.mark.parametrize(("package", "folder"), [("server", "web"), ("kundali", "tables")])
def test_every_file_beside_the_code_is_carried(
    setup_cfg: configparser.RawConfigParser, package: str, folder: str
) -> None:
    carried = {
        path
        for pattern in setup_cfg["options.package_data"][package].split()
        for path in (ROOT / package).glob(pattern)
    }
    wanted = files_below(f"{package}/{folder}")
    assert wanted
    assert {path for path in wanted if path.suffix != ".py"} - carried == set()


def pins(name: str) -> dict[str, str]:
    """Return each locked ``name==version`` with its marker."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+==\S+)(.*?) \\$", text, re.MULTILINE))


@pytest.mark.parametrize("name", [*LOCKS, UV_LOCK])
def test_a_lock_holds_versions_with_hashes_and_no_address(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    for line in lines:
        assert re.match(
            r"#|    --hash=sha256:[0-9a-f]{64}( \\)?$|[a-z0-9._-]+==\S+( ; .*)? \\$", line
        )
    assert len(pins(name)) > (0 if name == UV_LOCK else 30)


def test_the_test_lock_has_the_same_versions_as_the_other() -> None:
    assert pins("requirements.lock").items() <= pins("requirements-test.lock").items()
