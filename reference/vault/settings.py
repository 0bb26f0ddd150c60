"""What the vault is told: one JSON file that only its owner may read."""

from __future__ import annotations

import ipaddress
import json
import stat
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from protocols.rsa_keys import load_certificates, load_private_key
from reference.vault.keys import VaultKeyError, key_of

__all__ = ["ClientSettings", "VaultSettings", "VaultSettingsError"]

_MOST_BYTES = 1 << 20
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
_PathText = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
_Secret = Annotated[str, StringConstraints(min_length=16, max_length=256)]


class VaultSettingsError(ValueError):
    """The settings cannot be used; the message names file and field, and shows no secret."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ClientSettings(_Part):
    """Who may call.

    Attributes:
        merchant: whose tokens they are; two merchants get different tokens for one card.
        key: bearer key.
        may_reveal: may ask for the number behind a token. The backend's key may not; that of a payment processor's
            adapter may.
        unseal_file: RSA private key (PEM) that opens card numbers which a gateway has encrypted for this merchant.
    """

    merchant: _Name
    key: _Secret = Field(repr=False)
    may_reveal: bool = False
    unseal_file: Path | None = None


class VaultSettings(_Part):
    """Settings of one vault.

    Attributes:
        database: file of its own; ``:memory:`` in drills.
        keys: id -> 32 random bytes as base64; the first one seals. To rotate, put a new one in front, run
            ``python -m reference.vault --config FILE --rotate``, then take the old one out.
        clients: who may call.
        tls_certificate, tls_key: PEM files; without them only the loopback address may be listened on.
        tokens_per_minute: how many numbers a merchant may turn into tokens. Whoever has a token, its first six digits and its
            last four could otherwise try all numbers in between until the same token comes back.
        binding_ttl_s: how long a card may be handed in after it was announced.
    """

    database: _PathText = "vault.sqlite3"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    keys: Annotated[dict[_Name, str], Field(min_length=1, max_length=8, repr=False)]
    clients: Annotated[tuple[ClientSettings, ...], Field(min_length=1, max_length=64)]
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tokens_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 600
    binding_ttl_s: Annotated[int, Field(ge=10, le=3600)] = 600

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len({client.key for client in self.clients}) != len(self.clients):
            raise ValueError("clients: two of them have one key")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together")
        if self.tls_certificate is None and not _is_loopback(self.host):
            raise ValueError("host: without tls_certificate only a loopback address may be listened on")
        for key_id, text in self.keys.items():
            try:
                key_of(text)
            except VaultKeyError as error:
                raise ValueError(f"keys.{key_id}: {error}") from None
        return self

    def raw_keys(self) -> dict[str, bytes]:
        """The keys as bytes, the active one first."""
        return {key_id: key_of(text) for key_id, text in self.keys.items()}

    @classmethod
    def from_file(cls, path: Path) -> VaultSettings:
        """Read a JSON file; files that it names are relative to its folder. Every RSA key and certificate is looked at here.

        Raises:
            VaultSettingsError: unreadable, readable for others, not JSON, a field is wrong, or a key is too weak.
        """
        try:
            if not path.is_file() and path.exists():
                raise VaultSettingsError(f"{path}: not a file")  # a pipe would keep the vault waiting
            with path.open("rb") as file:
                mode = stat.S_IMODE(path.stat().st_mode)
                raw = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise VaultSettingsError(f"{path}: {error.strerror or error}") from None
        if mode & 0o077:
            raise VaultSettingsError(
                f"{path}: holds keys and is open to others (mode {mode:04o}); chmod 600 it"
            )
        if len(raw) > _MOST_BYTES:
            raise VaultSettingsError(f"{path}: larger than {_MOST_BYTES:,} bytes")
        try:
            settings = cls.model_validate(_read(raw))
        except _NotJsonError as error:
            raise VaultSettingsError(f"{path}: not JSON: {error}") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"]) or "(file)"
            raise VaultSettingsError(f"{path}: {field}: {first['msg']}") from None
        return settings._in(path.parent)

    def _in(self, folder: Path) -> Self:
        def placed(path: Path | None) -> Path | None:
            return None if path is None else folder / path

        clients = tuple(
            client.model_copy(update={"unseal_file": placed(client.unseal_file)}) for client in self.clients
        )
        database = self.database if self.database == ":memory:" else str(folder / self.database)
        files = {"tls_certificate": placed(self.tls_certificate), "tls_key": placed(self.tls_key)}
        made = self.model_copy(update={"clients": clients, "database": database, **files})
        try:
            for client in made.clients:
                if client.unseal_file is not None:
                    load_private_key(client.unseal_file.read_text("ascii"), source=str(client.unseal_file))
            if made.tls_certificate is not None:
                load_certificates(made.tls_certificate)
        except OSError as error:
            raise VaultSettingsError(f"{error.filename}: {error.strerror or error}") from None
        except ValueError as error:
            raise VaultSettingsError(str(error)) from None
        return made


class _NotJsonError(Exception):
    """Says why."""


def _read(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except json.JSONDecodeError as error:
        raise _NotJsonError(error.msg) from None
    except UnicodeDecodeError:
        raise _NotJsonError("not UTF-8") from None
    except RecursionError:
        raise _NotJsonError("nested too deeply") from None
    except ValueError:
        raise _NotJsonError("a number with thousands of digits") from None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
