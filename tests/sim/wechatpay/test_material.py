"""Keys made at run time: serials, files, refusals."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate

from sim.wechatpay import (
    MerchantAccount,
    PlatformKeys,
    generate_merchant,
    load_gateway_material,
    save_gateway_material,
)


def test_serials_are_40_hex_digits_and_match_the_certificate(platform, merchant) -> None:
    for key in platform.certificates:
        certificate = load_pem_x509_certificate(key.certificate_pem.encode())
        assert f"{certificate.serial_number:X}" == key.serial
        assert len(key.serial) == 40
        assert key.expire_s - key.effective_s == 5 * 365 * 86_400
    assert len({key.serial for key in platform.certificates}) == 2
    (serial,) = merchant.account.certificates
    assert serial == merchant.credentials.serial_no


def test_both_views_fit_and_nothing_secret_is_shown(merchant) -> None:
    own, seen = merchant.credentials, merchant.account
    assert own.apiv3_key == seen.apiv3_key
    assert seen.certificates[own.serial_no] == own.private_key.public_key()
    for text in (repr(merchant), str(merchant)):
        assert own.apiv3_key not in text
        assert own.app_secret not in text


def test_the_gateways_side_survives_a_file(tmp_path: Path, platform, merchant) -> None:
    path = tmp_path / "gateway.json"
    save_gateway_material(path, platform, [merchant.account])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys, (account,) = load_gateway_material(path)
    assert [key.serial for key in keys.certificates] == [key.serial for key in platform.certificates]
    assert keys.public is not None
    assert keys.public.serial == platform.public.serial
    assert account.certificates.keys() == merchant.account.certificates.keys()
    assert account.apiv3_key == merchant.account.apiv3_key


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"platform": [{}], "merchants": []}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gateway.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"gateway\.json|at least one certificate"):
        load_gateway_material(path)


def test_a_missing_field_is_named_without_its_neighbours(tmp_path: Path, platform, merchant) -> None:
    path = tmp_path / "gateway.json"
    save_gateway_material(path, platform, [merchant.account])
    data = json.loads(path.read_text())
    del data["merchants"][0]["appids"]
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="'appids'") as refused:
        load_gateway_material(path)
    assert merchant.account.apiv3_key not in str(refused.value)


def test_impossible_material_is_refused(platform) -> None:
    with pytest.raises(ValueError, match="32 ASCII"):
        MerchantAccount("1", ("wx",), {}, "short")
    with pytest.raises(ValueError, match="at least one certificate"):
        PlatformKeys(())
    with pytest.raises(ValueError, match="public key"):
        generate_merchant(PlatformKeys(platform.certificates), public_key_mode=True)
