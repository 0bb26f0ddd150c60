"""RSA keys and certificates: what is too weak, and whose certificate may sign for UnionPay."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.x509.oid import NameOID

from protocols.rsa_keys import check_rsa_key, load_private_key, private_pem
from protocols.sansio import RemoteProtocolError

__all__ = [
    "ORGANISATION",
    "MerchantCredentials",
    "SignatureRefusedError",
    "UnionPayTrust",
    "certificate_pem",
]

ORGANISATION: Final = "中国银联股份有限公司"
"""Third ``@``-part of the common name of UnionPay's signing certificate (official demonstration code, UP-GO)."""
_KEPT: Final = 16  # signers remembered; the platform has a few at a time


class SignatureRefusedError(RemoteProtocolError):
    """A merchant must treat this reply or notice as forged.

    Attributes:
        reason: ``missing`` (no signature or certificate), ``method``, ``certificate`` (unreadable), ``chain``, ``period``,
            ``organisation``, ``weak-key`` or ``signature``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def certificate_pem(certificate: x509.Certificate) -> str:
    """A certificate as PEM text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


@dataclass(frozen=True, slots=True)
class _Known:
    """A signer that has passed: its key and the seconds in which its whole chain is valid."""

    key: RSAPublicKey
    from_s: int
    until_s: int


@dataclass(frozen=True)
class UnionPayTrust:
    """What a merchant believes: a root, the middle certificates, and whose name a signer must bear.

    The certificate comes with each reply (``signPubKeyCert``), so a merchant that does not check the chain *and* the name
    accepts anyone who owns any certificate below the same root.

    Attributes:
        root: trusted without proof.
        middle: certificates between root and signer.
        organisation: third ``@``-part of the signer's common name; None accepts every name (UnionPay's own test
            environment has signers of other names, so the official code offers that as well).
    """

    root: x509.Certificate = field(repr=False)
    middle: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    organisation: str | None = ORGANISATION
    _known: dict[str, _Known] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for number, certificate in enumerate((self.root, *self.middle)):
            check_rsa_key(certificate.public_key(), source=f"middle.{number - 1}" if number else "root")

    def signer_key(self, pem: str, *, now_s: int) -> RSAPublicKey:
        """The public key of a signer's certificate, once it has passed.

        Args:
            pem: ``signPubKeyCert`` as received.
            now_s: own Unix time in seconds.

        Raises:
            SignatureRefusedError: with the reason.
        """
        known = self._known.get(pem)
        if known is None:
            known = self._examine(pem)
            # The same certificate comes with every message; only good ones are kept, so a forger cannot push them out.
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[pem] = known
        if not known.from_s <= now_s <= known.until_s:
            raise SignatureRefusedError("period", "a certificate of the chain is not valid now")
        return known.key

    def _examine(self, pem: str) -> _Known:
        try:
            leaf = x509.load_pem_x509_certificate(pem.encode())
            key = leaf.public_key()
        except (ValueError, UnsupportedAlgorithm):
            raise SignatureRefusedError("certificate", "signPubKeyCert is not a certificate") from None
        try:
            check_rsa_key(key)
        except ValueError as error:
            raise SignatureRefusedError("weak-key", f"signPubKeyCert: {error}") from None
        assert isinstance(key, RSAPublicKey)  # noqa: S101 - check_rsa_key has just said so
        chain = self._chain(leaf)
        if self.organisation is not None and _organisation(leaf) != self.organisation:
            raise SignatureRefusedError("organisation", "the signer's certificate names another organisation")
        return _Known(
            key,
            max(int(one.not_valid_before_utc.timestamp()) for one in chain),
            min(int(one.not_valid_after_utc.timestamp()) for one in chain),
        )

    def _chain(self, leaf: x509.Certificate) -> list[x509.Certificate]:
        """Leaf to root. A leaf must not be one of the authorities, and only authorities may issue."""
        if leaf == self.root or leaf in self.middle:
            raise SignatureRefusedError("chain", "an authority's own certificate signed the message")
        chain = [leaf]
        issuers = (*self.middle, self.root)
        # Each step goes up, so there are at most as many as authorities.
        for _ in issuers:
            issuer = next((one for one in issuers if one not in chain and _issued(one, chain[-1])), None)
            if issuer is None:
                break
            chain.append(issuer)
            if issuer == self.root:
                return chain
        raise SignatureRefusedError("chain", "signPubKeyCert does not lead to the UnionPay root")


def _issued(issuer: x509.Certificate, subject: x509.Certificate) -> bool:
    try:
        if not issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        subject.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _organisation(leaf: x509.Certificate) -> str | None:
    names = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    parts = str(names[0].value).split("@") if len(names) == 1 else []
    return parts[2] if len(parts) > 2 else None


@dataclass(frozen=True)
class MerchantCredentials:
    """Everything a merchant needs to call UnionPay and to believe it.

    Attributes:
        mer_id: 15 digits.
        cert_id: serial number of the merchant's certificate as a decimal number; goes into each request.
        private_key: belongs to that certificate.
        trust: whom to believe.
        secure_key: shared secret of sign methods 11 and 12; empty where they are not used.
    """

    mer_id: str
    cert_id: str
    private_key: RSAPrivateKey = field(repr=False)
    trust: UnionPayTrust = field(repr=False)
    secure_key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        check_rsa_key(self.private_key)
        if not (self.mer_id.isascii() and self.mer_id.isdigit() and len(self.mer_id) == 15):
            raise ValueError("mer_id must be 15 digits")
        if not (self.cert_id.isascii() and self.cert_id.isdigit()):
            raise ValueError("cert_id must be a certificate's serial as a decimal number")

    def with_trust(self, trust: UnionPayTrust) -> MerchantCredentials:
        """The same merchant, believing others."""
        return replace(self, trust=trust)

    def to_json(self) -> str:
        """Text for one private file; the caller writes it with mode 0600, never into an evidence folder."""
        return json.dumps(
            {
                "mer_id": self.mer_id,
                "cert_id": self.cert_id,
                "private_key": private_pem(self.private_key),
                "secure_key": self.secure_key,
                "root": certificate_pem(self.trust.root),
                "middle": [certificate_pem(one) for one in self.trust.middle],
                "organisation": self.trust.organisation,
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> MerchantCredentials:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a field is missing or is not what it must be. The message names the field, never its value.
        """
        try:
            data = json.loads(text)
            trust = UnionPayTrust(
                x509.load_pem_x509_certificate(data["root"].encode()),
                tuple(x509.load_pem_x509_certificate(pem.encode()) for pem in data["middle"]),
                data["organisation"],
            )
            key = load_private_key(data["private_key"], source="private_key")
            return cls(data["mer_id"], data["cert_id"], key, trust, data["secure_key"])
        except json.JSONDecodeError as error:
            raise ValueError(f"UnionPay credentials: not JSON (line {error.lineno})") from None
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"UnionPay credentials: {error} is missing or has the wrong type") from None
