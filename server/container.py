"""What the doors are given: the use cases, typed, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from server.documents.calendars import CalendarPrinter
from server.documents.printer import Printer
from server.domain.ports.processes import IdempotencyStore, RateLimiter
from server.domain.ports.world import Clock
from server.health import Health
from server.i18n import Translations
from server.metrics import Metrics
from server.services.accounts import AccountService
from server.services.accuracy import AccuracyService
from server.services.almanac import AlmanacService
from server.services.analytics import AnalyticsService
from server.services.audit import AuditService
from server.services.booking_payments import BookingPayments
from server.services.bookings import BookingService
from server.services.callbacks import CallbackService
from server.services.catalogue import CatalogueService
from server.services.catalogue_admin import CatalogueAdminService
from server.services.charts import ChartService
from server.services.chats import ChatService
from server.services.drafts import DraftService
from server.services.feeds import FeedService
from server.services.learning import LearningService
from server.services.ledger import LedgerService
from server.services.notifications import NotificationService
from server.services.pandits import PanditService
from server.services.papers import PaperService
from server.services.payments import PaymentService
from server.services.payouts import PayoutService
from server.services.places import PlaceService
from server.services.positions import PositionService
from server.services.preferences import PreferenceService
from server.services.push import PushService
from server.services.recommendations import RecommendationService
from server.services.recurrences import RecurrenceService
from server.services.relay import EventRelay
from server.services.reviews import ReviewService
from server.services.settlement import Settlement
from server.services.templates import TemplateService
from server.services.user_admin import UserAdminService
from server.services.visits import VisitMeter
from server.ws.hub import Hub


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases, and the few adapters that the doors themselves need."""

    translations: Translations
    limiter: RateLimiter
    idempotency: IdempotencyStore
    accounts: AccountService
    analytics: AnalyticsService
    visits: VisitMeter
    audit: AuditService
    catalogue: CatalogueService
    templates: TemplateService
    catalogue_admin: CatalogueAdminService
    pandits: PanditService
    papers: PaperService
    places: PlaceService
    bookings: BookingService
    drafts: DraftService
    payments: PaymentService
    settlement: Settlement
    booking_payments: BookingPayments
    callbacks: CallbackService
    ledger: LedgerService
    payouts: PayoutService
    charts: ChartService
    almanac: AlmanacService
    chats: ChatService
    notifications: NotificationService
    push: PushService
    recommendations: RecommendationService
    recurrences: RecurrenceService
    reviews: ReviewService
    preferences: PreferenceService
    learning: LearningService
    accuracy: AccuracyService
    user_admin: UserAdminService
    feeds: FeedService
    positions: PositionService
    relay: EventRelay
    hub: Hub
    health: Health
    metrics: Metrics
    printer: Printer
    calendars: CalendarPrinter
    clock: Clock
