"""Accounts, sessions and one-time codes, on the real database."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from datetime import timedelta

import pytest

from server.domain.account import GeoPoint, OneTimeCode, Place, Role, Session, User
from server.domain.errors import AlreadyExists, NotFound
from server.store.client import Store
from server.store.codec import to_value
from server.store.users import (
    USERS,
    MongoCodeRepository,
    MongoSessionRepository,
    MongoUserRepository,
)
from tests.support import SUNDAY_TEN

PHONE = "+9779841000001"


def user(**overrides: object) -> User:
    plain = User(
        id="u1",
        username="sita.sharma",
        email="sita@example.com",
        phone_number=PHONE,
        full_name="Sita Sharma",
        role=Role.USER,
        password_hash="$argon2id$",
        location=Place(city="Kathmandu", point=GeoPoint(27.7, 85.3)),
        created_at=SUNDAY_TEN,
        updated_at=SUNDAY_TEN,
    )
    return dataclasses.replace(plain, **overrides)  # type: ignore[arg-type]


def session(**overrides: object) -> Session:
    plain = Session(
        id="s1",
        user_id="u1",
        refresh_hash="first",
        created_at=SUNDAY_TEN,
        expires_at=SUNDAY_TEN + timedelta(days=3650),
    )
    return dataclasses.replace(plain, **overrides)  # type: ignore[arg-type]


def code(**overrides: object) -> OneTimeCode:
    plain = OneTimeCode(
        phone_number=PHONE,
        code_hash="first",
        tries_left=5,
        sent_at=SUNDAY_TEN,
        expires_at=SUNDAY_TEN + timedelta(days=3650),
    )
    return dataclasses.replace(plain, **overrides)  # type: ignore[arg-type]


async def test_user_comes_back_as_it_was(store: Store):
    users = MongoUserRepository(store)
    await users.add(user())
    assert await users.find("u1") == user()
    assert await users.find("u2") is None


@pytest.mark.parametrize("identifier", [PHONE, "sita@example.com", "sita.sharma"])
async def test_user_is_found_by_any_identifier(store: Store, identifier: str):
    users = MongoUserRepository(store)
    await users.add(user())
    assert await users.find_by_identifier(identifier) == user()
    assert await users.find_by_identifier(identifier + "x") is None


async def test_finding_people_uses_an_index(store: Store):
    await MongoUserRepository(store).add(user())
    for query in (
        {"phone_number": "x"},
        {"email": "x"},
        {"username": "x"},
        {"role": "admin"},
    ):
        plan = str(await store.collection(USERS).explain(query, limit=1))
        assert "IXSCAN" in plan
        assert "COLLSCAN" not in plan


async def test_accounts_whose_closing_is_not_done_come_by_age(store: Store):
    users = MongoUserRepository(store)
    for number, since in enumerate((None, 2, 1, 9)):
        await users.add(
            user(
                id=f"u{number}",
                phone_number=f"+977984100000{number}",
                email=None,
                username=None,
                closing_since=None if since is None else SUNDAY_TEN + timedelta(minutes=since),
            )
        )
    now = SUNDAY_TEN + timedelta(minutes=5)
    assert await users.list_closing(now, 10) == ("u2", "u1")
    assert await users.list_closing(now, 1) == ("u2",)
    await users.update("u2", {"closing_since": None})
    assert await users.list_closing(now, 10) == ("u1",)


@pytest.mark.parametrize("field", ["phone_number", "email", "username"])
async def test_what_must_be_unique_is_refused_by_name(store: Store, field: str):
    users = MongoUserRepository(store)
    await users.add(user())
    other = user(id="u2", phone_number="+9779841000002", email=None, username=None)
    with pytest.raises(AlreadyExists) as refusal:
        await users.add(dataclasses.replace(other, **{field: getattr(user(), field)}))
    assert refusal.value.field == field
    await users.add(other)
    with pytest.raises(AlreadyExists) as refusal:
        await users.update("u2", {field: getattr(user(), field)})
    assert refusal.value.field == field


async def test_many_users_may_have_neither_email_nor_username(store: Store):
    users = MongoUserRepository(store)
    for number in range(3):
        await users.add(
            user(id=f"u{number}", phone_number=f"{PHONE[:-1]}{number}", email=None, username=None)
        )
    assert await users.find("u2") is not None


async def test_of_racing_callers_one_verifies_a_phone(store: Store):
    users = MongoUserRepository(store)
    await users.add(user(generation=3))
    found = await asyncio.gather(*(users.verify_phone("u1", SUNDAY_TEN) for _ in range(6)))
    expected = user(
        phone_verified_at=SUNDAY_TEN, password_hash="", email=None, username=None, generation=4
    )
    assert [each for each in found if each] == [expected]
    assert await users.find("u1") == expected
    assert await users.verify_phone("nobody", SUNDAY_TEN) is None


async def test_password_is_replaced_only_while_it_is_the_old_one(store: Store):
    users = MongoUserRepository(store)
    await users.add(user())
    for old, new, ends, expected in (
        ("other", "new", True, None),
        ("$argon2id$", "new", False, user(password_hash="new")),
        ("$argon2id$", "newer", True, None),
        ("new", "newer", True, user(password_hash="newer", generation=1)),
    ):
        found = await users.replace_password("u1", old_hash=old, new_hash=new, ends_sign_ins=ends)
        assert found == expected


async def test_update_sets_the_named_fields_and_no_others(store: Store):
    users = MongoUserRepository(store)
    await users.add(user())
    place = Place(area="Patan", point=GeoPoint(27.67, 85.32))
    changed = await users.update("u1", {"email": None, "location": place})
    assert changed == user(email=None, location=place)
    assert await users.find("u1") == changed
    with pytest.raises(NotFound):
        await users.update("u2", {"email": None})


async def test_only_active_admins_are_listed(store: Store):
    users = MongoUserRepository(store)
    for number, (role, is_active) in enumerate(
        [(Role.ADMIN, True), (Role.ADMIN, False), (Role.USER, True), (Role.PANDIT, True)]
    ):
        await users.add(
            user(
                id=f"u{number}",
                phone_number=f"{PHONE[:-1]}{number}",
                email=None,
                username=None,
                role=role,
                is_active=is_active,
            )
        )
    assert await users.list_admin_ids() == ("u0",)


async def test_one_of_racing_rotations_wins(store: Store):
    sessions = MongoSessionRepository(store)
    await sessions.add(session())
    later = SUNDAY_TEN + timedelta(days=4000)
    outcomes = await asyncio.gather(
        *(
            sessions.rotate("s1", old_hash="first", new_hash=f"next{n}", expires_at=later)
            for n in range(20)
        )
    )
    assert sum(outcomes) == 1
    stored = await sessions.find("s1")
    assert stored == session(refresh_hash=f"next{outcomes.index(True)}", expires_at=later)


async def test_ended_session_is_gone_and_does_not_rotate(store: Store):
    sessions = MongoSessionRepository(store)
    await sessions.add(session())
    await sessions.end("s1")
    await sessions.end("s1")
    assert await sessions.find("s1") is None
    assert not await sessions.rotate("s1", old_hash="first", new_hash="next", expires_at=SUNDAY_TEN)


async def test_ending_all_sessions_spares_other_people(store: Store):
    sessions = MongoSessionRepository(store)
    for number, owner in enumerate(["u1", "u1", "u2"]):
        await sessions.add(session(id=f"s{number}", user_id=owner))
    await sessions.end_all("u1")
    assert [await sessions.find(f"s{n}") is None for n in range(3)] == [True, True, False]


async def test_fresh_code_is_not_replaced_and_an_older_one_is(store: Store):
    codes = MongoCodeRepository(store)
    minute = timedelta(minutes=1)
    assert await codes.put(code(), replacing_before=SUNDAY_TEN - minute)
    second = code(code_hash="second", sent_at=SUNDAY_TEN + minute)
    assert not await codes.put(second, replacing_before=SUNDAY_TEN - timedelta(milliseconds=1))
    assert await codes.last_sent_at(PHONE) == SUNDAY_TEN
    assert await codes.take_tries(PHONE, "", 0) == (code(),)
    assert await codes.put(second, replacing_before=SUNDAY_TEN)
    assert await codes.last_sent_at(PHONE) == second.sent_at
    assert await codes.take_tries(PHONE, "", 0) == (second,)


async def test_a_code_replaces_no_other_askers_but_waits_for_it(store: Store):
    codes = MongoCodeRepository(store)
    minute = timedelta(minutes=1)
    owners = code(asker="owner")
    assert await codes.put(owners, replacing_before=SUNDAY_TEN - minute)
    strangers = code(code_hash="second", asker="other", sent_at=SUNDAY_TEN + minute)
    assert not await codes.put(strangers, replacing_before=SUNDAY_TEN - minute)
    assert await codes.put(strangers, replacing_before=SUNDAY_TEN)
    assert set(await codes.take_tries(PHONE, "owner", 0)) == {owners, strangers}
    assert await codes.take_tries(code(phone_number="+9779841000002").phone_number, "", 0) == ()


async def test_a_code_of_the_older_shape_counts_for_the_pause_alone(store: Store):
    older = to_value(code(asker="owner"))
    await store.collection("codes").insert_one({"_id": older.pop("phone_number"), **older})
    codes = MongoCodeRepository(store)
    assert await codes.take_tries(PHONE, "owner", 2) == ()
    second = code(code_hash="second", asker="owner", sent_at=SUNDAY_TEN + timedelta(minutes=1))
    assert not await codes.put(second, replacing_before=SUNDAY_TEN - timedelta(milliseconds=1))
    assert await codes.put(second, replacing_before=SUNDAY_TEN)
    assert await codes.take_tries(PHONE, "owner", 2) == (second,)


async def test_one_of_racing_requests_makes_the_code(store: Store):
    codes = MongoCodeRepository(store)
    before = SUNDAY_TEN - timedelta(minutes=1)
    outcomes = await asyncio.gather(
        *(codes.put(code(code_hash=f"h{n}"), replacing_before=before) for n in range(10))
    )
    assert sum(outcomes) == 1
    assert await codes.take_tries(PHONE, "", 0) == (code(code_hash=f"h{outcomes.index(True)}"),)


async def test_racing_tries_are_counted_exactly(store: Store):
    codes = MongoCodeRepository(store)
    await codes.put(code(tries_left=5), replacing_before=SUNDAY_TEN)
    taken = await asyncio.gather(*(codes.take_tries(PHONE, "", 2) for _ in range(12)))
    assert sorted(each.tries_left for each in itertools.chain(*taken)) == [1, 2, 3, 4, 5]
    assert await codes.take_tries(PHONE, "", 2) == ()


async def test_last_tries_are_left_to_the_asker(store: Store):
    codes = MongoCodeRepository(store)
    await codes.put(code(tries_left=5, asker="owner"), replacing_before=SUNDAY_TEN)
    taken = await asyncio.gather(*(codes.take_tries(PHONE, "other", 2) for _ in range(8)))
    assert sorted(each.tries_left for each in itertools.chain(*taken)) == [3, 4, 5]
    for tries in (2, 1):
        found = await codes.take_tries(PHONE, "owner", 2)
        assert found == (code(tries_left=tries, asker="owner"),)
    assert await codes.take_tries(PHONE, "owner", 2) == ()


async def test_one_caller_removes_the_code_and_never_another_one(store: Store):
    codes = MongoCodeRepository(store)
    await codes.put(code(), replacing_before=SUNDAY_TEN)
    assert not await codes.remove(code(code_hash="second"))
    outcomes = await asyncio.gather(*(codes.remove(code()) for _ in range(5)))
    assert sum(outcomes) == 1
    assert await codes.take_tries(PHONE, "", 0) == ()
