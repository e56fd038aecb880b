"""The sandbox as one program: every stand-in under its prefix, on this machine alone."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tornado import httpserver, netutil, web

from server.sandbox import merchant
from server.sandbox.connectips import ConnectIps
from server.sandbox.control import Control
from server.sandbox.courier import Courier
from server.sandbox.esewa import Esewa
from server.sandbox.imepay import ImePay
from server.sandbox.khalti import Khalti
from server.sandbox.pay_pages import PayPage
from server.sandbox.provider import Provider
from server.sandbox.stripe import Stripe
from server.sandbox.world import Merchant, World

HOST: Final = "127.0.0.1"
_MAX_BODY: Final = 1_000_000
_TICK_SECONDS: Final = 0.5
_PROVIDERS: Final = (Khalti, Esewa, ConnectIps, ImePay, Stripe)


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox that answers at ``url``."""

    url: str
    world: World


@asynccontextmanager
async def open_sandbox(told: Merchant, port: int = 0) -> AsyncIterator[RunningSandbox]:
    """Answer on ``port`` of loopback, a free one for 0, until the context ends.

    Raises
    ------
    OSError
        If the port is taken.
    """
    async with AsyncExitStack() as stack:
        world = World(told)
        courier = Courier(world)
        stack.callback(courier.close)
        sockets = netutil.bind_sockets(port, HOST)
        http = httpserver.HTTPServer(_application(world, courier), max_body_size=_MAX_BODY)
        http.add_sockets(sockets)
        stack.push_async_callback(http.close_all_connections)
        stack.callback(http.stop)
        ticking = asyncio.create_task(_tick(world), name="sandbox-clock")
        stack.push_async_callback(_ended, ticking)
        yield RunningSandbox(f"http://{HOST}:{sockets[0].getsockname()[1]}", world)


async def run(options: argparse.Namespace) -> None:
    """Answer until SIGTERM or Ctrl-C; says where, on standard output.

    ``options`` are those of ``arguments.add_arguments``. Raises ``OSError``.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    told = merchant.merchant_of(options)
    async with open_sandbox(told, options.port) as sandbox:
        if options.write_settings:
            merchant.write_settings(Path(options.write_settings), sandbox.url, told)
        print(f"The payment sandbox is ready: {sandbox.url}/", flush=True)  # noqa: T201
        await stop.wait()


def _application(world: World, courier: Courier) -> web.Application:
    providers: dict[str, Provider] = {
        provider.name: provider(world, courier) for provider in _PROVIDERS
    }
    routes: list[Any] = Control(world, courier, providers).routes()
    for provider in providers.values():
        routes += [(rf"/{provider.name}/pay/([^/]+)", PayPage, {"provider": provider})]
        routes += provider.routes()
    return web.Application(routes, log_function=lambda handler: None)


async def _tick(world: World) -> None:
    """Let happen in time what nobody asks for."""
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        world.run_due()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
