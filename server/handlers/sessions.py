"""The cookie session of the site's own pages, shared by its HTML forms and the API."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from datetime import datetime
from typing import Final

from tornado import web

from server.domain.account import User
from server.domain.errors import Forbidden, InvalidCredentials, RateLimited
from server.handlers.base import ACCESS_COOKIE, REFRESH_COOKIE, BaseHandler
from server.services.accounts import SignedIn, normalise_identifier

_KNOWN_COOKIE: Final = "known"
_KNOWN_DAYS: Final = 365
_KNOWN_ACCOUNTS: Final = 4
"""A family may share a browser."""


class SessionCookies(BaseHandler):
    """For handlers through which somebody signs in or out."""

    def set_session_cookies(self, signed_in: SignedIn) -> None:
        """Give the browser both tokens, out of reach of scripts."""
        self._set_token(ACCESS_COOKIE, signed_in.access, signed_in.access_expires_at)
        self._set_token(REFRESH_COOKIE, signed_in.refresh, signed_in.refresh_expires_at)

    def set_access_cookie(self, signed_in: SignedIn) -> None:
        """Give the browser a new access token only; its refresh token stays."""
        self._set_token(ACCESS_COOKIE, signed_in.access, signed_in.access_expires_at)

    def clear_session_cookies(self) -> None:
        """Make the browser forget both tokens."""
        for name in (ACCESS_COOKIE, REFRESH_COOKIE):
            self.clear_cookie(
                self.cookie_name(name),
                httponly=True,
                samesite="Lax",
                secure=self._is_secure,
            )

    def refresh_cookie(self) -> str | None:
        """The refresh token that the browser holds.

        Raises
        ------
        Forbidden
            If a request that changes something does not prove that it comes from one of our pages.
        """
        token = self.get_cookie(self.cookie_name(REFRESH_COOKIE))
        if token and self.request.method not in ("GET", "HEAD"):
            try:
                web.RequestHandler.check_xsrf_cookie(self)
            except web.HTTPError:
                raise Forbidden from None
        return token

    async def sign_in(self, identifier: str, password: str) -> SignedIn:
        """Sign in with a password, unless it was tried too often. Raises ``RateLimited``.

        Whoever knows somebody's number must neither guess his password nor keep him out. With the
        limits as shipped one address has 30 wrong tries an hour for an account, all addresses
        together 200 (and what is under way at the same moment). An attacker who commands seven
        addresses has them all; of IPv6 one address is a /64, and a single line that is given a /48
        commands 65,536 of those. While they are used up the owner comes in from a browser in which
        he has signed in before, which is counted for itself wherever it is, or by a code. Email and
        user name are counted apart from the phone.
        """
        await self.limit_account_here("sign_in", identifier)
        counted = self._counted(identifier, "sign_in_failed", "sign_in_failed_account")
        await self._check(counted)
        try:
            return await self.services.accounts.sign_in(identifier, password)
        except InvalidCredentials:
            await self._count(counted)
            raise

    def remember_browser(self, identifier: str, user: User) -> None:
        """Let the account know this browser, once the phone has shown whose the account is.

        Before that it might be somebody who has registered another's number. Where no codes are
        sent, no phone shows anything, and whoever has the password is the owner.
        """
        if user.phone_verified_at is None and self.services.accounts.sends_codes:
            return
        browser, *names = self._known_names() or [secrets.token_urlsafe(12)]
        latest = dict.fromkeys((_account_name(identifier), *names))
        self.set_signed_cookie(
            self.cookie_name(_KNOWN_COOKIE),
            " ".join((browser, *tuple(latest)[:_KNOWN_ACCOUNTS])),
            expires_days=_KNOWN_DAYS,
            path="/",
            httponly=True,
            samesite="Lax",
            secure=self._is_secure,
        )

    def _known_browser(self, name: str) -> str:
        """What the browser is counted by if the account knows it, else nothing."""
        browser, *names = self._known_names() or [""]
        return browser if name in names else ""

    def _known_names(self) -> list[str]:
        """The browser's own name, and the accounts that know it."""
        cookie = self.cookie_name(_KNOWN_COOKIE)
        raw = self.get_signed_cookie(cookie, max_age_days=_KNOWN_DAYS)
        return raw.decode().split() if raw else []

    async def limit_account_here(self, door: str, identifier: str) -> None:
        """Count one use of a door for an account by who asks. Raises ``RateLimited``.

        ``identifier`` is a phone, email or username, whether or not there is such an account.
        """
        await self.services.limiter.hit(door, self._account_here(identifier))

    async def send_code(self, phone_number: str) -> None:
        """Send a one-time code to a phone, unless it was sent too many. Raises ``RateLimited``.

        One address does not use up all that a number may be sent; two do. So a browser that the
        account knows is counted for itself: its owner asks from there while they keep at it. Each
        code takes five tries, whoever enters them: with the limits as shipped all addresses
        together have 50 guesses an hour out of a million, and each known browser 25 more.

        Who asks again too soon has not been sent a code, and uses up none.
        """
        counted = self._counted(phone_number, "code", "code_account")
        await self._check(counted)
        await self.services.accounts.request_code(phone_number, self._asker(phone_number))
        await self._count(counted)

    async def enter_code(self, phone_number: str, code: str) -> SignedIn:
        """Sign in by a one-time code. Raises ``RateLimited``."""
        await self.limit_account_here("code_verify", phone_number)
        return await self.services.accounts.verify_code(
            phone_number, code, self._asker(phone_number)
        )

    def _counted(self, identifier: str, here: str, account: str) -> list[tuple[str, str]]:
        """The doors at which a use for an account is counted, and by what.

        By who asks, and for all together unless it is a browser that the account knows: strangers
        behind the same address must not use up what it has.
        """
        name = _account_name(identifier)
        counted = [(here, self._account_here(identifier))]
        return counted if self._known_browser(name) else [*counted, (account, f"account:{name}")]

    async def _check(self, counted: list[tuple[str, str]]) -> None:
        for door, who in counted:
            await self.services.limiter.check(door, who)

    async def _count(self, counted: list[tuple[str, str]]) -> None:
        for door, who in counted:
            with contextlib.suppress(RateLimited):
                await self.services.limiter.hit(door, who)

    def _account_here(self, identifier: str) -> str:
        return f"account:{_account_name(identifier)}|{self._asker(identifier)}"

    def _asker(self, identifier: str) -> str:
        """By what who asks for an account is told from others: its known browser, or the address.

        Thousands share the address of a carrier.
        """
        browser = self._known_browser(_account_name(identifier))
        return f"browser:{browser}" if browser else self.counted_address

    @property
    def _is_secure(self) -> bool:
        return bool(self.application.settings["secure_cookies"])

    def _set_token(self, name: str, token: str, expires_at: datetime) -> None:
        seconds = int((expires_at - self.services.clock.now()).total_seconds())
        self.set_cookie(
            self.cookie_name(name),
            token,
            max_age=seconds,
            path="/",
            httponly=True,
            samesite="Lax",
            secure=self._is_secure,
        )


def _account_name(identifier: str) -> str:
    """What an account is counted by, whether or not there is one."""
    return hashlib.sha256(normalise_identifier(identifier).encode()).hexdigest()[:32]
