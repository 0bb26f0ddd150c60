"""What this package takes for true of AA FF, and how well each point is supported.

Two published programs state or show it, and both come from one author family: no point has more than one *independent* source,
and a certifier fails a device on none of it. A count of 0 marks what is our own choice, because no source says.
"""

from __future__ import annotations

from typing import Final

from protocols.rules import Rule, by_id

__all__ = ["RULES"]

_FIRMWARE: Final = "ycxzfforever/LNG_V2.X_NEW"
_GATEWAY: Final = "ycxzfforever/ZHY_IFSF_AM3352"
_BOTH: Final = (_FIRMWARE, _GATEWAY)

RULES: Final = by_id(
    Rule(
        "aaff-line-characters",
        "A character is a start bit, 8 data bits and one stop bit, on RS-485.",
        1,
        _BOTH,
    ),
    Rule("aaff-line-baud", "38400 baud unless set otherwise; 4800 to 38400.", 1, _BOTH),
    Rule("aaff-poll-period", "The master polls every 0.8 s.", 1, (_GATEWAY,)),
    Rule(
        "aaff-offline-200-polls",
        "A dispenser counts as off-line after 200 polls without an answer.",
        1,
        (_GATEWAY,),
    ),
    Rule("aaff-frame-to-pump", "AA FF, device 15, command, gun, length, body, checksum, CC FF.", 1, _BOTH),
    Rule("aaff-frame-from-pump", "BB EE, device 00, command, gun, length, body, checksum, DD EE.", 1, _BOTH),
    Rule("aaff-length", "The length counts the body; a frame is nine bytes longer.", 1, _BOTH),
    Rule("aaff-checksum", "CRC-8/MAXIM over device to last body byte.", 1, _BOTH),
    Rule("aaff-no-escape", "Nothing is escaped and nothing numbers the frames.", 1, _BOTH),
    Rule("aaff-guns", "Guns are numbered up to 32.", 1, (_GATEWAY,)),
    Rule(
        "aaff-checksum-ignored",
        "A dispenser takes frames whatever their checksum: its back office sends none.",
        1,
        (_FIRMWARE,),
    ),
    Rule(
        "aaff-checksum-repeat",
        "After a damaged answer the master repeats its last command, never a poll.",
        1,
        (_GATEWAY,),
    ),
    Rule("aaff-damaged-silence", "A dispenser that checks leaves a damaged frame unanswered.", 0),
    Rule("aaff-unknown-50", "A command that is not known is answered 50.", 1, (_FIRMWARE,)),
    Rule("aaff-bcd", "Numbers are packed BCD, most significant digit first, two decimals.", 1, _BOTH),
    Rule("aaff-poll-long", "The poll carries time, station state and flags in 16 bytes.", 1, (_GATEWAY,)),
    Rule(
        "aaff-poll-short", "Only the first byte of a poll counts: 1 asks for live figures.", 1, (_FIRMWARE,)
    ),
    Rule("aaff-idle-51", "An idle dispenser with nothing to send answers 51 with no body.", 1, (_FIRMWARE,)),
    Rule("aaff-status-20", "A dispenser without a record answers 20: state, unpaid sales.", 1, (_GATEWAY,)),
    Rule("aaff-status-states", "State 0 is idle, 1 fuelling, others are IFSF numbers.", 1, (_GATEWAY,)),
    Rule("aaff-live-19", "While fuelling a poll is answered with the live record.", 1, _BOTH),
    Rule(
        "aaff-live-asks",
        "State 1 of the live record asks whether live figures are wanted, 2 gives them.",
        1,
        (_FIRMWARE,),
    ),
    Rule("aaff-record-11", "A finished sale is sent with totals before and after it.", 1, _BOTH),
    Rule(
        "aaff-record-card-4",
        "The firmware's card number has 4 bytes: records of 104 and 42 bytes.",
        1,
        (_FIRMWARE,),
    ),
    Rule(
        "aaff-record-card-10",
        "The gateway's has 10: records of 110 and 48 bytes, all later fields 6 further.",
        1,
        (_GATEWAY,),
    ),
    Rule("aaff-record-repeat", "The oldest record is sent at each poll until it is acknowledged.", 1, _BOTH),
    Rule(
        "aaff-record-order",
        "Sales go first, then shifts, then alarms, and only then nothing.",
        1,
        (_FIRMWARE,),
    ),
    Rule("aaff-record-online", "Record type 0 is an off-line sale, 1 an on-line one.", 1, (_GATEWAY,)),
    Rule("aaff-ack-69", "69 with record type and UID acknowledges a record.", 1, _BOTH),
    Rule(
        "aaff-ack-pointer",
        "It counts only if the UID is the one after the last acknowledged.",
        1,
        (_FIRMWARE,),
    ),
    Rule("aaff-ack-answered", "69 is answered 69 with no body, whether it counted or not.", 1, (_FIRMWARE,)),
    Rule(
        "aaff-skip-50",
        "After 50 sends without an acknowledgement a record is skipped (10 before 2018-11).",
        1,
        (_FIRMWARE,),
    ),
    Rule("aaff-skip-silent", "The poll at which a record is skipped stays unanswered.", 1, (_FIRMWARE,)),
    Rule("aaff-uid-wrap", "After the last UID comes 1.", 0),
    Rule(
        "aaff-fetch-67", "67 with record type and UID fetches a record, acknowledged or not.", 1, (_FIRMWARE,)
    ),
    Rule("aaff-fetch-unknown-50", "67 for a UID that is not kept is answered 50.", 0),
    Rule(
        "aaff-authorise-70",
        "70 authorises one sale: type 0 amount, 1 volume, 2 free, and a value.",
        1,
        (_GATEWAY,),
    ),
    Rule(
        "aaff-authorise-echo",
        "The answer gives result, type and value; another value is a refusal.",
        1,
        (_GATEWAY,),
    ),
    Rule(
        "aaff-authorise-again",
        "The same authorisation a second time is answered as the first and changes nothing.",
        0,
    ),
    Rule(
        "aaff-totals-72",
        "72 tells UID, volume total and amount total as of the last finished sale.",
        1,
        (_GATEWAY,),
    ),
    Rule("aaff-stop-73", "73 stops; 0 is done.", 1, (_GATEWAY,)),
    Rule(
        "aaff-upload-74", "A sale may come as 74: UID, volume, amount; the master answers 74.", 1, (_GATEWAY,)
    ),
    Rule("aaff-upload-74-answer", "A dispenser answers that with 51.", 0),
    Rule("aaff-prices-75", "75 sets the four prices 4031 to 4034; 0 is done.", 1, (_GATEWAY,)),
    Rule(
        "aaff-parameters-52-53",
        "52 writes and 53 reads one parameter; the answer is index and value.",
        1,
        _BOTH,
    ),
    Rule("aaff-price-read", "53 with 4031 reads the price back.", 0),
    Rule("aaff-grey-flag", "A sale whose card was not settled has the grey flag.", 1, (_FIRMWARE,)),
    Rule("aaff-power-down-flag", "A sale that a power cut ended has bit 1 of that byte.", 0),
    Rule(
        "aaff-power-down-record", "After a power cut the interrupted sale becomes a record.", 1, (_FIRMWARE,)
    ),
)
"""Every rule, by its id, in the order of the layers."""
