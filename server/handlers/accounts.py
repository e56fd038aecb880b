"""Accounts: registering, signing in and out, and one's own profile."""

from __future__ import annotations

from typing import Final

from server.domain.account import Actor, Role
from server.domain.errors import (
    AlreadyExists,
    Forbidden,
    Invalid,
    InvalidCredentials,
    NoCodes,
    Overloaded,
)
from server.handlers.base import ApiHandler, operation
from server.handlers.routing import Route
from server.handlers.sessions import SessionCookies
from server.i18n import N_
from server.schemas.accounts import (
    CodeRequest,
    CodeSentResponse,
    PasswordRequest,
    ProfileRequest,
    RefreshRequest,
    RegisterRequest,
    SignedInResponse,
    SignInRequest,
    UserResponse,
    VerifyCodeRequest,
    present_user,
    reader_of,
)
from server.schemas.base import decode_body, encode
from server.services.accounts import SignedIn

_CODE_SENT: Final = N_("If this number has an account, a code is on its way to it.")


class RegisterHandler(SessionCookies, ApiHandler):
    """A new account."""

    @operation(
        "Register as a customer or a pandit",
        status=201,
        door="register_address",
        idempotent=True,
        errors=(Invalid, AlreadyExists, Overloaded),
    )
    async def post(self, body: RegisterRequest) -> SignedInResponse:
        await self.limit_account_here("register", body.phone_number)
        signed_in = await self.services.accounts.register(
            body.full_name,
            body.phone_number,
            body.password,
            body.email,
            body.username,
            Role(body.role),
            body.language or self.reader.language,
        )
        return _present(signed_in)

    def kept_answer(self, body: bytes) -> bytes:
        """Nothing: tokens are not stored."""
        return b""

    async def repeated_answer(self, kept: bytes) -> bytes:
        """The same account with tokens of a new session.

        The body was the same, password included: that proves who asks.
        """
        body = decode_body(self.request.body, RegisterRequest)
        return encode(
            _present(await self.services.accounts.sign_in(body.phone_number, body.password))
        )


class TokenHandler(SessionCookies, ApiHandler):
    """Signing in with a password."""

    @operation(
        "Sign in with phone, email or username and password",
        door="sign_in_address",
        errors=(InvalidCredentials, Overloaded),
    )
    async def post(self, body: SignInRequest) -> SignedInResponse:
        return _present(await self.sign_in(body.identifier, body.password))


class RefreshHandler(SessionCookies, ApiHandler):
    """New tokens for a refresh token, which is good once."""

    @operation(
        "Exchange a refresh token for new tokens; without one in the body, the site's cookie",
        door="refresh",
        errors=(InvalidCredentials, Forbidden),
    )
    async def post(self, body: RefreshRequest) -> SignedInResponse:
        if body.refresh is not None:
            return _present(await self.services.accounts.refresh(body.refresh))
        try:
            signed_in = await self.services.accounts.refresh(self.refresh_cookie() or "")
        except InvalidCredentials:
            self.clear_session_cookies()
            raise
        self.set_session_cookies(signed_in)
        return _present(signed_in, in_cookies=True)


class LogoutHandler(SessionCookies, ApiHandler):
    """Signing out."""

    @operation("Sign out: tokens of this sign-in hold no longer", status=204)
    async def post(self, actor: Actor) -> None:
        await self.services.accounts.sign_out(actor)
        self.clear_session_cookies()


class CodeHandler(SessionCookies, ApiHandler):
    """One-time codes."""

    @operation(
        "Send a one-time code to a phone",
        door="code_address",
        errors=(Invalid, Overloaded, NoCodes),
    )
    async def post(self, body: CodeRequest) -> CodeSentResponse:
        await self.send_code(body.phone_number)
        return CodeSentResponse(detail=self.gettext(_CODE_SENT))


class VerifyCodeHandler(SessionCookies, ApiHandler):
    """Signing in with a one-time code."""

    @operation(
        "Sign in with a one-time code",
        door="code_verify_address",
        errors=(Invalid, InvalidCredentials),
    )
    async def post(self, body: VerifyCodeRequest) -> SignedInResponse:
        return _present(await self.enter_code(body.phone_number, body.code))


class PasswordHandler(ApiHandler):
    """One's own password."""

    @operation(
        "Set one's own password; all other sign-ins end",
        status=204,
        door="password",
        errors=(Invalid, Overloaded),
    )
    async def post(self, actor: Actor, body: PasswordRequest) -> None:
        await self.services.accounts.set_password(actor, body.new_password, body.old_password)


class MeHandler(ApiHandler):
    """One's own account."""

    @operation("Show one's own account")
    async def get(self, actor: Actor) -> UserResponse:
        return present_user(await self.services.accounts.profile(actor), self.reader)

    @operation("Change one's own account", errors=(Invalid, AlreadyExists))
    async def patch(self, actor: Actor, body: ProfileRequest) -> UserResponse:
        user = await self.services.accounts.update_profile(actor, body.changes())
        return present_user(user, reader_of(user))


def _present(signed_in: SignedIn, *, in_cookies: bool = False) -> SignedInResponse:
    reader = reader_of(signed_in.user)
    return SignedInResponse(
        user=present_user(signed_in.user, reader),
        access=None if in_cookies else signed_in.access,
        refresh=None if in_cookies else signed_in.refresh,
        access_expires_at=reader.local(signed_in.access_expires_at),
        is_phone_new=signed_in.is_phone_new,
    )


ROUTES: Final = (
    Route("/api/auth/register/", RegisterHandler, "register"),
    Route("/api/auth/token/", TokenHandler, "token"),
    Route("/api/auth/token/refresh/", RefreshHandler, "refresh"),
    Route("/api/auth/logout/", LogoutHandler, "logout"),
    Route("/api/auth/otp/", CodeHandler, "code"),
    Route("/api/auth/otp/verify/", VerifyCodeHandler, "code-verify"),
    Route("/api/auth/password/", PasswordHandler, "password"),
    Route("/api/auth/me/", MeHandler, "me"),
)
