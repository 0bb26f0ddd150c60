"""What this package takes for true of Two-Wire, and how well each point is supported.

Six authors were compared: dimoskar/ASFuelControlV1, huyhk/Megatech.Gilbarco.Console,
fangym0335/first, proyectos1Insepet/CorEx-MUX-Kernel-Enhanced, a Python controller of an SK700-II and a Rust
controller with notes on its line.
"""

from __future__ import annotations

from typing import Final

from protocols.rules import Rule, by_id

__all__ = ["RULES"]

_ASFUEL: Final = "dimoskar/ASFuelControlV1"
_MEGATECH: Final = "huyhk/Megatech.Gilbarco.Console"
_FIRST: Final = "fangym0335/first"
_COREX: Final = "proyectos1Insepet/CorEx-MUX-Kernel-Enhanced"
_FOUR: Final = (_ASFUEL, _MEGATECH, _FIRST, _COREX)

RULES: Final = by_id(
    Rule(
        "twowire-line", "5787 baud (5760 works), 8 data bits, even parity, 1 stop bit on a current loop.", 4
    ),
    Rule("twowire-line-9600", "Changji heads and some converters run 9600 8N1.", 1),
    Rule(
        "twowire-echo",
        "Some converters give the controller's bytes back before the answer, others do not: an option of the link.",
        3,
        (_ASFUEL, _MEGATECH, _FIRST),
    ),
    Rule("twowire-reply-68ms", "A pump answers within 68 ms.", 2),
    Rule(
        "twowire-settle-68ms",
        "Between a command without answer and the next status poll there are at least 68 ms.",
        2,
    ),
    Rule("twowire-gap-10ms", "Between commands there are at least 10 ms.", 2),
    Rule("twowire-data-retry-2s", "2p is repeated only after 2 s.", 2),
    Rule("twowire-price-read-back", "A price is read back by the totals, 1 s after it was sent.", 2),
    Rule(
        "twowire-commands",
        "Command in the high nibble (0 status, 1 authorise, 2 data, 3 stop, 4 transaction, 5 totals, 6 money), pump in the low one.",
        6,
        _FOUR,
    ),
    Rule("twowire-pump-16", "Pumps are 1..16; 16 travels as 0.", 6, _FOUR),
    Rule("twowire-all-stop", "FC stops every pump.", 6, _FOUR),
    Rule(
        "twowire-status",
        "The status answer carries 0, 6, 7, 8, 9, A, B, C or D in the high nibble and the pump in the low one.",
        6,
        _FOUR,
    ),
    Rule(
        "twowire-words",
        "Digits are E0..E9, least significant first; FF begins, F0 ends, FB goes before the check word.",
        6,
        _FOUR,
    ),
    Rule(
        "twowire-lrc",
        "The check word is the negative nibble of the sum of all words from FF to FB.",
        6,
        _FOUR,
    ),
    Rule(
        "twowire-length-word",
        "The second word of a sent block is the negative nibble of the number of words without FF and F0.",
        3,
        (_ASFUEL, _COREX),
    ),
    Rule(
        "twowire-length-unchecked",
        "Some heads take a preset with the length word E3 whatever its length.",
        1,
        (_FIRST,),
    ),
    Rule("twowire-price-block", "FF E5 F4 F6 grade F7 four digits: no answer.", 6, _FOUR),
    Rule(
        "twowire-preset", "F1 with 5 digits presets a volume, F2 with 6 digits money; all digits 0 cancel.", 3
    ),
    Rule("twowire-preset-money-5", "A money preset with 5 digits is understood.", 1, (_ASFUEL,)),
    Rule("twowire-preset-grade", "A preset may name level and grade before its value.", 2, (_COREX, _FIRST)),
    Rule(
        "twowire-preset-money-grade",
        "A money preset may name a grade; Changji heads let only volume presets do so.",
        1,
        (_COREX,),
    ),
    Rule(
        "twowire-nozzle-query",
        "Special function 010 asks which nozzle is out; it is answered in the states call, busy and stopped only.",
        3,
        (_ASFUEL, _FIRST),
    ),
    Rule(
        "twowire-nozzle-record",
        "Its answer has 19 bytes: byte 3 the pump, byte 9 a flag for decimals of totals, byte 14 the nozzle, at the end 8D 8A.",
        3,
        (_FIRST,),
    ),
    Rule(
        "twowire-nozzle-record-check",
        "Bytes 15 and 16 of it are the negative sum of the seven pairs before them: read off two captures.",
        1,
        (_FIRST,),
    ),
    Rule(
        "twowire-transaction",
        "The transaction block has 33 words: pump, grade, price, volume, money.",
        5,
        _FOUR,
    ),
    Rule(
        "twowire-transaction-unknown",
        "The word after its F8 and the three after the pump vary; nobody says what they mean, so they are never judged.",
        2,
    ),
    Rule(
        "twowire-totals",
        "The totals block has 30 words for each grade, with both prices, and four around them.",
        5,
        _FOUR,
    ),
    Rule("twowire-money", "Running money is six digits without a frame.", 6, _FOUR),
    Rule(
        "twowire-eight-digits",
        "Eight-digit heads: price 6, volume 8, money 8, totals 12 digits.",
        2,
        (_MEGATECH, _COREX),
    ),
    Rule(
        "twowire-eight-digit-presets",
        "Their presets have 7 and 8 digits: a guess by analogy, a parameter of the model.",
        0,
    ),
    Rule("twowire-decimals", "The wire carries no decimal points; they are the site's setting.", 3),
    Rule(
        "twowire-cycle",
        "6 idle, 7 on lift, 8 on 1p, 9 on flow, A or B when hung up; it stays there until 4p is read, then 6.",
        4,
        _FOUR,
    ),
    Rule("twowire-pre-authorise", "1p in 6 authorises ahead of the lift.", 4, _FOUR),
    Rule("twowire-stop", "3p changes nothing in 7, leads from 8 to 6 and from 9 to C.", 4, _FOUR),
    Rule(
        "twowire-silent-commands",
        "1p and 3p have no answer: their effect is looked for in the status.",
        6,
        _FOUR,
    ),
    Rule("twowire-totals-lag", "Totals may lag behind the end of a delivery.", 1),
    Rule("twowire-sale-by-totals", "A sale is also found by the difference of totals.", 1, (_FIRST,)),
    Rule(
        "twowire-read-after-offline",
        "After a lost link everything is read before anything is commanded.",
        1,
        (_FIRST,),
    ),
)
"""Every rule, by its id, from the line upwards."""
