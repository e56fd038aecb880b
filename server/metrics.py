"""Prometheus metrics, and the count of requests that are running.

Labels are few and bounded: the route's name, never the path; the class of the status, never the
number.

Of several processes behind one port a scrape reaches any one, so they keep their numbers in files
of one folder (the multiprocess mode of ``prometheus_client``), and each tells those of all:
counters and histograms of all that ever ran, gauges of those that run, and of each of these its
memory and time by ``pid``. The variable that names the folder has to be set before this module is
imported; the parent of the processes does that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from tornado import web

_log: Final = structlog.get_logger("server.access")
_QUIET: Final = frozenset({"healthz", "readyz", "metrics", "static"})
SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder in which several processes keep their numbers."""
_RUNNING: Final = "livesum"
_ANY: Final = "livemax"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """All metrics of one server process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Histogram(
            "http_request_seconds",
            "Time to answer a request.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.running = Gauge(
            "http_requests_running",
            "Requests being answered.",
            multiprocess_mode=_RUNNING,
            registry=self.registry,
        )
        self.commands = Histogram(
            "mongo_command_seconds",
            "Time of a database command.",
            ("command",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.command_failures = Counter(
            "mongo_command_failures",
            "Database commands that failed.",
            ("command",),
            registry=self.registry,
        )
        self.payments = Counter(
            "payment_attempts",
            "Attempts to pay, by the state that they came to.",
            ("method", "status"),
            registry=self.registry,
        )
        self.payment_reviews = Counter(
            "payment_reviews",
            "Payments that a person has to look at.",
            ("method", "reason"),
            registry=self.registry,
        )
        self.sockets = Gauge(
            "sockets_open",
            "Open sockets.",
            ("kind",),
            multiprocess_mode=_RUNNING,
            registry=self.registry,
        )
        self.frames = Counter(
            "socket_frames", "Frames in and out.", ("kind", "direction"), registry=self.registry
        )
        self.socket_closes = Counter(
            "socket_closes", "Sockets closed by the server.", ("code",), registry=self.registry
        )
        self.socket_limits = Counter(
            "socket_limits",
            "Times that a limit of the sockets was reached.",
            ("limit",),
            registry=self.registry,
        )
        self.duties = Histogram(
            "duty_seconds",
            "Time of one run of a periodic duty.",
            ("duty", "outcome"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.model = Gauge(
            "recommender_model",
            "The model that serves is 1; without one the version is rules.",
            ("version",),
            multiprocess_mode=_ANY,
            registry=self.registry,
        )
        self._version = "rules"
        self.model.labels(self._version).set(1)
        self.model_loads = Histogram(
            "recommender_model_load_seconds",
            "Time to load and check a model.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.model_refusals = Counter(
            "recommender_model_refusals",
            "Models that were refused, by what was wrong.",
            ("fault",),
            registry=self.registry,
        )
        self.recommendations = Counter(
            "recommender_answers",
            "Recommendations made, by who made them.",
            ("task", "by"),
            registry=self.registry,
        )
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def observe_command(self, name: str, seconds: float, succeeded: bool) -> None:
        """Observe one command of the database; fits ``store.client.CommandObserver``."""
        self.commands.labels(name).observe(seconds)
        if not succeeded:
            self.command_failures.labels(name).inc()

    def model_serves(self, version: str, seconds: float) -> None:
        """Another model serves; fits ``recommender.keeper.ModelObserver``."""
        self.model.labels(self._version).set(0)
        self.model.labels(version).set(1)
        self._version = version
        self.model_loads.observe(seconds)

    def model_refused(self, code: str) -> None:
        """A model was refused; fits ``recommender.keeper.ModelObserver``."""
        self.model_refusals.labels(code).inc()

    def recommended(self, task: str, by: str) -> None:
        """A recommendation was made by a ``model``, by ``rules``, or ``failed``."""
        self.recommendations.labels(task, by).inc()

    def attempt_moved(self, method: str, status: str) -> None:
        """Count an attempt to pay that has come to a state."""
        self.payments.labels(method, status).inc()

    def review_wanted(self, method: str, reason: str) -> None:
        """Count a payment that a person has to look at."""
        self.payment_reviews.labels(method, reason).inc()

    def request_began(self) -> None:
        """Count a request in."""
        self._running += 1
        self._idle.clear()
        self.running.set(self._running)

    def request_ended(self) -> None:
        """Count a request out."""
        self._running -= 1
        self.running.set(self._running)
        if self._running == 0:
            self._idle.set()

    async def wait_idle(self, seconds: float) -> bool:
        """Wait until no request is running, at most so long; False when some still are."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def log_request(self, handler: web.RequestHandler) -> None:
        """Write the one line of a request and observe its time; Tornado calls it in the end."""
        route = getattr(handler, "route_name", type(handler).__name__)
        status, seconds = handler.get_status(), handler.request.request_time()
        self.requests.labels(handler.request.method or "", route, f"{status // 100}xx").observe(
            seconds
        )
        level = "debug" if route in _QUIET else "error" if status >= 500 else "info"
        getattr(_log, level)(
            "request",
            method=handler.request.method,
            route=route,
            path=handler.request.path,
            status=status,
            ms=round(seconds * 1000, 1),
        )

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format; may be called in any thread."""
        folder = os.environ.get(SHARED_FOLDER)
        if not folder:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        PlatformCollector(registry=registry)
        MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]  # the library's
        registry.register(_EachProcess(Path(folder)))
        return generate_latest(registry)


class _EachProcess(Collector):
    """Memory, time and descriptors of every process that runs, by ``pid``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Read ``/proc``; one that has just ended tells nothing."""
        found: dict[str, Metric] = {}
        for pid in self._pids():
            each = ProcessCollector(pid=lambda pid=pid: pid, registry=None)  # type: ignore[misc]
            for metric in each.collect():
                of_all = found.setdefault(
                    metric.name, Metric(metric.name, metric.documentation, metric.type)
                )
                for sample in metric.samples:
                    of_all.add_sample(sample.name, {**sample.labels, "pid": pid}, sample.value)
        return found.values()

    def _pids(self) -> list[str]:
        # The files of gauges go with their process.
        files = self._folder.glob(f"gauge_{_RUNNING}_*.db")
        return sorted(each.stem.rpartition("_")[2] for each in files)
