"""The PanditYatra server: REST, sockets and pages over one set of rules."""

from typing import Final

__version__: Final = "0.1.0"
