"""The page handler with the names of things; what all modules beside this one build on."""

from __future__ import annotations

from typing import Any

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
