"""The way to the providers: what is tried again, what is not, and what the log may know."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.errors import GatewayMisconfigured
from server.gateways.client import (
    MAX_ANSWER_BYTES,
    AnswerLost,
    Call,
    GatewayClient,
    NotSent,
    parse_object,
)
from server.loopback import free_port
from server.settings import GatewaySettings
from tests.provider import BAD_GATEWAY, BREAKS, HANGS, HTML_PAGE, Reply, says


def call(url: str, *, is_safe: bool = True, **changes) -> Call:
    return Call(gateway="test", name="ask", method="POST", url=url, is_safe=is_safe, **changes)


async def test_an_answer_is_read_whatever_its_status(provider, client):
    provider.will(says({"status": "Expired", "amount": 10.10, "paisa": 1010}, 400))
    answer = await client.send(call(provider.url + "/x", json={"a": 1}))
    assert answer.status == 400
    assert not answer.is_good
    assert answer.data == {"status": "Expired", "amount": "10.1", "paisa": "1010"}
    assert provider.seen[0].json == {"a": 1}


@pytest.mark.parametrize("trouble", [BAD_GATEWAY, HTML_PAGE, BREAKS, Reply(b"", 429)])
async def test_what_is_safe_is_tried_four_times_with_growing_pauses(provider, client, trouble):
    provider.will(trouble)
    with pytest.raises((AnswerLost, NotSent)):
        await client.send(call(provider.url))
    assert len(provider.seen) == 4
    assert client.pauses == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(("luck", "pauses"), [(0.0, [0.75, 1.5, 3.0]), (1.0, [1.25, 2.5, 5.0])])
async def test_pauses_are_spread_so_that_tries_do_not_come_together(provider, luck, pauses):
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    spread = GatewayClient(GatewaySettings(), sleep=sleep, jitter=lambda: luck)
    provider.will(BAD_GATEWAY)
    with pytest.raises(AnswerLost):
        await spread.send(call(provider.url))
    assert slept == pauses
    await spread.close()


async def test_a_later_try_may_succeed(provider, client):
    provider.will(BREAKS, BAD_GATEWAY, says({"ok": True}))
    assert (await client.send(call(provider.url))).data == {"ok": True}
    assert client.pauses == [1.0, 2.0]


@pytest.mark.parametrize("is_safe", [True, False])
async def test_an_answer_that_does_not_come_is_given_up(provider, impatient, is_safe):
    provider.will(HANGS)
    with pytest.raises(AnswerLost):
        await impatient.send(call(provider.url, is_safe=is_safe))
    assert impatient.pauses == ([1.0, 2.0, 4.0] if is_safe else [])


@pytest.mark.parametrize("trouble", [BAD_GATEWAY, HTML_PAGE, BREAKS])
async def test_what_may_have_been_done_is_not_repeated(provider, client, trouble):
    provider.will(trouble, says({}))
    with pytest.raises(AnswerLost):
        await client.send(call(provider.url, is_safe=False))
    assert len(provider.seen) == 1


async def test_what_was_certainly_not_done_is_repeated(provider, client):
    provider.will(Reply(b"slow down", 429), says({"ok": True}))
    answer = await client.send(call(provider.url, is_safe=False))
    assert answer.data == {"ok": True}


async def test_nobody_listens(client):
    with pytest.raises(NotSent):
        await client.send(call(f"http://127.0.0.1:{free_port()}/", is_safe=False))
    assert client.pauses == [1.0, 2.0, 4.0]


async def test_tries_end_when_their_time_is_over(provider):
    hurried = GatewayClient(GatewaySettings(total_seconds=0.5))
    provider.will(BAD_GATEWAY)
    with pytest.raises(AnswerLost):
        await hurried.send(call(provider.url))
    assert len(provider.seen) == 1
    await hurried.close()


@pytest.mark.parametrize("reply", [says({"detail": "Invalid token."}, 401), Reply(b"<html>", 403)])
@pytest.mark.logs_errors("gateway_refused_us")
async def test_refused_keys_are_an_alarm_and_not_repeated(provider, client, reply, caplog):
    provider.will(reply)
    with pytest.raises(GatewayMisconfigured), caplog.at_level(logging.ERROR):
        await client.send(call(provider.url))
    assert len(provider.seen) == 1
    assert "gateway_refused_us test ask" in caplog.text


async def test_a_bad_request_without_json_is_not_an_answer(provider, client):
    provider.will(Reply(b"<h1>Not found</h1>", 404))
    with pytest.raises(AnswerLost):
        await client.send(call(provider.url, is_safe=False))


async def test_endless_answers_are_cut_off(provider, client):
    provider.will(Reply(b'{"a": "' + b"x" * MAX_ANSWER_BYTES + b'"}'))
    with pytest.raises(AnswerLost):
        await client.send(call(provider.url, is_safe=False))


async def test_redirects_are_not_followed(provider, client):
    provider.will(Reply(b"{}", 302))
    assert (await client.send(call(provider.url))).status == 302
    assert len(provider.seen) == 1


async def test_the_log_has_no_secret(provider, client, caplog):
    provider.will(BAD_GATEWAY, says({"token": "hush-answer"}))
    with caplog.at_level(logging.DEBUG, logger="server.gateways"):
        await client.send(
            call(
                provider.url,
                headers={"Authorization": "Key hush-key"},
                params={"token": "hush-query"},
                form={"mobile": "9800000001"},
            )
        )
    ours = [line for line in caplog.messages if "gateway_call" in line]
    assert len(ours) == 2
    assert not any("hush" in line or "9800000001" in line for line in ours)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_an_object_or_nothing(body):
    data = parse_object(body)
    assert data is None or isinstance(data, dict)


@given(st.recursive(st.none() | st.booleans() | st.text(), st.lists, max_leaves=5))
def test_only_objects_are_answers(value):
    assert parse_object(json.dumps(value)) is None
    assert parse_object(json.dumps({"a": value})) == {"a": value}


def test_numbers_stay_as_they_were_written():
    assert parse_object('{"a": 1500.50, "b": 1e400, "c": NaN, "d": 9007199254740993}') == {
        "a": "1500.50",
        "b": "1e400",
        "c": "NaN",
        "d": "9007199254740993",
    }


def test_deep_nesting_is_no_answer():
    assert parse_object("[" * 100_000) is None
