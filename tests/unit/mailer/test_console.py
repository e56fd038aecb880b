"""The sender of the demo."""

from __future__ import annotations

import io
import logging

import pytest

from server.mailer.console import ConsoleCodeSender


async def test_code_is_one_line_on_the_terminal_and_not_in_the_log(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    with caplog.at_level(logging.DEBUG):
        await ConsoleCodeSender().send("+9779841000001", "042137", "ne")
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert "+9779841000001" in shown.err
    assert "042137" in shown.err
    assert shown.out == ""
    assert caplog.records == []


async def test_another_stream_may_be_given():
    stream = io.StringIO()
    await ConsoleCodeSender(stream).send("+9779841000001", "042137", "en")
    assert "042137" in stream.getvalue()
