"""The sender of one-time codes that the settings name."""

from __future__ import annotations

import importlib
import inspect

from server.domain.ports.accounts import CodeSender
from server.mailer.console import ConsoleCodeSender
from server.settings import CONSOLE, NO_CODES, Settings, SettingsError

_KEY = "auth.code_sender"


def choose_code_sender(settings: Settings) -> CodeSender | None:
    """Make the sender that ``auth.code_sender`` names; None if no codes are sent.

    Besides ``console`` and ``off`` that is ``package.module:factory``: a callable that takes
    nothing, or the settings, and gives a ``CodeSender``.

    Raises
    ------
    SettingsError
        If there is no such factory, or if what it gives is no sender.
    """
    chosen = settings.auth.code_sender
    if chosen == NO_CODES:
        return None
    if chosen == CONSOLE:
        return ConsoleCodeSender()
    module_name, _, name = chosen.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise SettingsError([f"{_KEY}: {error}"]) from error
    if not callable(factory):
        raise SettingsError([f"{_KEY}: {chosen} cannot be called"])
    sender = factory(settings) if inspect.signature(factory).parameters else factory()
    if not inspect.iscoroutinefunction(getattr(sender, "send", None)):
        raise SettingsError([f"{_KEY}: what {chosen} gives has no coroutine method send"])
    found: CodeSender = sender
    return found
