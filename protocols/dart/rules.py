"""What this package takes for true of DART, and how well each point is supported."""

from __future__ import annotations

from typing import Final

from protocols.rules import Rule, by_id

__all__ = ["RULES"]

_INTELIPUMP: Final = "moduslightstech-lgtm/intelipump"
_COLOMBIA: Final = "alejomonroy/Full-Colombia-Wayne"
_ASFUEL: Final = "dimoskar/ASFuelControlV1"
_FIRST: Final = "fangym0335/first"
_PUMP_PROTOCOL: Final = "ibramn/pump-protocol"
_FOUR: Final = (_INTELIPUMP, _COLOMBIA, _ASFUEL, _FIRST)

RULES: Final = by_id(
    Rule(
        "dart-line-characters",
        "A character is a start bit, 8 data bits, odd parity and one stop bit.",
        3,
        (_INTELIPUMP, _ASFUEL, _FIRST),
    ),
    Rule("dart-line-baud", "9600 baud is normal, 19200 an option.", 2),
    Rule("dart-reply-25ms", "A pump begins its answer within 25 ms.", 1, (_INTELIPUMP,)),
    Rule(
        "dart-poll-may-stay-unanswered",
        "Around a state change a poll may stay unanswered; the controller polls again.",
        2,
        (_INTELIPUMP, _ASFUEL),
    ),
    Rule("dart-addresses", "Addresses run from 50 to 6F (hex), one per fuelling side.", 4, _FOUR),
    Rule(
        "dart-control-bytes",
        "20 polls, 3n is data, 5n refuses, 70 has nothing to send, Cn acknowledges, En acknowledges and polls.",
        4,
        _FOUR,
    ),
    Rule("dart-frame-end", "FA ends each frame; a data frame has 03 before it.", 4, _FOUR),
    Rule(
        "dart-escape",
        "A 10 goes before a data or checksum byte FA and before nothing else; a lone 10 is itself.",
        3,
        (_INTELIPUMP, _ASFUEL, _FIRST),
    ),
    Rule(
        "dart-checksum",
        "CRC-16/ARC over address to last data byte before escaping, low byte first.",
        4,
        _FOUR,
    ),
    Rule(
        "dart-checksum-nak",
        "A data frame with a wrong checksum is answered 5n and has no other effect.",
        3,
        (_INTELIPUMP, _COLOMBIA, _FIRST),
    ),
    Rule(
        "dart-parity-nak",
        "A data frame with a parity error is refused as one with a wrong checksum is.",
        1,
        (_INTELIPUMP,),
    ),
    Rule(
        "dart-tx-independent",
        "Each direction counts its blocks on its own: 0 after a restart, one more per acknowledged block.",
        2,
        (_INTELIPUMP, _COLOMBIA),
    ),
    Rule(
        "dart-tx-wrap",
        "After 15 comes 1; 0 was captured as well. Receivers accept both.",
        2,
        (_INTELIPUMP, _COLOMBIA),
    ),
    Rule("dart-tx-zero-accepted", "Block number 0 is always accepted.", 3, (_INTELIPUMP, _COLOMBIA, _ASFUEL)),
    Rule(
        "dart-ack-number",
        "An acknowledgement carries the number of the block.",
        3,
        (_INTELIPUMP, _COLOMBIA, _FIRST),
    ),
    Rule(
        "dart-ack-zero-tolerated",
        "A pump lives with a controller that acknowledges every block as number 0.",
        1,
        (_ASFUEL,),
    ),
    Rule(
        "dart-resend-same-number",
        "A block that was not acknowledged is sent again with its number: by a pump at the next poll.",
        1,
        (_INTELIPUMP,),
    ),
    Rule(
        "dart-duplicate-once",
        "A block whose number repeats is acknowledged again and not executed again.",
        1,
        (_INTELIPUMP,),
    ),
    Rule("dart-unknown-trans-skipped", "A transaction of unknown kind is skipped by its length.", 1),
    Rule("dart-bcd", "Numbers are packed BCD, most significant digit first, without decimals.", 4, _FOUR),
    Rule("dart-cd1", "CD1 commands: 00, 04, 05, 06, 08, 0A.", 4, _FOUR),
    Rule("dart-cd1-identity", "CD1 command 03 asks for the identity.", 2),
    Rule("dart-cd2", "CD2 lists the allowed logical nozzles and stays in force.", 4, _FOUR),
    Rule("dart-cd3", "CD3 presets a volume, 8 digits.", 3),
    Rule("dart-cd4", "CD4 presets an amount, 8 digits.", 3),
    Rule(
        "dart-cd5",
        "CD5 sets prices of nozzles 1..n, 6 digits each; too few and all are ignored, surplus is ignored.",
        4,
        _FOUR,
    ),
    Rule("dart-cd101", "CD101 asks for a totaliser.", 4, _FOUR),
    Rule("dart-dc1", "DC1 reports status 0, 1, 2, 4, 5, 6 or 7.", 4, _FOUR),
    Rule("dart-dc2", "DC2 reports volume and amount, 8 digits each.", 4, _FOUR),
    Rule("dart-dc3", "DC3 reports the price and the nozzle: number in bits 0..3, out in bit 4.", 4, _FOUR),
    Rule("dart-dc101", "DC101 reports a totaliser in 16 bytes: number and three times 10 digits.", 4, _FOUR),
    Rule("dart-dc101-13", "Chinese card pumps send DC101 with 13 bytes.", 1, (_FIRST,)),
    Rule(
        "dart-status-cycle",
        "The sale goes 1 RESET, 2 AUTHORISED, 4 FILLING, 5 COMPLETED, and by RESET to 1 again.",
        4,
        _FOUR,
    ),
    Rule("dart-status-preset", "A filling whose preset is reached goes to status 6.", 1, (_ASFUEL,)),
    Rule(
        "dart-status-not-programmed",
        "A pump without prices is in status 0 and leaves it when it gets them.",
        1,
        (_INTELIPUMP,),
    ),
    Rule(
        "dart-illegal-command",
        "A command that the status does not allow is acknowledged and has no effect: check DC1, never the ACK.",
        2,
        (_INTELIPUMP, _PUMP_PROTOCOL),
    ),
    Rule(
        "dart-reset-clears-presets",
        "RESET clears presets, so CD2, CD3 and CD4 go between RESET and AUTHORISE.",
        3,
        (_INTELIPUMP, _COLOMBIA, _ASFUEL),
    ),
    Rule("dart-price-before-filling", "Prices are accepted only before a filling starts.", 1, (_INTELIPUMP,)),
    Rule(
        "dart-line-strict",
        "The controller speaks first, always; a pump only answers, and one address is one fuelling side.",
        4,
        _FOUR,
    ),
    Rule(
        "dart-controller-patience",
        "A controller tries a frame several times (3 tries of 50 ms, or 5) before it gives it up.",
        2,
        (_COLOMBIA, _FIRST),
    ),
    Rule(
        "dart-offline-after-seconds",
        "A pump that was silent for 5 to 8 s is off-line; polls go on.",
        1,
        (_ASFUEL,),
    ),
    Rule(
        "dart-restart-after-nak",
        "A controller may begin its block numbers anew with 0 after a NAK; 0 is accepted.",
        1,
        (_COLOMBIA,),
    ),
    Rule("dart-ack-and-poll", "En acknowledges a block and polls in one frame.", 1, (_FIRST,)),
    Rule(
        "dart-several-transactions",
        "One block may carry several transactions; they are taken in their order.",
        4,
        _FOUR,
    ),
    Rule(
        "dart-preset-of-one-filling",
        "A preset holds for one filling, the last one given counts, and one below the volume delivered stops at once.",
        1,
    ),
    Rule(
        "dart-preset-after-reset",
        "The order RESET, CD2, CD3 or CD4, AUTHORISE is the one in which fielded controllers speak.",
        3,
        (_INTELIPUMP, _COLOMBIA, _ASFUEL),
    ),
    Rule("dart-reset-zeroes-display", "At RESET a pump reports DC2 with zeros.", 1, (_INTELIPUMP,)),
    Rule("dart-status-answer", "A request for the status is answered DC1 and DC3.", 1, (_INTELIPUMP,)),
    Rule(
        "dart-spontaneous-reports",
        "Without being asked a pump reports at polls: changed status, nozzle out or in, DC2 while it fills.",
        4,
        _FOUR,
    ),
    Rule(
        "dart-filling-end-block",
        "The end of a filling comes as DC2, DC3 with the nozzle in, DC1 5.",
        2,
        (_INTELIPUMP, _ASFUEL),
    ),
    Rule(
        "dart-power-loss",
        "After a power loss the status is 5 and CD1 04 still tells the last filling; without prices it is 0.",
        1,
        (_INTELIPUMP,),
    ),
    Rule("dart-alarm-ends-filling", "A pulser or hose alarm ends the filling with status 5.", 1),
    Rule("dart-late-price", "The status may leave 0 only seconds after the prices came.", 1, (_INTELIPUMP,)),
    Rule(
        "dart-reset-ignored",
        "Some heads acknowledge RESET and stay in 5 until the nozzle goes out or the status is asked.",
        1,
        (_INTELIPUMP,),
    ),
    Rule(
        "dart-checksum-unescaped",
        "A peer may forget the escape of a checksum byte FA; the frame can still be put together.",
        1,
        (_FIRST,),
    ),
)
"""Every rule, by its id, in the order of the layers."""
