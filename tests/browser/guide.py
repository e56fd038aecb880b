"""Every page of the site, who has it, and a small town in which all of them show something.

A page whose route is not in ``STOPS`` fails ``test_guide.py``, so a new page brings its line. The
``{names}`` in an address are those of ``Party.names``.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from server.handlers.page_base import PageHandler
from server.routes import ROUTES
from tests.browser.conftest import Somebody, Town

ITEMS_HEAD = "code,name,name_ne,aliases,category,base_unit,base_quantity,price,use,use_ne,active"
ITEM_ROW = "sacred-soil,Sacred Soil,पवित्र माटो,,tika,packet,1,{price},,,yes"
EVERYBODY: Final = ("family", "pandit", "admin")
MEMBERS: Final = ("family", "pandit")


@dataclass(frozen=True)
class Stop:
    """Somebody on a page."""

    who: str
    address: str


def at(*addresses: str, by: str | tuple[str, ...] = "guest") -> tuple[Stop, ...]:
    people = (by,) if isinstance(by, str) else by
    return tuple(Stop(who, address) for who, address in itertools.product(people, addresses))


STOPS: Final[dict[str, tuple[Stop, ...]]] = {
    "/": at("/", by=("guest", "family")),
    "/pandits/": at(
        "/pandits/", "/pandits/?q=nobody-has-this-name", "/pandits/?place=Lalitpur&radius_km=25"
    ),
    "/pandits/{id}/": at("/pandits/{pandit}/", by=("guest", "family", "pandit")),
    "/pujas/": at("/pujas/", "/pujas/?q=nothing-like-it"),
    "/pujas/{id}/": at("/pujas/satyanarayan-puja/", by=("guest", "family")),
    "/samagri/": at("/samagri/", "/samagri/?q=nothing-is-called-so"),
    "/samagri/{id}/": (
        *at("/samagri/kumkum/", by=("guest", "family")),
        *at("/samagri/lotus/"),
    ),
    "/account/samagri/": at("/account/samagri/", by="family"),
    "/bookings/{id}/samagri/": at(
        "/bookings/{listed}/samagri/",
        "/bookings/{listed}/samagri/?budget=1500",
        "/bookings/{proposed}/samagri/",
        by="family",
    ),
    "/sign-in/": at("/sign-in/"),
    "/sign-in/code/": at("/sign-in/code/", "/sign-in/code/?sent=yes"),
    "/register/": at("/register/", "/register/?role=pandit"),
    "/offline/": at("/offline/"),
    "/offline/{language}/": at("/offline/en/", "/offline/ne/"),
    "/api/docs/": at("/api/docs/"),
    "/panchang/": at("/panchang/", "/panchang/?month=2083-07"),
    "/muhurta/": at("/muhurta/?puja_id=griha-pravesh"),
    "/kundali/shared/{token}/": at("/kundali/shared/{shared}/"),
    "/kundali/": at("/kundali/", by="family"),
    "/kundali/{id}/": at("/kundali/{chart}/", "/kundali/{timeless}/", by="family"),
    "/kundali/match/": at(
        "/kundali/match/", "/kundali/match/?groom_id={timeless}&bride_id={chart}", by="family"
    ),
    "/book/{service_id}/": at("/book/{service}/", by="family"),
    "/book/{service_id}/{booking_id}/{step}/": at(
        *(
            f"/book/{{rival_service}}/{{begun}}/{step}/"
            for step in ("service", "date", "details", "samagri", "payment", "confirm")
        ),
        by="family",
    ),
    "/bookings/": (
        *at("/bookings/", "/bookings/?tab=past", by=MEMBERS),
        *at("/bookings/", by="admin"),
    ),
    "/bookings/{id}/": (
        *at("/bookings/{pending}/", "/bookings/{accepted}/", "/bookings/{held}/", by=MEMBERS),
        *at("/bookings/{proposed}/", by=MEMBERS),
        *at("/bookings/{accepted}/", by="admin"),
        *at("/bookings/{cancelled}/", "/bookings/{reviewed}/", by="family"),
    ),
    "/bookings/{id}/pay/": at("/bookings/{pending}/pay/", by="family"),
    "/bookings/{id}/invoice/": at("/bookings/{held}/invoice/", by="family"),
    "/series/{id}/": at("/series/{series}/", by="family"),
    "/pandits/{id}/unlock/": at("/pandits/{rival}/unlock/", by="family"),
    "/payments/": at("/payments/", by="family"),
    "/payments/{id}/": at("/payments/{open}/", "/payments/{paid}/", by="family"),
    "/payments/{id}/go/": at("/payments/{open}/go/", by="family"),
    "/payments/{id}/receipt/": at("/payments/{paid}/receipt/", by="family"),
    "/wallet/": at("/wallet/", by="family"),
    "/chats/": at("/chats/", by=MEMBERS),
    "/chats/{id}/": at("/chats/{room}/", by=MEMBERS),
    "/notifications/": at("/notifications/", by=MEMBERS),
    "/notifications/preferences/": at("/notifications/preferences/", by="family"),
    "/account/": at("/account/", by=EVERYBODY),
    "/dashboard/": at("/dashboard/", "/dashboard/?m=bs:2083-07", by=MEMBERS),
    "/admin/analytics/": at("/admin/analytics/", by="admin"),
    "/requests/": at("/requests/", by=("pandit", "newcomer")),
    "/pandit/profile/": at("/pandit/profile/", by=("pandit", "newcomer")),
    "/pandit/certificates/": at("/pandit/certificates/", by=("pandit", "newcomer")),
    "/pandit/photo/": at("/pandit/photo/", by=("pandit", "newcomer")),
    "/pandit/portfolio/": at("/pandit/portfolio/", by=("pandit", "newcomer")),
    "/account/calendar/": at("/account/calendar/", by=MEMBERS),
    "/account/password/": at("/account/password/", by=EVERYBODY),
    "/pandit/earnings/": at("/pandit/earnings/", by="pandit"),
    "/admin/": at("/admin/", by="admin"),
    "/admin/pandits/": at(
        "/admin/pandits/", "/admin/pandits/?verification_status=APPROVED", by="admin"
    ),
    "/admin/users/": at("/admin/users/", "/admin/users/?q=Nobody-is-called-so", by="admin"),
    "/admin/users/{id}/": at("/admin/users/{user}/", by="admin"),
    "/admin/reviews/": at("/admin/reviews/", by="admin"),
    "/admin/models/": at("/admin/models/", by="admin"),
    "/admin/accuracy/": at("/admin/accuracy/", by="admin"),
    "/admin/catalogue/": at("/admin/catalogue/", by="admin"),
    "/admin/catalogue/items/{id}/": at("/admin/catalogue/items/kumkum/", by="admin"),
    "/admin/catalogue/templates/": at("/admin/catalogue/templates/", by="admin"),
    "/admin/catalogue/templates/{id}/": at(
        "/admin/catalogue/templates/satyanarayan-guests/",
        "/admin/catalogue/templates/new/",
        by="admin",
    ),
    "/admin/catalogue/imports/{id}/": at(
        "/admin/catalogue/imports/{import}/",
        "/admin/catalogue/imports/{faulty_import}/",
        by="admin",
    ),
    "/admin/audit/": at("/admin/audit/", by="admin"),
    "/admin/payments/": at("/admin/payments/", by="admin"),
    "/admin/payments/{id}/": at("/admin/payments/{open_payment}/", by="admin"),
    "/admin/callbacks/": at("/admin/callbacks/", by="admin"),
    "/admin/payouts/": at("/admin/payouts/", by="admin"),
    "/admin/ledger/": at("/admin/ledger/", by="admin"),
}
# Addresses of forms: opened by hand they lead to the page that the form stands on. And the paper
# that a training wrote, which is sent as it is.
LEADS_ON: Final = frozenset(
    {
        "/admin/models/{version}/report/",
        "/admin/pandits/{id}/",
        "/admin/payments/{id}/{act}/",
        "/admin/reviews/{id}/",
        "/pandit/photo/remove/",
        "/pandit/services/",
        "/pandit/services/{id}/",
        "/pandit/hours/",
    }
)


def page_routes() -> set[str]:
    """The routes that answer a browser with a page."""
    return {
        route.path
        for route in ROUTES
        if issubclass(route.handler, PageHandler) and "get" in vars(route.handler)
    }


class Party:
    """Somebody of each kind, with something on every page."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self.family = town.person("Anita Thapa")
        self.pandit = town.pandit("Devi Prasad Regmi")
        self.admin = town.sign_in("Admin", town.admin_phone)
        self.rival = town.pandit("Narayan Adhikari")
        self.people: dict[str, Somebody | None] = {
            "guest": None,
            "family": self.family,
            "pandit": self.pandit,
            "admin": self.admin,
            "newcomer": town.person("Unverified Bhatta", "pandit"),
        }
        self.names = {
            "pandit": self.pandit.pandit_id,
            "rival": self.rival.pandit_id,
            "service": self.pandit.service_id,
            "rival_service": self.rival.service_id,
            "user": self.family.api.get("/api/auth/me/").raise_for_status().json()["id"],
        }
        self._show_papers()
        self._book()
        self._pay()
        self._cast_charts()
        self._send_tables()

    def stops(self, *, for_each: bool = True) -> list[Stop]:
        """All pages, those of one person together, with their real addresses.

        For each who has them, or each page once.
        """
        stops: Iterable[Stop] = itertools.chain.from_iterable(STOPS.values())
        if not for_each:
            first: dict[str, Stop] = {}
            for stop in stops:
                first.setdefault(stop.address, stop)
            stops = first.values()
        real = [Stop(stop.who, stop.address.format(**self.names)) for stop in stops]
        return sorted(real, key=lambda stop: list(self.people).index(stop.who))

    def _show_papers(self) -> None:
        picture = io.BytesIO()
        Image.new("RGB", (320, 240), (214, 120, 30)).save(picture, "PNG")
        captions = {"caption": "A lamp before the altar", "caption_ne": "वेदीअगाडिको दियो"}
        for somebody in (self.pandit, self.people["newcomer"]):
            assert somebody is not None
            for path, fields in (("certification", {}), ("portfolio", captions), ("photo", {})):
                somebody.api.post(
                    f"/api/pandits/me/{path}/",
                    data=fields,
                    files={"file": ("picture.png", picture.getvalue(), "image/png")},
                ).raise_for_status()

    def _book(self) -> None:
        town, names = self._town, self.names
        home = {
            "service_location": "HOME",
            "address": "House 3",
            "area": "Chabahil",
            "city": "Kathmandu",
            "samagri_required": True,
        }
        for days, name in enumerate(("pending", "accepted", "cancelled", "proposed"), 20):
            names[name] = town.book(self.family, self.pandit, days, **home)
        names["listed"] = town.book(self.family, self.pandit, 27, **home)
        for name in ("accepted", "proposed"):
            town.move(self.pandit, names[name], "accept")
        later = town.book(self.family, self.rival, 25, **home)
        other_day = self.family.api.get(f"/api/bookings/{later}/").json()["booking_date"]
        self._post(
            self.family,
            f"/api/bookings/{names['proposed']}/reschedule/",
            booking_date=other_day,
            booking_time="14:00",
        )
        self._ask_for_other_samagri(names["proposed"])
        self._begin(other_day)
        self._post(self.family, f"/api/bookings/{names['cancelled']}/cancel/", reason="Moved away")
        monthly = {"frequency": "monthly", "count": 3}
        town.book(self.family, self.pandit, 26, recurrence=monthly, **home)
        names["series"] = self._first(self.family, "/api/recurrences/")["id"]
        names["held"] = town.hold_puja(self.family, self.pandit)
        names["reviewed"] = town.hold_puja(self.family, self.pandit)
        town.review(self.family, names["reviewed"], "He explained it all.")
        names["room"] = self._first(self.family, "/api/chat/rooms/")["id"]

    def _ask_for_other_samagri(self, booking_id: str) -> None:
        """Beside another time: an item more, one less, and more of one."""
        path, api = f"/api/bookings/{booking_id}/samagri/", self.family.api
        lines = api.get(path).raise_for_status().json()["results"]
        gone = next(line for line in lines if line["can_remove"])
        more = lines[0]
        api.delete(f"{path}{gone['item']['id']}/").raise_for_status()
        wanted = {"quantity": more["quantity"] * 2}
        api.patch(f"{path}{more['item']['id']}/", json=wanted).raise_for_status()
        api.put(f"{path}lotus/", json={"quantity": 5}).raise_for_status()

    def _begin(self, day: str) -> None:
        """Take the steps of a booking, but the last."""
        steps: dict[str, dict[str, Any]] = {
            "service_selection": {"service_id": self.rival.service_id},
            "datetime_selection": {"booking_date": day, "booking_time": "15:00"},
            "details": {"service_location": "ONLINE", "samagri_required": True},
            "payment": {"payment_method": "CASH"},
        }
        for step, body in steps.items():
            if "begun" in self.names:
                body = {**body, "booking_id": self.names["begun"]}
            path = "/api/booking-wizard/create-step/"
            self.names["begun"] = self._post(self.family, path, booking_step=step, **body)["id"]

    def _pay(self) -> None:
        names = self.names
        begun = self._post(
            self.family, "/api/payments/", booking_id=names["pending"], payment_method="KHALTI"
        )
        names["open"], names["open_payment"] = begun["id"], f"b-{names['pending']}"
        mine = self.family.api.get("/api/payments/").raise_for_status().json()["results"]
        names["paid"] = next(each["id"] for each in mine if each["status"] == "COMPLETED")

    def _cast_charts(self) -> None:
        birth = {"date_of_birth": "1990-05-15", "place_of_birth": "Pokhara"}
        clocks: dict[str, tuple[str, str | None]] = {
            "chart": ("Maya", "06:20"),
            "timeless": ("Ram", None),
        }
        for name, (called, clock) in clocks.items():
            made = self._post(
                self.family, "/api/kundali/", name=called, time_of_birth=clock, **birth
            )
            self.names[name] = made["id"]
        share = self._post(self.family, f"/api/kundali/{self.names['chart']}/share/")
        self.names["shared"] = share["url"].rstrip("/").rpartition("/")[2]

    def _send_tables(self) -> None:
        for name, price in (("import", "40.50"), ("faulty_import", "-1")):
            table = f"{ITEMS_HEAD}\n{ITEM_ROW.format(price=price)}\n".encode()
            sent = self.admin.api.post(
                "/api/admin/catalogue/imports/",
                data={"kind": "items"},
                files={"file": ("items.csv", table, "text/csv")},
            )
            self.names[name] = sent.raise_for_status().json()["id"]

    def _post(self, somebody: Somebody, path: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = somebody.api.post(path, json=body).raise_for_status().json()
        return answer

    def _first(self, somebody: Somebody, path: str) -> dict[str, Any]:
        found: dict[str, Any] = somebody.api.get(path).raise_for_status().json()["results"][0]
        return found
