"""Heads of HTTP requests that real clients send and the parser of the servers here does not take as they are meant."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["plain_head"]

_HEAD: Final = re.compile(rb"[A-Z]+ [^ \r\n]+ HTTP/1\.[01]\r\n(?:[^\r\n]+\r\n)*\r\n")
_RAW: Final = re.compile(rb"[\x80-\xff]")
_UPGRADE: Final = re.compile(rb"(?i)(?<=\r\n)upgrade:[^\r\n]*\r\n")


def plain_head(data: bytes) -> bytes:
    """Bytes that begin with a request, its head made plain; anything else comes back as it is.

    - An offer to go on in another protocol is left out, as a server may do (RFC 9110 7.8). Java's own client makes one with every
      request over plain HTTP (``Upgrade: h2c``), Apache's for Java too (``Upgrade: TLS/1.2``, from 5.4 on); llhttp stops reading there,
      so that the body is lost.
    - Bytes beyond ASCII in the request line are percent-encoded. curl sends a URL as it was typed, an address in Chinese for example;
      nginx lets that pass, llhttp answers 400.

    Args:
        data: received where a request may begin. A head that is not whole in it is left alone; clients send theirs in one piece.
    """
    if data.isascii() and b"pgrade:" not in data and b"PGRADE:" not in data:
        return data
    found = _HEAD.match(data)
    if found is None:
        return data
    line, end, fields = found[0].partition(b"\r\n")
    line = _RAW.sub(lambda raw: b"%%%02X" % raw[0][0], line)
    return line + end + _UPGRADE.sub(b"", end + fields)[len(end) :] + data[found.end() :]
