"""Pandits, what finds them, and their papers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Protocol

from server.domain.account import GeoPoint
from server.domain.pandit import Pandit, VerificationStatus
from server.domain.papers import Papers
from server.domain.ports.paging import Page, SortKey
from server.domain.recommendation import (
    Factor,
    PanditCandidate,
)
from server.domain.search import Word, words_wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class PanditSearch:
    """What a customer looks for. ``near`` with ``radius_km`` restricts, prices are paisa.

    ``words`` are those of ``text`` with what else they may mean; without them the text is taken as
    it is. ``day`` and ``at``, the pandit's own, may rule out those whose hours do not hold them;
    whether they are free is not looked at.
    """

    puja_ids: tuple[str, ...] | None = None
    text: str = ""
    words: tuple[Word, ...] = ()
    day: date | None = None
    at: time | None = None
    near: GeoPoint | None = None
    radius_km: float | None = None
    min_rating: float | None = None
    max_price: int | None = None
    language: str | None = None
    sort: str = "recommended"
    limit: int = 20
    after: SortKey | None = None

    @property
    def wanted_words(self) -> tuple[Word, ...]:
        """The words that a pandit must have."""
        return self.words or words_wanted(self.text)


@dataclass(frozen=True, slots=True)
class PanditHit:
    """A pandit that was found, how far away he is.

    And what the asked puja costs with him (paisa). ``factors`` say why he is recommended, where
    somebody has looked into that.
    """

    pandit: Pandit
    distance_km: float | None
    price: int | None
    factors: Mapping[str, Factor] | None = None


class PanditRepository(Protocol):
    """Pandits with their services and hours, one document each."""

    async def add(self, pandit: Pandit) -> None:
        """Store a new profile, one for each account."""
        ...

    async def find(self, pandit_id: str) -> Pandit | None:
        """Return the pandit, or None."""
        ...

    async def find_by_user(self, user_id: str) -> Pandit | None:
        """Return the profile of that account, or None."""
        ...

    async def find_by_service(self, service_id: str) -> Pandit | None:
        """Return the pandit who offers that service, or None."""
        ...

    async def replace(self, pandit: Pandit) -> bool:
        """Write the pandit back if ``version`` is still the stored one, and raise it by one."""
        ...

    async def search(self, search: PanditSearch) -> Page[PanditHit]:
        """Return bookable pandits only, one query whatever the page's size."""
        ...

    async def candidates(self, search: PanditSearch) -> tuple[PanditCandidate, ...]:
        """Return the page that a search means, of each pandit only what a ranking reads."""
        ...

    async def refresh(self) -> int:
        """Look again at a part of what is kept in memory; returns how many were gone.

        Called every few seconds it goes through all, so that nothing stays wrong for long.
        """
        ...

    async def hits(self, pandit_ids: Sequence[str], search: PanditSearch) -> tuple[PanditHit, ...]:
        """Return those of them who can be booked, in the order given, as hits of that search.

        One query by id; whether they fit the search is not looked at.
        """
        ...

    async def list_by_status(
        self, status: VerificationStatus, *, limit: int, after: SortKey | None
    ) -> Page[Pandit]:
        """Return pandits of that status: who waits the longest first, of the others the newest."""
        ...


class PapersRepository(Protocol):
    """What pandits have uploaded about themselves, one document for each pandit."""

    async def find(self, pandit_id: str) -> Papers:
        """Return the pandit's uploads, empty ones where he has none."""
        ...

    async def find_each(self, pandit_ids: Collection[str]) -> dict[str, Papers]:
        """Return the uploads of those of the pandits who have any, in one query."""
        ...

    async def replace(self, papers: Papers) -> bool:
        """Write them back if ``version`` is still the stored one, and raise it by one."""
        ...
