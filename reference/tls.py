"""TLS for the reference's own connections: what is too old or too weak is refused before anything is sent."""

from __future__ import annotations

import ssl

import httpx

__all__ = ["client_context"]


def client_context(*, trust_env: bool = False) -> ssl.SSLContext:
    """A context for outgoing connections: the usual authorities, TLS 1.2 at least, no key below RSA 2048.

    OpenSSL's security level 2 stands for 112 bits: it refuses RSA and DH below 2048 bits, elliptic curves below 224, and
    signatures with SHA-1, in every certificate of the chain (SSL_CTX_set_security_level(3)).

    Args:
        trust_env: ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` may name other authorities.
    """
    context = httpx.create_ssl_context(trust_env=trust_env)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DEFAULT:@SECLEVEL=2")
    return context
