"""What axe finds on every page: nothing, light and dark, phone and desk, both languages.

A page is loaded once for each language and looked at in two sizes and colours without loading it
again; over both languages every size meets every colour. One of the two looks takes all of axe's
rules, the other those that hang on colour and size. On the narrowest phone nothing may be wider
than the screen.
"""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from tests.browser.conftest import DESK, PHONE, Visit
from tests.browser.guide import Party, Stop

NARROWEST = (320, 640)
ALL_RULES: list[str] = []
OF_THE_LOOK = ["color-contrast", "link-in-text-block", "scrollable-region-focusable"]
LOOKS = {
    "en": ((PHONE, "light", ALL_RULES), (DESK, "dark", OF_THE_LOOK)),
    "ne": ((PHONE, "dark", OF_THE_LOOK), (DESK, "light", ALL_RULES)),
}
SETTLED = """() => document.documentElement.dataset.ready === "yes"
  && !document.querySelector("main [aria-busy=true], main .skeleton")
  && !document.querySelector("#api-docs:not(:has(main[role=group] .opblock))")"""
# Nothing is fetched again for axe, and only what it finds comes back. Swagger UI's own markup is
# its makers'; ours around it is that of the other pages.
LOOK = """(rules) => {
  const where = { exclude: [[".swagger-ui"]] };
  const what = (each) => `${each.id}: ${each.nodes.map((node) => node.html.slice(0, 120))}`;
  const only = rules.length ? { runOnly: { type: "rule", values: rules } } : {};
  return axe.run(where, { resultTypes: ["violations"], preload: false, ...only })
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


def look(
    page: Page, size: tuple[int, int], scheme: Any, script: str, rules: list[str] = ALL_RULES
) -> list[str]:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme=scheme)
    faults: list[str] = page.evaluate(script, rules)
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
        faults = look(page, NARROWEST, "light", TOO_WIDE)
        # The page without a network is asked for in the language that it is kept in.
        said = stop.address.removeprefix("/offline/").strip("/")
        expected = said if said in LOOKS else language
        assert page.locator("html").get_attribute("lang") == expected
        if page.locator("h1:not([aria-level])").count() != 1:
            faults.append("not one heading of the first rank")
        page.evaluate(AXE_SCRIPT)
        for size, scheme, rules in LOOKS[language]:
            faults += look(page, size, scheme, TOO_WIDE)
            faults += look(page, size, scheme, LOOK, rules)
        found += [f"{stop.who} {stop.address}: {fault}" for fault in faults]
    return found
