"""docs/verification.md from the record and the lists of bugs."""

from __future__ import annotations

from typing import Any

from tests.formal import test_arbitration, test_chip_proofs, test_drs
from tests.mutation.fresh import FRESH, NO_BUGS
from tests.mutation.holes import HOLES
from tests.mutation.independent import INDEPENDENT
from tests.mutation.moments import MOMENTS
from tests.mutation.planted import Bug
from tests.verification.record import NOTICED, interval
from triptych.sim.bench.ledger import table

PROOFS = {
    "prove_decode": ("decode", "every word of 512 bits: legal or trapped with the right cause, against the manual's "
                     "rules written once more by bit places"),
    "prove_head": ("decode", "what is taken stands unchanged until it leaves for one queue; no bubble; counts; a stop"),
    "prove_arith": ("arith_pkg", "rounding shift and saturation of any value, products, in wider integers; banks"),
    "prove_encode": ("vpu_lanes (its formulas)", "clamp, and the code as the place among fifteen rising thresholds"),
    "prove_cell": ("mxu_pkg", "a cell and its column in every mode and phase: entries of five bits, nibbles, bytes"),
    "prove_control": ("control", "start, HALT, traps, watchdog, clear; the oldest of several faults"),
    "prove_fifo": ("fifo", "any stalls and flushes: order, no loss, nothing twice, never over the brim"),
    "prove_setup": ("dma_setup", "RANGE when and only when a word lies beyond the space, computed in 64 bits; joined "
                    "rows"),
    "prove_bursts": ("dma_bursts", "4 KiB, length, no gap, no burst shorter than it must be, the end, against 64 bits"),
    "prove_walk": ("dma_walk", "word for word what two loops in 64 bits give"),
    "prove_columns": ("mxu_stream", "input columns of every beat and what is padding, against 64 bits"),
    "prove_words": ("mxu_stream", "every beat in the manual's order of loops, its word, what it says of itself: "
                    "padding, lanes, tile, rows, the ends of groups and jobs"),
    "prove_job": ("mxu_setup", "both jobs of any MATMUL: counts in full width, addresses, formats; they stand until "
                  "both are taken, a stop forgets them"),
    "prove_stream": ("vpu_stream_address", "every element's address as its base, rows, pixels and groups add up; where "
                     "blocks begin; alignment, range"),
    "prove_store": ("dma_store", "AW, W, B as a manager must keep them: offers stand, beats as the address says, "
    "WLAST, "
                    "bursts under way, no strobe after a stop"),
    "prove_writer": ("step_writer", "the same of FastCar's step, whose data wait for no address; a command's words, in "
                     "order, within 4 KiB"),
    "prove_arbiter": ("read_arbiter", "offers stand; nobody waits without a reason; beats go to whom they belong"),
    "prove_tokens": ("engine_queues, tokens", "no start before all four counts are reached, order, counts by "
                     "one, nobody forgotten"),
    "prove_streamer": ("weight_streamer", "exactly a region's beats, empty ones too, within 4 KiB; always room; "
                       "nothing after an error"),
}  # fmt: skip
"""By proof: module and what holds."""

FOUND = (
    ("random examples of an operation", "the compiler's order of instructions knew one reader of B alone: a max pool "
     "on `paper` read what was not written yet"),
    ("random networks, float as judge", "GELU's argument saturated beyond what calibration had seen"),
    ("random networks, float as judge", "GroupNorm lost the bits of the variance of a group with outliers"),
    ("random networks, float as judge", "keys of small heads had four bits at w8a8"),
    ("golden machine in lock step", "MATMUL retired before its last row had a bank to itself"),
    ("random power-on state", "lanes beyond a pixel's last channel showed what the memory held"),
    ("slang's analysis of drivers", "variables driven from two processes"),
    ("hand-planted bugs", "the holes below: no bug of the chip, but tests that would not have seen one"),
    ("mutants of `tokens`, `dma_walk`", "counts over 2^15 and boxes over 2^19 words were tested by nobody"),
    ("mutants of `drs_filter`", "a stage that refuses a command without a reason was noticed by nobody, nor was one "
     "that leaves a lane out asked about: the proof speaks of both now"),
    ("fresh bugs", "an error response while microwords or tables are loaded was tested by nobody"),
    ("toggles of FastCar's step", "no test went past 2^32 or changed the network between two steps: a base cut to 32 "
     "bits was noticed by nobody; networks take turns now, their arrays anywhere in 2^40 bytes"),
    ("mutants of `region_walk`", "no test had 128 layers, or regions of 2^23 words: it is tested by itself now"),
    ("planting in tests/second", "random programs of which the end alone is compared miss 16 of 24 slips, since later "
     "instructions write over them: signatures are compared one by one"),
    ("mutants of `arith_pkg`", "a fault of the mutation tool: an unsigned mutant made signed neighbours unsigned"),
    ("bugs of the independent list", "row sums beyond 19 bits, a fault in the cycle of a retirement, the end of the "
     "code tables on wide words and the signature of a STORE behind one that was stopped were tested by nobody"),
    ("soak", "the vector engine kept parameters that a VECTOR had just written over, where its next microword must see "
     "what the one before wrote"),
    ("reading, for the independent list", "heads of 256 elements and rows of 16,384, both within what docs/fastcar.md "
     "allows, came out wrong in `fastcar_step`: a pair's number, half a head and a row's bytes had a bit too few"),
    ("soak", "two seeds of the first 1,500 never ended: MATMULs had left their VECTORs no room in the scratchpad, and "
     "the generator drew for ever"),
    ("mutants of `step_writer`", "`fastcar_step` offered no data before an address was taken, which AXI4 forbids: a "
     "memory that waits for data first, as it may, stood still; every order of writes is tried now"),
    ("mutants of `vpu`", "an element without lanes, in the second half of a group, took the scratchpad's write port "
     "for nothing"),
    ("mutants of `step_setup`, `step_registers`", "which shapes a step refuses, each by itself, and a second write of "
     "a host that takes no answer were tested by nobody"),
    ("mutants of golden's machine and compiler", "no bug, but tests that would not have seen one: what one block of a "
     "VECTOR leaves to the next, sums just past the 24 bits of float32, where a LOAD goes, where a program is cut"),
    ("mutants of the attention kernel", "a word too many in a stream was noticed by nobody: C simulation takes what "
     "is left in one for an error now"),
)  # fmt: skip
"""Method, what it found."""

UVM = (
    "tests/uvm: components come from the factory (`create`), what a test decides stands in config objects; one test "
    "puts a hesitant register driver in the usual one's place by type.",
    "Monitors of all three interfaces: retirements, compared in lock step; AXI4, whole bursts of 16 kinds (length, "
    "4 KiB, error, waiting, others under way), all of them wanted; AXI4-Lite, from which the register model is "
    "predicted.",
    "The register model is our own adapter on the map that is generated from rtl/regs/quartdepth.rdl: peakrdl-pyuvm "
    "0.9 makes classes for a register layer that pyuvm 5.0.0 leaves half unwritten (NotImplementedError in uvm_reg, "
    "uvm_reg_block, uvm_reg_map and uvm_reg_predictor).",
    "Virtual sequences: reset at any time within a program, starts while busy, register writes while running, programs "
    "back to back with one write between them, each interrupt enable alone at both ends of a program.",
)
"""How the chip's own environment is built."""

NOT_PROVEN = (
    "The engines as a whole: MXU, VPU, LOAD and STORE are compared with the golden machine on random work, not proven.",
    "Sums over D cells and over steps: one cell is proven, that int32 does not overflow is the compiler's check.",
    "mxu_loader against a wide reference: tested at the ends of each field, not proven.",
    "That a program the compiler emits cannot deadlock on its tokens: tested by a second way and by random networks.",
    "AXI4 as a whole: the manager's rules are proven for STORE, FastCar's writer and the shared read address; of "
    "reads, that LOAD and fetch take what they asked for is watched by a checker of our own in every simulation.",
    "The register block that PeakRDL generates, beyond its tests.",
    "What a netlist does: synthesis is not compared with the RTL, and x is two-valued in Verilator (random at "
    "power-on).",
    "Pointers of the HLS kernels to DRAM: the tests' C simulation checks the bounds of arrays (an index beyond one "
    "ends it with file, line and element), not those of memories; an element too many that an array has room for and "
    "nothing reads is noticed by nobody (the survivor of `hls.decoder`).",
    "FastCar's HLS kernels: compared with golden in C simulation and co-simulation, not proven; the SystemVerilog "
    "twins' DRS blocks are.",
    "Races in the GPU kernels' shared memory: one small call of each kernel was watched, on a Hopper card.",
    "The four functions' tables: docs/numerics.md does not fix their bits; both implementations of the numerics share "
    "them, and float64 judges them.",
)  # fmt: skip


def count(record: dict[str, Any], bugs: tuple[Bug, ...], when: str = "outcome") -> tuple[int, int]:
    """How many of the bugs were noticed, now or `first`, and how many were run."""
    rows = [record.get("planted", {}).get(bug.name) for bug in bugs if bug.name not in NO_BUGS]
    return sum(row is not None and row[when] in NOTICED for row in rows), sum(row is not None for row in rows)


def _planted(record: dict[str, Any], bugs: tuple[Bug, ...]) -> str:
    rows = []
    for bug in bugs:
        row = record.get("planted", {}).get(bug.name)
        if bug.name in NO_BUGS:
            said = f"no bug: {NO_BUGS[bug.name]}"
        elif row is None:
            said = "not run"
        elif row["outcome"] in NOTICED:
            said = f"{row['outcome']}: `{row['by'].removeprefix('tests/')}`" if row["by"] else row["outcome"]
            if row["first"] not in NOTICED:
                said = f"missed at first by the module's tests, which grew; now {said}"
        else:
            said = "**survived**" if row["stages"] > 1 or bug.tests else "survived its own tests, not run on the chip's"
        rows.append([bug.kind, bug.name, f"`{bug.place.rpartition('/')[2]}`", said])
    return table(["kind", "planted", "in", "what became of it"], rows)


def _machines(record: dict[str, Any]) -> str:
    """Transitions of the chip's state machines."""
    rows = record.get("machines", {})
    return "; ".join(f"{name}: states {row[0]}, transitions {row[1]}" for name, row in rows.items()) or "not run"


def _kernels(record: dict[str, Any]) -> str:
    """Lines and branches of all kernels together."""
    rows = record.get("kernels", {}).values()
    said = []
    for kind in ("lines", "branches") if rows else ():
        hit, of = (sum(row[kind][n] for row in rows) for n in (0, 1))
        said.append(f"{kind} {100 * hit / of:.1f} % ({hit} of {of})")
    return f"gcov: {', '.join(said)}" if said else "not run"


def _soak(run: dict[str, Any]) -> str:
    """The longest run of random programs."""
    if not run:
        return "not run"
    rate = run["instructions"] / run["minutes"]
    return (f"{run['instructions']:,} random instructions in {run['programs']:,} programs in one run on "
            f"{' and '.join(run['configs'])}, {run['differ']} differ; {rate:,.0f} a minute on a shared machine "
            f"(commit {run['commit']})")  # fmt: skip


def _races(found: dict[str, list[int]]) -> str:
    """What racecheck said of the GPU kernels, and of the race that is planted beside them."""
    if not found:
        return "not run"
    said = [f"`{name}` {errors} hazards" for name, (errors, _) in sorted(found.items()) if name != "planted"]
    planted = found.get("planted", [0, 0])[0]
    return f"racecheck on a Hopper card: {', '.join(said)}; the planted race is " + (
        f"named ({planted} hazards)" if planted else "**missed**"
    )


def page(record: dict[str, Any]) -> str:
    """The text."""
    refuted = len(test_chip_proofs.BUGS) + len(test_drs.BUGS) + len(test_arbitration.BUGS)
    reached = sum(len(n) for proofs in (test_chip_proofs, test_drs) for n in proofs.REACHED.values())
    proofs = len(test_chip_proofs.FILES) + len(test_drs.PLANS) + len(test_drs.TOPS) + 1
    mutated = record.get("mutation", {})
    noticed, left = (
        sum(m["noticed"] for m in mutated.values()),
        sum(m["sample"] - m["equivalent"] for m in mutated.values()),
    )
    holes, fresh, first = count(record, HOLES), count(record, FRESH), count(record, FRESH, "first")[0]
    moments, run = count(record, MOMENTS), record.get("proofs", {})
    others, others_first = count(record, INDEPENDENT), count(record, INDEPENDENT, "first")[0]
    random = record.get("functional", {})
    share = record.get("coverage", {})
    head = [
        ["lock step with the golden machine", f"{random['instructions']:,} random instructions in `make test`, every "
         f"signature equal; functional bins {random['hit']}/{random['bins']}" if random else "not run"],
        ["soak (`make fuzz`)", _soak(record.get("soak", {}))],
        ["structural coverage ([by module](coverage.md))",
         ", ".join(f"{k} {v} %" for k, v in share.items()) or "not run"],
        ["structural coverage of FastCar",
         ", ".join(f"{k} {v} %" for k, v in record.get("coverage of FastCar", {}).items()) or "not run"],
        ["proofs", f"{proofs}/{proofs} proven, {reached}/{reached} places reached, "
         f"{refuted}/{refuted} planted bugs refuted" + (
             f"; `make formal`: {run['checks']} checks in {run['minutes']} minutes of a shared machine, "
             f"{run['cpu_minutes']} of one core" if run else "")],
        ["holes of the audit", f"{holes[0]}/{holes[1]} noticed now (of {len(HOLES)})"],
        ["fresh bugs", f"{first}/{fresh[1]} noticed at first, {fresh[0]} now (of {len(FRESH)} on the list)"],
        ["bugs of an independent list", f"{others_first}/{others[1]} noticed at first, {others[0]} now (of "
         f"{len(INDEPENDENT)} on the list)"],
        ["bugs of bad moments", f"{moments[0]}/{moments[1]} noticed by the chip's virtual sequences "
         f"(of {len(MOMENTS)})"],
        ["mutants", f"{noticed}/{left} noticed in {len(mutated)} modules and engines" if mutated else "not run"],
        ["second implementation of the numerics", "written from docs/numerics.md alone; every signature of random "
         "programs equal (tests/golden/test_second.py)"],
        ["committed hashes", "integer networks and programs of METER at two widths and of ViT-S + DPT "
         "(`triptych hashes`)"],
        ["state machines", _machines(record)],
        ["HLS kernels in C simulation", _kernels(record)],
        ["GPU kernels in shared memory", _races(record.get("races", {}))],
        ["cycles", "twelve layers exact, by engine and class; three performance bugs planted"],
        ["random networks", "2,000, of them 100 on RTL, no difference ([results](results.md))"],
    ]  # fmt: skip
    rates = []
    for name, m in sorted(mutated.items()):
        of = m["sample"] - m["equivalent"]
        low, high = interval(m["noticed"], of)
        survivors = "; ".join(f"`{s.replace('`', '').replace('|', chr(92) + '|')}`" for s in m["survived"]) or "-"
        rates.append([f"`{name}`", str(m["of"]), str(m["sample"]), str(m["equivalent"]), f"{m['noticed']}/{of}",
                      f"{100 * low:.0f}..{100 * high:.0f} %", survivors])  # fmt: skip
    proven = [[f"`{top}`", f"`{module}`", said] for top, (module, said) in PROOFS.items()]
    return "\n".join([
        "# Verification", "",
        "*Written by `make verification` from what runs left; do not edit.* What shows that the hardware does what the "
        "documents say, how good that evidence is, and what it does not show.", "",
        table(["evidence", "state"], head), "",
        "## How to run it", "",
        "- `make test`: everything that belongs to every change ([how long](results.md)); `make test-full` with the "
        "long runs.",
        "- `make formal`: the proofs, the places they must reach, the bugs that must refute them.",
        "- `make fuzz MINUTES=10`: random programs on the chip until the time is over.",
        "- `make coverage`: [structural coverage](coverage.md). `python -m tests.coverage --machines`: state machines "
        "alone. `make hls-coverage`: the HLS kernels.",
        "- `make planted`: the bugs below, one by one. `make mutate MODULE=decode N=60`: mutants, of a whole engine "
        "with `MODULE=vpu/`. `make mutate-golden`: the same of golden's integer code, `make mutate-kernels` of the "
        "HLS kernels.",
        "- `compute-sanitizer --tool racecheck python tests/gpu/draft_races.py triton`, on a card: races in shared "
        "memory; so with `planted`, `hopper`, `eight`, each behind `== NAME` in out/gpu/races.log.",
        "- `triptych hashes`: the committed networks and programs.",
        "- `make verification`: this page from what these left in out/.", "",
        "## The chip under UVM", "", *[f"- {line}" for line in UVM], "",
        "## Proven", "",
        "By the SAT solver of Yosys: unbounded, by induction, in every state that the assertions allow. Each proof has "
        "places that it must reach and bugs that must refute it (tests/formal).", "",
        table(["proof", "of", "what holds"], proven), "",
        "Besides: the scratchpad's arbitration (`prove_spad`: whichever ports go first, a read waits only "
        "for a write of its word, or for a granted read of its bank that is first when it is not, or is equally first "
        "and lower), DRS from the decision to the lanes (`prove_policy`, "
        "`prove_map`, `prove_plan`, `prove_filter`), two products in one multiplication (`prove_pack`, "
        "`prove_values`).", "",
        "### Not proven", "", *[f"- {line}" for line in NOT_PROVEN], "",
        "## Bugs found, by method", "", table(["method", "found"], [list(row) for row in FOUND]), "",
        "## Planted", "",
        "### Holes", "",
        "An audit planted these and nothing noticed. Each names the tests that must notice now.", "",
        _planted(record, HOLES), "",
        "### Bad moments", "",
        "For each virtual sequence a bug that shows when a host does just that.", "",
        _planted(record, MOMENTS), "",
        "### Fresh bugs", "",
        "Written down before any of them was run, from docs/ and rtl/, by someone who had read the tests of the "
        "front end, "
        "of LOAD and STORE and of the MXU, and not those of the VPU, of the scratchpad and of FastCar. Judged by the "
        "tests "
        "of the module, then by those of the whole chip.", "",
        _planted(record, FRESH), "",
        "### An independent list", "",
        "By somebody who had read docs/ (without this page and that of coverage) and rtl/, and nothing of tests/; "
        "written down before any of them was run.", "",
        _planted(record, INDEPENDENT), "",
        "### Mutants", "",
        "Operators, conditions, constants, top bits and registers changed one at a time (`make mutate`), drawn from a "
        "module or (`vpu/`) from all modules of an engine. Equivalent "
        "ones are proven so by Yosys, flop by flop from any state, or by an assertion that a proof keeps "
        "(tests/mutation/harmless.py), and do not count. Noticed is what a proof refutes, what a proof closes with no "
        "more, and what a test fails on or hangs with. The interval is Wilson's at 95 %.", "",
        table(["module", "mutants", "sampled", "equivalent", "noticed", "rate", "survivors"], rates), "",
    ])  # fmt: skip
