"""What answers the station: gateway, tax platform, networks, backend; and the faults that befall them."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from scenarios.model.values import Impossible, Latency, Part, Place, Share
from scenarios.model.voice import Loudspeaker

__all__ = [
    "BackendKill",
    "BackendSetup",
    "DispenserFault",
    "Fault",
    "GatewayFault",
    "HttpFault",
    "LoudspeakerFault",
    "NetworkLegs",
    "PrinterFault",
    "Repeat",
    "Services",
    "Swarm",
    "TaxFault",
    "TaxKind",
    "WireFault",
    "WireKind",
]

_Second = Annotated[int, Field(ge=0, le=31 * 86_400)]
_Host = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]


class NetworkLegs(Part):
    """One-way delays of the networks between the parts."""

    station_backend: Latency
    phone_backend: Latency
    backend_gateway: Latency
    backend_tax: Latency


class Services(Part):
    """Latency profiles. The reference profiles are the ones that the end-to-end verdicts are stated for."""

    gateway: Latency
    """WeChat Pay: from request to reply."""
    tax_accept: Latency
    """Tax platform: from application to "accepted"."""
    tax_issue: Latency
    """Tax platform: from "accepted" to "issued"."""
    backend_processing: Latency
    """What one request costs the backend in virtual time; on the wall clock it is measured instead."""
    network: NetworkLegs
    tax_platform: Literal["wechat", "nuonuo", "baiwang"] = "wechat"
    """Over which platform the station's invoices go; behind each is the same tax bureau."""
    loudspeaker: Loudspeaker | None = None
    """Says each verified payment on the forecourt."""


class BackendSetup(Part):
    """How the reference backend runs."""

    instances: Annotated[int, Field(ge=1, le=8)] = 1
    reconcile_at_s: Annotated[int, Field(ge=0, lt=86_400)] | None = None
    """When the gateway's bills of the day before are compared with the books, seconds after midnight in Beijing; they are ready
    at 10:00. Not at all if not given."""
    virtual_storage: Literal["sqlite"] = "sqlite"
    wall_storage: Literal["postgres", "sqlite"] = "postgres"


class Repeat(Part):
    """A fault that comes again: each noon, each shift."""

    every_s: Annotated[int, Field(ge=1, le=31 * 86_400)]
    """From one onset to the next."""
    times: Annotated[int, Field(ge=2, le=1_000)]
    """How often it comes in all, the first time included."""


class _Window(Part):
    at_s: _Second
    """When the fault sets in, seconds after the start of the run."""
    for_s: _Second = 0
    """How long it lasts; 0 is a single moment."""
    repeat: Repeat | None = None
    """Again, and how often; each onset is a fault of its own, which has to land."""

    @model_validator(mode="after")
    def _heals_before_it_returns(self) -> Self:
        if self.repeat is not None and self.for_s >= self.repeat.every_s:
            problem = f"every_s ({self.repeat.every_s}) has to be more than for_s ({self.for_s}): a fault heals before it returns"
            raise Impossible([(("repeat", "every_s"), problem)])
        return self

    @property
    def last_at_s(self) -> int:
        """When it sets in for the last time."""
        return self.at_s if self.repeat is None else self.at_s + (self.repeat.times - 1) * self.repeat.every_s

    def each(self) -> tuple[Self, ...]:
        """Each onset as a fault that comes once."""
        if self.repeat is None:
            return (self,)
        onsets = range(self.at_s, self.last_at_s + 1, self.repeat.every_s)
        return tuple(self.model_copy(update={"at_s": at_s, "repeat": None}) for at_s in onsets)


WireKind = Literal[
    "drop", "delay", "duplicate", "cut", "flip_bits", "noise", "swap", "replay", "cut_short", "glue", "split", "babble",
    "wrong_address", "echo",
]  # fmt: skip
"""What can go wrong on a pump line. ``cut`` is the cable, for the whole window; ``cut_short`` is a burst."""


class WireFault(_Window):
    """Trouble on a pump line."""

    target: Literal["wire"]
    line: Annotated[str, Field(min_length=1, max_length=32)]
    kind: WireKind
    share: Share = 1.0
    """Of the bursts inside the window, how many are hit."""
    sender: Literal["anyone", "controller", "device"] = "anyone"
    """Whose bursts are hit; ``wrong_address`` and ``babble`` are always a device's."""
    part: Literal["any", "payload", "checksum"] = "any"
    """Of ``flip_bits``: where the bit is flipped."""
    offset: Annotated[int, Field(ge=0, le=4_096)] | None = None
    """Of ``cut_short`` and ``split``: how many bytes come (first); drawn for each burst if not given."""
    delay_ms: Annotated[int, Field(ge=1, le=60_000)] | None = None
    """Of ``delay`` (60 if not given), ``duplicate`` and ``replay`` (5), ``swap`` and ``split`` (1)."""
    every_ms: Annotated[int, Field(ge=1, le=3_600_000)] | None = None
    """Of ``noise`` and ``babble``: how often it comes on average; 400 if not given."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> WireFault:
        own = {
            "sender": set(get_args(WireKind)) - {"noise", "cut", "wrong_address", "babble"},
            "part": {"flip_bits"},
            "offset": {"cut_short", "split"},
            "delay_ms": {"delay", "duplicate", "replay", "swap", "split"},
            "every_ms": {"noise", "babble"},
        }
        problems: list[tuple[Place, str]] = [
            ((name,), f"{name} is for {', '.join(sorted(kinds))}; {self.kind} has none")
            for name, kinds in own.items()
            if getattr(self, name) != WireFault.model_fields[name].default and self.kind not in kinds
        ]
        if self.kind == "split" and self.offset == 0:
            problems.append((("offset",), "a split needs an offset of 1 or more"))
        if problems:
            raise Impossible(problems)
        return self


class HttpFault(_Window):
    """Trouble between two hosts."""

    target: Literal["http"]
    client: _Host
    host: _Host
    kind: Literal["request_lost", "reply_lost", "late", "duplicated", "reset", "host_down"]
    share: Share = 1.0
    delay_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 0
    """For ``late``, which needs it."""

    @model_validator(mode="after")
    def _late_by_something(self) -> HttpFault:
        if self.kind == "late" and not self.delay_ms:
            raise Impossible([(("delay_ms",), "a fault of kind 'late' needs delay_ms, 1 or more")])
        return self


class GatewayFault(_Window):
    """Trouble inside the payment gateway.

    The ``bill`` kinds plant a difference in the trade bill of a day, when that bill is made: a row is missing, is one of nobody's
    payment, is off by a fen, or (refunds) stands in the next day's bill. ``debit_failed`` is the bank's no to a debit by contract.
    ``callback_forged`` and ``reply_forged`` carry a signature by another key. ``busy`` refuses for the moment. ``refund_closed`` and
    ``refund_abnormal`` are refunds that were accepted and do not come about; with the latter, staff sees to what the payer's bank
    sent back: it goes to the merchant's account, or is paid out at the till.
    """

    target: Literal["gateway"]
    kind: Literal[
        "callback_lost", "callback_duplicated", "callback_late", "callback_before_reply", "signature_probe",
        "callback_forged", "reply_forged", "server_error", "busy", "timeout_after_commit", "debit_failed",
        "refund_closed", "refund_abnormal",
        "bill_missing", "bill_extra", "bill_amount", "bill_other_day",
    ]  # fmt: skip
    share: Share = 1.0
    delay_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 0


TaxKind = Literal[
    "stall", "accept_stall", "quota_exhausted", "credit_exhausted", "login_lost", "face_check", "reply_late",
]  # fmt: skip
"""What can go wrong at the tax platform."""

_TAX_LASTS = ("stall", "accept_stall", "login_lost", "face_check")


class TaxFault(_Window):
    """Trouble inside the tax platform.

    ``stall``, ``login_lost`` and ``face_check`` hold what was accepted until the end of the window and then let it go in a
    burst; ``accept_stall`` answers no call before that. ``quota_exhausted`` (no refined-oil stock) and ``credit_exhausted``
    refuse; ``reply_late`` carries the call out and answers long after.
    """

    target: Literal["tax"]
    kind: TaxKind
    share: Share = 1.0
    """Of ``quota_exhausted``, ``credit_exhausted`` and ``reply_late``: how many calls or invoices are hit."""
    delay_ms: Annotated[int, Field(ge=1, le=3_600_000)] | None = None
    """Of ``reply_late``: how late; 60,000 if not given."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> TaxFault:
        problems: list[tuple[Place, str]] = []
        if self.kind in _TAX_LASTS and self.for_s == 0:
            problems.append((("for_s",), f"a fault of kind {self.kind!r} needs for_s: it lasts until then"))
        if self.kind in _TAX_LASTS and self.share != 1.0:
            problems.append((("share",), f"a fault of kind {self.kind!r} hits everything and has no share"))
        if self.delay_ms is not None and self.kind != "reply_late":
            problems.append((("delay_ms",), f"delay_ms is for 'reply_late'; {self.kind} has none"))
        if problems:
            raise Impossible(problems)
        return self


class PrinterFault(_Window):
    """Trouble with the receipt printer; healed at the end of the window.

    ``cutter_jam`` fails the next cut; ``overheat`` is a head that is too hot until then; ``break_down`` is an error that only a
    technician ends, who switches the printer off and on.
    """

    target: Literal["printer"]
    kind: Literal["paper_out", "cover_open", "power_off", "cutter_jam", "overheat", "break_down"]

    @model_validator(mode="after")
    def _lasts(self) -> PrinterFault:
        if self.kind == "overheat" and not self.for_s:
            raise Impossible([(("for_s",), "a head is too hot for some time: give for_s, 1 or more")])
        return self


class LoudspeakerFault(_Window):
    """Trouble with the loudspeaker, or on the way to it. ``offline`` is its radio, for the whole window."""

    target: Literal["loudspeaker"]
    kind: Literal[
        "offline", "lost", "late", "duplicate", "ack_lost", "refused", "queue_full", "forgets", "muted",
        "clip_missing", "wrong_clip",
    ]  # fmt: skip
    share: Share = 1.0
    """Of the announcements inside the window, how many are hit."""
    delay_ms: Annotated[int, Field(ge=1, le=600_000)] = 3_000
    """Of ``late``, and of ``duplicate``: how much later the message comes (again)."""

    @model_validator(mode="after")
    def _lasts(self) -> LoudspeakerFault:
        if self.kind == "offline" and not self.for_s:
            raise Impossible([(("for_s",), "a loudspeaker is offline for some time: give for_s, 1 or more")])
        return self


class DispenserFault(_Window):
    """A dispenser loses its mains for the whole window."""

    target: Literal["dispenser"]
    dispenser: Annotated[str, Field(min_length=1, max_length=32)]
    kind: Literal["power_cut"]
    for_s: Annotated[int, Field(ge=1, le=86_400)]
    """How long it lasts."""


class BackendKill(_Window):
    """A backend instance dies without a word; it comes back at the end of the window, or never with ``for_s: 0``."""

    target: Literal["backend"]
    instance: Annotated[str, Field(pattern=r"^[a-h]$")]


Fault = Annotated[
    WireFault
    | HttpFault
    | GatewayFault
    | TaxFault
    | PrinterFault
    | LoudspeakerFault
    | DispenserFault
    | BackendKill,
    Field(discriminator="target"),
]
"""One entry of the fault schedule."""


class Swarm(Part):
    """Faults drawn from the seed: each run takes a subset of the kinds, as a swarm test does."""

    targets: Annotated[
        tuple[
            Literal["wire", "http", "gateway", "tax", "printer", "loudspeaker", "dispenser", "backend"], ...
        ],
        Field(min_length=1),
    ]
    """``dispenser`` cuts a dispenser's mains; ``backend`` kills an instance and revives it at the end of the window."""
    wire_kinds: Annotated[tuple[WireKind, ...], Field(min_length=1)] = get_args(WireKind)
    """What a wire fault of the swarm may be."""
    faults: Annotated[int, Field(ge=1, le=1_000)]
    longest_s: Annotated[int, Field(ge=1, le=86_400)]
    heal_before_end_s: _Second = 120
    """No fault is active in the last so many seconds, so that what must settle can."""

    @model_validator(mode="after")
    def _once(self) -> Swarm:
        if len(set(self.targets)) != len(self.targets):
            raise ValueError("targets names one target twice")
        if len(set(self.wire_kinds)) != len(self.wire_kinds):
            raise ValueError("wire_kinds names one kind twice")
        return self
