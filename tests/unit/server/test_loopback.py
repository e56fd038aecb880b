"""Ports for processes that are started again: nobody else comes by them."""

from __future__ import annotations

import errno
import socket

import pytest

from server.loopback import HOST, free_port


def test_nobody_listens_there_and_whoever_asks_does_not_meet_himself() -> None:
    for _ in range(50):
        port = free_port()
        with socket.socket() as asking:
            assert asking.connect_ex((HOST, port)) == errno.ECONNREFUSED


def test_no_outgoing_connection_is_given_such_a_port() -> None:
    with socket.create_server((HOST, 0)) as listening:
        given = []
        for _ in range(50):
            with socket.create_connection(listening.getsockname()) as outgoing:
                given.append(outgoing.getsockname()[1])
    assert max(free_port() for _ in range(50)) < min(given)


def test_a_port_in_use_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[socket.socket] = []
    monkeypatch.setattr("server.loopback._LOWEST", 20_000)
    monkeypatch.setattr("server.loopback._ATTEMPTS", 20)
    monkeypatch.setattr("server.loopback._lowest_outgoing", lambda: 20_020)
    try:
        for _ in range(15):
            port = free_port()
            assert port not in {each.getsockname()[1] for each in taken}
            taken.append(socket.create_server((HOST, port)))
    finally:
        for each in taken:
            each.close()
