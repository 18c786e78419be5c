"""What replay costs: `python -m triptych.sim.fastcar.quality --clips .data/fastcar --out FILE`, on a CPU or a GPU.

The integer model, greedy, with every chooser at four shares on test clips of four kinds, beside a random choice of the
same share of MLPs in each layer and video; in the context of the real video, and running free. Pictures are held
against those of the own dense decode and against the real video. `quality_section` writes docs/results.md from it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.golden.fastcar.batched import Batched, Scores, Way
from triptych.golden.fastcar.clips import Clips
from triptych.golden.fastcar.config import Chooser
from triptych.golden.fastcar.model import WEIGHTS, Content, IntegerModel
from triptych.golden.fastcar.scenes import Scenes
from triptych.golden.fastcar.tokenizer import Tokenizer, load_tokenizer
from triptych.golden.files import write

KINDS = ("still", "drift", "moving", "half still")
CLIPS = 32
SEED = 3
SHARES = (0.2, 0.5, 0.8, 0.87)
FREE_GIVEN = 2  # frames, of a video that runs free
FREE_ROWS = 1024  # videos that run free at once: 24 MB of keys, values and ring each
LOCAL = ((256, 16), (16, 16))  # window and sink
MOST_DB = 60.0  # equal pictures count as so much


@dataclass(frozen=True)
class Kind:
    """Test clips: pictures (n, 8, 3, 128, 128), conditions and tokens; content: whose levels serve them."""

    pictures: Tensor
    conditions: Tensor
    tokens: Tensor
    content: Content


@dataclass(frozen=True)
class Cell:
    """A chooser at a share on a kind of clips, means over clips with standard errors. db, ssim, tokens: against dense;
    gain: over the random choice, dB; real_db, real_ssim: against the real video; lost: how much of dense's real_db."""

    kind: str
    chooser: str
    share: float
    levels: str
    skipped: float
    db: float
    db_se: float
    ssim: float
    tokens: float
    random_db: float
    gain: float
    gain_se: float
    real_db: float
    real_ssim: float
    lost: float
    lost_se: float


def clips_of_kinds(
    folder: Path, tokenizer: Tokenizer, device: str, count: int, seed: int, names: Sequence[str]
) -> dict[str, Kind]:
    """Of the test splits; the same clips of a kind whatever other kinds are asked for. Raises ValueError when the
    folder was not prepared."""
    scenes, clips = Scenes.load(folder, "test", "cpu", seed), Clips.load(folder, "cpu", seed, "test")
    draws: dict[str, tuple[Callable[[int], tuple[Tensor, Tensor]], Content]] = {
        "still": (lambda n: scenes.sample(n, 0.0), Content.STILL),
        "drift": (lambda n: scenes.sample(n, 1.0), Content.DRIFT),
        "moving": (clips.sample, Content.MOVING),
        "half still": (scenes.half_still, Content.ANY),
    }
    out = {}
    for name, (draw, content) in draws.items():
        pictures, conditions = (t.to(device) for t in draw(count))
        if name not in names:
            continue
        with torch.no_grad():
            tokens = tokenizer.encode(pictures.flatten(0, 1)).view(count, -1)
        out[name] = Kind(pictures, conditions, tokens, content)
    return out


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """SSIM (n,) of pictures (n, 3, h, w) in 0..1: windows of 7 x 7, sample variances, as scikit-image has it."""
    size, scale = 7, 49 / 48

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x.double(), size, 1)

    ma, mb = mean(a), mean(b)
    va, vb, cov = (scale * (mean(x * y) - mx * my) for x, y, mx, my in ((a, a, ma, ma), (b, b, mb, mb), (a, b, ma, mb)))
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean((1, 2, 3))


class Study:
    """The kinds of clips and the model's dense answers to them."""

    def __init__(self, model: IntegerModel, tokenizer: Tokenizer, kinds: dict[str, Kind], device: str) -> None:
        self.engine, self.tokenizer, self.kinds, self.device = Batched(model, device), tokenizer, kinds, device
        self.layers, self.frame = model.config.layers, model.config.layer.frame_tokens
        self.dense = {name: self._context(kind, self._way(len(kind.tokens)))[0] for name, kind in kinds.items()}

    def _way(self, rows: int, window: int = 0, sink: int = 0) -> Way:
        return Way.dense(self.layers, rows, self.device, window, sink)

    def _context(self, kind: Kind, way: Way) -> tuple[Tensor, Tensor]:
        return self.engine.context(kind.conditions, kind.tokens, way)

    def _pictures(self, tokens: Tensor, first: int) -> Tensor:
        flat = tokens[:, first * self.frame :].reshape(-1, self.frame)
        with torch.no_grad():
            return torch.cat([self.tokenizer.decode(part).clamp(0, 1) for part in flat.split(256)])

    def against(self, tokens: Tensor, wanted: Tensor, first: int = 1) -> tuple[Tensor, Tensor]:
        """PSNR in dB and SSIM (clips,) of tokens' pictures, frames from `first` on, and wanted tokens or pictures."""
        got = self._pictures(tokens, first)
        like = self._pictures(wanted, first) if wanted.ndim == 2 else wanted[:, first:].flatten(0, 1)
        error = (got - like).pow(2).mean((1, 2, 3)).clamp(min=10 ** (-MOST_DB / 10))
        return (-10 * error.log10()).view(len(tokens), -1).mean(1), similarity(got, like).view(len(tokens), -1).mean(1)

    def cell(self, name: str, case: tuple[str, float, str], tokens: Tensor, skips: Tensor, rival: Tensor) -> Cell:
        """Of a case (chooser, share, levels) that made tokens, and its rival at random."""
        kind, dense = self.kinds[name], self.dense[name]
        db, ssim = self.against(tokens, dense)
        gain = db - self.against(rival, dense)[0]
        real, real_ssim = self.against(tokens, kind.pictures)
        lost = self.against(dense, kind.pictures)[0] - real
        later = slice(self.frame, None)
        return Cell(
            name, *case, float(skips[:, :, later].float().mean()), float(db.mean()), error_of(db), float(ssim.mean()),
            float((tokens == dense)[:, later].float().mean()), float((db - gain).mean()), float(gain.mean()),
            error_of(gain), float(real.mean()), float(real_ssim.mean()), float(lost.mean()), error_of(lost),
        )  # fmt: skip

    def context(self, name: str, chooser: Chooser, share: float, content: Content) -> Cell:
        """A chooser in context, with the levels of `content`, and its rival."""
        kind = self.kinds[name]
        levels = [self.engine.model.threshold(i, chooser, share, content) for i in range(self.layers)]
        made, skips = self._context(kind, Way.uniform(chooser, levels, len(kind.tokens), self.device))
        rival, _ = self._context(kind, Way.random(skips[:, :, self.frame :].float().mean(2)))
        return self.cell(name, (chooser.name.lower(), share, content.name.lower()), made, skips, rival)

    def local(self, name: str, window: int, sink: int) -> Cell:
        """No replay; attention sees a window and a sink."""
        kind = self.kinds[name]
        made, skips = self._context(kind, self._way(len(kind.tokens), window, sink))
        return self.cell(name, (f"none, attention {window} + {sink}", 0.0, "-"), made, skips, made)

    def summary(self, name: str) -> dict[str, float]:
        """Of a kind: what the tokenizer and the dense decode make of the real video, and how many tokens stay."""
        kind = self.kinds[name]
        by_frame = kind.tokens.view(len(kind.tokens), -1, self.frame)
        real, ssim = self.against(self.dense[name], kind.pictures)
        return {
            "tokenizer_db": float(self.against(kind.tokens, kind.pictures)[0].mean()),
            "dense_real_db": float(real.mean()), "dense_real_ssim": float(ssim.mean()),
            "unchanged": float((by_frame[:, 1:] == by_frame[:, :-1]).float().mean()),
            "right": float((self.dense[name] == kind.tokens)[:, self.frame :].float().mean()),
        }  # fmt: skip

    @torch.no_grad()
    def redundancy(self, name: str) -> list[dict[str, Any]]:
        """Of every layer, dense: how far an MLP's output lies from that of a frame before, relative to its length
        (median, and means by whether the input token is the one of a frame before), and each score's rank correlation
        with that distance (-1: it tells perfectly)."""
        kind, out = self.kinds[name], []
        entries = torch.cat([kind.conditions[:, None] + self.engine.config.tokens, kind.tokens[:, :-1]], 1)
        same = entries[:, self.frame :] == entries[:, : -self.frame]

        def observe(i: int, scores: Scores, delta: Tensor) -> None:
            d = delta.double()
            later = d[:, self.frame :]
            far = (later - d[:, : -self.frame]).norm(dim=-1) / later.norm(dim=-1).clamp(min=1e-9)
            weights = self.engine.head_weights[i]
            rank = {c.name.lower(): rank_correlation(scores.of(c, weights), far) for c in Chooser}
            means = {"unchanged": float(far[same].mean()), "changed": float(far[~same].mean())}
            out.append({"layer": i, "median": float(far.median()), **means, "rank": rank})

        self.engine.context(kind.conditions, kind.tokens, self._way(len(kind.tokens)), observe=observe)
        return out

    def free(self, count: int, progress: Callable[[str], None]) -> list[dict[str, Any]]:
        """Running free after FREE_GIVEN frames: dense and all choosers at all shares on all kinds, then the rivals."""
        start = FREE_GIVEN * self.frame
        names = tuple(self.kinds)
        cases = [(name, c, s) for name in names for s in SHARES for c in Chooser]
        ways = [(name, self._way(count)) for name in names]
        for name, chooser, share in cases:
            content = self.kinds[name].content
            levels = [self.engine.model.threshold(i, chooser, share, content) for i in range(self.layers)]
            ways.append((name, Way.uniform(chooser, levels, count, self.device)))
        tokens, skips = self._run_free(ways, count, progress)
        dense = dict(zip(names, tokens, strict=False))
        shares = [s[:, :, self.frame :].float().mean(2) for s in skips[len(names) :]]
        drawn = [(name, Way.random(share)) for (name, _, _), share in zip(cases, shares, strict=True)]
        rivals, _ = self._run_free(drawn, count, progress)

        def figures(name: str, made: Tensor) -> dict[str, Any]:
            changed = (made[:, start:] != made[:, start - self.frame : -self.frame]).float().mean()
            real, ssim = self.against(made, self.kinds[name].pictures[:count], FREE_GIVEN)
            same = (made == dense[name])[:, start:].float().mean()
            return {
                "kind": name, "changed": float(changed), "real_db": float(real.mean()), "real_ssim": float(ssim.mean()),
                "tokens": float(same),
            }  # fmt: skip

        out = [figures(name, dense[name]) | {"chooser": "none", "share": 0.0} for name in names]
        for case, made, rival, replayed in zip(cases, tokens[len(names) :], rivals, shares, strict=True):
            db, ssim = self.against(made, dense[case[0]], FREE_GIVEN)
            gain = db - self.against(rival, dense[case[0]], FREE_GIVEN)[0]
            out.append(figures(case[0], made) | {
                "chooser": case[1].name.lower(), "share": case[2], "skipped": float(replayed.mean()),
                "db": float(db.mean()), "db_se": error_of(db), "ssim": float(ssim.mean()),
                "gain": float(gain.mean()), "gain_se": error_of(gain),
            })  # fmt: skip
        return out

    def _run_free(
        self, ways: list[tuple[str, Way]], count: int, progress: Callable[[str], None]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Tokens (count, t) and who replayed (layers, count, t) of each way, FREE_ROWS videos at once."""
        tokens: list[Tensor] = []
        skips: list[Tensor] = []
        step = max(FREE_ROWS // count, 1)
        for first in range(0, len(ways), step):
            made, replayed = self._run_batch(ways[first : first + step], count)
            tokens += made
            skips += replayed
            progress(f"running free: {len(tokens)} of {len(ways)} ways")
        return tokens, skips

    def _run_batch(self, ways: list[tuple[str, Way]], count: int) -> tuple[list[Tensor], list[Tensor]]:
        way = Way(torch.cat([w.chooser for _, w in ways]), torch.cat([w.levels for _, w in ways], 1))
        conditions = torch.cat([self.kinds[name].conditions[:count] for name, _ in ways])
        given = torch.cat([self.kinds[name].tokens[:count, : FREE_GIVEN * self.frame] for name, _ in ways])
        tokens, skips = self.engine.free(conditions, given, way, self.engine.config.layer.context)
        return list(tokens.split(count)), list(skips.split(count, 1))


def rank_correlation(a: Tensor, b: Tensor) -> float:
    """Spearman's, of two tensors; ties take their mean rank."""

    def ranks(v: Tensor) -> Tensor:
        _, place, counts = v.flatten().double().unique(return_inverse=True, return_counts=True)
        rank = (counts.cumsum(0).double() - (counts.double() - 1) / 2)[place]
        return rank - rank.mean()

    x, y = ranks(a), ranks(b)
    return float((x * y).sum() / (x.norm() * y.norm()).clamp(min=1e-12))


def error_of(values: Tensor) -> float:
    """Standard error of the mean."""
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else 0.0


def measure(study: Study, free_clips: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Everything: summaries, cells in context, levels of any content, local attention, running free."""
    cells: list[Cell] = []
    for name, kind in study.kinds.items():
        for share in SHARES:
            for chooser in Chooser:
                cells.append(study.context(name, chooser, share, kind.content))
        if kind.content is not Content.ANY:
            cells += [study.context(name, c, 0.5, Content.ANY) for c in (Chooser.CONSISTENT, Chooser.VALUE)]
        cells += [study.local(name, *local) for local in LOCAL]
        progress(name)
    return {
        "summary": {name: study.summary(name) for name in study.kinds},
        "redundancy": {name: study.redundancy(name) for name in study.kinds},
        "context": [asdict(cell) for cell in cells],
        "free": study.free(free_clips, progress) if free_clips else [],
        "clips": len(next(iter(study.kinds.values())).tokens),
        "free_clips": free_clips,
    }


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m triptych.sim.fastcar.quality", description=__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="made by triptych.golden.fastcar.clips")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="alone: `quality_section` merges them")
    parser.add_argument("--count", type=int, default=CLIPS, help="clips of a kind")
    parser.add_argument("--free", type=int, default=CLIPS, help="clips of a kind that run free; 0: none")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("out/fastcar_quality.json"))
    args = parser.parse_args(argv)
    begin = time.time()
    try:
        model = IntegerModel.load(args.weights / "decoder.npz")
        tokenizer = load_tokenizer(args.weights / "tokenizer.npz").to(args.device)
        kinds = clips_of_kinds(args.clips, tokenizer, args.device, args.count, SEED, args.kinds)
    except ValueError as error:
        print(f"quality: {error}", file=sys.stderr)
        return 1
    study = Study(model, tokenizer, kinds, args.device)
    found = measure(study, args.free, lambda text: print(f"[{time.time() - begin:.0f} s] {text}", flush=True))
    machine = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    write(args.out, json.dumps(found | {"machine": machine, "seconds": round(time.time() - begin, 1)}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
