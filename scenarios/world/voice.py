"""The loudspeaker of a virtual world, and what it leaves for the oracles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from protocols.loudspeaker import STATION, TOPIC
from reference.backend.voice.settings import LoudspeakerSettings
from scenarios.model import Loudspeaker as LoudspeakerModel
from scenarios.model import Scenario
from scenarios.model.hosts import SPEAKERS
from scenarios.voice_record import LoggedAnnouncement, SaidAloud, VoiceHit, VoicePayment, VoiceRecord
from scenarios.world.faults import FaultPlan
from scenarios.world.translate import latency_profile
from sim.kernel import Kernel
from sim.loudspeaker import (
    BoxProfile,
    BrokerClient,
    Loudspeaker,
    RegisteredSpeaker,
    SpeakerPlatform,
    VirtualBroker,
)
from sim.net import Network

if TYPE_CHECKING:
    from scenarios.world.virtual import VirtualWorld

__all__ = ["VirtualVoice", "build_voice", "voice_record"]

_BOX: Final = "860000000000017"
_TOKEN: Final = "voice-of-the-run"  # noqa: S105 - guards a box that exists in this run only

_GIVEN_BACK: Final = frozenset({"paid twice", "paid after the end"})
"""Payments that come too late are proved and given back at once: nobody is told of them."""


@dataclass(frozen=True, slots=True)
class VirtualVoice:
    """The loudspeaker of a run.

    Attributes:
        box: the loudspeaker.
        broker: what it listens to; None for one behind a maker's platform.
        settings: how the backend knows it.
    """

    box: Loudspeaker
    broker: VirtualBroker | None
    settings: LoudspeakerSettings

    def publisher(self, name: str) -> BrokerClient | None:
        """A backend instance's connection to the broker."""
        return None if self.broker is None else self.broker.client(name)


def build_voice(kernel: Kernel, scenario: Scenario, plan: FaultPlan, network: Network) -> VirtualVoice | None:
    """The loudspeaker that the scenario asks for, with its faults; None if it asks for none."""
    model = scenario.services.loudspeaker
    if model is None:
        return None
    profile = BoxProfile(remembers=model.remembers, queue_limit=model.queue_limit)
    box = Loudspeaker(kernel, _BOX, profile=profile, faults=plan.loudspeaker())
    plan.attach_report(box.faults.report)
    leg = latency_profile(model.leg)
    broker = None
    if model.is_mqtt:
        broker = VirtualBroker(kernel, latency=leg)
        broker.subscribe(TOPIC.replace("{box}", _BOX), box)
    else:
        platform = SpeakerPlatform(
            kernel, [RegisteredSpeaker(box, _TOKEN)], push=leg, holds_offline=model.holds_offline
        )
        network.register(SPEAKERS, platform)
        for number in range(scenario.backend.instances):
            network.set_latency(f"backend-{chr(ord('a') + number)}", SPEAKERS, leg)
    return VirtualVoice(box, broker, _settings(model, profile))


def _settings(model: LoudspeakerModel, profile: BoxProfile) -> LoudspeakerSettings:
    return LoudspeakerSettings(
        kind=model.kind,
        speaker_id=_BOX,
        token=None if model.is_mqtt else _TOKEN,
        character_ms=profile.character_us // 1_000,
        gap_ms=profile.gap_us // 1_000,
    )


def voice_record(
    world: VirtualWorld, tables: Mapping[str, Iterable[Mapping[str, Any]]]
) -> VoiceRecord | None:
    """What the loudspeaker said, what the backend logged, and what there was to say.

    Args:
        world: a finished run.
        tables: the admin API's orders, payments and refunds.
    """
    voice = world.voice
    if voice is None:
        return None
    epoch_us = world.kernel.epoch_us
    rows = world.read_admin("announcements")
    return VoiceRecord(
        says_nozzle=voice.settings.kind == "text" or (voice.settings.kind == "clips" and STATION.says_nozzle),
        payments=tuple(_payments(world, tables, rows, epoch_us)),
        log=tuple(
            LoggedAnnouncement(
                number=row["request_id"], state=row["state"], attempts=row["attempts"], reason=row["reason"]
            )
            for row in rows
        ),
        said=tuple(
            SaidAloud(
                number=one.request_id,
                words="".join(one.words),
                started_us=one.started_us,
                ended_us=one.ended_us,
                volume=one.volume,
                is_whole=one.is_whole,
            )
            for one in voice.box.said
        ),
        hits=tuple(VoiceHit(fault=name, kind=kind, number=number) for name, kind, number in voice.box.hits),
    )


def _payments(
    world: VirtualWorld,
    tables: Mapping[str, Iterable[Mapping[str, Any]]],
    log: Iterable[Mapping[str, Any]],
    epoch_us: int,
) -> Iterable[VoicePayment]:
    orders = {row["order_id"]: row for row in tables["orders"]}
    taken = {
        order.out_trade_no: order.success_us - epoch_us
        for order in world.services.gateway.ledger.orders
        if order.success_us is not None
    }
    given_back = {row["out_trade_no"] for row in tables["refunds"] if row["reason"] in _GIVEN_BACK}
    numbers = set()
    for row in tables["payments"]:
        number = row["out_trade_no"]
        numbers.add(number)
        if row["state"] != "SUCCESS" or number in given_back:
            continue
        order = orders[row["order_id"]]
        yield VoicePayment(
            number=number,
            nozzle=order["nozzle"],
            amount_fen=row["amount_fen"] + (order.get("parts_fen") or 0),
            proved_us=row["paid_us"] - epoch_us,
            gateway_us=taken.get(number),
        )
    for row in log:
        # Paid without a gateway, from what the member has with us: the order itself is the payment.
        if row["request_id"] not in numbers and row["order_id"] in orders:
            order = orders[row["order_id"]]
            yield VoicePayment(
                number=row["request_id"],
                nozzle=order["nozzle"],
                amount_fen=order["payable_fen"],
                proved_us=row["proved_us"] - epoch_us,
            )
