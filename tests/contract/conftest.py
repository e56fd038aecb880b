"""How long the adapters of Redis wait, in the tests that say nothing of it."""

from __future__ import annotations

import pytest

from server.bus import leases, presence, ratelimit, redis

ANSWER = [
    (leases, "_ANSWER_SECONDS"),
    (presence, "_ANSWER_SECONDS"),
    (ratelimit, "_ANSWER_SECONDS"),
]
BUS = [(redis, "_CONNECT_SECONDS"), (redis, "_CONFIRM_SECONDS"), (redis, "_FLUSH_SECONDS")]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is waited for, however slow the machine is: nobody goes on without it."""
    for module, name in (*ANSWER, *BUS):
        monkeypatch.setattr(module, name, 30.0)


@pytest.fixture
def impatience(patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for Redis goes on without it after a second."""
    for module, name in (*ANSWER, *BUS):
        monkeypatch.setattr(module, name, 1.0)
