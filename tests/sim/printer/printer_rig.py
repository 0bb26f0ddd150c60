"""A receipt printer, its host and a clock."""

from __future__ import annotations

from protocols.escpos import (
    decode_status,
    status_query,
)
from sim.printer import (
    CHINESE_80MM,
    Printer,
    PrinterEvent,
    PrinterProfile,
)

SECOND = 1_000_000


class Rig:
    """A printer and its host in one: every timer fires on time, every reply is kept with its time."""

    def __init__(self, profile: PrinterProfile = CHINESE_80MM) -> None:
        self.events: list[PrinterEvent] = []
        self.printer = Printer(profile, self.events.append)
        self.replies: list[tuple[int, bytes]] = []
        self.now_us = 0

    def drain(self) -> None:
        for outgoing in self.printer.data_to_send(self.now_us):
            self.replies.append((self.now_us, outgoing.data))

    def send(self, data: bytes) -> None:
        self.printer.receive_data(data, self.now_us)
        self.drain()

    def run(self, until_us: int | None = None) -> None:
        """Fire timers until an instant, or until none is left."""
        while (due := self.printer.next_timer()) is not None and (until_us is None or due <= until_us):
            self.now_us = max(self.now_us, due)
            self.printer.handle_timer(self.now_us)
            self.drain()
        if until_us is not None:
            self.now_us = max(self.now_us, until_us)

    def status(self) -> object:
        self.replies.clear()
        self.send(status_query())
        return decode_status(b"".join(data for _, data in self.replies))

    @property
    def texts(self) -> list[str]:
        return [receipt.text for receipt in self.printer.receipts]


def lines(*texts: str) -> bytes:
    return b"".join(text.encode("gb18030") + b"\n" for text in texts)


CUT = b"\x1dVB\x00"


LINE_US = 25_000
"""30 dots of 0.125 mm at 150 mm/s."""


def query(rig: Rig) -> bytes:
    rig.replies.clear()
    rig.send(status_query())
    return b"".join(data for _, data in rig.replies)
