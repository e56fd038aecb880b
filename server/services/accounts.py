"""Accounts: who somebody is, how he signs in, and when that ends.

A sign-in is a session: one family of refresh tokens, of which one is good at a time, and access
tokens of some minutes that hold only while the session lives. Whatever ends a session is also
published, so that sockets close at once.

Registering proves nothing about the phone. The first code that comes back from it shows whose it
is: then whatever was set before is taken away, and every earlier sign-in ends.

The database is the truth about what has ended; nothing else keeps a list of it. What was read there
is believed for some seconds, and until the publication that says otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
import secrets
import sys
import unicodedata
import zoneinfo
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from server.domain.account import (
    DEFAULT_LANGUAGE,
    LANGUAGES,
    Actor,
    OneTimeCode,
    Role,
    Session,
    User,
    normalise_phone,
)
from server.domain.calendar import default_availability
from server.domain.errors import (
    AlreadyExists,
    ConcurrentChange,
    FieldFault,
    Invalid,
    InvalidCredentials,
    NoCodes,
    NotFound,
    NotSignedIn,
    Overloaded,
    RateLimited,
    SessionOver,
)
from server.domain.events import Event, EventKind
from server.domain.pandit import Pandit
from server.domain.ports.accounts import (
    Claims,
    CodeRepository,
    CodeSender,
    Hasher,
    SessionRepository,
    TokenSigner,
    UserRepository,
)
from server.domain.ports.pandits import PanditRepository
from server.domain.ports.processes import Bus
from server.domain.ports.world import Clock, IdSource
from server.services.batches import each_of
from server.services.optimistic import change
from server.services.places import PlaceService
from server.services.relay import EventRelay

CONTROL_TOPIC: Final = "control"
"""The bus topic on which processes hear that a session has ended or an account has changed.

JSON objects: ``session_ended`` with ``session_id``; ``user_ended`` and ``user_changed`` with
``user_id``.
"""
EDITABLE: Final = frozenset(
    {"full_name", "email", "language", "timezone", "profile_pic_url", "location"}
)
"""What a person may change of his own account."""

_log: Final = logging.getLogger(__name__)
_EMAIL: Final = re.compile(
    r"[a-z0-9!#$%&'*+/=?^_{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_{|}~-]+)*"
    r"@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"
)
_MAX_EMAIL: Final = 254
_MAX_LOCAL_PART: Final = 64
_USERNAME: Final = re.compile(r"[a-z0-9._-]{3,30}")
_OWN_FILE: Final = re.compile(r"/files(?:/[\w-]{1,80}){1,4}(?:\.[a-z0-9]{1,5})?")
_CODE_DIGITS: Final = 6
_MIN_PASSWORD: Final = 8
_MAX_PASSWORD: Final = 128
_RESET_WITHIN: Final = timedelta(minutes=15)
"""How long after signing in by a code one may set a password without knowing the old one."""
_MIN_DIFFERENT: Final = 4
_MAX_NAME: Final = 120
_JOINERS: Final = "\u200c\u200d"
"""Invisible, but Devanagari is spelled with them."""
_TIMEZONES: Final = frozenset(zoneinfo.available_timezones())
_MAX_SENDING: Final = 200
_SESSIONS: Final = 100
_LEAVING_ATTEMPTS: Final = 20
_CLOSING_ROWS: Final = 50
_MAX_BELIEVED: Final = 50_000
_WORST_PASSWORDS: Final = frozenset(
    {
        "12345678", "123456789", "1234567890", "87654321", "0987654321", "11223344", "password",
        "password1", "password123", "passw0rd", "p@ssw0rd", "qwertyui", "qwerty123", "qwertyuiop",
        "1q2w3e4r", "1qaz2wsx", "asdfghjkl", "iloveyou", "sunshine", "princess", "football",
        "welcome1", "letmein1", "admin123", "administrator", "changeme", "abcd1234", "abc12345",
        "nepal123", "nepal1234", "kathmandu", "pandityatra", "pandit123", "namaste1", "namaste123",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPolicy:
    """How long things hold. ``secret`` keys the hashes of codes and the marks of refresh tokens."""

    secret: str
    access_minutes: int
    refresh_days: int
    code_minutes: int
    code_tries: int
    code_resend_seconds: int
    cache_seconds: float = 0.0
    """How long what was read of a session and its account is believed; 0: not at all."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database said of a session and its account."""

    actor: Actor
    session_ends_at: datetime
    fresh_until: datetime
    """So long it is believed, whether or not the processes can hear of each other."""
    believed_until: datetime
    """So long it is believed while they can."""

    def is_believed(self, now: datetime, *, is_hearing: bool) -> bool:
        """Whether it need not be read anew."""
        return now < self.fresh_until or (is_hearing and now < self.believed_until)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A fresh sign-in: the person and his tokens. ``refresh`` is good once."""

    user: User
    access: str
    refresh: str
    access_expires_at: datetime
    refresh_expires_at: datetime
    is_phone_new: bool = False
    """Whether this sign-in was the first to show whose the phone is."""


def normalise_identifier(identifier: str) -> str:
    """What an account is looked up and limited by: a phone in E.164, else small letters."""
    return normalise_phone(identifier) or identifier.strip().lower()


class AccountService:
    """Registration, sign-in, sessions and profiles."""

    def __init__(
        self,
        *,
        users: UserRepository,
        pandits: PanditRepository,
        sessions: SessionRepository,
        codes: CodeRepository,
        sender: CodeSender | None,
        hasher: Hasher,
        signer: TokenSigner,
        bus: Bus,
        relay: EventRelay,
        places: PlaceService,
        clock: Clock,
        ids: IdSource,
        policy: AccountPolicy,
    ) -> None:
        self._users = users
        self._pandits = pandits
        self._sessions = sessions
        self._codes = codes
        self._sender = sender
        self._hasher = hasher
        self._signer = signer
        self._bus = bus
        self._relay = relay
        self._places = places
        self._clock = clock
        self._ids = ids
        self._policy = policy
        self._code_key = _derive(policy.secret, "one-time codes")
        self._refresh_key = _derive(policy.secret, "refresh tokens")
        self._sending: set[asyncio.Task[None]] = set()
        # By session id; only while what ends a session is heard of.
        self._is_hearing = False
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._looking: dict[tuple[str, str], asyncio.Task[_Known]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hear of what ends sessions or changes accounts, in any process, while this lasts.

        Only then is what was read from the database believed for a while.
        """
        await self._bus.subscribe(CONTROL_TOPIC, self._on_control)
        self._bus.on_restored(self._forget_all)
        self._is_hearing = True
        try:
            yield
        finally:
            self._is_hearing = False
            self._bus.unsubscribe(CONTROL_TOPIC, self._on_control)
            self._forget_all()

    # -- becoming somebody ------------------------------------------------------------------------

    async def register(
        self,
        full_name: str,
        phone_number: str,
        password: str,
        email: str | None = None,
        username: str | None = None,
        role: Role = Role.USER,
        language: str = DEFAULT_LANGUAGE,
    ) -> SignedIn:
        """Make an account and sign it in; a pandit gets a profile that waits for verification.

        Raises
        ------
        Invalid
            Naming every faulty field; also for a role that nobody can give himself.
        AlreadyExists
            With the field that another account has.
        """
        if role is Role.ADMIN:
            raise Invalid(FieldFault("role", "choice"))
        user = await self._add(full_name, phone_number, password, email, username, role, language)
        if role is Role.PANDIT:
            await self._ensure_profile(user)
        return await self._open_session(user)

    async def create_admin(self, full_name: str, phone_number: str, password: str) -> User:
        """Make an administrator; for the command line alone. Raises as :meth:`register` does."""
        return await self._add(
            full_name, phone_number, password, None, None, Role.ADMIN, is_phone_verified=True
        )

    async def _add(
        self,
        full_name: str,
        phone_number: str,
        password: str,
        email: str | None,
        username: str | None,
        role: Role,
        language: str = DEFAULT_LANGUAGE,
        *,
        is_phone_verified: bool = False,
    ) -> User:
        faults: list[FieldFault] = []
        name = _full_name(full_name, faults)
        phone = normalise_phone(phone_number)
        if phone is None:
            faults.append(FieldFault("phone_number", "phone"))
        mail = _email(email, faults)
        account_name = _username(username, faults)
        if language not in LANGUAGES:
            faults.append(FieldFault("language", "choice"))
        plain = _plain_password(password)
        if _is_weak(plain, (name, phone or "", mail or "", account_name or "")):
            faults.append(FieldFault("password", "password-weak"))
        if faults or phone is None:
            raise Invalid(*faults)
        now = self._clock.now()
        user = User(
            id=self._ids.new(),
            username=account_name,
            email=mail,
            phone_number=phone,
            phone_verified_at=now if is_phone_verified else None,
            full_name=name,
            role=role,
            password_hash=await self._hasher.hash(plain),
            language=language,
            created_at=now,
            updated_at=now,
        )
        await self._users.add(user)
        return user

    # -- signing in and out -----------------------------------------------------------------------

    async def sign_in(self, identifier: str, password: str) -> SignedIn:
        """Sign in by phone, email or username.

        Raises ``InvalidCredentials`` alike, and after the same time, for an unknown name, a wrong
        password and a deactivated account.
        """
        user = await self._users.find_by_identifier(normalise_identifier(identifier))
        plain = _plain_password(password)
        is_right = await self._hasher.verify(user.password_hash if user else "", plain)
        if user is None or not is_right or not user.is_active:
            raise InvalidCredentials
        if self._hasher.needs_rehash(user.password_hash):
            # Left alone where it has changed meanwhile: what was taken away must not come back.
            await self._users.replace_password(
                user.id,
                old_hash=user.password_hash,
                new_hash=await self._hasher.hash(plain),
                ends_sign_ins=False,
            )
        return await self._welcome(user)

    @property
    def sends_codes(self) -> bool:
        """Whether one can sign in by a code to one's phone."""
        return self._sender is not None

    async def request_code(self, phone_number: str, asker: str = "") -> None:
        """Send a one-time code to the phone if it has an account, in the language of its owner.

        ``asker`` is what tells who asks from others: a browser that the account knows, or an
        address. Everything that he can see or measure is the same when there is no account: a code
        is made and stored for any number, and sending happens after the answer.

        The code replaces an earlier one of the same asker. What others have asked for stays good:
        a stranger who asks, too, does not void the code that the owner is just typing in. Between
        two sendings to one number there is a pause, whoever asks.

        Raises
        ------
        Invalid
            If it is no Nepali mobile number.
        RateLimited
            If the last code for the number is too fresh.
        Overloaded
            If too many codes are still on their way.
        NoCodes
            If nothing is set up that could send one.
        """
        if self._sender is None:
            raise NoCodes
        phone = normalise_phone(phone_number)
        if phone is None:
            raise Invalid(FieldFault("phone_number", "phone"))
        if len(self._sending) >= _MAX_SENDING:
            raise Overloaded
        now = self._clock.now()
        pause = timedelta(seconds=self._policy.code_resend_seconds)
        digits = f"{secrets.randbelow(10**_CODE_DIGITS):0{_CODE_DIGITS}d}"
        code = OneTimeCode(
            phone_number=phone,
            code_hash=self._code_hash(phone, digits),
            asker=self._mark_of(asker),
            tries_left=self._policy.code_tries,
            sent_at=now,
            expires_at=now + timedelta(minutes=self._policy.code_minutes),
        )
        if not await self._codes.put(code, replacing_before=now - pause):
            last = await self._codes.last_sent_at(phone)
            wait = (last + pause - now) if last else pause
            raise RateLimited(max(1, -(-wait // timedelta(seconds=1))))
        user = await self._users.find_by_identifier(phone)
        if user is not None and user.is_active:
            self._send_later(phone, digits, user.language)

    async def verify_code(self, phone_number: str, code: str, asker: str = "") -> SignedIn:
        """Sign in by the code that was sent to the phone; it is good once.

        The first one of an account shows whose the phone is. Whoever registered it may have been
        somebody else: password, email and username are taken away, and his sign-ins end.

        A code takes few tries, of which nearly half are left to the ``asker`` who asked for it:
        others cannot use up the code that somebody has just been sent. Phones change their address
        between two networks, so the others are not refused at once.

        What is entered is held against every code that is under way to the phone, and uses up a try
        of each. So asking from many addresses does not help in guessing: all guesses at a number
        together are at most the codes sent to it times the tries of one.

        Raises ``InvalidCredentials`` for a wrong, used or expired code, when all tries are used up,
        and for a number without an account; ``Invalid`` if it is no Nepali mobile number.
        """
        phone = normalise_phone(phone_number)
        if phone is None:
            raise Invalid(FieldFault("phone_number", "phone"))
        codes, user = await asyncio.gather(
            self._codes.take_tries(phone, self._mark_of(asker), self._policy.code_tries // 2),
            self._users.find_by_identifier(phone),
        )
        given = self._code_hash(phone, _ascii_digits(code))
        now = self._clock.now()
        live = [code for code in codes if code.expires_at > now]
        sent = next((each for each in live if hmac.compare_digest(each.code_hash, given)), None)
        if sent is None or user is None or not user.is_active:
            raise InvalidCredentials
        if not await self._codes.remove(sent):
            raise InvalidCredentials
        verified = await self._users.verify_phone(user.id, self._clock.now())
        if verified is not None:
            await self.sign_out_everywhere(user.id)
            user = verified
        signed_in = await self._welcome(user, by_code=True)
        return replace(signed_in, is_phone_new=verified is not None)

    async def refresh(self, refresh_token: str) -> SignedIn:
        """Exchange a refresh token for a new pair.

        A token that was good before and is not the present one has been copied by somebody, or used
        twice: its whole session ends.

        Raises ``InvalidCredentials`` for any token but the present one.
        """
        session_id, _, secret = refresh_token.partition(".")
        session = await self._sessions.find(session_id)
        now = self._clock.now()
        if session is None or session.expires_at <= now:
            raise InvalidCredentials
        user = await self._users.find(session.user_id)
        if user is None or not _holds(session, user):
            raise InvalidCredentials
        renewed, expires_at = self._refresh_token(session_id), self._refresh_end()
        is_rotated = await self._sessions.rotate(
            session_id,
            old_hash=_sha256(refresh_token),
            new_hash=_sha256(renewed),
            expires_at=expires_at,
        )
        if not is_rotated:
            # Only a token that we made ends the session: an id alone must not sign anybody out.
            if self._is_marked(session_id, secret):
                _log.warning("refresh_token_reused", extra={"session_id": session_id})
                await self._end_session(session_id)
            raise InvalidCredentials
        return self._signed_in(user, session_id, renewed, expires_at)

    async def renew_access(self, refresh_token: str) -> SignedIn:
        """Return a new access token for a session, leaving its refresh token as it is.

        For the site's own pages, several of which may be opened at the same moment: if each used up
        the refresh token, they would end each other's session.

        Raises ``InvalidCredentials`` for any token but the present one.
        """
        session_id, _, _ = refresh_token.partition(".")
        session = await self._sessions.find(session_id)
        if session is None or session.expires_at <= self._clock.now():
            raise InvalidCredentials
        if not hmac.compare_digest(session.refresh_hash, _sha256(refresh_token)):
            raise InvalidCredentials
        user = await self._users.find(session.user_id)
        if user is None or not _holds(session, user):
            raise InvalidCredentials
        return self._signed_in(user, session_id, refresh_token, session.expires_at)

    async def sign_out(self, actor: Actor) -> None:
        """End the actor's session: its tokens hold no longer, its sockets close."""
        await self._end_session(actor.session_id)

    async def deactivate(self, user_id: str) -> None:
        """Close an account: nobody can sign in to it, and its sessions end.

        A pandit is offered no more, and what he is asked for goes to others; what he has accepted
        stays. What does not come through of that the clock does. Raises ``NotFound``.
        """
        now = self._clock.now()
        user = await self._users.update(
            user_id, {"is_active": False, "closing_since": now, "updated_at": now}
        )
        await self._close_for_good(user)

    async def finish_closing(self) -> int:
        """Do what is left of closings that something has cut short; for the clock."""
        waiting = await self._users.list_closing(self._clock.now(), _CLOSING_ROWS)

        async def finish(user_id: str) -> None:
            user = await self._users.find(user_id)
            # Otherwise it was opened again meanwhile.
            if user is not None and not user.is_active:
                await self._close_for_good(user)

        await each_of(waiting, finish, expected=(), what="closed account")
        return len(waiting)

    async def _close_for_good(self, user: User) -> None:
        """Do what follows from a closed account; what is done already is done again."""
        is_done = True
        left: Pandit | None = None
        if user.role is Role.PANDIT and await self._pandits.find_by_user(user.id):
            # First: from now on nobody should find him.
            try:
                left = await self._leave(user.id)
            except ConcurrentChange:
                # The account is closed all the same; the clock comes back to this.
                _log.exception("closed_pandit_still_offered", extra={"user_id": user.id})
                is_done = False
        await self._sessions.end_all(user.id)
        await self._publish({"type": "user_ended", "user_id": user.id})
        if is_done:
            await self._users.update(user.id, {"closing_since": None})
        if left is not None:
            # Last: who takes over what he was asked is looked for one by one, and till he is signed
            # out he might say that he takes bookings again.
            await self._relay.deliver("pandits", left.id, left.outbox)

    async def reactivate(self, user_id: str) -> User:
        """Open a closed account again; what was signed in before stays ended.

        A pandit takes bookings again when he says so himself. Raises ``NotFound``.
        """
        # A sign-in that raced the closing may have left a session behind.
        await self._sessions.end_all(user_id)
        return await self._users.update(
            user_id,
            {"is_active": True, "closing_since": None, "updated_at": self._clock.now()},
        )

    async def sign_out_everywhere(self, user_id: str) -> int:
        """End all sessions that an account has now; returns how many. He may sign in again."""
        return await self._end_sessions(user_id)

    async def _end_sessions(self, user_id: str, but: str = "") -> int:
        ended = 0
        while found := await self._sessions.list_of(user_id, _SESSIONS):
            others = [session for session in found if session.id != but]
            for session in others:
                await self._end_session(session.id)
            ended += len(others)
            if len(found) < _SESSIONS:
                break
        return ended

    # -- passwords --------------------------------------------------------------------------------

    async def asks_old_password(self, actor: Actor) -> bool:
        """Whether :meth:`set_password` wants to know the present password."""
        user, session = await self._own(actor)
        return self._asks_old_password(user, session)

    def _asks_old_password(self, user: User, session: Session) -> bool:
        is_fresh = self._clock.now() - session.created_at < _RESET_WITHIN
        return bool(user.password_hash) and not (session.by_code and is_fresh)

    async def set_password(self, actor: Actor, new: str, old: str | None = None) -> None:
        """Set the actor's password; his other sign-ins end.

        Who has just signed in by a code, or has no password, need not know the old one.

        Raises
        ------
        Invalid
            If the new one is weak, or the old one missing or wrong.
        NotSignedIn
            If the sign-in has ended meanwhile.
        """
        user, session = await self._own(actor)
        plain = _plain_password(new)
        own = (user.full_name, user.phone_number, user.email or "", user.username or "")
        if _is_weak(plain, own):
            raise Invalid(FieldFault("new_password", "password-weak"))
        if self._asks_old_password(user, session):
            if not old:
                raise Invalid(FieldFault("old_password", "required"))
            if not await self._hasher.verify(user.password_hash, _plain_password(old)):
                raise Invalid(FieldFault("old_password", "password-wrong"))
        changed = await self._users.replace_password(
            user.id,
            old_hash=user.password_hash,
            new_hash=await self._hasher.hash(plain),
            ends_sign_ins=True,
        )
        if changed is None:
            # Another change was faster.
            raise Invalid(FieldFault("old_password", "password-wrong"))
        await self._sessions.carry_over(session.id, changed.generation)
        await self._end_sessions(user.id, but=session.id)

    async def _own(self, actor: Actor) -> tuple[User, Session]:
        """The actor's account and sign-in as the database has them now."""
        session, user = await asyncio.gather(
            self._sessions.find(actor.session_id), self._users.find(actor.user_id)
        )
        if session is None or user is None or not _holds(session, user):
            raise NotSignedIn
        return user, session

    # -- being somebody ---------------------------------------------------------------------------

    async def actor_of(self, access_token: str) -> Actor:
        """Who asks. Raises ``NotSignedIn`` unless token, session and account all hold now."""
        actor, _ = await self.actor_with_expiry(access_token)
        return actor

    async def actor_with_expiry(self, access_token: str) -> tuple[Actor, datetime]:
        """Who asks, and until when his access token holds; see :meth:`actor_of`."""
        now = self._clock.now()
        claims = self._signer.read(access_token, now)
        known = self._believed(claims, now) or await self._look_up(claims, now)
        return _actor_and_expiry(known, claims, now)

    def remembered(self, access_token: str) -> tuple[Actor, datetime] | None:
        """The same, if it is known without asking the database; otherwise None.

        Raises ``NotSignedIn`` for a token that is not valid.
        """
        now = self._clock.now()
        claims = self._signer.read(access_token, now)
        known = self._believed(claims, now)
        return _actor_and_expiry(known, claims, now) if known is not None else None

    @property
    def _remembers(self) -> bool:
        """Whether sign-ins are remembered: not before their ends are heard of."""
        return self._is_hearing and self._policy.cache_seconds > 0

    def _believed(self, claims: Claims, now: datetime) -> _Known | None:
        """What is remembered of the session, if it is fresh."""
        if not self._remembers:
            return None
        known = self._known.get(claims.session_id)
        if (
            known is None
            or known.actor.user_id != claims.user_id
            or not known.is_believed(now, is_hearing=self._bus.is_online)
        ):
            return None
        self._known.move_to_end(claims.session_id)
        return known

    async def _look_up(self, claims: Claims, now: datetime) -> _Known:
        """What the database knows of the session.

        Those who ask for the same at the same time wait for one answer, which is remembered.
        """
        if not self._remembers:
            return await self._read(claims, now)
        key = (claims.session_id, claims.user_id)
        looking = self._looking.get(key)
        if looking is None:
            looking = self._looking[key] = asyncio.create_task(self._read(claims, now))
            looking.add_done_callback(lambda task: self._looked_up(key, task))
        # Shielded: one who gives up must not take the answer from the others.
        return await asyncio.shield(looking)

    def _looked_up(self, key: tuple[str, str], task: asyncio.Task[_Known]) -> None:
        # What was forgotten while it was read may be out of date: it is not kept.
        is_current = self._looking.get(key) is task
        if is_current:
            del self._looking[key]
        if task.cancelled() or task.exception() is not None or not is_current:
            return
        self._known[key[0]] = task.result()
        self._known.move_to_end(key[0])
        if len(self._known) > _MAX_BELIEVED:
            self._known.popitem(last=False)

    async def _read(self, claims: Claims, now: datetime) -> _Known:
        session, user = await asyncio.gather(
            self._sessions.find(claims.session_id), self._users.find(claims.user_id)
        )
        if session is None or session.user_id != claims.user_id or session.expires_at <= now:
            raise NotSignedIn
        if user is None or not _holds(session, user):
            raise NotSignedIn
        actor = _actor(user, session.id)
        fresh_until = now + timedelta(seconds=self._policy.cache_seconds)
        return _Known(actor, session.expires_at, fresh_until, fresh_until)

    def _on_control(self, payload: bytes) -> None:
        message: dict[str, str] = json.loads(payload)
        if message.get("type") == "session_ended":
            session_id = message["session_id"]
            self._known.pop(session_id, None)
            self._stop_looking(lambda session, _: session == session_id)
        elif message.get("type") in ("user_ended", "user_changed"):
            user_id = message["user_id"]
            self._forget(lambda _, user: user == user_id)

    def _forget(self, is_meant: Callable[[str, str], bool]) -> None:
        for session_id in [
            session_id
            for session_id, known in self._known.items()
            if is_meant(session_id, known.actor.user_id)
        ]:
            del self._known[session_id]
        self._stop_looking(is_meant)

    def _stop_looking(self, is_meant: Callable[[str, str], bool]) -> None:
        for key in [key for key in self._looking if is_meant(*key)]:
            # Whoever waits for it has asked before; whoever asks from now on reads anew.
            del self._looking[key]

    def _forget_all(self) -> None:
        """Something may have been missed."""
        self._forget(lambda session_id, user_id: True)

    def believe(self, actor: Actor, seconds: float) -> None:
        """Go on believing what is known of a sign-in whose connection has just ended.

        While it was open, whatever ends or changes the sign-in would have been heard of and the
        entry would be gone: so those who all come back at once need not all be looked up. Of
        course only while the processes can hear of each other.
        """
        known = self._known.get(actor.session_id)
        if known is not None and self._bus.is_online:
            until = self._clock.now() + timedelta(seconds=seconds)
            self._known[actor.session_id] = replace(known, believed_until=until)

    async def as_now(self, actor: Actor) -> Actor | None:
        """The actor as his account is now; None when it is closed."""
        user = await self._users.find(actor.user_id)
        return _actor(user, actor.session_id) if user is not None and user.is_active else None

    async def is_signed_in(self, actor: Actor) -> bool:
        """Whether the actor's sign-in and account still hold, as the database says."""
        session = await self._sessions.find(actor.session_id)
        if session is None or session.expires_at <= self._clock.now():
            return False
        user = await self._users.find(actor.user_id)
        return user is not None and _holds(session, user) and user.role == actor.role

    async def profile(self, actor: Actor) -> User:
        """The actor's own account."""
        user = await self._users.find(actor.user_id)
        if user is None:
            raise NotFound
        return user

    async def update_profile(self, actor: Actor, changes: Mapping[str, Any]) -> User:
        """Change the actor's own account.

        Parameters
        ----------
        actor
            Whose account it is.
        changes
            New values by field name, of :data:`EDITABLE` alone; None clears ``email`` and
            ``location``. A location without a position is given that of the place it names.

        Raises
        ------
        Invalid
            Naming every faulty field.
        AlreadyExists
            If another account has the email.
        """
        values, faults = _checked(changes)
        if faults:
            raise Invalid(*faults)
        if not values:
            return await self.profile(actor)
        if values.get("location") is not None:
            values["location"] = self._places.located(values["location"])
        user = await self._users.update(actor.user_id, {**values, "updated_at": self._clock.now()})
        await self._publish({"type": "user_changed", "user_id": user.id})
        if user.role is Role.PANDIT:
            await self._ensure_profile(user)
        return user

    async def close(self) -> None:
        """Wait for the codes that are on their way; called once, at the end."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=5.0)
        for task in tuple(self._sending):
            task.cancel()

    # -- sessions ---------------------------------------------------------------------------------

    async def _welcome(self, user: User, *, by_code: bool = False) -> SignedIn:
        if user.role is Role.PANDIT:
            await self._ensure_profile(user)
        return await self._open_session(user, by_code=by_code)

    async def _open_session(self, user: User, *, by_code: bool = False) -> SignedIn:
        # Of the generation that was read before the password was tried: a sign-in that was
        # overtaken by what ends them all is void from the start.
        session_id = self._ids.new()
        refresh, expires_at = self._refresh_token(session_id), self._refresh_end()
        await self._sessions.add(
            Session(
                id=session_id,
                user_id=user.id,
                refresh_hash=_sha256(refresh),
                generation=user.generation,
                by_code=by_code,
                created_at=self._clock.now(),
                expires_at=expires_at,
            )
        )
        return self._signed_in(user, session_id, refresh, expires_at)

    def _signed_in(
        self, user: User, session_id: str, refresh: str, refresh_expires_at: datetime
    ) -> SignedIn:
        now = self._clock.now()
        expires_at = now + timedelta(minutes=self._policy.access_minutes)
        access = self._signer.sign(Claims(user.id, session_id, expires_at), now)
        return SignedIn(user, access, refresh, expires_at, refresh_expires_at)

    async def _end_session(self, session_id: str) -> None:
        await self._sessions.end(session_id)
        await self._publish({"type": "session_ended", "session_id": session_id})

    async def _publish(self, message: dict[str, str]) -> None:
        self._bus.publish(CONTROL_TOPIC, json.dumps(message).encode())

    def _refresh_end(self) -> datetime:
        return self._clock.now() + timedelta(days=self._policy.refresh_days)

    def _refresh_token(self, session_id: str) -> str:
        """``session.random~mark``: the mark shows later that this token was once ours."""
        random = secrets.token_urlsafe(32)
        return f"{session_id}.{random}~{self._mark(session_id, random)}"

    def _is_marked(self, session_id: str, secret: str) -> bool:
        random, _, mark = secret.partition("~")
        return hmac.compare_digest(mark.encode(), self._mark(session_id, random).encode())

    def _mark(self, session_id: str, random: str) -> str:
        text = f"{session_id}.{random}"
        return hmac.digest(self._refresh_key, text.encode(), "sha256").hex()[:32]

    # -- one-time codes ---------------------------------------------------------------------------

    def _code_hash(self, phone_number: str, digits: str) -> str:
        return hmac.digest(self._code_key, f"{phone_number}|{digits}".encode(), "sha256").hex()

    def _mark_of(self, asker: str) -> str:
        """What stands for an asker in the database, which has no use for his address itself."""
        return self._code_hash("asker", asker)[:32]

    def _send_later(self, phone_number: str, digits: str, language: str) -> None:
        task = asyncio.create_task(self._send(phone_number, digits, language), name="send-code")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, phone_number: str, digits: str, language: str) -> None:
        if self._sender is None:
            raise NoCodes
        try:
            await self._sender.send(phone_number, digits, language)
        except Exception:
            _log.exception("code_not_sent")

    # -- a pandit's profile -----------------------------------------------------------------------

    async def _ensure_profile(self, user: User) -> None:
        """Make the pandit's profile agree with his account, and exist.

        Called at registration, and again at every sign-in: a crash between the two writes, or a
        change that reached only the account, mends itself.
        """
        profile = await self._pandits.find_by_user(user.id)
        shown = {
            "full_name": user.full_name,
            "profile_pic_url": user.profile_pic_url,
            "phone_number": user.phone_number,
            "email": user.email,
        }
        if profile is None:
            await self._add_profile(user)
        elif any(getattr(profile, name) != value for name, value in shown.items()):
            await self._change_profile(user.id, shown)

    async def _add_profile(self, user: User) -> None:
        now = self._clock.now()
        event = Event(
            id=self._ids.new(),
            kind=EventKind.PANDIT_REGISTERED,
            at=now,
            recipients=await self._users.list_admin_ids(),
            params={"pandit": user.full_name},
        )
        pandit = Pandit(
            id=self._ids.new(),
            user_id=user.id,
            full_name=user.full_name,
            profile_pic_url=user.profile_pic_url,
            phone_number=user.phone_number,
            email=user.email,
            availability=default_availability(),
            date_joined=now,
            updated_at=now,
            outbox=(event,),
        )
        try:
            await self._pandits.add(pandit)
        except AlreadyExists:
            # Another sign-in of the same person was faster.
            return
        await self._relay.deliver("pandits", pandit.id, pandit.outbox)

    async def _leave(self, user_id: str) -> Pandit:
        """Take a pandit whose account is closed out of the search; his event is to be delivered."""

        def left(profile: Pandit) -> Pandit:
            event = Event(
                id=f"{profile.id}.{profile.version + 1}.{len(profile.outbox)}",
                kind=EventKind.PANDIT_LEFT,
                at=self._clock.now(),
                recipients=(),
                params={"pandit_id": profile.id},
            )
            return replace(profile, is_available=False, outbox=(*profile.outbox, event))

        return await self._change_pandit(user_id, left, _LEAVING_ATTEMPTS)

    async def _change_profile(self, user_id: str, values: Mapping[str, Any]) -> None:
        await self._change_pandit(user_id, lambda profile: replace(profile, **values))

    async def _change_pandit(
        self, user_id: str, apply: Callable[[Pandit], Pandit], attempts: int = 5
    ) -> Pandit:
        async def load() -> Pandit:
            profile = await self._pandits.find_by_user(user_id)
            if profile is None:
                raise NotFound
            return profile

        now = self._clock.now()
        return await change(
            load, lambda old: replace(apply(old), updated_at=now), self._pandits.replace, attempts
        )


def _derive(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), f"pandityatra {purpose}".encode(), "sha256")


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _ascii_digits(code: str) -> str:
    """The code as it was made, also when it was typed in Devanagari digits or with spaces."""
    plain = "".join(code.split())
    return f"{int(plain):0{len(plain)}d}" if plain.isdecimal() else plain


def _plain_password(password: str) -> str:
    # One form for what different keyboards make of the same letters (NIST SP 800-63B, 3.1.1.2).
    return unicodedata.normalize("NFKC", password)


def _is_weak(password: str, own: tuple[str, ...]) -> bool:
    folded = password.casefold()
    if not _MIN_PASSWORD <= len(password) <= _MAX_PASSWORD:
        return True
    if folded in _WORST_PASSWORDS or len(set(folded)) < _MIN_DIFFERENT:
        return True
    if (phone := normalise_phone(password)) and phone in own:
        return True
    packed = "".join(folded.split())
    return any(packed == "".join(text.casefold().split()) for text in own if text)


def _full_name(text: str, faults: list[FieldFault]) -> str:
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name:
        faults.append(FieldFault("full_name", "empty"))
    elif len(name) > _MAX_NAME:
        faults.append(FieldFault("full_name", "too-long"))
    elif not all(letter.isprintable() or letter in _JOINERS for letter in name) or not any(
        letter.isalpha() for letter in name
    ):
        faults.append(FieldFault("full_name", "pattern"))
    return name


def _email(text: str | None, faults: list[FieldFault]) -> str | None:
    if text is None:
        return None
    email = text.strip().lower()
    fits = len(email) <= _MAX_EMAIL and len(email.partition("@")[0]) <= _MAX_LOCAL_PART
    if not fits or not _EMAIL.fullmatch(email):
        faults.append(FieldFault("email", "email"))
    return email


def _username(text: str | None, faults: list[FieldFault]) -> str | None:
    if text is None:
        return None
    username = text.strip().lower()
    # One that reads as a phone number could never sign in, and might stand for somebody else's.
    if not _USERNAME.fullmatch(username) or normalise_phone(username):
        faults.append(FieldFault("username", "username"))
    return username


def _checked(changes: Mapping[str, Any]) -> tuple[dict[str, Any], list[FieldFault]]:
    """The changes as they are stored, and what is wrong with them."""
    values = dict(changes)
    faults = [FieldFault(name, "unknown") for name in sorted(values.keys() - EDITABLE)]
    if "full_name" in values:
        values["full_name"] = _full_name(values["full_name"], faults)
    if "email" in values:
        values["email"] = _email(values["email"], faults)
    if values.get("language", DEFAULT_LANGUAGE) not in LANGUAGES:
        faults.append(FieldFault("language", "choice"))
    if "timezone" in values and values["timezone"] not in _TIMEZONES:
        faults.append(FieldFault("timezone", "timezone"))
    if (picture := values.get("profile_pic_url")) and not _OWN_FILE.fullmatch(picture):
        faults.append(FieldFault("profile_pic_url", "pattern"))
    return values, faults


def _actor_and_expiry(known: _Known, claims: Claims, now: datetime) -> tuple[Actor, datetime]:
    if known.session_ends_at <= now:
        raise SessionOver
    return known.actor, claims.expires_at


def _holds(session: Session, user: User) -> bool:
    """Whether the account lets the session hold."""
    return user.is_active and session.generation == user.generation


def _actor(user: User, session_id: str) -> Actor:
    # Thousands are kept, of people who share a few languages and zones.
    return Actor(
        user_id=user.id,
        role=user.role,
        session_id=session_id,
        full_name=user.full_name,
        language=sys.intern(user.language),
        timezone=sys.intern(user.timezone),
    )
