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
        he has signed in before, which is counted for itself, or by a code. Email and user name
        are counted apart from the phone.
        """
        name, limiter = _account_name(identifier), self.services.limiter
        here = self._account_here(identifier)
        await limiter.hit("sign_in", here)
        browser = self._known_browser(name)
        counted = (
            ("sign_in_failed", here),
            ("sign_in_failed", f"account:{name}|browser:{browser}")
            if browser
            else ("sign_in_failed_account", f"account:{name}"),
        )
        for door, who in counted:
            await limiter.check(door, who)
        try:
            return await self.services.accounts.sign_in(identifier, password)
        except InvalidCredentials:
            for door, who in counted:
                with contextlib.suppress(RateLimited):
                    await limiter.hit(door, who)
            raise

    def remember_browser(self, identifier: str, user: User) -> None:
        """Let the account know this browser, once the phone has shown whose the account is.

        Before that it might be somebody who has registered another's number.
        """
        if user.phone_verified_at is None:
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

    async def limit_account(self, door: str, identifier: str) -> None:
        """Count one use of a door for an account: many addresses cannot share the guessing.

        ``identifier`` is a phone, email or username, whether or not there is such an account.
        Raises ``RateLimited``.
        """
        await self.services.limiter.hit(door, f"account:{_account_name(identifier)}")

    async def limit_account_here(self, door: str, identifier: str) -> None:
        """Count one use of a door for an account by this address. Raises ``RateLimited``."""
        await self.services.limiter.hit(door, self._account_here(identifier))

    async def limit_codes(self, phone_number: str) -> None:
        """Count a one-time code that is asked for. Raises ``RateLimited``.

        One address does not use up all that a number may be sent; two do. So a browser that the
        account knows is counted for itself: its owner asks from there while they keep at it. Each
        code takes five tries, whoever enters them: with the limits as shipped all addresses
        together have 50 guesses an hour out of a million, and each known browser 25 more.
        """
        await self.limit_account_here("code", phone_number)
        name = _account_name(phone_number)
        if browser := self._known_browser(name):
            await self.services.limiter.hit("code", f"account:{name}|browser:{browser}")
        else:
            await self.limit_account("code_account", phone_number)

    def _account_here(self, identifier: str) -> str:
        return f"account:{_account_name(identifier)}|{self.counted_address}"

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
