"""Trained models, what they learn from, and how they are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from server.domain.experiment import ArmCount, Exposure
from server.domain.learning import (
    Counter,
    CounterKey,
    Feedback,
    Interaction,
    SamagriPreference,
)
from server.domain.ports.paging import Page, SortKey
from server.domain.recommendation import (
    Adviser,
    ModelListing,
    ModelState,
    Preferences,
)


class Models(Protocol):
    """The trained models: the one that serves, and the store that they lie in."""

    @property
    def current(self) -> Adviser:
        """What answers now. Take it once for an answer and keep it to its end."""
        ...

    @property
    def state(self) -> ModelState:
        """What serves in this process, and what was refused last."""
        ...

    async def look(self, *, is_asked: bool = False) -> None:
        """Look whether another version is to serve, and take it up if it is sound.

        ``is_asked``: one that was refused is tried again at once.
        """
        ...

    async def versions(self, limit: int) -> ModelListing:
        """Return what lies in the store, newest first."""
        ...

    async def report(self, version: str) -> str:
        """Return the comparison that training wrote into a version, an HTML page.

        Raises
        ------
        NotFound
            If there is no such version, or it has no report.
        ModelRefused
            If the file is not what the version's manifest says.
        """
        ...

    async def activate(self, version: str, *, by: str, reason: str, force: bool) -> None:
        """Point all processes to a version; when this returns, it serves in this one.

        Raises
        ------
        NotFound
            If there is no such version.
        ModelRefused
            If it does not pass its checks, or does not fit this server.
        GatesFailed
            If its training found it too weak, and nobody forces it.
        """
        ...


class PreferenceRepository(Protocol):
    """What customers have said that they want, or never want to see."""

    async def find(self, user_id: str) -> Preferences:
        """Return what a customer has said; nothing of one who has said nothing."""
        ...

    async def put(self, preference: SamagriPreference) -> None:
        """Store it in the place of what the customer said of the item before."""
        ...

    async def remove(self, user_id: str, item_id: str) -> bool:
        """Forget it; False when there was nothing."""
        ...

    async def list_page(
        self, user_id: str, *, limit: int, after: SortKey | None
    ) -> Page[SamagriPreference]:
        """Return a customer's, by item id."""
        ...


class FeedbackRepository(Protocol):
    """What became of recommendations, unique by (recommendation, target, kind)."""

    async def record(self, rows: Sequence[Feedback]) -> list[Feedback]:
        """Store those that are not there yet and return them; of racing callers one gets each."""
        ...

    async def list_of_user(
        self, user_id: str, first: datetime, last: datetime, limit: int
    ) -> list[Feedback]:
        """Return a user's rows of that time, both ends included, newest first."""
        ...


class InteractionRepository(Protocol):
    """The event log that training reads."""

    async def add(self, rows: Sequence[Interaction]) -> None:
        """Store those whose id is not there yet. Repeating it is harmless."""
        ...


class CounterRepository(Protocol):
    """Counters of recommendations."""

    async def add(self, increments: Mapping[CounterKey, Mapping[str, int]]) -> None:
        """Raise the named fields of these counters; not to be repeated."""
        ...

    async def list_totals(self, limit: int) -> list[Counter]:
        """Return the counters of all targets together, the newest model first."""
        ...

    async def list_targets(self, version: str, surface: str, limit: int) -> list[Counter]:
        """Return the counters of one model and surface, the most recommended first."""
        ...


class ExposureRepository(Protocol):
    """Who has seen recommendations of which arm, and what he did then; one for each person."""

    async def add(self, exposure: Exposure) -> None:
        """Store it unless the customer has been exposed before."""
        ...

    async def mark(
        self, exposure_id: str, since: datetime, *, has_added: bool, has_bought: bool
    ) -> None:
        """Say what the customer did, if he was first exposed at that time or later."""
        ...

    async def count(self, experiment: str, arm: str) -> ArmCount:
        """Return how many saw, added and bought, by an index."""
        ...
