"""The operator's hand: paper, cover, cutter, feed button, drawer, power, and what breaks."""

from __future__ import annotations

from sim.printer.mechanism import Mechanism
from sim.printer.profile import PrinterProfile

__all__ = ["Hands"]


class Hands:
    """Controls of a printer. Give ``now_us`` when it is known, else the time of the last wire event or timer counts."""

    profile: PrinterProfile
    _mechanism: Mechanism
    _now_us: int
    _buttons_work: bool

    def _control(self, now_us: int | None) -> None:
        raise NotImplementedError

    def _after_control(self) -> None:
        raise NotImplementedError

    def paper_out(self, now_us: int | None = None) -> None:
        """The paper runs out now: the line in progress ends, then the printer stops."""
        self._control(now_us)
        self._mechanism.take_paper_out()
        self._after_control()

    def load_paper(self, length_mm: int | None = None, now_us: int | None = None) -> None:
        """Put in a roll (a new one of the profile's length by default) and go on with what is buffered.

        Raises:
            ValueError: a length that is not above 0.
        """
        length_mm = self.profile.roll_mm if length_mm is None else length_mm
        if length_mm <= 0:
            raise ValueError(f"a roll has a length above 0 mm, not {length_mm}")
        self._control(now_us)
        self._mechanism.load_paper(length_mm, self._now_us)
        self._after_control()

    def open_cover(self, now_us: int | None = None) -> None:
        """Open the cover. In mid-line it is an error too, which closing it clears."""
        self._control(now_us)
        self._mechanism.open_cover(self._now_us)
        self._after_control()

    def close_cover(self, now_us: int | None = None) -> None:
        """Close the cover."""
        self._control(now_us)
        self._mechanism.close_cover()
        self._after_control()

    def jam_cutter(self, now_us: int | None = None) -> None:
        """The next cut fails."""
        self._control(now_us)
        self._mechanism.cutter_jammed = True
        self._after_control()

    def clear_jam(self, now_us: int | None = None) -> None:
        """Remove the jam; the error itself stays until DLE ENQ 1 or 2, or power-on."""
        self._control(now_us)
        self._mechanism.cutter_jammed = False
        self._after_control()

    def overheat(self, for_us: int | None = None, now_us: int | None = None) -> None:
        """The head is too hot: an error that ends by itself after ``for_us`` (the profile's time by default).

        Raises:
            ValueError: a time that is not above 0.
        """
        for_us = self.profile.cool_down_us if for_us is None else for_us
        if for_us <= 0:
            raise ValueError(f"a head cools down in a time above 0 us, not {for_us}")
        self._control(now_us)
        self._mechanism.overheat(self._now_us, self._now_us + for_us)
        self._after_control()

    def break_down(self, now_us: int | None = None) -> None:
        """An unrecoverable error (a broken wire, a voltage): it stays until it is repaired and power comes back."""
        self._control(now_us)
        self._mechanism.break_down(self._now_us)
        self._after_control()

    def repair(self, now_us: int | None = None) -> None:
        """Remove the cause of an unrecoverable error; the error itself stays until power-on."""
        self._control(now_us)
        self._mechanism.has_defect = False
        self._after_control()

    def press_feed(self, held: bool = True, now_us: int | None = None) -> bool:
        """Hold down the feed button, or let it go. False: ESC c 5 has switched it off, nothing happens."""
        self._control(now_us)
        if held and not self._buttons_work:
            return False
        self._mechanism.press_feed(held, self._now_us)
        self._after_control()
        return True

    def tear_off(self, now_us: int | None = None) -> None:
        """Tear off by hand what hangs out: it becomes a receipt that ends ``torn``."""
        self._control(now_us)
        self._mechanism.tear_off(self._now_us)
        self._after_control()

    def close_drawer(self, now_us: int | None = None) -> None:
        """Push the cash drawer shut."""
        self._control(now_us)
        self._mechanism.drawer_open = False
        self._after_control()
