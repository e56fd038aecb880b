"""The set-up takes ``uv`` where it can be had, and never gets around what pip was told."""

import sys
from pathlib import Path

import pytest

from tools import bootstrap

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pip's stand-in is a shell script")


def environment(folder: Path, *, config: str = "", status: int = 0) -> Path:
    """An environment whose pip has that configuration, and ends so when it is to install."""
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        f"#!/bin/sh\n"
        f'echo "$@" >> "{folder}/asked"\n'
        f'case "$*" in *"config list"*) echo "{config}";; *) exit {status};; esac\n'
    )
    python.chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def nothing_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOOTSTRAP_WITHOUT_UV", raising=False)


def test_uv_is_fetched_from_a_lock_with_hashes(tmp_path: Path) -> None:
    venv = environment(tmp_path, config=":env:.find-links='/opt/wheels'")
    assert bootstrap.fetch_uv(venv) == str(venv / "bin" / "uv")
    asked = (tmp_path / "asked").read_text().splitlines()[-1]
    assert "--require-hashes -r requirements-uv.lock" in asked


@pytest.mark.parametrize(
    "config",
    [
        "global.index-url='https://mirror.example/simple'",
        "install.extra-index-url='https://mirror.example/simple'",
        "global.no-index='true'",
        "user.proxy='http://proxy.example:3128'",
    ],
)
def test_what_a_file_tells_pip_is_left_to_pip(tmp_path: Path, config: str) -> None:
    assert bootstrap.fetch_uv(environment(tmp_path, config=config)) is None
    assert "install" not in (tmp_path / "asked").read_text()


def test_without_uv_to_be_had_pip_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bootstrap.fetch_uv(environment(tmp_path, status=1)) is None
    assert not capsys.readouterr().out


def test_nobody_is_given_uv_who_does_not_want_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOTSTRAP_WITHOUT_UV", "yes")
    assert bootstrap.fetch_uv(environment(tmp_path)) is None
    assert not (tmp_path / "asked").exists()
