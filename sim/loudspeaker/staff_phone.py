"""A phone of the staff: what it makes of a message, by its system and the state that it is in.

As the systems' own documents have it: only an app in the foreground may speak; in the background the system shows the notification and
plays its sound unless the phone is silent or a focus mode holds it back; an Android phone that dozes lets only messages of high priority
through; both throw away what has expired, and show one notification for one collapse key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Reaction", "StaffPhone"]

Reaction = Literal["speech", "sound", "vibration", "shown", "later", "repeated", "expired"]
"""What people notice, from the most to the least; ``later`` means when the phone wakes."""


@dataclass
class StaffPhone:
    """A phone.

    Attributes:
        system: ``ios`` or ``android``.
        is_foreground: the app is open on the screen.
        is_silent: the ring switch is off.
        focus: a focus or do-not-disturb mode is on; ``time-sensitive`` lets such notifications through.
        is_dozing: Android only: it lies unused.
        notifications: titles and bodies on its screen, by key.
    """

    system: Literal["ios", "android"]
    is_foreground: bool = False
    is_silent: bool = False
    focus: Literal["off", "time-sensitive", "all"] = "off"
    is_dozing: bool = False
    notifications: dict[str, tuple[str, str]] = field(default_factory=dict)
    spoken: list[str] = field(default_factory=list)

    def receive(self, message: Mapping[str, Any], unix_us: int) -> Reaction:
        """A message arrives.

        Raises:
            KeyError: its system's part of the message lacks something.
        """
        data = message["data"]
        number = data["request_id"]
        if number in self.notifications or number in self.spoken:
            return "repeated"
        if unix_us // 1_000_000 >= self._ends_s(message):
            return "expired"
        if self.is_dozing and not self._wakes(message):
            return "later"
        if self.is_foreground and not self.is_silent:
            self.spoken.append(number)
            return "speech"
        self.notifications[number] = self._shown(message)
        return self._loudness(message)

    def _ends_s(self, message: Mapping[str, Any]) -> int:
        if self.system == "ios":
            return int(message["apns"]["headers"]["apns-expiration"])
        return int(message["data"]["expires_s"])

    def _wakes(self, message: Mapping[str, Any]) -> bool:
        return self.system == "ios" or message["android"]["priority"] == "HIGH"

    def _shown(self, message: Mapping[str, Any]) -> tuple[str, str]:
        if self.system == "ios":
            alert = message["apns"]["payload"]["aps"]["alert"]
            return alert["title"], alert["body"]
        shown = message["android"]["notification"]
        return shown["title"], shown["body"]

    def _loudness(self, message: Mapping[str, Any]) -> Reaction:
        if self.system == "ios":
            aps = message["apns"]["payload"]["aps"]
            is_urgent, has_sound, vibrates = (
                aps.get("interruption-level") == "time-sensitive",
                "sound" in aps,
                True,
            )
        else:
            shown = message["android"]["notification"]
            is_urgent, has_sound = bool(shown.get("channel_id")), bool(shown.get("default_sound"))
            vibrates = bool(shown.get("default_vibrate_timings"))
        if self.focus == "all" or (self.focus == "time-sensitive" and not is_urgent):
            return "shown"
        if has_sound and not self.is_silent:
            return "sound"
        return "vibration" if vibrates else "shown"
