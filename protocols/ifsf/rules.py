"""What this package takes for true of IFSF over TCP/IP, and how well each point is supported."""

from __future__ import annotations

from typing import Final

from protocols.rules import Rule, by_id

__all__ = ["RULES"]

_ZHANG: Final = "zhang98722/ifsf-communication"
_TAGN: Final = "tagnpeng/ifsf"
_FIRST: Final = "fangym0335/first"
_ZHY: Final = "ycxzfforever/ZHY_IFSF_AM3352"
_FOUR: Final = (_ZHANG, _TAGN, _FIRST, _ZHY)

RULES: Final = by_id(
    Rule(
        "ifsf-heartbeat",
        "A node broadcasts ten bytes by UDP every 10 s: address, port, subnet, node, 1, status.",
        4,
        _FOUR,
    ),
    Rule("ifsf-heartbeat-lost", "A node that three heartbeats are missing of is gone.", 2, (_FIRST, _ZHY)),
    Rule(
        "ifsf-heartbeat-status",
        "Status bit 0 asks for configuration, bit 3 for a software refresh.",
        1,
        (_FIRST,),
    ),
    Rule(
        "ifsf-simplex",
        "Each side dials the other; commands and answers go on the connection that their sender dialled.",
        3,
        (_TAGN, _FIRST, _ZHY),
    ),
    Rule(
        "ifsf-framing",
        "A message is framed by its length alone; segments hold any number or part of them.",
        4,
        _FOUR,
    ),
    Rule("ifsf-token", "Answer and acknowledgement echo the token of the request.", 4, _FOUR),
    Rule("ifsf-long-length", "A length of 255 or more is FF and two bytes.", 1, (_FIRST,)),
    Rule("ifsf-numbers", "A number is a sign-and-point byte and packed decimal digits.", 4, _FOUR),
    Rule("ifsf-states", "Fuelling points have the states 1 to 9.", 4, _FOUR),
    Rule("ifsf-not-available", "An element that is not there is answered with length 0.", 2, (_FIRST, _ZHY)),
    Rule(
        "ifsf-ack-elements",
        "Status 5 lists every element of the write with its code.",
        3,
        (_TAGN, _FIRST, _ZHY),
    ),
    Rule(
        "ifsf-closing-ack", "A read of a group ends with an acknowledgement of status 0.", 2, (_FIRST, _ZHY)
    ),
    Rule(
        "ifsf-command-table",
        "Commands are taken in the states of the command table.",
        3,
        (_FIRST, _ZHANG, _TAGN),
    ),
    Rule(
        "ifsf-illegal-command",
        "An illegal command also brings an error and the status message.",
        1,
        (_FIRST,),
    ),
    Rule(
        "ifsf-unpaid-limit",
        "Release is refused (6) while the unpaid transactions are at their limit.",
        1,
        (_FIRST,),
    ),
    Rule("ifsf-sequence", "Transactions are numbered 1 to 9999 and then 1 again.", 4, _FOUR),
    Rule("ifsf-zero-sale", "With ZeroTR_Mode 0 a sale without fuel is not stored.", 1, (_FIRST,)),
    Rule(
        "ifsf-nozzle-bits",
        "A set bit of Log_Noz_State means that the nozzle is out.",
        3,
        (_ZHANG, _TAGN, _FIRST),
    ),
    Rule(
        "ifsf-transaction-message",
        "A transaction is told when it is made and when it is cleared.",
        2,
        (_FIRST, _ZHY),
    ),
    Rule("ifsf-unlock", "An unlocked transaction is payable again; the sources differ, one clears it.", 0),
    Rule(
        "ifsf-stand-alone",
        "Without its controlling device a dispenser goes on and uploads later.",
        2,
        (_FIRST, _ZHY),
    ),
    Rule("ifsf-running-period", "Data id 59 counts tenths of a second.", 0),
    Rule(
        "ifsf-price-event", "Code 99 tells that a new price holds (China).", 2, (_FIRST, _ZHY), deviation=True
    ),
    Rule(
        "ifsf-status-to-nobody",
        "Status messages to node 0.0 before anyone asked.",
        1,
        (_ZHY,),
        deviation=True,
    ),
    Rule("ifsf-recipient-code-2", "A recipient is added with message code 2.", 1, (_ZHY,), deviation=True),
    Rule(
        "ifsf-mask-id", "The nozzle mask is written to the fuelling mode, id 33.", 1, (_TAGN,), deviation=True
    ),
    Rule("ifsf-controller-subnet", "A controlling device lives on subnet 3.", 1, (_TAGN,), deviation=True),
    Rule("ifsf-status-is-state", "The heartbeat's status holds the FP state.", 1, (_ZHY,), deviation=True),
    Rule("ifsf-nozzle-always", "Log_Noz_State is 01 in every state.", 1, (_ZHY,), deviation=True),
    Rule(
        "ifsf-other-controller",
        "A second controlling device speaks; one is served at a time here.",
        0,
        deviation=True,
    ),
    Rule("ifsf-foreign-receiver", "A message for another node.", 0, deviation=True),
    Rule("ifsf-own-address", "Another node uses our own address.", 0, deviation=True),
)
"""The rules by their ids."""
