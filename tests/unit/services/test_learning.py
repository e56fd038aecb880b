"""The ids of recommendations, and the counters' buffer."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.booking import with_samagri, without_line
from server.domain.errors import Invalid, StoreUnavailable
from server.domain.learning import Counter, CounterKey, Feedback, FeedbackKind, Surface, Trial
from server.services.learning import (
    CounterBuffer,
    RecommendationIds,
    _added_by_itself,
    _list_changes,
)
from tests.factories import make_booking, make_line

NOW = datetime(2026, 11, 22, 4, 15, tzinfo=UTC)
IDS = RecommendationIds("s" * 40)


def issue(ids: RecommendationIds = IDS, **overrides: Any) -> str:
    given: dict[str, Any] = {
        "user_id": "sita",
        "surface": Surface.SAMAGRI,
        "version": "v1",
        "arm": "model",
        "puja_id": "ganesh-puja",
        "targets": ["haldi", "ghee"],
        "now": NOW,
    }
    return ids.issue(**{**given, **overrides})


def test_an_id_says_what_it_was_made_of() -> None:
    said = IDS.read(issue(), "sita", NOW + timedelta(days=29))
    assert (said.user_id, said.surface, said.version, said.arm) == (
        "sita",
        Surface.SAMAGRI,
        "v1",
        "model",
    )
    assert (said.puja_id, said.issued_at) == ("ganesh-puja", NOW)
    assert said.names("haldi")
    assert said.names("ghee")
    assert not said.names("camphor")


def test_two_recommendations_of_the_same_have_two_ids() -> None:
    assert IDS.read(issue(), "sita", NOW).id != IDS.read(issue(), "sita", NOW).id


def test_an_id_is_short_enough_to_be_sent_back_whatever_it_names() -> None:
    long = issue(
        targets=[f"{number:024x}" for number in range(300)],
        version="20260401T031500Z-3f9c2a1b",
        puja_id="p" * 64,
    )
    assert len(long) < 1200
    assert IDS.read(long, "sita", NOW).names(f"{99:024x}")
    assert not IDS.read(long, "sita", NOW).names(f"{100:024x}")


def test_an_id_says_which_thing_was_tried_and_with_what_chance() -> None:
    said = IDS.read(issue(tried=("ghee", Trial(4, 0.25))), "sita", NOW)
    assert said.trial_of("ghee") == Trial(4, 0.25)
    assert said.trial_of("haldi") is None
    assert IDS.read(issue(), "sita", NOW).trial_of("ghee") is None


def test_what_stands_for_a_target_cannot_be_found_without_the_secret() -> None:
    """Else somebody could look for another text that stands for the same, and report on that."""
    said, again = (IDS.read(issue(), "sita", NOW) for _ in range(2))
    other = RecommendationIds("o" * 40)
    foreign = other.read(issue(other, now=NOW), "sita", NOW)
    assert len(said.fingerprints | again.fingerprints | foreign.fingerprints) == 6
    plain = {hashlib.sha256(each.encode()).digest() for each in ("haldi", "ghee")}
    assert not any(each.startswith(part) for each in plain for part in said.fingerprints)
    assert said.key.hex() not in repr(said)


def test_an_id_holds_while_the_secret_is_changed_and_no_longer() -> None:
    text = issue(RecommendationIds("old" * 20))
    said = RecommendationIds("new" * 20, "old" * 20).read(text, "sita", NOW)
    assert said.user_id == "sita"
    assert said.names("haldi")
    with pytest.raises(Invalid):
        RecommendationIds("new" * 20).read(text, "sita", NOW)


@pytest.mark.parametrize(("user_id", "later"), [("gita", 0), ("sita", 31)])
def test_an_id_is_for_its_user_and_its_time(user_id: str, later: int) -> None:
    with pytest.raises(Invalid):
        IDS.read(issue(), user_id, NOW + timedelta(days=later))


@given(st.text(max_size=200))
def test_no_text_is_an_id_by_accident(text: str) -> None:
    with pytest.raises(Invalid):
        IDS.read(text, "sita", NOW)


@given(st.data())
def test_no_changed_character_goes_unnoticed(data: st.DataObject) -> None:
    text = issue()
    # The last character has bits that stand for nothing.
    place = data.draw(st.integers(0, len(text) - 2))
    other = data.draw(st.sampled_from("ABCabc012-_").filter(lambda each: each != text[place]))
    with pytest.raises(Invalid):
        IDS.read(text[:place] + other + text[place + 1 :], "sita", NOW)


def test_what_the_customer_put_on_the_list_himself_and_took_off_tells_nothing_of_a_model() -> None:
    own = make_line("incense", source="customer", auto_added=False, user_added=True)
    ready = make_line("mala", source="template", auto_added=False)
    lines = (make_line("haldi", advised_by="v1"), make_line("camphor"), own, ready)
    booking = with_samagri(make_booking(), lines, (), NOW)
    for item_id in ("camphor", "incense", "mala"):
        booking = without_line(booking, item_id, NOW)
    assert {(row.kind, row.target) for row in _added_by_itself(booking, "", NOW)} == {
        (FeedbackKind.SHOWN, "haldi"),
        (FeedbackKind.SHOWN, "camphor"),
        (FeedbackKind.ADDED, "haldi"),
        (FeedbackKind.REMOVED, "camphor"),
    }
    changes = [(row.kind, row.item_id) for row in _list_changes(booking, {}, NOW)]
    assert changes == [("samagri_removed", "camphor")]


class Counters:
    """Adds up what it is given; away while told so."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, str], int] = {}
        self.calls = 0
        self.is_away = False
        self.called = asyncio.Event()

    async def add(self, increments: Mapping[CounterKey, Mapping[str, int]]) -> None:
        self.calls += 1
        self.called.set()
        if self.is_away:
            raise StoreUnavailable
        for key, fields in increments.items():
            for field, count in fields.items():
                place = (key.target, field)
                self.sums[place] = self.sums.get(place, 0) + count

    async def list_totals(self, limit: int) -> list[Counter]:
        raise NotImplementedError

    async def list_targets(self, version: str, surface: str, limit: int) -> list[Counter]:
        raise NotImplementedError


def row(target: str, kind: FeedbackKind = FeedbackKind.SHOWN) -> Feedback:
    return Feedback(
        rec_id="r",
        target=target,
        kind=kind,
        user_id="sita",
        surface=Surface.SAMAGRI,
        version="v1",
        arm="model",
        at=NOW,
    )


async def test_a_hundred_rows_are_one_command() -> None:
    counters = Counters()
    buffer = CounterBuffer(counters)
    buffer.count(row(f"item-{number % 10}") for number in range(100))
    buffer.count([row("item-0", FeedbackKind.PURCHASED), row("item-0", FeedbackKind.FAVOURITE)])
    assert await buffer.flush() == 11
    assert counters.calls == 1
    assert counters.sums["item-0", "times_recommended"] == 10
    assert counters.sums["", "times_recommended"] == 100
    assert counters.sums["", "times_purchased"] == 1
    assert await buffer.flush() == 0
    assert counters.calls == 1


async def test_what_is_counted_is_written_by_itself_and_at_the_end() -> None:
    counters = Counters()
    buffer = CounterBuffer(counters, every_seconds=0.01)
    async with buffer.running(), asyncio.timeout(5):
        buffer.count([row("haldi")])
        await counters.called.wait()
    late = CounterBuffer(counters, every_seconds=3600)
    async with late.running():
        late.count([row("haldi")])
    assert counters.sums["haldi", "times_recommended"] == 2


async def test_a_write_that_failed_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    """It may have happened: a count is rather lost than doubled, and that is told."""
    counters = Counters()
    buffer = CounterBuffer(counters)
    buffer.count([row("haldi")])
    counters.is_away = True
    assert await buffer.flush() == 0
    counters.is_away = False
    buffer.count([row("haldi")])
    await buffer.flush()
    assert counters.sums["haldi", "times_recommended"] == 1
    assert [each.getMessage() for each in caplog.records] == ["recommendation_counts_lost"]


async def test_the_buffer_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    buffer = CounterBuffer(counters, max_keys=4)
    buffer.count(row(f"item-{number}") for number in range(10))
    assert await buffer.flush() == 4
    assert counters.sums["", "times_recommended"] == 10
    assert caplog.records[0].__dict__["lost"] == 7
