"""Administration of accounts: finding people, looking at one, closing and opening accounts.

Nobody's role is changed here: administrators are made by the command line alone. Every use leaves
an entry in the record.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from server.domain.account import ASCII_DIGITS, Actor, Role, User
from server.domain.administration import UserSheet
from server.domain.audit import Act
from server.domain.errors import Forbidden, LastAdmin, NotFound, OwnAccount
from server.domain.ports.accounts import SessionRepository, UserFilter, UserRepository
from server.domain.ports.bookings import BookingFilter, BookingRepository
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.pandits import PanditRepository
from server.domain.ports.payments import PaymentFilter, PaymentRepository
from server.services.accounts import AccountService
from server.services.audit import AuditService

_LATEST: Final = 10
_SESSIONS: Final = 50
_NUMBER: Final = re.compile(r"(?:\+977|977(?=\d{8}))?(\d{3,10})")


class UserAdminService:
    """What administrators do to accounts."""

    def __init__(
        self,
        *,
        users: UserRepository,
        sessions: SessionRepository,
        pandits: PanditRepository,
        bookings: BookingRepository,
        payments: PaymentRepository,
        accounts: AccountService,
        audit: AuditService,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._pandits = pandits
        self._bookings = bookings
        self._payments = payments
        self._accounts = accounts
        self._audit = audit

    async def search(
        self,
        actor: Actor,
        *,
        text: str = "",
        role: Role | None = None,
        is_active: bool | None = None,
        limit: int = 20,
        after: SortKey | None = None,
    ) -> Page[User]:
        """Return accounts whose phone, name, user name or email begins like that.

        Without a text the newest ones. Words of a name are found in any spelling.
        """
        _require_admin(actor)
        phone = phone_beginning(text)
        return await self._users.list_page(
            UserFilter(
                phone=phone,
                text="" if phone else text.strip(),
                role=role,
                is_active=is_active,
                limit=limit,
                after=after,
            )
        )

    async def names(self, actor: Actor, user_ids: Collection[str]) -> dict[str, str]:
        """Return what those of the accounts that exist are called, by id, in one query."""
        _require_admin(actor)
        found = await self._users.find_many(set(user_ids))
        return {user_id: user.full_name for user_id, user in found.items()}

    async def look_at(self, actor: Actor, user_id: str) -> UserSheet:
        """Return one account with what belongs to it; that it was looked at is on record.

        Raises ``NotFound``.
        """
        _require_admin(actor)
        user = await self._find(user_id)
        # Before: what is shown has been shown.
        await self._audit.record(actor, Act.USER_VIEWED, "user", user_id)
        return await self._sheet(actor, user)

    async def close(self, actor: Actor, user_id: str, reason: str) -> UserSheet:
        """Close an account: its sessions and sockets end at once, everywhere.

        Closing one that is closed changes nothing.

        Raises
        ------
        OwnAccount
            For the actor's own.
        LastAdmin
            If the actor's own account was closed at the same time.
        """
        _require_admin(actor)
        user = await self._find(user_id)
        if user_id == actor.user_id:
            raise OwnAccount
        is_admin = user.role is Role.ADMIN
        async with self._audit.recording(
            actor,
            Act.USER_DEACTIVATED,
            "user",
            user_id,
            name=user.full_name,
            role=user.role,
            reason=reason,
        ):
            if is_admin and not await self._users.close_admin(user_id, actor.user_id):
                raise LastAdmin
            await self._accounts.deactivate(user_id)
        return await self._sheet(actor, await self._find(user_id))

    async def reopen(self, actor: Actor, user_id: str, reason: str) -> UserSheet:
        """Open a closed account again; who it is has to sign in anew."""
        _require_admin(actor)
        user = await self._find(user_id)
        if not user.is_active:
            async with self._audit.recording(
                actor, Act.USER_REACTIVATED, "user", user_id, name=user.full_name, reason=reason
            ):
                user = await self._accounts.reactivate(user_id)
        if user.role is Role.ADMIN:
            # Last: until then he closes nobody else's. Always: a crash may have closed him by half.
            await self._users.open_admin(user_id)
        return await self._sheet(actor, user)

    async def sign_out(self, actor: Actor, user_id: str, reason: str) -> UserSheet:
        """End all sign-ins of an account, also one's own; its sockets close."""
        _require_admin(actor)
        user = await self._find(user_id)
        async with self._audit.recording(
            actor, Act.USER_SIGNED_OUT, "user", user_id, name=user.full_name, reason=reason
        ) as more:
            more["sessions"] = str(await self._accounts.sign_out_everywhere(user_id))
        return await self._sheet(actor, user)

    async def _find(self, user_id: str) -> User:
        user = await self._users.find(user_id)
        if user is None:
            raise NotFound
        return user

    async def _sheet(self, actor: Actor, user: User) -> UserSheet:
        whose = {
            Role.USER: BookingFilter(user_id=user.id, limit=_LATEST),
            Role.PANDIT: BookingFilter(pandit_user_id=user.id, limit=_LATEST),
        }.get(user.role)
        payments = PaymentFilter(user_id=user.id, limit=_LATEST)
        return UserSheet(
            user=user,
            pandit=await self._pandits.find_by_user(user.id) if user.role is Role.PANDIT else None,
            sessions=await self._sessions.list_of(user.id, _SESSIONS),
            bookings=(await self._bookings.list_page(whose)).rows if whose else (),
            payments=(await self._payments.list_page(payments)).rows,
            is_own=user.id == actor.user_id,
        )


def phone_beginning(text: str) -> str | None:
    """The beginning of a number in E.164 that somebody typed, None when it is something else.

    Devanagari digits, spaces and hyphens are understood; three digits are the least.
    """
    plain = "".join(text.translate(ASCII_DIGITS).replace("-", " ").split())
    match = _NUMBER.fullmatch(plain)
    return f"+977{match[1]}" if match else None


def _require_admin(actor: Actor) -> None:
    if not actor.is_admin:
        raise Forbidden
