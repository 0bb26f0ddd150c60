from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from protocols.wechatpay import MerchantCredentials, PlatformTrust

PLATFORM_SERIAL = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
API_KEY = "0123456789abcdef0123456789ABCDEF"


@pytest.fixture(scope="session")
def merchant_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def platform_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def trust(platform_key: rsa.RSAPrivateKey) -> PlatformTrust:
    return PlatformTrust({PLATFORM_SERIAL: platform_key.public_key()})


@pytest.fixture
def credentials(merchant_key: rsa.RSAPrivateKey, trust: PlatformTrust) -> MerchantCredentials:
    return MerchantCredentials(
        mchid="1900007291",
        appid="wxd678efh567hg6787",
        serial_no="408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB",
        private_key=merchant_key,
        apiv3_key=API_KEY,
        trust=trust,
        public_key_id="PUB_KEY_ID_0114232134912410000000000000",
        app_secret="s" * 32,
    )
