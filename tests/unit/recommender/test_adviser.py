"""What is made of a customer's history, and how a model's answers come out of the adviser."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys.bundle import HABITS, Bundle, habits_of
from recsys.models.als import Als
from recsys.models.base import Interactions
from recsys.models.ease import Ease
from recsys.next_puja import Tuning
from recsys.quantities import UnitMismatch
from server.domain.booking import BookingStatus
from server.domain.catalogue import SamagriType
from server.domain.money import Unit
from server.domain.recommendation import (
    Customer,
    FestivalDay,
    Occasion,
    PastBooking,
    Preferences,
    PujaQuestion,
    SamagriQuestion,
)
from server.recommender.adviser import Advice, AdviceParams, CatalogueOfTheDay
from tests.serving_models import FIND, PUJA, Recipe, a_bundle, the_catalogue

TODAY = date(2026, 11, 22)
CATALOGUE = CatalogueOfTheDay(
    items={item.id: item for item in the_catalogue().items},
    pujas={puja.id: puja for puja in the_catalogue().pujas},
)
OPTIONAL = next(
    need.item_id for need in CATALOGUE.pujas[PUJA].requirements if need.type is SamagriType.OPTIONAL
)


def past(number: int, **values: Any) -> PastBooking:
    day = datetime(2026, 10, 30 - number, 10, tzinfo=UTC)
    return PastBooking(
        **{
            "booking_id": f"booking-{number}",
            "puja_id": PUJA,
            "pandit_id": "pandit-a",
            "status": BookingStatus.COMPLETED,
            "booked_at": day,
            "held_on": day.date(),
            "ended_at": day,
            **values,
        }
    )


def advice(bundle: Bundle | None = None) -> Advice:
    return Advice(CATALOGUE, AdviceParams(annual=frozenset({"lakshmi-puja"})), bundle)


def ask(adviser: Advice, customer: Customer = Customer(), **values: Any) -> dict[str, Any]:  # noqa: B008  # frozen
    question = SamagriQuestion(
        puja=adviser.catalogue.pujas[PUJA],
        customer=customer,
        occasion=Occasion(),
        today=TODAY,
        **values,
    )
    return {each.item.id: each for each in adviser.samagri(question).items}


@pytest.mark.parametrize("bundle", [None, a_bundle(Recipe())])
def test_what_was_taken_off_twice_is_not_added_a_third_time(bundle: Bundle | None) -> None:
    adviser = advice(bundle)
    once = Customer(user_id="u", history=(past(0, declined=(OPTIONAL,)), past(1)))
    twice = Customer(
        user_id="u", history=(past(0, declined=(OPTIONAL,)), past(1), past(2, declined=(OPTIONAL,)))
    )
    assert OPTIONAL in ask(adviser, once)
    assert OPTIONAL not in ask(adviser, twice)
    long_ago = Customer(
        user_id="u",
        history=(past(0), past(1), past(2, declined=(OPTIONAL,)), past(3, declined=(OPTIONAL,))),
    )
    assert OPTIONAL in ask(adviser, long_ago), "of the last three only one was without it"


def test_a_find_below_the_threshold_stays_away() -> None:
    assert FIND in ask(advice(a_bundle(Recipe(share=0.61))))
    assert FIND not in ask(advice(a_bundle(Recipe(share=0.59))))


def test_equal_questions_have_equal_answers() -> None:
    adviser = advice(a_bundle(Recipe()))
    customer = Customer(user_id="u", preferences=Preferences(never_show=frozenset({OPTIONAL})))
    first, second = (ask(adviser, customer, budget=100_000) for _ in range(2))
    assert list(first.items()) == list(second.items())


def propose(adviser: Advice, customer: Customer) -> dict[str, Any]:
    festivals = [
        FestivalDay(puja_id="lakshmi-puja", day=date(2026, 12, 2), name="Feast", name_ne="पर्व")
    ]
    question = PujaQuestion(customer=customer, today=TODAY, festivals=festivals, limit=50)
    return {each.puja.id: each for each in adviser.pujas(question)}


@pytest.mark.parametrize("bundle", [None, a_bundle(Recipe())])
def test_what_was_called_off_twice_running_is_not_proposed(bundle: Bundle | None) -> None:
    adviser = advice(bundle)
    lakshmi = {"puja_id": "lakshmi-puja", "status": BookingStatus.CANCELLED}
    assert "lakshmi-puja" in propose(adviser, Customer(history=(past(0, **lakshmi),)))
    twice = Customer(history=(past(0, **lakshmi), past(1, **lakshmi)))
    assert "lakshmi-puja" not in propose(adviser, twice)
    held_since = Customer(
        history=(
            past(0, puja_id="lakshmi-puja"),
            past(1, **lakshmi),
            past(2, **lakshmi),
        )
    )
    assert "lakshmi-puja" in propose(adviser, held_since)


@pytest.mark.parametrize("bundle", [None, a_bundle(Recipe())])
@pytest.mark.parametrize("status", [BookingStatus.COMPLETED, BookingStatus.ACCEPTED])
def test_what_comes_once_in_a_life_has_no_anniversary(
    bundle: Bundle | None, status: BookingStatus
) -> None:
    adviser = advice(bundle)
    once = {puja.id for puja in CATALOGUE.pujas.values() if not puja.is_repeatable}
    assert {"wedding-ceremony", "bratabandha", "pasni", "nwaran"} <= once
    for puja_id in sorted(once):
        held = Customer(user_id="u", history=(past(0, puja_id=puja_id, status=status),))
        assert puja_id in propose(adviser, Customer())
        assert puja_id not in propose(adviser, held)
    again = Customer(user_id="u", history=(past(0, puja_id="rudri-puja", status=status),))
    assert "rudri-puja" in propose(adviser, again)


def test_what_was_held_longer_ago_than_the_history_reaches_is_known() -> None:
    history = tuple(past(number) for number in range(2))
    ever = {"bratabandha": date(2021, 2, 10), "rudri-puja": date(2025, 11, 20)}
    customer = Customer(user_id="u", history=history, last_held={PUJA: TODAY, **ever})
    found = propose(advice(), customer)
    assert "bratabandha" not in found
    because = found["rudri-puja"].because[0]
    assert because.data["last"] == "2025-11-20"
    assert "on 20 Nov 2025" in because.text
    assert "२०८२ मङ्सिर ४ मा" in because.text_ne


def test_days_proposed_are_as_far_ahead_as_the_model_has_seen_families_book() -> None:
    for bundle, days in ((None, 10), (a_bundle(Recipe(lead_days=33.4)), 33)):
        found = propose(advice(bundle), Customer())["rudri-puja"]
        assert found.first_day == TODAY + timedelta(days=days)
        assert found.last_day == TODAY + timedelta(days=days + 30)


def of_families() -> tuple[Bundle, list[str]]:
    """A model that has seen families hold the first two of some pujas together, the third alone."""
    bundle = a_bundle(Recipe())
    ids = bundle.ids["pujas"]
    names = [each for each in ids if each != PUJA][:3]
    rows = np.zeros((40, len(ids)), np.float32)
    rows[:20, [ids.index(names[0]), ids.index(names[1])]] = 1
    rows[20:, ids.index(names[2])] = 1
    habits = habits_of(bundle)
    assert habits is not None
    spread = replace(habits, spread=np.full(1, 0.1, np.float32), tuning=Tuning(likeness=1.0))
    return replace(
        bundle,
        models={**bundle.models, "puja": Ease().fit(Interactions(csr_array(rows)))},
        parts={**bundle.parts, HABITS: spread.saved()},
    ), names


def test_families_like_this_are_told_by_the_puja_that_makes_them_alike() -> None:
    bundle, (wanted, cause, other) = of_families()
    called_off = {"puja_id": wanted, "status": BookingStatus.CANCELLED}
    customer = Customer(
        user_id="u", history=(past(0, puja_id=other), past(1, **called_off), past(2, puja_id=cause))
    )
    said = propose(advice(bundle), customer)[wanted].because
    similar = next(each for each in said if each.code == "SIMILAR")
    assert similar.data == {"puja": cause}
    waiting = {"puja_id": cause, "status": BookingStatus.PENDING}
    customer = Customer(user_id="u", history=(past(0, puja_id=other), past(2, **waiting)))
    said = propose(advice(bundle), customer)[wanted].because
    assert "SIMILAR" not in [each.code for each in said], "it was not held yet"


def test_a_catalogue_may_change_under_a_model() -> None:
    adviser = advice(a_bundle(Recipe()))
    fewer = CatalogueOfTheDay(
        items={name: item for name, item in CATALOGUE.items.items() if name != FIND},
        pujas=CATALOGUE.pujas,
    )
    over = adviser.over(fewer)
    assert over.version == adviser.version
    assert FIND not in ask(over)
    assert ask(over).keys() == ask(adviser).keys() - {FIND}


def seasonal(bundle: Bundle | None, **seasons: Any) -> Advice:
    """The adviser over a catalogue with those seasons; the first is the item, then its fields."""
    items = {
        item_id: replace(item, **seasons.get(item_id.replace("-", "_"), {}))
        for item_id, item in CATALOGUE.items.items()
    }
    changed = CatalogueOfTheDay(items=items, pujas=CATALOGUE.pujas)
    return Advice(changed, AdviceParams(), bundle)


def need_of(kind: SamagriType) -> str:
    return next(need.item_id for need in CATALOGUE.pujas[PUJA].requirements if need.type is kind)


@pytest.mark.parametrize("bundle", [None, a_bundle(Recipe())])
def test_what_is_optional_is_offered_in_its_season_only(bundle: Bundle | None) -> None:
    adviser = seasonal(bundle, **{OPTIONAL.replace("-", "_"): {"season": (7, 9)}})
    assert OPTIONAL not in ask(adviser, month_bs=3)
    for month in (0, 7, 8, 9):
        assert OPTIONAL in ask(adviser, month_bs=month)


@pytest.mark.parametrize("bundle", [None, a_bundle(Recipe())])
def test_something_else_stands_for_what_is_essential_and_out_of_season(
    bundle: Bundle | None,
) -> None:
    essential = need_of(SamagriType.ESSENTIAL)
    fields = {"season": (7, 9), "substitutes": ("umbrella",)}
    adviser = seasonal(bundle, **{essential.replace("-", "_"): fields})
    out = ask(adviser, month_bs=3)
    assert essential not in out
    assert out["umbrella"].type is SamagriType.ESSENTIAL
    assert out["umbrella"].substitute_of == essential
    assert out["umbrella"].because[0].code == "SUBSTITUTE_FOR"
    assert "umbrella" not in ask(adviser, month_bs=8)


@pytest.mark.parametrize("bundle", [None, a_bundle(Recipe())])
def test_what_is_required_stays_and_says_that_it_is_hard_to_find(bundle: Bundle | None) -> None:
    required = need_of(SamagriType.REQUIRED)
    fields = {"season": (7, 9), "substitutes": ("umbrella",)}
    adviser = seasonal(bundle, **{required.replace("-", "_"): fields})
    row = ask(adviser, month_bs=3)[required]
    assert row.type is SamagriType.REQUIRED
    assert not row.is_in_season
    assert "OUT_OF_SEASON" in [each.code for each in row.because]
    assert ask(adviser, month_bs=8)[required].is_in_season


@pytest.mark.parametrize("bundle", [None, a_bundle(Recipe())])
def test_a_known_month_changes_nothing_where_nothing_has_a_season(bundle: Bundle | None) -> None:
    adviser = seasonal(
        bundle, **{each.replace("-", "_"): {"season": None} for each in CATALOGUE.items}
    )
    asked = [
        {item: (row.confidence, row.price) for item, row in ask(adviser, month_bs=month).items()}
        for month in (0, 5)
    ]
    assert asked[0] == asked[1]


def together(adviser: Advice, item_id: str, customer: Customer = Customer()) -> list[Any]:  # noqa: B008  # frozen
    item = CATALOGUE.items[item_id]
    return list(adviser.together(item, customer, month_bs=8, limit=5))


@pytest.mark.parametrize("bundle", [None, a_bundle(Recipe())])
def test_what_goes_with_an_item_is_something_else_with_a_true_reason(
    bundle: Bundle | None,
) -> None:
    adviser = advice(bundle)
    required = need_of(SamagriType.REQUIRED)
    found = together(adviser, required)
    ids = [each.item.id for each in found]
    assert ids
    assert len(ids) == len(set(ids)) <= 5
    assert required not in ids
    for each in found:
        assert each.price == each.item.price_of(each.quantity, each.unit) == each.item.price
        assert each.because[0].text
        assert each.because[0].text_ne
        assert 0 < each.confidence <= 1
    hidden = Customer(user_id="u", preferences=Preferences(never_show=frozenset(ids[:2])))
    assert not {each.item.id for each in together(adviser, required, hidden)} & set(ids[:2])


def test_an_item_that_no_puja_needs_goes_with_nothing() -> None:
    used = {need.item_id for puja in CATALOGUE.pujas.values() for need in puja.requirements}
    unused = next(item_id for item_id in CATALOGUE.items if item_id not in used)
    assert together(advice(), unused) == []


def test_a_rehearsal_asks_for_what_a_model_cannot_answer() -> None:
    bundle = a_bundle(Recipe())
    advice(bundle).rehearse(TODAY)
    als = bundle.models["pandit"]
    assert isinstance(als, Als)
    als.item_, als.gram_ = als.item_ * 0, -als.params.regularization * np.eye(als.params.factors)
    with pytest.raises(np.linalg.LinAlgError):
        advice(bundle).rehearse(TODAY)


def test_a_model_is_not_blamed_for_what_the_catalogue_asks_in_a_wrong_unit() -> None:
    pujas = {
        puja.id: replace(
            puja, requirements=tuple(replace(each, unit=Unit.L) for each in puja.requirements)
        )
        for puja in CATALOGUE.pujas.values()
    }
    wrong = CatalogueOfTheDay(items=CATALOGUE.items, pujas=pujas)
    adviser = Advice(wrong, AdviceParams(), a_bundle(Recipe()))
    with pytest.raises(UnitMismatch):
        ask(adviser.rules)
    adviser.rehearse(TODAY)
