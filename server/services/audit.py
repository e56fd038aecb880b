"""Keeping the record of what administrators did."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from server.domain.account import Actor
from server.domain.audit import MAX_DETAIL, Act, AuditEntry
from server.domain.errors import (
    ConcurrentChange,
    DomainError,
    Forbidden,
    ModelRefused,
    Unavailable,
)
from server.domain.ports.accounts import AuditRepository
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.world import Clock, IdSource

_log: Final = logging.getLogger(__name__)


class AuditService:
    """Adds to the record and shows it to administrators."""

    def __init__(self, entries: AuditRepository, clock: Clock, ids: IdSource) -> None:
        self._entries = entries
        self._clock = clock
        self._ids = ids

    async def record(
        self, actor: Actor, act: Act, target_kind: str, target_id: str, **details: str
    ) -> None:
        """Add an act of an administrator; what somebody does to his own things is none.

        For what has no change of its own, such as a look: called before it. An act that cannot be
        recorded fails. What changes something is a :meth:`recording`.
        """
        if actor.is_admin:
            await self._entries.add(self._entry(actor, act, target_kind, target_id, details))

    @contextlib.asynccontextmanager
    async def recording(
        self, actor: Actor, act: Act, target_kind: str, target_id: str, **details: str
    ) -> AsyncIterator[dict[str, str]]:
        """Do a change of an administrator inside: no crash leaves it without an entry.

        The entry is there before the change, as not done, and done after it; a refused act leaves
        none, so inside nothing is refused after something was written. Where that is not sure, it
        stays as not done. Takes the details that are known only then.
        """
        more: dict[str, str] = {}
        if not actor.is_admin:
            yield more
            return
        entry = self._entry(actor, act, target_kind, target_id, details)
        await self._entries.add(replace(entry, is_done=False))
        try:
            yield more
        except (Unavailable, ModelRefused, ConcurrentChange):
            # It may have been done, or half of it: a model is looked at once more after it was
            # switched to, and a race may be lost at the second of two writes.
            raise
        except DomainError:
            with contextlib.suppress(Unavailable):
                await self._entries.remove(entry.id)
            raise
        try:
            await self._entries.finish(
                replace(entry, details={**entry.details, **_details_of(more)})
            )
        except Unavailable:
            # It is done, and on record; whoever did it must not see it fail and repeat it.
            _log.warning("audit_entry_not_finished", extra={"entry_id": entry.id})

    def _entry(
        self, actor: Actor, act: Act, target_kind: str, target_id: str, details: dict[str, str]
    ) -> AuditEntry:
        return AuditEntry(
            id=self._ids.new(),
            at=self._clock.now(),
            admin_id=actor.user_id,
            admin_name=actor.full_name,
            act=act,
            target_kind=target_kind,
            target_id=target_id,
            details=_details_of(details),
        )

    async def is_recorded(self, act: Act, target_id: str) -> bool:
        """Whether that was done to it once at least."""
        found = await self._entries.list_page(act=act, target_id=target_id, limit=1, after=None)
        return bool(found.rows)

    async def list_page(
        self,
        actor: Actor,
        *,
        act: Act | None = None,
        target_id: str | None = None,
        limit: int = 20,
        after: SortKey | None = None,
    ) -> Page[AuditEntry]:
        """Return the record, the latest first. Raises ``Forbidden`` for all but administrators."""
        if not actor.is_admin:
            raise Forbidden
        return await self._entries.list_page(act=act, target_id=target_id, limit=limit, after=after)


def _details_of(given: dict[str, str]) -> dict[str, str]:
    return {name: value[:MAX_DETAIL] for name, value in given.items() if value}
