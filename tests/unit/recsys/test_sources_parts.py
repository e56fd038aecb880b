"""A running database is read in parts that leave nothing out and have nothing twice."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.sources import _months, _ranges


def _holds(condition, value):
    if not condition:
        return True
    ((_, bounds),) = condition.items()
    return all(
        value >= bound if name == "$gte" else value < bound for name, bound in bounds.items()
    )


@settings(deadline=None)
@given(st.integers(-7300, 14600))
def test_every_instant_is_in_one_part(days):
    instant = datetime(2010, 1, 1, tzinfo=UTC) + timedelta(days=days, seconds=days % 7)
    assert sum(_holds(each, instant) for each in _months("at")) == 1


def test_a_part_is_a_month_at_most():
    for each in list(_months("at"))[1:-1]:
        assert each["at"]["$lt"] - each["at"]["$gte"] <= timedelta(days=31)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 900), st.text(max_size=4))
def test_every_name_is_in_one_part_of_a_few_names(count, other):
    names = [f"{number * 7919 % 100_003:06}" for number in range(count)]
    parts = list(_ranges("name", names))
    for name in (*names[:50], other):
        assert sum(_holds(each, name) for each in parts) == 1
    assert all(sum(_holds(each, name) for name in names) <= 200 for each in parts)
