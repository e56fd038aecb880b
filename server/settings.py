"""The settings: one frozen, typed tree, read once.

Order, later wins: the defaults below, ``config/default.toml``, ``config/<environment>.toml``, the
file named by ``PANDITYATRA_CONFIG``, variables ``PANDITYATRA_SECTION__KEY`` (with ``_FILE`` at the
end: the value stands in that file), the command line. Units stand in the names.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

PREFIX: Final = "PANDITYATRA_"
DEFAULT_SECRET: Final = "insecure-development-secret-change-me"  # noqa: S105  # refused in production
ENVIRONMENTS: Final = ("development", "demo", "test", "production")
_NOT_SETTINGS: Final = frozenset({"PANDITYATRA_ENV", "PANDITYATRA_CONFIG"})
_MIN_SECRET: Final = 32
CONSOLE: Final = "console"
NO_CODES: Final = "off"
_FACTORY: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_LIMIT: Final = re.compile(r"[1-9]\d{0,8}/(?:second|minute|hour|day)")
_REDIS: Final = re.compile(r"rediss?(?:\+cluster)?://.+")
_ARM: Final = re.compile(r"([a-z][a-z0-9-]{0,19}):(\d{1,4})-(\d{1,4})")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_SHARE: Final = re.compile(r"(\d{1,4}):(\d{1,5})")
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?")
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
_FORMATS: Final = ("auto", "console", "json")
_QUARTER_MINUTES: Final = 15
_RANGES: Final[dict[str, tuple[float, float]]] = {
    "http.port": (0, 65_535),
    "http.max_body_bytes": (1024, math.inf),
    "http.max_upload_bytes": (1024, math.inf),
    "files.max_certificates": (1, 100),
    "files.max_pictures": (1, 200),
    "files.max_picture_pixels": (10_000, math.inf),
    "files.unsent_hours": (0.1, math.inf),
    "files.max_unsent": (1, 10_000),
    "database.timeout_seconds": (0.1, math.inf),
    "database.max_pool_size": (1, math.inf),
    "database.embedded_start_seconds": (1, math.inf),
    "auth.access_minutes": (1, math.inf),
    "auth.refresh_days": (1, math.inf),
    "auth.code_minutes": (1, math.inf),
    "auth.code_tries": (1, 100),
    "auth.hash_threads": (1, 64),
    "booking.slot_step_minutes": (_QUARTER_MINUTES, 24 * 60),
    "booking.horizon_days": (1, 3650),
    "booking.travel_speed_kmh": (1, 200),
    "booking.answer_hours": (0.1, math.inf),
    "booking.commission_basis_points": (0, 10_000),
    "booking.max_offers": (1, 20),
    "booking.offer_radius_km": (1, 2000),
    "booking.draft_hold_minutes": (0.02, 120),
    "booking.draft_hold_most_minutes": (0.02, 24 * 60),
    "booking.draft_keep_hours": (0.1, 24 * 30),
    "booking.most_drafts": (1, 20),
    "booking.most_unpaid": (1, 1000),
    "booking.most_unanswered": (1, 1000),
    "booking.most_repeated": (1, 1000),
    "booking.proposal_hours": (0.1, 24 * 30),
    "booking.samagri_threshold": (0, 1),
    "push.digest_hour": (0, 23),
    "payment.hold_minutes": (1, 24 * 60),
    "payment.unlock_fee": (1, 100_000_000_00),
    "payment.top_up_min": (1, 100_000_000_00),
    "payment.top_up_max": (1, 100_000_000_00),
    "payment.wallet_max_balance": (1, 100_000_000_00),
    "payment.payout_min": (1, 100_000_000_00),
    "payment.reconcile_seconds": (0.1, 3600),
    "payment.reconcile_batch": (1, 1000),
    "recommender.poll_seconds": (0.05, math.inf),
    "recommender.retry_seconds": (0.05, math.inf),
    "recommender.max_candidates": (2, 500),
    "recommender.new_pandits_share": (0, 1),
    "recommender.new_items_share": (0, 1),
    "gateways.connect_seconds": (0.1, 60),
    "gateways.read_seconds": (0.1, 300),
    "gateways.total_seconds": (0, 900),
    "gateways.max_connections": (1, 10_000),
    "realtime.ping_seconds": (0.1, math.inf),
    "realtime.max_frame_bytes": (1024, math.inf),
    "realtime.outbox_hard_bytes": (1024, math.inf),
    "realtime.messages_per_second": (0.1, math.inf),
    "realtime.message_burst": (1, math.inf),
    "realtime.user_rate_factor": (1, math.inf),
    "realtime.max_unacked": (1, math.inf),
    "realtime.max_waiting_writes": (1, math.inf),
    "realtime.max_connections": (1, math.inf),
    "realtime.connections_per_user": (1, math.inf),
    "realtime.connections_per_address": (1, math.inf),
    "realtime.connects_per_second": (0.1, math.inf),
    "realtime.connect_burst": (1, math.inf),
}
"""Where zero or a very large number would stop the server or make it spin."""
_MASKED: Final = "masked"
_GATEWAY_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "khalti": ("secret_key",),
    "esewa": ("product_code", "secret_key"),
    "connect_ips": ("merchant_id", "app_id", "app_name", "app_password", "key_path"),
    "ime_pay": ("merchant_code", "module", "user", "password"),
    "stripe": ("secret_key", "webhook_secret"),
}
"""What a gateway cannot do without, once it is enabled."""
_TEST_HOST: Final = re.compile(
    r"(?:dev|a|test-pay)\.khalti\.com|(?:uat|rc|rc-epay)\.esewa\.com\.np|uat\.connectips\.com"
    r"|stg\.imepay\.com\.np|localhost|127\.[0-9.]+|::1"
)
_TEST_VALUES: Final[dict[str, re.Pattern[str]]] = {
    "khalti.widget_secret_key": re.compile(r"test_.*"),
    "esewa.product_code": re.compile(r"EPAYTEST", re.IGNORECASE),
    # Published by eSewa for its sandbox: with it anybody can sign a perfect answer.
    "esewa.secret_key": re.compile(re.escape("8gBm/:&EnhH.1/q") + r"\(?"),
    "stripe.secret_key": re.compile(r"(?:sk|rk)_test_.*"),
}
"""Keys and codes of the providers' sandboxes, which production refuses."""


class SettingsError(ValueError):
    """The settings are wrong; ``faults`` name every mistake by its full key."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Where and how the site is served."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8888
    """Port to listen on; 0 takes a free one."""
    public_origins: tuple[str, ...] = ()
    """Exact origins (scheme, host, port) that browsers may come from; empty: the Host header's."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses whose X-Forwarded-For and X-Request-ID are believed."""
    secure_cookies: bool = False
    """Cookies only over HTTPS, bound to the host, and HSTS; production needs it."""
    max_body_bytes: int = 256 * 1024
    """Largest JSON body or form."""
    max_upload_bytes: int = 5 * 1024 * 1024
    """Largest uploaded file."""
    drain_seconds: float = 20.0
    """How long a stop waits for requests that are running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """Where the documents are. An empty ``uri`` starts the embedded server as a child process."""

    uri: str = field(default="", metadata={_MASKED: True})
    """MongoDB connection string; may hold a password."""
    name: str = "pandityatra"
    """Database."""
    timeout_seconds: float = 5.0
    """Longest time of one command, retries included."""
    max_pool_size: int = 8
    """Operations of one process on the database at once; two more for batches of messages."""
    embedded_path: str = "var/mongo"
    """Folder of the embedded server's files."""
    embedded_cache: str = "1G"
    """Cache of the embedded server, such as 256M; it is taken as it is needed. Where writes come
    faster than they can be cleared from a small one, everybody waits."""
    embedded_start_seconds: float = 60.0
    """How long its start may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusSettings:
    """What joins several processes. An empty ``redis_url`` means one process."""

    redis_url: str = field(default="", metadata={_MASKED: True})
    """Redis for publications, presence, leases and rate limits, such as redis://redis:6379/0.

    redis+cluster:// for a cluster, of which any node will do; rediss:// and rediss+cluster:// with
    TLS.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """Tokens, passwords and one-time codes."""

    secret: str = field(default=DEFAULT_SECRET, metadata={_MASKED: True})
    """Signs access tokens and cursors; at least 32 characters in production."""
    previous_secret: str = field(default="", metadata={_MASKED: True})
    """Tokens signed with it are still accepted while keys rotate."""
    access_minutes: int = 10
    """Life of an access token."""
    refresh_days: int = 30
    """Life of a refresh token."""
    code_sender: str = CONSOLE
    """How one-time codes are sent: ``console``, ``off``, or ``package.module:factory``.

    The console prints them, never in production. With ``off`` nobody signs in by code. A factory is
    called with the settings, or without if it takes nothing, and gives an object with
    ``async def send(phone_number, code, language)``.
    """
    code_minutes: int = 5
    """Life of a one-time code."""
    code_tries: int = 5
    """Wrong entries of a code before it is void."""
    code_resend_seconds: int = 60
    """Time between two codes to one number."""
    cache_seconds: float = 10.0
    """How long a session and its account are believed once read; 0: read for each request.

    What ends a session ends this too, at once; without Redis between the processes, after this
    time.
    """
    hash_threads: int = 2
    """Threads that hash passwords."""
    hash_queue: int = 64
    """Passwords that may wait for a thread; more are refused with 503."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingSettings:
    """How bookings work."""

    slot_step_minutes: int = 30
    """Distance of the offered times."""
    horizon_days: int = 365
    """How far ahead bookings are taken."""
    answer_hours: float = 12.0
    """How long a pandit has to answer before the booking is offered to the next one; at most half
    of the time until two hours before the puja, so that there are others to ask, but a quarter of
    an hour when it is near."""
    travel_speed_kmh: float = 15.0
    """How fast pandits get from one family to the next, as the crow flies: for the time between two
    bookings at different places. Streets and traffic are in it."""
    travel_ahead_minutes: int = 120
    """How long before its time a pandit may share his way to a puja, and say that he is there."""
    start_early_minutes: int = 60
    """How long before its time a puja may be started."""
    commission_basis_points: int = 1000
    """The platform's share of the service fee, in hundredths of a percent; frozen on a booking."""
    max_offers: int = 5
    """How many pandits are asked in turn before the booking fails."""
    offer_radius_km: float = 40.0
    """How far from the puja a pandit may live to be asked after another one's refusal; where nobody
    is free, those twice and then four times as far are asked."""
    draft_hold_minutes: float = 10.0
    """How long an unfinished booking holds its slot after each step."""
    draft_hold_most_minutes: float = 45.0
    """How long it may hold a slot in all; then it disappears."""
    draft_keep_hours: float = 24.0
    """How long an unfinished booking is kept that holds no slot yet."""
    most_drafts: int = 3
    """How many unfinished bookings a customer may have at once."""
    most_unpaid: int = 5
    """How many bookings that are to be paid in advance a customer may leave unpaid at once. What
    counts is how it was to be paid when it was made."""
    most_unanswered: int = 20
    """How many bookings to be paid in cash he may have at once that no pandit has accepted."""
    most_repeated: int = 60
    """How many of those that his series have booked by themselves, beside these. Further days stay
    planned, and are tried again each day."""
    proposal_hours: float = 24.0
    """How long the other side has to answer when another time is proposed, which is held till then,
    or other samagri."""
    recurring: bool = True
    """Whether a puja may be booked again and again."""
    add_optional_samagri: bool = True
    """Whether optional items are added by themselves."""
    samagri_threshold: float = 0.6
    """Confidence, 0 to 1, from which an optional item is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSettings:
    """Rules of payments; amounts are paisa. Providers have sections of their own."""

    public_url: str = ""
    """Where providers send browsers back to, such as https://pandityatra.example.

    Empty: the first of http.public_origins, else the host that was asked.
    """
    hold_minutes: int = 15
    """How long a booking that is paid in advance holds its slot unpaid."""
    unlock_fee: int = 3_000
    """What chat and contact details of a pandit cost before any booking."""
    refund_shares: tuple[str, ...] = ("48:10000", "24:7500", "6:5000")
    """What a customer who cancels gets back: so many hours before, so many hundredths of a percent.

    Later than the last: nothing. Frozen on a booking when it is made.
    """
    wallet_max_balance: int = 10_000_000
    """What a wallet may hold; a top-up beyond is refused, and those under way count."""
    top_up_min: int = 1_000
    """Least top-up of a wallet."""
    top_up_max: int = 5_000_000
    """Largest top-up of a wallet."""
    payout_min: int = 10_000
    """Least payout that a pandit may ask for."""
    reconcile_seconds: float = 15.0
    """How often payments are looked through that are due to be asked about."""
    reconcile_batch: int = 40
    """How many of them at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeSettings:
    """Sockets; what each limit does when exceeded is told in docs/protocol.md."""

    ping_seconds: float = 25.0
    """Time between two pings of a connection."""
    pong_grace_seconds: float = 15.0
    """Silence after a ping before the connection counts as dead."""
    max_frame_bytes: int = 16 * 1024
    """Largest frame of a client."""
    outbox_soft_bytes: int = 64 * 1024
    """Bytes waiting for a reader from which typing and presence are dropped."""
    outbox_hard_bytes: int = 256 * 1024
    """Bytes waiting for a reader at which he is closed with 4001."""
    send_buffer_bytes: int = 64 * 1024
    """What the kernel keeps of what was sent to a socket and not taken; 0: as it likes."""
    outbox_stall_seconds: float = 20.0
    """How long a reader may take nothing before he is closed with 4001."""
    messages_per_second: float = 10.0
    """Frames of a client, on average."""
    message_burst: int = 20
    """Frames of a client at once."""
    user_rate_factor: float = 3.0
    """All connections of one user have together so many times the rate and burst of one."""
    max_unacked: int = 32
    """Messages of a connection that wait for their ack."""
    max_waiting_writes: int = 5000
    """Messages of the process that wait for the database; more are refused."""
    max_connections: int = 20_000
    """Sockets of the process."""
    connections_per_user: int = 10
    """Sockets of one user; the oldest goes."""
    connections_per_address: int = 5000
    """Sockets from one address (of IPv6, one /64); carriers put thousands of phones behind one."""
    connects_per_second: float = 20.0
    """New sockets from one address (of IPv6, one /64), on average."""
    connect_burst: int = 200
    """New sockets from one address (of IPv6, one /64) at once."""
    reconnect_window_seconds: float = 5.0
    """Span over which clients are told to reconnect when the server stops."""
    presence_grace_seconds: float = 10.0
    """How long after his last connection somebody still counts as online."""
    linger_seconds: float = 60.0
    """How long a room that its last member here has left is still listened to, for his return."""
    max_lingering: int = 20_000
    """Rooms of the process that are listened to without members."""
    compression: bool = False
    """Whether permessage-deflate is agreed to; saves bytes and costs processor time."""
    merge_seconds: float = 2.0
    """Typing and read frames of one connection: at most one of each in this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """Uses of a door in a span of time, such as ``10/minute``; by user, else by address.

    An IPv6 address stands for its /64 network.

    Behind one address of a mobile carrier there are thousands of people: what guards one account is
    counted by that account, and the address has a far wider door. But whoever knows a number must
    not be able to lock out its owner: what one address tries counts for that address first.
    """

    sign_in: str = "10/minute"
    """Sign-ins to one account from one address or one browser that it knows."""
    sign_in_failed: str = "30/hour"
    """Sign-ins to one account that fail, from one address or one browser that it knows."""
    sign_in_failed_account: str = "200/hour"
    """Sign-ins to one account that fail, from all addresses and browsers that it does not know."""
    sign_in_address: str = "300/minute"
    """Sign-ins from one address."""
    register: str = "20/hour"
    """Registrations of one number from one address."""
    register_address: str = "300/hour"
    """Registrations from one address."""
    code: str = "5/hour"
    """One-time codes sent to one number that one address or one browser that it knows asks for."""
    code_account: str = "10/hour"
    """One-time codes sent to one number that addresses and browsers it does not know ask for."""
    code_address: str = "300/hour"
    """One-time codes asked for from one address."""
    code_verify: str = "20/hour"
    """One-time codes entered, for one number from one address or one browser that it knows; each
    code takes few tries."""
    code_verify_address: str = "600/hour"
    """One-time codes entered from one address."""
    password: str = "10/hour"  # noqa: S105  # a limit
    """Passwords that are set, by user."""
    refresh: str = "600/minute"
    """Token refreshes; a browser that refreshes is not signed in, so they count by address."""
    bad_token: str = "1200/minute"  # noqa: S105  # a limit
    """Requests with a token that is not ours, by address; one that has run out is not counted."""
    read: str = "600/minute"
    """API reads."""
    write: str = "120/minute"
    """API writes."""
    upload: str = "30/minute"
    """Uploads."""
    pay: str = "30/minute"
    """Payments that are begun."""
    callback: str = "600/minute"
    """What payment providers send, and browsers that come back from them; by address."""
    feed: str = "120/minute"
    """Calendar feeds that are fetched; by address."""
    page: str = "600/minute"
    """Pages."""
    figures: str = "60/minute"
    """Figures of dashboards that are asked for, and tables of them."""
    compute: str = "120/minute"
    """Charts, matches, almanacs and muhurtas that are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings:
    """Where uploads are kept."""

    path: str = "var/files"
    """Folder of uploaded files."""
    max_certificates: int = 6
    """Certificates of one pandit."""
    max_pictures: int = 24
    """Pictures in one pandit's portfolio."""
    max_picture_pixels: int = 50_000_000
    """Pixels of an uploaded picture: who looks at it has to unpack them all."""
    unsent_hours: float = 24.0
    """After so many hours a file that was uploaded for a chat and not sent is removed."""
    max_unsent: int = 50
    """Files of one person that were uploaded for chats and are not sent yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSettings:
    """Messages to browsers of people who have no page open (Web Push)."""

    enabled: bool = True
    """Whether browsers may subscribe."""
    key_path: str = "var/vapid.pem"
    """The key by which push services know this server; made at the first start, kept for good."""
    contact: str = "mailto:webmaster@localhost"
    """Where a push service can reach whoever runs this server: a mailto: or https: address."""
    hosts: tuple[str, ...] = (
        "fcm.googleapis.com",
        "updates.push.services.mozilla.com",
        ".notify.windows.com",
        ".push.apple.com",
    )
    """Push services that are called; with a leading dot all names below one."""
    digest_hour: int = 19
    """The hour of the day, in each person's zone, in which unread notifications are recalled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How pandits are searched."""

    in_memory: bool = True
    """Whether an index in memory answers; else the database does, by 2dsphere and other indexes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyticsSettings:
    """Figures for administrators."""

    cache_seconds: float = 30.0
    """How long figures of the platform are told again; of months long over, twenty times that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommenderSettings:
    """Trained models and how they are used; without one the rules of the catalogue serve."""

    enabled: bool = True
    """Whether a trained model is taken up at all."""
    path: str = "var/models"
    """Folder of the published models."""
    poll_seconds: float = 10.0
    """How often the pointer to the current model is looked at."""
    retry_seconds: float = 10.0
    """When a model that was refused is tried again at first; each time later, to 15 minutes."""
    max_candidates: int = 30
    """How many pandits a recommendation chooses among."""
    new_pandits_share: float = 0.1
    """Share of the top five places that pandits with few bookings get, 0 to 1."""
    new_items_share: float = 0.1
    """Share of recommendations of samagri in which an item that fewer than five bookings have had
    gets its chance, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentSettings:
    """A comparison of recommenders; without a name there is none and all get the same."""

    name: str = ""
    """What it is called; a new name deals the customers anew."""
    arms: tuple[str, ...] = ("model:0-4999", "rules:5000-9999")
    """Which of 10,000 buckets each arm has; those in ``rules`` get no trained model."""
    ends_on: str = ""
    """The day (YYYY-MM-DD) from which the result is told; until then nobody sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """How payment providers are called, all of them; which ones are used stands in their sections.

    Each has ``enabled``; none is, unless it is switched on. Production refuses their test keys and
    test hosts.
    """

    connect_seconds: float = 5.0
    """Longest wait for a connection."""
    read_seconds: float = 20.0
    """Longest wait for an answer."""
    total_seconds: float = 60.0
    """No try of a call is begun later than this after the first one."""
    max_connections: int = 50
    """Connections to all providers at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KhaltiSettings:
    """Khalti: ePayment (KPG-2), and tokens of its older widget (KPG-1)."""

    enabled: bool = False
    """Whether customers may pay with it."""
    api_url: str = "https://khalti.com/api/v2/"
    """Where payments are started and looked up; the sandbox is https://dev.khalti.com/api/v2/."""
    refund_url: str = "https://khalti.com/api/"
    """Where refunds are asked for; it has no version in its path."""
    secret_key: str = field(default="", metadata={_MASKED: True})
    """Live secret key of the merchant panel."""
    widget_secret_key: str = field(default="", metadata={_MASKED: True})
    """Secret key of the older widget; empty: its tokens are not accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EsewaSettings:
    """The ePay of eSewa: the signed form (v2), or the unsigned one before it (v1)."""

    enabled: bool = False
    """Whether customers may pay with it."""
    product_code: str = ""
    """Merchant code."""
    secret_key: str = field(default="", metadata={_MASKED: True})
    """Signs the form and the answers of v2."""
    form_url: str = "https://epay.esewa.com.np/api/epay/main/v2/form"
    """Where browsers post the form."""
    status_url: str = "https://epay.esewa.com.np/api/epay/transaction/status/"
    """Where the outcome is asked for."""
    use_v1: bool = False
    """New payments take the older form; only for merchants that eSewa has not moved yet."""
    v1_form_url: str = "https://esewa.com.np/epay/main"
    """Where browsers post the older form."""
    v1_verify_url: str = "https://esewa.com.np/epay/transrec"
    """Where the outcome of the older form is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectIpsSettings:
    """The connectIPS of NCHL. It returns browsers to the addresses that were registered there."""

    enabled: bool = False
    """Whether customers may pay with it."""
    base_url: str = "https://login.connectips.com"
    """Host of the pay page and of the API."""
    merchant_id: str = ""
    """Merchant id, a number."""
    app_id: str = ""
    """App id, such as MER-550-APP-1; also the user of the API."""
    app_name: str = ""
    """App name as registered."""
    app_password: str = field(default="", metadata={_MASKED: True})
    """Password of the API."""
    key_path: str = ""
    """The key that signs, a PKCS#12 file (CREDITOR.pfx)."""
    key_password: str = field(default="", metadata={_MASKED: True})
    """Password of that file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImePaySettings:
    """IME Pay. It answers only to addresses that it has on its list."""

    enabled: bool = False
    """Whether customers may pay with it."""
    base_url: str = "https://payment.imepay.com.np:7979"
    """Host of the pay page and of the API; staging is https://stg.imepay.com.np:7979."""
    merchant_code: str = ""
    """Merchant code."""
    module: str = ""
    """Module, as given by IME."""
    user: str = ""
    """User of the API."""
    password: str = field(default="", metadata={_MASKED: True})
    """Password of the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeSettings:
    """Stripe, for cards from abroad; it wants a company outside Nepal."""

    enabled: bool = False
    """Whether customers may pay with it."""
    api_url: str = "https://api.stripe.com"
    """Host of the API."""
    secret_key: str = field(default="", metadata={_MASKED: True})
    """Secret or restricted key."""
    webhook_secret: str = field(default="", metadata={_MASKED: True})
    """Signing secret of the webhook endpoint (whsec_…)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How much is logged, and how: ``auto`` is readable on a terminal and JSON elsewhere."""

    level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""
    format: str = "auto"
    """auto, console or json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole tree."""

    environment: str = "development"
    http: HttpSettings = HttpSettings()
    database: DatabaseSettings = DatabaseSettings()
    bus: BusSettings = BusSettings()
    auth: AuthSettings = AuthSettings()
    booking: BookingSettings = BookingSettings()
    payment: PaymentSettings = PaymentSettings()
    realtime: RealtimeSettings = RealtimeSettings()
    limits: LimitSettings = LimitSettings()
    files: FileSettings = FileSettings()
    push: PushSettings = PushSettings()
    search: SearchSettings = SearchSettings()
    analytics: AnalyticsSettings = AnalyticsSettings()
    recommender: RecommenderSettings = RecommenderSettings()
    experiment: ExperimentSettings = ExperimentSettings()
    gateways: GatewaySettings = GatewaySettings()
    khalti: KhaltiSettings = KhaltiSettings()
    esewa: EsewaSettings = EsewaSettings()
    connect_ips: ConnectIpsSettings = ConnectIpsSettings()
    ime_pay: ImePaySettings = ImePaySettings()
    stripe: StripeSettings = StripeSettings()
    log: LogSettings = LogSettings()

    @property
    def is_production(self) -> bool:
        """Whether default secrets and the embedded database are refused."""
        return self.environment == "production"


def load(
    config_path: Path,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Read and check the settings.

    ``config_path`` is the folder of the TOML files; ``overrides`` maps dotted keys to values.

    Raises
    ------
    SettingsError
        With every mistake at once: unknown keys, values of the wrong type, and what production
        refuses.
    """
    environment = environ.get(f"{PREFIX}ENV", "development")
    faults: list[str] = []
    raw: dict[str, Any] = {"environment": environment}
    files = [config_path / "default.toml", config_path / f"{environment}.toml"]
    if extra := environ.get(f"{PREFIX}CONFIG"):
        files.append(Path(extra))
        if not files[-1].is_file():
            faults.append(f"PANDITYATRA_CONFIG: no file {extra}")
    for path in files:
        if path.is_file():
            _merge(raw, _read_toml(path, faults))
    _merge(raw, _from_environ(environ, faults))
    for key, value in (overrides or {}).items():
        _put(raw, key.split("."), value)
    if environment not in ENVIRONMENTS:
        # A slip such as "prod" must not switch off what production refuses.
        faults.append(f"PANDITYATRA_ENV: {environment!r} is none of {', '.join(ENVIRONMENTS)}")
    if raw["environment"] != environment:
        faults.append("environment: is said by PANDITYATRA_ENV alone")
    settings = _build(Settings, raw, "", faults)
    if not faults:
        faults.extend(_value_faults(settings))
        faults.extend(_production_faults(settings))
    if faults:
        raise SettingsError(faults)
    return settings  # type: ignore[no-any-return]  # _build returns what it is told to build


def shown(settings: Settings) -> dict[str, Any]:
    """The tree as plain data with secrets masked, for printing."""
    return _masked(settings)


def _masked(node: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for item in dataclasses.fields(node):
        value = getattr(node, item.name)
        if dataclasses.is_dataclass(value):
            result[item.name] = _masked(value)
        elif item.metadata.get(_MASKED) and value:
            result[item.name] = "********"
        else:
            result[item.name] = value
    return result


def _read_toml(path: Path, faults: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{path.name}: {error}")
        return {}


def _from_environ(environ: Mapping[str, str], faults: list[str]) -> dict[str, Any]:
    raw: dict[str, Any] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in _NOT_SETTINGS:
            continue
        key, value = name.removeprefix(PREFIX).lower(), environ[name]
        if key.endswith("_file"):
            key = key.removesuffix("_file")
            try:
                value = Path(value).read_text(encoding="utf-8").strip()
            except OSError as error:
                faults.append(f"{name}: {error.strerror}")
                continue
        _put(raw, key.split("__"), value)
    return raw


def _put(raw: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = raw.setdefault(key, {})
        raw = inner if isinstance(inner, dict) else {}
    raw[keys[-1]] = value


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _build(cls: type, raw: Mapping[str, Any], prefix: str, faults: list[str]) -> Any:
    hints = typing.get_type_hints(cls)
    known = {item.name for item in dataclasses.fields(cls)}
    faults.extend(f"{prefix}{key}: unknown setting" for key in raw if key not in known)
    values: dict[str, Any] = {}
    for name in known & raw.keys():
        expected, value = hints[name], raw[name]
        if dataclasses.is_dataclass(expected) and isinstance(expected, type):
            if isinstance(value, Mapping):
                values[name] = _build(expected, value, f"{prefix}{name}.", faults)
            else:
                faults.append(f"{prefix}{name}: is a section, not a value")
            continue
        try:
            values[name] = _convert(value, expected)
        except (ValueError, TypeError):
            faults.append(f"{prefix}{name}: {value!r} is not {_name(expected)}")
    return cls(**values)


def _convert(value: Any, expected: Any) -> Any:
    if typing.get_origin(expected) is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list):
            raise TypeError
        return tuple(part.strip() for part in parts if part.strip())
    if expected is bool:
        if isinstance(value, bool):
            return value
        return (
            {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
            if str(value).lower() in ("true", "1", "false", "0")
            else _refuse()
        )
    if expected is str:
        return value if isinstance(value, str) else _refuse()
    if isinstance(value, bool):
        _refuse()
    number = expected(value)
    if not 0 <= number < math.inf or (expected is int and isinstance(value, float)):
        _refuse()
    return number


def _refuse() -> typing.NoReturn:
    raise ValueError


def _name(expected: Any) -> str:
    if isinstance(expected, (type, types.GenericAlias)):
        return {
            "int": "a whole number, zero or above",
            "float": "a number, zero or above",
            "bool": "true or false",
            "str": "a text",
        }.get(getattr(expected, "__name__", ""), "a list")
    return str(expected)


def _value_faults(settings: Settings) -> list[str]:
    faults = []
    for key, (least, most) in _RANGES.items():
        section, _, name = key.partition(".")
        value = getattr(getattr(settings, section), name)
        if not least <= value <= most:
            bounds = f"at least {least}" if most == math.inf else f"from {least} to {most}"
            faults.append(f"{key}: {value} is not {bounds}")
    if settings.booking.slot_step_minutes % _QUARTER_MINUTES:
        faults.append("booking.slot_step_minutes: bookings begin on quarters of an hour")
    if settings.bus.redis_url and not _REDIS.fullmatch(settings.bus.redis_url):
        # Not shown: it may hold a password.
        faults.append("bus.redis_url: is not like redis://host:6379/0 or redis+cluster://host:6379")
    faults.extend(_experiment_faults(settings.experiment))
    for name in _GATEWAY_NEEDS:
        faults.extend(_gateway_faults(settings, name))
    faults.extend(_payment_faults(settings.payment))
    faults.extend(
        f"limits.{name}: {limit!r} is not like 10/minute"
        for name, limit in dataclasses.asdict(settings.limits).items()
        if not _LIMIT.fullmatch(limit)
    )
    sender = settings.auth.code_sender
    if sender not in (CONSOLE, NO_CODES) and not _FACTORY.fullmatch(sender):
        faults.append(
            f"auth.code_sender: {sender!r} is none of {CONSOLE}, {NO_CODES}, package.module:factory"
        )
    for name, chosen, choices in (
        ("level", settings.log.level.upper(), _LEVELS),
        ("format", settings.log.format, _FORMATS),
    ):
        if chosen not in choices:
            faults.append(f"log.{name}: {chosen!r} is none of {', '.join(choices)}")
    return faults


def _gateway_faults(settings: Settings, name: str) -> list[str]:
    gateway = getattr(settings, name)
    if not gateway.enabled:
        return []
    faults = [
        f"{name}.{key}: is needed, since {name} is enabled"
        for key in _GATEWAY_NEEDS[name]
        if not getattr(gateway, key).strip()
    ]
    for item in dataclasses.fields(gateway):
        key, value = f"{name}.{item.name}", getattr(gateway, item.name)
        if item.name.endswith("_url"):
            url = _address(value)
            if url is None:
                faults.append(f"{key}: {value!r} is not like https://host/path")
            elif settings.is_production and url.scheme != "https":
                faults.append(f"{key}: production needs https")
            elif settings.is_production and _TEST_HOST.fullmatch(url.hostname or ""):
                faults.append(f"{key}: {url.hostname} is a test host")
        elif settings.is_production and key in _TEST_VALUES and _TEST_VALUES[key].fullmatch(value):
            faults.append(f"{key}: is of the provider's sandbox, where anybody can pay")
    if name == "connect_ips":
        faults.extend(_connect_ips_faults(gateway))
    return faults


def is_test_host(url: str) -> bool:
    """Whether a provider's address is one of its sandboxes, or of our own."""
    address = urlsplit(url)
    return address.scheme != "https" or _TEST_HOST.fullmatch(address.hostname or "") is not None


def _address(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
        is_good = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        return None
    return url if is_good and not url.query and not url.fragment and not url.username else None


def _connect_ips_faults(gateway: ConnectIpsSettings) -> list[str]:
    faults = []
    if not re.fullmatch(r"[0-9]{0,20}", gateway.merchant_id):
        faults.append("connect_ips.merchant_id: is not a number")
    for key, longest in (("app_id", 20), ("app_name", 30)):
        value = getattr(gateway, key)
        if len(value) > longest or "," in value or "=" in value:
            faults.append(f"connect_ips.{key}: is longer than {longest}, or has a comma or =")
    return faults


def _payment_faults(payment: PaymentSettings) -> list[str]:
    faults = [
        f"payment.refund_shares: {each!r} is not like 48:10000"
        for each in payment.refund_shares
        if not (match := _SHARE.fullmatch(each)) or int(match[2]) > 10_000
    ]
    if payment.public_url and not _ORIGIN.fullmatch(payment.public_url):
        faults.append(f"payment.public_url: {payment.public_url!r} is not like https://host")
    if payment.top_up_min > payment.top_up_max:
        faults.append("payment.top_up_max: is below payment.top_up_min")
    return faults


def _experiment_faults(experiment: ExperimentSettings) -> list[str]:
    if not experiment.name:
        return []
    faults = []
    if not _DAY.fullmatch(experiment.ends_on) or not _is_day(experiment.ends_on):
        faults.append(f"experiment.ends_on: {experiment.ends_on!r} is not like 2026-12-31")
    taken: set[int] = set()
    names = set()
    for arm in experiment.arms:
        match = _ARM.fullmatch(arm)
        buckets = set(range(int(match[2]), int(match[3]) + 1)) if match else set()
        if match is None or not buckets:
            faults.append(f"experiment.arms: {arm!r} is not like model:0-4999")
        elif buckets & taken:
            faults.append(f"experiment.arms: {arm!r} overlaps another arm")
        else:
            names.add(match[1])
        taken |= buckets
    if not faults and len(names) < max(2, len(experiment.arms)):
        faults.append("experiment.arms: at least two arms of different names are needed")
    return faults


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _production_faults(settings: Settings) -> list[str]:
    if not settings.is_production:
        return []
    faults = []
    for name in ("secret", "previous_secret"):
        secret = getattr(settings.auth, name)
        is_needed = name == "secret" or bool(secret)
        if is_needed and (secret == DEFAULT_SECRET or len(secret) < _MIN_SECRET):
            faults.append(
                f"auth.{name}: production needs a secret of its own, "
                f"at least {_MIN_SECRET} characters"
            )
    if settings.auth.code_sender == CONSOLE:
        faults.append(
            "auth.code_sender: production prints no codes; name what sends them "
            f"(package.module:factory), or {NO_CODES}"
        )
    if not settings.database.uri:
        faults.append("database.uri: production needs a MongoDB replica set")
    if not settings.http.secure_cookies:
        faults.append("http.secure_cookies: must be true in production")
    if not settings.http.public_origins:
        faults.append("http.public_origins: production needs the site's own origins")
    return faults
