from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import secrets
import sqlite3

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from reference.vault import KeyRing, Vault, VaultKeyError, VaultSettings, create_vault
from scenarios.leaks import Finder, Scan, make_canaries
from scenarios.verdicts import Verdict

CARD = "6222021234567894"
OTHER = "4242424242424242"
BACKEND, ADAPTER, STRANGER = "backend-key-0123456", "adapter-key-0123456", "stranger-key-012345"
NOW_US = 1_767_225_600_000_000


def text_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def settings(**changes) -> VaultSettings:
    clients = [
        {"merchant": "m1", "key": BACKEND},
        {"merchant": "m1", "key": ADAPTER, "may_reveal": True},
        {"merchant": "m2", "key": STRANGER},
    ]
    return VaultSettings.model_validate(
        {"database": ":memory:", "keys": {"k1": text_key()}, "clients": clients, **changes}
    )


class Client:
    """The vault over its own HTTP interface, at a time that the test sets."""

    def __init__(self, made: VaultSettings) -> None:
        self.now_us = NOW_US
        self.vault: Vault = create_vault(made, clock_us=lambda: self.now_us)

    def call(self, method, path, body=None, *, key=BACKEND, status=None, **more):
        async def ask():
            transport = httpx.ASGITransport(self.vault.app)
            async with httpx.AsyncClient(transport=transport, base_url="https://vault.station") as client:
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                return await client.request(method, path, json=body, headers=headers, **more)

        reply = asyncio.run(ask())
        if status is not None:
            assert reply.status_code == status, reply.text
        return reply.json() if reply.content else None

    def token(self, number, *, key=BACKEND, status=None):
        return self.call("POST", "/v1/tokens", {"card_number": number}, key=key, status=status)


@pytest.fixture
def vault():
    client = Client(settings())
    yield client
    client.vault.close()


@pytest.mark.requirement("sec.tokens-need-the-vault")
def test_one_number_has_one_token_for_each_merchant(vault):
    first = vault.token(CARD, status=201)
    assert vault.token(CARD, status=200) == first
    assert vault.token(OTHER, status=201)["token"] != first["token"]
    assert vault.token(CARD, key=STRANGER, status=201)["token"] != first["token"]
    assert first | {"token": ""} == {"token": "", "bin": "622202", "last4": "7894", "network": "unionpay"}


@pytest.mark.requirement("sec.tokens-need-the-vault")
def test_a_token_follows_from_nothing():
    """Two vaults with the same keys and the same numbers give other tokens: there is nothing in them to compute."""
    made = settings()
    tokens = [Client(made).token(CARD)["token"] for _ in range(2)]
    assert tokens[0] != tokens[1]
    digests = {
        algorithm(text.encode()).hexdigest()
        for algorithm in (hashlib.md5, hashlib.sha1, hashlib.sha256)
        for text in (CARD, f"m1{CARD}", f"m1:{CARD}", CARD[6:12])
    }
    raw = base64.b32decode(tokens[0].removeprefix("ct_").upper()).hex()
    assert not any(raw[:16] in digest or digest[:16] in raw for digest in digests)
    assert not any(part in tokens[0] for part in (CARD[:6], CARD[-4:]))


@pytest.mark.requirement("sec.tokens-need-the-vault")
def test_only_a_key_that_may_reveal_gets_the_number_and_it_is_on_record(vault):
    token = vault.token(CARD)["token"]
    wanted = {"token": token, "reason": "charge of order o1"}
    refused = vault.call("POST", "/v1/reveals", wanted, status=403)
    assert CARD not in json.dumps(refused)
    vault.call("POST", "/v1/reveals", wanted, key=STRANGER, status=403)
    vault.call("POST", "/v1/reveals", wanted, key="", status=401)
    assert vault.call("POST", "/v1/reveals", wanted, key=ADAPTER, status=200) == {"card_number": CARD}
    assert [act[1:] for act in vault.vault.desk.store.acts()] == [
        ("m1", "reveal", token, "charge of order o1")
    ]
    missing = {"token": "ct_" + "a" * 32, "reason": "curiosity"}
    vault.call("POST", "/v1/reveals", missing, key=ADAPTER, status=404)
    assert vault.vault.desk.store.acts()[-1][2] == "reveal refused"


@pytest.mark.requirement("sec.tokens-need-the-vault")
def test_another_merchants_token_opens_nothing():
    clients = [{"merchant": m, "key": f"key-of-merchant-{m}", "may_reveal": True} for m in ("m1", "m2")]
    vault = Client(settings(clients=clients))
    token = vault.token(CARD, key="key-of-merchant-m1")["token"]
    wanted = {"token": token, "reason": "not mine"}
    vault.call("POST", "/v1/reveals", wanted, key="key-of-merchant-m2", status=404)
    vault.call("DELETE", f"/v1/tokens/{token}", key="key-of-merchant-m2", status=404)
    vault.call("POST", "/v1/reveals", wanted, key="key-of-merchant-m1", status=200)


@pytest.mark.requirement("sec.tokens-need-the-vault")
def test_trying_all_numbers_behind_a_prefix_is_slowed_down():
    """Ten million numbers share six digits in front and four behind; at this pace they take years."""
    vault = Client(settings(tokens_per_minute=5))
    assert [vault.token(CARD).get("code") for _ in range(7)] == [None] * 5 + ["too_many"] * 2
    vault.now_us += 12_000_000
    vault.token(CARD, status=200)
    vault.token(CARD, status=429)
    vault.token(CARD, key=STRANGER, status=201)  # another merchant's pace is its own


@pytest.mark.requirement("sec.no-track-data-stored", "sec.no-card-number-anywhere")
@pytest.mark.parametrize(
    "field", ["cvv", "cvn2", "pin", "pin_block", "track1", "track2", "track3", "expiry", CARD]
)
def test_nothing_else_of_a_card_is_taken_or_repeated(vault, field):
    for value in (CARD, "123", f";{CARD}=2912101123456789?"):
        body = {"card_number": CARD, field: value}
        refusal = vault.call("POST", "/v1/tokens", body, status=422)
        assert CARD not in json.dumps(refusal)
        if field not in {"expiry", CARD}:
            assert (refusal["code"], refusal["field"]) == ("never_kept", field)
    assert vault.vault.desk.store.find("m1", [b""]) is None
    assert vault.vault.desk.store.key_ids() == set()


@pytest.mark.parametrize(
    "number",
    [
        "",
        "4242424242424241",
        "1767225600000000",
        "６２２２０２１２３４５６７８９４",
        "4242 4242 4242 4242",
        4242424242424242,
        None,
        "42" * 40,
    ],
)
def test_what_is_no_card_number_gets_no_token_and_is_not_repeated(vault, number):
    refusal = vault.call("POST", "/v1/tokens", {"card_number": number}, status=422)
    assert refusal["field"] == "card_number"
    assert not number or str(number) not in json.dumps(refusal)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'"6222021234567894"', b"x" * 5000])
def test_a_bad_body_is_refused(vault, body):
    async def ask():
        transport = httpx.ASGITransport(vault.vault.app)
        async with httpx.AsyncClient(transport=transport, base_url="https://v") as client:
            return await client.post(
                "/v1/tokens", content=body, headers={"Authorization": f"Bearer {BACKEND}"}
            )

    reply = asyncio.run(ask())
    assert reply.status_code in {413, 422}
    assert CARD not in reply.text


def test_a_length_behind_zeros_is_a_length(vault):
    async def ask(length):
        transport = httpx.ASGITransport(vault.vault.app)
        headers = {"Authorization": f"Bearer {BACKEND}", "Content-Length": length}
        async with httpx.AsyncClient(transport=transport, base_url="https://v", headers=headers) as client:
            body = json.dumps({"card_number": CARD}).encode().ljust(int(length))
            return await client.post("/v1/tokens", content=body)

    assert asyncio.run(ask("000000000005000")).status_code == 413
    assert asyncio.run(ask("000000000000100")).status_code != 413


def test_a_database_that_cannot_be_read_is_told_without_a_traceback(tmp_path):
    client = Client(settings(database=str(tmp_path / "vault.sqlite3")))
    other = sqlite3.connect(tmp_path / "vault.sqlite3", isolation_level=None)
    other.executescript("DROP TABLE bindings; DROP TABLE cards;")
    other.close()
    try:
        client.call("GET", "/healthz", status=503)
        client.call("POST", "/v1/hand-in", {"card_number": CARD}, status=503)
    finally:
        client.vault.close()


def test_a_card_goes_from_its_holder_to_the_vault_past_the_merchant(vault):
    announced = vault.call("POST", "/v1/bindings", status=201)
    place = f"/v1/bindings/{announced['binding']}"
    assert vault.call("GET", place, status=204) is None
    seen = vault.call("POST", "/v1/hand-in", {"card_number": CARD}, key=announced["secret"], status=200)
    assert vault.call("GET", place, status=200) == seen
    assert vault.token(CARD, status=200) == seen
    # The reply was lost and the phone asks again; another card is another matter.
    vault.call("POST", "/v1/hand-in", {"card_number": CARD}, key=announced["secret"], status=200)
    vault.call("POST", "/v1/hand-in", {"card_number": OTHER}, key=announced["secret"], status=409)
    vault.call("GET", place, key=STRANGER, status=404)
    vault.call("POST", "/v1/hand-in", {"card_number": CARD}, key=BACKEND, status=401)
    late = vault.call("POST", "/v1/bindings", status=201)
    vault.now_us += 601_000_000
    vault.call("POST", "/v1/hand-in", {"card_number": CARD}, key=late["secret"], status=401)


def test_a_forgotten_card_is_gone(vault):
    token = vault.token(CARD)["token"]
    vault.call("DELETE", f"/v1/tokens/{token}", status=204)
    vault.call("DELETE", f"/v1/tokens/{token}", status=404)
    vault.call("POST", "/v1/reveals", {"token": token, "reason": "again"}, key=ADAPTER, status=404)
    assert vault.token(CARD, status=201)["token"] != token


def test_a_number_that_a_gateway_encrypted_is_opened_here_only(tmp_path):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "m1.pem").write_bytes(pem)
    clients = [{"merchant": "m1", "key": BACKEND, "unseal_file": str(tmp_path / "m1.pem")}]
    vault = Client(settings(clients=[*clients, {"merchant": "m2", "key": STRANGER}]))

    def sealed(data: bytes) -> dict[str, str]:
        return {"sealed": base64.b64encode(key.public_key().encrypt(data, padding.PKCS1v15())).decode()}

    seen = vault.call("POST", "/v1/tokens", sealed(CARD.encode()), status=201)
    assert seen == vault.token(CARD, status=200)
    refusals = [
        vault.call("POST", "/v1/tokens", body, status=422)
        for body in (
            sealed(b"4242424242424241"),
            sealed(b"\xff"),
            {"sealed": "AAAA"},
            {"sealed": "A" * 344},
            {"sealed": "?!?!"},
        )
    ]
    assert refusals == [refusals[0]] * 5  # alike, or the key could be asked what a ciphertext holds
    vault.call("POST", "/v1/tokens", sealed(CARD.encode()), key=STRANGER, status=409)
    vault.call("POST", "/v1/tokens", {**sealed(CARD.encode()), "card_number": CARD}, status=422)
    vault.call("POST", "/v1/tokens", {}, status=422)


@pytest.mark.requirement("sec.tokens-need-the-vault", "sec.no-card-number-anywhere")
def test_the_database_alone_tells_no_number(tmp_path):
    canaries = make_canaries("vault", cards=40, phones=0)
    made = settings(database=str(tmp_path / "vault.sqlite3"))
    vault = Client(made)
    tokens = [vault.token(canary.digits, status=201)["token"] for canary in canaries]
    vault.call("DELETE", f"/v1/tokens/{tokens[0]}", status=204)
    vault.vault.close()
    scan = Scan(Finder(canaries))
    scan.folder(tmp_path)
    assert (scan.report.verdict, scan.report.rows) == (Verdict.PASS, 39 + 1 + 1)  # sqlite_sequence has one
    assert (tmp_path / "vault.sqlite3").stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(tmp_path / "vault.sqlite3") as database:
        found_by = {row[0] for row in database.execute("SELECT found_by FROM cards")}
    for canary in canaries:  # nothing that can be computed without a key finds a number
        for text in (canary.digits, f"m1{canary.digits}", f"2:m1/{canary.digits}"):
            assert hashlib.sha256(text.encode()).digest() not in found_by
    database.close()


def test_rows_that_were_swapped_do_not_open(tmp_path):
    made = settings(database=str(tmp_path / "v.db"))
    vault = Client(made)
    tokens = [vault.token(number)["token"] for number in (CARD, OTHER)]
    with sqlite3.connect(tmp_path / "v.db") as database:
        rows = database.execute("SELECT token, nonce, ciphertext FROM cards").fetchall()
        for (token, _, _), (_, nonce, ciphertext) in zip(rows, reversed(rows), strict=True):
            database.execute(
                "UPDATE cards SET nonce = ?, ciphertext = ? WHERE token = ?", (nonce, ciphertext, token)
            )
    database.close()
    for token in tokens:
        vault.call("POST", "/v1/reveals", {"token": token, "reason": "check"}, key=ADAPTER, status=503)
    vault.vault.close()


@pytest.mark.requirement("sec.tokens-need-the-vault")
def test_keys_rotate_and_tokens_stay(tmp_path):
    file = str(tmp_path / "v.db")
    old, new = text_key(), text_key()
    vault = Client(settings(database=file, keys={"old": old}))
    tokens = {number: vault.token(number)["token"] for number in (CARD, OTHER)}
    vault.vault.close()

    vault = Client(settings(database=file, keys={"new": new, "old": old}))
    assert vault.token(CARD, status=200)["token"] == tokens[CARD]  # before anything was sealed anew
    third = vault.token("5555555555554444", status=201)["token"]
    assert vault.vault.desk.store.key_ids() == {"old", "new"}
    assert vault.vault.desk.rotate() == 2
    assert vault.vault.desk.rotate() == 0
    vault.vault.close()

    vault = Client(settings(database=file, keys={"new": new}))
    for number, token in {**tokens, "5555555555554444": third}.items():
        assert vault.token(number, status=200)["token"] == token
        wanted = {"token": token, "reason": "check"}
        assert vault.call("POST", "/v1/reveals", wanted, key=ADAPTER, status=200) == {"card_number": number}
    vault.vault.close()

    with pytest.raises(VaultKeyError, match=r"keys\.new: entries"):
        create_vault(settings(database=file, keys={"old": old}))


def test_a_rotation_that_was_killed_half_way_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("reference.vault.desk._BATCH", 3)
    file = str(tmp_path / "v.db")
    old, new = text_key(), text_key()
    canaries = make_canaries("rotation", cards=10, phones=0)
    vault = Client(settings(database=file, keys={"old": old}))
    tokens = [vault.token(canary.digits)["token"] for canary in canaries]
    vault.vault.close()
    vault = Client(settings(database=file, keys={"new": new, "old": old}))
    put = vault.vault.desk.store.put
    calls = iter(range(100))

    def dies(entry):
        if next(calls) == 4:
            raise KeyboardInterrupt
        put(entry)

    monkeypatch.setattr(vault.vault.desk.store, "put", dies)
    with pytest.raises(KeyboardInterrupt):
        vault.vault.desk.rotate()
    vault.vault.close()
    vault = Client(settings(database=file, keys={"new": new, "old": old}))
    assert [vault.token(canary.digits, status=200)["token"] for canary in canaries] == tokens
    assert vault.vault.desk.rotate() == 7
    vault.vault.close()


def test_a_simulated_vault_repeats_itself():
    made = settings()
    tokens = [
        create_vault(made, clock_us=lambda: 0, rng=random.Random(1)).desk.tokenise("m1", CARD)[1].token
        for _ in "ab"
    ]
    assert tokens[0] == tokens[1]


@pytest.mark.parametrize("key", [b"", b"short", b"\0" * 32, b"ab" * 16])
def test_keys_that_are_none_are_refused(key):
    with pytest.raises(VaultKeyError):
        KeyRing({"k": key}, secrets.token_bytes)


def test_one_key_under_two_ids_is_refused():
    key = secrets.token_bytes(32)
    with pytest.raises(VaultKeyError, match="two ids"):
        KeyRing({"a": key, "b": key}, secrets.token_bytes)


def test_every_route_of_the_document_answers_as_it_says(vault):
    document = vault.vault.app.openapi()
    assert set(document["paths"]) == {
        "/v1/tokens",
        "/v1/tokens/{token}",
        "/v1/bindings",
        "/v1/bindings/{binding}",
        "/v1/hand-in",
        "/v1/reveals",
        "/healthz",
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            place = path.replace("{token}", "ct_" + "a" * 32).replace("{binding}", "cb_" + "a" * 32)
            if "security" in operation:
                vault.call(
                    method.upper(),
                    place,
                    {} if method == "post" else None,
                    key="",
                    status=401 if "requestBody" not in operation else None,
                )
            assert "422" in operation["responses"]
    assert vault.call("GET", "/healthz", status=200) == {"status": "ok"}
    assert vault.call("GET", f"/{CARD}", status=404)["code"] == "not_found"
