"""The import table holds in this project."""

from tools.check_layers import ROOT, faults, modules


def test_every_import_points_down() -> None:
    assert faults(ROOT) == []


def test_the_check_saw_the_server() -> None:
    assert {"server.domain.booking", "server.settings"} <= modules(ROOT).keys()
