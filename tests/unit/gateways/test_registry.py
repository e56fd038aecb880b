"""Which gateways run: those that are enabled, all of them behind one interface."""

from __future__ import annotations

import dataclasses

import pytest

from server.domain.booking import PaymentMethod
from server.gateways.registry import PROVIDERS, build, open_gateways
from server.settings import Settings, SettingsError
from tests.payment_keys import write_pfx


def all_enabled(tmp_path) -> Settings:
    pfx = write_pfx(tmp_path / "CREDITOR.pfx", "1234")
    settings = Settings()
    changes = {
        name: dataclasses.replace(getattr(settings, name), enabled=True)
        for name, _ in PROVIDERS.values()
    }
    changes["connect_ips"] = dataclasses.replace(
        changes["connect_ips"], key_path=str(pfx), key_password="1234", merchant_id="550"
    )
    changes["stripe"] = dataclasses.replace(changes["stripe"], secret_key="sk_live_1")
    return dataclasses.replace(settings, **changes)


async def test_nothing_runs_unless_it_is_enabled():
    async with open_gateways(Settings()) as gateways:
        assert gateways == {}


async def test_every_provider_can_run(tmp_path):
    async with open_gateways(all_enabled(tmp_path)) as gateways:
        assert [gateway.method for gateway in gateways.values()] == list(gateways)
        assert set(gateways) == set(PaymentMethod) - {PaymentMethod.CASH, PaymentMethod.WALLET}
        for gateway in gateways.values():
            assert "NPR" in gateway.traits.currencies


async def test_a_published_key_does_not_run_in_production(tmp_path, client):
    production = dataclasses.replace(all_enabled(tmp_path), environment="production")
    with pytest.raises(SettingsError, match="connect_ips: runs with test keys"):
        build(production, client)


async def test_a_lost_key_file_stops_the_start(tmp_path, client):
    settings = all_enabled(tmp_path)
    (tmp_path / "CREDITOR.pfx").unlink()
    with pytest.raises(SettingsError, match=r"connect_ips\.key_path"):
        build(settings, client)
