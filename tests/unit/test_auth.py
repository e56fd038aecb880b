"""Password hashes and access tokens."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest

from server.auth import Argon2Hasher, JwtSigner
from server.domain.errors import NotSignedIn, Overloaded, SessionOver
from server.domain.ports.accounts import Claims
from tests.support import SUNDAY_TEN

SECRET = "a secret for tests only"
NOW = SUNDAY_TEN
CLAIMS = Claims("u1", "s1", NOW + timedelta(minutes=10))


@pytest.fixture
def hasher() -> Iterator[Argon2Hasher]:
    hasher = Argon2Hasher(threads=1, queue=2)
    yield hasher
    hasher.close()


async def test_only_the_right_password_verifies(hasher: Argon2Hasher):
    text = await hasher.hash("गोप्य passphrase")
    assert text.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.verify(text, "गोप्य passphrase")
    assert not await hasher.verify(text, "another passphrase")
    assert not await hasher.verify("not a hash", "गोप्य passphrase")
    assert not await hasher.verify("", "")
    assert not hasher.needs_rehash(text)


async def test_empty_hash_costs_what_a_real_one_costs(hasher: Argon2Hasher):
    async def fastest(password_hash: str) -> float:
        seconds = []
        for _ in range(4):
            began = time.perf_counter()
            await hasher.verify(password_hash, "a passphrase")
            seconds.append(time.perf_counter() - began)
        return min(seconds)

    text = await hasher.hash("another passphrase")
    assert await fastest("") > 0.5 * await fastest(text)


async def test_too_many_waiting_are_refused_and_room_returns(hasher: Argon2Hasher):
    outcomes = await asyncio.gather(
        *(hasher.hash("x" * 8) for _ in range(6)), return_exceptions=True
    )
    assert sum(isinstance(each, str) for each in outcomes) == 3
    assert sum(isinstance(each, Overloaded) for each in outcomes) == 3
    assert await hasher.hash("x" * 8)


async def test_hash_whose_caller_left_still_takes_its_place(hasher: Argon2Hasher):
    release = threading.Event()
    hasher._matches = lambda *_: release.wait(10)  # type: ignore[method-assign]
    waiting = [asyncio.create_task(hasher.verify("x", "x")) for _ in range(3)]
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(done.set_result, None)
    await done
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    with pytest.raises(Overloaded):
        await hasher.verify("x", "x")
    release.set()


def test_token_is_read_back_until_it_expires():
    signer = JwtSigner(SECRET)
    token = signer.sign(CLAIMS, NOW)
    assert signer.read(token, NOW + timedelta(minutes=9, seconds=59)) == CLAIMS
    with pytest.raises(NotSignedIn):
        signer.read(token, NOW + timedelta(minutes=10))


def test_token_from_the_future_is_refused():
    signer = JwtSigner(SECRET)
    token = signer.sign(CLAIMS, NOW)
    assert signer.read(token, NOW - timedelta(seconds=20)) == CLAIMS
    with pytest.raises(NotSignedIn):
        signer.read(token, NOW - timedelta(minutes=1))


def test_tokens_of_the_previous_secret_hold_and_of_others_do_not():
    token = JwtSigner("the old secret").sign(CLAIMS, NOW)
    assert JwtSigner(SECRET, "the old secret").read(token, NOW) == CLAIMS
    with pytest.raises(NotSignedIn):
        JwtSigner(SECRET).read(token, NOW)


def test_a_token_that_was_read_before_is_still_asked_when_it_begins_and_ends():
    signer = JwtSigner(SECRET)
    token = signer.sign(CLAIMS, NOW)
    with pytest.raises(NotSignedIn):
        signer.read(token, NOW - timedelta(minutes=1))
    assert signer.read(token, NOW) == CLAIMS
    with pytest.raises(SessionOver):
        signer.read(token, NOW + timedelta(minutes=10))
    text, _, signature = token.rpartition(".")
    for _ in range(2):
        with pytest.raises(NotSignedIn):
            signer.read(f"{text}.{signature[::-1]}", NOW)


def test_two_tokens_differ():
    signer = JwtSigner(SECRET)
    assert signer.sign(CLAIMS, NOW) != signer.sign(CLAIMS, NOW)


def _forged(changes: dict[str, Any], headers: dict[str, Any], algorithm: str = "HS256") -> str:
    signer = JwtSigner(SECRET)
    payload = jwt.decode(signer.sign(CLAIMS, NOW), options={"verify_signature": False})
    payload.update(changes)
    payload = {name: value for name, value in payload.items() if value is not None}
    key: str | bytes = signer._key if algorithm != "none" else ""
    return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": signer._key_id, **headers})


def test_the_forger_of_these_tests_can_make_a_good_one():
    assert JwtSigner(SECRET).read(_forged({}, {}), NOW) == CLAIMS


@pytest.mark.parametrize("claim", ["exp", "iat", "sub", "jti", "typ", "sid", "iss", "aud"])
def test_every_claim_is_required(claim: str):
    with pytest.raises(NotSignedIn):
        JwtSigner(SECRET).read(_forged({claim: None}, {}), NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody-else"},
        {"aud": "somebody-else"},
        {"typ": "refresh"},
        {"exp": "soon"},
        {"exp": 1e300},
        {"sub": ["u1"]},
    ],
)
def test_wrong_claims_are_refused(changes: dict[str, Any]):
    with pytest.raises(NotSignedIn):
        JwtSigner(SECRET).read(_forged(changes, {}), NOW)


def test_unknown_key_is_refused():
    with pytest.raises(NotSignedIn):
        JwtSigner(SECRET).read(_forged({}, {"kid": "other"}), NOW)


def test_token_that_names_no_key_is_refused():
    token = jwt.encode({"sub": "u1"}, JwtSigner(SECRET)._key, algorithm="HS256")
    with pytest.raises(NotSignedIn):
        JwtSigner(SECRET).read(token, NOW)


@pytest.mark.filterwarnings("ignore:The HMAC key is 32 bytes long")
@pytest.mark.parametrize("algorithm", ["none", "HS384"])
def test_other_algorithms_are_refused(algorithm: str):
    with pytest.raises(NotSignedIn):
        JwtSigner(SECRET).read(_forged({}, {}, algorithm), NOW)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "eyJhbGciOiJIUzI1NiJ9..", "." * 400])
def test_nonsense_is_refused(token: str):
    with pytest.raises(NotSignedIn):
        JwtSigner(SECRET).read(token, NOW)
