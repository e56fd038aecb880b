"""What axe finds on every page: nothing, on a phone in light or on a desk in dark.

The phone speaks English, the desk Nepali; with ``LOOKS=full`` either speaks both, light and dark. A
page is loaded once for each language. On the narrowest phone, too, nothing may be wider than the
screen.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from tests.browser.conftest import DESK, PHONE, Visit
from tests.browser.guide import Party, Stop

NARROWEST = (320, 640)
EVERY_LOOK = list(itertools.product((PHONE, DESK), ("light", "dark")))
LOOKS = {"en": [(PHONE, "light")], "ne": [(DESK, "dark")]}
if os.environ.get("LOOKS") == "full":
    LOOKS = dict.fromkeys(LOOKS, EVERY_LOOK)
SETTLED = """() => document.documentElement.dataset.ready === "yes"
  && !document.querySelector("main [aria-busy=true], main .skeleton")
  && !document.querySelector("#api-docs:not(:has(main[role=group] .opblock))")"""
# Nothing is fetched again for axe, and only what it finds comes back. Swagger UI's own markup is
# its makers'; ours around it is that of the other pages.
LOOK = """() => {
  const where = { exclude: [[".swagger-ui"]] };
  const what = (each) => `${each.id}: ${each.nodes.map((node) => node.html.slice(0, 120))}`;
  return axe.run(where, { resultTypes: ["violations"], preload: false })
    .then((found) => found.violations.map(what));
}"""
TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const beyond = [...document.querySelectorAll("body *")]
    .filter((each) => each.getBoundingClientRect().right > width + 1)
    .map((each) => `${each.localName}.${each.getAttribute("class") ?? ""}`);
  return [`${document.documentElement.scrollWidth} px wide: ${beyond.slice(0, 4)}`];
}"""


def look(page: Page, size: tuple[int, int], scheme: Any, *scripts: str) -> list[str]:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme=scheme)
    faults: list[str] = [fault for script in scripts for fault in page.evaluate(script)]
    return [f"{size[0]} px, {scheme}: {fault}" for fault in faults]


def go(page: Page, stop: Stop) -> None:
    """Open the page; one that leads to a payment service stays where it is."""
    leads_away = stop.address.endswith("/go/")
    if leads_away:
        page.route("**/*pay*/**", lambda route: route.fulfill(status=204))
    page.goto(stop.address)
    page.wait_for_function(SETTLED)
    if leads_away:
        page.unroute_all(behavior="wait")


def shut_out(party: Party, visit: Visit, language: str) -> list[str]:
    """What shuts somebody out, of all pages in that language."""
    pages: dict[str, Page] = {}
    found: list[str] = []
    # Who looks changes little of how another language looks.
    for stop in party.stops(for_each=language == "en"):
        if stop.who not in pages:
            pages[stop.who] = visit(
                party.people[stop.who],
                size=PHONE,
                language=language,
                bypass_csp=True,
                # Colours that fade in would be read half way.
                reduced_motion="reduce",
            )
        page = pages[stop.who]
        go(page, stop)
        faults = look(page, NARROWEST, LOOKS[language][0][1], TOO_WIDE)
        # The page without a network is asked for in the language that it is kept in.
        said = stop.address.removeprefix("/offline/").strip("/")
        expected = said if said in LOOKS else language
        assert page.locator("html").get_attribute("lang") == expected
        if page.locator("h1:not([aria-level])").count() != 1:
            faults.append("not one heading of the first rank")
        page.evaluate(AXE_SCRIPT)
        for size, scheme in LOOKS[language]:
            faults += look(page, size, scheme, TOO_WIDE, LOOK)
        found += [f"{stop.who} {stop.address}: {fault}" for fault in faults]
    return found
