"""What comes in from providers: stored as it came, before anybody looks at it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from server.domain.booking import PaymentMethod

MAX_BODY_BYTES: Final = 64 * 1024
_MAX_HEADERS: Final = 40
_MAX_HEADER_LENGTH: Final = 500
_KEPT_HEADERS: Final = frozenset(
    {"content-type", "content-length", "user-agent", "x-request-id", "accept", "host", "date"}
)
_SIGNATURES: Final = frozenset({"stripe-signature"})
_MASKED: Final = frozenset({"mobile", "msisdn", "customermsisdn", "phone", "token"})


class CallbackOutcome(enum.StrEnum):
    """What became of a callback."""

    RECEIVED = "received"
    PROCESSED = "processed"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    UNMATCHED = "unmatched"
    FORGED = "forged"
    UNREADABLE = "unreadable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One message of a provider, or a browser's return from it.

    ``headers`` are those that are no secret. A signature is kept, for without it nobody could
    replay the message; it signs this body alone. ``tries`` counts how often it was handled.
    """

    id: str
    method: PaymentMethod
    is_return: bool
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    received_at: datetime
    processed_at: datetime | None = None
    outcome: CallbackOutcome = CallbackOutcome.RECEIVED
    detail: str = ""
    payment_id: str | None = None
    tries: int = 0

    @property
    def is_replayable(self) -> bool:
        """Whether it can be handled again from what was kept."""
        return not self.is_return


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that are kept, with lower-case names: no cookie, no credential."""
    kept = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower in _KEPT_HEADERS or lower in _SIGNATURES:
            kept[lower] = value[:_MAX_HEADER_LENGTH]
    return dict(list(kept.items())[:_MAX_HEADERS])


def kept_query(query: Mapping[str, str]) -> dict[str, str]:
    """The arguments of a return, phone numbers and tokens masked, texts cut."""
    return {
        name[:60]: "***" if name.lower() in _MASKED else value[:2000]
        for name, value in list(query.items())[:40]
    }
