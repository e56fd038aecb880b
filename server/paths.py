"""Where the project's data files are: beside the code in a checkout.

Under ``share`` when installed.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path


def data_path(name: str) -> Path:
    """The folder ``config`` or ``locale``, wherever it was installed.

    Raises
    ------
    FileNotFoundError
        If it is in neither place.
    """
    beside = Path(__file__).resolve().parent.parent / name
    installed = Path(sysconfig.get_path("data")) / "share" / "pandityatra" / name
    for path in (beside, installed):
        if path.is_dir():
            return path
    raise FileNotFoundError(name)


def web_path(name: str) -> Path:
    """A folder of the web client: ``templates`` or ``static``."""
    return Path(__file__).resolve().parent / "web" / name
