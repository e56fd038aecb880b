"""Why a payment has failed, in words; what a provider calls it has one sentence for all."""

from __future__ import annotations

from typing import Final

from server.domain.texts import N_

_REASONS: Final = {
    "cancelled": N_("The payment was cancelled."),
    "expired": N_("The time to pay ran out."),
    "ran-out": N_("The time to pay ran out."),
    "superseded": N_("Another way to pay was chosen."),
    "failed": N_("The payment did not go through."),
    "not-started": N_("The payment could not be begun."),
    "gateway-unavailable": N_("The payment service did not answer."),
    "insufficient-balance": N_("The wallet does not hold so much."),
    "not-taken": N_("Nothing was taken from the wallet."),
    "refunded": N_("The payment service has given the money back."),
}
_OTHER: Final = N_("The payment service did not accept the payment.")


def reason_text(code: str) -> str:
    """The sentence for a reason, to be translated; empty when there is none."""
    return _REASONS.get(code, _OTHER) if code else ""
