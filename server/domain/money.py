"""Money and quantities, exact.

Amounts are integers in the currency's minor unit (paisa). Quantities are :class:`decimal.Decimal`.
"""

from __future__ import annotations

import enum
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

NPR: Final = "NPR"
_BASIS_POINTS: Final = 10_000


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
