"""What the server logs as an error while a test runs: nothing, unless the test says what."""

from __future__ import annotations

import logging

import structlog

OURS = "server"


class ErrorLines(logging.Handler):
    """Keeps the events of the server's error lines."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        # Where logs are configured, structlog hands the line over as a mapping.
        event = record.msg.get("event", "") if isinstance(record.msg, dict) else record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        self._lines.append((str(event), f"{record.name}: {event} {error or ''}".strip()))

    def unexpected(self, expected: tuple[str, ...]) -> list[str]:
        """Take all lines, and return those whose event begins with none of the words expected."""
        lines, self._lines = self._lines, []
        return [text for event, text in lines if not event.startswith(expected)]


def log_plainly() -> None:
    """Have structlog's lines go the way of all others: to pytest, which shows them of a failure."""
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
