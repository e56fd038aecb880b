"""Administration on the wire."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from server.domain.pandit import VerificationStatus
from server.schemas.base import PageQuery, Request


class VerificationQuery(PageQuery, frozen=True, kw_only=True):
    """Which pandits, by where the check of their papers stands."""

    verification_status: VerificationStatus = VerificationStatus.PENDING


class Decision(StrEnum):
    """What an admin decides about a pandit's papers."""

    APPROVE = "approve"
    REJECT = "reject"


class VerifyRequest(Request, frozen=True, kw_only=True):
    """A decision; the pandit is told the notes."""

    decision: Decision
    notes: Annotated[str, Meta(max_length=1000)] = ""
