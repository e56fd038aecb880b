"""Keeping the record of what administrators did."""

from __future__ import annotations

from server.domain.account import Actor
from server.domain.audit import MAX_DETAIL, Act, AuditEntry
from server.domain.errors import Forbidden
from server.domain.ports.accounts import AuditRepository
from server.domain.ports.paging import Page, SortKey
from server.domain.ports.world import Clock, IdSource


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

        Whoever acts calls this before the act where looking is the act, and after it where it
        changes something; an act that cannot be recorded fails.
        """
        if not actor.is_admin:
            return
        await self._entries.add(
            AuditEntry(
                id=self._ids.new(),
                at=self._clock.now(),
                admin_id=actor.user_id,
                admin_name=actor.full_name,
                act=act,
                target_kind=target_kind,
                target_id=target_id,
                details={name: value[:MAX_DETAIL] for name, value in details.items() if value},
            )
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
