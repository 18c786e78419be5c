"""Queues and tokens against a cycle-exact model: nothing starts early, late, twice or out of order."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge

from tests.kit.sparse import magnitude
from tests.rtl.bench import start
from triptych.golden.quartdepth.chip.codec import Instruction
from triptych.golden.quartdepth.chip.isa import Engine, Opcode

OPCODES = (Opcode.LOAD, Opcode.MATMUL, Opcode.VECTOR, Opcode.STORE)
WAITS = ("wait_load", "wait_mxu", "wait_vpu", "wait_store")
PAYLOAD = ("dram", "wgt", "param", "dram")  # a field that tells instructions apart
HEAD = 72  # bits of opcode and waits, which engines do not see


def random_program(rng: random.Random, length: int) -> list[tuple[int, Instruction]]:
    """Instructions with waits on earlier ones: often exactly on the newest, sometimes on nothing."""
    dispatched = [0] * 4
    program = []
    for _ in range(length):
        engine = rng.randrange(4)
        waits = [rng.choice((0, n, max(n - 1, 0), rng.randrange(n + 1))) for n in dispatched]
        fields = dict(zip(WAITS, waits, strict=True)) | {PAYLOAD[engine]: rng.getrandbits(20)}
        instruction = Instruction(OPCODES[engine], fields)
        program.append((engine, instruction))
        dispatched[engine] += 1
    return program


@cocotb.test()
async def dependencies(dut: Any) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    capacity, in_flight = int(dut.Queue.value), int(dut.InFlight.value)
    for name in ("begin_i", "stop_i", "push_valid_i", "instr_ready_i", "retire_i"):
        getattr(dut, name).value = 0
    await start(dut)
    for length, stop_after in ((600, None), (200, 90), (300, None)):
        program = random_program(rng, length)
        await FallingEdge(dut.clk_i)
        dut.begin_i.value = 1
        await FallingEdge(dut.clk_i)
        dut.begin_i.value = 0
        queues: list[deque[tuple[int, Instruction]]] = [deque() for _ in Engine]
        flying: list[deque[int]] = [deque() for _ in Engine]
        tokens = [0] * 4
        held: Engine | None = None  # whose instruction was read from the memory
        pc = waited = blocked = turned = 0
        while pc < len(program) or any(queues) or any(flying):
            await FallingEdge(dut.clk_i)
            engine, instruction = program[min(pc, len(program) - 1)]
            push = pc < len(program)  # stays until it is taken
            ready = [rng.random() < 0.5 for _ in Engine]
            retire = [bool(flying[e]) and rng.random() < 0.25 for e in Engine]
            dut.push_valid_i.value = push << engine
            dut.push_instr_i.value = int.from_bytes(instruction.encode(), "little")
            dut.push_pc_i.value = pc
            dut.instr_ready_i.value = sum(r << e for e, r in enumerate(ready))
            dut.retire_i.value = sum(r << e for e, r in enumerate(retire))
            await ReadOnly()
            issued = []
            can = []
            after = [t + r for t, r in zip(tokens, retire, strict=True)]
            for e in Engine:
                met = bool(queues[e]) and all(t >= queues[e][0][1][w] for t, w in zip(after, WAITS, strict=True))
                if met and len(flying[e]) < in_flight and held is not e:
                    can.append(e)
                valid = held is e
                assert dut.tokens_o.value[16 * e + 15 : 16 * e].to_unsigned() == tokens[e]
                assert dut.instr_valid_o.value[int(e)] == valid, f"{e.name} at pc {pc}"
                assert dut.token_wait_o.value[int(e)] == (bool(queues[e]) and not valid)
                assert dut.issue_o.value[int(e)] == (valid and ready[e])
                assert dut.busy_o.value[int(e)] == bool(queues[e] or flying[e])
                assert dut.push_ready_o.value[int(e)] == (len(queues[e]) < capacity)
                pcs = [*flying[e], *(p for p, _ in queues[e])]
                if pcs:
                    assert dut.oldest_pc_o.value[20 * e + 19 : 20 * e].to_unsigned() == pcs[0]
                if valid:
                    data = int.from_bytes(queues[e][0][1].encode(), "little")
                    assert int(dut.instr_o.value) >> HEAD == data >> HEAD
                    assert dut.issue_pc_o.value[20 * e + 19 : 20 * e].to_unsigned() == queues[e][0][0]
                waited += bool(queues[e]) and not met
                blocked += met and len(flying[e]) == in_flight
                if valid and ready[e]:
                    issued.append(e)
            eager = [e for e in can if ready[e] or retire[e]]
            turned += held is not None and not issued and bool(eager)
            if held is None or issued:
                held = (eager or can or [None])[-1]
            elif eager:
                held = eager[-1]
            taken = push and len(queues[engine]) < capacity
            await RisingEdge(dut.clk_i)
            for e in Engine:
                if retire[e]:
                    flying[e].popleft()
                    tokens[e] += 1
                if e in issued:
                    flying[e].append(queues[e].popleft()[0])
            if taken:
                queues[engine].append((pc, instruction))
                pc += 1
            if pc == stop_after:
                break
        assert waited > 50
        assert blocked > 0 or stop_after
        assert turned > 20 or stop_after
        await FallingEdge(dut.clk_i)
        dut.push_valid_i.value = dut.instr_ready_i.value = dut.retire_i.value = 0
        if stop_after is not None:
            dut.stop_i.value = 1
            await FallingEdge(dut.clk_i)
            dut.stop_i.value = 0
            await ReadOnly()
            assert int(dut.busy_o.value) == 0
            assert int(dut.instr_valid_o.value) == 0


@cocotb.test()
async def waits_of_every_magnitude(dut: Any) -> None:
    """An instruction starts when every count has reached what it waits for, compared in full width."""
    rng = random.Random(cocotb.RANDOM_SEED)
    width = len(dut.tokens_o) // 4
    for name in ("begin_i", "stop_i", "push_valid_i", "instr_ready_i", "retire_i"):
        getattr(dut, name).value = 0
    await start(dut)
    for _ in range(400):
        tokens = [magnitude(rng, width) for _ in Engine]
        waits = [
            min(t + rng.choice((-1, 0, 0, 1, 1 << rng.randrange(16), -(1 << rng.randrange(16)))), 0xFFFF)
            for t in tokens
        ]
        waits = [max(w, 0) if rng.random() < 0.7 else 0 for w in waits]
        engine, pc = rng.randrange(4), magnitude(rng, 20)
        await FallingEdge(dut.clk_i)
        dut.u_tokens.tokens_o.value = sum(t << width * e for e, t in enumerate(tokens))
        instruction = Instruction(OPCODES[engine], dict(zip(WAITS, waits, strict=True)))
        dut.push_valid_i.value = 1 << engine
        dut.push_instr_i.value = int.from_bytes(instruction.encode(), "little")
        dut.push_pc_i.value = pc
        await FallingEdge(dut.clk_i)
        dut.push_valid_i.value = 0
        await FallingEdge(dut.clk_i)
        await FallingEdge(dut.clk_i)
        met = all(t >= w for t, w in zip(tokens, waits, strict=True))
        assert dut.instr_valid_o.value[engine] == met, f"counts {tokens}, waits {waits}"
        assert dut.oldest_pc_o.value[20 * engine + 19 : 20 * engine].to_unsigned() == pc
        dut.stop_i.value = 1
        await FallingEdge(dut.clk_i)
        dut.stop_i.value = 0


@cocotb.test()
async def counts_across_every_carry(dut: Any) -> None:
    """Each engine's count moves by one where it retires, whatever carries, and stands where it does not."""
    rng = random.Random(cocotb.RANDOM_SEED)
    width = len(dut.tokens_o) // 4
    for name in ("begin_i", "push_valid_i", "instr_ready_i", "retire_i"):
        getattr(dut, name).value = 0
    dut.stop_i.value = 1  # what retires was issued before
    await start(dut)
    for k in range(2 * width):
        counts = [(1 << k % width + 1) - 1 if k < width else magnitude(rng, width) for _ in Engine]
        retire = rng.choice((15, rng.getrandbits(4)))
        await FallingEdge(dut.clk_i)
        dut.u_tokens.tokens_o.value = sum(c << width * e for e, c in enumerate(counts))
        dut.retire_i.value = retire
        await ReadOnly()
        assert dut.tokens_o.value.to_unsigned() == sum(c << width * e for e, c in enumerate(counts))
        await FallingEdge(dut.clk_i)
        dut.retire_i.value = 0
        await ReadOnly()
        for e in Engine:
            seen = dut.tokens_o.value[width * e + width - 1 : width * e].to_unsigned()
            assert seen == (counts[e] + (retire >> e & 1)) % (1 << width), f"{e.name}: {counts[e]} to {seen}"
