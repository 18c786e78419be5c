"""Compiled networks on the golden machine equal the integer executor; plans, tokens, traps of the planner."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from triptych.golden.quartdepth.arithmetic.codetable import CodeTable, lognp_grid
from triptych.golden.quartdepth.chip.codec import Instruction, Microword
from triptych.golden.quartdepth.chip.config import ChipConfig, chip_config
from triptych.golden.quartdepth.chip.isa import (
    ENGINE_OF,
    Destination,
    Engine,
    Format,
    Multiply,
    Opcode,
    Side,
    SourceA,
    Space,
    Trap,
)
from triptych.golden.quartdepth.chip.machine import Machine, Retired
from triptych.golden.quartdepth.chip.memory import Memory as ChipMemory
from triptych.golden.quartdepth.chip.state import Target
from triptych.golden.quartdepth.compiler.allocate import Buffer, place
from triptych.golden.quartdepth.compiler.compile import Compiled, compile_network
from triptych.golden.quartdepth.compiler.effects import Effects, Memory, effects_of, words_of
from triptych.golden.quartdepth.compiler.places import CompileError
from triptych.golden.quartdepth.compiler.run import run_on_machine
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.network import Network
from triptych.golden.quartdepth.network.qparams import QParams
from triptych.golden.quartdepth.network.quantize import quantize
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.vectors.single import conv2d, matmul, random_codes
from triptych.golden.quartdepth.zoo.meter import (
    METER,
    METER_XXS,
    MViTConfig,
    Transformer,
    fold_patches,
    fuse,
    unfold_patches,
)


class Net(nn.Module):
    """Every kind of layer, small enough for `tiny`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.wide = nn.Conv2d(16, 24, 1)
        self.deep = nn.Conv2d(24, 24, 3, 1, 1, groups=24)
        self.back = nn.Conv2d(24, 16, 1)
        self.transformer = Transformer(METER_XXS, MViTConfig(16, 16, 40))
        self.down = nn.Conv2d(16, 20, 3, 2, 1)
        self.up = nn.ConvTranspose2d(20, 8, 3, 2, 1, 1)
        self.mix = nn.Conv2d(24, 8, 3, 1, 1)
        self.out = nn.Conv2d(8, 1, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image).relu()
        x = self.back(self.deep(self.wide(x).relu()).relu()) + x
        y = fold_patches(self.transformer(unfold_patches(x)), *x.shape[2:])
        y = torch.cat([self.up(self.down(y).relu()), x], 1)
        return self.out(self.mix(y).relu())


def quantized(module: nn.Module, shape: tuple[int, int, int], bits: Widths, **codes: QParams) -> Network:
    torch.manual_seed(0)
    images = [torch.rand(1, *shape) for _ in range(2)]
    return quantize(capture(module, images[0]), images, bits, codes)


@cache
def whole(bits: Widths) -> Network:
    """`Net` for maps of 24 x 32."""
    torch.manual_seed(3)
    return quantized(Net(), (3, 24, 32), bits)


def matches(compiled: Compiled, seed: int = 0) -> bool:
    codes = random_codes(compiled.network, seed)
    return np.array_equal(run_on_machine(compiled, codes, noise=1), compiled.network.run_integer(codes))


@pytest.mark.parametrize("config", ["tiny", "small", "paper"])
@pytest.mark.parametrize("bits", [Widths.W4A8, Widths.W4A4], ids=lambda b: b.value)
def test_whole_network(bits: Widths, config: str) -> None:
    network = whole(bits)
    compiled = compile_network(network, chip_config(config))
    assert matches(compiled)
    if config == "tiny":
        assert any(len(c.tiles) > 1 for c in compiled.plan.clusters), "nothing streamed: this test is too small"
    rows = compiled.layers
    assert sum(row.macs for row in rows) == network.macs
    assert all(0 <= row.first < row.last < len(compiled.instructions) for row in rows)


def test_table_coded_pictures() -> None:
    """TABLE4 for a convolution's, a depthwise one's and a residual's input, and more tables than the chip holds."""
    torch.manual_seed(1)

    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Conv2d(3 if i == 0 else 16, 16, 1) for i in range(10)])
            self.deep = nn.Conv2d(16, 16, 3, 1, 1, groups=16)

        def forward(self, x: Tensor) -> Tensor:
            x = first = self.layers[0](x)
            for layer in self.layers[1:]:
                x = layer(x)
            return self.deep(x + first)

    codes = {}
    for i in range(10):
        step = 0.3 + 0.02 * i
        table, (_, zero) = CodeTable.lognp(step, i + 3, unit=0.01), lognp_grid(step, i + 3)
        codes[f"layers.{i}"] = QParams(Format.TABLE4, 0.02, zero, table, unit=0.002)
    module = Chain()
    network = quantized(module, (3, 9, 10), Widths.W4A8, **codes)
    assert sum(p.qparams.format is Format.TABLE4 for p in network.maps.values()) == 10
    for config in ("tiny", "paper"):
        assert matches(compile_network(network, chip_config(config)))


def test_more_microwords_than_the_store_holds() -> None:
    """Residual sums have a microword each; `tiny` holds 32."""
    torch.manual_seed(2)

    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Conv2d(8, 8, 1) for _ in range(40)])

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x) + x
            return x

    network = quantized(Chain(), (8, 3, 5), Widths.W4A8)
    compiled = compile_network(network, chip_config("tiny"))
    assert len({i["prog"] for i in compiled.instructions}) > 20
    assert matches(compiled)


def test_output_also_read_and_input_as_residual() -> None:
    torch.manual_seed(4)

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return (self.b(self.a(x).relu()) + x).relu()

    network = quantized(Odd(), (8, 7, 11), Widths.W4A8)
    for config in ("tiny", "small"):
        assert matches(compile_network(network, chip_config(config)))


def test_two_attentions_in_two_patches() -> None:
    """Sequences of a 2x2 patch, then of all pixels, with tokens that fill no whole block."""
    torch.manual_seed(5)

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 24, 1)
            self.first = Transformer(METER_XXS, MViTConfig(24, 24, 24))
            self.second = Transformer(METER_XXS, MViTConfig(24, 24, 24))

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            x = fold_patches(self.first(unfold_patches(x)), *x.shape[2:])
            b, c, h, w = x.shape
            tokens = self.second(x.flatten(2).transpose(1, 2)[:, None])
            return tokens[:, 0].transpose(1, 2).reshape(b, c, h, w)

    network = quantized(Two(), (3, 6, 14), Widths.W4A8)
    for config in ("tiny", "small", "paper"):
        assert matches(compile_network(network, chip_config(config)))


# ---- tokens


def races(instructions: list[Instruction], effects: list[Effects]) -> list[tuple[int, int]]:
    """Pairs of conflicting instructions that no chain of tokens and engine order puts one after the other."""
    before: list[set[int]] = []  # of each instruction, all that have certainly retired when it starts
    retired: dict[Engine, list[int]] = {engine: [] for engine in Engine}
    found = []
    for n, instruction in enumerate(instructions):
        engine = ENGINE_OF[instruction.opcode]
        done = set(retired[engine]) | (before[retired[engine][-1]] if retired[engine] else set())
        for other in Engine:
            for waited in retired[other][: instruction[f"wait_{other.name.lower()}"]]:
                done |= before[waited] | {waited}
        found += [(m, n) for m in range(n) if m not in done and effects[m].conflicts(effects[n])]
        before.append(done)
        retired[engine].append(n)
    return found


def test_tokens_order_all_that_must_be_ordered_and_no_more() -> None:
    """No race, and not one wait that could be left out."""
    compiled = compile_network(whole(Widths.W4A8), chip_config("tiny"))
    program, effects = [], []
    store: dict[int, bytes] = {}
    for i in compiled.instructions[:-1]:
        if i.opcode is Opcode.LOAD and i["space"] == Space.PROG:
            for k in range(0, i["row_bytes"], 32):
                store[(i["spad"] + k) // 32] = compiled.image[i["dram"] + k : i["dram"] + k + 32]
        words = tuple(store.get(n, b"") for n in range(i["prog"], i["prog"] + i["prog_len"]))
        program.append(i)
        effects.append(effects_of(i, words, compiled.config))
    assert races(program, effects) == []
    fields = [
        (n, f) for n, i in enumerate(program) for e in Engine if i[f := f"wait_{e.name.lower()}"]
    ]  # fmt: skip
    assert len(fields) > 100
    for n, field in fields[:: len(fields) // 12]:
        without = [Instruction(i.opcode, dict(i.fields)) for i in program[: n + 1]]
        without[n][field] = 0
        assert races(without, effects), f"{field} of instruction {n} is not needed"


def test_effects_are_what_the_machine_writes() -> None:
    """The words that `effects` says an instruction writes are those that the machine writes."""
    compiled = compile_network(whole(Widths.W4A4), chip_config("tiny"))
    config = compiled.config
    memories = {Target.SPAD: Memory.SPAD, Target.MEMORY: Memory.DRAM}
    program: dict[int, bytes] = {}
    seen = set()

    def check(record: Retired) -> None:
        i = record.instruction
        for write in record.writes:
            if write.target is Target.PROG:
                data = write.data.tobytes()
                for k in range(0, len(data), 32):
                    program[(int(write.start[0]) + k) // 32] = data[k : k + 32]
        words = tuple(program.get(n, b"") for n in range(i["prog"], i["prog"] + i["prog_len"]))
        effects = effects_of(i, words, config)
        for target, memory in memories.items():
            places = [
                (w.start[:, None] + np.arange(w.data.shape[1])).reshape(-1) for w in record.writes if w.target is target
            ]
            written = np.unique(np.concatenate(places) // config.depth) if places else np.zeros(0)
            expected = words_of(effects.writes[memory]) if memory in effects.writes else np.zeros(0)
            # a last group of lanes may be written in part: its words are among those expected
            assert np.isin(written, expected).all(), (record.pc, i)
            assert len(expected) == len(written), (record.pc, i)
            seen.add((i.opcode, memory, len(expected) > 0))

    run_on_machine(compiled, random_codes(compiled.network, 0), check)
    assert (Opcode.VECTOR, Memory.SPAD, True) in seen
    assert (Opcode.STORE, Memory.DRAM, True) in seen


@pytest.mark.parametrize(
    ("word", "reads"),
    [({"side": Side.ADD_B}, True), ({"side": Side.MAX_B}, True), ({"mul": Multiply.B, "side": Side.SCALE_F}, True),
     ({"mul": Multiply.IMM, "side": Side.SCALE_F}, False), ({}, False)],
)  # fmt: skip
def test_effects_know_every_use_of_the_second_stream(word: dict[str, int], reads: bool) -> None:
    config = chip_config("tiny")
    fields = {"prog_len": 1, "h": 1, "w": 1, "n": config.cols, "block": 1, "b": 4 * config.depth, "d": 8 * config.depth}
    microword = Microword({"src_a": SourceA.SPAD, "dst": Destination.INT8, **word}).encode()
    effects = effects_of(Instruction(Opcode.VECTOR, fields), (microword,), config)
    assert (4 in words_of(effects.reads[Memory.SPAD])) is reads


def test_effects_are_all_that_an_instruction_reads() -> None:
    """A product and its vector give the same bits when every word that `effects` does not name is another one."""
    compiled = compile_network(whole(Widths.W4A4), chip_config("tiny"))
    config, rng = compiled.config, np.random.default_rng(0)
    store: dict[int, bytes] = {}
    checked = 0
    for n, i in enumerate(compiled.instructions[:-1]):
        if i.opcode is Opcode.LOAD and i["space"] == Space.PROG:
            for k in range(0, i["row_bytes"], 32):
                store[(i["spad"] + k) // 32] = compiled.image[i["dram"] + k : i["dram"] + k + 32]
        if i.opcode is not Opcode.VECTOR or n % 5:
            continue
        program = tuple(store[k] for k in range(i["prog"], i["prog"] + i["prog_len"]))
        pair = compiled.instructions[n - 1 : n + 1]
        if pair[0].opcode is not Opcode.MATMUL:
            pair = [i]
        read = [e.reads[Memory.SPAD] for e in (effects_of(x, program, config) for x in pair) if Memory.SPAD in e.reads]
        words = rng.integers(0, 256, (config.spad_words, config.depth), dtype=np.uint8)
        others = rng.integers(0, 256, words.shape, dtype=np.uint8)
        for part in read:
            others[words_of(part)] = words[words_of(part)]
        assert np.array_equal(written(pair, program, words, config), written(pair, program, others, config)), n
        checked += 1
    assert checked > 20


def written(pair: list[Instruction], program: tuple[bytes, ...], words: np.ndarray, config: ChipConfig) -> np.ndarray:
    """What a VECTOR (with its MATMUL) writes when it starts from scratchpad `words`; row scalars start at zero."""
    memory = ChipMemory(4096 + len(program) * 32)
    memory.place(0, b"".join(program))
    size, at = len(program) * 32, pair[-1]["prog"] * 32
    load = Instruction(Opcode.LOAD, {"spad": at, "rows": 1, "row_bytes": size, "space": int(Space.PROG)})
    bare = [Instruction(i.opcode, {k: v for k, v in i.fields.items() if not k.startswith("wait_")}) for i in pair]
    bare[-1]["wait_load"] = 1
    machine = Machine(config)
    machine.state.spad[:] = words.reshape(-1)
    out: list[np.ndarray] = []

    def keep(record: Retired) -> None:
        if record.engine is Engine.VPU:
            out.extend(w.data.reshape(-1) for w in record.writes if w.target is Target.SPAD)

    result = machine.run([load, *bare, Instruction(Opcode.HALT)], memory, keep)
    assert result.trap is Trap.NONE, result.detail
    return np.concatenate(out)


def test_no_load_stands_between_a_product_and_its_vector() -> None:
    """Such a LOAD could wait for the MATMUL, fill its queue and keep the VECTOR from being dispatched."""
    compiled = compile_network(whole(Widths.W4A8), chip_config("tiny"))
    for first, second in zip(compiled.instructions, compiled.instructions[1:], strict=False):
        if first.opcode is Opcode.MATMUL:
            assert second.opcode is Opcode.VECTOR


def test_loads_run_ahead() -> None:
    """Somewhere a LOAD stands before computation that was emitted earlier: weights come in beside it."""
    compiled = compile_network(whole(Widths.W4A8), chip_config("small"))
    engines = [ENGINE_OF.get(i.opcode) for i in compiled.instructions]
    first_product = engines.index(Engine.MXU)
    ahead = sum(e is Engine.LOAD for e in engines[:first_product])
    assert ahead > len(compiled.plan.clusters[0].cluster.first.groups) + 1


# ---- what does not fit


REFUSED: dict[str, tuple[Callable[[], Network], str, str]] = {
    "weights": (lambda: matmul(4, 5000, 8), "tiny", "weights of 8 output channels"),
    "stride": (lambda: conv2d((40, 40, 4), 4, (9, 9), (8, 8), (0, 0), Format.UINT4), "small", "stride 8 exceeds"),
    "kernel": (lambda: conv2d((20, 20, 4), 4, (17, 1), (1, 1), (0, 0), Format.UINT4), "small", "kernel 17 exceeds"),
    "channels": (lambda: matmul(2, 8, 9000), "small", "9000 output channels"),
    "a pixel": (lambda: conv2d((3, 3, 5000), 8, (1, 3), (1, 1), (0, 1)), "tiny", "weights of|does not fit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case: str) -> None:
    make, config, message = REFUSED[case]
    with pytest.raises(CompileError, match=message) as error:
        compile_network(make(), chip_config(config))
    assert "\n" not in str(error.value)


def test_first_fit_never_overlaps() -> None:
    rng = np.random.default_rng(0)
    buffers = []
    for n in range(60):
        first = int(rng.integers(0, 20))
        buffers.append(Buffer(str(n), int(rng.integers(1, 300)), first, first + int(rng.integers(0, 6)), first))
    assert place(buffers, 4096, 16) is None
    for a in buffers:
        assert a.address % 16 == 0
        for b in buffers:
            together = a is not b and a.first <= b.last and b.first <= a.last
            assert not (together and a.address < b.address + b.size and b.address < a.address + a.size)
    assert place([Buffer("large", 4097, 0, 0, 0)], 4096, 16) is not None


# ---- METER


def test_meter_on_a_small_picture() -> None:
    torch.manual_seed(0)
    images = [torch.rand(1, 3, 64, 64) for _ in range(2)]
    model = fuse(METER().eval())
    graph = capture(model, images[0])
    with torch.no_grad():
        torch.testing.assert_close(graph.run(images[1]), model(images[1]), atol=1e-4, rtol=1e-4)
    for bits, config in ((Widths.W4A8, "small"), (Widths.W4A4, "paper")):
        assert matches(compile_network(quantize(graph, images, bits), chip_config(config)))
