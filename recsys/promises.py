"""What a list of samagri promises whatever the model says, counted on the bookings of the test.

What a puja demands is on its list, stronger types stand above weaker ones, and what a customer
never wants to see is not offered to him. The blend is asked as serving asks it, once as each
booking was made and once more by a customer who wants none of what was offered to him first, half
of them with a budget.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys.blend import Recommendation, Request, SamagriBlend
from recsys.data import Dataset, Tier
from recsys.lists import AS_SERVED, Lists, dismissed
from recsys.signals import Knowledge

MOST_ASKED: Final = 300
_Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Promises:
    """How many lists were made, and what in them was not as promised.

    Attributes
    ----------
    order_breaks
        Rows that stand above one of a stronger type.
    missing
        Required and essential items that are not there, nor what stands for them.
    unwanted
        Optional rows of things that the customer never wants to see.
    not_finite
        Confidences that are no numbers.
    """

    lists: int = 0
    order_breaks: int = 0
    missing: int = 0
    unwanted: int = 0
    not_finite: int = 0

    def as_dict(self) -> dict[str, int]:
        """For manifest and card."""
        return asdict(self)


def broken_promises(knowledge: Knowledge, data: Dataset, rows: _Rows, known_at: int) -> Promises:
    """Ask for some of these bookings and count.

    Parameters
    ----------
    known_at
        What customers had dismissed by then (milliseconds) is what they never want to see.
    """
    lists = Lists.of(data)
    blend = SamagriBlend(lists.shelf(data.items), knowledge, params=AS_SERVED)
    unwanted = dismissed(data, known_at)
    found = Counter[str]()
    for number, row in enumerate(_spread(rows)):
        never_show = unwanted.get(int(data.bookings.user[row]), frozenset())
        request = lists.request(row, never_show=never_show)
        answer = blend.recommend(request)
        found.update(_counted(request, answer))
        optional = {each.item_id for each in answer.rows if each.tier == Tier.OPTIONAL}
        again = lists.request(
            row,
            never_show=never_show | optional,
            budget=answer.total // 2 if number % 2 else None,
        )
        found.update(_counted(again, blend.recommend(again)))
    return Promises(**found)


def _spread(rows: _Rows) -> list[int]:
    step = max(1, -(-len(rows) // MOST_ASKED))
    return [int(row) for row in rows[::step]]


def _counted(request: Request, answer: Recommendation) -> dict[str, int]:
    tiers = [int(row.tier) for row in answer.rows]
    there = {row.item_id for row in answer.rows} | {row.substitute_of for row in answer.rows}
    needed = {each.item_id for each in request.demands if each.tier != Tier.OPTIONAL}
    return {
        "lists": 1,
        "order_breaks": sum(a > min(tiers[place:]) for place, a in enumerate(tiers)),
        "missing": len(needed - there),
        "unwanted": sum(
            row.tier == Tier.OPTIONAL and row.item_id in request.never_show for row in answer.rows
        ),
        "not_finite": sum(not math.isfinite(row.confidence) for row in answer.rows),
    }
