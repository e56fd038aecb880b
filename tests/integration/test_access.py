"""Every route for everybody: nobody, customers, pandits, admins, each with what he is owed.

A route without a row here fails the test, so a new route brings its row. Bodies are ones that pass
decoding, so that a refusal is refused for the stated reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from server.app import RunningServer
from server.handlers.base import Operation
from server.handlers.openapi import operations
from server.routes import ROUTES
from tests.integration.test_bookings import wish
from tests.support import People, Person
from tests.talk import notification_socket

PDF = b"%PDF-1.7\n%%EOF\n"
EVERYBODY = ("nobody", "customer", "stranger", "pandit", "rival", "unverified", "admin")


@dataclass(frozen=True)
class Row:
    """What each person gets. Those not named get ``others``; nobody gets 401 unless named."""

    others: int
    body: Any = None
    query: str = ""
    owed: dict[str, int] = field(default_factory=dict)
    upload: bool = False

    def status(self, who: str) -> int:
        return self.owed.get(who, 401 if who == "nobody" else self.others)


def public(**row: Any) -> Row:
    return Row(200, owed={"nobody": 200}, **row)


def only(*people: str, gets: int = 200, others: int = 403, **row: Any) -> Row:
    return Row(others, owed=dict.fromkeys(people, gets), **row)


MEMBERS = ("customer", "pandit")
PANDITS = ("pandit", "rival", "unverified")
CUSTOMERS = ("customer", "stranger")
REJECTED_BODY = {"decision": "reject", "notes": "unreadable"}
HOURS = {
    "weekly": [
        {"weekday": day, "intervals": [{"start": "06:00", "end": "18:00"}]} for day in range(1, 8)
    ],
    "exceptions": [],
    "buffer_minutes": 0,
    "lead_minutes": 60,
}

RULES = {"requirements": [{"item_id": "haldi", "type": "OPTIONAL", "quantity": 1, "unit": "kg"}]}
WHY = {"reason": "Asked for by phone"}
RATINGS = {"rating": 5, "professionalism": 5, "knowledge": 5, "punctuality": 5}
BIRTH = {
    "name": "Ram",
    "date_of_birth": "1990-05-15",
    "time_of_birth": "06:20",
    "place_of_birth": "Kathmandu",
}
ORDER = {"picture_ids": ["no-such-thing"]}
KEYS = {"p256dh": "B" + "A" * 86, "auth": "A" * 22}

TABLE: dict[tuple[str, str], Row] = {
    ("post", "/api/auth/register/"): Row(422, {}, owed={"nobody": 422}),
    ("post", "/api/auth/token/"): Row(
        401, {"identifier": "9899999999", "password": "wrong password"}, owed={"nobody": 401}
    ),
    ("post", "/api/auth/token/refresh/"): Row(401, {"refresh": "no.such"}, owed={"nobody": 401}),
    ("post", "/api/auth/otp/"): Row(422, {"phone_number": "1"}, owed={"nobody": 422}),
    ("post", "/api/auth/otp/verify/"): Row(
        401, {"phone_number": "9899999999", "code": "000000"}, owed={"nobody": 401}
    ),
    ("post", "/api/auth/password/"): Row(422, {"new_password": "x"}),
    ("get", "/api/auth/me/"): Row(200),
    ("patch", "/api/auth/me/"): Row(200, {"language": "en"}),
    ("get", "/api/pujas/"): public(),
    ("get", "/api/pujas/{puja}/"): public(),
    ("get", "/api/samagri/categories/"): public(),
    ("get", "/api/samagri/items/"): public(),
    ("get", "/api/samagri/items/{item}/"): public(),
    ("get", "/api/samagri/templates/"): public(query="puja_id=satyanarayan-puja"),
    ("get", "/api/samagri/estimate/"): public(query="puja_id=satyanarayan-puja"),
    ("get", "/api/pandits/"): public(),
    ("get", "/api/pandits/{pandit}/"): public(),
    ("get", "/api/pandits/me/"): only(*PANDITS),
    ("patch", "/api/pandits/me/"): only(*PANDITS, body={"bio": "About me"}),
    ("get", "/api/pandits/me/availability/"): only(*PANDITS),
    ("put", "/api/pandits/me/availability/"): only(*PANDITS, body=HOURS),
    ("get", "/api/pandits/me/certification/"): only(*PANDITS),
    ("post", "/api/pandits/me/certification/"): only(*PANDITS, gets=201, upload=True),
    ("delete", "/api/pandits/me/certification/{id}/"): only(*PANDITS, gets=404),
    ("get", "/api/pandits/me/portfolio/"): only(*PANDITS),
    ("post", "/api/pandits/me/portfolio/"): only(*PANDITS, gets=422, upload=True),
    ("put", "/api/pandits/me/portfolio/order/"): only(*PANDITS, gets=422, body=ORDER),
    ("patch", "/api/pandits/me/portfolio/{id}/"): only(*PANDITS, gets=404, body={"caption": "x"}),
    ("delete", "/api/pandits/me/portfolio/{id}/"): only(*PANDITS, gets=404),
    ("post", "/api/pandits/me/photo/"): only(*PANDITS, gets=422, upload=True),
    ("delete", "/api/pandits/me/photo/"): only(*PANDITS, gets=204),
    ("get", "/files/certificates/{pandit}/{certificate}"): Row(
        404, owed={"pandit": 200, "admin": 200, "customer": 403, "stranger": 403}
    ),
    ("get", "/files/portfolio/{pandit}/{id}"): Row(404, owed={"nobody": 404}),
    ("get", "/api/services/"): only(*PANDITS),
    ("post", "/api/services/"): only(
        *PANDITS,
        gets=201,
        body={"puja_id": "ganesh-puja", "name": "Ganesh", "duration_minutes": 60, "price": 100},
    ),
    ("patch", "/api/services/{service}/"): Row(
        403, {"price": 250_000}, owed={"pandit": 200, "rival": 404, "unverified": 404}
    ),
    ("delete", "/api/services/{service}/"): Row(
        403, owed={"pandit": 204, "rival": 404, "unverified": 404}
    ),
    ("get", "/api/booking-slots/available-slots/"): public(
        query="service_id={service}&date=2026-11-25"
    ),
    ("get", "/api/reviews/"): public(query="pandit_id={pandit}"),
    ("get", "/api/recommendations/samagri/"): public(query="puja_id=satyanarayan-puja"),
    ("get", "/api/recommendations/together/"): public(query="item_id=haldi"),
    ("get", "/api/recommendations/pandits/"): public(query="puja_id=satyanarayan-puja"),
    ("get", "/api/recommendations/bookings/"): Row(200),
    ("get", "/api/admin/models/"): only("admin"),
    ("post", "/api/admin/models/{model}/activate/"): only("admin", gets=404, body={}),
    ("get", "/api/admin/pandits/"): only("admin"),
    ("get", "/api/admin/recommendations/accuracy/"): only("admin"),
    ("post", "/api/admin/pandits/{pandit}/verify/"): only("admin", body=REJECTED_BODY),
    ("get", "/api/bookings/"): Row(200),
    ("post", "/api/bookings/"): only(*CUSTOMERS, gets=404, body=wish("no-such-service")),
    ("get", "/api/bookings/booking-analytics/"): Row(200),
    ("get", "/api/bookings/booking-analytics/{table}.csv"): Row(
        404, owed={"customer": 200, "stranger": 200, "admin": 200}
    ),
    ("get", "/api/bookings/{booking}/"): only(*MEMBERS, "admin", others=404),
    ("post", "/api/bookings/{booking}/accept/"): Row(
        403, {}, owed={"rival": 404, "unverified": 404, "pandit": 409}
    ),
    ("post", "/api/bookings/{booking}/reject/"): Row(
        403, {}, owed={"rival": 404, "unverified": 404, "pandit": 409}
    ),
    ("get", "/api/bookings/{booking}/choose/"): Row(403, owed={"customer": 200, "stranger": 404}),
    # It is accepted, so there is nobody to choose any more.
    ("post", "/api/bookings/{booking}/choose/"): Row(
        403, {"pandit_id": "somebody"}, owed={"customer": 409, "stranger": 404}
    ),
    ("post", "/api/bookings/{booking}/arrive/"): Row(
        403, {}, owed={"rival": 404, "unverified": 404, "pandit": 409}
    ),
    ("post", "/api/bookings/{booking}/start/"): Row(
        403, {}, owed={"rival": 404, "unverified": 404, "pandit": 409}
    ),
    ("post", "/api/bookings/{booking}/complete/"): Row(
        403, {}, owed={"rival": 404, "unverified": 404, "pandit": 409}
    ),
    ("post", "/api/bookings/{booking}/cancel/"): Row(
        404, {}, owed={"customer": 200, "pandit": 200, "admin": 200}
    ),
    ("post", "/api/bookings/{booking}/reschedule/"): Row(
        404,
        {"booking_date": "2026-11-26", "booking_time": "08:00"},
        owed={"customer": 200, "pandit": 200, "admin": 403},
    ),
    ("get", "/api/bookings/{booking}/samagri/"): only(*MEMBERS, "admin", others=404),
    ("post", "/api/bookings/{booking}/samagri/"): Row(
        403, {}, owed={"customer": 200, "stranger": 404}
    ),
    ("post", "/api/bookings/{booking}/samagri/template/"): Row(
        403,
        {"template_id": "satyanarayan-puja.simple"},
        owed={"customer": 200, "stranger": 404},
    ),
    ("get", "/api/bookings/{booking}/samagri/budget/"): Row(
        403, query="budget=100000", owed={"customer": 200, "stranger": 404}
    ),
    ("post", "/api/bookings/{booking}/samagri/budget/"): Row(
        403, {"budget": 100_000}, owed={"customer": 200, "stranger": 404}
    ),
    ("put", "/api/bookings/{booking}/samagri/{item}/"): Row(
        403, {"quantity": 200}, owed={"customer": 200, "stranger": 404}
    ),
    ("patch", "/api/bookings/{booking}/samagri/{item}/"): Row(
        403, {"quantity": 300}, owed={"customer": 200, "stranger": 404}
    ),
    # The puja needs it.
    ("delete", "/api/bookings/{booking}/samagri/{item}/"): Row(
        403, owed={"customer": 409, "stranger": 404}
    ),
    # What is proposed by then has another revision.
    ("post", "/api/bookings/{booking}/samagri/proposal/"): Row(
        403, {"revision": 1, "agree": True}, owed={"pandit": 409, "rival": 404, "unverified": 404}
    ),
    ("delete", "/api/bookings/{booking}/samagri/proposal/"): Row(
        403, owed={"customer": 200, "stranger": 404}
    ),
    ("get", "/api/booking-wizard/"): only(*CUSTOMERS),
    ("post", "/api/booking-wizard/create-step/"): only(
        *CUSTOMERS,
        gets=404,
        body={"booking_step": "service_selection", "service_id": "no-such-service"},
    ),
    ("get", "/api/booking-wizard/{draft_id}/"): Row(403, owed={"customer": 200, "stranger": 404}),
    ("post", "/api/booking-wizard/{draft_id}/renew/"): Row(
        403, {}, owed={"customer": 200, "stranger": 404}
    ),
    ("delete", "/api/booking-wizard/{draft_id}/"): Row(
        403, owed={"customer": 204, "stranger": 404}
    ),
    ("get", "/api/notifications/"): Row(200),
    ("post", "/api/notifications/read/"): Row(200, {"all": True}),
    ("get", "/api/chat/rooms/"): Row(200),
    ("get", "/api/messages/"): only(*MEMBERS, "admin", others=404, query="room_id={room}"),
    ("post", "/api/messages/send/"): Row(
        404,
        {"room_id": "{room}", "message_type": "TEXT", "content": "Namaste"},
        owed={"customer": 201, "pandit": 201, "admin": 403},
    ),
    ("post", "/api/messages/read/"): Row(
        404,
        {"room_id": "{room}", "sequence": 1},
        owed={"customer": 200, "pandit": 200, "admin": 403},
    ),
    ("get", "/api/unread-count/"): Row(200),
    ("post", "/api/chat/attachments/"): Row(
        404, upload=True, owed={"customer": 201, "pandit": 201, "admin": 403}
    ),
    ("get", "/files/chat/{file}"): only(*MEMBERS, "admin", others=404),
    ("post", "/api/recommendations/feedback/"): Row(
        200, {"kind": "never_show", "item_id": "{item}"}
    ),
    ("get", "/api/users/me/samagri-preferences/"): Row(200),
    ("put", "/api/users/me/samagri-preferences/{item}/"): Row(200, {"preference": "FAVOURITE"}),
    ("delete", "/api/users/me/samagri-preferences/{item}/"): Row(204),
    ("get", "/api/admin/audit/"): only("admin"),
    ("get", "/api/admin/callbacks/"): only("admin"),
    ("post", "/api/admin/callbacks/{callback_id}/replay/"): only("admin", gets=404),
    ("get", "/api/admin/catalogue/export/{kind}.csv"): only("admin"),
    ("get", "/api/admin/catalogue/imports/"): only("admin"),
    ("post", "/api/admin/catalogue/imports/"): only("admin", gets=422, upload=True),
    ("get", "/api/admin/catalogue/imports/{id}/"): only("admin", gets=404),
    ("delete", "/api/admin/catalogue/imports/{id}/"): only("admin", gets=404),
    ("post", "/api/admin/catalogue/imports/{id}/apply/"): only("admin", gets=404),
    ("get", "/api/admin/catalogue/items/{id}/"): only("admin", gets=404),
    ("put", "/api/admin/catalogue/items/{id}/"): only("admin", gets=422, body={}),
    ("get", "/api/admin/catalogue/templates/"): only("admin"),
    ("get", "/api/admin/catalogue/templates/{id}/"): only("admin", gets=404),
    ("put", "/api/admin/catalogue/templates/{id}/"): only("admin", gets=422, body={}),
    ("put", "/api/admin/catalogue/pujas/{id}/requirements/"): only("admin", gets=404, body=RULES),
    ("get", "/api/admin/ledger.csv"): only("admin"),
    ("get", "/api/admin/ledger/"): only("admin"),
    ("get", "/api/admin/ledger/totals/"): only("admin"),
    ("get", "/api/admin/payments/"): only("admin"),
    ("get", "/api/admin/payments/{payment_id}/"): only("admin", gets=404),
    ("post", "/api/admin/payments/{payment_id}/check/"): only("admin", gets=404),
    ("post", "/api/admin/payments/{payment_id}/refunds/{refund_id}/"): only(
        "admin", gets=404, body={"is_done": True, "note": "seen"}
    ),
    ("post", "/api/admin/payments/{payment_id}/resolve/"): only(
        "admin", gets=404, body={"note": "seen"}
    ),
    ("get", "/api/admin/payouts/"): only("admin"),
    ("post", "/api/admin/payouts/{payout_id}/settle/"): only(
        "admin", gets=404, body={"is_paid": True, "note": "seen"}
    ),
    ("get", "/api/admin/users/"): only("admin"),
    ("get", "/api/admin/users/{id}/"): only("admin", gets=404),
    ("post", "/api/admin/users/{id}/deactivate/"): only("admin", gets=404, body=WHY),
    ("post", "/api/admin/users/{id}/reactivate/"): only("admin", gets=404, body=WHY),
    ("post", "/api/admin/users/{id}/sign-out/"): only("admin", gets=404, body=WHY),
    ("get", "/api/admin/reviews/"): only("admin"),
    ("post", "/api/admin/reviews/{id}/moderate/"): only(
        "admin", gets=404, body={"decision": "approve"}
    ),
    ("get", "/api/bookings/{booking}/invoice.pdf"): only(*MEMBERS, "admin", others=404),
    ("get", "/api/bookings/{booking}/booking.ics"): only(*MEMBERS, "admin", others=404),
    ("get", "/api/users/me/calendar-feed/"): only(*CUSTOMERS, *PANDITS),
    ("post", "/api/users/me/calendar-feed/"): only(*CUSTOMERS, *PANDITS, gets=201),
    ("delete", "/api/users/me/calendar-feed/"): only(*CUSTOMERS, *PANDITS, gets=204),
    ("get", "/calendar/feeds/{token}.ics"): Row(404, owed={"nobody": 404}),
    ("get", "/api/bookings/{booking}/customer-rating/"): Row(
        404, owed={"customer": 403, "stranger": 403, "pandit": 200, "admin": 200}
    ),
    ("post", "/api/bookings/{booking}/customer-rating/"): Row(
        403, {"rating": 5}, owed={"rival": 404, "unverified": 404, "pandit": 409}
    ),
    ("get", "/api/bookings/{booking}/review/"): Row(404),
    ("post", "/api/bookings/{booking}/review/"): Row(
        403, RATINGS, owed={"customer": 409, "stranger": 404}
    ),
    ("get", "/api/calendar/"): public(query="from=2026-11-25&to=2026-11-27"),
    ("post", "/api/chat/rooms/"): only(*CUSTOMERS, gets=403, body={"pandit_id": "{rival}"}),
    ("get", "/api/festivals/"): public(query="year=2026"),
    ("get", "/api/kundali/"): Row(200),
    ("post", "/api/kundali/"): Row(201, BIRTH),
    ("post", "/api/kundali/match/"): Row(
        200, {"groom": BIRTH, "bride": BIRTH}, owed={"nobody": 200}
    ),
    ("get", "/api/kundali/shared/{token}/"): Row(404, owed={"nobody": 404}),
    ("get", "/api/kundali/{chart}/"): only("customer", others=404),
    ("delete", "/api/kundali/{chart}/share/"): only("customer", gets=204, others=404),
    ("delete", "/api/kundali/{chart}/"): only("customer", gets=204, others=404),
    ("get", "/api/kundali/{chart}/chart.svg"): only("customer", others=404),
    ("post", "/api/kundali/{chart}/share/"): only("customer", gets=201, others=404, body={}),
    ("get", "/api/muhurta/"): public(query="puja_id=griha-pravesh&from=2027-02-01&to=2027-02-10"),
    ("get", "/api/notifications/preferences/"): Row(200),
    ("put", "/api/notifications/preferences/"): Row(200, {"muted": []}),
    ("get", "/api/panchang/"): public(),
    ("get", "/api/pandits/me/earnings/"): only(*PANDITS),
    ("get", "/api/pandits/me/earnings/entries/"): only(*PANDITS),
    ("get", "/api/payment-methods/"): public(),
    ("get", "/api/payments/"): only(*CUSTOMERS),
    ("post", "/api/payments/"): only(
        *CUSTOMERS, gets=404, body={"booking_id": "no-such-thing", "payment_method": "CASH"}
    ),
    ("post", "/api/payments/create-payment-intent/"): only(
        *CUSTOMERS, gets=404, body={"pandit_id": "no-such-thing", "payment_method": "WALLET"}
    ),
    ("post", "/api/payments/process-khalti-payment/"): only(
        *CUSTOMERS,
        gets=404,
        body={"token": "x" * 22, "amount": 1000, "booking_id": "no-such-thing"},
    ),
    ("post", "/api/payments/webhooks/{method}/"): Row(404, owed={"nobody": 404}),
    ("get", "/api/payments/{method}/return/"): Row(404, owed={"nobody": 404}),
    ("post", "/api/payments/{method}/return/"): Row(404, owed={"nobody": 404}),
    ("get", "/api/payments/{method}/return/{reference}/"): Row(404, owed={"nobody": 404}),
    ("post", "/api/payments/{method}/return/{reference}/"): Row(404, owed={"nobody": 404}),
    ("get", "/api/payments/{method}/return/{reference}/cancelled/"): Row(404, owed={"nobody": 404}),
    ("post", "/api/payments/{method}/return/{reference}/cancelled/"): Row(
        404, owed={"nobody": 404}
    ),
    ("get", "/api/payments/{payment_id}/"): Row(404),
    ("post", "/api/payments/{payment_id}/cash/"): Row(
        404, {"amount": 1000}, owed={"customer": 403, "stranger": 403}
    ),
    ("post", "/api/payments/{payment_id}/dispute/"): only(*CUSTOMERS, gets=404, body={"note": "x"}),
    ("get", "/api/payments/{payment_id}/receipt.pdf"): Row(404),
    ("post", "/api/payments/{payment_id}/refund/"): only("admin", gets=404, body={}),
    ("get", "/api/payouts/"): only(*PANDITS),
    ("post", "/api/payouts/"): only(*PANDITS, gets=409, body={"amount": 100_000}),
    ("get", "/api/places/"): public(query="q=Lalitpur"),
    ("get", "/api/push-subscriptions/"): Row(200),
    ("post", "/api/push-subscriptions/"): Row(422, {"endpoint": "x", "keys": KEYS}),
    ("delete", "/api/push-subscriptions/"): Row(204, {"endpoint": "x"}),
    ("get", "/api/recurrences/"): only(*CUSTOMERS),
    ("get", "/api/recurrences/{id}/"): Row(404),
    ("post", "/api/recurrences/{id}/cancel/"): only(*CUSTOMERS, gets=404, body={}),
    ("post", "/api/recurrences/{id}/occurrences/{number}/move/"): only(
        *CUSTOMERS, gets=404, body={"booking_date": "2026-11-26", "booking_time": "08:00"}
    ),
    ("post", "/api/recurrences/{id}/occurrences/{number}/skip/"): only(
        *CUSTOMERS, gets=404, body={}
    ),
    ("post", "/api/reviews/{id}/reply/"): only(*PANDITS, gets=404, body={"reply": "Thank you"}),
    ("post", "/api/reviews/{id}/report/"): Row(404, {"reason": "rude"}),
    ("get", "/api/wallet/"): only(*CUSTOMERS),
    ("get", "/api/wallet/entries/"): only(*CUSTOMERS),
    ("post", "/api/wallet/top-up/"): only(
        *CUSTOMERS, gets=422, body={"amount": 100_000, "payment_method": "KHALTI"}
    ),
    ("post", "/api/auth/logout/"): Row(204),
}
PLACES = {
    "/api/pujas/{id}/": "puja",
    "/api/samagri/items/{id}/": "item",
    "/api/pandits/{id}/": "pandit",
    "/api/services/{id}/": "service",
    "/api/admin/pandits/{id}/verify/": "pandit",
    "/files/chat/{id}": "file",
    "/files/certificates/{pandit_id}/{id}": "certificate",
    "/api/kundali/{id}/": "chart",
    "/api/kundali/{id}/chart.svg": "chart",
    "/api/kundali/{id}/share/": "chart",
    "/api/bookings/{id}/customer-rating/": "booking",
    "/api/bookings/{id}/review/": "booking",
}


def declared() -> list[tuple[str, str, Operation]]:
    found = []
    for path, method, operation in operations(ROUTES):
        if path in PLACES:
            path = path.replace("{id}", f"{{{PLACES[path]}}}")
        path = (
            path.replace("{version}", "{model}")
            .replace("{booking_id}", "{booking}")
            .replace("{item_id}", "{item}")
            .replace("{pandit_id}", "{pandit}")
        )
        found.append((method, path, operation))
    return found


def test_every_route_has_a_row() -> None:
    assert {(method, path) for method, path, _ in declared()} == set(TABLE)


@dataclass
class World:
    """Two customers, two pandits and what stands between them."""

    people: dict[str, Person | None]
    nobody: httpx.AsyncClient
    places: dict[str, str]

    def client(self, who: str) -> httpx.AsyncClient:
        person = self.people[who]
        return person.api if person else self.nobody

    async def ask(self, who: str, method: str, path: str, row: Row) -> httpx.Response:
        arguments: dict[str, Any] = {}
        if row.upload:
            arguments["files"] = {"file": ("note.pdf", PDF, "application/pdf")}
            arguments["data"] = {"room_id": self.places["room"]}
        elif row.body is not None:
            arguments["json"] = {
                key: value.format(**self.places) if isinstance(value, str) else value
                for key, value in row.body.items()
            }
        target = path.format(**self.places)
        if row.query:
            target += "?" + row.query.format(**self.places)
        return await self.client(who).request(method.upper(), target, **arguments)


@pytest.fixture
async def world(people: People) -> World:
    customer, stranger = await people.customer(), await people.customer("Stranger Rai")
    pandit, rival = await people.pandit(), await people.pandit("Rival Joshi")
    unverified, admin = await people.unverified_pandit(), await people.admin()
    booking = (await customer.api.post("/api/bookings/", json=wish(pandit.service_id))).json()
    (await pandit.api.post(f"/api/bookings/{booking['id']}/accept/", json={})).raise_for_status()
    rooms = (await customer.api.get("/api/chat/rooms/")).raise_for_status().json()["results"]
    file = await customer.api.post(
        "/api/chat/attachments/",
        data={"room_id": rooms[0]["id"]},
        files={"file": ("list.pdf", PDF, "application/pdf")},
    )
    paper = await pandit.api.post(
        "/api/pandits/me/certification/", files={"file": ("shastri.pdf", PDF, "application/pdf")}
    )
    chart = (await customer.api.post("/api/kundali/", json=BIRTH)).raise_for_status().json()
    begun = {"booking_step": "service_selection", "service_id": pandit.service_id}
    draft = await customer.api.post("/api/booking-wizard/create-step/", json=begun)
    nothing = ("id", "callback_id", "payment_id", "refund_id", "payout_id", "reference", "token")
    return World(
        {
            "nobody": None,
            "customer": customer,
            "stranger": stranger,
            "pandit": pandit,
            "rival": rival,
            "unverified": unverified,
            "admin": admin,
        },
        await people.nobody(),
        {
            **dict.fromkeys(nothing, "no-such-thing"),
            "chart": chart["id"],
            "certificate": paper.raise_for_status().json()["id"],
            "draft_id": draft.raise_for_status().json()["id"],
            "kind": "items",
            "method": "KHALTI",
            "number": "1",
            "table": "pujas",
            "rival": rival.pandit_id,
            "booking": booking["id"],
            "pandit": pandit.pandit_id,
            "service": pandit.service_id,
            "puja": "satyanarayan-puja",
            "item": "haldi",
            "model": "20260101T000000Z-0123abcd",
            "room": rooms[0]["id"],
            "file": file.raise_for_status().json()["id"],
        },
    )


async def test_everybody_gets_what_he_is_owed_on_every_route(world: World) -> None:
    """One world for all rows; what ends something (sign-out, cancel, delete) is asked last."""
    ending = ("/logout/", "/cancel/", "/verify/")
    rows = sorted(
        TABLE.items(),
        key=lambda entry: (
            entry[0][1].endswith(ending),
            entry[0][0] == "delete" and "samagri" not in entry[0][1],
        ),
    )
    wrong = []
    for (method, path), row in rows:
        # Those who are refused come first: their attempt must have changed nothing.
        for who in sorted(EVERYBODY, key=lambda name: row.status(name) < 300):
            answer = await world.ask(who, method, path, row)
            expected = row.status(who)
            if path.endswith("/cancel/") and expected == 200 and answer.status_code == 409:
                continue  # one of the three was first
            if answer.status_code != expected:
                wrong.append(
                    f"{who}: {method} {path}: {answer.status_code}, not {expected}: "
                    f"{answer.text[:200]}"
                )
            elif answer.status_code >= 400:
                problem = answer.json()
                assert answer.headers["Content-Type"].startswith("application/problem+json")
                assert problem["status"] == answer.status_code
                assert problem["type"]
                assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert not wrong, "\n".join(wrong)


WAY = {
    "nobody": 4401,
    "customer": "forbidden",
    "stranger": "not_found",
    "pandit": "too_early",
    "rival": "not_found",
    "unverified": "not_found",
    "admin": "forbidden",
}
"""What each gets who would share his way to the booking; its pandit is three days early."""


@pytest.mark.parametrize("who", EVERYBODY)
async def test_the_way_to_a_booking_is_its_pandits_to_share(
    world: World, server: RunningServer, who: str
) -> None:
    person, owed, booking = world.people[who], WAY[who], world.places["booking"]
    token = person.access if person else None
    async with notification_socket(server.port, token, greet=person is not None) as client:
        if isinstance(owed, int):
            assert await client.closed() == owed
            return
        await client.send(type="share", booking=booking)
        assert (await client.next("sharing", "error"))["code"] == owed
        await client.send(type="position", booking=booking, lat=27.7, lng=85.3)
        assert (await client.next("error"))["code"] == "not_found"
        await client.send(type="unshare", booking=booking)
        assert not [each for each in await client.quiet() if each["type"] == "error"]


async def test_bad_bodies_get_clear_answers_on_every_route(world: World) -> None:
    for method, path, operation in declared():
        if operation.body is None:
            continue
        row = TABLE[method, path]
        entitled = (each for each in EVERYBODY if row.status(each) not in (401, 403))
        # A room with a pandit is refused to those who have not paid for it: 403 to every customer.
        who = "nobody" if operation.sign_in == "none" else next(entitled, "customer")
        client, target = world.client(who), path.format(**world.places)
        for content, content_type, expected in (
            (b"{not json", "application/json", 400),
            (b"\xff\xfe", "application/json", 400),
            (b"[]", "application/json", 400),
            (b'{"surprise": 1}', "application/json", 422),
            (b"a=b", "application/x-www-form-urlencoded", 415),
            (b'{"x": "' + b"a" * 300_000 + b'"}', "application/json", 413),
        ):
            answer = await client.request(
                method.upper(), target, content=content, headers={"Content-Type": content_type}
            )
            assert answer.status_code == expected, (method, path, content[:20], answer.text)
            assert answer.json()["status"] == expected
        empty = await client.request(
            method.upper(), target, content=b"", headers={"Content-Type": "application/json"}
        )
        assert empty.status_code < 500, (method, path, empty.text)
        answer = await client.request(method.upper(), target, json={"surprise": 1})
        faults = {(each["field"], each["code"]) for each in answer.json()["errors"]}
        assert ("surprise", "unknown") in faults


async def test_tokens_that_do_not_hold_are_refused(world: World) -> None:
    access = world.people["customer"].access  # type: ignore[union-attr]  # the customer is there
    head, payload, signature = access.split(".")
    for token in (
        "x",
        f"{head}.{payload}.",
        f"{head}.{payload}.{signature[:-2]}AA",
        f"eyJhbGciOiJub25lIn0.{payload}.",
    ):
        answer = await world.nobody.get(
            "/api/auth/me/", headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    basic = await world.nobody.get("/api/auth/me/", headers={"Authorization": "Basic eDp5"})
    assert basic.status_code == 401
    in_the_query = await world.nobody.get(f"/api/auth/me/?access_token={access}")
    assert in_the_query.status_code == 401, "a token in the address is no credential"


async def test_unknown_paths_and_methods(world: World) -> None:
    for path in ("/api/nothing/", "/api/debug/", "/api/admin/", "/api/bookings/a/b/c/"):
        answer = await world.nobody.get(path)
        assert (answer.status_code, answer.json()["type"]) == (404, "not-found")
    for method in ("PUT", "DELETE", "PATCH"):
        answer = await world.nobody.request(method, "/api/pujas/")
        assert answer.status_code == 405
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["/api/pujas/", "/api/auth/me/", "/", "/sign-in/", "/nowhere/"])
async def test_head_answers_as_get_does_without_a_body(world: World, path: str) -> None:
    got, asked = await world.nobody.get(path), await world.nobody.head(path)
    assert (asked.status_code, asked.content) == (got.status_code, b"")
    for name in ("Content-Type", "Content-Length", "Cache-Control"):
        assert asked.headers.get(name) == got.headers.get(name)


async def test_head_is_refused_where_nothing_can_be_got(world: World) -> None:
    answer = await world.nobody.head("/api/auth/token/")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")
