"""LOAD and STORE against plain Python copies: random boxes, stalls everywhere, bursts, faults, stops."""

from __future__ import annotations

from itertools import cycle, product
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

from tests.kit.axi_memory import Behaviour
from tests.kit.sparse import PAGE, magnitude
from tests.rtl.dma_kit import check_loads, check_stores, make
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.isa import Opcode, Space, Trap
from triptych.sim.rtl.orders import WriteOrder


@cocotb.test()
async def copies_at_full_speed(dut: Any) -> None:
    bench = await make(dut, 0.0)
    await check_loads(bench, 12)
    await check_stores(bench, 12)


@cocotb.test()
async def copies_under_stalls(dut: Any) -> None:
    bench = await make(dut, 0.35, latency=7)
    for _ in range(3):
        await check_loads(bench, 15)
        await check_stores(bench, 15)
    for k in (24, 32):  # a burst up to a carry
        assert any((a + n) % (1 << k) == 0 for a, n in (*bench.memory.reads, *bench.memory.writes)), k
    pages = {a // 4096 for a, _ in bench.memory.reads} | {a // 4096 for a, _ in bench.memory.writes}
    assert len(pages) > 4
    assert max(length for _, length in bench.memory.reads) > 32 * bench.depth


async def _copies_with(dut: Any, *orders: WriteOrder) -> None:
    bench = await make(dut, 0.2)
    for writes, late, stall in product(orders, (False, True), (0.0, 0.4)):
        bench.memory.port.set(Behaviour(bench.rng.choice((0, 9)), stall, writes, late_write=late))
        await check_loads(bench, 2)
        await check_stores(bench, 6)
        await ClockCycles(dut.clk_i, 20)
        assert not bench.memory.port.outstanding


@cocotb.test()
async def copies_whose_addresses_are_taken_at_once(dut: Any) -> None:
    await _copies_with(dut, WriteOrder.FREE, WriteOrder.ADDRESS_FIRST)


@cocotb.test()
async def copies_whose_addresses_wait_for_data(dut: Any) -> None:
    await _copies_with(dut, WriteOrder.OFFERED, WriteOrder.DATA_FIRST)


@cocotb.test()
async def long_streams_move_a_beat_a_cycle(dut: Any) -> None:
    bench = await make(dut, 0.0)
    words = len(bench.local[Space.SPAD]) // bench.depth
    fields = {
        "dram": 64 * bench.depth,
        "dram_row": 0,
        "spad": 0,
        "spad_row": 0,
        "rows": 1,
        "row_bytes": words * bench.depth,
    }
    for engine, opcode in (("load", Opcode.LOAD), ("store", Opcode.STORE)):
        i = Instruction(opcode, fields)
        value = bench.expect(i)
        await bench.issue(engine, i)
        cycles = 0
        while not bench.retired[engine]:
            await RisingEdge(dut.clk_i)
            cycles += 1
        assert bench.retired[engine].popleft() == value
        assert cycles < words + 40, f"{engine}: {cycles} cycles for {words} words"


@cocotb.test()
async def short_bursts_overlap(dut: Any) -> None:
    """Bursts of a beat each, answered late: eight of STORE's are under way at a time, and as many of LOAD's as come."""
    bench = await make(dut, 0.0, latency=40)
    rows = 96
    fields = {"dram": 0x1000, "dram_row": 0x1000, "spad": 0, "spad_row": bench.depth, "rows": rows}
    for engine, opcode in (("load", Opcode.LOAD), ("store", Opcode.STORE)):
        i = Instruction(opcode, fields | {"row_bytes": bench.depth})
        value = bench.expect(i)
        await bench.issue(engine, i)
        cycles = 0
        while not bench.retired[engine]:
            await RisingEdge(dut.clk_i)
            cycles += 1
        assert bench.retired[engine].popleft() == value
        assert cycles < 9 * rows, f"{engine}: {cycles} cycles for {rows} bursts of a beat"


@cocotb.test()
async def ranges(dut: Any) -> None:
    bench = await make(dut, 0.2)
    d = bench.depth
    sizes = {Space.SPAD: int(dut.SpadWords.value), Space.PROG: int(dut.ProgWords.value) * 32 // d}
    sizes[Space.TABLE] = int(dut.Tables.value) * 64 // d
    for engine, opcode, space in (
        ("load", Opcode.LOAD, Space.SPAD),
        ("load", Opcode.LOAD, Space.PROG),
        ("load", Opcode.LOAD, Space.TABLE),
        ("store", Opcode.STORE, Space.SPAD),
    ):
        words = sizes[space]
        base = {"dram": 0, "dram_row": 4 * d} | ({"space": space} if opcode is Opcode.LOAD else {})
        far = {"spad": 0, "spad_row": 0xFFFFFF // d * d, "rows": 0xFFFF, "row_bytes": d}
        beyond = [
            {"spad": (words - 1) * d, "spad_row": 0, "rows": 1, "row_bytes": 2 * d},
            {"spad": words * d, "spad_row": 0, "rows": 1, "row_bytes": d},
            {"spad": 0, "spad_row": (words // 4) * d, "rows": 5, "row_bytes": d},
            far,
            {"spad": 0, "spad_row": 0, "rows": 1, "row_bytes": 0xFFFFFF // d * d},
        ]
        for fields in beyond:
            before = len(bench.memory.reads), len(bench.memory.writes)
            first = bench.random_copy(opcode)
            value = bench.expect(first)
            await bench.issue(engine, first)
            await bench.issue(engine, Instruction(opcode, base | fields))
            assert await bench.fault(engine) == Trap.RANGE
            assert bench.retired[engine].popleft() == value  # the earlier one retired before
            assert not bench.retired[engine]
            await bench.stop()
            moved = bench.memory.reads[before[0] :] + bench.memory.writes[before[1] :]
            assert sum(length for _, length in moved) == first["rows"] * first["row_bytes"]
        exact = {"spad": (words - 2) * d, "spad_row": d, "rows": 2, "row_bytes": d}
        await bench.issue(engine, Instruction(opcode, base | exact))
        await bench.retirement(engine)
        bench.take_over()


@cocotb.test()
async def ranges_of_every_magnitude(dut: Any) -> None:
    """Copies whose end is a multiple of every power of two beyond the scratchpad, and any others: RANGE, or right."""
    bench = await make(dut, 0.0)
    d, rng = bench.depth, bench.rng
    limit = len(bench.local[Space.SPAD])  # in front of the rivals' word
    cases = [{"rows": 17, "spad": 0, "spad_row": 0xFFFFF0 // d * d, "row_bytes": 256}]
    for k in range(limit.bit_length(), 40):  # row number 2^n begins at byte 2^k
        n = max(k - 23, rng.randrange(16)) if k - 23 < 16 else 15
        if 0 <= k - n < 24:
            cases.append({"rows": (1 << n) + 1, "spad": 0, "spad_row": (1 << k - n) // d * d, "row_bytes": d})
    cases += [{"rows": 1, "spad": 1 << k, "spad_row": 0, "row_bytes": d} for k in range(limit.bit_length(), 24)]
    cases += [{"rows": 1, "spad": 0, "spad_row": 0, "row_bytes": 1 << k} for k in range(limit.bit_length(), 24)]
    legal = 0
    while len(cases) < 160 or legal < 30:
        fields = {"rows": magnitude(rng, 16), "spad": magnitude(rng, 24, d), "spad_row": magnitude(rng, 24, d)}
        fields["row_bytes"] = magnitude(rng, 24, d)
        end = fields["spad"] + (fields["rows"] - 1) * fields["spad_row"] + fields["row_bytes"]
        if not fields["rows"] or not fields["row_bytes"]:
            continue
        if end <= limit:
            if fields["rows"] * fields["row_bytes"] > 400 * d or legal == 30:
                continue
            legal += 1
        elif len(cases) - legal > 130:
            continue
        cases.append(fields)
    for fields in cases:
        end = fields["spad"] + (fields["rows"] - 1) * fields["spad_row"] + fields["row_bytes"]
        dram = {"dram": magnitude(rng, 32, d), "dram_row": magnitude(rng, 32, d)}
        for engine, opcode in (("load", Opcode.LOAD), ("store", Opcode.STORE)):
            if end > len(bench.local[Space.SPAD]) + d:
                await bench.issue(engine, Instruction(opcode, dram | fields))
                assert await bench.fault(engine) == Trap.RANGE, fields
                await bench.stop()
                continue
            if end > len(bench.local[Space.SPAD]):
                continue
            i = Instruction(opcode, dram | fields)
            value = bench.expect(i)
            await bench.issue(engine, i)
            assert await bench.retirement(engine) == value, i


@cocotb.test()
async def rows_of_16_bits(dut: Any) -> None:
    """More rows, and more words in one run, than 15 bits count; nothing moves too little or too much."""
    bench = await make(dut, 0.0)
    d = bench.depth
    fields = {"dram": 0xFFF000, "dram_row": d, "spad": 0, "spad_row": 0, "rows": (1 << 15) + 3, "row_bytes": d}
    for engine, opcode in (("load", Opcode.LOAD), ("store", Opcode.STORE)):
        i = Instruction(opcode, fields)
        value = bench.expect(i)
        await bench.issue(engine, i)
        assert await bench.retirement(engine) == value
    moved = [sum(n for _, n in bursts) for bursts in (bench.memory.reads, bench.memory.writes)]
    assert moved == [fields["rows"] * d] * 2


@cocotb.test()
async def bus_errors(dut: Any) -> None:
    bench = await make(dut, 0.3, latency=3)
    d = bench.depth
    spaces = cycle((Space.SPAD, Space.PROG, Space.TABLE))
    for engine, opcode in (("load", Opcode.LOAD), ("store", Opcode.STORE)) * 6:
        space = next(spaces) if opcode is Opcode.LOAD else Space.SPAD
        # within one burst, or in the first of two: the response of the last one is then right
        before = bench.rng.choice((0, 0, 3)) * d
        base = 0x4000 - before
        length = min(before + bench.rng.choice((1, 7, 60, 200)) * d, len(bench.local[space]) // d * d)
        bad = base + bench.rng.randrange((before or length) // d) * d
        bench.memory.errors = [range(bad, bad + d)]
        fields = {"dram": base, "dram_row": 0, "spad": 0, "spad_row": 0, "rows": 1, "row_bytes": length}
        i = Instruction(opcode, fields | ({"space": space} if opcode is Opcode.LOAD else {}))
        await bench.issue(engine, i)
        follower = cocotb.start_soon(bench.issue(engine, i))  # in flight behind the one that fails
        assert await bench.fault(engine) == (Trap.BUS_LOAD if engine == "load" else Trap.BUS_STORE)
        follower.cancel()
        await ClockCycles(dut.clk_i, bench.rng.randrange(30))
        assert not bench.retired[engine]
        await bench.stop()
        bench.memory.errors = []
        bench.take_over()
        if engine == "load":
            await check_loads(bench, 2)
        else:
            await check_stores(bench, 2)


@cocotb.test()
async def stops_anywhere(dut: Any) -> None:
    bench = await make(dut, 0.3, latency=5)
    for _ in range(12):
        feeds = []
        for engine, opcode in (("load", Opcode.LOAD), ("store", Opcode.STORE)):
            copies = [bench.random_copy(opcode) for _ in range(3)]

            async def feed(engine: str = engine, copies: list[Instruction] = copies) -> None:
                for i in copies:
                    await bench.issue(engine, i)

            feeds.append(cocotb.start_soon(feed()))
        await ClockCycles(dut.clk_i, bench.rng.randrange(1, 120))
        for task in feeds:
            task.cancel()
        await bench.stop()
        bench.retired["load"].clear()
        bench.retired["store"].clear()
    for cycles in range(4):  # each of those in which a copy is set up
        for engine, opcode in (("load", Opcode.LOAD), ("store", Opcode.STORE)):
            await bench.issue(engine, bench.random_copy(opcode))
        for _ in range(cycles):
            await FallingEdge(dut.clk_i)
        dut.stop_i.value = 1
        await bench.stop()
        bench.retired["load"].clear()
        bench.retired["store"].clear()
    bench.take_over()
    await check_loads(bench, 3)
    await check_stores(bench, 3)


@cocotb.test()
async def stopped_stores_write_nothing_wrong(dut: Any) -> None:
    bench = await make(dut, 0.3, latency=5)
    d = bench.depth
    await check_loads(bench, 4)
    partial = 0
    for _ in range(12):
        copies = [bench.random_copy(Opcode.STORE, wild=False) for _ in range(3)]
        stages = [bench.memory.data.copy()]
        for i in copies:
            stages.append(stages[-1].copy())
            bench.expect_store(i, stages[-1])

        async def feed(copies: list[Instruction] = copies) -> None:
            for i in copies:
                await bench.issue("store", i)

        task = cocotb.start_soon(feed())
        await ClockCycles(dut.clk_i, bench.rng.randrange(1, 200))
        task.cancel()
        await bench.stop()
        bench.retired["store"].clear()
        memory = bench.memory.data
        for page in list(memory.pages):
            for at in range(page * PAGE, (page + 1) * PAGE, d):
                word = memory.read(at, d)
                assert any(stage.read(at, d) == word for stage in stages), f"word at {at:#x}"
        partial += all(memory.first_difference(stage) is not None for stage in stages)
        bench.take_over()
        await check_stores(bench, 1)  # nothing of the stopped one is left in the next one's signature
    assert partial > 3
