"""The fault plan of a run: the file's schedule and the seed's swarm, in the words of the parts that they strike."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from scenarios.model import (
    BackendKill,
    DispenserFault,
    Fault,
    GatewayFault,
    HttpFault,
    Line,
    LoudspeakerFault,
    PrinterFault,
    Scenario,
    Swarm,
    TaxFault,
    WireFault,
)
from scenarios.record import FaultLanding
from sim.faults import ArmedFault
from sim.loudspeaker import SpeakerFault, SpeakerFaultKind
from sim.net import HttpFault as SimHttpFault
from sim.unionpay import GatewayFault as SimUnionPayFault
from sim.wechatpay import GatewayFault as SimGatewayFault
from sim.wires import WireFault as SimWireFault

__all__ = ["CONTROLLER", "FaultPlan", "PlannedFault", "frames_on", "plan_faults"]

_S: Final = 1_000_000

CONTROLLER: Final = "site"
"""What the site controller is called on every pump line."""

FaultT = TypeVar(
    "FaultT",
    WireFault,
    HttpFault,
    GatewayFault,
    TaxFault,
    PrinterFault,
    LoudspeakerFault,
    DispenserFault,
    BackendKill,
)

_WIRE_KINDS: Final = {"flip_bits": "flip", "cut": "down", "cut_short": "cut"}
"""Where the wire's own word differs from the scenario file's."""

_GATEWAY_KINDS: Final[dict[str, dict[str, object]]] = {
    "callback_lost": {"kind": "callback-lost", "events": ("TRANSACTION.SUCCESS",), "attempts": 1},
    "callback_duplicated": {"kind": "callback-duplicate", "copies": 2, "delay_us": 300_000},
    "callback_late": {"kind": "callback-late", "events": ("TRANSACTION.SUCCESS",)},
    "callback_before_reply": {"kind": "callback-before-reply", "at": ("confirm",)},
    "signature_probe": {"kind": "callback-signature", "forgery": "probe"},
    "callback_forged": {"kind": "callback-signature", "forgery": "wrong-key"},
    "reply_forged": {"kind": "reply-signature", "forgery": "wrong-key"},
    "server_error": {"kind": "refuse", "code": "SYSTEM_ERROR", "at": ("prepay",)},
    "busy": {"kind": "refuse", "code": "FREQUENCY_LIMITED"},
    "timeout_after_commit": {
        "kind": "timeout",
        "at": ("prepay",),
        "after_commit": True,
        "delay_us": 20_000_000,
    },
    "debit_failed": {"kind": "debit-failed"},
    "refund_closed": {"kind": "refund-closed"},
    "refund_abnormal": {"kind": "refund-abnormal"},
    "bill_missing": {"kind": "bill-missing"},
    "bill_extra": {"kind": "bill-extra"},
    "bill_amount": {"kind": "bill-amount"},
    "bill_other_day": {"kind": "bill-other-day"},
}


_ALWAYS_MET: Final[list[Any]] = [
    "callback_before_reply",
    "callback_duplicated",
    "callback_late",
    "callback_lost",
    "server_error",
    "signature_probe",
    "timeout_after_commit",
]
"""What a swarm may draw: no scenario need reconcile, debit or refund for it to land. Another list is another draw for each seed."""


@dataclass(slots=True)
class PlannedFault:
    """One fault of the plan with its name, and how often it landed once it is at work."""

    name: str
    spec: Fault
    at_us: int
    healed_us: int | None
    landed: Callable[[], int] = lambda: 0

    def landing(self) -> FaultLanding:
        """What the oracles see."""
        return FaultLanding(
            name=self.name,
            target=self.spec.target,
            kind=str(getattr(self.spec, "kind", "kill")),
            at_us=self.at_us,
            healed_us=self.healed_us,
            landed=self.landed(),
        )


@dataclass(slots=True)
class FaultPlan:
    """All faults of a run, sorted by the part that they strike."""

    faults: list[PlannedFault] = field(default_factory=list)

    def wire(self, name: str, frames: str = "") -> list[SimWireFault]:
        """The faults of one line; ``frames`` says what passes there, see `sim.wires.FRAME_SHAPES`."""
        return [
            SimWireFault(
                kind=_WIRE_KINDS.get(fault.kind, fault.kind),
                **_common(planned),
                **_wire_extras(fault, frames),
            )
            for planned, fault in self._of(WireFault)
            if fault.line == name
        ]

    def http(self) -> list[SimHttpFault]:
        """The faults of the HTTP network."""
        return [
            SimHttpFault(
                kind=fault.kind,
                client=fault.client,
                host=fault.host,
                delay_us=fault.delay_ms * 1_000,
                **_common(planned),
            )
            for planned, fault in self._of(HttpFault)
        ]

    def gateway(self) -> list[SimGatewayFault]:
        """The faults inside the payment gateway."""
        made = []
        for planned, fault in self._of(GatewayFault):
            words = dict(_GATEWAY_KINDS[fault.kind])
            if fault.delay_ms:
                words["delay_us"] = fault.delay_ms * 1_000
            made.append(SimGatewayFault.from_dict({**_common(planned), **words}))
        return made

    def gateway_faults(self) -> list[GatewayFault]:
        """The same, in the words of the scenario."""
        return [fault for _, fault in self._of(GatewayFault)]

    def settlement(self) -> list[SimUnionPayFault]:
        """Of these, those that spoil bills, for UnionPay's settlement files."""
        return [
            SimUnionPayFault.from_dict({**_common(planned), **_GATEWAY_KINDS[fault.kind]})
            for planned, fault in self._of(GatewayFault)
            if fault.kind.startswith("bill_")
        ]

    def tax(self) -> list[tuple[PlannedFault, TaxFault]]:
        """The faults inside the tax platform."""
        return self._of(TaxFault)

    def printer(self) -> list[tuple[PlannedFault, PrinterFault]]:
        """The faults of the receipt printer."""
        return self._of(PrinterFault)

    def loudspeaker(self) -> list[SpeakerFault]:
        """The faults of the loudspeaker."""
        return [
            SpeakerFault(
                kind=fault.kind.replace("_", "-"), delay_us=fault.delay_ms * 1_000, **_common(planned)
            )
            for planned, fault in self._of(LoudspeakerFault)
        ]

    def dispensers(self) -> list[tuple[PlannedFault, DispenserFault]]:
        """Dispensers that lose their mains."""
        return self._of(DispenserFault)

    def kills(self) -> list[tuple[PlannedFault, BackendKill]]:
        """Backend instances that die."""
        return self._of(BackendKill)

    def _of(self, kind: type[FaultT]) -> list[tuple[PlannedFault, FaultT]]:
        return [(planned, planned.spec) for planned in self.faults if isinstance(planned.spec, kind)]

    def attach(self, armed: Iterable[ArmedFault[Any]]) -> None:
        """Take landed counts from a part's own counters, matched by name."""
        by_name = {planned.name: planned for planned in self.faults}
        for one in armed:
            if one.name in by_name:
                by_name[one.name].landed = lambda one=one: one.landed  # type: ignore[misc]

    def attach_report(self, report: Callable[[], Mapping[str, Mapping[str, int]]]) -> None:
        """Take landed counts from a part that reports ``{name: {"landed": n}}``."""
        for planned in self.faults:
            if planned.name in report():
                # One fault may strike in two parts.
                before = planned.landed
                planned.landed = lambda name=planned.name, before=before: before() + report()[name]["landed"]  # type: ignore[misc]

    def landings(self) -> tuple[FaultLanding, ...]:
        """All faults as the oracles see them."""
        return tuple(planned.landing() for planned in self.faults)


def _common(planned: PlannedFault) -> dict[str, Any]:
    share = getattr(planned.spec, "share", 1.0)
    window = planned.spec.for_s * _S
    return {
        "name": planned.name,
        "at_us": planned.at_us,
        # A fault of a single moment strikes the next thing that passes, once.
        "for_us": window or None,
        "limit": None if window else 1,
        "probability": share,
    }


_WIRE_DELAYS_US: Final = {
    "delay": 60_000,
    "duplicate": 5_000,
    "replay": 5_000,
    "swap": 1_000,
    "split": 1_000,
}
_EVERY_US: Final = 400_000


def _wire_extras(fault: WireFault, frames: str) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    if fault.kind in _WIRE_DELAYS_US:
        given = fault.delay_ms
        extras["delay_us"] = _WIRE_DELAYS_US[fault.kind] if given is None else given * 1_000
    if fault.kind in ("noise", "babble"):
        extras["every_us"] = _EVERY_US if fault.every_ms is None else fault.every_ms * 1_000
    if fault.offset is not None:
        extras["offset"] = fault.offset
    if fault.part != "any" or fault.kind == "wrong_address":
        extras |= {"part": fault.part, "frames": frames}
    if fault.sender == "controller":
        extras["sender"] = CONTROLLER
    elif fault.sender == "device" or fault.kind in ("wrong_address", "babble"):
        extras["not_sender"] = CONTROLLER
    return extras


def frames_on(line: Line) -> str:
    """What frames on a pump line look like, for `FaultPlan.wire`."""
    if line.protocol == "modbus":
        return "modbus-tcp" if line.framing == "tcp" else "modbus-rtu"
    return line.protocol


def plan_faults(scenario: Scenario, seed: str | int) -> FaultPlan:
    """The schedule of the file and, if it has one, the swarm that the seed draws."""
    specs = [one for fault in scenario.faults for one in fault.each()]
    if scenario.swarm is not None:
        specs += _draw_swarm(scenario, scenario.swarm, random.Random(f"{seed}/swarm/faults"))
    plan = FaultPlan()
    seen: dict[str, int] = {}
    for spec in specs:
        base = f"{spec.target}-{getattr(spec, 'kind', 'kill')}".replace("_", "-")
        seen[base] = number = seen.get(base, 0) + 1
        at_us = spec.at_s * _S
        healed_us = at_us + spec.for_s * _S if spec.for_s or not isinstance(spec, BackendKill) else None
        plan.faults.append(PlannedFault(base if number == 1 else f"{base}-{number}", spec, at_us, healed_us))
    return plan


def _draw_swarm(scenario: Scenario, swarm: Swarm, rng: random.Random) -> list[Fault]:
    last_s = max(1, scenario.demand.duration_s - swarm.heal_before_end_s - swarm.longest_s)
    drawn: list[Fault] = []
    for _ in range(swarm.faults):
        window: Any = {"at_s": rng.randrange(last_s), "for_s": rng.randint(1, swarm.longest_s)}
        target = rng.choice(swarm.targets)
        share = rng.choice([0.05, 0.2, 0.5, 1.0])
        if target == "wire":
            line = rng.choice([line.name for line in scenario.station.lines])
            kind: Any = rng.choice(swarm.wire_kinds)
            aimed: Any = {"target": "wire", "line": line, "kind": kind, "share": share, **window}
            drawn.append(WireFault.model_validate(aimed))
        elif target == "http":
            client, host = rng.choice(_routes(scenario.backend.instances))
            kind = rng.choice(["request_lost", "reply_lost", "late", "duplicated", "reset"])
            drawn.append(
                HttpFault(
                    target="http", client=client, host=host, kind=kind, share=share, delay_ms=800, **window
                )
            )
        elif target == "gateway":
            drawn.append(GatewayFault(target="gateway", kind=rng.choice(_ALWAYS_MET), share=share, **window))
        elif target == "tax":
            drawn.append(
                TaxFault(target="tax", kind=rng.choice(["stall", "quota_exhausted", "login_lost"]), **window)
            )
        elif target == "printer":
            drawn.append(
                PrinterFault(
                    target="printer", kind=rng.choice(["paper_out", "cover_open", "power_off"]), **window
                )
            )
        elif target == "loudspeaker":
            kinds = [
                one.replace("-", "_") for one in SpeakerFaultKind if one not in _LEFT_OUT[_is_mqtt(scenario)]
            ]
            aimed = {"target": "loudspeaker", "kind": rng.choice(kinds), "share": share, **window}
            drawn.append(LoudspeakerFault.model_validate(aimed))
        elif target == "dispenser":
            name = rng.choice([dispenser.name for dispenser in scenario.station.dispensers])
            drawn.append(DispenserFault(target="dispenser", dispenser=name, kind="power_cut", **window))
        else:
            instance = chr(ord("a") + rng.randrange(scenario.backend.instances))
            drawn.append(BackendKill(target="backend", instance=instance, **window))
    return drawn


_LEFT_OUT: Final = {True: {SpeakerFaultKind.REFUSED}, False: {SpeakerFaultKind.ACK_LOST}}
"""What a loudspeaker behind a broker (True), or behind a maker's platform, does not have."""


def _is_mqtt(scenario: Scenario) -> bool:
    box = scenario.services.loudspeaker
    return box is None or box.is_mqtt


def _routes(instances: int) -> list[tuple[str, str]]:
    """(client, host) of the ways on which HTTP faults are drawn."""
    names = [f"backend-{chr(ord('a') + number)}" for number in range(instances)]
    inward = [(client, f"{name}.station") for name in names for client in ("site", "phone", "kiosk")]
    return [*inward, ("gateway", "backend.station"), *((name, "api.mch.weixin.qq.com") for name in names)]
