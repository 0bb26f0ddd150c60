"""Where requests go, how they are signed, and the two forms in which the password is known to travel."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

__all__ = [
    "REFRESH_LIFE_S",
    "ROUTER_PATH",
    "TOKEN_LIFE_S",
    "TOKEN_METHOD",
    "PasswordForm",
    "digest_password",
    "sign",
]

ROUTER_PATH: Final = "/router/rest"
"""On ``openapi.baiwang.com``; every method is one POST there, named in the query."""

TOKEN_METHOD: Final = "baiwang.oauth.token"  # noqa: S105 # a method's name
TOKEN_LIFE_S: Final = 8 * 3600
REFRESH_LIFE_S: Final = 30 * 24 * 3600
"""About 8 hours and 30 days."""


class PasswordForm(StrEnum):
    """How the password travels: the reference of 2026 says SHA-256, older code SHA-1 of the MD5's hex text."""

    SHA256 = "sha256"
    SHA1_MD5 = "sha1-md5"


def digest_password(password: str, salt: str, form: PasswordForm) -> str:
    """The ``password`` of the token request, in lower-case hex."""
    salted = (password + salt).encode()
    if form is PasswordForm.SHA256:
        return hashlib.sha256(salted).hexdigest()
    return hashlib.sha1(hashlib.md5(salted).hexdigest().encode()).hexdigest()  # noqa: S324 # their form


def sign(secret: str, parameters: Mapping[str, str], body: bytes) -> str:
    """The query's ``sign``: MD5, upper case, over secret, sorted names and values, the raw body, and the secret again.

    Parameters with blank values and ``sign`` itself are left out; nothing stands between the parts.
    """
    pairs = sorted(
        (name, value) for name, value in parameters.items() if name and name != "sign" and value.strip()
    )
    text = secret + "".join(name + value for name, value in pairs)
    return hashlib.md5(text.encode() + body + secret.encode()).hexdigest().upper()  # noqa: S324 # their form
