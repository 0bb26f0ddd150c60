"""Cloud loudspeakers: the box that speaks, the broker or platform that tells it, and what goes wrong between."""

from __future__ import annotations

from sim.loudspeaker.box import Loudspeaker, Spoken
from sim.loudspeaker.broker import BrokerClient, VirtualBroker
from sim.loudspeaker.faults import AUDIBLE_FAULTS, SpeakerFault, SpeakerFaultKind
from sim.loudspeaker.platform import RegisteredSpeaker, SpeakerPlatform
from sim.loudspeaker.profile import BoxProfile
from sim.loudspeaker.staff_phone import Reaction, StaffPhone

__all__ = [
    "AUDIBLE_FAULTS",
    "BoxProfile",
    "BrokerClient",
    "Loudspeaker",
    "Reaction",
    "RegisteredSpeaker",
    "SpeakerFault",
    "SpeakerFaultKind",
    "SpeakerPlatform",
    "Spoken",
    "StaffPhone",
    "VirtualBroker",
]
