from __future__ import annotations

import pytest

from protocols.dart import ControllerSide
from reference.site.pumps.dart import DartDriver


@pytest.mark.bench
def test_idle_poll_costs_less_than_5_us_in_the_driver(fake, benchmark):
    driver = DartDriver(fake.config(4))
    line = fake.Line(driver, [fake.Pump(0x51 + k) for k in range(4)])
    line.run(20_030_000)
    wire = ControllerSide([0x51])
    eot = {0x51 + k: bytes((0x51 + k, 0x70, 0xFA)) for k in range(4)}

    def thousand():
        for _ in range(1000):
            now_us = driver.next_timer()
            driver.handle_timer(now_us)
            address = driver.data_to_send(now_us)[0].data[0]
            driver.receive_data(eot[address], now_us + 8_000)

    def codec_alone():
        for k in range(1000):
            wire.poll(0x51, k)
            wire.data_to_send(k)
            wire.receive_data(eot[0x51], k)
            wire.next_event()

    benchmark.pedantic(thousand, rounds=20)
    import timeit

    codec_us = min(timeit.repeat(codec_alone, number=1, repeat=10)) * 1e3
    assert driver.points[0].up
    assert benchmark.stats.stats.min * 1e3 - codec_us < 5
