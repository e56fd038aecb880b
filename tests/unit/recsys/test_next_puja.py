from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import next_puja_fit, synth
from recsys.calibration import Calibration
from recsys.data import IdMap
from recsys.next_puja import (
    FESTIVAL,
    HORIZON_DAYS,
    MAX_MONTHS,
    OWN,
    Family,
    Festival,
    Habits,
    NextPuja,
    Past,
    PujaRule,
    elapsed_months,
    lead,
)
from recsys.reasons import Code, text
from recsys.town import KINDS, TownConfig, simulate

_PUJAS = IdMap(["birth", "dashain", "monthly", "other"])
_REGIONS = IdMap(["east", "west"])
_TODAY = date(2026, 9, 1)


def _next_puja():
    hazard = np.full((4, MAX_MONTHS + 1), 0.02, np.float32)
    hazard[2, 1] = 0.6
    hazard[1, 12] = 0.7
    return NextPuja(
        pujas=_PUJAS,
        puja_ids=_PUJAS.ids,
        regions=_REGIONS,
        habits=Habits(
            festival=np.full((3, 4), 0.3, np.float32),
            month=np.full((3, 4, 12), 0.01, np.float32),
            hazard=hazard,
            ripe=np.zeros((4, HORIZON_DAYS + 1), np.float32),
        ),
        rules={
            "birth": PujaRule("birth", is_repeatable=False),
            "dashain": PujaRule("dashain", is_annual=True),
        },
        similar=Calibration(np.array([0.0, 1.0]), np.array([0.0, 0.5])),
    )


_DASHAIN = Festival("dashain", _TODAY + timedelta(days=12), "Dashain", "दसैँ")


def _by_id(family, festivals=(_DASHAIN,), **how):
    return {each.puja_id: each for each in _next_puja().suggest(family, festivals, **how)}


def test_festival_ahead_is_proposed_for_its_day():
    found = _by_id(Family(today=_TODAY))
    first = found["dashain"]
    assert max(found.values(), key=lambda each: each.confidence) == first
    assert (first.kind, first.from_day) == (FESTIVAL, _DASHAIN.day)
    assert first.reasons[0].code == Code.FESTIVAL
    assert text(first.reasons[0], "ne", lambda *_: "") == "२०२६-०९-१३ मा दसैँ पर्छ।"


def test_who_held_it_last_year_is_surer_and_reads_why():
    past = (Past("dashain", date(2025, 10, 2)),)
    first = _by_id(Family(today=_TODAY, past=past))["dashain"]
    assert first.confidence > _by_id(Family(today=_TODAY))["dashain"].confidence
    assert first.reasons[0].code == Code.ANNUAL
    assert first.kind == OWN


def test_annual_rite_is_counted_to_its_own_day_and_not_in_days():
    for days in (354, 384):
        last = date(2025, 1, 1)
        assert elapsed_months(last, last + timedelta(days=days), is_annual=True) == 12
    assert elapsed_months(date(2025, 1, 1), date(2025, 12, 1), is_annual=False) == 11


def test_monthly_rhythm():
    past = (Past("monthly", _TODAY - timedelta(days=30)),)
    assert _by_id(Family(today=_TODAY, past=past))["monthly"].confidence > 0.6


@pytest.mark.parametrize(
    "family",
    [
        Family(today=_TODAY, booked=(("dashain", _DASHAIN.day),)),
        Family(today=_TODAY, opted_out=frozenset({"dashain"})),
        Family(today=_TODAY, past=(Past("dashain", date(2025, 9, 9), 0, cancelled_running=2),)),
    ],
)
def test_what_is_not_proposed_again(family):
    assert "dashain" not in _by_id(family)
    assert "other" in _by_id(family)


def test_rite_held_once_in_a_life_is_never_proposed_again():
    assert "birth" not in _by_id(Family(today=_TODAY, past=(Past("birth", date(2020, 1, 1)),)))
    assert "birth" in _by_id(Family(today=_TODAY))


def test_who_wants_no_reminders_gets_none():
    assert _by_id(Family(today=_TODAY, wants_none=True)) == {}


def test_festival_of_another_region_is_not_ahead():
    western = replace(_DASHAIN, regions=frozenset({"west"}))
    at_home = _by_id(Family(today=_TODAY, region="west"), [western])["dashain"]
    away = _by_id(Family(today=_TODAY, region="east"), [western])["dashain"]
    assert at_home.confidence > 5 * away.confidence


def test_day_that_the_family_told_of():
    occasion = ("other", _TODAY + timedelta(days=10))
    first = _by_id(Family(today=_TODAY, occasions=(occasion,)))["other"]
    assert first.confidence > 0.8
    assert first.reasons[0].code == Code.OCCASION


@given(st.integers(-5, 60), st.floats(1, 40))
def test_lead_is_a_share_and_only_within_the_horizon(days, median):
    assert 0 <= lead(days, median) <= 1
    assert (lead(days, median) > 0) == (1 <= days <= HORIZON_DAYS)
    assert lead(round(median), round(median)) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from(_PUJAS.ids), st.dates(date(2024, 1, 1), _TODAY)), max_size=4
    ),
    st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4),
)
def test_scores_are_probabilities_in_order(past, scores):
    family = Family(today=_TODAY, past=tuple({p: Past(p, day) for p, day in past}.values()))
    found = list(_by_id(family, scores=np.array(scores, np.float32)).values())
    confidences = [each.confidence for each in found]
    assert confidences == sorted(confidences, reverse=True)
    assert all(0 < each <= 1 for each in confidences)
    for each in found:
        assert each.from_day > _TODAY
        for reason in each.reasons:
            assert text(reason, "en", lambda *_: "name")


def test_counted_hazards_find_the_planted_rhythms():
    town = simulate(TownConfig(seed=4, users=2_000, pandits=20, items=80))
    data = synth.dataset(town)
    kind = town.world.puja_kind
    annual = {data.pujas.ids[puja] for puja in np.flatnonzero(kind == 0)}
    festivals = [Festival(data.pujas.ids[puja], day) for puja, day in town.world.festivals]
    habits = next_puja_fit.count_habits(
        data, np.arange(len(data.bookings)), festivals, annual=annual
    )
    of_kind = {
        name: habits.hazard[kind == number].mean(axis=0) for number, name in enumerate(KINDS)
    }
    assert of_kind["monthly"][1] > 4 * of_kind["any"][1]
    assert of_kind["half-yearly"][6] > 3 * of_kind["half-yearly"][4]
    assert of_kind["festival"][12] > 4 * of_kind["festival"][6]
    likeliest = habits.ripe.mean(axis=0).argmax()
    assert 3 <= likeliest <= 10  # planted: 6 days
    assert (habits.ripe[:, 0] == 0).all()
    restored = Habits.restored(habits.saved(), len(data.pujas), len(data.regions))
    assert (restored.hazard == habits.hazard).all()
    with pytest.raises(ValueError, match="habits lack"):
        Habits.restored(habits.saved(), len(data.pujas) + 1, len(data.regions))


def test_family_that_resembles_those_who_keep_a_festival_is_surer():
    model = replace(_next_puja(), usual=np.full(4, 0.1))
    family = Family(today=_TODAY)
    like, unlike = (
        {each.puja_id: each for each in model.suggest(family, [_DASHAIN], scores=scores)}["dashain"]
        for scores in (np.array([0, 0.4, 0, 0], np.float32), np.array([0, 0.02, 0, 0], np.float32))
    )
    assert like.reasons[0].weight > 1.5 * unlike.reasons[0].weight
