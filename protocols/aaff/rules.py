"""What this package takes for true of AA FF, and how well each point is supported.

``count`` is the number of published programs that state or show the point; the two that we know come from one author
family, so nothing here rests on two *independent* sources, and a certifier fails a device on none of it (`Rule.mandatory`).
``count`` 0 marks what is our own choice, because no source says.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["RULES", "Rule"]

_FIRMWARE: Final = "ycxzfforever/LNG_V2.X_NEW"
_GATEWAY: Final = "ycxzfforever/ZHY_IFSF_AM3352"
_BOTH: Final = (_FIRMWARE, _GATEWAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One point of the protocol.

    Attributes:
        id: slug; it never changes.
        text: the rule in our own words.
        sources: public repositories that state or show it.
    """

    id: str
    text: str
    sources: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of programs."""
        return len(self.sources)

    @property
    def independent(self) -> int:
        """Number of author families: one, or none when it is our choice."""
        return min(len(self.sources), 1)

    @property
    def mandatory(self) -> bool:
        """Two or more independent sources: a device may be failed on it."""
        return self.independent >= 2


def _rule(slug: str, text: str, *sources: str) -> Rule:
    return Rule(id=f"aaff-{slug}", text=text, sources=sources)


_ALL: Final = (
    _rule("line-characters", "A character is a start bit, 8 data bits and one stop bit, on RS-485.", *_BOTH),
    _rule("line-baud", "38400 baud unless set otherwise; 4800 to 38400.", *_BOTH),
    _rule("poll-period", "The master polls every 0.8 s.", _GATEWAY),
    _rule("offline-200-polls", "A dispenser counts as off-line after 200 polls without an answer.", _GATEWAY),
    _rule("frame-to-pump", "AA FF, device 15, command, gun, length, body, checksum, CC FF.", *_BOTH),
    _rule("frame-from-pump", "BB EE, device 00, command, gun, length, body, checksum, DD EE.", *_BOTH),
    _rule("length", "The length counts the body; a frame is nine bytes longer.", *_BOTH),
    _rule("checksum", "CRC-8/MAXIM over device to last body byte.", *_BOTH),
    _rule("no-escape", "Nothing is escaped and nothing numbers the frames.", *_BOTH),
    _rule("guns", "Guns are numbered up to 32.", _GATEWAY),
    _rule(
        "checksum-ignored",
        "A dispenser takes frames whatever their checksum: its back office sends none.",
        _FIRMWARE,
    ),
    _rule(
        "checksum-repeat",
        "After a damaged answer the master repeats its last command, never a poll.",
        _GATEWAY,
    ),
    _rule("damaged-silence", "A dispenser that checks leaves a damaged frame unanswered."),
    _rule("unknown-50", "A command that is not known is answered 50.", _FIRMWARE),
    _rule("bcd", "Numbers are packed BCD, most significant digit first, two decimals.", *_BOTH),
    _rule("poll-long", "The poll carries time, station state and flags in 16 bytes.", _GATEWAY),
    _rule("poll-short", "Only the first byte of a poll counts: 1 asks for live figures.", _FIRMWARE),
    _rule("idle-51", "An idle dispenser with nothing to send answers 51 with no body.", _FIRMWARE),
    _rule("status-20", "A dispenser without a record answers 20: state, unpaid sales.", _GATEWAY),
    _rule("status-states", "State 0 is idle, 1 fuelling, others are IFSF numbers.", _GATEWAY),
    _rule("live-19", "While fuelling a poll is answered with the live record.", *_BOTH),
    _rule(
        "live-asks",
        "State 1 of the live record asks whether live figures are wanted, 2 gives them.",
        _FIRMWARE,
    ),
    _rule("record-11", "A finished sale is sent with totals before and after it.", *_BOTH),
    _rule("record-card-4", "The firmware's card number has 4 bytes: records of 104 and 42 bytes.", _FIRMWARE),
    _rule(
        "record-card-10",
        "The gateway's has 10: records of 110 and 48 bytes, all later fields 6 further.",
        _GATEWAY,
    ),
    _rule("record-repeat", "The oldest record is sent at each poll until it is acknowledged.", *_BOTH),
    _rule("record-order", "Sales go first, then shifts, then alarms, and only then nothing.", _FIRMWARE),
    _rule("record-online", "Record type 0 is an off-line sale, 1 an on-line one.", _GATEWAY),
    _rule("ack-69", "69 with record type and UID acknowledges a record.", *_BOTH),
    _rule("ack-pointer", "It counts only if the UID is the one after the last acknowledged.", _FIRMWARE),
    _rule("ack-answered", "69 is answered 69 with no body, whether it counted or not.", _FIRMWARE),
    _rule(
        "skip-50",
        "After 50 sends without an acknowledgement a record is skipped (10 before 2018-11).",
        _FIRMWARE,
    ),
    _rule("skip-silent", "The poll at which a record is skipped stays unanswered.", _FIRMWARE),
    _rule("uid-wrap", "After the last UID comes 1."),
    _rule("fetch-67", "67 with record type and UID fetches a record, acknowledged or not.", _FIRMWARE),
    _rule("fetch-unknown-50", "67 for a UID that is not kept is answered 50."),
    _rule("authorise-70", "70 authorises one sale: type 0 amount, 1 volume, 2 free, and a value.", _GATEWAY),
    _rule("authorise-echo", "The answer gives result, type and value; another value is a refusal.", _GATEWAY),
    _rule(
        "authorise-again",
        "The same authorisation a second time is answered as the first and changes nothing.",
    ),
    _rule("totals-72", "72 tells UID, volume total and amount total as of the last finished sale.", _GATEWAY),
    _rule("stop-73", "73 stops; 0 is done.", _GATEWAY),
    _rule("upload-74", "A sale may come as 74: UID, volume, amount; the master answers 74.", _GATEWAY),
    _rule("upload-74-answer", "A dispenser answers that with 51."),
    _rule("prices-75", "75 sets the four prices 4031 to 4034; 0 is done.", _GATEWAY),
    _rule("parameters-52-53", "52 writes and 53 reads one parameter; the answer is index and value.", *_BOTH),
    _rule("price-read", "53 with 4031 reads the price back."),
    _rule("grey-flag", "A sale whose card was not settled has the grey flag.", _FIRMWARE),
    _rule("power-down-flag", "A sale that a power cut ended has bit 1 of that byte."),
    _rule("power-down-record", "After a power cut the interrupted sale becomes a record.", _FIRMWARE),
)

RULES: Final = MappingProxyType({rule.id: rule for rule in _ALL})
"""Every rule, by its id, in the order of the layers."""
