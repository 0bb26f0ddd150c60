"""Keys of the payment gateway over time: another certificate signs, callbacks move to the public key."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scenarios.model.values import Part

__all__ = ["KeyChange"]


class KeyChange(Part):
    """The platform changes what it signs with.

    ``rotate_certificate``: from now on a certificate signs that no backend has seen; it stands in the platform's own list
    (``GET /v3/certificates``). ``switch_to_public_key``: within seven days callbacks move from certificates to the platform's
    public key, which the merchant knows from the start: 0.1 % of them on the first day, all on the seventh (WXDOC 4012154180).
    """

    at_s: Annotated[int, Field(ge=0, le=31 * 86_400)]
    kind: Literal["rotate_certificate", "switch_to_public_key"]
