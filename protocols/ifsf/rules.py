"""What this package takes for true of IFSF over TCP/IP, and how well each point is supported.

A certifier may fail a device only on a rule with two or more independent sources (`Rule.mandatory`). ``deviation`` marks what
real peers do against the rules: it is accepted and recorded, never refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["RULES", "Rule"]

_ZHANG: Final = "zhang98722/ifsf-communication"
_TAGN: Final = "tagnpeng/ifsf"
_FIRST: Final = "fangym0335/first"
_ZHY: Final = "ycxzfforever/ZHY_IFSF_AM3352"
_FOUR: Final = (_ZHANG, _TAGN, _FIRST, _ZHY)


@dataclass(frozen=True, slots=True)
class Rule:
    """One point of the protocol.

    Attributes:
        id: slug; it never changes.
        text: the rule, or what a deviating peer does.
        sources: public repositories that state or show it; none means this project's own reading.
        deviation: seen in the field and accepted with a warning.
    """

    id: str
    text: str
    sources: tuple[str, ...] = ()
    deviation: bool = False

    @property
    def count(self) -> int:
        """Number of independent sources."""
        return len(self.sources)

    @property
    def mandatory(self) -> bool:
        """Two or more independent sources, and not a deviation: a device may be failed on it."""
        return self.count >= 2 and not self.deviation


_ALL: Final = (
    Rule(
        "ifsf-heartbeat",
        "A node broadcasts ten bytes by UDP every 10 s: address, port, subnet, node, 1, status.",
        _FOUR,
    ),
    Rule("ifsf-heartbeat-lost", "A node that three heartbeats are missing of is gone.", (_FIRST, _ZHY)),
    Rule(
        "ifsf-heartbeat-status",
        "Status bit 0 asks for configuration, bit 3 for a software refresh.",
        (_FIRST,),
    ),
    Rule(
        "ifsf-simplex",
        "Each side dials the other; commands and answers go on the connection that their sender dialled.",
        (_TAGN, _FIRST, _ZHY),
    ),
    Rule(
        "ifsf-framing",
        "A message is framed by its length alone; segments hold any number or part of them.",
        _FOUR,
    ),
    Rule("ifsf-token", "Answer and acknowledgement echo the token of the request.", _FOUR),
    Rule("ifsf-long-length", "A length of 255 or more is FF and two bytes.", (_FIRST,)),
    Rule("ifsf-numbers", "A number is a sign-and-point byte and packed decimal digits.", _FOUR),
    Rule("ifsf-states", "Fuelling points have the states 1 to 9.", _FOUR),
    Rule("ifsf-not-available", "An element that is not there is answered with length 0.", (_FIRST, _ZHY)),
    Rule(
        "ifsf-ack-elements", "Status 5 lists every element of the write with its code.", (_TAGN, _FIRST, _ZHY)
    ),
    Rule("ifsf-closing-ack", "A read of a group ends with an acknowledgement of status 0.", (_FIRST, _ZHY)),
    Rule(
        "ifsf-command-table",
        "Commands are taken in the states of the command table.",
        (_FIRST, _ZHANG, _TAGN),
    ),
    Rule(
        "ifsf-illegal-command", "An illegal command also brings an error and the status message.", (_FIRST,)
    ),
    Rule(
        "ifsf-unpaid-limit",
        "Release is refused (6) while the unpaid transactions are at their limit.",
        (_FIRST,),
    ),
    Rule("ifsf-sequence", "Transactions are numbered 1 to 9999 and then 1 again.", _FOUR),
    Rule("ifsf-zero-sale", "With ZeroTR_Mode 0 a sale without fuel is not stored.", (_FIRST,)),
    Rule(
        "ifsf-nozzle-bits",
        "A set bit of Log_Noz_State means that the nozzle is out.",
        (_ZHANG, _TAGN, _FIRST),
    ),
    Rule(
        "ifsf-transaction-message",
        "A transaction is told when it is made and when it is cleared.",
        (_FIRST, _ZHY),
    ),
    Rule("ifsf-unlock", "An unlocked transaction is payable again; the sources differ, one clears it.", ()),
    Rule(
        "ifsf-stand-alone",
        "Without its controlling device a dispenser goes on and uploads later.",
        (_FIRST, _ZHY),
    ),
    Rule("ifsf-running-period", "Data id 59 counts tenths of a second.", ()),
    Rule("ifsf-price-event", "Code 99 tells that a new price holds (China).", (_FIRST, _ZHY), deviation=True),
    Rule(
        "ifsf-status-to-nobody", "Status messages to node 0.0 before anyone asked.", (_ZHY,), deviation=True
    ),
    Rule("ifsf-recipient-code-2", "A recipient is added with message code 2.", (_ZHY,), deviation=True),
    Rule("ifsf-mask-id", "The nozzle mask is written to the fuelling mode, id 33.", (_TAGN,), deviation=True),
    Rule("ifsf-controller-subnet", "A controlling device lives on subnet 3.", (_TAGN,), deviation=True),
    Rule("ifsf-status-is-state", "The heartbeat's status holds the FP state.", (_ZHY,), deviation=True),
    Rule("ifsf-nozzle-always", "Log_Noz_State is 01 in every state.", (_ZHY,), deviation=True),
    Rule(
        "ifsf-other-controller",
        "A second controlling device speaks; one is served at a time here.",
        (),
        deviation=True,
    ),
    Rule("ifsf-foreign-receiver", "A message for another node.", (), deviation=True),
    Rule("ifsf-own-address", "Another node uses our own address.", (), deviation=True),
)

RULES: Final = MappingProxyType({rule.id: rule for rule in _ALL})
"""The rules by their ids."""
