"""The demo town as a whole, a value: the same seed and moment give the same town, id for id.

Each part draws from a random source of its own, so that a change of one leaves the others alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from server.demo import phrases
from server.demo.bookings import Historian, Materials, Story
from server.demo.conversations import Conversation, Talk
from server.demo.money import make_money
from server.demo.residents import (
    Customer,
    Ids,
    Priest,
    make_admin,
    make_customers,
    make_priests,
)
from server.domain.account import NEPAL, User
from server.domain.booking import Booking
from server.domain.calendar import local_instant, local_today
from server.domain.chat import ChatRoom, Message
from server.domain.events import Event, EventKind
from server.domain.ledger import LedgerEntry
from server.domain.notification import Notification
from server.domain.pandit import Pandit, VerificationStatus
from server.domain.payment import Payment
from server.domain.payout import Payout
from server.domain.ports.world import Translator
from server.domain.review import RatingSums, Review, public_name
from server.services.notification_texts import WORDINGS, compose
from server.services.notifications import notification_of

_TOLD_DAYS: Final = 30
_LONG_SEEN: Final = timedelta(hours=36)
_REVIEW_SHARE: Final = 0.55
_MODERATED_AFTER: Final = timedelta(days=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """Everything that a seeded database holds beside the catalogue."""

    users: tuple[User, ...]
    pandits: tuple[Pandit, ...]
    bookings: tuple[Booking, ...]
    reviews: tuple[Review, ...]
    rooms: tuple[ChatRoom, ...]
    messages: tuple[Message, ...]
    notifications: tuple[Notification, ...]
    payments: tuple[Payment, ...]
    entries: tuple[LedgerEntry, ...]
    payouts: tuple[Payout, ...]


def make_town(
    materials: Materials,
    translator: Translator,
    *,
    password_hash: str,
    now: datetime,
    seed: int,
) -> Town:
    """Make the town as it is at ``now`` (UTC, whole seconds count).

    Everybody signs in with the password of ``password_hash``.
    """
    now = now.replace(microsecond=0)

    def source(part: str) -> tuple[Random, Ids]:
        return Random(f"{seed}.{part}"), Ids(Random(f"{seed}.{part}.ids"))

    admin = make_admin(source("admin")[1], password_hash, now)
    customers = make_customers(*source("customers"), password_hash, now)
    priests = make_priests(*source("pandits"), password_hash, now, materials.pujas)
    historian = Historian(*source("bookings"), materials, customers, priests, now)
    # What the demo's own accounts show comes first, so that nobody else has taken the time.
    stories = [*_shown(historian, customers, priests, now), *historian.stories()]
    money = make_money(*source("money"), stories, admin, now)
    stories = [*money.stories]
    reviews = _counted(_reviews(*source("reviews"), stories, now))
    talk = Talk(*source("chats"), translator, now)
    conversations = [each for each in map(talk.of, stories) if each is not None]
    users = {each.id: each for each in _users(admin, customers, priests, stories)}
    events = _recent_events(admin, priests, stories, conversations, now)
    notifications = _notifications(*source("notifications"), events, users, translator, now)
    return Town(
        users=tuple(users.values()),
        pandits=tuple(_rated(priest.pandit, reviews) for priest in priests),
        bookings=tuple(story.booking for story in stories),
        reviews=reviews,
        rooms=tuple(each.room for each in conversations),
        messages=tuple(message for each in conversations for message in each.messages),
        notifications=tuple(notifications),
        payments=money.payments,
        entries=money.entries,
        payouts=money.payouts,
    )


def _shown(
    historian: Historian, customers: Sequence[Customer], priests: Sequence[Priest], now: datetime
) -> Iterator[Story]:
    """Requests that wait for the demo's pandit, and what lies ahead of the demo's customer."""
    customer, priest = customers[0], priests[0]
    neighbours = [each for each in customers[1:] if each.city.region == priest.city.region]
    services = [each for each in priest.pandit.services if each.duration_minutes <= 180]
    today_at = now.astimezone(ZoneInfo(NEPAL)).time()
    # Late in the evening nobody asks for today any more.
    first_day = 0 if today_at < time(15) else 1
    for place, days_ahead in enumerate((first_day, first_day, 1, 1, 2)):
        story = historian.story(
            neighbours[place],
            (priest, services[place % len(services)]),
            days_ahead=days_ahead,
            created_at=now - timedelta(minutes=25 + 40 * place),
            answered_at=None,
        )
        if story is not None:
            yield story
    others = [
        each
        for each in priests[1:]
        if each.pandit.is_bookable and each.city.region == customer.city.region
    ]
    plans = (
        (priest, 3, timedelta(days=4), True),
        (others[0], 6, timedelta(days=2), True),
        (priest, 16, timedelta(days=1), True),
        (others[1], 9, timedelta(hours=1), False),
    )
    for whom, days_ahead, ago, is_answered in plans:
        offered = [each for each in whom.pandit.services if each.is_available]
        for later in range(7):
            created_at = now - ago
            story = historian.story(
                customer,
                (whom, offered[0]),
                days_ahead=days_ahead + later,
                created_at=created_at,
                answered_at=created_at + timedelta(minutes=50) if is_answered else None,
            )
            if story is not None:
                yield story
                break


def _users(
    admin: User,
    customers: Iterable[Customer],
    priests: Iterable[Priest],
    stories: Iterable[Story],
) -> Iterator[User]:
    """All accounts; nobody has booked before he had one."""
    first: dict[str, datetime] = {}
    for story in stories:
        booking = story.booking
        earlier = first.get(booking.user_id, booking.created_at)
        first[booking.user_id] = min(earlier, booking.created_at)
    yield admin
    for priest in priests:
        yield priest.user
    for customer in customers:
        user = customer.user
        joined = min(user.created_at, first.get(user.id, user.created_at) - timedelta(minutes=9))
        yield replace(user, created_at=joined, updated_at=joined)


def _reviews(random: Random, ids: Ids, stories: Iterable[Story], now: datetime) -> Iterator[Review]:
    for story in stories:
        booking = story.booking
        if booking.completed_at is None or random.random() > _REVIEW_SHARE:
            continue
        created_at = booking.completed_at + timedelta(hours=random.uniform(2, 100))
        created_at = created_at.replace(microsecond=0)
        if created_at >= now:
            continue
        rating = _marks(random, story.priest.skill)
        comment, comment_ne = random.choice(phrases.COMMENTS[rating])
        if random.random() < 0.25:
            comment, comment_ne = "", ""
        yield Review(
            id=ids.at(created_at),
            booking_id=booking.id,
            user_id=booking.user_id,
            customer_name=public_name(booking.customer_name),
            pandit_id=booking.pandit_id,
            pandit_user_id=booking.pandit_user_id,
            pandit_name=booking.pandit_name,
            pandit_name_ne=booking.pandit_name_ne,
            puja_id=booking.puja_id,
            service_name=booking.service_name,
            service_name_ne=booking.service_name_ne,
            held_on=booking.booking_date,
            rating=rating,
            professionalism=_marks(random, rating + 0.1),
            knowledge=_marks(random, rating + 0.2),
            punctuality=_marks(random, rating - 0.2),
            comment=comment,
            comment_ne=comment_ne,
            is_verified=created_at < now - _MODERATED_AFTER or random.random() < 0.4,
            created_at=created_at,
            updated_at=created_at,
        )


def _counted(reviews: Iterable[Review]) -> tuple[Review, ...]:
    """Give the approved ones their pandits' turns, by age; the others wait for a moderator."""
    turns: Counter[str] = Counter()
    counted = []
    for review in sorted(reviews, key=lambda each: (each.created_at, each.id)):
        if review.is_verified:
            turns[review.pandit_id] += 1
            counted.append(replace(review, turns=(turns[review.pandit_id],)))
        else:
            counted.append(replace(review, is_open=True))
    return tuple(counted)


def _marks(random: Random, middle: float) -> int:
    return max(1, min(5, round(random.gauss(middle, 0.6))))


def _rated(pandit: Pandit, reviews: Iterable[Review]) -> Pandit:
    sums = RatingSums()
    for review in reviews:
        if review.pandit_id == pandit.id and review.is_verified:
            sums = sums.with_turn(sums.turn + 1, review.stars, 1)
    return replace(pandit, sums=sums, rating=sums.mean(sums.rating), review_count=sums.count)


def _recent_events(
    admin: User,
    priests: Iterable[Priest],
    stories: Iterable[Story],
    conversations: Iterable[Conversation],
    now: datetime,
) -> list[Event]:
    events = [event for story in stories for event in story.events]
    events += [event for each in conversations for event in each.notices]
    for priest in priests:
        pandit = priest.pandit
        if pandit.verification_status is VerificationStatus.APPROVED:
            continue
        events.append(
            Event(
                id=f"{pandit.id}.1.0",
                kind=EventKind.PANDIT_REGISTERED,
                at=pandit.date_joined,
                recipients=(admin.id,),
                params={"pandit": pandit.full_name},
            )
        )
        if pandit.verification_status is VerificationStatus.REJECTED:
            events.append(
                Event(
                    id=f"{pandit.id}.2.0",
                    kind=EventKind.PANDIT_REJECTED,
                    at=pandit.date_joined + timedelta(hours=20),
                    recipients=(pandit.user_id,),
                    params={
                        "pandit": pandit.full_name,
                        "pandit_id": pandit.id,
                        "notes": pandit.verification_notes,
                        "status": pandit.verification_status,
                    },
                )
            )
    first = local_instant(local_today(now, NEPAL) - timedelta(days=_TOLD_DAYS), time.min, NEPAL)
    recent = [event for event in events if event.kind in WORDINGS and first <= event.at]
    return sorted(recent, key=lambda event: (event.at, event.id))


def _notifications(
    random: Random,
    ids: Ids,
    events: Iterable[Event],
    users: dict[str, User],
    translator: Translator,
    now: datetime,
) -> Iterator[Notification]:
    numbers: defaultdict[str, int] = defaultdict(int)
    for event in events:
        for user_id in event.recipients:
            user = users[user_id]
            numbers[user_id] += 1
            texts = compose(event, translator, ZoneInfo(user.timezone))
            told = notification_of(event, user, texts, ids.at(event.at))
            told = replace(told, sequence=numbers[user_id])
            is_seen = event.at < now - _LONG_SEEN or (
                event.kind is not EventKind.NEW_MESSAGE and random.random() < 0.3
            )
            if is_seen:
                read_at = event.at + timedelta(hours=random.uniform(0.05, 10))
                told = replace(told, is_read=True, read_at=min(read_at, now).replace(microsecond=0))
            yield told
