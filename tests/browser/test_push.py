"""Messages to browsers: the page that switches them on, and the worker that shows them.

A browser without its maker's service cannot subscribe, so the page is given one that says yes; the
message itself is handed to the worker by the browser's own tools, as its maker's service would.
"""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import CDPSession, Page, expect

from tests.browser.conftest import Town, Visit, ready

_TURNS = 100
"""Looks after which a message is handed over again."""
SUBSCRIPTION = {
    "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/abc",
    "expirationTime": None,
    "keys": {"p256dh": "B" + "A" * 86, "auth": "A" * 22},
}
STAND_IN = """subscription => {
  let mine = null;
  const made = {
    endpoint: subscription.endpoint,
    toJSON: () => subscription,
    unsubscribe: async () => { mine = null; return true; },
  };
  PushManager.prototype.getSubscription = async () => mine;
  PushManager.prototype.subscribe = async (options) => {
    const isMeant = options.userVisibleOnly && options.applicationServerKey.length === 65;
    if (!isMeant) throw new Error("options");
    mine = made;
    return made;
  };
}"""


def with_worker(page: Page) -> None:
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")


def test_the_page_switches_messages_on_and_off(visit: Visit, town: Town) -> None:
    sita = town.person("Sita Poudel")
    page = visit(sita, permissions=["notifications"])
    page.add_init_script(f"({STAND_IN})({json.dumps(SUBSCRIPTION)})")
    page.goto("/notifications/preferences/")
    with_worker(ready(page))
    page.get_by_role("button", name="Tell me on this browser").click()
    off = page.get_by_role("button", name="Stop telling me on this browser")
    expect(off).to_be_visible()
    off.click()
    expect(page.get_by_role("button", name="Tell me on this browser")).to_be_visible()


def test_what_is_unticked_stays_unticked(visit: Visit, town: Town) -> None:
    page = visit(town.person("Gita Poudel"), language="ne")
    page.goto("/notifications/preferences/")
    box = ready(page).locator("input[value='BOOKING_ACCEPTED:push']")
    expect(box).to_be_checked()
    box.uncheck()
    page.locator("main form button:not([type=button])").click()
    page.wait_for_load_state()
    expect(page.locator("input[value='BOOKING_ACCEPTED:push']")).not_to_be_checked()
    expect(page.locator("input[value='BOOKING_ACCEPTED:live']")).to_be_checked()


def deliver(tools: CDPSession, page: Page, data: str) -> list[dict[str, Any]]:
    """Hand the worker a message; returns what the browser shows then."""
    registrations: list[dict[str, Any]] = []
    tools.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: registrations.extend(event["registrations"]),
    )
    tools.send("ServiceWorker.enable")
    page.wait_for_function("navigator.serviceWorker.controller !== null")
    while not registrations:
        page.wait_for_timeout(20)
    origin = page.evaluate("location.origin")
    shown = """async () => {
      const registration = await navigator.serviceWorker.ready;
      const found = await registration.getNotifications();
      const read = ({ title, body, lang, data }) => ({ title, body, lang, data });
      return found.length ? found.map(read) : null;
    }"""
    turn = 0
    while True:
        if turn % _TURNS == 0:
            # The browser's tools lose one now and then; of one tag the last one stands.
            message = {
                "origin": origin,
                "registrationId": registrations[-1]["registrationId"],
                "data": data,
            }
            tools.send("ServiceWorker.deliverPushMessage", message)
        turn += 1
        # The worker says nothing to the page when it has shown something.
        found: list[dict[str, Any]] | None = page.evaluate(shown)
        if found:
            return found
        page.wait_for_timeout(50)


def test_the_worker_shows_a_message_and_leads_to_our_own_pages_only(
    visit: Visit, town: Town
) -> None:
    page = visit(permissions=["notifications"])
    page.goto("/")
    with_worker(ready(page))
    message = {
        "title": "बुकिङ स्वीकार भयो",
        "body": "पूजा ६ गते",
        "url": "https://evil.example/",
        "tag": "b1",
        "lang": "ne",
    }
    (shown,) = deliver(page.context.new_cdp_session(page), page, json.dumps(message))
    assert (shown["title"], shown["body"], shown["lang"]) == ("बुकिङ स्वीकार भयो", "पूजा ६ गते", "ne")
    assert shown["data"]["url"] == f"{town.base}/notifications/"
