"""Wiring: the one module that knows everybody.

Read top to bottom: open the adapters, build the services, build the application. Every resource is
pushed on one exit stack and stops in reverse order, also when the start fails half way.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from tornado import httpserver, netutil, web

from server.auth import Argon2Hasher, JwtSigner
from server.bus.leases import MemoryLeases, RedisLeases
from server.bus.memory import MemoryBus
from server.bus.presence import MemoryPresence, RedisPresence
from server.bus.ratelimit import DoorLimiter
from server.bus.redis import RedisBus
from server.clock import SystemClock
from server.container import Services
from server.documents.calendars import CalendarPrinter
from server.documents.printer import Printer
from server.documents.sheet import Sheet
from server.domain.account import Actor
from server.domain.booking import Booking, PaymentMethod
from server.domain.cancellation import RefundTier
from server.domain.draft import DraftPolicy
from server.domain.experiment import Experiment, arms_of
from server.domain.gateway import PaymentGateway
from server.domain.ports.accounts import CodeSender
from server.domain.ports.events import Receiver
from server.domain.ports.kundali import FestivalCalendar, PlaceDirectory
from server.domain.ports.learning import Models
from server.domain.ports.notifications import PushSender
from server.domain.ports.processes import Bus, Leases, PresenceBoard
from server.domain.ports.world import Clock, Translator, Workers
from server.gateways.cash import CashGateway
from server.gateways.registry import open_gateways
from server.gateways.wallet import WalletGateway
from server.handlers.forwarded import ForwardingServer
from server.handlers.page_base import UI_MODULES, UnknownPath
from server.handlers.static import Assets
from server.health import Health
from server.i18n import Translations
from server.jobs.scheduler import Duty, Scheduler
from server.mailer.chosen import choose_code_sender
from server.metrics import Metrics
from server.paths import data_path, web_path
from server.pictures import PillowEditor
from server.places.directory import load_places
from server.places.zones import ZoneMap
from server.recommender.adviser import AdviceParams
from server.recommender.keeper import KeeperParams, ModelKeeper
from server.routes import ROUTES
from server.schemas.frames import JsonChatFrames, JsonPaymentFrames, JsonPositionFrames
from server.services.accounts import AccountPolicy, AccountService
from server.services.accuracy import AccuracyService
from server.services.almanac import AlmanacService
from server.services.analytics import AnalyticsService
from server.services.audit import AuditService
from server.services.booking_payments import BookingPayments
from server.services.bookings import BookingPolicy, BookingService
from server.services.callbacks import CallbackService
from server.services.catalogue import CatalogueService
from server.services.catalogue_admin import CatalogueAdminService
from server.services.charts import ChartService
from server.services.chats import ChatPolicy, ChatService
from server.services.drafts import DraftService
from server.services.feeds import FeedService
from server.services.festivals import FestivalDays
from server.services.learning import LearningService, RecommendationIds
from server.services.ledger import LedgerService
from server.services.notifications import NotificationService
from server.services.offers import OfferKeeper
from server.services.pandits import PanditService
from server.services.papers import PaperService, PapersPolicy
from server.services.payments import PaymentPolicy, PaymentService
from server.services.payouts import PayoutService
from server.services.places import PlaceService
from server.services.positions import PositionPolicy, PositionService
from server.services.preferences import PreferenceService
from server.services.push import PushPolicy, PushService
from server.services.recommendations import (
    AdvisedSamagri,
    Advisers,
    CustomerReader,
    RankedSearch,
    RecommendationPolicy,
    RecommendationService,
)
from server.services.recurrences import RecurrenceService
from server.services.relay import EventRelay
from server.services.reviews import RatingKeeper, ReviewService
from server.services.samagri import SamagriAdder
from server.services.search_words import SearchWords
from server.services.settlement import Gateways, Settlement
from server.services.slot_news import SlotNews
from server.services.templates import TemplateService
from server.services.timetable import Timetable
from server.services.unlocks import UnlockService
from server.services.user_admin import UserAdminService
from server.services.visits import VisitMeter
from server.settings import BookingSettings, ExperimentSettings, PaymentSettings, Settings
from server.store import bookings as booking_documents
from server.store import pandits as pandit_documents
from server.store import payments as payment_documents
from server.store import reviews as review_documents
from server.store import series as series_documents
from server.store.analytics import MongoAnalyticsRepository
from server.store.attachments import DiskFileStore, MongoAttachmentRepository
from server.store.audit import MongoAuditRepository
from server.store.bookings import MongoBookingRepository
from server.store.callbacks import MongoCallbackRepository
from server.store.catalogue import MongoCatalogueRepository
from server.store.catalogue_files import load_catalogue
from server.store.catalogue_imports import MongoCatalogueImportRepository
from server.store.charts import MongoChartRepository
from server.store.client import CommandObserver, ObjectIds, Store, open_store
from server.store.counters import MongoCounterRepository
from server.store.customer_ratings import MongoCustomerRatingRepository
from server.store.drafts import MongoDraftRepository
from server.store.embedded import database_uri
from server.store.exposures import MongoExposureRepository
from server.store.feedback import MongoFeedbackRepository
from server.store.feeds import MongoFeedRepository
from server.store.festival_files import load_festival_pujas
from server.store.idempotency import MongoIdempotencyStore
from server.store.indexes import create_indexes
from server.store.interactions import MongoInteractionRepository
from server.store.ledger import MongoLedgerRepository
from server.store.messages import MongoMessageRepository
from server.store.migrations import migrate
from server.store.notification_preferences import MongoNotificationPreferenceRepository
from server.store.notifications import MongoNotificationRepository
from server.store.outbox import MongoOutboxRepository
from server.store.pandit_directory import IndexedPanditRepository
from server.store.pandits import MongoPanditRepository
from server.store.papers import MongoPapersRepository
from server.store.payments import MongoPaymentRepository
from server.store.payouts import MongoPayoutRepository
from server.store.preferences import MongoPreferenceRepository
from server.store.push_subscriptions import MongoPushSubscriptionRepository
from server.store.reviews import MongoReviewRepository
from server.store.rite_files import load_rites
from server.store.rooms import MongoRoomRepository
from server.store.series import MongoSeriesRepository
from server.store.users import MongoCodeRepository, MongoSessionRepository, MongoUserRepository
from server.store.visits import MongoVisitRepository
from server.workers import Threads
from server.ws.commands import receive
from server.ws.hub import Hub, HubLimits

_log: Final = structlog.get_logger(__name__)
_SLACK: Final = 4
"""A body up to so many times too large is read, so that its sender hears what is wrong with it."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers on ``port``.

    :meth:`drain` before the context ends lets nothing be lost.
    """

    port: int
    services: Services
    store: Store
    http: httpserver.HTTPServer

    async def drain(self, seconds: float) -> None:
        """Refuse new work, tell sockets to reconnect elsewhere, finish what is running.

        Takes ``seconds`` at most, whatever hangs: a database that is away must not hold the stop.
        """
        self.services.health.begin_draining()
        self.http.stop()
        try:
            async with asyncio.timeout(seconds):
                await self.services.hub.drain()
                await self.services.metrics.wait_idle(seconds)
        except TimeoutError:
            _log.warning("drain_incomplete", seconds=seconds)


@asynccontextmanager
async def open_server(
    settings: Settings,
    *,
    clock: Clock | None = None,
    sender: CodeSender | None = None,
    providers: Mapping[PaymentMethod, PaymentGateway] | None = None,
    listeners: Sequence[Any] = (),
    sockets: Sequence[socket.socket] = (),
) -> AsyncIterator[RunningServer]:
    """Start everything and serve until the context ends.

    ``sockets`` listen already; without them the settings' port is opened.

    Tests pass other settings, a clock, a sender or payment providers of their own, and command
    listeners for the driver.
    """
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        uri = await stack.enter_async_context(database_uri(settings.database))
        store = await stack.enter_async_context(
            open_store(
                settings.database, uri, [CommandObserver(metrics.observe_command), *listeners]
            )
        )
        await prepare_database(store)
        bus, board, leases = await _open_bus(settings, stack)
        festivals = _open_festivals(stack)
        models = await stack.enter_async_context(
            open_models(settings, store, bus, metrics, festivals)
        )
        if providers is None:
            providers = await stack.enter_async_context(open_gateways(settings))
        hasher = Argon2Hasher(settings.auth.hash_threads, settings.auth.hash_queue)
        stack.callback(hasher.close)
        workers = Threads("work", threads=1, queue=64)
        stack.callback(workers.close)
        edits = Threads("pictures", threads=1, queue=16)
        stack.callback(edits.close)
        push = await stack.enter_async_context(_open_push(settings))
        services = build_services(
            settings,
            store,
            bus,
            board,
            models,
            festivals,
            await asyncio.to_thread(load_places, data_path("config") / "places.csv"),
            hasher,
            workers,
            edits,
            metrics,
            providers,
            clock or SystemClock(),
            sender,
            push,
        )
        stack.push_async_callback(services.limiter.close)
        stack.push_async_callback(services.accounts.close)
        await stack.enter_async_context(services.accounts.running())
        await stack.enter_async_context(services.push.running())
        await stack.enter_async_context(services.chats.running())
        await stack.enter_async_context(services.learning.running())
        await stack.enter_async_context(services.visits.running())
        await stack.enter_async_context(services.settlement.running())
        await stack.enter_async_context(services.positions.running())
        await stack.enter_async_context(services.hub.running())
        scheduler = Scheduler(
            [
                Duty("relay", 5.0, services.relay.sweep),
                Duty("unanswered", 30.0, services.bookings.pass_on_unanswered),
                Duty("proposals", 30.0, services.bookings.end_unanswered_proposals),
                Duty("drafts", 5.0, services.drafts.end_lapsed),
                Duty("closings", 30.0, services.accounts.finish_closing),
                Duty("reminders", 30.0, services.bookings.remind_due),
                Duty("series", 30.0, services.recurrences.book_due),
                Duty("imports", 60.0, services.catalogue_admin.finish_applying),
                Duty("digests", 600.0, services.push.send_digests),
                Duty("uploads", 600.0, services.chats.drop_abandoned),
                Duty("searches", 20.0, services.pandits.refresh, everywhere=True),
                Duty("unpaid", 15.0, services.booking_payments.fail_unpaid),
                Duty(
                    "reconcile", settings.payment.reconcile_seconds, services.settlement.reconcile
                ),
            ],
            metrics,
            leases,
        )
        await stack.enter_async_context(scheduler.running())
        # The first search of a process reads all pandits: not while somebody waits for it.
        await services.pandits.warm_up()
        http, port = _listen(settings, services, sockets)
        stack.push_async_callback(http.close_all_connections)
        stack.callback(http.stop)
        services.health.started()
        yield RunningServer(port, services, store, http)


async def _open_bus(settings: Settings, stack: AsyncExitStack) -> tuple[Bus, PresenceBoard, Leases]:
    """What joins several processes, over Redis where there is one."""
    url = settings.bus.redis_url
    if not url:
        return MemoryBus(), MemoryPresence(), MemoryLeases()
    bus = await stack.enter_async_context(RedisBus.open(url))
    board = await stack.enter_async_context(RedisPresence.open(url))
    bus.on_restored(board.refresh)
    return bus, board, await stack.enter_async_context(RedisLeases.open(url))


@asynccontextmanager
async def _open_push(settings: Settings) -> AsyncIterator[PushSender | None]:
    """What sends messages to browsers, where that is switched on."""
    push = settings.push
    if not push.enabled:
        yield None
        return
    # Its libraries take half a second to load.
    from server.push.webpush import WebPushSender

    threads = Threads("push", threads=1, queue=1000)
    try:
        async with WebPushSender.open(Path(push.key_path), push.contact, threads) as sender:
            yield sender
    finally:
        threads.close()


def _open_festivals(stack: AsyncExitStack) -> FestivalDays:
    """What computes the days of festivals: a year at a time, in a thread."""
    threads = Threads("festivals", threads=1, queue=100)
    stack.callback(threads.close)
    return FestivalDays(load_festival_pujas(data_path("config") / "festivals.toml"), threads)


async def prepare_database(store: Store) -> None:
    """Bring indexes, migrations and the catalogue up to date; safe in several processes at once."""
    await create_indexes(store)
    await migrate(store)
    catalogue = load_catalogue(data_path("config") / "catalogue")
    await MongoCatalogueRepository(store).sync(catalogue)


@asynccontextmanager
async def open_models(
    settings: Settings, store: Store, bus: Bus, metrics: Metrics, festivals: FestivalDays
) -> AsyncIterator[ModelKeeper]:
    """Take up the current model and follow the pointer to it while the context lasts."""
    recommender = settings.recommender
    keeper = ModelKeeper(
        KeeperParams(
            path=Path(recommender.path),
            poll_seconds=recommender.poll_seconds,
            retry_seconds=recommender.retry_seconds,
            is_enabled=recommender.enabled,
            advice=AdviceParams(
                threshold=settings.booking.samagri_threshold,
                new_items_share=recommender.new_items_share,
                new_pandits_share=recommender.new_pandits_share,
                annual=festivals.pujas,
            ),
        ),
        MongoCatalogueRepository(store),
        bus,
        metrics,
    )
    async with keeper.running():
        yield keeper


def build_services(
    settings: Settings,
    store: Store,
    bus: Bus,
    board: PresenceBoard,
    models: Models,
    festivals: FestivalCalendar,
    places: PlaceDirectory,
    hasher: Argon2Hasher,
    workers: Workers,
    edits: Workers,
    metrics: Metrics,
    providers: Mapping[PaymentMethod, PaymentGateway],
    clock: Clock,
    sender: CodeSender | None = None,
    push_sender: PushSender | None = None,
) -> Services:
    """Construct every use case from its adapters."""
    ids = ObjectIds()
    zones = ZoneMap()
    translations = Translations(data_path("locale"))
    named_places = PlaceService(places)
    users, sessions = MongoUserRepository(store), MongoSessionRepository(store)
    bookings = MongoBookingRepository(store)
    # A search in memory, brought up to date by an index of the database; ADR 10 says why.
    pandits = (
        IndexedPanditRepository(store)
        if settings.search.in_memory
        else MongoPanditRepository(store)
    )
    catalogue = MongoCatalogueRepository(store)
    payments = MongoPaymentRepository(store)
    papers = MongoPapersRepository(store)
    files = DiskFileStore(Path(settings.files.path))

    audit = AuditService(MongoAuditRepository(store), clock, ids)
    visit_counts = MongoVisitRepository(store)
    visits = VisitMeter(visit_counts, clock)
    push = PushService(
        subscriptions=MongoPushSubscriptionRepository(store),
        preferences=MongoNotificationPreferenceRepository(store),
        notifications=MongoNotificationRepository(store),
        users=users,
        sessions=sessions,
        board=board,
        sender=push_sender,
        bus=bus,
        translator=translations,
        clock=clock,
        policy=PushPolicy(hosts=settings.push.hosts, digest_hour=settings.push.digest_hour),
    )
    notifications = NotificationService(
        MongoNotificationRepository(store), users, translations, bus, clock, ids, push
    )
    chats = ChatService(
        audit=audit,
        rooms=MongoRoomRepository(store),
        messages=MongoMessageRepository(store),
        attachments=MongoAttachmentRepository(store),
        files=files,
        bookings=bookings,
        notices=notifications,
        board=board,
        frames=JsonChatFrames(),
        bus=bus,
        translator=translations,
        clock=clock,
        ids=ids,
        policy=ChatPolicy(
            max_waiting=settings.realtime.max_waiting_writes,
            max_upload_bytes=settings.http.max_upload_bytes,
            max_picture_pixels=settings.files.max_picture_pixels,
            unsent_hours=settings.files.unsent_hours,
            max_unsent=settings.files.max_unsent,
        ),
    )
    interactions = MongoInteractionRepository(store)
    preferences = PreferenceService(
        MongoPreferenceRepository(store), catalogue, interactions, clock
    )
    counters = MongoCounterRepository(store)
    accuracy = AccuracyService(
        counters, MongoExposureRepository(store), clock, _experiment(settings.experiment)
    )
    learning = LearningService(
        ids=RecommendationIds(settings.auth.secret, settings.auth.previous_secret),
        feedback=MongoFeedbackRepository(store),
        interactions=interactions,
        bookings=bookings,
        preferences=preferences,
        counters=counters,
        accuracy=accuracy,
        clock=clock,
    )
    # Filled below: some receivers change documents themselves and hand their events on to it.
    receivers: list[Receiver] = []
    reviews = MongoReviewRepository(store)
    keeper = RatingKeeper(reviews, pandits, clock)
    relay = EventRelay(
        {
            "bookings": MongoOutboxRepository(store, booking_documents.COLLECTION),
            "pandits": MongoOutboxRepository(store, pandit_documents.COLLECTION),
            "payments": MongoOutboxRepository(store, payment_documents.COLLECTION),
            "series": MongoOutboxRepository(store, series_documents.COLLECTION),
            "reviews": MongoOutboxRepository(store, review_documents.COLLECTION),
        },
        receivers,
        clock,
    )
    accounts = AccountService(
        users=users,
        pandits=pandits,
        sessions=sessions,
        codes=MongoCodeRepository(store),
        sender=sender or choose_code_sender(settings),
        hasher=hasher,
        signer=JwtSigner(settings.auth.secret, settings.auth.previous_secret),
        bus=bus,
        relay=relay,
        places=named_places,
        clock=clock,
        ids=ids,
        policy=AccountPolicy(
            secret=settings.auth.secret,
            access_minutes=settings.auth.access_minutes,
            refresh_days=settings.auth.refresh_days,
            code_minutes=settings.auth.code_minutes,
            code_tries=settings.auth.code_tries,
            code_resend_seconds=settings.auth.code_resend_seconds,
            cache_seconds=settings.auth.cache_seconds,
        ),
    )
    policy = BookingPolicy(
        slot_step_minutes=settings.booking.slot_step_minutes,
        horizon_days=settings.booking.horizon_days,
        answer_hours=settings.booking.answer_hours,
        start_early_minutes=settings.booking.start_early_minutes,
        travel_ahead_minutes=settings.booking.travel_ahead_minutes,
        commission_basis_points=settings.booking.commission_basis_points,
        max_offers=settings.booking.max_offers,
        offer_radius_km=settings.booking.offer_radius_km,
        hold_minutes=settings.payment.hold_minutes,
        proposal_hours=settings.booking.proposal_hours,
        most_unpaid=settings.booking.most_unpaid,
        most_unanswered=settings.booking.most_unanswered,
        most_repeated=settings.booking.most_repeated,
        drafts=_draft_policy(settings.booking),
        refund_tiers=_refund_tiers(settings.payment),
        payment_methods=frozenset(providers) | {PaymentMethod.CASH, PaymentMethod.WALLET},
    )
    drafts, slots = MongoDraftRepository(store), SlotNews(bus)
    customers = CustomerReader(users, bookings, reviews, preferences)
    advice = RecommendationPolicy(max_candidates=settings.recommender.max_candidates)
    advisers = Advisers(models, accuracy.arm_of)
    ranked = RankedSearch(pandits, advisers, customers, clock, metrics.recommended)
    adder = SamagriAdder(
        [AdvisedSamagri(advisers, customers, clock, metrics.recommended)],
        catalogue,
        translations,
        threshold=settings.booking.samagri_threshold,
        add_optional=settings.booking.add_optional_samagri,
    )
    timetable = Timetable(bookings, settings.booking.travel_speed_kmh)
    templates = TemplateService(
        catalogue=catalogue,
        adder=adder,
        preferences=preferences,
        translator=translations,
        clock=clock,
    )
    profiles = PanditService(
        audit=audit,
        pandits=pandits,
        papers=papers,
        bookings=bookings,
        catalogue=catalogue,
        payments=payments,
        users=users,
        drafts=drafts,
        timetable=timetable,
        relay=relay,
        slots=slots,
        clock=clock,
        ids=ids,
        policy=policy,
        words=SearchWords(catalogue, places, clock),
        places=named_places,
        find=ranked.page,
        visits=visits,
    )
    booking_service = BookingService(
        bookings=bookings,
        pandits=pandits,
        users=users,
        catalogue=catalogue,
        drafts=drafts,
        adder=adder,
        timetable=timetable,
        templates=templates,
        advisers=advisers,
        relay=relay,
        slots=slots,
        audit=audit,
        places=named_places,
        clock=clock,
        ids=ids,
        policy=policy,
    )
    recurrences = RecurrenceService(
        series=MongoSeriesRepository(store),
        bookings=booking_service,
        users=users,
        relay=relay,
        workers=workers,
        clock=clock,
        ids=ids,
        horizon_days=policy.horizon_days,
        is_enabled=settings.booking.recurring,
    )
    ledger = LedgerService(MongoLedgerRepository(store))
    gateways: Gateways = {
        **providers,
        PaymentMethod.CASH: CashGateway(),
        PaymentMethod.WALLET: WalletGateway(ledger, clock),
    }
    payment_frames = JsonPaymentFrames(translations)
    settlement = Settlement(
        payments=payments,
        users=users,
        gateways=gateways,
        relay=relay,
        bus=bus,
        frames=payment_frames,
        meter=metrics,
        clock=clock,
        batch=settings.payment.reconcile_batch,
        bookings=bookings,
    )
    payment_service = PaymentService(
        frames=payment_frames,
        payments=payments,
        settlement=settlement,
        bookings=booking_service,
        pandits=pandits,
        users=users,
        ledger=ledger,
        audit=audit,
        gateways=gateways,
        clock=clock,
        ids=ids,
        policy=PaymentPolicy(
            unlock_fee=settings.payment.unlock_fee,
            top_up_min=settings.payment.top_up_min,
            top_up_max=settings.payment.top_up_max,
            wallet_max_balance=settings.payment.wallet_max_balance,
        ),
    )
    booking_payments = BookingPayments(bookings, booking_service, payments, settlement, clock)
    positions = PositionService(
        bookings=bookings,
        frames=JsonPositionFrames(),
        bus=bus,
        clock=clock,
        policy=PositionPolicy(
            ahead=timedelta(minutes=settings.booking.travel_ahead_minutes),
            speed_kmh=settings.booking.travel_speed_kmh,
        ),
    )
    # Money first, then rooms: whoever hears that a booking was accepted, or an unlock paid, may
    # open its chat; and whoever hears of a review finds it counted. Learning last, so that nobody
    # hears late.
    receivers += [
        ledger,
        booking_payments,
        keeper,
        UnlockService(payments, users, chats),
        recurrences,
        chats,
        notifications,
        OfferKeeper(bookings, booking_service, pandits),
        positions,
        learning,
    ]
    return Services(
        translations=translations,
        limiter=DoorLimiter(settings.limits, settings.bus.redis_url),
        idempotency=MongoIdempotencyStore(store, clock),
        accounts=accounts,
        analytics=AnalyticsService(
            figures=MongoAnalyticsRepository(store),
            visits=visit_counts,
            pandits=pandits,
            catalogue=catalogue,
            workers=workers,
            clock=clock,
            cache_seconds=settings.analytics.cache_seconds,
        ),
        visits=visits,
        audit=audit,
        templates=templates,
        catalogue=CatalogueService(catalogue, adder, preferences, clock),
        catalogue_admin=CatalogueAdminService(
            catalogue=catalogue,
            imports=MongoCatalogueImportRepository(store),
            audit=audit,
            workers=workers,
            clock=clock,
            ids=ids,
        ),
        pandits=profiles,
        papers=PaperService(
            papers=papers,
            pandits=pandits,
            users=users,
            files=files,
            editor=PillowEditor(settings.files.max_picture_pixels),
            edits=edits,
            accounts=accounts,
            workers=workers,
            relay=relay,
            audit=audit,
            clock=clock,
            policy=PapersPolicy(
                max_bytes=settings.http.max_upload_bytes,
                max_pixels=settings.files.max_picture_pixels,
                max_certificates=settings.files.max_certificates,
                max_pictures=settings.files.max_pictures,
            ),
        ),
        places=named_places,
        bookings=booking_service,
        payments=payment_service,
        settlement=settlement,
        booking_payments=booking_payments,
        callbacks=CallbackService(
            callbacks=MongoCallbackRepository(store),
            payments=payment_service,
            settlement=settlement,
            gateways=gateways,
            audit=audit,
            clock=clock,
            ids=ids,
        ),
        ledger=ledger,
        payouts=PayoutService(
            MongoPayoutRepository(store), ledger, audit, clock, ids, settings.payment.payout_min
        ),
        drafts=DraftService(
            drafts=drafts,
            bookings=booking_service,
            recurrences=recurrences,
            timetable=timetable,
            slots=slots,
            places=named_places,
            clock=clock,
            ids=ids,
            policy=policy.drafts,
            visits=visits,
        ),
        recurrences=recurrences,
        charts=ChartService(
            charts=MongoChartRepository(store),
            places=places,
            zones=zones,
            workers=workers,
            clock=clock,
            ids=ids,
        ),
        almanac=AlmanacService(
            catalogue=catalogue,
            rites=load_rites(data_path("config") / "rites.toml"),
            zones=zones,
            workers=workers,
            clock=clock,
        ),
        chats=chats,
        notifications=notifications,
        push=push,
        recommendations=RecommendationService(
            audit=audit,
            models=models,
            advisers=advisers,
            issuer=learning,
            customers=customers,
            wishes=push,
            catalogue=catalogue,
            tallies=counters,
            pandits=pandits,
            profiles=profiles,
            festivals=festivals,
            clock=clock,
            policy=advice,
            observe=metrics.recommended,
        ),
        reviews=ReviewService(
            reviews=reviews,
            ratings=MongoCustomerRatingRepository(store),
            bookings=bookings,
            pandits=pandits,
            users=users,
            keeper=keeper,
            relay=relay,
            audit=audit,
            clock=clock,
            ids=ids,
        ),
        preferences=preferences,
        learning=learning,
        accuracy=accuracy,
        user_admin=UserAdminService(
            users=users,
            sessions=sessions,
            pandits=pandits,
            bookings=bookings,
            payments=payments,
            accounts=accounts,
            audit=audit,
        ),
        relay=relay,
        hub=Hub(
            bus=bus,
            board=board,
            on_frame=receive,
            chats=chats,
            notifications=notifications,
            payments=payment_service,
            pandits=profiles,
            positions=positions,
            accounts=accounts,
            translator=translations,
            clock=clock,
            metrics=metrics,
            limits=HubLimits.of(settings.realtime),
        ),
        health=Health(store, lambda: models.state),
        metrics=metrics,
        positions=positions,
        feeds=FeedService(MongoFeedRepository(store), users, bookings, clock),
        calendars=CalendarPrinter(workers, functools.partial(_calendar_of, translations)),
        printer=Printer(workers, _pdf_of),
        clock=clock,
    )


def _pdf_of(sheet: Sheet) -> bytes:
    # Loaded with the first file, in the printer's thread: it takes most of a second.
    from server.documents.pdf import pdf_of

    return pdf_of(sheet, web_path("static") / "vendor" / "fonts")


def _draft_policy(settings: BookingSettings) -> DraftPolicy:
    return DraftPolicy(
        hold=timedelta(minutes=settings.draft_hold_minutes),
        hold_most=timedelta(minutes=settings.draft_hold_most_minutes),
        keep=timedelta(hours=settings.draft_keep_hours),
        most=settings.most_drafts,
    )


def _calendar_of(
    translator: Translator,
    bookings: tuple[Booking, ...],
    reader: Actor,
    language: str,
    site_url: str,
) -> bytes:
    # Loaded with the first calendar, in its thread: it takes half a second, and 10 MB.
    from server.documents.ical import calendar_of

    return calendar_of(translator, bookings, reader, language, site_url)


def _refund_tiers(settings: PaymentSettings) -> tuple[RefundTier, ...]:
    pairs = (each.split(":") for each in settings.refund_shares)
    return tuple(RefundTier(int(hours), int(share)) for hours, share in pairs)


def _experiment(settings: ExperimentSettings) -> Experiment | None:
    if not settings.name:
        return None
    return Experiment(settings.name, arms_of(settings.arms), date.fromisoformat(settings.ends_on))


def build_application(settings: Settings, services: Services) -> web.Application:
    """The Tornado application over the services."""
    return web.Application(
        [
            web.url(route.pattern, route.handler, {"route_name": route.name}, route.name)
            for route in ROUTES
        ],
        default_handler_class=UnknownPath,
        services=services,
        routes=ROUTES,
        settings=settings,
        trusted_proxies=frozenset(settings.http.trusted_proxies),
        secure_cookies=settings.http.secure_cookies,
        max_body_bytes=settings.http.max_body_bytes,
        security_headers=_security_headers(settings),
        cursor_secret=hashlib.sha256(f"cursor|{settings.auth.secret}".encode()).digest(),
        cookie_secret=settings.auth.secret,
        xsrf_cookies=True,
        xsrf_cookie_kwargs={"samesite": "Lax", "secure": settings.http.secure_cookies},
        template_path=str(web_path("templates")),
        assets=Assets(web_path("."), data_path("locale")),
        ui_modules=UI_MODULES,
        log_function=services.metrics.log_request,
    )


def _listen(
    settings: Settings, services: Services, given: Sequence[socket.socket]
) -> tuple[httpserver.HTTPServer, int]:
    application = build_application(settings, services)
    most = _SLACK * settings.http.max_body_bytes
    http = ForwardingServer(
        application,
        xheaders=bool(settings.http.trusted_proxies),
        trusted_downstream=list(settings.http.trusted_proxies),
        # Read before anybody knows who asks. Uploads raise it for themselves once that is known.
        max_body_size=most,
        max_buffer_size=max(most, settings.realtime.max_frame_bytes) + 128 * 1024,
        idle_connection_timeout=75.0,
        body_timeout=30.0,
    )
    sockets = list(given) or netutil.bind_sockets(
        settings.http.port, settings.http.host, backlog=1024
    )
    http.add_sockets(sockets)
    return http, sockets[0].getsockname()[1]


def _security_headers(settings: Settings) -> dict[str, str]:
    headers = {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
            "font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Permissions-Policy": "geolocation=(self), camera=(), microphone=()",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if settings.http.secure_cookies:
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    return headers


async def run_until_stopped(
    server: RunningServer, stop: asyncio.Event, drain_seconds: float
) -> None:
    """Serve until ``stop`` is set, then drain."""
    await stop.wait()
    _log.info("draining")
    await server.drain(drain_seconds)
