"""What the sandbox writes down for a server is what the server's settings take."""

from __future__ import annotations

import argparse
import dataclasses
import stat
import tomllib

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from server.demo.payments import pointed_at
from server.paths import data_path
from server.sandbox import arguments, keys, merchant
from server.settings import KhaltiSettings, Settings, load

URL = "http://127.0.0.1:8890"


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    arguments.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def written(tmp_path):
    return merchant.write_settings(tmp_path / "sandbox", URL, merchant.merchant_of(options()))


def test_a_server_takes_the_settings(written):
    settings = load(data_path("config"), {"PANDITYATRA_CONFIG": str(written)})
    for name in ("khalti", "esewa", "connect_ips", "ime_pay", "stripe"):
        section = getattr(settings, name)
        assert section.enabled
        for item in dataclasses.fields(section):
            if item.name.endswith("_url"):
                assert getattr(section, item.name).startswith(f"{URL}/")


def test_the_key_file_opens_with_its_password_and_is_the_owners_alone(written):
    path = written.with_name("creditor.pfx")
    password = keys.CONNECTIPS_KEY_PASSWORD.encode()
    key, _, _ = pkcs12.load_key_and_certificates(path.read_bytes(), password)
    assert key is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tomllib.loads(written.read_text())["connect_ips"]["key_path"] == str(path)


def test_a_path_with_quotes_and_backslashes_is_still_toml(tmp_path):
    folder = tmp_path / 'a "b" \\c'
    path = merchant.write_settings(folder, URL, merchant.merchant_of(options()))
    told = tomllib.loads(path.read_text())
    assert told["connect_ips"]["key_path"] == str(folder / "creditor.pfx")


def test_returns_and_webhooks_go_to_the_site():
    told = merchant.merchant_of(options("--site", "http://127.0.0.1:8888/"))
    assert told.stripe_webhook == "http://127.0.0.1:8888/api/payments/webhooks/STRIPE/"
    assert told.connectips_success == "http://127.0.0.1:8888/api/payments/CONNECT_IPS/return/"


def test_addresses_of_their_own_go_before_the_site():
    told = merchant.merchant_of(
        options("--site", "http://a", "--stripe-webhook", "http://b", "--connectips-failure", "c")
    )
    assert (told.stripe_webhook, told.connectips_failure) == ("http://b", "c")
    assert told.connectips_success.startswith("http://a/")


def test_a_gateway_that_is_enabled_already_stays_as_it_is(written):
    own = KhaltiSettings(enabled=True, secret_key="of-ones-own")
    settings = Settings(khalti=own)
    pointed = pointed_at(settings, tomllib.loads(written.read_text()))
    assert pointed.khalti == own
    assert pointed.esewa.enabled
    assert pointed.esewa.product_code == "EPAYTEST"
