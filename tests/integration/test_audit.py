"""The record of what administrators did: no change without an entry, whatever breaks."""

from __future__ import annotations

from typing import Any

import pytest

from server.domain.errors import StoreUnavailable
from server.store.audit import MongoAuditRepository
from server.store.bookings import MongoBookingRepository
from server.store.pandits import MongoPanditRepository
from server.store.users import MongoUserRepository
from tests.integration.test_bookings import book
from tests.support import People, Person


def lose_the_answer(monkeypatch: pytest.MonkeyPatch, repository: type, name: str) -> None:
    """The next write is made, and its answer is lost."""
    write = getattr(repository, name)

    async def lost(self: Any, *args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(repository, name, write)
        await write(self, *args, **kwargs)
        raise StoreUnavailable

    monkeypatch.setattr(repository, name, lost)


async def acts(admin: Person, act: str, target: str) -> list[dict[str, Any]]:
    asked = {"act": act, "target": target}
    answer = await admin.api.get("/api/admin/audit/", params=asked)
    entries: list[dict[str, Any]] = answer.raise_for_status().json()["results"]
    return entries


@pytest.mark.logs_errors("request")
async def test_a_cancellation_whose_answer_was_lost_is_on_record(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    sita, pandit, admin = await people.customer(), await people.pandit(), await people.admin("A B")
    booking = await book(sita, pandit.service_id)
    path = f"/api/bookings/{booking['id']}/cancel/"
    lose_the_answer(monkeypatch, MongoBookingRepository, "replace")
    assert (await admin.api.post(path, json={"reason": "asked to"})).status_code == 503
    again = await admin.api.post(path, json={"reason": "asked to"})
    assert (again.status_code, again.json()["type"]) == (409, "illegal-transition")
    (entry,) = await acts(admin, "booking-cancelled", booking["id"])
    assert (entry["is_done"], entry["details"]) == (False, {"reason": "asked to"})
    assert entry["admin_id"] == admin.user_id


async def test_what_is_done_is_done_on_record_and_what_is_refused_is_none(
    people: People,
) -> None:
    sita, pandit, admin = await people.customer(), await people.pandit(), await people.admin("A B")
    booking = await book(sita, pandit.service_id)
    path = f"/api/bookings/{booking['id']}/cancel/"
    (await admin.api.post(path, json={"reason": "asked to"})).raise_for_status()
    assert (await admin.api.post(path, json={"reason": "again"})).status_code == 409
    (entry,) = await acts(admin, "booking-cancelled", booking["id"])
    assert (entry["is_done"], entry["details"]) == (True, {"reason": "asked to"})
    other = await book(sita, pandit.service_id)
    own = await sita.api.post(f"/api/bookings/{other['id']}/cancel/", json={"reason": "my own"})
    own.raise_for_status()
    assert await acts(admin, "booking-cancelled", other["id"]) == []


@pytest.mark.logs_errors("request")
async def test_decisions_about_people_whose_answers_were_lost_are_on_record(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    sita, pandit, admin = await people.customer(), await people.pandit(), await people.admin("A B")
    lose_the_answer(monkeypatch, MongoPanditRepository, "replace")
    verify = f"/api/admin/pandits/{pandit.pandit_id}/verify/"
    body = {"decision": "reject", "notes": "The scan is unreadable"}
    assert (await admin.api.post(verify, json=body)).status_code == 503
    (entry,) = await acts(admin, "pandit-rejected", pandit.pandit_id)
    assert (entry["is_done"], entry["details"]) == (False, {"notes": "The scan is unreadable"})
    (await admin.api.post(verify, json=body)).raise_for_status()
    done, _ = await acts(admin, "pandit-rejected", pandit.pandit_id)
    assert (done["is_done"], done["details"]["name"]) == (True, pandit.full_name)

    lose_the_answer(monkeypatch, MongoUserRepository, "update")
    close = f"/api/admin/users/{sita.user_id}/deactivate/"
    assert (await admin.api.post(close, json={"reason": "spam"})).status_code == 503
    (entry,) = await acts(admin, "user-deactivated", sita.user_id)
    assert (entry["is_done"], entry["details"]["reason"]) == (False, "spam")


async def test_an_act_that_is_done_does_not_fail_for_its_entry(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    sita, pandit, admin = await people.customer(), await people.pandit(), await people.admin("A B")
    booking = await book(sita, pandit.service_id)
    lose_the_answer(monkeypatch, MongoAuditRepository, "finish")
    path = f"/api/bookings/{booking['id']}/cancel/"
    (await admin.api.post(path, json={"reason": "asked to"})).raise_for_status()
    assert len(await acts(admin, "booking-cancelled", booking["id"])) == 1
