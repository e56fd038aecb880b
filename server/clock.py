"""The clock of the running server."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """The present instant in UTC, to the millisecond, as the database keeps it."""

    def now(self) -> datetime:
        """Return an aware datetime whose microseconds are whole milliseconds."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
