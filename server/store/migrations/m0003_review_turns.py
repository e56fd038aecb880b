"""Approved reviews of before get their turns and pandits their sums; see ``domain.review``."""

from __future__ import annotations

from dataclasses import replace

from server.domain.pandit import Pandit
from server.domain.review import RatingSums, Review
from server.store.client import Document, Store
from server.store.codec import from_document, to_value
from server.store.pandits import pandit_document

_ROWS = 200


async def run(store: Store) -> None:
    """Number them by age. A crash half way does no harm: the numbers come out the same again."""
    reviews, pandits = store.collection("reviews"), store.collection("pandits")
    found: list[Document] = []
    fields = (
        *Review.__dataclass_fields__,
        "_id",
    )
    await reviews.read_all({"is_verified": True}, found.extend, fields=fields, rows=_ROWS)
    found.sort(key=lambda row: (row["created_at"], row["_id"]))
    sums: dict[str, RatingSums] = {}
    changes = []
    for row in found:
        review = from_document(Review, row)
        before = sums.get(review.pandit_id, RatingSums())
        turn = before.turn + 1
        sums[review.pandit_id] = before.with_turn(turn, review.stars, 1)
        if not review.turns:
            changes.append(({"_id": review.id}, {"$set": {"turns": [turn], "is_open": False}}))
    for place in range(0, len(changes), _ROWS):
        await reviews.update_each(changes[place : place + _ROWS])
    # Those that nobody has decided about wait for a moderator.
    await reviews.update_many(
        {"is_verified": False, "is_open": {"$exists": False}}, {"$set": {"is_open": True}}
    )
    await reviews.update_many({"version": {"$exists": False}}, {"$set": {"version": 1}})
    for pandit_id, total in sums.items():
        row_of_pandit = await pandits.find_one({"_id": pandit_id})
        if row_of_pandit is None or "sums" in row_of_pandit:
            continue
        pandit = from_document(Pandit, row_of_pandit)
        rated = pandit_document(
            replace(pandit, sums=total, rating=total.mean(total.rating), review_count=total.count)
        )
        await pandits.update_one(
            {"_id": pandit_id, "version": pandit.version},
            {
                "$set": {
                    "sums": to_value(total),
                    "rating": rated["rating"],
                    "review_count": rated["review_count"],
                    "ranking": rated["ranking"],
                },
                "$inc": {"version": 1},
            },
        )
