"""Bookings in MongoDB.

The unique index over (pandit_id, claims) is multikey: it holds one entry for each quarter hour (and
each seat and turn of a day, see ``domain.calendar``) that a booking claims, so the database itself
refuses two bookings of one pandit that overlap, whatever their lengths and whoever races. Claims
live in the booking's own document: the write that ends a booking frees its time, and no claim can
be left behind.
"""

from __future__ import annotations

from collections.abc import Collection as Ids
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from server.domain.account import Place
from server.domain.booking import CONTACT_SHARED, Booking, BookingStatus, ServiceLocation
from server.domain.calendar import local_instant
from server.domain.draft import DRAFT
from server.domain.errors import AlreadyExists, SlotTaken
from server.domain.ports.bookings import BookingFilter
from server.domain.ports.paging import Page
from server.domain.recommendation import PastBooking
from server.domain.travel import Engagement, visited_point
from server.store.client import ASCENDING, DESCENDING, Document, DuplicateKey, Index, Store
from server.store.codec import from_document, from_value, to_document
from server.store.outbox import ANY_TIME, LONG_AGO, outbox_index
from server.store.paging import cut, page_stages

COLLECTION: Final = "bookings"
INDEXES: Final = (
    Index(
        (("pandit_id", ASCENDING), ("claims", ASCENDING)),
        unique=True,
        partial={"claims": {"$exists": True}},
    ),
    # The one above keeps spans apart; the embedded server finds nothing by an index that is
    # partial on $exists.
    Index((("pandit_id", ASCENDING), ("claims", ASCENDING), ("_id", ASCENDING))),
    Index((("busy_pandit_id", ASCENDING), ("_id", ASCENDING))),
    Index((("user_id", ASCENDING), ("starts_at", DESCENDING), ("_id", DESCENDING))),
    Index((("pandit_user_id", ASCENDING), ("starts_at", DESCENDING), ("_id", DESCENDING))),
    Index((("user_id", ASCENDING), ("pandit_id", ASCENDING), ("status", ASCENDING))),
    Index(
        (("user_id", ASCENDING), ("request_key", ASCENDING)),
        unique=True,
        partial={"request_key": {"$gt": ""}},
    ),
    # How many a customer has open: see ``BookingService.in_open_place``.
    Index(
        (("user_id", ASCENDING), ("open_place", ASCENDING)),
        unique=True,
        partial={"open_place": {"$gt": ""}},
    ),
    Index((("starts_at", DESCENDING), ("_id", DESCENDING))),
    Index((("created_at", DESCENDING), ("_id", DESCENDING))),
    Index((("offers.pandit_user_id", ASCENDING), ("created_at", DESCENDING))),
    Index((("answer_by", ASCENDING),), partial={"answer_by": ANY_TIME}),
    Index((("remind_at", ASCENDING),), partial={"remind_at": ANY_TIME}),
    Index((("pay_by", ASCENDING),), partial={"pay_by": ANY_TIME}),
    Index((("proposal_answer_by", ASCENDING),), partial={"proposal_answer_by": ANY_TIME}),
    # Drafts, which stand among the bookings because they claim time by the same index: see
    # ``store.drafts``.
    Index(
        (("drafter_id", ASCENDING), ("place", ASCENDING)),
        unique=True,
        partial={"drafter_id": {"$gt": ""}},
    ),
    Index((("lapses_at", ASCENDING),), partial={"lapses_at": ANY_TIME}),
    outbox_index(),
)
_ENGAGEMENT: Final = {
    **dict.fromkeys(
        ("status", "claims", "starts_at", "ends_at", "service_location", "location"), 1
    ),
    **dict.fromkeys(("timezone", "proposal.booking_date", "proposal.booking_time"), 1),
    "draft.has_details": 1,
    **dict.fromkeys(
        (f"draft.booking.{name}" for name in ("starts_at", "ends_at", "service_location")), 1
    ),
    "draft.booking.location": 1,
}
_SHARED: Final = sorted(CONTACT_SHARED)
_MOST_OPEN: Final = 3000
"""More places than the settings allow."""
_TICK: Final = timedelta(milliseconds=1)
_FIRST: Final = date(1900, 1, 1)
_LAST: Final = date(9000, 1, 1)
_EAST: Final = timedelta(hours=15)
"""A day begins nowhere earlier before midnight in Greenwich."""
_WEST: Final = timedelta(hours=37)
"""A day ends nowhere later after its midnight in Greenwich."""


class MongoBookingRepository:
    """See ``ports.BookingRepository``."""

    def __init__(self, store: Store) -> None:
        self._bookings = store.collection(COLLECTION)

    async def add(self, booking: Booking) -> None:
        try:
            await self._bookings.insert_one(booking_document(booking))
        except DuplicateKey as error:
            raise taken(error) from None

    async def find(self, booking_id: str) -> Booking | None:
        document = await self._bookings.find_one({"_id": booking_id})
        is_booking = document is not None and document["status"] != DRAFT
        return from_document(Booking, document) if document and is_booking else None

    async def find_each(self, booking_ids: Ids[str]) -> dict[str, Booking]:
        if not booking_ids:
            return {}
        documents = await self._bookings.find(
            {"_id": {"$in": list(booking_ids)}}, limit=len(booking_ids)
        )
        return {
            row["_id"]: from_document(Booking, row) for row in documents if row["status"] != DRAFT
        }

    async def open_places(self, user_id: str) -> frozenset[str]:
        # By the customer's own index first: see ``store.paging``.
        documents = await self._bookings.aggregate(
            [
                {"$match": {"user_id": user_id}},
                {"$match": {"open_place": {"$gt": ""}}},
                {"$project": {"open_place": 1}},
                {"$limit": _MOST_OPEN},
            ]
        )
        return frozenset(document["open_place"] for document in documents)

    async def find_by_request(self, user_id: str, request_key: str) -> Booking | None:
        # By the customer's own index first: see ``store.paging``.
        documents = await self._bookings.aggregate(
            [
                {"$match": {"user_id": user_id}},
                {"$match": {"request_key": request_key}},
                {"$limit": 1},
            ]
        )
        return from_document(Booking, documents[0]) if documents else None

    async def replace(self, booking: Booking) -> bool:
        document = booking_document(booking)
        document["version"] = booking.version + 1
        try:
            return await self._bookings.replace_one(
                {"_id": booking.id, "version": booking.version}, document
            )
        except DuplicateKey as error:
            raise taken(error) from None

    async def list_page(self, wanted: BookingFilter) -> Page[Booking]:
        whose: Document = {}
        if wanted.user_id is not None:
            whose["user_id"] = wanted.user_id
        if wanted.pandit_user_id is not None:
            whose["pandit_user_id"] = wanted.pandit_user_id
        sifting: Document = {}
        if wanted.statuses:
            sifting["status"] = {"$in": list(wanted.statuses)}
        if wanted.is_held is not None:
            # A booking has that time only while it is held.
            sifting["pay_by"] = ANY_TIME if wanted.is_held else None
        days: dict[str, Any] = {}
        if wanted.first is not None:
            days["$gte"] = wanted.first.isoformat()
        if wanted.last is not None:
            days["$lte"] = wanted.last.isoformat()
        if days:
            sifting["booking_date"] = days
        span = _span(wanted)
        if not whose and "$gte" not in span:
            # Everybody's: a draft has no such time, and with a lower bound none is looked at.
            span["$gt"] = LONG_AGO
        if span:
            whose["starts_at"] = span
        documents = await self._bookings.aggregate(
            page_stages(
                whose,
                field="starts_at",
                direction=ASCENDING if wanted.soonest_first else DESCENDING,
                limit=wanted.limit,
                after=wanted.after,
                sifting=sifting,
            )
        )
        rows, next_key = cut(documents, "starts_at", wanted.limit)
        return Page(tuple(from_document(Booking, row) for row in rows), next_key)

    async def list_between(
        self, user_id: str, *, as_pandit: bool, first: datetime, last: datetime, limit: int
    ) -> tuple[Booking, ...]:
        documents = await self._bookings.find(
            {
                "pandit_user_id" if as_pandit else "user_id": user_id,
                # See ``_TICK``: the indexes descend, and the far end leaves out its equals.
                "starts_at": {"$gte": first - _TICK, "$lt": last},
            },
            sort=(("starts_at", ASCENDING), ("_id", ASCENDING)),
            limit=limit,
        )
        return tuple(
            from_document(Booking, document)
            for document in documents
            if document["starts_at"] >= first
        )

    async def claims(
        self, pandit_ids: Ids[str], first: int, last: int
    ) -> dict[str, frozenset[int]]:
        # Two stages: see ``store.paging``. The limit cuts none off, for each has claims of its own.
        # Found by the field that only those bookings have that hold time now: a pandit has few of
        # them, however many he has had.
        documents = await self._bookings.aggregate(
            [
                {"$match": {"busy_pandit_id": {"$in": list(pandit_ids)}}},
                {"$match": {"claims": {"$elemMatch": {"$gte": first, "$lt": last}}}},
                {"$project": {"pandit_id": 1, "claims": 1}},
                {"$limit": max(1, len(pandit_ids) * (last - first))},
            ]
        )
        taken: dict[str, set[int]] = {pandit_id: set() for pandit_id in pandit_ids}
        for document in documents:
            taken[document["pandit_id"]].update(document["claims"])
        return {pandit_id: frozenset(claims) for pandit_id, claims in taken.items()}

    async def engagements(self, pandit_id: str, first: int, last: int) -> tuple[Engagement, ...]:
        documents = await self._bookings.aggregate(
            [
                {"$match": {"busy_pandit_id": pandit_id}},
                {"$match": {"claims": {"$elemMatch": {"$gte": first, "$lt": last}}}},
                {"$project": _ENGAGEMENT},
                {"$limit": max(1, last - first)},
            ]
        )
        return tuple(each for document in documents for each in _engagements(document))

    async def has_accepted(self, user_id: str, pandit_id: str) -> bool:
        return bool(await self.accepted_pandits(user_id, (pandit_id,)))

    async def accepted_pandits(self, user_id: str, pandit_ids: Ids[str]) -> frozenset[str]:
        documents = await self._bookings.aggregate(
            [
                {"$match": {"user_id": user_id}},
                {
                    "$match": {
                        "pandit_id": {"$in": list(pandit_ids)},
                        "status": {"$in": _SHARED},
                    }
                },
                {"$group": {"_id": "$pandit_id"}},
            ]
        )
        return frozenset(document["_id"] for document in documents)

    async def list_unanswered(self, now: datetime, limit: int) -> tuple[Booking, ...]:
        documents = await self._bookings.aggregate(
            [
                {"$match": {"answer_by": {**ANY_TIME, "$lte": now}}},
                {"$match": {"status": BookingStatus.PENDING.value}},
                {"$sort": {"answer_by": ASCENDING}},
                {"$limit": limit},
            ]
        )
        return tuple(from_document(Booking, document) for document in documents)

    async def list_to_remind(self, now: datetime, limit: int) -> tuple[Booking, ...]:
        documents = await self._bookings.find(
            {"remind_at": {**ANY_TIME, "$lte": now}}, sort=(("remind_at", ASCENDING),), limit=limit
        )
        return tuple(from_document(Booking, document) for document in documents)

    async def list_unpaid(self, now: datetime, limit: int) -> tuple[Booking, ...]:
        documents = await self._bookings.aggregate(
            [
                {"$match": {"pay_by": {**ANY_TIME, "$lte": now}}},
                {"$match": {"status": BookingStatus.PENDING.value}},
                {"$sort": {"pay_by": ASCENDING}},
                {"$limit": limit},
            ]
        )
        return tuple(from_document(Booking, document) for document in documents)

    async def list_unanswered_proposals(self, now: datetime, limit: int) -> tuple[Booking, ...]:
        documents = await self._bookings.find(
            {"proposal_answer_by": {**ANY_TIME, "$lte": now}},
            sort=(("proposal_answer_by", ASCENDING),),
            limit=limit,
        )
        return tuple(from_document(Booking, document) for document in documents)

    async def past_of(self, user_id: str, limit: int) -> tuple[PastBooking, ...]:
        documents = await self._bookings.aggregate(
            [
                {"$match": {"user_id": user_id}},
                {"$sort": {"starts_at": DESCENDING, "_id": DESCENDING}},
                {"$limit": limit},
                # Of some hundred fields of a long list two are wanted: the rest is not sent.
                {
                    "$project": {
                        "puja_id": 1,
                        "pandit_id": 1,
                        "status": 1,
                        "created_at": 1,
                        "booking_date": 1,
                        "ends_at": 1,
                        "item_ids": _each_line("item_id"),
                        "sources": _each_line("source"),
                        "samagri_declined": 1,
                        "samagri_own_declined": 1,
                    }
                },
            ]
        )
        return tuple(_past(document) for document in documents)

    async def last_held(self, user_id: str) -> dict[str, date]:
        documents = await self._bookings.aggregate(
            [
                {"$match": {"user_id": user_id, "status": BookingStatus.COMPLETED.value}},
                {"$group": {"_id": "$puja_id", "day": {"$max": "$booking_date"}}},
            ]
        )
        return {each["_id"]: date.fromisoformat(each["day"]) for each in documents}


def _span(wanted: BookingFilter) -> dict[str, datetime]:
    """When the bookings of a list begin: what the index of instants can rule out.

    The days are of the booking's own zone, so their bounds are wide.
    """
    span: dict[str, datetime] = {}
    if wanted.first is not None:
        span["$gte"] = _midnight(wanted.first) - _EAST
    if wanted.last is not None:
        span["$lte"] = _midnight(wanted.last) + _WEST
    if wanted.after is not None and wanted.soonest_first:
        # The indexes descend, so this bound is the far end of a range, and there the embedded
        # server leaves out its equals. A little further off it takes no row of this list away.
        after = wanted.after[0] - _TICK
        span["$gte"] = max(after, span.get("$gte", after))
    elif wanted.after is not None:
        span["$lte"] = min(wanted.after[0], span.get("$lte", wanted.after[0]))
    return span


def _midnight(day: date) -> datetime:
    # Away from both ends of the calendar, where there is nothing further off.
    return datetime.combine(min(max(day, _FIRST), _LAST), time(), UTC)


def booking_document(booking: Booking) -> Document:
    """The document of a booking; whoever writes in bulk uses it too."""
    # Absent, not empty: a multikey index would enter an empty array as a value of its own.
    document = to_document(booking)
    if booking.claims:
        document["busy_pandit_id"] = booking.pandit_id
    for name in ("claims", "outbox", "offers"):
        if not document[name]:
            del document[name]
    if not booking.is_open:
        document["open_place"] = None
    for name in ("answer_by", "pay_by", "remind_at", "request_key", "open_place"):
        if document[name] is None:
            del document[name]
    if waiting := _answers_due(booking):
        document["proposal_answer_by"] = min(waiting)
    return document


def _answers_due(booking: Booking) -> list[datetime]:
    """Until when what is proposed waits for an answer: another time, another list, or both."""
    proposals = (booking.proposal, booking.samagri_proposal)
    return [each.answer_by for each in proposals if each is not None and each.answer_by is not None]


def _engagements(document: Document) -> Iterator[Engagement]:
    """What a booking, or a draft that holds a slot, takes of its pandit's day.

    An open proposal is one more, under the same id: its claims are the booking's.
    """
    is_draft = document["status"] == DRAFT
    told = document["draft"]["booking"] if is_draft else document
    point = None
    if not is_draft or document["draft"]["has_details"]:
        place = from_value(Place, told["location"])
        point = visited_point(ServiceLocation(told["service_location"]), place)
    found = Engagement(
        booking_id=document["_id"],
        starts_at=told["starts_at"],
        ends_at=told["ends_at"],
        status=BookingStatus.PENDING if is_draft else BookingStatus(document["status"]),
        claims=tuple(document["claims"]),
        point=point,
    )
    yield found
    if proposal := document.get("proposal"):
        starts_at = local_instant(
            date.fromisoformat(proposal["booking_date"]),
            time.fromisoformat(proposal["booking_time"]),
            document["timezone"],
        )
        yield replace(
            found,
            starts_at=starts_at,
            ends_at=starts_at + (found.ends_at - found.starts_at),
            status=BookingStatus.PENDING,
            claims=(),
        )


def _each_line(field: str) -> Document:
    """One field of each line; the embedded database follows no path through a list."""
    return {"$map": {"input": "$samagri", "in": f"$$this.{field}"}}


def _past(document: Document) -> PastBooking:
    own = document.get("samagri_own_declined") or ()
    return PastBooking(
        booking_id=document["_id"],
        puja_id=document["puja_id"],
        pandit_id=document["pandit_id"],
        status=BookingStatus(document["status"]),
        booked_at=document["created_at"],
        held_on=date.fromisoformat(document["booking_date"]),
        ended_at=document["ends_at"],
        item_ids=tuple(document.get("item_ids") or ()),
        sources=tuple(document.get("sources") or ()),
        declined=tuple(each for each in document.get("samagri_declined") or () if each not in own),
    )


def taken(error: DuplicateKey) -> Exception:
    """Which of its unique indexes has refused a write, in the words of the business."""
    if "claims" in error.fields:
        return SlotTaken()
    for field in ("request_key", "open_place"):
        if field in error.fields:
            return AlreadyExists(field)
    return error
