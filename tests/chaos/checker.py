"""What must hold after any amount of chaos: a judge over records, without sockets or a database.

Given what the database has of a room and what each device has kept and seen, :func:`check_room`
says everything that is wrong. It is a pure function, so that it can itself be tested with records
in which something is wrong on purpose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """One message, as the database has it or as a device shows it."""

    seq: int
    id: str
    sender_id: str
    cid: str
    content: str


@dataclass(frozen=True, slots=True)
class Ack:
    cid: str
    seq: int
    id: str
    is_duplicate: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A frame of history. ``is_asked``: the device had asked for one on this connection."""

    seqs: tuple[int, ...]
    to: int
    gap: bool
    is_asked: bool


@dataclass(frozen=True, slots=True)
class Live:
    seq: int


Seen = Ack | Page | Live


@dataclass(slots=True)
class Visit:
    """One connection of a device: what it asked for and all that came, in order."""

    after: int | None
    port: int = 0
    head: int = 0
    seen: list[Seen] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)
    closed_with: int = 0


@dataclass(slots=True)
class Record:
    """All that one device has said, kept and seen. ``shown`` is its list as it stands there."""

    name: str
    user_id: str
    said: dict[str, str] = field(default_factory=dict)
    shown: list[Entry] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)


def check_room(stored: Sequence[Entry], records: Sequence[Record]) -> list[str]:
    """Everything that is wrong in a room; nothing when all is well."""
    return [
        *_check_stored(stored, records),
        *_check_acks(stored, records),
        *(
            f"{record.name}: {fault}"
            for record in records
            for fault in (*_check_shown(stored, record), *_check_visits(stored, record))
        ),
    ]


def _check_stored(stored: Sequence[Entry], records: Sequence[Record]) -> Iterator[str]:
    seqs = [entry.seq for entry in stored]
    missing = sorted(set(range(1, max(seqs, default=0) + 1)) - set(seqs))
    if missing:
        yield f"database: numbers that nobody has: {missing[:10]}"
    for seq, times in Counter(seqs).items():
        if times > 1:
            yield f"database: number {seq} is there {times} times"
    for key, times in Counter((entry.sender_id, entry.cid) for entry in stored).items():
        if times > 1:
            yield f"database: {key} is there {times} times"
    said = {
        (record.user_id, cid): content for record in records for cid, content in record.said.items()
    }
    for entry in stored:
        if (entry.sender_id, entry.cid) not in said:
            yield f"database: nobody has said {entry}"
        elif said[entry.sender_id, entry.cid] != entry.content:
            yield f"database: another text than was said: {entry}"
    kept = {(entry.sender_id, entry.cid) for entry in stored}
    for record in records:
        if record.pending:
            yield f"{record.name}: never acknowledged: {record.pending[:10]}"
        lost = [cid for cid in record.said if (record.user_id, cid) not in kept]
        if lost:
            yield f"{record.name}: said and not in the database: {lost[:10]}"


def _check_acks(stored: Sequence[Entry], records: Sequence[Record]) -> Iterator[str]:
    entries = {(entry.sender_id, entry.cid): entry for entry in stored}
    firsts: Counter[tuple[str, str]] = Counter()
    for record in records:
        for visit in record.visits:
            for ack in visit.seen:
                if not isinstance(ack, Ack):
                    continue
                entry = entries.get((record.user_id, ack.cid))
                if entry is None:
                    yield f"{record.name}: acknowledged and lost: {ack}"
                elif (entry.seq, entry.id) != (ack.seq, ack.id):
                    yield f"{record.name}: {ack}, but the database has {entry}"
                if ack.cid not in visit.sent:
                    yield f"{record.name}: {ack} of what was not sent here"
                firsts[record.user_id, ack.cid] += not ack.is_duplicate
    for key, times in firsts.items():
        if times > 1:
            yield f"{key}: acknowledged as new {times} times"


def _check_shown(stored: Sequence[Entry], record: Record) -> Iterator[str]:
    if record.shown == list(stored):
        return
    shown = [entry.seq for entry in record.shown]
    twice = [seq for seq, times in Counter(shown).items() if times > 1]
    if twice:
        yield f"shows twice: {twice[:10]}"
    if shown != sorted(shown):
        yield "shows them out of order"
    kept = {entry.seq: entry for entry in stored}
    lacking = sorted(set(kept) - set(shown))
    if lacking:
        yield f"lacks {len(lacking)} of {len(kept)}: {lacking[:10]}"
    for entry in record.shown:
        if kept.get(entry.seq) != entry:
            yield f"shows {entry}, but the database has {kept.get(entry.seq)}"


def _check_visits(stored: Sequence[Entry], record: Record) -> Iterator[str]:
    cids = {entry.seq: entry.cid for entry in stored if entry.sender_id == record.user_id}
    for number, visit in enumerate(record.visits):
        for fault in _check_visit(visit, cids):
            yield f"connection {number} (after={visit.after}): {fault}"


def _check_visit(visit: Visit, cids: dict[int, str]) -> Iterator[str]:
    """Within a connection: no repeat, no disorder, no gap that an own message does not explain.

    What was sent on a connection is told there by its ack and not as a message, and the ack may
    never come; so the numbers of these may be missing from the live frames, and no others.
    """
    position: int | None = None
    asked: set[int] = set()
    for seen in visit.seen:
        if isinstance(seen, Page):
            yield from _check_page(seen, position, visit)
            if seen.is_asked:
                asked.update(seen.seqs)
            else:
                position = seen.to
        elif isinstance(seen, Live):
            if position is None:
                yield f"message {seen.seq} before any history"
            elif seen.seq <= position:
                yield f"message {seen.seq} after {position}: a repeat, or out of order"
            else:
                missing = [
                    seq
                    for seq in range(position + 1, seen.seq)
                    if cids.get(seq) not in visit.sent and seq not in asked
                ]
                if missing:
                    yield f"message {seen.seq} after {position}: {missing[:10]} left out"
            position = max(seen.seq, position or 0)


def _check_page(page: Page, position: int | None, visit: Visit) -> Iterator[str]:
    if page.seqs and page.seqs != tuple(range(page.seqs[0], page.seqs[-1] + 1)):
        yield f"a page with gaps or out of order: {page.seqs}"
    if page.is_asked:
        return
    if position is None and not page.gap:
        position = visit.after
    if position is not None and page.seqs and page.seqs[0] != position + 1:
        yield f"a page of {page.seqs[0]} to {page.seqs[-1]} after {position}"
    if page.seqs and page.to != page.seqs[-1]:
        yield f"a page that ends with {page.seqs[-1]} and says {page.to}"
    if page.gap and (position is not None):
        yield f"a gap said in the middle, after {position}"
