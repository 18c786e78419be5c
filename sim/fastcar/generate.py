"""`triptych fastcar generate`: a video from a seed frame, dense and with replay, side by side, and what was skipped."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from triptych.golden.fastcar.clips import FRAMES, Condition, middle_square, photo
from triptych.golden.fastcar.config import Chooser, Policy
from triptych.golden.fastcar.generation import Decoded, Sampling, decode
from triptych.golden.fastcar.model import Content, IntegerModel
from triptych.golden.fastcar.tokenizer import GRID, SIDE, Tokenizer, load_tokenizer
from triptych.golden.files import check_not_input, check_writable, replacing, write
from triptych.golden.photo import read_photo
from triptych.sim.errors import TriptychError
from triptych.sim.view.origin import origin
from triptych.sim.view.plot import save_figure
from triptych.sim.view.runfile import ENDING, save
from triptych.sim.view.runs import FpgaRun, Picture

matplotlib.use("Agg")
from matplotlib.figure import Figure

PLACES = GRID * GRID
ENDINGS = (".gif", ".png", "_skips.csv", "_skips.png", "_skips.svg", ENDING)
Pictures = NDArray[np.uint8]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options:
    """What to make. image: the seed frame, None for a photo that the model was not trained on."""

    image: Path | None = None
    motion: Condition = Condition.PAN_RIGHT
    frames: int = FRAMES
    skip: float = 0.5
    chooser: Chooser = Chooser.VALUE
    policy: Policy = Policy.PER_SAMPLE
    chain_cap: int = 0
    window: int = 0
    sink: int = 0
    temperature: float = 0.0
    guidance: float = 0.0
    seed: int = 0
    out: Path = Path("out")


@dataclass(frozen=True)
class Result:
    """Figures of a run, and the files written. seed_share: of the photo that its middle square is, 0..1."""

    frames: int
    skip_target: float
    skip_ratio: float
    skip_by_layer: list[float]
    psnr_db: float
    token_agreement: float
    mlp_rows_computed: int
    mlp_rows_dense: int
    seconds_dense: float
    seconds_replayed: float
    seed_share: float
    files: list[str]


def seed_picture(image: Path | None) -> tuple[Pictures, float]:
    """(128, 128, 3), the middle square, and its share of the photo, 0..1. Raises PhotoError, TriptychError for a tiny
    one."""
    picture = Image.fromarray(photo("chelsea")) if image is None else read_photo(image)
    if min(picture.size) < 16:
        raise TriptychError(f"{image} is too small ({picture.width}x{picture.height}): give at least 16x16 pixels")
    share = min(picture.size) / max(picture.size)
    return np.asarray(middle_square(picture, SIDE)), share


def check(options: Options) -> None:
    """Raises TriptychError for options that no run can have."""
    if not 2 <= options.frames <= FRAMES:
        raise TriptychError(f"--frames must be in 2..{FRAMES}, not {options.frames}")
    if not 0 <= options.skip <= 1:
        raise TriptychError(f"--skip is a share, 0..1, not {options.skip}")
    if not 0 <= options.temperature <= 10:
        raise TriptychError(f"--temperature must be in 0..10, not {options.temperature}")
    if not 0 <= options.guidance <= 16:
        raise TriptychError(f"--guidance must be in 0..16, not {options.guidance}")
    if not 0 <= options.chain_cap <= 255:
        raise TriptychError(f"--chain-cap must be in 0..255, not {options.chain_cap}")
    if not (0 <= options.window <= FRAMES * PLACES and 0 <= options.sink <= FRAMES * PLACES):
        raise TriptychError(f"--window and --sink must be in 0..{FRAMES * PLACES}")
    if options.sink and not options.window:
        raise TriptychError("--sink needs --window: without a window attention sees every key")
    if options.seed < 0:
        raise TriptychError(f"--seed must not be negative, not {options.seed}")


def generate(options: Options, progress: Progress = lambda text, done, total: None) -> Result:
    """Both videos and their files in `options.out`. Raises TriptychError, PhotoError."""
    check(options)
    picture, share = seed_picture(options.image)
    check_writable(options.out)
    check_not_input(*(options.out / f"fastcar{ending}" for ending in ENDINGS))
    model, tokenizer = IntegerModel.load(), load_tokenizer()
    with torch.no_grad():
        given = tokenizer.encode(torch.from_numpy(picture / np.float32(255)).permute(2, 0, 1)[None]).numpy()
    dense, seconds_dense = _decode(model, replace(options, skip=0.0), given, "dense", progress)
    replayed, seconds_replayed = _decode(model, options, given, "replay", progress)
    a, b = (pictures(tokenizer, d.tokens) for d in (dense, replayed))
    error = float(((a[1:].astype(np.float64) - b[1:]) ** 2).mean())
    files = write_files(options, a, b, replayed)
    later = replayed.replayed[:, PLACES:]
    found = Result(
        frames=options.frames,
        skip_target=options.skip,
        skip_ratio=replayed.skip_ratio,
        skip_by_layer=[float(layer.mean()) for layer in later],
        psnr_db=float(-10 * np.log10(max(error, 0.065) / 255**2)),
        token_agreement=float((dense.tokens[:, PLACES:] == replayed.tokens[:, PLACES:]).mean()),
        mlp_rows_computed=int((~replayed.replayed).sum()),
        mlp_rows_dense=replayed.replayed.size,
        seconds_dense=seconds_dense,
        seconds_replayed=seconds_replayed,
        seed_share=share,
        files=[str(path) for path in [*files, options.out / f"fastcar{ENDING}"]],
    )
    measured = {n: getattr(found, n) for n in ("skip_ratio", "psnr_db", "token_agreement")}
    skipped = replayed.replayed[:, :, 0].reshape(len(replayed.replayed), -1, GRID, GRID)
    picture_shown = Picture("fastcar.png", "dense, replayed, share of layers replayed")
    record = FpgaRun(
        f"FastCar video, {options.motion.name.lower()}, skip {options.skip:g}", origin(), measured,
        skip_maps=skipped.tolist(), pictures=[picture_shown],
    )  # fmt: skip
    save(record, options.out / f"fastcar{ENDING}")
    return found


def content_of(motion: Condition) -> Content:
    """Whose levels serve a motion."""
    known = {Condition.ANY: Content.ANY, Condition.STILL: Content.STILL, Condition.DRIFT: Content.DRIFT}
    return known.get(motion, Content.MOVING)


def _decode(
    model: IntegerModel, options: Options, given: NDArray[np.int64], name: str, progress: Progress
) -> tuple[Decoded, float]:
    length = options.frames * PLACES
    guidance = round(options.guidance * 16) if options.guidance else None
    controls = model.controls(
        options.skip, content_of(options.motion), policy=options.policy, chooser=options.chooser,
        chain_cap=options.chain_cap, window=options.window, sink=options.sink,
    )  # fmt: skip
    begin = time.time()
    decoded = decode(
        model,
        np.array([int(options.motion)]),
        given,
        controls,
        Sampling(options.temperature, options.seed, guidance),
        length,
        observe=lambda position, *_: progress(f"{name}, frame {position // PLACES + 1}", position + 1, length),
    )
    return decoded, time.time() - begin


def pictures(tokenizer: Tokenizer, tokens: NDArray[np.int64]) -> Pictures:
    """(frames, 128, 128, 3) of the first video's tokens."""
    with torch.no_grad():
        made = tokenizer.decode(torch.from_numpy(tokens[0]).view(-1, PLACES)).clamp(0, 1)
    return (made.permute(0, 2, 3, 1).numpy() * 255 + 0.5).astype(np.uint8)


def write_files(options: Options, dense: Pictures, replayed: Pictures, decoded: Decoded) -> list[Path]:
    """fastcar.gif (side by side), fastcar.png (strip: dense, replayed, skipped), fastcar_skips.png and .csv."""
    skipped = decoded.replayed[:, :, 0].reshape(len(decoded.replayed), -1, GRID, GRID)
    share = (skipped.mean(0) * 255).astype(np.uint8).repeat(SIDE // GRID, 1).repeat(SIDE // GRID, 2)
    maps = np.stack([share // 4, share, share // 2], -1)
    gap = np.full((SIDE, 4, 3), 255, dtype=np.uint8)
    movie = [Image.fromarray(np.hstack([a, gap, b, gap, m])).resize((784, 256), Image.Resampling.NEAREST)
             for a, b, m in zip(dense, replayed, maps, strict=True)]  # fmt: skip
    strip = np.vstack([np.hstack(list(row)) for row in (dense, replayed, maps)])
    paths = [options.out / "fastcar.gif", options.out / "fastcar.png"]
    _save(movie[0], paths[0], save_all=True, append_images=movie[1:], duration=250, loop=0)
    _save(Image.fromarray(strip), paths[1])
    lines = ["layer,frame,row,column,replayed"]
    lines += [f"{i},{f},{r},{c},{int(v)}" for (i, f, r, c), v in np.ndenumerate(skipped)]
    table = options.out / "fastcar_skips.csv"
    write(table, "\n".join(lines) + "\n")
    return [*paths, table, *save_figure(skip_figure(skipped), options.out / "fastcar_skips")]


def skip_figure(skipped: NDArray[np.bool_]) -> Figure:
    """Which tokens replayed, a map a layer and frame: bool[layers, frames, 16, 16]."""
    layers, frames = skipped.shape[:2]
    figure = Figure(figsize=(1.1 * frames + 0.6, 1.15 * layers + 0.5))
    axes = figure.subplots(layers, frames, squeeze=False)
    for (i, f), axis in np.ndenumerate(axes):
        axis.imshow(skipped[i, f], cmap="Greens", vmin=0, vmax=1.4)
        axis.set_xticks([])
        axis.set_yticks([])
        if i == 0:
            axis.set_title(f"frame {f}", fontsize=8)
        if f == 0:
            axis.set_ylabel(f"layer {i}", fontsize=8)
    figure.suptitle("MLPs replayed (dark)", fontsize=9)
    figure.tight_layout()
    return figure


def _save(picture: Image.Image, path: Path, **how: Any) -> None:
    with replacing(path) as part, part.open("wb") as file:
        picture.save(file, format=path.suffix[1:].upper(), **how)


def as_object(result: Result) -> dict[str, Any]:
    """What `--json` prints."""
    return asdict(result)
