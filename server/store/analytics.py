"""Counting what is stored: figures about bookings, payments, reviews and the ledger.

Every pipeline begins with a range of one index, both ends given, and groups what it finds; nothing
is read that lies outside the days asked for, or belongs to others. Days are days in Nepal.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

from server.domain import ledger
from server.domain.account import NEPAL
from server.domain.analytics import (
    EarnedOn,
    Moved,
    Outcome,
    Period,
    Placed,
    RatedOn,
    Spending,
    Tried,
)
from server.domain.booking import (
    OCCUPYING,
    BookingStatus,
    Offer,
    PaymentMethod,
    PaymentStatus,
)
from server.domain.ledger import EntryKind
from server.domain.payment import Purpose
from server.store import bookings, payments, reviews
from server.store import ledger as ledger_documents
from server.store.client import DESCENDING, Document, Store
from server.store.codec import from_value
from server.store.outbox import ANY_TIME

_TICK: Final = timedelta(milliseconds=1)
_MOST_GROUPS: Final = 50_000
_MOST_ROWS: Final = 5_000
_PLACED: Final = {"status": {"$in": [status.value for status in BookingStatus]}}
"""Bookings that were placed, and not the drafts that lie beside them."""
_PAID: Final = [PaymentStatus.COMPLETED.value, PaymentStatus.REFUNDED.value]


class MongoAnalyticsRepository:
    """See ``ports.AnalyticsRepository``."""

    def __init__(self, store: Store) -> None:
        self._bookings = store.collection(bookings.COLLECTION)
        self._payments = store.collection(payments.COLLECTION)
        self._reviews = store.collection(reviews.COLLECTION)
        self._ledger = store.collection(ledger_documents.COLLECTION)

    # -- the platform ----------------------------------------------------------------------------

    async def placed(self, period: Period) -> tuple[Placed, ...]:
        rows = await self._bookings.aggregate(
            [
                *_within(period, "created_at"),
                {"$match": _PLACED},
                {
                    "$group": {
                        "_id": {
                            "day": _day("$created_at"),
                            "status": "$status",
                            "is_offered": {"$or": [_has("$accepted_at"), _has("$offers")]},
                            "is_accepted": _has("$accepted_at"),
                            "is_paid": {"$in": ["$payment_status", _PAID]},
                            "puja_id": "$puja_id",
                            "city": {"$ifNull": ["$location.city", ""]},
                        },
                        "name": {"$first": "$service_name"},
                        "count": {"$sum": 1},
                        "value": {"$sum": "$total_fee"},
                    }
                },
                {"$limit": _MOST_GROUPS},
            ]
        )
        return tuple(
            Placed(
                day=date.fromisoformat(row["_id"]["day"]),
                status=BookingStatus(row["_id"]["status"]),
                is_offered=row["_id"]["is_offered"],
                is_accepted=row["_id"]["is_accepted"],
                is_paid=row["_id"]["is_paid"],
                puja_id=row["_id"]["puja_id"],
                service_name=row["name"],
                city=row["_id"]["city"].strip(),
                count=row["count"],
                value=row["value"],
            )
            for row in rows
        )

    async def tried(self, period: Period) -> tuple[Tried, ...]:
        rows = await self._payments.aggregate(
            [
                *_within(period, "created_at"),
                {"$project": {"attempts": 1}},
                {"$unwind": "$attempts"},
                {
                    "$group": {
                        "_id": {
                            "method": "$attempts.method",
                            "status": "$attempts.status",
                            "currency": "$attempts.currency",
                        },
                        "count": {"$sum": 1},
                        "amount": {"$sum": "$attempts.amount"},
                        "refunded": {"$sum": "$attempts.refunded"},
                    }
                },
                {"$limit": _MOST_GROUPS},
            ]
        )
        found: dict[tuple[str, str], dict[str, int]] = {}
        for row in rows:
            status, is_paid = row["_id"]["status"], row["_id"]["status"] in _PAID
            sums = found.setdefault((row["_id"]["method"], row["_id"]["currency"]), {})
            outcome = "succeeded" if is_paid else "open"
            if status == PaymentStatus.FAILED.value:
                outcome = "failed"
            sums[outcome] = sums.get(outcome, 0) + row["count"]
            if is_paid:
                sums["amount"] = sums.get("amount", 0) + row["amount"]
                sums["refunded"] = sums.get("refunded", 0) + row["refunded"]
        return tuple(
            Tried(method=PaymentMethod(method), currency=currency, **sums)
            for (method, currency), sums in sorted(found.items())
        )

    async def moved(self, period: Period) -> tuple[Moved, ...]:
        # People's accounts are summed by kind, the house's own stand alone.
        account: Document = {
            "$cond": [
                {"$regexMatch": {"input": "$postings.account", "regex": "^(gateway|income):"}},
                "$postings.account",
                {"$arrayElemAt": [{"$split": ["$postings.account", ":"]}, 0]},
            ]
        }
        rows = await self._ledger.aggregate(
            [
                *_within(period, "at"),
                {"$unwind": "$postings"},
                {
                    "$group": {
                        "_id": {
                            "day": _day("$at"),
                            "account": account,
                            "kind": "$kind",
                            "currency": "$currency",
                        },
                        "amount": {"$sum": "$postings.amount"},
                    }
                },
                {"$limit": _MOST_GROUPS},
            ]
        )
        return tuple(
            Moved(
                day=date.fromisoformat(row["_id"]["day"]),
                account=row["_id"]["account"],
                kind=row["_id"]["kind"],
                currency=row["_id"]["currency"],
                amount=row["amount"],
            )
            for row in rows
        )

    # -- pandits ---------------------------------------------------------------------------------

    async def offers(self, pandit_user_id: str, period: Period) -> tuple[Offer, ...]:
        rows = await self._bookings.aggregate(
            [
                *_within(period, "created_at", {"offers.pandit_user_id": pandit_user_id}),
                {"$project": {"offers": 1}},
                {"$unwind": "$offers"},
                {"$match": {"offers.pandit_user_id": pandit_user_id}},
                {"$limit": _MOST_ROWS},
            ]
        )
        return tuple(from_value(Offer, row["offers"]) for row in rows)

    async def outcomes(
        self, pandit_user_id: str, period: Period, now: datetime
    ) -> tuple[Outcome, ...]:
        rows = await self._bookings.aggregate(
            [
                *_within(period, "starts_at", {"pandit_user_id": pandit_user_id}),
                {"$match": {"accepted_at": ANY_TIME}},
                {
                    "$group": {
                        "_id": {
                            "status": "$status",
                            # Not "$history.role": the embedded server finds nothing there.
                            "by": {
                                "$let": {
                                    "vars": {"last": {"$arrayElemAt": ["$history", -1]}},
                                    "in": "$$last.role",
                                }
                            },
                            "is_over": {"$lt": ["$ends_at", now]},
                        },
                        "count": {"$sum": 1},
                    }
                },
                {"$limit": _MOST_GROUPS},
            ]
        )
        return tuple(
            Outcome(
                status=BookingStatus(row["_id"]["status"]),
                by=row["_id"]["by"] or "",
                is_over=row["_id"]["is_over"],
                count=row["count"],
            )
            for row in rows
        )

    async def earned(self, pandit_user_id: str, period: Period) -> tuple[EarnedOn, ...]:
        owner = ledger.pandit(pandit_user_id)
        cash, waiting = ledger.cash(pandit_user_id), ledger.payouts(pandit_user_id)
        rows = await self._ledger.aggregate(
            [
                *_within(period, "at", {"chain.owner": owner}),
                {"$match": {"kind": {"$in": [EntryKind.EARNING, EntryKind.PAYOUT_PAID]}}},
                {"$unwind": "$postings"},
                {"$match": {"postings.account": {"$in": [owner, cash, waiting]}}},
                {
                    "$group": {
                        "_id": {
                            "day": _day("$at"),
                            "kind": "$kind",
                            "account": "$postings.account",
                        },
                        "amount": {"$sum": "$postings.amount"},
                    }
                },
                {"$limit": _MOST_GROUPS},
            ]
        )
        found: dict[str, dict[str, int]] = {}
        for row in rows:
            sums = found.setdefault(row["_id"]["day"], {})
            if row["_id"]["kind"] == EntryKind.PAYOUT_PAID:
                sums["paid_out"] = sums.get("paid_out", 0) + row["amount"]
                continue
            sums["earned"] = sums.get("earned", 0) - row["amount"]
            if row["_id"]["account"] == cash:
                sums["in_cash"] = sums.get("in_cash", 0) - row["amount"]
        return tuple(
            EarnedOn(day=date.fromisoformat(day), **sums) for day, sums in sorted(found.items())
        )

    async def rated(self, pandit_id: str, period: Period) -> tuple[RatedOn, ...]:
        rows = await self._reviews.aggregate(
            [
                *_within(period, "created_at", {"pandit_id": pandit_id, "is_verified": True}),
                {
                    "$group": {
                        "_id": _day("$created_at"),
                        "count": {"$sum": 1},
                        "stars": {"$sum": "$rating"},
                    }
                },
                {"$limit": _MOST_GROUPS},
            ]
        )
        return tuple(
            sorted(
                (
                    RatedOn(
                        day=date.fromisoformat(row["_id"]), count=row["count"], stars=row["stars"]
                    )
                    for row in rows
                ),
                key=lambda each: each.day,
            )
        )

    async def waiting(self, pandit_user_id: str, period: Period) -> int:
        # A booking that waits for its payment has been offered to nobody yet.
        asked = {"status": BookingStatus.PENDING.value, "pay_by": None}
        return await self._count(period, {"pandit_user_id": pandit_user_id}, asked)

    # -- customers -------------------------------------------------------------------------------

    async def upcoming(self, user_id: str, period: Period) -> int:
        ahead = {"status": {"$in": sorted(OCCUPYING)}}
        return await self._count(period, {"user_id": user_id}, ahead)

    async def _count(self, period: Period, whose: Document, which: Document) -> int:
        rows = await self._bookings.aggregate(
            [
                *_within(period, "starts_at", whose),
                {"$match": which},
                {"$group": {"_id": None, "count": {"$sum": 1}}},
            ]
        )
        return rows[0]["count"] if rows else 0

    async def statuses(self, user_id: str, period: Period) -> dict[BookingStatus, int]:
        rows = await self._bookings.aggregate(
            [
                *_within(period, "starts_at", {"user_id": user_id}),
                {"$group": {"_id": "$status", "count": {"$sum": 1}}},
                {"$limit": len(BookingStatus)},
            ]
        )
        return {BookingStatus(row["_id"]): row["count"] for row in rows}

    async def spent(self, user_id: str, period: Period) -> tuple[Spending, ...]:
        captured = {
            "$filter": {
                "input": "$attempts",
                "cond": {"$eq": ["$$this.number", "$captured"]},
            }
        }
        rows = await self._payments.aggregate(
            [
                # Cash is paid long after it was agreed on: all that was begun before the end.
                {
                    "$match": {
                        "user_id": user_id,
                        "created_at": {**ANY_TIME, "$lte": period.ends_at},
                    }
                },
                {
                    "$match": {
                        "confirmed_at": {"$gte": period.starts_at, "$lt": period.ends_at},
                        "purpose": {"$ne": Purpose.TOP_UP.value},
                    }
                },
                {
                    "$project": {
                        "day": _day("$confirmed_at"),
                        "booking_id": 1,
                        "title": 1,
                        "title_ne": 1,
                        "attempt": {"$arrayElemAt": [captured, 0]},
                    }
                },
                {"$sort": {"day": DESCENDING, "_id": 1}},
                {"$limit": _MOST_ROWS},
            ]
        )
        pujas = await self._pujas_of([row["booking_id"] for row in rows if row.get("booking_id")])
        return tuple(
            Spending(
                paid_on=date.fromisoformat(row["day"]),
                booking_id=row.get("booking_id"),
                puja_id=pujas.get(row.get("booking_id") or "", ""),
                title=row["title"],
                title_ne=row.get("title_ne") or row["title"],
                paid=row["attempt"]["amount"],
                refunded=row["attempt"]["refunded"],
            )
            for row in rows
        )

    async def _pujas_of(self, booking_ids: list[str]) -> dict[str, str]:
        if not booking_ids:
            return {}
        rows = await self._bookings.find(
            {"_id": {"$in": booking_ids}}, fields=("puja_id",), limit=len(booking_ids)
        )
        return {row["_id"]: row["puja_id"] for row in rows}


def _within(period: Period, field: str, equal: Document | None = None) -> list[Document]:
    """The stages that find what happened in a period, by an index that ends in that field.

    The first asks for a little more than is wanted: at the far end of a range over a descending
    index the embedded server leaves out what lies exactly on the bound.
    """
    wide = {"$gte": period.starts_at - _TICK, "$lte": period.ends_at + _TICK}
    return [
        {"$match": {**(equal or {}), field: wide}},
        {"$match": {field: {"$gte": period.starts_at, "$lt": period.ends_at}}},
    ]


def _day(field: str) -> Document:
    return {"$dateToString": {"format": "%Y-%m-%d", "date": field, "timezone": NEPAL}}


def _has(field: str) -> Document:
    return {"$ne": [{"$ifNull": [field, None]}, None]}
