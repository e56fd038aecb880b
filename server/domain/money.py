"""Money and quantities, exact.

Amounts are integers in the currency's minor unit (paisa, cent). Quantities are
:class:`decimal.Decimal`. Between an amount and its text in rupees or dollars there is one way
here, and it never rounds.
"""

from __future__ import annotations

import enum
import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

NPR: Final = "NPR"
USD: Final = "USD"
DECIMALS: Final = {NPR: 2, USD: 2}
"""Decimals of every currency that we take."""
MAX_AMOUNT: Final = 10**13
"""No amount of ours comes near it: what is larger is refused, not stored."""
_BASIS_POINTS: Final = 10_000
# 27 digits at most: Decimal computes 28 exactly.
_PLAIN: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,12})?")
# Thousands (1,234,567.00) or, as in Nepal, hundreds of thousands (12,34,567.00).
_GROUPED: Final = re.compile(r"[0-9]{1,3}(?:,[0-9]{2,3}){0,5},[0-9]{3}(?:\.[0-9]{1,12})?")


class Unit(enum.StrEnum):
    """Units in which samagri is priced and listed."""

    KG = "kg"
    G = "g"
    L = "l"
    ML = "ml"
    PIECE = "piece"
    PACKET = "packet"
    BUNCH = "bunch"
    GARLAND = "garland"
    ROLL = "roll"
    BUNDLE = "bundle"
    BOTTLE = "bottle"
    SET = "set"

    @property
    def dimension(self) -> str:
        """What the unit measures: units convert into each other within one dimension only."""
        return {"kg": "mass", "g": "mass", "l": "volume", "ml": "volume"}.get(
            self.value, self.value
        )

    @property
    def is_counted(self) -> bool:
        """Whether only whole numbers of it make sense."""
        return self.dimension not in ("mass", "volume")


_FACTOR: Final = {Unit.KG: Decimal(1000), Unit.L: Decimal(1000)}
MAX_QUANTITY: Final = Decimal(10_000)


def in_rupees(paisa: int) -> int | str:
    """An amount for a sentence about rupees: whole where it can be, else with its paisa."""
    rupees, rest = divmod(paisa, 100)
    return f"{rupees}.{rest:02d}" if rest else rupees


def convert_quantity(quantity: Decimal, unit: Unit, to: Unit) -> Decimal:
    """Express ``quantity`` of ``unit`` in ``to``.

    Raises
    ------
    ValueError
        If the two units measure different things (a garland is no gram).
    """
    if unit.dimension != to.dimension:
        raise ValueError(f"{unit} does not convert to {to}")
    return quantity * _FACTOR.get(unit, Decimal(1)) / _FACTOR.get(to, Decimal(1))


def line_price(
    quantity: Decimal, unit: Unit, *, base_price: int, base_quantity: int, base_unit: Unit
) -> int:
    """Price in paisa of a quantity, when ``base_quantity`` of ``base_unit`` costs ``base_price``.

    Rounded half up to a paisa once, at the end: 100 g at Rs. 500 a kg is Rs. 50.
    """
    in_base = convert_quantity(quantity, unit, base_unit)
    exact = in_base * base_price / base_quantity
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def share(amount: int, basis_points: int) -> int:
    """``basis_points`` ten-thousandths of ``amount`` paisa, rounded half up."""
    exact = Decimal(amount) * basis_points / _BASIS_POINTS
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def minor_units(text: str, currency: str = NPR) -> int:
    """Read an amount in rupees or dollars: ``1500.5``, ``1,500.50`` and ``1500.5000`` are 150050.

    Raises
    ------
    ValueError
        If it is not a plain decimal number, if it is finer than the currency's smallest coin
        (nothing is rounded), if it is beyond :data:`MAX_AMOUNT`, or for an unknown currency.
    """
    if currency not in DECIMALS:
        raise ValueError("unknown currency")
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if not _PLAIN.fullmatch(text):
        raise ValueError("not an amount")
    exact = Decimal(text).scaleb(DECIMALS[currency])
    amount = int(exact)
    if amount != exact:
        raise ValueError("finer than the smallest coin")
    if amount > MAX_AMOUNT:
        raise ValueError("beyond all amounts")
    return amount


def whole_minor_units(text: str) -> int:
    """Read an amount that is already in minor units: ``150050``.

    Raises
    ------
    ValueError
        If it is not a plain whole number, or beyond :data:`MAX_AMOUNT`.
    """
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) > MAX_AMOUNT:
        raise ValueError("not an amount in minor units")
    return int(text)


def full_text(amount: int, currency: str = NPR) -> str:
    """Write minor units as rupees or dollars with all decimals: 150000 is ``1500.00``."""
    if amount < 0:
        raise ValueError("amounts are never negative")
    decimals = DECIMALS[currency]
    return f"{Decimal(amount).scaleb(-decimals):.{decimals}f}"


def short_text(amount: int, currency: str = NPR) -> str:
    """Write minor units, without a fraction if there is none: ``1500``, but ``1500.50``."""
    return full_text(amount, currency).removesuffix("." + "0" * DECIMALS[currency])
