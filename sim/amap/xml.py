"""Replies as XML, for clients that ask with ``output=XML``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from xml.sax.saxutils import escape

from sim.webapi import Reply

__all__ = ["CONTENT_TYPE", "as_xml"]

CONTENT_TYPE: Final = "application/xml;charset=UTF-8"
_ITEMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "geocodes": "geocode",
        "businessAreas": "businessArea",
        "roads": "road",
        "roadinters": "roadinter",
        "pois": "poi",
        "aois": "aoi",
    }
)


def as_xml(reply: Reply) -> bytes:
    """A reply as the platform writes it in XML, UTF-8.

    Lists carry ``type="list"`` and their items the list's name in the singular; a field without a value, an empty list in JSON, is an
    empty element here (replies printed in the tests of github.com/codingsince1985/geo-golang, whose client asks for XML).
    """
    inner = "".join(_element(name, value) for name, value in reply.items())
    return f'<?xml version="1.0" encoding="UTF-8"?><response>{inner}</response>'.encode()


def _element(name: str, value: Any) -> str:
    item = _ITEMS.get(name)
    if item is not None and isinstance(value, list):
        return f'<{name} type="list">{"".join(_element(item, one) for one in value)}</{name}>'
    return f"<{name}>{_inner(value)}</{name}>"


def _inner(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(_element(name, one) for name, one in value.items())
    if isinstance(value, list):
        return ""
    return escape(str(value))
