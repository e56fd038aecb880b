"""Keeps the model that serves: loads it off the loop, watches the pointer, swaps one reference.

Nothing of a version is believed before everything of it has been checked, in a thread of its own
that loads one model at a time. The swap is one assignment in the event loop: whoever took the old
model finishes with it, and it is freed after the last of them. A version that is refused leaves the
present one where it is and is tried again later, each time after a longer while.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar

import structlog

from recsys.artifact import (
    REPORT,
    VERSION_PATTERN,
    Artifact,
    ArtifactError,
    check_known,
    check_smoke,
)
from recsys.bundle import UNSERVED_IDS, build_name, open_bundle
from recsys.store import Listed, ModelStore
from server.domain.catalogue import Puja, SamagriItem
from server.domain.errors import GatesFailed, ModelRefused, NotFound, StoreUnavailable
from server.domain.ports.catalogue import CatalogueRepository
from server.domain.ports.paging import SortKey
from server.domain.ports.processes import Bus
from server.domain.recommendation import (
    MODELS_TOPIC,
    ModelFault,
    ModelListing,
    ModelState,
    ModelVersion,
)
from server.recommender.adviser import Advice, AdviceParams, CatalogueOfTheDay
from server.tasks import end_all

T = TypeVar("T")

_log: Final = structlog.get_logger(__name__)
_START_SECONDS: Final = 10.0
_TURN_SECONDS: Final = 0.0002
_REST_SECONDS: Final = 0.005
"""Between two pieces of a model that are checked while others ask."""
_MAX_ITEMS: Final = 20_000
# What is read of the catalogue is decoded in the loop: so much at a time takes some 2 ms.
_PAGE: Final = 200
_CATALOGUE_SECONDS: Final = 300.0
_LONGEST_BACKOFF_SECONDS: Final = 900.0


class ModelObserver(Protocol):
    """Is told what becomes of models; the metrics."""

    def model_serves(self, version: str, seconds: float) -> None:
        """A version has begun to serve; it took so long to load."""
        ...

    def model_refused(self, code: str) -> None:
        """A version was refused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperParams:
    """See ``settings.RecommenderSettings``."""

    path: Path
    poll_seconds: float
    retry_seconds: float
    is_enabled: bool
    advice: AdviceParams


class _Found(NamedTuple):
    """What was read of the catalogue; ``retired`` are the ids of items that are switched off."""

    items: Sequence[SamagriItem]
    retired: frozenset[str]
    pujas: Sequence[Puja]


@dataclass(slots=True)
class _Refusal:
    """A version that was refused, and when it may be tried again (seconds of the loop)."""

    version: str
    tries: int
    again_at: float


class ModelKeeper:
    """See ``ports.Models``. Use :meth:`running`; before that there is no catalogue."""

    def __init__(
        self,
        params: KeeperParams,
        catalogue: CatalogueRepository,
        bus: Bus,
        observer: ModelObserver,
    ) -> None:
        self._params = params
        self._catalogue = catalogue
        self._bus = bus
        self._observer = observer
        self._store = ModelStore(params.path)
        self._thread: ThreadPoolExecutor | None = None
        self._current = Advice(CatalogueOfTheDay(items={}, pujas={}), params.advice)
        self._loaded_at: datetime | None = None
        self._is_checked = False
        self._last_error: ModelFault | None = None
        self._refusal: _Refusal | None = None
        self._read_at = float("-inf")
        self._wanted = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    # -- asking -----------------------------------------------------------------------------------

    @property
    def current(self) -> Advice:
        """What answers now. Take it once for an answer and keep it to its end."""
        return self._current

    @property
    def state(self) -> ModelState:
        """What serves in this process, and what was refused last."""
        return ModelState(
            version=self._current.version,
            loaded_at=self._loaded_at,
            is_checked=self._is_checked,
            last_error=self._last_error,
        )

    async def versions(self, limit: int) -> ModelListing:
        """Return what lies in the store, newest first."""
        return await self._aside(partial(_listing, self._store, limit))

    async def report(self, version: str) -> str:
        """Return the page that lies in a version; see ``ports.Models``."""
        try:
            return await self._aside(partial(_report, self._store, version))
        except ArtifactError as error:
            _log.warning("model_report_refused", version=version, code=error.code)
            raise ModelRefused(error.code) from None

    async def activate(self, version: str, *, by: str, reason: str, force: bool) -> None:
        """Point all processes to a version; when this returns, it serves in this one."""
        try:
            await self._aside(
                partial(
                    _publish,
                    self._store,
                    version,
                    catalogue=self._current.catalogue,
                    params=self._params.advice,
                    by=by,
                    reason=reason,
                    force=force,
                )
            )
        except ArtifactError as error:
            _log.warning("model_not_activated", version=version, code=error.code, reason=str(error))
            raise ModelRefused(error.code) from None
        except OSError as error:
            _log.error("model_not_activated", version=version, reason=str(error))
            raise ModelRefused("pointer") from None
        # Also to this process; the lock below makes the two looks one after the other.
        self._bus.publish(MODELS_TOPIC, version.encode())
        await self.look(is_asked=True)
        if self._params.is_enabled and self._current.version != version:
            fault = self._last_error
            raise ModelRefused(fault.code if fault else "pointer")

    # -- watching ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve what the pointer names and follow it while the context lasts."""
        with ThreadPoolExecutor(1, "models") as self._thread:
            await self._bus.subscribe(MODELS_TOPIC, self._on_news)
            self._bus.on_restored(self._wanted.set)
            await self._read_catalogue()
            first = asyncio.create_task(self.look(), name="first-model")
            watch = asyncio.create_task(self._watch(first), name="models")
            # A large model may take longer than a start should; the rules serve until it is there.
            await asyncio.wait({first}, timeout=_START_SECONDS)
            try:
                yield
            finally:
                self._bus.unsubscribe(MODELS_TOPIC, self._on_news)
                await end_all((first, watch))

    def _on_news(self, payload: bytes) -> None:
        self._wanted.set()

    async def _watch(self, first: asyncio.Task[None]) -> None:
        await asyncio.wait({first})
        while True:
            pause = self._params.poll_seconds * random.uniform(0.8, 1.2)  # noqa: S311  # no secret
            is_asked = True
            try:
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            except TimeoutError:
                is_asked = False
            self._wanted.clear()
            try:
                await self._read_catalogue()
                await self.look(is_asked=is_asked)
            except Exception:
                # Whatever goes wrong here, the present model serves on and the next look comes.
                _log.exception("models_not_watched")

    async def look(self, *, is_asked: bool = False) -> None:
        """Look at the pointer, and serve what it names if that is another version and sound.

        ``is_asked``: somebody wants it now, so what was refused is tried again at once.
        """
        async with self._one_at_a_time:
            try:
                if self._params.is_enabled:
                    await self._look(is_asked=is_asked)
            finally:
                self._is_checked = True

    async def _look(self, *, is_asked: bool) -> None:
        loop = asyncio.get_running_loop()
        try:
            version = await self._aside(self._store.current)
        except ArtifactError as error:
            if is_asked or self._is_due(""):
                self._refuse("", error)
            return
        if version is None or version == self._current.version:
            self._refusal = self._last_error = None
            return
        if not (is_asked or self._is_due(version)):
            return
        began = loop.time()
        try:
            made = await self._aside(
                partial(_load, self._store, version, self._current.catalogue, self._params.advice)
            )
        except (ArtifactError, OSError) as error:
            self._refuse(version, error)
            return
        except Exception as error:
            # A model that makes its own code fail is as little to be trusted as a damaged one.
            _log.exception("model_failed", version=version)
            self._refuse(version, error)
            return
        self._swap(made)
        self._refusal = self._last_error = None
        self._loaded_at = datetime.now(UTC)
        self._observer.model_serves(version, loop.time() - began)
        _log.info("model_serves", version=version, seconds=round(loop.time() - began, 3))

    def _is_due(self, version: str) -> bool:
        """Whether that version was not refused, or long enough ago."""
        known = self._refusal
        if known is None or known.version != version:
            return True
        return asyncio.get_running_loop().time() >= known.again_at

    def _swap(self, made: Advice) -> None:
        old, self._current = [self._current], made
        # What nobody holds any more is freed in the thread: unmapping a large model takes its time.
        asyncio.get_running_loop().run_in_executor(self._thread, old.clear)

    def _refuse(self, version: str, error: Exception) -> None:
        code = error.code if isinstance(error, ArtifactError) else "error"
        known = self._refusal
        tries = known.tries + 1 if known and known.version == version else 1
        pause = min(self._params.retry_seconds * 2 ** (tries - 1), _LONGEST_BACKOFF_SECONDS)
        again_at = asyncio.get_running_loop().time() + pause
        self._refusal = _Refusal(version, tries, again_at)
        self._last_error = ModelFault(
            version=version, code=code, reason=str(error), at=datetime.now(UTC)
        )
        self._observer.model_refused(code)
        _log.error(
            "model_refused",
            version=version,
            code=code,
            reason=str(error),
            serves=self._current.version,
            tries=tries,
            retry_seconds=pause,
        )

    # -- the catalogue ----------------------------------------------------------------------------

    async def _read_catalogue(self) -> None:
        """Take a changed catalogue up: the same model, over other items and prices."""
        now = asyncio.get_running_loop().time()
        if now - self._read_at < _CATALOGUE_SECONDS:
            return
        try:
            found = await self._whole_catalogue()
        except StoreUnavailable:
            return
        self._read_at = now
        async with self._one_at_a_time:
            made = await self._aside(partial(_over, self._current, found))
            if made is not None:
                self._swap(made)

    async def _whole_catalogue(self) -> _Found:
        items = [item async for item in self._items(is_active=True)]
        retired = frozenset([item.id async for item in self._items(is_active=False)])
        return _Found(items, retired, await self._catalogue.list_pujas())

    async def _items(self, *, is_active: bool) -> AsyncIterator[SamagriItem]:
        count = 0
        after: SortKey | None = None
        while count < _MAX_ITEMS:
            page = await self._catalogue.list_items(
                query="", category_id=None, limit=_PAGE, after=after, is_active=is_active
            )
            for item in page.rows:
                yield item
            count += len(page.rows)
            after = page.next_key
            if after is None:
                break

    async def _aside(self, work: Callable[[], T]) -> T:
        """Do it in the models' own thread, which gives way to the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, _giving_way, work)


# -- in the thread ---------------------------------------------------------------------------------


def _load(
    store: ModelStore, version: str, catalogue: CatalogueOfTheDay, params: AdviceParams
) -> Advice:
    artifact = store.load(version, pause_seconds=_REST_SECONDS, without_ids=UNSERVED_IDS)
    return _checked(artifact, catalogue, params)


def _giving_way(work: Callable[[], T]) -> T:
    """Do it, but give the interpreter back to the event loop after a fraction of a millisecond.

    By default a thread keeps it for 5 ms whenever another one wants it, and a request wants it
    several times.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_SECONDS)
    try:
        return work()
    finally:
        sys.setswitchinterval(usual)


def _over(current: Advice, found: _Found) -> Advice | None:
    """The same model over the catalogue that was read; None if it is what it was."""
    catalogue = CatalogueOfTheDay(
        items={item.id: item for item in found.items},
        pujas={puja.id: puja for puja in found.pujas},
        retired=found.retired,
    )
    return None if catalogue == current.catalogue else current.over(catalogue)


def _checked(artifact: Artifact, catalogue: CatalogueOfTheDay, params: AdviceParams) -> Advice:
    """What an artifact advises that fits the catalogue, answers as it did, and answers customers.

    A version is checked by this alone, whether it is to serve here or to be pointed at.

    Raises
    ------
    ArtifactError
        Whatever is wrong with it.
    """
    # A model learns from old bookings too: what was sold then is known although it is sold no more.
    check_known(artifact, "items", catalogue.items.keys() | catalogue.retired)
    check_known(artifact, "pujas", catalogue.pujas.keys())
    bundle = open_bundle(artifact)
    check_smoke(artifact.manifest, bundle.answer, build=build_name())
    try:
        advice = Advice(catalogue, params, bundle)
        advice.rehearse(datetime.now(UTC).date(), pause_seconds=_REST_SECONDS)
    except ArtifactError:
        raise
    except Exception as error:
        # What fails here would fail in front of a customer.
        raise ArtifactError("smoke", f"a customer's question failed: {error!r}") from error
    return advice


def _publish(
    store: ModelStore,
    version: str,
    *,
    catalogue: CatalogueOfTheDay,
    params: AdviceParams,
    by: str,
    reason: str,
    force: bool,
) -> None:
    if not VERSION_PATTERN.fullmatch(version) or not store.folder(version).is_dir():
        raise NotFound

    def check(artifact: Artifact) -> None:
        _checked(artifact, catalogue, params)

    try:
        store.publish(version, by=by, reason=reason, forced=force, check=check)
    except ArtifactError as error:
        if error.code != "gates":
            raise
        failed = store.load(version).manifest.gates_failed
        raise GatesFailed(", ".join(failed)) from None


def _report(store: ModelStore, version: str) -> str:
    if not VERSION_PATTERN.fullmatch(version):
        raise NotFound
    try:
        return store.text(version, REPORT)
    except ArtifactError as error:
        if error.code != "missing":
            raise
        raise NotFound from None


def _listing(store: ModelStore, limit: int) -> ModelListing:
    listed = store.versions()
    current = next((each.version for each in listed if each.is_current), None)
    return ModelListing(
        versions=tuple(_described(each) for each in listed[:limit]), current=current
    )


def _described(listed: Listed) -> ModelVersion:
    manifest = listed.manifest
    if manifest is None:
        return ModelVersion(
            version=listed.version, is_current=listed.is_current, problem=listed.problem
        )
    return ModelVersion(
        version=listed.version,
        is_current=listed.is_current,
        created_at=manifest.created_at,
        code_version=manifest.code_version,
        engine=manifest.engine,
        models={
            slot: str(params["model"])
            for slot, params in manifest.models.items()
            if "model" in params
        },
        metrics=manifest.metrics,
        baselines=manifest.baselines,
        gates=manifest.gates,
        gates_failed=manifest.gates_failed,
        training_window=manifest.training_window,
        has_report=any(each.path == REPORT for each in manifest.files),
    )
