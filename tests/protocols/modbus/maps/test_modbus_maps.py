"""Foreign Modbus maps: the fields as published, what they hold, what is refused. Independent of the code's own encoders."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.modbus import Access, Refusal
from protocols.modbus.framing import Frame, tcp_frame
from protocols.modbus.maps import (
    CNG_FIELDS,
    ENDRESS_HAUSER,
    MICRO_MOTION,
    PROFILES,
    Field,
    FieldBank,
    Kind,
    MapParameters,
    MapServer,
    Quantity,
    cng_reads,
    cng_write,
    decode_cng,
    decode_float,
    decode_scan,
    scan_setup,
)
from protocols.sansio import LocalProtocolError

# The service manual's page, typed in once more: register, type, access, decimals.
PUBLISHED = """
0100 U16 R 0|0101 U16 R 2|0102 U32 R 3|0104 U32 R 2|0106 BCD12 R 2|0109 BCD12 R 2|0112 U16 R 1|0113 U16 R 2|0114 U16 R 0|
0115 I16 R 1|0116 I16 R 1|0117 BCD8 R 2|0124 U16 R 0|0125 U32 R 3|0127 U32 R 2|0129 I16 R 1|0130 U16 R 1|0131 U16 R 1|
0200 U16 RW 0|0201 U16 RW 2|0202 U16 RW 0|0203 U16 RW 1|0204 U16 RW 0
"""


class Board:
    """A source of fixed values that notes what is written."""

    def __init__(self, values: dict[str, float]) -> None:
        self.values = values
        self.written: list[tuple[str, float]] = []
        self.asked = 0

    def read_field(self, name: str, now_us: int) -> float:
        self.asked += 1
        return self.values.get(name, 0)

    def write_field(self, name: str, value: float, now_us: int) -> None:
        if value == 666:
            raise Refusal(6)
        self.written.append((name, value))

    def write_coil(self, name: str, on: bool, now_us: int) -> None:
        self.written.append((name, on))


VALUES = {
    "operation_flags": 3,
    "unit_price": 425,
    "quantity": 70_123,
    "amount": 1_000_007,
    "total_quantity": 123_456_789_012,
    "total_amount": 999_999_999_999,
    "pressure": 2_000,
    "flow": 1_234,
    "ambient_temperature": -205,
    "gas_temperature": -1,
    "tote_quantity": 98_765_432,
    "end_of_sale": 2,
    "last_quantity": 65_536,
    "last_gas_temperature": -32_768,
    "max_pressure": 2_500,
}


def ask(server: MapServer, pdu: str) -> bytes:
    server.receive_data(tcp_frame(Frame(server.unit_id, 7, bytes.fromhex(pdu))), 0)
    (reply,) = server.data_to_send(0)
    return reply.data[7:]


def serve(parameters: MapParameters, board: Board | None = None) -> tuple[MapServer, Board]:
    board = board or Board(VALUES)
    return MapServer(FieldBank(CNG_FIELDS, board, parameters), framing="tcp"), board


def test_the_map_is_the_published_one() -> None:
    told = [row.split() for row in PUBLISHED.replace("\n", "").split("|")]
    assert [(f"{f.number:04}", f.kind.value, f.access.value, str(f.decimals)) for f in CNG_FIELDS] == [
        tuple(row) for row in told
    ]


@pytest.mark.parametrize("first_address", [0, 1])
@pytest.mark.parametrize("low_word_first", [False, True])
def test_values_stand_where_a_page_reader_looks_for_them(first_address, low_word_first) -> None:
    server, _ = serve(MapParameters(first_address=first_address, low_word_first=low_word_first))
    at = 102 - first_address
    reply = ask(server, f"03 {at:04x} 0002")
    words = struct.unpack(">HH", reply[2:])
    high, low = words[::-1] if low_word_first else words
    assert high << 16 | low == 70_123
    reply = ask(server, f"04 {106 - first_address:04x} 0003")
    words = [f"{word:04x}" for word in struct.unpack(">HHH", reply[2:])]
    assert "".join(words[::-1] if low_word_first else words) == "123456789012"
    assert struct.unpack(">h", ask(server, f"03 {115 - first_address:04x} 0001")[2:]) == (-205,)


@pytest.mark.parametrize("first_address", [0, 1])
@pytest.mark.parametrize("low_word_first", [False, True])
def test_a_controller_reads_back_what_the_board_has(first_address, low_word_first) -> None:
    parameters = MapParameters(first_address=first_address, low_word_first=low_word_first)
    server, _ = serve(parameters)
    blocks = []
    for address, count in cng_reads(parameters):
        reply = ask(server, f"03 {address:04x} {count:04x}")
        assert reply[:2] == bytes((3, 2 * count))
        blocks.append(struct.unpack(f">{count}H", reply[2:]))
    values = decode_cng(blocks, parameters)
    assert values == {field.name: VALUES.get(field.name, 0) for field in CNG_FIELDS}
    with pytest.raises(ValueError, match="registers where"):
        decode_cng([blocks[0][:-1], *blocks[1:]], parameters)


def test_a_digit_that_is_none_is_told() -> None:
    parameters = MapParameters()
    blocks = [[0] * count for _, count in cng_reads(parameters)]
    blocks[0][6] = 0x12A4
    with pytest.raises(ValueError, match="total_quantity: 12A4"):
        decode_cng(blocks, parameters)


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        pytest.param("03 0077 0001", "8302", id="a gap"),
        pytest.param("03 0064 0014", "8302", id="over the end of a block"),
        pytest.param("03 0064 0000", "8303", id="no registers"),
        pytest.param("03 0064 007e", "8303", id="too many"),
        pytest.param("03 0064", "8303", id="short"),
        pytest.param("03 0064 0001 00", "8303", id="long"),
        pytest.param("05 0037 ff00", "8501", id="no coils here"),
        pytest.param("63", "e301", id="no such function"),
        pytest.param("06 0064 0001", "8602", id="read-only"),
        pytest.param("06 00c9 01a9", "0600c901a9", id="a price"),
        pytest.param("06 00c9 029a", "8606", id="a price that the board refuses"),
        pytest.param("10 00c9 0002 04 01a9 00c8", "1000c90002", id="price and pressure"),
        pytest.param("10 00c9 0002 03 01a9 00", "9003", id="a byte short"),
        pytest.param("10 00c9 0002 04 01a9 00", "9003", id="a byte fewer than told"),
        pytest.param("10 00cc 0002 04 0001 0001", "9002", id="half of it behind the map"),
        pytest.param("10 0064 0001 02 0001", "9002", id="read-only, many"),
    ],
)
def test_what_is_refused_and_how(pdu: str, answer: str) -> None:
    server, board = serve(MapParameters())
    assert ask(server, pdu).hex() == answer
    taken = {"0600c901a9": [("set_price", 425)], "1000c90002": [("set_price", 425), ("target_pressure", 200)]}
    assert board.written == taken.get(answer, [])


def test_the_reading_function_is_a_parameter() -> None:
    server, _ = serve(MapParameters(functions=frozenset({4})))
    assert ask(server, "03 0064 0001").hex() == "8301"
    assert ask(server, "04 0064 0001").hex() == "04020003"


def test_gaps_may_read_as_nothing() -> None:
    server, board = serve(MapParameters(gaps="zero"))
    assert ask(server, "03 0064 0020")[2:][38:48] == bytes(10)  # 119..123
    assert ask(server, "03 1000 0001").hex() == "03020000"
    assert ask(server, "06 0077 0001").hex() == "8602"
    assert board.written == []


def test_values_of_one_request_are_of_one_instant() -> None:
    server, board = serve(MapParameters())
    ask(server, "03 006a 0003")
    assert board.asked == 1


def test_parameters_that_cannot_be() -> None:
    for wrong in (
        {"unit_id": 0},
        {"unit_id": 248},
        {"functions": frozenset()},
        {"functions": frozenset({1})},
        {"first_address": 2},
        {"gaps": "x"},
    ):
        with pytest.raises(ValueError, match=r"\d|gaps"):
            MapParameters(**wrong)  # type: ignore[arg-type]


def test_what_cannot_be_written() -> None:
    parameters = MapParameters(first_address=1)
    assert cng_write("lock", 1, parameters) == (199, [1])
    assert cng_write("set_price", 65_535, parameters) == (200, [65_535])
    with pytest.raises(LocalProtocolError):
        cng_write("set_price", 65_536, parameters)
    for name in ("quantity", "nothing"):
        with pytest.raises(ValueError, match="cannot be written"):
            cng_write(name, 1, parameters)


def test_two_fields_never_share_a_register() -> None:
    one = Field(1, "one", Kind.U32, Access.READ, 0, "", "")
    two = Field(2, "two", Kind.U16, Access.READ, 0, "", "")
    with pytest.raises(ValueError, match="two cannot have the register 2"):
        FieldBank([one, two], Board({}), MapParameters())
    with pytest.raises(ValueError, match="one cannot have the register -1"):
        FieldBank(
            [Field(0, "one", Kind.U16, Access.READ, 0, "", "")], Board({}), MapParameters(first_address=1)
        )


def test_half_a_value_is_not_written() -> None:
    wide = Field(10, "wide", Kind.U32, Access.READ_WRITE, 0, "", "")
    board = Board({})
    bank = FieldBank([wide], board, MapParameters())
    for address, words in ((10, [1]), (11, [1])):
        with pytest.raises(Refusal):
            bank.write(address, words, 0)
    bank.write(10, [1, 2], 0)
    assert board.written == [("wide", 65_538)]


@given(
    st.sampled_from([Kind.U16, Kind.I16, Kind.U32, Kind.BCD8, Kind.BCD12]),
    st.integers(-40_000, 2 * 10**12),
    st.booleans(),
)
def test_whole_numbers_come_back_or_are_refused(kind: Kind, value: int, low_word_first: bool) -> None:
    field = Field(0, "it", kind, Access.READ, 0, "", "")
    try:
        words = field.encode(value, low_word_first=low_word_first)
    except LocalProtocolError:
        return
    assert all(0 <= word <= 0xFFFF for word in words)
    assert field.decode(words, low_word_first=low_word_first) == value


@given(st.floats(width=32, allow_nan=False))
def test_floats_have_their_low_word_first(value: float) -> None:
    raw = struct.pack(">f", value)
    low, high = struct.unpack(">H", raw[2:]), struct.unpack(">H", raw[:2])
    assert decode_float([*low, *high]) == value


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        (MICRO_MOTION, {"flow": 246, "total": 258, "own": 312, "setup": 750, "scan": 782, "codes": [0, 2, 1, 3, 47]}),
        (
            ENDRESS_HAUSER,
            {"flow": 2006, "total": 2609, "own": 4909, "setup": 5000, "scan": 5050, "codes": [2007, 2610, 2017, 2013, 9503]},
        ),
    ],
    ids=["micro-motion", "endress-hauser"],
)  # fmt: skip
def test_meters_have_the_addresses_of_the_fielded_reader(profile, told) -> None:
    assert (profile.mass_flow, profile.total, profile.own_address) == (
        told["flow"],
        told["total"],
        told["own"],
    )
    everything = list(Quantity)
    assert scan_setup(profile, everything) == tuple(
        (told["setup"] + n, code) for n, code in enumerate(told["codes"])
    )
    assert profile.scan_values == told["scan"]
    assert (profile.reset_coil, profile.reset_register) == (
        (55, None) if told["own"] == 312 else (None, 2607)
    )
    assert PROFILES[profile.name] is profile
    with pytest.raises(ValueError, match="5 slots"):
        scan_setup(profile, [*everything, Quantity.TOTAL])
    registers = [word for n in range(5) for word in struct.unpack(">HH", struct.pack(">f", n + 0.5))[::-1]]
    assert decode_scan(everything, registers) == {quantity: n + 0.5 for n, quantity in enumerate(everything)}
    with pytest.raises(ValueError, match="10 were expected"):
        decode_scan(everything, registers[:-1])
