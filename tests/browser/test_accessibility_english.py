"""Nothing on the site shuts anybody out, in English.

Each language has a file of its own, so that both can be looked at at once.
"""

from __future__ import annotations

import pytest

from tests.browser.conftest import Town, Visit
from tests.browser.guide import Party
from tests.browser.looks import shut_out


@pytest.mark.timeout(600)
def test_no_page_shuts_anybody_out(town: Town, visit: Visit) -> None:
    found = shut_out(Party(town), visit, "en")
    assert not found, "\n".join(found)


def test_the_api_page_runs_under_the_strict_policy(visit: Visit) -> None:
    page = visit()
    page.goto("/api/docs/")
    page.locator(".opblock").first.wait_for()
