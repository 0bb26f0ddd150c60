"""What the receipt printer's paper says, copy by copy: a torn strip may hold the beginning of one receipt and the whole of the next."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

from protocols.escpos import read_receipt
from scenarios.record import LedgerSale, Receipt
from sim.printer import Receipt as Paper
from sim.printer import TextLine

__all__ = ["printed_receipts"]

_HEADING: Final = "加油小票"
_SECOND_US: Final = 1_000_000


def printed_receipts(
    papers: Iterable[Paper], unfinished: Paper | None, ledger: Iterable[LedgerSale], epoch_us: int
) -> tuple[Receipt, ...]:
    """Every copy that was begun, in order; blank strips are left out.

    Args:
        papers: what left the printer.
        unfinished: what hangs out of it.
        ledger: tells whose they are.
        epoch_us: Unix time at the start of the run.
    """
    by_key = {sale.key: sale.sale_id for sale in ledger if sale.corrects is None}
    found = []
    for paper in [*papers, *([] if unfinished is None else [unfinished])]:
        for text, in_one_piece in _copies(paper):
            facts = read_receipt(text)
            if facts.station is None and facts.nozzle is None:
                continue
            key = (facts.station or "", facts.nozzle or 0, facts.sequence or 0)
            found.append(
                Receipt(
                    sale_id=by_key.get(key, f"unknown sale {key}"),
                    volume_ml=facts.volume_ml or 0,
                    amount_fen=facts.amount_fen or 0,
                    copy=facts.reprint > 0,
                    complete=in_one_piece and paper is not unfinished and facts.paid_fen is not None,
                    reprint=facts.reprint,
                    nozzle=facts.nozzle,
                    price_fen_per_l=facts.price_fen_per_l,
                    grade=facts.grade,
                    discount_fen=facts.discount_fen,
                    paid_fen=facts.paid_fen,
                    pay_method=facts.pay_method,
                    ended_us=None if facts.ended_s is None else facts.ended_s * _SECOND_US - epoch_us,
                )
            )
    return tuple(found)


def _copies(paper: Paper) -> Iterator[tuple[str, bool]]:
    """(text, is in one piece) between one heading and the next."""
    rows = [line.text(paper.width_dots) if isinstance(line, TextLine) else "" for line in paper.lines]
    starts = [number for number, row in enumerate(rows) if row.strip() == _HEADING]
    # Paper without a heading is nobody's receipt: something else was printed.
    for start, end in itertools.pairwise([*starts, len(rows)]):
        # What happens after its last line, such as a jam at the cut, leaves a copy whole.
        cut = any(start < event.after_line < end for event in paper.interruptions)
        yield "\n".join(rows[start:end]), not cut and (paper.end != "torn" or end < len(rows))
