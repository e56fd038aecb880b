"""The people and rooms that the load speaks as: written in batches, not through the front door.

Every room has two members, as in the product, and five messages, so that whoever comes back after
the second has three to catch up with. The peers read the same users, sessions and rooms, and keep
their messages in a collection of their own, where two unique indexes say what ids say in ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from server.auth import JwtSigner
from server.domain.account import Role, Session, User
from server.domain.chat import ChatRoom, Message, MessageType, head_of
from server.domain.ports.accounts import Claims
from server.store import messages, rooms, users
from server.store.client import ASCENDING, Index, Store
from server.store.codec import to_document

SECRET: Final = "bench-secret-that-is-long-enough-for-hmac"  # noqa: S105  # of a throw-away database
PEER_MESSAGES: Final = "peer_messages"
_PEER_INDEXES: Final = (
    Index((("room_id", ASCENDING), ("sequence", ASCENDING)), unique=True),
    Index((("room_id", ASCENDING), ("sender_id", ASCENDING), ("cid", ASCENDING)), unique=True),
)
STORED: Final = 5
SEEN: Final = 2
"""How many of a room's stored messages its members have seen."""
_BATCH: Final = 1000
_TALKERS: Final = 400
_ROLLERS: Final = 40
_PAIRS: Final = 60
LEAST: Final = 20


@dataclass(frozen=True, slots=True)
class Seat:
    """A person in a room: how he opens it."""

    room_id: str
    user_id: str
    token: str
    peer_token: str


@dataclass(frozen=True, slots=True)
class Town:
    """Seats by what they are for; two neighbours share a room.

    ``talkers``, ``rollers`` and ``pairs`` (rooms for a crowd) are others each time: nobody is to
    catch up with what was said in a run before, which in a fast one is more than in a slow one.
    """

    idle: list[Seat]
    talkers: Iterator[list[Seat]]
    rollers: Iterator[list[Seat]]
    pairs: Iterator[tuple[Seat, Seat]]


def others(turns: int) -> int:
    """How many people there are besides those who idle or storm; they come first.

    ``turns``: how often a server is driven through the scenarios.
    """
    return turns * (_TALKERS + _ROLLERS) + 2 * _PAIRS


async def build(store: Store, idle: int, peers_idle: int, turns: int, progress: Any) -> Town:
    """Write everybody into an empty, indexed database.

    There are ``idle`` people besides the ``others``; the peers know the messages of only so many
    of them as they meet.
    """
    await store.collection(PEER_MESSAGES).create_indexes(_PEER_INDEXES)
    now = datetime.now(UTC).replace(microsecond=0)
    signer = JwtSigner(SECRET)
    talking = others(turns)
    total = (idle + talking + 1) // 2
    seats: list[Seat] = []
    places = range(total)
    for start in range(0, total, _BATCH // 2):
        chosen = places[start : start + _BATCH // 2]
        pairs = [_pair(place, now) for place in chosen]
        people = [user for pair in pairs for user in pair]
        sessions = [_session(user, now) for user in people]
        chats = [_room(place, pair, now) for place, pair in zip(chosen, pairs, strict=True)]
        said = [list(_said(chat, now)) for chat in chats]
        chats = [
            replace(chat, head=head_of(rows[-1])) for chat, rows in zip(chats, said, strict=True)
        ]
        spoken = [row for rows in said for row in rows]
        await store.collection(users.USERS).insert_many([to_document(user) for user in people])
        await store.collection(users.SESSIONS).insert_many([to_document(each) for each in sessions])
        await store.collection(rooms.COLLECTION).insert_many(
            [rooms.room_document(chat) for chat in chats]
        )
        await store.collection(messages.COLLECTION).insert_many(
            [each for row in spoken for each in messages.documents_of(row)]
        )
        if start * 2 < peers_idle + talking:
            await store.collection(PEER_MESSAGES).insert_many([to_document(row) for row in spoken])
        seats += _seats(chats, sessions, signer, now)
        progress.update(len(chosen) * 2)
    paired, rest = seats[: 2 * _PAIRS], seats[2 * _PAIRS : talking]
    rolling = turns * _TALKERS
    return Town(
        idle=seats[talking:],
        talkers=_groups(rest[:rolling], _TALKERS),
        rollers=_groups(rest[rolling:], _ROLLERS),
        pairs=itertools.cycle(zip(paired[::2], paired[1::2], strict=True)),
    )


def _groups(seats: list[Seat], size: int) -> Iterator[list[Seat]]:
    return iter([seats[start : start + size] for start in range(0, len(seats), size)])


def _pair(place: int, now: datetime) -> tuple[User, User]:
    def user(side: int, role: Role) -> User:
        number = place * 2 + side
        return User(
            id=f"{0xA000_0000 + number:024x}",
            username=None,
            email=None,
            phone_number=f"+97798{number:08d}",
            full_name=f"Sita Sharma {number}",
            role=role,
            created_at=now,
            updated_at=now,
        )

    return user(0, Role.USER), user(1, Role.PANDIT)


def _session(user: User, now: datetime) -> Session:
    return Session(
        id=f"5{user.id[1:]}",
        user_id=user.id,
        refresh_hash="",
        created_at=now,
        expires_at=now + timedelta(days=1),
    )


def _room(place: int, pair: tuple[User, User], now: datetime) -> ChatRoom:
    return ChatRoom(
        id=f"{0xC000_0000 + place:024x}",
        booking_id=f"{0xB000_0000 + place:024x}",
        customer_id=pair[0].id,
        customer_name=pair[0].full_name,
        pandit_id=f"{0xD000_0000 + place:024x}",
        pandit_user_id=pair[1].id,
        pandit_name=pair[1].full_name,
        created_at=now,
    )


def _said(room: ChatRoom, now: datetime) -> Iterator[Message]:
    for sequence in range(1, STORED + 1):
        yield Message(
            id=f"{sequence:08x}{room.id[8:]}",
            room_id=room.id,
            sequence=sequence,
            sender_id=room.customer_id,
            sender_role=Role.USER,
            sender_name=room.customer_name,
            cid=f"stored-{sequence}",
            message_type=MessageType.TEXT,
            content="Namaste Pandit-ji, shall we buy the flowers the evening before?",
            timestamp=now,
        )


def _seats(
    chats: Sequence[ChatRoom], sessions: Sequence[Session], signer: JwtSigner, now: datetime
) -> list[Seat]:
    expires_at = now + timedelta(hours=12)
    seats = []
    for place, session in enumerate(sessions):
        claims = Claims(session.user_id, session.id, expires_at)
        peer_claims = {"sub": session.user_id, "sid": session.id, "exp": expires_at}
        seats.append(
            Seat(
                chats[place // 2].id,
                session.user_id,
                signer.sign(claims, now),
                jwt.encode(peer_claims, SECRET, algorithm="HS256"),
            )
        )
    return seats
