"""Trains the small video model: first the tokenizer, then the decoder, the last third with int4 weights.

    python -m triptych.golden.fastcar.train --clips .data/fastcar --out DIR --tokenizer-seconds 70 --decoder-seconds 150

The number of steps comes from the speed of the first ones and the seconds given (or from `--*-steps`); it is in
report.json, so that a run can be repeated. Writes tokenizer.npz (fp16), decoder.npz (int4 layers, fp16 others),
ranges.json (largest activations, for the static scales), report.json and samples.png.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from triptych.golden.fastcar.checkpoint import pack_decoder
from triptych.golden.fastcar.clips import FRAMES, Clips
from triptych.golden.fastcar.config import VIDEO, LayerConfig, ModelConfig
from triptych.golden.fastcar.decoder import Decoder, Tap
from triptych.golden.fastcar.tokenizer import Tokenizer, picture_loss
from triptych.golden.files import replacing, write

ANY_SHARE = 0.15  # clips whose condition is hidden: the row without guidance learns from them
FIRST_FRAME_WEIGHT = 0.1  # the seed frame is given, so predicting it matters little
WARM_UP = 20  # steps before the speed is measured
QAT_FROM, QAT_FULL = 0.6, 0.65  # shares of the training between which the weights become int4
SMOKE = ModelConfig(LayerConfig(32, 48, 4, 2, 8, context=300), layers=2, tokens=1024, conditions=8)


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


def train_tokenizer(clips: Clips, batch: int, steps: int, seconds: float, device: str) -> tuple[Tokenizer, int]:
    """The tokenizer, on the pictures of clips."""
    model = Tokenizer().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(_: float) -> Tensor:
        pictures = clips.sample(batch)[0].flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return picture_loss(model(pictures).float(), pictures)

    return model, train(model, loss, 1.5e-3, steps, seconds, "tokenizer")[0]


def tokens_of(tokenizer: Tokenizer, clips: Clips, count: int, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """(count, context) tokens of sampled clips and their conditions, some of them hidden."""
    pictures, kinds = clips.sample(count)
    with torch.no_grad():
        tokens = tokenizer.encode(pictures.flatten(0, 1).contiguous(memory_format=torch.channels_last))
    hidden = torch.rand(count, generator=clips.generator, device=kinds.device) < ANY_SHARE
    return tokens.view(count, -1)[:, : config.layer.context], kinds.masked_fill(hidden, 0)


def train_decoder(
    tokenizer: Tokenizer, clips: Clips, config: ModelConfig, batch: int, steps: int, seconds: float, device: str,
    compiled: bool,
) -> tuple[Decoder, int, float]:  # fmt: skip
    """The decoder, on tokens of clips; its int4 blend is 1 in the end."""
    model = Decoder(config).to(device)
    if compiled:
        for layer in model.layers:
            layer.compile()
    weight = torch.ones(config.layer.context, device=device)
    weight[: config.layer.frame_tokens] = FIRST_FRAME_WEIGHT
    weight /= weight.sum() * batch

    def loss(done: float) -> Tensor:
        if QAT_FROM < done < QAT_FULL + 0.01:
            model.blend_int4(min(1.0, (done - QAT_FROM) / (QAT_FULL - QAT_FROM)))
        tokens, kinds = tokens_of(tokenizer, clips, batch, config)
        logits = model(kinds, tokens)
        each = F.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten(), reduction="none")
        return (each.view(batch, -1) * weight).sum()

    made, last = train(model, loss, 1.5e-3, steps, seconds, "decoder")
    model.blend_int4(1.0)
    return model, made, last


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


def save_samples(tokenizer: Tokenizer, pictures: Tensor, path: Path) -> float:
    """A sheet of clips above their tokenised selves; returns the PSNR of the tokenizer in dB."""
    with torch.no_grad():
        made = tokenizer.decode(tokenizer.encode(pictures.flatten(0, 1))).clamp(0, 1).view_as(pictures)
    rows = [torch.cat(list(clip), 2) for pair in zip(pictures[:6], made[:6], strict=True) for clip in pair]
    sheet = (torch.cat(rows, 1).permute(1, 2, 0).cpu().numpy() * 255).astype(np.uint8)
    Image.fromarray(sheet).save(path)
    return -10 * math.log10(float(F.mse_loss(made, pictures)))


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m triptych.golden.fastcar.train", description=__doc__)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tokenizer-seconds", type=float, default=70)
    parser.add_argument("--decoder-seconds", type=float, default=150)
    parser.add_argument("--tokenizer-steps", type=int, default=0)
    parser.add_argument("--decoder-steps", type=int, default=0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--smoke", action="store_true", help="a decoder of two narrow layers, to try the script")
    args = parser.parse_args(argv)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        clips = Clips.load(args.clips, args.device, args.seed)
    except ValueError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    config = SMOKE if args.smoke else VIDEO

    tokenizer, tokenizer_steps = train_tokenizer(
        clips, max(1, args.batch // 2), args.tokenizer_steps, args.tokenizer_seconds, args.device
    )
    tokenizer = tokenizer.float().eval()
    psnr = save_samples(tokenizer, clips.sample(8)[0], args.out / "samples.png")
    state = {k: v.half().cpu().numpy() for k, v in tokenizer.state_dict().items()}
    with replacing(args.out / "tokenizer.npz") as part, part.open("wb") as file:
        np.savez_compressed(file, **state)
    tokenizer.load_state_dict({k: torch.from_numpy(v).float().to(args.device) for k, v in state.items()})
    print(f"tokenizer: {psnr:.2f} dB", flush=True)

    decoder, decoder_steps, last_loss = train_decoder(
        tokenizer, clips, config, args.batch, args.decoder_steps, args.decoder_seconds, args.device, not args.eager
    )
    with replacing(args.out / "decoder.npz") as part, part.open("wb") as file:
        np.savez(file, **pack_decoder(decoder))
    eager = Decoder(config).to(args.device)
    eager.load_state_dict(decoder.state_dict())
    eager.blend_int4(1.0)
    ranges = activation_ranges(eager, *tokens_of(tokenizer, clips, 6, config))
    write(args.out / "ranges.json", json.dumps(ranges, indent=0, sort_keys=True))
    report = {
        "seed": args.seed, "batch": args.batch, "tokenizer_steps": tokenizer_steps, "decoder_steps": decoder_steps,
        "tokenizer_psnr_db": psnr, "decoder_last_loss": last_loss, "frames": FRAMES, "torch": torch.__version__,
        "tokenizer_parameters": sum(p.numel() for p in tokenizer.parameters()),
        "decoder_parameters": sum(p.numel() for p in decoder.parameters()),
    }  # fmt: skip
    write(args.out / "report.json", json.dumps(report, indent=1))
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
