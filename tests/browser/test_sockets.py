"""A real browser says and hears every kind of frame, on both sockets, in the page of the site.

The sockets are opened by a script in a page of the site that is signed in by its cookie, and live
under that page's rules (content security policy, origin). The kinds are those of
``tests/integration/test_strict_clients.py``, where a table holds them against the schemas.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

from playwright.sync_api import Page

from server.auth import JwtSigner
from server.domain.ports.accounts import Claims
from tests.browser.conftest import SECRET, Somebody, Town, Visit
from tests.integration.test_strict_clients import (
    BELL_HEARD,
    BELL_SAID,
    CHAT_HEARD,
    CHAT_SAID,
    PDF,
    PNG,
)

WAIT_MS = 30_000
# Frames are kept as they come; ``next`` gives the first unseen one with these values.
LINES = """() => {
  if (window.lines) return;
  window.lines = {};
  window.dial = (name, path, protocols) => {
    const socket = new WebSocket(location.origin.replace("http", "ws") + path, protocols);
    const line = { socket, frames: [], seen: 0, code: null, bell: new EventTarget() };
    const ring = () => line.bell.dispatchEvent(new Event("ring"));
    socket.onmessage = (event) => { line.frames.push(JSON.parse(event.data)); ring(); };
    socket.onclose = (event) => { line.code = event.code; ring(); };
    window.lines[name] = line;
  };
  window.when = (line, look, millis) => new Promise((resolve, reject) => {
    const again = () => {
      const found = look();
      if (found === null) return;
      line.bell.removeEventListener("ring", again);
      resolve(found);
    };
    line.bell.addEventListener("ring", again);
    setTimeout(() => reject(new Error("heard only " + JSON.stringify(line.frames))), millis);
    again();
  });
  window.next = (name, wanted, millis) => {
    const line = window.lines[name];
    return window.when(line, () => {
      const fits = (frame) => Object.entries(wanted).every(([key, value]) => frame[key] === value);
      const at = line.frames.findIndex((frame, index) => index >= line.seen && fits(frame));
      if (at < 0) return null;
      line.seen = at + 1;
      return line.frames[at];
    }, millis);
  };
  window.ended = (name, millis) => {
    const line = window.lines[name];
    return window.when(line, () => line.code, millis);
  };
}"""


class Line:
    """One socket in a page."""

    def __init__(self, page: Page, name: str, path: str, token: str = "") -> None:
        self._page = page
        self._name = name
        self.said: set[str] = set()
        page.evaluate(LINES)
        protocols = ["pandityatra.v1", f"bearer.{token}"] if token else []
        page.evaluate("(asked) => window.dial(...asked)", [name, path, protocols])
        self.hello = self.next("hello")

    def send(self, **frame: Any) -> None:
        self.said.add(frame["type"])
        self.send_text(json.dumps(frame, ensure_ascii=False))

    def send_text(self, text: str) -> None:
        self._page.evaluate(
            "([name, text]) => window.lines[name].socket.send(text)", [self._name, text]
        )

    def send_bytes(self) -> None:
        self._page.evaluate(
            "(name) => window.lines[name].socket.send(new Uint8Array(3))", self._name
        )

    def next(self, kind: str, /, **wanted: Any) -> dict[str, Any]:
        """The next frame of this kind with these values; others are passed over."""
        frame: dict[str, Any] = self._page.evaluate(
            "(asked) => window.next(...asked)", [self._name, {"type": kind, **wanted}, WAIT_MS]
        )
        return frame

    def closed(self) -> int:
        """The code with which the server closes."""
        code: int = self._page.evaluate("(asked) => window.ended(...asked)", [self._name, WAIT_MS])
        return code

    @property
    def heard(self) -> set[str]:
        kinds: list[str] = self._page.evaluate(
            "(name) => window.lines[name].frames.map((frame) => frame.type)", self._name
        )
        return set(kinds)


def ending_token(somebody: Somebody) -> str:
    """An access token of the person's own session that ends within the minute."""
    tokens = JwtSigner(SECRET)
    now = datetime.now(UTC)
    claims = tokens.read(somebody.api.headers["Authorization"].removeprefix("Bearer "), now)
    soon = now + timedelta(seconds=50)
    return tokens.sign(Claims(claims.user_id, claims.session_id, soon), now)


def day_of(pandit: Somebody, days: int) -> date:
    """The day so many after that on which the pandit came."""
    joined = date.fromisoformat(pandit.api.get("/api/pandits/me/").json()["date_joined"][:10])
    return joined + timedelta(days=days)


def booked(family: Somebody, pandit: Somebody, days: int) -> str:
    booking = family.api.post(
        "/api/bookings/",
        json={
            "service_id": pandit.service_id,
            "booking_date": day_of(pandit, days).isoformat(),
            "booking_time": "10:00",
            "service_location": "ONLINE",
        },
    ).raise_for_status()
    booking_id: str = booking.json()["id"]
    pandit.api.post(f"/api/bookings/{booking_id}/accept/", json={}).raise_for_status()
    return booking_id


def uploaded(somebody: Somebody, room_id: str, name: str, content: bytes) -> str:
    answer = somebody.api.post(
        "/api/chat/attachments/", data={"room_id": room_id}, files={"file": (name, content)}
    )
    file_id: str = answer.raise_for_status().json()["id"]
    return file_id


def token_of(somebody: Somebody) -> str:
    return somebody.api.headers["Authorization"].removeprefix("Bearer ")


def test_a_browser_says_and_hears_every_kind_of_frame(town: Town, visit: Visit) -> None:
    family, pandit = town.person("Asha Tamang"), town.pandit("Lok Nath Paudel")
    booking_id = booked(family, pandit, 9)
    room_id = family.api.get("/api/chat/rooms/").json()["results"][0]["id"]
    picture = uploaded(family, room_id, "altar.png", PNG)
    paper = uploaded(family, room_id, "list.pdf", PDF)
    phone, desk = visit(family), visit(pandit)
    for page in (phone, desk):
        page.goto("/account/")
    path, bell_path = f"/ws/chat/{room_id}/", "/ws/notifications/"
    chat, bell = Line(phone, "chat", path), Line(phone, "bell", bell_path)
    ending = Line(phone, "ending", path, ending_token(family))
    ending_bell = Line(phone, "ending_bell", bell_path, ending_token(family))
    other = Line(desk, "chat", path)

    chat.next("presence")
    chat.next("history")
    chat.send(type="message", kind="TEXT", content="Namaste", content_ne="नमस्ते", cid="c1")
    first = chat.next("ack", cid="c1")["seq"]
    assert other.next("message", seq=first)["content_ne"] == "नमस्ते"
    chat.send(type="TEXT", content="What shall we prepare?")
    chat.send(type="IMAGE", content="The altar", attachment={"id": picture})
    chat.send(type="FILE", content="The list", attachment={"id": paper})
    for number, kind in ((1, "TEXT"), (2, "IMAGE"), (3, "FILE")):
        chat.next("ack", seq=first + number)
        assert other.next("message", seq=first + number)["kind"] == kind
    other.send(type="typing", on=True)
    chat.next("typing", on=True)
    chat.send(type="typing", on=True)
    other.next("typing", on=True)
    other.send(type="read", seq=first + 3)
    chat.next("read", seq=first + 3)
    other.send(type="message", content="Only a clean place.", cid="c2")
    assert chat.next("message", cid="c2")["seq"] == first + 4
    bell.next("room_head", seq=first + 4)
    chat.send(type="read", seq=first + 4)
    other.next("read", seq=first + 4)
    chat.send(type="sync", since=first, limit=2)
    assert len(chat.next("history", to=first + 2)["messages"]) == 2
    chat.send(type="history", before=first + 1, limit=1)
    assert len(chat.next("history", to=first)["messages"]) == 1
    chat.send(type="ping", t=17)
    chat.next("pong", t=17)
    chat.send_text('{"type":"nonsense"}')
    chat.next("error", code="unknown_type")

    booked(family, pandit, 10)
    told = bell.next("notification", kind="BOOKING_ACCEPTED")
    bell.next("badge")
    assert {"job_update"} <= bell.heard
    bell.send(type="read", seq=told["seq"])
    bell.next("read", seq=told["seq"])
    bell.next("badge", unread=0)
    bell.send(type="sync", since=told["seq"] - 1)
    assert bell.next("history", to=told["seq"])["notifications"]
    road = Line(desk, "bell", bell_path)
    town.open_all_hours(pandit)
    soon = town.book_soon(
        family,
        pandit,
        service_location="HOME",
        area="Baneshwor",
        city="Kathmandu",
        address="House 7, Shantinagar",
    )
    town.move(pandit, soon, "accept")
    bell.send(type="watch_slots", service=pandit.service_id, date=day_of(pandit, 11).isoformat())
    assert any(slot["available"] for slot in bell.next("slots")["slots"])
    bell.send(type="unwatch_slots")
    road.send(type="share", booking=soon)
    road.next("sharing", booking=soon)
    road.send(type="position", booking=soon, lat=27.7, lng=85.3, accuracy=9.5)
    bell.next("position", booking=soon)
    road.send(type="unshare", booking=soon)
    bell.next("position_ended", booking=soon)
    bell.send(type="ping", t="t")
    bell.next("pong", t="t")
    bell.send_text('{"type":"typing","on":true}')
    bell.next("error", code="unknown_type")

    for line in (ending, ending_bell):
        line.next("token_expiring")
        line.send(type="auth", token=token_of(family))
        line.next("auth_ok")

    family.api.post(
        f"/api/bookings/{booking_id}/cancel/", json={"reason": "Plans changed"}
    ).raise_for_status()
    chat.next("room", is_active=False, booking_status="CANCELLED")

    lines = (chat, bell, ending, ending_bell, road)
    town.site.stop()
    try:
        for line in lines:
            line.next("reconnect")
            assert line.closed() == 4000
    finally:
        town.site.start()
    assert chat.said | ending.said == CHAT_SAID
    assert chat.heard | ending.heard == CHAT_HEARD
    assert bell.said | ending_bell.said | road.said == BELL_SAID
    assert bell.heard | ending_bell.heard | road.heard == BELL_HEARD
    # While the server was away the page's own socket said so in the console, and rightly.
    for page in (phone, desk):
        page.faults[:] = [  # type: ignore[attr-defined]
            fault
            for fault in page.faults  # type: ignore[attr-defined]
            if "ERR_" not in fault and "WebSocket" not in fault
        ]


def test_what_a_browser_must_not_send_closes_with_its_code(town: Town, visit: Visit) -> None:
    family, pandit = town.person("Nisha Lama"), town.pandit("Dev Raj Bhatta")
    booked(family, pandit, 9)
    room_id = family.api.get("/api/chat/rooms/").json()["results"][0]["id"]
    phone = visit(family)
    phone.goto("/account/")
    paths = {f"/ws/chat/{room_id}/": 16 * 1024, "/ws/notifications/": 2 * 1024}
    for path, limit in paths.items():
        largest = Line(phone, "largest", path)
        largest.send_text('{"type":"ping","t":"' + "x" * (limit - 22) + '"}')
        assert len(largest.next("pong")["t"]) == limit - 22
        largest.send_text("x" * (limit + 1))
        assert largest.closed() == 1009
        binary = Line(phone, "binary", path)
        binary.send_bytes()
        assert binary.closed() == 1003
        gone = Line(phone, "gone", path)
        phone.evaluate("() => window.lines.gone.socket.close(3001, 'फेरि भेटौँला')")
        assert gone.closed() == 3001
