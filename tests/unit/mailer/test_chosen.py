"""The sender that the settings name."""

from __future__ import annotations

import dataclasses

import pytest

from server.mailer.chosen import choose_code_sender
from server.mailer.console import ConsoleCodeSender
from server.settings import Settings, SettingsError


class Provider:
    """Stands where a module of an SMS provider stands."""

    def __init__(self, environment: str = "") -> None:
        self.environment = environment

    async def send(self, phone_number: str, code: str, language: str) -> None:
        """Take it."""


def plain() -> Provider:
    return Provider()


def knowing(settings: Settings) -> Provider:
    return Provider(settings.environment)


def no_sender() -> object:
    return object()


constant = 7


def named(sender: str) -> Settings:
    settings = Settings()
    return dataclasses.replace(
        settings, auth=dataclasses.replace(settings.auth, code_sender=sender)
    )


def test_the_console_is_for_those_who_name_nothing_and_off_sends_none() -> None:
    assert isinstance(choose_code_sender(Settings()), ConsoleCodeSender)
    assert choose_code_sender(named("off")) is None


def test_a_factory_is_called_with_the_settings_if_it_takes_them() -> None:
    for factory, environment in ((plain, ""), (knowing, Settings().environment)):
        sender = choose_code_sender(named(f"{__name__}:{factory.__name__}"))
        assert type(sender).__name__ == "Provider"
        assert getattr(sender, "environment", None) == environment


@pytest.mark.parametrize(
    "name", ["no_such_package.sms:make", "json:no_such_name", ":constant", ":no_sender"]
)
def test_what_is_no_factory_of_a_sender_is_named(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        choose_code_sender(named(f"{__name__}{name}" if name.startswith(":") else name))
    assert caught.value.faults[0].startswith("auth.code_sender:")
