"""`triptych fastcar`: generate, layer, study, audit."""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from triptych.golden.fastcar.config import Chooser, Policy
from triptych.sim.cli.progress import shown

# Commands import what they need themselves: `--help` and errors of use answer without loading PyTorch.
app = typer.Typer(no_args_is_help=True, help="FastCar: autoregressive video that computes only what changed.")

MOTIONS = ("any", "handheld", "robot", "pan_left", "pan_right", "pan_down", "zoom_in", "zoom_out", "still", "drift")
PolicyName = Enum("PolicyName", {p.name: p.name for p in Policy}, type=str)  # type: ignore[misc]
ChooserName = Enum("ChooserName", {c.name.lower(): c.name.lower() for c in Chooser}, type=str)  # type: ignore[misc]
MotionName = Enum("MotionName", {name: name for name in MOTIONS}, type=str)  # type: ignore[misc]
BoardName = Enum("BoardName", {name: name for name in ("KV260", "ZCU102", "U50", "U280")}, type=str)  # type: ignore[misc]
PER_SAMPLE, VALUE, PAN_RIGHT = PolicyName("PER_SAMPLE"), ChooserName("value"), MotionName("pan_right")
PAIR = PolicyName("PAIR")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def generate(
    image: Annotated[Path | None, typer.Argument(help="Seed frame: its middle square; without: a photo.")] = None,
    skip: Annotated[float, typer.Option(help="Share of MLPs to replay, 0..1.")] = 0.5,
    motion: Annotated[MotionName, typer.Option(help="What the camera does.")] = PAN_RIGHT,
    frames: Annotated[int, typer.Option(help="Frames, the seed included: 2..8.")] = 8,
    chooser: Annotated[ChooserName, typer.Option(help="The score that chooses what to replay.")] = VALUE,
    policy: Annotated[PolicyName, typer.Option(help="Which rows decide together.")] = PER_SAMPLE,
    chain_cap: Annotated[int, typer.Option(help="Most replays in a row at a place; 0: no limit.")] = 0,
    window: Annotated[int, typer.Option(help="Newest tokens that attention sees; 0: all.")] = 0,
    sink: Annotated[int, typer.Option(help="Oldest tokens that it sees beside a window.")] = 0,
    temperature: Annotated[float, typer.Option(help="Of sampling; 0: greedy.")] = 0.0,
    guidance: Annotated[float, typer.Option(help="Strength of guidance by the motion; 0: none, one row.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for results.")] = Path("out/fastcar"),
    as_json: Json = False,
) -> None:
    """A video from a seed frame, dense and with replay side by side, in golden integers; and what was skipped."""
    from triptych.golden.fastcar.clips import Condition
    from triptych.sim.fastcar import generate as run

    options = run.Options(
        image, Condition[motion.value.upper()], frames, skip, Chooser[chooser.value.upper()], Policy[policy.value],
        chain_cap, window, sink, temperature, guidance, seed, out,
    )  # fmt: skip
    with shown() as show:
        show("loading", 0, 0)
        result = run.generate(options, show)
    if result.seed_share < 0.995 and image is not None:
        print(f"{image}: its middle square is the seed frame, {result.seed_share:.0%} of the photo", file=sys.stderr)
    if as_json:
        print(json.dumps(run.as_object(result)))
        return
    print(
        f"{result.skip_ratio:.0%} of MLPs replayed (target {skip:.0%}), {result.psnr_db:.1f} dB and "
        f"{result.token_agreement:.0%} of tokens equal to dense -> {result.files[0]}, {result.files[1]}"
    )


@app.command()
def layer(
    batch: Annotated[int, typer.Option(help="Rows, 1..32.")] = 4,
    skip: Annotated[float, typer.Option(help="Share of MLPs to replay, 0..1.")] = 0.8,
    policy: Annotated[PolicyName, typer.Option(help="Which rows decide together.")] = PAIR,
    board: Annotated[str, typer.Option(help="Board of the cycle model.")] = "KV260",
    steps: Annotated[int, typer.Option(help="Token steps, 1..256.")] = 5,
    seed: Annotated[int, typer.Option(help="Of weights and inputs.")] = 0,
    as_json: Json = False,
) -> None:
    """A LLaMA-7B layer through the HLS kernels, compared with golden integer by integer, and its modelled cycles."""
    from triptych.sim.errors import TriptychError
    from triptych.sim.fastcar.layer import run_layer

    with shown() as show:
        show("the kernels in C simulation (built once)", 0, 0)
        report = run_layer(batch, skip, policy.value, board_name=board, steps=steps, seed=seed)
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        for name, value in report.as_dict().items():
            print(f"{name:20} {value}")
    if not report.bit_exact:
        raise TriptychError(f"kernels and golden differ in {report.mismatches} elements: see docs/fastcar.md, Numerics")


@app.command()
def study(
    out: Annotated[Path, typer.Option(help="Folder for table and figures.")] = Path("out/fastcar-study"),
    results: Annotated[bool, typer.Option(help="Also write docs/results.md and docs/img.")] = False,
    mapped: Annotated[list[BoardName] | None, typer.Option("--map", help="Board whose twins Yosys maps.")] = None,
    as_json: Json = False,
) -> None:
    """What replay and DRS buy: speed-up over skip ratio, batch and ridge batch, by the cycle model."""
    from triptych.sim.fastcar.study import run_study

    with shown() as show:
        found = run_study(out, results, lambda text: show(text, 0, 0), [board.value for board in mapped or []])
    if as_json:
        print(json.dumps([vars(target) | {"met": target.met} for target in found]))
        return
    for t in found:
        aim = f", aim {t.aim:.3g} {'met' if t.met else 'not met'}" if t.aim else ""
        print(f"{t.name}: {t.value:.3g}{aim} ({t.board}, B {t.rows}, s {t.skip:.2g}, {t.policy}, {t.scope})")
    print(f"{out}; its page: triptych report {out / 'study.run.json'}")


@app.command()
def audit(
    lanes: Annotated[int, typer.Option(help="Lanes of the build, 1..32.")] = 16,
    results: Annotated[bool, typer.Option(help="Also write docs/results.md.")] = False,
    as_json: Json = False,
) -> None:
    """Which initiation intervals the memories of the HLS kernels allow, beside those that they state."""
    from triptych.sim.bench.ledger import replace_section
    from triptych.sim.fastcar import audit as run

    with shown() as show:
        show("the kernels, instrumented, in C simulation", 0, 0)
        found = run.audit(lanes)
    if results:
        replace_section("fastcar-audit", run.body(found))
    if as_json:
        print(json.dumps(found.as_dict()))
    else:
        for f in found.over:
            by = f", {f.res} by {f.res_by}" if f.res > 1 else f", {f.rec} by {f.rec_by}" if f.rec > 1 else ""
            print(f"{f.loop.place}: {f.loop.function} {f.loop.label}: II={f.loop.interval} cannot be{by}")
        print(f"{len(found.loops) - len(found.over)} of {len(found.loops)} pipelined loops can reach their II")
        print(", ".join(f"{name} {text}" for name, text in found.kv260().items()) + " of a KV260")
    if found.over:
        raise typer.Exit(1)
