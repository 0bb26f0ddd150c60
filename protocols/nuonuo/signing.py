"""Where requests go and how they are signed: base64 HMAC-SHA1 over a fixed text that ends in the raw body."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

__all__ = ["SERVICES_PATH", "TOKEN_CALLS", "TOKEN_LIFE_S", "TOKEN_PATH", "TOKEN_WINDOW_S", "sign"]

SERVICES_PATH: Final = "/open/v1/services"
"""On ``sdk.nuonuo.com``; every method is one POST there, named in the header ``method``."""

TOKEN_PATH: Final = "/accessToken"  # noqa: S105 # a path
"""On ``open.nuonuo.com``."""

TOKEN_LIFE_S: Final = 24 * 3600
TOKEN_CALLS: Final = 50
TOKEN_WINDOW_S: Final = 30 * 24 * 3600
"""A token lives 24 hours; the token endpoint answers 50 calls in 30 days."""


def sign(secret: str, *, app_key: str, senid: str, nonce: str, timestamp: str, body: bytes) -> str:
    """The header ``X-Nuonuo-Sign``.

    The path is spelled backwards as parameters (``a=services&l=v1&p=open``), then the query's values, then the body byte
    for byte as it is sent.
    """
    head = f"a=services&l=v1&p=open&k={app_key}&i={senid}&n={nonce}&t={timestamp}&f="
    digest = hmac.new(secret.encode(), head.encode() + body, hashlib.sha1).digest()
    return base64.b64encode(digest).decode()
