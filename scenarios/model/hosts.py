"""Who calls whom over HTTP in a scenario's world: the names that an HTTP fault may give."""

from __future__ import annotations

from typing import Final

__all__ = ["http_routes"]

GATEWAY: Final = "api.mch.weixin.qq.com"
"""Payments, refunds and, under the same name, the refined-oil invoices."""

PLATFORM: Final = "api.weixin.qq.com"
PAYER: Final = "payer.sim"
SPEAKERS: Final = "speaker.17laimai.cn"
"""The loudspeaker maker's platform, where a station has a loudspeaker that listens to it."""

CALLBACKS: Final = "backend.station"
"""The balancer before the backend instances, where gateway and tax platform deliver what they have to tell."""


UNIONPAY: Final = "gateway.95516.com"
UNIONPAY_ACQUIRER: Final = "acquirer.sim"
UNIONPAY_PAYER: Final = "unionpay-payer.sim"
UNIONPAY_FILES: Final = "filedownload.95516.com"
"""UnionPay, where somebody pays over it."""


TAX_HOSTS: Final = {
    "wechat": (),
    "nuonuo": ("sdk.nuonuo.com", "open.nuonuo.com"),
    "baiwang": ("openapi.baiwang.com",),
}
"""Hosts of the tax platforms; WeChat's is behind the gateway's own."""


def http_routes(
    instances: int, *, speakers: bool = False, unionpay: bool = False, tax: str = "wechat"
) -> dict[str, tuple[str, ...]]:
    """Clients by name, each with the hosts that it calls, for so many backend instances.

    ``speakers``: whether the backends call the loudspeaker maker's platform; ``unionpay``: whether somebody pays over it; ``tax``:
    over which platform invoices go.
    """
    names = [f"backend-{chr(ord('a') + number)}" for number in range(instances)]
    backends = tuple(f"{name}.station" for name in names)
    called = (GATEWAY, PLATFORM, *((SPEAKERS,) if speakers else ()))
    if unionpay:
        called = (*called, UNIONPAY, UNIONPAY_ACQUIRER, UNIONPAY_FILES)
    called = (*called, *TAX_HOSTS[tax])
    return {
        "site": backends,
        "kiosk": backends,
        "phone": (*backends, PAYER, *((UNIONPAY_PAYER,) if unionpay else ())),
        "gateway": (CALLBACKS,),
        **({"unionpay": (CALLBACKS,)} if unionpay else {}),
        **({"nuonuo": (CALLBACKS,)} if tax == "nuonuo" else {}),
        "balancer": backends,
        **dict.fromkeys(names, called),
    }
