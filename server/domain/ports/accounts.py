"""Accounts, sessions, codes and tokens, and the record of what administrators do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from server.domain.account import OneTimeCode, Role, Session, User
from server.domain.audit import Act, AuditEntry
from server.domain.ports.paging import Page, SortKey


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFilter:
    """Which accounts, the newest first; by phone, in the order of their numbers.

    ``phone`` is the beginning of a number in E.164; ``text`` is looked for at the beginnings of the
    words of a name, of a user name, and of an email.
    """

    phone: str | None = None
    text: str = ""
    role: Role | None = None
    is_active: bool | None = None
    limit: int = 20
    after: SortKey | None = None


class UserRepository(Protocol):
    """Accounts, unique by phone, email and username."""

    async def add(self, user: User) -> None:
        """Store a new account. Raises ``AlreadyExists`` with the field that is taken."""
        ...

    async def find(self, user_id: str) -> User | None:
        """Return the account, or None."""
        ...

    async def find_many(self, user_ids: Collection[str]) -> dict[str, User]:
        """Return the accounts that exist, by id."""
        ...

    async def find_by_identifier(self, identifier: str) -> User | None:
        """Return the account whose phone (E.164), email or username (lower case) that is.

        Or None.
        """
        ...

    async def update(self, user_id: str, changes: Mapping[str, Any]) -> User:
        """Set the named fields and return the account. Raises ``NotFound``, ``AlreadyExists``."""
        ...

    async def verify_phone(self, user_id: str, at: datetime) -> User | None:
        """Note that the phone is its owner's, and take away what was set before that.

        In one write: password, email and username go, and all earlier sign-ins hold no longer.
        None if the phone was verified before, or there is no such account.
        """
        ...

    async def replace_password(
        self, user_id: str, *, old_hash: str, new_hash: str, ends_sign_ins: bool
    ) -> User | None:
        """Store another hash if it still is ``old_hash``, else return None.

        ``ends_sign_ins``: in the same write all earlier sign-ins hold no longer.
        """
        ...

    async def list_admin_ids(self) -> tuple[str, ...]:
        """Return the ids of all active admins (a handful)."""
        ...

    async def list_closing(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Return the ids of accounts whose closing is not all done, the longest waiting first."""
        ...

    async def list_page(self, wanted: UserFilter) -> Page[User]:
        """Return accounts by one indexed query."""
        ...

    async def close_admin(self, admin_id: str, by: str) -> bool:
        """Let one administrator close the account of another, unless his own is closed meanwhile.

        False then. Of several who close each other's at once, one at least stays.
        """
        ...

    async def open_admin(self, admin_id: str) -> None:
        """Take an administrator off the list of those whose accounts are closed."""
        ...


class SessionRepository(Protocol):
    """Sign-in sessions. Expired ones disappear by themselves."""

    async def add(self, session: Session) -> None:
        """Store a new session."""
        ...

    async def find(self, session_id: str) -> Session | None:
        """Return the session, or None when it has ended or expired."""
        ...

    async def rotate(
        self, session_id: str, *, old_hash: str, new_hash: str, expires_at: datetime
    ) -> bool:
        """Replace the refresh hash if it still is ``old_hash``.

        Of two racing callers one gets True.
        """
        ...

    async def carry_over(self, session_id: str, generation: int) -> None:
        """Let the session hold in another generation of its account."""
        ...

    async def end(self, session_id: str) -> None:
        """End one session; ending an ended one is no error."""
        ...

    async def end_all(self, user_id: str) -> None:
        """End every session of a user."""
        ...

    async def list_of(self, user_id: str, limit: int) -> tuple[Session, ...]:
        """Return a user's sessions, the newest first."""
        ...


class CodeRepository(Protocol):
    """One-time codes, at most one for a phone and asker. Expired ones disappear by themselves."""

    async def put(self, code: OneTimeCode, *, replacing_before: datetime) -> bool:
        """Store the code unless one was sent to the phone after that instant, whoever asked.

        It replaces the same asker's code and nobody else's. Of racing callers one gets True.
        """
        ...

    async def last_sent_at(self, phone_number: str) -> datetime | None:
        """Return when a code was sent to the phone last, if that is still known."""
        ...

    async def take_tries(self, phone_number: str, asker: str, kept: int) -> tuple[OneTimeCode, ...]:
        """Use up one try of every code of the phone; return them as they were before.

        Those that have no try left are not among them. The last ``kept`` tries of a code are left
        to the one who asked for it.
        """
        ...

    async def remove(self, code: OneTimeCode) -> bool:
        """Remove the code if it is still that one; True for the one caller who removed it."""
        ...


class CodeSender(Protocol):
    """Sends one-time codes to phones."""

    async def send(self, phone_number: str, code: str, language: str) -> None:
        """Deliver the code; failures are logged by the sender, never told to the asker."""
        ...


class Hasher(Protocol):
    """Hashes passwords off the event loop."""

    async def hash(self, password: str) -> str:
        """Return the argon2id text. Raises ``Overloaded`` when too many wait."""
        ...

    async def verify(self, password_hash: str, password: str) -> bool:
        """Whether the password is that one.

        An empty hash costs the same time and is never right.
        """
        ...

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with weaker parameters than today's."""
        ...


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says."""

    user_id: str
    session_id: str
    expires_at: datetime


class TokenSigner(Protocol):
    """Signs access tokens."""

    def sign(self, claims: Claims, now: datetime) -> str:
        """Return the token."""
        ...

    def read(self, token: str, now: datetime) -> Claims:
        """Return what a valid token says. Raises ``NotSignedIn``."""
        ...


class AuditRepository(Protocol):
    """The record of what administrators did."""

    async def add(self, entry: AuditEntry) -> None:
        """Add an entry."""
        ...

    async def finish(self, entry: AuditEntry) -> None:
        """Write an entry anew whose act has been done."""
        ...

    async def remove(self, entry_id: str) -> None:
        """Take out the entry of an act that was refused, so that there was none."""
        ...

    async def list_page(
        self, *, act: Act | None, target_id: str | None, limit: int, after: SortKey | None
    ) -> Page[AuditEntry]:
        """Return entries, the latest first; the sort key is (at, id)."""
        ...
