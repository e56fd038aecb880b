"""Payments in MongoDB.

``keys`` holds everything by which an attempt of the payment is known outside: its references, the
providers' ids, their transactions. Its unique multikey index is what makes one proof pay for one
thing only. Times by which the clock and staff find a payment stand beside it, absent where there is
none: ``due_at``, ``review_at``, ``refund_at``.
"""

from __future__ import annotations

from collections.abc import Collection as Ids
from datetime import datetime
from typing import Final

from server.domain.booking import PaymentMethod
from server.domain.errors import ProofReused
from server.domain.payment import OPEN, Attempt, Payment, Purpose
from server.domain.ports.paging import Page
from server.domain.ports.payments import PaymentFilter
from server.store.client import ASCENDING, DESCENDING, Document, DuplicateKey, Index, Store
from server.store.codec import from_document, to_document
from server.store.outbox import ANY_TIME, outbox_index
from server.store.paging import cut, page_stages

COLLECTION: Final = "payments"
INDEXES: Final = (
    Index((("keys", ASCENDING),), unique=True),
    Index((("user_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING))),
    Index((("status", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING))),
    Index((("created_at", DESCENDING), ("_id", DESCENDING))),
    Index((("due_at", ASCENDING),), partial={"due_at": ANY_TIME}),
    Index(
        (("review_at", DESCENDING), ("_id", DESCENDING)),
        partial={"review_at": ANY_TIME},
    ),
    Index(
        (("refund_at", DESCENDING), ("_id", DESCENDING)),
        partial={"refund_at": ANY_TIME},
    ),
    outbox_index(),
)


class MongoPaymentRepository:
    """See ``ports.PaymentRepository``."""

    def __init__(self, store: Store) -> None:
        self._payments = store.collection(COLLECTION)

    async def add(self, payment: Payment) -> bool:
        """Store a new payment; False when that subject has one already."""
        try:
            await self._payments.insert_one(payment_document(payment))
        except DuplicateKey as error:
            if "keys" in error.fields:
                raise ProofReused from None
            return False
        return True

    async def find(self, payment_id: str) -> Payment | None:
        """Return the payment, or None."""
        document = await self._payments.find_one({"_id": payment_id})
        return from_document(Payment, document) if document else None

    async def find_many(self, payment_ids: Ids[str]) -> dict[str, Payment]:
        """Return those that exist, by id."""
        if not payment_ids:
            return {}
        documents = await self._payments.find(
            {"_id": {"$in": list(payment_ids)}}, limit=len(payment_ids)
        )
        return {document["_id"]: from_document(Payment, document) for document in documents}

    async def find_by_reference(self, reference: str) -> Payment | None:
        """Return the payment that has an attempt of that reference, or None."""
        return await self._find_by_key(_reference_key(reference))

    async def find_by_gateway_id(self, method: PaymentMethod, gateway_id: str) -> Payment | None:
        """Return the payment that has an attempt which the provider calls so, or None."""
        return await self._find_by_key(_gateway_key(method, gateway_id))

    async def find_by_transaction(
        self, method: PaymentMethod, transaction_id: str
    ) -> Payment | None:
        """Return the payment that the provider's movement of money belongs to, or None."""
        return await self._find_by_key(_transaction_key(method, transaction_id))

    async def _find_by_key(self, key: str) -> Payment | None:
        document = await self._payments.find_one({"keys": key})
        return from_document(Payment, document) if document else None

    async def replace(self, payment: Payment) -> bool:
        """Write it back if ``version`` is still the stored one, and raise it by one."""
        document = payment_document(payment)
        document["version"] = payment.version + 1
        try:
            return await self._payments.replace_one(
                {"_id": payment.id, "version": payment.version}, document
            )
        except DuplicateKey:
            raise ProofReused from None

    async def list_due(
        self, now: datetime, limit: int, after: datetime | None = None
    ) -> tuple[Payment, ...]:
        """Return payments of which something is to be done, the longest waiting first."""
        since = ANY_TIME if after is None else {"$gt": after}
        documents = await self._payments.find(
            {"due_at": {**since, "$lte": now}}, sort=(("due_at", ASCENDING),), limit=limit
        )
        return tuple(from_document(Payment, document) for document in documents)

    async def list_coming_top_ups(
        self, user_id: str, since: datetime, limit: int
    ) -> tuple[Payment, ...]:
        """Return a customer's top-ups that may still come into his wallet, newest first."""
        is_open = {"$in": sorted(status.value for status in OPEN)}
        documents = await self._payments.aggregate(
            [
                {"$match": {"user_id": user_id, "created_at": ANY_TIME}},
                {
                    "$match": {
                        "purpose": Purpose.TOP_UP.value,
                        "$or": [
                            {"status": is_open, "created_at": {"$gt": since}},
                            # Absent once all is delivered, so once it stands in the ledger.
                            {"outbox": {"$exists": True}},
                        ],
                    }
                },
                {"$sort": {"created_at": DESCENDING, "_id": DESCENDING}},
                {"$limit": limit},
            ]
        )
        return tuple(from_document(Payment, document) for document in documents)

    async def list_page(self, wanted: PaymentFilter) -> Page[Payment]:
        """Return payments, newest first; the key is (time, id)."""
        field = "created_at"
        indexed: Document = {}
        sifting: Document = {}
        if wanted.needs_review:
            field = "review_at"
        elif wanted.refunds:
            field = "refund_at"
        # Always a lower bound: without one the embedded server does not see that an index serves.
        latest = {"$lte": wanted.after[0]} if wanted.after else {}
        indexed[field] = {**ANY_TIME, **latest}
        if wanted.user_id is not None:
            (indexed if field == "created_at" else sifting)["user_id"] = wanted.user_id
        if wanted.status is not None:
            is_first = field == "created_at" and wanted.user_id is None
            (indexed if is_first else sifting)["status"] = wanted.status.value
        documents = await self._payments.aggregate(
            page_stages(
                indexed,
                field=field,
                direction=DESCENDING,
                limit=wanted.limit,
                after=wanted.after,
                sifting=sifting,
            )
        )
        rows, next_key = cut(documents, field, wanted.limit)
        return Page(tuple(from_document(Payment, row) for row in rows), next_key)


def payment_document(payment: Payment) -> Document:
    """The document of a payment with what it is found by; whoever writes in bulk uses it too."""
    document = to_document(payment)
    if not document["outbox"]:
        # Absent, not empty: a multikey index would enter an empty array as a value of its own.
        del document["outbox"]
    document["keys"] = sorted({key for each in payment.attempts for key in _keys(each)})
    document["status"] = payment.status.value
    for name, at in _times(payment).items():
        if at is not None:
            document[name] = at
    return document


def _times(payment: Payment) -> dict[str, datetime | None]:
    reviews = [
        review.at
        for attempt in payment.attempts
        for review in attempt.reviews
        if review.resolved_at is None
    ]
    refunds = [
        refund.asked_at
        for attempt in payment.attempts
        for refund in attempt.refunds
        if refund.is_open
    ]
    return {
        "due_at": payment.next_check_at,
        "review_at": max(reviews, default=None),
        "refund_at": max(refunds, default=None),
    }


def _keys(attempt: Attempt) -> list[str]:
    keys = [_reference_key(attempt.reference)]
    if attempt.gateway_id:
        keys.append(_gateway_key(attempt.method, attempt.gateway_id))
    if attempt.transaction_id:
        keys.append(_transaction_key(attempt.method, attempt.transaction_id))
    return keys


def _reference_key(reference: str) -> str:
    return f"ref:{reference}"


def _gateway_key(method: PaymentMethod, gateway_id: str) -> str:
    return f"gw:{method}:{gateway_id}"


def _transaction_key(method: PaymentMethod, transaction_id: str) -> str:
    return f"tx:{method}:{transaction_id}"
