"""The page handler with the names of things; what all modules beside this one build on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.domain.account import Actor, Role
from server.domain.learning import Surface
from server.handlers.page_base import PageHandler
from server.handlers.pages.labels import Labels


class Page(PageHandler):
    """A page whose template knows ``labels``."""

    @property
    def labels(self) -> Labels:
        """What codes are called in the reader's language."""
        return Labels(self)

    def get_template_namespace(self) -> dict[str, Any]:
        """Add the labels."""
        return {**super().get_template_namespace(), "labels": self.labels}

    async def note_shown(
        self, surface: Surface, version: str, targets: Sequence[str], puja_id: str | None = None
    ) -> str | None:
        """Count what this page recommends to a customer as shown; returns the ``rec_id``.

        A page that a browser fetches before anybody has asked for it shows nothing to anybody.
        """
        customer = self._looking_customer
        if customer is None or not targets:
            return None
        return await self.services.learning.show(
            customer, surface, version=version, targets=targets, puja_id=puja_id
        )

    async def note_opened(self, surface: Surface, target: str) -> None:
        """Count that a customer has opened what was recommended to him on another page."""
        if (customer := self._looking_customer) is not None:
            await self.services.learning.opened(customer, surface, target)

    @property
    def _looking_customer(self) -> Actor | None:
        """The customer who looks at this page himself; None for all others."""
        purpose = self.request.headers.get("Sec-Purpose") or self.request.headers.get("Purpose")
        is_read = self.request.method == "GET" and not (purpose or "").startswith("prefetch")
        is_customer = self.actor is not None and self.actor.role is Role.USER
        return self.actor if is_read and is_customer else None
