"""The cookie session of the site's own pages, shared by its HTML forms and the API."""

from __future__ import annotations

import hashlib
from datetime import datetime

from tornado import web

from server.domain.errors import Forbidden
from server.handlers.base import ACCESS_COOKIE, REFRESH_COOKIE, BaseHandler
from server.services.accounts import SignedIn, normalise_identifier


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

    async def limit_account(self, door: str, identifier: str) -> None:
        """Count one use of a door for an account: many addresses cannot share the guessing.

        ``identifier`` is a phone, email or username, whether or not there is such an account.
        Raises ``RateLimited``.
        """
        name = hashlib.sha256(normalise_identifier(identifier).encode()).hexdigest()[:32]
        await self.services.limiter.hit(door, f"account:{name}")

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
