"""Which tax platform invoices are issued over, with what credentials, and how patiently."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from protocols.fapiao import DIESEL_TAX_CODE, PETROL_TAX_CODE

__all__ = ["BaiwangSettings", "FuelGoods", "NuonuoSettings", "TaxSettings"]

_Key = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_TaxpayerId = Annotated[str, StringConstraints(pattern=r"^[0-9A-HJ-NPQRTUWXY]{15,20}$")]
_TaxCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{19}$")]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=40)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NuonuoSettings(_Frozen):
    """An application of one's own at the Nuonuo open platform.

    Attributes:
        url, token_url: hosts of the services and of the token.
        taxpayer_id: of the company that issues.
        clerk: printed as the issuer.
    """

    url: str = "https://sdk.nuonuo.com"
    token_url: str = "https://open.nuonuo.com"  # noqa: S105 # an address
    app_key: _Key
    app_secret: _Key = Field(repr=False)
    taxpayer_id: _TaxpayerId
    clerk: _Text = "开票员"


class BaiwangSettings(_Frozen):
    """An application with its user at the Baiwang cloud.

    Attributes:
        password_form: how the password travels; the sources disagree.
        oil_mark: ``invoiceSpecialMark`` of refined oil; the sources disagree about that, too.
    """

    url: str = "https://openapi.baiwang.com"
    app_key: _Key
    app_secret: _Key = Field(repr=False)
    username: _Key
    password: _Key = Field(repr=False)
    salt: Annotated[str, StringConstraints(max_length=128)] = Field(default="", repr=False)
    taxpayer_id: _TaxpayerId
    password_form: Literal["sha256", "sha1-md5"] = "sha256"  # noqa: S105 # a name
    oil_mark: Literal["01", "08"] = "01"


class FuelGoods(_Frozen):
    """What a grade is called on an invoice: category by tax code, name, and what stands in the column beside it."""

    tax_code: _TaxCode
    name: _Text
    specification: Annotated[str, StringConstraints(max_length=40)] = ""


def _goods() -> dict[str, FuelGoods]:
    petrol = {
        grade: FuelGoods(tax_code=PETROL_TAX_CODE, name="汽油", specification=f"{grade}#")
        for grade in ("92", "95", "98")
    }
    return {**petrol, "diesel": FuelGoods(tax_code=DIESEL_TAX_CODE, name="柴油")}


class TaxSettings(_Frozen):
    """Invoicing.

    Attributes:
        platform: where new invoices are issued; those under way stay where they are.
        nuonuo, baiwang: credentials; those of the platform must be there.
        goods: what is sold, by grade. A grade that is not in it gets no invoice (and an alarm).
        wait_schedule_s: waits before an invoice that waits for stock, credit or access is tried again; the last repeats.
        session_after_s: an accepted invoice that takes longer makes the service ask whether the bureau's login is lost.
        probe_s: how often a platform that keeps everything is asked whether it is back.
        release_per_s: so many waiting invoices go on each second when it is.
        red_schedule_s: waits before each look at a red letter; the last repeats.
        calls_at_once: so many invoice tasks at once in one instance, so that a slow platform leaves hands for payments.
        delivery_urls: channel (message, mail, wallet) -> where it is handed over; a channel that is absent is not offered.
        delivery_schedule_s: waits before each further try to deliver; after the last it is given up, with an alarm.
    """

    platform: Literal["wechat", "nuonuo", "baiwang"] = "wechat"
    nuonuo: NuonuoSettings | None = None
    baiwang: BaiwangSettings | None = None
    goods: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+_-]{1,16}$")], FuelGoods] = Field(
        default_factory=_goods
    )
    wait_schedule_s: Annotated[tuple[int, ...], Field(min_length=1)] = (30, 60, 60, 120, 300, 900, 3600)
    session_after_s: Annotated[int, Field(ge=3)] = 8
    probe_s: Annotated[int, Field(ge=1)] = 30
    release_per_s: Annotated[int, Field(ge=1, le=100)] = 5
    red_schedule_s: Annotated[tuple[int, ...], Field(min_length=1)] = (5, 5, 5, 10, 30, 60, 300, 900, 3600)
    calls_at_once: Annotated[int, Field(ge=1, le=64)] = 8
    delivery_urls: dict[Literal["message", "mail", "wallet"], str] = Field(default_factory=dict)
    delivery_schedule_s: Annotated[tuple[int, ...], Field(min_length=1)] = (10, 60, 300, 1800, 7200)

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        if self.platform != "wechat" and getattr(self, self.platform) is None:
            raise ValueError(
                f"platform is {self.platform}: its credentials must be given under {self.platform!r}"
            )
        return self
