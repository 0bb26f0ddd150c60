"""What the printer says: replies that wait to be sent, automatic status, and the answers to real-time requests."""

from __future__ import annotations

from collections.abc import Callable

from protocols.escpos import PrinterCondition, asb_bytes, asb_items, dle_eot_byte, gs_r_byte
from sim.printer.profile import PrinterProfile

__all__ = ["Answers"]


class Answers:
    """Collects bytes for the host.

    Args:
        profile: the model.
        condition: what status bytes are made of.
    """

    def __init__(self, profile: PrinterProfile, condition: Callable[[], PrinterCondition]) -> None:
        self._profile = profile
        self._condition = condition
        self._bytes = bytearray()
        self._due_us = 0
        self._asb = 0
        self._asb_sent: tuple[bool, ...] = ()

    @property
    def waits_until_us(self) -> int | None:
        """When gathered replies leave; None where nothing is gathered."""
        return self._due_us if self._bytes and self._profile.reply_coalesce_us else None

    def add(self, data: bytes, at_us: int) -> None:
        """Say something; it leaves after the gathering time, together with what comes until then."""
        if not self._bytes:
            self._due_us = at_us + self._profile.reply_coalesce_us
        self._bytes += data

    def take(self, now_us: int) -> bytes:
        """What is due."""
        if not self._bytes or now_us < self._due_us:
            return b""
        data = bytes(self._bytes)
        self._bytes.clear()
        return data

    def diverted(self, work: Callable[[], None]) -> bytes:
        """Do something and return what it says, instead of sending it."""
        kept, self._bytes = self._bytes, bytearray()
        work()
        said, self._bytes = bytes(self._bytes), kept
        return said

    def lose_power(self) -> None:
        """Forget everything."""
        self._bytes.clear()
        self._asb = 0

    # -- status ---------------------------------------------------------------------------------------------------

    def status_now(self, n: int, at_us: int) -> None:
        """DLE EOT ``n``."""
        byte = dle_eot_byte(n, self._condition())
        if byte is not None:
            self.add(bytes((byte,)), at_us)

    def buffered_status(self, n: int, at_us: int) -> None:
        """GS r ``n``, when its turn has come."""
        byte = gs_r_byte(n, self._condition())
        if byte is not None:
            self.add(bytes((byte,)), at_us)

    def report(self, at_us: int) -> None:
        """One automatic status block (DLE DC4 7 asks for it, too)."""
        self.add(asb_bytes(self._condition(), self._profile.asb_last_byte), at_us)

    def watch(self, enabled: int, at_us: int, *, is_told: bool = True) -> None:
        """GS a: report now and whenever something of this changes; 0 is off."""
        self._asb = enabled
        if enabled:
            self._asb_sent = asb_items(self._condition(), enabled)
            if is_told:
                self.report(at_us)

    def notice(self, condition: PrinterCondition, at_us: int) -> None:
        """Report if something watched has changed."""
        if self._asb and (items := asb_items(condition, self._asb)) != self._asb_sent:
            self._asb_sent = items
            self.report(at_us)
