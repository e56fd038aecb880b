"""Going through what is due without letting one bad row hold up the others."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from server.domain.errors import Unavailable

_log: Final = logging.getLogger(__name__)


async def each_of(
    ids: Iterable[str],
    work: Callable[[str], Awaitable[object]],
    *,
    expected: tuple[type[Exception], ...],
    what: str,
) -> None:
    """Do the work for one after the other.

    What is ``expected`` was settled by somebody else meanwhile, or comes again. Any other error is
    logged, and the rest is done: rows come oldest first, so one that always fails would be the
    first again next time. ``Unavailable`` alone ends the round, as it would meet all.
    """
    for each in ids:
        try:
            await work(each)
        except expected:
            continue
        except Unavailable:
            raise
        except Exception:
            _log.exception("row_failed", extra={"what": what, "id": each})
