"""From instants to latencies: which part of a payment belongs to whom.

All instants are microseconds of one monotonic clock that every process of the machine shares. A payment on the phone is::

    pay pressed --> backend --> prepay arrives at the gateway ..gateway.. --> sheet on the phone ..human.. confirmed
    ..gateway.. callback leaves the gateway --> backend --> PAID on the phone --> invoice issued on the phone

"Pressed" is the *intended* instant of the schedule: what the load generator or a slow answer before it delays is counted in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scenarios.loadgen.payments import PaymentSample
from scenarios.world.instants import PaymentInstants

__all__ = ["LatencySegments", "segments"]


@dataclass(slots=True)
class LatencySegments:
    """Latencies in microseconds, one entry a payment that got so far.

    Attributes:
        payment_controlled: (pressed to prepay at the gateway) + (callback leaves to PAID on the phone): our own work,
            networks of the machine, the balancer and the phone's reading included.
        payment_end_to_end: pressed to PAID, less what the human took; the gateway's share is in it.
        invoice_answered: PAID to "issuing" or "issued" on the phone.
        invoice_issued: PAID to "issued" on the phone.
        unmatched: payments that were PAID, but of which the gateway saw no prepay or no callback (none is expected).
    """

    payment_controlled: list[int] = field(default_factory=list)
    payment_end_to_end: list[int] = field(default_factory=list)
    invoice_answered: list[int] = field(default_factory=list)
    invoice_issued: list[int] = field(default_factory=list)
    unmatched: int = 0

    def as_record(self) -> dict[str, tuple[int, ...]]:
        """For `RunRecord.latencies_us`."""
        names = (
            "payment_controlled",
            "payment_end_to_end",
            "invoice_answered",
            "invoice_issued",
        )
        return {name: tuple(getattr(self, name)) for name in names}


def segments(
    samples: Iterable[PaymentSample], gateway: Mapping[str, PaymentInstants], *, cut_off_us: int
) -> LatencySegments:
    """Split each payment.

    A payment that never became PAID, and an invoice that was never answered, is no sample that could be left out: it enters as
    having taken until ``cut_off_us``, when the run stopped waiting for it. A slow system can so only look better than it is by
    what lies beyond the cut.

    Args:
        samples: what the phones saw.
        gateway: instants at the gateway's door by out_trade_no.
        cut_off_us: when the run stopped waiting.
    """
    found = LatencySegments()
    for sample in samples:
        _payment(sample, gateway, cut_off_us, found)
        if sample.paid_us is not None:
            _invoice(sample, sample.paid_us, cut_off_us, found)
    return found


def _payment(
    sample: PaymentSample, gateway: Mapping[str, PaymentInstants], cut_off_us: int, found: LatencySegments
) -> None:
    human_us = 0
    if sample.pay_replied_us is not None and sample.confirmed_us is not None:
        human_us = sample.confirmed_us - sample.pay_replied_us
    if sample.paid_us is None:
        lost_us = max(0, cut_off_us - sample.intended_us)
        found.payment_end_to_end.append(lost_us)
        found.payment_controlled.append(lost_us)
        return
    found.payment_end_to_end.append(max(0, sample.paid_us - sample.intended_us - human_us))
    instants = gateway.get(sample.out_trade_no or "")
    if instants is None or instants.prepay_arrived_us is None or instants.callback_left_us is None:
        found.unmatched += 1
        return
    request_us = instants.prepay_arrived_us - sample.intended_us
    # PAID by a query can overtake a callback that was late; then the way back took nothing of ours.
    back_us = max(0, sample.paid_us - instants.callback_left_us)
    found.payment_controlled.append(max(0, request_us) + back_us)


def _invoice(sample: PaymentSample, paid_us: int, cut_off_us: int, found: LatencySegments) -> None:
    never_us = max(0, cut_off_us - paid_us)
    found.invoice_answered.append(never_us if sample.answered_us is None else sample.answered_us - paid_us)
    found.invoice_issued.append(never_us if sample.issued_us is None else sample.issued_us - paid_us)
