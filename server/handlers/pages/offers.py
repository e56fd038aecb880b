"""What a pandit keeps about himself: profile, services, hours."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final

import msgspec

from server.domain.availability import MAX_EXCEPTIONS, MAX_INTERVALS
from server.domain.calendar import local_today
from server.domain.errors import FieldFault, Invalid, NotFound
from server.handlers.base import PANDIT
from server.handlers.page_base import Form, whole_number
from server.handlers.pages.base import Page
from server.handlers.pages.labels import SPOKEN, WEEKDAYS
from server.handlers.routing import Route
from server.schemas.base import changes_of, decode_body
from server.schemas.pandits import (
    AvailabilityRequest,
    CreateServiceRequest,
    UpdatePanditRequest,
    UpdateServiceRequest,
    present_availability,
    present_own,
)

_PAISA: Final = 100
_INTERVALS: Final = 2
"""So many spans of a day the form has room for at least."""
_HOUR: Final = 60
_MAY_BE_EMPTY: Final = ("name_ne", "description", "description_ne")
_BACK: Final = "/pandit/profile/"
_OF_NEW_DAY: Final = re.compile(
    r"exceptions\[[0-9]+\]\.(?:intervals\[([0-9])\]\.)?(date|note|start|end)"
)


class ProfilePage(Page):
    """The profile, the services and the hours on one page, each with its own form."""

    roles = PANDIT
    section = "profile"

    async def get(self) -> None:
        """Show it."""
        await self.show_with()

    async def post(self) -> None:
        """Change the profile."""
        await self.submit(self._save, lambda form: self.show_with(profile_form=form))

    async def _save(self) -> str:
        typed = self.typed
        given: dict[str, Any] = {
            "bio": typed.get("bio", ""),
            "bio_ne": typed.get("bio_ne", ""),
            "full_name_ne": typed.get("full_name_ne", ""),
            "experience_years": _whole(typed.get("experience_years", "0"), "experience_years"),
            "is_available": typed.get("is_available") == "true",
            "languages": self.ticked("languages"),
            "location": await self._place(),
        }
        if not given["languages"]:
            raise Invalid(FieldFault("languages", "required"))
        body = _convert(given, UpdatePanditRequest)
        await self.services.pandits.update_profile(self.person, body.changes())
        self.flash("good", self.translate("Your profile is saved."))
        return _BACK

    async def _place(self) -> dict[str, Any]:
        """The place as typed; a position that is known stays while the place does."""
        known = (await self.services.pandits.own_profile(self.person)).pandit.location
        place: dict[str, Any] = {
            name: self.typed.get(name, "") for name in ("area", "city", "address")
        }
        is_same = (known.area, known.city) == (place["area"], place["city"])
        if known.point is not None and is_same:
            place["point"] = {
                "latitude": known.point.latitude,
                "longitude": known.point.longitude,
            }
        return place

    async def show_with(
        self,
        *,
        profile_form: Form | None = None,
        service_form: Form | None = None,
        service_id: str = "",
        hours_form: Form | None = None,
    ) -> None:
        """Show the page, with the form that was refused."""
        profile = await self.services.pandits.own_profile(self.person)
        hours = present_availability(await self.services.pandits.availability(self.person))
        sheets = (await self.services.catalogue.list_pujas()).rows
        await self.show(
            "pandit/profile.html",
            title=self.translate("Your profile"),
            own=present_own(profile, self.reader),
            pujas={sheet.puja.id: sheet.puja for sheet in sheets},
            hours=hours,
            weekly={day.weekday: day.intervals for day in hours.weekly},
            weekdays=tuple(WEEKDAYS),
            spoken=SPOKEN,
            # What was set elsewhere may have more spans than the form begins with.
            intervals=range(max(_INTERVALS, *(len(day.intervals) for day in hours.weekly))),
            profile_form=profile_form or Form(),
            service_form=service_form or Form(),
            wrong_service=service_id,
            hours_form=hours_form or Form(),
            today=local_today(self.services.clock.now(), self.nepal.timezone),
        )


class ServicesPage(ProfilePage):
    """Adding a service."""

    async def get(self) -> None:
        """Show where services are."""
        self.go(f"{_BACK}#services")

    async def post(self) -> None:
        """Add it."""
        await self.submit(self._add, lambda form: self.show_with(service_form=form))

    async def _add(self) -> str:
        body = self.read(CreateServiceRequest, price=_paisa(self.typed), is_available="true")
        await self.services.pandits.add_service(self.person, body.offer())
        self.flash("good", self.translate("The service is added."))
        return f"{_BACK}#services"


class ServicePage(ProfilePage):
    """Changing a service, or taking it off."""

    async def get(self, service_id: str) -> None:  # type: ignore[override]  # the address has a part more
        """Show where services are."""
        self.go(f"{_BACK}#services")

    async def post(self, service_id: str) -> None:  # type: ignore[override]  # the address has a part more
        """Change it; it is taken off only once that is confirmed."""
        if self.typed.get("do") == "remove" and not self.is_confirmed:
            await self._ask(service_id)
            return

        async def save() -> str:
            if self.typed.get("do") == "remove":
                await self.services.pandits.remove_service(self.person, service_id)
                self.flash("good", self.translate("The service is taken off. Its bookings stay."))
                return f"{_BACK}#services"
            # What was emptied is to be empty, not what it was.
            emptied = {each: self.typed.get(each, "") for each in _MAY_BE_EMPTY}
            body = self.read(
                UpdateServiceRequest,
                **emptied,
                price=_paisa(self.typed),
                is_available="true" if self.typed.get("is_available") == "true" else "false",
            )
            await self.services.pandits.update_service(self.person, service_id, changes_of(body))
            self.flash("good", self.translate("The service is saved."))
            return f"{_BACK}#services"

        await self.submit(
            save, lambda form: self.show_with(service_form=form, service_id=service_id)
        )

    async def _ask(self, service_id: str) -> None:
        own = (await self.services.pandits.own_profile(self.person)).pandit
        service = next((each for each in own.services if each.id == service_id), None)
        if service is None:
            raise NotFound
        await self.ask(
            self.translate("Take off {service}?", service=self.local_name(service)),
            text=self.translate("Families cannot book it any more. Its bookings stay."),
            yes=self.translate("Take it off"),
            back=f"{_BACK}#services",
            sent={"do": "remove"},
        )


class HoursPage(ProfilePage):
    """The weekly hours, and dates with other ones."""

    async def get(self) -> None:
        """Show where hours are."""
        self.go(f"{_BACK}#hours")

    async def post(self) -> None:
        """Replace them."""
        await self.submit(self._save_hours, lambda form: self.show_with(hours_form=form))

    async def _save_hours(self) -> str:
        typed = self.typed
        given: dict[str, Any] = {
            "weekly": [
                {"weekday": day, "intervals": self._intervals(f"day{day}")} for day in WEEKDAYS
            ],
            "exceptions": await self._exceptions(),
            "buffer_minutes": _whole(typed.get("buffer_minutes", "30"), "buffer_minutes"),
            "lead_minutes": await self._lead_minutes(),
            "max_per_day": (
                _whole(typed["max_per_day"], "max_per_day") if "max_per_day" in typed else None
            ),
        }
        try:
            hours = _convert(given, AvailabilityRequest).availability()
            await self.services.pandits.set_availability(self.person, hours)
        except Invalid as refusal:
            raise Invalid(*(self._as_typed(fault) for fault in refusal.faults)) from None
        self.flash("good", self.translate("Your hours are saved."))
        return f"{_BACK}#hours"

    def _as_typed(self, fault: FieldFault) -> FieldFault:
        """A fault of a new day under the name of its field; days that were kept have no fields."""
        found = _OF_NEW_DAY.fullmatch(fault.field)
        if found is None:
            return fault
        return replace(fault, field=f"new-{found[2]}{found[1] or ''}")

    async def _lead_minutes(self) -> int:
        """The hours of notice in minutes; what was set to the minute elsewhere stays as it was."""
        hours = _whole(self.typed.get("lead_hours", "2"), "lead_hours")
        known = (await self.services.pandits.availability(self.person)).lead_minutes
        return known if hours == known // _HOUR else hours * _HOUR

    def _intervals(self, prefix: str) -> list[dict[str, str]]:
        found = []
        for place in range(MAX_INTERVALS):
            start = self.typed.get(f"{prefix}-start{place}", "")
            end = self.typed.get(f"{prefix}-end{place}", "")
            if start or end:
                found.append({"start": start[:5], "end": end[:5]})
        return found

    async def _exceptions(self) -> list[dict[str, Any]]:
        """Those that stay ticked, and the new one."""
        kept = set(self.ticked("keep"))
        hours = present_availability(await self.services.pandits.availability(self.person))
        found: list[dict[str, Any]] = [
            {
                "date": each.date.isoformat(),
                "note": each.note,
                "intervals": [{"start": span.start, "end": span.end} for span in each.intervals],
            }
            for each in hours.exceptions
            if each.date.isoformat() in kept
        ]
        if new := self.typed.get("new-date"):
            days = self._days(new)
            found = [each for each in found if each["date"] not in days]
            note, intervals = self.typed.get("new-note", ""), self._intervals("new")
            found += [{"date": day, "note": note, "intervals": intervals} for day in days]
        return found

    def _days(self, first: str) -> list[str]:
        """The days from the first one to the last one that is given, that one included."""
        try:
            start = date.fromisoformat(first)
        except ValueError:
            raise Invalid(FieldFault("new-date", "pattern")) from None
        try:
            end = date.fromisoformat(self.typed.get("new-last", first))
        except ValueError:
            raise Invalid(FieldFault("new-last", "pattern")) from None
        if end < start:
            raise Invalid(FieldFault("new-last", "order"))
        if (end - start).days >= MAX_EXCEPTIONS:
            raise Invalid(FieldFault("new-last", "too-long"))
        return [
            (start + timedelta(days=ahead)).isoformat() for ahead in range((end - start).days + 1)
        ]


def _paisa(typed: dict[str, str]) -> str:
    """The price in paisa; what is no number stays as it is, for the wire type to refuse."""
    text = typed.get("price", "").replace(",", "")
    return str(whole_number(text) * _PAISA) if text.isdecimal() else text


def _whole(text: str, field: str) -> int:
    if not text.isdecimal():
        raise Invalid(FieldFault(field, "type"))
    return whole_number(text)


def _convert(given: dict[str, Any], expected: type[Any]) -> Any:
    """The wire type of plain data, by way of its JSON: one check for both doors."""
    return decode_body(msgspec.json.encode(given), expected)


ROUTES: Final = (
    Route("/pandit/profile/", ProfilePage, "page-pandit-profile"),
    Route("/pandit/services/", ServicesPage, "page-pandit-services"),
    Route("/pandit/services/{id}/", ServicePage, "page-pandit-service"),
    Route("/pandit/hours/", HoursPage, "page-pandit-hours"),
)
