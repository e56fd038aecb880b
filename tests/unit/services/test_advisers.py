"""Who answers a customer: the model, or the rules of an experiment's arm."""

from __future__ import annotations

from typing import Any

import pytest

from server.services.recommendations import Advisers


class Model:
    """A stand-in that knows its rules; nothing is asked of it here."""

    def __init__(self) -> None:
        self.rules = object()


class Models:
    """Has one model."""

    def __init__(self) -> None:
        self.current = Model()


@pytest.mark.parametrize(
    ("arm", "user_id", "by_rules"),
    [
        ("rules", "sita", True),
        ("model", "sita", False),
        ("", "sita", False),
        ("rules", None, False),
        ("rules", "", False),
    ],
)
def test_the_rules_answer_those_of_their_arm(arm: str, user_id: str | None, by_rules: bool) -> None:
    models: Any = Models()
    chosen = Advisers(models, lambda _: arm).of(user_id)
    assert chosen is (models.current.rules if by_rules else models.current)
