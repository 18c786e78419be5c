"""Trains the default METER-XXS: `python -m triptych.golden.quartdepth.train.meter --taught FILE --out DIR`.

By distillation: real frames and photos come with what ViT-S + DPT sees in them (`taught.py`), frames with what a sensor
knows of them too, and rendered scenes with exact depth (`pools.py`). Two phases: floating point with BatchNorm; then
BatchNorm frozen and folded and the fused network trained while W4A8 and W4A4 are simulated (`fakequant`), so that
min-max quantisation costs little. The result is the running mean of the weights.

All random draws come from one seed. On a CPU with the same thread count a run repeats to the byte; on CUDA some
gradients are summed in no fixed order, so a repeated run gives the same accuracy but not the same bits.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn

from triptych.golden.files import write
from triptych.golden.quartdepth.data.render.dataset import Place
from triptych.golden.quartdepth.data.sequences import OTHER_PLACES, TRAINED_PLACES
from triptych.golden.quartdepth.train.fakequant import QuantSim
from triptych.golden.quartdepth.train.losses import Weights, depth_loss
from triptych.golden.quartdepth.train.pools import Pool, Rendered, Sources, all_pools
from triptych.golden.quartdepth.train.steps import RecordedStep, RunningMean, npz_bytes, own_stream
from triptych.golden.quartdepth.train.taught import taught_pools
from triptych.golden.quartdepth.train.vit import counts, mixed, source_arguments, sources_of
from triptych.golden.quartdepth.zoo.meter import METER, fuse, fused_state

RENDERED = (Rendered(Place.ROOM, 5000, (196, 252)), Rendered(Place.STREET, 800, (196, 252)))
MODES: tuple[int | None, ...] = (None, 8, 4, 4)  # phase 2 cycles through float, W4A8, W4A4, W4A4
SIZE = (192, 256)
METRES_PER_UNIT = 1.0


@dataclass(frozen=True)
class TrainConfig:
    """`steps` of the two phases fix the run's length; without them `seconds` does, shared by the clock. known_share,
    taught_share: of a batch's frames, those whose depth a sensor knows and those whose depth the teacher sees."""

    seed: int = 20
    steps: tuple[int, int] | None = None
    seconds: float = 150.0
    batch: int = 64
    known_share: float = 0.25
    taught_share: float = 0.25
    quant_share: float = 0.35
    lr: float = 2e-3
    quant_lr: float = 6e-4
    weight_decay: float = 0.02
    ema: float = 0.998
    range_batches: int = 8  # that settle the activation ranges before phase 2
    weights: Weights = field(default_factory=Weights)


class Trainer:
    """The two phases over given pools; `run` yields (steps, share done, loss) and leaves the result in `mean.state`."""

    def __init__(self, cfg: TrainConfig, pools: tuple[list[Pool], list[Pool], list[Pool]],
                 generator: torch.Generator) -> None:  # fmt: skip
        """pools: of known depth, of depth as the teacher sees it, and rendered."""
        self.cfg, self.pools, self.generator = cfg, pools, generator
        self.device = generator.device
        self.model = METER(metres_per_unit=METRES_PER_UNIT).to(self.device)
        nn.init.normal_(self.model.decoder.conv2d_out.weight, 0.05, 0.05)  # start with positive depths
        self.mean = RunningMean(self.model, cfg.ema)
        self.sim = QuantSim(fuse(self.model)).to(self.device)
        self.steps = [0, 0]  # taken in each phase
        self.float_state: dict[str, Tensor] | None = None  # the mean at the end of phase 1, for comparison

    def batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `mixed`."""
        cfg = self.cfg
        known, taught = round(cfg.batch * cfg.known_share), round(cfg.batch * cfg.taught_share)
        numbers = (known, taught, cfg.batch - known - taught)
        each = [n for pools, total in zip(self.pools, numbers, strict=True) for n in counts(pools, total)]
        return mixed([p for pools in self.pools for p in pools], each, self.generator, SIZE, SIZE[1])

    def forward(self, x: Tensor, quantising: bool, mode: int | None) -> Tensor:
        if not quantising:
            x = x.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
                return self.model(x)
        with self.sim.observe("running"):
            return self.sim.run(x, fused_state(self.model), mode)

    def step(self, optimizer: torch.optim.Optimizer, quantising: bool, mode: int | None) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        x, z, exact, metric = self.batch()
        loss = depth_loss(self.forward(x, quantising, mode), z, exact, metric, self.cfg.weights)
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


def train(cfg: TrainConfig, taught: Path, sources: Sources, out: Path, device: torch.device) -> Path:
    """Runs the training and returns the weight file; checkpoints in between go to the same path, whole."""
    console = Console()
    torch.manual_seed(cfg.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = device.type == "cuda"
    began = time.monotonic()
    known, rendered = all_pools(sources, device)
    pools = (known, [p.to(device) for p in taught_pools(taught, sources)], rendered)
    console.print(f"{sum(len(p.rgb) for part in pools for p in part)} frames in {time.monotonic() - began:.1f} s")
    trainer = Trainer(cfg, pools, torch.Generator(device).manual_seed(cfg.seed))
    log: list[dict[str, float]] = []
    file = out / "meter_xxs.npz"

    def save(complete: bool) -> None:
        metadata = {
            "network": "METER-XXS", "metres_per_unit": METRES_PER_UNIT, "licence": "Apache-2.0",
            "trained_on": [*TRAINED_PLACES, *OTHER_PLACES, "rendered rooms and streets", "photos of scikit-image"],
            "steps": list(trainer.steps), "complete": complete,
            "torch": torch.__version__, "device": device.type, "config": asdict(cfg),
        }  # fmt: skip
        write(file, npz_bytes(trainer.mean.state, metadata))
        if trainer.float_state is not None:
            write(out / "meter_xxs_float.npz", npz_bytes(trainer.float_state, metadata))
        write(out / "train_log.json", json.dumps(log, indent=0).encode())

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    began = time.monotonic()
    with Progress(*columns, console=console, refresh_per_second=0.2) as progress:
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
    parser.add_argument("--taught", type=Path, required=True, help="what the teacher sees: a file that `taught` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for meter_xxs.npz and train_log.json")
    parser.add_argument("--steps", type=int, nargs=2, help="steps of the two phases; repeatable, unlike --seconds")
    parser.add_argument("--batch", type=int, default=TrainConfig.batch)
    source_arguments(parser)
    args = parser.parse_args()
    if args.steps is not None and min(args.steps) < 1:
        parser.error("--steps must be at least 1")
    steps = None if args.steps is None else (args.steps[0], args.steps[1])
    seconds = args.seconds or TrainConfig.seconds
    cfg = TrainConfig(args.seed, steps, seconds, args.batch)
    try:
        train(cfg, args.taught, sources_of(args, parser, RENDERED), args.out, torch.device(args.device))
    except ValueError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
