"""What Modbus, ESC/POS and WeChat Pay cost, each beside the library or the primitive that it stands on.

A group holds things that do the same work; pytest-benchmark shows the ratio to the fastest in brackets. Only ratios
within a group are worth quoting: seconds belong to one machine on one day. ``tox -e bench`` runs it.
"""

# ruff: noqa: D103, S101 - tests: a name says what is measured, and each result is checked once it is timed

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from pymodbus.framer.socket import FramerSocket
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadHoldingRegistersResponse

from protocols.escpos import (
    GbDecoder,
    Op,
    ReceiptContent,
    StreamParser,
    read_receipt,
    receipt_bytes,
)
from protocols.modbus import ModbusClient, ModbusServer, RegisterBank, Registers, Scope, point_read
from protocols.sansio import NEED_DATA
from protocols.wechatpay import (
    PlatformTrust,
    SignatureRefusedError,
    authorization_header,
    decrypt_resource,
    encrypt_resource,
    parse_authorization,
    request_message,
    sign_reply,
    verify,
    verify_reply,
)

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

pytestmark = pytest.mark.bench

# Modbus


class _Still:
    """A dispenser of which nothing changes; `generation` lets the server answer from what it said last."""

    def __init__(self, generation: int | None) -> None:
        self._generation = generation

    def generation(self) -> int | None:
        return self._generation

    def read_register(self, scope: Scope, name: str, now_us: int) -> int:
        del now_us
        return len(name) + scope.fuelling_point

    def write_register(self, scope: Scope, name: str, value: int, now_us: int) -> None:
        raise NotImplementedError


def _modbus_poll(generation: int | None) -> int:
    """One poll of a fuelling point, all layers of both sides; returns how many registers came."""
    server = ModbusServer(RegisterBank(_Still(generation), {1: [1, 2]}), 1)
    client = ModbusClient()
    address, count = point_read(1)
    seen = 0
    for now_us in range(100):
        client.read(1, address, count, now_us)
        for burst in client.data_to_send(now_us):
            server.receive_data(burst.data, now_us)
        for burst in server.data_to_send(now_us):
            client.receive_data(burst.data, now_us)
        event = client.next_event()
        assert isinstance(event, Registers)
        seen += len(event.registers)
        assert client.next_event() is NEED_DATA
    return seen


def _pymodbus_poll() -> int:
    """The same frames through pymodbus's framer and PDUs, without any state, matching or register map."""
    asks, answers = FramerSocket(DecodePDU(True)), FramerSocket(DecodePDU(False))
    address, count = point_read(1)
    values = list(range(count))
    seen = 0
    for number in range(1, 101):
        request = asks.buildFrame(
            ReadHoldingRegistersRequest(address=address, count=count, dev_id=1, transaction_id=number)
        )
        _, asked = asks.handleFrame(request, 0, 0)
        assert asked is not None
        assert asked.count == count
        reply = answers.buildFrame(
            ReadHoldingRegistersResponse(registers=values, dev_id=1, transaction_id=number)
        )
        _, answered = answers.handleFrame(reply, 0, 0)
        assert answered is not None
        seen += len(answered.registers)
    return seen


@pytest.mark.benchmark(group="modbus: 100 polls of a fuelling point, both sides")
@pytest.mark.parametrize("way", ["pymodbus's codec alone", "ours, unchanged", "ours, read anew"])
def test_modbus_polls(benchmark: BenchmarkFixture, way: str) -> None:
    expected = 100 * point_read(1)[1]
    if way.startswith("pymodbus"):
        assert benchmark(_pymodbus_poll) == expected
    else:
        assert benchmark(_modbus_poll, 7 if "unchanged" in way else None) == expected


# ESC/POS

_CONTENT = ReceiptContent(
    station_name="昆明北站加油站",
    station="KM01",
    nozzle=3,
    grade="95",
    volume_ml=12_290,
    price_fen_per_l=781,
    amount_fen=9_598,
    sequence=107,
    ended_us=1_767_571_200_000_000,
    pay_method="微信支付",
    order="KM01-20260105-1",
    qr_text="https://example.invalid/f?o=1",
)
_RECEIPT = receipt_bytes(_CONTENT)


def _printed() -> str:
    text, decoder = "", GbDecoder()
    for command in StreamParser().feed(_RECEIPT):
        if command.op is Op.TEXT:
            text += "".join(character for character, _ in decoder.feed(command.data))
        elif command.op is Op.LF:
            text += "\n"
    return text


_PAPER = _printed()


def _text_coded() -> bytes:
    return _PAPER.encode("gb18030")


def _text_decoded() -> str:
    return _text_coded().decode("gb18030")


@pytest.mark.benchmark(group="escpos: write a receipt")
@pytest.mark.parametrize("way", ["its text in GB18030", "the whole receipt"])
def test_receipt_written(benchmark: BenchmarkFixture, way: str) -> None:
    if way == "the whole receipt":
        assert benchmark(receipt_bytes, _CONTENT) == _RECEIPT
    else:
        assert "昆明北站" in benchmark(_text_coded).decode("gb18030")


@pytest.mark.benchmark(group="escpos: read a receipt")
@pytest.mark.parametrize("way", ["its text from GB18030", "the printer's parser", "parser, byte by byte"])
def test_receipt_read(benchmark: BenchmarkFixture, way: str) -> None:
    if way == "its text from GB18030":
        assert benchmark(_text_decoded) == _PAPER
    elif way == "the printer's parser":
        assert read_receipt(benchmark(_printed)).amount_fen == 9_598
    else:

        def feed() -> int:
            parser = StreamParser()
            return sum(len(list(parser.feed(_RECEIPT[at : at + 1]))) for at in range(len(_RECEIPT)))

        # Text comes in smaller pieces then, but nothing may get lost.
        assert benchmark(feed) >= len(list(StreamParser().feed(_RECEIPT)))


# WeChat Pay

_METHOD, _TARGET = "POST", "/v3/pay/transactions/jsapi"
_BODY = b'{"appid":"wxd678efh567hg6787","mchid":"1900007291","out_trade_no":"' + b"7" * 32 + b'"}'
_NONCE, _STAMP = "5K8264ILTKCH16CQ2502SI8ZNMTM67VS", 1_767_571_200
_MESSAGE = request_message(_METHOD, _TARGET, _STAMP, _NONCE, _BODY)
_API_KEY = "0123456789abcdef0123456789ABCDEF"
_PLAIN = b'{"transaction_id":"1217752501201407033233368018","trade_state":"SUCCESS"}' * 8


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.mark.benchmark(group="wechatpay: sign a request (RSA-2048)")
@pytest.mark.parametrize("way", ["bare RSA", "the whole header"])
def test_request_signed(benchmark: BenchmarkFixture, key: rsa.RSAPrivateKey, way: str) -> None:
    if way == "bare RSA":
        raw = benchmark(key.sign, _MESSAGE, PKCS1v15(), SHA256())
        assert verify(key.public_key(), _MESSAGE, base64.b64encode(raw).decode())
        return

    def header() -> str:
        return authorization_header(
            mchid="1900007291",
            serial_no="A" * 40,
            key=key,
            method=_METHOD,
            target=_TARGET,
            body=_BODY,
            timestamp_s=_STAMP,
            nonce=_NONCE,
        )

    claimed = parse_authorization(benchmark(header))
    assert verify(key.public_key(), claimed.message(_METHOD, _TARGET, _BODY), claimed.signature)


@pytest.mark.benchmark(group="wechatpay: check a reply (RSA-2048)")
@pytest.mark.parametrize("way", ["bare RSA", "all headers"])
def test_reply_checked(benchmark: BenchmarkFixture, key: rsa.RSAPrivateKey, way: str) -> None:
    headers = sign_reply(key, serial="B" * 40, timestamp_s=_STAMP, nonce=_NONCE, body=_BODY)
    if way == "bare RSA":
        message = f"{_STAMP}\n{_NONCE}\n{_BODY.decode()}\n".encode()
        signature = base64.b64decode(headers["Wechatpay-Signature"])
        public = key.public_key()
        # Both of these raise if the signature does not fit.
        assert benchmark(public.verify, signature, message, PKCS1v15(), SHA256()) is None
    else:
        trust = PlatformTrust({"B" * 40: key.public_key()})
        assert benchmark(verify_reply, trust, headers, _BODY, now_s=_STAMP) is None
        with pytest.raises(SignatureRefusedError):
            verify_reply(trust, headers, _BODY + b" ", now_s=_STAMP)


@pytest.mark.benchmark(group="wechatpay: open an encrypted notification (AES-256-GCM)")
@pytest.mark.parametrize("way", ["bare AES", "from base64, with its checks"])
def test_resource_opened(benchmark: BenchmarkFixture, way: str) -> None:
    words = {"apiv3_key": _API_KEY, "nonce": "fdasflkja484", "associated_data": "transaction"}
    sealed = encrypt_resource(_PLAIN, **words)
    if way == "bare AES":
        cipher, raw = AESGCM(_API_KEY.encode()), base64.b64decode(sealed)
        assert benchmark(cipher.decrypt, b"fdasflkja484", raw, b"transaction") == _PLAIN
    else:
        assert benchmark(lambda: decrypt_resource(sealed, **words)) == _PLAIN
