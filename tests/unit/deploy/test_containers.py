"""The container files say what they must, as far as that can be seen without an engine."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.handlers.uploads import MAX_SWALLOWED_BYTES, UploadBody
from server.routes import ROUTES
from server.settings import RealtimeSettings, load

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def nginx() -> str:
    text = (ROOT / "deploy/nginx.conf").read_text(encoding="utf-8")
    return re.sub(r"#.*", "", text)


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions with their arguments, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (word.upper(), " ".join(rest.split()))
        for word, _, rest in (line.strip().partition(" ") for line in text.splitlines() if line)
    ]


def final_stage() -> dict[str, str]:
    instructions = dockerfile()
    start = max(at for at, (word, _) in enumerate(instructions) if word == "FROM")
    return dict(instructions[start:])


def location(nginx: str, path: str) -> str:
    match = re.search(r"location (?:= )?" + re.escape(path) + r" \{(.*?)\}", nginx, re.DOTALL)
    assert match is not None, path
    return match[1]


def seconds(block: str, directive: str) -> int:
    match = re.search(directive + r"\s+(\d+)s;", block)
    assert match is not None, directive
    return int(match[1])


def test_the_image_has_two_stages_on_one_base() -> None:
    bases = [rest.split()[0] for word, rest in dockerfile() if word == "FROM"]
    assert bases == ["python:3.11-slim-bookworm"] * 2


def test_the_image_runs_without_root_and_gets_its_signals_itself() -> None:
    stage = final_stage()
    assert stage["USER"] == "10001"
    assert stage["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(stage["ENTRYPOINT"]) == ["pandityatra"]
    assert json.loads(stage["CMD"]) == ["serve"]


def test_the_health_check_is_a_program_that_compiles() -> None:
    command = json.loads(final_stage()["HEALTHCHECK"].partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "healthcheck", "exec")
    assert "/healthz" in command[2]


def test_everything_that_the_image_copies_may_be_copied() -> None:
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    assert {"setup.cfg", "pyproject.toml", "requirements.lock", "server", "config"} <= kept
    assert not kept & {"var", "secrets", ".git", "tests"}


def test_production_starts_with_the_settings_of_the_compose_file(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    secret = tmp_path / "auth_secret"
    secret.write_text("5f" * 32 + "\n")
    environ = compose["services"]["server"]["environment"]
    environ = {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for name, value in environ.items()}
    environ["PANDITYATRA_AUTH__SECRET_FILE"] = str(secret)
    settings = load(ROOT / "config", environ)
    assert settings.is_production
    assert settings.auth.secret == "5f" * 32
    assert settings.database.uri.startswith("mongodb://mongo:27017/")
    assert settings.http.public_origins == ("http://localhost:8080",)


def test_the_image_listens_where_the_proxy_asks(compose: dict[str, Any], nginx: str) -> None:
    port = compose["services"]["server"]["environment"]["PANDITYATRA_HTTP__PORT"]
    assert f"server server:{port} " in nginx
    assert final_stage()["EXPOSE"] == port


def test_only_the_proxy_is_published(compose: dict[str, Any]) -> None:
    published = [name for name, service in compose["services"].items() if "ports" in service]
    assert published == ["proxy"]
    assert compose["networks"]["inside"]["internal"] is True
    assert compose["services"]["mongo"]["networks"] == ["inside"]


def test_the_server_waits_until_database_and_bus_answer(compose: dict[str, Any]) -> None:
    services = compose["services"]
    waits = services["server"]["depends_on"]
    assert {name: wait["condition"] for name, wait in waits.items()} == {
        "mongo": "service_healthy",
        "redis": "service_healthy",
    }
    assert "--replSet" in services["mongo"]["command"]
    assert "rs.initiate" in services["mongo"]["healthcheck"]["test"][-1]


def test_the_server_believes_the_proxy_alone(compose: dict[str, Any]) -> None:
    address = compose["services"]["proxy"]["networks"]["outside"]["ipv4_address"]
    trusted = compose["services"]["server"]["environment"]["PANDITYATRA_HTTP__TRUSTED_PROXIES"]
    assert trusted == address


def test_no_secret_stands_in_the_compose_file(compose: dict[str, Any]) -> None:
    names = compose["services"]["server"]["environment"]
    assert not [name for name in names if name.endswith("SECRET")]
    assert "secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_proxy_outlasts_the_pings(nginx: str) -> None:
    realtime = RealtimeSettings()
    silence = realtime.ping_seconds + realtime.pong_grace_seconds
    assert seconds(location(nginx, "/ws/"), "proxy_read_timeout") > silence


def test_the_proxy_keeps_figures_from_the_public(nginx: str) -> None:
    assert "return 404;" in location(nginx, "/metrics")


def test_the_proxy_leaves_it_to_the_server_how_large_an_upload_may_be(nginx: str) -> None:
    found = re.search(r"location ~ (\S+) \{\s+client_max_body_size (\d+)m;", nginx)
    assert found is not None
    assert int(found[2]) << 20 == MAX_SWALLOWED_BYTES
    paths = [route.path for route in ROUTES if issubclass(route.handler, UploadBody)]
    assert len(paths) == 8
    for path in paths:
        assert re.search(found[1], path), path
        assert re.search(found[1], path.removesuffix("/")), path
    assert not re.search(found[1], "/api/pandits/me/")


@pytest.mark.parametrize(
    "header",
    [
        "Upgrade $http_upgrade",
        "X-Forwarded-For $remote_addr",
        "X-Forwarded-Proto $scheme_seen",
        "X-Request-ID $request_id",
    ],
)
def test_the_proxy_says_who_asked(nginx: str, header: str) -> None:
    assert f"proxy_set_header {header};" in nginx


def test_the_proxy_file_is_balanced(nginx: str) -> None:
    assert nginx.count("{") == nginx.count("}")
