"""Nothing on the site shuts anybody out, in Nepali.

Each language has a file of its own, so that both can be looked at at once.
"""

from __future__ import annotations

import pytest

from tests.browser.conftest import Town, Visit
from tests.browser.guide import Party
from tests.browser.looks import shut_out


@pytest.mark.timeout(600)
def test_no_page_shuts_anybody_out(town: Town, visit: Visit) -> None:
    found = shut_out(Party(town), visit, "ne")
    assert not found, "\n".join(found)
