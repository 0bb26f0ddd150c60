"""A line that echoes: a sender hears its own bytes before the answer. Some RS-232 converters do this."""

from __future__ import annotations

__all__ = ["EchoFilter"]


class EchoFilter:
    """Takes one's own bytes out of what is heard. The first byte that differs ends the filtering: then it is no echo."""

    __slots__ = ("_expected",)

    def __init__(self) -> None:
        self._expected = bytearray()

    def sent(self, data: bytes) -> None:
        """Expect these bytes back."""
        self._expected += data

    def heard(self, data: bytes) -> bytes:
        """The bytes that are not echo."""
        expected = self._expected
        if not expected:
            return data
        count = min(len(expected), len(data))
        same = 0
        while same < count and data[same] == expected[same]:
            same += 1
        if same < count:
            expected.clear()
        else:
            del expected[:same]
        return data[same:]
