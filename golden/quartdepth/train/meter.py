"""Trains the default METER-XXS: `python -m triptych.golden.quartdepth.train.meter --out DIR`.

Data: the train splits of two RGB-D sequences whose licences allow it, and rendered rooms (`scenes`). Two phases:
floating point with BatchNorm; then BatchNorm frozen and folded and the fused network trained while W4A8 and W4A4
are simulated (`fakequant`), so that min-max quantisation costs little. The result is the running mean of the weights.

All random draws come from one seed. On a CPU with the same thread count a run repeats to the byte; on CUDA some
gradients are summed in no fixed order, so a repeated run gives the same accuracy but not the same bits.
"""

import argparse
import io
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

from triptych.golden.files import write
from triptych.golden.paths import shared_dir
from triptych.golden.quartdepth.data.scenes import SceneConfig, draw_scenes, render, usable
from triptych.golden.quartdepth.data.sequences import TRAINED_PLACES, read_sequence
from triptych.golden.quartdepth.train.augment import augment
from triptych.golden.quartdepth.train.fakequant import QuantSim
from triptych.golden.quartdepth.zoo.meter import METADATA_KEY, METER, fuse, fused_state

PHOTOS = ("astronaut", "brick", "chelsea", "coffee", "grass", "gravel", "camera", "coins", "page", "text")
MODES: tuple[int | None, ...] = (None, 8, 4, 4)  # phase 2 cycles through float, W4A8, W4A4, W4A4
MAX_DEPTH = 10.0
METRES_PER_UNIT = 1.0


@dataclass(frozen=True)
class TrainConfig:
    """`steps` of the two phases fix the run's length; without them `seconds` does, shared by the clock."""

    seed: int = 20
    steps: tuple[int, int] | None = None
    seconds: float = 150.0
    batch: int = 64
    real_share: float = 0.5
    quant_share: float = 0.4
    lr: float = 2e-3
    quant_lr: float = 6e-4
    weight_decay: float = 0.02
    ema: float = 0.998
    range_batches: int = 8  # that settle the activation ranges before phase 2
    scenes: int = 5000
    scene: SceneConfig = field(default_factory=SceneConfig)


@dataclass
class Pool:
    """Images of one source on the device: rgb uint8 [N,3,H,W], depth float16 [N,H,W], 0 unknown."""

    rgb: Tensor
    depth: Tensor

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self.rgb), (count,), generator=generator, device=self.rgb.device)
        return self.rgb[index], self.depth[index]


def real_pool(folder: Path, device: torch.device, every: int = 1, places: Sequence[str] = TRAINED_PLACES) -> Pool:
    """The train splits of the sequences `places` under `folder`."""
    parts = [read_sequence(folder / name, "train", every) for name in places]
    rgb = torch.from_numpy(np.concatenate([p.rgb for p in parts])).permute(0, 3, 1, 2).contiguous()
    depth = torch.from_numpy(np.concatenate([p.depth for p in parts])).half()
    return Pool(rgb.to(device), depth.to(device))


def textures(photos: Path | None, real: Pool, generator: torch.Generator, side: int = 256) -> Tensor:
    """uint8 [T,side,side,3]: photos that scikit-image ships (or PNGs in `photos`) and crops of training frames."""
    if photos is None:
        import skimage

        photos = Path(skimage.__file__).parent / "data"
    out = []
    for name in PHOTOS:
        image = Image.open(photos / f"{name}.png").convert("RGB").resize((side, side), Image.Resampling.BOX)
        out.append(torch.from_numpy(np.array(image)).to(real.rgb.device))
    count = min(256, len(real.rgb))
    frames, _ = real.draw(count, generator)
    crop = F.interpolate(frames[:, :, :, :192].float(), size=(side, side), mode="bilinear").round()
    return torch.cat([torch.stack(out), crop.to(torch.uint8).permute(0, 2, 3, 1)])


def scene_pool(cfg: TrainConfig, photos: Tensor, generator: torch.Generator, chunk: int = 16) -> Pool:
    rgb: list[Tensor] = []
    depth: list[Tensor] = []
    have = 0
    while have < cfg.scenes:
        scene = draw_scenes(chunk, len(photos), generator, cfg.scene)
        image, z = render(scene, photos, cfg.scene, generator)
        keep = usable(z)
        rgb.append(image[keep])
        depth.append(torch.where(z < MAX_DEPTH, z, 0.0)[keep].half())
        have += int(keep.sum())
    return Pool(torch.cat(rgb)[: cfg.scenes], torch.cat(depth)[: cfg.scenes])


def depth_loss(output: Tensor, depth: Tensor) -> Tensor:
    """Balanced loss in the spirit of METER: level, scale-invariant spread and edges of depth, in logarithms.

    output [B,1,h,w] in metres, depth [B,H,W] in metres, 0 where unknown. d1 and AbsRel count ratios, hence logs; the
    plain difference gives a gradient where the output is not yet positive.
    """
    y = F.interpolate(output.float(), size=depth.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    valid = (depth > 0.1) & (depth < MAX_DEPTH)
    weight = valid.float()
    count = weight.sum().clamp(min=1)
    truth = torch.where(valid, depth, 1.0)
    error = (y.clamp(min=0.05).log() - truth.log()) * weight
    level = error.abs().sum() / count
    plain = ((y - truth).abs() * weight / (truth + 1)).sum() / count
    per_image = weight.sum((1, 2)).clamp(min=1)
    mean = error.sum((1, 2), keepdim=True) / per_image[:, None, None]
    spread = ((error - mean).abs() * weight).sum() / count
    edges = error.new_zeros(())
    e, m = error, weight
    for _ in range(4):
        for dim in (1, 2):
            n = e.shape[dim] - 1
            both = m.narrow(dim, 1, n) * m.narrow(dim, 0, n)
            edges = edges + ((e.narrow(dim, 1, n) - e.narrow(dim, 0, n)).abs() * both).sum() / both.sum().clamp(min=1)
        e, m = e[:, ::2, ::2], m[:, ::2, ::2]
    return level + 0.3 * plain + 0.5 * spread + 0.3 * edges


class RunningMean:
    """Exponential mean of a model's state, warming up so that early weights do not linger."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.count = decay, 0
        live = model.state_dict()  # shares its memory with the model
        self.state = {key: value.detach().clone() for key, value in live.items()}
        keys = [key for key, value in live.items() if value.is_floating_point()]
        self.pairs = [self.state[key] for key in keys], [live[key] for key in keys]

    @torch.no_grad()
    def update(self) -> None:
        self.count += 1
        rate = 1 - min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(*self.pairs, rate)


def npz_bytes(state: dict[str, Tensor], metadata: dict[str, Any]) -> bytes:
    """A weight file: float16 arrays (BatchNorm counters int64) and the metadata; the same input, the same bytes."""
    arrays = {k: v.detach().cpu().numpy() for k, v in state.items()}
    named: dict[str, Any] = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in arrays.items()}
    named[METADATA_KEY] = np.array(json.dumps(metadata, sort_keys=True))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **named)
    return buffer.getvalue()


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """A CUDA stream that is not the default one: recording needs it. On a CPU nothing."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream(device).wait_stream(stream)


class RecordedStep:
    """A training step that a CUDA device records once and replays.

    A step is some thousand small kernels, and launching them one by one from Python costs several times what they
    compute. The first calls run plainly (they set up optimizer state and cuDNN), then the recording is made. On a
    CPU every call runs plainly.
    """

    WARM_UP = 3

    def __init__(self, step: Callable[[], Tensor], generator: torch.Generator) -> None:
        self.step, self.generator = step, generator
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.loss = torch.zeros(())

    def __call__(self) -> Tensor:
        self.calls += 1
        if self.generator.device.type != "cuda" or self.calls <= self.WARM_UP:
            return self.step()
        if self.graph is None:
            self.graph = torch.cuda.CUDAGraph()
            self.graph.register_generator_state(self.generator)
            with torch.cuda.graph(self.graph, stream=torch.cuda.current_stream()):
                self.loss = self.step()
        self.graph.replay()
        return self.loss


class Trainer:
    """The two phases over given pools; `run` yields (steps, share done, loss) and leaves the result in `mean.state`."""

    def __init__(self, cfg: TrainConfig, real: Pool, rendered: Pool, generator: torch.Generator) -> None:
        self.cfg, self.real, self.rendered, self.generator = cfg, real, rendered, generator
        self.device = real.rgb.device
        self.model = METER(metres_per_unit=METRES_PER_UNIT).to(self.device)
        nn.init.normal_(self.model.decoder.conv2d_out.weight, 0.05, 0.05)  # start with positive depths
        self.mean = RunningMean(self.model, cfg.ema)
        self.sim = QuantSim(fuse(self.model)).to(self.device)
        self.steps = [0, 0]  # taken in each phase
        self.float_state: dict[str, Tensor] | None = None  # the mean at the end of phase 1, for comparison

    def batch(self) -> tuple[Tensor, Tensor]:
        real = round(self.cfg.batch * self.cfg.real_share)
        a = self.real.draw(real, self.generator)
        b = self.rendered.draw(self.cfg.batch - real, self.generator)
        return augment(torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]]), self.generator)

    def forward(self, x: Tensor, quantising: bool, mode: int | None) -> Tensor:
        if not quantising:
            x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
                return self.model(x)
        with self.sim.observe("running"):
            return self.sim.run(x, fused_state(self.model), mode)

    def step(self, optimizer: torch.optim.Optimizer, quantising: bool, mode: int | None) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        x, z = self.batch()
        loss = depth_loss(self.forward(x, quantising, mode), z)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    def start_quantising(self) -> None:
        """From the mean of phase 1 on, BatchNorm's statistics stand still and fold into the weights."""
        self.float_state = self.mean.state
        self.model.load_state_dict(self.float_state)
        self.model.eval()
        self.mean = RunningMean(self.model, self.cfg.ema)
        with torch.no_grad(), self.sim.observe("running"):
            for _ in range(self.cfg.range_batches):
                self.sim.run(self.batch()[0], fused_state(self.model), None)

    def optimizer(self) -> torch.optim.Optimizer:
        decay = [p for p in self.model.parameters() if p.ndim > 1]
        rest = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": decay, "weight_decay": self.cfg.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        cuda = self.device.type == "cuda"
        # The rate is a tensor on the device, so that a recorded step follows the schedule.
        return torch.optim.AdamW(groups, lr=torch.zeros((), device=self.device), fused=cuda, capturable=cuda)

    def run(self) -> Iterator[tuple[int, float, Tensor]]:
        with own_stream(self.device):
            yield from self._run()

    def _run(self) -> Iterator[tuple[int, float, Tensor]]:
        cfg = self.cfg
        self.model.train()
        phases = ((cfg.lr, 1 - cfg.quant_share, MODES[:1]), (cfg.quant_lr, cfg.quant_share, MODES))
        for phase, (peak, share, modes) in enumerate(phases):
            quantising = phase == 1
            if quantising:
                self.start_quantising()
            optimizer = self.optimizer()
            steps = {m: RecordedStep(partial(self.step, optimizer, quantising, m), self.generator) for m in modes}
            began = time.monotonic()
            while True:
                taken = self.steps[phase]
                if cfg.steps is not None:
                    done = taken / cfg.steps[phase]
                else:
                    done = (time.monotonic() - began) / (cfg.seconds * share)
                if done >= 1:
                    break
                rate = peak * min(1.0, (taken + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * done))
                for group in optimizer.param_groups:
                    group["lr"].fill_(rate)
                loss = steps[modes[taken % len(modes)]]()
                self.mean.update()
                self.steps[phase] += 1
                yield sum(self.steps), (done * share if phase == 0 else 1 - share + done * share), loss


def train(cfg: TrainConfig, data: Path, out: Path, photos: Path | None, device: torch.device) -> Path:
    """Runs the training and returns the weight file; checkpoints in between go to the same path, whole."""
    console = Console()
    torch.manual_seed(cfg.seed)
    generator = torch.Generator(device).manual_seed(cfg.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = device.type == "cuda"
    began = time.monotonic()
    real = real_pool(data, device)
    rendered = scene_pool(cfg, textures(photos, real, generator), generator)
    console.print(f"{len(real.rgb)} frames, {len(rendered.rgb)} rendered scenes in {time.monotonic() - began:.1f} s")
    trainer = Trainer(cfg, real, rendered, generator)
    log: list[dict[str, float]] = []
    file = out / "meter_xxs.npz"

    def save(complete: bool) -> None:
        metadata = {
            "network": "METER-XXS", "metres_per_unit": METRES_PER_UNIT, "licence": "Apache-2.0",
            "trained_on": [*TRAINED_PLACES, "rendered rooms"], "steps": list(trainer.steps), "complete": complete,
            "torch": torch.__version__, "device": device.type, "config": asdict(cfg),
        }  # fmt: skip
        write(file, npz_bytes(trainer.mean.state, metadata))
        if trainer.float_state is not None:
            write(out / "meter_xxs_float.npz", npz_bytes(trainer.float_state, metadata))
        write(out / "train_log.json", json.dumps(log, indent=0).encode())

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=0.5) as progress:
        task = progress.add_task("training", total=1.0)
        loss = torch.zeros(())
        for step, done, loss in trainer.run():
            if step % 50:  # reading the loss waits for the device
                continue
            seconds = round(time.monotonic() - began, 1)
            log.append({"step": step, "loss": round(float(loss), 4), "seconds": seconds})
            progress.update(task, completed=done, description=f"step {step} loss {float(loss):.4f}")
            if step % 1000 == 0:
                save(complete=False)
        progress.update(task, completed=1.0)
        save(complete=True)
    seconds = time.monotonic() - began
    console.print(f"{file}: steps {trainer.steps} in {seconds:.0f} s, last loss {float(loss):.4f}")
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for meter_xxs.npz and train_log.json")
    parser.add_argument("--data", type=Path, help="folder of the sequences (default: data/indoor of the shared data)")
    parser.add_argument("--photos", type=Path, help="folder of texture PNGs (default: scikit-image's own)")
    parser.add_argument("--seed", type=int, default=TrainConfig.seed)
    parser.add_argument("--steps", type=int, nargs=2, help="steps of the two phases; repeatable, unlike --seconds")
    parser.add_argument("--seconds", type=float, default=TrainConfig.seconds)
    parser.add_argument("--batch", type=int, default=TrainConfig.batch)
    parser.add_argument("--scenes", type=int, default=TrainConfig.scenes)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    shared = shared_dir()
    data = args.data or (shared / "data" / "indoor" if shared else None)
    if data is None:
        parser.error("no training data: name the folder of the RGB-D sequences with --data")
    if args.steps is not None and min(args.steps) < 1:
        parser.error("--steps must be at least 1")
    steps = None if args.steps is None else (args.steps[0], args.steps[1])
    cfg = TrainConfig(args.seed, steps, args.seconds, args.batch, scenes=args.scenes)
    try:
        train(cfg, data, args.out, args.photos, torch.device(args.device))
    except ValueError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
