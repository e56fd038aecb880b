"""The page handler with the names of things; what all modules beside this one build on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.domain.account import Role
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
        purpose = self.request.headers.get("Sec-Purpose") or self.request.headers.get("Purpose")
        is_read = self.request.method == "GET" and not (purpose or "").startswith("prefetch")
        if self.actor is None or self.actor.role is not Role.USER or not targets or not is_read:
            return None
        return await self.services.learning.show(
            self.actor, surface, version=version, targets=targets, puja_id=puja_id
        )
