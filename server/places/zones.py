"""The time zone of a position, from the map that the package ``timezonefinder`` ships."""

from __future__ import annotations

from threading import Lock
from typing import Any

from server.domain.account import GeoPoint


class ZoneMap:
    """Implements ``ports.ZoneMap``.

    Library and map are opened when it is first asked: that takes seconds on a slow disk, and most
    births come with the name of a town, whose zone is known without it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._finder: Any = None

    def zone_at(self, point: GeoPoint) -> str:
        """Return the IANA name of the zone; at sea that of the ship's clock (``Etc/GMT+3``)."""
        # The finder's buffers are its own: one thread at a time.
        with self._lock:
            if self._finder is None:
                from timezonefinder import TimezoneFinder

                self._finder = TimezoneFinder(in_memory=False)
            found = self._finder.timezone_at(lng=point.longitude, lat=point.latitude)
        return str(found or "UTC")
