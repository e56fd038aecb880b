"""The browser tests walk every page."""

from __future__ import annotations

from tests.browser.guide import LEADS_ON, STOPS, page_routes


def test_every_page_is_looked_at_by_axe() -> None:
    assert set(STOPS) | LEADS_ON == page_routes()
    assert not set(STOPS) & LEADS_ON
    assert all(STOPS.values())
