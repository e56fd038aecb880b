"""The rules of certificates and portfolios."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import papers as rules
from server.domain.errors import Invalid, NotFound
from server.domain.papers import Certificate, Papers, Picture
from tests.factories import NOW


def picture(name: str) -> Picture:
    return Picture(id=name, mime="image/png", size=9, width=3, height=2, uploaded_at=NOW)


def album(*names: str) -> Papers:
    return Papers(id="pandit", portfolio=tuple(picture(name) for name in names))


def names(papers: Papers) -> list[str]:
    return [each.id for each in papers.portfolio]


def test_one_too_many_is_refused():
    two = album("a", "b")
    assert names(rules.with_picture(two, picture("c"), 3)) == ["a", "b", "c"]
    with pytest.raises(Invalid, match="too-many"):
        rules.with_picture(two, picture("c"), 2)
    paper = Certificate(id="x", name="x.pdf", mime="application/pdf", size=1, uploaded_at=NOW)
    with pytest.raises(Invalid, match="too-many"):
        rules.with_certificate(two, paper, 0)


@pytest.mark.parametrize("order", [["a"], ["a", "b", "b"], ["a", "b", "c", "d"], ["a", "b", "x"]])
def test_an_order_names_each_picture_once(order):
    with pytest.raises(Invalid):
        rules.in_order(album("a", "b", "c"), order)


@given(st.permutations("abcde"), st.sampled_from("abcde"), st.integers(-9, 9))
def test_moving_loses_nothing_and_keeps_the_others_in_order(order, name, steps):
    moved = names(rules.moved(album(*order), name, steps))
    assert sorted(moved) == sorted(order)
    assert [each for each in moved if each != name] == [each for each in order if each != name]
    assert moved.index(name) == min(max(order.index(name) + steps, 0), 4)


def test_what_is_not_there_is_not_found():
    for change in (
        lambda: rules.without_picture(album("a"), "b"),
        lambda: rules.moved(album("a"), "b", 1),
        lambda: rules.with_captions(album("a"), "b", "x", None),
        lambda: rules.without_certificate(album("a"), "a"),
    ):
        with pytest.raises(NotFound):
            change()
