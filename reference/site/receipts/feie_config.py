"""What a site controller is told about a receipt printer in Feie's cloud."""

from __future__ import annotations

import os
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["UKEY_VARIABLE", "FeieConfig"]

UKEY_VARIABLE: Final = "FORECOURT_FEIE_UKEY"


class FeieConfig(BaseModel):
    """One printer of one account. Times in microseconds.

    ``ukey`` may stay out of the file: then it is read from the environment, ``FORECOURT_FEIE_UKEY``. ``expires_us`` is how long the
    cloud may keep a receipt for a printer that is away; after that it is printed anew, marked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = "https://api.feieyun.cn/Api/Open/"
    user: Annotated[str, Field(min_length=1, max_length=100)]
    ukey: Annotated[str, Field(max_length=100)] = ""
    sn: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{6,20}$")]
    request_timeout_us: Annotated[int, Field(ge=100_000, le=60_000_000)] = 10_000_000
    poll_us: Annotated[int, Field(ge=100_000, le=60_000_000)] = 1_000_000
    retry_us: Annotated[int, Field(ge=100_000, le=600_000_000)] = 5_000_000
    expires_us: Annotated[int, Field(ge=30_000_000, le=86_400_000_000)] = 300_000_000

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} is not an http:// or https:// address")
        return value

    @property
    def key(self) -> str:
        """The account's key."""
        return self.ukey or os.environ.get(UKEY_VARIABLE, "")
