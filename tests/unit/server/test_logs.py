"""What identifies or admits somebody is masked, whoever logs it and wherever it stands."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from server import logs
from server.settings import LogSettings

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root, output = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("sys.stdout", output)
    logs.configure(LogSettings(format="json"))
    yield output
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("authorization", f"Bearer {TOKEN}"),
        ("cookie", "access=abc"),
        ("refresh_token", "sid.secret"),
        ("password", "a long passphrase"),
        ("otp", "123456"),
        ("code", "123456"),
        ("signature", "deadbeef"),
        ("phone_number", "+9779812345678"),
        ("date_of_birth", "1990-01-01"),
    ],
)
def test_values_are_masked_by_their_key(written: io.StringIO, key: str, value: str) -> None:
    structlog.get_logger("test").info("event", **{key: value})
    assert value not in written.getvalue()
    assert lines(written)[0][key] == logs.MASK


@pytest.mark.parametrize("secret", [TOKEN, "9812345678", "+9779812345678", "Bearer abcdefgh12345"])
def test_tokens_and_phones_are_masked_in_any_text(written: io.StringIO, secret: str) -> None:
    structlog.get_logger("test").info("event", note=f"said {secret} aloud")
    logging.getLogger("library").warning("got %s from outside", secret)
    assert secret not in written.getvalue()
    assert len(lines(written)) == 2


@pytest.mark.parametrize(
    "path",
    ["/calendar/feeds/{}.ics", "/kundali/shared/{}/", "/api/kundali/shared/{}/"],
)
def test_addresses_that_admit_whoever_knows_them_are_masked(
    written: io.StringIO, path: str
) -> None:
    secret = "Zk3-_Wq0rT8uYb2Nc5Vd7Xe9Fg1Hj4Kl6Mp8Qs0Tu2A"
    structlog.get_logger("server.access").info("request", path=path.format(secret), status=200)
    assert secret not in written.getvalue()
    assert lines(written)[0]["path"] == path.format(logs.MASK)


def test_a_trace_is_masked_too(written: io.StringIO) -> None:
    try:
        raise ValueError(f"bad token {TOKEN}")
    except ValueError:
        structlog.get_logger("test").exception("failed")
    assert TOKEN not in written.getvalue()
    assert "ValueError" in lines(written)[0]["exception"]


def test_a_line_has_event_time_level_and_what_was_bound(written: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger("server.access").info("request", status=200)
    line = lines(written)[0]
    assert (line["event"], line["status"], line["request_id"]) == ("request", 200, "r-1")
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")
