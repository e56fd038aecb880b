"""What every page shares: who asks, language and theme, forms that come back with their faults.

A page is ``GET`` with its filters in the address; a form is ``POST``, redirect, ``GET``. What a
service refuses is told on the same form, with everything that was typed still in it.
"""

from __future__ import annotations

import functools
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from http import HTTPStatus
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from tornado import web

from server import problems
from server.domain import errors
from server.domain.account import LANGUAGES, NEPAL, Actor, Role
from server.handlers.base import LANGUAGE_COOKIE, REFRESH_COOKIE
from server.handlers.sessions import SessionCookies
from server.handlers.static import Assets
from server.i18n import Formatter
from server.schemas.base import Reader, decode_query
from server.schemas.bookings import PlaceResponse
from server.schemas.pandits import AreaResponse

T = TypeVar("T")

THEME_COOKIE: Final = "theme"
THEMES: Final = ("light", "dark")
_FLASH_COOKIE: Final = "flash"
_YEAR_DAYS: Final = 365
_MOST_DIGITS: Final = 15
"""Python refuses to read numbers of thousands of digits; no field takes so many as these."""
_READS: Final = ("GET", "HEAD")
_TOLD_ON_THE_FORM: Final = frozenset({400, 401, 409, 413, 415, 422, 429})


@dataclass(frozen=True)
class Form:
    """What was typed, and what is wrong with it."""

    values: Mapping[str, str] = field(default_factory=dict)
    problem: problems.Problem | None = None
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def value(self, name: str, otherwise: object = "") -> str:
        """What to show in a field: what was typed, else what is stored."""
        if self.problem is not None:
            return self.values.get(name, "")
        return self.values.get(name) or ("" if otherwise is None else str(otherwise))

    def is_on(self, name: str, otherwise: bool = False) -> bool:
        """Whether a box is ticked."""
        if self.problem is not None or name in self.values:
            return self.values.get(name) == "true"
        return otherwise

    def chosen(self, name: str, otherwise: tuple[str, ...] = ()) -> tuple[str, ...]:
        """What is ticked in a group of boxes."""
        return self.lists.get(name, ()) if self.problem is not None else otherwise

    def error(self, name: str) -> str:
        """What is wrong with a field, or nothing."""
        faults = self.problem.errors if self.problem else ()
        return next((fault.message for fault in faults if fault.field == name), "")


class PageHandler(SessionCookies):
    """Base of all pages."""

    roles: ClassVar[frozenset[Role] | None] = None
    """Who may see the page; None: everybody, signed in or not."""
    section: ClassVar[str] = ""
    """Which entry of the navigation the page belongs to."""
    told_on_the_form: ClassVar[frozenset[int]] = _TOLD_ON_THE_FORM
    """With which statuses the form is shown again."""

    async def prepare(self) -> None:
        """Find out who asks and whether he may; ``?lang=`` switches the language."""
        await super().prepare()
        await self._find_person()
        await self.limit("page" if self.request.method in _READS else "write")
        if self.roles is not None:
            if self.actor is None:
                if self.request.method in _READS:
                    self.go(f"/sign-in/?next={quote(self.request.uri or '/', safe='')}")
                    return
                raise errors.NotSignedIn
            if self.actor.role not in self.roles:
                raise errors.Forbidden
        language = self.get_query_argument("lang", "")
        if self.request.method in _READS and language in LANGUAGES:
            self._keep_language(language)
            self.go(self.here(lang=None))

    async def _find_person(self) -> None:
        if await self.find_actor() is not None:
            return
        token = self.get_cookie(self.cookie_name(REFRESH_COOKIE))
        if not token:
            return
        try:
            renewed = await self.services.accounts.renew_access(token)
        except errors.InvalidCredentials:
            return
        self.set_access_cookie(renewed)
        self.actor = await self.services.accounts.actor_of(renewed.access)
        self.is_cookie_session = True
        self.__dict__.pop("reader", None)

    @property
    def person(self) -> Actor:
        """Who is signed in. Raises ``NotSignedIn`` if nobody is."""
        if self.actor is None:
            raise errors.NotSignedIn
        return self.actor

    @functools.cached_property
    def reader(self) -> Reader:
        """The language chosen in this browser, else that of the account."""
        reader = super().reader
        chosen = self.get_cookie(LANGUAGE_COOKIE)
        return replace(reader, language=chosen) if chosen in LANGUAGES else reader

    def _keep_language(self, language: str) -> None:
        self.set_cookie(
            LANGUAGE_COOKIE, language, expires_days=_YEAR_DAYS, samesite="Lax", path="/"
        )

    async def switch_language(self, language: str) -> None:
        """Speak that language from now on, here and to this person everywhere."""
        self._keep_language(language)
        if self.actor is not None and self.actor.language != language:
            await self.services.accounts.update_profile(self.actor, {"language": language})

    # -- forms -----------------------------------------------------------------------------------

    @functools.cached_property
    def typed(self) -> dict[str, str]:
        """The fields of the form that hold something; names with an underscore are not the form's.

        Where a field comes twice, the last one counts. A line break is one character, as it was
        while the browser counted what is typed; it sends two.
        """
        return {
            name: value
            for name in self.request.body_arguments
            if not name.startswith("_")
            and (value := self.get_body_argument(name).replace("\r\n", "\n").strip())
        }

    def ticked(self, name: str) -> tuple[str, ...]:
        """All values of a group of boxes."""
        return tuple(dict.fromkeys(self.get_body_arguments(name)))

    def read(self, expected: type[T], **more: str) -> T:
        """The form as a wire type of the API. Raises ``Invalid`` naming every faulty field."""
        return decode_known({**self.typed, **more}, expected)

    def filters(self, expected: type[T]) -> T:
        """The address's query as a wire type; empty fields of a filter form do not count."""
        return decode_known(
            {name: value for name, value in self._query().items() if value}, expected
        )

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """What is no text is looked up as what can be read of it, and found or not.

        Each page says its own address again, so one that refused such an address could not even
        say that it does.
        """
        return value.decode(errors="replace")

    def _query(self) -> dict[str, str]:
        return {
            name: self.get_query_argument(name).strip() for name in self.request.query_arguments
        }

    async def submit(
        self, action: Callable[[], Awaitable[str]], again: Callable[[Form], Awaitable[None]]
    ) -> None:
        """Do what the form asks and go to the address that ``action`` returns.

        When it is refused, show the form ``again`` with what is wrong.
        """
        try:
            target = await action()
        except errors.DomainError as error:
            problem = self.describe_error(HTTPStatus.INTERNAL_SERVER_ERROR, error)
            if problem.status not in self.told_on_the_form:
                raise
            self.clear_header("WWW-Authenticate")
            is_sign_in = problem.status == HTTPStatus.UNAUTHORIZED
            self.set_status(int(HTTPStatus.UNPROCESSABLE_ENTITY) if is_sign_in else problem.status)
            lists = {name: self.ticked(name) for name in self.request.body_arguments}
            await again(Form(self.typed, problem, lists))
        else:
            self.go(target)

    async def do(self, action: Callable[[], Awaitable[str]], back: str) -> None:
        """Do what a button asks; when it is refused, say so on the page that it stood on."""

        async def refused(form: Form) -> None:
            if form.problem is not None:
                faults = " ".join(fault.message for fault in form.problem.errors)
                self.flash("bad", faults or form.problem.detail or form.problem.title)
            self.set_status(int(HTTPStatus.OK))
            self.go(back)

        await self.submit(action, refused)

    @property
    def is_confirmed(self) -> bool:
        """Whether the person has been asked, and has said yes."""
        return self.typed.get("confirmed") == "true"

    async def ask(
        self,
        question: str,
        *,
        yes: str,
        back: str,
        text: str = "",
        template: str = "question.html",
        sent: Mapping[str, str] | None = None,
        **values: Any,
    ) -> None:
        """Ask before what cannot be undone.

        Whoever says ``yes`` sends the same form again, with the fields ``sent``; then it
        `is_confirmed`. ``back`` is where the others go.
        """
        await self.show(
            template, title=question, yes=yes, back=back, text=text, sent=sent or {}, **values
        )

    def go(self, target: str) -> None:
        """Send the browser on with a GET."""
        self.redirect(target, status=int(HTTPStatus.SEE_OTHER))

    def flash(self, kind: str, text: str) -> None:
        """Show a note on the next page. ``kind`` is good, bad, warn or info."""
        self.set_signed_cookie(
            _FLASH_COOKIE,
            json.dumps([kind, text]),
            expires_days=None,
            httponly=True,
            samesite="Lax",
            path="/",
        )

    def _take_flash(self) -> tuple[str, str] | None:
        raw = self.get_signed_cookie(_FLASH_COOKIE, max_age_days=1)
        if self.get_cookie(_FLASH_COOKIE) is not None:
            self.clear_cookie(_FLASH_COOKIE, httponly=True, samesite="Lax")
        if raw is None:
            return None
        kind, text = json.loads(raw)
        return str(kind), str(text)

    def next_path(self, otherwise: str) -> str:
        """Where the person wanted to go; never to another site."""
        wanted = self.get_argument("next", "")
        is_ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
        return wanted if is_ours and wanted.isprintable() and "\\" not in wanted else otherwise

    def here(self, **changes: str | None) -> str:
        """The page's own address with other values in its query; None takes one out."""
        query = {**self._query(), **changes}
        rest = urlencode({name: value for name, value in query.items() if value})
        return f"{self.request.path}?{rest}" if rest else self.request.path

    # -- showing ---------------------------------------------------------------------------------

    @property
    def assets(self) -> Assets:
        """Scripts, styles and fonts."""
        assets: Assets = self.application.settings["assets"]
        return assets

    @property
    def nepal(self) -> Formatter:
        """Times of pujas are told as the clocks in Nepal show them."""
        return Formatter(self.reader.language, NEPAL)

    @property
    def theme(self) -> str:
        """The colours that the reader chose, empty: those of his device."""
        chosen = self.get_cookie(THEME_COOKIE, "")
        return chosen if chosen in THEMES else ""

    def translate(self, message: str, **params: object) -> str:
        """A text in the reader's language; numbers in it in his digits."""
        return self.gettext(message, **{name: self._shown(each) for name, each in params.items()})

    def translate_count(self, one: str, many: str, count: int, **params: object) -> str:
        """The form of a text that fits the count, which also fills ``{n}``."""
        shown = {name: self._shown(each) for name, each in params.items()}
        text = self.services.translations.plural(self.reader.language, one, many, count, **shown)
        return self.formatter.digits(text)

    def _shown(self, value: object) -> str:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self.formatter.number(value)
        return str(value)

    def local_name(self, thing: object, name: str = "name") -> str:
        """The field in the reader's language of a thing that has both, such as name and name_ne."""
        english, nepali = getattr(thing, name), getattr(thing, f"{name}_ne", "")
        chosen = nepali or english if self.reader.language == "ne" else english or nepali
        return str(chosen)

    def place_text(self, place: PlaceResponse | AreaResponse) -> str:
        """Quarter and town, in the reader's language where the table of places knows them."""
        parts = [part for part in (place.area, place.city) if part]
        if self.reader.language == "ne":
            parts = [self.services.places.nepali_name(part) for part in parts]
        return ", ".join(parts)

    def both_dates(self, day: date) -> str:
        """A day in both calendars, first in that of the reader's language."""
        bs = self.formatter.day_bs(day)
        shown = (self.formatter.day(day), bs)
        is_nepali = self.reader.language == "ne"
        return " · ".join(text for text in (reversed(shown) if is_nepali else shown) if text)

    def day_badge(self, day: date) -> tuple[str, str]:
        """Day and month in short, in the calendar that the reader's language lives by."""
        if self.reader.language == "ne" and (bs := self.formatter.day_bs(day)):
            _, month, number = bs.split()
            return number, month
        return str(day.day), f"{day:%b}"

    def ago(self, at: datetime) -> str:
        """How long ago."""
        return self.formatter.ago(at, self.services.clock.now())

    def get_template_namespace(self) -> dict[str, Any]:
        """What every template may use."""
        return {
            **super().get_template_namespace(),
            "_": self.translate,
            "n_": self.translate_count,
            "fmt": self.formatter,
            "nepal": self.nepal,
            "price": self.formatter.price,
            "both_dates": self.both_dates,
            "ago": self.ago,
            "day_badge": self.day_badge,
            "local_name": self.local_name,
            "place_text": self.place_text,
            "asset": self.assets.url,
            "here": self.here,
            "language": self.reader.language,
            "theme": self.theme,
            "actor": self.actor,
            "role": self.actor.role.value if self.actor else "",
            "section": self.section,
            "form": Form(),
        }

    async def show(self, template: str, *, title: str, **values: Any) -> None:
        """Render a page. ``title`` says where one is."""
        if "Cache-Control" not in self._headers:
            self.set_header("Cache-Control", "private, no-cache")
        self.set_header("Vary", "Cookie, Accept-Language")
        self.set_header("Content-Language", self.reader.language)
        # Asked for here: the cookie must be there for the scripts, also on pages without a form.
        _ = self.xsrf_token
        await self.render(
            template, title=title, flash=self._take_flash(), boot=self._boot(), **values
        )

    def _boot(self) -> str:
        """The page's data for scripts, safe inside a script element."""
        actor = self.actor
        data = {
            "user": actor
            and {"id": actor.user_id, "role": actor.role, "full_name": actor.full_name},
            "language": self.reader.language,
            "timezone": self.reader.timezone,
            "xsrf_cookie": self.application.settings.get("xsrf_cookie_name", "_xsrf"),
            "catalogue_url": self.assets.texts_url(self.reader.language),
            "service_worker": self.assets.worker_url,
        }
        return json.dumps(data).replace("<", "\\u003c")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a page that says what happened and what to do."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        problem = self.describe_error(status_code, error)
        self.set_status(problem.status)
        self.set_header("Cache-Control", "no-store")
        self.finish(
            self.render_string(
                "error.html", title=problem.title, problem=problem, flash=None, boot=self._boot()
            )
        )


class UnknownPath(PageHandler):
    """Answers every path that has no handler: a problem under the API, a page elsewhere."""

    async def prepare(self) -> None:
        """Refuse at once, whatever the method."""
        await super(PageHandler, self).prepare()
        if not self._is_api:
            await self._find_person()
        raise web.HTTPError(HTTPStatus.NOT_FOUND)

    def check_xsrf_cookie(self) -> None:
        """Nothing here changes anything."""

    @property
    def _is_api(self) -> bool:
        return self.request.path.startswith(("/api/", "/ws/"))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a problem document under the API, with a page elsewhere."""
        if not self._is_api:
            super().write_error(status_code, **kwargs)
            return
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        problem = self.describe_error(status_code, error)
        self.set_status(problem.status)
        self.set_header("Content-Type", problems.CONTENT_TYPE)
        self.finish(msgspec.json.encode(problem))


def decode_known(given: Mapping[str, str], expected: type[T]) -> T:
    """Those of the values that the wire type knows, as that type. Raises ``Invalid``."""
    known = {each.encode_name for each in msgspec.structs.fields(expected)}  # type: ignore[arg-type]  # wire types are Structs
    return decode_query({name: given[name] for name in given if name in known}, expected)


def whole_number(digits: str) -> int:
    """The number that decimal digits stand for; for too many of them, one that no field allows."""
    return int(digits) if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS


def fresh_key() -> str:
    """A key that marks one filling-in of a form, so that sending it twice is done once."""
    return secrets.token_urlsafe(18)


class Icon(web.UIModule):
    """A picture of the sprite; decoration, so it says nothing to screen readers."""

    def render(self, name: str, css: str = "") -> str:
        """Return the markup."""
        assets: Assets = self.handler.application.settings["assets"]
        sprite = assets.url("vendor/icons.svg")
        classes = f"icon {css}".strip()
        return f'<svg class="{classes}" aria-hidden="true"><use href="{sprite}#{name}"></use></svg>'


class Drawing(web.UIModule):
    """A drawing that our own code has made, every text in it escaped there."""

    def render(self, svg: str) -> str:
        """Return the markup."""
        return svg


class Part(web.UIModule):
    """A piece of markup that several pages share: ``templates/parts/<part>.html``."""

    def render(self, part: str, /, **values: Any) -> str:
        """Return the markup."""
        return self.render_string(f"parts/{part}.html", **values).decode()


class Field(web.UIModule):
    """A labelled input with its hint and its fault."""

    def render(
        self,
        name: str,
        label: str,
        form: Form,
        *,
        kind: str = "text",
        value: object = "",
        hint: str = "",
        required: bool = False,
        says_optional: bool = True,
        **attributes: str,
    ) -> str:
        """Return the markup. ``kind`` is an input's type, ``textarea``, or ``checkbox``.

        Whatever is not ``required`` says so beside its label, unless that depends on other fields.
        """
        return self.render_string(
            "parts/field.html",
            name=name,
            label=label,
            form=form,
            kind=kind,
            value=form.value(name, value) if kind != "password" else "",
            checked=form.is_on(name, bool(value)) if kind == "checkbox" else False,
            hint=hint,
            required=required,
            says_optional=says_optional and not required,
            attributes={
                key.rstrip("_").replace("_", "-"): each for key, each in attributes.items()
            },
        ).decode()


UI_MODULES: Final = {"Icon": Icon, "Drawing": Drawing, "Part": Part, "Field": Field}
