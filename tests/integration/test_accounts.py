"""Accounts over REST: registering, signing in and out, codes, one's own profile, refusals."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from server.app import RunningServer, open_server
from server.domain.errors import InvalidCredentials
from server.services.accounts import CONTROL_TOPIC
from server.settings import LimitSettings, Settings
from server.ws.protocol import CloseCode
from tests.support import CapturingCodeSender, FakeClock, People
from tests.talk import notification_socket

pytestmark = pytest.mark.usefixtures("steady_limits")
PASSWORD = "a long passphrase"
PHONE = "9841000001"
E164 = "+9779841000001"


def registration(**overrides: Any) -> dict[str, Any]:
    return {
        "full_name": "Sita Sharma",
        "phone_number": PHONE,
        "password": PASSWORD,
        "role": "user",
        **overrides,
    }


@pytest.fixture
async def api(people: People) -> httpx.AsyncClient:
    return await people.nobody()


@pytest.fixture
async def ended(server: RunningServer) -> AsyncIterator[list[dict[str, str]]]:
    """What is published when sessions end."""
    heard: list[dict[str, str]] = []

    def hear(payload: bytes) -> None:
        heard.append(json.loads(payload))

    bus = server.services.accounts._bus
    await bus.subscribe(CONTROL_TOPIC, hear)
    yield heard
    bus.unsubscribe(CONTROL_TOPIC, hear)


async def register(api: httpx.AsyncClient, **overrides: Any) -> dict[str, Any]:
    answer = await api.post("/api/auth/register/", json=registration(**overrides))
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def faults(answer: httpx.Response) -> set[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return {(fault["field"], fault["code"]) for fault in answer.json()["errors"]}


# -- registering ---------------------------------------------------------------------------------


async def test_customer_registers_and_is_signed_in(api: httpx.AsyncClient):
    body = await register(
        api,
        email="  Sita@Example.COM ",
        username="Sita.Sharma",
        language="ne",
        full_name=" सीता  शर्मा ",
    )
    user = body["user"]
    assert user["phone_number"] == E164
    assert (user["email"], user["username"]) == ("sita@example.com", "sita.sharma")
    assert (user["full_name"], user["role"], user["language"]) == ("सीता शर्मा", "user", "ne")
    assert user["timezone"] == "Asia/Kathmandu"
    assert user["created_at"] == "2026-11-22T10:00:00+05:45"
    assert body["access_expires_at"] == "2026-11-22T10:10:00+05:45"
    me = await api.get("/api/auth/me/", headers=bearer(body["access"]))
    assert me.json() == user


async def test_no_answer_carries_the_password_or_its_hash(api: httpx.AsyncClient):
    body = await register(api)
    me = await api.get("/api/auth/me/", headers=bearer(body["access"]))
    for text in (json.dumps(body), me.text):
        assert "password" not in text
        assert "argon2" not in text


@pytest.mark.parametrize("phone", ["9841000001", "+9779841000001", "९८४१०००००१", "984-100 0001"])
async def test_phone_is_understood_in_all_its_forms(api: httpx.AsyncClient, phone: str):
    body = await register(api, phone_number=phone)
    assert body["user"]["phone_number"] == E164
    answer = await api.post("/api/auth/token/", json={"identifier": phone, "password": PASSWORD})
    assert answer.status_code == 200


BAD_REGISTRATIONS: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"phone_number": "9541000001"}, ("phone_number", "phone")),
    ({"phone_number": "984100000"}, ("phone_number", "phone")),
    ({"phone_number": "+919841000001"}, ("phone_number", "phone")),
    ({"password": "short"}, ("password", "password-weak")),
    ({"password": "Password123"}, ("password", "password-weak")),
    ({"password": "aaaaaaaaaaa"}, ("password", "password-weak")),
    ({"password": PHONE}, ("password", "password-weak")),
    ({"password": "sitasharma"}, ("password", "password-weak")),
    ({"password": "x" * 129}, ("password", "too-long")),
    ({"email": "sita@"}, ("email", "email")),
    ({"email": "a..b@example.com"}, ("email", "email")),
    ({"email": "sita@example.com\nBcc: x@example.com"}, ("email", "email")),
    ({"username": "ab"}, ("username", "username")),
    ({"username": "sita sharma"}, ("username", "username")),
    ({"username": "9841000002"}, ("username", "username")),
    ({"full_name": "  "}, ("full_name", "empty")),
    ({"full_name": "Sita\u202eamrahS"}, ("full_name", "pattern")),
    ({"full_name": "x" * 121}, ("full_name", "too-long")),
    ({"language": "fr"}, ("language", "choice")),
    ({"role": "admin"}, ("role", "choice")),
    ({"is_verified": True}, ("is_verified", "unknown")),
    ({"rating": 5}, ("rating", "unknown")),
    ({"balance": 1000}, ("balance", "unknown")),
    ({"id": "1"}, ("id", "unknown")),
    ({"is_active": True}, ("is_active", "unknown")),
]


async def test_bad_registration_names_its_field(api: httpx.AsyncClient):
    for changes, fault in BAD_REGISTRATIONS:
        answer = await api.post("/api/auth/register/", json=registration(**changes))
        assert faults(answer) == {fault}, changes
    # The same without the fault is accepted, so each was refused for that reason.
    await register(api)


async def test_all_faults_are_named_at_once(api: httpx.AsyncClient):
    answer = await api.post(
        "/api/auth/register/", json=registration(phone_number="1", password="x", email="x")
    )
    assert {field for field, _ in faults(answer)} == {"phone_number", "password", "email"}


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("phone_number", PHONE, "phone"),
        ("email", "SITA@example.com", "mail"),
        ("username", "SITA", "user name"),
    ],
)
async def test_what_is_taken_is_refused_by_name(
    api: httpx.AsyncClient, field: str, value: str, word: str
):
    await register(api, email="sita@example.com", username="sita")
    fresh = {"phone_number": "9841000002", "email": None, "username": None}
    answer = await api.post("/api/auth/register/", json=registration(**{**fresh, field: value}))
    assert answer.status_code == 409
    assert answer.json()["type"] == "already-exists"
    assert word in answer.json()["detail"]


async def test_one_of_racing_registrations_makes_the_account(api: httpx.AsyncClient):
    answers = await asyncio.gather(
        *(api.post("/api/auth/register/", json=registration()) for _ in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5


async def test_repeat_with_its_key_gives_the_same_account(
    api: httpx.AsyncClient, server: RunningServer
):
    key = {"Idempotency-Key": "registration-1"}
    first = await api.post("/api/auth/register/", json=registration(), headers=key)
    again = await api.post("/api/auth/register/", json=registration(), headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["user"] == first.json()["user"]
    me = await api.get("/api/auth/me/", headers=bearer(again.json()["access"]))
    assert me.status_code == 200
    other = await api.post("/api/auth/register/", json=registration(full_name="Gita"), headers=key)
    assert other.status_code == 422
    stored = await server.store.collection("idempotency").find({}, limit=10)
    assert stored
    assert all(first.json()["refresh"] not in str(document) for document in stored)


async def test_pandit_waits_for_verification_and_admins_hear_of_him(
    people: People, api: httpx.AsyncClient
):
    admin = await people.admin()
    body = await register(api, role="pandit", full_name="Hari Upadhyaya")
    assert body["user"]["role"] == "pandit"
    profile = await api.get("/api/pandits/me/", headers=bearer(body["access"]))
    assert profile.json()["verification_status"] == "PENDING"
    assert profile.json()["is_verified"] is False
    heard = (await admin.api.get("/api/notifications/")).json()["results"]
    assert [each["notification_type"] for each in heard] == ["PANDIT_REGISTERED"]
    assert "Hari Upadhyaya" in heard[0]["message"]


async def test_profile_that_a_crash_left_out_is_made_at_the_next_sign_in(
    people: People, api: httpx.AsyncClient, server: RunningServer
):
    body = await register(api, role="pandit")
    assert await server.store.collection("pandits").delete_one({"user_id": body["user"]["id"]})
    answers = await asyncio.gather(
        *(
            api.post("/api/auth/token/", json={"identifier": PHONE, "password": PASSWORD})
            for _ in range(4)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    assert await server.store.collection("pandits").count({}, limit=10) == 1
    profile = await api.get("/api/pandits/me/", headers=bearer(answers[0].json()["access"]))
    assert profile.json()["verification_status"] == "PENDING"


# -- signing in ----------------------------------------------------------------------------------


async def test_any_identifier_signs_in(api: httpx.AsyncClient):
    await register(api, email="sita@example.com", username="sita")
    for identifier in (PHONE, E164, "Sita@example.com", "SITA"):
        answer = await api.post(
            "/api/auth/token/", json={"identifier": identifier, "password": PASSWORD}
        )
        assert answer.status_code == 200, identifier
        assert answer.json()["user"]["phone_number"] == E164
        assert "set-cookie" not in answer.headers


async def test_unknown_name_and_wrong_password_answer_alike(api: httpx.AsyncClient):
    await register(api)
    bodies = []
    for identifier in (PHONE, "9841999999", "nobody", "nobody@example.com"):
        answer = await api.post(
            "/api/auth/token/", json={"identifier": identifier, "password": "a wrong passphrase"}
        )
        assert answer.status_code == 401
        bodies.append({**answer.json(), "request_id": ""})
    assert all(body == bodies[0] for body in bodies)
    assert bodies[0]["type"] == "invalid-credentials"


async def test_weaker_hash_is_renewed_at_sign_in(server: RunningServer, api: httpx.AsyncClient):
    body = await register(api)
    users = server.store.collection("users")
    registered = await users.find_one({"_id": body["user"]["id"]})
    assert registered is not None
    weak = PasswordHasher(time_cost=1, memory_cost=32, parallelism=1).hash(PASSWORD)
    assert parameters_of(weak) != parameters_of(registered["password_hash"])
    await users.update_one({"_id": body["user"]["id"]}, {"$set": {"password_hash": weak}})
    for _ in range(2):
        answer = await api.post(
            "/api/auth/token/", json={"identifier": PHONE, "password": PASSWORD}
        )
        assert answer.status_code == 200
    document = await users.find_one({"_id": body["user"]["id"]})
    assert document is not None
    assert parameters_of(document["password_hash"]) == parameters_of(registered["password_hash"])


def parameters_of(password_hash: str) -> str:
    """Memory, time and lanes of an Argon2 text."""
    return password_hash.split("$")[3]


async def test_access_token_expires(api: httpx.AsyncClient, clock: FakeClock):
    headers = bearer((await register(api))["access"])
    clock.advance(minutes=9, seconds=59)
    assert (await api.get("/api/auth/me/", headers=headers)).status_code == 200
    clock.advance(seconds=1)
    answer = await api.get("/api/auth/me/", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_other_credentials_are_refused(api: httpx.AsyncClient):
    for header in ("Bearer", "Bearer x", "Bearer a.b.c", "Basic dTpw", "Bearer é"):
        answer = await api.get("/api/auth/me/", headers={b"Authorization": header.encode()})
        assert answer.status_code == 401, header


# -- refresh and sign-out ------------------------------------------------------------------------


async def test_refresh_rotates(api: httpx.AsyncClient, clock: FakeClock):
    token = (await register(api))["refresh"]
    for _ in range(3):
        clock.advance(days=20)
        answer = await api.post("/api/auth/token/refresh/", json={"refresh": token})
        assert answer.status_code == 200
        assert answer.json()["refresh"] != token
        token = answer.json()["refresh"]
        me = await api.get("/api/auth/me/", headers=bearer(answer.json()["access"]))
        assert me.status_code == 200


async def test_refresh_token_expires(api: httpx.AsyncClient, clock: FakeClock):
    token = (await register(api))["refresh"]
    clock.advance(days=30)
    answer = await api.post("/api/auth/token/refresh/", json={"refresh": token})
    assert (answer.status_code, answer.json()["type"]) == (401, "invalid-credentials")


async def test_refresh_token_used_twice_ends_the_whole_session(
    api: httpx.AsyncClient, ended: list[dict[str, str]]
):
    first = await register(api)
    second = (await api.post("/api/auth/token/refresh/", json={"refresh": first["refresh"]})).json()
    assert (await api.get("/api/auth/me/", headers=bearer(second["access"]))).status_code == 200
    again = await api.post("/api/auth/token/refresh/", json={"refresh": first["refresh"]})
    assert again.status_code == 401
    for access in (first["access"], second["access"]):
        assert (await api.get("/api/auth/me/", headers=bearer(access))).status_code == 401
    newest = await api.post("/api/auth/token/refresh/", json={"refresh": second["refresh"]})
    assert newest.status_code == 401
    assert [each["type"] for each in ended] == ["session_ended"]


async def test_of_racing_refreshes_one_wins_and_the_session_ends(
    api: httpx.AsyncClient, ended: list[dict[str, str]]
):
    token = (await register(api))["refresh"]
    answers = await asyncio.gather(
        *(api.post("/api/auth/token/refresh/", json={"refresh": token}) for _ in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19
    winner = next(answer.json() for answer in answers if answer.status_code == 200)
    assert (await api.get("/api/auth/me/", headers=bearer(winner["access"]))).status_code == 401
    late = await api.post("/api/auth/token/refresh/", json={"refresh": winner["refresh"]})
    assert late.status_code == 401
    assert {each["type"] for each in ended} == {"session_ended"}


async def test_reuse_ends_only_that_session(api: httpx.AsyncClient):
    stolen = (await register(api))["refresh"]
    other = (
        await api.post("/api/auth/token/", json={"identifier": PHONE, "password": PASSWORD})
    ).json()
    for _ in range(2):
        await api.post("/api/auth/token/refresh/", json={"refresh": stolen})
    assert (await api.get("/api/auth/me/", headers=bearer(other["access"]))).status_code == 200


async def test_knowing_the_session_id_signs_nobody_out(api: httpx.AsyncClient):
    body = await register(api)
    session_id, _, secret = body["refresh"].partition(".")
    for token in (
        session_id,
        f"{session_id}.",
        f"{session_id}.guess",
        f"{session_id}.guess~{secret.partition('~')[2]}",
        f"{session_id}.é",
        "nonsense",
    ):
        answer = await api.post("/api/auth/token/refresh/", json={"refresh": token})
        assert answer.status_code == 401
    answer = await api.post("/api/auth/token/refresh/", json={"refresh": body["refresh"]})
    assert answer.status_code == 200


async def test_refresh_tokens_are_stored_hashed(api: httpx.AsyncClient, server: RunningServer):
    body = await register(api)
    stored = await server.store.collection("sessions").find({}, limit=10)
    assert len(stored) == 1
    assert body["refresh"].partition(".")[2] not in str(stored)


async def test_pages_renew_access_without_using_up_the_refresh_token(
    api: httpx.AsyncClient, server: RunningServer, clock: FakeClock
):
    accounts, first = server.services.accounts, await register(api)
    clock.advance(minutes=30)
    renewed = await asyncio.gather(*(accounts.renew_access(first["refresh"]) for _ in range(5)))
    for each in renewed:
        assert (await accounts.actor_of(each.access)).user_id == first["user"]["id"]
    await accounts.refresh(first["refresh"])
    with pytest.raises(InvalidCredentials):
        await accounts.renew_access(first["refresh"])


async def test_sign_out_ends_both_tokens_at_once(
    api: httpx.AsyncClient, ended: list[dict[str, str]]
):
    body = await register(api)
    other = (
        await api.post("/api/auth/token/", json={"identifier": PHONE, "password": PASSWORD})
    ).json()
    answer = await api.post("/api/auth/logout/", headers=bearer(body["access"]))
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await api.get("/api/auth/me/", headers=bearer(body["access"]))).status_code == 401
    refreshed = await api.post("/api/auth/token/refresh/", json={"refresh": body["refresh"]})
    assert refreshed.status_code == 401
    assert (await api.get("/api/auth/me/", headers=bearer(other["access"]))).status_code == 200
    session_id = body["refresh"].partition(".")[0]
    assert ended == [{"type": "session_ended", "session_id": session_id}]
    assert (await api.post("/api/auth/logout/")).status_code == 401


async def test_deactivated_account_is_out_at_once(
    api: httpx.AsyncClient,
    server: RunningServer,
    code_sender: CapturingCodeSender,
    ended: list[dict[str, str]],
):
    body = await register(api, role="pandit")
    user_id = body["user"]["id"]
    await server.services.accounts.deactivate(user_id)
    assert (await api.get("/api/auth/me/", headers=bearer(body["access"]))).status_code == 401
    for path, json_body in (
        ("/api/auth/token/refresh/", {"refresh": body["refresh"]}),
        ("/api/auth/token/", {"identifier": PHONE, "password": PASSWORD}),
    ):
        assert (await api.post(path, json=json_body)).status_code == 401
    assert (await api.post("/api/auth/otp/", json={"phone_number": PHONE})).status_code == 200
    assert code_sender.sent == {}
    assert ended == [{"type": "user_ended", "user_id": user_id}]
    profile = await server.store.collection("pandits").find_one({"user_id": user_id})
    assert profile is not None
    assert profile["is_available"] is False


# -- the site's cookies --------------------------------------------------------------------------


@pytest.fixture
async def site(api: httpx.AsyncClient, people: People) -> httpx.AsyncClient:
    """A client with the cookies of a sign-in and an XSRF token, as the site's pages give them."""
    body = await register(api)
    client = await people.nobody()
    client.cookies.update(
        {"access": body["access"], "refresh": body["refresh"], "_xsrf": "0123456789abcdef"}
    )
    client.headers["X-XSRFToken"] = "0123456789abcdef"
    return client


async def test_cookie_refresh_sets_cookies_and_tells_no_token(site: httpx.AsyncClient):
    before = {name: site.cookies[name] for name in ("access", "refresh")}
    answer = await site.post("/api/auth/token/refresh/")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["access"], answer.json()["refresh"]) == (None, None)
    set_cookies = answer.headers.get_list("Set-Cookie")
    assert len(set_cookies) == 2
    for line in set_cookies:
        assert "HttpOnly" in line
        assert "SameSite=Lax" in line
        assert "Path=/" in line
        assert "Domain" not in line
    values = {
        line.partition("=")[0]: line.partition("=")[2].partition(";")[0] for line in set_cookies
    }
    assert all(values[name] != before[name] for name in before)
    me = await site.get("/api/auth/me/", headers={"Cookie": f"access={values['access']}"})
    assert me.status_code == 200


async def test_cookie_refresh_from_another_site_is_refused(site: httpx.AsyncClient):
    headers = {"X-XSRFToken": "something-else-entirely"}
    answer = await site.post("/api/auth/token/refresh/", headers=headers)
    assert answer.status_code == 403
    assert (await site.post("/api/auth/token/refresh/")).status_code == 200


async def test_dead_refresh_cookie_is_cleared(site: httpx.AsyncClient, clock: FakeClock):
    clock.advance(days=31)
    answer = await site.post("/api/auth/token/refresh/")
    assert answer.status_code == 401
    cleared = [line for line in answer.headers.get_list("Set-Cookie") if '=""' in line]
    assert {line.partition("=")[0] for line in cleared} == {"access", "refresh"}


async def test_refresh_without_any_token_is_refused(api: httpx.AsyncClient):
    assert (await api.post("/api/auth/token/refresh/")).status_code == 401


async def test_cookie_sign_out_needs_the_page_and_clears_the_cookies(site: httpx.AsyncClient):
    refused = await site.post("/api/auth/logout/", headers={"X-XSRFToken": "another-token"})
    assert refused.status_code == 403
    answer = await site.post("/api/auth/logout/")
    assert answer.status_code == 204
    assert {line.partition("=")[0] for line in answer.headers.get_list("Set-Cookie")} == {
        "access",
        "refresh",
    }


async def test_secure_cookies_are_bound_to_the_host(
    settings: Settings, clock: FakeClock, server: RunningServer, api: httpx.AsyncClient
):
    body = await register(api)
    http = dataclasses.replace(settings.http, secure_cookies=True)
    async with open_server(dataclasses.replace(settings, http=http), clock=clock) as secure:
        token = "0123456789abcdef"
        answer = await api.post(
            f"http://127.0.0.1:{secure.port}/api/auth/token/refresh/",
            headers={
                "Cookie": f"__Host-refresh={body['refresh']}; _xsrf={token}",
                "X-XSRFToken": token,
            },
        )
    assert answer.status_code == 200, answer.text
    lines = answer.headers.get_list("Set-Cookie")
    assert {line.partition("=")[0] for line in lines} == {"__Host-access", "__Host-refresh"}
    assert all("Secure" in line for line in lines)


# -- one-time codes ------------------------------------------------------------------------------


async def ask_code(api: httpx.AsyncClient, phone: str = PHONE) -> httpx.Response:
    return await api.post("/api/auth/otp/", json={"phone_number": phone})


async def verify(api: httpx.AsyncClient, code: str, phone: str = PHONE) -> httpx.Response:
    return await api.post("/api/auth/otp/verify/", json={"phone_number": phone, "code": code})


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def test_code_signs_in_once(api: httpx.AsyncClient, code_sender: CapturingCodeSender):
    await register(api)
    assert (await ask_code(api)).status_code == 200
    code = code_sender.sent[E164]
    assert len(code) == 6
    assert code.isdecimal()
    answer = await verify(api, code)
    assert answer.status_code == 200
    me = await api.get("/api/auth/me/", headers=bearer(answer.json()["access"]))
    assert me.json()["phone_number"] == E164
    assert (await verify(api, code)).status_code == 401


async def test_code_in_devanagari_digits_is_understood(
    api: httpx.AsyncClient, code_sender: CapturingCodeSender
):
    await register(api)
    await ask_code(api, "९८४१०००००१")
    code = code_sender.sent[E164].translate(str.maketrans("0123456789", "०१२३४५६७८९"))
    assert (await verify(api, f"{code[:3]} {code[3:]}")).status_code == 200


async def test_of_racing_verifications_one_signs_in(
    api: httpx.AsyncClient, code_sender: CapturingCodeSender
):
    await register(api)
    await ask_code(api)
    answers = await asyncio.gather(*(verify(api, code_sender.sent[E164]) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 4


async def test_sixth_try_is_refused_even_when_right(
    api: httpx.AsyncClient, code_sender: CapturingCodeSender
):
    await register(api)
    await ask_code(api)
    code = code_sender.sent[E164]
    for _ in range(5):
        assert (await verify(api, wrong(code))).status_code == 401
    assert (await verify(api, code)).status_code == 401


async def test_fifth_try_may_still_be_right(
    api: httpx.AsyncClient, code_sender: CapturingCodeSender
):
    await register(api)
    await ask_code(api)
    code = code_sender.sent[E164]
    await asyncio.gather(*(verify(api, wrong(code)) for _ in range(4)))
    assert (await verify(api, code)).status_code == 200


async def test_code_expires(
    api: httpx.AsyncClient, code_sender: CapturingCodeSender, clock: FakeClock
):
    await register(api)
    await ask_code(api)
    clock.advance(minutes=5)
    assert (await verify(api, code_sender.sent[E164])).status_code == 401


async def test_new_code_comes_after_a_minute_and_replaces_the_old_one(
    api: httpx.AsyncClient, code_sender: CapturingCodeSender, clock: FakeClock
):
    await register(api)
    await ask_code(api)
    old = code_sender.sent[E164]
    clock.advance(seconds=45)
    answer = await ask_code(api)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "15")
    clock.advance(seconds=15)
    assert (await ask_code(api)).status_code == 200
    new = code_sender.sent[E164]
    if old != new:
        assert (await verify(api, old)).status_code == 401
    assert (await verify(api, new)).status_code == 200


async def test_code_answers_are_the_same_without_an_account(
    api: httpx.AsyncClient, code_sender: CapturingCodeSender
):
    await register(api)
    seen = []
    for phone in (PHONE, "9841999999"):
        answers = [await ask_code(api, phone), await ask_code(api, phone)]
        # No code has seven digits, so this one is wrong for both.
        answers += [await verify(api, "1234567", phone) for _ in range(6)]
        seen.append(
            [
                (
                    answer.status_code,
                    {**answer.json(), "request_id": ""},
                    answer.headers.get("Retry-After"),
                )
                for answer in answers
            ]
        )
    assert seen[0] == seen[1]
    assert [status for status, *_ in seen[0]] == [200, 429] + [401] * 6
    assert list(code_sender.sent) == [E164]


async def test_codes_are_stored_as_keyed_hashes(
    api: httpx.AsyncClient, code_sender: CapturingCodeSender, server: RunningServer
):
    await register(api)
    await ask_code(api)
    code = code_sender.sent[E164]
    stored = await server.store.collection("codes").find({}, limit=5)
    (stored_code,) = (document for document in stored if "code_hash" in document)
    assert stored_code["phone_number"] == E164
    # A million codes are soon hashed: without the server's key none of these may be the stored one.
    for text in (code, f"{E164}|{code}", f"{code}|{E164}"):
        assert stored_code["code_hash"] != hashlib.sha256(text.encode()).hexdigest()
    assert not any(code in document.values() for document in stored)


@pytest.mark.parametrize("path", ["/api/auth/otp/", "/api/auth/otp/verify/"])
async def test_code_for_no_phone_is_refused(api: httpx.AsyncClient, path: str):
    body = {"phone_number": "12345"} | ({"code": "123456"} if "verify" in path else {})
    assert faults(await api.post(path, json=body)) == {("phone_number", "phone")}


# -- whose phone it is ---------------------------------------------------------------------------


async def signed_in_by_code(
    api: httpx.AsyncClient, code_sender: CapturingCodeSender, clock: FakeClock
) -> dict[str, Any]:
    clock.advance(seconds=61)
    code_sender.sent.clear()
    assert (await ask_code(api)).status_code == 200
    answer = await verify(api, await code_sender.wait_for(E164))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_whoever_registered_a_number_first_loses_it_to_its_owner(
    people: People,
    api: httpx.AsyncClient,
    server: RunningServer,
    code_sender: CapturingCodeSender,
    clock: FakeClock,
    ended: list[dict[str, str]],
):
    squatter = await register(api, email="squatter@example.com", username="squatter")
    more = await api.post("/api/auth/token/", json={"identifier": PHONE, "password": PASSWORD})
    sessions = {squatter["refresh"], more.json()["refresh"]}
    async with notification_socket(server.port, squatter["access"]) as socket:
        owner = await signed_in_by_code(api, code_sender, clock)
        assert await socket.closed() == CloseCode.NOT_SIGNED_IN
    assert owner["user"]["id"] == squatter["user"]["id"]
    assert (owner["user"]["email"], owner["user"]["username"]) == (None, None)
    assert (more.json()["is_phone_new"], owner["is_phone_new"]) == (False, True)
    again = await signed_in_by_code(api, code_sender, clock)
    assert not again["is_phone_new"]
    assert {each["session_id"] for each in ended} == {token.partition(".")[0] for token in sessions}
    me = "/api/auth/me/"
    assert (await api.get(me, headers=bearer(owner["access"]))).status_code == 200
    for access in (squatter["access"], more.json()["access"]):
        assert (await api.get(me, headers=bearer(access))).status_code == 401
    for token in sessions:
        answer = await api.post("/api/auth/token/refresh/", json={"refresh": token})
        assert answer.status_code == 401
    for identifier in (PHONE, "squatter", "squatter@example.com"):
        body = {"identifier": identifier, "password": PASSWORD}
        assert (await api.post("/api/auth/token/", json=body)).status_code == 401, identifier
    admin = await people.admin()
    found = await admin.api.get("/api/admin/users/", params={"q": "squatter"})
    assert found.json()["results"] == [], "what is searched for went, too"


async def test_a_verified_number_keeps_its_password_and_its_sign_ins(
    api: httpx.AsyncClient, code_sender: CapturingCodeSender, clock: FakeClock
):
    await register(api)
    first = await signed_in_by_code(api, code_sender, clock)
    body = {"new_password": "a newer passphrase"}
    answer = await api.post("/api/auth/password/", json=body, headers=bearer(first["access"]))
    assert (answer.status_code, answer.content) == (204, b"")
    await signed_in_by_code(api, code_sender, clock)
    assert (await api.get("/api/auth/me/", headers=bearer(first["access"]))).status_code == 200
    again = {"identifier": PHONE, "password": "a newer passphrase"}
    assert (await api.post("/api/auth/token/", json=again)).status_code == 200


async def test_account_stored_before_phones_were_verified_counts_as_unverified(
    api: httpx.AsyncClient,
    server: RunningServer,
    code_sender: CapturingCodeSender,
    clock: FakeClock,
):
    body = await register(api)
    users = server.store.collection("users")
    document = await users.find_one({"_id": body["user"]["id"]})
    assert document is not None
    for name in ("phone_verified_at", "generation"):
        del document[name]
    assert await users.replace_one({"_id": document["_id"]}, document)
    assert (await api.get("/api/auth/me/", headers=bearer(body["access"]))).status_code == 200
    await signed_in_by_code(api, code_sender, clock)
    assert (await api.get("/api/auth/me/", headers=bearer(body["access"]))).status_code == 401


# -- passwords -----------------------------------------------------------------------------------


NEW = "a newer passphrase"


async def test_a_new_password_needs_the_old_one_and_ends_other_sign_ins(
    api: httpx.AsyncClient, ended: list[dict[str, str]]
):
    first = await register(api)
    second = (
        await api.post("/api/auth/token/", json={"identifier": PHONE, "password": PASSWORD})
    ).json()
    own = bearer(first["access"])
    for body, fault in (
        ({"new_password": NEW}, ("old_password", "required")),
        ({"new_password": NEW, "old_password": "wrong"}, ("old_password", "password-wrong")),
        ({"new_password": "1", "old_password": PASSWORD}, ("new_password", "password-weak")),
        ({"new_password": PHONE, "old_password": PASSWORD}, ("new_password", "password-weak")),
    ):
        assert faults(await api.post("/api/auth/password/", json=body, headers=own)) == {fault}
    assert ended == []
    body = {"new_password": NEW, "old_password": PASSWORD}
    assert (await api.post("/api/auth/password/", json=body, headers=own)).status_code == 204
    assert [each["session_id"] for each in ended] == [second["refresh"].partition(".")[0]]
    assert (await api.get("/api/auth/me/", headers=own)).status_code == 200
    other = bearer(second["access"])
    assert (await api.get("/api/auth/me/", headers=other)).status_code == 401
    renewed = await api.post("/api/auth/token/refresh/", json={"refresh": first["refresh"]})
    assert renewed.status_code == 200
    for password, status in ((PASSWORD, 401), (NEW, 200)):
        typed = {"identifier": PHONE, "password": password}
        assert (await api.post("/api/auth/token/", json=typed)).status_code == status


async def test_a_code_stands_for_the_old_password_for_a_quarter_of_an_hour(
    api: httpx.AsyncClient, code_sender: CapturingCodeSender, clock: FakeClock
):
    await register(api)
    own = bearer((await signed_in_by_code(api, code_sender, clock))["access"])
    for password in (NEW, PASSWORD):
        body = {"new_password": password}
        assert (await api.post("/api/auth/password/", json=body, headers=own)).status_code == 204
    late = await signed_in_by_code(api, code_sender, clock)
    clock.advance(minutes=15)
    renewed = await api.post("/api/auth/token/refresh/", json={"refresh": late["refresh"]})
    own = bearer(renewed.json()["access"])
    answer = await api.post("/api/auth/password/", json={"new_password": NEW}, headers=own)
    assert faults(answer) == {("old_password", "required")}


# -- one's own profile ---------------------------------------------------------------------------


async def test_profile_is_changed_field_by_field(people: People):
    person = await people.customer()
    changes = {
        "full_name": "Sita Devi Sharma",
        "email": "Sita@example.com",
        "language": "ne",
        "timezone": "Europe/London",
        "profile_pic_url": "/files/0f3a",
        "location": {
            "area": "Patan",
            "city": "Lalitpur",
            "address": "House 7",
            "point": {"latitude": 27.67, "longitude": 85.32},
        },
    }
    answer = await person.api.patch("/api/auth/me/", json=changes)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert {name: body[name] for name in changes} == {**changes, "email": "sita@example.com"}
    assert body["created_at"] == "2026-11-22T04:15:00Z"
    assert (await person.api.get("/api/auth/me/")).json() == body
    cleared = await person.api.patch("/api/auth/me/", json={"email": None, "location": None})
    assert (cleared.json()["email"], cleared.json()["location"]) == (None, None)
    assert cleared.json()["full_name"] == "Sita Devi Sharma"
    assert (await person.api.patch("/api/auth/me/", json={})).json() == cleared.json()


BAD_CHANGES: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"role": "admin"}, ("role", "unknown")),
    ({"role": "pandit"}, ("role", "unknown")),
    ({"is_verified": True}, ("is_verified", "unknown")),
    ({"is_active": True}, ("is_active", "unknown")),
    ({"balance": 100}, ("balance", "unknown")),
    ({"id": "x"}, ("id", "unknown")),
    ({"password_hash": "x"}, ("password_hash", "unknown")),
    ({"phone_number": "9841000009"}, ("phone_number", "unknown")),
    ({"full_name": None}, ("full_name", "type")),
    ({"full_name": " "}, ("full_name", "empty")),
    ({"email": "x"}, ("email", "email")),
    ({"language": "fr"}, ("language", "choice")),
    ({"timezone": "Mars/Olympus"}, ("timezone", "timezone")),
    ({"timezone": "../../etc/passwd"}, ("timezone", "timezone")),
    ({"profile_pic_url": "https://example.com/x.png"}, ("profile_pic_url", "pattern")),
    ({"profile_pic_url": "//example.com/files/x"}, ("profile_pic_url", "pattern")),
    ({"profile_pic_url": "/files/../admin"}, ("profile_pic_url", "pattern")),
    ({"profile_pic_url": "javascript:alert(1)"}, ("profile_pic_url", "pattern")),
    ({"location": {"city": "x", "rating": 5}}, ("location", "type")),
    (
        {"location": {"point": {"latitude": 91, "longitude": 0}}},
        ("location.point.latitude", "range"),
    ),
]


async def test_bad_change_is_refused_and_changes_nothing(people: People):
    person = await people.customer()
    before = (await person.api.get("/api/auth/me/")).json()
    for changes, fault in BAD_CHANGES:
        answer = await person.api.patch("/api/auth/me/", json={"timezone": "UTC", **changes})
        assert faults(answer) == {fault}, changes
        assert (await person.api.get("/api/auth/me/")).json() == before


async def test_email_of_somebody_else_is_refused(people: People):
    first, second = await people.customer(), await people.customer()
    await first.api.patch("/api/auth/me/", json={"email": "sita@example.com"})
    answer = await second.api.patch("/api/auth/me/", json={"email": "SITA@example.com"})
    assert (answer.status_code, answer.json()["type"]) == (409, "already-exists")


async def test_new_name_and_picture_reach_the_pandit_page(people: People):
    person = await people.unverified_pandit()
    changes = {"full_name": "Hari Prasad", "profile_pic_url": "/files/0f3a"}
    assert (await person.api.patch("/api/auth/me/", json=changes)).status_code == 200
    shown = (await person.api.get("/api/pandits/me/")).json()["user"]
    assert {name: shown[name] for name in changes} == changes


async def test_refusals_speak_the_language_of_the_reader(people: People):
    person = await people.customer()
    english = await person.api.patch("/api/auth/me/", json={"timezone": "Mars/Olympus"})
    assert english.headers["Content-Type"].startswith("application/problem+json")
    assert english.json()["errors"][0]["message"] == "This is not a known time zone."


# -- limits --------------------------------------------------------------------------------------


@pytest.fixture
async def strict(
    settings: Settings, clock: FakeClock, code_sender: CapturingCodeSender
) -> AsyncIterator[httpx.AsyncClient]:
    """A server whose doors take three uses an hour."""
    limits = dataclasses.replace(settings.limits, **dict.fromkeys(_DOORS, "3/hour"))
    strict_settings = dataclasses.replace(settings, limits=limits)
    async with (
        open_server(strict_settings, clock=clock, sender=code_sender) as running,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client,
    ):
        yield client
        await running.store.drop()


_ACCOUNT_DOORS = ("sign_in", "register", "code", "code_verify")
_DOORS = (*_ACCOUNT_DOORS, *(f"{door}_address" for door in _ACCOUNT_DOORS), "refresh", "bad_token")


@pytest.mark.parametrize("path", ["/api/auth/me/", "/api/bookings/", "/"])
@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
async def test_tokens_that_do_not_hold_are_counted(
    strict: httpx.AsyncClient, path: str, scheme: str
):
    headers = {"Authorization": f"{scheme} x"}
    assert [(await strict.get(path, headers=headers)).status_code for _ in range(3)] == [401] * 3
    answer = await strict.get(path, headers=headers)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600
    assert (await strict.get("/api/auth/me/")).status_code == 401, "no token is not a bad one"


async def test_whoever_is_refused_is_counted_too(
    settings: Settings, clock: FakeClock, code_sender: CapturingCodeSender
):
    strict_settings = dataclasses.replace(
        settings, limits=dataclasses.replace(settings.limits, read="3/hour")
    )
    async with (
        open_server(strict_settings, clock=clock, sender=code_sender) as running,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client,
    ):
        statuses = [(await client.get("/api/auth/me/")).status_code for _ in range(4)]
        assert statuses == [401, 401, 401, 429]
        await running.store.drop()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/auth/token/", {"identifier": "nobody", "password": PASSWORD}),
        ("/api/auth/register/", registration(password="x")),
        ("/api/auth/otp/", {"phone_number": "12345"}),
        ("/api/auth/otp/verify/", {"phone_number": PHONE, "code": "1"}),
        ("/api/auth/token/refresh/", {"refresh": "x"}),
    ],
)
async def test_every_door_of_sign_in_is_limited(
    strict: httpx.AsyncClient, path: str, body: dict[str, Any]
):
    statuses = [(await strict.post(path, json=body)).status_code for _ in range(3)]
    assert 429 not in statuses
    answer = await strict.post(path, json=body)
    assert answer.status_code == 429
    assert answer.json()["type"] == "rate-limited"
    assert 1 <= int(answer.headers["Retry-After"]) <= 3600


@pytest.fixture
async def as_shipped(
    settings: Settings, clock: FakeClock, code_sender: CapturingCodeSender
) -> AsyncIterator[httpx.AsyncClient]:
    """A server with the limits that it has when nobody sets any."""
    with_limits = dataclasses.replace(settings, limits=LimitSettings())
    async with (
        open_server(with_limits, clock=clock, sender=code_sender) as running,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client,
    ):
        yield client
        await running.store.drop()


async def test_many_people_behind_one_address_of_a_carrier_get_in(
    as_shipped: httpx.AsyncClient, clock: FakeClock
):
    async def ask(number: int) -> int:
        body = {"phone_number": f"98410000{number:02}"}
        return (await as_shipped.post("/api/auth/otp/", json=body)).status_code

    async def sign_in(number: int) -> int:
        body = {"identifier": f"98410000{number:02}", "password": "a wrong passphrase"}
        return (await as_shipped.post("/api/auth/token/", json=body)).status_code

    assert [await ask(number) for number in range(6)] == [200] * 6
    assert [await sign_in(number) for number in range(11)] == [401] * 11
    for _ in range(4):
        clock.advance(seconds=61)
        assert await ask(1) == 200
    clock.advance(seconds=61)
    assert await ask(1) == 429
    assert await ask(11) == 200
    assert [await sign_in(1) for _ in range(9)] == [401] * 9
    assert await sign_in(1) == 429


async def test_a_token_that_has_run_out_is_not_counted_as_a_bad_one(
    strict: httpx.AsyncClient, clock: FakeClock
):
    registered = (await strict.post("/api/auth/register/", json=registration())).json()
    clock.advance(minutes=11)
    old = {"Authorization": f"Bearer {registered['access']}"}
    statuses = [(await strict.get("/api/auth/me/", headers=old)).status_code for _ in range(8)]
    assert statuses == [401] * 8


@pytest.mark.logs_errors("request")
async def test_without_a_sender_nobody_signs_in_by_code_and_the_page_says_so(
    settings: Settings, clock: FakeClock
):
    auth = dataclasses.replace(settings.auth, code_sender="off")
    async with (
        open_server(dataclasses.replace(settings, auth=auth), clock=clock) as running,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client,
    ):
        refused = await client.post("/api/auth/otp/", json={"phone_number": PHONE})
        assert (refused.status_code, refused.json()["type"]) == (503, "no-codes")
        assert "/sign-in/code/" not in (await client.get("/sign-in/")).text
        await running.store.drop()


@pytest.mark.parametrize("form", ["9841000001", "+9779841000001", "९८४१०००००१"])
async def test_one_account_cannot_be_tried_from_many_addresses(
    settings: Settings, clock: FakeClock, form: str
):
    limits: LimitSettings = dataclasses.replace(settings.limits, sign_in_failed_account="3/hour")
    http = dataclasses.replace(settings.http, trusted_proxies=("127.0.0.1",))
    strict_settings = dataclasses.replace(settings, limits=limits, http=http)
    async with (
        open_server(strict_settings, clock=clock) as running,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client,
    ):

        async def sign_in(identifier: str, address: str) -> int:
            answer = await client.post(
                "/api/auth/token/",
                json={"identifier": identifier, "password": "a wrong passphrase"},
                headers={"X-Forwarded-For": address},
            )
            return answer.status_code

        statuses = [await sign_in(PHONE, f"198.51.100.{n}") for n in range(3)]
        assert statuses == [401, 401, 401]
        assert await sign_in(form, "198.51.100.9") == 429
        assert await sign_in("9841000002", "198.51.100.9") == 401
        await running.store.drop()


_FORMS: list[tuple[str, dict[str, str]]] = [
    ("/sign-in/", {"identifier": "98110000{n:02}", "password": PASSWORD}),
    ("/sign-in/code/", {"phone_number": "98110000{n:02}"}),
    ("/sign-in/code/", {"phone_number": "98110000{n:02}", "code": "123456"}),
    (
        "/register/",
        {
            "full_name": "Eve",
            "phone_number": "98110000{n:02}",
            "password": PASSWORD,
            "role": "user",
        },
    ),
]


@pytest.mark.parametrize(("path", "form"), _FORMS)
async def test_whoever_is_signed_in_is_counted_by_address_at_the_doors_of_sign_in(
    strict: httpx.AsyncClient, path: str, form: dict[str, str]
):
    async def knock(number: int, token: str) -> int:
        strict.cookies.set("_xsrf", "0123456789abcdef")
        strict.cookies.set("access", token)
        typed = {name: each.format(n=number) for name, each in form.items()}
        answer = await strict.post(path, data={"_xsrf": "0123456789abcdef", **typed})
        return answer.status_code

    people = [await register(strict, phone_number=f"984200000{n}") for n in range(2)]
    # Those two have come through the door for registrations.
    left = 1 if path == "/register/" else 3
    statuses = [await knock(n, people[n % 2]["access"]) for n in range(left)]
    assert 429 not in statuses
    strict.cookies.clear()
    again = await knock(50, people[0]["access"])
    assert (again, await knock(51, people[1]["access"])) == (429, 429)


async def test_a_household_counts_as_one_address(settings: Settings, clock: FakeClock):
    limits: LimitSettings = dataclasses.replace(settings.limits, read="3/hour")
    http = dataclasses.replace(settings.http, trusted_proxies=("127.0.0.1",))
    strict_settings = dataclasses.replace(settings, limits=limits, http=http)
    async with (
        open_server(strict_settings, clock=clock) as running,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client,
    ):

        async def look(address: str) -> int:
            headers = {"X-Forwarded-For": address}
            return (await client.get("/api/pujas/", headers=headers)).status_code

        household = [f"2001:db8:0:7:{n:x}::{n:x}" for n in range(1, 5)]
        assert [await look(each) for each in household] == [200, 200, 200, 429]
        assert await look("2001:db8:0:8::1") == 200
        mapped = [f"::ffff:198.51.100.{n}" for n in range(4)]
        assert [await look(each) for each in mapped] == [200] * 4
        # A phone that sends its registration again does so from another of its addresses.
        sent = [
            await client.post(
                "/api/auth/register/",
                json=registration(),
                headers={"X-Forwarded-For": each, "Idempotency-Key": "registration-1"},
            )
            for each in household[:2]
        ]
        assert [answer.status_code for answer in sent] == [201, 201]
        assert sent[1].headers["Idempotent-Replayed"] == "true"
        await running.store.drop()


WRONG = "wrong passphrase"


@dataclasses.dataclass
class Doorstep:
    """Somebody who comes from addresses of his choice, with or without a browser's cookies."""

    client: httpx.AsyncClient

    async def knock(self, address: str, password: str = WRONG, **cookies: str) -> int:
        """Sign in by the form; returns the status."""
        self.client.cookies.clear()
        self.client.cookies.update({"_xsrf": "0123456789abcdef", **cookies})
        answer = await self.client.post(
            "/sign-in/",
            data={"_xsrf": "0123456789abcdef", "identifier": PHONE, "password": password},
            headers={"X-Forwarded-For": address},
        )
        return answer.status_code

    async def send(self, path: str, address: str, **fields: str) -> int:
        """Ask for a code, or enter it, over REST; returns the status."""
        answer = await self.client.post(
            path,
            json={"phone_number": PHONE, **fields},
            headers={"X-Forwarded-For": address},
        )
        return answer.status_code

    async def call(self, address: str, password: str = WRONG) -> int:
        """Sign in over REST, without cookies; returns the status."""
        self.client.cookies.clear()
        answer = await self.client.post(
            "/api/auth/token/",
            json={"identifier": PHONE, "password": password},
            headers={"X-Forwarded-For": address},
        )
        return answer.status_code


@pytest.fixture
async def doorstep(
    settings: Settings, clock: FakeClock, code_sender: CapturingCodeSender
) -> AsyncIterator[Doorstep]:
    """A server that takes five tries from an address, three wrong ones, and six from all."""
    limits: LimitSettings = dataclasses.replace(
        settings.limits,
        sign_in="5/hour",
        sign_in_failed="3/hour",
        sign_in_failed_account="6/hour",
        code="3/hour",
        code_account="5/hour",
        register="2/hour",
    )
    http = dataclasses.replace(settings.http, trusted_proxies=("127.0.0.1",))
    strict_settings = dataclasses.replace(settings, limits=limits, http=http)
    async with (
        open_server(strict_settings, clock=clock, sender=code_sender) as running,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client,
    ):
        await running.services.accounts.create_admin("Admin Thapa", PHONE, PASSWORD)
        yield Doorstep(client)
        await running.store.drop()


ATTACKER, OWNER = "198.51.100.1", "203.0.113.1"


async def test_who_knows_a_number_does_not_keep_its_owner_out(doorstep: Doorstep):
    tries = [await doorstep.call(ATTACKER) for _ in range(3)]
    tries += [await doorstep.knock(ATTACKER) for _ in range(3)]
    assert tries == [401] * 3 + [429] * 3
    assert await doorstep.call(ATTACKER, PASSWORD) == 429
    assert await doorstep.call(OWNER, PASSWORD) == 200
    assert await doorstep.knock(OWNER, PASSWORD) == 303


async def test_who_knows_a_number_does_not_use_up_its_owners_codes(
    doorstep: Doorstep, code_sender: CapturingCodeSender, clock: FakeClock
):
    async def ask(address: str) -> int:
        clock.advance(seconds=61)
        code_sender.sent.clear()
        return await doorstep.send("/api/auth/otp/", address)

    async def enter(address: str, code: str) -> int:
        return await doorstep.send("/api/auth/otp/verify/", address, code=code)

    assert [await ask(ATTACKER) for _ in range(4)] == [200, 200, 200, 429]
    assert await ask(OWNER) == 200
    code = await code_sender.wait_for(E164)
    tries = [await enter(f"198.51.100.{n}", wrong(code)) for n in range(8)]
    assert tries == [401] * 8
    assert await enter("198.51.100.9", code) == 401, "for others the tries are used up"
    assert await enter(OWNER, code) == 200
    assert [await ask(f"203.0.113.{n}") for n in range(2)] == [200, 429]


async def test_a_stranger_who_asks_too_does_not_void_the_owners_code(
    doorstep: Doorstep, code_sender: CapturingCodeSender, clock: FakeClock
):
    async def enter(address: str, code: str) -> int:
        return await doorstep.send("/api/auth/otp/verify/", address, code=code)

    assert await doorstep.send("/api/auth/otp/", OWNER) == 200
    code = await code_sender.wait_for(E164)
    clock.advance(seconds=59)
    assert await doorstep.send("/api/auth/otp/", ATTACKER) == 429, "the pause is the number's"
    clock.advance(seconds=2)
    assert await doorstep.send("/api/auth/otp/", ATTACKER) == 200
    assert [await enter(ATTACKER, "x") for _ in range(6)] == [401] * 6
    assert await enter(ATTACKER, code) == 401, "for others the tries are used up"
    assert await enter(OWNER, code) == 200
    assert await enter(OWNER, code) == 401


async def test_a_known_browser_gets_a_code_while_strangers_have_used_up_all(
    doorstep: Doorstep, clock: FakeClock
):
    async def ask(address: str, **cookies: str) -> int:
        clock.advance(seconds=61)
        doorstep.client.cookies.clear()
        doorstep.client.cookies.update(cookies)
        return await doorstep.send("/api/auth/otp/", address)

    assert await doorstep.knock(OWNER, PASSWORD) == 303
    known = doorstep.client.cookies["known"]
    strangers = [await ask(f"198.51.100.{n % 2}") for n in range(6)]
    assert strangers == [200] * 5 + [429]
    assert await ask(OWNER) == 429
    # A stolen cookie is no way to send more, from whatever address.
    asked = [await ask(f"203.0.113.{n}", known=known) for n in range(1, 5)]
    assert asked == [200] * 3 + [429]


async def test_signing_in_rightly_uses_up_nothing_but_the_short_limit(doorstep: Doorstep):
    assert [await doorstep.call(OWNER, PASSWORD) for _ in range(5)] == [200] * 5
    assert await doorstep.call(OWNER, PASSWORD) == 429
    assert await doorstep.call("203.0.113.2", PASSWORD) == 200


async def test_a_browser_that_the_account_knows_is_counted_for_itself(doorstep: Doorstep):
    assert await doorstep.knock(OWNER, PASSWORD) == 303
    known = doorstep.client.cookies["known"]
    for n in range(1, 3):
        assert [await doorstep.call(f"198.51.100.{n}") for _ in range(3)] == [401] * 3
    assert await doorstep.knock("203.0.113.2", PASSWORD) == 429, "all together are too many"
    assert await doorstep.knock("203.0.113.3", PASSWORD, known=known) == 303
    # Whoever has got hold of the browser's cookie guesses no oftener by it, from any address.
    stolen = [await doorstep.knock(f"192.0.2.{n}", known=known) for n in range(4)]
    assert stolen == [422, 422, 422, 429]
    forged = known[:-4] + "0000"
    assert await doorstep.knock("203.0.113.4", PASSWORD, known=forged) == 429


async def test_a_known_browser_is_counted_apart_from_the_address_that_it_shares(
    doorstep: Doorstep, code_sender: CapturingCodeSender, clock: FakeClock
):
    async def send(path: str, known: str = "", **fields: str) -> int:
        doorstep.client.cookies.clear()
        doorstep.client.cookies.update({"known": known} if known else {})
        return await doorstep.send(path, OWNER, **fields)

    async def ask(known: str = "") -> int:
        clock.advance(seconds=61)
        code_sender.sent.clear()
        return await send("/api/auth/otp/", known)

    assert await doorstep.knock(OWNER, PASSWORD) == 303
    known = doorstep.client.cookies["known"]
    assert [await doorstep.call(OWNER) for _ in range(3)] == [401] * 3
    assert await doorstep.call(OWNER, PASSWORD) == 429, "others behind the address are too many"
    assert await doorstep.knock(OWNER, PASSWORD, known=known) == 303
    assert [await ask() for _ in range(4)] == [200, 200, 200, 429]
    assert await ask(known) == 200
    code = await code_sender.wait_for(E164)
    verify = "/api/auth/otp/verify/"
    assert [await send(verify, code=wrong(code)) for _ in range(6)] == [401] * 6
    assert await send(verify, code=code) == 401, "for others the tries are used up"
    assert await send(verify, known, code=code) == 200


async def test_who_asks_for_a_code_too_soon_uses_up_none(doorstep: Doorstep, clock: FakeClock):
    asked = [await doorstep.send("/api/auth/otp/", OWNER) for _ in range(6)]
    assert asked == [200] + [429] * 5
    clock.advance(seconds=61)
    assert await doorstep.send("/api/auth/otp/", OWNER) == 200


async def test_who_knows_a_number_does_not_keep_its_owner_from_registering(doorstep: Doorstep):
    async def send(address: str, **more: str) -> int:
        body = registration(phone_number="9841000009", **more)
        where = {"X-Forwarded-For": address}
        answer = await doorstep.client.post("/api/auth/register/", json=body, headers=where)
        return answer.status_code

    assert [await send(ATTACKER, password="x") for _ in range(3)] == [422, 422, 429]
    assert await send(OWNER) == 201


async def test_where_no_codes_are_sent_a_browser_is_known_by_its_password(
    settings: Settings, clock: FakeClock
):
    auth = dataclasses.replace(settings.auth, code_sender="off")
    async with (
        open_server(dataclasses.replace(settings, auth=auth), clock=clock) as running,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client,
    ):
        await register(client)
        token = {"_xsrf": "0123456789abcdef"}
        client.cookies.update(token)
        form = {**token, "identifier": PHONE, "password": PASSWORD}
        answer = await client.post("/sign-in/", data=form)
        assert (answer.status_code, "known" in answer.cookies) == (303, True)
        await running.store.drop()


async def test_an_account_knows_no_browser_before_its_phone_is_verified(
    api: httpx.AsyncClient, code_sender: CapturingCodeSender
):
    await register(api)
    token = {"_xsrf": "0123456789abcdef"}
    api.cookies.update(token)
    form = {**token, "identifier": PHONE, "password": PASSWORD}
    answer = await api.post("/sign-in/", data=form)
    assert (answer.status_code, "known" in answer.cookies) == (303, False)
    await ask_code(api)
    code = await code_sender.wait_for(E164)
    answer = await api.post("/sign-in/code/", data={**token, "phone_number": PHONE, "code": code})
    assert (answer.status_code, "known" in answer.cookies) == (303, True)


@pytest.mark.parametrize(
    ("proxies", "header"),
    [
        (("127.0.0.1",), "X-Real-Ip"),
        (("192.0.2.1",), "X-Forwarded-For"),
        ((), "X-Forwarded-For"),
    ],
    ids=["a header that no proxy sets", "not a proxy", "no proxy at all"],
)
async def test_nobody_chooses_the_address_that_he_is_counted_by(
    settings: Settings, clock: FakeClock, proxies: tuple[str, ...], header: str
):
    limits: LimitSettings = dataclasses.replace(settings.limits, read="3/hour")
    http = dataclasses.replace(settings.http, trusted_proxies=proxies)
    strict_settings = dataclasses.replace(settings, limits=limits, http=http)
    async with (
        open_server(strict_settings, clock=clock) as running,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client,
    ):
        statuses = [
            (await client.get("/api/pujas/", headers={header: f"198.51.100.{n}"})).status_code
            for n in range(4)
        ]
        assert statuses == [200, 200, 200, 429]
        await running.store.drop()


async def test_settings_name_every_door():
    assert set(_DOORS) < {field.name for field in dataclasses.fields(LimitSettings)}
