"""Chat over REST, and the files of its messages."""

from __future__ import annotations

from typing import Final

from server.domain import errors
from server.domain.account import Actor
from server.domain.chat import MessageType
from server.domain.ports.paging import SortKey
from server.handlers.base import CUSTOMER, PANDIT, ApiHandler, operation
from server.handlers.routing import Route
from server.handlers.uploads import FileHandler, UploadHandler
from server.schemas.base import PageQuery, PageResponse
from server.schemas.chat import (
    AttachmentResponse,
    MessageQuery,
    MessageResponse,
    ReadRequest,
    ReadResponse,
    RoomRequest,
    RoomResponse,
    SendRequest,
    UnreadCountResponse,
    present_attachment,
    present_message,
    present_room,
)
from server.services.chats import Outgoing

_WRITE_ERRORS: Final = (errors.NotFound, errors.RoomClosed, errors.ClientIdConflict)


class RoomsHandler(ApiHandler):
    """``/api/chat/rooms/``."""

    @operation("List one's chat rooms, the latest activity first")
    async def get(self, actor: Actor, query: PageQuery) -> PageResponse[RoomResponse]:
        """List one's own."""
        page = await self.services.chats.list_rooms(
            actor, limit=query.limit, after=self.after(query.cursor)
        )
        return PageResponse(
            results=[present_room(room, actor, self.reader) for room in page.rows],
            next=self.cursor(page.next_key),
        )

    @operation(
        "Open the chat with a pandit, after an accepted booking or an unlock",
        roles=CUSTOMER,
        errors=(errors.UnlockNeeded,),
    )
    async def post(self, actor: Actor, body: RoomRequest) -> RoomResponse:
        """Show the room; before there is one, 403 says what it takes."""
        room = await self.services.chats.room_with(actor, body.pandit_id)
        return present_room(room, actor, self.reader)


class MessagesHandler(ApiHandler):
    """``/api/messages/``."""

    @operation("List messages of a room by sequence number, ascending", errors=(errors.NotFound,))
    async def get(self, actor: Actor, query: MessageQuery) -> PageResponse[MessageResponse]:
        """List those after a number, or the newest before one."""
        before, after = _bounds(query, self.after(query.cursor))
        rows = await self.services.chats.history(
            actor, query.room_id, before=before, after=after, limit=query.limit
        )
        key: SortKey | None = None
        if len(rows) == query.limit:
            key = ("after", rows[-1].sequence) if after is not None else _older(rows[0].sequence)
        return PageResponse(
            results=[present_message(row, self.reader) for row in rows], next=self.cursor(key)
        )


class SendHandler(ApiHandler):
    """``/api/messages/send/``."""

    @operation("Send a message", status=201, errors=_WRITE_ERRORS, idempotent=True)
    async def post(self, actor: Actor, body: SendRequest) -> MessageResponse:
        """Send; answered when the message is durable."""
        written = await self.services.chats.send(
            actor,
            body.room_id,
            Outgoing(
                message_type=MessageType(body.message_type),
                content=body.content,
                content_ne=body.content_ne,
                attachment_id=body.attachment_id,
                reply_to=body.reply_to,
                cid=body.cid,
            ),
        )
        return present_message(written.message, self.reader)


class ReadHandler(ApiHandler):
    """``/api/messages/read/``."""

    @operation("Mark a room as read up to a message", errors=(errors.NotFound,))
    async def post(self, actor: Actor, body: ReadRequest) -> ReadResponse:
        """Move one's own mark; it never goes back."""
        mark = await self.services.chats.read(actor, body.room_id, body.sequence)
        return ReadResponse(
            room_id=body.room_id,
            sequence=mark.sequence,
            read_at=self.reader.local(mark.read_at),
        )


class UnreadCountHandler(ApiHandler):
    """``/api/unread-count/``."""

    @operation("Count what one has not read")
    async def get(self, actor: Actor) -> UnreadCountResponse:
        """Count messages by room, and notifications."""
        rooms = await self.services.chats.unread(actor)
        notifications = await self.services.notifications.unread_count(actor.user_id)
        return UnreadCountResponse(
            total=sum(rooms.values()), rooms=rooms, notifications=notifications
        )


class AttachmentsHandler(UploadHandler):
    """``/api/chat/attachments/``: multipart with ``room_id`` and ``file``."""

    @operation(
        "Upload a picture or PDF for a chat (multipart: room_id, file)",
        status=201,
        roles=CUSTOMER | PANDIT,
        door="upload",
        idempotent=True,
        errors=(
            errors.NotFound,
            errors.RoomClosed,
            errors.TooLarge,
            errors.Invalid,
            errors.UnsupportedMedia,
        ),
    )
    async def post(self, actor: Actor) -> AttachmentResponse:
        """Keep the file; a message of the same room may then carry it."""
        upload = self.upload("room_id")
        attachment = await self.services.chats.upload(
            actor, upload.fields["room_id"], upload.name, upload.content
        )
        return present_attachment(attachment)


class AttachmentFileHandler(FileHandler):
    """``/files/chat/{id}``."""

    @operation("Fetch a file of a chat", errors=(errors.NotFound,))
    async def get(self, attachment_id: str, actor: Actor) -> bytes:
        """Serve it to those who may read its room."""
        attachment, content = await self.services.chats.download(actor, attachment_id)
        self.describe_file(attachment.name, attachment.mime)
        self.set_header("Cache-Control", "private, max-age=3600")
        return content


def _bounds(query: MessageQuery, key: SortKey | None) -> tuple[int | None, int | None]:
    if query.before is not None and query.after is not None:
        raise errors.Invalid(errors.FieldFault("after", "choice"))
    if key is None:
        return query.before, query.after
    direction, sequence = key
    return (None, sequence) if direction == "after" else (sequence, None)


def _older(sequence: int) -> SortKey | None:
    return ("before", sequence) if sequence > 1 else None


ROUTES: Final = (
    Route("/api/chat/rooms/", RoomsHandler, "chat_rooms"),
    Route("/api/chat/attachments/", AttachmentsHandler, "chat_attachments"),
    Route("/api/messages/", MessagesHandler, "messages"),
    Route("/api/messages/send/", SendHandler, "message_send"),
    Route("/api/messages/read/", ReadHandler, "message_read"),
    Route("/api/unread-count/", UnreadCountHandler, "unread_count"),
    Route("/files/chat/{id}", AttachmentFileHandler, "chat_file"),
)
