from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.people.sse import ServerSentEvent, SseError, SseReader

STREAM = (
    '\ufeffevent: order\nid: 7\ndata: {"a":\ndata: 1}\n\n: keep-alive\n\nretry: 100\r\ndata:plain\r\n\r\nevent: live\ndata: 加油\r\r'
    "event: empty\n\ndata: last\n\ndata: unfinished"
).encode()
EVENTS = [
    ServerSentEvent("order", '{"a":\n1}', "7"),
    ServerSentEvent("message", "plain", "7"),
    ServerSentEvent("live", "加油", "7"),
    ServerSentEvent("message", "last", "7"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_split_of_the_stream_gives_the_same_events(cuts: list[int]) -> None:
    reader = SseReader()
    edges = [0, *sorted(cuts), len(STREAM)]
    seen = [event for a, b in pairwise(edges) for event in reader.feed(STREAM[a:b])]
    assert seen == EVENTS


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(SseError, match="longer than"):
        list(SseReader().feed(b"x" * (1 << 21)))
