"""Account use cases over the real database, with senders and crashes of the test's own."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Sequence

import pytest

from server.auth import Argon2Hasher, JwtSigner
from server.bus.memory import MemoryBus
from server.domain.account import Role
from server.domain.errors import (
    Invalid,
    InvalidCredentials,
    NotFound,
    NotSignedIn,
    Overloaded,
    RateLimited,
    StoreUnavailable,
)
from server.domain.events import Event, EventKind
from server.domain.pandit import Pandit
from server.domain.ports.accounts import CodeSender
from server.places.directory import PlaceTable
from server.services import accounts as module
from server.services.accounts import AccountPolicy, AccountService
from server.services.places import PlaceService
from server.services.relay import EventRelay
from server.store.client import ObjectIds, Store
from server.store.outbox import MongoOutboxRepository
from server.store.pandits import MongoPanditRepository
from server.store.users import MongoCodeRepository, MongoSessionRepository, MongoUserRepository
from tests.support import CapturingCodeSender, FakeClock

PHONE = "9841000001"
E164 = "+9779841000001"
PASSWORD = "a long passphrase"
POLICY = AccountPolicy(
    secret="a secret for tests only",
    access_minutes=10,
    refresh_days=30,
    code_minutes=5,
    code_tries=5,
    code_resend_seconds=60,
)


class SlowSender:
    """Sends nothing until it is released."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.sent: list[str] = []

    async def send(self, phone_number: str, code: str, language: str) -> None:
        await self.release.wait()
        self.sent.append(phone_number)


class ListeningSender:
    """Notes in which language codes would be sent."""

    def __init__(self) -> None:
        self.languages: list[str] = []

    async def send(self, phone_number: str, code: str, language: str) -> None:
        self.languages.append(language)


class BrokenSender:
    """Never succeeds."""

    async def send(self, phone_number: str, code: str, language: str) -> None:
        raise ConnectionError("the gateway is away")


class CrashingPandits(MongoPanditRepository):
    """The database goes away at the next write, as often as told."""

    crashes = 0

    async def add(self, pandit: Pandit) -> None:
        self._maybe_crash()
        await super().add(pandit)

    async def replace(self, pandit: Pandit) -> bool:
        self._maybe_crash()
        return await super().replace(pandit)

    def _maybe_crash(self) -> None:
        if self.crashes:
            self.crashes -= 1
            raise StoreUnavailable


@pytest.fixture(scope="module")
async def hasher() -> AsyncIterator[Argon2Hasher]:
    hasher = Argon2Hasher(threads=2, queue=16)
    yield hasher
    hasher.close()


@dataclasses.dataclass
class Workshop:
    """Makes account services over one database."""

    store: Store
    clock: FakeClock
    hasher: Argon2Hasher
    pandits: CrashingPandits

    def service(
        self, sender: CodeSender | None = None, policy: AccountPolicy = POLICY
    ) -> AccountService:
        return AccountService(
            users=MongoUserRepository(self.store),
            pandits=self.pandits,
            sessions=MongoSessionRepository(self.store),
            codes=MongoCodeRepository(self.store),
            sender=sender or CapturingCodeSender(),
            hasher=self.hasher,
            signer=JwtSigner(policy.secret),
            bus=MemoryBus(),
            relay=EventRelay(
                {"pandits": MongoOutboxRepository(self.store, "pandits")}, [], self.clock
            ),
            places=PlaceService(PlaceTable(())),
            clock=self.clock,
            ids=ObjectIds(),
            policy=policy,
        )


@pytest.fixture
def workshop(store: Store, clock: FakeClock, hasher: Argon2Hasher) -> Workshop:
    return Workshop(store, clock, hasher, CrashingPandits(store))


async def test_crash_between_account_and_profile_blocks_nobody(workshop: Workshop):
    accounts = workshop.service()
    workshop.pandits.crashes = 1
    with pytest.raises(StoreUnavailable):
        await accounts.register("Hari", PHONE, PASSWORD, role=Role.PANDIT)
    signed_in = await accounts.sign_in(PHONE, PASSWORD)
    profile = await workshop.pandits.find_by_user(signed_in.user.id)
    assert profile is not None
    assert not profile.is_verified
    assert profile.phone_number == E164


async def test_change_that_a_crash_kept_from_the_profile_arrives_at_the_next_sign_in(
    workshop: Workshop,
):
    accounts = workshop.service()
    signed_in = await accounts.register("Hari", PHONE, PASSWORD, role=Role.PANDIT)
    actor = await accounts.actor_of(signed_in.access)
    workshop.pandits.crashes = 1
    with pytest.raises(StoreUnavailable):
        await accounts.update_profile(actor, {"full_name": "Hari Prasad"})
    await accounts.sign_in(PHONE, PASSWORD)
    profile = await workshop.pandits.find_by_user(actor.user_id)
    assert profile is not None
    assert profile.full_name == "Hari Prasad"


async def test_slow_sender_holds_nobody_up_and_is_waited_for_at_the_end(workshop: Workshop):
    sender = SlowSender()
    accounts = workshop.service(sender)
    await accounts.register("Sita", PHONE, PASSWORD)
    await asyncio.wait_for(accounts.request_code(PHONE), 5)
    assert sender.sent == []
    closing = asyncio.create_task(accounts.close())
    sender.release.set()
    await closing
    assert sender.sent == [E164]


@pytest.mark.logs_errors("code_not_sent")
async def test_broken_sender_is_logged_and_not_told(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
):
    accounts = workshop.service(BrokenSender())
    await accounts.register("Sita", PHONE, PASSWORD)
    with caplog.at_level(logging.ERROR):
        await accounts.request_code(PHONE)
        await accounts.close()
    assert [record.message for record in caplog.records] == ["code_not_sent"]


async def test_too_many_codes_on_their_way_are_refused_for_known_and_unknown_alike(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_MAX_SENDING", 1)
    sender = SlowSender()
    accounts = workshop.service(sender)
    await accounts.register("Sita", PHONE, PASSWORD)
    await accounts.request_code(PHONE)
    for phone in (PHONE, "9841999999"):
        with pytest.raises(Overloaded):
            await accounts.request_code(phone)
    sender.release.set()
    await accounts.close()
    await accounts.request_code("9841999999")


async def test_a_code_is_sent_in_the_language_of_its_owner(workshop: Workshop):
    sender = ListeningSender()
    accounts = workshop.service(sender)
    await accounts.register("Sita", PHONE, PASSWORD, language="ne")
    await accounts.request_code(PHONE)
    await accounts.close()
    assert sender.languages == ["ne"]


async def test_of_racing_requests_one_sends_a_code(workshop: Workshop):
    sender = SlowSender()
    sender.release.set()
    accounts = workshop.service(sender)
    await accounts.register("Sita", PHONE, PASSWORD)
    outcomes = await asyncio.gather(
        *(accounts.request_code(PHONE) for _ in range(8)), return_exceptions=True
    )
    await accounts.close()
    assert outcomes.count(None) == 1
    assert sum(isinstance(each, RateLimited) for each in outcomes) == 7
    assert sender.sent == [E164]


async def test_nobody_makes_himself_an_admin(workshop: Workshop):
    accounts = workshop.service()
    with pytest.raises(Invalid) as refusal:
        await accounts.register("Sita", PHONE, PASSWORD, role=Role.ADMIN)
    assert refusal.value.faults[0].field == "role"
    signed_in = await accounts.register("Sita", PHONE, PASSWORD)
    actor = await accounts.actor_of(signed_in.access)
    for name in ("role", "is_active", "password_hash", "phone_number", "id"):
        with pytest.raises(Invalid):
            await accounts.update_profile(actor, {name: "admin"})
    assert (await accounts.profile(actor)).role is Role.USER


async def test_sign_in_overtaken_by_the_owner_of_the_phone_is_void(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    sender = CapturingCodeSender()
    accounts = workshop.service(sender)
    await accounts.register("Eve", PHONE, PASSWORD)
    await accounts.request_code(PHONE)
    code = await sender.wait_for(E164)
    verify = workshop.hasher.verify

    async def overtaken(password_hash: str, password: str) -> bool:
        is_right = await verify(password_hash, password)
        await accounts.verify_code(PHONE, code)
        return is_right

    monkeypatch.setattr(workshop.hasher, "verify", overtaken)
    # The weaker hash would be renewed: the one that was taken away must not come back.
    monkeypatch.setattr(workshop.hasher, "needs_rehash", lambda _: True)
    late = await accounts.sign_in(PHONE, PASSWORD)
    monkeypatch.undo()
    with pytest.raises(NotSignedIn):
        await accounts.actor_of(late.access)
    for renew in (accounts.refresh, accounts.renew_access):
        with pytest.raises(InvalidCredentials):
            await renew(late.refresh)
    with pytest.raises(InvalidCredentials):
        await accounts.sign_in(PHONE, PASSWORD)


async def test_session_that_is_void_and_still_believed_sets_no_password(workshop: Workshop):
    sender = CapturingCodeSender()
    accounts = workshop.service(sender)
    eve = await accounts.actor_of((await accounts.register("Eve", PHONE, PASSWORD)).access)
    await accounts.request_code(PHONE)
    await accounts.verify_code(PHONE, await sender.wait_for(E164))
    with pytest.raises(NotSignedIn):
        await accounts.set_password(eve, "a newer passphrase", PASSWORD)


async def test_of_racing_new_passwords_one_is_kept(workshop: Workshop):
    accounts = workshop.service()
    signed_in = await accounts.register("Sita", PHONE, PASSWORD)
    actor = await accounts.actor_of(signed_in.access)
    wanted = [f"a newer passphrase {n}" for n in range(4)]
    outcomes = await asyncio.gather(
        *(accounts.set_password(actor, each, PASSWORD) for each in wanted), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(each, Invalid | NotSignedIn) for each in outcomes) == 3
    await accounts.sign_in(PHONE, wanted[outcomes.index(None)])


async def test_an_administrator_made_by_hand_keeps_his_password(workshop: Workshop):
    sender = CapturingCodeSender()
    accounts = workshop.service(sender)
    await accounts.create_admin("Admin Thapa", PHONE, PASSWORD)
    await accounts.request_code(PHONE)
    signed_in = await accounts.verify_code(PHONE, await sender.wait_for(E164))
    assert not signed_in.is_phone_new
    await accounts.sign_in(PHONE, PASSWORD)


async def test_created_admin_signs_in_as_one(workshop: Workshop):
    accounts = workshop.service()
    admin = await accounts.create_admin("Admin Thapa", PHONE, PASSWORD)
    assert admin.role is Role.ADMIN
    signed_in = await accounts.sign_in(PHONE, PASSWORD)
    actor, expires_at = await accounts.actor_with_expiry(signed_in.access)
    assert actor.is_admin
    assert expires_at == signed_in.access_expires_at
    with pytest.raises(NotFound):
        await accounts.deactivate("nobody")


async def test_a_pandit_is_signed_out_before_others_are_asked_in_his_place(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    accounts = workshop.service()
    signed_in = await accounts.register("Hari", PHONE, PASSWORD, role=Role.PANDIT)
    sessions = MongoSessionRepository(workshop.store)
    heard: list[tuple[EventKind, int]] = []

    async def deliver(_: str, __: str, events: Sequence[Event]) -> None:
        left = await sessions.list_of(signed_in.user.id, 5)
        heard.extend((event.kind, len(left)) for event in events)

    monkeypatch.setattr(accounts._relay, "deliver", deliver)
    await accounts.deactivate(signed_in.user.id)
    assert heard == [(EventKind.PANDIT_LEFT, 0)]


async def test_refresh_tokens_outlive_a_change_of_the_secret(workshop: Workshop):
    old = await workshop.service().register("Sita", PHONE, PASSWORD)
    changed = workshop.service(policy=dataclasses.replace(POLICY, secret="another secret"))
    renewed = await changed.refresh(old.refresh)
    assert renewed.user.id == old.user.id
    with pytest.raises(InvalidCredentials):
        await changed.refresh(old.refresh)


async def test_password_may_be_typed_in_other_unicode_forms(workshop: Workshop):
    accounts = workshop.service()
    await accounts.register("Sita", PHONE, "cafe\u0301 क\u093cलम १२३")
    signed_in = await accounts.sign_in(PHONE, "caf\u00e9 \u0958लम १२३")
    assert signed_in.user.phone_number == E164


async def test_every_refused_sign_in_costs_one_hash(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    accounts = workshop.service()
    gone = await accounts.register("Gita", "9841000002", PASSWORD)
    await accounts.register("Sita", PHONE, PASSWORD)
    await accounts.deactivate(gone.user.id)
    verified: list[str] = []
    matches = workshop.hasher._matches

    def counted(password_hash: str, password: str) -> bool:
        verified.append("one")
        return matches(password_hash, password)

    monkeypatch.setattr(workshop.hasher, "_matches", counted)
    for identifier, password in (
        (PHONE, "a wrong passphrase"),
        ("9841999999", PASSWORD),
        ("nobody@example.com", PASSWORD),
        ("9841000002", PASSWORD),
    ):
        verified.clear()
        with pytest.raises(InvalidCredentials):
            await accounts.sign_in(identifier, password)
        assert verified == ["one"], identifier
