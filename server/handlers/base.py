"""What every handler shares: who asks, decoding, limits, idempotency, encoding, errors.

An API method declares itself with :func:`operation`; its signature says the rest. ``actor: Actor``
means that one must be signed in (``Actor | None``: may be), ``body`` and ``query`` are decoded into
their types, other arguments come from the path, and the return type is the answer's. The OpenAPI
document is made from the same declarations, so document and behaviour cannot part.
"""

from __future__ import annotations

import base64
import functools
import hmac
import re
import secrets
import types
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from tornado import web
from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError

from server import problems
from server.addresses import counted_address
from server.domain import errors
from server.domain.account import LANGUAGES, NEPAL, Actor, Role
from server.domain.ports.paging import SortKey
from server.domain.ports.processes import StoredAnswer
from server.i18n import Formatter, best_language
from server.schemas.base import Reader, decode_body, decode_query, encode, resolve_hints

if typing.TYPE_CHECKING:
    from server.container import Services

_log = structlog.get_logger(__name__)
_IDEMPOTENCY_KEY: Final = re.compile(r"[A-Za-z0-9._-]{8,80}")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9-]{8,64}")
ACCESS_COOKIE: Final = "access"
REFRESH_COOKIE: Final = "refresh"
LANGUAGE_COOKIE: Final = "lang"
CUSTOMER: Final = frozenset({Role.USER})
PANDIT: Final = frozenset({Role.PANDIT})
ADMIN: Final = frozenset({Role.ADMIN})
ANYONE: Final = frozenset(Role)
_OWN_METHODS: Final = ("POST", "PUT", "PATCH", "DELETE")

NO_BODY: Final = HTTPStatus.NO_CONTENT


@dataclass(frozen=True, slots=True)
class Operation:
    """The declaration of one API method."""

    summary: str
    status: int
    roles: frozenset[Role]
    sign_in: str
    door: str | None
    body: type | None
    query: type | None
    returns: Any
    errors: tuple[type[errors.DomainError], ...]
    is_idempotent: bool
    tag: str = field(default="")


def operation(
    summary: str,
    *,
    status: int = 200,
    roles: frozenset[Role] = ANYONE,
    door: str | None = None,
    errors: tuple[type[errors.DomainError], ...] = (),
    idempotent: bool = False,
) -> Callable[[Callable[..., Awaitable[Any]]], Callable[..., Awaitable[None]]]:
    """Declare an API method.

    ``roles`` are those entitled to it, ``door`` names its rate limit (else ``read`` or ``write``),
    ``errors`` are the domain errors it may answer beside the common ones, and ``idempotent``
    methods honour the ``Idempotency-Key`` header.
    """

    def declare(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[None]]:
        hints = resolve_hints(method)
        actor = hints.get("actor")
        declared = Operation(
            summary=summary,
            status=status,
            roles=roles,
            sign_in="none" if actor is None else "required" if actor is Actor else "optional",
            door=door,
            body=hints.get("body"),
            query=hints.get("query"),
            returns=hints.get("return"),
            errors=errors,
            is_idempotent=idempotent,
            tag=method.__module__.rpartition(".")[2],
        )

        @functools.wraps(method)
        async def run(self: ApiHandler, *path: str) -> None:
            await self.run_operation(declared, method, path)

        run.__operation__ = declared  # type: ignore[attr-defined]  # read by the OpenAPI document
        return run

    return declare


class BaseHandler(web.RequestHandler):
    """Pages and API alike: services, reader, request id, security headers, errors."""

    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    actor: Actor | None = None
    is_cookie_session = False
    is_counted = False
    route_name = "unknown"

    def initialize(self, route_name: str = "unknown", **_arguments: Any) -> None:
        """Take the route's name, by which metrics and logs know the handler."""
        self.route_name = route_name

    def __init__(self, application: Any, request: HTTPServerRequest, **kwargs: Any) -> None:
        self.request_id = _request_id(request, application.settings["trusted_proxies"])
        self.began_at = datetime.now(UTC)
        super().__init__(application, request, **kwargs)

    @property
    def services(self) -> Services:
        """The use cases."""
        services: Services = self.application.settings["services"]
        return services

    async def prepare(self) -> None:
        """Bind the request's id to everything that is logged on its behalf."""
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=self.request_id)
        self.is_counted = True
        self.services.metrics.request_began()

    def on_finish(self) -> None:
        """Count the request out."""
        if self.is_counted:
            self.services.metrics.request_ended()

    def set_default_headers(self) -> None:
        """Set the headers that every answer carries, errors included."""
        for name, value in self.application.settings["security_headers"].items():
            self.set_header(name, value)
        self.clear_header("Server")
        self.set_header("X-Request-ID", self.request_id)

    @functools.cached_property
    def reader(self) -> Reader:
        """In which language and zone the answer speaks."""
        if self.actor is not None:
            return Reader(self.actor.language, self.actor.timezone)
        language = self.get_cookie(LANGUAGE_COOKIE)
        if language not in LANGUAGES:
            language = best_language(self.request.headers.get("Accept-Language", ""))
        return Reader(language, NEPAL)

    @property
    def formatter(self) -> Formatter:
        """Numbers, prices and dates for the reader."""
        return Formatter(self.reader.language, self.reader.timezone)

    def gettext(self, message: str, **params: str | int) -> str:
        """A text in the reader's language."""
        return self.services.translations.text(self.reader.language, message, **params)

    async def find_actor(self) -> Actor | None:
        """Who asks: by bearer token, else by the site's cookie.

        Raises
        ------
        NotSignedIn
            If a bearer token is given and does not hold.
        RateLimited
            If too many such tokens came from the address.
        """
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        if scheme:
            try:
                if scheme.lower() != "bearer":
                    raise errors.NotSignedIn
                self.actor = await self.services.accounts.actor_of(token.strip())
            except errors.SessionOver:
                # Every client has one sooner or later, and many of them may share an address.
                raise
            except errors.NotSignedIn:
                await self.limit_address("bad_token")
                raise
        elif cookie := self.get_cookie(self.cookie_name(ACCESS_COOKIE)):
            try:
                self.actor = await self.services.accounts.actor_of(cookie)
                self.is_cookie_session = True
            except errors.NotSignedIn:
                self.actor = None
        if self.actor is not None:
            self.__dict__.pop("reader", None)
            structlog.contextvars.bind_contextvars(user_id=self.actor.user_id)
        return self.actor

    def cookie_name(self, name: str) -> str:
        """The name of a session cookie; with secure cookies, bound to this host."""
        return f"__Host-{name}" if self.application.settings["secure_cookies"] else name

    @property
    def client_address(self) -> str:
        """Where the request comes from."""
        return self.request.remote_ip or ""

    @property
    def counted_address(self) -> str:
        """What limits by address are counted by: of IPv6, the network of the household."""
        return counted_address(self.client_address)

    @property
    def site_url(self) -> str:
        """Scheme and host under which browsers reach us, without a path."""
        settings = self.application.settings["settings"]
        if settings.payment.public_url:
            return str(settings.payment.public_url)
        if settings.http.public_origins:
            return str(settings.http.public_origins[0])
        return f"{self.request.protocol}://{self.request.host}"

    async def limit(self, door: str) -> None:
        """Count one use of a door by the actor, else by the address. Raises ``RateLimited``.

        Doors that count by address do so for everybody: who signs in, or makes himself an account,
        would else be counted anew.
        """
        if self.actor is None or door.endswith("_address"):
            await self.limit_address(door)
        else:
            await self.services.limiter.hit(door, self.actor.user_id)

    async def limit_address(self, door: str) -> None:
        """Count one use of a door by the address, whoever asks. Raises ``RateLimited``."""
        await self.services.limiter.hit(door, self.counted_address)

    def describe_error(self, status: int, error: BaseException | None) -> problems.Problem:
        """The problem to answer with; sets the headers that go with it."""
        translations, language = self.services.translations, self.reader.language
        if isinstance(error, errors.DomainError):
            found = problems.problem_of(error, translations, language, self.request_id)
            if found is not None:
                if (seconds := problems.retry_after_seconds(error)) is not None:
                    self.set_header("Retry-After", str(seconds))
                if found.status == HTTPStatus.UNAUTHORIZED:
                    self.set_header("WWW-Authenticate", 'Bearer realm="pandityatra"')
                return found
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(self.allowed_methods()))
        return problems.plain_problem(status, translations, language, self.request_id)

    def allowed_methods(self) -> list[str]:
        """The methods that this resource has; ``HEAD`` goes with ``GET``."""
        own = [method for method in _OWN_METHODS if self._has(method)]
        return (["GET", "HEAD"] if self._has("GET") else []) + own + ["OPTIONS"]

    def _has(self, method: str) -> bool:
        name = method.lower()
        return getattr(type(self), name) is not getattr(web.RequestHandler, name)

    async def head(self, *path: str) -> None:
        """Answer as ``GET`` does; Tornado sends the headers alone."""
        if not self._has("GET"):
            raise web.HTTPError(HTTPStatus.METHOD_NOT_ALLOWED)
        answer: Awaitable[None] | None = self.get(*path)
        if answer is not None:
            await answer

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: types.TracebackType | None,
    ) -> None:
        """Log bugs with their trace; what the table answers is no bug, nor who does not wait."""
        if isinstance(value, (web.HTTPError, StreamClosedError)) or (
            isinstance(value, errors.DomainError) and problems.kind_of(value)
        ):
            return
        _log.error("unhandled_error", path=self.request.path, exc_info=(typ, value, tb))

    def options(self, *_path: str) -> None:
        """Say which methods there are."""
        self.set_header("Allow", ", ".join(self.allowed_methods()))
        self.set_status(NO_BODY)

    # -- lists ----------------------------------------------------------------------------------

    def after(self, cursor: str | None) -> SortKey | None:
        """The sort key that a cursor of this list stands for.

        Raises ``Invalid`` for a foreign one.
        """
        if cursor is None:
            return None
        try:
            raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            if not hmac.compare_digest(raw[:8], self._sign_cursor(raw[8:])):
                raise ValueError
            return tuple(_revive(value) for value in msgspec.msgpack.decode(raw[8:]))
        except (ValueError, UnicodeEncodeError, msgspec.DecodeError):
            raise errors.Invalid(errors.FieldFault("cursor", "cursor")) from None

    def cursor(self, key: SortKey | None) -> str | None:
        """The cursor for a sort key: signed, and good for this list and its filters only."""
        if key is None:
            return None
        raw = msgspec.msgpack.encode(key)
        return base64.urlsafe_b64encode(self._sign_cursor(raw) + raw).decode().rstrip("=")

    def _sign_cursor(self, raw: bytes) -> bytes:
        filters = sorted(
            (name, value)
            for name, value in self._query().items()
            if name not in ("cursor", "limit")
        )
        scope = f"{self.request.path.rstrip('/')}|{filters}".encode()
        secret: bytes = self.application.settings["cursor_secret"]
        return hmac.digest(secret, scope + b"|" + raw, "sha256")[:8]

    def _query(self) -> dict[str, str]:
        # Not stripped: Tornado would turn a control character into an empty string.
        return {
            name: self.get_query_argument(name, strip=False)
            for name in self.request.query_arguments
        }


class ApiHandler(BaseHandler):
    """Base of all handlers under ``/api/``."""

    _is_admitted = False

    async def admit(self, declared: Operation) -> None:
        """Find out who asks, whether he may, and whether he asks too often; once for a request."""
        if self._is_admitted:
            return
        if declared.sign_in != "none":
            await self.find_actor()
        # Counted before anybody is refused: refusals cost something, too.
        await self.limit(declared.door or _default_door(self.request.method))
        if declared.sign_in != "none":
            self._require_entitled(declared)
        self._is_admitted = True

    async def run_operation(
        self, declared: Operation, method: Callable[..., Awaitable[Any]], path: tuple[str, ...]
    ) -> None:
        """Do what the declaration says, call the method once, and encode what it returns."""
        arguments: dict[str, Any] = {}
        await self.admit(declared)
        if declared.sign_in != "none":
            arguments["actor"] = self.actor
        if declared.query is not None:
            arguments["query"] = decode_query(self._query(), declared.query)
        if declared.body is not None:
            self._require_json()
            arguments["body"] = decode_body(self.request.body, declared.body)
        key = self.idempotency_key if declared.is_idempotent else None
        if key is None:
            self._send(declared.status, await method(self, *path, **arguments))
        else:
            await self._run_once(key, declared, functools.partial(method, self, *path, **arguments))

    @property
    def idempotency_key(self) -> str | None:
        """The key by which the client marks this request, None without one."""
        return self.request.headers.get("Idempotency-Key")

    async def _run_once(
        self, key: str, declared: Operation, method: Callable[[], Awaitable[Any]]
    ) -> None:
        if not _IDEMPOTENCY_KEY.fullmatch(key):
            raise errors.Invalid(errors.FieldFault("Idempotency-Key", "pattern"))
        scope = self.request_scope(key)
        store = self.services.idempotency
        # Keyed: a body may hold a password, and what is stored must be no help in guessing it.
        secret: bytes = self.application.settings["cursor_secret"]
        earlier = await store.begin(scope, await self.body_hash(secret))
        if earlier is not None:
            self.set_header("Idempotent-Replayed", "true")
            self._send_bytes(earlier.status, await self.repeated_answer(earlier.body))
            return
        try:
            body = encode(await method())
        except BaseException:
            await store.abandon(scope)
            raise
        await store.finish(scope, StoredAnswer(declared.status, self.kept_answer(body)))
        self._send_bytes(declared.status, body)

    def request_scope(self, key: str) -> str:
        """What the same request of the same person has in common with its repeats."""
        who = self.actor.user_id if self.actor else self.counted_address
        return f"{who}|{self.request.method}|{self.request.path.rstrip('/')}|{key}"

    async def body_hash(self, secret: bytes) -> str:
        """What tells the body of a request from another body."""
        return hmac.digest(secret, self.request.body, "sha256").hex()

    def kept_answer(self, body: bytes) -> bytes:
        """What is stored of an answer for repeats of its request; less, where it holds secrets."""
        return body

    async def repeated_answer(self, kept: bytes) -> bytes:
        """The answer to a repeat, from what was stored of the first."""
        return kept

    def _require_entitled(self, declared: Operation) -> None:
        actor = self.actor
        if self.is_cookie_session and self.request.method not in ("GET", "HEAD", "OPTIONS"):
            try:
                web.RequestHandler.check_xsrf_cookie(self)
            except web.HTTPError:
                raise errors.Forbidden from None
        if actor is None and declared.sign_in == "required":
            raise errors.NotSignedIn
        if actor is not None and actor.role not in declared.roles:
            raise errors.Forbidden

    def check_xsrf_cookie(self) -> None:
        """Left to :meth:`admit`: only cookie sessions can be abused from another site."""

    def _require_json(self) -> None:
        limit: int = self.application.settings["max_body_bytes"]
        if len(self.request.body) > limit:
            raise errors.TooLarge(limit)
        if not self.request.body:
            return
        content_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip()
        if content_type.lower() != "application/json":
            raise errors.UnsupportedMedia

    def _send(self, status: int, answer: Any) -> None:
        self._send_bytes(status, b"" if answer is None else encode(answer))

    def _send_bytes(self, status: int, body: bytes) -> None:
        self.set_status(status)
        self.set_header("Vary", "Accept-Language, Authorization, Cookie")
        self.set_header("Cache-Control", "no-store")
        if status == NO_BODY:
            return
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Content-Language", self.reader.language)
        self.write(body)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a problem document."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        problem = self.describe_error(status_code, error)
        self.set_status(problem.status)
        self.set_header("Content-Type", problems.CONTENT_TYPE)
        self.set_header("Cache-Control", "no-store")
        self.finish(msgspec.json.encode(problem))


def _revive(value: Any) -> Any:
    # msgpack's timestamp extension comes back as an aware datetime already; lists must be tuples.
    return tuple(value) if isinstance(value, list) else value


def _default_door(method: str | None) -> str:
    return "read" if method in ("GET", "HEAD") else "write"


def _request_id(request: HTTPServerRequest, trusted: frozenset[str]) -> str:
    given = request.headers.get("X-Request-ID", "")
    context = getattr(request.connection, "context", None)
    address = getattr(context, "_orig_remote_ip", None) or request.remote_ip
    if address in trusted and _REQUEST_ID.fullmatch(given):
        return given
    return secrets.token_hex(8)
