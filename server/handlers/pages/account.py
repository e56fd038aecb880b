"""Registering, signing in and out, and one's own account."""

from __future__ import annotations

import zoneinfo
from typing import Final

from server.domain.account import NEPAL, Role
from server.domain.errors import FieldFault, Invalid
from server.handlers.base import ANYONE
from server.handlers.page_base import Form
from server.handlers.pages.base import Page
from server.handlers.routing import Route
from server.i18n import N_
from server.schemas.accounts import (
    CodeRequest,
    PasswordRequest,
    PlaceBody,
    RegisterRequest,
    SignInRequest,
    VerifyCodeRequest,
)
from server.services.accounts import SignedIn

_CODE_PHONE_COOKIE: Final = "code_phone"
_CODE_DAYS: Final = 1 / 96
"""A quarter of an hour."""
_PHONE_CONFIRMED: Final = N_(
    "Your number is confirmed. Password, e-mail and user name that were set before "
    "hold no longer; you can set a password and an e-mail under “Your account”."
)
_ZONES: Final = (
    NEPAL,
    "Asia/Kolkata",
    "Asia/Dubai",
    "Asia/Qatar",
    "Asia/Riyadh",
    "Asia/Kuala_Lumpur",
    "Asia/Seoul",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Europe/London",
    "Europe/Lisbon",
    "America/New_York",
    "America/Chicago",
    "America/Los_Angeles",
    "UTC",
)
"""Where most people from Nepal live; everybody's own zone is added to it."""


class SignInPages(Page):
    """For pages through which somebody signs in."""

    @property
    def _password(self) -> str:
        """The password as it was typed, with its spaces."""
        return self.get_body_argument("password", "", strip=False)

    def welcome(self, signed_in: SignedIn) -> str:
        """Keep the session and say where to go."""
        self.set_session_cookies(signed_in)
        user = signed_in.user
        self.set_cookie("lang", user.language, expires_days=365, samesite="Lax", path="/")
        own = {Role.PANDIT: "/requests/", Role.ADMIN: "/admin/pandits/"}.get(user.role, "/")
        return self.next_path(own)


class SignInPage(SignInPages):
    """Signing in with a password."""

    section = "account"

    async def get(self) -> None:
        """Show the form, or go on for whoever is signed in already."""
        if self.actor is not None:
            self.go(self.next_path("/"))
            return
        await self._show(Form())

    async def post(self) -> None:
        """Sign in."""
        await self.submit(self._sign_in, self._show)

    async def _sign_in(self) -> str:
        body = self.read(SignInRequest, password=self._password)
        await self.limit_address("sign_in_address")
        signed_in = await self.sign_in(body.identifier, body.password)
        self.remember_browser(body.identifier, signed_in.user)
        return self.welcome(signed_in)

    async def _show(self, form: Form) -> None:
        title = self.translate("Sign in")
        await self.show(
            "account/sign_in.html",
            title=title,
            form=form,
            wanted=self.next_path(""),
            sends_codes=self.services.accounts.sends_codes,
        )


class CodePage(SignInPages):
    """Signing in with a one-time code."""

    section = "account"

    async def get(self) -> None:
        """Ask for the number."""
        await self._show(Form())

    async def post(self) -> None:
        """Send a code, or sign in with the one that came."""
        action = self._verify if "code" in self.request.body_arguments else self._send
        await self.submit(action, self._show)

    async def _send(self) -> str:
        body = self.read(CodeRequest)
        await self.limit_address("code_address")
        await self.send_code(body.phone_number)
        self.flash(
            "info", self.translate("If this number has an account, a code is on its way to it.")
        )
        # In a cookie: an address is kept in histories and logs.
        self.set_signed_cookie(
            _CODE_PHONE_COOKIE,
            body.phone_number,
            expires_days=_CODE_DAYS,
            httponly=True,
            samesite="Lax",
            path="/sign-in/",
        )
        return self.here(sent="yes", next=self.next_path("") or None)

    @property
    def _sent_to(self) -> str:
        """The number to which a code was sent from here just now."""
        if not self.get_query_argument("sent", ""):
            return ""
        phone = self.get_signed_cookie(_CODE_PHONE_COOKIE, max_age_days=_CODE_DAYS)
        return phone.decode() if phone else ""

    async def _verify(self) -> str:
        body = self.read(VerifyCodeRequest)
        await self.limit_address("code_verify_address")
        signed_in = await self.enter_code(body.phone_number, body.code)
        self.remember_browser(body.phone_number, signed_in.user)
        target = self.welcome(signed_in)
        if signed_in.is_phone_new:
            # In the language of the account: from here on the pages speak it.
            told = self.services.translations.text(signed_in.user.language, _PHONE_CONFIRMED)
            self.flash("info", told)
        return target

    async def _show(self, form: Form) -> None:
        await self.show(
            "account/code.html",
            title=self.translate("Sign in with a code"),
            form=form,
            sent=self._sent_to,
            wanted=self.next_path(""),
        )


class RegisterPage(SignInPages):
    """A new account."""

    section = "account"

    async def get(self) -> None:
        """Show the form."""
        if self.actor is not None:
            self.go("/")
            return
        await self._show(Form({"role": self.get_query_argument("role", "user")}))

    async def post(self) -> None:
        """Make the account and sign it in."""
        await self.submit(self._register, self._show)

    async def _register(self) -> str:
        body = self.read(RegisterRequest, password=self._password)
        await self.limit_address("register_address")
        await self.limit_account_here("register", body.phone_number)
        signed_in = await self.services.accounts.register(
            body.full_name,
            body.phone_number,
            body.password,
            body.email,
            body.username,
            Role(body.role),
            self.reader.language,
        )
        target = self.welcome(signed_in)
        if signed_in.user.role is Role.PANDIT:
            self.flash(
                "good",
                self.translate(
                    "Welcome! Tell families about yourself; our team then checks your profile."
                ),
            )
            return "/pandit/profile/"
        self.flash("good", self.translate("Welcome! Your account is ready."))
        return target

    async def _show(self, form: Form) -> None:
        await self.show(
            "account/register.html",
            title=self.translate("Create an account"),
            form=form,
            wanted=self.next_path(""),
        )


class SignOutPage(Page):
    """Signing out."""

    async def post(self) -> None:
        """End the session."""
        if self.actor is not None:
            await self.services.accounts.sign_out(self.actor)
        self.clear_session_cookies()
        self.flash("info", self.translate("You are signed out."))
        self.go("/")


class PasswordPage(Page):
    """One's own password."""

    roles = ANYONE
    section = "account"

    async def get(self) -> None:
        """Show the form."""
        await self._show(Form())

    async def post(self) -> None:
        """Set the password."""
        await self.submit(self._save, self._show)

    async def _save(self) -> str:
        typed = {
            name: self.get_body_argument(name, "", strip=False)
            for name in ("new_password", "old_password")
        }
        body = self.read(PasswordRequest, **typed)
        await self.limit("password")
        accounts = self.services.accounts
        await accounts.set_password(self.person, body.new_password, body.old_password)
        self.flash("good", self.translate("Your password is set. Other devices are signed out."))
        return "/account/"

    async def _show(self, form: Form) -> None:
        await self.show(
            "account/password.html",
            title=self.translate("Your password"),
            form=form,
            asks_old=await self.services.accounts.asks_old_password(self.person),
            sends_codes=self.services.accounts.sends_codes,
        )


class AccountPage(Page):
    """One's own account."""

    roles = ANYONE
    section = "account"

    async def get(self) -> None:
        """Show it."""
        await self._show(Form())

    async def post(self) -> None:
        """Change it."""
        await self.submit(self._save, self._show)

    async def _save(self) -> str:
        typed = self.typed
        unknown = [FieldFault(name, "required") for name in ("full_name",) if name not in typed]
        if unknown:
            raise Invalid(*unknown)
        changes: dict[str, object] = {
            "full_name": typed["full_name"],
            "email": typed.get("email"),
            "language": typed.get("language", self.reader.language),
            "timezone": typed.get("timezone", self.reader.timezone),
        }
        if self.person.role is Role.USER:
            changes["location"] = (await self._place()).place()
        user = await self.services.accounts.update_profile(self.person, changes)
        await self.switch_language(user.language)
        message = self.services.translations.text(user.language, N_("Your changes are saved."))
        self.flash("good", message)
        return "/account/"

    async def _place(self) -> PlaceBody:
        """The place from the form; a position that is known stays while the place does."""
        place = self.read(PlaceBody)
        known = (await self.services.accounts.profile(self.person)).location
        is_same = known is not None and (known.area, known.city) == (place.area, place.city)
        if known is None or known.point is None or not is_same:
            return place
        return PlaceBody(
            area=place.area,
            city=place.city,
            address=place.address,
            point={"latitude": known.point.latitude, "longitude": known.point.longitude},  # type: ignore[arg-type]
        )

    async def _show(self, form: Form) -> None:
        user = await self.services.accounts.profile(self.person)
        zones = dict.fromkeys((user.timezone, *_ZONES))
        known = zoneinfo.available_timezones()
        await self.show(
            "account/account.html",
            title=self.translate("Your account"),
            form=form,
            user=user,
            zones=[zone for zone in zones if zone in known],
        )


ROUTES: Final = (
    Route("/sign-in/", SignInPage, "page-sign-in"),
    Route("/sign-in/code/", CodePage, "page-code"),
    Route("/register/", RegisterPage, "page-register"),
    Route("/sign-out/", SignOutPage, "page-sign-out"),
    Route("/account/password/", PasswordPage, "page-password"),
    Route("/account/", AccountPage, "page-account"),
)
