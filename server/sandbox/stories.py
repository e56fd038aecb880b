"""What a provider tells of a payment, with the lies that its faults order.

The only place that lies: the gateways put into their own words whatever story they are given.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from server.sandbox.faults import Fault, Faults
from server.sandbox.payments import Payment, Signature, Status, Story
from server.sandbox.world import World, code

UNKNOWN_WORDS: Final = "Mystified"


def truth(payment: Payment) -> Story:
    """What is so."""
    return Story(
        status=payment.status,
        amount=payment.amount,
        currency=payment.currency,
        reference=payment.reference,
        gateway_id=payment.id,
        transaction_id=payment.transaction_id if payment.status is Status.PAID else "",
        refunded=payment.refunded,
    )


def answer(payment: Payment) -> Story:
    """What the provider's server says when it is asked."""
    story = truth(payment)
    faults = payment.faults
    story = _with_words(story, faults, "answer")
    story = _changed(story, faults, "answer")
    return _in_currency(story, faults, "answer")


def callback(payment: Payment, world: World) -> Story:
    """What comes back through the browser."""
    if fault := payment.faults.get("replay-other"):
        return _of_another(payment, world, fault)
    story, faults = truth(payment), payment.faults
    # Lies of the browser's way alone: a signed webhook is the provider's own word.
    if faults.get("redirect-says-paid") and payment.status is Status.PENDING:
        story = _as(story, Status.PAID)
    if faults.get("redirect-says-failed") and payment.status is Status.PAID:
        story = _as(story, Status.FAILED)
    return _told(story, faults)


def told(payment: Payment) -> Story:
    """What a webhook tells of the payment."""
    return _told(truth(payment), payment.faults)


def _told(story: Story, faults: Faults) -> Story:
    story = _with_words(story, faults, "callback")
    story = _in_currency(story, faults, "callback")
    honest = story
    story = _changed(story, faults, "callback")
    signed = False
    if fault := faults.get("changed-status"):
        lie = Status.CANCELLED if story.status is Status.PAID else Status.PAID
        story, signed = _as(story, lie), bool(fault.values["signed"])
    for name in ("changed-amount", "changed-reference"):
        if fault := faults.get(name):
            signed = signed or bool(fault.values["signed"])
    if story != honest and not signed:
        story = dataclasses.replace(story, signed_as=honest)
    return dataclasses.replace(story, signature=_signature(faults))


def _as(story: Story, status: Status) -> Story:
    number = story.transaction_id or (code(12) if status is Status.PAID else "")
    return dataclasses.replace(
        story, status=status, transaction_id=number if status is Status.PAID else ""
    )


def _applies(fault: Fault | None, where: str) -> bool:
    return fault is not None and fault.values.get("where", where) in (where, "both")


def _with_words(story: Story, faults: Faults, where: str) -> Story:
    fault = faults.get("unknown-status")
    if fault is None or not _applies(fault, where):
        return story
    return dataclasses.replace(story, words=fault.text("value") or UNKNOWN_WORDS)


def _changed(story: Story, faults: Faults, where: str) -> Story:
    fault = faults.get("changed-amount")
    if fault is not None and _applies(fault, where):
        # Ten rupees less where no amount is ordered.
        amount = int(fault.values["value"]) or max(story.amount - 1000, 1)
        story = dataclasses.replace(story, amount=amount)
    fault = faults.get("changed-reference")
    if fault is not None and _applies(fault, where):
        other = fault.text("value") or f"X{code(11)}"
        story = dataclasses.replace(story, reference=other, gateway_id=other)
    return story


def _in_currency(story: Story, faults: Faults, where: str) -> Story:
    fault = faults.get("wrong-currency")
    if fault is None or not _applies(fault, where):
        return story
    return dataclasses.replace(story, currency=fault.text("value").upper())


def _signature(faults: Faults) -> Signature:
    for name, signature in (
        ("wrong-signature", Signature.WRONG),
        ("missing-signature", Signature.MISSING),
        ("reflected-signature", Signature.REFLECTED),
    ):
        if faults.get(name):
            return signature
    return Signature.RIGHT


def _of_another(payment: Payment, world: World, fault: Fault) -> Story:
    """Tell the story of another paid payment; of an invented one where there is none."""
    wanted = fault.text("payment")

    def is_other(each: Payment) -> bool:
        is_wanted = each.id == wanted if wanted else each.status is Status.PAID
        return each is not payment and is_wanted

    other = world.find_by(payment.gateway, is_other)
    if other is not None:
        return truth(other)
    return Story(
        status=Status.PAID,
        amount=payment.amount,
        currency=payment.currency,
        reference=f"X{code(11)}",
        gateway_id=f"X{code(11)}",
        transaction_id=code(12),
    )
