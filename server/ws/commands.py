"""What a client may say, and the service method that it comes down to: two tables.

The same services answer REST. A function here takes a command, calls one method and lets the errors
pass; the socket turns them into frames by the same table of problems.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct

from server.domain.account import GeoPoint
from server.domain.chat import Attachment, ChatRoom, MessageType
from server.domain.errors import (
    DomainError,
    FieldFault,
    Forbidden,
    Invalid,
    NotFound,
    NotSignedIn,
    Overloaded,
)
from server.schemas.frames import (
    AckEvent,
    AuthCommand,
    AuthOkEvent,
    Command,
    ErrorEvent,
    FileCommand,
    HistoryCommand,
    ImageCommand,
    MessageCommand,
    NotificationCommand,
    PaymentCommand,
    PingCommand,
    PongEvent,
    PositionCommand,
    ReadCommand,
    ReadNotificationsCommand,
    ShareCommand,
    SharingEvent,
    SyncCommand,
    TextCommand,
    TypingCommand,
    UnshareCommand,
    UnwatchCommand,
    UnwatchSlotsCommand,
    WatchCommand,
    WatchSlotsCommand,
    stamp,
)
from server.services.chats import Outgoing
from server.services.message_writer import Written
from server.ws.framing import Opcode, Received, encode
from server.ws.hub import Hub
from server.ws.protocol import (
    BadFrame,
    CloseCode,
    CommandReader,
    FrameFault,
    error_event,
    fault_event,
)
from server.ws.session import Merger, Session
from server.ws.slot_days import Watched
from server.ws.streams import Stream, answer

_log: Final = logging.getLogger(__name__)
_MAX_ROWS: Final = 200

Act = Callable[[Hub, Session, Stream, Any], Awaitable[None] | None]
"""Acts on one command; what it returns is awaited before the next frame is read."""

_SENDS = MessageCommand | TextCommand | ImageCommand | FileCommand


def send_message(
    hub: Hub, session: Session, stream: Stream, command: _SENDS
) -> Awaitable[None] | None:
    """Queue a message; ``ack`` or ``error`` follows when the writer has done its work."""
    outgoing = _outgoing(command)
    if outgoing.attachment_id is not None:
        return _send_with_file(hub, session, outgoing)
    _submit(hub, session, outgoing, None)
    return _slowly(hub, session)


async def _send_with_file(hub: Hub, session: Session, outgoing: Outgoing) -> None:
    attachment = await hub.chats.find_sendable(session.actor, _room(session), outgoing)
    if session.is_open:
        attachment = await hub.chats.keep(attachment)
    if not session.is_open:
        # Perhaps it was closed because he may not write any more.
        return
    _submit(hub, session, outgoing, attachment)
    if (pause := _slowly(hub, session)) is not None:
        await pause


def _slowly(hub: Hub, session: Session) -> Awaitable[None] | None:
    """What reading waits for when too many sends are unanswered."""
    if session.unacked < hub.limits.max_unacked:
        return None
    hub.metrics.socket_limits.labels("unacked").inc()
    return session.acked_below(hub.limits.max_unacked)


def _submit(hub: Hub, session: Session, outgoing: Outgoing, attachment: Attachment | None) -> None:
    future = hub.chats.submit(session.actor, _room(session), outgoing, attachment)
    cid = outgoing.cid or ""
    session.sending(cid)
    future.add_done_callback(functools.partial(_written, hub, session, cid))


def _written(hub: Hub, session: Session, cid: str, future: asyncio.Future[Written]) -> None:
    error = None if future.cancelled() else future.exception()
    if future.cancelled() or error is not None:
        session.failed(cid)
        session.send(answer_of(error, hub, cid))
    else:
        written = future.result()
        message = written.message
        if written.is_duplicate:
            session.failed(cid)  # No publication follows that it could take the place of.
        session.send(
            AckEvent(
                cid=message.cid,
                id=message.id,
                seq=message.sequence,
                ts=stamp(message.timestamp),
                dup=written.is_duplicate,
            )
        )
    session.answered()


def _outgoing(command: _SENDS) -> Outgoing:
    kind = command.kind if isinstance(command, MessageCommand) else _TAG_KINDS[type(command)]
    if kind not in MessageType.__members__:
        raise Invalid(FieldFault("message_type", "choice"))
    attachment = None if isinstance(command, TextCommand) else command.attachment
    return Outgoing(
        message_type=MessageType(kind),
        content=command.content,
        content_ne=command.content_ne,
        attachment_id=attachment.id if attachment else None,
        reply_to=command.reply_to if isinstance(command, MessageCommand) else None,
        cid=command.cid or str(uuid.uuid4()),
    )


async def sync(hub: Hub, session: Session, stream: Stream, command: SyncCommand) -> None:
    """Answer with what follows a number."""
    rows = await stream.source.after(stream.key, command.since, command.limit)
    await answer(session, stream, rows, command.since, more=len(rows) == command.limit)


async def history(hub: Hub, session: Session, stream: Stream, command: HistoryCommand) -> None:
    """Answer with what stands before a number."""
    rows = await stream.source.before(stream.key, command.before, command.limit)
    start = max(0, command.before - 1)
    await answer(session, stream, rows, start, more=len(rows) == command.limit)


def typing(hub: Hub, session: Session, stream: Stream, command: TypingCommand) -> None:
    """Tell the others, at most once in an interval."""
    if session.user_id not in _room(session).members:
        raise Forbidden

    def tell(is_on: bool) -> None:
        room = session.room
        if room is not None and room.is_active:
            hub.chats.typing(session.actor, room, is_on=is_on)

    busy = session.busy
    if busy.typing_merger is None:
        busy.typing_merger = Merger(hub.limits.merge_seconds, tell)
    busy.typing_merger.offer(command.on)


def read(hub: Hub, session: Session, stream: Stream, command: ReadCommand) -> None:
    """Move one's own mark; several in an interval become the last of them."""
    room = _room(session)

    def mark(sequence: int) -> None:
        hub.spawn(_read(hub, session, room, sequence))

    busy = session.busy
    if busy.read_merger is None:
        busy.read_merger = Merger(hub.limits.merge_seconds, mark)
    session.own_read = max(session.own_read, command.seq)
    busy.read_merger.offer(session.own_read)


async def _read(hub: Hub, session: Session, room: ChatRoom, sequence: int) -> None:
    try:
        await hub.chats.read(session.actor, room.id, sequence)
    except DomainError as error:
        session.send(answer_of(error, hub))


async def read_notifications(
    hub: Hub, session: Session, stream: Stream, command: ReadNotificationsCommand
) -> None:
    """Mark one's own notifications, by number or by id."""
    if (command.seq is None) == (command.ids is None):
        raise Invalid(FieldFault("ids", "choice"))
    await hub.notifications.mark_read(session.actor, ids=command.ids, up_to=command.seq)


async def watch(hub: Hub, session: Session, stream: Stream, command: WatchCommand) -> None:
    """Narrow the socket to some payments of one's own, and say where this one stands."""
    frames = await hub.payments.frames_of(session.actor, command.payment)
    session.busy.watched.add(command.payment)
    for frame in frames:
        session.send_frame(encode(frame))


def unwatch(hub: Hub, session: Session, stream: Stream, command: UnwatchCommand) -> None:
    """Stop hearing of one payment."""
    session.busy.watched.discard(command.payment)


async def watch_slots(
    hub: Hub, session: Session, stream: Stream, command: WatchSlotsCommand
) -> None:
    """Tell the free times of a day now, and again whenever they change."""
    await hub.days.watch(session, Watched(command.service, command.date, command.exclude))


def unwatch_slots(hub: Hub, session: Session, stream: Stream, command: UnwatchSlotsCommand) -> None:
    """Stop hearing of the day that was watched."""
    hub.days.leave(session)


async def share(hub: Hub, session: Session, stream: Stream, command: ShareCommand) -> None:
    """Begin to tell the customer of a booking where one is."""
    found = await hub.positions.share(session.actor, command.booking)
    session.send(
        SharingEvent(
            booking=found.booking_id,
            until=stamp(found.until),
            interval=hub.positions.interval_seconds,
        )
    )


async def tell_position(
    hub: Hub, session: Session, stream: Stream, command: PositionCommand
) -> None:
    """Tell it once."""
    point = GeoPoint(command.lat, command.lng)
    await hub.positions.tell(session.actor, command.booking, point, command.accuracy)


def unshare(hub: Hub, session: Session, stream: Stream, command: UnshareCommand) -> None:
    """Tell it no more."""
    hub.positions.stop(session.actor, command.booking)


async def renew(hub: Hub, session: Session, stream: Stream, command: AuthCommand) -> None:
    """Go on with a fresh token of the same person; any other closes the connection."""
    try:
        actor, expires_at = await hub.authenticate(command.token)
    except NotSignedIn:
        session.close_with(CloseCode.NOT_SIGNED_IN)
        return
    except TimeoutError:
        raise Overloaded from None
    if actor.user_id != session.user_id or hub.has_ended(actor):
        session.close_with(CloseCode.NOT_SIGNED_IN)
        return
    session.actor = actor
    session.expires_at = expires_at
    session.has_heard_of_expiry = False
    session.send(AuthOkEvent(exp=stamp(expires_at)))


def ping(hub: Hub, session: Session, stream: Stream, command: PingCommand) -> None:
    """Answer a sign of life."""
    session.send(PongEvent(t=command.t))


def _room(session: Session) -> ChatRoom:
    if session.room is None:
        raise NotFound
    return session.room


def answer_of(error: BaseException | None, hub: Hub, cid: str | None = None) -> ErrorEvent:
    """The error frame of anything that went wrong; a bug is logged and says nothing of itself."""
    if isinstance(error, DomainError):
        event = error_event(error, hub.translator, cid=cid)
        if event is not None:
            return event
    _log.error("socket_command_failed", exc_info=error)
    return fault_event(FrameFault.INTERNAL, hub.translator, cid=cid)


_TAG_KINDS: Final[dict[type[Struct], str]] = {
    TextCommand: "TEXT",
    ImageCommand: "IMAGE",
    FileCommand: "FILE",
}
CHAT_COMMANDS: Final[dict[type[Struct], Act]] = {
    MessageCommand: send_message,
    TextCommand: send_message,
    ImageCommand: send_message,
    FileCommand: send_message,
    SyncCommand: sync,
    HistoryCommand: history,
    TypingCommand: typing,
    ReadCommand: read,
    AuthCommand: renew,
    PingCommand: ping,
}
NOTIFICATION_COMMANDS: Final[dict[type[Struct], Act]] = {
    ReadNotificationsCommand: read_notifications,
    WatchSlotsCommand: watch_slots,
    UnwatchSlotsCommand: unwatch_slots,
    SyncCommand: sync,
    ShareCommand: share,
    PositionCommand: tell_position,
    UnshareCommand: unshare,
    AuthCommand: renew,
    PingCommand: ping,
}
PAYMENT_COMMANDS: Final[dict[type[Struct], Act]] = {
    WatchCommand: watch,
    UnwatchCommand: unwatch,
    AuthCommand: renew,
    PingCommand: ping,
}
CHAT_READER: Final[CommandReader[Any]] = CommandReader(Command, tuple(CHAT_COMMANDS))
NOTIFICATION_READER: Final[CommandReader[Any]] = CommandReader(
    NotificationCommand, tuple(NOTIFICATION_COMMANDS)
)


PAYMENT_READER: Final[CommandReader[Any]] = CommandReader(PaymentCommand, tuple(PAYMENT_COMMANDS))


@dataclass(frozen=True, slots=True)
class _Door:
    """What may be said on one kind of socket, and how it is read."""

    reader: CommandReader[Any]
    commands: Mapping[type[Struct], Act]


_DOORS: Final = {
    "chat": _Door(CHAT_READER, CHAT_COMMANDS),
    "notifications": _Door(NOTIFICATION_READER, NOTIFICATION_COMMANDS),
    "payments": _Door(PAYMENT_READER, PAYMENT_COMMANDS),
}


def receive(hub: Hub, session: Session, received: Received) -> None:
    """Act on one frame of a client. While what it starts is not done, no further one is read."""
    opcode = received.opcode
    stream = session.stream
    if stream is None:
        return
    if opcode == Opcode.PONG and session.is_pinged:
        # What we asked for uses up nothing of what the client may send.
        session.is_pinged = False
        return
    now = hub.now()
    session.paid_until, wait = hub.pace.take(session.paid_until, now)
    limit = "frame_rate"
    if not wait and opcode != Opcode.PONG:
        # A pong is never the person's own doing: a socket's pace alone bounds those unasked for.
        wait, limit = hub.user_pace.take(session.user_id, now), "user_rate"
    if opcode == Opcode.PONG:
        # Not refused aloud, but whoever floods with them is closed like others.
        if wait:
            _count_refused(hub, session, now, limit)
    elif opcode == Opcode.TEXT:
        door = _DOORS[session.kind]
        command = door.reader.read(received.payload)
        if wait:
            _slow_down(hub, session, now, wait, limit, getattr(command, "cid", None))
        elif isinstance(command, BadFrame):
            _complain(hub, session, now, command)
        else:
            _act(hub, session, stream, door, command)
    elif opcode == Opcode.BINARY:
        session.close_with(CloseCode.BINARY)
    elif wait:
        # A ping is answered already; it counts towards the rate.
        _slow_down(hub, session, now, wait, limit, None)


def _act(hub: Hub, session: Session, stream: Stream, door: _Door, command: Struct) -> None:
    try:
        work = door.commands[type(command)](hub, session, stream, command)
    except Exception as error:
        session.send(answer_of(error, hub, getattr(command, "cid", None)))
        return
    if work is not None:
        cid = getattr(command, "cid", None)
        session.hold(asyncio.ensure_future(_finish(hub, session, work, cid)))


async def _finish(hub: Hub, session: Session, work: Awaitable[None], cid: str | None) -> None:
    try:
        await work
    except Exception as error:
        session.send(answer_of(error, hub, cid))


def _complain(hub: Hub, session: Session, now: float, bad: BadFrame) -> None:
    session.send(fault_event(bad.fault, hub.translator, cid=bad.cid))
    if bad.fault.is_malformed and session.count_malformed(now) >= hub.limits.max_malformed:
        hub.metrics.socket_limits.labels("malformed").inc()
        session.close_with(CloseCode.MALFORMED)


def _slow_down(
    hub: Hub, session: Session, now: float, wait: float, limit: str, cid: str | None
) -> None:
    """Refuse a frame that came too fast; who floods on is closed."""
    retry_after = max(1, math.ceil(wait))
    session.send(
        fault_event(FrameFault.RATE_LIMITED, hub.translator, cid=cid, retry_after=retry_after)
    )
    _count_refused(hub, session, now, limit)


def _count_refused(hub: Hub, session: Session, now: float, limit: str) -> None:
    hub.metrics.socket_limits.labels(limit).inc()
    if session.count_refused(now, hub.pace.burst) >= hub.limits.max_bursts:
        session.close_with(CloseCode.SENDING_TOO_FAST)
