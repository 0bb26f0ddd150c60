from __future__ import annotations

from pathlib import Path

import pytest

from protocols.modbus import (
    DEVICE,
    FUELLING_POINT,
    NOZZLE,
    POINT_COUNT,
    Access,
    Command,
    base_of_fuelling_point,
    base_of_nozzle,
    command_write,
    decode_nozzle,
    decode_point,
    price_write,
)
from protocols.modbus.document import main, register_map_page

PAGE = Path(__file__).parents[3] / "docs" / "modbus-register-map.md"


@pytest.mark.parametrize("block", [DEVICE, FUELLING_POINT, NOZZLE], ids=["device", "point", "nozzle"])
def test_registers_of_a_block_do_not_overlap_and_stay_inside(block) -> None:
    end = 0
    for register in block:
        assert register.offset >= end
        end = register.offset + register.width
    assert end <= (10 if block is NOZZLE else 100)
    assert len({register.name for register in block}) == len(block)


def test_blocks_do_not_overlap_and_fit_into_16_bits() -> None:
    ends = [base_of_nozzle(point, 8) + 10 for point in range(1, 65)]
    starts = [base_of_fuelling_point(point) for point in range(1, 65)]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    assert ends[-1] < 0x10000
    assert DEVICE[-1].offset + DEVICE[-1].width <= starts[0]
    for wrong in (0, 65):
        with pytest.raises(ValueError, match=r"not in 1\.\.64"):
            base_of_fuelling_point(wrong)
    with pytest.raises(ValueError, match=r"not in 1\.\.8"):
        base_of_nozzle(1, 9)


def test_one_read_covers_all_that_a_poll_wants_without_a_gap() -> None:
    covered = [
        register.offset + word
        for register in FUELLING_POINT
        if register.access is Access.READ
        for word in range(register.width)
    ]
    assert covered == list(range(POINT_COUNT))
    assert POINT_COUNT <= 125


def test_the_published_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == register_map_page(), (
        "run: python -m protocols.modbus.document docs/modbus-register-map.md"
    )


def test_the_page_names_every_register(tmp_path, capsys) -> None:
    assert main([str(tmp_path / "page.md")]) == 0
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    for register in (*DEVICE, *FUELLING_POINT, *NOZZLE):
        assert f"| `{register.name}` | {register.width.name} |" in page
    assert main([]) == 0
    assert capsys.readouterr().out == page
    assert main([str(tmp_path / "no" / "folder.md")]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main(["a", "b"]) == 2


def test_a_command_and_its_parameters_are_one_write() -> None:
    assert command_write(2, Command.AUTHORISE, token=9, allowed_nozzles=[1, 3], preset_fen=70_000) == (
        442,
        [9, 0b101, 2, 1, 4_464, 3],
    )
    assert command_write(1, Command.TERMINATE) == (242, [0, 0, 0, 0, 0, 4])
    assert price_write(1, 2, 812) == (310, [812])
    with pytest.raises(ValueError, match="not both"):
        command_write(1, Command.AUTHORISE, preset_fen=1, preset_ml=1)
    with pytest.raises(ValueError, match="token: 65536 does not fit"):
        command_write(1, Command.AUTHORISE, token=65_536)


def test_answers_of_another_length_are_not_decoded() -> None:
    with pytest.raises(ValueError, match="34 registers where 35 were expected"):
        decode_point([0] * 34)
    with pytest.raises(ValueError, match="registers where 10"):
        decode_nozzle([0] * 9)
    assert decode_point([0] * 35).sale is None
