"""Heads of requests as clients in the field send them."""

from __future__ import annotations

import pytest

from protocols.request_head import plain_head

BODY = b'{"name": "\xe6\x98\x86 Upgrade: h2c"}'


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (  # java.net.http.HttpClient
            b"POST /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: x\r\nHTTP2-Settings: AA\r\nUpgrade: h2c\r\n\r\n",
            b"POST /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: x\r\nHTTP2-Settings: AA\r\n\r\n",
        ),
        (  # Apache HttpClient 5.4
            b"POST /a HTTP/1.1\r\nUPGRADE: TLS/1.2\r\nConnection: Upgrade\r\n\r\n",
            b"POST /a HTTP/1.1\r\nConnection: Upgrade\r\n\r\n",
        ),
        (  # curl, with a URL as it was typed
            "GET /geo?address=昆明 HTTP/1.1\r\nX: 昆\r\n\r\n".encode(),
            b"GET /geo?address=%E6%98%86%E6%98%8E HTTP/1.1\r\nX: " + "昆\r\n\r\n".encode(),
        ),
        (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"),
        (
            b"GET / HTTP/1.1\r\nUpgrade-Insecure-Requests: 1\r\n\r\n",
            b"GET / HTTP/1.1\r\nUpgrade-Insecure-Requests: 1\r\n\r\n",
        ),
    ],
)
def test_a_head_is_made_plain_and_the_body_left_alone(sent: bytes, read: bytes) -> None:
    assert plain_head(sent) == read
    assert plain_head(sent + BODY) == read + BODY


@pytest.mark.parametrize(
    "data",
    [
        b"",
        BODY,
        b"\x16\x03\x01\xff",
        "GET /昆 HTTP/1.1\r\nHost: x\r\n".encode(),
        "GET /昆 HTTP/2\r\n\r\n".encode(),
        b"Upgrade: h2c\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: \xff\r\n" * 10_000,
    ],
)
def test_what_is_no_whole_head_stays_as_it_is(data: bytes) -> None:
    assert plain_head(data) == data
