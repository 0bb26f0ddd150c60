"""Who sits in the car: a made-up driver, plate and company, the same for the same seed and car number."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

from faker import Faker

__all__ = ["Identity", "identity", "social_credit_code"]

# GB 32100-2015: 31 characters (no I, O, S, V, Z), weights 3**i mod 31 over the first 17 places.
_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


@dataclass(frozen=True, slots=True)
class Identity:
    """A made-up person. ``openid`` is what the payment world knows; the taxpayer number belongs to ``company``."""

    name: str
    plate: str
    openid: str
    company: str
    taxpayer_id: str


@lru_cache(maxsize=1)
def _faker() -> Faker:
    # Building the zh_CN provider takes tens of milliseconds; re-seeding it takes microseconds.
    return Faker("zh_CN")


def social_credit_code(rng: random.Random) -> str:
    """A well-formed unified social credit code (18 characters, check character per GB 32100-2015)."""
    body = "91530100" + "".join(rng.choice(_ALPHABET) for _ in range(9))
    total = sum(_ALPHABET.index(character) * pow(3, place, 31) for place, character in enumerate(body))
    return body + _ALPHABET[-total % 31]


def identity(seed: str, number: int) -> Identity:
    """The person of car ``number``."""
    faker = _faker()
    faker.seed_instance(f"{seed}/car/{number}/identity")
    rng = random.Random(f"{seed}/car/{number}/plate")
    plate = "云A·" + "".join(rng.choice("0123456789ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(5))
    openid = "o" + "".join(rng.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(27))
    return Identity(faker.name(), plate, openid, faker.company(), social_credit_code(rng))
