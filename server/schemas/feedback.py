"""Wire types of feedback on recommendations, and of what customers prefer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from server.domain.errors import FieldFault, Invalid
from server.domain.learning import (
    MAX_TARGETS,
    FeedbackKind,
    PreferenceKind,
    SamagriPreference,
    Surface,
)
from server.schemas.base import Id, Reader, Request

Ids = Annotated[list[Id], Meta(min_length=1, max_length=MAX_TARGETS)]


class FeedbackRequest(Request, frozen=True, kw_only=True):
    """What became of recommended things: of one, or of several of one recommendation.

    ``rec_id`` came with the recommendation; ``favourite`` and ``never_show`` do without it.
    """

    kind: Literal["shown", "added", "removed", "favourite", "never_show"]
    rec_id: Annotated[str, Meta(min_length=1, max_length=1200)] | None = None
    item_id: Id | None = None
    item_ids: Ids | None = None
    pandit_id: Id | None = None
    pandit_ids: Ids | None = None
    puja_id: Id | None = None
    puja_ids: Ids | None = None

    @property
    def feedback_kind(self) -> FeedbackKind:
        """The domain's form of ``kind``."""
        return FeedbackKind(self.kind)

    def named(self) -> tuple[Surface, tuple[str, ...]]:
        """The things and what they are. Raises ``Invalid`` unless they stand in one field."""
        fields = (
            (Surface.SAMAGRI, self.item_id and [self.item_id]),
            (Surface.SAMAGRI, self.item_ids),
            (Surface.PANDITS, self.pandit_id and [self.pandit_id]),
            (Surface.PANDITS, self.pandit_ids),
            (Surface.BOOKINGS, self.puja_id and [self.puja_id]),
            (Surface.BOOKINGS, self.puja_ids),
        )
        given = [(surface, tuple(dict.fromkeys(ids))) for surface, ids in fields if ids]
        if len(given) != 1:
            raise Invalid(FieldFault("item_id", "choice" if given else "required"))
        return given[0]


class FeedbackResponse(Struct, frozen=True, kw_only=True):
    """How much of what was said is new."""

    recorded: int


class PreferenceRequest(Request, frozen=True, kw_only=True):
    """What the customer thinks of an item."""

    preference: PreferenceKind


class PreferenceResponse(Struct, frozen=True, kw_only=True):
    """What the customer thinks of an item."""

    item_id: str
    preference: PreferenceKind
    updated_at: datetime


def present_preference(preference: SamagriPreference, reader: Reader) -> PreferenceResponse:
    """Return the preference as its owner sees it."""
    return PreferenceResponse(
        item_id=preference.item_id,
        preference=preference.preference,
        updated_at=reader.local(preference.updated_at),
    )
