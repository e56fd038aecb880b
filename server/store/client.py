"""The only door to the driver (PyMongo's asyncio API).

Repositories speak to a :class:`Collection`, which offers what they use, sets the timeout of every
command and turns the driver's errors into ours. Nothing else imports the driver.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import pymongo
from bson.codec_options import CodecOptions, TypeCodec, TypeRegistry
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from pymongo import (
    AsyncMongoClient,
    IndexModel,
    ReadPreference,
    ReturnDocument,
    UpdateMany,
    UpdateOne,
    WriteConcern,
    monitoring,
)
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteError,
    WTimeoutError,
)

from server.domain.errors import StoreUnavailable
from server.settings import DatabaseSettings

Document = dict[str, Any]
Sort = Sequence[tuple[str, int]]
ASCENDING: Final = pymongo.ASCENDING
DESCENDING: Final = pymongo.DESCENDING
_DUPLICATE: Final = 11000
_SLOW_SECONDS: Final = 600.0
_INDEX_CONFLICTS: Final = frozenset({85, 86})
"""IndexOptionsConflict and IndexKeySpecsConflict."""
_NO_SUCH_INDEX: Final = frozenset({26, 27})
"""NamespaceNotFound and IndexNotFound."""
_BATCH_ROWS: Final = 5000
_MAX_BATCH: Final = 1000
_BATCH_CONNECTIONS: Final = 2
_AWAY: Final = (
    ConnectionFailure,
    ExecutionTimeout,
    NotPrimaryError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WTimeoutError,
)
_WRITE_CONFLICT: Final = 112
"""What the embedded server answers when it cannot make room for an operation in time."""


class DuplicateKey(Exception):
    """A unique index refused a write; ``fields`` are those of the index."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        super().__init__(", ".join(fields))
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Index:
    """One index, declared beside the documents that it serves."""

    keys: tuple[tuple[str, int | str], ...]
    unique: bool = False
    partial: Mapping[str, Any] | None = None
    expire_after_seconds: int | None = None

    def model(self) -> IndexModel:
        """The driver's form."""
        options: dict[str, Any] = {}
        if self.unique:
            options["unique"] = True
        if self.partial is not None:
            options["partialFilterExpression"] = dict(self.partial)
        if self.expire_after_seconds is not None:
            options["expireAfterSeconds"] = self.expire_after_seconds
        if any(kind == "2dsphere" for _, kind in self.keys):
            # Said, because the embedded server compares what is asked for with what it filled in.
            options["2dsphereIndexVersion"] = 3
        return IndexModel(list(self.keys), **options)


@dataclass(frozen=True, slots=True)
class Updated:
    """How many documents an update matched and changed."""

    matched: int
    modified: int


class _DecimalCodec(TypeCodec):
    """Quantities are decimals here and Decimal128 in the database."""

    python_type = Decimal
    bson_type = Decimal128

    def transform_python(self, value: Decimal) -> Decimal128:
        return Decimal128(value)

    def transform_bson(self, value: Decimal128) -> Decimal:
        return value.to_decimal()


CODEC_OPTIONS: Final[CodecOptions[Document]] = CodecOptions(
    tz_aware=True, type_registry=TypeRegistry([_DecimalCodec()])
)


class Collection:
    """The operations that repositories use, on one collection.

    Every method raises :class:`StoreUnavailable` when the database cannot be reached or does not
    answer in time, and :class:`DuplicateKey` when a unique index refuses a single write.
    """

    def __init__(
        self,
        collection: AsyncCollection[Document],
        timeout_seconds: float,
        turns: asyncio.Semaphore,
        batch_turns: asyncio.Semaphore,
    ) -> None:
        self._collection = collection
        self._timeout_seconds = timeout_seconds
        self._turns = turns
        self._batch_turns = batch_turns

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._collection.name

    @asynccontextmanager
    async def _guarded(
        self, seconds: float | None = None, turns: asyncio.Semaphore | None = None
    ) -> AsyncIterator[None]:
        try:
            async with self._turn(turns or self._turns):
                with pymongo.timeout(seconds or self._timeout_seconds):
                    yield
        except DuplicateKeyError as error:
            raise DuplicateKey(_fields(error.details)) from None
        except BulkWriteError:
            raise
        except _AWAY as error:
            raise StoreUnavailable from error
        except PyMongoError as error:
            if error.timeout or getattr(error, "code", None) == _WRITE_CONFLICT:
                raise StoreUnavailable from error
            raise

    @asynccontextmanager
    async def _turn(self, turns: asyncio.Semaphore) -> AsyncIterator[None]:
        """Wait in line for a connection; the driver's own pool lets some wait for ever."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await turns.acquire()
        except TimeoutError:
            raise StoreUnavailable from None
        try:
            yield
        finally:
            turns.release()

    async def find_one(
        self, query: Document, *, sort: Sort | None = None, fields: Sequence[str] | None = None
    ) -> Document | None:
        """Return the first match, or None."""
        async with self._guarded():
            return await self._collection.find_one(query, sort=sort, projection=fields)

    async def find(
        self,
        query: Document,
        *,
        sort: Sort | None = None,
        limit: int,
        fields: Sequence[str] | None = None,
    ) -> list[Document]:
        """Return at most ``limit`` matches by one command."""
        async with self._guarded():
            cursor = self._collection.find(
                query, sort=sort, limit=limit, projection=fields, batch_size=limit + 1
            )
            return await cursor.to_list()

    async def read_all(
        self,
        query: Document,
        take: Callable[[list[Document]], None],
        *,
        fields: Sequence[str],
        rows: int,
    ) -> None:
        """Give all matches, however many, to ``take``, in batches of at most ``rows``."""
        async with (
            self._guarded(_SLOW_SECONDS),
            self._collection.find(query, projection=list(fields), batch_size=rows) as cursor,
        ):
            while batch := await cursor.to_list(rows):
                take(batch)

    async def aggregate(self, pipeline: Sequence[Document]) -> list[Document]:
        """Run a pipeline that limits its own output, by one command."""
        async with self._guarded():
            # The server's own first batch ends at 101 rows, just where a page of 100 does.
            cursor = await self._collection.aggregate(list(pipeline), batchSize=_BATCH_ROWS)
            return await cursor.to_list()

    async def count(self, query: Document, *, limit: int) -> int:
        """Count matches, at most up to ``limit``."""
        async with self._guarded():
            return await self._collection.count_documents(query, limit=limit)

    async def insert_one(self, document: Document) -> None:
        """Insert one document."""
        async with self._guarded():
            await self._collection.insert_one(document)

    async def insert_many(
        self, documents: Sequence[Document], *, ordered: bool = False
    ) -> dict[int, tuple[str, ...]]:
        """Insert all in one batch, which the first refusal ends if it is ordered.

        Maps the place of each refused one to the index's fields.
        """
        try:
            async with self._guarded():
                await self._collection.insert_many(documents, ordered=ordered)
        except BulkWriteError as error:
            return _refused(error)
        return {}

    async def insert_batch(
        self, documents: Sequence[Document], *, ordered: bool
    ) -> dict[int, tuple[str, ...]]:
        """Insert documents that have an ``_id``, by one command where it holds them.

        Costs less than the driver's own way, which remains for more documents or bytes (about
        16 MiB) than a command takes. Ordered, the first refusal ends the command; else all are
        tried. Returns, by its place, the index's fields of each that was refused. A command whose
        connection broke is sent once more; what the first had written is then refused. Batches have
        connections of their own: however many single operations wait, they do not wait behind them.
        """
        if len(documents) > _MAX_BATCH:
            return await self.insert_many(documents, ordered=ordered)
        command = {
            "insert": self.name,
            "ordered": ordered,
            "writeConcern": self._collection.write_concern.document,
            "documents": documents,
        }
        try:
            answer = await self._send_again_once(command)
        except DocumentTooLarge:
            return await self.insert_many(documents, ordered=ordered)
        if "writeConcernError" in answer:
            raise StoreUnavailable(answer["writeConcernError"])
        refused = {}
        for fault in answer.get("writeErrors", ()):
            if fault["code"] != _DUPLICATE:
                raise WriteError(fault.get("errmsg", ""), fault["code"], fault)
            refused[fault["index"]] = _fields(fault)
        return refused

    async def _send_again_once(self, command: Document) -> Document:
        for is_last in (False, True):
            async with self._guarded(turns=self._batch_turns):
                try:
                    return await self._collection.database.command(command)
                except AutoReconnect as error:
                    if is_last or error.timeout or isinstance(error, ServerSelectionTimeoutError):
                        raise
        raise AssertionError

    async def update_one(
        self, query: Document, update: Document | list[Document], *, upsert: bool = False
    ) -> Updated:
        """Update the first match."""
        async with self._guarded():
            result = await self._collection.update_one(query, update, upsert=upsert)
            return Updated(result.matched_count, result.modified_count)

    async def update_many(self, query: Document, update: Document) -> Updated:
        """Update all matches."""
        async with self._guarded():
            result = await self._collection.update_many(query, update)
            return Updated(result.matched_count, result.modified_count)

    async def update_each(
        self,
        updates: Sequence[tuple[Document, Document | list[Document]]],
        *,
        many: bool = False,
        upsert: bool = False,
        is_batch: bool = False,
    ) -> int:
        """Send many updates as one unordered command; returns how many documents changed.

        Each is of the first match, or with ``many`` of all matches; with ``upsert`` one that has
        no match makes its document, and is done again where somebody else has just made it. With
        ``is_batch`` it goes by the connections that batches have to themselves.
        """
        kind = UpdateMany if many else UpdateOne
        writes = [kind(query, update, upsert=upsert) for query, update in updates]
        async with self._guarded(turns=self._batch_turns if is_batch else None):
            try:
                return (await self._collection.bulk_write(writes, ordered=False)).modified_count
            except BulkWriteError as error:
                if error.timeout or error.details.get("writeConcernErrors"):
                    raise StoreUnavailable from error
                if not upsert:
                    raise
                modified = int(error.details.get("nModified", 0))
                again = [writes[place] for place in _refused(error)]
                result = await self._collection.bulk_write(again, ordered=False)
                return modified + result.modified_count

    async def find_one_and_update(
        self, query: Document, update: Document, *, upsert: bool = False
    ) -> Document | None:
        """Update the first match and return it as it is afterwards."""
        async with self._guarded():
            document: Document | None = await self._collection.find_one_and_update(
                query, update, upsert=upsert, return_document=ReturnDocument.AFTER
            )
            return document

    async def replace_one(self, query: Document, document: Document) -> bool:
        """Replace the first match; False when there was none."""
        async with self._guarded():
            result = await self._collection.replace_one(query, document)
            return result.matched_count == 1

    async def delete_one(self, query: Document) -> bool:
        """Delete the first match; False when there was none."""
        async with self._guarded():
            result = await self._collection.delete_one(query)
            return result.deleted_count == 1

    async def delete_many(self, query: Document) -> int:
        """Delete all matches and return their number."""
        async with self._guarded():
            return (await self._collection.delete_many(query)).deleted_count

    async def create_indexes(self, indexes: Sequence[Index]) -> None:
        """Create those of the indexes that do not exist; a large collection takes its time.

        One that exists under the same name with another meaning is replaced: what is declared
        holds.
        """
        models = [index.model() for index in indexes]
        async with self._guarded(_SLOW_SECONDS):
            if await self._are_created(models):
                return
            for model in models:
                if not await self._are_created([model]):
                    await self._collection.drop_index(model.document["name"])
                    await self._collection.create_indexes([model])

    async def drop_indexes(self, indexes: Sequence[Index]) -> None:
        """Drop those of the indexes that exist."""
        for index in indexes:
            async with self._guarded(_SLOW_SECONDS):
                try:
                    await self._collection.drop_index(index.model().document["name"])
                except OperationFailure as error:
                    if error.code not in _NO_SUCH_INDEX:
                        raise

    async def _are_created(self, models: list[IndexModel]) -> bool:
        """Create indexes; False when one exists otherwise than declared."""
        try:
            await self._collection.create_indexes(models)
        except OperationFailure as error:
            if error.code not in _INDEX_CONFLICTS:
                raise
            return False
        return True

    async def explain(
        self, query: Document, *, sort: Sort | None = None, limit: int = 0
    ) -> Document:
        """The plan of a find, for tests and benchmarks."""
        async with self._guarded():
            return await self._collection.find(query, sort=sort, limit=limit).explain()


class Store:
    """A connection to one database."""

    def __init__(self, client: AsyncMongoClient[Document], settings: DatabaseSettings) -> None:
        self._client = client
        self._settings = settings
        self._turns = asyncio.Semaphore(settings.max_pool_size)
        self._batch_turns = asyncio.Semaphore(_BATCH_CONNECTIONS)
        self._database: AsyncDatabase[Document] = client.get_database(
            settings.name,
            codec_options=CODEC_OPTIONS,
            write_concern=WriteConcern(w="majority", j=True),
            read_preference=ReadPreference.PRIMARY,
        )

    @property
    def name(self) -> str:
        """The database's name."""
        return self._settings.name

    def collection(self, name: str) -> Collection:
        """The collection of that name."""
        return Collection(
            self._database.get_collection(name),
            self._settings.timeout_seconds,
            self._turns,
            self._batch_turns,
        )

    async def ping(self) -> None:
        """Return when the database answers. Raises ``StoreUnavailable``."""
        try:
            with pymongo.timeout(1.0):
                await self._client.admin.command("ping")
        except PyMongoError as error:
            raise StoreUnavailable from error

    async def is_empty(self) -> bool:
        """Whether the database has no users yet."""
        return await self.collection("users").find_one({}, fields=("_id",)) is None

    async def drop(self) -> None:
        """Delete the whole database. For tests and for seeding anew."""
        await self._client.drop_database(self._settings.name)


class CommandObserver(monitoring.CommandListener):
    """Calls ``observe(command name, seconds.

    Succeeded)`` for every command that the driver sends.
    """

    def __init__(self, observe: Callable[[str, float, bool], None]) -> None:
        self._observe = observe

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Wait for the end."""

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Tell of a command that succeeded."""
        self._observe(event.command_name, event.duration_micros / 1e6, True)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Tell of a command that failed."""
        self._observe(event.command_name, event.duration_micros / 1e6, False)


@asynccontextmanager
async def open_store(
    settings: DatabaseSettings,
    uri: str,
    listeners: Sequence[Any] = (),
) -> AsyncIterator[Store]:
    """Connect to ``uri`` and close the connection in the end.

    ``listeners`` are the driver's command listeners, for metrics and for tests that count commands.
    """
    client: AsyncMongoClient[Document] = AsyncMongoClient(
        uri,
        tz_aware=True,
        appname="pandityatra",
        maxPoolSize=settings.max_pool_size + _BATCH_CONNECTIONS,
        serverSelectionTimeoutMS=2000,
        connectTimeoutMS=2000,
        heartbeatFrequencyMS=2000,
        event_listeners=list(listeners),
    )
    try:
        yield Store(client, settings)
    finally:
        await asyncio.shield(client.close())


class ObjectIds:
    """Ids from the driver's generator: unique between processes and rising within one."""

    def new(self) -> str:
        """Return 24 hexadecimal digits."""
        return str(ObjectId())


def _fields(details: Mapping[str, Any] | None) -> tuple[str, ...]:
    return tuple((details or {}).get("keyPattern", {}))


def _refused(error: BulkWriteError) -> dict[int, tuple[str, ...]]:
    refused = {}
    for fault in error.details.get("writeErrors", []):
        if fault["code"] != _DUPLICATE:
            raise error
        refused[fault["index"]] = _fields(fault)
    if error.details.get("writeConcernErrors"):
        raise StoreUnavailable from error
    return refused
