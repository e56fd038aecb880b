"""Learning from use: what became of recommendations, and what bookings tell about samagri.

A ``rec_id`` is not stored when it is made: it carries what it says, signed together with the user's
id. So a recommendation costs no write, grows with nothing, and yet nobody can report on one that he
was not given, or on a thing that it did not name. What clients report goes into the ledger and its
counters. Into the event log, which models are trained on, goes only what cannot be repeated at
will: opinions, of which a person has one about a thing, pandits looked at, and what bookings say.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from server.domain.account import Actor
from server.domain.booking import Booking, SamagriLine, refused_items
from server.domain.errors import FieldFault, Invalid, StoreUnavailable
from server.domain.events import Event, EventKind
from server.domain.learning import (
    COUNTED_AS,
    FINGERPRINT_BYTES,
    MAX_TARGETS,
    PURCHASE_WINDOW,
    CounterKey,
    Feedback,
    FeedbackKind,
    Interaction,
    PreferenceKind,
    Recommendation,
    Surface,
    Trial,
    fingerprint,
)
from server.domain.ports.bookings import BookingRepository
from server.domain.ports.learning import (
    CounterRepository,
    FeedbackRepository,
    InteractionRepository,
)
from server.domain.ports.world import Clock
from server.services.accuracy import AccuracyService
from server.services.preferences import PreferenceService
from server.tasks import repeated

_log: Final = logging.getLogger(__name__)
_FORMAT: Final = 2
_SIGNATURE_BYTES: Final = 16
_NONCE_BYTES: Final = 8
_VALID: Final = timedelta(days=30)
_FLUSH_SECONDS: Final = 5.0
_MAX_KEYS: Final = 20_000
_KEYS_PER_COMMAND: Final = 500
_LEDGER_ROWS: Final = 2000
_OPENED_WITHIN: Final = timedelta(days=1)
_SOURCES: Final = {
    "requirement": "rule",
    "rule": "rule",
    "template": "rule",
    "model": "rec",
    "customer": "manual",
}
_TELLING: Final = frozenset(
    {
        EventKind.BOOKING_ACCEPTED,
        EventKind.BOOKING_COMPLETED,
        EventKind.BOOKING_CANCELLED,
        EventKind.BOOKING_FAILED,
    }
)
_PREFERENCES: Final = {
    FeedbackKind.FAVOURITE: PreferenceKind.FAVOURITE,
    FeedbackKind.NEVER_SHOW: PreferenceKind.NEVER_SHOW,
}


class _Signed(msgspec.Struct, array_like=True):
    """What stands in a ``rec_id``."""

    format: int
    nonce: bytes
    issued_at: int
    surface: str
    version: str
    arm: str
    puja_id: str | None
    fingerprints: bytes
    tried: tuple[bytes, int, float] | None = None


class RecommendationIds:
    """Makes and reads ``rec_id``.

    Parameters
    ----------
    secret, previous_secret
        What they are signed with, and what they were signed with before; at least one process
        of each age runs while keys are being changed.
    """

    def __init__(self, secret: str, previous_secret: str = "") -> None:
        self._keys = [_Keys.of(each) for each in (secret, previous_secret) if each]

    def issue(
        self,
        *,
        user_id: str,
        surface: Surface,
        version: str,
        arm: str,
        puja_id: str | None,
        targets: Sequence[str],
        now: datetime,
        occasion: str = "",
        tried: tuple[str, Trial] | None = None,
    ) -> str:
        """Return the id of a recommendation of these things, the first hundred of them.

        ``tried`` is the one of them that is there to be tried.

        With an ``occasion`` it is the same whenever the same is recommended to this user on it.
        """
        keys, named = self._keys[0], targets[:MAX_TARGETS]
        same = "\0".join((occasion, user_id, surface, version, arm, puja_id or "", *sorted(named)))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        if occasion:
            nonce = hmac.digest(keys.signing, same.encode(), "sha256")[:_NONCE_BYTES]
        key = keys.of_fingerprints(nonce)
        payload = msgspec.msgpack.encode(
            _Signed(
                _FORMAT,
                nonce,
                int(now.timestamp()),
                surface,
                version,
                arm,
                puja_id,
                b"".join(fingerprint(key, each) for each in named),
                tried and (fingerprint(key, tried[0]), tried[1].place, tried[1].propensity),
            )
        )
        signed = _signature(keys.signing, payload, user_id) + payload
        return base64.urlsafe_b64encode(signed).rstrip(b"=").decode()

    def read(self, text: str, user_id: str, now: datetime) -> Recommendation:
        """Return what the id says. Raises ``Invalid`` unless we gave it to this user lately."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raise _unknown() from None
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        keys = next(
            (
                each
                for each in self._keys
                if hmac.compare_digest(signature, _signature(each.signing, payload, user_id))
            ),
            None,
        )
        if keys is None:
            raise _unknown()
        try:
            said = msgspec.msgpack.decode(payload, type=_Signed)
            surface = Surface(said.surface)
        except (msgspec.DecodeError, ValueError):
            raise _unknown() from None
        issued_at = datetime.fromtimestamp(said.issued_at, UTC)
        if said.format != _FORMAT or now - issued_at > _VALID:
            raise _unknown()
        parts = said.fingerprints
        return Recommendation(
            id=said.nonce.hex(),
            user_id=user_id,
            surface=surface,
            version=said.version,
            arm=said.arm,
            puja_id=said.puja_id,
            issued_at=issued_at,
            fingerprints=frozenset(
                parts[start : start + FINGERPRINT_BYTES]
                for start in range(0, len(parts), FINGERPRINT_BYTES)
            ),
            key=keys.of_fingerprints(said.nonce),
            tried=said.tried and (said.tried[0], Trial(*said.tried[1:])),
        )


@dataclass(frozen=True, slots=True)
class _Keys:
    """What one secret gives: for signatures, and for the fingerprints of targets."""

    signing: bytes
    targets: bytes

    @classmethod
    def of(cls, secret: str) -> _Keys:
        parts = (b"recommendations", b"recommended targets")
        return cls(*(hmac.digest(secret.encode(), part, "sha256") for part in parts))

    def of_fingerprints(self, nonce: bytes) -> bytes:
        """The key of one recommendation: what is learned of one tells nothing of another."""
        return hmac.digest(self.targets, nonce, "sha256")


def _signature(key: bytes, payload: bytes, user_id: str) -> bytes:
    return hmac.digest(key, user_id.encode() + b"\0" + payload, "sha256")[:_SIGNATURE_BYTES]


def _unknown() -> Invalid:
    return Invalid(FieldFault("rec_id", "unknown-recommendation"))


class CounterBuffer:
    """Counts here, and writes what has been counted together every few seconds and in the end.

    Of more keys than there is room for, what comes new is not counted. A write that fails may have
    happened all the same, so it is not repeated: counters may lack something and never have
    anything twice. The ledger has it all.
    """

    def __init__(
        self,
        counters: CounterRepository,
        *,
        every_seconds: float = _FLUSH_SECONDS,
        max_keys: int = _MAX_KEYS,
    ) -> None:
        self._counters = counters
        self._every_seconds = every_seconds
        self._max_keys = max_keys
        self._counted: dict[CounterKey, dict[str, int]] = {}
        self._lost = 0

    def count(self, rows: Iterable[Feedback]) -> None:
        """Count rows that are new in the ledger; never waits."""
        for row in rows:
            field = COUNTED_AS.get(row.kind)
            if field is not None:
                self._raise(row.counter, field)
                self._raise(row.counter.total, field)

    def _raise(self, key: CounterKey, field: str) -> None:
        fields = self._counted.get(key)
        if fields is None:
            if len(self._counted) >= self._max_keys:
                self._lost += 1
                return
            fields = self._counted[key] = {}
        fields[field] = fields.get(field, 0) + 1

    async def flush(self) -> int:
        """Write what has been counted; returns how many counters were raised."""
        counted, self._counted = list(self._counted.items()), {}
        written = 0
        for start in range(0, len(counted), _KEYS_PER_COMMAND):
            part = dict(counted[start : start + _KEYS_PER_COMMAND])
            try:
                await self._counters.add(part)
                written += len(part)
            except StoreUnavailable:
                self._lost += sum(sum(fields.values()) for fields in part.values())
        if self._lost:
            _log.warning("recommendation_counts_lost", extra={"lost": self._lost})
            self._lost = 0
        return written

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write every few seconds while the context lasts, and once more in the end."""
        async with repeated(self.flush, self._every_seconds, "recommendation-counters"):
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a client says: what became of these targets. ``surface`` is what the targets are of."""

    kind: FeedbackKind
    surface: Surface
    targets: tuple[str, ...]
    rec_id: str | None = None


class LearningService:
    """Takes what clients report, and listens to bookings (a ``ports.Receiver``)."""

    def __init__(
        self,
        *,
        ids: RecommendationIds,
        feedback: FeedbackRepository,
        interactions: InteractionRepository,
        bookings: BookingRepository,
        preferences: PreferenceService,
        counters: CounterRepository,
        accuracy: AccuracyService,
        clock: Clock,
    ) -> None:
        self._ids = ids
        self._feedback = feedback
        self._interactions = interactions
        self._bookings = bookings
        self._preferences = preferences
        self._buffer = CounterBuffer(counters)
        self._accuracy = accuracy
        self._clock = clock

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write the counters while the context lasts, and once more in the end."""
        async with self._buffer.running():
            yield

    async def flush(self) -> int:
        """Write now what has been counted; returns how many counters were raised."""
        return await self._buffer.flush()

    # -- clients ---------------------------------------------------------------------------------

    def issue(
        self,
        actor: Actor,
        surface: Surface,
        *,
        version: str,
        targets: Sequence[str],
        puja_id: str | None = None,
        tried: tuple[str, Trial] | None = None,
    ) -> str:
        """Return the ``rec_id`` of a recommendation that is about to be answered; never waits."""
        return self._ids.issue(
            user_id=actor.user_id,
            surface=surface,
            version=version,
            arm=self._accuracy.arm_of(actor.user_id),
            puja_id=puja_id,
            targets=targets,
            now=self._clock.now(),
            tried=tried,
        )

    async def show(
        self,
        actor: Actor,
        surface: Surface,
        *,
        version: str,
        targets: Sequence[str],
        puja_id: str | None = None,
    ) -> str:
        """Note that a page has these things before the actor's eyes; returns its ``rec_id``.

        A page that is loaded again on the same day with the same things is the same recommendation,
        so it counts once. A count that cannot be written is lost: the page is worth more.
        """
        now = self._clock.now()
        rec_id = self._ids.issue(
            user_id=actor.user_id,
            surface=surface,
            version=version,
            arm=self._accuracy.arm_of(actor.user_id),
            puja_id=puja_id,
            targets=targets,
            now=now,
            occasion=f"page:{now:%Y-%m-%d}",
        )
        shown = Report(
            kind=FeedbackKind.SHOWN,
            surface=surface,
            targets=tuple(dict.fromkeys(targets[:MAX_TARGETS])),
            rec_id=rec_id,
        )
        try:
            await self.report(actor, shown)
        except StoreUnavailable:
            _log.warning("impressions_lost", extra={"surface": surface.value})
        return rec_id

    async def opened(self, actor: Actor, surface: Surface, target: str) -> None:
        """Note that the actor has opened what was recommended to him lately.

        It is given to the recommendation that showed it last, within a day. Who came there in
        another way tells nothing.
        """
        now = self._clock.now()
        try:
            rows = await self._feedback.list_of_user(
                actor.user_id, now - _OPENED_WITHIN, now, _LEDGER_ROWS
            )
            shown = next((row for row in rows if _shows(row, surface, target)), None)
            if shown is None:
                return
            row = replace(shown, kind=FeedbackKind.ADDED, at=now)
            await self._record([row])
            await self._accuracy.note(row, now)
            if surface is Surface.PANDITS:
                await self._interactions.add([_pandit_viewed(row, None)])
        except StoreUnavailable:
            _log.warning("openings_lost", extra={"surface": surface.value})

    async def report(self, actor: Actor, report: Report) -> int:
        """Keep what became of a recommendation; returns how much of it was new.

        An opinion (favourite, never show) is also kept as the customer's preference; it alone may
        come without a recommendation.

        Raises
        ------
        Invalid
            If the recommendation was not given to the actor or does not name a target, or an
            opinion is about anything else than one item of the catalogue.
        """
        preference = _PREFERENCES.get(report.kind)
        if preference is not None and report.surface is not Surface.SAMAGRI:
            raise Invalid(FieldFault("kind", "choice"))
        if preference is not None and len(report.targets) > 1:
            raise Invalid(FieldFault("item_ids", "too-long"))
        if report.rec_id is None and preference is None:
            raise Invalid(FieldFault("rec_id", "required"))
        now = self._clock.now()
        recommendation = None
        if report.rec_id is not None:
            recommendation = self._ids.read(report.rec_id, actor.user_id, now)
            _require_named(recommendation, report)
        if preference is not None:
            for item_id in report.targets:
                await self._preferences.put(actor, item_id, preference)
        if recommendation is None:
            return len(report.targets)
        rows = [_ledger_row(recommendation, each, report.kind, now) for each in report.targets]
        new = await self._record(rows)
        # One for all: they are of one person, one kind and one arm.
        await self._accuracy.note(rows[0], now)
        if report.surface is Surface.PANDITS and report.kind is FeedbackKind.ADDED:
            # All of them, for a crash may have come between the two writes; ids make them one.
            puja_id = recommendation.puja_id
            await self._interactions.add([_pandit_viewed(row, puja_id) for row in rows])
        return len(new)

    async def _record(self, rows: Iterable[Feedback]) -> list[Feedback]:
        new = await self._feedback.record(list({row.id: row for row in rows}.values()))
        self._buffer.count(new)
        return new

    # -- bookings --------------------------------------------------------------------------------

    async def on_event(self, event: Event) -> None:
        """Learn from a booking whose list is closed, and once it is held, what was bought.

        That it was made, held or called off, and what was bought, the training reads from the
        booking itself; told to it here is only what the customer put on its list and took off it.
        Everything is kept once however often the event comes.
        """
        if event.kind not in _TELLING or event.booking_id is None:
            return
        booking = await self._bookings.find(event.booking_id)
        if booking is None:
            return
        closed_at = booking.accepted_at or booking.updated_at
        reported = await self._feedback.list_of_user(
            booking.user_id, closed_at - PURCHASE_WINDOW, closed_at, _LEDGER_ROWS
        )
        recommended: dict[tuple[Surface, str], Feedback] = {}
        for row in reported:
            if row.kind in (FeedbackKind.SHOWN, FeedbackKind.ADDED):
                recommended.setdefault((row.surface, row.target), row)
        await self._interactions.add(list(_list_changes(booking, recommended, event.at)))
        if booking.accepted_at is not None:
            await self._learn_from_list(booking, recommended, closed_at)
        if event.kind is EventKind.BOOKING_COMPLETED:
            await self._learn_from_purchase(booking, recommended, event.at, closed_at)

    async def _learn_from_list(
        self, booking: Booking, recommended: dict[tuple[Surface, str], Feedback], at: datetime
    ) -> None:
        """Keep what became of items that were put on the list by themselves."""
        arm = self._accuracy.arm_of(booking.user_id)
        rows = _added_by_itself(booking, arm, at)
        recommended.update(
            ((row.surface, row.target), row) for row in rows if row.kind is FeedbackKind.ADDED
        )
        await self._record(rows)
        if rows:
            await self._accuracy.note(rows[0], at)

    async def _learn_from_purchase(
        self,
        booking: Booking,
        recommended: dict[tuple[Surface, str], Feedback],
        at: datetime,
        closed_at: datetime,
    ) -> None:
        """Give what was bought to the recommendation that named it last."""
        rows = [
            replace(shown, kind=FeedbackKind.PURCHASED, at=at)
            for each in _bought(booking)
            if (shown := recommended.get(each)) is not None
        ]
        await self._record(rows)
        for row in {row.arm: row for row in rows}.values():
            await self._accuracy.note(row, closed_at)


def _require_named(recommendation: Recommendation, report: Report) -> None:
    is_of_it = recommendation.surface is report.surface
    if not is_of_it or not all(map(recommendation.names, report.targets)):
        raise Invalid(FieldFault("rec_id", "not-recommended"))


def _ledger_row(
    recommendation: Recommendation, target: str, kind: FeedbackKind, now: datetime
) -> Feedback:
    return Feedback(
        rec_id=recommendation.id,
        target=target,
        kind=kind,
        user_id=recommendation.user_id,
        surface=recommendation.surface,
        version=recommendation.version,
        arm=recommendation.arm,
        at=now,
        trial=recommendation.trial_of(target),
    )


def _shows(row: Feedback, surface: Surface, target: str) -> bool:
    return row.kind is FeedbackKind.SHOWN and row.surface is surface and row.target == target


def _pandit_viewed(row: Feedback, puja_id: str | None) -> Interaction:
    return Interaction(
        id=row.id,
        user_id=row.user_id,
        ts=row.at,
        kind="pandit_viewed",
        source="rec",
        puja_id=puja_id,
        pandit_id=row.target,
        rec_id=row.rec_id,
    )


def _bought(booking: Booking) -> list[tuple[Surface, str]]:
    return [
        (Surface.PANDITS, booking.pandit_id),
        (Surface.BOOKINGS, booking.puja_id),
        *((Surface.SAMAGRI, line.item_id) for line in booking.samagri),
        *((Surface.AUTO_ADD, line.item_id) for line in booking.samagri if line.auto_added),
    ]


def _added_by_itself(booking: Booking, arm: str, at: datetime) -> list[Feedback]:
    """What became of optional items that were put on the list: kept, or taken off.

    All of one list were chosen by one model. What cannot be taken off says nothing of a model.
    """
    version = next((line.advised_by for line in booking.samagri if line.advised_by), "")
    if not version:
        return []
    kept = [line.item_id for line in booking.samagri if line.auto_added and line.can_remove]
    refused = refused_items(booking)
    fates = [(FeedbackKind.SHOWN, (*kept, *refused))]
    fates += [(FeedbackKind.ADDED, tuple(kept)), (FeedbackKind.REMOVED, refused)]
    return [
        Feedback(
            rec_id=f"booking-{booking.id}",
            target=item_id,
            kind=kind,
            user_id=booking.user_id,
            surface=Surface.AUTO_ADD,
            version=version,
            arm=arm,
            at=at,
        )
        for kind, item_ids in fates
        for item_id in item_ids
    ]


def _list_changes(
    booking: Booking, recommended: dict[tuple[Surface, str], Feedback], at: datetime
) -> Iterable[Interaction]:
    """What the customer put on the list himself, and what he took off of the rest."""
    for line in booking.samagri:
        if line.user_added:
            yield _change(booking, "samagri_added", line.item_id, at, recommended, line)
    for item_id in refused_items(booking):
        yield _change(booking, "samagri_removed", item_id, at, recommended)


def _change(
    booking: Booking,
    kind: str,
    item_id: str,
    at: datetime,
    recommended: dict[tuple[Surface, str], Feedback],
    line: SamagriLine | None = None,
) -> Interaction:
    shown = recommended.get((Surface.SAMAGRI, item_id))
    # What was taken off had been put there for him, as a booking's declined lines are read too.
    otherwise = "rec" if line is None else _SOURCES.get(line.source, "manual")
    return Interaction(
        id=f"{kind}:{booking.id}:{item_id}",
        user_id=booking.user_id,
        ts=at,
        kind=kind,
        source="rec" if shown is not None else otherwise,
        puja_id=booking.puja_id,
        booking_id=booking.id,
        item_id=item_id,
        pandit_id=booking.pandit_id,
        quantity=None if line is None else float(line.quantity),
        unit=None if line is None else line.unit.value,
        price=None if line is None else line.price_at_booking,
        rec_id=None if shown is None else shown.rec_id,
        region=booking.location.city or None,
    )
