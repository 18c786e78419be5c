"""Depth accuracy as papers report it: d1, AbsRel, RMSE, raw and scaled by the ratio of medians, per sequence.

d1: share of pixels with max(pred/true, true/pred) < 1.25. AbsRel: mean |pred - true| / true. RMSE in metres.
"Scaled" multiplies each prediction by median(true)/median(pred) first: what is left is the error of shape. Scores are
computed per image and averaged over images (as in Eigen et al. 2014), so every image counts the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import Enum

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

Array = NDArray[np.floating]
_NEAREST = 1e-3  # metres; predictions at or below 0 are clipped here, where ratios still make sense

# Crop of Garg et al. 2016 (rows from, to, columns from, to, as shares): rows 78..189, columns 23..615 of 192x640.
_GARG = (0.40810811, 0.99189189, 0.03594771, 0.96405229)


class EvalRegion(Enum):
    """Which pixels count: value = (nearest, farthest depth in metres)."""

    INDOOR = (1e-3, 10.0)
    KITTI = (1e-3, 80.0)


@dataclass(frozen=True)
class Errors:
    d1: float
    abs_rel: float
    rmse: float


@dataclass(frozen=True)
class Scores:
    """Errors as predicted and after median scaling; `median_ratio` = median(true)/median(pred); `images` counted."""

    raw: Errors
    scaled: Errors
    median_ratio: float
    images: int = 1


def valid_mask(depth: Array, region: EvalRegion) -> NDArray[np.bool_]:
    """Pixels of depth [H,W] (metres, 0 unknown) that count. KITTI: those in the Garg crop (`_GARG`) alone."""
    nearest, farthest = region.value
    mask = (depth > nearest) & (depth < farthest)
    if region is EvalRegion.KITTI:
        h, w = depth.shape
        inside = np.zeros_like(mask)
        top, bottom, left, right = _GARG
        inside[int(top * h) : int(bottom * h), int(left * w) : int(right * w)] = True
        mask &= inside
    return mask


def upsample(prediction: Array, size: tuple[int, int]) -> NDArray[np.float32]:
    """Bilinear (pixel centres, as align_corners=False), [h,w] -> [H,W]."""
    x = torch.from_numpy(np.ascontiguousarray(prediction, dtype=np.float32))[None, None]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()


def _errors(pred: Array, true: Array) -> Errors:
    ratio = np.maximum(pred / true, true / pred)
    return Errors(
        float((ratio < 1.25).mean()),
        float((np.abs(pred - true) / true).mean()),
        float(np.sqrt(((pred - true) ** 2).mean())),
    )


def score_image(prediction: Array, depth: Array, region: EvalRegion = EvalRegion.INDOOR) -> Scores | None:
    """Scores of one image; prediction [h,w] in metres is upsampled to depth [H,W] in metres, 0 unknown.

    None when the image has no valid pixel. Raises ValueError for shapes that are not 2-D or predictions that are
    not finite: a NaN must not vanish in a mean.
    """
    if prediction.ndim != 2 or depth.ndim != 2:
        raise ValueError(f"prediction and depth must be [H,W], not {prediction.shape} and {depth.shape}")
    if not np.isfinite(prediction).all():
        raise ValueError("the prediction holds values that are not finite")
    mask = valid_mask(depth, region)
    if not mask.any():
        return None
    full = upsample(prediction, depth.shape) if prediction.shape != depth.shape else prediction
    pred = np.maximum(full[mask].astype(np.float64), _NEAREST)
    true = depth[mask].astype(np.float64)
    ratio = float(np.median(true) / np.median(pred))
    return Scores(_errors(pred, true), _errors(np.maximum(pred * ratio, _NEAREST), true), ratio)


def distance(prediction: Array, reference: Array) -> float:
    """How far a prediction [h,w] is from a reference of its shape: mean |l - median(l)|, l = log(prediction/reference).

    In natural log, so .02 is about two per cent of the depth; a factor over the whole image costs nothing. Between a
    quantised network and its float one it shows what quantisation changed, also where the float network is wrong and
    a change may happen to help. Raises ValueError for another shape or values that are not finite.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} must have one shape")
    if not (np.isfinite(prediction).all() and np.isfinite(reference).all()):
        raise ValueError("the prediction or the reference holds values that are not finite")
    logs = np.log(np.maximum(prediction, _NEAREST)) - np.log(np.maximum(reference, _NEAREST))
    return float(np.abs(logs - np.median(logs)).mean())


def mean_scores(scores: Iterable[Scores | None]) -> Scores:
    """Mean over images, those without valid pixels (None) left out. Raises ValueError if none is left."""
    kept = [s for s in scores if s is not None]
    if not kept:
        raise ValueError("no image with a valid depth pixel: nothing to score")

    def mean(errors: list[Errors]) -> Errors:
        return Errors(*(float(np.mean([getattr(e, f.name) for e in errors])) for f in fields(Errors)))

    ratio = float(np.mean([s.median_ratio for s in kept]))
    return Scores(mean([s.raw for s in kept]), mean([s.scaled for s in kept]), ratio, sum(s.images for s in kept))
