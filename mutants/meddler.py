"""A machine in front of another one: what passes through can be changed, and the one behind can be exchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocols.sansio import Machine, Outgoing

__all__ = ["Meddler"]

Change = Callable[[bytes], bytes]


class Meddler:
    """Stands on the wire in place of a machine.

    Args:
        machine: the one behind; may be replaced (``replace``), as when its process was killed and started again.

    Attributes:
        outgoing: changes each burst of the machine; empty bytes are not sent. None leaves them.
        incoming: changes each burst before the machine hears it; empty bytes are not heard. None leaves them.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine: Any = machine
        self._host: Callable[[], None] | None = None
        self.outgoing: Change | None = None
        self.incoming: Change | None = None

    @property
    def on_wake(self) -> Callable[[], None] | None:
        """See `protocols.sansio.Machine`."""
        return self._host

    @on_wake.setter
    def on_wake(self, host: Callable[[], None] | None) -> None:
        self._host = host
        self._machine.on_wake = host

    def replace(self, machine: Machine) -> None:
        """Another one takes the place of the machine."""
        self._machine.on_wake = None
        self._machine = machine
        machine.on_wake = self._host
        if self._host is not None:
            self._host()

    def receive_data(self, data: bytes, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        if self.incoming is not None:
            data = self.incoming(data)
        if data:
            self._machine.receive_data(data, now_us)

    def data_to_send(self, now_us: int) -> list[Outgoing]:
        """See `protocols.sansio.Machine`."""
        out: list[Outgoing] = self._machine.data_to_send(now_us)
        if self.outgoing is None or not out:
            return out
        changed = [Outgoing(self.outgoing(burst.data), burst.not_before_us) for burst in out]
        return [burst for burst in changed if burst.data]

    def next_timer(self) -> int | None:
        """See `protocols.sansio.Machine`."""
        due_us: int | None = self._machine.next_timer()
        return due_us

    def handle_timer(self, now_us: int) -> None:
        """See `protocols.sansio.Machine`."""
        self._machine.handle_timer(now_us)
