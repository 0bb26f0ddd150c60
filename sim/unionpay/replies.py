"""What the platform signs: replies, notices, returns to the shop's page, and messages that must be refused."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from protocols.unionpay import (
    VERSION,
    Fields,
    canonical,
    keyed_signature,
    response_code,
    sign_rsa,
)
from sim.unionpay.faults import Forgery
from sim.unionpay.material import (
    Authority,
    MerchantAccount,
    PlatformMaterial,
    SignerKey,
    generate_platform,
    issue_signer,
)

__all__ = ["Signer", "message_of"]

_DETAILS = {"00": "0000000", "34": "2600000", "05": "6154037"}
"""Numbers behind the text as the test gateway was seen to send them; others are made up here."""


def message_of(code: str, detail: str = "") -> str:
    """``respMsg``: the platform's words and a reason in brackets."""
    return f"{response_code(code).text}[{detail or _DETAILS.get(code, f'{code}00000')}]"


class Signer:
    """Signs for the platform, honestly or as a fault wants it.

    Attributes:
        active: the key that signs now.
    """

    def __init__(self, material: PlatformMaterial) -> None:
        self.material = material
        self.active = material.signers[0]
        self._forgers: dict[str, SignerKey] = {}

    def rotate(self, number: int) -> None:
        """Sign with another of the platform's signers (from 0) from now on.

        Raises:
            ValueError: there is none of this number.
        """
        if not 0 <= number < len(self.material.signers):
            raise ValueError(f"there are signers 0 to {len(self.material.signers) - 1}, not {number}")
        self.active = self.material.signers[number]

    def sign(
        self, fields: Mapping[str, str], account: MerchantAccount | None, forgery: str | None = None
    ) -> Fields:
        """Fields with everything a receiver needs to verify them, certificate and signature last.

        Args:
            fields: ``signMethod`` and ``version`` decide how; 01 and 5.1.0 where they are absent.
            account: whose shared key methods 11 and 12 need; without one, 01 it is.
            forgery: sign so that the receiver must refuse it.
        """
        signed: Fields = {"version": VERSION, "signMethod": "01", **fields}
        if forgery == Forgery.OLD_VERSION:
            signed["version"] = "5.0.0"
        if signed["signMethod"] != "01" and account is not None and account.secure_key and forgery is None:
            signed["signature"] = keyed_signature(signed["signMethod"], account.secure_key, signed)
            return signed
        signed["signMethod"] = "01"
        key = self._key(forgery)
        if signed["version"] == VERSION:
            signed["signPubKeyCert"] = key.pem
        else:
            signed["certId"] = key.cert_id
        if forgery == Forgery.NO_SIGNATURE:
            return signed
        if forgery == Forgery.SINGLE_HASH:
            raw = key.private_key.sign(canonical(signed).encode(), PKCS1v15(), SHA256())
            signed["signature"] = base64.b64encode(raw).decode("ascii")
            return signed
        signed["signature"] = sign_rsa(key.private_key, signed)
        if forgery == Forgery.TAMPERED:
            name = "txnAmt" if "txnAmt" in signed else "respMsg"
            signed[name] = f"{signed.get(name, '')}0"
        return signed

    @cached_property
    def encryption(self) -> SignerKey:
        """The key pair that card fields are encrypted with; made when the first merchant asks."""
        return issue_signer(self.material.middle, "encryption", valid_from_s=self.material.valid_from_s)

    def _key(self, forgery: str | None) -> SignerKey:
        if forgery not in {Forgery.WRONG_KEY, Forgery.FOREIGN_CHAIN, Forgery.OTHER_NAME}:
            return self.active
        if forgery not in self._forgers:
            self._forgers[forgery] = self._forge(forgery)
        return self._forgers[forgery]

    def _forge(self, forgery: str) -> SignerKey:
        start_s = self.material.valid_from_s
        if forgery == Forgery.WRONG_KEY:
            stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            return SignerKey(stranger, self.active.certificate)
        if forgery == Forgery.FOREIGN_CHAIN:
            return generate_platform(valid_from_s=start_s).signers[0]
        middle: Authority = self.material.middle
        return issue_signer(middle, "other", valid_from_s=start_s, organisation="某商户有限公司")
