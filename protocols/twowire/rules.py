"""What this package takes for true of Two-Wire, and how well each point is supported.

A certifier may fail a device only on a rule with two or more independent sources (`Rule.mandatory`); the others give a
warning or a remark. Six authors were compared: dimoskar/ASFuelControlV1, huyhk/Megatech.Gilbarco.Console,
fangym0335/first, proyectos1Insepet/CorEx-MUX-Kernel-Enhanced, a Python controller of an SK700-II and a Rust
controller with notes on its line.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["RULES", "Rule"]

_ASFUEL: Final = "dimoskar/ASFuelControlV1"
_MEGATECH: Final = "huyhk/Megatech.Gilbarco.Console"
_FIRST: Final = "fangym0335/first"
_COREX: Final = "proyectos1Insepet/CorEx-MUX-Kernel-Enhanced"
_FOUR: Final = (_ASFUEL, _MEGATECH, _FIRST, _COREX)


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
        id="twowire-line",
        text="5787 baud (5760 works), 8 data bits, even parity, 1 stop bit on a current loop.",
        count=4,
    ),
    Rule(id="twowire-line-9600", text="Changji heads and some converters run 9600 8N1.", count=1),
    Rule(
        id="twowire-echo",
        text="Some converters give the controller's bytes back before the answer, others do not: an option of the link.",
        count=3,
        sources=(_ASFUEL, _MEGATECH, _FIRST),
    ),
    Rule(id="twowire-reply-68ms", text="A pump answers within 68 ms.", count=2),
    Rule(
        id="twowire-settle-68ms",
        text="Between a command without answer and the next status poll there are at least 68 ms.",
        count=2,
    ),
    Rule(id="twowire-gap-10ms", text="Between commands there are at least 10 ms.", count=2),
    Rule(id="twowire-data-retry-2s", text="2p is repeated only after 2 s.", count=2),
    Rule(
        id="twowire-price-read-back",
        text="A price is read back by the totals, 1 s after it was sent.",
        count=2,
    ),
    Rule(
        id="twowire-commands",
        text="Command in the high nibble (0 status, 1 authorise, 2 data, 3 stop, 4 transaction, 5 totals, 6 money), pump in the low one.",
        count=6,
        sources=_FOUR,
    ),
    Rule(id="twowire-pump-16", text="Pumps are 1..16; 16 travels as 0.", count=6, sources=_FOUR),
    Rule(id="twowire-all-stop", text="FC stops every pump.", count=6, sources=_FOUR),
    Rule(
        id="twowire-status",
        text="The status answer carries 0, 6, 7, 8, 9, A, B, C or D in the high nibble and the pump in the low one.",
        count=6,
        sources=_FOUR,
    ),
    Rule(
        id="twowire-words",
        text="Digits are E0..E9, least significant first; FF begins, F0 ends, FB goes before the check word.",
        count=6,
        sources=_FOUR,
    ),
    Rule(
        id="twowire-lrc",
        text="The check word is the negative nibble of the sum of all words from FF to FB.",
        count=6,
        sources=_FOUR,
    ),
    Rule(
        id="twowire-length-word",
        text="The second word of a sent block is the negative nibble of the number of words without FF and F0.",
        count=3,
        sources=(_ASFUEL, _COREX),
    ),
    Rule(
        id="twowire-length-unchecked",
        text="Some heads take a preset with the length word E3 whatever its length.",
        count=1,
        sources=(_FIRST,),
    ),
    Rule(
        id="twowire-price-block",
        text="FF E5 F4 F6 grade F7 four digits: no answer.",
        count=6,
        sources=_FOUR,
    ),
    Rule(
        id="twowire-preset",
        text="F1 with 5 digits presets a volume, F2 with 6 digits money; all digits 0 cancel.",
        count=3,
    ),
    Rule(
        id="twowire-preset-money-5",
        text="A money preset with 5 digits is understood.",
        count=1,
        sources=(_ASFUEL,),
    ),
    Rule(
        id="twowire-preset-grade",
        text="A preset may name level and grade before its value.",
        count=2,
        sources=(_COREX, _FIRST),
    ),
    Rule(
        id="twowire-preset-money-grade",
        text="A money preset may name a grade; Changji heads let only volume presets do so.",
        count=1,
        sources=(_COREX,),
    ),
    Rule(
        id="twowire-nozzle-query",
        text="Special function 010 asks which nozzle is out; it is answered in the states call, busy and stopped only.",
        count=3,
        sources=(_ASFUEL, _FIRST),
    ),
    Rule(
        id="twowire-nozzle-record",
        text="Its answer has 19 bytes: byte 3 the pump, byte 9 a flag for decimals of totals, byte 14 the nozzle, at the end 8D 8A.",
        count=3,
        sources=(_FIRST,),
    ),
    Rule(
        id="twowire-nozzle-record-check",
        text="Bytes 15 and 16 of it are the negative sum of the seven pairs before them: read off two captures.",
        count=1,
        sources=(_FIRST,),
    ),
    Rule(
        id="twowire-transaction",
        text="The transaction block has 33 words: pump, grade, price, volume, money.",
        count=5,
        sources=_FOUR,
    ),
    Rule(
        id="twowire-transaction-unknown",
        text="The word after its F8 and the three after the pump vary; nobody says what they mean, so they are never judged.",
        count=2,
    ),
    Rule(
        id="twowire-totals",
        text="The totals block has 30 words for each grade, with both prices, and four around them.",
        count=5,
        sources=_FOUR,
    ),
    Rule(
        id="twowire-money",
        text="Running money is six digits without a frame.",
        count=6,
        sources=_FOUR,
    ),
    Rule(
        id="twowire-eight-digits",
        text="Eight-digit heads: price 6, volume 8, money 8, totals 12 digits.",
        count=2,
        sources=(_MEGATECH, _COREX),
    ),
    Rule(
        id="twowire-eight-digit-presets",
        text="Their presets have 7 and 8 digits: a guess by analogy, a parameter of the model.",
        count=0,
    ),
    Rule(
        id="twowire-decimals",
        text="The wire carries no decimal points; they are the site's setting.",
        count=3,
    ),
    Rule(
        id="twowire-cycle",
        text="6 idle, 7 on lift, 8 on 1p, 9 on flow, A or B when hung up; it stays there until 4p is read, then 6.",
        count=4,
        sources=_FOUR,
    ),
    Rule(id="twowire-pre-authorise", text="1p in 6 authorises ahead of the lift.", count=4, sources=_FOUR),
    Rule(
        id="twowire-stop",
        text="3p changes nothing in 7, leads from 8 to 6 and from 9 to C.",
        count=4,
        sources=_FOUR,
    ),
    Rule(
        id="twowire-silent-commands",
        text="1p and 3p have no answer: their effect is looked for in the status.",
        count=6,
        sources=_FOUR,
    ),
    Rule(id="twowire-totals-lag", text="Totals may lag behind the end of a delivery.", count=1),
    Rule(
        id="twowire-sale-by-totals",
        text="A sale is also found by the difference of totals.",
        count=1,
        sources=(_FIRST,),
    ),
    Rule(
        id="twowire-read-after-offline",
        text="After a lost link everything is read before anything is commanded.",
        count=1,
        sources=(_FIRST,),
    ),
)

RULES: Final = MappingProxyType({rule.id: rule for rule in _ALL})
"""Every rule, by its id, from the line upwards."""
