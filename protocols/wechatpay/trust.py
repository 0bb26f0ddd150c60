"""What a merchant holds: its own key, the APIv3 key, and the platform's public keys by serial."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from protocols.rsa_keys import check_rsa_key, load_private_key, private_pem
from protocols.wechatpay.resource import check_apiv3_key

__all__ = ["MerchantCredentials", "PlatformTrust", "load_public_key", "public_pem"]


def load_public_key(pem: str, *, source: str = "") -> RSAPublicKey:
    """An RSA public key from PEM text: a bare public key or a certificate.

    Raises:
        ValueError: neither, or too short.
    """
    raw = pem.encode()
    if b"BEGIN CERTIFICATE" in raw:
        key = load_pem_x509_certificate(raw).public_key()
    else:
        key = serialization.load_pem_public_key(raw)  # type: ignore[assignment]
    check_rsa_key(key, source=source)
    assert isinstance(key, RSAPublicKey)  # noqa: S101 - check_rsa_key has just said so
    return key


def public_pem(key: RSAPublicKey) -> str:
    """SubjectPublicKeyInfo PEM."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode("ascii")


@dataclass(frozen=True)
class PlatformTrust:
    """The platform's keys a merchant accepts, by ``Wechatpay-Serial``.

    Certificates go by their serial in hex (compared without case), public keys by ``PUB_KEY_ID_…``. During the switch
    from certificates to the public key both kinds arrive (WXDOC 4012154180), so both may be listed.
    """

    keys: Mapping[str, RSAPublicKey] = field(repr=False)

    def __post_init__(self) -> None:
        for serial, key in self.keys.items():
            check_rsa_key(key, source=serial)
        object.__setattr__(self, "keys", {serial.upper(): key for serial, key in self.keys.items()})

    def key(self, serial: str) -> RSAPublicKey | None:
        """The key of a serial, or None: then refuse, and perhaps refresh."""
        return self.keys.get(serial.upper())

    def with_keys(self, more: Mapping[str, RSAPublicKey]) -> PlatformTrust:
        """The same trust and these keys besides (after a download of certificates)."""
        return PlatformTrust({**self.keys, **more})


@dataclass(frozen=True)
class MerchantCredentials:
    """Everything a merchant needs to call and to believe the gateway.

    Attributes:
        mchid: merchant number.
        appid: the mini-program's id, bound to the merchant number.
        serial_no: serial of the merchant's API certificate, 40 hex digits.
        private_key: the merchant's key; it signs requests and the phone's payment call.
        apiv3_key: 32 characters; opens notifications and certificates.
        trust: the platform's public keys.
        public_key_id: ``PUB_KEY_ID_…`` when the merchant uses the public-key mode (then requests carry it in
            ``Wechatpay-Serial``), else None.
        app_secret: the mini-program's secret for ``jscode2session``.
    """

    mchid: str
    appid: str
    serial_no: str
    private_key: RSAPrivateKey = field(repr=False)
    apiv3_key: str = field(repr=False)
    trust: PlatformTrust = field(repr=False)
    public_key_id: str | None = None
    app_secret: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        check_rsa_key(self.private_key)
        check_apiv3_key(self.apiv3_key)

    def with_trust(self, trust: PlatformTrust) -> MerchantCredentials:
        """The same merchant, trusting other platform keys."""
        return replace(self, trust=trust)

    def to_json(self) -> str:
        """Text for one private file; the caller writes it with mode 0600, never into an evidence folder."""
        return json.dumps(
            {
                "mchid": self.mchid,
                "appid": self.appid,
                "serial_no": self.serial_no,
                "private_key": private_pem(self.private_key),
                "apiv3_key": self.apiv3_key,
                "platform_keys": {serial: public_pem(key) for serial, key in self.trust.keys.items()},
                "public_key_id": self.public_key_id,
                "app_secret": self.app_secret,
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> MerchantCredentials:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a field is missing or is not what it must be. The message names the field, never its value.
        """
        data = _object(text)
        try:
            return cls(
                mchid=_text(data, "mchid"),
                appid=_text(data, "appid"),
                serial_no=_text(data, "serial_no"),
                private_key=load_private_key(_text(data, "private_key"), source="private_key"),
                apiv3_key=_text(data, "apiv3_key"),
                trust=PlatformTrust(
                    {
                        serial: load_public_key(pem, source=f"platform_keys.{serial}")
                        for serial, pem in data["platform_keys"].items()
                    }
                ),
                public_key_id=data.get("public_key_id"),
                app_secret=data.get("app_secret", ""),
            )
        except (KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"merchant credentials: {error} is missing or has the wrong type") from None


def _object(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"merchant credentials: not JSON (line {error.lineno})") from None
    if not isinstance(data, dict):
        raise ValueError("merchant credentials: not a JSON object")  # noqa: TRY004 - bad input, whatever its type
    return data


def _text(data: dict[str, Any], name: str) -> str:
    value = data[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"merchant credentials: {name} must be a text")
    return value
