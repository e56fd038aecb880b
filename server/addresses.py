"""What limits by address count by."""

from __future__ import annotations

import functools
import ipaddress
from typing import Final

_HOUSEHOLD_BITS: Final = 64


def counted_address(address: str) -> str:
    """What limits by address are counted by: of IPv6, the network that one household is given.

    Everybody there has more addresses than could be counted one by one (RFC 6177).
    """
    return _counted(address) if ":" in address else address


@functools.lru_cache(maxsize=1024)
def _counted(address: str) -> str:
    # Asked for several times in one request.
    parsed = ipaddress.IPv6Address(address.partition("%")[0])
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, _HOUSEHOLD_BITS), strict=False))
