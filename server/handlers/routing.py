"""What a route is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

_PARAMETER: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """A path with ``{parameters}``, its handler, and the name by which metrics know it.

    Parameters match one segment of letters, digits, hyphens, dots and underscores. A path that ends
    in a slash is served without it alike.
    """

    path: str
    handler: type[Any]
    name: str

    @property
    def pattern(self) -> str:
        """The regular expression that Tornado matches."""
        pattern = _PARAMETER.sub(r"([\\w.-]{1,128})", self.path)
        return (
            f"{pattern.removesuffix('/')}/?"
            if len(self.path) > 1 and self.path.endswith("/")
            else pattern
        )
