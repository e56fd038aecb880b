"""Reviews: what their writer, the pandit and moderators may do, and how they add up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain import review as rules
from server.domain.account import Actor, Role
from server.domain.booking import BookingStatus
from server.domain.errors import AlreadyExists, Forbidden, IllegalTransition, Invalid, NotFound
from server.domain.events import EventKind
from server.domain.review import (
    MAX_REPORTS,
    NO_REVIEWS,
    Opinion,
    RatingSums,
    Review,
    ReviewState,
    Stars,
)
from tests.factories import NOW, make_booking

DONE = make_booking(status=BookingStatus.COMPLETED)
GOOD = Opinion(Stars(rating=5, professionalism=4, knowledge=3, punctuality=2), " Fine. ", "राम्रो")


def actor(user_id: str, role: Role = Role.USER) -> Actor:
    return Actor(user_id=user_id, role=role, session_id="s", full_name="Somebody")


CUSTOMER, OTHER = actor("customer"), actor("other")
PANDIT, ADMIN = actor("pandit-user", Role.PANDIT), actor("admin", Role.ADMIN)


def written(**changes) -> Review:
    review = rules.written("r1", DONE, CUSTOMER, GOOD, NOW, ("admin",))
    return replace(review, outbox=(), **changes)


def published() -> Review:
    return replace(rules.approved(written(), ADMIN, 1, NOW, ""), outbox=())


def kinds(review: Review) -> list[EventKind]:
    return [event.kind for event in review.outbox]


def test_a_review_holds_what_was_written_and_shows_the_first_name_only():
    review = rules.written("r1", DONE, CUSTOMER, GOOD, NOW, ("admin",))
    assert review.stars == GOOD.stars
    assert (review.comment, review.comment_ne) == ("Fine.", "राम्रो")
    assert review.customer_name == "Sita S."
    assert (review.state, review.is_verified) == (ReviewState.OPEN, False)
    assert [(each.kind, each.recipients) for each in review.outbox] == [
        (EventKind.REVIEW_SUBMITTED, ("admin",))
    ]


def test_what_is_told_of_a_review_names_the_pandit_in_both_languages():
    booking = make_booking(status=BookingStatus.COMPLETED, pandit_name_ne="राम प्रसाद आचार्य")
    review = rules.written("r1", booking, CUSTOMER, GOOD, NOW, ())
    told = review.outbox[-1].params
    assert (told["pandit"], told["pandit_ne"]) == (booking.pandit_name, "राम प्रसाद आचार्य")


@pytest.mark.parametrize("status", sorted(set(BookingStatus) - {BookingStatus.COMPLETED}))
def test_before_completion_nothing_is_reviewed(status):
    with pytest.raises(IllegalTransition):
        rules.written("r1", make_booking(status=status), CUSTOMER, GOOD, NOW, ())


@pytest.mark.parametrize("who", [OTHER, PANDIT, ADMIN])
def test_nobody_but_the_customer_reviews(who):
    with pytest.raises(NotFound):
        rules.written("r1", DONE, who, GOOD, NOW, ())


@pytest.mark.parametrize("name", ["rating", "professionalism", "knowledge", "punctuality"])
@pytest.mark.parametrize("value", [0, 6, -1])
def test_stars_are_one_to_five(name, value):
    with pytest.raises(Invalid) as refused:
        rules.check_opinion(Opinion(replace(GOOD.stars, **{name: value})))
    assert [fault.field for fault in refused.value.faults] == [name]


def test_an_approval_publishes_and_tells_both():
    review = rules.approved(written(), ADMIN, 7, NOW, "")
    assert (review.state, review.turns) == (ReviewState.PUBLISHED, (7,))
    assert [(each.kind, each.recipients) for each in review.outbox] == [
        (EventKind.REVIEW_RECEIVED, ("pandit-user",)),
        (EventKind.REVIEW_PUBLISHED, ("customer",)),
    ]
    assert len({event.id for event in review.outbox}) == 2


def test_the_same_decision_again_takes_no_turn():
    again = rules.approved(published(), ADMIN, 9, NOW, "seen")
    assert (again.turns, again.notes, kinds(again)) == ((1,), "seen", [])
    hidden = replace(rules.withdrawn(published(), ADMIN, 2, NOW, ""), outbox=())
    assert rules.withdrawn(hidden, ADMIN, 9, NOW, "").turns == (1, 2)
    assert kinds(rules.withdrawn(hidden, ADMIN, 9, NOW, "")) == []


def test_what_was_never_public_is_withdrawn_without_a_turn():
    hidden = rules.withdrawn(written(), ADMIN, 4, NOW, "Names a person")
    assert (hidden.state, hidden.turns) == (ReviewState.WITHDRAWN, ())
    assert kinds(hidden) == [EventKind.REVIEW_WITHDRAWN]


def test_who_is_published_a_second_time_is_not_told_again():
    hidden = replace(rules.withdrawn(published(), ADMIN, 2, NOW, ""), outbox=())
    again = rules.approved(hidden, ADMIN, 3, NOW, "")
    assert again.turns == (1, 2, 3)
    assert [again.sign_of(turn) for turn in again.turns] == [1, -1, 1]
    assert [(each.kind, each.recipients) for each in again.outbox] == [
        (EventKind.REVIEW_PUBLISHED, ())
    ]


def test_the_pandit_answers_once():
    answered = rules.replied(published(), PANDIT, " Thank you ", "", NOW)
    assert answered.reply is not None
    assert (answered.reply.text, kinds(answered)) == ("Thank you", [EventKind.REVIEW_REPLIED])
    with pytest.raises(AlreadyExists):
        rules.replied(answered, PANDIT, "More", "", NOW)
    with pytest.raises(Invalid):
        rules.replied(published(), PANDIT, " ", "", NOW)


@pytest.mark.parametrize("who", [CUSTOMER, OTHER, ADMIN, actor("another", Role.PANDIT)])
def test_nobody_else_answers(who):
    with pytest.raises(NotFound):
        rules.replied(published(), who, "Hm", "", NOW)


def test_what_is_not_public_is_neither_answered_nor_reported():
    with pytest.raises(NotFound):
        rules.replied(written(), PANDIT, "Hm", "", NOW)
    with pytest.raises(NotFound):
        rules.reported(written(), PANDIT, "Hm", NOW, ())


def test_a_report_opens_a_review_that_stays_public():
    told = rules.reported(published(), PANDIT, " Not true ", NOW, ("admin",))
    assert (told.state, told.is_verified, told.reports[0].reason) == (
        ReviewState.OPEN, True, "Not true",
    )  # fmt: skip
    assert kinds(told) == [EventKind.REVIEW_REPORTED]
    again = rules.reported(replace(told, outbox=()), PANDIT, "Still not", NOW, ("admin",))
    assert (len(again.reports), kinds(again)) == (1, [])
    second = rules.reported(replace(told, outbox=()), OTHER, "Rude", NOW, ("admin",))
    assert (len(second.reports), kinds(second)) == (2, [])
    closed = rules.approved(second, ADMIN, 9, NOW, "")
    assert (closed.state, closed.turns) == (ReviewState.PUBLISHED, (1,))


def test_nobody_reports_himself_and_reports_are_bounded():
    with pytest.raises(Forbidden):
        rules.reported(published(), CUSTOMER, "Mine", NOW, ())
    review = published()
    for number in range(MAX_REPORTS + 5):
        review = rules.reported(review, actor(f"u{number}"), "Rude", NOW + timedelta(1), ())
    assert len(review.reports) == MAX_REPORTS


STARS = st.builds(
    Stars,
    rating=st.integers(1, 5),
    professionalism=st.integers(1, 5),
    knowledge=st.integers(1, 5),
    punctuality=st.integers(1, 5),
)


@given(st.lists(STARS, min_size=1, max_size=8), st.lists(st.integers(0, 7), max_size=60))
def test_sums_equal_a_fresh_count_after_any_decisions(opinions, choices):
    """Each choice approves a review that is not public, or withdraws one that is."""
    reviews = [
        written(
            id=f"r{place}",
            rating=stars.rating,
            professionalism=stars.professionalism,
            knowledge=stars.knowledge,
            punctuality=stars.punctuality,
        )
        for place, stars in enumerate(opinions)
    ]
    sums = NO_REVIEWS
    for choice in choices:
        place = choice % len(reviews)
        review = reviews[place]
        decide = rules.withdrawn if review.is_verified else rules.approved
        turn = sums.turn + 1
        reviews[place] = decide(review, ADMIN, turn, NOW, "")
        sums = sums.with_turn(turn, review.stars, reviews[place].sign_of(turn))
        counted = [each for each in reviews if each.is_verified]
        assert sums == RatingSums(
            turn=turn,
            count=len(counted),
            rating=sum(each.rating for each in counted),
            professionalism=sum(each.professionalism for each in counted),
            knowledge=sum(each.knowledge for each in counted),
            punctuality=sum(each.punctuality for each in counted),
        )


def test_turns_are_taken_in_order_alone():
    stars = GOOD.stars
    with pytest.raises(ValueError, match="does not follow"):
        NO_REVIEWS.with_turn(2, stars, 1)
    once = NO_REVIEWS.with_turn(1, stars, 1)
    with pytest.raises(ValueError, match="does not follow"):
        once.with_turn(1, stars, 1)
    assert once.mean(once.rating) == 5.0
    assert NO_REVIEWS.mean(0) == 0.0


@pytest.mark.parametrize(
    ("full", "public"),
    [("Sita Sharma", "Sita S."), ("Sita", "Sita"), ("राम प्रसाद आचार्य", "राम आ."), ("", "")],
)
def test_the_public_reads_a_first_name(full, public):
    assert rules.public_name(full) == public
