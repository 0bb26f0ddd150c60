"""One address of a controller: block numbers, and the block that is not acknowledged yet."""

from __future__ import annotations

from protocols.dart.events import Eot
from protocols.dart.numbering import Receiver
from protocols.dart.wire import Control, check_address, encode_control
from protocols.sansio import Outgoing

__all__ = ["ControllerConnection"]


class ControllerConnection:
    """One address as the controller sees it: its numbers, and the block that is not acknowledged yet.

    Attributes:
        address: 0x50..0x6F.
        receiver: what came from the pump.
        frame: our block that is out or waits for another try; empty when there is none.
        attempts: how often it was sent.
        tx: its number, or the number of the next block.
        heard_us: when the pump last answered; None if never.
    """

    __slots__ = (
        "address",
        "attempts",
        "eot_bytes",
        "eot_event",
        "frame",
        "heard_us",
        "poll",
        "receiver",
        "tx",
    )

    def __init__(self, address: int) -> None:
        self.address = check_address(address)
        self.receiver = Receiver()
        self.frame = b""
        self.attempts = 0
        self.tx = 0
        self.heard_us: int | None = None
        self.poll = Outgoing(encode_control(address, Control.POLL))
        self.eot_bytes = encode_control(address, Control.EOT)
        self.eot_event = Eot(address=address)

    def restart(self) -> None:
        """Numbers to 0, nothing out. What the pump remembers does not matter: 0 is always accepted."""
        self.receiver.restart()
        self.frame = b""
        self.attempts = 0
        self.tx = 0
