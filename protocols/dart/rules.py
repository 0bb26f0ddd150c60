"""What this package takes for true of DART, and how well each point is supported.

A certifier may fail a device only on a rule with two or more independent sources (`Rule.mandatory`); the others give a
warning or a remark. ``count`` is the number of independent authors whose published code or captures state or show the
point; ``sources`` names them where they were told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["RULES", "Rule"]

_INTELIPUMP: Final = "moduslightstech-lgtm/intelipump"
_COLOMBIA: Final = "alejomonroy/Full-Colombia-Wayne"
_ASFUEL: Final = "dimoskar/ASFuelControlV1"
_FIRST: Final = "fangym0335/first"
_PUMP_PROTOCOL: Final = "ibramn/pump-protocol"
_FOUR: Final = (_INTELIPUMP, _COLOMBIA, _ASFUEL, _FIRST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One point of the protocol.

    Attributes:
        id: slug; it never changes.
        text: the rule in our own words.
        count: number of independent sources.
        sources: public repositories that state or show it, where known.
    """

    id: str
    text: str
    count: int
    sources: tuple[str, ...] = ()

    @property
    def mandatory(self) -> bool:
        """Two or more independent sources: a device may be failed on it."""
        return self.count >= 2


_ALL: Final = (
    Rule(
        id="dart-line-characters",
        text="A character is a start bit, 8 data bits, odd parity and one stop bit.",
        count=3,
        sources=(_INTELIPUMP, _ASFUEL, _FIRST),
    ),
    Rule(id="dart-line-baud", text="9600 baud is normal, 19200 an option.", count=2),
    Rule(
        id="dart-reply-25ms",
        text="A pump begins its answer within 25 ms.",
        count=1,
        sources=(_INTELIPUMP,),
    ),
    Rule(
        id="dart-poll-may-stay-unanswered",
        text="Around a state change a poll may stay unanswered; the controller polls again.",
        count=2,
        sources=(_INTELIPUMP, _ASFUEL),
    ),
    Rule(
        id="dart-addresses",
        text="Addresses run from 50 to 6F (hex), one per fuelling side.",
        count=4,
        sources=_FOUR,
    ),
    Rule(
        id="dart-control-bytes",
        text="20 polls, 3n is data, 5n refuses, 70 has nothing to send, Cn acknowledges, En acknowledges and polls.",
        count=4,
        sources=_FOUR,
    ),
    Rule(
        id="dart-frame-end",
        text="FA ends each frame; a data frame has 03 before it.",
        count=4,
        sources=_FOUR,
    ),
    Rule(
        id="dart-escape",
        text="A 10 goes before a data or checksum byte FA and before nothing else; a lone 10 is itself.",
        count=3,
        sources=(_INTELIPUMP, _ASFUEL, _FIRST),
    ),
    Rule(
        id="dart-checksum",
        text="CRC-16/ARC over address to last data byte before escaping, low byte first.",
        count=4,
        sources=_FOUR,
    ),
    Rule(
        id="dart-checksum-nak",
        text="A data frame with a wrong checksum is answered 5n and has no other effect.",
        count=3,
        sources=(_INTELIPUMP, _COLOMBIA, _FIRST),
    ),
    Rule(
        id="dart-parity-nak",
        text="A data frame with a parity error is refused as one with a wrong checksum is.",
        count=1,
        sources=(_INTELIPUMP,),
    ),
    Rule(
        id="dart-tx-independent",
        text="Each direction counts its blocks on its own: 0 after a restart, one more per acknowledged block.",
        count=2,
        sources=(_INTELIPUMP, _COLOMBIA),
    ),
    Rule(
        id="dart-tx-wrap",
        text="After 15 comes 1; 0 was captured as well. Receivers accept both.",
        count=2,
        sources=(_INTELIPUMP, _COLOMBIA),
    ),
    Rule(
        id="dart-tx-zero-accepted",
        text="Block number 0 is always accepted.",
        count=3,
        sources=(_INTELIPUMP, _COLOMBIA, _ASFUEL),
    ),
    Rule(
        id="dart-ack-number",
        text="An acknowledgement carries the number of the block.",
        count=3,
        sources=(_INTELIPUMP, _COLOMBIA, _FIRST),
    ),
    Rule(
        id="dart-ack-zero-tolerated",
        text="A pump lives with a controller that acknowledges every block as number 0.",
        count=1,
        sources=(_ASFUEL,),
    ),
    Rule(
        id="dart-resend-same-number",
        text="A block that was not acknowledged is sent again with its number: by a pump at the next poll.",
        count=1,
        sources=(_INTELIPUMP,),
    ),
    Rule(
        id="dart-duplicate-once",
        text="A block whose number repeats is acknowledged again and not executed again.",
        count=1,
        sources=(_INTELIPUMP,),
    ),
    Rule(
        id="dart-unknown-trans-skipped",
        text="A transaction of unknown kind is skipped by its length.",
        count=1,
    ),
    Rule(
        id="dart-bcd",
        text="Numbers are packed BCD, most significant digit first, without decimals.",
        count=4,
        sources=_FOUR,
    ),
    Rule(id="dart-cd1", text="CD1 commands: 00, 04, 05, 06, 08, 0A.", count=4, sources=_FOUR),
    Rule(id="dart-cd1-identity", text="CD1 command 03 asks for the identity.", count=2),
    Rule(
        id="dart-cd2",
        text="CD2 lists the allowed logical nozzles and stays in force.",
        count=4,
        sources=_FOUR,
    ),
    Rule(id="dart-cd3", text="CD3 presets a volume, 8 digits.", count=3),
    Rule(id="dart-cd4", text="CD4 presets an amount, 8 digits.", count=3),
    Rule(
        id="dart-cd5",
        text="CD5 sets prices of nozzles 1..n, 6 digits each; too few and all are ignored, surplus is ignored.",
        count=4,
        sources=_FOUR,
    ),
    Rule(id="dart-cd101", text="CD101 asks for a totaliser.", count=4, sources=_FOUR),
    Rule(id="dart-dc1", text="DC1 reports status 0, 1, 2, 4, 5, 6 or 7.", count=4, sources=_FOUR),
    Rule(id="dart-dc2", text="DC2 reports volume and amount, 8 digits each.", count=4, sources=_FOUR),
    Rule(
        id="dart-dc3",
        text="DC3 reports the price and the nozzle: number in bits 0..3, out in bit 4.",
        count=4,
        sources=_FOUR,
    ),
    Rule(
        id="dart-dc101",
        text="DC101 reports a totaliser in 16 bytes: number and three times 10 digits.",
        count=4,
        sources=_FOUR,
    ),
    Rule(id="dart-dc101-13", text="Chinese card pumps send DC101 with 13 bytes.", count=1, sources=(_FIRST,)),
    Rule(
        id="dart-status-cycle",
        text="The sale goes 1 RESET, 2 AUTHORISED, 4 FILLING, 5 COMPLETED, and by RESET to 1 again.",
        count=4,
        sources=_FOUR,
    ),
    Rule(
        id="dart-status-preset",
        text="A filling whose preset is reached goes to status 6.",
        count=1,
        sources=(_ASFUEL,),
    ),
    Rule(
        id="dart-status-not-programmed",
        text="A pump without prices is in status 0 and leaves it when it gets them.",
        count=1,
        sources=(_INTELIPUMP,),
    ),
    Rule(
        id="dart-illegal-command",
        text="A command that the status does not allow is acknowledged and has no effect: check DC1, never the ACK.",
        count=2,
        sources=(_INTELIPUMP, _PUMP_PROTOCOL),
    ),
    Rule(
        id="dart-reset-clears-presets",
        text="RESET clears presets, so CD2, CD3 and CD4 go between RESET and AUTHORISE.",
        count=3,
        sources=(_INTELIPUMP, _COLOMBIA, _ASFUEL),
    ),
    Rule(
        id="dart-price-before-filling",
        text="Prices are accepted only before a filling starts.",
        count=1,
        sources=(_INTELIPUMP,),
    ),
    Rule(
        id="dart-line-strict",
        text="The controller speaks first, always; a pump only answers, and one address is one fuelling side.",
        count=4,
        sources=_FOUR,
    ),
    Rule(
        id="dart-controller-patience",
        text="A controller tries a frame several times (3 tries of 50 ms, or 5) before it gives it up.",
        count=2,
        sources=(_COLOMBIA, _FIRST),
    ),
    Rule(
        id="dart-offline-after-seconds",
        text="A pump that was silent for 5 to 8 s is off-line; polls go on.",
        count=1,
        sources=(_ASFUEL,),
    ),
    Rule(
        id="dart-restart-after-nak",
        text="A controller may begin its block numbers anew with 0 after a NAK; 0 is accepted.",
        count=1,
        sources=(_COLOMBIA,),
    ),
    Rule(
        id="dart-ack-and-poll",
        text="En acknowledges a block and polls in one frame.",
        count=1,
        sources=(_FIRST,),
    ),
    Rule(
        id="dart-several-transactions",
        text="One block may carry several transactions; they are taken in their order.",
        count=4,
        sources=_FOUR,
    ),
    Rule(
        id="dart-preset-of-one-filling",
        text="A preset holds for one filling, the last one given counts, and one below the volume delivered stops at once.",
        count=1,
    ),
    Rule(
        id="dart-preset-after-reset",
        text="The order RESET, CD2, CD3 or CD4, AUTHORISE is the one in which fielded controllers speak.",
        count=3,
        sources=(_INTELIPUMP, _COLOMBIA, _ASFUEL),
    ),
    Rule(
        id="dart-reset-zeroes-display",
        text="At RESET a pump reports DC2 with zeros.",
        count=1,
        sources=(_INTELIPUMP,),
    ),
    Rule(
        id="dart-status-answer",
        text="A request for the status is answered DC1 and DC3.",
        count=1,
        sources=(_INTELIPUMP,),
    ),
    Rule(
        id="dart-spontaneous-reports",
        text="Without being asked a pump reports at polls: changed status, nozzle out or in, DC2 while it fills.",
        count=4,
        sources=_FOUR,
    ),
    Rule(
        id="dart-filling-end-block",
        text="The end of a filling comes as DC2, DC3 with the nozzle in, DC1 5.",
        count=2,
        sources=(_INTELIPUMP, _ASFUEL),
    ),
    Rule(
        id="dart-power-loss",
        text="After a power loss the status is 5 and CD1 04 still tells the last filling; without prices it is 0.",
        count=1,
        sources=(_INTELIPUMP,),
    ),
    Rule(
        id="dart-alarm-ends-filling",
        text="A pulser or hose alarm ends the filling with status 5.",
        count=1,
    ),
    Rule(
        id="dart-late-price",
        text="The status may leave 0 only seconds after the prices came.",
        count=1,
        sources=(_INTELIPUMP,),
    ),
    Rule(
        id="dart-reset-ignored",
        text="Some heads acknowledge RESET and stay in 5 until the nozzle goes out or the status is asked.",
        count=1,
        sources=(_INTELIPUMP,),
    ),
    Rule(
        id="dart-checksum-unescaped",
        text="A peer may forget the escape of a checksum byte FA; the frame can still be put together.",
        count=1,
        sources=(_FIRST,),
    ),
)

RULES: Final = MappingProxyType({rule.id: rule for rule in _ALL})
"""Every rule, by its id, in the order of the layers."""
