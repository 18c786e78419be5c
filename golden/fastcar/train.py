"""Trains the small video model: the tokenizer, the decoder (int4 from 60 % on), and then with replay in the loop.

    python -m triptych.golden.fastcar.train --clips .data/fastcar --out DIR --tokenizer-seconds 60 --decoder-seconds 110

The number of steps comes from the speed of the first ones and the seconds given (or from `--*-steps`); it is in
report.json, so that a run can be repeated. A third of the clips are `clips.Clips`, the others `scenes.Scenes`. Writes
tokenizer.npz (fp16); for each of `--tunings` decoder_NAME.npz (int4 layers, fp16 others) and ranges_NAME.json (largest
activations, for the static scales); report.json and samples.png.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from triptych.golden.fastcar.checkpoint import pack_decoder
from triptych.golden.fastcar.clips import FRAMES, Clips
from triptych.golden.fastcar.config import VIDEO, Chooser, LayerConfig, ModelConfig
from triptych.golden.fastcar.decoder import Decoder, Tap
from triptych.golden.fastcar.scenes import Scenes
from triptych.golden.fastcar.tokenizer import Tokenizer, picture_loss
from triptych.golden.fastcar.tune import Batch, Runner, tuning_loss
from triptych.golden.files import replacing, write

ANY_SHARE = 0.15  # clips whose condition is hidden: the row without guidance learns from them
FIRST_FRAME_WEIGHT = 0.1  # the seed frame is given, so predicting it matters little
WARM_UP = 20  # steps before the speed is measured
QAT_FROM, QAT_FULL = 0.6, 0.65  # shares of the training between which the weights become int4
PEAK, TUNING_PEAK = 1.5e-3, 3e-4  # learning rates
SMOKE = ModelConfig(LayerConfig(32, 48, 4, 2, 8, context=512), layers=2, tokens=1024, conditions=10)


@dataclass
class Mixture:
    """A third of `clips`, the rest of `scenes`."""

    clips: Clips
    scenes: Scenes

    @classmethod
    def load(cls, folder: Path, device: str, seed: int) -> Mixture:
        """The train split. Raises ValueError when the folder was not prepared."""
        return cls(Clips.load(folder, device, seed), Scenes.load(folder, "train", device, seed + 1))

    def sample(self, count: int) -> tuple[Tensor, Tensor]:
        """(count, 8, 3, 128, 128) pictures in 0..1 and conditions (count,)."""
        ours = count - count // 3
        parts = [self.scenes.sample(ours)] + ([self.clips.sample(count - ours)] if count > ours else [])
        pictures, kinds = (torch.cat(part) for part in zip(*parts, strict=True))
        return pictures, kinds


def learning_rate(peak: float, done: float) -> float:
    """Warm-up over 4 % of the training, then a cosine to zero; done: 0..1."""
    return peak * min(1.0, done / 0.04) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, done)))


def train(
    model: nn.Module, loss: Callable[[float], Tensor], peak: float, steps: int, seconds: float, name: str
) -> tuple[int, float]:
    """AdamW over `steps` (0: as many as fit in `seconds`); loss(done) is one batch's. Returns steps, last loss."""
    device = next(model.parameters()).device
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}],
        lr=peak, betas=(0.9, 0.95), fused=device.type == "cuda",
    )  # fmt: skip
    wanted = steps or 1 << 30
    begin = mark = time.time()
    step, value = 0, torch.zeros(())
    while step < wanted:
        done = step / wanted if steps or step >= WARM_UP else 0.01
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(peak, done)
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            value = loss(done)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        if not steps and step == WARM_UP // 2:
            value.item()
            mark = time.time()
        if not steps and step == WARM_UP:
            value.item()
            pace = (time.time() - mark) / (WARM_UP - WARM_UP // 2)
            wanted = max(WARM_UP + 1, int((seconds - (time.time() - begin)) / pace) + WARM_UP)
            print(f"{name}: {pace * 1e3:.1f} ms a step, {wanted} steps", flush=True)
        if step % max(1, wanted // 20 if wanted < 1 << 30 else WARM_UP) == 0:
            print(f"{name}: step {step}, loss {value.item():.4f}, {time.time() - begin:.0f} s", flush=True)
    return step, value.item()


def train_tokenizer(
    clips: Mixture, batch: int, steps: int, seconds: float, device: str, per_pixel: bool
) -> tuple[Tokenizer, int]:
    """The tokenizer, on the pictures of clips; its weights are those of the file, float16."""
    torch.manual_seed(clips.clips.generator.initial_seed())
    model = Tokenizer(per_pixel).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(_: float) -> Tensor:
        pictures = clips.sample(batch)[0].flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return picture_loss(model(pictures).float(), pictures)

    made = train(model, loss, PEAK, steps, seconds, "tokenizer")[0]
    return model.half().float().eval(), made


def tokens_of(
    tokenizer: Tokenizer, sample: Callable[[int], tuple[Tensor, Tensor]], count: int
) -> tuple[Tensor, Tensor]:
    """(count, 2048) tokens of sampled clips and their conditions."""
    parts = []
    for first in range(0, count, 64):
        pictures, kinds = sample(min(64, count - first))
        flat = pictures.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            parts.append((tokenizer.encode(flat).view(len(pictures), -1), kinds))
    tokens, conditions = (torch.cat(part) for part in zip(*parts, strict=True))
    return tokens, conditions


def batches(tokens: Tensor, kinds: Tensor, batch: int, seed: int) -> Callable[[], Batch]:
    """Draws of (tokens (batch, t), conditions (batch,), some of them hidden)."""
    generator = torch.Generator(tokens.device).manual_seed(seed)

    def draw() -> Batch:
        index = torch.randint(len(tokens), (batch,), generator=generator, device=tokens.device)
        hidden = torch.rand(batch, generator=generator, device=tokens.device) < ANY_SHARE
        return tokens[index].long(), kinds[index].masked_fill(hidden, 0)

    return draw


def token_loss(frame: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Mean cross-entropy of logits (b, t, n) and tokens (b, t), the first frame with little weight."""

    def loss(logits: Tensor, tokens: Tensor) -> Tensor:
        weight = torch.ones(tokens.shape[1], device=tokens.device)
        weight[:frame] = FIRST_FRAME_WEIGHT
        each = F.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten(), reduction="none")
        return (each.view(len(tokens), -1) * (weight / weight.sum() / len(tokens))).sum()

    return loss


def train_decoder(runner: Runner, draw: Callable[[], Batch], steps: int, seconds: float) -> tuple[int, float]:
    """The decoder, dense; its int4 blend is 1 in the end. Returns steps, last loss."""
    model, cost = runner.model, token_loss(runner.model.config.layer.frame_tokens)

    def loss(done: float) -> Tensor:
        if QAT_FROM < done < QAT_FULL + 0.01:
            model.blend_int4(min(1.0, (done - QAT_FROM) / (QAT_FULL - QAT_FROM)))
        tokens, kinds = draw()
        return cost(runner.dense(kinds, tokens), tokens)

    made, last = train(model, loss, PEAK, steps, seconds, "decoder")
    model.blend_int4(1.0)
    return made, last


def choosers_of(tuning: str) -> list[Chooser]:
    """Of a name like "consistent-value"; "dense" has none. Raises ValueError for another."""
    try:
        return [] if tuning == "dense" else [Chooser[name.upper()] for name in tuning.split("-")]
    except KeyError:
        names = ", ".join(c.name.lower() for c in Chooser)
        raise ValueError(f"no tuning '{tuning}': take dense, or names of {names} joined by -") from None


@torch.no_grad()
def activation_ranges(model: Decoder, tokens: Tensor, kinds: Tensor) -> dict[str, float]:
    """Largest magnitude of every activation, by "layer.name", and its 99.99 % quantile by "layer.name.most"."""
    peaks: dict[str, list[tuple[float, float]]] = {}

    def tap(layer: int) -> Tap:
        def see(name: str, value: Tensor) -> None:
            flat = value.float().abs().flatten()
            most = flat.kthvalue(max(1, int(0.9999 * len(flat)))).values
            peaks.setdefault(f"{layer}.{name}", []).append((float(flat.max()), float(most)))

        return see

    for i in range(len(tokens)):
        model(kinds[i : i + 1], tokens[i : i + 1], tap)
    out = {}
    for name, seen in peaks.items():
        out[name] = max(peak for peak, _ in seen)
        out[f"{name}.most"] = sum(most for _, most in seen) / len(seen)
    return out


@torch.no_grad()
def tokenizer_report(tokenizer: Tokenizer, folder: Path, count: int) -> dict[str, float]:
    """On test scenes: PSNR in dB, and how many tokens keep their value from a frame to the next."""
    device = next(tokenizer.parameters()).device
    scenes = Scenes.load(folder, "test", "cpu", 77)
    out = {}
    for name, share in (("still", 0.0), ("drift", 1.0)):
        pictures = scenes.sample(count, share)[0].to(device)
        tokens = tokenizer.encode(pictures.flatten(0, 1))
        error = (tokenizer.decode(tokens).clamp(0, 1) - pictures.flatten(0, 1)).pow(2).mean((1, 2, 3))
        by_frame = tokens.view(count, FRAMES, -1)
        out[f"psnr_db_{name}"] = round(float((-10 * error.log10()).mean()), 2)
        out[f"unchanged_{name}"] = round(float((by_frame[:, 1:] == by_frame[:, :-1]).float().mean()), 3)
    return out


def save_samples(tokenizer: Tokenizer, pictures: Tensor, path: Path) -> float:
    """A sheet of clips above their tokenised selves; returns the PSNR of the tokenizer in dB."""
    with torch.no_grad():
        made = tokenizer.decode(tokenizer.encode(pictures.flatten(0, 1))).clamp(0, 1).view_as(pictures)
    rows = [torch.cat(list(clip), 2) for pair in zip(pictures[:6], made[:6], strict=True) for clip in pair]
    sheet = (torch.cat(rows, 1).permute(1, 2, 0).cpu().numpy() * 255).astype(np.uint8)
    Image.fromarray(sheet).save(path)
    return -10 * math.log10(float(F.mse_loss(made, pictures)))


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """float16, as the file of the weights has it."""
    state = {k: v.half().cpu().numpy() for k, v in tokenizer.state_dict().items()}
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **state)


def save_decoder(runner: Runner, draw: Callable[[], Batch], folder: Path, name: str) -> None:
    """decoder_NAME.npz and ranges_NAME.json."""
    with replacing(folder / f"decoder_{name}.npz") as part, part.open("wb") as file:
        np.savez(file, **pack_decoder(runner.model))
    tokens, kinds = draw()
    ranges = activation_ranges(runner.model, tokens[:6], kinds[:6])
    write(folder / f"ranges_{name}.json", json.dumps(ranges, indent=0, sort_keys=True))


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m triptych.golden.fastcar.train", description=__doc__)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    for name, seconds in (("tokenizer", 60.0), ("decoder", 110.0), ("tuning", 45.0)):
        parser.add_argument(f"--{name}-seconds", type=float, default=seconds)
        parser.add_argument(f"--{name}-steps", type=int, default=0)
    parser.add_argument("--tunings", default="consistent", help="by comma: dense, or choosers joined by -")
    parser.add_argument("--compare-norms", action="store_true", help="also train a tokenizer with norms over the frame")
    parser.add_argument("--store", type=int, default=24000, help="clips whose tokens are drawn from")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--smoke", action="store_true", help="a decoder of two narrow layers, to try the script")
    args = parser.parse_args(argv)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        tunings = {name: choosers_of(name) for name in args.tunings.split(",")}
        clips = Mixture.load(args.clips, args.device, args.seed)
    except ValueError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    config = SMOKE if args.smoke else VIDEO
    report: dict[str, object] = {"seed": args.seed, "batch": args.batch, "frames": FRAMES, "torch": torch.__version__}
    check = 2 if args.smoke else 32

    if args.compare_norms:
        rival, _ = train_tokenizer(clips, 16, args.tokenizer_steps, args.tokenizer_seconds, args.device, False)
        report["tokenizer_norms_over_the_frame"] = tokenizer_report(rival, args.clips, check)
    tokenizer, steps = train_tokenizer(
        clips, max(1, args.batch // 2), args.tokenizer_steps, args.tokenizer_seconds, args.device, True
    )
    report |= {"tokenizer_steps": steps, "tokenizer": tokenizer_report(tokenizer, args.clips, check)}
    save_tokenizer(tokenizer, args.out / "tokenizer.npz")
    report["tokenizer_psnr_db"] = save_samples(tokenizer, clips.sample(9)[0], args.out / "samples.png")
    print(json.dumps(report), flush=True)

    tokens, kinds = tokens_of(tokenizer, clips.sample, args.store)
    draw = batches(tokens[:, : config.layer.context].short(), kinds, args.batch, args.seed)
    print(f"{len(tokens)} clips", flush=True)
    torch.manual_seed(args.seed)
    runner = Runner(Decoder(config).to(args.device), not args.eager)
    steps, last = train_decoder(runner, draw, args.decoder_steps, args.decoder_seconds)
    report |= {"decoder_steps": steps, "decoder_last_loss": last, "tuned": {}}
    teacher = Runner(deepcopy(runner.model).requires_grad_(False), not args.eager)
    base = deepcopy(runner.model.state_dict())
    for name, choosers in tunings.items():
        runner.model.load_state_dict(base)
        loss = tuning_loss(runner, teacher, choosers, draw, token_loss(config.layer.frame_tokens), args.seed)
        made, last = train(runner.model, loss, TUNING_PEAK, args.tuning_steps, args.tuning_seconds, name)
        save_decoder(runner, draw, args.out, name)
        report["tuned"] |= {name: {"steps": made, "last_loss": last}}  # type: ignore[operator]
    report |= {
        "tokenizer_parameters": sum(p.numel() for p in tokenizer.parameters()),
        "decoder_parameters": sum(p.numel() for p in runner.model.parameters()),
    }
    write(args.out / "report.json", json.dumps(report, indent=1))
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
