"""Test keys: a root, a middle certificate, signers, merchants; made when needed, never kept in the project.

Keys come from the operating system's randomness, so nothing of them may reach a trace. Serial numbers follow from names.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from protocols.rsa_keys import check_rsa_key, load_private_key, pack_pkcs12, private_pem
from protocols.unionpay import ORGANISATION, MerchantCredentials, UnionPayTrust
from protocols.unionpay.keys import certificate_pem

__all__ = [
    "Authority",
    "Merchant",
    "MerchantAccount",
    "PlatformMaterial",
    "SignerKey",
    "generate_merchant",
    "generate_platform",
    "issue_signer",
    "load_gateway_material",
    "save_gateway_material",
]

_YEARS_5_S = 5 * 365 * 86_400


@dataclass(frozen=True)
class SignerKey:
    """A key that signs replies and notices, and the certificate that goes with each of them."""

    private_key: rsa.RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate = field(repr=False)

    @property
    def pem(self) -> str:
        """``signPubKeyCert``: lines end in CR LF, as the test gateway sends them, without one at the end."""
        text = self.certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
        return text.strip().replace("\n", "\r\n")

    @property
    def cert_id(self) -> str:
        """The serial as a decimal number: ``certId`` of version 5.0.0."""
        return str(self.certificate.serial_number)


@dataclass(frozen=True)
class Authority:
    """A certificate that issues others, with its key."""

    private_key: rsa.RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate = field(repr=False)


@dataclass(frozen=True)
class PlatformMaterial:
    """UnionPay's side.

    Attributes:
        root: trusted by merchants.
        middle: issued by the root; issues signers.
        signers: at least one; the first signs until `UnionPayGateway.rotate` names another.
        valid_from_s: first Unix second of the certificates.
    """

    root: Authority
    middle: Authority
    signers: tuple[SignerKey, ...]
    valid_from_s: int

    def __post_init__(self) -> None:
        if not self.signers:
            raise ValueError("the platform needs at least one signer")

    def trust(self, organisation: str | None = ORGANISATION) -> UnionPayTrust:
        """What a merchant that knows root and middle believes."""
        return UnionPayTrust(self.root.certificate, (self.middle.certificate,), organisation)


@dataclass(frozen=True)
class MerchantAccount:
    """The gateway's view of a merchant.

    Attributes:
        mer_id: 15 digits.
        certificates: public keys by ``certId`` (decimal serial).
        secure_key: shared key of sign methods 11 and 12; empty: the merchant may not use them.
        transactions: ``txnType`` it has permission for; empty means all.
        is_active: False answers 31 to everything.
    """

    mer_id: str
    certificates: Mapping[str, rsa.RSAPublicKey] = field(repr=False)
    secure_key: str = field(default="", repr=False)
    transactions: tuple[str, ...] = ()
    is_active: bool = True

    def __post_init__(self) -> None:
        for key in self.certificates.values():
            check_rsa_key(key)


@dataclass(frozen=True)
class Merchant:
    """Both views of one merchant: the gateway's ``account``, the merchant's ``credentials``.

    Attributes:
        account: what the gateway knows.
        credentials: what the merchant's program is configured with.
        certificate: the merchant's own, whose serial is the ``certId``; None where only the keys are known.
    """

    account: MerchantAccount
    credentials: MerchantCredentials
    certificate: x509.Certificate | None = field(default=None, repr=False)

    def pkcs12(self, password: str) -> bytes:
        """Key and certificate in one file, as UnionPay's clients read them (``acp_test_sign.pfx`` of its demonstration code).

        Raises:
            ValueError: the certificate is not known.
        """
        if self.certificate is None:
            raise ValueError("the merchant's certificate is not known")
        return pack_pkcs12(self.credentials.private_key, self.certificate, password)


def _serial(label: str) -> int:
    """About 11 decimal digits, as in the merchants' test certificates; the same for the same label."""
    return 10**10 + int(hashlib.sha256(label.encode()).hexdigest()[:8], 16)


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _certificate(
    label: str,
    common_name: str,
    key: rsa.RSAPrivateKey,
    start_s: int,
    issuer: Authority | None,
    *,
    is_ca: bool,
) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Forecourt test keys"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    start = datetime.fromtimestamp(start_s, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer is not None else subject)
        .public_key(key.public_key())
        .serial_number(_serial(label))
        .not_valid_before(start)
        .not_valid_after(start + timedelta(seconds=_YEARS_5_S))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .sign(issuer.private_key if issuer is not None else key, hashes.SHA256())
    )


def issue_signer(
    issuer: Authority, label: str, *, valid_from_s: int, organisation: str = ORGANISATION
) -> SignerKey:
    """A signer below an authority; its common name has the shape of UnionPay's, the organisation third.

    Args:
        issuer: who signs its certificate.
        label: gives the serial.
        valid_from_s: first Unix second of its five years.
        organisation: the third part of the name; another one is what a forger would have.
    """
    key = _key()
    # The number in the second part is made up; the fourth is the signer's own.
    name = f"041@8310000000000000@{organisation}@{_serial(label) % 10**8:08d}"
    return SignerKey(key, _certificate(label, name, key, valid_from_s, issuer, is_ca=False))


def generate_platform(*, signers: int = 1, valid_from_s: int | None = None) -> PlatformMaterial:
    """Fresh root, middle and signers.

    Args:
        signers: how many (two for a rotation).
        valid_from_s: None is a day before now by the wall clock, right for real processes. A virtual run passes its epoch.
    """
    start_s = valid_from_s if valid_from_s is not None else int(time.time()) - 86_400
    root_key, middle_key = _key(), _key()
    root = Authority(
        root_key, _certificate("root", "Forecourt test root", root_key, start_s, None, is_ca=True)
    )
    middle = Authority(
        middle_key, _certificate("middle", "Forecourt test middle", middle_key, start_s, root, is_ca=True)
    )
    made = tuple(issue_signer(middle, f"signer/{number}", valid_from_s=start_s) for number in range(signers))
    return PlatformMaterial(root, middle, made, start_s)


def generate_merchant(platform: PlatformMaterial, *, mer_id: str = "777290058110048") -> Merchant:
    """A merchant with a fresh key and shared secret, seen from both sides.

    Args:
        platform: whom the merchant believes.
        mer_id: 15 digits (the default is the one that public test material uses).
    """
    key = _key()
    label = f"merchant/{mer_id}"
    cert_id = str(_serial(label))
    certificate = _certificate(label, mer_id, key, platform.valid_from_s, platform.middle, is_ca=False)
    secure_key = secrets.token_hex(16)
    account = MerchantAccount(mer_id, {cert_id: key.public_key()}, secure_key)
    credentials = MerchantCredentials(mer_id, cert_id, key, platform.trust(), secure_key)
    return Merchant(account, credentials, certificate)


def save_gateway_material(path: Path, platform: PlatformMaterial, accounts: list[MerchantAccount]) -> None:
    """Write the gateway's side to one file of mode 0600, for a gateway in a process of its own."""
    authorities = {"root": platform.root, "middle": platform.middle}
    data = {
        "valid_from_s": platform.valid_from_s,
        **{name: _pair(one.private_key, one.certificate) for name, one in authorities.items()},
        "signers": [_pair(signer.private_key, signer.certificate) for signer in platform.signers],
        "merchants": [
            {
                "mer_id": account.mer_id,
                "keys": {cert_id: _public_pem(key) for cert_id, key in account.certificates.items()},
                "secure_key": account.secure_key,
                "transactions": list(account.transactions),
                "is_active": account.is_active,
            }
            for account in accounts
        ],
    }
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")


def load_gateway_material(path: Path) -> tuple[PlatformMaterial, list[MerchantAccount]]:
    """Read what `save_gateway_material` wrote.

    Raises:
        ValueError: not such a file. The message names the file and the field, never a key.
        OSError: unreadable.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        platform = PlatformMaterial(
            Authority(*_read_pair(data["root"])),
            Authority(*_read_pair(data["middle"])),
            tuple(SignerKey(*_read_pair(pair)) for pair in data["signers"]),
            int(data["valid_from_s"]),
        )
        accounts = [
            MerchantAccount(
                item["mer_id"],
                {cert_id: _public_key(pem) for cert_id, pem in item["keys"].items()},
                item["secure_key"],
                tuple(item["transactions"]),
                item["is_active"],
            )
            for item in data["merchants"]
        ]
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON (line {error.lineno})") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error} is missing or has the wrong type") from None
    return platform, accounts


def _pair(key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> dict[str, str]:
    return {"private_key": private_pem(key), "certificate": certificate_pem(certificate)}


def _read_pair(pair: Mapping[str, str]) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    certificate = x509.load_pem_x509_certificate(pair["certificate"].encode())
    return load_private_key(pair["private_key"]), certificate


def _public_pem(key: rsa.RSAPublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode("ascii")


def _public_key(pem: str) -> rsa.RSAPublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    check_rsa_key(key)
    assert isinstance(key, rsa.RSAPublicKey)  # noqa: S101 - check_rsa_key has just said so
    return key
