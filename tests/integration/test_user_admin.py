"""Administration of accounts: who is found, what closing ends, and that nobody locks all out."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from server.app import RunningServer
from server.domain.account import Role
from server.domain.ports.accounts import UserFilter
from server.services.user_admin import phone_beginning
from server.store.client import Store
from server.store.migrations import m0004_user_search
from server.store.users import USERS, MongoUserRepository
from tests.contract.test_user_repositories import user
from tests.integration.test_pages import signed_in, text_of
from tests.support import PASSWORD, People, Person
from tests.talk import notification_socket

USERS_PATH = "/api/admin/users/"
WHY = {"reason": "Asked for by phone"}


@pytest.fixture
async def admin(people: People) -> Person:
    return await people.admin()


async def found(admin: Person, **query: str) -> list[str]:
    answer = await admin.api.get(USERS_PATH, params=query)
    return [row["id"] for row in answer.raise_for_status().json()["results"]]


async def act(admin: Person, person: Person, what: str) -> httpx.Response:
    return await admin.api.post(f"{USERS_PATH}{person.user_id}/{what}/", json=WHY)


async def acts_on(admin: Person, person: Person) -> list[dict[str, Any]]:
    answer = await admin.api.get("/api/admin/audit/", params={"target": person.user_id})
    rows: list[dict[str, Any]] = answer.raise_for_status().json()["results"]
    return rows


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("9841", "+9779841"),
        ("९८४१ २२", "+977984122"),
        ("+977 984-122", "+977984122"),
        ("9779841222333", "+9779841222333"),
        ("9771234567", "+9779771234567"),
        ("98", None),
        ("Sita", None),
        ("98412223334", None),
    ],
)
def test_beginnings_of_numbers_are_understood_as_people_type_them(
    text: str, phone: str | None
) -> None:
    assert phone_beginning(text) == phone


async def test_people_are_found_by_name_in_any_spelling_phone_and_email(
    people: People, admin: Person
) -> None:
    sita = await people.customer("Sita Sharma")
    ram = await people.pandit("Ram Prasad Acharya")
    (
        await sita.api.patch("/api/auth/me/", json={"email": "devi.sharma@example.com"})
    ).raise_for_status()
    for query in ("sita", "सीता", "sharma sit", "devi", "devi.sharma@exam", sita.phone):
        assert await found(admin, q=query) == [sita.user_id], query
    assert await found(admin, q="devi.sharma@other") == []
    assert await found(admin, q="nobody at all") == []
    assert await found(admin, q="!!") == []
    assert await found(admin, q="राम", role="pandit") == [ram.user_id]
    assert await found(admin, q="राम", role="user") == []
    assert await found(admin, role="user") == [sita.user_id]
    by_number = await found(admin, q="9800")
    assert by_number[:2] == [admin.user_id, sita.user_id], "in the order of their numbers"


async def test_a_changed_name_is_found_and_the_old_one_is_not(
    people: People, admin: Person
) -> None:
    sita = await people.customer("Sita Sharma")
    (await sita.api.patch("/api/auth/me/", json={"full_name": "Gita Rai"})).raise_for_status()
    assert await found(admin, q="Gita") == [sita.user_id]
    assert await found(admin, q="Sita") == []


async def test_a_cursor_goes_through_all_that_was_found(people: People, admin: Person) -> None:
    everybody = [await people.customer(f"Sita {name}") for name in ("Rai", "Thapa", "Gurung")]
    for query in ({"q": "sita"}, {"q": "98"}, {"role": "user"}):
        seen: list[str] = []
        cursor: str | None = None
        while True:
            params = {**query, "limit": "1", **({"cursor": cursor} if cursor else {})}
            page = (await admin.api.get(USERS_PATH, params=params)).raise_for_status().json()
            seen += [row["id"] for row in page["results"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen))
        assert {each.user_id for each in everybody} <= set(seen) or query == {"q": "98"}


async def test_an_account_is_shown_with_what_belongs_to_it_and_that_is_on_record(
    people: People, admin: Person
) -> None:
    sita, pandit = await people.customer(), await people.pandit()
    wish = {
        "service_id": pandit.service_id,
        "booking_date": "2026-11-25",
        "booking_time": "10:00",
        "service_location": "PANDIT_LOCATION",
    }
    booking = (await sita.api.post("/api/bookings/", json=wish)).raise_for_status().json()
    sheet = (await admin.api.get(f"{USERS_PATH}{sita.user_id}/")).raise_for_status().json()
    assert [row["id"] for row in sheet["bookings"]] == [booking["id"]]
    assert sheet["bookings"][0]["date_bs"] == "2083-08-09"
    assert len(sheet["sessions"]) == 1
    assert sheet["is_active"]
    assert not sheet["is_own"]
    assert "password_hash" not in sheet
    assert "refresh_hash" not in str(sheet)
    of_pandit = (await admin.api.get(f"{USERS_PATH}{pandit.user_id}/")).json()
    assert of_pandit["pandit_id"] == pandit.pandit_id
    assert of_pandit["verification_status"] == "APPROVED"
    assert [row["id"] for row in of_pandit["bookings"]] == [booking["id"]]
    assert [row["act"] for row in await acts_on(admin, sita)] == ["user-viewed"]


async def test_closing_ends_tokens_and_sockets_at_once_and_opening_needs_a_new_sign_in(
    server: RunningServer, people: People, admin: Person
) -> None:
    sita = await people.customer()
    async with notification_socket(server.port, sita.access) as socket:
        closed = await act(admin, sita, "deactivate")
        assert closed.status_code == 200
        assert (closed.json()["is_active"], closed.json()["sessions"]) == (False, [])
        assert await socket.closed() == 4401
    assert (await sita.api.get("/api/auth/me/")).status_code == 401
    sign_in = {"identifier": sita.phone, "password": PASSWORD}
    nobody = await people.nobody()
    assert (await nobody.post("/api/auth/token/", json=sign_in)).status_code == 401
    assert (await act(admin, sita, "deactivate")).status_code == 200, "again changes nothing"
    assert (await act(admin, sita, "reactivate")).json()["is_active"]
    assert (await sita.api.get("/api/auth/me/")).status_code == 401, "the old token stays ended"
    refreshed = await nobody.post("/api/auth/token/refresh/", json={"refresh": sita.refresh})
    assert refreshed.status_code == 401
    await people.sign_in_again(sita)
    assert (await sita.api.get("/api/auth/me/")).status_code == 200
    acts = [row["act"] for row in await acts_on(admin, sita)]
    assert acts == ["user-reactivated", "user-deactivated", "user-deactivated"]
    assert (await acts_on(admin, sita))[0]["details"]["reason"] == WHY["reason"]


async def test_forced_sign_out_ends_every_session_and_lets_the_person_come_back(
    server: RunningServer, people: People, admin: Person
) -> None:
    sita, gita = await people.customer(), await people.customer("Gita Rai")
    async with notification_socket(server.port, sita.access) as socket:
        answer = await act(admin, sita, "sign-out")
        assert answer.json()["sessions"] == []
        assert answer.json()["is_active"]
        assert await socket.closed() == 4401
    assert (await sita.api.get("/api/auth/me/")).status_code == 401
    assert (await gita.api.get("/api/auth/me/")).status_code == 200
    await people.sign_in_again(sita)
    async with notification_socket(server.port, sita.access) as again:
        assert again.hello["type"] == "hello"
    (row,) = await acts_on(admin, sita)
    assert (row["act"], row["details"]["sessions"]) == ("user-signed-out", "1")


async def test_nobody_closes_his_own_account(people: People, admin: Person) -> None:
    other = await people.admin("Second Admin")
    refused = await act(admin, admin, "deactivate")
    assert (refused.status_code, refused.json()["type"]) == (409, "own-account")
    assert (await admin.api.get("/api/auth/me/")).status_code == 200
    assert await acts_on(other, admin) == []


async def test_of_administrators_who_close_each_other_at_once_one_stays(
    server: RunningServer, people: People
) -> None:
    for _ in range(5):
        several = [await people.admin(f"Admin {name}") for name in ("One", "Two", "Three")]
        await asyncio.gather(
            *(
                act(who, whom, "deactivate")
                for who in several
                for whom in several
                if who is not whom
            )
        )
        left = await server.services.user_admin._users.list_admin_ids()
        assert {each.user_id for each in several} & set(left)


async def test_a_closed_administrator_closes_nobody_and_comes_back(
    people: People, admin: Person
) -> None:
    other = await people.admin("Second Admin")
    assert (await act(admin, other, "deactivate")).status_code == 200
    assert (await act(other, admin, "deactivate")).status_code == 401
    assert (await act(admin, other, "reactivate")).status_code == 200
    await people.sign_in_again(other)
    assert (await act(other, admin, "deactivate")).status_code == 200


async def test_the_database_refuses_the_second_of_two_who_close_each_other(store: Store) -> None:
    users = MongoUserRepository(store)
    assert await users.close_admin("b", by="a")
    assert not await users.close_admin("a", by="b")
    assert await users.close_admin("b", by="a"), "again is no harm"
    assert await users.close_admin("c", by="a")
    await users.open_admin("b")
    assert await users.close_admin("a", by="b")
    races = await asyncio.gather(users.close_admin("y", by="x"), users.close_admin("x", by="y"))
    assert sorted(races) == [False, True]


async def test_a_pandit_whose_account_is_closed_is_offered_no_more(
    people: People, admin: Person
) -> None:
    pandit = await people.pandit()
    nobody = await people.nobody()
    assert (await nobody.get("/api/pandits/")).json()["results"]
    await act(admin, pandit, "deactivate")
    assert (await nobody.get("/api/pandits/")).json()["results"] == []
    await act(admin, pandit, "reactivate")
    assert (await nobody.get("/api/pandits/")).json()["results"] == [], "that is his to say"


async def test_a_role_is_nobodys_to_change(people: People, admin: Person) -> None:
    sita = await people.customer()
    for target in (f"{USERS_PATH}{sita.user_id}/", USERS_PATH):
        for method in ("PATCH", "PUT", "POST", "DELETE"):
            answer = await admin.api.request(method, target, json={"role": "admin"})
            assert answer.status_code == 405, (method, target)
    refused = await sita.api.patch("/api/auth/me/", json={"role": "admin"})
    assert refused.status_code == 422
    given = await act(admin, sita, "deactivate")
    assert given.json()["role"] == "user"
    why = {**WHY, "role": "admin"}
    answer = await admin.api.post(f"{USERS_PATH}{sita.user_id}/reactivate/", json=why)
    assert answer.status_code == 422


async def test_a_reason_is_asked_for(people: People, admin: Person) -> None:
    sita = await people.customer()
    for body in ({}, {"reason": ""}):
        answer = await admin.api.post(f"{USERS_PATH}{sita.user_id}/deactivate/", json=body)
        assert answer.status_code == 422
    assert (await sita.api.get("/api/auth/me/")).status_code == 200


async def test_accounts_of_before_are_found_after_the_migration(store: Store) -> None:
    users = MongoUserRepository(store)
    await users.add(user())
    await store.collection(USERS).update_one({"_id": "u1"}, {"$unset": {"search_terms": ""}})
    assert (await users.list_page(UserFilter(text="sita"))).rows == ()
    for _ in range(2):
        await m0004_user_search.run(store)
        (row,) = (await users.list_page(UserFilter(text="sita"))).rows
        assert (row.id, row.role) == ("u1", Role.USER)


async def test_the_pages_find_show_close_and_open(people: People, admin: Person) -> None:
    sita = await people.customer("Sita Sharma")
    desk = await signed_in(people, admin)
    text = text_of(await desk.get("/admin/users/?q=sita"))
    assert f'href="/admin/users/{sita.user_id}/"' in text
    target = f"/admin/users/{sita.user_id}/"
    page = text_of(await desk.get(target))
    assert "Close the account" in page
    own = text_of(await desk.get(f"/admin/users/{admin.user_id}/"))
    assert "This is your own account" in own
    assert f"/admin/users/{admin.user_id}/deactivate/" not in own
    await desk.post(f"{target}deactivate/", reason="By letter")
    closed = text_of(await desk.get(target))
    assert "The account is closed." in closed
    assert "Open the account again" in closed
    assert (await sita.api.get("/api/auth/me/")).status_code == 401
    await desk.post(f"{target}reactivate/", reason="By letter")
    assert "The account is open again." in text_of(await desk.get(target))
    await desk.post(f"{target}deactivate/")
    assert "The account is closed." not in text_of(await desk.get(target)), "without a reason"
    assert (await desk.post(f"{target}promote/", reason="By letter")).status_code == 404
    nobody_found = text_of(await desk.get("/admin/users/?q=zzzz"))
    assert "Nobody found" in nobody_found
    family = await signed_in(people, await people.customer("Other Person"))
    for path in ("/admin/users/", target):
        assert (await family.get(path)).status_code == 403
