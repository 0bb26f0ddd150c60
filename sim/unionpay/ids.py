"""Numbers in the platform's shapes, all drawn from one stream, so a run repeats them."""

from __future__ import annotations

import random
from datetime import datetime

from protocols.unionpay import CHINA

__all__ = ["Ids"]


class Ids:
    """Draws numbers; times are Unix seconds and appear in them as China time."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._trace = rng.randrange(10**6)

    def _digits(self, count: int) -> str:
        return f"{self._rng.randrange(10**count):0{count}d}"

    def trace_no(self) -> str:
        """``traceNo``: six digits, one after the other."""
        self._trace = (self._trace + 1) % 10**6
        return f"{self._trace:06d}"

    def query_id(self, unix_s: int, trace_no: str) -> str:
        """21 digits: two, ``yyMMddHHmmss``, the trace number, one (the shape of numbers seen from the test gateway)."""
        moment = datetime.fromtimestamp(unix_s, CHINA).strftime("%y%m%d%H%M%S")
        return f"{self._digits(2)}{moment}{trace_no}{self._digits(1)}"

    def tn(self, unix_s: int) -> str:
        """21 digits."""
        return f"{datetime.fromtimestamp(unix_s, CHINA).strftime('%Y%m%d%H%M%S')}{self._digits(7)}"

    def page(self) -> str:
        """Number of a cashier page."""
        return self._digits(24)

    def qr_code(self) -> str:
        """What the pump shows, a URL; the path is in the shape of those in public test material."""
        return f"https://qr.95516.com/00010000/62{self._digits(30)}"

    def payer_code(self) -> str:
        """The payer's own code: 19 digits beginning 62."""
        return f"62{self._digits(17)}"

    def masked_card(self) -> str:
        """A card as a notice shows it. The middle never existed: nobody can print what nobody has."""
        return f"62{self._digits(4)}{'*' * 9}{self._digits(4)}"
