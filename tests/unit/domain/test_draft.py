"""Drafts: how long they hold a slot, and which step comes next."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import draft as rules
from server.domain.account import Actor, Role
from server.domain.draft import Draft, DraftPolicy, WizardStep
from server.domain.errors import Invalid, NotFound
from tests.factories import NOW, STARTS_AT, make_booking

POLICY = DraftPolicy()
OWNER = Actor(user_id="customer", role=Role.USER, session_id="s", full_name="Sita Sharma")


def make_draft() -> Draft:
    return rules.begun(
        "draft",
        user_id="customer",
        place=0,
        pandit_id="pandit",
        service_id="service",
        now=NOW,
        policy=POLICY,
    )


def held() -> Draft:
    return rules.with_time(make_draft(), make_booking(), None, NOW, POLICY)


def test_one_that_holds_nothing_is_kept_for_a_day() -> None:
    draft = make_draft()
    assert (draft.claims, draft.lapses_at) == ((), NOW + timedelta(hours=24))
    assert draft.next_step is WizardStep.DATETIME


@given(st.lists(st.integers(0, 20), max_size=12))
def test_work_prolongs_a_hold_and_never_beyond_the_bound(pauses: list[int]) -> None:
    draft, now = held(), NOW
    for minutes in pauses:
        now += timedelta(minutes=minutes)
        if now >= draft.lapses_at:
            break
        draft = rules.renewed(draft, now, POLICY)
        assert draft.lapses_at <= now + POLICY.hold
        assert draft.lapses_at <= NOW + POLICY.hold_most
        assert draft.claims == make_booking().claims


def test_nothing_is_held_beyond_the_beginning_of_the_puja() -> None:
    late = STARTS_AT - timedelta(minutes=3)
    draft = rules.with_time(make_draft(), make_booking(), None, late, POLICY)
    assert draft.lapses_at == STARTS_AT


def test_the_steps_come_in_their_order() -> None:
    draft = held()
    assert draft.next_step is WizardStep.DETAILS
    with pytest.raises(Invalid):
        rules.booking_before(draft, WizardStep.PAYMENT)
    draft = replace(draft, has_details=True)
    assert draft.next_step is WizardStep.PAYMENT
    assert rules.booking_before(draft, WizardStep.DETAILS) == make_booking()
    draft = replace(draft, has_payment=True)
    assert draft.next_step is WizardStep.CONFIRMATION
    assert rules.booking_before(draft, WizardStep.CONFIRMATION) == make_booking()


def test_another_service_gives_the_slot_back_and_the_same_one_keeps_it() -> None:
    draft = replace(held(), has_details=True, has_payment=True)
    same = rules.with_service(draft, "pandit", "service", NOW + timedelta(minutes=1), POLICY)
    assert (same.booking, same.has_payment) == (draft.booking, True)
    other = rules.with_service(draft, "other", "other-service", NOW, POLICY)
    assert (other.claims, other.held_since, other.pandit_id) == ((), None, "other")
    assert other.next_step is WizardStep.DATETIME


def test_to_others_and_afterwards_it_does_not_exist() -> None:
    draft = held()
    assert rules.require_open(draft, OWNER, NOW) is draft
    stranger = replace(OWNER, user_id="stranger")
    admin = replace(OWNER, user_id="admin", role=Role.ADMIN)
    for found, actor, now in (
        (None, OWNER, NOW),
        (draft, stranger, NOW),
        (draft, admin, NOW),
        (draft, OWNER, draft.lapses_at),
    ):
        with pytest.raises(NotFound):
            rules.require_open(found, actor, now)
