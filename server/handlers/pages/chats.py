"""One's conversations."""

from __future__ import annotations

from typing import Final

from server.domain.errors import FieldFault, Invalid
from server.handlers.base import ANYONE
from server.handlers.page_base import Form, fresh_key
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.schemas.chat import present_message, present_room
from server.services.chats import Outgoing

_PER_PAGE: Final = 30
_LATEST: Final = 50


class ChatsPage(Page):
    """All conversations, the latest first."""

    roles = ANYONE
    section = "chats"

    async def get(self) -> None:
        """Show them."""
        cursor = self.get_query_argument("cursor", "") or None
        page = await self.services.chats.list_rooms(
            self.person, limit=_PER_PAGE, after=self.after(cursor)
        )
        following = self.cursor(page.next_key)
        await self.show(
            "chat/chats.html",
            title=self.translate("Chats"),
            rooms=[present_room(room, self.person, self.reader) for room in page.rows],
            following=following and self.here(cursor=following),
        )


class ChatPage(Page):
    """One conversation. Without script, a list and a form."""

    roles = ANYONE
    section = "chats"

    async def get(self, room_id: str) -> None:
        """Show it."""
        await self._show(room_id, Form())

    async def post(self, room_id: str) -> None:
        """Send a message."""

        async def send() -> str:
            content = self.typed.get("content", "")
            if not content:
                raise Invalid(FieldFault("content", "empty"))
            cid = self.get_body_argument("_key", "") or None
            await self.services.chats.send(self.person, room_id, Outgoing(content=content, cid=cid))
            return f"/chats/{room_id}/#end"

        await self.submit(send, lambda form: self._show(room_id, form))

    async def _show(self, room_id: str, form: Form) -> None:
        chats = self.services.chats
        room = await chats.room_of(self.person, room_id)
        messages = await chats.messages_before(room.id, None, _LATEST)
        shown = present_room(room, self.person, self.reader)
        # Administrators may read along, and only that.
        is_member = self.person.user_id in room.members
        await self.show(
            "chat/chat.html",
            title=self.translate("Chat with {name}", name=self.local_name(shown.other))
            if is_member
            else self.translate(
                "Chat of {customer} and {pandit}",
                customer=room.customer_name,
                pandit=self.local_name(room, "pandit_name"),
            ),
            room=shown,
            is_member=is_member,
            max_bytes=chats.policy.max_upload_bytes,
            may_write=is_member and room.is_active,
            messages=[present_message(message, self.reader) for message in messages],
            form=form,
            key=fresh_key(),
        )


ROUTES: Final = (
    Route("/chats/", ChatsPage, "page-chats"),
    Route("/chats/{id}/", ChatPage, "page-chat"),
)
