"""The registry of checks: slug, keyword, explanation, limits. The judging itself is in `scenarios.oracles`.

Slugs never change and are never positional: evidence folders and baselines refer to them.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

__all__ = ["REGISTRY", "CheckInfo", "UnknownCheckError", "explain", "suggest"]


class UnknownCheckError(LookupError):
    """A check was asked for that does not exist; the message says what is near."""


@dataclass(frozen=True, slots=True)
class CheckInfo:
    """What a check demands.

    Attributes:
        slug: its name for ever.
        keyword: MUST, SHOULD, or MAY for what is shown and not judged.
        title: one line for a table.
        explanation: one paragraph for a person.
        limits: named limits with their defaults; the unit stands in the name.
    """

    slug: str
    keyword: Literal["MUST", "SHOULD", "MAY"]
    title: str
    explanation: str
    limits: Mapping[str, int] = field(default_factory=dict)


_CHECKS = (
    CheckInfo(
        "conservation.litres",
        "MUST",
        "Litres at the meter = litres sold = litres out of the tank",
        "Adds up what the dispensers delivered, what the site's journal recorded, what the ledger sold and what the "
        "tanks gave out, each counted by its own part of the system. All four must be equal to the millilitre: for "
        "the station, for each nozzle up to the ledger, and for each tank.",
    ),
    CheckInfo(
        "conservation.money",
        "MUST",
        "Money authorised = captured + reversed + refunded",
        "For each payment, what was authorised is either kept, reversed before capture or refunded after it; nothing "
        "is left over. The gateway's own ledger must tell the same for each out_trade_no, and each order what its payments "
        "tell. What is kept for a sale, points, coupons and balance included, equals its amount: no more (billed twice) and, once "
        "paid, no less.",
    ),
    CheckInfo(
        "money.reconciled",
        "MUST",
        "Every bill compared, what differs found, both sides hold the same",
        "For each day whose bills could be had within_us before the end: every movement in the gateway's own ledger was compared "
        "in the trade bill and in the fund bill, each as often as it stands there. Of the differences, those that the "
        "scenario planted (a row missing, foreign, off by a fen, in the next day's bill) are all found and no others. At the "
        "end gateway and ledger hold the same for each number. Where the backend does not reconcile, NOT_APPLICABLE.",
        {"within_us": 3_600_000_000},
    ),
    CheckInfo(
        "money.tender-adds-up",
        "MUST",
        "Points, coupon, balance and channel make exactly the sum",
        "Of each order that was paid in part with points, a coupon or balance, the parts and what the gateway took make what it "
        "came to; each part stands in the ledger, and is free again when its payment was given up. No driver spends more than "
        "was given, and no coupon pays for an order that is too small for it. Where nobody holds any, NOT_APPLICABLE.",
    ),
    CheckInfo(
        "money.debits-agreed",
        "MUST",
        "Each debit by contract was agreed to and asked for",
        "Each debit in the gateway's ledger is of a payer who had signed before, within the contract's limit, for an order whose phone "
        "asked for it, for exactly its sum, and no order is debited twice. Where nobody has signed, NOT_APPLICABLE.",
    ),
    CheckInfo(
        "sale.exactly-once",
        "MUST",
        "Each delivery gives exactly one ledger sale",
        "Each physical delivery (station, nozzle, sequence number) appears once in the site's journal and once in "
        "the ledger with the same litres, price and money; and the ledger holds no sale that no dispenser delivered. "
        "Correction rows name the row they correct and do not count.",
    ),
    CheckInfo(
        "invoice.one-per-sale",
        "MUST",
        "At most one valid invoice a sale, for its exact amount",
        "A sale has no invoice or one valid blue invoice. A further one is allowed only after a red one has "
        "cancelled the one before. The invoice's amount equals what was paid for the sale in money (points and coupons are none), "
        "and invoice numbers are unique.",
    ),
    CheckInfo(
        "order.concluded",
        "MUST",
        "Every order comes to its end, and is never closed and charged",
        "An order ends as paid (when it was fuelled first), completed, refunded, cancelled or closed; none rests half done "
        "longer than the limit after its last change and the last fault. Of a cancelled or closed order no money is kept, "
        "never is more refunded than was paid, and each buyer who paid money and wanted an invoice has an application for it.",
        {"rest_us": 3_600_000_000},
    ),
    CheckInfo(
        "totals.monotone",
        "MUST",
        "Totalisers never go backwards and miss nothing",
        "For each nozzle the end totals of consecutive deliveries rise by exactly the litres and the money of the "
        "delivery between them. A gap is a lost delivery, a step back a corrupted total. The end totals that journal and "
        "ledger keep with each sale are the pump's own.",
    ),
    CheckInfo(
        "live.monotone",
        "MUST",
        "Live amounts only grow, and end at the sale",
        "The litres and the amount that the phone shows during a delivery never fall, and the last ones shown are "
        "those of the sale.",
    ),
    CheckInfo(
        "receipt.equals-ledger",
        "MUST",
        "Receipts tell what the ledger tells",
        "Each complete receipt that left the printer carries the figures of its ledger sale: litres, amount, price, "
        "product, nozzle and time; what was paid is the amount less the discount. A sale has at most one receipt that is "
        "not marked as a copy.",
    ),
    CheckInfo(
        "receipt.one-original",
        "MUST",
        "One original a sale, copies marked and numbered",
        "Of all paper that came out, torn and incomplete pieces included, a sale has at most one receipt without the mark "
        "of a copy, and the copies are numbered upwards. That holds through paper that ends, power that goes and a controller "
        "that is killed.",
    ),
    CheckInfo(
        "receipt.each-printed",
        "MUST",
        "Each settled sale has a whole receipt",
        "A sale that was settled has a whole receipt on paper, original or marked copy, within the limit after it was settled or "
        "after the last fault healed, whichever is later. A receipt that the station's full queue refused was refused aloud, "
        "to the backend: these are counted apart.",
        {"settle_us": 600_000_000},
    ),
    CheckInfo(
        "tank.litres-by-gauge",
        "MUST",
        "Litres gone by gauge = litres sold, within the gauge's declared error",
        "For each tank (tanks joined by a siphon count as one): what its gauge says was there at the first reading, plus "
        "what tankers brought, less what it says is there at the last one, must be what was sold out of it, known leaks and "
        "shrinkage included. The gauge's noise, resolution and drift are the only difference allowed.",
    ),
    CheckInfo(
        "tank.deliveries-booked",
        "MUST",
        "Each tanker is booked once, within 1 %",
        "What road tankers discharged while pumps sold must stand in the stock book exactly once a delivery, pauses "
        "included, with a volume that is off by no more than the limit; and the book holds no delivery that nobody made. A "
        "delivery that ended less than the quiet time and three minutes before the run did is not judged.",
        {"off_per_mille": 10, "quiet_us": 600_000_000},
    ),
    CheckInfo(
        "shift.readings-chain",
        "MUST",
        "End reading of a shift = start reading of the next",
        "At each handover every nozzle's totalisers are read. What a shift ends with is what the next one starts with, for "
        "each nozzle, and it is what the dispenser itself had counted after the delivery that was its last by then.",
    ),
    CheckInfo(
        "shift.sales-add-up",
        "MUST",
        "Each sale is in one shift, and the shifts add up to the day",
        "A delivery belongs to the shift in which it ended, also when a handover comes while fuel flows: before its end it has "
        "neither sale nor total. What is found later (a pump that was away tells no time) is in the shift in which it was found, "
        "flagged; what comes late but tells its time is a dated correction of its own shift. Each report is the sum of its sales "
        "by nozzle, grade and tender, money taken is what the ledger took, and cash is off by what was put in. late_us is how "
        "long before a shift a delivery may have ended that the site heard of within it; cash booked within blind_us of a "
        "handover is not judged.",
        {"late_us": 10_000_000, "blind_us": 30_000_000},
    ),
    CheckInfo(
        "shift.litres-agree",
        "MUST",
        "Totalisers move by what was sold, in each shift",
        "For each nozzle and shift the difference of its totaliser readings is the litres and the money of the shift's sales, test "
        "deliveries included, and the report shows any difference. A pump that was never read is flagged, not guessed.",
    ),
    CheckInfo(
        "test.not-sold",
        "MUST",
        "Test deliveries are nobody's sale, and their litres are back in the tank",
        "Fuel that goes into the proving can and back into its tank counts in the totalisers and in nothing else: no payment, no "
        "invoice, no receipt. The litres that came back into the tanks stand in the stock book as returned.",
    ),
    CheckInfo(
        "sale.drive-off-flagged",
        "MUST",
        "A driver who leaves without paying leaves an unpaid sale that is told at the handover",
        "Each delivery whose driver drove off stands in the ledger with its litres and its amount, unpaid and never deleted. The "
        "report of the shift it was sold in lists it as unpaid, and as a drive-off if it was unpaid for the backend's own limit when "
        "the shift was closed; nothing that was paid by then is called one.",
    ),
    CheckInfo(
        "voice.exactly-once",
        "MUST",
        "Each verified payment is said aloud once, with its amount and nozzle",
        "What the loudspeaker said is understood word by word and compared with the payments of backend and gateway: each once, "
        "never before its proof, nothing that no payment is behind. What was dropped because it had grown old must stand in "
        "the backend's record; what a fault of the loudspeaker itself spoilt is counted and set aside.",
    ),
    CheckInfo(
        "voice.in-time",
        "MUST",
        "Announcements in order, within two seconds, none that is old",
        "Each begins within the limit of its proof, or of the end of the announcement before it; they come in the order of the "
        "proofs; none is said that is older than the limit. Announcements that met a fault are set aside.",
        {"within_us": 2_000_000, "oldest_us": 30_000_000},
    ),
    CheckInfo(
        "voice.error-rate",
        "MUST",
        "Announcements that are missing, doubled or wrong",
        "The share of announcements with an error, whoever is to blame, by its exact upper bound (Clopper and Pearson) at 95 % "
        "confidence. Fewer than 2,995 announcements prove nothing about one in a thousand: then the check is INCONCLUSIVE.",
        {"errors_per_million": 1_000},
    ),
    CheckInfo(
        "liveness.settled",
        "MUST",
        "After the faults heal, everything settles in time",
        "Safety must hold throughout; liveness is owed once the faults have healed. Each delivery must be in the "
        "ledger and paid, and each requested invoice issued, by the time that no fault has been active for the limit on "
        "end since the delivery. Sales whose driver left without paying are counted and shown apart.",
        {"settle_us": 120_000_000},
    ),
    CheckInfo(
        "faults.landed",
        "MUST",
        "Each planned fault hit something",
        "A fault that never touched a burst, a request or a device proved nothing. If one did not land, the run is "
        "INCONCLUSIVE, not PASS.",
    ),
    CheckInfo(
        "operations.succeeded",
        "MUST",
        "Each kind of operation succeeded at least once",
        "A run in which no payment, no invoice or no receipt ever succeeded cannot show that these are safe. Each "
        "kind that was tried must have succeeded once; a run that tried nothing is empty and INCONCLUSIVE.",
    ),
    CheckInfo(
        "latency.payment-controlled",
        "MUST",
        "Payment, controlled segment",
        "Our own work only: from the pay request reaching the backend to its call to the gateway, plus from the "
        "gateway's callback reaching the backend to PAID being visible to phone and pump. Gateway and human time are "
        "not in it. p99, and p99.9 as a guard against frozen payments, each by its upper bound at 95 % confidence.",
        {"p99_us": 300_000, "p999_us": 1_000_000},
    ),
    CheckInfo(
        "latency.payment-end-to-end",
        "MUST",
        "Payment, end to end with the declared gateway",
        "Payment with a gateway of declared latency (log-normal, median 80 ms, p99 200 ms), human time taken out. "
        "The gateway's jitter dominates the tail, hence p95 and p99.",
        {"p95_us": 300_000, "p99_us": 500_000},
    ),
    CheckInfo(
        "latency.payment-human",
        "MAY",
        "Payment, human time (shown, never judged)",
        "From the pay sheet on the phone to the payer's confirmation: password or face. Shown apart.",
    ),
    CheckInfo(
        "latency.invoice-issued",
        "MUST",
        "PAID to invoice issued and pushed",
        "From PAID to the invoice being issued and pushed to the phone, with the reference tax platform (median "
        "600 ms, p99 1.8 s).",
        {"p99_us": 3_000_000},
    ),
    CheckInfo(
        "latency.invoice-answered",
        "MUST",
        'PAID to an answer: "issued" or "issuing"',
        "Every single payer is answered in time, even while the tax platform stalls. One late answer fails.",
        {"maximum_us": 3_000_000},
    ),
    CheckInfo(
        "latency.live-amount",
        "MUST",
        "Pump value to phone",
        "Age of the live amount when the phone receives it.",
        {"p95_us": 1_000_000, "p99_us": 2_000_000},
    ),
    CheckInfo(
        "failover.gap",
        "MUST",
        "From a kill to the first acknowledged write",
        "One backend instance is killed in mid-load; the gap lasts until a write that arrived after the kill is "
        "acknowledged. The longest gap of all trials is judged: a single long outage is a failure however rare.",
        {"maximum_us": 15_000_000, "trials": 20},
    ),
    CheckInfo(
        "failover.no-lost-write",
        "MUST",
        "No acknowledged write is lost",
        "Each write that was acknowledged before, during or after a kill is found in the ledger afterwards.",
    ),
    CheckInfo(
        "replications.safe",
        "MUST",
        "Every further run under another seed is as safe",
        "The scenario is run again under seeds derived from the run's. Their latencies are pooled with the first one's, so "
        "that percentiles have enough samples; and each of them must hold the same conservation and exactly-once "
        "checks. One failure in any of them fails.",
    ),
    CheckInfo(
        "harness.idle-polls",
        "MUST",
        "Leaving idle polls out changes nothing",
        "The scenario is run with every poll frame and once more without the polls that change nothing. Sales, orders, "
        "payments, invoices, receipts and all their times must be equal; if they are not, the harness is broken.",
    ),
    CheckInfo(
        "harness.open-loop",
        "MUST",
        "The harness kept its own schedule",
        "Load is timed from the intended start. If the harness itself starts late, or drops arrivals, latencies "
        "say nothing about the system under test, and the run is INCONCLUSIVE.",
        {"lag_p99_us": 10_000},
    ),
)

REGISTRY: Mapping[str, CheckInfo] = MappingProxyType({check.slug: check for check in _CHECKS})
"""All checks by slug, in the order of the report."""


def suggest(wrong: str, known: Iterable[str]) -> str:
    """``"; did you mean …?"`` for a misspelt name, or an empty string."""
    near = difflib.get_close_matches(wrong, sorted(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def explain(slug: str) -> str:
    """The explanation of a check, wrapped for a terminal.

    Raises:
        UnknownCheckError: no such check; the message suggests near ones.
    """
    check = REGISTRY.get(slug)
    if check is None:
        raise UnknownCheckError(f"no such check: {slug!r}{suggest(slug, REGISTRY)}")
    lines = [f"{check.slug} ({check.keyword})", check.title, "", *textwrap.wrap(check.explanation, 88)]
    if check.limits:
        lines += ["", "Limits (a scenario may set others):"]
        lines += [f"  {name} = {value:,}" for name, value in check.limits.items()]
    return "\n".join(lines)
