"""Signatures against published vectors and a second writing of the formula; trust against chains that must fail."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from protocols.rsa_keys import check_rsa_key
from protocols.unionpay import (
    MerchantCredentials,
    SignatureRefusedError,
    UnionPayTrust,
    canonical,
    digest_text,
    keyed_signature,
    sign_request,
    sign_rsa,
    verify_keyed,
    verify_received,
    verify_rsa,
)

NOW_S = 1_790_000_000
TEXT = (
    "accessType=0&backUrl=http://127.0.0.1/back&bizType=000201&certId=68759663125&channelType=08&currencyCode=156"
    "&encoding=UTF-8&merId=777290058110048&orderId=20260101120000A1&signMethod=01&txnAmt=9600&txnSubType=01"
    "&txnTime=20260101120000&txnType=01&version=5.1.0"
)
FIELDS = dict(part.split("=", 1) for part in TEXT.split("&"))
UNION = "中国银联股份有限公司"


@pytest.fixture(scope="module")
def keys() -> list[rsa.RSAPrivateKey]:
    return [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(4)]


def make(
    subject: str,
    key: Any,
    issuer: str,
    issuer_key: Any,
    *,
    ca: bool | None = True,
    start_s: int = NOW_S - 86_400,
    days: int = 365,
) -> x509.Certificate:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    start = datetime.fromtimestamp(start_s, UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(68759663125)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def test_the_published_vector() -> None:
    shuffled = {**dict(reversed(FIELDS.items())), "signature": "x", "frontUrl": ""}
    assert canonical(shuffled) == TEXT
    assert digest_text(shuffled) == b"2de48cc1523fa52999aba03153d6f219f473682e9ecd23adc19f761e5076b36e"
    # The numbers for the old version and the shared key were computed over the same text, version and method included.
    assert hashlib.sha1(TEXT.encode()).hexdigest() == "5ae9a87875a2647197a43a239f41a9a4a14bea1f"
    wanted = "b2b15c3f9f3b49c3be48cebf72f94b4e6862670a6fdb99bd00a849f67a7cb215"
    assert keyed_signature("11", "KEY", FIELDS) == wanted
    assert verify_keyed("11", "KEY", {**FIELDS, "signature": wanted})
    assert not verify_keyed("11", "KEZ", {**FIELDS, "signature": wanted})
    assert not verify_keyed("11", "", {**FIELDS, "signature": wanted})
    assert not verify_keyed("13", "KEY", {**FIELDS, "signature": wanted})
    assert not verify_keyed("11", "KEY", {**FIELDS, "signature": "ü"})


def test_the_old_version_hashes_with_sha1() -> None:
    old = {**FIELDS, "version": "5.0.0"}
    assert digest_text(old) == hashlib.sha1(TEXT.replace("5.1.0", "5.0.0").encode()).hexdigest().encode()


def test_sm3_against_the_standards_vector() -> None:
    # GB/T 32905-2016, example 1: SM3("abc"); here through a key that is hashed alone.
    abc = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    sm3 = hashes.Hash(hashes.SM3())
    sm3.update(f"{TEXT}&{abc}".encode())
    assert keyed_signature("12", "abc", FIELDS) == sm3.finalize().hex()


def test_the_hash_is_hashed_again_inside_rsa(keys: list[rsa.RSAPrivateKey]) -> None:
    signature = base64.b64decode(sign_rsa(keys[0], FIELDS))
    # PKCS#1 v1.5 by hand: what RSA recovers ends in SHA-256 of the 64 hexadecimal characters.
    numbers = keys[0].public_key().public_numbers()
    opened = pow(int.from_bytes(signature, "big"), numbers.e, numbers.n).to_bytes(256, "big")
    assert opened[:2] == b"\x00\x01"
    assert opened.endswith(hashlib.sha256(hashlib.sha256(TEXT.encode()).hexdigest().encode()).digest())


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,12}", fullmatch=True), st.text(max_size=20), max_size=12
    )
)
def test_canonical_text_is_what_the_formula_says(fields: dict[str, str]) -> None:
    expected = ""
    for name in sorted(fields, key=lambda text: [ord(char) for char in text]):
        if name != "signature" and len(fields[name]) > 0:
            expected += ("&" if expected else "") + name + "=" + fields[name]
    assert canonical(fields) == expected


def test_requests_carry_certid_and_verify(keys: list[rsa.RSAPrivateKey]) -> None:
    trust = UnionPayTrust(make("root", keys[0], "root", keys[0]))
    own = MerchantCredentials("777290058110048", "68759663125", keys[1], trust, "KEY")
    signed = sign_request(own, {**FIELDS, "certId": "1", "signature": "old"})
    assert signed["certId"] == "68759663125"
    raw = base64.b64decode(signed["signature"])
    text = hashlib.sha256(TEXT.encode()).hexdigest().encode()
    keys[1].public_key().verify(raw, text, padding.PKCS1v15(), hashes.SHA256())
    assert verify_rsa(keys[1].public_key(), signed)
    assert not verify_rsa(keys[1].public_key(), {**signed, "txnAmt": "1"})
    assert not verify_rsa(keys[1].public_key(), {**signed, "signature": "not base64"})
    keyed = sign_request(own, {**FIELDS, "signMethod": "11"})
    assert "certId" not in keyed
    with pytest.raises(ValueError, match="'02' has no shared key"):
        sign_request(own, {**FIELDS, "signMethod": "02"})
    assert "KEY" not in repr(own)


def received(signer_key: Any, certificate: x509.Certificate) -> dict[str, str]:
    fields = {"version": "5.1.0", "signMethod": "01", "respCode": "00", "signPubKeyCert": pem(certificate)}
    return {**fields, "signature": sign_rsa(signer_key, fields)}


def refused(fields: dict[str, str], trust: UnionPayTrust, **more: Any) -> str:
    with pytest.raises(SignatureRefusedError) as error:
        verify_received(fields, **{"trust": trust, "now_s": NOW_S, **more})
    return error.value.reason


def test_a_chain_of_three_with_the_right_name(keys: list[rsa.RSAPrivateKey]) -> None:
    root_key, middle_key, leaf_key, stranger = keys
    root = make("root", root_key, "root", root_key)
    middle = make("middle", middle_key, "root", root_key)
    name = f"041@8310000000083040@{UNION}@00016495"
    leaf = make(name, leaf_key, "middle", middle_key, ca=False)
    trust = UnionPayTrust(root, (middle,))
    good = received(leaf_key, leaf)
    verify_received(good, trust=trust, now_s=NOW_S)

    assert refused({**good, "respCode": "01"}, trust) == "signature"
    assert refused({**good, "signature": ""}, trust) == "missing"
    assert (
        refused({name: value for name, value in good.items() if name != "signPubKeyCert"}, trust) == "missing"
    )
    assert refused({**good, "signPubKeyCert": "hello"}, trust) == "certificate"
    assert refused({**good, "version": "5.0.0"}, trust) == "method"
    assert refused({**good, "signMethod": "11"}, trust) == "method"
    assert refused(good, trust, sign_method="11", secure_key="KEY") == "method"
    assert refused(received(stranger, leaf), trust) == "signature"
    assert refused(good, UnionPayTrust(root)) == "chain"
    assert refused(good, trust, now_s=NOW_S + 400 * 86_400) == "period"
    assert refused(good, trust, now_s=NOW_S - 2 * 86_400) == "period"


def test_chains_and_names_that_must_fail(keys: list[rsa.RSAPrivateKey]) -> None:
    root_key, middle_key, leaf_key, stranger = keys
    root = make("root", root_key, "root", root_key)
    middle = make("middle", middle_key, "root", root_key)
    trust = UnionPayTrust(root, (middle,))
    name = f"041@Z@{UNION}@1"

    def reason(certificate: x509.Certificate, key: Any = leaf_key, trust: UnionPayTrust = trust) -> str:
        return refused(received(key, certificate), trust)

    # Signed by itself, or by another root of the same name.
    assert reason(make(name, leaf_key, name, leaf_key, ca=False)) == "chain"
    assert reason(make(name, leaf_key, "middle", stranger, ca=False)) == "chain"
    # Issued by a leaf that is no authority but chains to the root itself.
    not_ca = make("middle", stranger, "root", root_key, ca=False)
    no_constraints = make("middle", stranger, "root", root_key, ca=None)
    below = make(name, leaf_key, "middle", stranger, ca=False)
    assert reason(below, trust=UnionPayTrust(root, (not_ca,))) == "chain"
    assert reason(below, trust=UnionPayTrust(root, (no_constraints,))) == "chain"
    # An authority's own certificate.
    assert reason(middle, middle_key) == "chain"
    # The right chain, another name; the name must be the third part, whole.
    for other in ("041@Z@某商户有限公司@1", UNION, f"{UNION}@Z", f"041@{UNION}@x", f"041@Z@{UNION}的朋友@1"):
        assert reason(make(other, leaf_key, "middle", middle_key, ca=False)) == "organisation"
    other = make("041@Z@SIGN@1", leaf_key, "middle", middle_key, ca=False)
    verify_received(received(leaf_key, other), trust=UnionPayTrust(root, (middle,), None), now_s=NOW_S)
    # An expired middle certificate.
    old = make("middle", middle_key, "root", root_key, start_s=NOW_S - 86_400 * 10, days=5)
    leaf = make(name, leaf_key, "middle", middle_key, ca=False)
    assert reason(leaf, trust=UnionPayTrust(root, (old,))) == "period"


@pytest.mark.requirement("sec.weak-keys-are-refused")
def test_weak_keys(keys: list[rsa.RSAPrivateKey]) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.raises(ValueError, match="1024 bits; at least 2048"):
        check_rsa_key(weak)
    with pytest.raises(ValueError, match="signs with RSA"):
        check_rsa_key(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ValueError, match="1024 bits"):
        sign_rsa(weak, FIELDS)
    root = make("root", keys[0], "root", keys[0])
    trust = UnionPayTrust(root)
    with pytest.raises(ValueError, match="1024 bits"):
        MerchantCredentials("777290058110048", "1", weak, trust)
    with pytest.raises(ValueError, match="1024 bits"):
        UnionPayTrust(make("weak", weak, "weak", weak))
    leaf = make(f"041@Z@{UNION}@1", weak, "root", keys[0], ca=False)
    fields = {"version": "5.1.0", "signMethod": "01", "signPubKeyCert": pem(leaf)}
    raw = weak.sign(digest_text(fields), padding.PKCS1v15(), hashes.SHA256())
    assert refused({**fields, "signature": base64.b64encode(raw).decode()}, trust) == "weak-key"


@pytest.mark.parametrize(
    ("mer_id", "cert_id"), [("1", "1"), ("A" * 15, "1"), ("7" * 15, "0xff"), ("7" * 15, "")]
)
def test_credentials_must_have_the_right_shape(
    keys: list[rsa.RSAPrivateKey], mer_id: str, cert_id: str
) -> None:
    trust = UnionPayTrust(make("root", keys[0], "root", keys[0]))
    with pytest.raises(ValueError, match=r"mer_id|cert_id"):
        MerchantCredentials(mer_id, cert_id, keys[0], trust)
