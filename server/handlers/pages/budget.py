"""What pages share that show what a budget buys of a booking's samagri."""

from __future__ import annotations

from typing import Final

from server.domain.errors import FieldFault, Invalid
from server.domain.money import minor_units
from server.domain.samagri import BudgetPlan
from server.handlers.page_base import Form, decode_known
from server.handlers.pages.base import Page
from server.schemas.bookings import BudgetRequest

_DIGITS: Final = str.maketrans("०१२३४५६७८९", "0123456789")


def paisa_of(rupees: str) -> int:
    """Paisa of a budget typed in rupees. Raises ``Invalid`` for what is none."""
    try:
        paisa = minor_units(rupees.translate(_DIGITS))
    except ValueError:
        raise Invalid(FieldFault("budget", "amount" if rupees else "required")) from None
    return decode_known({"budget": str(paisa)}, BudgetRequest).budget


class BudgetPage(Page):
    """A page that may have a budget in its address."""

    async def plan(self, booking_id: str, form: Form) -> tuple[BudgetPlan | None, Form]:
        """What the budget of the form would buy; the form names what is wrong with it."""
        rupees = form.values.get("budget", "")
        if form.problem is not None or not rupees:
            return None, form
        try:
            budget = paisa_of(rupees)
        except Invalid as error:
            problem = self.describe_error(422, error)
            self.set_status(problem.status)
            return None, Form(self._query(), problem)
        return await self.services.bookings.plan_budget(self.person, booking_id, budget), form
