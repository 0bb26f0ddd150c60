"""A simulated IFSF dispenser that a test talks to as its controlling device."""

from __future__ import annotations

from typing import Any

from protocols.ifsf import (
    Address,
    Element,
    Endpoint,
    FpState,
    Heartbeat,
    Message,
    MessageKind,
    decode_message,
    encode_message,
)
from sim.dispenser import (
    Dispenser,
    DispenserProfile,
    FuellingPoint,
    IfsfDispenser,
    IfsfOptions,
    Nozzle,
    Tank,
)

CD = Address(2, 1)


OPEN, CLOSE, RELEASE, TERMINATE, SUSPEND, RESUME = range(60, 66)


CLEAR, LOCK, UNLOCK = 30, 31, 32


class Bench:
    """A dispenser with one controlling device that hears and says bytes."""

    def __init__(
        self,
        *,
        node: int = 3,
        points: int = 1,
        prices: tuple[int, ...] = (830,),
        cd: Address = CD,
        recipient: bool = True,
        profile: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        grades = ("92", "95", "98", "diesel")
        made = [
            FuellingPoint(
                number,
                [
                    Nozzle(
                        logical=logical,
                        nozzle_id=10 * number + logical,
                        grade=grades[logical - 1],
                        tank=Tank(10 * number + logical, grades[logical - 1]),
                        price_fen_per_l=price,
                    )
                    for logical, price in enumerate(prices, start=1)
                ],
                profile=DispenserProfile(**(profile or {})),
            )
            for number in range(1, points + 1)
        ]
        self.dispenser = Dispenser(made)
        self.node = IfsfDispenser(self.dispenser, node, options=IfsfOptions(**options))
        self.cd = cd
        self.now_us = 0
        self.token = 0
        self.points = made
        self.fp = made[0]
        self.place = self.node.points[1]
        self.node.start(Endpoint("127.0.0.1", 8801), 0)
        self.heartbeat()
        self.node.connection_made(0)
        self.node.accepted(0)
        if recipient:
            self.write(b"\x00", Element(11, cd.encode()))
            self.heard()

    def heartbeat(self) -> None:
        self.node.receive_datagram(Heartbeat("127.0.0.1", 8888, self.cd).encode(), self.now_us)

    def run(self, seconds: float, *, alive: bool = True) -> None:
        end_us = self.now_us + round(seconds * 1_000_000)
        next_us = self.now_us
        while (due := self.node.next_timer()) is not None and due <= end_us:
            self.now_us = max(self.now_us, due)
            if alive and self.now_us >= next_us:
                self.heartbeat()
                next_us = self.now_us + 5_000_000
            self.node.handle_timer(self.now_us)
        self.now_us = end_us

    def say(self, text: str) -> list[str]:
        """Captured bytes in, the answers as hex out (without the messages that come unasked)."""
        raw = bytes.fromhex(text.replace(" ", ""))
        self.node.receive_data(raw, self.now_us)
        return [one.data.hex() for one in self.node.data_to_send(self.now_us)]

    def write(self, database: bytes, *elements: Element) -> Message:
        return self._ask(MessageKind.WRITE, database, elements=elements)[0]

    def read(self, database: bytes, *ids: int) -> list[Message]:
        return self._ask(MessageKind.READ, database, ids=ids)

    def _ask(self, kind: MessageKind, database: bytes, **content: Any) -> list[Message]:
        self.token = (self.token + 1) % 32
        message = Message(
            receiver=self.node.own,
            originator=self.cd,
            kind=kind,
            token=self.token,
            database=database,
            **content,
        )
        self.node.receive_data(encode_message(message), self.now_us)
        self.notices: list[Message] = []
        replies = []
        for out in self.node.data_to_send(self.now_us):
            reply = decode_message(out.data)
            (self.notices if reply.kind is MessageKind.NOTICE else replies).append(reply)
        assert all(reply.token == self.token for reply in replies)
        return replies

    def heard(self) -> list[Message]:
        return [decode_message(out.data) for out in self.node.data_to_send(self.now_us)]

    def command(self, data_id: int) -> int:
        """Data_Ack of a command to fuelling point 1; 0 is taken."""
        reply = self.write(b"\x21", Element(data_id))
        return dict(reply.verdicts).get(data_id, 0)

    def fill(self, seconds: float = 20, *, flow: int = 30_000) -> None:
        self.fp.lift(1, self.now_us)
        if self.fp.state == FpState.CALLING:
            assert self.command(RELEASE) == 0
        self.fp.squeeze(self.now_us, flow)
        self.run(seconds)
        self.fp.hang_up(self.now_us)


def closed(bench: Bench) -> None:
    assert bench.fp.state == 2
