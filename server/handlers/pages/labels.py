"""What codes are called on pages. Each table holds texts to translate, by code."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Final

from kundali.bikram_sambat import MONTHS
from server.documents.invoices import METHODS
from server.domain.account import Role
from server.domain.booking import (
    NO_ANSWER,
    NOT_AVAILABLE,
    NOT_PAID,
    OTHER_CHOSEN,
    BookingStatus,
    PaymentMethod,
    PaymentStatus,
    ServiceLocation,
)
from server.domain.catalogue import SamagriType, TemplateSize
from server.domain.draft import WizardStep
from server.domain.gateway import Claim, Outcome, RefundState
from server.domain.ledger import EntryKind
from server.domain.money import Unit
from server.domain.pandit import VerificationStatus
from server.domain.payment import Purpose, ReviewReason
from server.domain.payout import PayoutStatus
from server.domain.recurrence import Frequency, OccurrenceState
from server.domain.review import ReviewState
from server.handlers.page_base import PageHandler
from server.i18n import N_, n_, unit_text
from server.schemas.pandits import PanditSort
from server.schemas.payment_texts import reason_text

STATUSES: Final = {
    BookingStatus.PENDING: N_("Waiting for the pandit"),
    BookingStatus.ACCEPTED: N_("Confirmed"),
    BookingStatus.IN_PROGRESS: N_("Under way"),
    BookingStatus.COMPLETED: N_("Completed"),
    BookingStatus.CANCELLED: N_("Cancelled"),
    BookingStatus.FAILED: N_("Not arranged"),
}
LOCATIONS: Final = {
    ServiceLocation.HOME: N_("At your home"),
    ServiceLocation.TEMPLE: N_("At a temple"),
    ServiceLocation.PANDIT_LOCATION: N_("At the pandit's place"),
    ServiceLocation.ONLINE: N_("Online, by video call"),
}
PANDITS_LOCATIONS: Final = {
    ServiceLocation.HOME: N_("At the customer's home"),
    ServiceLocation.TEMPLE: N_("At a temple"),
    ServiceLocation.PANDIT_LOCATION: N_("At your place"),
    ServiceLocation.ONLINE: N_("Online, by video call"),
}
STAFF_LOCATIONS: Final = {
    ServiceLocation.HOME: N_("At the customer's home"),
    ServiceLocation.TEMPLE: N_("At a temple"),
    ServiceLocation.PANDIT_LOCATION: N_("At the pandit's place"),
    ServiceLocation.ONLINE: N_("Online, by video call"),
}
_LOCATIONS: Final = {Role.PANDIT: PANDITS_LOCATIONS, Role.ADMIN: STAFF_LOCATIONS}
LOCATION_HINTS: Final = {
    ServiceLocation.HOME: N_("The pandit comes to you."),
    ServiceLocation.TEMPLE: N_("You meet at a temple of your choice."),
    ServiceLocation.PANDIT_LOCATION: N_("You go to the pandit."),
    ServiceLocation.ONLINE: N_("You take part from wherever you are."),
}
PAYMENT_STATUSES: Final = {
    PaymentStatus.PENDING: N_("Not paid yet"),
    PaymentStatus.PROCESSING: N_("Payment under way"),
    PaymentStatus.COMPLETED: N_("Paid"),
    PaymentStatus.FAILED: N_("Payment failed"),
    PaymentStatus.REFUNDED: N_("Refunded"),
}
METHOD_HINTS: Final = {
    PaymentMethod.KHALTI: N_("Khalti wallet, mobile banking or connectIPS, on Khalti's page."),
    PaymentMethod.ESEWA: N_("Your eSewa wallet, on eSewa's page."),
    PaymentMethod.CONNECT_IPS: N_("Straight from your account at a bank in Nepal."),
    PaymentMethod.IME_PAY: N_("Your IME Pay wallet, on IME Pay's page."),
    PaymentMethod.STRIPE: N_("Visa, Mastercard and others, also from abroad."),
    PaymentMethod.CASH: N_(
        "You pay the pandit when the puja is completed. Nothing is charged now."
    ),
    PaymentMethod.WALLET: N_("From your wallet here, at once."),
}
PURPOSES: Final = {
    Purpose.BOOKING: N_("Puja"),
    Purpose.UNLOCK: N_("Chat and contact details of a pandit"),
    Purpose.TOP_UP: N_("Money for the wallet"),
}
PAYOUTS: Final = {
    PayoutStatus.ASKED: N_("Asked for"),
    PayoutStatus.PAID: N_("Paid out"),
    PayoutStatus.REFUSED: N_("Refused"),
}
REFUND_STATES: Final = {
    RefundState.REQUESTED: N_("to be made"),
    RefundState.PENDING: N_("on its way"),
    RefundState.DONE: N_("given back"),
    RefundState.FAILED: N_("did not succeed"),
    RefundState.MANUAL: N_("to be made by hand"),
    RefundState.UNKNOWN: N_("asked for, without an answer"),
}
_REFUND_REASONS: Final[Mapping[str, str]] = {
    "cancelled": N_("the booking was cancelled"),
    "failed": N_("the booking did not go ahead"),
    "staff": N_("decided by our team"),
    ReviewReason.LATE_SUCCESS: N_("it was paid too late"),
    ReviewReason.SECOND_SUCCESS: N_("it was paid twice"),
    ReviewReason.PRICE_CHANGED: N_("the price had changed"),
    ReviewReason.REFUNDED_AT_GATEWAY: N_("the payment service gave it back by itself"),
}
_NOTE_SOURCES: Final = {
    "start": N_("Begun"),
    "return": N_("Customer came back"),
    "webhook": N_("Message of the payment service"),
    "reconciler": N_("Asked again by itself"),
    "refund-check": N_("Asked about a refund"),
    "payer": N_("Asked again by the customer"),
    "staff": N_("Asked again by our team"),
    "token": N_("Khalti's older widget"),
    "cash": N_("Cash"),
    "demo": N_("Demo"),
}
_NOTE_OUTCOMES: Final[Mapping[str, str]] = {
    "started": N_("sent to the payment service"),
    "collected": N_("handed over"),
    Outcome.PAID: N_("paid"),
    Outcome.IN_PROGRESS: N_("under way"),
    Outcome.UNCHANGED: N_("nothing new"),
    Outcome.FAILED: N_("failed"),
    Outcome.REFUNDED: N_("given back"),
    Outcome.PARTLY_REFUNDED: N_("given back in part"),
    Outcome.UNKNOWN: N_("unclear"),
    Claim.PENDING: N_("under way"),
    Claim.CANCELLED: N_("cancelled"),
}
ENTRIES: Final = {
    EntryKind.CAPTURE: N_("Payment received"),
    EntryKind.TOP_UP: N_("Paid into the wallet"),
    EntryKind.WALLET_PAYMENT: N_("Paid from the wallet"),
    EntryKind.WALLET_REFUND: N_("Given back into the wallet"),
    EntryKind.UNLOCK: N_("Chat and contact details of a pandit"),
    EntryKind.EARNING: N_("Puja held"),
    EntryKind.KEPT: N_("Kept after a late cancellation"),
    EntryKind.REFUND_DUE: N_("Refund decided"),
    EntryKind.REFUND_PAID: N_("Refund paid"),
    EntryKind.REFUND_VOID: N_("Refund not made"),
    EntryKind.REFUND_UNDONE: N_("Refund came back"),
    EntryKind.PAYOUT_ASKED: N_("Payout asked for"),
    EntryKind.PAYOUT_PAID: N_("Payout paid"),
    EntryKind.PAYOUT_REFUSED: N_("Payout refused"),
}
VERIFICATIONS: Final = {
    VerificationStatus.PENDING: N_("Waiting for verification"),
    VerificationStatus.APPROVED: N_("Verified"),
    VerificationStatus.REJECTED: N_("Rejected"),
}
REVIEW_STATES: Final = {
    ReviewState.OPEN: N_("To be checked"),
    ReviewState.PUBLISHED: N_("Published"),
    ReviewState.WITHDRAWN: N_("Not shown"),
}
SAMAGRI_TYPES: Final = {
    SamagriType.REQUIRED: N_("Required by this puja"),
    SamagriType.ESSENTIAL: N_("Essential"),
    SamagriType.OPTIONAL: N_("Optional"),
}
SIZES: Final = {
    TemplateSize.SIMPLE: N_("Simple"),
    TemplateSize.USUAL: N_("Usual"),
    TemplateSize.FULL: N_("Full"),
}
SORTS: Final = {
    PanditSort.RECOMMENDED: N_("Recommended"),
    PanditSort.RATING: N_("Best rated"),
    PanditSort.PRICE: N_("Lowest price"),
    PanditSort.DISTANCE: N_("Nearest"),
    PanditSort.EXPERIENCE: N_("Most experienced"),
}
FACTORS: Final = {
    "location": N_("Near to you"),
    "rating": N_("Well reviewed"),
    "experience": N_("Experienced"),
    "availability": N_("Has time"),
    "affinity": N_("Suits your family"),
}
SPOKEN: Final = {
    "ne": N_("Nepali"),
    "sa": N_("Sanskrit"),
    "hi": N_("Hindi"),
    "en": N_("English"),
    "mai": N_("Maithili"),
    "bho": N_("Bhojpuri"),
    "new": N_("Newar"),
    "awa": N_("Awadhi"),
    "tha": N_("Tharu"),
    "gur": N_("Gurung"),
    "tam": N_("Tamang"),
}
WEEKDAYS: Final = {
    7: N_("Sunday"),
    1: N_("Monday"),
    2: N_("Tuesday"),
    3: N_("Wednesday"),
    4: N_("Thursday"),
    5: N_("Friday"),
    6: N_("Saturday"),
}
"""As a week is read in Nepal: Sunday first."""
WIZARD_STEPS: Final = {
    WizardStep.SERVICE: N_("Service"),
    WizardStep.DATETIME: N_("Date and time"),
    WizardStep.DETAILS: N_("Details"),
    WizardStep.PAYMENT: N_("Payment"),
    WizardStep.CONFIRMATION: N_("Confirmation"),
}
FIELDS: Final = {
    "full_name": N_("Full name"),
    "full_name_ne": N_("Your name in Nepali"),
    "phone_number": N_("Mobile number"),
    "identifier": N_("Phone, e-mail or user name"),
    "password": N_("Password"),
    "new_password": N_("New password"),
    "old_password": N_("Present password"),
    "code": N_("Code"),
    "email": N_("E-mail"),
    "timezone": N_("Your time zone"),
    "language": N_("Language"),
    "description": N_("Description"),
    "description_ne": N_("Description in Nepali"),
    "languages": N_("Languages that you speak"),
    "booking_date": N_("Date"),
    "booking_time": N_("Time"),
    "date": N_("Date"),
    "time": N_("Time"),
    "max_price": N_("At most, in rupees"),
    "min_rating": N_("Rating at least"),
    "q": N_("Name or word"),
    "category": N_("Kind of puja"),
    "radius_km": N_("Within"),
    "place": N_("Place"),
    "puja_id": N_("Puja"),
    "name": N_("Name"),
    "date_of_birth": N_("Date of birth, AD"),
    "date_of_birth_bs": N_("Date of birth, BS"),
    "time_of_birth": N_("Time of birth, as clocks showed it there"),
    "about_minutes": N_("The time may be off by so many minutes"),
    "place_of_birth": N_("Place of birth"),
    "latitude": N_("Latitude, degrees north"),
    "longitude": N_("Longitude, degrees east"),
    "ayanamsa": N_("Ayanamsa"),
    "from": N_("From"),
    "to": N_("To"),
    "address": N_("Address"),
    "city": N_("City"),
    "area": N_("Area or tole"),
    "notes": N_("Notes"),
    "rating": N_("Overall"),
    "professionalism": N_("Professionalism"),
    "knowledge": N_("Knowledge"),
    "punctuality": N_("Punctuality"),
    "comment": N_("Comment"),
    "reply": N_("Answer"),
    "reason": N_("Reason"),
    "price": N_("Price in rupees"),
    "duration_minutes": N_("Duration in minutes"),
    "experience_years": N_("Years of experience"),
    "buffer_minutes": N_("Minutes between two bookings"),
    "lead_minutes": N_("Hours of notice that you need"),
    "max_per_day": N_("Bookings a day at most"),
    "new-date": N_("Add a day"),
    "new-last": N_("Until (and including)"),
    "new-start0": N_("From"),
    "new-end0": N_("Until"),
    "lead_hours": N_("Hours of notice that you need"),
    "quantity": N_("Quantity"),
    "budget": N_("Budget in rupees, for all samagri"),
    "template_id": N_("Which list"),
    "season": N_("Season"),
    "substitutes": N_("What may stand for it"),
    "payment_method": N_("Way to pay"),
    "amount": N_("Amount in rupees"),
    "destination": N_("Where to"),
    "note": N_("Note"),
}
_LINE_FIELD: Final = re.compile(r"lines\[([0-9]{1,3})\]\.(item|quantity|unit)")
_CELLS: Final = {
    "item": N_("Item {number}"),
    "quantity": N_("Quantity {number}"),
    "unit": N_("Unit {number}"),
}
_DAY_FIELD: Final = re.compile(r"weekly\[([0-6])\]")
_ROLES: Final[Mapping[str, str]] = {
    Role.USER: N_("by the customer"),
    Role.PANDIT: N_("by the pandit"),
    Role.ADMIN: N_("by our team"),
    "system": N_("automatically"),
}
_PEOPLE: Final[Mapping[str, str]] = {
    Role.USER: N_("Customer"),
    Role.PANDIT: N_("Pandit"),
    Role.ADMIN: N_("Administrator"),
}
_REASONS: Final = {
    NO_ANSWER: N_("The pandit did not answer in time."),
    NOT_AVAILABLE: N_("The pandit takes no bookings at present."),
    OTHER_CHOSEN: N_("Another pandit was chosen."),
    "no-pandit-left": N_("No other pandit was free at that time."),
    NOT_PAID: N_("It was not paid in time."),
}


class Labels:
    """The tables in one reader's language; templates know it as ``labels``."""

    def __init__(self, page: PageHandler) -> None:
        self._page = page
        role = page.actor.role if page.actor is not None else Role.USER
        self._is_pandit = role is Role.PANDIT
        self._locations = _LOCATIONS.get(role, LOCATIONS)

    def status(self, status: BookingStatus) -> str:
        """What a state of a booking is called; the same word waits on the pandit's side for him."""
        if status is BookingStatus.PENDING and self._is_pandit:
            return self._page.translate(N_("Waiting for your answer"))
        return self._page.translate(STATUSES[status])

    def wizard_step(self, step: WizardStep) -> str:
        """What a step of a booking is called."""
        return self._page.translate(WIZARD_STEPS[step])

    def location(self, kind: ServiceLocation) -> str:
        """Where a puja is held."""
        return self._page.translate(self._locations[kind])

    def location_hint(self, kind: ServiceLocation) -> str:
        """What that means for the customer."""
        return self._page.translate(LOCATION_HINTS[kind])

    def payment(self, status: PaymentStatus) -> str:
        """How far a payment is."""
        return self._page.translate(PAYMENT_STATUSES[status])

    def method(self, method: PaymentMethod) -> str:
        """What a way to pay is called."""
        return self._page.translate(METHODS[method])

    def method_hint(self, method: PaymentMethod) -> str:
        """What it is, for whoever does not know the name."""
        return self._page.translate(METHOD_HINTS[method])

    def reason_of_payment(self, code: str) -> str:
        """Why a payment has failed."""
        sentence = reason_text(code)
        return self._page.translate(sentence) if sentence else ""

    def refund_state(self, state: RefundState) -> str:
        """How far a refund has come."""
        return self._page.translate(REFUND_STATES[state])

    def refund_reason(self, code: str) -> str:
        """Why money went back."""
        known = _REFUND_REASONS.get(code)
        return self._page.translate(known) if known else code

    def note_source(self, code: str) -> str:
        """From where a line of a payment's history came."""
        known = _NOTE_SOURCES.get(code)
        return self._page.translate(known) if known else code

    def note_outcome(self, code: str) -> str:
        """What a line of a payment's history says; of a failure its reason."""
        known = _NOTE_OUTCOMES.get(code)
        return self._page.translate(known) if known else self.reason_of_payment(code)

    def entry(self, kind: EntryKind) -> str:
        """What a movement of money was."""
        return self._page.translate(ENTRIES[kind])

    def payout(self, status: PayoutStatus) -> str:
        """How far a payout is."""
        return self._page.translate(PAYOUTS[status])

    def purpose(self, purpose: Purpose) -> str:
        """What was paid for."""
        return self._page.translate(PURPOSES[purpose])

    def verification(self, status: VerificationStatus) -> str:
        """Where the check of a pandit's papers stands."""
        return self._page.translate(VERIFICATIONS[status])

    def samagri(self, kind: SamagriType) -> str:
        """How firmly an item belongs to the puja."""
        return self._page.translate(SAMAGRI_TYPES[kind])

    def size(self, size: TemplateSize) -> str:
        """How much a ready list holds."""
        return self._page.translate(SIZES[size])

    def sort(self, order: PanditSort) -> str:
        """An order of search results."""
        return self._page.translate(SORTS[order])

    def review_state(self, state: ReviewState) -> str:
        """Where a review stands with the moderators."""
        return self._page.translate(REVIEW_STATES[state])

    def factor(self, name: str) -> str:
        """What speaks for a pandit in the recommended order."""
        return self._page.translate(FACTORS[name])

    def spoken(self, code: str) -> str:
        """A language that somebody speaks; an unknown code stays itself."""
        return self._page.translate(SPOKEN[code]) if code in SPOKEN else code

    @property
    def frequencies(self) -> list[tuple[str, str]]:
        """How often a booking may come again, with what that is called."""
        return [(each, self.frequency(each)) for each in Frequency]

    def frequency(self, frequency: Frequency) -> str:
        """How often a booking comes again."""
        return self._page.translate(_FREQUENCIES[frequency])

    def occurrence(self, state: OccurrenceState) -> str:
        """How far one day of a series has come."""
        return self._page.translate(_OCCURRENCES[state])

    def weekday(self, number: int) -> str:
        """A day of the week, 1 is Monday."""
        return self._page.translate(WEEKDAYS[number])

    def role(self, role: str) -> str:
        """By whom something was done."""
        return self._page.translate(_ROLES[role]) if role in _ROLES else ""

    def person(self, role: str) -> str:
        """What somebody is on the platform."""
        return self._page.translate(_PEOPLE[role])

    def reason(self, reason: str) -> str:
        """Why something was done: what a person wrote, or what the system's code stands for."""
        return self._page.translate(_REASONS[reason]) if reason in _REASONS else reason

    def field(self, name: str) -> str:
        """What a field is called beside its fault, empty where the fault says enough."""
        if day := _DAY_FIELD.match(name):
            return self.weekday(tuple(WEEKDAYS)[int(day[1])])
        if cell := _LINE_FIELD.fullmatch(name):
            return self._page.translate(_CELLS[cell[2]], number=int(cell[1]) + 1)
        return self._page.translate(FIELDS[name]) if name in FIELDS else ""

    def quality(self, quality: str) -> str:
        """What a day is for a puja."""
        return self._page.translate(_QUALITIES[quality])

    def months(self, months_bs: Collection[int]) -> str:
        """Months of Bikram Sambat, those that follow each other as "from – to"; empty: none."""
        names = [name.ne if self._page.reader.language == "ne" else name.en for name in MONTHS]
        starts = [month for month in sorted(months_bs) if (month - 2) % 12 + 1 not in months_bs]
        found = []
        for first in starts:
            last = first
            while last % 12 + 1 in months_bs:
                last = last % 12 + 1
            span = dict.fromkeys((names[first - 1], names[last - 1]))
            found.append(" – ".join(span))
        return ", ".join(found)

    def unit(self, unit: Unit, quantity: Decimal) -> str:
        """A unit beside a quantity."""
        page = self._page
        return unit_text(page.services.translations, page.reader.language, unit, quantity)

    def quantity(self, quantity: Decimal, unit: Unit) -> str:
        """A quantity with its unit."""
        return f"{self._page.formatter.number(float(quantity))} {self.unit(unit, quantity)}"

    def duration(self, minutes: int) -> str:
        """A span of time in hours and minutes."""
        hours, rest = divmod(minutes, 60)
        parts = []
        if hours:
            parts.append(self._page.translate_count(*_HOURS, hours))
        if rest:
            parts.append(self._page.translate_count(*_MINUTES, rest))
        return " ".join(parts)


_FREQUENCIES: Final = {
    Frequency.WEEKLY: N_("Every week"),
    Frequency.FORTNIGHTLY: N_("Every second week"),
    Frequency.MONTHLY: N_("Every month"),
    Frequency.YEARLY_TITHI: N_("Every year on the same tithi"),
}
_OCCURRENCES: Final = {
    OccurrenceState.PLANNED: N_("Planned"),
    OccurrenceState.BOOKED: N_("Booked"),
    OccurrenceState.CONFLICT: N_("Could not be booked"),
    OccurrenceState.SKIPPED: N_("Skipped"),
}
_QUALITIES: Final = {
    "good": N_("good day"),
    "fair": N_("fair day"),
    "poor": N_("poor day"),
    "barred": N_("no muhurta"),
}
_HOURS: Final = n_("{n} hour", "{n} hours")
_MINUTES: Final = n_("{n} minute", "{n} minutes")
