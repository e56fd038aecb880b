"""The demo: a believable town of Nepal, with two years behind it, for trying out the product."""

from __future__ import annotations

from server.demo.payments import payment_sandbox
from server.demo.seed import DEFAULT_SEED, seed, sign_ins
from server.demo.training import first_model, needs_model

__all__ = [
    "DEFAULT_SEED",
    "first_model",
    "needs_model",
    "payment_sandbox",
    "seed",
    "sign_ins",
]
