"""Columns in memory: hours that rule a day out, cursors whose pandit is gone, growth."""

from __future__ import annotations

from datetime import date, time

import pytest

from server.domain.calendar import Availability, DayException, DayHours, Interval
from server.domain.ports.pandits import PanditSearch
from server.store.pandit_index import PanditIndex
from server.store.pandits import pandit_document
from tests.pandit_factory import make_pandit, make_service

WEDNESDAY, SATURDAY = date(2026, 11, 25), date(2026, 11, 28)


def put(index: PanditIndex, pandit_id: str, **fields) -> None:
    document = pandit_document(make_pandit(pandit_id, **fields))
    index.put(document)


def hours(*spans: tuple[str, str], exceptions=()) -> Availability:
    intervals = tuple(Interval(time.fromisoformat(a), time.fromisoformat(b)) for a, b in spans)
    return Availability(
        weekly=tuple(
            DayHours(weekday=day, intervals=() if day == 6 else intervals) for day in range(1, 8)
        ),
        exceptions=exceptions,
    )


def found(index: PanditIndex, **wanted) -> set[str]:
    return set(index.find(PanditSearch(limit=100, **wanted)).ids)


@pytest.fixture
def index() -> PanditIndex:
    index = PanditIndex()
    put(index, "early", availability=hours(("05:00", "09:00")))
    put(index, "late", availability=hours(("16:00", "00:00")))
    put(index, "split", availability=hours(("06:00", "10:00"), ("15:00", "19:00")))
    away = DayException(on=WEDNESDAY)
    special = DayException(on=SATURDAY, intervals=(Interval(time(8), time(12)),))
    put(index, "excepted", availability=hours(("06:00", "18:00"), exceptions=(away, special)))
    return index


def test_those_remain_whose_hours_hold_the_time(index):
    assert found(index, day=WEDNESDAY) == {"early", "late", "split"}
    assert found(index, day=WEDNESDAY, at=time(6)) == {"early", "split"}
    assert found(index, day=WEDNESDAY, at=time(8, 45)) == {"early", "split"}
    assert found(index, day=WEDNESDAY, at=time(9)) == {"split"}
    assert found(index, day=WEDNESDAY, at=time(23, 45)) == {"late"}
    assert found(index, day=WEDNESDAY, at=time(12)) == set()
    assert found(index, day=SATURDAY) == {"excepted"}
    assert found(index, day=SATURDAY, at=time(8)) == {"excepted"}
    assert found(index, day=SATURDAY, at=time(12)) == set()


def test_new_hours_take_the_place_of_the_old(index):
    put(index, "excepted", availability=hours(("06:00", "18:00")))
    assert "excepted" in found(index, day=WEDNESDAY)
    assert found(index, day=SATURDAY) == set()


def test_what_a_pandit_no_longer_offers_or_is_called_no_longer_finds_him(index):
    other = make_service("other", puja_id="rudri-puja", name="Rudri", name_ne="")
    put(index, "early", full_name="Gopal Joshi", full_name_ne="", services=(other,))
    assert found(index, puja_ids=("rudri-puja",)) == {"early"}
    assert found(index, text="joshi") == found(index, text="rudri") == {"early"}
    assert found(index, puja_ids=("satyanarayan-puja",)) == {"late", "split", "excepted"}
    put(index, "early", full_name="Gopal Joshi", full_name_ne="", is_available=False)
    assert found(index, text="joshi") == set()


def test_it_grows_and_pages_join_whatever_comes_between():
    index = PanditIndex()
    for number in range(600):
        put(index, f"p{number:03}", experience_years=number % 7)
    wanted = PanditSearch(sort="experience", limit=50)
    whole = index.find(PanditSearch(sort="experience", limit=600))
    assert len(index) == len(whole.ids) == 600
    assert whole.next_key is None
    seen: list[str] = []
    after = None
    while True:
        page = index.find(PanditSearch(sort=wanted.sort, limit=wanted.limit, after=after))
        seen += page.ids
        if len(seen) == 100:
            # He on whom the cursor stands leaves, somebody comes behind it: neither disturbs it.
            put(index, seen[-1], experience_years=0, is_available=False)
            put(index, "a-new-one", experience_years=6)
        after = page.next_key
        if after is None:
            break
    assert seen == list(whole.ids)


def test_an_unknown_language_or_puja_finds_nobody(index):
    assert found(index, language="xx") == found(index, puja_ids=("no-such",)) == set()
    assert found(PanditIndex()) == set()


def test_an_older_document_that_comes_later_changes_nothing(index):
    put(index, "early", version=3, languages=("mai",))
    put(index, "early", version=2, languages=("ne",))
    assert found(index, language="mai") == {"early"}
    put(index, "early", version=3, languages=("new",))
    assert found(index, language="new") == {"early"}
    index.forget("early")
    assert "early" not in found(index)
    assert index.ids_after("early", 2) == ["excepted", "late"]
    assert index.ids_after("split", 2) == []
