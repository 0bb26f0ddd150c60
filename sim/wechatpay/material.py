"""Test keys, made when they are needed and never kept in the project.

RSA keys come from the operating system's randomness: they differ in each run, and nothing of them (keys, signatures,
ciphertexts) may reach a trace. Serials and ids are derived from names, so they are equal in each run.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import string
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
from protocols.wechatpay import MerchantCredentials, PlatformTrust, check_apiv3_key
from protocols.wechatpay.trust import load_public_key, public_pem

__all__ = [
    "Merchant",
    "MerchantAccount",
    "PlatformKey",
    "PlatformKeys",
    "generate_keys",
    "generate_merchant",
    "generate_platform",
    "load_gateway_material",
    "save_gateway_material",
]

_YEAR_S = 365 * 86_400
_CERTIFICATE_LIFE_S = 5 * _YEAR_S  # platform certificates live five years (WXDOC 4024350132)


@dataclass(frozen=True)
class PlatformKey:
    """One key of the platform.

    Attributes:
        serial: certificate serial (40 hex digits) or ``PUB_KEY_ID_…``; what ``Wechatpay-Serial`` says.
        private_key: signs replies and notifications.
        certificate_pem: None for the public-key mode.
        effective_s: first Unix second of the certificate's life; 0 for a public key, which does not expire.
        expire_s: its last Unix second; 0 for a public key.
    """

    serial: str
    private_key: rsa.RSAPrivateKey = field(repr=False)
    certificate_pem: str | None = field(default=None, repr=False)
    effective_s: int = 0
    expire_s: int = 0


@dataclass(frozen=True)
class PlatformKeys:
    """All keys of the platform.

    Attributes:
        certificates: at least one; the first signs until `WeChatPayGateway.rotate` names another.
        public: the key of the public-key mode, or None.
    """

    certificates: tuple[PlatformKey, ...]
    public: PlatformKey | None = None

    def __post_init__(self) -> None:
        if not self.certificates:
            raise ValueError("the platform needs at least one certificate")
        for key in (*self.certificates, *([] if self.public is None else [self.public])):
            check_rsa_key(key.private_key, source=f"platform key {key.serial}")

    def trust(self) -> PlatformTrust:
        """What a merchant that knows these keys accepts."""
        keys = [*self.certificates]
        if self.public is not None:
            keys.append(self.public)
        return PlatformTrust({key.serial: key.private_key.public_key() for key in keys})


@dataclass(frozen=True)
class MerchantAccount:
    """The gateway's view of a merchant.

    Attributes:
        mchid: merchant number.
        appids: mini-programs bound to it.
        certificates: public keys of the merchant's API certificates, by serial in hex.
        apiv3_key: 32 characters; seals notifications and certificates.
        app_secret: secret for ``jscode2session``.
        has_platform_certificates: False for merchants that joined in the public-key mode; ``/v3/certificates``
            then answers RESOURCE_NOT_EXISTS (WXDOC 4012076511).
    """

    mchid: str
    appids: tuple[str, ...]
    certificates: Mapping[str, rsa.RSAPublicKey] = field(repr=False)
    apiv3_key: str = field(repr=False)
    app_secret: str = field(default="", repr=False)
    has_platform_certificates: bool = True

    def __post_init__(self) -> None:
        check_apiv3_key(self.apiv3_key)
        for serial, key in self.certificates.items():
            check_rsa_key(key, source=f"merchant {self.mchid}, certificate {serial}")


@dataclass(frozen=True)
class Merchant:
    """Both views of one merchant: the gateway's ``account``, the merchant's ``credentials``.

    Attributes:
        account: what the gateway knows.
        credentials: what the merchant's program is configured with.
        certificate_pem: the merchant's API certificate; many clients read their own serial number out of it.
    """

    account: MerchantAccount
    credentials: MerchantCredentials
    certificate_pem: str = field(default="", repr=False)

    def pkcs12(self) -> bytes:
        """Key and certificate in one file, ``apiclient_cert.p12``; the password is the merchant number, as on the platform's own.

        Raises:
            ValueError: the certificate is not known.
        """
        certificate = x509.load_pem_x509_certificate(self.certificate_pem.encode())
        return pack_pkcs12(self.credentials.private_key, certificate, self.account.mchid)


def _serial(label: str) -> str:
    """40 hex digits without a leading zero, the same for the same label."""
    digest = hashlib.sha256(label.encode()).hexdigest()[:39]
    return ("5" + digest).upper()


def generate_keys(
    label: str, *, common_name: str = "Tenpay.com sign", valid_from_unix_s: int | None = None
) -> PlatformKey:
    """An RSA-2048 key with a self-signed certificate whose serial follows from the label.

    Args:
        label: names the key; equal labels give equal serials and different keys.
        common_name: the certificate's subject; a merchant's certificate has its mchid there (WXDOC 4012072670).
        valid_from_unix_s: start of its five years; None is a day before now by the wall clock, right for real
            processes. A virtual run passes its epoch.
    """
    start_s = valid_from_unix_s if valid_from_unix_s is not None else int(time.time()) - 86_400
    serial = _serial(label)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Forecourt test keys"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    start = datetime.fromtimestamp(start_s, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int(serial, 16))
        .not_valid_before(start)
        .not_valid_after(start + timedelta(seconds=_CERTIFICATE_LIFE_S))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
    return PlatformKey(serial, key, pem, start_s, start_s + _CERTIFICATE_LIFE_S)


def generate_platform(
    *, certificates: int = 1, public_key: bool = True, valid_from_unix_s: int | None = None
) -> PlatformKeys:
    """The platform's keys: one or more certificates (two for a rotation) and the public-key mode's key."""
    made = tuple(
        generate_keys(f"platform/{number}", valid_from_unix_s=valid_from_unix_s)
        for number in range(certificates)
    )
    public = None
    if public_key:
        digits = str(int(hashlib.sha256(b"platform/public").hexdigest(), 16))[:25]
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = PlatformKey(f"PUB_KEY_ID_0{digits}", private)
    return PlatformKeys(made, public)


def generate_merchant(
    platform: PlatformKeys,
    *,
    mchid: str = "1900000109",
    appid: str = "wx2421b1c4370ec43b",
    public_key_mode: bool = False,
    has_platform_certificates: bool = True,
    valid_from_unix_s: int | None = None,
) -> Merchant:
    """A merchant with fresh keys, seen from both sides.

    Args:
        platform: whose keys the merchant trusts.
        mchid: merchant number.
        appid: its mini-program.
        public_key_mode: whether the merchant asks for replies signed with the platform's public key.
        has_platform_certificates: False for one that joined when there was only the public key; its callbacks are signed with that.
        valid_from_unix_s: as in `generate_keys`.

    Raises:
        ValueError: public-key mode, but the platform has no public key.
    """
    if (public_key_mode or not has_platform_certificates) and platform.public is None:
        raise ValueError("public-key mode needs a platform with a public key")
    own = generate_keys(f"merchant/{mchid}", common_name=mchid, valid_from_unix_s=valid_from_unix_s)
    alphabet = string.ascii_letters + string.digits
    apiv3_key = "".join(secrets.choice(alphabet) for _ in range(32))
    app_secret = secrets.token_hex(16)
    account = MerchantAccount(
        mchid,
        (appid,),
        {own.serial: own.private_key.public_key()},
        apiv3_key,
        app_secret,
        has_platform_certificates,
    )
    credentials = MerchantCredentials(
        mchid=mchid,
        appid=appid,
        serial_no=own.serial,
        private_key=own.private_key,
        apiv3_key=apiv3_key,
        trust=platform.trust(),
        public_key_id=platform.public.serial if public_key_mode and platform.public else None,
        app_secret=app_secret,
    )
    return Merchant(account, credentials, own.certificate_pem or "")


def save_gateway_material(path: Path, platform: PlatformKeys, accounts: list[MerchantAccount]) -> None:
    """Write the gateway's side to one file of mode 0600, for a gateway in a process of its own."""
    keys = [*platform.certificates, *([platform.public] if platform.public else [])]
    data = {
        "platform": [
            {
                "serial": key.serial,
                "private_key": private_pem(key.private_key),
                "certificate": key.certificate_pem,
                "effective_s": key.effective_s,
                "expire_s": key.expire_s,
            }
            for key in keys
        ],
        "merchants": [
            {
                "mchid": account.mchid,
                "appids": list(account.appids),
                "certificates": {serial: public_pem(key) for serial, key in account.certificates.items()},
                "apiv3_key": account.apiv3_key,
                "app_secret": account.app_secret,
                "has_platform_certificates": account.has_platform_certificates,
            }
            for account in accounts
        ],
    }
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")


def load_gateway_material(path: Path) -> tuple[PlatformKeys, list[MerchantAccount]]:
    """Read what `save_gateway_material` wrote.

    Raises:
        ValueError: not such a file. The message names the file and the field, never a key.
        OSError: unreadable.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        keys = [
            PlatformKey(
                item["serial"],
                load_private_key(item["private_key"]),
                item["certificate"],
                item["effective_s"],
                item["expire_s"],
            )
            for item in data["platform"]
        ]
        accounts = [
            MerchantAccount(
                item["mchid"],
                tuple(item["appids"]),
                {serial: load_public_key(pem) for serial, pem in item["certificates"].items()},
                item["apiv3_key"],
                item["app_secret"],
                item["has_platform_certificates"],
            )
            for item in data["merchants"]
        ]
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON (line {error.lineno})") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error} is missing or has the wrong type") from None
    publics = [key for key in keys if key.certificate_pem is None]
    certificates = tuple(key for key in keys if key.certificate_pem is not None)
    return PlatformKeys(certificates, publics[0] if publics else None), accounts
