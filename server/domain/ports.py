"""What the use cases need of the world, as contracts that the adapters fulfil.

Any method of a repository may raise ``errors.StoreUnavailable`` when the database is away; a write
may then have happened or not. Conditional writes are safe to repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Generic, Protocol, TypeVar

from server.domain.account import GeoPoint, OneTimeCode, Role, Session, User
from server.domain.analytics import (
    EarnedOn,
    Moved,
    Outcome,
    Period,
    Placed,
    RatedOn,
    Spending,
    Step,
    Tried,
)
from server.domain.audit import Act, AuditEntry
from server.domain.booking import Booking, BookingStatus, Offer, PaymentMethod, PaymentStatus
from server.domain.callback import Callback
from server.domain.catalogue import (
    Catalogue,
    Puja,
    PujaCategory,
    PujaTemplate,
    SamagriCategory,
    SamagriItem,
)
from server.domain.catalogue_import import CatalogueImport
from server.domain.chart import SavedChart
from server.domain.chat import Attachment, ChatRoom, Message, ReadMark, RoomHead
from server.domain.draft import Draft
from server.domain.events import Event
from server.domain.experiment import ArmCount, Exposure
from server.domain.feed import CalendarFeed
from server.domain.learning import (
    Counter,
    CounterKey,
    Feedback,
    Interaction,
    SamagriPreference,
)
from server.domain.ledger import Chain, LedgerEntry
from server.domain.notification import (
    Notification,
    NotificationPreferences,
    PushMessage,
    PushOutcome,
    PushSubscription,
)
from server.domain.pandit import Pandit, VerificationStatus
from server.domain.papers import Papers
from server.domain.payment import Payment
from server.domain.payout import Payout, PayoutStatus
from server.domain.places import NamedPlace
from server.domain.recommendation import (
    Adviser,
    Factor,
    FestivalDay,
    ModelListing,
    ModelState,
    PanditCandidate,
    PastBooking,
    Preferences,
)
from server.domain.recurrence import Series
from server.domain.review import CustomerRating, CustomerStanding, Review, ReviewState
from server.domain.search import Word, words_wanted
from server.domain.travel import Engagement

T = TypeVar("T")
SortKey = tuple[Any, ...]


class Clock(Protocol):
    """The present instant, in UTC."""

    def now(self) -> datetime:
        """Return an aware datetime in UTC."""
        ...


class IdSource(Protocol):
    """New opaque ids, unique for ever."""

    def new(self) -> str:
        """Return an id that nobody had before."""
        ...


class Translator(Protocol):
    """Texts in the languages of the product."""

    def text(self, language: str, message: str, **params: str | int) -> str:
        """Return the message in that language, its ``{placeholders}`` filled."""
        ...

    def plural(self, language: str, one: str, many: str, count: int, **params: str | int) -> str:
        """Return the singular or plural form for ``count``, which also fills ``{n}``."""
        ...


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A stretch of a list. ``next_key`` is the sort key to go on after, None at the end."""

    rows: tuple[T, ...]
    next_key: SortKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFilter:
    """Which accounts, the newest first; by phone, in the order of their numbers.

    ``phone`` is the beginning of a number in E.164; ``text`` is looked for at the beginnings of the
    words of a name, of a user name, and of an email.
    """

    phone: str | None = None
    text: str = ""
    role: Role | None = None
    is_active: bool | None = None
    limit: int = 20
    after: SortKey | None = None


class UserRepository(Protocol):
    """Accounts, unique by phone, email and username."""

    async def add(self, user: User) -> None:
        """Store a new account. Raises ``AlreadyExists`` with the field that is taken."""
        ...

    async def find(self, user_id: str) -> User | None:
        """Return the account, or None."""
        ...

    async def find_many(self, user_ids: Collection[str]) -> dict[str, User]:
        """Return the accounts that exist, by id."""
        ...

    async def find_by_identifier(self, identifier: str) -> User | None:
        """Return the account whose phone (E.164), email or username (lower case) that is.

        Or None.
        """
        ...

    async def update(self, user_id: str, changes: Mapping[str, Any]) -> User:
        """Set the named fields and return the account. Raises ``NotFound``, ``AlreadyExists``."""
        ...

    async def list_admin_ids(self) -> tuple[str, ...]:
        """Return the ids of all active admins (a handful)."""
        ...

    async def list_page(self, wanted: UserFilter) -> Page[User]:
        """Return accounts by one indexed query."""
        ...

    async def close_admin(self, admin_id: str, by: str) -> bool:
        """Let one administrator close the account of another, unless his own is closed meanwhile.

        False then. Of several who close each other's at once, one at least stays.
        """
        ...

    async def open_admin(self, admin_id: str) -> None:
        """Take an administrator off the list of those whose accounts are closed."""
        ...


class SessionRepository(Protocol):
    """Sign-in sessions. Expired ones disappear by themselves."""

    async def add(self, session: Session) -> None:
        """Store a new session."""
        ...

    async def find(self, session_id: str) -> Session | None:
        """Return the session, or None when it has ended or expired."""
        ...

    async def rotate(
        self, session_id: str, *, old_hash: str, new_hash: str, expires_at: datetime
    ) -> bool:
        """Replace the refresh hash if it still is ``old_hash``.

        Of two racing callers one gets True.
        """
        ...

    async def end(self, session_id: str) -> None:
        """End one session; ending an ended one is no error."""
        ...

    async def end_all(self, user_id: str) -> None:
        """End every session of a user."""
        ...

    async def list_of(self, user_id: str, limit: int) -> tuple[Session, ...]:
        """Return a user's sessions, the newest first."""
        ...


class CodeRepository(Protocol):
    """One-time codes, at most one a phone number. Expired ones disappear by themselves."""

    async def put(self, code: OneTimeCode, *, replacing_before: datetime) -> bool:
        """Store the code unless one was sent after that instant.

        Of racing callers one gets True.
        """
        ...

    async def find(self, phone_number: str) -> OneTimeCode | None:
        """Return the code without using a try, or None."""
        ...

    async def take_try(self, phone_number: str) -> OneTimeCode | None:
        """Use up one try and return the code as it was before, or None when there is none left."""
        ...

    async def remove(self, phone_number: str, code_hash: str) -> bool:
        """Remove the code if it is still that one; True for the one caller who removed it."""
        ...


class CatalogueRepository(Protocol):
    """Pujas and samagri."""

    async def sync(self, catalogue: Catalogue) -> None:
        """Make the stored catalogue equal to this one; what it lacks is left as it is."""
        ...

    async def list_pujas(self) -> tuple[Puja, ...]:
        """Return all kinds of puja (some dozens), by name."""
        ...

    async def find_puja(self, puja_id: str) -> Puja | None:
        """Return the puja, or None."""
        ...

    async def known_pujas(self, puja_ids: Collection[str]) -> frozenset[str]:
        """Return those of the ids that name a puja, in one query."""
        ...

    async def list_puja_categories(self) -> tuple[PujaCategory, ...]:
        """Return all families of pujas."""
        ...

    async def list_categories(self) -> tuple[SamagriCategory, ...]:
        """Return all samagri categories by position."""
        ...

    async def list_items(
        self,
        *,
        query: str,
        category_id: str | None,
        limit: int,
        after: SortKey | None,
        is_active: bool = True,
    ) -> Page[SamagriItem]:
        """Return items by name: those that are active, or those that are switched off.

        ``query`` matches the beginning of any word of a name or alias.
        """
        ...

    async def find_items(self, item_ids: Collection[str]) -> dict[str, SamagriItem]:
        """Return those of the items that exist, by id, in one query."""
        ...

    async def all_items(self) -> tuple[SamagriItem, ...]:
        """Return every item, active or not, by id; for administration, some ten thousand."""
        ...

    async def put_items(self, items: Sequence[SamagriItem]) -> None:
        """Write items as an administrator has them; files leave them alone from then on.

        Each is written whole, so doing it again changes nothing.
        """
        ...

    async def put_pujas(self, pujas: Sequence[Puja]) -> None:
        """Write pujas with their rules as an administrator has them; see :meth:`put_items`."""
        ...

    async def list_templates(self, puja_id: str) -> tuple[PujaTemplate, ...]:
        """Return the stored templates of a puja, active or not, by id; some dozens at most."""
        ...

    async def all_templates(self) -> tuple[PujaTemplate, ...]:
        """Return every stored template, by id; for administration."""
        ...

    async def put_templates(self, templates: Sequence[PujaTemplate]) -> None:
        """Write templates as an administrator has them; see :meth:`put_items`."""
        ...


class CatalogueImportRepository(Protocol):
    """Tables that administrators have sent, and what became of them."""

    async def add(self, found: CatalogueImport, text: str) -> None:
        """Store a new one with its table."""
        ...

    async def find(self, import_id: str) -> CatalogueImport | None:
        """Return it without its table, or None."""
        ...

    async def text_of(self, import_id: str) -> str | None:
        """Return the table, None once it has been cleared away."""
        ...

    async def replace(self, found: CatalogueImport) -> bool:
        """Write it if nobody has changed it since it was read (``version``)."""
        ...

    async def list_page(self, *, limit: int, after: SortKey | None) -> Page[CatalogueImport]:
        """Return imports, the latest first; the sort key is (at, id)."""
        ...

    async def list_applying(self, limit: int) -> tuple[CatalogueImport, ...]:
        """Return those that were agreed to and are not through."""
        ...


class AnalyticsRepository(Protocol):
    """Figures, counted from what is stored. Each is one indexed query of the period's own rows."""

    async def placed(self, period: Period) -> tuple[Placed, ...]:
        """Return how many bookings were placed on each day, by how they stand, puja and town."""
        ...

    async def tried(self, period: Period) -> tuple[Tried, ...]:
        """Return what became of tries to pay, by method, of payments begun in the period."""
        ...

    async def moved(self, period: Period) -> tuple[Moved, ...]:
        """Return what moved in the ledger, by day, account and kind of entry."""
        ...

    async def offers(self, pandit_user_id: str, period: Period) -> tuple[Offer, ...]:
        """Return the offers that a pandit had of bookings placed in the period."""
        ...

    async def outcomes(
        self, pandit_user_id: str, period: Period, now: datetime
    ) -> tuple[Outcome, ...]:
        """Return how bookings stand that a pandit had accepted and that begin in the period.

        Those that end before ``now`` are over.
        """
        ...

    async def earned(self, pandit_user_id: str, period: Period) -> tuple[EarnedOn, ...]:
        """Return what a pandit earned and was paid, by day, from the ledger."""
        ...

    async def rated(self, pandit_id: str, period: Period) -> tuple[RatedOn, ...]:
        """Return a pandit's published reviews by the day on which they were written."""
        ...

    async def waiting(self, pandit_user_id: str, period: Period) -> int:
        """Return how many bookings that begin in the period wait for the pandit's answer."""
        ...

    async def upcoming(self, user_id: str, period: Period) -> int:
        """Return how many of a customer's bookings that begin in the period are ahead of him."""
        ...

    async def statuses(self, user_id: str, period: Period) -> dict[BookingStatus, int]:
        """Return how a customer's bookings stand that begin in the period."""
        ...

    async def spent(self, user_id: str, period: Period) -> tuple[Spending, ...]:
        """Return what a customer paid in the period, the latest first, without his wallet."""
        ...


class VisitRepository(Protocol):
    """How often things were done on a day that leave nothing else behind."""

    async def add(self, day: date, counts: Mapping[Step, int]) -> None:
        """Raise the day's counts; not to be repeated."""
        ...

    async def total(self, first: date, last: date) -> dict[Step, int] | None:
        """Sum the counts of those days; None where nothing was counted."""
        ...


class AuditRepository(Protocol):
    """The record of what administrators did."""

    async def add(self, entry: AuditEntry) -> None:
        """Add an entry."""
        ...

    async def list_page(
        self, *, act: Act | None, target_id: str | None, limit: int, after: SortKey | None
    ) -> Page[AuditEntry]:
        """Return entries, the latest first; the sort key is (at, id)."""
        ...


class ChartRepository(Protocol):
    """The birth charts that people keep."""

    async def add(self, chart: SavedChart) -> None:
        """Store a chart."""
        ...

    async def count_of(self, user_id: str, *, limit: int) -> int:
        """Return how many charts a person keeps, up to the limit."""
        ...

    async def find(self, chart_id: str) -> SavedChart | None:
        """Return the chart, or None."""
        ...

    async def find_shared(self, share_hash: str) -> SavedChart | None:
        """Return the chart whose link has a token of that hash, or None."""
        ...

    async def share(
        self,
        chart_id: str,
        user_id: str,
        share_hash: str,
        expires_at: datetime | None,
        *,
        with_birth: bool,
    ) -> bool:
        """Put a link in place of the one before; whether there is such a chart of that person."""
        ...

    async def remove(self, chart_id: str, user_id: str) -> bool:
        """Delete a person's chart; whether there was one."""
        ...

    async def list_page(
        self, user_id: str, *, limit: int, after: SortKey | None
    ) -> Page[SavedChart]:
        """Return a person's charts, the newest first; the sort key is (created_at, id)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PanditSearch:
    """What a customer looks for. ``near`` with ``radius_km`` restricts, prices are paisa.

    ``words`` are those of ``text`` with what else they may mean; without them the text is taken as
    it is. ``day`` and ``at``, the pandit's own, may rule out those whose hours do not hold them;
    whether they are free is not looked at.
    """

    puja_ids: tuple[str, ...] | None = None
    text: str = ""
    words: tuple[Word, ...] = ()
    day: date | None = None
    at: time | None = None
    near: GeoPoint | None = None
    radius_km: float | None = None
    min_rating: float | None = None
    max_price: int | None = None
    language: str | None = None
    sort: str = "recommended"
    limit: int = 20
    after: SortKey | None = None

    @property
    def wanted_words(self) -> tuple[Word, ...]:
        """The words that a pandit must have."""
        return self.words or words_wanted(self.text)


@dataclass(frozen=True, slots=True)
class PanditHit:
    """A pandit that was found, how far away he is.

    And what the asked puja costs with him (paisa). ``factors`` say why he is recommended, where
    somebody has looked into that.
    """

    pandit: Pandit
    distance_km: float | None
    price: int | None
    factors: Mapping[str, Factor] | None = None


class PanditRepository(Protocol):
    """Pandits with their services and hours, one document each."""

    async def add(self, pandit: Pandit) -> None:
        """Store a new profile, one for each account."""
        ...

    async def find(self, pandit_id: str) -> Pandit | None:
        """Return the pandit, or None."""
        ...

    async def find_by_user(self, user_id: str) -> Pandit | None:
        """Return the profile of that account, or None."""
        ...

    async def find_by_service(self, service_id: str) -> Pandit | None:
        """Return the pandit who offers that service, or None."""
        ...

    async def replace(self, pandit: Pandit) -> bool:
        """Write the pandit back if ``version`` is still the stored one, and raise it by one."""
        ...

    async def search(self, search: PanditSearch) -> Page[PanditHit]:
        """Return bookable pandits only, one query whatever the page's size."""
        ...

    async def candidates(self, search: PanditSearch) -> tuple[PanditCandidate, ...]:
        """Return the page that a search means, of each pandit only what a ranking reads."""
        ...

    async def refresh(self) -> int:
        """Look again at a part of what is kept in memory; returns how many were gone.

        Called every few seconds it goes through all, so that nothing stays wrong for long.
        """
        ...

    async def hits(self, pandit_ids: Sequence[str], search: PanditSearch) -> tuple[PanditHit, ...]:
        """Return those of them who can be booked, in the order given, as hits of that search.

        One query by id; whether they fit the search is not looked at.
        """
        ...

    async def list_by_status(
        self, status: VerificationStatus, *, limit: int, after: SortKey | None
    ) -> Page[Pandit]:
        """Return pandits of that verification status, the longest waiting first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingFilter:
    """Whose bookings, and which of them. Dates are the booking's own, inclusive."""

    user_id: str | None = None
    pandit_user_id: str | None = None
    statuses: tuple[BookingStatus, ...] = ()
    first: date | None = None
    last: date | None = None
    limit: int = 20
    after: SortKey | None = None
    soonest_first: bool = False


class BookingRepository(Protocol):
    """Bookings. A unique index over (pandit, claim) refuses overlapping ones."""

    async def add(self, booking: Booking) -> None:
        """Store a new booking.

        Raises ``SlotTaken`` when any of its claims is held, ``AlreadyExists`` when the customer has
        one with its ``request_key``.
        """
        ...

    async def find_by_request(self, user_id: str, request_key: str) -> Booking | None:
        """Return the customer's booking that came of that request, or None."""
        ...

    async def find(self, booking_id: str) -> Booking | None:
        """Return the booking, or None."""
        ...

    async def replace(self, booking: Booking) -> bool:
        """Write the booking back if ``version`` is still the stored one, and raise it by one.

        Returns False when somebody else was faster; raises ``SlotTaken`` when a new claim is held.
        """
        ...

    async def list_page(self, wanted: BookingFilter) -> Page[Booking]:
        """Return bookings, the latest start first, by one indexed query."""
        ...

    async def list_between(
        self, user_id: str, *, as_pandit: bool, first: datetime, last: datetime, limit: int
    ) -> tuple[Booking, ...]:
        """Return a person's bookings that begin in [first, last), the next one first.

        Those that he has made, or as a pandit is asked for, by one indexed query.
        """
        ...

    async def claims(
        self, pandit_ids: Collection[str], first: int, last: int
    ) -> dict[str, frozenset[int]]:
        """Return the claims in [first, last) of each of the pandits, by one indexed query."""
        ...

    async def engagements(self, pandit_id: str, first: int, last: int) -> tuple[Engagement, ...]:
        """Return the pandit's bookings that hold a claim in [first, last), by one indexed query."""
        ...

    async def has_accepted(self, user_id: str, pandit_id: str) -> bool:
        """Whether customer and pandit have a booking in which they share contact details."""
        ...

    async def accepted_pandits(self, user_id: str, pandit_ids: Collection[str]) -> frozenset[str]:
        """Return those of the pandits with whom the customer shares contact details.

        In one query.
        """
        ...

    async def list_unanswered(self, now: datetime, limit: int) -> tuple[Booking, ...]:
        """Return pending bookings whose time to answer has run out."""
        ...

    async def list_to_remind(self, now: datetime, limit: int) -> tuple[Booking, ...]:
        """Return bookings whose parties are due to be reminded, the longest due first."""
        ...

    async def list_unpaid(self, now: datetime, limit: int) -> tuple[Booking, ...]:
        """Return pending bookings whose time to pay has run out."""
        ...

    async def list_unanswered_proposals(self, now: datetime, limit: int) -> tuple[Booking, ...]:
        """Return bookings with a proposed time or list that nobody has answered in time."""
        ...

    async def past_of(self, user_id: str, limit: int) -> tuple[PastBooking, ...]:
        """Return what a customer booked, the latest start first, by one indexed query."""
        ...


class DraftRepository(Protocol):
    """Bookings that are being put together; they hold time by the same index as bookings."""

    async def add(self, draft: Draft) -> None:
        """Store a new draft. Raises ``AlreadyExists`` when the customer has one of its place."""
        ...

    async def find(self, draft_id: str) -> Draft | None:
        """Return the draft, or None; also when it has become a booking."""
        ...

    async def list_of(self, user_id: str) -> tuple[Draft, ...]:
        """Return the customer's drafts (a handful), the oldest first."""
        ...

    async def replace(self, draft: Draft) -> bool:
        """Write the draft back if ``version`` is still the stored one, and raise it by one.

        Returns False when somebody else was faster; raises ``SlotTaken`` when a new claim is held.
        """
        ...

    async def confirm(self, draft: Draft, booking: Booking) -> bool:
        """Put the booking in the place of the draft, in one write, if ``version`` still holds.

        Raises ``SlotTaken`` when the booking claims more than the draft, and that is held.
        """
        ...

    async def remove(self, draft: Draft) -> bool:
        """Delete the draft, and so free its slot, if ``version`` is still the stored one."""
        ...

    async def list_lapsed(self, now: datetime, limit: int) -> tuple[Draft, ...]:
        """Return drafts whose time has run out, the longest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFilter:
    """Whose payments, and which; newest first. Of the flags at most one is set.

    ``needs_review``: a person has to look. ``refunds``: with a refund that is not settled.
    """

    user_id: str | None = None
    status: PaymentStatus | None = None
    needs_review: bool = False
    refunds: bool = False
    limit: int = 20
    after: SortKey | None = None


class PaymentRepository(Protocol):
    """Payments with their attempts, one document for each thing that is owed.

    A unique index over all references, gateway ids and transaction ids refuses a proof that belongs
    to another payment.
    """

    async def add(self, payment: Payment) -> bool:
        """Store a new payment; False when that subject has one already. Raises ``ProofReused``."""
        ...

    async def find(self, payment_id: str) -> Payment | None:
        """Return the payment, or None."""
        ...

    async def find_many(self, payment_ids: Collection[str]) -> dict[str, Payment]:
        """Return those of the payments that exist, by id, in one query."""
        ...

    async def find_by_reference(self, reference: str) -> Payment | None:
        """Return the payment that has an attempt of that reference, or None."""
        ...

    async def find_by_gateway_id(self, method: PaymentMethod, gateway_id: str) -> Payment | None:
        """Return the payment that has an attempt which the provider calls so, or None."""
        ...

    async def find_by_transaction(
        self, method: PaymentMethod, transaction_id: str
    ) -> Payment | None:
        """Return the payment that the provider's movement of money belongs to, or None."""
        ...

    async def replace(self, payment: Payment) -> bool:
        """Write the payment back if ``version`` is still the stored one, and raise it by one.

        Returns False when somebody else was faster; raises ``ProofReused`` when a proof of it
        belongs to another payment.
        """
        ...

    async def list_due(
        self, now: datetime, limit: int, after: datetime | None = None
    ) -> tuple[Payment, ...]:
        """Return payments of which something is to be done by itself, the longest waiting first.

        ``after``: only what has been due since later than that.
        """
        ...

    async def list_page(self, wanted: PaymentFilter) -> Page[Payment]:
        """Return payments, newest first, by one indexed query."""
        ...


class LedgerRepository(Protocol):
    """The ledger: entries are added and never changed."""

    async def add(self, entry: LedgerEntry) -> bool:
        """Store an entry; False when its cause is there already.

        Raises ``ConcurrentChange`` when the next place in its owner's chain is taken.
        """
        ...

    async def find(self, cause: str) -> LedgerEntry | None:
        """Return the entry of that cause, or None."""
        ...

    async def head(self, owner: str) -> Chain | None:
        """Return the newest link of the owner's chain, None when there is none."""
        ...

    async def list_chain(
        self, owner: str, *, limit: int, after: SortKey | None
    ) -> Page[LedgerEntry]:
        """Return the entries of an owner, newest first; the key is (number,)."""
        ...

    async def list_page(
        self,
        *,
        account: str | None,
        first: datetime,
        last: datetime,
        limit: int,
        after: SortKey | None,
    ) -> Page[LedgerEntry]:
        """Return the entries of that time, newest first, all of them or one account's."""
        ...

    async def totals(self, first: datetime, last: datetime) -> dict[tuple[str, str], int]:
        """Sum the postings of that time by (kind of account, currency)."""
        ...


class LedgerBook(Protocol):
    """Records entries and looks them up; what the wallet stands on."""

    async def record(self, entry: LedgerEntry) -> LedgerEntry:
        """Record an entry once and return what is stored under its cause.

        Raises ``InsufficientBalance``.
        """
        ...

    async def find(self, cause: str) -> LedgerEntry | None:
        """Return the entry of that cause, or None."""
        ...


class CallbackRepository(Protocol):
    """The inbox of what providers and browsers bring; the old disappears by itself."""

    async def add(self, callback: Callback) -> None:
        """Store what has just come in."""
        ...

    async def find(self, callback_id: str) -> Callback | None:
        """Return the callback, or None."""
        ...

    async def finish(self, callback: Callback) -> None:
        """Write what became of it."""
        ...

    async def is_first(self, event_key: str, at: datetime) -> bool:
        """Remember that an event was handled; False when it had been before."""
        ...

    async def was_handled(self, event_key: str) -> bool:
        """Whether an event was handled before."""
        ...

    async def list_page(
        self, *, outcome: str | None, limit: int, after: SortKey | None
    ) -> Page[Callback]:
        """Return what came in, newest first."""
        ...


class PayoutRepository(Protocol):
    """What pandits have asked to be paid."""

    async def add(self, payout: Payout) -> None:
        """Store a new one."""
        ...

    async def find(self, payout_id: str) -> Payout | None:
        """Return it, or None."""
        ...

    async def settle_if_asked(self, payout: Payout) -> bool:
        """Write how it ended, if it has not ended before."""
        ...

    async def drop_asked(self, payout_id: str) -> None:
        """Take one back for which there was no money, unless it has ended."""
        ...

    async def list_page(
        self,
        *,
        pandit_user_id: str | None,
        status: PayoutStatus | None,
        limit: int,
        after: SortKey | None,
    ) -> Page[Payout]:
        """Return payouts, newest first: a pandit's, or all of a status."""
        ...


class SeriesRepository(Protocol):
    """Bookings that come again."""

    async def add(self, series: Series) -> None:
        """Store a new one. Raises ``AlreadyExists``."""
        ...

    async def find(self, series_id: str) -> Series | None:
        """Return it, or None."""
        ...

    async def find_by_booking(self, booking_id: str) -> Series | None:
        """Return the series that a booking belongs to, or None."""
        ...

    async def replace(self, series: Series) -> bool:
        """Write it if nobody has changed it since it was read (``version``)."""
        ...

    async def list_page(self, user_id: str, *, limit: int, after: SortKey | None) -> Page[Series]:
        """Return a customer's, the latest first; the sort key is (created_at, id)."""
        ...

    async def list_due(self, today: date, limit: int) -> tuple[Series, ...]:
        """Return those with a planned day that can be booked from today on."""
        ...


class OutboxRepository(Protocol):
    """The events that documents of one kind carry and that have not been delivered."""

    async def list_waiting(
        self, older_than: datetime, limit: int
    ) -> list[tuple[str, tuple[Event, ...]]]:
        """Return (document id, its events) for documents with an event older than that."""
        ...

    async def remove(self, document_id: str, event_ids: Collection[str]) -> None:
        """Take delivered events off the document and raise its version.

        Repeating it is harmless.
        """
        ...


@dataclass(frozen=True, slots=True)
class RoomChange:
    """How far a room has moved: its newest message, and marks by user id."""

    room_id: str
    head: RoomHead | None
    marks: Mapping[str, ReadMark]


@dataclass(frozen=True, slots=True)
class ReadSpan:
    """The messages of a room that somebody has read: those above one number, up to another."""

    room_id: str
    reader_id: str
    above: int
    up_to: int
    read_at: datetime


class RoomRepository(Protocol):
    """Chat rooms, one for each booking."""

    async def add(self, room: ChatRoom) -> ChatRoom:
        """Store the room, or return the one that the booking already has."""
        ...

    async def find(self, room_id: str) -> ChatRoom | None:
        """Return the room, or None."""
        ...

    async def find_by_booking(self, booking_id: str) -> ChatRoom | None:
        """Return the room of that booking, or None."""
        ...

    async def find_with(self, customer_id: str, pandit_id: str) -> ChatRoom | None:
        """Return a customer's room with a pandit, the liveliest that is open first, or None."""
        ...

    async def list_for(self, user_id: str, *, limit: int, after: SortKey | None) -> Page[ChatRoom]:
        """Return a member's rooms, the latest activity first, with head and marks, in one query."""
        ...

    async def advance(self, changes: Sequence[RoomChange]) -> None:
        """Move heads and marks forward, never back; one command for all.

        Repeating it is harmless.
        """
        ...

    async def heads_and_marks(self, user_id: str, limit: int) -> dict[str, tuple[int, int]]:
        """Return head and own mark of each of the member's latest rooms, in one query."""
        ...

    async def close(self, booking_id: str) -> str | None:
        """Close the booking's room for writing and return its id."""
        ...

    async def reopen(self, booking_id: str) -> None:
        """Open the room of that booking or unlock for writing again."""
        ...


MessageKey = tuple[str, str, str]
"""(room id, sender id, cid): what makes a message the same message when it is sent again."""


class MessageRepository(Protocol):
    """Messages, unique by (room, sequence) and by (room, sender, cid)."""

    async def insert(self, messages: Sequence[Message]) -> dict[int, Message | None]:
        """Write all, and return by its place each one that was not written.

        With the message that is stored under its cid, or None: then its number is taken or its turn
        did not come, and it wants a new number. Messages of one room ascend, and of a room nothing
        is written behind one that was refused: no number is ever left out.
        """
        ...

    async def head(self, room_id: str, *, at_least: int = 0) -> int:
        """Return the highest sequence number of the room, 0 when it is empty.

        ``at_least`` is one that is known to be stored; the nearer, the cheaper.
        """
        ...

    async def list_after(self, room_id: str, sequence: int, limit: int) -> list[Message]:
        """Return up to ``limit`` messages with a higher sequence, ascending."""
        ...

    async def list_before(self, room_id: str, sequence: int | None, limit: int) -> list[Message]:
        """Return the newest messages below ``sequence`` (or of all), ascending."""
        ...

    async def find_sent(self, keys: Collection[MessageKey]) -> list[Message]:
        """Return those messages that exist of these (room, sender, cid), each by an index."""
        ...

    async def mark_read(self, spans: Sequence[ReadSpan]) -> None:
        """Set ``read_at`` on the messages of others in these spans that have none."""
        ...


class AttachmentRepository(Protocol):
    """Descriptions of uploaded files."""

    async def add(self, attachment: Attachment, expires_at: datetime) -> None:
        """Store a new description; unless it is kept, its file is abandoned at that time."""
        ...

    async def find(self, attachment_id: str) -> Attachment | None:
        """Return the description, or None."""
        ...

    async def keep(self, attachment_id: str) -> bool:
        """Keep it for good; False when it is gone."""
        ...

    async def count_unsent(self, owner_id: str, limit: int) -> int:
        """Return how many of that person are not kept yet, counting up to ``limit``."""
        ...

    async def list_abandoned(self, now: datetime, limit: int) -> tuple[str, ...]:
        """Return the ids of some whose time is over."""
        ...

    async def remove_abandoned(self, attachment_id: str, now: datetime) -> bool:
        """Delete it if its time is over and it was not kept; False otherwise."""
        ...


class PapersRepository(Protocol):
    """What pandits have uploaded about themselves, one document for each pandit."""

    async def find(self, pandit_id: str) -> Papers:
        """Return the pandit's uploads, empty ones where he has none."""
        ...

    async def find_each(self, pandit_ids: Collection[str]) -> dict[str, Papers]:
        """Return the uploads of those of the pandits who have any, in one query."""
        ...

    async def replace(self, papers: Papers) -> bool:
        """Write them back if ``version`` is still the stored one, and raise it by one."""
        ...


class FeedRepository(Protocol):
    """Calendar feeds, at most one for each person."""

    async def find(self, user_id: str) -> CalendarFeed | None:
        """Return the person's feed, or None."""
        ...

    async def find_by_hash(self, token_hash: str) -> CalendarFeed | None:
        """Return the feed whose address has a token of that hash, or None."""
        ...

    async def put(self, feed: CalendarFeed) -> None:
        """Store it in the place of the person's feed before it."""
        ...

    async def remove(self, user_id: str) -> None:
        """Delete the person's feed; without one nothing happens."""
        ...


class FileStore(Protocol):
    """The bytes of uploaded files, under names that we make."""

    async def write(self, name: str, content: bytes) -> None:
        """Write a whole file durably."""
        ...

    async def read(self, name: str) -> bytes:
        """Return a whole file. Raises ``NotFound``."""
        ...

    async def remove(self, name: str) -> None:
        """Delete a file; one that is gone already is no error."""
        ...


class PictureEditor(Protocol):
    """Makes small copies of pictures, upright and without what they tell about their maker.

    Unpacks whole pictures, which takes time and four bytes a pixel: for a worker, one at a time.
    Both raise ``Invalid`` for what is no whole picture.
    """

    mime: str
    """The media type of what is made."""

    def smaller(self, content: bytes, side: int) -> bytes:
        """The whole picture, its longer side at most ``side`` pixels."""
        ...

    def portrait(self, content: bytes, side: int) -> bytes:
        """A square of ``side`` pixels from where a face stands."""
        ...


class NotificationRepository(Protocol):
    """Notifications, unique by (user, event) and by (user, sequence)."""

    async def add(self, notification: Notification) -> Notification | None:
        """Number and store it; None when the user already has one for that event.

        ``sequence`` of the argument is ignored: the store gives the user's next number, without
        gaps.
        """
        ...

    async def list_page(
        self, user_id: str, *, unread_only: bool, limit: int, after: SortKey | None
    ) -> Page[Notification]:
        """Return a user's notifications, newest first."""
        ...

    async def list_after(self, user_id: str, sequence: int, limit: int) -> list[Notification]:
        """Return notifications with a higher sequence, ascending."""
        ...

    async def head(self, user_id: str) -> int:
        """Return the highest sequence number of the user's stream, 0 when empty."""
        ...

    async def unread_count(self, user_id: str) -> int:
        """Return how many are unread, by an index."""
        ...

    async def mark_read(
        self,
        user_id: str,
        read_at: datetime,
        *,
        ids: Collection[str] | None = None,
        up_to: int | None = None,
    ) -> int:
        """Mark the user's own notifications and return how many changed."""
        ...


class ReviewRepository(Protocol):
    """Reviews, one for each booking; a pandit's turn belongs to one of them alone."""

    async def add(self, review: Review) -> None:
        """Store a new review. Raises ``AlreadyExists`` when the booking has one."""
        ...

    async def find(self, review_id: str) -> Review | None:
        """Return the review, or None."""
        ...

    async def find_by_booking(self, booking_id: str) -> Review | None:
        """Return the review of that booking, or None."""
        ...

    async def find_by_turn(self, pandit_id: str, turn: int) -> Review | None:
        """Return the review to which that turn of the pandit's was given, or None."""
        ...

    async def replace(self, review: Review) -> bool:
        """Write the review back if ``version`` is still the stored one, and raise it by one.

        Returns False when somebody was faster: with this review, or with one of its turns.
        """
        ...

    async def list_by_state(
        self, state: ReviewState, *, limit: int, after: SortKey | None
    ) -> Page[Review]:
        """Return reviews of that state: open ones longest waiting first, others newest first."""
        ...

    async def list_for_pandit(
        self, pandit_id: str, *, limit: int, after: SortKey | None
    ) -> Page[Review]:
        """Return approved reviews, newest first."""
        ...

    async def stars_given(self, user_id: str, limit: int) -> dict[str, float]:
        """Return the mean of the stars that a customer gave, by pandit, by one indexed query."""
        ...


class CustomerRatingRepository(Protocol):
    """What pandits say of customers, one for each booking."""

    async def add(self, rating: CustomerRating) -> None:
        """Store it. Raises ``AlreadyExists`` when the booking has one."""
        ...

    async def find_by_booking(self, booking_id: str) -> CustomerRating | None:
        """Return that of a booking, or None."""
        ...

    async def standing_of(self, user_id: str, latest: int) -> CustomerStanding:
        """Return how a customer stands, with so many of the latest ratings; one indexed query."""
        ...


class PreferenceRepository(Protocol):
    """What customers have said that they want, or never want to see."""

    async def find(self, user_id: str) -> Preferences:
        """Return what a customer has said; nothing of one who has said nothing."""
        ...

    async def put(self, preference: SamagriPreference) -> None:
        """Store it in the place of what the customer said of the item before."""
        ...

    async def remove(self, user_id: str, item_id: str) -> bool:
        """Forget it; False when there was nothing."""
        ...

    async def list_page(
        self, user_id: str, *, limit: int, after: SortKey | None
    ) -> Page[SamagriPreference]:
        """Return a customer's, by item id."""
        ...


class PlaceDirectory(Protocol):
    """Towns and quarters by name, in memory; a call never waits."""

    def search(self, text: str, *, limit: int, country: str | None = None) -> Sequence[NamedPlace]:
        """Return places whose name, in any spelling, begins like that; the likeliest first.

        ``country`` is an ISO 3166 code of two letters; without one, Nepal's come before others.
        """
        ...

    def find(self, place_id: str) -> NamedPlace | None:
        """Return the place of that id, or None."""
        ...

    def within(self, south_west: GeoPoint, north_east: GeoPoint) -> Sequence[NamedPlace]:
        """Return Nepal's places between those corners, the largest first."""
        ...

    def named(self, text: str) -> NamedPlace | None:
        """Return the one place that is likeliest meant by a whole name, or None."""
        ...


class ZoneMap(Protocol):
    """The map of the world's time zones."""

    def zone_at(self, point: GeoPoint) -> str:
        """Return the IANA name of the zone at a position; for the workers, it may read files."""
        ...


class FestivalCalendar(Protocol):
    """The days of festivals on which families hold pujas."""

    async def between(self, first: date, last: date) -> Sequence[FestivalDay]:
        """Return those from the one day to the other, both included, in order.

        Raises ``Overloaded`` when they are not at hand and too many wait for others.
        """
        ...


class Models(Protocol):
    """The trained models: the one that serves, and the store that they lie in."""

    @property
    def current(self) -> Adviser:
        """What answers now. Take it once for an answer and keep it to its end."""
        ...

    @property
    def state(self) -> ModelState:
        """What serves in this process, and what was refused last."""
        ...

    async def look(self, *, is_asked: bool = False) -> None:
        """Look whether another version is to serve, and take it up if it is sound.

        ``is_asked``: one that was refused is tried again at once.
        """
        ...

    async def versions(self, limit: int) -> ModelListing:
        """Return what lies in the store, newest first."""
        ...

    async def report(self, version: str) -> str:
        """Return the comparison that training wrote into a version, an HTML page.

        Raises
        ------
        NotFound
            If there is no such version, or it has no report.
        ModelRefused
            If the file is not what the version's manifest says.
        """
        ...

    async def activate(self, version: str, *, by: str, reason: str, force: bool) -> None:
        """Point all processes to a version; when this returns, it serves in this one.

        Raises
        ------
        NotFound
            If there is no such version.
        ModelRefused
            If it does not pass its checks, or does not fit this server.
        GatesFailed
            If its training found it too weak, and nobody forces it.
        """
        ...


class FeedbackRepository(Protocol):
    """What became of recommendations, unique by (recommendation, target, kind)."""

    async def record(self, rows: Sequence[Feedback]) -> list[Feedback]:
        """Store those that are not there yet and return them; of racing callers one gets each."""
        ...

    async def list_of_user(
        self, user_id: str, first: datetime, last: datetime, limit: int
    ) -> list[Feedback]:
        """Return a user's rows of that time, both ends included, newest first."""
        ...


class InteractionRepository(Protocol):
    """The event log that training reads."""

    async def add(self, rows: Sequence[Interaction]) -> None:
        """Store those whose id is not there yet. Repeating it is harmless."""
        ...


class CounterRepository(Protocol):
    """Counters of recommendations."""

    async def add(self, increments: Mapping[CounterKey, Mapping[str, int]]) -> None:
        """Raise the named fields of these counters; not to be repeated."""
        ...

    async def list_totals(self, limit: int) -> list[Counter]:
        """Return the counters of all targets together, the newest model first."""
        ...

    async def list_targets(self, version: str, surface: str, limit: int) -> list[Counter]:
        """Return the counters of one model and surface, the most recommended first."""
        ...


class ExposureRepository(Protocol):
    """Who has seen recommendations of which arm, and what he did then; one for each person."""

    async def add(self, exposure: Exposure) -> None:
        """Store it unless the customer has been exposed before."""
        ...

    async def mark(
        self, exposure_id: str, since: datetime, *, has_added: bool, has_bought: bool
    ) -> None:
        """Say what the customer did, if he was first exposed at that time or later."""
        ...

    async def count(self, experiment: str, arm: str) -> ArmCount:
        """Return how many saw, added and bought, by an index."""
        ...


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer that was given to the first request with an idempotency key."""

    status: int
    body: bytes


class IdempotencyStore(Protocol):
    """Remembers answers by (user, route, key) for 24 hours."""

    async def begin(self, scope: str, body_hash: str) -> StoredAnswer | None:
        """Claim the key, or return the stored answer.

        Raises ``KeyReused`` for another body and ``RequestInProgress`` while the first still runs.
        """
        ...

    async def finish(self, scope: str, answer: StoredAnswer) -> None:
        """Store the answer for later repeats."""
        ...

    async def abandon(self, scope: str) -> None:
        """Give the key free again, after a failure that may be retried."""
        ...


class RateLimiter(Protocol):
    """Counts uses of doors."""

    async def hit(self, door: str, who: str) -> None:
        """Count one use. Raises ``RateLimited`` when ``who`` has used the door too often."""
        ...

    async def close(self) -> None:
        """Release what it holds; called once, at the end."""
        ...


class CodeSender(Protocol):
    """Sends one-time codes to phones."""

    async def send(self, phone_number: str, code: str, language: str) -> None:
        """Deliver the code; failures are logged by the sender, never told to the asker."""
        ...


Deliver = Callable[[bytes], None]
"""Takes the bytes of one publication; must not block and must not raise."""


class PushSubscriptionRepository(Protocol):
    """Browsers that take messages."""

    async def put(self, subscription: PushSubscription) -> None:
        """Store it, or what has changed of it; the oldest beyond ``MAX_SUBSCRIPTIONS`` go."""
        ...

    async def list_of(self, user_id: str) -> list[PushSubscription]:
        """Return a person's, the newest first, at most ``MAX_SUBSCRIPTIONS``."""
        ...

    async def list_users(self, after: str, limit: int) -> list[str]:
        """Return ids of people with any, ascending, from above ``after``, of ``limit`` rows."""
        ...

    async def remove(self, subscription_id: str, user_id: str | None = None) -> bool:
        """Forget one, if it is that person's; False when there was none."""
        ...

    async def remove_session(self, session_id: str) -> None:
        """Forget those of one session."""
        ...


class NotificationPreferenceRepository(Protocol):
    """What people do not want to hear of."""

    async def find(self, user_id: str) -> NotificationPreferences:
        """Return what the person has said, else the defaults."""
        ...

    async def find_many(self, user_ids: Collection[str]) -> dict[str, NotificationPreferences]:
        """Return the same for each of them, by user id."""
        ...

    async def put(self, preferences: NotificationPreferences) -> None:
        """Store them; ``digest_on`` is not theirs to change."""
        ...

    async def take_digest(self, user_id: str, day: date) -> bool:
        """Take the right to send the digest of that day; True for one caller only."""
        ...


class PushSender(Protocol):
    """Sends messages to browsers through their push services."""

    @property
    def public_key(self) -> str:
        """The key that browsers subscribe with: an uncompressed P-256 point in base64url."""
        ...

    async def send(self, subscription: PushSubscription, message: PushMessage) -> PushOutcome:
        """Send it, with bounded time and retries; never raises for what a push service does."""
        ...


class Bus(Protocol):
    """Carries publications to every process that has subscribed to their topic.

    Delivery is at most once and in order per publisher; the database stays the truth and receivers
    catch up by sequence number.
    """

    def publish(self, topic: str, payload: bytes) -> None:
        """Send to all subscribers of the topic, in this process at once; never waits."""
        ...

    async def subscribe(self, topic: str, deliver: Deliver) -> None:
        """Begin to receive a topic; the same callback counts once."""
        ...

    def unsubscribe(self, topic: str, deliver: Deliver) -> None:
        """Stop receiving a topic; harmless when it has been stopped before."""
        ...

    @property
    def is_online(self) -> bool:
        """Whether publications reach the other processes, and theirs this one, as far as known."""
        ...

    def on_restored(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever publications may have been missed and no longer are.

        That is after the broker was away, once every subscription is confirmed again, and after
        another process has lost what it had to publish. The callback must not block; it has what
        was missed read from the database.
        """
        ...


class PresenceBoard(Protocol):
    """Who is connected, in which process: the union over all processes.

    A process that ends without a word fades from it within a minute.
    """

    @property
    def delay_seconds(self) -> float:
        """How long it may take until other processes see what has changed in this one."""
        ...

    def arrive(self, user_id: str) -> None:
        """The user has a connection in this process now; harmless when he had one; never waits."""
        ...

    def depart(self, user_id: str) -> None:
        """The user has no connection in this process any more; harmless when he had none."""
        ...

    async def whereabouts(self, user_ids: Iterable[str]) -> dict[str, bool | None]:
        """For each user whether he is connected anywhere; None where nobody can say now."""
        ...

    async def is_elsewhere(self, user_id: str) -> bool | None:
        """Whether the user is connected in another process; None when nobody can say now."""
        ...


class Leases(Protocol):
    """Who does what only one process needs to do.

    A lease saves work and guards nothing: while the processes cannot hear of each other each holds
    every lease, so what is done under one must be safe to do twice.
    """

    async def hold(self, name: str, seconds: float) -> bool:
        """Take the lease for so long, or prolong it; False while another process holds it."""
        ...


class Workers(Protocol):
    """Does work off the event loop, a bounded amount of it."""

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work elsewhere and return what it returns. Raises ``Overloaded`` when full."""
        ...


class Hasher(Protocol):
    """Hashes passwords off the event loop."""

    async def hash(self, password: str) -> str:
        """Return the argon2id text. Raises ``Overloaded`` when too many wait."""
        ...

    async def verify(self, password_hash: str, password: str) -> bool:
        """Whether the password is that one.

        An empty hash costs the same time and is never right.
        """
        ...

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash was made with weaker parameters than today's."""
        ...


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says."""

    user_id: str
    session_id: str
    expires_at: datetime


class TokenSigner(Protocol):
    """Signs access tokens."""

    def sign(self, claims: Claims, now: datetime) -> str:
        """Return the token."""
        ...

    def read(self, token: str, now: datetime) -> Claims:
        """Return what a valid token says. Raises ``NotSignedIn``."""
        ...


class Receiver(Protocol):
    """Wants to hear of events; is called at least once for each.

    And must be idempotent by event id.
    """

    async def on_event(self, event: Event) -> None:
        """React to one event."""
        ...
