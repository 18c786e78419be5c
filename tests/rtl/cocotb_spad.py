"""spad against a model: priorities, banks, data a cycle later, reads that wait for writes of their word, enables."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge

from tests.rtl.bench import start


def bank(word: int) -> int:
    """Bank of a word (docs/architecture.md)."""
    return (word ^ word >> 2 ^ word >> 4) & 3


def grants(requests: list[int | None], first: Collection[int] = (), written: Collection[int] = ()) -> list[bool]:
    """Which of the ports are served: one of each bank, those of `first` before the others, lower ones before higher
    ones. Reads of words that are being written wait."""
    busy: set[int] = set()
    served = [False] * len(requests)
    for p, word in sorted(enumerate(requests), key=lambda port: port[0] not in first):
        if word is not None and word not in written:
            served[p] = bank(word) not in busy
            busy.add(bank(word))
    return served


@cocotb.test()
async def random_traffic(dut: Any) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    words, depth = int(dut.SpadWords.value), int(dut.Depth.value)
    readers, writers = int(dut.ReadPorts.value), int(dut.WritePorts.value)
    memory = [bytearray(depth) for _ in range(words)]
    reads: list[int | None] = [None] * readers
    writes: list[tuple[int, int, bytes] | None] = [None] * writers
    expected: list[bytes | None] = [None] * readers
    lost = collisions = 0
    for p in range(readers):
        dut.first_i[p].value = 0
        dut.rreq_i[p].value = 0
        dut.raddr_i[p].value = 0
    for p in range(writers):
        dut.wreq_i[p].value = 0
        dut.waddr_i[p].value = 0
    await start(dut)
    for word, data in enumerate(memory):  # what the banks hold after power-on
        value = int(dut.u_spad.gen_bank[bank(word)].u_ram.mem[word >> 2].value)
        data[:] = value.to_bytes(depth, "little")
    for cycle in range(6000):
        await FallingEdge(dut.clk_i)
        window = words if cycle % 1000 < 500 else 16  # the second half fights for a few words
        eager = rng.random() if cycle % 50 == 0 else 0.7
        first = {p for p in range(readers) if rng.random() < 0.3}  # of other ports in every cycle
        for p in range(readers):
            if reads[p] is None and rng.random() < eager:
                reads[p] = rng.randrange(window)
            dut.first_i[p].value = p in first
            dut.rreq_i[p].value = reads[p] is not None
            dut.raddr_i[p].value = reads[p] or 0
        for p in range(writers):
            if writes[p] is None and rng.random() < eager:
                enables = rng.choice(((1 << depth) - 1, rng.getrandbits(depth)))
                writes[p] = (rng.randrange(window), enables, rng.randbytes(depth))
            dut.wreq_i[p].value = writes[p] is not None
            word, enables, data = writes[p] or (0, 0, b"")
            dut.waddr_i[p].value = word
            dut.wbe_i[p].value = enables
            dut.wdata_i[p].value = int.from_bytes(data, "little")
        await ReadOnly()
        for p, data in enumerate(expected):
            if data is not None:
                assert int(dut.rdata_o[p].value) == int.from_bytes(data, "little"), f"cycle {cycle} port {p}"
        served = grants(reads, first, {w[0] for w in writes if w is not None})
        written = grants([w and w[0] for w in writes])
        for p in range(readers):
            assert dut.rgnt_o[p].value == served[p], f"cycle {cycle} read port {p}"
        for p in range(writers):
            assert dut.wgnt_o[p].value == written[p], f"cycle {cycle} write port {p}"
        lost += sum(word is not None and not s for word, s in zip(reads, served, strict=True))
        await RisingEdge(dut.clk_i)
        touched = {w[0] for w in writes if w is not None}
        collisions += sum(word in touched for word in reads)
        for p in range(readers):
            word = reads[p]
            expected[p] = None
            if word is not None and served[p]:
                expected[p] = bytes(memory[word])
                reads[p] = None
        for p in range(writers):
            write = writes[p]
            if write is not None and written[p]:
                word, enables, data = write
                for i in range(depth):
                    if enables >> i & 1:
                        memory[word][i] = data[i]
                writes[p] = None
    assert lost > 1000
    assert collisions > 100
