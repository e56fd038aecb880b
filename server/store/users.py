"""Accounts, sign-in sessions and one-time codes in MongoDB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from server.domain.account import OneTimeCode, Role, Session, User
from server.domain.errors import AlreadyExists, NotFound
from server.store.client import ASCENDING, Document, DuplicateKey, Index, Store
from server.store.codec import from_document, from_value, to_document, to_value

USERS: Final = "users"
SESSIONS: Final = "sessions"
CODES: Final = "codes"
# "Greater than the empty text" stands for "is a text": an equality implies it, so lookups may use
# the partial index. Of $exists and $type the embedded database does not see that.
_TEXT: Final = {"$gt": ""}
INDEXES: Final[dict[str, tuple[Index, ...]]] = {
    USERS: (
        Index((("phone_number", ASCENDING),), unique=True),
        Index((("email", ASCENDING),), unique=True, partial={"email": _TEXT}),
        Index((("username", ASCENDING),), unique=True, partial={"username": _TEXT}),
        Index((("role", ASCENDING),), partial={"role": Role.ADMIN.value}),
    ),
    SESSIONS: (
        Index((("user_id", ASCENDING),)),
        Index((("expires_at", ASCENDING),), expire_after_seconds=0),
    ),
    CODES: (Index((("expires_at", ASCENDING),), expire_after_seconds=0),),
}
_MAX_ADMINS: Final = 200


class MongoUserRepository:
    """See ``ports.UserRepository``."""

    def __init__(self, store: Store) -> None:
        self._users = store.collection(USERS)

    async def add(self, user: User) -> None:
        try:
            await self._users.insert_one(to_document(user))
        except DuplicateKey as error:
            raise AlreadyExists(error.fields[0]) from None

    async def find(self, user_id: str) -> User | None:
        return _user(await self._users.find_one({"_id": user_id}))

    async def find_by_identifier(self, identifier: str) -> User | None:
        field = "phone_number" if identifier.startswith("+") else "username"
        if "@" in identifier:
            field = "email"
        return _user(await self._users.find_one({field: identifier}))

    async def update(self, user_id: str, changes: Mapping[str, Any]) -> User:
        try:
            document = await self._users.find_one_and_update(
                {"_id": user_id}, {"$set": to_value(dict(changes))}
            )
        except DuplicateKey as error:
            raise AlreadyExists(error.fields[0]) from None
        user = _user(document)
        if user is None:
            raise NotFound
        return user

    async def list_admin_ids(self) -> tuple[str, ...]:
        documents = await self._users.find(
            {"role": Role.ADMIN.value}, fields=("is_active",), limit=_MAX_ADMINS
        )
        return tuple(document["_id"] for document in documents if document["is_active"])


class MongoSessionRepository:
    """See ``ports.SessionRepository``."""

    def __init__(self, store: Store) -> None:
        self._sessions = store.collection(SESSIONS)

    async def add(self, session: Session) -> None:
        await self._sessions.insert_one(to_document(session))

    async def find(self, session_id: str) -> Session | None:
        document = await self._sessions.find_one({"_id": session_id})
        return from_document(Session, document) if document else None

    async def rotate(
        self, session_id: str, *, old_hash: str, new_hash: str, expires_at: datetime
    ) -> bool:
        updated = await self._sessions.update_one(
            {"_id": session_id, "refresh_hash": old_hash},
            {"$set": {"refresh_hash": new_hash, "expires_at": expires_at}},
        )
        return updated.matched == 1

    async def end(self, session_id: str) -> None:
        await self._sessions.delete_one({"_id": session_id})

    async def end_all(self, user_id: str) -> None:
        await self._sessions.delete_many({"user_id": user_id})


class MongoCodeRepository:
    """See ``ports.CodeRepository``. The phone number is the document's id: one code for each."""

    def __init__(self, store: Store) -> None:
        self._codes = store.collection(CODES)

    async def put(self, code: OneTimeCode, *, replacing_before: datetime) -> bool:
        values: Document = to_value(code)
        phone_number = values.pop("phone_number")
        try:
            await self._codes.update_one(
                {"_id": phone_number, "sent_at": {"$lte": replacing_before}},
                {"$set": values},
                upsert=True,
            )
        except DuplicateKey:
            return False
        return True

    async def find(self, phone_number: str) -> OneTimeCode | None:
        return _code(await self._codes.find_one({"_id": phone_number}))

    async def take_try(self, phone_number: str) -> OneTimeCode | None:
        # The document as it is after: the embedded database may give a racing caller an older
        # "before" than the one that his own write replaced.
        after = _code(
            await self._codes.find_one_and_update(
                {"_id": phone_number, "tries_left": {"$gt": 0}}, {"$inc": {"tries_left": -1}}
            )
        )
        return after and replace(after, tries_left=after.tries_left + 1)

    async def remove(self, phone_number: str, code_hash: str) -> bool:
        return await self._codes.delete_one({"_id": phone_number, "code_hash": code_hash})


def _user(document: Document | None) -> User | None:
    return from_document(User, document) if document else None


def _code(document: Document | None) -> OneTimeCode | None:
    if document is None:
        return None
    return from_value(OneTimeCode, {**document, "phone_number": document["_id"]})
