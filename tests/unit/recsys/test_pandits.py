from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.metrics import kendall_tau
from recsys.pandits import (
    DEFAULT_WEIGHTS,
    Candidates,
    PanditParams,
    PanditRanker,
    Wish,
    exposure,
    fitted_prior,
    fitted_weights,
    haversine_km,
    lower_rating,
    shrunk_rating,
)

_HERE = Wish(latitude=27.7, longitude=85.3)


def _candidates(count, seed=0, **columns):
    random = np.random.default_rng(seed)
    reviews = random.integers(0, 60, count).astype(float)
    base = {
        "pandit_id": [f"p{number:03}" for number in range(count)],
        "is_eligible": np.ones(count, bool),
        "is_free": random.random(count) < 0.8,
        "must_move": np.ones(count, bool),
        "latitude": 27.7 + random.normal(0, 0.1, count),
        "longitude": 85.3 + random.normal(0, 0.1, count),
        "max_km": np.full(count, np.inf),
        "rating_sum": np.round(reviews * random.uniform(2.5, 5, count)),
        "rating_count": reviews,
        "done_this": random.integers(0, 50, count).astype(float),
        "done_other": random.integers(10, 200, count).astype(float),
        "years": random.integers(0, 40, count).astype(float),
        "cancelled": random.integers(0, 5, count).astype(float),
        "no_show": random.integers(0, 2, count).astype(float),
        "language": random.choice([0, 0.5, 1, np.nan], count),
        "past_times": np.zeros(count),
        "past_stars": np.full(count, np.nan),
        "affinity": np.where(random.random(count) < 0.5, random.random(count), np.nan),
        "price": random.integers(1, 9, count) * 100_000.0,
        "shown": np.zeros(count),
        "booked": np.zeros(count),
    }
    return Candidates(**(base | columns))


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 1000), st.booleans(), st.none() | st.integers(0, 10**6))
def test_contributions_sum_to_the_score_and_all_is_within_0_and_1(count, seed, located, budget):
    wish = replace(_HERE if located else Wish(), budget=budget, seed="u:d:s")
    ranked = PanditRanker().rank(_candidates(count, seed), wish)
    assert len(ranked) == count
    for each in ranked:
        assert sum(f.contribution for f in each.factors.values()) == pytest.approx(
            each.score, abs=1e-6
        )
        assert sum(f.weight for f in each.factors.values()) == pytest.approx(1)
        assert 0 <= each.score <= 1
        assert all(0 <= f.value <= 1 for f in each.factors.values())
        assert ("location" in each.factors) == located
        assert ("price" in each.factors) == (budget is not None)
    by_merit = [each.score for each in ranked if not each.explored]
    assert by_merit == sorted(by_merit, reverse=True)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.randoms())
def test_order_does_not_depend_on_the_order_of_candidates(count, random):
    candidates = _candidates(count, done_other=np.zeros(count))
    rows = list(range(count))
    random.shuffle(rows)
    wish = replace(_HERE, seed="someone:2026-01-01:samagri")
    first = PanditRanker().rank(candidates, wish)
    second = PanditRanker().rank(candidates.take(np.array(rows)), wish)
    assert [each.pandit_id for each in first] == [each.pandit_id for each in second]


@pytest.mark.parametrize(
    ("column", "value", "wish"),
    [
        ("is_eligible", False, _HERE),
        ("max_km", 0.5, _HERE),
        ("past_stars", 2.0, _HERE),
        ("language", 0.0, replace(_HERE, needs_language=True)),
        ("pandit_id", "blocked", replace(_HERE, blocked=frozenset({"blocked"}))),
    ],
)
def test_hard_filters(column, value, wish):
    candidates = _candidates(4, language=np.ones(4), latitude=np.full(4, 28.0))
    changed = list(getattr(candidates, column))
    changed[1] = value
    of_type = changed if column == "pandit_id" else np.array(changed)
    ranked = PanditRanker().rank(replace(candidates, **{column: of_type}), wish)
    assert len(ranked) == 3
    assert "p001" not in {each.pandit_id for each in ranked}


def test_who_is_neither_free_nor_can_move_falls_away():
    candidates = _candidates(
        3, is_free=np.array([True, False, False]), must_move=np.array([False, True, False])
    )
    ranked = {each.pandit_id: each for each in PanditRanker().rank(candidates, _HERE)}
    assert set(ranked) == {"p000", "p001"}
    assert ranked["p000"].factors["availability"].value == 1.0
    assert ranked["p001"].factors["availability"].value == 0.6


def test_no_protected_trait_is_a_factor():
    names = " ".join([*DEFAULT_WEIGHTS, *Candidates.__dataclass_fields__]).lower()
    for trait in ("gender", "sex", "caste", "religion", "ethnic", "birth", "disab", "marital"):
        assert trait not in names
    assert "age" not in names.replace("language", "").split("_")


def test_haversine_of_kathmandu_to_pokhara():
    km = haversine_km(27.7172, 85.3240, np.array([28.2096]), np.array([83.9856]))
    assert km[0] == pytest.approx(142.6, abs=0.5)


def test_shrunken_rating_orders_new_pandits_better_than_the_raw_mean():
    random = np.random.default_rng(2)
    gains = []
    for _ in range(20):
        quality = random.beta(8, 2, 200)
        count = random.integers(1, 10, 200).astype(float)
        seen = [
            np.clip(np.rint(1 + 4 * (q + random.normal(0, 0.2, int(n)))), 1, 5).sum()
            for q, n in zip(quality, count, strict=True)
        ]
        total = np.array(seen)
        mean, weight = fitted_prior(total, count)
        shrunk = shrunk_rating(total, count, mean, weight)
        gains.append(kendall_tau(quality, shrunk) - kendall_tau(quality, total / count))
    assert np.mean(gains) - 2 * np.std(gains) / np.sqrt(20) > 0


def test_cautious_rating_prefers_the_proven():
    total, count = np.array([5.0, 240.0]), np.array([1.0, 50.0])
    new, proven = lower_rating(total, count, 4.2, 10.0)
    assert 1 < new < proven < 4.8


def _with_new(count=40, fresh=12):
    rows = np.arange(count) >= count - fresh
    return _candidates(
        count,
        done_this=np.where(rows, 0.0, 40.0),
        done_other=np.where(rows, 2.0, 150.0),
        rating_sum=np.where(rows, 0.0, 190.0),
        rating_count=np.where(rows, 0.0, 40.0),
        latitude=np.where(rows, 27.9, 27.72),
    )


def test_one_in_ten_of_the_top_five_places_goes_to_new_pandits():
    candidates, new = _with_new(), 0
    for day in range(600):
        wish = replace(_HERE, seed=f"user:{day}:1")
        ranked = PanditRanker().rank(candidates, wish, 5)
        explored = [each for each in ranked if each.explored]
        assert len(explored) <= 1
        assert all(each.rank in (4, 5) and 0 < each.propensity <= 0.25 for each in explored)
        new += len(explored)
    assert 0.085 <= new / 3000 <= 0.115


def test_a_reload_shows_the_same_list_and_zero_switches_it_off():
    candidates, wish = _with_new(), replace(_HERE, seed="user:7:1")
    assert PanditRanker().rank(candidates, wish) == PanditRanker().rank(candidates, wish)
    off = PanditRanker(PanditParams(new_share=0.0))
    assert not any(
        each.explored
        for day in range(50)
        for each in off.rank(candidates, replace(_HERE, seed=str(day)))
    )


def test_propensities_are_those_of_what_is_shown():
    candidates = _with_new(fresh=3)
    shown: dict[tuple[str, int], tuple[int, float]] = {}
    for day in range(4000):
        for each in PanditRanker().rank(candidates, replace(_HERE, seed=str(day)), 5):
            if each.explored:
                key = (each.pandit_id, each.rank)
                times, _ = shown.get(key, (0, 0))
                shown[key] = (times + 1, each.propensity)
    assert len(shown) == 6
    for times, propensity in shown.values():
        assert times / 4000 == pytest.approx(propensity, abs=4 * np.sqrt(propensity / 4000))


def test_exposure_report():
    report = exposure(
        np.array([6.0, 2.0, 2.0]),
        np.array([1.0, 1.0, 2.0]),
        np.array([False, True, False]),
        {"east": np.array([True, True, False])},
    )
    assert report.new_share == pytest.approx(0.2)
    assert report.by_group["east"] == pytest.approx(1.6)
    assert 0 < report.gini < 1


def test_weights_are_learned_from_whom_families_chose():
    random = np.random.default_rng(6)
    choices = []
    for seed in range(300):
        factors = PanditRanker().factors(_candidates(12, seed), _HERE)
        utility = 12 * factors["location"] + 2 * factors["experience"] + random.gumbel(size=12)
        choices.append((factors, int(np.argmax(utility))))
    weights = fitted_weights(choices)
    assert sum(weights.values()) == pytest.approx(1)
    assert max(weights, key=weights.__getitem__) == "location"
    assert min(weights.values()) >= 0
    few = fitted_weights(choices[:1])
    assert few["rating"] == pytest.approx(DEFAULT_WEIGHTS["rating"], abs=0.02)


def test_fitted_weights_of_many_choices_find_what_families_look_at():
    random = np.random.default_rng(5)
    choices = []
    for seed in range(1500):
        factors = PanditRanker().factors(_candidates(40, seed), _HERE)
        utility = 9 * factors["location"] + 3 * factors["rating"] - 2 * factors["experience"]
        choices.append((factors, int(np.argmax(utility + random.gumbel(size=40)))))
    weights = fitted_weights(choices)
    assert weights["experience"] == 0  # what they dislike is passed over, not held against him
    assert weights["location"] == pytest.approx(3 * weights["rating"], rel=0.25)
    assert weights["location"] + weights["rating"] > 0.75


def test_acquaintance_is_not_ranked_below_strangers():
    same = {name: np.full(2, 1.0) for name in ("done_this", "done_other", "years", "language")}
    same |= {name: np.zeros(2) for name in ("cancelled", "no_show", "rating_sum", "rating_count")}
    same |= {"affinity": np.full(2, np.nan), "is_free": np.ones(2, bool)}
    here = {"latitude": np.full(2, 27.7), "longitude": np.full(2, 85.3)}
    known = {"past_times": np.array([0.0, 1.0]), "past_stars": np.array([np.nan, 5.0])}
    ranked = PanditRanker().rank(_candidates(2, **same, **here, **known), _HERE)
    assert [each.pandit_id for each in ranked] == ["p001", "p000"]


def _served(new_share, seed=1, lists=3000):
    """Families book one of five by true quality; what was seen of the pandits grows with it.

    Returns the mean true quality of what was shown, and the share of the best new pandits that
    came to be known (three bookings or more).
    """
    random = np.random.default_rng(seed)
    count = 120
    quality = random.beta(8, 2, count)
    is_new = np.arange(count) >= 80
    quality[is_new] = random.permutation(np.linspace(0.55, 0.98, 40))
    best_new = is_new & (quality >= np.quantile(quality[is_new], 0.9))
    done = np.where(is_new, 0.0, 40.0)
    stars = np.where(is_new, 0.0, 40 * (1 + 4 * np.clip(quality, 0, 1)))
    reviews, shown, booked = done.copy(), np.zeros(count), np.zeros(count)
    ranker = PanditRanker(PanditParams(new_share=new_share))
    base = _candidates(count, seed, is_free=np.ones(count, bool), done_other=np.zeros(count))
    base = replace(base, language=np.ones(count), years=np.zeros(count))
    served = []
    for turn in range(lists):
        now = replace(
            base,
            done_this=done,
            rating_sum=stars,
            rating_count=reviews,
            shown=shown,
            booked=booked,
        )
        wish = Wish(
            latitude=27.7 + random.normal(0, 0.1),
            longitude=85.3 + random.normal(0, 0.1),
            seed=str(turn),
        )
        rows = [int(each.pandit_id[1:]) for each in ranker.rank(now, wish, 5)]
        served.append(quality[rows].mean())
        appeal = np.exp(6 * quality[rows])
        chosen = rows[random.choice(5, p=appeal / appeal.sum())]
        done[chosen] += 1
        reviews[chosen] += 1
        stars[chosen] += np.clip(np.rint(1 + 4 * (quality[chosen] + random.normal(0, 0.2))), 1, 5)
        for place in (3, 4):
            shown[rows[place]] += 1
            booked[rows[place]] += rows[place] == chosen
    return float(np.mean(served)), float((done[best_new] >= 3).mean())


def test_exploration_discovers_the_best_new_pandits_at_hardly_any_cost():
    with_chance, without = (
        [_served(share, seed, 800) for seed in (1, 2, 3)] for share in (0.1, 0.0)
    )
    found = [np.mean([each[1] for each in runs]) for runs in (with_chance, without)]
    served = [np.mean([each[0] for each in runs]) for runs in (with_chance, without)]
    assert found[0] > found[1]
    assert served[0] >= 0.98 * served[1]
