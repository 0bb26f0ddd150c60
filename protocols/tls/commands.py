"""The console's side of the input: characters become commands.

No end character is defined for a command: it is complete with its function code and as much data as its function takes. Real
clients send CR, LF or both behind it, and short texts end there; what stands between commands is passed over.

Sources: Veeder-Root 576013-635 rev. U, sections 3 (stacking, 128 characters), 5 (command message format, security code,
ESC); data lengths from the command formats of section 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .framing import ESC, SOH

__all__ = [
    "DATA_LENGTHS",
    "Command",
    "CommandEvent",
    "CommandParser",
    "Escape",
    "WrongSecurityCode",
    "command",
]

CODE_LENGTH: Final = 6

DATA_LENGTHS: Final[dict[str, tuple[int, int]]] = {
    "I21B": (2, 2),
    "S054": (3, 3),
    "S501": (10, 10),
    "S503": (20, 20),
    "S504": (6, 6),
    "S517": (3, 3),
    "S601": (1, 1),
    "S602": (20, 20),
    "S603": (1, 1),
    "S604": (6, 8),
    "S605": (24, 32),
    "S606": (120, 160),
    "S607": (6, 8),
    "S608": (6, 8),
    "S609": (8, 8),
    "S621": (6, 8),
    "S622": (6, 8),
    "S623": (6, 8),
    "S624": (4, 8),
    "S625": (6, 8),
    "S626": (6, 8),
    "S627": (4, 8),
    "S628": (6, 8),
}
"""Data characters by letter and function: (display format, computer format). What is not listed takes none."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command.

    Attributes:
        code: the six characters as received, for example ``i20100``.
        data: what followed them.
    """

    code: str
    data: str = ""

    @property
    def is_display(self) -> bool:
        """Whether the reply is wanted in display format (an upper-case letter)."""
        return self.code[0].isupper()

    @property
    def function(self) -> str:
        """Letter and number in upper case: ``I201``, ``S21B``."""
        return self.code[:4].upper()

    @property
    def device(self) -> int | None:
        """Tank, line or sensor number; 0 means all; None if the two characters are no number."""
        text = self.code[4:]
        return int(text) if text.isascii() and text.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Escape:
    """The host wants no more of the reply that is being sent."""


@dataclass(frozen=True, slots=True)
class WrongSecurityCode:
    """A command without the right security code: it is not answered at all."""


CommandEvent = Command | Escape | WrongSecurityCode


def command(function: str, device: int = 0, data: str = "", *, security_code: str = "") -> bytes:
    """A command as a host sends it: ``command("i201")`` asks for all inventories in computer format.

    Args:
        function: letter and three characters.
        device: 0 for all.
        data: data field.
        security_code: six characters, where the console wants one.
    """
    return bytes([SOH]) + f"{security_code}{function}{device:02d}{data}".encode("ascii") + b"\r\n"


class CommandParser:
    """Turns characters into events. It is fed one character at a time, by a console that may be busy in between.

    Attributes:
        security_code: six characters that each command must begin with; empty for none.
        noise: characters that belong to no command.
    """

    def __init__(self, security_code: str = "") -> None:
        self.security_code = security_code
        self.noise = 0
        self._text = ""
        self._is_open = False

    def reset(self) -> None:
        """Forget a command that is only half there."""
        self._text = ""
        self._is_open = False

    def feed(self, byte: int) -> list[CommandEvent]:
        """One character; gives what it completes: nothing, one event, or two (SOH ends a short text)."""
        if byte == ESC:
            self.reset()
            return [Escape()]
        if byte == SOH:
            done = self._end()
            self._text, self._is_open = "", True
            return done
        if not self._is_open:
            self.noise += byte not in b"\r\n\x00"
            return []
        if byte in b"\r\n":
            return self._end()
        if not 0x20 <= byte <= 0x7E:
            self.noise += 1
            return []
        self._text += chr(byte)
        return self._end() if len(self._text) >= self._wanted() else []

    def _wanted(self) -> int:
        """How many characters the command has when it is complete, as far as it is known yet."""
        head = len(self.security_code)
        code = self._text[head : head + CODE_LENGTH]
        if len(code) < CODE_LENGTH:
            return head + CODE_LENGTH
        display, computer = DATA_LENGTHS.get(code[:4].upper(), (0, 0))
        return head + CODE_LENGTH + (display if code[0].isupper() else computer)

    def _end(self) -> list[CommandEvent]:
        text, is_open = self._text, self._is_open
        self.reset()
        head = len(self.security_code)
        if not is_open or not text:
            return []
        if text[:head] != self.security_code:
            return [WrongSecurityCode()]
        code = text[head : head + CODE_LENGTH]
        if len(code) < CODE_LENGTH:
            self.noise += len(text)
            return []
        return [Command(code, text[head + CODE_LENGTH :])]
