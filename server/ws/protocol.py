"""The socket protocol, version 1: names, close codes, reading of commands, errors as frames.

docs/protocol.md tells clients the same, with examples. RFC 6455 carries it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from server.domain import errors
from server.domain.account import LANGUAGES
from server.domain.ports.world import Translator
from server.i18n import N_
from server.problems import detail_of, kind_of, retry_after_seconds
from server.schemas.frames import MAX_PAGE, ErrorEvent

SUBPROTOCOL: Final = "pandityatra.v1"
BEARER_PREFIX: Final = "bearer."
MAX_REPLAY: Final = 500
"""Who is further behind gets the newest page and pages back by himself."""
REPLAY_PAGE: Final = MAX_PAGE
FIRST_PAGE: Final = 50
MAX_PAGE_BYTES: Final = 48 * 1024
"""A page of history is cut into frames of about this size, so that none fills an outbox."""
NOTIFICATION_FRAME_BYTES: Final = 2 * 1024
MAX_CID: Final = 36


class CloseCode(enum.IntEnum):
    """Why the server closes. 4000 to 4399: connect again; 4400 to 4499: not until sth. changes."""

    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    BINARY = 1003
    BAD_UTF8 = 1007
    TOO_BIG = 1009
    SERVER_ERROR = 1011
    TRY_LATER = 1013
    DRAINING = 4000
    SLOW_READER = 4001
    HEARTBEAT_MISSED = 4002
    TOKEN_EXPIRED = 4003
    SENDING_TOO_FAST = 4005
    MALFORMED = 4400
    NOT_SIGNED_IN = 4401
    REMOVED = 4403
    NOT_FOUND = 4404
    REPLACED = 4409

    @property
    def reason(self) -> str:
        """What the close frame says beside the code."""
        return self.name.lower().replace("_", " ")


class FrameFault(enum.Enum):
    """What can be wrong with a frame before any service sees it: code and text."""

    BAD_JSON = "bad_json", N_("The frame is not a JSON object.")
    BAD_REQUEST = "bad_request", N_("The frame lacks a field, or one has the wrong form.")
    UNKNOWN_TYPE = "unknown_type", N_("There is no such frame type.")
    RATE_LIMITED = "rate_limited", N_("You are sending too fast. Please slow down.")
    INTERNAL = "internal_error", N_("Something went wrong on our side")

    @property
    def code(self) -> str:
        """The stable name that clients see."""
        return self.value[0]

    @property
    def text(self) -> str:
        """The text for people, in the language of the source."""
        return self.value[1]

    @property
    def is_malformed(self) -> bool:
        """Whether it counts towards closing with 4400."""
        return self in (FrameFault.BAD_JSON, FrameFault.BAD_REQUEST)


@dataclass(frozen=True, slots=True)
class BadFrame:
    """A frame that is no command; ``cid`` where one could still be read."""

    fault: FrameFault
    cid: str | None = None


C = TypeVar("C")


class CommandReader(Generic[C]):
    """Reads the commands of one kind of socket; ``types`` are the members of the tagged union."""

    def __init__(self, union: Any, types: tuple[type[msgspec.Struct], ...]) -> None:
        self._decoder: msgspec.json.Decoder[C] = msgspec.json.Decoder(union)
        self._tags = frozenset(each.__struct_config__.tag for each in types)

    def read(self, text: bytes) -> C | BadFrame:
        """The command in a text frame (UTF-8), or what is wrong with it."""
        try:
            return self._decoder.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            pass
        try:
            plain = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return BadFrame(FrameFault.BAD_JSON)
        if not isinstance(plain, dict):
            return BadFrame(FrameFault.BAD_JSON)
        cid = plain.get("cid")
        cid = cid if isinstance(cid, str) and 0 < len(cid) <= MAX_CID else None
        tag = plain.get("type")
        if isinstance(tag, str) and tag not in self._tags:
            return BadFrame(FrameFault.UNKNOWN_TYPE, cid)
        return BadFrame(FrameFault.BAD_REQUEST, cid)


def fault_event(
    fault: FrameFault, translator: Translator, *, cid: str | None = None, retry_after: int = 0
) -> ErrorEvent:
    """The error frame of a bad frame."""
    en, ne = (translator.text(language, fault.text) for language in LANGUAGES)
    return ErrorEvent(
        code=fault.code,
        message=en,
        message_ne=ne,
        cid=cid if cid is not None else msgspec.UNSET,
        retry_after=retry_after or msgspec.UNSET,
    )


def error_event(
    error: errors.DomainError, translator: Translator, *, cid: str | None = None
) -> ErrorEvent | None:
    """The error frame of a domain error, or None when it is not in the table of problems."""
    kind = kind_of(error)
    if kind is None:
        return None
    en, ne = (
        translator.text(language, detail_of(kind, error), **error.params())
        for language in LANGUAGES
    )
    retry_after = retry_after_seconds(error)
    return ErrorEvent(
        code=_code(error),
        message=en,
        message_ne=ne,
        cid=cid if cid is not None else msgspec.UNSET,
        retry_after=retry_after if retry_after is not None else msgspec.UNSET,
    )


def _code(error: errors.DomainError) -> str:
    if isinstance(error, errors.Invalid):
        faults = {(fault.field, fault.code) for fault in error.faults}
        if any(code == "too-long" for _, code in faults):
            return "too_large"
        if ("message_type", "choice") in faults:
            return "unsupported_kind"
        return "bad_request"
    return error.code.replace("-", "_")
