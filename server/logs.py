"""Logging: event names with key-values, one renderer for ours and for libraries' lines.

JSON lines on standard output; readable lines on a terminal. What could identify or admit somebody
is masked here, whoever logs it.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from structlog.typing import Processor

from server.settings import LogSettings

_SECRET_KEYS: Final = re.compile(
    r"authorization|cookie|token|secret|password|passwd|otp|\bcode\b|signature|phone|email|birth|card",
    re.IGNORECASE,
)
_SECRET_TEXTS: Final = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # a JSON web token
    r"|(?<!\d)(?:\+?977)?9[78]\d{8}(?!\d)"  # a Nepali mobile number
    r"|(?i:bearer\s+)[\w.~+/=-]{8,}"
    r"|(?<=/calendar/feeds/)[\w-]{16,}|(?<=/kundali/shared/)[\w-]{16,}"  # addresses that admit
)
MASK: Final = "[masked]"


def mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog processor: mask values by their key, and tokens and phone numbers in any text."""
    for key, value in event.items():
        if key not in ("event", "status_code") and _SECRET_KEYS.search(key):
            event[key] = MASK
        elif isinstance(value, str):
            event[key] = _SECRET_TEXTS.sub(MASK, value)
    return event


def configure(settings: LogSettings) -> None:
    """Set the process's logging up; called once, by the entry."""
    is_readable = settings.format == "console" or (
        settings.format == "auto" and sys.stdout.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
    ]
    if not is_readable:
        shared.append(structlog.processors.format_exc_info)
    shared.append(mask)
    renderer: Processor = (
        structlog.dev.ConsoleRenderer() if is_readable else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for noisy in ("pymongo", "asyncio", "httpx", "httpcore", "stripe"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
