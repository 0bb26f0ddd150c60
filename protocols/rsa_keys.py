"""RSA keys as payment platforms use them: read from PEM, written to it, and refused when too weak. Certificates likewise."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import pkcs12

__all__ = [
    "MIN_EC_BITS",
    "MIN_RSA_BITS",
    "check_certificate",
    "check_rsa_key",
    "legacy_pkcs12",
    "load_certificates",
    "load_private_key",
    "pack_pkcs12",
    "private_pem",
]

MIN_RSA_BITS: Final = 2048
MIN_EC_BITS: Final = 224
"""What NIST SP 800-57 part 1 puts beside RSA of 2048 bits."""

_BROKEN_HASHES: Final = frozenset({"md5", "sha1"})
_MOST_BYTES: Final = 1 << 20


def check_rsa_key(key: object, *, source: str = "") -> None:
    """Refuse anything but RSA of at least `MIN_RSA_BITS`.

    Args:
        key: a public or private key.
        source: where it came from (a file, a field), for the message.

    Raises:
        ValueError: another kind of key, or a shorter one.
    """
    place = f"{source}: " if source else ""
    if not isinstance(key, RSAPrivateKey | RSAPublicKey):
        raise ValueError(f"{place}the platform signs with RSA; this key is {type(key).__name__}")  # noqa: TRY004 - a bad value, whatever its type
    if key.key_size < MIN_RSA_BITS:
        raise ValueError(f"{place}the RSA key has {key.key_size} bits; at least {MIN_RSA_BITS} are needed")


def check_certificate(certificate: x509.Certificate, *, source: str = "") -> None:
    """Refuse a certificate for TLS whose key is too weak (RSA and elliptic curves are known), or that MD5 or SHA-1 vouch for.

    Raises:
        ValueError: with the bits.
    """
    place = f"{source}: " if source else ""
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.key_size < MIN_EC_BITS:
            raise ValueError(
                f"{place}the certificate's key has {key.curve.key_size} bits on its curve; at least {MIN_EC_BITS} are needed"
            )
    elif not isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        check_rsa_key(key, source=f"{place}certificate")
    try:
        used = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        used = None
    # A root vouches for itself: whoever trusts it does so whatever it is signed with.
    if used is not None and used.name in _BROKEN_HASHES and certificate.issuer != certificate.subject:
        raise ValueError(f"{place}the certificate is signed with {used.name.upper()}, which is broken")


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Every certificate of a PEM file, none of them weak.

    Raises:
        ValueError: unreadable, none in it, or a weak one; the message names the file and, for a weak key, its bits.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES)
        found = x509.load_pem_x509_certificates(raw)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except ValueError:
        raise ValueError(f"{path}: no certificate in PEM") from None
    for certificate in found:
        check_certificate(certificate, source=str(path))
    return found


def load_private_key(pem: str, *, source: str = "") -> RSAPrivateKey:
    """An RSA private key from unencrypted PEM text.

    Raises:
        ValueError: not such a key, or too short. The message does not contain the key.
    """
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (TypeError, UnsupportedAlgorithm, ValueError) as error:
        why = "it has a password" if isinstance(error, TypeError) else "no RSA private key in PEM"
        raise ValueError(f"{source}: {why}" if source else why) from None
    check_rsa_key(key, source=source)
    assert isinstance(key, RSAPrivateKey)  # noqa: S101 - check_rsa_key has just said so
    return key


def private_pem(key: RSAPrivateKey) -> str:
    """PKCS#8 PEM without a password, as merchant platforms hand it out."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")


def legacy_pkcs12(password: str) -> serialization.KeySerializationEncryption:
    """How a PKCS #12 file is sealed that every reader opens: triple DES and SHA-1, as platforms seal theirs.

    Readers in Go, Java and JavaScript know nothing newer. Good enough for what is made for a test.
    """
    return (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2048)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())  # noqa: S303 - the format of the platforms' files; nothing is protected by it
        .build(password.encode())
    )


def pack_pkcs12(key: RSAPrivateKey, certificate: x509.Certificate, password: str) -> bytes:
    """Key and certificate in one file, as platforms hand them to merchants (``.pfx``, ``.p12``), sealed as `legacy_pkcs12` says."""
    return pkcs12.serialize_key_and_certificates(b"merchant", key, certificate, None, legacy_pkcs12(password))
