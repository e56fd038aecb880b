from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import msgspec
import pytest

from recsys import config
from recsys.config import BadConfig, Config, resolve

FILE = Path(__file__).resolve().parents[3] / "config" / "recsys.toml"


def test_the_file_holds_every_key_with_the_default_that_the_code_has() -> None:
    content = tomllib.loads(FILE.read_text(encoding="utf-8"))
    named = {f"{section}.{name}" for section, values in content.items() for name in values}
    assert named == {f"{key.section}.{key.name}" for key in config.all_keys()}
    assert resolve(FILE, {}, {}) == Config()


def test_every_key_has_a_flag_a_variable_and_a_meaning() -> None:
    parser = argparse.ArgumentParser()
    config.add_flags(parser)
    shown = parser.format_help()
    for key in config.all_keys():
        assert key.meaning
        assert key.flag in shown
        assert key.variable in "".join(shown.split())
        assert key.variable == key.variable.upper()


def test_a_flag_wins_over_a_variable_and_that_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("[ease]\nlam = [1]\n[rp3]\nalpha = [2]\n[run]\nseed = 1\n")
    environ = {"RECSYS_EASE__LAM": "3, 4", "RECSYS_RUN__SEED": "2", "HOME": "/", "RECSYS_HOME": "x"}
    parser = argparse.ArgumentParser()
    config.add_flags(parser)
    flags = vars(parser.parse_args(["--run.seed", "3", "--run.only", "pandit,puja"]))
    found = resolve(path, environ, flags)
    assert found.rp3.alpha == (2.0,)
    assert found.ease.lam == (3.0, 4.0)
    assert found.run.seed == 3
    assert found.run.only == ("pandit", "puja")
    assert found.gates == Config().gates


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        "alone = 1\n[gates]\nmax_ece = 7\nno_such = 1\n[split]\ntest_at = 0.7\n"
        "[als]\nfactors = []\n"
    )
    environ = {"RECSYS_EASE__LAMB": "1", "RECSYS_RUN__ENGINE": "tensor"}
    with pytest.raises(BadConfig) as caught:
        resolve(path, environ, {"run.seed": "-1"})
    text = "\n".join(caught.value.faults)
    for part in (
        "alone is no section",
        "own.toml: [gates] max_ece = 7",
        "own.toml: [gates] no_such: there is no such setting",
        "validation_at has to be below test_at",
        "als.factors: names nothing to try",
        "RECSYS_EASE__LAMB: there is no such setting",
        "RECSYS_RUN__ENGINE = 'tensor'",
        "--run.seed = '-1'",
    ):
        assert part in text
    assert len(caught.value.faults) == 8


@pytest.mark.parametrize("content", [b"[run", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_a_bad_config(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(content)
    with pytest.raises(BadConfig, match=r"own\.toml"):
        resolve(path, {}, {})
    with pytest.raises(BadConfig, match="No such file"):
        resolve(tmp_path / "absent.toml", {}, {})


def test_the_tree_survives_the_manifest() -> None:
    assert msgspec.convert(config.as_dict(Config()), Config) == Config()
