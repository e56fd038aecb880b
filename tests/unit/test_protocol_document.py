"""docs/protocol.md and the code name the same frames, codes and errors."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import get_args

import msgspec

from server.domain import errors
from server.domain.events import EventKind
from server.domain.notification import Notification
from server.schemas import frames
from server.services.notifications import notification_fields
from server.ws.commands import (
    CHAT_COMMANDS,
    CHAT_READER,
    NOTIFICATION_COMMANDS,
    NOTIFICATION_READER,
    PAYMENT_COMMANDS,
    PAYMENT_READER,
)
from server.ws.protocol import BadFrame, CloseCode, FrameFault
from tests.talk import Frame
from tools.check_layers import ROOT

DOCUMENT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
SERVER_PART, _, CLIENT_PART = DOCUMENT.partition("## What the client says")
PUSHED_BY_NOTIFICATIONS = {"notification", "badge", "job_update"}


def examples(part: str) -> list[Frame]:
    return [json.loads(text) for text in re.findall(r"```json\n(.*?)```", part, re.DOTALL)]


def tags(union: object) -> set[str]:
    return {str(each.__struct_config__.tag) for each in get_args(union)}


def test_every_frame_of_the_server_has_an_example_that_fits_its_type() -> None:
    decoder = msgspec.json.Decoder(frames.Event)
    shown = examples(SERVER_PART)
    assert {frame["type"] for frame in shown} == tags(frames.Event) | PUSHED_BY_NOTIFICATIONS
    for frame in shown:
        if frame["type"] not in PUSHED_BY_NOTIFICATIONS:
            decoded = decoder.decode(json.dumps(frame))
            assert json.loads(frames.encode_frame(decoded)).keys() == frame.keys()


def test_the_example_of_a_notification_has_its_fields() -> None:
    told = notification_fields(
        Notification(
            id="6b07",
            user_id="6b01",
            sequence=13,
            event_id="e",
            notification_type=EventKind.BOOKING_ACCEPTED,
            title="",
            title_ne="",
            message="",
            message_ne="",
            data={"booking_id": "6b06", "status": "ACCEPTED"},
            created_at=datetime(2026, 11, 22, tzinfo=UTC),
        )
    )
    (shown,) = (frame for frame in examples(SERVER_PART) if frame["type"] == "notification")
    assert shown.keys() == told.keys()
    assert shown["url"] == told["url"]


def test_every_command_has_an_example_that_is_understood() -> None:
    shown = examples(CLIENT_PART)
    assert {frame["type"] for frame in shown} == tags(frames.Command) | tags(
        frames.PaymentCommand | frames.NotificationCommand
    )
    for frame in shown:
        reader = NOTIFICATION_READER
        if frame["type"] in tags(frames.Command):
            reader = CHAT_READER
        elif frame["type"] in tags(frames.PaymentCommand):
            reader = PAYMENT_READER
        assert not isinstance(reader.read(json.dumps(frame).encode()), BadFrame)


def test_the_tables_of_commands_are_complete() -> None:
    assert set(CHAT_COMMANDS) == set(get_args(frames.Command))
    assert set(NOTIFICATION_COMMANDS) == set(get_args(frames.NotificationCommand))
    assert set(PAYMENT_COMMANDS) == set(get_args(frames.PaymentCommand))


def test_every_close_code_is_in_the_table_and_no_other() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d{4}) \|", DOCUMENT, re.MULTILINE)}
    assert listed == {int(code) for code in CloseCode}


def test_every_error_code_is_in_the_table() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE))
    raised = {
        error.code.replace("-", "_")
        for error in (
            errors.Forbidden, errors.NotFound, errors.RoomClosed, errors.ClientIdConflict,
            errors.Overloaded, errors.StoreUnavailable, errors.IllegalTransition, errors.TooEarly,
        )
    }  # fmt: skip
    assert listed == {fault.code for fault in FrameFault} | raised | {
        "too_large", "unsupported_kind",
    }  # fmt: skip
