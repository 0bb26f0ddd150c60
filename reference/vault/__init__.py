"""The vault: a service of its own that keeps card numbers, so that nothing else ever needs to see one.

It shares no process, no database, no key and no code with the backend. The backend holds a token, the first six digits and
the last four; only the vault can lead from the token back to the number.
"""

from __future__ import annotations

from reference.vault.app import Vault, create_vault
from reference.vault.keys import KeyRing, VaultKeyError
from reference.vault.settings import VaultSettings, VaultSettingsError
from reference.vault.store import StoreError

__all__ = [
    "KeyRing",
    "StoreError",
    "Vault",
    "VaultKeyError",
    "VaultSettings",
    "VaultSettingsError",
    "create_vault",
]
