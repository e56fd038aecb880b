"""The settings: every mistake is named, production takes no defaults, the page is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from server.settings import DEFAULT_SECRET, Settings, SettingsError, load, shown

ROOT = Path(__file__).resolve().parents[3]
PRODUCTION = {
    "PANDITYATRA_ENV": "production",
    "PANDITYATRA_AUTH__SECRET": "s" * 40,
    "PANDITYATRA_AUTH__CODE_SENDER": "off",
    "PANDITYATRA_DATABASE__URI": "mongodb://db/?replicaSet=rs0",
    "PANDITYATRA_HTTP__SECURE_COOKIES": "true",
    "PANDITYATRA_HTTP__PUBLIC_ORIGINS": "https://a.example, https://b.example",
}


def faults(config: Path, environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(config, environ)
    return caught.value.faults


def test_the_projects_own_files_load() -> None:
    for environment in ("development", "demo"):
        settings = load(ROOT / "config", {"PANDITYATRA_ENV": environment})
        assert settings.environment == environment


def test_the_production_example_loads_with_its_secrets(tmp_path: Path) -> None:
    example = ROOT / "config" / "production.example.toml"
    settings = load(tmp_path, {**PRODUCTION, "PANDITYATRA_CONFIG": str(example)})
    assert settings.http.public_origins == ("https://a.example", "https://b.example")


def test_later_sources_win(tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text("[http]\nport = 1\nhost = 'a'\n")
    (tmp_path / "demo.toml").write_text("[http]\nport = 2\n")
    environ = {"PANDITYATRA_ENV": "demo"}
    assert load(tmp_path, environ).http.port == 2
    assert load(tmp_path, environ).http.host == "a"
    environ["PANDITYATRA_HTTP__PORT"] = "3"
    assert load(tmp_path, environ).http.port == 3
    assert load(tmp_path, environ, {"http.port": 4}).http.port == 4


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text(
        "surprise = 1\n[http]\nport = 'many'\nprot = 1\n"
        "[auth]\naccess_minutes = -1\n[log]\nlevel = 3\n"
    )
    found = faults(tmp_path, {"PANDITYATRA_HTTP__SECURE_COOKIES": "perhaps"})
    assert {fault.partition(":")[0] for fault in found} == {
        "surprise",
        "http.port",
        "http.prot",
        "http.secure_cookies",
        "auth.access_minutes",
        "log.level",
    }


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text("[http\n")
    assert faults(tmp_path, {})[0].startswith("default.toml")
    assert "no file" in faults(tmp_path, {"PANDITYATRA_CONFIG": "/nowhere.toml"})[0]


def test_an_unknown_variable_stops_the_start(tmp_path: Path) -> None:
    assert faults(tmp_path, {"PANDITYATRA_HTPP__PORT": "1"}) == ["htpp: unknown setting"]


def test_a_secret_can_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file\n")
    environ = {"PANDITYATRA_AUTH__SECRET_FILE": str(tmp_path / "secret")}
    assert load(tmp_path, environ).auth.secret == "from-a-file"
    environ["PANDITYATRA_AUTH__SECRET_FILE"] = str(tmp_path / "missing")
    assert faults(tmp_path, environ)[0].startswith("PANDITYATRA_AUTH__SECRET_FILE")


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("PANDITYATRA_AUTH__SECRET", DEFAULT_SECRET, "auth.secret"),
        ("PANDITYATRA_AUTH__SECRET", "short", "auth.secret"),
        ("PANDITYATRA_AUTH__PREVIOUS_SECRET", DEFAULT_SECRET, "auth.previous_secret"),
        ("PANDITYATRA_AUTH__CODE_SENDER", "console", "auth.code_sender"),
        ("PANDITYATRA_DATABASE__URI", "", "database.uri"),
        ("PANDITYATRA_HTTP__SECURE_COOKIES", "false", "http.secure_cookies"),
        ("PANDITYATRA_HTTP__PUBLIC_ORIGINS", "", "http.public_origins"),
    ],
)
def test_production_refuses(tmp_path: Path, variable: str, value: str, key: str) -> None:
    assert load(tmp_path, PRODUCTION).is_production
    found = faults(tmp_path, {**PRODUCTION, variable: value})
    assert [fault.partition(":")[0] for fault in found] == [key]


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("ENV", "prod", "PANDITYATRA_ENV"),
        ("ENVIRONMENT", "production", "environment"),
        ("BOOKING__SLOT_STEP_MINUTES", "0", "booking.slot_step_minutes"),
        ("BOOKING__SLOT_STEP_MINUTES", "20", "booking.slot_step_minutes"),
        ("BOOKING__SAMAGRI_THRESHOLD", "6", "booking.samagri_threshold"),
        ("BOOKING__COMMISSION_BASIS_POINTS", "10001", "booking.commission_basis_points"),
        ("BOOKING__ANSWER_HOURS", "nan", "booking.answer_hours"),
        ("REALTIME__PING_SECONDS", "inf", "realtime.ping_seconds"),
        ("REALTIME__MESSAGE_BURST", "0", "realtime.message_burst"),
        ("AUTH__HASH_THREADS", "0", "auth.hash_threads"),
        ("HTTP__PORT", "99999", "http.port"),
        ("LIMITS__READ", "often", "limits.read"),
        ("AUTH__CODE_SENDER", "sms", "auth.code_sender"),
        ("AUTH__CODE_SENDER", "package.module:", "auth.code_sender"),
        ("EXPERIMENT__NAME", "blend", "experiment.ends_on"),
        ("LOG__LEVEL", "LOUD", "log.level"),
        ("LOG__FORMAT", "xml", "log.format"),
    ],
)
def test_a_value_that_makes_no_sense_stops_the_start(
    tmp_path: Path, variable: str, value: str, key: str
) -> None:
    found = faults(tmp_path, {f"PANDITYATRA_{variable}": value})
    assert [fault.partition(":")[0] for fault in found] == [key]


@pytest.mark.parametrize(
    ("arms", "ends_on", "key"),
    [
        ("model:0-4999,rules:4000-9999", "2026-12-31", "experiment.arms"),
        ("model:0-4999,model:5000-9999", "2026-12-31", "experiment.arms"),
        ("model:4999-0,rules:5000-9999", "2026-12-31", "experiment.arms"),
        ("everybody", "2026-12-31", "experiment.arms"),
        ("model:0-9999", "2026-12-31", "experiment.arms"),
        ("model:0-4999,rules:5000-9999", "2026-13-31", "experiment.ends_on"),
        ("model:0-4999,rules:5000-9999", "soon", "experiment.ends_on"),
    ],
)
def test_an_experiment_that_makes_no_sense_stops_the_start(
    tmp_path: Path, arms: str, ends_on: str, key: str
) -> None:
    given = {"NAME": "blend", "ARMS": arms, "ENDS_ON": ends_on}
    found = faults(
        tmp_path, {f"PANDITYATRA_EXPERIMENT__{name}": each for name, each in given.items()}
    )
    assert [fault.partition(":")[0] for fault in found] == [key]


def test_secrets_are_masked_when_shown(tmp_path: Path) -> None:
    settings: Settings = load(tmp_path, PRODUCTION)
    assert "s" * 40 not in str(shown(settings))
    assert "mongodb://" not in str(shown(settings))
    assert shown(settings)["http"]["port"] == 8888


def test_the_page_of_settings_is_up_to_date() -> None:
    done = subprocess.run(  # noqa: S603  # our own tool
        [sys.executable, ROOT / "tools" / "document_settings.py", "--check"], check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("url", ["redis", "http://host", "cluster+redis://host", "redis://"])
def test_an_address_that_is_no_redis_is_named_but_not_shown(tmp_path: Path, url: str) -> None:
    found = faults(tmp_path, {"PANDITYATRA_BUS__REDIS_URL": url})
    assert [fault.partition(":")[0] for fault in found] == ["bus.redis_url"]


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+cluster", "rediss+cluster"])
def test_redis_may_be_one_server_or_a_cluster(tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}://user:word@host:7000/0"
    assert load(tmp_path, {"PANDITYATRA_BUS__REDIS_URL": url}).bus.redis_url == url


KEYS = {
    "KHALTI": {"SECRET_KEY": "live"},
    "ESEWA": {"PRODUCT_CODE": "PANDIT", "SECRET_KEY": "live"},
    "CONNECT_IPS": {
        "MERCHANT_ID": "550",
        "APP_ID": "MER-550-APP-1",
        "APP_NAME": "Pandit Yatra",
        "APP_PASSWORD": "live",
        "KEY_PATH": "CREDITOR.pfx",
    },
    "IME_PAY": {"MERCHANT_CODE": "PANDIT", "MODULE": "PANDIT", "USER": "py", "PASSWORD": "live"},
    "STRIPE": {"SECRET_KEY": "sk_live_1", "WEBHOOK_SECRET": "whsec_1"},
}


def enabled(gateway: str, **changes: str) -> dict[str, str]:
    values = {**KEYS[gateway], "ENABLED": "true", **changes}
    return {f"PANDITYATRA_{gateway}__{key}": value for key, value in values.items()}


def test_no_gateway_runs_by_itself(tmp_path: Path) -> None:
    for environ in ({}, PRODUCTION):
        settings = load(tmp_path, environ)
        for gateway in KEYS:
            assert not getattr(settings, gateway.lower()).enabled


@pytest.mark.parametrize("gateway", KEYS)
def test_production_takes_live_gateways(tmp_path: Path, gateway: str) -> None:
    settings = load(tmp_path, PRODUCTION | enabled(gateway))
    assert getattr(settings, gateway.lower()).enabled
    assert "live" not in str(shown(settings)[gateway.lower()].values())
    assert "whsec_1" not in str(shown(settings))


@pytest.mark.parametrize(
    ("gateway", "key"), [(gateway, key) for gateway, keys in KEYS.items() for key in keys]
)
@pytest.mark.parametrize("environ", [{}, PRODUCTION], ids=["development", "production"])
def test_an_enabled_gateway_needs_its_keys(
    tmp_path: Path, gateway: str, key: str, environ: dict[str, str]
) -> None:
    found = faults(tmp_path, environ | enabled(gateway, **{key: " "}))
    name = f"{gateway}.{key}".lower()
    assert f"{name}: is needed, since {gateway.lower()} is enabled" in found


@pytest.mark.parametrize(
    ("gateway", "key", "value"),
    [
        ("KHALTI", "API_URL", "https://dev.khalti.com/api/v2/"),
        ("KHALTI", "API_URL", "https://a.khalti.com/api/v2/"),
        ("KHALTI", "REFUND_URL", "https://dev.khalti.com/api/"),
        ("KHALTI", "WIDGET_SECRET_KEY", "test_secret_key_f59e8b7d18b4499ca40f68195a846e9b"),
        ("ESEWA", "PRODUCT_CODE", "EPAYTEST"),
        ("ESEWA", "PRODUCT_CODE", "epaytest"),
        ("ESEWA", "SECRET_KEY", "8gBm/:&EnhH.1/q"),
        ("ESEWA", "SECRET_KEY", "8gBm/:&EnhH.1/q("),
        ("ESEWA", "FORM_URL", "https://rc-epay.esewa.com.np/api/epay/main/v2/form"),
        ("ESEWA", "STATUS_URL", "https://rc.esewa.com.np/api/epay/transaction/status/"),
        ("ESEWA", "V1_FORM_URL", "https://uat.esewa.com.np/epay/main"),
        ("CONNECT_IPS", "BASE_URL", "https://uat.connectips.com:7443"),
        ("IME_PAY", "BASE_URL", "https://stg.imepay.com.np:7979"),
        ("STRIPE", "SECRET_KEY", "sk_test_1"),
        ("STRIPE", "SECRET_KEY", "rk_test_1"),
        ("STRIPE", "API_URL", "http://127.0.0.1:8420"),
        ("STRIPE", "API_URL", "https://localhost:8420"),
    ],
)
def test_production_refuses_the_sandboxes(
    tmp_path: Path, gateway: str, key: str, value: str
) -> None:
    (fault,) = faults(tmp_path, PRODUCTION | enabled(gateway, **{key: value}))
    assert fault.startswith(f"{gateway}.{key}:".lower())
    assert getattr(load(tmp_path, enabled(gateway, **{key: value})), gateway.lower()).enabled


@pytest.mark.parametrize(
    ("gateway", "key", "value"),
    [
        ("KHALTI", "API_URL", "khalti.com/api"),
        ("KHALTI", "API_URL", "ftp://khalti.com/api"),
        ("KHALTI", "API_URL", "https://khalti.com/api?x=1"),
        ("KHALTI", "API_URL", "https://[khalti"),
        ("KHALTI", "API_URL", "https://user@khalti.com/"),
        ("CONNECT_IPS", "MERCHANT_ID", "MER-550"),
        ("CONNECT_IPS", "APP_ID", "A" * 21),
        ("CONNECT_IPS", "APP_NAME", "A,TXNAMT=1"),
    ],
)
def test_unreadable_addresses_and_names_are_refused(
    tmp_path: Path, gateway: str, key: str, value: str
) -> None:
    (fault,) = faults(tmp_path, enabled(gateway, **{key: value}))
    assert fault.startswith(f"{gateway}.{key}:".lower())
