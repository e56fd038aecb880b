"""Accounts, sign-in sessions and one-time codes in MongoDB.

``search_terms`` are all beginnings of the words of a name, a user name and the front part of an
email, in one spelling: whoever looks for somebody asks for one of them, which an index answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from server.domain.account import OneTimeCode, Role, Session, User
from server.domain.errors import AlreadyExists, NotFound
from server.domain.ports.accounts import UserFilter
from server.domain.ports.paging import Page
from server.domain.search import prefixes_of, query_words
from server.store.client import ASCENDING, DESCENDING, Document, DuplicateKey, Index, Store
from server.store.codec import from_document, from_value, to_document, to_value
from server.store.outbox import ANY_TIME
from server.store.paging import cut, page_stages

USERS: Final = "users"
SESSIONS: Final = "sessions"
CODES: Final = "codes"
ROSTERS: Final = "rosters"
"""One document: which administrators' accounts are closed."""
# "Greater than the empty text" stands for "is a text": an equality implies it, so lookups may use
# the partial index. Of $exists and $type the embedded database does not see that.
_TEXT: Final = {"$gt": ""}
INDEXES: Final[dict[str, tuple[Index, ...]]] = {
    USERS: (
        Index((("phone_number", ASCENDING),), unique=True),
        Index((("email", ASCENDING),), unique=True, partial={"email": _TEXT}),
        Index((("username", ASCENDING),), unique=True, partial={"username": _TEXT}),
        Index((("role", ASCENDING),), partial={"role": Role.ADMIN.value}),
        Index((("closing_since", ASCENDING),), partial={"closing_since": ANY_TIME}),
        Index((("role", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING))),
        Index((("created_at", DESCENDING), ("_id", DESCENDING))),
        Index((("search_terms", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING))),
    ),
    SESSIONS: (
        Index((("user_id", ASCENDING), ("created_at", DESCENDING))),
        Index((("expires_at", ASCENDING),), expire_after_seconds=0),
    ),
    CODES: (
        Index((("phone_number", ASCENDING), ("sent_at", DESCENDING))),
        Index((("expires_at", ASCENDING),), expire_after_seconds=0),
    ),
}
_MAX_ADMINS: Final = 200
_MAX_CODES: Final = 20
"""Of one phone, the newest: they live minutes, and there is a pause between two."""
_ADMINS: Final = "admins"
_SEARCHED: Final = frozenset({"full_name", "username", "email"})
_BEYOND: Final = "\U0010ffff"
"""Sorts behind every text that goes on."""


class MongoUserRepository:
    """See ``ports.UserRepository``."""

    def __init__(self, store: Store) -> None:
        self._users = store.collection(USERS)
        self._rosters = store.collection(ROSTERS)

    async def add(self, user: User) -> None:
        try:
            await self._users.insert_one(user_document(user))
        except DuplicateKey as error:
            raise AlreadyExists(error.fields[0]) from None

    async def find(self, user_id: str) -> User | None:
        return _user(await self._users.find_one({"_id": user_id}))

    async def find_many(self, user_ids: Collection[str]) -> dict[str, User]:
        documents = await self._users.find(
            {"_id": {"$in": list(user_ids)}}, limit=max(1, len(user_ids))
        )
        return {document["_id"]: from_document(User, document) for document in documents}

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
        if _SEARCHED & changes.keys():
            await self._renew_search_terms(user)
        return user

    async def verify_phone(self, user_id: str, at: datetime) -> User | None:
        # "Equal to null" is also true of accounts that were stored without the field.
        taken_away = {"password_hash": "", "email": None, "username": None}
        user = _user(
            await self._users.find_one_and_update(
                {"_id": user_id, "phone_verified_at": None},
                {
                    "$set": {"phone_verified_at": at, "updated_at": at, **taken_away},
                    "$inc": {"generation": 1},
                },
            )
        )
        if user is not None:
            await self._renew_search_terms(user)
        return user

    async def replace_password(
        self, user_id: str, *, old_hash: str, new_hash: str, ends_sign_ins: bool
    ) -> User | None:
        change: Document = {"$set": {"password_hash": new_hash}}
        if ends_sign_ins:
            change["$inc"] = {"generation": 1}
        return _user(
            await self._users.find_one_and_update(
                {"_id": user_id, "password_hash": old_hash}, change
            )
        )

    async def _renew_search_terms(self, user: User) -> None:
        # From what is stored: of two changes at once the later one makes them whole.
        await self._users.update_one(
            {"_id": user.id, "updated_at": user.updated_at},
            {"$set": {"search_terms": search_terms(user)}},
        )

    async def list_closing(self, now: datetime, limit: int) -> tuple[str, ...]:
        documents = await self._users.find(
            {"closing_since": {**ANY_TIME, "$lte": now}},
            sort=(("closing_since", ASCENDING),),
            fields=("closing_since",),
            limit=limit,
        )
        return tuple(document["_id"] for document in documents)

    async def list_page(self, wanted: UserFilter) -> Page[User]:
        field, direction = "created_at", DESCENDING
        indexed: Document = {}
        sifting: Document = {}
        if wanted.phone is not None:
            field, direction = "phone_number", ASCENDING
            first = max(wanted.phone, wanted.after[0]) if wanted.after else wanted.phone
            indexed["phone_number"] = {"$gte": first, "$lt": wanted.phone + _BEYOND}
        elif wanted.text:
            front, at, _ = wanted.text.strip().lower().partition("@")
            words = query_words(front)
            if not words:
                return Page(())
            indexed["search_terms"] = max(words, key=len)
            sifting["search_terms"] = {"$all": list(words)}
            if at:
                email = wanted.text.strip().lower()
                sifting["email"] = {"$gte": email, "$lt": email + _BEYOND}
        if wanted.phone is None:
            # Always a lower bound: without one the embedded server does not see that an index
            # serves.
            latest = {"$lte": wanted.after[0]} if wanted.after else {}
            indexed["created_at"] = {**ANY_TIME, **latest}
        if wanted.role is not None:
            is_first = wanted.phone is None and not wanted.text
            (indexed if is_first else sifting)["role"] = wanted.role.value
        if wanted.is_active is not None:
            sifting["is_active"] = wanted.is_active
        documents = await self._users.aggregate(
            page_stages(
                indexed,
                field=field,
                direction=direction,
                limit=wanted.limit,
                after=wanted.after,
                sifting=sifting,
            )
        )
        rows, next_key = cut(documents, field, wanted.limit)
        return Page(tuple(from_document(User, row) for row in rows), next_key)

    async def close_admin(self, admin_id: str, by: str) -> bool:
        # Whoever closes an account must not be on the list himself, and never comes onto it by his
        # own hand: so of all administrators one is always left, whoever races.
        try:
            await self._rosters.update_one(
                {"_id": _ADMINS, "closed": {"$ne": by}},
                {"$addToSet": {"closed": admin_id}},
                upsert=True,
            )
        except DuplicateKey:
            # There is the list, and he is on it.
            return False
        return True

    async def open_admin(self, admin_id: str) -> None:
        await self._rosters.update_one({"_id": _ADMINS}, {"$pull": {"closed": admin_id}})

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

    async def carry_over(self, session_id: str, generation: int) -> None:
        await self._sessions.update_one({"_id": session_id}, {"$set": {"generation": generation}})

    async def end(self, session_id: str) -> None:
        await self._sessions.delete_one({"_id": session_id})

    async def end_all(self, user_id: str) -> None:
        await self._sessions.delete_many({"user_id": user_id})

    async def list_of(self, user_id: str, limit: int) -> tuple[Session, ...]:
        documents = await self._sessions.find(
            {"user_id": user_id}, sort=(("created_at", DESCENDING),), limit=limit
        )
        return tuple(from_document(Session, document) for document in documents)


class MongoCodeRepository:
    """See ``ports.CodeRepository``.

    A code's id is the phone number and the one who asked for it. Under the number alone stands when
    one was sent last; codes once stood there, and their ``sent_at`` still counts for the pause.
    """

    def __init__(self, store: Store) -> None:
        self._codes = store.collection(CODES)

    async def put(self, code: OneTimeCode, *, replacing_before: datetime) -> bool:
        try:
            await self._codes.update_one(
                {"_id": code.phone_number, "sent_at": {"$lte": replacing_before}},
                {"$set": {"sent_at": code.sent_at, "expires_at": code.expires_at}},
                upsert=True,
            )
        except DuplicateKey:
            return False
        await self._codes.update_one(
            {"_id": _code_id(code.phone_number, code.asker)},
            {"$set": to_value(code)},
            upsert=True,
        )
        return True

    async def last_sent_at(self, phone_number: str) -> datetime | None:
        document = await self._codes.find_one({"_id": phone_number})
        return document["sent_at"] if document else None

    async def take_tries(self, phone_number: str, asker: str, kept: int) -> tuple[OneTimeCode, ...]:
        own = _code_id(phone_number, asker)
        documents = await self._codes.find(
            {"phone_number": phone_number}, sort=(("sent_at", DESCENDING),), limit=_MAX_CODES
        )
        taken = await asyncio.gather(
            *(
                self._take_try(code_id, 0 if code_id == own else kept)
                for code_id in dict.fromkeys((own, *(document["_id"] for document in documents)))
            )
        )
        return tuple(code for code in taken if code is not None)

    async def _take_try(self, code_id: str, kept: int) -> OneTimeCode | None:
        # The document as it is after: the embedded database may give a racing caller an older
        # "before" than the one that his own write replaced.
        after = await self._codes.find_one_and_update(
            {"_id": code_id, "tries_left": {"$gt": kept}}, {"$inc": {"tries_left": -1}}
        )
        if after is None:
            return None
        code = from_value(OneTimeCode, after)
        return replace(code, tries_left=code.tries_left + 1)

    async def remove(self, code: OneTimeCode) -> bool:
        return await self._codes.delete_one(
            {"_id": _code_id(code.phone_number, code.asker), "code_hash": code.code_hash}
        )


def user_document(user: User) -> Document:
    """The document of an account with what it is found by; whoever writes in bulk uses it too."""
    document = to_document(user)
    document["search_terms"] = search_terms(user)
    return document


def search_terms(user: User) -> list[str]:
    """What somebody is found by, beside his phone."""
    front = (user.email or "").partition("@")[0]
    return prefixes_of((user.full_name, user.username or "", front))


def _user(document: Document | None) -> User | None:
    return from_document(User, document) if document else None


def _code_id(phone_number: str, asker: str) -> str:
    return f"{phone_number}|{asker}"
