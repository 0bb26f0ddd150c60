"""Key material of a run: made at run time, once a process, and never part of a trace."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from protocols.wechatpay import MerchantCredentials
from scenarios.model import Scenario
from sim import unionpay
from sim.wechatpay import (
    Merchant,
    PlatformKeys,
    generate_merchant,
    generate_platform,
    load_gateway_material,
    save_gateway_material,
)

__all__ = [
    "MERCHANT_FILE",
    "RunKeys",
    "keys_of",
    "load_run_keys",
    "run_keys",
    "save_run_keys",
    "unionpay_keys",
    "wall_keys",
]

MERCHANT_FILE = "merchant.json"
"""In the folder of `save_run_keys`: what the reference backend reads as its ``merchant_file``."""

_GATEWAY_FILE = "gateway.json"
_SECRETS_FILE = "secrets.json"

_CERTIFICATES_VALID_FROM_UNIX_S = 1_735_689_600
"""2025-01-01: before any shipped scenario begins; test certificates live five years."""


@dataclass(frozen=True)
class RunKeys:
    """Everything secret that a run needs."""

    platform: PlatformKeys
    merchant: Merchant
    station_key: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(24))
    admin_key: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(24))
    service_secret: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(24))


@cache
def run_keys(certificates: int = 1) -> RunKeys:
    """The keys of this process. RSA keys take a second to make, so all runs of a process share them.

    Args:
        certificates: how many the gateway has. The merchant knows the first one and the public key, as if it had been set up
            before the others were made.
    """
    platform = generate_platform(certificates=certificates, valid_from_unix_s=_CERTIFICATES_VALID_FROM_UNIX_S)
    known = PlatformKeys(platform.certificates[:1], platform.public)
    merchant = generate_merchant(known, valid_from_unix_s=_CERTIFICATES_VALID_FROM_UNIX_S)
    return RunKeys(platform, merchant)


def keys_of(scenario: Scenario) -> RunKeys:
    """The keys of a scenario's virtual run: a certificate for each rotation beside the first."""
    return run_keys(1 + sum(change.kind == "rotate_certificate" for change in scenario.key_changes))


@cache
def unionpay_keys() -> tuple[unionpay.PlatformMaterial, unionpay.Merchant]:
    """UnionPay's keys of this process and the merchant's there; made when the first run needs them."""
    platform = unionpay.generate_platform(valid_from_s=_CERTIFICATES_VALID_FROM_UNIX_S)
    return platform, unionpay.generate_merchant(platform)


def wall_keys() -> RunKeys:
    """Fresh keys for real processes: certificates are valid from yesterday by the machine's clock."""
    platform = generate_platform()
    return RunKeys(platform, generate_merchant(platform))


def save_run_keys(folder: Path, keys: RunKeys) -> None:
    """Write keys for the processes of a run: three files of mode 0600 in a folder that nobody else may enter.

    The folder must never be an evidence folder. Raises OSError when it cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    save_gateway_material(folder / _GATEWAY_FILE, keys.platform, [keys.merchant.account])
    words = {name: getattr(keys, name) for name in ("station_key", "admin_key", "service_secret")}
    for name, text in (
        (MERCHANT_FILE, keys.merchant.credentials.to_json()),
        (_SECRETS_FILE, json.dumps(words)),
    ):
        path = folder / name
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text, encoding="utf-8")


def load_run_keys(folder: Path) -> RunKeys:
    """Read what `save_run_keys` wrote.

    Raises:
        ValueError: a file is missing or is not what it should be; the message names the file, never a key.
    """
    try:
        platform, accounts = load_gateway_material(folder / _GATEWAY_FILE)
        credentials = MerchantCredentials.from_json((folder / MERCHANT_FILE).read_text("utf-8"))
        words = json.loads((folder / _SECRETS_FILE).read_text("utf-8"))
        return RunKeys(
            platform,
            Merchant(accounts[0], credentials),
            station_key=words["station_key"],
            admin_key=words["admin_key"],
            service_secret=words["service_secret"],
        )
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder / _SECRETS_FILE}: not JSON (line {error.lineno})") from None
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{folder}: {error} is missing from the keys") from None
