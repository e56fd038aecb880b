"""The way to the payment providers: one HTTP client for all, with timeouts, retries and a log.

A call says whether it is safe to repeat. What is safe is tried again after a connection that
failed, an answer that did not come, "too many requests", a fault of the server, and a body that is
no JSON where JSON was due: up to three times more, after about 1, 2 and 4 seconds, and never once
``total_seconds`` are over. What is not safe is tried again only while it is certain that the
provider has not seen it. Bodies are read before status codes, because providers say "expired" with
a 400. Redirects are not followed, and the process's environment decides nothing.

Two failures leave here. :class:`NotSent`: the provider knows of nothing. :class:`AnswerLost`: what
it did is unknown. Both are ``GatewayUnavailable`` to those who need not tell them apart. Refused
credentials are ``GatewayMisconfigured``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from server.domain.errors import GatewayMisconfigured, GatewayUnavailable
from server.settings import GatewaySettings

_log: Final = logging.getLogger(__name__)
MAX_ANSWER_BYTES: Final = 256 * 1024
_PAUSES: Final = (1.0, 2.0, 4.0)
_OK: Final = 200
_REFUSED: Final = (401, 403)
_TOO_MANY: Final = 429
_SERVER_FAULT: Final = 500
# The request never left, so that even a payment may be tried again.
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class NotSent(GatewayUnavailable):
    """The provider has not seen the request: nothing was done."""


class AnswerLost(GatewayUnavailable):
    """The provider may have done what was asked, or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. ``name`` is what the log calls it; ``is_safe``: repeating it does no harm.

    ``expects_json``: a body that is none is a failure. ``is_trouble`` recognises a body in which
    the provider says that it cannot answer now. ``form`` and ``json`` exclude each other.
    """

    gateway: str
    name: str
    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    is_safe: bool
    expects_json: bool = True
    is_trouble: Callable[[bytes], bool] | None = None

    @property
    def accepts(self) -> str:
        """The kind of body that is asked for."""
        return "application/json" if self.expects_json else "*/*"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``data`` holds the JSON object, with every number as the text that it was.

    ``data`` is empty where no JSON was expected.
    """

    status: int
    body: bytes
    data: Mapping[str, Any]

    @property
    def is_good(self) -> bool:
        """Whether the status is one of success."""
        return self.status // 100 == _OK // 100


class GatewayClient:
    """Speaks HTTP to all providers.

    Parameters
    ----------
    settings
        Timeouts.
    sleep, jitter
        How it waits between tries: ``jitter`` gives a number from 0 to 1. Tests put their own.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self._sleep = sleep
        self._jitter = jitter
        self._others: list[Callable[[], Awaitable[None]]] = []
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(
                settings.read_seconds,
                connect=settings.connect_seconds,
                pool=settings.connect_seconds,
            ),
            limits=httpx.Limits(max_connections=settings.max_connections),
            follow_redirects=False,
            trust_env=False,
        )

    def also_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call ``close`` when the client is closed: for a gateway whose library has its own."""
        self._others.append(close)

    async def close(self) -> None:
        """Close the connections."""
        for close in (*self._others, self._http.aclose):
            await close()

    async def send(self, call: Call) -> Answer:
        """Send the request and give the answer, whatever its status, unless that is a failure.

        Raises
        ------
        NotSent, AnswerLost
            After all tries.
        GatewayMisconfigured
            For 401 and 403.
        """
        request = self._http.build_request(
            call.method,
            call.url,
            params=call.params or None,
            headers={"Accept": call.accepts, "Accept-Encoding": "identity", **call.headers},
            json=call.json,
            data=dict(call.form) if call.form is not None else None,
        )
        began = time.monotonic()
        for pause in (*_PAUSES, None):
            fault: GatewayUnavailable
            try:
                answer = await self._try(request, call)
            except (NotSent, AnswerLost) as lost:
                fault = lost
            else:
                if answer.status not in _REFUSED:
                    return answer
                _log.error("gateway_refused_us %s %s %d", call.gateway, call.name, answer.status)
                raise GatewayMisconfigured(f"{call.gateway} {call.name}: {answer.status}")
            may_repeat = call.is_safe or isinstance(fault, NotSent)
            spent = time.monotonic() - began
            if pause is None or not may_repeat or spent + pause > self.settings.total_seconds:
                raise fault
            await self._sleep(pause * (0.75 + 0.5 * self._jitter()))
        raise AssertionError  # the last pause is None: the loop ends by raising

    async def _try(self, request: httpx.Request, call: Call) -> Answer:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.settings.read_seconds + self.settings.connect_seconds):
                status, body = await self._exchange(request)
        except _NEVER_SENT as error:
            raise self._logged(NotSent, call, type(error).__name__, began) from error
        except (httpx.HTTPError, TimeoutError, _TooLong) as error:
            raise self._logged(AnswerLost, call, type(error).__name__, began) from error
        if status == _TOO_MANY:
            raise self._logged(NotSent, call, "too many requests", began)
        if status >= _SERVER_FAULT:
            raise self._logged(AnswerLost, call, f"status {status}", began)
        if call.is_trouble is not None and call.is_trouble(body):
            raise self._logged(AnswerLost, call, "out of service", began)
        data = parse_object(body) if call.expects_json else {}
        if data is None:
            if status in _REFUSED:
                data = {}
            else:
                raise self._logged(AnswerLost, call, f"status {status} without JSON", began)
        milliseconds = round((time.monotonic() - began) * 1000)
        _log.info("gateway_call %s %s %d %d ms", call.gateway, call.name, status, milliseconds)
        return Answer(status, body, data)

    async def _exchange(self, request: httpx.Request) -> tuple[int, bytes]:
        response = await self._http.send(request, stream=True)
        try:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_ANSWER_BYTES:
                    raise _TooLong
        finally:
            await response.aclose()
        return response.status_code, bytes(body)

    @staticmethod
    def _logged(
        kind: type[GatewayUnavailable], call: Call, fault: str, began: float
    ) -> GatewayUnavailable:
        milliseconds = round((time.monotonic() - began) * 1000)
        _log.warning(
            "gateway_call_failed %s %s %s %d ms", call.gateway, call.name, fault, milliseconds
        )
        return kind(f"{call.gateway} {call.name}: {fault}")


class _TooLong(Exception):
    """The answer is larger than any that a provider sends."""


def parse_object(body: bytes | str) -> dict[str, Any] | None:
    """Read a JSON object, every number as the text that it was; None for anything else.

    Amounts stay exact that way, and what was signed can be checked to the letter.
    """
    try:
        data = json.loads(body, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
