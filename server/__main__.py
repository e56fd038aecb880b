"""The command line: ``pandityatra serve | demo | sandbox | seed | check | create-admin``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import getpass
import os
import resource
import signal
import sys
import webbrowser
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import structlog
import uvloop
from prometheus_client.multiprocess import mark_process_dead
from tornado import netutil

from server import logs
from server.app import RunningServer, open_server, prepare_database, run_until_stopped
from server.domain.account import normalise_phone
from server.domain.errors import AlreadyExists, StoreUnavailable
from server.metrics import SHARED_FOLDER
from server.paths import data_path
from server.processes import ChildrenKeepEndingError, Inherited, ProcessGroup, bind_group
from server.sandbox.arguments import add_arguments as add_sandbox_arguments
from server.settings import PREFIX, Settings, SettingsError, load, shown
from server.store.client import open_store
from server.store.embedded import EmbeddedServerError, database_uri

_log: Final = structlog.get_logger("server")
_STOPPED: Final = 130
_BAD_SETTINGS: Final = 2
_YOUNG_OBJECTS: Final = 10_000
_MAX_PROCESSES: Final = 256


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the process's exit status."""
    options = _parser().parse_args(arguments)
    environ = dict(os.environ)
    if options.command == "demo":
        environ.setdefault("PANDITYATRA_ENV", "demo")
    overrides: dict[str, Any] = {}
    if options.command != "sandbox" and getattr(options, "port", None) is not None:
        overrides["http.port"] = options.port
    try:
        settings = load(data_path("config"), environ, overrides)
    except SettingsError as error:
        return _refuse(error)
    logs.configure(settings.log)
    _raise_file_limit()
    command: Callable[[Settings, argparse.Namespace], Awaitable[int]] = options.run
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_as_coroutine(command(settings, options)))
    except KeyboardInterrupt:
        return _STOPPED
    except SettingsError as error:  # such as a key file that cannot be opened
        return _refuse(error)
    except (
        ChildrenKeepEndingError,
        EmbeddedServerError,
        StoreUnavailable,
        OSError,
    ) as error:
        reason = str(error) or "the database does not answer"
        print(f"Cannot start: {reason}", file=sys.stderr)
        return 1


def _refuse(error: SettingsError) -> int:
    print("The settings are wrong:", *error.faults, sep="\n  ", file=sys.stderr)
    return _BAD_SETTINGS


async def _as_coroutine(awaitable: Awaitable[int]) -> int:
    return await awaitable


async def _serve(settings: Settings, options: argparse.Namespace) -> int:
    inherited = Inherited.of(options.inherited) if options.inherited else None
    count = options.processes or len(os.sched_getaffinity(0))
    if inherited is None and count > 1:
        return await _serve_many(settings, count)
    async with open_server(settings, sockets=inherited.sockets if inherited else ()) as server:
        _log.info("listening", host=settings.http.host, port=server.port)
        _spare_the_collector()
        await _until_signal(server, settings, inherited)
    return 0


def _raise_file_limit() -> None:
    """As many descriptors as the system allows: each socket is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _spare_the_collector() -> None:
    """Look less often for cycles, and never at what lives as long as the process.

    Thousands of idle sockets make a full collection a stall of tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


async def _serve_many(settings: Settings, count: int) -> int:
    """Keep ``count`` processes that serve; they share the database and hear each other."""
    if not settings.bus.redis_url:
        _say("More than one process needs bus.redis_url: without it they do not hear each other.")
        return _BAD_SETTINGS
    groups = bind_group(settings.http.host, settings.http.port, count)
    environment = dict(os.environ)
    async with AsyncExitStack() as around:
        uri = await around.enter_async_context(database_uri(settings.database))
        if not settings.database.uri:
            environment[f"{PREFIX}DATABASE__URI"] = uri
        folder = around.enter_context(TemporaryDirectory(prefix="pandityatra-metrics-"))
        environment[SHARED_FOLDER] = folder
        # The same command again, by which this process was started.
        group = ProcessGroup(
            [sys.executable, *sys.orig_argv[1:]],
            environment,
            groups,
            settings.http.drain_seconds,
            on_end=partial(mark_process_dead, path=folder),
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, group.stop)
        loop.add_signal_handler(signal.SIGHUP, group.roll)
        port = groups[0][0].getsockname()[1]
        _log.info("keeping", processes=count, host=settings.http.host, port=port)
        await group.run()
    return 0


async def _demo(settings: Settings, options: argparse.Namespace) -> int:
    from server import demo

    async with AsyncExitStack() as around:
        payments = "Payments: only what needs no gateway"
        if options.sandbox:
            settings, url = await around.enter_async_context(demo.payment_sandbox(settings))
            payments = f"Payments, without real money: {url}"
        # Taken first, so that a port in use is told at once. The server begins when the town is
        # there: its duties would remind and pay among what is half written.
        sockets = netutil.bind_sockets(settings.http.port, settings.http.host, backlog=1024)
        uri = await around.enter_async_context(database_uri(settings.database))
        settings = replace(settings, database=replace(settings.database, uri=uri))
        async with open_store(settings.database, uri) as store:
            if await store.is_empty():
                await prepare_database(store)
                await demo.seed(store, seed=demo.DEFAULT_SEED, show_progress=True)
        server = await around.enter_async_context(open_server(settings, sockets=sockets))
        address = f"http://{settings.http.host}:{server.port}/"
        _say(f"PanditYatra is ready: {address}", *demo.sign_ins(), payments)
        if sys.stdout.isatty() and os.environ.get("DISPLAY"):
            webbrowser.open(address)
        recommendations = server.services.recommendations

        async def on_published() -> None:
            await recommendations.take_up_model()
            version = recommendations.model_state.version
            _say(f"Recommendations now come from a model trained on the demo: {version}")

        async with AsyncExitStack() as beside:
            if demo.needs_model(settings):
                await beside.enter_async_context(demo.first_model(settings, on_published))
            await _until_signal(server, settings)
    return 0


async def _sandbox(settings: Settings, options: argparse.Namespace) -> int:
    # A program of its own: no other command needs it.
    from server.sandbox import app

    await app.run(options)
    return 0


async def _until_signal(
    server: RunningServer, settings: Settings, inherited: Inherited | None = None
) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain; a second signal ends at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(_STOPPED)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    if inherited is not None:
        inherited.say_ready()
    await run_until_stopped(server, stop, settings.http.drain_seconds)


async def _seed(settings: Settings, options: argparse.Namespace) -> int:
    from server import demo

    if settings.is_production:
        _say("The demo accounts have a public password: they are not for production.")
        return 1
    async with (
        database_uri(settings.database) as uri,
        open_store(settings.database, uri) as store,
    ):
        if options.reset:
            await store.drop()
        elif not await store.is_empty():
            _say("The database is not empty. --reset deletes everything in it first.")
            return 1
        await prepare_database(store)
        chosen = demo.DEFAULT_SEED if options.seed is None else options.seed
        await demo.seed(store, seed=chosen, show_progress=True)
    _say(*demo.sign_ins())
    return 0


async def _check(settings: Settings, options: argparse.Namespace) -> int:
    async with (
        database_uri(settings.database) as uri,
        open_store(settings.database, uri) as store,
    ):
        await store.ping()
        await prepare_database(store)
    if options.show_config:
        _say(msgspec.json.format(msgspec.json.encode(shown(settings)), indent=2).decode())
    _say("Settings, catalogue and database are in order.")
    return 0


async def _create_admin(settings: Settings, options: argparse.Namespace) -> int:
    phone = normalise_phone(options.phone)
    if phone is None:
        _say("The phone number must be a Nepali mobile number: 10 digits beginning with 97 or 98.")
        return 1
    password = os.environ.pop("ADMIN_PASSWORD", "") or getpass.getpass("Password: ")
    async with open_server(settings) as server:
        try:
            user = await server.services.accounts.create_admin(options.name, phone, password)
        except AlreadyExists:
            _say("There is already an account with this phone number.")
            return 1
    _say(f"Admin {user.full_name} can sign in with {phone}.")
    return 0


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= _MAX_PROCESSES:
        raise ValueError
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pandityatra", description="The PanditYatra server.")
    commands = parser.add_subparsers(dest="command", required=True)

    serve = commands.add_parser("serve", help="serve the site")
    serve.add_argument("--port", type=int)
    serve.add_argument(
        "--processes",
        type=_count,
        default=1,
        help="how many serve, behind one port; 0: one for each core; needs bus.redis_url. "
        "SIGHUP replaces them one after the other",
    )
    # What the parent of several gives to each of them.
    serve.add_argument("--inherited", default="", help=argparse.SUPPRESS)
    serve.set_defaults(run=_serve)

    demo_command = commands.add_parser("demo", help="serve with an embedded database and demo data")
    demo_command.add_argument("--port", type=int)
    demo_command.add_argument(
        "--no-sandbox",
        dest="sandbox",
        action="store_false",
        help="without the stand-ins of the payment gateways",
    )
    demo_command.set_defaults(run=_demo)

    sandbox = commands.add_parser(
        "sandbox", help="stand-ins of the payment gateways on this machine, without real money"
    )
    add_sandbox_arguments(sandbox)
    sandbox.set_defaults(run=_sandbox)

    seed = commands.add_parser("seed", help="fill an empty database with a believable town")
    seed.add_argument("--seed", type=int, help="of the random numbers that make the town")
    seed.add_argument("--reset", action="store_true", help="delete everything in it first")
    seed.set_defaults(run=_seed)

    check = commands.add_parser("check", help="check settings, catalogue and database")
    check.add_argument("--show-config", action="store_true", help="print the settings")
    check.set_defaults(run=_check)

    admin = commands.add_parser("create-admin", help="make an administrator")
    admin.add_argument("--phone", required=True)
    admin.add_argument("--name", required=True)
    admin.set_defaults(run=_create_admin)
    return parser


if __name__ == "__main__":
    sys.exit(main())
