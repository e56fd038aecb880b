from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import next_puja_fit, next_puja_train, synth
from recsys.bootstrap import Interval
from recsys.data import DAY_MS, IdMap, Status, build
from recsys.matrix import users_by
from recsys.models.base import Saved
from recsys.models.ease import Ease, EaseParams
from recsys.next_puja import (
    FESTIVAL,
    HORIZON_DAYS,
    MAX_MONTHS,
    OWN,
    SEASON,
    Family,
    Festival,
    Habits,
    NextPuja,
    Past,
    Tuning,
    elapsed_months,
    lead,
    lead_shares,
)
from recsys.reasons import Code, text
from recsys.town import KINDS, TownConfig, simulate

_PUJAS = IdMap(["birth", "dashain", "monthly", "other"])
_REGIONS = IdMap(["east", "west"])
_TODAY = date(2026, 9, 1)


def _next_puja(**habits):
    at_festival = np.ones((4, MAX_MONTHS + 1), np.float32)
    at_festival[1, 12] = 8.0
    by_month = np.ones((4, MAX_MONTHS + 1), np.float32)
    by_month[2, 1] = 40.0
    return NextPuja(
        pujas=_PUJAS,
        puja_ids=_PUJAS.ids,
        regions=_REGIONS,
        habits=Habits(
            festival=np.full((3, 4), 0.3, np.float32),
            month=np.full((3, 4, 12), 0.01, np.float32),
            ripe=np.zeros((4, HORIZON_DAYS + 1), np.float32),
            lead_days=np.array([10, 10, 3, 60], np.float32),
            again_at_festival=at_festival,
            again_by_month=by_month,
            usual_score=np.full(4, 0.1, np.float32),
            spread=np.full(1, 0.2, np.float32),
            **habits,
        ),
        once=frozenset({"birth"}),
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
    assert text(first.reasons[0], "ne", lambda _, name, __: name) == "२०२६-०९-१३ मा दसैँ पर्छ।"


def test_who_held_it_last_year_is_surer_and_reads_why():
    past = (Past("dashain", date(2025, 10, 2)),)
    first = _by_id(Family(today=_TODAY, past=past))["dashain"]
    assert first.confidence > _by_id(Family(today=_TODAY))["dashain"].confidence
    assert first.reasons[0].code == Code.ANNUAL
    assert first.kind == OWN


def test_annual_rite_is_counted_to_its_own_day_and_not_in_days():
    for days in (354, 384):
        last = date(2025, 1, 1)
        assert elapsed_months(last, last + timedelta(days=days), to_festival=True) == 12
    assert elapsed_months(date(2025, 1, 1), date(2025, 12, 1), to_festival=False) == 11


def test_monthly_rhythm():
    past = (Past("monthly", _TODAY - timedelta(days=30)),)
    found = _by_id(Family(today=_TODAY, past=past))["monthly"]
    assert found.confidence > 20 * _by_id(Family(today=_TODAY))["monthly"].confidence
    assert (found.kind, found.reasons[0].code) == (OWN, Code.REPEAT)


@pytest.mark.parametrize(
    "family",
    [
        Family(today=_TODAY, booked=(("dashain", _DASHAIN.day),)),
        Family(today=_TODAY, past=(Past("dashain", _DASHAIN.day - timedelta(days=5)),)),
        Family(today=_TODAY, past=(Past("dashain", date(2025, 9, 9), 0, cancelled_running=2),)),
    ],
)
def test_what_is_not_proposed_again(family):
    assert "dashain" not in _by_id(family)
    assert "other" in _by_id(family)


def test_rite_held_once_in_a_life_is_never_proposed_again():
    assert "birth" not in _by_id(Family(today=_TODAY, past=(Past("birth", date(2020, 1, 1)),)))
    assert "birth" in _by_id(Family(today=_TODAY))


def test_days_proposed_are_as_far_ahead_as_families_book():
    found = _by_id(Family(today=_TODAY))
    for puja_id, days in (("monthly", 3), ("other", 60)):
        assert found[puja_id].from_day == _TODAY + timedelta(days=days)
        assert found[puja_id].to_day == _TODAY + timedelta(days=days + 30)


def test_festival_of_another_region_is_not_ahead():
    western = replace(_DASHAIN, regions=frozenset({"west"}))
    at_home = _by_id(Family(today=_TODAY, region="west"), [western])["dashain"]
    away = _by_id(Family(today=_TODAY, region="east"), [western])["dashain"]
    assert at_home.confidence > 5 * away.confidence


@settings(deadline=None)
@given(st.integers(-5, 60), st.floats(1, 40))
def test_lead_is_a_share_and_only_within_the_horizon(days, median):
    assert 0 <= lead(days, median) <= 1
    assert (lead(days, median) > 0) == (1 <= days <= HORIZON_DAYS)
    assert lead(round(median), round(median)) == 1


@settings(deadline=None)
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


def _town(seed, **size):
    town = simulate(TownConfig(seed=seed, **size))
    data = synth.dataset(town)
    festivals = [Festival(data.pujas.ids[puja], day) for puja, day in town.world.festivals]
    return town, data, festivals


def test_counted_habits_find_the_planted_rhythms():
    town, data, festivals = _town(4, users=2_000, pandits=20, items=80)
    kind = town.world.puja_kind
    habits = next_puja_fit.count_habits(data, np.arange(len(data.bookings)), festivals)
    of_kind = {
        name: habits.again_by_month[kind == number].mean(axis=0)
        for number, name in enumerate(KINDS)
    }
    assert of_kind["monthly"][1] > 1.5 * of_kind["any"][1]
    assert of_kind["half-yearly"][6] > 3 * of_kind["half-yearly"][4]
    # Planted: never again. Few bookings of a puja lean on those of all that are like it.
    assert of_kind["once"][2:24].mean() < 0.6 * of_kind["any"][2:24].mean()
    assert habits.again_at_festival[kind == KINDS.index("festival"), 12].mean() > 4  # planted: 8
    lead = habits.ripe.mean(axis=0)
    assert 3 <= lead.argmax() <= 10  # planted: 6 days
    assert lead.sum() == pytest.approx(1, abs=1e-4)
    assert (habits.ripe[:, 0] == 0).all()
    live = data.bookings.status != Status.CANCELLED
    days = (data.bookings.held_ts - data.bookings.ts)[live & (data.bookings.puja == 0)] / DAY_MS
    assert habits.lead_days[0] == pytest.approx(np.median(days), abs=1)
    assert len({*habits.lead_days.tolist()}) > 10
    restored = Habits.restored(habits.saved(), len(data.pujas), len(data.regions))
    assert (restored.again_by_month == habits.again_by_month).all()
    assert (restored.lead_days == habits.lead_days).all()
    assert restored.tuning == habits.tuning
    with pytest.raises(ValueError, match="habits lack"):
        Habits.restored(habits.saved(), len(data.pujas) + 1, len(data.regions))


def test_habits_stored_before_lead_times_were_counted_are_read():
    saved = _next_puja().habits.saved()
    del saved.arrays["lead_days"]
    assert Habits.restored(saved, 4, 2).lead_days.tolist() == [10] * 4


def _with_tihar_ahead(*, after_dashain: bool):
    """Forty families, of whom twenty have kept one festival; thirty book for another one ahead."""
    first = range(40) if after_dashain else ()
    told = [(family, "dashain" if family < 20 else "other", 2025, 10, 2) for family in first]
    told += [(family, "tihar", 2025, 10, 21) for family in range(30)]
    days = [datetime(year, month, day, tzinfo=UTC) for _, _, year, month, day in told]
    bookings: dict[str, list[Any]] = {
        "booking_id": [f"{number:03}" for number in range(len(told))],
        "user_id": [f"u{family}" for family, *_ in told],
        "puja_id": [puja for _, puja, *_ in told],
        "ts": [day - timedelta(days=12) for day in days],
        "held_ts": days,
    }
    tables: dict[str, dict[str, list[Any]]] = {
        "bookings": bookings,
        "pujas": {"puja_id": ["dashain", "other", "tihar"]},
    }
    data = build(tables, now_ms=round(datetime(2025, 10, 10, tzinfo=UTC).timestamp() * 1000))
    assert not data.rejects.reasons
    ahead = [Festival("dashain", date(2025, 10, 2)), Festival("tihar", date(2025, 10, 21))]
    return next_puja_fit.count_habits(data, np.arange(len(told)), ahead)


def test_a_festival_that_has_never_come_is_not_counted_by_those_who_book_early():
    habits = _with_tihar_ahead(after_dashain=True)
    assert habits.festival[0, 0] == pytest.approx(0.5, abs=0.02)
    assert habits.festival[0, 2] == pytest.approx(0.5, abs=0.02), "as of all festivals"
    # Before the first one nothing was counted, and rules that count nothing serve in its place.
    assert not _with_tihar_ahead(after_dashain=False).festival.any()


def test_few_bookings_say_nothing_of_lead_times_and_those_of_all_stand_for_them():
    _, data, _ = _town(4, users=300, pandits=20, items=80)
    rows = np.flatnonzero(data.bookings.status != Status.CANCELLED)
    few = next_puja_fit.count_habits(data, rows[:9], [])
    assert set(few.lead_days.tolist()) == {10.0}
    some = next_puja_fit.count_habits(data, rows[:60], [])
    days = (data.bookings.held_ts - data.bookings.ts)[rows[:60]] / DAY_MS
    assert np.median(some.lead_days) == pytest.approx(np.median(days), abs=1)


@pytest.mark.parametrize("broken", [{}, {"tuning": {"again": 1.0}}, {"tuning": {"again": "much"}}])
def test_habits_without_their_tuning_are_refused(broken):
    saved = _next_puja().habits.saved()
    with pytest.raises(ValueError, match="tuning"):
        Habits.restored(Saved(saved.arrays, broken), 4, 2)


def test_lead_times_of_old_versions_are_forgotten():
    for days in range(2_000):
        lead_shares(3 + days / 100)
    assert lead_shares.cache_info().currsize < 1_500


def test_habits_below_nothing_are_refused():
    saved = _next_puja().habits.saved()
    saved.arrays["again_by_month"][0, 3] = np.nan
    with pytest.raises(ValueError, match="again_by_month below 0"):
        Habits.restored(saved, 4, 2)


@pytest.mark.parametrize("seed", [21, 22])
def test_proposals_beat_the_next_festivals_and_popularity_on_the_town(seed):
    _, data, festivals = _town(seed, users=1_500, pandits=40, items=80)
    rows = np.arange(len(data.bookings))
    counted, tuning, test = np.split(rows, [int(0.7 * len(rows)), int(0.85 * len(rows))])
    known = data.before(int(data.bookings.ts[tuning[0]]))
    model = Ease(EaseParams(lam=100)).fit(
        users_by(known, "puja", now_ms=int(data.bookings.ts[tuning[0]]))
    )
    habits = next_puja_train.learned(data, festivals, counted=counted, tuning=tuning, model=model)
    assert habits.tuning.again > 0.3
    assert habits.tuning.known > 0.3
    found = next_puja_train.judged(
        data,
        NextPuja(data.pujas, data.pujas.ids, data.regions, habits, data.once()),
        festivals,
        known=counted,
        test=test,
        model=model,
    )
    assert found.bookings > 500
    for name in ("next festivals", "popularity", "own most frequent", next_puja_train.PLAIN):
        assert found.above[name].low > 0, name
    assert found.gain() == (next_puja_train.PLAIN, found.above[next_puja_train.PLAIN])
    # Reading ahead would make it far too good: who knows the town's true rates reaches about 0.8.
    assert found.hit.mean < 0.85


def test_habits_compete_with_what_would_serve_in_their_place():
    level, better, worse = (Interval(each, each, each) for each in (0.5, 0.1, -0.1))
    found = next_puja_train.NextPujaFigures(
        9,
        level,
        {"own most frequent": level, next_puja_train.PLAIN: level},
        {"own most frequent": worse, next_puja_train.PLAIN: better},
    )
    assert found.gain() == (next_puja_train.PLAIN, better)


def test_without_a_booking_nothing_is_gained():
    _, gain = next_puja_train.NextPujaFigures(0, Interval(*[np.nan] * 3), {}, {}).gain()
    assert np.isnan(gain).all()


def test_families_are_asked_with_what_was_known_that_day():
    _, data, _ = _town(3, users=300, pandits=20, items=80)
    rows = np.arange(len(data.bookings) // 2, len(data.bookings))
    asked = list(next_puja_train.families(data, rows))
    held = {booking: data.bookings.held_ts[booking] for booking in rows.tolist()}
    assert asked
    for each in asked:
        assert held[each.booking] // DAY_MS >= (each.family.today - date(1970, 1, 1)).days
        assert all(past.last_on <= each.family.today for past in each.family.past)
        assert all(day > each.family.today for _, day in each.family.booked)
        known = {*(p.puja_id for p in each.family.past), *(p for p, _ in each.family.booked)}
        assert {data.pujas.ids[puja] for puja in each.liked} == known


def test_tuning_follows_those_who_hold_again_what_they_held():
    family = Family(today=_TODAY, past=(Past("other", _TODAY - timedelta(days=200)),))
    terms = [_next_puja().terms(family, [])] * 200
    again = next_puja_train.fitted_tuning(terms, np.full(200, 3))
    elsewhere = next_puja_train.fitted_tuning(terms, np.full(200, 0))
    assert again.known > Tuning().known > elsewhere.known
    assert next_puja_train.fitted_tuning([], np.zeros(0, np.int64)) == Tuning()


def test_family_that_resembles_those_who_keep_a_festival_is_surer():
    model = _next_puja(tuning=Tuning(likeness=0.5))
    family = Family(today=_TODAY)
    like, unlike = (
        {each.puja_id: each for each in model.suggest(family, [_DASHAIN], scores=scores)}["dashain"]
        for scores in (np.array([0, 0.4, 0, 0], np.float32), np.array([0, 0.02, 0, 0], np.float32))
    )
    assert like.confidence > 1.5 * unlike.confidence


def _likeness(past, **spoke):
    """The reasons for the festival's puja of a family that likeness alone brings to it."""
    model = _next_puja(tuning=Tuning(likeness=1.0))
    scores = np.array([0, 0.6, 0, 0], np.float32)
    added = {name: np.array([0, each, 0, 0], np.float32) for name, each in spoke.items()}
    (found,) = model.suggest(
        Family(today=_TODAY, past=past), [_DASHAIN], scores=scores, spoke=lambda: added, limit=1
    )
    assert found.puja_id == "dashain"
    assert (found.kind == SEASON) == (Code.SIMILAR not in {each.code for each in found.reasons})
    return {each.code: each for each in found.reasons}


def test_likeness_names_the_puja_that_spoke_most_of_those_that_were_held():
    held = (Past("monthly", date(2026, 3, 1)), Past("other", date(2025, 3, 1)))
    found = _likeness(held, monthly=0.1, other=0.4)
    assert found[Code.SIMILAR].data == {"puja": "other"}
    called_off = Past("birth", _TODAY, times=0, cancelled_running=2)
    found = _likeness((called_off, *held), birth=0.9, monthly=0.3, other=-0.1)
    assert found[Code.SIMILAR].data == {"puja": "monthly"}


@pytest.mark.parametrize("spoke", [{}, {"birth": 0.9}, {"other": -0.2}, {"dashain": 0.5}])
def test_likeness_that_nothing_held_explains_is_said_of_the_season(spoke):
    past = (
        Past("birth", _TODAY, times=0, cancelled_running=2),
        Past("other", date(2025, 3, 1)),
    )
    found = _likeness(past, **spoke)
    assert Code.SIMILAR not in found
    assert found[Code.SEASONAL].data == {"puja": "dashain", "month": _TODAY.month}


@settings(deadline=None)
@given(st.floats(0, 2), st.floats(-1, 3), st.floats(0, 1), st.floats(-3, 3), st.integers(1, 900))
def test_the_parts_of_a_puja_sum_to_its_pace_however_they_are_tuned(
    again, known, likeness, score, days
):
    family = Family(today=_TODAY, past=(Past("dashain", _TODAY - timedelta(days=days)),))
    scores = np.full(4, 0.1 + 0.2 * score, np.float32)
    terms = _next_puja().terms(family, [_DASHAIN], scores=scores)
    parts = terms.parts(Tuning(again, known, likeness))
    quick = np.exp(known * terms.known + likeness * terms.likeness)
    whole = quick * (
        terms.festival * terms.again_at_festival**again + terms.season * terms.again_by_month**again
    )
    assert np.sum(list(parts.values()), axis=0) == pytest.approx(whole, rel=1e-6)
    assert all((part >= 0).all() for part in parts.values())
